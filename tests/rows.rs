//! Training by rows on both ledgers: providers and an analyst as nodes, killed in every phase; the model is that of the
//! pooled rows. Who brings what does not fit is named.

use crate::fixture::{
    Ledger, On, Running,
    organisations::{error, ok},
    run,
};
use crate::harness::{Test, test};
use dataset::{Label, split};
use experiment::{Experiment, HorizontalReport, Key, Source, TrainingOptions};
use gateway_client::Call;
use node::{proposal::HorizontalOptions, worker::RowsReport};
use records::{Body, Code, Comparison, Decimal, JobId, Phase, Publication, Rules, Slot};
use std::{collections::BTreeSet, fs, path::Path, time::Duration};

pub const TESTS: &[Test] = &[
    test!(training on Dev, Fabric),
    test!(one_class),
    test!(column_names),
    test!(test_row),
    test!(empty_columns),
    test!(refusals),
];

async fn training(on: On) {
    let ledger = Ledger::start(on, 4).await;
    the_model_is_that_of_the_pooled_rows_though_nodes_are_killed(&ledger).await;
    the_papers_protocol_comes_to_the_same(&ledger).await;
}

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn experiment(ledger: &Ledger, name: &str, options: HorizontalOptions) -> Experiment {
    let options = HorizontalOptions {
        iterations: ITERATIONS,
        learning_rate: decimal("0.5"),
        lambda: decimal("0.001"),
        key_bits: 512,
        insecure_key_bits: true,
        weak_blinding: true,
        ..options
    };
    let table = ledger.network.dir.join(format!("{name}.csv"));
    Experiment {
        source: Source::generated(&table, 70).unwrap(),
        training: TrainingOptions::Horizontal(options),
        holders: 3,
    }
}

/// In every phase somebody is killed when the phase before is complete, or a moment later.
async fn the_model_is_that_of_the_pooled_rows_though_nodes_are_killed(ledger: &Ledger) {
    const ANALYST: usize = 3;
    for (name, killed) in [("provider", 1), ("analyst", ANALYST)] {
        let nodes = ledger.participants(name, 4);
        let options =
            HorizontalOptions { batch: Some(12), model: Publication::Split, ..HorizontalOptions::default() };
        let deployment = experiment(ledger, name, options).deploy(&nodes, &Key::Analyst).unwrap();
        let running = Running::start(&nodes, &deployment.params).await;
        let rules = Rules::new(&deployment.params);
        let (mut before, mut met) = (0, BTreeSet::new());
        for (index, (phase, round)) in steps().into_iter().enumerate() {
            // One round of each phase: the first steps have but one, then an iteration later each time.
            let later = ITERATION.iter().position(|step| *step == phase).filter(|_| round < ITERATIONS);
            if later.is_none_or(|place| round as usize == place + 1) && met.insert(phase) {
                running.reach(before).await;
                if phase == Phase::Gradient && name == "provider" {
                    nobody_posts_for_a_round_that_is_over(ledger, ANALYST, &deployment.params.id()).await;
                }
                tokio::time::sleep(Duration::from_millis(2 * index as u64)).await;
                running.kill_node(killed, Duration::from_millis(50)).await;
            }
            before += rules.round_slots(phase, round).len() as u64;
        }
        assert_eq!(met.len(), rules.phases().len());
        let (reports, _) = running.end::<RowsReport>().await;
        let summary = HorizontalReport::new(&deployment, &reports, ledger.name(), 0.0).unwrap();
        assert_eq!(summary.identical_weights, Some(true), "{name} killed");
        assert_eq!(summary.identical_predictions, Some(true), "{name} killed");
        assert_eq!(summary.iterations, (ITERATIONS, ITERATIONS));
        assert!(summary.secure.scores.accuracy > 0.7, "{:?}", summary.secure);
        // The model stays with the analyst.
        let has_model: Vec<bool> = reports.iter().map(|report| report.model.is_some()).collect();
        assert_eq!(has_model, [false, false, false, true]);
        let found = ledger.verify(&deployment.params.id()).await;
        assert!(found.complete, "{:?}", found.defects);
    }
}

