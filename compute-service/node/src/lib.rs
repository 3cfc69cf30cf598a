//! An organisation's node: it follows the ledger's blocks, takes part in jobs with the organisation's private data and
//! key share, and posts what it owes.
//!
//! ```text
//! run ── follows blocks ──► facts ──► worker (one a job) ──► driver ──► protocol
//!  │                          │          │                     │
//!  └── store: position, facts ┘          └── posts ◄── asks ───┘
//! ```

mod answer;
pub mod audit;
pub mod blobs;
pub mod config;
pub mod consent;
pub mod data;
mod deadlines;
mod directory;
pub mod driver;
mod event;
pub mod facts;
mod handle;
pub mod instances;
pub mod jobs;
pub mod keyring;
pub mod ledger;
pub mod model;
pub mod poster;
pub mod predictions;
pub mod projections;
pub mod proposal;
pub mod protected;
pub mod report;
mod run;
pub mod sklearn;
pub mod store;
pub mod verify;
pub mod wait;
pub mod worker;

pub use event::Event;
pub use handle::{Compacted, ConnectError, Events, KeyList, NodeError, NodeHandle, Origin, RequestError};
pub use run::Node;

/// The operating system's randomness as a generator.
pub fn os_rng() -> impl rand_core::CryptoRng {
    rand_core::UnwrapErr(getrandom::SysRng)
}
