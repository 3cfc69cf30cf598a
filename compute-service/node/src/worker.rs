//! A job on a node: its driver's thread, the posting of what the driver makes, and the report at the end.

use crate::{
    config::Config,
    driver::{AbortReason, Driver, DriverError, Finished, Input, Request},
    event::Event,
    facts::LedgerEvent,
    jobs::{self, Report},
    poster::RecordSubmitter,
    store::{Ended as EndedJob, Kept, Store, StoreError},
};
use dataset::table::Overview;
use files::Access;
use gateway_client::{Contract, Retries};
use protocol::{Fault, Protocol};
use records::{Job, JobId, MspId, Outcome, Termination};
use serde::{Deserialize, Serialize};
use std::{
    panic::AssertUnwindSafe,
    path::PathBuf,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};
use tokio::sync::mpsc::UnboundedSender;

pub use jobs::{
    horizontal_svm::RowsReport, keys::KeyReport, vertical_predict::PredictReport, vertical_svm::JobReport,
};

/// Transactions of a node for one job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Transactions that were committed.
    pub transactions: u64,
    /// Bytes of their records on the ledger.
    pub bytes: u64,
    /// What had to be tried again.
    pub retries: Retries,
}

/// Where a node keeps the report of a job.
pub fn report_path(config: &Config, job: &JobId) -> PathBuf {
    config.data_dir.join("jobs").join(format!("{job}.json"))
}

/// Everything that one job needs beside its driver.
pub(crate) struct Worker {
    pub(crate) job: Job,
    pub(crate) party: u32,
    pub(crate) config: Arc<Config>,
    pub(crate) store: Arc<Store>,
    pub(crate) poster: Arc<RecordSubmitter>,
    events: UnboundedSender<Event>,
    start: Instant,
}

impl Worker {
    /// Starts the driver of an accepted job on a thread of its own; facts about the job go to the sender that comes
    /// back. The poster knows what the job waits for here.
    pub(crate) fn start(
        job: Job,
        me: &MspId,
        config: &Arc<Config>,
        store: &Arc<Store>,
        contract: &Contract,
        events: &UnboundedSender<Event>,
    ) -> (mpsc::Sender<Input>, Arc<RecordSubmitter>) {
        let (inputs, on_input) = mpsc::channel();
        let party = job.params.party(me).expect("only jobs that name this organisation are kept");
        let retry_timeout = Duration::from_secs(config.retry_timeout_secs);
        let poster = RecordSubmitter::new(
            job.clone(),
            contract.clone(),
            inputs.clone(),
            Arc::default(),
            retry_timeout,
        );
        let poster = Arc::new(poster);
        let (config, store, events) = (config.clone(), store.clone(), events.clone());
        let start = Instant::now();
        let worker = Self { job, party, config, store, poster: poster.clone(), events, start };
        std::thread::spawn(move || worker.run_caught(&on_input));
        (inputs, poster)
    }

    /// Runs the job; a defect of ours ends this job on this node, not the node, and not without a word.
    fn run_caught(self, inputs: &mpsc::Receiver<Input>) {
        let (job, events) = (self.job.id.clone(), self.events.clone());
        if std::panic::catch_unwind(AssertUnwindSafe(|| self.run(inputs))).is_err() {
            let reason = "an internal error, see the log; please report it".into();
            let _ = events.send(Event::Stalled { job, reason });
        }
    }

    fn run(self, inputs: &mpsc::Receiver<Input>) {
        let job = self.job.id.clone();
        match jobs::of(&self.job.params.kind).run(&self, inputs) {
            Ok((ending, report)) => {
                let path = report.and_then(|report| {
                    let path = report_path(&self.config, &job);
                    match files::write(&path, &report.to_json(), Access::Owner) {
                        Ok(()) => Some(path),
                        Err(e) => {
                            tracing::error!(
                                "cannot write {}: {e}. Mend that and start the node again: it makes the report then",
                                path.display()
                            );
                            None
                        }
                    }
                });
                // With the secret and the ledger a share that was deleted could be made again, and what was masked be read.
                if (path.is_some() || ending.outcome != Outcome::Finished)
                    && let Err(e) = forget(&self.store, &self.job, &ending)
                {
                    tracing::error!(?job, "the job's secret and records are still there: {e}");
                }
                let _ = self.events.send(Event::Ended { job, ending, report: path });
            }
            Err(DriverError::Stopped) => tracing::info!(?job, "{}", DriverError::Stopped),
            Err(e) => {
                let _ = self.events.send(Event::Stalled { job, reason: e.to_string() });
            }
        }
    }

