//! Real Fabric, started and disturbed. Skipped where Fabric's programs are not found.

mod common;

use common::{Folder, fabric_is_here, get, options, pids, put, put_at_last, say};
use launcher::{Error, Health, Network, Options, State, fabric};
use std::{net::TcpListener, time::Duration};
use tokio::sync::mpsc;

async fn up(options: &Options) -> Result<(Network, Vec<String>), Error> {
    let mut steps = Vec::new();
    let network = fabric::up(options, &mut |step| steps.push(step.to_owned())).await?;
    Ok((network, steps))
}

#[tokio::test]
async fn a_network_of_three_survives_kills_and_goes_without_a_trace() {
    if !fabric_is_here("a_network_of_three_survives_kills_and_goes_without_a_trace") {
        return;
    }
    survives_kills(options(&Folder::new("three").0, 3)).await;
}

#[tokio::test]
async fn so_does_one_of_the_long_term_release() {
    let Some(home) = std::env::var_os("FABRIC_HOME_2_5") else {
        return say("SKIPPED: so_does_one_of_the_long_term_release: set FABRIC_HOME_2_5");
    };
    let fabric_home = Some(home.into());
    survives_kills(Options { fabric_home, ..options(&Folder::new("long-term").0, 3) }).await;
}

async fn survives_kills(options: Options) {
    let folder = Folder(options.dir.clone());
    let (network, _) = up(&options).await.unwrap();
    for org in &network.orgs {
        put(&network, &org.name, &org.name, "before").await;
    }

    // Again: nothing is started.
    let before = pids(&network);
    assert!(before.iter().all(Option::is_some));
    let (network, steps) = up(&options).await.unwrap();
    assert!(!steps.iter().any(|step| step.starts_with("starting")), "{steps:?}");
    assert_eq!(pids(&network), before);

    // Some are killed: they, and only they, are started on their data.
    for name in ["orderer", "peer-org2", "chaincode-org3"] {
        network.kill(name).unwrap();
    }
    let status = launcher::status(&folder.0).await.unwrap();
    assert!(!status.is_healthy());
    let ended = status.processes.iter().filter(|process| process.health == Health::Ended);
    assert_eq!(
        ended.map(|process| process.name.as_str()).collect::<Vec<_>>(),
        ["orderer", "peer-org2", "chaincode-org3"]
    );
    let (network, steps) = up(&options).await.unwrap();
    assert_eq!(steps.iter().filter(|step| step.starts_with("starting")).count(), 3, "{steps:?}");
    assert_eq!(get(&network, "org2", "Org1").await, "before");
    put(&network, "org3", "after", "kill").await;

    // A frozen peer is seen, holds no other up for long, and goes on.
    network.freeze("peer-org1").unwrap();
    assert_eq!(network.state("peer-org1").unwrap().0, State::Frozen);
    put(&network, "org2", "with", "frost").await;
    network.thaw("peer-org1").unwrap();
    network.restart("chaincode-org1").await.unwrap();
    put(&network, "org1", "without", "frost").await;
    assert!(launcher::status(&folder.0).await.unwrap().is_healthy());

    // Stopped, the data stays; purged, nothing does.
    assert_eq!(launcher::down(&folder.0, false).unwrap(), 7);
    assert!(pids(&network).iter().all(Option::is_none));
    let (network, _) = up(&options).await.unwrap();
    assert_eq!(get(&network, "org3", "with").await, "frost");
    assert_eq!(launcher::down(&folder.0, true).unwrap(), 7);
    assert!(pids(&network).iter().all(Option::is_none));
    assert!(!folder.0.exists());
    assert!(matches!(launcher::down(&folder.0, false), Err(Error::Absent(_))));
}

#[tokio::test]
async fn with_three_orderers_any_one_may_fail() {
    if !fabric_is_here("with_three_orderers_any_one_may_fail") {
        return;
    }
    let folder = Folder::new("orderers");
    let options = Options { orderers: 3, ..options(&folder.0, 2) };
    let (network, _) = up(&options).await.unwrap();
    for (index, orderer) in ["orderer", "orderer2", "orderer3"].into_iter().enumerate() {
        network.kill(orderer).unwrap();
        // One of the three was the leader; another is elected within two seconds.
        let value = index.to_string();
        put_at_last(&network, "org1", orderer, &value).await;
        put_at_last(&network, "org2", "killed", &value).await;
        let status = launcher::status(&folder.0).await.unwrap();
        let ended = status.processes.iter().filter(|process| process.health == Health::Ended);
        assert_eq!(ended.map(|process| process.name.as_str()).collect::<Vec<_>>(), [orderer]);
        let (_, steps) = up(&options).await.unwrap();
        assert_eq!(steps.iter().filter(|step| step.starts_with("starting")).count(), 1, "{steps:?}");
    }
    assert_eq!(get(&network, "org2", "orderer").await, "0");
    let other = up(&Options { orderers: 1, ..options.clone() }).await.unwrap_err().to_string();
    assert!(other.contains("3 orderers, not one with 1 orderer"), "{other}");
}

#[tokio::test]
async fn an_interrupted_start_leaves_no_process_and_is_taken_up_again() {
    if !fabric_is_here("an_interrupted_start_leaves_no_process_and_is_taken_up_again") {
        return;
    }
    let folder = Folder::new("interrupted");
    let options = options(&folder.0, 2);
    for step in ["making the channel", "joining", "installing", "approving", "committing", "waiting for"] {
        let (tell, mut told) = mpsc::unbounded_channel::<String>();
        let mut progress = move |step: &str| tell.send(step.to_owned()).unwrap();
        let reached = async {
            while let Some(told) = told.recv().await {
                if told.starts_with(step) {
                    // In the middle of the step, not at its beginning.
                    tokio::time::sleep(Duration::from_millis(40)).await;
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            () = reached => {}
            result = fabric::up(&options, &mut progress) => panic!("ended before {step:?}: {result:?}"),
        }
        let network = Network::load(&folder.0).unwrap();
        assert!(pids(&network).iter().all(Option::is_none), "at {step:?}");
    }
    let (network, _) = up(&options).await.unwrap();
    put(&network, "org2", "all", "well").await;
    assert_eq!(get(&network, "org1", "all").await, "well");
}

#[tokio::test]
async fn a_port_in_use_is_named_and_nothing_is_left_behind() {
    if !fabric_is_here("a_port_in_use_is_named_and_nothing_is_left_behind") {
        return;
    }
    let folder = Folder::new("port");
    let options = options(&folder.0, 1);
    let (network, _) = up(&options).await.unwrap();
    launcher::down(&folder.0, false).unwrap();
    let _taken = TcpListener::bind(&network.orgs[0].peer.address).unwrap();
    match up(&options).await {
        Err(Error::PortInUse { address, process }) => {
            assert_eq!((address, process.as_str()), (network.orgs[0].peer.address.clone(), "peer-org1"));
        }
        other => panic!("{other:?}"),
    }
    assert!(pids(&network).iter().all(Option::is_none));
}

#[tokio::test]
async fn a_chaincode_that_does_not_start_is_reported_with_its_words() {
    if !fabric_is_here("a_chaincode_that_does_not_start_is_reported_with_its_words") {
        return;
    }
    let folder = Folder::new("chaincode");
    let mut options = options(&folder.0, 1);
    options.chaincode.args = vec!["chaincod".into()];
    let error = up(&options).await.unwrap_err().to_string();
    assert!(error.contains("chaincode-org1 ended") && error.contains("up DIR ORGS"), "{error}");
    let network = Network::load(&folder.0).unwrap();
    assert!(pids(&network).iter().all(Option::is_none));
}
