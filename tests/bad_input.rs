//! Bad input, and the commands of organisations with their own files on a running ledger: every error is clear, names
//! the place, and nothing is lost or left behind.

use crate::fixture::{
    Tamper,
    organisations::{
        LABEL, Organisations, PATIENCE, ROWS, Running, assert_says, confab, error, good, ok, table,
    },
    play, program,
};
use crate::harness::{Test, test};
use gateway_client::Call;
use node::{config::Config, data, ledger};
use records::{Body, Job, JobId, Outcome, Phase, Termination};
use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
};
use svm::{horizontal::HorizontalSvm, vertical::VerticalSvm};

pub const TESTS: &[Test] = &[
    test!(unfit),
    test!(interrupted),
    test!(ports),
    test!(participants),
    test!(cheating_participant),
    test!(providers),
    test!(cheating_provider),
    test!(terminal),
    test!(own_files),
];

/// Unfit tables and parameters are named before anything is started.
fn unfit() {
    let dir = tempfile::tempdir().unwrap();
    let temporary = dir.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let path = dir.path().join("visits.csv");
    let file = path.to_str().unwrap();
    let one_class = table(|_, cells| cells[1] = "sick".into());
    let letters = table(|row, cells| {
        if row == 4 {
            cells[3] = "fast".into();
        }
    });
    let huge = table(|row, cells| {
        if row == 7 {
            cells[2] = "1e9".into();
        }
    });
    let defaults = ["--label", LABEL, "--id", "patient", "--positive", "sick", "--participants", "2"];
    let small = ["--key-bits", "512", "--insecure-key-bits"];
    let cases: [(&str, &str, &[&str], &[&str]); 8] = [
        ("missing column", &good().replace("diagnosis", "outcome"), &[], &[file, "`diagnosis`", "outcome"]),
        ("not a number", &letters, &[], &[file, "line 6", "`pulse`", "not a number"]),
        ("one class", &one_class, &[], &[file, "only one class", "sick"]),
        ("overflow", &huge, &["--scale", "none"], &["line 9", "`age`", "overflows", "--scale"]),
        ("short key", &good(), &["--key-bits", "1024"], &["1024", "2048", "--insecure-key-bits"]),
        ("weak blinding", &good(), &small, &["512", "blinding", "--weak-blinding"]),
        ("ragged line", &good().replace("p02,", "p02,1,"), &[], &[file, "line 4", "cells"]),
        ("too many participants", &good(), &["--participants", "5"], &["2 feature columns", "5"]),
    ];
    for (name, text, args, parts) in cases {
        fs::write(&path, text).unwrap();
        let mut all = vec!["train", "--data", file];
        // What a case gives itself takes the place of the default.
        all.extend(defaults.chunks(2).filter(|pair| !args.contains(&pair[0])).flatten());
        all.extend(args);
        let output = Command::new(program())
            .args(&all)
            .env("TMPDIR", &temporary)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{name}");
        assert!(err.starts_with("error: ") && err.lines().count() == 1, "{name}: {err}");
        assert_says(&err, parts);
        assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "{name} left something behind");
    }
    let absent = dir.path().join("absent.csv");
    let absent = absent.to_str().unwrap();
    assert_says(&error(&["train", "--data", absent, "--label", "x"]), &[absent, "o such file"]);
    let out = dir.path().join("keys");
    let deal = ["key", "deal", "--parties", "2", "--key-bits", "256", "--out", out.to_str().unwrap()];
    assert_says(&error(&deal), &["--key-bits 256", "2048", "--insecure-key-bits"]);
    assert!(!out.exists());
}

