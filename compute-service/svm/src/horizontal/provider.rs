//! What a provider computes under encryption: blinded margins, and its gradient.

use super::{masks::Masks, rows::Rows};
use crate::{
    fixed::ONE,
    vertical::{Blinding, Sampler, blinding::uniform_bits},
};
use modexp::Secret;
use num_bigint::{BigInt, BigUint, Sign};
use paillier::{Ciphertext, Encryptor, below, packing::Packing};
use protocol::StepRng;
use rand_core::{CryptoRng, Rng};
use records::{HorizontalSvm, VALUE_BITS};
use std::{
    cell::Cell,
    ops::Range,
    time::{Duration, Instant},
};

/// Which rows a round compares, in which order, and which signs are flipped. Drawn anew from the job's secret whenever it
/// is needed.
pub(super) struct Plan {
    /// The row in each slot; none where a number only fills up.
    rows: Vec<Option<usize>>,
    flipped: Vec<bool>,
}

impl Plan {
    /// For `active` slots.
    pub(super) fn draw(batch: &[usize], active: usize, rng: &mut StepRng) -> Self {
        let mut rows: Vec<Option<usize>> = batch.iter().copied().map(Some).collect();
        rows.resize(active, None);
        for place in (1..active).rev() {
            let other = below(rng, &BigUint::from(place + 1));
            rows.swap(place, other.try_into().expect("a place"));
        }
        let flipped = (0..active).map(|_| rng.next_u32() & 1 == 1).collect();
        Self { rows, flipped }
    }

    /// The secret s of a slot.
    fn sign(&self, slot: usize) -> i64 {
        if self.flipped[slot] { -1 } else { 1 }
    }

    /// Slots that hold a row.
    fn filled(&self) -> impl Iterator<Item = (usize, usize)> {
        self.rows.iter().enumerate().filter_map(|(slot, row)| Some((slot, (*row)?)))
    }
}

/// How blinded margins lie in ciphertexts.
pub(super) struct Slots {
    pub(super) packing: Packing,
    sampler: Sampler,
    blinding: Blinding,
}

impl Slots {
    pub(super) fn new(params: &HorizontalSvm, key: &paillier::EncryptionKey) -> Self {
        let (slots, range) = params.margin_slots();
        let blinding = Blinding::of_one(params.margin_bits, params.margin_floor(), range);
        let bits = params.margin_floor() + range + params.margin_bits + 2;
        let packing = Packing::new(key, bits, 0).expect("slots of valid parameters fit");
        assert_eq!(packing.slots(), slots as usize, "one way to count slots");
        Self { packing, sampler: Sampler::new(blinding), blinding }
    }
}

/// ρ, and s·σ.
struct Factor {
    factor: Secret,
    noise: BigInt,
}

/// How gradients lie in ciphertexts.
pub(super) fn gradient_packing(
    params: &HorizontalSvm,
    parties: u32,
    key: &paillier::EncryptionKey,
) -> Packing {
    Packing::new(key, params.gradient_slot_bits(parties), 0).expect("slots of valid parameters fit")
}

/// One provider with what it needs for a round.
pub(super) struct Provider<'a> {
    pub(super) params: &'a HorizontalSvm,
    pub(super) encryptor: &'a Encryptor,
    pub(super) rows: &'a Rows,
    pub(super) plan: &'a Plan,
    /// Time spent in secure polynomial multiplication.
    pub(super) multiplied: Cell<Duration>,
}

