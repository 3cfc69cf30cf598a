//! Package `gossip`: what peers tell of themselves, as far as it is in the answers of discovery.

/// A serialised [`GossipMessage`] and the peer's signature over it.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Envelope {
    #[prost(bytes = "vec", tag = "1")]
    pub payload: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub signature: Vec<u8>,
}

/// A message of a peer; kinds that are not here are skipped.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct GossipMessage {
    #[prost(uint64, tag = "1")]
    pub nonce: u64,
    #[prost(bytes = "vec", tag = "2")]
    pub channel: Vec<u8>,
    #[prost(enumeration = "gossip_message::Tag", tag = "3")]
    pub tag: i32,
    #[prost(oneof = "gossip_message::Content", tags = "5, 15")]
    pub content: Option<gossip_message::Content>,
}

/// What [`GossipMessage`] holds.
pub mod gossip_message {
    enumeration! {
        /// Who may get the message.
        Tag {
            Undefined = 0, "UNDEFINED";
            Empty = 1, "EMPTY";
            OrgOnly = 2, "ORG_ONLY";
            ChanOnly = 3, "CHAN_ONLY";
            ChanAndOrg = 4, "CHAN_AND_ORG";
            ChanOrOrg = 5, "CHAN_OR_ORG";
        }
    }

    /// One of these.
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Content {
        #[prost(message, tag = "5")]
        AliveMsg(super::AliveMessage),
        #[prost(message, tag = "15")]
        StateInfo(super::StateInfo),
    }
}

/// That a peer is there, and where.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct AliveMessage {
    #[prost(message, optional, tag = "1")]
    pub membership: Option<Member>,
    #[prost(message, optional, tag = "2")]
    pub timestamp: Option<PeerTime>,
    #[prost(bytes = "vec", tag = "4")]
    pub identity: Vec<u8>,
}

/// A peer: where it listens, and the hash of its identity.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Member {
    #[prost(string, tag = "1")]
    pub endpoint: String,
    #[prost(bytes = "vec", tag = "2")]
    pub metadata: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub pki_id: Vec<u8>,
}

/// When a peer was started, and a count since.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PeerTime {
    #[prost(uint64, tag = "1")]
    pub inc_num: u64,
    #[prost(uint64, tag = "2")]
    pub seq_num: u64,
}

/// A peer's place on a channel.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct StateInfo {
    #[prost(message, optional, tag = "2")]
    pub timestamp: Option<PeerTime>,
    #[prost(bytes = "vec", tag = "3")]
    pub pki_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub channel_mac: Vec<u8>,
    #[prost(message, optional, tag = "5")]
    pub properties: Option<Properties>,
}

/// How far a peer is, and which chaincodes it has.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Properties {
    #[prost(uint64, tag = "1")]
    pub ledger_height: u64,
    #[prost(bool, tag = "2")]
    pub left_channel: bool,
    #[prost(message, repeated, tag = "3")]
    pub chaincodes: Vec<Chaincode>,
}

/// A chaincode that a peer has.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Chaincode {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub version: String,
    #[prost(bytes = "vec", tag = "3")]
    pub metadata: Vec<u8>,
}
