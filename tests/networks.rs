//! Networks that exist are joined by a connection profile, and organisations make one of their own machines: the
//! commands, as people type them.

use crate::fixture::{Ledger, On, program, submit};
use crate::harness::{Outcome, Skipped, Test, test};
use gateway_client::Call;
use records::JobParams;
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

pub const TESTS: &[Test] = &[
    test!(joining on Dev, Fabric),
    test!(printed_commands on Fabric),
    test!(latest on Fabric, Fabric2_5),
    test!(machines on Fabric),
];

fn confab(args: &[&str]) -> Output {
    Command::new(program()).args(args).output().unwrap()
}

fn ok(args: &[&str]) -> String {
    let output = confab(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn error(args: &[&str]) -> String {
    let output = confab(args);
    assert!(!output.status.success(), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A profile without an identity in it, as most networks have them.
fn without_identity(profile: &Path, out: &Path) {
    let mut content: Value = serde_json::from_slice(&fs::read(profile).unwrap()).unwrap();
    for org in content["organizations"].as_object_mut().unwrap().values_mut() {
        org.as_object_mut().unwrap().retain(|key, _| key == "mspid" || key == "peers");
    }
    fs::write(out, content.to_string()).unwrap();
}

/// A node joins.
async fn joining(on: On) {
    let ledger = Ledger::start(on, 2).await;
    let (network, org) = (&ledger.network, &ledger.network.orgs[1]);
    let dir = network.dir.join("joined");
    let (profile, node) = (network.dir.join("foreign.json"), dir.join("node.toml"));
    without_identity(&network.path(&org.profile), &profile);
    let join = ["network", "join", "--profile", text(&profile), "--dir", text(&dir)];
    let said = error(&join);
    assert!(said.contains("--msp-id, --cert and --key"), "{said}");
    assert!(!dir.exists(), "what cannot be used leaves nothing behind");

    let (cert, key) = (network.path(&org.user.cert), network.path(&org.user.key));
    let identity = ["--msp-id", "Org2MSP", "--cert", text(&cert), "--key", text(&key)];
    let join = [&join[..], &identity].concat();
    let said = ok(&join);
    assert!(said.contains("Org2MSP on channel confab") && said.contains("0 jobs so far"), "{said}");
    assert!(said.contains("members      Org1MSP, Org2MSP\n"), "{said}");
    assert_eq!(ok(&["job", "watch", "--config", text(&node)]), "");
    strangers_are_refused(&ledger, text(&node)).await;
    // Again: nothing has changed. What somebody wrote into it is not lost.
    ok(&join);
    let table = fs::read_to_string(&node).unwrap() + "patience_secs = 5\n";
    fs::write(&node, &table).unwrap();
    assert!(error(&join).contains("exists"));
    assert_eq!(fs::read_to_string(&node).unwrap(), table);

    let elsewhere = network.dir.join("elsewhere");
    let elsewhere = [&join[..4], &["--dir", text(&elsewhere)], &identity].concat();
    let said = error(&[&elsewhere[..], &["--channel", "other"]].concat());
    assert!(said.contains("channel other cannot be read"), "{said}");
    fs::remove_dir_all(network.dir.join("elsewhere")).unwrap();
    let service = ["--chaincode", "absent", "--service", "127.0.0.1:9999"];
    let said = ok(&[&elsewhere[..], &service].concat());
    assert!(
        said.contains("chaincode absent does not answer") && said.contains("package id   absent_1.0:"),
        "{said}"
    );
    assert!(network.dir.join("elsewhere/absent.tar.gz").exists());
    assert!(said.contains("the other members (Org1MSP) do the same"), "{said}");
}

/// Whatever names organisations is compared with the channel's members before anything is proposed.
async fn strangers_are_refused(ledger: &Ledger, node: &str) {
    let assert_said = |said: &str, stranger: &str| {
        assert!(said.contains(&format!("{stranger} is no member of channel confab")), "{said}");
        assert!(said.contains("its members are Org1MSP and Org2MSP"), "{said}");
    };
    let small = ["--key-bits", "256", "--insecure-key-bits"];
    let template = ["job", "template", "Org2MSP", "OrgXMSP", "--instances", "30"];
    let template = [&template[..], &small, &["--protocol", "paper"]].concat();
    assert_said(&error(&[&template[..], &["--config", node]].concat()), "OrgXMSP");
    // Without a ledger at hand nobody knows; then at the proposal.
    let params = ledger.network.dir.join("params.json");
    fs::write(&params, ok(&template)).unwrap();
    assert_said(&error(&["job", "propose", "--config", node, "--params", text(&params)]), "OrgXMSP");
    let negotiate = ["key", "negotiate", "--config", node, "Org2MSP", "org1msp"];
    assert_said(&error(&[&negotiate[..], &small].concat()), "org1msp");

    let shares = ledger.network.dir.join("shares");
    let deal = ["key", "deal", "--parties", "2", "--out", text(&shares)];
    ok(&[&deal[..], &small].concat());
    let share = shares.join("key-share-1.json");
    ok(&["key", "import", "--config", node, "--file", text(&share)]);
    let listed: Value = serde_json::from_str(&ok(&["key", "list", "--config", node, "--json", "-"])).unwrap();
    let key = listed[0]["fingerprint"].as_str().unwrap();
    let refresh = ["key", "refresh", "--config", node, "--key", key, "--old-members", "Org2MSP", "Org1MSP"];
    assert_said(&error(&[&refresh[..], &["--members", "Org2MSP", "Org9MSP"]].concat()), "Org9MSP");
    let table = ledger.network.dir.join("table.csv");
    fs::write(&table, "age,diagnosis\n40,well\n50,sick\n").unwrap();
    let share = ["instances", "share", "--config", node, "--data", text(&table)];
    let labels = ["--label", "diagnosis", "--positive", "sick", "--to", "Org9MSP"];
    assert_said(&error(&[&share[..], &labels].concat()), "Org9MSP");
    assert_eq!(ok(&["job", "watch", "--config", node]), "", "nothing of it is on the ledger");

    // Another client proposed it all the same.
    let bytes = fs::read(&params).unwrap();
    let params: JobParams = serde_json::from_slice(&bytes).unwrap();
    submit(&ledger.contract(1), Call::new("propose").arg(bytes)).await;
    let job = params.id().to_string();
    assert_said(&error(&["job", "accept", "--config", node, &job]), "OrgXMSP");
    // A node that is to accept it by itself refuses it, so that nobody waits.
    let own = ledger.network.dir.join("accepting");
    fs::create_dir(&own).unwrap();
    let config = fs::read_to_string(node).unwrap();
    fs::write(own.join("node.toml"), format!("accept = [\"{job}\"]\n{config}")).unwrap();
    let output = confab(&["node", "--config", text(&own.join("node.toml")), "--until", &job]);
    assert!(!output.status.success());
    assert_said(&String::from_utf8(output.stdout).unwrap(), "OrgXMSP");
    assert!(String::from_utf8(output.stderr).unwrap().contains("refused by Org2MSP"));
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// What `join` prints, done as it says, brings the contract onto the channel.
async fn printed_commands(on: On) {
    let ledger = Ledger::start(on, 2).await;
    let network = &ledger.network;
    let peer = launcher::Binaries::find().unwrap().peer;
    let folder = peer.parent().unwrap().display();
    let mut services = Vec::new();
    let mut commit = String::new();
    let join = |org: &launcher::Organization, more: &[&str]| {
        let (profile, dir) = (network.path(&org.profile), network.dir.join(format!("it's {}", org.name)));
        let join =
            ["network", "join", "--profile", text(&profile), "--dir", text(&dir), "--chaincode", "second"];
        ok(&[&join[..], more].concat())
    };
    for org in &network.orgs {
        let address = format!("127.0.0.1:{}", free_port());
        let said = join(org, &["--service", &address]);
        assert!(said.contains("chaincode    second is not committed"), "{said}");
        let step = |name: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(&format!("{name:<13}")));
            line.unwrap_or_else(|| panic!("{name} is not in {said}")).to_owned()
        };
        let id = step("package id");
        let serve = ["chaincode", "--address", &address, "--id", &id];
        services.push(Running(Command::new(program()).args(serve).spawn().unwrap()));
        let run = |command: &str| {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("PATH={folder}:$PATH; {command}")]);
            shell.env("FABRIC_CFG_PATH", network.path("config").join(org.id()));
            shell.env("CORE_PEER_MSPCONFIGPATH", network.path(&org.admin.msp));
            let output = shell.output().unwrap();
            assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        };
        run(&step("install"));
        run(&step("approve"));
        commit = step("commit");
        if org.name == "Org2" {
            run(&commit);
        }
    }
    assert!(commit.contains(&network.orgs[0].peer.address), "{commit}");
    for org in &network.orgs {
        let said = join(org, &["--service", "127.0.0.1:9"]);
        assert!(said.contains("chaincode    second 1.0, sequence 1, approved by Org1MSP, Org2MSP"), "{said}");
        assert!(said.contains("nothing has to be committed") && said.contains("0 jobs so far"), "{said}");
    }
}

/// A child that is stopped when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An organisation's folder, whose processes are stopped when this is dropped.
struct Machine(PathBuf);

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = launcher::down(&self.0, true);
    }
}

