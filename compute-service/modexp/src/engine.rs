//! The line between algorithms and backends.

use crate::ring::Residue;
use zeroize::{DefaultIsZeroes, Zeroize};

/// Montgomery arithmetic on *blocks*: `LANES` residues side by side, each of `width` digits.
///
/// A block is a slice of `width` words, and word i holds digit i of every lane, so that a table of blocks is plain
/// memory. The algorithms (windows, tables, multi-exponentiation) are written once over this trait; an implementation
/// is one backend for one kind of ring (modulo N, or modulo N² in two parts). Everything here except `pick` and
/// `put` takes the same time and touches the same addresses whatever the digits and indices are.
pub(crate) trait Engine: Send + Sync {
    /// Residues in a block.
    const LANES: usize;
    /// Bits of a window over a table of the lanes' own powers, at most: reading all of a larger one costs more than it saves.
    const LANE_WINDOW: usize;
    /// Bits of a window over a shared table: the more, the fewer multiplications, as long as reading all of a window's
    /// table costs much less than one.
    const SHARED_WINDOW: usize;
    /// One digit of every lane.
    type Word: Copy + Send + Sync + DefaultIsZeroes;

    /// Digits of a residue, words of a block.
    fn width(&self) -> usize;
    /// A word of zeros, to make blocks of.
    fn zero(&self) -> Self::Word;
    /// A block whose every lane is 1.
    fn one(&self) -> &[Self::Word];
    /// `out` = the given residues, at most `LANES`; further lanes become 0.
    fn load<'a>(&self, out: &mut [Self::Word], lanes: impl Iterator<Item = &'a Residue>);
    /// The residue in one lane.
    fn store(&self, block: &[Self::Word], lane: usize) -> Residue;

    /// `out` = a·b, lane by lane.
    fn mul(&self, out: &mut [Self::Word], a: &[Self::Word], b: &[Self::Word]);
    /// `out` = a², lane by lane.
    fn square(&self, out: &mut [Self::Word], a: &[Self::Word]);
    /// `out` = in lane l, lane l of block `index[l]` of the table. Reads the whole table.
    fn select(&self, out: &mut [Self::Word], table: &[Self::Word], index: &[u64]);
    /// `select` for several blocks of `out` in turn, with as many indices each: cheaper than one by one.
    fn select_several(&self, out: &mut [Self::Word], table: &[Self::Word], index: &[u64]) {
        for (out, index) in out.chunks_exact_mut(self.width()).zip(index.chunks_exact(Self::LANES)) {
            self.select(out, table, index);
        }
    }
    /// For each of the first `lanes` lanes its residues of a table, a power of two and at least 16 of them, as a table that all
    /// lanes share, in the form that `select_shared` wants.
    fn share(&self, table: &[Self::Word], lanes: usize) -> Vec<Vec<Self::Word>>;
    /// `out` = in lane l, entry `index[l]` of a shared table of `entries` entries. Reads the whole table.
    fn select_shared(&self, out: &mut [Self::Word], table: &[Self::Word], entries: usize, index: &[u64]);

    /// As `select`, at public indices: reads only what is asked for.
    fn pick(&self, out: &mut [Self::Word], table: &[Self::Word], index: &[usize]);
    /// Writes lane l of `block` to lane l of block `index[l]` of the table, at public indices.
    fn put(&self, table: &mut [Self::Word], index: &[usize], block: &[Self::Word]);
}

