//! A network of three organisations with the chaincodes of the scenarios, and its clients.

use crate::contract;
use dev_ledger::{ChaincodeDefinition, Collection, EndorsementPolicy, Policy};
use gateway_client::{Call, Contract, Gateway, Network, Options, User};
use launcher::ledger::LedgerCommand;
use launcher::{ChaincodeCommand, Kind, Organization, fabric, ledger};
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, fs};
use tokio::process::Command;

/// The argument with which this program is the development ledger.
pub const SERVICE: &str = "ledger-service";
/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The chaincodes of the features, with their endorsement policies: the same program under several names.
const CHAINCODES: [(&str, &str); 3] = [
    ("basic", "AND('Org1MSP.member','Org2MSP.member')"),
    ("private", "OR('Org1MSP.member','Org2MSP.member','Org3MSP.member')"),
    ("errors", "AND('Org1MSP.member','Org2MSP.member','Org3MSP.member')"),
];

/// The private data collections of the chaincode `private`, in the form of Fabric's own command.
fn collections() -> serde_json::Value {
    let org1 = "OR('Org1MSP.member')";
    let org3 = "OR('Org3MSP.member')";
    serde_json::json!([
        {
            "name": "SharedCollection", "policy": "OR('Org1MSP.member', 'Org3MSP.member')",
            "requiredPeerCount": 1, "maxPeerCount": 1, "blockToLive": 1_000_000,
            "memberOnlyRead": true, "memberOnlyWrite": true,
        },
        {
            "name": "Org1Collection", "policy": org1, "requiredPeerCount": 0, "maxPeerCount": 1,
            "blockToLive": 3, "memberOnlyRead": true, "memberOnlyWrite": false,
            "endorsementPolicy": { "signaturePolicy": org1 },
        },
        {
            "name": "Org3Collection", "policy": org3, "requiredPeerCount": 0, "maxPeerCount": 1,
            "blockToLive": 3, "memberOnlyRead": false, "memberOnlyWrite": false,
            "endorsementPolicy": { "signaturePolicy": org3 },
        },
    ])
}

/// The development ledger, in the network's folder.
pub async fn serve() -> ExitCode {
    let network = launcher::Network::load(".".as_ref()).expect("the launcher wrote it");
    let mut config = ledger::config(&network).expect("the launcher wrote it");
    let policy = |text: &str| text.parse::<Policy>().expect("a signature policy");
    for (name, endorsers) in CHAINCODES {
        let mut definition = ChaincodeDefinition::new(name, "1.0");
        definition.policy = EndorsementPolicy::Signature(policy(endorsers));
        for collection in collections().as_array().into_iter().flatten().filter(|_| name == "private") {
            let text = |value: &serde_json::Value| value.as_str().map(policy);
            let is = |field: &str| collection[field].as_bool().expect("yes or no");
            let members = text(&collection["policy"]).expect("a policy");
            definition.collections.push(Collection {
                member_only_read: is("memberOnlyRead"),
                member_only_write: is("memberOnlyWrite"),
                block_to_live: collection["blockToLive"].as_u64().expect("a number"),
                policy: text(&collection["endorsementPolicy"]["signaturePolicy"])
                    .map(EndorsementPolicy::Signature),
                ..Collection::new(collection["name"].as_str().expect("a name"), members)
            });
        }
        config.channels[0].chaincodes.push(definition);
        for org in &mut config.orgs {
            let service = org.chaincodes[&network.chaincode.name].clone();
            org.chaincodes.insert(name.into(), service);
        }
    }
    let _running = dev_ledger::serve(config).await.expect("the ledger starts");
    std::future::pending().await
}

/// A network that is taken down when the last scenario has ended, however it ended.
pub struct Ledger {
    pub launched: launcher::Network,
    dir: tempfile::TempDir,
}

impl Drop for Ledger {
    fn drop(&mut self) {
        let _ = launcher::down(self.dir.path(), true);
    }
}

impl Ledger {
    pub async fn start(kind: Kind) -> Result<Self, String> {
        let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
        let program = env::current_exe().map_err(|e| e.to_string())?;
        let chaincode = ChaincodeCommand { program: program.clone(), args: vec![contract::SERVICE.into()] };
        let mut options = launcher::Options::new(dir.path(), 3, chaincode);
        options.probe = ["put", "probe", "."].map(String::from).to_vec();
        let progress = &mut |step: &str| eprintln!("{step}");
        let launched = match kind {
            Kind::Fabric => fabric::up(&options, progress).await,
            Kind::Dev => {
                let command = LedgerCommand { program, args: vec![SERVICE.into()] };
                ledger::up(&options, &command, progress).await
            }
        };
        let ledger = Self { launched: launched.map_err(|e| e.to_string())?, dir };
        if kind == Kind::Fabric {
            for (name, policy) in CHAINCODES {
                ledger.define(name, policy).await?;
            }
        }
        for org in 1..=3 {
            for (name, _) in CHAINCODES {
                ledger.wait_for(org, name).await?;
            }
        }
        Ok(ledger)
    }

