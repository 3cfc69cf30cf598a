//! `confab evaluate` as a person runs it: its report in all three forms, folds in plaintext and encrypted on both ledgers,
//! what it refuses, and that an interruption leaves nothing.

use crate::fixture::{Ledger, On, program};
use crate::harness::{Test, test};
use dataset::generate;
use launcher::Kind;
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

pub const TESTS: &[Test] = &[
    test!(report),
    test!(escaping),
    test!(refusals),
    test!(interrupted),
    test!(secure_folds on Dev, Fabric),
];

/// A table of patients, and arguments that name it.
fn patients(dir: &Path) -> Vec<String> {
    let table = dir.join("patients.csv");
    fs::write(&table, generate::patients(60, 3)).unwrap();
    ["--data", table.to_str().unwrap(), "--label", generate::LABEL, "--id", generate::ID]
        .map(String::from)
        .to_vec()
}

fn evaluate(args: &[String], more: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.arg("evaluate").args(args).args(more).stdin(Stdio::null());
    command
}

/// What a command that must succeed wrote to standard output.
fn ok(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// The error of a command that must fail.
fn error(mut command: Command) -> String {
    let Output { status, stderr, .. } = command.output().unwrap();
    assert!(!status.success(), "{command:?}");
    let stderr = String::from_utf8(stderr).unwrap();
    stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or_else(|| panic!("{stderr}")).to_string()
}

/// Checks that every tag is closed, and that nothing is loaded or run.
fn assert_is_a_page(html: &str) {
    // Opened before the style ends.
    let mut open = vec!["html"];
    let (head, body) = html.split_once("</style>").unwrap();
    assert!(head.starts_with("<!doctype html>") && head.contains("prefers-color-scheme"));
    for tag in body.split('<').skip(1).map(|rest| rest.split_once('>').expect("a tag that ends").0) {
        let name = tag.split([' ', '\n']).next().unwrap();
        match name.strip_prefix('/') {
            Some("head") => {}
            Some(name) => assert_eq!(open.pop(), Some(name), "{tag}"),
            None if tag.ends_with('/') || name == "br" => {}
            None => open.push(name),
        }
    }
    assert_eq!(open, Vec::<&str>::new());
    for foreign in ["<script", "<img", "<link", "http:", "https:", "url(", "@import", "NaN", "inf "] {
        assert!(!html.contains(foreign), "{foreign}");
    }
}

/// The report has three forms.
fn report() {
    let dir = tempfile::tempdir().unwrap();
    let (json, html) = (dir.path().join("report.json"), dir.path().join("report.html"));
    let files = ["--force", "--json", json.to_str().unwrap(), "--html", html.to_str().unwrap()];
    for partition in ["columns", "rows"] {
        let options = ["--partition", partition, "--folds", "3", "--repeats", "2", "--seed", "9"];
        let shown = ok(evaluate(&patients(dir.path()), &[&files[..], &options].concat()));
        for part in
            ["3 × 2 repeats, stratified, seed 9", "plaintext reference", "64-bit floating point", "ROC"]
        {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        let report: Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
        assert_eq!(report["folds"].as_array().unwrap().len(), 6);
        let tested = |repeat: u64| -> u64 {
            let folds = report["folds"].as_array().unwrap().iter();
            folds
                .filter(|fold| fold["repeat"] == repeat)
                .map(|fold| fold["test_rows"].as_u64().unwrap())
                .sum()
        };
        assert_eq!((tested(1), tested(2)), (60, 60));
        let counts = report["confusion"].as_object().unwrap().values().map(|count| count.as_u64().unwrap());
        assert_eq!(counts.sum::<u64>(), 120);
        assert!(report["reference"]["accuracy"]["mean"].as_f64().unwrap() > 0.7, "{report}");
        assert!(report["auc"]["mean"].as_f64().unwrap() > 0.7, "{report}");
        let objective = report["objective"]["mean"].as_array().unwrap();
        assert!(objective[0].as_f64() > objective[objective.len() - 1].as_f64(), "{objective:?}");
        assert!(report["secure"].is_null());
        assert_is_a_page(&fs::read_to_string(&html).unwrap());
    }
    let again = ok(evaluate(&patients(dir.path()), &["--json", "-"]));
    let another = ok(evaluate(&patients(dir.path()), &["--json", "-"]));
    let without_time = |text: &str| {
        let mut report: Value = serde_json::from_str(text).unwrap();
        report["seconds"].take();
        report
    };
    assert_eq!(without_time(&again), without_time(&another), "a seed decides everything");
}

/// What the data says is text in the page.
fn escaping() {
    let dir = tempfile::tempdir().unwrap();
    let table = dir.path().join("<b>'\"&.csv");
    let mut text = "<script>alert(1)</script>;b;class\n".to_string();
    for row in 0..30 {
        let class = if row % 3 == 0 { "<img src=x>" } else { "\"\"\"onload=\"\"\"" };
        // One gap, so that the column is named.
        let cell = if row == 7 { String::new() } else { format!("{}", row % 3 * 5 + row % 2) };
        text += &format!("{cell};{};\"{class}\"\n", row % 4);
    }
    fs::write(&table, text).unwrap();
    let args = ["--data", table.to_str().unwrap(), "--label", "class", "--positive", "<img src=x>"]
        .map(String::from);
    let page = ok(evaluate(&args, &["--missing", "mean", "--participants", "2", "--html", "-"]));
    assert_is_a_page(&page);
    for part in
        ["&lt;script&gt;alert(1)&lt;/script&gt;: 1", "&lt;img src=x&gt;", "&lt;b&gt;&#39;&quot;&amp;.csv"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
}

/// What cannot be evaluated is refused.
fn refusals() {
    let dir = tempfile::tempdir().unwrap();
    let table = patients(dir.path());
    let absent = dir.path().join("absent/report.html");
    for (args, parts) in [
        (&["--folds", "40"][..], &["40 folds", "smaller class"][..]),
        (&["--verify"], &["--verify", "--secure"]),
        (&["--partition", "rows", "--gradient-noise", "1"], &["--gradient-noise"]),
        (&["--partition", "rows", "--scale", "unit"], &["--scale", "--partition columns"]),
        (&["--tolerance", "1"], &["--tolerance", "--partition rows"]),
        (&["--html", absent.to_str().unwrap()], &["absent", "no folder"]),
        (&["--html", "-", "--json", "-"], &["standard output"]),
        (&["--secure", "0"], &["folds"]),
        (&["--participants", "20"], &["12 feature columns", "20"]),
    ] {
        let error = error(evaluate(&table, args));
        assert!(parts.iter().all(|part| error.contains(part)), "{args:?}: {error}");
    }
}

/// An interruption leaves nothing behind.
fn interrupted() {
    let dir = tempfile::tempdir().unwrap();
    let table = patients(dir.path());
    for (step, more) in [
        ("evaluating", &["--iterations", "1500", "--batch", "60", "--repeats", "1000"][..]),
        (
            "repeat 1, fold 1 of 5: proposing",
            &["--iterations", "500", "--repeats", "1", "--secure", "--key", "deal"],
        ),
    ] {
        let temporary = dir.path().join("temporary");
        fs::create_dir_all(&temporary).unwrap();
        let report = dir.path().join("report.html");
        let mut child = evaluate(&table, more)
            .args(["--key-bits", "512", "--insecure-key-bits", "--weak-blinding", "--html"])
            .arg(&report)
            .env("TMPDIR", &temporary)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().starts_with(step)), "{step}");
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        assert!(lines.any(|line| line.unwrap().starts_with("error: interrupted")), "{step}");
        assert!(!child.wait().unwrap().success());
        assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "{step}");
        assert!(!report.exists(), "{step}");
    }
}

