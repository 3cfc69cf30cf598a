//! What a node and the development ledger keep does not grow with the jobs that are over.
//!
//! The same nodes run small jobs one after another. After a tenth of them, at least four, and after all of them the nodes'
//! resident memory and databases and the ledger's memory are measured. `SOAK_JOBS=200` is the measurement by hand.

use crate::fixture::{self, Ledger, On, Size, program};
use crate::harness::{Outcome, Skipped, Test, test};
use experiment::Participants;
use launcher::Kind;
use node::{
    Event, NodeHandle,
    config::Config,
    proposal,
    worker::{KeyReport, report_path},
};
use records::{Bytes, Collusion, JobParams, Judge, Kind as Protocol};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Child,
};

pub const TESTS: &[Test] = &[test!(growth on Dev, Fabric)];

/// For one job, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);
/// Memory and files after all jobs beside those after the first.
const GROWTH: f64 = 1.5;
/// A database of a few jobs is smaller than this, and takes and gives back room in such steps.
const STEP: u64 = 2 << 20;

const SIZE: Size = Size { judge: Judge::Blinded, rows: 40, iterations: 3, batch: 4, key_bits: 512 };

/// Bytes of each node's memory and database, and of the ledger's memory.
#[derive(Clone, Debug)]
struct Sizes {
    memory: Vec<u64>,
    database: Vec<u64>,
    ledger: Option<u64>,
}

struct Node {
    child: Child,
    config: Arc<Config>,
}

async fn growth(on: On) -> Outcome {
    if !cfg!(target_os = "linux") {
        return Err(Skipped("memory of processes is read from /proc".into()));
    }
    let ledger = Ledger::start(on, 3).await;
    let jobs: usize = env::var("SOAK_JOBS").map_or(12, |text| text.parse().expect("a number of jobs"));
    let early = (jobs / 10).max(4);
    let prepared = ledger.prepare("soak", &SIZE);
    let nodes: Vec<Node> = prepared.configs().iter().map(|path| start(path)).collect();
    let mut first = None;
    let begin = Instant::now();
    for job in 1..=jobs {
        let start = Instant::now();
        run(&prepared.participants, &nodes, params(&prepared.params, job)).await;
        if job == early {
            first = Some(sizes(&ledger, &nodes).await);
        }
        if jobs > 20 && job % (jobs / 10) == 0 {
            let sizes = sizes(&ledger, &nodes).await;
            eprintln!("job {job}: {:.1} s, {}", start.elapsed().as_secs_f64(), shown(&sizes));
        }
    }
    let (first, last) = (first.unwrap(), sizes(&ledger, &nodes).await);
    late_members_begin_at_the_end(&ledger).await;
    let seconds = begin.elapsed().as_secs_f64();
    eprintln!("{}: {early} jobs {}", ledger.name(), shown(&first));
    eprintln!("{}: {jobs} jobs {}; {seconds:.0} s", ledger.name(), shown(&last));
    for party in 0..nodes.len() {
        assert_bounded("a node's memory", first.memory[party], last.memory[party]);
        let database = first.database[party].max(STEP);
        assert_bounded("a node's database", database, last.database[party]);
    }
    if let (Some(first), Some(last)) = (first.ledger, last.ledger) {
        assert_bounded("the ledger's memory", first, last);
    }
    Ok(())
}

/// Members that are made when the ledger is long do not read what was before them.
async fn late_members_begin_at_the_end(ledger: &Ledger) {
    let members = ledger.participants("late", 3);
    members.begin_at_the_end().await.unwrap();
    let height = ledger.channel(0).height().await.unwrap();
    let first_block = |path: &PathBuf| Config::load(path).unwrap().first_block;
    assert!(members.configs.iter().all(|path| (1..=height).contains(&first_block(path))));
    let generation = proposal::key_generation(256, true, 2, Collusion::Minority);
    let params = proposal::job_params(Protocol::KeyGeneration(generation), ledger.members(3)).unwrap();
    let reports: Vec<KeyReport> = fixture::run(&members, &params, &[]).await;
    assert!(reports.iter().all(|report| report.key == reports[0].key));
    // What has a state goes on where it was.
    let before: Vec<u64> = members.configs.iter().map(first_block).collect();
    members.begin_at_the_end().await.unwrap();
    assert_eq!(members.configs.iter().map(first_block).collect::<Vec<_>>(), before);
}

