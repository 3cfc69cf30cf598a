//! The discovery service of one organisation's peer: who is on its channels, and who can endorse.
//!
//! There is no gossip. All peers are known to each other, and what Fabric's gossip would say of them is said from what
//! is known here. Unlike Fabric's, the service asks clients for no TLS certificate.

use crate::channel::{Channel, Channels, Node, Peer, now};
use crate::definition::LIFECYCLE;
use crate::layouts::layouts;
use crate::plan;
use fabric_protos::common::{SignaturePolicy, signature_policy};
use fabric_protos::discovery::{self, *};
use fabric_protos::gossip;
use fabric_protos::gossip::gossip_message::{Content, Tag};
use fabric_protos::gossip::{AliveMessage, Envelope, GossipMessage, Member, PeerTime, Properties, StateInfo};
use fabric_protos::peer::ChaincodeInterest;
use fabric_protos::services::Discovery;
use msp::{Principal, Role};
use prost::Message;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tonic::Status;

/// The largest request, in bytes; policies of keys may be in it.
pub const MAX_REQUEST: usize = 256 << 10;
/// How many questions one request may have.
const MAX_QUERIES: usize = 100;
/// How many rules the policies of keys in one question may have together.
const MAX_RULES: usize = 500;
/// How many chaincodes one question may name.
const MAX_CALLS: usize = 100;

/// The service of one organisation's peer.
pub struct Service {
    pub node: Arc<Node>,
    pub ledger: Arc<Channels>,
    /// Every peer of the ledger.
    pub nodes: Arc<[Arc<Node>]>,
    /// When the ledger was started, in nanoseconds since 1970.
    pub started: u64,
}

#[tonic::async_trait]
impl Discovery for Service {
    async fn discover(
        &self,
        request: tonic::Request<SignedRequest>,
    ) -> Result<tonic::Response<Response>, Status> {
        let signed = request.into_inner();
        let request = Request::decode(signed.payload.as_slice())
            .map_err(|e| Status::unknown(format!("failed parsing request: {e}")))?;
        let Some(authentication) = request.authentication else {
            return Err(Status::unknown("access denied, no authentication info in request"));
        };
        if authentication.client_identity.is_empty() {
            return Err(Status::unknown("access denied, client identity wasn't supplied"));
        }
        if request.queries.len() > MAX_QUERIES {
            return Err(Status::unknown(format!("more than {MAX_QUERIES} queries")));
        }
        let identity = authentication.client_identity.as_slice();
        let answer = |query: Query| {
            let result = self.answer(&query, &signed, identity).unwrap_or_else(|content| {
                tracing::warn!("discovery on channel {:?} refused: {content}", query.channel);
                query_result::Result::Error(discovery::Error { content })
            });
            QueryResult { result: Some(result) }
        };
        let results = request.queries.into_iter().map(answer).collect();
        Ok(tonic::Response::new(Response { results }))
    }
}

impl Service {
    fn answer(
        &self,
        query: &Query,
        signed: &SignedRequest,
        identity: &[u8],
    ) -> Result<query_result::Result, String> {
        let denied = |_| "access denied".to_string();
        if query.channel.is_empty() {
            // Administrators only, as Fabric has it by default.
            let caller =
                self.node.authenticate(identity, &signed.payload, &signed.signature).map_err(denied)?;
            let admin = Principal { msp_id: self.node.msp_id.clone(), role: Role::Admin };
            if !self.node.satisfies(&caller, &admin) {
                return Err("access denied".into());
            }
            return match &query.query {
                Some(query::Query::LocalPeers(_)) => Ok(query_result::Result::Members(self.local_peers())),
                _ => Err("unknown or missing request type".into()),
            };
        }
        let Some((channel, _)) = self.ledger.joined(&self.node.msp_id, &query.channel) else {
            return Err("access denied".into());
        };
        channel.authenticate(identity, &signed.payload, &signed.signature).map_err(denied)?;
        match &query.query {
            Some(query::Query::ConfigQuery(_)) => Ok(query_result::Result::ConfigResult(config(channel))),
            Some(query::Query::PeerQuery(query)) => {
                self.members(channel, query.filter.as_ref()).map(query_result::Result::Members)
            }
            Some(query::Query::CcQuery(query)) => {
                self.endorsers(channel, query).map(query_result::Result::CcQueryRes)
            }
            _ => Err("unknown or missing request type".into()),
        }
    }

