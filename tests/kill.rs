//! Nodes, chaincode services and peers are killed and started again, and frozen, at random moments in every phase of a
//! job; what comes out is what comes out of an undisturbed run, to the byte.
//!
//! All randomness of a record is derived from the member's job secret and from what the record is made of, so the
//! undisturbed run of the same job is computed in memory from the members' own files (`Finished::undisturbed`), and
//! every record on the ledger is compared with it. A run that nobody disturbs shows first that this comparison holds.
//!
//! Once everything is killed at the same time. `CONFAB_KILL_SEEDS=10` runs ten seeds on each ledger, in which every
//! victim is hit in every phase; by default there are two.

use crate::fixture::{Finished, Ledger, On, Running, Size};
use crate::harness::{Test, test};
use gateway_client::Retries;
use launcher::{Kind, State};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use records::{Judge, Phase, Rules};
use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

pub const TESTS: &[Test] = &[test!(at_random on Dev, Fabric)];

/// Two chunks of preparation, so that members work on different ones at the same time.
const SIZE: Size = Size { judge: Judge::Blinded, rows: 100, iterations: 10, batch: 16, key_bits: 512 };

/// How long a process is frozen.
const FROST: Duration = Duration::from_secs(10);

async fn at_random(on: On) {
    let ledger = Ledger::start(on, 3).await;
    let seeds = env::var("CONFAB_KILL_SEEDS").map_or(2, |text| text.parse().expect("a number of seeds"));
    let start = Instant::now();
    let undisturbed = Finished::run(ledger.prepare("undisturbed", &SIZE), &ledger).await;
    undisturbed.check(&ledger).await;
    eprintln!("{on:?} undisturbed: {:.1} s", undisturbed.report.seconds.total);

    all_at_once(&ledger).await;
    let (mut sum, mut met) = (Retries::default(), BTreeSet::new());
    for seed in 0..seeds {
        let (retries, hit) = disturbed(&ledger, seed).await;
        sum += retries;
        met.extend(hit);
    }
    assert!(sum.total() > 0, "nothing was tried again: the disturbances disturbed nobody");
    if seeds >= 9 {
        assert_eq!(met.len(), 81, "each of nine victims in each of nine phases");
    }
    eprintln!("{on:?}: {seeds} seeds in {:.0} s, {sum:?}", start.elapsed().as_secs_f64());
}

/// As when the power fails: every node and every process of the network is killed in the middle of the training.
async fn all_at_once(ledger: &Ledger) {
    let start = Instant::now();
    let prepared = ledger.prepare("all-at-once", &SIZE);
    let rules = Rules::new(&prepared.params);
    let before: u64 = [Phase::Setup, Phase::SeedCommit, Phase::SeedOpen, Phase::Chain, Phase::Noise]
        .map(|phase| rules.round_slots(phase, 0).len() as u64)
        .iter()
        .sum();
    let running = Running::start(&prepared.participants, &prepared.params).await;
    running.reach(before + 13).await;
    let network = async {
        for process in &ledger.network.processes {
            ledger.network.kill(&process.name).unwrap();
        }
        for process in &ledger.network.processes {
            ledger.network.start(&process.name).await.unwrap();
        }
    };
    let down = Duration::from_millis(500);
    tokio::join!(network, running.kill_node(0, down), running.kill_node(1, down), running.kill_node(2, down));
    let finished = Finished::of(prepared, running, ledger).await;
    finished.check(ledger).await;
    let retries = finished.report.ledger.retries;
    eprintln!("{:?} all at once: {:.1} s, {retries:?}", ledger.kind, start.elapsed().as_secs_f64());
}

/// What is disturbed, and how.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    /// The node of this participant is killed and started again.
    Node(usize),
    /// This process of the network is killed and started again.
    Kill(String),
    /// This process is frozen for ten seconds.
    Freeze(String),
}

/// Nine victims, as many as there are phases.
fn victims(kind: Kind) -> Vec<Victim> {
    let mut victims: Vec<Victim> = (0..3).map(Victim::Node).collect();
    victims.extend((1..=2).map(|org| Victim::Kill(format!("chaincode-org{org}"))));
    victims.extend(match kind {
        Kind::Fabric => [
            Victim::Kill("orderer".into()),
            Victim::Kill("peer-org1".into()),
            Victim::Kill("peer-org2".into()),
            Victim::Freeze("peer-org3".into()),
        ],
        // The one process that stands for peers and orderer; and a chaincode service that hangs.
        Kind::Dev => [
            Victim::Kill("chaincode-org3".into()),
            Victim::Kill("ledger".into()),
            Victim::Freeze("ledger".into()),
            Victim::Freeze("chaincode-org1".into()),
        ],
    });
    victims
}

