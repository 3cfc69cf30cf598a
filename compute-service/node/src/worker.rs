//! A job on a node: its driver's thread, the posting of what the driver makes, and the report at the end.

use crate::{
    config::Config,
    data, directory,
    driver::{Driver, DriverError, Finished, Input, Request, Seconds, Trouble},
    facts::Fact,
    keyring::Keyring,
    model::{Model, Part},
    poster::Poster,
    predictions::{self, Asked},
    run::Event,
    store::{Ended as EndedJob, Kept, Store, StoreError},
};
use files::Access;
use gateway_client::{Contract, Retries};
use key_generation::{Generation, Output, Private, Refresh};
use paillier::KeyShare;
use protocol::{Fault, JobSecret, Protocol, Role};
use records::{
    Bytes, Ending, HorizontalSvm as RowsTraining, Job, JobId, Kind, Outcome, Publication, VerticalPredict,
};
use serde::{Deserialize, Serialize};
use std::{
    panic::AssertUnwindSafe,
    path::PathBuf,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};
use svm::{
    Label,
    horizontal::HorizontalSvm,
    table::Overview,
    vertical::{Prediction, VerticalSvm},
};
use tokio::sync::mpsc::UnboundedSender;

/// Transactions of a node for one job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Transactions that were committed.
    pub transactions: u64,
    /// Bytes of their records on the ledger.
    pub bytes: u64,
    /// What had to be tried again.
    pub retries: Retries,
}

/// What a node keeps of a finished job: `jobs/<job>.json` in its data directory, mode 0600.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JobReport {
    /// The job.
    pub job: Job,
    /// The node's party index.
    pub party: u32,
    /// How it ended.
    pub ending: Ending,
    /// What the own table holds; of reports that are older than this field nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<Overview>,
    /// Indicators by iteration.
    pub indicators: Vec<Vec<bool>>,
    /// Instances by iteration; positions in the order of the sorted identifiers.
    pub schedule: Vec<Vec<u32>>,
    /// The model as far as the participant knows it: its own part.
    pub model: Model,
    /// Everybody's weights at scale 2^24 where the model was published.
    pub published: Option<Vec<Vec<i64>>>,
    /// The digests of everybody's parts of the model, by party; hexadecimal.
    #[serde(default)]
    pub digests: Vec<String>,
    /// What opens the digest of the own part, where the model stayed split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<Bytes>,
    /// Work.
    pub seconds: Seconds,
    /// Seconds from acceptance to the end, since the node was started.
    pub elapsed: f64,
    /// Ledger traffic.
    pub traffic: Traffic,
}

/// What a node keeps of a finished job that made a key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeyReport {
    /// The job.
    pub job: Job,
    /// The node's party index.
    pub party: u32,
    /// How it ended.
    pub ending: Ending,
    /// Fingerprint of the key, hexadecimal.
    pub key: String,
    /// Where the own share lies; an old member who leaves has none.
    pub share: Option<PathBuf>,
    /// Candidates for N that were opened.
    pub candidates: u64,
    /// Work.
    pub seconds: Seconds,
    /// Seconds from acceptance to the end, since the node was started.
    pub elapsed: f64,
    /// Ledger traffic.
    pub traffic: Traffic,
}

/// What a node keeps of finished predictions with a model that stayed split.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PredictReport {
    /// The job.
    pub job: Job,
    /// The node's party index.
    pub party: u32,
    /// How it ended.
    pub ending: Ending,
    /// What the file of the new rows holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<Overview>,
    /// Identifiers and classes, in the words of the training table.
    pub classes: Vec<(String, String)>,
    /// What others learned, in words.
    pub reveals: Vec<String>,
    /// Work.
    pub seconds: Seconds,
    /// Seconds from acceptance to the end, since the node was started.
    pub elapsed: f64,
    /// Ledger traffic.
    pub traffic: Traffic,
}

