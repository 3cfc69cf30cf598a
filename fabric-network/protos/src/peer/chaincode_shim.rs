//! The stream between a peer and a chaincode.

use super::{ChaincodeEvent, SignedProposal};

/// The one message of the stream, in both directions; its type tells what the payload is.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ChaincodeMessage {
    #[prost(enumeration = "chaincode_message::Type", tag = "1")]
    pub r#type: i32,
    #[prost(message, optional, tag = "2")]
    pub timestamp: Option<::prost_types::Timestamp>,
    #[prost(bytes = "vec", tag = "3")]
    pub payload: Vec<u8>,
    #[prost(string, tag = "4")]
    pub txid: String,
    #[prost(message, optional, tag = "5")]
    pub proposal: Option<SignedProposal>,
    #[prost(message, optional, tag = "6")]
    pub chaincode_event: Option<ChaincodeEvent>,
    #[prost(string, tag = "7")]
    pub channel_id: String,
}

/// What [`ChaincodeMessage`] holds.
pub mod chaincode_message {
    enumeration! {
        /// What a [`ChaincodeMessage`](super::ChaincodeMessage) says.
        Type {
            Undefined = 0, "UNDEFINED";
            Register = 1, "REGISTER";
            Registered = 2, "REGISTERED";
            Init = 3, "INIT";
            Ready = 4, "READY";
            Transaction = 5, "TRANSACTION";
            Completed = 6, "COMPLETED";
            Error = 7, "ERROR";
            GetState = 8, "GET_STATE";
            PutState = 9, "PUT_STATE";
            DelState = 10, "DEL_STATE";
            InvokeChaincode = 11, "INVOKE_CHAINCODE";
            Response = 13, "RESPONSE";
            GetStateByRange = 14, "GET_STATE_BY_RANGE";
            GetQueryResult = 15, "GET_QUERY_RESULT";
            QueryStateNext = 16, "QUERY_STATE_NEXT";
            QueryStateClose = 17, "QUERY_STATE_CLOSE";
            Keepalive = 18, "KEEPALIVE";
            GetHistoryForKey = 19, "GET_HISTORY_FOR_KEY";
            GetStateMetadata = 20, "GET_STATE_METADATA";
            PutStateMetadata = 21, "PUT_STATE_METADATA";
            GetPrivateDataHash = 22, "GET_PRIVATE_DATA_HASH";
            PurgePrivateData = 23, "PURGE_PRIVATE_DATA";
            WriteBatchState = 24, "WRITE_BATCH_STATE";
            GetStateMultiple = 25, "GET_STATE_MULTIPLE";
        }
    }
}

/// The payload of GET_STATE; the answer is the bare value.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct GetState {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub collection: String,
}

/// The payload of GET_STATE_MULTIPLE.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct GetStateMultiple {
    #[prost(string, repeated, tag = "1")]
    pub keys: Vec<String>,
    #[prost(string, tag = "2")]
    pub collection: String,
}

/// The answer to [`GetStateMultiple`]: values in the order of the keys, empty where absent.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct GetStateMultipleResult {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub values: Vec<Vec<u8>>,
}

/// The payload of GET_STATE_METADATA.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct GetStateMetadata {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub collection: String,
}

/// The payload of PUT_STATE.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PutState {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
    #[prost(string, tag = "3")]
    pub collection: String,
}

/// The payload of PUT_STATE_METADATA.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PutStateMetadata {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "3")]
    pub collection: String,
    #[prost(message, optional, tag = "4")]
    pub metadata: Option<StateMetadata>,
}

/// The payload of DEL_STATE.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct DelState {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub collection: String,
}

/// The payload of PURGE_PRIVATE_DATA.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PurgePrivateState {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub collection: String,
}

/// The payload of WRITE_BATCH_STATE.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct WriteBatchState {
    #[prost(message, repeated, tag = "1")]
    pub rec: Vec<WriteRecord>,
}

