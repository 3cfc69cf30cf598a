//! Tables in the forms in which other programs write them, read by the product's own commands: every form gives the same as
//! plain CSV, and what cannot be read is said in one line.

use crate::fixture::{
    organisations::{Organisations, assert_says, confab, error, ok},
    program,
};
use crate::harness::{Test, test};
use flate2::{Compression, write::GzEncoder};
use serde_json::Value;
use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

pub const TESTS: &[Test] = &[
    test!(every_form),
    test!(pipe),
    test!(gaps),
    test!(numeric_header),
    test!(no_table),
    test!(graded_classes),
    test!(nodes),
];

/// A case, two features and an outcome; every third is of class 1.
fn rows() -> Vec<[String; 4]> {
    (0..60)
        .map(|row: usize| {
            let ill = usize::from(row % 3 == 1);
            let age = format!("{}.{}", 43 + row * 7 % 31 + 6 * ill, row % 10);
            let pressure = format!("{}.25", 118 + row * 11 % 23 + 9 * ill);
            [format!("K{row:03}"), age, pressure, ill.to_string()]
        })
        .collect()
}

const NAMES: [&str; 4] = ["case", "age", "pressure", "outcome"];

/// The rows behind their names, with something between the cells, at the end of a line, and for each cell.
fn text(between: &str, end: &str, cell: impl Fn(usize, usize, &str) -> String) -> String {
    let line = |row: usize, cells: &[&str]| {
        let cells: Vec<_> = cells.iter().enumerate().map(|(place, text)| cell(row, place, text)).collect();
        cells.join(between) + end
    };
    let body = rows();
    let body =
        body.iter().enumerate().map(|(row, cells)| line(row + 1, &cells.each_ref().map(String::as_str)));
    line(0, &NAMES) + &body.collect::<String>()
}

fn plain() -> String {
    text(",", "\n", |_, _, cell| cell.into())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn utf16(text: &str, order: fn(u16) -> [u8; 2]) -> Vec<u8> {
    format!("\u{feff}{text}").encode_utf16().flat_map(order).collect()
}

/// The same table in many forms.
fn forms() -> Vec<(&'static str, Vec<u8>)> {
    let plain = plain();
    let commas = |row: usize, place: usize, cell: &str| match (row, place) {
        (1.., 1 | 2) => cell.replace('.', ","),
        _ => cell.into(),
    };
    let indexed = |row: usize, place: usize, cell: &str| match (row, place) {
        (0, 0) => format!(",{cell}"),
        (_, 0) => format!("{},{cell}", row - 1),
        _ => cell.into(),
    };
    let arff = "% a ward\n@RELATION ward\n\n@attribute case string\n@attribute age numeric\n@attribute pressure real\n\
                @attribute outcome {0,1}\n\n@DATA\n"
        .to_owned()
        + plain.split_once('\n').unwrap().1;
    let latin = plain.replace("case", "Fälle").chars().map(|c| u32::from(c) as u8).collect();
    vec![
        ("trailing separator", text(",", ",\n", |_, _, cell| cell.into()).into()),
        ("trailing separators", text(";", ";;\r\n", |_, _, cell| cell.into()).into()),
        (
            "separators below the names only",
            text(",", ",\n", |_, _, c| c.into()).replacen(",\n", "\n", 1).into(),
        ),
        ("comments", format!("# ward 3, exported 2 May\n# pressure in mmHg\n{plain}").into()),
        ("sep", format!("sep=;\r\n{}", text(";", "\r\n", |_, _, cell| cell.into())).into()),
        ("sep of its own", format!("SEP=:\n{}", text(":", "\n", |_, _, cell| cell.into())).into()),
        ("pipes", text("|", "\n", |_, _, cell| cell.into()).into()),
        ("tabs", text("\t", "\n", |_, _, cell| cell.into()).into()),
        ("blanks", text("  ", "\n", |_, _, cell| cell.into()).into()),
        ("old line ends", text(",", "\r", |_, _, cell| cell.into()).into()),
        ("quotes", text(",", "\n", |_, _, cell| format!("\"{cell}\"")).into()),
        ("decimal commas", text(";", "\n", commas).into()),
        ("quoted decimal commas", text(",", "\n", |r, p, c| format!("\"{}\"", commas(r, p, c))).into()),
        ("index", text(",", "\n", indexed).into()),
        ("lines of empty cells", format!("{plain},,,\n\n,,,\n").into()),
        ("byte order mark", format!("\u{feff}{plain}").into()),
        ("UTF-16 LE", utf16(&plain, u16::to_le_bytes)),
        ("UTF-16 BE", utf16(&plain, u16::to_be_bytes)),
        ("Windows-1252", latin),
        ("gzip", gzip(plain.as_bytes())),
        ("gzip of UTF-16", gzip(&utf16(&plain, u16::to_le_bytes))),
        ("ARFF", arff.into()),
    ]
}

/// Where the given cases are, beside the project.
fn given(name: &str) -> Option<PathBuf> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/cases").join(name);
    file.is_file().then_some(file)
}

