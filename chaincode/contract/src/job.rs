use crate::{
    Failure, WorldState,
    call::{Answer, Call, json, refuse, stored},
    prediction,
};
use records::{
    Acceptance, Body, CONTRACT_VERSION, Code, Dealer, Ending, Job, JobId, JobParams, JobView, KeyEntry, Kind,
    MAX_OPEN_PROPOSALS, MAX_PARAMS_BYTES, MAX_REASON_BYTES, MAX_RECORD_BYTES, MAX_TIME_OFFSET, Outcome,
    Phase, Record, Rules, Slot, TRAINING, ThresholdKey, VerticalPredict, VerticalSvm, is_digest, key,
};
use sha2::{Digest, Sha256};

/// Most entries of one public key that are looked at when a job names it.
const MAX_ENTRIES: usize = 4096;

/// Keys of a barrier that are read at a time.
const PIECE: usize = 256;

/// Runs a function on jobs; `None` where there is no such function.
pub(crate) fn invoke(call: &Call, world: &mut dyn WorldState, function: &str) -> Option<Answer> {
    Some(match function {
        "propose" => call.propose(world),
        "accept" => call.accept(world),
        "refuse" => call.reason().and_then(|reason| call.end(world, Outcome::Refused(reason))),
        "post" => call.post(world),
        "finish" => call.finish(world),
        "abort" => call.reason().and_then(|reason| call.end(world, Outcome::Aborted(reason))),
        "job" => call.job(world),
        "jobs" => call.jobs(world),
        "record" => call.record(world),
        "key" => call.key(world),
        "keys" => call.keys(world),
        "probe" => call.probe(world),
        _ => return None,
    })
}

