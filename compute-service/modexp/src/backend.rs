//! Which arithmetic runs: chosen once per process, from what the processor offers.

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
            Backend::Ifma => crate::ifma::is_available(),
            #[cfg(not(target_arch = "x86_64"))]
            Backend::Ifma => false,
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

impl std::fmt::Display for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
