//! Eight residues side by side with AVX-512 IFMA: digits of 52 bits, digit i of eight residues in one register.
//!
//! `kernel` has the products and reductions, `single` arithmetic modulo N, `dual` modulo N² in two parts, `table` the
//! look-ups, `row` arithmetic modulo N² on a single residue. Unsafe code is confined to this folder. Its one promise to the rest of the crate: an engine of this folder
//! exists only where [`is_available`] was true, so that its instructions exist.

#![allow(unsafe_code)]

mod dual;
mod floor;
mod kernel;
mod row;
mod single;
mod table;

pub(crate) use dual::Dual;
pub(crate) use floor::multiply_adds_per_second;
pub(crate) use row::Row;
pub(crate) use single::Single;

use crate::number::neg_inverse;
use zeroize::DefaultIsZeroes;

/// Residues side by side.
pub(crate) const LANES: usize = 8;
/// Bits of a digit.
pub(crate) const RADIX: u32 = 52;

/// Whether the processor has the instructions that this folder uses.
pub(crate) fn is_available() -> bool {
    std::arch::is_x86_feature_detected!("avx512f") && std::arch::is_x86_feature_detected!("avx512ifma")
}

/// Digits for a modulus of `bits` bits: four bits to spare, so that no intermediate value needs to be reduced below
/// 2N, and a count that the kernel's block width divides.
pub(crate) fn digit_count(bits: u64) -> usize {
    let digits = (bits + 4).div_ceil(u64::from(RADIX)) as usize;
    if digits <= kernel::NARROW { kernel::NARROW } else { digits.next_multiple_of(kernel::WIDE) }
}

/// The most digits of a modulus.
const MAX_DIGITS: usize = 80;

/// One digit of eight residues.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(64))]
pub(crate) struct Word([u64; LANES]);

impl DefaultIsZeroes for Word {}

impl AsRef<[u64]> for Word {
    fn as_ref(&self) -> &[u64] {
        &self.0
    }
}

impl AsMut<[u64]> for Word {
    fn as_mut(&mut self) -> &mut [u64] {
        &mut self.0
    }
}

/// A modulus for each lane, with the constants of Montgomery reduction, R = 2^(52·digits).
#[derive(Debug)]
struct Moduli {
    n: Vec<Word>,
    /// −N⁻¹ modulo 2^52.
    n0: Word,
}

impl Moduli {
    /// From the digits of each lane's modulus.
    fn new(lanes: [&[u64]; LANES]) -> Self {
        assert!(is_available(), "an engine without its instructions");
        let digits = lanes[0].len();
        assert!(digits == kernel::NARROW || (digits.is_multiple_of(kernel::WIDE) && digits <= MAX_DIGITS));
        let mask = (1 << RADIX) - 1;
        Moduli {
            n: (0..digits).map(|d| Word(std::array::from_fn(|l| lanes[l][d]))).collect(),
            n0: Word(std::array::from_fn(|l| neg_inverse(lanes[l][0]) & mask)),
        }
    }

    fn digits(&self) -> usize {
        self.n.len()
    }
}
