//! Models after their training: predictions, and the export that scikit-learn loads, with the lines of docs/models.md.

use crate::fixture::program;
use crate::harness::{Test, test};
use dataset::generate;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};
use tempfile::TempDir;

pub const TESTS: &[Test] = &[test!(scikit_learn), test!(kept_by_a_node), test!(units), test!(split)];

fn confab(args: &[&str]) -> Output {
    Command::new(program()).args(args).stdin(Stdio::null()).output().unwrap()
}

/// Runs a command that must succeed; what it printed.
fn ok(args: &[&str]) -> String {
    let output = confab(args);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{args:?}: {out}{err}");
    out.into_owned()
}

/// Runs a command that must fail; its error.
fn error(args: &[&str]) -> String {
    let output = confab(args);
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && err.contains("error: ") && !err.contains("panicked"),
        "{args:?}: {err}"
    );
    err
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&ok(args)).expect("nothing but JSON")
}

/// A table, and how it is read.
struct Data {
    file: PathBuf,
    label: &'static str,
    id: Option<&'static str>,
    /// Has it a header?
    named: bool,
}

impl Data {
    /// Patients, of whom every thirteenth value is unknown.
    fn generated(dir: &Path) -> Self {
        let text = generate::patients(120, 5);
        let header = text.lines().next().unwrap();
        let is_feature: Vec<bool> =
            header.split(',').map(|name| name != generate::ID && name != generate::LABEL).collect();
        let row = |(number, line): (usize, &str)| {
            let cell = |(index, cell): (usize, &str)| match (number * 7 + index) % 13 {
                0 if is_feature[index] => "?".to_string(),
                _ => cell.to_string(),
            };
            line.split(',').enumerate().map(cell).collect::<Vec<_>>().join(",")
        };
        let rows: Vec<String> = text.lines().skip(1).enumerate().map(row).collect();
        let file = dir.join("patients.csv");
        fs::write(&file, format!("{header}\n{}\n", rows.join("\n"))).unwrap();
        Self { file, label: generate::LABEL, id: Some(generate::ID), named: true }
    }

    /// Public tables, where they are.
    fn public() -> Vec<Self> {
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
        let folder = std::env::var_os("CONFAB_DATA").map_or(beside, PathBuf::from);
        if !folder.join("uci").is_dir() {
            eprintln!("SKIPPED: the public data sets are not in {}; set CONFAB_DATA", folder.display());
            return Vec::new();
        }
        let table =
            |name: &str, label, id| Self { file: folder.join("uci").join(name), label, id, named: false };
        vec![
            table("breast-cancer-wisconsin.data", "11", Some("1")),
            table("processed.hungarian.data", "14", None),
        ]
    }

    /// Trains on it; the folder of the run.
    fn train(&self, dir: &Path, name: &str, more: &[&str]) -> String {
        let out = dir.join(name).to_str().unwrap().to_owned();
        let mut args = vec!["train", "--data", self.file.to_str().unwrap(), "--label", self.label];
        args.extend(self.id.iter().flat_map(|id| ["--id", id]));
        args.extend(["--missing", "mean", "--key-bits", "512", "--insecure-key-bits", "--weak-blinding"]);
        args.extend(["--iterations", "8", "--out", &out]);
        args.extend(more);
        ok(&args);
        out
    }

    fn predict(&self, more: &[&str]) -> Value {
        let mut args = vec!["predict", "--data", self.file.to_str().unwrap()];
        args.extend(self.id.iter().flat_map(|id| ["--id", id]));
        args.extend(["--json", "-"]);
        args.extend(more);
        json(&args)
    }
}

const BY_COLUMNS: &[&str] = &["--key", "deal", "--batch", "16", "--learning-rate", "0.003"];
const BY_ROWS: &[&str] = &["--partition", "rows", "--participants", "2"];

