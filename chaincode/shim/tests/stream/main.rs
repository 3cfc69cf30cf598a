//! The chaincode stream from a peer's point of view.

mod malformed;
mod peer;
mod state;
mod tls;

use fabric_protos::msp::SerializedIdentity;
use fabric_protos::peer::chaincode_message::Type;
use fabric_protos::peer::{ChaincodeAdditionalParams, ChaincodeMessage};
use fabric_protos::prost::Message;
use peer::{Peer, call, dial, message};
use shim::{Builder, Contract, Response, Server, Stub, StubError, Tls, composite_key};
use std::collections::BTreeMap;
use std::sync::mpsc as blocking;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;
use tonic::Code;
use tonic::transport::Channel;

/// A contract that does what it is told, and tells the test of errors.
struct Probe {
    errors: blocking::Sender<StubError>,
}

impl Contract for Probe {
    fn invoke(&self, stub: &Stub) -> Response {
        self.run(stub).unwrap_or_else(|e| {
            self.errors.send(e.clone()).unwrap();
            Response::error(e)
        })
    }
}

impl Probe {
    fn run(&self, stub: &Stub) -> Result<Response, StubError> {
        let text = |index| stub.arg_str(index);
        match stub.function()? {
            "put" => stub.put_state(text(1)?, text(2)?)?,
            "get" => return Ok(Response::ok(stub.get_state(text(1)?)?.unwrap_or_default())),
            "get and put" => {
                stub.get_state(text(1)?)?;
                stub.put_state(text(1)?, text(2)?)?;
            }
            "fill" => {
                for n in 0..text(1)?.parse().unwrap() {
                    stub.put_state(&format!("key{n:05}"), format!("value {n}"))?;
                }
                stub.del_state("key00003")?;
            }
            "many" => {
                let count = text(1)?.parse().unwrap();
                let keys: Vec<String> = (0..count).map(|n| format!("key{n:05}")).collect();
                let values = stub.get_states(&keys)?;
                let there = values.iter().flatten().count();
                assert_eq!(values[4].as_deref(), Some(b"value 4".as_slice()));
                assert_eq!(values[3], None);
                return Ok(Response::ok(there.to_string()));
            }
            "range" => {
                let take = text(3)?.parse().unwrap();
                let keys: Result<Vec<String>, _> = stub
                    .get_state_by_range(text(1)?, text(2)?)?
                    .take(take)
                    .map(|kv| kv.map(|kv| kv.key))
                    .collect();
                return Ok(Response::ok(keys?.join(",")));
            }
            "composite" => {
                for attributes in [["a", "1"], ["a", "2"], ["b", "1"]] {
                    stub.put_state(&composite_key("t", &attributes)?, attributes.concat())?;
                }
            }
            "partial" => {
                let found = stub.get_state_by_partial_composite_key("t", &[text(1)?])?;
                let values: Result<Vec<_>, _> = found.map(|kv| kv.map(|kv| kv.value)).collect();
                return Ok(Response::ok(values?.concat()));
            }
            "event" => {
                stub.set_event("first", "1")?;
                stub.set_event("second", "2")?;
            }
            "event and fail" => {
                stub.set_event("first", "1")?;
                stub.put_state("failed", "1")?;
                return Ok(Response::with_status(404, "not here"));
            }
            "context" => {
                let creator = stub.creator()?;
                let seen = format!(
                    "{} {} {} {} {:?} {}",
                    stub.tx_id(),
                    stub.channel_id(),
                    stub.timestamp().millis(),
                    creator.msp_id(),
                    stub.transient().get("secret"),
                    stub.params().len(),
                );
                return Ok(Response::ok(seen));
            }
            "panic" => panic!("as told"),
            "sleep" => std::thread::sleep(Duration::from_millis(text(1)?.parse().unwrap())),
            "large" => return Ok(Response::ok(vec![7; text(1)?.parse().unwrap()])),
            "errors" => {
                let key = |result: Result<(), StubError>| matches!(result, Err(StubError::Key { .. }));
                assert!(key(stub.put_state("", "x")) && key(stub.del_state("")));
                assert!(key(stub.get_state("").map(drop)) && key(stub.get_states(&["a", ""]).map(drop)));
                assert!(key(stub.get_state_by_range("\0", "").map(drop)));
                assert_eq!(stub.put_state("k", ""), Err(StubError::EmptyValue("k".into())));
                assert_eq!(stub.set_event("", "x"), Err(StubError::EventName));
                assert!(matches!(stub.put_state("k", vec![1; 100 << 20]), Err(StubError::TooLarge { .. })));
                assert_eq!(stub.arg_str(9), Err(StubError::Argument { index: 9 }));
                assert!(matches!(stub.creator(), Err(StubError::Identity(_))));
            }
            other => return state::call(stub, other),
        }
        Ok(Response::ok("done"))
    }
}

