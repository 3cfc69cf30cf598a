//! Fabric's command line: `peer` and `discover`.

use crate::fixture::calls::keys;
use fabric_protos::common::Block;
use fabric_protos::prost::Message;
use launcher::{ChaincodeDefinition, Network, Organization};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// For what peers learn of each other a little later.
const PATIENCE: Duration = Duration::from_secs(60);

/// Scenarios and how they ended.
pub struct Counted {
    title: String,
    passed: usize,
    failed: Vec<String>,
}

impl Counted {
    pub fn new(title: &str) -> Self {
        Self { title: title.into(), passed: 0, failed: Vec::new() }
    }

    pub fn note(&mut self, scenario: &str, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => self.passed += 1,
            Err(e) => {
                eprintln!("FAILED  {scenario}: {e}");
                self.failed.push(format!("{scenario}: {e}"));
            }
        }
    }

    /// As [`note`](Self::note), for an answer that must contain all of these.
    pub fn contains(&mut self, scenario: &str, answer: Result<String, String>, all: &[&str]) {
        let missing = |text: &str| all.iter().find(|part| !text.contains(*part)).map(ToString::to_string);
        let outcome = answer.and_then(|text| match missing(&text) {
            Some(part) => Err(format!("no {part:?} in {text}")),
            None => Ok(()),
        });
        self.note(scenario, outcome);
    }

    /// As [`note`](Self::note), for what must fail with these words.
    pub fn refused(&mut self, scenario: &str, answer: Result<String, String>, words: &str) {
        let outcome = match answer {
            Ok(text) => Err(format!("it succeeded: {text}")),
            Err(text) if text.contains(words) => Ok(()),
            Err(text) => Err(format!("no {words:?} in {text}")),
        };
        self.note(scenario, outcome);
    }

    /// Says how many passed; all must, and there must be at least so many.
    pub fn end(self, least: usize) {
        let all = self.passed + self.failed.len();
        eprintln!("{}: {} of {all} pass", self.title, self.passed);
        assert!(self.failed.is_empty(), "{}: {}", self.title, self.failed.join("\n"));
        assert!(all >= least, "{}: only {all} scenarios", self.title);
    }
}

/// The programs of a release, set up for a network.
pub struct Cli<'a> {
    pub network: &'a Network,
    bin: PathBuf,
    /// The folder of `core.yaml` and of files that commands make.
    pub dir: tempfile::TempDir,
    orderer: Vec<String>,
}

/// What the command line wants of its configuration; everything else is in the environment.
const CORE: &str = "\
peer:
  BCCSP:
    Default: SW
    SW:
      Hash: SHA2
      Security: 256
      FileKeyStore:
        KeyStore:
  client:
    connTimeout: 10s
";

impl<'a> Cli<'a> {
    pub fn new(network: &'a Network, home: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("core.yaml"), CORE).unwrap();
        // The development ledger's peers are its orderers.
        let first = &network.orgs[0].peer;
        let (address, host, ca) = match network.orderers.first() {
            Some(orderer) => (&orderer.address, &orderer.host, &orderer.tls.ca),
            None => (&first.address, &first.host, &first.tls.ca),
        };
        let ca = network.path(ca).display().to_string();
        let orderer = ["-o", address, "--ordererTLSHostnameOverride", host, "--tls", "--cafile", &ca];
        Self { network, bin: home.join("bin"), dir, orderer: orderer.map(String::from).to_vec() }
    }

    /// Runs `peer` as an organisation's administrator.
    pub fn peer(&self, org: usize, args: &[&str]) -> Result<String, String> {
        let org = &self.network.orgs[org];
        let path = |path: &Path| self.network.path(path).display().to_string();
        let mut command = self.command("peer");
        command.args(args).envs([
            ("CORE_PEER_ADDRESS", org.peer.address.clone()),
            ("CORE_PEER_LOCALMSPID", org.msp_id.clone()),
            ("CORE_PEER_MSPCONFIGPATH", path(&org.admin.msp)),
            ("CORE_PEER_TLS_ENABLED", "true".into()),
            ("CORE_PEER_TLS_ROOTCERT_FILE", path(&org.peer.tls.ca)),
        ]);
        run(command)
    }

