//! Exact fixed-point training arithmetic: what a participant computes on its own columns.
//!
//! Features are integers at scale 2^12, weights at 2^24, margins y·Σ wⱼxⱼ exact integers at 2^36. An update is
//! computed exactly and rounded once per coordinate, half to even. A coordinate of the model therefore depends on
//! its own column and the indicators alone, and the sum of the participants' margins does not depend on who holds
//! which column. Whatever does not fit is an error, never a wrapped result.

use crate::Hyperparameters;
use dataset::{Label, scaling::Scaled};
use num_bigint::BigInt;
use num_traits::{FromPrimitive, Signed};
use records::SCALE;
use std::{fmt, ops::Range};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Binary places of a feature.
pub const FEATURE_PLACES: u32 = 12;
/// Binary places of a weight.
pub const WEIGHT_PLACES: u32 = 24;
/// S: the margin 1, at the scale 2^36 of margins.
pub const ONE: i64 = 1 << (FEATURE_PLACES + WEIGHT_PLACES);

/// Sixteen units of a feature: values of a column that is not constant differ by this at least.
const LEAST_SPREAD: f64 = 16.0 / (1 << FEATURE_PLACES) as f64;

/// Why a number does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FixedError {
    /// A scaled feature of 2^19 or more.
    #[error(
        "line {line}, column `{column}`: the value overflows the fixed-point scale (after scaling its magnitude must \
         be below 524,288)"
    )]
    Feature {
        /// Line of the file.
        line: u64,
        /// Name of the column.
        column: String,
    },
    /// A column whose values become next to the same.
    #[error(
        "column `{column}`: the values differ by less than 0.004, which is lost in the fixed-point scale (its unit is \
         1/4,096)"
    )]
    Fine {
        /// Name of the column.
        column: String,
    },
    /// A margin that the blinding of the judge does not cover.
    #[error(
        "the margin of training instance {instance} exceeds the range that the judge's margin bits allow a \
         participant; scale the features, or use a smaller learning rate or more margin bits"
    )]
    Margin {
        /// Index of the training instance, from 0.
        instance: usize,
    },
    /// A weight of 2^39 or more.
    #[error("weight {feature} overflows in iteration {iteration}; use a smaller learning rate")]
    Weight {
        /// Index of the participant's feature, from 0.
        feature: usize,
        /// Iteration, from 0.
        iteration: usize,
    },
}

/// The features of one participant, at scale 2^12; wiped on drop, never shown.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Features {
    width: usize,
    values: Vec<i32>,
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Features({} × {})", self.len(), self.width)
    }
}

impl Features {
    /// Rounds scaled values to the nearest multiple of 2^−12, half to even.
    ///
    /// # Errors
    /// [`FixedError::Feature`] for the first value that does not fit.
    pub fn encode(scaled: &Scaled) -> Result<Self, FixedError> {
        let width = scaled.columns.len();
        let mut features = Self { width, values: Vec::with_capacity(width * scaled.rows.len()) };
        for (row, &line) in scaled.rows.iter().zip(&scaled.lines) {
            for (&value, column) in row.iter().zip(&scaled.columns) {
                let fixed =
                    to_fixed(value).ok_or_else(|| FixedError::Feature { line, column: column.clone() })?;
                features.values.push(fixed);
            }
        }
        Ok(features)
    }

    /// The same for training rows, whose columns must not lose what they tell instances apart by.
    ///
    /// # Errors
    /// [`FixedError::Feature`], [`FixedError::Fine`].
    pub fn encode_training(scaled: &Scaled) -> Result<Self, FixedError> {
        let features = Self::encode(scaled)?;
        for (place, column) in scaled.columns.iter().enumerate() {
            let values = || scaled.rows.iter().map(|row| row[place]);
            let spread = values().fold(f64::NEG_INFINITY, f64::max) - values().fold(f64::INFINITY, f64::min);
            if spread > 0.0 && spread < LEAST_SPREAD {
                return Err(FixedError::Fine { column: column.clone() });
            }
        }
        Ok(features)
    }

    /// From integers at scale 2^12.
    ///
    /// # Panics
    /// Where a row has not `width` values or `width` is zero.
    pub fn from_rows(width: usize, rows: &[Vec<i32>]) -> Self {
        assert!(width > 0 && rows.iter().all(|r| r.len() == width), "rows of equal, positive width");
        Self { width, values: rows.concat() }
    }

    /// Number of instances.
    pub fn len(&self) -> usize {
        self.values.len() / self.width
    }

    /// Whether there is no instance.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Number of features.
    pub fn width(&self) -> usize {
        self.width
    }

