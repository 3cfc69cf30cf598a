//! What the parts of the ledger share: the channel, its organisations and their peers.

use crate::chaincode::Link;
use crate::config::{Config, OrgConfig};
use crate::store::Store;
use crate::{Error, genesis};
use fabric_protos::msp::SerializedIdentity;
use msp::{Identity, ImplicitMeta, Msp, Msps, Role, Rule};
use p256::ecdsa::{Signature, SigningKey, signature::Signer as _};
use p256::pkcs8::DecodePrivateKey;
use prost::Message;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// How many identities are remembered as valid.
const KNOWN_IDENTITIES: usize = 10_000;
/// How far a client's clock may be off, as `peer.authentication.timewindow`.
pub const TIME_WINDOW: Duration = Duration::from_secs(15 * 60);

/// The channel.
pub struct Channel {
    pub name: String,
    pub chaincode: String,
    pub version: String,
    pub msps: Msps,
    /// Who must endorse: a majority of the organisations' peers.
    pub policy: ImplicitMeta,
    pub store: Store,
    pub peers: Vec<Arc<Peer>>,
    pub endorsement_timeout: Duration,
    /// Becomes true when the ledger is to end.
    pub stop: watch::Sender<bool>,
    /// Serialised identities whose chain and role have been checked.
    known: Mutex<HashMap<Vec<u8>, Arc<Identity>>>,
}

impl Channel {
    /// Reads keys and MSPs, opens the store, and writes the first block where there is none.
    pub fn open(config: &Config) -> Result<Self, Error> {
        if config.orgs.is_empty() {
            return Err(Error::Config("a ledger needs an organisation".into()));
        }
        let mut msps = Vec::new();
        let mut configs = Vec::new();
        for org in &config.orgs {
            if configs.iter().any(|known: &fabric_protos::msp::FabricMspConfig| known.name == org.msp_id) {
                return Err(Error::Config(format!("organisation {} is named twice", org.msp_id)));
            }
            let read = msp::read_folder(&org.msp_id, &org.msp_dir)?;
            msps.push(Msp::new(&read)?);
            configs.push(read);
        }
        let msps = Msps::new(msps);
        std::fs::create_dir_all(&config.dir).map_err(|e| Error::file(&config.dir, e))?;
        let store = Store::open(&config.dir.join("ledger.redb"))?;
        genesis::ensure(&store, config, &configs)?;

        let height = store.height()?;
        let peers = config.orgs.iter().map(|org| Ok(Arc::new(Peer::new(org, config, &msps, height)?)));
        let ids = config.orgs.iter().map(|org| org.msp_id.as_str());
        Ok(Self {
            name: config.channel.clone(),
            chaincode: config.chaincode.clone(),
            version: config.version.clone(),
            policy: ImplicitMeta::new(Rule::Majority, Role::Peer, ids),
            peers: peers.collect::<Result<_, Error>>()?,
            msps,
            store,
            endorsement_timeout: config.endorsement_timeout,
            stop: watch::Sender::new(false),
            known: Mutex::default(),
        })
    }

    /// Waits until the ledger is to end.
    pub async fn stopped(&self) {
        // We hold the sender, so this cannot fail.
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }

    /// The identity of these bytes, when it is one of the channel's organisations.
    pub fn identity(&self, bytes: &[u8]) -> Result<Arc<Identity>, msp::Error> {
        // Whoever panicked held it for one look-up or insertion only.
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(identity) = known().get(bytes) {
            return Ok(identity.clone());
        }
        let identity = Arc::new(Identity::decode(bytes)?);
        self.msps.validate(&identity)?;
        let mut known = known();
        if known.len() >= KNOWN_IDENTITIES {
            known.clear();
        }
        known.insert(bytes.to_vec(), identity.clone());
        Ok(identity)
    }

    /// Checks that `creator` is of the channel and not expired, and signed `message`.
    pub fn authenticate(
        &self,
        creator: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<Arc<Identity>, msp::Error> {
        let identity = self.identity(creator)?;
        self.msps.validate_at(&identity, now().0)?;
        identity.certificate().verify(message, signature)?;
        Ok(identity)
    }
}

/// One organisation's peer.
pub struct Peer {
    pub msp_id: String,
    /// Where it listens, for messages.
    pub address: String,
    pub link: Link,
    /// How many blocks it has committed.
    height: watch::Sender<u64>,
    /// How much later than the others it commits.
    delay: Mutex<Duration>,
    signing_key: SigningKey,
    identity: Vec<u8>,
}

impl Peer {
    fn new(org: &OrgConfig, config: &Config, msps: &Msps, height: u64) -> Result<Self, Error> {
        let pem = read(&org.signing_cert)?;
        let identity = Identity::from_pem(&org.msp_id, &pem)?;
        if msps.get(&org.msp_id)?.role(&identity)? != Role::Peer {
            return Err(Error::Config(format!("{}: not a peer's certificate", org.signing_cert.display())));
        }
        let key = String::from_utf8(read(&org.signing_key)?).unwrap_or_default();
        let signing_key = SigningKey::from_pkcs8_pem(&key)
            .map_err(|_| Error::Config(format!("{}: no P-256 key in PKCS#8", org.signing_key.display())))?;
        if identity.certificate().public_key()? != signing_key.verifying_key() {
            return Err(Error::Config(format!(
                "{} does not belong to its certificate",
                org.signing_key.display()
            )));
        }
        let tls_root = org.chaincode.tls_root.as_deref().map(read).transpose()?;
        Ok(Self {
            msp_id: org.msp_id.clone(),
            address: org.listen.to_string(),
            link: Link::new(org.chaincode.clone(), tls_root, config.dial_timeout, config.execute_timeout),
            height: watch::Sender::new(height),
            delay: Mutex::default(),
            signing_key,
            identity: SerializedIdentity { mspid: org.msp_id.clone(), id_bytes: pem }.encode_to_vec(),
        })
    }

    /// The serialised identity with which it endorses.
    pub fn identity(&self) -> &[u8] {
        &self.identity
    }

    /// A signature with low s, DER.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature: Signature = self.signing_key.sign(message);
        signature.normalize_s().to_der().as_bytes().to_vec()
    }

    /// How many blocks it has committed.
    pub fn height(&self) -> u64 {
        *self.height.borrow()
    }

    /// Follows [`height`](Self::height).
    pub fn heights(&self) -> watch::Receiver<u64> {
        self.height.subscribe()
    }

    /// Has it see everything up to `height` blocks.
    pub fn advance(&self, height: u64) {
        self.height.send_replace(height);
    }

    pub fn delay(&self) -> Duration {
        *self.delay.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_delay(&self, delay: Duration) {
        *self.delay.lock().unwrap_or_else(PoisonError::into_inner) = delay;
    }
}

/// Seconds and nanoseconds since 1970.
pub fn now() -> (i64, u32) {
    // A clock before 1970 makes every certificate invalid, which is an answer too.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos())
}

/// Whether a client's time is within [`TIME_WINDOW`] of ours.
pub fn in_time_window(timestamp: Option<&prost_types::Timestamp>) -> bool {
    let seconds = timestamp.map_or(0, |timestamp| timestamp.seconds);
    seconds.abs_diff(now().0) <= TIME_WINDOW.as_secs()
}

pub fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|e| Error::file(path, e))
}
