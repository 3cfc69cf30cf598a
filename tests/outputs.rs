//! Output files: checked before the work, never an input, an existing one only with --force, and names without a folder work.

use crate::fixture::{
    organisations::{Organisations, assert_says, ok},
    program,
};
use crate::harness::{Test, test};
use dataset::generate;
use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Output, Stdio},
};

pub const TESTS: &[Test] = &[test!(checked_first), test!(job_results)];

/// Runs a command in a folder.
fn confab(folder: &Path, args: &[&str]) -> (bool, String) {
    let output = Command::new(program()).current_dir(folder).args(args).stdin(Stdio::null()).output();
    let Output { status, stdout, stderr } = output.unwrap();
    let [out, err] = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(!err.contains("panicked"), "{err}");
    (status.success(), if status.success() { out } else { err })
}

fn refused(folder: &Path, args: &[&str], says: &[&str]) {
    let (good, said) = confab(folder, args);
    assert!(!good, "{args:?}: {said}");
    let line =
        said.lines().find(|line| line.starts_with("error: ")).unwrap_or_else(|| panic!("{args:?}: {said}"));
    assert_says(line, says);
}

fn good(folder: &Path, args: &[&str]) -> String {
    let (good, said) = confab(folder, args);
    assert!(good, "{args:?}: {said}");
    said
}

const TABLE: [&str; 6] = ["--data", "patients.csv", "--label", generate::LABEL, "--id", generate::ID];
const QUICK: [&str; 6] = ["--folds", "2", "--repeats", "1", "--participants", "2"];
const SMALL: [&str; 8] =
    ["--key-bits", "512", "--insecure-key-bits", "--weak-blinding", "--participants", "2", "--key", "deal"];

/// Outputs are checked before the work and never overwrite.
fn checked_first() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let at = |name: &str| folder.join(name);
    let table = generate::patients(60, 3);
    fs::write(at("patients.csv"), &table).unwrap();
    symlink("patients.csv", at("link.csv")).unwrap();
    fs::hard_link(at("patients.csv"), at("hard.csv")).unwrap();
    fs::write(at("old.json"), "old").unwrap();
    let evaluate = |more: &[&str]| -> Vec<String> {
        [&["evaluate"], &TABLE[..], &QUICK, more].concat().into_iter().map(String::from).collect()
    };
    let train = |more: &[&str]| -> Vec<String> {
        [&["train"], &TABLE[..], &SMALL, &["--iterations", "2", "--batch", "8"], more]
            .concat()
            .into_iter()
            .map(String::from)
            .collect()
    };
    fn strs(args: &[String]) -> Vec<&str> {
        args.iter().map(String::as_str).collect()
    }
    // Whatever the command, each is refused at once: no table is read, nothing is trained.
    for (option, place, says) in [
        ("--json", "patients.csv", &["--json: patients.csv is patients.csv, which this command reads"][..]),
        ("--json", "link.csv", &["--json: link.csv is patients.csv"]),
        ("--json", "hard.csv", &["--json: hard.csv is patients.csv"]),
        ("--json", "./old.json", &["--json: ./old.json exists", "--force"]),
        ("--json", "absent/new.json", &["--json: there is no folder absent"]),
        ("--json", ".", &["--json: . is a folder"]),
        ("--json", "new/", &["names no file"]),
    ] {
        refused(folder, &strs(&evaluate(&[option, place])), says);
        refused(folder, &strs(&train(&[option, place])), says);
        refused(folder, &strs(&evaluate(&["--html", place])), &[&says[0].replace("--json", "--html")]);
    }
    for place in ["patients.csv", "link.csv", "hard.csv"] {
        refused(folder, &strs(&evaluate(&["--force", "--html", place])), &["which this command reads"]);
        refused(folder, &strs(&train(&["--force", "--json", place])), &["which this command reads"]);
    }
    refused(
        folder,
        &strs(&evaluate(&["--json", "one", "--html", "./one"])),
        &["--json and --html both name"],
    );
    refused(folder, &strs(&train(&["--out", "patients.csv"])), &["--out: patients.csv is no folder"]);
    assert_eq!(fs::read_to_string(at("patients.csv")).unwrap(), table);
    assert_eq!(fs::read_to_string(at("old.json")).unwrap(), "old");
    assert!(!at("one").exists());

    // Names without a folder; what exists with --force.
    good(folder, &strs(&evaluate(&["--json", "new.json", "--html", "page.html"])));
    good(folder, &strs(&evaluate(&["--force", "--json", "old.json"])));
    assert!(fs::read_to_string(at("old.json")).unwrap().starts_with('{'));
    good(folder, &strs(&evaluate(&["--json", "/dev/null"])));
    let shown = good(folder, &strs(&evaluate(&["--json", "/dev/stdout"])));
    assert!(shown.contains("\"cross_validation\""), "{shown}");
    good(folder, &strs(&train(&["--out", "run", "--json", "report.json"])));
    refused(folder, &strs(&train(&["--force", "--out", "run"])), &["run/participants", "earlier run"]);
    fs::create_dir(at("again")).unwrap();
    fs::copy(at("run/model.json"), at("again/model.json")).unwrap();
    refused(folder, &strs(&train(&["--out", "again"])), &["again/model.json exists", "--force"]);

    // The commands about models.
    let predict = ["predict", "--model", "run/model.json", "--id", generate::ID, "--data", "patients.csv"];
    for option in ["--out", "--json"] {
        for place in ["patients.csv", "link.csv", "run/model.json"] {
            refused(
                folder,
                &[&predict[..], &["--force", option, place]].concat(),
                &["which this command reads"],
            );
        }
        refused(folder, &[&predict[..], &[option, "report.json"]].concat(), &["exists"]);
    }
    good(folder, &[&predict[..], &["--out", "classes.csv", "--json", "classes.json"]].concat());
    assert_eq!(fs::read_to_string(at("classes.csv")).unwrap().lines().count(), 61);
    let csv = good(folder, &[&predict[..], &["--out", "-"]].concat());
    assert_eq!(csv, fs::read_to_string(at("classes.csv")).unwrap());
    let export = ["model", "export", "--format", "sklearn", "--model", "run/model.json", "--out"];
    refused(folder, &[&export[..], &["run/model.json", "--force"]].concat(), &["which this command reads"]);
    refused(folder, &[&export[..], &["classes.json"]].concat(), &["exists"]);
    good(folder, &[&export[..], &["exported.json"]].concat());
    good(folder, &[&export[..], &["exported.json", "--force"]].concat());

    // Keys are never overwritten, with --force neither.
    let deal = ["key", "deal", "--parties", "2", "--key-bits", "256", "--insecure-key-bits", "--out", "keys"];
    good(folder, &deal);
    refused(folder, &[&deal[..], &["--force"]].concat(), &["key-share-1.json exists", "never overwritten"]);
    let show = ["key", "show", "--file", "keys/key-share-1.json", "--json"];
    refused(
        folder,
        &[&show[..], &["keys/key-share-1.json", "--force"]].concat(),
        &["which this command reads"],
    );
    good(folder, &[&show[..], &["key.json"]].concat());
}

