//! The verdict on every transaction of a block, in the order and with the codes of Fabric's committer.
//!
//! What does not depend on the state is judged when a transaction is submitted ([`Checked`]), the rest when
//! its block is made ([`validate`]).

mod mvcc;
mod policies;

use crate::Error;
use crate::channel::Channel;
use crate::definition::Signer;
use crate::endorser::proposal_hash;
use crate::store::{Changes, Place, Version};
use fabric_protos::common::{ChannelHeader, Envelope, Header, HeaderType, Payload, SignatureHeader};
use fabric_protos::hash::transaction_id;
use fabric_protos::kvrwset::{HashedRwSet, KvrwSet};
use fabric_protos::peer::TxValidationCode as Code;
use fabric_protos::peer::{
    ChaincodeAction, ChaincodeActionPayload, ChaincodeEndorsedAction, ChaincodeEvent,
    ChaincodeHeaderExtension, ProposalResponsePayload, Transaction,
};
use fabric_protos::rwset::{CollectionHashedReadWriteSet, NsReadWriteSet, TxReadWriteSet};
use mvcc::Updates;
use policies::Policies;
use prost::Message;
use std::collections::HashSet;

/// A transaction of which everything has been checked that does not depend on the state.
pub struct Checked {
    /// The envelope, as it goes into a block.
    pub envelope: Vec<u8>,
    /// Its id, empty where it cannot be read.
    id: String,
    outcome: Result<Endorsed, Code>,
}

/// What was endorsed, and by whom.
struct Endorsed {
    chaincode: String,
    sets: Vec<NamespaceSet>,
    /// Those whose signatures hold, each once.
    signers: Vec<Signer>,
}

/// The reads and writes in one namespace.
struct NamespaceSet {
    namespace: String,
    own: KvrwSet,
    collections: Vec<CollectionSet>,
}

/// The reads and writes in one collection, by hashes.
struct CollectionSet {
    name: String,
    hashed: HashedRwSet,
    /// Of the set in plain; empty where nothing is written.
    private_hash: Vec<u8>,
}

impl Checked {
    /// Checks an envelope that the orderer has admitted; so its creator's signature holds.
    pub fn new(channel: &Channel, envelope: &Envelope) -> Self {
        let mut id = String::new();
        let outcome = check(channel, envelope, &mut id);
        Self { envelope: envelope.encode_to_vec(), id, outcome }
    }
}

/// What becomes of a block's transactions.
pub struct Verdicts {
    /// In the order of the block.
    pub codes: Vec<Code>,
    pub changes: Changes,
}

/// Judges the transactions of block `number` on the state of all blocks before it.
pub fn validate(channel: &Channel, number: u64, batch: &[Checked]) -> Result<Verdicts, Error> {
    let snapshot = channel.store.snapshot(number)?;
    let definitions = channel.definitions();
    let mut policies = Policies::new(&definitions, &snapshot);
    let mut updates = Updates::default();
    // Ids of this block that count, and those of all its transactions.
    let (mut seen, mut placed) = (HashSet::new(), HashSet::new());
    let mut codes = Vec::with_capacity(batch.len());
    let mut places = Vec::new();
    for (index, checked) in batch.iter().enumerate() {
        let id = checked.id.as_str();
        let version = Version { block: number, tx: index as u64 };
        let known = !id.is_empty() && channel.store.transaction(id)?.is_some();
        let code = match &checked.outcome {
            Err(code) => *code,
            Ok(_) if known => Code::DuplicateTxid,
            Ok(endorsed) => match policies.check(endorsed)? {
                Code::Valid if !seen.insert(id) => Code::DuplicateTxid,
                Code::Valid => updates.judge(&definitions, &snapshot, endorsed, (id, version))?,
                refused => refused,
            },
        };
        if code != Code::Valid {
            tracing::warn!(tx = id, block = number, "transaction is invalid: {}", code.as_str_name());
        }
        if !id.is_empty() && !known && placed.insert(id) {
            places.push((id.to_owned(), Place { block: number, index: version.tx, code }));
        }
        codes.push(code);
    }
    let expired = definitions.collections().filter_map(|(namespace, collection, members)| {
        let block = members.expired_by(number)?;
        Some((namespace.to_owned(), collection.to_owned(), block))
    });
    let changes = Changes { places, expired: expired.collect(), ..updates.into_changes() };
    Ok(Verdicts { codes, changes })
}