/// A Python with scikit-learn; none, with a word, where there is none.
fn python() -> Option<String> {
    let python = std::env::var("CONFAB_PYTHON").unwrap_or_else(|_| "python3".into());
    let found = Command::new(&python).args(["-c", "import sklearn; print(sklearn.__version__)"]).output();
    match found {
        Ok(output) if output.status.success() => {
            eprintln!("scikit-learn {}", String::from_utf8_lossy(&output.stdout).trim());
            Some(python)
        }
        _ => {
            eprintln!("SKIPPED: scikit-learn not found; set CONFAB_PYTHON to a Python that has it");
            None
        }
    }
}

/// The lines of the documentation, and the comparison of every row with `confab predict`.
fn script(data: &Data) -> String {
    let docs = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/models.md")).unwrap();
    let (_, after) = docs.split_once("```python\n").expect("the documented lines");
    let lines = after.split_once("```").unwrap().0;
    let skip = usize::from(data.named);
    let label = data.label;
    format!(
        r#"
import csv, sys
{lines}
rows = list(csv.reader(open(sys.argv[1])))
names = rows[0] if {skip} else [str(1 + i) for i in range(len(rows[0]))]
rows = [dict(zip(names, row)) for row in rows[{skip}:] if row]
number = lambda cell: float("nan") if cell in ("", "?") else float(cell)
X = np.array([[number(row[name]) for name in file["columns"]] for row in rows])
kind = type(file["fit"]["y"][0])
y = np.array([kind(row["{label}"]) for row in rows])
found = json.load(open("predictions.json"))
scores = np.array([p["score"] for p in found["predictions"]])
classes = np.array([kind(p["class"]) for p in found["predictions"]])
assert len(X) == len(scores) > 100 and np.isnan(X).any()
assert len(set(classes)) == 2
assert (model.predict(X) == classes).all(), "classes"
worst = np.abs(model.decision_function(X) - scores).max()
assert worst <= 2**-36, worst
assert abs(model.score(X, y) - found["measures"]["accuracy"]) < 1e-12, "accuracy"
# A row in the plane itself is positive.
vars(model[-1])["coef_"] = 0 * model[-1].coef_
vars(model[-1])["intercept_"] = np.array([2.0**-37])
assert (model.predict(X) == file["fit"]["y"][1]).all()
print(worst)
"#
    )
}

/// scikit-learn decides as Confab does.
fn scikit_learn() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut all = vec![Data::generated(dir.path())];
    all.extend(Data::public());
    for (index, data) in all.iter().enumerate() {
        for (partition, more) in [("columns", BY_COLUMNS), ("rows", BY_ROWS)] {
            let run = data.train(dir.path(), &format!("{partition}-{index}"), more);
            let model = format!("{run}/model.json");
            let found = data.predict(&["--model", &model, "--label", data.label]);
            fs::write(format!("{run}/predictions.json"), found.to_string()).unwrap();
            // In a folder of its own, for the documentation calls the file model.json, too.
            let here = TempDir::new_in(dir.path()).unwrap();
            fs::copy(format!("{run}/predictions.json"), here.path().join("predictions.json")).unwrap();
            let export = here.path().join("model.json");
            ok(&[
                "model",
                "export",
                "--format",
                "sklearn",
                "--model",
                &model,
                "--out",
                export.to_str().unwrap(),
            ]);
            let output = Command::new(&python)
                .args(["-W", "ignore::UserWarning", "-c", &script(data)])
                .arg(&data.file)
                .current_dir(here.path())
                .output()
                .unwrap();
            let (out, err) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success(), "{}, {partition}: {err}", data.file.display());
            eprintln!("{}, by {partition}: at most {} apart", data.file.display(), out.trim());
        }
    }
}

