//! What version 1 wrote stays readable, and is written alike.

use records::{Acceptance, AnalystKey, Instance, Job, JobParams, Record, SharedTable, Termination};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

fn round_trip<T: Serialize + DeserializeOwned>(value: &Value) -> Value {
    let parsed: T = serde_json::from_value(value.clone()).unwrap_or_else(|e| panic!("{e}: {value}"));
    serde_json::to_value(parsed).unwrap()
}

#[test]
fn version_1_is_readable() {
    let lines = include_str!("vectors/v1.jsonl").lines();
    let mut count = 0;
    for line in lines {
        let line: Value = serde_json::from_str(line).unwrap();
        let value = &line["value"];
        let written = match line["kind"].as_str().unwrap() {
            "params" => round_trip::<JobParams>(value),
            "job" => round_trip::<Job>(value),
            "acceptance" => round_trip::<Acceptance>(value),
            "ending" => round_trip::<Termination>(value),
            "record" => {
                Record::from_json(value.to_string().as_bytes()).unwrap();
                round_trip::<Record>(value)
            }
            "analyst-key" => round_trip::<AnalystKey>(value),
            "shared-table" => round_trip::<SharedTable>(value),
            "instance" => round_trip::<Instance>(value),
            other => panic!("unknown kind {other}"),
        };
        // Fields that had not been written when they had their defaults are written now.
        if line.get("defaults").is_none() {
            assert_eq!(&written, value);
        }
        count += 1;
    }
    assert_eq!(count, 24);
}

#[test]
fn unknown_fields_and_versions_are_refused() {
    for line in include_str!("vectors/v1.jsonl").lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        if line["kind"] != "record" {
            continue;
        }
        let mut unknown = line["value"].clone();
        unknown["colour"] = "red".into();
        assert!(Record::from_json(unknown.to_string().as_bytes()).is_err());
        let mut other = line["value"].clone();
        other["version"] = 2.into();
        assert_eq!(Record::from_json(other.to_string().as_bytes()).unwrap_err(), "record version 2 is not 1");
    }
}
