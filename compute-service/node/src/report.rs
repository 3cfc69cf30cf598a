//! What an experiment reports: the secure run beside the plaintext reference and a floating-point run.

use crate::{
    driver::Seconds,
    experiment::{ExperimentError, Prepared},
    worker::{JobReport, Traffic},
};
use dataset::{
    Label,
    metrics::{self, Metrics},
    table::Overview,
};
use gateway_client::Retries;
use num_bigint::BigInt;
use records::{Fingerprint, JobId, JobParams, Judge, Outcome};
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
pub struct Report {
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

/// Bounds on what the blinded judge shows beyond the indicator (`docs/protocols.md` 2b).
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct LeakBound {
    /// Statistical distance of one comparison between any two values d, d′ of one sign.
    pub distance_per_comparison: f64,
    /// Most visits to one instance.
    pub visits_per_instance: u32,
    /// To how many octaves log₂|2d+1| of one value stays unknown after that many visits to it.
    pub octaves_unknown: f64,
}

impl LeakBound {
    /// With so many visits to one instance.
    pub(crate) fn new(blinding: &Blinding, visits: u32) -> Self {
        Self {
            distance_per_comparison: blinding.worst_distance(),
            visits_per_instance: visits,
            octaves_unknown: blinding.octaves(visits),
        }
    }
}

/// The ledger's share.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LedgerReport {
    /// `dev` or `fabric`.
    pub kind: String,
    /// Transactions of all participants for this job.
    pub transactions: u64,
    /// Bytes of their records.
    pub bytes: u64,
    /// What had to be tried again.
    pub retries: Retries,
}

impl LedgerReport {
    /// Of the participants of one job.
    pub(crate) fn new<'a>(kind: &str, traffic: impl Iterator<Item = &'a Traffic>) -> Self {
        let nothing = Self { kind: kind.into(), transactions: 0, bytes: 0, retries: Retries::default() };
        traffic.fold(nothing, |mut sum, traffic| {
            sum.transactions += traffic.transactions;
            sum.bytes += traffic.bytes;
            sum.retries += traffic.retries;
            sum
        })
    }
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

impl Report {
    /// Compares what the participants came to with the reference and the floating-point run.
    ///
    /// # Errors
    /// Participants that did not finish, or whose results differ.
    pub fn new(
        prepared: &Prepared,
        reports: &[JobReport],
        ledger_kind: &str,
        total_seconds: f64,
    ) -> Result<Self, ExperimentError> {
        let first = &reports[0];
        for report in reports {
            if report.ending.outcome != Outcome::Finished {
                return Err(ExperimentError::Unfinished(format!("{:?}", report.ending.outcome)));
            }
            if report.indicators != first.indicators || report.schedule != first.schedule {
                return Err(ExperimentError::Unfinished("participants hold different indicators".into()));
            }
        }
        let input = |e: &dyn std::fmt::Display| ExperimentError::Input(e.to_string());
        let training = prepared.params.training();
        let Preparation { table, split, train, train_labels, test, test_labels, float, left_out, .. } =
            &prepared.prepared;
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
                    prepared.params.parties(),
                    training.margin_bits,
                    training.weak_blinding,
                )
                .map_err(|e| input(&e))?,
            ),
            Judge::Paper => None,
        };
        let visits = most_visits(&first.schedule, training.instances);
        let leak_bound = blinding.as_ref().map(|blinding| LeakBound::new(blinding, visits));
        let slowest = reports.iter().map(|report| work(&report.seconds)).fold(0.0, f64::max);
        let most = |of: fn(&Seconds) -> f64| reports.iter().map(|r| of(&r.seconds)).fold(0.0, f64::max);
        Ok(Self {
            version: records::VERSION,
            job: prepared.params.id(),
            table: prepared.overview.clone(),
            participants: prepared.params.parties(),
            instances: training.instances,
            test_instances: split.test.len() as u32,
            features: table.columns.len() as u32,
            features_by_participant: reports.iter().map(|r| r.part().weights.len() as u32).collect(),
            dropped_lines: prepared.dropped.clone(),
            left_out: left_out.clone(),
            iterations: training.iterations,
            batch: training.batch,
            protocol: training.judge,
            key_bits: training.key_bits,
            key_origin: prepared.key_origin.clone(),
            key: training.key,
            quorum: training.quorum,
            blinding_bits: blinding.as_ref().map(|blinding| blinding.range),
            leak_bound,
            ledger: LedgerReport::new(ledger_kind, reports.iter().map(|report| &report.traffic)),
            seconds: Times {
                total: total_seconds,
                keys: prepared.key_seconds + most(|s| s.keys),
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
            reveals: reveals(&prepared.params, Some(prepared.bound), leak_bound.as_ref()),
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

/// What a training by columns reveals, in words: before it, as far as it is known then, and after. The key's bound is absent
/// where there is no share of it.
pub(crate) fn reveals(params: &JobParams, key_bound: Option<u32>, bound: Option<&LeakBound>) -> Vec<String> {
    let training = params.training();
    let mut list = vec![
        "to everybody on the channel: number of instances and features, digests of identifiers and labels, \
         the schedule, and every indicator I[y·w·x < 1]"
            .to_string(),
        "the indicators are inequalities on inner products of a member's rows, for w⁰ and y are known"
            .to_string(),
    ];
    match (training.judge, bound) {
        (Judge::Blinded, Some(bound)) => list.push(format!(
            "of each margin beyond its indicator: statistical distance at most {:.3} a comparison; after {} visits \
             log₂|2d+1| of an instance stays unknown to {:.1} octaves",
            bound.distance_per_comparison, bound.visits_per_instance, bound.octaves_unknown
        )),
        _ => list.push(
            "the paper's judge publishes r₁ and r₃: every margin y·w·x is known to everybody to within one unit"
                .to_string(),
        ),
    }
    list.push(pooled(key_bound, training.quorum, "margin"));
    list.push(
        "to any participant that deviates, by what it puts into its IV records: any ciphertext under the key, of \
         earlier jobs too, and nobody notices"
            .to_string(),
    );
    list.push(match training.model {
        records::Publication::Published => {
            "the whole model; it is an exact linear equation on the rows that were in the margin".to_string()
        }
        records::Publication::Split => "no weights: each participant keeps its part".to_string(),
    });
    list
}

/// What colluding members of a key learn, in words.
pub(crate) fn pooled(key_bound: Option<u32>, quorum: u32, what: &str) -> String {
    match key_bound.map(|bound| bound.min(quorum.saturating_sub(1))) {
        None => format!(
            "to members that pool what they see: possibly every {what}; from how many on is not known here, where no share \
             of the key is"
        ),
        Some(0) => "to whoever dealt the key: everything".to_string(),
        Some(1) => format!(
            "to any two that pool what they see: possibly every {what}; a single one learns no more than this"
        ),
        Some(t) => format!(
            "to any {} that pool what they see: possibly every {what}; any {t} learn no more than this",
            t + 1
        ),
    }
}