    /// Runs the driver of a protocol until the job has ended.
    pub(crate) fn drive<P: Protocol>(
        &self,
        inputs: &mpsc::Receiver<Input>,
        private: Arc<P::Private>,
    ) -> Result<Finished<P::Output>, DriverError> {
        let (job, store) = (self.job.clone(), self.store.clone());
        let driver = Driver::<P> { job, party: self.party, private, store };
        let report = |progress: &_| {
            let _ = self
                .events
                .send(Event::Progress { job: self.job.id.clone(), progress: Clone::clone(progress) });
        };
        driver.run(inputs, |request| self.ask(request), report)
    }

    /// Tells the organisation's people what is used of their table.
    pub(crate) fn tell(&self, table: &Overview) {
        let _ = self.events.send(Event::Data { job: self.job.id.clone(), table: table.clone() });
    }

    /// Makes sure that the own data are those for which the job was accepted.
    pub(crate) fn check_data(&self, digest: &[u8; 32]) -> Result<(), DriverError> {
        match self.store.accepted_other_data(&self.job.id, digest)? {
            true => Err(DriverError::OtherData),
            false => Ok(()),
        }
    }

    /// Seconds since the job was accepted, or the node started.
    pub(crate) fn elapsed(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    /// Whether the ledger, as far as it was read, has the end of the job.
    pub(crate) fn has_finished(&self) -> Result<bool, DriverError> {
        let is_end = |fact: &LedgerEvent| {
            matches!(fact, LedgerEvent::Ended(Termination { outcome: Outcome::Finished, .. }))
        };
        Ok(self.store.facts(&self.job.id)?.iter().any(|located| is_end(&located.fact)))
    }

    fn ask(&self, request: Request) {
        if let Request::Abort(AbortReason::Fault(Fault::Input(reason))) = &request {
            let unfit = Event::Rejected { job: self.job.id.clone(), reason: reason.clone() };
            let _ = self.events.send(unfit);
        }
        self.poster.ask(request);
    }

    pub(crate) fn give_up(&self, inputs: &mpsc::Receiver<Input>, fault: Fault) -> Result<Ended, DriverError> {
        let trouble = fault.to_string();
        self.ask(Request::Abort(fault.into()));
        loop {
            match inputs.recv() {
                Ok(Input::LedgerEvent(located)) => {
                    if let LedgerEvent::Ended(ending) = located.fact {
                        return Ok((ending, None));
                    }
                }
                Ok(Input::PostFailed(reason)) => {
                    return Err(DriverError::Untold(format!("{trouble} ({reason})")));
                }
                Ok(Input::Stop) | Err(_) => return Err(DriverError::Stopped),
            }
        }
    }
}

/// How a job ended, and its report.
pub(crate) type Ended = (Termination, Option<Report>);

/// Finds what is wrong with what a party brings to a job, before it is accepted; the digest of its data, where it brings any.
///
/// # Errors
/// [`Fault::Input`].
pub fn check(config: &Config, job: &Job, party: u32) -> Result<Option<[u8; 32]>, Fault> {
    jobs::of(&job.params.kind).check(config, job, party)
}

/// Whether nothing is left to do for a job that has ended.
fn is_over(config: &Config, store: &Store, job: &Job, ending: &Termination) -> Result<bool, StoreError> {
    if ending.outcome != Outcome::Finished || !store.is_accepted(&job.id)? {
        return Ok(true);
    }
    Ok(match std::fs::read(report_path(config, &job.id)) {
        Ok(report) => jobs::of(&job.params.kind).is_whole(&report),
        Err(_) => false,
    })
}

/// Forgets the jobs that are over: their nodes were killed before they could, or were older.
pub(crate) fn forget_over(config: &Config, store: &Store) -> Result<(), StoreError> {
    for id in store.jobs()? {
        let proposed = store.facts(&id)?.into_iter().find_map(|located| match located.fact {
            LedgerEvent::Proposed(job) => Some(job),
            _ => None,
        });
        if let (Some(job), Some(ending)) = (proposed, ending(store, &id)?)
            && is_over(config, store, &job, &ending)?
        {
            forget(store, &job, &ending)?;
        }
    }
    Ok(())
}

/// How a job ended of which the store still has the facts.
pub(crate) fn ending(store: &Store, job: &JobId) -> Result<Option<Termination>, StoreError> {
    Ok(store.facts(job)?.into_iter().find_map(|located| match located.fact {
        LedgerEvent::Ended(ending) => Some(ending),
        _ => None,
    }))
}

/// Forgets a job that is over.
pub(crate) fn forget(store: &Store, job: &Job, ending: &Termination) -> Result<(), StoreError> {
    let keep = jobs::of(&job.params.kind).keeps_secret(ending) && store.has_secret(&job.id)?;
    let kept = if keep { Kept::Secret } else { Kept::Nothing };
    let ended = EndedJob { kind: job.params.kind.name().into(), ending: ending.clone() };
    store.forget(&job.id, &ended, kept)
}
