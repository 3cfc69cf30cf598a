//! Training by columns on a node.

use super::{NodeJob, Replay, Replayed, Report, Seconds, Told};
use crate::{
    config::Config,
    consent::{Below, Review, Weigh, of, shown},
    data,
    driver::{DriverError, Input},
    model::{Model, Part},
    report,
    worker::{Ended, Traffic, Worker},
};
use dataset::table::Overview;
use protocol::{Fault, JobSecret};
use records::{Bytes, Digest, Job, Judge, Publication, Termination, VerticalSvm};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, mpsc::Receiver};
use svm::vertical::{Blinding, VerticalSvm as Training};

/// What a node keeps of a finished job: `jobs/<job>.json` in its data directory, mode 0600.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JobReport {
    /// The job.
    pub job: Job,
    /// The node's party index.
    pub party: u32,
    /// How it ended.
    pub ending: Termination,
    /// What the own table holds; of reports that are older than this field nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<Overview>,
    /// Indicators by iteration.
    pub indicators: Vec<Vec<bool>>,
    /// Instances by iteration; positions in the order of the sorted identifiers.
    pub schedule: Vec<Vec<u32>>,
    /// The model as far as the participant knows it: its own part.
    pub model: Model,
    /// Everybody's weights at scale 2^24 where the model was published.
    pub published: Option<Vec<Vec<i64>>>,
    /// The digests of everybody's parts of the model, by party; hexadecimal.
    #[serde(default)]
    pub digests: Vec<Digest>,
    /// What opens the digest of the own part, where the model stayed split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<Bytes>,
    /// Work.
    pub seconds: Seconds,
    /// Seconds from acceptance to the end, since the node was started.
    pub elapsed: f64,
    /// Ledger traffic.
    pub traffic: Traffic,
}

impl JobReport {
    /// The participant's own part of the model.
    pub fn part(&self) -> &Part {
        &self.model.parts[0]
    }
}

impl Told for JobReport {
    fn ending(&self) -> &Termination {
        &self.ending
    }

    fn lines(&self) -> Vec<String> {
        let inside: usize = self.indicators.iter().flatten().filter(|inside| **inside).count();
        let visits: usize = self.indicators.iter().map(Vec::len).sum();
        let mut lines = vec![format!(
            "iterations  {}, {inside} of {visits} visited instances were inside the margin",
            self.indicators.len()
        )];
        lines.extend(self.model.lines());
        lines
    }

    fn model(&self) -> Option<&Model> {
        Some(&self.model)
    }
}

impl NodeJob for VerticalSvm {
    fn check(&self, config: &Config, job: &Job, party: u32) -> Result<Option<[u8; 32]>, Fault> {
        // Nothing that is made from this secret leaves this function.
        let secret = JobSecret::new([0; 32]);
        Ok(Some(data::load(config, job, party, &secret)?.digest))
    }

    /// With unfit data the job is aborted and only its ending is waited for.
    fn run(&self, worker: &Worker, inputs: &Receiver<Input>) -> Result<Ended, DriverError> {
        let secret = worker.store.secret(&worker.job.id)?;
        let mut loaded = match data::load(&worker.config, &worker.job, worker.party, &secret) {
            Ok(loaded) => loaded,
            Err(fault) => return worker.give_up(inputs, fault),
        };
        worker.check_data(&loaded.digest)?;
        worker.tell(&loaded.overview);
        let private = Arc::new(loaded.private);
        let finished = worker.drive::<Training>(inputs, private.clone())?;
        let model =
            finished.output.as_ref().and_then(|output| match private.weights(&worker.job.params, output) {
                Ok(weights) => {
                    loaded.frame.parts[0].weights = weights;
                    Some(loaded.frame)
                }
                Err(e) => {
                    tracing::error!(job = ?worker.job.id, "the own weights: {e}");
                    None
                }
            });
        let report = model.zip(finished.output).map(|(model, output)| JobReport {
            job: worker.job.clone(),
            party: worker.party,
            ending: finished.ending.clone(),
            table: Some(loaded.overview),
            indicators: output.indicators,
            schedule: output.schedule,
            model,
            salt: output.weights.is_none().then(|| Bytes(private.salt().to_vec())),
            published: output.weights,
            digests: output.digests,
            seconds: finished.seconds,
            elapsed: worker.elapsed(),
            traffic: worker.poster.traffic(),
        });
        Ok((finished.ending, report.map(|report| Report::VerticalSvm(Box::new(report)))))
    }

