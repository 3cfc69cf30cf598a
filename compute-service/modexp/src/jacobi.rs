//! The Jacobi symbol.

use crate::steps::{Steps, is_zero, trim};
use num_bigint::BigUint;

/// The Jacobi symbol (a/n) for an odd n: 1 or −1, or 0 when a and n have a common factor. Variable time.
///
/// # Panics
/// If n is even.
pub fn jacobi(a: &BigUint, n: &BigUint) -> i32 {
    assert!(n.bit(0), "the Jacobi symbol needs an odd modulus");
    let mut b = n.to_u64_digits();
    let mut a = (a % n).to_u64_digits();
    a.resize(b.len(), 0);
    let mut turned = false;
    while !is_zero(&a) {
        trim(&mut a, &mut b);
        let steps = Steps::next(&a, &b);
        turned ^= steps.turned();
        steps.apply(&mut a, &mut b);
    }
    match (b[0] == 1 && is_zero(&b[1..]), turned) {
        (true, false) => 1,
        (true, true) => -1,
        (false, _) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// By Euler's criterion for each prime factor.
    fn by_factors(a: u64, factors: &[u64]) -> i32 {
        let symbol = |p: u64| match BigUint::from(a).modpow(&BigUint::from((p - 1) / 2), &BigUint::from(p)) {
            x if x == BigUint::ZERO => 0,
            x if x == BigUint::from(1u32) => 1,
            _ => -1,
        };
        factors.iter().map(|&p| symbol(p)).product()
    }

    #[test]
    fn agrees_with_eulers_criterion() {
        let moduli = [&[3u64][..], &[7], &[5, 5], &[3, 5, 7], &[11, 13, 17], &[101, 103], &[65537, 257]];
        for factors in moduli.into_iter().take(if cfg!(miri) { 4 } else { 7 }) {
            let n: u64 = factors.iter().product();
            for a in 0..2 * n.min(1000) {
                assert_eq!(jacobi(&a.into(), &n.into()), by_factors(a % n, factors), "({a}/{n})");
            }
        }
    }

    /// By divisions of whole numbers.
    fn plain(a: &BigUint, n: &BigUint) -> i32 {
        let (mut a, mut n) = (a % n, n.clone());
        let mut sign = 1;
        while let Some(twos) = a.trailing_zeros() {
            a >>= twos;
            if twos % 2 == 1 && n.bit(1) != n.bit(2) {
                sign = -sign;
            }
            if a.bit(1) && n.bit(1) {
                sign = -sign;
            }
            std::mem::swap(&mut a, &mut n);
            a %= &n;
        }
        if n == BigUint::from(1u32) { sign } else { 0 }
    }

    /// Numbers of any length, with long runs of equal bits, nearly equal ones, and with common factors.
    fn number(bytes: usize) -> impl Strategy<Value = BigUint> {
        let byte = prop_oneof![Just(0u8), Just(0xff), any::<u8>()];
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..=bytes),
            prop::collection::vec(byte, 0..=bytes),
            (0..=bytes, any::<u8>()).prop_map(|(zeros, low)| [vec![1], vec![0; zeros], vec![low]].concat()),
        ]
        .prop_map(|bytes| BigUint::from_bytes_be(&bytes))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        #[cfg_attr(miri, ignore = "takes too long")]
        fn agrees_with_division(a in number(150), n in number(140), near in 0u32..300, factor in 0u32..20) {
            let n = (n * (2 * factor + 1)) | BigUint::from(1u32);
            prop_assert_eq!(jacobi(&a, &n), plain(&a, &n));
            let close = &n + near;
            prop_assert_eq!(jacobi(&close, &n), plain(&close, &n));
            let close = &n - &n.clone().min(near.into());
            prop_assert_eq!(jacobi(&close, &n), plain(&close, &n));
            let multiple = a * (2 * factor + 1);
            prop_assert_eq!(jacobi(&multiple, &n), plain(&multiple, &n));
        }
    }

    #[test]
    fn modulus_one() {
        assert_eq!(jacobi(&BigUint::ZERO, &1u32.into()), 1);
        assert_eq!(jacobi(&5u32.into(), &1u32.into()), 1);
    }
}
