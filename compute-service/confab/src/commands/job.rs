use super::{
    CliResult,
    accept::{self, AcceptArgs},
    watch,
};
use crate::{
    args::{DeadlineArgs, PartitionArg, ScheduleArgs, TrainingArgs},
    error::CliError,
    output::{is_stdout, outputs, write_json, write_private_json},
};
use clap::{Args, Subcommand};
use files::Outputs;
use gateway_client::{Contract, Network};
use node::{
    NodeHandle,
    config::Config,
    data,
    jobs::{self, Wanted, state},
    ledger::{self, MembersError},
    predictions, proposal,
};
use records::{Deadlines, Fingerprint, JobId, JobParams, Kind, MspId, Outcome};
use serde::Serialize;
use std::path::{Path, PathBuf};

#[derive(Subcommand)]
pub enum JobCommand {
    /// Print the parameters of a training job, or of another kind, with a fresh nonce, for `confab job propose`.
    Template(Box<TemplateArgs>),
    /// Propose a job to the organisations that its parameters name, and print its identifier.
    Propose {
        #[command(flatten)]
        node: NodeFile,
        /// The parameters (JSON); `confab job template` prints some to begin with.
        #[arg(long)]
        params: PathBuf,
    },
    /// Accept a job, after checking that the own table and key share fit it.
    ///
    /// The node takes part from then on; whether it runs meanwhile or is started later makes no difference. Where table
    /// or key share do not fit, nothing is answered: correct them and accept again, or refuse.
    ///
    /// Shows what the job asks and reveals. What is below the `[minimum]` of the node's configuration is refused unless
    /// --accept-weaker consents to it.
    Accept(AcceptArgs),
    /// Decline a proposal, which ends the job.
    Refuse {
        #[command(flatten)]
        node: NodeFile,
        /// The job.
        job: JobId,
        /// Why; all members of the channel can read it.
        #[arg(long, default_value = "declined")]
        reason: String,
    },
    /// List all jobs, or show one and wait until it has ended; says for whom or what it waits, and fails unless the job finishes.
    Watch {
        #[command(flatten)]
        node: NodeFile,
        /// The job; all unless given.
        job: Option<JobId>,
        /// Show it once and do not wait.
        #[arg(long)]
        once: bool,
        /// Write what is shown at the end as JSON, `-` for standard output.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Show the result of a finished job as this organisation's node kept it.
    Result {
        #[command(flatten)]
        node: NodeFile,
        /// The job.
        job: JobId,
        /// Write the node's whole report as JSON, `-` for standard output.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        /// Write this organisation's part of the model, for `confab predict`.
        #[arg(long, value_name = "FILE")]
        model: Option<PathBuf>,
    },
    /// End a job without a result.
    Abort {
        #[command(flatten)]
        node: NodeFile,
        /// The job.
        job: JobId,
        /// Why; all members of the channel can read it.
        #[arg(long, default_value = "aborted by hand")]
        reason: String,
    },
}

/// The parameters of a training job, or of predictions.
#[derive(Args)]
pub struct TemplateArgs {
    /// The participants' MSP identifiers, in the order of their key shares.
    #[arg(required_unless_present_any = ["predict", "kind"], num_args = 2..)]
    participants: Vec<MspId>,
    /// Another kind of job than a training; what is not set follows from the files of --config.
    #[arg(long, requires = "config", conflicts_with_all = ["predict", "instances"])]
    kind: Option<String>,
    /// With --kind: a parameter of the job, lists with commas; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", requires = "kind", value_parser = setting)]
    set: Vec<(String, String)>,
    /// Predictions with the model of this training, whose participants kept their parts (`--model split`), instead of a
    /// training: of the rows that [predictions] in the node's configuration names and that were not answered before.
    #[arg(long, value_name = "JOB", requires = "config", conflicts_with_all = ["participants", "instances", "key"])]
    predict: Option<JobId>,
    #[command(flatten)]
    schedule: ScheduleArgs,
    /// By rows: the participant that is the analyst; the last unless given.
    #[arg(long, value_name = "MSP")]
    analyst: Option<MspId>,
    /// By rows: room for the rows of each provider, who fill up to it; as many as the table of --config has unless given.
    #[arg(long, value_name = "ROWS")]
    room: Option<u32>,
    /// Number of training instances, which all participants share.
    #[arg(long, required_unless_present = "config")]
    instances: Option<u32>,
    /// The configuration of a participant's node; the instances are counted in its table unless given. By rows a
    /// provider's: columns and classes are those of its table.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Fingerprint of the negotiated key (`confab key list`); else each participant brings its dealt key_share.
    #[arg(long)]
    key: Option<Fingerprint>,
    #[command(flatten)]
    training: TrainingArgs,
    #[command(flatten)]
    deadlines: DeadlineArgs,
}

/// In whose name.
#[derive(Args)]
pub struct NodeFile {
    /// The configuration of the organisation's node (TOML).
    #[arg(long)]
    config: PathBuf,
}

impl NodeFile {
    /// That of this file.
    pub fn from_path(config: &Path) -> Self {
        Self { config: config.to_path_buf() }
    }

