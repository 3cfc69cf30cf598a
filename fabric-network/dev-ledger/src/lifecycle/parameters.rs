//! What organisations agree on for a chaincode, as messages.

use super::stored::{self, NAMESPACES, Read, Record, SOURCES};
use crate::config::{ChaincodeDefinition, Collection, EndorsementPolicy};
use fabric_protos::lifecycle::state_data::Type;
use fabric_protos::lifecycle::{ChaincodeEndorsementInfo, ChaincodeValidationInfo};
use fabric_protos::peer::{
    ApplicationPolicy, CollectionConfig, CollectionConfigPackage, CollectionPolicyConfig,
    StaticCollectionConfig, application_policy, collection_config, collection_policy_config,
};
use msp::{Policy, Principal, Role, Rule};
use prost::Message;

/// The policy of the configuration that holds unless a definition has one.
pub const DEFAULT_POLICY: &str = "/Channel/Application/Endorsement";

/// A definition without its number.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters {
    pub endorsement: ChaincodeEndorsementInfo,
    pub validation: ChaincodeValidationInfo,
    pub collections: CollectionConfigPackage,
}

impl Parameters {
    /// Those of a configured chaincode on a channel of these organisations.
    pub fn of(definition: &ChaincodeDefinition, orgs: &[String]) -> Self {
        let collections = definition.collections.iter().map(|one| collection(one, orgs)).collect();
        let mut parameters = Self {
            endorsement: ChaincodeEndorsementInfo {
                version: definition.version.clone(),
                ..Default::default()
            },
            validation: ChaincodeValidationInfo {
                validation_parameter: policy(&definition.policy, orgs).encode_to_vec(),
                ..Default::default()
            },
            collections: CollectionConfigPackage { config: collections },
        };
        parameters.set_defaults();
        parameters
    }

    /// Fills what is empty with what holds by default.
    pub fn set_defaults(&mut self) {
        let (endorsement, validation) = (&mut self.endorsement, &mut self.validation);
        if endorsement.endorsement_plugin.is_empty() {
            endorsement.endorsement_plugin = "escc".into();
        }
        if validation.validation_plugin.is_empty() {
            validation.validation_plugin = "vscc".into();
        }
        if validation.validation_parameter.is_empty() {
            validation.validation_parameter = reference(DEFAULT_POLICY).encode_to_vec();
        }
    }

    fn fields(&self) -> [(&'static str, Type); 3] {
        [
            ("EndorsementInfo", Type::Bytes(self.endorsement.encode_to_vec())),
            ("ValidationInfo", Type::Bytes(self.validation.encode_to_vec())),
            ("Collections", Type::Bytes(self.collections.encode_to_vec())),
        ]
    }

    /// As an organisation approves it.
    pub fn approved(&self) -> Record<3> {
        Record { datatype: "ChaincodeParameters", fields: self.fields() }
    }

    /// As the channel has it.
    pub fn committed(&self, sequence: i64) -> Record<4> {
        let [endorsement, validation, collections] = self.fields();
        let fields = [("Sequence", Type::Int64(sequence)), endorsement, validation, collections];
        Record { datatype: "ChaincodeDefinition", fields }
    }

    /// Reads them under a name.
    pub fn read(name: &str, read: Read<'_>) -> Result<Self, String> {
        Ok(Self {
            endorsement: stored::message(NAMESPACES, name, "EndorsementInfo", read)?,
            validation: stored::message(NAMESPACES, name, "ValidationInfo", read)?,
            collections: stored::message(NAMESPACES, name, "Collections", read)?,
        })
    }

    /// What differs from others, in Fabric's words.
    pub fn compare(&self, passed: &Self) -> Result<(), String> {
        let (one, other) = (&self.endorsement, &passed.endorsement);
        let differ = |what: &str, one: &str, other: &str| {
            Err(format!("expected {what} '{one}' does not match passed {what} '{other}'"))
        };
        let hex = crate::store::hex;
        if one.version != other.version {
            return differ("Version", &one.version, &other.version);
        }
        if one.endorsement_plugin != other.endorsement_plugin {
            return differ("EndorsementPlugin", &one.endorsement_plugin, &other.endorsement_plugin);
        }
        if one.init_required != other.init_required {
            return differ("InitRequired", &one.init_required.to_string(), &other.init_required.to_string());
        }
        let (one, other) = (&self.validation, &passed.validation);
        if one.validation_plugin != other.validation_plugin {
            return differ("ValidationPlugin", &one.validation_plugin, &other.validation_plugin);
        }
        if one.validation_parameter != other.validation_parameter {
            let (one, other) = (hex(&one.validation_parameter), hex(&other.validation_parameter));
            return differ("ValidationParameter", &one, &other);
        }
        match self.collections == passed.collections {
            true => Ok(()),
            false => Err("Collections do not match".into()),
        }
    }
}

/// From where an organisation has a chaincode: an empty id says that it does not run it.
pub fn source(package_id: &str) -> Record<1> {
    Record { datatype: "ChaincodeLocalPackage", fields: [("PackageID", Type::String(package_id.into()))] }
}

/// The package that an organisation approved under a name; none where it approved nothing.
pub fn package_id(name: &str, read: Read<'_>) -> Result<Option<String>, String> {
    match stored::metadata(SOURCES, name, read)? {
        Some(_) => stored::text(SOURCES, name, "PackageID", read).map(Some),
        None => Ok(None),
    }
}

/// The name under which an approval is.
pub fn approval(chaincode: &str, sequence: i64) -> String {
    format!("{chaincode}#{sequence}")
}

fn reference(path: &str) -> ApplicationPolicy {
    let path = application_policy::Type::ChannelConfigPolicyReference(path.into());
    ApplicationPolicy { r#type: Some(path) }
}

fn policy(policy: &EndorsementPolicy, orgs: &[String]) -> ApplicationPolicy {
    let signed = match policy {
        EndorsementPolicy::Signature(policy) => policy.clone(),
        EndorsementPolicy::ImplicitMeta(Rule::Majority) => return reference(DEFAULT_POLICY),
        // The configuration has no such policy; the same in other words.
        EndorsementPolicy::ImplicitMeta(rule) => {
            let peer = |org: &String| Policy::SignedBy(Principal { msp_id: org.clone(), role: Role::Peer });
            let needed = if *rule == Rule::Any { 1 } else { orgs.len() };
            Policy::OutOf(needed, orgs.iter().map(peer).collect())
        }
    };
    ApplicationPolicy { r#type: Some(application_policy::Type::SignaturePolicy(signed.to_envelope())) }
}

fn collection(collection: &Collection, orgs: &[String]) -> CollectionConfig {
    let members = collection_policy_config::Payload::SignaturePolicy(collection.members.to_envelope());
    let config = StaticCollectionConfig {
        name: collection.name.clone(),
        member_orgs_policy: Some(CollectionPolicyConfig { payload: Some(members) }),
        required_peer_count: 0,
        maximum_peer_count: 0,
        block_to_live: collection.block_to_live,
        member_only_read: collection.member_only_read,
        member_only_write: collection.member_only_write,
        endorsement_policy: collection.policy.as_ref().map(|one| policy(one, orgs)),
    };
    CollectionConfig { payload: Some(collection_config::Payload::StaticCollectionConfig(config)) }
}
