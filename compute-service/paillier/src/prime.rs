//! Random primes that are 3 modulo 4.

use crate::random;
use modexp::{Modulus, Secret};
use num_bigint::BigUint;
use num_traits::{One, ToPrimitive, Zero};
use rand_core::CryptoRng;
use rayon::prelude::*;

/// Rounds of the test of Miller and Rabin with random bases: error below 4⁻³², for any number.
const ROUNDS: usize = 32;
/// Candidates of one search, four apart.
const WINDOW: usize = 1 << 12;
/// Divisors of the sieve.
const SIEVE: u32 = 1 << 14;

/// The odd primes below `bound`.
pub(crate) fn small_primes(bound: u32) -> Vec<u32> {
    let mut composite = vec![false; bound as usize];
    let mut primes = Vec::new();
    for i in (3..bound as usize).step_by(2) {
        if !composite[i] {
            primes.push(i as u32);
            (i * i..bound as usize).step_by(2 * i).for_each(|j| composite[j] = true);
        }
    }
    primes
}

/// A random prime p ≡ 3 (mod 4) of `bits` bits whose two top bits are set, so that the product of two such primes has
/// twice as many bits.
///
/// # Panics
/// If `bits` is below [`modexp::MIN_BITS`].
pub(crate) fn random_prime(bits: usize, rng: &mut impl CryptoRng) -> BigUint {
    assert!(bits as u64 >= modexp::MIN_BITS, "shorter primes are no use");
    let divisors = small_primes(SIEVE);
    loop {
        let mut start = random::number(rng, bits);
        for bit in [0, 1, bits as u64 - 1, bits as u64 - 2] {
            start.set_bit(bit, true);
        }
        let mut divisible = vec![false; WINDOW];
        for &d in &divisors {
            let rest = (&start % d).to_u32().expect("the rest is below the divisor");
            // The first k with start + 4k ≡ 0 (mod d); 4 is invertible.
            let quarter = if d % 4 == 3 { (d + 1) / 4 } else { d - (d - 1) / 4 };
            let first = u64::from(d - rest) * u64::from(quarter) % u64::from(d);
            (first as usize..WINDOW).step_by(d as usize).for_each(|k| divisible[k] = true);
        }
        let candidates: Vec<BigUint> = (0..WINDOW)
            .filter(|&k| !divisible[k])
            .map(|k| &start + 4 * k)
            .filter(|c| c.bits() == bits as u64)
            .collect();
        for batch in candidates.chunks(rayon::current_num_threads()) {
            let two = [BigUint::from(2u32)];
            let passed: Vec<bool> = batch.par_iter().map(|c| is_strong_probable_prime(c, &two)).collect();
            for (candidate, _) in batch.iter().zip(passed).filter(|(_, passed)| *passed) {
                let bases: Vec<BigUint> =
                    (0..ROUNDS).map(|_| random::below(rng, &(candidate - 3u32)) + 2u32).collect();
                if is_strong_probable_prime(candidate, &bases) {
                    return candidate.clone();
                }
            }
        }
    }
}

/// The test of Miller and Rabin for p ≡ 3 (mod 4): a^((p−1)/2) = ±1 for each base 1 < a < p−1. In constant time for p
/// up to the answer, apart from the divisions that set the ring up.
pub(crate) fn is_strong_probable_prime(p: &BigUint, bases: &[BigUint]) -> bool {
    let modulus = Modulus::new(p).expect("candidates are odd and of a supported size");
    let ring = modulus.mod_n();
    let exponent = Secret::from_biguint(&(p >> 1u32), p.bits() as usize).expect("(p−1)/2 is shorter than p");
    let bases = ring.residues(bases).expect("bases are below p");
    let minus_one = p - 1u32;
    let powers = ring.values(&ring.pow_secret(&bases, &exponent));
    powers.iter().all(|power| power.is_one() || *power == minus_one)
}

/// The smallest odd prime below `bound` that divides n.
pub(crate) fn small_factor(n: &BigUint, bound: u32) -> Option<u32> {
    small_primes(bound).into_iter().find(|&d| (n % d).is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    #[test]
    fn sieve_knows_the_first_primes() {
        assert_eq!(small_primes(30), [3, 5, 7, 11, 13, 17, 19, 23, 29]);
        assert_eq!(small_primes(1 << 12).len(), 563);
    }

    #[test]
    fn primes_have_the_form_asked_for() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        for bits in [128, 160, 256] {
            let p = random_prime(bits, &mut rng);
            assert_eq!(
                (p.bits(), (&p % 4u32).to_u32(), (&p >> (bits - 2)).to_u32()),
                (bits as u64, Some(3), Some(3))
            );
            // Fermat's test with num-bigint's own arithmetic.
            assert!(BigUint::from(3u32).modpow(&(&p - 1u32), &p).is_one());
        }
    }

    #[test]
    fn composites_fail_the_test() {
        // 2^127 − 1 is a prime, 2^131 − 1 = 263·… and 2^137 − 1 are not; all are 3 modulo 4.
        let bases = [2u32, 3, 5, 7].map(BigUint::from);
        let mersenne = |k: u32| (BigUint::one() << k) - 1u32;
        assert!(is_strong_probable_prime(&mersenne(521), &bases[1..]));
        assert!(!is_strong_probable_prime(&mersenne(131), &bases[1..]));
        assert!(!is_strong_probable_prime(&mersenne(137), &bases[1..]));
    }
}
