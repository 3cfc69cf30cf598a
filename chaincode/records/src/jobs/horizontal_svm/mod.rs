//! Training by rows (chapter 4, `docs/protocols.md` 3).

mod schedule;

use super::{ClassNames, JobKind, Publication};
use crate::{
    Decimal, Digest, ParamsError,
    params::{check, check_key_bits},
    schedule::PhaseSchedule,
};
use schedule::Horizontal;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, sync::Arc};

/// Parameters of a horizontal training job (chapter 4, `docs/protocols.md` 3): providers hold different rows of the same
/// columns, an analyst trains the model and owns an ordinary Paillier key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HorizontalSvm {
    /// How margins are compared with 1.
    pub comparison: Comparison,
    /// Party index of the analyst; all others are providers.
    pub analyst: u32,
    /// Names of the columns in the order of the model's weights; the same at every provider.
    pub columns: Vec<String>,
    /// The class that counts as +1, in the words of the tables.
    pub positive: String,
    /// The class that counts as −1.
    pub negative: String,
    /// Whether columns are scaled to mean 0 and deviation 1 over all providers' rows, from masked sums.
    pub standardise: bool,
    /// Of each column the binary exponent u of the unit 2^u in which those sums count its values: chosen by the proposer so
    /// that its own values have 53 bits at least. All are [`DEFAULT_UNIT`] in jobs that are older than this field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<i32>,
    /// Most rows of a provider. Providers with fewer fill up, so that the others do not learn how many they have.
    pub rows: u32,
    /// Rows of each provider in one iteration, drawn from a joint seed; all where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<u32>,
    /// Most updates of the model.
    pub iterations: u32,
    /// Training ends early when the norm of λw − C·Σ I·y·x, intercept included, is not above this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<Decimal>,
    /// η, the step.
    pub learning_rate: Decimal,
    /// λ of the regulariser, which leaves the intercept alone.
    pub lambda: Decimal,
    /// C of the hinge loss.
    pub c: Decimal,
    /// Whether the model has an intercept b: w·x − b.
    pub intercept: bool,
    /// Noise that each provider adds to its gradients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradient_noise: Option<GradientNoise>,
    /// Bits of the analyst's Paillier modulus N.
    pub key_bits: u32,
    /// Consent to a modulus below 2,048 bits.
    #[serde(default)]
    pub insecure_key_bits: bool,
    /// b: |y(w·x − b) − 1| is below 2^b at the scale of margins.
    pub margin_bits: u32,
    /// Consent to a blinding range L below 256 bits.
    #[serde(default)]
    pub weak_blinding: bool,
    /// Whether the model goes on the ledger or stays with the analyst.
    pub model: Publication,
}

/// How a provider finds which of its rows are inside the margin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Comparison {
    /// Signs are flipped in secret and come back encrypted, gradients are masked: no party sees an indicator
    /// (`docs/protocols.md` 3).
    Hidden,
    /// Algorithms 2 and 3 of the book's chapter 4: analyst and provider see every indicator, the analyst each provider's
    /// gradient.
    Paper,
}

/// Discrete Gaussian noise at every provider, and the bound on a row's influence that it is measured against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GradientNoise {
    /// Standard deviation of one provider's noise in each coordinate, in multiples of `norm`.
    pub multiplier: Decimal,
    /// Rows are shortened to this Euclidean norm, the intercept's entry included.
    pub norm: Decimal,
    /// The δ for which the report states ε.
    pub delta: Decimal,
}

impl GradientNoise {
    /// Draws of this many bits and more, at scale 2^12, are drawn again: 16σ at least.
    pub fn bits(&self) -> u32 {
        let product = i128::from(self.multiplier.raw()) * i128::from(self.norm.raw());
        let sigma = (product.unsigned_abs() << 12) / (crate::SCALE as u128 * crate::SCALE as u128);
        (sigma + 1).next_power_of_two().ilog2() + 4
    }
}

