//! A call of a chaincode, and the signed proposal of it.

use crate::{Contract, Error, Operation, Transaction};
use fabric_protos::common::{ChannelHeader, Header, HeaderType, SignatureHeader};
use fabric_protos::gateway::{EndorseRequest, EvaluateRequest};
use fabric_protos::peer::{
    self, ChaincodeHeaderExtension, ChaincodeId, ChaincodeInput, ChaincodeInvocationSpec,
    ChaincodeProposalPayload, ChaincodeSpec, SignedProposal, chaincode_spec,
};
use fabric_protos::prost::Message;
use fabric_protos::{hash, prost_types::Timestamp};
use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

/// Length of the nonce that makes a transaction id unique, in bytes.
const NONCE_BYTES: usize = 24;

/// A message with the user's signature on it.
pub(crate) struct SignedBytes {
    pub(crate) message: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

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

/// A call, signed: it has a transaction id from here on.
pub struct Proposal {
    pub(crate) contract: Contract,
    pub(crate) transaction_id: String,
    /// Channel header and signature header as they were signed.
    pub(crate) header: Header,
    /// The serialised invocation as it was signed.
    pub(crate) input: Vec<u8>,
    signed: SignedProposal,
    organizations: Vec<String>,
}

impl Proposal {
    pub(crate) async fn new(contract: Contract, call: Call) -> Result<Self, Error> {
        let gateway = &contract.network.gateway;
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|e| crate::SignerError(e.into()))?;
        let transaction_id = hash::transaction_id(&nonce, gateway.creator());

        let chaincode_id = ChaincodeId { name: contract.chaincode.clone(), ..Default::default() };
        let header = header(
            HeaderType::EndorserTransaction,
            &contract.network.channel,
            &transaction_id,
            ChaincodeHeaderExtension { chaincode_id: Some(chaincode_id.clone()) }.encode_to_vec(),
            SignatureHeader { creator: gateway.creator().to_vec(), nonce: nonce.to_vec() },
        );
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
        let signed = gateway.sign(proposal.encode_to_vec()).await?;
        Ok(Self {
            transaction_id,
            header,
            input,
            signed: SignedProposal { proposal_bytes: signed.message, signature: signed.signature },
            organizations: call.organizations,
            contract,
        })
    }

    /// The transaction's id: SHA-256 of nonce and creator, in hex.
    pub fn transaction_id(&self) -> &str {
        &self.transaction_id
    }

    /// Asks one peer for the result.
    ///
    /// # Errors
    /// [`Error::Call`] with the contract's refusal or the peer's trouble.
    pub async fn evaluate(&self) -> Result<Vec<u8>, Error> {
        let network = &self.contract.network;
        let request = EvaluateRequest {
            transaction_id: self.transaction_id.clone(),
            channel_id: network.channel.clone(),
            proposed_transaction: Some(self.signed.clone()),
            target_organizations: self.organizations.clone(),
        };
        let what = (Operation::Evaluate, self.transaction_id());
        let limit = network.gateway.options().evaluate;
        let answer = network
            .gateway
            .unary(what, limit, request, async |mut client, request| client.evaluate(request).await)
            .await?;
        Ok(answer.result.map(|response| response.payload).unwrap_or_default())
    }

    /// Collects endorsements, compares what was endorsed with what was proposed, and signs it.
    ///
    /// # Errors
    /// [`Error::Call`] with the contract's refusal or the peers' trouble; [`Error::Answer`] when the
    /// endorsed transaction is another one; [`Error::Signer`].
    pub async fn endorse(&self) -> Result<Transaction, Error> {
        self.endorse_within(self.contract.network.gateway.options().endorse).await
    }

    pub(crate) async fn endorse_within(&self, limit: std::time::Duration) -> Result<Transaction, Error> {
        let network = &self.contract.network;
        let request = EndorseRequest {
            transaction_id: self.transaction_id.clone(),
            channel_id: network.channel.clone(),
            proposed_transaction: Some(self.signed.clone()),
            endorsing_organizations: self.organizations.clone(),
        };
        let what = (Operation::Endorse, self.transaction_id());
        let answer = network
            .gateway
            .unary(what, limit, request, async |mut client, request| client.endorse(request).await)
            .await?;
        Transaction::endorsed(self, answer.prepared_transaction.unwrap_or_default()).await
    }
}

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proposal").field("transaction_id", &self.transaction_id).finish_non_exhaustive()
    }
}

/// The header of everything that is signed here.
pub(crate) fn header(
    kind: HeaderType,
    channel: &str,
    transaction_id: &str,
    extension: Vec<u8>,
    signature_header: SignatureHeader,
) -> Header {
    let channel_header = ChannelHeader {
        r#type: kind as i32,
        timestamp: Some(Timestamp::from(SystemTime::now())),
        channel_id: channel.to_owned(),
        tx_id: transaction_id.to_owned(),
        extension,
        ..Default::default()
    };
    Header {
        channel_header: channel_header.encode_to_vec(),
        signature_header: signature_header.encode_to_vec(),
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
