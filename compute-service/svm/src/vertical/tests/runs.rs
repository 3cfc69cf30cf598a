//! Undisturbed jobs give what the plaintext reference gives.

use super::*;
use crate::vertical::Output;
use num_bigint::BigInt;
use protocol::{Committed, Protocol, Role, Status};
use records::Phase;

/// How many indicators and weights differ from the reference on the unsplit table.
fn differences(output: &Output, reference: &Reference) -> usize {
    let weights: Vec<BigInt> = output.weights.iter().flatten().flatten().map(|&w| BigInt::from(w)).collect();
    assert_eq!(weights.len(), reference.weights.len());
    let indicators = output.indicators.concat();
    let expected = reference.indicators.concat();
    assert_eq!(indicators.len(), expected.len());
    indicators.iter().zip(&expected).filter(|(a, b)| a != b).count()
        + weights.iter().zip(&reference.weights).filter(|(a, b)| a != b).count()
}

fn check(shape: Shape, seed: u64) -> Trace<Output> {
    let bench = Bench::new(shape);
    let trace = bench.run(seed);
    let output = &trace.outputs[0];
    assert!(trace.outputs.iter().all(|other| other == output), "all participants end with one output");
    let reference = bench.reference(&output.schedule);
    assert_eq!(differences(output, &reference), 0);
    let visits = output.indicators.concat();
    assert_eq!(visits.len(), (shape.iterations * shape.batch) as usize);
    trace
}

#[test]
fn blinded_n3() {
    let trace = check(Shape { iterations: 8, ..BLINDED }, 1);
    let visits = trace.outputs[0].indicators.concat();
    assert!(visits.contains(&true) && visits.contains(&false), "both indicators occur");
    assert!(trace.outputs[0].most_visits() > 1);
}

#[test]
fn paper_n3() {
    let trace = check(Shape { iterations: 8, ..PAPER }, 2);
    let visits = trace.outputs[0].indicators.concat();
    assert!(visits.contains(&true) && visits.contains(&false), "both indicators occur");
}

#[test]
fn tiny_n2_and_n5() {
    for judge in [Judge::Blinded, Judge::Paper] {
        for parties in [2, 5] {
            check(Shape { judge, parties, iterations: 2, batch: 2, ..BLINDED }, 3);
        }
    }
}

#[test]
fn one_instance_an_iteration() {
    check(Shape { iterations: 12, batch: 1, ..BLINDED }, 4);
    check(Shape { iterations: 12, batch: 1, ..PAPER }, 4);
}

/// A chunk of the preparation holds 128 comparisons.
#[test]
fn several_chunks() {
    check(Shape { iterations: 1, batch: 130, ..BLINDED }, 5);
}

/// With a quorum below n the partial decryptions of any two of three are enough.
#[test]
fn quorum_t2n3() {
    let trace = check(Shape { quorum: Some(2), iterations: 2, ..BLINDED }, 6);
    let built_on = |phase| trace.records.iter().filter(move |c| c.record.slot.phase == phase);
    assert!(built_on(Phase::Model).all(|c| c.record.contributors.len() == 2));
    let later = built_on(Phase::Iv).filter(|c| c.record.slot.round > 0);
    assert!(later.clone().count() > 0 && later.clone().all(|c| c.record.contributors.len() == 2));
}

/// Two of five never decrypt, and nobody waits for them.
#[test]
fn absent_members_do_not_stop_the_decryption() {
    let trace = check(Shape { parties: 5, quorum: Some(3), iterations: 2, ..BLINDED }, 9);
    let contributors = |round: u32| {
        let builds = |c: &&Committed| match c.record.slot.phase {
            Phase::Iv => c.record.slot.round == round + 1,
            phase => phase == Phase::Model && round == 1,
        };
        trace.records.iter().find(builds).unwrap().record.contributors.clone()
    };
    let bench = Bench::new(Shape { parties: 5, quorum: Some(3), iterations: 2, ..BLINDED });
    let mut observer = VerticalSvm::start(&bench.job, Role::Observer).unwrap();
    let mut left_out = 0;
    for committed in &trace.records {
        let slot = committed.record.slot;
        if slot.phase == Phase::Dv && !contributors(slot.round).contains(&slot.party) {
            left_out += 1;
        } else {
            observer.apply(committed).unwrap();
        }
    }
    assert!(left_out <= 4 && contributors(0).len() == 3);
    assert_eq!(observer.status(), Status::Done(trace.outputs[0].clone()));
}

