//! Keys and proofs as records have them.

use crate::Context;
use paillier::{
    Ciphertext, EncryptionKey, Encryptor, KeyError, KeyParts, KnowledgeProof, Proof, ProofContext,
    ProofParts, PublicKey, Reason,
};
use records::{Bytes, Contribution, Fingerprint, Slot, ThresholdKey};

/// A threshold key from the ledger; `bits` is the length that N must have.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn public_key(record: &ThresholdKey, bits: u64) -> Result<PublicKey, KeyError> {
    let ThresholdKey { n, quorum, collusion_bound, theta, base, verification } = record.clone();
    let parts = KeyParts {
        n: n.0,
        quorum,
        collusion_bound,
        theta: theta.0,
        base: base.0,
        verification: verification.into_iter().map(|v| v.0).collect(),
    };
    PublicKey::from_parts(&parts, bits)
}

/// What a threshold key is called.
pub fn fingerprint(key: &PublicKey) -> Fingerprint {
    Fingerprint::from(*key.fingerprint())
}

/// The form of a threshold key on the ledger.
pub fn threshold_key(key: &PublicKey) -> ThresholdKey {
    let KeyParts { n, quorum, collusion_bound, theta, base, verification } = key.to_parts();
    ThresholdKey {
        n: Bytes(n),
        quorum,
        collusion_bound,
        theta: Bytes(theta),
        base: Bytes(base),
        verification: verification.into_iter().map(Bytes).collect(),
    }
}

/// A proof from the ledger.
///
/// # Errors
/// Lengths that no proof under this key has.
pub fn proof(record: &records::Proof, key: &PublicKey) -> Result<Proof, Reason> {
    let (challenge, response) = (record.challenge.0.clone(), record.response.0.clone());
    Proof::from_parts(&ProofParts { challenge, response }, key)
}

/// The form of a proof on the ledger.
pub fn proof_record(proof: &Proof) -> records::Proof {
    let ProofParts { challenge, response } = proof.to_parts();
    records::Proof { challenge: Bytes(challenge), response: Bytes(response) }
}

/// Ciphertexts and their proof for a record.
pub fn contribution(key: &EncryptionKey, ciphertexts: &[Ciphertext], proof: &KnowledgeProof) -> Contribution {
    let ciphertexts = Ciphertext::to_bytes_batch(key, ciphertexts).into_iter().map(Bytes).collect();
    let ProofParts { challenge, response } = proof.to_parts();
    let proof = records::Proof { challenge: Bytes(challenge), response: Bytes(response) };
    Contribution { ciphertexts, proof }
}

/// The ciphertexts of a record whose author shows that it knows what is in them.
///
/// # Errors
/// What is wrong with the ciphertexts, or that the proof does not hold.
pub fn known_ciphertexts(
    record: &Contribution,
    context: &ProofContext,
    encryptor: &Encryptor,
) -> Result<Vec<Ciphertext>, String> {
    let bytes: Vec<&[u8]> = record.ciphertexts.iter().map(|b| b.0.as_slice()).collect();
    let ciphertexts = Ciphertext::from_bytes_batch(encryptor.key(), &bytes).map_err(|e| e.to_string())?;
    let (challenge, response) = (record.proof.challenge.0.clone(), record.proof.response.0.clone());
    let proof = KnowledgeProof::from_parts(&ProofParts { challenge, response }, encryptor);
    let proof = proof.and_then(|proof| encryptor.verify_known(&ciphertexts, context, &proof));
    proof.map(|()| ciphertexts).map_err(|e| e.to_string())
}

/// Where a record with a proof belongs: the proof holds in this slot of this context only.
pub fn proof_context(context: &(impl Context + ?Sized), slot: &Slot) -> ProofContext {
    ProofContext::new()
        .bytes(&context.bytes())
        .bytes(slot.phase.as_str().as_bytes())
        .int(slot.round.into())
        .int(slot.party.into())
        .int(slot.chunk.into())
}
