//! Predictions with a model of a training by columns that stayed split (`docs/protocols.md` 2).

mod schedule;

use super::{JobKind, Judge, Publication, VerticalSvm};
use crate::{
    Decimal, Digest, Fingerprint, JobId, ParamsError,
    params::{check, check_key_bits},
    schedule::PhaseSchedule,
};
use schedule::Prediction;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Parameters of predictions with a model that stayed split (`docs/protocols.md` 2): of every new instance the blinded
/// judge shows on which side of the plane it lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerticalPredict {
    /// The finished training of the same participants, whose parts of the model are used.
    pub training: JobId,
    /// The digests of the parts as the training published them, by party.
    pub digests: Vec<Digest>,
    /// Number m of instances, which all participants share.
    pub instances: u32,
    /// Fingerprint of the threshold key, as in [`VerticalSvm`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Fingerprint>,
    /// Bits of the Paillier modulus N.
    pub key_bits: u32,
    /// Consent to a modulus below 2,048 bits.
    #[serde(default)]
    pub insecure_key_bits: bool,
    /// How many members decrypt together.
    pub quorum: u32,
    /// b: |w·x| is below 2^b at the scale of margins.
    pub margin_bits: u32,
    /// Consent to a blinding range L below 256 bits.
    #[serde(default)]
    pub weak_blinding: bool,
}

impl VerticalPredict {
    /// Predictions with the model of a training, under its key and with its blinding.
    pub fn after(training: JobId, params: &VerticalSvm, digests: Vec<Digest>, instances: u32) -> Self {
        Self {
            training,
            digests,
            instances,
            key: params.key,
            key_bits: params.key_bits,
            insecure_key_bits: params.insecure_key_bits,
            quorum: params.quorum,
            margin_bits: params.margin_bits,
            weak_blinding: params.weak_blinding,
        }
    }

    /// What they are to the judge: one iteration of a training that visits every instance once.
    pub fn iteration(&self) -> VerticalSvm {
        VerticalSvm {
            judge: Judge::Blinded,
            instances: self.instances,
            iterations: 1,
            batch: self.instances,
            learning_rate: Decimal::default(),
            lambda: Decimal::default(),
            c: Decimal::default(),
            key: self.key,
            key_bits: self.key_bits,
            insecure_key_bits: self.insecure_key_bits,
            quorum: self.quorum,
            margin_bits: self.margin_bits,
            weak_blinding: self.weak_blinding,
            model: Publication::Split,
            classes: None,
        }
    }
}

impl JobKind for VerticalPredict {
    fn validate(&self, n: u32) -> Result<(), ParamsError> {
        check(self.digests.len() == n as usize, "digests", format!("not {n}, one for each participant"))?;
        check((1..=4096).contains(&self.instances), "instances", "not in 1..=4,096")?;
        check_key_bits(self.key_bits, self.insecure_key_bits)?;
        check((2..=n).contains(&self.quorum), "quorum", format!("not in 2..={n}"))?;
        check((37..=60).contains(&self.margin_bits), "margin_bits", "not in 37..=60")
    }
    fn schedule(&self, parties: u32) -> Arc<dyn PhaseSchedule> {
        Arc::new(Prediction::new(parties, self))
    }

    fn key(&self) -> Option<Fingerprint> {
        self.key
    }
}
