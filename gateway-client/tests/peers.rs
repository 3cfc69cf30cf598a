//! Several peers, mutual TLS and large messages, against peers in this process.

use async_trait::async_trait;
use fabric_protos::common::{ChannelHeader, Envelope, Payload};
use fabric_protos::gateway::*;
use fabric_protos::peer::{self, DeliverResponse};
use fabric_protos::prost::Message;
use fabric_protos::services::{
    Deliver, DeliverServer, Gateway as GatewayService, GatewayServer, MAX_MESSAGE_SIZE,
};
use gateway_client::{
    Call, Checkpoint, ClientTls, Endpoint, Error, Failure, Gateway, Options, Start, Tls, User,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use sha2::Digest;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::codegen::BoxStream;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

/// A peer that answers evaluations with its name, or never, and tells one event of its name before it breaks off.
#[derive(Clone)]
struct Peer {
    name: &'static str,
    hangs: bool,
    /// Of each reader of blocks.
    claims: Arc<Mutex<Vec<Claim>>>,
}

/// The hash of the certificate that a reader claimed, and of the one that it had.
type Claim = (Vec<u8>, Vec<u8>);

impl Peer {
    fn new(name: &'static str) -> Self {
        Self { name, hangs: false, claims: Arc::default() }
    }

    /// Runs on a runtime of its own, which dies with all its connections, like a process.
    fn start(&self, tls: Option<ServerTlsConfig>) -> (SocketAddr, Runtime) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let mut server = Server::builder();
        if let Some(tls) = tls {
            server = server.tls_config(tls).unwrap();
        }
        let gateway = GatewayServer::new(self.clone())
            .max_decoding_message_size(MAX_MESSAGE_SIZE)
            .max_encoding_message_size(usize::MAX);
        let server = server.add_service(gateway).add_service(DeliverServer::new(self.clone()));
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
        (address, runtime)
    }
}

#[async_trait]
impl GatewayService for Peer {
    async fn evaluate(
        &self,
        request: Request<EvaluateRequest>,
    ) -> Result<Response<EvaluateResponse>, Status> {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        let proposal = request.into_inner().proposed_transaction.unwrap().proposal_bytes;
        let proposal = peer::Proposal::decode(proposal.as_slice()).unwrap();
        let payload = peer::ChaincodeProposalPayload::decode(proposal.payload.as_slice()).unwrap();
        // The length of the answer, if one is asked for.
        let payload = match payload.transient_map.get("length") {
            Some(length) => vec![b'x'; std::str::from_utf8(length).unwrap().parse().unwrap()],
            None => self.name.into(),
        };
        let result = peer::Response { status: 200, payload, ..Default::default() };
        Ok(Response::new(EvaluateResponse { result: Some(result) }))
    }

    async fn chaincode_events(
        &self,
        _: Request<SignedChaincodeEventsRequest>,
    ) -> Result<Response<BoxStream<ChaincodeEventsResponse>>, Status> {
        let event =
            peer::ChaincodeEvent { tx_id: "tx".into(), event_name: self.name.into(), ..Default::default() };
        let answer = ChaincodeEventsResponse { events: vec![event], block_number: 7 };
        let broken = Status::unavailable("the peer shuts down");
        Ok(Response::new(Box::pin(tokio_stream::iter([Ok(answer), Err(broken)]))))
    }

    async fn endorse(&self, _: Request<EndorseRequest>) -> Result<Response<EndorseResponse>, Status> {
        Err(Status::unavailable("no peers available to endorse"))
    }

    async fn submit(&self, _: Request<SubmitRequest>) -> Result<Response<SubmitResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn commit_status(
        &self,
        _: Request<SignedCommitStatusRequest>,
    ) -> Result<Response<CommitStatusResponse>, Status> {
        std::future::pending().await
    }
}

