//! Why parameters are refused, and checks that kinds of jobs share.

/// Why parameters are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct ParamsError {
    /// The field at fault.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

pub(crate) fn check_key_bits(bits: u32, insecure: bool) -> Result<(), ParamsError> {
    check((256..=4096).contains(&bits), "key_bits", "not in 256..=4,096")?;
    check(bits.is_multiple_of(64), "key_bits", "not a multiple of 64")?;
    check(
        bits >= 2048 || insecure,
        "key_bits",
        format!("{bits} bits can be broken; at least 2048, or consent with --insecure-key-bits"),
    )
}

pub(crate) fn check(holds: bool, field: &'static str, reason: impl Into<String>) -> Result<(), ParamsError> {
    if holds { Ok(()) } else { Err(ParamsError { field, reason: reason.into() }) }
}
