//! Jobs: who proposes, accepts, posts and ends what, and when.

mod deadlines;
mod kinds;
mod predictions;

use crate::{
    ContractError, WorldState,
    call::{Answer, Call, json, read, refuse, stored},
    router::{Domain, function},
};
use records::{
    Acceptance, Body, CONTRACT_VERSION, CONTRACT_VERSIONS, Code, Job, JobId, JobParams, JobView,
    MAX_OPEN_PROPOSALS, MAX_PARAMS_BYTES, MAX_REASON_BYTES, MAX_RECORD_BYTES, MAX_TIME_OFFSET, Outcome,
    Phase, Record, Rules, Slot, Termination, key,
};
use sha2::{Digest, Sha256};

/// Keys of a barrier that are read at a time.
const PIECE: usize = 256;

/// The functions on jobs, those on deadlines included.
pub(crate) const JOBS: Domain = Domain {
    name: "jobs",
    functions: &[
        function("propose", "propose", |call, world| call.propose(world)),
        function("accept", "accept", |call, world| call.accept(world)),
        function("refuse", "refuse", |call, world| call.refuse_job(world)),
        function("post", "post", |call, world| call.post(world)),
        function("finish", "finish", |call, world| call.finish(world)),
        function("abort", "abort", |call, world| call.abort(world)),
        function("get", "job", |call, world| call.job(world)),
        function("list", "jobs", |call, world| call.jobs(world)),
        function("record", "record", |call, world| call.record(world)),
        function("clock", "clock", |call, world| call.clock(world)),
        function("remind", "remind", |call, world| call.remind(world)),
        function("waiting", "waiting", |call, world| call.waiting(world)),
        function("expire", "expire", |call, world| call.expire(world)),
    ],
};

