//! Answers to what a chaincode asks of its peer.

use super::Transaction;
use crate::history;
use crate::simulation::Page;
use fabric_protos::kvrwset::KvMetadataEntry;
use fabric_protos::peer::chaincode_message::Type;
use fabric_protos::peer::{
    ChaincodeMessage, DelState, GetHistoryForKey, GetState, GetStateByRange, GetStateMetadata,
    GetStateMultiple, GetStateMultipleResult, PurgePrivateState, PutState, PutStateMetadata, QueryMetadata,
    QueryResponse, QueryResponseMetadata, QueryResultBytes, QueryStateClose, QueryStateNext, StateMetadata,
    StateMetadataResult, WriteBatchState, write_record,
};
use prost::Message;

/// How many results of a query go into one message.
const PAGE_SIZE: usize = 100;

/// Answers one request of the chaincode of this namespace.
pub fn answer(
    request: &ChaincodeMessage,
    namespace: &str,
    transaction: &mut Transaction<'_>,
) -> Result<Vec<u8>, String> {
    let simulation = &mut transaction.simulation;
    match request.r#type() {
        Type::GetState => {
            let GetState { key, collection } = decode(request)?;
            match collection.as_str() {
                "" => simulation.get(namespace, &key),
                collection => simulation.get_private(namespace, collection, &key),
            }
        }
        Type::GetStateMultiple => {
            let GetStateMultiple { keys, collection } = decode(request)?;
            let values = match collection.as_str() {
                "" => keys.iter().map(|key| simulation.get(namespace, key)).collect::<Result<_, _>>()?,
                collection => simulation.get_private_many(namespace, collection, &keys)?,
            };
            Ok(GetStateMultipleResult { values }.encode_to_vec())
        }
        Type::GetPrivateDataHash => {
            let GetState { key, collection } = decode(request)?;
            simulation.get_private_hash(namespace, &collection, &key)
        }
        Type::GetStateMetadata => {
            let GetStateMetadata { key, collection } = decode(request)?;
            let found = match collection.as_str() {
                "" => simulation.metadata(namespace, &key)?,
                collection => simulation.private_metadata(namespace, collection, &key)?,
            };
            let entries =
                found.into_iter().map(|entry| StateMetadata { metakey: entry.name, value: entry.value });
            Ok(StateMetadataResult { entries: entries.collect() }.encode_to_vec())
        }
        Type::PutState => {
            let PutState { key, value, collection } = decode(request)?;
            let write = Write::Put(value);
            write.apply(namespace, collection, key, transaction)
        }
        Type::DelState => {
            let DelState { key, collection } = decode(request)?;
            Write::Put(Vec::new()).apply(namespace, collection, key, transaction)
        }
        Type::PurgePrivateData => {
            let PurgePrivateState { key, collection } = decode(request)?;
            Write::Purge.apply(namespace, collection, key, transaction)
        }
        Type::PutStateMetadata => {
            let PutStateMetadata { key, collection, metadata } = decode(request)?;
            Write::Metadata(metadata.unwrap_or_default()).apply(namespace, collection, key, transaction)
        }
        Type::WriteBatchState => {
            let batch: WriteBatchState = decode(request)?;
            for record in batch.rec {
                let write = match record.r#type() {
                    write_record::Type::PutState => Write::Put(record.value),
                    write_record::Type::DelState => Write::Put(Vec::new()),
                    write_record::Type::PurgePrivateData => Write::Purge,
                    write_record::Type::PutStateMetadata => {
                        Write::Metadata(record.metadata.unwrap_or_default())
                    }
                    write_record::Type::Undefined => return Err("unknown operation type".into()),
                };
                write.apply(namespace, record.collection, record.key, transaction)?;
            }
            Ok(Vec::new())
        }
        Type::GetStateByRange => range(&decode(request)?, namespace, transaction),
        Type::QueryStateNext => {
            let QueryStateNext { id } = decode(request)?;
            let page = simulation.next(&id, PAGE_SIZE)?;
            Ok(results(page, id, false))
        }
        Type::QueryStateClose => {
            let QueryStateClose { id } = decode(request)?;
            simulation.close(&id);
            Ok(QueryResponse { id, ..Default::default() }.encode_to_vec())
        }
        Type::GetQueryResult => Err("ExecuteQuery not supported for leveldb".into()),
        Type::GetHistoryForKey => {
            let GetHistoryForKey { key } = decode(request)?;
            let id = simulation.next_id();
            let found = history::of(&transaction.channel.store, simulation.snapshot(), namespace, &key)?;
            let page = simulation.query(
                &id,
                Box::new(found.map(|one| Ok((one?.encode_to_vec(), None)))),
                PAGE_SIZE,
            )?;
            Ok(results(page, id, false))
        }
        other => Err(format!("the development ledger does not support {}", other.as_str_name())),
    }
}

