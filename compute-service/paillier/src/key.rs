//! Public keys: the modulus, and what the members of a threshold key publish.

use crate::ciphertext;
use crate::hash::Transcript;
use crate::parts::KeyParts;
use crate::prime;
use modexp::{Modulus, Residue, Ring, Secret};
use num_bigint::{BigInt, BigUint, Sign};
use num_integer::Integer;
use num_traits::One;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

/// The shortest modulus that is accepted at all, in bits; [`modexp`] does not go below.
pub const MIN_BITS: u64 = modexp::MIN_BITS;
/// The longest modulus in bits.
pub const MAX_BITS: u64 = modexp::MAX_BITS;
/// The largest number of members of a key.
pub const MAX_PARTIES: u32 = 64;
/// N must have no prime factor below this.
const SMALL_FACTORS: u32 = 1 << 12;

/// Why a public key is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// N is even.
    #[error("the modulus is even")]
    Even,
    /// N has not the length asked for, or leading zeros.
    #[error("the modulus has {found} bits instead of {expected}")]
    Length {
        /// Bits of the refused modulus.
        found: u64,
        /// Bits that were agreed on.
        expected: u64,
    },
    /// N is shorter than [`modexp::MIN_BITS`] or longer than [`modexp::MAX_BITS`], or not of whole bytes.
    #[error("a modulus of {0} bits is not supported")]
    Size(u64),
    /// N ≡ 3 modulo 4: the generator −H² would have Jacobi symbol −1.
    #[error("the modulus is 3 modulo 4, so that its factors are not both 3 modulo 4")]
    Residue,
    /// N has a small factor.
    #[error("the modulus is divisible by {0}")]
    SmallFactor(u32),
    /// N is a square.
    #[error("the modulus is a square")]
    Square,
    /// N is a prime.
    #[error("the modulus is a prime")]
    Prime,
    /// Number of members, or quorum, out of range.
    #[error("a quorum of {quorum} of {parties} members is not in 2..=n, n up to {MAX_PARTIES}")]
    Quorum {
        /// How many were to decrypt together.
        quorum: u32,
        /// Number of members.
        parties: u32,
    },
    /// The bound of colluders is not below the number of members.
    #[error("{0} colluding members are not fewer than all")]
    CollusionBound(u32),
    /// θ is not an invertible residue modulo N of the right length.
    #[error("θ is not invertible modulo N")]
    Theta,
    /// The verification base is not the one that follows from N.
    #[error("the verification base is not the one derived from N")]
    Base,
    /// A member's verification key is not a canonical unit with Jacobi symbol +1.
    #[error("the verification key of member {index}: {reason}")]
    Verification {
        /// The member's index.
        index: u32,
        /// What is wrong with it.
        reason: ciphertext::Invalid,
    },
}

/// A plaintext beyond ±(N−1)/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("plaintext {index} is not within ±(N−1)/2")]
pub struct Overflow {
    /// Position in the batch.
    pub index: usize,
}

/// A modulus N with everything that encryption and arithmetic on ciphertexts need. Cheap to clone.
#[derive(Clone)]
pub struct EncryptionKey {
    modulus: Modulus,
    /// (N−1)/2, the largest plaintext.
    half: BigUint,
}

