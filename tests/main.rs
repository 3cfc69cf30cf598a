//! End-to-end tests: the `confab` program, its nodes and its contract on the development ledger and on real Fabric.
//!
//! A module is about one capability. Its tests are written once and run on every ledger that they are registered with;
//! `rows::training::dev` is one on the development ledger, `rows::training::fabric` the same on real Fabric and
//! `keys::lifecycle::fabric_2_5` one on the long-term release. Fabric's programs are looked for under `FABRIC_HOME` or on
//! the path, and under `FABRIC_HOME_2_5`; where they are not found the tests are listed as ignored, with the reason.
//!
//! ```text
//! cargo test -p end-to-end                      # everything
//! cargo test -p end-to-end rows::               # a capability
//! cargo test -p end-to-end ::dev                # a ledger
//! ```

mod bad_input;
mod certificates;
mod chaincode;
mod consent;
mod deadlines;
mod evaluation;
mod exit_codes;
mod faults;
mod fixture;
mod foreign;
mod handle;
mod harness;
mod instances;
mod interop;
mod keys;
mod kill;
mod ledgers;
mod leftovers;
mod mean;
mod models;
mod networks;
mod outputs;
mod predict;
mod profiles;
mod reports;
mod rows;
mod secrets;
mod state;
mod tables;
mod upgrades;

use harness::Test;
use libtest_mimic::Arguments;
use std::{process::ExitCode, thread};

const MODULES: &[&[Test]] = &[
    bad_input::TESTS,
    certificates::TESTS,
    chaincode::TESTS,
    consent::TESTS,
    deadlines::TESTS,
    evaluation::TESTS,
    exit_codes::TESTS,
    faults::TESTS,
    foreign::TESTS,
    handle::TESTS,
    instances::TESTS,
    interop::TESTS,
    keys::TESTS,
    kill::TESTS,
    ledgers::TESTS,
    leftovers::TESTS,
    mean::TESTS,
    models::TESTS,
    networks::TESTS,
    outputs::TESTS,
    predict::TESTS,
    profiles::TESTS,
    reports::TESTS,
    rows::TESTS,
    secrets::TESTS,
    state::TESTS,
    tables::TESTS,
    upgrades::TESTS,
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Most of a test is waiting: for blocks, for clocks, for processes that start.
    let processors = thread::available_parallelism().map_or(1, usize::from);
    arguments.test_threads.get_or_insert(2 * processors);
    let mut tests = MODULES.concat();
    // Last, so that the others wait for none of them.
    tests.sort_by_key(Test::is_alone);
    let trials = tests.into_iter().flat_map(Test::trials).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
