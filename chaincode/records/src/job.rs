use crate::{
    Bytes, Deadlines, Debt, Decimal, HorizontalSvm, KeyGeneration, KeyRefresh, VERSION, VerticalPredict,
    rules::{Rules, is_digest},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, fmt};

/// H(parameters ‖ nonce), 64 hexadecimal digits: a repeated proposal is the same job.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub String);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.get(..12).unwrap_or(&self.0))
    }
}

/// What the participants agree on before a job runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobParams {
    /// Layout version, [`VERSION`].
    pub version: u32,
    /// Version of the contract that the job is pinned to.
    pub contract: String,
    /// MSP identifiers; the position is the party index.
    pub participants: Vec<String>,
    /// The protocol and its parameters.
    pub kind: Kind,
    /// 16 random bytes that tell two jobs with the same parameters apart.
    pub nonce: Bytes,
    /// How long participants are waited for; for ever where they are absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadlines: Option<Deadlines>,
}

/// Which protocol a job runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Training of chapter 5.
    VerticalSvm(VerticalSvm),
    /// Predictions with a model of chapter 5 that stayed split.
    VerticalPredict(VerticalPredict),
    /// Training of chapter 4.
    HorizontalSvm(Box<HorizontalSvm>),
    /// A threshold key that nobody deals (`docs/protocols.md` 1).
    KeyGeneration(KeyGeneration),
    /// The same key in new shares.
    KeyRefresh(KeyRefresh),
}

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
    pub key: Option<String>,
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

/// The words for two classes, several of one with `/` between them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassNames {
    /// The positive class.
    pub positive: String,
    /// The negative class.
    pub negative: String,
}

impl ClassNames {
    /// Checks that there are two.
    pub(crate) fn validate(&self) -> Result<(), ParamsError> {
        for (field, class) in [("positive", &self.positive), ("negative", &self.negative)] {
            check((1..=256).contains(&class.len()), field, "empty or longer than 256 bytes")?;
        }
        check(self.positive != self.negative, "negative", "the same as the positive class")
    }
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

/// What happens to the trained model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Publication {
    /// Every participant posts its part.
    Published,
    /// Every participant keeps its part and posts a salted digest.
    Split,
}

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

/// Most records for which one record may have to wait: what an endorser reads in one call.
const MAX_BARRIER: u64 = 100_000;

impl JobParams {
    /// The job's identifier: SHA-256 of the canonical JSON, nonce included.
    pub fn id(&self) -> JobId {
        let json = serde_json::to_vec(self).expect("parameters hold only strings, integers and arrays");
        JobId(hex::encode(Sha256::digest(json)))
    }

    /// Party index of an MSP.
    pub fn party(&self, msp_id: &str) -> Option<u32> {
        self.participants.iter().position(|p| p == msp_id).map(|p| p as u32)
    }

    /// Number n of participants.
    pub fn parties(&self) -> u32 {
        self.participants.len() as u32
    }

    /// The training parameters.
    ///
    /// # Panics
    /// If this is another kind of job.
    pub fn training(&self) -> &VerticalSvm {
        match &self.kind {
            Kind::VerticalSvm(training) => training,
            other => panic!("{} is no training job", other.name()),
        }
    }

    /// The training parameters, to be changed.
    ///
    /// # Panics
    /// If this is another kind of job.
    pub fn training_mut(&mut self) -> &mut VerticalSvm {
        match &mut self.kind {
            Kind::VerticalSvm(training) => training,
            other => panic!("{} is no training job", other.name()),
        }
    }

    /// Checks every range that does not depend on anybody's data.
    ///
    /// # Errors
    /// The first field that is out of its range.
    pub fn validate(&self) -> Result<(), ParamsError> {
        check(self.version == VERSION, "version", format!("{} is not {VERSION}", self.version))?;
        check(self.contract.len() <= 64, "contract", "longer than 64 bytes")?;
        let n = self.participants.len();
        check((2..=64).contains(&n), "participants", format!("{n} is not in 2..=64"))?;
        let distinct: BTreeSet<_> = self.participants.iter().collect();
        check(distinct.len() == n, "participants", "an MSP is named twice")?;
        let named = self.participants.iter().all(|p| (1..=128).contains(&p.len()));
        check(named, "participants", "an MSP identifier is empty or longer than 128 bytes")?;
        check(self.nonce.0.len() == 16, "nonce", "not 16 bytes")?;
        self.deadlines.as_ref().map_or(Ok(()), Deadlines::validate)?;
        match &self.kind {
            Kind::VerticalSvm(training) => training.validate(n as u32)?,
            Kind::VerticalPredict(predict) => predict.validate(n as u32)?,
            Kind::HorizontalSvm(training) => training.validate(n as u32)?,
            Kind::KeyGeneration(generation) => generation.validate(n as u32)?,
            Kind::KeyRefresh(refresh) => refresh.validate(n as u32)?,
        }
        let widest = Rules::new(self).widest_barrier();
        let reason = format!("a record would have to wait for {widest} others; at most {MAX_BARRIER}");
        check(widest <= MAX_BARRIER, "participants", reason)
    }
}

