//! The forms in which a peer delivers blocks.

use crate::{Block, BlockDefect, Kind, KvWrite};
use fabric_protos::common::Envelope;
use fabric_protos::kvrwset::KvrwSet;
use fabric_protos::peer::{self, DeliverResponse, TxValidationCode, deliver_response, filtered_transaction};
use fabric_protos::prost::Message;
use fabric_protos::rwset::TxPvtReadWriteSet;
use fabric_protos::services::DeliverClient;
use tonic::transport::Channel;
use tonic::{Response, Status, Streaming};

/// The deliver service of one peer.
pub(crate) type Client = DeliverClient<Channel>;
/// What that answers.
pub(crate) type Answers = Result<Response<Streaming<DeliverResponse>>, Status>;

/// A form in which a peer delivers blocks: [`Block`], [`FilteredBlock`] or [`BlockAndPrivateData`].
pub trait BlockForm: sealed::Form {
    /// The block's number.
    fn number(&self) -> u64;
}

pub(crate) mod sealed {
    use super::*;

    pub trait Form: Sized + Send + 'static {
        /// Asks for blocks in this form.
        fn open(
            client: Client,
            requests: impl tokio_stream::Stream<Item = Envelope> + Send + 'static,
        ) -> impl Future<Output = Answers> + Send;

        /// Reads an answer; `None` when it is in another form.
        fn read(answer: deliver_response::Type) -> Option<Result<Self, BlockDefect>>;

        /// The hash of the header before and that of the block's own, where the form has them.
        fn hashes(&self) -> Option<(&[u8], [u8; 32])>;

        /// Notes that all up to this transaction has been dealt with; `false` when the block does not have it.
        fn pass(&mut self, transaction_id: &str) -> bool;
    }
}

impl BlockForm for Block {
    fn number(&self) -> u64 {
        self.number
    }
}

impl sealed::Form for Block {
    async fn open(
        mut client: Client,
        requests: impl tokio_stream::Stream<Item = Envelope> + Send + 'static,
    ) -> Answers {
        client.deliver(requests).await
    }

    fn read(answer: deliver_response::Type) -> Option<Result<Self, BlockDefect>> {
        match answer {
            deliver_response::Type::Block(block) => Some(Self::parse(block)),
            _ => None,
        }
    }

    fn hashes(&self) -> Option<(&[u8], [u8; 32])> {
        Some((&self.previous_hash, self.hash))
    }

    fn pass(&mut self, transaction_id: &str) -> bool {
        let at = self.transactions.iter().position(|t| t.transaction_id == transaction_id);
        self.seen = at.map_or(0, |at| at + 1);
        at.is_some()
    }
}

/// A block with only transaction ids, verdicts and event names. There is nothing in it by which it could be checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilteredBlock {
    /// Its number, from 0.
    pub number: u64,
    /// Its channel.
    pub channel: String,
    /// Its transactions, also those that are invalid.
    pub transactions: Vec<FilteredTransaction>,
    /// How many of the transactions lie before the checkpoint from which the stream began.
    pub seen: usize,
}

/// A transaction of a [`FilteredBlock`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilteredTransaction {
    /// Its id.
    pub transaction_id: String,
    /// What it is.
    pub kind: Kind,
    /// The verdict of this peer.
    pub validation_code: TxValidationCode,
    /// The chaincode and the name of the event that it sets; the content is not told.
    pub event: Option<(String, String)>,
}

impl FilteredBlock {
    fn parse(block: peer::FilteredBlock) -> Self {
        let transaction = |transaction: peer::FilteredTransaction| {
            let actions =
                transaction.data.map(|filtered_transaction::Data::TransactionActions(actions)| actions);
            let mut events = actions.into_iter().flat_map(|actions| actions.chaincode_actions);
            FilteredTransaction {
                kind: Kind::from_header_type(transaction.r#type),
                validation_code: TxValidationCode::try_from(transaction.tx_validation_code)
                    .unwrap_or(TxValidationCode::InvalidOtherReason),
                // Fabric has one action in a transaction.
                event: events
                    .find_map(|action| action.chaincode_event)
                    .map(|e| (e.chaincode_id, e.event_name)),
                transaction_id: transaction.txid,
            }
        };
        Self {
            number: block.number,
            channel: block.channel_id,
            transactions: block.filtered_transactions.into_iter().map(transaction).collect(),
            seen: 0,
        }
    }
}

impl BlockForm for FilteredBlock {
    fn number(&self) -> u64 {
        self.number
    }
}

impl sealed::Form for FilteredBlock {
    async fn open(
        mut client: Client,
        requests: impl tokio_stream::Stream<Item = Envelope> + Send + 'static,
    ) -> Answers {
        client.deliver_filtered(requests).await
    }

