//! The channel's first block: its configuration.

use crate::channel::Node;
use crate::config::{ChannelConfig, Config};
use crate::definition::{IMPLICIT, LIFECYCLE, sequence_key};
use crate::lifecycle::Parameters;
use crate::lifecycle::parameters::{approval, source};
use crate::lifecycle::stored::{NAMESPACES, SOURCES};
use crate::simulation::hash;
use crate::store::{Changes, Store, Version, Write, hashed_key, hashed_space, private_space};
use crate::{Error, ordering};
use fabric_protos::common::{
    self, Block, BlockDataHashingStructure, BlockHeader, Capabilities, Capability, ChannelHeader,
    ConfigEnvelope, ConfigGroup, ConfigPolicy, ConfigValue, Envelope, HashingAlgorithm, Header, HeaderType,
    ImplicitMetaPolicy, OrdererAddresses, Payload, implicit_meta_policy::Rule, policy::PolicyType,
};
use fabric_protos::msp::{FabricMspConfig, MspConfig};
use fabric_protos::orderer::{BatchSize, BatchTimeout, ConsensusType};
use fabric_protos::peer::{AnchorPeer, AnchorPeers, TxValidationCode};
use msp::{Policy, Principal, Role};
use prost::Message;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// A member of the channel: its MSP, and where its peer listens.
pub struct Member {
    pub msp: FabricMspConfig,
    pub listen: SocketAddr,
}

/// Writes the first block, or checks that the one that is there is of the same channel: it has the same name and
/// the same organisations with the same certificates.
pub fn ensure(
    store: &Store,
    config: &Config,
    channel: &ChannelConfig,
    members: &[Member],
) -> Result<(), Error> {
    if let Some(found) = store.block(0)? {
        let msps: BTreeMap<_, _> =
            members.iter().map(|member| (member.msp.name.clone(), member.msp.clone())).collect();
        if described(&found) != Some((channel.name.clone(), msps)) {
            return Err(Error::Config(format!(
                "{} holds the ledger of another channel: other organisations, certificates or names",
                config.dir.display()
            )));
        }
        return Ok(());
    }
    let envelope = envelope(config, &channel.name, members).encode_to_vec();
    let block = ordering::block(BlockHeader::default(), vec![envelope], &[TxValidationCode::Valid]);
    store.commit(&block, &Changes::default())
}

/// Has the configured definitions in the state as if the first block had brought them, with the approvals of those who
/// have a service. One that the organisations have replaced since stays replaced.
pub fn define(store: &Store, channel: &ChannelConfig, members: &[Arc<Node>]) -> Result<(), Error> {
    let orgs: Vec<_> = members.iter().map(|node| node.msp_id.clone()).collect();
    let snapshot = store.snapshot(store.height()?)?;
    let mut writes = Vec::new();
    let mut write = |namespace: &str, key: String, value: Vec<u8>| {
        let found = snapshot.get(namespace, &key)?;
        if found.is_none_or(|found| found.version.block == 0 && found.value != value) {
            let version = Version { block: 0, tx: 0 };
            writes.push(Write { namespace: namespace.into(), key, version, value: Some(value) });
        }
        Ok::<_, Error>(())
    };
    for chaincode in &channel.chaincodes {
        let known = snapshot.get(LIFECYCLE, &sequence_key(&chaincode.name))?;
        if known.is_some_and(|known| known.version.block > 0) {
            continue;
        }
        let parameters = Parameters::of(chaincode, &orgs);
        for (key, value) in parameters.committed(chaincode.sequence).entries(NAMESPACES, &chaincode.name) {
            write(LIFECYCLE, key, value)?;
        }
        let name = approval(&chaincode.name, chaincode.sequence);
        for node in members {
            let Some(service) = node.configured.get(&chaincode.name) else { continue };
            let approved = parameters.approved().entries(NAMESPACES, &name);
            let collection = format!("{IMPLICIT}{}", node.msp_id);
            for (key, value) in
                approved.into_iter().chain(source(&service.package_id).entries(SOURCES, &name))
            {
                write(&hashed_space(LIFECYCLE, &collection), hashed_key(&key), hash(&value))?;
                write(&private_space(LIFECYCLE, &collection), key, value)?;
            }
        }
    }
    match writes.is_empty() {
        true => Ok(()),
        false => store.amend(&writes),
    }
}

