//! What the processor can do at best.

use std::arch::x86_64::*;
use std::time::{Duration, Instant};

/// Multiply-add instructions of eight lanes that one core does in a second: the fastest of many short runs of nothing
/// but `vpmadd52luq` and `vpmadd52huq` on registers.
pub(crate) fn multiply_adds_per_second() -> f64 {
    /// More than latency times throughput on any processor.
    const CHAINS: usize = 16;
    const ROUNDS: u64 = 2_000;

    #[target_feature(enable = "avx512f,avx512ifma")]
    fn run() -> u64 {
        let (x, y) = (_mm512_set1_epi64(std::hint::black_box(3)), _mm512_set1_epi64(std::hint::black_box(5)));
        let mut sums = [_mm512_setzero_si512(); CHAINS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm512_madd52lo_epu64(*sum, x, y);
            }
            for sum in &mut sums {
                *sum = _mm512_madd52hi_epu64(*sum, x, y);
            }
        }
        let total = sums.into_iter().fold(_mm512_setzero_si512(), |total, sum| _mm512_xor_si512(total, sum));
        _mm512_reduce_add_epi64(total) as u64
    }
    assert!(super::is_available(), "no AVX-512 IFMA");
    let mut best = Duration::MAX;
    for _ in 0..1_000 {
        let start = Instant::now();
        // SAFETY: the instructions exist.
        std::hint::black_box(unsafe { run() });
        best = best.min(start.elapsed());
    }
    (2 * CHAINS as u64 * ROUNDS) as f64 / best.as_secs_f64()
}
