//! How long a round takes: three organisations that each put one record and wait for its commit.

mod common;

use common::Network;
use fabric_protos::peer::TxValidationCode;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn a_round_is_one_block() {
    let network = Network::new(3).await;
    let ledger = network.serve().await;
    let clients: Vec<_> = (1..=3).map(|org| network.client(&ledger, org)).collect();
    let rounds = 20;
    let mut times = Vec::new();
    for round in 0..rounds {
        let started = Instant::now();
        let puts = clients.iter().cloned().enumerate().map(|(org, mut client)| {
            tokio::spawn(async move {
                client.transact(&["put", &format!("{round}-{org}"), &"x".repeat(600)]).await
            })
        });
        for put in puts.collect::<Vec<_>>() {
            assert_eq!(put.await.unwrap().unwrap().0, TxValidationCode::Valid);
        }
        times.push(started.elapsed());
    }
    times.sort();
    println!("median of a round: {:?}, the slowest: {:?}", times[rounds / 2], times[rounds - 1]);
    // Far above what it takes; it would fail if something waited for a timeout.
    assert!(times[rounds / 2] < Duration::from_secs(1), "{times:?}");
    let height = ledger.height("Org1MSP").unwrap();
    assert!(height <= 3 * rounds as u64 + 1, "{height} blocks");
    ledger.shutdown().await;
}
