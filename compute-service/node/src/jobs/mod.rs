//! The kinds of jobs on a node, a module for each: what a party brings, how the job runs, what is kept of it, what it asks
//! and shows, and how an observer replays it.

pub mod horizontal_svm;
pub mod keys;
pub mod mean;
mod report;
mod template;
pub mod vertical_predict;
pub mod vertical_svm;

pub use report::ReportError;
pub(crate) use report::Told;
pub use template::Wanted;

use crate::{
    config::Config,
    consent::{Review, Weigh},
    driver::{DriverError, Input, Progress},
    predictions,
    worker::{Ended, Worker},
};
use protocol::{Committed, Fault, Protocol, Role, Status};
use records::{Job, JobParams, JobView, Kind, Phase, Rules, Slot, Termination};
use serde::{Deserialize, Serialize};
use std::{sync::mpsc::Receiver, time::Instant};

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
    fn keeps_secret(&self, _: &Termination) -> bool {
        false
    }

    /// Whether a job that names no key is run with shares that somebody dealt.
    fn uses_dealt_key(&self) -> bool {
        false
    }

    /// Adds what the job asks of the party and shows, and what is below the node's minima.
    fn review(&self, weigh: &Weigh, review: &mut Review);

    /// What people are told when it is proposed, behind `proposing`.
    fn subject(&self) -> &'static str;

    /// How much there is to do, for people who ask what became of it.
    fn extent(&self) -> String;

    /// Whether nobody knows beforehand how many rounds it takes.
    fn is_open_ended(&self) -> bool {
        false
    }

    /// What people are told meanwhile where that is not a number of records.
    fn step(&self, _: &Progress) -> Option<String> {
        None
    }

    /// What work on a phase's records is for.
    fn work(&self, phase: Phase) -> Work {
        match phase {
            Phase::Chain | Phase::Noise => Work::Preparation,
            Phase::Iv | Phase::Dv | Phase::Model | Phase::Result => Work::Training,
            Phase::Weights | Phase::Margins | Phase::Indicators | Phase::Gradient => Work::Training,
            _ => Work::Keys,
        }
    }

    /// A replay without any secret.
    fn observe(&self, job: &Job) -> Result<Box<dyn Replayed>, Fault>;
}

/// What work is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Keys and seeds.
    Keys,
    /// What can be made before the data are used.
    Preparation,
    /// Training or predictions.
    Training,
}

/// Seconds of work by what it was for: waiting is not in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// Setup and seed.
    pub keys: f64,
    /// Chain and noise.
    pub preparation: f64,
    /// Iterations and model.
    pub training: f64,
    /// Processor time of the whole process meanwhile, network threads included: to ask every thread of the
    /// arithmetic for its own would cost more than the difference.
    pub cpu: f64,
}

impl Seconds {
    pub(crate) fn measure<T>(&mut self, work: Work, task: impl FnOnce() -> T) -> T {
        let (start, cpu) = (Instant::now(), cpu_seconds());
        let result = task();
        let elapsed = start.elapsed().as_secs_f64();
        match work {
            Work::Keys => self.keys += elapsed,
            Work::Preparation => self.preparation += elapsed,
            Work::Training => self.training += elapsed,
        }
        self.cpu += cpu_seconds() - cpu;
        result
    }
}