/// What a node keeps of a finished training by rows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RowsReport {
    /// The job.
    pub job: Job,
    /// The node's party index.
    pub party: u32,
    /// How it ended.
    pub ending: Ending,
    /// What a provider's own table holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<Overview>,
    /// Updates of the model that were made.
    pub iterations: u32,
    /// The joint seed of the batches, hexadecimal, where an iteration does not visit all rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<String>,
    /// Seconds of secure polynomial multiplication (table 4.4 of the book), since the node was started.
    pub multiplication: f64,
    /// Seconds of secure comparison.
    pub comparison: f64,
    /// The model, at the analyst, and at everybody where it was published.
    pub model: Option<Model>,
    /// Work.
    pub seconds: Seconds,
    /// Seconds from acceptance to the end, since the node was started.
    pub elapsed: f64,
    /// Ledger traffic.
    pub traffic: Traffic,
    /// Most memory that the node's process has held so far, in bytes, where the system says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory: Option<u64>,
}

/// Most memory that this process has held so far, in bytes; Linux says so.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

impl JobReport {
    /// The participant's own part of the model.
    pub fn part(&self) -> &Part {
        &self.model.parts[0]
    }
}

/// Where a node keeps the report of a job.
pub fn report_path(config: &Config, job: &JobId) -> PathBuf {
    config.data_dir.join("jobs").join(format!("{job}.json"))
}

/// Everything that one job needs beside its driver.
pub(crate) struct Worker {
    job: Job,
    party: u32,
    config: Arc<Config>,
    store: Arc<Store>,
    events: UnboundedSender<Event>,
    poster: Arc<Poster>,
}

impl Worker {
    /// Starts the driver of an accepted job on a thread of its own; facts about the job go to the sender that comes
    /// back. The poster knows what the job waits for here.
    pub(crate) fn start(
        job: Job,
        me: &str,
        config: &Arc<Config>,
        store: &Arc<Store>,
        contract: &Contract,
        events: &UnboundedSender<Event>,
    ) -> (mpsc::Sender<Input>, Arc<Poster>) {
        let (inputs, on_input) = mpsc::channel();
        let party = job.params.party(me).expect("only jobs that name this organisation are kept");
        let patience = Duration::from_secs(config.patience_secs);
        let poster = Poster::new(job.clone(), contract.clone(), inputs.clone(), Arc::default(), patience);
        let poster = Arc::new(poster);
        let (config, store, events) = (config.clone(), store.clone(), events.clone());
        let worker = Self { job, party, config, store, events, poster: poster.clone() };
        std::thread::spawn(move || worker.run_caught(&on_input));
        (inputs, poster)
    }

    /// Runs the job; a defect of ours ends this job on this node, not the node, and not without a word.
    fn run_caught(self, inputs: &mpsc::Receiver<Input>) {
        let (job, events) = (self.job.id.clone(), self.events.clone());
        if std::panic::catch_unwind(AssertUnwindSafe(|| self.run(inputs))).is_err() {
            let reason = "an internal error, see the log; please report it".into();
            let _ = events.send(Event::Broken { job, reason });
        }
    }

    fn run(self, inputs: &mpsc::Receiver<Input>) {
        let start = Instant::now();
        let job = self.job.id.clone();
        let done = match &self.job.params.kind {
            Kind::VerticalSvm(_) => self.train(inputs, start),
            Kind::VerticalPredict(predict) => self.predict(inputs, start, predict),
            Kind::HorizontalSvm(training) => self.train_rows(inputs, start, training),
            Kind::KeyGeneration(_) => self.make_key::<Generation>(inputs, start),
            Kind::KeyRefresh(_) => self.make_key::<Refresh>(inputs, start),
        };
        match done {
            Ok((ending, report)) => {
                let path = report.and_then(|json| {
                    let path = report_path(&self.config, &job);
                    match files::write(&path, &json, Access::Owner) {
                        Ok(()) => Some(path),
                        Err(e) => {
                            tracing::error!(
                                "cannot write {}: {e}. Mend that and start the node again: it makes the report then",
                                path.display()
                            );
                            None
                        }
                    }
                });
                // With the secret and the ledger a share that was deleted could be made again, and what was masked be read.
                if (path.is_some() || ending.outcome != Outcome::Finished)
                    && let Err(e) = forget(&self.config, &self.store, &self.job, &ending)
                {
                    tracing::error!(?job, "the job's secret and records are still there: {e}");
                }
                let _ = self.events.send(Event::Ended { job, ending, report: path });
            }
            Err(DriverError::Stopped) => tracing::info!(?job, "{}", DriverError::Stopped),
            Err(e) => {
                let _ = self.events.send(Event::Broken { job, reason: e.to_string() });
            }
        }
    }

