//! Who may not do what, and what becomes of forged transactions.

mod common;

use common::tamper::{change_action, change_outcome, endorse_anew, results, tamper};
use common::{Client, Network, assert_status, details};
use fabric_protos::common::{ChannelHeader, Envelope, Header};
use fabric_protos::gateway::{
    CommitStatusRequest, EvaluateRequest, SignedCommitStatusRequest, SubmitRequest,
};
use fabric_protos::kvrwset::{KvRead, Version};
use fabric_protos::peer::{SignedProposal, Transaction, TxValidationCode};
use prost::Message;
use tonic::{Code, Status};

/// The failure of an evaluation.
async fn refused(client: &mut Client, change: impl FnOnce(&mut ChannelHeader)) -> Status {
    let proposed = client.propose_as(&["get", "k"], change);
    client.evaluate_proposed(proposed).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_proposals_are_refused() {
    let network = Network::new(2).await;
    let ledger = network.serve().await;
    let mut client = network.client(&ledger, 1);

    for (error, what) in [
        (refused(&mut client, |header| header.tx_id = "00".into()).await, "incorrectly computed txid"),
        (refused(&mut client, |header| header.epoch = 1).await, "epoch is non-zero"),
        (refused(&mut client, |header| header.r#type = 5).await, "invalid header type"),
    ] {
        assert_status(&error, Code::FailedPrecondition, what);
    }
    // What the filters refuse, the gateway tries elsewhere.
    for seconds in [-16 * 60, 16 * 60] {
        let error =
            refused(&mut client, |header| header.timestamp.as_mut().unwrap().seconds += seconds).await;
        assert_status(&error, Code::Unavailable, "failed to evaluate transaction");
        assert!(details(&error).iter().all(|(_, what)| what.contains("incorrect timestamp")), "{error:?}");
    }
    let error = refused(&mut client, |header| header.channel_id = "other".into()).await;
    assert_status(&error, Code::Unavailable, "failed to get config for channel [other]");

    // Another's signature, no signature, and bytes that are no proposal.
    let proposed = client.propose(&["get", "k"]);
    let mut forged = proposed.clone();
    forged.signed.signature = client.propose(&["get", "k"]).signed.signature;
    let error = client.evaluate_proposed(forged).await.unwrap_err();
    assert_status(&error, Code::FailedPrecondition, "access denied: channel [confab] creator org [Org1MSP]");
    let mut unsigned = proposed.clone();
    unsigned.signed.signature.clear();
    let error = client.evaluate_proposed(unsigned).await.unwrap_err();
    assert_status(&error, Code::FailedPrecondition, "access denied");
    for proposal_bytes in [vec![], vec![0xff; 40]] {
        let mut broken = proposed.clone();
        broken.signed.proposal_bytes = proposal_bytes;
        let error = client.evaluate_proposed(broken).await.unwrap_err();
        assert_status(&error, Code::InvalidArgument, "failed to unpack transaction proposal");
    }
    let error = client.gateway.evaluate(EvaluateRequest::default()).await.unwrap_err();
    assert_status(&error, Code::InvalidArgument, "a signed proposal is required");
    ledger.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused() {
    let network = Network::new(2).await;
    let ledger = network.serve().await;
    let elsewhere = Network::new(2).await;
    // The same name of an organisation, with certificates of another one.
    let mut stranger = elsewhere.client_at(ledger.address("Org1MSP").unwrap(), 1);
    let own = network.client(&ledger, 1);
    stranger.gateway = own.gateway.clone();
    stranger.deliver = own.deliver.clone();

    let error = stranger.evaluate(&["get", "k"]).await.unwrap_err();
    assert_status(&error, Code::FailedPrecondition, "access denied: channel [confab] creator org unknown");
    let error = stranger.commit_status("00").await.unwrap_err();
    assert_status(&error, Code::PermissionDenied, "access denied");

    // An endorsed transaction that somebody else signs.
    let mut client = own;
    let proposed = client.propose(&["blind", "k", "v"]);
    let mut envelope = client.endorse(&proposed, &[]).await.unwrap();
    envelope.signature = stranger.sign(&envelope.payload);
    let error = client.submit(&proposed.id, envelope).await.unwrap_err();
    assert_status(&error, Code::Aborted, "status=FORBIDDEN");
    ledger.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_named() {
    let network = Network::new(1).await;
    let ledger = network.serve().await;
    let mut client = network.client(&ledger, 1);
    let submit = |envelope: Option<Envelope>, channel: &str| SubmitRequest {
        transaction_id: "t".into(),
        channel_id: channel.into(),
        prepared_transaction: envelope,
    };
    let error = client.gateway.submit(submit(None, "confab")).await.unwrap_err();
    assert_status(&error, Code::InvalidArgument, "a prepared transaction is required");
    let unsigned = Envelope { payload: vec![1], signature: Vec::new() };
    let error = client.gateway.submit(submit(Some(unsigned), "confab")).await.unwrap_err();
    assert_status(&error, Code::InvalidArgument, "prepared transaction must be signed");
    let garbage = Envelope { payload: vec![0xff; 9], signature: vec![1] };
    let error = client.gateway.submit(submit(Some(garbage.clone()), "confab")).await.unwrap_err();
    assert_status(&error, Code::Aborted, "status=BAD_REQUEST");
    let error = client.gateway.submit(submit(Some(garbage), "other")).await.unwrap_err();
    assert_status(&error, Code::FailedPrecondition, "channel 'other' not found");

    for (request, what) in [
        (CommitStatusRequest::default(), "no identity provided"),
        (CommitStatusRequest { identity: vec![1], ..Default::default() }, "no channel ID"),
        (
            CommitStatusRequest { identity: vec![1], channel_id: "c".into(), ..Default::default() },
            "transaction ID",
        ),
    ] {
        let request = [request.encode_to_vec(), vec![0x50, 0]].concat(); // an unknown field, so that none is empty
        let request = SignedCommitStatusRequest { request, signature: Vec::new() };
        let error = client.gateway.commit_status(request).await.unwrap_err();
        assert_status(&error, Code::InvalidArgument, what);
    }
    ledger.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_transactions_are_invalid() {
    let network = Network::new(3).await;
    let ledger = network.serve().await;
    let mut client = network.client(&ledger, 1);
    type Change = fn(&mut Header, &mut Transaction);
    let changes: [(TxValidationCode, Change); 8] = [
        (TxValidationCode::EndorsementPolicyFailure, |_, transaction| {
            change_outcome(transaction, |action| action.results = results("confab", vec![], "k"));
        }),
        (TxValidationCode::EndorsementPolicyFailure, |_, transaction| {
            change_action(transaction, |payload| {
                // The same endorsement twice is one endorsement.
                let endorsements = &mut payload.action.as_mut().unwrap().endorsements;
                endorsements[1] = endorsements[0].clone();
            });
        }),
        (TxValidationCode::EndorsementPolicyFailure, |_, transaction| {
            change_action(transaction, |payload| payload.action.as_mut().unwrap().endorsements.clear());
        }),
        (TxValidationCode::InvalidEndorserTransaction, |_, transaction| {
            change_action(transaction, |payload| payload.chaincode_proposal_payload.push(0));
        }),
        (TxValidationCode::InvalidEndorserTransaction, |_, transaction| {
            let action = transaction.actions[0].clone();
            transaction.actions.push(action);
        }),
        (TxValidationCode::EndorsementPolicyFailure, |_, transaction| {
            change_outcome(transaction, |action| action.results = results("_lifecycle", vec![], "k"));
        }),
        (TxValidationCode::InvalidChaincode, |_, transaction| {
            change_outcome(transaction, |action| action.chaincode_id.as_mut().unwrap().name = "other".into());
        }),
        (TxValidationCode::BadProposalTxid, |header, _| {
            let mut channel_header = ChannelHeader::decode(header.channel_header.as_slice()).unwrap();
            channel_header.tx_id = "ab".into();
            header.channel_header = channel_header.encode_to_vec();
        }),
    ];
    for (i, (expected, change)) in changes.into_iter().enumerate() {
        let proposed = client.propose(&["blind", "k", "v"]);
        let envelope = client.endorse(&proposed, &[]).await.unwrap();
        client.submit(&proposed.id, tamper(&client, &envelope, change)).await.unwrap();
        if expected == TxValidationCode::BadProposalTxid {
            // It is in a block, but under no id; the true transaction is still free.
            assert_eq!(client.transact(&["blind", "other", "v"]).await.unwrap().0, TxValidationCode::Valid);
            client.submit(&proposed.id, envelope).await.unwrap();
            assert_eq!(client.commit_status(&proposed.id).await.unwrap().0, TxValidationCode::Valid);
            continue;
        }
        assert_eq!(client.commit_status(&proposed.id).await.unwrap().0, expected, "change {i}");
        assert_eq!(client.evaluate(&["get", "k"]).await.unwrap(), "", "change {i}");
    }
    ledger.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn colluding_endorsers_are_bound_by_the_rules() {
    let network = Network::new(3).await;
    let ledger = network.serve().await;
    let mut client = network.client(&ledger, 1);
    let peers: Vec<_> = network
        .material
        .peer_orgs()
        .take(2)
        .map(|org| {
            let peer = org.node("peer0").unwrap();
            let connection = tonic::transport::Endpoint::from_static("http://localhost:1").connect_lazy();
            Client::new(connection, org.msp_id(), &peer.signing_cert(), &peer.signing_key())
        })
        .collect();
    let read = KvRead { key: "k".into(), version: Some(Version { block_num: 9, tx_num: 0 }) };
    for (expected, results) in [
        (TxValidationCode::Valid, results("confab", vec![], "k")),
        (TxValidationCode::IllegalWriteset, results("_lifecycle", vec![], "k")),
        (TxValidationCode::MvccReadConflict, results("confab", vec![read], "k")),
        (TxValidationCode::BadRwset, vec![0xff]),
    ] {
        let proposed = client.propose(&["blind", "k", "v"]);
        let envelope = client.endorse(&proposed, &[]).await.unwrap();
        let forged = tamper(&client, &envelope, |_, transaction| {
            change_outcome(transaction, |action| action.results = results);
            endorse_anew(transaction, &peers);
        });
        client.submit(&proposed.id, forged).await.unwrap();
        assert_eq!(client.commit_status(&proposed.id).await.unwrap().0, expected);
    }
    assert_eq!(client.evaluate(&["get", "k"]).await.unwrap(), "forged");
    ledger.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_of_garbage_never_panics() {
    let network = Network::new(1).await;
    let ledger = network.serve().await;
    let mut client = network.client(&ledger, 1);
    let proposed = client.propose(&["get", "k"]);
    let length = proposed.signed.proposal_bytes.len();
    for i in 0..200 {
        let mut proposal_bytes = proposed.signed.proposal_bytes.clone();
        proposal_bytes[i * 7919 % length] ^= 1 << (i % 8);
        proposal_bytes.truncate(length - i % 3 * i);
        let signature = client.sign(&proposal_bytes);
        let damaged = common::Proposed {
            id: proposed.id.clone(),
            signed: SignedProposal { proposal_bytes, signature },
        };
        // Some damage hits what nobody reads; a panic would be `Unknown` with the transport's words or a hang.
        if let Err(error) = client.evaluate_proposed(damaged).await {
            assert_ne!(error.code(), Code::Internal, "{error:?}");
            assert_ne!(error.code(), Code::Cancelled, "{error:?}");
        }
    }
    assert_eq!(client.transact(&["put", "k", "v"]).await.unwrap().0, TxValidationCode::Valid);
    ledger.shutdown().await;
}
