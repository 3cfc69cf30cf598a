//! The vocabulary of the ledger: what a job is, which records its participants post, under which keys they lie and
//! in which order they may come.
//!
//! Plain types without I/O. Start with [`JobParams`], which the participants agree on; its [`Kind`] names the protocol. A
//! [`Record`] is one value that one participant posts into a [`Slot`] of the job: phase, round, party and chunk. [`Rules`] says
//! for every slot what it needs, and what may stand in it. The job contract enforces the rules on the ledger and the protocols
//! follow the same schedule in the nodes.
//!
//! ```
//! use records::{Bytes, CONTRACT_VERSION, Collusion, JobParams, KeyGeneration, Kind, Rules, TRAINING, VERSION};
//!
//! let generation = KeyGeneration {
//!     purpose: TRAINING.into(),
//!     key_bits: 2048,
//!     insecure_key_bits: false,
//!     quorum: 2,
//!     against: Collusion::Minority,
//!     candidates: 64,
//! };
//! let params = JobParams {
//!     version: VERSION,
//!     contract: CONTRACT_VERSION.into(),
//!     participants: ["Org1MSP", "Org2MSP", "Org3MSP"].iter().map(|name| name.parse()).collect::<Result<_, _>>()?,
//!     kind: Kind::KeyGeneration(generation),
//!     nonce: Bytes(vec![7; 16]),
//!     deadlines: None,
//! };
//! params.validate()?;
//!
//! // The first records need no others.
//! let rules = Rules::new(&params);
//! let first = rules.round_slots(rules.first_phase(), 0);
//! assert!(first.iter().all(|slot| rules.exists(slot) && rules.needs(slot, &[]).is_empty()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Everything is JSON: big numbers are base64 ([`Bytes`]), integers that may exceed 2^53 are strings, decimals are
//! strings that are parsed once to integers of a fixed scale ([`Decimal`]). Unknown fields are refused.

mod body;
mod bytes;
mod deadlines;
mod decimal;
mod form;
mod job;
pub mod jobs;
pub mod key;
mod names;
mod params;
mod phase;
mod refusal;
mod schedule;
mod sharing;
pub mod text;

pub use body::{
    Body, Contribution, Dv, MemberKeys, Model, Possession, Proof, SeedCommit, SeedOpen, ThresholdKey,
};
pub use bytes::Bytes;
pub use deadlines::{
    Awaited, CLOCK_STEP, Clock, Deadlines, Debt, MAX_CLOCK_AGE, MAX_TIME_OFFSET, Reminder, Waiting,
    ledger_time,
};
pub use decimal::{Decimal, DecimalError, SCALE};
pub use form::Violation;
pub use job::{Acceptance, Job, JobParams, JobView, MAX_REASON_BYTES, Outcome, Termination};
pub use jobs::{
    ClassNames, Collusion, Comparison, DEFAULT_UNIT, DataDigest, Dealer, GradientNoise, HorizontalResult,
    HorizontalSvm, Iv, JobKind, Judge, KeyEntry, KeyGeneration, KeyRefresh, KeySizes, Kind, MOMENT_BITS,
    MOMENT_BYTES, PaperIv, Publication, ResultDigests, Setup, VALUE_BITS, VerticalPredict, VerticalSvm,
};
pub use names::{Digest, Fingerprint, JobId, KeyHash, MspId, NoMspId, NotHex};
pub use params::ParamsError;
pub use phase::{Phase, Slot};
pub use refusal::{Code, Refusal};
pub use schedule::{Pending, PhaseSchedule, Prerequisites, Rules};
pub use sharing::{
    AnalystKey, Content, Device, Instance, MAX_INLINE_BYTES, MAX_PAGE, MAX_PAGE_BYTES, Modulus, Page, Row,
    SHARED_VALUE_BITS, SharedClasses, SharedTable, address,
};

use serde::{Deserialize, Serialize};

/// Version of the JSON layout of everything in this crate.
pub const VERSION: u32 = 1;

/// Version of the job contract; a job is pinned to the one that it was proposed under.
pub const CONTRACT_VERSION: &str = "1.1";

/// The versions whose jobs this contract runs to their end.
pub const CONTRACT_VERSIONS: [&str; 2] = ["1.0", CONTRACT_VERSION];

/// The purpose of a key for training.
pub const TRAINING: &str = "training";

/// Most bytes of a proposal's parameters as JSON.
pub const MAX_PARAMS_BYTES: usize = 128 * 1024;

/// Most proposals of one organisation that are open at the same time: neither ended nor accepted by all.
pub const MAX_OPEN_PROPOSALS: u32 = 64;

/// Largest record in bytes of JSON (`docs/architecture.md`, rules of the ledger data).
pub const MAX_RECORD_BYTES: usize = 256 * 1024;

/// One value that one participant posted, as it lies on the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Layout version, [`VERSION`].
    pub version: u32,
    /// The job it belongs to.
    pub job: JobId,
    /// Phase, round, party and chunk; the party was filled in by the contract from the caller's certificate.
    pub slot: Slot,
    /// MSP identifier of the caller (DP ID of the book's tables 5.2 and 5.3).
    pub msp_id: MspId,
    /// The value.
    pub body: Body,
    /// The parties on whose records it builds, where a quorum of a round was enough.
    #[serde(rename = "used", default, skip_serializing_if = "Vec::is_empty")]
    pub contributors: Vec<u32>,
}

impl Record {
    /// Parses a stored record; the bytes are foreign.
    ///
    /// # Errors
    /// A record that is too large, not of this layout or of another version.
    pub fn from_json(bytes: &[u8]) -> std::result::Result<Self, String> {
        if bytes.len() > MAX_RECORD_BYTES {
            return Err(format!("record of {} bytes exceeds {MAX_RECORD_BYTES}", bytes.len()));
        }
        let record: Self = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        if record.version != VERSION {
            return Err(format!("record version {} is not {VERSION}", record.version));
        }
        Ok(record)
    }

    /// The bytes that the contract stores.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("records hold only strings, integers and arrays")
    }
}
