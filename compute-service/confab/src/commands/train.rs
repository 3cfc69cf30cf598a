//! `confab train` and `confab demo`.

use crate::{
    args::{DataArgs, RunArgs, ScheduleArgs},
    error::{CliError, CliResult},
    output::{Steps, is_stdout, outputs, write_json, write_private_json},
    program::program,
    render::{show_metrics, tell_table},
    shutdown,
};
use clap::Args;
use dataset::{
    generate,
    split::Division,
    table::{Columns, Missing},
};
use experiment::{
    Experiment, HorizontalReport, LedgerReport, Runner, Source, TrainingReport, VerticalReport,
};
use node::proposal::VerticalOptions;
use std::path::{Path, PathBuf};

/// Trains on a table that is split by columns, for the experiment, among participants that show each other nothing.
///
/// Every participant is a node of its own with its own key share, on the development ledger or on a real Fabric network
/// of this machine. Afterwards the secure run is compared, indicator by indicator, with the plaintext reference on the
/// unsplit table. The participants negotiate the threshold key before, so that no party ever holds it whole.
#[derive(Args, Clone)]
pub struct TrainArgs {
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    single: SingleArgs,
    #[command(flatten)]
    schedule: ScheduleArgs,
}

/// Shows three organisations that train one model on data which none of them shows the others.
///
/// This is `confab train` with stated defaults: three participants on the development ledger, 24 updates of 16
/// instances, a 2,048-bit key, and a generated table of patients.
#[derive(Args, Clone)]
pub struct DemoArgs {
    /// A table to use instead of the generated one; needs --label.
    #[arg(long, requires = "label")]
    data: Option<PathBuf>,
    /// The label column of --data.
    #[arg(long, requires = "data")]
    label: Option<String>,
    /// A column of --data that is no feature.
    #[arg(long, requires = "data")]
    id: Option<String>,
    /// The book's 1,500 visits: 1,500 updates of one instance.
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    single: SingleArgs,
}

/// What `demo` and `train` have in common beside [`RunArgs`]: one test, and one model.
#[derive(Args, Clone)]
pub struct SingleArgs {
    /// Share of the rows that is kept for the test.
    #[arg(long, default_value_t = 0.2)]
    test_fraction: f64,
    /// Where model.json, report.json and the participants' folders are kept; nothing is kept unless given.
    #[arg(long)]
    pub out: Option<PathBuf>,
}

/// What the measures are of.
const ON_TEST: &str = "on the test instances";

/// Rows of the generated table.
const DEMO_ROWS: usize = 400;

pub async fn demo(args: DemoArgs) -> CliResult {
    args.single.check(&args.run, args.data.as_deref())?;
    let folder = tempfile::tempdir()?;
    let (data, label, id) = match (args.data, args.label) {
        (Some(data), Some(label)) => (data, label, args.id),
        _ => {
            let path = folder.path().join("patients.csv");
            std::fs::write(&path, generate::patients(DEMO_ROWS, args.run.seed))?;
            (path, generate::LABEL.into(), Some(generate::ID.into()))
        }
    };
    let (iterations, batch) = if args.full { (1500, 1) } else { (24, 16) };
    let mut run = args.run;
    run.verify = true;
    let experiment = Experiment {
        source: Source {
            data: data.into(),
            columns: Columns { label: Some(label), id, ..Columns::default() },
            missing: Missing::Drop,
            division: args.single.division(run.seed),
        },
        training: run.vertical(VerticalOptions { iterations, batch, ..run.training.vertical() }),
        holders: run.participants,
    };
    report(&experiment, &run, &args.single).await
}

pub async fn train(args: TrainArgs) -> CliResult {
    let TrainArgs { data, run, single, schedule } = args;
    run.check(&schedule)?;
    single.check(&run, Some(&data.data))?;
    let experiment = Experiment {
        source: data.source(single.division(run.seed)),
        training: run.options(&schedule),
        holders: run.participants,
    };
    report(&experiment, &run, &single).await
}

