//! Trainings do not depend on the unit of measurement, judged by a computation of its own: from the text of the file on, in
//! floats, with nothing of what is judged but the division of the rows.

use dataset::{
    scaling::Scaling,
    split::Split,
    table::{Columns, Table},
};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use svm::{
    evaluation::{CrossValidation, Partition, Place, Setting},
    reference::{self, Variant},
};

/// 80 rows of an age and an analyte, which decides the outcome for the most part, in a unit and off by something.
fn file(unit: f64, offset: f64) -> String {
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let mut draw = || (0..6).map(|_| f64::from(rng.next_u32() % 1000) / 1000.0).sum::<f64>() - 3.0;
    let mut text = "case,age,analyte,outcome\n".to_string();
    for case in 0..80 {
        let (age, analyte) = (60.0 + 14.0 * draw(), 6.0 + 1.4 * draw());
        let ill = u8::from(analyte + 0.9 * draw() > 6.0);
        text += &format!("K{case:03},{age:.1},{:e},{ill}\n", analyte * unit + offset);
    }
    text
}

/// Rows as in the file: age, analyte, and 1 or −1.
fn parsed(text: &str) -> Vec<[f64; 3]> {
    let row = |line: &str| {
        let cells: Vec<f64> = line.split(',').skip(1).map(|cell| cell.parse().unwrap()).collect();
        [cells[0], cells[1], 2.0 * cells[2] - 1.0]
    };
    text.lines().skip(1).map(row).collect()
}

/// Weights, and how many test rows they tell rightly.
fn own(
    rows: &[[f64; 3]],
    split: &Split,
    schedule: &[Vec<u32>],
    [eta, lambda, c]: [f64; 3],
    b: bool,
) -> (Vec<f64>, usize) {
    let training: Vec<&[f64; 3]> = split.train.iter().map(|&row| &rows[row]).collect();
    let n = training.len() as f64;
    let moments = [0, 1].map(|column| {
        // Largest and smallest floats have no squares.
        let scale = training.iter().map(|row| row[column].abs()).fold(0.0, f64::max);
        let mean = training.iter().map(|row| row[column] / scale).sum::<f64>() / n;
        let variance = training.iter().map(|row| (row[column] / scale - mean).powi(2)).sum::<f64>() / n;
        (scale, mean, variance.sqrt())
    });
    let scaled = |row: &[f64; 3]| {
        let x = |column: usize| {
            let (scale, mean, deviation) = moments[column];
            (row[column] / scale - mean) / deviation
        };
        [x(0), x(1), if b { -1.0 } else { 0.0 }]
    };
    let dot = |w: &[f64; 3], x: &[f64; 3]| w[0] * x[0] + w[1] * x[1] + w[2] * x[2];
    let mut w = [0.0; 3];
    for visited in schedule {
        let mut gradient = [0.0; 3];
        for &row in visited {
            let row = training[row as usize];
            let x = scaled(row);
            if row[2] * dot(&w, &x) < 1.0 {
                gradient.iter_mut().zip(x).for_each(|(g, x)| *g += row[2] * x);
            }
        }
        for (place, (w, g)) in w.iter_mut().zip(gradient).enumerate() {
            *w += eta * (c * g - if place < 2 { lambda * *w } else { 0.0 });
        }
    }
    let right = |row: &&usize| (dot(&w, &scaled(&rows[**row])) >= 0.0) == (rows[**row][2] > 0.0);
    (w[..if b { 3 } else { 2 }].to_vec(), split.test.iter().filter(right).count())
}

