//! Random transactions on real Fabric, many at a time; its blocks are then judged here, and everything that can be
//! seen of both ledgers is compared: verdicts, state with versions, metadata, private hashes, histories, events.
//!
//! `DIFFERENTIAL_OPERATIONS` says how many transactions are submitted (500), `DIFFERENTIAL_SEED` which (1); what
//! the clients do is the seed's, how it is interleaved is Fabric's.

mod common;
#[path = "common/fabric.rs"]
mod fabric;

use common::tamper::{change_outcome, tamper};
use common::{Client, position};
use dev_ledger::Replay;
use fabric::Fabric;
use fabric_protos::common::{Block, ChannelHeader, Envelope, HeaderType, Payload};
use fabric_protos::gateway::{ChaincodeEventsRequest, SignedChaincodeEventsRequest};
use fabric_protos::kvrwset::{HashedRwSet, KvrwSet};
use fabric_protos::orderer::{SeekInfo, seek_info::SeekBehavior};
use fabric_protos::peer::{
    ChaincodeAction, ChaincodeActionPayload, ChaincodeHeaderExtension, ChaincodeInvocationSpec,
    ChaincodeProposalPayload, ProposalResponsePayload, Transaction, TxValidationCode as Code,
};
use fabric_protos::rwset::TxReadWriteSet;
use launcher::Collection;
use prost::Message;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::task::JoinSet;

const CLIENTS: usize = 16;
/// At most so many transactions of a client are endorsed on the same state, and submitted together.
const BURST: usize = 6;
const KEYS: usize = 12;
const PRIVATE_KEYS: usize = 4;
/// The second one's data lives for a few blocks only.
const COLLECTIONS: [&str; 3] = ["pair", "brief", "_implicit_org_Org1MSP"];
const ORGS: [&str; 2] = ["Org1MSP", "Org2MSP"];

/// Draws what clients do.
struct Dice(ChaCha8Rng);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        (self.0.next_u32() as usize) % end
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn key(&mut self) -> String {
        format!("k{:02}", self.below(KEYS))
    }

    /// A collection and a key of it.
    fn private_key(&mut self) -> String {
        format!("{} p{}", COLLECTIONS[self.below(COLLECTIONS.len())], self.below(PRIVATE_KEYS))
    }

    /// One organisation, or both.
    fn orgs(&mut self, both: usize) -> &'static [&'static str] {
        match (self.chance(both), self.below(2)) {
            (true, _) => &ORGS,
            (false, one) => &ORGS[one..=one],
        }
    }

    /// An empty one deletes.
    fn value(&mut self) -> String {
        if self.chance(5) { String::new() } else { self.0.next_u32().to_string() }
    }

    /// One step, or two on lines of their own. Whoever sets a policy reads the key too, for Fabric 3.1.5's peer ends in
    /// a panic ("Nil value not allowed") where the key was deleted in the same block before.
    fn step(&mut self) -> String {
        match self.below(100) {
            0..15 => format!("get {}", self.key()),
            15..42 => format!("put {} {}", self.key(), self.value()),
            42..50 => format!("delete {}", self.key()),
            50..62 => {
                let (start, end) = (self.key(), if self.chance(30) { String::new() } else { self.key() });
                format!("range {start} {end} {}", 1 + self.below(KEYS))
            }
            62..70 => format!("event {} {}", self.key(), self.value()),
            70..74 => {
                let key = self.key();
                format!("get {key}\npolicy {key} {}", self.orgs(30).join(" "))
            }
            74..76 => format!("policy-of {}", self.key()),
            76..82 => format!("hash {}", self.private_key()),
            82..91 => format!("put-private {} {}", self.private_key(), self.value()),
            91..94 => format!("delete-private {}", self.private_key()),
            94..96 => format!("purge-private {}", self.private_key()),
            96..98 => {
                let (key, mut orgs) = (self.private_key(), self.orgs(30));
                // What is written to an organisation's own collection without its peer never gets there, and real
                // peers wait some seconds for it.
                if key.starts_with(COLLECTIONS[2]) && !orgs.contains(&ORGS[0]) {
                    orgs = &ORGS;
                }
                format!("hash {key}\nprivate-policy {key} {}", orgs.join(" "))
            }
            _ => format!("private-policy-of {}", self.private_key()),
        }
    }

    fn steps(&mut self) -> Vec<String> {
        let steps = (0..=self.below(4)).map(|_| self.step());
        steps.collect::<Vec<_>>().join("\n").lines().map(String::from).collect()
    }
}

