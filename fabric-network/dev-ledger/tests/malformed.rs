//! Bytes that are none of ours, on the ports of peers.

mod common;

use common::{Client, Network};
use fabric_protos::common::{Envelope, Status as BlockStatus};
use fabric_protos::discovery::{
    AuthInfo, ChaincodeQuery, Query, Request, SignedRequest, query, query_result,
};
use fabric_protos::gateway::*;
use fabric_protos::lifecycle::CheckCommitReadinessArgs;
use fabric_protos::peer::{ChaincodeCall, ChaincodeInterest, SignedProposal, TxValidationCode};
use fabric_protos::prost::Message;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The number of an environment variable, or the default.
fn count(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Bytes in memory that belong to this process alone.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

async fn still_works(client: &mut Client, key: &str) {
    assert_eq!(client.transact(&["put", key, "v"]).await.unwrap().0, TxValidationCode::Valid);
    assert_eq!(client.evaluate(&["get", key]).await.unwrap(), "v");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_speak_no_grpc_are_borne() {
    let network = Network::new(1).await;
    let ledger = network.serve().await;
    let mut client = network.client(&ledger, 1);
    still_works(&mut client, "before").await;
    let address = ledger.address("Org1MSP").unwrap();
    let before = memory();
    // A thousand that say nothing stay open while others work.
    let mut idle = Vec::new();
    for _ in 0..count("LEDGER_IDLE", 1000) {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    for bytes in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0; 100_000],
        vec![0xff; 100_000],
        // The beginning of a TLS handshake of the greatest length, and never more.
        [&[22, 3, 1, 0xff, 0xff][..], &[1, 0xff, 0xff, 0xff]].concat(),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(&bytes).await;
        idle.push(stream);
    }
    still_works(&mut client, "during").await;
    let grown = memory().saturating_sub(before);
    assert!(grown < idle.len() * 64 * 1024 + (32 << 20), "{grown} bytes for {} connections", idle.len());
    drop(idle);
    still_works(&mut client, "after").await;
    ledger.shutdown().await;
}

/// A TLS connection to a peer's port with HTTP/2 settled.
async fn http2(network: &Network, address: SocketAddr) -> tokio_rustls::client::TlsStream<TcpStream> {
    let org = network.material.org("Org1").unwrap();
    let mut roots = rustls::RootCertStore::empty();
    let pem = std::fs::read(org.tls_ca_cert()).unwrap();
    let root = pem::parse(pem).unwrap();
    roots.add(rustls::pki_types::CertificateDer::from(root.contents().to_vec())).unwrap();
    let mut config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    let name = "localhost".try_into().unwrap();
    tokio_rustls::TlsConnector::from(std::sync::Arc::new(config)).connect(name, stream).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_and_streams_that_end_nowhere_are_borne() {
    let network = Network::new(1).await;
    let ledger = network.serve().await;
    let mut client = network.client(&ledger, 1);
    still_works(&mut client, "before").await;
    let address = ledger.address("Org1MSP").unwrap();
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let frames: [&[u8]; 5] = [
        // Data of 16 MiB on a stream that was never opened.
        &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1],
        // Headers without an end.
        &[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82],
        // A window of nothing.
        &[0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        // A frame of an unknown kind, and a reset of a stream that is not there.
        &[0, 0, 0, 0xee, 0xff, 0, 0, 0, 0, 0, 0, 4, 3, 0, 0, 0, 0, 9, 0, 0, 0, 8],
        &[],
    ];
    let mut half_open = Vec::new();
    for _ in 0..count("LEDGER_STREAMS", 20) {
        for frame in frames {
            let mut stream = http2(&network, address).await;
            stream.write_all(&[PREFACE, frame].concat()).await.unwrap();
            let mut answer = [0; 1024];
            let _ = timeout(Duration::from_millis(5), stream.read(&mut answer)).await;
            half_open.push(stream);
        }
    }
    still_works(&mut client, "during").await;
    drop(half_open);
    still_works(&mut client, "after").await;
    ledger.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_garbage_are_answered() {
    let network = Network::new(2).await;
    let ledger = network.serve().await;
    let mut client = network.client(&ledger, 1);
    let proposed = client.propose(&["blind", "k", "v"]);
    let envelope = client.endorse(&proposed, &[]).await.unwrap();
    let mut runner = TestRunner::deterministic();
    let garbage = prop::collection::vec(any::<u8>(), 0..400);
    let place = (any::<prop::sample::Index>(), any::<u8>());
    for i in 0..count("LEDGER_GARBAGE", 300) {
        let mut draw = |source: &[u8]| match i % 2 {
            0 => garbage.new_tree(&mut runner).unwrap().current(),
            _ => {
                let mut bytes = source.to_vec();
                for _ in 0..3 {
                    let (at, byte) = place.new_tree(&mut runner).unwrap().current();
                    let at = at.index(bytes.len());
                    bytes[at] = byte;
                }
                bytes
            }
        };
        let proposal_bytes = draw(&proposed.signed.proposal_bytes);
        let signed = SignedProposal { signature: client.sign(&proposal_bytes), proposal_bytes };
        let id = String::new;
        let evaluate = EvaluateRequest { proposed_transaction: Some(signed.clone()), ..Default::default() };
        let endorse = EndorseRequest { proposed_transaction: Some(signed), ..Default::default() };
        let payload = draw(&envelope.payload);
        let prepared = Envelope { signature: client.sign(&payload), payload };
        let submit = SubmitRequest {
            transaction_id: id(),
            channel_id: "confab".into(),
            prepared_transaction: Some(prepared.clone()),
        };
        let request = draw(&proposed.signed.proposal_bytes);
        let signature = client.sign(&request);
        let status = SignedCommitStatusRequest { request: request.clone(), signature: signature.clone() };
        let events = SignedChaincodeEventsRequest { request, signature };
        let limit = Duration::from_secs(5);
        let answers = [
            timeout(limit, client.gateway.evaluate(evaluate)).await.expect("evaluate").err(),
            timeout(limit, client.gateway.endorse(endorse)).await.expect("endorse").err(),
            timeout(limit, client.gateway.submit(submit)).await.expect("submit").err(),
            timeout(limit, client.gateway.commit_status(status)).await.expect("status").err(),
            timeout(limit, client.gateway.chaincode_events(events)).await.expect("events").err(),
        ];
        for error in answers.into_iter().flatten() {
            // What a panic would look like.
            assert_ne!(error.code(), tonic::Code::Cancelled, "{error:?}");
            assert_ne!(error.code(), tonic::Code::Internal, "{error:?}");
        }
        let (blocks, _) = timeout(limit, client.blocks(prepared)).await.expect("deliver");
        assert!(blocks.is_empty());
    }
    still_works(&mut client, "after").await;
    ledger.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_beyond_the_limit_are_refused() {
    let network = Network::new(1).await;
    let ledger = network.serve().await;
    let mut client = network.client(&ledger, 1);
    let proposal_bytes = vec![0; fabric_protos::services::MAX_MESSAGE_SIZE + 1];
    let signed = SignedProposal { proposal_bytes, signature: Vec::new() };
    let request = EvaluateRequest { proposed_transaction: Some(signed), ..Default::default() };
    let error = client.gateway.evaluate(request).await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::OutOfRange, "{error:?}");
    still_works(&mut client, "after").await;
    ledger.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_for_a_peers_other_services_is_answered() {
    let network = Network::new(2).await;
    let ledger = network.serve().await;
    let (mut client, mut admin) = (network.client(&ledger, 1), network.admin(&ledger, 1));
    let proposed = client.propose(&["blind", "k", "v"]);
    let envelope = client.endorse(&proposed, &[]).await.unwrap();
    let definition = CheckCommitReadinessArgs {
        sequence: i64::MIN,
        name: "other".into(),
        version: "1".into(),
        validation_parameter: vec![1, 2, 3],
        ..Default::default()
    };
    let asked = Request {
        authentication: Some(AuthInfo { client_identity: client.creator.clone(), ..Default::default() }),
        queries: vec![Query {
            channel: "confab".into(),
            query: Some(query::Query::CcQuery(ChaincodeQuery {
                interests: vec![ChaincodeInterest {
                    chaincodes: vec![ChaincodeCall { name: "confab".into(), ..Default::default() }],
                }],
            })),
        }],
    };
    let functions = [
        "InstallChaincode",
        "QueryInstalledChaincode",
        "GetInstalledChaincodePackage",
        "ApproveChaincodeDefinitionForMyOrg",
        "QueryApprovedChaincodeDefinition",
        "QueryApprovedChaincodeDefinitions",
        "CheckCommitReadiness",
        "CommitChaincodeDefinition",
        "QueryChaincodeDefinition",
        "QueryChaincodeDefinitions",
    ];
    let mut runner = TestRunner::deterministic();
    let place = (any::<prop::sample::Index>(), any::<u8>());
    let limit = Duration::from_secs(5);
    for i in 0..count("LEDGER_GARBAGE", 300) {
        let mut draw = |source: &[u8]| {
            let mut bytes = source.to_vec();
            for _ in 0..i % 4 {
                let (at, byte) = place.new_tree(&mut runner).unwrap().current();
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        };
        let function = functions[i % functions.len()];
        let args = [function.as_bytes(), &draw(&definition.encode_to_vec())];
        for channel in ["confab", ""] {
            let proposed =
                admin.propose_bytes("_lifecycle", &args, |header| header.channel_id = channel.into());
            let answer = timeout(limit, admin.process(&proposed)).await.expect("lifecycle").unwrap();
            assert!([200, 404, 500].contains(&answer.response.unwrap().status));
        }
        let payload = draw(&asked.encode_to_vec());
        let request = SignedRequest { signature: client.sign(&payload), payload };
        let answer = timeout(limit, client.discovery.discover(request)).await.expect("discovery");
        if let Err(error) = answer {
            assert_eq!(error.code(), tonic::Code::Unknown, "{error:?}");
        }
        let payload = draw(&envelope.payload);
        let changed = Envelope { signature: client.sign(&payload), payload };
        let (status, _) = timeout(limit, client.broadcast(changed.clone())).await.expect("broadcast");
        assert_ne!(status, BlockStatus::InternalServerError);
        let (blocks, _) = timeout(limit, client.ordered_blocks(changed)).await.expect("deliver");
        assert!(blocks.is_empty());
    }
    // Policies of thousands of parts are not looked into.
    let wide = format!("OutOf(500,{})", vec!["'Org1MSP.peer'"; 1000].join(","));
    let wide = wide.parse::<msp::Policy>().unwrap().to_envelope();
    let mut asked = asked;
    let Some(query::Query::CcQuery(question)) = &mut asked.queries[0].query else { unreachable!() };
    question.interests[0].chaincodes[0].key_policies = vec![wide; 10];
    let payload = asked.encode_to_vec();
    let request = SignedRequest { signature: client.sign(&payload), payload };
    let answer = timeout(limit, client.discovery.discover(request)).await.expect("discovery").unwrap();
    assert!(matches!(answer.into_inner().results[0].result, Some(query_result::Result::Error(_))));
    let payload = vec![0; 1 << 20];
    let request = SignedRequest { signature: client.sign(&payload), payload };
    assert_eq!(client.discovery.discover(request).await.unwrap_err().code(), tonic::Code::OutOfRange);
    still_works(&mut client, "after").await;
    ledger.shutdown().await;
}