impl Call<'_> {
    pub(crate) fn job_id(&self) -> Result<JobId, ContractError> {
        self.named(0, "job")
    }

    fn phase(&self) -> Result<Phase, ContractError> {
        let text = self.text(1, "phase")?;
        match serde_json::from_value(serde_json::Value::String(text.into())) {
            Ok(phase) => Ok(phase),
            Err(e) => refuse(Code::BadInput, format!("phase: {e}")),
        }
    }

    fn reason(&self) -> Result<String, ContractError> {
        let reason = self.text(1, "reason")?;
        if let Err(e) = records::text::check(reason) {
            return refuse(Code::BadInput, format!("reason: {e}"));
        }
        match reason.len() <= MAX_REASON_BYTES {
            true => Ok(reason.into()),
            false => refuse(Code::BadInput, format!("reason: longer than {MAX_REASON_BYTES} bytes")),
        }
    }

    pub(crate) fn party(&self, job: &Job) -> Result<u32, ContractError> {
        match job.params.party(&self.caller.msp_id) {
            Some(party) => Ok(party),
            None => refuse(Code::WrongCaller, format!("{} takes no part in this job", self.caller.msp_id)),
        }
    }

    fn propose(&self, world: &mut dyn WorldState) -> Answer {
        let params: JobParams = self.parsed(0, "parameters")?;
        if let Err(e) = params.validate().and_then(|()| params.check_text()) {
            return refuse(Code::BadInput, e.to_string());
        }
        if params.party(&self.caller.msp_id).is_none() {
            return refuse(Code::WrongCaller, format!("{} takes no part in this job", self.caller.msp_id));
        }
        let bytes = json(&params).len();
        if bytes > MAX_PARAMS_BYTES {
            let reason = format!("parameters: {bytes} bytes are more than {MAX_PARAMS_BYTES}");
            return refuse(Code::BadInput, reason);
        }
        let id = params.id();
        let job = Job {
            version: records::VERSION,
            id,
            params,
            proposer: self.caller.msp_id.clone(),
            proposed: self.now,
        };
        let key = key::job(&job.id);
        if world.get(std::slice::from_ref(&key))?[0].is_some() {
            return refuse(Code::AlreadySame, format!("job {} is proposed", job.id));
        }
        if job.params.contract != CONTRACT_VERSION {
            let (own, wanted) = (CONTRACT_VERSION, &job.params.contract);
            let reason = format!("the contract is {own}, not {wanted}; see `confab network upgrade`");
            return refuse(Code::WrongVersion, reason);
        }
        kinds::rules(&job.params.kind).check_proposal(world, &job.params)?;
        let place = self.free_place(world, &job.id)?;
        world.put(&place, json(&job.id))?;
        world.put(&key, json(&job))?;
        world.event("propose", json(&job.id))?;
        Ok(json(&job))
    }

    fn accept(&self, world: &mut dyn WorldState) -> Answer {
        let id = self.job_id()?;
        let (job, ending) = read_job(world, &id)?;
        let party = self.party(&job)?;
        check_version(&job)?;
        let acceptance = Acceptance {
            version: records::VERSION,
            job: id.clone(),
            party,
            msp_id: self.caller.msp_id.clone(),
            key_hash: self.caller.key_hash,
        };
        let key = key::acceptance(&id, party);
        if let Some(bytes) = &world.get(std::slice::from_ref(&key))?[0] {
            let before: Acceptance = stored(bytes)?;
            return match before == acceptance {
                true => refuse(Code::AlreadySame, "the job is accepted"),
                false => refuse(Code::AlreadyDifferent, "the job is accepted with another key"),
            };
        }
        not_ended(ending)?;
        // By the caller's own timestamp: a transaction that reads the members' clocks can be held up by a member that writes
        // its own. An answer that is dated back gains nothing once the job has expired.
        if let Some(deadlines) = &job.params.deadlines
            && self.now >= job.proposed.saturating_add(u64::from(deadlines.accept) + MAX_TIME_OFFSET)
        {
            let reason =
                format!("the proposal was to be answered within {} s, which are over", deadlines.accept);
            return refuse(Code::Ended, reason);
        }
        world.put(&key, json(&acceptance))?;
        world.event("accept", json(&acceptance))?;
        Ok(json(&acceptance))
    }

    fn post(&self, world: &mut dyn WorldState) -> Answer {
        let id = self.job_id()?;
        let (job, ending) = read_job(world, &id)?;
        let party = self.party(&job)?;
        check_version(&job)?;
        let slot = Slot {
            phase: self.phase()?,
            round: self.number(2, "round")?,
            party,
            chunk: self.number(3, "chunk")?,
        };
        let rules = Rules::new(&job.params);
        // What is no record is refused finally, not until the caller has accepted.
        let body: Body = self.parsed(4, "body")?;
        let contributors: Vec<u32> = if self.args.len() > 5 { self.parsed(5, "used")? } else { Vec::new() };
        if let Err(violation) = rules.check(&slot, &body, &contributors) {
            return refuse(Code::BadInput, violation.to_string());
        }
        // What two keys tell comes before what it builds on is read, which may be much.
        let keys = [key::acceptance(&id, party), key::posted(&id, &slot)];
        let [acceptance, posted] = read(world, keys)?;
        if acceptance.is_none() {
            not_ended(ending)?;
            return refuse(Code::NotYet, format!("{} has not accepted the job", self.caller.msp_id));
        }
        self.check_acceptance(acceptance)?;
        let record = Record {
            version: records::VERSION,
            job: id.clone(),
            slot,
            msp_id: self.caller.msp_id.clone(),
            body,
            contributors,
        };
        if posted.is_some() {
            let [before] = read(world, [key::record(&id, &slot)])?;
            let before =
                before.ok_or_else(|| ContractError::State(format!("{slot} is noted and not there")))?;
            let before = Record::from_json(&before).map_err(ContractError::State)?;
            return match before == record {
                true => refuse(Code::AlreadySame, slot.to_string()),
                false => refuse(Code::AlreadyDifferent, slot.to_string()),
            };
        }
        not_ended(ending)?;
        let bytes = record.to_json();
        if bytes.len() > MAX_RECORD_BYTES {
            return refuse(Code::BadInput, format!("a record of {} bytes is too large", bytes.len()));
        }
        check_barrier(world, &job, &rules, &slot, &record.contributors)?;
        kinds::rules(&job.params.kind).check_record(world, &record)?;
        let key = key::record(&id, &slot);
        let digest = Sha256::digest(&bytes);
        world.put(&key, bytes)?;
        world.put(&key::posted(&record.job, &slot), digest.to_vec())?;
        let digest = hex::encode(digest);
        world
            .event("post", json(&serde_json::json!({ "job": record.job, "slot": slot, "sha256": digest })))?;
        Ok(Vec::new())
    }

    fn finish(&self, world: &mut dyn WorldState) -> Answer {
        let id = self.job_id()?;
        let (job, ending) = read_job(world, &id)?;
        self.party(&job)?;
        if let Some(Termination { outcome: Outcome::Finished, .. }) = ending {
            return refuse(Code::AlreadySame, "the job is finished");
        }
        not_ended(ending)?;
        let rules = Rules::new(&job.params);
        let slots = rules.round_slots(rules.last_phase(), 0);
        let keys: Vec<String> = slots.iter().map(|slot| key::record(&id, slot)).collect();
        let mut first: Option<Body> = None;
        for (slot, value) in slots.iter().zip(world.get(&keys)?) {
            let Some(bytes) = value else {
                return refuse(Code::NotYet, format!("{slot} is missing"));
            };
            let result = Record::from_json(&bytes).map_err(ContractError::State)?.body;
            match &first {
                Some(first) if *first != result => {
                    let (a, b) = (&job.params.participants[0], &job.params.participants[slot.party as usize]);
                    return refuse(Code::Disagreement, format!("{a} and {b} posted different results"));
                }
                _ => first = Some(result),
            }
        }
        let result = first.ok_or_else(|| ContractError::State("a job without results".into()))?;
        kinds::rules(&job.params.kind).finish(world, &job, &result)?;
        self.write_ending(world, &id, Outcome::Finished)
    }

    fn refuse_job(&self, world: &mut dyn WorldState) -> Answer {
        self.end(world, Outcome::Refused(self.reason()?))
    }

    fn abort(&self, world: &mut dyn WorldState) -> Answer {
        self.end(world, Outcome::Aborted(self.reason()?))
    }

    fn end(&self, world: &mut dyn WorldState, outcome: Outcome) -> Answer {
        let id = self.job_id()?;
        let (job, ending) = read_job(world, &id)?;
        let party = self.party(&job)?;
        if ending.as_ref().is_some_and(|e| e.by == self.caller.msp_id && e.outcome == outcome) {
            return refuse(Code::AlreadySame, "the job has ended");
        }
        not_ended(ending)?;
        let [acceptance] = read(world, [key::acceptance(&id, party)])?;
        if self.check_acceptance(acceptance)? && matches!(outcome, Outcome::Refused(_)) {
            return refuse(Code::BadInput, "the job is accepted already; abort it instead");
        }
        self.write_ending(world, &id, outcome)
    }

    /// Whether the caller's organisation has accepted, which it must have done with the caller's key.
    pub(crate) fn check_acceptance(&self, acceptance: Option<Vec<u8>>) -> Result<bool, ContractError> {
        let Some(bytes) = acceptance else { return Ok(false) };
        match stored::<Acceptance>(&bytes)?.key_hash == self.caller.key_hash {
            true => Ok(true),
            false => refuse(Code::WrongCaller, format!("{} accepted with another key", self.caller.msp_id)),
        }
    }

    /// One of the caller's places for open proposals: free, or taken by a job that is open no more. Where the search begins
    /// depends on the job, so that proposals that are made at the same time seldom meet.
    fn free_place(&self, world: &mut dyn WorldState, id: &JobId) -> Result<String, ContractError> {
        let begin = u32::from_be_bytes(*id.0.bytes().first_chunk().expect("4 of 32 bytes"));
        for step in 0..MAX_OPEN_PROPOSALS {
            let place = (begin % MAX_OPEN_PROPOSALS + step) % MAX_OPEN_PROPOSALS;
            let place = key::open_proposal(&self.caller.msp_id, place);
            let [taken] = read(world, [place.clone()])?;
            let Some(bytes) = taken else { return Ok(place) };
            if !is_open(world, &stored(&bytes)?)? {
                return Ok(place);
            }
        }
        let reason = format!(
            "{} has {MAX_OPEN_PROPOSALS} proposals that are neither accepted by all nor ended; abort some",
            self.caller.msp_id
        );
        refuse(Code::TooMany, reason)
    }

    pub(crate) fn write_ending(&self, world: &mut dyn WorldState, id: &JobId, outcome: Outcome) -> Answer {
        let ending = Termination {
            version: records::VERSION,
            job: id.clone(),
            by: self.caller.msp_id.clone(),
            outcome,
        };
        world.put(&key::ending(id), json(&ending))?;
        world.event("end", json(&ending))?;
        Ok(json(&ending))
    }

    fn job(&self, world: &mut dyn WorldState) -> Answer {
        let id = self.job_id()?;
        let (job, ending) = read_job(world, &id)?;
        Ok(json(&view(world, job, ending)?))
    }

    fn jobs(&self, world: &mut dyn WorldState) -> Answer {
        self.page(world, key::JOB, &[], 0, |world, bytes| {
            let job: Job = stored(bytes)?;
            let [ending] = read(world, [key::ending(&job.id)])?;
            let ending = ending.map(|bytes| stored(&bytes)).transpose()?;
            view(world, job, ending)
        })
    }

    fn record(&self, world: &mut dyn WorldState) -> Answer {
        let id = self.job_id()?;
        let slot = Slot {
            phase: self.phase()?,
            round: self.number(2, "round")?,
            party: self.number(3, "party")?,
            chunk: self.number(4, "chunk")?,
        };
        let [record] = read(world, [key::record(&id, &slot)])?;
        record.map_or_else(|| refuse(Code::NotYet, format!("{slot} is missing")), Ok)
    }
}