impl EncryptionKey {
    /// Takes a modulus after every check that needs no factors.
    ///
    /// # Errors
    /// A modulus that is even, of an unsupported size, 3 modulo 4, divisible by a small prime, a square, or a prime.
    pub fn new(n: &BigUint) -> Result<Self, KeyError> {
        if n.is_even() {
            return Err(KeyError::Even);
        }
        if !(MIN_BITS..=MAX_BITS).contains(&n.bits()) || !n.bits().is_multiple_of(8) {
            return Err(KeyError::Size(n.bits()));
        }
        if let Some(factor) = prime::small_factor(n, SMALL_FACTORS) {
            return Err(KeyError::SmallFactor(factor));
        }
        if n.sqrt().pow(2) == *n {
            return Err(KeyError::Square);
        }
        if n.bit(1) {
            return Err(KeyError::Residue);
        }
        let modulus = Modulus::new(n).expect("odd and of a supported size");
        // Fermat's test to base 2. The product of two random large primes passes it with negligible probability.
        let ring = modulus.mod_n();
        let two = ring.residue(&BigUint::from(2u32)).expect("N is larger");
        if ring.value(&ring.pow_vartime_all(&[two], &(n - 1u32))[0]).is_one() {
            return Err(KeyError::Prime);
        }
        Ok(Self { modulus, half: n >> 1 })
    }

    /// N.
    pub fn n(&self) -> &BigUint {
        self.modulus.n()
    }

    /// N².
    pub fn n_squared(&self) -> &BigUint {
        self.modulus.n_squared()
    }

    /// Bits of N, a multiple of 8.
    pub fn bits(&self) -> u64 {
        self.modulus.bits()
    }

    /// Bytes of N.
    pub fn bytes(&self) -> usize {
        (self.bits() / 8) as usize
    }

    /// Bytes of a ciphertext or partial decryption, always the same.
    pub fn ciphertext_bytes(&self) -> usize {
        2 * self.bytes()
    }

    /// The largest plaintext, (N−1)/2; the least is its negative.
    pub fn max_plaintext(&self) -> &BigUint {
        &self.half
    }

    /// Arithmetic modulo N².
    pub fn ring(&self) -> &Ring {
        self.modulus.mod_n2()
    }

    /// The residue modulo N of a signed plaintext.
    pub(crate) fn wrap(&self, m: &BigInt, index: usize) -> Result<BigUint, Overflow> {
        match m.sign() {
            _ if m.magnitude() > &self.half => Err(Overflow { index }),
            Sign::Minus => Ok(self.n() - m.magnitude()),
            _ => Ok(m.magnitude().clone()),
        }
    }

    /// The signed plaintext of a residue modulo N: above N/2 it is negative.
    pub(crate) fn unwrap(&self, residue: BigUint) -> BigInt {
        if residue > self.half {
            BigInt::from(residue) - BigInt::from(self.n().clone())
        } else {
            residue.into()
        }
    }

    /// 1 + m·N modulo N² for each m below N.
    pub(crate) fn one_plus(&self, m: &[BigUint]) -> Vec<Residue> {
        let secret = |m| Secret::from_biguint(m, self.bits() as usize).expect("m is below N");
        self.ring().one_plus_multiples(&m.iter().map(secret).collect::<Vec<_>>())
    }
}

impl PartialEq for EncryptionKey {
    fn eq(&self, other: &Self) -> bool {
        self.n() == other.n()
    }
}

impl Eq for EncryptionKey {}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncryptionKey({} bits)", self.bits())
    }
}

/// The public part of a threshold key (`docs/protocols.md` 1). Cheap to clone; dereferences to its [`EncryptionKey`].
///
/// The secret exponent d has d ≡ 0 modulo φ(N) and d ≡ θ modulo N; it is the value at 0 of a polynomial over the
/// integers whose value at i+1 is the share of member i.
#[derive(Clone)]
pub struct PublicKey(Arc<Inner>);

struct Inner {
    encryption: EncryptionKey,
    quorum: u32,
    collusion_bound: u32,
    theta: BigUint,
    delta: BigUint,
    /// (4Δ²θ)⁻¹ modulo N.
    unscale: BigUint,
    base: Residue,
    /// v^(2^(8·piece·l)) for l = 0, 1, …, as far as they were needed.
    base_powers: Mutex<Vec<Residue>>,
    verification: Vec<Residue>,
    fingerprint: [u8; 32],
}

