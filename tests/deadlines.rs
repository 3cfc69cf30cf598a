//! A participant that goes silent: one that accepted and runs no node, one that never answers, one whose node is killed for
//! good in mid-job. On every ledger each of these jobs ends within its deadlines, names who owed what, and nobody who waits
//! for it does so without a word or succeeds.

use crate::fixture::{self, Ledger, On, Size, program};
use crate::harness::{Test, test};
use experiment::{Deployment, Participants};
use launcher::Kind;
use node::{Event, NodeHandle, config::Config, wait::Cause};
use records::{Deadlines, Debt, JobId, JobView, Judge, MspId, Outcome, Phase, Rules, Termination};
use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStdin, Command},
    sync::watch,
    time::timeout,
};

pub const TESTS: &[Test] = &[test!(silence on Dev, Fabric, Fabric2_5).alone()];

const SIZE: Size = Size { judge: Judge::Blinded, rows: 60, iterations: 200, batch: 2, key_bits: 512 };

/// Long enough for a busy machine between two records, and that silence is spoken of before it is over.
const LIMITS: Deadlines = Deadlines { accept: 20, step: 20 };

/// The one that goes silent; the others are the first and the third.
const SILENT: usize = 1;

/// Longest time that any of this takes: the deadline, and what comes before and after it on a busy machine.
const PATIENCE: Duration = Duration::from_secs(150);

async fn silence(on: On) {
    let ledger = Ledger::start(on, 3).await;
    let start = Instant::now();
    tokio::join!(accepted_without_a_node(&ledger), never_answered(&ledger), killed_for_good(&ledger));
    one_clock_is_wrong(&ledger).await;
    watchers_outlive_their_peer(&ledger).await;
    a_failed_answer_is_tried_again(&ledger).await;
    eprintln!(
        "{:?}: three silent participants and a restart in {:.0} s",
        ledger.kind,
        start.elapsed().as_secs_f64()
    );
}

fn prepare(ledger: &Ledger, name: &str, size: &Size, deadlines: Deadlines) -> Deployment {
    let experiment = ledger.experiment(name, size);
    let folder = ledger.dir().join("jobs").join(name).join("participants");
    let participants = Participants { deadlines, ..ledger.participants_in(&folder, 3) };
    experiment.deploy(&participants, &experiment.deal().unwrap()).unwrap()
}

/// A node as a process of its own.
struct Node {
    child: Child,
    _stdin: ChildStdin,
    /// All events of the job so far.
    events: watch::Receiver<Vec<Event>>,
}

impl Node {
    fn start(prepared: &Deployment, party: usize) -> Self {
        Self::start_as(Command::new(program()), prepared, party)
    }

    fn start_as(command: Command, prepared: &Deployment, party: usize) -> Self {
        let mut child = prepared.participants.spawn_node(command, party, &prepared.params.id()).unwrap();
        let stdin = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, events) = watch::channel(Vec::new());
        let id = prepared.params.id();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                // The organisation is named in the other jobs on this ledger, too.
                if let Ok(event) = serde_json::from_str::<Event>(&line)
                    && event.job() == Some(&id)
                {
                    sender.send_modify(|all| all.push(event));
                }
            }
        });
        Self { child, _stdin: stdin, events }
    }

    /// Waits for an event.
    async fn sees(&mut self, what: &str, is: impl Fn(&Event) -> bool) {
        let seen = timeout(PATIENCE, self.events.wait_for(|all| all.iter().any(&is))).await;
        assert!(matches!(seen, Ok(Ok(_))), "{what} was not seen");
    }

    /// Waits for its end, which is a failure. How the job ended, and whom it said to wait for on the way.
    async fn fails(mut self) -> (Termination, Vec<Cause>) {
        let status = timeout(PATIENCE, self.child.wait()).await.expect("the node does not end").unwrap();
        assert!(!status.success(), "the node succeeds");
        let is_end = |event: &Event| matches!(event, Event::Ended { .. });
        self.sees("the end", is_end).await;
        let events = self.events.borrow().clone();
        let ending = events.iter().find_map(|event| match event {
            Event::Ended { ending, .. } => Some(ending.clone()),
            _ => None,
        });
        let causes = events.into_iter().filter_map(|event| match event {
            Event::Waiting { wait, .. } => Some(wait.causes),
            _ => None,
        });
        (ending.unwrap(), causes.flatten().collect())
    }
}

