//! The node's side of the gateway client: connecting, and reading blocks.

use crate::{
    config::Config,
    facts::{Creator, LedgerEvent, Positioned},
};
use gateway_client::{
    Block, Call, Contract, Gateway, KvWrite, Meaning, Network, Options, RefusalRules, TransactionInfo,
    TxValidationCode, User,
};
use records::{Code, JobId, JobView, KeyHash, MAX_PAGE, MspId, NoMspId, Page, Refusal, key};
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// Connects with the configuration's identity. Nothing is sent yet.
///
/// # Errors
/// A profile, certificate or key that cannot be used.
pub fn connect(config: &Config) -> Result<Gateway, gateway_client::Error> {
    let user = match &config.identity {
        Some(own) => Some(User::from_files(&own.msp_id, &own.certificate, &own.private_key)?),
        None => None,
    };
    Gateway::from_profile(&config.connection_profile, user, options())
}

/// The options of a client of the job contract, which knows its refusals.
pub fn options() -> Options {
    Options { refusals: Arc::new(JobRefusals), ..Options::default() }
}

/// What the job contract's refusals mean for whoever submits.
#[derive(Debug)]
struct JobRefusals;

impl RefusalRules for JobRefusals {
    fn find(&self, text: &str) -> Option<gateway_client::Refusal> {
        let Refusal { code, detail } = Refusal::find(text)?;
        let meaning = match code {
            Code::AlreadySame => Meaning::AlreadyThere,
            Code::NotYet => Meaning::NotYet,
            Code::UnknownJob | Code::UnknownKey => Meaning::Unknown,
            Code::WrongTime => Meaning::WrongClock,
            Code::AlreadyDifferent
            | Code::WrongCaller
            | Code::BadInput
            | Code::Ended
            | Code::WrongVersion
            | Code::Disagreement
            | Code::NotOverdue
            | Code::TooMany => Meaning::Final,
        };
        Some(gateway_client::Refusal { code: code.as_str().into(), detail, meaning })
    }
}

