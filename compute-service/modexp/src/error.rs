//! What can be wrong with the numbers that callers hand in.

/// The caller's mistake, never a foreign party's: code that reads foreign bytes turns these into errors of its own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Montgomery arithmetic needs an odd modulus.
    #[error("the modulus is even")]
    EvenModulus,
    /// The modulus has fewer or more bits than [`MIN_BITS`](crate::MIN_BITS)..=[`MAX_BITS`](crate::MAX_BITS).
    #[error("the modulus has {bits} bits, outside {min} to {max}", min = crate::MIN_BITS, max = crate::MAX_BITS)]
    ModulusSize {
        /// Bits of the refused modulus.
        bits: u64,
    },
    /// A value is not below the modulus: residues are taken in their canonical form only.
    #[error("the value is not below the modulus")]
    NotReduced,
    /// A value has a common factor with the modulus.
    #[error("value {index} has no inverse")]
    NotInvertible {
        /// Position of the first such value in the batch.
        index: usize,
    },
    /// A secret does not fit into the public width that was stated for it.
    #[error("the secret exponent does not fit into {width} bits")]
    ExponentTooLarge {
        /// The stated width in bits.
        width: usize,
    },
    /// `CONFAB_MODEXP` or a caller asks for a backend that this processor does not have.
    #[error("this processor has no {0} backend")]
    NoSuchBackend(&'static str),
}
