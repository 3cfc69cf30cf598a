//! A node's configuration file (TOML). Paths are relative to the file.

use crate::consent::Minimum;
use dataset::{scaling::Scaling, table::Class};
use serde::{Deserialize, Deserializer, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What a node is told when it starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the node keeps its state, its share of keys and its results; made with mode 0700.
    pub data_dir: PathBuf,
    /// The organisation's Fabric connection profile (`connection-org1.json`).
    pub connection_profile: PathBuf,
    /// The channel.
    #[serde(default = "confab_name")]
    pub channel: String,
    /// The chaincode.
    #[serde(default = "confab_name")]
    pub chaincode: String,
    /// How long a peer that lags or is gone is asked again before a job is given up, in seconds.
    #[serde(default = "retry_timeout", alias = "patience_secs")]
    pub retry_timeout_secs: u64,
    /// The identity with which the node signs; the profile's own where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// The member's file of a threshold key that was dealt (`confab key deal`), for jobs that name no key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_share: Option<PathBuf>,
    /// The organisation's table; a node without one takes part in jobs about keys only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Data>,
    /// New rows, to be asked about with a model that stayed split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predictions: Option<NewRows>,
    /// The least that a job has to have for the node to take part; what is below waits for a person's consent.
    #[serde(default, skip_serializing_if = "Minimum::is_default")]
    pub minimum: Minimum,
    /// The first block that a node without state reads: of one that is made when the ledger is long already, for jobs that are
    /// proposed afterwards.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub first_block: u64,
    /// Jobs that the node accepts by itself; others wait for `confab job accept`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accept: Vec<String>,
}

/// An X.509 identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// MSP identifier.
    pub msp_id: String,
    /// Certificate, PEM.
    pub certificate: PathBuf,
    /// Private key, PEM (PKCS#8).
    pub private_key: PathBuf,
}

/// A table and how to read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// The file, in any of the forms of docs/tables.md.
    pub file: PathBuf,
    /// The column of the unique identifiers by which the participants' rows are joined, a name or a number from 1; in a
    /// training by rows, where nothing is joined, there need be none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The label column.
    pub label: String,
    /// The label's values that count as positive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positive: Option<Words>,
    /// The label's values that count as negative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub negative: Option<Words>,
    /// Words that stand for a gap, beside the usual ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub na: Option<Words>,
    /// Whether the first line names the columns, where that does not show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// Whether commas in numbers divide the fraction, where that does not show.
    #[serde(default)]
    pub decimal_comma: bool,
    /// How the columns are scaled.
    #[serde(default = "scaling")]
    pub scale: Scaling,
    /// Whether gaps are filled with the column's mean; else they are errors.
    #[serde(default)]
    pub fill_missing: bool,
}

/// The organisation's columns of new rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRows {
    /// The file: the columns of the training table by name, or by number where it has no header; others are ignored.
    pub file: PathBuf,
    /// The column of the identifiers by which the participants' rows are joined.
    pub id: String,
    /// Words that stand for a gap, beside the usual ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub na: Option<Words>,
    /// Whether the first line names the columns, where that does not show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// Whether commas in numbers divide the fraction, where that does not show.
    #[serde(default)]
    pub decimal_comma: bool,
    /// How many rows may be asked about with one model, in all; a consent to more than a few trusts whoever chose them.
    #[serde(default = "row_limit", alias = "most")]
    pub row_limit: u32,
}

/// Words of a table: one, or several with commas between them, or a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a word, a number, or a list of them")]
pub enum Words {
    /// `"yes"`, `"1,2,3"`, or `1`.
    Listed(#[serde(deserialize_with = "word")] String),
    /// `["yes", "perhaps, if asked"]` or `[1, 2, 3]`.
    Values(#[serde(deserialize_with = "words")] Vec<String>),
}

impl Words {
    /// As a class of a label.
    pub fn class(&self) -> Class {
        match self {
            Self::Listed(list) => Class::Listed(list.clone()),
            Self::Values(values) => Class::Values(values.clone()),
        }
    }

    /// The words one by one.
    pub fn each(&self) -> Vec<String> {
        self.class().all().into_iter().map(String::from).collect()
    }
}

/// A word or a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Word {
    Text(String),
    Integer(i64),
    Real(f64),
}

impl From<Word> for String {
    fn from(word: Word) -> Self {
        match word {
            Word::Text(text) => text,
            Word::Integer(number) => number.to_string(),
            Word::Real(number) => number.to_string(),
        }
    }
}

fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Word::deserialize(deserializer).map(String::from)
}

fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Vec::<Word>::deserialize(deserializer).map(|words| words.into_iter().map(String::from).collect())
}

fn row_limit() -> u32 {
    crate::predictions::ROW_LIMIT
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn confab_name() -> String {
    "confab".into()
}

fn retry_timeout() -> u64 {
    600
}

fn scaling() -> Scaling {
    Scaling::Std
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not a configuration.
    #[error("{path}: {reason}")]
    Parse {
        /// The file.
        path: String,
        /// Line, column and what is wrong.
        reason: String,
    },
}

impl Config {
    /// Reads a configuration; relative paths are resolved against the file's folder.
    ///
    /// # Errors
    /// A file that cannot be read, or is not a configuration.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let shown = path.display().to_string();
        let text =
            fs::read_to_string(path).map_err(|source| ConfigError::Read { path: shown.clone(), source })?;
        let mut config: Self = toml::from_str(&text).map_err(|e| ConfigError::Parse {
            path: shown.clone(),
            reason: e.to_string().trim_end().into(),
        })?;
        if !config.minimum.octaves.is_finite() {
            let reason = "minimum.octaves is no finite number".into();
            return Err(ConfigError::Parse { path: shown, reason });
        }
        let base = path.parent().unwrap_or(Path::new(""));
        let mut paths = vec![&mut config.data_dir, &mut config.connection_profile];
        paths.extend(&mut config.key_share);
        paths.extend(config.data.as_mut().map(|data| &mut data.file));
        paths.extend(config.predictions.as_mut().map(|new| &mut new.file));
        if let Some(identity) = &mut config.identity {
            paths.extend([&mut identity.certificate, &mut identity.private_key]);
        }
        for path in paths {
            *path = base.join(&*path);
        }
        Ok(config)
    }

    /// The text of a configuration file.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a configuration consists of strings, numbers and lists")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = r#"
data_dir = "state"
connection_profile = "connection-org1.json"
key_share = "/keys/share-1.json"
[data]
file = "visits.csv"
id = "patient"
label = "diagnosis"
"#;

    #[test]
    fn paths_are_relative_to_the_file_and_defaults_are_filled_in() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.toml");
        fs::write(&path, MINIMAL).unwrap();
        let config = Config::load(&path).unwrap();
        assert_eq!(config.data_dir, dir.path().join("state"));
        assert_eq!(config.key_share.as_deref(), Some(Path::new("/keys/share-1.json")));
        assert_eq!((config.channel.as_str(), config.retry_timeout_secs), ("confab", 600));
        fs::write(&path, config.to_toml()).unwrap();
        assert_eq!(Config::load(&path).unwrap(), config);
    }

    /// Every comparison with it would be false, and nothing below it.
    #[test]
    fn a_minimum_is_a_number() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.toml");
        fs::write(&path, format!("{MINIMAL}[minimum]\noctaves = nan\n")).unwrap();
        let error = Config::load(&path).unwrap_err().to_string();
        assert!(error.contains("node.toml") && error.contains("minimum.octaves"), "{error}");
    }

    #[test]
    fn words_are_one_or_several() {
        let read = |value: &str| {
            let data = format!("file = \"x\"\nlabel = \"y\"\npositive = {value}\n");
            toml::from_str::<Data>(&data).map(|data| data.positive.unwrap().each())
        };
        for (value, words) in [
            ("\"yes\"", &["yes"][..]),
            ("\"1,2, 3\"", &["1", "2", "3"]),
            ("4", &["4"]),
            ("[1, 2.5, \"x, y\"]", &["1", "2.5", "x, y"]),
        ] {
            assert_eq!(read(value).unwrap(), words, "{value}");
        }
        let error = read("true").unwrap_err().to_string();
        assert!(error.contains("a word, a number, or a list of them"), "{error}");
        let values = Words::Values(vec!["a, b".into(), "c".into()]);
        let data =
            Data { positive: Some(values.clone()), ..toml::from_str("file = \"x\"\nlabel = \"y\"").unwrap() };
        assert_eq!(toml::from_str::<Data>(&toml::to_string(&data).unwrap()).unwrap(), data);
    }

    #[test]
    fn an_unknown_field_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.toml");
        fs::write(&path, format!("colour = 1\n{MINIMAL}")).unwrap();
        let error = Config::load(&path).unwrap_err().to_string();
        assert!(error.contains("colour") && error.contains("node.toml"), "{error}");
    }
}
