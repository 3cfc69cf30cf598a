//! A ledger with a chaincode service per organisation, and a client that speaks raw gRPC.

#![allow(dead_code, reason = "each test binary uses a part")]

mod steps;
pub mod tamper;
pub mod transcript;

use crypto_material::{Material, NetworkSpec, generate};
use dev_ledger::{ChaincodeConfig, Config, OrgConfig, Policy, Running};
use fabric_protos::common::{
    ChannelHeader, Envelope, Header, HeaderType, Payload, SignatureHeader, Status as BlockStatus,
};
use fabric_protos::gateway::*;
use fabric_protos::google::rpc;
use fabric_protos::hash::transaction_id;
use fabric_protos::msp::SerializedIdentity;
use fabric_protos::orderer::{SeekInfo, SeekPosition, SeekSpecified, seek_position};
use fabric_protos::peer::*;
use fabric_protos::services::{
    AtomicBroadcastClient, DeliverClient, DiscoveryClient, EndorserClient, GatewayClient, MAX_MESSAGE_SIZE,
};
use p256::ecdsa::{Signature, SigningKey, signature::Signer};
use p256::pkcs8::DecodePrivateKey;
use prost::Message;
use shim::{Contract, Response, Server, Stub, StubError, Tls};
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Status};

/// A contract for tests; each organisation's service knows whose it is.
pub struct Keys {
    /// Whose service it is.
    pub msp_id: String,
}

