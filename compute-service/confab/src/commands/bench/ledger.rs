//! `confab bench ledger`.

use super::median;
use crate::{
    commands::{
        Done,
        nodes::run_job,
        train::{LedgerArg, borrow_network},
    },
    output::{Steps, is_stdout, outputs, write_json},
    shutdown,
};
use clap::Args;
use gateway_client::{Gateway, Retries};
use launcher::{Kind, Network};
use node::{
    cost::{Client, Recording, bare, bare::Barrier, replay},
    experiment::{self, Plan},
};
use records::{JobId, VerticalSvm};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What the ledger costs a job, without the cryptography.
///
/// A job is trained on generated data, unless one is named. Its recorded bodies are then posted again as new jobs, by
/// nodes that follow blocks, keep their state and obey the job contract, but compute nothing. Beside them, on the same
/// network and in turns with them, three clients write the same bytes with `probe`, which checks nothing: each begins a
/// round when it has seen everybody's values of the round before in its own blocks. Times are medians of the repetitions.
#[derive(Args)]
pub struct LedgerArgs {
    /// Which ledger.
    #[arg(long, value_enum, default_value = "dev")]
    ledger: LedgerArg,
    /// The folder of a network on this machine. One that runs is used and left running; else it is started there and
    /// stopped afterwards. A temporary one unless given.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Number of participants; an organisation each.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..=64))]
    participants: u32,
    /// Number T of updates of the model.
    #[arg(long, default_value_t = 24)]
    iterations: u32,
    /// Instances B of one update.
    #[arg(long, default_value_t = 64)]
    batch: u32,
    /// Bits of the Paillier modulus of the recorded job.
    #[arg(long, default_value_t = 2048)]
    key_bits: u32,
    /// Updates of one instance to compare with: the same ciphertexts, cut into records of one. 0 for none.
    #[arg(long, default_value_t = 1500)]
    single: u32,
    /// How often replay and bare writes take turns.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    repeat: u32,
    /// A finished job on the ledger in --dir to replay, instead of training one.
    #[arg(long, requires = "dir")]
    job: Option<JobId>,
    /// Write the figures as JSON, `-` for standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Rows of the generated table.
const ROWS: usize = 400;

/// The figures, all medians.
#[derive(Serialize)]
struct Report {
    version: u32,
    ledger: &'static str,
    participants: u32,
    iterations: u32,
    batch: u32,
    key_bits: u32,
    repeat: u32,
    /// Bytes of IV and DV of one iteration, of all participants together.
    bytes_per_iteration: u64,
    /// Nodes without cryptography.
    replay_ms_per_iteration: f64,
    /// Bare writes, each round after everybody's values of the round before.
    floor_ms_per_iteration: f64,
    /// Bare writes, each client after its own commits only.
    free_ms_per_iteration: f64,
    /// Replay over floor.
    ratio: f64,
    /// The whole replayed job, from proposal to end.
    job_seconds: f64,
    /// Of all replays together.
    retries: Retries,
    single: Option<Single>,
}

/// Updates of one instance, beside the batches.
#[derive(Serialize)]
struct Single {
    iterations: u32,
    replay_ms_per_iteration: f64,
    job_seconds: f64,
    /// The batched job's seconds over this job's.
    share: f64,
}

pub async fn run(args: LedgerArgs) -> Done {
    outputs().writes("--json", args.json.as_deref()).check()?;
    let steps = Steps::new();
    let done = tokio::select! {
        done = measure(&args, &steps) => done,
        () = shutdown::requested() => Err("interrupted; nodes and ledger were stopped".into()),
    };
    steps.clear();
    let report = done?;
    if !is_stdout(args.json.as_deref()) {
        show(&report);
    }
    args.json.as_deref().map_or(Ok(()), |path| write_json(path, &report))
}

async fn measure(args: &LedgerArgs, steps: &Steps) -> Done<Report> {
    let temporary = tempfile::Builder::new().prefix("confab-").tempdir()?;
    let dir = args.dir.clone().unwrap_or_else(|| temporary.path().join("ledger"));
    let borrowed = borrow_network(args.ledger.kind(), &dir, args.participants as usize, steps).await?;
    let network = &borrowed.network;
    let clients = network
        .orgs
        .iter()
        .take(args.participants as usize)
        .map(|org| {
            let gateway = Gateway::from_profile(&network.path(&org.profile), None, node::ledger::options())?;
            Ok(Client::new(&gateway, &network.channel, &network.chaincode.name)?)
        })
        .collect::<Done<Vec<_>>>()?;
    let id = match &args.job {
        Some(job) => job.clone(),
        None => train(args, network, temporary.path(), steps).await?,
    };
    let recording = Recording::read(&clients[0], &id).await?;
    if recording.params().parties() as usize != clients.len() {
        return Err(format!("the job has {} participants", recording.params().parties()).into());
    }
    let training = recording.params().training().clone();
    let rounds = recording.iterations();
    let state = temporary.path().join("replay");
    let per_iteration = |seconds: Vec<f64>| median(seconds) * 1e3 / f64::from(training.iterations);
    let [mut replayed, mut whole, mut floor, mut free] = [const { Vec::new() }; 4];
    let mut retries = Retries::default();
    for turn in 1..=args.repeat {
        steps.step(&format!("replay and bare writes, {turn} of {}", args.repeat));
        let one = replay(&recording, &clients, &state).await?;
        replayed.push(one.iterations.as_secs_f64());
        whole.push(one.whole.as_secs_f64());
        retries += one.traffic.retries;
        floor.push(bare::put(&rounds, &clients, Barrier::Round).await?.as_secs_f64());
        free.push(bare::put(&rounds, &clients, Barrier::Own).await?.as_secs_f64());
    }
    let job_seconds = median(whole);
    let single = match args.single {
        0 => None,
        iterations => {
            steps.step(&format!("replay of {iterations} updates of one instance"));
            let one = replay(&recording.recut(iterations, 1)?, &clients, &state).await?;
            retries += one.traffic.retries;
            Some(Single {
                iterations,
                replay_ms_per_iteration: one.iterations.as_secs_f64() * 1e3 / f64::from(iterations),
                job_seconds: one.whole.as_secs_f64(),
                share: job_seconds / one.whole.as_secs_f64(),
            })
        }
    };
    let (replay_ms, floor_ms) = (per_iteration(replayed), per_iteration(floor));
    let bytes: usize = rounds.iter().flatten().flatten().map(Vec::len).sum();
    Ok(Report {
        version: records::VERSION,
        ledger: match network.kind {
            Kind::Dev => "dev",
            Kind::Fabric => "fabric",
        },
        participants: recording.params().parties(),
        iterations: training.iterations,
        batch: training.batch,
        key_bits: training.key_bits,
        repeat: args.repeat,
        bytes_per_iteration: bytes as u64 / u64::from(training.iterations),
        replay_ms_per_iteration: replay_ms,
        floor_ms_per_iteration: floor_ms,
        free_ms_per_iteration: per_iteration(free),
        ratio: replay_ms / floor_ms,
        job_seconds,
        retries,
        single,
    })
}

/// Trains a job to be replayed.
async fn train(args: &LedgerArgs, network: &Network, dir: &Path, steps: &Steps) -> Done<JobId> {
    steps.step("training the job that is to be replayed");
    let organisations = experiment::named(network.organisations(args.participants as usize))?;
    let msp_ids = organisations.iter().map(|(msp_id, _)| msp_id.clone()).collect();
    let defaults = experiment::template(ROWS as u32, msp_ids)?;
    let weak = args.key_bits < 2048;
    let training = VerticalSvm {
        iterations: args.iterations,
        batch: args.batch,
        key_bits: args.key_bits,
        insecure_key_bits: weak,
        weak_blinding: weak,
        ..defaults.training().clone()
    };
    let plan = Plan {
        organisations,
        channel: network.channel.clone(),
        chaincode: network.chaincode.name.clone(),
        ..Plan::generated(&dir.join("patients.csv"), ROWS, training)?
    };
    let dir = dir.join("participants");
    let prepared = tokio::task::spawn_blocking(move || plan.prepare(&dir)).await??;
    run_job(&prepared.participants, &prepared.params, steps).await?;
    Ok(prepared.params.id())
}

fn show(r: &Report) {
    say!(
        "ledger        {}, {} participants, {} updates of {} instances, {} bits, {:.0} kB an iteration",
        r.ledger,
        r.participants,
        r.iterations,
        r.batch,
        r.key_bits,
        r.bytes_per_iteration as f64 / 1e3
    );
    say!("nodes         {:>8.1} ms an iteration, cryptography off", r.replay_ms_per_iteration);
    say!("bare writes   {:>8.1} ms, round after round", r.floor_ms_per_iteration);
    say!("              {:>8.1} ms, each client by itself", r.free_ms_per_iteration);
    say!("ratio         {:>8.2} nodes over bare writes, round after round", r.ratio);
    say!("whole job     {:>8.2} s from proposal to end", r.job_seconds);
    if let Some(single) = &r.single {
        say!(
            "one by one    {:>8.2} s for {} updates of one instance, {:.1} ms each; batches take 1/{:.1} of it",
            single.job_seconds,
            single.iterations,
            single.replay_ms_per_iteration,
            1.0 / single.share
        );
    }
    say!("retries       {:>8} {:?}", r.retries.total(), r.retries);
}
