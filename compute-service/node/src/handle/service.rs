//! Does what is asked of a node: for the node that runs, and for a command where none runs.

use super::{
    endpoint,
    request::{Compacted, KeyList, Origin, Request, RequestError, Response},
};
use crate::{
    answer, audit,
    config::Config,
    consent::{self, Review},
    jobs::ReportError,
    keyring::{KeySummary, Keyring, own_entry},
    ledger,
    store::{Store, StoreError},
    wait::{self, Wait},
    worker,
};
use gateway_client::{Call, Contract, UnderWay};
use protocol::Fault;
use records::{Code, JobId, JobParams, JobView, KeyEntry, KeyHash, MspId, NoMspId, Outcome, Termination};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{sync::OnceCell, time::Instant};

/// How long what a person asks for is tried again.
const RETRY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a command waits for another one that has the database open.
const BUSY: Duration = Duration::from_secs(3);
/// How long a job is asked for whose proposal may not have reached the own peer yet.
const LAG: Duration = Duration::from_secs(3);

/// Who is told what a request waits for.
pub(crate) type Say<'a> = &'a (dyn Fn(&Wait) + Send + Sync);

/// Why the ledger cannot be asked in the organisation's name.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A profile, certificate or key that cannot be used.
    #[error(transparent)]
    Gateway(#[from] gateway_client::Error),
    /// The identity's MSP identifier.
    #[error(transparent)]
    Identity(#[from] NoMspId),
}

/// The job contract in the organisation's name.
pub(crate) struct Connection {
    pub(crate) contract: Contract,
    /// MSP identifier of the organisation.
    pub(crate) me: MspId,
    /// Of the public key with which it signs.
    pub(crate) own_key: Option<KeyHash>,
}

impl Connection {
    pub(crate) fn new(config: &Config) -> Result<Self, ConnectError> {
        let gateway = ledger::connect(config)?;
        let identity = gateway.user().identity();
        let me = identity.msp_id().parse()?;
        let own_key = ledger::key_hash(identity.certificate_pem().as_bytes()).ok();
        let contract = gateway.network(&config.channel).contract(&config.chaincode);
        Ok(Self { contract, me, own_key })
    }

    /// The same, whose submissions are seen.
    pub(crate) fn watched(&self, under_way: &UnderWay) -> Self {
        let (me, own_key) = (self.me.clone(), self.own_key);
        Self { contract: self.contract.clone().watched(under_way), me, own_key }
    }
}

/// Opens a node's database. Where another command has it open, waits a moment; where a node runs, does not.
pub(crate) async fn open_store(config: &Config) -> Result<Store, StoreError> {
    let start = Instant::now();
    loop {
        match Store::open(&config.data_dir) {
            Err(StoreError::InUse(_)) if start.elapsed() < BUSY && !endpoint::is_served(&config.data_dir) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            opened => return opened,
        }
    }
}

/// A node's directory and ledger. What a request does not need is not opened.
pub(crate) struct Service {
    pub(crate) config: Arc<Config>,
    connection: OnceLock<Arc<Connection>>,
    store: OnceCell<Arc<Store>>,
}

impl Service {
    pub(crate) fn new(config: Config) -> Self {
        Self { config: Arc::new(config), connection: OnceLock::new(), store: OnceCell::new() }
    }

    /// That of a node that runs.
    pub(crate) fn running(config: Arc<Config>, connection: Arc<Connection>, store: Arc<Store>) -> Self {
        Self { config, connection: connection.into(), store: OnceCell::new_with(Some(store)) }
    }

    fn connection(&self) -> Result<&Connection, ConnectError> {
        match self.connection.get() {
            Some(connection) => Ok(connection),
            None => {
                let connection = Arc::new(Connection::new(&self.config)?);
                Ok(self.connection.get_or_init(|| connection))
            }
        }
    }

    async fn store(&self) -> Result<&Arc<Store>, StoreError> {
        self.store.get_or_try_init(|| async { open_store(&self.config).await.map(Arc::new) }).await
    }

    /// Closes the database.
    pub(crate) fn close(&self) {
        if let Some(store) = self.store.get() {
            store.close();
        }
    }

    pub(crate) async fn answer(&self, request: Request, say: Say<'_>) -> Result<Response, RequestError> {
        Ok(match request {
            Request::Propose { params } => Response::Proposed(self.propose(&params, say).await?),
            Request::Review { job } => Response::Review(Box::new(self.review(&job).await?)),
            Request::Accept { job, accept_weaker } => {
                let job = self.view(&job).await?.job;
                let store = self.store().await?;
                answer::accept(&self.config, store, self.connection()?, &job, accept_weaker).await?;
                Response::Done
            }
            Request::Refuse { job, reason } => {
                self.submit(Call::new("refuse").arg(job.to_string()).arg(reason), say).await?
            }
            Request::Abort { job, reason } => {
                self.submit(Call::new("abort").arg(job.to_string()).arg(reason), say).await?
            }
            Request::Jobs {} => {
                Response::Jobs(ledger::list(&self.connection()?.contract, Call::new("jobs")).await?)
            }
            Request::Job { job } => Response::Job(Box::new(self.view(&job).await?)),
            Request::Ended { job } => Response::Ended(self.ended(&job).await?),
            Request::Report { job } => Response::Report(self.report(&job).await?),
            Request::Keys {} => Response::Keys(self.keys().await?),
            Request::OpenSecret { job } => {
                let me = &self.connection()?.me;
                Response::Opening(audit::open(self.store().await?, me, &job)?)
            }
            Request::Compact {} => Response::Compacted(self.compact().await?),
            Request::Watch {} | Request::ShutDown {} => {
                return Err(RequestError::NotRunning(self.config.data_dir.display().to_string()));
            }
        })
    }

    /// Whom a job names has to be a member of the channel.
    async fn propose(&self, params: &JobParams, say: Say<'_>) -> Result<JobId, RequestError> {
        let contract = &self.connection()?.contract;
        ledger::check_members(contract.network(), &params.participants).await?;
        let json = serde_json::to_vec(params).expect("parameters hold only strings, integers and arrays");
        self.submit(Call::new("propose").arg(json), say).await?;
        Ok(params.id())
    }

    async fn submit(&self, call: Call, say: Say<'_>) -> Result<Response, RequestError> {
        wait::submit(&self.connection()?.contract, call, RETRY_TIMEOUT, say).await?;
        Ok(Response::Done)
    }

    /// A job as the own peer knows it.
    async fn view(&self, job: &JobId) -> Result<JobView, RequestError> {
        let contract = &self.connection()?.contract;
        let start = Instant::now();
        loop {
            match ledger::view(contract, job).await {
                Err(e) if e.has_code(Code::UnknownJob) && start.elapsed() < LAG => {
                    tokio::time::sleep(Duration::from_millis(250)).await;
                }
                view => return Ok(view?),
            }
        }
    }

    async fn review(&self, job: &JobId) -> Result<Review, RequestError> {
        let job = self.view(job).await?.job;
        let me = &self.connection()?.me;
        let party = job.params.party(me).ok_or_else(|| {
            let fault = Fault::Input(format!("{me} is no participant of job {}", job.id));
            answer::AnswerError::from(fault)
        })?;
        Ok(consent::review(&self.config, &job, party))
    }

    /// How a job ended for which the node has nothing left to do.
    async fn ended(&self, job: &JobId) -> Result<Option<Termination>, RequestError> {
        let store = self.store().await?;
        if let Some(ended) = store.ended(job)? {
            return Ok(Some(ended.ending));
        }
        // A key generation that failed has an ending, too, and its secret is kept for an audit.
        Ok(worker::ending(store, job)?.filter(|ending| ending.outcome != Outcome::Finished))
    }

    async fn report(&self, job: &JobId) -> Result<String, RequestError> {
        let path = worker::report_path(&self.config, job);
        match tokio::fs::read_to_string(&path).await {
            Ok(text) => Ok(text),
            Err(source) => {
                let path = path.display().to_string();
                // Why there is none: the ledger knows.
                Err(ReportError::Missing { path, source, view: Box::new(self.view(job).await?) }.into())
            }
        }
    }

    async fn keys(&self) -> Result<KeyList, RequestError> {
        let Connection { contract, me, .. } = self.connection()?;
        let shares = Keyring::open(&self.config).list()?;
        let (entries, ledger): (Vec<KeyEntry>, _) = match ledger::list(contract, Call::new("keys")).await {
            Ok(entries) => (entries, None),
            Err(e) => (Vec::new(), Some(e.to_string())),
        };
        let own = shares.iter().map(|share| KeySummary::of_share(share, own_entry(&entries, share, me)));
        let mut keys: Vec<KeySummary> = own.collect();
        let is_own = |entry: &&KeyEntry| keys.iter().any(|known| known.entry.as_ref() == Some(*entry));
        let others: Vec<KeySummary> =
            entries.iter().filter(|entry| !is_own(entry)).cloned().map(KeySummary::of_entry).collect();
        keys.extend(others);
        Ok(KeyList { keys, ledger })
    }

    async fn compact(&self) -> Result<Compacted, RequestError> {
        let store = self.store().await?.clone();
        let config = self.config.clone();
        let compacted = tokio::task::spawn_blocking(move || {
            worker::forget_over(&config, &store)?;
            let (before, _) = store.usage()?;
            store.compact()?;
            let (after, stored) = store.usage()?;
            Ok::<_, StoreError>(Compacted { before, after, stored })
        });
        Ok(compacted.await.map_err(|e| RequestError::Node {
            reason: e.to_string(),
            may_pass: false,
            origin: Origin::Node,
        })??)
    }
}
