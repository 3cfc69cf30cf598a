use super::{Data, Evaluation, Seconds, Secure, SecureFold};
use crate::{
    deployment::TrainingReport,
    error::{Result, input, system},
    experiment::Experiment,
    key::Key,
    progress::{Part, Progress},
    runner::{Runner, Site},
    vertical::Times,
};
use dataset::table::{Overview, Table};
use rayon::prelude::*;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};
use svm::evaluation::{CrossValidation, Fold, Place};
use tokio::sync::mpsc;

/// Folds that are to be run encrypted.
#[derive(Clone, Debug)]
pub struct SecureFolds {
    /// At most so many, from the first.
    pub most: u32,
    /// Where.
    pub site: Site,
    /// Whether an observer replays each.
    pub verify: bool,
}

impl Runner<'_> {
    /// Cross-validates a training on a table that was read ([`Source::table`](crate::Source::table)): in plaintext, and some
    /// folds also encrypted.
    ///
    /// # Errors
    /// A fold that cannot be trained on, or a job that fails.
    pub async fn evaluate(
        &self,
        experiment: &Experiment,
        (table, dropped, overview): (Table, Vec<u64>, Overview),
        of: CrossValidation,
        secure: Option<&SecureFolds>,
    ) -> Result<Evaluation> {
        let data = Data::new(&experiment.source, &table, dropped, overview);
        let places: Vec<Place> = of.places().collect();
        let start = Instant::now();
        let folds = in_plaintext(table, experiment, places.clone(), self.progress).await?;
        let seconds = start.elapsed().as_secs_f64();
        let secure = match secure {
            None => None,
            Some(secure) => {
                let places = &places[..places.len().min(secure.most as usize)];
                Some(self.encrypted(experiment, places, secure).await?)
            }
        };
        Ok(Evaluation::new(data, experiment.setting(), experiment.holders, of, folds, seconds, secure))
    }

    /// Runs folds encrypted, one after another, with one ledger and one key.
    async fn encrypted(
        &self,
        experiment: &Experiment,
        places: &[Place],
        asked: &SecureFolds,
    ) -> Result<Secure> {
        let session = self.begin(experiment, &asked.site, None).await?;
        let mut folds = Vec::new();
        for place in places {
            let part = Part { of: self.progress, name: name(place) };
            let (deployment, trained) =
                session.train_saying(&experiment.divided(place.division()), &part).await?;
            let verified = match asked.verify {
                true => Some(session.replay_saying(&deployment.params.id(), &part).await?.complete),
                false => None,
            };
            folds.push(SecureFold::new(place, trained.report, session.key.seconds(), verified));
        }
        let secure = Secure::new(folds, session.ledger_kind(), experiment.training.key_bits());
        Ok(match &session.key {
            Key::Analyst => secure,
            key => Secure { key_origin: Some(key.origin()), key_seconds: Some(key.seconds()), ..secure },
        })
    }
}

impl SecureFold {
    /// What a training of a fold came to, with a key that took so long; it was made once, for all folds.
    fn new(place: &Place, report: TrainingReport, key_seconds: f64, verified: Option<bool>) -> Self {
        let (repeat, fold) = (place.repeat + 1, place.fold + 1);
        match report {
            TrainingReport::Vertical(report) => Self {
                repeat,
                fold,
                verified,
                identical: report.identical_indicators
                    && report.identical_predictions
                    && report.identical_weights,
                job: report.job,
                secure: report.secure,
                reference: report.plaintext,
                ledger: report.ledger,
                seconds: Seconds::Columns(Times {
                    keys: report.seconds.keys - key_seconds,
                    ..report.seconds
                }),
            },
            TrainingReport::Horizontal(report) => Self {
                repeat,
                fold,
                verified,
                // Both are compared where there is no noise.
                identical: report.identical_weights == Some(true)
                    && report.identical_predictions == Some(true),
                job: report.job,
                secure: report.secure,
                reference: report.plaintext,
                ledger: report.ledger,
                seconds: Seconds::Rows(report.seconds),
            },
        }
    }
}

/// Sets a flag when it is dropped: when the command was interrupted.
struct OnDrop(Arc<AtomicBool>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Evaluates all folds in plaintext, on all cores.
async fn in_plaintext(
    table: Table,
    experiment: &Experiment,
    places: Vec<Place>,
    progress: &dyn Progress,
) -> Result<Vec<Fold>> {
    let (count, what) = (places.len() as u64, "folds");
    let stopped = Arc::new(AtomicBool::new(false));
    let _guard = OnDrop(stopped.clone());
    let (done, mut on_done) = mpsc::unbounded_channel();
    progress.step(&format!("evaluating {count} folds in plaintext"));
    let experiment = experiment.clone();
    let folds = tokio::task::spawn_blocking(move || {
        let setting = experiment.setting();
        let evaluate = |place: &Place| {
            // None where nothing waits for it any more.
            let fold = (!stopped.load(Ordering::Relaxed)).then(|| {
                // Whether it could be trained on encrypted.
                let prepared = experiment.prepare(&table, place.division());
                prepared.map_err(|e| input(format!("{e} ({})", name(place))))?;
                place.evaluate(&table, &setting, experiment.holders).map_err(input)
            });
            let _ = done.send(());
            fold
        };
        places.par_iter().filter_map(evaluate).collect::<Result<Vec<Fold>>>()
    });
    let mut finished = 0;
    while on_done.recv().await.is_some() {
        finished += 1;
        progress.count(what, finished, count);
    }
    folds.await.map_err(system)?
}

fn name(place: &Place) -> String {
    format!("repeat {}, fold {} of {}", place.repeat + 1, place.fold + 1, place.of.folds)
}
