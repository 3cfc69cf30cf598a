//! What the blocks say about jobs: the one reading of the ledger, for nodes and for `verify`.

use records::{Acceptance, Job, JobId, KeyHash, MspId, Record, Termination, VERSION, key};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Something that a valid transaction wrote about a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LedgerEvent {
    /// A job was proposed.
    Proposed(Job),
    /// A participant accepted it.
    Accepted(Acceptance),
    /// A participant posted a record.
    Posted(Box<Record>),
    /// The job ended.
    Ended(Termination),
}

impl LedgerEvent {
    /// The job that it is about.
    pub fn job(&self) -> &JobId {
        match self {
            Self::Proposed(job) => &job.id,
            Self::Accepted(acceptance) => &acceptance.job,
            Self::Posted(record) => &record.job,
            Self::Ended(ending) => &ending.job,
        }
    }

    /// Reads one write of a transaction; `None` where it is of another kind.
    ///
    /// # Errors
    /// A value under one of the contract's keys that cannot be read, or that says it belongs under another key.
    pub fn from_write(ledger_key: &str, value: &[u8]) -> Result<Option<Self>, String> {
        let fact = match key::object_type(ledger_key) {
            Some(key::JOB) => Self::Proposed(parse(value)?),
            Some(key::ACCEPTANCE) => Self::Accepted(parse(value)?),
            Some(key::RECORD) => Self::Posted(Box::new(Record::from_json(value)?)),
            Some(key::ENDING) => Self::Ended(parse(value)?),
            _ => return Ok(None),
        };
        let (version, own_key) = match &fact {
            Self::Proposed(job) => (job.version, key::job(&job.id)),
            Self::Accepted(a) => (a.version, key::acceptance(&a.job, a.party)),
            Self::Posted(record) => (record.version, key::record(&record.job, &record.slot)),
            Self::Ended(ending) => (ending.version, key::ending(&ending.job)),
        };
        if version != VERSION {
            return Err(format!("version {version} is not {VERSION}"));
        }
        match own_key == ledger_key {
            true => Ok(Some(fact)),
            false => Err("the value belongs under another key".into()),
        }
    }
}

fn parse<T: DeserializeOwned>(value: &[u8]) -> Result<T, String> {
    serde_json::from_slice(value).map_err(|e| e.to_string())
}

/// Who signed a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Creator {
    /// MSP identifier.
    pub msp_id: MspId,
    /// Of the certificate's public key.
    pub key_hash: KeyHash,
}

/// A fact with its place in the chain of blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Positioned {
    /// Number of the block.
    pub block: u64,
    /// Identifier of the transaction.
    pub tx_id: String,
    /// Who signed it.
    pub creator: Creator,
    /// Bytes of the value as it lies on the ledger.
    pub bytes: u64,
    /// What was written.
    pub fact: LedgerEvent,
}
