use super::Done;
use crate::shutdown;
use clap::Args;
use node::{
    config::Config,
    run::{Event, Until},
};
use records::{JobId, Outcome};
use std::{io::Write, path::PathBuf};

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
///     key_share = "key-share-1.json"      # from `confab key deal`
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
    let ending = node::run::run(config, until, stop, |event| show(event, args.events)).await?;
    match ending.map(|ending| (ending.by, ending.outcome)) {
        None | Some((_, Outcome::Finished)) => Ok(()),
        Some((by, Outcome::Refused(reason))) => Err(format!("{by} refused the job: {reason}").into()),
        Some((by, Outcome::Aborted(reason))) => Err(format!("{by} aborted the job: {reason}").into()),
    }
}

fn show(event: &Event, json: bool) {
    let mut out = std::io::stdout().lock();
    // Whoever read the events may be gone; the node goes on.
    let _ = match (json, event) {
        (true, event) => serde_json::to_string(event).map_or(Ok(()), |line| writeln!(out, "{line}")),
        (false, Event::Following { block }) => writeln!(out, "following the ledger from block {block}"),
        (false, Event::Proposed { job, by }) => {
            writeln!(
                out,
                "{by} proposed job {job}; answer with `confab job accept {job}` or `confab job refuse {job}`"
            )
        }
        (false, Event::Unfit { job, reason }) => writeln!(out, "job {job} is refused: {reason}"),
        (false, Event::Progress { progress, .. }) => {
            writeln!(out, "{} {} of {}", progress.phase, progress.round + 1, progress.rounds)
        }
        (false, Event::Ended { job, ending, report }) => match report {
            Some(path) => writeln!(out, "job {job}: {:?}; report in {}", ending.outcome, path.display()),
            None => writeln!(out, "job {job}: {:?} by {}", ending.outcome, ending.by),
        },
    };
    let _ = out.flush();
}
