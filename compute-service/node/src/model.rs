//! Trained models as files: what a participant keeps, what `predict` reads, and what it says of new rows.

use records::{HorizontalSvm, JobId, JobParams, VERSION};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};
use svm::{
    Label,
    fixed::{self, Features},
    metrics::Metrics,
    scaling::Scaler,
    table::{Columns, Table, same_class},
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
    /// The training that it comes from; not known of models that are older than this field and the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    /// Everybody who holds a part of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holders: Vec<String>,
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
    /// The report of a node has no model.
    #[error(
        "{path} has no model: the job was no training, or its model stays with the analyst (`--model split`), whose node \
         has it"
    )]
    None {
        /// The report.
        path: String,
    },
    /// Some parts of the model are elsewhere.
    #[error(
        "the model is held in parts, and those of {missing} are not here: name everybody's, each after a --model; where \
         they stay with their holders, these ask together (`confab job template --predict`)"
    )]
    Incomplete {
        /// Who holds them.
        missing: String,
    },
    /// The rows do not fit.
    #[error("{0}")]
    Rows(String),
}

/// Rows to be predicted.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// The table.
    pub file: PathBuf,
    /// Its column of identifiers, to be repeated in the predictions.
    pub id: Option<String>,
    /// Its column of the true classes, to be compared with.
    pub label: Option<String>,
}

