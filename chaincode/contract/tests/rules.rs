//! The rules of the job contract, on a world state in memory.

mod world;

use records::{
    Body, Bytes, CONTRACT_VERSION, Code, Collusion, DataDigest, Dealer, Fingerprint, Job, JobId, JobParams,
    JobView, KeyEntry, KeyGeneration, KeyRefresh, Kind, Outcome, Page, Phase, Publication, Record,
    SeedCommit, Setup, ThresholdKey, VERSION, VerticalPredict, key,
};
use world::{World, caller, digest, setup};

impl World {
    fn post(&mut self, org: u32, id: &str, round: u32, body: &Body) -> Result<Vec<u8>, Code> {
        let json = serde_json::to_vec(body).unwrap();
        let phase = match body {
            Body::Setup(_) => Phase::Setup,
            Body::SeedCommit(_) => Phase::SeedCommit,
            Body::SeedOpen(_) => Phase::SeedOpen,
            Body::Iv(_) => Phase::Iv,
            Body::Dv(_) => Phase::Dv,
            other => panic!("{other:?}"),
        };
        let phase = phase.as_str().as_bytes();
        self.call(org, "post", &[id.as_bytes(), phase, round.to_string().as_bytes(), b"0", &json])
    }
}

fn params() -> JobParams {
    JobParams {
        version: VERSION,
        contract: CONTRACT_VERSION.into(),
        participants: (1..=3).map(|i| format!("Org{i}MSP").parse().unwrap()).collect(),
        kind: world::training(),
        nonce: Bytes(vec![1; 16]),
        deadlines: None,
    }
}

fn commitment(byte: u8) -> Body {
    Body::SeedCommit(SeedCommit { commitment: Bytes(vec![byte; 32]) })
}

fn proposed(world: &mut World) -> String {
    let json = world.call(2, "propose", &[&serde_json::to_vec(&params()).unwrap()]).unwrap();
    serde_json::from_slice::<Job>(&json).unwrap().id.to_string()
}

fn running(world: &mut World) -> String {
    let id = proposed(world);
    for org in 1..=3 {
        world.call(org, "accept", &[id.as_bytes()]).unwrap();
    }
    id
}

#[test]
fn a_repeated_proposal_is_the_same_job() {
    let mut world = World::default();
    let id = proposed(&mut world);
    assert_eq!(id, params().id().to_string());
    assert_eq!(world.call(1, "propose", &[&serde_json::to_vec(&params()).unwrap()]), Err(Code::AlreadySame));
    let page: Page<JobView> = serde_json::from_slice(&world.call(9, "jobs", &[]).unwrap()).unwrap();
    let view = page.entries;
    assert_eq!((view.len(), view[0].job.proposer.as_str()), (1, "Org2MSP"));
}

#[test]
fn strangers_and_other_keys_are_refused() {
    let mut world = World::default();
    let json = serde_json::to_vec(&params()).unwrap();
    assert_eq!(world.call(4, "propose", &[&json]), Err(Code::WrongCaller));
    let id = running(&mut world);
    assert_eq!(world.call(4, "accept", &[id.as_bytes()]), Err(Code::WrongCaller));
    assert_eq!(world.call_as(&caller(1, "b"), "accept", &[id.as_bytes()]), Err(Code::AlreadyDifferent));
    assert_eq!(world.call(1, "accept", &[id.as_bytes()]), Err(Code::AlreadySame));
    let body = serde_json::to_vec(&setup()).unwrap();
    let args: [&[u8]; 5] = [id.as_bytes(), b"setup", b"0", b"0", &body];
    assert_eq!(world.call_as(&caller(1, "b"), "post", &args), Err(Code::WrongCaller));
    assert_eq!(world.call_as(&caller(4, "a"), "post", &args), Err(Code::WrongCaller));
    assert_eq!(world.call_as(&caller(1, "b"), "abort", &[id.as_bytes(), b"spite"]), Err(Code::WrongCaller));
}

#[test]
fn a_phase_waits_for_every_record_of_the_one_before() {
    let mut world = World::default();
    let id = proposed(&mut world);
    for org in 1..=2 {
        world.call(org, "accept", &[id.as_bytes()]).unwrap();
    }
    assert_eq!(world.post(1, &id, 0, &setup()), Err(Code::NotYet));
    world.call(3, "accept", &[id.as_bytes()]).unwrap();
    for org in 1..=2 {
        world.post(org, &id, 0, &setup()).unwrap();
        assert_eq!(world.post(org, &id, 0, &commitment(1)), Err(Code::NotYet));
    }
    world.post(3, &id, 0, &setup()).unwrap();
    world.post(1, &id, 0, &commitment(1)).unwrap();
}

