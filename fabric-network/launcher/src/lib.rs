//! Starts, inspects and stops a network on this machine: real Hyperledger Fabric without Docker, or the
//! development ledger. Both leave the same folder D behind:
//!
//! ```text
//! D/network.json               what runs where: see [`Network`]
//! D/connection-org1.json …     one Fabric connection profile per organisation
//! D/crypto/                    MSP and TLS trees, as crypto-material makes them
//! D/packages/org1.tar.gz …     each organisation's own chaincode package
//! D/logs/NAME.log              output of the process NAME
//! D/run/NAME.pid               its process id and start time
//! D/config/, D/data/           configuration and data (real Fabric; the development ledger has its own data)
//! ```
//!
//! Start with [`Options`] and [`ledger::up`] or [`fabric::up`], which return a [`Network`]; [`status`] and [`down`] take its
//! folder.
//!
//! ```no_run
//! use launcher::{ChaincodeCommand, Options};
//!
//! # async fn run() -> Result<(), launcher::Error> {
//! // The chaincode's program finds its address, package id and certificate in its environment.
//! let chaincode = ChaincodeCommand { program: "target/release/mychaincode".into(), args: Vec::new() };
//! let network = launcher::fabric::up(&Options::new("net", 3, chaincode), &mut |step| println!("{step}")).await?;
//! for org in &network.orgs {
//!     println!("{}: peer on {}", org.name, org.peer.address);
//! }
//! launcher::down(&network.dir, false)?;
//! # Ok(())
//! # }
//! ```
//!
//! `cargo run -p launcher --example network` is a program around this.
//!
//! [`org`] makes networks of organisations that each run their own part on their own machine.
//!
//! Processes are named `orderer` (`orderer2`, `orderer3`), `peer-org1`, `chaincode-org1`, … or, on the development ledger,
//! `ledger`, `chaincode-org1`, …. They outlive the program that started them. Everything listens on
//! 127.0.0.1, on ports that were free when the network was first made and are kept in `network.json`.
//!
//! [`fabric::up`] and [`ledger::up`] are idempotent: what runs is left alone, what is missing is started
//! on the data that is there, and they return once a transaction was endorsed by all organisations through
//! every organisation's peer. When they fail, or their future is dropped (Ctrl-C), they stop what they started.

mod binaries;
mod channel;
mod config;
mod control;
mod error;
pub mod fabric;
mod guest;
pub mod ledger;
mod lifecycle;
mod link;
pub mod marks;
mod network;
pub mod org;
mod package;
mod ports;
mod prepare;
mod process;
mod profile;
mod ready;
mod services;
mod upgrade;

pub use binaries::{Binaries, Generation};
pub use control::{Health, PeerHealth, ProcessStatus, Status, down, status};
pub use error::Error;
pub use guest::{GuestChaincode, GuestCollection, GuestPolicy, Service, ServiceDescription};
pub use network::{
    Chaincode, ChaincodeDefinition, Collection, Identity, Kind, Network, Orderer, OrdererEndpoint,
    Organization, Peer, PeerEndpoint, ProcessSpec, Remote, Tls,
};
pub use package::service_package;
pub use process::State;
pub use services::ServiceHealth;
pub use upgrade::upgrade;

use std::{path::PathBuf, time::Duration};

/// How one organisation's chaincode service is started.
///
/// The launcher sets in its environment `CHAINCODE_SERVER_ADDRESS` (where to listen), `CHAINCODE_ID` (the
/// package id to register with), `CHAINCODE_TLS_CERT` and `CHAINCODE_TLS_KEY` (PEM files of the service's
/// own certificate, issued by the organisation's TLS authority) and `CHAINCODE_CLIENT_CA_CERT` (PEM file of the
/// authority that has certified the organisation's peer only).
#[derive(Clone, Debug)]
pub struct ChaincodeCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
}

/// What both kinds of network are made from.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder D; made when it does not exist.
    pub dir: PathBuf,
    /// Number of organisations, 1 to 64.
    pub orgs: usize,
    /// Number of Raft orderers of real Fabric: 1, or 3, of which one may fail.
    pub orderers: usize,
    /// Where Fabric's programs are looked for first; where `FABRIC_HOME` says unless given.
    pub fabric_home: Option<PathBuf>,
    /// The chaincode service of each organisation.
    pub chaincode: ChaincodeCommand,
    /// Name, version, sequence and private data collections of the chaincode.
    pub definition: ChaincodeDefinition,
    /// Function and arguments of a transaction that every member may send at any time; it is endorsed,
    /// and committed after anything was started, to show that the network works.
    pub probe: Vec<String>,
    /// How long a peer waits for another one's endorsement (`peer.gateway.endorsementTimeout`): whole seconds, from 1 to
    /// 600. As the network has it unless given, and 3 s when it is made. Peers learn of a change when they are
    /// started again.
    pub endorsement_timeout: Option<Duration>,
    /// Chaincodes of others on a development ledger, beside those that it has already.
    pub guests: Vec<GuestChaincode>,
    /// The first of the consecutive ports to use; none, free ports that the system names. Only for a
    /// network that does not exist yet.
    pub base_port: Option<u16>,
}

impl Options {
    /// `orgs` organisations in `dir` with the chaincode `confab`, version 1.0, and its probe.
    pub fn new(dir: impl Into<PathBuf>, orgs: usize, chaincode: ChaincodeCommand) -> Self {
        Self {
            dir: dir.into(),
            orgs,
            orderers: 1,
            fabric_home: None,
            chaincode,
            definition: ChaincodeDefinition::new("confab", "1.0"),
            probe: ["probe", "network", "up"].map(String::from).to_vec(),
            endorsement_timeout: None,
            guests: Vec::new(),
            base_port: None,
        }
    }
}