/// A disturbance and its moment.
#[derive(Clone, Debug)]
struct Disturbance {
    phase: Phase,
    victim: Victim,
    /// It begins when so many records are folded…
    records: u64,
    /// …and so much time has passed.
    delay: Duration,
    /// How long a killed process stays away.
    down: Duration,
}

/// One disturbance in every phase: over nine seeds every victim is hit in every phase.
fn plan(kind: Kind, rules: &Rules, seed: u64) -> Vec<Disturbance> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut below = |bound: u64| rng.next_u64() % bound;
    let (victims, phases) = (victims(kind), rules.phases());
    let round = |phase| u64::from(rules.parties()) * u64::from(rules.chunks(phase));
    let mut before = 0;
    let mut plan = Vec::new();
    for (index, &phase) in phases.iter().enumerate() {
        // Rounds of margins and of decryptions alternate.
        let (pair, offset) = match phase {
            Phase::Iv => (round(Phase::Iv) + round(Phase::Dv), 0),
            Phase::Dv => (round(Phase::Iv) + round(Phase::Dv), round(Phase::Iv)),
            _ => (round(phase), 0),
        };
        let at = pair * below(u64::from(rules.rounds(phase))) + offset + below(round(phase));
        plan.push(Disturbance {
            phase,
            victim: victims[(2 * index + seed as usize) % victims.len()].clone(),
            records: before + at,
            delay: Duration::from_micros(below(20_000)),
            down: Duration::from_millis(below(300)),
        });
        if phase != Phase::Iv {
            before += pair * u64::from(rules.rounds(phase));
        }
    }
    plan
}

async fn disturbed(ledger: &Ledger, seed: u64) -> (Retries, BTreeSet<(Phase, Victim)>) {
    let start = Instant::now();
    let prepared = ledger.prepare(&format!("seed-{seed}"), &SIZE);
    let plan = plan(ledger.kind, &Rules::new(&prepared.params), seed);
    let running = Running::start(&prepared.participants, &prepared.params).await;
    // Each begins at its own moment, whatever the others do meanwhile; two of one process wait for each other.
    let turns: BTreeMap<&str, Mutex<()>> =
        ledger.network.processes.iter().map(|process| (process.name.as_str(), Mutex::default())).collect();
    let disturb = async |one: &Disturbance| {
        running.reach(one.records).await;
        tokio::time::sleep(one.delay).await;
        match &one.victim {
            Victim::Node(party) => running.kill_node(*party, one.down).await,
            Victim::Kill(name) => {
                let _turn = turns[name.as_str()].lock().await;
                let pid = ledger.network.state(name).unwrap().1;
                ledger.network.kill(name).unwrap();
                tokio::time::sleep(one.down).await;
                ledger.network.start(name).await.unwrap();
                assert_ne!(ledger.network.state(name).unwrap().1, pid);
            }
            Victim::Freeze(name) => {
                let _turn = turns[name.as_str()].lock().await;
                ledger.network.freeze(name).unwrap();
                tokio::time::sleep(FROST).await;
                assert_eq!(ledger.network.state(name).unwrap().0, State::Frozen);
                ledger.network.thaw(name).unwrap();
            }
        }
        eprintln!("  {:6.1} s  {:?} in {}", start.elapsed().as_secs_f64(), one.victim, one.phase);
    };
    tokio::join!(
        disturb(&plan[0]),
        disturb(&plan[1]),
        disturb(&plan[2]),
        disturb(&plan[3]),
        disturb(&plan[4]),
        disturb(&plan[5]),
        disturb(&plan[6]),
        disturb(&plan[7]),
        disturb(&plan[8]),
    );
    let finished = Finished::of(prepared, running, ledger).await;
    finished.check(ledger).await;
    let retries = finished.report.ledger.retries;
    eprintln!("{:?} seed {seed}: {:.1} s, {retries:?}", ledger.kind, start.elapsed().as_secs_f64());
    (retries, plan.into_iter().map(|one| (one.phase, one.victim)).collect())
}