const ITERATIONS: u32 = 8;

/// The steps of an iteration.
const ITERATION: [Phase; 4] = [Phase::Weights, Phase::Margins, Phase::Indicators, Phase::Gradient];

/// All steps in their order.
fn steps() -> Vec<(Phase, u32)> {
    let first = [Phase::Keys, Phase::Moments, Phase::SeedCommit, Phase::SeedOpen].map(|phase| (phase, 0));
    let rounds = (0..ITERATIONS).flat_map(|round| ITERATION.map(|phase| (phase, round)));
    let last = [(Phase::Weights, ITERATIONS), (Phase::Model, ITERATIONS), (Phase::Result, 0)];
    first.into_iter().chain(rounds).chain(last).collect()
}

/// An analyst that posts by itself, another model for a round that is over, is refused by the contract.
async fn nobody_posts_for_a_round_that_is_over(ledger: &Ledger, analyst: usize, job: &JobId) {
    let records = ledger.records(job).await;
    for (round, refusal) in [(1u32, Code::AlreadyDifferent), (ITERATIONS - 1, Code::NotYet)] {
        let slot = Slot { phase: Phase::Weights, round: 1, party: analyst as u32, chunk: 0 };
        let Body::Ciphertexts(mut list) = records[&slot].body.clone() else { panic!("encrypted weights") };
        list.swap(0, 1);
        let call = Call::new("post")
            .arg(job.to_string())
            .arg(Phase::Weights.as_str())
            .arg(round.to_string())
            .arg("0")
            .arg(serde_json::to_vec(&Body::Ciphertexts(list)).unwrap());
        let refused = ledger.contract(analyst).submit(call).await.unwrap_err();
        assert_eq!(
            refused.refusal().map(|refusal| refusal.code.as_str()),
            Some(refusal.as_str()),
            "{refused}"
        );
    }
}

async fn the_papers_protocol_comes_to_the_same(ledger: &Ledger) {
    let nodes = ledger.participants("paper", 4);
    let options = HorizontalOptions { comparison: Comparison::Paper, ..HorizontalOptions::default() };
    let deployment = experiment(ledger, "paper", options).deploy(&nodes, &Key::Analyst).unwrap();
    let reports: Vec<RowsReport> = run(&nodes, &deployment.params, &[]).await;
    let summary = HorizontalReport::new(&deployment, &reports, ledger.name(), 0.0).unwrap();
    assert_eq!(summary.identical_weights, Some(true));
    assert!(reports.iter().all(|report| report.model.is_some()));
    assert!(ledger.verify(&deployment.params.id()).await.complete);
}

const SMALL: [&str; 3] = ["--key-bits", "512", "--insecure-key-bits"];

/// 60 rows of which every twelfth is of class 1.
fn rows(header: &str, cells: impl Fn(usize) -> [String; 2]) -> String {
    let row = |row: usize| {
        let [first, second] = cells(row);
        format!("K{row:03},{first},{second},{}\n", u8::from(row % 12 == 5))
    };
    header.to_owned() + "\n" + &(0..60).map(row).collect::<String>()
}

fn ordinary(row: usize) -> [String; 2] {
    [(40 + row * 7 % 31).to_string(), format!("{}.5", 110 + row * 11 % 43 + 30 * usize::from(row % 12 == 5))]
}

/// What `confab train` reports of a table.
fn trained(file: &Path, more: &[&str]) -> serde_json::Value {
    let file = file.to_str().unwrap();
    let mut args = vec!["train", "--data", file, "--label", "outcome", "--id", "case", "--iterations", "3"];
    args.extend(SMALL.iter().chain(&["--weak-blinding", "--json", "-"]).chain(more));
    serde_json::from_str(&ok(&args)).unwrap()
}

