//! Public keys: the modulus, and what the members of a threshold key publish.

use crate::ciphertext;
use crate::hash::Transcript;
use crate::prime;
use modexp::{Modulus, Residue, Ring};
use num_bigint::{BigInt, BigUint, Sign};
use num_integer::Integer;
use num_traits::One;
use records::{Bytes, ThresholdKey};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

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
    /// N is shorter than [`MIN_BITS`] or longer than [`MAX_BITS`], or not of whole bytes.
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
        if ring.value(&ring.pow_public_all(&[two], &(n - 1u32))[0]).is_one() {
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

    /// 1 + m·N modulo N².
    pub(crate) fn one_plus(&self, m: &BigUint) -> Residue {
        self.ring().residue(&(m * self.n() + 1u32)).expect("m is below N")
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

/// The public part of a threshold key (`protocols.md` 1). Cheap to clone; dereferences to its [`EncryptionKey`].
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
            base,
            verification,
            fingerprint: [0; 32],
        };
        let ring = key.encryption.ring();
        key.fingerprint = Transcript::new("confab threshold key")
            .number(key.encryption.n())
            .int(quorum.into())
            .int(collusion_bound.into())
            .number(&key.theta)
            .numbers(&ring.values(&key.verification))
            .finish();
        Ok(Self(Arc::new(key)))
    }

    /// Reads a key from the ledger after every check that needs no secret. `bits` is the length that N must have.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn from_record(record: &ThresholdKey, bits: u64) -> Result<Self, KeyError> {
        let n = BigUint::from_bytes_be(&record.n.0);
        if n.bits() != bits || record.n.0.len() as u64 != bits.div_ceil(8) {
            return Err(KeyError::Length { found: n.bits(), expected: bits });
        }
        let parties = record.verification.len();
        if parties > MAX_PARTIES as usize {
            return Err(KeyError::Quorum { quorum: record.quorum, parties: parties as u32 });
        }
        let encryption = EncryptionKey::new(&n)?;
        if record.theta.0.len() != encryption.bytes() {
            return Err(KeyError::Theta);
        }
        let verification = record
            .verification
            .iter()
            .enumerate()
            .map(|(index, v)| {
                ciphertext::decode(&encryption, &v.0)
                    .map_err(|reason| KeyError::Verification { index: index as u32, reason })
            })
            .collect::<Result<_, _>>()?;
        let theta = BigUint::from_bytes_be(&record.theta.0);
        let key = Self::assemble(encryption, record.quorum, record.collusion_bound, theta, verification)?;
        if key.residue_bytes(key.base()) != record.base.0 {
            return Err(KeyError::Base);
        }
        Ok(key)
    }

    /// The form on the ledger.
    pub fn to_record(&self) -> ThresholdKey {
        let residue = |r: &Residue| Bytes(self.residue_bytes(r));
        ThresholdKey {
            n: Bytes(self.n().to_bytes_be()),
            quorum: self.0.quorum,
            collusion_bound: self.0.collusion_bound,
            theta: Bytes(fixed_bytes(&self.0.theta, self.bytes())),
            base: residue(&self.0.base),
            verification: self.0.verification.iter().map(residue).collect(),
        }
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

    /// SHA-256 of everything in the key.
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

    /// vᵢ = v^(Δ·shareᵢ).
    pub(crate) fn verification(&self, index: u32) -> Option<&Residue> {
        self.0.verification.get(index as usize)
    }

    fn residue_bytes(&self, residue: &Residue) -> Vec<u8> {
        fixed_bytes(&self.ring().value(residue), self.ciphertext_bytes())
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

/// The verification base: a square that is hashed from N, so that nobody chose it.
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
