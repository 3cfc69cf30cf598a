//! Arithmetic modulo N, or another N in each lane, and modulo N² on two parts.

use super::digit::{LANES, Word};
use super::{MAX_DIGITS, RADIX, is_available, table};
use crate::columns::Reducer;
use crate::engine::{Engine, lane_blocks};
use crate::lanes::{self, broadcast};
use crate::number::neg_inverse;
use crate::ring::Residue;

type Moduli = Reducer<Word, MAX_DIGITS>;

/// A modulus for each lane, from its digits.
fn moduli(lanes: [&[u64]; LANES]) -> Moduli {
    assert!(is_available(), "an engine without its instructions");
    let mut n = vec![Word::default(); lanes[0].len()];
    lanes::gather(&mut n, lanes.into_iter());
    let n0 = lanes.map(|digits| neg_inverse(digits[0]) & ((1 << RADIX) - 1));
    Reducer::new(&n, n0.into())
}

/// A residue is x·R mod N, below 2N.
#[derive(Debug)]
pub(crate) struct Single {
    moduli: Moduli,
    one: Vec<Word>,
}

impl Single {
    /// N in every lane; `one` is R mod N.
    pub(crate) fn new(n: &[u64], one: &[u64]) -> Self {
        Single { moduli: moduli([n; LANES]), one: broadcast(one) }
    }

    /// An N for each lane, all of as many digits.
    pub(crate) fn with_moduli(n: [&[u64]; LANES], one: [&[u64]; LANES]) -> Self {
        let mut ones = vec![Word::default(); n[0].len()];
        lanes::gather(&mut ones, one.into_iter());
        Single { moduli: moduli(n), one: ones }
    }
}

impl Engine for Single {
    lane_blocks!(5, 5);

    fn mul(&self, out: &mut [Word], a: &[Word], b: &[Word]) {
        #[target_feature(enable = "avx2")]
        fn run(moduli: &Moduli, out: &mut [Word], a: &[Word], b: &[Word]) {
            moduli.multiply(out, a, b);
        }
        // SAFETY: moduli exist only where the instructions do.
        unsafe { run(&self.moduli, out, a, b) }
    }

    fn square(&self, out: &mut [Word], a: &[Word]) {
        #[target_feature(enable = "avx2")]
        fn run(moduli: &Moduli, out: &mut [Word], a: &[Word]) {
            moduli.square(out, a);
        }
        // SAFETY: moduli exist only where the instructions do.
        unsafe { run(&self.moduli, out, a) }
    }
}

/// Modulo N²: x·R = x₀ + x₁·N modulo N², both parts below 2N.
#[derive(Debug)]
pub(crate) struct Dual {
    moduli: Moduli,
    one_minus_r: Vec<Word>,
    one: Vec<Word>,
}

impl Dual {
    /// `one` is R mod N² in two parts, `one_minus_r` is 1 − R mod N.
    pub(crate) fn new(n: &[u64], one: &[u64], one_minus_r: &[u64]) -> Self {
        Dual { moduli: moduli([n; LANES]), one_minus_r: broadcast(one_minus_r), one: broadcast(one) }
    }
}

impl Engine for Dual {
    lane_blocks!(5, 5);

    fn mul(&self, out: &mut [Word], a: &[Word], b: &[Word]) {
        #[target_feature(enable = "avx2")]
        fn run(engine: &Dual, out: &mut [Word], a: &[Word], b: &[Word]) {
            engine.moduli.multiply_dual(&engine.one_minus_r, out, a, b);
        }
        // SAFETY: moduli exist only where the instructions do.
        unsafe { run(self, out, a, b) }
    }

    fn square(&self, out: &mut [Word], a: &[Word]) {
        #[target_feature(enable = "avx2")]
        fn run(engine: &Dual, out: &mut [Word], a: &[Word]) {
            engine.moduli.square_dual(&engine.one_minus_r, out, a);
        }
        // SAFETY: moduli exist only where the instructions do.
        unsafe { run(self, out, a) }
    }
}
