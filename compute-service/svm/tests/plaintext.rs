//! The plaintext reference against published baselines, and against the participants' own arithmetic without any
//! cryptography. On the public data sets where they are present, and on generated data always.

use dataset::{
    Label, Summary, generate,
    metrics::differing,
    scaling::{Scaler, Scaling},
    split::{self, Split},
    table::{Columns, Table},
};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use std::path::PathBuf;
use svm::{
    Hyperparameters,
    evaluation::{self, CrossValidation, Fold, Partition},
    fixed::{self, Features, MarginBound, ONE, Update},
    float, reference,
};

/// Folder of the public data sets.
fn data() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let folder = std::env::var_os("CONFAB_DATA").map_or_else(|| beside.into(), PathBuf::from);
    if folder.join("uci").is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: the public data sets are not in {}; set CONFAB_DATA", folder.display());
    None
}

fn bcwd_with_gaps() -> Option<Table> {
    let columns = Columns { label: Some("11".into()), id: Some("1".into()), ..Columns::default() };
    let table = Table::read(&data()?.join("uci/breast-cancer-wisconsin.data"), &columns).unwrap();
    assert_eq!(table.gaps(), [0, 0, 0, 0, 0, 16, 0, 0, 0]);
    Some(table)
}

fn bcwd() -> Option<Table> {
    let mut table = bcwd_with_gaps()?;
    assert_eq!(table.drop_gaps().unwrap().len(), 16);
    assert_eq!((table.rows.len(), table.columns.len()), (683, 9));
    Some(table)
}

fn australian() -> Option<Table> {
    let columns = Columns { label: Some("15".into()), ..Columns::default() };
    let table = Table::read(&data()?.join("uci/australian.dat"), &columns).unwrap();
    assert_eq!((table.rows.len(), table.columns.len()), (690, 14));
    Some(table)
}

fn hungarian() -> Option<Table> {
    let columns = Columns { label: Some("14".into()), ..Columns::default() };
    let table = Table::read(&data()?.join("uci/processed.hungarian.data"), &columns).unwrap();
    assert_eq!((table.rows.len(), table.gaps().iter().sum()), (294, 782));
    Some(table)
}

fn generated() -> Table {
    let columns =
        Columns { label: Some(generate::LABEL.into()), id: Some(generate::ID.into()), ..Columns::default() };
    Table::parse(generate::patients(400, 1).as_bytes(), &columns).unwrap()
}

/// Scaling, λ and C of a run; the learning rate is the book's.
#[derive(Clone, Copy)]
struct Setting {
    scaling: Scaling,
    parameters: Hyperparameters,
}

fn setting(scaling: Scaling, lambda: &str, c: &str) -> Setting {
    let decimal = |text: &str| text.parse().unwrap();
    let parameters =
        Hyperparameters { learning_rate: decimal("0.00095"), lambda: decimal(lambda), c: decimal(c) };
    Setting { scaling, parameters }
}

/// Instances of each iteration, drawn uniformly.
fn schedule(instances: usize, iterations: usize, batch: usize, seed: u64) -> Vec<Vec<u32>> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut draw = || (rng.next_u64() % instances as u64) as u32;
    (0..iterations).map(|_| (0..batch).map(|_| draw()).collect()).collect()
}

/// What a run without cryptography gives.
struct Parts {
    indicators: Vec<Vec<bool>>,
    weights: Vec<i64>,
    predictions: Vec<Label>,
    /// Largest |aⁱ| of a participant.
    largest: i64,
}

/// n participants with a block of columns each, who show each other only the sums of their margins.
fn participants(
    table: &Table,
    split: &Split,
    schedule: &[Vec<u32>],
    setting: Setting,
    parties: usize,
) -> Parts {
    let labels = table.labels().unwrap();
    let labels: Vec<_> = split.train.iter().map(|&row| labels[row]).collect();
    let bound = MarginBound::new(60, parties as u32);
    let update = Update::new(&setting.parameters);
    let mut members: Vec<_> = split::deal(table.columns.len(), parties)
        .unwrap()
        .into_iter()
        .map(|columns| {
            let own = table.slice(columns);
            let scaler = Scaler::fit(&own, &split.train, setting.scaling).unwrap();
            let encode = |rows: &[usize]| Features::encode(&scaler.apply(&own, rows).unwrap()).unwrap();
            (encode(&split.train), encode(&split.test), vec![0i64; own.columns.len()])
        })
        .collect();

    let mut largest = 0;
    let mut indicators = Vec::new();
    for (iteration, batch) in schedule.iter().enumerate() {
        let inside: Vec<bool> = batch
            .iter()
            .map(|&s| {
                let parts = members.iter().map(|(train, _, weights)| {
                    fixed::margin(weights, train, &labels, s as usize, bound).unwrap()
                });
                parts.inspect(|a| largest = largest.max(a.abs())).sum::<i64>() < ONE
            })
            .collect();
        for (train, _, weights) in &mut members {
            update.step(weights, train, &labels, (batch, &inside), iteration).unwrap();
        }
        indicators.push(inside);
    }
    for (train, _, weights) in &members {
        let folded = fixed::weights(train, &labels, schedule, &indicators, &update).unwrap();
        assert_eq!(&folded, weights, "the fold of the history is the state");
    }
    let score = |row| members.iter().map(|(_, test, w)| fixed::score(w, test.row(row))).sum();
    Parts {
        predictions: (0..split.test.len()).map(|row| fixed::predict(score(row))).collect(),
        weights: members.iter().flat_map(|(_, _, weights)| weights.clone()).collect(),
        indicators,
        largest,
    }
}

