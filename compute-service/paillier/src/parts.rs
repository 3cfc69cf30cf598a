//! Forms in which keys and proofs leave this crate.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A public key's numbers, big-endian. As JSON they are base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyParts {
    /// The modulus N.
    #[serde(with = "base64_bytes")]
    pub n: Vec<u8>,
    /// How many members decrypt together.
    pub quorum: u32,
    /// Up to how many colluding members learned nothing of the factors of N when the key was made.
    pub collusion_bound: u32,
    /// θ modulo N: what the decryption exponent is modulo N. As many bytes as N has.
    #[serde(with = "base64_bytes")]
    pub theta: Vec<u8>,
    /// The verification base v, a square modulo N². As many bytes as N² has.
    #[serde(with = "base64_bytes")]
    pub base: Vec<u8>,
    /// vᵢ = v^(Δ·shareᵢ) of every member, each as long as the base.
    #[serde(with = "base64_list")]
    pub verification: Vec<Vec<u8>>,
}

impl KeyParts {
    /// SHA-256 of the JSON: what a key is called.
    pub fn fingerprint(&self) -> [u8; 32] {
        let json = serde_json::to_vec(self).expect("a key holds only strings, integers and arrays");
        Sha256::digest(json).into()
    }
}

/// A proof's numbers, big-endian. As JSON they are base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProofParts {
    /// The challenge, 16 bytes.
    #[serde(with = "base64_bytes")]
    pub challenge: Vec<u8>,
    /// The response over the integers.
    #[serde(with = "base64_bytes")]
    pub response: Vec<u8>,
}

/// A byte string as base64.
pub(crate) mod base64_bytes {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::borrow::Cow;

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        STANDARD.decode(text.as_bytes()).map_err(|_| D::Error::custom("not base64"))
    }
}

/// Byte strings as base64.
mod base64_list {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Item(#[serde(with = "super::base64_bytes")] Vec<u8>);

    pub(super) fn serialize<S: Serializer>(list: &[Vec<u8>], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(list.iter().map(|bytes| Item(bytes.clone())))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<u8>>, D::Error> {
        let list = Vec::<Item>::deserialize(deserializer)?;
        Ok(list.into_iter().map(|item| item.0).collect())
    }
}
