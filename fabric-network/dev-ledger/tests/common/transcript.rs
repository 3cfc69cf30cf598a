//! What was asked of a ledger and what it answered, to be compared with another's.

use super::Client;
use fabric_protos::common::{Envelope, Payload};
use fabric_protos::kvrwset::{HashedRwSet, KvrwSet, range_query_info::ReadsInfo};
use fabric_protos::msp::SerializedIdentity;
use fabric_protos::peer::{
    ChaincodeAction, ChaincodeActionPayload, Endorsement, ProposalResponsePayload, Transaction,
};
use fabric_protos::rwset::TxReadWriteSet;
use prost::Message;
use std::fmt::Debug;
use tonic::Status;
use tonic::transport::Endpoint;

/// What was asked and what was answered, without ids, numbers of blocks and addresses.
#[derive(Default)]
pub struct Transcript(pub Vec<String>);

impl Transcript {
    pub fn note(&mut self, what: &str, answer: impl Debug) {
        let line = format!("{what}: {}", scrub(&format!("{answer:?}")));
        eprintln!("{line}");
        self.0.push(line);
    }

    pub fn call<T: Debug>(&mut self, what: &str, answer: Result<T, Status>) {
        match answer {
            Ok(answer) => self.note(what, answer),
            Err(status) => {
                let details = if status.details().is_empty() { Vec::new() } else { super::details(&status) };
                self.note(what, (status.code(), status.message(), details));
            }
        }
    }
}

/// Replaces what differs from run to run: long hexadecimal numbers and the peer's clock.
fn scrub(text: &str) -> String {
    let mut scrubbed = String::new();
    let mut digits = String::new();
    for c in text.chars().chain(['\0']) {
        if c.is_ascii_hexdigit() {
            digits.push(c);
            continue;
        }
        if digits.len() >= 32 {
            scrubbed.push('#')
        } else {
            scrubbed.push_str(&digits)
        }
        digits.clear();
        scrubbed.push(c);
    }
    scrubbed.trim_end_matches('\0').into()
}

/// Somebody of another Org1, on this one's connection.
pub async fn stranger(one: &Client) -> Client {
    let dir = tempfile::tempdir().unwrap();
    let material = crypto_material::generate(&crypto_material::NetworkSpec::standard(1), dir.path()).unwrap();
    let user = material.org("Org1").unwrap().user("User1").unwrap();
    let connection = Endpoint::from_static("http://localhost:1").connect_lazy();
    let mut stranger = Client::new(connection, "Org1MSP", &user.signing_cert(), &user.signing_key());
    stranger.gateway = one.gateway.clone();
    stranger.deliver = one.deliver.clone();
    stranger.endorser = one.endorser.clone();
    stranger.orderer = one.orderer.clone();
    stranger.discovery = one.discovery.clone();
    stranger.tls_hash = one.tls_hash.clone();
    stranger
}

/// Compares what this ledger and real Fabric answered.
pub fn compare(ours: &[String], theirs: &[String]) {
    let different: Vec<_> = ours.iter().zip(theirs).filter(|(ours, theirs)| ours != theirs).collect();
    for (ours, theirs) in &different {
        eprintln!("  ours:   {ours}\n  theirs: {theirs}\n");
    }
    assert!(different.is_empty(), "{} of {} answers differ", different.len(), ours.len());
    assert_eq!(ours.len(), theirs.len());
}

/// Namespaces, and in each what is read, queried and written.
pub fn rwset(envelope: &Envelope) -> Vec<String> {
    let payload = Payload::decode(envelope.payload.as_slice()).unwrap();
    let transaction = Transaction::decode(payload.data.as_slice()).unwrap();
    let action =
        ChaincodeActionPayload::decode(transaction.actions[0].payload.as_slice()).unwrap().action.unwrap();
    let response = ProposalResponsePayload::decode(action.proposal_response_payload.as_slice()).unwrap();
    outcome(&response)
}

/// The same of what a peer endorsed.
pub fn outcome(response: &ProposalResponsePayload) -> Vec<String> {
    let action = ChaincodeAction::decode(response.extension.as_slice()).unwrap();
    let sets = TxReadWriteSet::decode(action.results.as_slice()).unwrap().ns_rwset;
    let mut lines = vec![format!("{:?} {:?}", action.chaincode_id, action.response)];
    for set in sets {
        let own = KvrwSet::decode(set.rwset.as_slice()).unwrap();
        for read in own.reads {
            lines.push(format!("{} reads {} {}", set.namespace, read.key, read.version.is_some()));
        }
        for range in own.range_queries_info {
            let read = match range.reads_info {
                Some(ReadsInfo::RawReads(reads)) => {
                    format!("{:?}", reads.kv_reads.into_iter().map(|read| read.key).collect::<Vec<_>>())
                }
                // The hashes cover versions, which are the ledger's own.
                Some(ReadsInfo::ReadsMerkleHashes(top)) => {
                    format!(
                        "{} hashes on level {} of {}",
                        top.max_level_hashes.len(),
                        top.max_level,
                        top.max_degree
                    )
                }
                None => "nothing".into(),
            };
            lines.push(format!(
                "{} ranges {:?} {:?} {} {read}",
                set.namespace, range.start_key, range.end_key, range.itr_exhausted
            ));
        }
        for write in own.writes {
            lines.push(format!("{} writes {write:?}", set.namespace));
        }
        for write in own.metadata_writes {
            lines.push(format!("{} writes metadata {write:?}", set.namespace));
        }
        for collection in set.collection_hashed_rwset {
            let hashed = HashedRwSet::decode(collection.hashed_rwset.as_slice()).unwrap();
            let reads: Vec<_> =
                hashed.hashed_reads.iter().map(|read| (&read.key_hash, read.version.is_some())).collect();
            lines.push(format!(
                "{} in {} reads {reads:?} writes {:?} metadata {:?}, hash {:?}",
                set.namespace,
                collection.collection_name,
                hashed.hashed_writes,
                hashed.metadata_writes,
                collection.pvt_rwset_hash
            ));
        }
    }
    lines
}

/// Whose endorsements a transaction has.
pub fn endorsers(envelope: &Envelope) -> Vec<String> {
    let payload = Payload::decode(envelope.payload.as_slice()).unwrap();
    let transaction = Transaction::decode(payload.data.as_slice()).unwrap();
    let action =
        ChaincodeActionPayload::decode(transaction.actions[0].payload.as_slice()).unwrap().action.unwrap();
    let msp_id = |one: Endorsement| SerializedIdentity::decode(one.endorser.as_slice()).unwrap().mspid;
    let mut found: Vec<_> = action.endorsements.into_iter().map(msp_id).collect();
    found.sort();
    found
}
