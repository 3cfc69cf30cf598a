//! Chaincodes of others on a development ledger: how `confab ledger start --chaincode FILE` describes one.

use crate::{Collection, Error, Network};
use dev_ledger::{ChaincodeConfig, ChaincodeDefinition, ClientTls, EndorsementPolicy, Policy, Rule};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// The largest description.
const MAX_FILE: u64 = 1 << 20;

/// A chaincode of somebody else: what the organisations agree on, and where each one's service is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestChaincode {
    /// Name on the channel.
    pub name: String,
    /// Version.
    pub version: String,
    /// Counts the definitions of this name, from 1.
    #[serde(default = "first")]
    pub sequence: u64,
    /// Who must endorse: a signature policy, or `MAJORITY Endorsement` (the default), `ANY …`, `ALL …`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Under which id the services register; `NAME:VERSION` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its private data collections.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub collections: Vec<GuestCollection>,
    /// The service of each organisation that has one, by MSP ID.
    pub services: BTreeMap<String, Service>,
}

fn first() -> u64 {
    1
}

/// A collection as Fabric's files of collections have it; what only gossip needs may be left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GuestCollection {
    /// Its name.
    pub name: String,
    /// Whose peers keep the data.
    pub policy: String,
    /// Of gossip; not looked at.
    #[serde(default)]
    pub required_peer_count: u32,
    /// Of gossip; not looked at.
    #[serde(default)]
    pub max_peer_count: u32,
    /// After how many further blocks the data is deleted; never when 0.
    #[serde(default)]
    pub block_to_live: u64,
    /// Whether only clients of members may read.
    #[serde(default)]
    pub member_only_read: bool,
    /// Whether only clients of members may write.
    #[serde(default)]
    pub member_only_write: bool,
    /// Who must endorse writes to it; as for the chaincode unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endorsement_policy: Option<GuestPolicy>,
}

/// A collection's own policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GuestPolicy {
    /// A signature policy.
    pub signature_policy: String,
}

/// Where a service is: its address alone, or with what TLS needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Service {
    /// `HOST:PORT`, without TLS.
    Plain(String),
    /// With more to say.
    Described(ServiceDescription),
}

/// A service with TLS, or with an id of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceDescription {
    /// `HOST:PORT`; with TLS the host is in the service's certificate.
    pub address: String,
    /// Under which it registers; the chaincode's unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The authority of its certificate, PEM; without it the connection is not encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_ca: Option<PathBuf>,
    /// What the peer shows a service that asks for a certificate, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_cert: Option<PathBuf>,
    /// Its key, PKCS#8 PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key: Option<PathBuf>,
}

impl Service {
    /// `HOST:PORT`.
    pub fn address(&self) -> &str {
        match self {
            Self::Plain(address) => address,
            Self::Described(described) => &described.address,
        }
    }
}

impl GuestChaincode {
    /// Reads a description, TOML or, where the file's name ends with `.json`, JSON. Files that it names are beside it.
    ///
    /// # Errors
    /// [`Error::Description`] with the place in the file.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Description { path: path.to_owned(), reason };
        let mut text = String::new();
        let file = File::open(path).map_err(Error::io(path))?;
        file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(Error::io(path))?;
        if text.len() as u64 > MAX_FILE {
            return Err(wrong(format!("more than {MAX_FILE} bytes")));
        }
        let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
        let mut found: Self = match is_json {
            true => serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?,
            false => toml::from_str(&text).map_err(|e| wrong(e.to_string()))?,
        };
        let path = std::path::absolute(path).map_err(Error::io(path))?;
        let folder = path.parent().unwrap_or(Path::new("/"));
        for service in found.services.values_mut() {
            if let Service::Described(described) = service {
                let files = [&mut described.tls_ca, &mut described.client_cert, &mut described.client_key];
                files.into_iter().flatten().for_each(|file| *file = folder.join(&*file));
            }
        }
        found.definition().map_err(|reason| wrong(reason.to_string()))?;
        Ok(found)
    }

    /// The id under which an organisation's service registers.
    pub fn id(&self, service: &Service) -> String {
        let own = match service {
            Service::Plain(_) => None,
            Service::Described(described) => described.id.clone(),
        };
        own.or_else(|| self.id.clone()).unwrap_or_else(|| format!("{}:{}", self.name, self.version))
    }

    /// Checks it against the network on which it is to run.
    ///
    /// # Errors
    /// [`Error::Conflict`]: names that are taken or not allowed, organisations that are not there.
    pub fn check(&self, network: &Network) -> Result<(), Error> {
        let wrong = |what: String| Err(Error::Conflict(format!("chaincode {}: {what}", self.name)));
        let own = crate::ChaincodeDefinition {
            sequence: self.sequence,
            ..crate::ChaincodeDefinition::new(&self.name, &self.version)
        };
        crate::prepare::check_definition(&own)?;
        if self.name == network.chaincode.name {
            return wrong("the ledger has one of this name already: give it another".into());
        }
        if self.services.is_empty() {
            return wrong("no organisation has a service of it".into());
        }
        for (org, service) in &self.services {
            if !network.orgs.iter().any(|known| known.msp_id == *org) {
                let known: Vec<_> = network.orgs.iter().map(|org| org.msp_id.as_str()).collect();
                return wrong(format!("{org} is not on the ledger, which has {}", known.join(", ")));
            }
            let address = service.address();
            let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty());
            if port.is_none_or(|(_, port)| !port.parse::<u16>().is_ok_and(|port| port > 0)) {
                return wrong(format!("the service of {org}: {address:?} is not HOST:PORT"));
            }
        }
        Ok(())
    }

    /// What the organisations agree on.
    ///
    /// # Errors
    /// [`Error::Conflict`]: a policy cannot be read.
    pub fn definition(&self) -> Result<ChaincodeDefinition, Error> {
        let wrong = |what: String| Error::Conflict(format!("chaincode {}: {what}", self.name));
        let policy = match &self.policy {
            None => EndorsementPolicy::ImplicitMeta(Rule::Majority),
            Some(text) => policy(text).map_err(|e| wrong(format!("policy: {e}")))?,
        };
        let collection = |one: &GuestCollection| {
            let wrong = |e: msp::Error| wrong(format!("collection {}: {e}", one.name));
            let mut found = crate::ledger::collection(&Collection {
                name: one.name.clone(),
                policy: one.policy.clone(),
                required_peer_count: one.required_peer_count,
                max_peer_count: one.max_peer_count,
                block_to_live: one.block_to_live,
                member_only_read: one.member_only_read,
                member_only_write: one.member_only_write,
            })?;
            if let Some(own) = &one.endorsement_policy {
                let policy = own.signature_policy.parse::<Policy>().map_err(wrong)?;
                found.policy = Some(EndorsementPolicy::Signature(policy));
            }
            Ok(found)
        };
        Ok(ChaincodeDefinition {
            sequence: i64::try_from(self.sequence).unwrap_or(i64::MAX),
            policy,
            collections: self.collections.iter().map(collection).collect::<Result<_, Error>>()?,
            ..ChaincodeDefinition::new(&self.name, &self.version)
        })
    }

    /// How an organisation's peer reaches its service.
    pub fn service(&self, msp_id: &str) -> Option<ChaincodeConfig> {
        let service = self.services.get(msp_id)?;
        let (tls_root, client) = match service {
            Service::Plain(_) => (None, None),
            Service::Described(described) => {
                let client = described.client_cert.clone().zip(described.client_key.clone());
                (described.tls_ca.clone(), client.map(|(cert, key)| ClientTls { cert, key }))
            }
        };
        Some(ChaincodeConfig {
            address: service.address().into(),
            tls_root,
            client,
            package_id: self.id(service),
            package: None,
        })
    }
}

