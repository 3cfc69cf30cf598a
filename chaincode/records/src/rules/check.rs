//! Forms of fields that more than one kind of job has.

use crate::{Bytes, Dv, MemberKeys, ThresholdKey};

pub(super) fn count(name: &str, len: usize, want: usize) -> Result<(), String> {
    match len == want {
        true => Ok(()),
        false => Err(format!("{name}: {len} entries instead of {want}")),
    }
}

pub(super) fn length(name: &str, bytes: &Bytes, want: usize) -> Result<(), String> {
    match bytes.0.len() == want {
        true => Ok(()),
        false => Err(format!("{name}: {} bytes instead of {want}", bytes.0.len())),
    }
}

pub(super) fn digest(name: &str, hex: &str) -> Result<(), String> {
    match is_digest(hex) {
        true => Ok(()),
        false => Err(format!("{name}: not a SHA-256 digest in hexadecimal")),
    }
}

/// Whether a text is a SHA-256 digest as it is written here: 64 hexadecimal digits in lower case.
pub fn is_digest(hex: &str) -> bool {
    hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// A member's HPKE key, and the form of the proofs that its keys are its own. `pairs`: whether members multiply in
/// pairs and have own moduli.
pub(super) fn member_keys(keys: &MemberKeys, pairs: bool) -> Result<(), String> {
    length("hpke", &keys.hpke, 32)?;
    let Some(possession) = &keys.possession else { return Ok(()) };
    length("possession.hpke", &possession.hpke, 64)?;
    match (&possession.paillier, &keys.paillier) {
        (Some(root), Some(n)) if pairs => length("possession.paillier", root, n.0.len()),
        (None, _) if !pairs => Ok(()),
        (None, _) => Err("possession.paillier: missing".into()),
        (Some(_), _) => Err("possession.paillier: members of this job have no own keys".into()),
    }
}

/// The public part of a threshold key.
pub(super) fn key(key: &ThresholdKey, bits: u32, parties: u32, quorum: u32) -> Result<(), String> {
    let bytes = (bits / 8) as usize;
    length("n", &key.n, bytes)?;
    length("theta", &key.theta, bytes)?;
    length("base", &key.base, 2 * bytes)?;
    count("verification", key.verification.len(), parties as usize)?;
    key.verification.iter().try_for_each(|v| length("verification", v, 2 * bytes))?;
    match key.quorum == quorum {
        true => Ok(()),
        false => Err(format!("quorum: {} instead of {quorum}", key.quorum)),
    }
}

/// Partial decryptions with their proof.
pub(super) fn dv(dv: &Dv, entries: usize, ciphertext_bytes: usize) -> Result<(), String> {
    count("dv", dv.dv.len(), entries)?;
    dv.dv.iter().try_for_each(|d| length("dv", d, ciphertext_bytes))?;
    length("challenge", &dv.proof.challenge, 16)?;
    let response = dv.proof.response.0.len();
    match (1..=4 * ciphertext_bytes).contains(&response) {
        true => Ok(()),
        false => Err(format!("response: {response} bytes")),
    }
}
