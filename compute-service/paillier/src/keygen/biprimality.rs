//! Whether N is the product of two primes, and φ(N) coprime to N.

use super::candidates::Summands;
use super::pairwise::{Pattern, Product};
use super::shamir::Sharing;
use super::{Group, KeygenError, Message, check};
use crate::hash::Transcript;
use crate::{prime, random};
use modexp::{Modulus, Secret};
use num_bigint::BigUint;
use num_integer::Integer;
use num_traits::{One, Zero};
use rand_core::CryptoRng;
use rayon::prelude::*;

/// Bases of the whole test: each lets a wrong N pass with probability ½ at most.
pub const BASES: usize = 81;
/// N is divided by all primes below this before any power is computed.
pub(super) const TRIAL: u32 = 1 << 13;

/// Which candidates have no small factor.
pub fn trial_division(candidates: &[BigUint]) -> Vec<usize> {
    let words: Vec<u64> = words(TRIAL);
    let survives = |n: &BigUint| {
        words
            .iter()
            .all(|word| u64::try_from(n % *word).expect("the rest is below a word").gcd(word).is_one())
    };
    candidates.par_iter().enumerate().filter(|(_, n)| survives(n)).map(|(k, _)| k).collect()
}

/// Products of the odd primes below a bound, each as large as fits into a word.
fn words(bound: u32) -> Vec<u64> {
    let mut words = vec![1u64];
    for d in prime::small_primes(bound).into_iter().map(u64::from) {
        let last = words.last_mut().expect("there is a first word");
        match last.checked_mul(d) {
            Some(product) => *last = product,
            None => words.push(d),
        }
    }
    words
}

/// The session's coin from all members' opened contributions.
pub fn coin(contributions: &[Message]) -> [u8; 32] {
    contributions.iter().fold(Transcript::new("confab coin"), |hash, c| hash.numbers(c)).finish()
}

/// Base number `k` for N: of Jacobi symbol 1, hashed from the coin.
pub fn base(n: &BigUint, coin: &[u8; 32], k: usize) -> BigUint {
    let length = (n.bits() as usize + 128).div_ceil(8);
    let attempt = |attempt: u64| {
        let hash = Transcript::new("confab base").bytes(coin).number(n).int(k as u64).int(attempt);
        hash.expand(length) % n
    };
    (0..).map(attempt).find(|g| modexp::jacobi(g, n) == 1).expect("half of all units have symbol 1")
}

/// The member's exponent: (N+1−p₁−q₁)/4 of the first, (pᵢ+qᵢ)/4 of the others.
fn exponent(group: Group, n: &BigUint, p: &BigUint, q: &BigUint) -> Secret {
    let exponent = if group.is_first() { (n + 1u32 - p - q) >> 2 } else { (p + q) >> 2 };
    let width = if group.is_first() { n.bits() } else { n.bits() / 2 };
    Secret::from_biguint(&exponent, width as usize).expect("the summands are shorter")
}

/// Step 5, to be published: the member's power of one base for each of several candidates.
pub fn first_powers(
    group: Group,
    candidates: &[(usize, &BigUint)],
    p: &Summands,
    q: &Summands,
    coin: &[u8; 32],
) -> Message {
    let jobs: Vec<(BigUint, Secret)> = candidates
        .par_iter()
        .map(|(k, n)| (base(n, coin, 0), exponent(group, n, p.get(*k), q.get(*k))))
        .collect();
    let jobs: Vec<_> = jobs.iter().zip(candidates).map(|((g, e), (_, n))| (g, e, *n)).collect();
    modexp::pow_mod_many_secret(&jobs).expect("bases are reduced, candidates odd and of a supported size")
}

/// Step 6, to be published: powers of all [`BASES`] for one candidate.
pub fn all_powers(group: Group, n: &BigUint, p: &BigUint, q: &BigUint, coin: &[u8; 32]) -> Message {
    let modulus = Modulus::new(n).expect("a candidate is odd and of a supported size");
    let bases: Vec<BigUint> = (0..BASES).into_par_iter().map(|k| base(n, coin, k)).collect();
    let ring = modulus.mod_n();
    let bases = ring.residues(&bases).expect("bases are below N");
    ring.values(&ring.pow_secret(&bases, &exponent(group, n, p, q)))
}

/// Checks what all members published in step 5 or 6: one power for each of `moduli`, below it.
///
/// # Errors
/// A member that published a wrong number of values, or one out of range.
pub fn check_powers(published: &[Message], moduli: &[&BigUint]) -> Result<(), KeygenError> {
    for (powers, party) in published.iter().zip(0..) {
        if powers.len() != moduli.len() {
            return Err(KeygenError::Member { party, reason: "a wrong number of values" });
        }
        if powers.iter().zip(moduli).any(|(power, n)| power >= n) {
            return Err(KeygenError::Member { party, reason: "a value out of range" });
        }
    }
    Ok(())
}

