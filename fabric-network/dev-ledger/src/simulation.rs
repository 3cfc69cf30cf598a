//! A transaction's run on one peer's state: what it reads and writes.

use crate::Error;
use crate::definition::{Definitions, LIFECYCLE, Signer, definition_keys, sequence_key};
use crate::interest::Touched;
use crate::rwset::{Access, Set, serialise};
use crate::store::{Snapshot, Version, Versioned, hashed_key, hashed_space, private_space};
use fabric_protos::kvrwset::{self, KvMetadataEntry, KvMetadataWrite, KvRead};
use fabric_protos::peer::ChaincodeInterest;
use fabric_protos::queryresult::Kv;
use prost::Message;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// How many results all messages of a query have together, as peers limit it by default.
const QUERY_LIMIT: usize = 100_000;

/// Who runs a transaction for whom.
pub struct Setting {
    pub definitions: Arc<Definitions>,
    /// The peer's organisation.
    pub msp_id: String,
    /// Who signed the proposal.
    pub creator: Signer,
    pub tx_id: String,
}

/// The reads and writes of one transaction. As in Fabric, reads see the committed state only.
pub struct Simulation {
    setting: Setting,
    snapshot: Snapshot,
    sets: BTreeMap<String, Set>,
    touched: Touched,
    /// Queries that have more to give, by id.
    open: HashMap<String, Query>,
    queries: usize,
    has_written: bool,
    has_paged: bool,
    has_queried_private: bool,
}

/// What a query gives: the result as it is sent, and what it read when that is recorded.
pub type Found = Result<(Vec<u8>, Option<KvRead>), String>;

/// A query that has more to give.
struct Query {
    results: Box<dyn Iterator<Item = Found> + Send>,
    /// Where its reads are recorded: the namespace and its place there.
    record: Option<(String, usize)>,
    /// The end that was asked for.
    end: String,
    /// Taken from `results`, but not given yet.
    ahead: Option<Vec<u8>>,
    given: usize,
}

/// Results of a query.
pub struct Page {
    pub results: Vec<Vec<u8>>,
    /// Whether there is more, to be asked for under the query's id.
    pub more: bool,
    /// The key after the last one, for queries by bookmark.
    pub bookmark: String,
}

impl Simulation {
    /// A run of `chaincode` on this state.
    pub fn new(chaincode: &str, setting: Setting, snapshot: Snapshot) -> Result<Self, Error> {
        let mut simulation = Self {
            setting,
            snapshot,
            sets: BTreeMap::new(),
            touched: Touched::default(),
            open: HashMap::new(),
            queries: 0,
            has_written: false,
            has_paged: false,
            has_queried_private: false,
        };
        simulation.call(chaincode)?;
        Ok(simulation)
    }

    /// Records that a chaincode is called: its definition is read.
    pub fn call(&mut self, chaincode: &str) -> Result<(), Error> {
        if chaincode == LIFECYCLE {
            return Ok(());
        }
        self.read_definition(sequence_key(chaincode))
    }

    fn read_definition(&mut self, key: String) -> Result<(), Error> {
        if let Some(set) = self.sets.get(LIFECYCLE)
            && set.own.reads.contains_key(&key)
        {
            return Ok(());
        }
        let version = self.snapshot.get(LIFECYCLE, &key)?.map(|found| found.version);
        self.set(LIFECYCLE).own.reads.insert(key, version);
        Ok(())
    }

    /// The state that it reads.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// An id for a query.
    pub fn next_id(&mut self) -> String {
        self.queries += 1;
        format!("{}-{}", self.setting.tx_id, self.queries)
    }

    /// The committed value of a key; empty where there is none.
    pub fn get(&mut self, namespace: &str, key: &str) -> Result<Vec<u8>, String> {
        let found = self.snapshot.get(namespace, key).map_err(|e| e.to_string())?;
        let version = found.as_ref().map(|found| found.version);
        self.set(namespace).own.reads.insert(key.into(), version);
        Ok(found.map(|found| found.value).unwrap_or_default())
    }

    /// The committed metadata of a key.
    pub fn metadata(&mut self, namespace: &str, key: &str) -> Result<Vec<KvMetadataEntry>, String> {
        self.get(namespace, key)?;
        self.committed_metadata(namespace, key)
    }

    /// Writes a key; as in Fabric, an empty value deletes it.
    pub fn put(&mut self, namespace: &str, key: String, value: Vec<u8>) -> Result<(), String> {
        self.before_write()?;
        let metadata = self.committed_metadata(namespace, &key)?;
        self.touched.write(namespace, "", &metadata)?;
        self.set(namespace).own.writes.insert(key, ((!value.is_empty()).then_some(value), false));
        Ok(())
    }

