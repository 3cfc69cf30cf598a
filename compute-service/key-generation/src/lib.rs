//! Threshold Paillier keys without a dealer, made and renewed by records (`docs/protocols.md` 1).
//!
//! [`Generation`] and [`Refresh`] are one member's side as a [`protocol::Protocol`], like a training job: the steps of
//! [`paillier::keygen`] in their order, each a phase of records. Three members in memory:
//!
//! ```
//! use key_generation::{Generation, Private};
//! use protocol::{JobSecret, simulate};
//! use records::{Bytes, CONTRACT_VERSION, Collusion, Job, JobParams, KeyGeneration, Kind, TRAINING, VERSION};
//!
//! let kind = Kind::KeyGeneration(KeyGeneration {
//!     purpose: TRAINING.into(),
//!     // For trying; 2,048 bits or more protect something.
//!     key_bits: 256,
//!     insecure_key_bits: true,
//!     quorum: 2,
//!     against: Collusion::Minority,
//!     candidates: 64,
//! });
//! let params = JobParams {
//!     version: VERSION,
//!     contract: CONTRACT_VERSION.into(),
//!     participants: ["Org1MSP", "Org2MSP", "Org3MSP"].iter().map(|name| name.parse()).collect::<Result<_, _>>()?,
//!     kind,
//!     nonce: Bytes(vec![7; 16]),
//!     deadlines: None,
//! };
//! let job = Job { version: VERSION, id: params.id(), params, proposer: "Org1MSP".parse()?, proposed: 0 };
//!
//! let members = [1, 2, 3].map(|member| Private { secret: JobSecret::new([member; 32]), share: None });
//! let run = simulate::<Generation>(&job, &members, 1, |_, body| body)?;
//! assert_eq!((run.outputs[0].key.bits(), run.outputs[0].key.quorum()), (256, 2));
//! assert_eq!(run.outputs[0], run.outputs[2]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Output::share`] gives a member its share of the key.
//!
//! A message to one member is sealed with HPKE to a key that the member published in the job's first record, which its Fabric
//! identity signed ([`protocol::sealed`]). What all members publish in a step is committed to in the step before.
//!
//! A member's secrets are a function of its job secret and the records, so a node that restarts makes them again. An
//! observer applies the same records and checks everything that is opened: commitments, candidates, powers, θ,
//! verification keys, and partial decryptions of a known number. Wrong values of the right form it cannot see; after a generation
//! that failed, an [`Audit`] finds them in the members' opened secrets.

mod audit;
mod ending;
mod generation;
mod member;
mod refresh;
mod wire;

pub use audit::{Audit, Audited, Findings, Opening, Verdict};
pub use ending::Output;
pub use generation::Generation;
pub use refresh::{Refresh, check_share};

use paillier::KeyShare;
use protocol::JobSecret;

/// What a member of a key generation or refresh knows and never posts.
#[derive(Debug)]
pub struct Private {
    /// All randomness is derived from it.
    pub secret: JobSecret,
    /// The old share, of a member who deals in a refresh.
    pub share: Option<KeyShare>,
}