/// Why organisations cannot take part in a job.
#[derive(Debug, thiserror::Error)]
pub enum MembersError {
    /// Who the channel's members are could not be read.
    #[error("who the members of the channel are cannot be read: {0}")]
    Gateway(#[from] gateway_client::Error),
    /// Some are no members of the channel: nobody would ever accept in their name.
    #[error("{} of channel {channel}; its members are {}", no_members(names), listed(members))]
    Strangers {
        /// The channel.
        channel: String,
        /// Those who are no members.
        names: Vec<String>,
        /// Those who are.
        members: Vec<String>,
    },
}

fn no_members(names: &[String]) -> String {
    match names {
        [name] => format!("{name} is no member"),
        several => format!("{} are no members", listed(several)),
    }
}

/// `A, B and C`.
fn listed(names: &[String]) -> String {
    match names {
        [] => "none".into(),
        [name] => name.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Checks that all of these are MSP identifiers of the channel's members. What names anybody else would wait for ever.
///
/// # Errors
/// See [`MembersError`].
pub async fn check_members(network: &Network, names: &[MspId]) -> Result<(), MembersError> {
    let config = network.config().await?;
    let mut strangers: Vec<String> = names.iter().map(MspId::to_string).collect();
    strangers.retain(|name| config.member(name).is_none());
    strangers.dedup();
    if strangers.is_empty() {
        return Ok(());
    }
    let members = config.msp_ids().into_iter().map(String::from).collect();
    Err(MembersError::Strangers { channel: network.name().into(), names: strangers, members })
}

/// Why the own peer did not answer a question.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// It does not answer, or refuses.
    #[error(transparent)]
    Gateway(#[from] gateway_client::Error),
    /// What it answers is of another form.
    #[error("the contract's answer cannot be read: {0}")]
    Answer(#[from] serde_json::Error),
}

impl QueryError {
    /// Whether the contract refuses with this code.
    pub fn has_code(&self, code: Code) -> bool {
        matches!(self, Self::Gateway(e) if e.refusal().is_some_and(|refusal| refusal.code == code.as_str()))
    }
}

/// A job with what became of it.
///
/// # Errors
/// See [`QueryError`].
pub async fn view(contract: &Contract, job: &JobId) -> Result<JobView, QueryError> {
    let json = contract.evaluate(Call::new("job").arg(job.to_string())).await?;
    Ok(serde_json::from_slice(&json)?)
}

/// All entries of a list, page after page; a function that takes the size of a page and its bookmark after what the call
/// has already.
///
/// # Errors
/// See [`QueryError`].
pub async fn list<T: DeserializeOwned>(contract: &Contract, call: Call) -> Result<Vec<T>, QueryError> {
    let mut entries = Vec::new();
    let mut bookmark = String::new();
    loop {
        let call = call.clone().arg(MAX_PAGE.to_string()).arg(bookmark);
        let page: Page<T> = serde_json::from_slice(&contract.evaluate(call).await?)?;
        entries.extend(page.entries);
        if page.bookmark.is_empty() {
            return Ok(entries);
        }
        bookmark = page.bookmark;
    }
}

/// A write under one of the contract's keys of which nothing can be made. Whoever follows the ledger passes over it: a
/// single member must not be able to stop the others with what it leaves in a block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("block {block}, transaction {tx_id}: {reason}")]
pub struct Unreadable {
    /// Number of the block.
    pub block: u64,
    /// Identifier of the transaction.
    pub tx_id: String,
    /// The job that the key names.
    pub job: Option<JobId>,
    /// What is wrong.
    pub reason: String,
}

/// What the valid transactions of a block say about jobs, without what cannot be read.
pub fn facts(block: &Block, chaincode: &str) -> Vec<Positioned> {
    let readable = |(_, fact): (usize, Result<Positioned, Unreadable>)| {
        fact.map_err(|e| tracing::warn!(job = ?e.job, "passed over: {e}")).ok()
    };
    readings(block, chaincode).filter_map(readable).collect()
}

/// What the valid transactions of a block say about jobs, and the index of the transaction that says it.
pub fn readings<'a>(
    block: &'a Block,
    chaincode: &'a str,
) -> impl Iterator<Item = (usize, Result<Positioned, Unreadable>)> + 'a {
    let valid = block
        .transactions
        .iter()
        .enumerate()
        .filter(|(_, transaction)| transaction.validation_code == TxValidationCode::Valid);
    valid.flat_map(move |(index, transaction)| {
        let own =
            transaction.writes.iter().filter(move |write| write.namespace == chaincode && !write.is_delete);
        own.filter_map(move |write| Some((index, reading(block.number, transaction, write).transpose()?)))
    })
}

/// What one write says about a job; none where it is about something else.
pub(crate) fn reading(
    block: u64,
    transaction: &TransactionInfo,
    write: &KvWrite,
) -> Result<Option<Positioned>, Unreadable> {
    let tx_id = || transaction.transaction_id.clone();
    let unreadable = |reason: String| Unreadable {
        block,
        tx_id: tx_id(),
        job: key::subject(&write.key).and_then(|job| job.parse().ok()),
        reason,
    };
    let Some(fact) = LedgerEvent::from_write(&write.key, &write.value).map_err(unreadable)? else {
        return Ok(None);
    };
    let creator = Creator {
        msp_id: transaction.creator.msp_id.parse().map_err(|e: NoMspId| unreadable(e.to_string()))?,
        key_hash: key_hash(&transaction.creator.certificate).map_err(unreadable)?,
    };
    Ok(Some(Positioned { block, tx_id: tx_id(), creator, bytes: write.value.len() as u64, fact }))
}

/// SHA-256 of a PEM certificate's public key, as the contract computes it.
///
/// # Errors
/// What is no certificate.
pub fn key_hash(certificate: &[u8]) -> Result<KeyHash, String> {
    let certificate = msp::Certificate::from_pem(certificate).map_err(|e| e.to_string())?;
    Ok(certificate.public_key_hash().into())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::verify::Replay;
    use fabric_protos::{
        common::{self, BlockData, BlockHeader, BlockMetadata, ChannelHeader, Envelope, Header, HeaderType},
        common::{Payload, SignatureHeader},
        hash,
        kvrwset::{self, KvrwSet},
        msp::SerializedIdentity,
        peer::{
            self, ChaincodeAction, ChaincodeActionPayload, ChaincodeEndorsedAction, ChaincodeHeaderExtension,
            ChaincodeInput, ChaincodeInvocationSpec, ChaincodeProposalPayload, ChaincodeSpec,
            ProposalResponsePayload, TransactionAction,
        },
        prost::Message,
        rwset::{NsReadWriteSet, TxReadWriteSet},
    };
    use proptest::prelude::*;
    use records::{Job, Outcome, Termination, VERSION};
    use shim::ClientIdentity;

    #[test]
    fn strangers_and_members_are_named() {
        let said = |names: &[&str], members: &[&str]| {
            let owned = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
            MembersError::Strangers { channel: "c".into(), names: owned(names), members: owned(members) }
                .to_string()
        };
        assert_eq!(said(&["X"], &["A"]), "X is no member of channel c; its members are A");
        assert_eq!(
            said(&["X", "Y"], &["A", "B", "C"]),
            "X and Y are no members of channel c; its members are A, B and C"
        );
    }

    /// A certificate that a member may have; made by Go.
    pub(crate) fn certificate() -> String {
        let vector = include_str!("../../../chaincode/shim/tests/vectors/identities.jsonl").lines().next();
        let vector: serde_json::Value = serde_json::from_str(vector.unwrap()).unwrap();
        vector["pem"].as_str().unwrap().to_owned()
    }

    fn serialized(certificate: &[u8]) -> Vec<u8> {
        SerializedIdentity { mspid: "Org1MSP".into(), id_bytes: certificate.to_vec() }.encode_to_vec()
    }

    /// What a member sends to have a key of the job contract written.
    pub(crate) fn envelope(id: &str, certificate: &[u8], key: &str, value: &[u8]) -> Vec<u8> {
        let write = kvrwset::KvWrite { key: key.into(), value: value.to_vec(), ..Default::default() };
        let rwset = KvrwSet { writes: vec![write], ..Default::default() }.encode_to_vec();
        let odd = NsReadWriteSet { namespace: "foreign".into(), rwset: vec![0xff; 9], ..Default::default() };
        let own = NsReadWriteSet { namespace: "confab".into(), rwset, ..Default::default() };
        let results = TxReadWriteSet { ns_rwset: vec![odd, own], ..Default::default() }.encode_to_vec();
        let action = ChaincodeAction { results, events: vec![0xff; 9], ..Default::default() };
        let response = ProposalResponsePayload { extension: action.encode_to_vec(), ..Default::default() };
        let spec = ChaincodeSpec { input: Some(ChaincodeInput::default()), ..Default::default() };
        let input = ChaincodeInvocationSpec { chaincode_spec: Some(spec) }.encode_to_vec();
        let payload = ChaincodeActionPayload {
            chaincode_proposal_payload: ChaincodeProposalPayload { input, ..Default::default() }
                .encode_to_vec(),
            action: Some(ChaincodeEndorsedAction {
                proposal_response_payload: response.encode_to_vec(),
                endorsements: Vec::new(),
            }),
        };
        let action = TransactionAction { payload: payload.encode_to_vec(), ..Default::default() };
        let channel = ChannelHeader {
            r#type: HeaderType::EndorserTransaction as i32,
            tx_id: id.into(),
            extension: ChaincodeHeaderExtension::default().encode_to_vec(),
            ..Default::default()
        };
        let signature = SignatureHeader { creator: serialized(certificate), nonce: vec![1] };
        let header =
            Header { channel_header: channel.encode_to_vec(), signature_header: signature.encode_to_vec() };
        let data = peer::Transaction { actions: vec![action] }.encode_to_vec();
        let payload = Payload { header: Some(header), data }.encode_to_vec();
        Envelope { payload, signature: Vec::new() }.encode_to_vec()
    }

    /// A block whose transactions a peer calls valid.
    pub(crate) fn block(data: Vec<Vec<u8>>) -> Block {
        let filter = vec![TxValidationCode::Valid as u8; data.len()];
        let data = BlockData { data };
        let header = BlockHeader {
            number: 7,
            previous_hash: Vec::new(),
            data_hash: hash::block_data_hash(&data).to_vec(),
        };
        let metadata = BlockMetadata { metadata: vec![Vec::new(), Vec::new(), filter] };
        let block = common::Block { header: Some(header), data: Some(data), metadata: Some(metadata) };
        Block::parse(block).unwrap()
    }

    pub(crate) fn job() -> Job {
        let names = (1..=3).map(|org| format!("Org{org}MSP").parse().unwrap()).collect();
        let params = crate::proposal::template(10, names).unwrap();
        Job { version: VERSION, id: params.id(), params, proposer: "Org1MSP".parse().unwrap(), proposed: 0 }
    }

    pub(crate) fn ending(job: &JobId) -> Vec<u8> {
        let (job, outcome) = (job.clone(), Outcome::Aborted("enough".into()));
        serde_json::to_vec(&Termination { version: VERSION, job, by: "Org1MSP".parse().unwrap(), outcome })
            .unwrap()
    }

    /// Whatever a member leaves in a block, the others' records in it are read, and `verify` counts it against the
    /// job that it is about.
    #[test]
    fn what_cannot_be_read_is_passed_over() {
        let (job, other, own) = (job(), JobId::from([0xbb; 32]), certificate());
        let spaces = "\n".repeat(200 << 10) + &own;
        let key = |id: &JobId| key::ending(id);
        let good = ending(&job.id);
        let nested = "[".repeat(100_000);
        let proposal = serde_json::to_vec(&job).unwrap();
        let block = block(vec![
            b"garbage".to_vec(),
            envelope("t1", own.as_bytes(), &key::job(&job.id), &proposal),
            envelope("t2", spaces.as_bytes(), &key(&job.id), &good),
            envelope("t3", b"no certificate", &key(&other), &ending(&other)),
            envelope("t4", own.as_bytes(), &key(&other), &good),
            envelope("t5", own.as_bytes(), &key(&other), &[0xff, 0xfe]),
            envelope("t6", own.as_bytes(), &key(&other), nested.as_bytes()),
            envelope("t7", own.as_bytes(), "\0ending\0", &good),
            envelope("t8", own.as_bytes(), "\0record\0x\0y\0", b"{}"),
            envelope("t9", own.as_bytes(), &key(&job.id), &good),
        ]);
        assert!(block.transactions[1].defect.is_some(), "its event and a foreign write set");
        let found: Vec<_> = facts(&block, "confab").into_iter().map(|fact| fact.tx_id).collect();
        assert_eq!(found, ["t1", "t9"]);
        let lost: Vec<_> = readings(&block, "confab").filter_map(|(_, fact)| fact.err()).collect();
        let of = |id: &JobId| {
            let lost = lost.iter().filter(|lost| lost.job.as_ref() == Some(id));
            lost.map(|lost| lost.tx_id.as_str()).collect::<Vec<_>>()
        };
        assert_eq!((of(&job.id), of(&other)), (vec!["t2"], vec!["t3", "t4", "t5", "t6"]));
        assert_eq!(lost.len(), 7);
        assert!(lost.iter().all(|lost| lost.to_string().starts_with("block 7, transaction t")));
        assert!(facts(&block, "another").is_empty());

        let mut replay = Replay::new(other, None);
        replay.fold(&block, "confab");
        assert!(replay.job().is_none());
    }

    /// The contract pins the key of whoever accepts a job, and the node compares it.
    #[track_caller]
    fn contract_and_node_agree(certificate: &[u8]) -> bool {
        let (contract, node) = (ClientIdentity::parse(&serialized(certificate)), key_hash(certificate));
        match (&contract, node) {
            (Ok(identity), Ok(hash)) => assert_eq!(KeyHash::from(identity.public_key_hash()), hash),
            (Ok(_), Err(e)) => panic!("the contract takes it and the node does not: {e}"),
            // The contract reads the attributes, too.
            (Err(e), Ok(_)) => assert!(e.to_string().contains("attribute"), "{e}"),
            (Err(_), Err(_)) => {}
        }
        contract.is_ok()
    }

    #[test]
    fn odd_framings_are_read_alike() {
        let own = certificate();
        for (text, taken) in [
            (own.clone(), true),
            (own.replace('\n', "\r\n"), true),
            (format!("a text\n{own}{own}"), true),
            ("\n".repeat(60 << 10) + &own, true),
            ("\n".repeat(200 << 10) + &own, false),
            (own.clone() + &" ".repeat(200 << 10), false),
            (own.replace("CERTIFICATE", "TRUSTED CERTIFICATE"), false),
            (format!("x{own}{own}"), false),
        ] {
            assert_eq!(contract_and_node_agree(text.as_bytes()), taken, "{:.80}", text);
        }
    }

    proptest! {
        #[test]
        fn damaged_certificates_are_read_alike(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 1..4),
            in_der: bool,
        ) {
            let pem = certificate();
            let mut bytes = match in_der {
                true => msp::Certificate::from_pem(pem.as_bytes()).unwrap().der().to_vec(),
                false => pem.into_bytes(),
            };
            for (at, byte, kind) in changes {
                let at = at.index(bytes.len());
                match kind {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    _ => drop(bytes.remove(at)),
                }
            }
            if in_der {
                use base64::{Engine, prelude::BASE64_STANDARD};
                let digits = BASE64_STANDARD.encode(&bytes);
                bytes = format!("-----BEGIN CERTIFICATE-----\n{digits}\n-----END CERTIFICATE-----\n").into_bytes();
            }
            contract_and_node_agree(&bytes);
        }
    }
}
