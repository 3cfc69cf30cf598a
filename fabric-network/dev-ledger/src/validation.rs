//! The verdict on every transaction of a block, in the order and with the codes of Fabric's committer.

use crate::Error;
use crate::channel::Channel;
use crate::endorser::proposal_hash;
use crate::store::{Snapshot, Version, Write};
use fabric_protos::common::{ChannelHeader, Envelope, Header, HeaderType, Payload, SignatureHeader};
use fabric_protos::hash::transaction_id;
use fabric_protos::kvrwset::{self, KvrwSet, RangeQueryInfo, range_query_info::ReadsInfo};
use fabric_protos::peer::TxValidationCode as Code;
use fabric_protos::peer::{
    ChaincodeAction, ChaincodeActionPayload, ChaincodeEndorsedAction, ChaincodeHeaderExtension,
    ProposalResponsePayload, Transaction,
};
use fabric_protos::rwset::TxReadWriteSet;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};

/// What became of a block's transactions.
pub struct Verdicts {
    /// Id (empty where it cannot be read) and verdict, in the order of the block.
    pub transactions: Vec<(String, Code)>,
    /// What the valid ones write.
    pub writes: Vec<Write>,
}

/// Judges the transactions of block `number` on the state of all blocks before it.
pub fn validate(channel: &Channel, number: u64, batch: &[Vec<u8>]) -> Result<Verdicts, Error> {
    let snapshot = channel.store.snapshot(number)?;
    let mut transactions = Vec::with_capacity(batch.len());
    let mut updates = Updates::default();
    let mut seen = BTreeSet::new();
    for (index, envelope) in batch.iter().enumerate() {
        let (id, checked) = check(channel, envelope);
        let code = match checked {
            Err(code) => code,
            Ok(_) if channel.store.transaction(&id)?.is_some() || !seen.insert(id.clone()) => {
                Code::DuplicateTxid
            }
            Ok(sets) => {
                let code = check_reads(&snapshot, &updates, &sets)?;
                if code == Code::Valid {
                    updates.apply(sets, Version { block: number, tx: index as u64 });
                }
                code
            }
        };
        if code != Code::Valid {
            tracing::warn!(tx = id, block = number, "transaction is invalid: {}", code.as_str_name());
        }
        transactions.push((id, code));
    }
    Ok(Verdicts { transactions, writes: updates.into_writes() })
}

/// Reads and writes by namespace.
type Sets = Vec<(String, KvrwSet)>;

/// Everything about a transaction that does not depend on the state: form, creator, endorsements.
fn check(channel: &Channel, envelope: &[u8]) -> (String, Result<Sets, Code>) {
    let mut id = String::new();
    let sets = check_form(channel, envelope, &mut id);
    (id, sets)
}

fn check_form(channel: &Channel, envelope: &[u8], id: &mut String) -> Result<Sets, Code> {
    let envelope = Envelope::decode(envelope).map_err(|_| Code::InvalidOtherReason)?;
    if envelope.payload.is_empty() {
        return Err(Code::NilEnvelope);
    }
    let payload = Payload::decode(envelope.payload.as_slice()).map_err(|_| Code::BadPayload)?;
    let header = payload.header.ok_or(Code::BadCommonHeader)?;
    let channel_header =
        ChannelHeader::decode(header.channel_header.as_slice()).map_err(|_| Code::BadCommonHeader)?;
    let signature_header =
        SignatureHeader::decode(header.signature_header.as_slice()).map_err(|_| Code::BadCommonHeader)?;
    if channel_header.epoch != 0 || signature_header.nonce.is_empty() || signature_header.creator.is_empty() {
        return Err(Code::BadCommonHeader);
    }
    let verified = channel
        .identity(&signature_header.creator)
        .and_then(|creator| creator.certificate().verify(&envelope.payload, &envelope.signature));
    verified.map_err(|_| Code::BadCreatorSignature)?;
    if channel_header.r#type != HeaderType::EndorserTransaction as i32 {
        return Err(Code::UnsupportedTxPayload);
    }
    if channel_header.tx_id != transaction_id(&signature_header.nonce, &signature_header.creator) {
        return Err(Code::BadProposalTxid);
    }
    id.clone_from(&channel_header.tx_id);
    if channel_header.channel_id != channel.name {
        return Err(Code::TargetChainNotFound);
    }
    check_action(channel, &header, &channel_header, &payload.data)
}

