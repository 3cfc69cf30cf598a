//! Programs of others on a network: Fabric's command line with its lifecycle, `discover`, the client of Fabric 2.2, and
//! chaincodes of Fabric's samples; on the development ledger and on real Fabric 3.1 and 2.5.
//!
//! What is not found is skipped, loudly: Fabric's programs are looked for under `FABRIC_HOME` and `FABRIC_HOME_2_5`.
//! What has to come from a registry is fetched only where `FOREIGN_SOFTWARE=1` asks for it, and the samples are taken
//! from a checkout of `fabric-samples` that `FABRIC_SAMPLES` names.

#[path = "foreign/commands.rs"]
mod commands;
#[path = "../chaincode/shim/tests/common/mod.rs"]
mod common;
#[path = "interop/programs.rs"]
mod programs;
#[path = "foreign/samples.rs"]
mod samples;

use commands::{Cli, Counted};
use common::{Ledger, keys, ledger_command, say};
use gateway_client::TxValidationCode;
use launcher::{GuestChaincode, Kind};
use programs::npm_program;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

/// For all scenarios of the older client together.
const PATIENCE: Duration = Duration::from_secs(300);

/// A ledger, and whose programs work with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    /// The development ledger, with the programs of 3.1.
    Dev,
    /// The same with those of 2.5.
    DevWith2_5,
    /// Fabric 3.1.
    Fabric,
    /// Fabric 2.5.
    Fabric2_5,
}

impl On {
    fn home(self) -> Option<PathBuf> {
        let name = match self {
            Self::Dev | Self::Fabric => "FABRIC_HOME",
            Self::DevWith2_5 | Self::Fabric2_5 => "FABRIC_HOME_2_5",
        };
        let home = std::env::var_os(name).map(PathBuf::from).filter(|home| home.join("bin/peer").is_file());
        if home.is_none() {
            say(&format!("SKIPPED: {self:?}: no bin/peer of Fabric: set {name}"));
        }
        home
    }

    /// The network; `home` is where Fabric's programs are.
    async fn start(self, home: Option<PathBuf>) -> Option<Ledger> {
        let kind = match self {
            Self::Dev | Self::DevWith2_5 => Kind::Dev,
            Self::Fabric | Self::Fabric2_5 => Kind::Fabric,
        };
        Ledger::start_with(kind, keys(), home).await
    }
}

/// Fabric's own commands: the chaincode `keys` comes onto the channel as another one by the lifecycle, and is called.
async fn fabrics_commands(on: On) {
    let Some(home) = on.home() else { return };
    let Some(ledger) = on.start(Some(home.clone())).await else { return };
    let cli = Cli::new(&ledger.network, &home);
    let mut counted = Counted::new(&format!("commands on {on:?}"));
    commands::channel(&cli, &mut counted);
    let service = commands::Guest::keys(&ledger.network, "guest");
    commands::lifecycle(&cli, &service, &mut counted);
    commands::calls(&cli, &service, &mut counted);
    commands::second_definition(&cli, &service, &mut counted);
    commands::discover(&cli, &service, &mut counted);
    counted.end(28);
}