/// Results of jobs are written where they belong.
fn job_results() {
    let orgs = Organisations::start();
    let job = orgs.propose(&[]);
    assert!(orgs.run(&job).iter().all(|(good, _)| *good));
    let folder = orgs.path("org1");
    let result = ["job", "result", "--config", "node.toml", &job];
    good(&folder, &[&result[..], &["--model", "part.json"]].concat());
    good(&folder, &[&result[..], &["--json", "report.json"]].concat());
    for option in ["--model", "--json"] {
        refused(&folder, &[&result[..], &[option, "part.json"]].concat(), &["part.json exists", "--force"]);
        for input in ["node.toml", "visits.csv", "../keys/key-share-1.json", "../ledger/connection-org1.json"]
        {
            refused(
                &folder,
                &[&result[..], &[option, input, "--force"]].concat(),
                &["which this command reads"],
            );
        }
        let kept = format!("state/jobs/{job}.json");
        refused(&folder, &[&result[..], &[option, &kept, "--force"]].concat(), &["a node keeps its state"]);
        refused(&folder, &[&result[..], &[option, "no/such.json"]].concat(), &["there is no folder no"]);
        good(&folder, &[&result[..], &[option, "part.json", "--force"]].concat());
    }
    good(&folder, &["job", "watch", "--once", "--config", "node.toml", &job, "--json", "watched.json"]);
    good(&folder, &["key", "list", "--config", "node.toml", "--json", "keys.json"]);
    let ledger = orgs.text("ledger");
    good(&folder, &["verify", &job, "--dir", &ledger, "--json", "verified.json"]);
    good(&folder, &["ledger", "inspect", "--dir", &ledger, "--json", "blocks.json", "blocks"]);
    for (args, place) in [
        (&["job", "watch", "--once", "--config", "node.toml", &job][..], "watched.json"),
        (&["key", "list", "--config", "node.toml"], "keys.json"),
        (&["verify", &job, "--dir", &ledger], "verified.json"),
        (&["ledger", "inspect", "--dir", &ledger, "blocks"], "blocks.json"),
    ] {
        refused(&folder, &[args, &["--json", place]].concat(), &["--json", place, "exists", "--force"]);
        good(&folder, &[args, &["--json", place, "--force"]].concat());
    }
    ok(&["ledger", "stop", "--dir", &ledger]);
}