/// An interrupted training leaves nothing behind.
fn interrupted() {
    let dir = tempfile::tempdir().unwrap();
    let table = dir.path().join("visits.csv");
    fs::write(&table, good()).unwrap();
    // Long enough a key and a job that the signal comes in time.
    for (step, key_bits, key) in [
        ("starting ledger", "512", "negotiate"),
        ("negotiating", "2048", "negotiate"),
        ("dealing", "2048", "deal"),
        ("proposing the training", "512", "deal"),
    ] {
        let temporary = dir.path().join(key).join(step);
        fs::create_dir_all(&temporary).unwrap();
        let child = Command::new(program())
            .args(["train", "--label", LABEL, "--id", "patient", "--positive", "sick", "--participants", "2"])
            .args(["--key-bits", key_bits, "--insecure-key-bits", "--weak-blinding", "--iterations", "500"])
            .args(["--key", key])
            .arg("--data")
            .arg(&table)
            .env("TMPDIR", &temporary)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut child = Running(child);
        let mut lines = BufReader::new(child.0.stderr.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().starts_with(step)), "{step}");
        child.interrupt();
        assert!(lines.any(|line| line.unwrap().starts_with("error: interrupted")), "{step}");
        assert!(!child.0.wait().unwrap().success());
        assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "{step}");
    }
}

/// Ports in use are named.
fn ports() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let folder = dir.path().join("ledger");
    let start = ["ledger", "start", "--orgs", "2", "--base-port", &port, "--dir", folder.to_str().unwrap()];
    assert_says(&error(&start), &[&port, "in use"]);
    let address = format!("127.0.0.1:{port}");
    assert_says(&error(&["chaincode", "--address", &address, "--id", "confab:1"]), &[&address, "in use"]);
}

/// Participants whose files do not fit are named.
fn participants() {
    let orgs = Organisations::start();

    // What one organisation can see alone is said before it accepts, and the job stays open meanwhile.
    let job = orgs.propose(&[]);
    let accept = |config: &str| error(&["job", "accept", "--config", config, &job]);
    let repeated = orgs.write(2, &good().replace("p05,", "p04,"));
    assert_says(&accept(&repeated), &["visits.csv", "`p04`", "line 6", "line 7"]);
    let of_other = orgs.write_with_key(2, &good(), "keys/key-share-3.json");
    assert_says(&accept(&of_other), &["key-share-3.json", "member 3", "Org2MSP is number 2"]);
    orgs.deal("longer", "320");
    let longer = orgs.write_with_key(2, &good(), "longer/key-share-2.json");
    assert_says(&accept(&longer), &["key-share-2.json", "320", "256"]);
    let fewer: String = good().lines().take(ROWS - 4).fold(String::new(), |text, line| text + line + "\n");
    let fewer = orgs.write(2, &fewer);
    assert_says(&accept(&fewer), &["visits.csv", "25 identifiers", "30 instances"]);
    let huge = table(|row, cells| {
        if row == 3 {
            cells[2] = "1e9".into();
        }
    });
    let huge = orgs.write(2, &huge);
    let unscaled = fs::read_to_string(&huge).unwrap() + "scale = \"none\"\n";
    fs::write(&huge, unscaled).unwrap();
    assert_says(&accept(&huge), &["visits.csv", "line 5", "`age2`", "overflows", "`scale` in [data]"]);
    let gap = orgs.write(2, &good().replace("p03,well,", "p03,?,"));
    assert_says(&accept(&gap), &["line 5", "`diagnosis`", "missing"]);
    let template = ["job", "template", "Org1MSP", "Org2MSP", "--config", &repeated];
    orgs.write(2, &good().replace("p05,", "p04,"));
    assert_says(&error(&template), &["visits.csv", "`p04`"]);
    assert_eq!(orgs.ending(&job), None, "the job must stay open");
    orgs.write(2, &good());
    assert!(
        orgs.run(&job).into_iter().all(|(success, _)| success),
        "nothing is lost by what was tried before"
    );

    // A node that accepts by itself tells its own people why it does not, and the others that it does not.
    let config = orgs.write(2, &good().replace("p05,", "p04,"));
    let job = orgs.propose(&["--lambda", "2"]);
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("accept = [\"{job}\"]\n{text}")).unwrap();
    let (success, said) = orgs.node(2, &job).end();
    assert!(!success);
    assert_says(&said, &["does not fit", "`p04`", "line 6", "refused by Org2MSP"]);
    match orgs.ending(&job).unwrap() {
        Termination { by, outcome: Outcome::Refused(reason), .. } => {
            assert_eq!(by, "Org2MSP");
            assert!(!reason.contains("p04"), "identifiers stay at home: {reason}");
        }
        other => panic!("{other:?}"),
    }

    // What shows only together names the sides.
    let differing = [
        (good().replace("p07,well", "p07,sick"), "the labels differ"),
        (good().replace("p07,", "q07,"), "the instances (identifiers) differ"),
    ];
    for (index, (table, what)) in differing.iter().enumerate() {
        orgs.write(1, &good());
        orgs.write(2, table);
        orgs.write(3, &good());
        let job = orgs.propose(&["--c", &format!("{}", index + 2)]);
        for (success, said) in orgs.run(&job) {
            assert!(!success);
            assert_says(&said, &[what, "Org1MSP, Org3MSP; Org2MSP"]);
        }
        assert_says(&orgs.abort_reason(&job).1, &[what, "Org1MSP, Org3MSP; Org2MSP"]);
    }
    orgs.deal("others", "256");
    orgs.write_with_key(3, &good(), "others/key-share-3.json");
    orgs.write(2, &good());
    let job = orgs.propose(&["--c", "5"]);
    orgs.run(&job);
    assert_says(&orgs.abort_reason(&job).1, &["the public keys differ", "Org1MSP, Org2MSP; Org3MSP"]);
}

