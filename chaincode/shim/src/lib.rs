//! Chaincode as a service: a contract runs in a process of its own, and the organisation's peers dial it.
//!
//! A [`Contract`] is synchronous code that answers one call through a [`Stub`]: arguments, caller,
//! state. A [`Server`] listens for peers and runs any number of calls at once, each on a thread of a
//! bounded pool.
//!
//! ```no_run
//! use shim::{Contract, Response, Server, Stub};
//!
//! /// Remembers who greeted last.
//! struct Greeter;
//!
//! impl Contract for Greeter {
//!     fn invoke(&self, stub: &Stub) -> Response {
//!         let greet = || {
//!             let before = stub.get_state("last")?.unwrap_or_default();
//!             stub.put_state("last", stub.creator()?.id().as_bytes())?;
//!             Ok::<_, shim::StubError>(before)
//!         };
//!         greet().map_or_else(Response::error, Response::ok)
//!     }
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:9999").await?;
//! let shutdown = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
//! Server::builder(Greeter).package_id("greeter_1:0123…").serve(listener, shutdown).await?;
//! # Ok(())
//! # }
//! ```
//!
//! As everywhere in Fabric, a read sees the committed state and never the call's own writes.
//!
//! A program that can reach the port can play the peer: it learns how the contract answers to states of its
//! choice, and nothing of the real ledger. Where that matters, ask for client certificates ([`Tls`]).

mod composite;
mod environment;
mod error;
mod identity;
mod invocation;
mod link;
mod policy;
mod private;
mod protocol;
mod query;
mod server;
mod session;
mod stub;
mod writes;

pub use composite::{composite_key, split_composite_key};
pub use environment::{Environment, EnvironmentError, listen};
pub use error::StubError;
pub use identity::{ClientIdentity, IdentityError};
pub use invocation::Timestamp;
pub use policy::{KeyEndorsementPolicy, RoleType};
pub use query::{KeyModification, KeyValue, Page, QueryIter};
pub use server::{Builder, ServeError, Server, Tls};
pub use stub::Stub;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// A smart contract. All calls of all channels and peers share one value, so that what it remembers
/// between calls must not influence an answer: endorsers would disagree.
pub trait Contract: Send + Sync + 'static {
    /// Answers the message INIT, which only peers with the lifecycle of Fabric 1 send.
    fn init(&self, _stub: &Stub) -> Response {
        Response::ok(Vec::new())
    }

    /// Answers a call. May block: it runs on a thread of its own. A panic becomes an answer with
    /// status 500, whose details are in the log only.
    fn invoke(&self, stub: &Stub) -> Response;
}

/// What a contract answers to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// 200 for success; from 400 on the call failed, is not endorsed, and nothing is written.
    pub status: i32,
    /// What is said about the outcome; clients see it when a call fails.
    pub message: String,
    /// The result.
    pub payload: Vec<u8>,
}

impl Response {
    /// The first status that means failure.
    pub const FAILURE: i32 = 400;

    /// Success, with a result.
    pub fn ok(payload: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, message: String::new(), payload: payload.into() }
    }

    /// Failure with status 500.
    pub fn error(message: impl ToString) -> Self {
        Self::with_status(500, message)
    }

    /// An answer without a result.
    pub fn with_status(status: i32, message: impl ToString) -> Self {
        Self { status, message: message.to_string(), payload: Vec::new() }
    }

    /// Whether the call failed.
    pub fn is_failure(&self) -> bool {
        self.status >= Self::FAILURE
    }
}
