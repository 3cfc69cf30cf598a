//! Means and deviations over the rows of three organisations, on every ledger: they are those of the tables put together,
//! with gaps and negative values; with too few rows in all nothing but their number is opened.

use crate::fixture::{Ledger, On, confab, run, spawn_quiet};
use crate::harness::{Test, test};
use experiment::Participants;
use gateway_client::Call;
use node::{jobs::mean::MeanReport, proposal, worker::KeyReport};
use records::{
    Collusion, JobParams, JobView, KeyGeneration, Kind, Outcome, Phase,
    jobs::{Mean, STATISTICS},
};
use std::{fmt::Write, fs, process::Output, time::Duration};
use tokio::time::timeout;

pub const TESTS: &[Test] = &[test!(means on Dev, Fabric, Fabric2_5)];

const BITS: u32 = 512;
/// Rows of each organisation; every seventh has a gap.
const ROWS: [i64; 3] = [40, 17, 29];

async fn means(on: On) {
    let ledger = Ledger::start(on, 3).await;
    let participants = ledger.participants("members", 3);
    for (party, rows) in ROWS.into_iter().enumerate() {
        write_table(&participants, party, rows);
    }
    let key = negotiate(&participants).await;
    let params = the_template_follows_from_table_and_key(&participants, &key);
    everybody_learns_the_means_of_all_rows(&ledger, &participants, &params).await;
    too_few_rows_open_nothing_else(&ledger, &participants, &key).await;
}

/// Temperature in tenths and balance in cents of a row; `None` where it has a gap.
fn values(party: usize, row: i64) -> Option<(i64, i64)> {
    let seed = 31 * row + 7 * party as i64;
    (row % 7 != 3).then_some((360 + seed % 43, (seed * 7919) % 1_000_001 - 500_000))
}

fn decimal(scaled: i64, unit: i64, places: usize) -> String {
    let sign = if scaled < 0 { "-" } else { "" };
    format!("{sign}{}.{:0places$}", scaled.abs() / unit, scaled.abs() % unit)
}

/// Gives a node a table whose columns are in another order than those of the others.
fn write_table(participants: &Participants, party: usize, rows: i64) {
    let order = |mut cells: Vec<String>| {
        cells.rotate_left(party);
        cells.join(",")
    };
    let mut text = order(["state", "temperature", "balance"].map(String::from).to_vec()) + "\n";
    for row in 0..rows {
        let state = if row % 2 == 0 { "well" } else { "ill" }.to_owned();
        let (temperature, balance) = match values(party, row) {
            Some((temperature, balance)) => (decimal(temperature, 10, 1), decimal(balance, 100, 2)),
            None => (decimal(371, 10, 1), "NA".into()),
        };
        writeln!(text, "{}", order(vec![state, temperature, balance])).unwrap();
    }
    let config = &participants.configs[party];
    fs::write(config.with_file_name("table.csv"), text).unwrap();
    let own = fs::read_to_string(config).unwrap();
    fs::write(config, own + "\n[data]\nfile = \"table.csv\"\nlabel = \"state\"\n").unwrap();
}

async fn negotiate(participants: &Participants) -> String {
    let generation = KeyGeneration {
        purpose: STATISTICS.into(),
        ..proposal::key_generation(BITS, true, 2, Collusion::Minority)
    };
    let params = proposal::job_params(Kind::KeyGeneration(generation), participants.names()).unwrap();
    let reports: Vec<KeyReport> = run(participants, &params, &[]).await;
    reports[0].key.to_string()
}

/// What `confab job template` prints for the first organisation.
fn template(participants: &Participants, key: &str, settings: &[&str]) -> Output {
    let mut args = vec!["job", "template", "--kind", "mean", "--key", key];
    settings.iter().for_each(|setting| args.extend(["--set", setting]));
    args.extend(["Org1MSP", "Org2MSP", "Org3MSP"]);
    confab(participants, 0, &args)
}

fn said(output: &Output) -> String {
    String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap()
}

