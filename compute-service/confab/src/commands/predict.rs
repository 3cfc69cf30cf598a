use super::Done;
use crate::output::write_json;
use clap::Args;
use node::model::Model;
use std::path::PathBuf;

/// Predicts the class of new rows with a published model.
///
/// The table needs the model's columns, by name (or by number where it has no header); others are ignored. Gaps are
/// filled with the training rows' means. Where each organisation has a part of the model (`confab job result --model`),
/// name all parts.
#[derive(Args)]
pub struct PredictArgs {
    /// The model: `model.json` of a training run, or the participants' parts, each after a --model.
    #[arg(long, required = true)]
    model: Vec<PathBuf>,
    /// The rows.
    #[arg(long)]
    data: PathBuf,
    /// A column that identifies the rows, to be repeated in the output.
    #[arg(long)]
    id: Option<String>,
    /// Write the predictions as JSON, `-` for standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub fn run(args: &PredictArgs) -> Done {
    let predictions = Model::load_parts(&args.model)?.predict(&args.data, args.id.as_deref())?;
    if let Some(path) = &args.json {
        return write_json(path, &predictions);
    }
    say!("{:>6}  {:<16} {:<12} score", "line", "id", "class");
    for p in &predictions {
        say!("{:>6}  {:<16} {:<12} {:+.4}", p.line, p.id.as_deref().unwrap_or("-"), p.class, p.score);
    }
    Ok(())
}
