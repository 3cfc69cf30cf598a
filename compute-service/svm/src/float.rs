//! The same training in double precision: what the fixed-point scales cost in accuracy is the number of indicators
//! that differ from it.

use crate::{Hyperparameters, Label, scaling::Scaled};

/// What the floating-point run learned.
#[derive(Clone, Debug, PartialEq)]
pub struct Float {
    /// Of each iteration, whether each visited instance was inside the margin, y·w·x < 1.
    pub indicators: Vec<Vec<bool>>,
    /// The final weights in the order of the table's columns.
    pub weights: Vec<f64>,
}

/// Trains on scaled rows; `schedule` names the rows that each iteration visits.
///
/// # Panics
/// Where rows, labels and schedule do not fit together.
pub fn train(
    training: &Scaled,
    labels: &[Label],
    schedule: &[Vec<u32>],
    parameters: &Hyperparameters,
) -> Float {
    assert_eq!(training.rows.len(), labels.len(), "a label for each row");
    let eta = parameters.learning_rate.to_f64();
    let (lambda, c) = (parameters.lambda.to_f64(), parameters.c.to_f64());
    let mut weights = vec![0.0; training.columns.len()];
    let mut indicators = Vec::with_capacity(schedule.len());
    for batch in schedule {
        let mut loss = vec![0.0; weights.len()];
        let mut inside = Vec::with_capacity(batch.len());
        for &instance in batch {
            let y = labels[instance as usize].sign() as f64;
            let x = &training.rows[instance as usize];
            let is_inside = y * dot(&weights, x) < 1.0;
            inside.push(is_inside);
            if is_inside {
                loss.iter_mut().zip(x).for_each(|(sum, x)| *sum += y * x);
            }
        }
        weights.iter_mut().zip(loss).for_each(|(w, loss)| *w -= eta * (lambda * *w - c * loss));
        indicators.push(inside);
    }
    Float { indicators, weights }
}

impl Float {
    /// sign(w·x) of each row; a tie is +1.
    ///
    /// # Panics
    /// Where the rows have other columns than the training rows had.
    pub fn predict(&self, rows: &Scaled) -> Vec<Label> {
        rows.rows.iter().map(|row| Label::of_sign(dot(&self.weights, row) < 0.0)).collect()
    }
}

fn dot(w: &[f64], x: &[f64]) -> f64 {
    assert_eq!(w.len(), x.len(), "a weight for each feature");
    w.iter().zip(x).map(|(w, x)| w * x).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_equations_by_hand() {
        let training = Scaled {
            columns: vec!["a".into(), "b".into()],
            lines: vec![1, 2],
            rows: vec![vec![2.0, 0.0], vec![0.0, 4.0]],
        };
        let parameters = Hyperparameters {
            learning_rate: "0.5".parse().unwrap(),
            lambda: "0.5".parse().unwrap(),
            c: "1".parse().unwrap(),
        };
        let labels = [Label::Positive, Label::Negative];
        let run = train(&training, &labels, &[vec![0, 1], vec![0], vec![1]], &parameters);
        // w: (1, −2), then margin 2 ≥ 1: (0.75, −1.5), then margin 6 ≥ 1: (0.5625, −1.125).
        assert_eq!(run.indicators, [vec![true, true], vec![false], vec![false]]);
        assert_eq!(run.weights, [0.5625, -1.125]);
        assert_eq!(run.predict(&training), labels);
    }
}
