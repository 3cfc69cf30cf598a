use crate::{Fault, Role};
use records::{Job, JobId, MspId, Record, Rules, Slot, Violation};
use std::collections::BTreeMap;

/// What has come in of a job, and the one rule by which a record is admitted: its slot exists and is free, its author is the
/// slot's party, its body fits, and what it builds on is there, the quorum that it names included.
///
/// [`StepTranscript`](crate::StepTranscript) and [`QuorumTranscript`](crate::QuorumTranscript) add in which order the
/// parties go on.
pub struct Transcript {
    job: JobId,
    participants: Vec<MspId>,
    rules: Rules,
    role: Role,
    /// Each with its place in the order of the ledger.
    seen: BTreeMap<Slot, usize>,
}

impl Transcript {
    /// Before the first record.
    ///
    /// # Errors
    /// Parameters that are not valid, or a party that the job has not.
    pub fn new(job: &Job, role: Role) -> Result<Self, Fault> {
        let params = &job.params;
        params.validate().map_err(|e| Fault::Input(e.to_string()))?;
        if job.id != params.id() {
            return Err(Fault::Input("the job's identifier is not that of its parameters".into()));
        }
        let n = params.parties();
        if let Role::Member(party) = role
            && party >= n
        {
            return Err(Fault::Input(format!("party {party} of a job of {n}")));
        }
        let (participants, rules) = (params.participants.clone(), Rules::new(params));
        Ok(Self { job: job.id.clone(), participants, rules, role, seen: BTreeMap::new() })
    }

    /// The job.
    pub fn job(&self) -> &JobId {
        &self.job
    }

    /// MSP identifiers by party.
    pub fn participants(&self) -> &[MspId] {
        &self.participants
    }

    /// Who posts what, after what.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The member's index; an observer has none.
    pub fn me(&self) -> Option<u32> {
        match self.role {
            Role::Member(party) => Some(party),
            Role::Observer => None,
        }
    }

    /// A fault of a party.
    pub fn blame(&self, party: u32, reason: impl Into<String>) -> Fault {
        let msp_id = self.participants[party as usize].clone();
        Fault::Participant { party, msp_id, reason: reason.into() }
    }

    /// Whether the record of a slot came in.
    pub fn has(&self, slot: &Slot) -> bool {
        self.seen.contains_key(slot)
    }

    /// How many records came in before that of a slot.
    pub fn place(&self, slot: &Slot) -> Option<usize> {
        self.seen.get(slot).copied()
    }

    /// Number of records that came in.
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether none came in.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// Whether a slot is free and what it builds on is there.
    pub fn is_free(&self, slot: &Slot, contributors: &[u32]) -> bool {
        !self.has(slot) && self.rules.first_missing(slot, contributors, |need| self.has(need)).is_none()
    }

    /// Whether a record is new; `false` of one that came in before.
    ///
    /// # Errors
    /// What can be said against it before its content is looked at.
    pub fn check(&self, record: &Record) -> Result<bool, Fault> {
        let slot = &record.slot;
        if record.job != self.job || slot.party >= self.rules.parties() {
            return Err(Fault::Input(format!("a record of job {:?} party {}", record.job, slot.party)));
        }
        if self.has(slot) {
            return Ok(false);
        }
        if record.msp_id != self.participants[slot.party as usize] {
            return Err(self.blame(slot.party, format!("{slot} was posted by {}", record.msp_id)));
        }
        let checked = self.rules.check(slot, &record.body, &record.contributors);
        checked.map_err(|violation| match violation {
            Violation::NoSlot { .. } => self.blame(slot.party, format!("{slot} is not part of the job")),
            other => self.blame(slot.party, format!("{slot}: {other}")),
        })?;
        match self.is_free(slot, &record.contributors) {
            true => Ok(true),
            false => Err(self.blame(slot.party, format!("{slot} was posted before what it needs"))),
        }
    }

    /// Takes in the record of a slot.
    pub fn commit(&mut self, slot: Slot) {
        let place = self.seen.len();
        self.seen.entry(slot).or_insert(place);
    }
}
