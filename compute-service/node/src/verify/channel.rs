//! What a channel's members agreed on, as its blocks tell it: the organisations, the policies of the configuration, and
//! the committed definitions of chaincodes.

use fabric_protos::common::{
    Config, ConfigGroup, ImplicitMetaPolicy, SignaturePolicyEnvelope, implicit_meta_policy::Rule,
    policy::PolicyType,
};
use fabric_protos::msp::{FabricMspConfig, MspConfig};
use fabric_protos::peer::{ApplicationPolicy, application_policy::Type};
use fabric_protos::prost::{self, Message};
use msp::{Msp, Msps, Policy, Principal, Role};
use std::collections::BTreeMap;

/// The namespace of chaincode definitions.
pub(super) const LIFECYCLE: &str = "_lifecycle";
/// The policy of the configuration where a definition names none.
const ENDORSEMENT: &str = "/Channel/Application/Endorsement";
/// That for definitions themselves.
const LIFECYCLE_ENDORSEMENT: &str = "/Channel/Application/LifecycleEndorsement";
/// The validation that Fabric brings along.
const BUILT_IN: &str = "vscc";
/// How deep policies of the configuration may refer to others.
const MAX_DEPTH: usize = 8;

/// Somebody whose signature holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signer {
    pub(super) msp_id: String,
    pub(super) role: Role,
}

impl Signer {
    fn is(&self, principal: &Principal) -> bool {
        self.msp_id == principal.msp_id && (principal.role == Role::Member || self.role == principal.role)
    }
}

/// Whose signatures are required.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Required {
    Signature(Policy),
    /// So many of the parts, for which one signer may count several times.
    Parts(usize, Vec<Required>),
}

impl Required {
    pub(super) fn holds(&self, signers: &[Signer]) -> bool {
        match self {
            Self::Signature(policy) => {
                policy.holds(signers.len(), &|signer, principal| signers[signer].is(principal))
            }
            Self::Parts(least, parts) => parts.iter().filter(|part| part.holds(signers)).count() >= *least,
        }
    }
}

/// The channel as of a block.
#[derive(Default)]
pub(super) struct Channel {
    application: Option<ConfigGroup>,
    /// The organisations of the configuration.
    pub(super) msps: Msps,
    /// How each chaincode's transactions are validated, as it was committed.
    definitions: BTreeMap<String, ValidationInfo>,
}

/// A value under one of [`LIFECYCLE`]'s keys.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(prost_path = "fabric_protos::prost")]
struct StateData {
    #[prost(bytes = "vec", tag = "2")]
    bytes: Vec<u8>,
}

/// The part of a definition that says who must endorse.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(prost_path = "fabric_protos::prost")]
struct ValidationInfo {
    #[prost(string, tag = "1")]
    plugin: String,
    #[prost(bytes = "vec", tag = "2")]
    parameter: Vec<u8>,
}

impl Channel {
    /// Takes a configuration.
    ///
    /// # Errors
    /// What of it cannot be read; the rest is taken.
    pub(super) fn configure(&mut self, config: Config) -> Result<(), String> {
        let mut groups = config.channel_group.unwrap_or_default().groups;
        let application = groups.remove("Application").ok_or("it has no application part")?;
        let mut unreadable = Vec::new();
        let mut msps = Vec::new();
        for (name, group) in &application.groups {
            match organisation(group) {
                Ok(msp) => msps.push(msp),
                Err(e) => unreadable.push(format!("organisation {name}: {e}")),
            }
        }
        self.msps = Msps::new(msps);
        self.application = Some(application);
        match unreadable.is_empty() {
            true => Ok(()),
            false => Err(unreadable.join("; ")),
        }
    }

    /// Takes what a valid transaction wrote under a key of [`LIFECYCLE`].
    pub(super) fn define(&mut self, key: &str, value: Option<&[u8]>) {
        let Some(name) =
            key.strip_prefix("namespaces/fields/").and_then(|k| k.strip_suffix("/ValidationInfo"))
        else {
            return;
        };
        let info = value.and_then(|value| {
            let data = StateData::decode(value).ok()?;
            ValidationInfo::decode(data.bytes.as_slice()).ok()
        });
        match info {
            Some(info) => drop(self.definitions.insert(name.to_owned(), info)),
            None => drop(self.definitions.remove(name)),
        }
    }

