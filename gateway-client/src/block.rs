//! A block as plain types, and the checks that an observer makes on it.

use fabric_protos::common::{
    self, BlockData, BlockHeader, BlockMetadataIndex, ChannelHeader, ConfigEnvelope, Envelope, HeaderType,
    LastConfig, Metadata, OrdererBlockMetadata, Payload, SignatureHeader,
};
use fabric_protos::kvrwset::{HashedRwSet, KvrwSet};
use fabric_protos::msp::SerializedIdentity;
use fabric_protos::peer::{
    self, ChaincodeAction, ChaincodeActionPayload, ChaincodeHeaderExtension, ChaincodeInvocationSpec,
    ChaincodeProposalPayload, ProposalResponsePayload, TxValidationCode,
};
use fabric_protos::prost::{DecodeError, Message};
use fabric_protos::rwset::{NsReadWriteSet, TxReadWriteSet};
use fabric_protos::{hash, prost_types::Timestamp};
use sha2::{Digest, Sha256};
use std::time::{Duration, SystemTime};

/// A block of the chain. Its data hash was checked; its place in the chain by
/// [`BlockStream`](crate::BlockStream).
#[derive(Clone, Debug)]
pub struct Block {
    /// Its number, from 0.
    pub number: u64,
    /// The hash of its predecessor's header.
    pub previous_hash: Vec<u8>,
    /// The hash of its transactions.
    pub data_hash: Vec<u8>,
    /// The hash of its own header, which its successor holds.
    pub hash: [u8; 32],
    /// Its transactions, also those that are invalid.
    pub transactions: Vec<TransactionInfo>,
    /// How many of the transactions lie before the checkpoint from which the stream began.
    pub seen: usize,
    /// The number of the block with the channel's configuration as of this block, as the orderer says; the first where
    /// it does not say, as on a development ledger.
    pub last_config: u64,
}

/// What kind of envelope a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A call of a chaincode.
    Chaincode,
    /// A channel configuration.
    Config,
    /// Something else, or unreadable; Fabric's number of it.
    Other(i32),
}

impl Kind {
    pub(crate) fn from_header_type(kind: i32) -> Self {
        match kind {
            kind if kind == HeaderType::EndorserTransaction as i32 => Self::Chaincode,
            kind if kind == HeaderType::Config as i32 => Self::Config,
            kind => Self::Other(kind),
        }
    }
}

/// A transaction in a block.
///
/// What cannot be read is empty, and [`TransactionInfo::defect`] says so: any member can submit garbage, and
/// it is in the block, marked invalid.
#[derive(Clone, Debug)]
pub struct TransactionInfo {
    /// Its id.
    pub transaction_id: String,
    /// Its channel.
    pub channel: String,
    /// What it is.
    pub kind: Kind,
    /// Who submitted it.
    pub creator: Creator,
    /// The submitter's clock; `None` where absent or out of range.
    pub timestamp: Option<SystemTime>,
    /// The verdict of this peer.
    pub validation_code: TxValidationCode,
    /// The chaincode that was called.
    pub chaincode: String,
    /// The arguments; the first is the function by convention.
    pub args: Vec<Vec<u8>>,
    /// The keys that it writes, in the order of the write set.
    pub writes: Vec<KvWrite>,
    /// What the chaincode answered.
    pub result: Vec<u8>,
    /// The event that it sets.
    pub event: Option<BlockEvent>,
    /// Who endorsed it.
    pub endorsers: Vec<Endorser>,
    /// What of it could not be read. What comes after that, or beside it, is there all the same.
    pub defect: Option<String>,
    /// Size of its envelope in bytes.
    pub bytes: usize,
    signed: Signed,
}

/// What signatures are verified against.
#[derive(Clone, Debug, Default)]
struct Signed {
    /// The envelope: payload and the creator's signature.
    envelope: Envelope,
    creator: Vec<u8>,
    nonce: Vec<u8>,
    /// What endorsers signed, before their identity.
    response: Vec<u8>,
    /// The hash of the proposal that they signed for, and the one of the proposal that is in the block.
    endorsed_proposal: Vec<u8>,
    proposal: Vec<u8>,
}

/// Who submitted a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Creator {
    /// MSP identifier.
    pub msp_id: String,
    /// The certificate, usually PEM.
    pub certificate: Vec<u8>,
}