impl PublicKey {
    /// Puts a key together from parts that were checked or made here.
    pub(crate) fn assemble(
        encryption: EncryptionKey,
        quorum: u32,
        collusion_bound: u32,
        theta: BigUint,
        verification: Vec<Residue>,
    ) -> Result<Self, KeyError> {
        let parties = verification.len() as u32;
        if parties > MAX_PARTIES || !(2..=parties).contains(&quorum) {
            return Err(KeyError::Quorum { quorum, parties });
        }
        if collusion_bound >= parties {
            return Err(KeyError::CollusionBound(collusion_bound));
        }
        let n = encryption.n();
        let delta: BigUint = factorial(parties);
        if theta >= *n {
            return Err(KeyError::Theta);
        }
        let scale = &delta * &delta * 4u32 * &theta % n;
        let unscale = scale.modinv(n).ok_or(KeyError::Theta)?;
        let base = verification_base(&encryption);
        let mut key = Inner {
            encryption,
            quorum,
            collusion_bound,
            theta,
            delta,
            unscale,
            base_powers: Mutex::new(vec![base.clone()]),
            base,
            verification,
            fingerprint: [0; 32],
        };
        key.fingerprint = key.to_parts().fingerprint();
        Ok(Self(Arc::new(key)))
    }

    /// Takes a key from outside after every check that needs no secret. `bits` is the length that N must have.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn from_parts(parts: &KeyParts, bits: u64) -> Result<Self, KeyError> {
        let n = BigUint::from_bytes_be(&parts.n);
        if n.bits() != bits || parts.n.len() as u64 != bits.div_ceil(8) {
            return Err(KeyError::Length { found: n.bits(), expected: bits });
        }
        let parties = parts.verification.len();
        if parties > MAX_PARTIES as usize {
            return Err(KeyError::Quorum { quorum: parts.quorum, parties: parties as u32 });
        }
        let encryption = EncryptionKey::new(&n)?;
        if parts.theta.len() != encryption.bytes() {
            return Err(KeyError::Theta);
        }
        let verification = ciphertext::decode(&encryption, &parts.verification)
            .map_err(|e| KeyError::Verification { index: e.index as u32, reason: e.reason })?;
        let theta = BigUint::from_bytes_be(&parts.theta);
        let key = Self::assemble(encryption, parts.quorum, parts.collusion_bound, theta, verification)?;
        if ciphertext::encode(&key, &[key.base().clone()])[0] != parts.base {
            return Err(KeyError::Base);
        }
        Ok(key)
    }

    /// Its numbers, for others.
    pub fn to_parts(&self) -> KeyParts {
        self.0.to_parts()
    }

    /// How many members decrypt together.
    pub fn quorum(&self) -> u32 {
        self.0.quorum
    }

    /// Number n of members.
    pub fn parties(&self) -> u32 {
        self.0.verification.len() as u32
    }

    /// Up to how many colluding members learned nothing of the factors when the key was made.
    pub fn collusion_bound(&self) -> u32 {
        self.0.collusion_bound
    }

    /// What the key is called: SHA-256 of the JSON of its parts.
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.0.fingerprint
    }

    /// The secret exponent modulo N.
    pub fn theta(&self) -> &BigUint {
        &self.0.theta
    }

    /// Δ = n!.
    pub(crate) fn delta(&self) -> &BigUint {
        &self.0.delta
    }

    /// (4Δ²θ)⁻¹ modulo N.
    pub(crate) fn unscale(&self) -> &BigUint {
        &self.0.unscale
    }

    /// The verification base v.
    pub(crate) fn base(&self) -> &Residue {
        &self.0.base
    }

    /// Bytes of the pieces into which exponents of v are cut.
    pub(crate) fn piece(&self) -> usize {
        self.bytes().div_ceil(4)
    }

    /// v^(2^(8·[`piece`](Self::piece)·l)) for l below `count`: the squarings of a long power of v, done once.
    pub(crate) fn base_powers(&self, count: usize) -> Vec<Residue> {
        let step = BigUint::one() << (8 * self.piece());
        let mut powers = self.0.base_powers.lock().unwrap_or_else(PoisonError::into_inner);
        while powers.len() < count {
            let last = powers.last().expect("it begins with v").clone();
            powers.extend(self.ring().pow_vartime_all(&[last], &step));
        }
        powers[..count].to_vec()
    }

    /// vᵢ = v^(Δ·shareᵢ).
    pub(crate) fn verification(&self, index: u32) -> Option<&Residue> {
        self.0.verification.get(index as usize)
    }
}

