//! Predictions with a model that stayed split, on a node.

use super::{NodeJob, Replay, Replayed, Report, Seconds, Told};
use crate::{
    config::Config,
    consent::{Review, Weigh, of},
    driver::{DriverError, Input},
    predictions::{self, PredictionInput},
    report,
    worker::{Ended, Traffic, Worker},
};
use dataset::{Label, table::Overview};
use protocol::Fault;
use records::{Job, Termination, VerticalPredict};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, mpsc::Receiver};
use svm::vertical::Prediction;

/// What a node keeps of finished predictions with a model that stayed split.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PredictReport {
    /// The job.
    pub job: Job,
    /// The node's party index.
    pub party: u32,
    /// How it ended.
    pub ending: Termination,
    /// What the file of the new rows holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<Overview>,
    /// Identifiers and classes, in the words of the training table.
    pub classes: Vec<(String, String)>,
    /// What others learned, in words.
    pub reveals: Vec<String>,
    /// Work.
    pub seconds: Seconds,
    /// Seconds from acceptance to the end, since the node was started.
    pub elapsed: f64,
    /// Ledger traffic.
    pub traffic: Traffic,
}

impl Told for PredictReport {
    fn ending(&self) -> &Termination {
        &self.ending
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![String::new(), format!("{:<24} class", "id")];
        lines.extend(self.classes.iter().map(|(id, class)| format!("{id:<24} {class}")));
        lines.extend([String::new(), "what these predictions reveal".into()]);
        lines.extend(self.reveals.iter().map(|line| format!("  - {line}")));
        lines
    }
}

impl NodeJob for VerticalPredict {
    fn check(&self, config: &Config, job: &Job, party: u32) -> Result<Option<[u8; 32]>, Fault> {
        Ok(Some(predictions::load(config, job, party, self)?.digest))
    }

    /// Predictions with a split model. Their rows are counted before anything of them leaves the node, and the answers are
    /// on the disk before the report, without which the job would be taken up again.
    fn run(&self, worker: &Worker, inputs: &Receiver<Input>) -> Result<Ended, DriverError> {
        let (config, job) = (&worker.config, &worker.job);
        let loaded = predictions::load(config, job, worker.party, self)
            .and_then(|asked| predictions::count(config, &job.id, self).map(|()| asked));
        let PredictionInput { parts, ids, classes, digest, overview } = match loaded {
            Ok(asked) => asked,
            Err(fault) => return worker.give_up(inputs, fault),
        };
        worker.check_data(&digest)?;
        worker.tell(&overview);
        let finished = worker.drive::<Prediction>(inputs, Arc::new(parts))?;
        let Some(labels) = finished.output else { return Ok((finished.ending, None)) };
        let kept = predictions::keep(config, &job.id, &self.training, &ids, &labels)
            .map_err(|e| e.to_string())
            .and_then(|()| predictions::reveals(self, job.params.parties()).map_err(|e| e.to_string()));
        let reveals = match kept {
            Ok(reveals) => reveals,
            Err(reason) => {
                tracing::error!(
                    job = ?job.id,
                    "the answers are not on the disk: {reason}. Mend that and start the node again"
                );
                return Ok((finished.ending, None));
            }
        };
        let [positive, negative] = &classes;
        let class = |label: &Label| if *label == Label::Positive { positive } else { negative }.clone();
        let report = PredictReport {
            job: job.clone(),
            party: worker.party,
            ending: finished.ending.clone(),
            table: Some(overview),
            classes: ids.into_iter().zip(labels.iter().map(class)).collect(),
            reveals,
            seconds: finished.seconds,
            elapsed: worker.elapsed(),
            traffic: worker.poster.traffic(),
        };
        Ok((finished.ending, Some(Report::VerticalPredict(Box::new(report)))))
    }

    fn uses_dealt_key(&self) -> bool {
        true
    }

    fn review(&self, weigh: &Weigh, review: &mut Review) {
        let parties = weigh.params.parties();
        review.parameters = vec![
            ("training".into(), self.training.to_string()),
            ("rows".into(), self.instances.to_string()),
            ("key".into(), weigh.key_shown(self.key, self.key_bits)),
            ("quorum".into(), of(self.quorum, parties)),
        ];
        weigh.key_bits(self.key_bits, review);
        weigh.quorum(self.quorum, parties, review);
        weigh.bound(parties, review);
        let weak = VerticalPredict { weak_blinding: true, ..self.clone() };
        if let Ok(blinding) = Prediction::blinding(&weak, parties) {
            review
                .parameters
                .push(("blinding".into(), format!("factors over a range of 2^{}", blinding.range)));
            weigh.blinding(blinding.range, review);
        }
        review.reveals = predictions::reveals(&weak, parties).unwrap_or_default();
        review.reveals.push(report::pooled(weigh.key_bound(), self.quorum, "decision value"));
    }

    fn subject(&self) -> &'static str {
        "the predictions"
    }

    fn extent(&self) -> String {
        format!("{} rows", self.instances)
    }

    fn observe(&self, job: &Job) -> Result<Box<dyn Replayed>, Fault> {
        Replay::<Prediction>::start(job, Prediction::proofs, |labels| labels.len() as u64)
    }
}
