use crate::{
    deployment::{Deployment, Trained},
    error::{Result, file_error, system},
    experiment::{Experiment, TrainingOptions},
    key::{Key, KeySource},
    network::NetworkGuard,
    observer::observe,
    participants::Participants,
    progress::Progress,
};
use launcher::{Kind, Network};
use node::verify::Verification;
use records::{Deadlines, JobId};
use std::{
    path::{Path, PathBuf},
    time::Instant,
};
use tempfile::TempDir;

/// Runs experiments on this machine.
#[derive(Clone, Copy)]
pub struct Runner<'a> {
    /// The `confab` program, which is node, ledger and chaincode service.
    pub program: &'a Path,
    /// Who is shown how the work goes on.
    pub progress: &'a dyn Progress,
}

/// Where an experiment runs.
#[derive(Clone, Debug)]
pub struct Site {
    /// What keeps the ledger.
    pub ledger: Kind,
    /// The folder of its network; a temporary one unless given.
    pub dir: Option<PathBuf>,
    /// Who makes the threshold key of a training by columns.
    pub key: KeySource,
    /// How long the participants wait for each other.
    pub deadlines: Deadlines,
}

/// A ledger, nodes and a key: enough for any number of trainings by the same participants.
pub struct Session<'a> {
    /// The key.
    pub key: Key,
    participants: Participants,
    network: NetworkGuard<'a>,
    runner: Runner<'a>,
    /// Deleted after the network has stopped.
    _temporary: TempDir,
}

impl<'a> Runner<'a> {
    /// Starts what an experiment needs; with the folder of the participants, which must not be there yet, unless it is
    /// temporary.
    ///
    /// # Errors
    /// A ledger that cannot be started, a folder that cannot be written, or a negotiation that fails.
    pub async fn begin(
        &self,
        experiment: &Experiment,
        site: &Site,
        folder: Option<&Path>,
    ) -> Result<Session<'a>> {
        let temporary = temporary_folder()?;
        let dir = site.dir.clone().unwrap_or_else(|| temporary.path().join("ledger"));
        let network = self.borrow_network(site.ledger, &dir, experiment.organisations() as usize).await?;
        let folder = folder.map_or_else(|| temporary.path().join("participants"), Path::to_path_buf);
        let participants =
            Participants::on(&network.network, experiment.organisations(), &folder, site.deadlines)?;
        let key = self.key(experiment, site.key, &participants).await?;
        Ok(Session { key, participants, network, runner: *self, _temporary: temporary })
    }

    async fn key(
        &self,
        experiment: &Experiment,
        source: KeySource,
        participants: &Participants,
    ) -> Result<Key> {
        let TrainingOptions::Vertical { options, .. } = &experiment.training else {
            return Ok(Key::Analyst);
        };
        match source {
            KeySource::Dealer => {
                self.progress
                    .step("dealing a threshold key locally (this command holds the whole key meanwhile)");
                let experiment = experiment.clone();
                // Nothing is written in the background, where an interruption would leave key shares behind.
                tokio::task::spawn_blocking(move || experiment.deal()).await.map_err(system)?
            }
            KeySource::Participants(against) => {
                let generation = options.key_generation(experiment.holders, against);
                let bound = generation.collusion_bound(experiment.holders);
                let start = Instant::now();
                let reports = self.negotiate(participants, generation).await?;
                let fingerprint = reports[0].key;
                Ok(Key::Negotiated { fingerprint, seconds: start.elapsed().as_secs_f64(), bound })
            }
        }
    }
}

impl Session<'_> {
    /// One training, compared with its plaintext reference.
    ///
    /// # Errors
    /// What is wrong with table or parameters, or a job that fails.
    pub async fn train(&self, experiment: &Experiment) -> Result<(Deployment, Trained)> {
        self.train_saying(experiment, self.runner.progress).await
    }

    /// The same, and somebody else is shown how it goes on.
    pub(crate) async fn train_saying(
        &self,
        experiment: &Experiment,
        progress: &dyn Progress,
    ) -> Result<(Deployment, Trained)> {
        let deployment = experiment.deploy(&self.participants, &self.key)?;
        let start = Instant::now();
        let runner = Runner { program: self.runner.program, progress };
        runner.run_job(&self.participants, &deployment.params).await?;
        let total = start.elapsed().as_secs_f64();
        progress.step("comparing with the plaintext reference");
        let trained = deployment.outcome(self.ledger_kind(), total)?;
        Ok((deployment, trained))
    }

    /// Replays a job from the blocks as an observer.
    ///
    /// # Errors
    /// A ledger that cannot be read.
    pub async fn replay(&self, job: &JobId) -> Result<Verification> {
        self.replay_saying(job, self.runner.progress).await
    }

    /// The same, and somebody else is shown how it goes on.
    pub(crate) async fn replay_saying(&self, job: &JobId, progress: &dyn Progress) -> Result<Verification> {
        observe(self.network(), job, progress).await
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network.network
    }

    /// What keeps the ledger, as reports name it.
    pub(crate) fn ledger_kind(&self) -> &'static str {
        kind_name(self.network().kind)
    }
}

/// What keeps a ledger, as reports name it.
pub(crate) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Dev => "dev",
        Kind::Fabric => "fabric",
    }
}

/// A folder that is deleted when it is dropped.
pub(crate) fn temporary_folder() -> Result<TempDir> {
    tempfile::Builder::new().prefix("confab-").tempdir().map_err(file_error(&std::env::temp_dir()))
}
