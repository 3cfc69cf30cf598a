//! How near the processor's own limit an operation comes.

use crate::backend::Kernel;
use crate::engine::{Accumulator, Blocks, Engine};
use crate::ring::with_engine;
use crate::{Backend, Ring};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Products of two digits that one core does in a second when it does nothing else, measured now; takes about 10 ms.
///
/// A digit has 52 bits with AVX-512 IFMA, where eight residues' products take two multiply-add instructions, 27 bits with
/// AVX2, where four take a multiplication and an addition, and 60 bits without, where one is a multiplication. The
/// measurement uses registers only.
///
/// # Panics
/// If this processor does not have the backend.
pub fn floor(backend: Backend) -> f64 {
    match backend.kernel().expect("a backend of this processor") {
        Kernel::Scalar => scalar_multiplications_per_second(),
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx2 => crate::avx2::multiply_adds_per_second() * crate::avx2::LANES as f64,
        #[cfg(target_arch = "x86_64")]
        Kernel::Ifma => crate::ifma::multiply_adds_per_second() * crate::ifma::LANES as f64 / 2.0,
    }
}

/// Digit products of the operations of a [`Ring`], to compare their times with [`floor`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DigitProducts {
    /// Of a multiplication.
    pub multiplication: f64,
    /// Of a squaring.
    pub squaring: f64,
}

impl Ring {
    /// Digit products for each residue: 2D² and 1.5D² modulo N, 5D² and 3.5D² modulo N², of D digits.
    pub fn digit_products(&self) -> DigitProducts {
        let (digits, parts) = self.shape();
        let square = (digits * digits) as f64;
        if parts == 1 {
            DigitProducts { multiplication: 2.0 * square, squaring: 1.5 * square }
        } else {
            DigitProducts { multiplication: 5.0 * square, squaring: 3.5 * square }
        }
    }
}

/// Seconds that the innermost operations take, for each residue of a full block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KernelSeconds {
    /// Of a multiplication.
    pub multiplication: f64,
    /// Of a squaring.
    pub squaring: f64,
}

impl Ring {
    /// Measures the kernel alone, now: the fastest of some chains of multiplications, and of squarings, on one core. To be
    /// compared with [`digit_products`](Ring::digit_products) over [`floor`]. Takes some 10 ms.
    pub fn kernel_seconds(&self) -> KernelSeconds {
        fn measure<E: Engine>(engine: &E) -> KernelSeconds {
            const CHAIN: usize = 200;
            let fastest = |squaring: bool| {
                let mut factor = Blocks::new(engine, 1);
                factor.all_mut().copy_from_slice(engine.one());
                let mut value = Accumulator::one(engine);
                let seconds = (0..20).map(|_| {
                    let start = Instant::now();
                    for _ in 0..CHAIN {
                        if squaring { value.square(1) } else { value.mul(factor.all()) }
                    }
                    start.elapsed().as_secs_f64()
                });
                seconds.fold(f64::INFINITY, f64::min) / (CHAIN * E::LANES) as f64
            };
            KernelSeconds { multiplication: fastest(false), squaring: fastest(true) }
        }
        with_engine!(self, engine => measure(&**engine))
    }
}

fn scalar_multiplications_per_second() -> f64 {
    const CHAINS: usize = 8;
    const ROUNDS: usize = 2_000;
    let mut values: [u64; CHAINS] = black_box(std::array::from_fn(|i| 0x9e37_79b9_7f4a_7c15 ^ i as u64));
    let mut best = Duration::MAX;
    for _ in 0..500 {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            for value in &mut values {
                let product = u128::from(*value) * u128::from(0xd1b5_4a32_d192_ed03_u64);
                *value = product as u64 ^ (product >> 64) as u64;
            }
        }
        values = black_box(values);
        best = best.min(start.elapsed());
    }
    (CHAINS * ROUNDS) as f64 / best.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "measures time")]
    fn processors_do_between_a_tenth_and_a_hundred_products_a_nanosecond() {
        for backend in Backend::ALL.into_iter().filter(|b| b.is_available()) {
            let per_second = floor(backend);
            assert!((1e8..1e11).contains(&per_second), "{backend}: {per_second}");
        }
    }
}