#[test]
fn full_size_n3() {
    check(Shape { key_bits: 2048, iterations: 2, batch: 1, ..BLINDED }, 6);
}

#[test]
fn the_comparison_notices_one_flipped_indicator() {
    let bench = Bench::new(BLINDED);
    let mut output = bench.run(7).outputs.remove(0);
    let reference = bench.reference(&output.schedule);
    assert_eq!(differences(&output, &reference), 0);
    let flipped = &mut output.indicators[2][1];
    *flipped = !*flipped;
    assert_eq!(differences(&output, &reference), 1);
}

#[test]
fn a_split_model_stays_at_home() {
    let bench = Bench::new(Shape { model: Publication::Split, ..BLINDED });
    let trace = bench.run(8);
    let output = &trace.outputs[0];
    assert_eq!(output.weights, None);
    let reference = bench.reference(&output.schedule);
    let parts: Vec<i64> = bench
        .privates()
        .iter()
        .flat_map(|private| private.weights(&bench.job.params, output).unwrap())
        .collect();
    assert_eq!(parts.into_iter().map(BigInt::from).collect::<Vec<_>>(), reference.weights);
}

#[test]
fn any_order_gives_the_same_records() {
    let bench = Bench::new(Shape { iterations: 3, ..BLINDED });
    let run = |seed| bench.run(seed);
    let first = run(0);
    for seed in 1..6 {
        let other = run(seed);
        let orders = |trace: &Trace<Output>| trace.records.iter().map(|c| c.record.slot).collect::<Vec<_>>();
        assert_ne!(orders(&other), orders(&first), "the order depends on the seed");
        assert_eq!(other.outputs[0].schedule, first.outputs[0].schedule);
        assert_eq!(other.outputs[0], first.outputs[0], "the output does not depend on the order");
    }
}

#[test]
fn an_observer_comes_to_the_same_output() {
    for shape in [BLINDED, PAPER] {
        let bench = Bench::new(shape);
        let trace = bench.run(9);
        let mut observer = VerticalSvm::start(&bench.job, Role::Observer).unwrap();
        for committed in &trace.records {
            assert!(observer.pending().is_empty(), "an observer owes nothing");
            assert!(matches!(observer.status(), Status::Running { waiting_for } if !waiting_for.is_empty()));
            observer.apply(committed).unwrap();
            observer.apply(committed).unwrap();
        }
        let (folded, all) = observer.progress();
        assert_eq!((folded, all), (trace.records.len(), trace.records.len()));
        assert_eq!(observer.status(), Status::Done(trace.outputs[0].clone()));
        assert_eq!(observer.iterations(), shape.iterations);
    }
}

/// A node that restarts folds the ledger from the beginning and makes the same bytes again.
#[test]
fn a_restarted_member_repeats_its_records() {
    repeats(Shape { iterations: 2, batch: 2, ..BLINDED });
    repeats(Shape { iterations: 2, batch: 2, ..PAPER });
}

/// Where a member is at the noise of one chunk and at the chain of another.
#[test]
fn a_restarted_member_repeats_its_chunks() {
    repeats(Shape { iterations: 1, batch: 130, ..BLINDED });
}

fn repeats(shape: Shape) {
    let bench = Bench::new(shape);
    let trace = bench.run(10);
    let secret = JobSecret::new([77; 32]);
    let private = bench.private(1);
    let make = |upto: usize, slot| {
        let mut member = VerticalSvm::start(&bench.job, Role::Member(1)).unwrap();
        trace.records[..upto].iter().for_each(|c| member.apply(c).unwrap());
        let inputs = member.input_digest(slot, &private);
        let mut rng = protocol::StepRng::new(&secret, &bench.job.id, slot, &inputs);
        (inputs, member.produce(slot, &private, &mut rng).unwrap())
    };
    for (at, committed) in trace.records.iter().enumerate().filter(|(_, c)| c.record.slot.party == 1) {
        let slot = committed.record.slot;
        // As early as the rules allow, and as late as it was.
        let needs = records::Rules::new(&bench.job.params).needs(&slot, &[]);
        let earliest =
            trace.records.iter().rposition(|c| needs.contains(&c.record.slot)).map_or(0, |i| i + 1);
        assert_eq!(make(earliest, slot), make(at, slot), "{slot}");
    }
}
