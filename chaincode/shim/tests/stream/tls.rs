//! The port with TLS, and with client certificates.

use crate::{GRACE, Peer, Running};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use shim::Tls;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};

/// An authority that signs certificates for `localhost`.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn issue(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".into()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

async fn connect(running: &Running, tls: ClientTlsConfig) -> Result<Channel, tonic::transport::Error> {
    let port = running.address.rsplit(':').next().unwrap();
    Channel::from_shared(format!("https://localhost:{port}")).unwrap().tls_config(tls)?.connect().await
}

#[tokio::test]
async fn peers_connect_with_tls_and_only_to_the_right_server() {
    let ours = Authority::new();
    let (certificate, key) = ours.issue();
    let running = Running::start(GRACE, Some(Tls::new(certificate, key))).await;
    let trusting = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&ours.pem));
    let peer = Peer::connect(connect(&running, trusting).await.unwrap(), None).await;
    assert_eq!(peer.call("1", &["get", "k"]).await.status, 200);

    let foreign = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(Authority::new().pem));
    assert!(connect(&running, foreign).await.is_err());
}

#[tokio::test]
async fn mutual_tls_refuses_strangers() {
    let (ours, peers, foreign) = (Authority::new(), Authority::new(), Authority::new());
    let (certificate, key) = ours.issue();
    let tls = Tls::new(certificate, key).client_ca(&peers.pem);
    assert_eq!(format!("{tls:?}"), "Tls { mutual: true, .. }");
    let running = Running::start(GRACE, Some(tls)).await;
    let trusting = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&ours.pem));
    let with = |(certificate, key): (String, String)| {
        trusting.clone().identity(Identity::from_pem(certificate, key))
    };

    let peer = Peer::connect(connect(&running, with(peers.issue())).await.unwrap(), None).await;
    assert_eq!(peer.call("1", &["get", "k"]).await.status, 200);

    // In TLS 1.3 the client learns of its rejection with the first call.
    for stranger in [trusting.clone(), with(foreign.issue())] {
        if let Ok(channel) = connect(&running, stranger).await {
            let mut client = fabric_protos::services::ChaincodeClient::new(channel);
            assert!(client.connect(tokio_stream::empty()).await.is_err());
        }
    }
}

#[tokio::test]
async fn unusable_tls_material_is_an_error() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let probe = crate::Probe { errors: std::sync::mpsc::channel().0 };
    let server = shim::Server::builder(probe).package_id("p").tls(Tls::new("no", "pem"));
    let error = server.serve(listener, std::future::pending()).await.unwrap_err().to_string();
    assert!(error.starts_with("chaincode server: "), "{error}");
}
