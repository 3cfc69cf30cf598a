//! Decryption by a quorum of members (Shoup 2000; Fouque, Poupard, Stern 2000; Damgård, Jurik 2001).

mod combine;
mod deal;
mod partial;
mod proof;
mod share;

pub(crate) use combine::lagrange;
pub use combine::{CombineError, combine};
pub(crate) use deal::STATISTICAL;
pub use deal::deal;
pub use partial::{Contribution, Partial, ProofContext, partial_decrypt, verify_partial, verify_partials};
pub use proof::{Proof, Reason, WrongShare};
pub use share::{KeyShare, ShareError};
