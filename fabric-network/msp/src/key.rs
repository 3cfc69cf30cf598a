//! Public keys of identities: the kinds that Fabric takes, and their signatures.

use crate::Error;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ED25519, UnparsedPublicKey, VerificationAlgorithm,
};
use serde::{Deserialize, Serialize};
use x509_parser::der_parser::Oid;
use x509_parser::der_parser::oid;
use x509_parser::x509::SubjectPublicKeyInfo;

/// The kinds of keys with which members of Fabric's organisations sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// ECDSA on P-256 over a SHA-256 digest: what Fabric's tools make.
    P256,
    /// ECDSA on P-384, in Fabric over a SHA-256 digest, too.
    P384,
    /// Ed25519 over the message itself; in channels with the capability V3_0.
    Ed25519,
}

impl std::fmt::Display for KeyKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::P256 => "ECDSA P-256",
            Self::P384 => "ECDSA P-384",
            Self::Ed25519 => "Ed25519",
        })
    }
}

/// A member's public key.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    kind: KeyKind,
    /// An uncompressed point, or the 32 bytes of Ed25519: the form that verifies fastest.
    bytes: Vec<u8>,
}

impl PublicKey {
    pub(crate) fn new(kind: KeyKind, bytes: Vec<u8>) -> Self {
        Self { kind, bytes }
    }

    /// The key of a certificate; `None` where it is of another kind or no point of its curve.
    pub(crate) fn from_info(info: &SubjectPublicKeyInfo<'_>) -> Option<Self> {
        const EC: Oid<'static> = oid!(1.2.840.10045.2.1);
        const P256: Oid<'static> = oid!(1.2.840.10045.3.1.7);
        const P384: Oid<'static> = oid!(1.3.132.0.34);
        const ED25519: Oid<'static> = oid!(1.3.101.112);
        let bytes: &[u8] = &info.subject_public_key.data;
        let algorithm = &info.algorithm;
        let curve = || algorithm.parameters.as_ref()?.as_oid().ok();
        let kind = match &algorithm.algorithm {
            id if *id == ED25519 && algorithm.parameters.is_none() && bytes.len() == 32 => KeyKind::Ed25519,
            id if *id == EC => match curve()? {
                id if id == P256 && p256::PublicKey::from_sec1_bytes(bytes).is_ok() => KeyKind::P256,
                id if id == P384 && p384::PublicKey::from_sec1_bytes(bytes).is_ok() => KeyKind::P384,
                _ => return None,
            },
            _ => return None,
        };
        // Go reads no compressed point.
        (kind == KeyKind::Ed25519 || bytes.first() == Some(&4)).then(|| Self::new(kind, bytes.to_vec()))
    }

    /// What kind of key it is.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Checks a signature over `message` as Fabric does: ECDSA is in DER over the SHA-256 digest, with s at most half
    /// the group's order.
    ///
    /// # Errors
    /// [`Error::Signature`] naming what is wrong.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Error> {
        let algorithm: &dyn VerificationAlgorithm = match self.kind {
            KeyKind::P256 => &ECDSA_P256_SHA256_ASN1,
            KeyKind::P384 => &ECDSA_P384_SHA256_ASN1,
            KeyKind::Ed25519 => &ED25519,
        };
        if self.kind != KeyKind::Ed25519 && low_s(self.kind, signature)? != signature {
            return Err(Error::Signature("s is above half the order"));
        }
        UnparsedPublicKey::new(algorithm, &self.bytes)
            .verify(message, signature)
            .map_err(|_| Error::Signature("it does not fit the message"))
    }

    /// The same signature in the form that [`verify`](Self::verify) accepts, for those that came out with a high s, as
    /// devices answer them.
    ///
    /// # Errors
    /// [`Error::Signature`] when it is no signature by a key of this kind.
    pub fn normalize(&self, signature: &[u8]) -> Result<Vec<u8>, Error> {
        match self.kind {
            KeyKind::Ed25519 if signature.len() != 64 => Err(Error::Signature("not an Ed25519 signature")),
            KeyKind::Ed25519 => Ok(signature.to_vec()),
            kind => low_s(kind, signature),
        }
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicKey({})", self.kind)
    }
}

/// An ECDSA signature with s at most half the group's order; DER in, DER out.
pub(crate) fn low_s(kind: KeyKind, signature: &[u8]) -> Result<Vec<u8>, Error> {
    let der = match kind {
        KeyKind::P384 => p384::ecdsa::Signature::from_der(signature)
            .map(|signature| signature.normalize_s().to_der().as_bytes().to_vec()),
        _ => p256::ecdsa::Signature::from_der(signature)
            .map(|signature| signature.normalize_s().to_der().as_bytes().to_vec()),
    };
    der.map_err(|_| Error::Signature("not an ECDSA signature in DER"))
}
