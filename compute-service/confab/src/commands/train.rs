use super::{
    Done, ledger,
    nodes::{negotiate, run_job},
    rows,
    training::{DataArgs, DeadlineArgs, KeyArg, KeyArgs, PartitionArg, ScheduleArgs, TrainingArgs},
    verify,
};
use crate::{
    output::{Steps, is_stdout, outputs, write_json, write_private_json},
    shutdown,
};
use clap::{Args, ValueEnum};
use dataset::{
    generate,
    metrics::Metrics,
    scaling::Scaling,
    split::Division,
    table::{Columns, Missing, Overview},
};
use launcher::{Kind, Network, Options};
use node::{
    experiment::{Key, Participants, Plan, Prepared, Source},
    report::{LedgerReport, Report},
    rows::RowsPlan,
    worker::JobReport,
};
use records::{Deadlines, JobId, VerticalSvm};
use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    time::Instant,
};

/// Trains on a table that is split by columns, for the experiment, among participants that show each other nothing.
///
/// Every participant is a node of its own with its own key share, on the development ledger or on a real Fabric network
/// of this machine. Afterwards the secure run is compared, indicator by indicator, with the plaintext reference on the
/// unsplit table. The participants negotiate the threshold key before, so that nobody ever holds it whole.
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

/// Who trains, and where, in every command that runs an experiment.
#[derive(Args, Clone)]
pub struct RunArgs {
    /// Which ledger.
    #[arg(long, value_enum, default_value = "dev")]
    ledger: LedgerArg,
    /// The folder of a network on this machine. One that runs is used and left running; else it is started there and
    /// stopped afterwards. A temporary one unless given.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Number of participants; an organisation each.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..=64))]
    pub participants: u32,
    #[command(flatten)]
    pub training: TrainingArgs,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    deadlines: DeadlineArgs,
    /// How columns are scaled, by each participant alone: mean 0 and deviation 1, to [-1, 1], or not at all.
    #[arg(long, value_enum, default_value = "std")]
    scale: ScaleArg,
    /// Decides which rows are kept for the test.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Replay the job as an observer afterwards (`confab verify`).
    #[arg(long)]
    pub verify: bool,
    /// Write the report as JSON, `-` for standard output.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
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

/// What keeps the ledger.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LedgerArg {
    /// The embedded development ledger.
    Dev,
    /// Hyperledger Fabric.
    Fabric,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ScaleArg {
    Std,
    Unit,
    None,
}

/// Rows of the generated table.
const DEMO_ROWS: usize = 400;

pub async fn demo(args: DemoArgs) -> Done {
    args.run.check_outputs(&args.single, args.data.as_deref())?;
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
    let run = RunArgs { verify: true, ..args.run };
    let source = Source {
        data: data.into(),
        columns: Columns { label: Some(label), id, ..Columns::default() },
        missing: Missing::Drop,
        division: args.single.division(run.seed),
    };
    let training = run.training.parameters(0, iterations, batch, run.participants);
    by_columns(source, training, run, &args.single).await
}

pub async fn train(args: TrainArgs) -> Done {
    let TrainArgs { data, run, single, schedule } = args;
    run.check(&schedule)?;
    run.check_outputs(&single, Some(&data.data))?;
    let source = data.source(single.division(run.seed));
    match schedule.partition {
        PartitionArg::Columns => {
            let training = schedule.by_columns(&run.training, run.participants);
            by_columns(source, training, run, &single).await
        }
        PartitionArg::Rows => {
            let (training, c) = schedule.by_rows(&run.training);
            rows::train(&RowsPlan { source, c, training }, &run, &single).await
        }
    }
}

async fn by_columns(source: Source, training: VerticalSvm, run: RunArgs, single: &SingleArgs) -> Done {
    let json = run.json.clone();
    let steps = Steps::new();
    let plan = run.plan(source, training);
    let done = tokio::select! {
        done = conduct(plan, &run, single, &steps) => done,
        () = shutdown::requested() => Err("interrupted; nodes and ledger were stopped".into()),
    };
    steps.clear();
    let (report, verified) = done?;
    if !is_stdout(json.as_deref()) {
        show(&report, verified);
    }
    if let Some(path) = json {
        write_json(&path, &report)?;
    }
    if !(report.identical_indicators && report.identical_predictions) {
        return Err("the secure run differs from the plaintext reference; this is a defect of Confab".into());
    }
    match verified {
        Some(false) => Err("the observer's replay found defects".into()),
        _ => Ok(()),
    }
}

/// Longest wait for a peer that lags or is gone, in seconds.
pub const PATIENCE_SECS: u64 = 600;

impl RunArgs {
    /// Refuses options of the other partition.
    pub fn check(&self, schedule: &ScheduleArgs) -> Done {
        schedule.check(&self.training, self.scale != ScaleArg::Std)
    }

