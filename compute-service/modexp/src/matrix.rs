//! Many products of the same bases to secret powers: a matrix of exponents applied to a vector of bases.

use crate::engine::{Accumulator, Blocks, Engine};
use crate::ring::{Residue, Ring, with_engine};
use crate::window::{Running, powers};
use crate::{Error, Secret};
use num_bigint::BigUint;
use rayon::prelude::*;
use zeroize::Zeroizing;

/// The fewest bases that are worth products of their own.
const LEAST: usize = 64;

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
        let lowest = self.pow_vartime_all(&lowest, &(BigUint::from(1u32) << (width - 1)));
        let products = with_engine!(self, engine => products(&**engine, bases, &rows, width));
        let whole = products.into_iter().reduce(|a, b| self.mul_pairs(&a, &b)).expect("at least one base");
        Ok(self.mul_all(&whole, &lowest[0]))
    }
}

/// Of each part of the bases the products of all rows.
fn products<E: Engine>(engine: &E, bases: &[Residue], rows: &[&[Secret]], width: usize) -> Vec<Vec<Residue>> {
    let blocks = rows.len().div_ceil(E::LANES);
    let work = |w: &usize| (1usize << w).div_ceil(E::LANES) + width.div_ceil(*w) * blocks;
    // Shared tables have 16 entries or more.
    let w = (4..=E::SHARED_WINDOW.max(E::LANE_WINDOW)).min_by_key(work).expect("the range is not empty");
    let part = bases.len().div_ceil(rayon::current_num_threads()).next_multiple_of(LEAST);
    let of_part = |(i, bases): (usize, &[Residue])| {
        let mut products: Vec<Product<E>> =
            (0..blocks).map(|_| Product::new(engine, width.div_ceil(w), w)).collect();
        // As many tables as fit into a cache and are made at once.
        for (j, bases) in bases.chunks(E::LANES).enumerate() {
            let tables = engine.share(powers(engine, bases.iter(), w).all(), bases.len());
            let first = i * part + j * E::LANES;
            products
                .par_iter_mut()
                .zip(rows.par_chunks(E::LANES))
                .for_each(|(product, rows)| product.multiply(&tables, rows, first));
        }
        let residues = |(product, rows): (Product<E>, &[&[Secret]])| product.residues(rows.len());
        products.into_par_iter().zip(rows.par_chunks(E::LANES)).flat_map_iter(residues).collect()
    };
    bases.par_chunks(part).enumerate().map(of_part).collect()
}

/// The products of at most `LANES` rows, their windows apart, so that they are squared once at the end.
struct Product<'e, E: Engine> {
    engine: &'e E,
    windows: Blocks<E>,
    count: usize,
    w: usize,
    started: bool,
}

impl<'e, E: Engine> Product<'e, E> {
    fn new(engine: &'e E, count: usize, w: usize) -> Self {
        Product { engine, windows: Blocks::new(engine, count), count, w, started: false }
    }

    /// Multiplies by the rows' powers of the bases from `first` on: for every window and base one scan of the whole table
    /// and one multiplication, also by 1.
    fn multiply(&mut self, tables: &[Vec<E::Word>], rows: &[&[Secret]], first: usize) {
        let mut index = Zeroizing::new(vec![0u64; E::LANES]);
        let mut factor = Blocks::new(self.engine, 1);
        let mut product = Accumulator::one(self.engine);
        for window in 0..self.count {
            product.set(self.windows.get(window));
            for (j, table) in tables.iter().enumerate() {
                for (i, row) in index.iter_mut().zip(rows) {
                    *i = row[first + j].bits(window * self.w, self.w);
                }
                self.engine.select_shared(factor.all_mut(), table, 1 << self.w, &index);
                if self.started || j > 0 { product.mul(factor.all()) } else { product.set(factor.all()) }
            }
            self.windows.get_mut(window).copy_from_slice(product.get());
        }
        self.started = true;
    }

    /// The first `count` lanes.
    fn residues(self, count: usize) -> Vec<Residue> {
        let mut product = Running::new(self.engine);
        for window in (0..self.count).rev() {
            product.join(window * self.w, self.windows.get(window));
        }
        product.residues(count)
    }
}
