//! Carries what a driver asks for to the ledger, in the background.

use crate::{
    driver::{Input, Request},
    worker::Traffic,
};
use gateway_client::{Call, Contract, KeepNothing, SubmitError, SubmitFailure};
use records::{Code, Job};
use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};
use tokio::runtime::Handle;

/// Longest reason for an abort, in characters.
const MAX_REASON: usize = 1000;

/// The posting side of a member of one job.
pub struct Poster {
    /// The job.
    pub job: Job,
    /// The job contract, called in the member's name.
    pub contract: Contract,
    /// The driver, which learns of failures.
    pub inputs: mpsc::Sender<Input>,
    /// What was posted so far.
    pub traffic: Arc<Mutex<Traffic>>,
    /// How long a peer that lags or is gone is asked again.
    pub patience: Duration,
    /// Where the posts run.
    pub runtime: Handle,
}

impl Poster {
    /// Begins to carry out a request; only a failure comes back.
    pub fn ask(&self, request: Request) {
        let id = self.job.id.0.as_str();
        let (what, call, bytes) = match request {
            Request::Post(slot, body) => {
                let json =
                    serde_json::to_vec(&*body).expect("records hold only strings, integers and arrays");
                let bytes = json.len() as u64;
                let call = Call::new("post")
                    .arg(id)
                    .arg(slot.phase.as_str())
                    .arg(slot.round.to_string())
                    .arg(slot.chunk.to_string())
                    .arg(json);
                (slot.to_string(), call, bytes)
            }
            Request::Finish => ("finish".into(), Call::new("finish").arg(id), 0),
            Request::Abort(trouble) => {
                tracing::error!(job = ?self.job.id, "giving the job up: {trouble}");
                let reason: String = trouble.public().chars().take(MAX_REASON).collect();
                ("abort".into(), Call::new("abort").arg(id).arg(reason), 0)
            }
        };
        let submitter = self.contract.submitter(Arc::new(KeepNothing));
        let (inputs, traffic, patience) = (self.inputs.clone(), self.traffic.clone(), self.patience);
        self.runtime.spawn(async move {
            let (retries, failure) = match submitter.submit(call, patience).await {
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
                    if e.refusal().is_some_and(|r| r.code == Code::Ended) => {}
                Some(failure) => {
                    let _ = inputs.send(Input::PostFailed(format!("{what}: {failure}")));
                }
            }
        });
    }
}
