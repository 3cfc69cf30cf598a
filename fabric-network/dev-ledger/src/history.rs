//! What became of a key over time, read from the blocks.

use crate::store::{Snapshot, Store, Version};
use fabric_protos::common::{Block, ChannelHeader, Envelope, Payload};
use fabric_protos::kvrwset::KvrwSet;
use fabric_protos::peer::{ChaincodeAction, ChaincodeActionPayload, ProposalResponsePayload, Transaction};
use fabric_protos::queryresult::KeyModification;
use fabric_protos::rwset::TxReadWriteSet;
use prost::Message;
use std::sync::Arc;

/// The changes of a key, the newest first.
pub fn of(
    store: &Arc<Store>,
    snapshot: &Snapshot,
    namespace: &str,
    key: &str,
) -> Result<impl Iterator<Item = Result<KeyModification, String>> + Send + use<>, String> {
    let versions = snapshot.history(namespace, key).map_err(|e| e.to_string())?;
    let (store, namespace, key) = (store.clone(), namespace.to_owned(), key.to_owned());
    Ok(versions.filter_map(move |version| {
        let found = version.map_err(|e| e.to_string()).and_then(|(version, _)| {
            let block = store.block(version.block).map_err(|e| e.to_string())?;
            let block = block.ok_or_else(|| format!("block {} is missing", version.block))?;
            Ok(change(&block, version, &namespace, &key))
        });
        found.transpose()
    }))
}

/// What a transaction did to the key; nothing where it only changed the metadata, or is the channel's own.
fn change(block: &Block, version: Version, namespace: &str, key: &str) -> Option<KeyModification> {
    let data = &block.data.as_ref()?.data;
    let envelope = Envelope::decode(data.get(usize::try_from(version.tx).ok()?)?.as_slice()).ok()?;
    let payload = Payload::decode(envelope.payload.as_slice()).ok()?;
    let header = ChannelHeader::decode(payload.header?.channel_header.as_slice()).ok()?;
    let sets = TxReadWriteSet::decode(action(&payload.data)?.results.as_slice()).ok()?;
    let set = sets.ns_rwset.into_iter().find(|set| set.namespace == namespace)?;
    let writes = KvrwSet::decode(set.rwset.as_slice()).ok()?.writes;
    let write = writes.into_iter().find(|write| write.key == key)?;
    let is_delete = write.is_delete || write.value.is_empty();
    Some(KeyModification { tx_id: header.tx_id, value: write.value, timestamp: header.timestamp, is_delete })
}

/// The outcome in a serialised transaction.
pub fn action(transaction: &[u8]) -> Option<ChaincodeAction> {
    let transaction = Transaction::decode(transaction).ok()?;
    let payload = ChaincodeActionPayload::decode(transaction.actions.first()?.payload.as_slice()).ok()?;
    let response =
        ProposalResponsePayload::decode(payload.action?.proposal_response_payload.as_slice()).ok()?;
    ChaincodeAction::decode(response.extension.as_slice()).ok()
}
