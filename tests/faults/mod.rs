//! Faults that do not pass: a member, an orderer, a peer, the ledger, a disk or a clock fails for good in a phase of a
//! training or of the negotiation of its key. `confab train` ends every time within the deadlines that it was given, with a
//! status that is not 0 and a message that names the cause.
//!
//! By default a few cases run on the development ledger. `FAULTS=all` runs every fault in every phase, on Fabric, too, where
//! it is found; `FAULTS=columns`, `rows` or `keys` those of one protocol, `FAULTS=freeze-member` those of one fault, and
//! `FAULTS=iv` those in one phase; several words, separated by commas, narrow it down. `FAULTS_RUNNERS=4` uses so many ledgers of each kind at a time.

mod run;

use crate::fixture::{Ledger, On};
use crate::harness::{Outcome, Skipped, Test, test};
use launcher::Kind;
use records::Phase;
use run::Bench;
use std::{
    collections::VecDeque,
    env,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

pub const TESTS: &[Test] = &[test!(permanent on Dev, Fabric, Fabric2_5).alone()];

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    /// A training by columns, with a key that was dealt.
    Columns,
    /// A training by rows.
    Rows,
    /// The negotiation of a key, with a training after it.
    Keys,
}

impl Protocol {
    const ALL: [Self; 3] = [Self::Columns, Self::Rows, Self::Keys];

    fn word(self) -> &'static str {
        match self {
            Self::Columns => "columns",
            Self::Rows => "rows",
            Self::Keys => "keys",
        }
    }

    /// The phases in which something can still fail: with the first record of the last ones all is done but the ending.
    fn phases(self) -> &'static [Phase] {
        use Phase::*;
        match self {
            Self::Columns => &[Setup, SeedCommit, SeedOpen, Chain, Noise, Iv, Dv],
            Self::Rows => &[Keys, Moments, SeedCommit, SeedOpen, Weights, Margins, Indicators, Gradient],
            Self::Keys => &[
                Keys,
                SieveShares,
                Factors,
                ProductCommit,
                ProductOpen,
                PowerCommit,
                PowerOpen,
                PowersCommit,
                PowersOpen,
                Gcd,
                GcdCommit,
                GcdOpen,
                Theta,
                ThetaCommit,
                ThetaOpen,
                Deal,
                Verification,
                TestDecryption,
            ],
        }
    }
}

/// What fails for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The node of a member is killed.
    KillMember,
    /// The node of a member is frozen.
    FreezeMember,
    /// The orderer is killed; on the development ledger that is the ledger.
    KillOrderer,
    FreezeOrderer,
    /// The peer of a member.
    KillPeer,
    FreezePeer,
    /// All chaincode services.
    KillChaincode,
    /// The disk of orderer and peers is full.
    FullDisk,
    /// The clocks of all nodes jump by twenty minutes.
    Clock,
}

impl Fault {
    const ALL: [(Self, &'static str); 9] = [
        (Self::KillMember, "kill-member"),
        (Self::FreezeMember, "freeze-member"),
        (Self::KillOrderer, "kill-orderer"),
        (Self::FreezeOrderer, "freeze-orderer"),
        (Self::KillPeer, "kill-peer"),
        (Self::FreezePeer, "freeze-peer"),
        (Self::KillChaincode, "kill-chaincode"),
        (Self::FullDisk, "full-disk"),
        (Self::Clock, "clock"),
    ];

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(fault, _)| *fault == self).unwrap().1
    }

    /// Words of which the message has one; the member that fails is the second organisation.
    fn causes(self, kind: Kind) -> &'static [&'static str] {
        match (self, kind) {
            (Self::KillMember, _) => &["the node of Org2MSP died"],
            (Self::FreezeMember, _) => &["Org2MSP did not"],
            (Self::KillOrderer, Kind::Dev) => &["process ledger has ended", "the own peer at"],
            (Self::FreezeOrderer, Kind::Dev) => &["the own peer at"],
            (Self::KillOrderer, Kind::Fabric) => {
                &["process orderer has ended", "see whether the orderers run"]
            }
            (Self::FreezeOrderer, Kind::Fabric) => &["see whether the orderers run"],
            // What it does to its member is known to the others as well as to the member.
            (Self::KillPeer, _) => &["process peer-org2 has ended", "Org2MSP did not", "the own peer at"],
            (Self::FreezePeer, _) => &["Org2MSP did not", "the own peer at", "no endorsements"],
            (Self::KillChaincode, _) => &["no endorsements", "chaincode"],
            (Self::FullDisk, Kind::Dev) => &["disk is full"],
            (Self::FullDisk, Kind::Fabric) => {
                &["disk is full", "has ended", "see whether the orderers run", "make room"]
            }
            (Self::Clock, _) => &["a clock is wrong", "set the clock", "clocks agree"],
        }
    }

    /// Whether there is such a thing on this kind of ledger.
    fn exists(self, kind: Kind) -> bool {
        kind == Kind::Fabric || !matches!(self, Self::KillPeer | Self::FreezePeer)
    }
}

/// One run.
#[derive(Clone, Copy, Debug)]
struct Case {
    protocol: Protocol,
    phase: Phase,
    fault: Fault,
}