    fn local_peers(&self) -> PeerMembershipResult {
        let peers = self.nodes.iter().map(|node| {
            let peer = discovery::Peer {
                state_info: None,
                membership_info: Some(self.alive(node)),
                identity: node.identity().to_vec(),
            };
            (node.msp_id.clone(), Peers { peers: vec![peer] })
        });
        PeerMembershipResult { peers_by_org: peers.collect() }
    }

    fn members(
        &self,
        channel: &Channel,
        filter: Option<&ChaincodeInterest>,
    ) -> Result<PeerMembershipResult, String> {
        let mut admitted: BTreeSet<_> = channel.peers.iter().map(|peer| peer.msp_id().to_owned()).collect();
        if let Some(interest) = filter.filter(|interest| !interest.chaincodes.is_empty()) {
            admitted = self.eligible(channel, interest)?.0;
        }
        let peers = channel.peers.iter().map(|peer| {
            let found = Some(peer).filter(|peer| admitted.contains(peer.msp_id()));
            let found = found.map(|peer| self.described(channel, peer)).into_iter().collect();
            (peer.msp_id().to_owned(), Peers { peers: found })
        });
        Ok(PeerMembershipResult { peers_by_org: peers.collect() })
    }

    fn endorsers(&self, channel: &Channel, query: &ChaincodeQuery) -> Result<ChaincodeQueryResult, String> {
        if query.interests.is_empty() {
            return Err("chaincode query must have at least one chaincode interest".into());
        }
        let mut calls = 0;
        for interest in &query.interests {
            calls += interest.chaincodes.len();
            if interest.chaincodes.is_empty() {
                return Err("chaincode interest must contain at least one chaincode".into());
            }
            if interest.chaincodes.iter().any(|call| call.name.is_empty()) {
                return Err("chaincode name in interest cannot be empty".into());
            }
        }
        if calls > MAX_CALLS {
            return Err(format!("more than {MAX_CALLS} chaincodes in one query"));
        }
        let policies = query.interests.iter().flat_map(|interest| &interest.chaincodes);
        let policies = policies.flat_map(|call| &call.key_policies);
        if policies.filter_map(|policy| policy.rule.as_ref()).map(rules).sum::<usize>() > MAX_RULES {
            return Err(format!("more than {MAX_RULES} rules in the policies of keys"));
        }
        let describe = |interest: &ChaincodeInterest| {
            self.descriptor(channel, interest).map_err(|e| {
                tracing::warn!("no endorsers on channel {}: {e}", channel.name);
                let names =
                    interest.chaincodes.iter().map(|call| format!("chaincodes:{{name:{:?}}}", call.name));
                format!("failed constructing descriptor for {}", names.collect::<Vec<_>>().join(" "))
            })
        };
        Ok(ChaincodeQueryResult { content: query.interests.iter().map(describe).collect::<Result<_, _>>()? })
    }

    fn descriptor(
        &self,
        channel: &Channel,
        interest: &ChaincodeInterest,
    ) -> Result<EndorsementDescriptor, String> {
        let (orgs, policies) = self.eligible(channel, interest)?;
        let found = layouts(&policies, &orgs);
        if found.is_empty() {
            return Err("no peer combination can satisfy the endorsement policy".into());
        }
        // As in Fabric, a group's name says nothing.
        let used: BTreeSet<&str> = found.iter().flatten().copied().collect();
        let groups: BTreeMap<&str, String> =
            used.into_iter().enumerate().map(|(index, org)| (org, format!("G{index}"))).collect();
        let endorsers = groups.iter().filter_map(|(org, group)| {
            let peer = self.described(channel, channel.peer(org)?);
            Some((group.clone(), Peers { peers: vec![peer] }))
        });
        let layout = |orgs: BTreeSet<&str>| Layout {
            quantities_by_group: orgs.into_iter().map(|org| (groups[org].clone(), 1)).collect(),
        };
        Ok(EndorsementDescriptor {
            chaincode: interest.chaincodes.first().map(|call| call.name.clone()).unwrap_or_default(),
            endorsers_by_groups: endorsers.collect(),
            layouts: found.into_iter().map(layout).collect(),
        })
    }

