//! The exit status says who is at fault: the caller, a participant, the environment, or Confab.

use crate::fixture::{Ledger, On, confab, program, spawn_quiet};
use crate::harness::{Test, test};
use dataset::generate;
use experiment::Participants;
use launcher::marks;
use node::{config::Config, proposal};
use records::{Collusion, Deadlines, JobParams, Kind as Protocol};
use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::Path,
    process::{Command, Output, Stdio},
};

pub const TESTS: &[Test] = &[test!(before_anything_runs), test!(statuses on Dev)];

const CALLER: i32 = 2;
const PARTICIPANT: i32 = 3;
const ENVIRONMENT: i32 = 4;
const INTERRUPTED: i32 = 130;

const SMALL: [&str; 5] = ["--key-bits", "512", "--insecure-key-bits", "--weak-blinding", "--key=deal"];

fn run(folder: &Path, args: &[&str]) -> Output {
    Command::new(program()).args(args).current_dir(folder).stdin(Stdio::null()).output().unwrap()
}

/// Asserts how a command ended, and that it said these words last.
fn assert_ended(what: &str, output: &Output, status: i32, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{what}: {said}");
    let error =
        said.lines().find(|line| line.starts_with("error: ")).unwrap_or_else(|| panic!("{what}: {said}"));
    for word in words {
        assert!(said.contains(word), "{what}: {word:?} is not in {error:?}");
    }
}

/// What needs no ledger.
fn before_anything_runs() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let table = generate::patients(40, 1);
    fs::write(at("patients.csv"), &table).unwrap();
    let bad = table.lines().enumerate().map(|(number, line)| match number {
        7 => line.replacen(',', ",many", 1) + "\n",
        _ => line.to_owned() + "\n",
    });
    fs::write(at("bad.csv"), bad.collect::<String>()).unwrap();
    fs::write(at("node.toml"), "data_dir = \"state\"\nconnection_profile = \"absent.json\"\n").unwrap();
    fs::write(at("file"), "").unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let train = |data: &'static str| {
        let own = ["train", "--data", data, "--label", generate::LABEL, "--id", generate::ID];
        [&own[..], &SMALL].concat()
    };
    let job = "0".repeat(64);
    let cases: [(&str, Vec<&str>, i32, &[&str]); 9] = [
        ("wrong flag", vec!["train", "--colums", "3"], CALLER, &["--colums"]),
        ("unreadable table", train("absent.csv"), CALLER, &["absent.csv"]),
        ("bad cell", train("bad.csv"), CALLER, &["bad.csv", "line 8"]),
        (
            "missing configuration",
            vec!["job", "accept", "--config", "absent.toml", &job],
            CALLER,
            &["absent.toml"],
        ),
        ("missing profile", vec!["job", "accept", "--config", "node.toml", &job], CALLER, &["absent.json"]),
        ("no network", vec!["ledger", "status", "--dir", "absent"], CALLER, &["absent"]),
        (
            "no Fabric",
            vec!["network", "up", "--dir", "fabric", "--fabric-home", "absent"],
            ENVIRONMENT,
            &["absent"],
        ),
        (
            "port in use",
            vec!["ledger", "start", "--dir", "ledger", "--base-port", &port],
            ENVIRONMENT,
            &[&port],
        ),
        ("no folder", vec!["ledger", "start", "--dir", "file/ledger"], ENVIRONMENT, &["file/ledger"]),
    ];
    for (what, args, status, words) in cases {
        assert_ended(what, &run(dir.path(), &args), status, words);
    }
    let help = run(dir.path(), &["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let help = String::from_utf8(help.stdout).unwrap();
    for status in ["0", "2", "3", "4", "70", "130"] {
        assert!(
            help.lines().any(|line| line.trim_start().starts_with(&format!("{status} "))),
            "{status}: {help}"
        );
    }
}

async fn statuses(on: On) {
    let ledger = Ledger::start(on, 3).await;
    let members = ledger.participants("members", 3);
    no_peer_answers(&members);
    who_ends_a_job_is_named(&members).await;
    who_does_not_answer_is_named(&members).await;
    an_interrupted_training_leaves_nothing(&ledger);
}

/// Nothing listens at the address in the profile.
fn no_peer_answers(members: &Participants) {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let path = &members.configs[0];
    let original = fs::read_to_string(path).unwrap();
    let config = Config::load(path).unwrap();
    let mut profile: serde_json::Value =
        serde_json::from_slice(&fs::read(&config.connection_profile).unwrap()).unwrap();
    for peer in profile["peers"].as_object_mut().unwrap().values_mut() {
        peer["url"] = format!("grpcs://localhost:{closed}").into();
    }
    // Beside the other one: it names files that lie there.
    let deaf = config.connection_profile.with_file_name("deaf.json");
    fs::write(&deaf, profile.to_string()).unwrap();
    fs::write(path, Config { connection_profile: deaf, ..config }.to_toml()).unwrap();
    let asked = confab(members, 0, &["instances", "analysts"]);
    assert_ended("no peer", &asked, ENVIRONMENT, &["connect error"]);
    fs::write(path, original).unwrap();
}

fn negotiation(members: &Participants) -> JobParams {
    let kind = Protocol::KeyGeneration(proposal::key_generation(256, true, 3, Collusion::Minority));
    proposal::job_params(kind, members.names()).unwrap()
}

async fn who_ends_a_job_is_named(members: &Participants) {
    for (verb, outcome) in [("refuse", "refused"), ("abort", "aborted")] {
        let params = negotiation(members);
        let job = params.id().to_string();
        members.propose(&params).await.unwrap();
        let ended = confab(members, 1, &["job", verb, &job, "--reason", "no time"]);
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        let watched = confab(members, 0, &["job", "watch", &job]);
        assert_ended(verb, &watched, PARTICIPANT, &[outcome, members.names()[1].as_str(), "no time"]);
    }
    // A request that the ledger refuses is the caller's.
    let unknown = confab(members, 0, &["job", "refuse", &"0".repeat(64)]);
    assert_ended("unknown job", &unknown, CALLER, &[]);
}

async fn who_does_not_answer_is_named(members: &Participants) {
    let deadlines = Some(Deadlines { accept: 10, step: 10 });
    let params = JobParams { deadlines, ..negotiation(members) };
    let job = params.id();
    members.propose(&params).await.unwrap();
    // The time on the ledger is that of a majority's clocks.
    let other = spawn_quiet(members, 2, &params);
    let id = job.to_string();
    let expired = confab(members, 0, &["node", "--accept", &id, "--until", &id]);
    drop(other);
    let names = members.names();
    assert_ended("expired", &expired, PARTICIPANT, &["expired", names[1].as_str()]);
}

/// The ledger is stopped and no process is left, whatever the training was doing.
fn an_interrupted_training_leaves_nothing(ledger: &Ledger) {
    let folder = ledger.dir().join("interrupted");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("patients.csv"), generate::patients(60, 1)).unwrap();
    for step in ["writing certificates", "proposing the training"] {
        let train = ["train", "--data", "patients.csv", "--label", generate::LABEL, "--id", generate::ID];
        let mut command = Command::new(program());
        command.args(train).args(SMALL).args(["--dir", "own"]).current_dir(&folder);
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.contains(step)), "{step}");
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        let said: Vec<String> = lines.collect();
        assert_eq!(child.wait().unwrap().code(), Some(INTERRUPTED), "{said:?}");
        assert!(said.iter().any(|line| line.starts_with("error: interrupted")), "{said:?}");
        let left: Vec<_> =
            marks::list().unwrap().into_iter().filter(|process| process.dir.starts_with(&folder)).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