    pub fn is_fabric(&self) -> bool {
        self.launched.kind == Kind::Fabric
    }

    pub fn org(&self, org: usize) -> &Organization {
        &self.launched.orgs[org - 1]
    }

    /// The first user of an organisation.
    pub fn user(&self, org: usize) -> User {
        let org = self.org(org);
        let path = |path| self.launched.path(path);
        User::from_files(&org.msp_id, &path(&org.user.cert), &path(&org.user.key)).unwrap()
    }

    /// A gateway at an organisation's peer, for any user.
    pub fn gateway(&self, org: usize, user: User) -> Gateway {
        Gateway::from_profile(&self.launched.path(&self.org(org).profile), Some(user), Options::default())
            .unwrap()
    }

    /// The channel, as an organisation's first user sees it at its peer.
    pub fn network(&self, org: usize) -> Network {
        self.gateway(org, self.user(org)).network(&self.launched.channel)
    }

    /// A chaincode of the scenarios, as organisation 1's first user calls it.
    pub fn contract(&self, name: &str) -> Contract {
        self.contract_of(1, name)
    }

    /// A chaincode of the scenarios, as an organisation's first user calls it.
    pub fn contract_of(&self, org: usize, name: &str) -> Contract {
        self.network(org).contract(name)
    }

    /// Approves and commits the chaincode under another name, with a policy of its own.
    async fn define(&self, name: &str, policy: &str) -> Result<(), String> {
        let mut terms = ["-n", name, "-v", "1.0", "--sequence", "1", "--signature-policy", policy]
            .map(OsString::from)
            .to_vec();
        if name == "private" {
            let file = self.path("collections.json");
            fs::write(&file, collections().to_string()).map_err(|e| e.to_string())?;
            terms.extend(["--collections-config".into(), file.into()]);
        }
        for org in &self.launched.orgs {
            let mut command = self.peer(org, "approveformyorg")?;
            run(command.args(&terms).args(["--package-id", &org.chaincode.package_id])).await?;
        }
        let mut command = self.peer(&self.launched.orgs[0], "commit")?;
        command.args(&terms);
        for org in &self.launched.orgs {
            command.args(["--peerAddresses", &org.peer.address, "--tlsRootCertFiles"]);
            command.arg(self.launched.path(&org.peer.tls.ca));
        }
        run(&mut command).await
    }

    /// Fabric's command for chaincode definitions, as an organisation's administrator.
    fn peer(&self, org: &Organization, what: &str) -> Result<Command, String> {
        let name = format!("peer-{}", org.id());
        let peer = self.launched.processes.iter().find(|process| process.name == name);
        let peer = peer.ok_or_else(|| format!("no process {name}"))?;
        let orderer = self.launched.orderers.first().ok_or("no orderer")?;
        let mut command = Command::new(&peer.program);
        command.envs(&peer.env).env("FABRIC_LOGGING_SPEC", "error").current_dir(&self.launched.dir);
        command.env("CORE_PEER_MSPCONFIGPATH", self.launched.path(&org.admin.msp));
        command.args(["lifecycle", "chaincode", what, "-C", &self.launched.channel]);
        command.args(["-o", &orderer.address, "--tls", "--cafile"]).arg(self.launched.path(&orderer.tls.ca));
        Ok(command)
    }

    /// Waits until every organisation endorses a chaincode through an organisation's peer.
    async fn wait_for(&self, org: usize, name: &str) -> Result<(), String> {
        let start = Instant::now();
        let contract = self.contract_of(org, name);
        loop {
            let call = Call::new("echo").arg("ready").organizations(["Org1MSP", "Org2MSP", "Org3MSP"]);
            let endorsed = contract.propose(call).unwrap().endorse().await;
            match endorsed {
                Ok(_) => return Ok(()),
                Err(error) if start.elapsed() > PATIENCE => return Err(format!("{name} at {org}: {error}")),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// A new file's path.
    pub fn path(&self, name: &str) -> std::path::PathBuf {
        let folder = self.dir.path().join("scenarios");
        fs::create_dir_all(&folder).unwrap();
        folder.join(name)
    }
}

async fn run(command: &mut Command) -> Result<(), String> {
    let output = command.kill_on_drop(true).output().await.map_err(|e| e.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{:?}: {}", command.as_std(), String::from_utf8_lossy(&output.stderr))),
    }
}