/// The one action of a transaction: that it is the proposal's, and endorsed.
fn check_action(
    channel: &Channel,
    header: &Header,
    channel_header: &ChannelHeader,
    data: &[u8],
) -> Result<Sets, Code> {
    let bad = |_| Code::InvalidEndorserTransaction;
    let transaction = Transaction::decode(data).map_err(|_| Code::BadPayload)?;
    let [action] = transaction.actions.as_slice() else {
        return Err(Code::InvalidEndorserTransaction);
    };
    if action.header != header.signature_header {
        return Err(Code::InvalidEndorserTransaction);
    }
    let payload = ChaincodeActionPayload::decode(action.payload.as_slice()).map_err(bad)?;
    let endorsed = payload.action.ok_or(Code::NilTxaction)?;
    let response =
        ProposalResponsePayload::decode(endorsed.proposal_response_payload.as_slice()).map_err(bad)?;
    if response.proposal_hash != proposal_hash(header, &payload.chaincode_proposal_payload) {
        return Err(Code::InvalidEndorserTransaction);
    }

    let extension = ChaincodeHeaderExtension::decode(channel_header.extension.as_slice())
        .map_err(|_| Code::BadHeaderExtension)?;
    let outcome =
        ChaincodeAction::decode(response.extension.as_slice()).map_err(|_| Code::BadResponsePayload)?;
    let proposed = extension.chaincode_id.ok_or(Code::BadHeaderExtension)?.name;
    let executed = outcome.chaincode_id.ok_or(Code::InvalidOtherReason)?.name;
    if proposed != executed || executed != channel.chaincode {
        return Err(Code::InvalidChaincode);
    }
    let sets = TxReadWriteSet::decode(outcome.results.as_slice()).map_err(|_| Code::BadRwset)?;
    let read = |set: fabric_protos::rwset::NsReadWriteSet| {
        let own = KvrwSet::decode(set.rwset.as_slice()).map_err(|_| Code::BadRwset)?;
        Ok((set.namespace, own))
    };
    let sets: Sets = sets.ns_rwset.into_iter().map(read).collect::<Result<_, _>>()?;
    check_endorsements(channel, &endorsed)?;
    if sets.iter().any(|(namespace, set)| !set.writes.is_empty() && *namespace != executed) {
        return Err(Code::IllegalWriteset);
    }
    Ok(sets)
}

/// Those whose signatures hold must satisfy the policy; others do not count.
fn check_endorsements(channel: &Channel, endorsed: &ChaincodeEndorsedAction) -> Result<(), Code> {
    let mut endorsers = BTreeMap::new();
    for endorsement in &endorsed.endorsements {
        let Ok(endorser) = channel.identity(&endorsement.endorser) else {
            continue;
        };
        let message = [endorsed.proposal_response_payload.as_slice(), &endorsement.endorser].concat();
        if endorser.certificate().verify(&message, &endorsement.signature).is_ok() {
            endorsers.insert(endorsement.endorser.clone(), endorser);
        }
    }
    let signers: Vec<_> = endorsers.values().map(AsRef::as_ref).collect();
    if channel.policy.evaluate(&signers, &channel.msps) {
        Ok(())
    } else {
        Err(Code::EndorsementPolicyFailure)
    }
}

/// What the valid transactions before this one write in the same block.
#[derive(Default)]
struct Updates(BTreeMap<(String, String), Update>);

/// By which transaction, and the value; none where it deletes.
type Update = (Version, Option<Vec<u8>>);

impl Updates {
    fn apply(&mut self, sets: Sets, version: Version) {
        for (namespace, set) in sets {
            for write in set.writes {
                let value = (!write.is_delete && !write.value.is_empty()).then_some(write.value);
                self.0.insert((namespace.clone(), write.key), (version, value));
            }
        }
    }

