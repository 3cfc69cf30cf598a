//! Whether everything that a transaction read is still as it was, and what it then changes.

use super::{Endorsed, NamespaceSet};
use crate::Error;
use crate::definition::Definitions;
use crate::ranges;
use crate::simulation::wire;
use crate::store::{Changes, PrivateWrites, Purge, Snapshot, Version, Versioned, Write, hashed_space, hex};
use fabric_protos::kvrwset::{self, KvMetadataEntry, KvMetadataWrite, KvRead, RangeQueryInfo};
use fabric_protos::peer::TxValidationCode as Code;
use prost::Message;
use std::collections::BTreeMap;

/// What the valid transactions of a block change, one after the other.
#[derive(Default)]
pub struct Updates {
    /// The keys that changed, as the last transaction left them.
    latest: BTreeMap<(String, String), Update>,
    changes: Changes,
}

/// A key as a transaction left it; without a value where it was deleted.
struct Update {
    version: Version,
    value: Option<Vec<u8>>,
    metadata: Option<Vec<u8>>,
}

/// What a transaction does to a key.
#[derive(Default)]
struct Operation {
    /// None where it deletes.
    value: Option<Option<Vec<u8>>>,
    metadata: Option<Option<Vec<u8>>>,
}

impl Updates {
    /// Judges the next transaction of the block, and takes what it changes where it is valid.
    pub fn judge(
        &mut self,
        definitions: &Definitions,
        snapshot: &Snapshot,
        endorsed: &Endorsed,
        (tx_id, version): (&str, Version),
    ) -> Result<Code, Error> {
        let code = self.check_reads(definitions, snapshot, &endorsed.sets)?;
        if code == Code::Valid {
            self.apply(definitions, snapshot, &endorsed.sets, tx_id, version)?;
        }
        Ok(code)
    }

    pub fn into_changes(self) -> Changes {
        self.changes
    }

    fn check_reads(
        &self,
        definitions: &Definitions,
        snapshot: &Snapshot,
        sets: &[NamespaceSet],
    ) -> Result<Code, Error> {
        for set in sets {
            let namespace = set.namespace.as_str();
            for read in &set.own.reads {
                let committed = snapshot.get(namespace, &read.key)?;
                if !self.is_unchanged(namespace, &read.key, committed, read.version.as_ref()) {
                    return Ok(Code::MvccReadConflict);
                }
            }
            for range in &set.own.range_queries_info {
                if !ranges::is_of(range.reads_info.as_ref(), &self.range(snapshot, namespace, range)?) {
                    return Ok(Code::PhantomReadConflict);
                }
            }
            for collection in &set.collections {
                let space = hashed_space(namespace, &collection.name);
                for read in &collection.hashed.hashed_reads {
                    let key = hex(&read.key_hash);
                    let committed = definitions.value(snapshot, &space, &key)?;
                    if !self.is_unchanged(&space, &key, committed, read.version.as_ref()) {
                        return Ok(Code::MvccReadConflict);
                    }
                }
            }
        }
        Ok(Code::Valid)
    }

    /// A key that an earlier transaction of the block wrote has changed, whatever it wrote.
    fn is_unchanged(
        &self,
        namespace: &str,
        key: &str,
        committed: Option<Versioned>,
        read: Option<&kvrwset::Version>,
    ) -> bool {
        let committed = committed.map(|found| wire(found.version));
        self.update(namespace, key).is_none() && committed.as_ref() == read
    }

    fn update(&self, namespace: &str, key: &str) -> Option<&Update> {
        self.latest.get(&(namespace.to_owned(), key.to_owned()))
    }

