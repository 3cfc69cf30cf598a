//! Blocks, transactions, state and private data of a channel in one embedded database.
//!
//! State keeps every version of every key. A peer that has committed `h` blocks reads the newest
//! version below block `h`; so all organisations share one store though they may be at different
//! heights, and a simulation sees one height throughout. Who may see private data is decided above.

#[cfg(test)]
mod loss;
mod private;
mod snapshot;

pub use snapshot::Snapshot;

use crate::Error;
use fabric_protos::common::Block;
use fabric_protos::hash::block_header_hash;
use fabric_protos::peer::TxValidationCode;
use prost::Message;
use redb::backends::FileBackend;
use redb::{
    Database, Durability, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table,
    TableDefinition, WriteTransaction,
};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

/// Block number → the block, with its metadata.
const BLOCKS: TableDefinition<u64, &[u8]> = TableDefinition::new("blocks");
/// Hash of a block's header → its number.
const HASHES: TableDefinition<&[u8], u64> = TableDefinition::new("hashes");
/// Transaction id → block, index in it, validation code. Of a repeated id, the first.
const TRANSACTIONS: TableDefinition<&str, (u64, u64, u8)> = TableDefinition::new("transactions");
/// Namespace, key, !block, !transaction → value, none where deleted. Newest versions sort first.
const STATE: TableDefinition<StateKey<'_>, Option<&[u8]>> = TableDefinition::new("state");
/// The metadata of keys, in the same way; a key's newest entry holds whatever became of the value since.
const METADATA: TableDefinition<StateKey<'_>, Option<&[u8]>> = TableDefinition::new("metadata");
/// Block, transaction, namespace, collection → what the transaction wrote there, a `KvrwSet`.
const PRIVATE: TableDefinition<PrivateKey<'_>, &[u8]> = TableDefinition::new("private");
/// Transaction id and hash of a `KvrwSet` → the height at which it was endorsed, and the set: private data
/// whose transaction is not in a block yet.
const TRANSIENT: TableDefinition<TransientKey<'_>, (u64, &[u8])> = TableDefinition::new("transient");

/// What the database keeps in memory; jobs read what was written shortly before.
const CACHE_BYTES: usize = 16 << 20;
/// Below so much room on the disk no transaction is taken, so that those that were taken can be written.
const RESERVED_BYTES: u64 = 32 << 20;
/// Private data whose transaction does not come within so many blocks is dropped, as by real peers.
const TRANSIENT_BLOCKS: u64 = 1000;

type StateKey<'a> = (&'a str, &'a str, u64, u64);
type PrivateKey<'a> = (u64, u64, &'a str, &'a str);
type TransientKey<'a> = (&'a str, &'a [u8]);

/// The namespace in which the hashes of a collection are, by the hexadecimal hash of the key.
pub fn hashed_space(namespace: &str, collection: &str) -> String {
    format!("{namespace}$$h{collection}")
}

/// The namespace in which the values of a collection are.
pub fn private_space(namespace: &str, collection: &str) -> String {
    format!("{namespace}$$p{collection}")
}

/// Bytes as the name of a key.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The name of a private key in its [`hashed_space`].
pub fn hashed_key(key: &str) -> String {
    hex(&Sha256::digest(key))
}

/// The transaction that wrote a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub block: u64,
    pub tx: u64,
}

/// A value with the transaction that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    pub version: Version,
    pub value: Vec<u8>,
}

/// Where a transaction is, and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub block: u64,
    pub index: u64,
    pub code: TxValidationCode,
}

/// A write of a valid transaction; no value deletes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub namespace: String,
    pub key: String,
    pub version: Version,
    pub value: Option<Vec<u8>>,
}

/// The writes of a valid transaction in a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateWrites {
    pub namespace: String,
    pub collection: String,
    pub version: Version,
    pub tx_id: String,
    /// SHA-256 of the set, which is in the block.
    pub hash: Vec<u8>,
}

/// What a transaction of a block wrote in a collection, in plain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateSet {
    /// Its number in the block.
    pub tx: u64,
    pub namespace: String,
    pub collection: String,
    /// A serialised `KvrwSet`.
    pub rwset: Vec<u8>,
}

/// A private key that is purged: all its values are deleted, those of this version included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purge {
    pub namespace: String,
    pub collection: String,
    /// SHA-256 of the key.
    pub key_hash: Vec<u8>,
    pub version: Version,
}

