//! A client of Fabric's Gateway and Deliver services.
//!
//! The life of a transaction is a chain of types; each step answers the next and each failure carries
//! the transaction's id and Fabric's own code:
//!
//! ```text
//! Gateway ─► Network ─► Contract ─► Proposal ─► Transaction ─► Commit
//!            channel    chaincode   signed      endorsed,      accepted by
//!               │                               signed         the orderers
//!               ├─► blocks, filtered blocks, blocks with private data, chaincode events
//!               │   from a Checkpoint, over as many connections as it takes; hash chain checked
//!               └─► the same by a request, over one connection
//! ```
//!
//! Proposals, transactions, commits and requests for events are signed when they are first sent. Where the key is
//! elsewhere, each has `to_bytes`, `from_bytes`, `digest` and `with_signature`; the bytes are those of the official
//! clients, and may be taken up by one of them or come from there.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use gateway_client::{Call, Checkpoint, Gateway, Options, User};
//! use std::time::Duration;
//!
//! let user = User::from_files("Org1MSP", "cert.pem".as_ref(), "key.pem".as_ref())?;
//! let gateway = Gateway::from_profile("connection-org1.json".as_ref(), Some(user), Options::default())?;
//! let network = gateway.network("confab");
//! let contract = network.contract("job");
//! let answer = contract.evaluate(Call::new("get").arg("key")).await?;
//!
//! // With the retry rules for peers that restart or lose a submission, and, where `Options::refusals` reads the
//! // contract's refusals, that lag:
//! let submitter = contract.submitter();
//! let done = submitter.submit(Call::new("put").arg("key").arg(answer), Duration::from_secs(60)).await?;
//! println!("{} in block {:?}, {:?}", done.transaction_id, done.block_number, done.retries);
//!
//! let mut blocks = network.blocks(Checkpoint::start());
//! while let Some(block) = blocks.next().await {
//!     println!("block {}", block?.number);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Peers are trusted with availability only: what a peer returns for signature is compared with what was
//! proposed, and blocks are checked against their hashes. Bytes from the network never panic.

mod block;
mod blocks;
mod channel;
mod checkpoint;
mod commit;
mod error;
mod events;
mod forms;
mod gateway;
mod network;
mod peers;
mod profile;
mod proposal;
mod refusal;
mod signed;
mod signer;
mod stream;
mod submitter;
mod tls;
mod transaction;
mod validity;

pub use block::{
    Block, BlockDefect, BlockEvent, Creator, Endorser, Kind, KvWrite, ReadWriteSet, SignatureDefect,
    TransactionInfo,
};
pub use blocks::{BlockEventsRequest, BlockStream};
pub use channel::{ChannelConfig, Definition, Member, Orderer};
pub use checkpoint::{Checkpoint, Checkpointer, FileCheckpointer, InMemoryCheckpointer, Start};
pub use commit::{Commit, CommitStatus};
pub use error::{CallError, Error, Failure, Operation, PeerDetail};
pub use events::{ChaincodeEvent, ChaincodeEventsRequest};
pub use fabric_protos::peer::TxValidationCode;
pub use forms::{BlockAndPrivateData, BlockForm, FilteredBlock, FilteredTransaction, PrivateWrite};
pub use gateway::{Gateway, Options};
pub use network::{Contract, Network};
pub use peers::{ClientTls, Endpoint, Tls};
pub use profile::{Profile, ProfileError};
pub use proposal::{Call, Proposal};
pub use refusal::{Meaning, NoRefusals, Refusal, RefusalRules};
pub use signer::{Callback, Identity, IdentityError, KeySigner, Signer, SignerError, User};
pub use stream::EventStream;
pub use submitter::{
    Outcome, Retries, RetryPolicy, Stage, SubmitError, SubmitFailure, Submitted, Submitter, UnderWay,
};
pub use tls::ConnectionFault;
pub use tonic::Code as GrpcCode;
pub use transaction::Transaction;
pub use validity::{Role, Standing, Validity};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