    /// xⁱ of one instance.
    ///
    /// # Panics
    /// Where there is no such instance.
    pub fn row(&self, instance: usize) -> &[i32] {
        &self.values[instance * self.width..][..self.width]
    }

    /// The same instances with some of the columns only.
    ///
    /// # Panics
    /// Where the range is empty or goes beyond the columns.
    pub fn columns(&self, range: Range<usize>) -> Self {
        let rows: Vec<_> = (0..self.len()).map(|i| self.row(i)[range.clone()].to_vec()).collect();
        Self::from_rows(range.len(), &rows)
    }
}

fn to_fixed(value: f64) -> Option<i32> {
    let scaled = (value * f64::from(1 << FEATURE_PLACES)).round_ties_even();
    // False for NaN, too.
    (scaled.abs() <= f64::from(i32::MAX)).then_some(scaled as i32)
}

/// The largest |aⁱ| that a participant may contribute, so that n parts and S stay below 2^b whatever their signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarginBound(i64);

impl MarginBound {
    /// For b = `margin_bits` and n = `parties`: n·|aⁱ| + S < 2^b.
    ///
    /// # Panics
    /// Where b is not in 37..=60 or there is no party (`records::JobParams::validate` refuses both).
    pub fn new(margin_bits: u32, parties: u32) -> Self {
        assert!((37..=60).contains(&margin_bits) && parties > 0, "validated job parameters");
        Self(((1 << margin_bits) - ONE - 1) / i64::from(parties))
    }

    /// The bound itself, at scale 2^36.
    pub fn largest(self) -> i64 {
        self.0
    }
}

/// aⁱ = y·Σ wⱼxⱼ of one instance over the participant's own columns, exact at scale 2^36.
///
/// # Errors
/// [`FixedError::Margin`] where |aⁱ| exceeds the bound.
///
/// # Panics
/// Where there is no such instance or the widths differ.
pub fn margin(
    weights: &[i64],
    features: &Features,
    labels: &[Label],
    instance: usize,
    bound: MarginBound,
) -> Result<i64, FixedError> {
    let margin = i128::from(labels[instance].sign()) * score(weights, features.row(instance));
    i64::try_from(margin)
        .ok()
        .filter(|a| a.unsigned_abs() <= bound.0.unsigned_abs())
        .ok_or(FixedError::Margin { instance })
}

/// wⁱ·xⁱ, exact at scale 2^36; the prediction is the sign of the sum of all participants' scores.
///
/// # Panics
/// Where the widths differ.
pub fn score(weights: &[i64], row: &[i32]) -> i128 {
    assert_eq!(weights.len(), row.len(), "a weight per feature");
    // |w·x| < 2^94 and a row has less than 2^32 values.
    weights.iter().zip(row).map(|(&w, &x)| i128::from(w) * i128::from(x)).sum()
}

/// wⁱ·xⁱ of scaled values of any size, rounded as features are.
///
/// # Panics
/// Where the widths differ or a value is not finite.
pub fn score_of_any(weights: &[i64], row: &[f64]) -> BigInt {
    assert_eq!(weights.len(), row.len(), "a weight per feature");
    let product = |(&w, &value): (&i64, &f64)| match to_fixed(value) {
        Some(x) => BigInt::from(i128::from(w) * i128::from(x)),
        // Where the product with 2^12 is beyond all floats, the value is a whole number.
        None => match BigInt::from_f64((value * f64::from(1 << FEATURE_PLACES)).round_ties_even()) {
            Some(x) => x * w,
            None => (BigInt::from_f64(value).expect("a finite value") << FEATURE_PLACES) * w,
        },
    };
    weights.iter().zip(row).map(product).sum()
}

/// As [`predict`], of a score of any size.
pub fn class_of(score: &BigInt) -> Label {
    Label::of_sign(score.is_negative())
}

/// The class of a whole score: sign(w·x), a tie is +1.
pub fn predict(score: i128) -> Label {
    Label::of_sign(score < 0)
}

/// One participant's update w ← w − η(λw − C·Σ I·y·x), with η, λ and C as exact decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update {
    /// 1 − ηλ in units of 10^−18.
    keep: i128,
    /// ηC in units of 10^−18.
    gain: i128,
}

/// Units of the product of two decimals.
const UNIT: i128 = (SCALE as i128) * (SCALE as i128);

impl Update {
    /// The update for the parameters of a job.
    pub fn new(parameters: &Hyperparameters) -> Self {
        let units = |d: records::Decimal| i128::from(d.raw());
        let rate = units(parameters.learning_rate);
        Self {
            // Decimals are below 2^63, so that the products are below 2^126.
            keep: UNIT - rate * units(parameters.lambda),
            gain: rate * units(parameters.c),
        }
    }

