//! The rounds: encrypted margins, partial decryptions, indicators.

use super::judge::Judge;
use super::key::Key;
use paillier::KeyShare;
use protocol::{Decryption, Fault, QuorumTranscript, StepRng};
use records::{Body, Iv, Phase, Rules, Slot};

/// Everything from the moment when key and schedule are known.
pub(super) struct Rounds {
    rules: Rules,
    key: Key,
    judge: Box<dyn Judge>,
    decryption: Decryption,
    indicators: Vec<Vec<bool>>,
}

impl Rounds {
    pub(super) fn new(transcript: &QuorumTranscript, key: Key, judge: Box<dyn Judge>) -> Self {
        Self {
            rules: transcript.rules().clone(),
            decryption: Decryption::new(transcript, key.public.clone()),
            key,
            judge,
            indicators: Vec::new(),
        }
    }

    pub(super) fn indicators(&self) -> &[Vec<bool>] {
        &self.indicators
    }

    pub(super) fn proofs(&self) -> u64 {
        self.decryption.proofs()
    }

    pub(super) fn schedule(&self) -> &[Vec<u32>] {
        self.judge.schedule()
    }

    /// A member's record of the preparation or of its partial decryptions.
    pub(super) fn produce(&self, slot: Slot, share: &KeyShare, rng: &mut StepRng) -> Result<Body, Fault> {
        match slot.phase {
            Phase::Chain | Phase::Noise => Ok(self.judge.prepare(&self.key, slot, rng)),
            Phase::Dv => self.decryption.produce(slot, share, rng).map(Body::Dv),
            other => Err(Fault::Input(format!("{other} is not part of this job"))),
        }
    }

    /// A member's IV record with its margins aⁱ.
    pub(super) fn iv(&self, slot: Slot, margins: &[i64], rng: &mut StepRng) -> Iv {
        self.judge.iv(&self.key, self.rules.chunk_range(Phase::Iv, slot.chunk), margins, rng)
    }

    /// Folds a record of the preparation or of the round.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn fold(&mut self, slot: Slot, body: &Body) -> Result<(), String> {
        match body {
            Body::Chain(list) | Body::Noise(list) => self.judge.fold_preparation(&self.key, slot, list),
            Body::Iv(iv) => self.judge.fold_iv(&self.key, self.rules.chunk_range(Phase::Iv, slot.chunk), iv),
            Body::Dv(dv) => self.decryption.fold(slot, dv),
            _ => Err("not part of a round".into()),
        }
    }

    /// What follows when all records of a phase of the round are in, or partial decryptions of a quorum.
    ///
    /// # Errors
    /// A proof that does not hold, with its author.
    pub(super) fn complete(&mut self, slot: Slot, transcript: &mut QuorumTranscript) -> Result<(), Fault> {
        match slot.phase {
            Phase::Iv => self.decryption.begin(self.judge.close(&self.key)),
            Phase::Dv => {
                let values = self.decryption.close_round(slot.round, transcript)?;
                self.indicators.push(self.judge.close_round(&values));
            }
            _ => {}
        }
        Ok(())
    }
}
