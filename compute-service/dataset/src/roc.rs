//! Receiver operating characteristics: what share of the positives is found at what share of false alarms.

use crate::Label;
use crate::{Curve, Spread};
use serde::Serialize;

/// A ROC curve with the area under it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Roc {
    /// (false positive rate, true positive rate), from (0, 0) to (1, 1), ascending in both; equal scores are one step.
    #[serde(skip)]
    pub points: Vec<(f64, f64)>,
    /// The area under it: the chance that a positive scores higher than a negative, a tie counting half. 0.5 where a class
    /// has no instance.
    pub auc: f64,
}

impl Roc {
    /// Of the scores of instances with these labels; a higher score is more positive.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn new(labels: &[Label], scores: &[f64]) -> Self {
        assert_eq!(labels.len(), scores.len(), "a score for each label");
        let mut ranked: Vec<(f64, Label)> = scores.iter().copied().zip(labels.iter().copied()).collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        let positives = labels.iter().filter(|label| **label == Label::Positive).count();
        let negatives = labels.len() - positives;
        if positives == 0 || negatives == 0 {
            return Self { points: vec![(0.0, 0.0), (1.0, 1.0)], auc: 0.5 };
        }
        let (mut found, mut alarms) = (0usize, 0usize);
        // Twice the area in units of one positive by one negative.
        let mut area = 0u64;
        let mut points = vec![(0.0, 0.0)];
        for tied in ranked.chunk_by(|a, b| a.0 == b.0) {
            let more = tied.iter().filter(|(_, label)| *label == Label::Positive).count();
            let wrong = tied.len() - more;
            area += (wrong * (2 * found + more)) as u64;
            found += more;
            alarms += wrong;
            points.push((alarms as f64 / negatives as f64, found as f64 / positives as f64));
        }
        Self { points, auc: area as f64 / (2 * positives * negatives) as f64 }
    }

    /// The true positive rate at a false positive rate in [0, 1]: the highest, between points on the line that joins them.
    pub fn at(&self, rate: f64) -> f64 {
        let after = self.points.partition_point(|(x, _)| *x <= rate);
        match (self.points[after - 1], self.points.get(after)) {
            ((_, y), None) => y,
            ((x0, y0), Some((x1, y1))) => y0 + (y1 - y0) * (rate - x0) / (x1 - x0),
        }
    }
}

/// The mean of curves at `steps + 1` equidistant false positive rates from 0 to 1 (vertical averaging).
pub fn mean_curve<'a>(curves: impl Iterator<Item = &'a Roc> + Clone, steps: u32) -> Curve {
    let rates = (0..=steps).map(|step| f64::from(step) / f64::from(steps));
    rates.map(|rate| Spread::from_values(curves.clone().map(|curve| curve.at(rate)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Label::{Negative as N, Positive as P};
    use proptest::prelude::*;

    #[test]
    fn the_textbooks_example() {
        // scikit-learn's: y = 0, 0, 1, 1 with scores 0.1, 0.4, 0.35, 0.8.
        let roc = Roc::new(&[N, N, P, P], &[0.1, 0.4, 0.35, 0.8]);
        assert_eq!(roc.auc, 0.75);
        assert_eq!(roc.points, [(0.0, 0.0), (0.0, 0.5), (0.5, 0.5), (0.5, 1.0), (1.0, 1.0)]);
        assert_eq!([0.0, 0.25, 0.5, 0.75, 1.0].map(|rate| roc.at(rate)), [0.5, 0.5, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn ties_count_half_and_are_one_step() {
        let all = Roc::new(&[P, N, P, N, N], &[2.0; 5]);
        assert_eq!((all.auc, all.points.as_slice()), (0.5, &[(0.0, 0.0), (1.0, 1.0)][..]));
        assert_eq!(all.at(0.3), 0.3);
        // Of 2 × 2 pairs one is won, two are tied and one is lost.
        let some = Roc::new(&[P, N, P, N], &[3.0, 2.0, 2.0, 2.0]);
        assert_eq!(some.auc, 0.75);
        assert_eq!(some.points, [(0.0, 0.0), (0.0, 0.5), (1.0, 1.0)]);
        assert_eq!(Roc::new(&[P, N], &[0.0, -0.0]).auc, 0.5, "zero has no sign");
    }

    #[test]
    fn perfect_and_worst() {
        assert_eq!(Roc::new(&[N, P, P], &[1.0, 2.0, 3.0]).auc, 1.0);
        assert_eq!(Roc::new(&[P, N, N], &[1.0, 2.0, 3.0]).auc, 0.0);
        assert_eq!(Roc::new(&[P, P], &[1.0, 2.0]).auc, 0.5);
        assert_eq!(Roc::new(&[], &[]).points, [(0.0, 0.0), (1.0, 1.0)]);
    }

    #[test]
    fn curves_are_averaged_at_each_rate() {
        let curves = [Roc::new(&[N, P], &[1.0, 2.0]), Roc::new(&[P, N], &[1.0, 2.0])];
        let mean = mean_curve(curves.iter(), 4);
        assert_eq!(mean.mean, [0.5, 0.5, 0.5, 0.5, 1.0]);
        assert_eq!(mean.deviation, [0.5, 0.5, 0.5, 0.5, 0.0]);
    }

    proptest! {
        #[test]
        fn the_area_is_the_share_of_pairs_won(
            instances in prop::collection::vec((any::<bool>(), 0u8..12), 2..60),
        ) {
            let labels: Vec<Label> = instances.iter().map(|(negative, _)| Label::of_sign(*negative)).collect();
            let scores: Vec<f64> = instances.iter().map(|(_, score)| f64::from(*score)).collect();
            let of = |class| instances.iter().zip(&labels).filter(move |(_, l)| **l == class).map(|((_, s), _)| *s);
            let pairs: Vec<f64> = of(P)
                .flat_map(|p| of(N).map(move |n| match p.cmp(&n) {
                    std::cmp::Ordering::Greater => 1.0,
                    std::cmp::Ordering::Equal => 0.5,
                    std::cmp::Ordering::Less => 0.0,
                }))
                .collect();
            prop_assume!(!pairs.is_empty());
            let roc = Roc::new(&labels, &scores);
            prop_assert!((roc.auc - pairs.iter().sum::<f64>() / pairs.len() as f64).abs() < 1e-12);
            // The trapezoids under the points are the same area.
            let under: f64 =
                roc.points.windows(2).map(|p| (p[1].0 - p[0].0) * (p[1].1 + p[0].1) / 2.0).sum();
            prop_assert!((roc.auc - under).abs() < 1e-12);
            prop_assert!(roc.points.windows(2).all(|p| p[0].0 <= p[1].0 && p[0].1 <= p[1].1));
            prop_assert_eq!(roc.points.last(), Some(&(1.0, 1.0)));
        }
    }
}
