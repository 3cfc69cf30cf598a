//! Feature: State-based endorsement.

use crate::ledger::{Ledger, PATIENCE};
use gateway_client::{Call, Contract, Error};
use std::time::{Duration, Instant};

/// The chaincode, after the background of the feature: the key is organisation 1's.
async fn contract(ledger: &Ledger, key: &str) -> Contract {
    let contract = ledger.contract("private");
    let call = Call::new("SetStateWithEndorser").arg(key).arg("value-001").arg("Org1MSP");
    submits(&contract, call).await;
    reads(&contract, key, "value-001").await;
    contract
}

fn change(key: &str, value: &str) -> Call {
    Call::new("ChangeState").arg(key).arg(value)
}

fn set_endorsers(key: &str, first: &str, second: &str) -> Call {
    Call::new("SetStateEndorsers").arg(key).arg(first).arg(second)
}

/// Submits; again where a peer had not committed the transaction before.
async fn submits(contract: &Contract, call: Call) {
    contract.submitter().submit(call, PATIENCE).await.unwrap();
}

/// Reads until the value is there: a peer knows a transaction's verdict a moment before its state does.
async fn reads(contract: &Contract, key: &str, value: &str) {
    let start = Instant::now();
    while contract.evaluate(Call::new("GetState").arg(key)).await.unwrap() != value.as_bytes() {
        assert!(start.elapsed() < PATIENCE, "{key} is not {value}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The endorsements are collected or not; in the block they are too few.
async fn fails(contract: &Contract, call: Call) {
    let error = contract.submit(call).await.unwrap_err();
    assert!(matches!(error, Error::Call(_) | Error::Invalid { .. }), "{error}");
}

pub async fn state_change_must_be_endorsed_by_org1_peer(ledger: &Ledger) {
    let contract = contract(ledger, "key-001").await;
    submits(&contract, change("key-001", "value-Org1").organizations(["Org1MSP"])).await;
    reads(&contract, "key-001", "value-Org1").await;
}

pub async fn state_change_fails_if_endorsed_only_by_org2_peer(ledger: &Ledger) {
    let contract = contract(ledger, "key-002").await;
    fails(&contract, change("key-002", "value-Org2").organizations(["Org2MSP"])).await;
    reads(&contract, "key-002", "value-001").await;
}

pub async fn set_sbe_policy_for_org1_and_org3_state_change_succeeds_without_specifying_endorsers(
    ledger: &Ledger,
) {
    let contract = contract(ledger, "key-003").await;
    submits(&contract, set_endorsers("key-003", "Org1MSP", "Org3MSP")).await;
    submits(&contract, change("key-003", "value-Org1-Org3")).await;
    reads(&contract, "key-003", "value-Org1-Org3").await;
}

pub async fn set_sbe_policy_for_org2_and_org3_state_change_succeeds_without_specifying_endorsers(
    ledger: &Ledger,
) {
    let contract = contract(ledger, "key-004").await;
    submits(&contract, set_endorsers("key-004", "Org2MSP", "Org3MSP")).await;
    submits(&contract, change("key-004", "value-Org2-Org3")).await;
    reads(&contract, "key-004", "value-Org2-Org3").await;
}

pub async fn set_sbe_policy_for_org1_and_org3_state_change_fails_with_incorrect_endorsers(ledger: &Ledger) {
    let contract = contract(ledger, "key-005").await;
    submits(&contract, set_endorsers("key-005", "Org1MSP", "Org3MSP")).await;
    fails(&contract, change("key-005", "value-Org1-Org2").organizations(["Org1MSP", "Org2MSP"])).await;
    reads(&contract, "key-005", "value-001").await;
}
