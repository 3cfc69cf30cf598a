//! A member's part of a decryption.

use super::proof::{self, Proof, Statement, WrongShare};
use super::share::KeyShare;
use crate::ciphertext::{self, Ciphertext, CiphertextError, Invalid, residues};
use crate::hash::{Transcript, length_prefix};
use crate::key::{EncryptionKey, PublicKey};
use modexp::Residue;
use num_integer::Integer;
use num_traits::One;
use rand_core::CryptoRng;
use std::fmt;

/// c^(2Δ·shareᵢ): what member i makes of a ciphertext c.
#[derive(Clone)]
pub struct Partial(pub(crate) Residue);

impl Partial {
    /// Reads partial decryptions from outside: fixed length, canonical, coprime to N. Their Jacobi symbols do not
    /// matter, because they are used squared.
    ///
    /// # Errors
    /// The first that is not valid.
    pub fn from_bytes_batch<B: AsRef<[u8]>>(
        key: &EncryptionKey,
        batch: &[B],
    ) -> Result<Vec<Self>, CiphertextError> {
        let values = ciphertext::canonical(key, batch)?;
        let residues = key.ring().residues(&values).expect("checked to be below N²");
        // One greatest common divisor for all.
        let product = key.ring().value(&key.ring().product(&residues));
        if !product.gcd(key.n()).is_one() {
            let index = values.iter().position(|v| !v.gcd(key.n()).is_one()).expect("a factor is no unit");
            return Err(CiphertextError { index, reason: Invalid::NotUnit });
        }
        Ok(residues.into_iter().map(Self).collect())
    }

    /// 2·|N| big-endian bytes for each.
    pub fn to_bytes_batch(key: &EncryptionKey, batch: &[Self]) -> Vec<Vec<u8>> {
        let residues: Vec<Residue> = batch.iter().map(|p| p.0.clone()).collect();
        ciphertext::encode(key, &residues)
    }
}

impl fmt::Debug for Partial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Partial(…)")
    }
}

/// Where partial decryptions belong: fields that the application chooses, in their order. They go into the challenge of
/// the proof, which therefore holds nowhere else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProofContext(Vec<u8>);

impl ProofContext {
    /// Without any field.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more field. Fields do not run together: each goes in behind its length.
    #[must_use]
    pub fn bytes(mut self, field: &[u8]) -> Self {
        self.0.extend_from_slice(&length_prefix(field));
        self.0.extend_from_slice(field);
        self
    }

    /// With one more field, a number of eight bytes.
    #[must_use]
    pub fn int(self, field: u64) -> Self {
        self.bytes(&field.to_be_bytes())
    }

    pub(crate) fn absorb(&self, transcript: Transcript) -> Transcript {
        transcript.prefixed(&self.0)
    }
}

/// A member's partial decryptions of a record's ciphertexts, and the proof that came with them.
#[derive(Clone, Copy, Debug)]
pub struct Contribution<'a> {
    /// The member's index, from 0.
    pub index: u32,
    /// What was decrypted.
    pub ciphertexts: &'a [Ciphertext],
    /// The partial decryptions.
    pub partials: &'a [Partial],
    /// Where they belong.
    pub context: &'a ProofContext,
    /// That they were made with the member's share.
    pub proof: &'a Proof,
}

/// Makes a member's partial decryptions of one record, with one proof for all of them. In constant time for the share.
///
/// The caller sees to it that it decrypts only what it computed itself by the protocol's rule, and that no `rng` state
/// is used with two different inputs: one nonce under two challenges gives the share away.
pub fn partial_decrypt(
    share: &KeyShare,
    ciphertexts: &[Ciphertext],
    context: &ProofContext,
    rng: &mut impl CryptoRng,
) -> (Vec<Partial>, Proof) {
    let ring = share.key().ring();
    let squares = ring.square_each(&residues(ciphertexts));
    let partials: Vec<Partial> =
        ring.pow_secret(&squares, share.exponent()).into_iter().map(Partial).collect();
    let statement =
        Statement { key: share.key(), index: share.index(), ciphertexts, partials: &partials, context };
    let proof = proof::prove(&statement, share, rng);
    (partials, proof)
}

/// Checks one member's record.
///
/// # Errors
/// [`WrongShare`] names the member.
pub fn verify_partial(key: &PublicKey, contribution: &Contribution) -> Result<(), WrongShare> {
    verify_partials(key, std::slice::from_ref(contribution))
}

/// Checks several records at once, of different members, rounds or jobs: cheaper than one after the other.
///
/// # Errors
/// [`WrongShare`] names the first member whose record is wrong, and its position.
pub fn verify_partials(key: &PublicKey, contributions: &[Contribution]) -> Result<(), WrongShare> {
    let statements: Vec<(Statement, &Proof)> = contributions
        .iter()
        .map(|c| {
            let Contribution { index, ciphertexts, partials, context, proof } = *c;
            (Statement { key, index, ciphertexts, partials, context }, proof)
        })
        .collect();
    proof::verify(key, &statements)
}
