//! What an organisation keeps of its own for sharing: an analyst's secret keys, and the secret from which a provider's
//! randomness follows.

use super::SharingError;
use crate::{config::Config, directory, keyring, protected};
use files::Access;
use paillier::{EncryptionKey, PrivateKey};
use protocol::JobSecret;
use records::{AnalystKey, Bytes, Fingerprint, Modulus};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// The public part of a key as it is published.
pub(super) fn modulus(key: &EncryptionKey) -> Modulus {
    Modulus { n: Bytes(key.n().to_bytes_be()), insecure_key_bits: key.bits() < 2048 }
}

/// The folder of an analyst's secret keys: `analyst-keys/<fingerprint>.json` in its data directory, mode 0600. Files are
/// added and never changed.
#[derive(Clone, Debug)]
pub struct AnalystKeys {
    data_dir: PathBuf,
    dir: PathBuf,
}

impl AnalystKeys {
    /// That of a node.
    pub fn open(config: &Config) -> Self {
        Self::in_directory(&config.data_dir)
    }

    fn in_directory(data_dir: &Path) -> Self {
        Self { data_dir: data_dir.to_owned(), dir: data_dir.join("analyst-keys") }
    }

    fn path(&self, fingerprint: &Fingerprint) -> PathBuf {
        self.dir.join(format!("{fingerprint}.json"))
    }

    /// Makes a key, on the disk before this returns.
    ///
    /// # Errors
    /// A size that is not supported, or a file that cannot be written.
    pub fn generate(&self, bits: u64) -> Result<PrivateKey, SharingError> {
        let key = PrivateKey::generate(bits, &mut crate::os_rng())
            .map_err(|e| SharingError::Input(e.to_string()))?;
        let path = self.path(&modulus(key.public()).fingerprint());
        protected::write_new(&self.data_dir, &path, key.to_json())?;
        Ok(key)
    }

    /// The key of this fingerprint.
    ///
    /// # Errors
    /// No such key here, or a file that is none.
    pub fn find(&self, fingerprint: &Fingerprint) -> Result<PrivateKey, SharingError> {
        let path = self.path(fingerprint);
        let key = match protected::private_key(&path) {
            Err(e) if e.is_absent() => {
                let dir = self.dir.display().to_string();
                return Err(SharingError::NoSecret { fingerprint: *fingerprint, dir });
            }
            key => key?,
        };
        match modulus(key.public()).fingerprint() == *fingerprint {
            true => Ok(key),
            false => {
                Err(SharingError::Input(format!("{} is another key than its name says", path.display())))
            }
        }
    }

    /// The fingerprints of all keys.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn list(&self) -> Result<Vec<Fingerprint>, SharingError> {
        let names = keyring::key_names(&self.dir).map_err(SharingError::file(&self.dir))?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }
}

/// A published key after every check that needs no factors.
///
/// # Errors
/// A modulus that is none, or one below 2,048 bits without consent.
pub fn checked(key: &AnalystKey, insecure_key_bits: bool) -> Result<EncryptionKey, SharingError> {
    let bits = key.modulus.bits();
    if bits < 2048 && !insecure_key_bits {
        return Err(SharingError::Input(format!(
            "the key of {} has {bits} bits, which can be broken; ask for one of 2,048, or consent with --insecure-key-bits",
            key.msp_id
        )));
    }
    let wrong = |e: String| SharingError::Input(format!("the key that {} published: {e}", key.msp_id));
    key.modulus.validate().map_err(|e| wrong(e.to_string()))?;
    let n = num_bigint::BigUint::from_bytes_be(&key.modulus.n.0);
    EncryptionKey::new(&n).map_err(|e| wrong(e.to_string()))
}

/// The secret of a provider: made from the operating system's randomness when it is asked for first. A file of its own,
/// so that tables can be shared while the node has its database open.
///
/// # Errors
/// The file system's, or a file of another length.
pub fn provider_secret(data_dir: &Path) -> Result<JobSecret, SharingError> {
    let path = data_dir.join("sharing.secret");
    directory::make_private(data_dir)?;
    if !path.exists() {
        let make = || -> io::Result<()> {
            let mut bytes = Zeroizing::new([0; 32]);
            getrandom::fill(&mut *bytes).map_err(io::Error::other)?;
            match files::create(&path, &*bytes, Access::Owner) {
                // Another command was faster.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                made => made,
            }
        };
        make().map_err(SharingError::file(&path))?;
    }
    let bytes = Zeroizing::new(fs::read(&path).map_err(SharingError::file(&path))?);
    match <[u8; 32]>::try_from(&bytes[..]) {
        Ok(secret) => Ok(JobSecret::new(secret)),
        Err(_) => Err(SharingError::Input(format!("{} is damaged: it has not 32 bytes", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn secrets_stay_and_are_their_owners() {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().join("state");
        let secret = *provider_secret(&data_dir).unwrap().expose();
        assert_eq!(*provider_secret(&data_dir).unwrap().expose(), secret);
        let keys = AnalystKeys::in_directory(&data_dir);
        assert!(keys.list().unwrap().is_empty());
        let made = keys.generate(256).unwrap();
        let fingerprint = modulus(made.public()).fingerprint();
        assert_eq!(keys.list().unwrap(), [fingerprint]);
        assert_eq!(keys.find(&fingerprint).unwrap().public(), made.public());
        for path in [keys.path(&fingerprint), data_dir.join("sharing.secret")] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let other = Fingerprint::from([0; 32]);
        assert!(matches!(keys.find(&other), Err(SharingError::NoSecret { .. })));
        fs::copy(keys.path(&fingerprint), keys.path(&other)).unwrap();
        assert!(keys.find(&other).unwrap_err().to_string().contains("another key"));
    }
}