/// One write of a [`WriteBatchState`].
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct WriteRecord {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
    #[prost(string, tag = "3")]
    pub collection: String,
    #[prost(message, optional, tag = "4")]
    pub metadata: Option<StateMetadata>,
    #[prost(enumeration = "write_record::Type", tag = "5")]
    pub r#type: i32,
}

/// What [`WriteRecord`] holds.
pub mod write_record {
    enumeration! {
        /// The kind of a write, with the numbers of the messages that it replaces.
        Type {
            Undefined = 0, "UNDEFINED";
            PutState = 9, "PUT_STATE";
            DelState = 10, "DEL_STATE";
            PutStateMetadata = 21, "PUT_STATE_METADATA";
            PurgePrivateData = 23, "PURGE_PRIVATE_DATA";
        }
    }
}

/// The payload of GET_STATE_BY_RANGE: `start_key` is included, `end_key` is not.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct GetStateByRange {
    #[prost(string, tag = "1")]
    pub start_key: String,
    #[prost(string, tag = "2")]
    pub end_key: String,
    #[prost(string, tag = "3")]
    pub collection: String,
    #[prost(bytes = "vec", tag = "4")]
    pub metadata: Vec<u8>,
}

/// The payload of GET_QUERY_RESULT: a rich query of CouchDB.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct GetQueryResult {
    #[prost(string, tag = "1")]
    pub query: String,
    #[prost(string, tag = "2")]
    pub collection: String,
    #[prost(bytes = "vec", tag = "3")]
    pub metadata: Vec<u8>,
}

/// The payload of GET_HISTORY_FOR_KEY.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct GetHistoryForKey {
    #[prost(string, tag = "1")]
    pub key: String,
}

/// The paging of a query by bookmark.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct QueryMetadata {
    #[prost(int32, tag = "1")]
    pub page_size: i32,
    #[prost(string, tag = "2")]
    pub bookmark: String,
}

/// The payload of QUERY_STATE_NEXT.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct QueryStateNext {
    #[prost(string, tag = "1")]
    pub id: String,
}

/// The payload of QUERY_STATE_CLOSE.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct QueryStateClose {
    #[prost(string, tag = "1")]
    pub id: String,
}

/// One result: a serialised [`Kv`](crate::queryresult::Kv) or [`KeyModification`](crate::queryresult::KeyModification).
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct QueryResultBytes {
    #[prost(bytes = "vec", tag = "1")]
    pub result_bytes: Vec<u8>,
}

/// A page of results; `has_more` tells that QUERY_STATE_NEXT will bring another.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct QueryResponse {
    #[prost(message, repeated, tag = "1")]
    pub results: Vec<QueryResultBytes>,
    #[prost(bool, tag = "2")]
    pub has_more: bool,
    #[prost(string, tag = "3")]
    pub id: String,
    #[prost(bytes = "vec", tag = "4")]
    pub metadata: Vec<u8>,
}

/// How many results a page by bookmark has, and the next bookmark.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct QueryResponseMetadata {
    #[prost(int32, tag = "1")]
    pub fetched_records_count: i32,
    #[prost(string, tag = "2")]
    pub bookmark: String,
}

enumeration! {
    /// The name of a key's endorsement policy in its metadata; the value is a serialised
    /// [`SignaturePolicyEnvelope`](crate::common::SignaturePolicyEnvelope). No peer reads the second version.
    MetaDataKeys {
        ValidationParameter = 0, "VALIDATION_PARAMETER";
        ValidationParameterV2 = 1, "VALIDATION_PARAMETER_V2";
    }
}

/// One named piece of a key's metadata.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct StateMetadata {
    #[prost(string, tag = "1")]
    pub metakey: String,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// The answer to [`GetStateMetadata`].
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct StateMetadataResult {
    #[prost(message, repeated, tag = "1")]
    pub entries: Vec<StateMetadata>,
}
