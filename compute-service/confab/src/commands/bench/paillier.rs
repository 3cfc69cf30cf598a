//! `confab bench paillier`.

use crate::{
    error::{CliError, CliResult},
    output::{Steps, is_stdout, outputs, write_json},
    program::program,
};
use clap::Args;
use paillier::measure::{Bench, Rate};
use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

/// Sizes of the modulus.
const BITS: [u64; 3] = [1024, 2048, 3072];
/// The environment variable with which the portable arithmetic is forced.
const BACKEND: &str = "CONFAB_MODEXP";

/// How many Paillier operations a second this machine does.
///
/// On one thread and on all, with every backend that the processor has. Each rate stands beside num-bigint's on as many
/// threads (the textbook's formula, full-length randomness) and beside the floor: the multiply-add throughput of this
/// processor, measured now, over the digit products that the best known way needs.
#[derive(Args)]
pub struct PaillierArgs {
    /// Milliseconds for each measurement.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    time: u64,
    /// Only these sizes of the modulus, in bits.
    #[arg(long, value_delimiter = ',', default_values_t = BITS)]
    bits: Vec<u64>,
    /// Measure only the backend that this process has chosen.
    #[arg(long, hide = true)]
    one_backend: bool,
    /// Write the rates as JSON, `-` for standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub fn run(args: &PaillierArgs) -> CliResult {
    outputs().writes("--json", args.json.as_deref()).check()?;
    let steps = Steps::new();
    let mut rates = measure(args, &steps)?;
    if !args.one_backend && rates.iter().all(|rate| rate.backend != "portable") {
        steps.step("the same with the portable backend");
        rates.extend(portable(args)?);
    }
    steps.clear();
    if !is_stdout(args.json.as_deref()) {
        show(&rates);
    }
    args.json.as_deref().map_or(Ok(()), |path| write_json(path, &rates))
}

fn measure(args: &PaillierArgs, steps: &Steps) -> CliResult<Vec<Rate>> {
    let all = std::thread::available_parallelism()?.get();
    let mut rng = node::os_rng();
    let mut rates = Vec::new();
    for &bits in &args.bits {
        steps.step(&format!("keys of {bits} bits"));
        let bench = Bench::new(bits, &mut rng)?;
        for threads in [1, all].into_iter().take(if all > 1 { 2 } else { 1 }) {
            steps.step(&format!("{bits} bits, {threads} threads"));
            rates.extend(bench.run(threads, Duration::from_millis(args.time), &mut rng));
        }
    }
    Ok(rates)
}

/// Measures the portable backend in a process of its own: a process chooses its backend once.
fn portable(args: &PaillierArgs) -> CliResult<Vec<Rate>> {
    let bits: Vec<String> = args.bits.iter().map(u64::to_string).collect();
    let output = Command::new(program()?)
        .args(["bench", "paillier", "--one-backend", "--json", "-", "--bits", &bits.join(",")])
        .args(["--time", &args.time.to_string()])
        .env(BACKEND, "portable")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()?;
    match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout)?),
        false => Err(CliError::defect("the measurement of the portable backend failed")),
    }
}

fn show(rates: &[Rate]) {
    let mut last = None;
    for r in rates {
        let head = (r.backend.as_str(), r.bits, r.threads);
        if last != Some(head) {
            last = Some(head);
            let threads = if r.threads == 1 { "thread" } else { "threads" };
            say!("");
            say!("{}, {} bits, {} {threads}", r.backend, r.bits, r.threads);
            say!("{:<34} {:>12} {:>12} {:>9}", "", "a second", "num-bigint", "floor");
        }
        say!(
            "{:<34} {:>12.0} {:>11.1}× {:>7.1} %",
            r.operation,
            r.per_second,
            r.ratio_to_num_bigint,
            100.0 * r.ratio_to_floor
        );
    }
}
