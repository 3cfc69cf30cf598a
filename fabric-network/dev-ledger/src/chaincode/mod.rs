//! The peer's side of the chaincode stream: dials an organisation's chaincode service and serves its
//! requests while it runs transactions.

mod serve;

use crate::channel::{Channel, Node};
use crate::simulation::Simulation;
use crate::system;
use fabric_protos::peer::chaincode_message::Type;
use fabric_protos::peer::{
    ChaincodeAdditionalParams, ChaincodeEvent, ChaincodeId, ChaincodeInput, ChaincodeMessage, ChaincodeSpec,
    Response, SignedProposal,
};
use fabric_protos::services::{ChaincodeClient, MAX_MESSAGE_SIZE};
use prost::Message;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{ClientTlsConfig, Endpoint};

/// Fabric's words, which clients of the gateway look for.
const STREAM_TERMINATED: &str = "chaincode stream terminated";
/// The key under which a chaincode's namespace has the version that was initialised, as on Fabric.
const INITIALISED: &str = "\0\u{10ffff}initialized";
/// What READY offers, as a peer of Fabric 3.1 does by default.
const BATCH_SIZE: u32 = 1000;
/// Messages that may wait to be sent to the service.
const OUTGOING_MESSAGES: usize = 256;
const STREAM_WINDOW: u32 = 8 * 1024 * 1024;

/// A transaction that runs on one organisation's peer.
pub struct Transaction<'a> {
    pub node: &'a Node,
    pub channel: &'a Channel,
    pub tx_id: &'a str,
    pub proposal: &'a SignedProposal,
    pub simulation: Simulation,
}

impl Transaction<'_> {
    /// Runs a chaincode of the organisation in it.
    ///
    /// # Errors
    /// Why there is no answer, in the words of Fabric's peer.
    pub async fn invoke(&mut self, chaincode: &str, input: ChaincodeInput) -> Result<Outcome, String> {
        let tx_id = self.tx_id;
        let answer = self.execute(chaincode, input).await;
        let answer = answer.map_err(|e| format!("failed to execute transaction {tx_id}: {e}"))?;
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

    /// Runs a chaincode to its last message.
    async fn execute(&mut self, chaincode: &str, input: ChaincodeInput) -> Result<ChaincodeMessage, String> {
        let node = self.node;
        let Some(link) = self.channel.service(node, chaincode) else {
            return Err(format!(
                "invalid invocation: [channel {}] failed to get chaincode container info for {chaincode}: {}",
                self.channel.name,
                self.channel.no_service(node, chaincode)
            ));
        };
        let kind = self.begin(chaincode, &input).map_err(|e| format!("invalid invocation: {e}"))?;
        let session = link.session().await?;
        let running = session.run(self, chaincode, kind, input);
        let answer = match timeout(link.timeouts.execute, running).await {
            Ok(answer) => answer,
            Err(_) => Err("timeout expired while executing transaction".into()),
        };
        answer.map_err(|e| format!("error sending: {e}"))
    }

    /// Whether a chaincode is called to initialise, or as ever; one that has to be initialised is so once for each
    /// version.
    fn begin(&mut self, chaincode: &str, input: &ChaincodeInput) -> Result<Type, String> {
        let definitions = self.channel.definitions();
        let definition = definitions.get(chaincode).filter(|definition| definition.init_required);
        let Some(definition) = definition else {
            return match input.is_init {
                true => {
                    Err(format!("chaincode '{chaincode}' does not require initialization but called as init"))
                }
                false => Ok(Type::Transaction),
            };
        };
        let version = definition.version.as_bytes();
        let is_initialised = self.simulation.get(chaincode, INITIALISED)? == version;
        match (input.is_init, is_initialised) {
            (true, false) => {
                self.simulation.put(chaincode, INITIALISED.into(), version.to_vec())?;
                Ok(Type::Init)
            }
            (true, true) => Err(format!("chaincode '{chaincode}' is already initialized but called as init")),
            (false, false) => Err(format!(
                "chaincode '{chaincode}' has not been initialized for this version, must call as init first"
            )),
            (false, true) => Ok(Type::Transaction),
        }
    }

    /// Runs another chaincode at the request of one that runs, with the same reads and writes.
    fn call_other<'b>(
        &'b mut self,
        payload: &'b [u8],
    ) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send + 'b>> {
        Box::pin(self.run_other(payload))
    }

    async fn run_other(&mut self, payload: &[u8]) -> Result<Vec<u8>, String> {
        let spec = ChaincodeSpec::decode(payload).map_err(|e| format!("unmarshal failed: {e}"))?;
        // "name:version/channel", of which the version does not count.
        let full = spec.chaincode_id.unwrap_or_default().name;
        let (name, channel) = full.split_once('/').unwrap_or((full.as_str(), ""));
        let name = name.split(':').next().unwrap_or_default();
        if !channel.is_empty() && channel != self.channel.name {
            return Err(format!("failed to find ledger for channel: {channel}"));
        }
        let refused = |what: String| format!("execute failed: {what}");
        // A system chaincode answers nobody but clients.
        if system::is_system(name) || self.channel.definitions().get(name).is_none() {
            return Err(refused(format!(
                "invalid invocation: [channel {}] failed to get chaincode container info for {name}: chaincode {name} not found",
                self.channel.name
            )));
        }
        self.simulation.call(name).map_err(|e| refused(e.to_string()))?;
        let answer = self.execute(name, spec.input.unwrap_or_default()).await.map_err(refused)?;
        Ok(answer.encode_to_vec())
    }
}

