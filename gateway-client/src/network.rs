//! A channel, and the chaincodes on it.

use crate::forms::BlockForm;
use crate::signed::unusable;
use crate::{
    Block, BlockAndPrivateData, BlockEventsRequest, BlockStream, Call, ChaincodeEvent,
    ChaincodeEventsRequest, Checkpoint, Commit, CommitStatus, Error, EventStream, FilteredBlock, Gateway,
    Operation, Proposal, Start, Submitter, UnderWay,
};
use fabric_protos::common::BlockchainInfo;
use fabric_protos::prost::Message;

/// A channel, seen from one's own peer.
#[derive(Clone, Debug)]
pub struct Network {
    pub(crate) gateway: Gateway,
    pub(crate) channel: String,
}

impl Network {
    /// The channel's name.
    pub fn name(&self) -> &str {
        &self.channel
    }

    /// The gateway through which it is seen.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// A chaincode that is committed on the channel.
    pub fn contract(&self, chaincode: impl Into<String>) -> Contract {
        Contract { network: self.clone(), chaincode: chaincode.into(), contract: None, under_way: Vec::new() }
    }

    /// One contract of a chaincode that has several: its functions are called as `contract:function`.
    pub fn contract_with_name(&self, chaincode: impl Into<String>, contract: impl Into<String>) -> Contract {
        Contract { contract: Some(contract.into()), ..self.contract(chaincode) }
    }

    /// The blocks from a checkpoint on, for ever: waits for those to come, reconnects by itself.
    pub fn blocks(&self, from: Checkpoint) -> BlockStream {
        self.follow(from, false)
    }

    /// The blocks from a checkpoint to the newest at the time of the call, then the end.
    pub fn past_blocks(&self, from: Checkpoint) -> BlockStream {
        self.follow(from, true)
    }

    /// As [`Network::blocks`], with transaction ids, verdicts and event names only. Nothing of them can be checked
    /// but that no block is missing.
    pub fn filtered_blocks(&self, from: Checkpoint) -> EventStream<FilteredBlock> {
        self.follow(from, false)
    }

    /// As [`Network::blocks`], with the private data that one's own organisation may see.
    pub fn blocks_and_private_data(&self, from: Checkpoint) -> EventStream<BlockAndPrivateData> {
        self.follow(from, false)
    }

    fn follow<B: BlockForm>(&self, from: Checkpoint, past: bool) -> EventStream<B> {
        BlockEventsRequest::new(self, &from.into(), past).follow()
    }

    /// A request for the blocks to come, or those from a place in the chain on, over one connection: it can be
    /// signed elsewhere, and its stream ends with an error when the connection does.
    pub fn block_events_request(&self, start: impl Into<Start>) -> BlockEventsRequest<Block> {
        BlockEventsRequest::new(self, &start.into(), false)
    }

    /// As [`Network::block_events_request`], for filtered blocks.
    pub fn filtered_block_events_request(
        &self,
        start: impl Into<Start>,
    ) -> BlockEventsRequest<FilteredBlock> {
        BlockEventsRequest::new(self, &start.into(), false)
    }

    /// As [`Network::block_events_request`], for blocks with private data.
    pub fn block_and_private_data_events_request(
        &self,
        start: impl Into<Start>,
    ) -> BlockEventsRequest<BlockAndPrivateData> {
        BlockEventsRequest::new(self, &start.into(), false)
    }

    /// The events of a chaincode from a checkpoint on, for ever. Nodes follow blocks; this is for clients
    /// that need no more than the events.
    pub fn chaincode_events(&self, chaincode: &str, from: Checkpoint) -> EventStream<ChaincodeEvent> {
        ChaincodeEventsRequest::new(self, chaincode, &from.into()).follow()
    }

    /// A request for a chaincode's events, over one connection: it can be signed elsewhere, and its stream ends with
    /// an error when the connection does.
    pub fn chaincode_events_request(
        &self,
        chaincode: &str,
        start: impl Into<Start>,
    ) -> ChaincodeEventsRequest {
        ChaincodeEventsRequest::new(self, chaincode, &start.into())
    }

    /// A transaction that was submitted earlier, perhaps by a process that is gone.
    pub fn commit(&self, transaction_id: &str) -> Commit {
        Commit::new(self.gateway.clone(), &self.channel, transaction_id)
    }

    /// The number of blocks in the chain of one's own peer.
    ///
    /// # Errors
    /// As [`Contract::evaluate`], of the system chaincode `qscc`.
    pub async fn height(&self) -> Result<u64, Error> {
        let call = Call::new("GetChainInfo").arg(self.channel.as_str());
        let answer = self.contract("qscc").evaluate(call).await?;
        let info =
            BlockchainInfo::decode(answer.as_slice()).map_err(|e| unusable(Operation::Evaluate, "", e))?;
        Ok(info.height)
    }
}

/// A chaincode on a channel.
#[derive(Clone, Debug)]
pub struct Contract {
    pub(crate) network: Network,
    pub(crate) chaincode: String,
    /// The contract within the chaincode, where it has several.
    pub(crate) contract: Option<String>,
    /// Where its submissions show.
    pub(crate) under_way: Vec<UnderWay>,
}

impl Contract {
    /// The channel that it is on.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The gateway through which it is called.
    pub fn gateway(&self) -> &Gateway {
        &self.network.gateway
    }

    /// The same contract, whose submissions show in this list, too, while they are under way.
    pub fn watched(&self, under_way: &UnderWay) -> Self {
        let mut watched = self.clone();
        watched.under_way.push(under_way.clone());
        watched
    }

    /// The chaincode's name.
    pub fn name(&self) -> &str {
        &self.chaincode
    }

    /// A proposal of a call, yet to be signed.
    ///
    /// # Errors
    /// [`Error::Signer`] when the system has no randomness.
    pub fn propose(&self, call: Call) -> Result<Proposal, Error> {
        Proposal::new(self, call)
    }

    /// Asks one peer, usually one's own, for the result of a call. Nothing is written.
    ///
    /// # Errors
    /// [`Error::Call`] with the contract's refusal or the peer's trouble; [`Error::Signer`].
    pub async fn evaluate(&self, call: Call) -> Result<Vec<u8>, Error> {
        self.propose(call)?.evaluate().await
    }

    /// Endorses, submits and waits for the verdict, once. [`Contract::submitter`] tries again.
    ///
    /// # Errors
    /// [`Error::Call`] of the step that failed, [`Error::Invalid`] when the transaction did not pass
    /// validation.
    pub async fn submit(&self, call: Call) -> Result<(Vec<u8>, CommitStatus), Error> {
        let transaction = self.propose(call)?.endorse().await?;
        let status = transaction.submit().await?.status().await?.into_valid()?;
        Ok((transaction.into_result(), status))
    }

    /// Submits with the retry rules.
    pub fn submitter(&self) -> Submitter {
        Submitter::new(self.clone())
    }
}
