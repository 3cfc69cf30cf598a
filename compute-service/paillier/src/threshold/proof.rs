//! Proof of equal exponents over squares (Shoup 2000, section 5.2), for a whole record at once.
//!
//! Member i shows that its partial decryptions sⱼ of the ciphertexts cⱼ are powers with the exponent x = Δ·shareᵢ behind
//! its verification key vᵢ = v^x:
//!
//! ```text
//! vᵢ = v^x      Πⱼ (sⱼ²)^wⱼ = (Πⱼ (cⱼ⁴)^wⱼ)^x
//! ```
//!
//! with weights wⱼ of 128 bits that are hashed from everything on both sides, so that a record with one wrong sⱼ
//! satisfies the second equation with probability 2⁻¹²⁸.

use super::partial::{Partial, ProofContext};
use super::share::KeyShare;
use crate::ciphertext::{Ciphertext, residues};
use crate::hash::Transcript;
use crate::key::PublicKey;
use crate::{limbs, random};
use modexp::{Residue, Secret};
use num_bigint::BigUint;
use rand_core::CryptoRng;
use rayon::prelude::*;

/// Bytes of challenge and weights.
const CHALLENGE_BYTES: usize = 16;
/// By how many bits the nonce is longer than challenge times exponent.
const SLACK_BITS: usize = 80;

/// What is proved.
#[derive(Clone, Copy)]
pub(crate) struct Statement<'a> {
    pub(crate) key: &'a PublicKey,
    /// The member i.
    pub(crate) index: u32,
    /// cⱼ.
    pub(crate) ciphertexts: &'a [Ciphertext],
    /// sⱼ = cⱼ^(2x).
    pub(crate) partials: &'a [Partial],
    pub(crate) context: &'a ProofContext,
}

/// The statement folded into two bases and two powers.
struct Folded {
    /// Hash of the whole statement.
    digest: [u8; 32],
    /// Π (cⱼ⁴)^wⱼ.
    base: Residue,
    /// Π (sⱼ²)^wⱼ.
    power: Residue,
}

/// v^r and base^r for the nonce r.
struct Commitment {
    of_v: BigUint,
    of_base: BigUint,
}

/// The proof as it is posted: challenge e and response z = r − e·x. The nonce r is chosen above all e·x.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    challenge: [u8; CHALLENGE_BYTES],
    response: BigUint,
}

/// A record of partial decryptions that is not what its member's share gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the partial decryption of member {index} is wrong: {reason}")]
pub struct WrongShare {
    /// The member.
    pub index: u32,
    /// Position in the batch.
    pub position: usize,
    /// What is wrong.
    pub reason: Reason,
}

/// What is wrong with a record of partial decryptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The key has no such member.
    #[error("the key has no such member")]
    Member,
    /// Not one partial decryption for each ciphertext.
    #[error("not one partial decryption for each ciphertext")]
    Count,
    /// The proof does not hold.
    #[error("the proof does not hold")]
    Proof,
    /// The challenge has not 16 bytes, or the response more than 8·|N|.
    #[error("the proof has a wrong length")]
    Length,
}

impl Statement<'_> {
    fn fold(&self) -> Folded {
        let ring = self.key.ring();
        let ciphertexts = residues(self.ciphertexts);
        let partials: Vec<Residue> = self.partials.iter().map(|p| p.0.clone()).collect();
        let squares = ring.square_each(&partials);
        let digest = self
            .context
            .absorb(Transcript::new("confab partial decryption"))
            .bytes(self.key.fingerprint())
            .int(self.index.into())
            .numbers(&ring.values(&ciphertexts))
            .numbers(&ring.values(&squares))
            .finish();
        let weights: Vec<BigUint> = (0..squares.len() as u64)
            .map(|j| {
                let hash = Transcript::new("confab weight").bytes(&digest).int(j).finish();
                BigUint::from_bytes_be(&hash[..CHALLENGE_BYTES])
            })
            .collect();
        let base = ring.square(&ring.square(&ring.multi_pow(&ciphertexts, &weights)));
        Folded { digest, base, power: ring.multi_pow(&squares, &weights) }
    }
}

