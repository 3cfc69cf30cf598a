//! The report of a training by rows: what came out, compared with training on the pooled rows.

use crate::{
    deployment::{Deployment, Held},
    error::{ExperimentError, Result, input},
    ledger_report::LedgerReport,
};
use dataset::{Label, metrics::Metrics, scaling::Scaling, table::Overview};
use node::{report::reveals_by_rows, worker::RowsReport};
use num_bigint::BigInt;
use records::{Comparison, HorizontalSvm, JobId, Kind};
use serde::{Deserialize, Serialize};
use svm::{
    Hyperparameters,
    evaluation::Preparation,
    fixed, float, horizontal,
    reference::{self, Variant},
};

/// The report of `confab train --partition rows`; what `--json` writes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HorizontalReport {
    /// Layout version.
    pub version: u32,
    /// The job on the ledger.
    pub job: JobId,
    /// What the table holds.
    #[serde(default)]
    pub table: Overview,
    /// Number of providers; the analyst comes on top.
    pub providers: u32,
    /// Training rows of all providers together.
    pub instances: u32,
    /// Number of test rows.
    pub test_instances: u32,
    /// Number of columns.
    pub features: u32,
    /// Lines that were left out because of gaps.
    pub dropped_lines: Vec<u64>,
    /// Columns that were left out, having no value in any training row.
    #[serde(default)]
    pub left_out: Vec<String>,
    /// Gaps in the training rows that count as their column's mean.
    pub filled_gaps: u32,
    /// Updates that were made, and the most that were allowed.
    pub iterations: (u32, u32),
    /// Rows of each provider in one iteration.
    pub batch: u32,
    /// How margins were compared.
    pub protocol: Comparison,
    /// Bits of the analyst's N.
    pub key_bits: u32,
    /// L, the octaves of the blinding; absent for the paper's protocol.
    pub blinding_bits: Option<u32>,
    /// ε of the whole run at the δ that was asked for, where there is gradient noise.
    pub epsilon: Option<f64>,
    /// The ledger and what went over it.
    pub ledger: LedgerReport,
    /// As table 4.4 of the book splits it.
    pub seconds: HorizontalTimes,
    /// The model of the secure run on the test rows.
    pub secure: Metrics,
    /// The plaintext reference on the same rows.
    pub plaintext: Metrics,
    /// 64-bit floating point on the same rows and schedule.
    pub float: Metrics,
    /// Whether every weight is the reference's; absent where noise was added.
    pub identical_weights: Option<bool>,
    /// Whether every prediction is the reference's; absent where noise was added.
    pub identical_predictions: Option<bool>,
    /// Most memory of any participant's process, in bytes, where the system says so.
    pub peak_memory: Option<u64>,
    /// What the run reveals, in words.
    pub reveals: Vec<String>,
}

/// Seconds, split as in table 4.4 of the book. Those of the providers are added up, as there.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct HorizontalTimes {
    /// From the proposal to the last participant's end.
    pub total: f64,
    /// Work of all providers.
    pub providers: f64,
    /// Work of the analyst.
    pub analyst: f64,
    /// Secure comparison, of all.
    pub comparison: f64,
    /// Secure polynomial multiplication, of all providers.
    pub multiplication: f64,
    /// Processor time of all participants' processes together while at work.
    pub cpu_all_participants: f64,
}

