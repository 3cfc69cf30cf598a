//! Answers to a proposal: accepting binds the organisation's key and data to a job, so both are checked before.

use crate::{
    config::Config,
    consent::{self, Below},
    directory,
    ledger::{self, MembersError},
    store::StoreError,
    worker,
};
use gateway_client::{Call, Contract, Meaning, SubmitFailure};
use protocol::Fault;
use records::{Job, MspId};
use std::{sync::Arc, time::Duration};

/// Why a job could not be accepted.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// Table or key share do not fit the job, or the organisation takes no part in it. Nothing was answered.
    #[error(transparent)]
    Unfit(#[from] Fault),
    /// The job is below the node's minima, and nobody consented to that. Nothing was answered.
    #[error(
        "the job is below what [minimum] in the node's configuration wants: {}; accept it with --accept-weaker, or refuse it",
        consent::listed(.0)
    )]
    Weaker(Vec<Below>),
    /// The job names somebody who is no member of the channel, or who the members are is not known. Nothing was answered.
    #[error(transparent)]
    Members(#[from] MembersError),
    /// The acceptance could not be noted in the data directory.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger refuses the answer or cannot be reached.
    #[error(transparent)]
    Ledger(#[from] SubmitFailure),
}

impl AnswerError {
    /// Whether the same answer may succeed later: the ledger was not reached, or did not say.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Members(MembersError::Gateway(_)) => true,
            Self::Ledger(failure) => failure.refusal().is_none_or(|refusal| {
                matches!(refusal.meaning, Meaning::NotYet | Meaning::Unknown | Meaning::WrongClock)
            }),
            Self::Unfit(_)
            | Self::Weaker(_)
            | Self::Members(MembersError::Strangers { .. })
            | Self::Store(_) => false,
        }
    }
}

/// Accepts a job in the name of `msp_id` if table and key share fit it, and it is not below the node's minima; with `weaker`
/// a person consents to that.
///
/// # Errors
/// See [`AnswerError`].
pub async fn accept(
    config: &Arc<Config>,
    contract: &Contract,
    msp_id: &MspId,
    job: &Job,
    weaker: bool,
) -> Result<(), AnswerError> {
    let party = job
        .params
        .party(msp_id)
        .ok_or_else(|| Fault::Input(format!("{msp_id} is no participant of job {}", job.id)))?;
    if job.params.id() != job.id {
        return Err(Fault::Input(format!("job {} is not that of its parameters", job.id)).into());
    }
    ledger::check_members(contract.network(), &job.params.participants).await?;
    let below = consent::review(config, job, party).below;
    if !below.is_empty() && !weaker {
        return Err(AnswerError::Weaker(below));
    }
    let checked = {
        let (config, job) = (config.clone(), job.clone());
        tokio::task::spawn_blocking(move || worker::check(&config, &job, party)).await
    };
    let data = checked.map_err(|e| Fault::Input(format!("the data could not be checked: {e}")))??;
    directory::bind(&config.data_dir, msp_id.as_str())?;
    directory::note_acceptance(&config.data_dir, &job.id, data, weaker && !below.is_empty())?;
    submit(config, contract, Call::new("accept").arg(job.id.to_string())).await
}

/// Declines a job that does not fit. The ledger is told no more than that: the reason may speak of the data.
///
/// # Errors
/// [`AnswerError::Ledger`].
pub async fn refuse(config: &Config, contract: &Contract, job: &Job) -> Result<(), AnswerError> {
    submit(config, contract, Call::new("refuse").arg(job.id.to_string()).arg(UNFIT)).await
}

/// What the ledger is told where the own input is unfit.
pub(crate) const UNFIT: &str = "what it brings does not fit the job; its node says why";

async fn submit(config: &Config, contract: &Contract, call: Call) -> Result<(), AnswerError> {
    let patience = Duration::from_secs(config.patience_secs);
    contract.submitter().submit(call, patience).await?;
    Ok(())
}