const BY_ROWS: [&str; 4] = ["--partition", "rows", "--participants", "5"];
const BY_COLUMNS: [&str; 6] = ["--participants", "2", "--key", "deal", "--batch", "8"];

/// Providers of one class take part.
fn one_class() {
    let dir = tempfile::tempdir().unwrap();
    let generated = dir.path().join("rows.csv");
    fs::write(&generated, rows("case,age,pressure,outcome", ordinary)).unwrap();
    let given = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/cases/rows-one-class.csv");
    for file in [generated, given].iter().filter(|file| file.is_file()) {
        let report = trained(file, &BY_ROWS);
        assert_eq!(
            (&report["identical_weights"], &report["identical_predictions"]),
            (&true.into(), &true.into())
        );
        let path = file.to_str().unwrap();
        ok(&[
            &[
                "evaluate",
                "--data",
                path,
                "--label",
                "outcome",
                "--id",
                "case",
                "--folds",
                "2",
                "--repeats",
                "1",
            ][..],
            &BY_ROWS,
        ]
        .concat());
    }
}

/// Columns may have the names of the experiment's own.
fn column_names() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rows.csv");
    fs::write(&file, rows("case,id,label,outcome", ordinary)).unwrap();
    for partition in [&BY_ROWS[..], &BY_COLUMNS] {
        assert_eq!(trained(&file, partition)["identical_weights"], true, "{partition:?}");
    }
}

/// A row kept for testing stops no training.
fn test_row() {
    let dir = tempfile::tempdir().unwrap();
    let labels: Vec<Label> = (0..60).map(|row| Label::of_sign(row % 12 != 5)).collect();
    let kept = split::stratified(&labels, 0.2, 1).unwrap().test[3];
    let file = dir.path().join("rows.csv");
    let far = |row: usize| if row == kept { ["1e300".into(), "-1e307".into()] } else { ordinary(row) };
    fs::write(&file, rows("case,age,pressure,outcome", far)).unwrap();
    for partition in [&BY_ROWS[..], &BY_COLUMNS] {
        assert_eq!(trained(&file, partition)["identical_predictions"], true, "{partition:?}");
    }
}

/// A column without a value is left out and a constant one is nothing.
fn empty_columns() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rows.csv");
    let cells = |row: usize| [format!("?,{}", ordinary(row)[0]), "9007199254740994".to_string()];
    fs::write(&file, rows("case,never,age,constant,outcome", cells)).unwrap();
    for partition in [&BY_ROWS[..], &BY_COLUMNS] {
        let report = trained(&file, &[partition, &["--missing", "mean"]].concat());
        assert_eq!(report["left_out"], serde_json::json!(["never"]), "{partition:?}");
        assert_eq!(report["identical_weights"], true, "{partition:?}");
    }
}

/// What training by rows does not take is named by both commands, with the line of the file.
fn refusals() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rows.csv");
    // 32 standard deviations need more than 1,025 rows.
    let mut text = "case,age,pressure,outcome\n".to_string();
    for row in 0..1400 {
        let [age, pressure] = ordinary(row);
        let age = if row == 1000 { "1e9".into() } else { age };
        text += &format!("K{row:04},{age},{pressure},{}\n", row % 2);
    }
    fs::write(&file, text).unwrap();
    let path = file.to_str().unwrap();
    for command in [&["train"][..], &["evaluate", "--folds", "10", "--repeats", "1"]] {
        let args =
            ["--partition", "rows", "--data", path, "--label", "outcome", "--id", "case", "--seed", "4"];
        let said = error(&[command, &args, &SMALL, &["--weak-blinding"]].concat());
        let named = said.contains(path) && said.contains("line 1002, column `age`");
        assert!(named && said.contains("standard deviations") && !said.contains("standardise"), "{said}");
    }
}
