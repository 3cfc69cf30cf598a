//! What can be asked of a node, in this process or over its socket, and why it is not answered.

use super::service::ConnectError;
use crate::{
    answer::AnswerError,
    audit::OpenError,
    consent::Review,
    event::Event,
    jobs::ReportError,
    keyring::{KeySummary, KeyringError},
    ledger::{MembersError, QueryError},
    store::StoreError,
    wait::Wait,
};
use gateway_client::{Meaning, Refusal, SubmitFailure};
use key_generation::Opening;
use protocol::Fault;
use records::{JobId, JobParams, JobView, ParamsError, Termination};
use serde::{Deserialize, Serialize};

/// A request; a line of JSON on the socket.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Request {
    Propose { params: Box<JobParams> },
    Review { job: JobId },
    Accept { job: JobId, accept_weaker: bool },
    Refuse { job: JobId, reason: String },
    Abort { job: JobId, reason: String },
    Jobs {},
    Job { job: JobId },
    Ended { job: JobId },
    Report { job: JobId },
    Keys {},
    OpenSecret { job: JobId },
    Compact {},
    Watch {},
    ShutDown {},
}

/// What comes back.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Response {
    Done,
    Proposed(JobId),
    Review(Box<Review>),
    Jobs(Vec<JobView>),
    Job(Box<JobView>),
    Ended(Option<Termination>),
    /// The text of the file: numbers stay as they are.
    Report(String),
    Keys(KeyList),
    Opening(Opening),
    Compacted(Compacted),
}

/// A line of JSON from a node.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Line {
    /// What the request waits for; its answer is still to come.
    Wait(Wait),
    /// Something happened; more is to come until the node stops.
    Event(Box<Event>),
    /// The answer.
    Response(Response),
    /// Why there is no other answer.
    Refused { reason: String, may_pass: bool, origin: Origin },
}

/// The keys that a node has shares of, and those on the ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyList {
    /// The keys; the own ones come first.
    pub keys: Vec<KeySummary>,
    /// Why the ledger could not be asked for others, where that is so.
    pub ledger: Option<String>,
}

/// What writing a database anew came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compacted {
    /// Bytes of the file before.
    pub before: u64,
    /// Bytes of the file now.
    pub after: u64,
    /// Bytes that are stored in it.
    pub stored: u64,
}

/// Who is at fault where a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Who asked: what was asked for cannot be.
    Caller,
    /// A participant of a job.
    Participant,
    /// The ledger, the disk, another process.
    Environment,
    /// The node: a defect.
    Node,
}

/// Why a request is not answered.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// A job was not accepted.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// A job names somebody who is no member of the channel, or who the members are is not known.
    #[error(transparent)]
    Members(#[from] MembersError),
    /// Parameters that are out of range.
    #[error(transparent)]
    Params(#[from] ParamsError),
    /// The ledger cannot be asked in the organisation's name.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The ledger could not be asked.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The ledger could not be told.
    #[error(transparent)]
    Submit(#[from] SubmitFailure),
    /// The own database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The own key shares.
    #[error(transparent)]
    Keys(#[from] KeyringError),
    /// A secret that is not opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A report that is not there.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// Why the node that runs did not do it, in its own words.
    #[error("{reason}")]
    Node {
        /// The words.
        reason: String,
        /// Whether the same request may be answered later.
        may_pass: bool,
        /// Who is at fault.
        origin: Origin,
    },
    /// The node that runs was not understood, or is gone.
    #[error("the node that runs in {data_dir}: {reason}")]
    Connection {
        /// Its data directory.
        data_dir: String,
        /// What happened.
        reason: String,
    },
    /// Only a node that runs does that.
    #[error("no node runs in {0}")]
    NotRunning(String),
}

impl RequestError {
    /// Whether another process has the database open.
    pub(crate) fn is_in_use(&self) -> bool {
        let store = match self {
            Self::Answer(AnswerError::Store(e)) | Self::Store(e) | Self::Open(OpenError::Store(e)) => e,
            _ => return false,
        };
        matches!(store, StoreError::InUse(_))
    }

    /// Whether the same request may be answered later: the ledger was not reached.
    pub fn may_pass(&self) -> bool {
        use gateway_client::Failure::{TimedOut, Unavailable};
        let passes = |e: &gateway_client::Error| {
            e.call().is_some_and(|call| matches!(call.failure(), Unavailable | TimedOut))
        };
        match self {
            Self::Query(QueryError::Gateway(e)) | Self::Members(MembersError::Gateway(e)) => passes(e),
            Self::Node { may_pass, .. } => *may_pass,
            _ => false,
        }
    }

    /// Who is at fault.
    pub fn origin(&self) -> Origin {
        match self {
            Self::Answer(e) => match e {
                AnswerError::Unfit(fault) => of_fault(fault),
                AnswerError::Weaker(_) | AnswerError::Lost(_) => Origin::Caller,
                AnswerError::Members(e) => of_members(e),
                AnswerError::Query(e) => of_query(e),
                AnswerError::Store(e) => of_store(e),
                AnswerError::Ledger(e) => of_submission(e),
            },
            Self::Members(e) => of_members(e),
            Self::Connect(ConnectError::Gateway(e)) => of_gateway(e),
            Self::Query(e) => of_query(e),
            Self::Submit(e) => of_submission(e),
            Self::Store(e) | Self::Open(OpenError::Store(e)) => of_store(e),
            Self::Keys(KeyringError::File { .. }) | Self::Connection { .. } => Origin::Environment,
            Self::Params(_)
            | Self::Connect(ConnectError::Identity(_))
            | Self::Keys(_)
            | Self::Open(_)
            | Self::Report(_)
            | Self::NotRunning(_) => Origin::Caller,
            Self::Node { origin, .. } => *origin,
        }
    }
}

fn of_fault(fault: &Fault) -> Origin {
    match fault {
        Fault::Input(_) => Origin::Caller,
        Fault::Participant { .. } | Fault::Disagreement(_) => Origin::Participant,
    }
}

fn of_refusal(refusal: Option<&Refusal>) -> Origin {
    match refusal.map(|refusal| refusal.meaning) {
        Some(Meaning::Final | Meaning::AlreadyThere | Meaning::Unknown) => Origin::Caller,
        Some(Meaning::NotYet | Meaning::WrongClock) | None => Origin::Environment,
    }
}

fn of_gateway(error: &gateway_client::Error) -> Origin {
    use gateway_client::Error::{Bytes, Endpoint, Identity, Profile, Validity};
    match error {
        Profile(_) | Identity(_) | Endpoint { .. } | Validity(_) | Bytes { .. } => Origin::Caller,
        other => of_refusal(other.refusal()),
    }
}

fn of_submission(failure: &SubmitFailure) -> Origin {
    of_refusal(failure.refusal())
}

fn of_members(error: &MembersError) -> Origin {
    match error {
        MembersError::Gateway(e) => of_gateway(e),
        MembersError::Strangers { .. } => Origin::Caller,
    }
}

fn of_query(error: &QueryError) -> Origin {
    match error {
        QueryError::Gateway(e) => of_gateway(e),
        QueryError::Answer(_) => Origin::Environment,
    }
}

fn of_store(error: &StoreError) -> Origin {
    match error {
        StoreError::Changed(_) | StoreError::OtherOrganisation { .. } | StoreError::Opened(_) => {
            Origin::Caller
        }
        _ => Origin::Environment,
    }
}