impl Keys {
    fn call(&self, stub: &Stub) -> Result<Vec<u8>, StubError> {
        let arg = |i| stub.arg_str(i + 1);
        match stub.function()? {
            "put" => {
                for pair in stub.params().chunks(2) {
                    let key = String::from_utf8_lossy(&pair[0]);
                    stub.put_state(&key, pair[1].clone())?;
                }
                stub.set_event("put", arg(0)?.as_bytes())?;
            }
            "blind" => stub.put_state(arg(0)?, arg(1)?)?,
            "del" => stub.del_state(arg(0)?)?,
            "get" => return Ok(stub.get_state(arg(0)?)?.unwrap_or_default()),
            "get-many" => {
                let values =
                    stub.get_states(&(0..stub.params().len()).map(arg).collect::<Result<Vec<_>, _>>()?)?;
                let values: Vec<_> = values.into_iter().map(Option::unwrap_or_default).collect();
                return Ok(values.join(&b","[..]));
            }
            // Reads first, so that MVCC has something to check.
            "add" => {
                let before = stub.get_state(arg(0)?)?.unwrap_or_default();
                stub.put_state(arg(0)?, [before.as_slice(), arg(1)?.as_bytes()].concat())?;
            }
            // Reads its own write back: Fabric answers the committed value.
            "put-get" => {
                stub.put_state(arg(0)?, arg(1)?)?;
                return Ok(stub.get_state(arg(0)?)?.unwrap_or_default());
            }
            "keys" => {
                let found: Result<Vec<_>, _> = stub
                    .get_state_by_range(arg(0)?, arg(1)?)?
                    .map(|entry| entry.map(|entry| entry.key))
                    .collect();
                return Ok(found?.join(",").into_bytes());
            }
            // Writes how many keys a range has.
            "count" => {
                let count = stub.get_state_by_range(arg(0)?, arg(1)?)?.count();
                stub.put_state(arg(2)?, count.to_string())?;
            }
            "page" => {
                let size = arg(2)?.parse().unwrap();
                let page = stub.get_state_by_range_with_pagination(arg(0)?, arg(1)?, size, arg(3)?)?;
                let keys: Vec<_> = page.results.into_iter().map(|entry| entry.key).collect();
                return Ok(format!("{} then {:?}", keys.join(","), page.bookmark).into_bytes());
            }
            "history" => {
                let found: Result<Vec<_>, _> = stub
                    .get_history_for_key(arg(0)?)?
                    .map(|change| change.map(|change| change.value.unwrap_or(b"deleted".to_vec())))
                    .collect();
                return Ok(found?.join(&b","[..]));
            }
            // Whose peers must endorse what is written to a key; a member's policy of its own.
            "policy" => {
                let policy = policy(&stub.params()[1..]);
                stub.set_state_validation_parameter(arg(0)?, policy)?;
            }
            "policy of" => {
                let policy = stub.get_state_validation_parameter(arg(0)?)?.unwrap_or_default();
                return Ok(policy);
            }
            // The value is the transient "value", so that it is in no block.
            "put private" => {
                stub.put_private_data(arg(0)?, arg(1)?, stub.transient()["value"].clone())?;
            }
            "get private" => return Ok(stub.get_private_data(arg(0)?, arg(1)?)?.unwrap_or_default()),
            // Reads first, so that MVCC has something to check.
            "add private" => {
                let before = stub.get_private_data(arg(0)?, arg(1)?)?.unwrap_or_default();
                stub.put_private_data(
                    arg(0)?,
                    arg(1)?,
                    [before, stub.transient()["value"].clone()].concat(),
                )?;
            }
            "private hash" => {
                let hash = stub.get_private_data_hash(arg(0)?, arg(1)?)?.unwrap_or_default();
                return Ok(hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes());
            }
            "private keys" => {
                let found: Result<Vec<_>, _> = stub
                    .get_private_data_by_range(arg(0)?, arg(1)?, arg(2)?)?
                    .map(|entry| entry.map(|entry| entry.key))
                    .collect();
                return Ok(found?.join(",").into_bytes());
            }
            // What Fabric allows only in calls that write nothing.
            "page and put" => {
                stub.get_state_by_range_with_pagination(arg(0)?, arg(1)?, 1, "")?;
                stub.put_state("k", "v")?;
            }
            "private keys and put" => {
                stub.get_private_data_by_range(arg(0)?, "", "")?.for_each(drop);
                stub.put_state("k", "v")?;
            }
            "put and private keys" => {
                stub.put_state("k", "v")?;
                stub.get_private_data_by_range(arg(0)?, "", "")?.for_each(drop);
            }
            "del private" => stub.del_private_data(arg(0)?, arg(1)?)?,
            "purge private" => stub.purge_private_data(arg(0)?, arg(1)?)?,
            "private policy" => {
                let policy = policy(&stub.params()[2..]);
                stub.set_private_data_validation_parameter(arg(0)?, arg(1)?, policy)?;
            }
            "call" => {
                let response = stub.invoke_chaincode(arg(0)?, &stub.params()[1..], None)?;
                return Ok(
                    format!("{} {}", response.status, String::from_utf8_lossy(&response.payload)).into()
                );
            }
            // Several calls in one transaction.
            "steps" => return steps::take(stub),
            "whose" => return Ok(self.msp_id.clone().into_bytes()),
            "disagree-with" if arg(0)? == self.msp_id => return Ok(b"other".to_vec()),
            "disagree-with" => return Ok(b"one".to_vec()),
            "sleep" => {
                std::thread::sleep(Duration::from_millis(arg(0)?.parse().unwrap()));
                return Ok(stub.transient().get("secret").cloned().unwrap_or_default());
            }
            other => panic!("no function {other}"),
        }
        Ok(Vec::new())
    }
}

/// The policy by which a peer of each of these organisations must endorse.
fn policy(msp_ids: &[Vec<u8>]) -> Vec<u8> {
    let principal = |id: &Vec<u8>| format!("'{}.peer'", String::from_utf8_lossy(id));
    let policy = format!("AND({})", msp_ids.iter().map(principal).collect::<Vec<_>>().join(", "));
    policy.parse::<Policy>().unwrap().to_envelope().encode_to_vec()
}

impl Contract for Keys {
    fn invoke(&self, stub: &Stub) -> Response {
        if matches!(stub.function(), Ok("fail")) {
            return Response::error("NOT_YET {\"round\":3}");
        }
        match self.call(stub) {
            Ok(payload) => Response::ok(payload),
            Err(e) => Response::error(e),
        }
    }
}

/// Material, chaincode services and the ledger's configuration.
pub struct Network {
    pub dir: tempfile::TempDir,
    pub material: Material,
    pub config: Config,
    services: Vec<Service>,
}