    /// What a range query would read now.
    fn range(
        &self,
        snapshot: &Snapshot,
        namespace: &str,
        range: &RangeQueryInfo,
    ) -> Result<Vec<KvRead>, Error> {
        // When not exhausted, the end is the last key that was seen, and belongs to the range.
        let inside = |key: &str| {
            key >= range.start_key.as_str()
                && match range.itr_exhausted {
                    true => range.end_key.is_empty() || key < range.end_key.as_str(),
                    false => key <= range.end_key.as_str(),
                }
        };
        let mut found = BTreeMap::new();
        for entry in snapshot.range(namespace, &range.start_key, "")? {
            let (key, value) = entry?;
            if !inside(&key) {
                break;
            }
            found.insert(key, value.version);
        }
        let from = (namespace.to_owned(), range.start_key.clone());
        let own = self.latest.range(from..).take_while(|((space, key), _)| space == namespace && inside(key));
        for ((_, key), update) in own {
            match update.value {
                Some(_) => drop(found.insert(key.clone(), update.version)),
                None => drop(found.remove(key)),
            }
        }
        Ok(found.into_iter().map(|(key, version)| KvRead { key, version: Some(wire(version)) }).collect())
    }

    pub fn apply(
        &mut self,
        definitions: &Definitions,
        snapshot: &Snapshot,
        sets: &[NamespaceSet],
        tx_id: &str,
        version: Version,
    ) -> Result<(), Error> {
        for set in sets {
            let namespace = set.namespace.as_str();
            let mut operations: BTreeMap<String, Operation> = BTreeMap::new();
            for write in &set.own.writes {
                let value = (!write.is_delete && !write.value.is_empty()).then(|| write.value.clone());
                operations.entry(write.key.clone()).or_default().value = Some(value);
            }
            for write in &set.own.metadata_writes {
                operations.entry(write.key.clone()).or_default().metadata = Some(serialise(&write.entries));
            }
            self.apply_operations(definitions, snapshot, namespace, operations, version)?;

            for collection in &set.collections {
                let mut operations: BTreeMap<String, Operation> = BTreeMap::new();
                for write in &collection.hashed.hashed_writes {
                    let stays = !write.is_delete && !write.is_purge && !write.value_hash.is_empty();
                    operations.entry(hex(&write.key_hash)).or_default().value =
                        Some(stays.then(|| write.value_hash.clone()));
                    if write.is_purge {
                        self.changes.purges.push(Purge {
                            namespace: namespace.into(),
                            collection: collection.name.clone(),
                            key_hash: write.key_hash.clone(),
                            version,
                        });
                    }
                }
                for write in &collection.hashed.metadata_writes {
                    operations.entry(hex(&write.key_hash)).or_default().metadata =
                        Some(serialise(&write.entries));
                }
                self.apply_operations(
                    definitions,
                    snapshot,
                    &hashed_space(namespace, &collection.name),
                    operations,
                    version,
                )?;
                if !collection.private_hash.is_empty() {
                    self.changes.private.push(PrivateWrites {
                        namespace: namespace.into(),
                        collection: collection.name.clone(),
                        version,
                        tx_id: tx_id.into(),
                        hash: collection.private_hash.clone(),
                    });
                }
            }
        }
        Ok(())
    }

    /// As in Fabric a new value keeps the metadata, new metadata keeps the value and gives it a new version,
    /// and metadata without a value is nothing.
    fn apply_operations(
        &mut self,
        definitions: &Definitions,
        snapshot: &Snapshot,
        namespace: &str,
        operations: BTreeMap<String, Operation>,
        version: Version,
    ) -> Result<(), Error> {
        for (key, operation) in operations {
            // What is stored may have ended its life, and must not come back with a new value.
            let (stored, known) = match self.update(namespace, &key) {
                Some(update) => (update.metadata.clone(), update.metadata.clone()),
                None => {
                    (snapshot.metadata(namespace, &key)?, definitions.metadata(snapshot, namespace, &key)?)
                }
            };
            let value = match operation.value {
                Some(value) => value,
                None => {
                    let latest = match self.update(namespace, &key) {
                        Some(update) => update.value.clone(),
                        None => definitions.value(snapshot, namespace, &key)?.map(|found| found.value),
                    };
                    let Some(latest) = latest else { continue };
                    Some(latest)
                }
            };
            let metadata = match &value {
                Some(_) => operation.metadata.unwrap_or(known),
                None => None,
            };
            let write = |value: Option<Vec<u8>>| Write {
                namespace: namespace.into(),
                key: key.clone(),
                version,
                value,
            };
            self.changes.writes.push(write(value.clone()));
            if metadata != stored {
                self.changes.metadata.push(write(metadata.clone()));
            }
            self.latest.insert((namespace.into(), key), Update { version, value, metadata });
        }
        Ok(())
    }
}

