//! Package `common`: envelopes, headers, blocks, policies and channel configuration.

use std::collections::BTreeMap;

enumeration! {
    /// The outcome that orderers and the deliver service report, after HTTP.
    Status {
        Unknown = 0, "UNKNOWN";
        Success = 200, "SUCCESS";
        BadRequest = 400, "BAD_REQUEST";
        Forbidden = 403, "FORBIDDEN";
        NotFound = 404, "NOT_FOUND";
        RequestEntityTooLarge = 413, "REQUEST_ENTITY_TOO_LARGE";
        InternalServerError = 500, "INTERNAL_SERVER_ERROR";
        NotImplemented = 501, "NOT_IMPLEMENTED";
        ServiceUnavailable = 503, "SERVICE_UNAVAILABLE";
    }
}

enumeration! {
    /// What an envelope carries.
    HeaderType {
        Message = 0, "MESSAGE";
        Config = 1, "CONFIG";
        ConfigUpdate = 2, "CONFIG_UPDATE";
        EndorserTransaction = 3, "ENDORSER_TRANSACTION";
        OrdererTransaction = 4, "ORDERER_TRANSACTION";
        DeliverSeekInfo = 5, "DELIVER_SEEK_INFO";
        ChaincodePackage = 6, "CHAINCODE_PACKAGE";
    }
}

enumeration! {
    /// The places in [`BlockMetadata::metadata`].
    BlockMetadataIndex {
        Signatures = 0, "SIGNATURES";
        LastConfig = 1, "LAST_CONFIG";
        TransactionsFilter = 2, "TRANSACTIONS_FILTER";
        Orderer = 3, "ORDERER";
        CommitHash = 4, "COMMIT_HASH";
    }
}

/// A payload with the signature of the creator that its header names.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Envelope {
    #[prost(bytes = "vec", tag = "1")]
    pub payload: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub signature: Vec<u8>,
}

/// What an [`Envelope`] signs: a header and data whose type the channel header gives.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Payload {
    #[prost(message, optional, tag = "1")]
    pub header: Option<Header>,
    #[prost(bytes = "vec", tag = "2")]
    pub data: Vec<u8>,
}

/// The two headers, serialised, for their bytes are hashed and signed.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Header {
    #[prost(bytes = "vec", tag = "1")]
    pub channel_header: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub signature_header: Vec<u8>,
}

/// Where an envelope belongs: type, channel, transaction.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ChannelHeader {
    #[prost(int32, tag = "1")]
    pub r#type: i32,
    #[prost(int32, tag = "2")]
    pub version: i32,
    #[prost(message, optional, tag = "3")]
    pub timestamp: Option<::prost_types::Timestamp>,
    #[prost(string, tag = "4")]
    pub channel_id: String,
    #[prost(string, tag = "5")]
    pub tx_id: String,
    #[prost(uint64, tag = "6")]
    pub epoch: u64,
    #[prost(bytes = "vec", tag = "7")]
    pub extension: Vec<u8>,
    #[prost(bytes = "vec", tag = "8")]
    pub tls_cert_hash: Vec<u8>,
}

/// Who signs, and a nonce that makes the transaction id unique.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct SignatureHeader {
    #[prost(bytes = "vec", tag = "1")]
    pub creator: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub nonce: Vec<u8>,
}

/// A block of the chain.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Block {
    #[prost(message, optional, tag = "1")]
    pub header: Option<BlockHeader>,
    #[prost(message, optional, tag = "2")]
    pub data: Option<BlockData>,
    #[prost(message, optional, tag = "3")]
    pub metadata: Option<BlockMetadata>,
}

/// The hash-chained part of a block.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct BlockHeader {
    #[prost(uint64, tag = "1")]
    pub number: u64,
    #[prost(bytes = "vec", tag = "2")]
    pub previous_hash: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub data_hash: Vec<u8>,
}

/// The serialised envelopes of a block.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct BlockData {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub data: Vec<Vec<u8>>,
}

/// What orderer and committer add to a block, indexed by [`BlockMetadataIndex`].
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct BlockMetadata {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub metadata: Vec<Vec<u8>>,
}

/// One entry of [`BlockMetadata`] with the signatures on it.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Metadata {
    #[prost(bytes = "vec", tag = "1")]
    pub value: Vec<u8>,
    #[prost(message, repeated, tag = "2")]
    pub signatures: Vec<MetadataSignature>,
}