/// Who endorsed a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endorser {
    /// MSP identifier.
    pub msp_id: String,
    /// The certificate, usually PEM.
    pub certificate: Vec<u8>,
    /// The identity as it was signed.
    identity: Vec<u8>,
    signature: Vec<u8>,
}

/// A key that a transaction writes or deletes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvWrite {
    /// The chaincode that owns the key.
    pub namespace: String,
    /// The key.
    pub key: String,
    /// The value; empty for a deletion.
    pub value: Vec<u8>,
    /// Whether the key is deleted.
    pub is_delete: bool,
}

/// What a transaction read and wrote in one namespace, in Fabric's form.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadWriteSet {
    /// The chaincode whose namespace it is.
    pub namespace: String,
    /// Reads with versions, range queries, writes, metadata writes.
    pub own: KvrwSet,
    /// Whether something is written to a private collection.
    pub has_private_writes: bool,
}

impl ReadWriteSet {
    /// Whether anything is written.
    pub fn writes(&self) -> bool {
        !self.own.writes.is_empty() || !self.own.metadata_writes.is_empty() || self.has_private_writes
    }
}

/// The event that a transaction sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockEvent {
    /// Its name.
    pub name: String,
    /// Its content.
    pub payload: Vec<u8>,
}

/// How a block contradicts itself or its chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockDefect {
    /// The block has no header or no data.
    #[error("block {number} is incomplete: no {missing}")]
    Incomplete {
        /// Its number, or that of the block that was expected.
        number: u64,
        /// What it lacks.
        missing: &'static str,
    },
    /// The transactions are not those that the header commits to.
    #[error("the transactions of block {number} do not have the hash in its header")]
    DataHash {
        /// Its number.
        number: u64,
    },
    /// The block does not follow the one before.
    #[error("block {number} does not follow from the block before it: the previous hash differs")]
    PreviousHash {
        /// Its number.
        number: u64,
    },
    /// Another block was due.
    #[error("block {number} came where {expected} was due")]
    Number {
        /// Its number.
        number: u64,
        /// The one that was due.
        expected: u64,
    },
    /// The private data that came with the block cannot be read, or are of a transaction that it does not have.
    #[error("the private data of transaction {transaction} in block {number} are not readable")]
    PrivateData {
        /// Its number.
        number: u64,
        /// The transaction's index.
        transaction: u64,
    },
    /// The checkpoint is of another chain.
    #[error("block {number} has no transaction {transaction_id}, at which the checkpoint stands")]
    Checkpoint {
        /// The checkpoint's block.
        number: u64,
        /// The checkpoint's transaction.
        transaction_id: String,
    },
}

/// Why a transaction's signatures do not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureDefect {
    /// The certificate cannot be read, or its kind of key is not one that signs.
    #[error("the certificate of {msp_id}: {reason}")]
    Certificate {
        /// Whose it is.
        msp_id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The signature is not by the certificate's key, or Fabric would not take it.
    #[error("the signature is not by the certificate of {msp_id}")]
    Signature {
        /// Whose it should be.
        msp_id: String,
    },
    /// The id is not the hash of nonce and creator.
    #[error("the transaction id does not belong to its creator")]
    TransactionId,
    /// The endorsers signed for another proposal.
    #[error("the endorsements are of another proposal")]
    Proposal,
}

impl Block {
    /// Reads a block and checks that its header commits to its transactions.
    ///
    /// # Errors
    /// [`BlockDefect::Incomplete`], [`BlockDefect::DataHash`].
    pub fn parse(block: common::Block) -> Result<Self, BlockDefect> {
        let header = block.header.ok_or(BlockDefect::Incomplete { number: 0, missing: "header" })?;
        let number = header.number;
        let data = block.data.ok_or(BlockDefect::Incomplete { number, missing: "data" })?;
        if hash::block_data_hash(&data)[..] != header.data_hash {
            return Err(BlockDefect::DataHash { number });
        }
        let mut metadata = block.metadata.unwrap_or_default().metadata;
        let last_config = last_config(&metadata).unwrap_or_default();
        let filter = BlockMetadataIndex::TransactionsFilter as usize;
        let verdicts = if filter < metadata.len() { metadata.swap_remove(filter) } else { Vec::new() };
        Ok(Self { last_config, ..Self::assemble(header, data, &verdicts) })
    }

