//! Secret exponents.

use crate::Error;
use num_bigint::BigUint;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A non-negative secret exponent of a fixed, public bit width.
///
/// The width decides how long an exponentiation takes; the value does not. Wiped when dropped, redacted when printed.
/// A negative exponent is the caller's to turn into the inverse of the base or of the result.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret {
    /// Little-endian limbs, exactly `width.div_ceil(64)` of them.
    limbs: Vec<u64>,
    #[zeroize(skip)]
    width: usize,
}

impl Secret {
    /// Takes an exponent from its big-endian bytes. Leading zeros are allowed; the value must be below 2^`width`.
    pub fn from_be_bytes(bytes: &[u8], width: usize) -> Result<Secret, Error> {
        let mut secret = Secret { limbs: vec![0; width.div_ceil(64)], width };
        let mut excess = 0;
        for (i, &byte) in bytes.iter().rev().enumerate() {
            match secret.limbs.get_mut(i / 8) {
                Some(limb) => *limb |= u64::from(byte) << (8 * (i % 8)),
                None => excess |= byte,
            }
        }
        let unused = (64 - width % 64) % 64;
        let top = secret.limbs.last().map_or(0, |&top| if unused > 0 { top >> (64 - unused) } else { 0 });
        if excess != 0 || top != 0 { Err(Error::ExponentTooLarge { width }) } else { Ok(secret) }
    }

    /// Takes an exponent below 2^`width`. The caller wipes `value` if it can.
    pub fn from_biguint(value: &BigUint, width: usize) -> Result<Secret, Error> {
        let mut bytes = value.to_bytes_be();
        let secret = Secret::from_be_bytes(&bytes, width);
        bytes.zeroize();
        secret
    }

    /// The public bit width.
    pub fn width(&self) -> usize {
        self.width
    }

    /// `count` < 64 bits from bit `start` on; bits beyond the width are zero. Positions are public, so indexing by
    /// them is harmless.
    pub(crate) fn bits(&self, start: usize, count: usize) -> u64 {
        crate::number::bits(&self.limbs, start, count)
    }

    /// Quotient and rest of a division by a public n > 0, in constant time. The rest is as wide as n.
    pub(crate) fn div_rem(&self, n: &BigUint) -> (Secret, Secret) {
        let bits = n.bits() as usize;
        // The running rest is below 2n.
        let words = (bits + 1).div_ceil(64);
        let mut n = n.to_u64_digits();
        n.resize(words, 0);
        let (mut rest, mut less) = (Zeroizing::new(vec![0; words]), Zeroizing::new(vec![0; words]));
        let width = (self.width + 1).saturating_sub(bits);
        let mut quotient = Secret { limbs: vec![0; width.div_ceil(64)], width };
        for i in (0..self.width).rev() {
            let (mut carry, mut borrow) = (self.bits(i, 1), false);
            for ((rest, less), n) in rest.iter_mut().zip(less.iter_mut()).zip(&n) {
                let above = *rest >> 63;
                *rest = *rest << 1 | carry;
                carry = above;
                let (difference, below) = rest.overflowing_sub(*n);
                let (difference, still_below) = difference.overflowing_sub(u64::from(borrow));
                *less = difference;
                borrow = below | still_below;
            }
            // The compiler must not make a branch of what it knows to be one of two masks.
            let keep = std::hint::black_box(u64::from(borrow).wrapping_neg());
            for (rest, less) in rest.iter_mut().zip(less.iter()) {
                *rest = *rest & keep | less & !keep;
            }
            // Above the quotient's width every bit is 0.
            if let Some(limb) = quotient.limbs.get_mut(i / 64) {
                *limb |= (!keep & 1) << (i % 64);
            }
        }
        rest.truncate(bits.div_ceil(64));
        (quotient, Secret { limbs: std::mem::take(&mut *rest), width: bits })
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret({} bits)", self.width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use num_integer::Integer;
    use proptest::collection::vec;
    use proptest::prelude::*;

    #[test]
    fn windows_cross_limb_borders() {
        let value = (BigUint::from(0b1_1011u32) << 62u32) + 5u32;
        let secret = Secret::from_biguint(&value, 70).unwrap();
        assert_eq!(secret.bits(62, 5), 0b1_1011);
        assert_eq!(secret.bits(0, 3), 5);
        assert_eq!(secret.bits(65, 5), 0b11);
        assert_eq!(secret.bits(128, 5), 0);
    }

    #[test]
    fn width_is_a_hard_bound() {
        for width in [0usize, 1, 7, 8, 63, 64, 65, 128] {
            let limit = BigUint::from(1u32) << width;
            assert!(Secret::from_biguint(&(&limit - 1u32), width).is_ok());
            assert_eq!(Secret::from_biguint(&limit, width).unwrap_err(), Error::ExponentTooLarge { width });
        }
        assert!(Secret::from_be_bytes(&[0, 0, 0, 1], 1).is_ok(), "leading zeros");
    }

    proptest! {
        #[test]
        fn divides_as_num_bigint(x: Vec<u8>, n in vec(any::<u8>(), 1..70), spare in 0..70usize) {
            let (x, n) = (BigUint::from_bytes_be(&x), BigUint::from_bytes_be(&n) + 1u32);
            let secret = Secret::from_biguint(&x, x.bits() as usize + spare).unwrap();
            let (quotient, rest) = secret.div_rem(&n);
            prop_assert_eq!(rest.width() as u64, n.bits());
            prop_assert_eq!(quotient.width(), (secret.width() + 1).saturating_sub(rest.width()));
            let value = |secret: &Secret| {
                secret.limbs.iter().rev().fold(BigUint::ZERO, |value, limb| (value << 64u32) + limb)
            };
            prop_assert_eq!((value(&quotient), value(&rest)), x.div_rem(&n));
        }
    }

    #[test]
    fn debug_shows_the_width_only() {
        let secret = Secret::from_biguint(&BigUint::from(0xdead_beefu32), 64).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(64 bits)");
    }
}