const QUICK: [&str; 6] = ["--folds", "2", "--repeats", "1", "--participants", "2"];

/// Arguments of an evaluation of a table with a column of cases.
fn evaluate<'a>(file: &'a str, id: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["evaluate", "--data", file, "--label", "outcome", "--id", id], &QUICK[..], more].concat()
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&ok(&[args, &["--json", "-"]].concat())).unwrap()
}

/// What does not depend on the form of a table.
fn measures(report: &Value) -> Value {
    let data = &report["data"];
    serde_json::json!([
        report["reference"],
        report["float"],
        report["confusion"],
        data["rows"],
        data["features"],
        data["table"]["classes"],
    ])
}

fn every_form() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let file = dir.path().join(name);
        fs::write(&file, bytes).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let expected = measures(&json(&evaluate(&write("plain.csv", plain().as_bytes()), "case", &[])));
    assert_eq!(expected[3], 60);
    for (name, bytes) in forms() {
        let id = if name == "Windows-1252" { "Fälle" } else { "case" };
        let report = json(&evaluate(&write("form.csv", &bytes), id, &[]));
        assert_eq!(measures(&report), expected, "{name}");
    }
    for name in [
        "trailing-separator.csv",
        "trailing-separators.csv",
        "comment-lines.csv",
        "sep-line.csv",
        "weka.arff",
        "utf16.csv",
        "compressed.csv.gz",
        "pipes.csv",
    ] {
        let Some(file) = given(name) else { continue };
        let report = json(&evaluate(file.to_str().unwrap(), "case", &[]));
        assert_eq!((&report["data"]["rows"], &report["data"]["features"]), (&40.into(), &2.into()), "{name}");
    }
}

/// Runs a command with a file on its standard input; what it said.
fn piped(args: &[&str], bytes: &[u8]) -> (String, String) {
    let mut child = Command::new(program())
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success(), "{args:?}: {err}");
    (out, err)
}

const SMALL: [&str; 4] = ["--key-bits", "512", "--insecure-key-bits", "--weak-blinding"];