    fn read(answer: deliver_response::Type) -> Option<Result<Self, BlockDefect>> {
        match answer {
            deliver_response::Type::FilteredBlock(block) => Some(Ok(Self::parse(block))),
            _ => None,
        }
    }

    fn hashes(&self) -> Option<(&[u8], [u8; 32])> {
        None
    }

    fn pass(&mut self, transaction_id: &str) -> bool {
        let at = self.transactions.iter().position(|t| t.transaction_id == transaction_id);
        self.seen = at.map_or(0, |at| at + 1);
        at.is_some()
    }
}

/// A block with the private data that its transactions wrote, as far as the reader's organisation may see them and
/// the peer has them.
#[derive(Clone, Debug)]
pub struct BlockAndPrivateData {
    /// The block.
    pub block: Block,
    /// The keys that the transactions write to private collections.
    pub private_writes: Vec<PrivateWrite>,
}

/// A key that a transaction writes to a private collection, or deletes there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateWrite {
    /// The transaction's index in the block.
    pub transaction: usize,
    /// The collection.
    pub collection: String,
    /// What is written.
    pub write: KvWrite,
}

impl BlockAndPrivateData {
    fn parse(delivered: peer::BlockAndPrivateData) -> Result<Self, BlockDefect> {
        let block = delivered.block.ok_or(BlockDefect::Incomplete { number: 0, missing: "block" })?;
        let block = Block::parse(block)?;
        let mut private_writes = Vec::new();
        for (index, sets) in delivered.private_data_map {
            let unreadable = || BlockDefect::PrivateData { number: block.number, transaction: index };
            let transaction = usize::try_from(index).map_err(|_| unreadable())?;
            if transaction >= block.transactions.len() {
                return Err(unreadable());
            }
            let writes = read_private(transaction, sets).ok_or_else(unreadable)?;
            private_writes.extend(writes);
        }
        Ok(Self { block, private_writes })
    }
}

/// The writes of one transaction; `None` when they cannot be read.
fn read_private(transaction: usize, sets: TxPvtReadWriteSet) -> Option<Vec<PrivateWrite>> {
    let mut found = Vec::new();
    for namespace in sets.ns_pvt_rwset {
        for collection in namespace.collection_pvt_rwset {
            for write in KvrwSet::decode(collection.rwset.as_slice()).ok()?.writes {
                let namespace = namespace.namespace.clone();
                let (key, value, is_delete) = (write.key, write.value, write.is_delete);
                let (collection, write) =
                    (collection.collection_name.clone(), KvWrite { namespace, key, value, is_delete });
                found.push(PrivateWrite { transaction, collection, write });
            }
        }
    }
    Some(found)
}

impl BlockForm for BlockAndPrivateData {
    fn number(&self) -> u64 {
        self.block.number
    }
}

impl sealed::Form for BlockAndPrivateData {
    async fn open(
        mut client: Client,
        requests: impl tokio_stream::Stream<Item = Envelope> + Send + 'static,
    ) -> Answers {
        client.deliver_with_private_data(requests).await
    }

    fn read(answer: deliver_response::Type) -> Option<Result<Self, BlockDefect>> {
        match answer {
            deliver_response::Type::BlockAndPrivateData(delivered) => Some(Self::parse(delivered)),
            _ => None,
        }
    }

    fn hashes(&self) -> Option<(&[u8], [u8; 32])> {
        sealed::Form::hashes(&self.block)
    }

    fn pass(&mut self, transaction_id: &str) -> bool {
        sealed::Form::pass(&mut self.block, transaction_id)
    }
}