    fn get(&self, namespace: &str, key: &str) -> Option<&Update> {
        self.0.get(&(namespace.to_owned(), key.to_owned()))
    }

    fn into_writes(self) -> Vec<Write> {
        let write = |((namespace, key), (version, value))| Write { namespace, key, version, value };
        self.0.into_iter().map(write).collect()
    }
}

/// Whether everything that was read is still as it was.
fn check_reads(snapshot: &Snapshot, updates: &Updates, sets: &Sets) -> Result<Code, Error> {
    for (namespace, set) in sets {
        for read in &set.reads {
            // A key that an earlier transaction of the block wrote has changed, whatever it wrote.
            if updates.get(namespace, &read.key).is_some() {
                return Ok(Code::MvccReadConflict);
            }
            let committed = snapshot.get(namespace, &read.key)?.map(|found| found.version);
            if committed != read.version.as_ref().map(version) {
                return Ok(Code::MvccReadConflict);
            }
        }
        for range in &set.range_queries_info {
            if !check_range(snapshot, updates, namespace, range)? {
                return Ok(Code::PhantomReadConflict);
            }
        }
    }
    Ok(Code::Valid)
}

/// Whether the range still has the keys and versions that were seen.
fn check_range(
    snapshot: &Snapshot,
    updates: &Updates,
    namespace: &str,
    range: &RangeQueryInfo,
) -> Result<bool, Error> {
    // Our endorsers write the reads themselves; a summary by hashes cannot be theirs.
    let seen = match &range.reads_info {
        Some(ReadsInfo::RawReads(reads)) => reads.kv_reads.as_slice(),
        Some(ReadsInfo::ReadsMerkleHashes(_)) => return Ok(false),
        None => &[],
    };
    // When not exhausted, the end is the last key that was seen, and belongs to the range.
    let inside = |key: &str| {
        key >= range.start_key.as_str()
            && match range.itr_exhausted {
                true => range.end_key.is_empty() || key < range.end_key.as_str(),
                false => key <= range.end_key.as_str(),
            }
    };
    let from = (namespace.to_owned(), range.start_key.clone());
    let own = updates.0.range(from..).take_while(|((found, key), _)| found == namespace && inside(key));
    let mut current: BTreeMap<&str, Version> = BTreeMap::new();
    let mut deleted = BTreeSet::new();
    for ((_, key), (version, value)) in own {
        match value {
            Some(_) => drop(current.insert(key, *version)),
            None => drop(deleted.insert(key.as_str())),
        }
    }
    let mut expected = seen.iter();
    let mut next_expected = expected.next();
    let mut matches = |key: &str, found: Version| {
        let Some(read) = next_expected else {
            return false;
        };
        next_expected = expected.next();
        read.key == key && read.version.as_ref().map(version) == Some(found)
    };
    for entry in snapshot.range(namespace, &range.start_key, "")? {
        let (key, found) = entry?;
        if !inside(&key) {
            break;
        }
        // Keys written in this block that sort before the next committed one come first.
        while let Some(own) = current.first_entry().filter(|own| *own.key() < key.as_str()) {
            let (own, version) = own.remove_entry();
            if !matches(own, version) {
                return Ok(false);
            }
        }
        let version = current.remove(key.as_str()).unwrap_or(found.version);
        if !deleted.contains(key.as_str()) && !matches(&key, version) {
            return Ok(false);
        }
    }
    for (key, version) in current {
        if !matches(key, version) {
            return Ok(false);
        }
    }
    Ok(next_expected.is_none())
}

