//! What is late, and who is named for it; what a call costs that is refused. On a world state in memory.

mod world;

use records::{
    Awaited, Body, Bytes, CONTRACT_VERSION, Code, Collusion, Comparison, Deadlines, Debt, Dv, HorizontalSvm,
    JobId, JobParams, JobView, Judge, KeyGeneration, Kind, MAX_OPEN_PROPOSALS, MAX_PAGE_BYTES,
    MAX_PARAMS_BYTES, Outcome, Page, Phase, Proof, Publication, Record, Reminder, Rules, SeedCommit, Slot,
    Termination, VERSION, VerticalSvm, Waiting, key,
};
use world::{World, caller, setup};

const LIMITS: Deadlines = Deadlines { accept: 100_000, step: 1_800 };
/// When the clocks begin, so that there is time before.
const NOON: u64 = 1_000_000;

fn params(kind: Kind) -> JobParams {
    JobParams {
        version: VERSION,
        contract: CONTRACT_VERSION.into(),
        participants: (1..=3).map(|org| format!("Org{org}MSP").parse().unwrap()).collect(),
        kind,
        nonce: Bytes(vec![1; 16]),
        deadlines: Some(LIMITS),
    }
}

fn training(quorum: u32, iterations: u32, batch: u32) -> JobParams {
    params(Kind::VerticalSvm(VerticalSvm {
        judge: Judge::Blinded,
        instances: 10_000,
        iterations,
        batch,
        learning_rate: "0.1".parse().unwrap(),
        lambda: "1".parse().unwrap(),
        c: "1".parse().unwrap(),
        key: None,
        key_bits: 256,
        insecure_key_bits: true,
        quorum,
        margin_bits: 42,
        weak_blinding: true,
        model: Publication::Published,
        classes: None,
    }))
}

fn slot(phase: Phase, round: u32, party: u32) -> Slot {
    Slot { phase, round, party, chunk: 0 }
}

/// A ledger with one job.
struct Case {
    world: World,
    params: JobParams,
    id: JobId,
}

impl Case {
    fn proposed(params: JobParams) -> Self {
        params.validate().unwrap();
        let mut world = World::default();
        world.now = NOON;
        world.call(1, "propose", &[&serde_json::to_vec(&params).unwrap()]).unwrap();
        Self { world, id: params.id(), params }
    }

    fn running(params: JobParams) -> Self {
        let mut case = Self::proposed(params);
        for org in 1..=3 {
            case.accept(org).unwrap();
        }
        case
    }

    fn call(&mut self, org: u32, function: &str) -> Result<Vec<u8>, Code> {
        self.world.call(org, function, &[self.id.to_string().as_bytes()])
    }

    fn accept(&mut self, org: u32) -> Result<(), Code> {
        self.call(org, "accept").map(drop)
    }

    fn expire(&mut self, org: u32) -> Result<Vec<Debt>, Code> {
        match serde_json::from_slice(&self.call(org, "expire")?).unwrap() {
            Termination { outcome: Outcome::Expired(owed), .. } => Ok(owed),
            other => panic!("{other:?}"),
        }
    }

    /// A member's node writes what its clock says.
    fn clock(&mut self, org: u32, time: u64) {
        self.world.now = time;
        let _ = self.world.call(org, "clock", &[]);
    }

    fn clocks(&mut self, time: u64) {
        (1..=3).for_each(|org| self.clock(org, time));
    }

    fn remind(&mut self, org: u32, slots: &[Slot]) -> Result<(), Code> {
        let awaited: Vec<Awaited> =
            slots.iter().map(|slot| Awaited { slot: *slot, contributors: Vec::new() }).collect();
        self.remind_of(org, &awaited)
    }

    fn remind_of(&mut self, org: u32, awaited: &[Awaited]) -> Result<(), Code> {
        let json = serde_json::to_vec(awaited).unwrap();
        self.world.call(org, "remind", &[self.id.to_string().as_bytes(), &json]).map(drop)
    }

    fn post(&mut self, slot: Slot, body: &Body) -> Result<(), Code> {
        let json = serde_json::to_vec(body).unwrap();
        let (round, chunk) = (slot.round.to_string(), slot.chunk.to_string());
        let id = self.id.to_string();
        let args = [id.as_bytes(), slot.phase.as_str().as_bytes(), round.as_bytes(), chunk.as_bytes(), &json];
        self.world.call(slot.party + 1, "post", &args).map(drop)
    }

