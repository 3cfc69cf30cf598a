//! `confab bench keygen`.

use super::median;
use crate::{
    commands::{
        Done,
        nodes::{negotiate, participants},
        train::{LedgerArg, borrow_network},
        training::AgainstArg,
    },
    output::{Steps, is_stdout, outputs, write_json},
    shutdown,
};
use clap::{Args, ValueEnum};
use node::experiment;
use paillier::keygen::{self, Group, Multiplication, candidates::Plan};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use records::{Collusion, Deadlines, KeyGeneration, TRAINING};
use serde::Serialize;
use std::{path::PathBuf, time::Instant};

/// What it takes to make a threshold key that nobody deals.
///
/// In memory all members run in one process on all cores, without messages; on a ledger each is a node of its own and
/// every message a record. How many candidates are needed until one is good is chance: the candidates a second say more
/// than a single time.
#[derive(Args)]
pub struct KeygenArgs {
    /// Number of members.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..=64))]
    parties: u32,
    /// Bits of the modulus N.
    #[arg(long, default_value_t = 2048)]
    bits: u32,
    /// How many keys are made.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: u32,
    /// Where the members meet.
    #[arg(long, value_enum, default_value = "memory")]
    on: Meeting,
    /// Against whom the key protects: see `confab train --help`.
    #[arg(long, value_enum)]
    against: Option<AgainstArg>,
    /// Write the figures as JSON, `-` for standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Meeting {
    Memory,
    Dev,
    Fabric,
}

/// TNO's distributed_keygen 4.3 for three parties in one process on the reference machine: bits and seconds
/// (`numbers.md`).
const PEER: [(u32, f64); 3] = [(256, 1.8), (512, 16.0), (1024, 202.0)];

#[derive(Serialize)]
struct Report {
    version: u32,
    on: &'static str,
    parties: u32,
    bits: u32,
    collusion_bound: u32,
    /// Candidates of one batch.
    batch: u32,
    /// Of each key, in order.
    seconds: Vec<f64>,
    median_seconds: f64,
    /// Candidates that were opened, of each key.
    candidates: Vec<u64>,
    candidates_per_second: f64,
    /// Batches that all keys took together, and that theory expects for so many, with its standard deviation.
    batches: u64,
    expected_batches: f64,
    standard_deviation: f64,
    /// Bytes of records of all members, of each key; none in memory.
    bytes: Vec<u64>,
    /// TNO's published seconds for this size and three parties.
    tno_seconds: Option<f64>,
    /// Those over the median.
    ratio_to_tno: Option<f64>,
}

/// One key.
struct Made {
    seconds: f64,
    candidates: u64,
    bytes: u64,
}

pub async fn run(args: KeygenArgs) -> Done {
    outputs().writes("--json", args.json.as_deref()).check()?;
    let steps = Steps::new();
    let against = AgainstArg::collusion(args.against, args.parties);
    let generation = experiment::key_generation(args.bits, args.bits < 2048, args.parties, against);
    let made = tokio::select! {
        made = make(&args, &generation, &steps) => made,
        () = shutdown::requested() => Err("interrupted; nodes and ledger were stopped".into()),
    };
    steps.clear();
    let made = made?;
    let seconds: Vec<f64> = made.iter().map(|key| key.seconds).collect();
    let candidates: Vec<u64> = made.iter().map(|key| key.candidates).collect();
    let median_seconds = median(seconds.clone());
    let peer =
        PEER.iter().find(|(bits, _)| *bits == args.bits && args.parties == 3).map(|(_, seconds)| *seconds);
    let expected = expected(&args, &generation)?;
    let report = Report {
        version: records::VERSION,
        on: match args.on {
            Meeting::Memory => "memory",
            Meeting::Dev => "dev",
            Meeting::Fabric => "fabric",
        },
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
    };
    if !is_stdout(args.json.as_deref()) {
        show(&report);
    }
    args.json.as_deref().map_or(Ok(()), |path| write_json(path, &report))
}