fn challenge(folded: &Folded, commitment: &Commitment) -> [u8; CHALLENGE_BYTES] {
    let hash = Transcript::new("confab equal exponents")
        .bytes(&folded.digest)
        .number(&commitment.of_v)
        .number(&commitment.of_base)
        .finish();
    *hash.first_chunk().expect("the hash is longer")
}

/// Proves a statement that the share makes true.
pub(crate) fn prove(statement: &Statement, share: &KeyShare, rng: &mut impl CryptoRng) -> Proof {
    let ring = statement.key.ring();
    let folded = statement.fold();
    // r is uniform in 2^k .. 2^(k+1) with k such that e·x < 2^(k − SLACK_BITS). It is hashed from fresh randomness, the
    // share and the statement, so that even a generator that repeats itself gives no nonce twice.
    let bits = share.exponent().width() + 8 * CHALLENGE_BYTES + SLACK_BITS;
    let mut nonce = Transcript::new("confab nonce")
        .bytes(&random::bytes(rng, 256))
        .bytes(&limbs::to_be_bytes(share.x()))
        .bytes(&folded.digest)
        .expand_bytes((bits + 1).div_ceil(8));
    nonce[0] |= 0x80;
    let r = Secret::from_be_bytes(&nonce, 8 * nonce.len()).expect("as many bits were hashed");
    let powers = ring.pow_secret(&[statement.key.base().clone(), folded.base.clone()], &r);
    let [of_v, of_base] = ring.values(&powers).try_into().expect("two bases");
    let commitment = Commitment { of_v, of_base };
    let challenge = challenge(&folded, &commitment);
    let product = limbs::mul(share.x(), &limbs::from_be_bytes(&challenge));
    let response = limbs::sub(&limbs::from_be_bytes(&nonce), &product);
    Proof { challenge, response: BigUint::from_bytes_be(&limbs::to_be_bytes(&response)) }
}

/// Checks proofs under one key; the long powers of all of them are computed side by side.
pub(crate) fn verify(key: &PublicKey, proofs: &[(Statement, &Proof)]) -> Result<(), WrongShare> {
    let ring = key.ring();
    let wrong = |position: usize, reason| WrongShare { index: proofs[position].0.index, position, reason };
    for (position, (statement, proof)) in proofs.iter().enumerate() {
        if statement.index >= key.parties() {
            return Err(wrong(position, Reason::Member));
        }
        if statement.ciphertexts.len() != statement.partials.len() {
            return Err(wrong(position, Reason::Count));
        }
        proof.check_length(key).map_err(|reason| wrong(position, reason))?;
    }
    let folded: Vec<Folded> = proofs.par_iter().map(|(statement, _)| statement.fold()).collect();
    let pairs = |first: &dyn Fn(usize) -> Residue, second: &dyn Fn(usize) -> Residue| -> Vec<Residue> {
        (0..proofs.len()).flat_map(|i| [first(i), second(i)]).collect()
    };
    let twice = |exponent: &dyn Fn(usize) -> BigUint| -> Vec<BigUint> {
        (0..proofs.len()).flat_map(|i| [exponent(i), exponent(i)]).collect()
    };
    // v^z·vᵢ^e and base^z·power^e.
    let bases = pairs(&|_| key.base().clone(), &|i| folded[i].base.clone());
    let member = |i: usize| key.verification(proofs[i].0.index).expect("checked above").clone();
    let claimed = pairs(&member, &|i| folded[i].power.clone());
    let long = ring.pow_public(&bases, &twice(&|i| proofs[i].1.response.clone()));
    let short = ring.pow_public(&claimed, &twice(&|i| BigUint::from_bytes_be(&proofs[i].1.challenge)));
    let commitments = ring.values(&ring.mul_pairs(&long, &short));
    for (position, pair) in commitments.chunks(2).enumerate() {
        let commitment = Commitment { of_v: pair[0].clone(), of_base: pair[1].clone() };
        if challenge(&folded[position], &commitment) != proofs[position].1.challenge {
            return Err(wrong(position, Reason::Proof));
        }
    }
    Ok(())
}

