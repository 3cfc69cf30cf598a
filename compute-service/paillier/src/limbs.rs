//! The little arithmetic that secrets need outside a ring: of fixed width, in constant time, wiped when dropped.

use zeroize::Zeroizing;

/// A non-negative number of public width, least significant limb first.
pub(crate) type Limbs = Zeroizing<Vec<u64>>;

/// Reads big-endian bytes; the width follows from their number.
pub(crate) fn from_be_bytes(bytes: &[u8]) -> Limbs {
    let mut limbs = Zeroizing::new(vec![0; bytes.len().div_ceil(8)]);
    for (i, &byte) in bytes.iter().rev().enumerate() {
        limbs[i / 8] |= u64::from(byte) << (8 * (i % 8));
    }
    limbs
}

/// All limbs as big-endian bytes.
pub(crate) fn to_be_bytes(limbs: &[u64]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(limbs.iter().rev().flat_map(|limb| limb.to_be_bytes()).collect())
}

/// a·b.
pub(crate) fn mul(a: &[u64], b: &[u64]) -> Limbs {
    let mut product = Zeroizing::new(vec![0; a.len() + b.len()]);
    for (i, &x) in a.iter().enumerate() {
        let mut carry = 0u128;
        for (j, &y) in b.iter().enumerate() {
            carry += u128::from(x) * u128::from(y) + u128::from(product[i + j]);
            product[i + j] = carry as u64;
            carry >>= 64;
        }
        product[i + b.len()] = carry as u64;
    }
    product
}

/// a + b, as wide as the wider one and a limb more.
pub(crate) fn add(a: &[u64], b: &[u64]) -> Limbs {
    let mut sum = Zeroizing::new(vec![0; a.len().max(b.len()) + 1]);
    let mut carry = false;
    for (i, out) in sum.iter_mut().enumerate() {
        let limb = |x: &[u64]| x.get(i).copied().unwrap_or(0);
        let (s, over) = limb(a).overflowing_add(limb(b));
        let (s, still_over) = s.overflowing_add(u64::from(carry));
        *out = s;
        carry = over | still_over;
    }
    sum
}

/// a − b.
///
/// # Panics
/// If the result is negative.
pub(crate) fn sub(a: &[u64], b: &[u64]) -> Limbs {
    let mut difference = Zeroizing::new(vec![0; a.len().max(b.len())]);
    let mut borrow = false;
    for (i, out) in difference.iter_mut().enumerate() {
        let limb = |x: &[u64]| x.get(i).copied().unwrap_or(0);
        let (d, below) = limb(a).overflowing_sub(limb(b));
        let (d, still_below) = d.overflowing_sub(u64::from(borrow));
        *out = d;
        borrow = below | still_below;
    }
    assert!(!borrow, "the minuend is chosen larger than the subtrahend");
    difference
}

#[cfg(test)]
mod tests {
    use super::*;
    use num_bigint::BigUint;
    use proptest::prelude::*;

    fn number(limbs: &[u64]) -> BigUint {
        BigUint::from_bytes_be(&to_be_bytes(limbs))
    }

    proptest! {
        #[test]
        fn agrees_with_num_bigint(a: Vec<u64>, b: Vec<u64>, bytes: Vec<u8>) {
            prop_assert_eq!(number(&mul(&a, &b)), number(&a) * number(&b));
            prop_assert_eq!(number(&add(&a, &b)), number(&a) + number(&b));
            let (large, small) = if number(&a) < number(&b) { (&b, &a) } else { (&a, &b) };
            prop_assert_eq!(number(&sub(large, small)), number(large) - number(small));
            prop_assert_eq!(number(&from_be_bytes(&bytes)), BigUint::from_bytes_be(&bytes));
        }
    }
}
