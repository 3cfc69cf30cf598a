//! A call of a chaincode, and the proposal of it.

use crate::signed::{Signed, damaged, header, nonce, read};
use crate::{Contract, Error, Gateway, Operation, Transaction};
use fabric_protos::common::{ChannelHeader, Header, HeaderType};
use fabric_protos::gateway::{EndorseRequest, EvaluateRequest, ProposedTransaction};
use fabric_protos::hash;
use fabric_protos::peer::{
    self, ChaincodeHeaderExtension, ChaincodeId, ChaincodeInput, ChaincodeInvocationSpec,
    ChaincodeProposalPayload, ChaincodeSpec, SignedProposal, chaincode_spec,
};
use fabric_protos::prost::Message;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What [`Proposal::from_bytes`] reads.
const PROPOSAL: &str = "proposal";

/// A function of a chaincode, with arguments.
#[derive(Clone)]
pub struct Call {
    args: Vec<Vec<u8>>,
    transient: BTreeMap<String, Vec<u8>>,
    organizations: Vec<String>,
}

impl Call {
    /// A call of this function.
    pub fn new(function: impl Into<Vec<u8>>) -> Self {
        Self { args: vec![function.into()], transient: BTreeMap::new(), organizations: Vec::new() }
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl Into<Vec<u8>>) -> Self {
        self.args.push(argument.into());
        self
    }

    /// Adds data that endorsers see but the ledger never holds.
    pub fn transient(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.transient.insert(name.into(), value.into());
        self
    }

    /// Names the organisations (MSP identifiers) that endorse or evaluate; without any the gateway chooses.
    pub fn organizations<S: Into<String>>(mut self, msp_ids: impl IntoIterator<Item = S>) -> Self {
        self.organizations = msp_ids.into_iter().map(Into::into).collect();
        self
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("function", &String::from_utf8_lossy(&self.args[0]))
            .field("args", &(self.args.len() - 1))
            .field("transient", &self.transient.keys())
            .field("organizations", &self.organizations)
            .finish()
    }
}

/// A call with a transaction id. The gateway's user signs it when it is first sent; or its bytes go to
/// wherever the key is, and come back with a signature.
pub struct Proposal {
    pub(crate) gateway: Gateway,
    pub(crate) channel: String,
    pub(crate) chaincode: String,
    pub(crate) transaction_id: String,
    /// Channel header and signature header as they are signed.
    pub(crate) header: Header,
    /// The serialised invocation as it is signed.
    pub(crate) input: Vec<u8>,
    signed: Signed,
    organizations: Vec<String>,
}

impl Proposal {
    pub(crate) fn new(contract: &Contract, mut call: Call) -> Result<Self, Error> {
        let (gateway, channel) = (contract.network.gateway.clone(), contract.network.channel.clone());
        let chaincode = contract.chaincode.clone();
        if let Some(contract) = &contract.contract {
            call.args[0] = [contract.as_bytes(), b":", &call.args[0]].concat();
        }
        let nonce = nonce()?;
        let transaction_id = hash::transaction_id(&nonce, gateway.creator());
        let chaincode_id = ChaincodeId { name: chaincode.clone(), ..Default::default() };
        let extension = ChaincodeHeaderExtension { chaincode_id: Some(chaincode_id.clone()) }.encode_to_vec();
        let header =
            header(HeaderType::EndorserTransaction, &gateway, &channel, (&transaction_id, nonce), extension);
        let input = ChaincodeInvocationSpec {
            chaincode_spec: Some(ChaincodeSpec {
                r#type: chaincode_spec::Type::Golang as i32,
                chaincode_id: Some(chaincode_id),
                input: Some(ChaincodeInput { args: call.args, ..Default::default() }),
                ..Default::default()
            }),
        }
        .encode_to_vec();
        let payload =
            ChaincodeProposalPayload { input: input.clone(), transient_map: call.transient }.encode_to_vec();
        let proposal = peer::Proposal { header: header.encode_to_vec(), payload, extension: Vec::new() };
        let signed = Signed::new(proposal.encode_to_vec(), Vec::new());
        let organizations = call.organizations;
        Ok(Self { gateway, channel, chaincode, transaction_id, header, input, signed, organizations })
    }

