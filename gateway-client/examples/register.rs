//! The life of a transaction, on a machine with nothing installed: a development ledger and a chaincode run in this
//! process, and a client submits to them, evaluates, and reads the blocks.
//!
//! ```text
//! cargo run -p confab-gateway-client --example register
//! ```
//!
//! Beside a network of one's own only the client's part is needed, from [`client`] on.

use crypto_material::{NetworkSpec, Org, generate};
use dev_ledger::{ChaincodeConfig, Config, OrgConfig};
use gateway_client::{Call, Checkpoint, Endpoint, Gateway, Options, Tls, User};
use shim::{Contract, Response, Server, Stub, StubError};
use std::{error::Error, fs, path::Path, time::Duration};
use tokio::net::TcpListener;

const PACKAGE: &str = "register_1:0";

/// The chaincode: values under keys.
struct Register;

impl Register {
    fn call(stub: &Stub) -> Result<Vec<u8>, StubError> {
        let key = stub.arg_str(1)?;
        match stub.function()? {
            "get" => Ok(stub.get_state(key)?.unwrap_or_default()),
            "put" => stub.put_state(key, stub.arg_str(2)?).map(|()| Vec::new()),
            _ => Err(StubError::Argument { index: 0 }),
        }
    }
}

impl Contract for Register {
    fn invoke(&self, stub: &Stub) -> Response {
        Self::call(stub).map_or_else(Response::error, Response::ok)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let material = generate(&NetworkSpec::standard(1), &dir.path().join("crypto"))?;
    let org = material.org("Org1")?;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let chaincode = listener.local_addr()?.to_string();
    tokio::spawn(Server::builder(Register).package_id(PACKAGE).serve(listener, std::future::pending()));
    let ledger = dev_ledger::serve(config(dir.path(), &org, chaincode)?).await?;
    let peer = ledger.address("Org1MSP").ok_or("Org1 has no peer")?;

    client(&format!("localhost:{}", peer.port()), &org).await?;
    ledger.shutdown().await;
    Ok(())
}

async fn client(peer: &str, org: &Org) -> Result<(), Box<dyn Error>> {
    let user = org.user("User1")?;
    let user = User::from_files(org.msp_id(), &user.signing_cert(), &user.signing_key())?;
    let tls = Tls { ca_pem: fs::read(org.tls_ca_cert())?, server_name: None };
    let endpoint = Endpoint { address: peer.into(), tls: Some(tls) };
    let gateway = Gateway::connect(&endpoint, user, Options::default())?;
    // The names that the development ledger gives unless told otherwise.
    let network = gateway.network("confab");
    let contract = network.contract("confab");

    // Step by step; `contract.submit` does the same.
    let proposal = contract.propose(Call::new("put").arg("colour").arg("green"))?;
    let transaction = proposal.endorse().await?;
    let status = transaction.submit().await?.status().await?;
    println!("{} in block {}: {:?}", transaction.id(), status.block_number, status.code);

    // With retries, for peers that restart or lose a transaction: to be used where the call may be repeated.
    let call = Call::new("put").arg("colour").arg("blue");
    let done = contract.submitter().submit(call, Duration::from_secs(30)).await?;
    println!("{} in block {:?}", done.transaction_id, done.block_number);

    let colour = contract.evaluate(Call::new("get").arg("colour")).await?;
    println!("the colour is {}", String::from_utf8_lossy(&colour));

    let mut blocks = network.past_blocks(Checkpoint::start());
    while let Some(block) = blocks.next().await {
        let block = block?;
        for transaction in &block.transactions {
            match transaction.function() {
                Some(function) => {
                    println!("block {}: {function} by {}", block.number, transaction.creator.msp_id)
                }
                None => println!("block {}: the channel's configuration", block.number),
            }
        }
    }
    Ok(())
}

fn config(dir: &Path, org: &Org, chaincode: String) -> Result<Config, Box<dyn Error>> {
    let peer = org.node("peer0")?;
    let service = ChaincodeConfig {
        address: chaincode,
        tls_root: None,
        client: None,
        package_id: PACKAGE.into(),
        package: None,
    };
    let org = OrgConfig {
        msp_id: org.msp_id().into(),
        listen: "127.0.0.1:0".parse()?,
        tls_cert: peer.tls_cert(),
        tls_key: peer.tls_key(),
        signing_cert: peer.signing_cert(),
        signing_key: peer.signing_key(),
        msp_dir: org.msp_dir(),
        chaincodes: [("confab".into(), service)].into(),
    };
    Ok(Config::new(dir.join("ledger"), vec![org]))
}
