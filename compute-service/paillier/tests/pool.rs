//! Pools of zero-encryptions: what they hand out is valid and never handed out again, whatever happens to the file.

use num_bigint::BigInt;
use paillier::pool::{PoolError, Taken, ZeroPool};
use paillier::*;
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::collections::HashSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

static PRIVATE: LazyLock<PrivateKey> =
    LazyLock::new(|| PrivateKey::generate(256, &mut ChaCha20Rng::seed_from_u64(1)).unwrap());
static ENCRYPTOR: LazyLock<Encryptor> = LazyLock::new(|| Encryptor::new(PRIVATE.public(), Randomness::Short));

/// Each its own, as from the operating system.
fn rng() -> ChaCha20Rng {
    static SEED: AtomicU64 = AtomicU64::new(100);
    ChaCha20Rng::seed_from_u64(SEED.fetch_add(1, Ordering::Relaxed))
}

fn open(directory: &Path, capacity: u32) -> ZeroPool {
    ZeroPool::open(directory, &ENCRYPTOR, capacity, rng()).unwrap()
}

fn wait_until_full(pool: &ZeroPool, capacity: usize) {
    while pool.len() < capacity {
        assert_eq!(pool.failure(), None);
        thread::sleep(Duration::from_millis(1));
    }
}

/// A directory with a pool of so many zeros that nobody has open.
fn filled(capacity: u32) -> TempDir {
    let directory = TempDir::new().unwrap();
    wait_until_full(&open(directory.path(), capacity), capacity as usize);
    directory
}

/// Another directory with the file as it is now: what a process finds that starts after the first one was killed.
fn copied(directory: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    fs::copy(directory.join("zeros"), copy.path().join("zeros")).unwrap();
    copy
}

/// The zeros' bytes, after a look at whether they are zeros and have Jacobi symbol +1.
fn checked(taken: &Taken) -> Vec<Vec<u8>> {
    let key = PRIVATE.public();
    assert!(PRIVATE.decrypt(&taken.zeros).iter().all(|m| *m == BigInt::ZERO));
    let bytes = Ciphertext::to_bytes_batch(key, &taken.zeros);
    Ciphertext::from_bytes_batch(key, &bytes).unwrap();
    bytes
}

fn take(pool: &ZeroPool, count: usize) -> (Vec<Vec<u8>>, usize) {
    let taken = pool.take(count, &mut rng()).unwrap();
    let bytes = checked(&taken);
    assert_eq!(bytes.len(), count);
    (bytes, taken.pooled)
}

#[test]
fn fills_in_the_background_and_again_after_taking() {
    let directory = TempDir::new().unwrap();
    let pool = open(directory.path(), 20);
    let mut seen = HashSet::new();
    for _ in 0..3 {
        wait_until_full(&pool, 20);
        let (zeros, pooled) = take(&pool, 13);
        assert_eq!(pooled, 13);
        seen.extend(zeros);
    }
    assert_eq!(seen.len(), 39);
    assert_eq!(take(&pool, 0), (vec![], 0));
}

#[test]
fn computes_what_the_pool_does_not_have() {
    let directory = filled(5);
    let pool = open(directory.path(), 5);
    let (zeros, pooled) = take(&pool, 12);
    assert_eq!(pooled, 5);
    assert_eq!(zeros.into_iter().collect::<HashSet<_>>().len(), 12);
    let none = open(TempDir::new().unwrap().path(), 0);
    assert_eq!(take(&none, 2).1, 0);
}

#[test]
fn keeps_what_is_not_taken_and_never_repeats_after_a_restart() {
    let directory = filled(10);
    let mut seen = HashSet::new();
    let stored = fs::read(directory.path().join("zeros")).unwrap();
    let mut left = 10;
    for _ in 0..4 {
        let pool = open(directory.path(), 10);
        assert!(pool.len() >= left);
        wait_until_full(&pool, 10);
        let (zeros, pooled) = take(&pool, 4);
        assert_eq!(pooled, 4);
        assert!(zeros.into_iter().all(|zero| seen.insert(zero)));
        left = pool.len();
    }
    // The first ones are those that were stored, and their bytes are gone.
    let now = fs::read(directory.path().join("zeros")).unwrap();
    let contains = |file: &[u8], zero: &[u8]| file.windows(zero.len()).any(|w| w == zero);
    assert!(seen.iter().any(|zero| contains(&stored, zero)));
    assert!(!seen.iter().any(|zero| contains(&now, zero)));
}

#[test]
fn never_repeats_after_a_kill_at_any_moment() {
    // So many that the thread cannot have filled all slots again before the copy is made.
    let directory = filled(800);
    let pool = open(directory.path(), 800);
    let mut seen = HashSet::new();
    for count in [1, 8, 700, 60] {
        let taken = pool.take(count, &mut rng()).unwrap();
        let later = copied(directory.path());
        seen.extend(checked(&taken));
        let (zeros, _) = take(&open(later.path(), 800), 800);
        assert!(zeros.iter().all(|zero| !seen.contains(zero)));
    }
}

