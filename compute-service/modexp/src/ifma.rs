//! Eight residues side by side with AVX-512 IFMA.

pub(crate) fn is_available() -> bool {
    false
}