    /// Checks what a training is going to write.
    fn check_outputs(&self, single: &SingleArgs, table: Option<&Path>) -> Done {
        single.out.as_deref().map_or(Ok(()), is_new_run)?;
        let outputs = table.into_iter().fold(outputs(), |outputs, table| outputs.reads(table));
        let outputs = outputs.fills("--out", single.out.as_deref(), &["model.json", "report.json"]);
        Ok(outputs.writes("--json", self.json.as_deref()).check()?)
    }

    /// A training by columns; who takes part is still to be said.
    pub fn plan(&self, source: Source, training: VerticalSvm) -> Plan {
        Plan {
            source,
            scale: match self.scale {
                ScaleArg::Std => Scaling::Std,
                ScaleArg::Unit => Scaling::Unit,
                ScaleArg::None => Scaling::None,
            },
            training,
            organisations: Vec::new(),
            channel: String::new(),
            chaincode: String::new(),
            patience_secs: PATIENCE_SECS,
        }
    }

    /// The participants' nodes, in a new folder, for a training by columns, with a threshold key of theirs. The plan is told
    /// who they are.
    pub async fn members(
        &self,
        plan: &mut Plan,
        network: &Network,
        folder: &Path,
        steps: &Steps,
    ) -> Done<(Participants, Key)> {
        plan.organisations = node::experiment::named(network.organisations(self.participants as usize))?;
        plan.channel = network.channel.clone();
        plan.chaincode = network.chaincode.name.clone();
        let nodes = Participants { deadlines: self.deadlines(), ..plan.participants(folder)? };
        let key = match self.key.key {
            KeyArg::Deal => {
                steps.step("dealing a threshold key locally (this command holds the whole key meanwhile)");
                let plan = plan.clone();
                // Nothing is written in the background, where an interruption would leave key shares behind.
                Key::Dealt(tokio::task::spawn_blocking(move || plan.deal()).await??)
            }
            KeyArg::Negotiate => {
                let generation = self.key.generation(&plan.training, self.participants);
                let bound = generation.collusion_bound(self.participants);
                let start = Instant::now();
                let reports = negotiate(&nodes, generation, steps).await?;
                let fingerprint = reports[0].key;
                Key::Negotiated { fingerprint, seconds: start.elapsed().as_secs_f64(), bound }
            }
        };
        Ok((nodes, key))
    }

    /// How long the participants wait for each other.
    pub fn deadlines(&self) -> Deadlines {
        self.deadlines.or(Deadlines::EXPERIMENT)
    }

    /// The network of this run, of so many organisations.
    pub async fn network(&self, temporary: &Path, orgs: usize, steps: &Steps) -> Done<Borrowed> {
        let dir = self.dir.clone().unwrap_or_else(|| temporary.join("ledger"));
        borrow_network(self.ledger.kind(), &dir, orgs, steps).await
    }

    /// Replays the job where that was asked for; whether all is well.
    pub async fn replay(&self, network: &Network, job: &JobId, steps: &Steps) -> Done<Option<bool>> {
        if !self.verify {
            return Ok(None);
        }
        verify::observe(network, job, steps).await.map(Some)
    }
}

impl SingleArgs {
    fn division(&self, seed: u64) -> Division {
        Division::Share { test_fraction: self.test_fraction, seed }
    }

    /// The folder for what the run makes, and that of the participants in it, which must not be there yet.
    pub fn folders(&self, temporary: &Path) -> Done<(PathBuf, PathBuf)> {
        let work = match &self.out {
            Some(out) => {
                std::fs::create_dir_all(out).map_err(|e| format!("cannot make {}: {e}", out.display()))?;
                std::fs::canonicalize(out)?
            }
            None => temporary.to_path_buf(),
        };
        is_new_run(&work)?;
        let participants = work.join("participants");
        Ok((work, participants))
    }
}

/// Refuses a folder with the participants of an earlier run, who belong to another ledger.
fn is_new_run(out: &Path) -> Done {
    let participants = out.join("participants");
    match participants.exists() {
        true => {
            let shown = participants.display();
            Err(format!("{shown} is there from an earlier run: remove it, or name another --out").into())
        }
        false => Ok(()),
    }
}

impl LedgerArg {
    /// As the launcher has it.
    pub fn kind(self) -> Kind {
        match self {
            Self::Dev => Kind::Dev,
            Self::Fabric => Kind::Fabric,
        }
    }
}

/// A network that is stopped again when this is dropped, if it was started here and nobody else uses it meanwhile.
pub struct Borrowed {
    /// The network.
    pub network: Network,
    started: bool,
    /// Locked, shared, by everybody who uses the network.
    users: File,
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if !self.started {
            return;
        }
        let dir = &self.network.dir;
        if let Err(TryLockError::WouldBlock) = self.users.try_lock() {
            let stop = match self.network.kind {
                Kind::Dev => "ledger stop",
                Kind::Fabric => "network down",
            };
            let dir = dir.display();
            tell!(
                "another run uses the ledger in {dir}: it is left running; `confab {stop} --dir {dir}` stops it"
            );
        } else if let Err(e) = launcher::down(dir, false) {
            tracing::error!("stopping the ledger: {e}");
        }
    }
}