/// A server that runs, and how to stop it.
struct Running {
    address: String,
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<(), shim::ServeError>>,
    errors: blocking::Receiver<StubError>,
}

impl Running {
    async fn start(grace: Duration, tls: Option<Tls>) -> Self {
        Self::start_with(|server| match tls {
            Some(tls) => server.grace(grace).tls(tls),
            None => server.grace(grace),
        })
        .await
    }

    async fn start_with(configure: impl FnOnce(Builder) -> Builder) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stop, stopped) = oneshot::channel();
        let (sender, errors) = blocking::channel();
        let builder = configure(Server::builder(Probe { errors: sender }).package_id("probe_1:abc"));
        let server = tokio::spawn(builder.serve(listener, async { stopped.await.unwrap() }));
        Self { address, stop, server, errors }
    }

    async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }

    async fn peer(&self) -> Peer {
        Peer::connect(self.channel().await, None).await
    }
}

const GRACE: Duration = Duration::from_secs(5);

fn capabilities(reads: u32, writes: u32) -> Option<ChaincodeAdditionalParams> {
    Some(ChaincodeAdditionalParams {
        use_write_batch: writes > 0,
        max_size_write_batch: writes,
        use_get_multiple_keys: reads > 0,
        max_size_get_multiple_keys: reads,
    })
}

#[tokio::test]
async fn a_write_is_read_by_the_next_call_and_not_by_its_own() {
    let running = Running::start(GRACE, None).await;
    let peer = running.peer().await;
    assert_eq!(peer.call("1", &["get", "k"]).await.payload, b"");
    assert_eq!(peer.call("2", &["get and put", "k", "v"]).await.payload, b"done");
    assert_eq!(peer.call("3", &["get", "k"]).await.payload, b"v");
    // The same transaction again, after it has ended.
    assert_eq!(peer.call("3", &["get", "k"]).await.payload, b"v");
}

#[tokio::test]
async fn more_calls_than_threads_run_on_one_stream_and_two_peers_at_once() {
    let running = Running::start(GRACE, None).await;
    let peers = [running.peer().await, running.peer().await];
    for peer in &peers {
        let calls = (0..200).map(async |n| {
            let (tx, key, value) = (format!("tx{n}"), format!("k{n}"), format!("v{n}"));
            assert_eq!(peer.call(&tx, &["get and put", &key, &value]).await.payload, b"done");
        });
        futures_join(calls).await;
    }
    for peer in &peers {
        let ledger = peer.ledger.lock().unwrap();
        assert!((0..200).all(|n| ledger.state[&format!("k{n}")] == format!("v{n}").into_bytes()));
    }
}

