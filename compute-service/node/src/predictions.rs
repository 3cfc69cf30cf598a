//! Predictions with a model of which this organisation has a part: its new rows, the limit that it sets, and the record of
//! what was asked and answered.
//!
//! Whoever may choose b + 1 instances, b being the bits of a decision value, finds another member's part of one by
//! bisection, whatever the judge. Every node therefore keeps count of the rows that were asked about with its part of a model,
//! in jobs that were given up, too, and takes part in no job that goes beyond its limit. A row that was answered is not
//! asked about again: its class is in the record.

use crate::{
    config::Config,
    data::{WantedKey, digest, in_file, new_rows, share},
    model::ModelError,
    proposal::job_params,
    worker::{JobReport, report_path},
};
use dataset::{Label, table::Overview};
use files::Access;
use protocol::Fault;
use records::{Job, JobId, JobParams, Kind, Publication, VERSION, VerticalPredict};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};
use svm::{
    fixed::Features,
    vertical::{Parts, Prediction, SplitPart},
};

/// The rows that are asked about with one model unless the configuration says otherwise: well below the 37 to 60 bits of a
/// decision value.
pub const ROW_LIMIT: u32 = 20;

/// Held while a record is read and written again; a data directory has one node.
static WRITING: Mutex<()> = Mutex::new(());

/// What was asked about and answered with one model: `predictions/<training>.json` in the data directory, mode 0600.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryLog {
    /// Layout version.
    pub version: u32,
    /// Number of rows that were asked about, by job.
    pub asked: BTreeMap<JobId, u32>,
    /// What came out, by identifier.
    pub answers: BTreeMap<String, Answer>,
}

/// The class of one instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Whether it is the positive one.
    pub positive: bool,
    /// The job that found it.
    pub job: JobId,
}

fn path(config: &Config, training: &JobId) -> PathBuf {
    config.data_dir.join("predictions").join(format!("{training}.json"))
}

impl QueryLog {
    /// The record of a model; empty where nothing was asked yet.
    ///
    /// # Errors
    /// [`Fault::Input`] where it cannot be read: without it nothing may be asked.
    pub fn load(config: &Config, training: &JobId) -> Result<Self, Fault> {
        let path = path(config, training);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return Ok(Self { version: VERSION, ..Self::default() });
            }
            Err(e) => return Err(in_file(&path)(&e)),
        };
        let answered: Self = serde_json::from_slice(&bytes).map_err(|e| in_file(&path)(&e))?;
        match answered.version {
            VERSION => Ok(answered),
            other => Err(in_file(&path)(&format!("version {other} is not {VERSION}"))),
        }
    }

    fn change(
        config: &Config,
        training: &JobId,
        change: impl FnOnce(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut answered = Self::load(config, training)?;
        change(&mut answered)?;
        let json = serde_json::to_vec_pretty(&answered).expect("a record has string keys only");
        let path = path(config, training);
        files::write(&path, &json, Access::Owner).map_err(|e| in_file(&path)(&e))
    }

    /// How many more rows may be asked about, a job's own not counted.
    pub fn left(&self, row_limit: u32, job: Option<&JobId>) -> u32 {
        let others = self.asked.iter().filter(|(other, _)| Some(*other) != job);
        row_limit.saturating_sub(others.map(|(_, rows)| *rows).fold(0, u32::saturating_add))
    }
}

/// What a job asks of this organisation.
struct UnansweredRows {
    part: SplitPart,
    /// Of the rows that were not answered before, sorted.
    ids: Vec<String>,
    features: Features,
    /// Of the whole file.
    digest: [u8; 32],
    overview: Overview,
}

/// The organisation's report of a training whose model stayed split.
fn trained(config: &Config, training: &JobId) -> Result<JobReport, Fault> {
    let path = report_path(config, training);
    let unread = |e: &dyn std::fmt::Display| {
        Fault::Input(format!("this node has no part of the model of {training}: {}: {e}", path.display()))
    };
    let bytes = fs::read(&path).map_err(|e| unread(&e))?;
    let report: JobReport = serde_json::from_slice(&bytes).map_err(|e| unread(&e))?;
    if report.job.params.training().model == Publication::Published {
        return Err(Fault::Input(format!(
            "the model of {training} was published: `confab predict` needs no job for it"
        )));
    }
    Ok(report)
}

