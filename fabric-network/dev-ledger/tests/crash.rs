//! A ledger in a process of its own that is killed without warning.

mod common;

use common::{Client, Network};
use fabric_protos::peer::TxValidationCode;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Runs `ledger_process` below as a process, and gives the address of Org1's peer.
fn start(network: &Network) -> (Child, SocketAddr) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ledger_process", "--nocapture"])
        .env("LEDGER_DIR", &network.config.dir)
        .env("LEDGER_CRYPTO", network.material.dir())
        .env(
            "LEDGER_CHAINCODES",
            network
                .config
                .orgs
                .iter()
                .map(|org| org.chaincodes["confab"].address.clone() + " ")
                .collect::<String>(),
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
    config.max_message_count = 3;
    let ledger = dev_ledger::serve(config).await.unwrap();
    println!("\nlistening {}", ledger.address("Org1MSP").unwrap());
    std::future::pending::<()>().await;
}

/// How often the ledger is killed: `LEDGER_KILLS`, or 4.
fn kills() -> u64 {
    std::env::var("LEDGER_KILLS").map_or(4, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_survives_a_kill() {
    let network = Network::new(2).await;
    // Key, transaction and block of every commit that was acknowledged.
    let committed: Arc<Mutex<Vec<(String, String, u64)>>> = Arc::default();
    let mut checked = 0;
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for round in 0..kills() {
        let (mut child, address) = start(&network);
        let client = network.client_at(address, 1);
        // Everything once after the kill that followed it, and some of it again.
        let all = committed.lock().unwrap().clone();
        let again = all.iter().step_by(1 + all.len() / 20);
        for (key, id, block) in all[checked..].iter().chain(again) {
            let mut client = client.clone();
            assert_eq!(client.commit_status(id).await.unwrap(), (TxValidationCode::Valid, *block));
            assert_eq!(client.evaluate(&["get", key]).await.unwrap(), "v");
        }
        checked = all.len();

        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let (client, committed) = (client.clone(), committed.clone());
                tokio::spawn(write_until_killed(client, format!("{round}-{writer}"), committed))
            })
            .collect();
        // So that something is acknowledged however slow the machine is; then at any moment.
        while committed.lock().unwrap().len() < checked + 8 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_micros(u64::from(rng.next_u32() % 30_000))).await;
        child.kill().unwrap();
        child.wait().unwrap();
        for writer in writers {
            tokio::time::timeout(Duration::from_secs(10), writer).await.unwrap().unwrap();
        }
    }
    assert!(committed.lock().unwrap().len() as u64 >= 8 * kills());
}

/// Commits key after key, and notes what was acknowledged.
async fn write_until_killed(
    mut client: Client,
    name: String,
    committed: Arc<Mutex<Vec<(String, String, u64)>>>,
) {
    for i in 0.. {
        let key = format!("{name}-{i}");
        let proposed = client.propose(&["blind", &key, "v"]);
        let Ok(envelope) = client.endorse(&proposed, &[]).await else { return };
        if client.submit(&proposed.id, envelope).await.is_err() {
            return;
        }
        let Ok((code, block)) = client.commit_status(&proposed.id).await else { return };
        assert_eq!(code, TxValidationCode::Valid);
        committed.lock().unwrap().push((key, proposed.id, block));
    }
}
