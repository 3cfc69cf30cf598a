//! Feature: Discovery; and what the client itself does when its peer is gone.

use crate::errors::ready;
use crate::ledger::Ledger;
use gateway_client::{Call, Gateway, Options, Profile};

/// Stops organisation 3's peer; on the development ledger, which is one process for all peers, its chaincode service.
pub async fn submit_fails_with_insufficient_endorsers(ledger: &Ledger) {
    let process = if ledger.is_fabric() { "peer-org3" } else { "chaincode-org3" };
    ledger.launched.kill(process).unwrap();
    let contract = ledger.contract("errors");
    let error = contract.submit(Call::new("echo").arg("conga")).await.unwrap_err();
    ledger.launched.start(process).await.unwrap();
    ready(&contract).await;
    assert!(error.call().is_some(), "{error}");
}

pub async fn submit_succeeds_with_sufficient_endorsers(ledger: &Ledger) {
    let (answer, _) = ledger.contract("errors").submit(Call::new("echo").arg("conga")).await.unwrap();
    assert_eq!(answer, b"conga");
}

/// Not in the feature: a client that knows of several peers goes on when the one that it calls is killed. On the
/// development ledger the first peer is one that never was there.
pub async fn another_peer_is_called_when_one_is_gone(ledger: &Ledger) {
    let endpoint = |org: usize| {
        Profile::load(&ledger.launched.path(&ledger.org(org).profile)).unwrap().endpoints().unwrap().remove(0)
    };
    let mut endpoints = [endpoint(1), endpoint(2)];
    if !ledger.is_fabric() {
        endpoints[0].address = "127.0.0.1:1".into();
    }
    let gateway = Gateway::connect_any(&endpoints, ledger.user(1), Options::default()).unwrap();
    let network = gateway.network(&ledger.launched.channel);
    let contract = network.contract("private");
    if ledger.is_fabric() {
        contract.evaluate(Call::new("echo").arg("before")).await.unwrap();
        assert_eq!(gateway.address(), endpoints[0].address);
    }
    let mut blocks = network.blocks(gateway_client::Checkpoint::start());
    let first = blocks.next().await.unwrap().unwrap();
    if ledger.is_fabric() {
        ledger.launched.kill("peer-org1").unwrap();
    }
    let call = Call::new("put").arg("after").arg("x").organizations(["Org2MSP"]);
    let submitted = contract.submit(call).await;
    let address = gateway.address().to_owned();
    if ledger.is_fabric() {
        ledger.launched.start("peer-org1").await.unwrap();
        ready(&ledger.contract("errors")).await;
    }
    let (_, status) = submitted.unwrap();
    assert_eq!(address, endpoints[1].address);
    let mut last = first.number;
    while last < status.block_number {
        last = blocks.next().await.unwrap().expect("the stream goes on at the other peer").number;
    }
}
