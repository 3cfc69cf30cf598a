//! Whether those who endorsed a transaction are those who must.

use super::Endorsed;
use crate::Error;
use crate::definition::{Definition, Definitions, LIFECYCLE, Required, Signer};
use crate::interest::key_policy;
use crate::store::{Snapshot, hashed_space, hex};
use fabric_protos::kvrwset::KvMetadataWrite;
use fabric_protos::peer::TxValidationCode as Code;
use msp::Policy;
use prost::Message;
use std::collections::{BTreeSet, HashSet};

/// The policies of a channel as a block finds them.
pub struct Policies<'a> {
    definitions: &'a Definitions,
    snapshot: &'a Snapshot,
    /// Keys whose metadata an earlier transaction of the block changes, by (hashed) namespace: what their
    /// policy is cannot be known to those who endorsed.
    changed: HashSet<(String, String)>,
}

impl<'a> Policies<'a> {
    pub fn new(definitions: &'a Definitions, snapshot: &'a Snapshot) -> Self {
        Self { definitions, snapshot, changed: HashSet::new() }
    }

    /// Judges the next transaction of the block.
    pub fn check(&mut self, endorsed: &Endorsed) -> Result<Code, Error> {
        // The chaincode that was called first, for its policy must hold even if it writes nothing.
        let others = endorsed.sets.iter().filter(|set| writes(set)).map(|set| set.namespace.as_str());
        let others: BTreeSet<&str> = others.filter(|namespace| *namespace != endorsed.chaincode).collect();
        for namespace in std::iter::once(endorsed.chaincode.as_str()).chain(others) {
            if namespace == LIFECYCLE && endorsed.chaincode != LIFECYCLE {
                return Ok(Code::IllegalWriteset);
            }
            let Some(definition) = self.definitions.get(namespace) else {
                return Ok(Code::InvalidChaincode);
            };
            if !self.holds(endorsed, namespace, definition)? {
                return Ok(Code::EndorsementPolicyFailure);
            }
        }
        for key in metadata_keys(endorsed) {
            self.changed.insert(key);
        }
        Ok(Code::Valid)
    }

    /// Whether the policies of a namespace, of its collections and of the keys that are written there hold.
    fn holds(&self, endorsed: &Endorsed, namespace: &str, definition: &Definition) -> Result<bool, Error> {
        let mut checks = Checks { signers: &endorsed.signers, held: HashSet::new(), any: false };
        for set in endorsed.sets.iter().filter(|set| set.namespace == namespace) {
            let keys = set.own.writes.iter().map(|write| &write.key);
            for key in keys.chain(set.own.metadata_writes.iter().map(|write| &write.key)) {
                let default = || Some((String::new(), definition.policy.clone()));
                if !self.key_holds(&mut checks, namespace, key, default)? {
                    return Ok(false);
                }
            }
            for collection in &set.collections {
                let space = hashed_space(namespace, &collection.name);
                let hashed = &collection.hashed;
                let keys = hashed.hashed_writes.iter().map(|write| &write.key_hash);
                for key in keys.chain(hashed.metadata_writes.iter().map(|write| &write.key_hash)) {
                    let default = || {
                        let members = definition.collection(&collection.name)?;
                        Some((collection.name.clone(), definition.endorsers(members)))
                    };
                    if !self.key_holds(&mut checks, &space, &hex(key), default)? {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(checks.any || definition.policy.holds(&endorsed.signers))
    }

    /// The key's own policy, or else the default with its name; none where a collection is not defined.
    fn key_holds(
        &self,
        checks: &mut Checks<'_>,
        space: &str,
        key: &str,
        default: impl FnOnce() -> Option<(String, Required)>,
    ) -> Result<bool, Error> {
        if self.changed.contains(&(space.to_owned(), key.to_owned())) {
            return Ok(false);
        }
        if let Some(metadata) = self.definitions.metadata(self.snapshot, space, key)? {
            let written = KvMetadataWrite::decode(metadata.as_slice()).unwrap_or_default();
            if let Some(policy) = key_policy(&written.entries) {
                checks.any = true;
                return Ok(match Policy::decode(policy) {
                    Ok(policy) => Required::Signature(policy).holds(checks.signers),
                    Err(e) => {
                        tracing::warn!("policy of {space}/{key}: {e}");
                        false
                    }
                });
            }
        }
        let Some((name, required)) = default() else {
            return Ok(false);
        };
        if !checks.held.contains(&name) {
            if !required.holds(checks.signers) {
                return Ok(false);
            }
            checks.held.insert(name);
            checks.any = true;
        }
        Ok(true)
    }
}

/// What has been found of one namespace.
struct Checks<'a> {
    signers: &'a [Signer],
    /// Collections (an empty name for the chaincode) whose policy holds.
    held: HashSet<String>,
    any: bool,
}

fn writes(set: &super::NamespaceSet) -> bool {
    let hashed = |set: &super::CollectionSet| {
        !set.hashed.hashed_writes.is_empty() || !set.hashed.metadata_writes.is_empty()
    };
    !set.own.writes.is_empty() || !set.own.metadata_writes.is_empty() || set.collections.iter().any(hashed)
}

/// The keys whose metadata a transaction writes.
fn metadata_keys(endorsed: &Endorsed) -> impl Iterator<Item = (String, String)> {
    endorsed.sets.iter().flat_map(|set| {
        let own = set.own.metadata_writes.iter().map(|write| (set.namespace.clone(), write.key.clone()));
        let hashed = set.collections.iter().flat_map(|collection| {
            let space = hashed_space(&set.namespace, &collection.name);
            collection.hashed.metadata_writes.iter().map(move |write| (space.clone(), hex(&write.key_hash)))
        });
        own.chain(hashed)
    })
}