/// Metadata as it is kept; none where it is removed.
fn serialise(entries: &[KvMetadataEntry]) -> Option<Vec<u8>> {
    let written = KvMetadataWrite { key: String::new(), entries: entries.to_vec() };
    (!entries.is_empty()).then(|| written.encode_to_vec())
}

#[cfg(test)]
mod tests {
    use super::super::namespace_set;
    use super::*;
    use crate::config::{ChaincodeDefinition, ChannelConfig};
    use crate::definition::Signer;
    use crate::simulation::{Setting, Simulation};
    use crate::store::Store;
    use fabric_protos::common::{Block, BlockHeader};
    use fabric_protos::kvrwset::{KvWrite, KvrwSet};
    use fabric_protos::queryresult::Kv;
    use fabric_protos::rwset::TxReadWriteSet;
    use msp::Role;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::sync::Arc;

    /// What one transaction does: its writes, none deletes.
    type Writes = Vec<(u8, Option<u8>)>;

    /// What a transaction asks for.
    #[derive(Clone, Debug)]
    enum Query {
        Key(u8),
        /// From, to (to the end when not above from), and how many are looked at.
        Range(u8, u8, usize),
    }

    const KEYS: u8 = 8;

    fn name(key: u8) -> String {
        format!("k{key}")
    }

    fn changes() -> impl Strategy<Value = Writes> {
        vec((0..KEYS, proptest::option::weighted(0.7, any::<u8>())), 1..4)
    }

    fn queries() -> impl Strategy<Value = Vec<Query>> {
        let key = (0..KEYS).prop_map(Query::Key);
        let range = (0..KEYS, 0..KEYS, 1usize..6).prop_map(|(from, to, count)| Query::Range(from, to, count));
        vec(prop_oneof![key, range], 0..3)
    }

    /// The versions of the keys that are there: a state as plain as can be.
    type Model = BTreeMap<String, Version>;

    fn apply(model: &mut Model, changes: &Writes, version: Version) {
        for (key, value) in changes {
            match value {
                Some(_) => model.insert(name(*key), version),
                None => model.remove(&name(*key)),
            };
        }
    }

    fn set(changes: &Writes) -> Vec<NamespaceSet> {
        let write = |(key, value): &(u8, Option<u8>)| KvWrite {
            key: name(*key),
            is_delete: value.is_none(),
            value: value.map(|value| vec![value]).unwrap_or_default(),
        };
        let own = KvrwSet { writes: changes.iter().map(write).collect(), ..Default::default() };
        vec![NamespaceSet { namespace: "cc".into(), own, collections: Vec::new() }]
    }

    fn end(from: u8, to: u8) -> String {
        if to > from { name(to) } else { String::new() }
    }

    /// The part of a range that a query of this count depends on: what it read, which is one more than it
    /// gives, and whether that is all.
    fn seen(model: &Model, from: u8, to: u8, count: usize) -> (Vec<(String, Version)>, bool) {
        let end = end(from, to);
        let inside = |key: &String| *key >= name(from) && (end.is_empty() || *key < end);
        let all: Vec<_> =
            model.iter().filter(|(key, _)| inside(key)).map(|(key, v)| (key.clone(), *v)).collect();
        let exhausted = all.len() <= count;
        (all.into_iter().take(count.saturating_add(1)).collect(), exhausted)
    }

