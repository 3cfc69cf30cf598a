use crate::{
    Bytes, Deadlines, Debt, Digest, JobId, KeyHash, Kind, MspId, ParamsError, Rules, VERSION, VerticalSvm,
    params::check,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt};

/// What the participants agree on before a job runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobParams {
    /// Layout version, [`VERSION`].
    pub version: u32,
    /// Version of the contract that the job is pinned to.
    pub contract: String,
    /// MSP identifiers; the position is the party index.
    pub participants: Vec<MspId>,
    /// The protocol and its parameters.
    pub kind: Kind,
    /// 16 random bytes that tell two jobs with the same parameters apart.
    pub nonce: Bytes,
    /// How long participants are waited for; for ever where they are absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadlines: Option<Deadlines>,
}

/// Most records for which one record may have to wait: what an endorser reads in one call.
const MAX_BARRIER: u64 = 100_000;

impl JobParams {
    /// The job's identifier: SHA-256 of the canonical JSON, nonce included.
    pub fn id(&self) -> JobId {
        let json = serde_json::to_vec(self).expect("parameters hold only strings, integers and arrays");
        JobId(Digest::of(&json))
    }

    /// Party index of an MSP.
    pub fn party(&self, msp_id: &MspId) -> Option<u32> {
        self.participants.iter().position(|p| p == msp_id).map(|p| p as u32)
    }

    /// Number n of participants.
    pub fn parties(&self) -> u32 {
        self.participants.len() as u32
    }

    /// The training parameters.
    ///
    /// # Panics
    /// If this is another kind of job.
    pub fn training(&self) -> &VerticalSvm {
        match &self.kind {
            Kind::VerticalSvm(training) => training,
            other => panic!("{} is no training job", other.name()),
        }
    }

    /// The training parameters, to be changed.
    ///
    /// # Panics
    /// If this is another kind of job.
    pub fn training_mut(&mut self) -> &mut VerticalSvm {
        match &mut self.kind {
            Kind::VerticalSvm(training) => training,
            other => panic!("{} is no training job", other.name()),
        }
    }

    /// Checks every range that does not depend on the participants' data.
    ///
    /// # Errors
    /// The first field that is out of its range.
    pub fn validate(&self) -> Result<(), ParamsError> {
        check(self.version == VERSION, "version", format!("{} is not {VERSION}", self.version))?;
        check(self.contract.len() <= 64, "contract", "longer than 64 bytes")?;
        let n = self.participants.len();
        check((2..=64).contains(&n), "participants", format!("{n} is not in 2..=64"))?;
        let distinct: BTreeSet<_> = self.participants.iter().collect();
        check(distinct.len() == n, "participants", "an MSP is named twice")?;
        check(self.nonce.0.len() == 16, "nonce", "not 16 bytes")?;
        self.deadlines.as_ref().map_or(Ok(()), Deadlines::validate)?;
        self.kind.as_job_kind().validate(n as u32)?;
        let widest = Rules::new(self).widest_barrier();
        let reason = format!("a record would have to wait for {widest} others; at most {MAX_BARRIER}");
        check(widest <= MAX_BARRIER, "participants", reason)
    }
}

impl JobParams {
    /// Checks that no name holds characters that are not to be read; see [`text`](crate::text). It is not part of
    /// [`validate`](Self::validate), so that older jobs stay readable.
    ///
    /// # Errors
    /// The first field with one.
    pub fn check_text(&self) -> Result<(), ParamsError> {
        let plain =
            |field, text: &str| crate::text::check(text).map_err(|reason| ParamsError { field, reason });
        plain("contract", &self.contract)?;
        self.participants.iter().try_for_each(|name| plain("participants", name.as_str()))?;
        self.kind.as_job_kind().names().into_iter().try_for_each(|(field, name)| plain(field, name))
    }
}

/// A job as it lies on the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Layout version, [`VERSION`].
    pub version: u32,
    /// Its identifier.
    pub id: JobId,
    /// What was proposed.
    pub params: JobParams,
    /// MSP identifier of the proposer.
    pub proposer: MspId,
    /// Seconds since 1970 of the proposing transaction.
    pub proposed: u64,
}

/// A participant's answer to a proposal; it fixes the key with which the participant posts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acceptance {
    /// Layout version, [`VERSION`].
    pub version: u32,
    /// The job.
    pub job: JobId,
    /// Party index.
    pub party: u32,
    /// The party's MSP identifier.
    pub msp_id: MspId,
    /// Of the public key of the accepting certificate.
    pub key_hash: KeyHash,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Termination {
    /// Layout version, [`VERSION`].
    pub version: u32,
    /// The job.
    pub job: JobId,
    /// MSP identifier of the one who ended it.
    pub by: MspId,
    /// What it ended with.
    pub outcome: Outcome,
}

/// A job with what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobView {
    /// The proposal.
    pub job: Job,
    /// Acceptances so far, by party; `null` where there is none.
    pub acceptances: Vec<Option<Acceptance>>,
    /// How it ended, if it did.
    pub ending: Option<Termination>,
}

/// Longest reason for a refusal or an abort, in bytes.
pub const MAX_REASON_BYTES: usize = 2048;

/// What a job ended with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// All participants posted the same result.
    Finished,
    /// A participant declined the proposal.
    Refused(String),
    /// A participant gave up, with the reason and, where there is one, the culprit.
    Aborted(String),
    /// The participants waited for these longer than they had agreed.
    Expired(Vec<Debt>),
}

/// For people: `finished`, or who ended it and why.
impl fmt::Display for Termination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Outcome::Finished => f.write_str("finished"),
            Outcome::Refused(reason) => write!(f, "refused by {}: {reason}", self.by),
            Outcome::Aborted(reason) => write!(f, "aborted by {}: {reason}", self.by),
            Outcome::Expired(owed) => {
                f.write_str("expired: ")?;
                for (place, debt) in owed.iter().enumerate() {
                    let and = if place > 0 { "; " } else { "" };
                    match &debt.slot {
                        Some(slot) => write!(f, "{and}{} did not post {slot}", debt.msp_id)?,
                        None => write!(f, "{and}{} did not answer the proposal", debt.msp_id)?,
                    }
                }
                Ok(())
            }
        }
    }
}
