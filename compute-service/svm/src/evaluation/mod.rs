//! How well a training does: the plaintext reference, and the same in floating point, over the folds of a repeated,
//! stratified cross-validation.
//!
//! A fold is what a training job would be of its training rows: scaling and the filling of gaps are fitted on those alone,
//! by rows as the providers' sums give it, and the test rows see them only afterwards.

mod preparation;

pub use preparation::Preparation;

use crate::{
    Hyperparameters, float,
    reference::{self, Reference, Variant},
    vertical,
};
use dataset::{
    Label, Roc,
    metrics::{self, Metrics},
    scaling::{Scaled, Scaling},
    split::{Division, generator},
    table::Table,
};
use num_traits::ToPrimitive;
use rand_core::Rng;
use records::Decimal;
use serde::{Deserialize, Serialize};

/// What is trained, as far as the plaintext reference is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// What is divided, and what only that way of training has.
    pub partition: Partition,
    /// Most updates T.
    pub iterations: u32,
    /// η, the step.
    pub learning_rate: Decimal,
    /// λ of the regulariser.
    pub lambda: Decimal,
    /// C of the hinge loss; 1/m for a fold's m training rows unless given.
    pub c: Option<Decimal>,
}

/// What is divided among the participants.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Partition {
    /// Columns. The participants do not matter here: the result does not depend on who holds which.
    Columns {
        /// How they are scaled.
        scaling: Scaling,
        /// Instances of an update.
        batch: u32,
    },
    /// Rows. How many providers hold them matters where there are batches only.
    Rows {
        /// Number of providers.
        providers: u32,
        /// Rows of each provider in an update; all unless given.
        batch: Option<u32>,
        /// Whether columns are standardised.
        standardise: bool,
        /// Intercept and tolerance.
        variant: Variant,
    },
}

/// A repeated, stratified cross-validation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrossValidation {
    /// Folds of one repeat, 2 at least.
    pub folds: u32,
    /// How often the rows are divided anew.
    pub repeats: u32,
    /// Decides everything.
    pub seed: u64,
}

/// One fold of a [`CrossValidation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Of which.
    pub of: CrossValidation,
    /// From 0.
    pub repeat: u32,
    /// In the repeat, from 0.
    pub fold: u32,
}

/// What came out of one fold. Its curves are not written out: a report has their means.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fold {
    /// Repeat, from 1.
    pub repeat: u32,
    /// Fold of the repeat, from 1.
    pub fold: u32,
    /// Number of training rows.
    pub training_rows: u32,
    /// Number of test rows.
    pub test_rows: u32,
    /// Columns that were left out, having no value in any training row.
    pub left_out: Vec<String>,
    /// Updates that the reference made.
    pub iterations: u32,
    /// The plaintext reference on the test rows.
    pub reference: Metrics,
    /// The floating-point run on the test rows.
    pub float: Metrics,
    /// Indicators of the reference that differ in floating point.
    pub differing_indicators: u64,
    /// Of how many.
    pub indicators: u64,
    /// The reference's objective on the training rows, before the first update and after each.
    #[serde(skip)]
    pub objective: Vec<f64>,
    /// The reference's ROC curve on the test rows.
    pub roc: Roc,
}

/// Why a fold cannot be evaluated: what is wrong with its training rows.
#[derive(Debug, thiserror::Error)]
#[error("fold {fold} of repeat {repeat}: {reason}")]
pub struct EvaluationError {
    /// Repeat, from 1.
    pub repeat: u32,
    /// Fold, from 1.
    pub fold: u32,
    /// What is wrong.
    pub reason: String,
}

impl Setting {
    fn hyperparameters(&self, training_rows: usize) -> Hyperparameters {
        Hyperparameters {
            learning_rate: self.learning_rate,
            lambda: self.lambda,
            c: self.c.unwrap_or_else(|| Hyperparameters::mean_c(training_rows)),
        }
    }

    fn variant(&self) -> Variant {
        match self.partition {
            Partition::Columns { .. } => Variant::default(),
            Partition::Rows { variant, .. } => variant,
        }
    }

    /// Which training rows each update visits. A job draws them from a seed of its participants, so that it visits others
    /// of the same distribution; where an update visits all rows there is no difference.
    pub fn schedule(&self, training_rows: u32, place: &Place) -> Vec<Vec<u32>> {
        let mut rng = generator("confab schedule", place.seed());
        rng.set_stream(u64::from(place.fold));
        let mut draw = |rows: u32, batch: u32| {
            let mut seed = [0; 32];
            rng.fill_bytes(&mut seed);
            vertical::schedule(&seed, rows, self.iterations, batch)
        };
        match self.partition {
            Partition::Columns { batch, .. } => draw(training_rows, batch),
            Partition::Rows { batch: None, .. } => {
                vec![(0..training_rows).collect(); self.iterations as usize]
            }
            Partition::Rows { batch: Some(batch), providers, .. } => {
                let mut schedule = vec![Vec::new(); self.iterations as usize];
                for provider in 0..providers.min(training_rows) {
                    // Rows are dealt like cards.
                    let own: Vec<u32> = (provider..training_rows).step_by(providers as usize).collect();
                    let visited = draw(own.len() as u32, batch.min(training_rows.div_ceil(providers)));
                    for (all, visited) in schedule.iter_mut().zip(visited) {
                        all.extend(visited.into_iter().map(|place| own[place as usize]));
                    }
                }
                schedule
            }
        }
    }
}

