//! What a node keeps: what it has read of the ledger and how far, what it is about to post, and its job secrets.
//!
//! A restart needs nothing else: the facts are folded again, and what was made before is posted again as it was.

use crate::facts::Located;
use files::Access;
use protocol::JobSecret;
use records::{Body, JobId, Slot, key};
use redb::backends::FileBackend;
use redb::{
    Builder, Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction,
};
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const FACTS: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("facts");
const OUTBOX: TableDefinition<&str, &[u8]> = TableDefinition::new("outbox");
const SECRETS: TableDefinition<&str, &[u8]> = TableDefinition::new("secrets");
const PINS: TableDefinition<&str, &[u8]> = TableDefinition::new("pins");
/// Jobs whose secret was opened.
const OPENED: TableDefinition<&str, ()> = TableDefinition::new("opened");
const CHECKPOINT: &str = "checkpoint";
const LEDGER: &str = "ledger";

/// The next block to read; all before it are folded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Number of the next block.
    pub next_block: u64,
}

/// Why the store fails.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("{0} is in use by another node; two nodes of one member must not run at the same time")]
    InUse(String),
    /// It is no database of a node, or damaged.
    #[error("{path} cannot be opened: {reason}")]
    Open {
        /// The file.
        path: String,
        /// What the database said.
        reason: String,
    },
    /// Reading or writing failed.
    #[error("the node's database: {0}")]
    Database(#[from] redb::Error),
    /// The file system refused.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// An entry that cannot be read.
    #[error("the node's database: an entry cannot be read: {0}")]
    Corrupt(#[from] serde_json::Error),
    /// A job of which others may know the secret.
    #[error("the secret of job {0} was opened; this node takes no part in it any more")]
    Opened(JobId),
}

type Result<T> = std::result::Result<T, StoreError>;

/// Shortens the conversion of redb's many errors into its general one.
fn db<T, E: Into<redb::Error>>(result: std::result::Result<T, E>) -> Result<T> {
    result.map_err(|e| StoreError::Database(e.into()))
}

/// What need not be on the disk at once gets there after so long, with the next block. A write to the disk in every
/// round would be a good part of the round.
const FLUSH: Duration = Duration::from_secs(1);

/// A node's database; one process at a time.
pub struct Store {
    database: Database,
    /// When everything was last on the disk.
    flushed: Mutex<Instant>,
}

impl Store {
    /// Opens or makes the store in a data directory.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another node has it open, or the file system's error.
    pub fn open(data_dir: &Path) -> Result<Self> {
        let path = data_dir.join("node.redb");
        let file_error = |source| StoreError::File { path: path.display().to_string(), source };
        make_private(data_dir)?;
        let database = match open_file(&path).map_err(file_error)? {
            Ok(database) => database,
            Err(redb::DatabaseError::DatabaseAlreadyOpen) => {
                return Err(StoreError::InUse(path.display().to_string()));
            }
            Err(e) => {
                return Err(StoreError::Open { path: path.display().to_string(), reason: e.to_string() });
            }
        };
        let write = db(database.begin_write())?;
        db(write.open_table(META))?;
        db(write.open_table(FACTS))?;
        db(write.open_table(OUTBOX))?;
        db(write.open_table(SECRETS))?;
        db(write.open_table(PINS))?;
        db(write.open_table(OPENED))?;
        db(write.commit())?;
        Ok(Self { database, flushed: Mutex::new(Instant::now()) })
    }

    /// How far the ledger was read.
    ///
    /// # Errors
    /// A failing database.
    pub fn position(&self) -> Result<Position> {
        let read = db(self.database.begin_read())?;
        let meta = db(read.open_table(META))?;
        match db(meta.get(CHECKPOINT))? {
            Some(bytes) => Ok(serde_json::from_slice(bytes.value())?),
            None => Ok(Position::default()),
        }
    }

    /// Whether the ledger whose first block has this hash is the one that was read so far; the first one that is asked
    /// about is.
    ///
    /// # Errors
    /// A failing database.
    pub fn is_known_ledger(&self, first_block: &[u8; 32]) -> Result<bool> {
        let write = db(self.database.begin_write())?;
        let known = {
            let mut meta = db(write.open_table(META))?;
            let known = db(meta.get(LEDGER))?.map(|hash| hash.value() == first_block);
            if known.is_none() {
                db(meta.insert(LEDGER, first_block.as_slice()))?;
            }
            known
        };
        db(write.commit())?;
        Ok(known.unwrap_or(true))
    }

    /// Keeps the facts of a block and the new position in one transaction. It need not be on the disk at once: what
    /// is lost in a crash is read from the ledger again.
    ///
    /// # Errors
    /// A failing database.
    pub fn append(&self, facts: &[Located], position: Position) -> Result<()> {
        let mut write = db(self.database.begin_write())?;
        let mut flushed = self.flushed.lock().unwrap_or_else(PoisonError::into_inner);
        match flushed.elapsed() < FLUSH {
            true => db(write.set_durability(Durability::None))?,
            false => *flushed = Instant::now(),
        }
        {
            let mut table = db(write.open_table(FACTS))?;
            for located in facts {
                let job = located.fact.job().0.as_str();
                let next = match db(table.range((job, 0)..=(job, u64::MAX)))?.next_back() {
                    Some(entry) => db(entry)?.0.value().1 + 1,
                    None => 0,
                };
                db(table.insert((job, next), serde_json::to_vec(located)?.as_slice()))?;
            }
            let mut meta = db(write.open_table(META))?;
            db(meta.insert(CHECKPOINT, serde_json::to_vec(&position)?.as_slice()))?;
        }
        db(write.commit())
    }

    /// All facts about a job in the order of the ledger.
    ///
    /// # Errors
    /// A failing database.
    pub fn facts(&self, job: &JobId) -> Result<Vec<Located>> {
        let read = db(self.database.begin_read())?;
        let table = db(read.open_table(FACTS))?;
        let job = job.0.as_str();
        db(table.range((job, 0)..=(job, u64::MAX)))?
            .map(|entry| Ok(serde_json::from_slice(db(entry)?.1.value())?))
            .collect()
    }

    /// The jobs of which there are facts.
    ///
    /// # Errors
    /// A failing database.
    pub fn jobs(&self) -> Result<Vec<JobId>> {
        let read = db(self.database.begin_read())?;
        let table = db(read.open_table(FACTS))?;
        let mut jobs = Vec::new();
        let mut from = (String::new(), 0);
        while let Some(entry) = db(table.range((from.0.as_str(), from.1)..))?.next() {
            let job = db(entry)?.0.value().0.to_string();
            from = (job.clone() + "\0", 0);
            jobs.push(JobId(job));
        }
        Ok(jobs)
    }

    /// What was made for a slot before.
    ///
    /// # Errors
    /// A failing database.
    pub fn outbox(&self, job: &JobId, slot: &Slot) -> Result<Option<Body>> {
        let read = db(self.database.begin_read())?;
        let table = db(read.open_table(OUTBOX))?;
        match db(table.get(key::record(job, slot).as_str()))? {
            Some(bytes) => Ok(Some(serde_json::from_slice(bytes.value())?)),
            None => Ok(None),
        }
    }

    /// Keeps what was made for a slot, so that a restart need not make it again. It need not be on the disk at once:
    /// what is lost in a crash is made again, and the same, for its randomness follows from the job's secret, the slot
    /// and the inputs, and private inputs that have changed are refused ([`Store::pin`]).
    ///
    /// # Errors
    /// A failing database.
    pub fn keep(&self, job: &JobId, slot: &Slot, body: &Body) -> Result<()> {
        let mut write = db(self.database.begin_write())?;
        db(write.set_durability(Durability::None))?;
        {
            let mut table = db(write.open_table(OUTBOX))?;
            db(table.insert(key::record(job, slot).as_str(), serde_json::to_vec(body)?.as_slice()))?;
        }
        db(write.commit())
    }

    /// Binds a job to a digest of the member's private inputs, on the disk before this returns; says whether it is the
    /// digest to which the job was bound first. With other inputs a record that was lost in a crash would be made anew
    /// and differently, and a secret of which something has left the node would be used twice.
    ///
    /// # Errors
    /// A failing database.
    pub fn pin(&self, job: &JobId, digest: &[u8; 32]) -> Result<bool> {
        let write = db(self.database.begin_write())?;
        let same = {
            let mut table = db(write.open_table(PINS))?;
            let known = db(table.get(job.0.as_str()))?.map(|bytes| bytes.value() == digest);
            match known {
                Some(same) => same,
                None => {
                    db(table.insert(job.0.as_str(), digest.as_slice()))?;
                    true
                }
            }
        };
        db(write.commit())?;
        Ok(same)
    }

    /// The secret of a job; drawn from the operating system's randomness when it is asked for first.
    ///
    /// # Errors
    /// A failing database, or [`StoreError::Opened`].
    ///
    /// # Panics
    /// When the operating system has no randomness.
    pub fn secret(&self, job: &JobId) -> Result<JobSecret> {
        let write = db(self.database.begin_write())?;
        if db(db(write.open_table(OPENED))?.get(job.0.as_str()))?.is_some() {
            return Err(StoreError::Opened(job.clone()));
        }
        let secret = {
            let mut table = db(write.open_table(SECRETS))?;
            let known =
                db(table.get(job.0.as_str()))?.and_then(|bytes| <[u8; 32]>::try_from(bytes.value()).ok());
            match known {
                Some(bytes) => JobSecret::new(bytes),
                None => {
                    let mut bytes = [0; 32];
                    getrandom::fill(&mut bytes).expect("the operating system provides randomness");
                    db(table.insert(job.0.as_str(), bytes.as_slice()))?;
                    JobSecret::new(bytes)
                }
            }
        };
        db(write.commit())?;
        Ok(secret)
    }

    /// The secret of a job, to be shown to others; `None` where there is none. From then on [`Store::secret`] refuses
    /// it, on the disk before this returns.
    ///
    /// # Errors
    /// A failing database.
    pub fn open_secret(&self, job: &JobId) -> Result<Option<JobSecret>> {
        let write = db(self.database.begin_write())?;
        let known = {
            let secrets = db(write.open_table(SECRETS))?;
            let known = db(secrets.get(job.0.as_str()))?;
            known.and_then(|bytes| <[u8; 32]>::try_from(bytes.value()).ok()).map(JobSecret::new)
        };
        if known.is_some() {
            db(db(write.open_table(OPENED))?.insert(job.0.as_str(), ()))?;
        }
        db(write.commit())?;
        Ok(known)
    }

    /// Forgets what was made for a job.
    ///
    /// # Errors
    /// A failing database.
    pub fn forget_records(&self, job: &JobId) -> Result<()> {
        let write = db(self.database.begin_write())?;
        forget_records(&write, job)?;
        db(write.commit())
    }

    /// Forgets the secret of a job and what was made from it. Old pages of the database may keep them until they are
    /// written over.
    ///
    /// # Errors
    /// A failing database.
    pub fn forget(&self, job: &JobId) -> Result<()> {
        let write = db(self.database.begin_write())?;
        db(db(write.open_table(SECRETS))?.remove(job.0.as_str()))?;
        forget_records(&write, job)?;
        db(write.commit())
    }
}

fn open_file(path: &Path) -> std::io::Result<std::result::Result<Database, redb::DatabaseError>> {
    let file = files::open(path)?;
    Ok(FileBackend::new(file).and_then(|backend| Builder::new().create_with_backend(backend)))
}

fn forget_records(write: &WriteTransaction, job: &JobId) -> Result<()> {
    let mut outbox = db(write.open_table(OUTBOX))?;
    let of_job = |key: &str| key.split('\0').nth(2) == Some(job.0.as_str());
    db(outbox.retain(|key, _| !of_job(key)))
}

/// Makes a data directory that only its owner may read.
pub(crate) fn make_private(dir: &Path) -> Result<()> {
    files::make_private(dir).map_err(|source| StoreError::File { path: dir.display().to_string(), source })
}

fn acceptance_path(data_dir: &Path, job: &JobId) -> PathBuf {
    data_dir.join("accepted").join(&job.0)
}

/// Notes that the node with this data directory takes part in a job; written before the ledger is told. A file of its
/// own, so that a job can be accepted while the node has the database open. An acceptance on the ledger alone is not
/// enough: another node of the organisation, with other data, may have given it.
///
/// # Errors
/// The file system's error.
pub fn note_acceptance(data_dir: &Path, job: &JobId) -> Result<()> {
    let path = acceptance_path(data_dir, job);
    make_private(data_dir)?;
    files::write(&path, b"", Access::Owner)
        .map_err(|source| StoreError::File { path: path.display().to_string(), source })
}

/// Whether the node with this data directory takes part in a job.
pub fn is_accepted(data_dir: &Path, job: &JobId) -> bool {
    acceptance_path(data_dir, job).exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Creator, Fact};
    use records::{Bytes, Ending, Outcome, Phase, SeedOpen};
    use std::{fs, os::unix::fs::PermissionsExt};

    fn job(name: &str) -> JobId {
        JobId(name.repeat(64))
    }

    fn located(name: &str, block: u64) -> Located {
        let ending = Ending { version: 1, job: job(name), by: "Org1MSP".into(), outcome: Outcome::Finished };
        let creator = Creator { msp_id: "Org1MSP".into(), key_hash: "00".into() };
        Located { block, tx_id: format!("tx{block}"), creator, bytes: 1, fact: Fact::Ended(ending) }
    }

    #[test]
    fn facts_keep_their_order_by_job_and_survive_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let slot = Slot { phase: Phase::SeedOpen, round: 0, party: 0, chunk: 0 };
        let body = Body::SeedOpen(SeedOpen { seed: Bytes(vec![3; 32]) });
        let secret = {
            let store = Store::open(dir.path()).unwrap();
            assert!(matches!(Store::open(dir.path()), Err(StoreError::InUse(_))));
            store.append(&[located("a", 1), located("b", 1)], Position { next_block: 2 }).unwrap();
            store.append(&[located("a", 2)], Position { next_block: 3 }).unwrap();
            store.keep(&job("a"), &slot, &body).unwrap();
            assert!(store.is_known_ledger(&[1; 32]).unwrap());
            assert!(store.pin(&job("a"), &[1; 32]).unwrap());
            *store.secret(&job("a")).unwrap().expose()
        };
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.position().unwrap(), Position { next_block: 3 });
        assert_eq!(store.jobs().unwrap(), [job("a"), job("b")]);
        assert!(store.is_known_ledger(&[1; 32]).unwrap());
        assert!(!store.is_known_ledger(&[2; 32]).unwrap());
        assert_eq!(store.facts(&job("a")).unwrap(), [located("a", 1), located("a", 2)]);
        assert_eq!(store.outbox(&job("a"), &slot).unwrap(), Some(body));
        assert_eq!(store.outbox(&job("b"), &slot).unwrap(), None);
        assert_eq!(*store.secret(&job("a")).unwrap().expose(), secret);
        assert!(store.pin(&job("a"), &[1; 32]).unwrap() && store.pin(&job("b"), &[2; 32]).unwrap());
        assert!(!store.pin(&job("a"), &[2; 32]).unwrap(), "other data for a job that has begun");
        store.forget_records(&job("a")).unwrap();
        assert_eq!(store.outbox(&job("a"), &slot).unwrap(), None);
        assert_eq!(*store.secret(&job("a")).unwrap().expose(), secret);
        store.forget(&job("a")).unwrap();
        assert_ne!(*store.secret(&job("a")).unwrap().expose(), secret);
        assert!(store.open_secret(&job("c")).unwrap().is_none());
        let secret = *store.secret(&job("c")).unwrap().expose();
        for _ in 0..2 {
            assert_eq!(*store.open_secret(&job("c")).unwrap().unwrap().expose(), secret);
            assert!(matches!(store.secret(&job("c")), Err(StoreError::Opened(_))));
        }
        let mode = fs::metadata(dir.path().join("node.redb")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