/// What a node kept predicts.
fn kept_by_a_node() {
    let dir = tempfile::tempdir().unwrap();
    let data = Data::generated(dir.path());
    let of = |run: &str| -> Value {
        serde_json::from_str(&fs::read_to_string(format!("{run}/report.json")).unwrap()).unwrap()
    };

    // By rows: the analyst alone has the model, and what it says of new rows is what the run's own file says.
    let rows = data.train(dir.path(), "rows", &[BY_ROWS, &["--model", "split"]].concat());
    let job = of(&rows)["job"].as_str().unwrap().to_owned();
    let node = |org: u32| format!("{rows}/participants/Org{org}MSP/node.toml");
    let found = data.predict(&["--model", &format!("{rows}/model.json")]);
    let kept = data.predict(&["--config", &node(3), "--job", &job]);
    assert_eq!(kept["filled"], found["filled"]);
    assert!(kept["filled"].as_u64().unwrap() > 50, "gaps are filled");
    let (kept, found) = (kept["predictions"].as_array().unwrap(), found["predictions"].as_array().unwrap());
    assert_eq!(kept.len(), 120);
    for (kept, found) in kept.iter().zip(found) {
        for what in ["id", "score", "class"] {
            assert_eq!(kept[what], found[what]);
        }
    }
    let table = data.file.to_str().unwrap();
    let asked = |model: &[&str], more: &[&str]| {
        let args = [&["predict", "--data", table][..], model, more].concat();
        error(&args)
    };
    let said = asked(&["--config", &node(1), "--job", &job], &[]);
    assert!(said.contains("has no model") && said.contains("analyst"), "{said}");

    // By columns: one part of three is no model.
    let columns = data.train(dir.path(), "columns", BY_COLUMNS);
    let job = of(&columns)["job"].as_str().unwrap().to_owned();
    let part = format!("{columns}/participants/Org2MSP/node.toml");
    let said = asked(&["--config", &part, "--job", &job], &[]);
    assert!(said.contains("Org1MSP, Org3MSP are not here"), "{said}");
    let shown = ok(&["model", "show", "--config", &part, "--job", &job]);
    assert!(shown.contains("the part of Org1MSP") && shown.contains("weight"), "{shown}");

    // CSV, and what is wrong with a table by line and column.
    let model = format!("{columns}/model.json");
    let csv = dir.path().join("out.csv");
    let args =
        ["predict", "--model", &model, "--data", table, "--id", generate::ID, "--out", csv.to_str().unwrap()];
    assert!(ok(&args).contains("empty cells were filled"));
    let text = fs::read_to_string(&csv).unwrap();
    let found = data.predict(&["--model", &model]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[0]), (121, "line,id,class,score"));
    for (line, p) in lines[1..].iter().zip(found["predictions"].as_array().unwrap()) {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!(
            cells[..3],
            [&p["line"].to_string(), p["id"].as_str().unwrap(), p["class"].as_str().unwrap()]
        );
        // serde_json's own reading of floats may be off in the last place.
        let apart = cells[3].parse::<f64>().unwrap() - p["score"].as_f64().unwrap();
        assert!(apart.abs() < 1e-12, "{line}");
    }
    let good = fs::read_to_string(table).unwrap();
    let (header, first) = (good.lines().next().unwrap(), good.lines().nth(1).unwrap());
    let place = header.split(',').position(|name| name != generate::ID && name != generate::LABEL).unwrap();
    let column = header.split(',').nth(place).unwrap();
    let mut cells: Vec<&str> = first.split(',').collect();
    cells[place] = "many";
    let bad = dir.path().join("bad.csv");
    fs::write(&bad, good.replacen(first, &cells.join(","), 1)).unwrap();
    let said = error(&["predict", "--model", &model, "--data", bad.to_str().unwrap()]);
    assert!(
        said.contains("bad.csv") && said.contains(&format!("line 2, column `{column}`: not a number")),
        "{said}"
    );
    cells = first.split(',').collect();
    let label = header.split(',').position(|name| name == generate::LABEL).unwrap();
    cells[label] = "7";
    fs::write(&bad, good.replacen(first, &cells.join(","), 1)).unwrap();
    let said =
        error(&["predict", "--model", &model, "--data", bad.to_str().unwrap(), "--label", generate::LABEL]);
    assert!(said.contains("bad.csv") && said.contains("the class `7`"), "{said}");
}

