//! The committer's verdict on a job's transactions, made again: signatures, ids, endorsement policies, reads.
//!
//! Validation codes are no part of what a block's hash covers: each peer writes its own, and one that lies can have a
//! transaction count that does not, or hide one that does. So the codes of the job's transactions are made from the
//! blocks, and those of the transactions that write the members' clocks, by which jobs expire. Those of others are taken from
//! the peer, for they write under none of these keys.

use super::channel::{Channel, LIFECYCLE, Signer};
use fabric_protos::kvrwset::{KvMetadataEntry, KvRead, RangeQueryInfo, range_query_info::ReadsInfo};
use gateway_client::{Block, Kind, ReadWriteSet, TransactionInfo, TxValidationCode as Code};
use msp::{Identity, Msps, Policy, Role};
use records::{JobId, key};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// The namespace of definitions of before Fabric 2.0, in which the new lifecycle looks for names.
const LEGACY_LIFECYCLE: &str = "lscc";
/// Name of the metadata entry that holds a key's own policy.
const KEY_POLICY: &str = "VALIDATION_PARAMETER";

/// A place in the chain: number of the block, index of the transaction.
type Version = (u64, u64);

/// What the blocks so far left, as far as verdicts need it.
pub(super) struct Validation<'a> {
    /// The organisations as they are known otherwise than from the ledger.
    given: Option<&'a Msps>,
    channel: Channel,
    /// Ids of all transactions, and whether one of them is its creator's.
    ids: HashMap<String, bool>,
    /// The keys that are there, by namespace: of the job contract and of the definitions.
    state: BTreeMap<String, BTreeMap<String, Version>>,
    /// Policies of single keys of the job contract.
    key_policies: BTreeMap<String, Vec<u8>>,
    /// Who is what, by MSP identifier and certificate.
    known: HashMap<(String, Vec<u8>), Option<Role>>,
    pub(super) judged: u64,
    notes: BTreeSet<String>,
}

/// A verdict that the blocks give.
enum Verdict {
    Valid,
    Invalid(Code, String),
    /// Why the blocks do not tell.
    Open(String),
}

/// What a block says otherwise than its peer.
#[derive(Default)]
pub(super) struct Found {
    /// The block with the right codes, where they differ.
    pub(super) corrected: Option<Block>,
    pub(super) defects: Vec<String>,
}

impl<'a> Validation<'a> {
    pub(super) fn new(given: Option<&'a Msps>) -> Self {
        Self {
            given,
            channel: Channel::default(),
            ids: HashMap::new(),
            state: BTreeMap::new(),
            key_policies: BTreeMap::new(),
            known: HashMap::new(),
            judged: 0,
            notes: BTreeSet::new(),
        }
    }

    /// What could not be checked and what a reader must know.
    pub(super) fn notes(self) -> Vec<String> {
        self.notes.into_iter().collect()
    }

    /// Takes the next block of the chain.
    pub(super) fn follow(&mut self, block: &Block, chaincode: &str, id: &JobId) -> Found {
        let mut found = Found::default();
        let (mut valid_ids, mut definitions) = (HashSet::new(), Vec::new());
        for (index, transaction) in (0..).zip(&block.transactions) {
            let place = (block.number, index);
            if transaction.kind == Kind::Config {
                if transaction.validation_code == Code::Valid {
                    self.configure(block, transaction, &mut found);
                }
                continue;
            }
            let sets = transaction.read_write_sets();
            let writes_to = |namespace: &str| sets.iter().any(|set| set.namespace == namespace);
            let is_definition =
                sets.iter().any(|set| set.namespace == LIFECYCLE && !set.own.writes.is_empty());
            let writes_key = |is: &dyn Fn(&str) -> bool| {
                writes_to(chaincode)
                    && transaction.writes.iter().any(|w| w.namespace == chaincode && is(&w.key))
            };
            let id = id.to_string();
            let is_of_job = writes_key(&|key| key.contains(&id));
            let is_clock = writes_key(&|written| key::object_type(written) == Some(key::CLOCK));
            let mut code = transaction.validation_code;
            let mut defines = false;
            if is_of_job || is_clock || is_definition {
                self.judged += u64::from(is_of_job);
                let checked = self.check(block, index as usize, &sets, chaincode, &valid_ids, &mut found);
                defines = checked == Code::Valid;
                // All that followed read the definition that the peer had: it gives versions, and no policy.
                code = if is_of_job || is_clock { checked } else { code };
            }
            if code == Code::Valid {
                valid_ids.insert(transaction.transaction_id.clone());
                for set in &sets {
                    match set.namespace.as_str() {
                        LIFECYCLE => {
                            self.apply(set, place, false);
                            definitions.extend(defines.then(|| set.own.writes.clone()).into_iter().flatten());
                        }
                        LEGACY_LIFECYCLE => self.apply(set, place, false),
                        name if name == chaincode => self.apply(set, place, true),
                        _ => {}
                    }
                }
            }
        }
        // A definition holds from the next block on.
        for write in definitions {
            self.channel.define(&write.key, (!write.is_delete).then_some(write.value.as_slice()));
        }
        for transaction in block.transactions.iter().filter(|t| !t.transaction_id.is_empty()) {
            *self.ids.entry(transaction.transaction_id.clone()).or_default() |= transaction.has_own_id();
        }
        found
    }

