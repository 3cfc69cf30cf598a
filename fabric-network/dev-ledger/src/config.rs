//! What a ledger is made of.

use msp::{Policy, Rule};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A development ledger.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the databases are; made when it is not there. The first channel's is `ledger.redb`, that of any
    /// other is named after it.
    pub dir: PathBuf,
    /// The channels, at least one.
    pub channels: Vec<ChannelConfig>,
    /// The organisations, a peer each.
    pub orgs: Vec<OrgConfig>,
    /// A block holds so many transactions at most.
    pub max_message_count: usize,
    /// How long a block waits for further transactions after its first one. Without a wait it takes those that
    /// came while the block before was written.
    pub batch_timeout: Duration,
    /// How long the gateway waits for the endorsement of another organisation's peer.
    pub endorsement_timeout: Duration,
    /// How long a chaincode may take for one transaction.
    pub execute_timeout: Duration,
    /// How long to wait for a chaincode service that is dialled.
    pub dial_timeout: Duration,
}

impl Config {
    /// One channel `confab` with one chaincode `confab`, blocks of at most 500 transactions that do not
    /// wait for more, 3 s for an endorsement or a dial, 30 s for a transaction.
    pub fn new(dir: impl Into<PathBuf>, orgs: Vec<OrgConfig>) -> Self {
        Self {
            dir: dir.into(),
            channels: vec![ChannelConfig::new("confab", vec![ChaincodeDefinition::new("confab", "1.0")])],
            orgs,
            max_message_count: 500,
            batch_timeout: Duration::ZERO,
            endorsement_timeout: Duration::from_secs(3),
            execute_timeout: Duration::from_secs(30),
            dial_timeout: Duration::from_secs(3),
        }
    }
}

/// A channel: a ledger of its own.
#[derive(Clone, Debug)]
pub struct ChannelConfig {
    /// Its name.
    pub name: String,
    /// The MSP IDs of its organisations; all of the ledger's when empty.
    pub orgs: Vec<String>,
    /// Its chaincodes.
    pub chaincodes: Vec<ChaincodeDefinition>,
}

impl ChannelConfig {
    /// A channel of all organisations.
    pub fn new(name: impl Into<String>, chaincodes: Vec<ChaincodeDefinition>) -> Self {
        Self { name: name.into(), orgs: Vec::new(), chaincodes }
    }
}

/// What the organisations of a channel agreed on for a chaincode, from the start. A later definition that they commit by
/// Fabric's lifecycle takes its place.
#[derive(Clone, Debug)]
pub struct ChaincodeDefinition {
    /// Its name.
    pub name: String,
    /// Its version, which is in every endorsement.
    pub version: String,
    /// Counts the definitions of this name, from 1.
    pub sequence: i64,
    /// Who must endorse.
    pub policy: EndorsementPolicy,
    /// Its private data collections.
    pub collections: Vec<Collection>,
}

impl ChaincodeDefinition {
    /// A definition that asks for the endorsement of a majority and has no collections.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        let policy = EndorsementPolicy::ImplicitMeta(Rule::Majority);
        Self { name: name.into(), version: version.into(), sequence: 1, policy, collections: Vec::new() }
    }
}

/// Who must endorse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndorsementPolicy {
    /// A signature policy.
    Signature(Policy),
    /// So many of the organisations, such as `MAJORITY Endorsement`; for each of them a peer of its own signs.
    ImplicitMeta(Rule),
}

/// A private data collection.
#[derive(Clone, Debug)]
pub struct Collection {
    /// Its name.
    pub name: String,
    /// Whose peers keep the data: the organisations that it names.
    pub members: Policy,
    /// Whether only clients of members may read.
    pub member_only_read: bool,
    /// Whether only clients of members may write.
    pub member_only_write: bool,
    /// After how many further blocks the data is deleted; never when 0.
    pub block_to_live: u64,
    /// Who must endorse writes to it; as for the chaincode unless given.
    pub policy: Option<EndorsementPolicy>,
}

impl Collection {
    /// A collection that only its members read and write, and that keeps its data.
    pub fn new(name: impl Into<String>, members: Policy) -> Self {
        Self {
            name: name.into(),
            members,
            member_only_read: true,
            member_only_write: true,
            block_to_live: 0,
            policy: None,
        }
    }
}

/// An organisation and its peer.
#[derive(Clone, Debug)]
pub struct OrgConfig {
    /// MSP ID, such as `Org1MSP`.
    pub msp_id: String,
    /// Where its peer listens; port 0 takes any that is free.
    pub listen: SocketAddr,
    /// The peer's TLS certificate, PEM.
    pub tls_cert: PathBuf,
    /// Key of the TLS certificate, PKCS#8 PEM.
    pub tls_key: PathBuf,
    /// The certificate with which the peer endorses, PEM.
    pub signing_cert: PathBuf,
    /// Key of the signing certificate, PKCS#8 PEM.
    pub signing_key: PathBuf,
    /// The organisation's MSP folder.
    pub msp_dir: PathBuf,
    /// Its chaincode services, by the chaincode's name; it endorses only what it has a service for.
    pub chaincodes: BTreeMap<String, ChaincodeConfig>,
}

/// The certificate with which a peer shows itself to a chaincode service.
#[derive(Clone, Debug)]
pub struct ClientTls {
    /// The certificate, PEM.
    pub cert: PathBuf,
    /// Its key, PKCS#8 PEM.
    pub key: PathBuf,
}

/// A chaincode service of an organisation.
#[derive(Clone, Debug)]
pub struct ChaincodeConfig {
    /// Host and port; the host must be in the service's certificate.
    pub address: String,
    /// The authority of the service's certificate, PEM; without it the connection is not encrypted.
    pub tls_root: Option<PathBuf>,
    /// What the peer shows a service that asks for a certificate.
    pub client: Option<ClientTls>,
    /// The package id under which the service registers, `label:hash`.
    pub package_id: String,
    /// The package of this id, where there is one; it counts as installed.
    pub package: Option<PathBuf>,
}