/// 80 rows of an age and an analyte, which decides the outcome for the most part; in a small unit and in a large one.
fn analytes(dir: &Path) -> [PathBuf; 2] {
    // What the issue was found with, or a generated table like it.
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/cases");
    let given = ["rows-small-units.csv", "rows-large-units.csv"].map(|name| cases.join(name));
    if given.iter().all(|file| file.is_file()) {
        return given;
    }
    [("small", "e-9"), ("large", "")].map(|(name, exponent)| {
        let mut text = format!("case,age,analyte_{name},outcome\n");
        let mut state = 7u64;
        let mut draw = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as f64 / f64::from(1u32 << 31)
        };
        for case in 0..80 {
            let (age, analyte) = (40.0 + 40.0 * draw(), 4.0 + 4.0 * draw());
            let ill = u8::from(analyte + 2.0 * draw() > 7.0);
            text += &format!("K{case:03},{age:.1},{analyte:.4}{exponent},{ill}\n");
        }
        let file = dir.join(format!("{name}.csv"));
        fs::write(&file, text).unwrap();
        file
    })
}

/// The unit of a column changes no prediction and shows its digits.
fn units() {
    let dir = tempfile::tempdir().unwrap();
    let files = analytes(dir.path());
    let accuracy = |file: &Path, partition: &str| {
        let report = json(&[
            "evaluate",
            "--partition",
            partition,
            "--participants",
            "2",
            "--repeats",
            "2",
            "--label",
            "outcome",
            "--id",
            "case",
            "--json",
            "-",
            "--data",
            file.to_str().unwrap(),
        ]);
        ["reference", "float"].map(|model| report[model]["accuracy"]["mean"].as_f64().unwrap())
    };
    for partition in ["rows", "columns"] {
        let [small, large] = [&files[0], &files[1]].map(|file| accuracy(file, partition));
        assert_eq!(small, large, "{partition}");
        assert!(small[0] > 0.75 && (small[0] - small[1]).abs() < 0.02, "{partition}: {small:?}");
    }
    let columns = &["--participants", "2", "--key", "deal", "--batch", "16", "--learning-rate", "0.003"][..];
    for (partition, more) in [("rows", BY_ROWS), ("columns", columns)] {
        let of = |file: &PathBuf, name: &str| {
            let data = Data { file: file.clone(), label: "outcome", id: Some("case"), named: true };
            let run = data.train(dir.path(), &format!("{partition}-{name}"), more);
            let model = format!("{run}/model.json");
            let export = ok(&["model", "export", "--format", "sklearn", "--model", &model, "--out", "-"]);
            let export: Value = serde_json::from_str(&export).unwrap();
            let report: Value =
                serde_json::from_str(&fs::read_to_string(format!("{run}/report.json")).unwrap()).unwrap();
            (
                data.predict(&["--model", &model])["predictions"].clone(),
                export["fitted"]["linearsvc"].clone(),
                ok(&["model", "show", "--model", &model]),
                report,
            )
        };
        let (small, large) = (of(&files[0], "small"), of(&files[1], "large"));
        // By columns every job draws its own batches.
        if partition == "rows" {
            assert_eq!((&small.0, &small.1), (&large.0, &large.1));
        }
        let weight = |fitted: &Value| fitted["coef_"][0][1].as_f64().unwrap() * f64::from(1 << 12);
        assert!((weight(&small.1) / weight(&large.1) - 1.0).abs() < 0.5, "{partition}: {}", small.1);
        for report in [&small.3, &large.3] {
            let accuracy = |model: &str| report[model]["accuracy"].as_f64().unwrap();
            assert!((accuracy("secure") - accuracy("float")).abs() < 0.07, "{report}");
        }
        let shown = small.2.lines().find(|line| line.starts_with("analyte")).unwrap().to_owned();
        assert!(shown.matches("e-9").count() >= 3 && !shown.contains("0.000000"), "{shown}");
    }
}