    fn configure(&mut self, block: &Block, transaction: &TransactionInfo, found: &mut Found) {
        if block.number > 0 {
            self.notes.insert(format!(
                "block {} changes the channel's configuration; whether its signatures allow that is not checked",
                block.number
            ));
        }
        self.known.clear();
        let config = transaction.config().ok_or_else(|| "it cannot be read".to_owned());
        if let Err(e) = config.and_then(|config| self.channel.configure(config)) {
            found.defects.push(format!("block {}, configuration of the channel: {e}", block.number));
        }
    }

    /// The code of a transaction, and what is to be said where the peer gives another one.
    fn check(
        &mut self,
        block: &Block,
        index: usize,
        sets: &[ReadWriteSet],
        chaincode: &str,
        valid_ids: &HashSet<String>,
        found: &mut Found,
    ) -> Code {
        let transaction = &block.transactions[index];
        let said = transaction.validation_code;
        let place = format!("block {}, transaction {}", block.number, transaction.transaction_id);
        let code = match self.judge(transaction, sets, chaincode, valid_ids) {
            Verdict::Valid if said == Code::Valid => return said,
            Verdict::Valid if REPEATED.contains(&said) => {
                let name = said.as_str_name();
                found
                    .defects
                    .push(format!("{place}: the peer calls it invalid ({name}); nothing is wrong with it"));
                Code::Valid
            }
            Verdict::Valid => {
                let name = said.as_str_name();
                self.notes.insert(format!("{place}: invalid for a reason that is not checked here ({name})"));
                return said;
            }
            Verdict::Open(why) => {
                self.notes
                    .insert(format!("{place}: taken as the peer has it ({}), for {why}", said.as_str_name()));
                return said;
            }
            Verdict::Invalid(..) if said != Code::Valid => return said,
            Verdict::Invalid(code, why) => {
                found.defects.push(format!("{place}: the peer calls it valid; it is not: {why}"));
                code
            }
        };
        let corrected = found.corrected.get_or_insert_with(|| block.clone());
        corrected.transactions[index].validation_code = code;
        code
    }

    fn judge(
        &mut self,
        transaction: &TransactionInfo,
        sets: &[ReadWriteSet],
        chaincode: &str,
        valid_ids: &HashSet<String>,
    ) -> Verdict {
        if let Some(defect) = &transaction.defect {
            return Verdict::Invalid(Code::BadPayload, defect.clone());
        }
        if let Err(e) = transaction.verify_signature() {
            return Verdict::Invalid(Code::BadCreatorSignature, e.to_string());
        }
        let creator = &transaction.creator;
        if self.role(&creator.msp_id, &creator.certificate).is_none() {
            let why = format!("its creator's certificate is none of {}", creator.msp_id);
            return Verdict::Invalid(Code::BadCreatorSignature, why);
        }
        let id = &transaction.transaction_id;
        let before = self.ids.get(id);
        if before == Some(&false) {
            // Fabric counts it, a development ledger does not.
            return Verdict::Open("an envelope that is not its creator's took its identifier before".into());
        }
        if before.is_some() || valid_ids.contains(id) {
            return Verdict::Invalid(
                Code::DuplicateTxid,
                "there is a transaction of this id before it".into(),
            );
        }
        match self.check_policies(transaction, sets, chaincode) {
            Verdict::Valid => self.check_reads(sets, chaincode),
            other => other,
        }
    }

