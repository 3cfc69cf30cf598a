//! Private data collections, as they stand in a chaincode's definition.

use super::ApplicationPolicy;

/// The collections of a chaincode.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct CollectionConfigPackage {
    #[prost(message, repeated, tag = "1")]
    pub config: Vec<CollectionConfig>,
}

/// A collection.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct CollectionConfig {
    #[prost(oneof = "collection_config::Payload", tags = "1")]
    pub payload: Option<collection_config::Payload>,
}

/// What [`CollectionConfig`] holds.
pub mod collection_config {
    /// The only kind.
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Payload {
        #[prost(message, tag = "1")]
        StaticCollectionConfig(super::StaticCollectionConfig),
    }
}

/// A collection's members and rules.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct StaticCollectionConfig {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub member_orgs_policy: Option<CollectionPolicyConfig>,
    #[prost(int32, tag = "3")]
    pub required_peer_count: i32,
    #[prost(int32, tag = "4")]
    pub maximum_peer_count: i32,
    #[prost(uint64, tag = "5")]
    pub block_to_live: u64,
    #[prost(bool, tag = "6")]
    pub member_only_read: bool,
    #[prost(bool, tag = "7")]
    pub member_only_write: bool,
    #[prost(message, optional, tag = "8")]
    pub endorsement_policy: Option<ApplicationPolicy>,
}

/// Who the members are.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct CollectionPolicyConfig {
    #[prost(oneof = "collection_policy_config::Payload", tags = "1")]
    pub payload: Option<collection_policy_config::Payload>,
}

/// What [`CollectionPolicyConfig`] holds.
pub mod collection_policy_config {
    /// The only kind.
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Payload {
        #[prost(message, tag = "1")]
        SignaturePolicy(crate::common::SignaturePolicyEnvelope),
    }
}
