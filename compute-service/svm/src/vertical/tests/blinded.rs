//! What the blinding is made of, seen with everybody's key share. Each test keeps a part of `docs/protocols.md` 2b without
//! which the judge was broken in simulation.

use super::*;
use crate::fixed::ONE;
use crate::vertical::{Blinding, Output};
use num_bigint::BigInt;
use num_integer::Integer;
use num_traits::{One, Signed};
use paillier::Ciphertext;
use protocol::{Protocol, Role};
use records::Phase;

/// A finished job whose records are decrypted by all members together.
struct Opened {
    bench: Bench,
    trace: Trace<Output>,
    blinding: Blinding,
}

impl Opened {
    fn new(parties: u32) -> Self {
        let shape = Shape { parties, iterations: 6, batch: 2, ..BLINDED };
        let bench = Bench::new(shape);
        let trace = bench.run(11);
        let blinding = Blinding::new(shape.key_bits, parties, 42, true).unwrap();
        Self { bench, trace, blinding }
    }

    fn decrypt(&self, list: &[Bytes]) -> Vec<BigInt> {
        let key = self.bench.shares[0].key();
        let bytes: Vec<_> = list.iter().map(|b| b.0.clone()).collect();
        let ciphertexts = Ciphertext::from_bytes_batch(key, &bytes).unwrap();
        let slot = Slot { phase: Phase::Dv, round: 0, party: 0, chunk: 0 };
        let context = protocol::forms::proof_context(&self.bench.job.id, &slot);
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let members: Vec<_> = self
            .bench
            .shares
            .iter()
            .map(|s| (s.index(), paillier::partial_decrypt(s, &ciphertexts, &context, &mut rng).0))
            .collect();
        paillier::combine(key, &members).unwrap()
    }

    /// Plaintexts of a member's record of the preparation.
    fn preparation(&self, phase: Phase, party: u32) -> Vec<BigInt> {
        let record = self
            .trace
            .records
            .iter()
            .find(|c| c.record.slot.phase == phase && c.record.slot.party == party)
            .unwrap();
        let (Body::Chain(list) | Body::Noise(list)) = &record.record.body else { panic!() };
        self.decrypt(list)
    }

    /// R⁽⁰⁾ … R⁽ⁿ⁾ of every comparison.
    fn levels(&self) -> Vec<Vec<BigInt>> {
        let n = self.blinding.parties;
        let first = self.preparation(Phase::Chain, 0);
        let mut levels = vec![vec![BigInt::one(); first.len()], first];
        levels.extend((1..n).map(|party| self.preparation(Phase::Chain, party)));
        levels
    }
}

/// ρₖ = 1 would show d; every factor is at least 2^M and below 2^{M+L}.
#[test]
fn factors_have_a_minimum() {
    for parties in [2, 3] {
        let opened = Opened::new(parties);
        let levels = opened.levels();
        for pair in levels.windows(2) {
            for (before, after) in pair[0].iter().zip(&pair[1]) {
                let (factor, rest) = after.div_rem(before);
                assert_eq!(rest, BigInt::ZERO, "a link is a multiple");
                let bits = factor.bits() - 1;
                let octaves = opened.blinding.floor..opened.blinding.floor + opened.blinding.range;
                assert!(octaves.contains(&(bits as u32)), "{bits} bits");
            }
        }
    }
}

/// Without its top level noise excludes wrong values of d; without its lowest one colluders who come earlier in the
/// chain divide by what they know.
#[test]
fn every_member_adds_noise_on_its_lowest_and_on_the_top_level() {
    let opened = Opened::new(3);
    let levels = opened.levels();
    for party in 0..3 {
        for (i, noise) in opened.preparation(Phase::Noise, party).iter().enumerate() {
            let (lowest, next, top) =
                (&levels[party as usize][i], &levels[party as usize + 1][i], &levels[3][i]);
            // |τ_{k,n}| is below 2^20 once in a thousand runs even at the 512 bits of this test.
            assert!(noise.abs() > top << 20usize, "top level of member {party}");
            assert!(noise.abs() < top << (opened.blinding.lift as usize - 1));
            assert_eq!(noise % lowest, BigInt::ZERO);
            assert_ne!(noise % next, BigInt::ZERO, "lowest level of member {party}");
        }
    }
}

