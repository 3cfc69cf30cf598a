//! The peer's side of the chaincode stream: dials an organisation's chaincode service and serves its
//! requests while it runs transactions.

use crate::config::ChaincodeConfig;
use crate::simulation::{Page, Simulation};
use fabric_protos::peer::chaincode_message::Type;
use fabric_protos::peer::{
    ChaincodeAdditionalParams, ChaincodeEvent, ChaincodeId, ChaincodeInput, ChaincodeMessage, DelState,
    GetState, GetStateByRange, GetStateMultiple, GetStateMultipleResult, PutState, QueryMetadata,
    QueryResponse, QueryResponseMetadata, QueryResultBytes, QueryStateClose, QueryStateNext, Response,
    SignedProposal, WriteBatchState, write_record,
};
use fabric_protos::queryresult::Kv;
use fabric_protos::services::{ChaincodeClient, MAX_MESSAGE_SIZE};
use prost::Message;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

/// Fabric's words, which clients of the gateway look for.
const STREAM_TERMINATED: &str = "chaincode stream terminated";
/// How many entries of a range go into one message, and into all messages of a query.
const PAGE_SIZE: usize = 100;
const QUERY_LIMIT: usize = 100_000;
/// What READY offers, as a peer of Fabric 3.1 does by default.
const BATCH_SIZE: u32 = 1000;
/// Messages that may wait to be sent to the service.
const OUTGOING_MESSAGES: usize = 256;
const STREAM_WINDOW: u32 = 8 * 1024 * 1024;

/// A transaction to run.
pub struct Call {
    pub channel: String,
    pub tx_id: String,
    pub input: ChaincodeInput,
    pub proposal: SignedProposal,
}

/// What the chaincode answered.
pub struct Outcome {
    pub response: Response,
    pub event: Option<ChaincodeEvent>,
}

/// The way to one organisation's chaincode service. Dials when it is first needed, and again after the
/// service went away.
pub struct Link {
    config: ChaincodeConfig,
    /// The certificate to trust, PEM; without it the connection is not encrypted.
    tls_root: Option<Vec<u8>>,
    dial_timeout: Duration,
    execute_timeout: Duration,
    session: tokio::sync::Mutex<Option<Arc<Session>>>,
}

impl Link {
    pub fn new(
        config: ChaincodeConfig,
        tls_root: Option<Vec<u8>>,
        dial_timeout: Duration,
        execute_timeout: Duration,
    ) -> Self {
        Self { config, tls_root, dial_timeout, execute_timeout, session: Default::default() }
    }

