//! Bytes and streams that no peer would send, on the chaincode's port.

use crate::peer::{Peer, call, dial, message};
use crate::{GRACE, Running};
use fabric_protos::peer::ChaincodeMessage;
use fabric_protos::peer::chaincode_message::Type;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tonic::Code;

async fn still_works(peer: &Peer, tx: &str) {
    assert_eq!(peer.call(tx, &["get and put", "k", "v"]).await.payload, b"done");
}

#[tokio::test]
async fn connections_that_speak_no_grpc_are_borne() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let frames: [&[u8]; 4] = [
        // Data of 16 MiB on a stream that was never opened.
        &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1],
        // Headers without an end.
        &[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82],
        // A window of nothing.
        &[0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        // A frame of an unknown kind, and a reset of a stream that is not there.
        &[0, 0, 0, 0xee, 0xff, 0, 0, 0, 0, 0, 0, 4, 3, 0, 0, 0, 0, 9, 0, 0, 0, 8],
    ];
    let running = Running::start(GRACE, None).await;
    let peer = running.peer().await;
    let mut open = Vec::new();
    for _ in 0..1000 {
        open.push(TcpStream::connect(&running.address).await.unwrap());
    }
    let other = [b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0; 100_000], vec![0xff; 100_000]];
    for bytes in other.into_iter().chain(frames.map(|frame| [PREFACE, frame].concat())) {
        let mut stream = TcpStream::connect(&running.address).await.unwrap();
        // The server may hang up in the middle.
        let _ = stream.write_all(&bytes).await;
        open.push(stream);
    }
    still_works(&peer, "1").await;
    still_works(&running.peer().await, "2").await;
    drop(open);
    still_works(&peer, "3").await;
}

#[tokio::test(start_paused = true)]
async fn streams_that_nobody_gets_ready_keep_the_peers_out_for_a_moment_only() {
    let running = Running::start(GRACE, None).await;
    let peer = running.peer().await;
    let mut open = Vec::new();
    let refused = loop {
        // Few on each connection, as many as there may be on all of them.
        let channel = running.channel().await;
        let mut client = fabric_protos::services::ChaincodeClient::new(channel.clone());
        match client.connect(tokio_stream::pending()).await {
            Ok(stream) => open.push((channel, stream)),
            Err(status) => break status,
        }
    };
    assert_eq!((refused.code(), open.len()), (Code::ResourceExhausted, 255));
    still_works(&peer, "1").await;
    tokio::time::sleep(Duration::from_secs(21)).await;
    still_works(&running.peer().await, "2").await;
}

#[tokio::test]
async fn messages_of_garbage_are_answered_or_end_their_stream() {
    let running = Running::start(GRACE, None).await;
    let sound = call("tx", &[b"get", b"k"], b"creator", BTreeMap::new());
    let proposal = sound.proposal.as_ref().unwrap().proposal_bytes.clone();
    let mut runner = TestRunner::deterministic();
    let garbage = prop::collection::vec(any::<u8>(), 1..400);
    let place = (any::<prop::sample::Index>(), any::<u8>());
    let mut draw = |source: &[u8], change: bool| {
        if !change {
            return garbage.new_tree(&mut runner).unwrap().current();
        }
        let mut bytes = source.to_vec();
        for _ in 0..3 {
            let (at, byte) = place.new_tree(&mut runner).unwrap().current();
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    };
    for n in 0..200 {
        let (to_chaincode, mut from_chaincode) = dial(running.channel().await).await;
        let change = n % 2 == 0;
        let mut transaction = sound.clone();
        match n % 3 {
            0 => transaction.payload = draw(&sound.payload, change),
            _ => transaction.proposal.as_mut().unwrap().proposal_bytes = draw(&proposal, change),
        }
        for message in [
            message(Type::Registered),
            ChaincodeMessage { payload: draw(b"", false), ..message(Type::Ready) },
            transaction,
            ChaincodeMessage { payload: draw(b"", false), txid: "tx".into(), ..message(Type::Response) },
            ChaincodeMessage { r#type: n, ..message(Type::Undefined) },
        ] {
            if to_chaincode.send(message).await.is_err() {
                break;
            }
        }
        // The call is answered, unless something else ends the stream first.
        let end = async {
            while let Some(Ok(said)) = from_chaincode.next().await {
                if said.r#type() == Type::GetState {
                    let answer = ChaincodeMessage { r#type: Type::Response.into(), ..said };
                    let _ = to_chaincode.send(answer).await;
                } else if matches!(said.r#type(), Type::Completed | Type::Error) {
                    break;
                }
            }
        };
        timeout(GRACE, end).await.expect("an answer or an end");
    }
    still_works(&running.peer().await, "after").await;
}