    /// Puts the record of a slot there, whatever the rules say.
    fn put(&mut self, slot: Slot, body: Body) {
        let msp_id = self.params.participants[slot.party as usize].clone();
        let record =
            Record { version: VERSION, job: self.id.clone(), slot, msp_id, body, contributors: Vec::new() };
        self.world.committed.insert(key::record(&self.id, &slot), record.to_json());
        self.world.committed.insert(key::posted(&self.id, &slot), vec![0; 32]);
    }

    fn put_round(&mut self, phase: Phase, round: u32) {
        for slot in Rules::new(&self.params).round_slots(phase, round) {
            self.put(slot, setup());
        }
    }

    fn waiting(&mut self) -> Waiting {
        serde_json::from_slice(&self.call(9, "waiting").unwrap()).unwrap()
    }
}

#[test]
fn a_clock_never_goes_back() {
    let mut case = Case::running(training(3, 1, 1));
    assert_eq!(case.waiting(), Waiting { time: None, reminders: Vec::new() });
    case.clock(1, NOON);
    assert_eq!(case.waiting().time, Some(NOON - 600), "one of three");
    for time in [NOON - 1, NOON + 4] {
        case.world.now = time;
        assert_eq!(case.world.call(1, "clock", &[]), Err(Code::AlreadySame));
        assert_eq!(case.waiting().time, Some(NOON - 600));
    }
}

#[test]
fn a_proposal_expires_and_names_who_did_not_answer() {
    let mut case = Case::proposed(training(3, 1, 1));
    case.accept(1).unwrap();
    assert_eq!(case.expire(1), Err(Code::NotOverdue), "no clock, no time");
    case.clocks(NOON + 99_990);
    assert_eq!(case.expire(1), Err(Code::NotOverdue));
    assert_eq!(case.expire(4), Err(Code::WrongCaller));
    // One member's clock alone does not end the time.
    case.clock(3, NOON + 100_299);
    assert_eq!(case.expire(3), Err(Code::NotOverdue));
    case.clock(2, NOON + 100_000);
    case.world.now = NOON + 100_300;
    assert_eq!(case.accept(3), Err(Code::Ended), "too late");
    assert!(case.world.reads <= 4, "nobody's clock is read: {}", case.world.reads);
    let debt = |org: u32| Debt { msp_id: format!("Org{org}MSP").parse().unwrap(), slot: None, since: NOON };
    // Also a member that has not answered itself may say so.
    assert_eq!(case.expire(2), Ok(vec![debt(2), debt(3)]));
    assert_eq!(case.expire(1), Err(Code::AlreadySame));
    assert_eq!(case.accept(2), Err(Code::Ended));
}

#[test]
fn who_does_not_post_what_could_be_posted_is_named() {
    let mut case = Case::running(training(3, 1, 1));
    let first = |party| slot(Phase::Setup, 0, party);
    case.clocks(NOON);
    case.post(first(0), &setup()).unwrap();
    assert_eq!(case.remind(4, &[first(1)]), Err(Code::WrongCaller));
    assert_eq!(case.remind(1, &[]), Err(Code::BadInput));
    assert_eq!(case.remind(1, &[first(1), first(1)]), Err(Code::BadInput));
    assert_eq!(case.remind(1, &[slot(Phase::Setup, 1, 1)]), Err(Code::BadInput));
    assert_eq!(case.remind(1, &[first(0)]), Err(Code::AlreadySame), "that one is there");
    assert_eq!(
        case.remind(1, &[slot(Phase::SeedCommit, 0, 1)]),
        Err(Code::NotYet),
        "it cannot be posted yet"
    );
    case.remind(1, &[first(1), first(2)]).unwrap();
    case.clocks(NOON + 60);
    assert_eq!(case.remind(3, &[first(1)]), Err(Code::AlreadySame), "the time goes on");
    let reminder = |party| Reminder {
        version: VERSION,
        job: case.id.clone(),
        slot: first(party),
        by: "Org1MSP".parse().unwrap(),
        time: NOON,
    };
    let reminders = vec![reminder(1), reminder(2)];
    assert_eq!(case.waiting(), Waiting { time: Some(NOON + 60), reminders });
    case.post(first(2), &setup()).unwrap();
    case.clocks(NOON + 1_795);
    assert_eq!(case.expire(1), Err(Code::NotOverdue));
    case.clocks(NOON + 1_800);
    let owed = Debt { msp_id: "Org2MSP".parse().unwrap(), slot: Some(first(1)), since: NOON };
    assert_eq!(case.expire(3), Ok(vec![owed]));
    assert_eq!(case.post(first(1), &setup()), Err(Code::Ended));
    let view: JobView = serde_json::from_slice(&case.call(1, "job").unwrap()).unwrap();
    let said = view.ending.unwrap().to_string();
    assert_eq!(said, "expired: Org2MSP did not post setup round 0 party 1 chunk 0");
}

