use crate::{
    error::{ExperimentError, Result},
    horizontal::HorizontalReport,
    participants::Participants,
    source::classes,
    vertical::VerticalReport,
};
use dataset::table::Overview;
use node::{
    model::Model,
    worker::{JobReport, RowsReport},
};
use records::{JobParams, Kind, Outcome, VERSION};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use svm::evaluation::Preparation;

/// An experiment whose files are written: a folder for each participant. The analyst's, where there is one, is the last.
#[derive(Debug)]
pub struct Deployment {
    /// The job to be proposed.
    pub params: JobParams,
    /// The nodes.
    pub participants: Participants,
    /// The undivided table: its training and test rows, scaled.
    pub(crate) prepared: Preparation,
    /// Lines that were left out because of gaps.
    pub(crate) dropped: Vec<u64>,
    /// What the table holds.
    pub(crate) overview: Overview,
    /// What the participants were given.
    pub(crate) held: Held,
}

/// What the participants of a deployment were given.
#[derive(Debug)]
pub(crate) enum Held {
    /// Columns, and a threshold key.
    Columns {
        /// Seconds that making the key took.
        key_seconds: f64,
        /// How the key was made, for people.
        key_origin: String,
        /// How many colluding members learned nothing of the key's factors when it was made.
        key_bound: u32,
    },
    /// The training rows of each provider.
    Rows(Vec<Vec<usize>>),
}

/// What a training came to.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The whole model, put together from what the participants kept.
    pub model: Model,
    /// The comparison with the plaintext reference.
    pub report: TrainingReport,
}

/// The report of `confab train`; what `--json` writes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TrainingReport {
    /// Of a training by columns.
    Vertical(Box<VerticalReport>),
    /// Of a training by rows.
    Horizontal(Box<HorizontalReport>),
}

impl TrainingReport {
    /// Whether the secure run came to what the plaintext reference came to, as far as they are to be the same.
    pub fn is_identical(&self) -> bool {
        match self {
            Self::Vertical(report) => report.identical_indicators && report.identical_predictions,
            Self::Horizontal(report) => {
                report.identical_weights != Some(false) && report.identical_predictions != Some(false)
            }
        }
    }
}

impl Deployment {
    /// Node configuration files, by party.
    pub fn configs(&self) -> &[PathBuf] {
        &self.participants.configs
    }

    /// What the finished job came to, from the reports of its nodes.
    ///
    /// # Errors
    /// A report that is missing or cannot be read, and nodes that did not finish.
    pub fn outcome(&self, ledger_kind: &str, total_seconds: f64) -> Result<Trained> {
        let id = self.params.id();
        match self.held {
            Held::Columns { .. } => {
                let reports: Vec<JobReport> = self.participants.reports(&id)?;
                let report = VerticalReport::new(self, &reports, ledger_kind, total_seconds)?;
                let model = self.vertical_model(&reports);
                Ok(Trained { model, report: TrainingReport::Vertical(Box::new(report)) })
            }
            Held::Rows(_) => {
                let reports: Vec<RowsReport> = self.participants.reports(&id)?;
                let report = HorizontalReport::new(self, &reports, ledger_kind, total_seconds)?;
                let model = self.horizontal_model(&reports)?;
                Ok(Trained { model, report: TrainingReport::Horizontal(Box::new(report)) })
            }
        }
    }

    /// The whole model of a training by columns, put together from the parts of all participants.
    pub fn vertical_model(&self, reports: &[JobReport]) -> Model {
        let classes = classes(&self.prepared.table);
        let parts = reports.iter().flat_map(|report| report.model.parts.clone()).collect();
        Model {
            version: VERSION,
            positive: classes.positive_name(),
            negative: classes.negative_name(),
            job: Some(self.params.id()),
            holders: self.params.participants.clone(),
            parts,
        }
    }

    /// The model of a training by rows, as the analyst has it.
    ///
    /// # Errors
    /// A job that did not finish, or of another kind.
    pub fn horizontal_model(&self, reports: &[RowsReport]) -> Result<Model> {
        let Kind::HorizontalSvm(training) = &self.params.kind else {
            return Err(ExperimentError::Unfinished("it is no training by rows".into()));
        };
        let analyst = &reports[training.analyst as usize];
        if analyst.ending.outcome != Outcome::Finished {
            return Err(ExperimentError::Unfinished(analyst.ending.to_string()));
        }
        analyst.model.clone().ok_or_else(|| ExperimentError::Unfinished("no model".into()))
    }
}
