//! Feature: Specify endorsing organizations using HSM managed identities.
//!
//! There is no device here: the key is with another task, which is asked for each signature.

use crate::endorsement::{evaluates_on, submits_to, submits_to_both};
use crate::ledger::Ledger;
use gateway_client::{Callback, Contract, KeySigner, Signer, SignerError, User};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// A digest, and where its signature is to go.
type Question = ([u8; 32], oneshot::Sender<Result<Vec<u8>, SignerError>>);

/// The chaincode `private`, as organisation 1's first user calls it, whose key is elsewhere.
fn contract(ledger: &Ledger) -> Contract {
    let key = std::fs::read_to_string(ledger.launched.path(&ledger.org(1).user.key)).unwrap();
    let signer = KeySigner::from_pem(&key).unwrap();
    let (device, mut questions) = mpsc::channel::<Question>(1);
    tokio::spawn(async move {
        while let Some((digest, answer)) = questions.recv().await {
            let _ = answer.send(signer.sign(&digest).await);
        }
    });
    let ask = move |digest| {
        let device = device.clone();
        async move {
            let gone = || SignerError("the device is gone".into());
            let (sender, answer) = oneshot::channel();
            device.send((digest, sender)).await.map_err(|_| gone())?;
            answer.await.map_err(|_| gone())?
        }
    };
    let user = User::new(ledger.user(1).identity().clone(), Arc::new(Callback::new(ask)));
    ledger.gateway(1, user).network(&ledger.launched.channel).contract("private")
}

pub async fn submit_to_org1(ledger: &Ledger) {
    submits_to(&contract(ledger), "Org1MSP").await;
}

pub async fn submit_to_org2(ledger: &Ledger) {
    submits_to(&contract(ledger), "Org2MSP").await;
}

pub async fn submit_to_org3(ledger: &Ledger) {
    submits_to(&contract(ledger), "Org3MSP").await;
}

pub async fn submit_to_org1_and_org3(ledger: &Ledger) {
    submits_to_both(&contract(ledger)).await;
}

pub async fn evaluate_on_org1(ledger: &Ledger) {
    evaluates_on(&contract(ledger), "Org1MSP").await;
}

pub async fn evaluate_on_org2(ledger: &Ledger) {
    evaluates_on(&contract(ledger), "Org2MSP").await;
}
