//! What the parties of a job keep of it, and what they see of it on the ledger, names the same things the same way: whoever
//! compares two parties' reports finds no difference but in what is each one's own.

use crate::fixture::{Ledger, On, Size, run};
use crate::harness::{Test, test};
use dataset::generate;
use experiment::{Experiment, Key, Participants, Source, SplitRun, TrainingOptions};
use node::{
    config::{Config, Words},
    model::Query,
    proposal::{HorizontalOptions, job_params, key_generation},
};
use records::{Collusion, JobId, JobParams, Judge, Kind as Protocol, Publication};
use serde_json::Value;
use std::fs;

pub const TESTS: &[Test] = &[test!(agreement on Dev, Fabric)];

const SIZE: Size = Size { judge: Judge::Blinded, rows: 60, iterations: 4, batch: 8, key_bits: 512 };

async fn agreement(on: On) {
    let ledger = Ledger::start(on, 3).await;
    let members = ledger.participants("reports", 3);
    let fingerprint = a_negotiation(&ledger, &members).await;
    let split = a_training_by_columns(&ledger, &members, fingerprint).await;
    a_prediction(&ledger, &split).await;
    a_training_by_rows(&ledger).await;
}

/// Fields that are a party's own: its place, its work, its table, its secrets.
const OWN: [&str; 11] = [
    "/party",
    "/seconds",
    "/elapsed",
    "/traffic",
    "/table",
    "/salt",
    "/share",
    "/peak_memory",
    "/multiplication",
    "/comparison",
    "/candidates",
];

/// Compares everything that two reports have in common; how many values that was.
fn compare(path: &str, one: &Value, other: &Value, own: &[&str]) -> usize {
    if own.contains(&path) {
        return 0;
    }
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let names = one.keys().chain(other.keys().filter(|name| !one.contains_key(*name)));
            let both = |name: &String| match (one.get(name), other.get(name)) {
                (Some(a), Some(b)) => compare(&format!("{path}/{name}"), a, b, own),
                _ => panic!("only one of the reports has {path}/{name}"),
            };
            names.filter(|name| !own.contains(&format!("{path}/{name}").as_str())).map(both).sum()
        }
        (Value::Array(one), Value::Array(other)) => {
            assert_eq!(one.len(), other.len(), "{path}");
            one.iter().zip(other).map(|(a, b)| compare(&format!("{path}/_"), a, b, own)).sum()
        }
        _ => {
            assert_eq!(one, other, "{path}");
            1
        }
    }
}

/// Runs a job and compares its reports and what the parties' peers say of it. With them `more` is own.
async fn compared(ledger: &Ledger, nodes: &Participants, params: &JobParams, more: &[&str]) -> Vec<Value> {
    let reports: Vec<Value> = run(nodes, params, &[]).await;
    let own = [&OWN[..], more].concat();
    for (party, report) in reports.iter().enumerate() {
        assert_eq!(report["party"], party);
        let values = compare("", &reports[0], report, &own);
        assert!(values > 12, "{values} values of {} are not the whole report", params.kind.name());
    }
    let view = async |org: usize| -> Value { view(ledger, org, &params.id()).await };
    let first = view(0).await;
    for org in 1..reports.len() {
        // The own peer may lag, but the node has the end of the job from it.
        assert!(compare("", &first, &view(org).await, &[]) > 12);
    }
    reports
}

async fn view(ledger: &Ledger, org: usize, job: &JobId) -> Value {
    let call = gateway_client::Call::new("job").arg(job.to_string());
    serde_json::from_slice(&ledger.contract(org).evaluate(call).await.unwrap()).unwrap()
}

async fn a_negotiation(ledger: &Ledger, members: &Participants) -> String {
    let kind = Protocol::KeyGeneration(key_generation(512, true, 3, Collusion::Minority));
    let params = job_params(kind, ledger.members(3)).unwrap();
    let reports = compared(ledger, members, &params, &[]).await;
    reports[0]["key"].as_str().unwrap().to_owned()
}

