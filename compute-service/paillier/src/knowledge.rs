//! Proof that the author of ciphertexts knows what is in them.
//!
//! A party whose ciphertexts are decrypted inside a sum with others' could put in a changed copy of another party's, which
//! nobody recognises. With this proof it cannot: the proof holds for one context only, and a copy has none.
//!
//! For cⱼ = (1+N)^mⱼ·h_s^rⱼ the author commits to A = (1+N)^a·h_s^ρ and answers with z = a + Σ eⱼ·mⱼ mod N and
//! y = ρ + Σ eⱼ·rⱼ over the integers, where the 128-bit eⱼ are hashed from everything:
//!
//! ```text
//! (1+N)^z · h_s^y = A · Πⱼ cⱼ^eⱼ
//! ```
//!
//! From as many answers to one A as there are ciphertexts, and one more, follows cⱼ^D = (1+N)^u·h_s^v with D prime to N,
//! and as h_s is an N-th power, cⱼ is (1+N)^(u/D) times an N-th power: mⱼ = u/D is known to whoever can answer. ρ is 80
//! bits longer than the sum that it hides, and a is uniform.

use crate::ciphertext::{Ciphertext, residues};
use crate::hash::Transcript;
use crate::key::Overflow;
use crate::parts::ProofParts;
use crate::{Encryptor, ProofContext, limbs, random};
use modexp::{Residue, Secret};
use num_bigint::{BigInt, BigUint};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

/// Bytes of the challenge and of each eⱼ.
const CHALLENGE_BYTES: usize = 16;
/// By how much ρ is longer than one eⱼ·rⱼ: 80 bits that hide, 24 for a sum of many, 8 for its carry.
const SLACK_BYTES: usize = (80 + 24 + 8) / 8;

/// That the author of ciphertexts knows their plaintexts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnowledgeProof {
    challenge: [u8; CHALLENGE_BYTES],
    /// z, as many bytes as N has, and y.
    response: Vec<u8>,
}

/// Ciphertexts whose author does not show that it knows what is in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unknown {
    /// A challenge or response of another length.
    #[error("the proof is not of the fixed length")]
    Length,
    /// A proof of something else.
    #[error("the proof does not hold for these ciphertexts in this place")]
    Proof,
}

impl KnowledgeProof {
    /// Takes a proof from outside.
    ///
    /// # Errors
    /// A challenge or response of another length than this encryptor's proofs have.
    pub fn from_parts(parts: &ProofParts, encryptor: &Encryptor) -> Result<Self, Unknown> {
        let challenge = parts.challenge.as_slice().try_into().map_err(|_| Unknown::Length)?;
        match parts.response.len() == encryptor.key().bytes() + mask_bytes(encryptor) {
            true => Ok(Self { challenge, response: parts.response.clone() }),
            false => Err(Unknown::Length),
        }
    }

    /// Its numbers, for others.
    pub fn to_parts(&self) -> ProofParts {
        ProofParts { challenge: self.challenge.to_vec(), response: self.response.clone() }
    }
}

/// Bytes of ρ and y.
fn mask_bytes(encryptor: &Encryptor) -> usize {
    encryptor.randomness_bits().div_ceil(8) + CHALLENGE_BYTES + SLACK_BYTES
}

/// Hash of what is proved.
fn statement(encryptor: &Encryptor, ciphertexts: &[Ciphertext], context: &ProofContext) -> [u8; 32] {
    let key = encryptor.key();
    context
        .absorb(Transcript::new("confab known plaintexts"))
        .number(key.n())
        .int(encryptor.randomness_bits() as u64)
        .numbers(&key.ring().values(&residues(ciphertexts)))
        .finish()
}

fn challenge(statement: &[u8; 32], commitment: &BigUint) -> [u8; CHALLENGE_BYTES] {
    let hash = Transcript::new("confab knowledge").bytes(statement).number(commitment).finish();
    *hash.first_chunk().expect("the hash is longer")
}

/// eⱼ.
fn factors(statement: &[u8; 32], challenge: &[u8], count: usize) -> Vec<[u8; CHALLENGE_BYTES]> {
    let factor = |j| {
        let hash = Transcript::new("confab factor").bytes(statement).bytes(challenge).int(j).finish();
        *hash.first_chunk().expect("the hash is longer")
    };
    (0..count as u64).map(factor).collect()
}

