//! A digit of four residues, in one register.

use super::RADIX;
use crate::columns::Digit;
use std::arch::x86_64::*;
use std::time::{Duration, Instant};
use zeroize::DefaultIsZeroes;

/// Residues side by side.
pub(crate) const LANES: usize = 4;

/// Four digits, or four sums of products.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Word(pub(super) __m256i);

impl From<[u64; LANES]> for Word {
    fn from(lanes: [u64; LANES]) -> Self {
        // SAFETY: both are 32 bytes, and all bytes are allowed in both.
        Word(unsafe { std::mem::transmute::<[u64; LANES], __m256i>(lanes) })
    }
}

impl Default for Word {
    fn default() -> Self {
        [0; LANES].into()
    }
}

impl DefaultIsZeroes for Word {}

impl AsRef<[u64]> for Word {
    fn as_ref(&self) -> &[u64] {
        // SAFETY: as in `from`; a register's alignment is no less.
        unsafe { &*std::ptr::from_ref(self).cast::<[u64; LANES]>() }
    }
}

impl AsMut<[u64]> for Word {
    fn as_mut(&mut self) -> &mut [u64] {
        // SAFETY: as in `as_ref`.
        unsafe { &mut *std::ptr::from_mut(self).cast::<[u64; LANES]>() }
    }
}

const MASK: i64 = (1 << RADIX) - 1;

/// `inline(always)` excludes `target_feature`, hence one condition for all of it:
///
/// SAFETY (every function): they are called by the engines alone, which exist only where AVX2 does.
impl Digit for Word {
    type Sum = Word;

    #[inline(always)]
    fn add_product(sum: Word, x: Word, y: Word) -> Word {
        Word(unsafe { _mm256_add_epi64(sum.0, _mm256_mul_epu32(x.0, y.0)) })
    }

    #[inline(always)]
    fn add(x: Word, y: Word) -> Word {
        Word(unsafe { _mm256_add_epi64(x.0, y.0) })
    }

    #[inline(always)]
    fn widen(self) -> Word {
        self
    }

    #[inline(always)]
    fn low(sum: Word) -> Word {
        Word(unsafe { _mm256_and_si256(sum.0, _mm256_set1_epi64x(MASK)) })
    }

    #[inline(always)]
    fn high(sum: Word) -> Word {
        Word(unsafe { _mm256_srli_epi64::<{ RADIX as i32 }>(sum.0) })
    }

    #[inline(always)]
    fn quotient(sum: Word, n0: Word) -> Word {
        // The product of the lower 32 bits has the right lowest digit.
        Self::low(Word(unsafe { _mm256_mul_epu32(sum.0, n0.0) }))
    }

    #[inline(always)]
    fn complement_plus(self, constant: Word) -> Word {
        Self::add(Word(unsafe { _mm256_sub_epi64(_mm256_set1_epi64x(MASK), self.0) }), constant)
    }

    #[inline(always)]
    fn twice(self, carry: Word) -> (Word, Word) {
        let sum = Self::add(Self::add(self, self), carry);
        (Self::low(sum), Self::high(sum))
    }
}

/// Multiplications and additions of four lanes that one core does in a second: the fastest of many short runs on
/// registers alone.
pub(crate) fn multiply_adds_per_second() -> f64 {
    /// As many as there are registers for.
    const CHAINS: usize = 12;
    const ROUNDS: u64 = 2_000;

    #[target_feature(enable = "avx2")]
    fn run(mut sums: [Word; CHAINS], x: Word) -> Word {
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = Word::add_product(*sum, x, *sum);
            }
        }
        sums.into_iter().fold(x, Word::add)
    }
    assert!(super::is_available(), "no AVX2");
    let mut best = Duration::MAX;
    for _ in 0..1_000 {
        let start = Instant::now();
        let (sums, x) = std::hint::black_box(([[5; LANES].into(); CHAINS], [3; LANES].into()));
        // SAFETY: the instructions exist.
        std::hint::black_box(unsafe { run(sums, x) });
        best = best.min(start.elapsed());
    }
    (CHAINS as u64 * ROUNDS) as f64 / best.as_secs_f64()
}