#[test]
fn a_reminder_is_written_over_when_its_record_is_there() {
    let mut case = Case::running(training(3, 1, 1));
    case.clocks(NOON);
    case.remind(1, &[slot(Phase::Setup, 0, 1)]).unwrap();
    case.put_round(Phase::Setup, 0);
    case.clocks(NOON + 1_000);
    let next = slot(Phase::SeedCommit, 0, 1);
    case.remind(1, &[next]).unwrap();
    case.clocks(NOON + 1_900);
    assert_eq!(case.expire(1), Err(Code::NotOverdue), "the next record has time of its own");
    case.clocks(NOON + 2_800);
    assert_eq!(case.expire(1).unwrap()[0].slot, Some(next));
}

/// Clocks are written when time is short only. What was owed for a moment is not overdue because they are old.
#[test]
fn time_runs_from_the_reminder_though_clocks_are_old() {
    for clocks in [None, Some(NOON), Some(NOON + 4_000)] {
        let mut case = Case::running(training(3, 1, 1));
        if let Some(time) = clocks {
            case.clocks(time);
        }
        case.world.now = NOON + 3_900;
        let late = slot(Phase::Setup, 0, 1);
        case.remind(1, &[late]).unwrap();
        // Never before the clocks.
        let since = clocks.unwrap_or(0).max(NOON + 3_900);
        assert_eq!(case.waiting().reminders[0].time, since);
        case.clocks(since + 1_795);
        assert_eq!(case.expire(1), Err(Code::NotOverdue));
        case.clocks(since + 1_800);
        let owed = Debt { msp_id: "Org2MSP".parse().unwrap(), slot: Some(late), since };
        assert_eq!(case.expire(3), Ok(vec![owed]));
    }
}

/// Without this, whoever is in league with a silent member could begin its time anew for ever.
#[test]
fn a_reminder_is_not_written_over_while_its_record_is_missing() {
    let mut case = Case::running(training(3, 1, 300));
    for phase in [Phase::Setup, Phase::SeedCommit, Phase::SeedOpen] {
        case.put_round(phase, 0);
    }
    case.clocks(NOON);
    let chain = |chunk| Slot { chunk, ..slot(Phase::Chain, 0, 0) };
    case.remind(2, &[chain(0)]).unwrap();
    case.clocks(NOON + 1_700);
    assert_eq!(case.remind(3, &[chain(1)]), Err(Code::AlreadySame));
    case.clocks(NOON + 1_800);
    assert_eq!(case.expire(2).unwrap()[0].since, NOON);
}

#[test]
fn a_job_that_is_only_to_be_finished_does_not_expire() {
    let mut case = Case::running(training(3, 1, 1));
    case.clocks(NOON);
    case.remind(1, &[slot(Phase::Setup, 0, 1)]).unwrap();
    let result =
        || Body::Result(records::ResultDigests { indicators: [0xaa; 32].into(), model: [0xbb; 32].into() });
    (0..3).for_each(|party| case.put(slot(Phase::Result, 0, party), result()));
    case.clocks(NOON + 1_800);
    assert_eq!(case.expire(1), Err(Code::NotOverdue));
    case.call(2, "finish").unwrap();
    assert_eq!(case.expire(1), Err(Code::Ended));
}

