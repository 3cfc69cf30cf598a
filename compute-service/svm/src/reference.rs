//! The plaintext reference: the training of eqs 5.1 to 5.4 on the unsplit table, to be compared with.
//!
//! It shares no arithmetic with the protocol. Everything is an unbounded integer or a fraction of two, written as
//! the equations are; the scales and the one rounding per coordinate are those that the protocol promises.

use crate::Hyperparameters;
use dataset::{Label, scaling::Scaled};
use num_bigint::BigInt;
use num_integer::Integer;
use num_traits::{One, Signed, Zero};
use records::Decimal;
use serde::{Deserialize, Serialize};

/// Features are multiples of 2^−12, weights of 2^−24.
const X_PLACES: usize = 12;
const W_PLACES: usize = 24;

/// What a training by rows adds (eqs 4.7 to 4.10); a training by columns has none of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Whether the model is w·x − b. b is then the last weight, and λ leaves it alone.
    pub intercept: bool,
    /// Training ends when ‖λw − C·Σ I·y·x‖, b included, is not above this.
    pub tolerance: Option<Decimal>,
}

/// What the reference learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Of each iteration, whether each visited instance was inside the margin, y·w·x < 1.
    pub indicators: Vec<Vec<bool>>,
    /// The final weights, in units of 2^−24, in the order of the table's columns.
    pub weights: Vec<BigInt>,
    /// The weights before each iteration, and the final ones.
    pub course: Vec<Vec<BigInt>>,
    /// The largest |y·w·x| of all visits, in units of 2^−36.
    pub largest_margin: BigInt,
    /// As it was asked for.
    pub variant: Variant,
}

/// Trains on scaled rows; `schedule` names the rows that each iteration visits.
///
/// # Panics
/// Where rows, labels and schedule do not fit together, or a value is not finite.
pub fn train(
    training: &Scaled,
    labels: &[Label],
    schedule: &[Vec<u32>],
    parameters: &Hyperparameters,
    variant: Variant,
) -> Reference {
    let rows: Vec<Vec<BigInt>> = training.rows.iter().map(|row| variant.row(row)).collect();
    assert_eq!(rows.len(), labels.len(), "a label for each row");
    let y: Vec<BigInt> = labels.iter().map(|label| BigInt::from(label.sign())).collect();

    // Decimals are fractions over 10^9.
    let nine_places = BigInt::from(1_000_000_000);
    let eta = BigInt::from(parameters.learning_rate.raw());
    let lambda = BigInt::from(parameters.lambda.raw());
    let c = BigInt::from(parameters.c.raw());
    let one = BigInt::one() << (X_PLACES + W_PLACES);

    let features = training.columns.len();
    let mut w = vec![BigInt::zero(); features + usize::from(variant.intercept)];
    let mut indicators = Vec::with_capacity(schedule.len());
    let mut largest_margin = BigInt::zero();
    let mut course = vec![w.clone()];
    for batch in schedule {
        let mut inside = Vec::with_capacity(batch.len());
        let mut loss = vec![BigInt::zero(); w.len()];
        for &s in batch {
            let s = s as usize;
            let margin = &y[s] * dot(&w, &rows[s]);
            largest_margin = largest_margin.max(margin.abs());
            inside.push(margin < one);
            if margin < one {
                for (sum, x) in loss.iter_mut().zip(&rows[s]) {
                    *sum += &y[s] * x;
                }
            }
        }
        let mut norm = BigInt::zero();
        for (place, (w, loss)) in w.iter_mut().zip(loss).enumerate() {
            // Δ = λw − C·Σ I·y·x in units of 2^−24·10^−9, then w − ηΔ in units of 2^−24·10^−18.
            let regulariser = if place < features { &lambda * &*w } else { BigInt::zero() };
            let delta = regulariser - ((&c * loss) << (W_PLACES - X_PLACES));
            norm += &delta * &delta;
            let denominator = &nine_places * &nine_places;
            *w = nearest(&(&*w * &denominator - &eta * delta), &denominator);
        }
        indicators.push(inside);
        course.push(w.clone());
        let most = variant.tolerance.map(|tolerance| BigInt::from(tolerance.raw()) << W_PLACES);
        if most.is_some_and(|most| norm <= &most * &most) {
            break;
        }
    }
    Reference { indicators, weights: w, course, largest_margin, variant }
}

impl Variant {
    fn row(&self, row: &[f64]) -> Vec<BigInt> {
        let intercept = self.intercept.then(|| -(BigInt::one() << X_PLACES));
        row.iter().map(|x| feature(*x)).chain(intercept).collect()
    }
}

impl Reference {
    /// w·x of each row, in units of 2^−36.
    ///
    /// # Panics
    /// Where the rows have other columns than the training rows had.
    pub fn scores(&self, rows: &Scaled) -> Vec<BigInt> {
        rows.rows.iter().map(|row| dot(&self.weights, &self.variant.row(row))).collect()
    }

