//! Feature: Errors.

use crate::ledger::{Ledger, PATIENCE};
use gateway_client::{Call, CallError, Contract, Error, Operation, User};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tonic::Code;

/// How an organisation's peer is called in error details.
pub fn address(ledger: &Ledger, org: usize) -> String {
    ledger.org(org).peer.address.clone()
}

/// The failed call, which has this operation, code and message.
fn failed(error: Error, operation: Operation, code: Code, message: &str) -> Box<CallError> {
    let Error::Call(error) = error else { panic!("{error}") };
    assert_eq!((error.operation, error.code), (operation, code), "{error}");
    assert!(error.message.contains(message), "{message:?} in {error}");
    error
}

/// Asserts that these organisations' peers, and no others, said this.
fn details(ledger: &Ledger, error: &CallError, orgs: &[usize], message: &str) {
    let found: BTreeSet<_> = error.details.iter().map(|d| (d.address.clone(), d.msp_id.clone())).collect();
    let expected = orgs.iter().map(|&org| (address(ledger, org), ledger.org(org).msp_id.clone())).collect();
    assert_eq!(found, expected, "{error}");
    for detail in &error.details {
        assert!(detail.message.contains(message), "{message:?} in {error}");
    }
}

async fn evaluate_error(contract: Contract, call: Call) -> Error {
    contract.evaluate(call).await.unwrap_err()
}

async fn submit_error(contract: Contract, call: Call) -> Error {
    contract.submit(call).await.unwrap_err()
}

pub async fn evaluate_fails_with_incorrect_arguments(ledger: &Ledger) {
    let error = evaluate_error(ledger.contract("errors"), Call::new("exists")).await;
    let message = "evaluate call to endorser returned error: chaincode response 500, Expected 1 parameters, \
                   but 0 have been supplied";
    failed(error, Operation::Evaluate, Code::Unknown, message);
}

pub async fn submit_fails_with_incorrect_chaincode_name(ledger: &Ledger) {
    let nonexistent = ledger.network(1).contract("nonexistent");
    let error = submit_error(nonexistent, Call::new("exists")).await;
    let message = format!(
        "no combination of peers can be derived which satisfy the endorsement policy: No metadata was found for \
         chaincode nonexistent in channel {}",
        ledger.launched.channel
    );
    failed(error, Operation::Endorse, Code::FailedPrecondition, &message);
}

pub async fn submit_fails_with_incorrect_transaction_name(ledger: &Ledger) {
    let error = submit_error(ledger.contract("errors"), Call::new("nonexistent")).await;
    let message = "failed to endorse transaction, see attached details for more info";
    let error = failed(error, Operation::Endorse, Code::Aborted, message);
    let message =
        "chaincode response 500, You've asked to invoke a function that does not exist: nonexistent";
    details(ledger, &error, &[1], message);
}

/// The chaincode services end at the call; they are started again for the scenarios to come.
pub async fn evaluate_crash_chaincode(ledger: &Ledger) {
    let contract = ledger.contract("errors");
    let error = evaluate_error(contract.clone(), Call::new("crash")).await;
    let message = "failed to evaluate transaction, see attached details for more info";
    let error = failed(error, Operation::Evaluate, Code::Aborted, message);
    details(ledger, &error, &[1, 2, 3], "chaincode stream terminated");
    for org in 1..=3 {
        ledger.launched.restart(&format!("chaincode-org{org}")).await.unwrap();
    }
    ready(&contract).await;
}

/// Waits until all organisations endorse again.
pub async fn ready(contract: &Contract) {
    let start = Instant::now();
    loop {
        let call = Call::new("echo").arg("").organizations(["Org1MSP", "Org2MSP", "Org3MSP"]);
        match contract.propose(call).unwrap().endorse().await {
            Ok(_) => return,
            Err(error) => assert!(start.elapsed() < PATIENCE, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A proposal of organisation 1's user that a user of organisation 3 signed.
pub async fn evaluate_with_signer_from_unauthorized_msp(ledger: &Ledger) {
    let nobody = User::without_signer(ledger.user(1).identity().clone());
    let network = ledger.gateway(1, nobody).network(&ledger.launched.channel);
    let proposal = network.contract("errors").propose(Call::new("exists").arg("123")).unwrap();
    let signature = crate::offlinesign::sign(ledger, 3, &proposal.digest()).await;
    let error = proposal.with_signature(signature).evaluate().await.unwrap_err();
    let channel = &ledger.launched.channel;
    let denied =
        format!("error validating proposal: access denied: channel [{channel}] creator org [Org1MSP]");
    let message = format!("evaluate call to endorser returned error: {denied}");
    let error = failed(error, Operation::Evaluate, Code::FailedPrecondition, &message);
    details(ledger, &error, &[1], &denied);
}

/// "Org3 fails to evaluate" in the feature, though it is organisation 1 that refuses.
pub async fn org1_fails_to_evaluate(ledger: &Ledger) {
    let call = Call::new("orgsFail").arg(r#"["Org1MSP"]"#);
    let error = evaluate_error(ledger.contract("errors"), call).await;
    let message =
        "evaluate call to endorser returned error: chaincode response 500, Org1MSP refuses to endorse this";
    failed(error, Operation::Evaluate, Code::Unknown, message);
}

const COLLECT: &str = "failed to collect enough transaction endorsements, see attached details for more info";

pub async fn org3_fails_to_endorse(ledger: &Ledger) {
    let call = Call::new("orgsFail").arg(r#"["Org3MSP"]"#);
    let error = submit_error(ledger.contract("errors"), call).await;
    let error = failed(error, Operation::Endorse, Code::Aborted, COLLECT);
    details(ledger, &error, &[3], "Org3MSP refuses to endorse this");
}

pub async fn org2_and_org3_fail_to_endorse(ledger: &Ledger) {
    let call = Call::new("orgsFail").arg(r#"["Org2MSP","Org3MSP"]"#);
    let error = submit_error(ledger.contract("errors"), call).await;
    let error = failed(error, Operation::Endorse, Code::Aborted, COLLECT);
    details(ledger, &error, &[2, 3], "refuses to endorse this");
}

pub async fn submit_nondeterministic_transaction(ledger: &Ledger) {
    let error = submit_error(ledger.contract("errors"), Call::new("nondet")).await;
    let message = "failed to collect enough transaction endorsements";
    let error = failed(error, Operation::Endorse, Code::Aborted, message);
    details(ledger, &error, &[2, 3], "ProposalResponsePayloads do not match");
}