/// What is written under a key.
enum Write {
    /// A value; an empty one deletes.
    Put(Vec<u8>),
    Purge,
    Metadata(StateMetadata),
}

impl Write {
    fn apply(
        self,
        namespace: &str,
        collection: String,
        key: String,
        transaction: &mut Transaction<'_>,
    ) -> Result<Vec<u8>, String> {
        let simulation = &mut transaction.simulation;
        let entry =
            |metadata: StateMetadata| KvMetadataEntry { name: metadata.metakey, value: metadata.value };
        let written = match (collection.as_str(), self) {
            ("", Self::Put(value)) => simulation.put(namespace, key, value),
            ("", Self::Purge) => Err("only applicable for private data".into()),
            ("", Self::Metadata(metadata)) => simulation.put_metadata(namespace, key, entry(metadata)),
            (collection, Self::Put(value)) => {
                simulation.put_private(namespace, collection, key, value, false)
            }
            (collection, Self::Purge) => simulation.put_private(namespace, collection, key, Vec::new(), true),
            (collection, Self::Metadata(metadata)) => {
                simulation.put_private_metadata(namespace, collection, key, entry(metadata))
            }
        };
        written.map(|()| Vec::new())
    }
}

fn range(
    get: &GetStateByRange,
    namespace: &str,
    transaction: &mut Transaction<'_>,
) -> Result<Vec<u8>, String> {
    let metadata =
        QueryMetadata::decode(get.metadata.as_slice()).map_err(|e| format!("unmarshal failed: {e}"))?;
    let simulation = &mut transaction.simulation;
    let id = simulation.next_id();
    let bounds = (get.start_key.as_str(), get.end_key.as_str());
    if !get.collection.is_empty() {
        let page = simulation.private_range(&id, namespace, &get.collection, bounds, PAGE_SIZE)?;
        return Ok(results(page, id, false));
    }
    if metadata == QueryMetadata::default() {
        let page = simulation.range(&id, namespace, bounds.0, bounds.1, PAGE_SIZE)?;
        return Ok(results(page, id, false));
    }
    let start = if metadata.bookmark.is_empty() { bounds.0 } else { &metadata.bookmark };
    let size = usize::try_from(metadata.page_size).unwrap_or(0);
    let page = simulation.page(&id, namespace, start, bounds.1, size)?;
    Ok(results(page, id, true))
}

fn results(page: Page, id: String, by_bookmark: bool) -> Vec<u8> {
    let mut metadata = Vec::new();
    if by_bookmark {
        let fetched_records_count = i32::try_from(page.results.len()).unwrap_or(i32::MAX);
        metadata = QueryResponseMetadata { fetched_records_count, bookmark: page.bookmark }.encode_to_vec();
    }
    let results = page.results.into_iter().map(|result_bytes| QueryResultBytes { result_bytes }).collect();
    QueryResponse { results, has_more: page.more, id, metadata }.encode_to_vec()
}

fn decode<M: Message + Default>(request: &ChaincodeMessage) -> Result<M, String> {
    M::decode(request.payload.as_slice()).map_err(|e| format!("unmarshal failed: {e}"))
}