    /// The verdict by the definition: every answer would be the same now, and no key that was read by
    /// name was written in the same block.
    fn expected(then: &Model, now: &Model, written: &BTreeSet<String>, queries: &[Query]) -> Code {
        for query in queries {
            if let Query::Key(key) = query {
                let key = name(*key);
                if written.contains(&key) || then.get(&key) != now.get(&key) {
                    return Code::MvccReadConflict;
                }
            }
        }
        for query in queries {
            if let Query::Range(from, to, count) = query {
                let (before, exhausted) = seen(then, *from, *to, *count);
                let after = match (exhausted, before.last()) {
                    (true, _) => seen(now, *from, *to, usize::MAX).0,
                    (false, Some((last, _))) => {
                        let all = seen(now, *from, *to, usize::MAX).0;
                        all.into_iter().filter(|(key, _)| key <= last).collect()
                    }
                    (false, None) => unreachable!("at least one entry is looked at"),
                };
                if before != after {
                    return Code::PhantomReadConflict;
                }
            }
        }
        Code::Valid
    }

    fn definitions() -> Arc<Definitions> {
        let channel = ChannelConfig::new("ch", vec![ChaincodeDefinition::new("cc", "1")]);
        Arc::new(Definitions::new(&channel, &["Org1MSP".into()]))
    }

    fn setting() -> Setting {
        let creator = Signer { msp_id: "Org1MSP".into(), role: Role::Client };
        Setting { definitions: definitions(), msp_id: "Org1MSP".into(), creator, tx_id: "tx".into() }
    }

    fn key(result: &Vec<u8>) -> String {
        Kv::decode(result.as_slice()).unwrap().key
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn verdicts_are_those_of_the_definition(
            history in vec(vec(changes(), 1..4), 1..6),
            lag in 0usize..4,
            queries in queries(),
            earlier in vec(changes(), 0..3),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(&dir.path().join("ledger.redb")).unwrap();
            let mut models = vec![Model::new()];
            for (number, transactions) in history.iter().enumerate() {
                let mut updates = Updates::default();
                let mut model = models[number].clone();
                for (index, changes) in transactions.iter().enumerate() {
                    let version = Version { block: number as u64, tx: index as u64 };
                    updates.apply(&definitions(), &store.snapshot(number as u64).unwrap(), &set(changes), "", version).unwrap();
                    apply(&mut model, changes, version);
                }
                let header = Some(BlockHeader { number: number as u64, ..Default::default() });
                let block = Block { header, ..Default::default() };
                store.commit(&block, &updates.into_changes()).unwrap();
                models.push(model);
            }

            // Simulated some blocks ago …
            let simulated = history.len().saturating_sub(lag);
            let snapshot = store.snapshot(simulated as u64).unwrap();
            let mut simulation = Simulation::new("cc", setting(), snapshot).unwrap();
            for (i, query) in queries.iter().enumerate() {
                match query {
                    Query::Key(key) => drop(simulation.get("cc", &name(*key)).unwrap()),
                    Query::Range(from, to, count) => {
                        let (start, end) = (name(*from), end(*from, *to));
                        let page = simulation.range(&i.to_string(), "cc", &start, &end, *count).unwrap();
                        let (entries, exhausted) = seen(&models[simulated], *from, *to, *count);
                        let given: Vec<_> = entries.into_iter().take(*count).map(|(key, _)| key).collect();
                        prop_assert_eq!(page.results.iter().map(key).collect::<Vec<_>>(), given);
                        prop_assert_eq!(page.more, !exhausted);
                    }
                }
            }
            let sets = TxReadWriteSet::decode(simulation.into_results().public.as_slice()).unwrap();
            let sets: Vec<_> = sets.ns_rwset.into_iter().map(|set| namespace_set(set).unwrap()).collect();

            // … and judged now, after others in the same block.
            let number = history.len() as u64;
            let mut updates = Updates::default();
            let mut now = models[history.len()].clone();
            let mut written = BTreeSet::new();
            for (index, changes) in earlier.iter().enumerate() {
                let version = Version { block: number, tx: index as u64 };
                updates.apply(&definitions(), &store.snapshot(number).unwrap(), &set(changes), "", version).unwrap();
                apply(&mut now, changes, version);
                written.extend(changes.iter().map(|(key, _)| name(*key)));
            }
            let verdict = updates.check_reads(&definitions(), &store.snapshot(number).unwrap(), &sets).unwrap();
            prop_assert_eq!(verdict, expected(&models[simulated], &now, &written, &queries));
        }
    }
}
