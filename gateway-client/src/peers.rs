//! The peers that a gateway may call, and the connections to them.

use crate::tls::{self, Record};
use crate::validity::{Role, Validity};
use crate::{ConnectionFault, Error, IdentityError, Options};
use msp::Certificate;
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tonic::transport::Channel;
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
    validity: Validity,
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
            validity: Validity::new(Role::ClientTls, &chain[0]),
        })
    }

    /// The same from the texts of files; errors name those.
    pub(crate) fn from_texts(
        (certificate_path, certificate): (&Path, &str),
        (key_path, key): (&Path, &str),
    ) -> Result<Self, IdentityError> {
        let read = Self::from_pem(certificate, key).map_err(|e| {
            let is_key = matches!(e, IdentityError::Key(_));
            e.in_file(if is_key { key_path } else { certificate_path })
        })?;
        Ok(Self { validity: read.validity.in_file(certificate_path), ..read })
    }

    /// How long the certificate is valid.
    pub(crate) fn validity(&self) -> &Validity {
        &self.validity
    }

    pub(crate) fn certificate_pem(&self) -> &[u8] {
        &self.certificate_pem
    }

    pub(crate) fn key_pem(&self) -> &[u8] {
        &self.key_pem
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
    record: Arc<Record>,
    /// The authorities of its TLS certificate.
    authorities: Vec<Validity>,
}

/// Some peers that are as good as each other. One is called until it fails; then the next one is.
pub(crate) struct Peers {
    peers: Vec<Peer>,
    current: AtomicUsize,
}

impl Peers {
    pub(crate) fn new(endpoints: &[Endpoint], options: &Options) -> Result<Self, Error> {
        let peer = |endpoint: &Endpoint| {
            let (address, record) = (endpoint.address.clone(), Arc::default());
            match tls::channel(endpoint, options, &record) {
                Ok(channel) => Ok(Peer { address, channel, record, authorities: authorities(endpoint) }),
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

    /// Why the peer with this index cannot be connected to, where trying again does not help; with its address.
    pub(crate) fn fault(&self, index: usize) -> Option<(String, ConnectionFault)> {
        let peer = &self.peers[index];
        Some((peer.address.clone(), peer.record.fault()?))
    }

    /// Whether none of the peers can be connected to, however often it is tried.
    pub(crate) fn are_hopeless(&self) -> bool {
        self.peers.iter().all(|peer| peer.record.fault().is_some())
    }

    /// The peers' TLS certificates, as far as they were seen, and those of their authorities.
    pub(crate) fn certificates(&self) -> Vec<Validity> {
        let of = |peer: &Peer| peer.record.certificate().into_iter().chain(peer.authorities.clone());
        self.peers.iter().flat_map(of).collect()
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

fn authorities(endpoint: &Endpoint) -> Vec<Validity> {
    let pem = endpoint.tls.as_ref().map(|tls| tls.ca_pem.as_slice()).unwrap_or_default();
    let validity =
        |authority: &Certificate| Validity::new(Role::TlsAuthority, authority).at(endpoint.address.clone());
    Certificate::find_all(pem).unwrap_or_default().iter().map(validity).collect()
}