impl Call<'_> {
    pub(crate) fn job_id(&self) -> Result<JobId, Failure> {
        let id = self.text(0, "job")?;
        match is_digest(id) {
            true => Ok(JobId(id.into())),
            false => refuse(Code::BadInput, "job: not 64 hexadecimal digits"),
        }
    }

    fn phase(&self) -> Result<Phase, Failure> {
        let text = self.text(1, "phase")?;
        match serde_json::from_value(serde_json::Value::String(text.into())) {
            Ok(phase) => Ok(phase),
            Err(e) => refuse(Code::BadInput, format!("phase: {e}")),
        }
    }

    fn reason(&self) -> Result<String, Failure> {
        let reason = self.text(1, "reason")?;
        if let Err(e) = records::text::check(reason) {
            return refuse(Code::BadInput, format!("reason: {e}"));
        }
        match reason.len() <= MAX_REASON_BYTES {
            true => Ok(reason.into()),
            false => refuse(Code::BadInput, format!("reason: longer than {MAX_REASON_BYTES} bytes")),
        }
    }

    pub(crate) fn party(&self, job: &Job) -> Result<u32, Failure> {
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
        if params.contract != CONTRACT_VERSION {
            return refuse(
                Code::WrongVersion,
                format!("the contract is {CONTRACT_VERSION}, not {}", params.contract),
            );
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
        check_key(world, &job.params)?;
        prediction::check_proposal(world, &job.params)?;
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
        if job.params.contract != CONTRACT_VERSION {
            return refuse(Code::WrongVersion, format!("the job is pinned to {}", job.params.contract));
        }
        let acceptance = Acceptance {
            version: records::VERSION,
            job: id.clone(),
            party,
            msp_id: self.caller.msp_id.clone(),
            key_hash: self.caller.key_hash.clone(),
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
        if job.params.contract != CONTRACT_VERSION {
            return refuse(Code::WrongVersion, format!("the job is pinned to {}", job.params.contract));
        }
        let slot = Slot {
            phase: self.phase()?,
            round: self.number(2, "round")?,
            party,
            chunk: self.number(3, "chunk")?,
        };
        let rules = Rules::new(&job.params);
        if !rules.exists(&slot) {
            return refuse(Code::BadInput, format!("{slot} does not exist in this job"));
        }
        // What is no record is refused for good, not until the caller has accepted.
        let body: Body = self.parsed(4, "body")?;
        let used: Vec<u32> = if self.args.len() > 5 { self.parsed(5, "used")? } else { Vec::new() };
        if let Err(reason) = rules.check_body(&slot, &body).and_then(|()| rules.check_used(&slot, &used)) {
            return refuse(Code::BadInput, reason);
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
            used,
        };
        if posted.is_some() {
            let [before] = read(world, [key::record(&id, &slot)])?;
            let before = before.ok_or_else(|| Failure::State(format!("{slot} is noted and not there")))?;
            let before = Record::from_json(&before).map_err(Failure::State)?;
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
        check_barrier(world, &job, &rules, &slot, &record.used)?;
        if let (Kind::VerticalPredict(predict), Body::Setup(setup)) = (&job.params.kind, &record.body) {
            prediction::check_setup(world, predict, setup)?;
        }
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
        if let Some(Ending { outcome: Outcome::Finished, .. }) = ending {
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
            let result = Record::from_json(&bytes).map_err(Failure::State)?.body;
            match &first {
                Some(first) if *first != result => {
                    let (a, b) = (&job.params.participants[0], &job.params.participants[slot.party as usize]);
                    return refuse(Code::Disagreement, format!("{a} and {b} posted different results"));
                }
                _ => first = Some(result),
            }
        }
        if let Some(Body::Key(key)) = first {
            let entry = key_entry(&job, &key);
            world.put(&key::threshold_key(&entry.fingerprint, &id), json(&entry))?;
        }
        self.write_ending(world, &id, Outcome::Finished)
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
    pub(crate) fn check_acceptance(&self, acceptance: Option<Vec<u8>>) -> Result<bool, Failure> {
        let Some(bytes) = acceptance else { return Ok(false) };
        match stored::<Acceptance>(&bytes)?.key_hash == self.caller.key_hash {
            true => Ok(true),
            false => refuse(Code::WrongCaller, format!("{} accepted with another key", self.caller.msp_id)),
        }
    }

    /// One of the caller's places for open proposals: free, or taken by a job that is open no more. Where the search begins
    /// depends on the job, so that proposals that are made at the same time seldom meet.
    fn free_place(&self, world: &mut dyn WorldState, id: &JobId) -> Result<String, Failure> {
        let begin = u32::from_str_radix(&id.0[..8], 16).expect("an identifier is hexadecimal");
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
        let ending =
            Ending { version: records::VERSION, job: id.clone(), by: self.caller.msp_id.clone(), outcome };
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

    fn key(&self, world: &mut dyn WorldState) -> Answer {
        let fingerprint = self.text(0, "key")?;
        if !is_digest(fingerprint) {
            return refuse(Code::BadInput, "key: not 64 hexadecimal digits");
        }
        match key_entries(world, fingerprint)? {
            entries if entries.is_empty() => refuse(Code::UnknownKey, format!("no key {fingerprint}")),
            entries => Ok(json(&entries)),
        }
    }

    fn keys(&self, world: &mut dyn WorldState) -> Answer {
        self.page(world, key::THRESHOLD_KEY, &[], 0, |_, bytes| stored::<KeyEntry>(bytes))
    }

    fn probe(&self, world: &mut dyn WorldState) -> Answer {
        let (name, value) = (self.text(0, "name")?, self.bytes(1, "value")?);
        if name.is_empty() || name.len() > 128 || name.contains(['\0', char::MAX]) {
            return refuse(Code::BadInput, "name: empty, longer than 128 bytes, or with U+0000 or U+10FFFF");
        }
        world.put(&key::probe(&self.caller.msp_id, name), value.to_vec())?;
        Ok(Vec::new())
    }
}

/// Whether a proposal still waits for answers.
fn is_open(world: &mut dyn WorldState, id: &JobId) -> Result<bool, Failure> {
    let (job, ending) = read_job(world, id)?;
    Ok(ending.is_none() && !unanswered(world, &job)?.is_empty())
}

/// The participants that have not accepted, by party.
pub(crate) fn unanswered(world: &mut dyn WorldState, job: &Job) -> Result<Vec<u32>, Failure> {
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
    used: &[u32],
) -> Result<(), Failure> {
    if slot.phase == rules.first_phase() && !unanswered(world, job)?.is_empty() {
        return refuse(Code::NotYet, "not all participants have accepted the job");
    }
    for piece in rules.needs(slot, used).chunks(PIECE) {
        let keys: Vec<String> = piece.iter().map(|need| key::posted(&job.id, need)).collect();
        if let Some(missing) = world.get(&keys)?.iter().position(Option::is_none) {
            return refuse(Code::NotYet, format!("{slot} needs {}", piece[missing]));
        }
    }
    Ok(())
}

/// What the ledger keeps of a key that came out of a job.
fn key_entry(job: &Job, key: &ThresholdKey) -> KeyEntry {
    let names = &job.params.participants;
    let (purpose, members, bits, refreshes) = match &job.params.kind {
        Kind::KeyRefresh(refresh) => {
            let members = refresh.members.iter().map(|party| names[*party as usize].clone()).collect();
            (&refresh.purpose, members, refresh.key_bits, Some(refresh.key.clone()))
        }
        Kind::KeyGeneration(generation) => (&generation.purpose, names.clone(), generation.key_bits, None),
        Kind::VerticalSvm(_) | Kind::VerticalPredict(_) | Kind::HorizontalSvm(_) => {
            unreachable!("the rules of these admit no key")
        }
    };
    KeyEntry {
        version: records::VERSION,
        fingerprint: hex::encode(key.fingerprint()),
        job: job.id.clone(),
        purpose: purpose.clone(),
        members,
        quorum: key.quorum,
        collusion_bound: key.collusion_bound,
        bits,
        refreshes,
    }
}

/// The entries of one fingerprint: whoever has seen a public key can enter it for another job, too.
pub(crate) fn key_entries(world: &mut dyn WorldState, fingerprint: &str) -> Result<Vec<KeyEntry>, Failure> {
    world.list(key::THRESHOLD_KEY, &[fingerprint], MAX_ENTRIES)?.iter().map(|bytes| stored(bytes)).collect()
}

/// Whether a job may use the key that it names: one of the same members, and for this purpose.
fn check_key(world: &mut dyn WorldState, params: &JobParams) -> Result<(), Failure> {
    let fingerprint = match &params.kind {
        Kind::VerticalSvm(training) => training.key.as_ref(),
        Kind::VerticalPredict(predict) => predict.key.as_ref(),
        Kind::KeyRefresh(refresh) => Some(&refresh.key),
        Kind::HorizontalSvm(_) | Kind::KeyGeneration(_) => None,
    };
    let Some(fingerprint) = fingerprint else { return Ok(()) };
    let mut entries = key_entries(world, fingerprint)?;
    // What strangers entered under this fingerprint is no concern of these participants.
    entries.retain(|entry| entry.members.iter().any(|member| params.participants.contains(member)));
    match entries.iter().map(|entry| unfit(entry, params)).min() {
        Some(None) => Ok(()),
        Some(Some(reason)) => refuse(Code::BadInput, reason),
        // A key that was dealt is known to its members only.
        None if matches!(params.kind, Kind::KeyRefresh(_)) => Ok(()),
        None => {
            let reason = format!("no key {fingerprint} was negotiated on this ledger by these participants");
            refuse(Code::UnknownKey, reason)
        }
    }
}

/// Why a job may not use a key.
fn unfit(entry: &KeyEntry, params: &JobParams) -> Option<String> {
    let members = entry.members.join(", ");
    let (field, fits, purpose) = match &params.kind {
        Kind::KeyRefresh(refresh) => {
            let own = |dealer: &Dealer| {
                entry.members.get(dealer.member as usize) == params.participants.get(dealer.party as usize)
            };
            let old = (entry.members.len() as u32, entry.bits, entry.quorum);
            let fits = old == (refresh.old_parties, refresh.key_bits, refresh.dealers.len() as u32)
                && refresh.dealers.iter().all(own);
            ("dealers", fits, refresh.purpose.as_str())
        }
        Kind::VerticalSvm(VerticalSvm { quorum, key_bits, .. })
        | Kind::VerticalPredict(VerticalPredict { quorum, key_bits, .. }) => {
            let fits =
                entry.members == params.participants && (entry.quorum, entry.bits) == (*quorum, *key_bits);
            ("key", fits, TRAINING)
        }
        Kind::HorizontalSvm(_) | Kind::KeyGeneration(_) => return None,
    };
    if entry.purpose != purpose {
        return Some(format!("key: it is for {}, not for {purpose}", entry.purpose));
    }
    let (bits, quorum) = (entry.bits, entry.quorum);
    (!fits).then(|| format!("{field}: the key has {bits} bits, for {quorum} of {members}, in this order"))
}

pub(crate) fn read<const N: usize>(
    world: &mut dyn WorldState,
    keys: [String; N],
) -> Result<[Option<Vec<u8>>; N], Failure> {
    let values = world.get(&keys)?;
    values.try_into().map_err(|_| Failure::State("a read answered with another number of values".into()))
}

pub(crate) fn read_job(world: &mut dyn WorldState, id: &JobId) -> Result<(Job, Option<Ending>), Failure> {
    let [job, ending] = read(world, [key::job(id), key::ending(id)])?;
    let Some(job) = job else { return refuse(Code::UnknownJob, format!("no job {id}")) };
    Ok((stored(&job)?, ending.map(|bytes| stored(&bytes)).transpose()?))
}

pub(crate) fn not_ended(ending: Option<Ending>) -> Result<(), Failure> {
    let Some(ending) = ending else { return Ok(()) };
    refuse(Code::Ended, format!("the job is {ending}"))
}

fn view(world: &mut dyn WorldState, job: Job, ending: Option<Ending>) -> Result<JobView, Failure> {
    let keys: Vec<String> = (0..job.params.parties()).map(|party| key::acceptance(&job.id, party)).collect();
    let acceptances = world
        .get(&keys)?
        .iter()
        .map(|value| value.as_deref().map(stored).transpose())
        .collect::<Result<_, _>>()?;
    Ok(JobView { job, acceptances, ending })
}