/// What is decrypted is ρ·2^T·(2d+1) + noise with |noise| ≤ ρ·2^{T−1}: an odd multiple, so that d = 0 and d = −1
/// are as far from zero as from each other.
#[test]
fn values_are_odd_multiples_within_the_noise() {
    let opened = Opened::new(3);
    let top = opened.levels().pop().unwrap();
    let output = &opened.trace.outputs[0];
    let margins = margins(&opened.bench, output);
    let values = values(&opened);
    assert_eq!(values.len(), margins.len());
    for ((value, rho), margin) in values.iter().zip(&top).zip(margins) {
        let d: BigInt = margin - ONE;
        let exact: BigInt = (rho * (BigInt::from(2) * &d + 1)) << opened.blinding.lift as usize;
        let noise = BigInt::abs(&(value - exact));
        assert!(noise <= rho << (opened.blinding.lift as usize - 1), "noise within half a step");
        assert!(noise > *rho, "there is noise");
        assert_eq!(value.is_negative(), d.is_negative());
    }
}

/// The decrypted values of all rounds, which everybody sees.
fn values(opened: &Opened) -> Vec<BigInt> {
    let key = opened.bench.shares[0].key();
    let mut dvs: std::collections::BTreeMap<u32, Vec<(u32, Vec<paillier::Partial>)>> = Default::default();
    for committed in &opened.trace.records {
        if let Body::Dv(dv) = &committed.record.body {
            let slot = committed.record.slot;
            let bytes: Vec<_> = dv.dv.iter().map(|b| b.0.clone()).collect();
            let partials = paillier::Partial::from_bytes_batch(key, &bytes).unwrap();
            dvs.entry(slot.round).or_default().push((slot.party, partials));
        }
    }
    dvs.into_values().flat_map(|members| paillier::combine(key, &members).unwrap()).collect()
}

/// a at scale 2^36 for every visit, from the plaintext history.
fn margins(bench: &Bench, output: &Output) -> Vec<BigInt> {
    let features = Features::encode(&bench.table).unwrap();
    let update = crate::fixed::Update::new(&Hyperparameters::from(bench.job.params.training()));
    let mut margins = Vec::new();
    for (t, batch) in output.schedule.iter().enumerate() {
        let before = &output.indicators[..t];
        let w = crate::fixed::weights(&features, &bench.labels, &output.schedule, before, &update).unwrap();
        margins.extend(batch.iter().map(|&s| {
            let score = crate::fixed::score(&w, features.row(s as usize));
            BigInt::from(score) * bench.labels[s as usize].sign()
        }));
    }
    margins
}

/// Noise that a member adds before it sees the whole chain would be known to lie on its own level only.
#[test]
fn noise_comes_after_the_chain() {
    let opened = Opened::new(3);
    let records = &opened.trace.records;
    let last =
        records.iter().position(|c| c.record.slot.phase == Phase::Chain && c.record.slot.party == 2).unwrap();
    let mut member = VerticalSvm::start(&opened.bench.job, Role::Member(0)).unwrap();
    for committed in &records[..last] {
        member.apply(committed).unwrap();
        assert!(member.pending().iter().all(|slot| slot.phase != Phase::Noise));
    }
    member.apply(&records[last]).unwrap();
    assert!(member.pending().iter().any(|slot| slot.phase == Phase::Noise));
}

/// A TIV shows nothing by its size: the exponent is shifted, and the shift is the same for all.
#[test]
fn encrypted_margins_are_shifted_multiples_of_the_blinding() {
    let opened = Opened::new(3);
    let rho = &opened.levels()[3][0];
    let step = rho << (opened.blinding.lift as usize + 1);
    let first = |c: &&protocol::Committed| c.record.slot.phase == Phase::Iv && c.record.slot.round == 0;
    for committed in opened.trace.records.iter().filter(first) {
        let Body::Iv(iv) = &committed.record.body else { panic!() };
        // w⁰ = 0, so that every margin is 0 and every exponent the shift itself.
        assert_eq!(opened.decrypt(&iv.tiv)[0], &step << 42usize);
    }
}
