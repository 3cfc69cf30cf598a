//! Who spoilt a key generation that came to nothing: the own job secret is opened, and everybody's opened records are
//! made anew from the blocks.

use crate::{
    facts::LedgerEvent,
    store::{Store, StoreError},
    verify::{Replay, Verification, VerifyError},
};
use gateway_client::{Checkpoint, Network};
use key_generation::{Audit, Findings, Opening};
use msp::Msps;
use protocol::Fault;
use records::{Job, JobId, MspId, Outcome, Termination};
use serde::Serialize;

/// Why a secret is not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The own database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The node never read of this job.
    #[error("this node knows no job {0} in which its organisation is named")]
    Unknown(JobId),
    /// Other jobs live on what their secrets hide.
    #[error("job {id} is a {kind} job; only the secret of a key generation can be opened{why}")]
    Kind {
        /// The job.
        id: JobId,
        /// What it is.
        kind: String,
        /// Why not.
        why: &'static str,
    },
    /// The job may yet make a key.
    #[error(
        "job {0} has not ended, as far as this node has read the ledger; start the node until it has read the end, or \
         end the job with `confab job abort`"
    )]
    Running(JobId),
    /// The job made a key.
    #[error("job {0} has made a key, and its secret gives away this node's share: it is never opened")]
    Finished(JobId),
    /// The node has no secret of this job.
    #[error("this node has no secret of job {0}: it took no part in it, or has forgotten it")]
    Forgotten(JobId),
}

/// Opens this node's secret of a key generation that has ended without a key, and notes that it did: the node takes no
/// part in the job any more.
///
/// # Errors
/// See [`OpenError`].
pub fn open(store: &Store, msp_id: &MspId, id: &JobId) -> Result<Opening, OpenError> {
    let (mut job, mut ending) = (None::<Job>, None);
    for located in store.facts(id)? {
        match located.fact {
            LedgerEvent::Proposed(proposed) => job = Some(proposed),
            LedgerEvent::Ended(ended) => ending = Some(ended),
            LedgerEvent::Accepted(_) | LedgerEvent::Posted(_) => {}
        }
    }
    let forgotten = store.ended(id)?;
    let kind = match (&job, &forgotten) {
        (Some(job), _) => job.params.kind.name().to_string(),
        (None, Some(ended)) => ended.kind.clone(),
        (None, None) => return Err(OpenError::Unknown(id.clone())),
    };
    let why = match kind.as_str() {
        "key-generation" => None,
        "key-refresh" => Some(": that of a refresh gives away shares of the key that goes on"),
        _ => Some(""),
    };
    if let Some(why) = why {
        return Err(OpenError::Kind { id: id.clone(), kind, why });
    }
    let ending = ending.or(forgotten.map(|ended| ended.ending));
    match ending {
        None => Err(OpenError::Running(id.clone())),
        Some(Termination { outcome: Outcome::Finished, .. }) => Err(OpenError::Finished(id.clone())),
        Some(_) => match store.open_secret(id)? {
            Some(secret) => Ok(Opening::new(id, msp_id, &secret)),
            None => Err(OpenError::Forgotten(id.clone())),
        },
    }
}

/// An audit of a job, beside its replay.
#[derive(Debug, Serialize)]
pub struct Audited {
    /// The observer's replay.
    pub replay: Verification,
    /// What came of the openings.
    pub findings: Findings,
}

/// Why an audit could not be made.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The ledger cannot be read.
    #[error(transparent)]
    Replay(#[from] VerifyError),
    /// Openings that do not belong to the job, or a job that cannot be audited.
    #[error(transparent)]
    Unfit(#[from] Fault),
    /// The job has not come to nothing.
    #[error("job {0} {1}; only a generation that ended without a key is audited by openings")]
    Alive(JobId, &'static str),
}

/// Replays a key generation that has ended without a key, and makes the records of those who opened their secrets anew.
/// `msps` as in [`crate::verify::verify`].
///
/// # Errors
/// A ledger that cannot be read, a job that is not on it or cannot be audited, and openings that are not of this job.
pub async fn audit(
    network: &Network,
    chaincode: &str,
    id: &JobId,
    msps: Option<&Msps>,
    openings: &[Opening],
    mut progress: impl FnMut(u64),
) -> Result<Audited, AuditError> {
    let mut blocks = network.past_blocks(Checkpoint::start());
    let mut replay = Replay::new(id.clone(), msps);
    let mut audit = None;
    while let Some(block) = blocks.next().await {
        let block = block.map_err(VerifyError::Gateway)?;
        progress(block.number);
        let records = replay.fold(&block, chaincode);
        if let (None, Some(job)) = (&audit, replay.job()) {
            audit = Some(Audit::new(job, openings)?);
        }
        let Some(audit) = &mut audit else { continue };
        records.iter().for_each(|record| audit.apply(record));
    }
    let (Some(replay), Some(audit)) = (replay.finish(), audit) else {
        return Err(VerifyError::Unknown(id.clone()).into());
    };
    match &replay.ending {
        None => Err(AuditError::Alive(id.clone(), "has not ended")),
        Some(Termination { outcome: Outcome::Finished, .. }) => {
            Err(AuditError::Alive(id.clone(), "has made a key"))
        }
        Some(_) => Ok(Audited { replay, findings: audit.finish() }),
    }
}
