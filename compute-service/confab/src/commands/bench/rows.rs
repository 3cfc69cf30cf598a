//! `confab bench rows`.

use crate::{
    commands::Done,
    output::{Steps, is_stdout, outputs, write_json},
};
use clap::Args;
use dataset::table::{Columns, Table};
use node::{driver::cpu_seconds, experiment};
use protocol::{JobSecret, simulate};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use records::{Comparison, HorizontalSvm as Training, Job, Kind, Phase, Publication, VERSION};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    path::PathBuf,
};
use svm::{
    Hyperparameters,
    horizontal::{self, HorizontalSvm, Private},
};

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

/// Processor seconds of one iteration.
#[derive(Clone, Copy, Serialize)]
struct Point {
    rows: u32,
    columns: u32,
    /// All of it.
    seconds: f64,
    /// The providers' margins, blinded.
    margins: f64,
    /// The analyst's answers.
    indicators: f64,
    /// The providers' gradients.
    gradient: f64,
    /// Secure polynomial multiplication within margins and gradients, by the clock and one provider after the other.
    multiplication: f64,
}

#[derive(Serialize)]
struct Report {
    version: u32,
    providers: u32,
    bits: u32,
    over_rows: Vec<Point>,
    over_columns: Vec<Point>,
    /// Of log time over log rows.
    slope_of_rows: f64,
    /// Of log time over log columns.
    slope_of_columns: f64,
    /// As many rows of one column.
    one_column: Point,
    /// Of the log of the multiplication beyond that of one column, over the log of the columns beyond it; none if a time is
    /// not beyond.
    slope_of_multiplication: Option<f64>,
    /// Seconds without columns and seconds a column, of the line through the points over columns.
    line_over_columns: (f64, f64),
    /// How far a point is from that line at most, as a share of it.
    off_the_line: f64,
}

pub fn run(args: &RowsBenchArgs) -> Done {
    outputs().writes("--json", args.json.as_deref()).check()?;
    let (middle_rows, least_columns) = (args.rows[args.rows.len() / 2], args.columns[0]);
    let along_rows = args.rows.iter().map(|&rows| (rows, least_columns));
    let along_columns = args.columns.iter().map(|&columns| (middle_rows, columns));
    let measured = measure(args, along_rows.chain([(middle_rows, 1)]).chain(along_columns).collect())?;
    let over_rows: Vec<Point> = args.rows.iter().map(|&rows| measured[&(rows, least_columns)]).collect();
    let over_columns: Vec<Point> =
        args.columns.iter().map(|&columns| measured[&(middle_rows, columns)]).collect();
    let one_column = measured[&(middle_rows, 1)];

    let slope = |points: &[Point], xy: &dyn Fn(&Point) -> (u32, f64)| {
        let logarithms = points.iter().map(xy).map(|(x, y)| (f64::from(x).ln(), y.ln()));
        line(&logarithms.collect::<Vec<_>>()).1
    };
    let along: Vec<(f64, f64)> =
        over_columns.iter().map(|point| (point.columns.into(), point.seconds)).collect();
    let (constant, each) = line(&along);
    let beyond_one = |point: &Point| {
        let seconds = point.multiplication - one_column.multiplication;
        (seconds > 0.0).then(|| (f64::from(point.columns - 1).ln(), seconds.ln()))
    };
    let multiplication: Option<Vec<(f64, f64)>> = over_columns.iter().map(beyond_one).collect();
    let off = |&(x, y): &(f64, f64)| (y / (constant + each * x) - 1.0).abs();
    let report = Report {
        version: records::VERSION,
        providers: args.providers,
        bits: args.bits,
        slope_of_rows: slope(&over_rows, &|point| (point.rows, point.seconds)),
        slope_of_columns: slope(&over_columns, &|point| (point.columns, point.seconds)),
        one_column,
        slope_of_multiplication: multiplication.map(|points| line(&points).1),
        line_over_columns: (constant, each),
        off_the_line: along.iter().map(off).fold(0.0, f64::max),
        over_rows,
        over_columns,
    };
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

/// The line through points, by least squares: its height at 0, and its slope.
fn line(points: &[(f64, f64)]) -> (f64, f64) {
    let n = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / n, y + point.1 / n));
    let (mut covariance, mut variance) = (0.0, 0.0);
    for point in points {
        covariance += (point.0 - x) * (point.1 - y);
        variance += (point.0 - x).powi(2);
    }
    let slope = covariance / variance;
    (y - slope * x, slope)
}