/// What engines of `LANES` lanes have in common; they have a field `one`, and a module `table`. With the widths of windows.
#[cfg(target_arch = "x86_64")]
macro_rules! lane_blocks {
    ($lane_window:literal, $shared_window:literal) => {
        const LANES: usize = LANES;
        const LANE_WINDOW: usize = $lane_window;
        const SHARED_WINDOW: usize = $shared_window;
        type Word = Word;

        fn zero(&self) -> Word {
            Word::default()
        }

        fn one(&self) -> &[Word] {
            &self.one
        }

        fn width(&self) -> usize {
            self.one.len()
        }

        fn load<'a>(&self, out: &mut [Word], lanes: impl Iterator<Item = &'a Residue>) {
            lanes::gather(out, lanes.map(Residue::digits));
        }

        fn store(&self, block: &[Word], lane: usize) -> Residue {
            Residue::from_digits(lanes::scatter(block, lane))
        }

        fn select(&self, out: &mut [Word], blocks: &[Word], index: &[u64]) {
            table::select(out, blocks, index);
        }

        fn share(&self, blocks: &[Word], lanes: usize) -> Vec<Vec<Word>> {
            table::share(blocks, self.width(), lanes)
        }

        fn select_shared(&self, out: &mut [Word], entries: &[Word], count: usize, index: &[u64]) {
            table::select_shared(out, entries, count, index);
        }

        fn pick(&self, out: &mut [Word], blocks: &[Word], index: &[usize]) {
            lanes::pick(out, blocks, index);
        }

        fn put(&self, blocks: &mut [Word], index: &[usize], block: &[Word]) {
            lanes::put(blocks, index, block);
        }
    };
}
#[cfg(target_arch = "x86_64")]
pub(crate) use lane_blocks;

/// Memory for `blocks` blocks, wiped when dropped: it holds powers that tell about secret exponents.
pub(crate) struct Blocks<E: Engine> {
    words: Vec<E::Word>,
    width: usize,
}

impl<E: Engine> Blocks<E> {
    pub(crate) fn new(engine: &E, blocks: usize) -> Self {
        Blocks { words: vec![engine.zero(); blocks * engine.width()], width: engine.width() }
    }

    pub(crate) fn all(&self) -> &[E::Word] {
        &self.words
    }

    pub(crate) fn all_mut(&mut self) -> &mut [E::Word] {
        &mut self.words
    }

    pub(crate) fn get(&self, i: usize) -> &[E::Word] {
        &self.words[i * self.width..][..self.width]
    }

    pub(crate) fn get_mut(&mut self, i: usize) -> &mut [E::Word] {
        &mut self.words[i * self.width..][..self.width]
    }

    /// Blocks `..i` to read and block `i` to write.
    pub(crate) fn below(&mut self, i: usize) -> (&[E::Word], &mut [E::Word]) {
        let (below, rest) = self.words.split_at_mut(i * self.width);
        (below, &mut rest[..self.width])
    }
}

impl<E: Engine> Drop for Blocks<E> {
    fn drop(&mut self) {
        self.words.as_mut_slice().zeroize();
    }
}

/// A running value with room for the next one, so that no step copies or allocates.
pub(crate) struct Accumulator<'e, E: Engine> {
    engine: &'e E,
    now: Blocks<E>,
    next: Blocks<E>,
}

impl<'e, E: Engine> Accumulator<'e, E> {
    pub(crate) fn one(engine: &'e E) -> Self {
        let mut now = Blocks::new(engine, 1);
        now.all_mut().copy_from_slice(engine.one());
        Accumulator { engine, now, next: Blocks::new(engine, 1) }
    }

    pub(crate) fn load<'a>(engine: &'e E, lanes: impl Iterator<Item = &'a Residue>) -> Self {
        let mut now = Blocks::new(engine, 1);
        engine.load(now.all_mut(), lanes);
        Accumulator { engine, now, next: Blocks::new(engine, 1) }
    }

    pub(crate) fn mul_residues<'a>(&mut self, by: impl Iterator<Item = &'a Residue>) {
        let mut block = Blocks::new(self.engine, 1);
        self.engine.load(block.all_mut(), by);
        self.mul(block.all());
    }

    pub(crate) fn set(&mut self, block: &[E::Word]) {
        self.now.all_mut().copy_from_slice(block);
    }

    pub(crate) fn mul(&mut self, by: &[E::Word]) {
        self.engine.mul(self.next.all_mut(), self.now.all(), by);
        std::mem::swap(&mut self.now, &mut self.next);
    }

    pub(crate) fn square(&mut self, times: usize) {
        for _ in 0..times {
            self.engine.square(self.next.all_mut(), self.now.all());
            std::mem::swap(&mut self.now, &mut self.next);
        }
    }

    pub(crate) fn get(&self) -> &[E::Word] {
        self.now.all()
    }

    /// The first `count` lanes.
    pub(crate) fn residues(&self, count: usize) -> Vec<Residue> {
        (0..count).map(|lane| self.engine.store(self.now.all(), lane)).collect()
    }
}