    /// Runs the driver of a protocol until the job has ended.
    fn drive<P: Protocol>(
        &self,
        inputs: &mpsc::Receiver<Input>,
        private: Arc<P::Private>,
    ) -> Result<Finished<P::Output>, DriverError> {
        let (job, store) = (self.job.clone(), self.store.clone());
        let driver = Driver::<P> { job, party: self.party, private, store };
        let report = |progress: &_| {
            let _ = self
                .events
                .send(Event::Progress { job: self.job.id.clone(), progress: Clone::clone(progress) });
        };
        driver.run(inputs, |request| self.ask(request), report)
    }

    /// A training; with unfit data the job is aborted and only its ending is waited for.
    fn train(&self, inputs: &mpsc::Receiver<Input>, start: Instant) -> Result<Ended, DriverError> {
        let secret = self.store.secret(&self.job.id)?;
        let mut loaded = match data::load(&self.config, &self.job, self.party, &secret) {
            Ok(loaded) => loaded,
            Err(fault) => return self.give_up(inputs, fault),
        };
        self.check_data(&loaded.digest)?;
        self.tell(&loaded.overview);
        let private = Arc::new(loaded.private);
        let finished = self.drive::<VerticalSvm>(inputs, private.clone())?;
        let model =
            finished.output.as_ref().and_then(|output| match private.weights(&self.job.params, output) {
                Ok(weights) => {
                    loaded.frame.parts[0].weights = weights;
                    Some(loaded.frame)
                }
                Err(e) => {
                    tracing::error!(job = ?self.job.id, "the own weights: {e}");
                    None
                }
            });
        let report = model.zip(finished.output).map(|(model, output)| JobReport {
            job: self.job.clone(),
            party: self.party,
            ending: finished.ending.clone(),
            table: Some(loaded.overview),
            indicators: output.indicators,
            schedule: output.schedule,
            model,
            salt: output.weights.is_none().then(|| Bytes(private.salt().to_vec())),
            published: output.weights,
            digests: output.digests,
            seconds: finished.seconds,
            elapsed: start.elapsed().as_secs_f64(),
            traffic: self.poster.traffic(),
        });
        Ok((finished.ending, report.as_ref().map(pretty)))
    }

    /// Predictions with a split model. Their rows are counted before anything of them leaves the node, and the answers are
    /// on the disk before the report, without which the job would be taken up again.
    fn predict(
        &self,
        inputs: &mpsc::Receiver<Input>,
        start: Instant,
        predict: &VerticalPredict,
    ) -> Result<Ended, DriverError> {
        let (config, job) = (&self.config, &self.job);
        let loaded = predictions::load(config, job, self.party, predict)
            .and_then(|asked| predictions::count(config, &job.id, predict).map(|()| asked));
        let Asked { parts, ids, classes, digest, overview } = match loaded {
            Ok(asked) => asked,
            Err(fault) => return self.give_up(inputs, fault),
        };
        self.check_data(&digest)?;
        self.tell(&overview);
        let finished = self.drive::<Prediction>(inputs, Arc::new(parts))?;
        let Some(labels) = finished.output else { return Ok((finished.ending, None)) };
        let kept = predictions::keep(config, &job.id, &predict.training, &ids, &labels)
            .map_err(|e| e.to_string())
            .and_then(|()| predictions::reveals(predict, job.params.parties()).map_err(|e| e.to_string()));
        let reveals = match kept {
            Ok(reveals) => reveals,
            Err(reason) => {
                tracing::error!(
                    job = ?job.id,
                    "the answers are not on the disk: {reason}. Mend that and start the node again"
                );
                return Ok((finished.ending, None));
            }
        };
        let [positive, negative] = &classes;
        let class = |label: &Label| if *label == Label::Positive { positive } else { negative }.clone();
        let report = PredictReport {
            job: job.clone(),
            party: self.party,
            ending: finished.ending.clone(),
            table: Some(overview),
            classes: ids.into_iter().zip(labels.iter().map(class)).collect(),
            reveals,
            seconds: finished.seconds,
            elapsed: start.elapsed().as_secs_f64(),
            traffic: self.poster.traffic(),
        };
        Ok((finished.ending, Some(pretty(&report))))
    }