#[test]
fn text_that_acts_on_a_terminal_is_not_taken() {
    let mut world = World::default();
    let id = proposed(&mut world);
    for reason in
        ["a\u{1b}[2Jb", "no\nfinished", "\u{202e}txet", "\u{9b}31m", "\u{feff}x", "a\u{2067}b", "\u{7f}"]
    {
        for (org, function) in [(1, "refuse"), (2, "abort")] {
            let answer = world.call(org, function, &[id.as_bytes(), reason.as_bytes()]);
            assert_eq!(answer, Err(Code::BadInput), "{reason:?}");
        }
    }
    for name in ["Org3\u{1b}MSP", "Org3MSP\n", "\u{200f}Org3MSP"] {
        let mut params = params();
        params.participants[2] = name.parse().unwrap();
        let answer = world.call(1, "propose", &[&serde_json::to_vec(&params).unwrap()]);
        assert_eq!(answer, Err(Code::BadInput), "{name:?}");
    }
    let words = "Ungültig: „Größe“ fehlt – 数据不符, می\u{200c}خواهم";
    world.call(1, "refuse", &[id.as_bytes(), words.as_bytes()]).unwrap();
}

#[test]
fn a_record_is_written_once() {
    let mut world = World::default();
    let id = running(&mut world);
    for org in 1..=3 {
        world.post(org, &id, 0, &setup()).unwrap();
    }
    world.post(1, &id, 0, &commitment(1)).unwrap();
    assert_eq!(world.post(1, &id, 0, &commitment(1)), Err(Code::AlreadySame));
    assert_eq!(world.post(1, &id, 0, &commitment(2)), Err(Code::AlreadyDifferent));
    let args: [&[u8]; 5] = [id.as_bytes(), b"seed-commit", b"0", b"0", b"0"];
    let record = Record::from_json(&world.call(2, "record", &args).unwrap()).unwrap();
    assert_eq!((record.slot.party, record.msp_id.as_str(), record.body), (0, "Org1MSP", commitment(1)));
}

#[test]
fn arguments_that_do_not_fit_are_named() {
    let mut world = World::default();
    let id = running(&mut world);
    assert_eq!(world.post(1, &id, 1, &setup()), Err(Code::BadInput));
    assert_eq!(world.call(1, "post", &[id.as_bytes(), b"setup", b"0", b"0", b"{}"]), Err(Code::BadInput));
    assert_eq!(world.call(1, "post", &[id.as_bytes(), b"setup"]), Err(Code::BadInput));
    assert_eq!(world.call(1, "accept", &[b"xyz"]), Err(Code::BadInput));
    assert_eq!(world.call(1, "accept", &["0".repeat(64).as_bytes()]), Err(Code::UnknownJob));
    assert_eq!(world.call(1, "launch", &[]), Err(Code::BadInput));
    let mut wrong = params();
    wrong.contract = "0.9".into();
    assert_eq!(world.call(1, "propose", &[&serde_json::to_vec(&wrong).unwrap()]), Err(Code::WrongVersion));
    let unknown =
        String::from_utf8(serde_json::to_vec(&params()).unwrap()).unwrap().replacen('{', "{\"x\":1,", 1);
    assert_eq!(world.call(1, "propose", &[unknown.as_bytes()]), Err(Code::BadInput));
}

#[test]
fn an_ended_job_takes_nothing_more() {
    let mut world = World::default();
    let id = running(&mut world);
    world.call(3, "abort", &[id.as_bytes(), b"no more power"]).unwrap();
    assert_eq!(world.call(3, "abort", &[id.as_bytes(), b"no more power"]), Err(Code::AlreadySame));
    assert_eq!(world.call(2, "abort", &[id.as_bytes(), b"other"]), Err(Code::Ended));
    assert_eq!(world.post(1, &id, 0, &setup()), Err(Code::Ended));
    let view: JobView = serde_json::from_slice(&world.call(1, "job", &[id.as_bytes()]).unwrap()).unwrap();
    assert_eq!(view.ending.unwrap().outcome, Outcome::Aborted("no more power".into()));
}

