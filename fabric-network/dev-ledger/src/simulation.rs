//! A transaction's run on one peer's state: what it reads and writes.

use crate::Error;
use crate::store::{Snapshot, Version, Versioned};
use fabric_protos::kvrwset::{
    self, KvRead, KvWrite, KvrwSet, QueryReads, RangeQueryInfo, range_query_info::ReadsInfo,
};
use fabric_protos::rwset::{NsReadWriteSet, TxReadWriteSet};
use prost::Message;
use std::collections::{BTreeMap, HashMap};

/// The namespace in which Fabric keeps the chaincodes' definitions.
pub const LIFECYCLE: &str = "_lifecycle";

/// The key in [`LIFECYCLE`] that every endorsement reads.
pub fn sequence_key(chaincode: &str) -> String {
    format!("namespaces/fields/{chaincode}/Sequence")
}

/// The reads and writes of one chaincode call. As in Fabric, reads see the committed state only.
pub struct Simulation {
    namespace: String,
    snapshot: Snapshot,
    definition: KvRead,
    reads: BTreeMap<String, Option<Version>>,
    writes: BTreeMap<String, Option<Vec<u8>>>,
    /// Finished and open range queries, in the order in which they began.
    ranges: Vec<RangeRead>,
    /// Queries that have more to give, by id.
    open: HashMap<String, Query>,
    paginated: bool,
}

type Entries = std::iter::Peekable<Box<dyn Iterator<Item = Result<(String, Versioned), Error>> + Send>>;

/// A query that has more to give.
struct Query {
    /// Its place in `ranges`.
    index: usize,
    /// The end that was asked for.
    end: String,
    entries: Entries,
}

/// What has been seen of a range.
struct RangeRead {
    start: String,
    /// The last key seen, or the end that was asked for once the range is exhausted.
    end: String,
    exhausted: bool,
    seen: Vec<KvRead>,
}

/// A part of a range.
pub struct Page {
    pub entries: Vec<(String, Vec<u8>)>,
    /// Whether there is more, to be asked for under the query's id.
    pub more: bool,
    /// The key after the last one, for queries by bookmark.
    pub bookmark: String,
}

impl Simulation {
    /// A run of `chaincode` on this state.
    pub fn new(chaincode: &str, snapshot: Snapshot) -> Result<Self, Error> {
        let key = sequence_key(chaincode);
        let version = snapshot.get(LIFECYCLE, &key)?.map(|found| wire(found.version));
        Ok(Self {
            namespace: chaincode.into(),
            snapshot,
            definition: KvRead { key, version },
            reads: BTreeMap::new(),
            writes: BTreeMap::new(),
            ranges: Vec::new(),
            open: HashMap::new(),
            paginated: false,
        })
    }

    /// The chaincode's namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// How many range queries have begun.
    pub fn queries(&self) -> usize {
        self.ranges.len()
    }

    /// The committed value of a key; empty where there is none.
    pub fn get(&mut self, key: &str) -> Result<Vec<u8>, String> {
        let found = self.snapshot.get(&self.namespace, key).map_err(|e| e.to_string())?;
        self.reads.insert(key.into(), found.as_ref().map(|found| found.version));
        Ok(found.map(|found| found.value).unwrap_or_default())
    }

    /// Writes a key; as in Fabric, an empty value deletes it.
    pub fn put(&mut self, key: String, value: Vec<u8>) -> Result<(), String> {
        if self.paginated {
            return Err(
                "unsupported transaction. Paginated queries are supported only in a read-only transaction"
                    .into(),
            );
        }
        self.writes.insert(key, (!value.is_empty()).then_some(value));
        Ok(())
    }

    /// Begins a range query of `id` and gives its first `limit` entries.
    pub fn range(&mut self, id: &str, start: &str, end: &str, limit: usize) -> Result<Page, String> {
        let entries = self.snapshot.range(&self.namespace, start, end).map_err(|e| e.to_string())?;
        let entries: Box<dyn Iterator<Item = _> + Send> = Box::new(entries);
        let read = RangeRead { start: start.into(), end: String::new(), exhausted: false, seen: Vec::new() };
        self.ranges.push(read);
        let query = Query { index: self.ranges.len() - 1, end: end.into(), entries: entries.peekable() };
        self.open.insert(id.into(), query);
        self.next(id, limit)
    }

    /// The next `limit` entries of an open query.
    pub fn next(&mut self, id: &str, limit: usize) -> Result<Page, String> {
        let query = self.open.get_mut(id).ok_or("query iterator not found")?;
        let read = &mut self.ranges[query.index];
        let mut page = Page { entries: Vec::new(), more: false, bookmark: String::new() };
        while page.entries.len() < limit
            && let Some(entry) = query.entries.next()
        {
            let (key, found) = entry.map_err(|e| e.to_string())?;
            read.seen.push(KvRead { key: key.clone(), version: Some(wire(found.version)) });
            read.end.clone_from(&key);
            page.entries.push((key, found.value));
        }
        match query.entries.peek() {
            Some(Ok((key, _))) => {
                page.more = true;
                page.bookmark.clone_from(key);
            }
            Some(Err(e)) => return Err(e.to_string()),
            None => {
                read.exhausted = true;
                read.end.clone_from(&query.end);
                self.open.remove(id);
            }
        }
        Ok(page)
    }

    /// One page of a range, for a query by bookmark; only in calls that write nothing.
    pub fn page(&mut self, id: &str, start: &str, end: &str, size: usize) -> Result<Page, String> {
        if !self.writes.is_empty() {
            return Err(
                "unsupported transaction. Paginated queries are supported only in a read-only transaction"
                    .into(),
            );
        }
        self.paginated = true;
        let page = self.range(id, start, end, size)?;
        self.close(id);
        Ok(Page { more: false, ..page })
    }

    /// Ends a query.
    pub fn close(&mut self, id: &str) {
        self.open.remove(id);
    }

    /// The set of reads and writes in Fabric's wire format, the same on every peer of the same state.
    pub fn results(self) -> Vec<u8> {
        let lifecycle = KvrwSet { reads: vec![self.definition], ..Default::default() };
        let reads = self.reads.into_iter().map(|(key, version)| KvRead { key, version: version.map(wire) });
        let writes = self.writes.into_iter().map(|(key, value)| KvWrite {
            key,
            is_delete: value.is_none(),
            value: value.unwrap_or_default(),
        });
        let ranges = self.ranges.into_iter().map(|read| RangeQueryInfo {
            start_key: read.start,
            end_key: read.end,
            itr_exhausted: read.exhausted,
            reads_info: Some(ReadsInfo::RawReads(QueryReads { kv_reads: read.seen })),
        });
        let own = KvrwSet {
            reads: reads.collect(),
            range_queries_info: ranges.collect(),
            writes: writes.collect(),
            metadata_writes: Vec::new(),
        };
        let set = |(namespace, set): (&str, KvrwSet)| NsReadWriteSet {
            namespace: namespace.into(),
            rwset: set.encode_to_vec(),
            collection_hashed_rwset: Vec::new(),
        };
        let mut sets = vec![(LIFECYCLE, lifecycle)];
        if own != KvrwSet::default() {
            sets.push((&self.namespace, own));
        }
        // Namespaces are sorted; `_` comes before lower-case letters but after capitals and digits.
        sets.sort_by(|a, b| a.0.cmp(b.0));
        TxReadWriteSet { data_model: 0, ns_rwset: sets.into_iter().map(set).collect() }.encode_to_vec()
    }
}

fn wire(version: Version) -> kvrwset::Version {
    kvrwset::Version { block_num: version.block, tx_num: version.tx }
}
