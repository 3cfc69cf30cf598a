//! Arithmetic modulo N, or modulo another N in each lane.

use super::{LANES, Moduli, Word, kernel, table};
use crate::engine::{Engine, lane_blocks};
use crate::lanes::{self, broadcast};
use crate::ring::Residue;

/// A residue is x·R mod N, below 2N.
#[derive(Debug)]
pub(crate) struct Single {
    moduli: Moduli,
    one: Vec<Word>,
}

impl Single {
    /// N in every lane; `one` is R mod N.
    pub(crate) fn new(n: &[u64], one: &[u64]) -> Self {
        Single { moduli: Moduli::new([n; LANES]), one: broadcast(one) }
    }

    /// An N for each lane, all of as many digits.
    pub(crate) fn with_moduli(n: [&[u64]; LANES], one: [&[u64]; LANES]) -> Self {
        let mut ones = vec![Word::default(); n[0].len()];
        lanes::gather(&mut ones, one.into_iter());
        Single { moduli: Moduli::new(n), one: ones }
    }
}

impl Engine for Single {
    lane_blocks!(5, 7);

    fn select_several(&self, out: &mut [Word], blocks: &[Word], index: &[u64]) {
        table::select_four(out, blocks, index);
    }

    fn mul(&self, out: &mut [Word], a: &[Word], b: &[Word]) {
        kernel::multiply_single(&self.moduli, out, a, b);
    }

    fn square(&self, out: &mut [Word], a: &[Word]) {
        kernel::square_single(&self.moduli, out, a);
    }
}