    /// Takes up what [`Proposal::to_bytes`] or an official client wrote.
    ///
    /// # Errors
    /// [`Error::Bytes`] when they are no proposal.
    pub fn from_bytes(gateway: &Gateway, bytes: &[u8]) -> Result<Self, Error> {
        let proposed: ProposedTransaction = read(PROPOSAL, bytes)?;
        let signed = proposed.proposal.unwrap_or_default();
        let proposal: peer::Proposal = read(PROPOSAL, &signed.proposal_bytes)?;
        let header: Header = read(PROPOSAL, &proposal.header)?;
        let channel: ChannelHeader = read(PROPOSAL, &header.channel_header)?;
        let extension: ChaincodeHeaderExtension = read(PROPOSAL, &channel.extension)?;
        let payload: ChaincodeProposalPayload = read(PROPOSAL, &proposal.payload)?;
        if channel.tx_id.is_empty() || channel.tx_id != proposed.transaction_id {
            return Err(damaged(PROPOSAL, "its transaction id is not the one in its header"));
        }
        Ok(Self {
            gateway: gateway.clone(),
            channel: channel.channel_id,
            chaincode: extension.chaincode_id.unwrap_or_default().name,
            transaction_id: channel.tx_id,
            header,
            input: payload.input,
            signed: Signed::new(signed.proposal_bytes, signed.signature),
            organizations: proposed.endorsing_organizations,
        })
    }

    /// The proposal, with its signature if it has one, as official clients write it. Transient data are in it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let proposed = ProposedTransaction {
            transaction_id: self.transaction_id.clone(),
            proposal: Some(self.proposed()),
            endorsing_organizations: self.organizations.clone(),
        };
        proposed.encode_to_vec()
    }

    /// The SHA-256 digest that is to be signed.
    pub fn digest(&self) -> [u8; 32] {
        self.signed.digest()
    }

    /// With a signature of [`Proposal::digest`] that was made elsewhere (see [`Signer`](crate::Signer) for its form).
    pub fn with_signature(mut self, signature: Vec<u8>) -> Self {
        self.signed.set(signature);
        self
    }

    /// The transaction's id: SHA-256 of nonce and creator, in hex.
    pub fn transaction_id(&self) -> &str {
        &self.transaction_id
    }

    /// Asks one peer for the result, within the time of the gateway's options.
    ///
    /// # Errors
    /// [`Error::Call`] with the contract's refusal or the peer's trouble; [`Error::Signer`].
    pub async fn evaluate(&self) -> Result<Vec<u8>, Error> {
        self.evaluate_within(self.gateway.options().evaluate).await
    }

    /// As [`Proposal::evaluate`], with a time limit of one's own.
    ///
    /// # Errors
    /// As [`Proposal::evaluate`].
    pub async fn evaluate_within(&self, limit: Duration) -> Result<Vec<u8>, Error> {
        self.signed.sign(&self.gateway).await?;
        let request = EvaluateRequest {
            transaction_id: self.transaction_id.clone(),
            channel_id: self.channel.clone(),
            proposed_transaction: Some(self.proposed()),
            target_organizations: self.organizations.clone(),
        };
        let what = (Operation::Evaluate, self.transaction_id());
        let call =
            |mut client: crate::gateway::Client, request| async move { client.evaluate(request).await };
        let answer = self.gateway.unary(what, limit, request, call).await?;
        Ok(answer.result.map(|response| response.payload).unwrap_or_default())
    }

    /// Collects endorsements within the time of the gateway's options, and compares what was endorsed with
    /// what was proposed.
    ///
    /// # Errors
    /// [`Error::Call`] with the contract's refusal or the peers' trouble; [`Error::Answer`] when the
    /// endorsed transaction is another one; [`Error::Signer`].
    pub async fn endorse(&self) -> Result<Transaction, Error> {
        self.endorse_within(self.gateway.options().endorse).await
    }

    /// As [`Proposal::endorse`], with a time limit of one's own.
    ///
    /// # Errors
    /// As [`Proposal::endorse`].
    pub async fn endorse_within(&self, limit: Duration) -> Result<Transaction, Error> {
        self.signed.sign(&self.gateway).await?;
        let request = EndorseRequest {
            transaction_id: self.transaction_id.clone(),
            channel_id: self.channel.clone(),
            proposed_transaction: Some(self.proposed()),
            endorsing_organizations: self.organizations.clone(),
        };
        let what = (Operation::Endorse, self.transaction_id());
        let call = |mut client: crate::gateway::Client, request| async move { client.endorse(request).await };
        let answer = self.gateway.unary(what, limit, request, call).await?;
        Transaction::endorsed(self, answer.prepared_transaction.unwrap_or_default())
    }

    fn proposed(&self) -> SignedProposal {
        SignedProposal {
            proposal_bytes: self.signed.message().to_vec(),
            signature: self.signed.signature().to_vec(),
        }
    }
}

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proposal").field("transaction_id", &self.transaction_id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_arguments_and_transient_values() {
        let call = Call::new("put").arg("secret-1").transient("key", "secret-2").organizations(["Org1MSP"]);
        let shown = format!("{call:?}");
        assert!(!shown.contains("secret") && shown.contains("put") && shown.contains("Org1MSP"), "{shown}");
    }
}
