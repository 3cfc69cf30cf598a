//! What it takes to make a threshold key that no one deals.

use super::median;
use crate::{
    error::{Result, input, system},
    participants::Participants,
    runner::{Runner, kind_name, temporary_folder},
};
use launcher::Kind;
use node::proposal;
use paillier::keygen::{self, Group, Multiplication, candidates::Plan};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use records::{Collusion, Deadlines, KeyGeneration, TRAINING};
use serde::Serialize;
use std::time::Instant;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Number of members.
    pub parties: u32,
    /// Bits of the modulus N.
    pub bits: u32,
    /// How many keys are made.
    pub repeat: u32,
    /// The ledger on which the members meet; in memory unless given.
    pub on: Option<Kind>,
    /// Against whom the key protects.
    pub against: Collusion,
}

/// TNO's distributed_keygen 4.3 for three parties in one process on the reference machine: bits and seconds
/// (`numbers.md`).
const PEER: [(u32, f64); 3] = [(256, 1.8), (512, 16.0), (1024, 202.0)];

/// The figures.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Layout version.
    pub version: u32,
    /// `memory`, `dev` or `fabric`.
    pub on: &'static str,
    /// Number of members.
    pub parties: u32,
    /// Bits of the modulus N.
    pub bits: u32,
    /// How many colluding members learn nothing of the key's factors.
    pub collusion_bound: u32,
    /// Candidates of one batch.
    pub batch: u32,
    /// Of each key, in order.
    pub seconds: Vec<f64>,
    /// The middle of them.
    pub median_seconds: f64,
    /// Candidates that were opened, of each key.
    pub candidates: Vec<u64>,
    /// Of all keys together.
    pub candidates_per_second: f64,
    /// Batches that all keys took together.
    pub batches: u64,
    /// Batches that theory expects for so many keys.
    pub expected_batches: f64,
    /// Its standard deviation.
    pub standard_deviation: f64,
    /// Bytes of records of all members, of each key; none in memory.
    pub bytes: Vec<u64>,
    /// TNO's published seconds for this size and three parties.
    pub tno_seconds: Option<f64>,
    /// Those over the median.
    pub ratio_to_tno: Option<f64>,
}

/// One key.
struct Made {
    seconds: f64,
    candidates: u64,
    bytes: u64,
}

/// Makes keys one after another.
///
/// # Errors
/// A size that is not supported, or a ledger that fails.
pub async fn measure(runner: &Runner<'_>, args: &Options) -> Result<Report> {
    let generation = proposal::key_generation(args.bits, args.bits < 2048, args.parties, args.against);
    let made = match args.on {
        None => in_memory(runner, args, &generation).await?,
        Some(ledger) => on_a_ledger(runner, args, ledger, &generation).await?,
    };
    let seconds: Vec<f64> = made.iter().map(|key| key.seconds).collect();
    let candidates: Vec<u64> = made.iter().map(|key| key.candidates).collect();
    let median_seconds = median(seconds.clone());
    let peer =
        PEER.iter().find(|(bits, _)| *bits == args.bits && args.parties == 3).map(|(_, seconds)| *seconds);
    let expected = expected(args, &generation)?;
    Ok(Report {
        version: records::VERSION,
        on: args.on.map_or("memory", kind_name),
        parties: args.parties,
        bits: args.bits,
        collusion_bound: generation.collusion_bound(args.parties),
        batch: generation.candidates,
        median_seconds,
        batches: candidates.iter().map(|opened| opened.div_ceil(generation.candidates.into())).sum(),
        expected_batches: expected.0,
        standard_deviation: expected.1,
        candidates_per_second: candidates.iter().sum::<u64>() as f64 / seconds.iter().sum::<f64>(),
        bytes: made.iter().map(|key| key.bytes).collect(),
        tno_seconds: peer,
        ratio_to_tno: peer.map(|peer| peer / median_seconds),
        seconds,
        candidates,
    })
}

/// Batches until so many keys are found, and the standard deviation: each batch has a good candidate with the same
/// probability.
fn expected(args: &Options, generation: &KeyGeneration) -> Result<(f64, f64)> {
    let group = Group::with(multiplication(generation), args.parties, 0).map_err(input)?;
    let rate = Plan::new(group, args.bits.into()).map_err(input)?.success_rate();
    let batch = 1.0 - (1.0 - rate).powf(generation.candidates.into());
    let keys = f64::from(args.repeat);
    Ok((keys / batch, (keys * (1.0 - batch)).sqrt() / batch))
}

fn multiplication(generation: &KeyGeneration) -> Multiplication {
    match generation.against {
        Collusion::Minority => Multiplication::Minority,
        Collusion::AllButOne => Multiplication::Pairwise,
    }
}

async fn on_a_ledger(
    runner: &Runner<'_>,
    args: &Options,
    ledger: Kind,
    generation: &KeyGeneration,
) -> Result<Vec<Made>> {
    let temporary = temporary_folder()?;
    let dir = temporary.path().join("ledger");
    let borrowed = runner.borrow_network(ledger, &dir, args.parties as usize).await?;
    let mut made = Vec::new();
    for turn in 1..=args.repeat {
        runner.progress.step(&format!("key {turn} of {}", args.repeat));
        let dir = temporary.path().join(format!("members-{turn}"));
        let members = Participants::on(&borrowed.network, args.parties, &dir, Deadlines::EXPERIMENT)?;
        let start = Instant::now();
        let reports = runner.negotiate(&members, generation.clone()).await?;
        made.push(Made {
            seconds: start.elapsed().as_secs_f64(),
            candidates: reports[0].candidates,
            bytes: reports.iter().map(|report| report.traffic.bytes).sum(),
        });
    }
    Ok(made)
}

async fn in_memory(runner: &Runner<'_>, args: &Options, generation: &KeyGeneration) -> Result<Vec<Made>> {
    let multiplication = multiplication(generation);
    let (parties, bits, batch) = (args.parties, u64::from(args.bits), generation.candidates as usize);
    let mut made = Vec::new();
    for turn in 1..=args.repeat {
        runner.progress.step(&format!("key {turn} of {}", args.repeat));
        let one = tokio::task::spawn_blocking(move || -> Result<Made> {
            let mut seed = [0; 32];
            getrandom::fill(&mut seed).map_err(system)?;
            let mut rng = ChaCha20Rng::from_seed(seed);
            let start = Instant::now();
            let (_, _, statistics) =
                keygen::generate(multiplication, parties, parties, bits, batch, TRAINING, &mut rng)
                    .map_err(input)?;
            let candidates = statistics.candidates as u64;
            Ok(Made { seconds: start.elapsed().as_secs_f64(), candidates, bytes: 0 })
        });
        made.push(one.await.map_err(system)??);
    }
    Ok(made)
}