struct Service {
    msp_id: String,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Network {
    /// `n` organisations whose chaincode services run.
    pub async fn new(n: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let material = generate(&NetworkSpec::standard(n), &dir.path().join("crypto")).unwrap();
        let mut orgs = Vec::new();
        let mut services = Vec::new();
        for org in material.peer_orgs() {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let task = spawn_service(&material, org.msp_id(), listener);
            services.push(Service { msp_id: org.msp_id().into(), address, task });
            orgs.push(org_config(&org, &format!("localhost:{}", address.port())));
        }
        let config = Config::new(dir.path().join("ledger"), orgs);
        Self { dir, material, config, services }
    }

    pub async fn serve(&self) -> Running {
        dev_ledger::serve(self.config.clone()).await.unwrap()
    }

    /// A second service of the same contract for every organisation, by its MSP ID.
    pub async fn extra_service(&mut self) -> BTreeMap<String, ChaincodeConfig> {
        let mut found = BTreeMap::new();
        for org in self.material.peer_orgs() {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let config = service_config(&org, &format!("localhost:{}", address.port()));
            let task = spawn_service(&self.material, org.msp_id(), listener);
            self.services.push(Service { msp_id: org.msp_id().into(), address, task });
            found.insert(org.msp_id().to_string(), config);
        }
        found
    }

    /// Ends an organisation's chaincode service and every stream to it, as a kill would.
    pub async fn kill_service(&mut self, msp_id: &str) {
        let service = self.services.iter_mut().find(|service| service.msp_id == msp_id).unwrap();
        service.task.abort();
        let _ = (&mut service.task).await;
    }

    pub async fn start_service(&mut self, msp_id: &str) {
        let service = self.services.iter_mut().find(|service| service.msp_id == msp_id).unwrap();
        let listener = TcpListener::bind(service.address).await.unwrap();
        service.task = spawn_service(&self.material, msp_id, listener);
    }

    pub fn client(&self, ledger: &Running, org: usize) -> Client {
        self.client_at(ledger.address(&format!("Org{org}MSP")).unwrap(), org)
    }

    pub fn admin(&self, ledger: &Running, org: usize) -> Client {
        let material = self.material.org(&format!("Org{org}")).unwrap();
        self.connect(ledger.address(&format!("Org{org}MSP")).unwrap(), &material, material.admin())
    }

    pub fn client_at(&self, address: SocketAddr, org: usize) -> Client {
        let org = self.material.org(&format!("Org{org}")).unwrap();
        self.connect(address, &org, org.user("User1").unwrap())
    }

    fn connect(
        &self,
        address: SocketAddr,
        org: &crypto_material::Org,
        user: crypto_material::User,
    ) -> Client {
        let root = fs::read(org.tls_ca_cert()).unwrap();
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(root));
        let endpoint = Endpoint::from_shared(format!("https://localhost:{}", address.port())).unwrap();
        let connection = endpoint.tls_config(tls).unwrap().tcp_nodelay(true).connect_lazy();
        Client::new(connection, org.msp_id(), &user.signing_cert(), &user.signing_key())
    }
}

/// An organisation's part of the configuration, on any port.
pub fn org_config(org: &crypto_material::Org, chaincode: &str) -> OrgConfig {
    let peer = org.node("peer0").unwrap();
    OrgConfig {
        msp_id: org.msp_id().into(),
        listen: "127.0.0.1:0".parse().unwrap(),
        tls_cert: peer.tls_cert(),
        tls_key: peer.tls_key(),
        signing_cert: peer.signing_cert(),
        signing_key: peer.signing_key(),
        msp_dir: org.msp_dir(),
        chaincodes: [("confab".to_string(), service_config(org, chaincode))].into(),
    }
}

fn service_config(org: &crypto_material::Org, address: &str) -> ChaincodeConfig {
    ChaincodeConfig {
        address: address.into(),
        tls_root: Some(org.tls_ca_cert()),
        client: None,
        package_id: "keys_1:abc".into(),
        package: None,
    }
}

/// Runs the contract in a runtime of its own, so that aborting the task ends its connections too.
fn spawn_service(material: &Material, msp_id: &str, listener: TcpListener) -> JoinHandle<()> {
    let peer = material.org(msp_id).unwrap().node("peer0").unwrap();
    let tls = Tls::new(fs::read(peer.tls_cert()).unwrap(), fs::read(peer.tls_key()).unwrap());
    let contract = Keys { msp_id: msp_id.into() };
    let listener = listener.into_std().unwrap();
    tokio::spawn(async move {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let guard = Shutdown(Some(runtime));
        let runtime = guard.0.as_ref().unwrap();
        let listener = {
            let _entered = runtime.enter();
            TcpListener::from_std(listener).unwrap()
        };
        let serving = runtime.spawn(async move {
            let server = Server::builder(contract).package_id("keys_1:abc").tls(tls);
            server.serve(listener, std::future::pending()).await.unwrap();
        });
        let _ = serving.await;
    })
}