    /// The same for a command that needs the orderer.
    pub fn ordered(&self, org: usize, args: &[&str]) -> Result<String, String> {
        let orderer = self.orderer.iter().map(String::as_str);
        self.peer(org, &args.iter().copied().chain(orderer).collect::<Vec<_>>())
    }

    /// The same for a transaction that these organisations endorse.
    pub fn endorsed(&self, orgs: &[usize], args: &[&str]) -> Result<String, String> {
        let mut all: Vec<String> = args.iter().map(ToString::to_string).collect();
        for org in orgs {
            let peer = &self.network.orgs[*org].peer;
            let root = self.network.path(&peer.tls.ca).display().to_string();
            all.extend(["--peerAddresses".into(), peer.address.clone(), "--tlsRootCertFiles".into(), root]);
        }
        self.ordered(orgs[0], &all.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Runs `discover` as an organisation's user.
    pub fn discover(&self, org: usize, args: &[&str]) -> Result<String, String> {
        let org = &self.network.orgs[org];
        let path = |path: &Path| self.network.path(path).display().to_string();
        let mut command = self.command("discover");
        command.args(["--MSP", &org.msp_id, "--peerTLSCA", &path(&org.peer.tls.ca)]);
        command.args(["--userCert", &path(&org.user.cert), "--userKey", &path(&org.user.key)]);
        command.args(args).args(["--server", &org.peer.address]);
        run(command)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.env_clear().env("FABRIC_CFG_PATH", self.dir.path()).env("FABRIC_LOGGING_SPEC", "error");
        command.env("HOME", self.dir.path()).current_dir(self.dir.path());
        command
    }

    pub fn file(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }
}

/// What a command says; an error with both streams where it fails.
fn run(mut command: Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|e| e.to_string())?;
    let text =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
    if output.status.success() { Ok(text) } else { Err(text) }
}

/// Tries until it works.
fn eventually(mut attempt: impl FnMut() -> Result<String, String>) -> Result<String, String> {
    let start = Instant::now();
    loop {
        match attempt() {
            Err(_) if start.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(500)),
            answer => return answer,
        }
    }
}

/// A chaincode that comes onto the channel by the lifecycle, with a service for each organisation.
pub struct Guest {
    pub name: String,
    packages: Vec<PathBuf>,
    ids: Vec<String>,
    services: Vec<Child>,
    _dir: tempfile::TempDir,
}

impl Drop for Guest {
    fn drop(&mut self) {
        for service in &mut self.services {
            let _ = service.kill();
            let _ = service.wait();
        }
    }
}

impl Guest {
    /// The example `keys`.
    pub fn keys(network: &Network, name: &str) -> Self {
        let program = keys().program;
        Self::start(network, name, |address, id| {
            let mut command = Command::new(&program);
            command.envs([("CHAINCODE_SERVER_ADDRESS", address), ("CHAINCODE_ID", id)]);
            command
        })
    }

    /// A program that listens on an address and registers under an id.
    pub fn start(network: &Network, name: &str, program: impl Fn(&str, &str) -> Command) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let definition = ChaincodeDefinition::new(name, "1.0");
        let mut guest = Self {
            name: name.into(),
            packages: Vec::new(),
            ids: Vec::new(),
            services: Vec::new(),
            _dir: dir,
        };
        for org in &network.orgs {
            let address = free_address();
            let (package, id) = launcher::service_package(&definition, &address, None).unwrap();
            let file = guest._dir.path().join(format!("{}.tar.gz", org.id()));
            fs::write(&file, package).unwrap();
            let mut command = program(&address, &id);
            guest.services.push(command.stdin(Stdio::null()).spawn().unwrap());
            guest.packages.push(file);
            guest.ids.push(id);
        }
        guest
    }

    fn package(&self, org: usize) -> &str {
        self.packages[org].to_str().unwrap()
    }
}

