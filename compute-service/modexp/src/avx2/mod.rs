//! Four residues side by side with AVX2: digits of 27 bits in 64-bit lanes.
//!
//! 27 bits, because 2^10 products of such digits fit into a lane. A product of 27 bits by one instruction is worth less
//! than one of 60, but there are eight in the time of one of those.
//!
//! Unsafe code of this folder has one reason: intrinsics. Its promise to the rest of the crate: an engine of this folder
//! exists only where [`is_available`] was true, so that its instructions exist.

#![allow(unsafe_code)]

mod digit;
mod engines;
mod table;

pub(crate) use digit::{LANES, multiply_adds_per_second};
pub(crate) use engines::{Dual, Single};

use crate::columns::W;

/// Bits of a digit.
pub(crate) const RADIX: u32 = 27;

/// Digits of the longest modulus. A column gets at most 3·152 < 2^10 products.
const MAX_DIGITS: usize = digit_count(crate::MAX_BITS);

/// Whether the processor has the instructions that this folder uses.
pub(crate) fn is_available() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
}

/// Digits for a modulus of `bits` bits, at least four bits to spare.
pub(crate) const fn digit_count(bits: u64) -> usize {
    ((bits + 4).div_ceil(RADIX as u64) as usize).next_multiple_of(W)
}