/// Polls all at once on this task.
async fn futures_join(futures: impl Iterator<Item = impl Future<Output = ()>>) {
    let mut futures: Vec<_> = futures.map(|future| Some(Box::pin(future))).collect();
    std::future::poll_fn(|context| {
        for slot in &mut futures {
            if slot.as_mut().is_some_and(|future| future.as_mut().poll(context).is_ready()) {
                *slot = None;
            }
        }
        if futures.iter().all(Option::is_none) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}

#[tokio::test]
async fn old_peers_get_single_requests_and_new_ones_batches() {
    let running = Running::start(GRACE, None).await;
    // Reads and writes per message, and how many messages 250 keys and a deletion then take.
    for (params, reads, writes) in [
        (None, (Type::GetState, 250), (Type::PutState, 250)),
        (capabilities(0, 0), (Type::GetState, 250), (Type::PutState, 250)),
        (capabilities(100, 100), (Type::GetStateMultiple, 3), (Type::WriteBatchState, 3)),
        // However many the peer would take, an answer must fit a message.
        (capabilities(100_000, 100_000), (Type::GetStateMultiple, 1), (Type::WriteBatchState, 1)),
    ] {
        let peer = Peer::connect(running.channel().await, params.clone()).await;
        assert_eq!(peer.call("1", &["fill", "250"]).await.status, 200);
        assert_eq!(peer.call("2", &["many", "250"]).await.payload, b"249");
        let ledger = peer.ledger.lock().unwrap();
        assert_eq!(ledger.state.len(), 249);
        assert_eq!(ledger.count(reads.0), reads.1, "{params:?}");
        assert_eq!(ledger.count(writes.0), writes.1, "{params:?}");
        assert_eq!(ledger.count(Type::DelState), usize::from(writes.0 == Type::PutState));
    }
    let peer = Peer::connect(running.channel().await, capabilities(100_000, 100_000)).await;
    peer.call("1", &["fill", "600"]).await;
    peer.call("2", &["many", "600"]).await;
    assert_eq!(peer.ledger.lock().unwrap().count(Type::GetStateMultiple), 3);
}

#[tokio::test]
async fn ranges_lose_no_key_and_are_closed_only_when_left_early() {
    let running = Running::start(GRACE, None).await;
    let peer = running.peer().await;
    peer.call("fill", &["fill", "250"]).await;
    let all: Vec<String> = (0..250).filter(|&n| n != 3).map(|n| format!("key{n:05}")).collect();
    let range = async |tx, start, end, take| {
        let keys = peer.call(tx, &["range", start, end, take]).await.payload;
        String::from_utf8(keys).unwrap().split(',').map(String::from).collect::<Vec<_>>()
    };
    assert_eq!(range("1", "", "", "1000").await, all);
    assert_eq!(range("2", "key00050", "key00150", "1000").await, all[49..149]);
    assert_eq!(peer.ledger.lock().unwrap().count(Type::QueryStateClose), 0);
    assert_eq!(range("3", "", "", "150").await, all[..150]);
    assert_eq!(peer.ledger.lock().unwrap().count(Type::QueryStateClose), 1);
    assert_eq!(range("4", "", "", "100").await, all[..100]);
    assert_eq!(peer.ledger.lock().unwrap().count(Type::QueryStateClose), 2);
    assert_eq!(range("5", "x", "", "1000").await, [""]);

    peer.call("6", &["composite"]).await;
    assert_eq!(peer.call("7", &["partial", "a"]).await.payload, b"a1a2");
    assert_eq!(range("8", "", "", "1000").await, all);
}

#[tokio::test]
async fn the_last_event_goes_with_the_answer() {
    let running = Running::start(GRACE, None).await;
    let peer = running.peer().await;
    let outcome = peer.send(call("1", &[b"event"], b"", BTreeMap::new())).await;
    let event = outcome.chaincode_event.unwrap();
    assert_eq!((event.event_name.as_str(), event.payload.as_slice()), ("second", b"2".as_slice()));
}

#[tokio::test]
async fn a_failed_call_writes_nothing() {
    let running = Running::start(GRACE, None).await;
    for params in [None, capabilities(10, 10)] {
        let peer = Peer::connect(running.channel().await, params.clone()).await;
        let response = peer.call("1", &["event and fail"]).await;
        assert_eq!((response.status, response.message.as_str()), (404, "not here"));
        assert!(peer.ledger.lock().unwrap().state.is_empty());
    }
}

#[tokio::test]
async fn the_contract_sees_caller_time_and_transient_data() {
    let running = Running::start(GRACE, None).await;
    let peer = running.peer().await;
    let certificate = rcgen::generate_simple_self_signed(["somebody".into()]).unwrap().cert;
    let creator = SerializedIdentity { mspid: "Org1MSP".into(), id_bytes: certificate.pem().into_bytes() };
    let transient = BTreeMap::from([("secret".to_owned(), vec![1, 2])]);
    let outcome = peer.send(call("tx", &[b"context", b"a", b"b"], &creator.encode_to_vec(), transient)).await;
    let response = fabric_protos::peer::Response::decode(outcome.payload.as_slice()).unwrap();
    assert_eq!(response.payload, b"tx channel 1700000000500 Org1MSP Some([1, 2]) 2");
}

#[tokio::test]
async fn a_panic_becomes_an_answer_and_the_stream_goes_on() {
    let running = Running::start(GRACE, None).await;
    let peer = running.peer().await;
    let response = peer.call("1", &["panic"]).await;
    assert_eq!((response.status, response.message.as_str()), (500, "the contract panicked"));
    assert_eq!(peer.call("2", &["get", "k"]).await.status, 200);
}

#[tokio::test]
async fn bad_requests_are_refused_before_they_are_sent() {
    let running = Running::start(GRACE, None).await;
    for params in [None, capabilities(10, 10)] {
        let peer = Peer::connect(running.channel().await, params.clone()).await;
        assert_eq!(peer.call("1", &["errors"]).await.payload, b"done");
        assert_eq!(peer.ledger.lock().unwrap().seen, [Type::Completed]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_peers_refusal_reaches_the_contract() {
    let running = Running::start(GRACE, None).await;
    let peer = running.peer().await;
    peer.ledger.lock().unwrap().refused_key = Some("k".into());
    assert_eq!(peer.call("1", &["get", "k"]).await.message, "the peer refused: no such luck");
    assert_eq!(running.errors.recv().unwrap(), StubError::Refused("no such luck".into()));
}

#[tokio::test]
async fn large_values_pass_and_too_large_answers_do_not_break_the_stream() {
    let running = Running::start(GRACE, None).await;
    let peer = running.peer().await;
    let value = "x".repeat(5 << 20);
    peer.call("1", &["put", "k", &value]).await;
    assert_eq!(peer.call("2", &["get", "k"]).await.payload.len(), 5 << 20);
    assert_eq!(peer.call("3", &["large", "60000000"]).await.payload.len(), 60_000_000);
    let outcome = peer.send(call("4", &[b"large", b"104857600"], b"", BTreeMap::new())).await;
    assert_eq!(outcome.r#type(), Type::Error);
    assert_eq!(peer.call("5", &["get", "absent"]).await.status, 200);
}

#[tokio::test]
async fn messages_without_a_place_end_the_stream_with_a_reason() {
    let running = Running::start(GRACE, None).await;
    let early = call("tx", &[b"get", b"k"], b"", BTreeMap::new());
    for said in [
        vec![early],
        vec![message(Type::Ready)],
        vec![message(Type::Registered), message(Type::Registered)],
        vec![message(Type::Registered), message(Type::Ready), message(Type::Completed)],
        vec![ChaincodeMessage { r#type: 77, ..Default::default() }],
    ] {
        let (to_chaincode, mut from_chaincode) = dial(running.channel().await).await;
        for message in said {
            to_chaincode.send(message).await.unwrap();
        }
        assert_eq!(from_chaincode.next().await.unwrap().unwrap().r#type(), Type::Register);
        let error = from_chaincode.next().await.unwrap().unwrap();
        assert_eq!(error.r#type(), Type::Error);
        assert!(String::from_utf8(error.payload).unwrap().contains("has no place in state"));
        let status = from_chaincode.next().await.unwrap().unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition);
    }
}

#[tokio::test]
async fn odd_messages_harm_no_other_call() {
    let running = Running::start(GRACE, None).await;
    let peer = running.peer().await;
    // An answer that nobody waits for, and a call that cannot be read.
    peer.to_chaincode.send(ChaincodeMessage { txid: "?".into(), ..message(Type::Response) }).await.unwrap();
    for broken in [
        ChaincodeMessage { proposal: None, ..call("b", &[b"get"], b"", BTreeMap::new()) },
        ChaincodeMessage { payload: vec![0xff; 9], ..call("b", &[b"get"], b"", BTreeMap::new()) },
    ] {
        assert_eq!(peer.send(broken).await.r#type(), Type::Error);
    }
    assert_eq!(peer.call("1", &["get", "k"]).await.status, 200);
    // Echoed, though not before the answer above.
    peer.to_chaincode.send(message(Type::Keepalive)).await.unwrap();
    peer.call("2", &["get", "k"]).await;
    assert_eq!(peer.ledger.lock().unwrap().count(Type::Keepalive), 1);
}

#[tokio::test]
async fn a_transaction_that_runs_is_not_run_twice() {
    let running = Running::start(GRACE, None).await;
    let peer = running.peer().await;
    let slow = call("tx", &[b"sleep", b"300"], b"", BTreeMap::new());
    peer.to_chaincode.send(slow.clone()).await.unwrap();
    let second = peer.send(slow).await;
    assert_eq!(second.r#type(), Type::Error);
    assert_eq!(second.payload, b"this transaction is already running");
}

#[tokio::test]
async fn shutdown_lets_calls_finish_and_takes_no_new_ones() {
    let running = Running::start(GRACE, None).await;
    let peer = running.peer().await;
    let slow = peer.send(call("slow", &[b"sleep", b"500"], b"", BTreeMap::new()));
    let late = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        running.stop.send(()).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        peer.send(call("late", &[b"get", b"k"], b"", BTreeMap::new())).await
    };
    let (slow, late) = tokio::join!(slow, late);
    assert_eq!(slow.r#type(), Type::Completed);
    assert_eq!((late.r#type(), late.payload), (Type::Error, b"the chaincode is shutting down".to_vec()));
    tokio::time::timeout(Duration::from_secs(1), running.server).await.unwrap().unwrap().unwrap();
    peer.reader.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_is_bounded_when_a_peer_never_answers() {
    let running = Running::start(Duration::from_millis(300), None).await;
    let (idle, stuck) = (running.peer().await, running.peer().await);
    stuck.ledger.lock().unwrap().mute_key = Some("k".into());
    stuck.to_chaincode.send(call("tx", &[b"get", b"k"], b"", BTreeMap::new())).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let began = Instant::now();
    running.stop.send(()).unwrap();
    running.server.await.unwrap().unwrap();
    assert!((300..2000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    // The contract learnt of it, on its own thread.
    assert_eq!(running.errors.recv_timeout(GRACE).unwrap(), StubError::Disconnected);
    idle.reader.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_peer_is_gone_is_told_so() {
    let running = Running::start(GRACE, None).await;
    let peer = running.peer().await;
    peer.ledger.lock().unwrap().mute_key = Some("k".into());
    peer.to_chaincode.send(call("tx", &[b"get", b"k"], b"", BTreeMap::new())).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    peer.reader.abort();
    drop(peer.to_chaincode);
    assert_eq!(running.errors.recv_timeout(GRACE).unwrap(), StubError::Disconnected);
    // And the server serves on.
    assert_eq!(running.peer().await.call("1", &["get", "k"]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_stream_fails_its_calls_at_once_and_starts_none_of_those_that_wait() {
    let running = Running::start_with(|server| server.max_calls(8)).await;
    let peer = running.peer().await;
    peer.ledger.lock().unwrap().mute_key = Some("k".into());
    for n in 0..50 {
        peer.to_chaincode.send(call(&n.to_string(), &[b"get", b"k"], b"", BTreeMap::new())).await.unwrap();
    }
    while peer.ledger.lock().unwrap().count(Type::GetState) < 8 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    peer.reader.abort();
    drop(peer.to_chaincode);
    for _ in 0..8 {
        assert_eq!(running.errors.recv_timeout(GRACE).unwrap(), StubError::Disconnected);
    }
    // With the server the contract goes, and nobody is left who could tell of more.
    running.stop.send(()).unwrap();
    running.server.await.unwrap().unwrap();
    assert_eq!(running.errors.recv_timeout(GRACE), Err(blocking::RecvTimeoutError::Disconnected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_though_a_contract_computes_on() {
    let running = Running::start(Duration::from_millis(100), None).await;
    let peer = running.peer().await;
    let slow = call("slow", &[b"sleep", b"6000"], b"", BTreeMap::new());
    peer.to_chaincode.send(slow).await.unwrap();
    peer.to_chaincode.send(message(Type::Keepalive)).await.unwrap();
    while peer.ledger.lock().unwrap().count(Type::Keepalive) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    running.stop.send(()).unwrap();
    tokio::time::timeout(GRACE, peer.reader).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn calls_beyond_those_that_may_wait_are_refused() {
    let running = Running::start_with(|server| server.max_calls(1).max_waiting(2)).await;
    let peer = running.peer().await;
    for n in 0..3 {
        let slow = call(&n.to_string(), &[b"sleep", b"300"], b"", BTreeMap::new());
        peer.to_chaincode.send(slow).await.unwrap();
    }
    let refused = peer.send(call("late", &[b"get", b"k"], b"", BTreeMap::new())).await;
    assert_eq!(refused.r#type(), Type::Error);
    assert_eq!(refused.payload, b"the chaincode has too many calls to answer");
    while peer.ledger.lock().unwrap().count(Type::Completed) < 3 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(peer.call("late", &["get", "k"]).await.status, 200, "there is room again");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_gets_ready_is_left() {
    let running = Running::start(GRACE, None).await;
    for said in [vec![], vec![message(Type::Registered)]] {
        let (to_chaincode, mut from_chaincode) = dial(running.channel().await).await;
        for message in said {
            to_chaincode.send(message).await.unwrap();
        }
        assert_eq!(from_chaincode.next().await.unwrap().unwrap().r#type(), Type::Register);
        assert_eq!(from_chaincode.next().await.unwrap().unwrap_err().code(), Code::DeadlineExceeded);
    }
    let peer = running.peer().await;
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(peer.call("1", &["get", "k"]).await.status, 200, "one that is ready may be idle");
}

#[tokio::test]
async fn a_server_needs_a_package_id() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let probe = Probe { errors: blocking::channel().0 };
    let refused = Server::builder(probe).serve(listener, std::future::pending()).await;
    assert!(matches!(refused, Err(shim::ServeError::NoPackageId)));
}
