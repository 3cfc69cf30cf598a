use crate::{Committed, Fault, JobSecret, Protocol, Role, Status, StepRng};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use records::{Body, Job, Record, Rules, Slot, VERSION, key};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What came of a simulated job.
#[derive(Debug)]
pub struct Trace<T> {
    /// All records in the order in which they were committed.
    pub records: Vec<Committed>,
    /// Every member's output.
    pub outputs: Vec<T>,
}

/// Runs a job in memory: members post and fold in an order drawn from `seed`, records are checked against the same
/// table as on the ledger, and a member sees other members' records late by a random amount. `tamper` may change a
/// body before it is posted, to play a dishonest member.
///
/// # Errors
/// The first fault that a member finds.
pub fn simulate<P: Protocol>(
    job: &Job,
    privates: &[P::Private],
    seed: u64,
    mut tamper: impl FnMut(Slot, Body) -> Body,
) -> Result<Trace<P::Output>, Fault> {
    let rules = Rules::new(&job.params);
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let secret = |party: u32| {
        let mut bytes = [party as u8; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        JobSecret::new(bytes)
    };
    let mut parties = (0..privates.len() as u32)
        .map(|party| P::start(job, Role::Member(party)))
        .collect::<Result<Vec<_>, _>>()?;
    let mut seen = vec![0; parties.len()];
    let mut state: BTreeMap<String, Record> = BTreeMap::new();
    let mut log: Vec<Committed> = Vec::new();
    let mut queues: Vec<VecDeque<Slot>> = vec![VecDeque::new(); parties.len()];
    let mut queued: BTreeSet<Slot> = BTreeSet::new();
    loop {
        let mut idle = true;
        let turn = rng.next_u32() as usize % parties.len();
        for offset in 0..parties.len() {
            let me = (turn + offset) % parties.len();
            let behind = log.len() - seen[me];
            let fold = if behind == 0 { 0 } else { 1 + rng.next_u32() as usize % behind };
            for committed in &log[seen[me]..seen[me] + fold] {
                parties[me].apply(committed)?;
                idle = false;
            }
            seen[me] += fold;
            queues[me].extend(parties[me].pending().into_iter().filter(|slot| queued.insert(*slot)));
            let Some(slot) = queues[me].pop_front() else {
                continue;
            };
            idle = false;
            // A quorum may have made it superfluous.
            if !parties[me].pending().contains(&slot) {
                continue;
            }
            assert_eq!(slot.party, me as u32, "a member owes only its own records");
            let contributors = parties[me].contributors(slot);
            let is_there = |need: &Slot| state.contains_key(&key::record(&job.id, need));
            if let Some(need) = rules.first_missing(&slot, &contributors, is_there) {
                panic!("{slot} is owed before {need}");
            }
            let inputs = parties[me].input_digest(slot, &privates[me]);
            let mut step = StepRng::new(&secret(slot.party), &job.id, slot, &inputs);
            let body = tamper(slot, parties[me].produce(slot, &privates[me], &mut step)?);
            if let Err(violation) = rules.check(&slot, &body, &contributors) {
                let msp_id = job.params.participants[me].clone();
                return Err(Fault::Participant { party: slot.party, msp_id, reason: violation.to_string() });
            }
            let msp_id = job.params.participants[me].clone();
            let record = Record { version: VERSION, job: job.id.clone(), slot, msp_id, body, contributors };
            let record =
                Record::from_json(&record.to_json()).expect("a record that was just made can be read");
            let written = state.insert(key::record(&job.id, &slot), record.clone());
            assert!(written.is_none(), "{slot} is written once");
            log.push(Committed { block: log.len() as u64, tx_id: format!("tx{}", log.len()), record });
        }
        if idle {
            break;
        }
    }
    let outputs = parties
        .iter()
        .map(|party| match party.status() {
            Status::Done(output) => output,
            Status::Running { waiting_for } => {
                panic!("the job stands still and waits for {waiting_for:?}")
            }
        })
        .collect();
    Ok(Trace { records: log, outputs })
}
