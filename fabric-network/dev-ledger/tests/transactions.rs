//! Transactions from proposal to verdict, through raw gRPC.

mod common;

use common::{Network, assert_status, details};
use fabric_protos::peer::TxValidationCode;
use std::time::{Duration, Instant};
use tonic::Code;

#[tokio::test(flavor = "multi_thread")]
async fn what_one_writes_all_read() {
    let network = Network::new(3).await;
    let started = Instant::now();
    let ledger = network.serve().await;
    assert!(started.elapsed() < Duration::from_secs(1), "started in {:?}", started.elapsed());
    let (code, block) = network.client(&ledger, 1).transact(&["put", "a", "1", "b", "2"]).await.unwrap();
    assert_eq!((code, block), (TxValidationCode::Valid, 1));
    for org in 1..=3 {
        let mut client = network.client(&ledger, org);
        assert_eq!(client.evaluate(&["get", "a"]).await.unwrap(), "1");
        assert_eq!(client.evaluate(&["get-many", "a", "none", "b"]).await.unwrap(), "1,,2");
        assert_eq!(client.evaluate(&["get", "none"]).await.unwrap(), "");
        // An evaluation runs in the gateway's own organisation, and the transient data reaches it.
        assert_eq!(client.evaluate(&["whose"]).await.unwrap(), format!("Org{org}MSP"));
        assert_eq!(client.evaluate(&["sleep", "0"]).await.unwrap(), "hidden");
    }
    ledger.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn state_is_what_was_committed() {
    let network = Network::new(2).await;
    let ledger = network.serve().await;
    let mut client = network.client(&ledger, 2);
    client.transact(&["put", "k", "old"]).await.unwrap();
    assert_eq!(client.evaluate(&["put-get", "k", "new"]).await.unwrap(), "old");
    assert_eq!(client.evaluate(&["get", "k"]).await.unwrap(), "old", "evaluation writes nothing");
    client.transact(&["del", "k"]).await.unwrap();
    assert_eq!(client.evaluate(&["get", "k"]).await.unwrap(), "");
    assert_eq!(client.evaluate(&["keys", "", ""]).await.unwrap(), "");
    ledger.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_are_paged() {
    let network = Network::new(1).await;
    let ledger = network.serve().await;
    let mut client = network.client(&ledger, 1);
    let names: Vec<_> = (0..250).map(|i| format!("k{i:03}")).collect();
    let mut call = vec!["put"];
    names.iter().for_each(|name| call.extend([name.as_str(), "v"]));
    client.transact(&call).await.unwrap();
    assert_eq!(client.evaluate(&["keys", "", ""]).await.unwrap(), names.join(","));
    assert_eq!(client.evaluate(&["keys", "k000", "k100"]).await.unwrap(), names[..100].join(","));
    assert_eq!(client.evaluate(&["keys", "k100", "k201"]).await.unwrap(), names[100..201].join(","));
    assert_eq!(client.evaluate(&["keys", "z", ""]).await.unwrap(), "");
    ledger.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_reads_and_writes_conflict() {
    let network = Network::new(3).await;
    let ledger = network.serve().await;
    let mut client = network.client(&ledger, 1);
    client.transact(&["put", "k", "0"]).await.unwrap();

    // Both read the same version; in one block or in two, the second is invalid.
    let (first, second) = (client.propose(&["add", "k", "1"]), client.propose(&["add", "k", "2"]));
    let envelopes = [client.endorse(&first, &[]).await.unwrap(), client.endorse(&second, &[]).await.unwrap()];
    for (proposed, envelope) in [&first, &second].into_iter().zip(envelopes) {
        client.submit(&proposed.id, envelope).await.unwrap();
    }
    assert_eq!(client.commit_status(&first.id).await.unwrap().0, TxValidationCode::Valid);
    assert_eq!(client.commit_status(&second.id).await.unwrap().0, TxValidationCode::MvccReadConflict);
    assert_eq!(client.evaluate(&["get", "k"]).await.unwrap(), "01");

    // Without reads, two writes of one key are both valid.
    let blind = [client.propose(&["blind", "k", "x"]), client.propose(&["blind", "k", "y"])];
    for proposed in &blind {
        let envelope = client.endorse(proposed, &[]).await.unwrap();
        client.submit(&proposed.id, envelope).await.unwrap();
    }
    for proposed in &blind {
        assert_eq!(client.commit_status(&proposed.id).await.unwrap().0, TxValidationCode::Valid);
    }
    assert_eq!(client.evaluate(&["get", "k"]).await.unwrap(), "y");
    ledger.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn phantoms_are_seen() {
    let network = Network::new(2).await;
    let ledger = network.serve().await;
    let mut client = network.client(&ledger, 1);
    client.transact(&["put", "r1", "v", "r3", "v"]).await.unwrap();
    for (change, expected) in [
        (vec!["put", "r2", "v"], TxValidationCode::PhantomReadConflict),
        (vec!["del", "r3"], TxValidationCode::PhantomReadConflict),
        (vec!["put", "r1", "w"], TxValidationCode::PhantomReadConflict),
        (vec!["put", "s", "v"], TxValidationCode::Valid),
        (vec!["put", "q", "v"], TxValidationCode::Valid),
    ] {
        let counted = client.propose(&["count", "r", "s", "total"]);
        let envelope = client.endorse(&counted, &[]).await.unwrap();
        assert_eq!(client.transact(&change).await.unwrap().0, TxValidationCode::Valid);
        client.submit(&counted.id, envelope).await.unwrap();
        assert_eq!(client.commit_status(&counted.id).await.unwrap().0, expected, "{change:?}");
    }
    assert_eq!(client.evaluate(&["get", "total"]).await.unwrap(), "2");
    ledger.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_counts_once() {
    let network = Network::new(2).await;
    let ledger = network.serve().await;
    let mut client = network.client(&ledger, 1);
    let proposed = client.propose(&["put", "k", "1"]);
    let envelope = client.endorse(&proposed, &[]).await.unwrap();
    client.submit(&proposed.id, envelope.clone()).await.unwrap();
    assert_eq!(client.commit_status(&proposed.id).await.unwrap(), (TxValidationCode::Valid, 1));
    client.transact(&["put", "k", "2"]).await.unwrap();

    // The orderer takes it again; the committer does not, and the first verdict stays.
    client.submit(&proposed.id, envelope).await.unwrap();
    client.transact(&["put", "other", "2"]).await.unwrap();
    assert_eq!(client.commit_status(&proposed.id).await.unwrap(), (TxValidationCode::Valid, 1));
    assert_eq!(client.evaluate(&["get", "k"]).await.unwrap(), "2");
    let error = client.endorse(&proposed, &[]).await.unwrap_err();
    assert_status(&error, Code::Aborted, "failed to endorse transaction");
    assert!(details(&error)[0].1.contains("duplicate transaction found"), "{error:?}");
    ledger.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_refuses_in_its_words() {
    let network = Network::new(3).await;
    let ledger = network.serve().await;
    let mut client = network.client(&ledger, 1);
    let error = client.evaluate(&["fail"]).await.unwrap_err();
    let said = "chaincode response 500, NOT_YET {\"round\":3}";
    assert_status(&error, Code::Unknown, &format!("evaluate call to endorser returned error: {said}"));
    assert_eq!(details(&error), [("Org1MSP".to_string(), said.to_string())]);

    let proposed = client.propose(&["fail"]);
    let error = client.endorse(&proposed, &[]).await.unwrap_err();
    assert_status(&error, Code::Aborted, "failed to endorse transaction, see attached details for more info");
    assert_eq!(details(&error), [("Org1MSP".to_string(), said.to_string())]);
    ledger.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn disagreeing_endorsers_are_replaced_or_reported() {
    let network = Network::new(3).await;
    let ledger = network.serve().await;
    let mut client = network.client(&ledger, 1);
    // One disagrees: another takes his place.
    for _ in 0..4 {
        let proposed = client.propose(&["disagree-with", "Org2MSP"]);
        client.endorse(&proposed, &[]).await.unwrap();
    }
    // Each disagrees with the others: nobody is left.
    let proposed = client.propose(&["whose"]);
    let error = client.endorse(&proposed, &[]).await.unwrap_err();
    assert_status(&error, Code::Aborted, "failed to collect enough transaction endorsements");
    let mut said = details(&error);
    said.sort();
    let mismatch = "ProposalResponsePayloads do not match".to_string();
    assert_eq!(said, [("Org2MSP".to_string(), mismatch.clone()), ("Org3MSP".to_string(), mismatch)]);

    let error = client.endorse(&proposed, &["Org1MSP", "Org9MSP"]).await.unwrap_err();
    assert_status(&error, Code::Unavailable, "failed to find any endorsing peers for org(s): Org9MSP");
    ledger.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_majority_must_endorse() {
    let network = Network::new(3).await;
    let ledger = network.serve().await;
    let mut client = network.client(&ledger, 1);
    for (orgs, expected) in [
        (&["Org2MSP"][..], TxValidationCode::EndorsementPolicyFailure),
        (&["Org2MSP", "Org3MSP"][..], TxValidationCode::Valid),
        (&["Org1MSP", "Org2MSP", "Org3MSP"][..], TxValidationCode::Valid),
    ] {
        let proposed = client.propose(&["blind", "k", "v"]);
        let envelope = client.endorse(&proposed, orgs).await.unwrap();
        client.submit(&proposed.id, envelope).await.unwrap();
        assert_eq!(client.commit_status(&proposed.id).await.unwrap().0, expected, "{orgs:?}");
    }
    ledger.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_values_pass() {
    let network = Network::new(2).await;
    let ledger = network.serve().await;
    let mut client = network.client(&ledger, 1);
    let value = "x".repeat(3 << 20);
    assert_eq!(client.transact(&["blind", "large", &value]).await.unwrap().0, TxValidationCode::Valid);
    assert_eq!(client.evaluate(&["get", "large"]).await.unwrap(), value);
    // What exceeds AbsoluteMaxBytes is endorsed, but not ordered.
    let proposed = client.propose(&["blind", "larger", &"x".repeat(6 << 20)]);
    let envelope = client.endorse(&proposed, &[]).await.unwrap();
    let error = client.submit(&proposed.id, envelope).await.unwrap_err();
    assert_status(&error, Code::Aborted, "exceeds maximum allowed");
    ledger.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_block_closes_at_once() {
    let mut network = Network::new(3).await;
    network.config.max_message_count = 3;
    network.config.batch_timeout = Duration::from_secs(5);
    let ledger = network.serve().await;
    let mut clients: Vec<_> = (1..=3).map(|org| network.client(&ledger, org)).collect();
    let mut ids = Vec::new();
    let started = Instant::now();
    for (i, client) in clients.iter_mut().enumerate() {
        let proposed = client.propose(&["blind", &format!("k{i}"), "v"]);
        let envelope = client.endorse(&proposed, &[]).await.unwrap();
        client.submit(&proposed.id, envelope).await.unwrap();
        ids.push(proposed.id);
    }
    for (client, id) in clients.iter_mut().zip(&ids) {
        assert_eq!(client.commit_status(id).await.unwrap(), (TxValidationCode::Valid, 1));
    }
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    ledger.shutdown().await;
}