    fn check_policies(
        &mut self,
        transaction: &TransactionInfo,
        sets: &[ReadWriteSet],
        chaincode: &str,
    ) -> Verdict {
        let signed = transaction.signers();
        let signers: Vec<Signer> = signed
            .into_iter()
            .filter_map(|endorser| {
                let role = self.role(&endorser.msp_id, &endorser.certificate)?;
                Some(Signer { msp_id: endorser.msp_id.clone(), role })
            })
            .collect();
        let by = || match signers.is_empty() {
            true => "nobody".to_owned(),
            false => signers.iter().map(|s| s.msp_id.as_str()).collect::<Vec<_>>().join(", "),
        };
        let failed = |why: String| Verdict::Invalid(Code::EndorsementPolicyFailure, why);
        if signers.is_empty() {
            return failed("it has no endorsement that counts".into());
        }
        let mut open = None;
        let written = sets.iter().filter(|set| set.writes()).map(|set| set.namespace.as_str());
        let namespaces: BTreeSet<&str> = written.chain([transaction.chaincode.as_str()]).collect();
        for namespace in namespaces {
            let required = match self.channel.required(namespace) {
                Ok(required) => required,
                Err(why) => {
                    open.get_or_insert(why);
                    continue;
                }
            };
            if namespace == chaincode && !self.channel.defines(namespace) {
                self.notes.insert(format!(
                    "the blocks hold no definition of chaincode {namespace}: the channel's policy Endorsement is taken"
                ));
            }
            let set = sets.iter().find(|set| set.namespace == namespace);
            let keys: Vec<&str> = set.map(keys_written).unwrap_or_default();
            let own = keys
                .iter()
                .filter_map(|key| (namespace == chaincode).then(|| self.key_policies.get(*key))?);
            let own: Vec<_> = own.cloned().collect();
            // A key with a policy of its own does not ask for the chaincode's.
            if (keys.is_empty() || own.len() < keys.len()) && !required.holds(&signers) {
                return failed(format!(
                    "the endorsement policy of {namespace} does not hold: endorsed by {}",
                    by()
                ));
            }
            for policy in own {
                match Policy::decode(&policy) {
                    Ok(policy) if super::channel::Required::Signature(policy.clone()).holds(&signers) => {}
                    Ok(policy) => {
                        return failed(format!(
                            "a key's policy {policy} does not hold: endorsed by {}",
                            by()
                        ));
                    }
                    Err(e) => drop(open.get_or_insert(format!("a key's policy cannot be read: {e}"))),
                }
            }
            if set.is_some_and(|set| set.has_private_writes) {
                open.get_or_insert(format!(
                    "it writes private data of {namespace}, whose policies are not checked"
                ));
            }
        }
        open.map_or(Verdict::Valid, Verdict::Open)
    }

