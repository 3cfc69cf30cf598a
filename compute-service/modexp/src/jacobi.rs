//! The Jacobi symbol.

use num_bigint::BigUint;

/// The Jacobi symbol (a/n) for an odd n: 1 or −1, or 0 when a and n have a common factor. Variable time.
///
/// # Panics
/// If n is even.
pub fn jacobi(a: &BigUint, n: &BigUint) -> i32 {
    assert!(n.bit(0), "the Jacobi symbol needs an odd modulus");
    let (mut a, mut n) = (a % n, n.clone());
    let mut sign = 1;
    while let Some(twos) = a.trailing_zeros() {
        a >>= twos;
        // (2/n) = −1 exactly for n ≡ ±3 (mod 8)
        if twos % 2 == 1 && n.bit(1) != n.bit(2) {
            sign = -sign;
        }
        // Reciprocity: the sign turns exactly if both are 3 (mod 4).
        if a < n {
            std::mem::swap(&mut a, &mut n);
            if a.bit(1) && n.bit(1) {
                sign = -sign;
            }
        }
        a -= &n;
    }
    if n == BigUint::from(1u32) { sign } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for factors in [&[3u64][..], &[7], &[5, 5], &[3, 5, 7], &[11, 13, 17], &[101, 103], &[65537, 257]] {
            let n: u64 = factors.iter().product();
            for a in 0..2 * n.min(1000) {
                assert_eq!(jacobi(&a.into(), &n.into()), by_factors(a % n, factors), "({a}/{n})");
            }
        }
    }

    #[test]
    fn modulus_one() {
        assert_eq!(jacobi(&BigUint::ZERO, &1u32.into()), 1);
        assert_eq!(jacobi(&5u32.into(), &1u32.into()), 1);
    }
}