/// Evaluates a file and compares; the accuracy of all folds together.
fn evaluated(text: &str, partition: Partition) -> f64 {
    let columns = Columns { label: Some("outcome".into()), id: Some("case".into()), ..Columns::default() };
    let table = Table::parse(text.as_bytes(), &columns).unwrap();
    let rows = parsed(text);
    let [rate, lambda] = match partition {
        Partition::Rows { .. } => ["0.5", "0.001"],
        Partition::Columns { .. } => ["0.00095", "1"],
    };
    let setting = Setting {
        partition,
        iterations: 60,
        learning_rate: rate.parse().unwrap(),
        lambda: lambda.parse().unwrap(),
        c: matches!(partition, Partition::Columns { .. }).then(|| "1".parse().unwrap()),
    };
    let mut right = 0.0;
    for place in (CrossValidation { folds: 5, repeats: 2, seed: 1 }).places() {
        let fold = place.evaluate(&table, &setting, 2).unwrap();
        let prepared = place.prepare(&table, &setting, 2).unwrap();
        let split = prepared.split;
        let schedule = setting.schedule(split.train.len() as u32, &place);
        let c = if setting.c.is_some() { 1.0 } else { 1.0 / split.train.len() as f64 };
        let numbers = [setting.learning_rate.to_f64(), setting.lambda.to_f64(), c];
        let variant = match partition {
            Partition::Rows { variant, .. } => variant,
            Partition::Columns { .. } => Variant::default(),
        };
        let (weights, expected) = own(&rows, &split, &schedule, numbers, variant.intercept);
        // By rows C is 1/m to nine places.
        let parameters = svm::Hyperparameters {
            learning_rate: setting.learning_rate,
            lambda: setting.lambda,
            c: setting.c.unwrap_or_else(|| svm::Hyperparameters::mean_c(split.train.len())),
        };
        let trained =
            reference::train(&prepared.train, &prepared.train_labels, &schedule, &parameters, variant);
        for (found, expected) in trained.weights.iter().zip(&weights) {
            let found = found.to_string().parse::<f64>().unwrap() / f64::from(1 << 24);
            assert!((found - expected).abs() < 0.05 * expected.abs().max(0.2), "{found} and {expected}");
        }
        assert!(weights[1].abs() > 0.1, "the analyte counts: {weights:?}");
        for found in [&fold.reference, &fold.float] {
            let found = found.scores.accuracy * split.test.len() as f64;
            assert!(
                (found - expected as f64).abs() < 1.5,
                "{place:?}: {found} of {} and {expected}",
                split.test.len()
            );
        }
        right += fold.reference.scores.accuracy / 10.0;
    }
    right
}

const BY_ROWS: Partition = Partition::Rows {
    providers: 2,
    batch: None,
    standardise: true,
    variant: Variant { intercept: true, tolerance: None },
};

#[test]
fn no_unit_and_no_offset_changes_what_is_learned() {
    let by_columns = |scaling| Partition::Columns { scaling, batch: 16 };
    for partition in [BY_ROWS, by_columns(Scaling::Std)] {
        let expected = evaluated(&file(1.0, 0.0), partition);
        assert!(expected > 0.75, "{expected}");
        for (unit, offset) in [
            (1e-9, 0.0),
            (1e9, 0.0),
            (1e-13, 0.0),
            (1e-300, 0.0),
            (1e300, 0.0),
            (-1e-9, 0.0),
            (0.001, 2020.0),
            (1.0, 1e10),
            // Integers beyond 2^53.
            (1e17, 0.0),
        ] {
            let found = evaluated(&file(unit, offset), partition);
            assert!((found - expected).abs() < 0.013, "{unit}, {offset}: {found} and {expected}");
        }
    }
}

#[test]
fn columns_that_are_too_fine_are_named_and_never_dropped() {
    let columns = Columns { label: Some("outcome".into()), id: Some("case".into()), ..Columns::default() };
    let place: Place = CrossValidation { folds: 5, repeats: 1, seed: 1 }.places().next().unwrap();
    let refused = |unit: f64, offset: f64, partition: Partition| {
        let table = Table::parse(file(unit, offset).as_bytes(), &columns).unwrap();
        let setting = Setting {
            partition,
            iterations: 2,
            learning_rate: "0.5".parse().unwrap(),
            lambda: "0.001".parse().unwrap(),
            c: None,
        };
        place.evaluate(&table, &setting, 2).unwrap_err().to_string()
    };
    let by_columns = |scaling| Partition::Columns { scaling, batch: 16 };
    for partition in [BY_ROWS, by_columns(Scaling::Std), by_columns(Scaling::Unit)] {
        let said = refused(1e-4, 1e9, partition);
        assert!(said.contains("column `analyte`: the values differ by too little for their size"), "{said}");
    }
    let said = refused(1e-9, 0.0, by_columns(Scaling::None));
    assert!(said.contains("column `analyte`") && said.contains("--scale std"), "{said}");
}
