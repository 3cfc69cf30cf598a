//! Many products of the same bases to secret powers: a matrix of exponents applied to a vector of bases.

use crate::engine::{Accumulator, Blocks, Engine};
use crate::ring::{Residue, Ring, with_engine};
use crate::{Error, Secret};
use num_bigint::BigUint;
use rayon::prelude::*;
use zeroize::Zeroizing;

/// Bases whose tables are used together: a few hundred kilobytes.
const TOGETHER: usize = 64;

impl Ring {
    /// For each row the product of bases\[j\]^(row\[j\] − 2^(w−1)) over all j, in constant time; all exponents are of one
    /// width w ≥ 1. The rows lie side by side and share the tables of the bases, and the powers of a product their
    /// squarings: for many rows, far less than [`multi_pow_secret_signed`](Self::multi_pow_secret_signed).
    ///
    /// # Errors
    /// [`Error::NotInvertible`] where the bases are not all units.
    ///
    /// # Panics
    /// If a row has not an exponent for each base, or exponents differ in width, or there is no base.
    pub fn multi_pow_secret_matrix<R: AsRef<[Secret]> + Sync>(
        &self,
        bases: &[Residue],
        rows: &[R],
    ) -> Result<Vec<Residue>, Error> {
        let rows: Vec<&[Secret]> = rows.iter().map(AsRef::as_ref).collect();
        let Some(width) = rows.first().map(|row| row.first().expect("at least one base").width()) else {
            return Ok(Vec::new());
        };
        assert!(rows.iter().all(|row| row.len() == bases.len()), "an exponent for each base");
        assert!(
            width > 0 && rows.iter().all(|row| row.iter().all(|e| e.width() == width)),
            "exponents of one width"
        );
        let lowest = self.invert_batch(&[self.product(bases)])?;
        let lowest = self.pow_public_all(&lowest, &(BigUint::from(1u32) << (width - 1)));
        let products = with_engine!(self, engine => products(&**engine, bases, &rows, width));
        let whole = products.into_iter().reduce(|a, b| self.mul_pairs(&a, &b)).expect("at least one base");
        Ok(self.mul_all(&whole, &lowest[0]))
    }
}

/// Of each group of bases the products of all rows.
fn products<E: Engine>(engine: &E, bases: &[Residue], rows: &[&[Secret]], width: usize) -> Vec<Vec<Residue>> {
    let blocks = rows.len().div_ceil(E::LANES);
    let work = |w: &usize| (1usize << w).div_ceil(E::LANES) + width.div_ceil(*w) * blocks;
    // Shared tables have 16 entries or more.
    let w = (4..=E::LANE_WINDOW.max(4)).min_by_key(work).expect("the range is not empty");
    bases
        .par_chunks(TOGETHER)
        .enumerate()
        .map(|(group, bases)| {
            let tables: Vec<Vec<E::Word>> =
                bases.chunks(E::LANES).flat_map(|bases| tables(engine, bases, w)).collect();
            let first = group * TOGETHER;
            let block = |rows: &[&[Secret]]| {
                let rows: Vec<&[Secret]> = rows.iter().map(|row| &row[first..first + bases.len()]).collect();
                block(engine, &tables, &rows, width, w)
            };
            rows.par_chunks(E::LANES).flat_map_iter(block).collect()
        })
        .collect()
}

/// Powers 0..2^w of at most `LANES` bases, in the form that `select_shared` wants.
fn tables<E: Engine>(engine: &E, bases: &[Residue], w: usize) -> Vec<Vec<E::Word>> {
    let powers = crate::window::powers(engine, bases.iter(), w);
    let table = |lane: usize| {
        let entries: Vec<Residue> = (0..1 << w).map(|i| engine.store(powers.get(i), lane)).collect();
        engine.share(&entries)
    };
    (0..bases.len()).map(table).collect()
}

/// The products of at most `LANES` rows: for every window the same squarings, and for each base one scan of its whole
/// table and one multiplication, also by 1.
fn block<E: Engine>(
    engine: &E,
    tables: &[Vec<E::Word>],
    rows: &[&[Secret]],
    width: usize,
    w: usize,
) -> Vec<Residue> {
    let mut index = Zeroizing::new(vec![0u64; E::LANES]);
    let mut factor = Blocks::new(engine, 1);
    let mut product = Accumulator::one(engine);
    for window in (0..width.div_ceil(w)).rev() {
        product.square(w);
        for (j, table) in tables.iter().enumerate() {
            for (i, row) in index.iter_mut().zip(rows) {
                *i = row[j].bits(window * w, w);
            }
            engine.select_shared(factor.all_mut(), table, 1 << w, &index);
            product.mul(factor.all());
        }
    }
    product.residues(rows.len())
}
