//! Secret exponents.

use crate::Error;
use num_bigint::BigUint;
use zeroize::{Zeroize, ZeroizeOnDrop};

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
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret({} bits)", self.width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn debug_shows_the_width_only() {
        let secret = Secret::from_biguint(&BigUint::from(0xdead_beefu32), 64).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(64 bits)");
    }
}
