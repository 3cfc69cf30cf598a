//! Keys that nobody deals, on both ledgers: negotiated with a node killed meanwhile, used, refreshed to other members.

#[path = "../compute-service/key-generation/tests/deviation/mod.rs"]
mod deviation;
use crate::fixture::{Finished, Ledger, On, Size, confab, play, program, run, spawn_quiet, submit};
use crate::harness::{Test, test};
use deviation::Deviating;
use experiment::{Key, Participants};
use gateway_client::Call;
use key_generation::Opening;
use node::{config::Config, keyring::Keyring, proposal, worker::KeyReport};
use paillier::KeyShare;
use records::{
    Code, Collusion, Dealer, JobParams, Judge, KeyEntry, KeyRefresh, MspId, Outcome, Phase, TRAINING,
};
use std::time::Duration;
use tokio::time::timeout;

pub const TESTS: &[Test] = &[test!(lifecycle on Dev, Fabric, Fabric2_5)];

const BITS: u32 = 512;
const PATIENCE: Duration = Duration::from_secs(180);

async fn lifecycle(on: On) {
    let ledger = Ledger::start(on, 4).await;
    let all = ledger.participants("members", 4);
    let first_three = some(&all, 0..3);
    let (params, report) = a_key_is_negotiated_though_a_node_is_killed(&ledger, &first_three).await;
    a_training_uses_it_with_a_quorum(&ledger, &first_three, &report.key.to_string()).await;
    the_contract_refuses_a_key_of_others(&ledger, &report.key.to_string()).await;
    keys_are_under_a_passphrase(&ledger, &first_three, &report.key.to_string()).await;
    who_spoils_a_negotiation_is_named(&ledger, &some(&all, 1..4)).await;
    let open = ["key", "open", &params.id().to_string(), "--out", "never.json"];
    assert!(refused_by_the_node(&all, 0, &open).contains("has made a key"));
    a_refresh_changes_the_members(&ledger, &all, &report.key.to_string()).await;
    two_members_have_a_key_too(&ledger, &all).await;
    assert!(ledger.verify(&params.id()).await.complete);
    a_share_is_deleted(&all, &report.key.to_string());
}

fn some(all: &Participants, range: std::ops::Range<usize>) -> Participants {
    Participants {
        organisations: all.organisations[range.clone()].to_vec(),
        configs: all.configs[range].to_vec(),
        ..all.clone()
    }
}

fn names(participants: &Participants) -> Vec<MspId> {
    participants.organisations.iter().map(|(msp_id, _)| msp_id.clone()).collect()
}

fn share(participants: &Participants, party: usize, key: &str) -> KeyShare {
    Keyring::open(&Config::load(&participants.configs[party]).unwrap()).find(key).unwrap()
}

async fn entry(ledger: &Ledger, key: &str) -> KeyEntry {
    let bytes = ledger.contract(3).evaluate(Call::new("key").arg(key)).await.unwrap();
    let mut entries: Vec<KeyEntry> = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(entries.len(), 1);
    entries.remove(0)
}

