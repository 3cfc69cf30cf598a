//! Carries one member's side of a job between the ledger and the protocol.
//!
//! The driver runs on a thread of its own, for making and checking records is hard work. It folds facts in the order
//! of the ledger and makes what is owed; posting and following blocks happen elsewhere.

use crate::{
    answer::UNFIT,
    facts::{Creator, LedgerEvent, Positioned},
    jobs::{self, Seconds},
    store::{Store, StoreError},
    wait::{self, SILENCE},
};
use protocol::{Committed, Fault, JobSecret, Protocol, Role, Status, StepRng};
use records::{Awaited, Body, Job, KeyHash, Phase, Rules, Slot, Termination};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
};

/// What reaches a driver.
#[derive(Debug)]
pub enum Input {
    /// A fact about its job, in the order of the ledger.
    LedgerEvent(Box<Positioned>),
    /// A record, or the abort, could not be posted, for good.
    PostFailed(String),
    /// The node stops; the job goes on when it is started again.
    Stop,
}

/// What a driver asks of the node.
#[derive(Debug)]
pub enum Request {
    /// Post a record that builds on these parties' records; posting one that is there already is success.
    Post(Slot, Box<Body>, Vec<u32>),
    /// An own record is on the ledger: nothing more need be done for it.
    Confirmed(Slot),
    /// Nothing yet: the driver begins to make this record, which may take a while.
    Working(Slot),
    /// Nothing came for a while: these records are waited for, one of each participant that can post.
    Waiting(Vec<Awaited>),
    /// Everybody's results are there and agree.
    Finish,
    /// The job cannot go on, for this reason.
    Abort(AbortReason),
}

/// Why a member gives a job up.
#[derive(Debug, thiserror::Error)]
pub enum AbortReason {
    /// The protocol cannot go on.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A record could not be posted, for good.
    #[error("{0}")]
    Post(String),
}

impl AbortReason {
    /// What everybody on the channel may read of it: an error about the own input may speak of the data.
    pub fn public(&self) -> String {
        match self {
            Self::Fault(Fault::Input(_)) => UNFIT.into(),
            other => other.to_string(),
        }
    }
}

/// How far a job is, for people who watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The phase that is waited for.
    pub phase: Phase,
    /// Its round, from 0.
    pub round: u32,
    /// Number of rounds of this phase.
    pub rounds: u32,
    /// Records of this job so far, of all participants.
    pub records: u64,
}

/// How a job ended for this member.
#[derive(Debug)]
pub struct Finished<T> {
    /// How it ended on the ledger.
    pub ending: Termination,
    /// The protocol's output, where it came so far.
    pub output: Option<T>,
    /// Work done since the node was started.
    pub seconds: Seconds,
    /// Number of records that were folded.
    pub records: u64,
}

/// Why a driver stops before its job has ended.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The own database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The member's data are not those with which it began the job.
    #[error(
        "the data of this job have changed since it began, and secrets that were used for them must not be used for \
         others: restore the file and start the node again, or abort the job"
    )]
    Changed,
    /// The member's data are not those with which it accepted the job.
    #[error(
        "the own table is not the one for which the job was accepted: the file, or how it is read, was changed since. \
         Restore both and start the node again, or end the job with `confab job abort`"
    )]
    OtherData,
    /// The job cannot go on, and the ledger cannot be told.
    #[error("{0}; the other participants were not told")]
    Untold(String),
    /// The node was told to stop.
    #[error("stopped; the job goes on when the node is started again")]
    Stopped,
}

/// One member's side of one job.
pub struct Driver<P: Protocol> {
    /// The job.
    pub job: Job,
    /// The member's index.
    pub party: u32,
    /// What the member never posts.
    pub private: Arc<P::Private>,
    /// The node's database.
    pub store: Arc<Store>,
}

