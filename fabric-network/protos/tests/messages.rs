//! Messages against bytes that Fabric's own Go types made.
//!
//! In `vectors/messages.jsonl` every field of every message is set: text and bytes to the field's
//! name, numbers to [`number`] of it, so that a field with another one's tag or name shows. A message
//! with alternatives is there once for each.

use fabric_protos::prost::Message;
use fabric_protos::{common, gateway, google, kvrwset, msp, orderer, peer, queryresult, rwset};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Decodes a message; answers its text, and its bytes when encoded again.
type Reread = fn(&[u8]) -> Result<(String, Vec<u8>), fabric_protos::prost::DecodeError>;

fn reread<M: Message + Default + std::fmt::Debug>(
    bytes: &[u8],
) -> Result<(String, Vec<u8>), fabric_protos::prost::DecodeError> {
    let message = M::decode(bytes)?;
    Ok((format!("{message:?}"), message.encode_to_vec()))
}

macro_rules! messages {
    ($($name:literal => $message:ty,)+) => {
        const MESSAGES: &[(&str, Reread)] = &[$(($name, reread::<$message>),)+];
    };
}

messages! {
    "common.Envelope" => common::Envelope,
    "common.Payload" => common::Payload,
    "common.Header" => common::Header,
    "common.ChannelHeader" => common::ChannelHeader,
    "common.SignatureHeader" => common::SignatureHeader,
    "common.Block" => common::Block,
    "common.BlockHeader" => common::BlockHeader,
    "common.BlockData" => common::BlockData,
    "common.BlockMetadata" => common::BlockMetadata,
    "common.Metadata" => common::Metadata,
    "common.MetadataSignature" => common::MetadataSignature,
    "common.IdentifierHeader" => common::IdentifierHeader,
    "common.LastConfig" => common::LastConfig,
    "common.OrdererBlockMetadata" => common::OrdererBlockMetadata,
    "common.BlockchainInfo" => common::BlockchainInfo,
    "common.BootstrappingSnapshotInfo" => common::BootstrappingSnapshotInfo,
    "common.ConfigEnvelope" => common::ConfigEnvelope,
    "common.Config" => common::Config,
    "common.ConfigUpdateEnvelope" => common::ConfigUpdateEnvelope,
    "common.ConfigUpdate" => common::ConfigUpdate,
    "common.ConfigGroup" => common::ConfigGroup,
    "common.ConfigValue" => common::ConfigValue,
    "common.ConfigPolicy" => common::ConfigPolicy,
    "common.ConfigSignature" => common::ConfigSignature,
    "common.Capabilities" => common::Capabilities,
    "common.Capability" => common::Capability,
    "common.OrdererAddresses" => common::OrdererAddresses,
    "common.Policy" => common::Policy,
    "common.SignaturePolicyEnvelope" => common::SignaturePolicyEnvelope,
    "common.SignaturePolicy" => common::SignaturePolicy,
    "common.SignaturePolicy.NOutOf" => common::signature_policy::NOutOf,
    "common.ImplicitMetaPolicy" => common::ImplicitMetaPolicy,
    "common.MSPPrincipal" => common::MspPrincipal,
    "common.MSPRole" => common::MspRole,
    "common.OrganizationUnit" => common::OrganizationUnit,
    "msp.SerializedIdentity" => msp::SerializedIdentity,
    "msp.MSPConfig" => msp::MspConfig,
    "msp.FabricMSPConfig" => msp::FabricMspConfig,
    "msp.FabricCryptoConfig" => msp::FabricCryptoConfig,
    "msp.FabricOUIdentifier" => msp::FabricOuIdentifier,
    "msp.FabricNodeOUs" => msp::FabricNodeOUs,
    "gateway.EvaluateRequest" => gateway::EvaluateRequest,
    "gateway.EvaluateResponse" => gateway::EvaluateResponse,
    "gateway.EndorseRequest" => gateway::EndorseRequest,
    "gateway.EndorseResponse" => gateway::EndorseResponse,
    "gateway.SubmitRequest" => gateway::SubmitRequest,
    "gateway.SubmitResponse" => gateway::SubmitResponse,
    "gateway.SignedCommitStatusRequest" => gateway::SignedCommitStatusRequest,
    "gateway.CommitStatusRequest" => gateway::CommitStatusRequest,
    "gateway.CommitStatusResponse" => gateway::CommitStatusResponse,
    "gateway.SignedChaincodeEventsRequest" => gateway::SignedChaincodeEventsRequest,
    "gateway.ChaincodeEventsRequest" => gateway::ChaincodeEventsRequest,
    "gateway.ChaincodeEventsResponse" => gateway::ChaincodeEventsResponse,
    "gateway.ErrorDetail" => gateway::ErrorDetail,
    "gateway.ProposedTransaction" => gateway::ProposedTransaction,
    "gateway.PreparedTransaction" => gateway::PreparedTransaction,
    "orderer.BroadcastResponse" => orderer::BroadcastResponse,
    "orderer.SeekNewest" => orderer::SeekNewest,
    "orderer.SeekOldest" => orderer::SeekOldest,
    "orderer.SeekSpecified" => orderer::SeekSpecified,
    "orderer.SeekNextCommit" => orderer::SeekNextCommit,
    "orderer.SeekPosition" => orderer::SeekPosition,
    "orderer.SeekInfo" => orderer::SeekInfo,
    "orderer.DeliverResponse" => orderer::DeliverResponse,
    "orderer.ConsensusType" => orderer::ConsensusType,
    "orderer.BatchSize" => orderer::BatchSize,
    "orderer.BatchTimeout" => orderer::BatchTimeout,
    "rwset.TxReadWriteSet" => rwset::TxReadWriteSet,
    "rwset.NsReadWriteSet" => rwset::NsReadWriteSet,
    "rwset.CollectionHashedReadWriteSet" => rwset::CollectionHashedReadWriteSet,
    "rwset.TxPvtReadWriteSet" => rwset::TxPvtReadWriteSet,
    "rwset.NsPvtReadWriteSet" => rwset::NsPvtReadWriteSet,
    "rwset.CollectionPvtReadWriteSet" => rwset::CollectionPvtReadWriteSet,
    "kvrwset.KVRWSet" => kvrwset::KvrwSet,
    "kvrwset.HashedRWSet" => kvrwset::HashedRwSet,
    "kvrwset.KVReadHash" => kvrwset::KvReadHash,
    "kvrwset.KVWriteHash" => kvrwset::KvWriteHash,
    "kvrwset.KVMetadataWriteHash" => kvrwset::KvMetadataWriteHash,
    "kvrwset.KVRead" => kvrwset::KvRead,
    "kvrwset.KVWrite" => kvrwset::KvWrite,
    "kvrwset.KVMetadataWrite" => kvrwset::KvMetadataWrite,
    "kvrwset.KVMetadataEntry" => kvrwset::KvMetadataEntry,
    "kvrwset.Version" => kvrwset::Version,
    "kvrwset.RangeQueryInfo" => kvrwset::RangeQueryInfo,
    "kvrwset.QueryReads" => kvrwset::QueryReads,
    "kvrwset.QueryReadsMerkleSummary" => kvrwset::QueryReadsMerkleSummary,
    "queryresult.KV" => queryresult::Kv,
    "queryresult.KeyModification" => queryresult::KeyModification,
    "google.rpc.Status" => google::rpc::Status,
    "protos.ChaincodeID" => peer::ChaincodeId,
    "protos.ChaincodeInput" => peer::ChaincodeInput,
    "protos.ChaincodeSpec" => peer::ChaincodeSpec,
    "protos.ChaincodeInvocationSpec" => peer::ChaincodeInvocationSpec,
    "protos.ChaincodeAdditionalParams" => peer::ChaincodeAdditionalParams,
    "protos.ChaincodeEvent" => peer::ChaincodeEvent,
    "protos.ApplicationPolicy" => peer::ApplicationPolicy,
    "protos.SignedProposal" => peer::SignedProposal,
    "protos.Proposal" => peer::Proposal,
    "protos.ChaincodeHeaderExtension" => peer::ChaincodeHeaderExtension,
    "protos.ChaincodeProposalPayload" => peer::ChaincodeProposalPayload,
    "protos.ProposalResponse" => peer::ProposalResponse,
    "protos.Response" => peer::Response,
    "protos.ProposalResponsePayload" => peer::ProposalResponsePayload,
    "protos.ChaincodeAction" => peer::ChaincodeAction,
    "protos.Endorsement" => peer::Endorsement,
    "protos.ChaincodeInterest" => peer::ChaincodeInterest,
    "protos.ChaincodeCall" => peer::ChaincodeCall,
    "protos.Transaction" => peer::Transaction,
    "protos.TransactionAction" => peer::TransactionAction,
    "protos.ChaincodeActionPayload" => peer::ChaincodeActionPayload,
    "protos.ChaincodeEndorsedAction" => peer::ChaincodeEndorsedAction,
    "protos.ProcessedTransaction" => peer::ProcessedTransaction,
    "protos.ChaincodeInfo" => peer::ChaincodeInfo,
    "protos.ChaincodeQueryResponse" => peer::ChaincodeQueryResponse,
    "protos.ChannelInfo" => peer::ChannelInfo,
    "protos.ChannelQueryResponse" => peer::ChannelQueryResponse,
    "protos.AnchorPeers" => peer::AnchorPeers,
    "protos.AnchorPeer" => peer::AnchorPeer,
    "protos.DeliverResponse" => peer::DeliverResponse,
    "protos.FilteredBlock" => peer::FilteredBlock,
    "protos.FilteredTransaction" => peer::FilteredTransaction,
    "protos.FilteredTransactionActions" => peer::FilteredTransactionActions,
    "protos.FilteredChaincodeAction" => peer::FilteredChaincodeAction,
    "protos.BlockAndPrivateData" => peer::BlockAndPrivateData,
    "protos.ChaincodeMessage" => peer::ChaincodeMessage,
    "protos.GetState" => peer::GetState,
    "protos.GetStateMultiple" => peer::GetStateMultiple,
    "protos.GetStateMultipleResult" => peer::GetStateMultipleResult,
    "protos.GetStateMetadata" => peer::GetStateMetadata,
    "protos.PutState" => peer::PutState,
    "protos.PutStateMetadata" => peer::PutStateMetadata,
    "protos.DelState" => peer::DelState,
    "protos.PurgePrivateState" => peer::PurgePrivateState,
    "protos.WriteBatchState" => peer::WriteBatchState,
    "protos.WriteRecord" => peer::WriteRecord,
    "protos.GetStateByRange" => peer::GetStateByRange,
    "protos.GetQueryResult" => peer::GetQueryResult,
    "protos.GetHistoryForKey" => peer::GetHistoryForKey,
    "protos.QueryMetadata" => peer::QueryMetadata,
    "protos.QueryStateNext" => peer::QueryStateNext,
    "protos.QueryStateClose" => peer::QueryStateClose,
    "protos.QueryResultBytes" => peer::QueryResultBytes,
    "protos.QueryResponse" => peer::QueryResponse,
    "protos.QueryResponseMetadata" => peer::QueryResponseMetadata,
    "protos.StateMetadata" => peer::StateMetadata,
    "protos.StateMetadataResult" => peer::StateMetadataResult,
}

