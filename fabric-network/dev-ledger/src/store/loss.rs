//! What survives when the power fails, or the disk is full.

use super::*;
use fabric_protos::common::{BlockData, BlockHeader};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use redb::StorageBackend;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

/// Storage that loses what was not synced when the power fails, in parts and in any order.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<Content>>);

#[derive(Debug, Default)]
struct Content {
    /// What a reader sees.
    now: Vec<u8>,
    /// What is on the disk after a loss of power.
    synced: Vec<u8>,
    /// What has been done since.
    pending: Vec<Step>,
    /// How many writes succeed until the disk is full; any number unless given.
    room: Option<usize>,
}

#[derive(Debug)]
enum Step {
    Length(usize),
    Write(usize, Vec<u8>),
}

/// A write reaches the disk in pieces of this length.
const SECTOR: usize = 512;

impl Disk {
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap()
    }

    /// Leaves what was synced, and of the rest whatever chance has written.
    fn lose_power(&self, rng: &mut ChaCha8Rng) {
        let mut content = self.lock();
        let mut left = std::mem::take(&mut content.synced);
        let pending = std::mem::take(&mut content.pending);
        for step in pending {
            match step {
                Step::Length(length) if rng.next_u32().is_multiple_of(2) => left.resize(length, 0),
                Step::Length(_) => {}
                Step::Write(at, data) => {
                    for (i, sector) in data.chunks(SECTOR).enumerate() {
                        let at = at + i * SECTOR;
                        if rng.next_u32().is_multiple_of(2) && at + sector.len() <= left.len() {
                            left[at..at + sector.len()].copy_from_slice(sector);
                        }
                    }
                }
            }
        }
        content.now.clone_from(&left);
        content.synced = left;
    }
}

impl Content {
    fn take_room(&mut self) -> io::Result<()> {
        match &mut self.room {
            Some(0) => Err(io::ErrorKind::StorageFull.into()),
            Some(room) => {
                *room -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let (content, at) = (self.lock(), offset as usize);
        let found = content.now.get(at..at + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut content = self.lock();
        content.take_room()?;
        content.now.resize(len as usize, 0);
        content.pending.push(Step::Length(len as usize));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut content = self.lock();
        content.take_room()?;
        for step in std::mem::take(&mut content.pending) {
            match step {
                Step::Length(length) => content.synced.resize(length, 0),
                Step::Write(at, data) => content.synced[at..at + data.len()].copy_from_slice(&data),
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let (mut content, at) = (self.lock(), offset as usize);
        content.take_room()?;
        content.now[at..at + data.len()].copy_from_slice(data);
        content.pending.push(Step::Write(at, data.to_vec()));
        Ok(())
    }
}

fn open(disk: &Disk) -> Store {
    let disk = disk.clone();
    Store::open_with(move || Ok(builder().create_with_backend(disk.clone())?), None).unwrap()
}

/// A block with a key of its own, and one that every block writes.
fn commit(store: &Store, number: u64) -> Result<(), Error> {
    let write = |key: String| Write {
        namespace: "ns".into(),
        key,
        version: Version { block: number, tx: 0 },
        value: Some(vec![number as u8; 700]),
    };
    let place = Place { block: number, index: 0, code: TxValidationCode::Valid };
    let block = Block {
        header: Some(BlockHeader { number, ..Default::default() }),
        data: Some(BlockData { data: vec![vec![number as u8; 3000]] }),
        metadata: None,
    };
    let writes = vec![write(format!("k{number}")), write("every".into())];
    store.commit(
        &block,
        &Changes { places: vec![(format!("tx{number}"), place)], writes, ..Default::default() },
    )
}

/// Everything that was acknowledged is there, and at most one block beyond.
fn check(store: &Store, acknowledged: u64) -> u64 {
    let height = store.height().unwrap();
    assert!((acknowledged..=acknowledged + 1).contains(&height), "{height} of {acknowledged} blocks");
    let snapshot = store.snapshot(height).unwrap();
    for number in 0..height {
        let block = store.block(number).unwrap().unwrap();
        assert_eq!(block.data.unwrap().data[0], vec![number as u8; 3000]);
        assert_eq!(store.transaction(&format!("tx{number}")).unwrap().unwrap().block, number);
        let found = snapshot.get("ns", &format!("k{number}")).unwrap().unwrap();
        assert_eq!((found.version.block, found.value), (number, vec![number as u8; 700]));
    }
    let every = snapshot.get("ns", "every").unwrap();
    assert_eq!(every.map(|found| found.version.block), height.checked_sub(1));
    height
}

#[test]
fn no_acknowledged_block_is_lost_with_the_power() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let disk = Disk::default();
    let mut acknowledged = 0;
    for _ in 0..60 {
        let store = open(&disk);
        acknowledged = check(&store, acknowledged);
        // The power fails in the middle of what the store does, after that many steps.
        let steps = rng.next_u32() as usize % 120;
        disk.lock().room = Some(steps);
        while commit(&store, acknowledged).is_ok() {
            acknowledged += 1;
        }
        // What the closing database would still write is lost too.
        disk.lock().room = Some(0);
        drop(store);
        disk.lock().room = None;
        disk.lose_power(&mut rng);
    }
    assert!(acknowledged > 100, "only {acknowledged} blocks");
}

#[test]
fn a_full_disk_refuses_and_room_heals() {
    let disk = Disk::default();
    let store = open(&disk);
    let mut acknowledged = 0;
    for steps in 0..40 {
        disk.lock().room = Some(steps);
        while commit(&store, acknowledged).is_ok() {
            acknowledged += 1;
        }
        assert!(store.is_broken() && store.accepts().is_err());
        disk.lock().room = None;
        store.reopen().unwrap();
        acknowledged = check(&store, acknowledged);
        assert_eq!(store.accepts(), Ok(()));
        commit(&store, acknowledged).unwrap();
        acknowledged += 1;
    }
}
