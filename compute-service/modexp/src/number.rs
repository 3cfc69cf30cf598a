//! Numbers on their way between [`BigUint`] and digits, and the few operations that need no residue.

use crate::Error;
use crate::steps::{Steps, is_zero, trim};
use num_bigint::BigUint;
use num_integer::Integer;
use num_traits::One;

/// −x⁻¹ modulo 2^64 for an odd x, by Newton's iteration.
pub(crate) fn neg_inverse(x: u64) -> u64 {
    let mut y = x; // correct to 3 bits
    for _ in 0..5 {
        y = y.wrapping_mul(2u64.wrapping_sub(x.wrapping_mul(y)));
    }
    y.wrapping_neg()
}

/// `count` < 64 bits of a number from bit `start` on; beyond its limbs there are zeros.
pub(crate) fn bits(limbs: &[u64], start: usize, count: usize) -> u64 {
    let limb = |i: usize| limbs.get(i).copied().unwrap_or(0);
    let (i, shift) = (start / 64, start % 64);
    let high = if shift > 0 { limb(i + 1) << (64 - shift) } else { 0 };
    (limb(i) >> shift | high) & ((1 << count) - 1)
}

/// `count` digits of `radix` bits, least significant first. `x` must be below 2^(radix·count).
pub(crate) fn digits(x: &BigUint, radix: u32, count: usize) -> Vec<u64> {
    let limbs: Vec<u64> = x.iter_u64_digits().collect();
    if radix == 64 {
        return limbs.into_iter().chain(std::iter::repeat(0)).take(count).collect();
    }
    (0..count).map(|d| bits(&limbs, radix as usize * d, radix as usize)).collect()
}

/// The number with these digits. Inverse of [`digits`].
pub(crate) fn from_digits(digits: &[u64], radix: u32) -> BigUint {
    let mut words = vec![0u32; (digits.len() * radix as usize).div_ceil(32) + 2];
    for (d, &digit) in digits.iter().enumerate() {
        let bit = radix as usize * d;
        let wide = u128::from(digit) << (bit % 32);
        for (i, word) in words[bit / 32..].iter_mut().take(3).enumerate() {
            *word |= (wide >> (32 * i)) as u32;
        }
    }
    BigUint::new(words)
}

/// The inverse of `a` modulo `n`, if there is one. Fastest for an odd n. Variable time.
pub fn mod_inverse(a: &BigUint, n: &BigUint) -> Result<BigUint, Error> {
    let inverse = if n.bit(0) { inverse_modulo_odd(a, n) } else { a.modinv(n) };
    inverse.ok_or(Error::NotInvertible { index: 0 })
}

fn inverse_modulo_odd(x: &BigUint, modulus: &BigUint) -> Option<BigUint> {
    let n = modulus.to_u64_digits();
    let n0 = neg_inverse(n[0]);
    // Always a ≡ u·x and b ≡ v·x.
    let (mut a, mut b) = ((x % modulus).to_u64_digits(), n.clone());
    a.resize(n.len(), 0);
    let (mut u, mut v) = (vec![0; n.len()], vec![0; n.len()]);
    u[0] = u64::from(!modulus.is_one());
    while !is_zero(&a) {
        trim(&mut a, &mut b);
        let steps = Steps::next(&a, &b);
        steps.apply(&mut a, &mut b);
        steps.apply_modulo(&mut u, &mut v, &n, n0);
    }
    let coprime = b[0] == 1 && is_zero(&b[1..]);
    coprime.then(|| from_digits(&v, 64))
}

/// The greatest common divisor. Variable time.
pub fn gcd(a: &BigUint, b: &BigUint) -> BigUint {
    a.gcd(b)
}

/// The constants of Montgomery arithmetic modulo N or N² with R = 2^(radix·count), and numbers as digits.
#[derive(Debug)]
pub(crate) struct Montgomery {
    pub(crate) n: BigUint,
    /// N², or N itself for arithmetic modulo N.
    pub(crate) modulus: BigUint,
    pub(crate) radix: u32,
    /// Digits of a part.
    pub(crate) count: usize,
    /// Two parts modulo N², or one.
    pub(crate) parts: usize,
}

impl Montgomery {
    /// `parts` = 1 for arithmetic modulo N, 2 for N².
    pub(crate) fn new(n: &BigUint, parts: usize, radix: u32, count: usize) -> Self {
        Montgomery { n: n.clone(), modulus: n.pow(parts as u32), radix, count, parts }
    }

    pub(crate) fn n_digits(&self) -> Vec<u64> {
        digits(&self.n, self.radix, self.count)
    }

    /// R to the given power, modulo N or N²: the digits of 1 for the first, those that take a number in for the second.
    pub(crate) fn r_to_the(&self, power: usize) -> Vec<u64> {
        self.digits(&((BigUint::one() << (power * self.radix as usize * self.count)) % &self.modulus))
    }

    /// (1 − R) mod N.
    pub(crate) fn one_minus_r(&self) -> Vec<u64> {
        let r = (BigUint::one() << (self.radix as usize * self.count)) % &self.n;
        digits(&((&self.n + 1u32 - r) % &self.n), self.radix, self.count)
    }

    /// The digits of x, which is below the modulus: of x, or of x mod N and of ⌊x/N⌋.
    pub(crate) fn digits(&self, x: &BigUint) -> Vec<u64> {
        if self.parts == 1 {
            return digits(x, self.radix, self.count);
        }
        let (high, low) = x.div_rem(&self.n);
        let mut out = digits(&low, self.radix, self.count);
        out.extend(digits(&high, self.radix, self.count));
        out
    }

    /// The number below the modulus that the digits stand for. Each part is below 2N.
    pub(crate) fn number(&self, x: &[u64]) -> BigUint {
        let mut value = from_digits(&x[..self.count], self.radix);
        if self.parts == 2 {
            value += from_digits(&x[self.count..], self.radix) * &self.n;
        }
        while value >= self.modulus {
            value -= &self.modulus;
        }
        value
    }

    /// The digits of the number 1 itself: a product with it leaves the Montgomery form.
    pub(crate) fn unit(&self) -> Vec<u64> {
        let mut unit = vec![0; self.parts * self.count];
        unit[0] = 1;
        unit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_any_radix_come_back() {
        let x = (BigUint::from(7u32).pow(300) << 3u32) + 1u32;
        for (radix, count) in [(64, 14), (52, 17), (51, 20), (32, 27)] {
            assert_eq!(from_digits(&digits(&x, radix, count), radix), x, "radix {radix}");
        }
        assert_eq!(from_digits(&digits(&BigUint::ZERO, 52, 3), 52), BigUint::ZERO);
    }

    #[test]
    fn negative_inverse() {
        for x in [1u64, 3, 5, u64::MAX, 0x1234_5678_9abc_def1] {
            assert_eq!(x.wrapping_mul(neg_inverse(x)), u64::MAX);
        }
    }
}