#[test]
fn where_a_quorum_is_enough_nobody_owes_more() {
    let mut case = Case::running(training(2, 2, 1));
    case.put_round(Phase::Iv, 0);
    case.clocks(NOON);
    let late = slot(Phase::Dv, 0, 2);
    let dv = || {
        Body::Dv(Dv {
            dv: Vec::new(),
            proof: Proof { challenge: Bytes::default(), response: Bytes::default() },
        })
    };
    case.put(slot(Phase::Dv, 0, 0), dv());
    case.remind(1, &[late]).unwrap();
    case.put(slot(Phase::Dv, 0, 1), dv());
    assert!(case.waiting().reminders.is_empty());
    // The next record of that member can be waited for: the old reminder does not stand in the way.
    let iv = Awaited { slot: slot(Phase::Iv, 1, 2), contributors: vec![0, 1] };
    let unnamed = Awaited { contributors: Vec::new(), ..iv.clone() };
    assert_eq!(case.remind_of(1, &[unnamed]), Err(Code::BadInput));
    let wrong = Awaited { contributors: vec![1, 2], ..iv.clone() };
    assert_eq!(case.remind_of(1, &[wrong]), Err(Code::NotYet));
    case.clocks(NOON + 600);
    case.remind_of(1, &[iv]).unwrap();
    case.clocks(NOON + 1_900);
    assert_eq!(case.expire(1), Err(Code::NotOverdue));
    case.clocks(NOON + 2_400);
    let owed =
        Debt { msp_id: "Org3MSP".parse().unwrap(), slot: Some(slot(Phase::Iv, 1, 2)), since: NOON + 600 };
    assert_eq!(case.expire(1), Ok(vec![owed]));
}

/// Which batch of candidates has a good one is not on the ledger: who says that others owe the next step has taken it.
#[test]
fn what_only_the_members_know_to_be_owed_is_claimed_with_an_own_record() {
    let kind = Kind::KeyGeneration(KeyGeneration {
        purpose: "training".into(),
        key_bits: 512,
        insecure_key_bits: true,
        quorum: 2,
        against: Collusion::Minority,
        candidates: 64,
    });
    let mut case = Case::running(params(kind));
    case.clocks(NOON);
    case.put_round(Phase::Keys, 0);
    // The contract would take the key now.
    assert_eq!(case.remind(1, &[slot(Phase::Key, 0, 1)]), Err(Code::NotOverdue));
    case.remind(1, &[slot(Phase::SieveShares, 0, 1)]).unwrap();
    case.put_round(Phase::PowerOpen, 0);
    for (phase, round) in [(Phase::PowersCommit, 0), (Phase::SieveShares, 1)] {
        let (own, other) = (slot(phase, round, 0), slot(phase, round, 1));
        case.world.committed.remove(&key::reminder(&case.id, 1));
        assert_eq!(case.remind(1, &[other]), Err(Code::NotOverdue), "{phase}");
        case.put(own, setup());
        case.remind(1, &[other]).unwrap();
        assert_eq!(case.remind(3, &[slot(phase, round, 0)]), Err(Code::AlreadySame));
    }
}

#[test]
fn training_by_rows_goes_on_or_ends_as_the_weights_say() {
    let kind = Kind::HorizontalSvm(Box::new(HorizontalSvm {
        comparison: Comparison::Hidden,
        analyst: 2,
        columns: vec!["age".into()],
        units: Vec::new(),
        positive: "ill".into(),
        negative: "well".into(),
        standardise: false,
        rows: 4,
        batch: None,
        iterations: 3,
        tolerance: None,
        learning_rate: "0.1".parse().unwrap(),
        lambda: "1".parse().unwrap(),
        c: "1".parse().unwrap(),
        intercept: false,
        gradient_noise: None,
        key_bits: 512,
        insecure_key_bits: true,
        margin_bits: 50,
        weak_blinding: true,
        model: Publication::Published,
    }));
    for empty in [false, true] {
        let mut case = Case::running(params(kind.clone()));
        case.clocks(NOON);
        let list = if empty { Vec::new() } else { vec![Bytes(vec![1; 128])] };
        case.put(slot(Phase::Weights, 1, 2), Body::Ciphertexts(list));
        let (margins, model) = (slot(Phase::Margins, 1, 0), slot(Phase::Model, 1, 2));
        let (owed, not) = if empty { (model, margins) } else { (margins, model) };
        assert_eq!(case.remind(2, &[not]), Err(Code::NotOverdue));
        case.remind(2, &[owed]).unwrap();
    }
}

/// Jobs of before, and those who want none.
#[test]
fn without_deadlines_nothing_expires() {
    let mut case = Case::running(JobParams { deadlines: None, ..training(3, 1, 1) });
    case.clocks(NOON + 10_000_000);
    assert_eq!(case.remind(1, &[slot(Phase::Setup, 0, 1)]), Err(Code::BadInput));
    assert_eq!(case.expire(1), Err(Code::BadInput));
}

