//! Who posts what, after what: the schedule that the job contract enforces and the protocols follow.
//!
//! A record may be posted once all records that [`Rules::needs`] names are committed. The schedule is a function of the
//! job's parameters alone.

use crate::{Body, JobParams, Phase, Slot, Violation};
use std::{collections::BTreeSet, fmt::Debug, ops::Range, sync::Arc};

/// What one kind of job says about its phases.
pub trait PhaseSchedule: Debug + Send + Sync {
    /// In their order.
    fn phases(&self) -> Vec<Phase>;
    /// Number of rounds of a phase.
    fn rounds(&self, phase: Phase) -> u32;
    /// The parties that post in a phase.
    fn authors(&self, phase: Phase) -> Vec<u32>;
    /// Number of entries of a phase's round, over all chunks.
    fn entries(&self, phase: Phase) -> usize;
    /// Most entries in one chunk.
    fn max_chunk_len(&self, phase: Phase) -> usize;
    /// How often the chunks of a phase repeat, each time after those of all authors of the time before.
    fn subrounds(&self, _: Phase) -> u32 {
        1
    }
    /// What must be committed before a slot is filled.
    fn needs(&self, slot: &Slot) -> Prerequisites;
    /// When a slot whose needs are met is owed.
    fn pending(&self, _: &Slot) -> Pending {
        Pending::Always
    }
    /// Whether a body of this sort can stand in a phase.
    fn admits(&self, phase: Phase, body: &Body) -> bool;
    /// Form and sizes of a body that is [admitted](Self::admits), `entries` of which its slot has.
    ///
    /// # Errors
    /// What is wrong with it.
    fn check_body(&self, slot: &Slot, body: &Body, entries: usize) -> Result<(), Violation>;
}

/// The predecessors of a slot.
pub enum Prerequisites {
    /// All slots of a round of a phase.
    Round(Phase, u32),
    /// These.
    Slots(Vec<Slot>),
    /// A round's slots of so many parties, which the caller names.
    Quorum(Phase, u32, u32),
}

/// When a slot whose needs are met is owed: the contract lets in more than a protocol comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    /// In any case.
    Always,
    /// Where this list of ciphertexts is empty, or where it is not: training by rows ends with an empty one.
    After {
        /// The record that decides.
        record: Slot,
        /// Whether it has to be empty.
        empty: bool,
    },
    /// Where the protocol came to it, which only those who follow it know. Whoever says so has posted an own record of the
    /// same step, and everybody sees if that was not due.
    Claimed,
    /// Until so many parties have posted theirs of the round.
    Quorum(u32),
}

/// The phases of one job with their sizes.
#[derive(Clone, Debug)]
pub struct Rules {
    parties: u32,
    pub(crate) schedule: Arc<dyn PhaseSchedule>,
}

impl Rules {
    /// The schedule of a job whose parameters are valid.
    pub fn new(params: &JobParams) -> Self {
        let parties = params.parties();
        Self { parties, schedule: params.kind.as_job_kind().schedule(parties) }
    }

    /// Most records that any record needs.
    pub(crate) fn widest_barrier(&self) -> u64 {
        let of =
            |phase: &Phase| u64::from(self.chunks_of_a_subround(*phase)) * self.authors(*phase).len() as u64;
        self.phases().iter().map(of).max().unwrap_or(0)
    }

    /// Number n of participants.
    pub fn parties(&self) -> u32 {
        self.parties
    }

    /// Phases of this job in their order. The last has one round.
    pub fn phases(&self) -> Vec<Phase> {
        self.schedule.phases()
    }

    /// The phase with which the job begins.
    pub fn first_phase(&self) -> Phase {
        self.phases()[0]
    }

    /// The phase in which all participants post the same, or the job does not finish.
    pub fn last_phase(&self) -> Phase {
        *self.phases().last().expect("every job has phases")
    }

    /// Number of rounds of a phase; of those whose number is found only as the job runs, the most.
    pub fn rounds(&self, phase: Phase) -> u32 {
        self.schedule.rounds(phase)
    }

    /// The parties that post in a phase.
    pub fn authors(&self, phase: Phase) -> Vec<u32> {
        self.schedule.authors(phase)
    }

    /// Most entries in one chunk.
    pub fn max_chunk_len(&self, phase: Phase) -> usize {
        self.schedule.max_chunk_len(phase)
    }

    fn chunks_of_a_subround(&self, phase: Phase) -> u32 {
        self.schedule.entries(phase).div_ceil(self.max_chunk_len(phase)) as u32
    }

    /// Number of chunks of a phase's round.
    pub fn chunks(&self, phase: Phase) -> u32 {
        self.chunks_of_a_subround(phase) * self.schedule.subrounds(phase)
    }

    /// Range of the entries that a chunk holds.
    pub fn chunk_range(&self, phase: Phase, chunk: u32) -> Range<usize> {
        let size = self.max_chunk_len(phase);
        let start = (chunk % self.chunks_of_a_subround(phase).max(1)) as usize * size;
        start..(start + size).min(self.schedule.entries(phase))
    }

    /// How often the chunks of a phase repeat, each time after those of all authors of the time before.
    pub fn subrounds(&self, phase: Phase) -> u32 {
        self.schedule.subrounds(phase)
    }

    /// The pass to which a chunk belongs, and its place there.
    pub fn place(&self, slot: &Slot) -> (u32, u32) {
        let chunks = self.chunks_of_a_subround(slot.phase).max(1);
        (slot.chunk / chunks, slot.chunk % chunks)
    }

