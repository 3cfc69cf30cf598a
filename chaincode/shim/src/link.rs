//! One call's way to its peer: a request, then its answer, then the next request.

use crate::StubError;
use fabric_protos::peer::ChaincodeMessage;
use fabric_protos::peer::chaincode_message::Type;
use fabric_protos::prost::Message;
use fabric_protos::services::MAX_MESSAGE_SIZE;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tonic::Status;

/// What a message has beside its payload, generously: ids, channel, tags.
const MESSAGE_OVERHEAD: usize = 64 * 1024;

/// Messages to the peer, all calls of a stream together.
pub(crate) type Outgoing = mpsc::Sender<Result<ChaincodeMessage, Status>>;

/// Channel and transaction, which together name a call on its stream.
pub(crate) type CallId = (String, String);

/// The calls of a stream, each with the place for the answer that it waits for, if it waits.
#[derive(Clone, Default)]
pub(crate) struct Calls(Arc<Mutex<HashMap<CallId, Option<oneshot::Sender<ChaincodeMessage>>>>>);

impl Calls {
    /// Notes a call; false where it is there already.
    pub fn begin(&self, id: &CallId) -> bool {
        let mut calls = lock(&self.0);
        let new = !calls.contains_key(id);
        if new {
            calls.insert(id.clone(), None);
        }
        new
    }

    pub fn end(&self, id: &CallId) {
        lock(&self.0).remove(id);
    }

    /// Ends all calls: those that wait for an answer learn at once that none will come, the others when
    /// they ask next.
    pub fn end_all(&self) {
        lock(&self.0).clear();
    }

    /// Hands an answer of the peer to the call that waits for it. One that nobody waits for is dropped: it
    /// is of no use to anybody, but no reason to break off the other calls of the stream.
    pub fn deliver(&self, answer: ChaincodeMessage) {
        let id = (answer.channel_id.clone(), answer.txid.clone());
        let waiting = lock(&self.0).get_mut(&id).and_then(Option::take);
        if waiting.and_then(|waiting| waiting.send(answer).ok()).is_none() {
            tracing::warn!(tx = id.1, "the peer answered what was not asked");
        }
    }

    /// Makes the place for a call's next answer.
    fn expect(&self, id: &CallId) -> Result<oneshot::Receiver<ChaincodeMessage>, StubError> {
        let mut calls = lock(&self.0);
        let place = calls.get_mut(id).ok_or(StubError::Disconnected)?;
        if place.is_some() {
            // Answers carry no number: the late one would be taken for the next.
            return Err(StubError::Protocol("an earlier request was given up without its answer".into()));
        }
        let (sender, receiver) = oneshot::channel();
        *place = Some(sender);
        Ok(receiver)
    }
}

/// A call's side of the stream.
pub(crate) struct Link {
    id: CallId,
    calls: Calls,
    outgoing: Outgoing,
    runtime: Handle,
    /// Held from request to answer: the peer drops a second request of a call.
    turn: Mutex<()>,
}

impl Link {
    /// For a call that is in `calls`. Made on the runtime that serves the stream.
    pub fn new(id: CallId, calls: Calls, outgoing: Outgoing) -> Self {
        Self { id, calls, outgoing, runtime: Handle::current(), turn: Mutex::default() }
    }

    pub fn channel_id(&self) -> &str {
        &self.id.0
    }

    pub fn tx_id(&self) -> &str {
        &self.id.1
    }

    /// Sends a request and parses the answer.
    pub fn ask_for<M: Message + Default>(&self, kind: Type, request: &impl Message) -> Result<M, StubError> {
        parse(kind, &self.ask(kind, request)?)
    }

