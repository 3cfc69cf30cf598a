use super::Done;
use crate::output::write_json;
use clap::{Args, Subcommand};
use gateway_client::{Call, Contract, KeepNothing};
use node::{answer, config::Config, ledger, store::Store, worker};
use records::{JobId, JobParams, JobView, Outcome, Rules};
use std::{path::PathBuf, sync::Arc, time::Duration};

#[derive(Subcommand)]
pub enum JobCommand {
    /// Propose a job to the organisations that its parameters name.
    Propose {
        #[command(flatten)]
        node: NodeFile,
        /// The parameters (JSON); `confab job template` prints some to begin with.
        #[arg(long)]
        params: PathBuf,
    },
    /// Print parameters to edit, with a fresh nonce.
    Template {
        /// Number of training instances that all participants share.
        #[arg(long)]
        instances: u32,
        /// The participants' MSP identifiers, in their order.
        #[arg(required = true, num_args = 2..)]
        participants: Vec<String>,
    },
    /// Accept a job, after checking that the own data and key share fit it. The node must not run meanwhile, or
    /// must name the job in its configuration.
    Accept {
        #[command(flatten)]
        node: NodeFile,
        /// The job.
        job: String,
    },
    /// Decline a proposal.
    Refuse {
        #[command(flatten)]
        node: NodeFile,
        /// The job.
        job: String,
        /// Why; everybody on the channel can read it.
        #[arg(long, default_value = "declined")]
        reason: String,
    },
    /// List all jobs, or show one and wait until it has ended.
    Watch {
        #[command(flatten)]
        node: NodeFile,
        /// The job; all unless given.
        job: Option<String>,
        /// Show it once and do not wait.
        #[arg(long)]
        once: bool,
        /// Write what is shown as JSON, `-` for standard output.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Show the result of a finished job as this organisation's node kept it.
    Result {
        #[command(flatten)]
        node: NodeFile,
        /// The job.
        job: String,
        /// Write the node's whole report as JSON, `-` for standard output.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// End a job without a result.
    Abort {
        #[command(flatten)]
        node: NodeFile,
        /// The job.
        job: String,
        /// Why; everybody on the channel can read it.
        #[arg(long, default_value = "aborted by hand")]
        reason: String,
    },
}

/// In whose name.
#[derive(Args)]
pub struct NodeFile {
    /// The configuration of the organisation's node (TOML).
    #[arg(long)]
    config: PathBuf,
}

impl NodeFile {
    fn open(&self) -> Done<(Config, Contract)> {
        let config = Config::load(&self.config)?;
        let contract = ledger::connect(&config)?.network(&config.channel).contract(&config.chaincode);
        Ok((config, contract))
    }
}

async fn submit(contract: &Contract, call: Call) -> Done {
    contract.submitter(Arc::new(KeepNothing)).submit(call, Duration::from_secs(60)).await?;
    Ok(())
}

async fn view(contract: &Contract, job: &str) -> Done<JobView> {
    let json = contract.evaluate(Call::new("job").arg(job)).await?;
    Ok(serde_json::from_slice(&json)?)
}

pub async fn run(command: JobCommand) -> Done {
    match command {
        JobCommand::Propose { node, params } => {
            let text =
                std::fs::read(&params).map_err(|e| format!("cannot read {}: {e}", params.display()))?;
            let params: JobParams =
                serde_json::from_slice(&text).map_err(|e| format!("{}: {e}", params.display()))?;
            params.validate()?;
            let (_, contract) = node.open()?;
            submit(&contract, Call::new("propose").arg(serde_json::to_vec(&params)?)).await?;
            println!("{}", params.id());
            Ok(())
        }
        JobCommand::Template { instances, participants } => template(instances, participants),
        JobCommand::Accept { node, job } => {
            let (config, contract) = node.open()?;
            let view = view(&contract, &job).await?;
            let store = Arc::new(Store::open(&config.data_dir)?);
            answer::answer(&Arc::new(config), &store, &contract, &view.job).await?;
            println!("accepted; start the node, it takes part from now on");
            Ok(())
        }
        JobCommand::Refuse { node, job, reason } => {
            submit(&node.open()?.1, Call::new("refuse").arg(job).arg(reason)).await
        }
        JobCommand::Abort { node, job, reason } => {
            submit(&node.open()?.1, Call::new("abort").arg(job).arg(reason)).await
        }
        JobCommand::Watch { node, job, once, json } => watch(&node, job, once, json).await,
        JobCommand::Result { node, job, json } => {
            let (config, _) = node.open()?;
            let path = worker::report_path(&config, &JobId(job));
            let text = std::fs::read(&path).map_err(|e| {
                format!("cannot read {}: {e}; has the node seen the end of the job?", path.display())
            })?;
            let report: worker::JobReport = serde_json::from_slice(&text)?;
            if let Some(file) = json {
                return write_json(&file, &report);
            }
            let inside: usize = report.indicators.iter().flatten().filter(|inside| **inside).count();
            let visits: usize = report.indicators.iter().map(Vec::len).sum();
            println!("ending      {:?}", report.ending.outcome);
            println!(
                "iterations  {}, {inside} of {visits} visited instances were inside the margin",
                report.indicators.len()
            );
            println!("own weights (at scale 2^24):");
            for (column, weight) in report.part.scaler.columns().zip(&report.part.weights) {
                println!("  {column:<24} {weight:>12}");
            }
            Ok(())
        }
    }
}

fn template(instances: u32, participants: Vec<String>) -> Done {
    let params = node::experiment::template(instances, participants)?;
    println!("{}", serde_json::to_string_pretty(&params)?);
    Ok(())
}

async fn watch(node: &NodeFile, job: Option<String>, once: bool, json: Option<PathBuf>) -> Done {
    let (_, contract) = node.open()?;
    let Some(job) = job else {
        let all = contract.evaluate(Call::new("jobs")).await?;
        let all: Vec<JobView> = serde_json::from_slice(&all)?;
        if let Some(file) = json {
            return write_json(&file, &all);
        }
        all.iter().for_each(|view| println!("{}  {}", view.job.id, state(view)));
        return Ok(());
    };
    let mut last = String::new();
    loop {
        let view = view(&contract, &job).await?;
        let state = state(&view);
        if state != last {
            println!("{state}");
            last = state;
        }
        if once || view.ending.is_some() {
            return match json {
                Some(file) => write_json(&file, &view),
                None => Ok(()),
            };
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn state(view: &JobView) -> String {
    let waiting: Vec<&str> = view
        .job
        .params
        .participants
        .iter()
        .zip(&view.acceptances)
        .filter(|(_, acceptance)| acceptance.is_none())
        .map(|(participant, _)| participant.as_str())
        .collect();
    match &view.ending {
        Some(ending) => match &ending.outcome {
            Outcome::Finished => "finished".into(),
            Outcome::Refused(reason) => format!("refused by {}: {reason}", ending.by),
            Outcome::Aborted(reason) => format!("aborted by {}: {reason}", ending.by),
        },
        None if waiting.is_empty() => {
            let rules = Rules::new(&view.job.params);
            format!("running: {} iterations", rules.rounds(records::Phase::Iv))
        }
        None => format!("proposed by {}; waits for {}", view.job.proposer, waiting.join(", ")),
    }
}
