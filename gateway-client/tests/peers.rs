//! Several peers, mutual TLS and large messages, against peers in this process.

mod common;

use common::{Authority, Peer, endpoint, name, user};
use fabric_protos::services::MAX_MESSAGE_SIZE;
use gateway_client::{
    Call, Checkpoint, ClientTls, ConnectionFault, Endpoint, Failure, Gateway, Options, Start, Tls,
};
use std::time::Duration;
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

#[tokio::test]
async fn the_next_peer_is_called_when_one_is_gone() {
    let ((first, one), (second, two)) = (Peer::new("first").start(None), Peer::new("second").start(None));
    let gateway =
        Gateway::connect_any(&[endpoint(first), endpoint(second)], user(), Options::default()).unwrap();
    assert_eq!(name(&gateway).await.unwrap(), "first");
    assert_eq!(name(&gateway).await.unwrap(), "first", "as long as it is there");
    one.shutdown_background();
    assert_eq!(name(&gateway).await.unwrap(), "second", "in the same call");
    assert_eq!(gateway.address(), second.to_string());
    // The gateway's own trouble is told: another peer would have the same.
    let proposal = gateway.network("confab").contract("cc").propose(Call::new("f")).unwrap();
    let error = proposal.endorse().await.unwrap_err();
    assert!(error.to_string().contains("no peers available"), "{error}");
    assert_eq!(gateway.address(), second.to_string());
    two.shutdown_background();
    let error = name(&gateway).await.unwrap_err();
    assert_eq!(error.call().unwrap().failure(), Failure::Unavailable, "{error}");
}

#[tokio::test]
async fn a_peer_that_hangs_is_left_after_its_time() {
    let frozen = Peer { hangs: true, ..Peer::new("frozen") };
    let ((first, one), (second, two)) = (frozen.start(None), Peer::new("second").start(None));
    let options = Options {
        evaluate: Duration::from_millis(200),
        commit_status: Duration::from_millis(50),
        ..Options::default()
    };
    let gateway = Gateway::connect_any(&[endpoint(first), endpoint(second)], user(), options).unwrap();
    let error = gateway.network("confab").commit("tx").status().await.unwrap_err();
    assert_eq!(error.call().unwrap().failure(), Failure::TimedOut);
    assert_eq!(gateway.address(), first.to_string(), "a verdict may take its time");
    let error = name(&gateway).await.unwrap_err();
    assert_eq!(error.call().unwrap().failure(), Failure::TimedOut, "whether it ran is not known");
    assert_eq!(name(&gateway).await.unwrap(), "second");
    one.shutdown_background();
    two.shutdown_background();
}

/// Over one connection the break is an error; over several, the next peer goes on.
#[tokio::test]
async fn a_stream_of_events_goes_on_at_the_next_peer() {
    let ((first, one), (second, two)) = (Peer::new("first").start(None), Peer::new("second").start(None));
    let gateway =
        Gateway::connect_any(&[endpoint(first), endpoint(second)], user(), Options::default()).unwrap();
    let network = gateway.network("confab");

    let mut events = network.chaincode_events_request("cc", Start::NextCommit).events().await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap().name, "first");
    let error = events.next().await.unwrap().unwrap_err();
    assert!(error.to_string().contains("the peer shuts down"), "{error}");
    assert!(events.next().await.is_none());

    let mut events = network.chaincode_events("cc", Checkpoint::start());
    let mut names = Vec::new();
    for _ in 0..4 {
        names.push(events.next().await.unwrap().unwrap().name);
    }
    assert_eq!(names, ["second", "first", "second", "first"]);
    one.shutdown_background();
    two.shutdown_background();
}

#[tokio::test]
async fn messages_up_to_fabrics_limit_pass() {
    let (address, runtime) = Peer::new("peer").start(None);
    let options = Options { evaluate: Duration::from_secs(60), ..Options::default() };
    let gateway = Gateway::connect(&endpoint(address), user(), options).unwrap();
    let contract = gateway.network("confab").contract("cc");
    let large = MAX_MESSAGE_SIZE - 1024;
    let call = Call::new("large").transient("length", large.to_string());
    assert_eq!(contract.evaluate(call).await.unwrap().len(), large);
    let call = Call::new("large").arg(vec![0; large]);
    assert_eq!(contract.evaluate(call).await.unwrap(), b"peer");
    let call = Call::new("larger").transient("length", (MAX_MESSAGE_SIZE + 1).to_string());
    let error = contract.evaluate(call).await.unwrap_err();
    assert!(error.to_string().contains("too large"), "{error}");
    runtime.shutdown_background();
}

#[tokio::test]
async fn peers_that_want_a_certificate_get_it_and_its_hash() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let (certificate, key) = authority.issue("localhost");
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(certificate, key))
        .client_ca_root(Certificate::from_pem(&clients.pem));
    let peer = Peer::new("strict");
    let (address, runtime) = peer.start(Some(tls));
    let tls = Tls { ca_pem: authority.pem.clone().into_bytes(), server_name: Some("localhost".into()) };
    let endpoint = Endpoint { address: address.to_string(), tls: Some(tls) };
    let connect = |own: Option<(String, String)>| {
        let client_tls = own.map(|(certificate, key)| ClientTls::from_pem(&certificate, &key).unwrap());
        Gateway::connect(&endpoint, user(), Options { client_tls, ..Options::default() }).unwrap()
    };

    let gateway = connect(Some(clients.issue("client")));
    assert_eq!(name(&gateway).await.unwrap(), "strict");
    let mut blocks =
        gateway.network("confab").block_events_request(Start::NextCommit).events().await.unwrap();
    let error = blocks.next().await.unwrap().unwrap_err();
    assert!(error.to_string().contains("that is all"), "{error}");
    let claims = peer.claims.lock().unwrap().clone();
    assert!(claims[0].0 == claims[0].1 && claims[0].0.len() == 32, "{claims:?}");

    for refused in [None, Some(authority.issue("client"))] {
        let is_missing = refused.is_none();
        let error = name(&connect(refused)).await.unwrap_err();
        let call = error.call().unwrap();
        assert_eq!(call.failure(), Failure::Other, "trying again does not help: {error}");
        let (peer, fault) = call.fault.as_ref().unwrap();
        assert_eq!(*peer, address.to_string());
        match fault {
            ConnectionFault::CertificateWanted => assert!(is_missing),
            ConnectionFault::CertificateRefused(_) => assert!(!is_missing),
            other => panic!("{other:?}"),
        }
    }
    let (certificate, key) = clients.issue("client");
    for (certificate, key) in [(&key, &key), (&certificate, &certificate)] {
        ClientTls::from_pem(certificate, key).unwrap_err();
    }
    runtime.shutdown_background();
}