/// Plays a member that changes its records before it posts them, until the job ends.
async fn cheat(config: Config, id: JobId, tamper: Tamper) -> Termination {
    let contract = ledger::connect(&config).unwrap().network(&config.channel).contract(&config.chaincode);
    // What is no record at all does not get past the contract.
    let nonsense = ["setup", "0", "0", "nonsense"];
    let call = nonsense.iter().fold(Call::new("post").arg(id.to_string()), |call, arg| call.arg(*arg));
    let refused = contract.submitter().submit(call, PATIENCE).await.unwrap_err();
    assert!(refused.to_string().contains("BAD_INPUT"), "{refused}");
    let own = config.clone();
    let private = move |job: &Job, party, secret| data::load(&own, job, party, &secret).unwrap().private;
    play::<VerticalSvm>(config, &id, private, tamper).await
}

/// A participant that cheats is named and the job ends.
fn cheating_participant() {
    let orgs = Organisations::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // Ciphertexts of the right length that are none, and partial decryptions of other ciphertexts.
    let cheats: [(Tamper, &[&str]); 2] = [
        (
            |_, body| {
                if let Body::Iv(iv) = body {
                    iv.tiv[1].0.fill(0xff);
                }
            },
            &["iv round 0", "tiv", "ciphertext 1"],
        ),
        (
            |slot, body| {
                if let (Body::Dv(dv), 1) = (body, slot.round) {
                    dv.dv.swap(0, 2);
                }
            },
            &["round 1", "partial decryption", "proof"],
        ),
    ];
    for (index, (tamper, parts)) in cheats.into_iter().enumerate() {
        (1..=3).for_each(|org| drop(orgs.write(org, &good())));
        let job = orgs.propose(&["--c", &format!("{}", index + 2)]);
        [1, 2].iter().for_each(|org| orgs.accept(*org, &job));
        let honest = [orgs.node(1, &job), orgs.node(2, &job)];
        let config = Config::load(Path::new(&orgs.config(3))).unwrap();
        let ending = runtime
            .block_on(async {
                tokio::time::timeout(PATIENCE, cheat(config, job.parse().unwrap(), tamper)).await
            })
            .expect("the job ends");
        for (success, said) in honest.map(Running::end) {
            assert!(!success);
            assert_says(&said, &["Org3MSP (party 2)", "aborted by"]);
        }
        let (by, reason) = orgs.abort_reason(&job);
        assert_eq!(ending.outcome, Outcome::Aborted(reason.clone()));
        assert_ne!(by, "Org3MSP", "honest members give the job up");
        assert!(reason.starts_with("Org3MSP (party 2): "), "{reason}");
        assert_says(&reason, parts);
    }
}

