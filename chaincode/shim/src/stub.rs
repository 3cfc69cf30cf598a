//! A contract's view of one call: arguments, caller, state.

use crate::composite::{composite_range, simple_range};
use crate::invocation::Invocation;
use crate::{ClientIdentity, RangeIter, StubError, Timestamp};
use fabric_protos::peer::chaincode_message::Type;
use fabric_protos::peer::{self, ChaincodeEvent, ChaincodeMessage, QueryResponse, WriteRecord, write_record};
use fabric_protos::prost::Message;
use fabric_protos::services::MAX_MESSAGE_SIZE;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;
use tonic::Status;

/// What a message has beside its payload, generously: ids, channel, tags.
const MESSAGE_OVERHEAD: usize = 64 * 1024;
/// Keys per GET_STATE_MULTIPLE at most: the answer must fit a message, so this is good for values of
/// 400 kB, which is more than a record has.
const MAX_KEYS_PER_READ: usize = 256;
/// Where a batch of writes is cut, in bytes.
const WRITE_BATCH_BYTES: usize = 16 * 1024 * 1024;

/// Messages to the peer, all calls of a stream together.
pub(crate) type Outgoing = mpsc::Sender<Result<ChaincodeMessage, Status>>;

/// What the peer can do beyond the protocol of Fabric 2: how many records go into one message.
/// `None` where it cannot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offer {
    pub keys_per_read: Option<usize>,
    pub writes_per_batch: Option<usize>,
}

/// One call of a contract, and the way to the peer's state for as long as it lasts.
///
/// Writes reach the ledger only when the call succeeds and its transaction is found valid.
pub struct Stub {
    tx_id: String,
    channel_id: String,
    invocation: Invocation,
    offer: Offer,
    outgoing: Outgoing,
    /// Answers to this call's requests. The lock makes request and answer one step, for a call may
    /// have only one request under way.
    answers: Mutex<mpsc::Receiver<ChaincodeMessage>>,
    /// Writes to be sent in a batch when the contract has finished; `None` is a deletion.
    writes: Mutex<BTreeMap<String, Option<Vec<u8>>>>,
    event: Mutex<Option<ChaincodeEvent>>,
}

impl Stub {
    pub(crate) fn new(
        tx_id: String,
        channel_id: String,
        invocation: Invocation,
        offer: Offer,
        outgoing: Outgoing,
        answers: mpsc::Receiver<ChaincodeMessage>,
    ) -> Self {
        Self {
            tx_id,
            channel_id,
            invocation,
            offer,
            outgoing,
            answers: Mutex::new(answers),
            writes: Mutex::default(),
            event: Mutex::default(),
        }
    }

    /// The id of the transaction that this call may become.
    pub fn tx_id(&self) -> &str {
        &self.tx_id
    }

    /// The channel on whose ledger the call runs.
    pub fn channel_id(&self) -> &str {
        &self.channel_id
    }

    /// All arguments, the function's name first.
    pub fn args(&self) -> &[Vec<u8>] {
        &self.invocation.args
    }

    /// The function's name: the first argument.
    ///
    /// # Errors
    /// [`StubError::Argument`] where it is missing or not UTF-8.
    pub fn function(&self) -> Result<&str, StubError> {
        self.arg_str(0)
    }

    /// The arguments after the function's name.
    pub fn params(&self) -> &[Vec<u8>] {
        self.invocation.args.get(1..).unwrap_or_default()
    }

    /// An argument as text; index 0 is the function's name.
    ///
    /// # Errors
    /// [`StubError::Argument`] where it is missing or not UTF-8.
    pub fn arg_str(&self, index: usize) -> Result<&str, StubError> {
        let arg = self.invocation.args.get(index).ok_or(StubError::Argument { index })?;
        std::str::from_utf8(arg).map_err(|_| StubError::Argument { index })
    }

    /// Data that travels with the proposal and never enters the ledger, by name.
    pub fn transient(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.invocation.transient
    }

    /// When the client says that it made the proposal.
    pub fn timestamp(&self) -> Timestamp {
        self.invocation.timestamp
    }

    /// Who calls. The peer has checked that the certificate is valid on the channel and signed the call.
    ///
    /// # Errors
    /// [`StubError::Identity`] where it is not an X.509 certificate that can be read.
    pub fn creator(&self) -> Result<ClientIdentity, StubError> {
        Ok(ClientIdentity::parse(&self.invocation.creator)?)
    }

    /// Who calls, as the serialised identity of the proposal.
    pub fn creator_bytes(&self) -> &[u8] {
        &self.invocation.creator
    }

