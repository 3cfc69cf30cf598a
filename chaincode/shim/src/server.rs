//! The gRPC server that peers dial.

use crate::Contract;
use crate::session::Session;
use fabric_protos::peer::ChaincodeMessage;
use fabric_protos::services::{Chaincode, ChaincodeServer, MAX_MESSAGE_SIZE};
use msp::{KeyError, PrivateKey};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::Stream;
use tonic::codegen::BoxStream;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, ServerTlsConfig};
use tonic::{Request, Status, Streaming};
use tracing::Instrument;
use zeroize::Zeroizing;

/// Messages that may wait to be sent on a stream.
const OUTGOING_MESSAGES: usize = 64;
/// After this silence a connection is probed, and dropped when the probe gets no answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Receive windows that let a record of some megabytes pass without waiting for the other side.
const STREAM_WINDOW: u32 = 8 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
/// Streams at once, of which an organisation's peers need one each; the places of those that do not get
/// ready are soon free again.
const MAX_STREAMS: usize = 256;
/// A peer opens one.
const STREAMS_PER_CONNECTION: u32 = 16;
/// What the server may take for the connections after the streams have been closed.
const CLOSING: Duration = Duration::from_secs(2);

/// TLS on the chaincode's port: our certificate, and whose certificates we accept.
#[derive(Clone)]
pub struct Tls {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    client_ca: Option<Certificate>,
}

impl Tls {
    /// With this certificate (chain) and private key, both PEM.
    pub fn new(certificate_pem: impl AsRef<[u8]>, key_pem: impl AsRef<[u8]>) -> Self {
        let key = Zeroizing::new(key_pem.as_ref().to_vec());
        Self { certificate: certificate_pem.as_ref().to_vec(), key, client_ca: None }
    }

    /// Mutual TLS: only peers with a certificate from these authorities (PEM) may connect.
    pub fn client_ca(mut self, ca_pem: impl AsRef<[u8]>) -> Self {
        self.client_ca = Some(Certificate::from_pem(ca_pem));
        self
    }

    fn config(self) -> Result<ServerTlsConfig, ServeError> {
        let key = PrivateKey::from_pem(&*self.key)?.to_pem()?;
        let config = ServerTlsConfig::new().identity(Identity::from_pem(self.certificate, key.as_str()));
        Ok(match self.client_ca {
            Some(ca) => config.client_ca_root(ca),
            None => config,
        })
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("mutual", &self.client_ca.is_some()).finish_non_exhaustive()
    }
}

