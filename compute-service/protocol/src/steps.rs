//! The records of a job whose parties go on together, step after step.

use crate::{Committed, Fault, Role, Transcript, possession};
use records::{Body, Job, MemberKeys, Phase, Record, Slot};
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, ops::Deref};

/// One exchange: each party posts, and none goes on before all have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step {
    /// The round.
    pub round: u32,
    /// The phase.
    pub phase: Phase,
    /// The subround, where the chunks of a phase repeat.
    pub subround: u32,
}

impl Step {
    /// The first subround of a phase.
    pub fn first(phase: Phase, round: u32) -> Self {
        Self { round, phase, subround: 0 }
    }

    /// What is bound into sealed messages and commitments.
    pub fn name(&self) -> String {
        format!("{} {} {}", self.phase, self.round, self.subround)
    }
}

/// The transcript of a job whose parties go on together: the open step, and what was posted in the steps of its round
/// before.
pub struct StepTranscript {
    transcript: Transcript,
    step: Option<Step>,
    bodies: BTreeMap<Slot, Body>,
    /// Digest of all records of earlier rounds, and of the complete steps of this one.
    past: [u8; 32],
    digests: BTreeMap<Step, [u8; 32]>,
}

impl Deref for StepTranscript {
    type Target = Transcript;

    fn deref(&self) -> &Transcript {
        &self.transcript
    }
}

impl StepTranscript {
    /// Before the first record.
    ///
    /// # Errors
    /// As [`Transcript::new`].
    pub fn new(job: &Job, role: Role) -> Result<Self, Fault> {
        let transcript = Transcript::new(job, role)?;
        let step = Some(Step::first(transcript.rules().first_phase(), 0));
        let (bodies, past, digests) = (BTreeMap::new(), [0; 32], BTreeMap::new());
        Ok(Self { transcript, step, bodies, past, digests })
    }

    /// The slots of a step.
    fn slots(&self, step: Step) -> Vec<Slot> {
        let chunks = self.rules().subround(step.phase, step.subround);
        let Step { round, phase, .. } = step;
        self.rules()
            .authors(phase)
            .into_iter()
            .flat_map(|party| chunks.clone().map(move |chunk| Slot { phase, round, party, chunk }))
            .collect()
    }

    /// Slots of the open step that were not seen.
    pub fn open_slots(&self) -> Vec<Slot> {
        let slots = self.step.map(|step| self.slots(step)).unwrap_or_default();
        slots.into_iter().filter(|slot| !self.has(slot)).collect()
    }

    /// Those of the member.
    pub fn pending(&self) -> Vec<Slot> {
        self.open_slots().into_iter().filter(|slot| Some(slot.party) == self.me()).collect()
    }

    /// The step to which a slot belongs.
    pub fn step_of(&self, slot: &Slot) -> Step {
        Step { round: slot.round, phase: slot.phase, subround: self.rules().place(slot).0 }
    }

    /// Takes a record; the step that it completes, if it does.
    ///
    /// # Errors
    /// A record that is not admitted, or not of the open step.
    pub fn fold(&mut self, committed: &Committed) -> Result<Option<Step>, Fault> {
        let record: &Record = &committed.record;
        let slot = record.slot;
        if !self.check(record)? {
            return Ok(None);
        }
        let step = self.step_of(&slot);
        if self.step != Some(step) {
            return Err(self.blame(slot.party, format!("{slot}: not due")));
        }
        self.transcript.commit(slot);
        self.bodies.insert(slot, record.body.clone());
        let slots = self.slots(step);
        if !slots.iter().all(|slot| self.has(slot)) {
            return Ok(None);
        }
        let mut hash = Sha256::new();
        for slot in &slots {
            hash.update(slot.to_string());
            hash.update(serde_json::to_vec(&self.bodies[slot]).expect("bodies hold strings and integers"));
        }
        self.digests.insert(step, hash.finalize().into());
        Ok(Some(step))
    }

    /// Opens a step. A new round forgets the records of the one before.
    pub fn open(&mut self, next: Option<Step>) {
        if let (Some(last), Some(next)) = (self.step, next)
            && next.round > last.round
        {
            self.past = self.digest_before(next);
            self.digests.clear();
            self.bodies.clear();
        }
        self.step = next;
    }

