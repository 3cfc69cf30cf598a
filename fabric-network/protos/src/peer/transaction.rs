//! Transactions and how they are validated.

use super::Endorsement;

enumeration! {
    /// The verdict on a transaction in a block.
    TxValidationCode {
        Valid = 0, "VALID";
        NilEnvelope = 1, "NIL_ENVELOPE";
        BadPayload = 2, "BAD_PAYLOAD";
        BadCommonHeader = 3, "BAD_COMMON_HEADER";
        BadCreatorSignature = 4, "BAD_CREATOR_SIGNATURE";
        InvalidEndorserTransaction = 5, "INVALID_ENDORSER_TRANSACTION";
        InvalidConfigTransaction = 6, "INVALID_CONFIG_TRANSACTION";
        UnsupportedTxPayload = 7, "UNSUPPORTED_TX_PAYLOAD";
        BadProposalTxid = 8, "BAD_PROPOSAL_TXID";
        DuplicateTxid = 9, "DUPLICATE_TXID";
        EndorsementPolicyFailure = 10, "ENDORSEMENT_POLICY_FAILURE";
        MvccReadConflict = 11, "MVCC_READ_CONFLICT";
        PhantomReadConflict = 12, "PHANTOM_READ_CONFLICT";
        UnknownTxType = 13, "UNKNOWN_TX_TYPE";
        TargetChainNotFound = 14, "TARGET_CHAIN_NOT_FOUND";
        MarshalTxError = 15, "MARSHAL_TX_ERROR";
        NilTxaction = 16, "NIL_TXACTION";
        ExpiredChaincode = 17, "EXPIRED_CHAINCODE";
        ChaincodeVersionConflict = 18, "CHAINCODE_VERSION_CONFLICT";
        BadHeaderExtension = 19, "BAD_HEADER_EXTENSION";
        BadChannelHeader = 20, "BAD_CHANNEL_HEADER";
        BadResponsePayload = 21, "BAD_RESPONSE_PAYLOAD";
        BadRwset = 22, "BAD_RWSET";
        IllegalWriteset = 23, "ILLEGAL_WRITESET";
        InvalidWriteset = 24, "INVALID_WRITESET";
        InvalidChaincode = 25, "INVALID_CHAINCODE";
        NotValidated = 254, "NOT_VALIDATED";
        InvalidOtherReason = 255, "INVALID_OTHER_REASON";
    }
}

/// The actions of a transaction; there is always one.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Transaction {
    #[prost(message, repeated, tag = "1")]
    pub actions: Vec<TransactionAction>,
}

/// A signature header and a serialised [`ChaincodeActionPayload`].
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct TransactionAction {
    #[prost(bytes = "vec", tag = "1")]
    pub header: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub payload: Vec<u8>,
}

/// The proposal without its transient data, and what was endorsed.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ChaincodeActionPayload {
    #[prost(bytes = "vec", tag = "1")]
    pub chaincode_proposal_payload: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    pub action: Option<ChaincodeEndorsedAction>,
}

/// The response payload that all endorsers agreed on, with their endorsements.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ChaincodeEndorsedAction {
    #[prost(bytes = "vec", tag = "1")]
    pub proposal_response_payload: Vec<u8>,
    #[prost(message, repeated, tag = "2")]
    pub endorsements: Vec<Endorsement>,
}

/// A committed transaction, as `GetTransactionByID` of the system chaincode qscc answers.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ProcessedTransaction {
    #[prost(message, optional, tag = "1")]
    pub transaction_envelope: Option<crate::common::Envelope>,
    #[prost(int32, tag = "2")]
    pub validation_code: i32,
}

/// An entry of [`ChaincodeQueryResponse`].
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ChaincodeInfo {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub version: String,
    #[prost(string, tag = "3")]
    pub path: String,
    #[prost(string, tag = "4")]
    pub input: String,
    #[prost(string, tag = "5")]
    pub escc: String,
    #[prost(string, tag = "6")]
    pub vscc: String,
    #[prost(bytes = "vec", tag = "7")]
    pub id: Vec<u8>,
}

/// The chaincodes that a peer or a channel has.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ChaincodeQueryResponse {
    #[prost(message, repeated, tag = "1")]
    pub chaincodes: Vec<ChaincodeInfo>,
}

/// An entry of [`ChannelQueryResponse`].
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ChannelInfo {
    #[prost(string, tag = "1")]
    pub channel_id: String,
}

/// The channels that a peer has joined.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ChannelQueryResponse {
    #[prost(message, repeated, tag = "1")]
    pub channels: Vec<ChannelInfo>,
}

/// The peers through which other organisations find this one, in a channel configuration.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct AnchorPeers {
    #[prost(message, repeated, tag = "1")]
    pub anchor_peers: Vec<AnchorPeer>,
}

/// The endpoint of an anchor peer.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct AnchorPeer {
    #[prost(string, tag = "1")]
    pub host: String,
    #[prost(int32, tag = "2")]
    pub port: i32,
}
