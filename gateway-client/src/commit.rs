//! A submitted transaction and the verdict on it.

use crate::signed::{Signed, damaged, read};
use crate::{Error, Gateway, Operation};
use fabric_protos::gateway::{CommitStatusRequest, SignedCommitStatusRequest};
use fabric_protos::peer::TxValidationCode;
use fabric_protos::prost::Message;
use std::fmt;
use std::time::Duration;

/// What [`Commit::from_bytes`] reads.
const REQUEST: &str = "commit status request";

/// A transaction that the orderers may have: the request for its status. The gateway's user signs it when it
/// is first sent; or its bytes go to wherever the key is, and come back with a signature.
#[derive(Clone)]
pub struct Commit {
    gateway: Gateway,
    transaction_id: String,
    signed: Signed,
}

impl Commit {
    pub(crate) fn new(gateway: Gateway, channel: &str, transaction_id: &str) -> Self {
        let request = CommitStatusRequest {
            transaction_id: transaction_id.to_owned(),
            channel_id: channel.to_owned(),
            identity: gateway.creator().to_vec(),
        };
        let signed = Signed::new(request.encode_to_vec(), Vec::new());
        Self { gateway, transaction_id: request.transaction_id, signed }
    }

    /// Takes up what [`Commit::to_bytes`] or an official client wrote.
    ///
    /// # Errors
    /// [`Error::Bytes`] when they are no commit status request.
    pub fn from_bytes(gateway: &Gateway, bytes: &[u8]) -> Result<Self, Error> {
        let SignedCommitStatusRequest { request, signature } = read(REQUEST, bytes)?;
        let CommitStatusRequest { transaction_id, .. } = read(REQUEST, &request)?;
        if transaction_id.is_empty() {
            return Err(damaged(REQUEST, "it names no transaction"));
        }
        Ok(Self { gateway: gateway.clone(), transaction_id, signed: Signed::new(request, signature) })
    }

    /// The request, with its signature if it has one, as official clients write it.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.request().encode_to_vec()
    }

    /// The SHA-256 digest that is to be signed.
    pub fn digest(&self) -> [u8; 32] {
        self.signed.digest()
    }

    /// With a signature of [`Commit::digest`] that was made elsewhere (see [`Signer`](crate::Signer) for its form).
    pub fn with_signature(mut self, signature: Vec<u8>) -> Self {
        self.signed.set(signature);
        self
    }

    /// The transaction's id.
    pub fn transaction_id(&self) -> &str {
        &self.transaction_id
    }

    /// Waits until the transaction is in a block of one's own peer, for the time of the gateway's options.
    ///
    /// The peer knows the verdict a moment before its state has the writes: an evaluation that follows at
    /// once may still see what was there before.
    ///
    /// # Errors
    /// [`Error::Call`]; a time-out means that it is in no block yet. [`Error::Signer`].
    pub async fn status(&self) -> Result<CommitStatus, Error> {
        self.status_within(self.gateway.options().commit_status).await
    }

    /// As [`Commit::status`], with a time limit of one's own.
    ///
    /// # Errors
    /// As [`Commit::status`].
    pub async fn status_within(&self, limit: Duration) -> Result<CommitStatus, Error> {
        self.signed.sign(&self.gateway).await?;
        let what = (Operation::CommitStatus, self.transaction_id());
        let call =
            |mut client: crate::gateway::Client, request| async move { client.commit_status(request).await };
        let answer = self.gateway.unary(what, limit, self.request(), call).await?;
        Ok(CommitStatus {
            transaction_id: self.transaction_id.clone(),
            code: TxValidationCode::try_from(answer.result).unwrap_or(TxValidationCode::InvalidOtherReason),
            block_number: answer.block_number,
        })
    }

    fn request(&self) -> SignedCommitStatusRequest {
        SignedCommitStatusRequest {
            request: self.signed.message().to_vec(),
            signature: self.signed.signature().to_vec(),
        }
    }
}

impl fmt::Debug for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commit").field("transaction_id", &self.transaction_id).finish_non_exhaustive()
    }
}

/// The verdict on a transaction in a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitStatus {
    /// The transaction.
    pub transaction_id: String,
    /// Fabric's verdict.
    pub code: TxValidationCode,
    /// The block that holds it.
    pub block_number: u64,
}

impl CommitStatus {
    /// The status, if the transaction is valid.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn into_valid(self) -> Result<Self, Error> {
        match self.code {
            TxValidationCode::Valid => Ok(self),
            code => Err(Error::Invalid {
                transaction_id: self.transaction_id,
                code,
                block_number: self.block_number,
            }),
        }
    }
}