    /// Runs a transaction; `simulation` collects what it reads and writes.
    ///
    /// # Errors
    /// Why there is no answer, in the words of Fabric's peer.
    pub async fn invoke(&self, call: Call, simulation: &mut Simulation) -> Result<Outcome, String> {
        let tx_id = call.tx_id.clone();
        let failed = |e: String| format!("failed to execute transaction {tx_id}: {e}");
        let session = self.session().await.map_err(failed)?;
        let run = session.run(call, simulation);
        let answer = match timeout(self.execute_timeout, run).await {
            Ok(answer) => answer.map_err(failed)?,
            Err(_) => return Err(failed("timeout expired while executing transaction".into())),
        };
        if answer.r#type() == Type::Error {
            return Err(format!(
                "transaction returned with failure: {}",
                String::from_utf8_lossy(&answer.payload)
            ));
        }
        let response = Response::decode(answer.payload.as_slice())
            .map_err(|e| format!("failed to unmarshal response for transaction {tx_id}: {e}"))?;
        Ok(Outcome { response, event: answer.chaincode_event })
    }

    /// The session that there is, or a new one.
    async fn session(&self) -> Result<Arc<Session>, String> {
        let mut session = self.session.lock().await;
        if let Some(session) = session.as_ref().filter(|session| session.is_open()) {
            return Ok(session.clone());
        }
        let id = &self.config.package_id;
        let opened = match timeout(self.dial_timeout, self.open()).await {
            Ok(opened) => opened,
            Err(_) => Err(format!("no registration within {:?}", self.dial_timeout)),
        };
        let opened = opened.map_err(|e| {
            format!("could not launch chaincode {id}: connection to {} failed: {e}", self.config.address)
        })?;
        Ok(session.insert(opened).clone())
    }

    /// Dials and waits until the service has registered under the right package id.
    async fn open(&self) -> Result<Arc<Session>, String> {
        let connection = self.dial().await.map_err(|e| with_sources(&e))?;
        let (outgoing, messages) = mpsc::channel(OUTGOING_MESSAGES);
        let mut client = ChaincodeClient::new(connection)
            .max_decoding_message_size(MAX_MESSAGE_SIZE)
            .max_encoding_message_size(MAX_MESSAGE_SIZE);
        let answer = client.connect(ReceiverStream::new(messages)).await.map_err(|e| e.to_string())?;
        let mut incoming = answer.into_inner();

        let first = incoming.message().await.map_err(|e| e.to_string())?.ok_or("it closed the stream")?;
        if first.r#type() != Type::Register {
            return Err(format!("it began with {} instead of REGISTER", first.r#type().as_str_name()));
        }
        let registered = ChaincodeId::decode(first.payload.as_slice()).map_err(|e| e.to_string())?.name;
        if registered != self.config.package_id {
            return Err(format!("it registered as {registered:?}"));
        }
        let params = ChaincodeAdditionalParams {
            use_write_batch: true,
            max_size_write_batch: BATCH_SIZE,
            use_get_multiple_keys: true,
            max_size_get_multiple_keys: BATCH_SIZE,
        };
        for (kind, payload) in [(Type::Registered, Vec::new()), (Type::Ready, params.encode_to_vec())] {
            let message = ChaincodeMessage { r#type: kind as i32, payload, ..Default::default() };
            outgoing.send(message).await.map_err(|_| STREAM_TERMINATED)?;
        }
        let calls = Arc::new(Calls(Mutex::new(Some(HashMap::new()))));
        let receiver = tokio::spawn(receive(calls.clone(), incoming)).abort_handle();
        Ok(Arc::new(Session { outgoing, calls, receiver }))
    }

    async fn dial(&self) -> Result<Channel, tonic::transport::Error> {
        let scheme = if self.tls_root.is_some() { "https" } else { "http" };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{}", self.config.address))?
            .connect_timeout(self.dial_timeout)
            .tcp_nodelay(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(STREAM_WINDOW)
            .http2_keep_alive_interval(Duration::from_secs(60))
            .keep_alive_timeout(Duration::from_secs(20))
            .keep_alive_while_idle(true);
        if let Some(root) = &self.tls_root {
            endpoint =
                endpoint.tls_config(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(root)))?;
        }
        endpoint.connect().await
    }
}

/// The transactions that run on a stream, by channel and id; none once the stream has ended.
struct Calls(Mutex<Option<Running>>);

type Running = HashMap<(String, String), mpsc::UnboundedSender<ChaincodeMessage>>;

impl Calls {
    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        // Whoever panicked held it for one insertion or removal only.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands the service's messages to the transactions until the stream ends.
async fn receive(calls: Arc<Calls>, mut incoming: Streaming<ChaincodeMessage>) {
    while let Some(Ok(message)) = incoming.next().await {
        if message.r#type() == Type::Keepalive {
            continue;
        }
        let key = (message.channel_id.clone(), message.txid.clone());
        let call = calls.lock().as_ref().and_then(|calls| calls.get(&key).cloned());
        match call {
            // A failure means that the transaction has ended in the meantime.
            Some(call) => drop(call.send(message)),
            None => tracing::debug!(tx = key.1, "message of the chaincode for no running transaction"),
        }
    }
    *calls.lock() = None;
}

/// A registered stream.
struct Session {
    outgoing: mpsc::Sender<ChaincodeMessage>,
    calls: Arc<Calls>,
    receiver: AbortHandle,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.receiver.abort();
    }
}

impl Session {
    fn is_open(&self) -> bool {
        self.calls.lock().is_some() && !self.outgoing.is_closed()
    }

    async fn run(&self, call: Call, simulation: &mut Simulation) -> Result<ChaincodeMessage, String> {
        let key = (call.channel, call.tx_id);
        let (sender, mut incoming) = mpsc::unbounded_channel();
        match self.calls.lock().as_mut() {
            None => return Err(STREAM_TERMINATED.into()),
            Some(calls) if calls.contains_key(&key) => {
                return Err(format!("txid: {}({}) exists", key.1, key.0));
            }
            Some(calls) => calls.insert(key.clone(), sender),
        };
        let running = Run { session: self, key };
        let reply = |kind: Type, payload: Vec<u8>| ChaincodeMessage {
            r#type: kind as i32,
            payload,
            txid: running.key.1.clone(),
            channel_id: running.key.0.clone(),
            ..Default::default()
        };

        let mut message = reply(Type::Transaction, call.input.encode_to_vec());
        message.proposal = Some(call.proposal);
        loop {
            self.outgoing.send(message).await.map_err(|_| STREAM_TERMINATED)?;
            let request = incoming.recv().await.ok_or(STREAM_TERMINATED)?;
            if matches!(request.r#type(), Type::Completed | Type::Error) {
                return Ok(request);
            }
            message = match serve(&request, simulation) {
                Ok(payload) => reply(Type::Response, payload),
                Err(what) => {
                    let kind = request.r#type().as_str_name();
                    let text = format!("{kind} failed: transaction ID: {}: {what}", request.txid);
                    reply(Type::Error, text.into_bytes())
                }
            };
        }
    }
}

