//! The stream of blocks, against a peer's Deliver service in this process that tells what it is told to.

use async_trait::async_trait;
use fabric_protos::common::{
    Block, BlockData, BlockHeader, BlockMetadata, Envelope, Payload, Status as Fabric,
};
use fabric_protos::orderer::{SeekInfo, seek_position};
use fabric_protos::peer::{DeliverResponse, deliver_response};
use fabric_protos::prost::Message;
use fabric_protos::services::{Deliver, DeliverServer};
use fabric_protos::{common, hash};
use gateway_client::{
    BlockDefect, BlockEventsRequest, BlockStream, Checkpoint, Endpoint, Error, Gateway, Identity, KeySigner,
    Network, Options, Signer, User,
};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};

/// One answer of the peer.
#[derive(Clone, Debug)]
enum Say {
    Block(Block),
    Status(Fabric),
    /// Ends the connection with an error.
    Break,
    /// Says nothing more and keeps the connection.
    Wait,
}

/// A peer: what it says to the first, second … request.
#[derive(Clone, Default)]
struct Peer {
    sessions: Arc<Mutex<Vec<Vec<Say>>>>,
    /// The number that each request began with, and whether it asked for the past only.
    asked: Arc<Mutex<Vec<(u64, bool)>>>,
}

#[async_trait]
impl Deliver for Peer {
    async fn deliver(
        &self,
        request: Request<Streaming<Envelope>>,
    ) -> Result<Response<BoxStream<DeliverResponse>>, Status> {
        let envelope = request.into_inner().message().await?.ok_or_else(|| Status::internal("no request"))?;
        assert!(!envelope.signature.is_empty());
        let payload = Payload::decode(envelope.payload.as_slice()).unwrap();
        let seek = SeekInfo::decode(payload.data.as_slice()).unwrap();
        let Some(seek_position::Type::Specified(start)) = seek.start.unwrap().r#type else {
            panic!("no number")
        };
        let past = matches!(seek.stop.unwrap().r#type, Some(seek_position::Type::Newest(_)));
        self.asked.lock().unwrap().push((start.number, past));
        let session = {
            let mut sessions = self.sessions.lock().unwrap();
            if sessions.is_empty() { vec![Say::Wait] } else { sessions.remove(0) }
        };
        let wait = matches!(session.last(), Some(Say::Wait));
        let answers = session.into_iter().filter_map(|say| match say {
            Say::Block(block) => Some(Ok(deliver_response::Type::Block(block))),
            Say::Status(status) => Some(Ok(deliver_response::Type::Status(status as i32))),
            Say::Break => Some(Err(Status::unavailable("the peer shuts down"))),
            Say::Wait => None,
        });
        let answers = answers.map(|answer| answer.map(|answer| DeliverResponse { r#type: Some(answer) }));
        let answers = tokio_stream::iter(answers.collect::<Vec<_>>());
        Ok(Response::new(if wait {
            Box::pin(answers.chain(tokio_stream::pending()))
        } else {
            Box::pin(answers)
        }))
    }

    async fn deliver_filtered(
        &self,
        _: Request<Streaming<Envelope>>,
    ) -> Result<Response<BoxStream<DeliverResponse>>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn deliver_with_private_data(
        &self,
        _: Request<Streaming<Envelope>>,
    ) -> Result<Response<BoxStream<DeliverResponse>>, Status> {
        Err(Status::unimplemented("not needed"))
    }
}

/// A chain of `n` blocks from number 0 with one transaction each.
fn chain(n: u64) -> Vec<Block> {
    let mut previous_hash = Vec::new();
    (0..n)
        .map(|number| {
            let header = common::Header {
                channel_header: common::ChannelHeader {
                    r#type: common::HeaderType::Config as i32,
                    tx_id: format!("tx{number}"),
                    ..Default::default()
                }
                .encode_to_vec(),
                signature_header: Vec::new(),
            };
            let payload = Payload { header: Some(header), data: Vec::new() }.encode_to_vec();
            let data = BlockData { data: vec![Envelope { payload, signature: vec![] }.encode_to_vec()] };
            let header = BlockHeader {
                number,
                previous_hash: previous_hash.clone(),
                data_hash: hash::block_data_hash(&data).to_vec(),
            };
            previous_hash = hash::block_header_hash(&header).to_vec();
            let metadata = BlockMetadata { metadata: vec![vec![], vec![], vec![0]] };
            Block { header: Some(header), data: Some(data), metadata: Some(metadata) }
        })
        .collect()
}

fn say(blocks: &[Block], last: Say) -> Vec<Say> {
    blocks.iter().cloned().map(Say::Block).chain([last]).collect()
}

async fn serve(peer: Peer) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tonic::transport::Server::builder().add_service(DeliverServer::new(peer));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

async fn network(sessions: Vec<Vec<Say>>) -> (Network, Peer) {
    let peer = Peer { sessions: Arc::new(Mutex::new(sessions)), ..Peer::default() };
    let address = serve(peer.clone()).await.to_string();
    let made = rcgen::generate_simple_self_signed(vec!["client".into()]).unwrap();
    let user = User::from_pem("Org1MSP", &made.cert.pem(), &made.signing_key.serialize_pem()).unwrap();
    let gateway = Gateway::connect(&Endpoint { address, tls: None }, user, Options::default()).unwrap();
    (gateway.network("confab"), peer)
}

async fn numbers(stream: &mut BlockStream, n: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    while numbers.len() < n {
        numbers.push(stream.next().await.expect("the stream goes on").expect("the block is good").number);
    }
    numbers
}

/// The error that ends the stream of these sessions after `n` good blocks.
async fn ending(sessions: Vec<Vec<Say>>, from: Checkpoint, n: usize) -> Error {
    let (network, _) = network(sessions).await;
    let mut stream = network.blocks(from);
    numbers(&mut stream, n).await;
    let error = stream.next().await.unwrap().unwrap_err();
    assert!(stream.next().await.is_none(), "an error is the last item");
    error
}

#[tokio::test]
async fn reconnects_and_goes_on_with_the_next_block() {
    let chain = chain(6);
    let sessions = vec![
        say(&chain[..2], Say::Break),
        vec![Say::Status(Fabric::ServiceUnavailable)],
        vec![Say::Status(Fabric::NotFound)],
        vec![Say::Break],
        say(&chain[2..3], Say::Break),
        say(&chain[3..], Say::Wait),
    ];
    let (network, peer) = network(sessions).await;
    let mut stream = network.blocks(Checkpoint::start());
    assert_eq!(numbers(&mut stream, 6).await, [0, 1, 2, 3, 4, 5]);
    let asked: Vec<u64> = peer.asked.lock().unwrap().iter().map(|(start, _)| *start).collect();
    assert_eq!(asked, [0, 2, 2, 2, 2, 3]);
}

#[tokio::test]
async fn begins_after_the_checkpoints_transaction() {
    let chain = chain(5);
    let (network, peer) = network(vec![say(&chain[3..], Say::Wait)]).await;
    let mut stream = network.blocks(Checkpoint::after(3, "tx3"));
    let first = stream.next().await.unwrap().unwrap();
    assert_eq!((first.number, first.transactions.len(), first.fresh().len()), (3, 1, 0));
    let second = stream.next().await.unwrap().unwrap();
    assert_eq!((second.number, second.fresh().len()), (4, 1));
    assert_eq!(*peer.asked.lock().unwrap(), [(3, false)]);
}

#[tokio::test]
async fn a_checkpoint_of_another_chain_is_refused() {
    let error = ending(vec![say(&chain(5)[3..], Say::Wait)], Checkpoint::after(3, "other"), 0).await;
    assert!(matches!(error, Error::Chain(BlockDefect::Checkpoint { number: 3, .. })), "{error}");
}

#[tokio::test]
async fn a_broken_chain_ends_the_stream() {
    let mut other = chain(3);
    other[1].header.as_mut().unwrap().previous_hash = vec![7; 32];
    let error = ending(vec![say(&other, Say::Wait)], Checkpoint::start(), 1).await;
    assert!(matches!(error, Error::Chain(BlockDefect::PreviousHash { number: 1 })), "{error}");

    // Also where the connection was lost in between.
    let sessions = vec![say(&other[..1], Say::Break), say(&other[1..], Say::Wait)];
    let error = ending(sessions, Checkpoint::start(), 1).await;
    assert!(matches!(error, Error::Chain(BlockDefect::PreviousHash { number: 1 })), "{error}");

    let error =
        ending(vec![say(&[chain(1).remove(0), chain(3).remove(2)], Say::Wait)], Checkpoint::start(), 1).await;
    assert!(matches!(error, Error::Chain(BlockDefect::Number { number: 2, expected: 1 })), "{error}");

    let mut forged = chain(2);
    forged[1].data.as_mut().unwrap().data.push(b"smuggled in".to_vec());
    let error = ending(vec![say(&forged, Say::Wait)], Checkpoint::start(), 1).await;
    assert!(matches!(error, Error::Chain(BlockDefect::DataHash { number: 1 })), "{error}");
    assert!(error.to_string().contains("another organisation's peer"), "{error}");
}

#[tokio::test]
async fn a_reader_who_may_not_read_is_told() {
    let error = ending(vec![vec![Say::Status(Fabric::Forbidden)]], Checkpoint::start(), 0).await;
    assert_eq!(error.call().unwrap().code, tonic::Code::PermissionDenied);
    assert!(error.to_string().contains("FORBIDDEN") && error.to_string().contains("confab"), "{error}");
}

#[tokio::test]
async fn the_past_ends() {
    let chain = chain(4);
    let success = Say::Status(Fabric::Success);
    let (network, peer) = network(vec![say(&chain[..2], Say::Break), say(&chain[2..], success)]).await;
    let mut stream = network.past_blocks(Checkpoint::start());
    assert_eq!(numbers(&mut stream, 4).await, [0, 1, 2, 3]);
    assert!(stream.next().await.is_none());
    assert_eq!(*peer.asked.lock().unwrap(), [(0, true), (2, true)]);
}

/// A stream over one connection does not hide that it was lost.
#[tokio::test]
async fn the_end_of_the_connection_is_an_error_of_a_requests_stream() {
    for (last, expected) in [
        (Say::Break, "the peer shuts down"),
        (Say::Status(Fabric::Success), "SUCCESS"),
        (Say::Status(Fabric::ServiceUnavailable), "SERVICE_UNAVAILABLE"),
    ] {
        let (network, peer) = network(vec![say(&chain(2), last)]).await;
        let mut stream = network.block_events_request(Checkpoint::start()).events().await.unwrap();
        assert_eq!(numbers(&mut stream, 2).await, [0, 1]);
        let error = stream.next().await.unwrap().unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(stream.next().await.is_none() && peer.asked.lock().unwrap().len() == 1);
    }
}

/// A request of a user without a key, signed elsewhere, read by a process that has only the bytes.
#[tokio::test]
async fn a_request_that_was_signed_elsewhere_is_read() {
    let peer = Peer { sessions: Arc::new(Mutex::new(vec![say(&chain(2), Say::Wait)])), ..Peer::default() };
    let address = serve(peer.clone()).await.to_string();
    let made = rcgen::generate_simple_self_signed(vec!["client".into()]).unwrap();
    let identity = Identity::new("Org1MSP", made.cert.pem()).unwrap();
    let signer = KeySigner::from_pem(made.signing_key.serialize_pem()).unwrap();
    let endpoint = Endpoint { address, tls: None };
    let gateway = Gateway::connect(&endpoint, User::without_signer(identity), Options::default()).unwrap();

    let request = gateway.network("confab").block_events_request(Checkpoint::start());
    let unsigned = request.to_bytes();
    let again = BlockEventsRequest::<gateway_client::Block>::from_bytes(&gateway, &unsigned).unwrap();
    let Err(error) = again.events().await else { panic!("nobody signed it") };
    assert!(matches!(error, Error::Signer(_)), "{error}");

    let signature = signer.sign(&request.digest()).await.unwrap();
    let signed = request.with_signature(signature).to_bytes();
    let again = BlockEventsRequest::<gateway_client::Block>::from_bytes(&gateway, &signed).unwrap();
    let mut stream = again.events().await.unwrap();
    assert_eq!(numbers(&mut stream, 2).await, [0, 1]);
    assert_eq!(*peer.asked.lock().unwrap(), [(0, false)]);

    for damaged in [&signed[..signed.len() / 2], b"", b"\xff\xff\xff\xff"] {
        let error = BlockEventsRequest::<gateway_client::Block>::from_bytes(&gateway, damaged).unwrap_err();
        assert!(matches!(error, Error::Bytes { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_slow_reader_is_waited_for_and_a_gone_one_is_not() {
    let chain = chain(50);
    let (network, peer) = network(vec![say(&chain, Say::Break)]).await;
    let mut stream = network.blocks(Checkpoint::start());
    assert_eq!(numbers(&mut stream, 3).await, [0, 1, 2]);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(numbers(&mut stream, 47).await.last(), Some(&49));
    drop(stream);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let asked = peer.asked.lock().unwrap().len();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(peer.asked.lock().unwrap().len(), asked, "nobody listens, nothing is asked");
}