/// Some folds encrypted are the reference's; the report says which ran and where their time went.
async fn secure_folds(on: On) {
    let ledger = Ledger::start(on, 3).await;
    let dir = tempfile::tempdir().unwrap();
    let table = patients(dir.path());
    let html: PathBuf = dir.path().join("report.html");
    let by_rows = &["providers", "analyst", "comparison", "multiplication"];
    for (partition, participants, batch, parts) in [
        ("columns", "3", Some("8"), &["preparation", "training", "ledger"][..]),
        ("rows", "2", None, by_rows),
        ("rows", "2", Some("3"), by_rows),
    ] {
        let mut command = evaluate(
            &table,
            &[
                "--partition",
                partition,
                "--participants",
                participants,
                "--ledger",
                ledger.name(),
                "--dir",
                ledger.network.dir.to_str().unwrap(),
                "--secure",
                "2",
                "--verify",
                "--iterations",
                "4",
                "--folds",
                "3",
                "--repeats",
                "2",
                "--key-bits",
                "512",
                "--insecure-key-bits",
                "--weak-blinding",
                "--force",
                "--json",
                "-",
                "--html",
                html.to_str().unwrap(),
            ],
        );
        // The same key for all folds, whoever made it.
        if partition == "columns" && ledger.kind == Kind::Dev {
            command.args(["--key", "deal"]);
        }
        command.args(batch.into_iter().flat_map(|batch| ["--batch", batch]));
        let report = tokio::task::spawn_blocking(move || ok(command)).await.unwrap();
        let report: Value = serde_json::from_str(&report).unwrap();
        let secure = &report["secure"];
        assert_eq!(secure["ledger"], ledger.name());
        let folds = secure["folds"].as_array().unwrap();
        assert_eq!(folds.len(), 2);
        for (place, fold) in folds.iter().enumerate() {
            assert_eq!((&fold["repeat"], &fold["fold"]), (&1.into(), &(place as u64 + 1).into()));
            assert_eq!((&fold["identical"], &fold["verified"]), (&true.into(), &true.into()), "{fold}");
            assert_eq!(fold["secure"], fold["reference"]);
            let seconds = &fold["seconds"][partition];
            assert!(parts.iter().all(|part| seconds[part].as_f64().unwrap() > 0.0), "{seconds}");
            // An update that visits all rows needs no schedule.
            if batch.is_none() {
                assert_eq!(fold["secure"], report["folds"][place]["reference"]);
            }
        }
        let page = fs::read_to_string(&html).unwrap();
        assert_is_a_page(&page);
        assert!(page.contains("the first 2 of 6 folds ran encrypted, 512 bits"), "{page}");
    }
}
