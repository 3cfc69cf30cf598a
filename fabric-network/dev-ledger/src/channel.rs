//! What the parts of the ledger share: the channels, their organisations and peers.

use crate::chaincode::{Link, Timeouts};
use crate::config::{ChannelConfig, Config, OrgConfig};
use crate::definition::{Definitions, Signer};
use crate::lifecycle::packages::Packages;
use crate::store::{Place, Store};
use crate::{Error, genesis, system};
use fabric_protos::msp::FabricMspConfig;
use msp::{Identity, KeyKind, Msp, Msps, Principal, Role, SigningKey};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{oneshot, watch};
use tonic::transport::{self, Certificate, ClientTlsConfig};
use zeroize::Zeroizing;

/// How many identities are remembered as valid.
const KNOWN_IDENTITIES: usize = 10_000;
/// How many endorsements are remembered between proposal and block.
const OWN_ENDORSEMENTS: usize = 10_000;
/// How far a client's clock may be off, as `peer.authentication.timewindow`.
pub const TIME_WINDOW: Duration = Duration::from_secs(15 * 60);

/// All channels of the ledger, as its peers share them.
pub struct Channels(Vec<Arc<Channel>>);

impl Channels {
    pub fn new(channels: Vec<Arc<Channel>>) -> Self {
        Self(channels)
    }

    /// The channel of this name with the organisation's peer on it.
    pub fn joined(&self, msp_id: &str, name: &str) -> Option<(&Arc<Channel>, &Arc<Peer>)> {
        let channel = self.0.iter().find(|channel| channel.name == name)?;
        Some((channel, channel.peer(msp_id)?))
    }

    /// The names of the channels on which a peer is.
    pub fn names<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = &'a str> {
        let on = self.0.iter().filter(|channel| channel.peer(&node.msp_id).is_some());
        on.map(|channel| channel.name.as_str())
    }
}

/// A channel.
pub struct Channel {
    pub name: String,
    /// Those of the newest block; peers that lag use them as well, and what they endorse is then found to be outdated.
    definitions: RwLock<Arc<Definitions>>,
    /// The sequence of each chaincode's configured definition.
    configured: BTreeMap<String, i64>,
    pub msps: Msps,
    pub store: Arc<Store>,
    /// In the order of the configuration.
    pub peers: Vec<Arc<Peer>>,
    pub endorsement_timeout: Duration,
    /// Becomes true when the ledger is to end.
    stop: watch::Receiver<bool>,
    /// Serialised identities whose chain and role have been checked.
    known: Mutex<HashMap<Vec<u8>, Arc<Known>>>,
    /// What was signed here, by digest, with the signature: it need not be verified when it comes back.
    endorsements: Mutex<HashSet<([u8; 32], Vec<u8>)>>,
}

/// An identity of the channel.
pub struct Known {
    pub identity: Identity,
    role: Role,
    /// The second since 1970 at which no certificate of its chain was known to be expired.
    confirmed: AtomicI64,
}

impl Known {
    pub fn signer(&self) -> Signer {
        Signer { msp_id: self.identity.msp_id().into(), role: self.role }
    }
}

impl Channel {
    /// Reads MSPs, opens the store in this file, and writes the first block where there is none.
    pub fn open(
        config: &Config,
        channel: &ChannelConfig,
        file: &Path,
        nodes: &[Arc<Node>],
        stop: watch::Receiver<bool>,
    ) -> Result<Self, Error> {
        let is_member = |node: &&Arc<Node>| channel.orgs.is_empty() || channel.orgs.contains(&node.msp_id);
        let members: Vec<_> = nodes.iter().filter(is_member).cloned().collect();
        if let Some(unknown) = channel.orgs.iter().find(|org| !nodes.iter().any(|node| node.msp_id == **org))
        {
            return Err(Error::Config(format!("channel {}: no organisation {unknown}", channel.name)));
        }
        let ids: Vec<_> = members.iter().map(|node| node.msp_id.clone()).collect();
        let msps = members.iter().map(|node| Msp::new(&node.msp)).collect::<Result<Vec<_>, _>>()?;
        let msps = Msps::new(msps);
        let store = Arc::new(Store::open(file)?);
        let described: Vec<_> = members
            .iter()
            .map(|node| genesis::Member { msp: node.msp.clone(), listen: node.listen })
            .collect();
        genesis::ensure(&store, config, channel, &described)?;
        genesis::define(&store, channel, &members)?;

        let height = store.height()?;
        let definitions = Definitions::load(&channel.name, &ids, &store.snapshot(height)?)?;
        let peers = members.into_iter().map(|node| Arc::new(Peer::new(node, height))).collect();
        Ok(Self {
            name: channel.name.clone(),
            definitions: RwLock::new(Arc::new(definitions)),
            configured: channel.chaincodes.iter().map(|one| (one.name.clone(), one.sequence)).collect(),
            msps,
            store,
            peers,
            endorsement_timeout: config.endorsement_timeout,
            stop,
            known: Mutex::default(),
            endorsements: Mutex::default(),
        })
    }