impl CrossValidation {
    /// All folds, repeat after repeat.
    pub fn places(self) -> impl Iterator<Item = Place> {
        (0..self.repeats)
            .flat_map(move |repeat| (0..self.folds).map(move |fold| Place { of: self, repeat, fold }))
    }
}

impl Place {
    /// The repeat's own seed. That of the next repeat is not that of the next evaluation's first.
    fn seed(&self) -> u64 {
        let mut rng = generator("confab repeats", self.of.seed);
        rng.set_stream(u64::from(self.repeat));
        rng.next_u64()
    }

    /// The division of the rows.
    pub fn division(&self) -> Division {
        Division::Fold { folds: self.of.folds, fold: self.fold, seed: self.seed() }
    }

    /// Divides and scales a table as a training of this fold does.
    ///
    /// # Errors
    /// [`EvaluationError`].
    pub fn prepare(
        &self,
        table: &Table,
        setting: &Setting,
        participants: u32,
    ) -> Result<Preparation, EvaluationError> {
        let named = |reason| EvaluationError { repeat: self.repeat + 1, fold: self.fold + 1, reason };
        setting.prepare(table, self.division(), participants).map_err(named)
    }

    /// Trains on all folds but this one and tests on this one.
    ///
    /// # Errors
    /// [`EvaluationError`].
    pub fn evaluate(
        &self,
        table: &Table,
        setting: &Setting,
        participants: u32,
    ) -> Result<Fold, EvaluationError> {
        let prepared = self.prepare(table, setting, participants)?;
        let Preparation { split, left_out, train, train_labels, test, test_labels, .. } = prepared;
        let (parameters, variant) = (setting.hyperparameters(split.train.len()), setting.variant());
        let schedule = setting.schedule(split.train.len() as u32, self);
        let reference = reference::train(&train, &train_labels, &schedule, &parameters, variant);
        let [float_train, float_test] = &prepared.float;
        let float = float::train(float_train, &train_labels, &schedule, &parameters, variant);
        // With a tolerance one of the two may end before the other.
        let both = reference.indicators.len().min(float.indicators.len());
        let scores: Vec<f64> =
            reference.scores(&test).iter().map(|s| s.to_f64().unwrap_or(f64::NAN)).collect();
        Ok(Fold {
            repeat: self.repeat + 1,
            fold: self.fold + 1,
            training_rows: split.train.len() as u32,
            test_rows: split.test.len() as u32,
            left_out,
            iterations: reference.indicators.len() as u32,
            reference: Metrics::new(&test_labels, &reference.predict(&test)),
            float: Metrics::new(&test_labels, &float.predict(float_test)),
            differing_indicators: metrics::differing(&reference.indicators[..both], &float.indicators[..both])
                as u64,
            indicators: reference.indicators[..both].iter().map(|batch| batch.len() as u64).sum(),
            objective: objective(&reference, &train, &train_labels, &schedule, &parameters),
            roc: Roc::new(&test_labels, &scores),
        })
    }
}