    /// The organisations whose peers may endorse and have what is needed, and what they must satisfy.
    fn eligible(
        &self,
        channel: &Channel,
        interest: &ChaincodeInterest,
    ) -> Result<(BTreeSet<String>, Vec<crate::definition::Required>), String> {
        let definitions = channel.definitions();
        let requirements =
            plan::requirements(&definitions, interest).ok_or("a chaincode or collection is not defined")?;
        let serves = |peer: &Peer| {
            let mut called = interest.chaincodes.iter().map(|call| call.name.as_str());
            called.all(|name| channel.serves(peer, name))
        };
        let peers = channel.peers.iter().filter(|peer| {
            serves(peer) && requirements.iter().all(|requirement| requirement.admits(peer.msp_id()))
        });
        let orgs = peers.map(|peer| peer.msp_id().to_owned()).collect();
        Ok((orgs, requirements.into_iter().map(|requirement| requirement.policy).collect()))
    }

    fn described(&self, channel: &Channel, peer: &Peer) -> discovery::Peer {
        discovery::Peer {
            state_info: Some(self.state(channel, peer)),
            membership_info: Some(self.alive(&peer.node)),
            identity: peer.node.identity().to_vec(),
        }
    }

    /// That a peer is there, in its own words.
    fn alive(&self, node: &Node) -> Envelope {
        let membership =
            Member { endpoint: node.address.clone(), metadata: Vec::new(), pki_id: pki_id(node) };
        let alive =
            AliveMessage { membership: Some(membership), timestamp: Some(self.time()), identity: Vec::new() };
        message(node, Tag::Empty, Content::AliveMsg(alive))
    }

    /// How far a peer is on a channel, in its own words.
    fn state(&self, channel: &Channel, peer: &Peer) -> Envelope {
        let definitions = channel.definitions();
        let chaincodes = definitions.iter().filter(|(name, _)| *name != LIFECYCLE);
        let own = chaincodes.filter(|(name, _)| channel.serves(peer, name));
        let own = own.map(|(name, definition)| gossip::Chaincode {
            name: name.into(),
            // As with Fabric, the number of the definition.
            version: definition.sequence.to_string(),
            metadata: Vec::new(),
        });
        // Fabric's peers list what they run themselves, too.
        let lifecycle =
            gossip::Chaincode { name: LIFECYCLE.into(), version: "1".into(), metadata: Vec::new() };
        let chaincodes = own.chain([lifecycle]).collect();
        let properties = Properties { ledger_height: peer.height(), left_channel: false, chaincodes };
        let pki_id = pki_id(&peer.node);
        let channel_mac = Sha256::new().chain_update(&pki_id).chain_update(channel.name.as_bytes());
        let state = StateInfo {
            timestamp: Some(self.time()),
            channel_mac: channel_mac.finalize().to_vec(),
            pki_id,
            properties: Some(properties),
        };
        message(&peer.node, Tag::ChanOrOrg, Content::StateInfo(state))
    }

    fn time(&self) -> PeerTime {
        let (seconds, _) = now();
        PeerTime { inc_num: self.started, seq_num: u64::try_from(seconds).unwrap_or(0) }
    }
}

/// How many rules there are in a policy; its reader has bounded how deep they nest.
fn rules(policy: &SignaturePolicy) -> usize {
    match &policy.r#type {
        Some(signature_policy::Type::NOutOf(gate)) => 1 + gate.rules.iter().map(rules).sum::<usize>(),
        _ => 1,
    }
}

fn message(node: &Node, tag: Tag, content: Content) -> Envelope {
    let message = GossipMessage { nonce: 0, channel: Vec::new(), tag: tag as i32, content: Some(content) };
    let payload = message.encode_to_vec();
    // Nobody verifies it; without randomness for a signature there is none.
    let signature = node.sign(&payload).unwrap_or_default();
    Envelope { payload, signature }
}

/// By what gossip knows a peer: the hash of its organisation and certificate.
fn pki_id(node: &Node) -> Vec<u8> {
    let identity = fabric_protos::msp::SerializedIdentity::decode(node.identity()).unwrap_or_default();
    Sha256::new().chain_update(identity.mspid.as_bytes()).chain_update(&identity.id_bytes).finalize().to_vec()
}

/// The MSPs of a channel, and where its peers take transactions.
fn config(channel: &Channel) -> ConfigResult {
    let nodes = channel.peers.iter().map(|peer| &peer.node);
    let endpoint = |node: &Node| discovery::Endpoint {
        host: node.listen.ip().to_string(),
        port: u32::from(node.listen.port()),
    };
    ConfigResult {
        msps: nodes.clone().map(|node| (node.msp_id.clone(), node.msp.clone())).collect(),
        orderers: nodes
            .map(|node| (node.msp_id.clone(), Endpoints { endpoint: vec![endpoint(node)] }))
            .collect(),
    }
}