/// `confab job watch`, as a member runs it; it fails. What it says.
async fn watched(config: &Path, job: &JobId) -> String {
    let mut child = Command::new(program())
        .args(["job", "watch", "--config"])
        .arg(config)
        .arg(job.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let status = timeout(PATIENCE, child.wait()).await.expect("`job watch` does not end").unwrap();
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).await.unwrap();
    child.stderr.take().unwrap().read_to_string(&mut said).await.unwrap();
    assert!(!status.success(), "{said}");
    said
}

/// Accepts a job as `confab job accept` does.
async fn accept(prepared: &Deployment, party: usize) {
    let config = Config::load(&prepared.configs()[party]).unwrap();
    let (node, id) = (NodeHandle::open(config).await.unwrap(), prepared.params.id());
    timeout(PATIENCE, async { while node.job(&id).await.is_err() {} }).await.unwrap();
    node.accept(&id, false).await.unwrap();
}

/// The survivors agree on how the job ended; whom they blame.
fn agree(prepared: &Deployment, ends: [&Termination; 2]) -> Vec<Debt> {
    assert_eq!(ends[0], ends[1]);
    let by = prepared.params.party(&ends[0].by).unwrap();
    assert_ne!(by as usize, SILENT);
    match &ends[0].outcome {
        Outcome::Expired(owed) => owed.clone(),
        other => panic!("{other:?}"),
    }
}

async fn accepted_without_a_node(ledger: &Ledger) {
    let prepared = prepare(ledger, "without-a-node", &SIZE, LIMITS);
    let nodes = [0, 2].map(|party| Node::start(&prepared, party));
    prepared.participants.propose(&prepared.params).await.unwrap();
    accept(&prepared, SILENT).await;
    let [first, third] = nodes;
    let id = prepared.params.id();
    let (a, b, said) = tokio::join!(first.fails(), third.fails(), watched(&prepared.configs()[2], &id));
    let owed = agree(&prepared, [&a.0, &b.0]);
    let name = &prepared.params.participants[SILENT];
    let slot = records::Slot { phase: Phase::Setup, round: 0, party: SILENT as u32, chunk: 0 };
    assert_eq!(owed.iter().map(|debt| (&debt.msp_id, debt.slot)).collect::<Vec<_>>(), [(name, Some(slot))]);
    let cause = Cause::Record { member: name.clone(), slot };
    assert!(a.1.contains(&cause) && b.1.contains(&cause), "{:?} {:?}", a.1, b.1);
    // Reminders and clocks are no defects of the job.
    let verified = ledger.verify(&id).await;
    assert!(verified.defects.is_empty() && !verified.complete, "{verified:?}");
    let (waits, ended) = (format!("{name} owes {slot}"), format!("expired: {name} did not post {slot}"));
    assert!(said.contains(&waits) && said.contains(&ended), "{said}");
}

async fn never_answered(ledger: &Ledger) {
    let prepared = prepare(ledger, "never-answered", &SIZE, LIMITS);
    let nodes = [0, 2].map(|party| Node::start(&prepared, party));
    prepared.participants.propose(&prepared.params).await.unwrap();
    let [first, third] = nodes;
    let id = prepared.params.id();
    let (a, b, said) = tokio::join!(first.fails(), third.fails(), watched(&prepared.configs()[0], &id));
    let owed = agree(&prepared, [&a.0, &b.0]);
    let name = &prepared.params.participants[SILENT];
    assert_eq!(owed.iter().map(|debt| (&debt.msp_id, debt.slot)).collect::<Vec<_>>(), [(name, None)]);
    let cause = Cause::Answer { member: name.clone() };
    assert!(a.1.contains(&cause) && b.1.contains(&cause), "{:?} {:?}", a.1, b.1);
    let words =
        [format!("{name} has not answered the proposal"), format!("{name} did not answer the proposal")];
    assert!(words.iter().all(|word| said.contains(word)), "{said}");
    let verified = ledger.verify(&id).await;
    assert!(verified.defects.is_empty() && !verified.complete, "{verified:?}");
    // The job takes no place any more, and nobody can answer it.
    let view =
        ledger.contract(SILENT).evaluate(gateway_client::Call::new("job").arg(id.to_string())).await.unwrap();
    assert_eq!(serde_json::from_slice::<JobView>(&view).unwrap().ending.as_ref(), Some(&a.0));
}

