//! Package `kvrwset`: reads and writes of keys.

/// The reads and writes in one namespace.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct KvrwSet {
    #[prost(message, repeated, tag = "1")]
    pub reads: Vec<KvRead>,
    #[prost(message, repeated, tag = "2")]
    pub range_queries_info: Vec<RangeQueryInfo>,
    #[prost(message, repeated, tag = "3")]
    pub writes: Vec<KvWrite>,
    #[prost(message, repeated, tag = "4")]
    pub metadata_writes: Vec<KvMetadataWrite>,
}

/// The reads and writes in a private collection, keys and values by their SHA-256.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct HashedRwSet {
    #[prost(message, repeated, tag = "1")]
    pub hashed_reads: Vec<KvReadHash>,
    #[prost(message, repeated, tag = "2")]
    pub hashed_writes: Vec<KvWriteHash>,
    #[prost(message, repeated, tag = "3")]
    pub metadata_writes: Vec<KvMetadataWriteHash>,
}

/// A private key that was read, at a version; none where the key was not there.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct KvReadHash {
    #[prost(bytes = "vec", tag = "1")]
    pub key_hash: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    pub version: Option<Version>,
}

/// A private key that is written, deleted or purged; a purge is a delete too.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct KvWriteHash {
    #[prost(bytes = "vec", tag = "1")]
    pub key_hash: Vec<u8>,
    #[prost(bool, tag = "2")]
    pub is_delete: bool,
    #[prost(bytes = "vec", tag = "3")]
    pub value_hash: Vec<u8>,
    #[prost(bool, tag = "4")]
    pub is_purge: bool,
}

/// The metadata of a private key that is written.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct KvMetadataWriteHash {
    #[prost(bytes = "vec", tag = "1")]
    pub key_hash: Vec<u8>,
    #[prost(message, repeated, tag = "2")]
    pub entries: Vec<KvMetadataEntry>,
}

/// A key that was read, at a version; none where the key was not there.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct KvRead {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(message, optional, tag = "2")]
    pub version: Option<Version>,
}

/// A key that is written or deleted.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct KvWrite {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(bool, tag = "2")]
    pub is_delete: bool,
    #[prost(bytes = "vec", tag = "3")]
    pub value: Vec<u8>,
}

/// The metadata of a key that is written.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct KvMetadataWrite {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(message, repeated, tag = "2")]
    pub entries: Vec<KvMetadataEntry>,
}

/// One named piece of metadata.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct KvMetadataEntry {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// The transaction that last wrote a key.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Version {
    #[prost(uint64, tag = "1")]
    pub block_num: u64,
    #[prost(uint64, tag = "2")]
    pub tx_num: u64,
}

/// A range that was read, for the check against phantoms.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct RangeQueryInfo {
    #[prost(string, tag = "1")]
    pub start_key: String,
    #[prost(string, tag = "2")]
    pub end_key: String,
    #[prost(bool, tag = "3")]
    pub itr_exhausted: bool,
    #[prost(oneof = "range_query_info::ReadsInfo", tags = "4, 5")]
    pub reads_info: Option<range_query_info::ReadsInfo>,
}

/// What [`RangeQueryInfo`] holds.
pub mod range_query_info {
    /// One of these.
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum ReadsInfo {
        #[prost(message, tag = "4")]
        RawReads(super::QueryReads),
        #[prost(message, tag = "5")]
        ReadsMerkleHashes(super::QueryReadsMerkleSummary),
    }
}

/// The reads of a range, one by one.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct QueryReads {
    #[prost(message, repeated, tag = "1")]
    pub kv_reads: Vec<KvRead>,
}

/// The reads of a long range, as a Merkle tree's upper levels.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct QueryReadsMerkleSummary {
    #[prost(uint32, tag = "1")]
    pub max_degree: u32,
    #[prost(uint32, tag = "2")]
    pub max_level: u32,
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub max_level_hashes: Vec<Vec<u8>>,
}