/// The new rows of which nothing is known yet, but by this job.
fn fresh(
    config: &Config,
    training: &JobId,
    report: &JobReport,
    job: Option<&JobId>,
) -> Result<UnansweredRows, Fault> {
    let salt = report.salt.as_ref().and_then(|salt| salt.0.as_slice().try_into().ok()).ok_or_else(|| {
        Fault::Input(format!(
            "the report of {training} was made by an older node and cannot open the digest of the own part: remove it \
             and start the node again, it makes it anew"
        ))
    })?;
    let new = config.predictions.as_ref().ok_or_else(|| {
        Fault::Input("the configuration names no new rows: add a [predictions] section".into())
    })?;
    let input = in_file(&new.file);
    let scaler = &report.part().scaler;
    let mut table = new_rows(new, scaler.columns().map(String::from).collect())?;
    table.order_by_id().map_err(|e| input(&e))?;
    let (digest, overview) = (digest(&table, None), Overview::new(&new.file, &table));
    let answered = QueryLog::load(config, training)?;
    let is_fresh = |id: &String| answered.answers.get(id).is_none_or(|answer| Some(&answer.job) == job);
    table.rows.retain(|row| row.id.as_ref().is_some_and(is_fresh));
    let all: Vec<usize> = (0..table.rows.len()).collect();
    let mut scaled = scaler.apply(&table, &all).map_err(|e| input(&e))?;
    let weights = report.part().weights.clone();
    // A column without weight, such as one that was constant, decides nothing: its new values may be of any size.
    for row in &mut scaled.rows {
        row.iter_mut().zip(&weights).filter(|(_, weight)| **weight == 0).for_each(|(value, _)| *value = 0.0);
    }
    Ok(UnansweredRows {
        part: SplitPart { weights, salt },
        ids: table.rows.into_iter().filter_map(|row| row.id).collect(),
        features: Features::encode(&scaled).map_err(|e| input(&e))?,
        digest,
        overview,
    })
}

/// Parameters of a job that asks about the organisation's new rows, with a fresh nonce.
///
/// # Errors
/// No part of such a model, rows that do not fit, or none that were not answered before.
pub fn template(config: &Config, training: &JobId) -> Result<JobParams, Fault> {
    let report = trained(config, training)?;
    let fresh = fresh(config, training, &report, None)?;
    if fresh.ids.is_empty() {
        let path = path(config, training);
        return Err(Fault::Input(format!("every row was answered before; the record is {}", path.display())));
    }
    let params = report.job.params;
    let digests = report.digests;
    let predict =
        VerticalPredict::after(training.clone(), params.training(), digests, fresh.ids.len() as u32);
    job_params(Kind::VerticalPredict(predict), params.participants).map_err(|e| Fault::Input(e.to_string()))
}

/// What an organisation brings to a job of predictions.
pub struct PredictionInput {
    /// For the protocol.
    pub parts: Parts,
    /// Sorted identifiers of the job's instances.
    pub ids: Vec<String>,
    /// The words for the classes, positive and negative.
    pub classes: [String; 2],
    /// Digest of the new rows.
    pub digest: [u8; 32],
    /// What the file of the new rows holds, for its owner.
    pub overview: Overview,
}

/// Reads part of the model, key share and new rows, and checks that they fit a job and the organisation's limit.
///
/// # Errors
/// [`Fault::Input`] with file, line and column, or with the limit.
pub fn load(
    config: &Config,
    job: &Job,
    party: u32,
    predict: &VerticalPredict,
) -> Result<PredictionInput, Fault> {
    let report = trained(config, &predict.training)?;
    let fresh = fresh(config, &predict.training, &report, Some(&job.id))?;
    let training = report.job.params.training();
    // The key may have been refreshed since.
    let due = VerticalPredict {
        key: predict.key,
        quorum: predict.quorum,
        ..VerticalPredict::after(
            predict.training.clone(),
            training,
            report.digests.clone(),
            predict.instances,
        )
    };
    if *predict != due || report.job.params.participants != job.params.participants {
        return Err(Fault::Input(format!(
            "the job names other parts of the model, or another way to compare, than training {} had",
            predict.training
        )));
    }
    check_limit(config, &job.id, predict, &QueryLog::load(config, &predict.training)?)?;
    let share = share(config, &job.params, &WantedKey::of(&predict.iteration()), party)?;
    let parts = Parts::new(&job.params, party, share, &fresh.part, &fresh.ids, &fresh.features)?;
    let classes = [report.model.positive, report.model.negative];
    Ok(PredictionInput { parts, ids: fresh.ids, classes, digest: fresh.digest, overview: fresh.overview })
}

/// The rows that an organisation allows for one model.
pub fn row_limit(config: &Config) -> u32 {
    config.predictions.as_ref().map_or(ROW_LIMIT, |new| new.row_limit)
}

/// Whether a job's rows are within what the organisation allows for one model.
fn check_limit(
    config: &Config,
    job: &JobId,
    predict: &VerticalPredict,
    answered: &QueryLog,
) -> Result<(), Fault> {
    let row_limit = row_limit(config);
    let left = answered.left(row_limit, Some(job));
    if predict.instances <= left {
        return Ok(());
    }
    Err(Fault::Input(format!(
        "the job asks about {} rows, {left} of {row_limit} are left for this model: about {} chosen ones would give the \
         own part of one away; raise `row_limit` in [predictions] if you trust the proposer who chose these",
        predict.instances,
        predict.margin_bits + 1
    )))
}

