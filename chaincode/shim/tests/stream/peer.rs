//! A peer for tests: it dials the chaincode over gRPC and keeps state in memory.

use fabric_protos::common::{ChannelHeader, Header, HeaderType, SignatureHeader};
use fabric_protos::peer::chaincode_message::Type;
use fabric_protos::peer::write_record::Type as Kind;
use fabric_protos::peer::{self, ChaincodeMessage, StateMetadata, WriteRecord};
use fabric_protos::prost::Message;
use fabric_protos::prost_types::Timestamp;
use fabric_protos::queryresult::{KeyModification, Kv};
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
    /// Collections, by name and key.
    pub private: BTreeMap<(String, String), Vec<u8>>,
    /// Endorsement policies, by collection and key.
    pub policies: BTreeMap<(String, String), Vec<u8>>,
    /// Committed changes of the public state, the oldest first.
    history: Vec<(String, KeyModification)>,
    /// Collections and keys of which nothing is left.
    pub purged: Vec<(String, String)>,
    /// Writes of calls that are not committed yet, by transaction.
    pending: HashMap<String, Vec<WriteRecord>>,
    /// Queries that have more, by transaction.
    open: HashMap<String, Vec<Vec<u8>>>,
    /// The types of all messages that the chaincode sent.
    pub seen: Vec<Type>,
    waiting: HashMap<String, oneshot::Sender<ChaincodeMessage>>,
    /// Requests for this key are never answered.
    pub mute_key: Option<String>,
    /// Requests for this key are refused.
    pub refused_key: Option<String>,
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
    pub async fn connect(channel: Channel, capabilities: Option<peer::ChaincodeAdditionalParams>) -> Self {
        let (to_chaincode, mut from_chaincode) = dial(channel).await;
        let first = from_chaincode.next().await.unwrap().unwrap();
        assert_eq!(first.r#type(), Type::Register);
        let id = peer::ChaincodeId::decode(first.payload.as_slice()).unwrap();
        assert_eq!(id.name, "probe_1:abc");
        to_chaincode.send(message(Type::Registered)).await.unwrap();
        let payload = capabilities.map(|capabilities| capabilities.encode_to_vec()).unwrap_or_default();
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
    let refusal =
        |text: &str| ChaincodeMessage { r#type: Type::Error.into(), payload: text.into(), ..message.clone() };
    let answer = match message.r#type() {
        Type::GetState => {
            let request = peer::GetState::decode(payload).unwrap();
            if ledger.mute_key.as_ref() == Some(&request.key) {
                return None;
            }
            if ledger.refused_key.as_ref() == Some(&request.key) {
                return Some(refusal("no such luck"));
            }
            ledger.value(&request.collection, &request.key)
        }
        Type::GetStateMultiple => {
            let request = peer::GetStateMultiple::decode(payload).unwrap();
            let values = request.keys.iter().map(|key| ledger.value(&request.collection, key)).collect();
            peer::GetStateMultipleResult { values }.encode_to_vec()
        }
        Type::GetPrivateDataHash => {
            let request = peer::GetState::decode(payload).unwrap();
            assert!(!request.collection.is_empty());
            let value = ledger.value(&request.collection, &request.key);
            // What a hash is made of is the peer's business.
            if value.is_empty() { value } else { [b"hash of ", value.as_slice()].concat() }
        }
        Type::GetStateMetadata => {
            let request = peer::GetStateMetadata::decode(payload).unwrap();
            let other = StateMetadata { metakey: "OTHER".into(), value: vec![1] };
            let policy = ledger.policies.get(&(request.collection, request.key));
            let policy = policy
                .map(|value| StateMetadata { metakey: "VALIDATION_PARAMETER".into(), value: value.clone() });
            peer::StateMetadataResult { entries: [other].into_iter().chain(policy).collect() }.encode_to_vec()
        }
        Type::PutState => {
            let peer::PutState { key, value, collection } = peer::PutState::decode(payload).unwrap();
            ledger.write(tx, Kind::PutState, WriteRecord { key, value, collection, ..Default::default() })
        }
        Type::DelState => {
            let peer::DelState { key, collection } = peer::DelState::decode(payload).unwrap();
            ledger.write(tx, Kind::DelState, WriteRecord { key, collection, ..Default::default() })
        }
        Type::PurgePrivateData => {
            let peer::PurgePrivateState { key, collection } = Message::decode(payload).unwrap();
            ledger.write(tx, Kind::PurgePrivateData, WriteRecord { key, collection, ..Default::default() })
        }
        Type::PutStateMetadata => {
            let peer::PutStateMetadata { key, collection, metadata } = Message::decode(payload).unwrap();
            let record = WriteRecord { key, collection, metadata, ..Default::default() };
            ledger.write(tx, Kind::PutStateMetadata, record)
        }
        Type::WriteBatchState => {
            for record in peer::WriteBatchState::decode(payload).unwrap().rec {
                ledger.write(tx.clone(), record.r#type(), record);
            }
            Vec::new()
        }
        Type::GetStateByRange => {
            let range = peer::GetStateByRange::decode(payload).unwrap();
            ledger.range(&tx, range)
        }
        Type::GetHistoryForKey => {
            let key = peer::GetHistoryForKey::decode(payload).unwrap().key;
            let changes = ledger.history.iter().rev().filter(|(changed, _)| *changed == key);
            let changes = changes.map(|(_, change)| change.encode_to_vec()).collect();
            ledger.open.insert(tx.clone(), changes);
            page(ledger, &tx)
        }
        Type::QueryStateNext => {
            assert_eq!(peer::QueryStateNext::decode(payload).unwrap().id, tx);
            page(ledger, &tx)
        }
        Type::QueryStateClose => {
            assert_eq!(peer::QueryStateClose::decode(payload).unwrap().id, tx);
            ledger.open.remove(&tx).expect("only an open query is closed");
            Vec::new()
        }
        Type::InvokeChaincode => {
            let called = peer::ChaincodeSpec::decode(payload).unwrap();
            let (name, args) = (called.chaincode_id.unwrap().name, called.input.unwrap().args);
            let pending = ledger.pending.get(&tx).map_or(0, Vec::len);
            let outcome = match name.as_str() {
                "absent" => return Some(refusal("no such chaincode")),
                "silent" => refusal("it said nothing"),
                _ => {
                    let payload = format!("{name} {args:?} after {pending} writes").into_bytes();
                    let response = peer::Response { status: 404, message: "lost".into(), payload };
                    ChaincodeMessage { payload: response.encode_to_vec(), ..self::message(Type::Completed) }
                }
            };
            outcome.encode_to_vec()
        }
        Type::Completed | Type::Error => {
            let writes = ledger.pending.remove(&tx).unwrap_or_default();
            let succeeded =
                message.r#type() == Type::Completed && peer::Response::decode(payload).unwrap().status < 400;
            for record in writes.into_iter().filter(|_| succeeded) {
                ledger.commit(&tx, record);
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

impl Ledger {
    pub fn count(&self, kind: Type) -> usize {
        self.seen.iter().filter(|&&seen| seen == kind).count()
    }

    fn value(&self, collection: &str, key: &str) -> Vec<u8> {
        let value = match collection {
            "" => self.state.get(key),
            name => self.private.get(&(name.into(), key.into())),
        };
        value.cloned().unwrap_or_default()
    }

    /// Takes a write of a call that is not committed yet; the answer is empty.
    fn write(&mut self, tx: String, kind: Kind, mut record: WriteRecord) -> Vec<u8> {
        assert_eq!(record.value.is_empty(), kind != Kind::PutState);
        assert_eq!(record.metadata.is_none(), kind != Kind::PutStateMetadata);
        assert!(kind != Kind::PurgePrivateData || !record.collection.is_empty());
        record.set_type(kind);
        self.pending.entry(tx).or_default().push(record);
        Vec::new()
    }

    fn commit(&mut self, tx: &str, record: WriteRecord) {
        let place = (record.collection.clone(), record.key.clone());
        match record.r#type() {
            Kind::PutStateMetadata => {
                let metadata = record.metadata.unwrap();
                assert_eq!(metadata.metakey, "VALIDATION_PARAMETER");
                self.policies.insert(place, metadata.value);
                return;
            }
            Kind::PurgePrivateData => self.purged.push(place.clone()),
            _ => {}
        }
        if !record.collection.is_empty() {
            self.private.insert(place, record.value);
            self.private.retain(|_, value| !value.is_empty());
            return;
        }
        let change = KeyModification {
            tx_id: tx.into(),
            is_delete: record.value.is_empty(),
            value: record.value.clone(),
            timestamp: Some(Timestamp { seconds: self.history.len() as i64, nanos: 5 }),
        };
        self.history.push((record.key.clone(), change));
        self.state.insert(record.key, record.value);
        self.state.retain(|_, value| !value.is_empty());
    }

    fn range(&mut self, tx: &str, range: peer::GetStateByRange) -> Vec<u8> {
        let metadata = peer::QueryMetadata::decode(range.metadata.as_slice()).unwrap();
        let paginated = metadata != peer::QueryMetadata::default();
        let start = if metadata.bookmark.is_empty() { range.start_key } else { metadata.bookmark };
        let within =
            |key: &str| key >= start.as_str() && (range.end_key.is_empty() || key < range.end_key.as_str());
        let private = self.private.iter().map(|((collection, key), value)| (collection.as_str(), key, value));
        let all = self.state.iter().map(|(key, value)| ("", key, value)).chain(private);
        let found = all.filter(|(collection, key, _)| *collection == range.collection && within(key));
        let found = found.map(|(_, key, value)| Kv {
            namespace: "probe".into(),
            key: key.clone(),
            value: value.clone(),
        });
        let mut found: Vec<_> = found.collect();
        if !paginated {
            self.open.insert(tx.into(), found.iter().map(Message::encode_to_vec).collect());
            return page(self, tx);
        }
        assert!(range.collection.is_empty(), "Fabric has no pages of private data");
        let rest = found.split_off(found.len().min(metadata.page_size as usize));
        let bookmark = rest.first().map(|kv| kv.key.clone()).unwrap_or_default();
        let fetched_records_count = found.len() as i32;
        let found = found.iter().map(|kv| peer::QueryResultBytes { result_bytes: kv.encode_to_vec() });
        peer::QueryResponse {
            results: found.collect(),
            has_more: false,
            id: tx.into(),
            metadata: peer::QueryResponseMetadata { fetched_records_count, bookmark }.encode_to_vec(),
        }
        .encode_to_vec()
    }
}

/// The next page of a query; like Fabric's, the id of the query goes with its last page.
fn page(ledger: &mut Ledger, id: &str) -> Vec<u8> {
    let mut results = ledger.open.remove(id).expect("the query is open");
    let rest = results.split_off(results.len().min(PAGE));
    let has_more = !rest.is_empty();
    if has_more {
        ledger.open.insert(id.into(), rest);
    }
    let results = results.into_iter().map(|result_bytes| peer::QueryResultBytes { result_bytes }).collect();
    peer::QueryResponse { results, has_more, id: id.into(), metadata: vec![] }.encode_to_vec()
}