/// What the chaincode answered.
pub struct Outcome {
    pub response: Response,
    pub event: Option<ChaincodeEvent>,
}

/// The way to one organisation's chaincode service. Dials when it is first needed, and again after the
/// service went away.
pub struct Link {
    /// Host and port.
    address: String,
    /// Under which the service registers.
    package_id: String,
    /// Without it the connection is not encrypted.
    tls: Option<ClientTlsConfig>,
    timeouts: Timeouts,
    session: tokio::sync::Mutex<Option<Arc<Session>>>,
}

/// How long to wait for a service.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Until it has registered.
    pub dial: Duration,
    /// For one transaction.
    pub execute: Duration,
}

impl Link {
    pub fn new(
        address: String,
        package_id: String,
        tls: Option<ClientTlsConfig>,
        timeouts: Timeouts,
    ) -> Self {
        Self { address, package_id, tls, timeouts, session: Default::default() }
    }

    /// The session that there is, or a new one.
    async fn session(&self) -> Result<Arc<Session>, String> {
        let mut session = self.session.lock().await;
        if let Some(session) = session.as_ref().filter(|session| session.is_open()) {
            return Ok(session.clone());
        }
        let id = &self.package_id;
        let opened = match timeout(self.timeouts.dial, self.open()).await {
            Ok(opened) => opened,
            Err(_) => Err(format!("no registration within {:?}", self.timeouts.dial)),
        };
        let opened = opened.map_err(|e| {
            format!("could not launch chaincode {id}: connection to {} failed: {e}", self.address)
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
        if registered != self.package_id {
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

    async fn dial(&self) -> Result<tonic::transport::Channel, tonic::transport::Error> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{}", self.address))?
            .connect_timeout(self.timeouts.dial)
            .tcp_nodelay(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(STREAM_WINDOW)
            .http2_keep_alive_interval(Duration::from_secs(60))
            .keep_alive_timeout(Duration::from_secs(20))
            .keep_alive_while_idle(true);
        if let Some(tls) = &self.tls {
            endpoint = endpoint.tls_config(tls.clone())?;
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

    async fn run(
        &self,
        transaction: &mut Transaction<'_>,
        namespace: &str,
        kind: Type,
        input: ChaincodeInput,
    ) -> Result<ChaincodeMessage, String> {
        let key = (transaction.channel.name.clone(), transaction.tx_id.to_owned());
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

        let mut message = reply(kind, input.encode_to_vec());
        message.proposal = Some(transaction.proposal.clone());
        loop {
            self.outgoing.send(message).await.map_err(|_| STREAM_TERMINATED)?;
            let request = incoming.recv().await.ok_or(STREAM_TERMINATED)?;
            if matches!(request.r#type(), Type::Completed | Type::Error) {
                return Ok(request);
            }
            let answer = match request.r#type() {
                Type::InvokeChaincode => transaction.call_other(&request.payload).await,
                _ => serve::answer(&request, namespace, transaction),
            };
            message = match answer {
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
