//! Arithmetic modulo N² on one residue at a time, its digits side by side.
//!
//! Eight lanes for a single residue would compute seven times nothing. Here a register holds eight digits of one number:
//! each digit of the multiplier adds a whole row, and the sums move down by a digit. A multiplication takes a little
//! longer than an eighth of what eight take in lanes. Digits and R are those of [`Dual`](super::Dual), so that residues
//! can go from one to the other.
//!
//! No branch and no address depends on digits.

use super::{LANES, RADIX, Word, table};
use crate::engine::Engine;
use crate::number::neg_inverse;
use crate::ring::Residue;
use std::arch::x86_64::*;

type V = __m512i;

const MASK: u64 = (1 << RADIX) - 1;

/// Modulo N²: x·R = x₀ + x₁·N modulo N² as in [`Dual`](super::Dual), each part in registers of eight digits.
#[derive(Debug)]
pub(crate) struct Row {
    /// Digits of a part.
    digits: usize,
    n: Vec<Word>,
    /// −N⁻¹ modulo 2^52.
    n0: u64,
    /// 1 − R mod N.
    one_minus_r: Vec<u64>,
    one: Vec<Word>,
}

impl Row {
    /// `one` is R mod N² in two parts, `one_minus_r` is 1 − R mod N. None for sizes that have no code here.
    pub(crate) fn new(n: &[u64], one: &[u64], one_minus_r: &[u64]) -> Option<Self> {
        assert!(super::is_available(), "an engine without its instructions");
        let digits = n.len();
        let registers = digits.div_ceil(LANES);
        let (mut modulus, mut unit) =
            (vec![Word::default(); registers], vec![Word::default(); 2 * registers]);
        spread(&mut modulus, n);
        spread_parts(&mut unit, one);
        matches!(registers, 2 | 3 | 5 | 8 | 10).then(|| Row {
            digits,
            n: modulus,
            n0: neg_inverse(n[0]) & MASK,
            one_minus_r: one_minus_r.to_vec(),
            one: unit,
        })
    }
}

/// Digits into registers, the rest zeros.
fn spread(out: &mut [Word], digits: &[u64]) {
    for (i, word) in out.iter_mut().enumerate() {
        let digit = |lane: usize| digits.get(LANES * i + lane).copied().unwrap_or(0);
        *word = Word(std::array::from_fn(digit));
    }
}

/// Two parts into as many registers each.
fn spread_parts(out: &mut [Word], digits: &[u64]) {
    let (low, high) = out.split_at_mut(out.len() / 2);
    spread(low, &digits[..digits.len() / 2]);
    spread(high, &digits[digits.len() / 2..]);
}

impl Engine for Row {
    const LANES: usize = 1;
    const LANE_WINDOW: usize = 5;
    const SHARED_WINDOW: usize = 5;
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

    fn load<'a>(&self, out: &mut [Word], mut lanes: impl Iterator<Item = &'a Residue>) {
        match lanes.next() {
            Some(residue) => spread_parts(out, residue.digits()),
            None => out.fill(Word::default()),
        }
    }

    fn store(&self, block: &[Word], _: usize) -> Residue {
        let (low, high) = block.split_at(self.n.len());
        let part = |part: &[Word]| part.iter().flat_map(|word| word.0).take(self.digits).collect::<Vec<_>>();
        Residue::from_digits([part(low), part(high)].concat())
    }

    fn mul(&self, out: &mut [Word], a: &[Word], b: &[Word]) {
        let k = self.n.len();
        assert!(out.len() == 2 * k && a.len() == 2 * k && b.len() == 2 * k, "residues of another modulus");
        // SAFETY: a `Row` exists only where the instructions do; lengths were just checked.
        unsafe {
            match k {
                2 => multiply::<2>(self, out, a, b),
                3 => multiply::<3>(self, out, a, b),
                5 => multiply::<5>(self, out, a, b),
                8 => multiply::<8>(self, out, a, b),
                _ => multiply::<10>(self, out, a, b),
            }
        }
    }

    fn square(&self, out: &mut [Word], a: &[Word]) {
        let k = self.n.len();
        assert!(out.len() == 2 * k && a.len() == 2 * k, "residues of another modulus");
        // SAFETY: as in `mul`.
        unsafe {
            match k {
                2 => square::<2>(self, out, a),
                3 => square::<3>(self, out, a),
                5 => square::<5>(self, out, a),
                8 => square::<8>(self, out, a),
                _ => square::<10>(self, out, a),
            }
        }
    }

    fn select(&self, out: &mut [Word], blocks: &[Word], index: &[u64]) {
        table::select(out, blocks, &[index[0]; LANES]);
    }

    fn share(&self, blocks: &[Word], _: usize) -> Vec<Vec<Word>> {
        vec![blocks.to_vec()]
    }

    fn select_shared(&self, out: &mut [Word], blocks: &[Word], _: usize, index: &[u64]) {
        self.select(out, blocks, index);
    }

    fn pick(&self, out: &mut [Word], blocks: &[Word], index: &[usize]) {
        out.copy_from_slice(&blocks[index[0] * out.len()..][..out.len()]);
    }

    fn put(&self, blocks: &mut [Word], index: &[usize], block: &[Word]) {
        blocks[index[0] * block.len()..][..block.len()].copy_from_slice(block);
    }
}

