//! Package `queryresult`: what range and history queries answer.

/// A key and its value in a namespace.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Kv {
    #[prost(string, tag = "1")]
    pub namespace: String,
    #[prost(string, tag = "2")]
    pub key: String,
    #[prost(bytes = "vec", tag = "3")]
    pub value: Vec<u8>,
}

/// One change in a key's history.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct KeyModification {
    #[prost(string, tag = "1")]
    pub tx_id: String,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
    #[prost(message, optional, tag = "3")]
    pub timestamp: Option<::prost_types::Timestamp>,
    #[prost(bool, tag = "4")]
    pub is_delete: bool,
}