struct Shutdown(Option<tokio::runtime::Runtime>);

impl Drop for Shutdown {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A client of one organisation's peer.
#[derive(Clone)]
pub struct Client {
    pub gateway: GatewayClient<Channel>,
    pub deliver: DeliverClient<Channel>,
    pub endorser: EndorserClient<Channel>,
    /// Where transactions are ordered; on the development ledger the peer.
    pub orderer: AtomicBroadcastClient<Channel>,
    pub discovery: DiscoveryClient<Channel>,
    /// The hash of the certificate that `discovery` shows; empty where it shows none.
    pub tls_hash: Vec<u8>,
    pub creator: Vec<u8>,
    key: SigningKey,
}

/// A proposal with its transaction id.
#[derive(Clone)]
pub struct Proposed {
    pub id: String,
    pub signed: SignedProposal,
}

impl Client {
    pub fn new(connection: Channel, msp_id: &str, certificate: &Path, key: &Path) -> Self {
        let id_bytes = fs::read(certificate).unwrap();
        Self {
            gateway: GatewayClient::new(connection.clone()).max_decoding_message_size(MAX_MESSAGE_SIZE),
            deliver: DeliverClient::new(connection.clone()).max_decoding_message_size(MAX_MESSAGE_SIZE),
            endorser: EndorserClient::new(connection.clone()).max_decoding_message_size(MAX_MESSAGE_SIZE),
            orderer: AtomicBroadcastClient::new(connection.clone())
                .max_decoding_message_size(MAX_MESSAGE_SIZE),
            discovery: DiscoveryClient::new(connection),
            tls_hash: Vec::new(),
            creator: SerializedIdentity { mspid: msp_id.into(), id_bytes }.encode_to_vec(),
            key: SigningKey::from_pkcs8_pem(&fs::read_to_string(key).unwrap()).unwrap(),
        }
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature: Signature = self.key.sign(message);
        signature.normalize_s().to_der().as_bytes().to_vec()
    }

    pub fn propose(&self, args: &[&str]) -> Proposed {
        self.propose_as(args, |_| {})
    }

    /// A proposal whose channel header is changed before it is signed.
    pub fn propose_as(&self, args: &[&str], change: impl FnOnce(&mut ChannelHeader)) -> Proposed {
        self.propose_to("confab", args, change)
    }

    /// A proposal to call a chaincode.
    pub fn propose_to(&self, name: &str, args: &[&str], change: impl FnOnce(&mut ChannelHeader)) -> Proposed {
        // Transient data ties a call to the gateway's organisation, so only these functions have any.
        let (args, secret) = match args {
            ["sleep", ..] => (args, Some(("secret".to_string(), b"hidden".to_vec()))),
            ["put private" | "add private", .., value] => {
                (&args[..args.len() - 1], Some(("value".to_string(), value.as_bytes().to_vec())))
            }
            _ => (args, None),
        };
        let args = args.iter().map(|arg| arg.as_bytes().to_vec()).collect();
        self.propose_call(name, args, secret.into_iter().collect(), false, change)
    }

    /// A proposal to initialise a chaincode by a call.
    pub fn propose_init(&self, name: &str, args: &[&str]) -> Proposed {
        let args = args.iter().map(|arg| arg.as_bytes().to_vec()).collect();
        self.propose_call(name, args, BTreeMap::new(), true, |_| {})
    }

    /// A proposal to call a chaincode with arguments that are no texts.
    pub fn propose_bytes(
        &self,
        name: &str,
        args: &[&[u8]],
        change: impl FnOnce(&mut ChannelHeader),
    ) -> Proposed {
        let args = args.iter().map(|arg| arg.to_vec()).collect();
        self.propose_call(name, args, BTreeMap::new(), false, change)
    }

