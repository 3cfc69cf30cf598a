//! A call's writes: kept for a batch where the peer takes batches, otherwise sent one by one.

use crate::StubError;
use crate::link::Link;
use fabric_protos::peer::chaincode_message::Type;
use fabric_protos::peer::{
    DelState, MetaDataKeys, PurgePrivateState, PutState, PutStateMetadata, StateMetadata, WriteBatchState,
    WriteRecord, write_record,
};
use fabric_protos::prost::Message;
use std::collections::BTreeMap;

/// Where a batch is cut, in bytes.
const BATCH_BYTES: usize = 16 * 1024 * 1024;

/// What a write does to its key.
pub(crate) enum Write {
    Put(Vec<u8>),
    Delete,
    /// Deletes private data together with its past.
    Purge,
    /// Sets the key's endorsement policy.
    Policy(Vec<u8>),
}

/// What is written: collection (empty for the public state), key, and whether its metadata.
type Place = (String, String, bool);

/// Writes that wait for their batch, the last one to each place.
#[derive(Default)]
pub(crate) struct Writes(BTreeMap<Place, Write>);

impl Writes {
    pub fn keep(&mut self, collection: &str, key: &str, write: Write) {
        self.0.insert((collection.into(), key.into(), matches!(write, Write::Policy(_))), write);
    }

    /// The writes as batches of at most so many records, in the order of their places.
    pub fn batches(self, records: usize) -> Vec<WriteBatchState> {
        let mut batches: Vec<WriteBatchState> = Vec::new();
        let mut bytes = 0;
        for ((collection, key, _), write) in self.0 {
            let record = record(collection, key, write);
            bytes += record.encoded_len();
            match batches.last_mut() {
                Some(batch) if batch.rec.len() < records && bytes <= BATCH_BYTES => batch.rec.push(record),
                _ => {
                    bytes = record.encoded_len();
                    batches.push(WriteBatchState { rec: vec![record] });
                }
            }
        }
        batches
    }
}

fn record(collection: String, key: String, write: Write) -> WriteRecord {
    let mut record = WriteRecord { collection, key, ..WriteRecord::default() };
    let kind = match write {
        Write::Put(value) => {
            record.value = value;
            write_record::Type::PutState
        }
        Write::Delete => write_record::Type::DelState,
        Write::Purge => write_record::Type::PurgePrivateData,
        Write::Policy(policy) => {
            record.metadata = Some(validation_parameter(policy));
            write_record::Type::PutStateMetadata
        }
    };
    record.set_type(kind);
    record
}

/// Sends one write.
pub(crate) fn send(link: &Link, collection: &str, key: &str, write: Write) -> Result<(), StubError> {
    let (collection, key) = (collection.into(), key.into());
    let done = match write {
        Write::Put(value) => link.ask(Type::PutState, &PutState { key, value, collection }),
        Write::Delete => link.ask(Type::DelState, &DelState { key, collection }),
        Write::Purge => link.ask(Type::PurgePrivateData, &PurgePrivateState { key, collection }),
        Write::Policy(policy) => {
            let metadata = Some(validation_parameter(policy));
            link.ask(Type::PutStateMetadata, &PutStateMetadata { key, collection, metadata })
        }
    };
    done.map(drop)
}

fn validation_parameter(policy: Vec<u8>) -> StateMetadata {
    StateMetadata { metakey: MetaDataKeys::ValidationParameter.as_str_name().into(), value: policy }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_write_to_a_place_counts_and_metadata_has_its_own() {
        let mut writes = Writes::default();
        writes.keep("", "k", Write::Put(vec![1]));
        writes.keep("", "k", Write::Policy(vec![9]));
        writes.keep("", "k", Write::Delete);
        writes.keep("c", "k", Write::Put(vec![2]));
        writes.keep("c", "k", Write::Purge);
        let batches = writes.batches(10);
        assert_eq!(batches.len(), 1);
        let seen: Vec<_> =
            batches[0].rec.iter().map(|r| (r.collection.as_str(), r.r#type(), r.value.as_slice())).collect();
        use write_record::Type::{DelState, PurgePrivateData, PutStateMetadata};
        assert_eq!(
            seen,
            [("", DelState, [].as_slice()), ("", PutStateMetadata, &[]), ("c", PurgePrivateData, &[]),]
        );
        let metadata = batches[0].rec[1].metadata.as_ref().unwrap();
        assert_eq!(
            (metadata.metakey.as_str(), metadata.value.as_slice()),
            ("VALIDATION_PARAMETER", [9].as_slice())
        );
    }

    #[test]
    fn batches_are_cut_by_number_and_by_size() {
        let sizes = |count: usize, size: usize, records| {
            let mut writes = Writes::default();
            (0..count).for_each(|n| writes.keep("", &format!("{n:03}"), Write::Put(vec![1; size])));
            writes.batches(records).iter().map(|batch| batch.rec.len()).collect::<Vec<_>>()
        };
        assert!(sizes(0, 1, 10).is_empty());
        assert_eq!(sizes(25, 1, 10), [10, 10, 5]);
        assert_eq!(sizes(5, 6 << 20, 10), [2, 2, 1]);
        assert_eq!(sizes(2, 20 << 20, 10), [1, 1], "one that is larger goes alone");
    }
}
