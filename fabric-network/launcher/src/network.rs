//! The description of a network, kept in `network.json`.

use crate::{Error, GuestChaincode};
use files::Access;
use serde::{Deserialize, Deserializer, Serialize};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// The version of the format of `network.json`.
const FORMAT: u32 = 1;

/// What runs where. Paths are relative to the network's folder; [`Network::path`] resolves them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// The version of this format, 1.
    pub version: u32,
    /// Real Fabric or the development ledger.
    pub kind: Kind,
    /// Name of the one channel.
    pub channel: String,
    /// The one chaincode of the channel.
    pub chaincode: ChaincodeDefinition,
    /// Chaincodes of others on a development ledger.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guests: Vec<GuestChaincode>,
    /// Function and arguments of the transaction that shows that the network works.
    pub probe: Vec<String>,
    /// For how many seconds a peer waits for another one's endorsement.
    #[serde(default = "endorsement_seconds")]
    pub endorsement_timeout: u64,
    /// Whether the channel and the chaincode have been set up; until then `up` repeats every step.
    pub ready: bool,
    /// The peer organisations, `Org1` first.
    pub orgs: Vec<Organization>,
    /// The ordering service of real Fabric, one Raft cluster; none on the development ledger.
    #[serde(alias = "orderer", deserialize_with = "none_one_or_many")]
    pub orderers: Vec<Orderer>,
    /// What other organisations run of the channel, on machines of their own.
    #[serde(default, skip_serializing_if = "Remote::is_empty")]
    pub remote: Remote,
    /// The processes, in the order in which they are started.
    pub processes: Vec<ProcessSpec>,
    /// The network's folder, absolute; where the file is, not in it.
    #[serde(skip)]
    pub dir: PathBuf,
}

/// What keeps the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Hyperledger Fabric's own peers and orderer.
    Fabric,
    /// One process that stands for all peers and the orderer.
    Dev,
}

/// A chaincode as the organisations agree on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChaincodeDefinition {
    /// Name on the channel.
    pub name: String,
    /// Version.
    pub version: String,
    /// Counts the definitions of this name, from 1.
    pub sequence: u64,
    /// Its private data collections.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub collections: Vec<Collection>,
}

impl ChaincodeDefinition {
    /// The first definition of a chaincode, without collections.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self { name: name.into(), version: version.into(), sequence: 1, collections: Vec::new() }
    }

    /// The label of the package, `NAME_VERSION`.
    pub fn label(&self) -> String {
        format!("{}_{}", self.name, self.version)
    }
}

/// A private data collection, in the terms of Fabric's own files of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Collection {
    /// Its name.
    pub name: String,
    /// Whose peers keep the data: a signature policy such as `OR('Org1MSP.member', 'Org2MSP.member')`.
    pub policy: String,
    /// How many other peers must have taken the data before an endorsement is given.
    pub required_peer_count: u32,
    /// To how many other peers an endorsing peer gives the data.
    pub max_peer_count: u32,
    /// After how many further blocks the data is deleted; never when 0.
    pub block_to_live: u64,
    /// Whether only clients of members may read.
    pub member_only_read: bool,
    /// Whether only clients of members may write.
    pub member_only_write: bool,
}

impl Collection {
    /// A collection of organisations, by MSP ID: only they read and write, the data stays, and an endorsing peer
    /// gives it to every other one.
    pub fn new(name: impl Into<String>, msp_ids: &[&str]) -> Self {
        let members: Vec<_> = msp_ids.iter().map(|id| format!("'{id}.member'")).collect();
        Self {
            name: name.into(),
            policy: format!("OR({})", members.join(", ")),
            required_peer_count: 0,
            max_peer_count: msp_ids.len().saturating_sub(1) as u32,
            block_to_live: 0,
            member_only_read: true,
            member_only_write: true,
        }
    }
}