/// Whoever repeats a submission whose fate it does not know learns that it succeeded, whatever came after.
#[test]
fn what_is_there_stays_a_success_after_the_end() {
    let mut world = World::default();
    let id = running(&mut world);
    world.post(1, &id, 0, &setup()).unwrap();
    world.call(3, "abort", &[id.as_bytes(), b"no more power"]).unwrap();
    assert_eq!(world.post(1, &id, 0, &setup()), Err(Code::AlreadySame));
    assert_eq!(world.call(1, "accept", &[id.as_bytes()]), Err(Code::AlreadySame));
    assert_eq!(world.post(2, &id, 0, &setup()), Err(Code::Ended));
}

#[test]
fn a_proposal_can_be_refused_until_it_is_accepted() {
    let mut world = World::default();
    let id = proposed(&mut world);
    world.call(1, "accept", &[id.as_bytes()]).unwrap();
    assert_eq!(world.call(1, "refuse", &[id.as_bytes(), b"changed my mind"]), Err(Code::BadInput));
    world.call(3, "refuse", &[id.as_bytes(), b"too few instances"]).unwrap();
    assert_eq!(world.call(2, "accept", &[id.as_bytes()]), Err(Code::Ended));
}

#[test]
fn a_job_finishes_with_equal_results_only() {
    for (third, want) in [('b', Err(Code::Disagreement)), ('a', Ok(()))] {
        let mut world = World::default();
        let id = running(&mut world);
        assert_eq!(world.call(1, "finish", &[id.as_bytes()]), Err(Code::NotYet));
        let job_id = JobId(id.parse().unwrap());
        for (party, digit) in ['a', 'a', third].into_iter().enumerate() {
            let body =
                Body::Result(records::ResultDigests { indicators: digest(digit), model: [0x00; 32].into() });
            let slot =
                records::Slot { phase: records::Phase::Result, round: 0, party: party as u32, chunk: 0 };
            let msp_id = format!("Org{}MSP", party + 1).parse().unwrap();
            let record = Record {
                version: VERSION,
                job: job_id.clone(),
                slot,
                msp_id,
                body,
                contributors: Vec::new(),
            };
            world.committed.insert(key::record(&job_id, &slot), record.to_json());
        }
        assert_eq!(world.call(1, "finish", &[id.as_bytes()]).map(drop), want);
        if want.is_ok() {
            assert_eq!(world.call(2, "finish", &[id.as_bytes()]), Err(Code::AlreadySame));
        }
    }
}

/// The key of a finished generation of three members, quorum 2, 2,048 bits.
fn threshold_key(digit: u8) -> ThresholdKey {
    ThresholdKey {
        n: Bytes(vec![digit; 256]),
        quorum: 2,
        collusion_bound: 1,
        theta: Bytes(vec![1; 256]),
        base: Bytes(vec![1; 512]),
        verification: vec![Bytes(vec![1; 512]); 3],
    }
}

/// Proposes a job of these organisations, lets all accept, and puts the records of its last phase there.
fn finished(
    world: &mut World,
    orgs: [u32; 3],
    purpose: &str,
    nonce: u8,
    key: &ThresholdKey,
) -> Result<(), Code> {
    let params = JobParams {
        version: VERSION,
        contract: CONTRACT_VERSION.into(),
        participants: orgs.map(|org| format!("Org{org}MSP").parse().unwrap()).into(),
        kind: Kind::KeyGeneration(KeyGeneration {
            purpose: purpose.into(),
            key_bits: 2048,
            insecure_key_bits: false,
            quorum: 2,
            against: Collusion::Minority,
            candidates: 512,
        }),
        nonce: Bytes(vec![nonce; 16]),
        deadlines: None,
    };
    let id = params.id();
    world.call(orgs[0], "propose", &[&serde_json::to_vec(&params).unwrap()]).unwrap();
    for (party, org) in (0..).zip(orgs) {
        world.call(org, "accept", &[id.to_string().as_bytes()]).unwrap();
        let slot = records::Slot { phase: Phase::Key, round: 0, party, chunk: 0 };
        let (msp_id, body) = (format!("Org{org}MSP").parse().unwrap(), Body::Key(key.clone()));
        let record =
            Record { version: VERSION, job: id.clone(), slot, msp_id, body, contributors: Vec::new() };
        world.committed.insert(key::record(&id, &slot), record.to_json());
    }
    world.call(orgs[0], "finish", &[id.to_string().as_bytes()]).map(drop)
}

