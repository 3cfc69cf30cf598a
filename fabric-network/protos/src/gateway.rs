//! Package `gateway`: the peer's service for client applications.

/// Ask one peer for the result of a proposal; nothing is written.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct EvaluateRequest {
    #[prost(string, tag = "1")]
    pub transaction_id: String,
    #[prost(string, tag = "2")]
    pub channel_id: String,
    #[prost(message, optional, tag = "3")]
    pub proposed_transaction: Option<crate::peer::SignedProposal>,
    #[prost(string, repeated, tag = "4")]
    pub target_organizations: Vec<String>,
}

/// The answer of the chaincode.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct EvaluateResponse {
    #[prost(message, optional, tag = "1")]
    pub result: Option<crate::peer::Response>,
}

/// Ask for as many endorsements as the policy needs.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct EndorseRequest {
    #[prost(string, tag = "1")]
    pub transaction_id: String,
    #[prost(string, tag = "2")]
    pub channel_id: String,
    #[prost(message, optional, tag = "3")]
    pub proposed_transaction: Option<crate::peer::SignedProposal>,
    #[prost(string, repeated, tag = "4")]
    pub endorsing_organizations: Vec<String>,
}

/// The transaction, ready to be signed.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct EndorseResponse {
    #[prost(message, optional, tag = "1")]
    pub prepared_transaction: Option<crate::common::Envelope>,
}

/// A signed transaction for the orderers.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct SubmitRequest {
    #[prost(string, tag = "1")]
    pub transaction_id: String,
    #[prost(string, tag = "2")]
    pub channel_id: String,
    #[prost(message, optional, tag = "3")]
    pub prepared_transaction: Option<crate::common::Envelope>,
}

/// The orderers took the transaction; whether it is valid is another question.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct SubmitResponse {}

/// A serialised [`CommitStatusRequest`] and the signature over it.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct SignedCommitStatusRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub request: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub signature: Vec<u8>,
}

/// Wait until the transaction is in a block.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct CommitStatusRequest {
    #[prost(string, tag = "1")]
    pub transaction_id: String,
    #[prost(string, tag = "2")]
    pub channel_id: String,
    #[prost(bytes = "vec", tag = "3")]
    pub identity: Vec<u8>,
}

/// How the transaction was validated, and where it is.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct CommitStatusResponse {
    #[prost(enumeration = "crate::peer::TxValidationCode", tag = "1")]
    pub result: i32,
    #[prost(uint64, tag = "2")]
    pub block_number: u64,
}

/// A serialised [`ChaincodeEventsRequest`] and the signature over it.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct SignedChaincodeEventsRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub request: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub signature: Vec<u8>,
}

/// Stream the events of a chaincode.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ChaincodeEventsRequest {
    #[prost(string, tag = "1")]
    pub channel_id: String,
    #[prost(string, tag = "2")]
    pub chaincode_id: String,
    #[prost(bytes = "vec", tag = "3")]
    pub identity: Vec<u8>,
    #[prost(message, optional, tag = "4")]
    pub start_position: Option<crate::orderer::SeekPosition>,
    #[prost(string, tag = "5")]
    pub after_transaction_id: String,
}

/// The events of one block.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ChaincodeEventsResponse {
    #[prost(message, repeated, tag = "1")]
    pub events: Vec<crate::peer::ChaincodeEvent>,
    #[prost(uint64, tag = "2")]
    pub block_number: u64,
}

/// What one endpoint said, among the details of a failed call.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ErrorDetail {
    #[prost(string, tag = "1")]
    pub address: String,
    #[prost(string, tag = "2")]
    pub msp_id: String,
    #[prost(string, tag = "3")]
    pub message: String,
}

/// A proposal that a client keeps or hands to somebody else, who signs it or sends it.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ProposedTransaction {
    #[prost(string, tag = "1")]
    pub transaction_id: String,
    #[prost(message, optional, tag = "2")]
    pub proposal: Option<crate::peer::SignedProposal>,
    #[prost(string, repeated, tag = "3")]
    pub endorsing_organizations: Vec<String>,
}

/// An endorsed transaction that a client keeps or hands to somebody else, who signs it or sends it.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PreparedTransaction {
    #[prost(string, tag = "1")]
    pub transaction_id: String,
    #[prost(message, optional, tag = "2")]
    pub envelope: Option<crate::common::Envelope>,
}
