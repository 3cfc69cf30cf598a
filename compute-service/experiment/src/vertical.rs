//! The report of a training by columns: the secure run beside the plaintext reference and a floating-point run.

use crate::{
    deployment::{Deployment, Held},
    error::{ExperimentError, Result, input},
    ledger_report::LedgerReport,
};
use dataset::{
    Label,
    metrics::{self, Metrics},
    table::Overview,
};
use node::{
    jobs::Seconds,
    report::{LeakBound, reveals},
    worker::JobReport,
};
use num_bigint::BigInt;
use records::{Fingerprint, JobId, Judge, Kind, Outcome};
use serde::{Deserialize, Serialize};
use svm::{
    Hyperparameters,
    evaluation::Preparation,
    fixed, float,
    reference::{self, Variant},
    vertical::Blinding,
};

/// The report of `confab train` and `confab demo`; what `--json` writes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VerticalReport {
    /// Layout version.
    pub version: u32,
    /// The job on the ledger.
    pub job: JobId,
    /// What the table holds.
    #[serde(default)]
    pub table: Overview,
    /// Number of participants n.
    pub participants: u32,
    /// Number m of training instances.
    pub instances: u32,
    /// Number of test instances.
    pub test_instances: u32,
    /// Number of features of all participants together.
    pub features: u32,
    /// Number of features of each participant.
    pub features_by_participant: Vec<u32>,
    /// Lines that were left out because of gaps.
    pub dropped_lines: Vec<u64>,
    /// Columns that were left out, having no value in any training row.
    #[serde(default)]
    pub left_out: Vec<String>,
    /// Number T of iterations.
    pub iterations: u32,
    /// Instances B of an iteration.
    pub batch: u32,
    /// The judge.
    pub protocol: Judge,
    /// Bits of N.
    pub key_bits: u32,
    /// Who made the key.
    pub key_origin: String,
    /// Fingerprint of a key that was negotiated.
    pub key: Option<Fingerprint>,
    /// How many participants decrypt together.
    pub quorum: u32,
    /// L, the octaves of the blinding; absent for the paper's judge.
    pub blinding_bits: Option<u32>,
    /// What may be learned per comparison and over all visits; absent for the paper's judge.
    pub leak_bound: Option<LeakBound>,
    /// The ledger and what went over it.
    pub ledger: LedgerReport,
    /// Where the time went.
    pub seconds: Times,
    /// The model of the secure run on the test rows.
    pub secure: Metrics,
    /// The plaintext reference on the same rows.
    pub plaintext: Metrics,
    /// The floating-point run on the same rows.
    pub float: Metrics,
    /// Whether every indicator is the reference's.
    pub identical_indicators: bool,
    /// Whether every prediction is the reference's.
    pub identical_predictions: bool,
    /// Whether every weight is the reference's.
    pub identical_weights: bool,
    /// Indicators that differ from the floating-point run, of all comparisons.
    pub float_differing_indicators: u64,
    /// What the run reveals, in words.
    pub reveals: Vec<String>,
}

/// Seconds, by what they were for. Work is the slowest participant's; waiting for others is the ledger's.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Times {
    /// From the proposal to the last participant's end.
    pub total: f64,
    /// Dealing the key, setup and seed.
    pub keys: f64,
    /// Chain and noise of the blinding.
    pub preparation: f64,
    /// Iterations and model.
    pub training: f64,
    /// All work of the slowest participant.
    pub crypto: f64,
    /// What is left: the ledger, and waiting for other participants.
    pub ledger: f64,
    /// Processor time of all participants' processes together while at work.
    pub cpu_all_participants: f64,
}