/// What a model says of the rows of a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Predictions {
    /// Layout version.
    pub version: u32,
    /// A prediction for each row, in their order.
    pub predictions: Vec<Prediction>,
    /// How many empty cells were filled with the training rows' mean.
    pub filled: usize,
    /// How the predictions compare with the true classes, where those were named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measures: Option<Metrics>,
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
    /// The decision value w·x − b: the distance from the separating plane in units of the margin. 0 and above is positive.
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
            job: Some(params.id()),
            holders: vec![msp_id.clone()],
            parts: vec![Part { msp_id, scaler, weights, intercept }],
        }
    }

    /// Reads one model from files that hold parts of it, as participants keep them, or from the one file that holds all.
    ///
    /// # Errors
    /// As [`Model::load`]; files that do not belong together.
    pub fn load_parts(paths: &[PathBuf]) -> Result<Self, ModelError> {
        let mut whole: Option<Self> = None;
        for path in paths {
            let part = Self::load(path)?;
            let parse = |reason: String| ModelError::Parse { path: path.display().to_string(), reason };
            let Some(model) = &mut whole else {
                whole = Some(part);
                continue;
            };
            if (&part.positive, &part.negative) != (&model.positive, &model.negative) {
                return Err(parse("its classes are not those of the other parts".into()));
            }
            if (&part.job, &part.holders) != (&model.job, &model.holders) {
                return Err(parse("it is a part of another model".into()));
            }
            if let Some(twice) =
                part.parts.iter().find(|new| model.parts.iter().any(|p| p.msp_id == new.msp_id))
            {
                return Err(parse(format!("the part of {} is given twice", twice.msp_id)));
            }
            model.parts.extend(part.parts);
        }
        let mut model = whole.ok_or_else(|| ModelError::Rows("no model was named".into()))?;
        let place = |part: &Part| model.holders.iter().position(|holder| *holder == part.msp_id);
        model.parts.sort_by_key(place);
        Ok(model)
    }

    /// Reads a model file.
    ///
    /// # Errors
    /// A file that cannot be read, or is no model of this version.
    pub fn load(path: &Path) -> Result<Self, ModelError> {
        let model: Self = read_json(path)?;
        model.checked(path)
    }

    /// Reads the model from what a node keeps of a finished job.
    ///
    /// # Errors
    /// A file that cannot be read, or in which there is no model.
    pub fn of_report(path: &Path) -> Result<Self, ModelError> {
        #[derive(Deserialize)]
        struct Report {
            model: Option<Model>,
        }
        let report: Report = read_json(path)?;
        report.model.ok_or_else(|| ModelError::None { path: path.display().to_string() })?.checked(path)
    }

    fn checked(self, path: &Path) -> Result<Self, ModelError> {
        let parse = |reason: String| ModelError::Parse { path: path.display().to_string(), reason };
        if self.version != VERSION {
            return Err(parse(format!("version {} is not {VERSION}", self.version)));
        }
        for part in &self.parts {
            let columns = part.scaler.columns().count();
            if columns != part.weights.len() {
                return Err(parse(format!(
                    "{}: {} weights for {columns} columns",
                    part.msp_id,
                    part.weights.len()
                )));
            }
        }
        Ok(self)
    }

    /// That all parts are here.
    ///
    /// # Errors
    /// [`ModelError::Incomplete`].
    pub fn require_whole(&self) -> Result<(), ModelError> {
        let is_here = |holder: &&String| self.parts.iter().any(|part| part.msp_id == **holder);
        let missing: Vec<&str> =
            self.holders.iter().filter(|holder| !is_here(holder)).map(String::as_str).collect();
        match missing.is_empty() {
            true => Ok(()),
            false => Err(ModelError::Incomplete { missing: missing.join(", ") }),
        }
    }

    /// The class in the words of the training table.
    pub fn class(&self, label: Label) -> &str {
        match label {
            Label::Positive => &self.positive,
            Label::Negative => &self.negative,
        }
    }

    /// Names of the columns, in the order of the parts.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().flat_map(|part| part.scaler.columns())
    }

    /// Predicts the class of every row of a table that has the model's columns, in any order among others. Gaps are filled
    /// with the training rows' means.
    ///
    /// # Errors
    /// A part of the model that is not here; a column that is missing, a cell that is no number, values that overflow the
    /// scale, a class that the model does not know: all with line and column.
    pub fn predict(&self, query: &Query) -> Result<Predictions, ModelError> {
        self.require_whole()?;
        let rows = |e: &dyn std::fmt::Display| {
            let text = e.to_string().replace(" of --positive", ", the model's positive class");
            ModelError::Rows(text.replace("; use --scale std or unit", ""))
        };
        let in_file = |e: &dyn std::fmt::Display| rows(&format!("{}: {e}", query.file.display()));
        let columns = Columns {
            id: query.id.clone(),
            label: query.label.clone(),
            positive: query.label.as_ref().map(|_| self.positive.clone()),
            one_class: true,
            features: Some(self.columns().map(String::from).collect()),
            ..Columns::default()
        };
        let table = Table::read(&query.file, &columns).map_err(|e| rows(&e))?;
        let mut negative = table.classes.iter().flat_map(|classes| &classes.negative);
        if let Some(unknown) = negative.find(|class| !self.is_negative(class)) {
            let (column, known) =
                (query.label.as_deref().unwrap_or_default(), [&self.positive, &self.negative]);
            return Err(in_file(&format!(
                "column `{column}` has the class `{}`, the model tells {} from {}",
                unknown.escape_debug(),
                known[0],
                known[1]
            )));
        }
        let all: Vec<usize> = (0..table.rows.len()).collect();
        let mut scores = vec![0i128; all.len()];
        let mut first = 0;
        for part in &self.parts {
            let own = table.slice(first..first + part.weights.len());
            first += part.weights.len();
            let scaled = part.scaler.apply(&own, &all).map_err(|e| in_file(&e))?;
            let features = Features::encode(&scaled).map_err(|e| in_file(&e))?;
            for (index, score) in scores.iter_mut().enumerate() {
                *score += part.score(features.row(index));
            }
        }
        let predicted: Vec<Label> = scores.iter().map(|score| fixed::predict(*score)).collect();
        let measures = match query.label {
            Some(_) => Some(Metrics::new(&table.labels().map_err(|e| in_file(&e))?, &predicted)),
            None => None,
        };
        let prediction = |((row, score), label): ((&svm::table::Row, &i128), &Label)| Prediction {
            line: row.line,
            id: row.id.clone(),
            class: self.class(*label).to_owned(),
            score: *score as f64 / fixed::ONE as f64,
        };
        Ok(Predictions {
            version: VERSION,
            predictions: table.rows.iter().zip(&scores).zip(&predicted).map(prediction).collect(),
            filled: table.rows.iter().flat_map(|row| &row.values).filter(|value| value.is_none()).count(),
            measures,
        })
    }

    /// Whether a label is one of those that count as negative.
    fn is_negative(&self, class: &str) -> bool {
        // One class against several others: their names are joined.
        same_class(class, &self.negative) || self.negative.split('/').any(|one| same_class(class, one))
    }
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, ModelError> {
    let shown = path.display().to_string();
    let bytes = fs::read(path).map_err(|source| ModelError::Read { path: shown.clone(), source })?;
    serde_json::from_slice(&bytes).map_err(|e| ModelError::Parse { path: shown, reason: e.to_string() })
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