/// An address that was free a moment ago.
pub fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// What is asked of channels.
pub fn channel(cli: &Cli<'_>, counted: &mut Counted) {
    counted.contains("channel list", cli.peer(0, &["channel", "list"]), &["confab"]);
    counted.contains(
        "channel getinfo",
        cli.peer(1, &["channel", "getinfo", "-c", "confab"]),
        &["\"height\":", "\"currentBlockHash\":"],
    );
    for (what, from_orderer) in
        [("0", true), ("1", true), ("newest", true), ("config", true), ("newest", false), ("0", false)]
    {
        let file = cli.file("fetched.block");
        let args = ["channel", "fetch", what, &file, "-c", "confab"];
        let answer = if from_orderer { cli.ordered(0, &args) } else { cli.peer(0, &args) };
        let outcome = answer.and_then(|_| {
            let bytes = fs::read(&file).map_err(|e| e.to_string())?;
            let header = Block::decode(bytes.as_slice()).map_err(|e| e.to_string())?.header.unwrap();
            match (what, header.number) {
                ("0" | "config", 0) | ("1", 1) => Ok(()),
                ("newest", number) if number > 0 => Ok(()),
                (_, number) => Err(format!("block {number}")),
            }
        });
        let whom = if from_orderer { "an orderer" } else { "a peer" };
        counted.note(&format!("channel fetch {what} from {whom}"), outcome);
    }
    counted.refused(
        "channel getinfo of another",
        cli.peer(0, &["channel", "getinfo", "-c", "other"]),
        "Invalid chain ID",
    );
}

