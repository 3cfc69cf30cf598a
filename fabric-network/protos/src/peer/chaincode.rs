//! Chaincodes: how they are named, called, and what they answer.

use std::collections::BTreeMap;

/// The name of a chaincode; in REGISTER the package id is the name.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ChaincodeId {
    #[prost(string, tag = "1")]
    pub path: String,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, tag = "3")]
    pub version: String,
}

/// The arguments of a call; the first is the function by convention.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ChaincodeInput {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub args: Vec<Vec<u8>>,
    #[prost(btree_map = "string, bytes", tag = "2")]
    pub decorations: BTreeMap<String, Vec<u8>>,
    #[prost(bool, tag = "3")]
    pub is_init: bool,
}

/// A chaincode and the call of it.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ChaincodeSpec {
    #[prost(enumeration = "chaincode_spec::Type", tag = "1")]
    pub r#type: i32,
    #[prost(message, optional, tag = "2")]
    pub chaincode_id: Option<ChaincodeId>,
    #[prost(message, optional, tag = "3")]
    pub input: Option<ChaincodeInput>,
    #[prost(int32, tag = "4")]
    pub timeout: i32,
}

/// What [`ChaincodeSpec`] holds.
pub mod chaincode_spec {
    enumeration! {
        /// The language, which nothing depends on.
        Type {
            Undefined = 0, "UNDEFINED";
            Golang = 1, "GOLANG";
            Node = 2, "NODE";
            Car = 3, "CAR";
            Java = 4, "JAVA";
        }
    }
}

/// A call, as it stands in a proposal.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ChaincodeInvocationSpec {
    #[prost(message, optional, tag = "1")]
    pub chaincode_spec: Option<ChaincodeSpec>,
}

/// What a peer (3.1 and later) offers in the payload of READY beyond the old protocol.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ChaincodeAdditionalParams {
    #[prost(bool, tag = "1")]
    pub use_write_batch: bool,
    #[prost(uint32, tag = "2")]
    pub max_size_write_batch: u32,
    #[prost(bool, tag = "3")]
    pub use_get_multiple_keys: bool,
    #[prost(uint32, tag = "4")]
    pub max_size_get_multiple_keys: u32,
}

/// An event that a transaction sets.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ChaincodeEvent {
    #[prost(string, tag = "1")]
    pub chaincode_id: String,
    #[prost(string, tag = "2")]
    pub tx_id: String,
    #[prost(string, tag = "3")]
    pub event_name: String,
    #[prost(bytes = "vec", tag = "4")]
    pub payload: Vec<u8>,
}

/// A policy by value, or by its place in the channel configuration.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ApplicationPolicy {
    #[prost(oneof = "application_policy::Type", tags = "1, 2")]
    pub r#type: Option<application_policy::Type>,
}

/// What [`ApplicationPolicy`] holds.
pub mod application_policy {
    /// One of these.
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Type {
        #[prost(message, tag = "1")]
        SignaturePolicy(crate::common::SignaturePolicyEnvelope),
        #[prost(string, tag = "2")]
        ChannelConfigPolicyReference(String),
    }
}