/// A pipe is read once and for all parts of a run.
fn pipe() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (run, ledger) = (at("run"), at("ledger"));
    let of =
        ["--data", "/dev/stdin", "--label", "outcome", "--id", "case", "--participants", "2", "--json", "-"];
    let train =
        [&["train"], &of[..], &SMALL, &["--key", "deal", "--batch", "8", "--iterations", "3"]].concat();
    let train = [&train[..], &["--model", "split", "--dir", &ledger, "--out", &run]].concat();
    let (report, said) = piped(&train, &gzip(plain().as_bytes()));
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["identical_predictions"], true);
    assert_eq!((&report["table"]["rows"], &report["table"]["gaps"]), (&60.into(), &0.into()));
    // What is used is said before it is used.
    let table = said.find("/dev/stdin: 60 rows, 2 columns, no gaps").unwrap_or_else(|| panic!("{said}"));
    assert!(said.contains("20 of 1 (positive), 40 of 0"), "{said}");
    assert!(table < said.find("proposing the training").unwrap(), "{said}");

    // Predictions read the forms that trainings read, from a pipe, too.
    let model = format!("{run}/model.json");
    let predict =
        ["predict", "--model", &model, "--id", "case", "--label", "outcome", "--json", "-", "--data"];
    let file = at("plain.csv");
    fs::write(&file, plain()).unwrap();
    let classes = |report: &str| {
        let report: Value = serde_json::from_str(report).unwrap();
        let all = report["predictions"].as_array().unwrap().clone();
        (
            all.into_iter().map(|p| [p["id"].clone(), p["class"].clone()]).collect::<Vec<_>>(),
            report["table"]["rows"].clone(),
        )
    };
    let expected = classes(&ok(&[&predict[..], &[&file]].concat()));
    assert_eq!((expected.0.len(), &expected.1), (60, &60.into()));
    for (name, bytes) in forms().into_iter().filter(|(name, _)| *name != "Windows-1252") {
        let (found, _) = piped(&[&predict[..], &["/dev/stdin"]].concat(), &bytes);
        assert_eq!(classes(&found), expected, "{name}");
    }
    let few: String = plain().lines().take(4).map(|line| format!("{line}\n")).collect();
    let split =
        ["predict", "--split", &run, "--dir", &ledger, "--id", "case", "--json", "-", "--data", "/dev/stdin"];
    let (found, said) = piped(&split, &utf16(&few, u16::to_be_bytes));
    assert_eq!(classes(&found).0, expected.0[..3]);
    assert!(said.contains("/dev/stdin: 3 rows"), "{said}");
    ok(&["ledger", "stop", "--dir", &ledger]);
}

/// Words for gaps are gaps and never a class.
fn gaps() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("gaps.csv");
    let path = file.to_str().unwrap().to_owned();
    let outcome = |cell: &str| if cell == "1" { "yes" } else { "no" }.to_string();
    for word in ["NA", "NaN", "null", ".", "?", "n/a", ""] {
        let label = text(",", "\n", |row, place, cell| match (row, place) {
            (4, 3) => word.into(),
            (1.., 3) => outcome(cell),
            _ => cell.into(),
        });
        fs::write(&file, label).unwrap();
        let asked = [&evaluate(&path, "case", &["--positive", "yes"])[..], &["--missing", "mean"]].concat();
        assert_says(&error(&asked), &[&path, "line 5, column `outcome`", "is missing"]);
        let feature = text(",", "\n", |row, place, cell| match (row, place) {
            (5, 1) | (7, 2) | (7, 1) => word.into(),
            (1.., 3) => outcome(cell),
            _ => cell.into(),
        });
        fs::write(&file, feature).unwrap();
        let table = |missing: &str| {
            let args = evaluate(&path, "case", &["--positive", "yes", "--missing", missing]);
            json(&args)["data"]["table"].clone()
        };
        for (missing, left_out) in [("mean", 0), ("drop", 2)] {
            let table = table(missing);
            let counts =
                ["gaps", "rows_with_gaps", "left_out", "rows"].map(|name| table[name].as_u64().unwrap());
            assert_eq!(counts, [3, 2, left_out, 60], "{word} {missing}");
        }
    }
    // A word of one's own has to be named.
    let own =
        text(",", "\n", |row, place, cell| if (row, place) == (5, 1) { "-9".into() } else { cell.into() });
    fs::write(&file, own.replace("K006,", "K006,unknown,").replace(&format!(",{},", rows()[6][1]), ","))
        .unwrap();
    assert_says(&error(&evaluate(&path, "case", &[])), &["line 8, column `age`", "--na"]);
    let report = json(&evaluate(&path, "case", &["--na", "unknown", "--na", "-9.0", "--missing", "mean"]));
    assert_eq!(report["data"]["table"]["gaps"], 2);

    if let (Some(label), Some(feature)) = (given("label-na.csv"), given("feature-na.csv")) {
        let train = |file: &Path| {
            let args =
                ["train", "--label", "outcome", "--id", "case", "--positive", "yes", "--missing", "mean"];
            let more = [
                "--iterations",
                "2",
                "--key",
                "deal",
                "--participants",
                "2",
                "--data",
                file.to_str().unwrap(),
            ];
            [&args[..], &more, &SMALL].concat().into_iter().map(String::from).collect::<Vec<_>>()
        };
        let args = train(&label);
        assert_says(
            &error(&args.iter().map(String::as_str).collect::<Vec<_>>()),
            &["line 5", "column `outcome`"],
        );
        let args = train(&feature);
        let output = confab(&args.iter().map(String::as_str).collect::<Vec<_>>());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.success() && said.contains(" gaps in ") && said.contains(" of yes (positive), "),
            "{said}"
        );
    }
}

