//! Trained models as files: what a participant keeps, what `predict` reads, and what it says of new rows.

use dataset::{
    Label,
    metrics::Metrics,
    scaling::Scaler,
    table::{Class, Columns, Overview, Reading, Table, TableError, TableFile},
};
use num_bigint::BigInt;
use num_traits::ToPrimitive;
use records::{HorizontalSvm, JobId, JobParams, MspId, VERSION};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};
use svm::fixed;

/// One participant's part of a model: its columns, how it scaled them, and their weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The participant.
    pub msp_id: MspId,
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
    /// w·x − b of one row of scaled values, exact at scale 2^36.
    ///
    /// # Panics
    /// Where the row has other columns than the part, or a value that is not finite.
    pub fn score(&self, row: &[f64]) -> BigInt {
        fixed::score_of_any(&self.weights, row) - (BigInt::from(self.intercept) << fixed::FEATURE_PLACES)
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
    pub holders: Vec<MspId>,
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
        "the model is held in parts, and those of {missing} are not here: name all parts, each after a --model; where \
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
#[derive(Clone, Debug)]
pub struct Query {
    /// The table; its content is read once.
    pub file: TableFile,
    /// Its column of identifiers, to be repeated in the predictions.
    pub id: Option<String>,
    /// Its column of the true classes, to be compared with.
    pub label: Option<String>,
    /// How its cells are read.
    pub reading: Reading,
}

impl Query {
    /// The rows of a file, of which nothing else is known.
    pub fn from_file(file: impl Into<TableFile>) -> Self {
        Self { file: file.into(), id: None, label: None, reading: Reading::default() }
    }
}

/// What a model says of the rows of a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Predictions {
    /// Layout version.
    pub version: u32,
    /// A prediction for each row, in their order.
    pub predictions: Vec<Prediction>,
    /// What the table holds.
    pub table: Overview,
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

    /// The model for people.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.job.iter().map(|job| format!("training    {job}")).collect();
        lines.push(format!("classes     {} (positive), {}", self.positive, self.negative));
        for holder in &self.holders {
            if !self.parts.iter().any(|part| part.msp_id == *holder) {
                lines.push(format!("not here    the part of {holder}"));
            }
        }
        let real = |fixed: i64| fixed as f64 / f64::from(1 << fixed::WEIGHT_PLACES);
        let intercept = signed(real(self.parts.iter().map(|part| part.intercept).sum()));
        lines.push(format!("intercept   b = {intercept}; the decision value is w·x − b for scaled x"));
        lines.push(String::new());
        lines.push(format!(
            "{:<24} {:>13} {:>14} {:>14} {:>14}  of",
            "column", "weight", "centre", "divisor", "gaps become"
        ));
        let mut names = self.columns().into_iter();
        for part in &self.parts {
            for (column, weight) in part.scaler.fitted().iter().zip(&part.weights) {
                let [centre, divisor, fill] = [column.centre, column.divisor, column.fill].map(digits);
                lines.push(format!(
                    "{:<24} {:>13} {centre:>14} {divisor:>14} {fill:>14}  {}",
                    names.next().unwrap_or_default(),
                    signed(real(*weight)),
                    part.msp_id
                ));
            }
        }
        lines
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
        let is_here = |holder: &&MspId| self.parts.iter().any(|part| part.msp_id == **holder);
        let missing: Vec<&str> =
            self.holders.iter().filter(|holder| !is_here(holder)).map(MspId::as_str).collect();
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

    /// Names of the columns, in the order of the parts. Where several organisations have a column of one name, theirs are
    /// told apart as `Org1MSP/age` and `Org2MSP/age`; a name that only one has stays as it is.
    pub fn columns(&self) -> Vec<String> {
        let all: Vec<(&str, &str)> = self
            .parts
            .iter()
            .flat_map(|part| part.scaler.columns().map(|name| (part.msp_id.as_str(), name)))
            .collect();
        let mut names: Vec<String> = all.iter().map(|(_, name)| name.to_string()).collect();
        // A qualified name may be another column's own, which is then qualified, too.
        loop {
            let mut count: HashMap<&str, u32> = HashMap::new();
            names.iter().for_each(|name| *count.entry(name).or_default() += 1);
            let is_ambiguous: Vec<bool> = names.iter().map(|name| count[name.as_str()] > 1).collect();
            let mut has_changed = false;
            for ((name, (msp_id, own)), _) in
                names.iter_mut().zip(&all).zip(is_ambiguous).filter(|(_, ambiguous)| *ambiguous)
            {
                let qualified = format!("{msp_id}/{own}");
                has_changed |= *name != qualified;
                *name = qualified;
            }
            if !has_changed {
                return names;
            }
        }
    }

    /// What a missing column is, where the model tells several of its name apart.
    fn about_qualified(&self, columns: &[String]) -> String {
        let own = self.parts.iter().flat_map(|part| part.scaler.columns());
        let qualified: Vec<&str> = columns
            .iter()
            .zip(own)
            .filter(|(name, own)| name != own)
            .map(|(name, _)| name.as_str())
            .collect();
        match qualified.is_empty() {
            true => String::new(),
            false => format!(
                " (several organisations have a column of one name; in one table they are called {})",
                qualified.join(", ")
            ),
        }
    }

    /// Predicts the class of every row of a table that has the model's columns, in any order among others. Gaps are filled
    /// with the training rows' means.
    ///
    /// # Errors
    /// A part of the model that is not here; a column that is missing, a cell that is no number, a class that the model does not know: all with line and column.
    pub fn predict(&self, query: &Query) -> Result<Predictions, ModelError> {
        self.require_whole()?;
        let rows = |e: &dyn std::fmt::Display| ModelError::Rows(e.to_string());
        let in_file = |e: &dyn std::fmt::Display| rows(&format!("{}: {e}", query.file.path().display()));
        let names = self.columns();
        let columns = Columns {
            id: query.id.clone(),
            label: query.label.clone(),
            positive: query.label.as_ref().map(|_| Class::Joined(self.positive.clone())),
            negative: query.label.as_ref().map(|_| Class::Joined(self.negative.clone())),
            one_class: true,
            features: Some(names.clone()),
            reading: query.reading.clone(),
            ..Columns::default()
        };
        let table = Table::from_file(&query.file, &columns).map_err(|e| match e.problem() {
            TableError::NoColumn { .. } => rows(&format!("{e}{}", self.about_qualified(&names))),
            TableError::NeitherClass { line, column, value, hint, .. } => in_file(&format!(
                "line {line}, column `{column}` has the class `{value}`, the model tells {} from {}{hint}",
                self.positive.escape_debug(),
                self.negative.escape_debug()
            )),
            _ => rows(&e),
        })?;
        let all: Vec<usize> = (0..table.rows.len()).collect();
        let mut scores = vec![BigInt::ZERO; all.len()];
        let mut first = 0;
        for part in &self.parts {
            let mut own = table.slice(first..first + part.weights.len());
            // The table has the names by which the model tells columns of one name apart.
            own.columns = part.scaler.columns().map(String::from).collect();
            first += part.weights.len();
            let scaled = part.scaler.apply(&own, &all).map_err(|e| in_file(&e))?;
            for (score, row) in scores.iter_mut().zip(&scaled.rows) {
                *score += part.score(row);
            }
        }
        let predicted: Vec<Label> = scores.iter().map(fixed::class_of).collect();
        let measures = match query.label {
            Some(_) => Some(Metrics::new(&table.labels().map_err(|e| in_file(&e))?, &predicted)),
            None => None,
        };
        let prediction = |((row, score), label): ((&dataset::table::Row, &BigInt), &Label)| Prediction {
            line: row.line,
            id: row.id.clone(),
            class: self.class(*label).to_owned(),
            score: decision_value(score),
        };
        Ok(Predictions {
            version: VERSION,
            predictions: table.rows.iter().zip(&scores).zip(&predicted).map(prediction).collect(),
            table: Overview::new(query.file.path(), &table),
            filled: table.rows.iter().flat_map(|row| &row.values).filter(|value| value.is_none()).count(),
            measures,
        })
    }
}

