//! What is late, by the clocks of a job's participants together: none decides alone.
//!
//! A participant is named in an ending only if what it owed could have been posted since its reminder: that is checked on
//! the ledger, so that nobody who deviates can bring another one into it.

use super::{check_barrier, not_ended, read_job, unanswered};
use crate::{
    ContractError, WorldState,
    call::{Answer, Call, json, read, refuse, stored},
};
use records::{
    Awaited, Body, CLOCK_STEP, Clock, Code, Deadlines, Debt, Job, Outcome, Pending, Record, Reminder, Rules,
    Slot, VERSION, Violation, Waiting, key, ledger_time,
};
use std::collections::BTreeSet;

impl Call<'_> {
    pub(super) fn clock(&self, world: &mut dyn WorldState) -> Answer {
        let ledger_key = key::clock(&self.caller.msp_id);
        let [before] = read(world, [ledger_key.clone()])?;
        if let Some(bytes) = before
            && stored::<Clock>(&bytes)?.time.saturating_add(CLOCK_STEP) > self.now
        {
            return refuse(Code::AlreadySame, format!("the clock is not {CLOCK_STEP} s behind"));
        }
        let clock = Clock { version: VERSION, msp_id: self.caller.msp_id.clone(), time: self.now };
        world.put(&ledger_key, json(&clock))?;
        Ok(Vec::new())
    }

    pub(super) fn remind(&self, world: &mut dyn WorldState) -> Answer {
        let id = self.job_id()?;
        let (job, ending) = read_job(world, &id)?;
        let party = self.party(&job)?;
        limits(&job)?;
        let [acceptance] = read(world, [key::acceptance(&id, party)])?;
        if !self.check_acceptance(acceptance)? {
            return refuse(Code::NotYet, format!("{} has not accepted the job", self.caller.msp_id));
        }
        not_ended(ending)?;
        let rules = Rules::new(&job.params);
        let awaited: Vec<Awaited> = self.parsed(1, "slots")?;
        let parties: BTreeSet<u32> = awaited.iter().map(|awaited| awaited.slot.party).collect();
        if parties.is_empty() || parties.len() < awaited.len() {
            return refuse(Code::BadInput, "slots: none, or two of one participant");
        }
        for Awaited { slot, contributors } in &awaited {
            if !rules.exists(slot) {
                return refuse(Code::BadInput, Violation::NoSlot { slot: *slot }.to_string());
            }
            if let Err(violation) = rules.check_contributors(slot, contributors) {
                return refuse(Code::BadInput, violation.to_string());
            }
        }
        // Clocks may be old: members write them when time is short only. So the time runs from this transaction on, unless
        // the clocks are ahead of it, and who reminds takes five minutes of it at most by a wrong timestamp.
        let time = time_of(world, &job)?.unwrap_or(0).max(self.now);
        let (mut written, mut checked) = (0, None);
        for Awaited { slot, contributors } in awaited {
            let ledger_key = key::reminder(&id, slot.party);
            let [posted, before] = read(world, [key::posted(&id, &slot), ledger_key.clone()])?;
            if posted.is_some() {
                continue;
            }
            if let Some(bytes) = before {
                let before: Reminder = stored(&bytes)?;
                if before.slot == slot || is_awaited(world, &job, &rules, &before.slot)? {
                    continue;
                }
            }
            // Of many chunks the first that is missing: each has the time of one record.
            let (_, place) = rules.place(&slot);
            if place > 0 {
                let before = Slot { chunk: slot.chunk - 1, ..slot };
                let [posted] = read(world, [key::posted(&id, &before)])?;
                if posted.is_none() {
                    return refuse(Code::NotOverdue, format!("{before} comes before {slot}"));
                }
            }
            // Most of one step need the same, which may be much.
            let needs = (slot.phase, rules.needs(&slot, &contributors));
            if checked.as_ref() != Some(&needs) {
                check_barrier(world, &job, &rules, &slot, &contributors)?;
                checked = Some(needs);
            }
            self.check_owed(world, &job, &rules, &slot, party)?;
            let by = self.caller.msp_id.clone();
            world.put(&ledger_key, json(&Reminder { version: VERSION, job: id.clone(), slot, by, time }))?;
            written += 1;
        }
        match written {
            0 => refuse(Code::AlreadySame, "nothing is waited for that had no reminder"),
            _ => Ok(Vec::new()),
        }
    }

    /// Whether the protocol has come to a slot whose needs are met.
    fn check_owed(
        &self,
        world: &mut dyn WorldState,
        job: &Job,
        rules: &Rules,
        slot: &Slot,
        party: u32,
    ) -> Result<(), ContractError> {
        let owed = match rules.pending(slot) {
            Pending::Always => true,
            Pending::Quorum(_) => is_awaited(world, job, rules, slot)?,
            Pending::After { record, empty } => {
                let [record] = read(world, [key::record(&job.id, &record)])?;
                let record = record.map(|bytes| Record::from_json(&bytes)).transpose();
                let body = record.map_err(ContractError::State)?.map(|record| record.body);
                matches!(body, Some(Body::Ciphertexts(list)) if list.is_empty() == empty)
            }
            Pending::Claimed => {
                let (subround, _) = rules.place(slot);
                let own = Slot { party, chunk: rules.subround(slot.phase, subround).start, ..*slot };
                let [own] = read(world, [key::posted(&job.id, &own)])?;
                own.is_some()
            }
        };
        match owed {
            true => Ok(()),
            false => refuse(Code::NotOverdue, format!("the ledger does not show that {slot} is owed")),
        }
    }

    pub(super) fn waiting(&self, world: &mut dyn WorldState) -> Answer {
        let id = self.job_id()?;
        let (job, ending) = read_job(world, &id)?;
        if job.params.deadlines.is_none() || ending.is_some() {
            return Ok(json(&Waiting { time: None, reminders: Vec::new() }));
        }
        let time = time_of(world, &job)?;
        Ok(json(&Waiting { time, reminders: reminders(world, &job)? }))
    }

    pub(super) fn expire(&self, world: &mut dyn WorldState) -> Answer {
        let id = self.job_id()?;
        let (job, ending) = read_job(world, &id)?;
        let party = self.party(&job)?;
        let Deadlines { accept, step } = limits(&job)?;
        if let Some(records::Termination { outcome: Outcome::Expired(_), .. }) = ending {
            return refuse(Code::AlreadySame, "the job has expired");
        }
        let [acceptance] = read(world, [key::acceptance(&id, party)])?;
        self.check_acceptance(acceptance)?;
        not_ended(ending)?;
        let name = |party: u32| job.params.participants[party as usize].clone();
        let silent = unanswered(world, &job)?;
        if !silent.is_empty() {
            if !is_up(world, &job, job.proposed, accept)? {
                return refuse(Code::NotOverdue, format!("the {accept} s for answers are not over"));
            }
            let debt = |party| Debt { msp_id: name(party), slot: None, since: job.proposed };
            let owed = silent.into_iter().map(debt).collect();
            return self.write_ending(world, &id, Outcome::Expired(owed));
        }
        let rules = Rules::new(&job.params);
        let results = rules.round_slots(rules.last_phase(), 0);
        let results: Vec<String> = results.iter().map(|slot| key::posted(&id, slot)).collect();
        if world.get(&results)?.iter().all(Option::is_some) {
            return refuse(Code::NotOverdue, "all results are there; the job is to be finished");
        }
        let Some(now) = time_of(world, &job)? else {
            return refuse(Code::NotOverdue, "no participant's clock is there");
        };
        let mut reminders = reminders(world, &job)?;
        reminders.retain(|reminder| now >= reminder.time.saturating_add(step.into()));
        if reminders.is_empty() {
            return refuse(Code::NotOverdue, format!("nobody is reminded of a record since {step} s"));
        }
        let debt = |reminder: Reminder| Debt {
            msp_id: name(reminder.slot.party),
            slot: Some(reminder.slot),
            since: reminder.time,
        };
        let owed = reminders.into_iter().map(debt).collect();
        self.write_ending(world, &id, Outcome::Expired(owed))
    }
}