/// A signature over a [`Metadata`] value.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct MetadataSignature {
    #[prost(bytes = "vec", tag = "1")]
    pub signature_header: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub signature: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub identifier_header: Vec<u8>,
}

/// A signer by its number among the consenters (BFT orderers).
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct IdentifierHeader {
    #[prost(uint32, tag = "1")]
    pub identifier: u32,
    #[prost(bytes = "vec", tag = "2")]
    pub nonce: Vec<u8>,
}

/// The number of the last configuration block.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct LastConfig {
    #[prost(uint64, tag = "1")]
    pub index: u64,
}

/// The value that orderers sign in a block.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct OrdererBlockMetadata {
    #[prost(message, optional, tag = "1")]
    pub last_config: Option<LastConfig>,
    #[prost(bytes = "vec", tag = "2")]
    pub consenter_metadata: Vec<u8>,
}

/// Height and hashes of a chain, as `GetChainInfo` of the system chaincode qscc answers.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct BlockchainInfo {
    #[prost(uint64, tag = "1")]
    pub height: u64,
    #[prost(bytes = "vec", tag = "2")]
    pub current_block_hash: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub previous_block_hash: Vec<u8>,
    #[prost(message, optional, tag = "4")]
    pub bootstrapping_snapshot_info: Option<BootstrappingSnapshotInfo>,
}

/// The snapshot that a ledger was started from.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct BootstrappingSnapshotInfo {
    #[prost(uint64, tag = "1")]
    pub last_block_in_snapshot: u64,
}

/// What a configuration block carries.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ConfigEnvelope {
    #[prost(message, optional, tag = "1")]
    pub config: Option<Config>,
    #[prost(message, optional, tag = "2")]
    pub last_update: Option<Envelope>,
}

/// A channel configuration with its sequence number.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Config {
    #[prost(uint64, tag = "1")]
    pub sequence: u64,
    #[prost(message, optional, tag = "2")]
    pub channel_group: Option<ConfigGroup>,
}

/// A configuration update with the signatures that allow it.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ConfigUpdateEnvelope {
    #[prost(bytes = "vec", tag = "1")]
    pub config_update: Vec<u8>,
    #[prost(message, repeated, tag = "2")]
    pub signatures: Vec<ConfigSignature>,
}

/// The change that a configuration update makes.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ConfigUpdate {
    #[prost(string, tag = "1")]
    pub channel_id: String,
    #[prost(message, optional, tag = "2")]
    pub read_set: Option<ConfigGroup>,
    #[prost(message, optional, tag = "3")]
    pub write_set: Option<ConfigGroup>,
    #[prost(btree_map = "string, bytes", tag = "5")]
    pub isolated_data: BTreeMap<String, Vec<u8>>,
}

/// A node of the configuration tree.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ConfigGroup {
    #[prost(uint64, tag = "1")]
    pub version: u64,
    #[prost(btree_map = "string, message", tag = "2")]
    pub groups: BTreeMap<String, ConfigGroup>,
    #[prost(btree_map = "string, message", tag = "3")]
    pub values: BTreeMap<String, ConfigValue>,
    #[prost(btree_map = "string, message", tag = "4")]
    pub policies: BTreeMap<String, ConfigPolicy>,
    #[prost(string, tag = "5")]
    pub mod_policy: String,
}

/// A value in the configuration tree.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ConfigValue {
    #[prost(uint64, tag = "1")]
    pub version: u64,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
    #[prost(string, tag = "3")]
    pub mod_policy: String,
}

/// A policy in the configuration tree.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ConfigPolicy {
    #[prost(uint64, tag = "1")]
    pub version: u64,
    #[prost(message, optional, tag = "2")]
    pub policy: Option<Policy>,
    #[prost(string, tag = "3")]
    pub mod_policy: String,
}

/// A signature on a configuration update.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ConfigSignature {
    #[prost(bytes = "vec", tag = "1")]
    pub signature_header: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub signature: Vec<u8>,
}

/// The capabilities that a channel or a part of it requires.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Capabilities {
    #[prost(btree_map = "string, message", tag = "1")]
    pub capabilities: BTreeMap<String, Capability>,
}

/// One capability; its name is all that matters.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Capability {}

