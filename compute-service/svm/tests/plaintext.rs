//! The plaintext reference against published baselines, and against the participants' own arithmetic without any
//! cryptography. On the public data sets where they are present, and on generated data always.

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use std::path::PathBuf;
use svm::{
    Hyperparameters, Label,
    fixed::{self, Features, MarginBound, ONE, Update},
    float, generate,
    metrics::{Metrics, differing},
    reference,
    scaling::{Scaler, Scaling},
    split::{self, Split},
    table::{Columns, Table},
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

fn bcwd() -> Option<Table> {
    let columns = Columns { label: Some("11".into()), id: Some("1".into()), ..Columns::default() };
    let mut table = Table::read(&data()?.join("uci/breast-cancer-wisconsin.data"), &columns).unwrap();
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
    let float = float::train(&training, &pick(&split.train), schedule, &setting.parameters);
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
    let Some(folder) = data() else { return };
    let columns = Columns { label: Some("14".into()), ..Columns::default() };
    let table = Table::read(&folder.join("uci/processed.hungarian.data"), &columns).unwrap();
    assert_eq!(table.rows.len(), 294);
    assert_eq!(table.rows.iter().flat_map(|r| &r.values).filter(|v| v.is_none()).count(), 782);
    assert_equal(&table, setting(Scaling::Std, "1", "1"), 300, 1, 1);
}

/// Mean and population deviation.
fn spread(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
    (mean, variance.sqrt())
}

/// Mean accuracy of 50 splits; prints the figures of the run.
fn mean_accuracy(name: &str, table: &Table, setting: Setting, iterations: usize, batch: usize) -> f64 {
    let mut runs: Vec<Metrics> = Vec::new();
    let mut largest_whole = 0.0f64;
    let mut largest_part = [0i64; 3];
    let mut differing = 0;
    for seed in 0..50 {
        let split = split::stratified(&table.labels().unwrap(), 0.2, seed).unwrap();
        let schedule = schedule(split.train.len(), iterations, batch, seed);
        let (run, predictions, labels, differs) = unsplit(table, &split, &schedule, setting);
        runs.push(Metrics::new(&labels, &predictions));
        differing += differs;
        largest_whole =
            largest_whole.max(run.largest_margin.to_string().parse::<f64>().unwrap() / ONE as f64);
        for (largest, parties) in largest_part.iter_mut().zip(3..) {
            let parts = participants(table, &split, &schedule, setting, parties);
            assert_eq!(parts.indicators, run.indicators);
            *largest = parts.largest.max(*largest);
        }
    }
    let (accuracy, deviation) = spread(&runs.iter().map(|m| m.scores.accuracy).collect::<Vec<_>>());
    let mean = |score: fn(&Metrics) -> f64| spread(&runs.iter().map(score).collect::<Vec<_>>()).0;
    // Bits of n·max|aⁱ| + S.
    let bits = |(part, parties): (&i64, i64)| i64::BITS - (part * parties + ONE).leading_zeros();
    println!(
        "{name}, {iterations} × {batch}: accuracy {accuracy:.4} ± {deviation:.4}, P/R {:.3}/{:.3}, inverted \
         {:.3}/{:.3}; {differing} of {} indicators differ from double precision; largest |a| {largest_whole:.2}, \
         |aⁱ| for n = 3, 4, 5 {:.2?}, bits {:?}",
        mean(|m| m.scores.precision),
        mean(|m| m.scores.recall),
        mean(|m| m.inverted.precision),
        mean(|m| m.inverted.recall),
        50 * iterations * batch,
        largest_part.map(|part| part as f64 / ONE as f64),
        largest_part.iter().zip(3..).map(bits).collect::<Vec<_>>(),
    );
    accuracy
}

/// Within one standard deviation of the row of the baselines with the same scaling, λ and C.
fn assert_baseline(name: &str, table: Option<Table>, setting: Setting, (mean, deviation): (f64, f64)) {
    let Some(table) = table else { return };
    let accuracy = mean_accuracy(name, &table, setting, 1_500, 1);
    assert!((accuracy - mean).abs() <= deviation, "{name}: {accuracy:.4}, expected {mean} ± {deviation}");
    // The batch is summed, not averaged: as many visits move the model about as far.
    let batched = mean_accuracy(name, &table, setting, 24, 64);
    assert!((batched - mean).abs() <= deviation, "{name}: {batched:.4}, expected {mean} ± {deviation}");
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

#[test]
fn generated_data_can_be_learned() {
    let accuracy =
        mean_accuracy("generated (std, 0, 1)", &generated(), setting(Scaling::Std, "0", "1"), 1_500, 1);
    assert!((0.85..0.99).contains(&accuracy), "{accuracy}");
    let demo = mean_accuracy("generated (std, 0, 1)", &generated(), setting(Scaling::Std, "0", "1"), 24, 16);
    assert!((0.85..0.99).contains(&demo), "{demo}");
}