    /// The configuration.
    pub fn load(&self) -> CliResult<Config> {
        Ok(Config::load(&self.config)?)
    }

    /// What a command in this name reads: to it come the files that it is to write.
    pub fn outputs(&self, config: &Config) -> Outputs {
        let named = [&config.connection_profile, &self.config];
        let identity = config.identity.iter().flat_map(|own| [&own.certificate, &own.private_key]);
        let tables = config.data.iter().map(|data| &data.file);
        let new = config.predictions.iter().map(|new| &new.file);
        let files = named.into_iter().chain(identity).chain(tables).chain(new).chain(&config.key_share);
        files.fold(outputs(), |outputs, file| outputs.reads(file)).keeps(&config.data_dir)
    }

    /// The same, before the configuration is loaded: where that fails, the command ends with why.
    pub fn known_outputs(&self) -> Outputs {
        match self.load() {
            Ok(config) => self.outputs(&config),
            Err(_) => outputs().reads(&self.config),
        }
    }

    /// The configuration, and the job contract in the organisation's name.
    pub fn open(&self) -> CliResult<(Config, Contract)> {
        let (config, network) = self.channel()?;
        let contract = network.contract(&config.chaincode);
        Ok((config, contract))
    }

    /// The configuration, and a handle on the organisation's node; where none runs, on its directory. Says which on standard
    /// error, unless standard output is for a machine.
    pub async fn handle(&self, quiet: bool) -> CliResult<(Config, NodeHandle)> {
        let config = self.load()?;
        let handle = NodeHandle::open(config.clone()).await?;
        let dir = config.data_dir.display();
        match (quiet, handle.is_running()) {
            (true, _) => {}
            (false, true) => tell!("asking the node that runs in {dir}"),
            (false, false) => tell!("no node runs in {dir}: this command opens it itself"),
        }
        Ok((config, handle.saying(|wait| tell!("{wait}"))))
    }

    /// The configuration, and the channel as the organisation's peer shows it.
    pub fn channel(&self) -> CliResult<(Config, Network)> {
        let config = self.load()?;
        let network = ledger::connect(&config)?.network(&config.channel);
        Ok((config, network))
    }
}

pub async fn run(command: JobCommand) -> CliResult {
    match command {
        JobCommand::Template(args) => template(*args).await,
        JobCommand::Propose { node, params } => {
            let text =
                std::fs::read(&params).map_err(|e| format!("cannot read {}: {e}", params.display()))?;
            let in_file = |e: &dyn std::fmt::Display| format!("{}: {e}", params.display());
            let params: JobParams = serde_json::from_slice(&text).map_err(|e| in_file(&e))?;
            params.validate().and_then(|()| params.check_text()).map_err(|e| in_file(&e))?;
            say!("{}", node.handle(false).await?.1.propose(&params).await?);
            Ok(())
        }
        JobCommand::Accept(args) => accept::run(args).await,
        JobCommand::Refuse { node, job, reason } => {
            Ok(node.handle(false).await?.1.refuse(&job, &reason).await?)
        }
        JobCommand::Abort { node, job, reason } => {
            Ok(node.handle(false).await?.1.abort(&job, &reason).await?)
        }
        JobCommand::Watch { node, job, once, json } => follow(&node, job, once, json).await,
        JobCommand::Result { node, job, json, model } => result(&node, job, json, model).await,
    }
}

async fn template(args: TemplateArgs) -> CliResult {
    let node = args.config.as_deref().map(NodeFile::from_path);
    let deadlines = args.deadlines.or(Deadlines::PEOPLE);
    let mut params = match (&args.predict, &args.config) {
        (Some(training), Some(config)) => predictions::template(&Config::load(config)?, training)?,
        (None, Some(config)) if args.kind.is_some() => {
            let (config, kind) = (Config::load(config)?, args.kind.clone().unwrap_or_default());
            let TemplateArgs { participants, key, set, .. } = &args;
            jobs::template(&kind, &Wanted { config: &config, participants, key: *key, settings: set })?
        }
        _ => training_template(args)?,
    };
    params.deadlines = Some(deadlines);
    params.validate()?;
    if let Some(node) = node {
        check_if_possible(&node, &params.participants).await?;
    }
    write_json(Path::new("-"), &params)
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("not of the form NAME=VALUE".into()),
    }
}

/// Refuses names of organisations that are no members of the channel. A template may be written while the peer is away:
/// then `job propose` looks again.
async fn check_if_possible(node: &NodeFile, names: &[MspId]) -> CliResult {
    let (_, network) = node.channel()?;
    match ledger::check_members(&network, names).await {
        Err(MembersError::Gateway(e)) if e.call().is_some_and(|call| call.connection) => {
            tell!("whether the participants are members of the channel was not looked up: {e}");
            Ok(())
        }
        checked => Ok(checked?),
    }
}

