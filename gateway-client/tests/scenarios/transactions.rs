//! Feature: Transaction invocation.

use crate::ledger::{Ledger, PATIENCE};
use gateway_client::{Call, Operation};
use std::time::{Duration, Instant};
use tonic::Code;

const MESSAGE: &str = "ALL_YOUR_ERROR_ARE_BELONG_TO_US";

pub async fn evaluate_with_result(ledger: &Ledger) {
    let answer = ledger.contract("basic").evaluate(Call::new("echo").arg("conga")).await.unwrap();
    assert_eq!(answer, b"conga");
}

pub async fn submit_with_result(ledger: &Ledger) {
    let (answer, _) = ledger.contract("basic").submit(Call::new("echo").arg("conga")).await.unwrap();
    assert_eq!(answer, b"conga");
}

pub async fn update_ledger(ledger: &Ledger) {
    let contract = ledger.contract("basic");
    contract.submit(Call::new("put").arg("update").arg("ledger")).await.unwrap();
    // A peer knows the verdict a moment before its state has the write.
    let start = Instant::now();
    while contract.evaluate(Call::new("get").arg("update")).await.unwrap() != b"ledger" {
        assert!(start.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub async fn transient_data(ledger: &Ledger) {
    let call = Call::new("echoTransient").transient("key1", "value1").transient("key2", "value2");
    let answer = ledger.contract("basic").evaluate(call).await.unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer, serde_json::json!({"key1": "value1", "key2": "value2"}));
}

pub async fn evaluate_with_error_response(ledger: &Ledger) {
    let call = Call::new("errorMessage").arg(MESSAGE);
    let error = ledger.contract("basic").evaluate(call).await.unwrap_err();
    let error = error.call().unwrap();
    assert_eq!((error.operation, error.code), (Operation::Evaluate, Code::Unknown));
    assert!(error.message.contains(MESSAGE), "{error}");
}

pub async fn submit_with_error_response(ledger: &Ledger) {
    let call = Call::new("errorMessage").arg(MESSAGE);
    let error = ledger.contract("basic").submit(call).await.unwrap_err();
    let error = error.call().unwrap();
    assert_eq!((error.operation, error.code), (Operation::Endorse, Code::Aborted));
    let expected = "failed to endorse transaction, see attached details for more info";
    assert!(error.message.contains(expected), "{error}");
    let [detail] = error.details.as_slice() else { panic!("{error}") };
    assert_eq!(detail.msp_id, "Org1MSP");
    assert_eq!(detail.address, crate::errors::address(ledger, 1));
    assert!(detail.message.contains(MESSAGE), "{error}");
}
