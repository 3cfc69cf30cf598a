//! Real Fabric with two organisations, whose chaincode is the tests' contract in processes of the test program.

use super::common::{Client, Keys};
use launcher::{ChaincodeCommand, Collection, Network, Options};
use shim::{Server, Tls};
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

    /// A client of an organisation, of whatever shows its peer's certificate at this address.
    pub fn client_at(&self, org: usize, address: impl Display) -> Client {
        let org = &self.network.orgs[org];
        let root = fs::read(self.network.path(&org.peer.tls.ca)).unwrap();
        let tls =
            ClientTlsConfig::new().ca_certificate(Certificate::from_pem(root)).domain_name(&org.peer.host);
        let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap();
        let connection = endpoint.tls_config(tls).unwrap().connect_lazy();
        let path = |path| self.network.path(path);
        Client::new(connection, &org.msp_id, &path(&org.user.cert), &path(&org.user.key))
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
    let tls = Tls::new(
        fs::read(variable("CHAINCODE_TLS_CERT")).unwrap(),
        fs::read(variable("CHAINCODE_TLS_KEY")).unwrap(),
    );
    let contract = Keys { msp_id: variable("CHAINCODE_ID") };
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let server = Server::builder(contract).package_id(variable("CHAINCODE_ID")).tls(tls);
    server.serve(listener, std::future::pending()).await.unwrap();
}
