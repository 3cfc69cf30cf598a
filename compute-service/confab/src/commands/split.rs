//! `confab predict --split`: new rows of an experiment whose participants kept their parts of the model.

use crate::{
    error::{CliError, CliResult},
    output::{Steps, is_stdout, write_json},
    program::program,
    render::{show_predictions, tell_table, write_csv},
    shutdown,
};
use clap::Args;
use dataset::{Label, metrics::Metrics, table::Overview};
use experiment::{Participants, Runner, SplitRun, observe};
use launcher::Network;
use node::{
    config::Config,
    model::Query,
    predictions::{self, QueryLog},
};
use records::{JobId, JobParams, Kind};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// How a split model is asked.
#[derive(Args)]
pub struct SplitArgs {
    /// The folder that `confab train --model split --out` wrote: its participants, each with its columns of the rows only,
    /// let the judge find every row's class. Needs --id. A row that was answered before is answered from the record.
    #[arg(long, value_name = "RUN", requires = "id", conflicts_with_all = ["model", "config", "job"])]
    split: Option<PathBuf>,
    /// With --split: the folder of the ledger of that training, which is started where it does not run.
    #[arg(long, requires = "split")]
    dir: Option<PathBuf>,
    /// With --split: how many rows may be asked about with this model in all, 20 unless it was raised before. About b + 1
    /// chosen ones, 43 by default, give another participant's part of a decision value away.
    #[arg(long, requires = "split")]
    most: Option<u32>,
    /// With --split: replay the job as an observer afterwards (`confab verify`); needs --dir.
    #[arg(long, requires = "dir")]
    verify: bool,
}

impl SplitArgs {
    /// Whether a split model is meant.
    pub fn is_given(&self) -> bool {
        self.split.is_some()
    }
}

/// What `--json` writes.
#[derive(Serialize)]
struct Report {
    version: u32,
    training: JobId,
    /// The job that asked about the rows that were not answered before, if there were any.
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<JobId>,
    /// What the table holds.
    table: Overview,
    predictions: Vec<Row>,
    /// How many more rows may be asked about.
    left: u32,
    /// Whether every class is the whole model's.
    identical: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    measures: Option<Metrics>,
    /// What the job revealed, in words.
    reveals: Vec<String>,
}

#[derive(Serialize)]
struct Row {
    line: u64,
    id: String,
    class: String,
    /// The job that found it.
    job: JobId,
}

pub async fn run(args: &SplitArgs, query: &Query, out: Option<&Path>, json: Option<&Path>) -> CliResult {
    let Some(dir) = &args.split else { return Err("name the run: --split".into()) };
    let run = SplitRun::open(dir)?;
    // What is wrong with the rows shows before anything is started.
    let whole = run.model.predict(query)?;
    tell_table(&whole.table);
    let steps = Steps::new();
    let asked = run.deploy(query, args.most)?;
    let mut verified = None;
    if let Some(params) = &asked {
        let asking = ask(args, &run.participants, params, &steps);
        let done = shutdown::or_interrupted(asking, shutdown::STOPPED).await;
        steps.clear();
        verified = done?;
    }
    let answers = run.answers(whole.predictions.iter().flat_map(|p| &p.id))?;
    let label = |positive: bool| Label::of_sign(!positive);
    let rows = whole.predictions.iter().zip(&answers).map(|(p, answer)| Row {
        line: p.line,
        id: p.id.clone().unwrap_or_default(),
        class: run.model.class(label(answer.positive)).to_owned(),
        job: answer.job.clone(),
    });
    let predictions: Vec<Row> = rows.collect();
    let identical = predictions.iter().zip(&whole.predictions).all(|(row, p)| row.class == p.class);
    let config = Config::load(&run.participants.configs[0])?;
    let most = predictions::row_limit(&config);
    let report = Report {
        version: records::VERSION,
        left: QueryLog::load(&config, &run.training)?.left(most, None),
        reveals: match asked.as_ref().map(|params| (&params.kind, params.parties())) {
            Some((Kind::VerticalPredict(predict), n)) => predictions::reveals(predict, n)?,
            _ => vec!["nothing: every row was answered from the record".into()],
        },
        training: run.training,
        job: asked.map(|params| params.id()),
        table: whole.table.clone(),
        predictions,
        identical,
        measures: whole.measures,
    };
    if let Some(path) = out {
        let row = |row: &Row| [row.line.to_string(), row.id.clone(), row.class.clone()];
        write_csv(path, ["line", "id", "class"], report.predictions.iter().map(row))?;
    }
    if let Some(path) = json {
        write_json(path, &report)?;
    }
    if !is_stdout(json) && !is_stdout(out) {
        tell(&report, out.is_none() && json.is_none(), verified);
        show_predictions(&whole);
    }
    match (identical, verified) {
        (false, _) => {
            Err(CliError::defect("a class differs from the whole model's; this is a defect of Confab"))
        }
        (_, Some(false)) => Err(CliError::defect("the observer's replay found defects")),
        _ => Ok(()),
    }
}

fn tell(report: &Report, rows: bool, verified: Option<bool>) {
    if rows {
        say!("{:>6}  {:<16} {:<12} answered", "line", "id", "class");
        for row in &report.predictions {
            let now = if Some(&row.job) == report.job.as_ref() { "now" } else { "from the record" };
            say!("{:>6}  {:<16} {:<12} {now}", row.line, row.id, row.class);
        }
        say!("");
    }
    if let Some(job) = &report.job {
        say!("job           {job}");
    }
    say!("limit         {} more rows may be asked about with this model", report.left);
    say!("every class equals the whole model's      {}", if report.identical { "yes" } else { "NO" });
    if let Some(verified) = verified {
        say!("replayed from the blocks by an observer   {}", if verified { "yes" } else { "NO" });
    }
    say!("");
    say!("what these predictions reveal");
    report.reveals.iter().for_each(|line| say!("  - {line}"));
}

/// Runs the job; whether an observer's replay came to the same, where that was asked for.
async fn ask(
    args: &SplitArgs,
    participants: &Participants,
    params: &JobParams,
    steps: &Steps,
) -> CliResult<Option<bool>> {
    let program = program()?;
    let runner = Runner { program: &program, progress: steps };
    let Some(dir) = &args.dir else {
        runner.run_job(participants, params).await?;
        return Ok(None);
    };
    let kind = Network::load(dir).map_err(|e| format!("{}: {e}", dir.display()))?.kind;
    let borrowed = runner.borrow_network(kind, dir, participants.configs.len()).await?;
    runner.run_job(participants, params).await?;
    match args.verify {
        true => Ok(Some(observe(&borrowed.network, &params.id(), steps).await?.complete)),
        false => Ok(None),
    }
}
