//! `confab bench ledger`.

use crate::{
    args::LedgerArg,
    error::CliResult,
    output::{Steps, is_stdout, outputs, write_json},
    program::program,
    shutdown,
};
use clap::Args;
use experiment::{
    Runner,
    bench::ledger::{self, Options, Report},
};
use records::JobId;
use std::path::PathBuf;

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

pub async fn run(args: LedgerArgs) -> CliResult {
    outputs().writes("--json", args.json.as_deref()).check()?;
    let options = Options {
        ledger: args.ledger.kind(),
        dir: args.dir,
        participants: args.participants,
        iterations: args.iterations,
        batch: args.batch,
        key_bits: args.key_bits,
        single: args.single,
        repeat: args.repeat,
        job: args.job,
    };
    let (program, steps) = (program()?, Steps::new());
    let runner = Runner { program: &program, progress: &steps };
    let done = shutdown::or_interrupted(ledger::measure(&runner, &options), shutdown::STOPPED).await;
    steps.clear();
    let report = done?;
    if !is_stdout(args.json.as_deref()) {
        show(&report);
    }
    args.json.as_deref().map_or(Ok(()), |path| write_json(path, &report))
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
