//! Ledger time, and what is due by it.
//!
//! A record carries no time of its own, and a single client's clock must not decide what is late. So each member's node
//! writes a [`Clock`] when a deadline comes near, and **ledger time** is the median of those of a job's participants
//! ([`ledger_time`]). The time of a record that is waited for runs from a [`Reminder`], which any participant writes once
//! all that the record needs is there.

use crate::{JobId, MspId, ParamsError, Slot, params::check};
use serde::{Deserialize, Serialize};

/// How far the newest clock may be ahead of one that still counts, in seconds: the five minutes that a transaction may be
/// off the endorsers' clocks in either direction, and the interval at which nodes write theirs when a deadline is near.
pub const MAX_CLOCK_AGE: u64 = 15 * 60;

/// How long the participants of a job are waited for, in seconds of ledger time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deadlines {
    /// For answers to the proposal, from the proposal on; 1 to 31,536,000 (a year).
    pub accept: u32,
    /// For a record, from its reminder on; 1 to 2,592,000 (30 days).
    pub step: u32,
}

impl Deadlines {
    /// For organisations whose people answer: seven days, and half an hour a step.
    pub const PEOPLE: Self = Self { accept: 7 * 24 * 3600, step: 30 * 60 };

    /// For experiments, in which all nodes are children of one command.
    pub const EXPERIMENT: Self = Self { accept: 10 * 60, step: 10 * 60 };

    pub(crate) fn validate(&self) -> Result<(), ParamsError> {
        let (year, month) = (365 * 24 * 3600, 30 * 24 * 3600);
        check((1..=year).contains(&self.accept), "deadlines.accept", "not in 1..=31,536,000 seconds")?;
        check((1..=month).contains(&self.step), "deadlines.step", "not in 1..=2,592,000 seconds")
    }
}

/// A member's clock: the timestamp of the transaction that wrote it. It never goes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clock {
    /// Layout version, [`crate::VERSION`].
    pub version: u32,
    /// The member.
    pub msp_id: MspId,
    /// Seconds since 1970.
    pub time: u64,
}

/// How far a transaction's timestamp may be off the endorsers' clocks in either direction, in seconds.
pub const MAX_TIME_OFFSET: u64 = 5 * 60;

/// How far apart the clocks of one member are at least, in seconds. Who ends a job reads the clocks, and a member that wrote
/// its own all the time would keep the ending off the ledger.
pub const CLOCK_STEP: u64 = 5;

/// The time that deadlines are measured by: the median of the participants' clocks, the upper one of an even number. Clocks
/// that are more than [`MAX_CLOCK_AGE`] behind the newest are left out, so that members who went silent do not hold time
/// up. None without any clock.
///
/// With a majority of honest members whose clocks are fresh the median is between two of theirs. Where less than a majority
/// of the `participants` has a fresh clock, ten minutes are taken off: what a member gains that dates a reminder back and
/// its clock forward, as far as the endorsers let it.
pub fn ledger_time(clocks: impl IntoIterator<Item = u64>, participants: usize) -> Option<u64> {
    let mut clocks: Vec<u64> = clocks.into_iter().collect();
    clocks.sort_unstable();
    let oldest = clocks.last()?.saturating_sub(MAX_CLOCK_AGE);
    clocks.retain(|clock| *clock >= oldest);
    let median = clocks[clocks.len() / 2];
    let few = clocks.len() * 2 <= participants;
    Some(if few { median.saturating_sub(2 * MAX_TIME_OFFSET) } else { median })
}

/// A slot that is waited for, as the waiting participant names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Awaited {
    /// The slot.
    pub slot: Slot,
    /// The parties on whose records it builds, where a quorum is enough.
    #[serde(rename = "used", default, skip_serializing_if = "Vec::is_empty")]
    pub contributors: Vec<u32>,
}

/// That a slot is waited for, all that it needs being there. A participant has one at a time: it is written over when that
/// slot is waited for no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reminder {
    /// Layout version, [`crate::VERSION`].
    pub version: u32,
    /// The job.
    pub job: JobId,
    /// What is waited for.
    pub slot: Slot,
    /// MSP identifier of the one who waits.
    pub by: MspId,
    /// From when the time runs, in seconds since 1970: the timestamp of the transaction that wrote it, or ledger time where
    /// that is ahead.
    pub time: u64,
}

/// For whom a job waits, by the ledger's time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiting {
    /// Ledger time in seconds since 1970; none without any clock.
    pub time: Option<u64>,
    /// Reminders of what is still missing.
    pub reminders: Vec<Reminder>,
}

/// What a participant owed when a job expired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Debt {
    /// The participant.
    pub msp_id: MspId,
    /// The record; none where it was an answer to the proposal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<Slot>,
    /// Since when it was waited for: seconds since 1970.
    pub since: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn is_the_median_of_fresh_clocks() {
        let table: [(&[u64], usize, Option<u64>); 10] = [
            (&[], 3, None),
            (&[5_000], 1, Some(5_000)),
            (&[5_000, 5_300], 3, Some(5_300)),
            (&[5_000, 4_700], 3, Some(5_000)),
            (&[5_300, 5_000, 4_700], 3, Some(5_000)),
            (&[5_001, 5_002, 5_003, 5_004], 4, Some(5_003)),
            (&[1, 4_999, 5_000], 3, Some(5_000)),
            // Who is alone in having a fresh clock, or one of two.
            (&[1, 2, 5_000], 3, Some(4_400)),
            (&[5_000], 2, Some(4_400)),
            (&[5_000, 5_001], 4, Some(4_401)),
        ];
        for (clocks, participants, expected) in table {
            assert_eq!(ledger_time(clocks.iter().copied(), participants), expected, "{clocks:?}");
        }
    }

    proptest! {
        /// Whatever a minority says within what endorsers admit, ledger time is one of the honest clocks or between two.
        #[test]
        fn a_minority_does_not_decide(
            honest in prop::collection::vec(100_000_u64..100_030, 3..20),
            liars in prop::collection::vec(100_000_u64 - 300..100_030 + 300, 0..20),
        ) {
            let liars = &liars[..liars.len().min(honest.len() - 1)];
            let all = honest.len() + liars.len();
            let time = ledger_time(honest.iter().chain(liars).copied(), all).unwrap();
            prop_assert!((*honest.iter().min().unwrap()..=*honest.iter().max().unwrap()).contains(&time));
        }
    }

    #[test]
    fn limits_out_of_range_are_named() {
        let field = |accept, step| Deadlines { accept, step }.validate().unwrap_err().field;
        assert_eq!(field(0, 1), "deadlines.accept");
        assert_eq!(field(31_536_001, 1), "deadlines.accept");
        assert_eq!(field(1, 0), "deadlines.step");
        assert_eq!(field(1, 2_592_001), "deadlines.step");
        assert!(Deadlines::PEOPLE.validate().is_ok() && Deadlines::EXPERIMENT.validate().is_ok());
    }
}
