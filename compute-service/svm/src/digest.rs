//! Digests of what the participants agree on.

use crate::fixed::Features;
pub(crate) use protocol::digest;
use records::{DataDigest, Digest, JobId, Model};

/// Commitment to a contribution to the seed.
pub(crate) fn commitment(job: &JobId, party: u32, contribution: &[u8]) -> [u8; 32] {
    digest("seed commitment", job, [&party.to_be_bytes()[..], contribution])
}

/// Digest of a partial model, with a salt where it stays split.
pub(crate) fn model(job: &JobId, party: u32, weights: &[i64], salt: Option<&[u8; 32]>) -> Digest {
    let weights: Vec<u8> = weights.iter().flat_map(|w| w.to_be_bytes()).collect();
    let salt = salt.map_or(&[][..], |salt| &salt[..]);
    digest("model", job, [&party.to_be_bytes()[..], salt, &weights]).into()
}

/// What a party says of its model or part: its digest, and the weights themselves unless they stay split.
pub(crate) fn published(job: &JobId, party: u32, weights: &[i64], salt: Option<&[u8; 32]>) -> Model {
    Model {
        digest: model(job, party, weights, salt),
        weights: salt.is_none().then(|| weights.iter().map(i64::to_string).collect()),
    }
}

/// Digest of all indicators in order, one byte each.
pub(crate) fn indicators(indicators: &[Vec<bool>]) -> Digest {
    let bytes: Vec<u8> = indicators.iter().flatten().map(|&inside| u8::from(inside)).collect();
    Digest::of(&bytes)
}

/// Digest of the model digests in the order of the parties.
pub(crate) fn models<'a>(digests: impl IntoIterator<Item = &'a Digest>) -> Digest {
    let digits: String = digests.into_iter().map(Digest::to_string).collect();
    Digest::of(digits.as_bytes())
}

/// Digest of a member's data: what its records are made from besides key and randomness.
pub(crate) fn private(job: &JobId, features: &Features, data: &DataDigest) -> [u8; 32] {
    let rows = (0..features.len())
        .map(|s| features.row(s).iter().flat_map(|x| x.to_be_bytes()).collect::<Vec<u8>>());
    digest("private", job, rows.chain([data.ids, data.labels].map(|digest| digest.to_string().into_bytes())))
}
