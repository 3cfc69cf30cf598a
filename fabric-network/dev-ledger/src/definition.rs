//! What a channel's organisations agreed on for its chaincodes, in the form in which it is applied.

use crate::Error;
#[cfg(test)]
use crate::config::ChannelConfig;
use crate::lifecycle::parameters::{Parameters, approval, package_id};
use crate::lifecycle::stored::{self, NAMESPACES};
use crate::store::{Snapshot, Version, Versioned, hashed_space, private_space};
use fabric_protos::peer::{
    ApplicationPolicy, StaticCollectionConfig, application_policy, collection_config,
    collection_policy_config,
};
use msp::{ImplicitMeta, Policy, Principal, Role, Rule};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};

/// The namespace in which Fabric keeps the chaincodes' definitions.
pub const LIFECYCLE: &str = "_lifecycle";

/// Every organisation has a collection of its own under this prefix, without any definition.
pub const IMPLICIT: &str = "_implicit_org_";

/// The key in [`LIFECYCLE`] that every endorsement reads.
pub fn sequence_key(chaincode: &str) -> String {
    format!("namespaces/fields/{chaincode}/Sequence")
}

/// The keys in [`LIFECYCLE`] of the rest of a definition, which whoever uses a collection reads.
pub fn definition_keys(chaincode: &str) -> [String; 4] {
    let field = |name: &str| format!("namespaces/fields/{chaincode}/{name}");
    [
        field("Collections"),
        field("EndorsementInfo"),
        field("ValidationInfo"),
        format!("namespaces/metadata/{chaincode}"),
    ]
}

/// Somebody whose signature holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    pub msp_id: String,
    pub role: Role,
}

impl Signer {
    fn is(&self, principal: &Principal) -> bool {
        self.msp_id == principal.msp_id && (principal.role == Role::Member || self.role == principal.role)
    }
}

/// Whose signatures are required.
#[derive(Clone, Debug)]
pub enum Required {
    Signature(Policy),
    ImplicitMeta(ImplicitMeta),
    /// What no signatures can satisfy: a policy that is not there or cannot be read.
    Never,
}

impl Required {
    /// A policy as it stands in a definition, on a channel of these organisations.
    fn new(policy: &ApplicationPolicy, orgs: &[String]) -> Self {
        match &policy.r#type {
            Some(application_policy::Type::SignaturePolicy(envelope)) => {
                match Policy::from_envelope(envelope) {
                    Ok(policy) => Self::Signature(policy),
                    Err(e) => {
                        tracing::warn!("a policy that nobody can satisfy: {e}");
                        Self::Never
                    }
                }
            }
            Some(application_policy::Type::ChannelConfigPolicyReference(path)) => Self::reference(path, orgs),
            None => Self::Never,
        }
    }

    /// A policy of the channel's configuration, which the ledger has written itself.
    fn reference(path: &str, orgs: &[String]) -> Self {
        let of =
            |rule, role| Self::ImplicitMeta(ImplicitMeta::new(rule, role, orgs.iter().map(String::as_str)));
        let names = path.strip_prefix("/Channel/Application/").unwrap_or_default();
        match names.split_once('/') {
            None => match names {
                "Endorsement" | "LifecycleEndorsement" => of(Rule::Majority, Role::Peer),
                "Readers" | "Writers" => of(Rule::Any, Role::Member),
                "Admins" => of(Rule::Majority, Role::Admin),
                _ => Self::Never,
            },
            Some((org, name)) if orgs.iter().any(|known| known == org) => {
                let role = match name {
                    "Endorsement" => Role::Peer,
                    "Readers" | "Writers" => Role::Member,
                    "Admins" => Role::Admin,
                    _ => return Self::Never,
                };
                Self::Signature(Policy::SignedBy(Principal { msp_id: org.into(), role }))
            }
            Some(_) => Self::Never,
        }
    }

    /// Whether these signers, each there once, are enough.
    pub fn holds(&self, signers: &[Signer]) -> bool {
        let fits = |signer: usize, principal: &Principal| signers[signer].is(principal);
        match self {
            Self::Signature(policy) => policy.holds(signers.len(), &fits),
            Self::ImplicitMeta(policy) => policy.holds(signers.len(), &fits),
            Self::Never => false,
        }
    }
}

/// A chaincode's definition.
#[derive(Debug)]
pub struct Definition {
    /// Counts the definitions of the chaincode, from 1.
    pub sequence: i64,
    pub version: String,
    /// Whether each version has to be called once to initialise before anything else is.
    pub init_required: bool,
    pub policy: Required,
    collections: BTreeMap<String, Members>,
    /// The package that each organisation approved for this definition.
    packages: BTreeMap<String, String>,
}

/// A collection's definition.
#[derive(Debug)]
pub struct Members {
    orgs: BTreeSet<String>,
    policy: Option<Policy>,
    member_only_read: bool,
    member_only_write: bool,
    block_to_live: u64,
    endorsement: Option<Required>,
}

