//! Where the time for cryptography goes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Wall-clock time that one party spent in cryptography, by part of the job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Checking the key and precomputing its tables.
    pub keys: Duration,
    /// Chain, noise, and what follows from them.
    pub preparation: Duration,
    /// Encrypted margins, partial decryptions, proofs and their checks.
    pub training: Duration,
}

/// A part of the job.
#[derive(Clone, Copy)]
pub(super) enum Part {
    Keys,
    Preparation,
    Training,
}

/// Adds up what runs under it.
#[derive(Debug, Default)]
pub(super) struct Stopwatch([AtomicU64; 3]);

impl Stopwatch {
    pub(super) fn time<T>(&self, part: Part, run: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = run();
        let nanos = start.elapsed().as_nanos() as u64;
        self.0[part as usize].fetch_add(nanos, Ordering::Relaxed);
        result
    }

    pub(super) fn read(&self) -> Timings {
        let [keys, preparation, training] =
            [0, 1, 2].map(|i| Duration::from_nanos(self.0[i].load(Ordering::Relaxed)));
        Timings { keys, preparation, training }
    }
}
