use crate::cost::CostError;
use gateway_client::SubmitFailure;
use node::{model::ModelError, verify::VerifyError, wait::Cause};
use protocol::Fault;
use records::{MspId, Termination};
use std::{fmt::Display, io, path::Path};

/// Why an experiment fails.
#[derive(Debug, thiserror::Error)]
pub enum ExperimentError {
    /// The table, its division or a parameter.
    #[error("{0}")]
    Input(String),
    /// A file of the experiment.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// This machine: no randomness, no room for temporary files.
    #[error("{0}")]
    System(String),
    /// The network could not be started or looked at.
    #[error(transparent)]
    Network(#[from] launcher::Error),
    /// A process of the ledger is gone; the text says which and where its log is.
    #[error("{0}")]
    LedgerGone(String),
    /// The ledger cannot be used.
    #[error(transparent)]
    Gateway(#[from] gateway_client::Error),
    /// The proposal could not be submitted.
    #[error("proposing the job: {0}")]
    Propose(#[source] Box<SubmitFailure>),
    /// A participant waits for what does not pass by itself.
    #[error("{0}")]
    Hopeless(Cause),
    /// A participant could not answer the proposal.
    #[error("{participant} could not answer the proposal: {reason}")]
    Unanswered {
        /// Its MSP identifier.
        participant: MspId,
        /// Why.
        reason: String,
    },
    /// A participant's input does not fit the job; it is of the same person's table.
    #[error("{participant}: {reason}")]
    Unfit {
        /// Its MSP identifier.
        participant: MspId,
        /// What does not fit.
        reason: String,
    },
    /// The node of a participant ended before the job.
    #[error("the node of {participant} {how}")]
    NodeStopped {
        /// Its MSP identifier.
        participant: MspId,
        /// How it ended and what it said.
        how: String,
        /// Its exit status; none where a signal ended it.
        status: Option<i32>,
    },
    /// The node of a participant does not end, though the job has.
    #[error("the job is finished, but the node of {participant} did not end within {seconds} s")]
    NodeHangs {
        /// Its MSP identifier.
        participant: MspId,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The job ended on the ledger without a result.
    #[error("the job was {0}")]
    Ended(Termination),
    /// The job ended otherwise than its participants said.
    #[error("the job did not finish: {0}")]
    Unfinished(String),
    /// A model that cannot be read, or rows that do not fit it.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The observer's replay.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The measurement of the ledger's cost.
    #[error(transparent)]
    Cost(#[from] CostError),
    /// A protocol that was played in memory.
    #[error(transparent)]
    Protocol(#[from] Fault),
    /// A defect of Confab.
    #[error("{0}; this is a defect of Confab")]
    Defect(String),
}

/// What experiments come to.
pub type Result<T = (), E = ExperimentError> = std::result::Result<T, E>;

pub(crate) fn input(e: impl Display) -> ExperimentError {
    ExperimentError::Input(e.to_string())
}

pub(crate) fn system(e: impl Display) -> ExperimentError {
    ExperimentError::System(e.to_string())
}

pub(crate) fn file_error(path: &Path) -> impl FnOnce(io::Error) -> ExperimentError + '_ {
    move |source| ExperimentError::File { path: path.display().to_string(), source }
}