fn assert_bounded(what: &str, first: u64, last: u64) {
    assert!(last as f64 <= first as f64 * GROWTH, "{what} grew from {first} to {last} bytes");
}

fn shown(sizes: &Sizes) -> String {
    let megabytes =
        |bytes: &[u64]| bytes.iter().map(|b| format!("{:.1}", *b as f64 / 1e6)).collect::<Vec<_>>().join(" ");
    let ledger: Vec<u64> = sizes.ledger.into_iter().collect();
    format!(
        "memory {} MB, databases {} MB, ledger {} MB",
        megabytes(&sizes.memory),
        megabytes(&sizes.database),
        megabytes(&ledger)
    )
}

/// A node that runs until it is stopped.
fn start(path: &Path) -> Node {
    let log = fs::File::create(path.with_file_name("node.log")).unwrap();
    let mut child = tokio::process::Command::from(Command::new(program()));
    child.args(["node", "--events", "--config"]).arg(path).kill_on_drop(true);
    let mut child = child.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            if let Ok(Event::Stalled { reason, .. } | Event::Rejected { reason, .. }) =
                serde_json::from_str(&line)
            {
                eprintln!("{reason}");
            }
        }
    });
    Node { child, config: Arc::new(Config::load(path).unwrap()) }
}

/// The same training again, and every fifth time a key.
fn params(training: &JobParams, job: usize) -> JobParams {
    let nonce = Bytes((job as u128).to_be_bytes().to_vec());
    let kind = match job % 5 {
        0 => Protocol::KeyGeneration(proposal::key_generation(256, true, 2, Collusion::Minority)),
        _ => training.kind.clone(),
    };
    JobParams { nonce, kind, ..training.clone() }
}

/// Has all nodes run a job to its end.
async fn run(participants: &Participants, nodes: &[Node], params: JobParams) {
    participants.propose(&params).await.unwrap();
    let job = params.id();
    for node in nodes {
        let handle = NodeHandle::open((*node.config).clone()).await.unwrap();
        handle.accept(&job, false).await.unwrap();
    }
    let start = Instant::now();
    while !nodes.iter().all(|node| report_path(&node.config, &job).exists()) {
        assert!(start.elapsed() < PATIENCE, "job {job} does not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What is there when all that is over has settled.
async fn sizes(ledger: &Ledger, nodes: &[Node]) -> Sizes {
    let mut least: Option<Sizes> = None;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = Sizes {
            memory: nodes.iter().map(|node| memory(node.child.id().expect("the node runs"))).collect(),
            database: nodes.iter().map(|node| database(&node.config)).collect(),
            ledger: match ledger.kind {
                Kind::Dev => {
                    Some(memory(ledger.network.state("ledger").unwrap().1.expect("the ledger runs")))
                }
                Kind::Fabric => None,
            },
        };
        let smaller = |a: &[u64], b: &[u64]| a.iter().zip(b).map(|(a, b)| *a.min(b)).collect();
        least = Some(match least {
            None => now,
            Some(least) => Sizes {
                memory: smaller(&least.memory, &now.memory),
                database: smaller(&least.database, &now.database),
                ledger: least.ledger.min(now.ledger),
            },
        });
    }
    least.unwrap()
}

fn database(config: &Config) -> u64 {
    fs::metadata(config.data_dir.join("node.redb")).unwrap().len()
}

/// Resident memory of a process.
fn memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}