/// One organisation with its peer, its chaincode service and its identities.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Organization {
    /// Short name, `Org1`.
    pub name: String,
    /// MSP ID, `Org1MSP`.
    pub msp_id: String,
    /// Domain, `org1.example.com`.
    pub domain: String,
    /// Folder of the public MSP: roots, TLS roots and NodeOUs.
    pub msp: PathBuf,
    /// Its peer; on the development ledger the address that stands for it.
    pub peer: Peer,
    /// Its chaincode service.
    pub chaincode: Chaincode,
    /// Its administrator.
    pub admin: Identity,
    /// Its first user.
    pub user: Identity,
    /// Its connection profile.
    pub profile: PathBuf,
}

impl Organization {
    /// The organisation's name in the names of processes and files: `org1`.
    pub fn id(&self) -> String {
        self.name.to_lowercase()
    }
}

/// A peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Host name in its certificates, `peer0.org1.example.com`.
    pub host: String,
    /// Where its gRPC services listen, `127.0.0.1:port`, with TLS.
    pub address: String,
    /// Where `/healthz` answers over HTTP (real Fabric).
    pub operations: Option<String>,
    /// Its certificate and key for TLS.
    pub tls: Tls,
    /// Its certificate and key for endorsements, within its MSP folder.
    pub identity: Identity,
}

/// An orderer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Orderer {
    /// Name of its process and of its folder of configuration.
    #[serde(default = "first_orderer")]
    pub name: String,
    /// MSP ID, `OrdererMSP`.
    pub msp_id: String,
    /// Host name in its certificates, `orderer.example.com`.
    pub host: String,
    /// Where its gRPC services listen, with TLS.
    pub address: String,
    /// Where `/healthz` answers over HTTP.
    pub operations: String,
    /// Where its channels are administered, with mutual TLS.
    pub admin_address: String,
    /// Folder of the organisation's public MSP.
    pub msp: PathBuf,
    /// Its certificate and key for TLS.
    pub tls: Tls,
    /// Its certificate and key for blocks.
    pub identity: Identity,
    /// TLS certificate and key of its administrator.
    pub admin_tls: Tls,
}

/// What other organisations run of a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remote {
    /// Their peers.
    pub peers: Vec<PeerEndpoint>,
    /// Their orderers.
    pub orderers: Vec<OrdererEndpoint>,
}

impl Remote {
    fn is_empty(&self) -> bool {
        self.peers.is_empty() && self.orderers.is_empty()
    }
}

/// How to reach an organisation's peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerEndpoint {
    /// The organisation's short name, `Org1`.
    pub org: String,
    /// Its MSP ID.
    pub msp_id: String,
    /// Host name in the peer's certificate.
    pub host: String,
    /// Where its gRPC services listen, with TLS.
    pub address: String,
    /// Certificate of the TLS authority.
    pub tls_ca: PathBuf,
}

/// How to reach an orderer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrdererEndpoint {
    /// Where its gRPC services listen, with TLS.
    pub address: String,
    /// Certificate of the TLS authority.
    pub tls_ca: PathBuf,
}

/// A chaincode service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chaincode {
    /// Where it listens, with TLS.
    pub address: String,
    /// `LABEL:SHA-256 of the package`; what it registers with.
    pub package_id: String,
    /// Its certificate and key for TLS.
    pub tls: Tls,
    /// What its peer shows it: the one certificate of the one authority whose certificates it lets in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Tls>,
}

/// A TLS certificate with its key and the authority that issued it, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Certificate.
    pub cert: PathBuf,
    /// Private key.
    pub key: PathBuf,
    /// Certificate of the authority.
    pub ca: PathBuf,
}

/// A signing identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Its MSP folder.
    pub msp: PathBuf,
    /// Certificate, PEM.
    pub cert: PathBuf,
    /// Private key, PKCS#8 PEM.
    pub key: PathBuf,
}

/// How a process is started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessSpec {
    /// Name of its log and of its pid file.
    pub name: String,
    /// The program, absolute.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// What is added to its environment.
    pub env: BTreeMap<String, String>,
    /// The addresses on which it listens.
    pub listens: Vec<String>,
}

