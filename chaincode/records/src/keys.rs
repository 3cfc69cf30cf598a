//! Parameters of the jobs that make keys.

use crate::{
    JobId, ParamsError,
    job::{check, check_key_bits},
    rules::is_digest,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

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

    pub(crate) fn validate(&self, n: u32) -> Result<(), ParamsError> {
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
}

/// Parameters of a refresh: a quorum of the old members gives new shares of the same key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRefresh {
    /// Fingerprint of the old public key, 64 hexadecimal digits.
    pub key: String,
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
    pub(crate) fn validate(&self, n: u32) -> Result<(), ParamsError> {
        check(is_digest(&self.key), "key", "not a SHA-256 digest in hexadecimal")?;
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
}

fn check_purpose(purpose: &str) -> Result<(), ParamsError> {
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
    /// SHA-256 of the public key's JSON, hexadecimal.
    pub fingerprint: String,
    /// The job that made it.
    pub job: JobId,
    /// What it may be used for.
    pub purpose: String,
    /// MSP identifiers of its members, in the order of their indices.
    pub members: Vec<String>,
    /// How many of them decrypt together.
    pub quorum: u32,
    /// How many colluding members learn nothing of the factors.
    pub collusion_bound: u32,
    /// Bits of the modulus N.
    pub bits: u32,
    /// Fingerprint of the key of which this is a refresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refreshes: Option<String>,
}
