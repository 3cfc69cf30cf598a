//! What is checked of a definition before it is approved.

use fabric_protos::common::{SignaturePolicy, signature_policy};
use fabric_protos::peer::{
    CollectionConfigPackage, StaticCollectionConfig, collection_config, collection_policy_config,
};
use msp::Policy;
use std::collections::BTreeSet;

/// The names that are the peer's own.
const SYSTEM: [&str; 5] = ["cscc", "escc", "lscc", "qscc", "vscc"];

/// Checks the name and the version of a chaincode.
pub fn check_names(name: &str, version: &str) -> Result<(), String> {
    let parts = name.split(['-', '_']);
    let is_name = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric());
    if !parts.into_iter().all(is_name) {
        return Err(format!(
            "invalid chaincode name '{name}'. Names can only consist of alphanumerics, '_', and '-' and can only begin with alphanumerics"
        ));
    }
    if SYSTEM.contains(&name) {
        return Err(format!("chaincode name '{name}' is the name of a system chaincode"));
    }
    let is_version = |c: char| c.is_ascii_alphanumeric() || "_.+-".contains(c);
    if version.is_empty() || !version.chars().all(is_version) {
        return Err(format!(
            "invalid chaincode version '{version}'. Versions can only consist of alphanumerics, '_', '-', '+', and '.'"
        ));
    }
    Ok(())
}

/// Checks collections by themselves, on a channel of these organisations.
pub fn check(package: &CollectionConfigPackage, orgs: &[String]) -> Result<(), String> {
    let mut names = BTreeSet::new();
    for collection in each(package)? {
        let name = collection.name.as_str();
        let valid = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.starts_with('_') || !name.chars().all(valid) {
            return Err(format!(
                "invalid collection name '{name}'. Names can only consist of alphanumerics, '_', and '-' and cannot begin with '_'"
            ));
        }
        if !names.insert(name) {
            return Err(format!("collection-name: {name} -- found duplicate in collection configuration"));
        }
        let (required, maximum) = (collection.required_peer_count, collection.maximum_peer_count);
        if maximum < required {
            return Err(format!(
                "collection-name: {name} -- maximum peer count ({maximum}) cannot be less than the required peer count ({required})"
            ));
        }
        if required < 0 {
            return Err(format!(
                "collection-name: {name} -- requiredPeerCount ({required}) cannot be less than zero"
            ));
        }
        check_members(collection, orgs)?;
    }
    Ok(())
}

fn check_members(collection: &StaticCollectionConfig, orgs: &[String]) -> Result<(), String> {
    let name = collection.name.as_str();
    let Some(policy) = &collection.member_orgs_policy else {
        return Err(format!("collection member policy is not set for collection '{name}'"));
    };
    let Some(collection_policy_config::Payload::SignaturePolicy(envelope)) = &policy.payload else {
        return Err(format!("collection member org policy is empty for collection '{name}'"));
    };
    let policy = Policy::from_envelope(envelope)
        .map_err(|e| format!("invalid member org policy for collection '{name}': {e}"))?;
    if let Some(n) = envelope.rule.as_ref().and_then(|rule| not_or(rule, 0)) {
        return Err(format!(
            "collection-name: {name} -- error in member org policy: signature policy is not an OR concatenation, NOutOf {n}"
        ));
    }
    match policy.organizations().into_iter().find(|org| !orgs.iter().any(|known| known == org)) {
        Some(org) => {
            Err(format!("collection-name: {name} -- collection member '{org}' is not part of the channel"))
        }
        None => Ok(()),
    }
}

/// How many of the parts a rule wants, where that is not one; the reader of policies has bounded its depth.
fn not_or(rule: &SignaturePolicy, depth: usize) -> Option<i32> {
    match &rule.r#type {
        Some(signature_policy::Type::NOutOf(gate)) if gate.n != 1 || depth > 100 => Some(gate.n),
        Some(signature_policy::Type::NOutOf(gate)) => {
            gate.rules.iter().find_map(|rule| not_or(rule, depth + 1))
        }
        _ => None,
    }
}

/// Checks that collections which the channel has are still there, and keep their data as long.
pub fn check_change(
    proposed: &CollectionConfigPackage,
    committed: &CollectionConfigPackage,
) -> Result<(), String> {
    let (proposed, committed) = (each(proposed)?, each(committed)?);
    if !committed.is_empty() && proposed.is_empty() {
        return Err("the proposed collection config does not contain previously defined collections".into());
    }
    for old in committed {
        let Some(new) = proposed.iter().find(|new| new.name == old.name) else {
            return Err(format!(
                "existing collection [{}] missing in the proposed collection configuration",
                old.name
            ));
        };
        if new.block_to_live != old.block_to_live {
            return Err(format!(
                "the BlockToLive in an existing collection [{}] modified. Existing value [{}]",
                old.name, old.block_to_live
            ));
        }
    }
    Ok(())
}

fn each(package: &CollectionConfigPackage) -> Result<Vec<&StaticCollectionConfig>, String> {
    let each = package.config.iter().map(|config| match &config.payload {
        Some(collection_config::Payload::StaticCollectionConfig(config)) => Ok(config),
        None => Err("collection config contains unexpected payload type: <nil>".to_string()),
    });
    each.collect()
}