impl Encryptor {
    /// As [`encrypt`](Self::encrypt), with a proof that whoever made the ciphertexts knows their plaintexts. It holds in
    /// this context only.
    ///
    /// # Errors
    /// As there.
    pub fn encrypt_known(
        &self,
        plaintexts: &[BigInt],
        context: &ProofContext,
        rng: &mut impl CryptoRng,
    ) -> Result<(Vec<Ciphertext>, KnowledgeProof), Overflow> {
        let (key, bits) = (self.key(), self.randomness_bits());
        let constants = self.constants(plaintexts, rng)?;
        let randomness: Vec<Zeroizing<Vec<u8>>> =
            plaintexts.iter().map(|_| random::bytes(rng, bits)).collect();
        let secret = |bytes: &[u8], width| Secret::from_be_bytes(bytes, width).expect("of that width");
        let exponents: Vec<Secret> = randomness.iter().map(|bytes| secret(bytes, bits)).collect();
        let ciphertexts = self.product(&self.powers(&exponents), &constants);

        let statement = statement(self, &ciphertexts, context);
        // Hashed from fresh randomness and the secrets, so that a generator that repeats itself gives no mask twice.
        let mut seed =
            Transcript::new("confab knowledge mask").bytes(&random::bytes(rng, 256)).bytes(&statement);
        for (m, r) in plaintexts.iter().zip(&randomness) {
            seed = seed.bytes(&Zeroizing::new(m.to_signed_bytes_be())).bytes(r);
        }
        // The first byte of ρ is left for the sum's carry.
        let mut mask = seed.clone().int(0).expand_bytes(mask_bytes(self));
        mask[0] = 0;
        let a = seed.int(1).expand(key.bytes() + 16) % key.n();
        let blinding = self.long_power(&secret(&mask, 8 * mask.len()));
        let commitment = key.ring().mul(&key.one_plus(std::slice::from_ref(&a))[0], &blinding);
        let challenge = challenge(&statement, &key.ring().value(&commitment));

        let mut z = a;
        let mut y = limbs::from_be_bytes(&mask);
        for ((m, r), factor) in
            plaintexts.iter().zip(&randomness).zip(factors(&statement, &challenge, plaintexts.len()))
        {
            z = (z + BigUint::from_bytes_be(&factor) * key.wrap(m, 0)?) % key.n();
            y = limbs::add(&y, &limbs::mul(&limbs::from_be_bytes(r), &limbs::from_be_bytes(&factor)));
        }
        let y = limbs::to_be_bytes(&y);
        let response = [&crate::key::fixed_bytes(&z, key.bytes())[..], &y[y.len() - mask.len()..]].concat();
        Ok((ciphertexts, KnowledgeProof { challenge, response }))
    }