    /// Whether everything in the job contract's namespace is still as it was read.
    fn check_reads(&self, sets: &[ReadWriteSet], chaincode: &str) -> Verdict {
        let mut open = None;
        for set in sets {
            let followed = [chaincode, LIFECYCLE, LEGACY_LIFECYCLE].contains(&set.namespace.as_str());
            let has_read = !set.own.reads.is_empty() || !set.own.range_queries_info.is_empty();
            if !followed && has_read {
                open.get_or_insert(format!(
                    "it read in the namespace {}, which is not followed",
                    set.namespace
                ));
                continue;
            }
            let empty = BTreeMap::new();
            let state = self.state.get(&set.namespace).unwrap_or(&empty);
            for read in &set.own.reads {
                let version = read.version.as_ref().map(|version| (version.block_num, version.tx_num));
                let now = state.get(&read.key).copied();
                // A development ledger has definitions from the beginning and not in its blocks.
                if now != version && !(set.namespace == LIFECYCLE && now.is_none() && version == Some((0, 0)))
                {
                    let why = format!("it read {} in another version", records::text::Escaped(&read.key));
                    return Verdict::Invalid(Code::MvccReadConflict, why);
                }
            }
            for range in &set.own.range_queries_info {
                match recorded(range) {
                    None => {
                        let why = "it read more keys than are named in it";
                        open.get_or_insert(why.to_owned());
                    }
                    Some(reads) if !is_unchanged(state, range, reads) => {
                        let why = "a range that it read holds other keys".into();
                        return Verdict::Invalid(Code::PhantomReadConflict, why);
                    }
                    Some(_) => {}
                }
            }
        }
        open.map_or(Verdict::Valid, Verdict::Open)
    }

    fn apply(&mut self, set: &ReadWriteSet, place: Version, with_policies: bool) {
        let state = self.state.entry(set.namespace.clone()).or_default();
        for write in &set.own.writes {
            match write.is_delete {
                true => {
                    state.remove(&write.key);
                    if with_policies {
                        self.key_policies.remove(&write.key);
                    }
                }
                false => drop(state.insert(write.key.clone(), place)),
            }
        }
        for written in &set.own.metadata_writes {
            // Metadata of a key that is not there is not kept.
            let Some(version) = state.get_mut(&written.key) else { continue };
            *version = place;
            let is_policy = |entry: &&KvMetadataEntry| entry.name == KEY_POLICY;
            match written.entries.iter().find(is_policy) {
                Some(entry) if with_policies => {
                    self.key_policies.insert(written.key.clone(), entry.value.clone());
                }
                _ => drop(self.key_policies.remove(&written.key)),
            }
        }
    }

    /// What somebody is in its organisation; nothing where its certificate is none of it.
    fn role(&mut self, msp_id: &str, certificate: &[u8]) -> Option<Role> {
        let key = (msp_id.to_owned(), certificate.to_vec());
        if let Some(role) = self.known.get(&key) {
            return *role;
        }
        let given = self.given.and_then(|msps| msps.get(msp_id).ok());
        let msp = given.or_else(|| self.channel.msps.get(msp_id).ok());
        let role = msp.and_then(|msp| msp.role(&Identity::from_pem(msp_id, certificate).ok()?).ok());
        self.known.insert(key, role);
        role
    }
}

/// The codes for what is checked here.
const REPEATED: [Code; 5] = [
    Code::BadCreatorSignature,
    Code::DuplicateTxid,
    Code::EndorsementPolicyFailure,
    Code::MvccReadConflict,
    Code::PhantomReadConflict,
];

fn keys_written(set: &ReadWriteSet) -> Vec<&str> {
    let writes = set.own.writes.iter().map(|write| write.key.as_str());
    writes.chain(set.own.metadata_writes.iter().map(|write| write.key.as_str())).collect()
}

/// The reads of a range; `None` where only hashes of them are there.
fn recorded(range: &RangeQueryInfo) -> Option<&[KvRead]> {
    match &range.reads_info {
        None => Some(&[]),
        Some(ReadsInfo::RawReads(reads)) => Some(&reads.kv_reads),
        Some(ReadsInfo::ReadsMerkleHashes(_)) => None,
    }
}

fn is_unchanged(state: &BTreeMap<String, Version>, range: &RangeQueryInfo, reads: &[KvRead]) -> bool {
    // When not exhausted, the end is the last key that was seen, and belongs to the range.
    let inside = |key: &str| match range.itr_exhausted {
        true => range.end_key.is_empty() || key < range.end_key.as_str(),
        false => key <= range.end_key.as_str(),
    };
    let now = state.range(range.start_key.clone()..).take_while(|(key, _)| inside(key));
    let now = now.map(|(key, version)| (key.as_str(), Some(*version)));
    let then = reads.iter().map(|read| {
        (read.key.as_str(), read.version.as_ref().map(|version| (version.block_num, version.tx_num)))
    });
    now.eq(then)
}