async fn killed_for_good(ledger: &Ledger) {
    let prepared = prepare(ledger, "killed", &SIZE, LIMITS);
    let mut nodes = [0, 1, 2].map(|party| Node::start(&prepared, party));
    prepared.participants.propose(&prepared.params).await.unwrap();
    let before: u64 = [Phase::Setup, Phase::SeedCommit, Phase::SeedOpen, Phase::Chain, Phase::Noise]
        .map(|phase| Rules::new(&prepared.params).round_slots(phase, 0).len() as u64)
        .iter()
        .sum();
    let reached =
        |event: &Event| matches!(event, Event::Progress { progress, .. } if progress.records >= before + 5);
    nodes[0].sees("the training", reached).await;
    nodes[SILENT].child.kill().await.unwrap();
    let [first, _killed, third] = nodes;
    let (a, b) = tokio::join!(first.fails(), third.fails());
    let owed = agree(&prepared, [&a.0, &b.0]);
    let [debt] = owed.as_slice() else { panic!("{owed:?}") };
    let slot = debt.slot.unwrap();
    assert_eq!(
        (debt.msp_id.as_str(), slot.party),
        (prepared.params.participants[SILENT].as_str(), SILENT as u32)
    );
    assert!(matches!(slot.phase, Phase::Iv | Phase::Dv), "{slot}");
    let cause = Cause::Record { member: debt.msp_id.clone(), slot };
    assert!(a.1.contains(&cause) && b.1.contains(&cause), "{:?} {:?}", a.1, b.1);
    let verified = ledger.verify(&prepared.params.id()).await;
    assert!(verified.defects.is_empty() && !verified.complete, "{verified:?}");
}

/// The clock of one member jumps by twenty minutes: its node says so and stops, and the others end the job without it.
async fn one_clock_is_wrong(ledger: &Ledger) {
    let Some(library) = fixture::faketime() else {
        return eprintln!("SKIPPED: a clock that is wrong: libfaketime is not installed");
    };
    let prepared = prepare(ledger, "clock", &SIZE, LIMITS);
    let clock = ledger.dir().join("clock-of-one");
    std::fs::write(&clock, "+0").unwrap();
    let mut nodes = [0, 1, 2].map(|party| {
        let mut command = Command::new(program());
        if party == SILENT {
            fixture::with_clock(command.as_std_mut(), library, &clock);
        }
        Node::start_as(command, &prepared, party)
    });
    prepared.participants.propose(&prepared.params).await.unwrap();
    let reached = |event: &Event| matches!(event, Event::Progress { progress, .. } if progress.records >= 20);
    nodes[0].sees("the training", reached).await;
    std::fs::write(&clock, "+20m").unwrap();
    let jumped = Instant::now();
    let [first, mut wrong, third] = nodes;
    let says_so =
        |event: &Event| matches!(event, Event::Stalled { reason, .. } if reason.contains("set the clock"));
    wrong.sees("its own clock's fault", says_so).await;
    let said = jumped.elapsed();
    assert!(!timeout(PATIENCE, wrong.child.wait()).await.expect("the node does not end").unwrap().success());
    let (a, b) = tokio::join!(first.fails(), third.fails());
    let owed = agree(&prepared, [&a.0, &b.0]);
    assert!(owed.iter().all(|debt| debt.msp_id == prepared.params.participants[SILENT]), "{owed:?}");
    let verified = ledger.verify(&prepared.params.id()).await;
    assert!(verified.defects.is_empty() && !verified.complete, "{verified:?}");
    eprintln!("{:?}: a clock that jumped is spoken of after {:.1} s", ledger.kind, said.as_secs_f64());
}