/// Two providers and an analyst, the third, with another model each time.
/// The classes are those of the proposal: rows of either alone will do, and no other class.
fn providers_of_one_class_are_accepted(orgs: &Organisations) {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/cases");
    let given = |name: &str| fs::read_to_string(cases.join(name)).ok();
    let generated = |class: &str| {
        let row = |i: usize| format!("{}.5,{}.25,{class}\n", 40 + i % 31, 110 + i * 7 % 43);
        (0..12).map(row).collect::<String>()
    };
    let header = "age,pressure,diagnosis\n";
    let both = given("provider-both.csv")
        .unwrap_or_else(|| [header, &generated("well"), &generated("sick")].concat());
    let well = given("provider-only-well.csv").unwrap_or_else(|| header.to_owned() + &generated("well"));
    let without_id = |org: usize, table: &str| {
        let config = orgs.write_rows(org, table);
        let text = fs::read_to_string(&config).unwrap().replace("id = \"patient\"\n", "");
        fs::write(&config, text).unwrap();
        config
    };
    let first = without_id(1, &both);
    let sick = well.replace(",well", ",sick");
    for (table, unknown) in [(&well, false), (&sick, false), (&well.replacen("well", "Well", 1), true)] {
        let job = orgs.propose_template(&rows_template(&first, &["--room", "40"]));
        let second = without_id(2, table);
        match unknown {
            false => orgs.accept(2, &job),
            true => {
                let said = error(&["job", "accept", "--config", &second, &job]);
                assert_says(&said, &["visits.csv", "`diagnosis`", "`Well`", "`well`"]);
            }
        }
        ok(&["job", "refuse", "--config", &first, &job, "--reason", "only tried"]);
    }
}

fn rows_template<'a>(config: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut template = vec!["--partition", "rows", "Org1MSP", "Org2MSP", "Org3MSP", "--config", config];
    template.extend(["--key-bits", "512", "--insecure-key-bits", "--weak-blinding", "--iterations", "3"]);
    template.extend(more);
    template
}

/// Providers whose tables do not fit are named.
fn providers() {
    let orgs = Organisations::start();
    let config = orgs.write_rows(1, &good());
    let analyst = orgs.config(3);
    let of_columns = error(&["job", "template", "Org1MSP", "Org2MSP", "--room", "9", "--instances", "9"]);
    assert_says(&of_columns, &["--room", "--partition rows"]);
    let one = ["job", "template", "--partition", "rows", "Org1MSP", "Org2MSP", "--config", &config];
    assert_says(&error(&one), &["participants", "at least two providers", "a sum of one protects nobody"]);

    let job = orgs.propose_template(&rows_template(&config, &[]));
    let swapped: String = good()
        .lines()
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            format!("{},{},{},{}\n", cells[0], cells[1], cells[3], cells[2])
        })
        .collect();
    let more = good() + "p99,sick,60,70\n";
    let in_unit = |exponent: &str| table(|_, cells| cells[2] += exponent);
    let (fine, large) = (in_unit("e-30"), in_unit("e30"));
    let cases: [(&str, &[&str]); 8] = [
        (&fine, &["visits.csv", "column `age`", "too fine", "unit of measurement"]),
        (&large, &["visits.csv", "line 2, column `age`", "too large", "unit of measurement"]),
        (&swapped, &["visits.csv", "column 1 is `pulse`", "`age`"]),
        (&good().replace(",pulse", ",puls"), &["column 2 is `puls`", "`pulse`"]),
        (&good().replace("well", "fine"), &["`diagnosis`", "class `fine`", "`sick`", "`well`", "the job's"]),
        (&good().replacen("well", "unknown", 1), &["`diagnosis`", "class `unknown`", "`sick`", "`well`"]),
        (&more, &["31 rows", "room for 30"]),
        (&good().replacen("p03,well,43", "p03,well,?", 1), &["line 5", "`age`", "fill_missing"]),
    ];
    for (table, parts) in cases {
        let config = orgs.write_rows(2, table);
        assert_says(&error(&["job", "accept", "--config", &config, &job]), parts);
    }
    assert_eq!(orgs.ending(&job), None, "the job must stay open");
    // One class only is enough for a provider, and not for a proposal.
    let only_well: String =
        good().lines().filter(|line| !line.contains(",sick,")).map(|line| format!("{line}\n")).collect();
    let second = orgs.write_rows(2, &only_well);
    let template = rows_template(&second, &[]);
    let template: Vec<&str> = ["job", "template"].iter().chain(&template).copied().collect();
    assert_says(&error(&template), &["`diagnosis`", "all rows are of one class", "proposal names both"]);
    for (success, said) in orgs.run(&job) {
        assert!(success, "{said}");
    }
    providers_of_one_class_are_accepted(&orgs);
    orgs.write_rows(1, &good());
    // Nobody saw how many rows the second one has; everybody has the model.
    let model = orgs.text("model.json");
    let shown = ok(&["job", "result", "--config", &analyst, &job, "--model", &model]);
    assert_says(&shown, &["finished", "iterations  3", "age", "pulse", "intercept"]);
    let table = orgs.text("org1/visits.csv");
    let rows = ok(&["predict", "--model", &model, "--data", &table, "--id", "patient", "--json", "-"]);
    let rows: serde_json::Value = serde_json::from_str(&rows).unwrap();
    assert_eq!(rows["predictions"].as_array().unwrap().len(), ROWS);
}

