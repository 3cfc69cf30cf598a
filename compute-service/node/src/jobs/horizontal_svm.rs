//! Training by rows on a node.

use super::{NodeJob, Replay, Replayed, Report, Seconds, Told};
use crate::{
    config::Config,
    consent::{Below, Review, Weigh, shown},
    data,
    driver::{DriverError, Input},
    model::Model,
    report,
    worker::{Ended, Traffic, Worker},
};
use dataset::table::Overview;
use protocol::{Fault, JobSecret};
use records::{Comparison, HorizontalSvm, Job, Termination};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, mpsc::Receiver};
use svm::horizontal::{self, HorizontalSvm as Training};

/// What a node keeps of a finished training by rows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RowsReport {
    /// The job.
    pub job: Job,
    /// The node's party index.
    pub party: u32,
    /// How it ended.
    pub ending: Termination,
    /// What a provider's own table holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<Overview>,
    /// Updates of the model that were made.
    pub iterations: u32,
    /// The joint seed of the batches, hexadecimal, where an iteration does not visit all rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<String>,
    /// Seconds of secure polynomial multiplication (table 4.4 of the book), since the node was started.
    pub multiplication: f64,
    /// Seconds of secure comparison.
    pub comparison: f64,
    /// The model, at the analyst, and at everybody where it was published.
    pub model: Option<Model>,
    /// Work.
    pub seconds: Seconds,
    /// Seconds from acceptance to the end, since the node was started.
    pub elapsed: f64,
    /// Ledger traffic.
    pub traffic: Traffic,
    /// Most memory that the node's process has held so far, in bytes, where the system says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory: Option<u64>,
}

impl Told for RowsReport {
    fn ending(&self) -> &Termination {
        &self.ending
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("iterations  {}", self.iterations)];
        match &self.model {
            Some(model) => lines.extend(model.lines()),
            None => lines.push("model       with the analyst".into()),
        }
        lines
    }

    fn model(&self) -> Option<&Model> {
        self.model.as_ref()
    }
}

/// Most memory that this process has held so far, in bytes; Linux says so.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

impl NodeJob for HorizontalSvm {
    fn check(&self, config: &Config, job: &Job, party: u32) -> Result<Option<[u8; 32]>, Fault> {
        // Nothing that is made from this secret leaves this function.
        Ok(data::rows(config, job, party, JobSecret::new([0; 32]))?.digest)
    }

    fn run(&self, worker: &Worker, inputs: &Receiver<Input>) -> Result<Ended, DriverError> {
        let secret = worker.store.secret(&worker.job.id)?;
        let (private, table) = match data::rows(&worker.config, &worker.job, worker.party, secret) {
            Ok(rows) => {
                rows.digest.map_or(Ok(()), |digest| worker.check_data(&digest))?;
                rows.overview.iter().for_each(|overview| worker.tell(overview));
                (Arc::new(rows.private), rows.overview)
            }
            Err(fault) => return worker.give_up(inputs, fault),
        };
        let finished = worker.drive::<Training>(inputs, private.clone())?;
        let report = finished.output.map(|output| {
            let weights = match (&output.weights, worker.party == self.analyst) {
                (None, true) => output.weights_of_analyst(&worker.job, &private).ok(),
                (published, _) => published.clone(),
            };
            RowsReport {
                job: worker.job.clone(),
                party: worker.party,
                ending: finished.ending.clone(),
                table,
                iterations: output.iterations,
                seed: output.seed.map(hex::encode),
                multiplication: output.times.multiplication.as_secs_f64(),
                comparison: output.times.comparison.as_secs_f64(),
                model: weights
                    .map(|weights| Model::by_rows(&worker.job.params, self, output.scaler, weights)),
                seconds: finished.seconds,
                elapsed: worker.elapsed(),
                traffic: worker.poster.traffic(),
                peak_memory: peak_memory(),
            }
        });
        Ok((finished.ending, report.map(|report| Report::HorizontalSvm(Box::new(report)))))
    }

    fn review(&self, weigh: &Weigh, review: &mut Review) {
        let noise = self.gradient_noise.as_ref();
        let most = self.providers(weigh.params.parties()).saturating_mul(self.rows);
        review.parameters = vec![
            ("analyst".into(), weigh.name(self.analyst).into()),
            ("columns".into(), self.columns.join(", ")),
            ("classes".into(), format!("{} and {}", self.positive, self.negative)),
            ("room for rows".into(), format!("{} of each provider", self.rows)),
            (
                "updates".into(),
                format!("at most {} of {} rows of each provider", self.iterations, self.active()),
            ),
            ("judge".into(), if self.comparison == Comparison::Paper { "paper" } else { "blinded" }.into()),
            ("key".into(), format!("{} bits, the analyst's own", self.key_bits)),
            (
                "gradient noise".into(),
                noise.map_or("none".into(), |noise| format!("{} norms of a row", noise.multiplier)),
            ),
            ("model".into(), shown(&self.model)),
        ];
        if let Some(noise) = noise {
            let epsilon = horizontal::epsilon(noise, self.iterations);
            let said = format!("{epsilon:.2} at δ = {}, norm {}", noise.delta, noise.norm);
            review.parameters.push(("ε of a row".into(), said));
        }
        weigh.key_bits(self.key_bits, review);
        weigh.judge(self.comparison == Comparison::Paper, review);
        weigh.model(self.model, review);
        if let Some(blinding) = Training::blinding(self) {
            review
                .parameters
                .push(("blinding".into(), format!("factors over a range of 2^{}", blinding.range)));
            weigh.blinding(blinding.range, review);
        }
        let multiplier = noise.map(|noise| noise.multiplier).unwrap_or_default();
        // It hides a provider's rows; the analyst has none.
        if weigh.party != self.analyst && multiplier < weigh.minimum.gradient_noise {
            let minimum = weigh.minimum.gradient_noise.to_string();
            review.below.push(Below {
                setting: "gradient_noise".into(),
                job: multiplier.to_string(),
                minimum,
            });
        }
        let providers = self.providers(weigh.params.parties()) as usize;
        review.reveals =
            report::reveals_by_rows(self, providers, self.iterations, &format!("at most {most}"));
    }

    fn subject(&self) -> &'static str {
        "the training"
    }

    fn extent(&self) -> String {
        format!("at most {} iterations", self.iterations)
    }

    fn observe(&self, job: &Job) -> Result<Box<dyn Replayed>, Fault> {
        Replay::<Training>::start(job, |_| 0, |_| 0)
    }
}
