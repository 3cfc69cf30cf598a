//! Signed fixed point with a power of two as scale, which is part of the type.

use num_bigint::BigInt;
use std::fmt;

/// A number q/2^SCALE with an integer q of at most 127 bits and a sign.
///
/// What is computed is exact, except where the name says that it rounds, and then to the nearest, half to even, so that
/// the result does not depend on who computes. Overflow is an error, never a wrapped result.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FixedPoint<const SCALE: u32>(i128);

/// A result that does not fit, or a real number that is not finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the number does not fit into fixed point at scale 2^{scale}")]
pub struct OutOfRange {
    /// The scale's exponent.
    pub scale: u32,
}

impl<const SCALE: u32> FixedPoint<SCALE> {
    /// From q, where the number is q/2^SCALE.
    pub const fn from_units(q: i128) -> Self {
        Self(q)
    }

    /// q, where the number is q/2^SCALE.
    pub const fn units(self) -> i128 {
        self.0
    }

    /// The plaintext for encryption: q.
    pub fn plaintext(self) -> BigInt {
        self.0.into()
    }

    /// From a decrypted q.
    ///
    /// # Errors
    /// More than 127 bits.
    pub fn from_plaintext(q: &BigInt) -> Result<Self, OutOfRange> {
        q.try_into().map(Self).map_err(|_| OutOfRange { scale: SCALE })
    }

    /// The nearest number to a float, half to even.
    ///
    /// # Errors
    /// Not finite, or too large.
    pub fn round_from_f64(x: f64) -> Result<Self, OutOfRange> {
        // Scaling by a power of two is exact unless it overflows or the result is subnormal, and then it rounds to 0.
        let scaled = (x * 2f64.powi(SCALE as i32)).round_ties_even();
        // 2^127 itself is too large; all floats below it fit.
        if scaled.is_finite() && scaled.abs() < 2f64.powi(127) {
            Ok(Self(scaled as i128))
        } else {
            Err(OutOfRange { scale: SCALE })
        }
    }

    /// The nearest number to `numerator`/`denominator`, half to even.
    ///
    /// # Errors
    /// Too large, or a denominator of 0.
    pub fn round_from_ratio(numerator: i128, denominator: i128) -> Result<Self, OutOfRange> {
        let error = OutOfRange { scale: SCALE };
        let scaled = 1i128.checked_shl(SCALE).and_then(|s| numerator.checked_mul(s)).ok_or(error)?;
        div_round(scaled, denominator).map(Self).ok_or(error)
    }

    /// The nearest float.
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / 2f64.powi(SCALE as i32)
    }

    /// a + b.
    ///
    /// # Errors
    /// Too large.
    pub fn checked_add(self, other: Self) -> Result<Self, OutOfRange> {
        self.0.checked_add(other.0).map(Self).ok_or(OutOfRange { scale: SCALE })
    }

    /// a − b.
    ///
    /// # Errors
    /// Too large.
    pub fn checked_sub(self, other: Self) -> Result<Self, OutOfRange> {
        self.0.checked_sub(other.0).map(Self).ok_or(OutOfRange { scale: SCALE })
    }

    /// a·b, exact: the scales add up, which is checked when the program is compiled.
    ///
    /// # Errors
    /// Too large.
    pub fn checked_mul<const OTHER: u32, const OUT: u32>(
        self,
        other: FixedPoint<OTHER>,
    ) -> Result<FixedPoint<OUT>, OutOfRange> {
        const { assert!(SCALE + OTHER == OUT, "the scale of a product is the sum of the scales") };
        self.0.checked_mul(other.0).map(FixedPoint).ok_or(OutOfRange { scale: OUT })
    }

    /// The nearest number at another scale, half to even; exact if that is finer.
    ///
    /// # Errors
    /// Too large.
    pub fn round<const OUT: u32>(self) -> Result<FixedPoint<OUT>, OutOfRange> {
        let error = OutOfRange { scale: OUT };
        let factor = 1i128.checked_shl(OUT.abs_diff(SCALE)).filter(|f| *f > 0).ok_or(error)?;
        let q = if OUT >= SCALE { self.0.checked_mul(factor) } else { div_round(self.0, factor) };
        q.map(FixedPoint).ok_or(error)
    }
}

/// a/b rounded to the nearest integer, half to even; `None` for b = 0 or where the result does not fit.
pub fn div_round(a: i128, b: i128) -> Option<i128> {
    let (quotient, rest) = (a.checked_div(b)?, a.checked_rem(b)?);
    let distance = rest.unsigned_abs();
    let other = b.unsigned_abs() - distance;
    let away = distance > other || (distance == other && quotient % 2 != 0);
    quotient.checked_add(if !away {
        0
    } else if (a < 0) == (b < 0) {
        1
    } else {
        -1
    })
}

impl<const SCALE: u32> fmt::Debug for FixedPoint<SCALE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/2^{SCALE}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn halves_go_to_even() {
        for (a, b, rounded) in [
            (1, 2, 0),
            (3, 2, 2),
            (5, 2, 2),
            (-1, 2, 0),
            (-3, 2, -2),
            (-5, 2, -2),
            (5, -2, -2),
            (7, 3, 2),
            (-8, 3, -3),
        ] {
            assert_eq!(div_round(a, b), Some(rounded), "{a}/{b}");
        }
        assert_eq!(div_round(1, 0), None);
        assert_eq!(div_round(i128::MIN, -1), None);
        assert_eq!(FixedPoint::<0>::round_from_f64(2.5).unwrap().units(), 2);
        assert_eq!(FixedPoint::<1>::round_from_f64(-0.75).unwrap().units(), -2);
    }

    #[test]
    fn overflow_is_an_error() {
        let most = FixedPoint::<12>::from_units(i128::MAX);
        let one = FixedPoint::<12>::from_units(1);
        assert!(most.checked_add(one).is_err());
        assert!(FixedPoint::<12>::from_units(i128::MIN).checked_sub(one).is_err());
        assert!(most.checked_mul::<12, 24>(FixedPoint::from_units(2)).is_err());
        assert!(most.round::<13>().is_err());
        assert!(one.round::<139>().is_err());
        for x in [f64::NAN, f64::INFINITY, 2f64.powi(115), -2f64.powi(115)] {
            assert!(FixedPoint::<12>::round_from_f64(x).is_err(), "{x}");
        }
        assert!(FixedPoint::<12>::round_from_f64(2f64.powi(114)).is_ok());
        assert!(FixedPoint::<12>::from_plaintext(&(BigInt::from(i128::MAX) + 1)).is_err());
    }

    proptest! {
        #[test]
        fn floats_of_few_bits_are_exact(q in -1i64 << 50..1i64 << 50) {
            let x = FixedPoint::<24>::from_units(q.into());
            prop_assert_eq!(FixedPoint::<24>::round_from_f64(x.to_f64()), Ok(x));
            prop_assert_eq!(FixedPoint::<24>::from_plaintext(&x.plaintext()), Ok(x));
        }

        #[test]
        fn rounding_is_to_the_nearest(a in any::<i64>(), b in any::<i64>().prop_filter("not 0", |b| *b != 0)) {
            let (a, b) = (i128::from(a), i128::from(b));
            let q = div_round(a, b).unwrap();
            let twice = 2 * (a - q * b).abs();
            prop_assert!(twice < b.abs() || (twice == b.abs() && q % 2 == 0));
        }

        #[test]
        fn finer_and_back_is_the_identity(q in any::<i64>()) {
            let x = FixedPoint::<12>::from_units(q.into());
            prop_assert_eq!(x.round::<24>().unwrap().round::<12>(), Ok(x));
        }
    }
}
