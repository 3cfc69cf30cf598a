//! What a killed command leaves behind is found and stopped, on both ledgers, also when its folder is gone.

use crate::fixture::{On, program};
use crate::harness::{Test, test};
use launcher::Kind;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

pub const TESTS: &[Test] = &[test!(killed_training on Dev, Fabric)];

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);

fn confab(args: &[&str]) -> Output {
    Command::new(program()).args(args).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Folders and names of the processes under a folder, as a command lists them.
fn listed(command: &str, under: &Path) -> Vec<(PathBuf, String, u64, bool)> {
    let output = confab(&[command, "list", "--json", "-"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    let entry = |entry: &Value| {
        let of = |name: &str| entry[name].as_str().unwrap().to_owned();
        let (pid, exists) = (entry["pid"].as_u64().unwrap(), entry["folder_exists"].as_bool().unwrap());
        (PathBuf::from(of("dir")), of("name"), pid, exists)
    };
    let all: Vec<_> = all.as_array().unwrap().iter().map(entry).collect();
    all.into_iter().filter(|(dir, ..)| dir.starts_with(under)).collect()
}

/// Stops what is left when the test fails.
struct Cleanup(PathBuf, Child);

impl Drop for Cleanup {
    fn drop(&mut self) {
        let _ = self.1.kill();
        let _ = self.1.wait();
        for (dir, ..) in listed("ledger", &self.0) {
            confab(&["ledger", "stop", "--dir", dir.to_str().unwrap()]);
        }
    }
}

fn wait_for(what: &str, mut is_there: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_there() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(200));
    }
}

/// A killed training is found and stopped.
/// A training is killed, and then its folder goes.
async fn killed_training(on: On) {
    let (command, servers, stop) = match on.kind() {
        Kind::Dev => ("ledger", &["ledger"][..], "stop"),
        Kind::Fabric => ("network", &["orderer", "peer-org1", "peer-org3"][..], "down"),
    };
    let dir = tempfile::Builder::new().prefix("confab-test-").tempdir().unwrap();
    let temporary = dir.path().canonicalize().unwrap();
    let table = temporary.join("patients.csv");
    fs::write(&table, dataset::generate::patients(60, 1)).unwrap();
    let train = Command::new(program())
        .args([
            "train",
            "--ledger",
            on.name(),
            "--data",
            table.to_str().unwrap(),
            "--label",
            dataset::generate::LABEL,
        ])
        .args(["--id", dataset::generate::ID, "--key-bits", "512", "--insecure-key-bits", "--weak-blinding"])
        .args(["--key", "deal", "--iterations", "1000000", "--batch", "1"])
        .env("TMPDIR", &temporary)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut train = Cleanup(temporary.clone(), train);
    let names = || listed(command, &temporary).into_iter().map(|(_, name, ..)| name).collect::<Vec<_>>();
    wait_for("nodes", || {
        assert!(train.1.try_wait().unwrap().is_none(), "the training ended");
        (1..=3).all(|org| names().contains(&format!("node-Org{org}MSP")))
    });
    // The training is under way: a node has its database.
    wait_for("the job", || {
        let nodes = listed(command, &temporary).into_iter().filter(|(_, name, ..)| name.starts_with("node-"));
        nodes.into_iter().all(|(dir, ..)| dir.join("state/node.redb").exists())
    });
    train.1.kill().unwrap();
    train.1.wait().unwrap();

    let expected: Vec<String> = servers
        .iter()
        .map(|&name| name.to_owned())
        .chain((1..=3).map(|org| format!("chaincode-org{org}")))
        .collect();
    let is_left = |names: &[String]| expected.iter().all(|name| names.contains(name));
    assert!(is_left(&names()), "{:?}", names());
    // Nodes end by themselves: they were told by a pipe that is closed now.
    wait_for("the nodes to end", || !names().iter().any(|name| name.starts_with("node-")));
    let entries = || fs::read_dir(&temporary).unwrap().map(|entry| entry.unwrap().path());
    // Processes that write into it meanwhile may be faster.
    wait_for("the folder to go", || {
        entries().filter(|path| path.is_dir()).for_each(|path| drop(fs::remove_dir_all(path)));
        entries().all(|path| path.is_file())
    });

    let left = listed(command, &temporary);
    assert!(is_left(&names()) && left.iter().all(|(_, _, _, exists)| !exists), "{left:?}");
    let folder = left[0].0.to_str().unwrap();
    let shown = text(&Command::new("ps").args(["-eo", "args"]).output().unwrap().stdout);
    for name in &expected {
        assert!(shown.contains(&format!("[{name} in {folder}]")), "ps does not show {name}");
    }
    let table = text(&confab(&[command, "list"]).stdout);
    assert!(table.contains(folder) && table.contains("(the folder is gone)"), "{table}");

    let stopped = confab(&[command, stop, "--dir", folder]);
    assert!(stopped.status.success(), "{}", text(&stopped.stderr));
    assert!(
        text(&stopped.stdout).contains(&format!("{} processes stopped", expected_count(servers))),
        "{stopped:?}"
    );
    assert!(names().is_empty(), "{:?}", names());
    let again = confab(&[command, stop, "--dir", folder]);
    assert!(!again.status.success() && text(&again.stderr).contains("there is no network in"), "{again:?}");
}

/// Of three organisations: their chaincode services, and peers and orderer or the ledger.
fn expected_count(servers: &[&str]) -> usize {
    if servers.len() == 1 { 4 } else { 7 }
}
