//! Random numbers from a generator that the caller passes in.

use modexp::Secret;
use num_bigint::BigUint;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

/// `bits` random bits, big-endian, in as few bytes as hold them.
pub(crate) fn bytes(rng: &mut (impl CryptoRng + ?Sized), bits: usize) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(vec![0; bits.div_ceil(8)]);
    rng.fill_bytes(&mut bytes);
    if !bits.is_multiple_of(8) {
        bytes[0] &= (1 << (bits % 8)) - 1;
    }
    bytes
}

/// A number uniform in 0..2^`bits`.
pub(crate) fn number(rng: &mut (impl CryptoRng + ?Sized), bits: usize) -> BigUint {
    BigUint::from_bytes_be(&bytes(rng, bits))
}

/// A number uniform in 0..`bound`, by rejection.
///
/// # Panics
/// Where `bound` is 0.
pub fn below(rng: &mut (impl CryptoRng + ?Sized), bound: &BigUint) -> BigUint {
    assert!(bound.bits() > 0, "numbers to choose from");
    let bits = bound.bits() as usize;
    loop {
        let x = number(rng, bits);
        if &x < bound {
            return x;
        }
    }
}

/// A secret exponent uniform in 0..2^`bits`, of that width.
pub(crate) fn secret(rng: &mut (impl CryptoRng + ?Sized), bits: usize) -> Secret {
    Secret::from_be_bytes(&bytes(rng, bits), bits).expect("as many bits were drawn")
}
