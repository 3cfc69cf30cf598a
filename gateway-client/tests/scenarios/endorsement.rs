//! Feature: Specify endorsing organizations.

use crate::ledger::Ledger;
use gateway_client::{Call, Contract};

pub async fn submit_to_org1(ledger: &Ledger) {
    submits_to(&ledger.contract("private"), "Org1MSP").await;
}

pub async fn submit_to_org2(ledger: &Ledger) {
    submits_to(&ledger.contract("private"), "Org2MSP").await;
}

pub async fn submit_to_org3(ledger: &Ledger) {
    submits_to(&ledger.contract("private"), "Org3MSP").await;
}

pub async fn submit_to_org1_and_org3(ledger: &Ledger) {
    submits_to_both(&ledger.contract("private")).await;
}

pub async fn evaluate_on_org1(ledger: &Ledger) {
    evaluates_on(&ledger.contract("private"), "Org1MSP").await;
}

pub async fn evaluate_on_org2(ledger: &Ledger) {
    evaluates_on(&ledger.contract("private"), "Org2MSP").await;
}

pub async fn submits_to(contract: &Contract, org: &str) {
    let (answer, _) = contract.submit(Call::new("getPeerOrg").organizations([org])).await.unwrap();
    assert_eq!(answer, org.as_bytes());
}

pub async fn submits_to_both(contract: &Contract) {
    let call = Call::new("checkEndorsingOrg")
        .organizations(["Org1MSP", "Org3MSP"])
        .transient("Org1MSP", "value1")
        .transient("Org3MSP", "value2");
    let (answer, _) = contract.submit(call).await.unwrap();
    assert_eq!(answer, b"success");
}

pub async fn evaluates_on(contract: &Contract, org: &str) {
    let answer = contract.evaluate(Call::new("getPeerOrg").organizations([org])).await.unwrap();
    assert_eq!(answer, org.as_bytes());
}