/// Sums of digit products, which a reduction moves down digit by digit. A lane gets at most 6·80 products of 52 bits.
///
/// Always inlined into `multiply` and `square`, which have the instructions. SAFETY (every function of this block):
/// AVX-512 IFMA exists.
struct Sums<const K: usize> {
    lanes: [V; K],
    /// Lane 0 with what overflowed from the digits below; the lane itself is without it.
    lowest: u64,
}

/// A row of digits, to be added in multiples.
struct Digits<const K: usize> {
    lanes: [V; K],
    lowest: u64,
}

impl<const K: usize> Digits<K> {
    #[inline(always)]
    unsafe fn new(words: &[Word]) -> Self {
        // SAFETY: a word is 64 aligned bytes.
        let lanes = std::array::from_fn(|k| unsafe { *(&raw const words[k]).cast::<V>() });
        Digits { lanes, lowest: words[0].0[0] }
    }
}

impl<const K: usize> Sums<K> {
    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the instruction exists.
        Sums { lanes: [unsafe { _mm512_setzero_si512() }; K], lowest: 0 }
    }

    /// Adds the low halves of the products with one digit.
    #[inline(always)]
    unsafe fn add_low(&mut self, row: &Digits<K>, digit: u64) {
        // SAFETY: the instructions exist.
        unsafe {
            let multiplier = _mm512_set1_epi64(digit as i64);
            for k in 0..K {
                self.lanes[k] = _mm512_madd52lo_epu64(self.lanes[k], row.lanes[k], multiplier);
            }
        }
        self.lowest += row.lowest.wrapping_mul(digit) & MASK;
    }

    /// Adds the high halves, after the move.
    #[inline(always)]
    unsafe fn add_high(&mut self, row: &Digits<K>, digit: u64) {
        // SAFETY: the instructions exist.
        unsafe {
            let multiplier = _mm512_set1_epi64(digit as i64);
            for k in 0..K {
                self.lanes[k] = _mm512_madd52hi_epu64(self.lanes[k], row.lanes[k], multiplier);
            }
        }
    }

    /// The multiple of n that makes the lowest digit 0.
    #[inline(always)]
    fn quotient(&self, n0: u64) -> u64 {
        self.lowest.wrapping_mul(n0) & MASK
    }

    /// Drops the lowest digit, which is 0; what is above it is left in `lowest`.
    #[inline(always)]
    unsafe fn move_down(&mut self) {
        self.lowest >>= RADIX;
        // SAFETY: the instructions exist.
        unsafe {
            for k in 0..K {
                let next = if k + 1 < K { self.lanes[k + 1] } else { _mm512_setzero_si512() };
                self.lanes[k] = _mm512_alignr_epi64::<1>(next, self.lanes[k]);
            }
        }
    }

    /// After the high halves: the new lane 0 joins what overflowed into it.
    #[inline(always)]
    unsafe fn settle(&mut self) {
        // SAFETY: the instruction exists.
        self.lowest += unsafe { _mm_cvtsi128_si64(_mm512_castsi512_si128(self.lanes[0])) } as u64;
    }

    /// Writes the digits with all carries passed on.
    #[inline(always)]
    unsafe fn write(mut self, out: &mut [Word]) {
        // SAFETY: the instructions exist; a word is 64 aligned bytes.
        unsafe {
            let mask = _mm512_set1_epi64(MASK as i64);
            self.lanes[0] = _mm512_mask_set1_epi64(self.lanes[0], 1, self.lowest as i64);
            let mut below = _mm512_setzero_si512();
            for lanes in &mut self.lanes {
                let carries = _mm512_srli_epi64::<RADIX>(*lanes);
                let moved = _mm512_alignr_epi64::<7>(carries, below);
                *lanes = _mm512_add_epi64(_mm512_and_si512(*lanes, mask), moved);
                below = carries;
            }
            // Now a carry is at most 1. It goes on through digits that are all ones, as in the sum of two numbers with a
            // bit for each digit.
            let (mut over, mut full) = (0u128, 0u128);
            for (k, lanes) in self.lanes.iter().enumerate() {
                over |= u128::from(_mm512_cmpgt_epu64_mask(*lanes, mask)) << (LANES * k);
                full |= u128::from(_mm512_cmpeq_epu64_mask(*lanes, mask)) << (LANES * k);
            }
            let receives = ((over << 1) + full) ^ full;
            for (k, lanes) in self.lanes.iter().enumerate() {
                let here = (receives >> (LANES * k)) as u8;
                let sum = _mm512_mask_add_epi64(*lanes, here, *lanes, _mm512_set1_epi64(1));
                *(&raw mut out[k]).cast::<V>() = _mm512_and_si512(sum, mask);
            }
        }
    }
}

