//! Algorithms 2 and 3 of the book's chapter 4: both sides see every indicator, the analyst every provider's gradient.

use super::provider::Provider;
use crate::fixed::ONE;
use modexp::Secret;
use num_bigint::{BigInt, BigUint};
use paillier::{Ciphertext, PrivateKey, below};
use protocol::StepRng;
use std::ops::Range;

/// Bits of r₁.
const BLIND_BITS: usize = 32;

/// Algorithm 2, A's side: `[[a·r₁ + r₂]]` and `[[S·r₁ + r₃]]` one after the other, positive r with |r₃ − r₂| < r₁, and
/// r₃ ≤ r₂, so that a = S is not below S. Places beyond the rows hold random numbers.
pub(super) fn pairs(
    provider: &Provider,
    weights: &[Ciphertext],
    batch: &[usize],
    entries: Range<usize>,
    rng: &mut StepRng,
) -> Vec<Ciphertext> {
    let places = entries.start / 2..entries.end / 2;
    let rows = &batch[places.start.min(batch.len())..places.end.min(batch.len())];
    let margins = provider.margins(weights, &unsigned(rows));
    let (mut factors, mut plaintexts) = (Vec::new(), Vec::new());
    for place in places.clone() {
        let half = BigUint::from(1u32) << (BLIND_BITS - 1);
        let r1 = below(rng, &half) + &half;
        let r2 = below(rng, &half) + 1u32;
        let r3 = below(rng, &r2) + 1u32;
        if place < batch.len() {
            factors.push(Secret::from_biguint(&r1, BLIND_BITS).expect("r₁ has 32 bits"));
        }
        plaintexts.push(BigInt::from(r2));
        plaintexts.push(BigInt::from(ONE) * BigInt::from(r1) + BigInt::from(r3));
    }
    let key = provider.encryptor.key();
    let products = key.scale_each_secret(&margins, &factors);
    let zero = key.sum(&[]);
    let mut products = products.into_iter();
    let parts: Vec<Ciphertext> = (0..2 * places.len())
        .map(|i| if i % 2 == 0 { products.next().unwrap_or_else(|| zero.clone()) } else { zero.clone() })
        .collect();
    provider.finished(&parts, &plaintexts, rng)
}

/// Algorithm 2, B's side: a·r₁ + r₂ < S·r₁ + r₃.
pub(super) fn compare(key: &PrivateKey, pairs: &[Ciphertext]) -> Vec<bool> {
    key.decrypt(pairs).chunks_exact(2).map(|pair| pair[0] < pair[1]).collect()
}

/// Algorithm 3, line 8: Σ I·y·x, which the provider knows, and the cost Σ I·(S − a), which it knows encrypted.
pub(super) fn gradient(
    provider: &Provider,
    weights: &[Ciphertext],
    batch: &[usize],
    indicators: &[bool],
    rng: &mut StepRng,
) -> Vec<Ciphertext> {
    let key = provider.encryptor.key();
    let inside: Vec<usize> =
        batch.iter().zip(indicators).filter(|(_, inside)| **inside).map(|(row, _)| *row).collect();
    let mut sums = vec![0i64; provider.params.weights()];
    for &row in &inside {
        let y = provider.rows.label(row).sign();
        sums.iter_mut().zip(provider.rows.values(row)).for_each(|(sum, x)| *sum += y * i64::from(*x));
    }
    let margins = key.sum(&provider.margins(weights, &unsigned(&inside)));
    let mut parts = vec![key.sum(&[]); sums.len()];
    parts.push(key.negate_each(&[margins]).swap_remove(0));
    let mut plaintexts: Vec<BigInt> = sums.into_iter().map(BigInt::from).collect();
    plaintexts.push(BigInt::from(ONE) * inside.len());
    provider.finished(&parts, &plaintexts, rng)
}

/// Rows whose margins keep their signs.
fn unsigned(rows: &[usize]) -> Vec<(usize, i64)> {
    rows.iter().map(|&row| (row, 1)).collect()
}
