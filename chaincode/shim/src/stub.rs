//! A contract's view of one call: arguments, caller, state.

use crate::composite::{composite_range, simple_range};
use crate::invocation::Invocation;
use crate::link::{Link, check_size, lock, parse};
use crate::writes::{Write, Writes, send};
use crate::{
    ClientIdentity, KeyModification, KeyValue, Page, QueryIter, Response, StubError, Timestamp, query,
};
use fabric_protos::peer::chaincode_message::Type;
use fabric_protos::peer::{self, ChaincodeEvent, ChaincodeMessage, MetaDataKeys};
use std::collections::BTreeMap;
use std::sync::Mutex;

/// Keys per GET_STATE_MULTIPLE at most: the answer must fit a message, so this is good for values of
/// 400 kB, which is more than a record has.
const MAX_KEYS_PER_READ: usize = 256;

/// What the peer can do beyond the protocol of Fabric 2: how many records go into one message.
/// `None` where it cannot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PeerCapabilities {
    pub keys_per_read: Option<usize>,
    pub writes_per_batch: Option<usize>,
}

/// One call of a contract, and the way to the peer's state for as long as it lasts.
///
/// Writes reach the ledger only when the call succeeds and its transaction is found valid.
pub struct Stub {
    invocation: Invocation,
    link: Link,
    capabilities: PeerCapabilities,
    writes: Mutex<Writes>,
    event: Mutex<Option<ChaincodeEvent>>,
}

impl Stub {
    pub(crate) fn new(invocation: Invocation, link: Link, capabilities: PeerCapabilities) -> Self {
        Self { invocation, link, capabilities, writes: Mutex::default(), event: Mutex::default() }
    }

    /// The id of the transaction that this call may become.
    pub fn tx_id(&self) -> &str {
        self.link.tx_id()
    }

    /// The channel on whose ledger the call runs.
    pub fn channel_id(&self) -> &str {
        self.link.channel_id()
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
        self.get("", key)
    }

    /// The committed values of several keys, in their order; one request for many keys where the
    /// peer can (Fabric 3.1), otherwise one for each.
    ///
    /// # Errors
    /// As [`get_state`](Self::get_state).
    pub fn get_states<K: AsRef<str>>(&self, keys: &[K]) -> Result<Vec<Option<Vec<u8>>>, StubError> {
        self.get_multiple("", keys)
    }

    /// Writes a key. Where the peer takes writes in batches (Fabric 3.1) they are sent when the
    /// contract has finished or calls another chaincode, and an error of the peer's then fails that.
    ///
    /// # Errors
    /// [`StubError::EmptyValue`], [`StubError::Key`] for an empty key, or as
    /// [`get_state`](Self::get_state).
    pub fn put_state(&self, key: &str, value: impl Into<Vec<u8>>) -> Result<(), StubError> {
        self.put("", key, value.into())
    }

    /// Deletes a key; it need not exist. Sent like [`put_state`](Self::put_state).
    ///
    /// # Errors
    /// [`StubError::Key`] for an empty key, or as [`get_state`](Self::get_state).
    pub fn del_state(&self, key: &str) -> Result<(), StubError> {
        self.write("", key, Write::Delete)
    }