fn refused_by_the_node(participants: &Participants, party: usize, args: &[&str]) -> String {
    let output = confab(participants, party, args);
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

async fn a_key_is_negotiated_though_a_node_is_killed(
    ledger: &Ledger,
    members: &Participants,
) -> (JobParams, KeyReport) {
    let generation = proposal::key_generation(BITS, true, 2, Collusion::Minority);
    let kind = records::Kind::KeyGeneration(generation);
    let params = proposal::job_params(kind, names(members)).unwrap();
    let killed = [(1, Duration::from_millis(1500))];
    let mut reports: Vec<KeyReport> = run(members, &params, &killed).await;
    let key = reports[0].key.to_string();
    assert!(reports.iter().all(|report| report.key == reports[0].key && report.candidates > 0));
    for party in 0..3 {
        let share = share(members, party, &key);
        assert_eq!((share.index(), share.purpose()), (party as u32, TRAINING));
        assert_eq!((share.key().quorum(), share.key().collusion_bound()), (2, 1));
    }
    let entry = entry(ledger, &key).await;
    assert_eq!((entry.members, entry.job), (names(members), params.id()));
    let found = ledger.verify(&params.id()).await;
    assert!(found.complete, "{:?}", found.defects);
    assert_eq!(found.proofs, 3);
    (params, reports.remove(0))
}

async fn a_training_uses_it_with_a_quorum(ledger: &Ledger, members: &Participants, key: &str) {
    let size = Size { judge: Judge::Blinded, rows: 120, iterations: 4, batch: 6, key_bits: BITS };
    let experiment = ledger.experiment_with("negotiated", &size, |options| options.quorum = Some(2));
    let key = Key::Negotiated { fingerprint: key.parse().unwrap(), seconds: 0.0, bound: 1 };
    let deployment = experiment.deploy(members, &key).unwrap();
    let finished = Finished::run(deployment, ledger).await;
    let report = &finished.report;
    assert!(report.identical_indicators && report.identical_predictions && report.identical_weights);
    let records = ledger.records(&finished.id()).await;
    let later = records.iter().filter(|(slot, _)| slot.phase == Phase::Iv && slot.round > 0);
    assert!(later.clone().count() > 0 && later.clone().all(|(_, record)| record.contributors.len() == 2));
    let found = ledger.verify(&finished.id()).await;
    assert!(found.complete, "{:?}", found.defects);
}

async fn refused(ledger: &Ledger, params: &JobParams) -> Code {
    let call = Call::new("propose").arg(serde_json::to_vec(params).unwrap());
    let failure = ledger.contract(0).propose(call).unwrap().endorse().await.unwrap_err();
    Code::parse(&failure.refusal().unwrap_or_else(|| panic!("{failure}")).code).unwrap()
}

async fn the_contract_refuses_a_key_of_others(ledger: &Ledger, key: &str) {
    let with = |participants: Vec<MspId>, key: &str| {
        let mut params = proposal::template(100, participants).unwrap();
        let training = params.training_mut();
        (training.key_bits, training.insecure_key_bits) = (BITS, true);
        (training.quorum, training.key) = (2, Some(key.parse().unwrap()));
        params
    };
    let members = ledger.members(4);
    assert_eq!(refused(ledger, &with(members[..3].to_vec(), &"0".repeat(64))).await, Code::UnknownKey);
    assert_eq!(refused(ledger, &with(members.clone(), key)).await, Code::BadInput);
    let reversed = members[..3].iter().rev().cloned().collect();
    assert_eq!(refused(ledger, &with(reversed, key)).await, Code::BadInput);
    let mut other_quorum = with(members[..3].to_vec(), key);
    other_quorum.training_mut().quorum = 3;
    assert_eq!(refused(ledger, &other_quorum).await, Code::BadInput);
}

/// The key files of the first member are under a passphrase, those that its node makes meanwhile, too.
async fn keys_are_under_a_passphrase(ledger: &Ledger, members: &Participants, key: &str) {
    let text = |output: &std::process::Output| {
        let all = [&output.stdout[..], &output.stderr].concat();
        let text = String::from_utf8(all).unwrap();
        assert!(!text.contains("correct horse"), "{text}");
        text
    };
    let file = |name: &str, content: &str| {
        let path = ledger.dir().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (right, wrong) = (file("passphrase", "correct horse\n"), file("wrong", "correct house"));
    let with = |passphrase: &str, args: &[&str]| {
        confab(members, 0, &[args, &["--passphrase-file", passphrase]].concat())
    };
    let keys = Config::load(&members.configs[0]).unwrap().data_dir.join("keys");
    let is_protected = |name: &str| msp::passphrase::is_protected(&std::fs::read(keys.join(name)).unwrap());
    let own = format!("{key}.json");

    let refused = refused_by_the_node(members, 0, &["key", "protect"]);
    assert!(refused.contains("a passphrase is needed") && !is_protected(&own), "{refused}");
    let protected = with(&right, &["key", "protect"]);
    assert!(protected.status.success() && is_protected(&own), "{}", text(&protected));
    let show = ["key", "show", "--key", key];
    let without = refused_by_the_node(members, 0, &show);
    assert!(without.contains("CONFAB_PASSPHRASE") && without.contains(&own), "{without}");
    for args in [&show[..], &["key", "protect"], &["key", "unprotect"]] {
        let output = with(&wrong, args);
        assert!(
            !output.status.success() && text(&output).contains("the passphrase is wrong"),
            "{}",
            text(&output)
        );
    }
    assert!(text(&with(&right, &show)).contains("2 of 3 members"));
    let mut by_variable = std::process::Command::new(program());
    by_variable.args(show).args(["--config", members.configs[0].to_str().unwrap()]);
    let shown = by_variable.env("CONFAB_PASSPHRASE", "correct horse").output().unwrap();
    assert!(shown.status.success() && text(&shown).contains("2 of 3 members"));

    // A backup is under it, too, and comes back.
    let backup = ledger.dir().join("backup.json").to_str().unwrap().to_owned();
    let exported = with(&right, &["key", "export", "--key", key, "--out", &backup]);
    assert!(exported.status.success(), "{}", text(&exported));
    assert!(msp::passphrase::is_protected(&std::fs::read(&backup).unwrap()));
    assert!(with(&right, &["key", "delete", "--yes", "--key", key]).status.success());
    assert!(with(&right, &["key", "import", "--file", &backup]).status.success() && is_protected(&own));

    // A training with the protected share, and a new key; the node says at its start that it needs the passphrase.
    let size = Size { judge: Judge::Blinded, rows: 60, iterations: 2, batch: 4, key_bits: BITS };
    let experiment = ledger.experiment_with("protected", &size, |options| options.quorum = Some(2));
    let named = Key::Negotiated { fingerprint: key.parse().unwrap(), seconds: 0.0, bound: 1 };
    let training = experiment.deploy(members, &named).unwrap().params;
    let generation = proposal::key_generation(256, true, 3, Collusion::Minority);
    let negotiation = proposal::job_params(records::Kind::KeyGeneration(generation), names(members)).unwrap();
    for params in [training, negotiation] {
        let job = params.id();
        members.propose(&params).await.unwrap();
        let node = ["node", "--accept", &job.to_string(), "--until", &job.to_string()];
        let said = refused_by_the_node(members, 0, &node);
        assert!(said.contains("a passphrase is needed"), "{said}");
        let output = with(&wrong, &node);
        assert!(!output.status.success() && text(&output).contains("the passphrase is wrong"));
        let mut others = [1, 2].map(|party| spawn_quiet(members, party, &params));
        let output = with(&right, &node);
        assert!(output.status.success(), "{}", text(&output));
        for (node, _) in &mut others {
            timeout(PATIENCE, node.wait()).await.unwrap().unwrap();
        }
    }
    let made: Vec<String> =
        std::fs::read_dir(&keys).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert!(made.len() == 2 && made.iter().all(|name| is_protected(name)), "{made:?}");

    let unprotected = with(&right, &["key", "unprotect"]);
    assert!(text(&unprotected).contains("2 key files"), "{}", text(&unprotected));
    assert!(made.iter().all(|name| !is_protected(name)));
    assert_eq!(share(members, 0, key).index(), 0);
    assert!(confab(members, 0, &show).status.success());
}

/// The first member leaves, the fourth organisation comes.
async fn a_refresh_changes_the_members(ledger: &Ledger, all: &Participants, key: &str) {
    let old = share(all, 0, key);
    let refresh = KeyRefresh {
        key: key.parse().unwrap(),
        purpose: TRAINING.into(),
        key_bits: BITS,
        insecure_key_bits: true,
        old_parties: 3,
        share_bits: old.share_bits() as u32,
        dealers: vec![Dealer { party: 0, member: 0 }, Dealer { party: 2, member: 2 }],
        members: vec![1, 2, 3],
        quorum: 3,
    };
    let other_purpose = KeyRefresh { purpose: "retrieval".into(), ..refresh.clone() };
    let params = |refresh| proposal::job_params(records::Kind::KeyRefresh(refresh), names(all)).unwrap();
    assert_eq!(refused(ledger, &params(other_purpose)).await, Code::BadInput);
    let params = params(refresh);
    let reports: Vec<KeyReport> = run(all, &params, &[]).await;
    assert_eq!(reports[0].share, None, "who leaves gets no share");
    let new = share(all, 3, &reports[0].key.to_string());
    assert_eq!((new.index(), new.key().n()), (2, old.key().n()));
    assert_ne!(new.key().fingerprint(), old.key().fingerprint());
    assert_eq!(entry(ledger, &reports[0].key.to_string()).await.refreshes, key.parse().ok());
    let found = ledger.verify(&params.id()).await;
    assert!(found.complete, "{:?}", found.defects);
}

async fn two_members_have_a_key_too(ledger: &Ledger, all: &Participants) {
    let two = some(all, 2..4);
    let generation = proposal::key_generation(256, true, 2, Collusion::AllButOne);
    let params = proposal::job_params(records::Kind::KeyGeneration(generation), names(&two)).unwrap();
    let killed = [(0, Duration::from_millis(1500))];
    let reports: Vec<KeyReport> = run(&two, &params, &killed).await;
    assert_eq!(share(&two, 1, &reports[0].key.to_string()).key().collusion_bound(), 1);
    let found = ledger.verify(&params.id()).await;
    assert!(found.complete, "{:?}", found.defects);
    // A repeated proposal is the same job.
    let call = Call::new("propose").arg(serde_json::to_vec(&params).unwrap());
    assert_eq!(submit(&ledger.contract(2), call).await.outcome, gateway_client::Outcome::AlreadyThere);
}

/// The last of three shares zeros instead of its factors: the job ends without a name, and the opened secrets give it.
async fn who_spoils_a_negotiation_is_named(ledger: &Ledger, members: &Participants) {
    let generation = proposal::key_generation(256, true, 2, Collusion::Minority);
    let params = proposal::job_params(records::Kind::KeyGeneration(generation), names(members)).unwrap();
    let id = params.id();
    let mut nodes = [0, 1].map(|party| spawn_quiet(members, party, &params));
    members.propose(&params).await.unwrap();
    let config = Config::load(&members.configs[2]).unwrap();
    let dir = ledger.network.dir.join("opened");
    std::fs::create_dir_all(&dir).unwrap();
    let files = [0, 1, 2].map(|party| dir.join(format!("{party}.json")).display().to_string());
    let private = |_: &records::Job, party: u32, secret: protocol::JobSecret| {
        let opening = Opening::new(&id, &names(members)[party as usize], &secret);
        std::fs::write(&files[party as usize], serde_json::to_vec(&opening).unwrap()).unwrap();
        let own = key_generation::Private { secret, share: None };
        deviation::Private { own, deviates_in: Some(Phase::Factors) }
    };
    let ending = timeout(PATIENCE, play::<Deviating>(config, &id, private, |_, _| {})).await.unwrap();
    let Outcome::Aborted(reason) = &ending.outcome else { panic!("{ending:?}") };
    assert!(reason.contains("do not fit together") && !reason.contains("(party"), "{reason}");
    for (node, _) in &mut nodes {
        timeout(PATIENCE, node.wait()).await.unwrap().unwrap();
    }
    for party in [0, 1] {
        let output = confab(members, party, &["key", "open", &id.to_string(), "--out", &files[party]]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let again = refused_by_the_node(members, 0, &["key", "open", &id.to_string(), "--out", &files[0]]);
    assert!(again.contains("exists"), "{again}");

    let dir = ledger.network.dir.display().to_string();
    let audit = |opened: &[String]| {
        let job = id.to_string();
        let mut args = vec!["key", "audit", &job, "--dir", &dir, "--json", "-"];
        args.extend(opened.iter().flat_map(|file| ["--opened", file]));
        let output = std::process::Command::new(program()).args(&args).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let audited: serde_json::Value = serde_json::from_slice(&output.stdout).expect(&said);
        let verdicts = audited["findings"]["members"].as_array().unwrap().clone();
        (verdicts.iter().map(|m| m["verdict"].as_str().unwrap().to_owned()).collect::<Vec<_>>(), said)
    };
    let (verdicts, said) = audit(&files);
    assert_eq!(verdicts, ["prescribed", "prescribed", "deviates"], "{said}");
    assert!(said.contains("not accounted for: Org4MSP"), "{said}");
    assert_eq!(audit(&files[..2]).0, ["prescribed", "prescribed", "unopened"]);
}

fn a_share_is_deleted(members: &Participants, key: &str) {
    let delete = ["key", "delete", "--key", key];
    let asked = refused_by_the_node(members, 0, &delete);
    assert!(asked.contains("2 of the 2 others still can") && asked.contains("--yes"), "{asked}");
    assert_eq!(share(members, 0, key).index(), 0);
    assert!(confab(members, 0, &[&delete[..], &["--yes"]].concat()).status.success());
    assert!(refused_by_the_node(members, 0, &delete).contains("there is no share"));
}