/// λ/2·‖w‖² + C·B·(mean of max(0, 1 − y·w·x) over all training rows), B being the visits of an update: what an update's step
/// is the gradient of, in the mean over the rows that it may visit. Before the first update and after each.
fn objective(
    run: &Reference,
    training: &Scaled,
    labels: &[Label],
    schedule: &[Vec<u32>],
    parameters: &Hyperparameters,
) -> Vec<f64> {
    let visits = schedule.first().map_or(0, Vec::len) as f64;
    let (lambda, c) = (parameters.lambda.to_f64(), parameters.c.to_f64());
    let unit = 2f64.powi(-24);
    let of = |weights: &Vec<num_bigint::BigInt>| {
        let weights: Vec<f64> = weights.iter().map(|w| w.to_f64().unwrap_or(f64::NAN) * unit).collect();
        let (w, b) = weights.split_at(training.columns.len());
        let b = b.first().copied().unwrap_or(0.0);
        let hinge = |(row, label): (&Vec<f64>, &Label)| {
            let score = row.iter().zip(w).map(|(x, w)| x * w).sum::<f64>() - b;
            (1.0 - label.sign() as f64 * score).max(0.0)
        };
        let loss = training.rows.iter().zip(labels).map(hinge).sum::<f64>() / labels.len() as f64;
        lambda / 2.0 * w.iter().map(|w| w * w).sum::<f64>() + c * visits * loss
    };
    run.course.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataset::{
        generate,
        table::{Columns, Table},
    };

    const THREE_TIMES_TWO: CrossValidation = CrossValidation { folds: 3, repeats: 2, seed: 5 };

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    fn patients() -> Table {
        let columns = Columns {
            label: Some(generate::LABEL.into()),
            id: Some(generate::ID.into()),
            ..Columns::default()
        };
        Table::parse(generate::patients(90, 1).as_bytes(), &columns).unwrap()
    }

    fn by_rows(batch: Option<u32>) -> Setting {
        let variant = Variant { intercept: true, tolerance: None };
        Setting {
            partition: Partition::Rows { providers: 4, batch, standardise: true, variant },
            iterations: 20,
            learning_rate: decimal("0.5"),
            lambda: decimal("0.001"),
            c: None,
        }
    }

    #[test]
    fn every_row_is_tested_once_in_each_repeat() {
        let table = patients();
        let folds: Vec<Fold> = THREE_TIMES_TWO
            .places()
            .map(|place| place.evaluate(&table, &by_rows(None), 4).unwrap())
            .collect();
        assert_eq!(
            folds.iter().map(|fold| (fold.repeat, fold.fold)).collect::<Vec<_>>(),
            [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]
        );
        for repeat in folds.chunks(3) {
            assert_eq!(repeat.iter().map(|fold| fold.test_rows).sum::<u32>(), 90);
            assert!(repeat.iter().all(|fold| fold.training_rows + fold.test_rows == 90));
        }
        assert_ne!(folds[0].objective, folds[3].objective, "repeats are divided differently");
        let next = CrossValidation { seed: 6, ..THREE_TIMES_TWO };
        let divisions =
            |of: CrossValidation| of.places().map(|p| p.division().of(&table.labels().unwrap()).unwrap());
        assert!(divisions(THREE_TIMES_TWO).all(|one| divisions(next).all(|other| one != other)));
        for fold in &folds {
            assert!(fold.reference.scores.accuracy > 0.7, "{fold:?}");
            assert_eq!(fold.objective.len(), 21);
            // w is 0 at first, and every row is as far in the margin as the margin is wide.
            assert!((fold.objective[0] - 1.0).abs() < 1e-6, "{}", fold.objective[0]);
            assert!(fold.objective[20] < 0.7 * fold.objective[0], "{:?}", fold.objective);
        }
    }

    #[test]
    fn batches_visit_as_many_rows_of_each_provider() {
        let schedule = by_rows(Some(3)).schedule(30, &THREE_TIMES_TWO.places().next().unwrap());
        assert_eq!(schedule.len(), 20);
        for update in &schedule {
            let of = |provider| update.iter().filter(|&&row| row % 4 == provider).count();
            assert_eq!([0, 1, 2, 3].map(of), [3; 4]);
            assert!(update.iter().all(|&row| row < 30));
        }
        let places: Vec<Place> = THREE_TIMES_TWO.places().collect();
        assert_ne!(by_rows(Some(3)).schedule(30, &places[1]), schedule, "another fold");
        assert_ne!(by_rows(Some(3)).schedule(30, &places[3]), schedule, "another repeat");
    }

    #[test]
    fn a_column_without_a_value_to_train_on_is_left_out_and_said() {
        let mut text = "a,b,c,class\n".to_string();
        for row in 0..12 {
            // The one value of column c is a test value in one fold of each repeat.
            let c = if row == 4 { "1" } else { "?" };
            text += &format!("{},{},{c},{}\n", row % 5, row * row % 7, row % 2);
        }
        let columns = Columns { label: Some("class".into()), ..Columns::default() };
        let table = Table::parse(text.as_bytes(), &columns).unwrap();
        for partition in [by_rows(None).partition, Partition::Columns { scaling: Scaling::Unit, batch: 4 }] {
            let setting = Setting { partition, ..by_rows(None) };
            let without = |place: Place| {
                let fold = place.evaluate(&table, &setting, 2).unwrap();
                fold.left_out == ["c"]
            };
            assert_eq!(THREE_TIMES_TWO.places().filter(|place| without(*place)).count(), 2);
        }
    }

    #[test]
    fn the_objective_by_hand() {
        let training =
            Scaled { columns: vec!["a".into()], lines: vec![1, 2], rows: vec![vec![1.0], vec![3.0]] };
        let parameters =
            Hyperparameters { learning_rate: decimal("1"), lambda: decimal("0.5"), c: decimal("0.5") };
        let labels = [Label::Negative, Label::Positive];
        let variant = Variant { intercept: true, tolerance: None };
        let schedule = [vec![0, 1], vec![0, 1]];
        let run = reference::train(&training, &labels, &schedule, &parameters, variant);
        // w = b = 0; then w = 1, b = 0: only row 1 is in the margin, by 2; then w = 0, b = 0.5: by 0.5 and 1.5.
        assert_eq!(
            objective(&run, &training, &labels, &schedule, &parameters),
            [1.0, 0.25 + 1.0, 0.25 + 0.75]
        );
    }
}
