//! What the deliver service of a peer answers.

use super::{ChaincodeEvent, TxValidationCode};
use std::collections::BTreeMap;

/// A block, or the end of the stream with its status.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct DeliverResponse {
    #[prost(oneof = "deliver_response::Type", tags = "1, 2, 3, 4")]
    pub r#type: Option<deliver_response::Type>,
}

/// What [`DeliverResponse`] holds.
pub mod deliver_response {
    /// One of these.
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Type {
        #[prost(enumeration = "crate::common::Status", tag = "1")]
        Status(i32),
        #[prost(message, tag = "2")]
        Block(crate::common::Block),
        #[prost(message, tag = "3")]
        FilteredBlock(super::FilteredBlock),
        #[prost(message, tag = "4")]
        BlockAndPrivateData(super::BlockAndPrivateData),
    }
}

/// A block with only transaction ids, verdicts and event names.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct FilteredBlock {
    #[prost(string, tag = "1")]
    pub channel_id: String,
    #[prost(uint64, tag = "2")]
    pub number: u64,
    #[prost(message, repeated, tag = "4")]
    pub filtered_transactions: Vec<FilteredTransaction>,
}

/// A transaction of a [`FilteredBlock`].
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct FilteredTransaction {
    #[prost(string, tag = "1")]
    pub txid: String,
    #[prost(enumeration = "crate::common::HeaderType", tag = "2")]
    pub r#type: i32,
    #[prost(enumeration = "TxValidationCode", tag = "3")]
    pub tx_validation_code: i32,
    #[prost(oneof = "filtered_transaction::Data", tags = "4")]
    pub data: Option<filtered_transaction::Data>,
}

/// What [`FilteredTransaction`] holds.
pub mod filtered_transaction {
    /// One of these.
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Data {
        #[prost(message, tag = "4")]
        TransactionActions(super::FilteredTransactionActions),
    }
}

/// The actions of a [`FilteredTransaction`].
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct FilteredTransactionActions {
    #[prost(message, repeated, tag = "1")]
    pub chaincode_actions: Vec<FilteredChaincodeAction>,
}

/// The event of an action, without its payload.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct FilteredChaincodeAction {
    #[prost(message, optional, tag = "1")]
    pub chaincode_event: Option<ChaincodeEvent>,
}

/// A block and the private data that belongs to it, by the transaction's number in the block.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct BlockAndPrivateData {
    #[prost(message, optional, tag = "1")]
    pub block: Option<crate::common::Block>,
    #[prost(btree_map = "uint64, message", tag = "2")]
    pub private_data_map: BTreeMap<u64, crate::rwset::TxPvtReadWriteSet>,
}
