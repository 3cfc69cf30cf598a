//! How many batches of candidates a negotiation by records takes, beside theory; `paillier`'s own test looks at each stage.

use key_generation::{Generation, Private};
use paillier::keygen::{Group, Multiplication, candidates::Plan};
use protocol::{JobSecret, simulate};
use records::{Bytes, Collusion, Job, JobParams, KeyGeneration, Kind};

const BITS: u32 = 256;
const BATCH: u32 = 32;

fn job(parties: u32, against: Collusion, turn: u32) -> Job {
    let kind = Kind::KeyGeneration(KeyGeneration {
        purpose: "training".into(),
        key_bits: BITS,
        insecure_key_bits: true,
        quorum: 2,
        against,
        candidates: BATCH,
    });
    let nonce = [&turn.to_be_bytes()[..], &[6; 12]].concat();
    let params = JobParams {
        version: records::VERSION,
        contract: "1.0".into(),
        participants: (1..=parties).map(|i| format!("Org{i}MSP").parse().unwrap()).collect(),
        kind,
        nonce: Bytes(nonce),
        deadlines: None,
    };
    Job {
        version: records::VERSION,
        id: params.id(),
        params,
        proposer: "Org1MSP".parse().unwrap(),
        proposed: 0,
    }
}

/// The number of keys is CONFAB_KEYS; all randomness is seeded, so that a number that passed does not fail by chance.
#[test]
fn negotiations_take_as_many_batches_as_theory_says() {
    let keys = std::env::var("CONFAB_KEYS").ok().and_then(|keys| keys.parse().ok()).unwrap_or(10);
    for (parties, against, multiplication) in [
        (2, Collusion::AllButOne, Multiplication::Pairwise),
        (3, Collusion::Minority, Multiplication::Minority),
    ] {
        let batches = (0..keys).map(|turn| {
            let private = |party: u32| {
                let mut secret = [turn as u8; 32];
                (secret[0], secret[1]) = (party as u8, (turn >> 8) as u8);
                Private { secret: JobSecret::new(secret), share: None }
            };
            let privates: Vec<Private> = (0..parties).map(private).collect();
            let job = job(parties, against, turn);
            let trace = simulate::<Generation>(&job, &privates, turn.into(), |_, body| body).unwrap();
            trace.outputs[0].candidates / u64::from(BATCH)
        });
        let batches = batches.sum::<u64>() as f64;
        let plan = Plan::new(Group::with(multiplication, parties, 0).unwrap(), BITS.into()).unwrap();
        let batch = 1.0 - (1.0 - plan.success_rate()).powi(BATCH as i32);
        let expected = f64::from(keys) / batch;
        let deviation = (batches - expected) / ((f64::from(keys) * (1.0 - batch)).sqrt() / batch);
        println!(
            "{parties} members: {keys} keys, {batches} batches (theory {expected:.0}, {deviation:+.1} σ)"
        );
        assert!(deviation.abs() < 4.0, "{parties} members: {batches} batches instead of {expected:.0}");
    }
}