    /// A training by rows.
    fn train_rows(
        &self,
        inputs: &mpsc::Receiver<Input>,
        start: Instant,
        training: &RowsTraining,
    ) -> Result<Ended, DriverError> {
        let secret = self.store.secret(&self.job.id)?;
        let (private, table) = match data::rows(&self.config, &self.job, self.party, secret) {
            Ok(rows) => {
                rows.digest.map_or(Ok(()), |digest| self.check_data(&digest))?;
                rows.overview.iter().for_each(|overview| self.tell(overview));
                (Arc::new(rows.private), rows.overview)
            }
            Err(fault) => return self.give_up(inputs, fault),
        };
        let finished = self.drive::<HorizontalSvm>(inputs, private.clone())?;
        let report = finished.output.map(|output| {
            let weights = match (&output.weights, self.party == training.analyst) {
                (None, true) => output.weights_of_analyst(&self.job, &private).ok(),
                (published, _) => published.clone(),
            };
            RowsReport {
                job: self.job.clone(),
                party: self.party,
                ending: finished.ending.clone(),
                table,
                iterations: output.iterations,
                seed: output.seed.map(hex::encode),
                multiplication: output.times.multiplication.as_secs_f64(),
                comparison: output.times.comparison.as_secs_f64(),
                model: weights
                    .map(|weights| Model::by_rows(&self.job.params, training, output.scaler, weights)),
                seconds: finished.seconds,
                elapsed: start.elapsed().as_secs_f64(),
                traffic: self.poster.traffic(),
                peak_memory: peak_memory(),
            }
        });
        Ok((finished.ending, report.as_ref().map(pretty)))
    }

    /// A key generation or refresh. The share is on the disk before the report, without which the job would be taken
    /// up again.
    fn make_key<P: Protocol<Private = Private, Output = Output>>(
        &self,
        inputs: &mpsc::Receiver<Input>,
        start: Instant,
    ) -> Result<Ended, DriverError> {
        let secret = self.store.secret(&self.job.id)?;
        let share = match dealt_with(&self.config, &self.job, self.party) {
            Ok(share) => share,
            // The old share may be gone when only the new one is left to be kept.
            Err(_) if self.has_finished()? => None,
            Err(fault) => return self.give_up(inputs, fault),
        };
        let private = Arc::new(Private { secret, share });
        let finished = self.drive::<P>(inputs, private.clone())?;
        let (Some(output), Outcome::Finished) = (&finished.output, &finished.ending.outcome) else {
            return Ok((finished.ending, None));
        };
        let kept = match output.is_member(self.party) {
            // An old member who leaves has nothing to keep.
            false => Ok(None),
            true => output
                .share(&self.job, self.party, &private)
                .map_err(|e| e.to_string())
                .and_then(|share| Keyring::of(&self.config).add(&share).map(Some).map_err(|e| e.to_string())),
        };
        let share = match kept {
            Ok(share) => share,
            Err(reason) => {
                tracing::error!(
                    job = ?self.job.id,
                    "the own share is not on the disk: {reason}. Mend that and start the node again: it makes the share \
                     from its database, which must not be deleted before"
                );
                return Ok((finished.ending, None));
            }
        };
        let report = KeyReport {
            job: self.job.clone(),
            party: self.party,
            ending: finished.ending.clone(),
            key: hex::encode(output.key.fingerprint()),
            share,
            candidates: output.candidates,
            seconds: finished.seconds,
            elapsed: start.elapsed().as_secs_f64(),
            traffic: self.poster.traffic(),
        };
        Ok((finished.ending, Some(pretty(&report))))
    }

    /// Tells the organisation's people what is used of their table.
    fn tell(&self, table: &Overview) {
        let _ = self.events.send(Event::Data { job: self.job.id.clone(), table: table.clone() });
    }

    /// Makes sure that the own data are those for which the job was accepted.
    fn check_data(&self, digest: &[u8; 32]) -> Result<(), DriverError> {
        match directory::accepted_other_data(&self.config.data_dir, &self.job.id, digest)? {
            true => Err(DriverError::OtherData),
            false => Ok(()),
        }
    }

    /// Whether the ledger, as far as it was read, has the end of the job.
    fn has_finished(&self) -> Result<bool, DriverError> {
        let is_end = |fact: &Fact| matches!(fact, Fact::Ended(Ending { outcome: Outcome::Finished, .. }));
        Ok(self.store.facts(&self.job.id)?.iter().any(|located| is_end(&located.fact)))
    }