#[test]
fn a_key_is_for_its_members_and_purpose_only() {
    let mut world = World::default();
    let key = threshold_key(3);
    let fingerprint = key.fingerprint();
    assert_eq!(world.call(5, "key", &[fingerprint.to_string().as_bytes()]), Err(Code::UnknownKey));
    // Others who have seen the public key, and enter it first, take nothing from those who made it.
    finished(&mut world, [4, 5, 6], "retrieval", 2, &key).unwrap();
    finished(&mut world, [1, 2, 3], "training", 1, &key).unwrap();
    let entries: Vec<KeyEntry> =
        serde_json::from_slice(&world.call(5, "key", &[fingerprint.to_string().as_bytes()]).unwrap())
            .unwrap();
    let entry = entries.iter().find(|entry| entry.members[0] == "Org1MSP").unwrap();
    assert_eq!((entry.members.len(), entry.purpose.as_str(), entry.quorum), (3, "training", 2));
    assert_eq!(entries.len(), 2);
    finished(&mut world, [4, 5, 6], "retrieval", 3, &threshold_key(5)).unwrap();
    let all: Page<KeyEntry> = serde_json::from_slice(&world.call(5, "keys", &[b"2", b""]).unwrap()).unwrap();
    let bookmark = all.bookmark.as_bytes();
    let rest: Page<KeyEntry> =
        serde_json::from_slice(&world.call(5, "keys", &[b"2", bookmark]).unwrap()).unwrap();
    assert_eq!((all.entries.len(), rest.entries.len(), rest.bookmark.as_str()), (2, 1, ""));

    let mut training = params();
    training.participants = (1..=3).map(|org| format!("Org{org}MSP").parse().unwrap()).collect();
    let mut propose = |key: &ThresholdKey, orgs: [u32; 3], quorum| {
        let mut params = training.clone();
        params.participants = orgs.map(|org| format!("Org{org}MSP").parse().unwrap()).into();
        let training = params.training_mut();
        (training.key, training.quorum) = (Some(key.fingerprint()), quorum);
        training.key_bits = 2048;
        world.call(orgs[0], "propose", &[&serde_json::to_vec(&params).unwrap()]).map(drop)
    };
    assert_eq!(propose(&key, [1, 2, 3], 2), Ok(()));
    assert_eq!(propose(&key, [1, 2, 3], 3), Err(Code::BadInput));
    assert_eq!(propose(&key, [2, 1, 3], 2), Err(Code::BadInput));
    assert_eq!(propose(&key, [7, 8, 9], 2), Err(Code::UnknownKey), "none of its members");
    assert_eq!(propose(&threshold_key(5), [4, 5, 6], 2), Err(Code::BadInput), "it is for retrieval");
    assert_eq!(propose(&threshold_key(7), [1, 2, 3], 2), Err(Code::UnknownKey));

    let mut refresh = |dealers: [(u32, u32); 2]| {
        let dealers = dealers.map(|(party, member)| Dealer { party, member }).into();
        let kind = Kind::KeyRefresh(KeyRefresh {
            key: fingerprint,
            purpose: "training".into(),
            key_bits: 2048,
            insecure_key_bits: false,
            old_parties: 3,
            share_bits: 4300,
            dealers,
            members: vec![0, 1, 2],
            quorum: 2,
        });
        let params = JobParams { kind, ..training.clone() };
        world.call(1, "propose", &[&serde_json::to_vec(&params).unwrap()]).map(drop)
    };
    assert_eq!(refresh([(0, 1), (1, 0)]), Err(Code::BadInput), "each deals with its own share");
    assert_eq!(refresh([(0, 0), (1, 1)]), Ok(()));
}

/// Puts a record there as if it had been posted.
fn put(world: &mut World, id: &JobId, phase: Phase, party: u32, body: Body) {
    let slot = records::Slot { phase, round: 0, party, chunk: 0 };
    let msp_id = format!("Org{}MSP", party + 1).parse().unwrap();
    let record = Record { version: VERSION, job: id.clone(), slot, msp_id, body, contributors: Vec::new() };
    world.committed.insert(key::record(id, &slot), record.to_json());
}

/// Lets three organisations train with these parameters under a key, and keep parts with these digests.
fn trained(world: &mut World, training: &JobParams, key: &ThresholdKey, digests: [char; 3]) {
    let id = training.id();
    world.call(1, "propose", &[&serde_json::to_vec(training).unwrap()]).unwrap();
    for (party, digit) in (0..3).zip(digests) {
        world.call(party + 1, "accept", &[id.to_string().as_bytes()]).unwrap();
        let data =
            DataDigest { instances: 10, features: 1, ids: [0x00; 32].into(), labels: [0x00; 32].into() };
        let result = records::ResultDigests { indicators: [0x00; 32].into(), model: [0x00; 32].into() };
        put(world, &id, Phase::Setup, party, Body::Setup(Setup { key: key.clone(), data }));
        let model = records::Model { weights: None, digest: digest(digit) };
        put(world, &id, Phase::Model, party, Body::Model(model));
        put(world, &id, Phase::Result, party, Body::Result(result));
    }
    world.call(1, "finish", &[id.to_string().as_bytes()]).unwrap();
}

