//! A threshold key in new shares (`docs/protocols.md` 1).

mod schedule;

use super::{
    JobKind,
    key_generation::{check_purpose, log2},
};
use crate::{
    Fingerprint, ParamsError,
    params::{check, check_key_bits},
    schedule::PhaseSchedule,
};
use schedule::Refresh;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, sync::Arc};

/// Parameters of a refresh: a quorum of the old members gives new shares of the same key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRefresh {
    /// The old public key.
    pub key: Fingerprint,
    /// What the key may be used for.
    pub purpose: String,
    /// Bits of the modulus N.
    pub key_bits: u32,
    /// Consent to a modulus below 2,048 bits.
    #[serde(default)]
    pub insecure_key_bits: bool,
    /// Number of the old members.
    pub old_parties: u32,
    /// Bits of the old shares.
    pub share_bits: u32,
    /// The old members who deal: exactly the old quorum.
    pub dealers: Vec<Dealer>,
    /// Party indices of the new members, in the order of their member indices.
    pub members: Vec<u32>,
    /// How many of the new members decrypt together.
    pub quorum: u32,
}

/// An old member who deals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dealer {
    /// Its index in this job.
    pub party: u32,
    /// Its index in the old key.
    pub member: u32,
}

impl KeyRefresh {
    /// Bytes of a new share of the exponent, at most.
    pub fn share_bytes(&self) -> usize {
        let (old, new) = (self.old_parties as usize, self.members.len());
        let (log_old, log_new) = (log2(old as u32), log2(new as u32));
        let summand = self.share_bits as usize + (old + self.dealers.len()) * log_old;
        let share = summand + 2 * new * log_new + 80 + self.quorum as usize * log_new + log_old + 8;
        share.div_ceil(8)
    }
}

impl JobKind for KeyRefresh {
    fn validate(&self, n: u32) -> Result<(), ParamsError> {
        check_purpose(&self.purpose)?;
        check_key_bits(self.key_bits, self.insecure_key_bits)?;
        check((2..=64).contains(&self.old_parties), "old_parties", "not in 2..=64")?;
        check((1..=1 << 14).contains(&self.share_bits), "share_bits", "not in 1..=16,384")?;
        let parties: BTreeSet<u32> = self.dealers.iter().map(|dealer| dealer.party).collect();
        let members: BTreeSet<u32> = self.dealers.iter().map(|dealer| dealer.member).collect();
        let distinct = parties.len() == self.dealers.len() && members.len() == self.dealers.len();
        check(distinct && parties.len() >= 2, "dealers", "fewer than two, or one is named twice")?;
        let known = parties.iter().all(|p| *p < n) && members.iter().all(|m| *m < self.old_parties);
        check(known, "dealers", "a party or member that does not exist")?;
        let new: BTreeSet<u32> = self.members.iter().copied().collect();
        check(new.len() == self.members.len(), "members", "one is named twice")?;
        check(new.iter().all(|p| *p < n), "members", "a party that does not exist")?;
        check((2..=new.len() as u32).contains(&self.quorum), "quorum", format!("not in 2..={}", new.len()))?;
        // A proof's response is a little longer than the share and must fit its field.
        let fits = 8 * self.share_bytes() as u64 + 1024 <= 8 * u64::from(self.key_bits);
        check(fits, "share_bits", "refreshed too often, or for too many members; negotiate a new key")?;
        let takes_part = (0..n).all(|p| new.contains(&p) || parties.contains(&p));
        check(takes_part, "participants", "one is neither an old member who deals nor a new one")
    }
    fn schedule(&self, parties: u32) -> Arc<dyn PhaseSchedule> {
        Arc::new(Refresh::new(parties, self))
    }

    fn key(&self) -> Option<Fingerprint> {
        Some(self.key)
    }
}
