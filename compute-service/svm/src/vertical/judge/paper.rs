//! The paper's judge, Algorithm 3 (`docs/protocols.md` 2a): it reveals the margin itself to within one unit.

use super::Judge;
use crate::fixed::ONE;
use crate::vertical::{Key, schedule};
use num_bigint::BigInt;
use paillier::Ciphertext;
use protocol::StepRng;
use rand_core::Rng;
use records::{Body, Bytes, Iv, PaperIv, Slot, VerticalSvm};
use std::ops::Range;

/// Bits of the random integers r₁ and r₂.
const BLINDING_BITS: u32 = 48;

/// The state of Algorithm 3. A margin a is compared as 2a with 2S − 1, so that there is no tie.
pub(in crate::vertical) struct Paper {
    instances: u32,
    iterations: u32,
    schedule: Vec<Vec<u32>>,
    /// [[a]] = Π[[aⁱ]] and [[r₂]] = Π[[r₂ⁱ]] for the instances of the round.
    a: Vec<Ciphertext>,
    r2: Vec<Ciphertext>,
    /// The public sums.
    sums: Vec<Sums>,
}

#[derive(Clone, Default)]
struct Sums {
    r1: u128,
    r3: u128,
    rpi: u64,
}

impl Paper {
    pub(in crate::vertical) fn new(training: &VerticalSvm, key: &Key, seed: &[u8; 32]) -> Self {
        let batch = training.batch as usize;
        let mut paper = Self {
            instances: training.instances,
            iterations: training.iterations,
            schedule: schedule::schedule(seed, training.instances, 1, training.batch),
            a: Vec::new(),
            r2: Vec::new(),
            sums: vec![Sums::default(); batch],
        };
        paper.a = vec![key.public.sum(&[]); batch];
        paper.r2 = paper.a.clone();
        paper
    }
}

impl Judge for Paper {
    fn schedule(&self) -> &[Vec<u32>] {
        &self.schedule
    }

    fn prepare(&self, _: &Key, slot: Slot, _: &mut StepRng) -> Body {
        unreachable!("the rules of the paper's judge have no {slot}")
    }

    fn fold_preparation(&mut self, _: &Key, slot: Slot, _: &[Bytes]) -> Result<(), String> {
        Err(format!("the paper's judge has no {slot}"))
    }

    fn iv(&self, key: &Key, range: Range<usize>, margins: &[i64], rng: &mut StepRng) -> Iv {
        let number = |r: u64| Bytes(r.to_be_bytes().to_vec());
        let draws: Vec<Draw> = range.map(|_| Draw::new(self.instances, rng)).collect();
        let r2: Vec<BigInt> = draws.iter().map(|draw| draw.r2.into()).collect();
        let margins: Vec<BigInt> = margins.iter().map(|&a| a.into()).collect();
        let mut encrypt = |values: &[BigInt]| {
            let ciphertexts = key.encryptor.encrypt(values, rng).expect("64 bits are below N/2");
            key.encode(ciphertexts)
        };
        Iv {
            tiv: encrypt(&margins),
            paper: Some(PaperIv {
                r1: draws.iter().map(|draw| number(draw.r1)).collect(),
                r2: encrypt(&r2),
                r3: draws.iter().map(|draw| number(draw.r3)).collect(),
                rpi: draws.iter().map(|draw| draw.rpi).collect(),
            }),
        }
    }

    fn fold_iv(&mut self, key: &Key, range: Range<usize>, iv: &Iv) -> Result<(), String> {
        let paper = iv.paper.as_ref().ok_or("paper: missing")?;
        let tiv = key.decode("tiv", &iv.tiv)?;
        let r2 = key.decode("r2", &paper.r2)?;
        let (r1, r3) = (positive("r1", &paper.r1)?, positive("r3", &paper.r3)?);
        key.multiply(&mut self.a[range.clone()], &tiv);
        key.multiply(&mut self.r2[range.clone()], &r2);
        for (i, sums) in self.sums[range].iter_mut().enumerate() {
            sums.r1 += u128::from(r1[i]);
            sums.r3 += u128::from(r3[i]);
            sums.rpi += u64::from(paper.rpi[i]);
        }
        Ok(())
    }

    /// [[2a·r₁ + r₂]].
    fn close(&mut self, key: &Key) -> Vec<Ciphertext> {
        let nothing = vec![key.public.sum(&[]); self.a.len()];
        let a = std::mem::replace(&mut self.a, nothing.clone());
        let r2 = std::mem::replace(&mut self.r2, nothing);
        let factors: Vec<BigInt> = self.sums.iter().map(|sums| (2 * sums.r1).into()).collect();
        key.public.add_each(&key.public.scale_each(&a, &factors), &r2)
    }

    fn close_round(&mut self, values: &[BigInt]) -> Vec<bool> {
        let zeros = vec![Sums::default(); self.sums.len()];
        let sums = std::mem::replace(&mut self.sums, zeros);
        if self.schedule.len() < self.iterations as usize {
            let rpis: Vec<u64> = sums.iter().map(|sums| sums.rpi).collect();
            self.schedule.push(schedule::named_by(&rpis, self.instances));
        }
        let threshold = |sums: &Sums| BigInt::from(2 * ONE - 1) * sums.r1 + sums.r3;
        values.iter().zip(&sums).map(|(value, sums)| *value < threshold(sums)).collect()
    }
}

/// What a participant draws for one comparison.
struct Draw {
    r1: u64,
    r2: u64,
    r3: u64,
    rpi: u32,
}

impl Draw {
    /// Positive integers with |r₃ − r₂| < r₁, and RPI in 1..=m.
    fn new(instances: u32, rng: &mut StepRng) -> Self {
        let r1 = 1 + below(1 << BLINDING_BITS, rng);
        let r2 = 1 + below(1 << BLINDING_BITS, rng);
        let least = (r2 + 1).saturating_sub(r1).max(1);
        let r3 = least + below(r2 + r1 - least, rng);
        Self { r1, r2, r3, rpi: 1 + below(instances.into(), rng) as u32 }
    }
}

/// Uniform below a bound.
fn below(bound: u64, rng: &mut StepRng) -> u64 {
    let mask = bound.next_power_of_two() - 1;
    loop {
        let draw = rng.next_u64() & mask;
        if draw < bound {
            return draw;
        }
    }
}

fn positive(field: &str, list: &[Bytes]) -> Result<Vec<u64>, String> {
    list.iter()
        .enumerate()
        .map(|(i, bytes)| {
            let number = <[u8; 8]>::try_from(bytes.0.as_slice()).map(u64::from_be_bytes);
            match number {
                Ok(number) if number > 0 => Ok(number),
                _ => Err(format!("{field}: entry {i} is not a positive integer of 8 bytes")),
            }
        })
        .collect()
}
