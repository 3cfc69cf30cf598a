//! An experiment: one table is split by columns among participants, each of which runs as a node of its own with its
//! own files and key share, and what comes out is compared with training on the unsplit table.

use crate::{
    config::{Config, Data, Words},
    consent::Minimum,
    model::Model,
    store::Store,
    wait::{self, Wait},
    worker::{JobReport, report_path},
};
use dataset::{
    Label, generate,
    scaling::Scaling,
    split::{self, Division},
    table::{Classes, Columns, Missing, Overview, Row, Table, TableFile},
};
use files::Access;
use gateway_client::{Call, Gateway};
use paillier::KeyShare;
use records::{
    Bytes, CONTRACT_VERSION, ClassNames, Collusion, Deadlines, Fingerprint, JobId, JobParams, Judge,
    KeyGeneration, Kind, MspId, Publication, TRAINING, VERSION, VerticalSvm,
};
use serde::de::DeserializeOwned;
use std::{
    fmt::Write,
    fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use svm::{
    evaluation::{Preparation, Setting},
    vertical::Blinding,
};
use tokio::process::{Child, Command};

/// The table of an experiment, and what of it is kept for the test.
#[derive(Clone, Debug)]
pub struct Source {
    /// The table; its content is read once.
    pub data: TableFile,
    /// Which of its columns are what.
    pub columns: Columns,
    /// What is done about gaps.
    pub missing: Missing,
    /// Which rows are kept for the test.
    pub division: Division,
}

/// What is to be trained, on what, by how many.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The table.
    pub source: Source,
    /// How the columns are scaled.
    pub scale: Scaling,
    /// Everything else; `instances` is filled in.
    pub training: VerticalSvm,
    /// MSP identifiers with the connection profiles of the participants' organisations.
    pub organisations: Vec<(MspId, PathBuf)>,
    /// The channel.
    pub channel: String,
    /// The chaincode.
    pub chaincode: String,
    /// Longest wait for a peer that lags or is gone, in seconds.
    pub patience_secs: u64,
}

/// Why an experiment fails.
#[derive(Debug, thiserror::Error)]
pub enum ExperimentError {
    /// The table, the split or a parameter.
    #[error("{0}")]
    Input(String),
    /// A file of the experiment.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The ledger.
    #[error(transparent)]
    Gateway(#[from] gateway_client::Error),
    /// The proposal could not be submitted.
    #[error("proposing the job: {0}")]
    Propose(String),
    /// The job ended otherwise than planned.
    #[error("the job did not finish: {0}")]
    Unfinished(String),
}

pub(crate) fn input(e: impl std::fmt::Display) -> ExperimentError {
    ExperimentError::Input(e.to_string())
}

pub(crate) fn file_error(path: &Path) -> impl FnOnce(std::io::Error) -> ExperimentError + '_ {
    move |source| ExperimentError::File { path: path.display().to_string(), source }
}

/// Nodes on this machine: one for each participant, with a folder of its own.
#[derive(Clone, Debug)]
pub struct Participants {
    /// MSP identifiers with the connection profiles of their organisations, by party.
    pub organisations: Vec<(MspId, PathBuf)>,
    /// Node configuration files, by party.
    pub configs: Vec<PathBuf>,
    /// The channel.
    pub channel: String,
    /// The chaincode.
    pub chaincode: String,
    /// Longest wait for a peer that lags or is gone, in seconds.
    pub patience_secs: u64,
    /// How long they wait for each other in the jobs that are laid out for them.
    pub deadlines: Deadlines,
}

/// Organisations as a network names them, with their connection profiles.
///
/// # Errors
/// What is no MSP identifier.
pub fn named(organisations: Vec<(String, PathBuf)>) -> Result<Vec<(MspId, PathBuf)>, ExperimentError> {
    organisations.into_iter().map(|(name, profile)| Ok((name.parse().map_err(input)?, profile))).collect()
}

