//! The development ledger, started and disturbed.

mod common;

use common::{Folder, get, options, pids, program, put};
use launcher::{
    Error, Network, Options,
    ledger::{self, LedgerCommand},
};
use std::time::Duration;

async fn up(options: &Options) -> Result<(Network, Vec<String>), Error> {
    let command = LedgerCommand { program: program(), args: vec!["ledger".into(), ".".into()] };
    let mut steps = Vec::new();
    let network = ledger::up(options, &command, &mut |step| steps.push(step.to_owned())).await?;
    Ok((network, steps))
}

#[tokio::test]
async fn a_ledger_of_three_survives_kills_and_goes_without_a_trace() {
    let folder = Folder::new("ledger");
    let options = options(&folder.0, 3);
    let (network, _) = up(&options).await.unwrap();
    for org in &network.orgs {
        put(&network, &org.name, &org.name, "before").await;
    }

    let before = pids(&network);
    let (network, steps) = up(&options).await.unwrap();
    assert!(!steps.iter().any(|step| step.starts_with("starting")), "{steps:?}");
    assert_eq!(pids(&network), before);

    network.kill("ledger").unwrap();
    network.kill("chaincode-org2").unwrap();
    assert!(!launcher::status(&folder.0).await.unwrap().is_healthy());
    let (network, steps) = up(&options).await.unwrap();
    assert_eq!(steps.iter().filter(|step| step.starts_with("starting")).count(), 2, "{steps:?}");
    assert_eq!(get(&network, "org2", "Org1").await, "before");
    put(&network, "org3", "after", "kill").await;
    network.restart("ledger").await.unwrap();
    assert_eq!(get(&network, "org1", "after").await, "kill");
    assert!(launcher::status(&folder.0).await.unwrap().is_healthy());

    assert_eq!(launcher::down(&folder.0, true).unwrap(), 4);
    assert!(pids(&network).iter().all(Option::is_none));
    assert!(!folder.0.exists());
}

#[tokio::test]
async fn an_interrupted_start_leaves_no_process() {
    let folder = Folder::new("ledger-interrupted");
    let options = options(&folder.0, 2);
    // The ledger is not waited for so long that it endorses.
    let result = tokio::time::timeout(Duration::from_millis(30), up(&options)).await;
    assert!(result.is_err(), "{result:?}");
    let network = Network::load(&folder.0).unwrap();
    assert!(pids(&network).iter().all(Option::is_none));
    up(&options).await.unwrap();
}
