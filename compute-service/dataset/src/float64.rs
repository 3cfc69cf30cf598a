//! Exact views of 64-bit floating-point numbers: their exponents, and what they are in another unit.

/// The least e with |x| < 2^e; none of zero. The number must be finite.
pub fn exponent(x: f64) -> Option<i32> {
    let (significand, power) = parts(x);
    (significand > 0).then(|| power + significand.ilog2() as i32 + 1)
}

/// |x| as significand · 2^power.
fn parts(x: f64) -> (u64, i32) {
    let bits = x.to_bits();
    let (exponent, fraction) = ((bits >> 52 & 0x7ff) as i32, bits & ((1 << 52) - 1));
    if exponent == 0 { (fraction, -1074) } else { (fraction | 1 << 52, exponent - 1075) }
}

/// x in units of 2^unit, rounded half to even, and whether that is exact.
///
/// # Panics
/// Where it has more than 126 bits.
pub fn in_units(x: f64, unit: i32) -> (i128, bool) {
    let (significand, power) = parts(x);
    let magnitude = i128::from(significand);
    let (units, is_exact) = match power - unit {
        _ if significand == 0 => (0, true),
        shift @ 0.. => {
            assert!(shift <= 73, "a value that was checked against its unit");
            (magnitude << shift, true)
        }
        // Below half a unit.
        ..-53 => (0, false),
        shift => {
            let places = shift.unsigned_abs();
            let (floor, rest) = (magnitude >> places, magnitude & ((1 << places) - 1));
            let half = 1 << (places - 1);
            (floor + i128::from(rest > half || (rest == half && floor & 1 == 1)), rest == 0)
        }
    };
    (if x.is_sign_negative() { -units } else { units }, is_exact)
}

/// x·2^exponent, rounded once at most where the result is not subnormal; infinite where it is too large.
pub fn times_power_of_two(mut x: f64, mut exponent: i32) -> f64 {
    // 2^±1000 are numbers, 2^±1100 are not.
    const STEP: i32 = 1000;
    while exponent.abs() > STEP {
        let step = STEP * exponent.signum();
        x *= 2f64.powi(step);
        exponent -= step;
    }
    x * 2f64.powi(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use num_bigint::BigInt;
    use num_traits::FromPrimitive;
    use proptest::prelude::*;

    #[test]
    fn exponents_bound_the_magnitude() {
        for (x, expected) in [(1.0, 1), (0.999, 0), (-8.0, 4), (7.9, 3), (f64::MAX, 1024), (5e-324, -1073)] {
            assert_eq!(exponent(x), Some(expected), "{x}");
        }
        assert_eq!(exponent(-0.0), None);
    }

    #[test]
    fn units_round_half_to_even() {
        for (x, unit, expected) in [
            (0.5, 0, (0, false)),
            (1.5, 0, (2, false)),
            (-2.5, 0, (-2, false)),
            (2.500_001, 0, (3, false)),
            (3.0, -2, (12, true)),
            (5e-324, -1074, (1, true)),
            (5e-324, -1073, (0, false)),
            (1e-300, -16, (0, false)),
            (0.0, 900, (0, true)),
        ] {
            assert_eq!(in_units(x, unit), expected, "{x} in units of 2^{unit}");
        }
    }

    #[test]
    fn powers_of_two_reach_both_ends() {
        assert_eq!(times_power_of_two(1.0, -1074), 5e-324);
        assert_eq!(times_power_of_two(5e-324, 2097), 2f64.powi(1023));
        assert_eq!(times_power_of_two(2f64.powi(70), -1132), 2f64.powi(-1062));
        assert_eq!(times_power_of_two(3.0, 2000), f64::INFINITY);
    }

    proptest! {
        #[test]
        fn units_are_those_of_unbounded_integers(x in -1e15..1e15f64, unit in -20..40i32) {
            let (units, is_exact) = in_units(x, unit);
            // 2^(60)·x is a whole number for |x| ≥ 2^−8.
            prop_assume!(x.abs() > 0.01);
            let whole = BigInt::from_f64(x * 2f64.powi(60)).unwrap();
            let unit = BigInt::from(1) << (60 + unit) as usize;
            let error: BigInt = BigInt::from(units) * &unit - &whole;
            prop_assert_eq!(is_exact, error == BigInt::ZERO);
            prop_assert!(error.magnitude() * 2u32 <= *unit.magnitude());
        }
    }
}
