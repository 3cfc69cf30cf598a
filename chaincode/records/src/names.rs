//! What things on the ledger are called: types of their own, each parsed once where its text comes in.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use sha2::Sha256;
use std::{
    borrow::{Borrow, Cow},
    fmt,
    str::FromStr,
};

/// 32 bytes, written as 64 hexadecimal digits in lower case: a SHA-256, an address, the name of a table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// A text that is no [`Digest`] or [`Device`](crate::Device).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not {0} hexadecimal digits in lower case")]
pub struct NotHex(pub(crate) usize);

impl Digest {
    /// SHA-256 of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Digest::finalize(sha2::Digest::chain_update(Sha256::default(), bytes)).into())
    }

    /// SHA-256 of fields under a tag that names the purpose, each behind its length.
    pub(crate) fn tagged(tag: &str, fields: &[&[u8]]) -> Self {
        let mut bytes = Vec::new();
        for field in [tag.as_bytes()].iter().chain(fields) {
            bytes.extend((field.len() as u64).to_be_bytes());
            bytes.extend_from_slice(field);
        }
        Self::of(&bytes)
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(self.0))
    }
}

/// The first digits are enough to tell two apart in a log.
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", hex::encode(&self.0[..6]))
    }
}

impl FromStr for Digest {
    type Err = NotHex;

    fn from_str(text: &str) -> Result<Self, NotHex> {
        let mut bytes = [0; 32];
        let is_lower = text.bytes().all(|b| !b.is_ascii_uppercase());
        match is_lower && hex::decode_to_slice(text, &mut bytes).is_ok() {
            true => Ok(Self(bytes)),
            false => Err(NotHex(64)),
        }
    }
}

/// JSON as the type's text.
macro_rules! as_text {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Cow::<str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

pub(crate) use as_text;

as_text!(Digest);

/// Names that are digests of what they name.
macro_rules! digest_names {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Digest);

        impl From<[u8; 32]> for $name {
            fn from(bytes: [u8; 32]) -> Self {
                Self(Digest(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = NotHex;

            fn from_str(text: &str) -> Result<Self, NotHex> {
                text.parse().map(Self)
            }
        }
    )*};
}

digest_names! {
    /// H(parameters ‖ nonce): a repeated proposal is the same job.
    JobId;
    #[derive(Copy)]
    /// Of a public key, threshold or ordinary: what the key is called.
    Fingerprint;
    #[derive(Copy)]
    /// SHA-256 of the public key in a certificate, which stays the same when the certificate is renewed.
    KeyHash;
}

/// An organisation of the channel, by the identifier of its membership service provider: 1 to 128 bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MspId(String);

/// A text that is no [`MspId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an MSP identifier is empty or longer than 128 bytes")]
pub struct NoMspId;

impl MspId {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MspId {
    type Err = NoMspId;

    fn from_str(text: &str) -> Result<Self, NoMspId> {
        match (1..=128).contains(&text.len()) {
            true => Ok(Self(text.to_owned())),
            false => Err(NoMspId),
        }
    }
}

impl fmt::Display for MspId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for MspId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// So that maps are asked by text, and lists are joined.
impl Borrow<str> for MspId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for MspId {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for MspId {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl PartialEq<String> for MspId {
    fn eq(&self, other: &String) -> bool {
        self.0 == *other
    }
}

as_text!(MspId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_their_digits() {
        let digest = Digest::of(b"x");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(serde_json::from_value::<Digest>(serde_json::json!(digest)).unwrap(), digest);
        for wrong in ["", "0", &"0".repeat(63), &"A".repeat(64), &"é".repeat(32)] {
            assert_eq!(wrong.parse::<Digest>(), Err(NotHex(64)));
        }
        let id = JobId(digest);
        assert_eq!(serde_json::json!(&id), serde_json::json!(digest));
        assert_eq!(format!("{id:.8}"), digest.to_string()[..8]);
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn msp_identifiers_have_1_to_128_bytes() {
        assert!("".parse::<MspId>().is_err());
        assert!("x".repeat(129).parse::<MspId>().is_err());
        let longest: MspId = "x".repeat(128).parse().unwrap();
        assert_eq!(serde_json::from_value::<MspId>(serde_json::json!(longest)).unwrap(), longest);
        assert!(serde_json::from_str::<MspId>("\"\"").is_err());
    }
}
