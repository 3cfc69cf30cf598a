//! A threshold key without a dealer (`docs/protocols.md` 1).

mod schedule;

use super::JobKind;
use crate::{
    Fingerprint, JobId, MspId, ParamsError,
    params::{check, check_key_bits},
    schedule::PhaseSchedule,
};
use schedule::Generation;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Bytes of one chunk: in base64 and with everything around it, below the size of a record.
pub(super) const CHUNK: usize = 180 * 1024;
/// What sealing a message to one member adds: an X25519 key and a tag.
pub(super) const SEAL: usize = 32 + 16;

/// Bits in which numbers up to n fit.
pub(super) fn log2(n: u32) -> usize {
    n.next_power_of_two().ilog2() as usize
}

/// Parameters of a key generation without a dealer (`docs/protocols.md` 1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyGeneration {
    /// What the key may be used for, e.g. `training`.
    pub purpose: String,
    /// Bits of the modulus N.
    pub key_bits: u32,
    /// Consent to a modulus below 2,048 bits.
    #[serde(default)]
    pub insecure_key_bits: bool,
    /// How many members decrypt together.
    pub quorum: u32,
    /// Against whom the factors are protected.
    pub against: Collusion,
    /// Candidates for N in one batch.
    pub candidates: u32,
}

/// How many colluding members may not learn the factors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Collusion {
    /// ⌊(n−1)/2⌋, for three or more members: shares of Ben-Or, Goldwasser and Wigderson.
    Minority,
    /// All but one: products in pairs under the members' own Paillier keys.
    AllButOne,
}

impl KeyGeneration {
    /// How many members may collude.
    pub fn collusion_bound(&self, parties: u32) -> u32 {
        match self.against {
            Collusion::Minority => (parties - 1) / 2,
            Collusion::AllButOne => parties - 1,
        }
    }
}

impl JobKind for KeyGeneration {
    fn validate(&self, n: u32) -> Result<(), ParamsError> {
        check_purpose(&self.purpose)?;
        check_key_bits(self.key_bits, self.insecure_key_bits)?;
        check((2..=n).contains(&self.quorum), "quorum", format!("not in 2..={n}"))?;
        check(
            self.against == Collusion::AllButOne || n >= 3,
            "against",
            "with two members there is no minority; use all-but-one",
        )?;
        check(
            self.against == Collusion::Minority || self.sizes(n).ciphertext <= 4 * 4096 / 16,
            "key_bits",
            "own keys of more than 4,096 bits would be needed; 4,000 bits at most against all but one",
        )?;
        check((1..=4096).contains(&self.candidates), "candidates", "not in 1..=4,096")
    }
    fn schedule(&self, parties: u32) -> Arc<dyn PhaseSchedule> {
        Arc::new(Generation::new(parties, self))
    }
}

impl KeyGeneration {
    /// Most batches of candidates before a key generation gives up: many times what chance needs.
    pub const MAX_BATCHES: u32 = 1_000;

    /// Sizes of its numbers, in bytes.
    pub fn sizes(&self, parties: u32) -> KeySizes {
        let (bits, log) = (self.key_bits as usize, log2(parties));
        // β·φ(N) + N·R with 80 bits of slack; a sharing's modulus is a little longer.
        let theta = 2 * bits + 2 * log + 96;
        let delta = parties as usize * log;
        // Room for a mask 80 bits longer than a product.
        let own = (bits + 83).next_multiple_of(64).max(if bits < 2048 { 0 } else { 3072 });
        let share = theta + 2 * delta + 80 + self.quorum as usize * log + log + 8;
        KeySizes {
            modulus: bits / 8,
            unit: bits / 16,
            factor: bits / 8 + 2,
            theta: theta.div_ceil(8) + 1,
            share: share.div_ceil(8),
            ciphertext: own / 4,
        }
    }
}

/// Sizes in bytes of the numbers of a key generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySizes {
    /// Numbers below N.
    pub modulus: usize,
    /// Numbers modulo the product of small primes.
    pub unit: usize,
    /// Shares of summands of p, q and N.
    pub factor: usize,
    /// Shares of θ.
    pub theta: usize,
    /// Shares of the exponent.
    pub share: usize,
    /// Ciphertexts under a member's own key, where members multiply in pairs.
    pub ciphertext: usize,
}

pub(super) fn check_purpose(purpose: &str) -> Result<(), ParamsError> {
    let words =
        !purpose.is_empty() && purpose.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b' '));
    check(words && purpose.len() <= 64, "purpose", "not 1 to 64 letters, digits, hyphens and spaces")
}

/// A threshold key that came out of a job, as the ledger keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyEntry {
    /// Layout version, [`crate::VERSION`].
    pub version: u32,
    /// Of the public key.
    pub fingerprint: Fingerprint,
    /// The job that made it.
    pub job: JobId,
    /// What it may be used for.
    pub purpose: String,
    /// MSP identifiers of its members, in the order of their indices.
    pub members: Vec<MspId>,
    /// How many of them decrypt together.
    pub quorum: u32,
    /// How many colluding members learn nothing of the factors.
    pub collusion_bound: u32,
    /// Bits of the modulus N.
    pub bits: u32,
    /// Fingerprint of the key of which this is a refresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refreshes: Option<Fingerprint>,
}
