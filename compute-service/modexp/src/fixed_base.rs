//! Many secret powers of one base: all squarings done beforehand.

use crate::Secret;
use crate::engine::{Accumulator, Blocks, Engine};
use crate::ring::Residue;
use crate::window::powers;
use rayon::prelude::*;
use std::sync::Arc;

/// Tables of base^(d·2^(w·t)) for every window t and digit d, so that a power is one multiplication for each window.
/// Cheap to clone, shared between threads. For 512-bit exponents modulo the square of 2,048 bits they take 6 MB with
/// AVX-512 IFMA and make a power of 74 multiplications. The base is public, the exponents are secret.
#[derive(Clone)]
pub struct FixedBase {
    table: Arc<dyn Powers>,
    exponent_bits: usize,
    window: usize,
}

trait Powers: Send + Sync {
    fn pow(&self, exponents: &[Secret]) -> Vec<Residue>;
}

impl FixedBase {
    pub(crate) fn new<E: Engine + 'static>(engine: Arc<E>, base: &Residue, exponent_bits: usize) -> Self {
        FixedBase {
            table: Arc::new(Table::new(engine, base, exponent_bits)),
            exponent_bits,
            window: E::SHARED_WINDOW,
        }
    }

    /// The longest exponent, in bits.
    pub fn exponent_bits(&self) -> usize {
        self.exponent_bits
    }

    /// Multiplications of one power of the longest exponents.
    pub fn multiplications(&self) -> usize {
        self.exponent_bits.div_ceil(self.window)
    }

    /// The base to each of the secret powers, in constant time: the number of windows depends on the widths only,
    /// none is skipped, and each look-up reads a window's whole table.
    ///
    /// # Panics
    /// If an exponent is wider than [`exponent_bits`](Self::exponent_bits).
    pub fn pow(&self, exponents: &[Secret]) -> Vec<Residue> {
        assert!(exponents.iter().all(|e| e.width() <= self.exponent_bits), "exponent wider than the tables");
        self.table.pow(exponents)
    }
}

impl std::fmt::Debug for FixedBase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FixedBase({} bits)", self.exponent_bits)
    }
}

struct Table<E: Engine> {
    engine: Arc<E>,
    /// For each window, its powers in the form that `select_shared` wants.
    windows: Vec<Vec<E::Word>>,
}

impl<E: Engine> Table<E> {
    fn new(engine: Arc<E>, base: &Residue, exponent_bits: usize) -> Self {
        let e = &*engine;
        let mut running = Accumulator::load(e, std::iter::once(base));
        let mut bases = Vec::new();
        for _ in 0..exponent_bits.div_ceil(E::SHARED_WINDOW) {
            bases.extend(running.residues(1));
            running.square(E::SHARED_WINDOW);
        }
        // One window in each lane.
        let mut windows = Vec::with_capacity(bases.len());
        for bases in bases.chunks(E::LANES) {
            windows.extend(e.share(powers(e, bases.iter(), E::SHARED_WINDOW).all(), bases.len()));
        }
        Table { windows, engine }
    }
}

/// Blocks that go through a window's table together, for the tables of all windows are larger than a cache.
const TOGETHER: usize = 4;

impl<E: Engine> Powers for Table<E> {
    fn pow(&self, exponents: &[Secret]) -> Vec<Residue> {
        let powers = exponents.par_chunks(TOGETHER * E::LANES).flat_map_iter(|exponents| {
            let engine = &*self.engine;
            let width = exponents.iter().map(Secret::width).max().unwrap_or(0);
            let mut index = zeroize::Zeroizing::new(vec![0u64; E::LANES]);
            let mut factor = Blocks::new(engine, 1);
            let blocks = || exponents.chunks(E::LANES);
            let mut results: Vec<Accumulator<E>> = blocks().map(|_| Accumulator::one(engine)).collect();
            for (t, table) in self.windows[..width.div_ceil(E::SHARED_WINDOW)].iter().enumerate() {
                for (result, exponents) in results.iter_mut().zip(blocks()) {
                    for (i, exponent) in index.iter_mut().zip(exponents) {
                        *i = exponent.bits(t * E::SHARED_WINDOW, E::SHARED_WINDOW);
                    }
                    engine.select_shared(factor.all_mut(), table, 1 << E::SHARED_WINDOW, &index);
                    result.mul(factor.all());
                }
            }
            let residues = |(result, block): (&Accumulator<E>, &[Secret])| result.residues(block.len());
            results.iter().zip(blocks()).flat_map(residues).collect::<Vec<_>>()
        });
        powers.collect()
    }
}