    /// The committed value of a key, if it has one.
    ///
    /// # Errors
    /// [`StubError`] where the peer refuses or is gone.
    pub fn get_state(&self, key: &str) -> Result<Option<Vec<u8>>, StubError> {
        check_key(key)?;
        let request = peer::GetState { key: key.into(), collection: String::new() };
        Ok(non_empty(self.ask(Type::GetState, &request)?))
    }

    /// The committed values of several keys, in their order; one request for many keys where the
    /// peer can (Fabric 3.1), otherwise one for each.
    ///
    /// # Errors
    /// As [`get_state`](Self::get_state).
    pub fn get_states<K: AsRef<str>>(&self, keys: &[K]) -> Result<Vec<Option<Vec<u8>>>, StubError> {
        keys.iter().try_for_each(|key| check_key(key.as_ref()))?;
        let Some(per_read) = self.offer.keys_per_read else {
            return keys.iter().map(|key| self.get_state(key.as_ref())).collect();
        };
        let mut values = Vec::with_capacity(keys.len());
        for keys in keys.chunks(per_read.clamp(1, MAX_KEYS_PER_READ)) {
            let keys: Vec<String> = keys.iter().map(|key| key.as_ref().into()).collect();
            let asked = keys.len();
            let request = peer::GetStateMultiple { keys, collection: String::new() };
            let answer: peer::GetStateMultipleResult = self.ask_for(Type::GetStateMultiple, &request)?;
            if answer.values.len() != asked {
                return Err(StubError::Protocol(format!("{} values for {asked} keys", answer.values.len())));
            }
            values.extend(answer.values.into_iter().map(non_empty));
        }
        Ok(values)
    }

    /// Writes a key. Where the peer takes writes in batches (Fabric 3.1) they are sent when the
    /// contract has finished, and an error of the peer's then fails the call.
    ///
    /// # Errors
    /// [`StubError::EmptyValue`], [`StubError::Key`] for an empty key, or as
    /// [`get_state`](Self::get_state).
    pub fn put_state(&self, key: &str, value: impl Into<Vec<u8>>) -> Result<(), StubError> {
        let value = value.into();
        check_key(key)?;
        check_size(key.len() + value.len())?;
        if value.is_empty() {
            return Err(StubError::EmptyValue(key.into()));
        }
        if self.offer.writes_per_batch.is_some() {
            lock(&self.writes).insert(key.into(), Some(value));
            return Ok(());
        }
        let request = peer::PutState { key: key.into(), value, collection: String::new() };
        self.ask(Type::PutState, &request).map(drop)
    }

    /// Deletes a key; it need not exist. Sent like [`put_state`](Self::put_state).
    ///
    /// # Errors
    /// [`StubError::Key`] for an empty key, or as [`get_state`](Self::get_state).
    pub fn del_state(&self, key: &str) -> Result<(), StubError> {
        check_key(key)?;
        if self.offer.writes_per_batch.is_some() {
            lock(&self.writes).insert(key.into(), None);
            return Ok(());
        }
        let request = peer::DelState { key: key.into(), collection: String::new() };
        self.ask(Type::DelState, &request).map(drop)
    }

