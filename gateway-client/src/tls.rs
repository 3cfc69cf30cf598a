//! Connections to peers, and why they cannot be made: what trying again does not cure is told from what passes.

use crate::validity::{self, Role, Validity, date};
use crate::{Endpoint, Options, Tls};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use msp::Certificate;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    self, AlertDescription, CertificateError, ClientConfig, ClientConnection, RootCertStore, crypto,
};
use tonic::transport::{Channel, Uri};
use tower_service::Service;

/// How long a server that says nothing of itself is waited for before the first request: Fabric's, and those of this
/// project, speak first, at once.
const FIRST_WORD: Duration = Duration::from_millis(500);
/// HTTP/2, as it is agreed on in TLS.
const H2: &[u8] = b"h2";

/// Why a connection cannot be made, however often it is tried: somebody has to change something first.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionFault {
    /// The peer's TLS certificate is of another authority than the one that is trusted.
    UnknownIssuer,
    /// The peer's TLS certificate has expired, where known at this second since 1970.
    Expired(Option<u64>),
    /// The peer's TLS certificate is valid from this second since 1970 on, where known.
    NotYetValid(Option<u64>),
    /// The peer's TLS certificate is for other names.
    WrongName {
        /// The name that was looked for.
        expected: String,
        /// Those in the certificate.
        presented: Vec<String>,
    },
    /// The peer wants a TLS certificate of the client, and there is none.
    CertificateWanted,
    /// The peer refuses the client's TLS certificate; what it says of it.
    CertificateRefused(String),
    /// TLS is spoken, and the peer does not.
    NoTls,
    /// TLS is not spoken, and the peer does.
    OnlyTls,
    /// Both speak TLS, but cannot agree; what the library says.
    Tls(String),
}

impl fmt::Display for ConnectionFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |seconds: &Option<u64>| match seconds {
            Some(seconds) => date(i64::try_from(*seconds).unwrap_or(i64::MAX)),
            None => "an earlier or later day".into(),
        };
        match self {
            Self::UnknownIssuer => f.write_str(
                "its TLS certificate is not of the authority that the connection profile names (tlsCACerts): give that \
                 of the peer's organisation",
            ),
            Self::Expired(at) => write!(f, "its TLS certificate expired on {}: its operator has to renew it", seconds(at)),
            Self::NotYetValid(at) => write!(
                f,
                "its TLS certificate is valid from {} on: see whether the clock here is right",
                seconds(at)
            ),
            Self::WrongName { expected, presented } => write!(
                f,
                "its TLS certificate is for {}, not for {expected}: name one of these in the connection profile \
                 (ssl-target-name-override)",
                if presented.is_empty() { "no name".into() } else { presented.join(", ") }
            ),
            Self::CertificateWanted => f.write_str(
                "it wants a TLS certificate of the client, and none is given: the connection profile's \
                 client.tlsCerts.client names one with its key",
            ),
            Self::CertificateRefused(alert) => write!(
                f,
                "it refuses the client's TLS certificate ({alert}): see whether it is of an authority that the peer \
                 trusts, and valid"
            ),
            Self::NoTls => f.write_str("it does not speak TLS: its url begins with grpc://, not with grpcs://"),
            Self::OnlyTls => f.write_str(
                "it speaks TLS only: its url begins with grpcs://, and the authority of its certificate is to be named \
                 (tlsCACerts)",
            ),
            Self::Tls(what) => write!(f, "the TLS connection cannot be made: {what}"),
        }
    }
}

/// What is known of one peer's connections.
#[derive(Default)]
pub(crate) struct Record {
    fault: Mutex<Option<ConnectionFault>>,
    certificate: Mutex<Option<Validity>>,
}

impl Record {
    /// Why the last attempt to connect was hopeless, if it was.
    pub(crate) fn fault(&self) -> Option<ConnectionFault> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, fault: Option<ConnectionFault>) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// The peer's TLS certificate, once it was seen.
    pub(crate) fn certificate(&self) -> Option<Validity> {
        self.certificate.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn saw(&self, certificate: Validity) {
        validity::warn([&certificate]);
        *self.certificate.lock().unwrap_or_else(PoisonError::into_inner) = Some(certificate);
    }
}

