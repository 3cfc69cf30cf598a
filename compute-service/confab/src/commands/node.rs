use super::{CliResult, job::NodeFile};
use crate::{error::CliError, shutdown};
use clap::{Args, Subcommand};
use node::{Event, Events, Node, NodeHandle, config::Config, worker};
use records::{JobId, KeyGeneration, Outcome, Termination};
use std::path::{Path, PathBuf};

const CONFIGURATION: &str = "\
A configuration:

    data_dir = \"state\"
    connection_profile = \"connection-org1.json\"
    [data]
    file = \"visits.csv\"
    id = \"patient\"
    label = \"diagnosis\"";

/// Runs an organisation's node.
///
/// It follows the ledger's blocks, accepts the jobs that its configuration or --accept names (others wait for
/// `confab job accept`), and takes part in every accepted job until it has ended. Commands of the same configuration
/// ask it, by a socket in its data directory. It can be stopped and started at any time: it goes on where
/// it was. Results are kept as DATA_DIR/jobs/JOB.json.
#[derive(Args)]
#[command(after_long_help = CONFIGURATION, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct NodeArgs {
    #[command(subcommand)]
    command: Option<NodeCommand>,
    /// The configuration file (TOML).
    #[arg(long, required = true)]
    config: Option<PathBuf>,
    /// A job that the node accepts by itself, as those in its configuration; can be given several times.
    #[arg(long, value_name = "JOB")]
    accept: Vec<JobId>,
    /// Stop when this job has ended.
    #[arg(long, value_name = "JOB")]
    until: Option<JobId>,
    /// Write events to standard output, one JSON object a line.
    #[arg(long)]
    events: bool,
    /// Stop when standard input is closed.
    #[arg(long, hide = true)]
    stop_with_stdin: bool,
}

#[derive(Subcommand)]
enum NodeCommand {
    /// Write a node's database anew, without what it has forgotten.
    ///
    /// A node forgets the records and the secret of a job once its report is written; the file keeps the room, and may keep
    /// what was forgotten until it is written over. A node does this by itself when it starts, where the file is large and
    /// mostly empty.
    Compact {
        /// The configuration file (TOML).
        #[arg(long)]
        config: PathBuf,
    },
}

async fn compact(config: &Path) -> CliResult {
    let (_, node) = NodeFile::from_path(config).handle(false).await?;
    let done = node.compact().await?;
    say!("{} bytes became {}, with {} bytes stored in them", done.before, done.after, done.stored);
    Ok(())
}

pub async fn run(args: NodeArgs) -> CliResult {
    let path = match (args.command, args.config) {
        (Some(NodeCommand::Compact { config }), _) => return compact(&config).await,
        (None, Some(path)) => path,
        (None, None) => return Err("name the configuration file: --config".into()),
    };
    let mut config = Config::load(&path)?;
    config.accept.extend(args.accept.iter().map(JobId::to_string));
    let requested = shutdown::requested();
    let stop = async {
        if args.stop_with_stdin {
            tokio::select! {
                () = requested => {}
                () = shutdown::stdin_closed() => {}
            }
        } else {
            requested.await;
        }
    };
    let tell = |event: &Event| match args.events {
        true => emit(event),
        false => show(event, &path, &config.accept),
    };
    let node = Node::start(config.clone()).await?;
    let events = node.watch().await?;
    let ending = tokio::select! {
        () = stop => Ok(None),
        ending = follow(&node, events, &config, args.until.as_ref(), tell) => ending,
    };
    node.shut_down().await?;
    match ending? {
        Some(ending) if ending.outcome != Outcome::Finished => Err(CliError::ended(&ending)),
        // Where the node stopped by itself, it says why.
        _ => Ok(node.stopped().await?),
    }
}

/// Tells what happens until the node stops or, where one is given, until the job has ended. Returns how that job ended.
async fn follow(
    node: &NodeHandle,
    mut events: Events,
    config: &Config,
    until: Option<&JobId>,
    tell: impl Fn(&Event),
) -> CliResult<Option<Termination>> {
    while let Some(event) = events.next().await {
        tell(&event);
        let is_awaited = event.job().is_some_and(|job| Some(job) == until);
        match event {
            // One that ended before is not told of again.
            Event::Following { .. } => {
                let Some(job) = until else { continue };
                let Some(ending) = node.ended(job).await? else { continue };
                let report = Some(worker::report_path(config, job)).filter(|path| path.exists());
                tell(&Event::Ended { job: job.clone(), ending: ending.clone(), report });
                return Ok(Some(ending));
            }
            Event::Ended { ending, .. } if is_awaited => return Ok(Some(ending)),
            Event::Stalled { job, reason }
            | Event::Lost { job, reason }
            | Event::Weaker { job, reason }
            | Event::Overdue { job, reason }
                if is_awaited =>
            {
                return Err(CliError::environment(format!("job {job}: {reason}")));
            }
            _ => {}
        }
    }
    Ok(None)
}

fn emit(event: &Event) {
    match serde_json::to_string(event) {
        Ok(line) => say!("{line}"),
        Err(e) => tracing::error!("an event cannot be shown: {e}"),
    }
}

fn show(event: &Event, config: &Path, accepts: &[String]) {
    match event {
        Event::Following { block } => say!("following the ledger from block {block}; Ctrl-C stops"),
        Event::Proposed { job, by } if accepts.contains(&job.to_string()) => {
            say!("{by} proposed job {job}, which the configuration says to accept");
        }
        Event::Proposed { job, by } => {
            say!(
                "{by} proposed job {job}; to take part: confab job accept --config {} {job}",
                config.display()
            );
        }
        Event::Rejected { job, reason } => say!("job {job} does not fit: {reason}"),
        Event::AcceptFailed { job, reason, retry_secs: Some(seconds) } => {
            say!("job {job} is not answered; the node tries again in {seconds} s: {reason}");
        }
        Event::AcceptFailed { job, reason, retry_secs: None } => {
            say!("job {job} is not answered; start the node again to try again: {reason}");
        }
        Event::Lost { job, reason } => {
            say!(
                "job {job}: {reason}\n  to end it for all participants: confab job abort --config {} {job}",
                config.display()
            );
        }
        Event::Weaker { job, reason } => {
            say!(
                "job {job}: {reason}\n  to accept it as it is: confab job accept --accept-weaker --config {} {job}",
                config.display()
            );
        }
        Event::Stalled { job, reason } => {
            say!("job {job} stands still; start the node again to go on: {reason}");
        }
        Event::Waiting { job, wait } => say!("job {job}: {wait}"),
        Event::Overdue { job, reason } => say!("job {job}: its time is over: {reason}"),
        Event::Data { job, table } => {
            say!("job {job} uses the own data");
            table.lines().iter().for_each(|(about, text)| say!("  {about:<8} {text}"));
        }
        Event::Progress { progress, .. } => {
            match progress.rounds {
                // Nobody knows beforehand which batch of candidates has a good one.
                KeyGeneration::MAX_BATCHES => say!("{} of batch {}", progress.phase, progress.round + 1),
                rounds => say!("{} {} of {rounds}", progress.phase, progress.round + 1),
            }
        }
        Event::Ended { job, ending, report: Some(path) } => {
            say!("job {job}: {ending}; report in {}", path.display());
        }
        Event::Ended { job, ending, report: None } => say!("job {job}: {ending}"),
    }
}
