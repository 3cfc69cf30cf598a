//! `confab job accept`: what a job asks and reveals, and the answer.

use super::{
    Done,
    job::{NodeFile, view},
};
use crate::output::{is_stdout, write_json};
use clap::Args;
use node::{
    answer,
    consent::{self, Review},
    ledger,
};
use protocol::Fault;
use records::{JobId, MspId};
use serde::Serialize;
use std::{path::PathBuf, sync::Arc};

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

pub async fn run(args: AcceptArgs) -> Done {
    let config = args.node.load()?;
    args.node.outputs(&config).writes("--json", args.json.as_deref()).check()?;
    let gateway = ledger::connect(&config)?;
    let network = gateway.network(&config.channel);
    let contract = network.contract(&config.chaincode);
    let me: MspId = gateway.user().identity().msp_id().parse()?;
    let job = view(&contract, &args.job).await?.job;
    let party = job
        .params
        .party(&me)
        .ok_or_else(|| Fault::Input(format!("{me} is no participant of job {}", job.id)))?;
    let review = consent::review(&config, &job, party);
    let quiet = is_stdout(args.json.as_deref());
    if !quiet {
        show(&review);
    }
    let answered = match args.dry_run {
        true => Ok(()),
        false => answer::accept(&Arc::new(config), &contract, &me, &job, args.accept_weaker).await,
    };
    if let Some(file) = &args.json {
        write_json(file, &Shown { review: &review, accepted: !args.dry_run && answered.is_ok() })?;
    }
    answered?;
    if !args.dry_run && !quiet {
        say!("accepted; the organisation's node takes part as soon as it runs");
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
