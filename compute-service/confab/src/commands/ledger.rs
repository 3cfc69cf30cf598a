use super::{
    inspect::{self, InspectArgs},
    network::{self, Inspect},
};
use crate::{error::CliResult, output::Steps, program::program, render::show_network, shutdown};
use clap::Subcommand;
use experiment::start_ledger;
use launcher::{GuestChaincode, Network, Options};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

#[derive(Subcommand)]
pub enum LedgerCommand {
    /// Start the development ledger and a chaincode service for each organisation, in the background.
    ///
    /// It speaks Fabric's own protocols; connection profiles for any Fabric client are left as
    /// DIR/connection-org1.json, … Doing it again starts what is missing.
    Start {
        /// Number of organisations.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=64))]
        orgs: u16,
        /// Where keys, data and logs go.
        #[arg(long)]
        dir: PathBuf,
        /// The first of the consecutive ports to use; free ones unless given.
        #[arg(long)]
        base_port: Option<u16>,
        /// For how many seconds a peer waits for the endorsement of another organisation's; as before, or 3, unless
        /// given. What runs learns of a change when it is started again.
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(1..=600))]
        endorsement_timeout: Option<u16>,
        /// A chaincode of your own that runs as a service, described in a TOML or JSON file: name, version, policy,
        /// collections, and the address of each organisation's service. Several may be given; with a changed file, the
        /// ledger is started again.
        #[arg(long, value_name = "FILE")]
        chaincode: Vec<PathBuf>,
    },
    #[command(flatten)]
    Look(Inspect),
    Inspect(InspectArgs),
    /// Stop all processes.
    Stop {
        /// The ledger's folder.
        #[arg(long)]
        dir: PathBuf,
        /// Delete the folder's data, keys included.
        #[arg(long)]
        purge: bool,
    },
    /// Serve the ledger in the foreground, from the network.json of `start`.
    #[command(hide = true)]
    Run {
        /// The ledger's folder.
        #[arg(long)]
        dir: PathBuf,
        /// For tests: an organisation's peer commits blocks later than the others, MSP=MILLISECONDS.
        #[arg(long, value_parser = delay)]
        delay_commits: Vec<(String, Duration)>,
    },
}

fn delay(text: &str) -> Result<(String, Duration), String> {
    let (msp_id, milliseconds) = text.split_once('=').ok_or("not MSP=MILLISECONDS")?;
    let milliseconds = milliseconds.parse().map_err(|e| format!("{milliseconds}: {e}"))?;
    Ok((msp_id.into(), Duration::from_millis(milliseconds)))
}

pub async fn run(command: LedgerCommand) -> CliResult {
    match command {
        LedgerCommand::Start { orgs, dir, base_port, endorsement_timeout, chaincode } => {
            let guests = chaincode.iter().map(|file| GuestChaincode::load(file)).collect::<Result<_, _>>()?;
            let endorsement_timeout = endorsement_timeout.map(|seconds| Duration::from_secs(seconds.into()));
            let choose = |options| Options { base_port, endorsement_timeout, guests, ..options };
            let (program, steps) = (program()?, Steps::new());
            let starting = start_ledger(&program, &dir, usize::from(orgs), choose, &steps);
            let started = shutdown::or_interrupted(starting, shutdown::UNDONE).await;
            steps.clear();
            show_network(&started?);
            Ok(())
        }
        LedgerCommand::Look(inspect) => network::inspect(inspect).await,
        LedgerCommand::Inspect(args) => inspect::run(args).await,
        LedgerCommand::Stop { dir, purge } => network::down(&dir, purge),
        LedgerCommand::Run { dir, delay_commits } => serve(&dir, &delay_commits).await,
    }
}

async fn serve(dir: &Path, delays: &[(String, Duration)]) -> CliResult {
    let network = Network::load(dir)?;
    let config = launcher::ledger::config(&network)?;
    let requested = shutdown::requested();
    let running = dev_ledger::serve(config).await?;
    for (msp_id, delay) in delays {
        if !running.delay_commits(msp_id, *delay) {
            return Err(format!("--delay-commits: {msp_id} is no organisation of this ledger").into());
        }
    }
    requested.await;
    running.shutdown().await;
    Ok(())
}
