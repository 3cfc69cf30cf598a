//! Whoever evaluates, trains, or runs a fold encrypted takes the same tables: what passes the checks is then read by the
//! nodes of the participants, too.

use dataset::{
    scaling::Scaling,
    split::Division,
    table::{Columns, Missing},
};
use node::{
    config::Config,
    data,
    experiment::{Key, Participants, Plan, Source, template},
    rows::RowsPlan,
};
use protocol::JobSecret;
use records::{Comparison, HorizontalSvm, Job, JobParams, Kind, Publication, VERSION, VerticalSvm};
use std::{fs, path::Path};
use svm::evaluation::{CrossValidation, Setting};

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

fn job(params: JobParams) -> Job {
    Job { version: VERSION, id: params.id(), params, proposer: "Org1MSP".parse().unwrap(), proposed: 0 }
}

/// Lays a training by rows out and lets every node read what it got.
fn rows_laid_out(plan: &RowsPlan, dir: &Path, name: &str) -> Result<(), String> {
    let nodes = participants(dir, name, PARTIES + 1);
    let prepared = plan.lay_out(&nodes).map_err(|e| e.to_string())?;
    let job = job(prepared.params);
    for (config, party) in nodes.configs.iter().zip(0..) {
        let config = Config::load(config).unwrap();
        data::rows(&config, &job, party, JobSecret::new([1; 32])).map_err(|e| format!("node: {e}"))?;
    }
    Ok(())
}

/// The same by columns.
fn columns_laid_out(plan: &Plan, dir: &Path, name: &str) -> Result<(), String> {
    let nodes = participants(dir, name, PARTIES);
    let plan = Plan { organisations: nodes.organisations.clone(), ..plan.clone() };
    let key = Key::Dealt(plan.deal().unwrap());
    let prepared = plan.lay_out(&nodes, &key).map_err(|e| e.to_string())?;
    let job = job(prepared.params);
    for (config, party) in nodes.configs.iter().zip(0..) {
        let config = Config::load(config).unwrap();
        data::load(&config, &job, party, &JobSecret::new([1; 32])).map_err(|e| format!("node: {e}"))?;
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
        let rows = RowsPlan { source: source.clone(), c: None, training: rows_training() };
        let columns = Plan {
            source,
            scale: Scaling::Std,
            training: columns_training(),
            organisations: Vec::new(),
            channel: "channel".into(),
            chaincode: "confab".into(),
            patience_secs: 1,
        };
        let (mut of_rows, mut of_columns) = (Vec::new(), Vec::new());
        for place in FOLDS.places() {
            let folder = |kind: &str| format!("{name} {kind} {}", place.fold);
            let evaluated = |setting: &Setting| {
                place.evaluate(&table, setting, PARTIES).map(drop).map_err(|e| e.to_string())
            };
            let mut rows = rows.clone();
            rows.source.division = place.division();
            of_rows.push([
                evaluated(&Setting::by_rows(&rows.training, PARTIES, None)),
                rows.check(PARTIES).map(drop).map_err(|e| e.to_string()),
                rows_laid_out(&rows, dir.path(), &folder("rows")),
            ]);
            let mut columns = columns.clone();
            columns.source.division = place.division();
            of_columns.push([
                evaluated(&Setting::by_columns(&columns.training, columns.scale)),
                columns.check(PARTIES).map(drop).map_err(|e| e.to_string()),
                columns_laid_out(&columns, dir.path(), &folder("columns")),
            ]);
        }
        for (said, expected) in [(of_rows, by_rows), (of_columns, by_columns)] {
            let as_expected = |result: &Result<(), String>| match (result, expected) {
                (Ok(()), None) => true,
                (Err(said), Some(words)) => said.contains(words),
                _ => false,
            };
            assert!(said.iter().flatten().all(as_expected), "{name}: {said:?}");
        }
    }
}

fn columns_training() -> VerticalSvm {
    let params = template(1, (0..PARTIES).map(|party| party.to_string().parse().unwrap()).collect()).unwrap();
    let Kind::VerticalSvm(training) = params.kind else { unreachable!("a training by columns") };
    VerticalSvm {
        key_bits: 512,
        insecure_key_bits: true,
        weak_blinding: true,
        batch: 1,
        iterations: 2,
        ..training
    }
}

fn rows_training() -> HorizontalSvm {
    HorizontalSvm {
        comparison: Comparison::Hidden,
        analyst: 0,
        columns: Vec::new(),
        positive: String::new(),
        negative: String::new(),
        standardise: true,
        units: Vec::new(),
        rows: 0,
        batch: None,
        iterations: 2,
        tolerance: None,
        learning_rate: "0.5".parse().unwrap(),
        lambda: "0.001".parse().unwrap(),
        c: "1".parse().unwrap(),
        intercept: true,
        gradient_noise: None,
        key_bits: 512,
        insecure_key_bits: true,
        margin_bits: 50,
        weak_blinding: true,
        model: Publication::Published,
    }
}
