//! The blinded judge (`docs/protocols.md` 2b): it reveals the indicator and next to nothing else.

use super::Judge;
use crate::vertical::Key;
use crate::vertical::blinding::{Blinding, Sampler};
use modexp::Secret;
use num_bigint::{BigInt, Sign};
use paillier::Ciphertext;
use protocol::StepRng;
use records::{Body, Bytes, Iv, Phase, Rules, Slot};
use std::ops::Range;

/// The state of the blinded judge.
pub(in crate::vertical) struct Blinded {
    rules: Rules,
    blinding: Blinding,
    sampler: Sampler,
    schedule: Vec<Vec<u32>>,
    /// S: what a margin is compared with.
    threshold: i64,
    /// Preparation by chunk; `None` once its comparisons are ready.
    chunks: Vec<Option<Chunk>>,
    /// By index round·B + position; `None` before they are ready and after they were used.
    comparisons: Vec<Option<Comparison>>,
    round: usize,
}

/// What has come in of one chunk of the preparation.
#[derive(Default)]
struct Chunk {
    /// R⁽¹⁾ … R⁽ᵏ⁾.
    chain: Vec<Vec<Ciphertext>>,
    /// ΠNₖ, and how many members are in it.
    noise: Vec<Ciphertext>,
    noises: u32,
}

/// One comparison that is ready for use.
struct Comparison {
    /// Q = R^{2^{T+1}}.
    q: Ciphertext,
    /// C, and then C times the TIV that have come in.
    v: Ciphertext,
}

impl Blinded {
    /// Decides whether the margins of the scheduled instances are below a threshold.
    pub(in crate::vertical) fn new(
        rules: Rules,
        blinding: Blinding,
        schedule: Vec<Vec<u32>>,
        threshold: i64,
    ) -> Self {
        let chunks = rules.chunks(Phase::Chain);
        Self {
            blinding,
            sampler: Sampler::new(blinding),
            chunks: (0..chunks).map(|_| Some(Chunk::default())).collect(),
            comparisons: schedule.iter().flatten().map(|_| None).collect(),
            schedule,
            threshold,
            round: 0,
            rules,
        }
    }

    /// Where the comparisons of a range of the round's instances lie.
    fn indices(&self, range: Range<usize>) -> Range<usize> {
        let start = self.round * self.schedule[0].len();
        start + range.start..start + range.end
    }

    fn current(&self, range: Range<usize>) -> impl Iterator<Item = &Comparison> {
        self.comparisons[self.indices(range)]
            .iter()
            .map(|comparison| comparison.as_ref().expect("the preparation comes before the first IV record"))
    }

    fn chunk(&self, chunk: u32) -> &Chunk {
        self.chunks[chunk as usize].as_ref().expect("a chunk is made before its last noise is in")
    }

    /// R⁽ᵏ⁾ = (R⁽ᵏ⁻¹⁾)^ρₖ·[[0]].
    fn link(&self, key: &Key, slot: Slot, rng: &mut StepRng) -> Vec<Ciphertext> {
        let count = self.rules.chunk_range(Phase::Chain, slot.chunk).len();
        let factors: Vec<Secret> = (0..count).map(|_| self.sampler.factor(rng)).collect();
        let powers = match slot.party {
            // R⁽⁰⁾ = [[1]].
            0 => key.public.constants_secret(&factors),
            party => key.public.scale_each_secret(self.level(slot.chunk, party), &factors),
        };
        key.encryptor.rerandomise(&powers, rng)
    }

    /// R⁽ʲ⁾ of a chunk, j ≥ 1.
    fn level(&self, chunk: u32, j: u32) -> &[Ciphertext] {
        &self.chunk(chunk).chain[j as usize - 1]
    }

    /// Nₖ = [[0]]·Π_{j=k−1..n} (R⁽ʲ⁾)^τ, k = party + 1.
    fn noise(&self, key: &Key, slot: Slot, rng: &mut StepRng) -> Vec<Ciphertext> {
        let n = self.blinding.parties;
        let count = self.rules.chunk_range(Phase::Noise, slot.chunk).len();
        let mut noise = key.encryptor.zeros(count, rng);
        if slot.party == 0 {
            // R⁽⁰⁾ = [[1]]; its exponents are shifted to be positive.
            let exponents: Vec<Secret> = (0..count).map(|_| self.sampler.noise(rng)).collect();
            key.multiply(&mut noise, &key.public.constants_secret(&exponents));
            let shift = key.public.constant(&-power(self.blinding.noise_bits())).expect("far below N/2");
            key.multiply(&mut noise, &vec![shift; count]);
        }
        let levels = slot.party.max(1)..=n;
        let exponents: Vec<Vec<Secret>> = levels
            .clone()
            .map(|j| {
                let draw = |_| if j < n { self.sampler.noise(rng) } else { self.sampler.top_noise(rng) };
                (0..count).map(draw).collect()
            })
            .collect();
        let columns: Vec<(&[Ciphertext], &[Secret])> = levels
            .zip(&exponents)
            .map(|(j, exponents)| (self.level(slot.chunk, j), &exponents[..]))
            .collect();
        key.multiply(&mut noise, &key.public.dot_each_secret(&columns));
        noise
    }