fn training_template(args: TemplateArgs) -> CliResult<JobParams> {
    args.schedule.check(&args.training, false)?;
    let (misplaced, partition) = match args.schedule.partition {
        PartitionArg::Columns => {
            ([(args.analyst.is_some(), "--analyst"), (args.room.is_some(), "--room")], "rows")
        }
        PartitionArg::Rows => {
            ([(args.instances.is_some(), "--instances"), (args.key.is_some(), "--key")], "columns")
        }
    };
    if let Some((_, name)) = misplaced.into_iter().find(|(given, _)| *given) {
        return Err(format!("{name} belongs to --partition {partition}").into());
    }
    let (kind, participants) = match args.schedule.partition {
        PartitionArg::Columns => by_columns(args)?,
        PartitionArg::Rows => by_rows(args)?,
    };
    Ok(proposal::job_params(kind, participants)?)
}

fn by_rows(args: TemplateArgs) -> CliResult<(Kind, Vec<MspId>)> {
    let path = args.config.as_ref().ok_or("name the configuration of a provider's node: --config")?;
    let config = Config::load(path)?;
    let table = data::provider_table(config.data.as_ref().ok_or_else(data::no_data)?, None)?;
    let classes = table.classes.as_ref().ok_or("the table has no label column")?;
    let labels = table.labels()?;
    if labels.iter().all(|label| *label == labels[0]) {
        return Err(format!(
            "column `{}`: all rows are of one class; a proposal names both, so let a provider write it whose rows are of \
             both",
            classes.column
        )
        .into());
    }
    let participants = args.participants;
    let analyst = match &args.analyst {
        None => participants.len() - 1,
        Some(name) => participants
            .iter()
            .position(|participant| participant == name)
            .ok_or_else(|| format!("--analyst {name} is not among the participants"))?,
    };
    let room = args.room.unwrap_or(table.rows.len() as u32);
    let rows = room as usize * (participants.len() - 1);
    let training =
        args.schedule.horizontal(&args.training).params(analyst as u32, &table, classes, room, rows);
    Ok((Kind::HorizontalSvm(Box::new(training)), participants))
}

fn by_columns(args: TemplateArgs) -> CliResult<(Kind, Vec<MspId>)> {
    let (instances, classes) = match (args.instances, &args.config) {
        (Some(instances), None) => (instances, None),
        (given, Some(path)) => {
            let config = Config::load(path)?;
            match (given, &config.data) {
                // An organisation without a table may propose, too; then each table's classes are its own.
                (Some(instances), None) => (instances, None),
                (_, data) => {
                    let (table, _) = data::table(data.as_ref().ok_or_else(data::no_data)?)?;
                    let classes = table.classes.as_ref().map(proposal::class_names);
                    (given.unwrap_or(table.rows.len() as u32), classes)
                }
            }
        }
        (None, None) => return Err("say how many instances: --instances or --config".into()),
    };
    let n = args.participants.len() as u32;
    let training = args.schedule.vertical(&args.training).params(n, instances, args.key, classes);
    Ok((Kind::VerticalSvm(training), args.participants))
}

async fn follow(node: &NodeFile, job: Option<JobId>, once: bool, json: Option<PathBuf>) -> CliResult {
    node.known_outputs().writes("--json", json.as_deref()).check()?;
    let quiet = is_stdout(json.as_deref());
    let (_, handle) = node.handle(quiet).await?;
    let Some(job) = job else {
        let all = handle.jobs().await?;
        if let Some(file) = json {
            return write_json(&file, &all);
        }
        for view in &all {
            say!("{}  {:<14}  {}", view.job.id, view.job.params.kind.name(), state(view));
        }
        return Ok(());
    };
    let (_, contract) = node.open()?;
    let tell = |state: &str| {
        if !quiet {
            say!("{state}");
        }
    };
    let view = match once {
        true => {
            let view = handle.job(&job).await?;
            tell(&state(&view));
            watch::reminded(&contract, &view).await?.iter().for_each(|line| tell(line));
            view
        }
        false => watch::until_the_end(&handle, &contract, &job, tell).await?,
    };
    json.map_or(Ok(()), |file| write_json(&file, &view))?;
    match &view.ending {
        Some(ending) if !once && ending.outcome != Outcome::Finished => Err(CliError::ended(ending)),
        _ => Ok(()),
    }
}

async fn result(node: &NodeFile, job: JobId, json: Option<PathBuf>, model: Option<PathBuf>) -> CliResult {
    let outputs = node.known_outputs().writes("--json", json.as_deref());
    outputs.writes("--model", model.as_deref()).check()?;
    let (_, handle) = node.handle(is_stdout(json.as_deref())).await?;
    let report = handle.report(&job).await?;
    if let Some(file) = model {
        let model = report.model().ok_or("the model stays with the analyst, whose node has it")?;
        write_private_json(&file, model)?;
    }
    if !write_report(&report, json)? {
        report.lines().iter().for_each(|line| say!("{line}"));
    }
    Ok(())
}

/// Writes a report for machines, where that was asked for; whether standard output is taken by it.
fn write_report(report: &impl Serialize, file: Option<PathBuf>) -> CliResult<bool> {
    let Some(file) = file else { return Ok(false) };
    match is_stdout(Some(&file)) {
        true => write_json(&file, report).map(|()| true),
        false => write_private_json(&file, report).map(|()| false),
    }
}
