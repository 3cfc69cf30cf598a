//! A node's shares of threshold keys: one file each, `keys/<fingerprint>.json` in its data directory.

use crate::{
    config::Config,
    protected::{self, KeyFileError},
};
use paillier::KeyShare;
use protocol::forms;
use records::{Fingerprint, KeyEntry, MspId};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The folder of a node's key shares. Files in it are added and deleted, never changed.
#[derive(Clone, Debug)]
pub struct Keyring {
    data_dir: PathBuf,
    dir: PathBuf,
}

/// One key, as a node and the ledger know it; no part of a share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeySummary {
    /// SHA-256 of the public key, hexadecimal.
    pub fingerprint: Fingerprint,
    /// For what it is used.
    pub purpose: String,
    /// Bits of the modulus N.
    pub bits: u64,
    /// Number of members.
    pub members: u32,
    /// How many members decrypt together.
    pub quorum: u32,
    /// How many colluding members learned nothing of the factors.
    pub collusion_bound: u32,
    /// Number of the own share, from 1.
    pub member: Option<u32>,
    /// Where the ledger knows the key.
    pub entry: Option<KeyEntry>,
}

impl KeySummary {
    /// Of an own share, with its entry on the ledger.
    pub fn of_share(share: &KeyShare, entry: Option<KeyEntry>) -> Self {
        let key = share.key();
        Self {
            fingerprint: forms::fingerprint(key),
            purpose: share.purpose().into(),
            bits: key.bits(),
            members: key.parties(),
            quorum: key.quorum(),
            collusion_bound: key.collusion_bound(),
            member: Some(share.index() + 1),
            entry,
        }
    }

    /// Of a key of which the node has no share.
    pub fn of_entry(entry: KeyEntry) -> Self {
        Self {
            fingerprint: entry.fingerprint,
            purpose: entry.purpose.clone(),
            bits: entry.bits.into(),
            members: entry.members.len() as u32,
            quorum: entry.quorum,
            collusion_bound: entry.collusion_bound,
            member: None,
            entry: Some(entry),
        }
    }
}

/// The entry of the job that made a share; others who have seen the public key can enter it as theirs.
pub fn own_entry(entries: &[KeyEntry], share: &KeyShare, msp_id: &MspId) -> Option<KeyEntry> {
    let fingerprint = forms::fingerprint(share.key());
    let own = |entry: &&KeyEntry| {
        entry.fingerprint == fingerprint
            && entry.members.get(share.index() as usize).is_some_and(|member| member == msp_id)
    };
    entries.iter().find(own).cloned()
}

