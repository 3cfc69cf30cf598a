use super::Done;
use crate::shutdown;
use clap::Args;
use node::{
    config::Config,
    run::{Event, Until},
};
use records::{JobId, KeyGeneration, Outcome};
use std::path::{Path, PathBuf};

/// Runs an organisation's node.
///
/// It follows the ledger's blocks, accepts the jobs that its configuration names (others wait for `confab job accept`),
/// and takes part in every accepted job until it has ended. It can be stopped and started at any time: it goes on where
/// it was. Results are kept as DATA_DIR/jobs/JOB.json.
///
/// A configuration:
///
///     data_dir = "state"
///     connection_profile = "connection-org1.json"
///     [data]
///     file = "visits.csv"
///     id = "patient"
///     label = "diagnosis"
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct NodeArgs {
    /// The configuration file (TOML).
    #[arg(long)]
    config: PathBuf,
    /// Stop when this job has ended.
    #[arg(long, value_name = "JOB")]
    until: Option<String>,
    /// Write events to standard output, one JSON object a line.
    #[arg(long)]
    events: bool,
    /// Stop when standard input is closed.
    #[arg(long, hide = true)]
    stop_with_stdin: bool,
}

pub async fn run(args: NodeArgs) -> Done {
    let config = Config::load(&args.config)?;
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
    let until = Until { job: args.until.map(JobId) };
    let accepts = config.accept.clone();
    let watch = |event: &Event| match args.events {
        true => emit(event),
        false => show(event, &args.config, &accepts),
    };
    match node::run::run(config, until, stop, watch).await? {
        Some(ending) if ending.outcome != Outcome::Finished => Err(format!("the job was {ending}").into()),
        _ => Ok(()),
    }
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
        Event::Proposed { job, by } if accepts.contains(&job.0) => {
            say!("{by} proposed job {job}, which the configuration says to accept");
        }
        Event::Proposed { job, by } => {
            say!(
                "{by} proposed job {job}; to take part: confab job accept --config {} {job}",
                config.display()
            );
        }
        Event::Unfit { job, reason } => say!("job {job} does not fit: {reason}"),
        Event::Unanswered { job, reason } => {
            say!("job {job} is not answered; start the node again to try again: {reason}");
        }
        Event::Broken { job, reason } => {
            say!("job {job} stands still; start the node again to go on: {reason}");
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
