//! Predictions with a model that stayed split, on both ledgers: a node is killed meanwhile; every class is the whole model's,
//! a repeated row is answered from the record, and no node goes beyond its limit.

use crate::fixture::{Finished, Ledger, On, Running, Size, run};
use crate::harness::{Test, test};
use dataset::generate;
use experiment::SplitRun;
use node::{
    config::Config,
    model::Query,
    predictions::{self, QueryLog, ROW_LIMIT},
    proposal::{job_params, key_generation},
    worker::{KeyReport, PredictReport, check, report_path},
};
use records::{Collusion, Job, JobParams, Judge, Kind as Protocol, Publication, VERSION};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

pub const TESTS: &[Test] = &[test!(split_model on Dev, Fabric)];

const SIZE: Size = Size { judge: Judge::Blinded, rows: 60, iterations: 6, batch: 8, key_bits: 512 };

async fn split_model(on: On) {
    let ledger = Ledger::start(on, 3).await;
    let split = trained(&ledger).await;
    few_rows_and_the_same_again(&ledger, &split).await;
    what_does_not_fit_is_refused(&ledger, &split).await;
    another_key_is_refused(&ledger, &split).await;
    many_rows_though_nodes_are_killed(&ledger, &split).await;
}

/// A training whose participants keep their parts.
async fn trained(ledger: &Ledger) -> SplitRun {
    let experiment = ledger.experiment_with("split", &SIZE, |options| options.model = Publication::Split);
    let participants = ledger.participants_in(&ledger.network.dir.join("jobs/split/participants"), 3);
    let deployment = experiment.deploy(&participants, &experiment.deal().unwrap()).unwrap();
    let finished = Finished::run(deployment, ledger).await;
    assert!(finished.report.identical_indicators);
    assert!(finished.reports.iter().all(|report| report.published.is_none()));
    SplitRun {
        model: finished.deployment.vertical_model(&finished.reports),
        training: finished.id(),
        participants: finished.deployment.participants.clone(),
    }
}

/// The first of so many new patients, some of whose values are unknown.
fn rows(ledger: &Ledger, name: &str, count: usize) -> Query {
    let text = generate::patients(400, 77);
    let header = text.lines().next().unwrap().to_owned();
    let names: Vec<&str> = header.split(',').collect();
    let last = names.iter().rposition(|&name| name != generate::LABEL && name != generate::ID).unwrap();
    let lines = text.lines().skip(1).take(count).enumerate().map(|(number, line)| {
        let mut cells: Vec<&str> = line.split(',').collect();
        if number % 5 == 0 {
            cells[last] = "?";
        }
        cells.join(",")
    });
    let file = ledger.network.dir.join(format!("{name}.csv"));
    let all: Vec<String> = std::iter::once(header).chain(lines).collect();
    fs::write(&file, all.join("\n") + "\n").unwrap();
    Query { id: Some(generate::ID.into()), ..Query::from_file(file) }
}

/// What the whole model says, as identifiers and whether they are positive.
fn whole(split: &SplitRun, query: &Query) -> Vec<(String, bool)> {
    let found = split.model.predict(query).unwrap();
    let row = |p: node::model::Prediction| (p.id.unwrap(), p.class == split.model.positive);
    found.predictions.into_iter().map(row).collect()
}

/// Asserts that all rows are answered as the whole model would.
fn assert_answered(split: &SplitRun, query: &Query) {
    let expected = whole(split, query);
    let answers = split.answers(expected.iter().map(|(id, _)| id)).unwrap();
    for ((id, positive), answer) in expected.iter().zip(answers) {
        assert_eq!(answer.positive, *positive, "{id}");
    }
}

fn config(split: &SplitRun, party: usize) -> Config {
    Config::load(&split.participants.configs[party]).unwrap()
}

fn job(params: &JobParams) -> Job {
    let proposer = params.participants[0].clone();
    Job { version: VERSION, id: params.id(), params: params.clone(), proposer, proposed: 0 }
}

async fn few_rows_and_the_same_again(ledger: &Ledger, split: &SplitRun) {
    let first = rows(ledger, "first", 12);
    let params = split.deploy(&first, None).unwrap().expect("nothing is known yet");
    let reports: Vec<PredictReport> = run(&split.participants, &params, &[]).await;
    assert_answered(split, &first);
    assert!(reports.iter().all(|report| report.classes == reports[0].classes && report.classes.len() == 12));
    let found = ledger.verify(&params.id()).await;
    assert!(found.complete, "{:?}", found.defects);
    assert_eq!((found.indicators, found.proofs), (12, 3));

    // Three more rows; the others are not asked about again.
    let more = rows(ledger, "more", 15);
    let params = split.deploy(&more, None).unwrap().expect("three are new");
    let Protocol::VerticalPredict(predict) = &params.kind else { panic!() };
    assert_eq!(predict.instances, 3);
    let _: Vec<PredictReport> = run(&split.participants, &params, &[]).await;
    assert_answered(split, &more);
    assert_eq!(split.deploy(&first, None).unwrap(), None, "all are in the record");
    for party in 0..3 {
        let answered = QueryLog::load(&config(split, party), &split.training).unwrap();
        assert_eq!((answered.left(ROW_LIMIT, None), answered.answers.len()), (ROW_LIMIT - 15, 15));
    }
}

