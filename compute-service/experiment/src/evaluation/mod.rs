//! How well a training does: cross-validation in plaintext, some folds also encrypted, and its report for machines and people.

mod chart;
pub mod html;
mod run;

pub use run::SecureFolds;

use crate::{horizontal::HorizontalTimes, ledger_report::LedgerReport, source::Source, vertical::Times};
use dataset::{
    Curve, Spread, Summary, SummaryOfClass, mean_curve,
    metrics::{Confusion, Metrics},
    scaling::Scaling,
    table::{Classes, Missing, Overview, Table},
};
use records::JobId;
use serde::Serialize;
use std::fmt::Write;
use svm::evaluation::{CrossValidation, Fold, Partition, Setting};

/// The report; what `--json` writes.
#[derive(Debug, Serialize)]
pub struct Evaluation {
    /// Layout version.
    pub version: u32,
    /// The table.
    pub data: Data,
    /// What was trained.
    pub setting: Setting,
    /// Participants of a training by columns, providers of one by rows.
    pub participants: u32,
    /// The folds.
    pub cross_validation: CrossValidation,
    /// Seconds that the folds took in plaintext.
    pub seconds: f64,
    /// Of the plaintext reference.
    pub reference: Summary,
    /// Of the same in floating point.
    pub float: Summary,
    /// Of the area under the reference's ROC curve.
    pub auc: Spread,
    /// The reference's counts, all folds added up: a row is in them once for each repeat.
    pub confusion: Confusion,
    /// Those of the floating-point runs.
    pub float_confusion: Confusion,
    /// Indicators that differ in floating point.
    pub differing_indicators: u64,
    /// Of how many.
    pub indicators: u64,
    /// The objective before the first update and after each, over the folds.
    pub objective: Curve,
    /// True positive rates at [`ROC_STEPS`] + 1 equidistant false positive rates, over the folds.
    pub roc: Curve,
    /// Every fold.
    pub folds: Vec<Fold>,
    /// The folds that were run encrypted.
    pub secure: Option<Secure>,
}

/// Resolution of the mean ROC curve.
pub const ROC_STEPS: u32 = 100;

/// The table of an evaluation.
#[derive(Debug, Serialize)]
pub struct Data {
    /// What was read of the file.
    pub table: Overview,
    /// Name of the file.
    pub file: String,
    /// Rows that were divided into folds.
    pub rows: usize,
    /// Of them those of the positive class.
    pub positives: usize,
    /// Feature columns.
    pub features: usize,
    /// The positive class.
    pub positive: String,
    /// The others.
    pub negative: String,
    /// What was done about gaps.
    pub missing: Missing,
    /// Lines that were left out because of gaps.
    pub dropped_lines: Vec<u64>,
    /// Columns with gaps that were filled, with their number.
    pub gaps: Vec<(String, usize)>,
}

/// Folds that were run encrypted.
#[derive(Debug, Serialize)]
pub struct Secure {
    /// The ledger.
    pub ledger: &'static str,
    /// Bits of the Paillier modulus.
    pub key_bits: u32,
    /// Who made the threshold key, which is the same in all folds; by rows the analyst has one for each.
    pub key_origin: Option<String>,
    /// Seconds that it took; they are in no fold's.
    pub key_seconds: Option<f64>,
    /// Of the encrypted runs.
    pub summary: Summary,
    /// Of the plaintext reference of the same folds and schedules.
    pub reference: Summary,
    /// The encrypted runs' counts, added up.
    pub confusion: Confusion,
    /// One after another.
    pub folds: Vec<SecureFold>,
}

/// A fold that was run encrypted.
#[derive(Debug, Serialize)]
pub struct SecureFold {
    /// Repeat, from 1.
    pub repeat: u32,
    /// Fold of the repeat, from 1.
    pub fold: u32,
    /// The job on the ledger.
    pub job: JobId,
    /// Measures of the model that came out.
    pub secure: Metrics,
    /// Of the plaintext reference of the job's own schedule.
    pub reference: Metrics,
    /// Whether weights, predictions and, by columns, indicators are the reference's.
    pub identical: bool,
    /// Whether an observer's replay found nothing wrong, where it was asked for.
    pub verified: Option<bool>,
    /// The ledger's share.
    pub ledger: LedgerReport,
    /// Where the time went.
    pub seconds: Seconds,
}

/// Where the time of a training went.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Seconds {
    /// By columns.
    Columns(Times),
    /// By rows, as table 4.4 of the book has it.
    Rows(HorizontalTimes),
}

impl Seconds {
    /// From the proposal to the end.
    pub fn total(&self) -> f64 {
        match self {
            Self::Columns(times) => times.total,
            Self::Rows(times) => times.total,
        }
    }