    /// As `self`, for a weight that the regulariser leaves alone.
    pub(crate) fn unregularised(&self) -> Self {
        Self { keep: UNIT, ..*self }
    }

    /// One iteration: `batch` names the visited instances and `indicators` says for each whether it is inside the
    /// margin. `iteration` is for the error only.
    ///
    /// # Errors
    /// [`FixedError::Weight`]; the weights are then useless.
    ///
    /// # Panics
    /// Where the lengths do not agree or there is no such instance.
    pub fn step(
        &self,
        weights: &mut [i64],
        features: &Features,
        labels: &[Label],
        (batch, indicators): (&[u32], &[bool]),
        iteration: usize,
    ) -> Result<(), FixedError> {
        assert_eq!(batch.len(), indicators.len(), "an indicator per visited instance");
        assert_eq!(weights.len(), features.width(), "a weight per feature");
        let mut gradient = vec![0i64; weights.len()];
        for (&instance, _) in batch.iter().zip(indicators).filter(|(_, inside)| **inside) {
            let sign = labels[instance as usize].sign();
            for (g, &x) in gradient.iter_mut().zip(features.row(instance as usize)) {
                // A batch has less than 2^32 instances.
                *g += sign * i64::from(x);
            }
        }
        for (feature, (w, g)) in weights.iter_mut().zip(gradient).enumerate() {
            *w = self.coordinate(*w, g).ok_or(FixedError::Weight { feature, iteration })?;
        }
        Ok(())
    }

    /// round((1 − ηλ)·w + ηC·g), where it is below 2^63 (so that 2^39 in reals).
    pub(crate) fn coordinate(&self, weight: i64, gradient: i64) -> Option<i64> {
        let kept = self.keep.checked_mul(i128::from(weight))?;
        let gained = self.gain.checked_mul(i128::from(gradient) << FEATURE_PLACES)?;
        i64::try_from(round_half_even(kept.checked_add(gained)?, UNIT)).ok()
    }
}

/// The weights after all iterations that `indicators` covers, from w⁰ = 0; a pure function of the history.
///
/// # Errors
/// [`FixedError::Weight`].
///
/// # Panics
/// As [`Update::step`]; where there are more rows of indicators than of the schedule.
pub fn weights(
    features: &Features,
    labels: &[Label],
    schedule: &[Vec<u32>],
    indicators: &[Vec<bool>],
    update: &Update,
) -> Result<Vec<i64>, FixedError> {
    assert!(indicators.len() <= schedule.len(), "indicators of scheduled iterations");
    let mut weights = vec![0; features.width()];
    for (iteration, (batch, indicators)) in schedule.iter().zip(indicators).enumerate() {
        update.step(&mut weights, features, labels, (batch, indicators), iteration)?;
    }
    Ok(weights)
}

/// The integer nearest to numerator/denominator, the even one of two; the denominator is positive.
fn round_half_even(numerator: i128, denominator: i128) -> i128 {
    let (floor, rest) = (numerator.div_euclid(denominator), numerator.rem_euclid(denominator));
    let up = match rest.cmp(&(denominator - rest)) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => floor & 1 == 1,
        std::cmp::Ordering::Greater => true,
    };
    floor + i128::from(up)
}

#[cfg(test)]
mod tests {
    use super::*;
    use num_integer::Integer;
    use proptest::prelude::*;

    fn parameters(learning_rate: &str, lambda: &str, c: &str) -> Hyperparameters {
        let decimal = |text: &str| text.parse().unwrap();
        Hyperparameters { learning_rate: decimal(learning_rate), lambda: decimal(lambda), c: decimal(c) }
    }

    fn scaled(value: f64) -> Scaled {
        Scaled { columns: vec!["age".into()], lines: vec![17], rows: vec![vec![value]] }
    }

    #[test]
    fn features_round_half_to_even() {
        for (value, expected) in
            [(0.5, 0), (1.5, 2), (2.5, 2), (-0.5, 0), (-1.5, -2), (-2.5, -2), (2.5001, 3), (4096.0, 4096)]
        {
            let features = Features::encode(&scaled(value / 4096.0)).unwrap();
            assert_eq!(features.row(0), [expected], "{value}");
        }
    }

    #[test]
    fn a_feature_that_overflows_is_named() {
        let named = FixedError::Feature { line: 17, column: "age".into() };
        for value in [524_288.0, -524_288.0, 1e300, f64::INFINITY, f64::NAN] {
            assert_eq!(Features::encode(&scaled(value)).as_ref(), Err(&named), "{value}");
        }
        assert_eq!(Features::encode(&scaled(524_287.999)).unwrap().row(0), [i32::MAX - 3]);
        assert!(named.to_string().starts_with("line 17, column `age`"));
    }