async fn what_does_not_fit_is_refused(ledger: &Ledger, split: &SplitRun) {
    // Six rows are more than the limit leaves, for every node by itself.
    let beyond = rows(ledger, "beyond", 21);
    let params = split.deploy(&beyond, None).unwrap().unwrap();
    for party in 0..3 {
        let fault = check(&config(split, party), &job(&params), party as u32).unwrap_err().to_string();
        assert!(fault.contains("6 rows, 5 of 20 are left"), "{fault}");
    }

    // Other digests than those with which training ended: the contract, and each node.
    let within = rows(ledger, "within", 18);
    let params = split.deploy(&within, None).unwrap().unwrap();
    check(&config(split, 1), &job(&params), 1).unwrap();
    let mut other = params.clone();
    let Protocol::VerticalPredict(predict) = &mut other.kind else { panic!() };
    predict.digests.swap(0, 2);
    let refused = split.participants.propose(&other).await.unwrap_err().to_string();
    assert!(refused.contains("digests: not that of the part of Org1MSP"), "{refused}");
    let fault = check(&config(split, 1), &job(&other), 1).unwrap_err().to_string();
    assert!(fault.contains("other parts of the model"), "{fault}");

    // Another part of the model than the digest names.
    let path = report_path(&config(split, 1), &split.training);
    let fault = with_changed(&path, "\"weights\": [\n", "\"weights\": [\n\"1\",", || {
        check(&config(split, 1), &job(&params), 1).unwrap_err().to_string()
    });
    assert!(fault.contains("not the one that was named"), "{fault}");

    // A row under another name is a new row.
    let strange = config(split, 1).predictions.unwrap().file;
    let fault = with_changed(&strange, "\n\"", "\n\"X", || {
        check(&config(split, 1), &job(&params), 1).unwrap_err().to_string()
    });
    assert_eq!(fault, "4 identifiers for a job of 3 instances");
    let fault = with_changed(&strange, "id,", "name,", || {
        predictions::template(&config(split, 1), &split.training).unwrap_err().to_string()
    });
    assert!(fault.contains("new.csv") && fault.contains("no column `id`"), "{fault}");
}

/// Under another key of the same members everything would be opened by whom that key allows.
async fn another_key_is_refused(ledger: &Ledger, split: &SplitRun) {
    let generation = key_generation(SIZE.key_bits, true, 2, Collusion::Minority);
    let params = job_params(Protocol::KeyGeneration(generation), ledger.members(3)).unwrap();
    let reports: Vec<KeyReport> = run(&split.participants, &params, &[]).await;
    let mut params = split.deploy(&rows(ledger, "other", 18), None).unwrap().unwrap();
    let Protocol::VerticalPredict(predict) = &mut params.kind else { panic!() };
    predict.key = Some(reports[0].key);
    let refused = split.participants.propose(&params).await.unwrap_err().to_string();
    assert!(refused.contains("the key has 512 bits, for 2 of"), "{refused}");
    let Protocol::VerticalPredict(predict) = &mut params.kind else { panic!() };
    predict.quorum = 2;
    let refused = split.participants.propose(&params).await.unwrap_err().to_string();
    assert!(refused.contains("quorum: 2 is lower than the training's 3"), "{refused}");

    // As strong as the training's, but not it.
    let generation = key_generation(SIZE.key_bits, true, 3, Collusion::AllButOne);
    let params = job_params(Protocol::KeyGeneration(generation), ledger.members(3)).unwrap();
    let reports: Vec<KeyReport> = run(&split.participants, &params, &[]).await;
    let mut params = split.deploy(&rows(ledger, "other", 18), None).unwrap().unwrap();
    let Protocol::VerticalPredict(predict) = &mut params.kind else { panic!() };
    predict.key = Some(reports[0].key);
    let refused = split.participants.propose(&params).await.unwrap_err().to_string();
    assert!(refused.contains("neither the training's nor a refresh of it"), "{refused}");
}

/// Runs something while a file is another.
fn with_changed<T>(path: &PathBuf, from: &str, to: &str, run: impl FnOnce() -> T) -> T {
    let text = read(path);
    assert!(text.contains(from), "{}: {text}", path.display());
    fs::write(path, text.replacen(from, to, 1)).unwrap();
    let result = run();
    fs::write(path, text).unwrap();
    result
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

async fn many_rows_though_nodes_are_killed(ledger: &Ledger, split: &SplitRun) {
    let many = rows(ledger, "many", 315);
    let params = split.deploy(&many, Some(400)).unwrap().unwrap();
    let running = Running::start(&split.participants, &params).await;
    // In the set-up, and while the rows are being blinded.
    for (records, killed) in [(1, 1), (10, 2)] {
        running.reach(records).await;
        running.kill_node(killed, Duration::from_millis(200)).await;
    }
    let (reports, _) = running.end::<PredictReport>().await;
    assert_answered(split, &many);
    let (positive, all) = (split.model.class(dataset::Label::Positive), reports[0].classes.len());
    assert_eq!(all, 300);
    let positives = whole(split, &many).iter().filter(|(_, positive)| *positive).count();
    assert!(positives > 20 && positives < 295, "{positives} {positive}");
    // However often a node was started, the rows count once.
    for party in 0..3 {
        let answered = QueryLog::load(&config(split, party), &split.training).unwrap();
        assert_eq!(answered.left(400, None), 400 - 315);
    }
    let found = ledger.verify(&params.id()).await;
    assert!(found.complete, "{:?}", found.defects);
    assert_eq!(found.indicators, 300);
}
