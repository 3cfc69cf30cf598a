//! The contracts. One generic job contract serves all multi-party jobs: it keeps the book of who may post which record
//! and when, by the table in [`records::rules`], and knows nothing of what the records mean.
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
//! | `jobs` | page | page of [`records::JobView`] |
//! | `record` | job, phase, round, party, chunk | the record |
//! | `key` | fingerprint | list of [`records::KeyEntry`] |
//! | `keys` | page | page of [`records::KeyEntry`] |
//! | `probe` | name, value | nothing; the value lies under the caller's name |
//!
//! A page is two arguments, its most entries and its bookmark, which is empty for the first; without them it is the first
//! page of full size. Large entries make it smaller.
//!
//! What is late is decided by the members' clocks together ([`records::ledger_time`]):
//!
//! | function | arguments | result |
//! |---|---|---|
//! | `clock` | | nothing; the member's clock goes on to the transaction's timestamp |
//! | `remind` | job, list of [`records::Awaited`] (JSON) | nothing; a [`records::Reminder`] for each participant that owes one |
//! | `waiting` | job | [`records::Waiting`] |
//! | `expire` | job | the ending, where somebody is overdue |
//!
//! Beside it, providers share encrypted rows with an analyst ([`records::SharedTable`]):
//!
//! | function | arguments | result |
//! |---|---|---|
//! | `publish-key` | modulus (JSON) | [`records::AnalystKey`] |
//! | `analyst-keys` | analyst or nothing, page | page of [`records::AnalystKey`] |
//! | `announce` | table (JSON) | its name |
//! | `share` | analyst, provider, table, list of [`records::Row`] (JSON) | nothing; each row lies under its key |
//! | `tables` | analyst, provider or nothing, page | page of [`records::SharedTable`] |
//! | `instances` | analyst, provider, table, page, `full` or `digests` | page of [`records::Instance`] |
//!
//! A refusal is a [`records::Refusal`] in the message of a response with status 500.

mod call;
mod chaincode;
mod deadlines;
mod job;
mod prediction;
mod sharing;
mod world;

pub use chaincode::JobContract;
pub use world::{Caller, Failure, StatePage, WorldState};

use call::{Call, refuse};
use records::Code;

/// Runs one call of the contracts.
///
/// # Errors
/// A refusal by the rules, or the world state's failure.
pub fn invoke(
    world: &mut dyn WorldState,
    caller: &Caller,
    now: u64,
    function: &str,
    args: &[Vec<u8>],
) -> Result<Vec<u8>, Failure> {
    let call = Call { caller, now, args };
    job::invoke(&call, world, function)
        .or_else(|| deadlines::invoke(&call, world, function))
        .or_else(|| sharing::invoke(&call, world, function))
        .unwrap_or_else(|| refuse(Code::BadInput, format!("no function `{}`", function.escape_debug())))
}