impl Definition {
    /// What organisations agreed on, on a channel of these.
    fn new(sequence: i64, parameters: &Parameters, orgs: &[String]) -> Self {
        let parameter = parameters.validation.validation_parameter.as_slice();
        let policy = ApplicationPolicy::decode(parameter).unwrap_or_default();
        let defined = parameters.collections.config.iter().filter_map(|config| {
            let collection_config::Payload::StaticCollectionConfig(config) = config.payload.as_ref()?;
            Some((config.name.clone(), Members::new(config, orgs)))
        });
        Self {
            sequence,
            version: parameters.endorsement.version.clone(),
            init_required: parameters.endorsement.init_required,
            policy: Required::new(&policy, orgs),
            collections: defined.chain(implicit(orgs)).collect(),
            packages: BTreeMap::new(),
        }
    }

    /// That of the namespace in which definitions are.
    fn lifecycle(orgs: &[String]) -> Self {
        Self {
            sequence: 0,
            version: crate::system::VERSION.into(),
            init_required: false,
            policy: Required::reference("/Channel/Application/LifecycleEndorsement", orgs),
            collections: implicit(orgs).collect(),
            packages: BTreeMap::new(),
        }
    }

    pub fn collection(&self, name: &str) -> Option<&Members> {
        self.collections.get(name)
    }

    /// Who must endorse a write to the collection.
    pub fn endorsers(&self, collection: &Members) -> Required {
        collection.endorsement.clone().unwrap_or_else(|| self.policy.clone())
    }

    /// The package that the organisation approved; empty where it does not run the chaincode, none where it has not
    /// approved the definition.
    pub fn package(&self, msp_id: &str) -> Option<&str> {
        self.packages.get(msp_id).map(String::as_str)
    }
}

/// The organisations' own collections, which every namespace has.
fn implicit(orgs: &[String]) -> impl Iterator<Item = (String, Members)> {
    orgs.iter().map(|org| {
        let signed_by = |role| Policy::SignedBy(Principal { msp_id: org.clone(), role });
        let members = Members {
            orgs: [org.clone()].into(),
            policy: Some(signed_by(Role::Member)),
            member_only_read: false,
            member_only_write: false,
            block_to_live: 0,
            endorsement: Some(Required::Signature(signed_by(Role::Peer))),
        };
        (format!("{IMPLICIT}{org}"), members)
    })
}

impl Members {
    fn new(config: &StaticCollectionConfig, orgs: &[String]) -> Self {
        let policy = config.member_orgs_policy.as_ref().and_then(|policy| match &policy.payload {
            Some(collection_policy_config::Payload::SignaturePolicy(envelope)) => {
                Policy::from_envelope(envelope).ok()
            }
            None => None,
        });
        let members = policy.iter().flat_map(Policy::organizations).map(String::from).collect();
        Self {
            orgs: members,
            policy,
            member_only_read: config.member_only_read,
            member_only_write: config.member_only_write,
            block_to_live: config.block_to_live,
            endorsement: config.endorsement_policy.as_ref().map(|policy| Required::new(policy, orgs)),
        }
    }

    /// Whether the organisation's peer keeps the data.
    pub fn includes(&self, msp_id: &str) -> bool {
        self.orgs.contains(msp_id)
    }

    /// The MSP IDs of the organisations whose peers keep the data.
    pub fn members(&self) -> BTreeSet<String> {
        self.orgs.clone()
    }

    /// Whether a client is a member itself.
    pub fn admits(&self, client: &Signer) -> bool {
        self.policy.as_ref().is_some_and(|policy| policy.holds(1, &|_, principal| client.is(principal)))
    }

    pub fn may_read(&self, client: &Signer) -> bool {
        !self.member_only_read || self.admits(client)
    }

    pub fn may_write(&self, client: &Signer) -> bool {
        !self.member_only_write || self.admits(client)
    }

    /// Whether what this version wrote is still there when `height` blocks have been committed.
    pub fn keeps(&self, version: Version, height: u64) -> bool {
        self.block_to_live == 0 || lives(self.block_to_live, version, height)
    }

    /// The block whose data is deleted with block `number`.
    pub fn expired_by(&self, number: u64) -> Option<u64> {
        match self.block_to_live {
            0 => None,
            blocks => number.checked_sub(blocks.saturating_add(1)),
        }
    }
}

/// Whether what this version wrote, and what lives for so many blocks, is still there at a height.
fn lives(blocks: u64, version: Version, height: u64) -> bool {
    version.block.saturating_add(blocks).saturating_add(1) >= height
}

/// The definitions of a channel's chaincodes.
#[derive(Debug)]
pub struct Definitions {
    channel: String,
    chaincodes: BTreeMap<String, Definition>,
    /// For how many blocks what is in a hashed namespace lives, where it does not for ever.
    lives: BTreeMap<String, u64>,
}