#[async_trait]
impl Deliver for Peer {
    async fn deliver(
        &self,
        request: Request<Streaming<Envelope>>,
    ) -> Result<Response<BoxStream<DeliverResponse>>, Status> {
        let certificate = request.peer_certs().and_then(|chain| chain.first().cloned());
        let envelope = request.into_inner().message().await?.ok_or_else(|| Status::internal("no request"))?;
        let payload = Payload::decode(envelope.payload.as_slice()).unwrap();
        let header = ChannelHeader::decode(payload.header.unwrap().channel_header.as_slice()).unwrap();
        let had = certificate.map(|der| sha2::Sha256::digest(&der).to_vec()).unwrap_or_default();
        self.claims.lock().unwrap().push((header.tls_cert_hash, had));
        Err(Status::unavailable("that is all"))
    }

    async fn deliver_filtered(
        &self,
        _: Request<Streaming<Envelope>>,
    ) -> Result<Response<BoxStream<DeliverResponse>>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn deliver_with_private_data(
        &self,
        _: Request<Streaming<Envelope>>,
    ) -> Result<Response<BoxStream<DeliverResponse>>, Status> {
        Err(Status::unimplemented("not needed"))
    }
}

fn user() -> User {
    let made = rcgen::generate_simple_self_signed(vec!["client".into()]).unwrap();
    User::from_pem("Org1MSP", &made.cert.pem(), &made.signing_key.serialize_pem()).unwrap()
}

fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint { address: address.to_string(), tls: None }
}

async fn name(gateway: &Gateway) -> Result<String, Error> {
    let answer = gateway.network("confab").contract("cc").evaluate(Call::new("name")).await?;
    Ok(String::from_utf8(answer).unwrap())
}

#[tokio::test]
async fn the_next_peer_is_called_when_one_is_gone() {
    let ((first, one), (second, two)) = (Peer::new("first").start(None), Peer::new("second").start(None));
    let gateway =
        Gateway::connect_any(&[endpoint(first), endpoint(second)], user(), Options::default()).unwrap();
    assert_eq!(name(&gateway).await.unwrap(), "first");
    assert_eq!(name(&gateway).await.unwrap(), "first", "as long as it is there");
    one.shutdown_background();
    assert_eq!(name(&gateway).await.unwrap(), "second", "in the same call");
    assert_eq!(gateway.address(), second.to_string());
    // The gateway's own trouble is told: another peer would have the same.
    let proposal = gateway.network("confab").contract("cc").propose(Call::new("f")).unwrap();
    let error = proposal.endorse().await.unwrap_err();
    assert!(error.to_string().contains("no peers available"), "{error}");
    assert_eq!(gateway.address(), second.to_string());
    two.shutdown_background();
    let error = name(&gateway).await.unwrap_err();
    assert_eq!(error.call().unwrap().failure(), Failure::Unavailable, "{error}");
}

#[tokio::test]
async fn a_peer_that_hangs_is_left_after_its_time() {
    let frozen = Peer { hangs: true, ..Peer::new("frozen") };
    let ((first, one), (second, two)) = (frozen.start(None), Peer::new("second").start(None));
    let options = Options {
        evaluate: Duration::from_millis(200),
        commit_status: Duration::from_millis(50),
        ..Options::default()
    };
    let gateway = Gateway::connect_any(&[endpoint(first), endpoint(second)], user(), options).unwrap();
    let error = gateway.network("confab").commit("tx").status().await.unwrap_err();
    assert_eq!(error.call().unwrap().failure(), Failure::TimedOut);
    assert_eq!(gateway.address(), first.to_string(), "a verdict may take its time");
    let error = name(&gateway).await.unwrap_err();
    assert_eq!(error.call().unwrap().failure(), Failure::TimedOut, "whether it ran is not known");
    assert_eq!(name(&gateway).await.unwrap(), "second");
    one.shutdown_background();
    two.shutdown_background();
}