    /// Parts that exclude each other, by name. By columns the slowest participant's work and the rest of the time that
    /// passed; by rows the work of all parties, added up.
    pub fn parts(&self) -> Vec<(&'static str, f64)> {
        match self {
            Self::Columns(t) => vec![
                ("setup", t.keys),
                ("preparation", t.preparation),
                ("training", t.training),
                ("ledger and waiting", t.ledger),
            ],
            Self::Rows(t) => vec![
                ("secure comparison", t.comparison),
                ("polynomial multiplication", t.multiplication),
                ("other work", (t.providers + t.analyst - t.comparison - t.multiplication).max(0.0)),
            ],
        }
    }

    /// What else is told of the time; these are no parts of one whole.
    pub fn beside(&self) -> Vec<(&'static str, f64)> {
        match self {
            Self::Columns(t) => vec![("processor, all", t.cpu_all_participants)],
            Self::Rows(t) => vec![
                ("all providers", t.providers),
                ("analyst", t.analyst),
                ("processor, all", t.cpu_all_participants),
            ],
        }
    }

    /// What the parts add up to, for people.
    pub fn of_parts(&self) -> &'static str {
        match self {
            Self::Columns(_) => "of the slowest participant, and of what passed beside its work",
            Self::Rows(_) => "of work, added up over all providers and the analyst, who share the machine",
        }
    }
}

impl Data {
    /// Of a table with labels, of which these lines were left out.
    pub(crate) fn new(source: &Source, table: &Table, dropped_lines: Vec<u64>, overview: Overview) -> Self {
        let positive = |row: &&dataset::table::Row| row.label == Some(dataset::Label::Positive);
        let classes = table.classes.as_ref();
        let gaps = table.columns.iter().cloned().zip(table.gaps()).filter(|(_, count)| *count > 0).collect();
        Self {
            file: source.data.path().file_name().unwrap_or_default().to_string_lossy().into_owned(),
            rows: table.rows.len(),
            positives: table.rows.iter().filter(positive).count(),
            features: table.columns.len(),
            positive: classes.map_or_else(String::new, Classes::positive_name),
            negative: classes.map_or_else(String::new, Classes::negative_name),
            missing: source.missing,
            table: overview,
            dropped_lines,
            gaps,
        }
    }

    /// How many of the rows are of which class, and have how many features, for people.
    pub fn about_classes(&self) -> String {
        format!(
            "({} of class {}, {} of {}), {} features",
            self.positives,
            self.positive,
            self.rows - self.positives,
            self.negative,
            self.features
        )
    }

    /// What was done about gaps, for people.
    pub fn about_gaps(&self) -> String {
        match self.missing {
            Missing::Drop if self.dropped_lines.is_empty() => "none".into(),
            Missing::Drop => format!("{} lines with gaps were left out", self.dropped_lines.len()),
            Missing::Mean if self.gaps.is_empty() => "none".into(),
            Missing::Mean => {
                let columns: Vec<String> =
                    self.gaps.iter().map(|(column, count)| format!("{column}: {count}")).collect();
                let all: usize = self.gaps.iter().map(|(_, count)| count).sum();
                format!(
                    "{all} gaps were filled with the mean of the fold's training rows (by column {})",
                    columns.join(", ")
                )
            }
        }
    }
}

impl Secure {
    /// From what came out of the folds.
    pub(crate) fn new(folds: Vec<SecureFold>, ledger: &'static str, key_bits: u32) -> Self {
        Self {
            ledger,
            key_bits,
            key_origin: None,
            key_seconds: None,
            summary: Summary::of(folds.iter().map(|fold| &fold.secure)),
            reference: Summary::of(folds.iter().map(|fold| &fold.reference)),
            confusion: folds.iter().map(|fold| fold.secure.confusion).sum(),
            folds,
        }
    }

    /// Who made the threshold key, for people.
    pub fn about_key(&self) -> Option<String> {
        let (origin, seconds) = (self.key_origin.as_ref()?, self.key_seconds?);
        Some(format!("one for all folds, {origin}; {seconds:.1} s"))
    }

    /// Mean seconds of each part.
    pub fn mean_parts(&self) -> Vec<(&'static str, Spread)> {
        let parts: Vec<_> = self.folds.iter().map(|fold| fold.seconds.parts()).collect();
        let names = parts.first().into_iter().flatten().map(|(name, _)| *name).enumerate();
        names
            .map(|(place, name)| (name, Spread::from_values(parts.iter().map(|part| part[place].1))))
            .collect()
    }
}

impl Evaluation {
    /// From all folds.
    pub(crate) fn new(
        data: Data,
        setting: Setting,
        participants: u32,
        cross_validation: CrossValidation,
        folds: Vec<Fold>,
        seconds: f64,
        secure: Option<Secure>,
    ) -> Self {
        let objectives: Vec<&[f64]> = folds.iter().map(|fold| fold.objective.as_slice()).collect();
        Self {
            version: records::VERSION,
            data,
            setting,
            participants,
            cross_validation,
            seconds,
            reference: Summary::of(folds.iter().map(|fold| &fold.reference)),
            float: Summary::of(folds.iter().map(|fold| &fold.float)),
            auc: Spread::from_values(folds.iter().map(|fold| fold.roc.auc)),
            confusion: folds.iter().map(|fold| fold.reference.confusion).sum(),
            float_confusion: folds.iter().map(|fold| fold.float.confusion).sum(),
            differing_indicators: folds.iter().map(|fold| fold.differing_indicators).sum(),
            indicators: folds.iter().map(|fold| fold.indicators).sum(),
            objective: Curve::over(&objectives),
            roc: mean_curve(folds.iter().map(|fold| &fold.roc), ROC_STEPS),
            folds,
            secure,
        }
    }