/// What a field of this name holds if it is a number.
fn number(field: &str) -> u64 {
    1000 + field.bytes().fold(0u64, |n, byte| n.wrapping_mul(31).wrapping_add(byte.into())) % 100_000
}

/// Whether the field's value in the text of a message is the one that the vectors give it.
fn holds_its_name(field: &str, value: &str) -> bool {
    let bytes = field.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ");
    [
        format!("\"{field}\""),
        format!("[\"{field}\", \"{field}\"]"),
        format!("[\"{field}\"]"), // a map of which only the keys are shown
        format!("[{bytes}]"),
        format!("[[{bytes}], [{bytes}]]"),
        format!("{{\"{field}\": [{bytes}]}}"),
        number(field).to_string(),
        format!("[{0}, {0}]", number(field)),
    ]
    .iter()
    .any(|expected| value == expected)
}

#[test]
fn messages_read_what_fabric_writes_and_write_the_same() {
    let mut seen = BTreeSet::new();
    for line in include_str!("vectors/messages.jsonl").lines() {
        let vector: serde_json::Value = serde_json::from_str(line).unwrap();
        let name = vector["message"].as_str().unwrap();
        let bytes = hex::decode(vector["hex"].as_str().unwrap()).unwrap();
        let (_, reread) = MESSAGES.iter().find(|(known, _)| *known == name).unwrap();
        let (text, again) = reread(&bytes).unwrap();
        // Only the length, for Go writes alternatives in another order; and it writes an empty message
        // in a map where prost leaves it out.
        let left_out = if name == "common.Capabilities" { 2 } else { 0 };
        assert_eq!(again.len() + left_out, bytes.len(), "{name} loses something: {text}");
        assert_eq!(reread(&again).unwrap().0, text, "{name}");
        check_fields(name, &text);
        seen.insert(name.to_owned());
    }
    assert_eq!(seen.len(), MESSAGES.len(), "every message has a vector");
}

