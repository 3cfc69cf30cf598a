//! With what jobs were accepted in the organisation's name. An acceptance on the ledger alone is not enough for a node to take
//! part: another node of the organisation, with other data, may have given it.

use super::{ACCEPTED, Result, Store, StoreError, db};
use records::JobId;
use redb::{Durability, ReadableTable, WriteTransaction};
use serde::{Deserialize, Serialize};
use std::{fs, io::ErrorKind, path::Path};

/// What is kept from the acceptance of a job on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
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

impl Store {
    /// Records that the node takes part in a job, with data of this digest; on the disk before the ledger is told. While the
    /// job has not begun, accepting it again binds it to other data. With `weaker` a person consents to what of the job is
    /// below the node's minima, also after it has begun.
    ///
    /// # Errors
    /// [`StoreError::Changed`] for other data once the job has begun; a failing database.
    pub fn record_acceptance(&self, job: &JobId, data: Option<[u8; 32]>, weaker: bool) -> Result<()> {
        self.write(Durability::Immediate, |write| {
            let data = data.map(hex::encode);
            let entry = match entry_in(write, job)? {
                Some(begun @ Entry { secret: Some(_), .. }) if begun.data != data => {
                    return Err(StoreError::Changed(job.clone()));
                }
                Some(begun @ Entry { secret: Some(_), .. }) => {
                    Entry { weaker: begun.weaker || weaker, ..begun }
                }
                _ => Entry { data, secret: None, weaker },
            };
            insert(write, job, &entry)
        })
    }

    /// Whether a person consented to what of a job is below the node's minima.
    ///
    /// # Errors
    /// A failing database.
    pub fn accepted_weaker(&self, job: &JobId) -> Result<bool> {
        Ok(self.acceptance(job)?.is_some_and(|entry| entry.weaker))
    }

    /// Whether the node takes part in a job.
    ///
    /// # Errors
    /// A failing database.
    pub fn is_accepted(&self, job: &JobId) -> Result<bool> {
        Ok(self.acceptance(job)?.is_some())
    }

    /// Whether a job was accepted for other data than those of this digest.
    ///
    /// # Errors
    /// A failing database.
    pub fn accepted_other_data(&self, job: &JobId, data: &[u8; 32]) -> Result<bool> {
        let accepted = self.acceptance(job)?.and_then(|entry| entry.data);
        Ok(accepted.is_some_and(|accepted| accepted != hex::encode(data)))
    }

    /// How the node stands to a job that was accepted in its organisation's name. From the first answer [`Standing::Ours`] on,
    /// the job is bound to its secret: with another one, records would be made that contradict those on the ledger.
    ///
    /// # Errors
    /// A failing database.
    pub fn standing(&self, job: &JobId) -> Result<Standing> {
        let Some(entry) = self.acceptance(job)? else { return Ok(Standing::Unknown) };
        if entry.secret.is_some() && !self.has_secret(job)? {
            return Ok(Standing::Lost);
        }
        let tag = match self.secret(job) {
            Ok(secret) => hex::encode(secret.derive(job, "acceptance")),
            // The node reports the error when it takes up the job.
            Err(StoreError::Opened(_)) => return Ok(Standing::Ours),
            Err(e) => return Err(e),
        };
        match &entry.secret {
            Some(known) if *known == tag => Ok(Standing::Ours),
            Some(_) => Ok(Standing::Lost),
            None => {
                let entry = Entry { secret: Some(tag), ..entry };
                self.write(Durability::Immediate, |write| insert(write, job, &entry))?;
                Ok(Standing::Ours)
            }
        }
    }

    fn acceptance(&self, job: &JobId) -> Result<Option<Entry>> {
        self.read(|read| match db(db(read.open_table(ACCEPTED))?.get(job.to_string().as_str()))? {
            Some(bytes) => Ok(Some(serde_json::from_slice(bytes.value())?)),
            None => Ok(None),
        })
    }

    /// Takes in what older nodes kept in files, `accepted/<job>`; the oldest left empty ones.
    pub(super) fn import_accepted(&self, data_dir: &Path) -> Result<()> {
        let dir = data_dir.join("accepted");
        let failed = |path: &Path, source| StoreError::File { path: path.display().to_string(), source };
        let entries = match fs::read_dir(&dir) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(|e| failed(&dir, e))?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry.map_err(|e| failed(&dir, e))?.path();
            // Beside them lies what a killed process had begun to write.
            let Some(job) = path.file_name().and_then(|name| name.to_str()?.parse::<JobId>().ok()) else {
                continue;
            };
            let bytes = fs::read(&path).map_err(|e| failed(&path, e))?;
            let entry: Entry = match bytes.is_empty() {
                true => Entry::default(),
                false => serde_json::from_slice(&bytes).map_err(|e| failed(&path, e.into()))?,
            };
            found.push((job, entry, path));
        }
        self.write(Durability::Immediate, |write| {
            for (job, entry, _) in &found {
                // A file that was imported and not removed is older than the entry.
                if entry_in(write, job)?.is_none() {
                    insert(write, job, entry)?;
                }
            }
            Ok(())
        })?;
        for (_, _, path) in &found {
            fs::remove_file(path).map_err(|e| failed(path, e))?;
        }
        // It stays where something else lies in it.
        let _ = fs::remove_dir(&dir);
        Ok(())
    }
}

