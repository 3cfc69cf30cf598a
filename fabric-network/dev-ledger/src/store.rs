//! Blocks, transactions and state in one embedded database.
//!
//! State keeps every version of every key. A peer that has committed `h` blocks reads the newest
//! version below block `h`; so all organisations share one store though they may be at different
//! heights, and a simulation sees one height throughout.

use crate::Error;
use fabric_protos::common::Block;
use fabric_protos::peer::TxValidationCode;
use prost::Message;
use redb::{Database, Durability, ReadOnlyTable, ReadableDatabase, ReadableTableMetadata, TableDefinition};
use std::path::Path;

/// Block number → the block, with its metadata.
const BLOCKS: TableDefinition<u64, &[u8]> = TableDefinition::new("blocks");
/// Transaction id → block, index in it, validation code. Of a repeated id, the first.
const TRANSACTIONS: TableDefinition<&str, (u64, u64, u8)> = TableDefinition::new("transactions");
/// Namespace, key, !block, !transaction → value, none where deleted. Newest versions sort first.
const STATE: TableDefinition<StateKey<'_>, Option<&[u8]>> = TableDefinition::new("state");

/// What the database keeps in memory; jobs read what was written shortly before.
const CACHE_BYTES: usize = 128 << 20;

type StateKey<'a> = (&'a str, &'a str, u64, u64);

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

/// The database.
pub struct Store(Database);

impl Store {
    /// Opens the database file, or makes it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |e: redb::Error| Error::Store(format!("{}: {e}", path.display()));
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        let db = builder.create(path).map_err(|e| failed(e.into()))?;
        let store = Self(db);
        store.create_tables().map_err(failed)?;
        Ok(store)
    }

    fn create_tables(&self) -> Result<(), redb::Error> {
        let transaction = self.0.begin_write()?;
        transaction.open_table(BLOCKS)?;
        transaction.open_table(TRANSACTIONS)?;
        transaction.open_table(STATE)?;
        Ok(transaction.commit()?)
    }

    /// How many blocks there are.
    pub fn height(&self) -> Result<u64, Error> {
        let table = self.0.begin_read().map_err(store)?.open_table(BLOCKS).map_err(store)?;
        table.len().map_err(store)
    }

    /// A block by its number.
    pub fn block(&self, number: u64) -> Result<Option<Block>, Error> {
        let table = self.0.begin_read().map_err(store)?.open_table(BLOCKS).map_err(store)?;
        let Some(found) = table.get(number).map_err(store)? else {
            return Ok(None);
        };
        Block::decode(found.value()).map(Some).map_err(|e| Error::Store(format!("block {number}: {e}")))
    }

    /// A transaction by its id.
    pub fn transaction(&self, id: &str) -> Result<Option<Place>, Error> {
        let table = self.0.begin_read().map_err(store)?.open_table(TRANSACTIONS).map_err(store)?;
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
        let state = self.0.begin_read().map_err(store)?.open_table(STATE).map_err(store)?;
        Ok(Snapshot { state, height })
    }

    /// Adds a block with what it changes, in one durable transaction.
    pub fn commit(&self, block: &Block, places: &[(String, Place)], writes: &[Write]) -> Result<(), Error> {
        let number = block.header.as_ref().map_or(0, |header| header.number);
        self.write(number, block, places, writes).map_err(|e| Error::Store(format!("block {number}: {e}")))
    }

    fn write(
        &self,
        number: u64,
        block: &Block,
        places: &[(String, Place)],
        writes: &[Write],
    ) -> Result<(), redb::Error> {
        let mut transaction = self.0.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        {
            let mut blocks = transaction.open_table(BLOCKS)?;
            blocks.insert(number, block.encode_to_vec().as_slice())?;
            let mut transactions = transaction.open_table(TRANSACTIONS)?;
            for (id, place) in places {
                transactions.insert(id.as_str(), (place.block, place.index, place.code as i32 as u8))?;
            }
            let mut state = transaction.open_table(STATE)?;
            for write in writes {
                let Version { block, tx } = write.version;
                state.insert(
                    (write.namespace.as_str(), write.key.as_str(), !block, !tx),
                    write.value.as_deref(),
                )?;
            }
        }
        Ok(transaction.commit()?)
    }
}

/// The state as one peer sees it.
pub struct Snapshot {
    state: ReadOnlyTable<StateKey<'static>, Option<&'static [u8]>>,
    height: u64,
}

impl Snapshot {
    /// The value of a key.
    pub fn get(&self, namespace: &str, key: &str) -> Result<Option<Versioned>, Error> {
        if self.height == 0 {
            return Ok(None);
        }
        let newest = (namespace, key, !(self.height - 1), 0);
        let oldest = (namespace, key, u64::MAX, u64::MAX);
        let Some(found) = self.state.range(newest..=oldest).map_err(store)?.next() else {
            return Ok(None);
        };
        let (key, value) = found.map_err(store)?;
        let (_, _, block, tx) = key.value();
        let version = Version { block: !block, tx: !tx };
        Ok(value.value().map(|value| Versioned { version, value: value.to_vec() }))
    }

    /// The keys from `start` (included) to `end` (excluded; empty for no end), in order.
    pub fn range(
        &self,
        namespace: &str,
        start: &str,
        end: &str,
    ) -> Result<impl Iterator<Item = Result<(String, Versioned), Error>> + use<>, Error> {
        let mut entries = self.state.range((namespace, start, 0, 0)..).map_err(store)?;
        let (namespace, end, height) = (namespace.to_owned(), end.to_owned(), self.height);
        // The last key whose version was chosen; older versions of it follow.
        let mut chosen: Option<String> = None;
        Ok(std::iter::from_fn(move || {
            loop {
                let (key, value) = match entries.next()? {
                    Ok(entry) => entry,
                    Err(e) => return Some(Err(store(e))),
                };
                let (found, name, block, tx) = key.value();
                if found != namespace || (!end.is_empty() && name >= end.as_str()) {
                    return None;
                }
                let version = Version { block: !block, tx: !tx };
                if version.block >= height || chosen.as_deref() == Some(name) {
                    continue;
                }
                chosen = Some(name.to_owned());
                if let Some(value) = value.value() {
                    return Some(Ok((name.to_owned(), Versioned { version, value: value.to_vec() })));
                }
            }
        }))
    }
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
        store.commit(&block(0), &[], &[write("a", 0, 0, Some("1")), write("b", 0, 1, Some("1"))]).unwrap();
        store.commit(&block(1), &[], &[write("a", 1, 0, Some("2")), write("b", 1, 1, None)]).unwrap();
        let twice = [write("a", 2, 0, Some("3")), write("a", 2, 5, Some("4")), write("b", 2, 6, Some("5"))];
        store.commit(&block(2), &[], &twice).unwrap();
        let other = Write { namespace: "nt".into(), ..write("0", 2, 7, Some("x")) };
        store.commit(&block(3), &[], &[other]).unwrap();

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
    fn blocks_and_places_are_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.redb");
        let place = Place { block: 0, index: 2, code: TxValidationCode::PhantomReadConflict };
        {
            let store = Store::open(&path).unwrap();
            store.commit(&block(0), &[("id".into(), place)], &[]).unwrap();
            assert!(matches!(Store::open(&path), Err(Error::Store(_))), "one process at a time");
        }
        let store = Store::open(&path).unwrap();
        assert_eq!(store.block(0).unwrap(), Some(block(0)));
        assert_eq!(store.block(1).unwrap(), None);
        assert_eq!(store.transaction("id").unwrap(), Some(place));
        assert_eq!(store.transaction("no").unwrap(), None);
    }
}
