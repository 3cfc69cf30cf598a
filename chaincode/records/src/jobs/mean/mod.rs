//! Means and standard deviations of columns over the rows of all participants (`docs/mean.md`).

mod schedule;

use super::JobKind;
use crate::{
    Fingerprint, ParamsError,
    params::{check, check_key_bits},
    schedule::PhaseSchedule,
};
use schedule::Sums;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, sync::Arc};

/// The purpose of a key under which participants add up. No training uses such a key: a participant that deviates in a
/// training can have any ciphertext under the training's key decrypted.
pub const STATISTICS: &str = "statistics";

/// Least number of rows in all whose means may be opened.
pub const LEAST_ROWS: u32 = 10;

/// Parameters of means and deviations over everybody's rows: each participant encrypts the number of its rows, and of each
/// column the sum of its values and of their squares; only the totals are decrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mean {
    /// Fingerprint of the threshold key, whose purpose is [`STATISTICS`].
    pub key: Fingerprint,
    /// Bits of the Paillier modulus N.
    pub key_bits: u32,
    /// Consent to a modulus below 2,048 bits.
    #[serde(default)]
    pub insecure_key_bits: bool,
    /// How many members decrypt together.
    pub quorum: u32,
    /// Names of the columns; every participant's table has them.
    pub columns: Vec<String>,
    /// Decimal places d to which values are rounded: a value x counts as the integer x·10^d.
    pub places: u32,
    /// b: |x·10^d| is below 2^b.
    pub value_bits: u32,
    /// Most rows of one participant.
    pub max_rows: u32,
    /// Where there are fewer rows in all, their number is opened and nothing else.
    pub min_rows: u32,
    /// Consent to two participants, of whom each learns the other's totals.
    #[serde(default)]
    pub two_participants: bool,
}

impl Mean {
    /// Bits of one participant's sum, sign included: as large as a sum of squares.
    pub fn sum_bits(&self) -> u32 {
        2 * self.value_bits + (u32::BITS - self.max_rows.leading_zeros()) + 1
    }

    /// By how many bits the sum over so many participants is longer.
    pub fn room_bits(parties: u32) -> u32 {
        u32::BITS - parties.leading_zeros()
    }

    /// Sums in one plaintext.
    pub fn slots(&self, parties: u32) -> u32 {
        (self.key_bits - 1) / (self.sum_bits() + Self::room_bits(parties))
    }

    /// Ciphertexts that hold sums and sums of squares of all columns. The number of rows is in one of its own.
    pub fn sum_ciphertexts(&self, parties: u32) -> usize {
        (2 * self.columns.len()).div_ceil(self.slots(parties).max(1) as usize)
    }
}

impl JobKind for Mean {
    fn validate(&self, n: u32) -> Result<(), ParamsError> {
        check(
            n >= 3 || self.two_participants,
            "participants",
            "of two participants each learns the other's totals; name a third, or consent with --two-participants",
        )?;
        check_key_bits(self.key_bits, self.insecure_key_bits)?;
        check((2..=n).contains(&self.quorum), "quorum", format!("not in 2..={n}"))?;
        check((1..=256).contains(&self.columns.len()), "columns", "not 1 to 256")?;
        let named = self.columns.iter().all(|name| (1..=256).contains(&name.len()));
        check(named, "columns", "a name is empty or longer than 256 bytes")?;
        let distinct: BTreeSet<&String> = self.columns.iter().collect();
        check(distinct.len() == self.columns.len(), "columns", "one is named twice")?;
        check(self.places <= 9, "places", "not in 0..=9")?;
        check((8..=48).contains(&self.value_bits), "value_bits", "not in 8..=48")?;
        check((1..=1 << 28).contains(&self.max_rows), "max_rows", "not in 1..=268,435,456")?;
        let all = u64::from(n) * u64::from(self.max_rows);
        let possible = u64::from(self.min_rows) <= all;
        check(self.min_rows >= LEAST_ROWS, "min_rows", format!("below {LEAST_ROWS}"))?;
        check(possible, "min_rows", "more than all participants may have")?;
        check(self.slots(n) > 0, "key_bits", "no room for a sum of squares")
    }

    fn names(&self) -> Vec<(&'static str, &str)> {
        self.columns.iter().map(|name| ("columns", name.as_str())).collect()
    }

    fn schedule(&self, parties: u32) -> Arc<dyn PhaseSchedule> {
        Arc::new(Sums::new(parties, self))
    }

    fn key(&self) -> Option<Fingerprint> {
        Some(self.key)
    }
}