fn the_template_follows_from_table_and_key(participants: &Participants, key: &str) -> JobParams {
    let output = template(participants, key, &["min_rows=60"]);
    assert!(output.status.success(), "{}", said(&output));
    let params: JobParams = serde_json::from_slice(&output.stdout).unwrap();
    let Kind::Mean(mean) = &params.kind else { panic!() };
    let expected = Mean {
        key: key.parse().unwrap(),
        key_bits: BITS,
        insecure_key_bits: true,
        quorum: 2,
        columns: vec!["temperature".into(), "balance".into()],
        places: 2,
        value_bits: 48,
        max_rows: 1_000_000,
        min_rows: 60,
        two_participants: false,
    };
    assert_eq!(*mean, expected);
    let refused = |settings: &[&str], why: &str| {
        let output = template(participants, key, settings);
        assert!(!output.status.success() && said(&output).contains(why), "{}", said(&output));
    };
    refused(&["rows=5"], "mean has no parameter `rows`");
    refused(&["min_rows=5"], "min_rows: below 10");
    refused(&["columns=pulse"], "pulse");
    params
}

async fn everybody_learns_the_means_of_all_rows(
    ledger: &Ledger,
    participants: &Participants,
    params: &JobParams,
) {
    // A node that is killed makes the same records again.
    let reports: Vec<MeanReport> = run(participants, params, &[(1, Duration::from_millis(700))]).await;
    let all: Vec<(f64, f64)> = (0..3)
        .flat_map(|party| (0..ROWS[party]).filter_map(move |row| values(party, row)))
        .map(|(temperature, balance)| (temperature as f64 / 10.0, balance as f64 / 100.0))
        .collect();
    let columns: [Vec<f64>; 2] = [all.iter().map(|v| v.0).collect(), all.iter().map(|v| v.1).collect()];
    for (party, report) in reports.iter().enumerate() {
        assert_eq!(report.rows, all.len() as u64);
        let gaps = (0..ROWS[party]).filter(|row| values(party, *row).is_none()).count() as u64;
        assert_eq!((report.left_out, report.own_rows), (gaps, ROWS[party] as u64 - gaps));
        assert_eq!(report.columns, reports[0].columns);
        for (found, values) in report.columns.iter().zip(&columns) {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let squares: f64 = values.iter().map(|x| (x - mean) * (x - mean)).sum();
            let deviation = (squares / (values.len() - 1) as f64).sqrt();
            for (text, expected) in [(&found.mean, mean), (&found.deviation, deviation)] {
                let found: f64 = text.parse().unwrap();
                assert!((found - expected).abs() < 2e-8, "{found} is not {expected}");
            }
        }
    }
    let found = ledger.verify(&params.id()).await;
    assert!(found.complete, "{:?}", found.defects);
    // Twice the partial decryptions of a quorum.
    assert_eq!(found.proofs, 2 * 2);
    let id = params.id().to_string();
    let shown = said(&confab(participants, 2, &["job", "result", &id]));
    let temperature =
        shown.lines().find(|line| line.starts_with("temperature")).unwrap_or_else(|| panic!("{shown}"));
    assert!(temperature.contains(&reports[0].columns[0].mean), "{temperature}");
    assert!(shown.contains("what this job reveals"), "{shown}");
}

async fn too_few_rows_open_nothing_else(ledger: &Ledger, participants: &Participants, key: &str) {
    let output = template(participants, key, &["min_rows=1000", "columns=balance"]);
    let params: JobParams = serde_json::from_slice(&output.stdout).unwrap();
    let id = params.id();
    let nodes: Vec<_> = (0..3).map(|party| spawn_quiet(participants, party, &params)).collect();
    participants.propose(&params).await.unwrap();
    for (mut child, _stdin) in nodes {
        timeout(Duration::from_secs(120), child.wait()).await.expect("the node stops").unwrap();
    }
    let view = ledger.contract(0).evaluate(Call::new("job").arg(id.to_string())).await.unwrap();
    let ending = serde_json::from_slice::<JobView>(&view).unwrap().ending.unwrap();
    let Outcome::Aborted(reason) = &ending.outcome else { panic!("{ending}") };
    assert!(reason.contains("rows in all, fewer than the minimum of 1000; no sums were opened"), "{reason}");
    let records = ledger.records(&id).await;
    let opened = |round| records.keys().filter(|slot| slot.phase == Phase::Dv && slot.round == round).count();
    assert!(opened(0) >= 2 && opened(1) == 0, "{:?}", records.keys());
    // That a job ends so is nothing wrong.
    let found = ledger.verify(&id).await;
    assert!(!found.complete && found.defects.is_empty(), "{:?}", found.defects);
    let shown = said(&confab(participants, 0, &["job", "result", &id.to_string()]));
    assert!(shown.contains("fewer than the minimum of 1000"), "{shown}");
}