/// An address of a machine of its own, for which 127.0.0.2, … stand.
fn address(machine: u8) -> String {
    let listener = TcpListener::bind(format!("127.0.0.{machine}:0")).unwrap();
    listener.local_addr().unwrap().to_string()
}

/// Programs that do not say which release they are of: what they can do is found out, and nothing stops with a
/// panic at a capability that it does not know.
async fn latest(on: On) -> Outcome {
    let Some(home) = on.home().filter(|home| home.join("bin/peer").exists()) else {
        return Err(Skipped("no variable names the folder of its programs".into()));
    };
    let dir = tempfile::Builder::new().prefix("confab-test-").tempdir().unwrap();
    let bin = dir.path().join("fabric/bin");
    fs::create_dir_all(&bin).unwrap();
    let version = |bin: &Path| {
        let said = Command::new(bin.join("peer")).arg("version").output().unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        let number = said.lines().find_map(|line| line.trim().strip_prefix("Version:"));
        number.unwrap().trim().to_owned()
    };
    let number = version(&home.join("bin"));
    for name in ["peer", "orderer", "configtxgen", "osnadmin"] {
        anonymous(&home.join("bin").join(name), &number, &bin.join(name));
    }
    assert!(version(&bin).starts_with("la"), "{}", version(&bin));

    let machine = Machine(dir.path().join("net"));
    let (folder, home) = (text(&machine.0), dir.path().join("fabric"));
    let up = ["network", "up", "--orgs", "2", "--dir", folder, "--fabric-home", text(&home)];
    let said = ok(&up);
    assert!(said.contains("endorsed by all organisations"), "{said}");
    let network = launcher::Network::load(&machine.0).unwrap();
    let profile = network.path(&network.orgs[0].profile);
    let gateway = gateway_client::Gateway::from_profile(&profile, None, Default::default()).unwrap();
    let config = gateway.network(&network.channel).config().await.unwrap();
    assert_eq!(config.is_v3(), on == On::Fabric, "{:?}", config.capabilities);
    for process in &network.processes {
        let log = fs::read_to_string(machine.0.join("logs").join(format!("{}.log", process.name))).unwrap();
        assert!(!log.contains("panic:"), "{}: {log}", process.name);
    }
    Ok(())
}

