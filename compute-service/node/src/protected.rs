//! Key files of an organisation, which may be under a passphrase ([`msp::passphrase`]).
//!
//! A data directory whose keys are protected has a file `protected`, which opens with the same passphrase: with it the
//! passphrase is checked when a node starts, and every key that is made later is protected, too. Both kinds of files are read,
//! so that protecting and unprotecting may be cut off at any time and done again.

use crate::config::Config;
use files::Access;
use msp::passphrase::{self, PassphraseError};
use paillier::{KeyShare, PrivateKey, ShareError, read_key_file};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// What the file `protected` holds.
const TOKEN: &[u8] = b"keys of this data directory are protected\n";

/// Why a key file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read or written, or is no key.
    #[error("{}", of_share(path, source))]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ShareError,
    },
    /// It is under a passphrase.
    #[error("{}: {source}", path.display())]
    Passphrase {
        /// The file.
        path: PathBuf,
        /// Why it does not open.
        source: PassphraseError,
    },
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Errors of some kinds name the file themselves.
fn of_share(path: &Path, source: &ShareError) -> String {
    match source {
        ShareError::File { .. } | ShareError::Mode { .. } => source.to_string(),
        other => format!("{}: {other}", path.display()),
    }
}

impl KeyFileError {
    /// Whether there is no such file.
    pub fn is_absent(&self) -> bool {
        let source = match self {
            Self::Key { source: ShareError::File { source, .. }, .. } | Self::File { source, .. } => source,
            _ => return false,
        };
        source.kind() == io::ErrorKind::NotFound
    }
}

fn key_error(path: &Path) -> impl FnOnce(ShareError) -> KeyFileError {
    let path = path.to_owned();
    move |source| KeyFileError::Key { path, source }
}

fn passphrase_error(path: &Path) -> impl FnOnce(PassphraseError) -> KeyFileError {
    let path = path.to_owned();
    move |source| KeyFileError::Passphrase { path, source }
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> KeyFileError {
    let path = path.to_owned();
    move |source| KeyFileError::File { path, source }
}

/// The content of a key file, opened with this process's passphrase where it is protected.
fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let file = read_key_file(path).map_err(key_error(path))?;
    match passphrase::is_protected(&file) {
        false => Ok(file),
        true => passphrase::get()
            .and_then(|passphrase| passphrase::open(&file, &passphrase))
            .map_err(passphrase_error(path)),
    }
}

/// A share of a threshold key.
///
/// # Errors
/// See [`KeyFileError`].
pub fn share(path: &Path) -> Result<KeyShare, KeyFileError> {
    KeyShare::from_json(&read(path)?).map_err(key_error(path))
}

/// An analyst's key.
///
/// # Errors
/// See [`KeyFileError`].
pub fn private_key(path: &Path) -> Result<PrivateKey, KeyFileError> {
    PrivateKey::from_json(&read(path)?).map_err(key_error(path))
}

/// What a file with this key says, protected where `protect` says so.
fn sealed(path: &Path, json: Zeroizing<Vec<u8>>, protect: bool) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    match protect {
        false => Ok(json),
        true => passphrase::get()
            .and_then(|passphrase| passphrase::protect(&json, &passphrase))
            .map(Zeroizing::new)
            .map_err(passphrase_error(path)),
    }
}

/// Writes a new key file of a node, protected if its data directory is.
///
/// # Errors
/// A file that is there already, or see [`KeyFileError`].
pub fn write_new(data_dir: &Path, path: &Path, json: Zeroizing<Vec<u8>>) -> Result<(), KeyFileError> {
    let content = sealed(path, json, is_protected(data_dir))?;
    files::create(path, &content, Access::Owner).map_err(file_error(path))
}

fn token(data_dir: &Path) -> PathBuf {
    data_dir.join("protected")
}

/// Whether the keys of a data directory are protected.
pub fn is_protected(data_dir: &Path) -> bool {
    token(data_dir).exists()
}

/// Sees to it that this process's passphrase is that of the data directory, if its keys are protected.
///
/// # Errors
/// A passphrase that is wrong or not there.
pub fn check(data_dir: &Path) -> Result<(), KeyFileError> {
    match is_protected(data_dir) {
        true => read(&token(data_dir)).map(drop),
        false => Ok(()),
    }
}

/// The key files of a node: shares, an analyst's keys, and a share that was dealt.
///
/// # Errors
/// A folder that cannot be read.
pub fn of_node(config: &Config) -> Result<Vec<PathBuf>, KeyFileError> {
    let mut all: Vec<PathBuf> = config.key_share.iter().filter(|path| path.exists()).cloned().collect();
    for folder in ["keys", "analyst-keys"] {
        let folder = config.data_dir.join(folder);
        let entries = match fs::read_dir(&folder) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.map_err(file_error(&folder))?,
        };
        for entry in entries {
            let path = entry.map_err(file_error(&folder))?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                all.push(path);
            }
        }
    }
    all.sort();
    all.dedup();
    Ok(all)
}

/// Protects files with this process's passphrase; those that are protected already must open with it. How many were changed.
///
/// # Errors
/// The first that cannot be read or written. Those before it are protected.
pub fn protect(paths: &[PathBuf]) -> Result<usize, KeyFileError> {
    change(paths, true)
}

/// Takes the passphrase from files. How many were changed.
///
/// # Errors
/// The first that cannot be read or written. Those before it have none any more.
pub fn unprotect(paths: &[PathBuf]) -> Result<usize, KeyFileError> {
    change(paths, false)
}

fn change(paths: &[PathBuf], protect: bool) -> Result<usize, KeyFileError> {
    let mut changed = 0;
    for path in paths {
        let was = passphrase::is_protected(&read_key_file(path).map_err(key_error(path))?);
        // What is no key is not touched.
        let json = read(path)?;
        if KeyShare::from_json(&json).is_err() {
            PrivateKey::from_json(&json).map_err(key_error(path))?;
        }
        if was != protect {
            let content = sealed(path, json, protect)?;
            files::write(path, &content, Access::Owner).map_err(file_error(path))?;
            changed += 1;
        }
    }
    Ok(changed)
}

/// Protects all key files of a node, and those that it makes from now on. How many were changed.
///
/// # Errors
/// See [`protect`].
pub fn protect_node(config: &Config) -> Result<usize, KeyFileError> {
    let token = token(&config.data_dir);
    check(&config.data_dir)?;
    if !token.exists() {
        files::make_private(&config.data_dir).map_err(file_error(&config.data_dir))?;
        let content = sealed(&token, Zeroizing::new(TOKEN.to_vec()), true)?;
        files::create(&token, &content, Access::Owner).map_err(file_error(&token))?;
    }
    protect(&of_node(config)?)
}

/// Takes the passphrase from all key files of a node. How many were changed.
///
/// # Errors
/// See [`unprotect`].
pub fn unprotect_node(config: &Config) -> Result<usize, KeyFileError> {
    check(&config.data_dir)?;
    let changed = unprotect(&of_node(config)?)?;
    let token = token(&config.data_dir);
    match fs::remove_file(&token) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(file_error(&token)(e)),
        _ => Ok(changed),
    }
}
