//! Whose endorsements a transaction needs, as far as that follows from what it touched.

use crate::definition::LIFECYCLE;
use fabric_protos::common::SignaturePolicyEnvelope;
use fabric_protos::kvrwset::KvMetadataEntry;
use fabric_protos::peer::{ChaincodeCall, ChaincodeInterest, MetaDataKeys};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};

/// The endorsement policy in a key's metadata, serialised.
pub fn key_policy(metadata: &[KvMetadataEntry]) -> Option<&[u8]> {
    let name = MetaDataKeys::ValidationParameter.as_str_name();
    let entry = metadata.iter().find(|entry| entry.name == name)?;
    (!entry.value.is_empty()).then_some(entry.value.as_slice())
}

/// What a transaction touched.
#[derive(Default)]
pub struct Touched {
    written: BTreeMap<String, Written>,
    read: BTreeSet<(String, String)>,
}

/// What was written in a namespace.
#[derive(Default)]
struct Written {
    /// The policies of keys that have one of their own.
    policies: Vec<SignaturePolicyEnvelope>,
    /// Collections (an empty name for the public state) with a key that has none.
    collections: BTreeSet<String>,
}

impl Touched {
    /// A key with this metadata is written.
    pub fn write(
        &mut self,
        namespace: &str,
        collection: &str,
        metadata: &[KvMetadataEntry],
    ) -> Result<(), String> {
        let written = self.written.entry(namespace.into()).or_default();
        match key_policy(metadata) {
            Some(policy) => {
                let policy = SignaturePolicyEnvelope::decode(policy)
                    .map_err(|e| format!("error unmarshalling SignaturePolicy: {e}"))?;
                if !written.policies.contains(&policy) {
                    written.policies.push(policy);
                }
            }
            None => drop(written.collections.insert(collection.into())),
        }
        Ok(())
    }

    /// A private value is read.
    pub fn read(&mut self, namespace: &str, collection: &str) {
        self.read.insert((namespace.into(), collection.into()));
    }

    /// What Fabric tells those who look for endorsers, of a transaction with sets in these namespaces.
    pub fn interest<'a>(mut self, namespaces: impl Iterator<Item = &'a str>) -> ChaincodeInterest {
        for namespace in namespaces.filter(|namespace| ![LIFECYCLE, "lscc"].contains(namespace)) {
            if !self.written.contains_key(namespace) {
                let collections = [String::new()].into();
                self.written.insert(namespace.into(), Written { collections, ..Default::default() });
            }
        }
        for (namespace, collection) in &self.read {
            self.written.entry(namespace.clone()).or_default().collections.insert(collection.clone());
        }
        let mut chaincodes = Vec::new();
        // Definitions concern nobody who looks for endorsers.
        for (name, written) in self.written.into_iter().filter(|(name, _)| name != LIFECYCLE) {
            let needs_own = written.collections.contains("");
            if needs_own || !written.policies.is_empty() {
                chaincodes.push(ChaincodeCall {
                    name: name.clone(),
                    disregard_namespace_policy: !needs_own,
                    key_policies: written.policies,
                    ..Default::default()
                });
            }
            for collection in written.collections.into_iter().filter(|collection| !collection.is_empty()) {
                let no_private_reads = !self.read.contains(&(name.clone(), collection.clone()));
                chaincodes.push(ChaincodeCall {
                    name: name.clone(),
                    collection_names: vec![collection],
                    no_private_reads,
                    ..Default::default()
                });
            }
        }
        ChaincodeInterest { chaincodes }
    }
}