    fn assemble(header: BlockHeader, data: BlockData, verdicts: &[u8]) -> Self {
        let transactions = data
            .data
            .into_iter()
            .enumerate()
            .map(|(i, envelope)| {
                let code = verdicts.get(i).map_or(TxValidationCode::NotValidated, |&code| {
                    TxValidationCode::try_from(i32::from(code))
                        .unwrap_or(TxValidationCode::InvalidOtherReason)
                });
                TransactionInfo::parse(&envelope, code)
            })
            .collect();
        Self {
            number: header.number,
            hash: hash::block_header_hash(&header),
            previous_hash: header.previous_hash,
            data_hash: header.data_hash,
            transactions,
            seen: 0,
            last_config: 0,
        }
    }

    /// The channel configuration that the block sets, where it does.
    pub fn config(&self) -> Option<common::Config> {
        self.transactions.iter().find_map(TransactionInfo::config)
    }

    /// The transactions after the checkpoint from which the stream began.
    pub fn fresh(&self) -> &[TransactionInfo] {
        &self.transactions[self.seen.min(self.transactions.len())..]
    }
}

/// The number of the last configuration block: in what orderers sign or, before 2.0, in an entry of its own.
fn last_config(metadata: &[Vec<u8>]) -> Option<u64> {
    let value = |index: BlockMetadataIndex| {
        Metadata::decode(metadata.get(index as usize)?.as_slice()).ok().map(|entry| entry.value)
    };
    let signed = value(BlockMetadataIndex::Signatures)
        .and_then(|value| OrdererBlockMetadata::decode(value.as_slice()).ok()?.last_config);
    let own = || LastConfig::decode(value(BlockMetadataIndex::LastConfig)?.as_slice()).ok();
    signed.or_else(own).map(|last| last.index)
}

impl TransactionInfo {
    fn parse(bytes: &[u8], validation_code: TxValidationCode) -> Self {
        let mut info = Self {
            transaction_id: String::new(),
            channel: String::new(),
            kind: Kind::Other(-1),
            creator: Creator::default(),
            timestamp: None,
            validation_code,
            chaincode: String::new(),
            args: Vec::new(),
            writes: Vec::new(),
            result: Vec::new(),
            event: None,
            endorsers: Vec::new(),
            defect: None,
            bytes: bytes.len(),
            signed: Signed::default(),
        };
        if let Err(defect) = info.read_envelope(bytes) {
            info.defect = Some(defect);
        }
        info
    }

    /// Whether it is a valid call of a chaincode: only then its writes are in the state.
    pub fn is_valid(&self) -> bool {
        self.kind == Kind::Chaincode
            && self.validation_code == TxValidationCode::Valid
            && self.defect.is_none()
    }

    /// The function that was called, where it is text.
    pub fn function(&self) -> Option<&str> {
        std::str::from_utf8(self.args.first()?).ok()
    }

    /// The nonce of its id.
    pub fn nonce(&self) -> &[u8] {
        &self.signed.nonce
    }

    /// Verifies the creator's signature on the envelope with the key of the creator's certificate, and
    /// that the transaction's id is the creator's. Whether the certificate is of a member of the channel
    /// is not checked here.
    ///
    /// # Errors
    /// [`SignatureDefect`].
    pub fn verify_signature(&self) -> Result<(), SignatureDefect> {
        let envelope = &self.signed.envelope;
        let Creator { msp_id, certificate } = &self.creator;
        verify(msp_id, certificate, &[&envelope.payload], &envelope.signature)?;
        // The id of a configuration may be empty.
        if self.kind == Kind::Chaincode && !self.has_own_id() {
            return Err(SignatureDefect::TransactionId);
        }
        Ok(())
    }

    /// Verifies every endorser's signature, and that they endorsed the proposal that is in the block.
    /// Whether they satisfy a policy is not checked here.
    ///
    /// # Errors
    /// [`SignatureDefect`].
    pub fn verify_endorsements(&self) -> Result<(), SignatureDefect> {
        if self.signed.endorsed_proposal != self.signed.proposal {
            return Err(SignatureDefect::Proposal);
        }
        self.endorsers.iter().try_for_each(|e| {
            verify(&e.msp_id, &e.certificate, &[&self.signed.response, &e.identity], &e.signature)
        })
    }

    /// Whether its id is the hash of its nonce and creator.
    pub fn has_own_id(&self) -> bool {
        self.transaction_id == hash::transaction_id(&self.signed.nonce, &self.signed.creator)
    }