    /// Checks that the author of ciphertexts knew their plaintexts, and made the proof for this context.
    ///
    /// # Errors
    /// [`Unknown::Proof`].
    pub fn verify_known(
        &self,
        ciphertexts: &[Ciphertext],
        context: &ProofContext,
        proof: &KnowledgeProof,
    ) -> Result<(), Unknown> {
        let (key, ring) = (self.key(), self.key().ring());
        let statement = statement(self, ciphertexts, context);
        let (z, y) = proof.response.split_at(key.bytes());
        let z = BigUint::from_bytes_be(z);
        if &z >= key.n() {
            return Err(Unknown::Proof);
        }
        let factors: Vec<BigUint> = factors(&statement, &proof.challenge, ciphertexts.len())
            .iter()
            .map(|factor| BigUint::from_bytes_be(factor))
            .collect();
        let power = ring.pow_vartime_all(std::slice::from_ref(self.base()), &BigUint::from_bytes_be(y));
        let answer = ring.mul(&key.one_plus(&[z])[0], &power[0]);
        let taken: Vec<Residue> = match ciphertexts {
            [] => Vec::new(),
            _ => ring
                .invert_batch(&[ring.multi_pow(&residues(ciphertexts), &factors)])
                .expect("a ciphertext is a unit"),
        };
        let commitment = taken.iter().fold(answer, |answer, taken| ring.mul(&answer, taken));
        match challenge(&statement, &ring.value(&commitment)) == proof.challenge {
            true => Ok(()),
            false => Err(Unknown::Proof),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PrivateKey, Randomness};
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use std::sync::LazyLock;

    static KEY: LazyLock<PrivateKey> =
        LazyLock::new(|| PrivateKey::generate(256, &mut ChaCha20Rng::seed_from_u64(1)).unwrap());
    static ENCRYPTOR: LazyLock<Encryptor> = LazyLock::new(|| Encryptor::new(KEY.public(), Randomness::Short));

    fn context(place: &str) -> ProofContext {
        ProofContext::new().bytes(place.as_bytes())
    }

    fn made(plaintexts: &[i64], seed: u64) -> (Vec<Ciphertext>, KnowledgeProof) {
        let plaintexts: Vec<BigInt> = plaintexts.iter().map(|m| BigInt::from(*m)).collect();
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        ENCRYPTOR.encrypt_known(&plaintexts, &context("here"), &mut rng).unwrap()
    }

    proptest! {
        #[test]
        fn what_is_encrypted_is_proved(plaintexts in prop::collection::vec(any::<i64>(), 0..6), seed: u64) {
            let (ciphertexts, proof) = made(&plaintexts, seed);
            let expected: Vec<BigInt> = plaintexts.iter().map(|m| BigInt::from(*m)).collect();
            prop_assert_eq!(KEY.decrypt(&ciphertexts), expected);
            let proof = KnowledgeProof::from_parts(&proof.to_parts(), &ENCRYPTOR).unwrap();
            prop_assert_eq!(ENCRYPTOR.verify_known(&ciphertexts, &context("here"), &proof), Ok(()));
        }

        #[test]
        fn a_changed_proof_does_not_hold(at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let (ciphertexts, proof) = made(&[5, -7], 1);
            let mut parts = proof.to_parts();
            let at = at.index(parts.challenge.len() + parts.response.len());
            match at.checked_sub(parts.challenge.len()) {
                None => parts.challenge[at] ^= 1 << bit,
                Some(at) => parts.response[at] ^= 1 << bit,
            }
            let changed = KnowledgeProof::from_parts(&parts, &ENCRYPTOR).unwrap();
            let found = ENCRYPTOR.verify_known(&ciphertexts, &context("here"), &changed);
            prop_assert_eq!(found, Err(Unknown::Proof));
        }
    }

    #[test]
    fn a_copy_in_another_place_or_another_form_has_no_proof() {
        let (ciphertexts, proof) = made(&[5, -7], 1);
        let refused = |ciphertexts: &[Ciphertext], place: &str| {
            let found = ENCRYPTOR.verify_known(ciphertexts, &context(place), &proof);
            assert_eq!(found, Err(Unknown::Proof));
        };
        refused(&ciphertexts, "elsewhere");
        refused(&ciphertexts[..1], "here");
        refused(&[ciphertexts[1].clone(), ciphertexts[0].clone()], "here");
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        refused(&ENCRYPTOR.rerandomise(&ciphertexts, &mut rng), "here");
        refused(&KEY.public().scale(&ciphertexts, &BigInt::from(3)), "here");
        let other = made(&[5, -7], 3);
        refused(&other.0, "here");
    }

    #[test]
    fn one_generator_state_gives_no_mask_twice() {
        let mask = |plaintexts: &[i64], seed| {
            let (ciphertexts, proof) = made(plaintexts, seed);
            let statement = statement(&ENCRYPTOR, &ciphertexts, &context("here"));
            let z = BigInt::from(BigUint::from_bytes_be(&proof.response[..32]));
            let factors = factors(&statement, &proof.challenge, plaintexts.len());
            let taken: BigInt = factors
                .iter()
                .zip(plaintexts)
                .map(|(e, m)| BigInt::from(BigUint::from_bytes_be(e)) * m)
                .sum();
            let n = BigInt::from(KEY.public().n().clone());
            ((z - taken) % &n + &n) % n
        };
        let first = mask(&[1, 2], 7);
        assert_eq!(first, mask(&[1, 2], 7), "the same record again is the same bytes");
        assert_ne!(first, mask(&[1, 3], 7));
        assert_ne!(first, mask(&[1, 2], 8));
    }

    #[test]
    fn lengths_are_checked() {
        let (_, proof) = made(&[1], 1);
        for change in [|p: &mut ProofParts| p.response.push(0), |p: &mut ProofParts| p.challenge.push(0)] {
            let mut parts = proof.to_parts();
            change(&mut parts);
            assert_eq!(KnowledgeProof::from_parts(&parts, &ENCRYPTOR), Err(Unknown::Length));
        }
        let empty = made(&[], 1);
        assert_eq!(ENCRYPTOR.verify_known(&empty.0, &context("here"), &empty.1), Ok(()));
    }
}
