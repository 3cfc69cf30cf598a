//! Training by columns (chapter 5, `docs/protocols.md` 2).

mod schedule;

pub(super) use schedule::{Training, check_model};

use super::{ClassNames, JobKind, Publication};
use crate::{
    Bytes, Decimal, Digest, Fingerprint, ParamsError, ThresholdKey,
    params::{check, check_key_bits},
    schedule::PhaseSchedule,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Parameters of a vertical training job (chapter 5, `docs/protocols.md` 2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerticalSvm {
    /// How the indicator of eq. 5.4 is found.
    pub judge: Judge,
    /// Number m of training instances that all participants share.
    pub instances: u32,
    /// Number T of updates of the model.
    pub iterations: u32,
    /// Number B of instances in one update.
    pub batch: u32,
    /// η, the step.
    pub learning_rate: Decimal,
    /// λ of the regulariser.
    pub lambda: Decimal,
    /// C of the hinge loss.
    pub c: Decimal,
    /// Fingerprint of the threshold key, 64 hexadecimal digits; where it is absent, every participant brings the
    /// share that its configuration names, and they agree in the set-up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Fingerprint>,
    /// Bits of the Paillier modulus N.
    pub key_bits: u32,
    /// Consent to a modulus below 2,048 bits.
    #[serde(default)]
    pub insecure_key_bits: bool,
    /// How many members decrypt together; n by default.
    pub quorum: u32,
    /// b: |a − S| is below 2^b at the scale of margins.
    pub margin_bits: u32,
    /// Consent to a blinding range L below 256 bits.
    #[serde(default)]
    pub weak_blinding: bool,
    /// Whether the partial models go on the ledger.
    pub model: Publication,
    /// What the classes are called in reports and models; absent from older jobs, of which every participant keeps the words
    /// of its own table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<ClassNames>,
}

/// The gradient update judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Judge {
    /// `docs/protocols.md` 2b.
    Blinded,
    /// Algorithm 3 of the book, `docs/protocols.md` 2a.
    Paper,
}

impl VerticalSvm {
    /// Number of comparisons in the whole job.
    pub fn comparisons(&self) -> u32 {
        self.iterations * self.batch
    }
}

impl JobKind for VerticalSvm {
    fn validate(&self, n: u32) -> Result<(), ParamsError> {
        check((2..=10_000_000).contains(&self.instances), "instances", "not in 2..=10,000,000")?;
        check((1..=1_000_000).contains(&self.iterations), "iterations", "not in 1..=1,000,000")?;
        check((1..=4096).contains(&self.batch), "batch", "not in 1..=4,096")?;
        let visits = u64::from(self.iterations) * u64::from(self.batch);
        check(visits <= 10_000_000, "iterations", "more than 10,000,000 comparisons in all")?;
        check_key_bits(self.key_bits, self.insecure_key_bits)?;
        check((2..=n).contains(&self.quorum), "quorum", format!("not in 2..={n}"))?;
        check((37..=60).contains(&self.margin_bits), "margin_bits", "not in 37..=60")?;
        self.classes.as_ref().map_or(Ok(()), ClassNames::validate)?;
        let positive = |d: Decimal| d.raw() > 0 && d.raw() <= 1_000_000 * crate::SCALE;
        check(positive(self.learning_rate), "learning_rate", "not in (0, 1,000,000]")?;
        check(positive(self.c), "c", "not in (0, 1,000,000]")?;
        check(self.lambda == Decimal::default() || positive(self.lambda), "lambda", "not in [0, 1,000,000]")
    }
    fn names(&self) -> Vec<(&'static str, &str)> {
        self.classes.as_ref().map_or_else(Vec::new, ClassNames::fields)
    }

    fn schedule(&self, parties: u32) -> Arc<dyn PhaseSchedule> {
        Arc::new(Training::new(parties, self))
    }

    fn key(&self) -> Option<Fingerprint> {
        self.key
    }
}

/// The key that a participant holds a share of, and digests of what it brings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// The public part of the threshold key; the same from all participants.
    pub key: ThresholdKey,
    /// What the participant's table is.
    pub data: DataDigest,
}

/// Digests that must agree between the participants before anything is computed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataDigest {
    /// Number of training instances.
    pub instances: u32,
    /// Number of the participant's own features.
    pub features: u32,
    /// SHA-256 of the job and the sorted identifiers.
    pub ids: Digest,
    /// SHA-256 of the job and the labels in the order of the identifiers.
    pub labels: Digest,
}

/// IV record (table 5.2 of the book): one entry for each instance of the chunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Iv {
    /// TIV, the encrypted training intermediate value.
    pub tiv: Vec<Bytes>,
    /// The public and encrypted blinding of the paper's judge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paper: Option<PaperIv>,
}

/// r₁, `[[r₂]]`, r₃ and RPI of Algorithm 3; one entry for each instance of the chunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaperIv {
    /// Random positive integers, at most 8 bytes each.
    pub r1: Vec<Bytes>,
    /// Encrypted random positive integers.
    pub r2: Vec<Bytes>,
    /// Random positive integers with |r₃ − r₂| < r₁, at most 8 bytes each.
    pub r3: Vec<Bytes>,
    /// Random positive integers in 1..=m, whose sums name the next instances.
    pub rpi: Vec<u32>,
}

/// What a participant holds to be the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResultDigests {
    /// SHA-256 of all indicators in order, one byte each.
    pub indicators: Digest,
    /// SHA-256 of the model digests in the order of the parties.
    pub model: Digest,
}
