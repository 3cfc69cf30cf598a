//! A node's data directory beside its database: whose it is, and which jobs were accepted with what. Files of their own, so
//! that commands can read and write them while the node has its database open.

use crate::store::{Store, StoreError};
use files::Access;
use records::JobId;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// What was noted when a job was accepted: `accepted/<job>`. Older nodes left empty files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// Digest of the own data for which the job was accepted, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    /// What follows from the job's secret, hexadecimal; from the moment on that something may have been made from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// Whether a person consented to what is below the node's minima.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    weaker: bool,
}

/// What a data directory knows of a job that was accepted in its organisation's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// This node takes part in it.
    Ours,
    /// It was not accepted with this directory.
    Unknown,
    /// It was, but what had been made for it is gone.
    Lost,
}

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

fn note_path(data_dir: &Path, job: &JobId) -> PathBuf {
    data_dir.join("accepted").join(job.to_string())
}

fn note(data_dir: &Path, job: &JobId) -> Result<Option<Note>, StoreError> {
    let path = note_path(data_dir, job);
    match fs::read(&path) {
        Ok(bytes) if bytes.is_empty() => Ok(Some(Note::default())),
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).map_err(|e| failed(&path)(e.into()))?)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failed(&path)(e)),
    }
}

fn write_note(data_dir: &Path, job: &JobId, note: &Note) -> Result<(), StoreError> {
    make_private(data_dir)?;
    let path = note_path(data_dir, job);
    let json = serde_json::to_vec(note).expect("a note consists of strings");
    files::write(&path, &json, Access::Owner).map_err(failed(&path))
}

/// Notes that the node with this data directory takes part in a job, with data of this digest; written before the ledger
/// is told. An acceptance on the ledger alone is not enough: another node of the organisation, with other data, may have
/// given it. While the job has not begun, accepting it again binds it to other data. With `weaker` a person consents to what
/// of the job is below the node's minima, also after it has begun.
///
/// # Errors
/// [`StoreError::Changed`] for other data once the job has begun; the file system's error.
pub fn note_acceptance(
    data_dir: &Path,
    job: &JobId,
    data: Option<[u8; 32]>,
    weaker: bool,
) -> Result<(), StoreError> {
    match note(data_dir, job)? {
        Some(begun) if begun.secret.is_some() && begun.data != data.map(hex::encode) => {
            Err(StoreError::Changed(job.clone()))
        }
        Some(begun @ Note { secret: Some(_), .. }) if begun.weaker || !weaker => Ok(()),
        Some(begun @ Note { secret: Some(_), .. }) => write_note(data_dir, job, &Note { weaker, ..begun }),
        _ => write_note(data_dir, job, &Note { data: data.map(hex::encode), secret: None, weaker }),
    }
}

/// Whether a person consented to what of a job is below the node's minima.
///
/// # Errors
/// The file system's error.
pub fn accepted_weaker(data_dir: &Path, job: &JobId) -> Result<bool, StoreError> {
    Ok(note(data_dir, job)?.is_some_and(|note| note.weaker))
}

/// Whether the node with this data directory takes part in a job.
pub fn is_accepted(data_dir: &Path, job: &JobId) -> bool {
    note_path(data_dir, job).exists()
}

/// Whether a job was accepted for other data than those of this digest.
///
/// # Errors
/// The file system's error.
pub fn accepted_other_data(data_dir: &Path, job: &JobId, data: &[u8; 32]) -> Result<bool, StoreError> {
    let accepted = note(data_dir, job)?.and_then(|note| note.data);
    Ok(accepted.is_some_and(|accepted| accepted != hex::encode(data)))
}

/// How a node stands to a job that was accepted in its organisation's name. From the first answer [`Standing::Ours`] on, the
/// job is bound to its secret: with another one, records would be made that contradict those on the ledger.
///
/// # Errors
/// The file system's error, or a failing database.
pub fn standing(data_dir: &Path, store: &Store, job: &JobId) -> Result<Standing, StoreError> {
    let Some(note) = note(data_dir, job)? else { return Ok(Standing::Unknown) };
    if note.secret.is_some() && !store.has_secret(job)? {
        return Ok(Standing::Lost);
    }
    let tag = match store.secret(job) {
        Ok(secret) => hex::encode(secret.derive(job, "acceptance")),
        // Whoever takes it up is told.
        Err(StoreError::Opened(_)) => return Ok(Standing::Ours),
        Err(e) => return Err(e),
    };
    match &note.secret {
        Some(known) if *known == tag => Ok(Standing::Ours),
        Some(_) => Ok(Standing::Lost),
        None => {
            write_note(data_dir, job, &Note { secret: Some(tag), ..note })?;
            Ok(Standing::Ours)
        }
    }
}

/// Removes the note of a job that is over.
///
/// # Errors
/// The file system's error.
pub(crate) fn forget(data_dir: &Path, job: &JobId) -> Result<(), StoreError> {
    let path = note_path(data_dir, job);
    match fs::remove_file(&path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(failed(&path)(e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> JobId {
        JobId::from([0xaa; 32])
    }

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

    #[test]
    fn a_job_whose_state_is_gone_is_lost_and_not_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        let store = Store::open(path).unwrap();
        assert_eq!(standing(path, &store, &job()).unwrap(), Standing::Unknown);
        note_acceptance(path, &job(), None, false).unwrap();
        for _ in 0..2 {
            assert_eq!(standing(path, &store, &job()).unwrap(), Standing::Ours);
        }
        drop(store);
        let database = path.join("node.redb");
        fs::rename(&database, path.join("moved")).unwrap();
        let store = Store::open(path).unwrap();
        assert_eq!(standing(path, &store, &job()).unwrap(), Standing::Lost);
        // Not even after another secret was drawn somehow, or it is accepted again.
        store.secret(&job()).unwrap();
        note_acceptance(path, &job(), None, false).unwrap();
        assert_eq!(standing(path, &store, &job()).unwrap(), Standing::Lost);
        drop(store);
        fs::rename(path.join("moved"), &database).unwrap();
        let store = Store::open(path).unwrap();
        assert_eq!(standing(path, &store, &job()).unwrap(), Standing::Ours);
        forget(path, &job()).unwrap();
        assert_eq!(standing(path, &store, &job()).unwrap(), Standing::Unknown);
    }

    #[test]
    fn data_are_bound_at_acceptance_until_the_job_begins() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        let other = |data: u8| accepted_other_data(path, &job(), &[data; 32]).unwrap();
        note_acceptance(path, &job(), Some([1; 32]), false).unwrap();
        assert!(!other(1) && other(2));
        note_acceptance(path, &job(), Some([2; 32]), false).unwrap();
        assert!(other(1) && !other(2));
        standing(path, &Store::open(path).unwrap(), &job()).unwrap();
        let again = note_acceptance(path, &job(), Some([1; 32]), false);
        assert!(matches!(again, Err(StoreError::Changed(_))), "{again:?}");
        assert!(other(1) && !other(2), "it has begun with the second");
        // Consent can be given later, too, and is not taken back.
        for (weaker, expected) in [(false, false), (true, true), (false, true)] {
            note_acceptance(path, &job(), Some([2; 32]), weaker).unwrap();
            assert_eq!(accepted_weaker(path, &job()).unwrap(), expected);
        }
        assert!(other(1) && !other(2));
        assert_eq!(standing(path, &Store::open(path).unwrap(), &job()).unwrap(), Standing::Ours);
        // As older nodes left it.
        fs::write(note_path(path, &job()), "").unwrap();
        assert!(!other(1) && !other(2));
    }
}
