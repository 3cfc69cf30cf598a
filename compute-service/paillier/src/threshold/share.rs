//! A member's share of the key, and the file that it lies in.

use crate::key::{KeyError, PublicKey};
use crate::key_file;
use crate::limbs::{self, Limbs};
use crate::parts::{KeyParts, base64_bytes};
use modexp::Secret;
use num_bigint::BigUint;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;
use zeroize::{Zeroize, Zeroizing};

/// Version of the file format.
const VERSION: u32 = 1;
/// No share has more bits: those of the longest modulus with the most members, and room for refreshes.
const MAX_SHARE_BITS: usize = 1 << 14;

/// What one member needs to decrypt, besides the other members. Wiped when dropped.
#[derive(Clone)]
pub struct KeyShare {
    key: PublicKey,
    index: u32,
    purpose: String,
    /// The polynomial's value at index + 1, big-endian, `share_bits` wide.
    share: Zeroizing<Vec<u8>>,
    share_bits: usize,
    /// x = Δ·share, as a number and as an exponent.
    x: Limbs,
    exponent: Secret,
}

/// Why there is no share, or no [`PrivateKey`](crate::PrivateKey).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShareError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// Others than the owner may read the file.
    #[error("{path} has mode {mode:03o}; a secret key must be readable by its owner only (chmod 600)")]
    Mode {
        /// The file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// Not JSON of a key.
    #[error("no secret key: {0}")]
    Syntax(String),
    /// A version of the format that is not known here.
    #[error("version {0} of the key's format is not known")]
    Version(u32),
    /// The public key in it is refused.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Index, share or width out of range.
    #[error("{0} out of range")]
    Range(&'static str),
    /// The share does not belong to the member's verification key.
    #[error("the share does not match the verification key of member {index}")]
    Mismatch {
        /// The member.
        index: u32,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShareFile {
    version: u32,
    purpose: String,
    index: u32,
    #[serde(with = "base64_bytes")]
    share: Vec<u8>,
    share_bits: usize,
    key: KeyParts,
}

impl Drop for ShareFile {
    fn drop(&mut self) {
        self.share.zeroize();
    }
}

impl KeyShare {
    /// Takes a share of `share_bits` bits in as many bytes as those fill, if it matches the member's verification key.
    pub(crate) fn new(
        key: PublicKey,
        index: u32,
        purpose: &str,
        share: &[u8],
        share_bits: usize,
    ) -> Result<Self, ShareError> {
        let verification = key.verification(index).ok_or(ShareError::Range("index"))?.clone();
        if share_bits > MAX_SHARE_BITS || share.len() != share_bits.div_ceil(8) {
            return Err(ShareError::Range("share width"));
        }
        let width = share_bits + key.delta().bits() as usize;
        let x = limbs::mul(&limbs::from_be_bytes(share), &key.delta().to_u64_digits());
        let exponent = Secret::from_be_bytes(&limbs::to_be_bytes(&x), width);
        let exponent = exponent.map_err(|_| ShareError::Range("share"))?;
        let power = key.ring().pow_secret(&[key.base().clone()], &exponent).swap_remove(0);
        if !key.ring().equal(&power, &verification) {
            return Err(ShareError::Mismatch { index });
        }
        let share = Zeroizing::new(share.to_vec());
        Ok(Self { key, index, purpose: purpose.into(), share, share_bits, x, exponent })
    }

    /// The public key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The member's index, from 0.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// What the key may be used for.
    pub fn purpose(&self) -> &str {
        &self.purpose
    }

    /// The polynomial's value at index + 1.
    pub(crate) fn value(&self) -> BigUint {
        BigUint::from_bytes_be(&self.share)
    }

    /// Bits of the share.
    pub fn share_bits(&self) -> usize {
        self.share_bits
    }

    /// x = Δ·share, an exponent.
    pub(crate) fn exponent(&self) -> &Secret {
        &self.exponent
    }

    /// x = Δ·share, a number.
    pub(crate) fn x(&self) -> &[u64] {
        &self.x
    }

    /// The file's content: JSON, version 1.
    pub fn to_json(&self) -> Zeroizing<Vec<u8>> {
        let file = ShareFile {
            version: VERSION,
            purpose: self.purpose.clone(),
            index: self.index,
            share: self.share.to_vec(),
            share_bits: self.share_bits,
            key: self.key.to_parts(),
        };
        let bytes = self.share.len() + self.key.ciphertext_bytes() * (self.key.parties() as usize + 4);
        key_file::to_json(&file, 2 * bytes + self.purpose.len() * 6 + 1024)
    }

    /// Reads the file's content and checks everything in it, the share against its verification key included.
    ///
    /// # Errors
    /// Whatever is wrong with it; no error shows any part of the share.
    pub fn from_json(json: &[u8]) -> Result<Self, ShareError> {
        let file: ShareFile = key_file::from_json(json)?;
        if file.version != VERSION {
            return Err(ShareError::Version(file.version));
        }
        let key = PublicKey::from_parts(&file.key, BigUint::from_bytes_be(&file.key.n).bits())?;
        Self::new(key, file.index, &file.purpose, &file.share, file.share_bits)
    }

    /// Writes a new file with mode 0600: complete and on the disk, or not at all.
    ///
    /// # Errors
    /// A file that exists already (a share is never overwritten), or what the system says.
    pub fn write(&self, path: &Path) -> Result<(), ShareError> {
        key_file::write(path, &self.to_json())
    }

    /// Reads a file that only its owner may read.
    ///
    /// # Errors
    /// See [`ShareError`].
    pub fn read(path: &Path) -> Result<Self, ShareError> {
        Self::from_json(&key_file::read(path)?)
    }
}

impl std::fmt::Debug for KeyShare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyShare(member {} of {:?}, {:?}, …)", self.index, self.key, self.purpose)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deal;
    use base64::{Engine, engine::general_purpose::STANDARD};
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use std::fs;
    use std::sync::LazyLock;

    static SHARES: LazyLock<Vec<KeyShare>> =
        LazyLock::new(|| deal(3, 2, 256, "training", &mut ChaCha20Rng::seed_from_u64(1)).unwrap().1);

    fn changed(change: impl FnOnce(&mut ShareFile)) -> Result<KeyShare, ShareError> {
        let mut file: ShareFile = serde_json::from_slice(&SHARES[1].to_json()).unwrap();
        change(&mut file);
        KeyShare::from_json(&serde_json::to_vec(&file).unwrap())
    }

    #[test]
    fn file_round_trips_and_belongs_to_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("share.json");
        SHARES[1].write(&path).unwrap();
        let read = KeyShare::read(&path).unwrap();
        assert_eq!((read.index(), read.purpose(), read.key()), (1, "training", SHARES[0].key()));
        assert_eq!(read.to_json(), SHARES[1].to_json());
        let again = SHARES[0].write(&path).unwrap_err();
        assert!(
            matches!(&again, ShareError::File { source, .. } if source.kind() == io::ErrorKind::AlreadyExists)
        );
        let left: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "no temporary file is left behind");
        assert!(matches!(KeyShare::read(&directory.path().join("none")), Err(ShareError::File { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("share.json");
        SHARES[0].write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for mode in [0o640, 0o604, 0o660, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = KeyShare::read(&path).unwrap_err();
            assert!(matches!(error, ShareError::Mode { mode: m, .. } if m == mode));
        }
    }

    #[test]
    fn whatever_is_wrong_has_its_own_error() {
        changed(|_| ()).unwrap();
        assert!(matches!(changed(|f| f.version = 2), Err(ShareError::Version(2))));
        assert!(matches!(changed(|f| f.index = 3), Err(ShareError::Range("index"))));
        assert!(matches!(changed(|f| f.index = 0), Err(ShareError::Mismatch { index: 0 })));
        assert!(matches!(changed(|f| f.share[20] ^= 1), Err(ShareError::Mismatch { index: 1 })));
        assert!(matches!(changed(|f| f.share[0] = 0xff), Err(ShareError::Range("share"))));
        assert!(matches!(changed(|f| f.share.push(0)), Err(ShareError::Range("share width"))));
        assert!(matches!(changed(|f| f.share_bits = usize::MAX), Err(ShareError::Range("share width"))));
        assert!(matches!(changed(|f| f.key.quorum = 1), Err(ShareError::Key(KeyError::Quorum { .. }))));
        assert!(matches!(KeyShare::from_json(b"{}"), Err(ShareError::Syntax(_))));
    }

    #[test]
    fn neither_debug_nor_errors_show_the_share() {
        let json = String::from_utf8(SHARES[1].to_json().to_vec()).unwrap();
        let secret = STANDARD.encode(&SHARES[1].share);
        assert!(json.contains(&secret));
        let broken = json.replace("\"share_bits\":", "\"share_bits\":x");
        for shown in [
            format!("{:?}", SHARES[1]),
            KeyShare::from_json(broken.as_bytes()).unwrap_err().to_string(),
            format!("{:?}", changed(|f| f.share[20] ^= 1).unwrap_err()),
        ] {
            assert!(!shown.contains(&secret[..12]), "{shown}");
        }
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(at in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>()) {
            let mut json = SHARES[1].to_json().to_vec();
            let at = at.index(json.len());
            json[at] = byte;
            let _ = KeyShare::from_json(&json);
            let _ = KeyShare::from_json(&json[..cut.index(json.len())]);
        }
    }
}
