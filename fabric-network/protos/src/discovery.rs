//! Package `discovery`: a peer's answers about its channels, their members and endorsers.

use std::collections::BTreeMap;

/// A serialised [`Request`] and the signature over it.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct SignedRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub payload: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub signature: Vec<u8>,
}

/// Several questions of one client.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Request {
    #[prost(message, optional, tag = "1")]
    pub authentication: Option<AuthInfo>,
    #[prost(message, repeated, tag = "2")]
    pub queries: Vec<Query>,
}

/// Who asks, and the hash of the certificate that he shows to TLS.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct AuthInfo {
    #[prost(bytes = "vec", tag = "1")]
    pub client_identity: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub client_tls_cert_hash: Vec<u8>,
}

/// One question about a channel, or without one about the peers that are known.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Query {
    #[prost(string, tag = "1")]
    pub channel: String,
    #[prost(oneof = "query::Query", tags = "2, 3, 4, 5")]
    pub query: Option<query::Query>,
}

/// What [`Query`] holds.
pub mod query {
    /// One of these.
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Query {
        #[prost(message, tag = "2")]
        ConfigQuery(super::ConfigQuery),
        #[prost(message, tag = "3")]
        PeerQuery(super::PeerMembershipQuery),
        #[prost(message, tag = "4")]
        CcQuery(super::ChaincodeQuery),
        #[prost(message, tag = "5")]
        LocalPeers(super::LocalPeerQuery),
    }
}

/// Answers in the order of the questions.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Response {
    #[prost(message, repeated, tag = "1")]
    pub results: Vec<QueryResult>,
}

/// The answer to one question.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct QueryResult {
    #[prost(oneof = "query_result::Result", tags = "1, 2, 3, 4")]
    pub result: Option<query_result::Result>,
}

/// What [`QueryResult`] holds.
pub mod query_result {
    /// One of these.
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Result {
        #[prost(message, tag = "1")]
        Error(super::Error),
        #[prost(message, tag = "2")]
        ConfigResult(super::ConfigResult),
        #[prost(message, tag = "3")]
        CcQueryRes(super::ChaincodeQueryResult),
        #[prost(message, tag = "4")]
        Members(super::PeerMembershipResult),
    }
}

/// Asks for the channel's MSPs and orderers.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ConfigQuery {}

/// The MSPs of a channel by MSP ID, and the orderers of each.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ConfigResult {
    #[prost(btree_map = "string, message", tag = "1")]
    pub msps: BTreeMap<String, crate::msp::FabricMspConfig>,
    #[prost(btree_map = "string, message", tag = "2")]
    pub orderers: BTreeMap<String, Endpoints>,
}

/// Asks for the peers of a channel, or those of them that have certain chaincodes.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PeerMembershipQuery {
    #[prost(message, optional, tag = "1")]
    pub filter: Option<crate::peer::ChaincodeInterest>,
}

/// Peers by MSP ID.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PeerMembershipResult {
    #[prost(btree_map = "string, message", tag = "1")]
    pub peers_by_org: BTreeMap<String, Peers>,
}

/// Asks who can endorse calls of chaincodes.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ChaincodeQuery {
    #[prost(message, repeated, tag = "1")]
    pub interests: Vec<crate::peer::ChaincodeInterest>,
}

/// Answers in the order of the interests.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ChaincodeQueryResult {
    #[prost(message, repeated, tag = "1")]
    pub content: Vec<EndorsementDescriptor>,
}

/// Asks for the peers that are known, on whatever channel.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct LocalPeerQuery {}

/// Who can endorse: groups of peers, and how many of which groups are enough.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct EndorsementDescriptor {
    #[prost(string, tag = "1")]
    pub chaincode: String,
    #[prost(btree_map = "string, message", tag = "2")]
    pub endorsers_by_groups: BTreeMap<String, Peers>,
    #[prost(message, repeated, tag = "3")]
    pub layouts: Vec<Layout>,
}

/// So many peers of each of these groups.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Layout {
    #[prost(btree_map = "string, uint32", tag = "1")]
    pub quantities_by_group: BTreeMap<String, u32>,
}

/// Peers.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Peers {
    #[prost(message, repeated, tag = "1")]
    pub peers: Vec<Peer>,
}

/// A peer with what gossip says of it: of its place on the channel, and of its address.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Peer {
    #[prost(message, optional, tag = "1")]
    pub state_info: Option<crate::gossip::Envelope>,
    #[prost(message, optional, tag = "2")]
    pub membership_info: Option<crate::gossip::Envelope>,
    #[prost(bytes = "vec", tag = "3")]
    pub identity: Vec<u8>,
}

/// Why a question is not answered.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Error {
    #[prost(string, tag = "1")]
    pub content: String,
}

/// Addresses.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Endpoints {
    #[prost(message, repeated, tag = "1")]
    pub endpoint: Vec<Endpoint>,
}

/// An address.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Endpoint {
    #[prost(string, tag = "1")]
    pub host: String,
    #[prost(uint32, tag = "2")]
    pub port: u32,
}