impl Definitions {
    /// The configured definitions on a channel of these organisations, whatever is in the state.
    #[cfg(test)]
    pub fn new(channel: &ChannelConfig, orgs: &[String]) -> Self {
        let configured = channel.chaincodes.iter().map(|one| {
            let definition = Definition::new(one.sequence, &Parameters::of(one, orgs), orgs);
            (one.name.clone(), definition)
        });
        Self::of(&channel.name, orgs, configured.collect())
    }

    /// The definitions that are in the state of a channel of these organisations.
    pub fn load(channel: &str, orgs: &[String], snapshot: &Snapshot) -> Result<Self, Error> {
        let mut found = BTreeMap::new();
        let prefix = stored::metadata_key(NAMESPACES, "");
        for entry in snapshot.range(LIFECYCLE, &prefix, &format!("{prefix}{}", char::MAX))? {
            let (key, _) = entry?;
            let name = key[prefix.len()..].to_owned();
            match Self::read(&name, orgs, snapshot) {
                Ok(definition) => drop(found.insert(name, definition)),
                // Written by members who changed what they endorsed; nobody can call it.
                Err(e) => tracing::error!("definition of chaincode {name}: {e}"),
            }
        }
        Ok(Self::of(channel, orgs, found))
    }

    fn read(name: &str, orgs: &[String], snapshot: &Snapshot) -> Result<Definition, String> {
        let read = |space: &str, key: &str| {
            let found = snapshot.get(space, key).map_err(|e| e.to_string())?;
            Ok::<_, String>(found.map(|found| found.value).unwrap_or_default())
        };
        let mut public = |key: &str| read(LIFECYCLE, key);
        let sequence = stored::number(NAMESPACES, name, "Sequence", &mut public)?;
        let mut definition = Definition::new(sequence, &Parameters::read(name, &mut public)?, orgs);
        let key = approval(name, sequence);
        for org in orgs {
            let space = private_space(LIFECYCLE, &format!("{IMPLICIT}{org}"));
            if let Some(package) = package_id(&key, &mut |key| read(&space, key))? {
                definition.packages.insert(org.clone(), package);
            }
        }
        Ok(definition)
    }

    fn of(channel: &str, orgs: &[String], mut chaincodes: BTreeMap<String, Definition>) -> Self {
        chaincodes.insert(LIFECYCLE.into(), Definition::lifecycle(orgs));
        let lives = chaincodes.iter().flat_map(|(name, definition)| {
            let mortal = definition.collections.iter().filter(|(_, members)| members.block_to_live != 0);
            mortal.map(move |(collection, members)| (hashed_space(name, collection), members.block_to_live))
        });
        let lives = lives.collect();
        Self { channel: channel.into(), chaincodes, lives }
    }

    /// Every chaincode by its name, [`LIFECYCLE`] too.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Definition)> {
        self.chaincodes.iter().map(|(name, definition)| (name.as_str(), definition))
    }

    /// What is committed under a key of a namespace, or of a collection's hashed one unless its life is over.
    pub fn value(&self, snapshot: &Snapshot, space: &str, key: &str) -> Result<Option<Versioned>, Error> {
        let found = snapshot.get(space, key)?;
        Ok(match self.lives.get(space) {
            Some(blocks) => found.filter(|found| lives(*blocks, found.version, snapshot.height())),
            None => found,
        })
    }

    /// The metadata that is committed with a [`value`](Self::value), and goes with it.
    pub fn metadata(&self, snapshot: &Snapshot, space: &str, key: &str) -> Result<Option<Vec<u8>>, Error> {
        if self.lives.contains_key(space) && self.value(snapshot, space, key)?.is_none() {
            return Ok(None);
        }
        snapshot.metadata(space, key)
    }

    pub fn get(&self, chaincode: &str) -> Option<&Definition> {
        self.chaincodes.get(chaincode)
    }

    /// Namespace, collection and definition of every collection.
    pub fn collections(&self) -> impl Iterator<Item = (&str, &str, &Members)> {
        self.chaincodes.iter().flat_map(|(namespace, definition)| {
            let each = definition.collections.iter();
            each.map(|(name, members)| (namespace.as_str(), name.as_str(), members))
        })
    }

    /// A collection, or why not in the words of Fabric's ledger.
    pub fn collection(&self, namespace: &str, name: &str) -> Result<&Members, String> {
        self.get(namespace).and_then(|definition| definition.collection(name)).ok_or_else(|| {
            format!("collection [{name}] not defined in the collection config for chaincode [{namespace}]")
        })
    }

    /// A collection, or why not in the words of Fabric's access control.
    pub fn accessed(&self, namespace: &str, name: &str) -> Result<&Members, String> {
        self.get(namespace)
            .and_then(|definition| definition.collection(name))
            .ok_or_else(|| format!("collection {}/{namespace}/{name} could not be found", self.channel))
    }
}
