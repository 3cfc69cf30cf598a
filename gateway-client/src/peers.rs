//! The peers that a gateway may call, and the connections to them.

use crate::{Error, IdentityError, Options};
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tonic::transport::{Certificate, Channel, ClientTlsConfig};
use zeroize::Zeroizing;

/// Where a peer listens.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Host and port.
    pub address: String,
    /// How its TLS certificate is verified; `None` for a connection without TLS.
    pub tls: Option<Tls>,
}

/// How a peer's TLS certificate is verified.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The authority's certificates, in PEM.
    pub ca_pem: Vec<u8>,
    /// The name in the peer's certificate, where it is not the host of the address.
    pub server_name: Option<String>,
}

/// The client's own certificate and key for connections, for peers that want mutual TLS. It is another one than
/// the user's that signs.
#[derive(Clone)]
pub struct ClientTls {
    certificate_pem: Vec<u8>,
    key_pem: Zeroizing<Vec<u8>>,
    hash: [u8; 32],
}

impl ClientTls {
    /// A certificate and its key, both in PEM. Authorities may follow the certificate; anything else in its text stays
    /// behind.
    ///
    /// # Errors
    /// [`IdentityError::ClientTls`] and [`IdentityError::Key`] when one of the texts is not what it should be.
    pub fn from_pem(certificate_pem: &str, key_pem: &str) -> Result<Self, IdentityError> {
        let chain =
            msp::Certificate::find_all(certificate_pem.as_bytes()).map_err(|_| IdentityError::ClientTls)?;
        let key_pem = msp::PrivateKey::from_pem(key_pem)?.to_pem()?;
        Ok(Self {
            certificate_pem: chain.iter().map(msp::Certificate::to_pem).collect::<String>().into_bytes(),
            key_pem: Zeroizing::new(key_pem.as_bytes().to_vec()),
            hash: Sha256::digest(chain[0].der()).into(),
        })
    }

    /// The same from the texts of files; errors name those.
    pub(crate) fn from_texts(
        (certificate_path, certificate): (&Path, &str),
        (key_path, key): (&Path, &str),
    ) -> Result<Self, IdentityError> {
        Self::from_pem(certificate, key).map_err(|e| {
            let is_key = matches!(e, IdentityError::Key(_));
            e.in_file(if is_key { key_path } else { certificate_path })
        })
    }

    /// The SHA-256 digest of the certificate, by which a peer's Deliver service knows that the request came over
    /// this connection.
    pub(crate) fn hash(&self) -> &[u8; 32] {
        &self.hash
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls(…)")
    }
}

/// One peer.
pub(crate) struct Peer {
    pub(crate) address: String,
    pub(crate) channel: Channel,
}

/// Some peers that are as good as each other. One is called until it fails; then the next one is.
pub(crate) struct Peers {
    peers: Vec<Peer>,
    current: AtomicUsize,
}

impl Peers {
    pub(crate) fn new(endpoints: &[Endpoint], options: &Options) -> Result<Self, Error> {
        let peer = |endpoint: &Endpoint| {
            let address = endpoint.address.clone();
            match channel(endpoint, options) {
                Ok(channel) => Ok(Peer { address, channel }),
                Err(reason) => Err(Error::Endpoint { address, reason }),
            }
        };
        if endpoints.is_empty() {
            return Err(Error::Endpoint { address: String::new(), reason: "no peer is named".into() });
        }
        let peers = endpoints.iter().map(peer).collect::<Result<_, _>>()?;
        Ok(Self { peers, current: AtomicUsize::new(0) })
    }

    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    /// The peer to call, with its index.
    pub(crate) fn current(&self) -> (usize, &Peer) {
        let index = self.current.load(Ordering::Relaxed);
        (index, &self.peers[index])
    }

    /// Turns to the next peer, unless another call has already left this one.
    pub(crate) fn leave(&self, index: usize) {
        let next = (index + 1) % self.peers.len();
        // Who loses the race is content with what the winner chose.
        let left = self.current.compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed);
        if left.is_ok() && next != index {
            tracing::warn!(
                from = self.peers[index].address,
                to = self.peers[next].address,
                "turning to another peer"
            );
        }
    }
}

fn channel(endpoint: &Endpoint, options: &Options) -> Result<Channel, String> {
    // Windows that let a block of some megabytes through without waiting for a round trip each 64 KiB.
    const STREAM_WINDOW: u32 = 4 << 20;
    const CONNECTION_WINDOW: u32 = 16 << 20;
    // A failed call brings what every endorser said in its trailers; by default 16 KiB are allowed.
    const TRAILERS: u32 = 1 << 20;
    let scheme = if endpoint.tls.is_some() { "https" } else { "http" };
    let mut to = Channel::from_shared(format!("{scheme}://{}", endpoint.address))
        .map_err(|e| e.to_string())?
        .connect_timeout(options.connect)
        .http2_keep_alive_interval(options.keepalive)
        .keep_alive_timeout(Duration::from_secs(20))
        .keep_alive_while_idle(true)
        .tcp_keepalive(Some(Duration::from_secs(15)))
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_max_header_list_size(TRAILERS);
    if let Some(tls) = &endpoint.tls {
        let roots = msp::bundle(&tls.ca_pem).map_err(|e| format!("the authority's TLS certificate: {e}"))?;
        let mut config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(roots));
        if let Some(name) = &tls.server_name {
            config = config.domain_name(name);
        }
        if let Some(own) = &options.client_tls {
            let identity = tonic::transport::Identity::from_pem(&own.certificate_pem, own.key_pem.as_slice());
            config = config.identity(identity);
        }
        to = to.tls_config(config).map_err(|e| e.to_string())?;
    }
    Ok(to.connect_lazy())
}
