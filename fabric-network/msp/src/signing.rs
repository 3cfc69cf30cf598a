//! Private keys of members.

use crate::key::{KeyKind, PublicKey, low_s};
use crate::{Error, KeyError, PrivateKey};
use aws_lc_rs::digest::{Digest, SHA256};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use p384::ecdsa::signature::hazmat::PrehashSigner;
use sha2::{Digest as _, Sha256};

/// A member's private key. What holds it signs in constant time and wipes it when it is dropped.
pub struct SigningKey {
    secret: Secret,
    public: PublicKey,
}

enum Secret {
    P256(EcdsaKeyPair),
    /// AWS-LC signs with P-384 over SHA-384 only; Fabric wants SHA-256.
    P384(Box<p384::ecdsa::SigningKey>),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    /// The key of a PEM text, in any of the forms that [`PrivateKey`] reads.
    ///
    /// # Errors
    /// [`Error::Key`] when the text holds no key with which members sign.
    pub fn from_pem(text: impl AsRef<[u8]>) -> Result<Self, Error> {
        let wrong = KeyError::Kind("members sign with ECDSA on P-256 or P-384, or with Ed25519");
        let key = PrivateKey::from_pem(text)?;
        let der = key.pkcs8_der();
        if let Ok(secret) = p256::SecretKey::from_pkcs8_der(der) {
            let pkcs8 = secret.to_pkcs8_der().map_err(|_| wrong.clone())?;
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_bytes())
                .map_err(|_| wrong)?;
            let public = PublicKey::new(KeyKind::P256, pair.public_key().as_ref().to_vec());
            return Ok(Self { secret: Secret::P256(pair), public });
        }
        if let Ok(secret) = p384::SecretKey::from_pkcs8_der(der) {
            let point = secret.public_key().to_sec1_point(false).as_bytes().to_vec();
            let public = PublicKey::new(KeyKind::P384, point);
            return Ok(Self { secret: Secret::P384(Box::new(secret.into())), public });
        }
        // As OpenSSL and Go write them, without the public half.
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| wrong)?;
        let public = PublicKey::new(KeyKind::Ed25519, pair.public_key().as_ref().to_vec());
        Ok(Self { secret: Secret::Ed25519(pair), public })
    }

    /// The public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// The signature of a message, in the form that [`PublicKey::verify`] takes.
    ///
    /// # Errors
    /// [`Error::Signing`] when the operating system has no randomness for it.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        match &self.secret {
            Secret::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            _ => self.sign_digest(&Sha256::digest(message).into()),
        }
    }

    /// The signature of a message of which the SHA-256 digest is known.
    ///
    /// # Errors
    /// [`Error::Signing`] when the operating system has no randomness for it; [`Error::Digest`] with Ed25519, which
    /// signs messages only.
    pub fn sign_digest(&self, digest: &[u8; 32]) -> Result<Vec<u8>, Error> {
        match &self.secret {
            Secret::P256(pair) => {
                let digest = Digest::import_less_safe(digest, &SHA256).map_err(|_| Error::Signing)?;
                low_s(KeyKind::P256, pair.sign_digest(&digest).map_err(|_| Error::Signing)?.as_ref())
            }
            Secret::P384(key) => {
                let signature: p384::ecdsa::Signature =
                    key.sign_prehash(digest).map_err(|_| Error::Signing)?;
                Ok(signature.normalize_s().to_der().as_bytes().to_vec())
            }
            Secret::Ed25519(_) => Err(Error::Digest),
        }
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(…)")
    }
}