/// The reference on the unsplit table: run, predictions of the test rows, their labels, and how many indicators
/// differ from double precision.
fn unsplit(
    table: &Table,
    split: &Split,
    schedule: &[Vec<u32>],
    setting: Setting,
) -> (reference::Reference, Vec<Label>, Vec<Label>, usize) {
    let labels = table.labels().unwrap();
    let pick = |rows: &[usize]| -> Vec<Label> { rows.iter().map(|&row| labels[row]).collect() };
    let scaler = Scaler::fit(table, &split.train, setting.scaling).unwrap();
    let training = scaler.apply(table, &split.train).unwrap();
    let run = reference::train(
        &training,
        &pick(&split.train),
        schedule,
        &setting.parameters,
        reference::Variant::default(),
    );
    let float = float::train(
        &training,
        &pick(&split.train),
        schedule,
        &setting.parameters,
        reference::Variant::default(),
    );
    let predictions = run.predict(&scaler.apply(table, &split.test).unwrap());
    let differing = differing(&run.indicators, &float.indicators);
    (run, predictions, pick(&split.test), differing)
}

fn assert_equal(table: &Table, setting: Setting, iterations: usize, batch: usize, seed: u64) {
    let split = split::stratified(&table.labels().unwrap(), 0.2, seed).unwrap();
    let schedule = schedule(split.train.len(), iterations, batch, seed);
    let (reference, predictions, ..) = unsplit(table, &split, &schedule, setting);
    for parties in 2..=5 {
        let parts = participants(table, &split, &schedule, setting, parties);
        assert_eq!(differing(&parts.indicators, &reference.indicators), 0, "{parties} participants");
        let weights: Vec<i64> = reference.weights.iter().map(|w| i64::try_from(w).unwrap()).collect();
        assert_eq!(parts.weights, weights, "{parties} participants");
        assert_eq!(parts.predictions, predictions, "{parties} participants");
    }
    // The comparison is able to fail: another value of one indicator shows.
    let mut flipped = reference.indicators.clone();
    let (iteration, visit) = (iterations / 2, batch / 2);
    flipped[iteration][visit] ^= true;
    assert_eq!(differing(&flipped, &reference.indicators), 1);
}

#[test]
fn participants_compute_what_the_reference_computes_generated() {
    for (scaling, lambda, c) in
        [(Scaling::Std, "1", "1"), (Scaling::Unit, "0", "10"), (Scaling::Std, "0.001", "0.003125")]
    {
        assert_equal(&generated(), setting(scaling, lambda, c), 300, 1, 3);
        assert_equal(&generated(), setting(scaling, lambda, c), 24, 64, 4);
    }
}

#[test]
fn participants_compute_what_the_reference_computes_public_sets() {
    for table in [bcwd(), australian()].into_iter().flatten() {
        for (scaling, lambda, c) in
            [(Scaling::Std, "1", "1"), (Scaling::Unit, "1", "1"), (Scaling::Std, "0", "1")]
        {
            assert_equal(&table, setting(scaling, lambda, c), 1_500, 1, 5);
            assert_equal(&table, setting(scaling, lambda, c), 24, 64, 6);
        }
    }
}

#[test]
fn gaps_are_filled_by_each_participant_alone() {
    let Some(table) = hungarian() else { return };
    assert_equal(&table, setting(Scaling::Std, "1", "1"), 300, 1, 1);
}

/// As the baselines were made.
const FIFTY: CrossValidation = CrossValidation { folds: 5, repeats: 10, seed: 1 };

/// Mean accuracy of 50 folds; prints the figures of the run.
fn mean_accuracy(name: &str, table: &Table, setting: evaluation::Setting) -> f64 {
    let folds: Vec<Fold> = FIFTY.places().map(|place| place.evaluate(table, &setting, 2).unwrap()).collect();
    let summary = Summary::of(folds.iter().map(|fold| &fold.reference));
    let sum = |of: fn(&Fold) -> u64| folds.iter().map(of).sum::<u64>();
    println!(
        "{name}: accuracy {:.4} ± {:.4}, P/R {:.3}/{:.3}, inverted {:.3}/{:.3}; {} of {} indicators differ from double \
         precision",
        summary.accuracy.mean,
        summary.accuracy.deviation,
        summary.positive.precision.mean,
        summary.positive.recall.mean,
        summary.inverted.precision.mean,
        summary.inverted.recall.mean,
        sum(|fold| fold.differing_indicators),
        sum(|fold| fold.indicators),
    );
    summary.accuracy.mean
}

