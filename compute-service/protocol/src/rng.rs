use crate::Context;
use rand_chacha::ChaCha20Rng;
use rand_core::{Infallible, SeedableRng, TryCryptoRng, TryRng};
use sha2::{Digest, Sha256};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The secret from which a member derives all randomness of one job.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct JobSecret([u8; 32]);

impl fmt::Debug for JobSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JobSecret(…)")
    }
}

impl JobSecret {
    /// From 32 bytes of the operating system's randomness (or a test's).
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for the node's store.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// A key for one purpose, e.g. the salt of a model digest.
    pub fn derive(&self, context: &(impl Context + ?Sized), purpose: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in [&self.0[..], b"confab purpose", &context.bytes(), purpose.as_bytes()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
}

/// The randomness of one step: ChaCha20 keyed with a hash of job secret, context, step and inputs, so that repeating a
/// step repeats its record and changing its inputs changes its randomness.
pub struct StepRng(ChaCha20Rng);

impl StepRng {
    /// The generator for one step, of a job a slot; `inputs` is [`crate::Protocol::input_digest`].
    pub fn new(
        secret: &JobSecret,
        context: &(impl Context + ?Sized),
        step: impl fmt::Display,
        inputs: &[u8; 32],
    ) -> Self {
        let purpose = format!("step {step} {}", inputs.map(|b| format!("{b:02x}")).concat());
        let mut seed = secret.derive(context, &purpose);
        let rng = ChaCha20Rng::from_seed(seed);
        seed.zeroize();
        Self(rng)
    }
}

impl TryRng for StepRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.0.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0.try_next_u64()
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.try_fill_bytes(bytes)
    }
}

impl TryCryptoRng for StepRng {}
