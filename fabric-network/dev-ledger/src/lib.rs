//! The embedded development ledger, which speaks Fabric's protocols.
//!
//! One process of ours in place of a network: a peer for every organisation, with its own port, TLS
//! certificate and endorsing key, and the ordering between them. Clients use it as they use Fabric:
//! the services `gateway.Gateway`, `protos.Deliver` and `protos.Endorser`. Each peer dials its
//! organisation's chaincode service (`protos.Chaincode`), so a contract runs here as it runs there.
//!
//! What decides whether a transaction is valid is Fabric's: signed proposals checked against the MSPs,
//! a run of the proposal on each endorsing organisation's own state, equal payloads, a majority's
//! endorsement, read versions and ranges (MVCC), write once per transaction id, blocks chained by
//! hashes. There is one channel with one chaincode, no private data, no metadata of keys, no history
//! and no rich queries. The one orderer is not replicated and signs nothing. Range queries record
//! every key that they read, where Fabric summarises more than fifty by hashes.
//!
//! Blocks and state are in a `redb` database in the configured folder and survive a kill at any time.
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

mod chaincode;
mod channel;
mod config;
mod deliver;
mod endorser;
mod gateway;
mod genesis;
mod ordering;
mod simulation;
mod store;
mod system;
mod validation;

pub use config::{ChaincodeConfig, Config, OrgConfig};

use channel::{Channel, read};
use fabric_protos::services::{DeliverServer, EndorserServer, GatewayServer, MAX_MESSAGE_SIZE};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
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

/// What clients may take for closing their connections.
const CLOSING: Duration = Duration::from_secs(3);

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
    /// Nobody can listen on the address.
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
    let channel = Arc::new(Channel::open(&config)?);
    let mut servers = Vec::new();
    for org in &config.orgs {
        let identity = Identity::from_pem(read(&org.tls_cert)?, read(&org.tls_key)?);
        let server = Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .tls_config(ServerTlsConfig::new().identity(identity))
            .map_err(|source| Error::Tls { msp_id: org.msp_id.clone(), source })?;
        servers.push(server);
    }

    let (orderer, incoming) = mpsc::channel(ordering::WAITING);
    let batching = ordering::Batching {
        max_message_count: config.max_message_count.unwrap_or(config.orgs.len()).max(1),
        timeout: config.batch_timeout,
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(ordering::run(channel.clone(), batching, incoming));
    for ((mut server, listener), peer) in servers.into_iter().zip(listeners).zip(&channel.peers) {
        let turn = Arc::new(AtomicUsize::new(0));
        let gateway = Arc::new(gateway::Service {
            channel: channel.clone(),
            peer: peer.clone(),
            orderer: orderer.clone(),
            turn,
        });
        let deliver = deliver::Service { channel: channel.clone(), peer: peer.clone() };
        let router = server
            .add_service(
                GatewayServer::from_arc(gateway.clone())
                    .max_decoding_message_size(MAX_MESSAGE_SIZE)
                    .max_encoding_message_size(MAX_MESSAGE_SIZE),
            )
            .add_service(EndorserServer::from_arc(gateway).max_decoding_message_size(MAX_MESSAGE_SIZE))
            .add_service(DeliverServer::new(deliver).max_encoding_message_size(MAX_MESSAGE_SIZE));
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let (msp_id, stopping) = (peer.msp_id.clone(), channel.clone());
        tasks.spawn(async move {
            let serving =
                router.serve_with_incoming_shutdown(incoming, async move { stopping.stopped().await });
            if let Err(e) = serving.await {
                tracing::error!("listener of {msp_id}: {e}");
            }
        });
    }
    let addresses = config.orgs.iter().map(|org| (org.msp_id.clone(), org.listen)).collect();
    Ok(Running { channel, addresses, tasks })
}

/// A ledger that runs until it is shut down or dropped.
pub struct Running {
    channel: Arc<Channel>,
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

    /// How many blocks the organisation's peer has committed, the configuration's included.
    pub fn height(&self, msp_id: &str) -> Option<u64> {
        self.channel.peers.iter().find(|peer| peer.msp_id == msp_id).map(|peer| peer.height())
    }

    /// For tests: from the next block on the organisation's peer commits this much later than the
    /// others, as real peers do under load. False when there is no such organisation.
    pub fn delay_commits(&self, msp_id: &str, delay: Duration) -> bool {
        let peer = self.channel.peers.iter().find(|peer| peer.msp_id == msp_id);
        peer.inspect(|peer| peer.set_delay(delay)).is_some()
    }

    /// Stops listening, ends open streams and lets calls finish that already run. What is in a block
    /// stays, what waits to be ordered is ordered.
    pub async fn shutdown(mut self) {
        self.channel.stop.send_replace(true);
        let ended = timeout(CLOSING, async { while self.tasks.join_next().await.is_some() {} });
        if ended.await.is_err() {
            tracing::warn!("a client keeps its connection open; leaving it");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.channel.stop.send_replace(true);
    }
}