/// Jobs that were proposed under an older contract are finished by this one.
fn check_version(job: &Job) -> Result<(), ContractError> {
    let pinned = job.params.contract.as_str();
    match CONTRACT_VERSIONS.contains(&pinned) {
        true => Ok(()),
        false => {
            let known = CONTRACT_VERSIONS.join(", ");
            refuse(
                Code::WrongVersion,
                format!("the job is pinned to {pinned}; this contract runs jobs of {known}"),
            )
        }
    }
}

/// Whether a proposal still waits for answers.
fn is_open(world: &mut dyn WorldState, id: &JobId) -> Result<bool, ContractError> {
    let (job, ending) = read_job(world, id)?;
    Ok(ending.is_none() && !unanswered(world, &job)?.is_empty())
}

/// The participants that have not accepted, by party.
pub(crate) fn unanswered(world: &mut dyn WorldState, job: &Job) -> Result<Vec<u32>, ContractError> {
    let keys: Vec<String> = (0..job.params.parties()).map(|party| key::acceptance(&job.id, party)).collect();
    let missing = (0..).zip(world.get(&keys)?).filter(|(_, acceptance)| acceptance.is_none());
    Ok(missing.map(|(party, _)| party).collect())
}

/// Whether all is there that a slot needs; read piece by piece, and no further than to what is missing first.
pub(crate) fn check_barrier(
    world: &mut dyn WorldState,
    job: &Job,
    rules: &Rules,
    slot: &Slot,
    contributors: &[u32],
) -> Result<(), ContractError> {
    if slot.phase == rules.first_phase() && !unanswered(world, job)?.is_empty() {
        return refuse(Code::NotYet, "not all participants have accepted the job");
    }
    for piece in rules.needs(slot, contributors).chunks(PIECE) {
        let keys: Vec<String> = piece.iter().map(|need| key::posted(&job.id, need)).collect();
        if let Some(missing) = world.get(&keys)?.iter().position(Option::is_none) {
            return refuse(Code::NotYet, format!("{slot} needs {}", piece[missing]));
        }
    }
    Ok(())
}

pub(crate) fn read_job(
    world: &mut dyn WorldState,
    id: &JobId,
) -> Result<(Job, Option<Termination>), ContractError> {
    let [job, ending] = read(world, [key::job(id), key::ending(id)])?;
    let Some(job) = job else { return refuse(Code::UnknownJob, format!("no job {id}")) };
    Ok((stored(&job)?, ending.map(|bytes| stored(&bytes)).transpose()?))
}

pub(crate) fn not_ended(ending: Option<Termination>) -> Result<(), ContractError> {
    let Some(ending) = ending else { return Ok(()) };
    refuse(Code::Ended, format!("the job is {ending}"))
}

fn view(world: &mut dyn WorldState, job: Job, ending: Option<Termination>) -> Result<JobView, ContractError> {
    let keys: Vec<String> = (0..job.params.parties()).map(|party| key::acceptance(&job.id, party)).collect();
    let acceptances = world
        .get(&keys)?
        .iter()
        .map(|value| value.as_deref().map(stored).transpose())
        .collect::<Result<_, _>>()?;
    Ok(JobView { job, acceptances, ending })
}