/// A connection that is made when it is first needed.
pub(crate) fn channel(
    endpoint: &Endpoint,
    options: &Options,
    record: &Arc<Record>,
) -> Result<Channel, String> {
    // Windows that let a block of some megabytes through without waiting for a round trip each 64 KiB.
    const STREAM_WINDOW: u32 = 4 << 20;
    const CONNECTION_WINDOW: u32 = 16 << 20;
    // A failed call brings what every endorser said in its trailers; by default 16 KiB are allowed.
    const TRAILERS: u32 = 1 << 20;
    let uri =
        |scheme: &str| format!("{scheme}://{}", endpoint.address).parse::<Uri>().map_err(|e| e.to_string());
    let mut to = Channel::builder(uri("http")?)
        .connect_timeout(options.connect)
        .http2_keep_alive_interval(options.keepalive)
        .keep_alive_timeout(Duration::from_secs(20))
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_max_header_list_size(TRAILERS);
    let tls = match &endpoint.tls {
        Some(tls) => {
            // What is encrypted is the connector's matter; requests still say that they are.
            to = to.origin(uri("https")?);
            let host = uri("https")?.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            let name = tls.server_name.clone().unwrap_or(host);
            let name =
                ServerName::try_from(name.clone()).map_err(|_| format!("{name:?} is no name of a server"))?;
            Some((TlsConnector::from(Arc::new(configuration(tls, options)?)), name))
        }
        None => None,
    };
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(Duration::from_secs(15)));
    tcp.set_connect_timeout(Some(options.connect));
    let address = endpoint.address.clone();
    let shows_certificate = options.client_tls.is_some();
    let dial = Arc::new(Dial { address, tls, shows_certificate, record: record.clone() });
    Ok(to.connect_with_connector_lazy(Connector { tcp, dial }))
}

fn configuration(tls: &Tls, options: &Options) -> Result<ClientConfig, String> {
    let authorities =
        Certificate::find_all(&tls.ca_pem).map_err(|e| format!("the authority's TLS certificate: {e}"))?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities.iter().map(|c| CertificateDer::from(c.der().to_vec())));
    let builder = ClientConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots);
    let mut config = match &options.client_tls {
        Some(own) => {
            let chain = CertificateDer::pem_slice_iter(own.certificate_pem()).collect::<Result<Vec<_>, _>>();
            let key = PrivateKeyDer::from_pem_slice(own.key_pem());
            let unusable = |e: &dyn fmt::Display| format!("the client's TLS certificate or key: {e}");
            builder
                .with_client_auth_cert(chain.map_err(|e| unusable(&e))?, key.map_err(|e| unusable(&e))?)
                .map_err(|e| unusable(&e))?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols.push(H2.into());
    Ok(config)
}

/// How one peer is dialled.
struct Dial {
    address: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    shows_certificate: bool,
    record: Arc<Record>,
}

#[derive(Clone)]
struct Connector {
    tcp: HttpConnector,
    dial: Arc<Dial>,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp.poll_ready(context).map_err(io::Error::other)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let tcp = self.tcp.call(uri);
        let dial = self.dial.clone();
        Box::pin(async move {
            dial.record.set(None);
            let tcp = tcp.await.map_err(io::Error::other)?.into_inner();
            dial.open(tcp).await.map(TokioIo::new)
        })
    }
}

impl Dial {
    /// Makes of a connection one on which requests can be sent.
    async fn open(&self, tcp: TcpStream) -> io::Result<Stream> {
        let Some((connector, name)) = &self.tls else { return self.open_plain(tcp).await };
        let opened = async {
            let tls = connector.connect(name.clone(), tcp).await?;
            let (_, session) = tls.get_ref();
            let leaf = session.peer_certificates().and_then(|chain| chain.first());
            if let Some(leaf) = leaf.and_then(|leaf| Certificate::from_der(leaf).ok()) {
                self.record.saw(Validity::new(Role::Peer, &leaf).at(self.address.clone()));
            }
            if session.alpn_protocol() != Some(H2) {
                self.record.set(Some(ConnectionFault::Tls("the peer does not speak HTTP/2".into())));
                return Err(io::Error::other("the peer does not speak HTTP/2"));
            }
            // Whether the server takes the client's certificate, or does without, it says only now.
            let mut stream = Stream::new(Box::new(tls));
            timeout(FIRST_WORD, stream.listen()).await.unwrap_or(Ok(()))?;
            Ok(stream)
        };
        opened.await.inspect_err(|error| {
            if let Some(fault) = fault(error, self.shows_certificate) {
                self.record.set(Some(fault));
            }
        })
    }

