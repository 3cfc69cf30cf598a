//! A node as a library and behind its socket, on both ledgers: what commands do with and without a node that runs.

use crate::fixture::{self, Ledger, On, confab};
use crate::harness::{Test, test};
use experiment::Participants;
use node::{Event, Events, Node, NodeHandle, config::Config, proposal};
use records::{Collusion, JobId, Kind as Protocol, Outcome};
use std::{fs, process::Output, time::Duration};
use tokio::time::timeout;

pub const TESTS: &[Test] = &[test!(operations on Dev, Fabric)];

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

async fn operations(on: On) {
    let ledger = Ledger::start(on, 3).await;
    let members = ledger.participants("members", 3);
    let nodes = [0, 1, 2].map(|party| Config::load(&members.configs[party]).unwrap());
    commands_ask_the_node(&ledger, &members, &nodes).await;
    one_accepted_before_it_runs(&ledger, &members, &nodes).await;
    the_directory_of_another_build(&ledger, &members, &nodes).await;
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

async fn seen(events: &mut Events, is: impl Fn(&Event) -> bool) -> Event {
    timeout(PATIENCE, async {
        loop {
            let event = events.next().await.expect("the node runs");
            if is(&event) {
                return event;
            }
        }
    })
    .await
    .expect("the event comes")
}

async fn propose(ledger: &Ledger, members: &Participants, by: &NodeHandle) -> JobId {
    let generation = proposal::key_generation(256, true, 2, Collusion::Minority);
    let params = proposal::job_params(Protocol::KeyGeneration(generation), ledger.members(3)).unwrap();
    assert_eq!(members.configs.len(), 3);
    by.propose(&params).await.unwrap()
}

fn run(members: &Participants, party: usize, args: &[&str]) -> Output {
    confab(members, party, args)
}

/// A job that is accepted and aborted through the socket of a node that runs; the command says whom it asked.
async fn commands_ask_the_node(ledger: &Ledger, members: &Participants, configs: &[Config; 3]) {
    let node = Node::start(configs[0].clone()).await.unwrap();
    let mut events = node.watch().await.unwrap();
    let remote = NodeHandle::open(configs[0].clone()).await.unwrap();
    assert!(remote.is_running());
    let mut watched = remote.watch().await.unwrap();
    let job = propose(ledger, members, &remote).await;
    seen(&mut events, |event| matches!(event, Event::Proposed { job: proposed, .. } if *proposed == job))
        .await;
    seen(&mut watched, |event| event.job() == Some(&job)).await;

    let accepted = tokio::task::block_in_place(|| run(members, 0, &["job", "accept", &job.to_string()]));
    assert!(ok(&accepted).contains("takes part\n"), "{}", text(&accepted.stdout));
    assert!(text(&accepted.stderr).contains("asking the node that runs in"), "{}", text(&accepted.stderr));
    let view = node.job(&job).await.unwrap();
    assert!(view.acceptances[0].is_some() && view.acceptances[1].is_none());
    assert_eq!(remote.jobs().await.unwrap().len(), node.jobs().await.unwrap().len());
    assert_eq!(remote.review(&job).await.unwrap().reveals, node.review(&job).await.unwrap().reveals);
    let none = tokio::task::block_in_place(|| run(members, 0, &["job", "result", &job.to_string()]));
    assert!(!none.status.success() && text(&none.stderr).contains("no result"), "{}", text(&none.stderr));

    // Standard error has nothing but the command's, and standard output nothing but JSON.
    let list = tokio::task::block_in_place(|| run(members, 0, &["key", "list", "--json", "-"]));
    assert_eq!(ok(&list).trim(), "[]");
    assert_eq!(text(&list.stderr), "");
    let compacted = tokio::task::block_in_place(|| run(members, 0, &["node", "compact"]));
    assert!(ok(&compacted).contains("bytes became"));

    // Another organisation, whose node does not run.
    let refused = tokio::task::block_in_place(|| {
        run(members, 1, &["job", "abort", &job.to_string(), "--reason", "enough"])
    });
    ok(&refused);
    assert!(text(&refused.stderr).contains("no node runs in"), "{}", text(&refused.stderr));
    let ended = |event: &Event| matches!(event, Event::Ended { job: ended, .. } if *ended == job);
    let Event::Ended { ending, .. } = seen(&mut events, ended).await else { unreachable!() };
    assert_eq!(ending.outcome, Outcome::Aborted("enough".into()));
    seen(&mut watched, ended).await;
    assert_eq!(remote.ended(&job).await.unwrap(), Some(ending));

    // By the node that runs, too.
    let other = propose(ledger, members, &remote).await;
    ok(&tokio::task::block_in_place(|| run(members, 0, &["job", "abort", &other.to_string()])));
    let Event::Ended { ending, .. } =
        seen(&mut events, |event| matches!(event, Event::Ended { job, .. } if *job == other)).await
    else {
        unreachable!()
    };
    assert_eq!(ending.by, ledger.members(1)[0]);
    remote.shut_down().await.unwrap();
    timeout(PATIENCE, async { while watched.next().await.is_some() {} })
        .await
        .expect("the stream ends with the node");
    assert!(node.stopped().await.is_ok());
}

/// Accepted by commands before the nodes run, by the nodes' sockets while they do: all take part.
async fn one_accepted_before_it_runs(ledger: &Ledger, members: &Participants, configs: &[Config; 3]) {
    let directory = NodeHandle::open(configs[0].clone()).await.unwrap();
    assert!(!directory.is_running());
    let job = propose(ledger, members, &directory).await;
    directory.accept(&job, false).await.unwrap();
    // It has the database open until here.
    drop(directory);
    let [one, two, three] = configs.clone();
    let three = Config { accept: vec![job.to_string()], ..three };
    let nodes =
        [Node::start(one).await.unwrap(), Node::start(two).await.unwrap(), Node::start(three).await.unwrap()];
    let accepted = tokio::task::block_in_place(|| run(members, 1, &["job", "accept", &job.to_string()]));
    assert!(text(&accepted.stderr).contains("asking the node"), "{}", text(&accepted.stderr));
    ok(&accepted);
    for node in &nodes {
        let mut events = node.watch().await.unwrap();
        let ended = |event: &Event| matches!(event, Event::Ended { job: ended, .. } if *ended == job);
        let Event::Ended { ending, report, .. } = seen(&mut events, ended).await else { unreachable!() };
        assert_eq!(ending.outcome, Outcome::Finished);
        assert!(report.is_some());
    }
    let remote = NodeHandle::open(configs[1].clone()).await.unwrap();
    let (here, there) = (nodes[1].report(&job).await.unwrap(), remote.report(&job).await.unwrap());
    assert_eq!(here.to_json(), there.to_json());
    assert_eq!(remote.keys().await.unwrap(), nodes[1].keys().await.unwrap());
    assert_eq!(remote.keys().await.unwrap().keys[0].member, Some(2));
    let shown =
        tokio::task::block_in_place(|| run(members, 1, &["job", "result", &job.to_string(), "--json", "-"]));
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["kind"], "key-generation");
    for node in nodes {
        node.shut_down().await.unwrap();
    }
}

