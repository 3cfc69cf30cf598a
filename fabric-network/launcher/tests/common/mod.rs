//! What the tests of both kinds of network share.

use gateway_client::{Call, Contract, Gateway};
use launcher::{ChaincodeCommand, Network, Options};
use std::{
    env,
    path::{Path, PathBuf},
};

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

/// Reads a key from the organisation's peer.
pub async fn get(network: &Network, org: &str, key: &str) -> String {
    let answer = contract(network, org).evaluate(Call::new("get").arg(key)).await.unwrap();
    String::from_utf8(answer).unwrap()
}
