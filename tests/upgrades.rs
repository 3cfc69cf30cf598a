//! A new definition of the chaincode while a job runs: the job goes on, is finished and verified, and so is one that is
//! proposed afterwards.

use crate::fixture::{Finished, Ledger, On, Running, Size, program};
use crate::harness::{Test, test};
use launcher::Network;
use records::Judge;
use std::{process::Command, time::Instant};

pub const TESTS: &[Test] = &[test!(while_running on Dev, Fabric, Fabric2_5)];

const LONG: Size = Size { judge: Judge::Blinded, rows: 60, iterations: 60, batch: 2, key_bits: 512 };
const SHORT: Size = Size { iterations: 2, ..LONG };

async fn while_running(on: On) {
    let ledger = Ledger::start(on, 3).await;
    let prepared = ledger.prepare("before", &LONG);
    let running = Running::start(&prepared.participants, &prepared.params).await;
    running.reach(60).await;
    let start = Instant::now();
    upgrade(&ledger, &[], ("1.0", 2)).await;
    eprintln!("{:?}: upgraded in {:.1} s with a job running", ledger.kind, start.elapsed().as_secs_f64());
    Finished::of(prepared, running, &ledger).await.check(&ledger).await;

    upgrade(&ledger, &["--chaincode-version", "1.0.1"], ("1.0.1", 3)).await;
    Finished::run(ledger.prepare("after", &SHORT), &ledger).await.check(&ledger).await;
    assert!(launcher::status(ledger.dir()).await.unwrap().is_healthy());

    // It is still itself after it was stopped.
    let dir = ledger.dir().display().to_string();
    let home = on.home().unwrap_or_default();
    let start_again = match on {
        On::Dev => &["ledger", "start"][..],
        On::Fabric => &["network", "up"],
        On::Fabric2_5 => &["network", "up", "--fabric-home", home.to_str().unwrap()],
    };
    confab(&["network", "down", "--dir", &dir]).await;
    confab(&[start_again, &["--orgs", "3", "--dir", &dir]].concat()).await;
    Finished::run(ledger.prepare("again", &SHORT), &ledger).await.check(&ledger).await;
}

/// Gives a command, which succeeds. What it says.
async fn confab(args: &[&str]) -> String {
    let mut command = Command::new(program());
    command.args(args);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    said
}

/// Upgrades; what the command says, and the network's description then has.
async fn upgrade(ledger: &Ledger, more: &[&str], (version, sequence): (&str, u64)) {
    let dir = ledger.dir().display().to_string();
    let said = confab(&[&["network", "upgrade", "--dir", &dir], more].concat()).await;
    assert!(said.contains(&format!("version {version}, sequence {sequence}")), "{said}");
    let chaincode = Network::load(ledger.dir()).unwrap().chaincode;
    assert_eq!((chaincode.version.as_str(), chaincode.sequence), (version, sequence));
}
