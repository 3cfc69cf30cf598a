//! Threshold Paillier keys that nobody deals, made and renewed by records (`docs/protocols.md` 1).
//!
//! [`Generation`] and [`Refresh`] are one member's side as a [`protocol::Protocol`], like a training job: the steps of
//! [`paillier::keygen`] in their order, each a phase of records. A message to one member is sealed with HPKE to a key
//! that the member published in the job's first record, which its Fabric identity signed ([`protocol::sealed`]). What all members
//! publish in a step is committed to in the step before.
//!
//! A member's secrets are a function of its job secret and the records, so a node that restarts makes them again. An
//! observer folds the same records and checks everything that is opened: commitments, candidates, powers, θ,
//! verification keys, and partial decryptions of a known number. What it cannot see, wrong values of the right form, an
//! [`Audit`] of the members' opened secrets finds once a generation has come to nothing.

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