    /// Whether the blocks say how this chaincode is validated.
    pub(super) fn defines(&self, chaincode: &str) -> bool {
        self.definitions.contains_key(chaincode)
    }

    /// Who must endorse what writes in a namespace. Where the blocks have no definition, as on a development ledger, it
    /// is the configuration's policy.
    ///
    /// # Errors
    /// Why that cannot be said from the blocks.
    pub(super) fn required(&self, namespace: &str) -> Result<Required, String> {
        if namespace == LIFECYCLE {
            return self.reference(LIFECYCLE_ENDORSEMENT).or_else(|_| self.reference(ENDORSEMENT));
        }
        let Some(info) = self.definitions.get(namespace) else { return self.reference(ENDORSEMENT) };
        if info.plugin != BUILT_IN {
            return Err(format!(
                "chaincode {namespace} is validated by {:?}, not by {BUILT_IN}",
                info.plugin
            ));
        }
        let policy = ApplicationPolicy::decode(info.parameter.as_slice());
        match policy.map_err(|e| format!("the policy of chaincode {namespace}: {e}"))?.r#type {
            Some(Type::SignaturePolicy(envelope)) => signature(&envelope),
            Some(Type::ChannelConfigPolicyReference(path)) => self.reference(&path),
            None => Err(format!("chaincode {namespace} has an empty policy")),
        }
    }

    /// A policy of the configuration by its path.
    fn reference(&self, path: &str) -> Result<Required, String> {
        let application =
            self.application.as_ref().ok_or("the blocks hold no configuration of the channel")?;
        let mut names = path.strip_prefix("/Channel/Application/").into_iter().flat_map(|p| p.split('/'));
        let policy =
            names.next_back().ok_or_else(|| format!("policy {path} is none of the application's"))?;
        let group = names.try_fold(application, |group, name| group.groups.get(name));
        let group = group.ok_or_else(|| format!("the configuration has no policy {path}"))?;
        named(group, policy, 0).map_err(|e| format!("policy {path}: {e}"))
    }
}

fn organisation(group: &ConfigGroup) -> Result<Msp, String> {
    let value = group.values.get("MSP").ok_or("it has no MSP")?;
    let config = MspConfig::decode(value.value.as_slice()).map_err(|e| e.to_string())?;
    let config = FabricMspConfig::decode(config.config.as_slice()).map_err(|e| e.to_string())?;
    Msp::new(&config).map_err(|e| e.to_string())
}

fn signature(envelope: &SignaturePolicyEnvelope) -> Result<Required, String> {
    Policy::from_envelope(envelope).map(Required::Signature).map_err(|e| e.to_string())
}

/// A group's policy of this name.
fn named(group: &ConfigGroup, name: &str, depth: usize) -> Result<Required, String> {
    if depth > MAX_DEPTH {
        return Err("it nests too deeply".into());
    }
    let policy = group.policies.get(name).and_then(|policy| policy.policy.as_ref());
    let policy = policy.ok_or_else(|| format!("there is no {name}"))?;
    if policy.r#type == PolicyType::Signature as i32 {
        let envelope = SignaturePolicyEnvelope::decode(policy.value.as_slice()).map_err(|e| e.to_string())?;
        return signature(&envelope);
    }
    if policy.r#type != PolicyType::ImplicitMeta as i32 {
        return Err(format!("{name} is of a kind that is not known here"));
    }
    let meta = ImplicitMetaPolicy::decode(policy.value.as_slice()).map_err(|e| e.to_string())?;
    let parts = group.groups.iter().map(|(org, below)| match below.policies.is_empty() {
        // A development ledger writes none into an organisation: its peers sign.
        true => {
            let msp_id = organisation(below).map_or_else(|_| org.clone(), |msp| msp.id().to_owned());
            Ok(Required::Signature(Policy::SignedBy(Principal { msp_id, role: Role::Peer })))
        }
        false => named(below, &meta.sub_policy, depth + 1),
    });
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    let least = match meta.rule {
        rule if rule == Rule::Any as i32 => 1,
        rule if rule == Rule::All as i32 => parts.len(),
        _ => parts.len() / 2 + 1,
    };
    Ok(Required::Parts(least, parts))
}
