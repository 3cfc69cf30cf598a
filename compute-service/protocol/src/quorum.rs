//! What has come in of a job in whose rounds a quorum decrypts, and what may come next.

use crate::{Fault, Role, Transcript, digest};
use records::{Job, Phase, Record, Slot};
use std::{collections::BTreeMap, ops::Deref};

/// The transcript of a job whose rounds end with the partial decryptions (DV) of a quorum.
pub struct QuorumTranscript {
    transcript: Transcript,
    quorum: u32,
    /// Records seen of each phase and round.
    counts: BTreeMap<(Phase, u32), usize>,
    /// Digest of the stages that are complete, and the digests of records after them.
    history: [u8; 32],
    recent: BTreeMap<Slot, [u8; 32]>,
    /// The members whose partial decryptions decided each round.
    contributors: Vec<Vec<u32>>,
}

impl Deref for QuorumTranscript {
    type Target = Transcript;

    fn deref(&self) -> &Transcript {
        &self.transcript
    }
}

impl QuorumTranscript {
    /// Before the first record of a job in which a quorum of members decrypts.
    ///
    /// # Errors
    /// As [`Transcript::new`].
    pub fn new(job: &Job, role: Role, quorum: u32) -> Result<Self, Fault> {
        Ok(Self {
            transcript: Transcript::new(job, role)?,
            quorum,
            counts: BTreeMap::new(),
            history: [0; 32],
            recent: BTreeMap::new(),
            contributors: Vec::new(),
        })
    }

    /// The current round, which is the number of decided ones.
    pub fn round(&self) -> u32 {
        self.contributors.len() as u32
    }

    /// Number of records folded so far, and of all records of the job.
    pub fn progress(&self) -> (usize, usize) {
        let of = |phase| self.rules().rounds(phase) as usize * self.rules().chunks(phase) as usize;
        let all: usize = self.rules().phases().into_iter().map(of).sum();
        (self.len(), all * self.rules().parties() as usize)
    }

    /// The members all of whose partial decryptions of a round are in.
    fn decrypted(&self, round: u32) -> Vec<u32> {
        let all = |party: &u32| {
            let party = *party;
            (0..self.rules().chunks(Phase::Dv))
                .all(|chunk| self.has(&Slot { phase: Phase::Dv, round, party, chunk }))
        };
        (0..self.rules().parties()).filter(all).collect()
    }

    /// Whether all records of a round of a phase are in; of partial decryptions, those of a quorum.
    pub fn is_complete(&self, phase: Phase, round: u32) -> bool {
        if phase == Phase::Dv {
            return self.decrypted(round).len() == self.quorum as usize;
        }
        let all = (self.rules().parties() * self.rules().chunks(phase)) as usize;
        self.counts.get(&(phase, round)) == Some(&all)
    }

    /// Unseen slots of all parties whose needs are met.
    pub fn open_slots(&self) -> Vec<Slot> {
        let mut open = Vec::new();
        for phase in self.rules().phases() {
            let round = if matches!(phase, Phase::Iv | Phase::Dv) { self.round() } else { 0 };
            if round < self.rules().rounds(phase) && !self.is_complete(phase, round) {
                let slots = self.rules().round_slots(phase, round).into_iter();
                open.extend(slots.filter(|slot| self.is_open(slot)));
            }
        }
        open
    }

    /// Those of the member.
    pub fn pending(&self) -> Vec<Slot> {
        self.open_slots().into_iter().filter(|slot| Some(slot.party) == self.me()).collect()
    }

    /// That a slot is the member's to fill now.
    ///
    /// # Errors
    /// [`Fault::Input`].
    pub fn check_owed(&self, slot: &Slot) -> Result<(), Fault> {
        match self.me() == Some(slot.party) && self.is_open(slot) {
            true => Ok(()),
            false => Err(Fault::Input(format!("{slot} is not owed"))),
        }
    }

    fn is_open(&self, slot: &Slot) -> bool {
        let decided = self.rules().quorum(slot).is_none_or(|(_, round, _)| round < self.round());
        decided && self.is_free(slot, &self.contributors(slot))
    }

    /// Whether a record's content is to be folded: it was not before, and does not come too late to matter, a quorum
    /// having decided its round without it.
    ///
    /// # Errors
    /// What can be said against a record before its content is looked at.
    pub fn check(&mut self, record: &Record) -> Result<bool, Fault> {
        let slot = record.slot;
        if !self.transcript.check(record)? {
            return Ok(false);
        }
        let late = slot.phase == Phase::Dv && slot.round < self.round();
        if late {
            self.transcript.commit(slot);
        }
        Ok(!late)
    }

    /// Takes note of a record that was folded, with what was wrong with its content; whether it completes its round.
    ///
    /// # Errors
    /// [`Fault::Participant`] with what was wrong.
    pub fn commit(&mut self, record: &Record, folded: Result<(), String>) -> Result<bool, Fault> {
        let slot = record.slot;
        folded.map_err(|reason| self.blame(slot.party, format!("{slot}: {reason}")))?;
        self.record(record);
        Ok(self.is_complete(slot.phase, slot.round))
    }

    /// Notes a folded record; completes its stage where it is the last of it.
    fn record(&mut self, record: &Record) {
        let slot = record.slot;
        self.transcript.commit(slot);
        *self.counts.entry((slot.phase, slot.round)).or_insert(0) += 1;
        self.recent.insert(slot, digest("record", self.job(), [record.to_json()]));
        // Chain and noise are one stage: a member may be at the noise of one chunk and the chain of another.
        if slot.phase != Phase::Chain && self.is_complete(slot.phase, slot.round) {
            let stage = std::iter::once(&self.history).chain(self.recent.values());
            self.history = digest("history", self.job(), stage);
            self.recent.clear();
        }
    }

    /// The members whose partial decryptions decide a round that is complete; the next one begins.
    pub fn close_round(&mut self, round: u32) -> Vec<u32> {
        let contributors = self.decrypted(round);
        self.contributors.push(contributors.clone());
        contributors
    }

    /// See [`Protocol::contributors`](crate::Protocol::contributors).
    pub fn contributors(&self, slot: &Slot) -> Vec<u32> {
        let decided =
            self.rules().quorum(slot).and_then(|(_, round, _)| self.contributors.get(round as usize));
        decided.cloned().unwrap_or_default()
    }

    /// See [`Protocol::input_digest`](crate::Protocol::input_digest); `private` is a digest of what the member brings.
    pub fn input_digest(&self, slot: Slot, private: &[u8; 32]) -> [u8; 32] {
        let place = slot.to_string();
        let own = [place.as_bytes(), &private[..], &self.history];
        // Of the preparation, a member reads the chain of its chunk.
        let chain = self
            .recent
            .iter()
            .filter(|(read, _)| read.phase == Phase::Chain && read.chunk == slot.chunk)
            .filter(|(read, _)| match slot.phase {
                Phase::Chain => read.party < slot.party,
                phase => phase == Phase::Noise,
            })
            .map(|(_, digest)| &digest[..]);
        digest("inputs", self.job(), own.into_iter().chain(chain))
    }
}