    /// The chaincodes' definitions.
    pub fn definitions(&self) -> Arc<Definitions> {
        self.definitions.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes over the definitions that are in the state now.
    pub fn reload(&self) -> Result<(), Error> {
        let orgs: Vec<_> = self.peers.iter().map(|peer| peer.msp_id().to_owned()).collect();
        let snapshot = self.store.snapshot(self.store.height()?)?;
        let loaded = Arc::new(Definitions::load(&self.name, &orgs, &snapshot)?);
        *self.definitions.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(())
    }

    /// The way to an organisation's service of a chaincode: that of the package which it approved and installed, or else
    /// the configured one for the configured definition.
    pub fn service(&self, node: &Node, chaincode: &str) -> Option<Arc<Link>> {
        let definitions = self.definitions();
        let definition = definitions.get(chaincode)?;
        let approved = definition.package(&node.msp_id);
        let configured = node.configured.get(chaincode).filter(|configured| {
            approved == Some(&configured.package_id)
                || approved != Some("") && self.configured.get(chaincode) == Some(&definition.sequence)
        });
        let installed = || Some(node.packages.get(approved?)?.link.clone());
        match configured {
            Some(configured) if approved == Some(&configured.package_id) => Some(configured.link.clone()),
            Some(configured) => installed().or_else(|| Some(configured.link.clone())),
            None => installed(),
        }
    }

    /// Why an organisation's peer has no way to a service of a chaincode that is defined, in Fabric's words.
    pub fn no_service(&self, node: &Node, chaincode: &str) -> String {
        let definitions = self.definitions();
        match definitions.get(chaincode) {
            Some(definition) if definition.package(&node.msp_id).is_none() => format!(
                "chaincode definition for '{chaincode}' at sequence {} on channel '{}' has not yet been approved by this org",
                definition.sequence, self.name
            ),
            _ => format!("chaincode definition for '{chaincode}' exists, but chaincode is not installed"),
        }
    }

    /// Whether a peer runs a chaincode.
    pub fn serves(&self, peer: &Peer, chaincode: &str) -> bool {
        system::is_system(chaincode) || self.service(&peer.node, chaincode).is_some()
    }

    /// The organisation's peer.
    pub fn peer(&self, msp_id: &str) -> Option<&Arc<Peer>> {
        self.peers.iter().find(|peer| peer.msp_id() == msp_id)
    }

    /// Waits until the ledger is to end.
    pub async fn stopped(&self) {
        // Without a sender it has ended.
        let _ = self.stop.clone().wait_for(|stop| *stop).await;
    }

    /// The identity of these bytes, when it is one of the channel's organisations.
    pub fn identity(&self, bytes: &[u8]) -> Result<Arc<Known>, msp::Error> {
        // Whoever panicked held it for one look-up or insertion only.
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(identity) = known().get(bytes) {
            return Ok(identity.clone());
        }
        let identity = Identity::decode(bytes)?;
        let role = self.msps.get(identity.msp_id())?.role(&identity)?;
        let found = Arc::new(Known { identity, role, confirmed: AtomicI64::new(0) });
        let mut known = known();
        if known.len() >= KNOWN_IDENTITIES {
            known.clear();
        }
        known.insert(bytes.to_vec(), found.clone());
        Ok(found)
    }

    /// Checks that `creator` is of the channel and not expired, and signed `message`.
    pub fn authenticate(
        &self,
        creator: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<Arc<Known>, msp::Error> {
        let known = self.identity(creator)?;
        let (second, _) = now();
        if known.confirmed.load(Ordering::Relaxed) != second {
            self.msps.validate_at(&known.identity, second)?;
            known.confirmed.store(second, Ordering::Relaxed);
        }
        known.identity.certificate().verify(message, signature)?;
        Ok(known)
    }

    /// A peer's signature of `message`.
    pub fn endorse(&self, peer: &Peer, message: &[u8]) -> Result<Vec<u8>, msp::Error> {
        let signature = peer.node.sign(message)?;
        let digest = Sha256::digest(message).into();
        let mut endorsements = self.endorsements();
        if endorsements.len() >= OWN_ENDORSEMENTS {
            // Those that still come are verified as foreign ones are.
            endorsements.clear();
        }
        endorsements.insert((digest, signature.clone()));
        Ok(signature)
    }

    /// Whether `endorser` signed `message`.
    pub fn is_endorsed(&self, endorser: &Known, message: &[u8], signature: &[u8]) -> bool {
        // An endorser's identity is the end of its message, so that this is nobody else's.
        let own = (Sha256::digest(message).into(), signature.to_vec());
        let is_own = self.endorsements().remove(&own);
        is_own || endorser.identity.certificate().verify(message, signature).is_ok()
    }

    fn endorsements(&self) -> MutexGuard<'_, HashSet<([u8; 32], Vec<u8>)>> {
        // Whoever panicked held it for an insertion or removal only.
        self.endorsements.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One organisation's peer as a process: what is the same on all channels.
pub struct Node {
    pub msp_id: String,
    /// Where it listens.
    pub listen: SocketAddr,
    /// The same, for messages.
    pub address: String,
    /// The organisation's MSP.
    pub msp: FabricMspConfig,
    /// The same, to judge by.
    local: Msp,
    /// The configured chaincode services, by the chaincode's name.
    pub configured: BTreeMap<String, Configured>,
    /// The packages that are installed.
    pub packages: Packages,
    signing_key: SigningKey,
    identity: Vec<u8>,
}

/// A configured chaincode service.
pub struct Configured {
    pub package_id: String,
    pub link: Arc<Link>,
}

impl Node {
    pub fn new(org: &OrgConfig, config: &Config) -> Result<Self, Error> {
        let folder = msp::read_folder(&org.msp_id, &org.msp_dir)?;
        let identity = Identity::new(&org.msp_id, msp::Certificate::load(&org.signing_cert)?);
        let local = Msp::new(&folder)?;
        if local.role(&identity)? != Role::Peer {
            return Err(Error::Config(format!("{}: not a peer's certificate", org.signing_cert.display())));
        }
        let key = Zeroizing::new(String::from_utf8(read(&org.signing_key)?).unwrap_or_default());
        let signing_key = SigningKey::from_pem(&key)
            .map_err(|e| Error::Config(format!("{}: {e}", org.signing_key.display())))?;
        if identity.certificate().public_key()? != signing_key.public_key() {
            return Err(Error::Config(format!(
                "{} does not belong to its certificate",
                org.signing_key.display()
            )));
        }
        let timeouts = Timeouts { dial: config.dial_timeout, execute: config.execute_timeout };
        // A name that is one of a folder, whatever the organisation's is.
        let name = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
        let folder_name = format!("packages/{}", org.msp_id.chars().map(name).collect::<String>());
        let mut packages = Packages::open(&config.dir.join(folder_name), timeouts)?;
        let mut configured = BTreeMap::new();
        for (name, service) in &org.chaincodes {
            let mut tls = None;
            if let Some(root) = &service.tls_root {
                let mut trusting =
                    ClientTlsConfig::new().ca_certificate(Certificate::from_pem(msp::load_bundle(root)?));
                if let Some(client) = &service.client {
                    let identity =
                        transport::Identity::from_pem(msp::load_bundle(&client.cert)?, read(&client.key)?);
                    trusting = trusting.identity(identity);
                }
                tls = Some(trusting);
            }
            if let Some(package) = &service.package {
                packages.add(package)?;
            }
            let package_id = service.package_id.clone();
            let link = Arc::new(Link::new(service.address.clone(), package_id.clone(), tls, timeouts));
            configured.insert(name.clone(), Configured { package_id, link });
        }
        Ok(Self {
            msp_id: org.msp_id.clone(),
            listen: org.listen,
            address: org.listen.to_string(),
            msp: folder,
            local,
            configured,
            packages,
            signing_key,
            identity: identity.encode(),
        })
    }

    /// Checks that `creator` is of the organisation and not expired, and signed `message`.
    pub fn authenticate(
        &self,
        creator: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<Identity, msp::Error> {
        let identity = self.member(creator)?;
        self.local.validate_at(&identity, now().0)?;
        identity.certificate().verify(message, signature)?;
        Ok(identity)
    }

    /// The identity of these bytes, when it is one of the organisation's.
    pub fn member(&self, bytes: &[u8]) -> Result<Identity, msp::Error> {
        let identity = Identity::decode(bytes)?;
        if identity.msp_id() != self.msp_id {
            return Err(msp::Error::UnknownMsp(identity.msp_id().into()));
        }
        self.local.role(&identity)?;
        Ok(identity)
    }

    /// Whether a member of the organisation is what a principal asks for.
    pub fn satisfies(&self, identity: &Identity, principal: &Principal) -> bool {
        self.local.satisfies(identity, principal)
    }

    /// A signature of `message` with the key with which it endorses.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, msp::Error> {
        match self.signing_key.public_key().kind() {
            KeyKind::Ed25519 => self.signing_key.sign(message),
            KeyKind::P256 | KeyKind::P384 => self.signing_key.sign_digest(&Sha256::digest(message).into()),
        }
    }

    /// The serialised identity with which it endorses.
    pub fn identity(&self) -> &[u8] {
        &self.identity
    }
}

/// One organisation's peer on a channel.
pub struct Peer {
    pub node: Arc<Node>,
    /// How many blocks it has committed.
    height: watch::Sender<u64>,
    /// How much later than the others it commits.
    delay: Mutex<Duration>,
    /// Who waits for transactions, by their ids.
    awaited: Mutex<HashMap<String, Vec<oneshot::Sender<Place>>>>,
}

impl Peer {
    fn new(node: Arc<Node>, height: u64) -> Self {
        Self { node, height: watch::Sender::new(height), delay: Mutex::default(), awaited: Mutex::default() }
    }

    pub fn msp_id(&self) -> &str {
        &self.node.msp_id
    }

    /// How many blocks it has committed.
    pub fn height(&self) -> u64 {
        *self.height.borrow()
    }

    /// Follows [`height`](Self::height).
    pub fn heights(&self) -> watch::Receiver<u64> {
        self.height.subscribe()
    }

    /// Has it see everything up to `height` blocks, the last of which holds these transactions.
    pub fn advance(&self, height: u64, places: &[(String, Place)]) {
        self.height.send_replace(height);
        let mut awaited = self.awaited();
        for (id, place) in places {
            for waiting in awaited.remove(id).into_iter().flatten() {
                // Whoever waited may have gone.
                let _ = waiting.send(*place);
            }
        }
    }

    /// Where a transaction is, once it is committed here.
    pub async fn place(&self, store: &Store, id: &str) -> Result<Place, Error> {
        let (sender, committed) = oneshot::channel();
        // Before the look-up, so that what is committed in between is not missed.
        self.awaited().entry(id.to_owned()).or_default().push(sender);
        let mut waiting = Awaiting { peer: self, id, committed };
        if let Some(place) = store.transaction(id)?.filter(|place| place.block < self.height()) {
            return Ok(place);
        }
        (&mut waiting.committed).await.map_err(|_| Error::Store("the ledger is shutting down".into()))
    }

    fn awaited(&self) -> MutexGuard<'_, HashMap<String, Vec<oneshot::Sender<Place>>>> {
        // Whoever panicked held it for insertions and removals only.
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn delay(&self) -> Duration {
        *self.delay.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_delay(&self, delay: Duration) {
        *self.delay.lock().unwrap_or_else(PoisonError::into_inner) = delay;
    }
}

/// Somebody who waits for a transaction, until he no longer does.
struct Awaiting<'a> {
    peer: &'a Peer,
    id: &'a str,
    committed: oneshot::Receiver<Place>,
}

impl Drop for Awaiting<'_> {
    fn drop(&mut self) {
        self.committed.close();
        let mut awaited = self.peer.awaited();
        if let Some(waiting) = awaited.get_mut(self.id) {
            waiting.retain(|one| !one.is_closed());
            if waiting.is_empty() {
                awaited.remove(self.id);
            }
        }
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