/// An experiment whose files are laid out: a folder for each participant.
#[derive(Debug)]
pub struct Prepared {
    /// Where everything lies.
    pub dir: PathBuf,
    /// The job to be proposed.
    pub params: JobParams,
    /// The unsplit table, divided and scaled.
    pub prepared: Preparation,
    /// Lines that were left out because of gaps.
    pub dropped: Vec<u64>,
    /// What the table holds.
    pub overview: Overview,
    /// Seconds that making the key took.
    pub key_seconds: f64,
    /// How the key was made, for people.
    pub key_origin: String,
    /// How many colluding members learned nothing of the key's factors when it was made; a dealer knows them.
    pub bound: u32,
    /// The nodes.
    pub participants: Participants,
}

/// Parameters of a job with a fresh nonce and the deadlines of organisations whose people answer; they are not checked.
///
/// # Errors
/// An operating system without randomness.
pub fn job_params(kind: Kind, participants: Vec<MspId>) -> Result<JobParams, ExperimentError> {
    let mut nonce = vec![0; 16];
    getrandom::fill(&mut nonce).map_err(input)?;
    Ok(JobParams {
        version: VERSION,
        contract: CONTRACT_VERSION.into(),
        participants,
        kind,
        nonce: Bytes(nonce),
        deadlines: Some(Deadlines::PEOPLE),
    })
}

/// The defaults of `confab train`.
///
/// # Errors
/// None but those of [`job_params`].
pub fn template(instances: u32, participants: Vec<MspId>) -> Result<JobParams, ExperimentError> {
    let decimal = |text: &str| text.parse().map_err(input);
    let training = VerticalSvm {
        judge: Judge::Blinded,
        instances,
        iterations: 24,
        batch: 64,
        learning_rate: decimal("0.00095")?,
        lambda: decimal("1")?,
        c: decimal("1")?,
        key: None,
        key_bits: 2048,
        insecure_key_bits: false,
        quorum: participants.len() as u32,
        margin_bits: 42,
        weak_blinding: false,
        model: Publication::Published,
        classes: None,
    };
    job_params(Kind::VerticalSvm(training), participants)
}

/// Parameters of a key generation for training, with as many candidates in a batch as pay.
pub fn key_generation(key_bits: u32, insecure: bool, quorum: u32, against: Collusion) -> KeyGeneration {
    KeyGeneration {
        purpose: TRAINING.into(),
        key_bits,
        insecure_key_bits: insecure,
        quorum,
        against,
        candidates: (key_bits / 4).clamp(64, 512),
    }
}

/// A threshold key as a dealer made it; the experiment's way.
pub struct DealtKey {
    shares: Vec<KeyShare>,
    /// Seconds that it took.
    seconds: f64,
}

impl Source {
    /// A generated table of so many patients, which is written to the file `table`.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn generated(table: &Path, rows: usize) -> Result<Self, ExperimentError> {
        fs::write(table, generate::patients(rows, 1)).map_err(file_error(table))?;
        Ok(Self {
            data: table.into(),
            columns: Columns {
                label: Some(generate::LABEL.into()),
                id: Some(generate::ID.into()),
                ..Columns::default()
            },
            missing: Missing::Drop,
            division: Division::Share { test_fraction: 0.2, seed: 1 },
        })
    }

    /// The table, the lines that were left out because of gaps, and what it holds.
    ///
    /// # Errors
    /// What is wrong with the table.
    pub fn table(&self) -> Result<(Table, Vec<u64>, Overview), ExperimentError> {
        let mut table = Table::of(&self.data, &self.columns).map_err(input)?;
        let overview = Overview::new(self.data.path(), &table);
        let dropped = match self.missing {
            Missing::Drop => table.drop_gaps().map_err(|e| self.wrong(e))?,
            Missing::Mean => Vec::new(),
        };
        let overview = overview.after_dropping(&table);
        Ok((table, dropped, overview))
    }

    /// Names the file in what is wrong with its rows.
    pub(crate) fn wrong(&self, e: impl std::fmt::Display) -> ExperimentError {
        input(format!("{}: {e}", self.data.path().display()))
    }
}

