//! One stream with one peer: dispatches the peer's messages to the calls that run.

use crate::invocation::Invocation;
use crate::protocol::{Action, State, step};
use crate::stub::{Offer, Outgoing, check_size};
use crate::{Contract, Response, Stub};
use fabric_protos::peer::chaincode_message::Type;
use fabric_protos::peer::{self, ChaincodeAdditionalParams, ChaincodeId, ChaincodeMessage};
use fabric_protos::prost::Message;
use std::any::Any;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_stream::{Stream, StreamExt};
use tonic::Status;

/// Calls that run, by channel and transaction, with the way to hand them the peer's answers.
type Calls = Arc<Mutex<HashMap<(String, String), mpsc::Sender<ChaincodeMessage>>>>;

/// What changes while a stream lasts.
struct Live {
    state: State,
    offer: Offer,
    calls: Calls,
    running: JoinSet<()>,
    /// No new calls are taken.
    closing: bool,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            state: State::Created,
            offer: Offer::default(),
            calls: Calls::default(),
            running: JoinSet::new(),
            closing: false,
        }
    }
}

/// The chaincode's side of a stream.
pub(crate) struct Session {
    pub contract: Arc<dyn Contract>,
    pub package_id: String,
    /// How many calls may run at once; the others wait.
    pub permits: Arc<Semaphore>,
    /// How long calls may go on after `shutdown` has turned true.
    pub grace: Duration,
    pub shutdown: watch::Receiver<bool>,
    pub outgoing: Outgoing,
}

impl Session {
    /// Registers, then serves calls until the peer leaves, breaks the protocol, or the server shuts
    /// down. Calls that are left then find the peer disconnected.
    pub async fn run(self, mut incoming: impl Stream<Item = Result<ChaincodeMessage, Status>> + Unpin) {
        let id = ChaincodeId { name: self.package_id.clone(), ..ChaincodeId::default() };
        self.send(message(Type::Register, id.encode_to_vec())).await;

        let mut shutdown = self.shutdown.clone();
        let mut live = Live::default();
        let mut deadline = None;
        loop {
            tokio::select! {
                received = incoming.next() => match received {
                    Some(Ok(received)) => {
                        if self.receive(&mut live, received).await.is_break() {
                            break;
                        }
                    }
                    Some(Err(e)) => {
                        tracing::warn!(calls = live.running.len(), "the stream from the peer failed: {e}");
                        break;
                    }
                    None => {
                        tracing::info!(calls = live.running.len(), "the peer closed the stream");
                        break;
                    }
                },
                Some(ended) = live.running.join_next() => {
                    if let Err(e) = ended {
                        tracing::error!("a call was lost: {e}");
                    }
                }
                // Also true when the server is gone without a word.
                () = async { drop(shutdown.wait_for(|&stop| stop).await) }, if !live.closing => {
                    live.closing = true;
                    deadline = Some(Instant::now() + self.grace);
                }
                () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    tracing::warn!(calls = live.running.len(), "the stream is closed over running calls");
                    break;
                }
            }
            if live.closing && live.running.is_empty() {
                break;
            }
        }
        // Drops the senders: calls that wait for an answer learn that none will come.
        live.calls.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Acts on one message; breaks where the stream must end.
    async fn receive(&self, live: &mut Live, received: ChaincodeMessage) -> ControlFlow<()> {
        let Some((next, action)) = step(live.state, received.r#type()) else {
            self.out_of_protocol(live.state, received).await;
            return ControlFlow::Break(());
        };
        live.state = next;
        match action {
            Action::Advance => tracing::debug!("registered"),
            Action::Negotiate => {
                live.offer = negotiate(&received.payload);
                tracing::info!(offer = ?live.offer, "ready for calls");
            }
            // With a full queue there is traffic enough to keep the stream alive.
            Action::Echo => drop(self.outgoing.try_send(Ok(received))),
            Action::Deliver => deliver(&live.calls, received),
            Action::Call { .. } if live.closing => {
                self.send(answer(&received, Type::Error, b"the chaincode is shutting down".into())).await;
            }
            Action::Call { init } => match register(&live.calls, &received) {
                Some(answers) => {
                    let call = Call { init, offer: live.offer, message: received, answers };
                    live.running.spawn(self.call(call, live.calls.clone()));
                }
                None => {
                    let text = b"this transaction is already running".into();
                    self.send(answer(&received, Type::Error, text)).await;
                }
            },
        }
        ControlFlow::Continue(())
    }

    /// Runs one call on a thread and sends its outcome.
    fn call(&self, call: Call, calls: Calls) -> impl Future<Output = ()> + use<> {
        let contract = self.contract.clone();
        let permits = self.permits.clone();
        let outgoing = self.outgoing.clone();
        async move {
            let key = (call.message.channel_id.clone(), call.message.txid.clone());
            let permit = permits.acquire_owned().await.expect("the semaphore is never closed");
            let stub_outgoing = outgoing.clone();
            let outcome = tokio::task::spawn_blocking(move || {
                let outcome = call.run(&*contract, stub_outgoing);
                drop(permit);
                outcome
            })
            .await;
            // Gone before the answer is out, for the peer may then call the same transaction again.
            calls.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            match outcome {
                Ok(message) => {
                    if outgoing.send(Ok(message)).await.is_err() {
                        tracing::warn!(tx = key.1, "a call ended after its stream");
                    }
                }
                Err(e) => tracing::error!(tx = key.1, "a call was lost: {e}"),
            }
        }
    }

