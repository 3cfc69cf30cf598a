//! A submitted transaction and the verdict on it.

use crate::{Error, Network, Operation};
use fabric_protos::gateway::{CommitStatusRequest, SignedCommitStatusRequest};
use fabric_protos::peer::TxValidationCode;
use fabric_protos::prost::Message;
use std::time::Duration;

/// A transaction that the orderers may have.
#[derive(Clone, Debug)]
pub struct Commit {
    network: Network,
    transaction_id: String,
}

impl Commit {
    pub(crate) fn new(network: Network, transaction_id: String) -> Self {
        Self { network, transaction_id }
    }

    /// The transaction's id.
    pub fn transaction_id(&self) -> &str {
        &self.transaction_id
    }

    /// Waits until the transaction is in a block of one's own peer.
    ///
    /// The peer knows the verdict a moment before its state has the writes: an evaluation that follows at
    /// once may still see what was there before.
    ///
    /// # Errors
    /// [`Error::Call`]; a time-out means that it is in no block yet.
    pub async fn status(&self) -> Result<CommitStatus, Error> {
        self.status_within(self.network.gateway.options().commit_status).await
    }

    /// As [`Commit::status`], with a time limit of one's own.
    ///
    /// # Errors
    /// As [`Commit::status`].
    pub async fn status_within(&self, limit: Duration) -> Result<CommitStatus, Error> {
        let gateway = &self.network.gateway;
        let request = CommitStatusRequest {
            transaction_id: self.transaction_id.clone(),
            channel_id: self.network.channel.clone(),
            identity: gateway.creator().to_vec(),
        };
        let signed = gateway.sign(request.encode_to_vec()).await?;
        let request = SignedCommitStatusRequest { request: signed.message, signature: signed.signature };
        let what = (Operation::CommitStatus, self.transaction_id());
        let answer = gateway
            .unary(what, limit, request, async |mut client, request| client.commit_status(request).await)
            .await?;
        Ok(CommitStatus {
            transaction_id: self.transaction_id.clone(),
            code: TxValidationCode::try_from(answer.result).unwrap_or(TxValidationCode::InvalidOtherReason),
            block_number: answer.block_number,
        })
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