    fn propose_call(
        &self,
        name: &str,
        args: Vec<Vec<u8>>,
        transient_map: BTreeMap<String, Vec<u8>>,
        is_init: bool,
        change: impl FnOnce(&mut ChannelHeader),
    ) -> Proposed {
        let mut nonce = [0; 24];
        getrandom::fill(&mut nonce).unwrap();
        let id = transaction_id(&nonce, &self.creator);
        let chaincode_id = Some(ChaincodeId { name: name.into(), ..Default::default() });
        let extension = ChaincodeHeaderExtension { chaincode_id: chaincode_id.clone() }.encode_to_vec();
        let mut channel_header = ChannelHeader {
            r#type: HeaderType::EndorserTransaction as i32,
            timestamp: Some(now()),
            channel_id: "confab".into(),
            tx_id: id.clone(),
            extension,
            ..Default::default()
        };
        change(&mut channel_header);
        let header = Header {
            channel_header: channel_header.encode_to_vec(),
            signature_header: SignatureHeader { creator: self.creator.clone(), nonce: nonce.to_vec() }
                .encode_to_vec(),
        };
        let spec = ChaincodeSpec {
            r#type: chaincode_spec::Type::Golang as i32,
            chaincode_id,
            input: Some(ChaincodeInput { args, is_init, ..Default::default() }),
            timeout: 0,
        };
        let input = ChaincodeInvocationSpec { chaincode_spec: Some(spec) }.encode_to_vec();
        let payload = ChaincodeProposalPayload { input, transient_map }.encode_to_vec();
        let proposal = Proposal { header: header.encode_to_vec(), payload, extension: Vec::new() };
        let proposal_bytes = proposal.encode_to_vec();
        let signature = self.sign(&proposal_bytes);
        Proposed { id: channel_header.tx_id, signed: SignedProposal { proposal_bytes, signature } }
    }

    pub async fn evaluate(&mut self, args: &[&str]) -> Result<String, Status> {
        let proposed = self.propose(args);
        self.evaluate_proposed(proposed).await
    }

    pub async fn evaluate_proposed(&mut self, proposed: Proposed) -> Result<String, Status> {
        let request = EvaluateRequest {
            transaction_id: proposed.id,
            channel_id: "confab".into(),
            proposed_transaction: Some(proposed.signed),
            target_organizations: Vec::new(),
        };
        let result = self.gateway.evaluate(request).await?.into_inner().result.unwrap();
        Ok(String::from_utf8(result.payload).unwrap())
    }

    /// What the peer itself answers to a proposal.
    pub async fn process(&mut self, proposed: &Proposed) -> Result<ProposalResponse, Status> {
        Ok(self.endorser.process_proposal(proposed.signed.clone()).await?.into_inner())
    }

    /// The status and the words of the orderer for an envelope.
    pub async fn broadcast(&mut self, envelope: Envelope) -> (BlockStatus, String) {
        let mut answers = self.orderer.broadcast(tokio_stream::once(envelope)).await.unwrap().into_inner();
        let answer = answers.message().await.unwrap().unwrap();
        (answer.status(), answer.info)
    }

    /// What the system chaincode `qscc` answers.
    pub async fn ask(&mut self, args: &[&str]) -> Result<Vec<u8>, Status> {
        let proposed = self.propose_to("qscc", args, |_| {});
        let request = EvaluateRequest { proposed_transaction: Some(proposed.signed), ..Default::default() };
        Ok(self.gateway.evaluate(request).await?.into_inner().result.unwrap().payload)
    }

    /// An endorsed and signed transaction.
    pub async fn endorse(&mut self, proposed: &Proposed, orgs: &[&str]) -> Result<Envelope, Status> {
        let request = EndorseRequest {
            transaction_id: proposed.id.clone(),
            channel_id: "confab".into(),
            proposed_transaction: Some(proposed.signed.clone()),
            endorsing_organizations: orgs.iter().map(ToString::to_string).collect(),
        };
        let mut envelope = self.gateway.endorse(request).await?.into_inner().prepared_transaction.unwrap();
        envelope.signature = self.sign(&envelope.payload);
        Ok(envelope)
    }

    pub async fn submit(&mut self, id: &str, envelope: Envelope) -> Result<(), Status> {
        self.submit_on("confab", id, envelope).await
    }

    pub async fn submit_on(&mut self, channel: &str, id: &str, envelope: Envelope) -> Result<(), Status> {
        let request = SubmitRequest {
            transaction_id: id.into(),
            channel_id: channel.into(),
            prepared_transaction: Some(envelope),
        };
        self.gateway.submit(request).await.map(drop)
    }