/// The configuration in a channel's first block.
pub fn config_of(block: &Block) -> Option<common::Config> {
    let (_, envelope) = opened(block)?;
    envelope.config
}

/// The channel's name and the MSPs of its organisations.
fn described(block: &Block) -> Option<(String, BTreeMap<String, FabricMspConfig>)> {
    let (header, envelope) = opened(block)?;
    let groups = envelope.config?.channel_group?.groups.remove("Application")?.groups;
    let msp = |group: ConfigGroup| {
        let value = MspConfig::decode(group.values.get("MSP")?.value.as_slice()).ok()?;
        FabricMspConfig::decode(value.config.as_slice()).ok()
    };
    let msps: Option<Vec<_>> = groups.into_values().map(msp).collect();
    Some((header.channel_id, msps?.into_iter().map(|msp| (msp.name.clone(), msp)).collect()))
}

fn opened(block: &Block) -> Option<(ChannelHeader, ConfigEnvelope)> {
    let envelope = Envelope::decode(block.data.as_ref()?.data.first()?.as_slice()).ok()?;
    let payload = Payload::decode(envelope.payload.as_slice()).ok()?;
    let header = ChannelHeader::decode(payload.header?.channel_header.as_slice()).ok()?;
    Some((header, ConfigEnvelope::decode(payload.data.as_slice()).ok()?))
}

