//! Not a feature of the official project: a peer that wants the client's certificate.

use crate::errors::ready;
use crate::ledger::{Ledger, PATIENCE};
use gateway_client::{Call, Checkpoint, ClientTls, Failure, Gateway, Network, Options};
use std::fs;
use tokio::time::timeout;

/// Real Fabric only: organisation 1's peer is started with `peer.tls.clientAuthRequired` meanwhile.
pub async fn a_peer_that_wants_a_certificate_is_read_and_called(ledger: &Ledger) {
    const PEER: &str = "peer-org1";
    let mut strict = ledger.launched.clone();
    let peer = strict.processes.iter_mut().find(|process| process.name == PEER).unwrap();
    let ca = ledger.launched.path(&ledger.org(1).peer.tls.ca).display().to_string();
    peer.env.insert("CORE_PEER_TLS_CLIENTAUTHREQUIRED".into(), "true".into());
    peer.env.insert("CORE_PEER_TLS_CLIENTROOTCAS_FILES".into(), ca);
    strict.restart(PEER).await.unwrap();
    let outcome = timeout(PATIENCE, called_and_read(ledger)).await;
    ledger.launched.restart(PEER).await.unwrap();
    ready(&ledger.contract("errors")).await;
    outcome.unwrap();
}

async fn called_and_read(ledger: &Ledger) {
    let tls = &ledger.org(1).peer.tls;
    let read = |path| fs::read_to_string(ledger.launched.path(path)).unwrap();
    // Any certificate of the organisation's TLS authority will do; this one is at hand.
    let own = ClientTls::from_pem(&read(&tls.cert), &read(&tls.key)).unwrap();
    let network = connect(ledger, Some(own));
    let echo = |network: &Network| {
        let contract = network.contract("private");
        async move { contract.evaluate(Call::new("echo").arg("conga").organizations(["Org1MSP"])).await }
    };
    // The peer that has just started may not know its chaincode yet.
    while echo(&network).await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(echo(&network).await.unwrap(), b"conga");
    let mut blocks = network.block_events_request(Checkpoint::start()).events().await.unwrap();
    assert_eq!(blocks.next().await.unwrap().unwrap().number, 0);

    let error = echo(&connect(ledger, None)).await.unwrap_err();
    // To try again would not help.
    assert_eq!(error.call().unwrap().failure(), Failure::Other, "{error}");
    assert!(error.to_string().contains("it wants a TLS certificate of the client"), "{error}");
}

fn connect(ledger: &Ledger, client_tls: Option<ClientTls>) -> Network {
    let profile = ledger.launched.path(&ledger.org(1).profile);
    let options = Options { client_tls, ..Options::default() };
    Gateway::from_profile(&profile, Some(ledger.user(1)), options).unwrap().network(&ledger.launched.channel)
}
