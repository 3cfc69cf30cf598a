//! The participants of an experiment: nodes on this machine.

use crate::error::{ExperimentError, Result, file_error, input};
use files::Access;
use gateway_client::{Call, Gateway};
use launcher::Network;
use node::{
    config::Config,
    consent::Minimum,
    store::Store,
    wait::{self, Wait},
    worker::report_path,
};
use records::{Deadlines, JobId, JobParams, MspId};
use serde::de::DeserializeOwned;
use std::{
    fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::process::{Child, Command};

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
    pub retry_timeout_secs: u64,
    /// How long they wait for each other in the jobs that are laid out for them.
    pub deadlines: Deadlines,
}

/// Organisations as a network names them, with their connection profiles.
///
/// # Errors
/// What is no MSP identifier.
pub fn named(organisations: Vec<(String, PathBuf)>) -> Result<Vec<(MspId, PathBuf)>> {
    organisations.into_iter().map(|(name, profile)| Ok((name.parse().map_err(input)?, profile))).collect()
}

/// Longest wait for a peer that lags or is gone, in seconds.
const PATIENCE_SECS: u64 = 600;

impl Participants {
    /// Nodes without data for the first organisations of a network: [`Participants::new`].
    ///
    /// # Errors
    /// As that.
    pub fn on(network: &Network, organisations: u32, dir: &Path, deadlines: Deadlines) -> Result<Self> {
        let organisations = named(network.organisations(organisations as usize))?;
        let (channel, chaincode) = (network.channel.clone(), network.chaincode.name.clone());
        let participants = Self::new(dir, organisations, channel, chaincode, PATIENCE_SECS)?;
        Ok(Self { deadlines, ..participants })
    }

    /// Nodes without data, in new folders under `dir`: enough to negotiate a key.
    ///
    /// # Errors
    /// A folder that is there already, or a file that cannot be written.
    pub fn new(
        dir: &Path,
        organisations: Vec<(MspId, PathBuf)>,
        channel: String,
        chaincode: String,
        retry_timeout_secs: u64,
    ) -> Result<Self> {
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
                retry_timeout_secs,
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
        Ok(Self { organisations, configs, channel, chaincode, retry_timeout_secs, deadlines })
    }

    /// The nodes of an earlier run, by the names of their folders under `dir`.
    ///
    /// # Errors
    /// A configuration that is not there or cannot be read.
    pub fn open(dir: &Path, names: &[MspId]) -> Result<Self> {
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
            retry_timeout_secs: first.retry_timeout_secs,
            configs,
            deadlines: Deadlines::EXPERIMENT,
        })
    }

    /// MSP identifiers of the organisations, by party.
    pub fn names(&self) -> Vec<MspId> {
        self.organisations.iter().map(|(msp_id, _)| msp_id.clone()).collect()
    }

    /// Changes a participant's configuration.
    pub(crate) fn configure(&self, party: usize, change: impl FnOnce(&mut Config)) -> Result<()> {
        let path = &self.configs[party];
        let mut config = Config::load(path).map_err(input)?;
        change(&mut config);
        files::write(path, config.to_toml().as_bytes(), Access::Owner).map_err(file_error(path))
    }

    /// Starts a participant's node as a child process by `program`, a command without arguments. It accepts the job, and stops
    /// when that has ended, when its standard input is closed, or when it is told to. Events come on its standard output, one
    /// JSON object a line; its log goes to `node.log`.
    ///
    /// # Errors
    /// A program that cannot be started.
    pub fn spawn_node(&self, program: impl Into<Command>, party: usize, job: &JobId) -> Result<Child> {
        let log = self.configs[party].with_file_name("node.log");
        let log_file = files::append(&log).map_err(file_error(&log))?;
        let mut command: Command = program.into();
        let program = PathBuf::from(command.as_std().get_program());
        command
            .args(["node", "--events", "--stop-with-stdin"])
            .args(["--accept", &job.to_string(), "--until", &job.to_string()])
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
    pub async fn propose(&self, params: &JobParams) -> Result<()> {
        self.propose_saying(params, |_| {}).await
    }

    /// The same; where it takes long, says what it waits for.
    ///
    /// # Errors
    /// As that.
    pub async fn propose_saying(&self, params: &JobParams, say: impl FnMut(&Wait)) -> Result<()> {
        let gateway = Gateway::from_profile(&self.organisations[0].1, None, node::ledger::options())?;
        let contract = gateway.network(&self.channel).contract(&self.chaincode);
        let json = serde_json::to_vec(params).expect("parameters hold only strings, integers and arrays");
        let limit = params.deadlines.map_or(120, |deadlines| deadlines.accept.min(deadlines.step).min(120));
        let retry_timeout = Duration::from_secs(self.retry_timeout_secs.min(limit.into()));
        match wait::submit(&contract, Call::new("propose").arg(json), retry_timeout, say).await {
            Ok(_) => Ok(()),
            Err(failure) => Err(ExperimentError::Propose(Box::new(failure))),
        }
    }

    /// Lets nodes that have not run yet read the ledger from its end on: what is proposed from now on is behind it. Where the
    /// ledger does not say how long it is, they read all of it.
    ///
    /// # Errors
    /// A configuration that cannot be read or written.
    pub async fn begin_at_the_end(&self) -> Result<()> {
        let configs = self.configs.iter().map(|path| Config::load(path).map_err(input));
        let configs: Vec<Config> = configs.collect::<Result<_, _>>()?;
        let is_new = |config: &Config| config.first_block == 0 && !Store::is_in(&config.data_dir);
        if !configs.iter().any(is_new) {
            return Ok(());
        }
        let gateway = Gateway::from_profile(&self.organisations[0].1, None, node::ledger::options())?;
        let Ok(height) = gateway.network(&self.channel).height().await else { return Ok(()) };
        let new = configs.iter().enumerate().filter(|(_, config)| is_new(config));
        new.map(|(party, _)| party)
            .try_for_each(|party| self.configure(party, |config| config.first_block = height))
    }

    /// What the nodes kept of a finished job, by party.
    ///
    /// # Errors
    /// A report that is missing or cannot be read.
    pub fn reports<T: DeserializeOwned>(&self, job: &JobId) -> Result<Vec<T>> {
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
