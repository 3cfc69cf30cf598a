//! Idempotent submission: the one place that knows when to try again, and how.
//!
//! * A peer that **lags** refuses ([`Meaning::NotYet`]) or endorses something else (mismatch): endorse anew after
//!   2, 5, 10, 20 … ms.
//! * A peer, chaincode service or orderer that is **away** (restart): the same.
//! * A submission whose fate is **unknown** (time-out, lost connection): ask for the commit status, then
//!   submit the same envelope again, then endorse anew.
//! * A **conflict** (MVCC): endorse anew.
//! * What is **already there** ([`Meaning::AlreadyThere`]): success.
//! * A **full disk** (unless the policy says otherwise), a **wrong clock**, any other refusal: failure, at once.
//!
//! Everything ends at the caller's deadline, and everything is counted. A list of submissions [`UnderWay`]
//! tells what each one waits for.

use crate::{Call, CallError, Contract, Error, Failure, Meaning, Refusal, Transaction};
use fabric_protos::peer::TxValidationCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};

/// Times of the retry rules.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// Longest pause before another try.
    pub longest_pause: Duration,
    /// How long [`Meaning::Unknown`] is taken for a peer that lags.
    pub unknown: Duration,
    /// How long to wait for the status of an envelope that the orderers may not have.
    pub ask: Duration,
    /// How long to wait for the status of an envelope that they accepted.
    pub settle: Duration,
    /// How often the same envelope is submitted before the call is endorsed anew.
    pub submissions: u32,
    /// How long to wait before another try where a disk is full; without it that is a failure at once.
    pub make_room: Option<Duration>,
    /// How long a caller that follows blocks gets to see the commit there before the peer is asked for its status.
    pub watch: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            longest_pause: Duration::from_millis(250),
            unknown: Duration::from_secs(3),
            ask: Duration::from_secs(2),
            settle: Duration::from_secs(10),
            submissions: 3,
            make_room: None,
            watch: Duration::from_millis(500),
        }
    }
}

impl RetryPolicy {
    /// The pause before try `n + 1`: 2, 5, 10, 20, 40 … ms up to the longest, of which `random` (any
    /// value) takes up to a half, so that participants who failed together do not try again together.
    fn pause(&self, n: u32, random: u8) -> Duration {
        let milliseconds = match n {
            0 => 2,
            _ => 5u64 << (n - 1).min(16),
        };
        let full = Duration::from_millis(milliseconds).min(self.longest_pause);
        full - full * u32::from(random) / 512
    }
}

/// How often something was tried again, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Retries {
    /// The contract missed a record on a peer that lags.
    pub not_yet: u32,
    /// Endorsers disagreed.
    pub mismatch: u32,
    /// Somebody could not be reached.
    pub unavailable: u32,
    /// Another transaction came first.
    pub mvcc: u32,
    /// The same envelope was submitted again.
    pub resubmitted: u32,
}

impl Retries {
    /// All of them.
    pub fn total(&self) -> u32 {
        self.not_yet + self.mismatch + self.unavailable + self.mvcc + self.resubmitted
    }
}

impl std::ops::AddAssign for Retries {
    fn add_assign(&mut self, other: Self) {
        self.not_yet += other.not_yet;
        self.mismatch += other.mismatch;
        self.unavailable += other.unavailable;
        self.mvcc += other.mvcc;
        self.resubmitted += other.resubmitted;
    }
}

/// How a submission succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The transaction is committed and valid, with this answer of the chaincode.
    Committed(Vec<u8>),
    /// The caller has seen in its blocks what the call was to bring about.
    Seen,
    /// The contract says that the same record is there already. A peer said so: wait for the block.
    AlreadyThere,
}

/// A submission that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The last transaction.
    pub transaction_id: String,
    /// How it succeeded.
    pub outcome: Outcome,
    /// The block of a committed transaction.
    pub block_number: Option<u64>,
    /// What was tried again.
    pub retries: Retries,
    /// Size of the last envelope in bytes, 0 when none was made.
    pub bytes: usize,
}

/// A submission that failed.
#[derive(Debug, thiserror::Error)]
#[error("{error}{}", tried(retries))]
pub struct SubmitFailure {
    /// What ended it.
    #[source]
    pub error: SubmitError,
    /// What had been tried again.
    pub retries: Retries,
}

fn tried(retries: &Retries) -> String {
    match retries.total() {
        0 => String::new(),
        total => format!(" (after {total} retries)"),
    }
}