/// By default a frozen peer would hold an endorsement for 30 s.
fn endorsement_seconds() -> u64 {
    3
}

fn first_orderer() -> String {
    "orderer".into()
}

/// Descriptions that were written before there could be several orderers have one or `null`.
fn none_one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Orderer>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Orderers {
        Many(Vec<Orderer>),
        One(Box<Orderer>),
        None(()),
    }
    Ok(match Orderers::deserialize(deserializer)? {
        Orderers::Many(orderers) => orderers,
        Orderers::One(orderer) => vec![*orderer],
        Orderers::None(()) => Vec::new(),
    })
}

impl Network {
    /// MSP identifiers of the first `count` organisations, or of all where there are fewer, with their connection
    /// profiles.
    pub fn organisations(&self, count: usize) -> Vec<(String, PathBuf)> {
        let first = self.orgs.iter().take(count);
        first.map(|org| (org.msp_id.clone(), self.path(&org.profile))).collect()
    }

    /// Reads `dir/network.json`.
    ///
    /// # Errors
    /// [`Error::Absent`] when there is none, [`Error::Description`] when it cannot be used.
    pub fn load(dir: &Path) -> Result<Self, Error> {
        let path = dir.join("network.json");
        let text = fs::read(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::Absent(dir.to_owned()),
            _ => Error::Io { path: path.clone(), source },
        })?;
        let network: Self = serde_json::from_slice(&text)
            .map_err(|e| Error::Description { path: path.clone(), reason: e.to_string() })?;
        if network.version != FORMAT {
            let reason =
                format!("format {} is not {FORMAT}, the one that this version reads", network.version);
            return Err(Error::Description { path, reason });
        }
        let dir = dir.canonicalize().map_err(Error::io(dir))?;
        Ok(Self { dir, ..network })
    }

    /// Writes `network.json`, all of it or nothing.
    pub(crate) fn save(&self) -> Result<(), Error> {
        let mut text = serde_json::to_vec_pretty(self).expect("strings and numbers have a JSON form");
        text.push(b'\n');
        write(&self.dir.join("network.json"), &text)
    }

    /// A network without organisations and processes yet.
    pub(crate) fn new(dir: &Path, kind: Kind, chaincode: ChaincodeDefinition) -> Self {
        Self {
            version: FORMAT,
            kind,
            channel: "confab".into(),
            chaincode,
            guests: Vec::new(),
            probe: Vec::new(),
            endorsement_timeout: endorsement_seconds(),
            ready: false,
            orgs: Vec::new(),
            orderers: Vec::new(),
            remote: Remote::default(),
            processes: Vec::new(),
            dir: dir.to_owned(),
        }
    }

    /// For how many seconds a chaincode may work on one transaction: no less than somebody waits for it.
    pub(crate) fn execute_timeout(&self) -> u64 {
        self.endorsement_timeout.max(30)
    }

    /// The absolute form of one of this description's paths.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.dir.join(relative)
    }

    /// The peers of the channel, own ones first.
    pub fn peers(&self) -> Vec<PeerEndpoint> {
        let own = self.orgs.iter().map(|org| PeerEndpoint {
            org: org.name.clone(),
            msp_id: org.msp_id.clone(),
            host: org.peer.host.clone(),
            address: org.peer.address.clone(),
            tls_ca: org.peer.tls.ca.clone(),
        });
        own.chain(self.remote.peers.iter().cloned()).collect()
    }

    /// The file with the channel's first block (real Fabric).
    pub(crate) fn first_block(&self) -> PathBuf {
        self.path("config").join(format!("{}.block", self.channel))
    }

    /// An orderer of the channel, an own one if there is any.
    pub(crate) fn ordering(&self) -> Result<OrdererEndpoint, Error> {
        let endpoint = |orderer: &Orderer| OrdererEndpoint {
            address: orderer.address.clone(),
            tls_ca: orderer.tls.ca.clone(),
        };
        let own = self.orderers.first().map(endpoint);
        own.or_else(|| self.remote.orderers.first().cloned()).ok_or_else(|| Error::Description {
            path: self.path("network.json"),
            reason: "a real network has an orderer".into(),
        })
    }

    /// The organisation of this name (in any case), MSP ID or domain.
    pub fn org(&self, name: &str) -> Option<&Organization> {
        self.orgs
            .iter()
            .find(|org| org.name.eq_ignore_ascii_case(name) || org.msp_id == name || org.domain == name)
    }

    /// How the process `name` is started.
    ///
    /// # Errors
    /// [`Error::UnknownProcess`].
    pub fn process(&self, name: &str) -> Result<&ProcessSpec, Error> {
        self.processes.iter().find(|process| process.name == name).ok_or_else(|| Error::UnknownProcess {
            name: name.into(),
            known: self.processes.iter().map(|process| process.name.clone()).collect(),
        })
    }
}

