//! A node's data directory beside its database: whose it is.

use crate::store::StoreError;
use files::Access;
use std::{fs, io::ErrorKind, path::Path};

fn failed(path: &Path) -> impl Fn(std::io::Error) -> StoreError {
    move |source| StoreError::File { path: path.display().to_string(), source }
}

/// Makes a data directory that only its owner may read.
pub(crate) fn make_private(dir: &Path) -> Result<(), StoreError> {
    files::make_private(dir).map_err(failed(dir))
}

/// Removes what a killed process had begun to write.
pub(crate) fn remove_unfinished(data_dir: &Path) -> Result<(), StoreError> {
    for folder in ["", "accepted", "jobs", "keys", "analyst-keys", "predictions"] {
        let folder = data_dir.join(folder);
        files::remove_unfinished(&folder).map_err(failed(&folder))?;
    }
    Ok(())
}

/// Binds a data directory to its organisation, or finds that it is another's.
///
/// # Errors
/// [`StoreError::OtherOrganisation`], or the file system's error.
pub fn bind(data_dir: &Path, msp_id: &str) -> Result<(), StoreError> {
    if owner(data_dir)?.is_none() {
        make_private(data_dir)?;
        let path = data_dir.join("organisation");
        match files::create(&path, msp_id.as_bytes(), Access::Owner) {
            // Another command was faster.
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            made => made.map_err(failed(&path))?,
        }
    }
    check_owner(data_dir, msp_id)
}

/// Finds that a data directory is another organisation's.
///
/// # Errors
/// [`StoreError::OtherOrganisation`], or the file system's error.
pub fn check_owner(data_dir: &Path, msp_id: &str) -> Result<(), StoreError> {
    match owner(data_dir)? {
        Some(owner) if owner != msp_id => Err(StoreError::OtherOrganisation {
            data_dir: data_dir.display().to_string(),
            owner: owner.escape_debug().to_string(),
            msp_id: msp_id.into(),
        }),
        _ => Ok(()),
    }
}

fn owner(data_dir: &Path) -> Result<Option<String>, StoreError> {
    let path = data_dir.join("organisation");
    match fs::read_to_string(&path) {
        Ok(owner) => Ok(Some(owner)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failed(&path)(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_belongs_to_one_organisation() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        check_owner(&state, "Org2MSP").unwrap();
        bind(&state, "Org1MSP").unwrap();
        bind(&state, "Org1MSP").unwrap();
        for error in [bind(&state, "Org2MSP"), check_owner(&state, "Org2MSP")] {
            let error = error.unwrap_err().to_string();
            assert!(error.contains("Org1MSP") && error.contains("Org2MSP"), "{error}");
        }
    }
}
