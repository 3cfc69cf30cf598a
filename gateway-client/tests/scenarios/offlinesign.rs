//! Feature: Off-line signing. Every step is taken up from bytes by a gateway that knows nothing but those.

use crate::ledger::{Ledger, PATIENCE};
use gateway_client::{
    Block, BlockEventsRequest, Call, ChaincodeEventsRequest, Checkpoint, Commit, Error, Gateway, KeySigner,
    Network, Proposal, Signer, Transaction, TxValidationCode, User,
};
use tokio::time::timeout;

/// The signature of an organisation's first user.
pub async fn sign(ledger: &Ledger, org: usize, digest: &[u8; 32]) -> Vec<u8> {
    let key = std::fs::read_to_string(ledger.launched.path(&ledger.org(org).user.key)).unwrap();
    KeySigner::from_pem(&key).unwrap().sign(digest).await.unwrap()
}

/// A gateway of organisation 1's first user without the key.
fn unsigned(ledger: &Ledger) -> Gateway {
    ledger.gateway(1, User::without_signer(ledger.user(1).identity().clone()))
}

fn network(ledger: &Ledger) -> Network {
    unsigned(ledger).network(&ledger.launched.channel)
}

fn echo(ledger: &Ledger) -> Proposal {
    let contract = network(ledger).contract("basic");
    contract.propose(Call::new("echo").arg("conga")).unwrap()
}

/// The proposal, signed by who sees no more than its bytes and read by another gateway.
async fn signed(ledger: &Ledger) -> Proposal {
    let proposal = echo(ledger);
    let signature = sign(ledger, 1, &proposal.digest()).await;
    let signed =
        Proposal::from_bytes(&unsigned(ledger), &proposal.to_bytes()).unwrap().with_signature(signature);
    Proposal::from_bytes(&unsigned(ledger), &signed.to_bytes()).unwrap()
}

pub async fn evaluate_fails_without_signing(ledger: &Ledger) {
    let error = echo(ledger).evaluate().await.unwrap_err();
    assert!(matches!(error, Error::Signer(_)), "{error}");
}

pub async fn evaluate_succeeds_with_offline_signing(ledger: &Ledger) {
    assert_eq!(signed(ledger).await.evaluate().await.unwrap(), b"conga");
}

pub async fn submit_fails_without_signing(ledger: &Ledger) {
    let error = echo(ledger).endorse().await.unwrap_err();
    assert!(matches!(error, Error::Signer(_)), "{error}");
    let transaction = signed(ledger).await.endorse().await.unwrap();
    let error = transaction.submit().await.unwrap_err();
    assert!(matches!(error, Error::Signer(_)), "{error}");
}

pub async fn submit_succeeds_with_offline_signing(ledger: &Ledger) {
    let gateway = unsigned(ledger);
    let proposal = signed(ledger).await;
    let transaction = proposal.endorse().await.unwrap();
    assert_eq!((transaction.id(), transaction.result()), (proposal.transaction_id(), &b"conga"[..]));

    let signature = sign(ledger, 1, &transaction.digest()).await;
    let signed =
        Transaction::from_bytes(&gateway, &transaction.to_bytes()).unwrap().with_signature(signature);
    let transaction = Transaction::from_bytes(&gateway, &signed.to_bytes()).unwrap();
    assert_eq!((transaction.id(), transaction.result()), (proposal.transaction_id(), &b"conga"[..]));

    let commit = transaction.submit().await.unwrap();
    let error = commit.status().await.unwrap_err();
    assert!(matches!(error, Error::Signer(_)), "{error}");
    let signature = sign(ledger, 1, &commit.digest()).await;
    let signed = Commit::from_bytes(&gateway, &commit.to_bytes()).unwrap().with_signature(signature);
    let commit = Commit::from_bytes(&gateway, &signed.to_bytes()).unwrap();
    let status = commit.status().await.unwrap();
    assert_eq!(
        (status.transaction_id.as_str(), status.code),
        (proposal.transaction_id(), TxValidationCode::Valid)
    );
}

/// The official steps for events, which no scenario of the feature has.
pub async fn events_with_offline_signing(ledger: &Ledger) {
    let gateway = unsigned(ledger);
    let (_, status) =
        ledger.contract("basic").submit(Call::new("event").arg("offline").arg("signed")).await.unwrap();
    let from = Checkpoint::at(status.block_number);

    let request = network(ledger).chaincode_events_request("basic", from.clone());
    let signature = sign(ledger, 1, &request.digest()).await;
    let request = ChaincodeEventsRequest::from_bytes(&gateway, &request.to_bytes()).unwrap();
    let mut events = request.with_signature(signature).events().await.unwrap();
    loop {
        let event = timeout(PATIENCE, events.next()).await.unwrap().unwrap().unwrap();
        if event.transaction_id == status.transaction_id {
            assert_eq!((event.name.as_str(), event.payload.as_slice()), ("offline", &b"signed"[..]));
            break;
        }
    }

    let request = network(ledger).block_events_request(from);
    let signature = sign(ledger, 1, &request.digest()).await;
    let request = BlockEventsRequest::<Block>::from_bytes(&gateway, &request.to_bytes()).unwrap();
    let mut blocks = request.with_signature(signature).events().await.unwrap();
    let block = timeout(PATIENCE, blocks.next()).await.unwrap().unwrap().unwrap();
    assert!(block.transactions.iter().any(|t| t.transaction_id == status.transaction_id));
}