/// Why a server could not be started or ended early.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// No package id was given, so peers could not know which chaincode this is.
    #[error("a chaincode server needs a package id")]
    NoPackageId,
    /// The key of the TLS certificate cannot be used.
    #[error("chaincode server: TLS: {0}")]
    Key(#[from] KeyError),
    /// The TLS material cannot be used, or the listener failed.
    #[error("chaincode server: {}", with_sources(.0))]
    Transport(#[from] tonic::transport::Error),
}

/// Tonic's errors say little themselves and much in their sources.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// A chaincode server. Made by [`Server::builder`].
#[derive(Debug)]
pub struct Server;

impl Server {
    /// A server of this contract, to be configured.
    pub fn builder(contract: impl Contract) -> Builder {
        Builder {
            contract: Arc::new(contract),
            package_id: String::new(),
            tls: None,
            max_calls: 64,
            max_waiting: 2500,
            grace: Duration::from_secs(10),
        }
    }
}

/// The configuration of a [`Server`].
pub struct Builder {
    contract: Arc<dyn Contract>,
    package_id: String,
    tls: Option<Tls>,
    max_calls: usize,
    max_waiting: usize,
    grace: Duration,
}

impl Builder {
    /// The id under which the package was installed, `label:hash`. Required.
    pub fn package_id(mut self, package_id: impl Into<String>) -> Self {
        self.package_id = package_id.into();
        self
    }

    /// TLS; without it the port is open and everything readable on the way.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// How many calls of one peer may run at once, at least 1, each on a thread (64 unless set).
    /// Further ones wait. Counted for each peer, so that one that hangs does not hold up another.
    pub fn max_calls(mut self, max_calls: usize) -> Self {
        self.max_calls = max_calls.max(1);
        self
    }

    /// How many more calls of one peer may wait (2500 unless set, which is as many endorsements as a peer has
    /// under way by default). Further ones are refused.
    pub fn max_waiting(mut self, max_waiting: usize) -> Self {
        self.max_waiting = max_waiting;
        self
    }

    /// How long calls may go on after shutdown has begun (10 s unless set).
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Serves peers until `shutdown` is done. Then no new calls are taken, those that run may finish
    /// within the grace period, all streams are closed, and this returns.
    ///
    /// A contract that computes for longer keeps its thread, but its answer is dropped.
    ///
    /// # Errors
    /// [`ServeError`] where the configuration is unusable or the listener fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        if self.package_id.is_empty() {
            return Err(ServeError::NoPackageId);
        }
        let mut server = tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .max_concurrent_streams(STREAMS_PER_CONNECTION)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        if let Some(tls) = self.tls {
            server = server.tls_config(tls.config()?)?;
        }
        let (stop, stopped) = watch::channel(false);
        let service = Service {
            contract: self.contract,
            package_id: self.package_id,
            max_calls: self.max_calls,
            max_waiting: self.max_waiting,
            grace: self.grace,
            shutdown: stopped.clone(),
            places: Arc::new(Semaphore::new(MAX_STREAMS)),
        };
        let service = ChaincodeServer::new(service)
            .max_decoding_message_size(MAX_MESSAGE_SIZE)
            .max_encoding_message_size(MAX_MESSAGE_SIZE);
        // A connection that says nothing has no HTTP/2 yet that could probe it.
        let incoming =
            TcpIncoming::from(listener).with_nodelay(Some(true)).with_keepalive(Some(KEEPALIVE_INTERVAL));
        let mut on_stop = stopped;
        let serving = server.add_service(service).serve_with_incoming_shutdown(incoming, async move {
            // An error means that the sender is gone, which is a reason to stop as well.
            drop(on_stop.wait_for(|&stop| stop).await);
        });
        tokio::pin!(serving);
        tokio::select! {
            ended = &mut serving => return Ok(ended?),
            () = shutdown => {}
        }
        stop.send_replace(true);
        match tokio::time::timeout(self.grace + CLOSING, serving).await {
            Ok(ended) => Ok(ended?),
            Err(_) => {
                tracing::warn!("a peer keeps its connection open; leaving it");
                Ok(())
            }
        }
    }
}

/// The gRPC service: a session for each stream.
struct Service {
    contract: Arc<dyn Contract>,
    package_id: String,
    max_calls: usize,
    max_waiting: usize,
    grace: Duration,
    shutdown: watch::Receiver<bool>,
    /// One for each stream that may be open.
    places: Arc<Semaphore>,
}

#[tonic::async_trait]
impl Chaincode for Service {
    async fn connect(
        &self,
        request: Request<Streaming<ChaincodeMessage>>,
    ) -> Result<tonic::Response<BoxStream<ChaincodeMessage>>, Status> {
        let peer = request.remote_addr().map(|address| address.to_string()).unwrap_or_default();
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            tracing::warn!(peer, "a stream was refused: {MAX_STREAMS} are open");
            return Err(Status::resource_exhausted("the chaincode has too many streams"));
        };
        let (outgoing, messages) = mpsc::channel(OUTGOING_MESSAGES);
        let session = Session {
            contract: self.contract.clone(),
            package_id: self.package_id.clone(),
            permits: Arc::new(Semaphore::new(self.max_calls)),
            max_calls: self.max_calls.saturating_add(self.max_waiting),
            grace: self.grace,
            shutdown: self.shutdown.clone(),
            outgoing,
            place,
        };
        let span = tracing::info_span!("chaincode stream", peer);
        let session = tokio::spawn(session.run(request.into_inner()).instrument(span));
        Ok(tonic::Response::new(Box::pin(Outbound { messages, session })))
    }
}

/// Messages to the peer until the session ends, though a contract may still compute and hold a way to send.
struct Outbound {
    messages: mpsc::Receiver<Result<ChaincodeMessage, Status>>,
    session: JoinHandle<()>,
}

impl Stream for Outbound {
    type Item = Result<ChaincodeMessage, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.messages.is_closed() && Pin::new(&mut self.session).poll(context).is_ready() {
            // What was sent before is still delivered.
            self.messages.close();
        }
        self.messages.poll_recv(context)
    }
}