impl JobParams {
    /// Checks that no name holds characters that are not to be read; see [`text`](crate::text). It is not part of
    /// [`validate`](Self::validate), so that older jobs stay readable.
    ///
    /// # Errors
    /// The first field with one.
    pub fn check_text(&self) -> Result<(), ParamsError> {
        let plain =
            |field, text: &str| crate::text::check(text).map_err(|reason| ParamsError { field, reason });
        plain("contract", &self.contract)?;
        self.participants.iter().try_for_each(|name| plain("participants", name))?;
        let (columns, positive, negative) = match &self.kind {
            Kind::HorizontalSvm(training) => (&training.columns[..], &training.positive, &training.negative),
            Kind::VerticalSvm(VerticalSvm { classes: Some(classes), .. }) => {
                (&[][..], &classes.positive, &classes.negative)
            }
            _ => return Ok(()),
        };
        columns.iter().try_for_each(|name| plain("columns", name))?;
        plain("positive", positive)?;
        plain("negative", negative)
    }
}

impl Kind {
    /// What it is called: `vertical-svm`, `vertical-predict`, `horizontal-svm`, `key-generation`, `key-refresh`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::VerticalSvm(_) => "vertical-svm",
            Self::VerticalPredict(_) => "vertical-predict",
            Self::HorizontalSvm(_) => "horizontal-svm",
            Self::KeyGeneration(_) => "key-generation",
            Self::KeyRefresh(_) => "key-refresh",
        }
    }
}

impl VerticalSvm {
    /// Number of comparisons in the whole job.
    pub fn comparisons(&self) -> u32 {
        self.iterations * self.batch
    }

    fn validate(&self, n: u32) -> Result<(), ParamsError> {
        check((2..=10_000_000).contains(&self.instances), "instances", "not in 2..=10,000,000")?;
        check((1..=1_000_000).contains(&self.iterations), "iterations", "not in 1..=1,000,000")?;
        check((1..=4096).contains(&self.batch), "batch", "not in 1..=4,096")?;
        let visits = u64::from(self.iterations) * u64::from(self.batch);
        check(visits <= 10_000_000, "iterations", "more than 10,000,000 comparisons in all")?;
        check_key_bits(self.key_bits, self.insecure_key_bits)?;
        check(
            self.key.as_ref().is_none_or(|key| is_digest(key)),
            "key",
            "not a SHA-256 digest in hexadecimal",
        )?;
        check((2..=n).contains(&self.quorum), "quorum", format!("not in 2..={n}"))?;
        check((37..=60).contains(&self.margin_bits), "margin_bits", "not in 37..=60")?;
        self.classes.as_ref().map_or(Ok(()), ClassNames::validate)?;
        let positive = |d: Decimal| d.units() > 0 && d.units() <= 1_000_000 * crate::SCALE;
        check(positive(self.learning_rate), "learning_rate", "not in (0, 1,000,000]")?;
        check(positive(self.c), "c", "not in (0, 1,000,000]")?;
        check(self.lambda == Decimal::default() || positive(self.lambda), "lambda", "not in [0, 1,000,000]")
    }
}

/// A job as it lies on the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Layout version, [`VERSION`].
    pub version: u32,
    /// Its identifier.
    pub id: JobId,
    /// What was proposed.
    pub params: JobParams,
    /// MSP identifier of the proposer.
    pub proposer: String,
    /// Seconds since 1970 of the proposing transaction.
    pub proposed: u64,
}

/// A participant's answer to a proposal; it fixes the key with which the participant posts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acceptance {
    /// Layout version, [`VERSION`].
    pub version: u32,
    /// The job.
    pub job: JobId,
    /// Party index.
    pub party: u32,
    /// The party's MSP identifier.
    pub msp_id: String,
    /// SHA-256 of the public key of the accepting certificate, hexadecimal.
    pub key_hash: String,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ending {
    /// Layout version, [`VERSION`].
    pub version: u32,
    /// The job.
    pub job: JobId,
    /// MSP identifier of the one who ended it.
    pub by: String,
    /// What it ended with.
    pub outcome: Outcome,
}

/// A job with what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobView {
    /// The proposal.
    pub job: Job,
    /// Acceptances so far, by party; `null` where there is none.
    pub acceptances: Vec<Option<Acceptance>>,
    /// How it ended, if it did.
    pub ending: Option<Ending>,
}

/// Longest reason for a refusal or an abort, in bytes.
pub const MAX_REASON_BYTES: usize = 2048;

/// What a job ended with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// All participants posted the same result.
    Finished,
    /// A participant declined the proposal.
    Refused(String),
    /// A participant gave up, with the reason and, where there is one, the culprit.
    Aborted(String),
    /// The participants waited for these longer than they had agreed.
    Expired(Vec<Debt>),
}

/// For people: `finished`, or who ended it and why.
impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Outcome::Finished => f.write_str("finished"),
            Outcome::Refused(reason) => write!(f, "refused by {}: {reason}", self.by),
            Outcome::Aborted(reason) => write!(f, "aborted by {}: {reason}", self.by),
            Outcome::Expired(owed) => {
                f.write_str("expired: ")?;
                for (place, debt) in owed.iter().enumerate() {
                    let and = if place > 0 { "; " } else { "" };
                    match &debt.slot {
                        Some(slot) => write!(f, "{and}{} did not post {slot}", debt.msp_id)?,
                        None => write!(f, "{and}{} did not answer the proposal", debt.msp_id)?,
                    }
                }
                Ok(())
            }
        }
    }
}