fn version(version: &kvrwset::Version) -> Version {
    Version { block: version.block_num, tx: version.tx_num }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::Simulation;
    use crate::store::Store;
    use fabric_protos::common::{Block, BlockHeader};
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// What one transaction does: its writes, none deletes.
    type Changes = Vec<(u8, Option<u8>)>;

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

    fn changes() -> impl Strategy<Value = Changes> {
        vec((0..KEYS, proptest::option::weighted(0.7, any::<u8>())), 1..4)
    }

    fn queries() -> impl Strategy<Value = Vec<Query>> {
        let key = (0..KEYS).prop_map(Query::Key);
        let range = (0..KEYS, 0..KEYS, 1usize..6).prop_map(|(from, to, count)| Query::Range(from, to, count));
        vec(prop_oneof![key, range], 0..3)
    }

    /// The versions of the keys that are there: a state as plain as can be.
    type Model = BTreeMap<String, Version>;

    fn apply(model: &mut Model, changes: &Changes, version: Version) {
        for (key, value) in changes {
            match value {
                Some(_) => model.insert(name(*key), version),
                None => model.remove(&name(*key)),
            };
        }
    }

    fn set(changes: &Changes) -> Sets {
        let write = |(key, value): &(u8, Option<u8>)| fabric_protos::kvrwset::KvWrite {
            key: name(*key),
            is_delete: value.is_none(),
            value: value.map(|value| vec![value]).unwrap_or_default(),
        };
        vec![("cc".into(), KvrwSet { writes: changes.iter().map(write).collect(), ..Default::default() })]
    }

    fn end(from: u8, to: u8) -> String {
        if to > from { name(to) } else { String::new() }
    }

    /// The part of a range that a query of this count depends on: what it saw, and whether that is all.
    fn seen(model: &Model, from: u8, to: u8, count: usize) -> (Vec<(String, Version)>, bool) {
        let end = end(from, to);
        let inside = |key: &String| *key >= name(from) && (end.is_empty() || *key < end);
        let all: Vec<_> =
            model.iter().filter(|(key, _)| inside(key)).map(|(key, v)| (key.clone(), *v)).collect();
        let exhausted = all.len() <= count;
        (all.into_iter().take(count).collect(), exhausted)
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
                    updates.apply(set(changes), version);
                    apply(&mut model, changes, version);
                }
                let header = Some(BlockHeader { number: number as u64, ..Default::default() });
                let block = Block { header, ..Default::default() };
                store.commit(&block, &[], &updates.into_writes()).unwrap();
                models.push(model);
            }

            // Simulated some blocks ago …
            let simulated = history.len().saturating_sub(lag);
            let snapshot = store.snapshot(simulated as u64).unwrap();
            let mut simulation = Simulation::new("cc", snapshot).unwrap();
            for (i, query) in queries.iter().enumerate() {
                match query {
                    Query::Key(key) => drop(simulation.get(&name(*key)).unwrap()),
                    Query::Range(from, to, count) => {
                        let page = simulation.range(&i.to_string(), &name(*from), &end(*from, *to), *count).unwrap();
                        let (entries, exhausted) = seen(&models[simulated], *from, *to, *count);
                        let keys = |all: Vec<(String, Version)>| all.into_iter().map(|(key, _)| key).collect::<Vec<_>>();
                        prop_assert_eq!(page.entries.into_iter().map(|(key, _)| key).collect::<Vec<_>>(), keys(entries));
                        prop_assert_eq!(page.more, !exhausted);
                    }
                }
            }
            let sets = TxReadWriteSet::decode(simulation.results().as_slice()).unwrap();
            let sets: Sets = sets.ns_rwset.into_iter()
                .map(|set| (set.namespace, KvrwSet::decode(set.rwset.as_slice()).unwrap())).collect();

            // … and judged now, after others in the same block.
            let number = history.len() as u64;
            let mut updates = Updates::default();
            let mut now = models[history.len()].clone();
            let mut written = BTreeSet::new();
            for (index, changes) in earlier.iter().enumerate() {
                let version = Version { block: number, tx: index as u64 };
                updates.apply(set(changes), version);
                apply(&mut now, changes, version);
                written.extend(changes.iter().map(|(key, _)| name(*key)));
            }
            let verdict = check_reads(&store.snapshot(number).unwrap(), &updates, &sets).unwrap();
            prop_assert_eq!(verdict, expected(&models[simulated], &now, &written, &queries));
        }
    }
}