/// A header of numbers is no row.
fn numeric_header() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("numbers.csv");
    let numbers = text(",", "\n", |row, place, cell| match row {
        0 => place.to_string(),
        _ if place == 0 => format!("1{}.5", cell.trim_start_matches('K')),
        _ => cell.into(),
    });
    fs::write(&file, numbers).unwrap();
    let own = file.to_str().unwrap().to_owned();
    let given = given("header-of-numbers.csv").map(|file| (file.to_str().unwrap().to_owned(), "4", "5"));
    for (path, last, beyond) in [Some((own.clone(), "3", "4")), given].into_iter().flatten() {
        let of = |label, more: &[&'static str]| {
            let args = ["evaluate", "--data", &path, "--label", label, "--positive", "1"];
            [&args[..], &QUICK, more].concat().into_iter().map(String::from).collect::<Vec<_>>()
        };
        let run = |args: Vec<String>| json(&args.iter().map(String::as_str).collect::<Vec<_>>());
        let refused = |args: Vec<String>| error(&args.iter().map(String::as_str).collect::<Vec<_>>());
        let report = run(of(last, &[]));
        assert_eq!(report["data"]["rows"], 60);
        assert_eq!(report["data"]["table"]["classes"]["column"], last);
        assert_says(&report["data"]["table"]["notes"].to_string(), &["line 1 counts from 0", "--no-header"]);
        assert_says(&refused(of(beyond, &[])), &[&path, "no column", "the columns are 0, 1, 2, 3"]);
        assert_eq!(run(of(last, &["--header"]))["data"]["rows"], 60);
        // The same column by its number, and the names are a row with a class of its own.
        assert_says(&refused(of(beyond, &["--no-header"])), &[&path, "column"]);
    }
}

/// What is no table is called what it is.
fn no_table() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("table.csv");
    let path = file.to_str().unwrap().to_owned();
    let plain = plain();
    let binary = |start: &[u8]| [start, &[0, 1, 2, 3], plain.as_bytes()].concat();
    for (bytes, says) in [
        (
            binary(b"PK\x03\x04 [Content_Types].xml xl/workbook.xml"),
            &["Excel workbook", "save the sheet as CSV"][..],
        ),
        (binary(b"PK\x03\x04"), &["zip archive", "unpack it"]),
        (binary(b"PAR1"), &["Parquet", "CSV"]),
        (binary(b"\xfd7zXZ\0"), &["compressed (xz)", "unxz"]),
        (binary(b"BZh9"), &["compressed (bzip2)", "bunzip2"]),
        (binary(b"\x28\xb5\x2f\xfd"), &["compressed (zstd)", "unzstd"]),
        (gzip(plain.as_bytes())[..100].to_vec(), &["gzip", "damaged"]),
        (gzip(&gzip(plain.as_bytes())), &["compressed twice", "gunzip"]),
        (format!("Ward 3\n{plain}").into(), &["line 1 is no part of the table", "names on line 2", "#"]),
        (format!("{plain}K099,1\n").into(), &["line 62 has 2 cells, line 1 has 4"]),
        (plain.replace("K003,", "\"K003,").into(), &["line 5", "quote", "never closed"]),
        (plain.replacen("pressure", "age", 1).into(), &["line 1", "`age` twice"]),
        (plain.replacen("pressure", "", 1).into(), &["line 1", "column 3 has no name"]),
        (format!("{plain}{plain}").into(), &["line 62 repeats the header on line 1", "remove the line"]),
        (plain.replace(',', "^").into(), &["line 1", "separated by `^`", "`sep=^`"]),
        (format!("sep=;\n{plain}").into(), &["line 1 names `;`", "separated by `,`"]),
        (plain.replace("43.", "<43.").into(), &["column `age`: not a number but a limit", "--na"]),
        (
            plain.replace("case", "#ward").replace("outcome", "result").into(),
            &["line 1 begins with #", "comment"],
        ),
        ([plain.as_bytes(), b"K\x81,1,2,0\n"].concat(), &["line 62", "UTF-8"]),
        (b"case,age,pressure,outcome\n".to_vec(), &["no row of data"]),
        (Vec::new(), &["no row of data"]),
    ] {
        fs::write(&file, bytes).unwrap();
        for command in ["evaluate", "train"] {
            let mut args = evaluate(&path, "case", &[]);
            args[0] = command;
            if command == "train" {
                args.retain(|arg| !["--folds", "--repeats", "1"].contains(arg));
                args.remove(args.len() - 3);
            }
            assert_says(&error(&args), &[&[path.as_str()], says].concat());
        }
    }
}

