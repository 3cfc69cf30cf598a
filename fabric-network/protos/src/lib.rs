//! Fabric's wire messages and services, those that are in use.
//!
//! Messages are [`prost`] structs, written from the wire format; there is one module per package of
//! Fabric's, named after it, only that package `protos` is [`peer`] here. Names follow the usual
//! convention of prost: `TransientMap` is `transient_map`, and what nests in a message is in a module
//! with the message's name. Fields bear Fabric's names and are not documented again.
//!
//! Begin with [`common`], whose envelopes and blocks hold all the rest, or with a client in [`services`], which has each gRPC
//! service with a client and a server side. [`hash`] has what every user needs beyond the messages: transaction ids and the hashes
//! of blocks.
//!
//! ```
//! use fabric_protos::common::{Block, BlockData, BlockHeader};
//! use fabric_protos::hash::block_data_hash;
//! use fabric_protos::prost::Message;
//!
//! let data = BlockData { data: vec![b"a signed transaction".to_vec()] };
//! let header = BlockHeader { number: 7, previous_hash: vec![0; 32], data_hash: block_data_hash(&data).into() };
//! let bytes = Block { header: Some(header), data: Some(data), metadata: None }.encode_to_vec();
//!
//! let block = Block::decode(bytes.as_slice())?;
//! let (header, data) = (block.header.unwrap_or_default(), block.data.unwrap_or_default());
//! assert_eq!(header.data_hash, block_data_hash(&data));
//! # Ok::<(), fabric_protos::prost::DecodeError>(())
//! ```
//!
//! Unknown fields of a newer Fabric are skipped on reading and thus lost on writing: forward the bytes
//! that were signed or hashed, never a message that was decoded and encoded again.

#[macro_use]
mod enumeration;
#[macro_use]
mod service;

#[allow(missing_docs)]
pub mod common;
#[allow(missing_docs)]
pub mod discovery;
#[allow(missing_docs)]
pub mod gateway;
#[allow(missing_docs)]
pub mod gossip;
pub mod hash;
#[allow(missing_docs)]
pub mod kvrwset;
#[allow(missing_docs)]
pub mod lifecycle;
#[allow(missing_docs)]
pub mod msp;
#[allow(missing_docs)]
pub mod orderer;
#[allow(missing_docs)]
pub mod queryresult;
#[allow(missing_docs)]
pub mod rwset;
pub mod services;

/// Package `protos`: proposals, transactions, and the chaincode stream.
#[allow(missing_docs)]
pub mod peer {
    mod chaincode;
    mod chaincode_shim;
    mod collection;
    mod events;
    mod proposal;
    mod transaction;

    pub use chaincode::*;
    pub use chaincode_shim::*;
    pub use collection::*;
    pub use events::*;
    pub use proposal::*;
    pub use transaction::*;
}

/// Messages of Google's that gRPC uses.
pub mod google {
    #[allow(missing_docs)]
    pub mod rpc;
}

pub use prost;
pub use prost_types;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
