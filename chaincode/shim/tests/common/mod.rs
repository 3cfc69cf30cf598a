//! A network of three organisations with a chaincode, and its clients.

#![allow(dead_code, reason = "each test binary uses a part")]

use gateway_client::{Call, Contract, Error, Gateway, TxValidationCode};
use launcher::ledger::LedgerCommand;
use launcher::{ChaincodeCommand, Collection, Kind, fabric, ledger};
use serde_json::Value;
use std::fmt::Debug;
use std::future::Future;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// For what reaches the other organisations' peers a little later, and on a busy machine much later.
const PATIENCE: Duration = Duration::from_secs(60);

/// Not a test: the development ledger, which the launcher starts from the test's binary in the network's folder.
#[tokio::test]
#[ignore = "the development ledger of the other tests"]
async fn ledger_service() {
    let Ok(network) = launcher::Network::load(".".as_ref()) else { return };
    let config = launcher::ledger::config(&network).unwrap();
    let _running = dev_ledger::serve(config).await.unwrap();
    std::future::pending::<()>().await;
}

/// How the launcher starts it.
pub fn ledger_command() -> LedgerCommand {
    let args = ["common::ledger_service", "--exact", "--ignored", "--nocapture"].map(String::from).to_vec();
    LedgerCommand { program: std::env::current_exe().unwrap(), args }
}

/// A network that is taken down when the test ends, however it ends.
pub struct Ledger {
    pub network: launcher::Network,
    dir: PathBuf,
}

impl Drop for Ledger {
    fn drop(&mut self) {
        let _ = launcher::down(&self.dir, false);
        if std::thread::panicking() {
            say(&format!("logs and data of the failed test are kept in {}", self.dir.display()));
        } else {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

impl Ledger {
    /// A network whose first two organisations share the collection `pair`; none, with a word, where it is to be
    /// real Fabric and that is not on this machine.
    pub async fn start(kind: Kind, chaincode: ChaincodeCommand) -> Option<Self> {
        Self::start_with(kind, chaincode, None).await
    }

    /// The same with the programs of real Fabric in this folder.
    pub async fn start_with(
        kind: Kind,
        chaincode: ChaincodeCommand,
        fabric_home: Option<PathBuf>,
    ) -> Option<Self> {
        if kind == Kind::Fabric
            && fabric_home.is_none()
            && let Err(error) = launcher::Binaries::find()
        {
            say(&format!("SKIPPED: real Fabric not found; set FABRIC_HOME ({error})"));
            return None;
        }
        let dir = tempfile::Builder::new().prefix("confab-test-").tempdir().unwrap().keep();
        let mut options = launcher::Options { fabric_home, ..launcher::Options::new(&dir, 3, chaincode) };
        options.probe = ["put", "probe", "up"].map(String::from).to_vec();
        options.definition.collections.push(Collection::new("pair", &["Org1MSP", "Org2MSP"]));
        let progress = &mut |step: &str| eprintln!("{step}");
        let network = match kind {
            Kind::Fabric => fabric::up(&options, progress).await,
            Kind::Dev => ledger::up(&options, &ledger_command(), progress).await,
        };
        let network = network.unwrap_or_else(|e| panic!("{kind:?} in {}: {e}", dir.display()));
        Some(Self { network, dir })
    }

    /// Takes over a network that was started otherwise.
    pub fn of(network: launcher::Network) -> Self {
        Self { dir: network.dir.clone(), network }
    }

    /// The contract as organisation 1, 2 or 3 sees it.
    pub fn org(&self, number: usize) -> Org {
        Org(self.channel(number).contract(&*self.network.chaincode.name))
    }

    /// The channel as it sees it.
    pub fn channel(&self, number: usize) -> gateway_client::Network {
        let profile = self.network.path(&self.network.orgs[number - 1].profile);
        let gateway = Gateway::from_profile(&profile, None, Default::default()).unwrap();
        gateway.network(&*self.network.channel)
    }
}

/// Somebody of one organisation, on its own peer.
pub struct Org(pub Contract);

/// A call of the function that comes first.
pub fn call(args: &[&str]) -> Call {
    args[1..].iter().fold(Call::new(args[0]), |call, arg| call.arg(*arg))
}

impl Org {
    pub async fn ask(&self, args: &[&str]) -> Result<String, Error> {
        Ok(String::from_utf8(self.0.evaluate(call(args)).await?).unwrap())
    }

    pub async fn get(&self, args: &[&str]) -> String {
        self.ask(args).await.unwrap_or_else(|e| panic!("{args:?}: {e:?}"))
    }

    pub async fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.get(args).await).unwrap()
    }

    /// Why the peer does not answer.
    pub async fn refusal(&self, args: &[&str]) -> String {
        format!("{:?}", self.ask(args).await.unwrap_err())
    }

    /// Submits what must be valid; the transaction's id.
    pub async fn submit(&self, args: &[&str]) -> String {
        self.submit_by(call(args), &[]).await.unwrap_or_else(|e| panic!("{args:?}: {e:?}"))
    }

    pub async fn submit_by(&self, call: Call, endorsers: &[&str]) -> Result<String, Error> {
        let (_, status) = self.0.submit(call.organizations(endorsers.iter().copied())).await?;
        Ok(status.transaction_id)
    }

    /// The verdict on a transaction that these endorse.
    pub async fn verdict(&self, args: &[&str], endorsers: &[&str]) -> TxValidationCode {
        match self.submit_by(call(args), endorsers).await {
            Ok(_) => TxValidationCode::Valid,
            Err(Error::Invalid { code, .. }) => code,
            Err(e) => panic!("{args:?} by {endorsers:?}: {e:?}"),
        }
    }
}

/// Waits until the answer is the expected one.
pub async fn eventually<T: PartialEq + Debug, F: Future<Output = T>>(expected: T, ask: impl Fn() -> F) {
    let start = Instant::now();
    loop {
        let answer = ask().await;
        if answer == expected {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{answer:?} instead of {expected:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Writes to standard error past the test harness, which keeps to itself what a passing test prints.
pub fn say(text: &str) {
    std::io::stderr().write_all(format!("{text}\n").as_bytes()).unwrap();
}

/// The example `keys`, which is built with the tests.
pub fn keys() -> ChaincodeCommand {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("examples/keys");
    assert!(program.exists(), "{} is not built", program.display());
    ChaincodeCommand { program, args: Vec::new() }
}
