use super::{
    Done,
    nodes::participants,
    rows,
    train::{self, RunArgs, kind_name, tell_table},
    training::{DataArgs, PartitionArg, ScheduleArgs},
};
use crate::{
    evaluation::{Data, Evaluation, Seconds, Secure, SecureFold, html, show},
    output::{self, Steps, is_stdout, outputs, write_json},
    shutdown,
};
use clap::Args;
use dataset::table::Table;
use node::{
    experiment::{Plan, Source},
    report::Times,
    rows::RowsPlan,
};
use rayon::prelude::*;
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};
use svm::evaluation::{CrossValidation, Fold, Place, Setting};
use tokio::sync::mpsc;

/// Says how well a training does: repeated, stratified cross-validation of the plaintext reference, and of the same training
/// in floating point.
///
/// In every fold scaling and the filling of gaps are fitted on the training part only. The reference is what an encrypted
/// training comes to, to the bit; `--secure` runs folds encrypted, by nodes and a ledger, and shows it.
#[derive(Args)]
pub struct EvaluateArgs {
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    schedule: ScheduleArgs,
    /// Folds of one repeat; every row is tested once in each repeat.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(2..=1000))]
    folds: u32,
    /// How often the rows are divided anew.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeats: u32,
    /// Run folds encrypted, too: all of them, or so many, from the first. Each takes as long as a `confab train`.
    #[arg(long, value_name = "FOLDS", num_args = 0..=1, default_missing_value = "all", value_parser = secure_folds)]
    secure: Option<u32>,
    /// Write the report as one HTML file with curves, `-` for standard output.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    run: RunArgs,
}

/// Number of folds; as many as there are for `all`.
fn secure_folds(text: &str) -> Result<u32, String> {
    match text {
        "all" => Ok(u32::MAX),
        _ => match text.parse() {
            Ok(0) | Err(_) => Err("a number of folds from 1, or `all`".into()),
            Ok(number) => Ok(number),
        },
    }
}

pub async fn run(args: EvaluateArgs) -> Done {
    args.check()?;
    let mut steps = Steps::new();
    let done = tokio::select! {
        done = conduct(&args, &mut steps) => done,
        () = shutdown::requested() => Err("interrupted; nodes and ledger were stopped, no report was written".into()),
    };
    steps.clear();
    let evaluation = done?;
    if !is_stdout(args.run.json.as_deref()) && !is_stdout(args.html.as_deref()) {
        show(&evaluation);
    }
    if let Some(path) = &args.run.json {
        write_json(path, &evaluation)?;
    }
    if let Some(path) = &args.html {
        output::write(path, html::page(&evaluation).as_bytes())?;
    }
    let secure = || evaluation.secure.iter().flat_map(|secure| &secure.folds);
    if secure().any(|fold| !fold.identical) {
        return Err("a secure fold differs from the plaintext reference; this is a defect of Confab".into());
    }
    match secure().any(|fold| fold.verified == Some(false)) {
        true => Err("the observer's replay found defects".into()),
        false => Ok(()),
    }
}

/// What is trained in a fold: one of the experiments of `confab train`.
enum Experiment {
    Columns(Plan),
    Rows(RowsPlan),
}

impl EvaluateArgs {
    /// What can be refused before the table is read.
    fn check(&self) -> Done {
        self.run.check(&self.schedule)?;
        if self.schedule.rows.has_noise() {
            return Err("--gradient-noise: the plaintext reference has none to be evaluated with".into());
        }
        if self.run.verify && self.secure.is_none() {
            return Err("--verify belongs to --secure: folds in plaintext are no jobs".into());
        }
        let outputs = outputs().reads(&self.data.data).writes("--json", self.run.json.as_deref());
        Ok(outputs.writes("--html", self.html.as_deref()).check()?)
    }

    fn experiment(&self, source: Source) -> Experiment {
        match self.schedule.partition {
            PartitionArg::Columns => {
                let training = self.schedule.by_columns(&self.run.training, self.run.participants);
                Experiment::Columns(self.run.plan(source, training))
            }
            PartitionArg::Rows => {
                let (training, c) = self.schedule.by_rows(&self.run.training);
                Experiment::Rows(RowsPlan { source, c, training })
            }
        }
    }
}

impl Experiment {
    /// Whether a fold could be trained on encrypted.
    fn check(&self, table: &Table, place: &Place, participants: u32) -> Result<(), String> {
        let prepared = match self {
            Self::Columns(plan) => plan.preparation(table, place.division(), participants),
            Self::Rows(plan) => plan.preparation(table, place.division(), participants),
        };
        prepared.map(drop).map_err(|e| format!("{e} ({})", name(place)))
    }

    fn setting(&self, participants: u32) -> Setting {
        match self {
            Self::Columns(plan) => Setting::by_columns(&plan.training, plan.scale),
            Self::Rows(plan) => Setting::by_rows(&plan.training, participants, plan.c),
        }
    }
}

