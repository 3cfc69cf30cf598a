//! The read/write sets of a simulation, and their form on the wire.

use crate::ranges;
use crate::simulation::{hash, wire};
use crate::store::Version;
use fabric_protos::kvrwset::{
    HashedRwSet, KvMetadataEntry, KvMetadataWrite, KvMetadataWriteHash, KvRead, KvReadHash, KvWrite,
    KvWriteHash, KvrwSet, RangeQueryInfo,
};
use fabric_protos::rwset::{CollectionHashedReadWriteSet, NsReadWriteSet, TxReadWriteSet};
use prost::Message;
use std::collections::{BTreeMap, HashSet};

/// What is read and written by key.
#[derive(Default)]
pub struct Access {
    pub reads: BTreeMap<String, Option<Version>>,
    /// Value, none where deleted, and whether what was there before is purged.
    pub writes: BTreeMap<String, (Option<Vec<u8>>, bool)>,
    pub metadata: BTreeMap<String, Vec<KvMetadataEntry>>,
}

/// What is read and written in one namespace.
#[derive(Default)]
pub struct Set {
    pub own: Access,
    pub collections: BTreeMap<String, Access>,
    ranges: Vec<RangeRead>,
}

/// What has been seen of a range.
struct RangeRead {
    start: String,
    /// The last key seen, or the end that was asked for once the range is exhausted.
    end: String,
    exhausted: bool,
    seen: Vec<KvRead>,
}

impl Set {
    /// Begins the record of a range; gives its place.
    pub fn open_range(&mut self, start: &str) -> usize {
        let end = String::new();
        self.ranges.push(RangeRead { start: start.into(), end, exhausted: false, seen: Vec::new() });
        self.ranges.len() - 1
    }

    pub fn extend_range(&mut self, place: usize, read: Option<KvRead>) {
        if let Some((range, read)) = self.ranges.get_mut(place).zip(read) {
            range.end.clone_from(&read.key);
            range.seen.push(read);
        }
    }

    pub fn exhaust_range(&mut self, place: usize, end: &str) {
        if let Some(range) = self.ranges.get_mut(place) {
            range.exhausted = true;
            range.end = end.into();
        }
    }

    fn serialise(self, namespace: String, private: &mut Vec<Vec<u8>>) -> NsReadWriteSet {
        // Of ranges with the same bounds the first is recorded.
        let mut bounds = HashSet::new();
        let ranges = self
            .ranges
            .into_iter()
            .filter(|read| bounds.insert((read.start.clone(), read.end.clone(), read.exhausted)))
            .map(|read| RangeQueryInfo {
                start_key: read.start,
                end_key: read.end,
                itr_exhausted: read.exhausted,
                reads_info: ranges::record(read.seen),
            });
        let range_queries_info = ranges.collect();
        let collection = |(name, access): (String, Access)| {
            let pvt_rwset_hash = access.plain().map(|set| {
                let hash = hash(&set);
                private.push(set);
                hash
            });
            CollectionHashedReadWriteSet {
                collection_name: name,
                hashed_rwset: access.hashed().encode_to_vec(),
                pvt_rwset_hash: pvt_rwset_hash.unwrap_or_default(),
            }
        };
        let collection_hashed_rwset = self.collections.into_iter().map(collection).collect();
        let rwset = KvrwSet { range_queries_info, ..self.own.public() }.encode_to_vec();
        NsReadWriteSet { namespace, rwset, collection_hashed_rwset }
    }
}

impl Access {
    fn public(self) -> KvrwSet {
        let reads = self.reads.into_iter().map(|(key, version)| KvRead { key, version: version.map(wire) });
        KvrwSet {
            reads: reads.collect(),
            range_queries_info: Vec::new(),
            writes: self.writes.into_iter().map(|(key, (value, _))| write(key, value)).collect(),
            metadata_writes: self
                .metadata
                .into_iter()
                .map(|(key, entries)| KvMetadataWrite { key, entries })
                .collect(),
        }
    }

    /// The writes in plain: what the members keep, and what the hash in the block is of.
    fn plain(&self) -> Option<Vec<u8>> {
        if self.writes.is_empty() && self.metadata.is_empty() {
            return None;
        }
        let writes = self.writes.iter().map(|(key, (value, _))| write(key.clone(), value.clone()));
        let touched =
            self.metadata.keys().map(|key| KvMetadataWrite { key: key.clone(), entries: Vec::new() });
        let set =
            KvrwSet { writes: writes.collect(), metadata_writes: touched.collect(), ..Default::default() };
        Some(set.encode_to_vec())
    }

    fn hashed(self) -> HashedRwSet {
        let reads = self
            .reads
            .into_iter()
            .map(|(key, version)| KvReadHash { key_hash: hash(key.as_bytes()), version: version.map(wire) });
        let writes = self.writes.into_iter().map(|(key, (value, is_purge))| KvWriteHash {
            key_hash: hash(key.as_bytes()),
            is_delete: value.is_none(),
            value_hash: value.map(|value| hash(&value)).unwrap_or_default(),
            is_purge,
        });
        let metadata = self
            .metadata
            .into_iter()
            .map(|(key, entries)| KvMetadataWriteHash { key_hash: hash(key.as_bytes()), entries });
        HashedRwSet {
            hashed_reads: reads.collect(),
            hashed_writes: writes.collect(),
            metadata_writes: metadata.collect(),
        }
    }
}

fn write(key: String, value: Option<Vec<u8>>) -> KvWrite {
    KvWrite { key, is_delete: value.is_none(), value: value.unwrap_or_default() }
}

/// The public set, and the private ones beside it.
pub fn serialise(sets: BTreeMap<String, Set>) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut private = Vec::new();
    let ns_rwset = sets.into_iter().map(|(namespace, set)| set.serialise(namespace, &mut private)).collect();
    (TxReadWriteSet { data_model: 0, ns_rwset }.encode_to_vec(), private)
}