fn policy(text: &str) -> Result<EndorsementPolicy, msp::Error> {
    let rule = match text.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["MAJORITY", "Endorsement"] => Rule::Majority,
        ["ANY", "Endorsement"] => Rule::Any,
        ["ALL", "Endorsement"] => Rule::All,
        _ => return Ok(EndorsementPolicy::Signature(text.parse()?)),
    };
    Ok(EndorsementPolicy::ImplicitMeta(rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(name: &str, text: &str) -> Result<GuestChaincode, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        GuestChaincode::load(&path).map_err(|e| e.to_string())
    }

    const SHORT: &str = "name = 'basic'\nversion = '1.0'\n[services]\nOrg1MSP = '127.0.0.1:9999'\n";

    #[test]
    fn both_forms_are_read() {
        let short = load("basic.toml", SHORT).unwrap();
        let service = short.service("Org1MSP").unwrap();
        assert_eq!((service.address.as_str(), service.package_id.as_str()), ("127.0.0.1:9999", "basic:1.0"));
        assert!(short.service("Org2MSP").is_none() && service.tls_root.is_none());
        let json = r#"{"name":"basic","version":"1.0","services":{"Org1MSP":"127.0.0.1:9999"}}"#;
        assert_eq!(load("basic.json", json).unwrap(), short);

        let long = format!(
            "policy = \"OR('Org1MSP.peer','Org2MSP.peer')\"\nid = 'basic_1.0:ab'\nsequence = 3\n{SHORT}\
             Org2MSP = {{ address = 'two:1', tls_ca = 'ca.pem', id = 'own' }}\n\
             [[collections]]\nname = 'pair'\npolicy = \"OR('Org1MSP.member')\"\nblockToLive = 5\n\
             endorsementPolicy = {{ signaturePolicy = \"OR('Org1MSP.peer')\" }}\n"
        );
        let long = load("basic.toml", &long).unwrap();
        let definition = long.definition().unwrap();
        assert_eq!((definition.sequence, definition.collections[0].block_to_live), (3, 5));
        assert!(definition.collections[0].policy.is_some());
        let (one, two) = (long.service("Org1MSP").unwrap(), long.service("Org2MSP").unwrap());
        assert_eq!((one.package_id.as_str(), two.package_id.as_str()), ("basic_1.0:ab", "own"));
        assert!(two.tls_root.unwrap().is_absolute());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, what) in [
            ("", "name"),
            ("name = 'a'\nversion = '1'\ncolour = 1\n[services]\n", "colour"),
            ("name = 'a'\nversion = '1'\npolicy = 'Org1MSP'\n[services]\nOrg1MSP = 'h:1'\n", "policy"),
            ("name = 'a'\nversion = '1'\n[services]\nOrg1MSP = 7\n", "Service"),
        ] {
            let error = load("x.toml", text).unwrap_err();
            assert!(error.contains(what) && error.contains("x.toml"), "{error}");
        }
    }
}
