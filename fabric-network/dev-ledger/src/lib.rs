//! The embedded development ledger, which speaks Fabric's protocols.
//!
//! One process of ours in place of a network: a peer for every organisation, with its own port, TLS
//! certificate and endorsing key, and the ordering between them. Clients use it as they use Fabric:
//! the services `gateway.Gateway`, `protos.Deliver`, `protos.Endorser` and, as every peer also takes transactions like
//! an orderer, `orderer.AtomicBroadcast`. Each peer dials its organisation's chaincode service (`protos.Chaincode`), so a
//! contract runs here as it runs there.
//!
//! Start with a [`Config`], and [`serve`] it.
//!
//! What decides whether a transaction is valid is Fabric's: signed proposals checked against the MSPs,
//! a run of the proposal on each endorsing organisation's own state, equal payloads, the endorsement
//! policies of the chaincode, of collections and of keys, read versions and ranges (MVCC), write once per
//! transaction id, blocks chained by hashes. Chaincodes have what a peer offers them: ranges and pages,
//! history, metadata of keys, private data, calls of other chaincodes on the channel; no rich queries.
//!
//! The one orderer is not replicated and signs nothing. Definitions are in the configuration, or come by Fabric's
//! lifecycle with packages of services. `discovery.Discovery` tells peers and endorsers. A channel's private data is kept
//! once, and shown only to the peers of the collection's members.
//!
//! Each channel has a `redb` database in the configured folder, which survives a kill at any time. While there
//! is no room on the disk, transactions are refused and those that were taken wait.
//! As with Fabric, an acknowledged `Submit` means that the transaction was taken, not that it is in a
//! block; ask `CommitStatus`.
//!
//! ```no_run
//! # async fn run(orgs: Vec<dev_ledger::OrgConfig>) -> Result<(), dev_ledger::Error> {
//! let ledger = dev_ledger::serve(dev_ledger::Config::new("ledger", orgs)).await?;
//! println!("Org1's peer listens on {}", ledger.address("Org1MSP").unwrap());
//! ledger.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod atomic;
mod chaincode;
mod channel;
mod config;
mod definition;
mod deliver;
mod discovery;
mod endorser;
mod gateway;
mod genesis;
mod history;
mod interest;
mod layouts;
mod lifecycle;
mod ordering;
mod plan;
mod ranges;
mod replay;
mod rwset;
mod simulation;
mod store;
mod system;
mod validation;

pub use config::{
    ChaincodeConfig, ChaincodeDefinition, ChannelConfig, ClientTls, Collection, Config, EndorsementPolicy,
    OrgConfig,
};
pub use msp::{Policy, Rule};
pub use replay::Replay;

use channel::{Channel, Channels, Node, read};
use fabric_protos::services::{
    AtomicBroadcastServer, DeliverServer, DiscoveryServer, EndorserServer, GatewayServer, MAX_MESSAGE_SIZE,
};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};

/// A connection is probed after this silence, and dropped when the probe gets no answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Receive windows that let a record of some megabytes pass without waiting for the other side.
const STREAM_WINDOW: u32 = 8 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

/// What a client may take for the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What clients may take for closing their connections.
const CLOSING: Duration = Duration::from_secs(3);

/// Where the service of a chaincode package is, `HOST:PORT`.
///
/// # Errors
/// Why the bytes are no package of a service.
pub fn service_address(package: &[u8]) -> Result<String, String> {
    lifecycle::package::Package::parse(package).map(|package| package.connection.address)
}