#[test]
fn predictions_are_with_the_parts_that_a_finished_training_named() {
    let mut world = World::default();
    let mut training = params();
    training.training_mut().model = Publication::Split;
    let id = training.id();
    let predict = |digests: [char; 3], orgs: [u32; 3]| {
        let digests = digests.map(digest).into();
        let mut training = training.clone();
        let kind =
            Kind::VerticalPredict(VerticalPredict::after(id.clone(), training.training_mut(), digests, 7));
        let participants = orgs.map(|org| format!("Org{org}MSP").parse().unwrap()).into();
        serde_json::to_vec(&JobParams { participants, kind, ..training }).unwrap()
    };
    let good = predict(['a', 'b', 'c'], [1, 2, 3]);
    assert_eq!(world.call(1, "propose", &[&good]), Err(Code::UnknownJob));
    let mut unfinished = world.clone();
    unfinished.call(1, "propose", &[&serde_json::to_vec(&training).unwrap()]).unwrap();
    assert_eq!(unfinished.call(1, "propose", &[&good]), Err(Code::BadInput), "the training has not finished");
    trained(&mut world, &training, &threshold_key(3), ['a', 'b', 'c']);
    assert_eq!(world.call(1, "propose", &[&predict(['a', 'c', 'b'], [1, 2, 3])]), Err(Code::BadInput));
    assert_eq!(world.call(1, "propose", &[&predict(['a', 'b', 'c'], [2, 1, 3])]), Err(Code::BadInput));
    assert_eq!(world.call(4, "propose", &[&good]), Err(Code::WrongCaller));
    world.call(1, "propose", &[&good]).unwrap();

    // The job of the predictions itself was no training.
    let own = serde_json::from_slice::<JobParams>(&good).unwrap().id();
    let job = String::from_utf8(good).unwrap().replace(&id.to_string(), &own.to_string());
    assert_eq!(world.call(1, "propose", &[job.as_bytes()]), Err(Code::BadInput));
}

/// Predictions under other keys than their training's would open under these what was hidden under that: a key of the same
/// members that was made against fewer, or that fewer open.
#[test]
fn predictions_are_under_the_key_of_their_training_or_a_refresh_of_it() {
    let mut world = World::default();
    // N tells whose refresh a key is, θ tells keys apart.
    let key = |n: u8, theta: u8, collusion_bound| ThresholdKey {
        theta: Bytes(vec![theta; 256]),
        collusion_bound,
        ..threshold_key(n)
    };
    let own = key(3, 1, 1);
    let named = |key: &ThresholdKey| Some(key.fingerprint());
    let (refreshed, weaker, other) = (key(3, 2, 1), key(3, 3, 0), key(5, 1, 1));
    for (nonce, key) in (1..).zip([&own, &refreshed, &weaker, &other]) {
        finished(&mut world, [1, 2, 3], "training", nonce, key).unwrap();
    }
    // Known to others, who could enter it as theirs.
    let foreign = key(3, 4, 1);
    finished(&mut world, [4, 5, 6], "training", 9, &foreign).unwrap();

    let mut training = params();
    let trained_with = training.training_mut();
    (trained_with.model, trained_with.quorum, trained_with.key_bits) = (Publication::Split, 2, 2048);
    let mut dealt = training.clone();
    dealt.nonce = Bytes(vec![8; 16]);
    training.training_mut().key = named(&own);
    trained(&mut world, &training, &own, ['a', 'b', 'c']);
    trained(&mut world, &dealt, &own, ['a', 'b', 'c']);

    let propose = |world: &mut World, of: &JobParams, key: Option<Fingerprint>, quorum| {
        let digests = ['a', 'b', 'c'].map(digest).into();
        let after = VerticalPredict::after(of.id(), of.training(), digests, 7);
        let kind = Kind::VerticalPredict(VerticalPredict { key, quorum, ..after });
        let params = JobParams { kind, nonce: Bytes(vec![7; 16]), ..of.clone() };
        let json = serde_json::to_vec(&params).unwrap();
        let answer = world.try_as(&caller(1, "a"), "propose", &[&json]);
        answer.map(|_| params.id()).map_err(|refusal| refusal.detail)
    };
    for of in [&training, &dealt] {
        for good in [&own, &refreshed] {
            propose(&mut world.clone(), of, named(good), 2).unwrap();
        }
        for (key, says) in [
            (&other, "neither the training's nor a refresh"),
            (&weaker, "its collusion_bound is 0, lower than that of the training's key, 1"),
            (&foreign, "was negotiated on this ledger by these participants"),
        ] {
            let refused = propose(&mut world, of, named(key), 2).unwrap_err();
            assert!(refused.contains(says), "{refused}");
        }
    }
    let refused = propose(&mut world, &training, None, 2).unwrap_err();
    assert!(refused.contains("key: the training's is"), "{refused}");

    // A key that was dealt is seen when it is used.
    let id = propose(&mut world, &dealt, None, 2).unwrap();
    (1..=3).for_each(|org| drop(world.call(org, "accept", &[id.to_string().as_bytes()]).unwrap()));
    let id = id.to_string();
    let mut post = |org, key: &ThresholdKey| {
        let data =
            DataDigest { instances: 7, features: 1, ids: [0x00; 32].into(), labels: [0x00; 32].into() };
        let body = serde_json::to_vec(&Body::Setup(Setup { key: key.clone(), data })).unwrap();
        let args: [&[u8]; 5] = [id.as_bytes(), b"setup", b"0", b"0", &body];
        world.try_as(&caller(org, "a"), "post", &args).map(drop).map_err(|refusal| refusal.detail)
    };
    assert!(post(1, &other).unwrap_err().contains("neither the training's"));
    assert!(post(1, &weaker).unwrap_err().contains("collusion_bound"));
    assert_eq!((post(1, &own), post(2, &own), post(3, &refreshed)), (Ok(()), Ok(()), Ok(())));
}

