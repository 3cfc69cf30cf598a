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
use crate::parts::ProofParts;
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

/// The statement with its weights.
struct Weighted {
    /// Hash of the whole statement.
    digest: [u8; 32],
    /// wⱼ.
    weights: Vec<BigUint>,
    /// Π (cⱼ⁴)^wⱼ.
    base: Residue,
    /// sⱼ².
    squares: Vec<Residue>,
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
    fn weigh(&self) -> Weighted {
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
        Weighted { digest, weights, base, squares }
    }
}

fn challenge(weighted: &Weighted, commitment: &Commitment) -> [u8; CHALLENGE_BYTES] {
    let hash = Transcript::new("confab equal exponents")
        .bytes(&weighted.digest)
        .number(&commitment.of_v)
        .number(&commitment.of_base)
        .finish();
    *hash.first_chunk().expect("the hash is longer")
}

/// Proves a statement that the share makes true.
pub(crate) fn prove(statement: &Statement, share: &KeyShare, rng: &mut impl CryptoRng) -> Proof {
    let ring = statement.key.ring();
    let weighted = statement.weigh();
    // r is uniform in 2^k .. 2^(k+1) with k such that e·x < 2^(k − SLACK_BITS). It is hashed from fresh randomness, the
    // share and the statement, so that even a generator that repeats itself gives no nonce twice.
    let bits = share.exponent().width() + 8 * CHALLENGE_BYTES + SLACK_BITS;
    let mut nonce = Transcript::new("confab nonce")
        .bytes(&random::bytes(rng, 256))
        .bytes(&limbs::to_be_bytes(share.x()))
        .bytes(&weighted.digest)
        .expand_bytes((bits + 1).div_ceil(8));
    nonce[0] |= 0x80;
    let secret =
        |bytes: &[u8]| Secret::from_be_bytes(bytes, 8 * bytes.len()).expect("as many bits were hashed");
    // v^r from the pieces of r.
    let pieces: Vec<[Secret; 1]> =
        nonce.rchunks(statement.key.piece()).map(|piece| [secret(piece)]).collect();
    let bases = statement.key.base_powers(pieces.len());
    let columns: Vec<(&[Residue], &[Secret])> =
        bases.chunks(1).zip(&pieces).map(|(base, piece)| (base, &piece[..])).collect();
    let of_v = ring.multi_pow_secret(&columns).swap_remove(0);
    let of_base = ring.pow_secret(std::slice::from_ref(&weighted.base), &secret(&nonce)).swap_remove(0);
    let [of_v, of_base] = ring.values(&[of_v, of_base]).try_into().expect("two bases");
    let commitment = Commitment { of_v, of_base };
    let challenge = challenge(&weighted, &commitment);
    let product = limbs::mul(share.x(), &limbs::from_be_bytes(&challenge));
    let response = limbs::sub(&limbs::from_be_bytes(&nonce), &product);
    Proof { challenge, response: BigUint::from_bytes_be(&limbs::to_be_bytes(&response)) }
}

/// Checks proofs under one key, several at once.
pub(crate) fn verify(key: &PublicKey, proofs: &[(Statement, &Proof)]) -> Result<(), WrongShare> {
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
    let wrong_one = proofs.par_iter().position_first(|(statement, proof)| {
        let weighted = statement.weigh();
        challenge(&weighted, &commitment(statement, proof, &weighted)) != proof.challenge
    });
    wrong_one.map_or(Ok(()), |position| Err(wrong(position, Reason::Proof)))
}

/// What the prover committed to, if the proof is right: v^z·vᵢ^e and base^z·power^e.
fn commitment(statement: &Statement, proof: &Proof, weighted: &Weighted) -> Commitment {
    let (key, ring) = (statement.key, statement.key.ring());
    let short = BigUint::from_bytes_be(&proof.challenge);
    let response = proof.response.to_bytes_be();
    let mut exponents: Vec<BigUint> = response.rchunks(key.piece()).map(BigUint::from_bytes_be).collect();
    let mut bases = key.base_powers(exponents.len());
    bases.push(key.verification(statement.index).expect("checked before").clone());
    exponents.push(short.clone());
    let of_v = ring.multi_pow_rows(&[bases], &exponents).swap_remove(0);
    let long = ring.pow_vartime_all(std::slice::from_ref(&weighted.base), &proof.response);
    // Π (sⱼ²)^wⱼ.
    let power = ring.multi_pow(&weighted.squares, &weighted.weights);
    let short = ring.pow_vartime_all(&[power], &short);
    let [of_v, of_base] = ring.values(&[of_v, ring.mul(&long[0], &short[0])]).try_into().expect("two");
    Commitment { of_v, of_base }
}

impl Proof {
    /// Takes a proof from outside.
    ///
    /// # Errors
    /// A challenge that has not 16 bytes, or a response of more than 8·|N|.
    pub fn from_parts(parts: &ProofParts, key: &PublicKey) -> Result<Self, Reason> {
        if parts.response.len() > 8 * key.bytes() {
            return Err(Reason::Length);
        }
        let challenge = parts.challenge.as_slice().try_into().map_err(|_| Reason::Length)?;
        Ok(Self { challenge, response: BigUint::from_bytes_be(&parts.response) })
    }

    /// Its numbers, for others.
    pub fn to_parts(&self) -> ProofParts {
        ProofParts { challenge: self.challenge.to_vec(), response: self.response.to_bytes_be() }
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

    fn context(round: u32) -> ProofContext {
        ProofContext::new().bytes(b"job").int(round.into())
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