    async fn open_plain(&self, tcp: TcpStream) -> io::Result<Stream> {
        let mut stream = Stream::new(Box::new(tcp));
        match timeout(FIRST_WORD, stream.listen()).await {
            Ok(listened) => listened?,
            // It waits for the client's first word, which would be another one in TLS.
            Err(_) if speaks_tls(&self.address).await => {
                self.record.set(Some(ConnectionFault::OnlyTls));
                return Err(io::Error::other("the peer speaks TLS only"));
            }
            Err(_) => {}
        }
        Ok(stream)
    }
}

/// Whether a server answers a TLS handshake with one.
async fn speaks_tls(address: &str) -> bool {
    /// Kinds of a TLS record: an alert, a handshake.
    const RECORDS: [u8; 2] = [21, 22];
    let answer = async {
        let config = ClientConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .ok()?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").ok()?;
        let mut hello = Vec::new();
        ClientConnection::new(Arc::new(config), name).ok()?.write_tls(&mut hello).ok()?;
        let mut tcp = TcpStream::connect(address).await.ok()?;
        tcp.write_all(&hello).await.ok()?;
        let mut record = [0; 2];
        tcp.read_exact(&mut record).await.ok()?;
        Some(RECORDS.contains(&record[0]) && record[1] == 3)
    };
    timeout(2 * FIRST_WORD, answer).await.ok().flatten().unwrap_or(false)
}

/// What trying again does not cure, if that is what an error of a TLS connection says.
fn fault(error: &io::Error, shows_certificate: bool) -> Option<ConnectionFault> {
    use rustls::Error as E;
    let error = error.get_ref()?.downcast_ref::<E>()?;
    let seconds = |time: &UnixTime| Some(time.as_secs());
    Some(match error {
        E::InvalidCertificate(certificate) => match certificate {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                ConnectionFault::UnknownIssuer
            }
            CertificateError::Expired => ConnectionFault::Expired(None),
            CertificateError::ExpiredContext { not_after, .. } => {
                ConnectionFault::Expired(seconds(not_after))
            }
            CertificateError::NotValidYet => ConnectionFault::NotYetValid(None),
            CertificateError::NotValidYetContext { not_before, .. } => {
                ConnectionFault::NotYetValid(seconds(not_before))
            }
            CertificateError::NotValidForNameContext { expected, presented } => ConnectionFault::WrongName {
                expected: expected.to_str().into_owned(),
                presented: presented.iter().take(20).map(|name| bare(name)).collect(),
            },
            other => ConnectionFault::Tls(format!("the peer's certificate: {other}")),
        },
        E::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => ConnectionFault::CertificateWanted,
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied => match shows_certificate {
                true => ConnectionFault::CertificateRefused(format!("{alert:?}")),
                false => ConnectionFault::CertificateWanted,
            },
            // Its signature or its chain does not hold.
            AlertDescription::DecryptError if shows_certificate => {
                ConnectionFault::CertificateRefused(format!("{alert:?}"))
            }
            // These say nothing of what was offered.
            AlertDescription::CloseNotify
            | AlertDescription::InternalError
            | AlertDescription::UserCanceled => return None,
            _ => ConnectionFault::Tls(format!("the peer refuses it ({alert:?})")),
        },
        // What came first is no TLS record.
        E::InvalidMessage(_) => ConnectionFault::NoTls,
        E::PeerIncompatible(what) => {
            ConnectionFault::Tls(format!("the peer cannot do what is needed: {what:?}"))
        }
        E::NoCertificatesPresented | E::UnsupportedNameType => ConnectionFault::Tls(error.to_string()),
        _ => return None,
    })
}

/// A name as it stands in a certificate: rustls shows it as `DnsName("…")`.
fn bare(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inner.trim_matches('"').to_owned()
}

/// Something to read and to write.
trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection, and what was heard on it already.
struct Stream {
    io: Box<dyn Io>,
    heard: Vec<u8>,
}

impl Stream {
    fn new(io: Box<dyn Io>) -> Self {
        Self { io, heard: Vec::new() }
    }

    /// Waits for the server's first word. Nothing is lost when it is no longer waited for.
    async fn listen(&mut self) -> io::Result<()> {
        let mut heard = [0; 1024];
        let length = self.io.read(&mut heard).await?;
        if length == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the peer closed the connection at once",
            ));
        }
        self.heard.extend(&heard[..length]);
        Ok(())
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.heard.is_empty() {
            return Pin::new(&mut self.io).poll_read(context, into);
        }
        let length = self.heard.len().min(into.remaining());
        into.put_slice(&self.heard[..length]);
        self.heard.drain(..length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