/// A client that is five minutes off, either way: with another member's clock beside it, it ends the time five minutes
/// early at most, and cannot hold it up.
#[test]
fn one_wrong_clock_neither_ends_the_time_nor_holds_it_up() {
    let begin = |liar: i64| {
        let mut case = Case::running(training(3, 1, 1));
        case.clock(1, NOON);
        case.clock(2, NOON.saturating_add_signed(liar));
        // The third is silent from the beginning; its clock is of this morning.
        case.clock(3, NOON - 10_000);
        case.remind(2, &[slot(Phase::Setup, 0, 2)]).unwrap();
        case
    };
    for (liar, earliest) in [(300, 1_800), (-300, 1_800)] {
        let mut case = begin(liar);
        // What the honest clock says when the job can be expired first.
        let expired = (0..4_000).find(|seconds| {
            case.clock(1, NOON + seconds);
            case.clock(2, (NOON + seconds).saturating_add_signed(liar));
            case.expire(2).is_ok()
        });
        assert_eq!(expired, Some(earliest), "{liar}");
    }
    // Behind at the reminder, ahead at the end; the honest member's clock bounds what is gained to the five minutes.
    let mut case = begin(-300);
    let expired = (0..4_000).find(|seconds| {
        case.clock(1, NOON + seconds);
        case.clock(2, NOON + seconds + 300);
        case.expire(2).is_ok()
    });
    assert_eq!(expired, Some(1_500));
}

/// The others' clocks are old while no deadline is near. A member that dates its reminder back and its clock forward has no
/// record called late before its time, however short that is.
#[test]
fn who_is_alone_in_having_a_fresh_clock_ends_nothing_early() {
    const STEP: u64 = 200;
    let limits = Deadlines { step: STEP as u32, ..LIMITS };
    let mut case = Case::running(JobParams { deadlines: Some(limits), ..training(3, 1, 1) });
    case.clocks(NOON);
    let real = NOON + 4_000;
    case.world.now = real - 300;
    case.remind(1, &[slot(Phase::Setup, 0, 1)]).unwrap();
    let expired = (0..1_000).find(|passed| {
        case.clock(1, real + passed + 300);
        case.expire(1).is_ok()
    });
    assert_eq!(expired, Some(STEP));
}

/// Else the time of one record were that of all chunks of a step.
#[test]
fn of_many_chunks_the_first_that_is_missing_can_be_reminded_of() {
    let mut case = Case::running(training(3, 1, 300));
    for phase in [Phase::Setup, Phase::SeedCommit, Phase::SeedOpen] {
        case.put_round(phase, 0);
    }
    let chain = |chunk| Slot { chunk, ..slot(Phase::Chain, 0, 0) };
    assert_eq!(case.remind(2, &[chain(1)]), Err(Code::NotOverdue));
    case.put(chain(0), setup());
    assert_eq!(case.remind(2, &[chain(2)]), Err(Code::NotOverdue));
    case.remind(2, &[chain(1)]).unwrap();
}

mod honest {
    use super::*;
    use proptest::prelude::*;

    /// What somebody who deviates does.
    #[derive(Clone, Debug)]
    enum Deed {
        Post(u32),
        Remind(usize),
        Clock(i64),
        Expire,
        /// Time passes; the honest member's node does what it can every five minutes.
        Wait(u64),
    }

    fn deed() -> impl Strategy<Value = Deed> {
        prop_oneof![
            (0..3_u32).prop_map(Deed::Post),
            (0..1000_usize).prop_map(Deed::Remind),
            (-300..=300_i64).prop_map(Deed::Clock),
            Just(Deed::Expire),
            (1..=300_u64).prop_map(Deed::Wait),
        ]
    }

    fn body(slot: &Slot) -> Option<Body> {
        match slot.phase {
            Phase::Setup => Some(setup()),
            Phase::SeedCommit => Some(Body::SeedCommit(SeedCommit { commitment: Bytes(vec![1; 32]) })),
            Phase::SeedOpen => Some(Body::SeedOpen(records::SeedOpen { seed: Bytes(vec![1; 32]) })),
            Phase::Chain => Some(Body::Chain(vec![Bytes(vec![1; 64])])),
            Phase::Noise => Some(Body::Noise(vec![Bytes(vec![1; 64])])),
            Phase::Iv => Some(Body::Iv(records::Iv { tiv: vec![Bytes(vec![1; 64])], paper: None })),
            _ => None,
        }
    }