    /// Reports of older nodes lack the salt of a split model; it follows from the secret.
    fn is_whole(&self, report: &[u8]) -> bool {
        self.model != Publication::Split
            || serde_json::from_slice::<JobReport>(report).is_ok_and(|report| report.salt.is_some())
    }

    fn uses_dealt_key(&self) -> bool {
        true
    }

    fn review(&self, weigh: &Weigh, review: &mut Review) {
        let parties = weigh.params.parties();
        let (visits, wanted) = (most_visits(self), weigh.minimum.octaves);
        review.parameters = vec![
            ("instances".into(), self.instances.to_string()),
            ("updates".into(), format!("{} of {} instances", self.iterations, self.batch)),
            ("judge".into(), shown(&self.judge)),
            ("key".into(), weigh.key_shown(self.key, self.key_bits)),
            ("quorum".into(), of(self.quorum, parties)),
            ("model".into(), shown(&self.model)),
        ];
        if let Some(classes) = &self.classes {
            let shown = format!("positive {}, negative {}", classes.positive, classes.negative);
            review.parameters.push(("classes".into(), shown));
        }
        weigh.key_bits(self.key_bits, review);
        weigh.quorum(self.quorum, parties, review);
        weigh.bound(parties, review);
        weigh.judge(self.judge == Judge::Paper, review);
        weigh.model(self.model, review);
        // A blinding that does not fit the key is refused where the data are checked.
        let blinding = Blinding::new(self.key_bits, parties, self.margin_bits, true).ok();
        let leak = blinding.filter(|_| self.judge == Judge::Blinded).map(|blinding| {
            let octaves = blinding.octaves(visits);
            review
                .parameters
                .push(("blinding".into(), format!("factors over a range of 2^{}", blinding.range)));
            weigh.blinding(blinding.range, review);
            if octaves < wanted {
                let job = format!("{octaves:.1} octaves after {visits} visits to an instance");
                review.below.push(Below { setting: "octaves".into(), job, minimum: wanted.to_string() });
            }
            report::LeakBound::new(&blinding, visits)
        });
        review.reveals = report::reveals(weigh.params, weigh.key_bound(), leak.as_ref());
    }

    fn subject(&self) -> &'static str {
        "the training"
    }

    fn extent(&self) -> String {
        format!("{} iterations", self.iterations)
    }

    fn observe(&self, job: &Job) -> Result<Box<dyn Replayed>, Fault> {
        Replay::<Training>::start(job, Training::proofs, |output| {
            output.indicators.iter().flatten().count() as u64
        })
    }
}

/// So many visits to one instance that more come about once in a thousand trainings: they are drawn uniformly.
pub(crate) fn most_visits(training: &VerticalSvm) -> u32 {
    let visits = training.comparisons();
    let mean = f64::from(visits) / f64::from(training.instances);
    let rare = 1e-3 / f64::from(training.instances);
    // The tail of the binomial distribution is below Chernoff's bound (e·λ/v)^v·e^−λ for v > λ.
    let is_rare = |most: u32| {
        let v = f64::from(most);
        v > mean && v * (1.0 + (mean / v).ln()) - mean < rare.ln()
    };
    let (mut low, mut high) = (mean as u32, visits);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_rare(middle) { high = middle } else { low = middle + 1 }
    }
    low.min(visits).max(1)
}
