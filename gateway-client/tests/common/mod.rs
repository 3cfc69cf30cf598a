//! Peers in this process, and what authorities issue for them and their clients.

// Every test binary uses a part of it.
#![allow(dead_code)]

use async_trait::async_trait;
use fabric_protos::common::{ChannelHeader, Envelope, Payload};
use fabric_protos::gateway::*;
use fabric_protos::peer::{self, DeliverResponse};
use fabric_protos::prost::Message;
use fabric_protos::services::{
    Deliver, DeliverServer, Gateway as GatewayService, GatewayServer, MAX_MESSAGE_SIZE,
};
use gateway_client::{Call, Endpoint, Error, Gateway, User};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use sha2::Digest;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use time::{Duration, OffsetDateTime};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::codegen::BoxStream;
use tonic::transport::{Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

/// A peer that answers evaluations with its name, or never, and tells one event of its name before it breaks off.
#[derive(Clone)]
pub struct Peer {
    pub name: &'static str,
    pub hangs: bool,
    /// Of each reader of blocks.
    pub claims: Arc<Mutex<Vec<Claim>>>,
}

/// The hash of the certificate that a reader claimed, and of the one that it had.
pub type Claim = (Vec<u8>, Vec<u8>);

impl Peer {
    pub fn new(name: &'static str) -> Self {
        Self { name, hangs: false, claims: Arc::default() }
    }

    /// Runs on a runtime of its own, which dies with all its connections, like a process.
    pub fn start(&self, tls: Option<ServerTlsConfig>) -> (SocketAddr, Runtime) {
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

pub fn user() -> User {
    let made = rcgen::generate_simple_self_signed(vec!["client".into()]).unwrap();
    User::from_pem("Org1MSP", &made.cert.pem(), &made.signing_key.serialize_pem()).unwrap()
}

pub fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint { address: address.to_string(), tls: None }
}

pub async fn name(gateway: &Gateway) -> Result<String, Error> {
    let answer = gateway.network("confab").contract("cc").evaluate(Call::new("name")).await?;
    Ok(String::from_utf8(answer).unwrap())
}

/// An authority, and what it issues: certificate and key in PEM.
pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// From and until when, in days from now.
pub type Days = (i64, i64);
pub const LONG: Days = (-1, 1_000);

fn valid(params: &mut CertificateParams, (from, until): Days) {
    params.not_before = OffsetDateTime::now_utc() + Duration::days(from);
    // Not at the border of a day.
    params.not_after = OffsetDateTime::now_utc() + Duration::days(until) + Duration::hours(1);
}

impl Authority {
    pub fn new() -> Self {
        Self::of("authority", LONG)
    }

    pub fn of(name: &str, days: Days) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        valid(&mut params, days);
        let key = KeyPair::generate().unwrap();
        Self { pem: params.self_signed(&key).unwrap().pem(), issuer: Issuer::new(params, key) }
    }

    pub fn issue(&self, name: &str) -> (String, String) {
        self.issue_for(name, LONG)
    }

    pub fn issue_for(&self, name: &str, days: Days) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.into()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        valid(&mut params, days);
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}