async fn conduct(args: &EvaluateArgs, steps: &mut Steps) -> Done<Evaluation> {
    let of = CrossValidation { folds: args.folds, repeats: args.repeats, seed: args.run.seed };
    let places: Vec<Place> = of.places().collect();
    let source = args.data.source(places[0].division());
    let (table, dropped, overview) = source.table()?;
    tell_table(&overview);
    let data = Data::new(&source, &table, dropped, overview);
    let experiment = Arc::new(args.experiment(source));
    let setting = experiment.setting(args.run.participants);
    let start = Instant::now();
    let folds =
        in_parallel(Arc::new(table), experiment.clone(), args.run.participants, places.clone(), steps)
            .await?;
    let seconds = start.elapsed().as_secs_f64();
    let secure = match args.secure {
        None => None,
        Some(most) => {
            let places = &places[..places.len().min(most as usize)];
            Some(match &*experiment {
                Experiment::Columns(plan) => by_columns(args, plan.clone(), places, steps).await?,
                Experiment::Rows(plan) => by_rows(args, plan, places, steps).await?,
            })
        }
    };
    Ok(Evaluation::new(data, setting, args.run.participants, of, folds, seconds, secure))
}

/// Sets a flag when it is dropped: when somebody has interrupted the command.
struct OnDrop(Arc<AtomicBool>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Evaluates all folds in plaintext, on all cores.
async fn in_parallel(
    table: Arc<Table>,
    experiment: Arc<Experiment>,
    participants: u32,
    places: Vec<Place>,
    steps: &Steps,
) -> Done<Vec<Fold>> {
    let (count, what) = (places.len() as u64, "folds");
    let stopped = Arc::new(AtomicBool::new(false));
    let _guard = OnDrop(stopped.clone());
    let (done, mut on_done) = mpsc::unbounded_channel();
    steps.step(&format!("evaluating {count} folds in plaintext"));
    let folds = tokio::task::spawn_blocking(move || {
        let evaluate = |place: &Place| {
            // None where nobody waits for it any more.
            let fold = (!stopped.load(Ordering::Relaxed)).then(|| {
                experiment.check(&table, place, participants)?;
                let setting = experiment.setting(participants);
                place.evaluate(&table, &setting, participants).map_err(|e| e.to_string())
            });
            let _ = done.send(());
            fold
        };
        places.par_iter().filter_map(evaluate).collect::<Result<Vec<Fold>, String>>()
    });
    let mut finished = 0;
    while on_done.recv().await.is_some() {
        finished += 1;
        steps.count(what, finished, count);
    }
    Ok(folds.await??)
}

fn name(place: &Place) -> String {
    format!("repeat {}, fold {} of {}", place.repeat + 1, place.fold + 1, place.of.folds)
}

async fn by_columns(
    args: &EvaluateArgs,
    mut plan: Plan,
    places: &[Place],
    steps: &mut Steps,
) -> Done<Secure> {
    let temporary = tempfile::Builder::new().prefix("confab-").tempdir()?;
    let borrowed = args.run.network(temporary.path(), args.run.participants as usize, steps).await?;
    let network = &borrowed.network;
    let (nodes, key) =
        args.run.members(&mut plan, network, &temporary.path().join("participants"), steps).await?;
    let mut folds = Vec::new();
    for place in places {
        steps.part(&name(place));
        let source = Source { division: place.division(), ..plan.source.clone() };
        let plan = Plan { source, ..plan.clone() };
        let (prepared, _, report) = train::run_plan(&plan, &nodes, &key, network.kind, steps).await?;
        // The key was made once, for all folds.
        let seconds = Times { keys: report.seconds.keys - key.seconds(), ..report.seconds };
        folds.push(SecureFold {
            repeat: place.repeat + 1,
            fold: place.fold + 1,
            verified: args.run.replay(network, &prepared.params.id(), steps).await?,
            job: report.job,
            identical: report.identical_indicators
                && report.identical_predictions
                && report.identical_weights,
            secure: report.secure,
            reference: report.plaintext,
            ledger: report.ledger,
            seconds: Seconds::Columns(seconds),
        });
    }
    let secure = Secure::new(folds, kind_name(network.kind), plan.training.key_bits);
    Ok(Secure { key_origin: Some(key.origin()), key_seconds: Some(key.seconds()), ..secure })
}

async fn by_rows(args: &EvaluateArgs, plan: &RowsPlan, places: &[Place], steps: &mut Steps) -> Done<Secure> {
    let temporary = tempfile::Builder::new().prefix("confab-").tempdir()?;
    let orgs = rows::organisations(&args.run);
    let borrowed = args.run.network(temporary.path(), orgs, steps).await?;
    let network = &borrowed.network;
    let nodes =
        participants(network, orgs as u32, &temporary.path().join("participants"), args.run.deadlines())?;
    let mut folds = Vec::new();
    for place in places {
        steps.part(&name(place));
        let source = Source { division: place.division(), ..plan.source.clone() };
        let plan = RowsPlan { source, ..plan.clone() };
        let (prepared, _, summary) = rows::run_plan(&plan, &nodes, network.kind, steps).await?;
        folds.push(SecureFold {
            repeat: place.repeat + 1,
            fold: place.fold + 1,
            verified: args.run.replay(network, &prepared.params.id(), steps).await?,
            job: summary.job,
            // Both are compared where there is no noise.
            identical: summary.identical_weights == Some(true) && summary.identical_predictions == Some(true),
            secure: summary.secure,
            reference: summary.plaintext,
            ledger: summary.ledger,
            seconds: Seconds::Rows(summary.seconds),
        });
    }
    Ok(Secure::new(folds, kind_name(network.kind), plan.training.key_bits))
}
