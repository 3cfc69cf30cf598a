//! Keys that are their author's own.
//!
//! A record of keys can be copied, also before it is in a block: whoever sees the transaction at a peer or an orderer may
//! get in first with another's keys. So each carries a proof that its author knows the secret part, for one job and one
//! party, and a copy shows that it has none.
//!
//! The proof is Schnorr's with the X25519 key on the birationally equivalent Edwards curve, as XEdDSA has it (T. Perrin,
//! *The XEdDSA and VXEdDSA Signature Schemes*, revision 1): of the two points with the key's u the one of sign 0, so
//! that it is an Ed25519 signature under that point. The nonce is a hash of secret and statement, as in Ed25519.

use crate::Context;
use curve25519_dalek::{EdwardsPoint, MontgomeryPoint, Scalar, scalar::clamp_integer};
use records::MemberKeys;
use sha2::{Digest, Sha256, Sha512};
use zeroize::Zeroizing;

/// What the proofs of a party's keys are about: the job, the party, and everything else in the record.
pub fn statement(context: &(impl Context + ?Sized), party: u32, keys: &MemberKeys) -> [u8; 32] {
    let threshold =
        keys.threshold.as_ref().map(|key| key.fingerprint().0.bytes().to_vec()).unwrap_or_default();
    let paillier = keys.paillier.as_ref().map(|n| n.0.as_slice()).unwrap_or_default();
    let (context, party) = (context.bytes(), party.to_be_bytes());
    let fields = [b"confab possession", &context[..], &party, &keys.hpke.0, paillier, &threshold];
    let mut hash = Sha256::new();
    for field in fields {
        hash.update((field.len() as u64).to_be_bytes());
        hash.update(field);
    }
    hash.finalize().into()
}

fn challenge(commitment: &[u8; 32], public: &EdwardsPoint, statement: &[u8; 32]) -> Scalar {
    let hash = Sha512::new().chain_update(commitment).chain_update(public.compress().as_bytes());
    Scalar::from_bytes_mod_order_wide(&hash.chain_update(statement).finalize().into())
}

/// A proof for a statement, from the 32 secret bytes of an X25519 key.
pub(crate) fn prove(secret: &[u8; 32], statement: &[u8; 32]) -> [u8; 64] {
    let mut scalar = Zeroizing::new(Scalar::from_bytes_mod_order(clamp_integer(*secret)));
    let mut public = EdwardsPoint::mul_base(&scalar);
    if public.compress().as_bytes()[31] >> 7 == 1 {
        *scalar = -*scalar;
        public = -public;
    }
    let nonce = Sha512::new().chain_update(b"confab possession nonce").chain_update(secret);
    let nonce = Zeroizing::new(<[u8; 64]>::from(nonce.chain_update(statement).finalize()));
    let nonce = Zeroizing::new(Scalar::from_bytes_mod_order_wide(&nonce));
    let commitment = EdwardsPoint::mul_base(&nonce).compress().to_bytes();
    let response = *nonce + challenge(&commitment, &public, statement) * *scalar;
    let mut proof = [0; 64];
    proof[..32].copy_from_slice(&commitment);
    proof[32..].copy_from_slice(response.as_bytes());
    proof
}

/// Whether a proof for a statement was made with the secret of an X25519 public key.
pub fn holds(public: &[u8; 32], statement: &[u8; 32], proof: &[u8]) -> bool {
    let Ok(proof) = <&[u8; 64]>::try_from(proof) else { return false };
    let (commitment, response) = proof.split_at(32);
    let commitment: &[u8; 32] = commitment.try_into().expect("half of 64 bytes");
    let response: [u8; 32] = response.try_into().expect("half of 64 bytes");
    let Some(response) = Option::<Scalar>::from(Scalar::from_canonical_bytes(response)) else { return false };
    let Some(public) = MontgomeryPoint(*public).to_edwards(0) else { return false };
    if public.is_small_order() {
        return false;
    }
    let challenge = challenge(commitment, &public, statement);
    let expected = EdwardsPoint::vartime_double_scalar_mul_basepoint(&challenge, &-public, &response);
    expected.compress().as_bytes() == commitment
}

/// Whether two X25519 public keys are one key, also where the bytes differ in what X25519 ignores.
pub fn same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    MontgomeryPoint(*one) == MontgomeryPoint(*other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{JobSecret, sealed::Keys};
    use records::JobId;

    #[test]
    fn a_proof_holds_for_its_key_and_statement_only() {
        let job = JobId::from([0xab; 32]);
        for i in 0..20u8 {
            let keys = Keys::derive(&JobSecret::new([i; 32]), &job);
            let record = keys.record(&job, 1, None, None);
            let proof = record.possession.as_ref().unwrap().hpke.0.clone();
            let about = statement(&job, 1, &record);
            assert!(holds(&keys.public(), &about, &proof));
            // An implementation that is not ours takes it as well.
            let point = MontgomeryPoint(keys.public()).to_edwards(0).unwrap().compress();
            let ed25519 =
                ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, point.as_bytes());
            ed25519.verify(&about, &proof).unwrap();
            for other in [statement(&job, 0, &record), statement(&JobId::from([0xba; 32]), 1, &record)] {
                assert!(!holds(&keys.public(), &other, &proof));
            }
            let other = Keys::derive(&JobSecret::new([i + 100; 32]), &job).public();
            assert!(!holds(&other, &about, &proof));
            for at in [0, 31, 32, 63] {
                let mut changed = proof.clone();
                changed[at] ^= 1;
                assert!(!holds(&keys.public(), &about, &changed));
            }
            assert!(!holds(&keys.public(), &about, &proof[..63]));
            // u + 2²⁵⁵ is the same key to X25519.
            let mut twin = keys.public();
            twin[31] |= 0x80;
            assert!(same(&twin, &keys.public()) && !same(&other, &keys.public()));
        }
        // The "secret" of a key of low order is known to all.
        let about = [7; 32];
        let mut proof = [0; 64];
        proof[..32].copy_from_slice(MontgomeryPoint([0; 32]).to_edwards(0).unwrap().compress().as_bytes());
        assert!(!holds(&[0; 32], &about, &proof));
    }

    #[test]
    fn a_statement_is_about_everything_in_the_record() {
        let job = JobId::from([0xab; 32]);
        let keys = Keys::derive(&JobSecret::new([1; 32]), &job);
        let plain = keys.record(&job, 0, None, None);
        let about = statement(&job, 0, &plain);
        let with = keys.record(&job, 0, Some(vec![1, 2].into()), None);
        assert_ne!(statement(&job, 0, &with), about);
        assert_ne!(with.possession, plain.possession);
    }
}
