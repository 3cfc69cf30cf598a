//! What the tests of all kinds of network share.

// Every test binary uses a part of it.
#![allow(dead_code)]

use gateway_client::{Call, Contract, Gateway};
use launcher::{Binaries, ChaincodeCommand, Network, Options};
use std::{
    env,
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Writes to standard error past the test harness, which keeps to itself what a passing test prints.
pub fn say(text: &str) {
    std::io::stderr().write_all(format!("{text}\n").as_bytes()).unwrap();
}

pub fn fabric_is_here(test: &str) -> bool {
    let found = Binaries::find().is_ok();
    if !found {
        say(&format!("SKIPPED: {test}: real Fabric not found; set FABRIC_HOME"));
    }
    found
}

/// The example `network`, which is also a chaincode and a development ledger.
pub fn program() -> PathBuf {
    let test = env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("examples/network");
    assert!(program.exists(), "{} is not built", program.display());
    program
}

pub fn options(dir: &Path, orgs: usize) -> Options {
    Options::new(dir, orgs, ChaincodeCommand { program: program(), args: vec!["chaincode".into()] })
}

/// Stops the network and removes its folder, also when a test fails.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        Self(env::temp_dir().join(format!("confab-launcher-{name}-{}", std::process::id())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = launcher::down(&self.0, true);
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The process ids, in the order of the description.
pub fn pids(network: &Network) -> Vec<Option<u32>> {
    network.processes.iter().map(|process| network.state(&process.name).unwrap().1).collect()
}

fn contract(network: &Network, org: &str) -> Contract {
    let profile = network.path(&network.org(org).unwrap().profile);
    let gateway = Gateway::from_profile(&profile, None, Default::default()).unwrap();
    gateway.network("confab").contract("confab")
}

/// Writes a key through the organisation's peer and waits until it is committed.
pub async fn put(network: &Network, org: &str, key: &str, value: &str) {
    let call = Call::new("put").arg(key).arg(value);
    let (_, status) = contract(network, org).submit(call).await.unwrap();
    status.into_valid().unwrap();
}

/// As [`put`], while the network may be electing a leader.
pub async fn put_at_last(network: &Network, org: &str, key: &str, value: &str) {
    let start = Instant::now();
    loop {
        let call = Call::new("put").arg(key).arg(value);
        let result = contract(network, org).submit(call).await.map(|(_, status)| status.into_valid());
        match result {
            Ok(Ok(_)) => return,
            Err(error) if start.elapsed() > Duration::from_secs(60) => panic!("{error}"),
            Ok(Err(error)) if start.elapsed() > Duration::from_secs(60) => panic!("{error}"),
            _ => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

/// Reads a key from the organisation's peer.
pub async fn get(network: &Network, org: &str, key: &str) -> String {
    let answer = contract(network, org).evaluate(Call::new("get").arg(key)).await.unwrap();
    String::from_utf8(answer).unwrap()
}