/// Whether the members' powers of one base modulo N fit two prime factors: v₁ = ±Π vᵢ.
pub fn fits(n: &BigUint, powers: &[&BigUint]) -> bool {
    let product = powers[1..].iter().fold(BigUint::one(), |product, v| product * *v % n);
    !product.is_zero() && (*powers[0] == product || *powers[0] == n - product)
}

/// The member's summand of p + q − 1.
fn sum(group: Group, p: &BigUint, q: &BigUint) -> BigUint {
    if group.is_first() { p + q - 1u32 } else { p + q }
}

/// Step 7, pairwise: the product whose summand is the share of r·(p+q−1) modulo N to be published in step 8, with a
/// joint random r.
pub fn multiply_gcd(
    group: Group,
    n: &BigUint,
    p: &BigUint,
    q: &BigUint,
    rng: &mut impl CryptoRng,
) -> Product {
    let (sum, r) = (sum(group, p, q), random::below(rng, n));
    Product::new(group, Pattern::All, n, (&[sum], n.bits() / 2 + 1), (&[r], n.bits()))
}

/// Step 7, to each in private (minority only): shares modulo N of a random number (degree t), of the member's summand
/// of p+q−1 (degree t), and of zero (degree 2t).
pub fn share_gcd(
    group: Group,
    n: &BigUint,
    p: &BigUint,
    q: &BigUint,
    rng: &mut impl CryptoRng,
) -> Vec<Message> {
    let sharing = Sharing::of(group, n.clone());
    let t = group.collusion_bound();
    let mut messages = sharing.share(&[random::below(rng, n), sum(group, p, q) % n], t, rng);
    for (message, zero) in messages.iter_mut().zip(sharing.share(&[BigUint::ZERO], 2 * t, rng)) {
        message.extend(zero);
    }
    messages
}

/// Step 8, to be published (minority only): the share of r·(p+q−1) modulo N.
///
/// # Errors
/// A member that sent a wrong number of values, or one out of range.
pub fn gcd_share(group: Group, n: &BigUint, received: &[Message]) -> Result<Message, KeygenError> {
    check(received, 3, n)?;
    let sharing = Sharing::of(group, n.clone());
    let sum = sharing.add(received);
    let product = sharing.mul(&sum[..1], &sum[1..2]);
    Ok(sharing.add(&[product, sum[2..].to_vec()]))
}

/// Whether gcd(N, p+q−1) = 1, from all members' step 8.
///
/// # Errors
/// A member that published a wrong number of values, or one out of range.
pub fn gcd_is_one(group: Group, n: &BigUint, published: &[Message]) -> Result<bool, KeygenError> {
    check(published, 1, n)?;
    let opened = &Sharing::of(group, n.clone()).open(published)[0];
    Ok(opened.gcd(n).is_one())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prime::random_prime;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    /// Three members' summands of a number: the first is 3 modulo 4, the others are 0.
    fn split(x: &BigUint) -> Vec<BigUint> {
        let part = ((x / 5u32) >> 2u32) << 2u32;
        vec![x - &part - &part, part.clone(), part]
    }

    /// How many of [`BASES`] bases a product passes.
    fn passed(p: &BigUint, q: &BigUint) -> usize {
        let (n, ps, qs) = (p * q, split(p), split(q));
        let powers: Vec<Message> = (0..3)
            .map(|i| all_powers(Group::new(3, i as u32).unwrap(), &n, &ps[i], &qs[i], &[7; 32]))
            .collect();
        (0..BASES).filter(|&k| fits(&n, &[&powers[0][k], &powers[1][k], &powers[2][k]])).count()
    }

    #[test]
    fn two_primes_pass_and_nothing_else() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (p, q) = (random_prime(128, &mut rng), random_prime(128, &mut rng));
        assert_eq!(passed(&p, &q), BASES);
        // q·r² ≡ 3 (mod 4) is composite.
        let r = random_prime(128, &mut rng);
        let composite = &q * &r * &r;
        let some = passed(&random_prime(384, &mut rng), &composite);
        assert!(some < 3 * BASES / 4, "{some} of {BASES}");
    }

    #[test]
    fn trial_division_finds_every_small_factor() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let p = random_prime(256, &mut rng);
        let candidates: Vec<BigUint> = [1u32, 3, 5, 8191, 8209].iter().map(|d| &p * *d).collect();
        assert_eq!(trial_division(&candidates), [0, 4]);
    }

    #[test]
    fn bases_follow_from_modulus_and_coin() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut n = || random_prime(128, &mut rng) * random_prime(128, &mut rng);
        let (n, m) = (n(), n());
        assert!((0..20).all(|k| modexp::jacobi(&base(&n, &[1; 32], k), &n) == 1));
        assert_ne!(base(&n, &[1; 32], 0), base(&n, &[2; 32], 0));
        assert_ne!(base(&n, &[1; 32], 0), base(&n, &[1; 32], 1));
        assert_ne!(base(&n, &[1; 32], 0), base(&m, &[1; 32], 0));
        let of = |c: &[u32]| coin(&c.iter().map(|c| vec![BigUint::from(*c)]).collect::<Vec<_>>());
        assert_ne!(of(&[1, 2, 3]), of(&[1, 2, 4]));
    }
}
