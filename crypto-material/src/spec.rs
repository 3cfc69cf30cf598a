//! What is to be made: organisations, their nodes and their users.

use crate::Error;
use msp::KeyKind;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The organisations of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSpec {
    /// Peer and orderer organisations, in any order.
    pub orgs: Vec<OrgSpec>,
}

impl NetworkSpec {
    /// `n` peer organisations `Org1` … with `peer0` and `User1` each, and the orderer organisation
    /// `Orderer` (MSP `OrdererMSP`, domain `example.com`) with the one orderer `orderer`.
    pub fn standard(n: usize) -> Self {
        let peers = (1..=n).map(|i| OrgSpec::peer(&format!("Org{i}"), &format!("org{i}.example.com")));
        let orderer = OrgSpec::orderer("Orderer", "example.com");
        Self { orgs: peers.chain([orderer]).collect() }
    }

    /// Checks every name; two organisations may not share a name, an MSP ID or a domain.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let mut seen = BTreeSet::new();
        for org in &self.orgs {
            org.check()?;
            for unique in [("name", &org.name), ("MSP ID", &org.msp_id), ("domain", &org.domain)] {
                if !seen.insert(unique) {
                    return Err(Error::Spec(format!(
                        "two organisations have the {} {:?}",
                        unique.0, unique.1
                    )));
                }
            }
        }
        Ok(())
    }
}

/// Whether an organisation runs peers or orderers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrgKind {
    /// Its nodes are peers, under `peerOrganizations`.
    Peer,
    /// Its nodes are orderers, under `ordererOrganizations`.
    Orderer,
}

/// One organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrgSpec {
    /// Short name, such as `Org1`.
    pub name: String,
    /// MSP ID on the channel, such as `Org1MSP`.
    pub msp_id: String,
    /// Domain, such as `org1.example.com`; also the name of its folder.
    pub domain: String,
    /// Peers or orderers.
    pub kind: OrgKind,
    /// Its peers or orderers.
    pub nodes: Vec<NodeSpec>,
    /// Its users; `Admin` is always made and not listed here.
    pub users: Vec<UserSpec>,
    /// With which kind of key nodes that are made sign; P-256 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_keys: Option<KeyKind>,
    /// With which kind of key users that are made sign, `Admin` too; P-256 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_keys: Option<KeyKind>,
}

impl OrgSpec {
    /// A peer organisation with `peer0` and `User1`; its MSP ID is the name followed by `MSP`.
    pub fn peer(name: &str, domain: &str) -> Self {
        Self {
            name: name.into(),
            msp_id: format!("{name}MSP"),
            domain: domain.into(),
            kind: OrgKind::Peer,
            nodes: vec![NodeSpec::new("peer0")],
            users: vec![UserSpec::new("User1")],
            node_keys: None,
            user_keys: None,
        }
    }

    /// An orderer organisation with the one orderer `orderer` and no users but `Admin`.
    pub fn orderer(name: &str, domain: &str) -> Self {
        let nodes = vec![NodeSpec::new("orderer")];
        Self { kind: OrgKind::Orderer, nodes, users: Vec::new(), ..Self::peer(name, domain) }
    }

    fn check(&self) -> Result<(), Error> {
        check_name("organisation name", &self.name)?;
        check_name("MSP ID", &self.msp_id)?;
        check_name("domain", &self.domain)?;
        let mut seen = BTreeSet::new();
        for node in &self.nodes {
            check_name("host name", &node.hostname)?;
            // The peers' folders take the whole host name, which is also a certificate's name.
            if !seen.insert(&node.hostname) {
                return Err(Error::Spec(format!("{} has two nodes {:?}", self.name, node.hostname)));
            }
            for san in &node.sans {
                check_name("alternative name", san)?;
            }
        }
        let mut seen = BTreeSet::from(["Admin"]);
        for user in &self.users {
            check_name("user name", &user.name)?;
            if !seen.insert(&user.name) {
                return Err(Error::Spec(format!("{} has two users {:?}", self.name, user.name)));
            }
        }
        Ok(())
    }
}

/// A peer or an orderer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSpec {
    /// Host name without the domain, such as `peer0`.
    pub hostname: String,
    /// Host names and IP addresses for the TLS certificate, beside `peer0.org1.example.com`, `peer0`,
    /// `localhost`, `127.0.0.1` and `::1`.
    pub sans: Vec<String>,
}

impl NodeSpec {
    /// A node without extra names.
    pub fn new(hostname: &str) -> Self {
        Self { hostname: hostname.into(), sans: Vec::new() }
    }
}

/// A client of an organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserSpec {
    /// Name without the domain, such as `User1`.
    pub name: String,
    /// Certificate attributes in Fabric CA's extension (OID 1.2.3.4.5.6.7.8.1); none, no extension.
    pub attributes: BTreeMap<String, String>,
}

impl UserSpec {
    /// A user without attributes.
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), attributes: BTreeMap::new() }
    }
}

/// Names become file names, subjects and SANs: letters, digits, `.`, `-`, `_` and, for IPv6, `:`.
fn check_name(what: &str, name: &str) -> Result<(), Error> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == ':');
    if starts_well && name.len() <= 64 && name.chars().all(allowed) {
        return Ok(());
    }
    Err(Error::Spec(format!("{name:?} is no {what} (letters, digits, `.`, `-`, `_`; at most 64)")))
}