/// Each point's least of several measurements: what other work on the machine disturbed least. All points take turns, so that
/// they share its slow moments.
fn measure(args: &RowsBenchArgs, points: BTreeSet<(u32, u32)>) -> Done<BTreeMap<(u32, u32), Point>> {
    let mut least: BTreeMap<(u32, u32), Point> = BTreeMap::new();
    let jobs = points.iter().map(|&(rows, columns)| job(args, rows, columns)).collect::<Done<Vec<_>>>()?;
    let steps = Steps::new();
    for turn in 1..=args.repeat {
        for (&(rows, columns), (job, privates)) in points.iter().zip(&jobs) {
            steps.step(&format!("{turn} of {}: {rows} rows of {columns} columns", args.repeat));
            let point = iteration(job, privates, rows, columns)?;
            let least = least.entry((rows, columns)).or_insert(point);
            let multiplication = point.multiplication.min(least.multiplication);
            if point.seconds < least.seconds {
                *least = point;
            }
            least.multiplication = multiplication;
        }
    }
    steps.clear();
    Ok(least)
}

fn iteration(job: &Job, privates: &[Private], rows: u32, columns: u32) -> Done<Point> {
    let mut spent: BTreeMap<Phase, f64> = BTreeMap::new();
    let mut last = cpu_seconds();
    let trace = simulate::<HorizontalSvm>(job, privates, 1, |slot, body| {
        let now = cpu_seconds();
        *spent.entry(slot.phase).or_default() += now - last;
        last = now;
        body
    })?;
    let of = |phase: Phase| spent.get(&phase).copied().unwrap_or_default();
    let [weights, margins, indicators, gradient] =
        [Phase::Weights, Phase::Margins, Phase::Indicators, Phase::Gradient].map(of);
    Ok(Point {
        rows,
        columns,
        seconds: weights + margins + indicators + gradient,
        margins,
        indicators,
        gradient,
        multiplication: trace.outputs.iter().map(|output| output.times.multiplication.as_secs_f64()).sum(),
    })
}

/// Rows whose class follows a plane, dealt to the providers; the analyst is the last party.
fn job(args: &RowsBenchArgs, rows: u32, columns: u32) -> Done<(Job, Vec<Private>)> {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut draw = move || f64::from(rng.next_u32()) / f64::from(u32::MAX) - 0.5;
    let names: Vec<String> = (1..=columns).map(|column| format!("x{column}")).collect();
    let each = rows.div_ceil(args.providers);
    let params = Training {
        comparison: Comparison::Hidden,
        analyst: args.providers,
        columns: names.clone(),
        positive: "1".into(),
        negative: "0".into(),
        standardise: true,
        units: Vec::new(),
        rows: each,
        batch: None,
        iterations: 1,
        tolerance: None,
        learning_rate: "0.5".parse()?,
        lambda: "0.001".parse()?,
        c: Hyperparameters::mean_c(rows as usize),
        intercept: true,
        gradient_noise: None,
        key_bits: args.bits,
        insecure_key_bits: args.bits < 2048,
        margin_bits: 50,
        weak_blinding: args.bits < 2048,
        model: Publication::Published,
    };
    let mut tables = Vec::new();
    for _ in 0..args.providers {
        let mut text = format!("{},class\n", names.join(","));
        for row in 0..each {
            let values: Vec<f64> = (0..columns).map(|_| draw()).collect();
            // Both classes are in every table.
            let class = if row < 2 { row == 0 } else { values.iter().sum::<f64>() + draw() > 0.0 };
            values.iter().try_for_each(|value| write!(text, "{value:.4},"))?;
            writeln!(text, "{}", u8::from(class))?;
        }
        let labelled = Columns { label: Some("class".into()), ..Columns::default() };
        tables.push(Table::parse(text.as_bytes(), &labelled)?);
    }
    let params = Training { units: horizontal::units(&tables[0]), ..params };
    let participants =
        (0..=args.providers).map(|party| format!("Org{}MSP", party + 1).parse()).collect::<Result<_, _>>()?;
    let job = experiment::job_params(Kind::HorizontalSvm(Box::new(params.clone())), participants)?;
    job.validate()?;
    let id = job.id();
    let secret = |party: u32| JobSecret::new([party as u8; 32]);
    let mut privates = (0..)
        .zip(tables)
        .map(|(party, table)| Private::provider(&params, table, secret(party)))
        .collect::<Result<Vec<_>, _>>()?;
    privates.push(Private::analyst(secret(args.providers)));
    Ok((
        Job { version: VERSION, id, params: job, proposer: "Org1MSP".parse().unwrap(), proposed: 0 },
        privates,
    ))
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn a_line_goes_through_its_points() {
        let (constant, slope) = line(&[(1.0, 5.0), (2.0, 7.0), (4.0, 11.0)]);
        assert!((constant - 3.0).abs() < 1e-12 && (slope - 2.0).abs() < 1e-12);
        // A constant off by one at both ends and the middle cancels.
        let (constant, slope) = line(&[(0.0, 1.0), (1.0, 0.0), (2.0, 1.0)]);
        assert!((constant - 2.0 / 3.0).abs() < 1e-12 && slope.abs() < 1e-12);
    }
}
