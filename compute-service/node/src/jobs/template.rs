//! Parameters of jobs to begin with: what is not said follows from the organisation's own files.

use crate::config::Config;
use protocol::Fault;
use records::{Fingerprint, Kind, MspId};
use serde_json::Value;

/// What a person says of a job that is to be proposed.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The configuration of the proposer's node.
    pub config: &'a Config,
    /// The participants, where the job names any of its own.
    pub participants: &'a [MspId],
    /// The negotiated key.
    pub key: Option<Fingerprint>,
    /// Parameters by name, as text.
    pub settings: &'a [(String, String)],
}

impl Wanted<'_> {
    /// A parameter that was set.
    pub(super) fn setting(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|(set, _)| set == name).map(|(_, text)| text.as_str())
    }

    /// One without which there is no job.
    pub(super) fn required(&self, name: &str) -> Result<&str, Fault> {
        self.setting(name).ok_or_else(|| Fault::Input(format!("`{name}` is missing; give it with --set")))
    }

    /// The parameters with those that were set, each in the form that it has: lists are divided by commas.
    pub(super) fn apply(&self, kind: Kind) -> Result<Kind, Fault> {
        let name = kind.name();
        let input = |e: serde_json::Error| Fault::Input(format!("{name}: {e}"));
        let mut json = serde_json::to_value(kind).map_err(input)?;
        let parameters =
            json.get_mut(name).and_then(Value::as_object_mut).expect("a kind is an object by its name");
        for (setting, text) in self.settings {
            let names = || parameters.keys().cloned().collect::<Vec<_>>().join(", ");
            let unknown = || Fault::Input(format!("{name} has no parameter `{setting}`; it has {}", names()));
            let form = parameters.get(setting).ok_or_else(unknown)?;
            let value = parsed(form, text).ok_or_else(|| {
                Fault::Input(format!("`{setting}` cannot be `{}`; it was {form}", text.escape_debug()))
            })?;
            parameters.insert(setting.clone(), value);
        }
        serde_json::from_value(json).map_err(input)
    }
}

/// A text in the form of a value.
fn parsed(form: &Value, text: &str) -> Option<Value> {
    Some(match form {
        Value::String(_) => text.into(),
        Value::Array(_) => text.split(',').map(str::trim).collect(),
        Value::Bool(_) => text.parse::<bool>().ok()?.into(),
        Value::Number(_) => text.parse::<u64>().ok()?.into(),
        Value::Null | Value::Object(_) => serde_json::from_str(text).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use records::Collusion;

    fn applied(settings: &[(&str, &str)]) -> Result<Kind, String> {
        let settings: Vec<(String, String)> =
            settings.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.toml");
        std::fs::write(&path, "data_dir = \"state\"\nconnection_profile = \"none.json\"\n").unwrap();
        let config = Config::load(&path).unwrap();
        let wanted = Wanted { config: &config, participants: &[], key: None, settings: &settings };
        let generation = crate::proposal::key_generation(2048, false, 2, Collusion::Minority);
        wanted.apply(Kind::KeyGeneration(generation)).map_err(|fault| fault.to_string())
    }

    #[test]
    fn settings_take_the_form_of_the_parameter() {
        let kind =
            applied(&[("quorum", "3"), ("purpose", "statistics"), ("insecure_key_bits", "true")]).unwrap();
        let Kind::KeyGeneration(generation) = kind else { panic!() };
        assert_eq!((generation.quorum, generation.insecure_key_bits), (3, true));
        assert_eq!(generation.purpose, "statistics");
        let refused = |settings: &[(&str, &str)]| applied(settings).unwrap_err();
        assert!(
            refused(&[("colour", "red")])
                .starts_with("key-generation has no parameter `colour`; it has against, ")
        );
        assert_eq!(refused(&[("quorum", "many")]), "`quorum` cannot be `many`; it was 2");
        assert!(refused(&[("against", "all")]).contains("unknown variant"));
    }
}
