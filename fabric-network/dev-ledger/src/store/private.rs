//! Private data: from where it waits for its block into the state, and out of it when it expires or is purged.

use super::{
    Changes, PRIVATE, PrivateKey, PrivateWrites, Purge, StateTable, TRANSIENT, Version, private_space,
};
use fabric_protos::kvrwset::KvrwSet;
use prost::Message;
use redb::{ReadableTable, Table, WriteTransaction};
use sha2::{Digest, Sha256};

type PrivateTable<'t> = Table<'t, PrivateKey<'static>, &'static [u8]>;

/// Moves private data from where it waited into the state, and deletes what has expired or is purged.
pub fn write(
    transaction: &WriteTransaction,
    state: &mut StateTable<'_>,
    changes: &Changes,
) -> Result<(), redb::Error> {
    let mut transient = transaction.open_table(TRANSIENT)?;
    let mut private = transaction.open_table(PRIVATE)?;
    for writes in &changes.private {
        let PrivateWrites { namespace, collection, version: Version { block, tx }, tx_id, hash } = writes;
        let Some(found) = transient.get((tx_id.as_str(), hash.as_slice()))? else {
            tracing::warn!(tx = tx_id, block, "private data for {namespace}/{collection} is missing");
            continue;
        };
        let bytes = found.value().1.to_vec();
        // What waits here was encoded by this ledger.
        let set = KvrwSet::decode(bytes.as_slice()).unwrap_or_default();
        let space = private_space(namespace, collection);
        for write in &set.writes {
            let value = (!write.is_delete).then_some(write.value.as_slice());
            state.insert((space.as_str(), write.key.as_str(), !block, !tx), value)?;
        }
        for touched in &set.metadata_writes {
            if set.writes.iter().any(|write| write.key == touched.key) {
                continue;
            }
            // New metadata gives the value a new version, on this side as on the hashed one.
            let all = (space.as_str(), touched.key.as_str(), 0, 0)
                ..=(space.as_str(), touched.key.as_str(), u64::MAX, u64::MAX);
            let newest = match state.range(all)?.next() {
                Some(entry) => entry?.1.value().map(<[u8]>::to_vec),
                None => None,
            };
            if let Some(value) = newest {
                state.insert((space.as_str(), touched.key.as_str(), !block, !tx), Some(value.as_slice()))?;
            }
        }
        private.insert((*block, *tx, namespace.as_str(), collection.as_str()), bytes.as_slice())?;
    }
    // Not before: what a transaction wrote alike to two collections waits once for both.
    for PrivateWrites { tx_id, hash, .. } in &changes.private {
        transient.remove((tx_id.as_str(), hash.as_slice()))?;
    }
    for one in &changes.purges {
        purge(state, &mut private, one)?;
    }
    for (namespace, collection, block) in &changes.expired {
        expire(state, &mut private, (namespace, collection), *block)?;
    }
    Ok(())
}

/// Deletes every value that a key held up to this version.
fn purge(
    state: &mut StateTable<'_>,
    private: &mut PrivateTable<'_>,
    purge: &Purge,
) -> Result<(), redb::Error> {
    let space = private_space(&purge.namespace, &purge.collection);
    let Version { block, tx } = purge.version;
    let mut gone = Vec::new();
    for entry in state.range((space.as_str(), "", 0, 0)..)? {
        let (key, _) = entry?;
        let (found, name, not_block, not_tx) = key.value();
        if found != space {
            break;
        }
        if (!not_block, !not_tx) <= (block, tx) && Sha256::digest(name).as_slice() == purge.key_hash {
            gone.push((name.to_owned(), !not_block, !not_tx));
        }
    }
    for (name, block, tx) in gone {
        state.remove((space.as_str(), name.as_str(), !block, !tx))?;
        forget(private, (block, tx, &purge.namespace, &purge.collection), &name)?;
    }
    Ok(())
}

/// Deletes what a block wrote in a collection.
fn expire(
    state: &mut StateTable<'_>,
    private: &mut PrivateTable<'_>,
    (namespace, collection): (&str, &str),
    block: u64,
) -> Result<(), redb::Error> {
    let space = private_space(namespace, collection);
    let mut gone = Vec::new();
    for entry in private.range((block, 0, "", "")..(block + 1, 0, "", ""))? {
        let (key, set) = entry?;
        let (_, tx, found, name) = key.value();
        if (found, name) == (namespace, collection) {
            gone.push((tx, KvrwSet::decode(set.value()).unwrap_or_default()));
        }
    }
    for (tx, set) in gone {
        let keys = set.writes.iter().map(|write| &write.key);
        for key in keys.chain(set.metadata_writes.iter().map(|write| &write.key)) {
            state.remove((space.as_str(), key.as_str(), !block, !tx))?;
        }
        private.remove((block, tx, namespace, collection))?;
    }
    Ok(())
}

/// Takes a key out of what a transaction wrote.
fn forget(private: &mut PrivateTable<'_>, at: PrivateKey<'_>, key: &str) -> Result<(), redb::Error> {
    let Some(bytes) = private.get(at)?.map(|set| set.value().to_vec()) else {
        return Ok(());
    };
    let mut set = KvrwSet::decode(bytes.as_slice()).unwrap_or_default();
    set.writes.retain(|write| write.key != key);
    private.insert(at, set.encode_to_vec().as_slice())?;
    Ok(())
}
