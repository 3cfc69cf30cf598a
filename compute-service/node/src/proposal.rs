//! What is proposed to other organisations: complete parameters of jobs, from what a person chose, the table and the members.
//!
//! A person's choices are [`VerticalOptions`] and [`HorizontalOptions`]. They become parameters at once, when the table and
//! the members are known; parameters that lack something never travel.

use dataset::table::{Classes, Table};
use records::{
    Bytes, CONTRACT_VERSION, ClassNames, Collusion, Comparison, Deadlines, Decimal, Fingerprint,
    GradientNoise, HorizontalSvm, JobParams, Judge, KeyGeneration, Kind, MspId, Publication, SCALE, TRAINING,
    VERSION, VerticalSvm,
};
use svm::{Hyperparameters, horizontal};

/// Parameters of a job with a fresh nonce and the deadlines of organisations whose people answer; they are not checked.
///
/// # Errors
/// An operating system without randomness.
pub fn job_params(kind: Kind, participants: Vec<MspId>) -> Result<JobParams, getrandom::Error> {
    let mut nonce = vec![0; 16];
    getrandom::fill(&mut nonce)?;
    Ok(JobParams {
        version: VERSION,
        contract: CONTRACT_VERSION.into(),
        participants,
        kind,
        nonce: Bytes(nonce),
        deadlines: Some(Deadlines::PEOPLE),
    })
}

/// A training by columns with the defaults of [`VerticalOptions`].
///
/// # Errors
/// An operating system without randomness.
pub fn template(instances: u32, participants: Vec<MspId>) -> Result<JobParams, getrandom::Error> {
    let training = VerticalOptions::default().params(participants.len() as u32, instances, None, None);
    job_params(Kind::VerticalSvm(training), participants)
}

/// Parameters of a key generation for training, with as many candidates in a batch as pay.
pub fn key_generation(key_bits: u32, insecure: bool, quorum: u32, against: Collusion) -> KeyGeneration {
    KeyGeneration {
        purpose: TRAINING.into(),
        key_bits,
        insecure_key_bits: insecure,
        quorum,
        against,
        candidates: (key_bits / 4).clamp(64, 512),
    }
}

/// The classes of a table as a job names them.
pub fn class_names(classes: &Classes) -> ClassNames {
    ClassNames { positive: classes.positive_name(), negative: classes.negative_name() }
}

/// What a person chooses for a training by columns.
#[derive(Clone, Debug, PartialEq)]
pub struct VerticalOptions {
    /// How the indicator is found.
    pub judge: Judge,
    /// Number T of updates of the model.
    pub iterations: u32,
    /// Instances B of one update.
    pub batch: u32,
    /// η, the step.
    pub learning_rate: Decimal,
    /// λ of the regulariser.
    pub lambda: Decimal,
    /// C of the hinge loss.
    pub c: Decimal,
    /// Bits of the Paillier modulus.
    pub key_bits: u32,
    /// Consents to a modulus that can be broken.
    pub insecure_key_bits: bool,
    /// How many participants decrypt together; all of them unless given.
    pub quorum: Option<u32>,
    /// b: margins are less than 2^(b−36) in magnitude.
    pub margin_bits: u32,
    /// Consents to a weak blinding.
    pub weak_blinding: bool,
    /// Whether the participants publish their parts of the model.
    pub model: Publication,
}

impl Default for VerticalOptions {
    fn default() -> Self {
        Self {
            judge: Judge::Blinded,
            iterations: 24,
            batch: 64,
            learning_rate: Decimal::from_raw(SCALE / 100_000 * 95),
            lambda: Decimal::from_raw(SCALE),
            c: Decimal::from_raw(SCALE),
            key_bits: 2048,
            insecure_key_bits: false,
            quorum: None,
            margin_bits: 42,
            weak_blinding: false,
            model: Publication::Published,
        }
    }
}

impl VerticalOptions {
    /// How many of so many members decrypt together.
    pub fn quorum(&self, members: u32) -> u32 {
        self.quorum.unwrap_or(members)
    }

