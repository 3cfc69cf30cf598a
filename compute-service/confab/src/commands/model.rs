use super::{CliResult, job::NodeFile};
use crate::output::{outputs, write_json};
use clap::{Args, Subcommand, ValueEnum};
use files::Outputs;
use node::{config::Config, model::Model, sklearn, worker};
use records::JobId;
use std::path::PathBuf;

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
        let own =
            self.config.as_deref().map_or_else(outputs, |file| NodeFile::from_path(file).known_outputs());
        self.model.iter().fold(own, |outputs, file| outputs.reads(file))
    }

    /// The model, or what is there of it.
    pub fn load(&self) -> CliResult<Model> {
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

pub fn run(command: &ModelCommand) -> CliResult {
    match command {
        ModelCommand::Show(args) => args.load()?.lines().iter().for_each(|line| say!("{line}")),
        ModelCommand::Export { model, format: FormatArg::Sklearn, out } => {
            model.outputs().writes("--out", Some(out)).check()?;
            return write_json(out, &sklearn::Export::new(&model.load()?)?);
        }
    }
    Ok(())
}
