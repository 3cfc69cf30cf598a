//! Key generation by a dealer, who knows everything for a moment: for tests, import, and where one is trusted.

use super::share::KeyShare;
use crate::key::{
    EncryptionKey, KeyError, MAX_PARTIES, PublicKey, factorial, fixed_bytes, verification_base,
};
use crate::private::factors;
use crate::random;
use modexp::Secret;
use num_bigint::BigUint;
use num_integer::Integer;
use num_traits::One;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

/// Bits by which what hides a secret is longer than the secret.
pub(crate) const STATISTICAL: u64 = 80;

/// Makes a key of `bits` bits for `parties` members, `quorum` of whom decrypt together, and all members' shares.
/// `purpose` names what the key may be used for and is kept in the shares.
///
/// # Errors
/// A quorum outside 2..=n, more than 64 members, or a size below 256, above 4,096 or not a multiple of 16.
pub fn deal(
    parties: u32,
    quorum: u32,
    bits: u64,
    purpose: &str,
    rng: &mut impl CryptoRng,
) -> Result<(PublicKey, Vec<KeyShare>), KeyError> {
    if parties > MAX_PARTIES || !(2..=parties).contains(&quorum) {
        return Err(KeyError::Quorum { quorum, parties });
    }
    let (encryption, phi) = loop {
        let (p, q) = factors(bits, rng)?;
        let (n, phi) = (&p * &q, (&p - 1u32) * (&q - 1u32));
        if p != q && n.gcd(&phi).is_one() {
            break (EncryptionKey::new(&n)?, phi);
        }
    };
    let n = encryption.n();
    // d = Δ·β·φ(N): a multiple of Δ, because a share at point i shows the polynomial's value at 0 modulo i.
    let delta = factorial(parties);
    let (d, theta) = loop {
        let d = &delta * random::below(rng, n) * &phi;
        let theta = &d % n;
        if theta.gcd(n).is_one() {
            break (d, theta);
        }
    };
    // Two polynomials with the same shares of q − 1 members and values at 0 that differ by D have coefficients that
    // differ by at most D·2^(q−1), which is below N·φ(N)·Δ².
    let coefficient_bits = 2 * bits + (&delta * &delta).bits() + STATISTICAL;
    let coefficients: Vec<BigUint> =
        (1..quorum).map(|_| random::number(rng, coefficient_bits as usize)).collect();
    // Σ aₖ·xᵏ for k < q at points x ≤ n, and d.
    let share_bits =
        coefficient_bits as usize + ((quorum - 1) * parties.next_power_of_two().ilog2() + 2) as usize;
    let shares: Vec<BigUint> = (1..=parties)
        .map(|point| coefficients.iter().rev().fold(BigUint::ZERO, |sum, a| (sum + a) * point) + &d)
        .collect();
    let ring = encryption.ring();
    let base = verification_base(&encryption);
    let exponents: Vec<Secret> = shares
        .iter()
        .map(|share| {
            let width = share_bits + delta.bits() as usize;
            Secret::from_biguint(&(share * &delta), width).expect("the width is a bound of shares")
        })
        .collect();
    let verification = ring.pow_secret_each(&vec![base; parties as usize], &exponents);
    let key = PublicKey::assemble(encryption, quorum, parties - 1, theta, verification)?;
    let shares = shares
        .iter()
        .zip(0..)
        .map(|(share, index)| {
            let share = Zeroizing::new(fixed_bytes(share, share_bits.div_ceil(8)));
            KeyShare::new(key.clone(), index, purpose, &share, share_bits)
        })
        .collect::<Result<_, _>>()
        .expect("the verification keys were computed from the shares");
    Ok((key, shares))
}