/// How many transactions are submitted, and what is refused before.
struct Tally {
    left: AtomicUsize,
    proposals: AtomicUsize,
    refusals: Mutex<BTreeMap<String, usize>>,
}

impl Tally {
    fn take(&self) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    fn refused(&self, when: &str, status: &tonic::Status) {
        let what = format!("{when}: {:?} {}", status.code(), status.message());
        *self.refusals.lock().unwrap().entry(what).or_default() += 1;
    }
}

fn call(steps: &[String]) -> Vec<&str> {
    std::iter::once("steps").chain(steps.iter().map(String::as_str)).collect()
}

/// Submits until enough is submitted.
async fn work(client: Client, mut dice: Dice, tally: Arc<Tally>) {
    let mut before: Option<(String, Envelope)> = None;
    while tally.left.load(Ordering::Relaxed) > 0 {
        let mut endorsing = JoinSet::new();
        for _ in 0..=dice.below(BURST) {
            let steps = dice.steps();
            // Fabric 3.1.5 cannot take these twice: its committer waits for ever for the verdict on a repeated
            // transaction, which it skips, when the next one in the block writes a key whose policy it sets.
            let repeats = !steps.iter().any(|step| step.contains("policy "));
            let proposed = client.propose(&call(&steps));
            let (orgs, forged, mut client) = (dice.orgs(75), dice.chance(3), client.clone());
            tally.proposals.fetch_add(1, Ordering::Relaxed);
            endorsing.spawn(async move {
                let endorsed = client.endorse(&proposed, orgs).await?;
                let envelope = match forged {
                    // The endorsements are of another outcome.
                    true => tamper(&client, &endorsed, |_, transaction| {
                        change_outcome(transaction, |outcome| outcome.results.clear());
                    }),
                    false => endorsed,
                };
                Ok::<_, tonic::Status>((proposed.id, envelope, repeats))
            });
        }
        let (mut envelopes, mut latest) = (Vec::new(), None);
        for endorsed in endorsing.join_all().await {
            match endorsed {
                Ok((id, envelope, repeats)) => {
                    if repeats && dice.chance(5) {
                        envelopes.push((id.clone(), envelope.clone()));
                    }
                    if repeats {
                        latest = Some((id.clone(), envelope.clone()));
                    }
                    envelopes.push((id, envelope));
                }
                Err(status) => tally.refused("endorse", &status),
            }
        }
        // What is long in a block, perhaps.
        if dice.chance(10) {
            envelopes.extend(before.clone());
        }
        let mut submitting = JoinSet::new();
        before = latest;
        for (id, envelope) in envelopes {
            if !tally.take() {
                break;
            }
            let (mut client, tally) = (client.clone(), tally.clone());
            submitting.spawn(async move {
                if let Err(status) = client.submit(&id, envelope).await {
                    tally.refused("submit", &status);
                    tally.left.fetch_add(1, Ordering::Relaxed);
                    return None;
                }
                Some(id)
            });
        }
        let submitted = submitting.join_all().await;
        if dice.chance(60)
            && let Some(id) = submitted.into_iter().flatten().next()
        {
            let mut client = client.clone();
            client.commit_status(&id).await.unwrap();
        }
    }
}

/// A transaction that only sets an event, in a block after all others; gives its block once both peers have it.
async fn mark(client: &mut Client, other: &mut Client) -> u64 {
    let proposed = client.propose(&["steps", "event end end"]);
    let envelope = client.endorse(&proposed, &ORGS).await.unwrap();
    client.submit(&proposed.id, envelope).await.unwrap();
    let (code, block) = client.commit_status(&proposed.id).await.unwrap();
    assert_eq!(code, Code::Valid);
    assert_eq!(other.commit_status(&proposed.id).await.unwrap(), (code, block));
    block
}

async fn blocks(client: &mut Client, last: u64) -> Vec<Block> {
    let (start, stop) = (position(1), position(last));
    let behavior = SeekBehavior::FailIfNotReady as i32;
    let request = client.seek(SeekInfo { start, stop, behavior, ..Default::default() }, |_| {});
    let blocks = client.blocks(request).await.0;
    assert_eq!(blocks.len() as u64, last);
    blocks
}

fn envelopes(block: &Block) -> Vec<Envelope> {
    let data = &block.data.as_ref().unwrap().data;
    data.iter().map(|bytes| Envelope::decode(bytes.as_slice()).unwrap()).collect()
}

fn codes(block: &Block) -> Vec<Code> {
    let codes = &block.metadata.as_ref().unwrap().metadata[2];
    codes.iter().map(|&code| Code::try_from(i32::from(code)).unwrap()).collect()
}