/// Processor time of this process so far, in seconds.
pub fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
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

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident => $report:ty,)*) => {
        /// What the node does with jobs of this kind.
        pub(crate) fn of(kind: &Kind) -> &dyn NodeJob {
            match kind {
                $(Kind::$kind(params) => {
                    let params: &records::jobs::$kind = params;
                    params
                })*
            }
        }

        /// What a node keeps of a finished job. Its JSON names the kind; older files do not, but the parameters in them do.
        #[derive(Clone, Debug, Serialize)]
        #[serde(tag = "kind", rename_all = "kebab-case")]
        pub enum Report {
            $($(#[$doc])* $kind(Box<$report>),)*
        }

        impl Report {
            fn of_kind(kind: &Kind, json: &[u8]) -> serde_json::Result<Self> {
                Ok(match kind {
                    $(Kind::$kind(_) => Self::$kind(serde_json::from_slice(json)?),)*
                })
            }

            fn told(&self) -> &dyn Told {
                match self {
                    $(Self::$kind(report) => &**report,)*
                }
            }
        }
    };
}

// Each with what is kept of it.
kinds! {
    /// Of a training by columns.
    VerticalSvm => vertical_svm::JobReport,
    /// Of predictions with a split model.
    VerticalPredict => vertical_predict::PredictReport,
    /// Of a training by rows.
    HorizontalSvm => horizontal_svm::RowsReport,
    /// Of a negotiated key.
    KeyGeneration => keys::KeyReport,
    /// Of a refreshed key.
    KeyRefresh => keys::KeyReport,
    /// Of means and deviations.
    Mean => mean::MeanReport,
}

/// Parameters of a job of a kind, with a fresh nonce, to be proposed. Trainings are no such kind: they have options of their
/// own.
///
/// # Errors
/// A kind without such, files that do not fit it, or a setting that it has not.
pub fn template(kind: &str, wanted: &Wanted) -> Result<JobParams, Fault> {
    let params = match kind {
        "vertical-predict" => {
            let training = wanted.required("training")?;
            let training = training.parse().map_err(|e| Fault::Input(format!("training: {e}")))?;
            predictions::template(wanted.config, &training)?
        }
        "mean" => mean::template(wanted)?,
        other => {
            return Err(Fault::Input(format!("jobs of kind `{other}` are not begun with this command")));
        }
    };
    Ok(JobParams { kind: wanted.apply(params.kind)?, ..params })
}

/// What people are told when a job of this kind is proposed.
pub fn proposing(kind: &Kind) -> String {
    format!("proposing {}", of(kind).subject())
}

/// What people are told while a job is under way where that is not a number of records.
pub fn step(kind: &Kind, progress: &Progress) -> Option<String> {
    of(kind).step(progress)
}

/// The number of all records of a job, where it is known beforehand.
pub fn known_records(params: &JobParams) -> Option<u64> {
    if of(&params.kind).is_open_ended() {
        return None;
    }
    let rules = Rules::new(params);
    let of = |phase: Phase| {
        let slots = u64::from(rules.chunks(phase)) * rules.authors(phase).len() as u64;
        // Only one of the rounds that could end with a model does.
        let rounds = if phase == Phase::Model { 1 } else { rules.rounds(phase) };
        u64::from(rounds) * slots
    };
    Some(rules.phases().into_iter().map(of).sum())
}

/// What became of a job so far, in a line.
pub fn state(view: &JobView) -> String {
    if let Some(ending) = &view.ending {
        return ending.to_string();
    }
    let answers = view.job.params.participants.iter().zip(&view.acceptances);
    let waiting: Vec<&str> =
        answers.filter(|(_, acceptance)| acceptance.is_none()).map(|(name, _)| name.as_str()).collect();
    match waiting.is_empty() {
        true => format!("running: {}", of(&view.job.params.kind).extent()),
        false => format!("proposed by {}; waits for {}", view.job.proposer, waiting.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use records::JobId;
    use serde_json::{Value, json};

    fn key_report() -> Value {
        let names = ["Org1MSP", "Org2MSP"].map(|name| name.parse().unwrap()).to_vec();
        let generation = crate::proposal::key_generation(256, true, 2, records::Collusion::AllButOne);
        let params = crate::proposal::job_params(Kind::KeyGeneration(generation), names).unwrap();
        let id: JobId = params.id();
        let job =
            Job { version: 1, id: id.clone(), params, proposer: "Org1MSP".parse().unwrap(), proposed: 0 };
        let ending = Termination {
            version: 1,
            job: id,
            by: "Org1MSP".parse().unwrap(),
            outcome: records::Outcome::Finished,
        };
        json!({
            "job": job, "party": 0, "ending": ending, "key": "ab".repeat(32), "share": null, "candidates": 7,
            "seconds": Seconds::default(), "elapsed": 1.5, "traffic": crate::worker::Traffic::default(),
        })
    }

    /// Files of older nodes have no tag; new ones name the kind, and one that is not the job's is refused.
    #[test]
    fn report_tags() {
        let old = key_report();
        let report = Report::from_json(&serde_json::to_vec(&old).unwrap()).unwrap();
        assert!(matches!(&report, Report::KeyGeneration(report) if report.candidates == 7));
        let new: Value = serde_json::from_slice(&report.to_json()).unwrap();
        assert_eq!(new["kind"], "key-generation");
        let mut expected = old.clone();
        expected["kind"] = "key-generation".into();
        assert_eq!(new, expected);
        assert!(Report::from_json(&report.to_json()).is_ok());
        let mut wrong = old;
        wrong["kind"] = "key-refresh".into();
        let error = Report::from_json(&serde_json::to_vec(&wrong).unwrap()).unwrap_err().to_string();
        assert!(error.contains("key-generation") && error.contains("key-refresh"), "{error}");
    }
}
