//! Means and deviations over folds.

use crate::metrics::{Metrics, Scores};
use serde::{Deserialize, Serialize};

/// Mean and population standard deviation, as NumPy's `std` has it; both 0 of nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The standard deviation.
    pub deviation: f64,
}

impl Spread {
    /// Of values.
    pub fn from_values(values: impl Iterator<Item = f64>) -> Self {
        let values: Vec<f64> = values.collect();
        if values.is_empty() {
            return Self::default();
        }
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        Self { mean, deviation: variance.sqrt() }
    }
}

/// Mean and deviation at each place of a curve.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curve {
    /// The means.
    pub mean: Vec<f64>,
    /// The standard deviations.
    pub deviation: Vec<f64>,
}

impl Curve {
    /// Over curves of which shorter ones keep their last value; what ended early changes no more.
    pub fn over(curves: &[&[f64]]) -> Self {
        let length = curves.iter().map(|curve| curve.len()).max().unwrap_or(0);
        let at =
            |place: usize| curves.iter().filter_map(move |curve| curve.get(place).or(curve.last()).copied());
        (0..length).map(|place| Spread::from_values(at(place))).collect()
    }
}

impl FromIterator<Spread> for Curve {
    fn from_iter<I: IntoIterator<Item = Spread>>(spreads: I) -> Self {
        let (mean, deviation) = spreads.into_iter().map(|spread| (spread.mean, spread.deviation)).unzip();
        Self { mean, deviation }
    }
}

/// Scores over folds, with one class as positive.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SummaryOfClass {
    /// Of the precision.
    pub precision: Spread,
    /// Of the recall.
    pub recall: Spread,
    /// Of F1.
    pub f1: Spread,
}

/// Scores over folds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Of the accuracy.
    pub accuracy: Spread,
    /// With the positive class as positive.
    pub positive: SummaryOfClass,
    /// With the negative class as positive.
    pub inverted: SummaryOfClass,
}

impl Summary {
    /// Of the measures of folds.
    pub fn of<'a>(folds: impl Iterator<Item = &'a Metrics> + Clone) -> Self {
        let over = |score: &dyn Fn(&Metrics) -> f64| Spread::from_values(folds.clone().map(score));
        let class = |scores: fn(&Metrics) -> &Scores| SummaryOfClass {
            precision: over(&|m| scores(m).precision),
            recall: over(&|m| scores(m).recall),
            f1: over(&|m| scores(m).f1),
        };
        Self {
            accuracy: over(&|m| m.scores.accuracy),
            positive: class(|m| &m.scores),
            inverted: class(|m| &m.inverted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Label::{Negative as N, Positive as P};

    #[test]
    fn the_deviation_is_that_of_the_population() {
        let spread = Spread::from_values([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0].into_iter());
        assert_eq!(spread, Spread { mean: 5.0, deviation: 2.0 });
        assert_eq!(Spread::from_values(std::iter::once(3.5)), Spread { mean: 3.5, deviation: 0.0 });
        assert_eq!(Spread::from_values(std::iter::empty()), Spread::default());
    }

    #[test]
    fn shorter_curves_keep_their_last_value() {
        let curve = Curve::over(&[&[4.0, 2.0], &[2.0, 1.0, 0.0]]);
        assert_eq!(curve.mean, [3.0, 1.5, 1.0]);
        assert_eq!(curve.deviation, [1.0, 0.5, 1.0]);
        assert_eq!(Curve::over(&[]), Curve::default());
    }

    #[test]
    fn both_classes_are_summed_up_and_nothing_to_divide_by_is_zero() {
        let folds = [Metrics::new(&[P, N, N], &[P, N, N]), Metrics::new(&[P, N, N], &[N, N, N])];
        let summary = Summary::of(folds.iter());
        assert!((summary.accuracy.mean - 5.0 / 6.0).abs() < 1e-12, "{summary:?}");
        // No positive is predicted in the second fold: precision, recall and F1 are 0 there.
        let half = Spread { mean: 0.5, deviation: 0.5 };
        assert_eq!(summary.positive, SummaryOfClass { precision: half, recall: half, f1: half });
        assert_eq!(summary.inverted.recall, Spread { mean: 1.0, deviation: 0.0 });
        assert!((summary.inverted.f1.mean - 0.9).abs() < 1e-12, "{summary:?}");
    }
}
