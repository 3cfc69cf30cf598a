//! Which arithmetic runs: chosen once per process, from what the processor offers.

#[cfg(target_arch = "x86_64")]
use crate::ifma;
use crate::portable;
use std::sync::OnceLock;

/// An implementation of the arithmetic. All give the same results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Backend {
    /// Scalar 64-bit limbs; runs everywhere.
    Portable,
    /// Eight residues side by side with AVX-512 IFMA.
    Ifma,
}

impl Backend {
    /// The name used in reports and in the environment variable.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Portable => "portable",
            Backend::Ifma => "avx512ifma",
        }
    }

    /// Whether this processor can run it.
    pub fn is_available(self) -> bool {
        match self {
            Backend::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Backend::Ifma => ifma::is_available(),
            #[cfg(not(target_arch = "x86_64"))]
            Backend::Ifma => false,
        }
    }

    /// The radix in bits and the digits of a modulus of `bits` bits, and the residues of a block.
    pub(crate) fn shape(self, bits: u64) -> Shape {
        match self {
            Backend::Portable => {
                Shape { radix: portable::RADIX, digits: portable::digit_count(bits), lanes: 1 }
            }
            #[cfg(target_arch = "x86_64")]
            Backend::Ifma => {
                Shape { radix: ifma::RADIX, digits: ifma::digit_count(bits), lanes: ifma::LANES }
            }
            #[cfg(not(target_arch = "x86_64"))]
            Backend::Ifma => unreachable!("no modulus is made for a backend that is not available"),
        }
    }

    /// The fastest backend of this processor, or the portable one if the environment variable `CONFAB_MODEXP` is
    /// `portable`. Read once per process.
    pub fn detect() -> Backend {
        static CHOICE: OnceLock<Backend> = OnceLock::new();
        *CHOICE.get_or_init(|| {
            let forced = std::env::var("CONFAB_MODEXP").is_ok_and(|v| v.eq_ignore_ascii_case("portable"));
            if !forced && Backend::Ifma.is_available() { Backend::Ifma } else { Backend::Portable }
        })
    }
}

/// How a backend holds residues.
pub(crate) struct Shape {
    pub(crate) radix: u32,
    pub(crate) digits: usize,
    pub(crate) lanes: usize,
}

impl std::fmt::Display for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
