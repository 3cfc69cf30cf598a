//! Transactions that their creator has changed after they were endorsed.

use super::Client;
use fabric_protos::common::{Envelope, Header, Payload};
use fabric_protos::kvrwset::{KvRead, KvWrite, KvrwSet};
use fabric_protos::peer::{
    ChaincodeAction, ChaincodeActionPayload, Endorsement, ProposalResponsePayload, Transaction,
};
use fabric_protos::rwset::{NsReadWriteSet, TxReadWriteSet};
use prost::Message;

/// Changes an endorsed transaction and signs it anew, as its creator could.
pub fn tamper(
    client: &Client,
    envelope: &Envelope,
    change: impl FnOnce(&mut Header, &mut Transaction),
) -> Envelope {
    let mut payload = Payload::decode(envelope.payload.as_slice()).unwrap();
    let mut transaction = Transaction::decode(payload.data.as_slice()).unwrap();
    change(payload.header.as_mut().unwrap(), &mut transaction);
    payload.data = transaction.encode_to_vec();
    let payload = payload.encode_to_vec();
    let signature = client.sign(&payload);
    Envelope { payload, signature }
}

/// Replaces a part of the one action.
pub fn change_action(transaction: &mut Transaction, change: impl FnOnce(&mut ChaincodeActionPayload)) {
    let mut payload = ChaincodeActionPayload::decode(transaction.actions[0].payload.as_slice()).unwrap();
    change(&mut payload);
    transaction.actions[0].payload = payload.encode_to_vec();
}

/// Replaces what was endorsed; the endorsements then no longer fit.
pub fn change_outcome(transaction: &mut Transaction, change: impl FnOnce(&mut ChaincodeAction)) {
    change_action(transaction, |payload| {
        let endorsed = payload.action.as_mut().unwrap();
        let mut response =
            ProposalResponsePayload::decode(endorsed.proposal_response_payload.as_slice()).unwrap();
        let mut action = ChaincodeAction::decode(response.extension.as_slice()).unwrap();
        change(&mut action);
        response.extension = action.encode_to_vec();
        endorsed.proposal_response_payload = response.encode_to_vec();
    });
}

/// A read/write set that writes one key.
pub fn results(namespace: &str, reads: Vec<KvRead>, key: &str) -> Vec<u8> {
    let writes = vec![KvWrite { key: key.into(), is_delete: false, value: b"forged".to_vec() }];
    let rwset = KvrwSet { reads, writes, ..Default::default() }.encode_to_vec();
    let set = NsReadWriteSet { namespace: namespace.into(), rwset, ..Default::default() };
    TxReadWriteSet { data_model: 0, ns_rwset: vec![set] }.encode_to_vec()
}

/// Replaces the endorsements by those of these peers.
pub fn endorse_anew(transaction: &mut Transaction, peers: &[Client]) {
    change_action(transaction, |payload| {
        let endorsed = payload.action.as_mut().unwrap();
        let endorse = |peer: &Client| {
            let message = [endorsed.proposal_response_payload.as_slice(), &peer.creator].concat();
            Endorsement { endorser: peer.creator.clone(), signature: peer.sign(&message) }
        };
        endorsed.endorsements = peers.iter().map(endorse).collect();
    });
}
