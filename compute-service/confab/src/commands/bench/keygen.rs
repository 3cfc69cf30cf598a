//! `confab bench keygen`.

use crate::{
    args::AgainstArg,
    error::CliResult,
    output::{Steps, is_stdout, outputs, write_json},
    program::program,
    shutdown,
};
use clap::{Args, ValueEnum};
use experiment::{
    Runner,
    bench::keygen::{self, Options, Report},
};
use launcher::Kind;
use std::path::PathBuf;

/// What it takes to make a threshold key without a dealer.
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

pub async fn run(args: KeygenArgs) -> CliResult {
    outputs().writes("--json", args.json.as_deref()).check()?;
    let options = Options {
        parties: args.parties,
        bits: args.bits,
        repeat: args.repeat,
        on: match args.on {
            Meeting::Memory => None,
            Meeting::Dev => Some(Kind::Dev),
            Meeting::Fabric => Some(Kind::Fabric),
        },
        against: AgainstArg::collusion(args.against, args.parties),
    };
    let (program, steps) = (program()?, Steps::new());
    let runner = Runner { program: &program, progress: &steps };
    let done = shutdown::or_interrupted(keygen::measure(&runner, &options), shutdown::STOPPED).await;
    steps.clear();
    let report = done?;
    if !is_stdout(args.json.as_deref()) {
        show(&report);
    }
    args.json.as_deref().map_or(Ok(()), |path| write_json(path, &report))
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
