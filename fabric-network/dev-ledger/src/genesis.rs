//! The channel's first block: its configuration.

use crate::config::ChannelConfig;
use crate::definition::{LIFECYCLE, definition_keys, sequence_key};
use crate::store::{Changes, Store, Version, Write};
use crate::{Error, ordering};
use fabric_protos::common::{
    self, BlockHeader, ChannelHeader, ConfigEnvelope, ConfigGroup, ConfigPolicy, ConfigValue, Envelope,
    Header, HeaderType, ImplicitMetaPolicy, Payload, implicit_meta_policy::Rule, policy::PolicyType,
};
use fabric_protos::msp::{FabricMspConfig, MspConfig};
use fabric_protos::peer::TxValidationCode;
use prost::Message;
use std::collections::BTreeMap;
use std::path::Path;

/// Writes the first block, or checks that the one that is there is of the same channel.
pub fn ensure(
    store: &Store,
    dir: &Path,
    channel: &ChannelConfig,
    msps: &[FabricMspConfig],
) -> Result<(), Error> {
    let envelope = envelope(&channel.name, msps).encode_to_vec();
    let block = ordering::block(BlockHeader::default(), vec![envelope], &[TxValidationCode::Valid]);
    if let Some(found) = store.block(0)? {
        let hash = |block: &common::Block| block.header.as_ref().map(|header| header.data_hash.clone());
        if hash(&found) != hash(&block) {
            return Err(Error::Config(format!(
                "{} holds the ledger of another channel: other organisations, certificates or names",
                dir.display()
            )));
        }
        return Ok(());
    }
    // Only the versions of these keys count, for who reads them.
    let define = |key: String| Write {
        namespace: LIFECYCLE.into(),
        key,
        version: Version { block: 0, tx: 0 },
        value: Some(vec![1]),
    };
    let names = channel.chaincodes.iter().map(|chaincode| &chaincode.name);
    let keys = names.flat_map(|name| definition_keys(name).into_iter().chain([sequence_key(name)]));
    let writes = keys.map(define).collect();
    store.commit(&block, &Changes { writes, ..Default::default() })
}

/// The configuration: the organisations with their MSPs, and the policies. It has neither time nor
/// nonce, so that the same configuration makes the same block.
fn envelope(channel: &str, msps: &[FabricMspConfig]) -> Envelope {
    let organisations = msps.iter().map(|msp| {
        let value = MspConfig { r#type: 0, config: msp.encode_to_vec() }.encode_to_vec();
        let value = ConfigValue { value, mod_policy: "Admins".into(), ..Default::default() };
        let group = ConfigGroup { values: [("MSP".to_string(), value)].into(), ..Default::default() };
        (msp.name.clone(), group)
    });
    let application = ConfigGroup {
        groups: organisations.collect(),
        policies: policies(&[
            ("Endorsement", Rule::Majority),
            ("Readers", Rule::Any),
            ("Writers", Rule::Any),
        ]),
        mod_policy: "Admins".into(),
        ..Default::default()
    };
    let root = ConfigGroup {
        groups: [("Application".to_string(), application)].into(),
        policies: policies(&[("Readers", Rule::Any), ("Writers", Rule::Any)]),
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

fn policies(rules: &[(&str, Rule)]) -> BTreeMap<String, ConfigPolicy> {
    let policy = |(name, rule): &(&str, Rule)| {
        let value = ImplicitMetaPolicy { sub_policy: name.to_string(), rule: *rule as i32 }.encode_to_vec();
        let policy = common::Policy { r#type: PolicyType::ImplicitMeta as i32, value };
        (
            name.to_string(),
            ConfigPolicy { policy: Some(policy), mod_policy: "Admins".into(), ..Default::default() },
        )
    };
    rules.iter().map(policy).collect()
}
