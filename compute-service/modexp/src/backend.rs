//! Which arithmetic runs: chosen once per process, from what the processor offers.

use crate::scalar;
#[cfg(target_arch = "x86_64")]
use crate::{avx2, ifma};
use std::sync::OnceLock;

/// An implementation of the arithmetic. All give the same results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Backend {
    /// One residue at a time in 64-bit limbs: all that `Portable` needs anywhere.
    Scalar,
    /// Runs everywhere: four residues side by side where there is AVX2, else as `Scalar`.
    Portable,
    /// Eight residues side by side with AVX-512 IFMA.
    Ifma,
}

/// What carries a backend out on this processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kernel {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Ifma,
}

impl Backend {
    /// All, the fastest first.
    pub const ALL: [Backend; 3] = [Backend::Ifma, Backend::Portable, Backend::Scalar];

    /// The name used in reports and in the environment variable.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Scalar => "scalar",
            Backend::Portable => "portable",
            Backend::Ifma => "avx512ifma",
        }
    }

    /// Whether this processor can run it.
    pub fn is_available(self) -> bool {
        self.kernel().is_some()
    }

    /// What carries it out on this processor, if anything does.
    pub(crate) fn kernel(self) -> Option<Kernel> {
        match self {
            #[cfg(target_arch = "x86_64")]
            Backend::Portable if avx2::is_available() => Some(Kernel::Avx2),
            Backend::Portable | Backend::Scalar => Some(Kernel::Scalar),
            #[cfg(target_arch = "x86_64")]
            Backend::Ifma => ifma::is_available().then_some(Kernel::Ifma),
            #[cfg(not(target_arch = "x86_64"))]
            Backend::Ifma => None,
        }
    }

    /// The fastest backend of this processor, or the one that the environment variable `CONFAB_MODEXP` names, if it is
    /// `portable` or `scalar`. Read once per process.
    pub fn detect() -> Backend {
        static CHOICE: OnceLock<Backend> = OnceLock::new();
        *CHOICE.get_or_init(|| {
            let wanted = std::env::var("CONFAB_MODEXP").unwrap_or_default();
            let named = [Backend::Portable, Backend::Scalar]
                .into_iter()
                .find(|b| b.name().eq_ignore_ascii_case(&wanted));
            let fastest = Backend::ALL.into_iter().find(|b| b.is_available());
            named.or(fastest).expect("the scalar backend runs everywhere")
        })
    }
}

impl Kernel {
    /// The radix in bits and the digits of a modulus of `bits` bits, and the residues of a block.
    pub(crate) fn shape(self, bits: u64) -> Shape {
        match self {
            Kernel::Scalar => Shape { radix: scalar::RADIX, digits: scalar::digit_count(bits), lanes: 1 },
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 => Shape { radix: avx2::RADIX, digits: avx2::digit_count(bits), lanes: avx2::LANES },
            #[cfg(target_arch = "x86_64")]
            Kernel::Ifma => Shape { radix: ifma::RADIX, digits: ifma::digit_count(bits), lanes: ifma::LANES },
        }
    }
}

/// How a kernel holds residues.
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