    /// Ends the stream over a message that has no place in it, telling the peer why.
    async fn out_of_protocol(&self, state: State, received: ChaincodeMessage) {
        let name = Type::try_from(received.r#type).map_or("an unknown message", |kind| kind.as_str_name());
        let mut text = format!("{name} has no place in state {state:?}");
        tracing::error!(tx = received.txid, "{text}");
        if received.r#type() == Type::Error {
            text = format!("{text}: {}", String::from_utf8_lossy(&received.payload));
            tracing::error!("the peer says: {}", String::from_utf8_lossy(&received.payload));
        }
        self.send(answer(&received, Type::Error, text.clone().into_bytes())).await;
        if self.outgoing.send(Err(Status::failed_precondition(text))).await.is_err() {
            tracing::debug!("the peer left first");
        }
    }

    async fn send(&self, message: ChaincodeMessage) {
        if self.outgoing.send(Ok(message)).await.is_err() {
            tracing::warn!("the stream to the peer is closed");
        }
    }
}

/// A call that is about to run.
struct Call {
    init: bool,
    offer: Offer,
    message: ChaincodeMessage,
    answers: mpsc::Receiver<ChaincodeMessage>,
}

impl Call {
    /// Runs the contract; blocks. Answers the message that tells the peer of the outcome.
    fn run(self, contract: &dyn Contract, outgoing: Outgoing) -> ChaincodeMessage {
        let Self { init, offer, mut message, answers } = self;
        let invocation = match Invocation::parse(&message) {
            Ok(invocation) => invocation,
            Err(e) => {
                tracing::warn!(tx = message.txid, "a call cannot be read: {e}");
                return answer(&message, Type::Error, e.to_string().into_bytes());
            }
        };
        message.payload.clear();
        message.proposal = None;
        let stub =
            Stub::new(message.txid.clone(), message.channel_id.clone(), invocation, offer, outgoing, answers);
        let result =
            catch_unwind(AssertUnwindSafe(
                || {
                    if init { contract.init(&stub) } else { contract.invoke(&stub) }
                },
            ));
        let response = result.unwrap_or_else(|panic| {
            tracing::error!(tx = message.txid, "the contract panicked: {}", panic_text(&*panic));
            Response::error("the contract panicked")
        });
        // What a failed call wrote is discarded by the peer anyway.
        if !response.is_failure()
            && let Err(e) = stub.flush()
        {
            tracing::warn!(tx = message.txid, "the writes of a call failed: {e}");
            return answer(&message, Type::Error, format!("writing failed: {e}").into_bytes());
        }
        let event = stub.take_event();
        let size =
            response.payload.len() + response.message.len() + event.as_ref().map_or(0, Message::encoded_len);
        if let Err(e) = check_size(size) {
            tracing::warn!(tx = message.txid, "an answer cannot be sent: {e}");
            return answer(&message, Type::Error, e.to_string().into_bytes());
        }
        let Response { status, message: text, payload } = response;
        let response = peer::Response { status, message: text, payload };
        ChaincodeMessage {
            chaincode_event: event,
            ..answer(&message, Type::Completed, response.encode_to_vec())
        }
    }
}

/// Notes a call as running, unless the same transaction already is.
fn register(calls: &Calls, call: &ChaincodeMessage) -> Option<mpsc::Receiver<ChaincodeMessage>> {
    let mut calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (call.channel_id.clone(), call.txid.clone());
    if calls.contains_key(&key) {
        tracing::warn!(tx = call.txid, "a transaction was called while it runs");
        return None;
    }
    let (sender, receiver) = mpsc::channel(1);
    calls.insert(key, sender);
    Some(receiver)
}

/// Hands an answer of the peer to the call that asked.
fn deliver(calls: &Calls, received: ChaincodeMessage) {
    let tx = received.txid.clone();
    let key = (received.channel_id.clone(), received.txid.clone());
    let calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
    match calls.get(&key).map(|call| call.try_send(received).is_ok()) {
        Some(true) => {}
        // Of no use to anybody, but no reason to break off the other calls of the stream.
        Some(false) => tracing::warn!(tx, "the peer answered more than was asked"),
        None => tracing::warn!(tx, "the peer answered a call that does not run"),
    }
}

/// What READY offers; peers before 3.1 send no payload.
fn negotiate(payload: &[u8]) -> Offer {
    let offered = ChaincodeAdditionalParams::decode(payload).unwrap_or_else(|e| {
        tracing::warn!("READY cannot be read, so that nothing is assumed: {e}");
        ChaincodeAdditionalParams::default()
    });
    let limit = |used: bool, size: u32| (used && size > 0).then_some(size as usize);
    Offer {
        keys_per_read: limit(offered.use_get_multiple_keys, offered.max_size_get_multiple_keys),
        writes_per_batch: limit(offered.use_write_batch, offered.max_size_write_batch),
    }
}

/// A message that belongs to no transaction.
fn message(kind: Type, payload: Vec<u8>) -> ChaincodeMessage {
    ChaincodeMessage { r#type: kind.into(), payload, ..ChaincodeMessage::default() }
}

/// A message that belongs to the same transaction as another one.
fn answer(to: &ChaincodeMessage, kind: Type, payload: Vec<u8>) -> ChaincodeMessage {
    ChaincodeMessage { txid: to.txid.clone(), channel_id: to.channel_id.clone(), ..message(kind, payload) }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}
