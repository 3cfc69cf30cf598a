//! Between floating-point numbers, integers at a decimal scale, and decimals that people read.

use num_bigint::{BigInt, BigUint, Sign};

/// The integer nearest to x·10^places, half to even, of a finite x; `None` from 2^64 on.
pub(crate) fn scaled(x: f64, places: u32) -> Option<i128> {
    if x.abs() >= 2f64.powi(64) {
        return None;
    }
    let bits = x.to_bits();
    let fraction = bits & ((1 << 52) - 1);
    // x = ±mantissa·2^exponent.
    let (mantissa, exponent) = match (bits >> 52) & 0x7ff {
        0 => (fraction, -1074),
        biased => (fraction | 1 << 52, biased as i32 - 1075),
    };
    // Below 2^53·10^9·2^11.
    let product = u128::from(mantissa) * 10u128.pow(places);
    let magnitude = match exponent {
        0.. => product << exponent,
        ..-127 => 0,
        _ => {
            let shift = exponent.unsigned_abs();
            let (floor, rest) = (product >> shift, product & ((1 << shift) - 1));
            let half = 1 << (shift - 1);
            floor + u128::from(rest > half || rest == half && floor & 1 == 1)
        }
    };
    let magnitude = magnitude as i128;
    Some(if x.is_sign_negative() { -magnitude } else { magnitude })
}

/// `numerator`/`denominator` as a decimal, rounded to so many places, half to even.
pub(crate) fn ratio(numerator: &BigInt, denominator: &BigUint, places: u32) -> String {
    let scaled = numerator.magnitude() * BigUint::from(10u32).pow(places);
    let (quotient, rest) = (&scaled / denominator, &scaled % denominator);
    let doubled = rest * 2u32;
    let up = &doubled > denominator || &doubled == denominator && quotient.bit(0);
    text(numerator.sign(), &(quotient + u32::from(up)), places)
}

/// The square root of `numerator`/`denominator` as a decimal, rounded to so many places.
pub(crate) fn root(numerator: &BigUint, denominator: &BigUint, places: u32) -> String {
    // ⌊√X + 1/2⌋ = ⌊(⌊√(4X)⌋ + 1)/2⌋.
    let fourfold = numerator * 4u32 * BigUint::from(10u32).pow(2 * places) / denominator;
    text(Sign::Plus, &((fourfold.sqrt() + 1u32) / 2u32), places)
}

/// The decimal of an integer at a scale, without zeros at its end.
fn text(sign: Sign, scaled: &BigUint, places: u32) -> String {
    let places = places as usize;
    let digits = format!("{:0>width$}", scaled.to_string(), width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    let fraction = fraction.trim_end_matches('0');
    let minus = if sign == Sign::Minus && *scaled != BigUint::ZERO { "-" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{minus}{whole}{point}{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimals_of_a_file_are_exact() {
        assert_eq!(scaled(12.3, 1), Some(123));
        assert_eq!(scaled(-0.1, 9), Some(-100_000_000));
        assert_eq!(scaled(99_999.999_999, 6), Some(99_999_999_999));
        // Half to even.
        assert_eq!([0.5, 1.5, -0.5, 2.5].map(|x| scaled(x, 0).unwrap()), [0, 2, 0, 2]);
        assert_eq!(scaled(0.125, 2), Some(12));
        assert_eq!(scaled(f64::MIN_POSITIVE, 9), Some(0));
        assert_eq!(scaled(5e-324, 9), Some(0));
        assert_eq!(scaled(-0.0, 3), Some(0));
        assert_eq!(scaled(2f64.powi(63), 0), Some(1 << 63));
        assert_eq!(scaled(2f64.powi(64), 0), None);
        assert_eq!(scaled(-f64::MAX, 9), None);
    }

    #[test]
    fn quotients_and_roots_are_rounded() {
        let quotient = |a: i64, b: u32, places| ratio(&BigInt::from(a), &b.into(), places);
        assert_eq!(quotient(1, 3, 4), "0.3333");
        assert_eq!(quotient(-2, 3, 4), "-0.6667");
        assert_eq!((quotient(1, 8, 2), quotient(3, 8, 2)), ("0.12".into(), "0.38".into()));
        assert_eq!((quotient(-1, 1000, 2), quotient(1200, 1, 3)), ("0".into(), "1200".into()));
        let root = |a: u32, b: u32, places| root(&a.into(), &b.into(), places);
        assert_eq!(
            (root(2, 1, 5), root(9, 4, 3), root(0, 7, 3)),
            ("1.41421".into(), "1.5".into(), "0".into())
        );
        assert_eq!(root(1, 3, 4), "0.5774");
    }

    proptest! {
        #[test]
        fn scaling_agrees_with_what_rust_prints(cents in -1_000_000_000i64..1_000_000_000, places in 2u32..9) {
            let x: f64 = format!("{}.{:02}", cents / 100, cents.abs() % 100).parse().unwrap();
            let expected = i128::from(cents.abs() * 10i64.pow(places - 2));
            prop_assert_eq!(scaled(x.abs(), places), Some(expected));
        }

        #[test]
        fn a_quotient_is_the_nearest(a in -1_000_000i64..1_000_000, b in 1u32..10_000, places in 0u32..6) {
            let found: f64 = ratio(&a.into(), &b.into(), places).parse().unwrap();
            let error = (found - a as f64 / f64::from(b)).abs();
            prop_assert!(error <= 0.5 * 10f64.powi(-(places as i32)) + 1e-9);
        }

        #[test]
        fn a_root_is_the_nearest(a in 0u32..1_000_000, b in 1u32..10_000, places in 0u32..6) {
            let found: f64 = root(&a.into(), &b.into(), places).parse().unwrap();
            let error = (found - (f64::from(a) / f64::from(b)).sqrt()).abs();
            prop_assert!(error <= 0.5 * 10f64.powi(-(places as i32)) + 1e-9);
        }
    }
}