/// Whether a transaction calls the chaincode; others make the channel.
fn is_call(envelope: &Envelope) -> bool {
    let header = Payload::decode(envelope.payload.as_slice()).unwrap().header.unwrap();
    let header = ChannelHeader::decode(header.channel_header.as_slice()).unwrap();
    let extension = ChaincodeHeaderExtension::decode(header.extension.as_slice());
    header.r#type == HeaderType::EndorserTransaction as i32
        && extension.unwrap().chaincode_id.unwrap().name == "confab"
}

fn action(envelope: &Envelope) -> ChaincodeActionPayload {
    let payload = Payload::decode(envelope.payload.as_slice()).unwrap();
    let transaction = Transaction::decode(payload.data.as_slice()).unwrap();
    ChaincodeActionPayload::decode(transaction.actions[0].payload.as_slice()).unwrap()
}

/// What a transaction was asked to do.
fn arguments(envelope: &Envelope) -> Vec<String> {
    let action = action(envelope);
    let payload = ChaincodeProposalPayload::decode(action.chaincode_proposal_payload.as_slice()).unwrap();
    let spec = ChaincodeInvocationSpec::decode(payload.input.as_slice()).unwrap();
    let args = spec.chaincode_spec.unwrap().input.unwrap().args;
    args.iter().map(|arg| String::from_utf8_lossy(arg).into_owned()).collect()
}

/// The answers, and what was read to give it: every key with the version that it has.
fn outcome(envelope: &Envelope) -> (Vec<String>, Vec<String>) {
    let endorsed = action(envelope).action.unwrap();
    let response = ProposalResponsePayload::decode(endorsed.proposal_response_payload.as_slice()).unwrap();
    let outcome = ChaincodeAction::decode(response.extension.as_slice()).unwrap();
    let mut read = Vec::new();
    for set in TxReadWriteSet::decode(outcome.results.as_slice()).unwrap().ns_rwset {
        let own = KvrwSet::decode(set.rwset.as_slice()).unwrap();
        read.extend(own.reads.iter().map(|read| format!("{} {read:?}", set.namespace)));
        read.extend(own.range_queries_info.iter().map(|range| format!("{} {range:?}", set.namespace)));
        for collection in set.collection_hashed_rwset {
            let hashed = HashedRwSet::decode(collection.hashed_rwset.as_slice()).unwrap();
            let reads = hashed.hashed_reads.iter();
            read.extend(reads.map(|read| format!("{} {read:?}", collection.collection_name)));
        }
    }
    let answer = String::from_utf8(outcome.response.unwrap().payload).unwrap();
    (answer.lines().map(String::from).collect(), read)
}

/// All that a ledger shows after block `last`.
struct View {
    /// Every key with its metadata, and every private hash with its; and the reads of them.
    state: (Vec<String>, Vec<String>),
    histories: Vec<String>,
    /// Block, transaction and the event.
    events: Vec<(u64, String)>,
    verdicts: Vec<Vec<Code>>,
}

async fn view(client: &mut Client, last: u64) -> View {
    let keys: Vec<_> = (0..KEYS).map(|n| format!("k{n:02}")).collect();
    let mut reading = vec!["range   1000".to_string()];
    reading.extend(keys.iter().flat_map(|key| [format!("get {key}"), format!("policy-of {key}")]));
    for collection in COLLECTIONS {
        let keys = (0..PRIVATE_KEYS).map(|n| format!("{collection} p{n}"));
        reading.extend(keys.flat_map(|key| [format!("hash {key}"), format!("private-policy-of {key}")]));
    }
    let proposed = client.propose(&call(&reading));
    let mut state = outcome(&client.endorse(&proposed, &ORGS).await.unwrap());
    state.0 = reading.iter().zip(&state.0).map(|(step, answer)| format!("{step}: {answer}")).collect();
    let mut histories = Vec::new();
    for key in &keys {
        histories.push(client.evaluate(&["history", key]).await.unwrap());
    }
    let verdicts = blocks(client, last).await.iter().map(codes).collect();
    View { state, histories, events: events(client, last).await, verdicts }
}