/// What a block changes.
#[derive(Debug, Default)]
pub struct Changes {
    pub places: Vec<(String, Place)>,
    pub writes: Vec<Write>,
    pub metadata: Vec<Write>,
    pub private: Vec<PrivateWrites>,
    pub purges: Vec<Purge>,
    /// Namespace, collection, and the block whose private data ends its life.
    pub expired: Vec<(String, String, u64)>,
}

/// The database.
pub struct Store {
    /// None while it cannot be opened.
    db: RwLock<Option<Database>>,
    opener: Box<dyn Fn() -> Result<Database, redb::Error> + Send + Sync>,
    /// Where it is, to see how much room there is.
    dir: Option<PathBuf>,
    /// A write failed; the database must be opened anew before it takes another.
    broken: AtomicBool,
}

impl Store {
    /// Opens the database file, or makes it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = path.to_owned();
        let store = Self::open_with(
            move || Ok(builder().create_with_backend(FileBackend::new(files::open(&file)?)?)?),
            path.parent().map(Path::to_owned),
        );
        store.map_err(|e| match e {
            redb::Error::DatabaseAlreadyOpen => {
                Error::Store(format!("{} is in use by another ledger", path.display()))
            }
            e => Error::Store(format!(
                "{} cannot be opened: {e}. If it is damaged, stop the ledger and remove its data (`confab ledger stop \
                 --purge`): a development ledger has no copy of its blocks",
                path.display()
            )),
        })
    }

    fn open_with(
        opener: impl Fn() -> Result<Database, redb::Error> + Send + Sync + 'static,
        dir: Option<PathBuf>,
    ) -> Result<Self, redb::Error> {
        let db = prepare(opener()?)?;
        Ok(Self { db: RwLock::new(Some(db)), opener: Box::new(opener), dir, broken: AtomicBool::new(false) })
    }

    /// Whether another transaction may be taken; else why not.
    pub fn accepts(&self) -> Result<(), String> {
        if self.is_broken() {
            return Err("the ledger's database cannot be written".into());
        }
        let free = self.dir.as_ref().and_then(|dir| rustix::fs::statvfs(dir).ok());
        match free.map(|free| free.f_bavail.saturating_mul(free.f_frsize)) {
            Some(free) if free < RESERVED_BYTES => Err("no space left for the ledger's database".into()),
            _ => Ok(()),
        }
    }

    /// Whether a write failed.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// Opens the database anew, as it was after the last block that was written.
    pub fn reopen(&self) -> Result<(), Error> {
        // Whoever panicked only began a transaction.
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        // Two cannot have it open.
        *db = None;
        *db = Some((self.opener)().and_then(prepare).map_err(store)?);
        self.broken.store(false, Ordering::Release);
        Ok(())
    }

    fn reading(&self) -> Result<ReadTransaction, Error> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        db.as_ref().ok_or_else(closed)?.begin_read().map_err(store)
    }

    /// Writes in one durable transaction.
    fn writing(
        &self,
        change: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), Error> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        let written = || -> Result<(), redb::Error> {
            let Some(db) = db.as_ref() else { return Err(redb::Error::DatabaseClosed) };
            let mut transaction = db.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            change(&transaction)?;
            Ok(transaction.commit()?)
        };
        written().map_err(|e| {
            self.broken.store(true, Ordering::Release);
            store(e)
        })
    }

    /// How many blocks there are.
    pub fn height(&self) -> Result<u64, Error> {
        let table = self.reading()?.open_table(BLOCKS).map_err(store)?;
        table.len().map_err(store)
    }

    /// A block by its number.
    pub fn block(&self, number: u64) -> Result<Option<Block>, Error> {
        let table = self.reading()?.open_table(BLOCKS).map_err(store)?;
        let Some(found) = table.get(number).map_err(store)? else {
            return Ok(None);
        };
        Block::decode(found.value()).map(Some).map_err(|e| Error::Store(format!("block {number}: {e}")))
    }

    /// The number of the block whose header has this hash.
    pub fn number(&self, hash: &[u8]) -> Result<Option<u64>, Error> {
        let table = self.reading()?.open_table(HASHES).map_err(store)?;
        Ok(table.get(hash).map_err(store)?.map(|number| number.value()))
    }

    /// A transaction by its id.
    pub fn transaction(&self, id: &str) -> Result<Option<Place>, Error> {
        let table = self.reading()?.open_table(TRANSACTIONS).map_err(store)?;
        let Some(found) = table.get(id).map_err(store)? else {
            return Ok(None);
        };
        let (block, index, code) = found.value();
        let code =
            TxValidationCode::try_from(i32::from(code)).unwrap_or(TxValidationCode::InvalidOtherReason);
        Ok(Some(Place { block, index, code }))
    }

    /// The state as of `height` blocks, which does not change however long it is kept.
    pub fn snapshot(&self, height: u64) -> Result<Snapshot, Error> {
        let transaction = self.reading()?;
        let state = transaction.open_table(STATE).map_err(store)?;
        let metadata = transaction.open_table(METADATA).map_err(store)?;
        Ok(Snapshot::new(state, metadata, height))
    }

    /// The private data that transactions of a block wrote.
    pub fn private(&self, block: u64) -> Result<Vec<PrivateSet>, Error> {
        let table = self.reading()?.open_table(PRIVATE).map_err(store)?;
        let found = table.range((block, 0, "", "")..(block + 1, 0, "", "")).map_err(store)?;
        found
            .map(|entry| {
                let (key, set) = entry.map_err(store)?;
                let (_, tx, namespace, collection) = key.value();
                let (namespace, collection) = (namespace.to_owned(), collection.to_owned());
                Ok(PrivateSet { tx, namespace, collection, rwset: set.value().to_vec() })
            })
            .collect()
    }

    /// Keeps the private data of an endorsed transaction until it is in a block: sets, serialised.
    pub fn keep_private(&self, tx_id: &str, height: u64, sets: &[Vec<u8>]) -> Result<(), Error> {
        self.writing(|transaction| {
            let mut transient = transaction.open_table(TRANSIENT)?;
            for set in sets {
                transient.insert((tx_id, Sha256::digest(set).as_slice()), (height, set.as_slice()))?;
            }
            Ok(())
        })
    }

    /// Changes the state without a block.
    pub fn amend(&self, writes: &[Write]) -> Result<(), Error> {
        self.writing(|transaction| insert(&mut transaction.open_table(STATE)?, writes))
    }

    /// Adds a block with what it changes, in one durable transaction.
    pub fn commit(&self, block: &Block, changes: &Changes) -> Result<(), Error> {
        let number = block.header.as_ref().map_or(0, |header| header.number);
        let written = self.writing(|transaction| {
            let mut blocks = transaction.open_table(BLOCKS)?;
            blocks.insert(number, block.encode_to_vec().as_slice())?;
            if let Some(header) = &block.header {
                transaction.open_table(HASHES)?.insert(block_header_hash(header).as_slice(), number)?;
            }
            let mut transactions = transaction.open_table(TRANSACTIONS)?;
            for (id, place) in &changes.places {
                transactions.insert(id.as_str(), (place.block, place.index, place.code as i32 as u8))?;
            }
            let mut state = transaction.open_table(STATE)?;
            insert(&mut state, &changes.writes)?;
            insert(&mut transaction.open_table(METADATA)?, &changes.metadata)?;
            if !changes.private.is_empty() || !changes.purges.is_empty() || !changes.expired.is_empty() {
                private::write(transaction, &mut state, changes)?;
            }
            if number.is_multiple_of(TRANSIENT_BLOCKS) {
                let too_old = |height: u64| height + TRANSIENT_BLOCKS < number;
                transaction.open_table(TRANSIENT)?.retain(|_, (height, _)| !too_old(height))?;
            }
            Ok(())
        });
        written.map_err(|e| Error::Store(format!("block {number}: {e}")))
    }
}

