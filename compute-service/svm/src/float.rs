//! The same training in double precision, from the table on: what the fixed-point scales cost in accuracy is the number of
//! indicators that differ from it.
//!
//! It shares no arithmetic with the protocols, their scaling or the plaintext reference, so that a fault of theirs shows
//! as a difference from it.

use crate::{Hyperparameters, reference::Variant};
use dataset::{
    Label,
    scaling::{Scaled, Scaling},
    table::Table,
};

/// How columns are scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Means {
    /// To what.
    pub scaling: Scaling,
    /// Whether a gap counts as a value at the mean when the deviation is formed.
    pub gaps_count: bool,
}

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

/// Some rows of a table, scaled by what the training rows are. A value is measured from the column's first value in terms of
/// the greatest distance from it, so that neither offset nor unit matter.
///
/// # Panics
/// Where there is no such row, or a column has no value in the training rows.
pub fn scaled(table: &Table, training: &[usize], rows: &[usize], means: Means) -> Scaled {
    let mut scaled = Scaled {
        columns: table.columns.clone(),
        lines: rows.iter().map(|&row| table.rows[row].line).collect(),
        rows: vec![Vec::with_capacity(table.columns.len()); rows.len()],
    };
    for column in 0..table.columns.len() {
        let cell = |&row: &usize| table.rows[row].values[column];
        let known: Vec<f64> = training.iter().filter_map(cell).collect();
        let origin = *known.first().expect("a column with a value to train on");
        let distance = |x: f64| x / 4.0 - origin / 4.0;
        let reach = known.iter().map(|x| distance(*x).abs()).fold(0.0, f64::max);
        let reach = if reach == 0.0 { 0.25 } else { reach };
        let relative = |x: f64| distance(x) / reach;
        let mean = known.iter().map(|x| relative(*x)).sum::<f64>() / known.len() as f64;
        let count = if means.gaps_count { training.len() } else { known.len() };
        let variance = known.iter().map(|x| (relative(*x) - mean).powi(2)).sum::<f64>() / count as f64;
        let (low, high) = known
            .iter()
            .map(|x| relative(*x))
            .fold((0.0, 0.0), |(low, high): (f64, f64), x| (low.min(x), high.max(x)));
        let value = |x: Option<f64>| match means.scaling {
            Scaling::None => x.unwrap_or((mean * reach + origin / 4.0) * 4.0),
            Scaling::Std if variance > 0.0 => (x.map_or(mean, relative) - mean) / variance.sqrt(),
            Scaling::Unit if high > low => (2.0 * x.map_or(mean, relative) - low - high) / (high - low),
            // Constant: as it is, about 0.
            _ => x.map_or(0.0, |x| distance(x) * 4.0),
        };
        for (scaled, row) in scaled.rows.iter_mut().zip(rows) {
            scaled.push(value(cell(row)).clamp(-f64::MAX, f64::MAX));
        }
    }
    scaled
}

/// A column in which some row of two scalings differs by more than the unit of a feature, and by more than the rounding
/// of floats.
pub fn differing<'a>(one: &'a Scaled, other: &Scaled) -> Option<&'a str> {
    let differs = |(a, b): (&f64, &f64)| (a - b).abs() > 2f64.powi(-12) * a.abs().max(1.0);
    let mut places = one.rows.iter().zip(&other.rows).filter_map(|(a, b)| a.iter().zip(b).position(differs));
    places.next().map(|place| one.columns[place].as_str())
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
    fn scales_by_hand_whatever_the_unit_and_the_offset() {
        // Mean 5, population deviation 2: the textbook's example; a test value, and a gap.
        for (unit, offset) in [(1.0, 0.0), (1e-9, 0.0), (1e300, 0.0), (1e-300, 0.0), (0.001, 2020.0)] {
            let values = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0, 11.0].map(|v| v * unit + offset);
            let text = values.map(|v| v.to_string()).join("\n") + "\n?";
            let table = Table::parse(text.as_bytes(), &Default::default()).unwrap();
            let training: Vec<usize> = (0..8).collect();
            let of = |scaling| {
                let rows = scaled(&table, &training, &[0, 4, 8, 9], Means { scaling, gaps_count: true }).rows;
                rows.concat()
            };
            let close = |found: Vec<f64>, expected: [f64; 4]| {
                let all = found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-8);
                assert!(all, "{unit}, {offset}: {found:?}");
            };
            close(of(Scaling::Std), [-1.5, 0.0, 3.0, 0.0]);
            close(of(Scaling::Unit), [-1.0, -1.0 / 7.0, 11.0 / 7.0, -1.0 / 7.0]);
            let same = of(Scaling::None);
            assert_eq!(same[..3], [values[0], values[4], values[8]]);
            assert!((same[3] / (5.0 * unit + offset) - 1.0).abs() < 1e-12, "{same:?}");
        }
    }

    #[test]
    fn gaps_count_or_not_and_a_constant_column_is_nothing() {
        let table = Table::parse(b"1,5e17\n?,5e17\n3,5e17\n", &Default::default()).unwrap();
        for (gaps_count, deviation) in [(true, (2.0f64 / 3.0).sqrt()), (false, 1.0)] {
            let means = Means { scaling: Scaling::Std, gaps_count };
            let rows = scaled(&table, &[0, 1, 2], &[0, 1, 2], means).rows;
            assert_eq!(rows, [[-1.0 / deviation, 0.0], [0.0, 0.0], [1.0 / deviation, 0.0]]);
        }
    }

    #[test]
    fn a_scaling_that_differs_is_found() {
        let one = Scaled {
            columns: vec!["a".into(), "b".into()],
            lines: vec![1, 2],
            rows: vec![vec![0.5, 1e6], vec![1.0, -2.0]],
        };
        assert_eq!(differing(&one, &one), None);
        let with = |row: usize, column: usize, by: f64| {
            let mut other = one.clone();
            other.rows[row][column] += by;
            other
        };
        assert_eq!(differing(&one, &with(1, 0, 0.001)), Some("a"));
        assert_eq!(differing(&one, &with(1, 1, 0.001)), Some("b"));
        assert_eq!(differing(&one, &with(0, 1, 100.0)), None, "relative to the value");
    }

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