/// Trains, and shows what came out.
async fn report(experiment: &Experiment, run: &RunArgs, single: &SingleArgs) -> CliResult {
    let steps = Steps::new();
    let done = shutdown::or_interrupted(conduct(experiment, run, single, &steps), shutdown::STOPPED).await;
    steps.clear();
    let (report, verified) = done?;
    if !is_stdout(run.json.as_deref()) {
        show(&report, verified);
    }
    if let Some(path) = &run.json {
        write_json(path, &report)?;
    }
    if !report.is_identical() {
        return Err(CliError::defect(
            "the secure run differs from the plaintext reference; this is a defect of Confab",
        ));
    }
    match verified {
        Some(false) => Err(CliError::defect("the observer's replay found defects")),
        _ => Ok(()),
    }
}

/// What came out, and whether an observer's replay found nothing wrong, where it was asked for.
async fn conduct(
    experiment: &Experiment,
    run: &RunArgs,
    single: &SingleArgs,
    steps: &Steps,
) -> CliResult<(TrainingReport, Option<bool>)> {
    // What is wrong with the input shows before anything is started.
    tell_table(&experiment.check()?);
    let out = single.folder()?;
    let participants = out.as_ref().map(|out| out.join("participants"));
    let program = program()?;
    let runner = Runner { program: &program, progress: steps };
    let session = runner.begin(experiment, &run.site(), participants.as_deref()).await?;
    let (deployment, trained) = session.train(experiment).await?;
    if let Some(out) = out {
        write_private_json(&out.join("model.json"), &trained.model)?;
        write_private_json(&out.join("report.json"), &trained.report)?;
    }
    let verified = match run.verify {
        true => Some(session.replay(&deployment.params.id()).await?.complete),
        false => None,
    };
    Ok((trained.report, verified))
}

impl SingleArgs {
    fn division(&self, seed: u64) -> Division {
        Division::Share { test_fraction: self.test_fraction, seed }
    }

    /// Checks what a training is going to write.
    fn check(&self, run: &RunArgs, table: Option<&Path>) -> CliResult {
        self.out.as_deref().map_or(Ok(()), is_new_run)?;
        let outputs = table.into_iter().fold(outputs(), |outputs, table| outputs.reads(table));
        let outputs = outputs.fills("--out", self.out.as_deref(), &["model.json", "report.json"]);
        Ok(outputs.writes("--json", run.json.as_deref()).check()?)
    }

    /// The folder for what the run makes, where it is kept; no participants are in it yet.
    fn folder(&self) -> CliResult<Option<PathBuf>> {
        let Some(out) = &self.out else { return Ok(None) };
        std::fs::create_dir_all(out)
            .map_err(|e| CliError::environment(format!("cannot make {}: {e}", out.display())))?;
        let out = std::fs::canonicalize(out)?;
        is_new_run(&out)?;
        Ok(Some(out))
    }
}

/// Refuses a folder with the participants of an earlier run, who belong to another ledger.
fn is_new_run(out: &Path) -> CliResult {
    let participants = out.join("participants");
    match participants.exists() {
        true => {
            let shown = participants.display();
            Err(format!("{shown} is there from an earlier run: remove it, or name another --out").into())
        }
        false => Ok(()),
    }
}

fn show(report: &TrainingReport, verified: Option<bool>) {
    match report {
        TrainingReport::Vertical(report) => show_vertical(report, verified),
        TrainingReport::Horizontal(report) => show_horizontal(report, verified),
    }
}