/// Bytes of one masked sum over all rows: of ones, of values, or of their squares.
pub const MOMENT_BYTES: usize = 24;
/// Binary exponent of the unit of a column in the sums where a job names none.
pub const DEFAULT_UNIT: i32 = -16;
/// Bits of |x| in those units, so that the squares of 10,000,000 rows of 63 providers fit [`MOMENT_BYTES`].
pub const MOMENT_BITS: u32 = 80;
/// κ: what σ hides of a blinding factor ρ, in bits.
const KAPPA: u32 = 32;
/// Bits of a plaintext above all slots of margins: what is no ciphertext of margins under the analyst's key opens to a
/// number that is beyond them, but for one in 2^31.
const CHECK_BITS: u32 = 32;
/// L of a blinding that is not weak.
const MIN_RANGE: u32 = 256;
/// Bits of |x| at scale 2^12 of a scaled value: it is below 32.
pub const VALUE_BITS: u32 = 17;

impl HorizontalSvm {
    /// Number of the model's weights, the intercept included.
    pub fn weights(&self) -> usize {
        self.columns.len() + usize::from(self.intercept)
    }

    /// Binary exponent of the unit of a column in the masked sums.
    pub fn unit(&self, column: usize) -> i32 {
        self.units.get(column).copied().unwrap_or(DEFAULT_UNIT)
    }

    /// Number of the providers among so many participants.
    pub fn providers(&self, parties: u32) -> u32 {
        parties - 1
    }

    /// Rows of a provider in one iteration, those that only fill up included.
    pub fn active(&self) -> u32 {
        self.batch.map_or(self.rows, |batch| batch.min(self.rows))
    }

    /// Blinded margins in one ciphertext, and the range L, in bits, of their blinding factors that fits then.
    pub fn margin_slots(&self) -> (u32, u32) {
        let fixed = self.margin_floor() + self.margin_bits + 2;
        let room = self.key_bits.saturating_sub(1 + CHECK_BITS);
        let slots = (room / (fixed + MIN_RANGE)).max(1);
        (slots, (room / slots).saturating_sub(fixed))
    }

    /// M: the smallest blinding factor is 2^M.
    pub fn margin_floor(&self) -> u32 {
        self.margin_bits + KAPPA + 2
    }

    /// Bits of a slot that holds one coordinate of the sum of all gradients, sign included.
    pub fn gradient_slot_bits(&self, parties: u32) -> u32 {
        let noise = self.gradient_noise.as_ref().map_or(0, |noise| 1u128 << noise.bits());
        let one = (u128::from(self.active()) << VALUE_BITS) + noise;
        let all = one * u128::from(self.providers(parties));
        all.next_power_of_two().ilog2() + 2
    }

    /// Ciphertexts of a provider's gradient.
    pub fn gradient_ciphertexts(&self, parties: u32) -> usize {
        match self.comparison {
            Comparison::Hidden => {
                let slots = (self.key_bits - 1) / self.gradient_slot_bits(parties);
                self.weights().div_ceil(slots.max(1) as usize)
            }
            // Its cost beside it.
            Comparison::Paper => self.weights() + 1,
        }
    }
}