/// `out` = a·b/R modulo N²: c₀ and, one digit behind its quotient m, c₁ = (a₀b₁ + a₁b₀ − m)/R.
#[target_feature(enable = "avx512f,avx512ifma")]
unsafe fn multiply<const K: usize>(row: &Row, out: &mut [Word], a: &[Word], b: &[Word]) {
    // SAFETY: the instructions exist; the digits read of b are those of its parts.
    unsafe {
        let n = Digits::<K>::new(&row.n);
        let (a0, a1) = (Digits::<K>::new(a), Digits::<K>::new(&a[K..]));
        let (b0, b1) = (b.as_ptr().cast::<u64>(), b.as_ptr().add(K).cast::<u64>());
        let (mut c0, mut c1) = (Sums::<K>::zero(), Sums::<K>::zero());
        for i in 0..row.digits {
            let (x0, x1) = (*b0.add(i), *b1.add(i));
            c0.add_low(&a0, x0);
            let m0 = c0.quotient(row.n0);
            c0.add_low(&n, m0);
            c1.add_low(&a0, x1);
            c1.add_low(&a1, x0);
            c1.lowest += MASK - m0 + row.one_minus_r[i];
            let m1 = c1.quotient(row.n0);
            c1.add_low(&n, m1);
            c0.move_down();
            c1.move_down();
            c0.add_high(&a0, x0);
            c0.add_high(&n, m0);
            c1.add_high(&a0, x1);
            c1.add_high(&a1, x0);
            c1.add_high(&n, m1);
            c0.settle();
            c1.settle();
        }
        c0.write(out);
        c1.write(&mut out[K..]);
    }
}

/// `out` = a²/R modulo N²; as `multiply`, with a₀b₁ + a₁b₀ = a₀·2a₁.
#[target_feature(enable = "avx512f,avx512ifma")]
unsafe fn square<const K: usize>(row: &Row, out: &mut [Word], a: &[Word]) {
    // SAFETY: as in `multiply`; `twice` has the digits of a part.
    unsafe {
        let n = Digits::<K>::new(&row.n);
        let a0 = Digits::<K>::new(a);
        let mut twice = [Word::default(); K];
        let mut below = _mm512_setzero_si512();
        for k in 0..K {
            let x = *(&raw const a[K + k]).cast::<V>();
            let top = _mm512_srli_epi64::<{ RADIX - 1 }>(x);
            let bits = _mm512_or_si512(_mm512_slli_epi64::<1>(x), _mm512_alignr_epi64::<7>(top, below));
            *(&raw mut twice[k]).cast::<V>() = _mm512_and_si512(bits, _mm512_set1_epi64(MASK as i64));
            below = top;
        }
        let (b0, b1) = (a.as_ptr().cast::<u64>(), twice.as_ptr().cast::<u64>());
        let (mut c0, mut c1) = (Sums::<K>::zero(), Sums::<K>::zero());
        for i in 0..row.digits {
            let (x0, x1) = (*b0.add(i), *b1.add(i));
            c0.add_low(&a0, x0);
            let m0 = c0.quotient(row.n0);
            c0.add_low(&n, m0);
            c1.add_low(&a0, x1);
            c1.lowest += MASK - m0 + row.one_minus_r[i];
            let m1 = c1.quotient(row.n0);
            c1.add_low(&n, m1);
            c0.move_down();
            c1.move_down();
            c0.add_high(&a0, x0);
            c0.add_high(&n, m0);
            c1.add_high(&a0, x1);
            c1.add_high(&n, m1);
            c0.settle();
            c1.settle();
        }
        c0.write(out);
        c1.write(&mut out[K..]);
    }
}
