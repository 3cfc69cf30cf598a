//! One stream with one peer: dispatches the peer's messages to the calls that run.

use crate::invocation::Invocation;
use crate::link::{CallId, Calls, Link, Outgoing, check_size};
use crate::protocol::{Action, State, step};
use crate::stub::PeerCapabilities;
use crate::{Contract, Response, Stub};
use fabric_protos::peer::chaincode_message::Type;
use fabric_protos::peer::{self, ChaincodeAdditionalParams, ChaincodeId, ChaincodeMessage};
use fabric_protos::prost::Message;
use std::any::Any;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_stream::{Stream, StreamExt};
use tonic::Status;

/// What a peer may take until it is ready for calls, and to take a message that it has to take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What changes while a stream lasts.
struct Live {
    state: State,
    capabilities: PeerCapabilities,
    calls: Calls,
    running: JoinSet<()>,
    /// No new calls are taken.
    closing: bool,
    /// When the stream ends whatever happens: over a registration that takes too long, or a shutdown.
    deadline: Option<Instant>,
}

/// The chaincode's side of a stream.
pub(crate) struct Session {
    pub contract: Arc<dyn Contract>,
    pub package_id: String,
    /// How many calls may run at once; the others wait.
    pub permits: Arc<Semaphore>,
    /// How many calls may run and wait; further ones are refused.
    pub max_calls: usize,
    /// How long calls may go on after `shutdown` has turned true.
    pub grace: Duration,
    pub shutdown: watch::Receiver<bool>,
    pub outgoing: Outgoing,
    /// Held as long as the stream lasts.
    pub place: OwnedSemaphorePermit,
}