    /// sign(w·x) of each row; a tie is +1.
    ///
    /// # Panics
    /// As [`Reference::scores`].
    pub fn predict(&self, rows: &Scaled) -> Vec<Label> {
        self.scores(rows).iter().map(|score| Label::of_sign(score.is_negative())).collect()
    }
}

fn dot(w: &[BigInt], x: &[BigInt]) -> BigInt {
    assert_eq!(w.len(), x.len(), "a weight for each feature");
    w.iter().zip(x).map(|(w, x)| w * x).sum()
}

/// The multiple of 2^−12 nearest to x, from the bits of the floating-point number.
fn feature(x: f64) -> BigInt {
    assert!(x.is_finite(), "a finite feature");
    let bits = x.to_bits();
    let (exponent, fraction) = ((bits >> 52 & 0x7ff) as i32, bits & ((1 << 52) - 1));
    // |x| = significand · 2^power.
    let (significand, power) =
        if exponent == 0 { (fraction, -1074) } else { (fraction | 1 << 52, exponent - 1075) };
    let significand =
        if x.is_sign_negative() { -BigInt::from(significand) } else { BigInt::from(significand) };
    let shift = power + X_PLACES as i32;
    if shift >= 0 {
        significand << shift.unsigned_abs()
    } else {
        nearest(&significand, &(BigInt::one() << shift.unsigned_abs()))
    }
}

/// The integer nearest to a fraction with a positive denominator; of two the even one.
fn nearest(numerator: &BigInt, denominator: &BigInt) -> BigInt {
    let (quotient, rest) = numerator.div_mod_floor(denominator);
    let twice = rest << 1;
    if &twice > denominator || (&twice == denominator && quotient.is_odd()) { quotient + 1 } else { quotient }
}

#[cfg(test)]
mod tests {
    use super::*;
    use num_traits::FromPrimitive;

    fn scaled(rows: &[&[f64]]) -> Scaled {
        Scaled {
            columns: (1..=rows[0].len()).map(|c| c.to_string()).collect(),
            lines: (1..=rows.len() as u64).collect(),
            rows: rows.iter().map(|r| r.to_vec()).collect(),
        }
    }

    #[test]
    fn follows_the_equations_by_hand() {
        let training = scaled(&[&[2.0, 0.0], &[0.0, 4.0]]);
        let parameters = Hyperparameters {
            learning_rate: "0.5".parse().unwrap(),
            lambda: "0.5".parse().unwrap(),
            c: "1".parse().unwrap(),
        };
        let labels = [Label::Positive, Label::Negative];
        let run = train(&training, &labels, &[vec![0, 1], vec![0], vec![1]], &parameters, Variant::default());
        // w: (1, −2), then margin 2 ≥ 1: (0.75, −1.5), then margin 6 ≥ 1: (0.5625, −1.125).
        assert_eq!(run.indicators, [vec![true, true], vec![false], vec![false]]);
        assert_eq!(run.weights, [BigInt::from(9 << 20), BigInt::from(-18 << 20)]);
        assert_eq!(run.largest_margin, BigInt::from(6) << 36);
        assert_eq!(run.course.len(), 4);
        assert_eq!((&run.course[1][1], &run.course[3]), (&BigInt::from(-2 << 24), &run.weights));
        assert_eq!(run.predict(&training), labels);
    }

    #[test]
    fn a_margin_of_exactly_one_is_outside_and_a_score_of_zero_positive() {
        let training = scaled(&[&[1.0], &[-1.0]]);
        let parameters = Hyperparameters {
            learning_rate: "1".parse().unwrap(),
            lambda: "0".parse().unwrap(),
            c: "1".parse().unwrap(),
        };
        let run = train(
            &training,
            &[Label::Positive; 2],
            &[vec![0], vec![0], vec![1]],
            &parameters,
            Variant::default(),
        );
        assert_eq!(run.indicators, [[true], [false], [true]]);
        assert!(run.weights[0].is_zero());
        assert_eq!(run.predict(&training), [Label::Positive; 2]);
    }

    #[test]
    fn features_are_the_nearest_multiples_of_the_scale() {
        for (units, expected) in [
            (0.5, 0),
            (1.5, 2),
            (-0.5, 0),
            (-1.5, -2),
            (2.500_000_1, 3),
            (-4096.0, -4096),
            (0.0, 0),
            (-0.0, 0),
        ] {
            assert_eq!(feature(units / 4096.0), BigInt::from(expected), "{units}");
        }
        assert_eq!(feature(f64::MIN_POSITIVE / 2.0), BigInt::zero());
        assert_eq!(feature(1e300), BigInt::from_f64(1e300 * 4096.0).unwrap());
    }
}