    pub async fn commit_status(&mut self, id: &str) -> Result<(TxValidationCode, u64), Status> {
        self.commit_status_on("confab", id).await
    }

    pub async fn commit_status_on(
        &mut self,
        channel: &str,
        id: &str,
    ) -> Result<(TxValidationCode, u64), Status> {
        let request = CommitStatusRequest {
            transaction_id: id.into(),
            channel_id: channel.into(),
            identity: self.creator.clone(),
        };
        let request = request.encode_to_vec();
        let signature = self.sign(&request);
        let answer =
            self.gateway.commit_status(SignedCommitStatusRequest { request, signature }).await?.into_inner();
        Ok((answer.result.try_into().unwrap(), answer.block_number))
    }

    /// Endorses, submits and waits; gives the verdict and the block.
    pub async fn transact(&mut self, args: &[&str]) -> Result<(TxValidationCode, u64), Status> {
        let proposed = self.propose(args);
        let envelope = self.endorse(&proposed, &[]).await?;
        self.submit(&proposed.id, envelope).await?;
        self.commit_status(&proposed.id).await
    }

    /// A signed request for blocks.
    pub fn seek(&self, seek: SeekInfo, change: impl FnOnce(&mut ChannelHeader)) -> Envelope {
        let mut channel_header = ChannelHeader {
            r#type: HeaderType::DeliverSeekInfo as i32,
            timestamp: Some(now()),
            channel_id: "confab".into(),
            ..Default::default()
        };
        change(&mut channel_header);
        let header = Header {
            channel_header: channel_header.encode_to_vec(),
            signature_header: SignatureHeader { creator: self.creator.clone(), nonce: vec![1; 24] }
                .encode_to_vec(),
        };
        let payload = Payload { header: Some(header), data: seek.encode_to_vec() }.encode_to_vec();
        let signature = self.sign(&payload);
        Envelope { payload, signature }
    }

    /// What the orderer's deliver answers to one request, until it gives a status.
    pub async fn ordered_blocks(&mut self, request: Envelope) -> (Vec<fabric_protos::common::Block>, i32) {
        use fabric_protos::orderer::deliver_response::Type;
        let mut answers = self.orderer.deliver(tokio_stream::once(request)).await.unwrap().into_inner();
        let mut blocks = Vec::new();
        loop {
            match answers.message().await.unwrap().unwrap().r#type.unwrap() {
                Type::Block(block) => blocks.push(block),
                Type::Status(status) => return (blocks, status),
            }
        }
    }

    /// What deliver answers to one request, until it gives a status.
    pub async fn blocks(&mut self, request: Envelope) -> (Vec<fabric_protos::common::Block>, i32) {
        let requests = tokio_stream::once(request);
        let mut answers = self.deliver.deliver(requests).await.unwrap().into_inner();
        let mut blocks = Vec::new();
        loop {
            match answers.message().await.unwrap().unwrap().r#type.unwrap() {
                deliver_response::Type::Block(block) => blocks.push(block),
                deliver_response::Type::Status(status) => return (blocks, status),
                other => panic!("{other:?}"),
            }
        }
    }
}

pub fn position(number: u64) -> Option<SeekPosition> {
    Some(SeekPosition { r#type: Some(seek_position::Type::Specified(SeekSpecified { number })) })
}

pub fn now() -> prost_types::Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    prost_types::Timestamp { seconds: since.as_secs() as i64, nanos: since.subsec_nanos() as i32 }
}

/// The details of a failed call: who said what.
pub fn details(status: &Status) -> Vec<(String, String)> {
    let status = rpc::Status::decode(status.details()).unwrap();
    let read = |any: &prost_types::Any| {
        assert_eq!(any.type_url, "type.googleapis.com/gateway.ErrorDetail");
        let detail = ErrorDetail::decode(any.value.as_slice()).unwrap();
        (detail.msp_id, detail.message)
    };
    status.details.iter().map(read).collect()
}

#[track_caller]
pub fn assert_status(status: &Status, code: Code, message: &str) {
    assert_eq!(status.code(), code, "{status:?}");
    assert!(status.message().contains(message), "{status:?}");
}

/// The path of the ledger's database.
pub fn database(network: &Network) -> PathBuf {
    network.dir.path().join("ledger/ledger.redb")
}