    /// The training, for people.
    pub fn about_training(&self) -> String {
        let s = &self.setting;
        let c = s.c.map_or_else(|| "1/m".into(), |c| c.to_string());
        let mut text = match s.partition {
            Partition::Columns { batch, .. } => format!(
                "by columns, {} participants: {} updates of {batch} instances",
                self.participants, s.iterations
            ),
            Partition::Rows { batch, variant, .. } => {
                let rows = batch.map_or("all rows".into(), |batch| format!("{batch} rows of each provider"));
                let most = if variant.tolerance.is_some() { "at most " } else { "" };
                format!("by rows, {} providers: {most}{} updates of {rows}", self.participants, s.iterations)
            }
        };
        let _ = write!(text, ", η {}, λ {}, C {c}", s.learning_rate, s.lambda);
        if let Partition::Rows { variant, .. } = s.partition {
            text += if variant.intercept { ", with intercept" } else { ", no intercept" };
            if let Some(tolerance) = variant.tolerance {
                let _ = write!(text, ", ended by a gradient of norm {tolerance}");
            }
        }
        text
    }

    /// How columns are scaled, for people.
    pub fn about_scaling(&self) -> &'static str {
        match self.setting.partition {
            Partition::Columns { scaling: Scaling::Std, .. } | Partition::Rows { standardise: true, .. } => {
                "to mean 0 and deviation 1, fitted on the training part of each fold only"
            }
            Partition::Columns { scaling: Scaling::Unit, .. } => {
                "to [-1, 1], fitted on the training part of each fold only"
            }
            _ => "none",
        }
    }

    /// The folds, for people.
    pub fn about_folds(&self) -> String {
        let CrossValidation { folds, repeats, seed } = self.cross_validation;
        let mean = Spread::from_values(self.folds.iter().map(|fold| f64::from(fold.training_rows))).mean;
        format!("{folds} × {repeats} repeats, stratified, seed {seed}; about {mean:.0} training rows in each")
    }

    /// What else the reader must know, for people.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = vec![format!(
            "{} of {} indicators differ in floating point",
            self.differing_indicators, self.indicators
        )];
        let without = self.folds.iter().filter(|fold| !fold.left_out.is_empty());
        let named: Vec<String> = without
            .map(|fold| format!("{} (repeat {}, fold {})", fold.left_out.join(", "), fold.repeat, fold.fold))
            .collect();
        if !named.is_empty() {
            remarks.push(format!(
                "columns without a value in any training row were left out of their folds: {}",
                named.join("; ")
            ));
        }
        if let Partition::Rows { batch: None, .. } = self.setting.partition {
            remarks.push("updates by all rows are the same, however many providers hold them".into());
        } else {
            remarks.push(
                "a job draws its own batches from a seed of its participants; here they are drawn from --seed".into(),
            );
        }
        remarks
    }

    /// Which folds ran encrypted and whether they are the reference's, for people.
    pub fn about_secure(&self, secure: &Secure) -> String {
        let (ran, of) = (secure.folds.len(), self.folds.len());
        let which = if ran == of { "all".into() } else { format!("the first {ran} of") };
        let same = match secure.folds.iter().all(|fold| fold.identical) {
            true => "every one comes to the reference's weights and predictions",
            false => "NOT every one comes to what the reference comes to",
        };
        format!(
            "{which} {of} folds ran encrypted, {} bits, {} ledger: {same}",
            secure.key_bits, secure.ledger
        )
    }
}

/// `mean ± deviation`.
pub fn spread(value: &Spread) -> String {
    format!("{:.4} ± {:.4}", value.mean, value.deviation)
}

/// The rows of the table of measures: model, positive class, accuracy, precision, recall, F1.
pub fn measures(evaluation: &Evaluation) -> Vec<[String; 6]> {
    let mut models =
        vec![("plaintext reference", &evaluation.reference), ("64-bit floating point", &evaluation.float)];
    if let Some(secure) = &evaluation.secure {
        models.push(("secure folds", &secure.summary));
        models.push(("reference of the same folds", &secure.reference));
    }
    let row = |name: &str, class: &str, accuracy: String, of: &SummaryOfClass| {
        [name.into(), class.into(), accuracy, spread(&of.precision), spread(&of.recall), spread(&of.f1)]
    };
    let data = &evaluation.data;
    models
        .into_iter()
        .flat_map(|(name, summary)| {
            [
                row(name, &data.positive, spread(&summary.accuracy), &summary.positive),
                row("", &data.negative, String::new(), &summary.inverted),
            ]
        })
        .collect()
}
