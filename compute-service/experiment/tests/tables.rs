//! Whoever evaluates, trains, or runs a fold encrypted takes the same tables: what passes the checks is then read by the
//! nodes of the participants, too.

use dataset::{
    scaling::Scaling,
    split::Division,
    table::{Columns, Missing},
};
use experiment::{Experiment, Key, Participants, Source, TrainingOptions};
use node::{
    config::Config,
    data,
    proposal::{HorizontalOptions, VerticalOptions},
};
use protocol::JobSecret;
use records::{Job, VERSION};
use std::{fs, path::Path};
use svm::evaluation::CrossValidation;

const PARTIES: u32 = 3;
const FOLDS: CrossValidation = CrossValidation { folds: 2, repeats: 1, seed: 3 };

/// A table's rows behind a header: an identifier, three values and a class each.
fn text(header: &str, rows: usize, cells: &dyn Fn(usize) -> [String; 4]) -> String {
    let rows = (0..rows).map(|row| format!("K{row:04},{}\n", cells(row).join(",")));
    header.to_owned() + "\n" + &rows.collect::<String>()
}

fn ordinary(row: usize) -> [String; 4] {
    [40 + row * 7 % 31, 110 + row * 11 % 43, row * row % 17, usize::from(row % 3 == 1)].map(|v| v.to_string())
}

/// Ordinary rows, but for one cell of each.
fn with(rows: usize, place: usize, cell: &dyn Fn(usize) -> String) -> String {
    text("case,age,pressure,sugar,outcome", rows, &|row| {
        let mut cells = ordinary(row);
        cells[place] = cell(row);
        cells
    })
}

/// Tables, and what is said of them by rows and by columns: nothing where they are taken.
fn tables() -> Vec<(&'static str, String, [Option<&'static str>; 2])> {
    let in_unit = |unit: &str| with(24, 1, &|row| ordinary(row)[1].clone() + unit);
    let sometimes = |row: usize, there: bool| if there { row.to_string() } else { "?".into() };
    let too_few = Some("2 feature columns");
    vec![
        ("ordinary", in_unit(""), [None; 2]),
        ("tiny", in_unit("e-12"), [None; 2]),
        ("tinier", in_unit("e-300"), [None; 2]),
        ("huge", in_unit("e300"), [None; 2]),
        ("beyond 2^53", with(24, 0, &|row| format!("{}007199254740993", 1 + row % 7)), [None; 2]),
        ("offset", with(24, 0, &|row| format!("2020.{:03}", row % 7)), [None; 2]),
        (
            "hidden by its offset",
            with(24, 0, &|row| format!("1000000000.00{}", row % 7)),
            [Some("column `age`: the values differ by too little"); 2],
        ),
        ("constant", with(24, 2, &|_| "0.1".into()), [None; 2]),
        ("no value", with(24, 2, &|row| sometimes(row, false)), [None, too_few]),
        ("gaps", with(24, 1, &|row| sometimes(row, row % 4 != 1)), [None; 2]),
        ("few of a class", with(24, 3, &|row| u8::from(row % 12 == 5).to_string()), [None; 2]),
        ("one of a class", with(24, 3, &|row| u8::from(row == 5).to_string()), [Some("2 folds"); 2]),
        ("words", with(24, 3, &|row| ["\"very ill, indeed\"", "well"][row % 2].into()), [None; 2]),
        (
            "few rows",
            with(4, 3, &|row| (row % 2).to_string()),
            [Some("2 training rows cannot be divided"), None],
        ),
        ("names of the experiment", text("case,id,label,id_,outcome", 24, &ordinary), [None; 2]),
    ]
}

fn source(data: &Path, name: &str) -> Source {
    Source {
        data: data.into(),
        columns: Columns {
            label: Some("outcome".into()),
            id: Some("case".into()),
            positive: (name == "words").then(|| "very ill, indeed".into()),
            ..Columns::default()
        },
        missing: Missing::Mean,
        division: Division::Share { test_fraction: 0.2, seed: 1 },
    }
}

fn participants(dir: &Path, name: &str, count: u32) -> Participants {
    let profile = dir.join("profile.json");
    fs::write(&profile, "{}").unwrap();
    let organisations =
        (1..=count).map(|org| (format!("Org{org}MSP").parse().unwrap(), profile.clone())).collect();
    Participants::new(&dir.join(name), organisations, "channel".into(), "confab".into(), 1).unwrap()
}

/// Deploys a training and lets every node read what it got.
fn deployed(experiment: &Experiment, dir: &Path, name: &str) -> Result<(), String> {
    let nodes = participants(dir, name, experiment.organisations());
    let key = match experiment.training {
        TrainingOptions::Vertical { .. } => experiment.deal().unwrap(),
        TrainingOptions::Horizontal(_) => Key::Analyst,
    };
    let params = experiment.deploy(&nodes, &key).map_err(|e| e.to_string())?.params;
    let job =
        Job { version: VERSION, id: params.id(), params, proposer: "Org1MSP".parse().unwrap(), proposed: 0 };
    for (config, party) in nodes.configs.iter().zip(0..) {
        let (config, secret) = (Config::load(config).unwrap(), JobSecret::new([1; 32]));
        let loaded = match experiment.training {
            TrainingOptions::Vertical { .. } => data::load(&config, &job, party, &secret).map(drop),
            TrainingOptions::Horizontal(_) => data::rows(&config, &job, party, secret).map(drop),
        };
        loaded.map_err(|e| format!("node: {e}"))?;
    }
    Ok(())
}

#[test]
fn evaluations_trainings_and_encrypted_folds_take_the_same_tables() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("table.csv");
    for (name, text, [by_rows, by_columns]) in tables() {
        fs::write(&file, text).unwrap();
        let source = source(&file, name);
        let (table, ..) = source.table().unwrap();
        let said = [horizontal(), vertical()].map(|training| {
            let experiment = Experiment { source: source.clone(), training, holders: PARTIES };
            FOLDS
                .places()
                .map(|place| {
                    let kind = match experiment.training {
                        TrainingOptions::Vertical { .. } => "columns",
                        TrainingOptions::Horizontal(_) => "rows",
                    };
                    let experiment = experiment.divided(place.division());
                    [
                        place
                            .evaluate(&table, &experiment.setting(), PARTIES)
                            .map(drop)
                            .map_err(|e| e.to_string()),
                        experiment.check().map(drop).map_err(|e| e.to_string()),
                        deployed(&experiment, dir.path(), &format!("{name} {kind} {}", place.fold)),
                    ]
                })
                .collect::<Vec<_>>()
        });
        for (said, expected) in said.iter().zip([by_rows, by_columns]) {
            let as_expected = |result: &Result<(), String>| match (result, expected) {
                (Ok(()), None) => true,
                (Err(said), Some(words)) => said.contains(words),
                _ => false,
            };
            assert!(said.iter().flatten().all(as_expected), "{name}: {said:?}");
        }
    }
}

fn vertical() -> TrainingOptions {
    let options = VerticalOptions {
        key_bits: 512,
        insecure_key_bits: true,
        weak_blinding: true,
        batch: 1,
        iterations: 2,
        ..VerticalOptions::default()
    };
    TrainingOptions::Vertical { options, scale: Scaling::Std }
}

fn horizontal() -> TrainingOptions {
    TrainingOptions::Horizontal(HorizontalOptions {
        iterations: 2,
        key_bits: 512,
        insecure_key_bits: true,
        weak_blinding: true,
        ..HorizontalOptions::default()
    })
}
