//! The one abstraction for ledger-driven multi-party protocols.
//!
//! Training, key negotiation and the retrieval committee are all the same thing: parties that post records in phases
//! and rounds, fold everybody's records in block order, and end with an output. A [`Protocol`] is one party's side
//! of it, without I/O, clock or randomness of the operating system; a driver (the node's, or [`simulate`]) carries
//! its records to the ledger and back. An observer folds the same records without owing any.

mod context;
mod decryption;
mod digest;
mod fault;
pub mod forms;
pub mod possession;
mod quorum;
mod rng;
pub mod sealed;
mod simulator;
mod steps;
mod transcript;

pub use context::Context;
pub use decryption::Decryption;
pub use digest::digest;
pub use fault::Fault;
pub use quorum::QuorumTranscript;
pub use rng::{JobSecret, StepRng};
pub use simulator::{Trace, simulate};
pub use steps::{Step, StepTranscript};
pub use transcript::Transcript;

use records::{Body, Job, Record, Slot};

/// Whose side of a protocol is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The participant with this index.
    Member(u32),
    /// Somebody who checks the records and posts none.
    Observer,
}

/// A record with its place in the chain of blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Number of the block.
    pub block: u64,
    /// Identifier of the transaction.
    pub tx_id: String,
    /// The record.
    pub record: Record,
}

/// Where a protocol stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status<T> {
    /// It waits for these slots.
    Running {
        /// Records that are not committed yet and without which nothing goes on.
        waiting_for: Vec<Slot>,
    },
    /// It ended with an output.
    Done(T),
}

/// One party's side of a ledger-driven protocol.
pub trait Protocol: Sized + Send + Sync {
    /// What a member knows and never posts; an observer has none.
    type Private: Send + Sync;
    /// What everybody learns.
    type Output;

    /// The state before the first record.
    ///
    /// # Errors
    /// Parameters that this protocol cannot run with.
    fn start(job: &Job, role: Role) -> Result<Self, Fault>;

    /// Folds one record, own ones too. A record that was folded before changes nothing.
    ///
    /// # Errors
    /// A record that breaks the protocol; the fault names its author.
    fn apply(&mut self, committed: &Committed) -> Result<(), Fault>;

    /// What this member may post now and has not seen committed; pure.
    fn owed(&self) -> Vec<Slot>;

    /// Makes the record for an owed slot; the dear part, to be run off the event loop.
    ///
    /// # Errors
    /// Data that do not fit the job.
    fn make(&self, slot: Slot, private: &Self::Private, rng: &mut StepRng) -> Result<Body, Fault>;

    /// The parties on whose records an owed slot builds, where a quorum is enough: always the same for one slot, for
    /// the record may be posted more than once.
    fn used(&self, _: Slot) -> Vec<u32> {
        Vec::new()
    }

    /// Digest of everything that [`Protocol::make`] reads besides the job secret, so that changed inputs never meet
    /// used randomness.
    fn inputs(&self, slot: Slot, private: &Self::Private) -> [u8; 32];

    /// Where the protocol stands.
    fn status(&self) -> Status<Self::Output>;
}
