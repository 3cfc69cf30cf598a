//! The `confab` command: confidential computing between organisations on Hyperledger Fabric.
//!
//! It is a library so that the program of this package and the one that the end-to-end tests start are the same.

#![deny(clippy::print_stdout, clippy::print_stderr)]

#[macro_use]
mod output;
mod args;
mod commands;
mod error;
mod program;
mod render;
mod shutdown;

use clap::{Parser, Subcommand};
use error::{CliError, CliResult, EXIT_STATUSES, exit_status};
use mimalloc::MiMalloc;
use std::{
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
    time::Duration,
};

/// A fifth of a ledger's time goes to memory with the system's own.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Confidential computing between organisations on Hyperledger Fabric.
///
/// Organisations that may not pool their data train a model together: every exchanged value is a record on a ledger,
/// encrypted under a key that no participant holds whole, and the run can be audited afterwards.
///
/// Begin with `confab demo`; it needs nothing installed.
#[derive(Parser)]
#[command(name = "confab", bin_name = "confab", version, propagate_version = true, max_term_width = 100, after_help = EXIT_STATUSES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Say more on standard error (or set RUST_LOG).
    #[arg(short, long, global = true)]
    verbose: bool,
    /// A file with the passphrase of protected keys; else the variable CONFAB_PASSPHRASE has it, or it is asked for at the
    /// terminal, where one is needed (`confab key protect`).
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    passphrase_file: Option<std::path::PathBuf>,
    /// Replace output files that exist.
    #[arg(long, global = true)]
    force: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Train one model across three organisations on this machine and check it against plaintext.
    Demo(commands::train::DemoArgs),
    /// Split a table by columns, train on it across organisations, and compare with the plaintext reference.
    Train(commands::train::TrainArgs),
    /// Cross-validate a training in plaintext, some or all folds also encrypted; writes an HTML report.
    Evaluate(commands::evaluate::EvaluateArgs),
    /// Predict the class of new rows with a trained model.
    Predict(commands::predict::PredictArgs),
    /// Show a trained model, or export it, for scikit-learn for example.
    #[command(subcommand)]
    Model(commands::model::ModelCommand),
    /// Replay a job from the ledger's blocks: barriers, creators, proofs, indicators, model.
    Verify(commands::verify::VerifyArgs),
    /// Run an organisation's node: it takes part in jobs with the organisation's own data and key share.
    Node(commands::node::NodeArgs),
    /// Propose, accept, watch and abort jobs on a running ledger.
    #[command(subcommand)]
    Job(commands::job::JobCommand),
    /// Negotiate, list, refresh and carry threshold keys.
    #[command(subcommand)]
    Key(commands::key::KeyCommand),
    /// Share encrypted rows with an analyst by way of the ledger, and fetch what others share.
    #[command(subcommand)]
    Instances(commands::instances::InstancesCommand),
    /// Start, inspect and stop a real Fabric network, without Docker, or join one that exists.
    #[command(subcommand)]
    Network(commands::network::NetworkCommand),
    /// Make one organisation of a network across machines, and start its part.
    #[command(subcommand)]
    Org(commands::org::OrgCommand),
    /// Start, inspect and stop the embedded development ledger.
    #[command(subcommand)]
    Ledger(commands::ledger::LedgerCommand),
    /// Make MSP and TLS trees in the layout of Fabric's own tools.
    #[command(subcommand)]
    Crypto(commands::crypto::CryptoCommand),
    /// Measure, beside what the figure is to be compared with.
    #[command(subcommand)]
    Bench(commands::bench::BenchCommand),
    /// Serve the contracts as chaincode; a peer's operator starts it with Fabric's own environment variables.
    Chaincode(commands::chaincode::ChaincodeArgs),
}

/// The program: reads the command line, does what it says, and returns the exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    output::init_log(cli.verbose);
    commands::protect::prepare(cli.passphrase_file);
    output::replace_files(cli.force);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return exit_status(Ok(Err(CliError::environment(format!("cannot start: {e}"))))),
    };
    let ended = panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(run(cli.command))));
    runtime.shutdown_timeout(Duration::from_secs(2));
    exit_status(ended)
}

async fn run(command: Command) -> CliResult {
    match command {
        Command::Demo(args) => commands::train::demo(args).await,
        Command::Train(args) => commands::train::train(args).await,
        Command::Evaluate(args) => commands::evaluate::run(args).await,
        Command::Predict(args) => commands::predict::run(args).await,
        Command::Model(command) => commands::model::run(&command),
        Command::Verify(args) => commands::verify::run(args).await,
        Command::Node(args) => commands::node::run(args).await,
        Command::Job(command) => commands::job::run(command).await,
        Command::Key(command) => commands::key::run(command).await,
        Command::Instances(command) => commands::instances::run(command).await,
        Command::Network(command) => commands::network::run(command).await,
        Command::Org(command) => commands::org::run(command).await,
        Command::Ledger(command) => commands::ledger::run(command).await,
        Command::Crypto(command) => commands::crypto::run(&command),
        Command::Bench(command) => commands::bench::run(command).await,
        Command::Chaincode(args) => commands::chaincode::run(args).await,
    }
}
