//! The chaincodes of Fabric's samples, built outside the repository.

use super::commands::{Cli, Counted, Guest, invoke, query};
use crate::harness::Skipped;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// For a service that has to start, and for what peers learn of each other a little later.
const PATIENCE: Duration = Duration::from_secs(60);

/// The samples, built.
pub struct Samples {
    go: PathBuf,
    javascript: PathBuf,
}

/// The samples of the checkout that `FABRIC_SAMPLES` names.
///
/// # Errors
/// There is none, or what they are built with is not there.
pub fn found() -> Result<Samples, Skipped> {
    let Some(checkout) = std::env::var_os("FABRIC_SAMPLES").map(PathBuf::from) else {
        return Err(Skipped("FABRIC_SAMPLES names no checkout of fabric-samples".into()));
    };
    let basic = checkout.join("asset-transfer-basic");
    let test = std::env::current_exe().unwrap();
    let target = test.ancestors().nth(3).unwrap().join("foreign");
    fs::create_dir_all(&target).unwrap();
    // Until the end of this function, for every test process and thread.
    let lock = fs::File::create(target.join(".lock")).unwrap();
    lock.lock().unwrap();
    let (go, javascript) = (target.join("basic-go"), target.join("basic-js"));
    let built = copy(&basic.join("chaincode-external"), &go)
        .and_then(|()| {
            run(Command::new("go")
                .args(["build", "-mod=mod", "-o", "basic", "."])
                .env("GOCACHE", target.join("go-cache"))
                .current_dir(&go))
        })
        .and_then(|()| copy(&basic.join("chaincode-javascript"), &javascript))
        .and_then(|()| match javascript.join("node_modules").is_dir() {
            true => Ok(()),
            false => run(Command::new("npm")
                .args([
                    "ci",
                    "--ignore-scripts",
                    "--omit=dev",
                    "--no-audit",
                    "--no-fund",
                    "--fetch-retries=1",
                ])
                .current_dir(&javascript)),
        });
    match built {
        Ok(()) => Ok(Samples { go, javascript }),
        Err(e) => Err(Skipped(e)),
    }
}

/// Copies the files of a folder that are not there yet.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let wrong = |e: std::io::Error| format!("{}: {e}", from.display());
    fs::create_dir_all(to).map_err(wrong)?;
    for entry in fs::read_dir(from).map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        let target = to.join(entry.file_name());
        if entry.file_name() == "node_modules" || target.exists() {
            continue;
        }
        match entry.file_type().map_err(wrong)?.is_dir() {
            true => copy(&entry.path(), &target)?,
            false => drop(fs::copy(entry.path(), &target).map_err(wrong)?),
        }
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = format!("{command:?}");
    let output = command.output().map_err(|e| format!("{program}: {e}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

/// How a sample is started for an address and an id.
pub type Program = Box<dyn Fn(&str, &str) -> Command>;

impl Samples {
    pub fn go(&self) -> Program {
        let folder = self.go.clone();
        Box::new(move |address, id| {
            let mut command = Command::new(folder.join("basic"));
            command.envs([("CHAINCODE_SERVER_ADDRESS", address), ("CHAINCODE_ID", id)]);
            command
        })
    }

    pub fn javascript(&self) -> Program {
        let folder = self.javascript.clone();
        Box::new(move |address, id| {
            let mut command = Command::new("node");
            command.current_dir(&folder).arg("node_modules/fabric-shim/cli.js").arg("server");
            command.args(["--chaincode-address", address, "--chaincode-id", id]);
            command
        })
    }
}

/// What the sample's applications do.
pub fn transfer(cli: &Cli<'_>, guest: &Guest, counted: &mut Counted) {
    let name = guest.name.clone();
    let said = |what: &str| format!("{name}: {what}");
    let start = Instant::now();
    let first = loop {
        match invoke(cli, guest, &[0, 1], &["InitLedger"]) {
            Err(_) if start.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(500)),
            answer => break answer,
        }
    };
    counted.note(&said("InitLedger"), first.map(drop));
    let create = ["CreateAsset", "asset13", "yellow", "5", "Tom", "1300"];
    counted.note(&said("CreateAsset"), invoke(cli, guest, &[0, 1], &create).map(drop));
    counted.refused(&said("CreateAsset again"), invoke(cli, guest, &[0, 1], &create), "already exists");
    counted.contains(
        &said("GetAllAssets"),
        query(cli, guest, 1, &["GetAllAssets"]),
        &["asset1", "asset6", "asset13"],
    );
    counted.contains(&said("ReadAsset"), query(cli, guest, 2, &["ReadAsset", "asset13"]), &["Tom", "1300"]);
    let update = ["UpdateAsset", "asset13", "green", "6", "Tim", "1400"];
    counted.note(&said("UpdateAsset"), invoke(cli, guest, &[1, 2], &update).map(drop));
    counted.note(
        &said("TransferAsset"),
        invoke(cli, guest, &[0, 2], &["TransferAsset", "asset13", "Ann"]).map(drop),
    );
    counted.contains(
        &said("ReadAsset after it"),
        query(cli, guest, 0, &["ReadAsset", "asset13"]),
        &["Ann", "1400"],
    );
    counted.contains(&said("AssetExists"), query(cli, guest, 0, &["AssetExists", "asset13"]), &["true"]);
    counted.note(&said("DeleteAsset"), invoke(cli, guest, &[0, 1], &["DeleteAsset", "asset13"]).map(drop));
    counted.refused(
        &said("ReadAsset of what is gone"),
        query(cli, guest, 0, &["ReadAsset", "asset13"]),
        "does not exist",
    );
    counted.refused(&said("an unknown function"), query(cli, guest, 0, &["Nothing"]), "Nothing");
}