/// The function of the hashes of blocks.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct HashingAlgorithm {
    #[prost(string, tag = "1")]
    pub name: String,
}

/// The width of the tree under a block's data; 2³²−1 for the hash of all of it.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct BlockDataHashingStructure {
    #[prost(uint32, tag = "1")]
    pub width: u32,
}

/// The endpoints of an ordering organisation.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct OrdererAddresses {
    #[prost(string, repeated, tag = "1")]
    pub addresses: Vec<String>,
}

/// A policy of one of several kinds, serialised.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Policy {
    #[prost(int32, tag = "1")]
    pub r#type: i32,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// What [`Policy`] holds.
pub mod policy {
    enumeration! {
        /// How [`Policy`](super::Policy)'s value is to be read.
        PolicyType {
            Unknown = 0, "UNKNOWN";
            Signature = 1, "SIGNATURE";
            Msp = 2, "MSP";
            ImplicitMeta = 3, "IMPLICIT_META";
        }
    }
}

/// A signature policy and the principals that it refers to by index.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct SignaturePolicyEnvelope {
    #[prost(int32, tag = "1")]
    pub version: i32,
    #[prost(message, optional, tag = "2")]
    pub rule: Option<SignaturePolicy>,
    #[prost(message, repeated, tag = "3")]
    pub identities: Vec<MspPrincipal>,
}

/// A signature, or a number of sub-policies.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct SignaturePolicy {
    #[prost(oneof = "signature_policy::Type", tags = "1, 2")]
    pub r#type: Option<signature_policy::Type>,
}

/// What [`SignaturePolicy`] holds.
pub mod signature_policy {
    /// At least `n` of the rules hold.
    #[derive(Clone, PartialEq, ::prost::Message)]
    pub struct NOutOf {
        #[prost(int32, tag = "1")]
        pub n: i32,
        #[prost(message, repeated, tag = "2")]
        pub rules: Vec<super::SignaturePolicy>,
    }

    /// One of these.
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Type {
        #[prost(int32, tag = "1")]
        SignedBy(i32),
        #[prost(message, tag = "2")]
        NOutOf(super::signature_policy::NOutOf),
    }
}

/// A policy made from the sub-policies of that name in the groups below.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ImplicitMetaPolicy {
    #[prost(string, tag = "1")]
    pub sub_policy: String,
    #[prost(enumeration = "implicit_meta_policy::Rule", tag = "2")]
    pub rule: i32,
}

/// What [`ImplicitMetaPolicy`] holds.
pub mod implicit_meta_policy {
    enumeration! {
        /// How many of the sub-policies must hold.
        Rule {
            Any = 0, "ANY";
            All = 1, "ALL";
            Majority = 2, "MAJORITY";
        }
    }
}

/// Somebody whom a policy can name.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct MspPrincipal {
    #[prost(enumeration = "msp_principal::Classification", tag = "1")]
    pub principal_classification: i32,
    #[prost(bytes = "vec", tag = "2")]
    pub principal: Vec<u8>,
}

/// What [`MspPrincipal`] holds.
pub mod msp_principal {
    enumeration! {
        /// How [`MspPrincipal`](super::MspPrincipal)'s bytes are to be read.
        Classification {
            Role = 0, "ROLE";
            OrganizationUnit = 1, "ORGANIZATION_UNIT";
            Identity = 2, "IDENTITY";
            Anonymity = 3, "ANONYMITY";
            Combined = 4, "COMBINED";
        }
    }
}

/// Any identity of an organisation that has a role.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct MspRole {
    #[prost(string, tag = "1")]
    pub msp_identifier: String,
    #[prost(enumeration = "msp_role::MspRoleType", tag = "2")]
    pub role: i32,
}

/// What [`MspRole`] holds.
pub mod msp_role {
    enumeration! {
        /// The roles.
        MspRoleType {
            Member = 0, "MEMBER";
            Admin = 1, "ADMIN";
            Client = 2, "CLIENT";
            Peer = 3, "PEER";
            Orderer = 4, "ORDERER";
        }
    }
}

/// Any identity whose certificate carries an organisational unit.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct OrganizationUnit {
    #[prost(string, tag = "1")]
    pub msp_identifier: String,
    #[prost(string, tag = "2")]
    pub organizational_unit_identifier: String,
    #[prost(bytes = "vec", tag = "3")]
    pub certifiers_identifier: Vec<u8>,
}
