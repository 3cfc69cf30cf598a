//! Zero-encryptions made ahead of time, kept in a file and used once (`docs/protocols.md` 1, "Once").
//!
//! Encrypting under a public key is one multiplication once a zero-encryption has been made, and a [`ZeroPool`] has them at
//! hand: a thread fills it in the background, in this run of the program or an earlier one, and
//! [`take`](ZeroPool::take) removes them durably before it returns them.
//!
//! It is for those who encrypt one value now and then under one key, such as clients of an index: eight zeros computed at
//! once take no longer than one. Training does not use it: there a restarted node has to make equal records again, so that
//! all randomness is derived from the job's secret, the slot and the inputs; and its batches fill all lanes anyway, while
//! every take waits for the disk.
//!
//! # Security
//!
//! A zero-encryption is as secret as what it will blind: anyone who has z reads m from (1 + N)^m·z. Only the results are in
//! the file, not the exponents they were made with; the file can be read by its owner alone, and a zero's bytes are
//! overwritten when it is taken. (What a disk keeps of overwritten blocks is beyond this.)
//!
//! A zero is never returned twice, also after a crash, if the file is not put back to an earlier state: a pool must
//! not be copied, nor restored from a backup or a snapshot. Deleting it is always safe. The records are protected against
//! accidents, not against somebody who can write the file.
//!
//! # The file
//!
//! A header that names key and length of randomness, then `capacity` slots of a ciphertext and the hash of it, the header
//! and the slot's number. A slot whose hash is wrong is empty, so that a torn write loses a zero, and a record in another
//! place is none. There is no position to keep: taking a zero empties its slot, and waits until the disk has that.

use crate::ciphertext::{self, Ciphertext};
use crate::encrypt::Encryptor;
use crate::hash::Transcript;
use num_bigint::BigUint;
use rand_core::CryptoRng;
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use zeroize::Zeroizing;

const FILE: &str = "zeros";
const MAGIC: &[u8; 16] = b"confab zeros 01\n";
const HASH: usize = 32;
const HEADER: usize = MAGIC.len() + HASH;
/// How many are computed at a time in the background: as many as `modexp` computes side by side, so that one core is
/// busy and not all.
const BATCH: usize = 8;

/// Why a pool cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// The file cannot be made, read or written.
    #[error("the pool of zero-encryptions: {0}")]
    Io(#[from] io::Error),
    /// Another process has it open, or this one.
    #[error("the pool of zero-encryptions is in use")]
    InUse,
    /// The file is something else.
    #[error("the file is no pool of zero-encryptions")]
    Foreign,
    /// It was made for another key, or with randomness of another length.
    #[error("the pool of zero-encryptions is for another key or another length of randomness")]
    OtherKey,
}

/// Fresh zero-encryptions, to be used once each.
#[derive(Debug)]
pub struct Taken {
    /// As many as were asked for.
    pub zeros: Vec<Ciphertext>,
    /// How many of them came from the pool; the others were computed at once.
    pub pooled: usize,
}

/// Zero-encryptions under one key, kept ready in a file. Dropping it ends its thread; the zeros stay for the next time.
pub struct ZeroPool {
    shared: Arc<Shared>,
    filler: Option<JoinHandle<()>>,
}

struct Shared {
    encryptor: Encryptor,
    /// Locked as long as it is open.
    file: File,
    header: [u8; HEADER],
    slots: Mutex<Slots>,
    changed: Condvar,
}

/// Slots that are being written or emptied are in neither list.
struct Slots {
    full: Vec<u32>,
    empty: Vec<u32>,
    stopping: bool,
    failure: Option<io::Error>,
}

impl ZeroPool {
    /// Opens the pool in `directory`, making both if need be, and begins to fill it up to `capacity` zeros of the
    /// encryptor's key and length of randomness; those stored beyond `capacity` are dropped. `rng` must be seeded from the
    /// operating system: one that repeats itself repeats the zeros.
    ///
    /// # Errors
    /// See [`PoolError`]. Damaged records are no error; they count as used.
    pub fn open(
        directory: &Path,
        encryptor: &Encryptor,
        capacity: u32,
        mut rng: impl CryptoRng + Send + 'static,
    ) -> Result<Self, PoolError> {
        fs::create_dir_all(directory)?;
        let path = directory.join(FILE);
        let file = files::open(&path)?;
        file.try_lock().map_err(|e| match e {
            TryLockError::WouldBlock => PoolError::InUse,
            TryLockError::Error(e) => e.into(),
        })?;
        let header = header(encryptor);
        if file.metadata()?.len() < HEADER as u64 {
            file.write_all_at(&header, 0)?;
            file.sync_all()?;
        }
        let mut found = [0; HEADER];
        file.read_exact_at(&mut found, 0)?;
        if !found.starts_with(MAGIC) {
            return Err(PoolError::Foreign);
        }
        if found != header {
            return Err(PoolError::OtherKey);
        }
        let slots = Slots { full: Vec::new(), empty: Vec::new(), stopping: false, failure: None };
        let mut shared = Shared {
            encryptor: encryptor.clone(),
            file,
            header,
            slots: Mutex::new(slots),
            changed: Condvar::new(),
        };
        shared.file.set_len(shared.offset(capacity))?;
        for slot in 0..capacity {
            let is_full = shared.read(slot)?.is_some();
            let slots = shared.slots.get_mut().unwrap_or_else(PoisonError::into_inner);
            if is_full { &mut slots.full } else { &mut slots.empty }.push(slot);
        }
        let shared = Arc::new(shared);
        let filler = thread::Builder::new().name("zero pool".into()).spawn({
            let shared = shared.clone();
            move || {
                if let Err(error) = shared.fill(&mut rng) {
                    shared.lock().failure = Some(error);
                }
            }
        })?;
        Ok(Self { shared, filler: Some(filler) })
    }

