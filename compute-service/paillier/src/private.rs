//! Ordinary key pairs, whose owner knows the factors of N.

use crate::ciphertext::{Ciphertext, residues};
use crate::key::{EncryptionKey, KeyError};
use crate::key_file;
use crate::parts::base64_bytes;
use crate::prime::random_prime;
use crate::threshold::ShareError;
use modexp::{Modulus, Secret};
use num_bigint::{BigInt, BigUint};
use num_integer::Integer;
use rand_core::CryptoRng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;
use zeroize::{Zeroize, Zeroizing};

/// Version of the file format.
const VERSION: u32 = 1;

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

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    version: u32,
    #[serde(with = "base64_bytes")]
    p: Vec<u8>,
    #[serde(with = "base64_bytes")]
    q: Vec<u8>,
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        self.p.zeroize();
        self.q.zeroize();
    }
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

    /// The N-th root modulo N, which takes the factors.
    pub(crate) fn root(&self, power: &BigUint) -> BigUint {
        let n = self.public.n();
        let of = |factor: &Factor| {
            let p = factor.modulus.n();
            let order = p - 1u32;
            let exponent = (n % &order).modinv(&order).expect("N and φ(N) have no common factor");
            let exponent = Secret::from_biguint(&exponent, p.bits() as usize).expect("below p − 1");
            let ring = factor.modulus.mod_n();
            let base = ring.residue(&(power % p)).expect("just reduced");
            ring.value(&ring.pow_secret(&[base], &exponent)[0])
        };
        self.join(&of(&self.p), &of(&self.q))
    }

    /// The file's content: JSON, version 1.
    pub fn to_json(&self) -> Zeroizing<Vec<u8>> {
        let [p, q] = [&self.p, &self.q].map(|factor| factor.modulus.n().to_bytes_be());
        let file = KeyFile { version: VERSION, p, q };
        key_file::to_json(&file, 2 * self.public.ciphertext_bytes() + 1024)
    }

    /// Reads the file's content. The factors are not tested for being prime.
    ///
    /// # Errors
    /// Whatever is wrong with it; no error shows any part of the factors.
    pub fn from_json(json: &[u8]) -> Result<Self, ShareError> {
        let file: KeyFile = key_file::from_json(json)?;
        if file.version != VERSION {
            return Err(ShareError::Version(file.version));
        }
        if [&file.p, &file.q].iter().any(|factor| factor.len() as u64 * 8 > modexp::MAX_BITS) {
            return Err(ShareError::Range("factor"));
        }
        let [p, q] = [&file.p, &file.q].map(|factor| BigUint::from_bytes_be(factor));
        Ok(Self::from_factors(&p, &q)?)
    }

    /// Writes a new file with mode 0600: complete and on the disk, or not at all.
    ///
    /// # Errors
    /// A file that exists already (a key is never overwritten), or what the system says.
    pub fn write(&self, path: &Path) -> Result<(), ShareError> {
        key_file::write(path, &self.to_json())
    }

    /// Reads a file that only its owner may read.
    ///
    /// # Errors
    /// See [`ShareError`].
    pub fn read(path: &Path) -> Result<Self, ShareError> {
        Self::from_json(&key_file::read(path)?)
    }

    /// The signed plaintexts.
    pub fn decrypt(&self, ciphertexts: &[Ciphertext]) -> Vec<BigInt> {
        let values = self.public.ring().values(&residues(ciphertexts));
        let (mod_p, mod_q) = rayon::join(|| self.p.decrypt(&values), || self.q.decrypt(&values));
        mod_p.iter().zip(&mod_q).map(|(m_p, m_q)| self.public.unwrap(self.join(m_p, m_q))).collect()
    }

    /// The number modulo N with these remainders modulo p and q.
    fn join(&self, mod_p: &BigUint, mod_q: &BigUint) -> BigUint {
        let (p, q) = (self.p.modulus.n(), self.q.modulus.n());
        let difference = (mod_q + q - mod_p % q) % q;
        mod_p + difference * &self.p_inverse % q * p
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

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    #[test]
    fn a_file_holds_the_whole_key_and_shows_none_of_it() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let key = PrivateKey::generate(256, &mut rng).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.json");
        key.write(&path).unwrap();
        assert!(key.write(&path).is_err(), "never overwritten");
        let read = PrivateKey::read(&path).unwrap();
        let encrypted = crate::Encryptor::new(key.public(), crate::Randomness::Short)
            .encrypt(&[BigInt::from(-42)], &mut rng)
            .unwrap();
        assert_eq!(read.decrypt(&encrypted), [BigInt::from(-42)]);
        assert_eq!(format!("{read:?}"), "PrivateKey(256 bits)");

        let json = String::from_utf8(key.to_json().to_vec()).unwrap();
        let from = |json: &str| PrivateKey::from_json(json.as_bytes()).map(drop);
        assert!(matches!(from(&json.replace("\"version\":1", "\"version\":2")), Err(ShareError::Version(2))));
        assert!(matches!(from(&json.replace("{", "{\"r\":1,")), Err(ShareError::Syntax(_))));
        let long = format!("{{\"version\":1,\"p\":\"{}\",\"q\":\"\"}}", "AAAA".repeat(200));
        assert!(matches!(from(&long), Err(ShareError::Range("factor"))));
        for p in ["", "Aw==", "AQ=="] {
            let short = format!("{{\"version\":1,\"p\":\"{p}\",\"q\":\"Aw==\"}}");
            assert!(matches!(from(&short), Err(ShareError::Key(_))), "{p}");
        }
    }
}
