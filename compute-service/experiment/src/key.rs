//! Where the key of an experiment comes from.

use crate::error::{Result, input};
use paillier::KeyShare;
use records::{Collusion, Fingerprint, TRAINING};
use std::time::Instant;

/// Who is to make the threshold key of a training by columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// This process, which holds the whole key meanwhile.
    Dealer,
    /// The participants, protected against so many colluding ones.
    Participants(Collusion),
}

/// The key of an experiment.
pub enum Key {
    /// From a dealer.
    Dealt(DealtKey),
    /// From a job of the same participants; every node has its share.
    Negotiated {
        /// Its fingerprint.
        fingerprint: Fingerprint,
        /// Seconds that it took.
        seconds: f64,
        /// How many colluding members learned nothing of its factors.
        bound: u32,
    },
    /// The analyst of a training by rows makes one of its own in each job.
    Analyst,
}

/// A threshold key as a dealer made it.
pub struct DealtKey {
    pub(crate) shares: Vec<KeyShare>,
    /// Seconds that it took.
    seconds: f64,
}

impl DealtKey {
    /// Deals a key of so many bits to so many members, which takes seconds.
    ///
    /// # Errors
    /// A size of the key, or a quorum, that is not supported.
    pub fn deal(members: u32, quorum: u32, key_bits: u32) -> Result<Self> {
        let start = Instant::now();
        let (_, shares) = paillier::deal(members, quorum, u64::from(key_bits), TRAINING, &mut node::os_rng())
            .map_err(input)?;
        Ok(Self { shares, seconds: start.elapsed().as_secs_f64() })
    }
}

impl Key {
    /// Seconds that it took before the job.
    pub fn seconds(&self) -> f64 {
        match self {
            Self::Dealt(dealt) => dealt.seconds,
            Self::Negotiated { seconds, .. } => *seconds,
            Self::Analyst => 0.0,
        }
    }

    /// Who made it, for people.
    pub fn origin(&self) -> String {
        match self {
            Self::Dealt(_) => "dealt locally by this command, which held the whole key while it dealt".into(),
            Self::Negotiated { bound, .. } => {
                format!("negotiated; no party held it whole, unless {} pooled what they saw", bound + 1)
            }
            Self::Analyst => "the analyst's own".into(),
        }
    }

    /// The fingerprint of a negotiated key, which a job names.
    pub(crate) fn fingerprint(&self) -> Option<Fingerprint> {
        match self {
            Self::Negotiated { fingerprint, .. } => Some(*fingerprint),
            Self::Dealt(_) | Self::Analyst => None,
        }
    }

    /// How many colluding members learned nothing of its factors; a dealer knows them.
    pub(crate) fn bound(&self) -> u32 {
        match self {
            Self::Negotiated { bound, .. } => *bound,
            Self::Dealt(_) | Self::Analyst => 0,
        }
    }
}