/// Takes the transaction off the session when it ends, however that is.
struct Run<'a> {
    session: &'a Session,
    key: (String, String),
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        if let Some(calls) = self.session.calls.lock().as_mut() {
            calls.remove(&self.key);
        }
    }
}

/// Answers one request of the chaincode from the state.
fn serve(request: &ChaincodeMessage, simulation: &mut Simulation) -> Result<Vec<u8>, String> {
    match request.r#type() {
        Type::GetState => {
            let get: GetState = decode(request)?;
            public(&get.collection)?;
            simulation.get(&get.key)
        }
        Type::GetStateMultiple => {
            let get: GetStateMultiple = decode(request)?;
            public(&get.collection)?;
            let values = get.keys.iter().map(|key| simulation.get(key)).collect::<Result<_, _>>()?;
            Ok(GetStateMultipleResult { values }.encode_to_vec())
        }
        Type::PutState => {
            let put: PutState = decode(request)?;
            public(&put.collection)?;
            simulation.put(put.key, put.value).map(|()| Vec::new())
        }
        Type::DelState => {
            let del: DelState = decode(request)?;
            public(&del.collection)?;
            simulation.put(del.key, Vec::new()).map(|()| Vec::new())
        }
        Type::WriteBatchState => {
            let batch: WriteBatchState = decode(request)?;
            for write in batch.rec {
                public(&write.collection)?;
                match write.r#type() {
                    write_record::Type::PutState => simulation.put(write.key, write.value)?,
                    write_record::Type::DelState => simulation.put(write.key, Vec::new())?,
                    other => return Err(unsupported(other.as_str_name())),
                }
            }
            Ok(Vec::new())
        }
        Type::GetStateByRange => range(&decode(request)?, &request.txid, simulation),
        Type::QueryStateNext => {
            let next: QueryStateNext = decode(request)?;
            let page = simulation.next(&next.id, PAGE_SIZE)?;
            Ok(answer(simulation, page, next.id, false))
        }
        Type::QueryStateClose => {
            let close: QueryStateClose = decode(request)?;
            simulation.close(&close.id);
            Ok(QueryResponse { id: close.id, ..Default::default() }.encode_to_vec())
        }
        Type::GetQueryResult => Err("ExecuteQuery not supported for leveldb".into()),
        Type::GetHistoryForKey => Err("history database is not enabled".into()),
        other => Err(unsupported(other.as_str_name())),
    }
}

fn range(get: &GetStateByRange, tx_id: &str, simulation: &mut Simulation) -> Result<Vec<u8>, String> {
    public(&get.collection)?;
    let id = format!("{tx_id}-{}", simulation.queries());
    let metadata =
        QueryMetadata::decode(get.metadata.as_slice()).map_err(|e| format!("unmarshal failed: {e}"))?;
    if metadata == QueryMetadata::default() {
        let page = simulation.range(&id, &get.start_key, &get.end_key, PAGE_SIZE)?;
        return Ok(answer(simulation, page, id, false));
    }
    let start = if metadata.bookmark.is_empty() { &get.start_key } else { &metadata.bookmark };
    let size = usize::try_from(metadata.page_size).unwrap_or(0).clamp(1, QUERY_LIMIT);
    let page = simulation.page(&id, start, &get.end_key, size)?;
    Ok(answer(simulation, page, id, true))
}

fn answer(simulation: &Simulation, page: Page, id: String, by_bookmark: bool) -> Vec<u8> {
    let mut metadata = Vec::new();
    if by_bookmark {
        let fetched_records_count = page.entries.len() as i32;
        metadata = QueryResponseMetadata { fetched_records_count, bookmark: page.bookmark }.encode_to_vec();
    }
    let results = page.entries.into_iter().map(|(key, value)| {
        let namespace = simulation.namespace().to_owned();
        QueryResultBytes { result_bytes: Kv { namespace, key, value }.encode_to_vec() }
    });
    QueryResponse { results: results.collect(), has_more: page.more, id, metadata }.encode_to_vec()
}

fn decode<M: Message + Default>(request: &ChaincodeMessage) -> Result<M, String> {
    M::decode(request.payload.as_slice()).map_err(|e| format!("unmarshal failed: {e}"))
}

fn public(collection: &str) -> Result<(), String> {
    if collection.is_empty() { Ok(()) } else { Err(format!("collection {collection} could not be found")) }
}

fn unsupported(what: &str) -> String {
    format!("the development ledger does not support {what}")
}

/// Tonic's errors say little themselves and much in their sources.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