    /// The simple keys from `start`, included, to `end`, excluded, in the order of their bytes; an
    /// empty bound is open. Composite keys are never among them.
    ///
    /// The transaction is invalid if another one changes the range before it commits.
    ///
    /// # Errors
    /// [`StubError::Key`] for bounds that start with U+0000, or as [`get_state`](Self::get_state).
    pub fn get_state_by_range(&self, start: &str, end: &str) -> Result<QueryIter<'_, KeyValue>, StubError> {
        query::range(&self.link, "", simple_range(start, end)?)
    }

    /// At most `page_size` keys of [`get_state_by_range`](Self::get_state_by_range), in calls that write
    /// nothing. The first page has an empty bookmark, each further one that of the page before.
    ///
    /// Nothing guards the page against changes until the transaction commits.
    ///
    /// # Errors
    /// [`StubError::PageSize`]; [`StubError::Key`] also for a bookmark outside of the range.
    pub fn get_state_by_range_with_pagination(
        &self,
        start: &str,
        end: &str,
        page_size: u32,
        bookmark: &str,
    ) -> Result<Page, StubError> {
        query::page(&self.link, simple_range(start, end)?, page_size, bookmark)
    }

    /// The composite keys that begin with this type and these attributes, in order; the key of just these is
    /// among them.
    ///
    /// # Errors
    /// [`StubError::Key`] for parts that no composite key can have, or as
    /// [`get_state`](Self::get_state).
    pub fn get_state_by_partial_composite_key<A: AsRef<str>>(
        &self,
        object_type: &str,
        attributes: &[A],
    ) -> Result<QueryIter<'_, KeyValue>, StubError> {
        let (start, end) = composite_range(object_type, attributes)?;
        query::range(&self.link, "", (&start, &end))
    }

    /// A page of [`get_state_by_partial_composite_key`](Self::get_state_by_partial_composite_key), as
    /// [`get_state_by_range_with_pagination`](Self::get_state_by_range_with_pagination).
    ///
    /// # Errors
    /// As both.
    pub fn get_state_by_partial_composite_key_with_pagination<A: AsRef<str>>(
        &self,
        object_type: &str,
        attributes: &[A],
        page_size: u32,
        bookmark: &str,
    ) -> Result<Page, StubError> {
        let (start, end) = composite_range(object_type, attributes)?;
        query::page(&self.link, (&start, &end), page_size, bookmark)
    }

    /// The committed changes of a key, the newest first. Refused by peers that keep no history.
    ///
    /// Nothing guards it against changes until the transaction commits.
    ///
    /// # Errors
    /// [`StubError::Key`] for an empty key, or as [`get_state`](Self::get_state).
    pub fn get_history_for_key(&self, key: &str) -> Result<QueryIter<'_, KeyModification>, StubError> {
        check_key(key)?;
        query::history(&self.link, key)
    }

    /// The endorsement policy of a key, if it has one of its own.
    ///
    /// # Errors
    /// As [`get_state`](Self::get_state).
    pub fn get_state_validation_parameter(&self, key: &str) -> Result<Option<Vec<u8>>, StubError> {
        self.get_policy("", key)
    }

    /// Gives a key an endorsement policy in place of the chaincode's, for later transactions that write
    /// it; [`KeyEndorsementPolicy`](crate::KeyEndorsementPolicy) makes the bytes. Empty bytes take the policy
    /// away again. Sent like [`put_state`](Self::put_state); the key must exist once the call is over.
    ///
    /// # Errors
    /// [`StubError::Key`] for an empty key, or as [`get_state`](Self::get_state).
    pub fn set_state_validation_parameter(
        &self,
        key: &str,
        policy: impl Into<Vec<u8>>,
    ) -> Result<(), StubError> {
        self.write("", key, Write::Policy(policy.into()))
    }

    /// Calls another chaincode on the same peer, in the same transaction and with the same caller. What it
    /// reads and writes on this channel becomes part of the transaction; on another `channel` it can only
    /// read.
    ///
    /// Its answer may be a failure; then the transaction goes on all the same.
    ///
    /// # Errors
    /// [`StubError::Refused`] where the chaincode cannot be called or gave no answer, or as
    /// [`get_state`](Self::get_state).
    pub fn invoke_chaincode(
        &self,
        name: &str,
        args: &[impl AsRef<[u8]>],
        channel: Option<&str>,
    ) -> Result<Response, StubError> {
        // Else the peer would take the writes before the call for later ones.
        self.flush()?;
        let name = channel.map_or_else(|| name.to_owned(), |channel| format!("{name}/{channel}"));
        let args = args.iter().map(|arg| arg.as_ref().to_vec()).collect();
        let request = peer::ChaincodeSpec {
            chaincode_id: Some(peer::ChaincodeId { name, ..peer::ChaincodeId::default() }),
            input: Some(peer::ChaincodeInput { args, ..peer::ChaincodeInput::default() }),
            ..peer::ChaincodeSpec::default()
        };
        let outcome: ChaincodeMessage = self.link.ask_for(Type::InvokeChaincode, &request)?;
        if outcome.r#type() != Type::Completed {
            return Err(StubError::Refused(String::from_utf8_lossy(&outcome.payload).into_owned()));
        }
        let response: peer::Response = parse(Type::InvokeChaincode, &outcome.payload)?;
        Ok(Response { status: response.status, message: response.message, payload: response.payload })
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

    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    pub(crate) fn get(&self, collection: &str, key: &str) -> Result<Option<Vec<u8>>, StubError> {
        check_key(key)?;
        let request = peer::GetState { key: key.into(), collection: collection.into() };
        Ok(non_empty(self.link.ask(Type::GetState, &request)?))
    }

    pub(crate) fn get_multiple<K: AsRef<str>>(
        &self,
        collection: &str,
        keys: &[K],
    ) -> Result<Vec<Option<Vec<u8>>>, StubError> {
        keys.iter().try_for_each(|key| check_key(key.as_ref()))?;
        let Some(per_read) = self.capabilities.keys_per_read else {
            return keys.iter().map(|key| self.get(collection, key.as_ref())).collect();
        };
        let mut values = Vec::with_capacity(keys.len());
        for keys in keys.chunks(per_read.clamp(1, MAX_KEYS_PER_READ)) {
            let keys: Vec<String> = keys.iter().map(|key| key.as_ref().into()).collect();
            let asked = keys.len();
            let request = peer::GetStateMultiple { keys, collection: collection.into() };
            let answer: peer::GetStateMultipleResult = self.link.ask_for(Type::GetStateMultiple, &request)?;
            if answer.values.len() != asked {
                return Err(StubError::Protocol(format!("{} values for {asked} keys", answer.values.len())));
            }
            values.extend(answer.values.into_iter().map(non_empty));
        }
        Ok(values)
    }

    pub(crate) fn put(&self, collection: &str, key: &str, value: Vec<u8>) -> Result<(), StubError> {
        if value.is_empty() {
            return Err(StubError::EmptyValue(key.into()));
        }
        check_size(collection.len() + key.len() + value.len())?;
        self.write(collection, key, Write::Put(value))
    }

    pub(crate) fn get_policy(&self, collection: &str, key: &str) -> Result<Option<Vec<u8>>, StubError> {
        check_key(key)?;
        let request = peer::GetStateMetadata { key: key.into(), collection: collection.into() };
        let metadata: peer::StateMetadataResult = self.link.ask_for(Type::GetStateMetadata, &request)?;
        let name = MetaDataKeys::ValidationParameter.as_str_name();
        let policy = metadata.entries.into_iter().find(|entry| entry.metakey == name);
        Ok(policy.and_then(|policy| non_empty(policy.value)))
    }

    /// Keeps a write for a batch, or sends it at once to a peer that knows no batches.
    pub(crate) fn write(&self, collection: &str, key: &str, write: Write) -> Result<(), StubError> {
        check_key(key)?;
        match self.capabilities.writes_per_batch {
            Some(_) => lock(&self.writes).keep(collection, key, write),
            None => send(&self.link, collection, key, write)?,
        }
        Ok(())
    }

    /// Sends the writes that were kept back.
    pub(crate) fn flush(&self) -> Result<(), StubError> {
        let Some(records) = self.capabilities.writes_per_batch else { return Ok(()) };
        let writes = std::mem::take(&mut *lock(&self.writes));
        for batch in writes.batches(records) {
            self.link.ask(Type::WriteBatchState, &batch)?;
        }
        Ok(())
    }

    pub(crate) fn take_event(&self) -> Option<ChaincodeEvent> {
        lock(&self.event).take()
    }
}

impl std::fmt::Debug for Stub {
    // Neither arguments nor transient data, which may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stub")
            .field("channel", &self.channel_id())
            .field("tx", &self.tx_id())
            .finish_non_exhaustive()
    }
}

pub(crate) fn check_key(key: &str) -> Result<(), StubError> {
    if key.is_empty() {
        return Err(StubError::Key { key: String::new(), reason: "is empty" });
    }
    Ok(())
}

/// On this protocol an absent value and an empty one look alike, and Fabric stores no empty ones.
fn non_empty(value: Vec<u8>) -> Option<Vec<u8>> {
    (!value.is_empty()).then_some(value)
}