/// Graded classes are named and never guessed.
fn graded_classes() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("grades.csv");
    let path = file.to_str().unwrap().to_owned();
    let graded = text(",", "\n", |row, place, cell| match (row, place, cell) {
        (_, 3, "1") => (1 + row % 4).to_string(),
        _ => cell.into(),
    });
    fs::write(&file, graded).unwrap();
    let plain = dir.path().join("plain.csv");
    fs::write(&plain, self::plain()).unwrap();
    let mut expected = measures(&json(&evaluate(plain.to_str().unwrap(), "case", &[])));
    let mut found = measures(&json(&evaluate(&path, "case", &["--positive", "1,2,3,4", "--negative", "0"])));
    assert_eq!(found[5]["positive"], serde_json::json!({ "values": ["1", "2", "3", "4"], "rows": 20 }));
    (expected[5], found[5]) = (Value::Null, Value::Null);
    assert_eq!(found, expected);
    assert_says(&error(&evaluate(&path, "case", &[])), &["0, 1, 2, 3, 4", "--positive"]);
    assert_says(&error(&evaluate(&path, "case", &["--positive", "4"])), &["0, 1, 2, 3", "--negative"]);
    assert_says(
        &error(&evaluate(&path, "case", &["--positive", "1,2,3", "--negative", "0"])),
        &["column `outcome`", "the class `4` is neither"],
    );
    for (option, values, says) in [
        ("--positive", "", "names no value"),
        ("--negative", ",", "names no value"),
        ("--positive", "1,2,1", "names the class `1` twice"),
        ("--negative", "0,0.0", "names the class `0.0` twice"),
    ] {
        assert_says(&error(&evaluate(&path, "case", &[option, values])), &[&path, option, says]);
    }
    let words = text(",", "\n", |row, place, cell| match (row, place, cell) {
        (5, 3, _) => "Ill".into(),
        (_, 3, "1") => "ill".into(),
        (_, 3, "0") => "well".into(),
        _ => cell.into(),
    });
    fs::write(&file, words).unwrap();
    assert_says(&error(&evaluate(&path, "case", &["--positive", "ill"])), &["`Ill`", "`ill`", "case only"]);
    let report = json(&evaluate(&path, "case", &["--positive", "ill,Ill"]));
    assert_eq!(report["data"]["table"]["classes"]["negative"]["values"], serde_json::json!(["well"]));
}

/// A provider's table: two features and a diagnosis.
fn provider(diagnosis: impl Fn(usize) -> &'static str) -> String {
    let row = |row: usize| format!("{},{},{}\n", 40 + row * 7 % 31, 110 + row * 11 % 43, diagnosis(row));
    "age,pressure,diagnosis\n".to_owned() + &(0..20).map(row).collect::<String>()
}