/// Why a ledger cannot be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration makes no sense, or belongs to another ledger than the one in the folder.
    #[error("{0}")]
    Config(String),
    /// A file or folder cannot be read or made.
    #[error("{}: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A certificate or MSP cannot be used.
    #[error(transparent)]
    Msp(#[from] msp::Error),
    /// It cannot listen on the address.
    #[error("cannot listen on {address} for {msp_id}: {source}")]
    Listen {
        /// The organisation.
        msp_id: String,
        /// Its address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// TLS cannot be set up.
    #[error("TLS of {msp_id}: {source}")]
    Tls {
        /// The organisation.
        msp_id: String,
        /// What is wrong.
        source: tonic::transport::Error,
    },
    /// The database.
    #[error("ledger database: {0}")]
    Store(String),
}

impl Error {
    fn file(path: &Path, source: std::io::Error) -> Self {
        Self::File { path: path.into(), source }
    }
}

/// Starts a ledger: reads its keys, opens or makes its database, and listens for every organisation.
///
/// The chaincode services need not run yet; they are dialled when a transaction needs them.
///
/// # Errors
/// [`Error`], before anything is served.
pub async fn serve(config: Config) -> Result<Running, Error> {
    let mut listeners = Vec::new();
    let mut config = config;
    for org in &mut config.orgs {
        let failed = |source| Error::Listen { msp_id: org.msp_id.clone(), address: org.listen, source };
        let listener = TcpListener::bind(org.listen).await.map_err(failed)?;
        org.listen = listener.local_addr().map_err(failed)?;
        listeners.push(listener);
    }
    let stop = watch::Sender::new(false);
    let (nodes, channels) = open_channels(&config, &stop)?;
    let mut servers = Vec::new();
    for org in &config.orgs {
        let identity = Identity::from_pem(msp::load_bundle(&org.tls_cert)?, read(&org.tls_key)?);
        let server = Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .tls_config(ServerTlsConfig::new().identity(identity).timeout(HANDSHAKE))
            .map_err(|source| Error::Tls { msp_id: org.msp_id.clone(), source })?;
        servers.push(server);
    }

    let batching = ordering::Batching {
        max_message_count: config.max_message_count.max(1),
        timeout: config.batch_timeout,
    };
    let mut tasks = JoinSet::new();
    let mut orderers = HashMap::new();
    for channel in &channels {
        let (orderer, incoming) = mpsc::channel(ordering::WAITING);
        tasks.spawn(ordering::run(channel.clone(), batching, incoming));
        tasks.spawn(ordering::tend(channel.clone()));
        orderers.insert(channel.name.clone(), orderer);
    }
    let ledger = Arc::new(Channels::new(channels.clone()));
    let nodes: Arc<[Arc<Node>]> = nodes.into();
    let (seconds, nanoseconds) = channel::now();
    let started = u64::try_from(seconds).unwrap_or(0) * 1_000_000_000 + u64::from(nanoseconds);
    for (((mut server, listener), org), node) in
        servers.into_iter().zip(listeners).zip(&config.orgs).zip(nodes.iter().cloned())
    {
        let joined = channels.iter().filter_map(|channel| {
            let peer = channel.peer(&org.msp_id)?.clone();
            let (channel, orderer) = (channel.clone(), orderers.get(&channel.name)?.clone());
            Some((channel.name.clone(), gateway::Joined { channel, peer, orderer }))
        });
        let joined: Arc<HashMap<_, _>> = Arc::new(joined.collect());
        let read =
            joined.iter().map(|(name, joined)| (name.clone(), (joined.channel.clone(), joined.peer.clone())));
        let deliver =
            Arc::new(deliver::Service { channels: Arc::new(read.collect()), stop: stop.subscribe() });
        let atomic =
            atomic::Service { channels: joined.clone(), deliver: deliver.clone(), stop: stop.subscribe() };
        let discovery =
            discovery::Service { node: node.clone(), ledger: ledger.clone(), nodes: nodes.clone(), started };
        let gateway = Arc::new(gateway::Service {
            node,
            ledger: ledger.clone(),
            channels: joined,
            turn: AtomicUsize::new(0),
        });
        let router = server
            .add_service(
                GatewayServer::from_arc(gateway.clone())
                    .max_decoding_message_size(MAX_MESSAGE_SIZE)
                    .max_encoding_message_size(MAX_MESSAGE_SIZE),
            )
            .add_service(
                EndorserServer::from_arc(gateway)
                    .max_decoding_message_size(MAX_MESSAGE_SIZE)
                    .max_encoding_message_size(MAX_MESSAGE_SIZE),
            )
            .add_service(DeliverServer::from_arc(deliver).max_encoding_message_size(MAX_MESSAGE_SIZE))
            .add_service(
                AtomicBroadcastServer::new(atomic)
                    .max_decoding_message_size(MAX_MESSAGE_SIZE)
                    .max_encoding_message_size(MAX_MESSAGE_SIZE),
            )
            .add_service(DiscoveryServer::new(discovery).max_decoding_message_size(discovery::MAX_REQUEST));
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let (msp_id, mut stopping) = (org.msp_id.clone(), stop.subscribe());
        tasks.spawn(async move {
            let stopped = async move { drop(stopping.wait_for(|stop| *stop).await) };
            if let Err(e) = router.serve_with_incoming_shutdown(incoming, stopped).await {
                tracing::error!("listener of {msp_id}: {e}");
            }
        });
    }
    let addresses = config.orgs.iter().map(|org| (org.msp_id.clone(), org.listen)).collect();
    Ok(Running { channels, stop, addresses, tasks })
}

/// The organisations' peers, and the channels that they are on.
type Opened = (Vec<Arc<Node>>, Vec<Arc<Channel>>);

fn open_channels(config: &Config, stop: &watch::Sender<bool>) -> Result<Opened, Error> {
    if config.orgs.is_empty() || config.channels.is_empty() {
        return Err(Error::Config("a ledger needs an organisation and a channel".into()));
    }
    let mut ids = HashSet::new();
    let mut nodes = Vec::new();
    for org in &config.orgs {
        if !ids.insert(&org.msp_id) {
            return Err(Error::Config(format!("organisation {} is named twice", org.msp_id)));
        }
        nodes.push(Arc::new(Node::new(org, config)?));
    }
    files::make_private(&config.dir).map_err(|e| Error::file(&config.dir, e))?;
    let mut files = HashSet::new();
    let mut channels = Vec::new();
    for (i, channel) in config.channels.iter().enumerate() {
        let valid = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
        if channel.name.is_empty() || !channel.name.chars().all(valid) {
            return Err(Error::Config(format!("{:?} is no name of a channel", channel.name)));
        }
        let file = if i == 0 { "ledger.redb".into() } else { format!("{}.redb", channel.name) };
        if !files.insert(file.clone()) || config.channels[..i].iter().any(|other| other.name == channel.name)
        {
            return Err(Error::Config(format!("channel {} is named twice", channel.name)));
        }
        let file = config.dir.join(file);
        channels.push(Arc::new(Channel::open(config, channel, &file, &nodes, stop.subscribe())?));
    }
    Ok((nodes, channels))
}

/// A ledger that runs until it is shut down or dropped.
pub struct Running {
    channels: Vec<Arc<Channel>>,
    stop: watch::Sender<bool>,
    addresses: Vec<(String, SocketAddr)>,
    tasks: JoinSet<()>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Running {
    /// Where the organisation's peer listens.
    pub fn address(&self, msp_id: &str) -> Option<SocketAddr> {
        self.addresses.iter().find(|(known, _)| known == msp_id).map(|(_, address)| *address)
    }

    /// Every organisation with its peer's address, in the order of the configuration.
    pub fn addresses(&self) -> &[(String, SocketAddr)] {
        &self.addresses
    }

    /// How many blocks the organisation's peer has committed on the first channel, the configuration's
    /// included.
    pub fn height(&self, msp_id: &str) -> Option<u64> {
        let peers = &self.channels.first()?.peers;
        peers.iter().find(|peer| peer.msp_id() == msp_id).map(|peer| peer.height())
    }

    /// For tests: from the next block on the organisation's peer commits this much later than the
    /// others, as real peers do under load. False when there is no such organisation.
    pub fn delay_commits(&self, msp_id: &str, delay: Duration) -> bool {
        let peers = self.channels.iter().flat_map(|channel| &channel.peers);
        let mut found = peers.filter(|peer| peer.msp_id() == msp_id).peekable();
        let any = found.peek().is_some();
        found.for_each(|peer| peer.set_delay(delay));
        any
    }

    /// Stops listening, ends open streams and lets calls finish that already run. What is in a block
    /// stays, what waits to be ordered is ordered.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        let ended = timeout(CLOSING, async { while self.tasks.join_next().await.is_some() {} });
        if ended.await.is_err() {
            tracing::warn!("a client keeps its connection open; leaving it");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}