    /// Those whose endorsement holds for this transaction, each once; whether they are who they say is not checked
    /// here. As when a peer validates a block, an endorsement that does not hold does not count.
    pub fn signers(&self) -> Vec<&Endorser> {
        let mut signers: Vec<&Endorser> = Vec::new();
        if self.signed.endorsed_proposal != self.signed.proposal {
            return signers;
        }
        for endorser in &self.endorsers {
            let Endorser { msp_id, certificate, identity, signature } = endorser;
            let seen = signers.iter().any(|signer| signer.identity == *identity);
            if !seen && verify(msp_id, certificate, &[&self.signed.response, identity], signature).is_ok() {
                signers.push(endorser);
            }
        }
        signers
    }

    /// What it read and wrote, namespace by namespace; nothing of what cannot be read.
    pub fn read_write_sets(&self) -> Vec<ReadWriteSet> {
        let sets = || -> Result<TxReadWriteSet, DecodeError> {
            let response = ProposalResponsePayload::decode(self.signed.response.as_slice())?;
            let action = ChaincodeAction::decode(response.extension.as_slice())?;
            TxReadWriteSet::decode(action.results.as_slice())
        };
        let set = |set: NsReadWriteSet| {
            let own = KvrwSet::decode(set.rwset.as_slice()).ok()?;
            let writes =
                |hashed: HashedRwSet| !hashed.hashed_writes.is_empty() || !hashed.metadata_writes.is_empty();
            let hashed = set.collection_hashed_rwset.iter();
            let has_private_writes = hashed
                .map(|collection| HashedRwSet::decode(collection.hashed_rwset.as_slice()))
                .any(|hashed| hashed.map_or(true, writes));
            Some(ReadWriteSet { namespace: set.namespace, own, has_private_writes })
        };
        sets().unwrap_or_default().ns_rwset.into_iter().filter_map(set).collect()
    }

    /// The channel configuration that it sets, where it is one.
    pub fn config(&self) -> Option<common::Config> {
        if self.kind != Kind::Config {
            return None;
        }
        let payload = Payload::decode(self.signed.envelope.payload.as_slice()).ok()?;
        ConfigEnvelope::decode(payload.data.as_slice()).ok()?.config
    }

    fn read_envelope(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.signed.envelope = read("envelope", bytes)?;
        let payload: Payload = read("payload", &self.signed.envelope.payload)?;
        let header = payload.header.ok_or("no header")?;
        let channel: ChannelHeader = read("channel header", &header.channel_header)?;
        self.kind = Kind::from_header_type(channel.r#type);
        self.transaction_id = channel.tx_id;
        self.channel = channel.channel_id;
        self.timestamp = channel.timestamp.and_then(system_time);
        let signature: SignatureHeader = read("signature header", &header.signature_header)?;
        (self.creator.msp_id, self.creator.certificate) = identity(&signature.creator)?;
        self.signed.creator = signature.creator;
        self.signed.nonce = signature.nonce;
        if self.kind != Kind::Chaincode {
            return Ok(());
        }
        let extension: ChaincodeHeaderExtension = read("header extension", &channel.extension)?;
        self.chaincode = extension.chaincode_id.unwrap_or_default().name;

        let transaction: peer::Transaction = read("transaction", &payload.data)?;
        let [action] = transaction.actions.as_slice() else {
            return Err(format!("{} actions instead of one", transaction.actions.len()));
        };
        let action: ChaincodeActionPayload = read("action", &action.payload)?;
        self.signed.proposal = Sha256::new()
            .chain_update(&header.channel_header)
            .chain_update(&header.signature_header)
            .chain_update(&action.chaincode_proposal_payload)
            .finalize()
            .to_vec();
        let proposal: ChaincodeProposalPayload = read("proposal", &action.chaincode_proposal_payload)?;
        let invocation: ChaincodeInvocationSpec = read("invocation", &proposal.input)?;
        let input = invocation.chaincode_spec.and_then(|spec| spec.input).ok_or("no arguments")?;
        self.args = input.args;
        self.read_endorsed(action.action.ok_or("no endorsed action")?)
    }

    fn read_endorsed(&mut self, action: peer::ChaincodeEndorsedAction) -> Result<(), String> {
        self.signed.response = action.proposal_response_payload;
        let endorsers = self.read_endorsers(action.endorsements);
        let response: ProposalResponsePayload = read("response", &self.signed.response)?;
        self.signed.endorsed_proposal = response.proposal_hash;
        let action: ChaincodeAction = read("chaincode action", &response.extension)?;
        self.result = action.response.unwrap_or_default().payload;
        let writes = self.read_writes(&action.results);
        if !action.events.is_empty() {
            let event: peer::ChaincodeEvent = read("event", &action.events)?;
            self.event = Some(BlockEvent { name: event.event_name, payload: event.payload });
        }
        endorsers.and(writes)
    }

    fn read_endorsers(&mut self, endorsements: Vec<peer::Endorsement>) -> Result<(), String> {
        for endorsement in endorsements {
            let (msp_id, certificate) = identity(&endorsement.endorser)?;
            let (identity, signature) = (endorsement.endorser, endorsement.signature);
            self.endorsers.push(Endorser { msp_id, certificate, identity, signature });
        }
        Ok(())
    }

    /// A transaction may write for several chaincodes: one whose writes cannot be read hides no other's.
    fn read_writes(&mut self, results: &[u8]) -> Result<(), String> {
        let sets: TxReadWriteSet = read("read/write set", results)?;
        let mut defect = Ok(());
        for set in sets.ns_rwset {
            let writes: KvrwSet = match read("read/write set", &set.rwset) {
                Ok(writes) => writes,
                Err(e) => {
                    defect = defect.and(Err(format!("{e} of chaincode {:?}", set.namespace)));
                    continue;
                }
            };
            self.writes.extend(writes.writes.into_iter().map(|write| KvWrite {
                namespace: set.namespace.clone(),
                key: write.key,
                value: write.value,
                is_delete: write.is_delete,
            }));
        }
        defect
    }
}

fn read<M: Message + Default>(what: &str, bytes: &[u8]) -> Result<M, String> {
    M::decode(bytes).map_err(|e: DecodeError| format!("unreadable {what}: {e}"))
}

fn identity(bytes: &[u8]) -> Result<(String, Vec<u8>), String> {
    let identity: SerializedIdentity = read("identity", bytes)?;
    Ok((identity.mspid, identity.id_bytes))
}

/// A foreign timestamp; before 1970 or beyond the clock's range there is none.
fn system_time(timestamp: Timestamp) -> Option<SystemTime> {
    let seconds = u64::try_from(timestamp.seconds).ok()?;
    let nanos = u32::try_from(timestamp.nanos).ok().filter(|&n| n < 1_000_000_000)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanos))
}

