//! What the contract checks of a job that learns means: the key and who holds it, and the order of its records.

mod world;

use records::{
    Body, Bytes, Code, Contribution, Dv, JobParams, KeyEntry, Kind, Phase, Proof, ThresholdKey, VERSION,
    jobs::{Mean, STATISTICS},
    key,
};
use world::{World, caller};

const BITS: u32 = 512;

fn threshold_key() -> ThresholdKey {
    let long = Bytes(vec![3; (BITS / 4) as usize]);
    ThresholdKey {
        n: Bytes(vec![1; (BITS / 8) as usize]),
        quorum: 2,
        collusion_bound: 1,
        theta: Bytes(vec![2; (BITS / 8) as usize]),
        base: long.clone(),
        verification: vec![long; 3],
    }
}

fn params(change: impl FnOnce(&mut Mean)) -> JobParams {
    let mut mean = Mean {
        key: threshold_key().fingerprint(),
        key_bits: BITS,
        insecure_key_bits: true,
        quorum: 2,
        columns: ["age", "pulse", "sodium", "weight"].map(String::from).to_vec(),
        places: 2,
        value_bits: 40,
        max_rows: 1000,
        min_rows: 20,
        two_participants: false,
    };
    change(&mut mean);
    JobParams {
        version: VERSION,
        contract: records::CONTRACT_VERSION.into(),
        participants: (1..=3).map(|i| format!("Org{i}MSP").parse().unwrap()).collect(),
        kind: Kind::Mean(mean),
        nonce: Bytes(vec![7; 16]),
        deadlines: None,
    }
}

/// A ledger on which some organisations have negotiated the key.
fn with_key(purpose: &str, members: [&str; 3]) -> World {
    let mut world = World::default();
    let fingerprint = threshold_key().fingerprint();
    let job = records::JobId::from([13; 32]);
    let entry = KeyEntry {
        version: VERSION,
        fingerprint,
        job: job.clone(),
        purpose: purpose.into(),
        members: members.map(|member| member.parse().unwrap()).to_vec(),
        quorum: 2,
        collusion_bound: 1,
        bits: BITS,
        refreshes: None,
    };
    world.committed.insert(key::threshold_key(&fingerprint, &job), serde_json::to_vec(&entry).unwrap());
    world
}

const MEMBERS: [&str; 3] = ["Org1MSP", "Org2MSP", "Org3MSP"];

fn propose(world: &mut World, params: &JobParams) -> Result<(), String> {
    let json = serde_json::to_vec(params).unwrap();
    world.try_as(&caller(1, "a"), "propose", &[&json]).map(|_| ()).map_err(|refusal| refusal.to_string())
}

#[test]
fn the_key_is_one_for_statistics_and_the_participants_hold_it() {
    propose(&mut with_key(STATISTICS, MEMBERS), &params(|_| ())).unwrap();
    let refused = |world: &mut World, params: &JobParams, why: &str| {
        let reason = propose(world, params).unwrap_err();
        assert!(reason.contains(why), "{reason}");
    };
    refused(&mut World::default(), &params(|_| ()), "was negotiated on this ledger by these participants");
    let mut world = with_key("training", MEMBERS);
    refused(&mut world, &params(|_| ()), "it is for training, not for statistics");
    let mut world = with_key(STATISTICS, ["Org1MSP", "Org3MSP", "Org2MSP"]);
    refused(&mut world, &params(|_| ()), "in this order");
    let mut world = with_key(STATISTICS, MEMBERS);
    refused(&mut world, &params(|mean| mean.quorum = 3), "for 2 of");
    refused(&mut world, &params(|mean| mean.key_bits = 1024), "the key has 512 bits");
    refused(&mut world, &params(|mean| mean.min_rows = 5), "min_rows: below 10");
    let mut older = params(|_| ());
    older.contract = "0.9".into();
    refused(&mut world, &older, "0.9");
}

#[test]
fn the_sums_wait_for_the_number_of_rows() {
    let mut world = with_key(STATISTICS, MEMBERS);
    let params = params(|_| ());
    propose(&mut world, &params).unwrap();
    let id = params.id().to_string();
    for org in 1..=3 {
        world.call(org, "accept", &[id.as_bytes()]).unwrap();
    }
    let proof = || Proof { challenge: Bytes(vec![0; 16]), response: Bytes(vec![1; 100]) };
    let numbers = |count| vec![Bytes(vec![9; (BITS / 4) as usize]); count];
    let dv = |count| Body::Dv(Dv { dv: numbers(count), proof: proof() });
    let contribution = Body::Contribution(Contribution { ciphertexts: numbers(3), proof: proof() });
    let mut post = |org: u32, phase: Phase, round: u32, body: &Body, contributors: &[u32]| {
        let (round, body) = (round.to_string(), serde_json::to_vec(body).unwrap());
        let contributors = serde_json::to_vec(contributors).unwrap();
        let args: [&[u8]; 6] =
            [id.as_bytes(), phase.as_str().as_bytes(), round.as_bytes(), b"0", &body, &contributors];
        world.call(org, "post", &args).map(drop)
    };
    assert_eq!(post(1, Phase::Contribution, 0, &contribution, &[]), Err(Code::NotYet));
    for org in 1..=3 {
        post(org, Phase::Setup, 0, &Body::Key(threshold_key()), &[]).unwrap();
    }
    assert_eq!(post(1, Phase::Dv, 0, &dv(1), &[]), Err(Code::NotYet));
    for org in 1..=3 {
        post(org, Phase::Contribution, 0, &contribution, &[]).unwrap();
    }
    assert_eq!(post(1, Phase::Dv, 1, &dv(2), &[0, 2]), Err(Code::NotYet));
    assert_eq!(post(1, Phase::Dv, 0, &dv(3), &[]), Err(Code::BadInput));
    post(1, Phase::Dv, 0, &dv(1), &[]).unwrap();
    post(3, Phase::Dv, 0, &dv(1), &[]).unwrap();
    assert_eq!(post(2, Phase::Dv, 1, &dv(2), &[0, 1]), Err(Code::NotYet));
    post(2, Phase::Dv, 1, &dv(2), &[0, 2]).unwrap();
}