    /// Replaces the metadata of a key.
    pub fn put_metadata(
        &mut self,
        namespace: &str,
        key: String,
        entry: KvMetadataEntry,
    ) -> Result<(), String> {
        self.before_write()?;
        let metadata = self.committed_metadata(namespace, &key)?;
        self.touched.write(namespace, "", &metadata)?;
        self.set(namespace).own.metadata.insert(key, vec![entry]);
        Ok(())
    }

    /// Begins a range query and gives its first `limit` entries.
    pub fn range(
        &mut self,
        id: &str,
        namespace: &str,
        start: &str,
        end: &str,
        limit: usize,
    ) -> Result<Page, String> {
        self.open_range(id, namespace, start, end)?;
        self.next(id, limit)
    }

    fn open_range(&mut self, id: &str, namespace: &str, start: &str, end: &str) -> Result<(), String> {
        let entries = self.snapshot.range(namespace, start, end).map_err(|e| e.to_string())?;
        let space = namespace.to_owned();
        let results = entries.map(move |entry| {
            let (key, found) = entry.map_err(|e| e.to_string())?;
            let read = KvRead { key: key.clone(), version: Some(wire(found.version)) };
            Ok((Kv { namespace: space.clone(), key, value: found.value }.encode_to_vec(), Some(read)))
        });
        let place = self.set(namespace).open_range(start);
        let record = Some((namespace.to_owned(), place));
        let query = Query { results: Box::new(results), record, end: end.into(), ahead: None, given: 0 };
        self.open.insert(id.into(), query);
        Ok(())
    }

    /// Begins a query whose reads are not recorded.
    pub fn query(
        &mut self,
        id: &str,
        results: Box<dyn Iterator<Item = Found> + Send>,
        limit: usize,
    ) -> Result<Page, String> {
        let query = Query { results, record: None, end: String::new(), ahead: None, given: 0 };
        self.open.insert(id.into(), query);
        self.next(id, limit)
    }

    /// The next `limit` entries of an open query. Like a peer it looks one ahead, and that one is read too.
    pub fn next(&mut self, id: &str, limit: usize) -> Result<Page, String> {
        let query = self.open.get_mut(id).ok_or("query iterator not found")?;
        let mut page = Page { results: Vec::new(), more: false, bookmark: String::new() };
        page.results.extend(query.ahead.take());
        let mut recorded = query
            .record
            .as_ref()
            .and_then(|(namespace, place)| Some((self.sets.get_mut(namespace)?, *place)));
        while query.given + page.results.len() < QUERY_LIMIT {
            let Some(found) = query.results.next() else {
                if let Some((set, place)) = &mut recorded {
                    set.exhaust_range(*place, &query.end);
                }
                break;
            };
            let (result, read) = found?;
            if let Some((set, place)) = &mut recorded {
                set.extend_range(*place, read);
            }
            if page.results.len() == limit {
                query.ahead = Some(result);
                page.more = true;
                break;
            }
            page.results.push(result);
        }
        query.given += page.results.len();
        if !page.more {
            self.open.remove(id);
        }
        Ok(page)
    }

    /// One page of a range, for a query by bookmark; only in calls that write nothing. All when `size` is 0.
    pub fn page(
        &mut self,
        id: &str,
        namespace: &str,
        start: &str,
        end: &str,
        size: usize,
    ) -> Result<Page, String> {
        if self.has_written {
            return Err(self.unsupported("Paginated queries are supported only in a read-only transaction"));
        }
        self.has_paged = true;
        let size = if size == 0 { QUERY_LIMIT } else { size.min(QUERY_LIMIT) };
        self.open_range(id, namespace, start, end)?;
        let Some(query) = self.open.remove(id) else { return Err("query iterator not found".into()) };
        let mut results = query.results;
        let mut page = Page { results: Vec::new(), more: false, bookmark: String::new() };
        let set = self.sets.entry(namespace.into()).or_default();
        let place = query.record.map_or(0, |(_, place)| place);
        while page.results.len() < size {
            let Some(found) = results.next() else {
                set.exhaust_range(place, end);
                return Ok(page);
            };
            let (result, read) = found?;
            set.extend_range(place, read);
            page.results.push(result);
        }
        // Where the next page begins is told, but not read.
        if let Some(found) = results.next() {
            page.bookmark = found?.1.map(|read| read.key).unwrap_or_default();
        }
        Ok(page)
    }

    /// Ends a query.
    pub fn close(&mut self, id: &str) {
        self.open.remove(id);
    }

