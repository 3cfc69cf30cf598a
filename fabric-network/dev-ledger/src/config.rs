//! What a ledger is made of.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A development ledger.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the database is; made when it is not there.
    pub dir: PathBuf,
    /// The one channel.
    pub channel: String,
    /// The one chaincode.
    pub chaincode: String,
    /// Its version, which is in every endorsement.
    pub version: String,
    /// The organisations, a peer each.
    pub orgs: Vec<OrgConfig>,
    /// A block closes when it holds so many transactions; the number of organisations unless given.
    pub max_message_count: Option<usize>,
    /// A block closes this long after its first transaction at the latest.
    pub batch_timeout: Duration,
    /// How long the gateway waits for one endorsement.
    pub endorsement_timeout: Duration,
    /// How long a chaincode may take for one transaction.
    pub execute_timeout: Duration,
    /// How long to wait for a chaincode service that is dialled.
    pub dial_timeout: Duration,
}

impl Config {
    /// Channel and chaincode `confab`, version 1.0, a block at the latest after 10 ms, 3 s for an
    /// endorsement or a dial, 30 s for a transaction.
    pub fn new(dir: impl Into<PathBuf>, orgs: Vec<OrgConfig>) -> Self {
        Self {
            dir: dir.into(),
            channel: "confab".into(),
            chaincode: "confab".into(),
            version: "1.0".into(),
            orgs,
            max_message_count: None,
            batch_timeout: Duration::from_millis(10),
            endorsement_timeout: Duration::from_secs(3),
            execute_timeout: Duration::from_secs(30),
            dial_timeout: Duration::from_secs(3),
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
    /// Its chaincode service.
    pub chaincode: ChaincodeConfig,
}

/// The chaincode service of an organisation.
#[derive(Clone, Debug)]
pub struct ChaincodeConfig {
    /// Host and port; the host must be in the service's certificate.
    pub address: String,
    /// The authority of the service's certificate, PEM; without it the connection is not encrypted.
    pub tls_root: Option<PathBuf>,
    /// The package id under which the service registers, `label:hash`.
    pub package_id: String,
}
