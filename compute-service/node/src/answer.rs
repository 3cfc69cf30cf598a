//! Answers to a proposal: accepting binds the organisation's key and data to a job, so both are checked before.

use crate::{
    config::Config,
    consent::{self, Below},
    directory,
    handle::Connection,
    ledger::{self, MembersError, QueryError},
    store::{Standing, Store, StoreError},
    worker,
};
use gateway_client::{Call, Contract, Meaning, SubmitFailure};
use protocol::Fault;
use records::Job;
use std::{path::Path, sync::Arc, time::Duration};

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
    /// It was accepted before, and the data directory does not know of that. Nothing was answered.
    #[error("{0}")]
    Lost(String),
    /// Whether it was accepted before could not be read. Nothing was answered.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The acceptance could not be recorded in the data directory.
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
            Self::Members(MembersError::Gateway(_)) | Self::Query(QueryError::Gateway(_)) => true,
            Self::Ledger(failure) => failure.refusal().is_none_or(|refusal| {
                matches!(refusal.meaning, Meaning::NotYet | Meaning::Unknown | Meaning::WrongClock)
            }),
            Self::Unfit(_)
            | Self::Weaker(_)
            | Self::Members(MembersError::Strangers { .. })
            | Self::Lost(_)
            | Self::Query(QueryError::Answer(_))
            | Self::Store(_) => false,
        }
    }
}

/// Accepts a job in the organisation's name if table and key share fit it, and it is not below the node's minima; with `weaker`
/// a person consents to that.
///
/// # Errors
/// See [`AnswerError`].
pub(crate) async fn accept(
    config: &Arc<Config>,
    store: &Store,
    connection: &Connection,
    job: &Job,
    weaker: bool,
) -> Result<(), AnswerError> {
    let Connection { contract, me, own_key } = connection;
    let party = job
        .params
        .party(me)
        .ok_or_else(|| Fault::Input(format!("{me} is no participant of job {}", job.id)))?;
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
    directory::bind(&config.data_dir, me.as_str())?;
    let view = ledger::view(contract, &job.id).await?;
    // Of a job that has ended the ledger says so.
    if view.ending.is_none() {
        let before = view.acceptances.get(party as usize).and_then(Option::as_ref);
        let with_own_key = before.is_some_and(|acceptance| Some(acceptance.key_hash) == *own_key);
        if with_own_key && !store.is_accepted(&job.id)? {
            return Err(AnswerError::Lost(lost(&config.data_dir, Standing::Unknown, true)));
        }
        store.record_acceptance(&job.id, data, weaker && !below.is_empty())?;
    }
    submit(config, contract, Call::new("accept").arg(job.id.to_string())).await
}

/// Why a node takes no part in a job that was accepted in its organisation's name.
pub(crate) fn lost(data_dir: &Path, standing: Standing, with_own_key: bool) -> String {
    let dir = data_dir.display();
    let why = match (standing, with_own_key) {
        (Standing::Lost, _) => format!(
            "what this node had made for it is gone from {dir}: with what it would make now it would contradict its own \
             records on the ledger"
        ),
        (_, true) => format!(
            "it was accepted with this organisation's key, but {dir} knows nothing of it: its state was lost, or another \
             node with the same key takes part"
        ),
        (_, false) => {
            return "it was accepted by another node of this organisation, with another key; this one takes no part".into();
        }
    };
    format!("{why}. Restore the directory and start the node again; where it is lost, end the job")
}

/// Declines a job that does not fit. The ledger is told no more than that: the reason may speak of the data.
///
/// # Errors
/// [`AnswerError::Ledger`].
pub(crate) async fn refuse(config: &Config, contract: &Contract, job: &Job) -> Result<(), AnswerError> {
    submit(config, contract, Call::new("refuse").arg(job.id.to_string()).arg(UNFIT)).await
}

/// What the ledger is told where the own input is unfit.
pub(crate) const UNFIT: &str = "what it brings does not fit the job; its node says why";

async fn submit(config: &Config, contract: &Contract, call: Call) -> Result<(), AnswerError> {
    let retry_timeout = Duration::from_secs(config.retry_timeout_secs);
    contract.submitter().submit(call, retry_timeout).await?;
    Ok(())
}
