//! Consent, on both ledgers: a proposer cannot lower what another organisation's node agreed to take part under.

use crate::fixture::{Ledger, On, confab, run_until};
use crate::harness::{Test, test};
use experiment::Participants;
use gateway_client::Call;
use node::{config::Config, consent::Minimum, keyring::Keyring, proposal};
use records::{Collusion, JobId, JobParams, JobView, Judge, Kind as Protocol, Outcome};
use serde_json::Value;
use std::{fs, process::Output};

pub const TESTS: &[Test] = &[test!(minima on Dev, Fabric)];

async fn minima(on: On) {
    let ledger = Ledger::start(on, 4).await;
    let members = ledger.participants("members", 4);
    let key = a_weak_key_needs_consent(&ledger, &members).await;
    a_weak_training_needs_consent(&ledger, &members, &key).await;
}

/// Gives a node other minima, and nothing to accept by itself.
fn set_minimum(members: &Participants, party: usize, minimum: Minimum) {
    let path = &members.configs[party];
    let config = Config { minimum, accept: Vec::new(), ..Config::load(path).unwrap() };
    fs::write(path, config.to_toml()).unwrap();
}

/// Proposes a job in the name of the first organisation, by the command.
fn propose(ledger: &Ledger, members: &Participants, kind: Protocol) -> JobId {
    let names = members.organisations.iter().map(|(msp_id, _)| msp_id.clone()).collect();
    let params: JobParams = proposal::job_params(kind, names).unwrap();
    let file = ledger.dir().join(format!("{}.json", params.id()));
    fs::write(&file, serde_json::to_vec(&params).unwrap()).unwrap();
    let output = confab(members, 0, &["job", "propose", "--params", file.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    params.id()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What `job accept` says as JSON, and whether it succeeded.
fn accept(members: &Participants, party: usize, job: &JobId, more: &[&str]) -> (Value, bool) {
    let job = job.to_string();
    let args = [&["job", "accept", &job, "--json", "-"], more].concat();
    let output = confab(members, party, &args);
    let shown = serde_json::from_slice(&output.stdout);
    (shown.unwrap_or_else(|e| panic!("{e}: {}", text(&output.stderr))), output.status.success())
}

/// The settings that are below, of what `job accept` says.
fn below(shown: &Value) -> Vec<&str> {
    shown["below"].as_array().unwrap().iter().map(|below| below["setting"].as_str().unwrap()).collect()
}

fn failed(output: &Output) -> String {
    assert!(!output.status.success(), "{}", text(&output.stdout));
    text(&output.stderr)
}

async fn has_accepted(ledger: &Ledger, job: &JobId, party: usize) -> bool {
    let view = ledger.contract(0).evaluate(Call::new("job").arg(job.to_string())).await.unwrap();
    serde_json::from_slice::<JobView>(&view).unwrap().acceptances[party].is_some()
}

/// A key that can be broken, and that two of four open. The second organisation's node has the default minima.
async fn a_weak_key_needs_consent(ledger: &Ledger, members: &Participants) -> String {
    set_minimum(members, 1, Minimum::default());
    let generation = proposal::key_generation(256, true, 2, Collusion::Minority);
    let job = propose(ledger, members, Protocol::KeyGeneration(generation));

    let (shown, success) = accept(members, 1, &job, &["--dry-run"]);
    assert!(success && shown["accepted"] == false);
    assert_eq!(below(&shown), ["key_bits", "quorum"]);
    let reveals = shown["reveals"].as_array().unwrap();
    assert!(reveals.iter().any(|line| line.as_str().unwrap().contains("any two that pool")), "{shown}");
    let said = failed(&confab(members, 1, &["job", "accept", &job.to_string()]));
    assert!(
        said.contains("key_bits: the job has 256, the least here is 2048")
            && said.contains("quorum: the job has 2 of 4, the least here is 3")
            && said.contains("--accept-weaker"),
        "{said}"
    );
    let (shown, success) = accept(members, 1, &job, &[]);
    assert!(!success && shown["accepted"] == false && below(&shown).len() == 2);
    // Nor does the node accept it by itself, or hang in it.
    let said =
        failed(&confab(members, 1, &["node", "--accept", &job.to_string(), "--until", &job.to_string()]));
    assert!(said.contains("below what [minimum]"), "{said}");
    assert!(!has_accepted(ledger, &job, 1).await);

    // Accepted while the minima were lower; with the higher ones the node takes no part in it.
    set_minimum(members, 1, Minimum::none());
    let (shown, success) = accept(members, 1, &job, &[]);
    assert!(success && shown["accepted"] == true && below(&shown).is_empty(), "{shown}");
    set_minimum(members, 1, Minimum::default());
    assert!(has_accepted(ledger, &job, 1).await);
    let said = failed(&run_until(members, 1, &job));
    assert!(said.contains("accepted in this organisation's name though it is below"), "{said}");

    // Consent is given after all.
    let (shown, success) = accept(members, 1, &job, &["--accept-weaker"]);
    assert!(success && shown["accepted"] == true && below(&shown).len() == 2, "{shown}");
    let nodes: Vec<_> = (0..4)
        .map(|party| {
            let (members, job) = (members.clone(), job.clone());
            std::thread::spawn(move || match party {
                // It has given its answer.
                1 => run_until(&members, party, &job),
                _ => {
                    let id = job.to_string();
                    confab(&members, party, &["node", "--accept", &id, "--until", &id])
                }
            })
        })
        .collect();
    for node in nodes {
        let output = node.join().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    let keyring = Keyring::open(&Config::load(&members.configs[1]).unwrap());
    hex::encode(keyring.list().unwrap()[0].key().fingerprint())
}

/// The book's judge under that key, with a model that everybody may read, where this node wants it split.
async fn a_weak_training_needs_consent(ledger: &Ledger, members: &Participants, key: &str) {
    let least = Minimum {
        key_bits: 256,
        against: node::consent::Against::AllButOne,
        model: records::Publication::Split,
        ..Minimum::default()
    };
    set_minimum(members, 1, least);
    let mut training = proposal::template(30, ledger.members(4)).unwrap().training().clone();
    (training.key_bits, training.insecure_key_bits, training.quorum) = (256, true, 2);
    (training.key, training.judge) = (Some(key.parse().unwrap()), Judge::Paper);
    let job = propose(ledger, members, Protocol::VerticalSvm(training));
    let output = confab(members, 1, &["job", "accept", &job.to_string()]);
    let shown = text(&output.stdout);
    assert!(
        shown.contains("every margin y·w·x is known to all members") && shown.contains("made against 1"),
        "{shown}"
    );
    let said = failed(&output);
    for part in [
        "quorum: the job has 2 of 4, the least here is 3",
        "against: the job has a key made against 1 of 4 who collude, the least here is 3",
        "judge: the job has paper, the least here is blinded",
        "model: the job has published, the least here is split",
    ] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    assert!(!said.contains("key_bits"), "{said}");
    // With consent the job is looked at as any other: this organisation has no table.
    let said = failed(&confab(members, 1, &["job", "accept", &job.to_string(), "--accept-weaker"]));
    assert!(said.contains("[data]"), "{said}");
    assert!(!has_accepted(ledger, &job, 1).await);
    let output = confab(members, 1, &["job", "refuse", &job.to_string(), "--reason", "too weak"]);
    assert!(output.status.success());
    let view = confab(members, 2, &["job", "watch", &job.to_string(), "--json", "-"]);
    let view: JobView = serde_json::from_slice(&view.stdout).unwrap();
    assert_eq!(view.ending.unwrap().outcome, Outcome::Refused("too weak".into()));
}
