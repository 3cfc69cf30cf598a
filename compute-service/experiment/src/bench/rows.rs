//! How the time of a training by rows grows with rows and columns.

use crate::{
    error::{Result, input, system},
    progress::Progress,
};
use dataset::table::{Columns, Table};
use node::{jobs::cpu_seconds, proposal};
use protocol::{JobSecret, simulate};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use records::{
    Comparison, Decimal, HorizontalSvm as Training, Job, Kind, MspId, Phase, Publication, SCALE, VERSION,
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};
use svm::{
    Hyperparameters,
    horizontal::{self, HorizontalSvm, Private},
};

/// What is measured.
#[derive(Clone, Debug)]
pub struct Options {
    /// Rows of all providers together; each with the first of the columns.
    pub rows: Vec<u32>,
    /// Columns, two at least; each with the middle one of the rows.
    pub columns: Vec<u32>,
    /// Number of providers.
    pub providers: u32,
    /// How often each point is measured; the least counts.
    pub repeat: u32,
    /// Bits of the analyst's modulus.
    pub bits: u32,
}

/// Processor seconds of one iteration.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Point {
    /// Rows of all providers together.
    pub rows: u32,
    /// Columns.
    pub columns: u32,
    /// All of it.
    pub seconds: f64,
    /// The providers' margins, blinded.
    pub margins: f64,
    /// The analyst's answers.
    pub indicators: f64,
    /// The providers' gradients.
    pub gradient: f64,
    /// Secure polynomial multiplication within margins and gradients, by the clock and one provider after the other.
    pub multiplication: f64,
}

/// The figures.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Layout version.
    pub version: u32,
    /// Number of providers.
    pub providers: u32,
    /// Bits of the analyst's modulus.
    pub bits: u32,
    /// Points over rows, with the first number of columns.
    pub over_rows: Vec<Point>,
    /// Points over columns, with the middle number of rows.
    pub over_columns: Vec<Point>,
    /// Of log time over log rows.
    pub slope_of_rows: f64,
    /// Of log time over log columns.
    pub slope_of_columns: f64,
    /// As many rows of one column.
    pub one_column: Point,
    /// Of the log of the multiplication beyond that of one column, over the log of the columns beyond it; none if a time is
    /// not beyond.
    pub slope_of_multiplication: Option<f64>,
    /// Seconds without columns and seconds a column, of the line through the points over columns.
    pub line_over_columns: (f64, f64),
    /// How far a point is from that line at most, as a share of it.
    pub off_the_line: f64,
}

/// Runs whole iterations of all parties in this process, without a ledger.
///
/// # Errors
/// Parameters out of range.
pub fn run(args: &Options, progress: &dyn Progress) -> Result<Report> {
    let (middle_rows, least_columns) = (args.rows[args.rows.len() / 2], args.columns[0]);
    let along_rows = args.rows.iter().map(|&rows| (rows, least_columns));
    let along_columns = args.columns.iter().map(|&columns| (middle_rows, columns));
    let measured =
        measure(args, progress, along_rows.chain([(middle_rows, 1)]).chain(along_columns).collect())?;
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
    Ok(Report {
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
    })
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
fn measure(
    args: &Options,
    progress: &dyn Progress,
    points: BTreeSet<(u32, u32)>,
) -> Result<BTreeMap<(u32, u32), Point>> {
    let mut least: BTreeMap<(u32, u32), Point> = BTreeMap::new();
    let jobs = points.iter().map(|&(rows, columns)| job(args, rows, columns)).collect::<Result<Vec<_>>>()?;
    for turn in 1..=args.repeat {
        for (&(rows, columns), (job, privates)) in points.iter().zip(&jobs) {
            progress.step(&format!("{turn} of {}: {rows} rows of {columns} columns", args.repeat));
            let point = iteration(job, privates, rows, columns)?;
            let least = least.entry((rows, columns)).or_insert(point);
            let multiplication = point.multiplication.min(least.multiplication);
            if point.seconds < least.seconds {
                *least = point;
            }
            least.multiplication = multiplication;
        }
    }
    Ok(least)
}

fn iteration(job: &Job, privates: &[Private], rows: u32, columns: u32) -> Result<Point> {
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
fn job(args: &Options, rows: u32, columns: u32) -> Result<(Job, Vec<Private>)> {
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
        learning_rate: Decimal::from_raw(SCALE / 2),
        lambda: Decimal::from_raw(SCALE / 1000),
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
            values.iter().try_for_each(|value| write!(text, "{value:.4},")).map_err(system)?;
            writeln!(text, "{}", u8::from(class)).map_err(system)?;
        }
        let labelled = Columns { label: Some("class".into()), ..Columns::default() };
        tables.push(Table::parse(text.as_bytes(), &labelled).map_err(input)?);
    }
    let params = Training { units: horizontal::units(&tables[0]), ..params };
    let participants = (0..=args.providers)
        .map(|party| format!("Org{}MSP", party + 1).parse().map_err(input))
        .collect::<Result<Vec<MspId>>>()?;
    let proposer = participants[0].clone();
    let kind = Kind::HorizontalSvm(Box::new(params.clone()));
    let job = proposal::job_params(kind, participants).map_err(system)?;
    job.validate().map_err(input)?;
    let id = job.id();
    let secret = |party: u32| JobSecret::new([party as u8; 32]);
    let mut privates = (0..)
        .zip(tables)
        .map(|(party, table)| Private::provider(&params, table, secret(party)))
        .collect::<Result<Vec<_>, _>>()?;
    privates.push(Private::analyst(secret(args.providers)));
    Ok((Job { version: VERSION, id, params: job, proposer, proposed: 0 }, privates))
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
