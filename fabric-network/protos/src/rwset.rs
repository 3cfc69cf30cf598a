//! Package `rwset`: the read/write set of a transaction, by namespace.

/// What a transaction read and wrote, by namespace.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct TxReadWriteSet {
    #[prost(enumeration = "tx_read_write_set::DataModel", tag = "1")]
    pub data_model: i32,
    #[prost(message, repeated, tag = "2")]
    pub ns_rwset: Vec<NsReadWriteSet>,
}

/// What [`TxReadWriteSet`] holds.
pub mod tx_read_write_set {
    enumeration! {
        /// How the sets are serialised.
        DataModel {
            Kv = 0, "KV";
        }
    }
}

/// The set of one namespace (chaincode); `rwset` is a serialised [`KvrwSet`](crate::kvrwset::KvrwSet).
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct NsReadWriteSet {
    #[prost(string, tag = "1")]
    pub namespace: String,
    #[prost(bytes = "vec", tag = "2")]
    pub rwset: Vec<u8>,
    #[prost(message, repeated, tag = "3")]
    pub collection_hashed_rwset: Vec<CollectionHashedReadWriteSet>,
}

/// The hashes of a private collection's set; `hashed_rwset` is a serialised
/// [`HashedRwSet`](crate::kvrwset::HashedRwSet).
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct CollectionHashedReadWriteSet {
    #[prost(string, tag = "1")]
    pub collection_name: String,
    #[prost(bytes = "vec", tag = "2")]
    pub hashed_rwset: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub pvt_rwset_hash: Vec<u8>,
}

/// The private data of a transaction in plain, by namespace; it never enters a block.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct TxPvtReadWriteSet {
    #[prost(enumeration = "tx_read_write_set::DataModel", tag = "1")]
    pub data_model: i32,
    #[prost(message, repeated, tag = "2")]
    pub ns_pvt_rwset: Vec<NsPvtReadWriteSet>,
}

/// The private data of one namespace, by collection.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct NsPvtReadWriteSet {
    #[prost(string, tag = "1")]
    pub namespace: String,
    #[prost(message, repeated, tag = "2")]
    pub collection_pvt_rwset: Vec<CollectionPvtReadWriteSet>,
}

/// The writes in one collection; `rwset` is a serialised [`KvrwSet`](crate::kvrwset::KvrwSet).
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct CollectionPvtReadWriteSet {
    #[prost(string, tag = "1")]
    pub collection_name: String,
    #[prost(bytes = "vec", tag = "2")]
    pub rwset: Vec<u8>,
}
