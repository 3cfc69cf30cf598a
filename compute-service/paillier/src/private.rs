//! Ordinary key pairs, whose owner knows the factors of N.

use crate::ciphertext::{Ciphertext, residues};
use crate::key::{EncryptionKey, KeyError};
use crate::prime::random_prime;
use modexp::{Modulus, Secret};
use num_bigint::{BigInt, BigUint};
use num_integer::Integer;
use rand_core::CryptoRng;
use rayon::prelude::*;
use std::fmt;

/// The factors of N, prepared for decryption modulo p² and q² (Paillier 1999, section 7). Its numbers are not wiped
/// when it is dropped, except the exponents.
#[derive(Clone)]
pub struct PrivateKey {
    public: EncryptionKey,
    p: Factor,
    q: Factor,
    /// p⁻¹ modulo q.
    p_inverse: BigUint,
}

#[derive(Clone)]
struct Factor {
    modulus: Modulus,
    /// p − 1.
    exponent: Secret,
    /// L(g^(p−1) mod p²)⁻¹ mod p = (−q)⁻¹ mod p for g = N + 1.
    unscale: BigUint,
}

impl Factor {
    fn new(p: &BigUint, q: &BigUint) -> Option<Self> {
        let modulus = Modulus::new(p).ok()?;
        let exponent = Secret::from_biguint(&(p - 1u32), p.bits() as usize).expect("p − 1 is below p");
        let unscale = (p - q % p).modinv(p)?;
        Some(Self { modulus, exponent, unscale })
    }

    /// The plaintexts modulo p.
    fn decrypt(&self, ciphertexts: &[BigUint]) -> Vec<BigUint> {
        let (p, ring) = (self.modulus.n(), self.modulus.mod_n2());
        let reduced: Vec<BigUint> = ciphertexts.par_iter().map(|c| c % ring.modulus()).collect();
        let reduced = ring.residues(&reduced).expect("just reduced");
        let powers = ring.values(&ring.pow_secret(&reduced, &self.exponent));
        powers.into_par_iter().map(|u| (u - 1u32) / p * &self.unscale % p).collect()
    }
}

impl PrivateKey {
    /// Makes a key pair with an N of exactly `bits` bits, both factors 3 modulo 4.
    ///
    /// # Errors
    /// A size that is not supported: below 256, above 4,096, or not a multiple of 16.
    pub fn generate(bits: u64, rng: &mut impl CryptoRng) -> Result<Self, KeyError> {
        loop {
            let (p, q) = factors(bits, rng)?;
            // For p and q of one length this fails only if they are equal.
            match Self::from_factors(&p, &q) {
                Err(KeyError::Square) => (),
                key => return key,
            }
        }
    }

    /// From two primes, which are not tested for being prime.
    ///
    /// # Errors
    /// A product that is no [`EncryptionKey`], or factors of different lengths, for which N and φ(N) may have a common
    /// factor.
    pub fn from_factors(p: &BigUint, q: &BigUint) -> Result<Self, KeyError> {
        let public = EncryptionKey::new(&(p * q))?;
        if p.bits() != q.bits() || !public.n().gcd(&((p - 1u32) * (q - 1u32))).eq(&1u32.into()) {
            return Err(KeyError::Size(p.bits().min(q.bits())));
        }
        let size = KeyError::Size(p.bits());
        let p_inverse = p.modinv(q).ok_or(KeyError::Square)?;
        let (Some(p), Some(q)) = (Factor::new(p, q), Factor::new(q, p)) else {
            return Err(size);
        };
        Ok(Self { public, p, q, p_inverse })
    }

    /// The public part.
    pub fn public(&self) -> &EncryptionKey {
        &self.public
    }

    /// The signed plaintexts.
    pub fn decrypt(&self, ciphertexts: &[Ciphertext]) -> Vec<BigInt> {
        let values = self.public.ring().values(&residues(ciphertexts));
        let (p, q) = (self.p.modulus.n(), self.q.modulus.n());
        let (mod_p, mod_q) = rayon::join(|| self.p.decrypt(&values), || self.q.decrypt(&values));
        mod_p
            .into_iter()
            .zip(mod_q)
            .map(|(m_p, m_q)| {
                let difference = (m_q + q - &m_p % q) % q;
                let m = &m_p + difference * &self.p_inverse % q * p;
                self.public.unwrap(m)
            })
            .collect()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({} bits)", self.public.bits())
    }
}

/// Two random primes 3 modulo 4 whose product has exactly `bits` bits.
pub(crate) fn factors(bits: u64, rng: &mut impl CryptoRng) -> Result<(BigUint, BigUint), KeyError> {
    let supported = 2 * modexp::MIN_BITS..=modexp::MAX_BITS;
    if !supported.contains(&bits) || !bits.is_multiple_of(16) {
        return Err(KeyError::Size(bits));
    }
    let half = (bits / 2) as usize;
    Ok((random_prime(half, rng), random_prime(half, rng)))
}
