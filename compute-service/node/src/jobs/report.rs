//! What a node keeps of a finished job, of whichever kind: `jobs/<job>.json` in its data directory, mode 0600.

use super::Report;
use crate::model::Model;
use records::{Job, JobView, Termination};
use serde::Deserialize;

/// What a report of a kind tells people.
pub(crate) trait Told {
    fn ending(&self) -> &Termination;

    /// Lines for people.
    fn lines(&self) -> Vec<String>;

    /// What the organisation has of a trained model.
    fn model(&self) -> Option<&Model> {
        None
    }
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The node has not made one.
    #[error("{}", missing(path, source, view))]
    Missing {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
        /// The job as the ledger knows it.
        view: Box<JobView>,
    },
    /// It is of another form.
    #[error("the report cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// It says that it is of another kind than its job.
    #[error("the report of a {job} job says that it is of a {kind} job")]
    Kind {
        /// What the job is.
        job: &'static str,
        /// What the report says.
        kind: String,
    },
}

fn missing(path: &str, source: &std::io::Error, view: &JobView) -> String {
    match &view.ending {
        Some(ending) if ending.outcome == records::Outcome::Finished => {
            format!("cannot read {path}: {source}; start the node, it makes the report")
        }
        _ => format!("there is no result, for the job is {}", super::state(view)),
    }
}

impl Report {
    /// Reads one, also of an older node.
    ///
    /// # Errors
    /// What is none.
    pub fn from_json(json: &[u8]) -> Result<Self, ReportError> {
        #[derive(Deserialize)]
        struct Of {
            kind: Option<String>,
            job: Job,
        }
        let Of { kind, job } = serde_json::from_slice(json)?;
        let name = job.params.kind.name();
        if let Some(kind) = kind.filter(|kind| kind != name) {
            return Err(ReportError::Kind { job: name, kind });
        }
        Ok(Self::of_kind(&job.params.kind, json)?)
    }

    /// The file's text.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("a report has string keys only")
    }

    /// How the job ended.
    pub fn ending(&self) -> &Termination {
        self.told().ending()
    }

    /// Lines for people: how the job ended, and what came out.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("ending      {}", self.ending())];
        lines.extend(self.told().lines());
        lines
    }

    /// What the organisation has of the trained model, where the job trained one.
    pub fn model(&self) -> Option<&Model> {
        self.told().model()
    }
}