/// Makes this process a user of the network in a folder; waits while somebody stops it.
fn use_network(dir: &Path) -> Done<File> {
    let path = dir.join("run/users");
    let users = File::options().create(true).append(true).open(&path);
    Ok(users
        .and_then(|file| file.lock_shared().map(|()| file))
        .map_err(|e| format!("{}: {e}", path.display()))?)
}

/// The network that runs in a folder, or one that is started there.
pub async fn borrow_network(kind: Kind, dir: &Path, orgs: usize, steps: &Steps) -> Done<Borrowed> {
    let users = match Network::load(dir) {
        Ok(_) => Some(use_network(dir)?),
        Err(_) => None,
    };
    if let Some(users) = users
        && let Ok(status) = launcher::status(dir).await
        && status.is_healthy()
    {
        let network = status.network;
        if network.kind != kind {
            return Err(
                format!("{} holds a network of the other kind; name another --dir", dir.display()).into()
            );
        }
        if network.orgs.len() < orgs {
            let has = network.orgs.len();
            return Err(format!("{} has {has} organisations, {orgs} are needed", dir.display()).into());
        }
        return Ok(Borrowed { network, started: false, users });
    }
    let network = match kind {
        Kind::Dev => ledger::start(dir, orgs, ledger::Choices::default(), steps).await?,
        Kind::Fabric => {
            let options = Options::new(dir, orgs, super::chaincode_command()?);
            launcher::fabric::up(&options, &mut |step| steps.step(step)).await?
        }
    };
    let users = use_network(dir)?;
    Ok(Borrowed { network, started: true, users })
}

async fn conduct(
    mut plan: Plan,
    run: &RunArgs,
    single: &SingleArgs,
    steps: &Steps,
) -> Done<(Report, Option<bool>)> {
    let temporary = tempfile::Builder::new().prefix("confab-").tempdir()?;
    // What is wrong with the input shows before anything is started.
    tell_table(&plan.check(run.participants)?);
    let (work, folder) = single.folders(temporary.path())?;
    let borrowed = run.network(temporary.path(), run.participants as usize, steps).await?;
    let network = &borrowed.network;
    let (nodes, key) = run.members(&mut plan, network, &folder, steps).await?;
    let (prepared, reports, report) = run_plan(&plan, &nodes, &key, network.kind, steps).await?;
    if single.out.is_some() {
        write_private_json(&work.join("model.json"), &prepared.model(&reports))?;
        write_private_json(&work.join("report.json"), &report)?;
    }
    let verified = run.replay(network, &prepared.params.id(), steps).await?;
    Ok((report, verified))
}

/// One training by columns, by nodes that have a key, compared with the reference.
pub async fn run_plan(
    plan: &Plan,
    nodes: &Participants,
    key: &Key,
    kind: Kind,
    steps: &Steps,
) -> Done<(Prepared, Vec<JobReport>, Report)> {
    let prepared = plan.lay_out(nodes, key)?;
    let start = Instant::now();
    run_job(&prepared.participants, &prepared.params, steps).await?;
    let total = start.elapsed().as_secs_f64();
    let reports = prepared.reports()?;
    steps.step("comparing with the plaintext reference");
    let report = Report::new(&prepared, &reports, kind_name(kind), total)?;
    Ok((prepared, reports, report))
}

/// What was read, before it is used.
pub fn tell_table(table: &Overview) {
    table.lines().iter().for_each(|(about, text)| tell!("{about:<8} {text}"));
}

/// What went over the ledger.
pub fn show_ledger(ledger: &LedgerReport) {
    say!(
        "ledger        {}: {} transactions, {:.1} MB of records, {} retries",
        ledger.kind,
        ledger.transactions,
        ledger.bytes as f64 / 1e6,
        ledger.retries.total()
    );
}

/// Columns that nobody trained on.
pub fn show_left_out(columns: &[String]) {
    if !columns.is_empty() {
        say!("              without a value in any training row, and left out: {}", columns.join(", "));
    }
}

/// What an experiment measures its models on.
pub const ON_TEST: &str = "on the test instances";

/// A line of measures for each model, by name, under a title.
pub fn show_metrics(title: &str, models: &[(&str, &Metrics)]) {
    say!("{title:<24} {:>9} {:>9} {:>9} {:>9}", "accuracy", "precision", "recall", "F1");
    for (name, metrics) in models {
        let m = &metrics.scores;
        say!("{name:<24} {:>9.4} {:>9.4} {:>9.4} {:>9.4}", m.accuracy, m.precision, m.recall, m.f1);
    }
}

/// In reports.
pub fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Dev => "dev",
        Kind::Fabric => "fabric",
    }
}

fn show(report: &Report, verified: Option<bool>) {
    let r = report;
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