/// A provider that cheats is named and the job ends.
fn cheating_provider() {
    let orgs = Organisations::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // No ciphertext, one that is no unit, and one that was not made under the analyst's key.
    let cheats: [(Tamper, &[&str]); 3] = [
        (
            |slot, body| {
                if let (Body::Ciphertexts(list), Phase::Margins) = (body, slot.phase) {
                    list[1].0.fill(0xff);
                }
            },
            &["margins round 0", "ciphertext 1"],
        ),
        (
            |slot, body| {
                if let (Body::Ciphertexts(list), Phase::Gradient, 1) = (body, slot.phase, slot.round) {
                    list[0].0.fill(0);
                }
            },
            &["gradient round 1", "ciphertext 0"],
        ),
        (
            |slot, body| {
                if let (Body::Ciphertexts(list), Phase::Margins, 1) = (body, slot.phase, slot.round) {
                    list[0].0.fill(1);
                }
            },
            &["margins"],
        ),
    ];
    for (index, (tamper, parts)) in cheats.into_iter().enumerate() {
        (1..=3).for_each(|org| drop(orgs.write_rows(org, &good())));
        let c = format!("0.0{}", index + 1);
        let job = orgs.propose_template(&rows_template(&orgs.config(1), &["--c", &c]));
        [1, 3].iter().for_each(|org| orgs.accept(*org, &job));
        let honest = [orgs.node(1, &job), orgs.node(3, &job)];
        let config = Config::load(Path::new(&orgs.config(2))).unwrap();
        let own = config.clone();
        let private = move |job: &Job, party, secret| data::rows(&own, job, party, secret).unwrap().private;
        let id = job.parse().unwrap();
        let ending = runtime
            .block_on(async {
                tokio::time::timeout(PATIENCE, play::<HorizontalSvm>(config, &id, private, tamper)).await
            })
            .expect("the job ends");
        for (success, said) in honest.map(Running::end) {
            assert!(!success, "{said}");
            assert_says(&said, &["Org2MSP (party 1)", "aborted by"]);
        }
        let (by, reason) = orgs.abort_reason(&job);
        assert_eq!(ending.outcome, Outcome::Aborted(reason.clone()));
        assert_ne!(by, "Org2MSP", "honest members give the job up");
        assert!(reason.starts_with("Org2MSP (party 1): "), "{reason}");
        assert_says(&reason, parts);
    }
}