/// A score as the decision value: from the scale 2^36 to the nearest float.
fn decision_value(score: &BigInt) -> f64 {
    let float = |score: &BigInt| score.to_f64().unwrap_or(f64::NAN);
    match float(score) {
        scaled if scaled.is_finite() => scaled / fixed::ONE as f64,
        _ => float(&(score / fixed::ONE)).clamp(-f64::MAX, f64::MAX),
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

/// A number with seven digits that say something, whatever its size.
fn digits(x: f64) -> String {
    match x.abs() {
        0.0 => "0".into(),
        0.1..1e7 => format!("{x:.6}"),
        _ => format!("{x:.6e}"),
    }
}

/// The same with a sign.
fn signed(x: f64) -> String {
    let sign = if x < 0.0 { "" } else { "+" };
    sign.to_string() + &digits(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sklearn;

    /// One organisation's part: of each column the mean, and the weight in halves; deviations are 2.
    fn part(msp_id: &str, columns: &[(&str, f64, i64)]) -> Model {
        let moments = columns.iter().map(|(name, mean, _)| (name.to_string(), *mean, Some(2.0))).collect();
        let weights = columns.iter().map(|(.., halves)| halves << 23).collect();
        let scaler = Scaler::standard(moments).unwrap();
        Model {
            version: VERSION,
            positive: "ill".into(),
            negative: "well".into(),
            job: Some(JobId::from([0xaa; 32])),
            holders: ["Org1MSP", "Org2MSP"].map(|name| name.parse().unwrap()).to_vec(),
            parts: vec![Part { msp_id: msp_id.parse().unwrap(), scaler, weights, intercept: 0 }],
        }
    }

    fn whole(parts: [Model; 2]) -> Model {
        let dir = tempfile::tempdir().unwrap();
        let paths = [0, 1].map(|place| dir.path().join(format!("{place}.json")));
        for (path, part) in paths.iter().zip(&parts) {
            fs::write(path, serde_json::to_vec(part).unwrap()).unwrap();
        }
        Model::load_parts(&paths).unwrap()
    }

    fn predict(model: &Model, text: &str) -> Result<Vec<f64>, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("new.csv");
        fs::write(&file, text).unwrap();
        let found = model.predict(&Query::from_file(file)).map_err(|e| e.to_string())?;
        Ok(found.predictions.iter().map(|p| p.score).collect())
    }

    #[test]
    fn columns_of_one_name_are_told_apart_by_their_organisations() {
        let first = part("Org1MSP", &[("age", 40.0, 1), ("pulse", 60.0, 2)]);
        let second = part("Org2MSP", &[("sugar", 5.0, 4), ("age", 80.0, 6)]);
        let model = whole([second, first]);
        assert_eq!(model.columns(), ["Org1MSP/age", "pulse", "sugar", "Org2MSP/age"]);
        // In any order, among others.
        let found = predict(&model, "sugar,Org2MSP/age,x,Org1MSP/age,pulse\n7,82,0,44,60\n").unwrap();
        assert_eq!(found, [0.5 * 2.0 + 0.0 + 2.0 * 1.0 + 3.0 * 1.0]);
        let said = predict(&model, "sugar,age,pulse\n7,82,44\n").unwrap_err();
        assert!(
            said.contains("no column `Org1MSP/age`") && said.contains("are called Org1MSP/age, Org2MSP/age"),
            "{said}"
        );
        let export = serde_json::to_value(sklearn::Export::new(&model).unwrap()).unwrap();
        assert_eq!(export["columns"], serde_json::json!(["Org1MSP/age", "pulse", "sugar", "Org2MSP/age"]));
        assert_eq!(export["fitted"]["simpleimputer"]["feature_names_in_"], export["columns"]);
    }

    #[test]
    fn a_name_that_only_one_has_stays_unless_it_reads_like_a_qualified_one() {
        let model = whole([part("Org1MSP", &[("age", 1.0, 1)]), part("Org2MSP", &[("pulse", 1.0, 1)])]);
        assert_eq!(model.columns(), ["age", "pulse"]);
        let clash = part("Org1MSP", &[("age", 1.0, 1), ("Org2MSP/age", 2.0, 1)]);
        let model = whole([clash, part("Org2MSP", &[("age", 3.0, 1)])]);
        assert_eq!(model.columns(), ["Org1MSP/age", "Org1MSP/Org2MSP/age", "Org2MSP/age"]);
    }

    #[test]
    fn new_values_of_any_size_are_predicted() {
        let model = whole([part("Org1MSP", &[("age", 40.0, 1)]), part("Org2MSP", &[("pulse", 0.0, -2)])]);
        let found = predict(&model, "age,pulse\n1e300,0\n40,1e300\n1e12,-1e12\n40,2e-9\n").unwrap();
        let expected = [0.25e300, -0.5e300, 0.25e12 - 10.0 + 0.5e12, 0.0];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() <= 1e-12 * expected.abs(), "{found} and {expected}");
        }
    }

    #[test]
    fn numbers_of_any_size_show_their_digits() {
        for (x, shown) in [
            (0.0, "0"),
            (5.996e-9, "5.996000e-9"),
            (-1e-300, "-1.000000e-300"),
            (54.25, "54.250000"),
            (-0.0123456789, "-1.234568e-2"),
            (9_999_999.0, "9999999.000000"),
            (1e300, "1.000000e300"),
        ] {
            assert_eq!(digits(x), shown);
        }
        assert_eq!([signed(2f64.powi(-24)), signed(-1.5)], ["+5.960464e-8", "-1.500000"]);
    }
}