/// Writes a file under another name and renames it; leaves a file of the same content alone.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    write_as(path, content, Access::Everybody)
}

/// As [`write`], for the owner's eyes only.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<(), Error> {
    write_as(path, content, Access::Owner)
}

fn write_as(path: &Path, content: &[u8], access: Access) -> Result<(), Error> {
    if fs::read(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    files::write(path, content, access).map_err(Error::io(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(dir: &Path) -> Network {
        let definition = ChaincodeDefinition::new("confab", "1.0");
        let mut network = Network::new(dir, Kind::Dev, definition);
        network.processes.push(ProcessSpec {
            name: "ledger".into(),
            program: "/bin/true".into(),
            args: vec!["--dir".into()],
            env: BTreeMap::from([("A".into(), "b".into())]),
            listens: vec!["127.0.0.1:1".into()],
        });
        network
    }

    #[test]
    fn the_description_survives_writing_and_reading() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        let mut network = example(&dir);
        network.save().unwrap();
        assert_eq!(Network::load(&dir).unwrap(), network);
        network.chaincode.collections.push(Collection::new("pair", &["Org1MSP", "Org2MSP"]));
        network.save().unwrap();
        assert_eq!(Network::load(&dir).unwrap(), network);
        assert!(matches!(network.process("peer-org1"), Err(Error::UnknownProcess { .. })));
    }

    #[test]
    fn descriptions_with_one_orderer_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let text = serde_json::to_string(&example(dir.path())).unwrap();
        let read = |orderers: &str| {
            let text = text.replace("\"orderers\":[]", &format!("\"orderer\":{orderers}"));
            fs::write(dir.path().join("network.json"), text).unwrap();
            Network::load(dir.path()).unwrap().orderers
        };
        assert_eq!(read("null"), []);
        let pair = r#"{"msp":"m","cert":"c","key":"k"}"#;
        let tls = r#"{"cert":"c","key":"k","ca":"a"}"#;
        let one = format!(
            r#"{{"msp_id":"OrdererMSP","host":"o","address":"a:1","operations":"a:2","admin_address":"a:3",
                "msp":"m","tls":{tls},"identity":{pair},"admin_tls":{tls}}}"#
        );
        let orderers = read(&one);
        assert_eq!((orderers.len(), orderers[0].name.as_str()), (1, "orderer"));
    }

    #[test]
    fn other_formats_and_unknown_fields_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Network::load(dir.path()), Err(Error::Absent(_))));
        let network = Network { version: 2, ..example(dir.path()) };
        network.save().unwrap();
        let error = Network::load(dir.path()).unwrap_err().to_string();
        assert!(error.contains("format 2"), "{error}");

        let text = serde_json::to_string(&example(dir.path())).unwrap().replacen('{', "{\"colour\":1,", 1);
        fs::write(dir.path().join("network.json"), text).unwrap();
        assert!(matches!(Network::load(dir.path()), Err(Error::Description { .. })));
    }
}
