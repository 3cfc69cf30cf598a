//! Package `orderer`: seeking in a chain and the orderer's own service.

/// The orderer's answer to a broadcast envelope.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct BroadcastResponse {
    #[prost(enumeration = "crate::common::Status", tag = "1")]
    pub status: i32,
    #[prost(string, tag = "2")]
    pub info: String,
}

/// The newest block.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct SeekNewest {}

/// The first block.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct SeekOldest {}

/// The block of this number.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct SeekSpecified {
    #[prost(uint64, tag = "1")]
    pub number: u64,
}

/// The next block to be committed.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct SeekNextCommit {}

/// A place in the chain.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct SeekPosition {
    #[prost(oneof = "seek_position::Type", tags = "1, 2, 3, 4")]
    pub r#type: Option<seek_position::Type>,
}

/// What [`SeekPosition`] holds.
pub mod seek_position {
    /// One of these.
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Type {
        #[prost(message, tag = "1")]
        Newest(super::SeekNewest),
        #[prost(message, tag = "2")]
        Oldest(super::SeekOldest),
        #[prost(message, tag = "3")]
        Specified(super::SeekSpecified),
        #[prost(message, tag = "4")]
        NextCommit(super::SeekNextCommit),
    }
}

/// The request for blocks from `start` to `stop`, both included.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct SeekInfo {
    #[prost(message, optional, tag = "1")]
    pub start: Option<SeekPosition>,
    #[prost(message, optional, tag = "2")]
    pub stop: Option<SeekPosition>,
    #[prost(enumeration = "seek_info::SeekBehavior", tag = "3")]
    pub behavior: i32,
    #[prost(enumeration = "seek_info::SeekErrorResponse", tag = "4")]
    pub error_response: i32,
    #[prost(enumeration = "seek_info::SeekContentType", tag = "5")]
    pub content_type: i32,
}

/// What [`SeekInfo`] holds.
pub mod seek_info {
    enumeration! {
        /// What to do where `stop` is not there yet.
        SeekBehavior {
            BlockUntilReady = 0, "BLOCK_UNTIL_READY";
            FailIfNotReady = 1, "FAIL_IF_NOT_READY";
        }
    }
    enumeration! {
        /// What to do when the orderer has trouble.
        SeekErrorResponse {
            Strict = 0, "STRICT";
            BestEffort = 1, "BEST_EFFORT";
        }
    }
    enumeration! {
        /// Whole blocks, or headers with signatures.
        SeekContentType {
            Block = 0, "BLOCK";
            HeaderWithSig = 1, "HEADER_WITH_SIG";
        }
    }
}

/// A block, or the end of the stream with its status.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct DeliverResponse {
    #[prost(oneof = "deliver_response::Type", tags = "1, 2")]
    pub r#type: Option<deliver_response::Type>,
}

/// What [`DeliverResponse`] holds.
pub mod deliver_response {
    /// One of these.
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Type {
        #[prost(enumeration = "crate::common::Status", tag = "1")]
        Status(i32),
        #[prost(message, tag = "2")]
        Block(crate::common::Block),
    }
}

/// The consensus and its parameters in a channel configuration.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ConsensusType {
    #[prost(string, tag = "1")]
    pub r#type: String,
    #[prost(bytes = "vec", tag = "2")]
    pub metadata: Vec<u8>,
    #[prost(enumeration = "consensus_type::State", tag = "3")]
    pub state: i32,
}

/// What [`ConsensusType`] holds.
pub mod consensus_type {
    enumeration! {
        /// Normal, or under maintenance.
        State {
            StateNormal = 0, "STATE_NORMAL";
            StateMaintenance = 1, "STATE_MAINTENANCE";
        }
    }
}

/// When a block is full.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct BatchSize {
    #[prost(uint32, tag = "1")]
    pub max_message_count: u32,
    #[prost(uint32, tag = "2")]
    pub absolute_max_bytes: u32,
    #[prost(uint32, tag = "3")]
    pub preferred_max_bytes: u32,
}

/// When a block is cut though it is not full (a Go duration, such as `2s`).
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct BatchTimeout {
    #[prost(string, tag = "1")]
    pub timeout: String,
}