    /// The step after a given one: the next subround, or the next phase.
    pub fn after(&self, step: Step) -> Option<Step> {
        if step.subround + 1 < self.rules().subrounds(step.phase) {
            return Some(Step { subround: step.subround + 1, ..step });
        }
        let phases = self.rules().phases();
        let place = phases.iter().position(|phase| *phase == step.phase)?;
        phases.get(place + 1).map(|phase| Step::first(*phase, step.round))
    }

    /// Digest of everything before a step.
    pub fn digest_before(&self, step: Step) -> [u8; 32] {
        let mut hash = Sha256::new().chain_update(self.past);
        self.digests.range(..step).for_each(|(_, digest)| hash.update(digest));
        hash.finalize().into()
    }

    /// Digest of everything so far.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new().chain_update(self.past);
        self.digests.values().for_each(|digest| hash.update(digest));
        hash.finalize().into()
    }

    /// What a party posted in a step of the current round, chunk after chunk.
    pub fn bodies(&self, step: Step, party: u32) -> impl Iterator<Item = &Body> {
        let Step { round, phase, .. } = step;
        let chunks = self.rules().subround(phase, step.subround);
        chunks.filter_map(move |chunk| self.bodies.get(&Slot { phase, round, party, chunk }))
    }

    /// The bytes that a party posted in a step of the current round, chunks joined.
    pub fn payload(&self, step: Step, party: u32) -> Vec<u8> {
        let part = |body| match body {
            &Body::Part(ref part) | &Body::Moments(ref part) => Some(part.0.as_slice()),
            _ => None,
        };
        self.bodies(step, party).filter_map(part).collect::<Vec<_>>().concat()
    }

    /// What all parties posted in [`Phase::Keys`].
    ///
    /// # Errors
    /// A party that posted none.
    pub fn keys(&self) -> Result<Vec<&MemberKeys>, Fault> {
        let of = |party| match self.body(Phase::Keys, 0, party) {
            Some(Body::Keys(keys)) => Ok(keys),
            _ => Err(self.blame(party, "no keys")),
        };
        (0..self.rules().parties()).map(of).collect()
    }

    /// Everybody's HPKE key, each its own.
    ///
    /// # Errors
    /// A key that its author does not have, or that is another party's.
    pub fn hpke(&self) -> Result<Vec<[u8; 32]>, Fault> {
        let mut all: Vec<[u8; 32]> = Vec::new();
        for (party, keys) in (0..).zip(self.keys()?) {
            let hpke = keys.hpke.0.as_slice().try_into().expect("checked by the rules");
            let statement = possession::statement(self.job(), party, keys);
            match &keys.possession {
                Some(shown) if !possession::holds(&hpke, &statement, &shown.hpke.0) => {
                    return Err(self.blame(party, "does not prove that its HPKE key is its own"));
                }
                _ => all.push(hpke),
            }
        }
        let distinct = |one: u32, other: u32| !possession::same(&all[one as usize], &all[other as usize]);
        self.check_distinct("HPKE key", distinct)?;
        Ok(all)
    }

    /// Checks something in [`Phase::Keys`] that is different for any two parties. Of two that have the same, the one is
    /// at fault that does not prove that its keys are its own; if that does not tell, the one that posted later.
    ///
    /// # Errors
    /// The party at fault.
    pub fn check_distinct(&self, what: &str, distinct: impl Fn(u32, u32) -> bool) -> Result<(), Fault> {
        let keys = self.keys()?;
        let proves = |party: u32| keys[party as usize].possession.is_some();
        let place = |party: &u32| self.place(&Slot { phase: Phase::Keys, round: 0, party: *party, chunk: 0 });
        let mut parties: Vec<u32> = (0..self.rules().parties()).collect();
        parties.sort_by_key(place);
        for (before, &later) in parties.iter().enumerate() {
            let Some(&first) = parties[..before].iter().find(|first| !distinct(**first, later)) else {
                continue;
            };
            let (copier, of) = if proves(later) && !proves(first) { (first, later) } else { (later, first) };
            let of = &self.participants()[of as usize];
            return Err(self.blame(copier, format!("its {what} is that of {of}")));
        }
        Ok(())
    }

    /// What a party posted in a phase of one chunk.
    pub fn body(&self, phase: Phase, round: u32, party: u32) -> Option<&Body> {
        self.bodies.get(&Slot { phase, round, party, chunk: 0 })
    }
}