/// The cases that the environment asks for; by default these few.
fn cases(kind: Kind) -> Vec<Case> {
    let few = [
        Case { protocol: Protocol::Columns, phase: Phase::Iv, fault: Fault::FreezeMember },
        Case { protocol: Protocol::Rows, phase: Phase::Weights, fault: Fault::KillOrderer },
        Case { protocol: Protocol::Columns, phase: Phase::Noise, fault: Fault::FullDisk },
        Case { protocol: Protocol::Keys, phase: Phase::SieveShares, fault: Fault::Clock },
        Case { protocol: Protocol::Keys, phase: Phase::Gcd, fault: Fault::KillMember },
    ];
    let Ok(wanted) = env::var("FAULTS") else {
        return if kind == Kind::Dev { few.to_vec() } else { Vec::new() };
    };
    let words: Vec<&str> = wanted.split(',').map(str::trim).collect();
    let protocols: Vec<Protocol> = Protocol::ALL.into_iter().filter(|p| words.contains(&p.word())).collect();
    let faults: Vec<Fault> =
        Fault::ALL.into_iter().filter(|(_, word)| words.contains(word)).map(|(f, _)| f).collect();
    let mut phases: Vec<Phase> =
        Protocol::ALL.iter().flat_map(|protocol| protocol.phases()).copied().collect();
    phases.sort();
    phases.dedup();
    phases.retain(|phase| {
        words.contains(&phase.as_str()) && !protocols.iter().any(|p| p.word() == phase.as_str())
    });
    let known = protocols.len()
        + faults.len()
        + phases.len()
        + words.iter().filter(|word| ["all", "dev", "fabric"].contains(word)).count();
    assert_eq!(
        known,
        words.len(),
        "FAULTS={wanted}: words are all, dev, fabric, protocols, faults and phases"
    );
    let other = if kind == Kind::Dev { "fabric" } else { "dev" };
    if words.contains(&other) {
        return Vec::new();
    }
    let all = |protocol: Protocol| {
        let faults = Fault::ALL.into_iter().map(|(fault, _)| fault);
        let each = move |fault| protocol.phases().iter().map(move |&phase| Case { protocol, phase, fault });
        faults.flat_map(each)
    };
    let mut cases: Vec<Case> = Protocol::ALL.into_iter().flat_map(all).collect();
    cases.retain(|case| {
        (protocols.is_empty() || protocols.contains(&case.protocol))
            && (faults.is_empty() || faults.contains(&case.fault))
            && (phases.is_empty() || phases.contains(&case.phase))
            && case.fault.exists(kind)
    });
    cases
}

async fn permanent(on: On) -> Outcome {
    let cases = cases(on.kind());
    if cases.is_empty() {
        return Err(Skipped("FAULTS says which cases run here".into()));
    }
    let (count, start) = (cases.len(), Instant::now());
    let runners = env::var("FAULTS_RUNNERS").map_or(2, |text| text.parse().expect("a number of runners"));
    let queue = Arc::new(Mutex::new(VecDeque::from(cases)));
    let runs = (0..runners).map(|_| tokio::spawn(run_all(on, queue.clone())));
    let mut results = Vec::new();
    for run in runs.collect::<Vec<_>>() {
        results.extend(run.await.unwrap());
    }
    let failed: Vec<&String> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    let mut seconds: Vec<f64> =
        results.iter().filter_map(|result| result.as_ref().ok()).map(Duration::as_secs_f64).collect();
    seconds.sort_by(f64::total_cmp);
    let middle = seconds.get(seconds.len() / 2).copied().unwrap_or_default();
    let most = seconds.last().copied().unwrap_or_default();
    eprintln!(
        "{on:?}: {} of {count} faults ended with their cause, after {middle:.1} s in the median and {most:.1} s at \
         most; {:.0} s in all",
        seconds.len(),
        start.elapsed().as_secs_f64()
    );
    assert!(failed.is_empty(), "{failed:#?}");
    Ok(())
}

/// Takes cases until there are no more; how long each took from its fault to its end.
async fn run_all(on: On, queue: Arc<Mutex<VecDeque<Case>>>) -> Vec<Result<Duration, String>> {
    let mut results = Vec::new();
    let mut bench: Option<Bench> = None;
    loop {
        let Some(case) = queue.lock().unwrap().pop_front() else { return results };
        let used = match bench.take() {
            Some(bench) => bench,
            None => Bench::start(on).await,
        };
        let result = used.run(&case).await;
        let word = case.fault.word();
        let name = format!("{on:?} {} {} {word}", case.protocol.word(), case.phase);
        match &result {
            Ok(Some((lasted, said))) => eprintln!("  {name}: {:.1} s: {said}", lasted.as_secs_f64()),
            Ok(None) => {}
            Err(reason) => eprintln!("  {name}: FAILED: {reason}"),
        }
        let restored = result.is_ok() && used.restore().await;
        results.extend(
            result
                .map(|ended| ended.map(|(lasted, _)| lasted))
                .map_err(|e| format!("{name}: {e}"))
                .transpose(),
        );
        // What is left of a fault must not be taken for the next one's.
        bench = restored.then_some(used);
    }
}