fn prepare(db: Database) -> Result<Database, redb::Error> {
    let transaction = db.begin_write()?;
    {
        let blocks = transaction.open_table(BLOCKS)?;
        let mut hashes = transaction.open_table(HASHES)?;
        // Databases of earlier versions have none.
        for entry in blocks.range(hashes.len()?..)? {
            let (number, block) = entry?;
            if let Some(header) = Block::decode(block.value()).ok().and_then(|block| block.header) {
                hashes.insert(block_header_hash(&header).as_slice(), number.value())?;
            }
        }
    }
    transaction.open_table(TRANSACTIONS)?;
    transaction.open_table(STATE)?;
    transaction.open_table(METADATA)?;
    transaction.open_table(PRIVATE)?;
    transaction.open_table(TRANSIENT)?;
    transaction.commit()?;
    Ok(db)
}

fn closed() -> Error {
    Error::Store("the database is closed".into())
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    // Pages that are damaged are an error when it is opened, and no panic when they are read.
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

type StateTable<'t> = Table<'t, StateKey<'static>, Option<&'static [u8]>>;

fn insert(table: &mut StateTable<'_>, writes: &[Write]) -> Result<(), redb::Error> {
    for write in writes {
        let Version { block, tx } = write.version;
        table.insert((write.namespace.as_str(), write.key.as_str(), !block, !tx), write.value.as_deref())?;
    }
    Ok(())
}

fn store(error: impl Into<redb::Error>) -> Error {
    Error::Store(error.into().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use fabric_protos::common::BlockHeader;

    fn block(number: u64) -> Block {
        Block { header: Some(BlockHeader { number, ..Default::default() }), ..Default::default() }
    }

    fn write(key: &str, block: u64, tx: u64, value: Option<&str>) -> Write {
        let value = value.map(|value| value.as_bytes().to_vec());
        Write { namespace: "ns".into(), key: key.into(), version: Version { block, tx }, value }
    }

    fn commit(store: &Store, number: u64, writes: Vec<Write>) {
        store.commit(&block(number), &Changes { writes, ..Default::default() }).unwrap();
    }

    fn keys(store: &Store, height: u64, start: &str, end: &str) -> Vec<String> {
        let snapshot = store.snapshot(height).unwrap();
        let found: Result<Vec<_>, _> = snapshot.range("ns", start, end).unwrap().collect();
        found
            .unwrap()
            .into_iter()
            .map(|(key, found)| format!("{key}={}", String::from_utf8_lossy(&found.value)))
            .collect()
    }

    #[test]
    fn every_height_has_its_own_state() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("ledger.redb")).unwrap();
        commit(&store, 0, vec![write("a", 0, 0, Some("1")), write("b", 0, 1, Some("1"))]);
        commit(&store, 1, vec![write("a", 1, 0, Some("2")), write("b", 1, 1, None)]);
        let twice =
            vec![write("a", 2, 0, Some("3")), write("a", 2, 5, Some("4")), write("b", 2, 6, Some("5"))];
        commit(&store, 2, twice);
        let other = Write { namespace: "nt".into(), ..write("0", 2, 7, Some("x")) };
        commit(&store, 3, vec![other]);

        for (height, expected) in [
            (0, vec![]),
            (1, vec!["a=1", "b=1"]),
            (2, vec!["a=2"]),
            (3, vec!["a=4", "b=5"]),
            (4, vec!["a=4", "b=5"]),
        ] {
            assert_eq!(keys(&store, height, "", ""), expected, "at {height}");
        }
        assert_eq!(keys(&store, 3, "a", "b"), ["a=4"]);
        assert_eq!(keys(&store, 3, "aa", ""), ["b=5"]);
        let found = store.snapshot(3).unwrap().get("ns", "a").unwrap().unwrap();
        assert_eq!(found.version, Version { block: 2, tx: 5 });
        assert_eq!(store.snapshot(2).unwrap().get("ns", "b").unwrap(), None);
        assert_eq!(store.snapshot(4).unwrap().get("n", "sa").unwrap(), None);
        assert_eq!(store.height().unwrap(), 4);
    }

    #[test]
    fn a_damaged_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.redb");
        let store = Store::open(&path).unwrap();
        for number in 0..20 {
            commit(&store, number, vec![write("key", number, 0, Some("a value"))]);
        }
        drop(store);
        let whole = std::fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(whole.len() / 97) {
            let mut bytes = whole.clone();
            let end = (at + 3000).min(bytes.len());
            bytes[at..end].fill(0xa5);
            std::fs::write(&path, bytes).unwrap();
            // Damage in pages that are not in use is none.
            if let Ok(store) = Store::open(&path) {
                assert_eq!(store.height().unwrap(), 20);
                assert_eq!(keys(&store, 20, "", ""), ["key=a value"], "at {at}");
            }
        }
        std::fs::write(&path, &whole[..whole.len() / 3]).unwrap();
        let error = Store::open(&path).map(drop).unwrap_err().to_string();
        assert!(error.contains("ledger.redb") && error.contains("--purge"), "{error}");
    }

    #[test]
    fn blocks_and_places_are_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.redb");
        let place = Place { block: 0, index: 2, code: TxValidationCode::PhantomReadConflict };
        {
            let store = Store::open(&path).unwrap();
            let changes = Changes { places: vec![("id".into(), place)], ..Default::default() };
            store.commit(&block(0), &changes).unwrap();
            assert!(matches!(Store::open(&path), Err(Error::Store(_))), "one process at a time");
        }
        let store = Store::open(&path).unwrap();
        assert_eq!(store.block(0).unwrap(), Some(block(0)));
        assert_eq!(store.block(1).unwrap(), None);
        assert_eq!(store.transaction("id").unwrap(), Some(place));
        assert_eq!(store.transaction("no").unwrap(), None);
    }
}