fn verify(
    msp_id: &str,
    certificate: &[u8],
    message: &[&[u8]],
    signature: &[u8],
) -> Result<(), SignatureDefect> {
    let certificate = msp::Certificate::from_pem(certificate);
    match certificate.and_then(|certificate| certificate.verify(&message.concat(), signature)) {
        Ok(()) => Ok(()),
        Err(msp::Error::Signature(_)) => Err(SignatureDefect::Signature { msp_id: msp_id.into() }),
        Err(e) => Err(SignatureDefect::Certificate { msp_id: msp_id.into(), reason: e.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::{Engine, prelude::BASE64_STANDARD};
    use proptest::prelude::*;
    use serde::Deserialize;

    /// A block of a real network and what Fabric's own tool reads in it; see `tests/vectors/README.md`.
    #[derive(Deserialize)]
    struct Vector {
        number: u64,
        previous_hash: String,
        data_hash: String,
        transactions: Vec<Expected>,
        block: String,
    }

    #[derive(Deserialize)]
    struct Expected {
        transaction_id: String,
        channel: String,
        timestamp: (u64, u32),
        creator: String,
        validation_code: String,
        chaincode: String,
        args: Vec<String>,
        result: String,
        event: Option<(String, String)>,
        writes: Vec<(String, String, String, bool)>,
        endorsers: Vec<String>,
    }

    fn vectors() -> Vec<(Vector, common::Block)> {
        include_str!("../tests/vectors/blocks.jsonl")
            .lines()
            .map(|line| {
                let vector: Vector = serde_json::from_str(line).unwrap();
                let block = common::Block::decode(bytes(&vector.block).as_slice()).unwrap();
                (vector, block)
            })
            .collect()
    }

    fn bytes(base64: &str) -> Vec<u8> {
        BASE64_STANDARD.decode(base64).unwrap()
    }

    /// The transaction of the first vector.
    fn transaction() -> TransactionInfo {
        Block::parse(vectors().swap_remove(0).1).unwrap().transactions.swap_remove(0)
    }

    #[test]
    fn reads_what_fabrics_tool_reads() {
        for (vector, block) in vectors() {
            let block = Block::parse(block).unwrap();
            assert_eq!(block.number, vector.number);
            assert_eq!(block.previous_hash, bytes(&vector.previous_hash));
            assert_eq!(block.data_hash, bytes(&vector.data_hash));
            assert_eq!(block.transactions.len(), vector.transactions.len());
            for (found, expected) in block.transactions.iter().zip(vector.transactions) {
                assert_eq!(found.defect, None);
                assert_eq!(found.kind, Kind::Chaincode);
                assert_eq!(found.transaction_id, expected.transaction_id);
                assert_eq!(found.channel, expected.channel);
                let (seconds, nanos) = expected.timestamp;
                assert_eq!(
                    found.timestamp.unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap(),
                    Duration::new(seconds, nanos)
                );
                assert_eq!(found.creator.msp_id, expected.creator);
                assert!(found.creator.certificate.starts_with(b"-----BEGIN CERTIFICATE"));
                assert_eq!(found.validation_code.as_str_name(), expected.validation_code);
                assert_eq!(found.is_valid(), expected.validation_code == "VALID");
                assert_eq!(found.chaincode, expected.chaincode);
                assert_eq!(found.args, expected.args.iter().map(|arg| bytes(arg)).collect::<Vec<_>>());
                assert_eq!(found.result, bytes(&expected.result));
                let event = found.event.as_ref().map(|e| (e.name.clone(), e.payload.clone()));
                assert_eq!(event, expected.event.map(|(name, payload)| (name, bytes(&payload))));
                let writes: Vec<_> = found
                    .writes
                    .iter()
                    .map(|w| {
                        (w.namespace.clone(), w.key.clone(), BASE64_STANDARD.encode(&w.value), w.is_delete)
                    })
                    .collect();
                assert_eq!(writes, expected.writes);
                let endorsers: Vec<_> = found.endorsers.iter().map(|e| e.msp_id.clone()).collect();
                assert_eq!(endorsers, expected.endorsers);
            }
        }
    }

    #[test]
    fn real_signatures_and_hashes_hold() {
        let blocks: Vec<_> = vectors().into_iter().map(|(_, block)| Block::parse(block).unwrap()).collect();
        for pair in blocks.windows(2) {
            assert_eq!(pair[1].previous_hash, pair[0].hash, "block {}", pair[1].number);
        }
        for transaction in blocks.iter().flat_map(|block| &block.transactions) {
            transaction.verify_signature().unwrap();
            transaction.verify_endorsements().unwrap();
            assert_eq!(transaction.endorsers.len(), 2);
        }
    }

    #[test]
    fn a_false_signature_is_found() {
        let mut forged = transaction();
        forged.signed.envelope.payload[40] ^= 1;
        assert_eq!(forged.verify_signature(), Err(SignatureDefect::Signature { msp_id: "Org1MSP".into() }));

        let mut forged = transaction();
        forged.creator.certificate = forged.endorsers[0].certificate.clone();
        assert_eq!(forged.verify_signature(), Err(SignatureDefect::Signature { msp_id: "Org1MSP".into() }));

        let mut forged = transaction();
        forged.creator.certificate = b"none".to_vec();
        assert!(matches!(forged.verify_signature(), Err(SignatureDefect::Certificate { .. })));

        let mut forged = transaction();
        forged.signed.nonce[0] ^= 1;
        assert_eq!(forged.verify_signature(), Err(SignatureDefect::TransactionId));
    }

    #[test]
    fn a_false_endorsement_is_found() {
        let mut forged = transaction();
        let victim = forged.endorsers[1].msp_id.clone();
        forged.endorsers[1].signature = forged.endorsers[0].signature.clone();
        assert_eq!(forged.verify_endorsements(), Err(SignatureDefect::Signature { msp_id: victim }));

        let mut forged = transaction();
        forged.signed.proposal[0] ^= 1;
        assert_eq!(forged.verify_endorsements(), Err(SignatureDefect::Proposal));
    }

    #[test]
    fn a_changed_transaction_does_not_have_the_headers_hash() {
        let (_, mut block) = vectors().swap_remove(0);
        block.data.as_mut().unwrap().data[0][100] ^= 1;
        assert_eq!(Block::parse(block).unwrap_err(), BlockDefect::DataHash { number: 5 });
        let empty = common::Block::default();
        assert!(matches!(Block::parse(empty), Err(BlockDefect::Incomplete { .. })));
    }

    #[test]
    fn garbage_in_a_block_is_marked_and_harms_no_other() {
        let (_, mut block) = vectors().swap_remove(0);
        let data = block.data.as_mut().unwrap();
        data.data.insert(0, b"garbage".to_vec());
        block.header.as_mut().unwrap().data_hash = hash::block_data_hash(data).to_vec();
        // One verdict for two transactions: the second was not validated.
        let block = Block::parse(block).unwrap();
        let [garbage, good] = block.transactions.as_slice() else { panic!() };
        assert!(garbage.defect.is_some() && !garbage.is_valid());
        assert!(garbage.verify_signature().is_err());
        assert_eq!((good.defect.as_ref(), good.validation_code), (None, TxValidationCode::NotValidated));
        good.verify_signature().unwrap();
    }

    /// Whatever one chaincode or endorser leaves in a transaction, what others read of it is there.
    #[test]
    fn an_unreadable_part_hides_no_other() {
        let (_, block) = vectors().swap_remove(0);
        let whole = transaction();
        let change = |change: &dyn Fn(&mut peer::ChaincodeEndorsedAction, &mut ChaincodeAction)| {
            let mut envelope = Envelope::decode(block.data.as_ref().unwrap().data[0].as_slice()).unwrap();
            let mut payload = Payload::decode(envelope.payload.as_slice()).unwrap();
            let mut transaction = peer::Transaction::decode(payload.data.as_slice()).unwrap();
            let mut outer =
                ChaincodeActionPayload::decode(transaction.actions[0].payload.as_slice()).unwrap();
            let mut endorsed = outer.action.take().unwrap();
            let mut response =
                ProposalResponsePayload::decode(endorsed.proposal_response_payload.as_slice()).unwrap();
            let mut action = ChaincodeAction::decode(response.extension.as_slice()).unwrap();
            change(&mut endorsed, &mut action);
            response.extension = action.encode_to_vec();
            endorsed.proposal_response_payload = response.encode_to_vec();
            outer.action = Some(endorsed);
            transaction.actions[0].payload = outer.encode_to_vec();
            payload.data = transaction.encode_to_vec();
            envelope.payload = payload.encode_to_vec();
            TransactionInfo::parse(&envelope.encode_to_vec(), TxValidationCode::Valid)
        };
        let read = change(&|endorsed, _| endorsed.endorsements[0].endorser = vec![0xff; 9]);
        assert!(read.defect.as_ref().unwrap().contains("identity"));
        assert_eq!(read.writes, whole.writes);
        let read = change(&|_, action| action.events = vec![0xff; 9]);
        assert!(read.defect.as_ref().unwrap().contains("event"));
        assert_eq!((&read.writes, read.endorsers.len()), (&whole.writes, 2));
        let read = change(&|_, action| {
            let mut sets = TxReadWriteSet::decode(action.results.as_slice()).unwrap();
            let mut odd = sets.ns_rwset[0].clone();
            (odd.namespace, odd.rwset) = ("foreign".into(), vec![0xff; 9]);
            sets.ns_rwset.insert(0, odd);
            action.results = sets.encode_to_vec();
        });
        assert!(read.defect.as_ref().unwrap().contains("foreign"));
        assert_eq!(read.writes, whole.writes);
        assert!(!read.is_valid() && read.event == whole.event);
    }

    #[test]
    fn timestamps_out_of_range_are_none() {
        for (seconds, nanos) in [(-1, 0), (i64::MAX, 0), (0, -1), (0, 1_000_000_000), (i64::MIN, i32::MIN)] {
            let time = system_time(Timestamp { seconds, nanos });
            assert!(time.is_none() || seconds == i64::MAX, "{seconds} {nanos}");
        }
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let info = TransactionInfo::parse(&bytes, TxValidationCode::Valid);
            let _ = (info.verify_signature(), info.verify_endorsements());
        }

        #[test]
        fn damaged_transactions_never_panic(at in 0usize..4000, to in any::<u8>(), cut in 0usize..4000) {
            let (_, block) = vectors().swap_remove(0);
            let mut envelope = block.data.unwrap().data.swap_remove(0);
            let at = at % envelope.len();
            envelope[at] = to;
            envelope.truncate(envelope.len() - cut % envelope.len());
            let info = TransactionInfo::parse(&envelope, TxValidationCode::Valid);
            let _ = (info.verify_signature(), info.verify_endorsements());
        }
    }
}
