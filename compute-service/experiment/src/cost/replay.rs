//! Nodes that post what was recorded: everything of a node but the cryptography.

use super::{Client, CostError, Recording, failed, recording::slots};
use gateway_client::{Call, Checkpoint};
use node::{
    driver::{Driver, Input},
    facts::LedgerEvent,
    ledger,
    poster::RecordSubmitter,
    store::{Position, Store},
    worker::Traffic,
};
use protocol::{Committed, Fault, Protocol, Role, Status, StepRng};
use records::{Body, Job, Outcome, Phase, Rules, Slot};
use std::{
    collections::{HashSet, VecDeque},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};
use tokio::task::spawn_blocking;

/// How long a peer that lags or is gone is asked again.
const PATIENCE: Duration = Duration::from_secs(60);

/// One party's side of a job whose bodies are known beforehand.
struct Replay {
    me: Option<u32>,
    rules: Rules,
    /// Records that were folded, of all that there will be.
    seen: HashSet<Slot>,
    total: usize,
    /// Own slots that were not folded yet, in order.
    left: VecDeque<Slot>,
}

impl Replay {
    fn is_open(&self, slot: &Slot) -> bool {
        self.rules.needs(slot, &[]).iter().all(|need| self.seen.contains(need))
    }
}

impl Protocol for Replay {
    type Private = Recording;
    type Output = ();

    fn start(job: &Job, role: Role) -> Result<Self, Fault> {
        let me = match role {
            Role::Member(party) => Some(party),
            Role::Observer => None,
        };
        let mut all = slots(&job.params);
        let total = all.len();
        all.retain(|slot| Some(slot.party) == me);
        // In the order of time: IV and DV take turns.
        all.sort_by_key(|slot| match slot.phase {
            Phase::Dv => (Phase::Iv, slot.round, 1, slot.chunk),
            phase => (phase, slot.round, 0, slot.chunk),
        });
        let rules = Rules::new(&job.params);
        Ok(Self { me, rules, seen: HashSet::with_capacity(total), total, left: all.into() })
    }

    fn apply(&mut self, committed: &Committed) -> Result<(), Fault> {
        let slot = committed.record.slot;
        self.seen.insert(slot);
        if Some(slot.party) == self.me {
            self.left.retain(|left| *left != slot);
        }
        Ok(())
    }

    fn pending(&self) -> Vec<Slot> {
        let mut owed = Vec::new();
        for slot in &self.left {
            // Chunks of chain and noise wait for each other singly; after them each round waits for the one before.
            match self.is_open(slot) {
                true => owed.push(*slot),
                false if matches!(slot.phase, Phase::Chain | Phase::Noise) => {}
                false => break,
            }
        }
        owed
    }

    fn produce(&self, slot: Slot, recording: &Recording, _: &mut StepRng) -> Result<Body, Fault> {
        match recording.body(&slot) {
            Some(body) => Ok(body.clone()),
            None => Err(Fault::Input(format!("{slot} was not recorded"))),
        }
    }

    /// Nothing random is made, so nothing need be told apart.
    fn input_digest(&self, _: Slot, _: &Recording) -> [u8; 32] {
        [0; 32]
    }

    fn status(&self) -> Status<()> {
        if self.seen.len() == self.total {
            return Status::Done(());
        }
        let last = || self.rules.round_slots(Phase::Result, 0);
        let next = self.left.front().map_or_else(last, |slot| self.rules.needs(slot, &[]));
        Status::Running { waiting_for: next.into_iter().filter(|slot| !self.seen.contains(slot)).collect() }
    }
}

/// What a replay took.
#[derive(Clone, Copy, Debug)]
pub struct Replayed {
    /// From the proposal until everybody has seen the job's end.
    pub whole: Duration,
    /// From when everybody could begin the first iteration until everybody has seen the last.
    pub iterations: Duration,
    /// Of all participants.
    pub traffic: Traffic,
}