/// A job that was accepted with the files of an older node is taken up; one whose state was lost is not accepted anew.
async fn the_directory_of_another_build(ledger: &Ledger, members: &Participants, configs: &[Config; 3]) {
    let directory = NodeHandle::open(configs[0].clone()).await.unwrap();
    let job = propose(ledger, members, &directory).await;
    drop(directory);
    let call = |function: &str| gateway_client::Call::new(function).arg(job.to_string());
    for org in 0..3 {
        fixture::submit(&ledger.contract(org), call("accept")).await;
    }
    for config in &configs[..2] {
        let accepted = config.data_dir.join("accepted");
        fs::create_dir_all(&accepted).unwrap();
        fs::write(accepted.join(job.to_string()), "{}").unwrap();
    }
    let lost = NodeHandle::open(configs[2].clone()).await.unwrap();
    let error = lost.accept(&job, false).await.unwrap_err().to_string();
    assert!(
        error.contains("accepted with this organisation's key") && error.contains("knows nothing"),
        "{error}"
    );
    drop(lost);
    let mut nodes = Vec::new();
    for config in &configs[..2] {
        nodes.push(Node::start(config.clone()).await.unwrap());
        assert!(!config.data_dir.join("accepted").exists());
    }
    let third = Node::start(configs[2].clone()).await.unwrap();
    let mut events = third.watch().await.unwrap();
    seen(&mut events, |event| matches!(event, Event::Lost { job: lost, .. } if *lost == job)).await;
    for node in &nodes {
        let mut events = node.watch().await.unwrap();
        seen(&mut events, |event| matches!(event, Event::Progress { job: own, .. } if *own == job)).await;
    }
    third.abort(&job, "its state is gone").await.unwrap();
    for node in nodes.into_iter().chain([third]) {
        node.shut_down().await.unwrap();
    }
}
