//! Real Fabric with two organisations, whose chaincode is the tests' contract in processes of the test program.

#![allow(dead_code, reason = "each test binary uses a part")]

use super::common::{Client, Keys};
use fabric_protos::services::{AtomicBroadcastClient, DiscoveryClient, MAX_MESSAGE_SIZE};
use launcher::{ChaincodeCommand, Collection, Identity, Network, Options, Tls};
use sha2::Digest;
use shim::Server;
use std::fmt::Display;
use std::fs;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

/// A network that stops when it is dropped.
pub struct Fabric {
    pub network: Network,
    _down: Down,
}

impl Fabric {
    /// Starts it with these collections beside the organisations' own.
    pub async fn up(collections: Vec<Collection>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let program = std::env::current_exe().unwrap();
        let args = ["--exact", "fabric::chaincode_process", "--nocapture"].map(String::from).to_vec();
        let mut options = Options::new(dir.path().join("network"), 2, ChaincodeCommand { program, args });
        options.probe = ["blind", "0", "up"].map(String::from).to_vec();
        options.definition.collections = collections;
        let down = Down(dir);
        let network = launcher::fabric::up(&options, &mut |_| {}).await.unwrap();
        Self { network, _down: down }
    }

    /// A client of an organisation's peer.
    pub fn client(&self, org: usize) -> Client {
        self.client_at(org, &self.network.orgs[org].peer.address)
    }

    /// An organisation's administrator.
    pub fn admin(&self, org: usize) -> Client {
        let admin = &self.network.orgs[org].admin;
        self.connect(org, &self.network.orgs[org].peer.address, admin)
    }

    /// A client of an organisation, of whatever shows its peer's certificate at this address.
    pub fn client_at(&self, org: usize, address: impl Display) -> Client {
        self.connect(org, address, &self.network.orgs[org].user)
    }

    fn connect(&self, org: usize, address: impl Display, user: &Identity) -> Client {
        let (network, org) = (&self.network, &self.network.orgs[org]);
        let connection = |address: &dyn Display, tls: &Tls, host: &str| {
            let root = fs::read(network.path(&tls.ca)).unwrap();
            let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(root)).domain_name(host);
            let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap();
            endpoint.tls_config(tls).unwrap().connect_lazy()
        };
        let peer = connection(&address, &org.peer.tls, &org.peer.host);
        let mut client = Client::new(peer, &org.msp_id, &network.path(&user.cert), &network.path(&user.key));
        // Fabric answers discovery only to who shows some certificate, and names it.
        let read = |path| fs::read(network.path(path)).unwrap();
        let (cert, key) = (read(&org.peer.tls.cert), read(&org.peer.tls.key));
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read(&org.peer.tls.ca)))
            .domain_name(&org.peer.host)
            .identity(tonic::transport::Identity::from_pem(&cert, key));
        let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap();
        client.discovery = DiscoveryClient::new(endpoint.tls_config(tls).unwrap().connect_lazy());
        client.tls_hash = sha2::Sha256::digest(pem::parse(cert).unwrap().contents()).to_vec();
        // The development ledger has none beside its peers.
        if let Some(orderer) = network.orderers.first() {
            let connection = connection(&orderer.address, &orderer.tls, &orderer.host);
            client.orderer =
                AtomicBroadcastClient::new(connection).max_decoding_message_size(MAX_MESSAGE_SIZE);
        }
        client
    }
}

/// Stops the network when the test ends, however it ends.
struct Down(tempfile::TempDir);

impl Drop for Down {
    fn drop(&mut self) {
        let _ = launcher::down(&self.0.path().join("network"), true);
    }
}

/// A chaincode service as the launcher starts it; otherwise nothing.
#[tokio::test(flavor = "multi_thread")]
async fn chaincode_process() {
    let Ok(address) = std::env::var("CHAINCODE_SERVER_ADDRESS") else {
        return;
    };
    let variable = |name| std::env::var(name).unwrap();
    let tls = shim::Tls::new(
        fs::read(variable("CHAINCODE_TLS_CERT")).unwrap(),
        fs::read(variable("CHAINCODE_TLS_KEY")).unwrap(),
    );
    let contract = Keys { msp_id: variable("CHAINCODE_ID") };
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let server = Server::builder(contract).package_id(variable("CHAINCODE_ID")).tls(tls);
    server.serve(listener, std::future::pending()).await.unwrap();
}