    /// The simple keys from `start`, included, to `end`, excluded, in the order of their bytes; an
    /// empty bound is open. Composite keys are never among them.
    ///
    /// The transaction is invalid if another one changes the range before it commits.
    ///
    /// # Errors
    /// [`StubError::Key`] for bounds that start with U+0000, or as [`get_state`](Self::get_state).
    pub fn get_state_by_range(&self, start: &str, end: &str) -> Result<RangeIter<'_>, StubError> {
        let (start, end) = simple_range(start, end)?;
        self.range(start, end)
    }

    /// The composite keys that begin with this type and these attributes and have more, in order.
    ///
    /// # Errors
    /// [`StubError::Key`] for parts that no composite key can have, or as
    /// [`get_state`](Self::get_state).
    pub fn get_state_by_partial_composite_key<A: AsRef<str>>(
        &self,
        object_type: &str,
        attributes: &[A],
    ) -> Result<RangeIter<'_>, StubError> {
        let (start, end) = composite_range(object_type, attributes)?;
        self.range(&start, &end)
    }

    /// Sets the event of the transaction; the last one counts. Listeners get it once the transaction
    /// is valid.
    ///
    /// # Errors
    /// [`StubError::EventName`] for an empty name; [`StubError::TooLarge`].
    pub fn set_event(&self, name: &str, payload: impl Into<Vec<u8>>) -> Result<(), StubError> {
        let payload = payload.into();
        check_size(name.len() + payload.len())?;
        if name.is_empty() {
            return Err(StubError::EventName);
        }
        *lock(&self.event) = Some(ChaincodeEvent {
            chaincode_id: String::new(), // the peer fills it in
            tx_id: String::new(),
            event_name: name.into(),
            payload,
        });
        Ok(())
    }

    fn range(&self, start: &str, end: &str) -> Result<RangeIter<'_>, StubError> {
        let request = peer::GetStateByRange {
            start_key: start.into(),
            end_key: end.into(),
            collection: String::new(),
            metadata: Vec::new(),
        };
        let first: QueryResponse = self.ask_for(Type::GetStateByRange, &request)?;
        Ok(RangeIter::new(self, first))
    }

    /// Sends the writes that were kept back.
    pub(crate) fn flush(&self) -> Result<(), StubError> {
        let Some(per_batch) = self.offer.writes_per_batch else { return Ok(()) };
        let mut batch = peer::WriteBatchState::default();
        let mut bytes = 0;
        for (key, value) in std::mem::take(&mut *lock(&self.writes)) {
            let size = key.len() + value.as_ref().map_or(0, Vec::len);
            if batch.rec.len() >= per_batch.max(1) || (bytes + size > WRITE_BATCH_BYTES && bytes > 0) {
                self.ask(Type::WriteBatchState, &std::mem::take(&mut batch))?;
                bytes = 0;
            }
            bytes += size;
            let kind =
                if value.is_some() { write_record::Type::PutState } else { write_record::Type::DelState };
            batch.rec.push(WriteRecord {
                key,
                value: value.unwrap_or_default(),
                r#type: kind.into(),
                ..WriteRecord::default()
            });
        }
        if !batch.rec.is_empty() {
            self.ask(Type::WriteBatchState, &batch)?;
        }
        Ok(())
    }

    pub(crate) fn take_event(&self) -> Option<ChaincodeEvent> {
        lock(&self.event).take()
    }

    /// Sends a request and parses the answer.
    pub(crate) fn ask_for<M: Message + Default>(
        &self,
        kind: Type,
        request: &impl Message,
    ) -> Result<M, StubError> {
        let answer = self.ask(kind, request)?;
        M::decode(answer.as_slice())
            .map_err(|e| StubError::Protocol(format!("the answer to {}: {e}", kind.as_str_name())))
    }

    /// Sends a request and waits for the answer's payload.
    pub(crate) fn ask(&self, kind: Type, request: &impl Message) -> Result<Vec<u8>, StubError> {
        check_size(request.encoded_len())?;
        let message = ChaincodeMessage {
            r#type: kind.into(),
            payload: request.encode_to_vec(),
            txid: self.tx_id.clone(),
            channel_id: self.channel_id.clone(),
            ..ChaincodeMessage::default()
        };
        let mut answers = lock(&self.answers);
        self.outgoing.blocking_send(Ok(message)).map_err(|_| StubError::Disconnected)?;
        let answer = answers.blocking_recv().ok_or(StubError::Disconnected)?;
        match answer.r#type() {
            Type::Response => Ok(answer.payload),
            Type::Error => Err(StubError::Refused(String::from_utf8_lossy(&answer.payload).into_owned())),
            other => Err(StubError::Protocol(format!("{} to {}", other.as_str_name(), kind.as_str_name()))),
        }
    }
}

impl std::fmt::Debug for Stub {
    // Neither arguments nor transient data, which may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stub")
            .field("channel", &self.channel_id)
            .field("tx", &self.tx_id)
            .finish_non_exhaustive()
    }
}

/// Whether so many bytes fit a message to the peer.
pub(crate) fn check_size(bytes: usize) -> Result<(), StubError> {
    if bytes > MAX_MESSAGE_SIZE - MESSAGE_OVERHEAD {
        return Err(StubError::TooLarge { bytes });
    }
    Ok(())
}

fn check_key(key: &str) -> Result<(), StubError> {
    if key.is_empty() {
        return Err(StubError::Key { key: String::new(), reason: "is empty" });
    }
    Ok(())
}

/// On this protocol an absent value and an empty one look alike, and Fabric stores no empty ones.
fn non_empty(value: Vec<u8>) -> Option<Vec<u8>> {
    (!value.is_empty()).then_some(value)
}

/// Nothing that these locks guard is ever left half-changed, so a panic under them does no harm.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