impl Plan {
    /// A training on a generated table of so many patients, which is written to the file `table`; the organisations'
    /// network is still to be named.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn generated(table: &Path, rows: usize, training: VerticalSvm) -> Result<Self, ExperimentError> {
        Ok(Self {
            source: Source::generated(table, rows)?,
            scale: Scaling::Std,
            training,
            organisations: Vec::new(),
            channel: String::new(),
            chaincode: String::new(),
            patience_secs: 600,
        })
    }

    /// Finds what is wrong with table and parameters before anything is started; what the table holds.
    ///
    /// # Errors
    /// As [`Plan::prepare`].
    pub fn check(&self, participants: u32) -> Result<Overview, ExperimentError> {
        let (table, _, overview) = self.source.table()?;
        self.preparation(&table, self.source.division, participants).map(|_| overview)
    }

    /// The same with a table that was read, divided in any way: what a training makes of it.
    ///
    /// # Errors
    /// What is wrong with table or parameters.
    pub fn preparation(
        &self,
        table: &Table,
        division: Division,
        participants: u32,
    ) -> Result<Preparation, ExperimentError> {
        let setting = Setting::by_columns(&self.training, self.scale);
        let prepared = setting.prepare(table, division, participants).map_err(|e| self.source.wrong(e))?;
        let names = (0..participants).filter_map(|party| party.to_string().parse().ok()).collect();
        self.params(&prepared, names)?.validate().map_err(input)?;
        if self.training.judge == Judge::Blinded {
            let training = &self.training;
            Blinding::new(training.key_bits, participants, training.margin_bits, training.weak_blinding)
                .map_err(input)?;
        }
        Ok(prepared)
    }

    fn params(&self, prepared: &Preparation, participants: Vec<MspId>) -> Result<JobParams, ExperimentError> {
        let instances = prepared.split.train.len() as u32;
        let classes = prepared.table.classes.as_ref().map(class_names);
        let training = VerticalSvm { instances, classes, ..self.training.clone() };
        job_params(Kind::VerticalSvm(training), participants)
    }

    /// Deals the key, which takes seconds.
    ///
    /// # Errors
    /// A size of the key that is not supported.
    pub fn deal(&self) -> Result<DealtKey, ExperimentError> {
        let start = Instant::now();
        let (n, bits) = (self.organisations.len() as u32, u64::from(self.training.key_bits));
        let (_, shares) =
            paillier::deal(n, self.training.quorum, bits, TRAINING, &mut crate::os_rng()).map_err(input)?;
        Ok(DealtKey { shares, seconds: start.elapsed().as_secs_f64() })
    }

    /// The participants' nodes: [`Participants::new`].
    ///
    /// # Errors
    /// As that.
    pub fn participants(&self, dir: &Path) -> Result<Participants, ExperimentError> {
        let (channel, chaincode) = (self.channel.clone(), self.chaincode.clone());
        Participants::new(dir, self.organisations.clone(), channel, chaincode, self.patience_secs)
    }

    /// Deals a key and lays the experiment out: [`Plan::participants`], [`Plan::deal`] and [`Plan::lay_out`].
    ///
    /// # Errors
    /// As all of them.
    pub fn prepare(&self, dir: &Path) -> Result<Prepared, ExperimentError> {
        let key = self.deal()?;
        self.lay_out(&self.participants(dir)?, &Key::Dealt(key))
    }

    /// Reads the table, splits it, and gives every participant its files and its configuration.
    ///
    /// # Errors
    /// What is wrong with table or parameters, or a file that cannot be written.
    pub fn lay_out(&self, participants: &Participants, key: &Key) -> Result<Prepared, ExperimentError> {
        let (table, dropped, overview) = self.source.table()?;
        let parties = self.organisations.len();
        let prepared = self.preparation(&table, self.source.division, parties as u32)?;
        let Preparation { table, split, .. } = &prepared;
        let blocks = split::deal(table.columns.len(), parties).map_err(input)?;
        let names = self.organisations.iter().map(|(msp_id, _)| msp_id.clone()).collect();
        let mut params = self.params(&prepared, names)?;
        if let Key::Negotiated { fingerprint, .. } = key {
            params.training_mut().key = Some(*fingerprint);
        }
        params.deadlines = Some(participants.deadlines);
        params.validate().map_err(input)?;
        for ((config, block), party) in participants.configs.iter().zip(blocks).zip(0..) {
            let data = config.with_file_name("data.csv");
            let text = participant_table(table, &split.train, block);
            files::write(&data, text.as_bytes(), Access::Owner).map_err(file_error(&data))?;
            let key_share = config.with_file_name("key-share.json");
            if let Key::Dealt(dealt) = key {
                let share: &KeyShare = &dealt.shares[party];
                // Of an earlier job of the same participants, with the same key.
                if !key_share.exists() {
                    share.write(&key_share).map_err(input)?;
                }
            }
            participants.configure(party, |config| {
                config.key_share = matches!(key, Key::Dealt(_)).then(|| key_share.clone());
                config.data = Some(participant_data(table, data, self.scale, self.source.missing));
            })?;
        }
        participants.accept(&params.id())?;
        let dir = participants.configs[0].parent().and_then(Path::parent).unwrap_or(Path::new("."));
        Ok(Prepared {
            dir: dir.to_path_buf(),
            params,
            prepared,
            dropped,
            overview,
            key_seconds: key.seconds(),
            key_origin: key.origin(),
            bound: key.bound(),
            participants: participants.clone(),
        })
    }
}