    /// Removes `count` zeros durably and returns them. If the pool has fewer it computes the others now, with `rng`; it
    /// never waits for the background.
    ///
    /// # Errors
    /// The file cannot be read or written. Nothing is returned then, and what was to be taken is not used in this run.
    pub fn take(&self, count: usize, rng: &mut impl CryptoRng) -> io::Result<Taken> {
        let shared = &*self.shared;
        let slots = last(&mut shared.lock().full, count);
        let mut values = Vec::with_capacity(slots.len());
        for &slot in &slots {
            values.extend(shared.read(slot)?);
        }
        for &slot in &slots {
            shared.file.write_all_at(&vec![0; shared.slot_bytes()], shared.offset(slot))?;
        }
        if !slots.is_empty() {
            shared.file.sync_data()?;
            shared.lock().empty.extend(slots);
            shared.changed.notify_all();
        }
        let ring = shared.encryptor.key().ring();
        let residues = ring.residues(&values).expect("checked to be below N²");
        let mut zeros: Vec<Ciphertext> = residues.into_iter().map(Ciphertext).collect();
        let pooled = zeros.len();
        if pooled < count {
            zeros.extend(shared.encryptor.zeros(count - pooled, rng));
        }
        Ok(Taken { zeros, pooled })
    }

    /// How many zeros are ready.
    pub fn len(&self) -> usize {
        self.shared.lock().full.len()
    }

    /// Whether none is ready.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What has ended the filling, such as a full disk. [`take`](Self::take) goes on without it.
    pub fn failure(&self) -> Option<String> {
        self.shared.lock().failure.as_ref().map(io::Error::to_string)
    }
}

impl Drop for ZeroPool {
    fn drop(&mut self) {
        self.shared.lock().stopping = true;
        self.shared.changed.notify_all();
        if let Some(filler) = self.filler.take() {
            // It panics only with its generator of random numbers, and has nothing to tell then.
            let _ = filler.join();
        }
    }
}

impl fmt::Debug for ZeroPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ZeroPool({:?}, {} ready)", self.shared.encryptor, self.len())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills empty slots until it is told to stop. What it writes may be lost in a crash.
    fn fill(&self, rng: &mut impl CryptoRng) -> io::Result<()> {
        let key = self.encryptor.key();
        loop {
            let idle = |slots: &mut Slots| !slots.stopping && slots.empty.is_empty();
            let mut slots =
                self.changed.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
            if slots.stopping {
                return Ok(());
            }
            let batch = last(&mut slots.empty, BATCH);
            drop(slots);
            let zeros = Ciphertext::to_bytes_batch(key, &self.encryptor.zeros(batch.len(), rng));
            for (&slot, zero) in batch.iter().zip(zeros) {
                let mut record = Zeroizing::new(zero);
                let hash = self.hash(slot, &record);
                record.extend_from_slice(&hash);
                self.file.write_all_at(&record, self.offset(slot))?;
            }
            self.lock().full.extend(batch);
        }
    }

    /// The ciphertext in a slot, if the slot holds one.
    fn read(&self, slot: u32) -> io::Result<Option<BigUint>> {
        let mut record = Zeroizing::new(vec![0; self.slot_bytes()]);
        match self.file.read_exact_at(&mut record, self.offset(slot)) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            done => done?,
        }
        let key = self.encryptor.key();
        let (zero, hash) = record.split_at(key.ciphertext_bytes());
        if hash != self.hash(slot, zero) {
            return Ok(None);
        }
        Ok(ciphertext::canonical(key, &[zero]).ok().and_then(|mut values| values.pop()))
    }

    fn hash(&self, slot: u32, zero: &[u8]) -> [u8; HASH] {
        Transcript::new("confab zero").bytes(&self.header).int(slot.into()).bytes(zero).finish()
    }

    fn slot_bytes(&self) -> usize {
        self.encryptor.key().ciphertext_bytes() + HASH
    }

    fn offset(&self, slot: u32) -> u64 {
        HEADER as u64 + u64::from(slot) * self.slot_bytes() as u64
    }
}

fn header(encryptor: &Encryptor) -> [u8; HEADER] {
    let hash = Transcript::new("confab zero pool")
        .number(encryptor.key().n())
        .int(encryptor.randomness_bits() as u64)
        .finish();
    let mut header = [0; HEADER];
    header[..MAGIC.len()].copy_from_slice(MAGIC);
    header[MAGIC.len()..].copy_from_slice(&hash);
    header
}

/// Removes up to `count` from the end.
fn last(slots: &mut Vec<u32>, count: usize) -> Vec<u32> {
    slots.split_off(slots.len().saturating_sub(count))
}