/// Batches until so many keys are found, and the standard deviation: each batch has a good candidate with the same
/// probability.
fn expected(args: &KeygenArgs, generation: &KeyGeneration) -> Done<(f64, f64)> {
    let group = Group::with(multiplication(generation), args.parties, 0)?;
    let rate = Plan::new(group, args.bits.into())?.success_rate();
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

async fn make(args: &KeygenArgs, generation: &KeyGeneration, steps: &Steps) -> Done<Vec<Made>> {
    let ledger = match args.on {
        Meeting::Memory => return in_memory(args, generation, steps).await,
        Meeting::Dev => LedgerArg::Dev,
        Meeting::Fabric => LedgerArg::Fabric,
    };
    let temporary = tempfile::Builder::new().prefix("confab-").tempdir()?;
    let dir = temporary.path().join("ledger");
    let borrowed = borrow_network(ledger.kind(), &dir, args.parties as usize, steps).await?;
    let mut made = Vec::new();
    for turn in 1..=args.repeat {
        steps.step(&format!("key {turn} of {}", args.repeat));
        let dir = temporary.path().join(format!("members-{turn}"));
        let nodes = participants(&borrowed.network, args.parties, &dir, Deadlines::EXPERIMENT)?;
        let start = Instant::now();
        let reports = negotiate(&nodes, generation.clone(), steps).await?;
        made.push(Made {
            seconds: start.elapsed().as_secs_f64(),
            candidates: reports[0].candidates,
            bytes: reports.iter().map(|report| report.traffic.bytes).sum(),
        });
    }
    Ok(made)
}

async fn in_memory(args: &KeygenArgs, generation: &KeyGeneration, steps: &Steps) -> Done<Vec<Made>> {
    let multiplication = multiplication(generation);
    let (parties, bits, batch) = (args.parties, u64::from(args.bits), generation.candidates as usize);
    let mut made = Vec::new();
    for turn in 1..=args.repeat {
        steps.step(&format!("key {turn} of {}", args.repeat));
        let one = tokio::task::spawn_blocking(move || {
            let mut seed = [0; 32];
            getrandom::fill(&mut seed)?;
            let mut rng = ChaCha20Rng::from_seed(seed);
            let start = Instant::now();
            let (_, _, statistics) =
                keygen::generate(multiplication, parties, parties, bits, batch, TRAINING, &mut rng)?;
            let candidates = statistics.candidates as u64;
            Done::Ok(Made { seconds: start.elapsed().as_secs_f64(), candidates, bytes: 0 })
        });
        made.push(one.await??);
    }
    Ok(made)
}

fn show(r: &Report) {
    say!(
        "keys          {} of {} bits, {} members, against {} colluding, {}",
        r.seconds.len(),
        r.bits,
        r.parties,
        r.collusion_bound,
        r.on
    );
    let times: Vec<String> = r.seconds.iter().map(|s| format!("{s:.1}")).collect();
    say!("seconds       {}; median {:.1}", times.join(", "), r.median_seconds);
    let opened: Vec<String> = r.candidates.iter().map(u64::to_string).collect();
    say!("candidates    {}; {:.0} a second", opened.join(", "), r.candidates_per_second);
    say!(
        "batches       {} of {} candidates; theory says {:.1} ± {:.1}",
        r.batches,
        r.batch,
        r.expected_batches,
        r.standard_deviation
    );
    if r.bytes.iter().any(|bytes| *bytes > 0) {
        let sizes: Vec<String> = r.bytes.iter().map(|b| format!("{:.1}", *b as f64 / 1e6)).collect();
        say!("megabytes     {} of records", sizes.join(", "));
    }
    if let (Some(peer), Some(ratio)) = (r.tno_seconds, r.ratio_to_tno) {
        say!(
            "TNO           {peer} s published for distributed_keygen 4.3 on the reference machine; {ratio:.0} times this"
        );
    }
}
