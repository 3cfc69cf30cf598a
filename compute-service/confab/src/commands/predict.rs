use super::{
    CliResult,
    model::ModelArgs,
    split::{self, SplitArgs},
};
use crate::{
    args::ReadingArgs,
    output::{is_stdout, write_json},
    render::{show_predictions, tell_table, write_csv},
};
use clap::Args;
use node::model::{Prediction, Query};
use std::path::PathBuf;

/// Predicts the class of new rows with a trained model.
///
/// The table needs the model's columns, by name (or by number where it has no header); others are ignored. Gaps are
/// filled with the training rows' means. Where each organisation has a part of the model (`confab job result --model`),
/// name all parts; the analyst of a training by rows names its node and the job. Where the parts stayed with their
/// participants, --split lets these ask the judge in an experiment, and `confab job template --predict` in earnest.
#[derive(Args)]
pub struct PredictArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    split: SplitArgs,
    /// The rows.
    #[arg(long)]
    data: PathBuf,
    /// A column that identifies the rows, to be repeated in the output.
    #[arg(long)]
    id: Option<String>,
    /// The column of the true classes, where they are known: how well the model does is printed, too.
    #[arg(long)]
    label: Option<String>,
    #[command(flatten)]
    reading: ReadingArgs,
    /// Write the predictions as CSV, `-` for standard output: line, id, class, and the score where it is known.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write the predictions as JSON, `-` for standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub async fn run(args: PredictArgs) -> CliResult {
    let outputs = args.model.outputs().reads(&args.data);
    outputs.writes("--out", args.out.as_deref()).writes("--json", args.json.as_deref()).check()?;
    let query =
        Query { file: args.data.into(), id: args.id, label: args.label, reading: args.reading.reading() };
    if args.split.is_given() {
        return split::run(&args.split, &query, args.out.as_deref(), args.json.as_deref()).await;
    }
    let found = args.model.load()?.predict(&query)?;
    tell_table(&found.table);
    if let Some(path) = &args.out {
        let row = |p: &Prediction| [p.line.to_string(), id(p), p.class.clone(), p.score.to_string()];
        write_csv(path, ["line", "id", "class", "score"], found.predictions.iter().map(row))?;
    }
    if let Some(path) = &args.json {
        write_json(path, &found)?;
    }
    if is_stdout(args.json.as_deref()) || is_stdout(args.out.as_deref()) {
        return Ok(());
    }
    if args.out.is_none() && args.json.is_none() {
        say!("{:>6}  {:<16} {:<12} score", "line", "id", "class");
        for p in &found.predictions {
            say!("{:>6}  {:<16} {:<12} {:+.4}", p.line, p.id.as_deref().unwrap_or("-"), p.class, p.score);
        }
    }
    show_predictions(&found);
    Ok(())
}

fn id(p: &Prediction) -> String {
    p.id.clone().unwrap_or_default()
}