/// Takes over verdicts on the transactions of block `number`, and what the valid ones change.
pub fn adopt(channel: &Channel, number: u64, batch: &[Checked], codes: &[Code]) -> Result<Verdicts, Error> {
    let snapshot = channel.store.snapshot(number)?;
    let definitions = channel.definitions();
    let mut updates = Updates::default();
    let mut places = Vec::new();
    for (index, (checked, &code)) in batch.iter().zip(codes).enumerate() {
        let version = Version { block: number, tx: index as u64 };
        if let (Code::Valid, Ok(endorsed)) = (code, &checked.outcome) {
            updates.apply(&definitions, &snapshot, &endorsed.sets, &checked.id, version)?;
        }
        if !checked.id.is_empty() {
            places.push((checked.id.clone(), Place { block: number, index: version.tx, code }));
        }
    }
    let changes = Changes { places, ..updates.into_changes() };
    Ok(Verdicts { codes: codes.to_vec(), changes })
}

fn check(channel: &Channel, envelope: &Envelope, id: &mut String) -> Result<Endorsed, Code> {
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

/// The one action of a transaction: that it is the proposal's, and what was endorsed.
fn check_action(
    channel: &Channel,
    header: &Header,
    channel_header: &ChannelHeader,
    data: &[u8],
) -> Result<Endorsed, Code> {
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
    let sets = TxReadWriteSet::decode(outcome.results.as_slice()).map_err(|_| Code::BadRwset)?;
    let sets = sets.ns_rwset.into_iter().map(namespace_set).collect::<Result<Vec<_>, _>>();
    let sets = sets.map_err(|_| Code::BadRwset)?;
    let proposed = extension.chaincode_id.ok_or(Code::InvalidOtherReason)?.name;
    let executed = outcome.chaincode_id.ok_or(Code::InvalidOtherReason)?;
    if proposed.is_empty() || proposed != executed.name || executed.version.is_empty() {
        return Err(Code::InvalidChaincode);
    }
    if !outcome.events.is_empty() {
        let event = ChaincodeEvent::decode(outcome.events.as_slice());
        if event.map_or(true, |event| event.chaincode_id != proposed) {
            return Err(Code::InvalidOtherReason);
        }
    }
    let mut namespaces = HashSet::new();
    if !sets.iter().all(|set| namespaces.insert(set.namespace.as_str())) {
        return Err(Code::IllegalWriteset);
    }
    let signers = signers(channel, &endorsed);
    Ok(Endorsed { chaincode: proposed, sets, signers })
}

fn namespace_set(set: NsReadWriteSet) -> Result<NamespaceSet, prost::DecodeError> {
    let collection = |set: CollectionHashedReadWriteSet| -> Result<_, prost::DecodeError> {
        let hashed = HashedRwSet::decode(set.hashed_rwset.as_slice())?;
        Ok(CollectionSet { name: set.collection_name, hashed, private_hash: set.pvt_rwset_hash })
    };
    let collections = set.collection_hashed_rwset.into_iter().map(collection).collect::<Result<_, _>>()?;
    let own = KvrwSet::decode(set.rwset.as_slice())?;
    Ok(NamespaceSet { namespace: set.namespace, own, collections })
}

/// Those whose signatures hold; others do not count.
fn signers(channel: &Channel, endorsed: &ChaincodeEndorsedAction) -> Vec<Signer> {
    let mut signers = Vec::new();
    let mut seen: Vec<&[u8]> = Vec::new();
    for endorsement in &endorsed.endorsements {
        let endorser = endorsement.endorser.as_slice();
        let Ok(known) = channel.identity(endorser) else { continue };
        if seen.contains(&endorser) {
            continue;
        }
        let message = [endorsed.proposal_response_payload.as_slice(), endorser].concat();
        if channel.is_endorsed(&known, &message, &endorsement.signature) {
            seen.push(endorser);
            signers.push(known.signer());
        }
    }
    signers
}