impl Proof {
    /// Reads a proof from the ledger.
    ///
    /// # Errors
    /// A challenge that has not 16 bytes, or a response of more than 8·|N|.
    pub fn from_record(record: &records::Proof, key: &PublicKey) -> Result<Self, Reason> {
        if record.response.0.len() > 8 * key.bytes() {
            return Err(Reason::Length);
        }
        let challenge = record.challenge.0.as_slice().try_into().map_err(|_| Reason::Length)?;
        Ok(Self { challenge, response: BigUint::from_bytes_be(&record.response.0) })
    }

    /// The form on the ledger.
    pub fn to_record(&self) -> records::Proof {
        records::Proof {
            challenge: self.challenge.to_vec().into(),
            response: self.response.to_bytes_be().into(),
        }
    }

    fn check_length(&self, key: &PublicKey) -> Result<(), Reason> {
        if self.response.bits() > 64 * key.bytes() as u64 { Err(Reason::Length) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Encryptor, Partial, Randomness, deal, partial_decrypt};
    use num_bigint::BigInt;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use records::{JobId, Phase, Slot};

    fn context(round: u32) -> ProofContext {
        ProofContext { job: JobId("job".into()), slot: Slot { phase: Phase::Dv, round, party: 0, chunk: 0 } }
    }

    fn setup() -> (PublicKey, KeyShare, Vec<Ciphertext>) {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (key, mut shares) = deal(2, 2, 256, "test", &mut rng).unwrap();
        let encryptor = Encryptor::new(&key, Randomness::Short);
        let ciphertexts = encryptor.encrypt(&[1, 2, 3].map(BigInt::from), &mut rng).unwrap();
        (key, shares.swap_remove(0), ciphertexts)
    }

    #[test]
    fn one_generator_state_gives_no_nonce_twice() {
        let (_, share, ciphertexts) = setup();
        let x = BigUint::from_bytes_be(&limbs::to_be_bytes(share.x()));
        let nonce = |round: u32, ciphertexts: &[Ciphertext], seed: u64| {
            let mut rng = ChaCha20Rng::seed_from_u64(seed);
            let (_, proof) = partial_decrypt(&share, ciphertexts, &context(round), &mut rng);
            proof.response + BigUint::from_bytes_be(&proof.challenge) * &x
        };
        let first = nonce(1, &ciphertexts, 7);
        assert_eq!(first, nonce(1, &ciphertexts, 7), "the same record again is the same bytes");
        assert_ne!(first, nonce(2, &ciphertexts, 7));
        assert_ne!(first, nonce(1, &ciphertexts[..2], 7));
        assert_ne!(first, nonce(1, &ciphertexts, 8));
        let least = share.exponent().width() as u64 + 128 + 80;
        assert!(first.bits() > least, "{} bits are too few", first.bits());
    }

    #[test]
    fn errors_that_cancel_without_weights_are_found() {
        // s₁·t and s₂/t have the same product as s₁ and s₂.
        let (key, share, ciphertexts) = setup();
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let (partials, _) = partial_decrypt(&share, &ciphertexts, &context(1), &mut rng);
        let ring = key.ring();
        let t = ring.residue(&BigUint::from(4u32)).unwrap();
        let inverse = ring.invert_batch(std::slice::from_ref(&t)).unwrap().swap_remove(0);
        let mut cheat = partials;
        cheat[0] = Partial(ring.mul(&cheat[0].0, &t));
        cheat[1] = Partial(ring.mul(&cheat[1].0, &inverse));
        let context = context(1);
        let statement =
            Statement { key: &key, index: 0, ciphertexts: &ciphertexts, partials: &cheat, context: &context };
        let proof = prove(&statement, &share, &mut rng);
        let wrong = verify(&key, &[(statement, &proof)]).unwrap_err();
        assert_eq!(wrong, WrongShare { index: 0, position: 0, reason: Reason::Proof });
    }
}
