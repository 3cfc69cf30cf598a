//! What a channel's organisations agreed on for its chaincodes, in the form in which it is applied.

use crate::Error;
use crate::config::{ChaincodeDefinition, ChannelConfig, Collection, EndorsementPolicy};
use crate::store::{Snapshot, Version, Versioned, hashed_space};
use msp::{ImplicitMeta, Policy, Principal, Role};
use std::collections::{BTreeMap, BTreeSet};

/// The namespace in which Fabric keeps the chaincodes' definitions.
pub const LIFECYCLE: &str = "_lifecycle";

/// Every organisation has a collection of its own under this prefix, without any definition.
const IMPLICIT: &str = "_implicit_org_";

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
}

impl Required {
    fn new(policy: &EndorsementPolicy, orgs: &[String]) -> Self {
        match policy {
            EndorsementPolicy::Signature(policy) => Self::Signature(policy.clone()),
            EndorsementPolicy::ImplicitMeta(rule) => {
                let orgs = orgs.iter().map(String::as_str);
                Self::ImplicitMeta(ImplicitMeta::new(*rule, Role::Peer, orgs))
            }
        }
    }

    /// Whether these signers, each there once, are enough.
    pub fn holds(&self, signers: &[Signer]) -> bool {
        let fits = |signer: usize, principal: &Principal| signers[signer].is(principal);
        match self {
            Self::Signature(policy) => policy.holds(signers.len(), &fits),
            Self::ImplicitMeta(policy) => policy.holds(signers.len(), &fits),
        }
    }
}

/// A chaincode's definition.
#[derive(Debug)]
pub struct Definition {
    pub version: String,
    pub policy: Required,
    collections: BTreeMap<String, Members>,
}

/// A collection's definition.
#[derive(Debug)]
pub struct Members {
    orgs: BTreeSet<String>,
    policy: Policy,
    member_only_read: bool,
    member_only_write: bool,
    block_to_live: u64,
    endorsement: Option<Required>,
}

impl Definition {
    fn new(definition: &ChaincodeDefinition, orgs: &[String]) -> Self {
        let defined = definition.collections.iter().map(|collection| collection.name.clone());
        let mut collections: BTreeMap<_, _> = defined
            .zip(definition.collections.iter().map(|collection| Members::new(collection, orgs)))
            .collect();
        for org in orgs {
            let signed_by = |role| Policy::SignedBy(Principal { msp_id: org.clone(), role });
            let implicit = Collection {
                member_only_read: false,
                member_only_write: false,
                policy: Some(EndorsementPolicy::Signature(signed_by(Role::Peer))),
                ..Collection::new(format!("{IMPLICIT}{org}"), signed_by(Role::Member))
            };
            collections.insert(implicit.name.clone(), Members::new(&implicit, orgs));
        }
        Self {
            version: definition.version.clone(),
            policy: Required::new(&definition.policy, orgs),
            collections,
        }
    }

    pub fn collection(&self, name: &str) -> Option<&Members> {
        self.collections.get(name)
    }

    /// Who must endorse a write to the collection.
    pub fn endorsers(&self, collection: &Members) -> Required {
        collection.endorsement.clone().unwrap_or_else(|| self.policy.clone())
    }
}

impl Members {
    fn new(collection: &Collection, orgs: &[String]) -> Self {
        Self {
            orgs: collection.members.organizations().into_iter().map(String::from).collect(),
            policy: collection.members.clone(),
            member_only_read: collection.member_only_read,
            member_only_write: collection.member_only_write,
            block_to_live: collection.block_to_live,
            endorsement: collection.policy.as_ref().map(|policy| Required::new(policy, orgs)),
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
        self.policy.holds(1, &|_, principal| client.is(principal))
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
    /// The definitions on a channel of these organisations.
    pub fn new(channel: &ChannelConfig, orgs: &[String]) -> Self {
        let chaincodes = &channel.chaincodes;
        let definitions = chaincodes.iter().map(|one| (one.name.clone(), Definition::new(one, orgs)));
        let lives = chaincodes.iter().flat_map(|one| {
            let mortal = one.collections.iter().filter(|collection| collection.block_to_live != 0);
            mortal.map(|collection| (hashed_space(&one.name, &collection.name), collection.block_to_live))
        });
        Self { channel: channel.name.clone(), lives: lives.collect(), chaincodes: definitions.collect() }
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