    /// All that a member can post now; it asks the contract.
    fn post_all(case: &mut Case, slots: &[Slot], party: u32) {
        for slot in slots.iter().filter(|slot| slot.party == party) {
            if let Some(body) = body(slot) {
                let _ = case.post(*slot, &body);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Whatever the others do: who posts what it can, and keeps its clock, is never named.
        #[test]
        fn is_never_named(deeds in prop::collection::vec((0..3_u32, deed()), 1..80)) {
            const HONEST: u32 = 1;
            let mut case = Case::running(training(3, 1, 1));
            let rules = Rules::new(&case.params);
            let slots: Vec<Slot> =
                rules.phases().into_iter().flat_map(|phase| rules.round_slots(phase, 0)).collect();
            let mut now = NOON;
            for (by, deed) in deeds {
                match deed {
                    Deed::Post(party) => post_all(&mut case, &slots, party),
                    Deed::Remind(index) => {
                        let _ = case.remind(by + 1, &[slots[index % slots.len()]]);
                    }
                    Deed::Clock(off) => case.clock(by + 1, now.saturating_add_signed(if by == HONEST { 0 } else { off })),
                    Deed::Expire => {
                        if let Ok(owed) = case.expire(by + 1) {
                            prop_assert!(owed.iter().all(|debt| debt.msp_id != "Org2MSP"), "{owed:?}");
                            return Ok(());
                        }
                    }
                    Deed::Wait(seconds) => {
                        now += seconds;
                        case.clock(HONEST + 1, now);
                        post_all(&mut case, &slots, HONEST);
                    }
                }
            }
        }
    }
}

/// A record that needs 6,400 others: neither a stranger nor who repeats itself makes the endorsers read them.
#[test]
fn refusals_cost_a_few_reads() {
    let mut case = Case::proposed(training(3, 100, 2_048));
    let rules = Rules::new(&case.params);
    let iv = slot(Phase::Iv, 0, 0);
    let needs = rules.needs(&iv, &[]);
    assert!(needs.len() > 4_000);
    let entries = rules.chunk_range(Phase::Iv, 0).len();
    let body = Body::Iv(records::Iv { tiv: vec![Bytes(vec![1; 64]); entries], paper: None });
    let json = serde_json::to_vec(&body).unwrap();
    let id = case.id.to_string();
    let args: [&[u8]; 5] = [id.as_bytes(), b"iv", b"0", b"0", &json];

    assert_eq!(case.world.call(4, "post", &args), Err(Code::WrongCaller));
    assert!(case.world.reads <= 2, "a stranger: {}", case.world.reads);
    assert_eq!(case.world.call(1, "post", &args), Err(Code::NotYet));
    assert!(case.world.reads <= 4, "who has not accepted: {}", case.world.reads);
    (1..=3).for_each(|org| case.accept(org).unwrap());
    assert_eq!(case.world.call_as(&caller(1, "b"), "post", &args), Err(Code::WrongCaller));
    assert!(case.world.reads <= 4, "another key: {}", case.world.reads);
    let not = [id.as_bytes(), b"iv".as_slice(), b"0", b"0", b"{}"];
    assert_eq!(case.world.call(1, "post", &not), Err(Code::BadInput));
    assert!(case.world.reads <= 4, "a wrong body: {}", case.world.reads);
    assert_eq!(case.world.call(1, "post", &args), Err(Code::NotYet));
    assert!(case.world.reads <= 260, "too early: {}", case.world.reads);
    for need in needs {
        case.world.committed.insert(key::posted(&case.id, &need), vec![0; 32]);
    }
    case.world.call(1, "post", &args).unwrap();
    assert!(case.world.reads > 4_000, "once");
    assert_eq!(case.world.call(1, "post", &args), Err(Code::AlreadySame));
    assert!(case.world.reads <= 5, "again: {}", case.world.reads);

    let propose = serde_json::to_vec(&case.params).unwrap();
    assert_eq!(case.world.call(4, "propose", &[&propose]), Err(Code::WrongCaller));
    assert_eq!(case.world.reads, 0);
    assert_eq!(case.world.call(1, "propose", &[&propose]), Err(Code::AlreadySame));
    assert_eq!(case.world.reads, 1);
    for function in ["accept", "refuse", "abort", "finish", "remind", "expire"] {
        let reason: &[u8] = b"[]";
        assert_eq!(case.world.call(4, function, &[id.as_bytes(), reason]), Err(Code::WrongCaller));
        assert!(case.world.reads <= 2, "{function}: {}", case.world.reads);
    }
}

fn numbered(number: u32) -> JobParams {
    let mut params = training(3, 1, 1);
    params.nonce.0[..4].copy_from_slice(&number.to_be_bytes());
    params
}

#[test]
fn open_proposals_are_limited() {
    let mut world = World::default();
    let propose = |world: &mut World, org: u32, number: u32| {
        let json = serde_json::to_vec(&numbered(number)).unwrap();
        world.call(org, "propose", &[&json]).map(drop)
    };
    for number in 0..MAX_OPEN_PROPOSALS {
        assert_eq!(propose(&mut world, 1, number), Ok(()), "{number}");
    }
    assert_eq!(propose(&mut world, 1, 1_000), Err(Code::TooMany));
    assert!(world.reads <= 1 + MAX_OPEN_PROPOSALS as usize * 6, "{}", world.reads);
    assert_eq!(propose(&mut world, 2, 1_001), Ok(()), "another organisation has its own");
    // One that has ended, and one that all have accepted, make room.
    world.call(3, "refuse", &[numbered(7).id().to_string().as_bytes(), b"no"]).unwrap();
    assert_eq!(propose(&mut world, 1, 1_000), Ok(()));
    assert_eq!(propose(&mut world, 1, 1_002), Err(Code::TooMany));
    (1..=3)
        .for_each(|org| drop(world.call(org, "accept", &[numbered(9).id().to_string().as_bytes()]).unwrap()));
    assert_eq!(propose(&mut world, 1, 1_002), Ok(()));
    assert_eq!(propose(&mut world, 1, 1_003), Err(Code::TooMany));
}

#[test]
fn lists_come_in_pages_that_fit_a_message() {
    let mut world = World::default();
    let Kind::HorizontalSvm(large) = ({
        let columns: Vec<String> = (0..1_000).map(|i| format!("{i:0100}")).collect();
        let json = serde_json::json!({ "horizontal-svm": {
            "comparison": "hidden", "analyst": 2, "columns": columns, "positive": "a", "negative": "b",
            "standardise": true, "rows": 4, "iterations": 3, "learning_rate": "1", "lambda": "1", "c": "1",
            "intercept": true, "key_bits": 2048, "margin_bits": 50, "model": "split" } });
        serde_json::from_value::<Kind>(json).unwrap()
    }) else {
        unreachable!()
    };
    let mut count = 0;
    for org in 1..=3 {
        for number in 0..60 {
            let job = JobParams {
                kind: Kind::HorizontalSvm(large.clone()),
                nonce: Bytes(vec![number + 60 * org as u8; 16]),
                ..numbered(0)
            };
            let json = serde_json::to_vec(&job).unwrap();
            assert!(json.len() > 90_000);
            world.call(org, "propose", &[&json]).unwrap();
            count += 1;
        }
    }
    let (mut seen, mut bookmark) = (Vec::new(), String::new());
    loop {
        let bytes = world.call(9, "jobs", &[b"256", bookmark.as_bytes()]).unwrap();
        assert!(bytes.len() < 2 * MAX_PAGE_BYTES && world.read_bytes < 12 * MAX_PAGE_BYTES);
        let page: Page<JobView> = serde_json::from_slice(&bytes).unwrap();
        assert!(page.entries.len() > 10 || page.bookmark.is_empty());
        seen.extend(page.entries.into_iter().map(|view| view.job.id));
        bookmark = page.bookmark;
        if bookmark.is_empty() {
            break;
        }
    }
    seen.dedup();
    assert_eq!(seen.len(), count);
    for size in ["0", "257", "x"] {
        assert_eq!(world.call(9, "jobs", &[size.as_bytes(), b""]), Err(Code::BadInput));
    }
    assert_eq!(world.call(9, "jobs", &[b"3"]), Err(Code::BadInput), "without a bookmark");

    let larger = HorizontalSvm { columns: (0..1_300).map(|i| format!("{i:0100}")).collect(), ..*large };
    let job = params(Kind::HorizontalSvm(Box::new(larger)));
    let json = serde_json::to_vec(&job).unwrap();
    assert!(json.len() > MAX_PARAMS_BYTES);
    assert_eq!(world.call(1, "propose", &[&json]), Err(Code::BadInput));
}
