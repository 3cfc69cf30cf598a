//! What several test files need.
#![allow(dead_code, reason = "each file uses a part")]

use num_bigint::{BigInt, BigUint};
use paillier::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

pub fn context(round: u32, party: u32) -> ProofContext {
    ProofContext::new().bytes(b"job").int(round.into()).int(party.into())
}

/// What a member posts and others read back from the ledger.
pub struct Record {
    pub index: u32,
    pub context: ProofContext,
    pub partials: Vec<Partial>,
    pub proof: Proof,
}

impl Record {
    pub fn make(share: &KeyShare, ciphertexts: &[Ciphertext], round: u32) -> Self {
        let key = share.key();
        let context = context(round, share.index());
        let mut rng = ChaCha20Rng::seed_from_u64(u64::from(round * 64 + share.index()));
        let (partials, proof) = partial_decrypt(share, ciphertexts, &context, &mut rng);
        let partials =
            Partial::from_bytes_batch(key, &Partial::to_bytes_batch(key, &partials)).expect("round trip");
        let proof = Proof::from_parts(&proof.to_parts(), key).expect("round trip");
        Self { index: share.index(), context, partials, proof }
    }

    pub fn contribution<'a>(&'a self, ciphertexts: &'a [Ciphertext]) -> Contribution<'a> {
        let Self { index, context, partials, proof } = self;
        Contribution { index: *index, ciphertexts, partials, context, proof }
    }
}

/// Partial decryptions with verified proofs, as [`combine`] takes them.
pub fn decrypt_with(shares: &[&KeyShare], ciphertexts: &[Ciphertext]) -> Vec<(u32, Vec<Partial>)> {
    let records: Vec<Record> = shares.iter().map(|share| Record::make(share, ciphertexts, 1)).collect();
    for (record, share) in records.iter().zip(shares) {
        verify_partial(share.key(), &record.contribution(ciphertexts)).expect("made with the share");
    }
    records.into_iter().map(|record| (record.index, record.partials)).collect()
}

/// What these members read together.
pub fn open(shares: &[&KeyShare], ciphertexts: &[Ciphertext]) -> Vec<BigInt> {
    combine(shares[0].key(), &decrypt_with(shares, ciphertexts)).expect("a quorum with verified proofs")
}

pub fn encrypt(key: &EncryptionKey, plaintexts: &[BigInt], seed: u64) -> Vec<Ciphertext> {
    let encryptor = Encryptor::new(key, Randomness::Short);
    encryptor.encrypt(plaintexts, &mut ChaCha20Rng::seed_from_u64(seed)).expect("plaintexts in range")
}

/// 0, ±1, others, and the largest and least.
pub fn some_plaintexts(key: &EncryptionKey) -> Vec<BigInt> {
    let most = BigInt::from(key.max_plaintext().clone());
    [0, 1, -1, 12345, -98765].map(BigInt::from).into_iter().chain([most.clone(), -most]).collect()
}

/// A number as so many big-endian bytes.
pub fn padded(x: &BigUint, length: usize) -> Vec<u8> {
    let mut bytes = x.to_bytes_le();
    bytes.resize(length, 0);
    bytes.reverse();
    bytes
}