    /// Sends a request and waits for the answer's payload.
    pub fn ask(&self, kind: Type, request: &impl Message) -> Result<Vec<u8>, StubError> {
        check_size(request.encoded_len())?;
        let message = ChaincodeMessage {
            r#type: kind.into(),
            payload: request.encode_to_vec(),
            txid: self.id.1.clone(),
            channel_id: self.id.0.clone(),
            ..ChaincodeMessage::default()
        };
        let turn = lock(&self.turn);
        let answer = self.calls.expect(&self.id)?;
        let answer = self.runtime.block_on(self.exchange(message, answer))?;
        drop(turn);
        match answer.r#type() {
            Type::Response => Ok(answer.payload),
            Type::Error => Err(StubError::Refused(String::from_utf8_lossy(&answer.payload).into_owned())),
            other => Err(StubError::Protocol(format!("{} to {}", other.as_str_name(), kind.as_str_name()))),
        }
    }

    async fn exchange(
        &self,
        request: ChaincodeMessage,
        mut answer: oneshot::Receiver<ChaincodeMessage>,
    ) -> Result<ChaincodeMessage, StubError> {
        tokio::select! {
            biased;
            sent = self.outgoing.send(Ok(request)) => sent.map_err(|_| StubError::Disconnected)?,
            // The queue may stay full for as long as the connection lasts; the stream ends earlier.
            early = &mut answer => return match early {
                Ok(_) => Err(StubError::Protocol("an answer came before its request".into())),
                Err(_) => Err(StubError::Disconnected),
            },
        }
        answer.await.map_err(|_| StubError::Disconnected)
    }
}

/// Parses what answers a request.
pub(crate) fn parse<M: Message + Default>(kind: Type, answer: &[u8]) -> Result<M, StubError> {
    M::decode(answer).map_err(|e| StubError::Protocol(format!("the answer to {}: {e}", kind.as_str_name())))
}

/// Whether so many bytes fit a message to the peer.
pub(crate) fn check_size(bytes: usize) -> Result<(), StubError> {
    if bytes > MAX_MESSAGE_SIZE - MESSAGE_OVERHEAD {
        return Err(StubError::TooLarge { bytes });
    }
    Ok(())
}

/// Nothing that these locks guard is ever left half-changed, so a panic under them does no harm.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> CallId {
        ("channel".into(), "tx".into())
    }

    fn answer(payload: &[u8]) -> ChaincodeMessage {
        ChaincodeMessage {
            txid: "tx".into(),
            channel_id: "channel".into(),
            payload: payload.into(),
            ..ChaincodeMessage::default()
        }
    }

    #[test]
    fn an_answer_reaches_the_request_that_is_under_way_only() {
        let calls = Calls::default();
        assert!(calls.begin(&id()) && !calls.begin(&id()));
        calls.deliver(answer(b"to nothing"));
        let mut waiting = calls.expect(&id()).unwrap();
        assert!(waiting.try_recv().is_err());
        calls.deliver(answer(b"first"));
        calls.deliver(answer(b"first again"));
        assert_eq!(waiting.try_recv().unwrap().payload, b"first");
        let mut waiting = calls.expect(&id()).unwrap();
        calls.deliver(answer(b"second"));
        assert_eq!(waiting.try_recv().unwrap().payload, b"second");
    }

    #[test]
    fn a_request_that_was_given_up_never_shifts_answers() {
        let calls = Calls::default();
        calls.begin(&id());
        drop(calls.expect(&id()).unwrap());
        assert!(matches!(calls.expect(&id()), Err(StubError::Protocol(_))));
        calls.deliver(answer(b"late"));
        let mut waiting = calls.expect(&id()).unwrap();
        assert!(waiting.try_recv().is_err());
    }

    #[test]
    fn all_calls_end_with_their_stream() {
        let calls = Calls::default();
        calls.begin(&id());
        let mut waiting = calls.expect(&id()).unwrap();
        calls.end_all();
        assert_eq!(waiting.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(calls.expect(&id()).unwrap_err(), StubError::Disconnected);
    }

    #[tokio::test]
    async fn a_full_queue_holds_up_nobody_when_the_stream_ends() {
        let (outgoing, _peer_that_reads_nothing) = mpsc::channel(1);
        outgoing.try_send(Ok(answer(b""))).unwrap();
        let calls = Calls::default();
        calls.begin(&id());
        let link = Link::new(id(), calls.clone(), outgoing);
        let asking = tokio::task::spawn_blocking(move || link.ask(Type::GetState, &answer(b"")));
        while lock(&calls.0)[&id()].is_none() {
            tokio::task::yield_now().await;
        }
        calls.end_all();
        assert_eq!(asking.await.unwrap(), Err(StubError::Disconnected));
    }
}