/// Nodes read what the commands read and refuse classes that the proposal lacks.
fn nodes() {
    let orgs = Organisations::start();
    let configure = |org: usize, bytes: &[u8], data: &str| {
        let config = orgs.write_rows(org, "");
        fs::write(orgs.path(&format!("org{org}/visits.csv")), bytes).unwrap();
        let text = fs::read_to_string(&config).unwrap();
        let start = text.find("[data]").unwrap();
        fs::write(
            &config,
            format!("{}[data]\nfile = \"visits.csv\"\nlabel = \"diagnosis\"\n{data}", &text[..start]),
        )
        .unwrap();
        config
    };
    let grades = |row: usize| ["0", "1", "0", "2", "0", "3"][row % 6];
    let all = "positive = [1, 2, 3]\nnegative = 0\n";
    let first = configure(1, &gzip(provider(grades).as_bytes()), all);
    let template =
        ["--partition", "rows", "Org1MSP", "Org2MSP", "Org3MSP", "--room", "40", "--config", &first];
    let job = orgs.propose_template(&[&template[..], &SMALL, &["--iterations", "2"]].concat());
    let accept =
        |org: usize| ["job".into(), "accept".into(), "--config".into(), orgs.config(org), job.clone()];
    let refused = |org: usize, says: &[&str]| {
        let args: [String; 5] = accept(org);
        assert_says(&error(&args.each_ref().map(String::as_str)), says);
    };
    let some = |row: usize| ["0", "2"][row % 2];
    configure(2, provider(|row| ["0", "4"][row % 2]).as_bytes(), "");
    refused(
        2,
        &["visits.csv", "line 3, column `diagnosis`", "the class `4` is neither", "the job's classes"],
    );
    configure(2, provider(some).replace(",2\n", ",NA\n").as_bytes(), "");
    refused(2, &["visits.csv", "line 3, column `diagnosis`", "is missing"]);
    configure(2, provider(some).as_bytes(), "positive = 4\n");
    refused(2, &["`positive` in [data] is `4`", "`1/2/3`"]);
    configure(2, provider(some).as_bytes(), "negative = \"0,1\"\n");
    refused(2, &["`negative` in [data] is `0,1`", "`0`"]);
    configure(2, provider(some).as_bytes(), "positive = \"\"\n");
    refused(2, &["`positive` in [data] is ``", "`1/2/3`"]);
    configure(2, provider(some).replace("40,", "absent,").as_bytes(), "");
    refused(2, &["visits.csv", "line 2, column `age`", "`na` in the configuration"]);
    // As another program wrote it: gaps of its own, decimal commas, UTF-16.
    let foreign = provider(some).replace(',', ";").replace("40;", "absent;").replace("47;", "47,5;");
    let foreign = utf16(&foreign, u16::to_le_bytes);
    configure(2, &foreign, "na = [\"absent\"]\nfill_missing = true\npositive = \"1,2,3\"\n");
    configure(3, b"", "");
    let ended = orgs.run(&job);
    assert!(ended.iter().all(|(good, _)| *good), "{ended:?}");
    let said = &ended[1].1;
    assert!(
        said.contains("20 rows, 2 columns, ") && said.contains("10 of 1/2/3 (positive), 10 of 0"),
        "{said}"
    );
    let report = ok(&["job", "result", "--config", &orgs.config(2), &job, "--json", "-"]);
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["table"]["rows"], 20);
    assert_says(&report["table"]["notes"].to_string(), &["UTF-16", "decimal commas"]);

    // A table on a pipe would be another one at the next start.
    let pipe = orgs.path("org2/pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let config = fs::read_to_string(orgs.config(2)).unwrap();
    fs::write(orgs.config(2), config.replace("visits.csv", "pipe")).unwrap();
    let again = orgs.propose_template(&[&template[..], &SMALL, &["--iterations", "3"]].concat());
    assert_says(
        &error(&["job", "accept", "--config", &orgs.config(2), &again]),
        &["pipe", "no regular file"],
    );

    // Encrypted rows are read in the same way.
    let (analyst, size) = (orgs.config(3), &SMALL[..3]);
    ok(&[&["instances", "key", "--config", &analyst], size].concat());
    let shared = orgs.text("shared.csv");
    File::create(&shared).unwrap().write_all(&foreign).unwrap();
    let of = [
        "--data",
        &shared,
        "--label",
        "diagnosis",
        "--positive",
        "1,2,3",
        "--insecure-key-bits",
        "--to",
        "Org3MSP",
    ];
    let share = [&["instances", "share", "--config", &first], &of[..]].concat();
    assert_says(&error(&share), &["shared.csv", "never has the value `1`"]);
    let share: Vec<&str> = share.into_iter().map(|arg| if arg == "1,2,3" { "2" } else { arg }).collect();
    assert_says(&error(&share), &["shared.csv", "line 2, column `age`", "--na"]);
    let found = json(&[&share[..], &["--na", "absent"]].concat());
    assert_eq!(found["rows"], 20);
}
