//! Trained models as files: what a participant keeps, and what `predict` reads.

use records::{HorizontalSvm, JobParams, VERSION};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};
use svm::{
    Label,
    fixed::{self, Features},
    scaling::Scaler,
    table::{Columns, Table},
};

/// One participant's part of a model: its columns, how it scaled them, and their weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The participant.
    pub msp_id: String,
    /// Columns and scaling.
    pub scaler: Scaler,
    /// wⁱ at scale 2^24, in the order of the columns.
    #[serde(with = "decimal_strings")]
    pub weights: Vec<i64>,
    /// b at scale 2^24: the score is w·x − b.
    #[serde(default, skip_serializing_if = "is_zero", with = "decimal_string")]
    pub intercept: i64,
}

impl Part {
    /// w·x − b of one row of features, exact at scale 2^36.
    pub fn score(&self, row: &[i32]) -> i128 {
        fixed::score(&self.weights, row) - (i128::from(self.intercept) << fixed::FEATURE_PLACES)
    }
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// A linear model: the parts of all participants, or of some.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Layout version.
    pub version: u32,
    /// The positive class of the training table.
    pub positive: String,
    /// The negative class.
    pub negative: String,
    /// The parts, in the order of the participants.
    pub parts: Vec<Part>,
}

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no model.
    #[error("{path} is not a model: {reason}")]
    Parse {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The rows do not fit.
    #[error("{0}")]
    Rows(String),
}

/// The prediction for one row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// Line of the file.
    pub line: u64,
    /// Cell of the id column, where one was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The predicted class, in the words of the training table.
    pub class: String,
    /// w·x, the distance from the separating plane in units of the margin.
    pub score: f64,
}

impl Model {
    /// What came of a training by rows; `weights` with the intercept's behind them, where there is one.
    pub fn by_rows(
        params: &JobParams,
        training: &HorizontalSvm,
        scaler: Scaler,
        mut weights: Vec<i64>,
    ) -> Self {
        let intercept = weights.split_off(training.columns.len()).first().copied().unwrap_or(0);
        let msp_id = params.participants[training.analyst as usize].clone();
        Self {
            version: VERSION,
            positive: training.positive.clone(),
            negative: training.negative.clone(),
            parts: vec![Part { msp_id, scaler, weights, intercept }],
        }
    }

    /// Reads one model from files that hold parts of it, as participants keep them, or from the one file that holds all.
    ///
    /// # Errors
    /// As [`Model::load`]; files that do not belong together.
    pub fn load_parts(paths: &[PathBuf]) -> Result<Self, ModelError> {
        let mut model =
            Self { version: VERSION, positive: String::new(), negative: String::new(), parts: Vec::new() };
        for (index, path) in paths.iter().enumerate() {
            let part = Self::load(path)?;
            let parse = |reason: String| ModelError::Parse { path: path.display().to_string(), reason };
            if index > 0 && (&part.positive, &part.negative) != (&model.positive, &model.negative) {
                return Err(parse("its classes are not those of the other parts".into()));
            }
            if let Some(twice) =
                part.parts.iter().find(|new| model.parts.iter().any(|p| p.msp_id == new.msp_id))
            {
                return Err(parse(format!("the part of {} is given twice", twice.msp_id)));
            }
            (model.positive, model.negative) = (part.positive, part.negative);
            model.parts.extend(part.parts);
        }
        Ok(model)
    }

    /// Reads a model file.
    ///
    /// # Errors
    /// A file that cannot be read, or is no model of this version.
    pub fn load(path: &Path) -> Result<Self, ModelError> {
        let shown = path.display().to_string();
        let bytes = fs::read(path).map_err(|source| ModelError::Read { path: shown.clone(), source })?;
        let parse = |reason: String| ModelError::Parse { path: shown.clone(), reason };
        let model: Self = serde_json::from_slice(&bytes).map_err(|e| parse(e.to_string()))?;
        if model.version != VERSION {
            return Err(parse(format!("version {} is not {VERSION}", model.version)));
        }
        for part in &model.parts {
            let columns = part.scaler.columns().count();
            if columns != part.weights.len() {
                return Err(parse(format!(
                    "{}: {} weights for {columns} columns",
                    part.msp_id,
                    part.weights.len()
                )));
            }
        }
        Ok(model)
    }

    /// Predicts the class of every row of a table that has the model's columns, in any order among others.
    ///
    /// # Errors
    /// A column that is missing, a cell that is no number, values that overflow the scale.
    pub fn predict(&self, file: &Path, id: Option<&str>) -> Result<Vec<Prediction>, ModelError> {
        let rows = |e: &dyn std::fmt::Display| ModelError::Rows(e.to_string());
        let names: Vec<String> =
            self.parts.iter().flat_map(|part| part.scaler.columns().map(String::from)).collect();
        let columns = Columns { id: id.map(String::from), features: Some(names), ..Columns::default() };
        let table = Table::read(file, &columns).map_err(|e| rows(&e))?;
        let all: Vec<usize> = (0..table.rows.len()).collect();
        let mut scores = vec![0i128; all.len()];
        let mut first = 0;
        for part in &self.parts {
            let own = table.slice(first..first + part.weights.len());
            first += part.weights.len();
            let scaled = part.scaler.apply(&own, &all).map_err(|e| rows(&e))?;
            let features = Features::encode(&scaled).map_err(|e| rows(&e))?;
            for (index, score) in scores.iter_mut().enumerate() {
                *score += part.score(features.row(index));
            }
        }
        let predict = |(row, score): (&svm::table::Row, &i128)| Prediction {
            line: row.line,
            id: row.id.clone(),
            class: match fixed::predict(*score) {
                Label::Positive => self.positive.clone(),
                Label::Negative => self.negative.clone(),
            },
            score: *score as f64 / fixed::ONE as f64,
        };
        Ok(table.rows.iter().zip(&scores).map(predict).collect())
    }
}

/// An integer beyond 2^53 as a string.
mod decimal_string {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(number: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Integers beyond 2^53 as strings.
mod decimal_strings {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(weights: &[i64], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(weights.iter().map(i64::to_string))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<i64>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts.iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
    }
}