/// What one organisation writes cannot act on another's terminal: the contract does not take it, and what says so is one
/// line without it.
fn terminal() {
    let orgs = Organisations::start();
    let job = orgs.propose(&[]);
    let config = orgs.config(2);
    let hidden = |text: &str| text.chars().any(records::text::is_hidden);
    for reason in
        ["wrong year\n\u{1b}[2K\rfinished \u{1b}[31mred", "\u{202e}gnp.exe", "\u{9b}2J", "\u{2066}x"]
    {
        for command in ["refuse", "abort"] {
            let said = error(&["job", command, "--config", &config, "--reason", reason, &job]);
            assert_says(&said, &["reason", "control or invisible"]);
            assert!(!hidden(&said), "{said:?}");
        }
    }
    assert_eq!(orgs.ending(&job), None);
    // A name in a proposal, a file's and a job's: what comes back is escaped.
    let params = orgs.path("params.json");
    let forged = fs::read_to_string(&params).unwrap().replace("Org3MSP", "Org3\\u001b[31mMSP\u{202e}");
    fs::write(&params, forged).unwrap();
    let propose = ["job", "propose", "--config", &config, "--params", params.to_str().unwrap()];
    let said = error(&propose);
    assert_says(&said, &["participants", "\\u{1b}"]);
    assert!(!hidden(&said), "{said:?}");
    let file = orgs.text("a\u{1b}]0;title\u{7}\u{202e}.json");
    let said = error(&["model", "show", "--model", &file]);
    assert!(said.contains("\\u{1b}]0;title\\u{7}\\u{202e}.json") && !hidden(&said), "{said:?}");
    let list = ok(&["job", "watch", "--config", &config]);
    assert!(list.lines().count() == 1 && !hidden(&list), "{list:?}");
}