/// Installs, approves and commits.
pub fn lifecycle(cli: &Cli<'_>, guest: &Guest, counted: &mut Counted) {
    let name = guest.name.as_str();
    let orgs: Vec<usize> = (0..cli.network.orgs.len()).collect();
    let definition = ["-C", "confab", "-n", name, "-v", "1.0", "--sequence", "1"];
    for org in &orgs {
        let install = cli.peer(*org, &["lifecycle", "chaincode", "install", guest.package(*org)]);
        counted.note(&format!("{name}: install {org}"), install.map(drop));
    }
    let again = cli.peer(0, &["lifecycle", "chaincode", "install", guest.package(0)]);
    counted.refused(&format!("{name}: install again"), again, "already successfully installed");
    let installed = cli.peer(0, &["lifecycle", "chaincode", "queryinstalled"]);
    counted.contains(&format!("{name}: queryinstalled"), installed, &[&guest.ids[0]]);
    let folder = cli.dir.path().display().to_string();
    let args = [
        "lifecycle",
        "chaincode",
        "getinstalledpackage",
        "--package-id",
        &guest.ids[0],
        "--output-directory",
        &folder,
    ];
    let same = cli.peer(0, &args).and_then(|_| {
        let got = fs::read(cli.file(&format!("{}.tar.gz", guest.ids[0])))
            .or_else(|_| fs::read(cli.file(&format!("{name}_1.0.tar.gz"))));
        match got.map_err(|e| e.to_string())? == fs::read(guest.package(0)).unwrap() {
            true => Ok(()),
            false => Err("other bytes".into()),
        }
    });
    counted.note(&format!("{name}: getinstalledpackage"), same);
    for org in &orgs {
        let approve = ["lifecycle", "chaincode", "approveformyorg", "--package-id", &guest.ids[*org]];
        counted.note(
            &format!("{name}: approveformyorg {org}"),
            cli.ordered(*org, &[&approve[..], &definition].concat()).map(drop),
        );
    }
    let ready = cli.peer(
        1,
        &[&["lifecycle", "chaincode", "checkcommitreadiness", "--output", "json"][..], &definition].concat(),
    );
    let all: Vec<String> = cli.network.orgs.iter().map(|org| format!("\"{}\": true", org.msp_id)).collect();
    counted.contains(
        &format!("{name}: checkcommitreadiness"),
        ready,
        &all.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    let approved = cli.peer(0, &["lifecycle", "chaincode", "queryapproved", "-C", "confab", "-n", name]);
    counted.contains(
        &format!("{name}: queryapproved"),
        approved,
        &["sequence: 1, version: 1.0", &guest.ids[0]],
    );
    let commit = cli.endorsed(&orgs, &[&["lifecycle", "chaincode", "commit"][..], &definition].concat());
    counted.note(&format!("{name}: commit"), commit.map(drop));
    let committed = cli.peer(0, &["lifecycle", "chaincode", "querycommitted", "-C", "confab", "-n", name]);
    counted.contains(
        &format!("{name}: querycommitted"),
        committed,
        &["Version: 1.0, Sequence: 1", "Org2MSP: true"],
    );
    let committed = cli.peer(1, &["lifecycle", "chaincode", "querycommitted", "-C", "confab"]);
    counted.contains(
        &format!("{name}: querycommitted of all"),
        committed,
        &["Name: confab,", &format!("Name: {name},")],
    );
}

/// Calls of the guest; `calls` are for the example `keys`.
pub fn calls(cli: &Cli<'_>, guest: &Guest, counted: &mut Counted) {
    let put = |value: &str, orgs: &[usize]| invoke(cli, guest, orgs, &["put", "k", value]);
    counted.contains("invoke", eventually(|| put("1", &[0, 1])), &["status:200"]);
    counted.contains("query", query(cli, guest, 1, &["get", "k"]), &["1"]);
    counted.refused("query of nothing", query(cli, guest, 0, &["get", "none"]), "no such key");
    counted.refused("invoke that fails", invoke(cli, guest, &[0, 1], &["get", "none"]), "no such key");
    // Accepted, and found to be invalid when it is waited for.
    counted.refused("invoke with too few endorsements", put("2", &[2]), "ENDORSEMENT_POLICY_FAILURE");
    let unknown = cli
        .peer(0, &["chaincode", "query", "-C", "confab", "-n", "nobody", "-c", "{\"Args\":[\"get\",\"k\"]}"]);
    counted.refused("query of an unknown chaincode", unknown, "nobody");
    let unknown = cli.peer(
        0,
        &["chaincode", "query", "-C", "other", "-n", &guest.name, "-c", "{\"Args\":[\"get\",\"k\"]}"],
    );
    counted.refused("query on an unknown channel", unknown, "other");
}

/// Invokes through the peers of these organisations and waits until the transaction is committed there.
pub fn invoke(cli: &Cli<'_>, guest: &Guest, orgs: &[usize], args: &[&str]) -> Result<String, String> {
    let call = serde_json::json!({ "Args": args }).to_string();
    let invoke = ["chaincode", "invoke", "-C", "confab", "-n", &guest.name, "-c", &call, "--waitForEvent"];
    // The command's log says what came of it.
    let mut text = cli.endorsed(orgs, &invoke)?;
    if text.trim().is_empty() {
        text = "status:200".into();
    }
    Ok(text)
}

pub fn query(cli: &Cli<'_>, guest: &Guest, org: usize, args: &[&str]) -> Result<String, String> {
    let call = serde_json::json!({ "Args": args }).to_string();
    cli.peer(org, &["chaincode", "query", "-C", "confab", "-n", &guest.name, "-c", &call])
}

/// Another policy and a collection by the next definition.
pub fn second_definition(cli: &Cli<'_>, guest: &Guest, counted: &mut Counted) {
    let collections = cli.file("collections.json");
    let pair = serde_json::json!([{
        "name": "pair",
        "policy": "OR('Org1MSP.member', 'Org2MSP.member')",
        "requiredPeerCount": 0,
        "maxPeerCount": 1,
        "blockToLive": 0,
        "memberOnlyRead": true,
        "memberOnlyWrite": true,
    }]);
    fs::write(&collections, pair.to_string()).unwrap();
    let any = "OR('Org1MSP.peer','Org2MSP.peer','Org3MSP.peer')";
    let definition = [
        "-C",
        "confab",
        "-n",
        &guest.name,
        "-v",
        "2.0",
        "--sequence",
        "2",
        "--signature-policy",
        any,
        "--collections-config",
        &collections,
    ];
    for org in 0..2 {
        let approve = ["lifecycle", "chaincode", "approveformyorg", "--package-id", &guest.ids[org]];
        counted.note(
            &format!("approveformyorg of the second, {org}"),
            cli.ordered(org, &[&approve[..], &definition].concat()).map(drop),
        );
    }
    let commit = cli.endorsed(&[0, 1], &[&["lifecycle", "chaincode", "commit"][..], &definition].concat());
    counted.note("commit of the second", commit.map(drop));
    let one = eventually(|| invoke(cli, guest, &[1], &["put", "k", "by one"]));
    counted.contains("invoke with one endorsement", one, &["status:200"]);
    counted.contains("query after it", query(cli, guest, 0, &["get", "k"]), &["by one"]);
    counted.refused(
        "by an organisation that has not approved",
        query(cli, guest, 2, &["get", "k"]),
        "has not yet been approved by this org",
    );
}

/// What `discover` says.
pub fn discover(cli: &Cli<'_>, guest: &Guest, counted: &mut Counted) {
    let parsed = |answer: Result<String, String>| {
        answer.and_then(|text| serde_json::from_str::<Value>(&text).map_err(|e| format!("{e}: {text}")))
    };
    let msp_ids: Vec<&str> = cli.network.orgs.iter().map(|org| org.msp_id.as_str()).collect();

    let found = parsed(cli.discover(0, &["peers", "--channel", "confab"])).and_then(|peers| {
        let by_org: BTreeMap<&str, &Value> = peers
            .as_array()
            .ok_or("no list")?
            .iter()
            .map(|peer| (peer["MSPID"].as_str().unwrap(), peer))
            .collect();
        let address = |org: &Organization| org.peer.address.clone();
        for org in &cli.network.orgs {
            let peer = by_org.get(org.msp_id.as_str()).ok_or(format!("no {}", org.msp_id))?;
            let chaincodes = peer["Chaincodes"].to_string();
            if peer["Endpoint"] != address(org)
                || peer["LedgerHeight"].as_u64() < Some(2)
                || !chaincodes.contains("confab")
            {
                return Err(peer.to_string());
            }
        }
        Ok(())
    });
    counted.note("discover peers", found);

    let found = parsed(cli.discover(1, &["config", "--channel", "confab"])).and_then(|config| {
        let has =
            |id: &&&str| config["msps"][**id]["root_certs"].as_array().is_some_and(|certs| !certs.is_empty());
        match msp_ids.iter().all(|id| has(&id))
            && config["orderers"].as_object().is_some_and(|all| !all.is_empty())
        {
            true => Ok(()),
            false => Err(config.to_string()),
        }
    });
    counted.note("discover config", found);

    let endorsers = |chaincode: &str, more: &[&str]| {
        let args = ["endorsers", "--channel", "confab", "--chaincode", chaincode];
        parsed(cli.discover(0, &[&args[..], more].concat())).map(|found| {
            let layouts = found[0]["Layouts"].as_array().cloned().unwrap_or_default();
            let mut sizes: Vec<u64> = layouts
                .iter()
                .map(|layout| {
                    layout["quantities_by_group"]
                        .as_object()
                        .unwrap()
                        .values()
                        .map(|n| n.as_u64().unwrap())
                        .sum()
                })
                .collect();
            sizes.sort_unstable();
            sizes
        })
    };
    let expect = |found: Result<Vec<u64>, String>, expected: &[u64]| match found? {
        sizes if sizes == expected => Ok(()),
        sizes => Err(format!("layouts of {sizes:?} peers instead of {expected:?}")),
    };
    // A majority of three; then any of the two that approved the second definition.
    counted.note("discover endorsers", expect(endorsers("confab", &[]), &[2, 2, 2]));
    counted.note("discover endorsers of the guest", expect(endorsers(&guest.name, &[]), &[1, 1]));
    let pair = format!("{}:pair", guest.name);
    counted.note(
        "discover endorsers for a collection",
        expect(endorsers(&guest.name, &["--collection", &pair]), &[1, 1]),
    );
    counted.refused(
        "discover endorsers of nothing",
        cli.discover(0, &["endorsers", "--channel", "confab", "--chaincode", "nobody"]),
        "failed constructing descriptor",
    );
    counted.refused(
        "discover on another channel",
        cli.discover(0, &["peers", "--channel", "other"]),
        "access denied",
    );
}