#[tokio::test(flavor = "multi_thread")]
async fn fabrics_commands_on_the_development_ledger() {
    fabrics_commands(On::Dev).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fabrics_commands_of_2_5_on_the_development_ledger() {
    fabrics_commands(On::DevWith2_5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fabrics_commands_on_fabric() {
    fabrics_commands(On::Fabric).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fabrics_commands_on_fabric_2_5() {
    fabrics_commands(On::Fabric2_5).await;
}

/// The client of Fabric 2.2, which takes endorsers, peers and orderers from discovery.
async fn the_older_client(on: On) {
    let Some(client) = asked_for().then(|| npm_program("foreign", "legacy")).flatten() else { return };
    // The development ledger needs none of Fabric's programs for that.
    let home = match on {
        On::Dev => None,
        _ => Some(match on.home() {
            Some(home) => home,
            None => return,
        }),
    };
    let Some(ledger) = on.start(home).await else { return };
    let mut node = tokio::process::Command::new("node");
    node.arg("scenarios.js").arg(&ledger.network.dir).current_dir(client).kill_on_drop(true);
    let Output { stdout, stderr, .. } = tokio::time::timeout(PATIENCE, node.output()).await.unwrap().unwrap();
    let mut counted = Counted::new(&format!("the client of 2.2 on {on:?}"));
    for line in String::from_utf8(stdout).unwrap().lines() {
        // The client writes what it has to say between the lines.
        let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
        let outcome = line["error"].as_str().map_or(Ok(()), |error| Err(error.to_owned()));
        let scenario = line["scenario"].as_str().unwrap();
        eprintln!("{:6} ms  {scenario}", line["milliseconds"]);
        counted.note(scenario, outcome);
    }
    eprintln!("{}", String::from_utf8_lossy(&stderr));
    counted.end(20);
}

/// Whether what comes from a registry may be fetched.
fn asked_for() -> bool {
    let asked = std::env::var_os("FOREIGN_SOFTWARE").is_some_and(|value| value == "1");
    if !asked {
        say("SKIPPED: programs from a registry; FOREIGN_SOFTWARE=1 fetches them");
    }
    asked
}

#[tokio::test(flavor = "multi_thread")]
async fn the_older_client_on_the_development_ledger() {
    the_older_client(On::Dev).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_older_client_on_fabric() {
    the_older_client(On::Fabric).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_older_client_on_fabric_2_5() {
    the_older_client(On::Fabric2_5).await;
}

/// The samples' asset-transfer-basic in Go and in JavaScript, brought onto the channel and called by Fabric's commands.
async fn the_samples(on: On) {
    if !asked_for() {
        return;
    }
    let Some(samples) = samples::found() else { return };
    let Some(home) = on.home() else { return };
    let Some(ledger) = on.start(Some(home.clone())).await else { return };
    let cli = Cli::new(&ledger.network, &home);
    let mut counted = Counted::new(&format!("samples on {on:?}"));
    for (name, program) in [("basic-go", samples.go()), ("basic-js", samples.javascript())] {
        let guest = commands::Guest::start(&ledger.network, name, program);
        commands::lifecycle(&cli, &guest, &mut counted);
        samples::transfer(&cli, &guest, &mut counted);
    }
    counted.end(40);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_samples_on_the_development_ledger() {
    the_samples(On::Dev).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_samples_on_fabric() {
    the_samples(On::Fabric).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_samples_on_fabric_2_5() {
    the_samples(On::Fabric2_5).await;
}

/// A chaincode that a file describes, with services of its own making: they come, go and move.
#[tokio::test(flavor = "multi_thread")]
async fn a_described_chaincode_on_the_development_ledger() {
    let dir = tempfile::Builder::new().prefix("confab-test-").tempdir().unwrap().keep();
    let file = dir.join("guest.toml");
    let describe = |addresses: &[&str]| {
        let each = addresses.iter().enumerate();
        let services: String =
            each.map(|(i, address)| format!("Org{}MSP = \"{address}\"\n", i + 1)).collect();
        let policy = "OR('Org1MSP.peer', 'Org2MSP.peer')";
        let text =
            format!("name = \"guest\"\nversion = \"1.0\"\npolicy = \"{policy}\"\n[services]\n{services}");
        std::fs::write(&file, text).unwrap();
        GuestChaincode::load(&file).unwrap()
    };
    let options = |guest: GuestChaincode| {
        let mut options =
            launcher::Options { guests: vec![guest], ..launcher::Options::new(&dir, 2, keys()) };
        options.probe = ["put", "probe", "up"].map(String::from).to_vec();
        options
    };
    let up = async |guest: GuestChaincode| {
        launcher::ledger::up(&options(guest), &ledger_command(), &mut |_| {}).await
    };
    let serve = |address: &str| {
        let mut command = std::process::Command::new(keys().program);
        command.env("CHAINCODE_SERVER_ADDRESS", address).env("CHAINCODE_ID", "guest:1.0");
        Running(command.spawn().unwrap())
    };
    let [one, two, moved] = [0; 3].map(|_| commands::free_address());

    // It starts before the services do, and says that they are not there.
    let ledger = Ledger::of(up(describe(&[&one, &two])).await.unwrap());
    let status = launcher::status(&dir).await.unwrap();
    let health = |status: &launcher::Status| -> Vec<(String, Option<String>, bool)> {
        let each = status.services.iter();
        each.map(|one| (one.org.clone(), one.address.clone(), one.health == launcher::Health::Well)).collect()
    };
    let of = |org: &str, address: &str, well| (org.to_owned(), Some(address.to_owned()), well);
    assert_eq!(health(&status), [of("Org1", &one, false), of("Org2", &two, false)]);
    assert!(!status.is_healthy());

    let first = serve(&one);
    let _second = serve(&two);
    let guest = common::Org(ledger.channel(1).contract("guest"));
    common::eventually(true, async || guest.submit_by(common::call(&["put", "k", "1"]), &[]).await.is_ok())
        .await;
    assert_eq!(guest.get(&["get", "k"]).await, "1");
    let status = launcher::status(&dir).await.unwrap();
    assert!(status.is_healthy(), "{status:?}");
    assert_eq!(guest.verdict(&["put", "k", "2"], &["Org2MSP"]).await, TxValidationCode::Valid);

    // One goes, and comes back elsewhere.
    drop(first);
    let status = launcher::status(&dir).await.unwrap();
    assert_eq!(health(&status), [of("Org1", &one, false), of("Org2", &two, true)]);
    let _first = serve(&moved);
    up(describe(&[&moved, &two])).await.unwrap();
    let status = launcher::status(&dir).await.unwrap();
    assert_eq!(health(&status), [of("Org1", &moved, true), of("Org2", &two, true)]);
    assert!(status.is_healthy(), "{status:?}");
    assert_eq!(guest.verdict(&["put", "k", "3"], &["Org1MSP"]).await, TxValidationCode::Valid);
    assert_eq!(guest.get(&["get", "k"]).await, "3");

    // Who is not on the ledger has no service there, and nobody takes another's name.
    let error = up(describe(&[&one, &two, &moved])).await.unwrap_err().to_string();
    assert!(error.contains("Org3MSP is not on the ledger"), "{error}");
    let error =
        up(GuestChaincode { name: "confab".into(), ..describe(&[&one]) }).await.unwrap_err().to_string();
    assert!(error.contains("one of this name already"), "{error}");
    drop(ledger);
}

/// A process that ends with this.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
