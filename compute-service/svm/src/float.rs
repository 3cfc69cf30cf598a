//! The same training in double precision: what the fixed-point scales cost in accuracy is the number of indicators
//! that differ from it.

use crate::{Hyperparameters, Label, reference::Variant, scaling::Scaled};

/// What the floating-point run learned.
#[derive(Clone, Debug, PartialEq)]
pub struct Float {
    /// Of each iteration, whether each visited instance was inside the margin, y·w·x < 1.
    pub indicators: Vec<Vec<bool>>,
    /// The final weights in the order of the table's columns, b behind them where the variant has it.
    pub weights: Vec<f64>,
    /// As it was asked for.
    pub variant: Variant,
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
    variant: Variant,
) -> Float {
    let rows: Vec<Vec<f64>> = training.rows.iter().map(|row| extended(variant, row)).collect();
    assert_eq!(rows.len(), labels.len(), "a label for each row");
    let eta = parameters.learning_rate.to_f64();
    let (lambda, c) = (parameters.lambda.to_f64(), parameters.c.to_f64());
    let features = training.columns.len();
    let mut weights = vec![0.0; features + usize::from(variant.intercept)];
    let mut indicators = Vec::with_capacity(schedule.len());
    for batch in schedule {
        let mut loss = vec![0.0; weights.len()];
        let mut inside = Vec::with_capacity(batch.len());
        for &instance in batch {
            let y = labels[instance as usize].sign() as f64;
            let x = &rows[instance as usize];
            let is_inside = y * dot(&weights, x) < 1.0;
            inside.push(is_inside);
            if is_inside {
                loss.iter_mut().zip(x).for_each(|(sum, x)| *sum += y * x);
            }
        }
        let mut norm = 0.0;
        for (place, (w, loss)) in weights.iter_mut().zip(loss).enumerate() {
            let delta = if place < features { lambda * *w } else { 0.0 } - c * loss;
            norm += delta * delta;
            *w -= eta * delta;
        }
        indicators.push(inside);
        if variant.tolerance.is_some_and(|tolerance| norm.sqrt() <= tolerance.to_f64()) {
            break;
        }
    }
    Float { indicators, weights, variant }
}

impl Float {
    /// sign(w·x) of each row; a tie is +1.
    ///
    /// # Panics
    /// Where the rows have other columns than the training rows had.
    pub fn predict(&self, rows: &Scaled) -> Vec<Label> {
        let class = |row: &Vec<f64>| Label::of_sign(dot(&self.weights, &extended(self.variant, row)) < 0.0);
        rows.rows.iter().map(class).collect()
    }
}

/// x with the intercept's −1 behind it.
fn extended(variant: Variant, row: &[f64]) -> Vec<f64> {
    row.iter().copied().chain(variant.intercept.then_some(-1.0)).collect()
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
        let run = train(&training, &labels, &[vec![0, 1], vec![0], vec![1]], &parameters, Variant::default());
        // w: (1, −2), then margin 2 ≥ 1: (0.75, −1.5), then margin 6 ≥ 1: (0.5625, −1.125).
        assert_eq!(run.indicators, [vec![true, true], vec![false], vec![false]]);
        assert_eq!(run.weights, [0.5625, -1.125]);
        assert_eq!(run.predict(&training), labels);
    }
    #[test]
    fn an_intercept_is_not_regularised_and_a_short_gradient_ends_training() {
        let training =
            Scaled { columns: vec!["a".into()], lines: vec![1, 2], rows: vec![vec![1.0], vec![3.0]] };
        let parameters = Hyperparameters {
            learning_rate: "1".parse().unwrap(),
            lambda: "0.5".parse().unwrap(),
            c: "0.5".parse().unwrap(),
        };
        let labels = [Label::Negative, Label::Positive];
        let with = |tolerance: Option<&str>| {
            let tolerance = tolerance.map(|text| text.parse().unwrap());
            let variant = Variant { intercept: true, tolerance };
            train(&training, &labels, &[vec![0, 1], vec![0], vec![1]], &parameters, variant)
        };
        // (w, b): (1, 0), then row 1 in the margin: (0, 0.5), then row 2 in the margin: (1.5, 0).
        let run = with(None);
        assert_eq!(run.indicators, [vec![true, true], vec![true], vec![true]]);
        assert_eq!(run.weights, [1.5, 0.0]);
        assert_eq!(run.predict(&training), [Label::Positive; 2]);
        // ‖Δ‖ is 1, √1.25 and √2.5.
        assert_eq!(with(Some("0.9")).indicators.len(), 3);
        assert_eq!(with(Some("1")).weights, [1.0, 0.0]);
    }
}