fn entry_in(write: &WriteTransaction, job: &JobId) -> Result<Option<Entry>> {
    match db(db(write.open_table(ACCEPTED))?.get(job.to_string().as_str()))? {
        Some(bytes) => Ok(Some(serde_json::from_slice(bytes.value())?)),
        None => Ok(None),
    }
}

fn insert(write: &WriteTransaction, job: &JobId, entry: &Entry) -> Result<()> {
    let json = serde_json::to_vec(entry)?;
    db(db(write.open_table(ACCEPTED))?.insert(job.to_string().as_str(), json.as_slice()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Ended, Kept};
    use records::{Outcome, Termination};

    fn job() -> JobId {
        JobId::from([0xaa; 32])
    }

    /// A database that is lost takes the acceptance with it: the job is not begun anew by itself.
    #[test]
    fn lost_state() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        let store = Store::open(path).unwrap();
        assert_eq!(store.standing(&job()).unwrap(), Standing::Unknown);
        store.record_acceptance(&job(), None, false).unwrap();
        for _ in 0..2 {
            assert_eq!(store.standing(&job()).unwrap(), Standing::Ours);
        }
        drop(store);
        let database = path.join("node.redb");
        fs::rename(&database, path.join("moved")).unwrap();
        let store = Store::open(path).unwrap();
        assert_eq!(store.standing(&job()).unwrap(), Standing::Unknown);
        drop(store);
        fs::rename(path.join("moved"), &database).unwrap();
        let store = Store::open(path).unwrap();
        assert_eq!(store.standing(&job()).unwrap(), Standing::Ours);
        let ending = Termination {
            version: 1,
            job: job(),
            by: "Org1MSP".parse().unwrap(),
            outcome: Outcome::Finished,
        };
        store.forget(&job(), &Ended { kind: "x".into(), ending }, Kept::Nothing).unwrap();
        assert_eq!(store.standing(&job()).unwrap(), Standing::Unknown);
    }

    /// The files of older nodes are read once, also those that bind a job to a secret that is gone.
    #[test]
    fn older_files() {
        let dir = tempfile::tempdir().unwrap();
        let accepted = dir.path().join("accepted");
        fs::create_dir(&accepted).unwrap();
        let (begun, empty) = (job(), JobId::from([0xbb; 32]));
        fs::write(
            accepted.join(begun.to_string()),
            format!(r#"{{"data":"{}","secret":"00"}}"#, "01".repeat(32)),
        )
        .unwrap();
        fs::write(accepted.join(empty.to_string()), "").unwrap();
        for _ in 0..2 {
            let store = Store::open(dir.path()).unwrap();
            assert!(store.accepted_other_data(&begun, &[2; 32]).unwrap());
            assert!(!store.accepted_other_data(&begun, &[1; 32]).unwrap());
            assert_eq!(store.standing(&begun).unwrap(), Standing::Lost);
            assert_eq!(store.standing(&empty).unwrap(), Standing::Ours);
            assert!(!store.accepted_other_data(&empty, &[1; 32]).unwrap());
            assert!(!accepted.exists());
        }
        fs::create_dir(&accepted).unwrap();
        fs::write(accepted.join(begun.to_string()), "{").unwrap();
        assert!(Store::open(dir.path()).is_err(), "one that cannot be read is not passed over");
    }

    #[test]
    fn data_are_bound_until_the_job_begins() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let other = |data: u8| store.accepted_other_data(&job(), &[data; 32]).unwrap();
        store.record_acceptance(&job(), Some([1; 32]), false).unwrap();
        assert!(!other(1) && other(2));
        store.record_acceptance(&job(), Some([2; 32]), false).unwrap();
        assert!(other(1) && !other(2));
        store.standing(&job()).unwrap();
        let again = store.record_acceptance(&job(), Some([1; 32]), false);
        assert!(matches!(again, Err(StoreError::Changed(_))), "{again:?}");
        assert!(other(1) && !other(2), "it has begun with the second");
        // Consent can be given later, too, and is not taken back.
        for (weaker, expected) in [(false, false), (true, true), (false, true)] {
            store.record_acceptance(&job(), Some([2; 32]), weaker).unwrap();
            assert_eq!(store.accepted_weaker(&job()).unwrap(), expected);
        }
        assert!(other(1) && !other(2));
        assert_eq!(store.standing(&job()).unwrap(), Standing::Ours);
    }
}
