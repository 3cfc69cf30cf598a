//! Tagged, length-prefixed hashing: two different inputs never give the same bytes to the hash.

use num_bigint::BigUint;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// What goes in before a field.
pub(crate) fn length_prefix(field: &[u8]) -> [u8; 8] {
    (field.len() as u64).to_be_bytes()
}

/// A hash of fields, each preceded by its length, under a tag that names the purpose.
#[derive(Clone)]
pub(crate) struct Transcript(Sha256);

impl Transcript {
    pub(crate) fn new(tag: &str) -> Self {
        Self(Sha256::new()).bytes(tag.as_bytes())
    }

    pub(crate) fn bytes(mut self, field: &[u8]) -> Self {
        self.0.update(length_prefix(field));
        self.0.update(field);
        self
    }

    /// Fields that have their lengths before them already.
    pub(crate) fn prefixed(mut self, fields: &[u8]) -> Self {
        self.0.update(fields);
        self
    }

    pub(crate) fn int(self, field: u64) -> Self {
        self.bytes(&field.to_be_bytes())
    }

    pub(crate) fn number(self, field: &BigUint) -> Self {
        self.bytes(&field.to_bytes_be())
    }

    /// A list: its length, then its elements.
    pub(crate) fn numbers(self, fields: &[BigUint]) -> Self {
        fields.iter().fold(self.int(fields.len() as u64), Self::number)
    }

    pub(crate) fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }

    /// A number below 2^(8·`bytes`), uniform if the hash is a random function.
    pub(crate) fn expand(self, bytes: usize) -> BigUint {
        BigUint::from_bytes_be(&self.expand_bytes(bytes))
    }

    /// SHA-256 in counter mode.
    pub(crate) fn expand_bytes(self, bytes: usize) -> Zeroizing<Vec<u8>> {
        let seed = Zeroizing::new(self.finish());
        let mut stream = Zeroizing::new(Vec::with_capacity(bytes.next_multiple_of(32)));
        for counter in 0..bytes.div_ceil(32) as u64 {
            stream.extend_from_slice(&Self::new("confab expand").bytes(&*seed).int(counter).finish());
        }
        stream.truncate(bytes);
        stream
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_run_together() {
        let one = Transcript::new("t").bytes(b"ab").bytes(b"c").finish();
        let other = Transcript::new("t").bytes(b"a").bytes(b"bc").finish();
        assert_ne!(one, other);
        assert_ne!(one, Transcript::new("u").bytes(b"ab").bytes(b"c").finish());
    }

    #[test]
    fn expands_to_the_length_asked_for() {
        let x = Transcript::new("t").expand(100);
        assert!(x.bits() > 780 && x.bits() <= 800, "{}", x.bits());
    }
}