    /// The parameters for so many members and instances, with the fingerprint of a negotiated key and the words for the
    /// classes, where there are such.
    pub fn params(
        &self,
        members: u32,
        instances: u32,
        key: Option<Fingerprint>,
        classes: Option<ClassNames>,
    ) -> VerticalSvm {
        VerticalSvm {
            judge: self.judge,
            instances,
            iterations: self.iterations,
            batch: self.batch,
            learning_rate: self.learning_rate,
            lambda: self.lambda,
            c: self.c,
            key,
            key_bits: self.key_bits,
            insecure_key_bits: self.insecure_key_bits,
            quorum: self.quorum(members),
            margin_bits: self.margin_bits,
            weak_blinding: self.weak_blinding,
            model: self.model,
            classes,
        }
    }

    /// The generation of a key with which so many members can train.
    pub fn key_generation(&self, members: u32, against: Collusion) -> KeyGeneration {
        key_generation(self.key_bits, self.insecure_key_bits, self.quorum(members), against)
    }
}

/// What a person chooses for a training by rows.
#[derive(Clone, Debug, PartialEq)]
pub struct HorizontalOptions {
    /// How margins are compared.
    pub comparison: Comparison,
    /// Most updates T of the model.
    pub iterations: u32,
    /// Rows of each provider in one update; all unless given.
    pub batch: Option<u32>,
    /// Ends the training when the norm of the gradient is not above this.
    pub tolerance: Option<Decimal>,
    /// η, the step.
    pub learning_rate: Decimal,
    /// λ of the regulariser.
    pub lambda: Decimal,
    /// C of the hinge loss; 1 over the number of rows unless given.
    pub c: Option<Decimal>,
    /// Whether the model is w·x − b instead of w·x.
    pub intercept: bool,
    /// The noise that providers add to their gradients.
    pub gradient_noise: Option<GradientNoise>,
    /// Bits of the analyst's modulus.
    pub key_bits: u32,
    /// Consents to a modulus that can be broken.
    pub insecure_key_bits: bool,
    /// b: margins are less than 2^(b−36) in magnitude.
    pub margin_bits: u32,
    /// Consents to a weak blinding.
    pub weak_blinding: bool,
    /// Whether the analyst publishes the model.
    pub model: Publication,
}

impl Default for HorizontalOptions {
    fn default() -> Self {
        Self {
            comparison: Comparison::Hidden,
            iterations: 100,
            batch: None,
            tolerance: None,
            learning_rate: Decimal::from_raw(SCALE / 2),
            lambda: Decimal::from_raw(SCALE / 1000),
            c: None,
            intercept: true,
            gradient_noise: None,
            key_bits: 2048,
            insecure_key_bits: false,
            margin_bits: 50,
            weak_blinding: false,
            model: Publication::Published,
        }
    }
}

impl HorizontalOptions {
    /// The parameters for an analyst, by its place among the participants, who trains on a table with these columns and
    /// classes. Each provider has room for so many rows; in all there are `rows`, as far as that is known. The magnitudes
    /// that everybody learns of columns are those of `table`.
    pub fn params(
        &self,
        analyst: u32,
        table: &Table,
        classes: &Classes,
        room: u32,
        rows: usize,
    ) -> HorizontalSvm {
        HorizontalSvm {
            comparison: self.comparison,
            analyst,
            columns: table.columns.clone(),
            positive: classes.positive_name(),
            negative: classes.negative_name(),
            standardise: true,
            units: horizontal::units(table),
            rows: room,
            batch: self.batch,
            iterations: self.iterations,
            tolerance: self.tolerance,
            learning_rate: self.learning_rate,
            lambda: self.lambda,
            c: self.c.unwrap_or_else(|| Hyperparameters::mean_c(rows.max(1))),
            intercept: self.intercept,
            gradient_noise: self.gradient_noise.clone(),
            key_bits: self.key_bits,
            insecure_key_bits: self.insecure_key_bits,
            margin_bits: self.margin_bits,
            weak_blinding: self.weak_blinding,
            model: self.model,
        }
    }
}
