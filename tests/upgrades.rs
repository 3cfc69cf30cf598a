//! A new definition of the chaincode while a job runs: the job goes on, is finished and verified, and so is one that is
//! proposed afterwards.

mod fixture;

use fixture::{Finished, Ledger, Running, Size, program, say};
use launcher::{Kind, Network};
use records::Judge;
use std::{process::Command, time::Instant};

const LONG: Size = Size { judge: Judge::Blinded, rows: 60, iterations: 60, batch: 2, key_bits: 512 };
const SHORT: Size = Size { iterations: 2, ..LONG };

#[tokio::test(flavor = "multi_thread")]
async fn on_the_development_ledger() {
    on(Ledger::start(Kind::Dev, 3).await, &["ledger", "start"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_fabric() {
    on(Ledger::start(Kind::Fabric, 3).await, &["network", "up"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_fabrics_long_term_release() {
    let home = std::env::var("FABRIC_HOME_2_5").unwrap_or_default();
    on(Ledger::start_long_term(3).await, &["network", "up", "--fabric-home", &home]).await;
}

/// `start` is the command that starts it again.
async fn on(ledger: Option<Ledger>, start_again: &[&str]) {
    let Some(ledger) = ledger else { return };
    let prepared = ledger.prepare("before", &LONG);
    let running = Running::start(&prepared.participants, &prepared.params).await;
    running.reach(60).await;
    let start = Instant::now();
    upgrade(&ledger, &[], ("1.0", 2)).await;
    say(&format!("{:?}: upgraded in {:.1} s with a job running", ledger.kind, start.elapsed().as_secs_f64()));
    Finished::of(prepared, running, &ledger).await.check(&ledger).await;

    upgrade(&ledger, &["--chaincode-version", "1.0.1"], ("1.0.1", 3)).await;
    Finished::run(ledger.prepare("after", &SHORT), &ledger).await.check(&ledger).await;
    assert!(launcher::status(ledger.dir()).await.unwrap().is_healthy());

    // It is still itself after it was stopped.
    let dir = ledger.dir().display().to_string();
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