    fn ask(&self, request: Request) {
        if let Request::Abort(Trouble::Fault(Fault::Input(reason))) = &request {
            let unfit = Event::Unfit { job: self.job.id.clone(), reason: reason.clone() };
            let _ = self.events.send(unfit);
        }
        self.poster.ask(request);
    }

    fn give_up(&self, inputs: &mpsc::Receiver<Input>, fault: Fault) -> Result<Ended, DriverError> {
        let trouble = fault.to_string();
        self.ask(Request::Abort(fault.into()));
        loop {
            match inputs.recv() {
                Ok(Input::Fact(located)) => {
                    if let Fact::Ended(ending) = located.fact {
                        return Ok((ending, None));
                    }
                }
                Ok(Input::PostFailed(reason) | Input::GiveUp(reason)) => {
                    return Err(DriverError::Untold(format!("{trouble} ({reason})")));
                }
                Ok(Input::Stop) | Err(_) => return Err(DriverError::Stopped),
            }
        }
    }
}

/// How a job ended, and its report as JSON.
type Ended = (Ending, Option<Vec<u8>>);

fn pretty(report: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec_pretty(report).expect("a report has string keys only")
}

/// Finds what is wrong with what a party brings to a job, before it is accepted; the digest of its data, where it brings any.
///
/// # Errors
/// [`Fault::Input`].
pub fn check(config: &Config, job: &Job, party: u32) -> Result<Option<[u8; 32]>, Fault> {
    // Nothing that is made from this secret leaves this function.
    let secret = JobSecret::new([0; 32]);
    match &job.params.kind {
        Kind::VerticalSvm(_) => Ok(Some(data::load(config, job, party, &secret)?.digest)),
        Kind::VerticalPredict(predict) => Ok(Some(predictions::load(config, job, party, predict)?.digest)),
        Kind::HorizontalSvm(_) => Ok(data::rows(config, job, party, secret)?.digest),
        Kind::KeyGeneration(_) => Generation::start(job, Role::Member(party)).map(|_| None),
        Kind::KeyRefresh(_) => {
            Refresh::start(job, Role::Member(party))?;
            dealt_with(config, job, party).map(|_| None)
        }
    }
}

/// Whether nothing is left to do for a job that has ended.
pub(crate) fn is_over(config: &Config, job: &Job, ending: &Ending) -> bool {
    if ending.outcome != Outcome::Finished || !directory::is_accepted(&config.data_dir, &job.id) {
        return true;
    }
    let Ok(report) = std::fs::read(report_path(config, &job.id)) else { return false };
    match &job.params.kind {
        // Those of older nodes lack the salt; it follows from the secret.
        Kind::VerticalSvm(training) if training.model == Publication::Split => {
            serde_json::from_slice::<JobReport>(&report).is_ok_and(|report| report.salt.is_some())
        }
        _ => true,
    }
}

/// Forgets a job that is over. Of a key generation that came to nothing the secret stays, to be opened should somebody ask who
/// spoilt it.
pub(crate) fn forget(config: &Config, store: &Store, job: &Job, ending: &Ending) -> Result<(), StoreError> {
    let failed_key = matches!(job.params.kind, Kind::KeyGeneration(_)) && ending.outcome != Outcome::Finished;
    let kept = if failed_key && store.has_secret(&job.id)? { Kept::Secret } else { Kept::Nothing };
    let ended = EndedJob { kind: job.params.kind.name().into(), ending: ending.clone() };
    store.forget(&job.id, &ended, kept)?;
    directory::forget(&config.data_dir, &job.id)
}

/// The old share of a party that deals in a refresh.
fn dealt_with(config: &Config, job: &Job, party: u32) -> Result<Option<KeyShare>, Fault> {
    let Kind::KeyRefresh(refresh) = &job.params.kind else { return Ok(None) };
    if !refresh.dealers.iter().any(|dealer| dealer.party == party) {
        return Ok(None);
    }
    let share = Keyring::of(config).find(&refresh.key).map_err(|e| Fault::Input(e.to_string()))?;
    key_generation::check_share(refresh, party, &share)?;
    Ok(Some(share))
}