/// Posts a recording as a new job: one node a participant, in their order, each with a database of its own under `dir`.
///
/// # Errors
/// A ledger, database or job that fails.
pub async fn replay(recording: &Recording, clients: &[Client], dir: &Path) -> Result<Replayed, CostError> {
    let recording = Arc::new(recording.again()?);
    let params = &recording.params();
    let from = clients[0].network.height().await?;
    let start = Instant::now();
    let call = Call::new("propose")
        .arg(serde_json::to_vec(params).expect("parameters hold only strings, integers and arrays"));
    clients[0].contract().submitter().submit(call, PATIENCE).await.map_err(failed)?;
    let members = clients.iter().enumerate().map(|(party, client)| {
        let state = dir.join(params.id().to_string()).join(party.to_string());
        tokio::spawn(member(recording.clone(), party as u32, client.clone(), state, from))
    });
    let mut told = Vec::new();
    for member in members.collect::<Vec<_>>() {
        told.push(member.await.map_err(failed)??);
    }
    let last = |of: fn(&Told) -> Instant| told.iter().map(of).max().unwrap_or(start);
    let (begun, done, ended) = (last(|t| t.begun), last(|t| t.done), last(|t| t.ended));
    let mut traffic = Traffic::default();
    for one in &told {
        traffic.transactions += one.traffic.transactions;
        traffic.bytes += one.traffic.bytes;
        traffic.retries += one.traffic.retries;
    }
    Ok(Replayed { whole: ended - start, iterations: done - begun, traffic })
}

/// What one node saw, and when.
struct Told {
    /// The last record before the first iteration.
    begun: Instant,
    /// The last record of the last iteration.
    done: Instant,
    /// The end of the job.
    ended: Instant,
    traffic: Traffic,
}

/// Tells the driver to stop when the member is dropped; one that has finished does not listen.
struct Inputs(mpsc::Sender<Input>);

impl Drop for Inputs {
    fn drop(&mut self) {
        let _ = self.0.send(Input::Stop);
    }
}

async fn member(
    recording: Arc<Recording>,
    party: u32,
    client: Client,
    state: PathBuf,
    from: u64,
) -> Result<Told, CostError> {
    let id = recording.params().id();
    let contract = client.contract();
    let store = Arc::new(Store::open(&state)?);
    let traffic: Arc<Mutex<Traffic>> = Arc::default();
    let mut blocks = client.network.blocks(Checkpoint::at(from));
    let mut driver = None;
    let (mut begun, mut done) = (Instant::now(), Instant::now());
    loop {
        let block = blocks.next().await.ok_or_else(|| failed("the stream of blocks has ended"))??;
        let now = Instant::now();
        let mut facts = ledger::facts(&block, &client.chaincode);
        facts.retain(|located| *located.fact.job() == id);
        store.append(&facts, Position { next_block: block.number + 1 })?;
        for located in facts {
            match &located.fact {
                LedgerEvent::Proposed(job) => {
                    let (inputs, on_input) = mpsc::channel();
                    let poster = RecordSubmitter::new(
                        job.clone(),
                        contract.clone(),
                        inputs.clone(),
                        traffic.clone(),
                        PATIENCE,
                    );
                    let (job, private, store) = (job.clone(), recording.clone(), store.clone());
                    let run = Driver::<Replay> { job, party, private, store };
                    let running =
                        spawn_blocking(move || run.run(&on_input, |request| poster.ask(request), |_| {}));
                    driver = Some((Inputs(inputs), running));
                    let accept = Call::new("accept").arg(id.to_string());
                    contract.submitter().submit(accept, PATIENCE).await.map_err(failed)?;
                }
                LedgerEvent::Posted(record) if record.slot.phase < Phase::Iv => begun = now,
                LedgerEvent::Posted(record) if record.slot.phase <= Phase::Dv => done = now,
                _ => {}
            }
            let ended = matches!(located.fact, LedgerEvent::Ended(_));
            let (inputs, running) = driver.as_mut().ok_or_else(|| failed("a fact before the proposal"))?;
            let _ = inputs.0.send(Input::LedgerEvent(Box::new(located)));
            if ended {
                let finished = running.await.map_err(failed)??;
                return match finished.ending.outcome {
                    Outcome::Finished => {
                        let traffic = *traffic.lock().unwrap_or_else(|e| e.into_inner());
                        Ok(Told { begun, done, ended: now, traffic })
                    }
                    other => Err(failed(format!("the replayed job did not finish: {other:?}"))),
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::recording::tests::recording, *};

    #[test]
    fn members_post_all_that_was_recorded_in_an_order_that_the_rules_allow() {
        let recording = recording(3, 4).recut(5, 2).unwrap();
        let job = Job {
            version: records::VERSION,
            id: recording.params().id(),
            params: recording.params().clone(),
            proposer: "A".parse().unwrap(),
            proposed: 0,
        };
        let members = [recording.clone(), recording.clone()];
        let trace = protocol::simulate::<Replay>(&job, &members, 7, |_, body| body).unwrap();
        assert_eq!(trace.records.len(), slots(&job.params).len());
        for committed in &trace.records {
            assert_eq!(Some(&committed.record.body), recording.body(&committed.record.slot));
        }
    }
}