/// Where the key of an experiment comes from.
pub enum Key {
    /// From a dealer.
    Dealt(DealtKey),
    /// From a job of the same participants; every node has its share.
    Negotiated {
        /// Its fingerprint, hexadecimal.
        fingerprint: Fingerprint,
        /// Seconds that it took.
        seconds: f64,
        /// How many colluding members learned nothing of its factors.
        bound: u32,
    },
}

impl Key {
    /// Seconds that it took.
    pub fn seconds(&self) -> f64 {
        match self {
            Self::Dealt(dealt) => dealt.seconds,
            Self::Negotiated { seconds, .. } => *seconds,
        }
    }

    /// Who made it, for people.
    pub fn origin(&self) -> String {
        match self {
            Self::Dealt(_) => "dealt locally by this command, which held the whole key while it dealt".into(),
            Self::Negotiated { bound, .. } => {
                format!("negotiated; nobody held it whole, unless {} pooled what they saw", bound + 1)
            }
        }
    }

    /// How many colluding members learned nothing of its factors.
    fn bound(&self) -> u32 {
        match self {
            Self::Dealt(_) => 0,
            Self::Negotiated { bound, .. } => *bound,
        }
    }
}

impl Participants {
    /// Nodes without data, in new folders under `dir`: enough to negotiate a key.
    ///
    /// # Errors
    /// A folder that is there already, or a file that cannot be written.
    pub fn new(
        dir: &Path,
        organisations: Vec<(MspId, PathBuf)>,
        channel: String,
        chaincode: String,
        patience_secs: u64,
    ) -> Result<Self, ExperimentError> {
        // What an earlier run left belongs to another ledger.
        let folder = |path: &Path| fs::DirBuilder::new().mode(0o700).create(path).map_err(file_error(path));
        folder(dir)?;
        let mut configs = Vec::new();
        for (msp_id, profile) in &organisations {
            let own = dir.join(msp_id.as_str());
            folder(&own)?;
            let config = Config {
                data_dir: "state".into(),
                connection_profile: fs::canonicalize(profile).map_err(file_error(profile))?,
                channel: channel.clone(),
                chaincode: chaincode.clone(),
                patience_secs,
                identity: None,
                key_share: None,
                data: None,
                predictions: None,
                minimum: Minimum::none(),
                first_block: 0,
                accept: Vec::new(),
            };
            let path = own.join("node.toml");
            files::write(&path, config.to_toml().as_bytes(), Access::Owner).map_err(file_error(&path))?;
            configs.push(path);
        }
        let deadlines = Deadlines::EXPERIMENT;
        Ok(Self { organisations, configs, channel, chaincode, patience_secs, deadlines })
    }

    /// The nodes of an earlier run, by the names of their folders under `dir`.
    ///
    /// # Errors
    /// A configuration that is not there or cannot be read.
    pub fn open(dir: &Path, names: &[MspId]) -> Result<Self, ExperimentError> {
        let configs: Vec<PathBuf> =
            names.iter().map(|name| dir.join(name.as_str()).join("node.toml")).collect();
        let read: Vec<Config> =
            configs.iter().map(|path| Config::load(path)).collect::<Result<_, _>>().map_err(input)?;
        let first = read.first().ok_or_else(|| input("no participants"))?;
        Ok(Self {
            organisations: names
                .iter()
                .cloned()
                .zip(read.iter().map(|config| config.connection_profile.clone()))
                .collect(),
            channel: first.channel.clone(),
            chaincode: first.chaincode.clone(),
            patience_secs: first.patience_secs,
            configs,
            deadlines: Deadlines::EXPERIMENT,
        })
    }

