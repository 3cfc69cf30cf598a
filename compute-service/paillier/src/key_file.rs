//! Files with secret keys: written once and whole, for their owner's eyes only.

use crate::threshold::ShareError;
use files::Access;
use serde::{Serialize, de::DeserializeOwned};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use zeroize::Zeroizing;

/// No file with a key is longer.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A file's content as JSON; `room` is more than its bytes, so that no copy is left behind by growth.
pub(crate) fn to_json(file: &impl Serialize, room: usize) -> Zeroizing<Vec<u8>> {
    let mut json = Zeroizing::new(Vec::with_capacity(room));
    serde_json::to_writer(&mut *json, file).expect("strings and integers can be written");
    json.push(b'\n');
    json
}

/// What a file's content says.
pub(crate) fn from_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, ShareError> {
    // serde_json's own message can quote the input.
    serde_json::from_slice(json)
        .map_err(|e| ShareError::Syntax(format!("line {}, column {}", e.line(), e.column())))
}

/// Writes a new file with mode 0600: complete and on the disk, or not at all.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), ShareError> {
    files::create(path, content, Access::Owner)
        .map_err(|source| ShareError::File { path: path.display().to_string(), source })
}

/// Reads a key file, which only its owner may read.
///
/// # Errors
/// [`ShareError::File`], [`ShareError::Mode`], or a file that is too long.
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, ShareError> {
    let name = || path.display().to_string();
    let failed = |source| ShareError::File { path: name(), source };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if let Some(mode) = shared_mode(&metadata) {
        return Err(ShareError::Mode { path: name(), mode });
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(ShareError::Range("file size"));
    }
    let mut content = Zeroizing::new(Vec::with_capacity(metadata.len() as usize + 1));
    file.take(MAX_FILE_BYTES).read_to_end(&mut content).map_err(failed)?;
    Ok(content)
}

/// The permission bits of a file, if they let others than the owner at it.
#[cfg(unix)]
fn shared_mode(metadata: &fs::Metadata) -> Option<u32> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}

#[cfg(not(unix))]
fn shared_mode(_: &fs::Metadata) -> Option<u32> {
    None
}