    /// The chunks of one pass.
    pub fn subround(&self, phase: Phase, subround: u32) -> Range<u32> {
        let chunks = self.chunks_of_a_subround(phase);
        subround * chunks..(subround + 1) * chunks
    }

    /// Whether the job has this slot at all.
    pub fn exists(&self, slot: &Slot) -> bool {
        self.phases().contains(&slot.phase)
            && self.authors(slot.phase).contains(&slot.party)
            && slot.round < self.rounds(slot.phase)
            && slot.chunk < self.chunks(slot.phase)
    }

    /// All slots of one round of a phase: chunks of all its authors.
    pub fn round_slots(&self, phase: Phase, round: u32) -> Vec<Slot> {
        self.slots_of(phase, round, &self.authors(phase), 0..self.chunks(phase))
    }

    fn slots_of(&self, phase: Phase, round: u32, parties: &[u32], chunks: Range<u32>) -> Vec<Slot> {
        parties
            .iter()
            .flat_map(|&party| chunks.clone().map(move |chunk| Slot { phase, round, party, chunk }))
            .collect()
    }

    /// How many parties' records of which phase and round a slot builds on, where they are not all: the caller names
    /// them.
    pub fn quorum(&self, slot: &Slot) -> Option<(Phase, u32, u32)> {
        match self.schedule.needs(slot) {
            Prerequisites::Quorum(phase, round, quorum) if quorum < self.authors(phase).len() as u32 => {
                Some((phase, round, quorum))
            }
            _ => None,
        }
    }

    /// The records that must be committed before a slot may be filled; exact keys, no ranges. Only direct
    /// predecessors are named: theirs were checked when they were posted. `contributors` are the parties whose records the
    /// slot builds on, where a quorum is enough; else it is not read.
    pub fn needs(&self, slot: &Slot, contributors: &[u32]) -> Vec<Slot> {
        let (subround, _) = self.place(slot);
        if subround > 0 {
            return self.slots_of(
                slot.phase,
                slot.round,
                &self.authors(slot.phase),
                self.subround(slot.phase, subround - 1),
            );
        }
        match self.schedule.needs(slot) {
            Prerequisites::Slots(slots) => slots,
            Prerequisites::Quorum(phase, round, quorum) if quorum < self.authors(phase).len() as u32 => {
                self.slots_of(phase, round, contributors, 0..self.chunks(phase))
            }
            // Earlier passes were there when the last one was posted.
            Prerequisites::Round(phase, round) | Prerequisites::Quorum(phase, round, _) => {
                let last = self.subround(phase, self.subrounds(phase) - 1);
                self.slots_of(phase, round, &self.authors(phase), last)
            }
        }
    }

    /// When a slot whose needs are met is owed.
    pub fn pending(&self, slot: &Slot) -> Pending {
        self.schedule.pending(slot)
    }

    /// Checks a record in its slot: everything that can be seen without the key and without other records. With
    /// [`first_missing`](Self::first_missing) this is the rule by which the contract, the members and an observer let a
    /// record in.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self, slot: &Slot, body: &Body, contributors: &[u32]) -> Result<(), Violation> {
        if !self.exists(slot) {
            return Err(Violation::NoSlot { slot: *slot });
        }
        self.check_body(slot, body)?;
        self.check_contributors(slot, contributors)
    }

    /// The first record that a slot needs and that is not there.
    pub fn first_missing(
        &self,
        slot: &Slot,
        contributors: &[u32],
        is_there: impl Fn(&Slot) -> bool,
    ) -> Option<Slot> {
        self.needs(slot, contributors).into_iter().find(|need| !is_there(need))
    }

    /// Whether a slot is still missing, and wanted: where a quorum is enough it may have come without it.
    pub fn is_awaited(&self, slot: &Slot, is_there: impl Fn(&Slot) -> bool) -> bool {
        if is_there(slot) {
            return false;
        }
        let Pending::Quorum(quorum) = self.pending(slot) else { return true };
        let slots = self.round_slots(slot.phase, slot.round);
        let incomplete: BTreeSet<u32> =
            slots.iter().filter(|slot| !is_there(slot)).map(|slot| slot.party).collect();
        self.authors(slot.phase).len() - incomplete.len() < quorum as usize
    }

    /// Checks the parties on whose records a slot builds: a quorum in ascending order, or none where all are needed.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check_contributors(&self, slot: &Slot, contributors: &[u32]) -> Result<(), Violation> {
        let Some((phase, _, quorum)) = self.quorum(slot) else {
            return if contributors.is_empty() {
                Ok(())
            } else {
                Err(Violation::field("used", "this record builds on everybody's"))
            };
        };
        if contributors.len() != quorum as usize {
            return Err(Violation::field(
                "used",
                format!("{} parties instead of {quorum}", contributors.len()),
            ));
        }
        let authors = self.authors(phase);
        match contributors.is_sorted_by(|a, b| a < b)
            && contributors.iter().all(|party| authors.contains(party))
        {
            true => Ok(()),
            false => Err(Violation::field("used", "not different parties in ascending order")),
        }
    }

    /// Checks form and sizes of a body for its slot: everything that can be seen without the key.
    ///
    /// # Errors
    /// What is wrong, with the name of the field.
    pub fn check_body(&self, slot: &Slot, body: &Body) -> Result<(), Violation> {
        if !self.schedule.admits(slot.phase, body) {
            return Err(Violation::Misplaced { body: body.name(), phase: slot.phase });
        }
        let entries = self.chunk_range(slot.phase, slot.chunk).len();
        self.schedule.check_body(slot, body, entries)
    }
}