/// Counts a job's rows, on the disk before this returns and before anything of them leaves the node. Counting a job again
/// changes nothing.
///
/// # Errors
/// More rows than are left, jobs that began meanwhile included; a record that cannot be read or written.
pub fn count(config: &Config, job: &JobId, predict: &VerticalPredict) -> Result<(), Fault> {
    QueryLog::change(config, &predict.training, |answered| {
        check_limit(config, job, predict, answered)?;
        answered.asked.insert(job.clone(), predict.instances);
        Ok(())
    })
}

/// Keeps what came out.
///
/// # Errors
/// A record that cannot be read or written.
pub fn keep(
    config: &Config,
    job: &JobId,
    training: &JobId,
    ids: &[String],
    labels: &[Label],
) -> Result<(), Fault> {
    QueryLog::change(config, training, |answered| {
        for (id, label) in ids.iter().zip(labels) {
            let answer = Answer { positive: *label == Label::Positive, job: job.clone() };
            answered.answers.insert(id.clone(), answer);
        }
        Ok(())
    })
}

/// What such a job shows to whom, in words.
///
/// # Errors
/// Parameters without room for the judge.
pub fn reveals(predict: &VerticalPredict, parties: u32) -> Result<Vec<String>, ModelError> {
    let blinding = Prediction::blinding(predict, parties).map_err(|e| ModelError::Rows(e.to_string()))?;
    Ok(vec![
        "to all members of the channel: number of rows, digest of their identifiers, and of each row, in the order of the \
         identifiers, on which side of the plane it lies: its class"
            .into(),
        format!(
            "of each decision value beyond its sign: statistical distance at most {:.3}; log₂|2d+1| stays unknown to \
             within {:.1} octaves (factors of two)",
            blinding.worst_distance(),
            blinding.octaves(1)
        ),
        format!(
            "each class is an inequality on the participants' parts; a participant that chooses rows so that the others' \
             parts repeat finds one of these with about {} of them, so every node limits the rows of a model and answers \
             a repeated one from its record",
            predict.margin_bits + 1
        ),
        "to any participant that deviates, by what it puts into its IV records: any ciphertext under the key, of \
         earlier jobs too; the others do not notice"
            .into(),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(dir: &std::path::Path) -> Config {
        let toml = "data_dir = \"state\"\nconnection_profile = \"none.json\"\n";
        let path = dir.join("node.toml");
        fs::write(&path, toml).unwrap();
        Config::load(&path).unwrap()
    }

    fn job(digit: &str) -> JobId {
        digit.repeat(64).parse().unwrap()
    }

    fn predict(instances: u32) -> VerticalPredict {
        VerticalPredict {
            training: job("a"),
            digests: Vec::new(),
            instances,
            key: None,
            key_bits: 2048,
            insecure_key_bits: false,
            quorum: 3,
            margin_bits: 42,
            weak_blinding: false,
        }
    }

    #[test]
    fn rows_are_counted_once_a_job_and_for_good() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let left = |job: Option<&JobId>| QueryLog::load(&config, &self::job("a")).unwrap().left(20, job);
        assert_eq!(left(None), 20);
        for _ in 0..2 {
            count(&config, &job("1"), &predict(12)).unwrap();
        }
        assert_eq!((left(None), left(Some(&job("1"))), left(Some(&job("2")))), (8, 20, 8));
        let beyond = count(&config, &job("2"), &predict(9)).unwrap_err().to_string();
        assert!(beyond.contains("9 rows, 8 of 20 are left"), "of two jobs that begin together: {beyond}");
        assert_eq!(left(None), 8, "what is refused does not count");
        count(&config, &job("2"), &predict(8)).unwrap();
        assert_eq!((left(None), left(Some(&job("3")))), (0, 0));
        // Another model is another count.
        assert_eq!(QueryLog::load(&config, &job("b")).unwrap().left(20, None), 20);
    }

    #[test]
    fn answers_are_kept_beside_the_counts() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        count(&config, &job("1"), &predict(2)).unwrap();
        let ids = ["P1".to_string(), "P2".to_string()];
        keep(&config, &job("1"), &job("a"), &ids, &[Label::Negative, Label::Positive]).unwrap();
        let answered = QueryLog::load(&config, &job("a")).unwrap();
        assert_eq!(answered.answers["P2"], Answer { positive: true, job: job("1") });
        assert!(!answered.answers["P1"].positive && answered.asked[&job("1")] == 2);
        fs::write(path(&config, &job("a")), "{").unwrap();
        assert!(QueryLog::load(&config, &job("a")).is_err(), "a lost record is not an empty one");
        assert!(count(&config, &job("2"), &predict(1)).is_err());
    }

    #[test]
    fn the_limit_is_well_below_the_bits_of_a_value() {
        const { assert!(2 * ROW_LIMIT < 42 + 1) };
        let said = reveals(&predict(5), 3).unwrap().join("\n");
        assert!(said.contains("about 43 of them"), "{said}");
    }
}
