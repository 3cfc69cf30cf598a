//! What the analyst does with its key: it answers comparisons without learning what they say, and updates the model.

use super::provider::{Slots, gradient_packing};
use crate::{
    Hyperparameters,
    fixed::{ONE, Update},
};
use num_bigint::{BigInt, BigUint};
use num_traits::Signed;
use paillier::{Ciphertext, PrivateKey};
use records::{HorizontalSvm, VALUE_BITS};

/// Whether each blinded value is negative. What was blinded is not known, nor whether its sign was flipped.
pub(super) fn compare(
    key: &PrivateKey,
    slots: &Slots,
    margins: &[Ciphertext],
    count: usize,
) -> Result<Vec<bool>, String> {
    let values = slots.packing.unpack(&key.decrypt(margins), count).map_err(|e| format!("margins: {e}"))?;
    Ok(values.iter().map(Signed::is_negative).collect())
}

/// Σ I·y·x of all providers, with noise where they add it, from their summed ciphertexts.
pub(super) fn open(
    key: &PrivateKey,
    params: &HorizontalSvm,
    parties: u32,
    sums: &[Ciphertext],
) -> Result<Vec<i64>, String> {
    let packing = gradient_packing(params, parties, key.public());
    let values =
        packing.unpack(&key.decrypt(sums), params.weights()).map_err(|e| format!("gradients: {e}"))?;
    values.iter().map(|v| i64::try_from(v).map_err(|_| "gradients: too large".to_string())).collect()
}

/// The model from the gradients so far, w⁰ = 0; with the last one's Δ.
pub(super) struct Model {
    params: HorizontalSvm,
    /// At scale 2^24.
    weights: Vec<i64>,
    /// ‖λw − C·g‖² of the last update, in units of 2^−48·10^−18.
    last: Option<BigUint>,
}

impl Model {
    pub(super) fn new(params: &HorizontalSvm) -> Self {
        Self { params: params.clone(), weights: vec![0; params.weights()], last: None }
    }

    pub(super) fn weights(&self) -> &[i64] {
        &self.weights
    }

    /// w ← w − η(λw − C·g), b without λ.
    pub(super) fn step(&mut self, gradient: &[i64]) -> Result<(), String> {
        let parameters = Hyperparameters::from(&self.params);
        let (lambda, c) = (BigInt::from(parameters.lambda.raw()), BigInt::from(parameters.c.raw()));
        let mut norm = BigInt::ZERO;
        for (place, (w, g)) in self.weights.iter_mut().zip(gradient).enumerate() {
            let is_intercept = place == self.params.columns.len();
            let kept = if is_intercept { BigInt::ZERO } else { &lambda * *w };
            let delta: BigInt = kept - ((&c * *g) << 12u32);
            norm += &delta * &delta;
            let update = Update::new(&parameters);
            let update = if is_intercept { update.unregularised() } else { update };
            *w = update.coordinate(*w, *g).ok_or("a weight overflows; use a smaller learning rate")?;
        }
        self.last = norm.to_biguint();
        let largest: i128 = self.weights.iter().map(|w| i128::from(w.unsigned_abs()) << VALUE_BITS).sum();
        match largest + i128::from(ONE) < 1 << self.params.margin_bits {
            true => Ok(()),
            false => Err("the weights exceed what the margin bits allow; use a smaller learning rate or more margin bits".into()),
        }
    }

    /// Whether the last Δ is short enough to stop.
    pub(super) fn has_converged(&self) -> bool {
        let (Some(tolerance), Some(last)) = (self.params.tolerance, &self.last) else { return false };
        let bound = BigUint::from(tolerance.raw().unsigned_abs()) << 24u32;
        *last <= &bound * &bound
    }
}