fn limits(job: &Job) -> Result<Deadlines, ContractError> {
    job.params.deadlines.map_or_else(|| refuse(Code::BadInput, "the job has no deadlines"), Ok)
}

/// Ledger time for a job.
fn time_of(world: &mut dyn WorldState, job: &Job) -> Result<Option<u64>, ContractError> {
    let keys: Vec<String> = job.params.participants.iter().map(key::clock).collect();
    let mut clocks = Vec::new();
    for bytes in world.get(&keys)?.into_iter().flatten() {
        clocks.push(stored::<Clock>(&bytes)?.time);
    }
    Ok(ledger_time(clocks, keys.len()))
}

/// Whether so many seconds have passed since a moment.
fn is_up(world: &mut dyn WorldState, job: &Job, since: u64, limit: u32) -> Result<bool, ContractError> {
    let up = since.saturating_add(limit.into());
    Ok(time_of(world, job)?.is_some_and(|now| now >= up))
}

/// The reminders of what is still waited for.
fn reminders(world: &mut dyn WorldState, job: &Job) -> Result<Vec<Reminder>, ContractError> {
    let rules = Rules::new(&job.params);
    let keys: Vec<String> = (0..rules.parties()).map(|party| key::reminder(&job.id, party)).collect();
    let mut reminders = Vec::new();
    for bytes in world.get(&keys)?.into_iter().flatten() {
        let reminder: Reminder = stored(&bytes)?;
        if is_awaited(world, job, &rules, &reminder.slot)? {
            reminders.push(reminder);
        }
    }
    Ok(reminders)
}

/// Whether a slot is still missing, and wanted.
fn is_awaited(
    world: &mut dyn WorldState,
    job: &Job,
    rules: &Rules,
    slot: &Slot,
) -> Result<bool, ContractError> {
    let slots = match rules.pending(slot) {
        Pending::Quorum(_) => rules.round_slots(slot.phase, slot.round),
        _ => vec![*slot],
    };
    let keys: Vec<String> = slots.iter().map(|slot| key::posted(&job.id, slot)).collect();
    let posted = slots.iter().zip(world.get(&keys)?).filter(|(_, posted)| posted.is_some());
    let posted: BTreeSet<&Slot> = posted.map(|(slot, _)| slot).collect();
    Ok(rules.is_awaited(slot, |slot| posted.contains(slot)))
}
