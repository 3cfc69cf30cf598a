//! Forms of fields that more than one kind of job has.

use crate::{Bytes, Dv, MemberKeys, Phase, Proof, Slot, ThresholdKey};
use std::borrow::Cow;

/// What is wrong with the form of a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A body that does not stand in this phase of the job.
    #[error("{body} in a {phase} slot")]
    Misplaced {
        /// What it is.
        body: &'static str,
        /// The phase of its slot.
        phase: Phase,
    },
    /// The job has no such slot.
    #[error("{slot} does not exist in this job")]
    NoSlot {
        /// The slot.
        slot: Slot,
    },
    /// A list of another length.
    #[error("{field}: {found} entries instead of {expected}")]
    Entries {
        /// The field.
        field: &'static str,
        /// Its entries.
        found: usize,
        /// Those that the job's parameters give it.
        expected: usize,
    },
    /// A byte string of another length.
    #[error("{field}: {found} bytes instead of {expected}")]
    Length {
        /// The field.
        field: &'static str,
        /// Its bytes.
        found: usize,
        /// Those that the job's parameters give it.
        expected: usize,
    },
    /// A field that has to be there.
    #[error("{field}: missing")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A field whose value the job does not admit.
    #[error("{field}: {reason}")]
    Field {
        /// The field.
        field: &'static str,
        /// Why not.
        reason: Cow<'static, str>,
    },
}

impl Violation {
    pub(crate) fn field(field: &'static str, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Field { field, reason: reason.into() }
    }
}

pub(crate) fn count(field: &'static str, len: usize, want: usize) -> Result<(), Violation> {
    match len == want {
        true => Ok(()),
        false => Err(Violation::Entries { field, found: len, expected: want }),
    }
}

pub(crate) fn length(field: &'static str, bytes: &Bytes, want: usize) -> Result<(), Violation> {
    match bytes.0.len() == want {
        true => Ok(()),
        false => Err(Violation::Length { field, found: bytes.0.len(), expected: want }),
    }
}

/// A member's HPKE key, and the form of the proofs that its keys are its own. `pairs`: whether members multiply in
/// pairs and have own moduli.
pub(crate) fn member_keys(keys: &MemberKeys, pairs: bool) -> Result<(), Violation> {
    length("hpke", &keys.hpke, 32)?;
    let Some(possession) = &keys.possession else { return Ok(()) };
    length("possession.hpke", &possession.hpke, 64)?;
    match (&possession.paillier, &keys.paillier) {
        (Some(root), Some(n)) if pairs => length("possession.paillier", root, n.0.len()),
        (None, _) if !pairs => Ok(()),
        (None, _) => Err(Violation::Missing { field: "possession.paillier" }),
        (Some(_), _) => Err(Violation::field("possession.paillier", "members of this job have no own keys")),
    }
}

/// The public part of a threshold key.
pub(crate) fn key(key: &ThresholdKey, bits: u32, parties: u32, quorum: u32) -> Result<(), Violation> {
    let bytes = (bits / 8) as usize;
    length("n", &key.n, bytes)?;
    length("theta", &key.theta, bytes)?;
    length("base", &key.base, 2 * bytes)?;
    count("verification", key.verification.len(), parties as usize)?;
    key.verification.iter().try_for_each(|v| length("verification", v, 2 * bytes))?;
    match key.quorum == quorum {
        true => Ok(()),
        false => Err(Violation::field("quorum", format!("{} instead of {quorum}", key.quorum))),
    }
}

/// Partial decryptions with their proof.
pub(crate) fn dv(dv: &Dv, entries: usize, ciphertext_bytes: usize) -> Result<(), Violation> {
    count("dv", dv.dv.len(), entries)?;
    dv.dv.iter().try_for_each(|d| length("dv", d, ciphertext_bytes))?;
    proof(&dv.proof, ciphertext_bytes)
}

/// A proof.
pub(crate) fn proof(proof: &Proof, ciphertext_bytes: usize) -> Result<(), Violation> {
    length("challenge", &proof.challenge, 16)?;
    let response = proof.response.0.len();
    match (1..=4 * ciphertext_bytes).contains(&response) {
        true => Ok(()),
        false => Err(Violation::field("response", format!("{response} bytes"))),
    }
}