/// A copy of a program in which its release's number is another word of the same length.
fn anonymous(program: &Path, number: &str, copy: &Path) {
    let mut bytes = fs::read(program).unwrap();
    let word: Vec<u8> = b"latest".iter().cycle().take(number.len()).copied().collect();
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(number.len()).position(|part| part == number.as_bytes()) {
        at += found;
        bytes[at..at + number.len()].copy_from_slice(&word);
    }
    fs::write(copy, bytes).unwrap();
    fs::set_permissions(copy, fs::metadata(program).unwrap().permissions()).unwrap();
}

/// A clinic with peer and orderer and a laboratory with a peer make a network, and a key on it.
async fn machines(_: On) {
    let dir = tempfile::Builder::new().prefix("confab-test-").tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let machines = [Machine(dir.path().join("Clinic")), Machine(dir.path().join("Lab"))];
    for (machine, name) in [(2, "Clinic"), (3, "Lab")] {
        let (folder, peer, orderer) = (at(name), address(machine), address(machine));
        let init = ["org", "init", "--name", name, "--domain", &format!("{name}.example.com").to_lowercase()];
        let init = [&init[..], &["--dir", &folder, "--peer", &peer]].concat();
        match name {
            "Clinic" => ok(&[&init[..], &["--orderer", &orderer]].concat()),
            _ => ok(&init),
        };
        assert!(error(&init).contains("already"));
        ok(&["org", "export", "--dir", &folder, "--out", &at(&format!("{name}.json"))]);
    }
    let (clinic, lab, channel) = (at("Clinic.json"), at("Lab.json"), at("channel.json"));
    let alone = ["network", "create", "--out", &channel, "--org", &lab];
    assert!(error(&alone).contains("none of the organisations runs an orderer"));
    let said = ok(&[&alone[..], &["--org", &clinic]].concat());
    assert!(said.contains("Lab") && said.contains("confab org start --dir DIR"), "{said}");
    let start = |name: &str| {
        let args = ["org", "start", "--dir", &at(name), "--channel", &channel];
        Command::new(program()).args(args).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
    };
    for started in ["Lab", "Clinic"].map(start) {
        let output = started.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    for machine in &machines {
        let status = ok(&["network", "status", "--dir", text(&machine.0)]);
        assert!(status.contains("gets endorsements"), "{status}");
    }

    let nodes: Vec<(String, Running)> = ["Clinic", "Lab"]
        .map(|name| {
            let (profile, node) = (
                format!("{}/connection-{}.json", at(name), name.to_lowercase()),
                at(&format!("{name}-node")),
            );
            ok(&["network", "join", "--profile", &profile, "--dir", &node]);
            let config = format!("{node}/node.toml");
            let mut command = Command::new(program());
            command.args(["node", "--config", &config]).stdout(Stdio::null()).stderr(Stdio::null());
            (config, Running(command.spawn().unwrap()))
        })
        .into();
    let size = ["--key-bits", "256", "--insecure-key-bits"];
    let members = ["ClinicMSP", "LabMSP"];
    let mut command = Command::new(program());
    command.args(["key", "negotiate", "--config", &nodes[0].0]).args(members).args(size);
    let mut negotiate = Running(command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
    let mut said = BufReader::new(negotiate.0.stderr.take().unwrap()).lines();
    let is_proposal = |line: &String| line.starts_with("proposed job ");
    let proposed = said.by_ref().map(Result::unwrap).find(is_proposal).unwrap();
    let job = proposed.strip_prefix("proposed job ").and_then(|rest| rest.split_once(';')).unwrap().0;
    for (config, _) in &nodes {
        let said = error(&["job", "accept", "--config", config, job]);
        assert!(said.contains("key_bits: the job has 256, the least here is 2048"), "{said}");
        ok(&["job", "accept", "--accept-weaker", "--config", config, job]);
    }
    let rest: Vec<String> = said.map(Result::unwrap).collect();
    assert!(negotiate.0.wait().unwrap().success(), "{rest:?}");
    let verified = ok(&["verify", job, "--config", &nodes[1].0]);
    assert!(verified.contains("the job is complete and everything holds"), "{verified}");
}
