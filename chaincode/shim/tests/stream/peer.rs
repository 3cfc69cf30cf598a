//! A peer for tests: it dials the chaincode over gRPC and keeps state in memory.

use fabric_protos::common::{ChannelHeader, Header, HeaderType, SignatureHeader};
use fabric_protos::peer::chaincode_message::Type;
use fabric_protos::peer::{self, ChaincodeMessage, write_record};
use fabric_protos::prost::Message;
use fabric_protos::prost_types::Timestamp;
use fabric_protos::queryresult::Kv;
use fabric_protos::services::{ChaincodeClient, MAX_MESSAGE_SIZE};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

/// Results per page of a range, as Fabric's.
const PAGE: usize = 100;

/// What the peer has and has seen.
#[derive(Default)]
pub struct Ledger {
    pub state: BTreeMap<String, Vec<u8>>,
    /// Writes of calls that are not committed yet, by transaction.
    pending: HashMap<String, Vec<(String, Vec<u8>)>>,
    ranges: HashMap<String, Vec<Kv>>,
    /// The types of all messages that the chaincode sent.
    pub seen: Vec<Type>,
    waiting: HashMap<String, oneshot::Sender<ChaincodeMessage>>,
    /// Requests for this key are never answered.
    pub mute_key: Option<String>,
    /// Requests for this key are refused.
    pub refused_key: Option<String>,
}

impl Ledger {
    pub fn count(&self, kind: Type) -> usize {
        self.seen.iter().filter(|&&seen| seen == kind).count()
    }
}

/// The peer's end of a stream that is ready for calls.
pub struct Peer {
    pub ledger: Arc<Mutex<Ledger>>,
    pub to_chaincode: mpsc::Sender<ChaincodeMessage>,
    /// Ends with the stream, and tells how it ended.
    pub reader: JoinHandle<Result<(), Status>>,
}

/// The stream before anything was said.
pub async fn dial(channel: Channel) -> (mpsc::Sender<ChaincodeMessage>, Streaming<ChaincodeMessage>) {
    let (to_chaincode, messages) = mpsc::channel(64);
    let mut client = ChaincodeClient::new(channel).max_decoding_message_size(MAX_MESSAGE_SIZE);
    let from_chaincode = client.connect(ReceiverStream::new(messages)).await.unwrap().into_inner();
    (to_chaincode, from_chaincode)
}

