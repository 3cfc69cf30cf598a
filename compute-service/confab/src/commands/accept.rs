//! `confab job accept`: what a job asks and reveals, and the answer.

use super::{CliResult, job::NodeFile};
use crate::output::{is_stdout, write_json};
use clap::Args;
use node::consent::Review;
use records::JobId;
use serde::Serialize;
use std::path::PathBuf;

#[derive(Args)]
pub struct AcceptArgs {
    #[command(flatten)]
    node: NodeFile,
    /// The job.
    job: JobId,
    /// Consent to what of this job is below the `[minimum]` of the node's configuration; the command says what that is.
    #[arg(long)]
    accept_weaker: bool,
    /// Only show what the job asks and reveals, and answer nothing.
    #[arg(long)]
    dry_run: bool,
    /// Write what is shown as JSON, `-` for standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What `--json` writes.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    review: &'a Review,
    accepted: bool,
}

pub async fn run(args: AcceptArgs) -> CliResult {
    args.node.known_outputs().writes("--json", args.json.as_deref()).check()?;
    let quiet = is_stdout(args.json.as_deref());
    let (_, node) = args.node.handle(quiet).await?;
    let review = node.review(&args.job).await?;
    if !quiet {
        show(&review);
    }
    let answered = match args.dry_run {
        true => Ok(()),
        false => node.accept(&args.job, args.accept_weaker).await,
    };
    if let Some(file) = &args.json {
        write_json(file, &Shown { review: &review, accepted: !args.dry_run && answered.is_ok() })?;
    }
    answered?;
    if !args.dry_run && !quiet {
        match node.is_running() {
            true => say!("accepted; the organisation's node takes part"),
            false => say!("accepted; the organisation's node takes part as soon as it runs"),
        }
    }
    Ok(())
}

fn show(review: &Review) {
    say!("{:<16}{}", review.kind, review.job);
    say!("{:<16}{}", "proposed by", review.proposer);
    say!("{:<16}{}", "participants", review.participants.join(", "));
    for (name, value) in &review.parameters {
        say!("{name:<16}{value}");
    }
    say!("");
    say!("what this job reveals");
    review.reveals.iter().for_each(|line| say!("  - {line}"));
    if !review.below.is_empty() {
        say!("");
        say!("below the [minimum] of this node's configuration");
        review.below.iter().for_each(|below| say!("  - {below}"));
    }
    say!("");
}
