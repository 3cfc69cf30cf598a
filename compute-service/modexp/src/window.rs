//! Exponentiation by windows: in constant time for secret exponents, faster for public ones.

use crate::Secret;
use crate::engine::{Accumulator, Blocks, Engine};
use crate::number::bits;
use crate::ring::Residue;
use num_bigint::BigUint;
use std::ops::Range;

/// The width of window with the least work, table included.
fn best_window<E: Engine>(bits: usize) -> usize {
    (1..=E::LANE_WINDOW).min_by_key(|w| bits.div_ceil(*w) + (1 << w)).expect("the range is not empty")
}

/// Powers 0..2^w of the bases.
pub(crate) fn powers<'a, E: Engine>(
    engine: &E,
    bases: impl Iterator<Item = &'a Residue>,
    w: usize,
) -> Blocks<E> {
    let mut table = Blocks::new(engine, 1 << w);
    table.get_mut(0).copy_from_slice(engine.one());
    engine.load(table.get_mut(1), bases);
    let width = engine.width();
    for i in 2..1 << w {
        let (below, out) = table.below(i);
        let block = |i: usize| &below[i * width..][..width];
        if i % 2 == 0 { engine.square(out, block(i / 2)) } else { engine.mul(out, block(i - 1), block(1)) }
    }
    table
}

/// Windows for which a table is read at once.
const AT_ONCE: usize = 4;

/// A base and a secret exponent for each product. All exponents have one width and count 2^shift times.
pub(crate) struct Column<'a> {
    pub(crate) bases: &'a [Residue],
    pub(crate) exponents: Vec<&'a Secret>,
    pub(crate) shift: usize,
}

impl Column<'_> {
    fn width(&self) -> usize {
        self.exponents[0].width()
    }

    /// The products `from..to`.
    pub(crate) fn part(&self, from: usize, to: usize) -> Column<'_> {
        Column {
            bases: &self.bases[from..to],
            exponents: self.exponents[from..to].to_vec(),
            shift: self.shift,
        }
    }
}

/// A column of at most `LANES` products on its way through its windows, from the highest on.
struct Reading<'a, E: Engine> {
    column: &'a Column<'a>,
    /// Made when the first window is read, so that columns of different shifts have their turns in the cache.
    table: Option<Blocks<E>>,
    factors: Blocks<E>,
    windows: Range<usize>,
}

impl<'a, E: Engine> Reading<'a, E> {
    fn new(engine: &E, column: &'a Column<'a>) -> Self {
        Reading { column, table: None, factors: Blocks::new(engine, AT_ONCE), windows: 0..0 }
    }

    /// The powers that the exponents' bits from window·w on ask for. The windows are read in falling order.
    fn factor(&mut self, engine: &E, window: usize, w: usize) -> &[E::Word] {
        if !self.windows.contains(&window) {
            let table = self.table.get_or_insert_with(|| powers(engine, self.column.bases.iter(), w));
            self.windows = (window + 1).saturating_sub(AT_ONCE)..window + 1;
            let mut index = zeroize::Zeroizing::new(vec![0u64; AT_ONCE * E::LANES]);
            for (window, index) in self.windows.clone().zip(index.chunks_exact_mut(E::LANES)) {
                for (i, exponent) in index.iter_mut().zip(&self.column.exponents) {
                    *i = exponent.bits(window * w, w);
                }
            }
            engine.select_several(self.factors.all_mut(), table.all(), &index);
        }
        self.factors.get(window - self.windows.start)
    }
}

/// A product that is squared on its way from the highest bit to the lowest.
pub(crate) struct Running<'e, E: Engine> {
    product: Accumulator<'e, E>,
    started: bool,
    bit: usize,
}

impl<'e, E: Engine> Running<'e, E> {
    pub(crate) fn new(engine: &'e E) -> Self {
        Running { product: Accumulator::one(engine), started: false, bit: 0 }
    }

    /// Multiplies by a factor that counts 2^bit times; no later one joins at a higher bit.
    pub(crate) fn join(&mut self, bit: usize, factor: &[E::Word]) {
        if self.started {
            self.product.square(self.bit - bit);
            self.product.mul(factor);
        } else {
            self.product.set(factor);
            self.started = true;
        }
        self.bit = bit;
    }

    /// The first `count` lanes of the whole product.
    pub(crate) fn residues(mut self, count: usize) -> Vec<Residue> {
        self.product.square(self.bit);
        self.product.residues(count)
    }
}

/// Factors that join a product at public bits.
pub(crate) struct Joining<E: Engine> {
    factors: Blocks<E>,
    /// Bits, from the highest on, and which factor joins there.
    at: Vec<(usize, usize)>,
}

impl<E: Engine> Joining<E> {
    /// A factor in each lane, at one bit.
    pub(crate) fn once(engine: &E, factors: &[Residue], bit: usize) -> Self {
        let mut block = Blocks::new(engine, 1);
        engine.load(block.all_mut(), factors.iter());
        Joining { factors: block, at: vec![(bit, 0)] }
    }

