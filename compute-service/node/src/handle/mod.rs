//! A handle on a node: the same operations on one that runs in this process, on one that runs in another, and on the directory
//! of one that does not run.

mod client;
mod endpoint;
mod request;
mod server;
mod service;
#[cfg(test)]
mod tests;

pub use request::{Compacted, KeyList, Origin, RequestError};
pub use service::ConnectError;
pub(crate) use {
    endpoint::{listen, remove},
    server::serve,
    service::{Connection, Service, open_store},
};

use crate::{
    config::Config,
    consent::Review,
    event::{Event, Watchers},
    jobs::Report,
    protected::KeyFileError,
    store::StoreError,
    wait::Wait,
};
use client::{Asked, Client};
use key_generation::Opening;
use records::{JobId, JobParams, JobView, Termination};
use request::{Request, Response};
use std::{fmt, sync::Arc};
use tokio::sync::{mpsc::UnboundedReceiver, watch};

/// Why a node stops.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The profile or the identity cannot be used.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The ledger cannot be reached or answers nonsense.
    #[error(transparent)]
    Gateway(#[from] gateway_client::Error),
    /// The own database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger is another one than before.
    #[error(
        "{data_dir} belongs to another ledger: this one begins with another block; name another data_dir, or remove that \
         one if its ledger is gone"
    )]
    OtherLedger {
        /// The data directory.
        data_dir: String,
    },
    /// The own keys do not open.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// The node's socket cannot be made.
    #[error("the node's socket in {data_dir}: {source}")]
    Socket {
        /// The data directory.
        data_dir: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// How a node stopped, as all its handles are told.
type Stopped = Option<Result<(), Arc<NodeError>>>;

/// A node that runs in this process, as its handles and its socket see it.
pub(crate) struct Running {
    pub(crate) watchers: Watchers,
    stop: watch::Sender<bool>,
    stopped: watch::Receiver<Stopped>,
}

impl Running {
    /// With it come the wish that the node stops, and the place where it says that it has.
    pub(crate) fn new() -> (Self, watch::Receiver<bool>, watch::Sender<Stopped>) {
        let ((stop, on_stop), (ended, stopped)) = (watch::channel(false), watch::channel(None));
        (Self { watchers: Watchers::new(), stop, stopped }, on_stop, ended)
    }

    fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Returns when the node has stopped, and its directory is free.
    async fn has_stopped(&self) {
        let _ = self.stopped.clone().wait_for(Option::is_some).await;
    }
}

/// A handle on a node; clones are handles on the same one.
#[derive(Clone)]
pub struct NodeHandle {
    node: Node,
    say: Arc<dyn Fn(&Wait) + Send + Sync>,
}

#[derive(Clone)]
enum Node {
    /// In this process.
    Here(Arc<Service>, Arc<Running>),
    /// In another process.
    There(Arc<Client>),
    /// None runs: this process opens the directory and the ledger by itself.
    Directory(Arc<Service>),
}

impl fmt::Debug for NodeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = match &self.node {
            Node::Here(..) => "a node of this process",
            Node::There(_) => "a node of another process",
            Node::Directory(_) => "a directory without a node",
        };
        f.debug_tuple("NodeHandle").field(&node).finish()
    }
}

impl NodeHandle {
    pub(crate) fn here(service: Arc<Service>, running: Arc<Running>) -> Self {
        Self { node: Node::Here(service, running), say: Arc::new(|_| {}) }
    }

    /// On the node that runs in a configuration's data directory, or, where none does, on the directory itself. Nothing is
    /// opened before it is needed, and nobody else's is taken away: the database has one process at a time.
    ///
    /// # Errors
    /// A socket that does not answer for another reason than that no node runs.
    pub async fn open(config: Config) -> Result<Self, RequestError> {
        let node = match Client::find(&config).await? {
            Some(client) => Node::There(Arc::new(client)),
            None => Node::Directory(Arc::new(Service::new(config))),
        };
        Ok(Self { node, say: Arc::new(|_| {}) })
    }

    /// Whether a node runs behind it.
    pub fn is_running(&self) -> bool {
        !matches!(self.node, Node::Directory(_))
    }

    /// The same, which tells what a request waits for that takes long.
    #[must_use]
    pub fn saying(self, say: impl Fn(&Wait) + Send + Sync + 'static) -> Self {
        Self { say: Arc::new(say), ..self }
    }

    async fn ask(&self, request: Request) -> Result<Response, RequestError> {
        match &self.node {
            Node::There(client) => client.ask(&request, &*self.say).await,
            Node::Here(service, _) => service.answer(request, &*self.say).await,
            Node::Directory(service) => match service.answer(request.clone(), &*self.say).await {
                // A node was started meanwhile, and has the database: it answers, as soon as it listens.
                Err(e) if e.is_in_use() => match Client::find(&service.config).await? {
                    Some(client) => client.ask(&request, &*self.say).await,
                    None => Err(e),
                },
                answered => answered,
            },
        }
    }