impl<P: Protocol> Driver<P> {
    /// Runs until the job has ended on the ledger. `ask` must not block for long; `report` is called after every
    /// record.
    ///
    /// # Errors
    /// A failing database, or a node that stops.
    pub fn run(
        self,
        inputs: &Receiver<Input>,
        mut ask: impl FnMut(Request),
        mut report: impl FnMut(&Progress),
    ) -> Result<Finished<P::Output>, DriverError> {
        let secret = self.store.secret(&self.job.id)?;
        let rules = Rules::new(&self.job.params);
        let mut seconds = Seconds::default();
        let work = |phase| jobs::of(&self.job.params.kind).work(phase);
        let mut keys: BTreeMap<u32, KeyHash> = BTreeMap::new();
        let mut asked = BTreeSet::new();
        let last_phase = rules.last_phase();
        let (mut ending, mut finishing) = (false, false);
        let mut records = 0;
        // What is on the ledger, to see who can post.
        let mut posted = BTreeSet::new();
        let silence = self.job.params.deadlines.as_ref().map_or(SILENCE, wait::grace);
        // Why the job was given up.
        let mut gave_up = None;
        // None once the job was given up: nothing is owed any more, only the ending on the ledger is waited for.
        let mut protocol = match P::start(&self.job, Role::Member(self.party)) {
            Ok(protocol) => Some(protocol),
            Err(fault) => {
                gave_up = Some(fault.to_string());
                ask(Request::Abort(fault.into()));
                None
            }
        };
        if let Some(protocol) = &protocol {
            let first = Slot { phase: rules.phases()[0], round: 0, party: self.party, chunk: 0 };
            if !self.store.bind_inputs(&self.job.id, &protocol.input_digest(first, &self.private))? {
                return Err(DriverError::Changed);
            }
        }
        loop {
            let owed = match &protocol {
                Some(protocol) if keys.len() == self.job.params.participants.len() => {
                    protocol.pending().into_iter().find(|slot| !asked.contains(slot))
                }
                _ => None,
            };
            // What has happened comes before what is owed: it may show that nothing is owed any more.
            let input = match owed {
                Some(_) => inputs.try_recv().ok(),
                None => match inputs.recv_timeout(silence) {
                    Ok(input) => Some(input),
                    Err(RecvTimeoutError::Timeout) => {
                        ask(Request::Waiting(self.awaited(protocol.as_ref(), &rules, &posted, keys.len())));
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => return Err(DriverError::Stopped),
                },
            };
            let step = match (input, owed, &mut protocol) {
                (Some(Input::Stop), ..) => return Err(DriverError::Stopped),
                (Some(Input::PostFailed(reason)), ..) => match gave_up.take() {
                    None => Err(AbortReason::Post(reason)),
                    // Nor could the abort be posted.
                    Some(trouble) => return Err(DriverError::Untold(format!("{trouble} ({reason})"))),
                },
                (Some(Input::LedgerEvent(located)), _, protocol) => match located.fact {
                    LedgerEvent::Proposed(_) => Ok(()),
                    LedgerEvent::Accepted(acceptance) => {
                        keys.insert(acceptance.party, acceptance.key_hash);
                        Ok(())
                    }
                    LedgerEvent::Ended(ending) => {
                        let output = protocol.as_ref().and_then(|protocol| match protocol.status() {
                            Status::Done(output) => Some(output),
                            Status::Running { .. } => None,
                        });
                        return Ok(Finished { ending, output, seconds, records });
                    }
                    LedgerEvent::Posted(record) => {
                        records += 1;
                        let slot = record.slot;
                        posted.insert(slot);
                        ending |= slot.phase == last_phase;
                        if slot.party == self.party {
                            ask(Request::Confirmed(slot));
                        }
                        let progress = Progress {
                            phase: slot.phase,
                            round: slot.round,
                            rounds: rules.rounds(slot.phase),
                            records,
                        };
                        let creator = located.creator;
                        let committed =
                            Committed { block: located.block, tx_id: located.tx_id, record: *record };
                        let folded = match protocol {
                            Some(protocol) => {
                                self.check_creator(&creator, keys.get(&slot.party), &committed).and_then(
                                    |()| seconds.measure(work(slot.phase), || protocol.apply(&committed)),
                                )
                            }
                            None => Ok(()),
                        };
                        report(&progress);
                        folded.map_err(AbortReason::from)
                    }
                },
                (None, Some(slot), Some(protocol)) => {
                    asked.insert(slot);
                    ask(Request::Working(slot));
                    match seconds.measure(work(slot.phase), || self.produce(protocol, slot, &secret))? {
                        Ok(body) => {
                            ask(Request::Post(slot, Box::new(body), protocol.contributors(slot)));
                            Ok(())
                        }
                        Err(fault) => Err(fault.into()),
                    }
                }
                (None, ..) => Ok(()),
            };
            if let Err(trouble) = step {
                match protocol.take() {
                    Some(_) => {
                        gave_up = Some(trouble.to_string());
                        ask(Request::Abort(trouble));
                    }
                    None => tracing::error!(job = ?self.job.id, "{trouble}"),
                }
            }
            if ending
                && !finishing
                && protocol.as_ref().is_some_and(|p| matches!(p.status(), Status::Done(_)))
            {
                finishing = true;
                ask(Request::Finish);
            }
        }
    }

    /// What goes into a slot: what was made before, or what is made now and kept.
    fn produce(
        &self,
        protocol: &P,
        slot: Slot,
        secret: &JobSecret,
    ) -> Result<Result<Body, Fault>, DriverError> {
        if let Some(body) = self.store.outbox(&self.job.id, &slot)? {
            return Ok(Ok(body));
        }
        let inputs = protocol.input_digest(slot, &self.private);
        let mut rng = StepRng::new(secret, &self.job.id, slot, &inputs);
        match protocol.produce(slot, &self.private, &mut rng) {
            Ok(body) => {
                self.store.keep(&self.job.id, &slot, &body)?;
                Ok(Ok(body))
            }
            Err(fault) => Ok(Err(fault)),
        }
    }

    /// The endorsers checked this too; it costs nothing not to rely on them.
    fn check_creator(
        &self,
        creator: &Creator,
        key_hash: Option<&KeyHash>,
        committed: &Committed,
    ) -> Result<(), Fault> {
        let record = &committed.record;
        let party = record.slot.party;
        let Some(expected) = self.job.params.participants.get(party as usize) else {
            return Err(Fault::Input(format!("{} is of no participant", record.slot)));
        };
        if creator.msp_id == *expected && record.msp_id == *expected && key_hash == Some(&creator.key_hash) {
            return Ok(());
        }
        Err(Fault::Participant {
            party,
            msp_id: expected.clone(),
            reason: format!(
                "{} was signed by {} in transaction {}",
                record.slot, creator.msp_id, committed.tx_id
            ),
        })
    }

    /// The first record of each other participant that is waited for and can be posted, by what was folded.
    fn awaited(
        &self,
        protocol: Option<&P>,
        rules: &Rules,
        posted: &BTreeSet<Slot>,
        accepted: usize,
    ) -> Vec<Awaited> {
        let Some((protocol, Status::Running { waiting_for })) = protocol.map(|p| (p, p.status())) else {
            return Vec::new();
        };
        if accepted < self.job.params.participants.len() {
            return Vec::new();
        }
        let mut first = BTreeMap::new();
        for slot in waiting_for.into_iter().filter(|slot| slot.party != self.party) {
            let contributors = protocol.contributors(slot);
            if !first.contains_key(&slot.party)
                && rules.needs(&slot, &contributors).iter().all(|need| posted.contains(need))
            {
                first.insert(slot.party, Awaited { slot, contributors });
            }
        }
        first.into_values().collect()
    }
}
