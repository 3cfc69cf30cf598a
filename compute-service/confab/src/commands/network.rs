use super::{join, org};
use crate::{
    error::{CliError, CliResult},
    output::{Steps, is_stdout, outputs, write_json},
    program::chaincode_command,
    render::show_network,
    shutdown,
};
use clap::Subcommand;
use launcher::{Network, Options};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

#[derive(Subcommand)]
pub enum NetworkCommand {
    /// Start a real Fabric network: a peer for each organisation, Raft orderers, channel and chaincode `confab`.
    ///
    /// The binaries peer, orderer, configtxgen and osnadmin of an official Fabric release (3.1 or 2.5) are looked for in
    /// FABRIC_HOME/bin, FABRIC_HOME and PATH. Doing it again starts what is missing. Connection profiles for any Fabric
    /// client are left as DIR/connection-org1.json, …
    Up {
        /// Number of organisations.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=64))]
        orgs: u16,
        /// Number of Raft orderers: 1, or 3, of which one may fail.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=3))]
        orderers: u16,
        /// Where keys, configuration, data and logs go.
        #[arg(long)]
        dir: PathBuf,
        /// The first of the consecutive ports to use; free ones unless given.
        #[arg(long)]
        base_port: Option<u16>,
        /// For how many seconds a peer waits for the endorsement of another organisation's; as before, or 3, unless
        /// given. What runs learns of a change when it is started again.
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(1..=600))]
        endorsement_timeout: Option<u16>,
        /// Where an official Fabric release was unpacked; FABRIC_HOME unless given.
        #[arg(long)]
        fabric_home: Option<PathBuf>,
    },
    /// Attach this organisation's node to a network that exists, by its standard connection profile.
    ///
    /// Writes DIR/node.toml for `confab node` and the other commands, and says whether the channel can be read and the
    /// job contract answers. Nothing is changed on the network.
    Join(join::JoinArgs),
    /// Make the channel of a network whose organisations run on machines of their own (`confab org`).
    ///
    /// One of the organisations does it, and gives what comes out to all; nothing in it is secret. Each of them then
    /// looks at it and starts its part.
    Create(org::CreateArgs),
    /// Give the chaincode its next definition, and have its services run this program.
    ///
    /// For a new release of Confab, on real Fabric and on the development ledger, while jobs run: the services are started
    /// anew one after the other, every organisation approves the next sequence, and it is committed when all have. Jobs that
    /// were proposed before are finished; new ones can be proposed when all services are new. Organisations on machines of
    /// their own each give the command there, within a quarter of an hour. After an interruption give it again.
    Upgrade {
        /// The network's folder.
        #[arg(long)]
        dir: PathBuf,
        /// What the definition is called from now on; as before unless given.
        #[arg(long, value_name = "VERSION")]
        chaincode_version: Option<String>,
    },
    #[command(flatten)]
    Inspect(Inspect),
    /// Stop all processes.
    Down {
        /// The network's folder.
        #[arg(long)]
        dir: PathBuf,
        /// Delete the folder's data, keys included.
        #[arg(long)]
        purge: bool,
    },
}

