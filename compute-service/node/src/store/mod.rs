//! What a node keeps: what it has read of the ledger and how far, what it is about to post, and its job secrets.
//!
//! A restart needs nothing else: the facts are folded again, and what was made before is posted again as it was. Of a job
//! that is over only its ending stays; its report is a file of its own.

mod accepted;
mod compact;
mod damage;

pub use accepted::Standing;

use crate::{
    directory::make_private,
    facts::{LedgerEvent, Positioned},
};
use protocol::JobSecret;
use records::{Body, JobId, Slot, Termination, key};
use redb::{
    AccessGuard, Database, Durability, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition,
    WriteTransaction,
};
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError, RwLock, RwLockReadGuard},
    time::{Duration, Instant},
};
use zeroize::Zeroizing;

const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const FACTS: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("facts");
const OUTBOX: TableDefinition<&str, &[u8]> = TableDefinition::new("outbox");
const SECRETS: TableDefinition<&str, &[u8]> = TableDefinition::new("secrets");
const PINS: TableDefinition<&str, &[u8]> = TableDefinition::new("pins");
/// Jobs whose secret was opened.
const OPENED: TableDefinition<&str, ()> = TableDefinition::new("opened");
/// How jobs ended of which nothing else is kept here.
const ENDED: TableDefinition<&str, &[u8]> = TableDefinition::new("ended");
/// With what jobs were accepted.
const ACCEPTED: TableDefinition<&str, &[u8]> = TableDefinition::new("accepted");
/// The database's file in a data directory.
const FILE: &str = "node.redb";
const CHECKPOINT: &str = "checkpoint";
const LEDGER: &str = "ledger";

/// Pages of the file that are kept in memory. Facts are read when a node starts, and records when they are posted again.
const CACHE_BYTES: usize = 16 << 20;

/// The next block to read; all before it are folded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Number of the next block.
    pub next_block: u64,
}

/// What is left of a job that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// What kind of job it was.
    pub kind: String,
    /// How it ended.
    pub ending: Termination,
}

/// What is kept of a job that is over, beside its ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Nothing.
    Nothing,
    /// The secret of a key generation that came to nothing, to be opened should somebody ask who spoilt it.
    Secret,
}

/// Why the store fails.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("{0} is in use by another node; two nodes of one member must not run at the same time")]
    InUse(String),
    /// It is no database of a node, or damaged.
    #[error(
        "{path} is damaged or no database of a node: {reason}. Move it away (its reports, key shares and tables are in \
         files of their own) and start the node again: it reads the ledger anew, and names the jobs that it cannot go on \
         with"
    )]
    Damaged {
        /// The file.
        path: String,
        /// What the database said.
        reason: String,
    },
    /// An entry that is about no job.
    #[error("the node's database has an entry under {0:?}, which names no job")]
    NoJob(String),
    /// A job that has begun is accepted again with other data.
    #[error(
        "job {0} was accepted with another table, and has begun with it; put that table back, or end the job for all with \
         confab job abort"
    )]
    Changed(JobId),
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
    /// The directory is another organisation's.
    #[error(
        "{data_dir} holds the state of {owner}, and this node is of {msp_id}: every organisation has a directory of its own; \
         name another data_dir, or the identity of {owner}"
    )]
    OtherOrganisation {
        /// The data directory.
        data_dir: String,
        /// MSP identifier of the organisation that it belongs to.
        owner: String,
        /// That of this node.
        msp_id: String,
    },
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
    /// None only when it is closed. It is changed where the file is written anew.
    database: RwLock<Option<Database>>,
    path: PathBuf,
    /// When everything was last on the disk.
    flushed: Mutex<Instant>,
}

impl Store {
    /// Opens or makes the store in a data directory. What is in it is checked; a file that is mostly empty is written anew.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another node has it open, [`StoreError::Damaged`], or the file system's error.
    pub fn open(data_dir: &Path) -> Result<Self> {
        make_private(data_dir)?;
        let path = data_dir.join(FILE);
        let database = damage::open(&path)?;
        let database = RwLock::new(Some(database));
        let store = Self { database, path, flushed: Mutex::new(Instant::now()) };
        store.write(Durability::Immediate, |write| {
            db(write.open_table(META))?;
            db(write.open_table(FACTS))?;
            db(write.open_table(OUTBOX))?;
            db(write.open_table(SECRETS))?;
            db(write.open_table(PINS))?;
            db(write.open_table(OPENED))?;
            db(write.open_table(ENDED))?;
            db(write.open_table(ACCEPTED))?;
            Ok(())
        })?;
        store.import_accepted(data_dir)?;
        Ok(store)
    }

