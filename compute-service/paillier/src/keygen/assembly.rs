//! From shares of the exponent to a key that is known to work.

use super::exponent::IntegerSharing;
use crate::hash::Transcript;
use crate::key::{EncryptionKey, KeyError, PublicKey, factorial, fixed_bytes, verification_base};
use crate::threshold::{KeyShare, ShareError};
use crate::{Ciphertext, Encryptor, Randomness, ciphertext};
use modexp::Secret;
use num_bigint::{BigInt, BigUint};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use zeroize::Zeroizing;

/// vᵢ = v^(Δ·share), to be published: 2·|N| big-endian bytes.
///
/// # Panics
/// If the share is longer than the sharing allows.
pub fn verification_key(encryption: &EncryptionKey, sharing: &IntegerSharing, share: &BigUint) -> Vec<u8> {
    let delta = factorial(sharing.parties);
    let width = sharing.share_bits() + delta.bits();
    let exponent = Secret::from_biguint(&(share * delta), width as usize).expect("a share in range");
    let power = encryption.ring().pow_secret(&[verification_base(encryption)], &exponent);
    ciphertext::encode(encryption, &power).swap_remove(0)
}

/// The public key from the members' published verification keys.
///
/// # Errors
/// What is wrong with it; a verification key that is none names its member.
pub fn public_key(
    encryption: &EncryptionKey,
    quorum: u32,
    collusion_bound: u32,
    theta: BigUint,
    verification: &[&[u8]],
) -> Result<PublicKey, KeyError> {
    let verification = ciphertext::decode(encryption, verification)
        .map_err(|e| KeyError::Verification { index: e.index as u32, reason: e.reason })?;
    PublicKey::assemble(encryption.clone(), quorum, collusion_bound, theta, verification)
}

/// A member's share as a file is made of it.
///
/// # Errors
/// One that does not belong to the member's verification key, or is too long.
pub fn key_share(
    key: &PublicKey,
    sharing: &IntegerSharing,
    index: u32,
    purpose: &str,
    share: &BigUint,
) -> Result<KeyShare, ShareError> {
    let bits = sharing.share_bits() as usize;
    if share.bits() > bits as u64 {
        return Err(ShareError::Range("share"));
    }
    let share = Zeroizing::new(fixed_bytes(share, bits.div_ceil(8)));
    KeyShare::new(key.clone(), index, purpose, &share, bits)
}

/// A number and its encryption, the same for all members: what a new key must decrypt before it is used.
pub fn trial(key: &PublicKey) -> (BigInt, Ciphertext) {
    let seed = Transcript::new("confab trial").bytes(key.fingerprint()).finish();
    let number = BigInt::from(BigUint::from_bytes_be(&seed[..8]));
    let encryptor = Encryptor::new(key, Randomness::Short);
    let encrypted = encryptor.encrypt(std::slice::from_ref(&number), &mut ChaCha20Rng::from_seed(seed));
    (number, encrypted.expect("64 bits fit").swap_remove(0))
}