    #[test]
    fn a_column_that_would_become_constant_is_named() {
        let of = |values: &[f64]| {
            let rows: Vec<Vec<f64>> = values.iter().map(|v| vec![*v]).collect();
            let lines = (2..2 + values.len() as u64).collect();
            Features::encode_training(&Scaled { columns: vec!["age".into()], lines, rows })
        };
        for fine in [[1e-9, 3e-9, 2e-9], [5.0, 5.0, 5.003], [1e-300, 0.0, 0.0]] {
            assert_eq!(of(&fine), Err(FixedError::Fine { column: "age".into() }), "{fine:?}");
        }
        for coarse in [[0.0, 0.01, 0.0], [7.0; 3], [1e-9; 3], [-1.0, 1.0, 0.0]] {
            assert!(of(&coarse).is_ok(), "{coarse:?}");
        }
    }

    #[test]
    fn scores_of_values_of_any_size() {
        let row = [0.3, -1e9, f64::MAX, 1e-300];
        let weights = [3 << 20, 5 << 20, 1, 7];
        let whole = |x: f64| BigInt::from_f64(x).unwrap();
        let expected = whole(1229.0) * (3 << 20) + whole(-1e9) * (5i64 << 32) + (whole(f64::MAX) << 12);
        assert_eq!(score_of_any(&weights, &row), expected);
        let small = [0.3, -1.5, 7.25, 0.1];
        let features = Features::encode(&Scaled {
            columns: ["a", "b", "c", "d"].map(String::from).to_vec(),
            lines: vec![1],
            rows: vec![small.to_vec()],
        });
        let expected = score(&weights, features.unwrap().row(0));
        assert_eq!(score_of_any(&weights, &small), BigInt::from(expected));
    }

    #[test]
    fn one_step_by_hand() {
        // w = 1, x = 1/2, y = −1 inside the margin: 1 − 0.5·(0.25·1 + 3·1/2) = 0.125.
        let features = Features::from_rows(1, &[vec![1 << 11]]);
        let mut weights = [1 << WEIGHT_PLACES];
        let update = Update::new(&parameters("0.5", "0.25", "3"));
        update.step(&mut weights, &features, &[Label::Negative], (&[0], &[true]), 0).unwrap();
        assert_eq!(weights, [1 << (WEIGHT_PLACES - 3)]);
        // Outside of it only the regulariser counts: 0.125·(1 − 0.125).
        update.step(&mut weights, &features, &[Label::Negative], (&[0], &[false]), 0).unwrap();
        assert_eq!(weights, [7 << (WEIGHT_PLACES - 6)]);
    }

    #[test]
    fn a_tie_rounds_to_the_even_weight() {
        // ηC = 2^−13 of a unit feature (2^−12) is half of 2^−24.
        let update = Update::new(&parameters("0.000122070", "0", "1"));
        assert_eq!(update.coordinate(0, 1), Some(0), "just below the half");
        let half = Update { keep: UNIT, gain: UNIT >> 13 };
        for (weight, expected) in [(0, 0), (1, 2), (2, 2), (-1, 0), (-2, -2), (-3, -2)] {
            assert_eq!(half.coordinate(weight, 1), Some(expected), "{weight}");
        }
    }

    #[test]
    fn overflow_is_an_error_and_never_wraps() {
        let features = Features::from_rows(2, &[vec![1, i32::MAX]]);
        let labels = [Label::Positive];
        let update = Update::new(&parameters("1000000", "0", "1000000"));
        let overflow = Err(FixedError::Weight { feature: 1, iteration: 3 });
        assert_eq!(update.step(&mut [0, 0], &features, &labels, (&[0], &[true]), 3), overflow);

        let bound = MarginBound::new(42, 4);
        assert!(4 * bound.largest() + ONE < 1 << 42 && 4 * (bound.largest() + 1) + ONE >= 1 << 42);
        let one = Features::from_rows(1, &[vec![1], vec![-1]]);
        let largest = bound.largest();
        let both = [Label::Positive, Label::Positive];
        assert_eq!(margin(&[largest], &one, &both, 0, bound), Ok(largest));
        assert_eq!(margin(&[largest], &one, &both, 1, bound), Ok(-largest));
        let error = Err(FixedError::Margin { instance: 1 });
        assert_eq!(margin(&[largest + 1], &one, &both, 1, bound), error);
        let extreme = Features::from_rows(3, &[vec![i32::MIN; 3]]);
        assert_eq!(
            margin(&[i64::MIN; 3], &extreme, &both, 0, bound),
            Err(FixedError::Margin { instance: 0 })
        );
    }

