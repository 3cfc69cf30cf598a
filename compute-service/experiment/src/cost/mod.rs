//! What the ledger costs a job: its recorded bodies through nodes without cryptography, beside clients that write the
//! same bytes without any rules.
//!
//! [`Recording`] holds the bodies of a finished job, [`replay`] has nodes post them again as a new job, and [`bare`]
//! writes them with the contract's `probe`, which checks nothing. All three see the same network.

pub mod bare;
mod recording;
mod replay;

pub use recording::{Recording, Round};
pub use replay::{Replayed, replay};

use gateway_client::{Contract, Gateway, Network};
use node::{NodeError, driver::DriverError, store::StoreError};
use records::{MspId, NoMspId};

/// A participant's way to the ledger.
#[derive(Clone, Debug)]
pub struct Client {
    /// MSP identifier.
    pub msp_id: MspId,
    network: Network,
    chaincode: String,
}

impl Client {
    /// The channel and chaincode through a gateway, in its user's name.
    ///
    /// # Errors
    /// An identity without a name.
    pub fn new(gateway: &Gateway, channel: &str, chaincode: &str) -> Result<Self, NoMspId> {
        Ok(Self {
            msp_id: gateway.user().identity().msp_id().parse()?,
            network: gateway.network(channel),
            chaincode: chaincode.into(),
        })
    }

    fn contract(&self) -> Contract {
        self.network.contract(&self.chaincode)
    }
}

/// Why a measurement fails.
#[derive(Debug, thiserror::Error)]
pub enum CostError {
    /// The ledger.
    #[error(transparent)]
    Gateway(#[from] gateway_client::Error),
    /// What is on the ledger.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A node's database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A node's driver.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

fn failed(e: impl std::fmt::Display) -> CostError {
    CostError::Failed(e.to_string())
}