impl Provider<'_> {
    /// `[[s·a]]`, a = y(w·x − b), for rows with a sign s each (eq. 4.15).
    pub(super) fn margins(&self, weights: &[Ciphertext], rows: &[(usize, i64)]) -> Vec<Ciphertext> {
        let width = VALUE_BITS as usize + 1;
        let exponents: Vec<Vec<Secret>> = rows
            .iter()
            .map(|&(row, s)| {
                let y = s * self.rows.label(row).sign();
                self.rows.values(row).iter().map(|x| signed(y * i64::from(*x), width)).collect()
            })
            .collect();
        self.multiply(weights, &exponents)
    }

    /// Eq. 4.15, timed.
    fn multiply(&self, ciphertexts: &[Ciphertext], exponents: &[Vec<Secret>]) -> Vec<Ciphertext> {
        let start = Instant::now();
        let products = self.encryptor.key().dot_rows_secret(ciphertexts, exponents);
        self.multiplied.set(self.multiplied.get() + start.elapsed());
        products
    }

    /// The ciphertexts in `chunk` of a round's: s·(ρ(2d+1)+σ) of each slot, packed.
    pub(super) fn blinded(
        &self,
        slots: &Slots,
        weights: &[Ciphertext],
        chunk: Range<usize>,
        rng: &mut StepRng,
    ) -> Vec<Ciphertext> {
        let key = self.encryptor.key();
        let each = slots.packing.slots();
        let places = chunk.start * each..chunk.end * each;
        let plan = self.plan;
        let rows: Vec<(usize, i64)> = plan
            .filled()
            .filter(|(slot, _)| places.contains(slot))
            .map(|(slot, row)| (row, plan.sign(slot)))
            .collect();
        // s(2d + 1) = s·2a + s(1 − 2S).
        let doubled = self.margins(&key.add_each(weights, weights), &rows);
        let [plus, minus] =
            [1, -1].map(|s| key.constant(&BigInt::from(s * (1 - 2 * ONE))).expect("a small constant"));
        let constants: Vec<Ciphertext> =
            rows.iter().map(|(_, s)| if *s > 0 { plus.clone() } else { minus.clone() }).collect();
        let mut values = key.add_each(&doubled, &constants).into_iter();

        let mut packed: Vec<(Vec<Ciphertext>, Vec<Secret>)> = vec![Default::default(); each];
        let mut noise = Vec::new();
        for place in places {
            let (ciphertext, factor) = match plan.rows.get(place) {
                Some(Some(_)) => {
                    let Factor { factor, noise: sigma } = slots.factor(plan.sign(place), rng);
                    noise.push(sigma);
                    (values.next().expect("a value of each row"), factor)
                }
                filler => {
                    noise.extend(filler.map(|_| slots.filler(plan.sign(place), rng)));
                    (key.sum(&[]), slots.no_factor())
                }
            };
            packed[place % each].0.push(ciphertext);
            packed[place % each].1.push(factor);
        }
        let packed: Vec<(&[Ciphertext], &[Secret])> =
            packed.iter().map(|(ciphertexts, factors)| (&ciphertexts[..], &factors[..])).collect();
        let noise = slots.packing.pack(&noise).expect("σ is far below a slot");
        let width = slots.packing.width();
        self.encryptor.pack_products_fully(&packed, width, &noise, rng).expect("packed below N/2")
    }

    /// `[[Σ I·y·x]]` from the encrypted comparisons of the round's slots, with noise and masks, packed.
    pub(super) fn gradient(
        &self,
        packing: &Packing,
        comparisons: &[Ciphertext],
        (masks, step): (&Masks, &str),
        noise: &[i64],
        rng: &mut StepRng,
    ) -> Vec<Ciphertext> {
        let key = self.encryptor.key();
        let width = VALUE_BITS as usize + 1;
        let coordinates = self.params.weights();
        let mut exponents: Vec<Vec<Secret>> = vec![Vec::new(); coordinates];
        let mut constants: Vec<i64> = noise.to_vec();
        let mut bases = Vec::new();
        for (slot, row) in self.plan.filled() {
            bases.push(comparisons[slot].clone());
            let y = self.rows.label(row).sign();
            // The comparison of −d says when I = 0.
            let (sign, flipped) = (self.plan.sign(slot), i64::from(self.plan.flipped[slot]));
            for (coordinate, x) in self.rows.values(row).iter().enumerate() {
                let product = y * i64::from(*x);
                exponents[coordinate].push(signed(sign * product, width));
                constants[coordinate] += flipped * product;
            }
        }
        let sums = self.multiply(&bases, &exponents);
        let groups: Vec<&[Ciphertext]> = sums.chunks(packing.slots()).collect();
        let packed = key.pack_each(&groups, packing.width());
        let constants: Vec<BigInt> = constants.into_iter().map(BigInt::from).collect();
        let constants = packing.pack(&constants).expect("a part of a sum that fits");
        let masks = masks.draw(step, key.n(), packed.len());
        let added: Vec<BigInt> =
            constants.iter().zip(masks).map(|(c, mask)| centred(c + BigInt::from(mask), key.n())).collect();
        self.finished(&packed, &added, rng)
    }

    /// Adds plaintexts, and randomness that the owner of the key cannot take roots of.
    pub(super) fn finished(
        &self,
        ciphertexts: &[Ciphertext],
        plaintexts: &[BigInt],
        rng: &mut impl CryptoRng,
    ) -> Vec<Ciphertext> {
        let plaintexts = self.encryptor.encrypt_fully(plaintexts, rng).expect("plaintexts within ±N/2");
        self.encryptor.key().add_each(ciphertexts, &plaintexts)
    }
}

impl Slots {
    fn factor(&self, sign: i64, rng: &mut impl CryptoRng) -> Factor {
        let bytes = self.sampler.draw_factor(rng);
        let noise = self.noise(&BigUint::from_bytes_be(&bytes), sign, rng);
        let factor = Secret::from_be_bytes(&bytes, self.blinding.factor_bits());
        Factor { factor: factor.expect("ρ is below 2^(M+L)"), noise }
    }

    /// The factor where a number only fills up.
    fn no_factor(&self) -> Secret {
        Secret::from_biguint(&BigUint::ZERO, self.blinding.factor_bits()).expect("0 is short")
    }

    /// s·σ, σ uniform with |σ| ≤ (ρ−1)/2.
    fn noise(&self, factor: &BigUint, sign: i64, rng: &mut impl CryptoRng) -> BigInt {
        let most = (factor - 1u32) >> 1u32;
        let sigma = BigInt::from(below(rng, &((&most << 1u32) + 1u32))) - BigInt::from(most);
        sigma * sign
    }

    /// What looks like a comparison of some d: its octave is uniform.
    fn filler(&self, sign: i64, rng: &mut impl CryptoRng) -> BigInt {
        let bits = (rng.next_u32() % self.blinding.margin_bits) as usize + 1;
        let mut bytes = vec![0; bits.div_ceil(8)];
        uniform_bits(&mut bytes, bits, rng);
        let side = if rng.next_u32() & 1 == 1 { Sign::Minus } else { Sign::Plus };
        let d = BigInt::from_biguint(side, BigUint::from_bytes_be(&bytes));
        let factor = BigUint::from_bytes_be(&self.sampler.draw_factor(rng));
        let sigma = self.noise(&factor, 1, rng);
        (BigInt::from(factor) * (2 * d + 1) + sigma) * sign
    }
}

/// v as a secret exponent: v + 2^(width−1).
pub(super) fn signed(value: i64, width: usize) -> Secret {
    let shifted = (value + (1 << (width - 1))) as u64;
    Secret::from_be_bytes(&shifted.to_be_bytes(), width).expect("values are checked to be of this width")
}

/// The residue of least magnitude.
fn centred(value: BigInt, n: &BigUint) -> BigInt {
    let n = BigInt::from(n.clone());
    let rest = ((value % &n) + &n) % &n;
    if &rest * 2 > n { rest - n } else { rest }
}