/// `key negotiate` and `job watch` outlive a restart of their peer, and say so.
async fn watchers_outlive_their_peer(ledger: &Ledger) {
    let names = ledger.members(3);
    let members = ledger.participants("watched", 3);
    let config = members.configs[0].to_str().unwrap();
    let mut negotiate =
        vec!["key", "negotiate", "--config", config, "--key-bits", "512", "--insecure-key-bits"];
    negotiate.extend(names.iter().map(MspId::as_str));
    let negotiation = Talking::start(&negotiate);
    let said = negotiation.says("proposed job").await;
    let job = said.split("proposed job ").nth(1).unwrap()[..64].to_owned();
    let watch = Talking::start(&["job", "watch", "--config", config, &job]);
    let open = format!("waits for {}", names.join(", "));
    watch.says(&open).await;
    negotiation.says(&open).await;
    let peer = if ledger.kind == Kind::Dev { "ledger" } else { "peer-org1" };
    ledger.network.kill(peer).unwrap();
    negotiation.says("does not answer; trying again").await;
    watch.says("does not answer; trying again").await;
    ledger.network.start(peer).await.unwrap();
    negotiation.says("answers again after").await;
    watch.says("answers again after").await;
    let id = job.parse().unwrap();
    let nodes = [0, 1, 2].map(|party| {
        let mut node = members.spawn_node(Command::new(program()), party, &id).unwrap();
        // Nobody reads its events.
        drop(node.stdout.take());
        let stdin = node.stdin.take();
        (node, stdin)
    });
    for talking in [negotiation, watch] {
        let (succeeded, said) = talking.ends().await;
        assert!(succeeded && said.contains("finished"), "{said}");
    }
    for (mut node, _stdin) in nodes {
        assert!(timeout(PATIENCE, node.wait()).await.expect("the node does not end").unwrap().success());
    }
}

/// A node whose answer did not reach the ledger answers again when it can.
async fn a_failed_answer_is_tried_again(ledger: &Ledger) {
    let deadlines = Deadlines { accept: 150, step: 150 };
    let prepared = prepare(ledger, "answered-late", &Size { iterations: 4, ..SIZE }, deadlines);
    let path = &prepared.configs()[SILENT];
    let config = Config { retry_timeout_secs: 15, ..Config::load(path).unwrap() };
    std::fs::write(path, config.to_toml()).unwrap();
    let chaincode = format!("chaincode-org{}", SILENT + 1);
    ledger.network.freeze(&chaincode).unwrap();
    let mut nodes = [0, 1, 2].map(|party| Node::start(&prepared, party));
    prepared.participants.propose(&prepared.params).await.unwrap();
    let fails = |event: &Event| matches!(event, Event::AcceptFailed { retry_secs: Some(_), .. });
    nodes[SILENT].sees("the failure", fails).await;
    ledger.network.thaw(&chaincode).unwrap();
    for mut node in nodes {
        let is_finished = |event: &Event| matches!(event, Event::Ended { ending, .. } if ending.outcome == Outcome::Finished);
        node.sees("the end", is_finished).await;
        assert!(
            timeout(PATIENCE, node.child.wait()).await.expect("the node does not end").unwrap().success()
        );
    }
}

/// A command under way, with all that it has said so far.
struct Talking {
    child: Child,
    said: watch::Receiver<String>,
}

impl Talking {
    fn start(args: &[&str]) -> Self {
        let mut command = Command::new(program());
        command
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let (sender, said) = watch::channel(String::new());
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut err = BufReader::new(child.stderr.take().unwrap()).lines();
        tokio::spawn(async move {
            let (mut more_out, mut more_err) = (true, true);
            while more_out || more_err {
                let line = tokio::select! {
                    line = out.next_line(), if more_out => line.unwrap_or_default().or_else(|| { more_out = false; None }),
                    line = err.next_line(), if more_err => line.unwrap_or_default().or_else(|| { more_err = false; None }),
                };
                if let Some(line) = line {
                    sender.send_modify(|all| *all += &format!("{line}\n"));
                }
            }
        });
        Self { child, said }
    }

    /// Waits for these words; all that was said by then.
    async fn says(&self, words: &str) -> String {
        let mut all = self.said.clone();
        let said = timeout(PATIENCE, all.wait_for(|said| said.contains(words))).await;
        match said {
            Ok(Ok(said)) => said.clone(),
            _ => panic!("{words:?} was not said: {}", *self.said.borrow()),
        }
    }

    /// Waits for its end: whether it succeeded, and all that it said.
    async fn ends(mut self) -> (bool, String) {
        let status = timeout(PATIENCE, self.child.wait()).await.expect("the command does not end").unwrap();
        // The end of what it said closes the channel.
        let _ = timeout(PATIENCE, self.said.wait_for(|_| false)).await;
        (status.success(), self.said.borrow().clone())
    }
}
