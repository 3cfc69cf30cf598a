//! Measurements, each beside what it is to be compared with, in one run.

mod keygen;
mod ledger;
mod paillier;
mod rows;
mod throughput;

use crate::error::CliResult;
use clap::Subcommand;

#[derive(Subcommand)]
pub enum BenchCommand {
    /// What the ledger costs a job: its bodies replayed without cryptography, beside bare writes of the same bytes.
    Ledger(ledger::LedgerArgs),
    /// Threshold keys without a dealer: seconds, candidates, bytes.
    Keygen(keygen::KeygenArgs),
    /// Paillier operations a second, beside num-bigint and beside what the processor's multiplier allows.
    Paillier(paillier::PaillierArgs),
    /// Training by rows: how its time grows with rows and columns.
    Rows(rows::RowsBenchArgs),
    /// Transactions a second that the development ledger commits, and how long a lone one takes.
    Throughput(throughput::ThroughputArgs),
}

pub async fn run(command: BenchCommand) -> CliResult {
    match command {
        BenchCommand::Ledger(args) => ledger::run(args).await,
        BenchCommand::Keygen(args) => keygen::run(args).await,
        BenchCommand::Paillier(args) => paillier::run(&args),
        BenchCommand::Rows(args) => rows::run(args),
        BenchCommand::Throughput(args) => throughput::run(args).await,
    }
}
