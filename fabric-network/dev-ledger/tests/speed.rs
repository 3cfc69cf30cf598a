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

#[tokio::test(flavor = "multi_thread")]
async fn transactions_in_flight_share_blocks() {
    let network = Network::new(1).await;
    let ledger = network.serve().await;
    let client = network.client(&ledger, 1);
    client.clone().transact(&["blind", "first", "v"]).await.unwrap();
    let writers: Vec<_> = (0..64)
        .map(|writer| {
            let mut client = client.clone();
            tokio::spawn(async move {
                for i in 0..5 {
                    let verdict = client.transact(&["blind", &format!("{writer}-{i}"), "v"]).await.unwrap();
                    assert_eq!(verdict.0, TxValidationCode::Valid);
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let blocks = ledger.height("Org1MSP").unwrap() - 2;
    println!("{blocks} blocks for 320 transactions");
    assert!(blocks < 160, "{blocks} blocks");
    ledger.shutdown().await;
}
