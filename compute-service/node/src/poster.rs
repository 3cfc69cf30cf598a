//! Carries what a driver asks for to the ledger, in the background.

use crate::{
    driver::{Input, Request},
    wait::{self, Cause},
    worker::Traffic,
};
use gateway_client::{Call, Contract, RetryPolicy, SubmitError, SubmitFailure, UnderWay};
use records::{Awaited, Code, Job, MAX_REASON_BYTES, Slot, text::Escaped};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    time::Duration,
};
use tokio::{runtime::Handle, sync::oneshot};

/// Between two tries where a disk is full.
const MAKE_ROOM: Duration = Duration::from_secs(5);

/// Where a driver stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It takes what comes.
    #[default]
    Following,
    /// It makes a record.
    Working(Slot),
    /// Nothing came for a while; it waits for these.
    Waiting(Vec<Awaited>),
}

/// The posting side of a member of one job.
pub struct RecordSubmitter {
    job: Job,
    contract: Contract,
    inputs: mpsc::Sender<Input>,
    traffic: Arc<Mutex<Traffic>>,
    retry_timeout: Duration,
    runtime: Handle,
    /// Posts under way; they are told when their record is seen in a block.
    watched: Mutex<HashMap<Slot, oneshot::Sender<()>>>,
    under_way: UnderWay,
    standing: Mutex<Standing>,
}

impl RecordSubmitter {
    /// For a job, whose contract is called in the member's name. The driver learns of failures through `inputs`;
    /// `traffic` counts what was posted, and `retry_timeout` is how long a peer that lags or is gone is asked again. Posts
    /// run on the runtime that this is called on.
    pub fn new(
        job: Job,
        contract: Contract,
        inputs: mpsc::Sender<Input>,
        traffic: Arc<Mutex<Traffic>>,
        retry_timeout: Duration,
    ) -> Self {
        let (runtime, watched) = (Handle::current(), Mutex::default());
        let (under_way, standing) = (UnderWay::default(), Mutex::default());
        let contract = contract.watched(&under_way);
        Self { job, contract, inputs, traffic, retry_timeout, runtime, watched, under_way, standing }
    }

    /// Where the driver stands.
    pub fn standing(&self) -> Standing {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What keeps its posts off the ledger.
    pub fn causes(&self) -> Vec<Cause> {
        wait::causes(&self.under_way, self.contract.gateway().address())
    }

    /// What was posted so far.
    pub fn traffic(&self) -> Traffic {
        *self.traffic.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Begins to carry out a request; only a failure comes back.
    pub fn ask(&self, request: Request) {
        let id = self.job.id.to_string();
        let mut seen = None;
        let (what, call, bytes) = match request {
            Request::Working(slot) => return self.stand(Standing::Working(slot)),
            Request::Waiting(awaited) => return self.stand(Standing::Waiting(awaited)),
            Request::Confirmed(slot) => {
                if let Some(waiting) = self.watched().remove(&slot) {
                    let _ = waiting.send(());
                }
                return;
            }
            Request::Post(slot, body, contributors) => {
                self.stand(Standing::Following);
                let json =
                    serde_json::to_vec(&*body).expect("records hold only strings, integers and arrays");
                let bytes = json.len() as u64;
                let (sender, receiver) = oneshot::channel();
                self.watched().insert(slot, sender);
                seen = Some(receiver);
                let mut call = Call::new("post")
                    .arg(id)
                    .arg(slot.phase.as_str())
                    .arg(slot.round.to_string())
                    .arg(slot.chunk.to_string())
                    .arg(json);
                if !contributors.is_empty() {
                    call = call.arg(serde_json::to_vec(&contributors).expect("a list of numbers"));
                }
                (slot.to_string(), call, bytes)
            }
            Request::Finish => ("finish".into(), Call::new("finish").arg(id), 0),
            Request::Abort(trouble) => {
                tracing::error!(job = ?self.job.id, "giving the job up: {trouble}");
                // What others wrote may be in it.
                let mut reason = Escaped(&trouble.public()).to_string();
                let fits = |end: &usize| reason.is_char_boundary(*end);
                let end = (0..=MAX_REASON_BYTES.min(reason.len())).rev().find(fits);
                reason.truncate(end.unwrap_or_default());
                ("abort".into(), Call::new("abort").arg(id).arg(reason), 0)
            }
        };
        // Somebody may make room.
        let policy = RetryPolicy { make_room: Some(MAKE_ROOM), ..RetryPolicy::default() };
        let submitter = self.contract.submitter().with_policy(policy);
        let (inputs, traffic, retry_timeout) =
            (self.inputs.clone(), self.traffic.clone(), self.retry_timeout);
        self.runtime.spawn(async move {
            let submitted = match seen {
                Some(seen) => submitter.submit_watched(call, retry_timeout, seen).await,
                None => submitter.submit(call, retry_timeout).await,
            };
            let (retries, failure) = match submitted {
                Ok(submitted) => (submitted.retries, None),
                Err(failure) => (failure.retries, Some(failure)),
            };
            let mut traffic = traffic.lock().unwrap_or_else(|e| e.into_inner());
            traffic.retries += retries;
            match failure {
                None => {
                    traffic.transactions += 1;
                    traffic.bytes += bytes;
                }
                // Somebody else ended the job: its ending is on the way.
                Some(SubmitFailure { error: SubmitError::Failed(e), .. })
                    if e.refusal().is_some_and(|r| r.code == Code::Ended.as_str()) => {}
                Some(failure) => {
                    let _ = inputs.send(Input::PostFailed(format!("{what}: {failure}")));
                }
            }
        });
    }

    fn stand(&self, standing: Standing) {
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner) = standing;
    }

    fn watched(&self) -> MutexGuard<'_, HashMap<Slot, oneshot::Sender<()>>> {
        self.watched.lock().unwrap_or_else(|e| e.into_inner())
    }
}
