//! A ledger in a process of its own that is killed without warning.

mod common;

use common::Network;
use fabric_protos::peer::TxValidationCode;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Runs `ledger_process` below as a process, and gives the address of Org1's peer.
fn start(network: &Network) -> (Child, SocketAddr) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ledger_process", "--nocapture"])
        .env("LEDGER_DIR", &network.config.dir)
        .env("LEDGER_CRYPTO", network.material.dir())
        .env(
            "LEDGER_CHAINCODES",
            network.config.orgs.iter().map(|org| org.chaincodes["confab"].address.clone() + " ").collect::<String>(),
        )
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address =
        lines.map_while(Result::ok).find_map(|line| line.strip_prefix("listening ").map(String::from));
    (child, address.expect("the process says where it listens").parse().unwrap())
}

/// Not a test of its own: what the process does.
#[tokio::test(flavor = "multi_thread")]
async fn ledger_process() {
    let Some(dir) = std::env::var_os("LEDGER_DIR") else {
        return;
    };
    let material = crypto_material::load(std::env::var_os("LEDGER_CRYPTO").unwrap().as_ref()).unwrap();
    let chaincodes = std::env::var("LEDGER_CHAINCODES").unwrap();
    let orgs = material.peer_orgs().zip(chaincodes.split_whitespace());
    let orgs = orgs.map(|(org, address)| common::org_config(&org, address)).collect();
    let mut config = dev_ledger::Config::new(dir, orgs);
    // Small blocks, so that a kill falls between many of them.
    config.max_message_count = 1;
    let ledger = dev_ledger::serve(config).await.unwrap();
    println!("\nlistening {}", ledger.address("Org1MSP").unwrap());
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_survives_a_kill() {
    let network = Network::new(2).await;
    let mut committed: Vec<(String, u64)> = Vec::new();
    for round in 0..4 {
        let (mut child, address) = start(&network);
        let mut client = network.client_at(address, 1);
        for (i, (id, block)) in committed.iter().enumerate() {
            assert_eq!(client.commit_status(id).await.unwrap(), (TxValidationCode::Valid, *block));
            assert_eq!(client.evaluate(&["get", &format!("k{i}")]).await.unwrap(), "v");
        }
        // Killed in the middle of what a second client does.
        let mut busy = client.clone();
        let noise = tokio::spawn(async move {
            for i in 0.. {
                if busy.transact(&["blind", &format!("noise{round}-{i}"), "x"]).await.is_err() {
                    return;
                }
            }
        });
        for _ in 0..3 {
            let proposed = client.propose(&["blind", &format!("k{}", committed.len()), "v"]);
            let envelope = client.endorse(&proposed, &[]).await.unwrap();
            client.submit(&proposed.id, envelope).await.unwrap();
            let (code, block) = client.commit_status(&proposed.id).await.unwrap();
            assert_eq!(code, TxValidationCode::Valid);
            committed.push((proposed.id, block));
        }
        tokio::time::sleep(Duration::from_millis(17 * round)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        tokio::time::timeout(Duration::from_secs(10), noise).await.unwrap().unwrap();
    }
}
