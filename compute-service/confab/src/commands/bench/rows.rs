//! `confab bench rows`.

use crate::{
    error::CliResult,
    output::{Steps, is_stdout, outputs, write_json},
};
use clap::Args;
use experiment::bench::rows::{self, Options, Report};
use std::path::PathBuf;

/// How the time of a training by rows grows with rows and columns.
///
/// All providers and the analyst run in one process, without a ledger; the time is that of the processor, added up over
/// cores and parties, of whole iterations. It is to be linear: a slope of 1 between the logarithms. The comparison does not
/// depend on the columns and takes most of the time of a few, so that over columns the slope is less: how near the points
/// are to a line with a constant part is shown instead, and the slope of secure polynomial multiplication alone, which is
/// what depends on the columns, beyond that of one column.
#[derive(Args)]
pub struct RowsBenchArgs {
    /// Rows of all providers together; each with the first of --columns.
    #[arg(long, value_delimiter = ',', default_value = "500,1000,2000,4000,8000", value_parser = clap::value_parser!(u32).range(4..=1_000_000))]
    rows: Vec<u32>,
    /// Columns, two at least; each with the middle one of --rows.
    #[arg(long, value_delimiter = ',', default_value = "10,20,40,70,100", value_parser = clap::value_parser!(u32).range(2..=4096))]
    columns: Vec<u32>,
    /// Number of providers.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(2..=63))]
    providers: u32,
    /// How often each point is measured; the least counts.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: u32,
    /// Bits of the analyst's modulus.
    #[arg(long, default_value_t = 2048)]
    bits: u32,
    /// Write the figures as JSON, `-` for standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub fn run(args: RowsBenchArgs) -> CliResult {
    outputs().writes("--json", args.json.as_deref()).check()?;
    let options = Options {
        rows: args.rows,
        columns: args.columns,
        providers: args.providers,
        repeat: args.repeat,
        bits: args.bits,
    };
    let steps = Steps::new();
    let measured = rows::run(&options, &steps);
    steps.clear();
    let report = measured?;
    if !is_stdout(args.json.as_deref()) {
        show(&report);
    }
    args.json.as_deref().map_or(Ok(()), |path| write_json(path, &report))
}

fn show(report: &Report) {
    say!("processor seconds of one iteration, {} providers, {} bits", report.providers, report.bits);
    say!(
        "{:>8} {:>8} {:>9} {:>9} {:>10} {:>9} {:>15}",
        "rows",
        "columns",
        "all",
        "margins",
        "indicators",
        "gradient",
        "multiplication*"
    );
    for p in report.over_rows.iter().chain([&report.one_column]).chain(&report.over_columns) {
        say!(
            "{:>8} {:>8} {:>9.2} {:>9.2} {:>10.2} {:>9.2} {:>15.3}",
            p.rows,
            p.columns,
            p.seconds,
            p.margins,
            p.indicators,
            p.gradient,
            p.multiplication
        );
    }
    say!("* polynomial multiplication within margins and gradients, seconds by the clock");
    say!("log-log slope over rows     {:.3} (linear: 1)", report.slope_of_rows);
    let (constant, each) = report.line_over_columns;
    say!(
        "log-log slope over columns  {:.3}: {constant:.2} s + {:.1} ms a column, within {:.1} %",
        report.slope_of_columns,
        each * 1e3,
        report.off_the_line * 100.0
    );
    match report.slope_of_multiplication {
        Some(slope) => say!("    of polynomial multiplication beyond one column's  {slope:.3} (linear: 1)"),
        None => say!("    of polynomial multiplication: unclear, a time is not above that of one column"),
    }
}