/// By columns; prints also how large margins become in the folds of one repeat.
fn by_columns(name: &str, table: &Table, setting: Setting, iterations: u32, batch: u32) -> f64 {
    let Hyperparameters { learning_rate, lambda, c } = setting.parameters;
    let partition = Partition::Columns { scaling: setting.scaling, batch };
    let evaluated = evaluation::Setting { partition, iterations, learning_rate, lambda, c: Some(c) };
    let mut largest_whole = 0.0f64;
    let mut largest_part = [0i64; 3];
    for place in FIFTY.places().take(FIFTY.folds as usize) {
        let split = place.prepare(table, &evaluated, 2).unwrap().split;
        let schedule = evaluated.schedule(split.train.len() as u32, &place);
        let (run, ..) = unsplit(table, &split, &schedule, setting);
        largest_whole =
            largest_whole.max(run.largest_margin.to_string().parse::<f64>().unwrap() / ONE as f64);
        for (largest, parties) in largest_part.iter_mut().zip(3..) {
            let parts = participants(table, &split, &schedule, setting, parties);
            assert_eq!(parts.indicators, run.indicators);
            *largest = parts.largest.max(*largest);
        }
    }
    // Bits of n·max|aⁱ| + S.
    let bits = |(part, parties): (&i64, i64)| i64::BITS - (part * parties + ONE).leading_zeros();
    println!(
        "{name}, {iterations} × {batch}: largest |a| {largest_whole:.2}, |aⁱ| for n = 3, 4, 5 {:.2?}, bits {:?}",
        largest_part.map(|part| part as f64 / ONE as f64),
        largest_part.iter().zip(3..).map(bits).collect::<Vec<_>>(),
    );
    mean_accuracy(&format!("{name}, {iterations} × {batch}"), table, evaluated)
}

/// Within one standard deviation of the row of the baselines with the same scaling, λ and C.
fn assert_baseline(name: &str, table: Option<Table>, setting: Setting, (mean, deviation): (f64, f64)) {
    let Some(table) = table else { return };
    // The batch is summed, not averaged: as many visits move the model about as far.
    for (iterations, batch) in [(1_500, 1), (24, 64)] {
        let accuracy = by_columns(name, &table, setting, iterations, batch);
        assert!((accuracy - mean).abs() <= deviation, "{name}: {accuracy:.4}, expected {mean} ± {deviation}");
    }
}

#[test]
fn baseline_bcwd_std() {
    assert_baseline("BCWD (std, 1, 1)", bcwd(), setting(Scaling::Std, "1", "1"), (0.971, 0.012));
}

#[test]
fn baseline_bcwd_unit() {
    assert_baseline("BCWD (unit, 1, 1)", bcwd(), setting(Scaling::Unit, "1", "1"), (0.933, 0.017));
}

#[test]
fn baseline_australian_std() {
    assert_baseline("Australian (std, 0, 1)", australian(), setting(Scaling::Std, "0", "1"), (0.868, 0.027));
}

#[test]
fn baseline_australian_std_regularised() {
    assert_baseline(
        "Australian (std, 1, 10)",
        australian(),
        setting(Scaling::Std, "1", "10"),
        (0.857, 0.031),
    );
}

/// Training by rows as `confab train --partition rows` has it unless told otherwise, within one standard deviation of the
/// baselines' linear machines on standardised columns.
fn assert_rows_baseline(name: &str, table: Option<Table>, (mean, deviation): (f64, f64)) {
    let Some(table) = table else { return };
    let decimal = |text: &str| text.parse().unwrap();
    let variant = reference::Variant { intercept: true, tolerance: None };
    let setting = evaluation::Setting {
        partition: Partition::Rows { providers: 5, batch: None, standardise: true, variant },
        iterations: 100,
        learning_rate: decimal("0.5"),
        lambda: decimal("0.001"),
        c: None,
    };
    let accuracy = mean_accuracy(name, &table, setting);
    assert!((accuracy - mean).abs() <= deviation, "{name}: {accuracy:.4}, expected {mean} ± {deviation}");
}

#[test]
fn baseline_bcwd_by_rows() {
    assert_rows_baseline("BCWD by rows, gaps dropped", bcwd(), (0.968, 0.014));
    assert_rows_baseline("BCWD by rows, gaps filled", bcwd_with_gaps(), (0.967, 0.011));
}

#[test]
fn baseline_hungarian_by_rows() {
    assert_rows_baseline("Hungarian by rows, gaps filled", hungarian(), (0.848, 0.042));
}

#[test]
fn baseline_hungarian_std() {
    assert_baseline("Hungarian (std, 1, 1)", hungarian(), setting(Scaling::Std, "1", "1"), (0.854, 0.046));
}

#[test]
fn generated_data_can_be_learned() {
    for (iterations, batch) in [(1_500, 1), (24, 16)] {
        let setting = setting(Scaling::Std, "0", "1");
        let accuracy = by_columns("generated (std, 0, 1)", &generated(), setting, iterations, batch);
        assert!((0.85..0.99).contains(&accuracy), "{accuracy}");
    }
}