impl SubmitFailure {
    /// The contract's refusal, if one ended it or lasted until the deadline.
    pub fn refusal(&self) -> Option<&Refusal> {
        match &self.error {
            SubmitError::Failed(error) => error.refusal(),
            SubmitError::Deadline { last, .. } => last.as_ref()?.refusal(),
        }
    }
}

/// What ended a submission.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// A failure that trying again does not cure.
    #[error(transparent)]
    Failed(#[from] Error),
    /// The deadline passed while the cause of `last` lasted.
    #[error("not done within the deadline of {within:?}; last: {}", last.as_ref().map_or("no answer".into(), |e| e.to_string()))]
    Deadline {
        /// The time that the caller gave.
        within: Duration,
        /// The last failure.
        last: Option<Box<Error>>,
    },
}

/// How far a submission is: who or what it waits for.
#[derive(Clone, Debug, Default)]
pub enum Stage {
    /// It waits for endorsements.
    #[default]
    Endorsing,
    /// The endorsers could not be reached, disagree, or miss something; the last failure.
    NotEndorsed(CallError),
    /// It is endorsed and not in a block that the own peer has: the orderers have not taken it, or have not cut a block, or
    /// the peer has not got that.
    Ordering {
        /// The transaction.
        transaction_id: String,
        /// The last failure to hand it over or to ask for its status, where there was one.
        last: Option<CallError>,
    },
}

/// Submits calls of one contract with the retry rules.
#[derive(Clone, Debug)]
pub struct Submitter {
    contract: Contract,
    policy: RetryPolicy,
}

/// A list of submissions under way, which tells what each one waits for. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct UnderWay(Arc<Mutex<Vec<Entry>>>);

#[derive(Clone, Debug)]
struct Entry {
    start: Instant,
    stage: Arc<Mutex<Stage>>,
}

impl UnderWay {
    /// How long each has been under way, and how far it is.
    pub fn stages(&self) -> Vec<(Duration, Stage)> {
        let list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stage = |entry: &Entry| entry.stage.lock().unwrap_or_else(PoisonError::into_inner).clone();
        list.iter().map(|entry| (entry.start.elapsed(), stage(entry))).collect()
    }
}

/// The place of one submission in the lists, while it is under way.
struct Shown {
    lists: Vec<UnderWay>,
    stage: Arc<Mutex<Stage>>,
}

impl Shown {
    fn new(lists: Vec<UnderWay>) -> Self {
        let stage = Arc::default();
        for list in &lists {
            let entry = Entry { start: Instant::now(), stage: Arc::clone(&stage) };
            list.0.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        }
        Self { lists, stage }
    }

    fn tell(&self, stage: Stage) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        for list in &self.lists {
            let mut list = list.0.lock().unwrap_or_else(PoisonError::into_inner);
            list.retain(|entry| !Arc::ptr_eq(&entry.stage, &self.stage));
        }
    }
}

impl Submitter {
    pub(crate) fn new(contract: Contract) -> Self {
        Self { contract, policy: RetryPolicy::default() }
    }

    /// Replaces the times of the retry rules.
    pub fn with_policy(mut self, policy: RetryPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Submits a call and returns when it is committed, or there already.
    ///
    /// The call must bear repetition: an envelope that was given up may still commit after the call was
    /// endorsed anew. Keys that are written once, or read before they are written, do.
    ///
    /// # Errors
    /// A refusal of the contract, an invalid transaction, or the end of `within`.
    pub async fn submit(&self, call: Call, within: Duration) -> Result<Submitted, SubmitFailure> {
        self.drive(call, within, None).await
    }

    /// As [`Submitter::submit`], for a caller that follows blocks and says when the call's effect is there: as long as
    /// that is soon, the peer need not be asked.
    ///
    /// # Errors
    /// As [`Submitter::submit`].
    pub async fn submit_watched(
        &self,
        call: Call,
        within: Duration,
        seen: oneshot::Receiver<()>,
    ) -> Result<Submitted, SubmitFailure> {
        self.drive(call, within, Some(seen)).await
    }

    async fn drive(
        &self,
        call: Call,
        within: Duration,
        seen: Option<oneshot::Receiver<()>>,
    ) -> Result<Submitted, SubmitFailure> {
        let mut run = Run {
            submitter: self,
            within,
            start: Instant::now(),
            deadline: Instant::now() + within,
            tries: 0,
            retries: Retries::default(),
            last: None,
            bytes: 0,
            seen,
            shown: Shown::new(self.contract.under_way.clone()),
        };
        let result = run.drive(call).await;
        let retries = run.retries;
        match result {
            Ok((transaction_id, block_number, outcome)) => {
                Ok(Submitted { transaction_id, outcome, block_number, retries, bytes: run.bytes })
            }
            Err(error) => Err(SubmitFailure { error, retries }),
        }
    }
}

/// One submission under way.
struct Run<'a> {
    submitter: &'a Submitter,
    within: Duration,
    start: Instant,
    deadline: Instant,
    /// Pauses so far.
    tries: u32,
    retries: Retries,
    last: Option<Box<Error>>,
    bytes: usize,
    seen: Option<oneshot::Receiver<()>>,
    shown: Shown,
}