/// Organisations train with their own files on a running ledger.
fn own_files() {
    let orgs = Organisations::start();
    let configs = [1, 2, 3].map(|org| orgs.config(org));
    let [config, other, _] = &configs;
    let watch = |job: &str| ok(&["job", "watch", "--once", "--config", other, job]);

    // Two jobs at once with the same nodes, one of them accepted while the node runs, and a training by other nodes
    // of the same organisations beside them.
    let first = orgs.propose(&["--lambda", "3"]);
    let params = orgs.text("params.json");
    assert_eq!(ok(&["job", "propose", "--config", config, "--params", &params]), first, "the same job");
    assert_eq!(watch(&first), "proposed by Org1MSP; waits for Org1MSP, Org2MSP, Org3MSP");
    let second = orgs.propose(&["--model", "split"]);
    (1..=3).for_each(|org| orgs.accept(org, &first));
    orgs.accept(2, &second);
    let nodes: Vec<_> = (1..=3).map(|org| orgs.node(org, &first)).collect();
    let table = orgs.text("visits.csv");
    fs::write(&table, good()).unwrap();
    let (dir, out) = (orgs.text("ledger"), orgs.text("out"));
    let mut train =
        vec!["train", "--data", &table, "--label", LABEL, "--id", "patient", "--positive", "sick"];
    train.extend(["--dir", &dir, "--out", &out, "--participants", "2", "--iterations", "2", "--batch", "2"]);
    train.extend(["--protocol", "paper", "--key-bits", "256", "--insecure-key-bits", "--json", "-"]);
    let report: serde_json::Value = serde_json::from_str(&ok(&train)).expect("nothing but JSON");
    assert_eq!(report["identical_indicators"], true);
    assert_says(&error(&train), &["out/participants", "--out"]);
    [1, 3].iter().for_each(|org| orgs.accept(*org, &second));
    for (success, said) in nodes.into_iter().map(Running::end) {
        assert!(success, "{said}");
        assert_says(&said, &["finished"]);
    }
    // A node that is started after the end knows it.
    for (success, said) in (1..=3).map(|org| orgs.node(org, &first).end()) {
        assert!(success, "{said}");
    }
    let nodes: Vec<_> = (1..=3).map(|org| orgs.node(org, &second)).collect();
    for (success, said) in nodes.into_iter().map(Running::end) {
        assert!(success, "{said}");
    }
    // Two nodes with one data directory would post different records.
    let mut node = orgs.node(1, &"0".repeat(64));
    let mut line = String::new();
    BufReader::new(node.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_says(&line, &["following the ledger"]);
    assert_says(&error(&["node", "--config", config]), &["node.redb", "in use by another node"]);
    node.interrupt();
    assert!(node.end().0, "Ctrl-C is a good end");
    assert_eq!((watch(&first), watch(&second)), ("finished".into(), "finished".into()));

    let args = ["verify", &first, "--config", config, "--msp", &format!("Org1MSP={dir}/crypto")];
    assert_says(&error(&args), &["Org2MSP, Org3MSP", "--msp"]);

    // Results, verification and predictions, each by one organisation.
    for job in [&first, &second] {
        let mut verify = vec!["verify", job, "--config", config, "--json", "-"];
        let msps = [1, 2, 3]
            .map(|org| format!("Org{org}MSP={dir}/crypto/peerOrganizations/org{org}.example.com/msp"));
        msps.iter().for_each(|msp| verify.extend(["--msp", msp]));
        let found: serde_json::Value = serde_json::from_str(&ok(&verify)).expect("nothing but JSON");
        assert_eq!((&found["complete"], &found["certificates_checked"]), (&true.into(), &true.into()));
    }
    let parts = [1, 2, 3].map(|org| orgs.text(&format!("part{org}.json")));
    for (config, part) in configs.iter().zip(&parts) {
        let shown = ok(&["job", "result", "--config", config, &first, "--model", part]);
        assert_says(&shown, &["finished", "3, ", "age"]);
    }
    let wide: String = good()
        .lines()
        .map(|line| {
            let (front, cells) = line.split_at(line.match_indices(',').nth(1).unwrap().0 + 1);
            let columns = [1, 2, 3].map(|org| match front.starts_with("patient") {
                true => format!("age{org},pulse{org}"),
                false => cells.to_owned(),
            });
            format!("{front}{}\n", columns.join(","))
        })
        .collect();
    fs::write(&table, wide).unwrap();
    let mut predict = vec!["predict", "--data", &table, "--id", "patient", "--json", "-"];
    parts.iter().for_each(|part| predict.extend(["--model", part]));
    let rows: serde_json::Value = serde_json::from_str(&ok(&predict)).unwrap();
    let right = rows["predictions"].as_array().unwrap().iter().enumerate();
    let right = right.filter(|(row, p)| p["class"] == if row % 2 == 0 { "sick" } else { "well" }).count();
    assert!(right > ROWS * 3 / 4, "{right} of {ROWS}");
    predict.extend(["--model", &parts[0]]);
    assert_says(&error(&predict), &["Org1MSP", "twice"]);
    let model = format!("{out}/model.json");
    assert_says(&error(&["predict", "--model", &model, "--data", &table]), &["visits.csv", "`age`"]);

    // Other endings.
    let third = orgs.propose(&["--c", "3"]);
    assert_says(&error(&["job", "result", "--config", config, &third]), &["no result", "proposed"]);
    ok(&["job", "refuse", "--config", other, &third, "--reason", "not this year"]);
    assert_eq!(watch(&third), "refused by Org2MSP: not this year");
    assert_says(&error(&["job", "accept", "--config", config, &third]), &["refused by Org2MSP", "ENDED"]);
    let fourth = orgs.propose(&["--c", "4"]);
    orgs.accept(1, &fourth);
    ok(&["job", "abort", "--config", config, &fourth]);
    assert_says(&error(&["job", "result", "--config", config, &fourth]), &["aborted by Org1MSP"]);
    let (success, said) = orgs.node(1, &fourth).end();
    assert!(!success);
    assert_says(&said, &["aborted by Org1MSP: aborted by hand"]);
    // The negotiation of the key for `train` is a job too.
    let all = ok(&["job", "watch", "--config", config]);
    assert_eq!((all.lines().count(), all.matches("key-generation").count()), (6, 1), "{all}");
    let usage = String::from_utf8(confab(&["job", "watch", "--config", config, "abc"]).stderr).unwrap();
    assert_says(&usage, &["'abc' for '[JOB]'", "64 hexadecimal digits"]);
    let unknown = "0".repeat(64);
    assert_says(&error(&["job", "watch", "--config", config, &unknown]), &["no job", "UNKNOWN_JOB"]);

    // A ledger that was made anew is not taken for the one before.
    ok(&["ledger", "stop", "--dir", &dir, "--purge"]);
    ok(&["ledger", "start", "--orgs", "3", "--dir", &dir]);
    assert_says(&error(&["node", "--config", config]), &["org1/state", "another ledger"]);
}