    /// Q = R^{2^{T+1}} and C = R^{2^T}·Q^{−S}·ΠNₖ of a complete chunk. C also takes off the shifts 2^b of the n margins.
    fn finish(&mut self, key: &Key, index: u32) {
        let mut chunk = self.chunks[index as usize].take().expect("a chunk is finished once");
        let r = chunk.chain.pop().expect("the chain comes before the noise");
        let lifted = key.public.scale(&r, &power(self.blinding.lift as usize));
        let q = key.public.add_each(&lifted, &lifted);
        let taken = (BigInt::from(self.blinding.parties) << self.blinding.margin_bits) + self.threshold;
        let taken = key.public.negate_each(&key.public.scale(&q, &taken));
        let c = key.public.add_each(&key.public.add_each(&lifted, &taken), &chunk.noise);
        let range = self.rules.chunk_range(Phase::Chain, index);
        for (comparison, (q, v)) in self.comparisons[range].iter_mut().zip(q.into_iter().zip(c)) {
            *comparison = Some(Comparison { q, v });
        }
    }
}

fn power(exponent: usize) -> BigInt {
    BigInt::from(1) << exponent
}

impl Judge for Blinded {
    fn schedule(&self) -> &[Vec<u32>] {
        &self.schedule
    }

    fn prepare(&self, key: &Key, slot: Slot, rng: &mut StepRng) -> Body {
        match slot.phase {
            Phase::Chain => Body::Chain(key.encode(self.link(key, slot, rng))),
            _ => Body::Noise(key.encode(self.noise(key, slot, rng))),
        }
    }

    fn fold_preparation(&mut self, key: &Key, slot: Slot, list: &[Bytes]) -> Result<(), String> {
        let ciphertexts = key.decode(slot.phase.as_str(), list)?;
        let chunk = self.chunks[slot.chunk as usize].as_mut().ok_or("after its comparisons were ready")?;
        if slot.phase == Phase::Chain {
            chunk.chain.push(ciphertexts);
            return Ok(());
        }
        match chunk.noises {
            0 => chunk.noise = ciphertexts,
            _ => key.multiply(&mut chunk.noise, &ciphertexts),
        }
        chunk.noises += 1;
        if chunk.noises == self.blinding.parties {
            self.finish(key, slot.chunk);
        }
        Ok(())
    }

    /// TIVᵢ = Q^{aᵢ + 2^b}·[[0]].
    fn iv(&self, key: &Key, range: Range<usize>, margins: &[i64], rng: &mut StepRng) -> Iv {
        let b = self.blinding.margin_bits;
        let q: Vec<Ciphertext> = self.current(range).map(|comparison| comparison.q.clone()).collect();
        let exponents: Vec<Secret> = margins
            .iter()
            .map(|a| {
                Secret::from_be_bytes(&(a + (1 << b)).to_be_bytes(), b as usize + 1)
                    .expect("a margin is below 2^b")
            })
            .collect();
        let tiv = key.encryptor.rerandomise(&key.public.scale_each_secret(&q, &exponents), rng);
        Iv { tiv: key.encode(tiv), paper: None }
    }

    fn fold_iv(&mut self, key: &Key, range: Range<usize>, iv: &Iv) -> Result<(), String> {
        let tiv = key.decode("tiv", &iv.tiv)?;
        let mut v: Vec<Ciphertext> =
            self.current(range.clone()).map(|comparison| comparison.v.clone()).collect();
        key.multiply(&mut v, &tiv);
        let indices = self.indices(range);
        for (comparison, v) in self.comparisons[indices].iter_mut().zip(v) {
            comparison.as_mut().expect("read above").v = v;
        }
        Ok(())
    }

    /// V = C·ΠTIVᵢ, encryptions of ρ·2^T·(2d+1) + noise. What was made for the round is dropped.
    fn close(&mut self, _: &Key) -> Vec<Ciphertext> {
        let indices = self.indices(0..self.schedule[0].len());
        self.comparisons[indices]
            .iter_mut()
            .map(|comparison| comparison.take().expect("a round is closed once").v)
            .collect()
    }

    fn close_round(&mut self, values: &[BigInt]) -> Vec<bool> {
        self.round += 1;
        values.iter().map(|value| value.sign() == Sign::Minus).collect()
    }
}
