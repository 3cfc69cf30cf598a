//! What a driver asks for when others are silent, and when the ledger cannot be told.

use key_generation::{Generation, Private};
use node::{
    driver::{Driver, DriverError, Finished, Input, Request},
    facts::{Creator, LedgerEvent, Positioned},
    store::Store,
};
use records::{
    Acceptance, Collusion, Deadlines, Job, JobParams, Kind, Outcome, Phase, Record, Slot, Termination,
    VERSION,
};
use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A driver of the first of three members who negotiate a key.
struct Running {
    job: Job,
    inputs: mpsc::Sender<Input>,
    requests: mpsc::Receiver<Request>,
    thread: std::thread::JoinHandle<Result<Finished<key_generation::Output>, DriverError>>,
    _dir: tempfile::TempDir,
}

impl Running {
    fn start() -> Self {
        let generation = node::proposal::key_generation(512, true, 3, Collusion::Minority);
        let names = (1..=3).map(|org| format!("Org{org}MSP").parse().unwrap()).collect();
        let params = node::proposal::job_params(Kind::KeyGeneration(generation), names).unwrap();
        // Reminders are due after a quarter of a second.
        let params = JobParams { deadlines: Some(Deadlines { accept: 1, step: 1 }), ..params };
        let job = Job {
            version: VERSION,
            id: params.id(),
            params,
            proposer: "Org1MSP".parse().unwrap(),
            proposed: 0,
        };
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(dir.path()).unwrap());
        let secret = store.secret(&job.id).unwrap();
        let private = Arc::new(Private { secret, share: None });
        let driver = Driver::<Generation> { job: job.clone(), party: 0, private, store };
        let (inputs, on_input) = mpsc::channel();
        let (ask, requests) = mpsc::channel();
        let thread =
            std::thread::spawn(move || driver.run(&on_input, |request| drop(ask.send(request)), |_| {}));
        Self { job, inputs, requests, thread, _dir: dir }
    }

    fn fact(&self, party: u32, fact: LedgerEvent) {
        let msp_id = self.job.params.participants[party as usize].clone();
        let creator = Creator { msp_id, key_hash: [party as u8; 32].into() };
        let located = Positioned { block: 1, tx_id: "tx".into(), creator, bytes: 1, fact };
        self.inputs.send(Input::LedgerEvent(Box::new(located))).unwrap();
    }

    fn accept(&self, party: u32) {
        let msp_id = self.job.params.participants[party as usize].clone();
        let key_hash = [party as u8; 32].into();
        let (version, job) = (VERSION, self.job.id.clone());
        self.fact(party, LedgerEvent::Accepted(Acceptance { version, job, party, msp_id, key_hash }));
    }

    /// The next request that is one of these.
    fn asks<T>(&self, of: impl Fn(Request) -> Option<T>) -> T {
        loop {
            if let Some(found) = of(self.requests.recv_timeout(PATIENCE).unwrap()) {
                return found;
            }
        }
    }

    fn waits(&self) -> Vec<Slot> {
        let waiting = self.asks(|request| match request {
            Request::Waiting(awaited) => Some(awaited),
            _ => None,
        });
        waiting.into_iter().map(|awaited| awaited.slot).collect()
    }

    fn aborts(&self) -> String {
        self.asks(|request| match request {
            Request::Abort(trouble) => Some(trouble.to_string()),
            _ => None,
        })
    }

    fn end(self) -> Result<Finished<key_generation::Output>, DriverError> {
        self.thread.join().unwrap()
    }
}

fn keys(party: u32) -> Slot {
    Slot { phase: Phase::Keys, round: 0, party, chunk: 0 }
}

#[test]
fn whoever_can_post_and_does_not_is_waited_for() {
    let running = Running::start();
    assert!(running.waits().is_empty(), "nobody has accepted");
    (0..3).for_each(|party| running.accept(party));
    running.asks(|request| matches!(request, Request::Working(slot) if slot == keys(0)).then_some(()));
    let body = running.asks(|request| match request {
        Request::Post(slot, body, _) if slot == keys(0) => Some(*body),
        _ => None,
    });
    // Its own record is on the way: that is no other's debt.
    assert_eq!(running.waits(), [keys(1), keys(2)]);
    let (version, job, msp_id) = (VERSION, running.job.id.clone(), "Org1MSP".parse().unwrap());
    let record = Record { version, job: job.clone(), slot: keys(0), msp_id, body, contributors: Vec::new() };
    running.fact(0, LedgerEvent::Posted(Box::new(record)));
    assert_eq!(running.waits(), [keys(1), keys(2)]);
    let outcome = Outcome::Expired(Vec::new());
    running.fact(
        1,
        LedgerEvent::Ended(Termination {
            version,
            job,
            by: "Org2MSP".parse().unwrap(),
            outcome: outcome.clone(),
        }),
    );
    assert_eq!(running.end().unwrap().ending.outcome, outcome);
}

/// A member that can neither go on nor say so does not wait for an ending that never comes.
#[test]
fn who_cannot_tell_the_ledger_that_it_gave_up_stops() {
    let running = Running::start();
    running.inputs.send(Input::PostFailed("the peer is gone".into())).unwrap();
    assert_eq!(running.aborts(), "the peer is gone");
    running.inputs.send(Input::PostFailed("abort: the peer is gone".into())).unwrap();
    let error = running.end().unwrap_err().to_string();
    assert!(
        error.contains("the peer is gone (abort: the peer is gone)") && error.contains("not told"),
        "{error}"
    );
}
