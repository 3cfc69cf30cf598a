//! The contracts. One generic job contract serves all multi-party jobs: it keeps the book of who may post which record
//! and when, by the table in [`records::phase`], and knows nothing of what the records mean.
//!
//! Functions, with their arguments:
//!
//! | function | arguments | result |
//! |---|---|---|
//! | `propose` | parameters (JSON) | the job |
//! | `accept` | job | the acceptance |
//! | `refuse` | job, reason | the ending |
//! | `post` | job, phase, round, chunk, body (JSON) | nothing; the record lies under its key |
//! | `finish` | job | the ending |
//! | `abort` | job, reason | the ending |
//! | `job` | job | [`records::JobView`] |
//! | `jobs` | | list of [`records::JobView`] |
//! | `record` | job, phase, round, party, chunk | the record |
//! | `probe` | name, value | nothing; the value lies under the caller's name |
//!
//! A refusal is a [`records::Refusal`] in the message of a response with status 500.

mod chaincode;
mod job;
mod world;

pub use chaincode::JobContract;
pub use job::invoke;
pub use world::{Caller, Failure, WorldState};
