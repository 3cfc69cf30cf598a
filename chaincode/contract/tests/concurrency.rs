//! Transactions that are endorsed at the same time: which of them get in each other's way.

mod world;

use records::{Bytes, CONTRACT_VERSION, Deadlines, JobParams, VERSION};
use world::{World, caller, setup};

fn params(nonce: u8) -> JobParams {
    JobParams {
        version: VERSION,
        contract: CONTRACT_VERSION.into(),
        participants: (1..=3).map(|org| format!("Org{org}MSP").parse().unwrap()).collect(),
        kind: world::training(),
        nonce: Bytes(vec![nonce; 16]),
        deadlines: Some(Deadlines { accept: 600, step: 600 }),
    }
}

/// A job that these organisations have accepted.
fn accepted(orgs: &[u32]) -> (World, String) {
    let mut world = World::default();
    let params = params(1);
    world.call(1, "jobs:propose", &[&serde_json::to_vec(&params).unwrap()]).unwrap();
    let id = params.id().to_string();
    for org in orgs {
        world.call(*org, "jobs:accept", &[id.as_bytes()]).unwrap();
    }
    (world, id)
}

/// Runs the calls of some organisations on the same state, then commits them in this order; which are valid.
fn together(world: &mut World, calls: &[(u32, &str, &[&[u8]])]) -> Vec<bool> {
    let run = |(org, function, args): &(u32, &str, &[&[u8]])| {
        world.simulate(&caller(*org, "a"), function, args).unwrap_or_else(|e| panic!("{function}: {e}"))
    };
    let made: Vec<_> = calls.iter().map(run).collect();
    made.into_iter().map(|made| world.commit(made)).collect()
}

#[test]
fn answers_and_records_of_different_members_do_not_meet() {
    let (mut world, id) = accepted(&[]);
    let args: &[&[u8]] = &[id.as_bytes()];
    let answers = [1, 2, 3].map(|org| (org, "jobs:accept", args));
    assert_eq!(together(&mut world, &answers), [true; 3]);
    let setup = serde_json::to_vec(&setup()).unwrap();
    let args: &[&[u8]] = &[id.as_bytes(), b"setup", b"0", b"0", &setup];
    let records = [1, 2, 3].map(|org| (org, "jobs:post", args));
    assert_eq!(together(&mut world, &records), [true; 3]);
    assert_eq!(together(&mut world, &[1, 2, 3].map(|org| (org, "jobs:clock", &[][..]))), [true; 3]);
}

#[test]
fn what_contradicts_is_valid_once() {
    let (mut world, id) = accepted(&[1, 2, 3]);
    let setup = serde_json::to_vec(&setup()).unwrap();
    let post: &[&[u8]] = &[id.as_bytes(), b"setup", b"0", b"0", &setup];
    assert_eq!(together(&mut world, &[(1, "jobs:post", post), (1, "jobs:post", post)]), [true, false]);
    let end: &[&[u8]] = &[id.as_bytes(), b"enough"];
    // After the end comes no record, and a job ends once.
    let calls = [(2, "jobs:abort", end), (3, "jobs:abort", end), (3, "jobs:post", post)];
    assert_eq!(together(&mut world, &calls), [true, false, false]);
}

#[test]
fn a_clock_that_is_written_meanwhile_holds_up_an_ending() {
    let (mut world, id) = accepted(&[1, 2]);
    world.now += 1_000;
    for org in [1, 2] {
        world.call(org, "jobs:clock", &[]).unwrap();
    }
    let job: &[&[u8]] = &[id.as_bytes()];
    world.now += 10;
    let calls = [(3, "jobs:clock", &[][..]), (1, "jobs:expire", job)];
    assert_eq!(together(&mut world, &calls), [true, false]);
    assert_eq!(together(&mut world, &[(1, "jobs:expire", job)]), [true]);
}

#[test]
fn names_with_and_without_a_domain_are_the_same_functions() {
    let (mut world, id) = accepted(&[1]);
    let of = |world: &mut World, function: &str, args: &[&[u8]]| world.call(2, function, args);
    let job: &[&[u8]] = &[id.as_bytes()];
    for (named, bare, args) in [
        ("jobs:get", "job", job),
        ("jobs:list", "jobs", &[]),
        ("keys:list", "keys", &[]),
        ("jobs:waiting", "waiting", job),
    ] {
        assert_eq!(of(&mut world, named, args), of(&mut world, bare, args), "{named}");
    }
    assert_eq!(of(&mut world, "keys:post", job), Err(records::Code::BadInput));
}