#[test]
fn predictions_take_no_fewer_members_than_their_training() {
    let mut world = World::default();
    let mut training = params();
    training.training_mut().model = Publication::Split;
    training.training_mut().key_bits = 2048;
    let key = ThresholdKey { quorum: 3, ..threshold_key(3) };
    trained(&mut world, &training, &key, ['a', 'b', 'c']);
    let digests = ['a', 'b', 'c'].map(digest).into();
    let after = VerticalPredict::after(training.id(), training.training(), digests, 7);
    let kind = Kind::VerticalPredict(VerticalPredict { quorum: 2, ..after });
    let json = serde_json::to_vec(&JobParams { kind, ..training }).unwrap();
    let refused = world.try_as(&caller(1, "a"), "propose", &[&json]).unwrap_err();
    assert!(refused.detail.contains("quorum: 2 is lower than the training's 3"), "{refused}");
}

mod foreign_bytes {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn never_panic(
            function in prop::sample::select(vec!["propose", "accept", "refuse", "post", "finish", "abort", "job", "record", "key", "probe"]),
            args in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..6),
            own_job in any::<bool>(),
        ) {
            let mut world = World::default();
            let id = running(&mut world);
            let mut args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
            if own_job && !args.is_empty() {
                args[0] = id.as_bytes();
            }
            let _ = world.call(1, function, &args);
        }
    }
}

/// What was proposed under an older contract is run to its end by this one; nothing new is proposed under it.
#[test]
fn jobs_of_an_older_contract_are_finished() {
    let mut world = World::default();
    let params = JobParams { contract: "1.0".into(), ..params() };
    assert_eq!(world.call(1, "propose", &[&serde_json::to_vec(&params).unwrap()]), Err(Code::WrongVersion));
    let mut put = |contract: &str| {
        let params = JobParams { contract: contract.into(), ..params.clone() };
        let job = Job {
            version: VERSION,
            id: params.id(),
            params,
            proposer: "Org1MSP".parse().unwrap(),
            proposed: 1_000,
        };
        world.committed.insert(key::job(&job.id), serde_json::to_vec(&job).unwrap());
        job.id.to_string()
    };
    let (older, newer) = (put("1.0"), put("99"));
    for org in 1..=3 {
        world.call(org, "accept", &[older.as_bytes()]).unwrap();
    }
    world.post(1, &older, 0, &setup()).unwrap();
    assert_eq!(world.call(1, "accept", &[newer.as_bytes()]), Err(Code::WrongVersion));
    assert_eq!(world.post(1, &newer, 0, &setup()), Err(Code::WrongVersion));
}