#[test]
fn threads_do_not_get_the_same() {
    let directory = filled(30);
    let pool = open(directory.path(), 30);
    let zeros: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..5).flat_map(|_| take(&pool, 3).0).collect::<Vec<_>>()))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(zeros.into_iter().collect::<HashSet<_>>().len(), 60);
}

#[test]
fn is_refused_to_a_second_one_another_key_and_another_length_and_a_foreign_file_is_left_alone() {
    let directory = filled(3);
    let open_with = |encryptor: &Encryptor| ZeroPool::open(directory.path(), encryptor, 3, rng());
    let first = open(directory.path(), 3);
    assert!(matches!(open_with(&ENCRYPTOR), Err(PoolError::InUse)));
    drop(first);
    let other = PrivateKey::generate(256, &mut ChaCha20Rng::seed_from_u64(2)).unwrap();
    let other = Encryptor::new(other.public(), Randomness::Short);
    assert!(matches!(open_with(&other), Err(PoolError::OtherKey)));
    let long = Encryptor::new(PRIVATE.public(), Randomness::Long);
    assert!(matches!(open_with(&long), Err(PoolError::OtherKey)));
    assert_eq!(open(directory.path(), 3).len(), 3);
    let file = directory.path().join("zeros");
    let text = "not a pool, but long enough to have a header of one";
    fs::write(&file, text).unwrap();
    assert!(matches!(open_with(&ENCRYPTOR), Err(PoolError::Foreign)));
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}

#[test]
fn only_the_owner_reads_the_file() {
    let directory = filled(1);
    let file = directory.path().join("zeros");
    let mode = || fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    open(directory.path(), 1);
    assert_eq!(mode(), 0o600);
}

#[test]
fn a_smaller_capacity_drops_the_rest() {
    let directory = filled(9);
    assert_eq!(open(directory.path(), 4).len(), 4);
    assert!(open(directory.path(), 9).len() >= 4);
}

const HEADER: usize = 48;
const SLOT: usize = 64 + 32;

/// What can happen to a file of six slots.
#[derive(Clone, Debug)]
enum Damage {
    Flip { at: usize, bits: u8 },
    Truncate { to: usize },
    CopySlot { from: usize, to: usize },
    Append { bytes: Vec<u8> },
}

fn damage() -> impl Strategy<Value = Damage> {
    let length = HEADER + 6 * SLOT;
    prop_oneof![
        4 => (0..length, 1..=255u8).prop_map(|(at, bits)| Damage::Flip { at, bits }),
        2 => (0..length).prop_map(|to| Damage::Truncate { to }),
        2 => (0..6usize, 0..6usize).prop_map(|(from, to)| Damage::CopySlot { from, to }),
        1 => prop::collection::vec(any::<u8>(), 1..200).prop_map(|bytes| Damage::Append { bytes }),
    ]
}

impl Damage {
    fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Self::Flip { at, bits } => file.get_mut(*at).into_iter().for_each(|byte| *byte ^= bits),
            Self::Truncate { to } => file.truncate(*to),
            Self::CopySlot { from, to } => {
                let slot = |index: usize| HEADER + index * SLOT;
                if slot(from.max(to) + 1) <= file.len() {
                    file.copy_within(slot(*from)..slot(from + 1), slot(*to));
                }
            }
            Self::Append { bytes } => file.extend(bytes),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_damaged_file_neither_panics_nor_repeats(damages in prop::collection::vec(damage(), 1..5)) {
        static FILE: LazyLock<(Vec<u8>, HashSet<Vec<u8>>)> = LazyLock::new(|| {
            let directory = filled(6);
            let pool = open(directory.path(), 6);
            let used = take(&pool, 3).0.into_iter().collect();
            wait_until_full(&pool, 6);
            (fs::read(directory.path().join("zeros")).unwrap(), used)
        });
        let (mut file, used) = FILE.clone();
        for damage in &damages {
            damage.apply(&mut file);
        }
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join("zeros"), &file).unwrap();
        match ZeroPool::open(directory.path(), &ENCRYPTOR, 6, rng()) {
            Ok(pool) => {
                let zeros: HashSet<_> = take(&pool, 6).0.into_iter().chain(take(&pool, 6).0).collect();
                prop_assert_eq!(zeros.len(), 12);
                prop_assert!(zeros.is_disjoint(&used));
            }
            Err(PoolError::Foreign | PoolError::OtherKey) => prop_assert_ne!(&file[..HEADER], &FILE.0[..HEADER]),
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        }
    }

    #[test]
    fn damage_while_it_is_open_neither_panics_nor_repeats(damages in prop::collection::vec(damage(), 1..5)) {
        let directory = filled(6);
        let pool = open(directory.path(), 6);
        let path = directory.path().join("zeros");
        let mut file = fs::read(&path).unwrap();
        for damage in &damages {
            damage.apply(&mut file);
        }
        // Written over the same file, that of the open pool.
        fs::write(&path, &file).unwrap();
        let zeros: HashSet<_> = take(&pool, 6).0.into_iter().chain(take(&pool, 6).0).collect();
        prop_assert_eq!(zeros.len(), 12);
    }
}
