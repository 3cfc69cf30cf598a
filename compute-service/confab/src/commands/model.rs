use super::{Done, job::NodeFile};
use crate::output::{outputs, write_json};
use clap::{Args, Subcommand, ValueEnum};
use files::Outputs;
use node::{config::Config, model::Model, sklearn, worker};
use records::JobId;
use std::path::PathBuf;
use svm::fixed::WEIGHT_PLACES;

#[derive(Subcommand)]
pub enum ModelCommand {
    /// Show a model: its classes, and of each column the weight and the scaling.
    Show(ModelArgs),
    /// Write a whole model for other programs.
    ///
    /// `sklearn`: JSON that three lines of Python turn into a fitted scikit-learn pipeline which decides as
    /// `confab predict` does; docs/models.md has them.
    Export {
        #[command(flatten)]
        model: ModelArgs,
        /// For which program.
        #[arg(long, value_enum)]
        format: FormatArg,
        /// The file, `-` for standard output.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub enum FormatArg {
    Sklearn,
}

/// Where a model lies.
#[derive(Args)]
pub struct ModelArgs {
    /// The model: `model.json` of a training run, or the participants' parts, each after a --model.
    #[arg(long, value_name = "FILE")]
    model: Vec<PathBuf>,
    /// The model that an organisation's node has from a training: its configuration, with --job.
    #[arg(long, value_name = "NODE.TOML", requires = "job")]
    config: Option<PathBuf>,
    /// The training, with --config.
    #[arg(long, requires = "config", conflicts_with = "model")]
    job: Option<JobId>,
}

impl ModelArgs {
    /// What a command with this model reads: to it come the files that it is to write.
    pub fn outputs(&self) -> Outputs {
        let own = self.config.as_deref().map_or_else(outputs, |file| NodeFile::at(file).known_outputs());
        self.model.iter().fold(own, |outputs, file| outputs.reads(file))
    }

    /// The model, or what is there of it.
    pub fn load(&self) -> Done<Model> {
        match (&self.config, &self.job) {
            (Some(config), Some(job)) => {
                let path = worker::report_path(&Config::load(config)?, job);
                Ok(Model::of_report(&path)?)
            }
            _ if self.model.is_empty() => Err("name a model: --model, or --config with --job".into()),
            _ => Ok(Model::load_parts(&self.model)?),
        }
    }
}

pub fn run(command: &ModelCommand) -> Done {
    match command {
        ModelCommand::Show(args) => show(&args.load()?),
        ModelCommand::Export { model, format: FormatArg::Sklearn, out } => {
            model.outputs().writes("--out", Some(out)).check()?;
            return write_json(out, &sklearn::Export::new(&model.load()?)?);
        }
    }
    Ok(())
}

/// For people.
pub fn show(model: &Model) {
    if let Some(job) = &model.job {
        say!("training    {job}");
    }
    say!("classes     {} (positive), {}", model.positive, model.negative);
    for holder in &model.holders {
        if !model.parts.iter().any(|part| part.msp_id == *holder) {
            say!("not here    the part of {holder}");
        }
    }
    let real = |fixed: i64| fixed as f64 / f64::from(1 << WEIGHT_PLACES);
    let intercept: i64 = model.parts.iter().map(|part| part.intercept).sum();
    say!("intercept   b = {}; the decision value is w·x − b for scaled x", signed(real(intercept)));
    say!("");
    say!("{:<24} {:>13} {:>14} {:>14} {:>14}  of", "column", "weight", "centre", "divisor", "gaps become");
    let mut names = model.columns().into_iter();
    for part in &model.parts {
        for (column, weight) in part.scaler.fitted().iter().zip(&part.weights) {
            let [centre, divisor, fill] = [column.centre, column.divisor, column.fill].map(digits);
            say!(
                "{:<24} {:>13} {centre:>14} {divisor:>14} {fill:>14}  {}",
                names.next().unwrap_or_default(),
                signed(real(*weight)),
                part.msp_id
            );
        }
    }
}

/// A number with seven digits that say something, whatever its size.
fn digits(x: f64) -> String {
    match x.abs() {
        0.0 => "0".into(),
        0.1..1e7 => format!("{x:.6}"),
        _ => format!("{x:.6e}"),
    }
}

/// The same with a sign.
fn signed(x: f64) -> String {
    let sign = if x < 0.0 { "" } else { "+" };
    sign.to_string() + &digits(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_size_show_their_digits() {
        for (x, shown) in [
            (0.0, "0"),
            (5.996e-9, "5.996000e-9"),
            (-1e-300, "-1.000000e-300"),
            (54.25, "54.250000"),
            (-0.0123456789, "-1.234568e-2"),
            (9_999_999.0, "9999999.000000"),
            (1e300, "1.000000e300"),
        ] {
            assert_eq!(digits(x), shown);
        }
        assert_eq!([signed(2f64.powi(-24)), signed(-1.5)], ["+5.960464e-8", "-1.500000"]);
    }
}