/// Over one connection the break is an error; over several, the next peer goes on.
#[tokio::test]
async fn a_stream_of_events_goes_on_at_the_next_peer() {
    let ((first, one), (second, two)) = (Peer::new("first").start(None), Peer::new("second").start(None));
    let gateway =
        Gateway::connect_any(&[endpoint(first), endpoint(second)], user(), Options::default()).unwrap();
    let network = gateway.network("confab");

    let mut events = network.chaincode_events_request("cc", Start::NextCommit).events().await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap().name, "first");
    let error = events.next().await.unwrap().unwrap_err();
    assert!(error.to_string().contains("the peer shuts down"), "{error}");
    assert!(events.next().await.is_none());

    let mut events = network.chaincode_events("cc", Checkpoint::start());
    let mut names = Vec::new();
    for _ in 0..4 {
        names.push(events.next().await.unwrap().unwrap().name);
    }
    assert_eq!(names, ["second", "first", "second", "first"]);
    one.shutdown_background();
    two.shutdown_background();
}

#[tokio::test]
async fn messages_up_to_fabrics_limit_pass() {
    let (address, runtime) = Peer::new("peer").start(None);
    let options = Options { evaluate: Duration::from_secs(60), ..Options::default() };
    let gateway = Gateway::connect(&endpoint(address), user(), options).unwrap();
    let contract = gateway.network("confab").contract("cc");
    let large = MAX_MESSAGE_SIZE - 1024;
    let call = Call::new("large").transient("length", large.to_string());
    assert_eq!(contract.evaluate(call).await.unwrap().len(), large);
    let call = Call::new("large").arg(vec![0; large]);
    assert_eq!(contract.evaluate(call).await.unwrap(), b"peer");
    let call = Call::new("larger").transient("length", (MAX_MESSAGE_SIZE + 1).to_string());
    let error = contract.evaluate(call).await.unwrap_err();
    assert!(error.to_string().contains("too large"), "{error}");
    runtime.shutdown_background();
}

/// An authority, and what it issues: certificate and key in PEM.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self { pem: params.self_signed(&key).unwrap().pem(), issuer: Issuer::new(params, key) }
    }

    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec![name.into()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

#[tokio::test]
async fn peers_that_want_a_certificate_get_it_and_its_hash() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let (certificate, key) = authority.issue("localhost");
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(certificate, key))
        .client_ca_root(Certificate::from_pem(&clients.pem));
    let peer = Peer::new("strict");
    let (address, runtime) = peer.start(Some(tls));
    let tls = Tls { ca_pem: authority.pem.clone().into_bytes(), server_name: Some("localhost".into()) };
    let endpoint = Endpoint { address: address.to_string(), tls: Some(tls) };
    let connect = |own: Option<(String, String)>| {
        let client_tls = own.map(|(certificate, key)| ClientTls::from_pem(&certificate, &key).unwrap());
        Gateway::connect(&endpoint, user(), Options { client_tls, ..Options::default() }).unwrap()
    };

    let gateway = connect(Some(clients.issue("client")));
    assert_eq!(name(&gateway).await.unwrap(), "strict");
    let mut blocks =
        gateway.network("confab").block_events_request(Start::NextCommit).events().await.unwrap();
    let error = blocks.next().await.unwrap().unwrap_err();
    assert!(error.to_string().contains("that is all"), "{error}");
    let claims = peer.claims.lock().unwrap().clone();
    assert!(claims[0].0 == claims[0].1 && claims[0].0.len() == 32, "{claims:?}");

    for refused in [None, Some(authority.issue("client"))] {
        let error = name(&connect(refused)).await.unwrap_err();
        assert_eq!(error.call().unwrap().failure(), Failure::Unavailable, "{error}");
    }
    let (certificate, key) = clients.issue("client");
    for (certificate, key) in [(&key, &key), (&certificate, &certificate)] {
        ClientTls::from_pem(certificate, key).unwrap_err();
    }
    runtime.shutdown_background();
}