pub fn message(kind: Type) -> ChaincodeMessage {
    ChaincodeMessage { r#type: kind.into(), ..Default::default() }
}

/// A call by `creator` with the timestamp 1700000000.5 s.
pub fn call(
    tx: &str,
    args: &[&[u8]],
    creator: &[u8],
    transient: BTreeMap<String, Vec<u8>>,
) -> ChaincodeMessage {
    let channel_header = ChannelHeader {
        r#type: HeaderType::EndorserTransaction.into(),
        timestamp: Some(Timestamp { seconds: 1_700_000_000, nanos: 500_000_000 }),
        ..Default::default()
    };
    let signature_header = SignatureHeader { creator: creator.to_vec(), nonce: vec![1; 24] };
    let header = Header {
        channel_header: channel_header.encode_to_vec(),
        signature_header: signature_header.encode_to_vec(),
    };
    let payload = peer::ChaincodeProposalPayload { transient_map: transient, ..Default::default() };
    let proposal = peer::Proposal {
        header: header.encode_to_vec(),
        payload: payload.encode_to_vec(),
        ..Default::default()
    };
    let signed = peer::SignedProposal { proposal_bytes: proposal.encode_to_vec(), signature: vec![] };
    let input =
        peer::ChaincodeInput { args: args.iter().map(|arg| arg.to_vec()).collect(), ..Default::default() };
    ChaincodeMessage {
        payload: input.encode_to_vec(),
        txid: tx.into(),
        channel_id: "channel".into(),
        proposal: Some(signed),
        ..message(Type::Transaction)
    }
}

impl Peer {
    /// Connects and goes through the registration.
    pub async fn connect(channel: Channel, offer: Option<peer::ChaincodeAdditionalParams>) -> Self {
        let (to_chaincode, mut from_chaincode) = dial(channel).await;
        let first = from_chaincode.next().await.unwrap().unwrap();
        assert_eq!(first.r#type(), Type::Register);
        let id = peer::ChaincodeId::decode(first.payload.as_slice()).unwrap();
        assert_eq!(id.name, "probe_1:abc");
        to_chaincode.send(message(Type::Registered)).await.unwrap();
        let payload = offer.map(|offer| offer.encode_to_vec()).unwrap_or_default();
        to_chaincode.send(ChaincodeMessage { payload, ..message(Type::Ready) }).await.unwrap();

        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let reader = tokio::spawn(read(from_chaincode, to_chaincode.downgrade(), ledger.clone()));
        Self { ledger, to_chaincode, reader }
    }

    /// Calls and waits for COMPLETED or ERROR.
    pub async fn send(&self, message: ChaincodeMessage) -> ChaincodeMessage {
        let (done, outcome) = oneshot::channel();
        self.ledger.lock().unwrap().waiting.insert(message.txid.clone(), done);
        self.to_chaincode.send(message).await.unwrap();
        outcome.await.expect("the stream ended before the call")
    }

    /// Calls the contract and commits what it wrote; answers its response.
    pub async fn call(&self, tx: &str, args: &[&str]) -> peer::Response {
        let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
        let outcome = self.send(call(tx, &args, b"", BTreeMap::new())).await;
        assert_eq!(outcome.r#type(), Type::Completed, "{:?}", String::from_utf8(outcome.payload));
        peer::Response::decode(outcome.payload.as_slice()).unwrap()
    }
}

async fn read(
    mut from_chaincode: Streaming<ChaincodeMessage>,
    to_chaincode: mpsc::WeakSender<ChaincodeMessage>,
    ledger: Arc<Mutex<Ledger>>,
) -> Result<(), Status> {
    while let Some(message) = from_chaincode.next().await {
        let answer = handle(&mut ledger.lock().unwrap(), message?);
        if let (Some(answer), Some(to_chaincode)) = (answer, to_chaincode.upgrade()) {
            to_chaincode.send(answer).await.map_err(|_| Status::cancelled("the test is over"))?;
        }
    }
    ledger.lock().unwrap().waiting.clear();
    Ok(())
}

fn handle(ledger: &mut Ledger, message: ChaincodeMessage) -> Option<ChaincodeMessage> {
    ledger.seen.push(message.r#type());
    let payload = message.payload.as_slice();
    let tx = message.txid.clone();
    let get = |ledger: &Ledger, key: &str| ledger.state.get(key).cloned().unwrap_or_default();
    let answer = match message.r#type() {
        Type::GetState => {
            let key = peer::GetState::decode(payload).unwrap().key;
            if ledger.mute_key.as_ref() == Some(&key) {
                return None;
            }
            if ledger.refused_key.as_ref() == Some(&key) {
                let payload = b"no such luck".to_vec();
                return Some(ChaincodeMessage { r#type: Type::Error.into(), payload, ..message });
            }
            get(ledger, &key)
        }
        Type::GetStateMultiple => {
            let keys = peer::GetStateMultiple::decode(payload).unwrap().keys;
            let values = keys.iter().map(|key| get(ledger, key)).collect();
            peer::GetStateMultipleResult { values }.encode_to_vec()
        }
        Type::PutState => {
            let put = peer::PutState::decode(payload).unwrap();
            ledger.pending.entry(tx).or_default().push((put.key, put.value));
            Vec::new()
        }
        Type::DelState => {
            let key = peer::DelState::decode(payload).unwrap().key;
            ledger.pending.entry(tx).or_default().push((key, Vec::new()));
            Vec::new()
        }
        Type::WriteBatchState => {
            for record in peer::WriteBatchState::decode(payload).unwrap().rec {
                match record.r#type() {
                    write_record::Type::PutState => assert!(!record.value.is_empty()),
                    write_record::Type::DelState => assert!(record.value.is_empty()),
                    other => panic!("unexpected {other:?}"),
                }
                ledger.pending.entry(tx.clone()).or_default().push((record.key, record.value));
            }
            Vec::new()
        }
        Type::GetStateByRange => {
            let range = peer::GetStateByRange::decode(payload).unwrap();
            let found = ledger.state.iter().filter(|(key, _)| {
                **key >= range.start_key && (range.end_key.is_empty() || **key < range.end_key)
            });
            let found =
                found.map(|(key, value)| Kv { key: key.clone(), value: value.clone(), ..Default::default() });
            let found = found.collect();
            ledger.ranges.insert(tx.clone(), found);
            page(ledger, &tx)
        }
        Type::QueryStateNext => {
            assert_eq!(peer::QueryStateNext::decode(payload).unwrap().id, tx);
            page(ledger, &tx)
        }
        Type::QueryStateClose => {
            assert_eq!(peer::QueryStateClose::decode(payload).unwrap().id, tx);
            ledger.ranges.remove(&tx).expect("only an open range is closed");
            Vec::new()
        }
        Type::Completed | Type::Error => {
            let writes = ledger.pending.remove(&tx).unwrap_or_default();
            let succeeded =
                message.r#type() == Type::Completed && peer::Response::decode(payload).unwrap().status < 400;
            for (key, value) in writes.into_iter().filter(|_| succeeded) {
                if value.is_empty() {
                    ledger.state.remove(&key);
                } else {
                    ledger.state.insert(key, value);
                }
            }
            if let Some(waiting) = ledger.waiting.remove(&tx) {
                let _ = waiting.send(message);
            }
            return None;
        }
        Type::Keepalive => return None,
        other => panic!("the chaincode sent {other:?}"),
    };
    Some(ChaincodeMessage { r#type: Type::Response.into(), payload: answer, ..message })
}

/// The next page of a range; like Fabric's, the id of the range goes with its last page.
fn page(ledger: &mut Ledger, id: &str) -> Vec<u8> {
    let mut results = ledger.ranges.remove(id).expect("the range is open");
    let rest = results.split_off(results.len().min(PAGE));
    let has_more = !rest.is_empty();
    if has_more {
        ledger.ranges.insert(id.into(), rest);
    }
    let results =
        results.iter().map(|kv| peer::QueryResultBytes { result_bytes: kv.encode_to_vec() }).collect();
    peer::QueryResponse { results, has_more, id: id.into(), metadata: vec![] }.encode_to_vec()
}
