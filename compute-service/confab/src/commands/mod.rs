//! One command a file: arguments, then what it does.

pub mod accept;
pub mod audit;
pub mod bench;
pub mod chaincode;
pub mod crypto;
pub mod evaluate;
pub mod inspect;
pub mod instances;
pub mod job;
pub mod join;
pub mod key;
pub mod ledger;
pub mod model;
pub mod network;
pub mod node;
pub mod org;
pub mod predict;
pub mod protect;
pub mod split;
pub mod train;
pub mod verify;
pub mod watch;

pub use crate::error::CliResult;
