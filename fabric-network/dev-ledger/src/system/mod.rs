//! System chaincodes: what a peer answers itself.

mod access;
mod collections;
mod cscc;
mod lifecycle;
mod qscc;

pub use lifecycle::{Run, invoke as lifecycle};

use crate::channel::{Channels, Node};
use crate::definition::LIFECYCLE;
use fabric_protos::peer::{Response, SignedProposal};
use std::sync::Arc;

/// The name of the chaincode that answers questions about a chain.
pub const QSCC: &str = "qscc";
/// The name of the chaincode that answers questions about channels and their configuration.
pub const CSCC: &str = "cscc";
/// The version that stands in endorsements of system chaincodes.
pub const VERSION: &str = "syscc";

/// Whether a peer runs the chaincode itself.
pub fn is_system(chaincode: &str) -> bool {
    [QSCC, CSCC, LIFECYCLE].contains(&chaincode)
}

/// A call of a system chaincode.
pub struct Call<'a> {
    pub channels: &'a Channels,
    /// The peer that is asked.
    pub node: &'a Arc<Node>,
    pub signed: &'a SignedProposal,
    /// Who signed the proposal, serialised.
    pub creator: &'a [u8],
    pub args: &'a [Vec<u8>],
}

impl Call<'_> {
    /// Runs one of the chaincodes that [`is_system`], without a channel's state.
    pub fn run(&self, chaincode: &str) -> Response {
        match chaincode {
            QSCC => answer(qscc::query(self)),
            LIFECYCLE => lifecycle(self, None),
            _ => answer(cscc::query(self)),
        }
    }

    fn text(&self, index: usize) -> String {
        self.args.get(index).map(|arg| String::from_utf8_lossy(arg).into_owned()).unwrap_or_default()
    }
}

/// What a system chaincode says.
fn answer(answer: Result<Vec<u8>, String>) -> Response {
    match answer {
        Ok(payload) => Response { status: 200, message: String::new(), payload },
        Err(message) => Response { status: 500, message, payload: Vec::new() },
    }
}