    #[test]
    fn values_are_not_shown() {
        assert_eq!(format!("{:?}", Features::from_rows(1, &[vec![12_345]])), "Features(1 × 1)");
    }

    /// Features, labels, schedule, and indicators that need not follow from them.
    type History = (Features, Vec<Label>, Vec<Vec<u32>>, Vec<Vec<bool>>);

    fn history() -> impl Strategy<Value = History> {
        (1usize..6, 1usize..8, 1usize..4).prop_flat_map(|(width, instances, batch)| {
            let rows = prop::collection::vec(prop::collection::vec(-40_000..40_000, width), instances);
            let labels = prop::collection::vec(prop::bool::ANY.prop_map(Label::of_sign), instances);
            let visits = prop::collection::vec(prop::collection::vec(0..instances as u32, batch), 12);
            let indicators = prop::collection::vec(prop::collection::vec(any::<bool>(), batch), 0..12);
            (rows.prop_map(move |rows| Features::from_rows(width, &rows)), labels, visits, indicators)
        })
    }

    proptest! {
        #[test]
        fn rounding_is_that_of_the_exact_fraction(numerator: i128, denominator in 1i128..=i128::MAX) {
            let (n, d) = (BigInt::from(numerator), BigInt::from(denominator));
            let twice: BigInt = &n * 2u32;
            // floor((2n + d)/2d) rounds half up; exactly on the half an odd result is one too high.
            let up = (&twice + &d).div_floor(&(&d * 2u32));
            let tie = &twice + &d == &up * &d * 2u32;
            let expected = if tie && up.is_odd() { up - 1 } else { up };
            prop_assert_eq!(BigInt::from(round_half_even(numerator, denominator)), expected);
        }

        #[test]
        fn halves_round_to_even(whole in -1_000_000i128..1_000_000, half in 1i128..1_000_000) {
            let rounded = round_half_even(2 * half * whole + half, 2 * half);
            prop_assert!(rounded % 2 == 0 && (rounded == whole || rounded == whole + 1));
        }

        #[test]
        fn features_are_the_nearest_multiples(value in -524_287.0..524_287.0f64) {
            let fixed = f64::from(Features::encode(&scaled(value)).unwrap().row(0)[0]);
            prop_assert!((value * 4096.0 - fixed).abs() <= 0.5);
        }

        #[test]
        fn a_weight_depends_on_its_column_alone(
            (features, labels, schedule, indicators) in history(),
            rate in 1i64..3_000_000_000,
            lambda in 0i64..3_000_000_000,
        ) {
            let decimal = records::Decimal::from_raw;
            let parameters = Hyperparameters { learning_rate: decimal(rate), lambda: decimal(lambda), c: decimal(SCALE) };
            let update = Update::new(&parameters);
            let whole = weights(&features, &labels, &schedule, &indicators, &update);
            for cut in 0..=features.width() {
                let halves = [0..cut, cut..features.width()];
                let mut joined = Vec::new();
                for half in halves.into_iter().filter(|h| !h.is_empty()) {
                    joined.push(weights(&features.columns(half), &labels, &schedule, &indicators, &update));
                }
                let joined = joined.into_iter().collect::<Result<Vec<_>, _>>().map(|parts| parts.concat());
                prop_assert_eq!(joined.is_err(), whole.is_err());
                if let (Ok(joined), Ok(whole)) = (joined, &whole) {
                    prop_assert_eq!(&joined, whole);
                }
            }
        }

        #[test]
        fn margins_of_parts_sum_to_the_whole(
            (features, labels, ..) in history(),
            seed: u64,
        ) {
            let weights: Vec<i64> = (1..=features.width() as u64)
                .map(|j| (seed.wrapping_add(j).wrapping_mul(0x9E37_79B9_7F4A_7C15) as i64) >> 38)
                .collect();
            let bound = MarginBound::new(60, 2);
            let all = |range: Range<usize>| -> Vec<i64> {
                let part = features.columns(range.clone());
                (0..part.len()).map(|i| margin(&weights[range.clone()], &part, &labels, i, bound).unwrap()).collect()
            };
            let whole = all(0..features.width());
            for cut in 1..features.width() {
                let sums: Vec<i64> =
                    all(0..cut).iter().zip(all(cut..features.width())).map(|(a, b)| a + b).collect();
                prop_assert_eq!(&sums, &whole);
            }
        }
    }
}
