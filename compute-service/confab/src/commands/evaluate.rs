//! `confab evaluate`.

use crate::{
    args::{DataArgs, RunArgs, ScheduleArgs},
    error::{CliError, CliResult},
    output::{self, Steps, is_stdout, outputs, write_json},
    program::program,
    render::tell_table,
    shutdown,
};
use clap::Args;
use experiment::{
    Experiment, Runner,
    evaluation::{Evaluation, SecureFolds, html, measures, spread},
};
use std::path::PathBuf;
use svm::evaluation::CrossValidation;

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

pub async fn run(args: EvaluateArgs) -> CliResult {
    args.check()?;
    let steps = Steps::new();
    let interrupted = "interrupted; nodes and ledger were stopped, no report was written";
    let done = shutdown::or_interrupted(conduct(&args, &steps), interrupted).await;
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
        return Err(CliError::defect(
            "a secure fold differs from the plaintext reference; this is a defect of Confab",
        ));
    }
    match secure().any(|fold| fold.verified == Some(false)) {
        true => Err(CliError::defect("the observer's replay found defects")),
        false => Ok(()),
    }
}

async fn conduct(args: &EvaluateArgs, steps: &Steps) -> CliResult<Evaluation> {
    let of = CrossValidation { folds: args.folds, repeats: args.repeats, seed: args.run.seed };
    let first = of.places().next().ok_or("there is no fold")?;
    let experiment = Experiment {
        source: args.data.source(first.division()),
        training: args.run.options(&args.schedule),
        holders: args.run.participants,
    };
    let table = experiment.source.table()?;
    tell_table(&table.2);
    let secure = args.secure.map(|most| SecureFolds { most, site: args.run.site(), verify: args.run.verify });
    let program = program()?;
    let runner = Runner { program: &program, progress: steps };
    Ok(runner.evaluate(&experiment, table, of, secure.as_ref()).await?)
}

impl EvaluateArgs {
    /// What can be refused before the table is read.
    fn check(&self) -> CliResult {
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
}

/// Shows the report on the terminal.
pub fn show(e: &Evaluation) {
    let data = &e.data;
    say!("data          {}: {} rows {}", data.file, data.rows, data.about_classes());
    say!("gaps          {}", data.about_gaps());
    say!("training      {}", e.about_training());
    say!("scaling       {}", e.about_scaling());
    say!("folds         {}; {:.1} s", e.about_folds(), e.seconds);
    say!("");
    let class = measures(e).iter().map(|row| row[1].chars().count()).max().unwrap_or(0).max("positive".len());
    say!(
        "{:<28}{:<class$} {:>16} {:>16} {:>16} {:>16}",
        "mean ± standard deviation",
        "positive",
        "accuracy",
        "precision",
        "recall",
        "F1"
    );
    for [model, positive, accuracy, precision, recall, f1] in measures(e) {
        say!("{model:<28}{positive:<class$} {accuracy:>16} {precision:>16} {recall:>16} {f1:>16}");
    }
    say!("");
    say!("area under the ROC curve    {}", spread(&e.auc));
    let c = &e.confusion;
    say!(
        "confusion, all folds        class {}: {} right, {} wrong; class {}: {} right, {} wrong",
        data.positive,
        c.true_positive,
        c.false_negative,
        data.negative,
        c.true_negative,
        c.false_positive
    );
    if let (Some(first), Some(last)) = (e.objective.mean.first(), e.objective.mean.last()) {
        say!("objective                   {first:.4} at the start, {last:.4} at the end");
    }
    for remark in e.remarks() {
        say!("- {remark}");
    }
    let Some(secure) = &e.secure else { return };
    say!("");
    say!("secure        {}", e.about_secure(secure));
    if let Some(key) = secure.about_key() {
        say!("key           {key}");
    }
    for fold in &secure.folds {
        let list = |parts: Vec<(&str, f64)>| {
            parts.iter().map(|(name, seconds)| format!("{name} {seconds:.1}")).collect::<Vec<_>>().join(", ")
        };
        say!(
            "  repeat {}, fold {}: accuracy {:.4}, reference {:.4}; {:.1} s: {}; {}",
            fold.repeat,
            fold.fold,
            fold.secure.scores.accuracy,
            fold.reference.scores.accuracy,
            fold.seconds.total(),
            list(fold.seconds.parts()),
            list(fold.seconds.beside())
        );
    }
    if let Some(first) = secure.folds.first() {
        say!("  (parts are seconds {})", first.seconds.of_parts());
    }
}
