//! An endorsed transaction, signed and ready for the orderers.

use crate::{Commit, Error, Network, Operation, Proposal};
use fabric_protos::common::{ChannelHeader, Envelope, Header, Payload};
use fabric_protos::gateway::SubmitRequest;
use fabric_protos::peer::{
    self, ChaincodeAction, ChaincodeActionPayload, ChaincodeProposalPayload, ProposalResponsePayload,
};
use fabric_protos::prost::Message;
use std::fmt;
use std::time::Duration;

/// A transaction with its endorsements and the user's signature. Submitting it again is harmless: its id
/// is in the chain once at most.
pub struct Transaction {
    network: Network,
    id: String,
    envelope: Envelope,
    result: Vec<u8>,
}

impl Transaction {
    /// Signs what the gateway prepared, if it is what was proposed.
    pub(crate) async fn endorsed(proposal: &Proposal, prepared: Envelope) -> Result<Self, Error> {
        let network = proposal.contract.network.clone();
        let id = proposal.transaction_id().to_owned();
        let answer = |reason: String| Error::Answer {
            operation: Operation::Endorse,
            transaction_id: id.clone(),
            reason,
        };
        let endorsed = Endorsed::parse(&prepared.payload).map_err(answer)?;
        endorsed.check(proposal).map_err(answer)?;
        let signed = network.gateway.sign(prepared.payload).await?;
        let envelope = Envelope { payload: signed.message, signature: signed.signature };
        Ok(Self { network, id, envelope, result: endorsed.result })
    }

    pub(crate) fn from_bytes(network: Network, bytes: &[u8]) -> Result<Self, Error> {
        let answer = |reason: String| Error::Answer {
            operation: Operation::Submit,
            transaction_id: String::new(),
            reason: format!("the kept envelope is not a transaction of this channel: {reason}"),
        };
        let envelope = Envelope::decode(bytes).map_err(|e| answer(e.to_string()))?;
        let endorsed = Endorsed::parse(&envelope.payload).map_err(answer)?;
        let header = ChannelHeader::decode(endorsed.header.channel_header.as_slice())
            .map_err(|e| answer(e.to_string()))?;
        if header.channel_id != network.channel {
            return Err(answer(format!("it belongs to {:?}", header.channel_id)));
        }
        if envelope.signature.is_empty() {
            return Err(answer("it is not signed".into()));
        }
        Ok(Self { network, id: header.tx_id, envelope, result: endorsed.result })
    }

    /// The transaction's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What the chaincode answered; it counts once the transaction is committed.
    pub fn result(&self) -> &[u8] {
        &self.result
    }

    /// The chaincode's answer, for whoever needs no more.
    pub fn into_result(self) -> Vec<u8> {
        self.result
    }

    /// The signed envelope, to be kept and read by [`Network::transaction`].
    pub fn to_bytes(&self) -> Vec<u8> {
        self.envelope.encode_to_vec()
    }

    /// Hands the transaction to the orderers.
    ///
    /// # Errors
    /// [`Error::Call`]; after a time-out or a lost connection the transaction may nevertheless commit.
    pub async fn submit(&self) -> Result<Commit, Error> {
        self.submit_within(self.network.gateway.options().submit).await
    }

    pub(crate) async fn submit_within(&self, limit: Duration) -> Result<Commit, Error> {
        let request = SubmitRequest {
            transaction_id: self.id.clone(),
            channel_id: self.network.channel.clone(),
            prepared_transaction: Some(self.envelope.clone()),
        };
        self.network
            .gateway
            .unary((Operation::Submit, &self.id), limit, request, async |mut client, request| {
                client.submit(request).await
            })
            .await?;
        Ok(self.commit())
    }

    /// The wait for its verdict, whether or not this process submitted it.
    pub(crate) fn commit(&self) -> Commit {
        self.network.commit(&self.id)
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The parts of a prepared transaction that are looked at before it is signed.
struct Endorsed {
    header: Header,
    proposal: ChaincodeProposalPayload,
    chaincode: String,
    status: i32,
    result: Vec<u8>,
}

impl Endorsed {
    fn parse(payload: &[u8]) -> Result<Self, String> {
        let text = |e: fabric_protos::prost::DecodeError| e.to_string();
        let payload = Payload::decode(payload).map_err(text)?;
        let transaction = peer::Transaction::decode(payload.data.as_slice()).map_err(text)?;
        let [action] = transaction.actions.as_slice() else {
            return Err(format!("it has {} actions instead of one", transaction.actions.len()));
        };
        let action = ChaincodeActionPayload::decode(action.payload.as_slice()).map_err(text)?;
        let proposal =
            ChaincodeProposalPayload::decode(action.chaincode_proposal_payload.as_slice()).map_err(text)?;
        let response = action.action.ok_or("it has no endorsed action")?.proposal_response_payload;
        let response = ProposalResponsePayload::decode(response.as_slice()).map_err(text)?;
        let endorsed = ChaincodeAction::decode(response.extension.as_slice()).map_err(text)?;
        let response = endorsed.response.ok_or("it has no response of the chaincode")?;
        Ok(Self {
            header: payload.header.ok_or("it has no header")?,
            proposal,
            chaincode: endorsed.chaincode_id.unwrap_or_default().name,
            status: response.status,
            result: response.payload,
        })
    }

    /// A peer must not get a signature on anything that the user did not propose.
    fn check(&self, proposal: &Proposal) -> Result<(), String> {
        if self.header != proposal.header {
            return Err("its header is not the proposal's".into());
        }
        if self.proposal.input != proposal.input {
            return Err("it calls something other than was proposed".into());
        }
        if !self.proposal.transient_map.is_empty() {
            return Err("it would write the transient data to the ledger".into());
        }
        if self.chaincode != proposal.contract.chaincode {
            return Err(format!("it was endorsed by chaincode {:?}", self.chaincode));
        }
        if self.status >= 400 {
            return Err(format!("the chaincode answered {}", self.status));
        }
        Ok(())
    }
}
