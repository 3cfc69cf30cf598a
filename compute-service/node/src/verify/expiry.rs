//! Whether those who are named in the ending of a job that expired owed what it says, by the clocks and reminders in the
//! blocks.

use gateway_client::TransactionInfo;
use records::{Clock, Debt, Job, JobId, MspId, Reminder, Rules, Slot, VERSION, key, ledger_time};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::UNIX_EPOCH,
};

/// The members' clocks, and the reminders of one job, as the transactions so far have left them.
#[derive(Default)]
pub(super) struct Expiry {
    clocks: BTreeMap<MspId, u64>,
    reminders: BTreeMap<u32, Reminder>,
}

impl Expiry {
    /// Takes the writes of a valid transaction.
    ///
    /// # Errors
    /// What is wrong with a reminder of the job. A clock that is not its writer's own does not count.
    pub(super) fn record(
        &mut self,
        transaction: &TransactionInfo,
        chaincode: &str,
        id: &JobId,
        job: Option<(&Job, &Rules, &BTreeSet<Slot>)>,
    ) -> Result<(), String> {
        let creator = &transaction.creator.msp_id;
        let since_1970 = transaction.timestamp.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let now = since_1970.map_or(0, |time| time.as_secs());
        let own = transaction.writes.iter().filter(|write| write.namespace == chaincode && !write.is_delete);
        for write in own {
            match key::object_type(&write.key) {
                Some(key::CLOCK) => {
                    let Ok(clock) = serde_json::from_slice::<Clock>(&write.value) else { continue };
                    let is_own = clock.msp_id == *creator && key::clock(&clock.msp_id) == write.key;
                    if is_own && clock.version == VERSION && clock.time == now {
                        self.clocks.insert(clock.msp_id, clock.time);
                    }
                }
                // The time for answers runs from it.
                Some(key::JOB) if key::subject(&write.key) == Some(id.to_string().as_str()) => {
                    let proposed = serde_json::from_slice::<Job>(&write.value).map(|job| job.proposed);
                    if proposed.is_ok_and(|proposed| proposed != now) {
                        return Err(format!("{creator} dated its proposal otherwise"));
                    }
                }
                Some(key::REMINDER) if key::subject(&write.key) == Some(id.to_string().as_str()) => {
                    let reminder: Reminder =
                        serde_json::from_slice(&write.value).map_err(|e| format!("a reminder: {e}"))?;
                    let slot = reminder.slot;
                    let is_own = reminder.by == *creator && key::reminder(id, slot.party) == write.key;
                    if !is_own || reminder.version != VERSION || reminder.job != *id {
                        return Err(format!("{creator} wrote a reminder of {slot} that is not its own"));
                    }
                    let Some((job, rules, posted)) = job else {
                        return Err("a reminder before the proposal".into());
                    };
                    if reminder.time < now.max(self.now(job).unwrap_or(0)) {
                        return Err(format!("{creator} dated its reminder of {slot} back"));
                    }
                    // Of a quorum's records only the members know whose are meant.
                    if !rules.exists(&slot) || posted.contains(&slot) {
                        return Err(format!("{creator} reminded of {slot}, which was not missing"));
                    }
                    if let Some(need) = rules.first_missing(&slot, &[], |need| posted.contains(need)) {
                        return Err(format!("{creator} reminded of {slot} before {need} was there"));
                    }
                    self.reminders.insert(slot.party, reminder);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Ledger time for a job.
    fn now(&self, job: &Job) -> Option<u64> {
        let participants = &job.params.participants;
        let clocks = participants.iter().filter_map(|msp_id| self.clocks.get(msp_id).copied());
        ledger_time(clocks, participants.len())
    }

    /// Checks an ending that names `owed`. `accepted` are the parties that have accepted the job, and `posted` its records.
    ///
    /// # Errors
    /// What it says that is not so.
    pub(super) fn check(
        &self,
        job: &Job,
        rules: &Rules,
        accepted: &BTreeSet<u32>,
        posted: &BTreeSet<Slot>,
        owed: &[Debt],
    ) -> Result<(), String> {
        let Some(deadlines) = job.params.deadlines else { return Err("the job has no deadlines".into()) };
        let participants = &job.params.participants;
        let now = self.now(job).ok_or("no participant's clock is there")?;
        let silent = (0..rules.parties()).filter(|party| !accepted.contains(party)).collect::<Vec<_>>();
        let debt =
            |party: u32, slot, since| Debt { msp_id: participants[party as usize].clone(), slot, since };
        let (due, limit): (Vec<Debt>, u32) = match silent.is_empty() {
            false => {
                let due = silent.into_iter().map(|party| debt(party, None, job.proposed));
                (due.collect(), deadlines.accept)
            }
            true => {
                let is_awaited =
                    |reminder: &&Reminder| rules.is_awaited(&reminder.slot, |slot| posted.contains(slot));
                let due = self.reminders.values().filter(is_awaited);
                let due = due.map(|reminder| debt(reminder.slot.party, Some(reminder.slot), reminder.time));
                (due.collect(), deadlines.step)
            }
        };
        let is_over = |debt: &&Debt| now >= debt.since.saturating_add(limit.into());
        let due: Vec<&Debt> = due.iter().filter(is_over).collect();
        if let Some(debt) = owed.iter().find(|debt| !due.contains(debt)) {
            let what = debt.slot.map_or("an answer".into(), |slot| slot.to_string());
            return Err(format!("by the ledger's time {now} {} did not owe {what}", debt.msp_id));
        }
        let mut missing = due.iter().filter(|debt| !owed.contains(debt));
        if let Some(debt) = missing.next() {
            return Err(format!("{} owed something, too, and is not named", debt.msp_id));
        }
        match owed.len() == due.len() && !owed.is_empty() {
            true => Ok(()),
            false => Err("no participant is named, or one twice".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proposal;
    use records::{Deadlines, Phase};

    const SINCE: u64 = 1_000_000;

    fn slot(phase: Phase, party: u32) -> Slot {
        Slot { phase, round: 0, party, chunk: 0 }
    }

    /// A job of three in which the second owes its opening of the seed since a minute, the limit.
    struct Case {
        job: Job,
        accepted: BTreeSet<u32>,
        posted: BTreeSet<Slot>,
        expiry: Expiry,
        owed: Vec<Debt>,
    }

    impl Case {
        fn new() -> Self {
            let names: Vec<MspId> = (1..=3).map(|org| format!("Org{org}MSP").parse().unwrap()).collect();
            let mut params = proposal::template(10, names.clone()).unwrap();
            params.deadlines = Some(Deadlines { accept: 100, step: 60 });
            let job = Job {
                version: VERSION,
                id: params.id(),
                params,
                proposer: "Org1MSP".parse().unwrap(),
                proposed: SINCE,
            };
            let rules = Rules::new(&job.params);
            let done = [Phase::Setup, Phase::SeedCommit].map(|phase| rules.round_slots(phase, 0)).concat();
            let open = [0, 2].map(|party| slot(Phase::SeedOpen, party));
            let reminder = Reminder {
                version: VERSION,
                job: job.id.clone(),
                slot: slot(Phase::SeedOpen, 1),
                by: "Org3MSP".parse().unwrap(),
                time: SINCE,
            };
            let debt = Debt { msp_id: "Org2MSP".parse().unwrap(), slot: Some(reminder.slot), since: SINCE };
            Self {
                job,
                accepted: (0..3).collect(),
                posted: done.into_iter().chain(open).collect(),
                expiry: Expiry {
                    clocks: names.into_iter().map(|msp_id| (msp_id, SINCE + 60)).collect(),
                    reminders: [(1, reminder)].into(),
                },
                owed: vec![debt],
            }
        }

        fn check(&self) -> Result<(), String> {
            let rules = Rules::new(&self.job.params);
            self.expiry.check(&self.job, &rules, &self.accepted, &self.posted, &self.owed)
        }

        fn defect(change: impl FnOnce(&mut Self)) -> String {
            let mut case = Self::new();
            assert_eq!(case.check(), Ok(()));
            change(&mut case);
            case.check().unwrap_err()
        }
    }

    #[test]
    fn who_owed_nothing_is_not_named() {
        let early = Case::defect(|case| case.expiry.clocks.values_mut().for_each(|time| *time -= 1));
        assert_eq!(
            early,
            "by the ledger's time 1000059 Org2MSP did not owe seed-open round 0 party 1 chunk 0"
        );
        let one_clock = Case::defect(|case| case.expiry.clocks.retain(|msp_id, _| msp_id == "Org1MSP"));
        assert!(one_clock.contains("did not owe"), "{one_clock}");
        assert!(Case::defect(|case| case.expiry.clocks.clear()).contains("no participant's clock"));
        assert!(Case::defect(|case| case.expiry.reminders.clear()).contains("did not owe"));
        assert!(Case::defect(|case| case.owed[0].since -= 1).contains("did not owe"));
        assert!(
            Case::defect(|case| case.owed[0].msp_id = "Org1MSP".parse().unwrap())
                .contains("Org1MSP did not owe")
        );
        assert!(Case::defect(|case| case.owed[0].slot = None).contains("did not owe an answer"));
        let posted = Case::defect(|case| assert!(case.posted.insert(slot(Phase::SeedOpen, 1))));
        assert!(posted.contains("did not owe"), "{posted}");
        let twice = Case::defect(|case| case.owed.push(case.owed[0].clone()));
        assert!(twice.contains("or one twice"), "{twice}");
        assert_eq!(Case::defect(|case| case.job.params.deadlines = None), "the job has no deadlines");
    }

    #[test]
    fn who_owed_something_is_named() {
        let other = Case::defect(|case| {
            let reminder = Reminder { slot: slot(Phase::SeedOpen, 2), ..case.expiry.reminders[&1].clone() };
            case.posted.remove(&reminder.slot);
            case.expiry.reminders.insert(2, reminder);
        });
        assert_eq!(other, "Org3MSP owed something, too, and is not named");
        assert!(Case::defect(|case| case.owed.clear()).contains("Org2MSP owed something"));
    }

    #[test]
    fn an_answer_is_owed_from_the_proposal_on() {
        let mut case = Case::new();
        case.accepted.remove(&2);
        case.posted.clear();
        case.owed = vec![Debt { msp_id: "Org3MSP".parse().unwrap(), slot: None, since: SINCE }];
        assert!(case.check().unwrap_err().contains("Org3MSP did not owe an answer"));
        case.expiry.clocks.values_mut().for_each(|time| *time = SINCE + 100);
        assert_eq!(case.check(), Ok(()));
        case.owed[0].msp_id = "Org1MSP".parse().unwrap();
        assert!(case.check().unwrap_err().contains("Org1MSP did not owe an answer"));
    }
}