impl VerticalReport {
    /// Compares what the participants came to with the reference and the floating-point run.
    ///
    /// # Errors
    /// Participants that did not finish, or whose results differ.
    pub fn new(
        deployment: &Deployment,
        reports: &[JobReport],
        ledger_kind: &str,
        total_seconds: f64,
    ) -> Result<Self> {
        let (Kind::VerticalSvm(training), Held::Columns { key_seconds, key_origin, key_bound }) =
            (&deployment.params.kind, &deployment.held)
        else {
            return Err(ExperimentError::Unfinished("it is no training by columns".into()));
        };
        let first = &reports[0];
        for report in reports {
            if report.ending.outcome != Outcome::Finished {
                return Err(ExperimentError::Unfinished(format!("{:?}", report.ending.outcome)));
            }
            if report.indicators != first.indicators || report.schedule != first.schedule {
                return Err(ExperimentError::Unfinished("participants hold different indicators".into()));
            }
        }
        let Preparation { table, split, train, train_labels, test, test_labels, float, left_out, .. } =
            &deployment.prepared;
        let hyper = Hyperparameters::from(training);
        let reference = reference::train(train, train_labels, &first.schedule, &hyper, Variant::default());
        let [float_train, float_test] = float;
        let float = float::train(float_train, train_labels, &first.schedule, &hyper, Variant::default());
        let weights: Vec<i64> = reports.iter().flat_map(|report| report.part().weights.clone()).collect();
        let predicted = |row: &Vec<f64>| fixed::class_of(&fixed::score_of_any(&weights, row));
        let secure_predictions: Vec<Label> = test.rows.iter().map(predicted).collect();
        let reference_predictions = reference.predict(test);
        let float_predictions = float.predict(float_test);
        let blinding = match training.judge {
            Judge::Blinded => Some(
                Blinding::new(
                    training.key_bits,
                    deployment.params.parties(),
                    training.margin_bits,
                    training.weak_blinding,
                )
                .map_err(input)?,
            ),
            Judge::Paper => None,
        };
        let visits = most_visits(&first.schedule, training.instances);
        let leak_bound = blinding.as_ref().map(|blinding| LeakBound::new(blinding, visits));
        let slowest = reports.iter().map(|report| work(&report.seconds)).fold(0.0, f64::max);
        let most = |of: fn(&Seconds) -> f64| reports.iter().map(|r| of(&r.seconds)).fold(0.0, f64::max);
        Ok(Self {
            version: records::VERSION,
            job: deployment.params.id(),
            table: deployment.overview.clone(),
            participants: deployment.params.parties(),
            instances: training.instances,
            test_instances: split.test.len() as u32,
            features: table.columns.len() as u32,
            features_by_participant: reports.iter().map(|r| r.part().weights.len() as u32).collect(),
            dropped_lines: deployment.dropped.clone(),
            left_out: left_out.clone(),
            iterations: training.iterations,
            batch: training.batch,
            protocol: training.judge,
            key_bits: training.key_bits,
            key_origin: key_origin.clone(),
            key: training.key,
            quorum: training.quorum,
            blinding_bits: blinding.as_ref().map(|blinding| blinding.range),
            leak_bound,
            ledger: LedgerReport::new(ledger_kind, reports.iter().map(|report| &report.traffic)),
            seconds: Times {
                total: total_seconds,
                keys: key_seconds + most(|s| s.keys),
                preparation: most(|s| s.preparation),
                training: most(|s| s.training),
                crypto: slowest,
                ledger: (total_seconds - slowest).max(0.0),
                cpu_all_participants: reports.iter().map(|r| r.seconds.cpu).sum(),
            },
            secure: Metrics::new(test_labels, &secure_predictions),
            plaintext: Metrics::new(test_labels, &reference_predictions),
            float: Metrics::new(test_labels, &float_predictions),
            identical_indicators: reference.indicators == first.indicators,
            identical_predictions: secure_predictions == reference_predictions,
            identical_weights: weights.iter().map(|w| BigInt::from(*w)).eq(reference.weights.iter().cloned()),
            float_differing_indicators: metrics::differing(&float.indicators, &first.indicators) as u64,
            reveals: reveals(&deployment.params, Some(*key_bound), leak_bound.as_ref()),
        })
    }
}

fn work(seconds: &Seconds) -> f64 {
    seconds.keys + seconds.preparation + seconds.training
}

fn most_visits(schedule: &[Vec<u32>], instances: u32) -> u32 {
    let mut visits = vec![0u32; instances as usize];
    for &instance in schedule.iter().flatten() {
        if let Some(count) = visits.get_mut(instance as usize) {
            *count += 1;
        }
    }
    visits.into_iter().max().unwrap_or(0)
}