    /// The committed value of a private key; empty where there is none.
    pub fn get_private(&mut self, namespace: &str, collection: &str, key: &str) -> Result<Vec<u8>, String> {
        self.may_read(namespace, collection)?;
        let value = self.private_value(namespace, collection, key)?;
        let hash = self.private_hash(namespace, collection, key)?;
        let (own, public) =
            (value.as_ref().map(|found| found.version), hash.as_ref().map(|found| found.version));
        if own != public {
            let text = |version: Option<Version>| {
                version.map_or("<nil>".into(), |Version { block, tx }| {
                    format!("{{BlockNum: {block}, TxNum: {tx}}}")
                })
            };
            return Err(format!(
                "private data matching public hash version is not available. Public hash version = {}, Private data version = {}",
                text(public),
                text(own)
            ));
        }
        self.touched.read(namespace, collection);
        self.collection(namespace, collection).reads.insert(key.into(), own);
        Ok(value.map(|found| found.value).unwrap_or_default())
    }

    /// The committed values of several private keys; unlike [`get_private`](Self::get_private) a peer does not
    /// check here that it has what the hashes say.
    pub fn get_private_many(
        &mut self,
        namespace: &str,
        collection: &str,
        keys: &[String],
    ) -> Result<Vec<Vec<u8>>, String> {
        self.may_read(namespace, collection)?;
        let mut values = Vec::new();
        for key in keys {
            let found = self.private_value(namespace, collection, key)?;
            let version = found.as_ref().map(|found| found.version);
            self.touched.read(namespace, collection);
            self.collection(namespace, collection).reads.insert(key.clone(), version);
            values.push(found.map(|found| found.value).unwrap_or_default());
        }
        Ok(values)
    }

    /// The hash of a private value, which every peer has; empty where there is none.
    pub fn get_private_hash(
        &mut self,
        namespace: &str,
        collection: &str,
        key: &str,
    ) -> Result<Vec<u8>, String> {
        self.use_collections(namespace)?;
        self.setting.definitions.collection(namespace, collection)?;
        let found = self.private_hash(namespace, collection, key)?;
        let version = found.as_ref().map(|found| found.version);
        self.collection(namespace, collection).reads.insert(key.into(), version);
        Ok(found.map(|found| found.value).unwrap_or_default())
    }

    /// The committed metadata of a private key.
    pub fn private_metadata(
        &mut self,
        namespace: &str,
        collection: &str,
        key: &str,
    ) -> Result<Vec<KvMetadataEntry>, String> {
        self.may_read(namespace, collection)?;
        self.get_private_hash(namespace, collection, key)?;
        self.committed_metadata(&hashed_space(namespace, collection), &hashed_key(key))
    }

    /// Writes a private key, deletes it with an empty value, or purges it with all that it ever held.
    pub fn put_private(
        &mut self,
        namespace: &str,
        collection: &str,
        key: String,
        value: Vec<u8>,
        purge: bool,
    ) -> Result<(), String> {
        self.before_private_write(namespace, collection, &key)?;
        let value = (!value.is_empty()).then_some(value);
        self.collection(namespace, collection).writes.insert(key, (value, purge));
        Ok(())
    }

    /// Replaces the metadata of a private key.
    pub fn put_private_metadata(
        &mut self,
        namespace: &str,
        collection: &str,
        key: String,
        entry: KvMetadataEntry,
    ) -> Result<(), String> {
        self.before_private_write(namespace, collection, &key)?;
        self.collection(namespace, collection).metadata.insert(key, vec![entry]);
        Ok(())
    }

    /// Begins a range query over private keys; only in calls that write nothing, for it is not checked
    /// against phantoms.
    pub fn private_range(
        &mut self,
        id: &str,
        namespace: &str,
        collection: &str,
        (start, end): (&str, &str),
        limit: usize,
    ) -> Result<Page, String> {
        self.may_read(namespace, collection)?;
        if self.has_written {
            return Err(self.unsupported("Queries on pvt data is supported only in a read-only transaction"));
        }
        self.has_queried_private = true;
        let members = self.setting.definitions.collection(namespace, collection)?;
        if !members.includes(&self.setting.msp_id) {
            return self.query(id, Box::new(std::iter::empty()), limit);
        }
        let space = private_space(namespace, collection);
        let entries = self.snapshot.range(&space, start, end).map_err(|e| e.to_string())?;
        let (definitions, height) = (self.setting.definitions.clone(), self.snapshot.height());
        let (namespace, collection) = (namespace.to_owned(), collection.to_owned());
        let results = entries.filter_map(move |entry| {
            let (key, found) = match entry {
                Ok(entry) => entry,
                Err(e) => return Some(Err(e.to_string())),
            };
            let members = definitions.collection(&namespace, &collection).ok()?;
            members.keeps(found.version, height).then(|| {
                let kv = Kv { namespace: namespace.clone(), key, value: found.value };
                Ok((kv.encode_to_vec(), None))
            })
        });
        self.query(id, Box::new(results), limit)
    }