/// A development ledger that is stopped when this is dropped.
struct Ledger(String);

impl Ledger {
    fn start(dir: &Path) -> Self {
        let dir = dir.join("net").to_str().unwrap().to_owned();
        ok(&["ledger", "start", "--orgs", "3", "--dir", &dir]);
        Self(dir)
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        let stopped = confab(&["ledger", "stop", "--dir", &self.0]);
        if !stopped.status.success() {
            eprintln!("{}", String::from_utf8_lossy(&stopped.stderr));
        }
    }
}

/// A split model is asked by one command and by organisations.
fn split() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::start(dir.path());
    let data = Data::generated(dir.path());
    let run =
        data.train(dir.path(), "split", &[BY_COLUMNS, &["--model", "split", "--dir", &ledger.0]].concat());
    let all = fs::read_to_string(&data.file).unwrap();
    let rows = |name: &str, count: usize, header: &dyn Fn(&str) -> String| {
        let lines: Vec<String> = all
            .lines()
            .take(count + 1)
            .enumerate()
            .map(|(i, line)| if i == 0 { header(line) } else { line.to_owned() })
            .collect();
        fs::write(name, lines.join("\n") + "\n").unwrap();
    };
    let new = dir.path().join("new.csv").to_str().unwrap().to_owned();
    rows(&new, 6, &str::to_owned);
    let ask = ["predict", "--split", &run, "--data", &new, "--id", generate::ID, "--json", "-"];
    let found = json(&[&ask[..], &["--dir", &ledger.0, "--verify", "--most", "12"]].concat());
    assert_eq!((&found["identical"], &found["left"]), (&true.into(), &6.into()), "{found}");
    assert_eq!(found["predictions"].as_array().unwrap().len(), 6);
    assert!(found["reveals"][0].as_str().unwrap().contains("its class"));

    // What organisations do, each with its own table: here all have all columns, and read their own.
    let training = found["training"].as_str().unwrap();
    let config = |org: u32| format!("{run}/participants/Org{org}MSP/node.toml");
    for org in 1..=3 {
        let named = |header: &str| header.replace(generate::ID, "id");
        rows(&format!("{run}/participants/Org{org}MSP/new.csv"), 8, &named);
    }
    let params = ok(&["job", "template", "--predict", training, "--config", &config(1)]);
    assert!(params.contains("\"instances\": 2,"), "six are answered: {params}");
    let file = dir.path().join("job.json").to_str().unwrap().to_owned();
    fs::write(&file, params).unwrap();
    let job = ok(&["job", "propose", "--config", &config(1), "--params", &file]).trim().to_owned();
    (1..=3).for_each(|org| drop(ok(&["job", "accept", "--config", &config(org), &job])));
    let node = |org| {
        let mut node = Command::new(program());
        node.args(["node", "--config", &config(org), "--until", &job]).stdin(Stdio::null());
        node.stdout(Stdio::null()).spawn().unwrap()
    };
    let nodes: Vec<_> = (1..=3).map(node).collect();
    nodes.into_iter().for_each(|mut node| assert!(node.wait().unwrap().success()));
    let shown = ok(&["job", "result", "--config", &config(2), &job]);
    let ids: Vec<&str> = all.lines().skip(7).take(2).map(|line| line.split(',').next().unwrap()).collect();
    assert!(ids.iter().all(|id| shown.contains(id)) && shown.contains("every node limits"), "{shown}");

    // Everything is in the record now, and it is what the whole model says.
    rows(&new, 8, &str::to_owned);
    let found = json(&ask);
    assert_eq!((&found["identical"], &found["left"], found.get("job")), (&true.into(), &4.into(), None));
    rows(&new, 20, &str::to_owned);
    let said = error(&ask);
    assert!(said.contains("asks about 12 rows, 4 of 12 are left"), "{said}");
    let said = error(&["job", "template", "--predict", &job, "--config", &config(1)]);
    assert!(said.contains("no part of the model"), "{said}");
}