    /// Whether a data directory has a store.
    pub fn is_in(data_dir: &Path) -> bool {
        data_dir.join(FILE).exists()
    }

    /// Closes the database, so that another process can open it; whatever is asked of this store afterwards fails.
    pub(crate) fn close(&self) {
        let database = self.database.write().unwrap_or_else(PoisonError::into_inner).take();
        // One that is damaged may panic when it is closed, too.
        let _ = damage::caught(&self.path, || {
            drop(database);
            Ok(())
        });
    }

    fn guard(&self) -> RwLockReadGuard<'_, Option<Database>> {
        self.database.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, work: impl FnOnce(&ReadTransaction) -> Result<T>) -> Result<T> {
        let guard = self.guard();
        damage::caught(&self.path, || work(&db(opened(&guard)?.begin_read())?))
    }

    fn write<T>(
        &self,
        durability: Durability,
        work: impl FnOnce(&WriteTransaction) -> Result<T>,
    ) -> Result<T> {
        let guard = self.guard();
        damage::caught(&self.path, || {
            let mut write = db(opened(&guard)?.begin_write())?;
            db(write.set_durability(durability))?;
            let result = work(&write)?;
            db(write.commit())?;
            Ok(result)
        })
    }

    /// How far the ledger was read.
    ///
    /// # Errors
    /// A failing database.
    pub fn position(&self) -> Result<Position> {
        self.read(|read| match db(db(read.open_table(META))?.get(CHECKPOINT))? {
            Some(bytes) => Ok(serde_json::from_slice(bytes.value())?),
            None => Ok(Position::default()),
        })
    }

    /// Whether the ledger whose first block has this hash is the one that was read so far; the first one that is asked
    /// about is.
    ///
    /// # Errors
    /// A failing database.
    pub fn is_known_ledger(&self, first_block: &[u8; 32]) -> Result<bool> {
        self.write(Durability::Immediate, |write| {
            let mut meta = db(write.open_table(META))?;
            let known = db(meta.get(LEDGER))?.map(|hash| hash.value() == first_block);
            if known.is_none() {
                db(meta.insert(LEDGER, first_block.as_slice()))?;
            }
            Ok(known.unwrap_or(true))
        })
    }

    /// Keeps what a block brings and the new position in one transaction. It need not be on the disk at once: what is lost in
    /// a crash is read from the ledger again.
    ///
    /// # Errors
    /// A failing database, or the error of `work`; then nothing is kept.
    pub(crate) fn commit_block(
        &self,
        position: Position,
        work: impl FnOnce(&WriteTransaction) -> Result<()>,
    ) -> Result<()> {
        let mut flushed = self.flushed.lock().unwrap_or_else(PoisonError::into_inner);
        let due = flushed.elapsed() >= FLUSH;
        let durability = if due { Durability::Immediate } else { Durability::None };
        self.write(durability, |write| {
            work(write)?;
            let mut meta = db(write.open_table(META))?;
            db(meta.insert(CHECKPOINT, serde_json::to_vec(&position)?.as_slice()))?;
            Ok(())
        })?;
        if due {
            *flushed = Instant::now();
        }
        Ok(())
    }

    /// Keeps facts about jobs and the new position.
    ///
    /// # Errors
    /// A failing database.
    pub fn append(&self, facts: &[Positioned], position: Position) -> Result<()> {
        self.commit_block(position, |write| Self::add_facts(write, facts))
    }

    /// Adds facts about jobs to a transaction.
    pub(crate) fn add_facts(write: &WriteTransaction, facts: &[Positioned]) -> Result<()> {
        let mut table = db(write.open_table(FACTS))?;
        for located in facts {
            let job = located.fact.job().to_string();
            let job = job.as_str();
            let next = match db(table.range((job, 0)..=(job, u64::MAX)))?.next_back() {
                Some(entry) => db(entry)?.0.value().1 + 1,
                None => 0,
            };
            db(table.insert((job, next), serde_json::to_vec(located)?.as_slice()))?;
        }
        Ok(())
    }

    /// All facts about a job in the order of the ledger.
    ///
    /// # Errors
    /// A failing database.
    pub fn facts(&self, job: &JobId) -> Result<Vec<Positioned>> {
        self.read(|read| {
            let table = db(read.open_table(FACTS))?;
            let job = job.to_string();
            db(table.range((job.as_str(), 0)..=(job.as_str(), u64::MAX)))?
                .map(|entry| Ok(serde_json::from_slice(db(entry)?.1.value())?))
                .collect()
        })
    }

    /// The jobs of which there are facts.
    ///
    /// # Errors
    /// A failing database.
    pub fn jobs(&self) -> Result<Vec<JobId>> {
        self.read(|read| {
            let table = db(read.open_table(FACTS))?;
            let mut jobs = Vec::new();
            let mut from = (String::new(), 0);
            while let Some(entry) = db(table.range((from.0.as_str(), from.1)..))?.next() {
                let job = db(entry)?.0.value().0.to_string();
                jobs.push(job.parse().map_err(|_| StoreError::NoJob(job.clone()))?);
                from = (job + "\0", 0);
            }
            Ok(jobs)
        })
    }

    /// What was made for a slot before.
    ///
    /// # Errors
    /// A failing database.
    pub fn outbox(&self, job: &JobId, slot: &Slot) -> Result<Option<Body>> {
        self.read(|read| match db(db(read.open_table(OUTBOX))?.get(key::record(job, slot).as_str()))? {
            Some(bytes) => Ok(Some(serde_json::from_slice(bytes.value())?)),
            None => Ok(None),
        })
    }

    /// Keeps what was made for a slot, so that a restart need not make it again. It need not be on the disk at once:
    /// what is lost in a crash is made again, and the same, for its randomness follows from the job's secret, the slot
    /// and the inputs, and private inputs that have changed are refused ([`Store::bind_inputs`]).
    ///
    /// # Errors
    /// A failing database.
    pub fn keep(&self, job: &JobId, slot: &Slot, body: &Body) -> Result<()> {
        self.write(Durability::None, |write| {
            let mut table = db(write.open_table(OUTBOX))?;
            db(table.insert(key::record(job, slot).as_str(), serde_json::to_vec(body)?.as_slice()))?;
            Ok(())
        })
    }

    /// Binds a job to a digest of the member's private inputs, on the disk before this returns; says whether it is the
    /// digest to which the job was bound first. With other inputs a record that was lost in a crash would be made anew
    /// and differently, and a secret of which something has left the node would be used twice.
    ///
    /// # Errors
    /// A failing database.
    pub fn bind_inputs(&self, job: &JobId, digest: &[u8; 32]) -> Result<bool> {
        self.write(Durability::Immediate, |write| {
            let mut table = db(write.open_table(PINS))?;
            let known = db(table.get(job.to_string().as_str()))?.map(|bytes| bytes.value() == digest);
            if known.is_none() {
                db(table.insert(job.to_string().as_str(), digest.as_slice()))?;
            }
            Ok(known.unwrap_or(true))
        })
    }

    /// The secret of a job; drawn from the operating system's randomness when it is asked for first.
    ///
    /// # Errors
    /// A failing database, or [`StoreError::Opened`].
    ///
    /// # Panics
    /// When the operating system has no randomness.
    pub fn secret(&self, job: &JobId) -> Result<JobSecret> {
        self.write(Durability::Immediate, |write| {
            if db(db(write.open_table(OPENED))?.get(job.to_string().as_str()))?.is_some() {
                return Err(StoreError::Opened(job.clone()));
            }
            let mut table = db(write.open_table(SECRETS))?;
            let known = secret_in(db(table.get(job.to_string().as_str()))?);
            match known {
                Some(secret) => Ok(secret),
                None => {
                    let mut bytes = Zeroizing::new([0; 32]);
                    getrandom::fill(&mut *bytes).expect("the operating system provides randomness");
                    db(table.insert(job.to_string().as_str(), bytes.as_slice()))?;
                    Ok(JobSecret::new(*bytes))
                }
            }
        })
    }

    /// Whether there is a secret of a job.
    ///
    /// # Errors
    /// A failing database.
    pub fn has_secret(&self, job: &JobId) -> Result<bool> {
        self.read(|read| Ok(db(db(read.open_table(SECRETS))?.get(job.to_string().as_str()))?.is_some()))
    }

    /// The secret of a job, to be shown to others; `None` where there is none. From then on [`Store::secret`] refuses
    /// it, on the disk before this returns.
    ///
    /// # Errors
    /// A failing database.
    pub fn open_secret(&self, job: &JobId) -> Result<Option<JobSecret>> {
        self.write(Durability::Immediate, |write| {
            let known = secret_in(db(db(write.open_table(SECRETS))?.get(job.to_string().as_str()))?);
            if known.is_some() {
                db(db(write.open_table(OPENED))?.insert(job.to_string().as_str(), ()))?;
            }
            Ok(known)
        })
    }

    /// Forgets a job that is over: all that was read and made for it, and its secret unless that is kept. On the disk
    /// before this returns, and with it how far the ledger was read: the job is never taken up again. Old pages of the
    /// file may hold what was forgotten until they are written over, or the file is compacted.
    ///
    /// # Errors
    /// A failing database.
    pub fn forget(&self, job: &JobId, ended: &Ended, kept: Kept) -> Result<()> {
        self.write(Durability::Immediate, |write| {
            let id = job.to_string();
            let id = id.as_str();
            let mut facts = db(write.open_table(FACTS))?;
            let of_job = (id, 0)..=(id, u64::MAX);
            match kept {
                Kept::Nothing => {
                    db(db(write.open_table(SECRETS))?.remove(id))?;
                    db(db(write.open_table(ENDED))?.insert(id, serde_json::to_vec(ended)?.as_slice()))?;
                    db(facts.retain_in(of_job, |_, _| false))?;
                }
                // Whoever opens it must know what it was.
                Kept::Secret => {
                    let is_posted = |bytes: &[u8]| {
                        let located = serde_json::from_slice(bytes);
                        matches!(located, Ok(Positioned { fact: LedgerEvent::Posted(_), .. }))
                    };
                    db(facts.retain_in(of_job, |_, bytes| !is_posted(bytes)))?;
                }
            }
            db(db(write.open_table(PINS))?.remove(id))?;
            db(db(write.open_table(ACCEPTED))?.remove(id))?;
            let mut outbox = db(write.open_table(OUTBOX))?;
            db(outbox.retain(|key, _| key.split('\0').nth(2) != Some(id)))
        })
    }

    /// How a job ended that was forgotten.
    ///
    /// # Errors
    /// A failing database.
    pub fn ended(&self, job: &JobId) -> Result<Option<Ended>> {
        self.read(|read| match db(db(read.open_table(ENDED))?.get(job.to_string().as_str()))? {
            Some(bytes) => Ok(Some(serde_json::from_slice(bytes.value())?)),
            None => Ok(None),
        })
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

fn opened(database: &Option<Database>) -> Result<&Database> {
    database.as_ref().ok_or(StoreError::Database(redb::Error::DatabaseClosed))
}

fn secret_in(found: Option<AccessGuard<&[u8]>>) -> Option<JobSecret> {
    found.and_then(|bytes| <[u8; 32]>::try_from(bytes.value()).ok()).map(JobSecret::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Creator, LedgerEvent};
    use records::{Bytes, Outcome, Phase, SeedOpen};
    use std::{fs, os::unix::fs::PermissionsExt};

    fn job(name: &str) -> JobId {
        name.repeat(64).parse().unwrap()
    }

    fn located(name: &str, block: u64) -> Positioned {
        let ending = Termination {
            version: 1,
            job: job(name),
            by: "Org1MSP".parse().unwrap(),
            outcome: Outcome::Finished,
        };
        let creator = Creator { msp_id: "Org1MSP".parse().unwrap(), key_hash: [0; 32].into() };
        Positioned { block, tx_id: format!("tx{block}"), creator, bytes: 1, fact: LedgerEvent::Ended(ending) }
    }

    fn body_of(byte: u8) -> Body {
        Body::SeedOpen(SeedOpen { seed: Bytes(vec![byte; 32]) })
    }

    /// After a compaction the file no longer has what was forgotten, and all else.
    #[test]
    fn a_compacted_file_is_small_and_without_what_was_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let kept = *store.secret(&job("b")).unwrap().expose();
        let secret = *store.secret(&job("a")).unwrap().expose();
        for chunk in 0..2000 {
            let slot = Slot { phase: Phase::SeedOpen, round: 0, party: 0, chunk };
            store.keep(&job("a"), &slot, &Body::SeedOpen(SeedOpen { seed: Bytes(vec![1; 4000]) })).unwrap();
        }
        let LedgerEvent::Ended(ending) = located("a", 1).fact else { unreachable!() };
        store.forget(&job("a"), &Ended { kind: "x".into(), ending }, Kept::Nothing).unwrap();
        let before = store.usage().unwrap().0;
        assert!(store.compact_if_worthwhile().unwrap());
        assert!(!store.compact_if_worthwhile().unwrap());
        assert!(store.usage().unwrap().0 < before / 3, "{} of {before}", store.usage().unwrap().0);
        assert!(matches!(Store::open(dir.path()), Err(StoreError::InUse(_))), "the new file is locked");
        drop(store);
        let bytes = fs::read(dir.path().join("node.redb")).unwrap();
        assert!(!bytes.windows(32).any(|window| window == secret));
        assert!(bytes.windows(32).any(|window| window == kept));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(*store.secret(&job("b")).unwrap().expose(), kept);
        assert!(store.ended(&job("a")).unwrap().is_some());
    }

    #[test]
    fn facts_keep_their_order_by_job_and_survive_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let slot = Slot { phase: Phase::SeedOpen, round: 0, party: 0, chunk: 0 };
        let body = body_of(3);
        let secret = {
            let store = Store::open(dir.path()).unwrap();
            assert!(matches!(Store::open(dir.path()), Err(StoreError::InUse(_))));
            store.append(&[located("a", 1), located("b", 1)], Position { next_block: 2 }).unwrap();
            store.append(&[located("a", 2)], Position { next_block: 3 }).unwrap();
            store.keep(&job("a"), &slot, &body).unwrap();
            assert!(store.is_known_ledger(&[1; 32]).unwrap());
            assert!(store.bind_inputs(&job("a"), &[1; 32]).unwrap());
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
        assert!(
            store.bind_inputs(&job("a"), &[1; 32]).unwrap()
                && store.bind_inputs(&job("b"), &[2; 32]).unwrap()
        );
        assert!(!store.bind_inputs(&job("a"), &[2; 32]).unwrap(), "other data for a job that has begun");
        assert!(store.open_secret(&job("c")).unwrap().is_none());
        let secret = *store.secret(&job("c")).unwrap().expose();
        for _ in 0..2 {
            assert_eq!(*store.open_secret(&job("c")).unwrap().unwrap().expose(), secret);
            assert!(matches!(store.secret(&job("c")), Err(StoreError::Opened(_))));
        }
        let other = *store.secret(&job("b")).unwrap().expose();
        store.keep(&job("b"), &slot, &body_of(4)).unwrap();
        let LedgerEvent::Ended(ending) = located("a", 1).fact else { unreachable!() };
        let ended = Ended { kind: "vertical-svm".into(), ending };
        for _ in 0..2 {
            store.forget(&job("a"), &ended, Kept::Nothing).unwrap();
            assert_eq!(store.ended(&job("a")).unwrap().as_ref(), Some(&ended));
            assert_eq!(
                (store.facts(&job("a")).unwrap(), store.outbox(&job("a"), &slot).unwrap()),
                (vec![], None)
            );
            assert!(!store.has_secret(&job("a")).unwrap());
            assert!(store.bind_inputs(&job("a"), &[3; 32]).unwrap());
        }
        // Another job keeps what is its own.
        assert_eq!(store.jobs().unwrap(), [job("b")]);
        assert_eq!(store.outbox(&job("b"), &slot).unwrap(), Some(body_of(4)));
        store.forget(&job("b"), &ended, Kept::Secret).unwrap();
        assert_eq!(store.outbox(&job("b"), &slot).unwrap(), None);
        assert_eq!(store.facts(&job("b")).unwrap(), [located("b", 1)], "what it was is known");
        assert_eq!(*store.secret(&job("b")).unwrap().expose(), other);
        let mode = fs::metadata(dir.path().join("node.redb")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
