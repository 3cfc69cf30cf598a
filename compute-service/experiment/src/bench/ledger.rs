//! What the ledger costs a job, without the cryptography.

use super::median;
use crate::{
    cost::{Client, Recording, bare, bare::Barrier, replay},
    error::{Result, input, system},
    experiment::{Experiment, TrainingOptions},
    participants::Participants,
    runner::{Runner, kind_name, temporary_folder},
    source::Source,
};
use dataset::scaling::Scaling;
use gateway_client::{Gateway, Retries};
use launcher::{Kind, Network};
use node::proposal::VerticalOptions;
use records::{Deadlines, JobId};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What is measured.
#[derive(Clone, Debug)]
pub struct Options {
    /// What keeps the ledger.
    pub ledger: Kind,
    /// The folder of its network; a temporary one unless given.
    pub dir: Option<PathBuf>,
    /// Number of participants.
    pub participants: u32,
    /// Updates of the model.
    pub iterations: u32,
    /// Instances of one update.
    pub batch: u32,
    /// Bits of the Paillier modulus of the recorded job.
    pub key_bits: u32,
    /// Updates of one instance to compare with; 0 for none.
    pub single: u32,
    /// How often replay and bare writes take turns.
    pub repeat: u32,
    /// A finished job on the ledger to replay, instead of training one.
    pub job: Option<JobId>,
}

/// Rows of the generated table.
const ROWS: usize = 400;

/// The figures, all medians.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Layout version.
    pub version: u32,
    /// `dev` or `fabric`.
    pub ledger: &'static str,
    /// Number of participants.
    pub participants: u32,
    /// Updates of the model.
    pub iterations: u32,
    /// Instances of one update.
    pub batch: u32,
    /// Bits of the Paillier modulus.
    pub key_bits: u32,
    /// How often replay and bare writes took turns.
    pub repeat: u32,
    /// Bytes of IV and DV of one iteration, of all participants together.
    pub bytes_per_iteration: u64,
    /// Nodes without cryptography.
    pub replay_ms_per_iteration: f64,
    /// Bare writes, each round after everybody's values of the round before.
    pub floor_ms_per_iteration: f64,
    /// Bare writes, each client after its own commits only.
    pub free_ms_per_iteration: f64,
    /// Replay over floor.
    pub ratio: f64,
    /// The whole replayed job, from proposal to end.
    pub job_seconds: f64,
    /// Of all replays together.
    pub retries: Retries,
    /// Updates of one instance, where they were asked for.
    pub single: Option<Single>,
}

/// Updates of one instance, beside the batches.
#[derive(Debug, Serialize)]
pub struct Single {
    /// Updates of the model.
    pub iterations: u32,
    /// Nodes without cryptography.
    pub replay_ms_per_iteration: f64,
    /// The whole replayed job.
    pub job_seconds: f64,
    /// The batched job's seconds over this job's.
    pub share: f64,
}

/// Trains a job, unless one is named, and replays it in turns with bare writes of the same bytes.
///
/// # Errors
/// A ledger that fails, or a job that cannot be replayed.
pub async fn measure(runner: &Runner<'_>, args: &Options) -> Result<Report> {
    let temporary = temporary_folder()?;
    let dir = args.dir.clone().unwrap_or_else(|| temporary.path().join("ledger"));
    let borrowed = runner.borrow_network(args.ledger, &dir, args.participants as usize).await?;
    let network = &borrowed.network;
    let clients = network
        .orgs
        .iter()
        .take(args.participants as usize)
        .map(|org| {
            let gateway = Gateway::from_profile(&network.path(&org.profile), None, node::ledger::options())?;
            Client::new(&gateway, &network.channel, &network.chaincode.name).map_err(input)
        })
        .collect::<Result<Vec<_>>>()?;
    let id = match &args.job {
        Some(job) => job.clone(),
        None => train(runner, args, network, temporary.path()).await?,
    };
    let recording = Recording::read(&clients[0], &id).await?;
    if recording.params().parties() as usize != clients.len() {
        return Err(input(format!("the job has {} participants", recording.params().parties())));
    }
    let training = recording.params().training().clone();
    let rounds = recording.iterations();
    let state = temporary.path().join("replay");
    let per_iteration = |seconds: Vec<f64>| median(seconds) * 1e3 / f64::from(training.iterations);
    let [mut replayed, mut whole, mut floor, mut free] = [const { Vec::new() }; 4];
    let mut retries = Retries::default();
    for turn in 1..=args.repeat {
        runner.progress.step(&format!("replay and bare writes, {turn} of {}", args.repeat));
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
            runner.progress.step(&format!("replay of {iterations} updates of one instance"));
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
        ledger: kind_name(network.kind),
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
async fn train(runner: &Runner<'_>, args: &Options, network: &Network, dir: &Path) -> Result<JobId> {
    runner.progress.step("training the job that is to be replayed");
    let weak = args.key_bits < 2048;
    let options = VerticalOptions {
        iterations: args.iterations,
        batch: args.batch,
        key_bits: args.key_bits,
        insecure_key_bits: weak,
        weak_blinding: weak,
        ..VerticalOptions::default()
    };
    let experiment = Experiment {
        source: Source::generated(&dir.join("patients.csv"), ROWS)?,
        training: TrainingOptions::Vertical { options, scale: Scaling::Std },
        holders: args.participants,
    };
    let participants =
        Participants::on(network, args.participants, &dir.join("participants"), Deadlines::EXPERIMENT)?;
    let deployed = tokio::task::spawn_blocking(move || experiment.deploy(&participants, &experiment.deal()?));
    let deployment = deployed.await.map_err(system)??;
    runner.run_job(&deployment.participants, &deployment.params).await?;
    Ok(deployment.params.id())
}