impl Inner {
    fn to_parts(&self) -> KeyParts {
        let encode = |r: &[Residue]| ciphertext::encode(&self.encryption, r);
        KeyParts {
            n: self.encryption.n().to_bytes_be(),
            quorum: self.quorum,
            collusion_bound: self.collusion_bound,
            theta: fixed_bytes(&self.theta, self.encryption.bytes()),
            base: encode(std::slice::from_ref(&self.base)).swap_remove(0),
            verification: encode(&self.verification),
        }
    }
}

impl Deref for PublicKey {
    type Target = EncryptionKey;

    fn deref(&self) -> &EncryptionKey {
        &self.0.encryption
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.fingerprint == other.0.fingerprint
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} bits, {} of {})", self.bits(), self.quorum(), self.parties())
    }
}

/// k!
pub(crate) fn factorial(k: u32) -> BigUint {
    (1..=k).map(BigUint::from).product()
}

/// The verification base: a square that is hashed from N, so that no party can choose it.
pub(crate) fn verification_base(key: &EncryptionKey) -> Residue {
    let hash = Transcript::new("confab verification base").number(key.n());
    let root = hash.expand(key.ciphertext_bytes() + 16) % key.n_squared();
    key.ring().square(&key.ring().residue(&root).expect("reduced"))
}

