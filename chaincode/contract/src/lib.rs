//! The chaincode of Confab. It has one module for each domain: jobs, threshold keys, and encrypted rows for analysts. For
//! all multi-party jobs it decides who may post which record and when, by the schedule in [`records::Rules`]; what a kind of
//! job adds is in `jobs::kinds`.
//!
//! [`JobContract`] is what a peer calls; [`invoke`] is the same on any [`WorldState`], for tests in memory.
//!
//! ```no_run
//! use contract::JobContract;
//! use shim::{Environment, Server, listen};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = Environment::read();
//! let listener = listen(&settings.address.ok_or("CHAINCODE_SERVER_ADDRESS is not set")?).await?;
//! let server = Server::builder(JobContract).package_id(settings.package_id.unwrap_or_default());
//! server.serve(listener, std::future::pending()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! A function is called as `domain:function`, or by its bare name from the time when there were no domains. Functions on jobs
//! (`jobs:…`), with their arguments:
//!
//! | function | bare | arguments | result |
//! |---|---|---|---|
//! | `propose` | `propose` | parameters (JSON) | the job |
//! | `accept` | `accept` | job | the acceptance |
//! | `refuse` | `refuse` | job, reason | the ending |
//! | `post` | `post` | job, phase, round, chunk, body (JSON), parties built on (JSON) | nothing; the record lies under its key |
//! | `finish` | `finish` | job | the ending |
//! | `abort` | `abort` | job, reason | the ending |
//! | `get` | `job` | job | [`records::JobView`] |
//! | `list` | `jobs` | page | page of [`records::JobView`] |
//! | `record` | `record` | job, phase, round, party, chunk | the record |
//!
//! What is late is decided by the members' clocks together ([`records::ledger_time`]):
//!
//! | function | bare | arguments | result |
//! |---|---|---|---|
//! | `clock` | `clock` | | nothing; the member's clock goes on to the transaction's timestamp |
//! | `remind` | `remind` | job, list of [`records::Awaited`] (JSON) | nothing; a [`records::Reminder`] for each participant that owes one |
//! | `waiting` | `waiting` | job | [`records::Waiting`] |
//! | `expire` | `expire` | job | the ending, where a participant is overdue |
//!
//! On the threshold keys that came out of jobs (`keys:…`):
//!
//! | function | bare | arguments | result |
//! |---|---|---|---|
//! | `get` | `key` | fingerprint | list of [`records::KeyEntry`] |
//! | `list` | `keys` | page | page of [`records::KeyEntry`] |
//!
//! On encrypted rows that providers share with an analyst (`instances:…`, [`records::SharedTable`]):
//!
//! | function | bare | arguments | result |
//! |---|---|---|---|
//! | `publish-key` | `publish-key` | modulus (JSON) | [`records::AnalystKey`] |
//! | `analyst-keys` | `analyst-keys` | analyst or nothing, page | page of [`records::AnalystKey`] |
//! | `announce` | `announce` | table (JSON) | its name |
//! | `share` | `share` | analyst, provider, table, list of [`records::Row`] (JSON) | nothing; each row lies under its key |
//! | `tables` | `tables` | analyst, provider or nothing, page | page of [`records::SharedTable`] |
//! | `list` | `instances` | analyst, provider, table, page, `full` or `digests` | page of [`records::Instance`] |
//!
//! `probe:write` (`probe`) writes a value under the caller's name: whether the contract answers, and endorsers agree.
//!
//! A page is two arguments: the largest number of entries, and a bookmark, which is empty for the first page. Without them it
//! is the first page of full size. Large entries make it smaller. A refusal is a [`records::Refusal`] in the message of a response with
//! status 500.

mod call;
mod chaincode;
mod instances;
mod jobs;
mod keys;
mod probe;
mod router;
mod world;

pub use chaincode::JobContract;
pub use world::{Caller, ContractError, StatePage, WorldState};

use call::{Call, refuse};
use records::Code;

/// Runs one call of the contracts.
///
/// # Errors
/// A refusal by the rules, or the world state's failure.
pub fn invoke(
    world: &mut dyn WorldState,
    caller: &Caller,
    function: &str,
    args: &[Vec<u8>],
) -> Result<Vec<u8>, ContractError> {
    let call = Call { caller, now: world.timestamp(), args };
    match router::find(function) {
        Some(run) => run(&call, world),
        None => refuse(Code::BadInput, format!("no function `{}`", function.escape_debug())),
    }
}
