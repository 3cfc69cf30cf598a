//! Private keys of members.

use crate::{Error, low_s};
use aws_lc_rs::digest::{Digest, SHA256};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use p256::ecdsa::VerifyingKey;
use p256::{SecretKey, pkcs8::EncodePrivateKey};

/// A member's private key on P-256. AWS-LC holds it, signs in constant time and wipes it when it is dropped.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    public: VerifyingKey,
}

impl SigningKey {
    /// The key of a PEM text, PKCS#8 (`PRIVATE KEY`) or SEC1 (`EC PRIVATE KEY`).
    ///
    /// # Errors
    /// [`Error::Key`] when the text holds no P-256 key.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        let secret = SecretKey::from_pem(text).map_err(|_| Error::Key)?;
        let pkcs8 = secret.to_pkcs8_der().map_err(|_| Error::Key)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_bytes())
            .map_err(|_| Error::Key)?;
        Ok(Self { pair, public: secret.public_key().into() })
    }

    /// The public half.
    pub fn public_key(&self) -> &VerifyingKey {
        &self.public
    }

    /// The signature of a SHA-256 digest, DER, s at most half the group's order.
    ///
    /// # Errors
    /// [`Error::Signing`] when the operating system has no randomness for it.
    pub fn sign(&self, digest: &[u8; 32]) -> Result<Vec<u8>, Error> {
        let digest = Digest::import_less_safe(digest, &SHA256).map_err(|_| Error::Signing)?;
        low_s(self.pair.sign_digest(&digest).map_err(|_| Error::Signing)?.as_ref())
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(…)")
    }
}