/// Looking at a network of either kind.
#[derive(Subcommand)]
pub enum Inspect {
    /// List the processes of all networks, ledgers and experiments of this user on this machine.
    ///
    /// `ps` shows them under the same names, as PROGRAM[NAME in FOLDER]. Those that a killed command left behind are stopped by
    /// their folder, also when that is gone: `confab ledger stop --dir FOLDER`, or `confab network down`.
    List {
        /// Write the list as JSON, `-` for standard output.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Say what runs, whether every organisation gets endorsements, whether blocks are made, and whether the disk has room.
    Status {
        /// The network's folder.
        #[arg(long)]
        dir: PathBuf,
    },
    /// Show the logs of all processes, or of one.
    Logs {
        /// The network's folder.
        #[arg(long)]
        dir: PathBuf,
        /// The process, e.g. peer-org1; all unless given.
        #[arg(long)]
        process: Option<String>,
        /// How many lines of each.
        #[arg(long, default_value_t = 40)]
        lines: usize,
    },
}

/// Looks at a network of either kind.
pub async fn inspect(command: Inspect) -> CliResult {
    match command {
        Inspect::List { json } => list(json.as_deref()),
        Inspect::Status { dir } => status(&dir).await,
        Inspect::Logs { dir, process, lines } => logs(&dir, process.as_deref(), lines),
    }
}

pub async fn run(command: NetworkCommand) -> CliResult {
    match command {
        NetworkCommand::Up { orgs, orderers, dir, base_port, endorsement_timeout, fabric_home } => {
            let start = Instant::now();
            let options = Options {
                orderers: usize::from(orderers),
                base_port,
                endorsement_timeout: endorsement_timeout.map(|seconds| Duration::from_secs(seconds.into())),
                fabric_home,
                ..Options::new(dir, usize::from(orgs), chaincode_command()?)
            };
            let steps = Steps::new();
            let mut progress = |step: &str| steps.step(step);
            let starting = launcher::fabric::up(&options, &mut progress);
            let network = shutdown::or_interrupted(starting, shutdown::UNDONE).await;
            steps.clear();
            show_network(&network?);
            say!(
                "endorsed by all organisations, through each of them, after {:.1} s",
                start.elapsed().as_secs_f64()
            );
            Ok(())
        }
        NetworkCommand::Upgrade { dir, chaincode_version } => {
            upgrade(&dir, chaincode_version.as_deref()).await
        }
        NetworkCommand::Join(args) => join::run(args).await,
        NetworkCommand::Create(args) => org::create(args).await,
        NetworkCommand::Inspect(inspect) => self::inspect(inspect).await,
        NetworkCommand::Down { dir, purge } => down(&dir, purge),
    }
}

async fn upgrade(dir: &Path, version: Option<&str>) -> CliResult {
    let steps = Steps::new();
    let command = chaincode_command()?;
    let mut progress = |step: &str| steps.step(step);
    let upgrading = launcher::upgrade(dir, version, &command, &mut progress);
    let network = shutdown::or_interrupted(upgrading, "interrupted; give the command again to go on").await;
    steps.clear();
    let chaincode = network?.chaincode;
    say!("chaincode {}, version {}, sequence {}", chaincode.name, chaincode.version, chaincode.sequence);
    Ok(())
}

fn list(json: Option<&Path>) -> CliResult {
    outputs().writes("--json", json).check()?;
    let all =
        launcher::marks::list().map_err(|e| CliError::environment(format!("cannot list processes: {e}")))?;
    if !is_stdout(json) {
        if all.is_empty() {
            tell!("no processes of a network, ledger or experiment");
        }
        for process in &all {
            let gone = if process.folder_exists { "" } else { "  (the folder is gone)" };
            let (name, program) = (&process.name, &process.program);
            say!("{:>8}  {name:<20} {program:<8} {}{gone}", process.pid, process.dir.display());
        }
    }
    json.map_or(Ok(()), |file| write_json(file, &all))
}

async fn status(dir: &Path) -> CliResult {
    let status = launcher::status(dir).await?;
    for process in &status.processes {
        let pid = process.pid.map_or_else(|| "-".into(), |pid| pid.to_string());
        say!("{:<16} {:>8}  {:?}  {}", process.name, pid, process.health, process.listens.join(" "));
    }
    for peer in &status.peers {
        match &peer.endorsing {
            Ok(()) => say!("{:<16} gets endorsements", peer.org),
            Err(reason) => say!("{:<16} gets no endorsements: {reason}", peer.org),
        }
    }
    match &status.committing {
        Some(Ok(())) => say!("{:<16} commits", "the ledger"),
        Some(Err(reason)) => say!("{:<16} commits nothing: {reason}", "the ledger"),
        None => {}
    }
    if let Err(reason) = &status.room {
        say!("{:<16} {reason}", "the disk");
    }
    for service in &status.services {
        let address = service.address.as_deref().unwrap_or("-");
        let (name, org) = (format!("{} {}", service.chaincode, service.version), &service.org);
        say!("{name:<16} {org:>8}  {:?}  {address}", service.health);
    }
    match status.is_healthy() {
        true => Ok(()),
        false => Err(CliError::environment("not everything runs; see the logs, or start it again")),
    }
}

fn logs(dir: &Path, process: Option<&str>, lines: usize) -> CliResult {
    let network = Network::load(dir)?;
    let names =
        network.processes.iter().map(|p| p.name.as_str()).filter(|name| process.is_none_or(|p| p == *name));
    let mut shown = false;
    for name in names {
        shown = true;
        let path = dir.join("logs").join(format!("{name}.log"));
        say!("==> {} <==", path.display());
        let cannot = |e| CliError::environment(format!("cannot read {}: {e}", path.display()));
        let text = std::fs::read(&path).map_err(cannot)?;
        let text = String::from_utf8_lossy(&text);
        let all: Vec<&str> = text.lines().collect();
        for line in &all[all.len().saturating_sub(lines)..] {
            say!("{line}");
        }
    }
    match shown {
        true => Ok(()),
        false => {
            let names: Vec<&str> = network.processes.iter().map(|p| p.name.as_str()).collect();
            Err(format!("no such process; there are {}", names.join(", ")).into())
        }
    }
}

pub fn down(dir: &Path, purge: bool) -> CliResult {
    let stopped = launcher::down(dir, purge)?;
    say!("{stopped} processes stopped; {} is down", dir.display());
    Ok(())
}
