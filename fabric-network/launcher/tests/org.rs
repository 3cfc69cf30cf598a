//! Organisations that each make and run their own part, at addresses of their own. Skipped where Fabric's programs are
//! not found.

mod common;

use common::{Folder, fabric_is_here, get, options, program, put, put_at_last};
use launcher::{
    ChaincodeCommand, ChaincodeDefinition, Error, Health, Network,
    org::{self, Channel, Export, OrgOptions},
};
use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
};

const NAMES: [&str; 3] = ["Clinic", "Lab", "Registry"];

fn definition() -> ChaincodeDefinition {
    options(Path::new("."), 1).definition
}

fn chaincode() -> ChaincodeCommand {
    ChaincodeCommand { program: program(), args: vec!["chaincode".into()] }
}

/// Two addresses of an organisation's own machine, for which this one's 127.0.0.2, … stand.
fn addresses(machine: usize) -> [String; 2] {
    let listeners = [0, 0].map(|_| TcpListener::bind(format!("127.0.0.{}:0", machine + 2)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().to_string())
}

fn init(dir: &Path, name: &str, [peer, orderer]: [String; 2]) -> Result<Network, Error> {
    org::init(&OrgOptions {
        dir: dir.join(name.to_lowercase()),
        name: name.into(),
        domain: format!("{}.example.com", name.to_lowercase()),
        peer,
        orderer: Some(orderer),
        definition: definition(),
    })
}

/// Exports, as they come to another machine.
fn carried(network: &Network) -> Export {
    let file = network.dir.join("export.json");
    fs::write(&file, serde_json::to_vec(&org::export(network).unwrap()).unwrap()).unwrap();
    Export::load(&file).unwrap()
}

async fn start(dir: &Path, channel: &Channel) -> Result<Network, Error> {
    // One of the machines has the long-term release, where there is one.
    let home = std::env::var_os("FABRIC_HOME_2_5").map(PathBuf::from).filter(|_| dir.ends_with("registry"));
    org::start(dir, channel, &chaincode(), home.as_deref(), &mut |_| {}).await
}

#[tokio::test]
async fn three_organisations_start_their_own_parts() {
    if !fabric_is_here("three_organisations_start_their_own_parts") {
        return;
    }
    let folder = Folder::new("organisations");
    let dirs = NAMES.map(|name| Folder(folder.0.join(name.to_lowercase())));
    let exports: Vec<Export> = (0..)
        .zip(NAMES)
        .map(|(machine, name)| carried(&init(&folder.0, name, addresses(machine)).unwrap()))
        .collect();
    // What others get to see has no key in it.
    assert!(exports.iter().all(|export| !serde_json::to_string(export).unwrap().contains("PRIVATE")));
    let channel = org::create("confab", &definition(), &exports, None).await.unwrap();

    let [a, b, c] = [&dirs[0].0, &dirs[1].0, &dirs[2].0];
    let (a, b, c) = tokio::join!(start(a, &channel), start(b, &channel), start(c, &channel));
    let networks = [a.unwrap(), b.unwrap(), c.unwrap()];
    for (network, name) in networks.iter().zip(NAMES) {
        assert_eq!((network.orgs.len(), network.remote.peers.len()), (1, 2));
        put(network, name, name, "here").await;
    }
    for name in NAMES {
        assert_eq!(get(&networks[0], "Clinic", name).await, "here");
    }

    // One machine goes, the others go on; it comes back.
    launcher::down(&dirs[2].0, false).unwrap();
    put_at_last(&networks[0], "Clinic", "without", "the third").await;
    let back = start(&dirs[2].0, &channel).await.unwrap();
    put_at_last(&back, "Registry", "back", "again").await;
    assert_eq!(get(&back, "Registry", "without").await, "the third");
    let status = launcher::status(&dirs[2].0).await.unwrap();
    assert!(status.is_healthy(), "{:?}", status.peers);
    assert!(status.processes.iter().all(|process| process.health == Health::Well));

    // A channel with other keys is not joined.
    let mut other = channel.clone();
    other.orgs[0].msp.ca = other.orgs[1].msp.ca.clone();
    let refused = start(&dirs[0].0, &other).await.unwrap_err().to_string();
    assert!(refused.contains("ClinicMSP") && refused.contains("export it"), "{refused}");
}

#[tokio::test]
async fn what_does_not_fit_together_is_refused() {
    let folder = Folder::new("unfit");
    let export = |name: &str, machine| carried(&init(&folder.0, name, addresses(machine)).unwrap());
    let (clinic, lab) = (export("Clinic", 0), export("Lab", 1));
    assert!(matches!(init(&folder.0, "Clinic", addresses(0)), Err(Error::Conflict(_))));
    assert!(matches!(
        init(&folder.0, "Other", addresses(0).map(|_| "nowhere".into())),
        Err(Error::Conflict(_))
    ));
    let refusal = |name: &'static str, orgs: Vec<Export>| async move {
        match org::create(name, &definition(), &orgs, None).await {
            Err(Error::Conflict(reason)) => reason,
            other => panic!("{other:?}"),
        }
    };
    assert!(refusal("Confab", vec![clinic.clone(), lab.clone()]).await.contains("no channel's name"));
    assert!(refusal("confab", vec![clinic.clone(), clinic.clone()]).await.contains("\"clinic\""));
    let mut evil = lab.clone();
    evil.msp.id = "x')OR('y".into();
    assert!(refusal("confab", vec![clinic.clone(), evil]).await.contains("no name"));
    let mut evil = lab.clone();
    evil.peer.address = "127.0.0.3".into();
    assert!(refusal("confab", vec![clinic, evil]).await.contains("no address"));
    fs::write(
        folder.0.join("old.json"),
        serde_json::to_string(&lab).unwrap().replace("\"version\":1", "\"version\":2"),
    )
    .unwrap();
    let old = Export::load(&folder.0.join("old.json")).unwrap_err().to_string();
    assert!(old.contains("format 2"), "{old}");
}
