//! The gradient update judge: how the indicator I[y·w·x < 1] is found from encrypted parts (eq. 5.4).

mod blinded;
mod paper;

pub(super) use blinded::Blinded;
pub(super) use paper::Paper;

use super::Key;
use num_bigint::BigInt;
use paillier::Ciphertext;
use protocol::StepRng;
use records::{Body, Bytes, Iv, Slot};
use std::ops::Range;

/// One way to decide comparisons. `prepare` and `iv` make a member's records; the rest folds what is public, in the
/// order of the rules: the whole preparation, and then for each round its IV records, `close`, and `decide`.
///
/// An error text says what is wrong with the record that was folded.
pub(super) trait Judge: Send + Sync {
    /// The instances of every round so far, and of the next one.
    fn schedule(&self) -> &[Vec<u32>];

    /// A member's record of the preparation.
    fn prepare(&self, key: &Key, slot: Slot, rng: &mut StepRng) -> Body;

    /// Folds a record of the preparation.
    fn fold_preparation(&mut self, key: &Key, slot: Slot, list: &[Bytes]) -> Result<(), String>;

    /// A member's IV record for a range of the round's instances, with the margins aⁱ.
    fn iv(&self, key: &Key, range: Range<usize>, margins: &[i64], rng: &mut StepRng) -> Iv;

    /// Folds an IV record for a range of the round's instances.
    fn fold_iv(&mut self, key: &Key, range: Range<usize>, iv: &Iv) -> Result<(), String>;

    /// All IV records of the round are in: the ciphertexts that the members decrypt.
    fn close(&mut self, key: &Key) -> Vec<Ciphertext>;

    /// The indicators of the round from its decrypted values; the next round begins.
    fn close_round(&mut self, values: &[BigInt]) -> Vec<bool>;
}
