//! The kinds of jobs on a node, a module for each: what a party brings, how the job runs, what is kept of it, what it asks
//! and shows, and how an observer replays it.

pub mod horizontal_svm;
pub mod keys;
pub mod vertical_predict;
pub mod vertical_svm;

use crate::{
    config::Config,
    consent::{Review, Weigh},
    driver::{DriverError, Input},
    worker::{Ended, Worker},
};
use protocol::{Committed, Fault, Protocol, Role, Status};
use records::{Ending, Job, Kind, Slot};
use std::sync::mpsc::Receiver;

/// What a node does with jobs of one kind.
pub(crate) trait NodeJob {
    /// Finds what is wrong with what a party brings, before the job is accepted; the digest of its data, where it brings any.
    fn check(&self, config: &Config, job: &Job, party: u32) -> Result<Option<[u8; 32]>, Fault>;

    /// Runs an accepted job until it has ended. What has to outlive it is on the disk before its report comes back.
    fn run(&self, worker: &Worker, inputs: &Receiver<Input>) -> Result<Ended, DriverError>;

    /// Whether a report has all that the node has to keep; those of older nodes may not.
    fn is_whole(&self, _report: &[u8]) -> bool {
        true
    }

    /// Whether the job's secret stays after this ending.
    fn keeps_secret(&self, _: &Ending) -> bool {
        false
    }

    /// Whether a job that names no key is run with shares that somebody dealt.
    fn uses_dealt_key(&self) -> bool {
        false
    }

    /// Adds what the job asks of the party and shows, and what is below the node's minima.
    fn review(&self, weigh: &Weigh, review: &mut Review);

    /// A replay without any secret.
    fn observe(&self, job: &Job) -> Result<Box<dyn Replayed>, Fault>;
}

/// A job's protocol as an observer follows it.
pub(crate) trait Replayed: Send {
    /// Folds a record.
    fn apply(&mut self, committed: &Committed) -> Result<(), Fault>;

    /// Records of partial decryptions whose proof was checked and holds.
    fn proofs(&self) -> u64;

    /// Whether the job came to its end, and the number of indicators that were found.
    fn result(&self) -> Option<u64>;

    /// The records that are missing and without which nothing goes on.
    fn waiting_for(&self) -> Vec<Slot>;
}

/// The replay of a protocol.
struct Replay<P: Protocol> {
    protocol: P,
    proofs: fn(&P) -> u64,
    indicators: fn(&P::Output) -> u64,
}

impl<P: Protocol> Replay<P> {
    /// Before the first record. `proofs` are those that were checked so far, and `indicators` those of a finished job.
    fn start(
        job: &Job,
        proofs: fn(&P) -> u64,
        indicators: fn(&P::Output) -> u64,
    ) -> Result<Box<dyn Replayed>, Fault>
    where
        P: 'static,
    {
        Ok(Box::new(Self { protocol: P::start(job, Role::Observer)?, proofs, indicators }))
    }
}

impl<P: Protocol> Replayed for Replay<P> {
    fn apply(&mut self, committed: &Committed) -> Result<(), Fault> {
        self.protocol.apply(committed)
    }

    fn proofs(&self) -> u64 {
        (self.proofs)(&self.protocol)
    }

    fn result(&self) -> Option<u64> {
        match self.protocol.status() {
            Status::Done(output) => Some((self.indicators)(&output)),
            Status::Running { .. } => None,
        }
    }

    fn waiting_for(&self) -> Vec<Slot> {
        match self.protocol.status() {
            Status::Running { waiting_for } => waiting_for,
            Status::Done(_) => Vec::new(),
        }
    }
}

/// What the node does with jobs of this kind.
pub(crate) fn of(kind: &Kind) -> &dyn NodeJob {
    match kind {
        Kind::VerticalSvm(params) => params,
        Kind::VerticalPredict(params) => params,
        Kind::HorizontalSvm(params) => &**params,
        Kind::KeyGeneration(params) => params,
        Kind::KeyRefresh(params) => params,
    }
}