    /// What was simulated, the same on every peer of the same state.
    pub fn into_results(self) -> Results {
        let interest = self.touched.interest(self.sets.keys().map(String::as_str));
        let (public, private) = serialise(self.sets);
        Results { public, private, interest, height: self.snapshot.height() }
    }

    fn set(&mut self, namespace: &str) -> &mut Set {
        self.sets.entry(namespace.into()).or_default()
    }

    fn collection(&mut self, namespace: &str, collection: &str) -> &mut Access {
        self.set(namespace).collections.entry(collection.into()).or_default()
    }

    fn private_value(
        &self,
        namespace: &str,
        collection: &str,
        key: &str,
    ) -> Result<Option<Versioned>, String> {
        let members = self.setting.definitions.collection(namespace, collection)?;
        if !members.includes(&self.setting.msp_id) {
            return Ok(None);
        }
        let found =
            self.snapshot.get(&private_space(namespace, collection), key).map_err(|e| e.to_string())?;
        Ok(found.filter(|found| members.keeps(found.version, self.snapshot.height())))
    }

    fn private_hash(
        &self,
        namespace: &str,
        collection: &str,
        key: &str,
    ) -> Result<Option<Versioned>, String> {
        let definitions = &self.setting.definitions;
        definitions.collection(namespace, collection)?;
        let space = hashed_space(namespace, collection);
        definitions.value(&self.snapshot, &space, &hashed_key(key)).map_err(|e| e.to_string())
    }

    fn committed_metadata(&self, namespace: &str, key: &str) -> Result<Vec<KvMetadataEntry>, String> {
        let found =
            self.setting.definitions.metadata(&self.snapshot, namespace, key).map_err(|e| e.to_string())?;
        let written = KvMetadataWrite::decode(found.unwrap_or_default().as_slice());
        written.map(|metadata| metadata.entries).map_err(|e| e.to_string())
    }

    /// Who uses a collection reads the chaincode's definition.
    fn use_collections(&mut self, namespace: &str) -> Result<(), String> {
        if namespace == LIFECYCLE {
            return Ok(());
        }
        definition_keys(namespace)
            .into_iter()
            .try_for_each(|key| self.read_definition(key))
            .map_err(|e| e.to_string())
    }

    fn may_read(&mut self, namespace: &str, collection: &str) -> Result<(), String> {
        self.use_collections(namespace)?;
        let members = self.setting.definitions.accessed(namespace, collection)?;
        if members.may_read(&self.setting.creator) {
            Ok(())
        } else {
            Err(denied("read", namespace, collection))
        }
    }

    fn before_private_write(&mut self, namespace: &str, collection: &str, key: &str) -> Result<(), String> {
        self.use_collections(namespace)?;
        let members = self.setting.definitions.accessed(namespace, collection)?;
        if !members.may_write(&self.setting.creator) {
            return Err(denied("write", namespace, collection));
        }
        self.before_write()?;
        let metadata = self.committed_metadata(&hashed_space(namespace, collection), &hashed_key(key))?;
        self.touched.write(namespace, collection, &metadata)
    }

    fn before_write(&mut self) -> Result<(), String> {
        if self.has_queried_private {
            return Err(self.unsupported(
                "Transaction has already performed queries on pvt data. Writes are not allowed",
            ));
        }
        if self.has_paged {
            return Err(self
                .unsupported("Transaction has already performed a paginated query. Writes are not allowed"));
        }
        self.has_written = true;
        Ok(())
    }

    /// Fabric's words, its spelling included.
    fn unsupported(&self, what: &str) -> String {
        format!("txid [{}]: unsuppored transaction. {what}", self.setting.tx_id)
    }
}

fn denied(access: &str, namespace: &str, collection: &str) -> String {
    format!(
        "tx creator does not have {access} access permission on privatedata in chaincodeName:{namespace} collectionName: {collection}"
    )
}

/// What a simulation leaves.
pub struct Results {
    /// The set of reads and writes in Fabric's wire format.
    pub public: Vec<u8>,
    /// The private data, a set for each collection that was written.
    pub private: Vec<Vec<u8>>,
    pub interest: ChaincodeInterest,
    /// Of the peer.
    pub height: u64,
}

/// A version on the wire.
pub fn wire(version: Version) -> kvrwset::Version {
    kvrwset::Version { block_num: version.block, tx_num: version.tx }
}

/// SHA-256.
pub fn hash(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}
