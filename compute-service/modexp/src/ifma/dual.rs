//! Arithmetic modulo N² on two parts.

use super::{LANES, Moduli, Word, kernel, table};
use crate::engine::{Engine, lane_blocks};
use crate::lanes::{self, broadcast};
use crate::ring::Residue;

/// Modulo N²: x·R = x₀ + x₁·N modulo N², both parts below 2N.
///
/// From a₀b₀ + m·N = R·c₀ follows ab ≡ R·(c₀ + c₁·N) with c₁ = (a₀b₁ + a₁b₀ − m)/R mod N: five products of half the
/// size for a multiplication, three and a half for a squaring. Nothing is ever subtracted: with N < R/16, all parts stay
/// below 2N.
#[derive(Debug)]
pub(crate) struct Dual {
    moduli: Moduli,
    one_minus_r: Vec<Word>,
    one: Vec<Word>,
}

impl Dual {
    /// `one` is R mod N² in two parts, `one_minus_r` is 1 − R mod N.
    pub(crate) fn new(n: &[u64], one: &[u64], one_minus_r: &[u64]) -> Self {
        Dual { moduli: Moduli::new([n; LANES]), one_minus_r: broadcast(one_minus_r), one: broadcast(one) }
    }
}

impl Engine for Dual {
    lane_blocks!(5, 7);

    fn select_several(&self, out: &mut [Word], blocks: &[Word], index: &[u64]) {
        table::select_four(out, blocks, index);
    }

    fn mul(&self, out: &mut [Word], a: &[Word], b: &[Word]) {
        kernel::multiply_dual(&self.moduli, &self.one_minus_r, out, a, b);
    }

    fn square(&self, out: &mut [Word], a: &[Word]) {
        kernel::square_dual(&self.moduli, &self.one_minus_r, out, a);
    }
}
