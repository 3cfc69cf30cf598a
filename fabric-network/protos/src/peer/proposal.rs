//! Proposals and the responses to them.

use std::collections::BTreeMap;

use super::ChaincodeId;

/// A serialised [`Proposal`] and its creator's signature.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct SignedProposal {
    #[prost(bytes = "vec", tag = "1")]
    pub proposal_bytes: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub signature: Vec<u8>,
}

/// A header and a payload, serialised: a [`Header`](crate::common::Header) and a [`ChaincodeProposalPayload`].
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Proposal {
    #[prost(bytes = "vec", tag = "1")]
    pub header: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub payload: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub extension: Vec<u8>,
}

/// The extension in the channel header of a proposal.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ChaincodeHeaderExtension {
    #[prost(message, optional, tag = "2")]
    pub chaincode_id: Option<ChaincodeId>,
}

/// The call, and the transient data, which never enters the ledger.
#[derive(Clone, PartialEq, ::prost::Message)]
#[prost(skip_debug)]
pub struct ChaincodeProposalPayload {
    #[prost(bytes = "vec", tag = "1")]
    pub input: Vec<u8>,
    #[prost(btree_map = "string, bytes", tag = "2")]
    pub transient_map: BTreeMap<String, Vec<u8>>,
}

impl std::fmt::Debug for ChaincodeProposalPayload {
    // Transient data may be secret: only its names are shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChaincodeProposalPayload")
            .field("input", &self.input)
            .field("transient_map", &self.transient_map.keys())
            .finish()
    }
}

/// A peer's answer to a proposal, endorsed where it succeeded.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ProposalResponse {
    #[prost(int32, tag = "1")]
    pub version: i32,
    #[prost(message, optional, tag = "2")]
    pub timestamp: Option<::prost_types::Timestamp>,
    #[prost(message, optional, tag = "4")]
    pub response: Option<Response>,
    #[prost(bytes = "vec", tag = "5")]
    pub payload: Vec<u8>,
    #[prost(message, optional, tag = "6")]
    pub endorsement: Option<Endorsement>,
    #[prost(message, optional, tag = "7")]
    pub interest: Option<ChaincodeInterest>,
}

/// What a chaincode answers; below 400 is success.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Response {
    #[prost(int32, tag = "1")]
    pub status: i32,
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(bytes = "vec", tag = "3")]
    pub payload: Vec<u8>,
}

/// What is endorsed: a hash of the proposal and a serialised [`ChaincodeAction`].
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ProposalResponsePayload {
    #[prost(bytes = "vec", tag = "1")]
    pub proposal_hash: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub extension: Vec<u8>,
}

/// The outcome of a simulation.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ChaincodeAction {
    #[prost(bytes = "vec", tag = "1")]
    pub results: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub events: Vec<u8>,
    #[prost(message, optional, tag = "3")]
    pub response: Option<Response>,
    #[prost(message, optional, tag = "4")]
    pub chaincode_id: Option<ChaincodeId>,
}

/// A signature over response payload ‖ endorser.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Endorsement {
    #[prost(bytes = "vec", tag = "1")]
    pub endorser: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub signature: Vec<u8>,
}

/// The chaincodes and collections that a transaction touched, for finding endorsers.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ChaincodeInterest {
    #[prost(message, repeated, tag = "1")]
    pub chaincodes: Vec<ChaincodeCall>,
}

/// One chaincode in a [`ChaincodeInterest`].
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ChaincodeCall {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, repeated, tag = "2")]
    pub collection_names: Vec<String>,
    #[prost(bool, tag = "3")]
    pub no_private_reads: bool,
    #[prost(bool, tag = "4")]
    pub no_public_writes: bool,
    #[prost(message, repeated, tag = "5")]
    pub key_policies: Vec<crate::common::SignaturePolicyEnvelope>,
    #[prost(bool, tag = "6")]
    pub disregard_namespace_policy: bool,
}
