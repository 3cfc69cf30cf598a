//! An endorsed transaction, ready for the orderers.

use crate::signed::{Signed, damaged, read, unusable};
use crate::{Commit, Error, Gateway, Operation, Proposal};
use fabric_protos::common::{ChannelHeader, Envelope, Header, Payload};
use fabric_protos::gateway::{PreparedTransaction, SubmitRequest};
use fabric_protos::peer::{
    self, ChaincodeAction, ChaincodeActionPayload, ChaincodeProposalPayload, ProposalResponsePayload,
};
use fabric_protos::prost::{Message, length_delimiter_len};
use std::fmt;
use std::time::Duration;

/// What [`Transaction::from_bytes`] reads.
const TRANSACTION: &str = "transaction";

/// A transaction with its endorsements. The gateway's user signs it when it is first submitted; or its
/// bytes go to wherever the key is, and come back with a signature. Submitting it again is harmless: its
/// id is in the chain once at most.
pub struct Transaction {
    gateway: Gateway,
    channel: String,
    id: String,
    signed: Signed,
    result: Vec<u8>,
}

impl Transaction {
    /// What the gateway prepared, if it is what was proposed.
    pub(crate) fn endorsed(proposal: &Proposal, prepared: Envelope) -> Result<Self, Error> {
        let id = proposal.transaction_id().to_owned();
        let answer = |reason: String| unusable(Operation::Endorse, &id, reason);
        let endorsed = Endorsed::parse(&prepared.payload).map_err(answer)?;
        endorsed.check(proposal).map_err(answer)?;
        let signed = Signed::new(prepared.payload, Vec::new());
        let (gateway, channel) = (proposal.gateway.clone(), proposal.channel.clone());
        Ok(Self { gateway, channel, id, signed, result: endorsed.result })
    }

    /// Takes up what [`Transaction::to_bytes`] or an official client wrote. Whether the transaction is what was
    /// proposed was seen when it was endorsed; a party that signs what others kept must trust them in that.
    ///
    /// # Errors
    /// [`Error::Bytes`] when they are no transaction.
    pub fn from_bytes(gateway: &Gateway, bytes: &[u8]) -> Result<Self, Error> {
        let prepared: PreparedTransaction = read(TRANSACTION, bytes)?;
        let Envelope { payload, signature } = prepared.envelope.unwrap_or_default();
        let endorsed = Endorsed::parse(&payload).map_err(|reason| damaged(TRANSACTION, reason))?;
        let header: ChannelHeader = read(TRANSACTION, &endorsed.header.channel_header)?;
        if header.tx_id.is_empty() || header.tx_id != prepared.transaction_id {
            return Err(damaged(TRANSACTION, "its id is not the one in its header"));
        }
        Ok(Self {
            gateway: gateway.clone(),
            channel: header.channel_id,
            id: header.tx_id,
            signed: Signed::new(payload, signature),
            result: endorsed.result,
        })
    }

    /// The transaction, with its signature if it has one, as official clients write it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let envelope = Some(self.signed.envelope());
        PreparedTransaction { transaction_id: self.id.clone(), envelope }.encode_to_vec()
    }

    /// The SHA-256 digest that is to be signed.
    pub fn digest(&self) -> [u8; 32] {
        self.signed.digest()
    }

    /// With a signature of [`Transaction::digest`] that was made elsewhere (see [`Signer`](crate::Signer) for its
    /// form).
    pub fn with_signature(mut self, signature: Vec<u8>) -> Self {
        self.signed.set(signature);
        self
    }

    /// The transaction's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What the chaincode answered; it counts once the transaction is committed.
    pub fn result(&self) -> &[u8] {
        &self.result
    }

    /// The chaincode's answer, for a caller that needs no more.
    pub fn into_result(self) -> Vec<u8> {
        self.result
    }

    /// Size of the envelope in bytes, as far as it is made: its signature comes when it is submitted.
    pub fn size(&self) -> usize {
        let parts = [self.signed.message(), self.signed.signature()];
        let size = |part: &&[u8]| 1 + length_delimiter_len(part.len()) + part.len();
        parts.iter().filter(|part| !part.is_empty()).map(size).sum()
    }

    /// Hands the transaction to the orderers, within the time of the gateway's options.
    ///
    /// # Errors
    /// [`Error::Call`]; after a time-out or a lost connection the transaction may nevertheless commit.
    /// [`Error::Signer`].
    pub async fn submit(&self) -> Result<Commit, Error> {
        self.submit_within(self.gateway.options().submit).await
    }

    /// As [`Transaction::submit`], with a time limit of one's own.
    ///
    /// # Errors
    /// As [`Transaction::submit`].
    pub async fn submit_within(&self, limit: Duration) -> Result<Commit, Error> {
        self.signed.sign(&self.gateway).await?;
        let request = SubmitRequest {
            transaction_id: self.id.clone(),
            channel_id: self.channel.clone(),
            prepared_transaction: Some(self.signed.envelope()),
        };
        let call = |mut client: crate::gateway::Client, request| async move { client.submit(request).await };
        self.gateway.unary((Operation::Submit, &self.id), limit, request, call).await?;
        Ok(self.commit())
    }

    /// The wait for its verdict, whether or not this process submitted it.
    pub(crate) fn commit(&self) -> Commit {
        Commit::new(self.gateway.clone(), &self.channel, &self.id)
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
        if self.chaincode != proposal.chaincode {
            return Err(format!("it was endorsed by chaincode {:?}", self.chaincode));
        }
        if self.status >= 400 {
            return Err(format!("the chaincode answered {}", self.status));
        }
        Ok(())
    }
}