impl JobKind for HorizontalSvm {
    fn validate(&self, n: u32) -> Result<(), ParamsError> {
        check(n >= 3, "participants", "an analyst and at least two providers: a sum of one protects nobody")?;
        check(self.analyst < n, "analyst", "a party that does not exist")?;
        check((1..=4096).contains(&self.columns.len()), "columns", "not 1 to 4,096")?;
        let named = self.columns.iter().all(|name| (1..=256).contains(&name.len()));
        check(named, "columns", "a name is empty or longer than 256 bytes")?;
        let distinct: BTreeSet<&String> = self.columns.iter().collect();
        check(distinct.len() == self.columns.len(), "columns", "one is named twice")?;
        let named = self.units.len();
        check(named == 0 || named == self.columns.len(), "units", "not one for each column")?;
        check(named == 0 || self.standardise, "units", "columns that are not standardised have none")?;
        let exponents = self.units.iter().all(|unit| (-1200..=1000).contains(unit));
        check(exponents, "units", "an exponent is not in -1,200..=1,000")?;
        ClassNames { positive: self.positive.clone(), negative: self.negative.clone() }.validate()?;
        check((1..=10_000_000).contains(&self.rows), "rows", "not in 1..=10,000,000")?;
        check(self.batch.is_none_or(|batch| batch >= 1), "batch", "not positive")?;
        check((1..=1_000_000).contains(&self.iterations), "iterations", "not in 1..=1,000,000")?;
        check_key_bits(self.key_bits, self.insecure_key_bits)?;
        check((37..=60).contains(&self.margin_bits), "margin_bits", "not in 37..=60")?;
        let (_, range) = self.margin_slots();
        check(range > 0, "key_bits", "no room for any blinding")?;
        let weak = self.comparison == Comparison::Hidden && range < MIN_RANGE;
        check(
            !weak || self.weak_blinding,
            "key_bits",
            format!(
                "they leave {range} bits of blinding, less than {MIN_RANGE}; use a longer key, or consent with --weak-blinding"
            ),
        )?;
        let most = Decimal::from_raw(1_000_000 * crate::SCALE);
        let positive = |d: Decimal| d > Decimal::default() && d <= most;
        check(positive(self.learning_rate), "learning_rate", "not in (0, 1,000,000]")?;
        check(positive(self.c), "c", "not in (0, 1,000,000]")?;
        check(self.lambda == Decimal::default() || positive(self.lambda), "lambda", "not in [0, 1,000,000]")?;
        check(self.tolerance.is_none_or(positive), "tolerance", "not in (0, 1,000,000]")?;
        let Some(noise) = &self.gradient_noise else { return Ok(()) };
        let hidden = self.comparison == Comparison::Hidden;
        check(hidden, "gradient_noise", "the paper's protocol has none")?;
        let moderate = |d: Decimal| d > Decimal::default() && d <= Decimal::from_raw(10_000 * crate::SCALE);
        check(moderate(noise.multiplier), "gradient_noise.multiplier", "not in (0, 10,000]")?;
        check(moderate(noise.norm), "gradient_noise.norm", "not in (0, 10,000]")?;
        let below_one = positive(noise.delta) && noise.delta < Decimal::from_raw(crate::SCALE);
        check(below_one, "gradient_noise.delta", "not in (0, 1)")
    }

    fn names(&self) -> Vec<(&'static str, &str)> {
        let columns = self.columns.iter().map(|name| ("columns", name.as_str()));
        columns.chain([("positive", self.positive.as_str()), ("negative", self.negative.as_str())]).collect()
    }

    fn schedule(&self, parties: u32) -> Arc<dyn PhaseSchedule> {
        Arc::new(Horizontal::new(parties, self))
    }
}

/// What a participant of a training by rows holds to be its course and result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HorizontalResult {
    /// SHA-256, hexadecimal, of all records before.
    pub transcript: Digest,
    /// The digest in the analyst's model record.
    pub model: Digest,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A job as it was before there were units.
    const OLDER: &str = r#"{"comparison":"hidden","analyst":2,"columns":["age","pulse"],"positive":"ill","negative":"well",
        "standardise":true,"rows":30,"iterations":3,"learning_rate":"0.5","lambda":"0.001","c":"0.01","intercept":true,
        "key_bits":2048,"insecure_key_bits":false,"margin_bits":50,"weak_blinding":true,"model":"published"}"#;

    #[test]
    fn an_older_job_has_the_default_unit_and_keeps_its_form() {
        let older: HorizontalSvm = serde_json::from_str(OLDER).unwrap();
        older.validate(3).unwrap();
        assert_eq!([older.unit(0), older.unit(1)], [DEFAULT_UNIT; 2]);
        let written = serde_json::to_string(&older).unwrap();
        assert_eq!(written, OLDER.replace("\n        ", ""));
    }

    #[test]
    fn units_are_one_for_each_standardised_column() {
        let older: HorizontalSvm = serde_json::from_str(OLDER).unwrap();
        let with = |units: &[i32], standardise| {
            let params = HorizontalSvm { units: units.to_vec(), standardise, ..older.clone() };
            params.validate(3).map(|()| params.unit(1)).map_err(|e| e.to_string())
        };
        assert_eq!(with(&[-52, -84], true), Ok(-84));
        for (units, standardise) in [
            (&[-52][..], true),
            (&[-52, -52, -52], true),
            (&[-52, 1001], true),
            (&[-1201, 0], true),
            (&[-52, -52], false),
        ] {
            assert!(with(units, standardise).unwrap_err().starts_with("units: "), "{units:?}");
        }
    }
}