/// Looks at each `field: value` whose value is a number, text, or bytes.
fn check_fields(message: &str, text: &str) {
    let exempt = ["seconds", "nanos", "type_url"]; // well-known types
    let mut rest = text;
    while let Some(colon) = rest.find(": ") {
        let field = rest[..colon].rsplit(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap();
        rest = &rest[colon + 2..];
        let value = match rest.as_bytes()[0] {
            b'"' => &rest[..rest[1..].find('"').unwrap() + 2],
            b'0'..=b'9' => &rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap()],
            b'[' if rest[1..].starts_with(|c: char| c.is_ascii_digit() || c == '"') => {
                &rest[..rest.find(']').unwrap() + 1]
            }
            _ => continue,
        };
        if !exempt.contains(&field) && !field.is_empty() {
            let listed = value.ends_with(']') && rest[..value.len() + 2].ends_with("]]");
            assert!(listed || holds_its_name(field, value), "{message}: {field} is {value}");
        }
    }
}

#[test]
fn a_flipped_tag_would_be_noticed() {
    let text = r#"KvRead { key: "value", version: None }"#;
    assert!(std::panic::catch_unwind(|| check_fields("test", text)).is_err());
    check_fields("test", r#"KvRead { key: "key", version: None }"#);
}

proptest! {
    #[test]
    fn foreign_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        for (_, reread) in MESSAGES {
            if let Ok((_, again)) = reread(&bytes) {
                prop_assert!(reread(&again).is_ok());
            }
        }
    }

    #[test]
    fn damaged_messages_never_panic(
        line in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let lines: Vec<&str> = include_str!("vectors/messages.jsonl").lines().collect();
        let line = lines[line.index(lines.len())];
        let vector: serde_json::Value = serde_json::from_str(line).unwrap();
        let mut bytes = hex::decode(vector["hex"].as_str().unwrap()).unwrap();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        for (_, reread) in MESSAGES {
            let _ = reread(&bytes);
        }
    }
}