    /// All lanes to one public power: sliding windows over a table of odd powers.
    pub(crate) fn power(engine: &E, bases: &[Residue], exponent: &BigUint) -> Self {
        let limbs = exponent.to_u64_digits();
        let width = exponent.bits() as usize;
        let ones = exponent.count_ones() as usize;
        let work = |w: &usize| ones.min(width / (w + 1)) + (1 << (w - 1));
        let w = (1..=7).min_by_key(work).expect("the range is not empty");
        // odd[i] = base^(2i+1).
        let count = 1 << (w - 1);
        let (mut odd, mut square) = (Blocks::new(engine, count), Blocks::new(engine, 1));
        engine.load(odd.get_mut(0), bases.iter());
        engine.square(square.all_mut(), odd.get(0));
        for i in 1..count {
            let (below, out) = odd.below(i);
            engine.mul(out, &below[(i - 1) * engine.width()..], square.all());
        }
        let mut at = Vec::new();
        let mut left = width;
        while left > 0 {
            if bits(&limbs, left - 1, 1) == 0 {
                left -= 1;
                continue;
            }
            // The longest window of at most w bits that ends in a 1.
            let mut low = left.saturating_sub(w);
            while bits(&limbs, low, 1) == 0 {
                low += 1;
            }
            at.push((low, bits(&limbs, low, left - low) as usize / 2));
            left = low;
        }
        Joining { factors: odd, at }
    }

    fn iter(&self) -> impl Iterator<Item = (usize, &[E::Word])> {
        self.at.iter().map(|&(bit, factor)| (bit, self.factors.get(factor)))
    }
}

/// In each lane the product of its bases, one of each column, to their secret powers, and of what joins. All share the
/// squarings (Straus); every window costs the same squarings, and for each column that is so wide one scan of the whole
/// table and one multiplication, also by 1.
pub(crate) fn product_secret<E: Engine>(
    engine: &E,
    columns: &[Column],
    joining: &[Joining<E>],
) -> Vec<Residue> {
    let width = columns.iter().map(Column::width).max().expect("at least one column");
    let w = best_window::<E>(width);
    let mut readings: Vec<Reading<E>> = columns.iter().map(|column| Reading::new(engine, column)).collect();
    let mut steps: Vec<(usize, Factor<E>)> =
        joining.iter().flat_map(Joining::iter).map(|(bit, factor)| (bit, Factor::Public(factor))).collect();
    for (i, column) in columns.iter().enumerate() {
        let windows = 0..column.width().div_ceil(w);
        steps.extend(windows.map(|window| (column.shift + window * w, Factor::Secret(i, window))));
    }
    steps.sort_by_key(|(bit, _)| std::cmp::Reverse(*bit));
    let mut result = Running::new(engine);
    for (bit, factor) in steps {
        match factor {
            Factor::Public(factor) => result.join(bit, factor),
            Factor::Secret(i, window) => result.join(bit, readings[i].factor(engine, window, w)),
        }
    }
    result.residues(columns[0].bases.len())
}

/// What joins a product at a bit: at public bits what is there already, or a column's window.
enum Factor<'a, E: Engine> {
    Public(&'a [E::Word]),
    Secret(usize, usize),
}

/// At most `LANES` bases to secret powers of one width.
pub(crate) fn pow_secret<E: Engine>(engine: &E, bases: &[Residue], exponents: &[&Secret]) -> Vec<Residue> {
    product_secret(engine, &[Column { bases, exponents: exponents.to_vec(), shift: 0 }], &[])
}

/// At most `LANES` bases to public powers.
pub(crate) fn pow_vartime<E: Engine>(engine: &E, bases: &[Residue], exponents: &[&BigUint]) -> Vec<Residue> {
    if exponents.windows(2).all(|e| e[0] == e[1]) {
        return sliding(engine, bases, exponents[0]);
    }
    let limbs: Vec<Vec<u64>> = exponents.iter().map(|e| e.to_u64_digits()).collect();
    let width = exponents.iter().map(|e| e.bits()).max().unwrap_or(0) as usize;
    let w = best_window::<E>(width);
    let table = powers(engine, bases.iter(), w);
    let mut factor = Blocks::new(engine, 1);
    let mut index = vec![0usize; E::LANES];
    let mut result = Accumulator::one(engine);
    for window in (0..width.div_ceil(w)).rev() {
        for (i, limbs) in index.iter_mut().zip(&limbs) {
            *i = bits(limbs, window * w, w) as usize;
        }
        result.square(if (window + 1) * w >= width { 0 } else { w });
        if index.iter().any(|&i| i != 0) {
            engine.pick(factor.all_mut(), table.all(), &index);
            result.mul(factor.all());
        }
    }
    result.residues(bases.len())
}

/// All lanes to one public power.
fn sliding<E: Engine>(engine: &E, bases: &[Residue], exponent: &BigUint) -> Vec<Residue> {
    let mut result = Running::new(engine);
    for (bit, factor) in Joining::power(engine, bases, exponent).iter() {
        result.join(bit, factor);
    }
    result.residues(bases.len())
}
