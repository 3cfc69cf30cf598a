//! The one abstraction for ledger-driven multi-party protocols.
//!
//! Training, predictions and key generation are all the same thing: parties that post records in phases and rounds, apply all
//! parties' records in the order of the blocks, and end with an output. A [`Protocol`] is one party's side of it, without I/O,
//! clock or randomness of the operating system. A driver carries its records to the ledger and back: the node's, or [`simulate`],
//! which runs all parties in memory. An observer applies the same records without posting any:
//!
//! ```
//! use protocol::{Committed, Fault, Protocol, Role, Status};
//! use records::Job;
//!
//! /// What any member of the channel learns from the records of a job; nothing while records are missing.
//! fn observe<P: Protocol>(job: &Job, records: &[Committed]) -> Result<Option<P::Output>, Fault> {
//!     let mut observer = P::start(job, Role::Observer)?;
//!     for record in records {
//!         observer.apply(record)?;
//!     }
//!     Ok(match observer.status() {
//!         Status::Done(output) => Some(output),
//!         Status::Running { .. } => None,
//!     })
//! }
//! ```
//!
//! The front page of `key_generation` shows a whole protocol under [`simulate`].
//!
//! A [`Transcript`] admits records by the job's rules and knows which are there; protocols are built on it.
//!
//! A party's randomness is a [`StepRng`]: a function of its [`JobSecret`], the record's slot and everything that the record is
//! made from. A party that restarts makes equal records. [`sealed`] encrypts messages from one party to another,
//! [`possession`] proves that a party's keys are its own, and [`forms`] turns numbers into the forms of records.

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
    /// What all participants learn.
    type Output;

    /// The state before the first record.
    ///
    /// # Errors
    /// Parameters that this protocol cannot run with.
    fn start(job: &Job, role: Role) -> Result<Self, Fault>;

    /// Applies one record, also an own one. A record that was applied before changes nothing.
    ///
    /// # Errors
    /// A record that breaks the protocol; the fault names its author.
    fn apply(&mut self, committed: &Committed) -> Result<(), Fault>;

    /// What this member may post now and has not seen committed; pure.
    fn pending(&self) -> Vec<Slot>;

    /// Makes the record for an owed slot. This takes long, and has to run outside of the event loop.
    ///
    /// # Errors
    /// Data that do not fit the job.
    fn produce(&self, slot: Slot, private: &Self::Private, rng: &mut StepRng) -> Result<Body, Fault>;

    /// The parties on whose records an owed slot builds, where a quorum is enough: always the same for one slot, for
    /// the record may be posted more than once.
    fn contributors(&self, _: Slot) -> Vec<u32> {
        Vec::new()
    }

    /// Digest of everything that [`Protocol::produce`] reads besides the job secret, so that changed inputs never meet
    /// used randomness.
    fn input_digest(&self, slot: Slot, private: &Self::Private) -> [u8; 32];

    /// Where the protocol stands.
    fn status(&self) -> Status<Self::Output>;
}
