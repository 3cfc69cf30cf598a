//! The state as of one height.

use super::{StateKey, Version, Versioned, store};
use crate::Error;
use redb::ReadOnlyTable;

type StateTable = ReadOnlyTable<StateKey<'static>, Option<&'static [u8]>>;

/// A version of a key, without a value where it was deleted.
type Entry = (Version, Option<Vec<u8>>);

/// The state as one peer sees it.
pub struct Snapshot {
    state: StateTable,
    metadata: StateTable,
    height: u64,
}

impl Snapshot {
    pub(super) fn new(state: StateTable, metadata: StateTable, height: u64) -> Self {
        Self { state, metadata, height }
    }

    /// How many blocks it has seen.
    pub fn height(&self) -> u64 {
        self.height
    }

    /// The value of a key.
    pub fn get(&self, namespace: &str, key: &str) -> Result<Option<Versioned>, Error> {
        let found = newest(&self.state, self.height, namespace, key)?;
        Ok(found.and_then(|(version, value)| Some(Versioned { version, value: value? })))
    }

    /// The metadata of a key that is there: what was last written as such, serialised.
    pub fn metadata(&self, namespace: &str, key: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(newest(&self.metadata, self.height, namespace, key)?.and_then(|(_, value)| value))
    }

    /// Every version of a key, the newest first; without a value where it was deleted.
    pub fn history(
        &self,
        namespace: &str,
        key: &str,
    ) -> Result<impl Iterator<Item = Result<Entry, Error>> + use<>, Error> {
        let oldest = (namespace, key, u64::MAX, u64::MAX);
        let entries = self.state.range((namespace, key, below(self.height), 0)..=oldest).map_err(store)?;
        Ok(entries.map(|entry| {
            let (key, value) = entry.map_err(store)?;
            let (_, _, block, tx) = key.value();
            Ok((Version { block: !block, tx: !tx }, value.value().map(<[u8]>::to_vec)))
        }))
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

/// The newest entry of a key that `height` blocks have.
fn newest(table: &StateTable, height: u64, namespace: &str, key: &str) -> Result<Option<Entry>, Error> {
    if height == 0 {
        return Ok(None);
    }
    let oldest = (namespace, key, u64::MAX, u64::MAX);
    let Some(found) = table.range((namespace, key, below(height), 0)..=oldest).map_err(store)?.next() else {
        return Ok(None);
    };
    let (key, value) = found.map_err(store)?;
    let (_, _, block, tx) = key.value();
    Ok(Some((Version { block: !block, tx: !tx }, value.value().map(<[u8]>::to_vec))))
}

/// Where the versions of a peer with so many blocks begin.
fn below(height: u64) -> u64 {
    !height.saturating_sub(1)
}