fn show_vertical(r: &VerticalReport, verified: Option<bool>) {
    say!("job           {}", r.job);
    say!(
        "data          {} training and {} test instances, {} features over {} participants {:?}",
        r.instances,
        r.test_instances,
        r.features,
        r.participants,
        r.features_by_participant
    );
    show_left_out(&r.left_out);
    say!(
        "training      {} updates of {} instances, {:?} judge, {} of {} decrypt",
        r.iterations,
        r.batch,
        r.protocol,
        r.quorum,
        r.participants
    );
    say!("key           {} bits, {}", r.key_bits, r.key_origin);
    let s = &r.seconds;
    say!(
        "time          {:.1} s: work {:.1} s (keys {:.1}, preparation {:.1}, training {:.1}), ledger and waiting {:.1} s",
        s.total,
        s.crypto,
        s.keys,
        s.preparation,
        s.training,
        s.ledger
    );
    say!("processor     {:.1} s of all participants together while at work", s.cpu_all_participants);
    show_ledger(&r.ledger);
    say!("");
    show_metrics(
        ON_TEST,
        &[("secure", &r.secure), ("plaintext reference", &r.plaintext), ("64-bit floating point", &r.float)],
    );
    say!("");
    let yes = |holds: bool| if holds { "yes" } else { "NO" };
    let comparisons = u64::from(r.iterations) * u64::from(r.batch);
    say!("every indicator equals the reference's    {} ({comparisons})", yes(r.identical_indicators));
    say!("every prediction equals the reference's   {}", yes(r.identical_predictions));
    say!("indicators that differ in floating point  {}", r.float_differing_indicators);
    if let Some(verified) = verified {
        say!("replayed from the blocks by an observer   {}", yes(verified));
    }
    say!("");
    say!("what this run reveals");
    for line in &r.reveals {
        say!("  - {line}");
    }
}

fn show_horizontal(r: &HorizontalReport, verified: Option<bool>) {
    say!("job           {}", r.job);
    say!(
        "data          {} training and {} test instances, {} features; rows dealt to {} providers",
        r.instances,
        r.test_instances,
        r.features,
        r.providers
    );
    if !r.dropped_lines.is_empty() {
        say!("              {} lines with gaps were left out", r.dropped_lines.len());
    }
    show_left_out(&r.left_out);
    if r.filled_gaps > 0 {
        say!("              {} gaps count as their column's mean", r.filled_gaps);
    }
    let (made, most) = r.iterations;
    say!(
        "training      {made} of at most {most} updates, {} rows of each provider, {:?} comparison",
        r.batch,
        r.protocol
    );
    say!("key           {} bits, the analyst's own", r.key_bits);
    if let Some(epsilon) = r.epsilon {
        say!("noise         ε = {epsilon:.2} for a row of one provider, by that provider's own noise");
    }
    let s = &r.seconds;
    say!(
        "time          {:.1} s: work of all providers {:.1} s and the analyst {:.1} s; of it comparison {:.1} s, \
         polynomial multiplication {:.1} s",
        s.total,
        s.providers,
        s.analyst,
        s.comparison,
        s.multiplication
    );
    say!("processor     {:.1} s of all participants together while at work", s.cpu_all_participants);
    if let Some(bytes) = r.peak_memory {
        say!("memory        {} MB at most in a participant's process", bytes / 1_000_000);
    }
    show_ledger(&r.ledger);
    say!("");
    show_metrics(
        ON_TEST,
        &[("secure", &r.secure), ("plaintext reference", &r.plaintext), ("64-bit floating point", &r.float)],
    );
    say!("");
    let answer = |holds: Option<bool>| match holds {
        Some(true) => "yes",
        Some(false) => "NO",
        None => "not compared, for there was noise",
    };
    say!("every weight equals the reference's       {}", answer(r.identical_weights));
    say!("every prediction equals the reference's   {}", answer(r.identical_predictions));
    if let Some(verified) = verified {
        say!(
            "an observer's replay of the blocks        {}",
            if verified { "found nothing wrong" } else { "FOUND DEFECTS" }
        );
    }
    say!("");
    say!("what this run reveals");
    for line in &r.reveals {
        say!("  - {line}");
    }
}

/// What went over the ledger.
fn show_ledger(ledger: &LedgerReport) {
    say!(
        "ledger        {}: {} transactions, {:.1} MB of records, {} retries",
        ledger.kind,
        ledger.transactions,
        ledger.bytes as f64 / 1e6,
        ledger.retries.total()
    );
}

/// Columns that nobody trained on.
fn show_left_out(columns: &[String]) {
    if !columns.is_empty() {
        say!("              without a value in any training row, and left out: {}", columns.join(", "));
    }
}