/// What an endorsement came to.
enum Step {
    Endorsed(Transaction),
    AlreadyThere { transaction_id: String },
}

/// What became of an envelope.
enum Fate {
    Valid {
        block_number: u64,
    },
    Seen,
    /// Another transaction came first.
    Conflict,
    /// The orderers do not seem to have it.
    Lost,
}

impl Run<'_> {
    async fn drive(&mut self, call: Call) -> Result<(String, Option<u64>, Outcome), SubmitError> {
        loop {
            let transaction = match self.endorse(&call).await? {
                Step::Endorsed(transaction) => transaction,
                Step::AlreadyThere { transaction_id } => {
                    return Ok((transaction_id, None, Outcome::AlreadyThere));
                }
            };
            let fate = self.settle(&transaction).await?;
            self.bytes = transaction.size();
            match fate {
                Fate::Valid { block_number } => {
                    let id = transaction.id().to_owned();
                    return Ok((id, Some(block_number), Outcome::Committed(transaction.into_result())));
                }
                Fate::Seen => return Ok((transaction.id().to_owned(), None, Outcome::Seen)),
                Fate::Conflict => self.retries.mvcc += 1,
                Fate::Lost => {}
            }
        }
    }

    /// Endorses, again and again while that can help.
    async fn endorse(&mut self, call: &Call) -> Result<Step, SubmitError> {
        let contract = &self.submitter.contract;
        loop {
            let proposal = contract.propose(call.clone())?;
            let limit = self.limit(contract.network.gateway.options().endorse)?;
            let error = match proposal.endorse_within(limit).await {
                Ok(transaction) => return Ok(Step::Endorsed(transaction)),
                Err(error) => error,
            };
            let Some(call_error) = error.call() else { return Err(error.into()) };
            match call_error.failure() {
                Failure::Refused(refusal) => match refusal.meaning {
                    Meaning::AlreadyThere => {
                        return Ok(Step::AlreadyThere { transaction_id: proposal.transaction_id });
                    }
                    Meaning::NotYet => self.retries.not_yet += 1,
                    Meaning::Unknown if self.start.elapsed() < self.submitter.policy.unknown => {
                        self.retries.not_yet += 1;
                    }
                    Meaning::Unknown | Meaning::Final | Meaning::WrongClock => return Err(error.into()),
                },
                Failure::Mismatch => self.retries.mismatch += 1,
                // An endorsement leaves no trace, so one whose fate is unknown is simply repeated.
                Failure::Unavailable | Failure::TimedOut => self.retries.unavailable += 1,
                Failure::DiskFull if self.submitter.policy.make_room.is_some() => {
                    self.retries.unavailable += 1
                }
                // A patient caller has had a connection; while a peer restarts, another program may answer on its port.
                Failure::Other if call_error.fault.is_some() && self.submitter.policy.make_room.is_some() => {
                    self.retries.unavailable += 1
                }
                Failure::DiskFull | Failure::WrongClock | Failure::Other => return Err(error.into()),
            }
            self.shown.tell(Stage::NotEndorsed(call_error.clone()));
            self.pause(error).await?;
        }
    }

    /// Submits an envelope until its fate is known.
    async fn settle(&mut self, transaction: &Transaction) -> Result<Fate, SubmitError> {
        let policy = &self.submitter.policy;
        // The endorsement came over this connection, and the transaction may be on its way: what is wrong with the
        // connection now does not tell its fate.
        let failure = |error: &Error| match failure(error) {
            Failure::Other if error.call().is_some_and(|call| call.fault.is_some()) => Failure::Unavailable,
            other => other,
        };
        let commit = transaction.commit();
        let mut submissions = 0;
        let mut wait = None;
        let ordering = |last: Option<&Error>| Stage::Ordering {
            transaction_id: transaction.id().to_owned(),
            last: last.and_then(Error::call).cloned(),
        };
        self.shown.tell(ordering(None));
        loop {
            if let Some(wait) = wait {
                match commit.status_within(self.limit(wait)?).await {
                    Ok(status) => return fate(status),
                    Err(error) => match failure(&error) {
                        Failure::DiskFull if policy.make_room.is_none() => return Err(error.into()),
                        Failure::Unavailable | Failure::DiskFull => {
                            self.retries.unavailable += 1;
                            self.shown.tell(ordering(Some(&error)));
                            self.pause(error).await?;
                            continue;
                        }
                        Failure::TimedOut => self.last = Some(Box::new(error)),
                        _ => return Err(error.into()),
                    },
                }
                if submissions >= policy.submissions {
                    return Ok(Fate::Lost);
                }
            }
            if submissions > 0 {
                self.retries.resubmitted += 1;
            }
            submissions += 1;
            let limit = self.limit(self.submitter.contract.network.gateway.options().submit)?;
            wait = Some(match transaction.submit_within(limit).await {
                Ok(_) => {
                    if let Some(seen) = &mut self.seen
                        && let Ok(Ok(())) = timeout(policy.watch, seen).await
                    {
                        return Ok(Fate::Seen);
                    }
                    // Only once: a receiver that has answered must not be asked again.
                    self.seen = None;
                    policy.settle
                }
                Err(error) => match failure(&error) {
                    Failure::DiskFull if policy.make_room.is_none() => return Err(error.into()),
                    Failure::Unavailable | Failure::TimedOut | Failure::DiskFull => {
                        self.retries.unavailable += 1;
                        self.shown.tell(ordering(Some(&error)));
                        self.pause(error).await?;
                        policy.ask
                    }
                    _ => return Err(error.into()),
                },
            });
        }
    }

    /// The time limit of a call: its own, or what is left.
    fn limit(&mut self, own: Duration) -> Result<Duration, SubmitError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(self.late());
        }
        Ok(own.min(left))
    }

    /// Waits before another try; the failure is kept in case there is no time for one.
    async fn pause(&mut self, error: Error) -> Result<(), SubmitError> {
        tracing::debug!(%error, "trying again");
        self.last = Some(Box::new(error));
        let mut random = [0];
        getrandom::fill(&mut random).map_err(|e| Error::Signer(crate::SignerError(e.into())))?;
        let policy = &self.submitter.policy;
        let is_full = self.last.as_ref().is_some_and(|last| failure(last) == Failure::DiskFull);
        let pause = match policy.make_room {
            Some(pause) if is_full => pause,
            _ => policy.pause(self.tries, random[0]),
        };
        self.tries += 1;
        let until = Instant::now() + pause;
        if until >= self.deadline {
            return Err(self.late());
        }
        sleep_until(until).await;
        Ok(())
    }

    fn late(&mut self) -> SubmitError {
        SubmitError::Deadline { within: self.within, last: self.last.take() }
    }
}

fn failure(error: &Error) -> Failure {
    error.call().map_or(Failure::Other, |call| call.failure())
}

fn fate(status: crate::CommitStatus) -> Result<Fate, SubmitError> {
    use TxValidationCode::*;
    match status.code {
        Valid => Ok(Fate::Valid { block_number: status.block_number }),
        // A duplicate's first copy counts; the contract will say whether it is there.
        MvccReadConflict | PhantomReadConflict | DuplicateTxid => Ok(Fate::Conflict),
        _ => Err(status.into_valid().map(drop).expect_err("it is not valid").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest() {
        let policy = RetryPolicy::default();
        let full: Vec<u128> = (0..10).map(|n| policy.pause(n, 0).as_millis()).collect();
        assert_eq!(full, [2, 5, 10, 20, 40, 80, 160, 250, 250, 250]);
        for n in [0, 3, 9, u32::MAX] {
            let (longest, shortest) = (policy.pause(n, 0), policy.pause(n, u8::MAX));
            assert!(shortest < longest && shortest >= longest / 2, "{n}: {shortest:?} {longest:?}");
        }
    }
}
