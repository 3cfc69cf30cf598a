//! The scalar backend: one residue at a time, in digits of 60 bits, without secret-dependent branches or addresses.
//!
//! 60 bits, because a column of 2^8 products of such digits fits into 128 bits: one product is a multiplication and two
//! additions, with no third word to carry into.

use crate::columns::{Digit, Reducer, W};
use crate::engine::Engine;
use crate::ring::Residue;

/// Bits of a digit.
pub(crate) const RADIX: u32 = 60;
const MASK: u64 = (1 << RADIX) - 1;

/// Digits of the longest modulus. A column gets at most 3·72 < 2^8 products.
const MAX_DIGITS: usize = digit_count(crate::MAX_BITS);

/// Digits for a modulus of `bits` bits, at least four bits to spare.
pub(crate) const fn digit_count(bits: u64) -> usize {
    ((bits + 4).div_ceil(RADIX as u64) as usize).next_multiple_of(W)
}

impl Digit for u64 {
    type Sum = u128;

    #[inline(always)]
    fn add_product(sum: u128, x: u64, y: u64) -> u128 {
        // In this order of the operands the compiler adds to the sum in place.
        (u128::from(x) * u128::from(y)).wrapping_add(sum)
    }

    #[inline(always)]
    fn add(x: u128, y: u128) -> u128 {
        x.wrapping_add(y)
    }

    #[inline(always)]
    fn widen(self) -> u128 {
        self.into()
    }

    #[inline(always)]
    fn low(sum: u128) -> u64 {
        sum as u64 & MASK
    }

    #[inline(always)]
    fn high(sum: u128) -> u128 {
        sum >> RADIX
    }

    #[inline(always)]
    fn quotient(sum: u128, n0: u64) -> u64 {
        (sum as u64).wrapping_mul(n0) & MASK
    }

    #[inline(always)]
    fn complement_plus(self, constant: u64) -> u64 {
        (MASK - self) + constant
    }

    #[inline(always)]
    fn twice(self, carry: u64) -> (u64, u64) {
        ((self << 1 | carry) & MASK, self >> (RADIX - 1))
    }
}

/// Table access for blocks of one lane.
macro_rules! scalar_blocks {
    () => {
        const LANES: usize = 1;
        const LANE_WINDOW: usize = 6;
        const SHARED_WINDOW: usize = 5;
        type Word = u64;

        fn zero(&self) -> u64 {
            0
        }

        fn one(&self) -> &[u64] {
            &self.one
        }

        fn width(&self) -> usize {
            self.one.len()
        }

        fn load<'a>(&self, out: &mut [u64], mut lanes: impl Iterator<Item = &'a Residue>) {
            match lanes.next() {
                Some(residue) => out.copy_from_slice(residue.digits()),
                None => out.fill(0),
            }
        }

        fn store(&self, block: &[u64], _lane: usize) -> Residue {
            Residue::from_digits(block.to_vec())
        }

        fn select(&self, out: &mut [u64], table: &[u64], index: &[u64]) {
            let mut masks = [0; 1 << 6];
            for (i, mask) in (0u64..).zip(&mut masks) {
                // All ones where i is the index, else zero. The compiler must not know that it is one of the two: it
                // would make a branch of it, whose prediction shows in the time.
                let difference = i ^ index[0];
                *mask =
                    std::hint::black_box(((difference | difference.wrapping_neg()) >> 63).wrapping_sub(1));
            }
            let width = out.len();
            for (tile, out) in out.as_chunks_mut::<W>().0.iter_mut().enumerate() {
                let mut sum = [0; W];
                for (block, mask) in table.chunks_exact(width).zip(masks) {
                    for (sum, x) in sum.iter_mut().zip(&block.as_chunks::<W>().0[tile]) {
                        *sum |= x & mask;
                    }
                }
                *out = sum;
            }
        }

        fn share(&self, table: &[u64], _lanes: usize) -> Vec<Vec<u64>> {
            vec![table.to_vec()]
        }

        fn select_shared(&self, out: &mut [u64], table: &[u64], _entries: usize, index: &[u64]) {
            self.select(out, table, index);
        }

        fn pick(&self, out: &mut [u64], table: &[u64], index: &[usize]) {
            out.copy_from_slice(&table[index[0] * out.len()..][..out.len()]);
        }

        fn put(&self, table: &mut [u64], index: &[usize], block: &[u64]) {
            table[index[0] * block.len()..][..block.len()].copy_from_slice(block);
        }
    };
}

/// Modulo N: a residue is x·R mod N, below 2N.
#[derive(Debug)]
pub(crate) struct Single {
    reducer: Reducer<u64, MAX_DIGITS>,
    one: Vec<u64>,
}

impl Single {
    /// `one` is R mod N.
    pub(crate) fn new(n: &[u64], one: Vec<u64>) -> Self {
        Single { reducer: reducer(n), one }
    }
}

impl Engine for Single {
    scalar_blocks!();

    fn mul(&self, out: &mut [u64], a: &[u64], b: &[u64]) {
        self.reducer.multiply(out, a, b);
    }

    fn square(&self, out: &mut [u64], a: &[u64]) {
        self.reducer.square(out, a);
    }
}

/// Modulo N²: x·R = x₀ + x₁·N modulo N², both parts below 2N.
#[derive(Debug)]
pub(crate) struct Dual {
    reducer: Reducer<u64, MAX_DIGITS>,
    one_minus_r: Vec<u64>,
    one: Vec<u64>,
}

impl Dual {
    /// `one` is R mod N² in two parts, `one_minus_r` is 1 − R mod N.
    pub(crate) fn new(n: &[u64], one: Vec<u64>, one_minus_r: Vec<u64>) -> Self {
        Dual { reducer: reducer(n), one_minus_r, one }
    }
}

impl Engine for Dual {
    scalar_blocks!();

    fn mul(&self, out: &mut [u64], a: &[u64], b: &[u64]) {
        self.reducer.multiply_dual(&self.one_minus_r, out, a, b);
    }

    fn square(&self, out: &mut [u64], a: &[u64]) {
        self.reducer.square_dual(&self.one_minus_r, out, a);
    }
}

fn reducer(n: &[u64]) -> Reducer<u64, MAX_DIGITS> {
    Reducer::new(n, crate::number::neg_inverse(n[0]) & MASK)
}