async fn events(client: &mut Client, last: u64) -> Vec<(u64, String)> {
    let request = ChaincodeEventsRequest {
        channel_id: "confab".into(),
        chaincode_id: "confab".into(),
        identity: client.creator.clone(),
        start_position: position(1),
        after_transaction_id: String::new(),
    };
    let request = request.encode_to_vec();
    let signature = client.sign(&request);
    let request = SignedChaincodeEventsRequest { request, signature };
    let mut answers = client.gateway.chaincode_events(request).await.unwrap().into_inner();
    let mut events = Vec::new();
    // The last block has an event.
    while events.last().is_none_or(|(block, _)| *block < last) {
        let answer = answers.message().await.unwrap().unwrap();
        events.extend(answer.events.iter().map(|event| (answer.block_number, format!("{event:?}"))));
    }
    events
}

/// Says where two lists differ; gives in how many places.
fn differences<T: Debug + PartialEq>(what: &str, theirs: &[T], ours: &[T]) -> usize {
    let mut count = theirs.len().abs_diff(ours.len());
    for (index, (theirs, ours)) in theirs.iter().zip(ours).enumerate() {
        if theirs != ours {
            count += 1;
            eprintln!("{what} {index}:\n  theirs: {theirs:?}\n  ours:   {ours:?}");
        }
    }
    count
}

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |value| value.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn real_fabric_comes_to_the_same_verdicts_and_state() {
    if launcher::Binaries::find().is_err() {
        eprintln!("SKIPPED: differential test: real Fabric not found; set FABRIC_HOME");
        return;
    }
    let (operations, seed) = (number("DIFFERENTIAL_OPERATIONS", 500), number("DIFFERENTIAL_SEED", 1));
    let brief = Collection { block_to_live: 3, ..Collection::new("brief", &ORGS) };
    let fabric = Fabric::up(vec![Collection::new("pair", &ORGS), brief]).await;

    let started = Instant::now();
    let left = AtomicUsize::new(operations);
    let tally = Arc::new(Tally { left, proposals: AtomicUsize::default(), refusals: Mutex::default() });
    let mut workers = JoinSet::new();
    for n in 0..CLIENTS {
        let dice = Dice(ChaCha8Rng::seed_from_u64((seed * CLIENTS + n) as u64));
        workers.spawn(work(fabric.client(n % ORGS.len()), dice, tally.clone()));
    }
    workers.join_all().await;
    let mut one = fabric.client(0);
    let last = mark(&mut one, &mut fabric.client(1)).await;
    let submitted = started.elapsed();
    let theirs = blocks(&mut one, last).await;

    let dir = tempfile::tempdir().unwrap();
    let mut config = launcher::ledger::config(&fabric.network).unwrap();
    config.dir = dir.path().into();
    config.orgs.iter_mut().for_each(|org| org.listen.set_port(0));
    let mut replay = Replay::open(&config).unwrap();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut different = 0;
    for block in &theirs {
        let (envelopes, codes, number) =
            (envelopes(block), codes(block), block.header.as_ref().unwrap().number);
        if !envelopes.iter().any(is_call) {
            replay.adopt(&envelopes, &codes).unwrap();
            continue;
        }
        let ours = replay.judge(&envelopes).unwrap();
        for (index, (theirs, ours)) in codes.iter().zip(&ours).enumerate() {
            *counts.entry(theirs.as_str_name()).or_default() += 1;
            if theirs != ours {
                different += 1;
                eprintln!("block {number}, transaction {index}: {:?}", arguments(&envelopes[index]));
                eprintln!("  theirs: {}\n  ours:   {}", theirs.as_str_name(), ours.as_str_name());
            }
        }
    }
    drop(replay);
    eprintln!("{operations} transactions in {submitted:?}, {last} blocks, {counts:?}");
    eprintln!("{:?} proposals, refused: {:?}", tally.proposals, tally.refusals.lock().unwrap());

    let ledger = dev_ledger::serve(config.clone()).await.unwrap();
    let ours = view(&mut fabric.client_at(0, ledger.address(ORGS[0]).unwrap()), last).await;
    ledger.shutdown().await;
    let theirs = view(&mut one, last).await;
    different += differences("answer", &theirs.state.0, &ours.state.0);
    different += differences("read", &theirs.state.1, &ours.state.1);
    different += differences("history", &theirs.histories, &ours.histories);
    different += differences("event", &theirs.events, &ours.events);
    different += differences("verdicts", &theirs.verdicts, &ours.verdicts);
    eprintln!("{} reads, {} events compared", theirs.state.1.len(), theirs.events.len());
    assert_eq!(different, 0, "differences");
    for code in [
        Code::Valid,
        Code::MvccReadConflict,
        Code::PhantomReadConflict,
        Code::EndorsementPolicyFailure,
        Code::DuplicateTxid,
    ] {
        assert!(counts.contains_key(code.as_str_name()), "no {}", code.as_str_name());
    }
}