/// A number as exactly `length` big-endian bytes.
pub(crate) fn fixed_bytes(x: &BigUint, length: usize) -> Vec<u8> {
    let digits = x.to_bytes_be();
    let mut bytes = vec![0; length.checked_sub(digits.len()).expect("the number fits")];
    bytes.extend(digits);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prime::random_prime;
    use crate::{Ciphertext, Invalid, deal};
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use std::sync::LazyLock;

    static PARTS: LazyLock<KeyParts> =
        LazyLock::new(|| deal(3, 2, 256, "test", &mut ChaCha20Rng::seed_from_u64(1)).unwrap().0.to_parts());

    fn changed(change: impl FnOnce(&mut KeyParts)) -> Result<PublicKey, KeyError> {
        let mut parts = PARTS.clone();
        change(&mut parts);
        PublicKey::from_parts(&parts, 256)
    }

    #[test]
    fn each_bad_modulus_has_its_own_error() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let (p, q) = (random_prime(128, &mut rng), random_prime(128, &mut rng));
        let n = &p * &q;
        EncryptionKey::new(&n).unwrap();
        let is_prime = |x: &BigUint| BigUint::from(3u32).modpow(&(x - 1u32), x).is_one();
        let prime = (1u32..).map(|k| &n + 4 * k).find(is_prime).expect("primes are dense");
        let of = |n: BigUint| EncryptionKey::new(&n).unwrap_err();
        assert_eq!(of(&n + 1u32), KeyError::Even);
        assert_eq!(of(&n >> 132 | BigUint::one()), KeyError::Size(124));
        assert_eq!(of((BigUint::one() << 4104) - 1u32), KeyError::Size(4104));
        assert_eq!(of((BigUint::one() << 256) - 1u32), KeyError::SmallFactor(3));
        assert_eq!(of(&p * &p), KeyError::Square);
        assert_eq!(of(prime), KeyError::Prime);
        let three = (0u32..)
            .map(|k| &p * (&q + 2u32 + 4 * k))
            .find(|n| prime::small_factor(n, SMALL_FACTORS).is_none());
        assert_eq!(of(three.expect("some have no small factor")), KeyError::Residue);
    }

    #[test]
    fn each_bad_part_of_a_threshold_key_has_its_own_error() {
        let key = changed(|_| ()).unwrap();
        assert_eq!(key.to_parts(), *PARTS);
        assert_eq!(
            PublicKey::from_parts(&PARTS, 512).unwrap_err(),
            KeyError::Length { found: 256, expected: 512 }
        );
        assert_eq!(
            changed(|r| r.n.insert(0, 0)).unwrap_err(),
            KeyError::Length { found: 256, expected: 256 }
        );
        assert_eq!(changed(|r| r.quorum = 4).unwrap_err(), KeyError::Quorum { quorum: 4, parties: 3 });
        assert_eq!(changed(|r| r.collusion_bound = 3).unwrap_err(), KeyError::CollusionBound(3));
        assert_eq!(changed(|r| r.theta.fill(0)).unwrap_err(), KeyError::Theta);
        assert_eq!(changed(|r| r.theta = r.n.clone()).unwrap_err(), KeyError::Theta);
        assert_eq!(changed(|r| r.base = r.verification[0].clone()).unwrap_err(), KeyError::Base);
        let refused = |reason| KeyError::Verification { index: 1, reason };
        assert_eq!(changed(|r| r.verification[1].fill(0)).unwrap_err(), refused(Invalid::Trivial));
        assert_eq!(changed(|r| r.verification[1].fill(255)).unwrap_err(), refused(Invalid::TooLarge));
        let with_n = |r: &mut KeyParts| r.verification[1] = fixed_bytes(&BigUint::from_bytes_be(&r.n), 64);
        assert_eq!(changed(with_n).unwrap_err(), refused(Invalid::NotUnit));
        // What a challenge is computed from differs between keys that differ anywhere.
        let other = changed(|r| r.verification.swap(0, 1)).unwrap();
        assert_ne!(other.fingerprint(), key.fingerprint());
        assert_ne!(changed(|r| r.quorum = 3).unwrap().fingerprint(), key.fingerprint());
    }

    #[test]
    fn each_bad_ciphertext_has_its_own_error() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let (p, q) = (random_prime(128, &mut rng), random_prime(128, &mut rng));
        let key = EncryptionKey::new(&(&p * &q)).unwrap();
        let of = |c: &BigUint| Ciphertext::from_bytes(&key, &fixed_bytes(c, 64)).map(|_| ());
        assert_eq!(of(&BigUint::ZERO), Err(Invalid::Trivial));
        assert_eq!(of(&BigUint::one()), Err(Invalid::Trivial));
        assert_eq!(of(key.n_squared()), Err(Invalid::TooLarge));
        assert_eq!(of(&(key.n_squared() - 1u32)), Ok(()));
        assert_eq!(of(&(&p * 2u32)), Err(Invalid::NotUnit));
        let minus = (2u32..).map(BigUint::from).find(|x| modexp::jacobi(x, key.n()) == -1).unwrap();
        assert_eq!(of(&minus), Err(Invalid::Jacobi));
        assert_eq!(of(&(&minus * &minus)), Ok(()));
        for length in [0, 63, 65] {
            assert_eq!(Ciphertext::from_bytes(&key, &vec![1; length]).map(|_| ()), Err(Invalid::Length));
        }
        let good = fixed_bytes(&(&minus * &minus), 64);
        let error = Ciphertext::from_bytes_batch(&key, &[good, fixed_bytes(&minus, 64)]).unwrap_err();
        assert_eq!((error.index, error.reason), (1, Invalid::Jacobi));
        let factor = [fixed_bytes(&minus, 64), fixed_bytes(&q, 64)];
        let error = crate::Partial::from_bytes_batch(&key, &factor).unwrap_err();
        assert_eq!((error.index, error.reason), (1, Invalid::NotUnit));
    }
}