impl Session {
    /// Registers, then serves calls until the peer leaves, breaks the protocol, or the server shuts
    /// down. Calls that are left then find the peer disconnected.
    pub async fn run(self, mut incoming: impl Stream<Item = Result<ChaincodeMessage, Status>> + Unpin) {
        let mut shutdown = self.shutdown.clone();
        let mut live = Live {
            state: State::Created,
            capabilities: PeerCapabilities::default(),
            calls: Calls::default(),
            running: JoinSet::new(),
            closing: false,
            deadline: Some(Instant::now() + PATIENCE),
        };
        let id = ChaincodeId { name: self.package_id.clone(), ..ChaincodeId::default() };
        let mut ended = self.send(message(Type::Register, id.encode_to_vec())).await;
        while ended.is_continue() {
            let deadline = live.deadline;
            tokio::select! {
                received = incoming.next() => match received {
                    Some(Ok(received)) => ended = self.receive(&mut live, received).await,
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
                    live.deadline = Some(Instant::now() + self.grace);
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    match live.closing {
                        true => tracing::warn!(calls = live.running.len(), "the stream is closed over running calls"),
                        false => {
                            tracing::warn!("the peer did not get ready within {PATIENCE:?}");
                            let status = Status::deadline_exceeded("no READY");
                            drop(self.outgoing.try_send(Err(status)));
                        }
                    }
                    break;
                }
            }
            if live.closing && live.running.is_empty() {
                break;
            }
        }
        // Those that wait for a thread first, so that the end of the others does not let them begin.
        live.running.abort_all();
        live.calls.end_all();
        drop(self.place);
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
                live.capabilities = negotiate(&received.payload);
                live.deadline = live.deadline.filter(|_| live.closing);
                tracing::info!(capabilities = ?live.capabilities, "ready for calls");
            }
            // With a full queue there is traffic enough to keep the stream alive.
            Action::Echo => drop(self.outgoing.try_send(Ok(received))),
            Action::Deliver => live.calls.deliver(received),
            Action::Call { .. } if live.closing => {
                return self.refuse(&received, "the chaincode is shutting down").await;
            }
            Action::Call { .. } if live.running.len() >= self.max_calls => {
                return self.refuse(&received, "the chaincode has too many calls to answer").await;
            }
            Action::Call { init } => {
                let id = (received.channel_id.clone(), received.txid.clone());
                if !live.calls.begin(&id) {
                    return self.refuse(&received, "this transaction is already running").await;
                }
                let call = Call { id, init, capabilities: live.capabilities, message: received };
                live.running.spawn(self.call(call, live.calls.clone()));
            }
        }
        ControlFlow::Continue(())
    }

    /// Runs one call on a thread and sends its outcome.
    fn call(&self, call: Call, calls: Calls) -> impl Future<Output = ()> + use<> {
        let contract = self.contract.clone();
        let permits = self.permits.clone();
        let outgoing = self.outgoing.clone();
        async move {
            let id = call.id.clone();
            let permit = permits.acquire_owned().await.expect("the semaphore is never closed");
            let (call_calls, call_outgoing) = (calls.clone(), outgoing.clone());
            let outcome = tokio::task::spawn_blocking(move || {
                let outcome = call.run(&*contract, call_calls, call_outgoing);
                drop(permit);
                outcome
            })
            .await;
            // Gone before the answer is out, for the peer may then call the same transaction again.
            calls.end(&id);
            match outcome {
                Ok(message) => {
                    if outgoing.send(Ok(message)).await.is_err() {
                        tracing::warn!(tx = id.1, "a call ended after its stream");
                    }
                }
                Err(e) => tracing::error!(tx = id.1, "a call was lost: {e}"),
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
        if self.send(answer(&received, Type::Error, text.clone().into_bytes())).await.is_continue()
            && self.outgoing.send(Err(Status::failed_precondition(text))).await.is_err()
        {
            tracing::debug!("the peer left first");
        }
    }

    /// Answers a call that is not run.
    async fn refuse(&self, call: &ChaincodeMessage, reason: &str) -> ControlFlow<()> {
        tracing::warn!(tx = call.txid, "a call was refused: {reason}");
        self.send(answer(call, Type::Error, reason.into())).await
    }

    /// Breaks where the peer is gone or takes no messages.
    async fn send(&self, message: ChaincodeMessage) -> ControlFlow<()> {
        match self.outgoing.send_timeout(Ok(message), PATIENCE).await {
            Ok(()) => ControlFlow::Continue(()),
            Err(SendTimeoutError::Closed(_)) => {
                tracing::warn!("the stream to the peer is closed");
                ControlFlow::Break(())
            }
            Err(SendTimeoutError::Timeout(_)) => {
                tracing::warn!("the peer takes no messages");
                ControlFlow::Break(())
            }
        }
    }
}

/// A call that is about to run.
struct Call {
    id: CallId,
    init: bool,
    capabilities: PeerCapabilities,
    message: ChaincodeMessage,
}

impl Call {
    /// Runs the contract; blocks. Answers the message that tells the peer of the outcome.
    fn run(self, contract: &dyn Contract, calls: Calls, outgoing: Outgoing) -> ChaincodeMessage {
        let Self { id, init, capabilities, mut message } = self;
        let invocation = match Invocation::parse(&message) {
            Ok(invocation) => invocation,
            Err(e) => {
                tracing::warn!(tx = message.txid, "a call cannot be read: {e}");
                return answer(&message, Type::Error, e.to_string().into_bytes());
            }
        };
        message.payload.clear();
        message.proposal = None;
        let stub = Stub::new(invocation, Link::new(id, calls, outgoing), capabilities);
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

/// What READY offers; peers before 3.1 send no payload.
fn negotiate(payload: &[u8]) -> PeerCapabilities {
    let offered = ChaincodeAdditionalParams::decode(payload).unwrap_or_else(|e| {
        tracing::warn!("READY cannot be read, so that nothing is assumed: {e}");
        ChaincodeAdditionalParams::default()
    });
    let limit = |used: bool, size: u32| (used && size > 0).then_some(size as usize);
    PeerCapabilities {
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