/// The configuration: the organisations with their MSPs, the policies, and how blocks are made.
///
/// It is Fabric's, so that whatever reads a channel's configuration reads this one. Every organisation is in the
/// application and orders too, for each of the ledger's peers takes transactions as an orderer does. It has neither
/// time nor nonce, so that the same configuration makes the same block.
fn envelope(config: &Config, channel: &str, members: &[Member]) -> Envelope {
    let organisations = |make: fn(&Member) -> (&'static str, Vec<u8>)| {
        let group = |member: &Member| {
            let msp = MspConfig { r#type: 0, config: member.msp.encode_to_vec() }.encode_to_vec();
            let values = [("MSP", msp), make(member)];
            let group = ConfigGroup {
                values: values_of(values, "Admins"),
                policies: organisation_policies(&member.msp.name),
                mod_policy: "Admins".into(),
                ..Default::default()
            };
            (member.msp.name.clone(), group)
        };
        members.iter().map(group).collect()
    };
    let application = ConfigGroup {
        groups: organisations(|member| {
            let anchor =
                AnchorPeer { host: member.listen.ip().to_string(), port: i32::from(member.listen.port()) };
            ("AnchorPeers", AnchorPeers { anchor_peers: vec![anchor] }.encode_to_vec())
        }),
        values: values_of([("Capabilities", capability("V2_5"))], "Admins"),
        policies: policies(&[("Endorsement", "Endorsement", Rule::Majority), LIFECYCLE_POLICY]),
        mod_policy: "Admins".into(),
        ..Default::default()
    };
    let batch = BatchSize {
        max_message_count: u32::try_from(config.max_message_count.max(1)).unwrap_or(u32::MAX),
        absolute_max_bytes: ordering::ABSOLUTE_MAX_BYTES as u32,
        preferred_max_bytes: ordering::PREFERRED_MAX_BYTES as u32,
    };
    // A block waits for nobody unless told to, and Fabric has no word for that: the shortest time that it takes.
    let timeout = format!("{}ms", config.batch_timeout.as_millis().max(1));
    // One process orders: Fabric's name for that.
    let consensus = ConsensusType { r#type: "solo".into(), ..Default::default() };
    let orderer = ConfigGroup {
        groups: organisations(|member| {
            let addresses = vec![member.listen.to_string()];
            ("Endpoints", OrdererAddresses { addresses }.encode_to_vec())
        }),
        values: values_of(
            [
                ("BatchSize", batch.encode_to_vec()),
                ("BatchTimeout", BatchTimeout { timeout }.encode_to_vec()),
                ("Capabilities", capability("V2_0")),
                ("ConsensusType", consensus.encode_to_vec()),
            ],
            "Admins",
        ),
        policies: policies(&[("BlockValidation", "Writers", Rule::Any)]),
        mod_policy: "Admins".into(),
        ..Default::default()
    };
    let hashing = HashingAlgorithm { name: "SHA256".into() };
    let root = ConfigGroup {
        groups: [("Application".to_string(), application), ("Orderer".to_string(), orderer)].into(),
        values: values_of(
            [
                ("BlockDataHashingStructure", BlockDataHashingStructure { width: u32::MAX }.encode_to_vec()),
                // Ed25519 is taken.
                ("Capabilities", capability("V3_0")),
                ("HashingAlgorithm", hashing.encode_to_vec()),
            ],
            "Admins",
        ),
        policies: policies(&[]),
        mod_policy: "Admins".into(),
        ..Default::default()
    };
    let config_envelope = ConfigEnvelope {
        config: Some(common::Config { sequence: 0, channel_group: Some(root) }),
        last_update: None,
    };
    let header =
        ChannelHeader { r#type: HeaderType::Config as i32, channel_id: channel.into(), ..Default::default() };
    let header = Header { channel_header: header.encode_to_vec(), signature_header: Vec::new() };
    let payload = Payload { header: Some(header), data: config_envelope.encode_to_vec() };
    Envelope { payload: payload.encode_to_vec(), signature: Vec::new() }
}

/// Who must endorse definitions.
const LIFECYCLE_POLICY: (&str, &str, Rule) = ("LifecycleEndorsement", "Endorsement", Rule::Majority);

fn values_of<const N: usize>(
    values: [(&str, Vec<u8>); N],
    mod_policy: &str,
) -> BTreeMap<String, ConfigValue> {
    let value = |(name, value): (&str, Vec<u8>)| {
        (name.to_string(), ConfigValue { value, mod_policy: mod_policy.into(), ..Default::default() })
    };
    values.into_iter().map(value).collect()
}

fn capability(name: &str) -> Vec<u8> {
    Capabilities { capabilities: [(name.to_string(), Capability {})].into() }.encode_to_vec()
}

/// The policies that every group above the organisations has, and these.
fn policies(more: &[(&str, &str, Rule)]) -> BTreeMap<String, ConfigPolicy> {
    let common = [
        ("Readers", "Readers", Rule::Any),
        ("Writers", "Writers", Rule::Any),
        ("Admins", "Admins", Rule::Majority),
    ];
    let policy = |(name, sub_policy, rule): &(&str, &str, Rule)| {
        let value = ImplicitMetaPolicy { sub_policy: sub_policy.to_string(), rule: *rule as i32 };
        (name.to_string(), config_policy(PolicyType::ImplicitMeta, value.encode_to_vec()))
    };
    common.iter().chain(more).map(policy).collect()
}

fn organisation_policies(msp_id: &str) -> BTreeMap<String, ConfigPolicy> {
    let roles = [
        ("Readers", Role::Member),
        ("Writers", Role::Member),
        ("Admins", Role::Admin),
        ("Endorsement", Role::Peer),
    ];
    let policy = |(name, role): (&str, Role)| {
        let principal = Policy::SignedBy(Principal { msp_id: msp_id.into(), role });
        let signed = Policy::OutOf(1, vec![principal]).to_envelope().encode_to_vec();
        (name.to_string(), config_policy(PolicyType::Signature, signed))
    };
    roles.into_iter().map(policy).collect()
}

fn config_policy(kind: PolicyType, value: Vec<u8>) -> ConfigPolicy {
    let policy = common::Policy { r#type: kind as i32, value };
    ConfigPolicy { policy: Some(policy), mod_policy: "Admins".into(), ..Default::default() }
}
