//! What a comparison costs a participant in processor time, phase by phase: a whole job in memory.
//!
//! `cargo bench -p svm --bench vertical -- [participants] [iterations] [batch] [key bits] [blinded|paper]`

use dataset::Label;
use protocol::{JobSecret, Protocol, Role, StepRng, simulate};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use records::{Bytes, Decimal, Job, JobParams, Judge, Kind, Phase, Publication};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use svm::fixed::Features;
use svm::vertical::{Private, VerticalSvm};

const INSTANCES: u32 = 500;
const FEATURES: usize = 4;
const SEED: u64 = 1;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let number = |i: usize, default: u32| arguments.get(i).map_or(default, |a| a.parse().expect("a number"));
    let (parties, iterations, batch, key_bits) = (number(0, 3), number(1, 4), number(2, 64), number(3, 2048));
    let paper = arguments.get(4).is_some_and(|judge| judge == "paper");
    let training = records::VerticalSvm {
        judge: if paper { Judge::Paper } else { Judge::Blinded },
        instances: INSTANCES,
        iterations,
        batch,
        learning_rate: Decimal::from_raw(100_000_000 / i64::from(batch)),
        lambda: Decimal::default(),
        c: "1".parse().expect("a decimal"),
        key: None,
        key_bits,
        insecure_key_bits: true,
        quorum: parties,
        margin_bits: 42,
        weak_blinding: true,
        model: Publication::Published,
        classes: None,
    };
    let params = JobParams {
        version: records::VERSION,
        contract: "1.0".into(),
        participants: (1..=parties).map(|i| format!("Org{i}MSP").parse().unwrap()).collect(),
        kind: Kind::VerticalSvm(training),
        nonce: Bytes(vec![0; 16]),
        deadlines: None,
    };
    let job = Job {
        version: records::VERSION,
        id: params.id(),
        params,
        proposer: "Org1MSP".parse().unwrap(),
        proposed: 0,
    };
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let (_, shares) = paillier::deal(parties, parties, key_bits.into(), "bench", &mut rng).expect("a key");
    let labels: Vec<Label> = (0..INSTANCES).map(|i| Label::of_sign(i % 2 == 0)).collect();
    let ids: Vec<String> = (0..INSTANCES).map(|i| format!("{i:06}")).collect();
    let privates: Vec<Private> = shares
        .into_iter()
        .map(|share| {
            let mut row = |label: &Label| {
                let value = |_| (rng.next_u32() as i32 >> 20) + 500 * label.sign() as i32;
                (0..FEATURES).map(value).collect()
            };
            let features = Features::from_rows(FEATURES, &labels.iter().map(&mut row).collect::<Vec<_>>());
            let secret = JobSecret::new([share.index() as u8; 32]);
            Private::new(&job.params, share, &ids, features, labels.clone(), &secret).expect("fitting data")
        })
        .collect();

    let start = Instant::now();
    let trace = simulate::<VerticalSvm>(&job, &privates, SEED, |_, body| body).expect("an honest run");
    let comparisons = iterations * batch;
    println!(
        "{parties} participants, {key_bits} bits, {iterations} × {batch}: {:.1} s for all of them, {} records",
        start.elapsed().as_secs_f64(),
        trace.records.len()
    );

    // Every member's side once more. It makes the same records, so that it knows its own when they come.
    let mut times: BTreeMap<Phase, [Duration; 2]> = BTreeMap::new();
    for (me, private) in (0..).zip(&privates) {
        let mut member = VerticalSvm::start(&job, Role::Member(me)).expect("valid parameters");
        for committed in &trace.records {
            let slot = committed.record.slot;
            let [make, fold] = times.entry(slot.phase).or_default();
            if slot.party == me {
                let inputs = member.input_digest(slot, private);
                let mut rng = StepRng::new(&simulated_secret(me), &job.id, slot, &inputs);
                let start = processor_time();
                member.produce(slot, private, &mut rng).expect("an owed record");
                *make += processor_time() - start;
            }
            let start = processor_time();
            member.apply(committed).expect("an honest record");
            *fold += processor_time() - start;
        }
    }
    let whole: Duration = times.values().flatten().sum();
    println!("processor time of all members: {:.2} s", whole.as_secs_f64());
    println!("µs per comparison and member      make      fold");
    for (phase, [make, fold]) in times {
        let each = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(comparisons * parties);
        println!("{:>28} {:>9.1} {:>9.1}", phase.as_str(), each(make), each(fold));
    }
}

/// The job secret that the simulator gives to a member.
fn simulated_secret(party: u32) -> JobSecret {
    let mut bytes = [party as u8; 32];
    bytes[..8].copy_from_slice(&SEED.to_be_bytes());
    JobSecret::new(bytes)
}

/// Of all threads.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