/// Two of the organisations have words of their own for the classes, and columns of one name.
async fn a_training_by_columns(ledger: &Ledger, members: &Participants, fingerprint: String) -> SplitRun {
    let experiment = ledger.experiment_with("columns", &SIZE, |options| options.model = Publication::Split);
    let key = Key::Negotiated { fingerprint: fingerprint.parse().unwrap(), seconds: 0.0, bound: 1 };
    let deployment = experiment.deploy(members, &key).unwrap();
    for (party, words) in [(1, ["ill", "well"]), (2, ["1.0", "0.0"])] {
        let file = members.configs[party].with_file_name("data.csv");
        let [positive, negative] = words.map(|word| format!(",\"{word}\","));
        let text =
            fs::read_to_string(&file).unwrap().replace(",\"1\",", &positive).replace(",\"0\",", &negative);
        assert!(text.contains(&positive) && text.contains(&negative));
        fs::write(&file, text).unwrap();
        let mut config = Config::load(&members.configs[party]).unwrap();
        let data = config.data.as_mut().unwrap();
        // What is a number needs no word.
        [data.positive, data.negative] = match party {
            1 => words.map(|word| Some(Words::Values(vec![word.into()]))),
            _ => [None, None],
        };
        fs::write(&members.configs[party], config.to_toml()).unwrap();
    }
    let reports = compared(ledger, members, &deployment.params, &["/model/parts"]).await;
    for (party, report) in reports.iter().enumerate() {
        let own = &report["model"]["parts"];
        assert_eq!(
            (own.as_array().unwrap().len(), &own[0]["msp_id"]),
            (1, &serde_json::json!(ledger.members(3)[party]))
        );
        assert_eq!((&report["model"]["positive"], &report["model"]["negative"]), (&"1".into(), &"0".into()));
        assert_eq!(report["model"]["holders"], serde_json::json!(ledger.members(3)));
        // A key has one name wherever it is spoken of.
        assert_eq!(report["job"]["params"]["kind"]["vertical-svm"]["key"], *fingerprint);
    }
    let typed: Vec<node::worker::JobReport> =
        reports.into_iter().map(|report| serde_json::from_value(report).unwrap()).collect();
    let model = deployment.vertical_model(&typed);
    // Parts that several organisations kept are one model.
    let dir = tempfile::tempdir().unwrap();
    let parts: Vec<_> = typed
        .iter()
        .map(|report| {
            let file = dir.path().join(format!("{}.json", report.party));
            fs::write(&file, serde_json::to_vec(&report.model).unwrap()).unwrap();
            file
        })
        .collect();
    assert_eq!(node::model::Model::load_parts(&parts).unwrap(), model);
    SplitRun { model, training: deployment.params.id(), participants: members.clone() }
}

async fn a_prediction(ledger: &Ledger, split: &SplitRun) {
    let file = ledger.network.dir.join("new.csv");
    fs::write(&file, generate::patients(8, 77)).unwrap();
    let query = Query { id: Some(generate::ID.into()), ..Query::from_file(file) };
    let params = split.deploy(&query, None).unwrap().expect("nothing was answered before");
    let reports = compared(ledger, &split.participants, &params, &[]).await;
    let classes = reports[1]["classes"].as_array().unwrap();
    assert_eq!(classes.len(), 8);
    assert!(classes.iter().all(|class| ["0", "1"].contains(&class[1].as_str().unwrap())), "{classes:?}");
}

async fn a_training_by_rows(ledger: &Ledger) {
    let options = HorizontalOptions {
        batch: Some(6),
        iterations: 3,
        key_bits: 512,
        insecure_key_bits: true,
        weak_blinding: true,
        ..HorizontalOptions::default()
    };
    let experiment = Experiment {
        source: Source::generated(&ledger.network.dir.join("rows.csv"), 60).unwrap(),
        training: TrainingOptions::Horizontal(options),
        holders: 2,
    };
    let nodes = ledger.participants("by-rows", 3);
    let deployment = experiment.deploy(&nodes, &Key::Analyst).unwrap();
    let reports = compared(ledger, &nodes, &deployment.params, &[]).await;
    assert!(
        reports.iter().all(|report| report["model"]["parts"][0]["msp_id"] == ledger.members(3)[2].as_str())
    );
}
