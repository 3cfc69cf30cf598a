//! Ciphertexts that are too large for the ledger: a folder of files, each named by the SHA-256 of its content.
//!
//! What is in a file is compared with its name whenever it is read, so it does not matter who carried the folder here.

use records::Digest;
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

/// A content-addressed folder.
#[derive(Clone, Debug)]
pub struct Blobs {
    dir: PathBuf,
}

/// Why a file is not written or not taken.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The file system refused.
    #[error("{path}: {source}")]
    File {
        /// The file or folder.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// There is no such file.
    #[error("{path} is missing; its provider has it")]
    Missing {
        /// The file.
        path: String,
    },
    /// The file is not as long as the ledger says.
    #[error("{path} has {found} bytes, on the ledger it has {expected}")]
    Length {
        /// The file.
        path: String,
        /// Its bytes.
        found: u64,
        /// Those on the ledger.
        expected: u32,
    },
    /// The content is not that of the name.
    #[error("{path} was changed: its SHA-256 is {found}")]
    Changed {
        /// The file.
        path: String,
        /// The digest of its content.
        found: Digest,
    },
}

impl Blobs {
    /// The folder at this place; it is made when something is put into it.
    pub fn open(dir: &Path) -> Self {
        Self { dir: dir.to_path_buf() }
    }

    fn path(&self, sha256: &Digest) -> PathBuf {
        self.dir.join(sha256.to_string())
    }

    /// Writes contents that are not there yet, on the disk before this returns; their digests.
    ///
    /// # Errors
    /// [`BlobError::File`].
    pub fn put(&self, contents: &[Vec<u8>]) -> Result<Vec<Digest>, BlobError> {
        fs::create_dir_all(&self.dir).map_err(file_error(&self.dir))?;
        let mut digests = Vec::with_capacity(contents.len());
        for content in contents {
            let sha256 = Digest::of(content);
            let path = self.path(&sha256);
            // A file that was damaged is written again.
            if self.get(&sha256, content.len() as u32).is_err() {
                self.write(&path, content).map_err(file_error(&path))?;
            }
            digests.push(sha256);
        }
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(file_error(&self.dir))?;
        Ok(digests)
    }

    fn write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
        file.write_all(content)?;
        // Others read it from a folder that is shared; it is encrypted.
        file.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        file.as_file().sync_all()?;
        file.persist(path).map(drop).map_err(|e| e.error)
    }

    /// The content of this digest and length.
    ///
    /// # Errors
    /// A file that is missing, cannot be read, or has another content.
    pub fn get(&self, sha256: &Digest, length: u32) -> Result<Vec<u8>, BlobError> {
        let path = self.path(sha256);
        let shown = || path.display().to_string();
        let file = match File::open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(BlobError::Missing { path: shown() });
            }
            file => file.map_err(file_error(&path))?,
        };
        let found = file.metadata().map_err(file_error(&path))?.len();
        if found != u64::from(length) {
            return Err(BlobError::Length { path: shown(), found, expected: length });
        }
        let mut content = Vec::with_capacity(length as usize + 1);
        file.take(u64::from(length) + 1).read_to_end(&mut content).map_err(file_error(&path))?;
        match Digest::of(&content) {
            found if found == *sha256 => Ok(content),
            found => Err(BlobError::Changed { path: shown(), found }),
        }
    }
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> BlobError + '_ {
    move |source| BlobError::File { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_cut_or_deleted_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(&dir.path().join("blobs"));
        let contents = [b"one".to_vec(), b"three".to_vec()];
        let digests = blobs.put(&contents).unwrap();
        assert_eq!(blobs.get(&digests[1], 5).unwrap(), b"three");
        assert!(matches!(blobs.get(&digests[1], 4), Err(BlobError::Length { found: 5, expected: 4, .. })));
        let path = blobs.path(&digests[0]);
        fs::write(&path, "two").unwrap();
        assert!(matches!(blobs.get(&digests[0], 3), Err(BlobError::Changed { .. })));
        assert_eq!(blobs.put(&contents).unwrap(), digests);
        assert_eq!(blobs.get(&digests[0], 3).unwrap(), b"one", "put again");
        fs::remove_file(&path).unwrap();
        assert!(matches!(blobs.get(&digests[0], 3), Err(BlobError::Missing { .. })));
        assert_eq!(fs::read_dir(&blobs.dir).unwrap().count(), 1, "no temporary file is left behind");
    }
}
