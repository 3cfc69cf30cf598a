use super::{Done, model::ModelArgs, train::show_metrics};
use crate::output::{is_stdout, write_json};
use clap::Args;
use node::model::{Predictions, Query};
use std::path::{Path, PathBuf};

/// Predicts the class of new rows with a model that is whole: published, or kept by one organisation.
///
/// The table needs the model's columns, by name (or by number where it has no header); others are ignored. Gaps are
/// filled with the training rows' means. Where each organisation has a part of the model (`confab job result --model`),
/// name all parts; the analyst of a training by rows names its node and the job.
#[derive(Args)]
pub struct PredictArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// The rows.
    #[arg(long)]
    data: PathBuf,
    /// A column that identifies the rows, to be repeated in the output.
    #[arg(long)]
    id: Option<String>,
    /// The column of the true classes, where they are known: how well the model does is printed, too.
    #[arg(long)]
    label: Option<String>,
    /// Write the predictions as CSV: line, id, class, score.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write the predictions as JSON, `-` for standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub fn run(args: &PredictArgs) -> Done {
    let query = Query { file: args.data.clone(), id: args.id.clone(), label: args.label.clone() };
    let found = args.model.load()?.predict(&query)?;
    if let Some(path) = &args.out {
        write_csv(path, &found)?;
    }
    if let Some(path) = &args.json {
        write_json(path, &found)?;
    }
    if is_stdout(args.json.as_deref()) {
        return Ok(());
    }
    if args.out.is_none() && args.json.is_none() {
        say!("{:>6}  {:<16} {:<12} score", "line", "id", "class");
        for p in &found.predictions {
            say!("{:>6}  {:<16} {:<12} {:+.4}", p.line, p.id.as_deref().unwrap_or("-"), p.class, p.score);
        }
    }
    if found.filled > 0 {
        say!("{} empty cells were filled with the training rows' mean", found.filled);
    }
    if let Some(measures) = &found.measures {
        let counts = &measures.confusion;
        show_metrics("on these rows", &[("the model", measures)]);
        say!(
            "right: {} positive, {} negative; wrong: {} of the negative, {} of the positive",
            counts.true_positive,
            counts.true_negative,
            counts.false_positive,
            counts.false_negative
        );
    }
    Ok(())
}

fn write_csv(path: &Path, found: &Predictions) -> Done {
    let failed = |e: csv::Error| format!("cannot write {}: {e}", path.display());
    let mut file = csv::Writer::from_path(path).map_err(failed)?;
    file.write_record(["line", "id", "class", "score"]).map_err(failed)?;
    for p in &found.predictions {
        let (line, score) = (p.line.to_string(), p.score.to_string());
        file.write_record([&line, p.id.as_deref().unwrap_or(""), &p.class, &score]).map_err(failed)?;
    }
    Ok(file.flush()?)
}
