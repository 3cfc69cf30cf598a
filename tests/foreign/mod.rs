//! Programs of others on a network: Fabric's command line with its lifecycle, `discover`, the client of Fabric 2.2, and
//! chaincodes of Fabric's samples; on the development ledger and on real Fabric 3.1 and 2.5.
//!
//! What is not found is skipped: Fabric's programs are looked for under `FABRIC_HOME` and `FABRIC_HOME_2_5`.
//! What has to come from a registry is fetched only where `FOREIGN_SOFTWARE=1` asks for it, and the samples are taken
//! from a checkout of `fabric-samples` that `FABRIC_SAMPLES` names.

mod commands;
mod samples;

use crate::fixture::{
    Ledger, On,
    calls::{Org, call, eventually, keys},
    folder, ledger_command,
};
use crate::harness::{Outcome, Skipped, Test, test};
use crate::interop::programs::npm_program;
use commands::{Cli, Counted};
use gateway_client::TxValidationCode;
use launcher::GuestChaincode;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

pub const TESTS: &[Test] = &[
    test!(commands on Dev, Fabric, Fabric2_5),
    test!(commands_of_2_5 on Dev),
    test!(older_client on Dev, Fabric, Fabric2_5),
    test!(samples on Dev, Fabric, Fabric2_5),
    test!(described_chaincode on Dev),
];

/// For all scenarios of the older client together.
const PATIENCE: Duration = Duration::from_secs(300);

/// Where Fabric's programs of a release are.
fn programs(release: On) -> Result<PathBuf, Skipped> {
    let home = release.home().filter(|home| home.join("bin/peer").is_file());
    home.ok_or_else(|| Skipped(format!("no bin/peer of {release:?}: set FABRIC_HOME and FABRIC_HOME_2_5")))
}

/// Whose programs work with a ledger; with the development ledger those of 3.1.
fn release(on: On) -> On {
    if on == On::Dev { On::Fabric } else { on }
}

/// Fabric's own commands: the chaincode `keys` comes onto the channel as another one by the lifecycle, and is called.
async fn commands_of(release: On, on: On) -> Outcome {
    let home = programs(release)?;
    let ledger = Ledger::start_keys(on, keys()).await;
    let cli = Cli::new(&ledger.network, &home);
    let mut counted = Counted::new(&format!("commands of {release:?} on {on:?}"));
    commands::channel(&cli, &mut counted);
    let service = commands::Guest::keys(&ledger.network, "guest");
    commands::lifecycle(&cli, &service, &mut counted);
    commands::calls(&cli, &service, &mut counted);
    commands::second_definition(&cli, &service, &mut counted);
    commands::discover(&cli, &service, &mut counted);
    counted.end(28);
    Ok(())
}

async fn commands(on: On) -> Outcome {
    commands_of(release(on), on).await
}

async fn commands_of_2_5(on: On) -> Outcome {
    commands_of(On::Fabric2_5, on).await
}

/// The client of Fabric 2.2, which takes endorsers, peers and orderers from discovery.
async fn older_client(on: On) -> Outcome {
    asked_for()?;
    let client = npm_program("foreign", "legacy")?;
    let ledger = Ledger::start_keys(on, keys()).await;
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
    Ok(())
}

/// Whether what comes from a registry may be fetched.
fn asked_for() -> Outcome {
    match std::env::var_os("FOREIGN_SOFTWARE").is_some_and(|value| value == "1") {
        true => Ok(()),
        false => Err(Skipped("programs from a registry; FOREIGN_SOFTWARE=1 fetches them".into())),
    }
}

/// The samples' asset-transfer-basic in Go and in JavaScript, brought onto the channel and called by Fabric's commands.
async fn samples(on: On) -> Outcome {
    asked_for()?;
    let samples = samples::found()?;
    let home = programs(release(on))?;
    let ledger = Ledger::start_keys(on, keys()).await;
    let cli = Cli::new(&ledger.network, &home);
    let mut counted = Counted::new(&format!("samples on {on:?}"));
    for (name, program) in [("basic-go", samples.go()), ("basic-js", samples.javascript())] {
        let guest = commands::Guest::start(&ledger.network, name, program);
        commands::lifecycle(&cli, &guest, &mut counted);
        samples::transfer(&cli, &guest, &mut counted);
    }
    counted.end(40);
    Ok(())
}

/// A chaincode that a file describes, with services of its own making: they come, go and move.
async fn described_chaincode(_: On) {
    let dir = folder();
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
        launcher::ledger::up(&options(guest), &ledger_command(&[]), &mut |_| {}).await
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
    let guest = Org(ledger.channel(1).contract("guest"));
    eventually(true, async || guest.submit_by(call(&["put", "k", "1"]), &[]).await.is_ok()).await;
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