    /// Proposes a job in the organisation's name to the organisations that its parameters name.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn propose(&self, params: &JobParams) -> Result<JobId, RequestError> {
        match self.ask(Request::Propose { params: Box::new(params.clone()) }).await? {
            Response::Proposed(job) => Ok(job),
            other => Err(unexpected(&other)),
        }
    }

    /// What a job asks of the organisation and reveals of its data.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn review(&self, job: &JobId) -> Result<Review, RequestError> {
        match self.ask(Request::Review { job: job.clone() }).await? {
            Response::Review(review) => Ok(*review),
            other => Err(unexpected(&other)),
        }
    }

    /// Accepts a job if table and key share fit it, and it is not below the node's minima; with `accept_weaker` a person
    /// consents to that. The node takes part from then on, or as soon as it runs.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn accept(&self, job: &JobId, accept_weaker: bool) -> Result<(), RequestError> {
        done(self.ask(Request::Accept { job: job.clone(), accept_weaker }).await?)
    }

    /// Declines a proposal, which ends the job. Everybody on the channel can read the reason.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn refuse(&self, job: &JobId, reason: &str) -> Result<(), RequestError> {
        done(self.ask(Request::Refuse { job: job.clone(), reason: reason.into() }).await?)
    }

    /// Ends a job without a result. Everybody on the channel can read the reason.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn abort(&self, job: &JobId, reason: &str) -> Result<(), RequestError> {
        done(self.ask(Request::Abort { job: job.clone(), reason: reason.into() }).await?)
    }

    /// All jobs on the ledger.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn jobs(&self) -> Result<Vec<JobView>, RequestError> {
        match self.ask(Request::Jobs {}).await? {
            Response::Jobs(jobs) => Ok(jobs),
            other => Err(unexpected(&other)),
        }
    }

    /// A job as the own peer knows it; waits a little for one whose proposal has not reached it yet.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn job(&self, job: &JobId) -> Result<JobView, RequestError> {
        match self.ask(Request::Job { job: job.clone() }).await? {
            Response::Job(view) => Ok(*view),
            other => Err(unexpected(&other)),
        }
    }

    /// How a job ended for which the node has nothing left to do; none while it has, or where it knows no such job.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn ended(&self, job: &JobId) -> Result<Option<Termination>, RequestError> {
        match self.ask(Request::Ended { job: job.clone() }).await? {
            Response::Ended(ending) => Ok(ending),
            other => Err(unexpected(&other)),
        }
    }

    /// What the node kept of a finished job.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn report(&self, job: &JobId) -> Result<Report, RequestError> {
        match self.ask(Request::Report { job: job.clone() }).await? {
            Response::Report(text) => Ok(Report::from_json(text.as_bytes())?),
            other => Err(unexpected(&other)),
        }
    }

    /// The keys of which the node has a share, and those on the ledger; no part of a share.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn keys(&self) -> Result<KeyList, RequestError> {
        match self.ask(Request::Keys {}).await? {
            Response::Keys(keys) => Ok(keys),
            other => Err(unexpected(&other)),
        }
    }

    /// Opens the node's secret of a key generation that ended without a key; the node takes no part in the job any more.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn open_secret(&self, job: &JobId) -> Result<Opening, RequestError> {
        match self.ask(Request::OpenSecret { job: job.clone() }).await? {
            Response::Opening(opening) => Ok(opening),
            other => Err(unexpected(&other)),
        }
    }

    /// Writes the node's database anew, without what it has forgotten.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn compact(&self) -> Result<Compacted, RequestError> {
        match self.ask(Request::Compact {}).await? {
            Response::Compacted(compacted) => Ok(compacted),
            other => Err(unexpected(&other)),
        }
    }

    /// What happens from now on, until the node stops. The first who watches a node also gets what happened since it was
    /// started, the last thousand events of it.
    ///
    /// # Errors
    /// [`RequestError::NotRunning`], or a node that is gone.
    pub async fn watch(&self) -> Result<Events, RequestError> {
        match &self.node {
            Node::Here(_, running) => Ok(Events(Source::Here(running.watchers.add()))),
            Node::There(client) => Ok(Events(Source::There(client.watch().await?))),
            Node::Directory(service) => {
                Err(RequestError::NotRunning(service.config.data_dir.display().to_string()))
            }
        }
    }

    /// Stops the node, and returns when its directory is free; jobs go on when it is started again.
    ///
    /// # Errors
    /// [`RequestError::NotRunning`], or a node that is gone.
    pub async fn shut_down(&self) -> Result<(), RequestError> {
        match &self.node {
            Node::Here(_, running) => {
                running.stop();
                // How it stopped is for those who ask for it.
                running.has_stopped().await;
                Ok(())
            }
            Node::There(client) => client.shut_down().await,
            Node::Directory(service) => {
                Err(RequestError::NotRunning(service.config.data_dir.display().to_string()))
            }
        }
    }

    /// Waits until a node of this process has stopped; of others, and where none runs, it has.
    ///
    /// # Errors
    /// Why it stopped, where nobody asked it to.
    pub async fn stopped(&self) -> Result<(), Arc<NodeError>> {
        let Node::Here(_, running) = &self.node else { return Ok(()) };
        let mut stopped = running.stopped.clone();
        let stopped = stopped.wait_for(Option::is_some).await;
        stopped.ok().and_then(|how| how.clone()).unwrap_or(Ok(()))
    }
}

fn done(response: Response) -> Result<(), RequestError> {
    match response {
        Response::Done => Ok(()),
        other => Err(unexpected(&other)),
    }
}

fn unexpected(_: &Response) -> RequestError {
    let reason = "it answers what was not asked".into();
    RequestError::Node { reason, may_pass: false, origin: Origin::Node }
}

/// What happens on a node, as it happens.
pub struct Events(Source);

enum Source {
    Here(UnboundedReceiver<Event>),
    There(Asked),
}

impl Events {
    /// The next event; none when the node has stopped. Nothing is lost when this is interrupted.
    pub async fn next(&mut self) -> Option<Event> {
        match &mut self.0 {
            Source::Here(events) => events.recv().await,
            Source::There(asked) => asked.event().await,
        }
    }
}