impl HorizontalReport {
    /// Compares what came out with the plaintext reference of the same schedule.
    ///
    /// # Errors
    /// A job that did not finish.
    pub fn new(
        deployment: &Deployment,
        reports: &[RowsReport],
        ledger_kind: &str,
        total_seconds: f64,
    ) -> Result<Self> {
        let (Kind::HorizontalSvm(training), Held::Rows(dealt)) = (&deployment.params.kind, &deployment.held)
        else {
            return Err(ExperimentError::Unfinished("it is no training by rows".into()));
        };
        let hyper = Hyperparameters::from(training.as_ref());
        let model = deployment.horizontal_model(reports)?;
        let part = &model.parts[0];
        let Preparation { table, split, test_labels, .. } = &deployment.prepared;
        let pooled = dealt.concat();
        let labels = table.labels().map_err(input)?;
        let train_labels: Vec<Label> = pooled.iter().map(|&row| labels[row]).collect();
        let test_rows = if split.test.is_empty() { &split.train } else { &split.test };
        let train = part.scaler.apply(table, &pooled).map_err(input)?;
        let test = part.scaler.apply(table, test_rows).map_err(input)?;
        let scaling = if training.standardise { Scaling::Std } else { Scaling::None };
        let means = float::Means { scaling, gaps_count: false };
        let floats = |rows| float::scaled(table, &pooled, rows, means);
        let float_train = floats(&pooled);
        if let Some(column) = float::differing(&train, &float_train) {
            return Err(ExperimentError::Defect(format!(
                "column `{column}`: the providers' scaling is not that of an independent computation"
            )));
        }
        let variant = Variant { intercept: training.intercept, tolerance: training.tolerance };
        let exact = training.gradient_noise.is_none();
        let analyst = &reports[training.analyst as usize];
        let schedule = schedule(training, dealt, analyst)?;
        let reference = reference::train(&train, &train_labels, &schedule, &hyper, variant);
        let float = float::train(&float_train, &train_labels, &schedule, &hyper, variant);
        let float_predictions = float.predict(&floats(test_rows));
        let predictions: Vec<Label> = test.rows.iter().map(|row| fixed::class_of(&part.score(row))).collect();
        let reference_predictions = reference.predict(&test);
        let mut weights: Vec<BigInt> = part.weights.iter().map(|w| BigInt::from(*w)).collect();
        weights.extend(training.intercept.then(|| BigInt::from(part.intercept)));
        let work = |report: &RowsReport| report.seconds.keys + report.seconds.training;
        let providers = || reports.iter().filter(|report| report.party != training.analyst);
        let iterations = analyst.iterations;
        let values = pooled.iter().flat_map(|&row| &table.rows[row].values);
        let filled_gaps = values.filter(|value| value.is_none()).count() as u32;
        Ok(Self {
            version: records::VERSION,
            job: deployment.params.id(),
            table: deployment.overview.clone(),
            providers: training.providers(deployment.params.parties()),
            instances: pooled.len() as u32,
            test_instances: split.test.len() as u32,
            features: table.columns.len() as u32,
            dropped_lines: deployment.dropped.clone(),
            left_out: deployment.prepared.left_out.clone(),
            filled_gaps,
            iterations: (iterations, training.iterations),
            batch: training.active(),
            protocol: training.comparison,
            key_bits: training.key_bits,
            blinding_bits: horizontal::HorizontalSvm::blinding(training).map(|blinding| blinding.range),
            epsilon: training.gradient_noise.as_ref().map(|noise| horizontal::epsilon(noise, iterations)),
            ledger: LedgerReport::new(ledger_kind, reports.iter().map(|report| &report.traffic)),
            seconds: HorizontalTimes {
                total: total_seconds,
                providers: providers().map(work).sum(),
                analyst: work(analyst),
                comparison: reports.iter().map(|r| r.comparison).sum(),
                multiplication: reports.iter().map(|r| r.multiplication).sum(),
                cpu_all_participants: reports.iter().map(|r| r.seconds.cpu).sum(),
            },
            secure: Metrics::new(test_labels, &predictions),
            plaintext: Metrics::new(test_labels, &reference_predictions),
            float: Metrics::new(test_labels, &float_predictions),
            identical_weights: exact.then(|| weights == reference.weights),
            identical_predictions: exact.then(|| predictions == reference_predictions),
            peak_memory: reports.iter().filter_map(|report| report.peak_memory).max(),
            reveals: reveals_by_rows(training, dealt.len(), iterations, &pooled.len().to_string()),
        })
    }
}

/// Which of the pooled rows each iteration visits.
fn schedule(training: &HorizontalSvm, dealt: &[Vec<usize>], analyst: &RowsReport) -> Result<Vec<Vec<u32>>> {
    let Some(batch) = training.batch else {
        let all = (0..dealt.concat().len() as u32).collect();
        return Ok(vec![all; training.iterations as usize]);
    };
    let seed = analyst.seed.as_ref().and_then(|seed| hex::decode(seed).ok()?.try_into().ok());
    let seed = seed.ok_or_else(|| ExperimentError::Unfinished("no seed of the batches".into()))?;
    let mut schedule = vec![Vec::new(); training.iterations as usize];
    let mut first = 0;
    for (party, rows) in dealt.iter().enumerate() {
        let rows = rows.len() as u32;
        let own = horizontal::batches(&analyst.job, training, &seed, party as u32, rows, batch);
        for (visits, own) in schedule.iter_mut().zip(own) {
            visits.extend(own.into_iter().map(|row| first + row));
        }
        first += rows;
    }
    Ok(schedule)
}
