//! Measures of a classifier.

use crate::Label;
use serde::{Deserialize, Serialize};
use std::iter::Sum;

/// Counts of predictions against labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confusion {
    /// Positive and predicted so.
    pub true_positive: u64,
    /// Negative and predicted positive.
    pub false_positive: u64,
    /// Negative and predicted so.
    pub true_negative: u64,
    /// Positive and predicted negative.
    pub false_negative: u64,
}

/// Accuracy, and precision, recall and F1 of the positive class; 0 where there is nothing to divide by.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Share of right predictions.
    pub accuracy: f64,
    /// Of the predicted positives, the share that is positive.
    pub precision: f64,
    /// Of the positives, the share that is predicted so.
    pub recall: f64,
    /// Harmonic mean of precision and recall.
    pub f1: f64,
}

/// Scores with either class as the positive one: published figures differ in which one they mean.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// With the positive class as positive.
    #[serde(flatten)]
    pub scores: Scores,
    /// With the negative class as positive.
    pub inverted: Scores,
    /// What they are computed from.
    pub confusion: Confusion,
}

impl Confusion {
    /// Counts predictions against labels.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn count(labels: &[Label], predictions: &[Label]) -> Self {
        assert_eq!(labels.len(), predictions.len(), "a prediction for each label");
        let mut counts = Self::default();
        for pair in labels.iter().zip(predictions) {
            let counter = match pair {
                (Label::Positive, Label::Positive) => &mut counts.true_positive,
                (Label::Negative, Label::Positive) => &mut counts.false_positive,
                (Label::Negative, Label::Negative) => &mut counts.true_negative,
                (Label::Positive, Label::Negative) => &mut counts.false_negative,
            };
            *counter += 1;
        }
        counts
    }

    /// The same counts with the classes exchanged.
    pub fn inverted(self) -> Self {
        Self {
            true_positive: self.true_negative,
            false_positive: self.false_negative,
            true_negative: self.true_positive,
            false_negative: self.false_positive,
        }
    }

    /// The scores of these counts.
    pub fn scores(self) -> Scores {
        let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        let (hits, missed, wrong) = (self.true_positive, self.false_negative, self.false_positive);
        let right = hits + self.true_negative;
        Scores {
            accuracy: share(right, right + missed + wrong),
            precision: share(hits, hits + wrong),
            recall: share(hits, hits + missed),
            f1: share(2 * hits, 2 * hits + missed + wrong),
        }
    }
}

impl Metrics {
    /// Measures predictions against labels.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn new(labels: &[Label], predictions: &[Label]) -> Self {
        let confusion = Confusion::count(labels, predictions);
        Self { scores: confusion.scores(), inverted: confusion.inverted().scores(), confusion }
    }
}

impl Sum for Confusion {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |a, b| Self {
            true_positive: a.true_positive + b.true_positive,
            false_positive: a.false_positive + b.false_positive,
            true_negative: a.true_negative + b.true_negative,
            false_negative: a.false_negative + b.false_negative,
        })
    }
}

/// How many indicators two runs of one schedule do not share.
///
/// # Panics
/// Where the runs are not of the same shape.
pub fn differing(a: &[Vec<bool>], b: &[Vec<bool>]) -> usize {
    assert_eq!(a.len(), b.len(), "runs of one schedule");
    let in_batch = |(a, b): (&Vec<bool>, &Vec<bool>)| {
        assert_eq!(a.len(), b.len(), "batches of one schedule");
        a.iter().zip(b).filter(|(a, b)| a != b).count()
    };
    a.iter().zip(b).map(in_batch).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Label::{Negative as N, Positive as P};

    #[test]
    fn counts_and_scores_by_hand() {
        let metrics = Metrics::new(&[P, P, P, P, N, N, N, N, N, N], &[P, P, P, N, P, P, N, N, N, N]);
        let counts = Confusion { true_positive: 3, false_negative: 1, false_positive: 2, true_negative: 4 };
        assert_eq!(metrics.confusion, counts);
        let other =
            Confusion { true_positive: 10, false_negative: 20, false_positive: 30, true_negative: 40 };
        let sum = Confusion { true_positive: 13, false_negative: 21, false_positive: 32, true_negative: 44 };
        assert_eq!([counts, other].into_iter().sum::<Confusion>(), sum);
        assert_eq!(metrics.scores, Scores { accuracy: 0.7, precision: 0.6, recall: 0.75, f1: 6.0 / 9.0 });
        assert_eq!(
            metrics.inverted,
            Scores { accuracy: 0.7, precision: 0.8, recall: 4.0 / 6.0, f1: 8.0 / 11.0 }
        );
    }

    #[test]
    fn nothing_to_divide_by_is_zero() {
        let scores = Metrics::new(&[N, N], &[N, N]).scores;
        assert_eq!(scores, Scores { accuracy: 1.0, precision: 0.0, recall: 0.0, f1: 0.0 });
        assert_eq!(Metrics::new(&[], &[]).scores.accuracy, 0.0);
    }

    #[test]
    fn the_report_has_the_scores_at_the_top() {
        let metrics = Metrics::new(&[P, N], &[P, P]);
        let json = serde_json::to_value(metrics).unwrap();
        assert_eq!((&json["precision"], &json["inverted"]["precision"]), (&0.5.into(), &0.0.into()));
        assert_eq!(serde_json::from_value::<Metrics>(json).unwrap(), metrics);
    }

    #[test]
    fn one_flipped_indicator_is_one_difference() {
        let a = vec![vec![true, false], vec![true, true]];
        let mut b = a.clone();
        assert_eq!(differing(&a, &b), 0);
        b[1][0] = false;
        assert_eq!(differing(&a, &b), 1);
    }
}