    /// Changes a participant's configuration.
    pub(crate) fn configure(
        &self,
        party: usize,
        change: impl FnOnce(&mut Config),
    ) -> Result<(), ExperimentError> {
        let path = &self.configs[party];
        let mut config = Config::load(path).map_err(input)?;
        change(&mut config);
        files::write(path, config.to_toml().as_bytes(), Access::Owner).map_err(file_error(path))
    }

    /// Lets all nodes accept a job, and no other.
    ///
    /// # Errors
    /// A configuration that cannot be read or written.
    pub fn accept(&self, job: &JobId) -> Result<(), ExperimentError> {
        (0..self.configs.len())
            .try_for_each(|party| self.configure(party, |config| config.accept = vec![job.to_string()]))
    }

    /// Starts a participant's node as a child process by `program`, a command without arguments, which stops when the job has ended, when its
    /// standard input is closed, or when it is told to. Events come on its standard output, one JSON object a line; its
    /// log goes to `node.log`.
    ///
    /// # Errors
    /// A program that cannot be started.
    pub fn spawn_node(
        &self,
        program: impl Into<Command>,
        party: usize,
        job: &JobId,
    ) -> Result<Child, ExperimentError> {
        let log = self.configs[party].with_file_name("node.log");
        let log_file = files::append(&log).map_err(file_error(&log))?;
        let mut command: Command = program.into();
        let program = PathBuf::from(command.as_std().get_program());
        command
            .args(["node", "--events", "--stop-with-stdin", "--until"])
            .arg(job.to_string())
            .arg("--config")
            .arg(&self.configs[party])
            // Their keys have none.
            .env_remove("CONFAB_PASSPHRASE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .kill_on_drop(true)
            .spawn()
            .map_err(file_error(&program))
    }

    /// Proposes a job in the name of the first participant.
    ///
    /// # Errors
    /// A ledger that cannot be reached or refuses.
    pub async fn propose(&self, params: &JobParams) -> Result<(), ExperimentError> {
        self.propose_saying(params, |_| {}).await
    }

    /// The same; where it takes long, says what it waits for.
    ///
    /// # Errors
    /// As that.
    pub async fn propose_saying(
        &self,
        params: &JobParams,
        say: impl FnMut(&Wait),
    ) -> Result<(), ExperimentError> {
        let gateway = Gateway::from_profile(&self.organisations[0].1, None, crate::ledger::options())?;
        let contract = gateway.network(&self.channel).contract(&self.chaincode);
        let json = serde_json::to_vec(params).expect("parameters hold only strings, integers and arrays");
        let limit = params.deadlines.map_or(120, |deadlines| deadlines.accept.min(deadlines.step).min(120));
        let patience = Duration::from_secs(self.patience_secs.min(limit.into()));
        match wait::submit(&contract, Call::new("propose").arg(json), patience, say).await {
            Ok(_) => Ok(()),
            Err(failure) => Err(ExperimentError::Propose(failure.to_string())),
        }
    }

    /// Lets nodes that have not run yet read the ledger from its end on: what is proposed from now on is behind it. Where the
    /// ledger does not say how long it is, they read all of it.
    ///
    /// # Errors
    /// A configuration that cannot be read or written.
    pub async fn begin_at_the_end(&self) -> Result<(), ExperimentError> {
        let configs = self.configs.iter().map(|path| Config::load(path).map_err(input));
        let configs: Vec<Config> = configs.collect::<Result<_, _>>()?;
        let is_new = |config: &Config| config.first_block == 0 && !Store::is_in(&config.data_dir);
        if !configs.iter().any(is_new) {
            return Ok(());
        }
        let gateway = Gateway::from_profile(&self.organisations[0].1, None, crate::ledger::options())?;
        let Ok(height) = gateway.network(&self.channel).height().await else { return Ok(()) };
        let new = configs.iter().enumerate().filter(|(_, config)| is_new(config));
        new.map(|(party, _)| party)
            .try_for_each(|party| self.configure(party, |config| config.first_block = height))
    }

    /// What the nodes kept of a finished job, by party.
    ///
    /// # Errors
    /// A report that is missing or cannot be read.
    pub fn reports<T: DeserializeOwned>(&self, job: &JobId) -> Result<Vec<T>, ExperimentError> {
        self.configs
            .iter()
            .map(|config| {
                let config = Config::load(config).map_err(input)?;
                let path = report_path(&config, job);
                let bytes = fs::read(&path).map_err(file_error(&path))?;
                serde_json::from_slice(&bytes).map_err(|e| input(format!("{}: {e}", path.display())))
            })
            .collect()
    }
}

/// The training rows with some of the columns, as a participant would have them: in the words of the table.
pub(crate) fn participant_table(table: &Table, rows: &[usize], columns: std::ops::Range<usize>) -> String {
    let (id, classes) = (id_column(table), classes(table));
    let words = [classes.negative_name(), classes.positive_name()].map(|word| quoted(&word));
    let rows = rows.iter().enumerate().map(|(index, &row)| {
        let row = &table.rows[row];
        let word = &words[usize::from(row.label == Some(Label::Positive))];
        (format!("r{index:08},{word}"), row)
    });
    csv_text(&format!("{id},{}", quoted(&classes.column)), table, columns, rows)
}

/// How a participant reads its table of an experiment.
pub(crate) fn participant_data(table: &Table, file: PathBuf, scale: Scaling, missing: Missing) -> Data {
    let classes = classes(table);
    Data {
        file,
        id: Some(id_column(table)),
        label: classes.column.clone(),
        positive: Some(Words::Values(vec![classes.positive_name()])),
        negative: Some(Words::Values(vec![classes.negative_name()])),
        na: None,
        header: Some(true),
        decimal_comma: false,
        scale,
        fill_missing: missing == Missing::Mean,
    }
}

/// The classes of a table as a job names them.
pub fn class_names(classes: &Classes) -> ClassNames {
    ClassNames { positive: classes.positive_name(), negative: classes.negative_name() }
}

fn classes(table: &Table) -> &Classes {
    table.classes.as_ref().expect("a table without labels is not prepared")
}

/// A name for a column of identifiers that no column has. It is no number, so that the header shows as one.
pub(crate) fn id_column(table: &Table) -> String {
    let is_taken = |name: &str| {
        let label = table.classes.as_ref().map(|classes| &classes.column);
        table.columns.iter().chain(label).any(|column| column.trim() == name)
    };
    let mut name = "id".to_string();
    while is_taken(&name) {
        name.push('_');
    }
    name
}

/// A table's header and rows with some of its columns, behind cells that come with each.
pub(crate) fn csv_text<'a>(
    first: &str,
    table: &Table,
    columns: std::ops::Range<usize>,
    rows: impl Iterator<Item = (String, &'a Row)>,
) -> String {
    let mut text = first.to_owned();
    for name in &table.columns[columns.clone()] {
        let _ = write!(text, ",{}", quoted(name));
    }
    text.push('\n');
    for (cells, row) in rows {
        text.push_str(&cells);
        for value in &row.values[columns.clone()] {
            let _ = match value {
                Some(value) => write!(text, ",{value}"),
                None => write!(text, ",?"),
            };
        }
        text.push('\n');
    }
    text
}

/// Any text as a cell.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

impl Prepared {
    /// Node configuration files, by party.
    pub fn configs(&self) -> &[PathBuf] {
        &self.participants.configs
    }

    /// What the nodes kept of the finished job, by party.
    ///
    /// # Errors
    /// A report that is missing or cannot be read.
    pub fn reports(&self) -> Result<Vec<JobReport>, ExperimentError> {
        self.participants.reports(&self.params.id())
    }

    /// The whole model, put together from what the participants kept.
    ///
    /// # Panics
    /// When the table has no labels, with which it could not have been prepared.
    pub fn model(&self, reports: &[JobReport]) -> Model {
        let classes = classes(&self.prepared.table);
        let parts = reports.iter().flat_map(|report| report.model.parts.clone()).collect();
        Model {
            version: VERSION,
            positive: classes.positive_name(),
            negative: classes.negative_name(),
            job: Some(self.params.id()),
            holders: self.params.participants.clone(),
            parts,
        }
    }
}