/// Why a key share cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// There is no share of this key.
    #[error(
        "there is no share of key {fingerprint} in {dir}; `confab key list` shows those that there are, `confab key import` adds one"
    )]
    Missing {
        /// The key.
        fingerprint: String,
        /// Where it was looked for.
        dir: String,
    },
    /// More than one key begins so.
    #[error("{0}… is the beginning of several keys; give more of it")]
    Ambiguous(String),
    /// The folder cannot be read or made, or a file not deleted.
    #[error("{path}: {source}")]
    File {
        /// The folder or file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file with the share of another key.
    #[error("{path} is the share of another key than its name says; `confab key import` names files")]
    Name {
        /// The file.
        path: String,
    },
    /// Another member's share of the same key is there.
    #[error("{path} is another member's share of this key; a node has one")]
    Other {
        /// The file.
        path: String,
    },
    /// A file that is no share, or does not open.
    #[error(transparent)]
    Share(#[from] KeyFileError),
}

impl Keyring {
    /// That of a node.
    pub fn open(config: &Config) -> Self {
        Self::in_directory(&config.data_dir)
    }

    fn in_directory(data_dir: &Path) -> Self {
        Self { data_dir: data_dir.to_owned(), dir: data_dir.join("keys") }
    }

    fn file_error(&self) -> impl FnOnce(io::Error) -> KeyringError + '_ {
        |source| KeyringError::File { path: self.dir.display().to_string(), source }
    }

    fn path(&self, fingerprint: &str) -> PathBuf {
        self.dir.join(format!("{fingerprint}.json"))
    }

    /// Adds a share, on the disk before this returns; one that is there already stays.
    ///
    /// # Errors
    /// A file that cannot be written, or another share of the same key.
    pub fn add(&self, share: &KeyShare) -> Result<PathBuf, KeyringError> {
        let path = self.path(&hex::encode(share.key().fingerprint()));
        if path.exists() {
            return match protected::share(&path)?.index() == share.index() {
                true => Ok(path),
                false => Err(KeyringError::Other { path: path.display().to_string() }),
            };
        }
        protected::write_new(&self.data_dir, &path, share.to_json())?;
        Ok(path)
    }

    /// The share of the key whose fingerprint begins so.
    ///
    /// # Errors
    /// No such share or several, or a file that is none.
    pub fn find(&self, fingerprint: &str) -> Result<KeyShare, KeyringError> {
        let fingerprints = self.fingerprints()?;
        let mut matching = fingerprints.iter().filter(|known| known.starts_with(fingerprint));
        match (matching.next(), matching.next()) {
            (Some(one), None) => self.read(one),
            (Some(_), Some(_)) => Err(KeyringError::Ambiguous(fingerprint.into())),
            (None, _) => Err(KeyringError::Missing {
                fingerprint: fingerprint.into(),
                dir: self.dir.display().to_string(),
            }),
        }
    }

    /// Deletes a share, from the disk before this returns; what it was written on may still hold it.
    ///
    /// # Errors
    /// A file that cannot be deleted.
    pub fn delete(&self, share: &KeyShare) -> Result<PathBuf, KeyringError> {
        let path = self.path(&hex::encode(share.key().fingerprint()));
        let deleted = fs::remove_file(&path).and_then(|()| fs::File::open(&self.dir)?.sync_all());
        deleted.map_err(|source| KeyringError::File { path: path.display().to_string(), source })?;
        Ok(path)
    }

    /// All shares, in the order of their fingerprints.
    ///
    /// # Errors
    /// A folder that cannot be read, or a file that is no share.
    pub fn list(&self) -> Result<Vec<KeyShare>, KeyringError> {
        self.fingerprints()?.iter().map(|fingerprint| self.read(fingerprint)).collect()
    }

    fn read(&self, fingerprint: &str) -> Result<KeyShare, KeyringError> {
        let path = self.path(fingerprint);
        let shown = path.display().to_string();
        let share = protected::share(&path)?;
        match hex::encode(share.key().fingerprint()) == fingerprint {
            true => Ok(share),
            false => Err(KeyringError::Name { path: shown }),
        }
    }

    fn fingerprints(&self) -> Result<Vec<String>, KeyringError> {
        key_names(&self.dir).map_err(self.file_error())
    }
}

/// The fingerprints after which the files of a folder are named, in order; none where there is no folder.
pub(crate) fn key_names(dir: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut fingerprints = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(".json"));
        fingerprints.extend(stem.filter(|stem| stem.len() == 64).map(str::to_owned));
    }
    fingerprints.sort();
    Ok(fingerprints)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    #[test]
    fn shares_are_found_by_the_beginning_of_their_fingerprint() {
        let dir = tempfile::tempdir().unwrap();
        let keyring = Keyring::in_directory(&dir.path().join("state"));
        assert!(keyring.list().unwrap().is_empty());
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (_, shares) = paillier::deal(2, 2, 256, "training", &mut rng).unwrap();
        let path = keyring.add(&shares[0]).unwrap();
        assert_eq!(keyring.add(&shares[0]).unwrap(), path);
        assert!(keyring.add(&shares[1]).is_err(), "a share is never overwritten");
        let fingerprint = hex::encode(shares[0].key().fingerprint());
        assert_eq!(keyring.find(&fingerprint[..8]).unwrap().index(), 0);
        let missing = keyring.find("zz").unwrap_err().to_string();
        assert!(missing.contains("no share of key zz"), "{missing}");
        assert_eq!(keyring.list().unwrap().len(), 1);
        assert_eq!(keyring.delete(&shares[0]).unwrap(), path);
        assert!(keyring.delete(&shares[0]).is_err() && keyring.list().unwrap().is_empty());
    }
}
