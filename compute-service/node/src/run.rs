//! The node itself: follows the blocks, runs a driver for each job, and posts what the drivers make.

use crate::{
    answer::{self, AnswerError},
    config::Config,
    driver::{Input, Progress},
    facts::{Fact, Located},
    ledger,
    store::{Position, Store, StoreError, is_accepted},
    worker::{self, Worker},
};
use gateway_client::{Checkpoint, Contract, Network};
use records::{Ending, Job, JobId, Outcome};
use serde::{Deserialize, Serialize};
use std::{
    collections::{HashMap, HashSet},
    future::Future,
    path::PathBuf,
    sync::{Arc, mpsc as std_mpsc},
};
use tokio::sync::mpsc;

/// Why a node stops.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
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
    /// A result could not be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The job that the node was to run until its end cannot go on.
    #[error("job {job}: {reason}")]
    Broken {
        /// The job.
        job: JobId,
        /// Why.
        reason: String,
    },
}

/// What a node tells whoever watches it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// It follows the ledger.
    Following {
        /// The next block.
        block: u64,
    },
    /// A job in which the organisation is named was proposed.
    Proposed {
        /// The job.
        job: JobId,
        /// Who proposed it.
        by: String,
    },
    /// The organisation's table or key share does not fit a job, which was refused or given up for that.
    Unfit {
        /// The job.
        job: JobId,
        /// Why; not for others, for it may speak of the data.
        reason: String,
    },
    /// A job could not be answered; the node tries again when it is started again.
    Unanswered {
        /// The job.
        job: JobId,
        /// Why.
        reason: String,
    },
    /// The node cannot go on with a job; it tries again when it is started again.
    Broken {
        /// The job.
        job: JobId,
        /// Why.
        reason: String,
    },
    /// A record was folded.
    Progress {
        /// The job.
        job: JobId,
        /// How far it is.
        progress: Progress,
    },
    /// A job ended.
    Ended {
        /// The job.
        job: JobId,
        /// How.
        ending: Ending,
        /// Where the report lies, if there is one.
        report: Option<PathBuf>,
    },
}

/// How long a node runs.
#[derive(Clone, Debug, Default)]
pub struct Until {
    /// Stop when this job has ended.
    pub job: Option<JobId>,
}

/// Runs a node until `shutdown` or, where one is given, until the job has ended. Returns how that job ended.
///
/// # Errors
/// What keeps the node from following the ledger; troubles of one job end that job only.
pub async fn run(
    config: Config,
    until: Until,
    shutdown: impl Future<Output = ()>,
    mut watch: impl FnMut(&Event) + Send,
) -> Result<Option<Ending>, NodeError> {
    let store = Arc::new(Store::open(&config.data_dir)?);
    let gateway = ledger::connect(&config)?;
    let network = gateway.network(&config.channel);
    let contract = network.contract(&config.chaincode);
    let position = store.position()?;
    let (events, mut on_event) = mpsc::unbounded_channel();
    let me = gateway.user().identity().msp_id().to_string();
    let mut node = Node { me, config: Arc::new(config), store, contract, events, jobs: HashMap::new() };
    watch(&Event::Following { block: position.next_block });
    tokio::pin!(shutdown);
    tokio::select! {
        () = &mut shutdown => return Ok(None),
        checked = node.check_ledger(&network) => checked?,
    }
    let mut blocks = network.blocks(Checkpoint::at(position.next_block));
    node.resume(until.job.as_ref())?;
    loop {
        tokio::select! {
            () = &mut shutdown => return Ok(None),
            Some(event) = on_event.recv() => {
                watch(&event);
                match event {
                    Event::Ended { job, ending, .. } => {
                        node.jobs.remove(&job);
                        if until.job.as_ref() == Some(&job) {
                            return Ok(Some(ending));
                        }
                    }
                    Event::Broken { job, reason } if until.job.as_ref() == Some(&job) => {
                        return Err(NodeError::Broken { job, reason });
                    }
                    _ => {}
                }
            }
            block = blocks.next() => {
                let Some(block) = block else { return Ok(None) };
                node.fold(&block?)?;
            }
        }
    }
}

struct Node {
    me: String,
    config: Arc<Config>,
    store: Arc<Store>,
    contract: Contract,
    events: mpsc::UnboundedSender<Event>,
    jobs: HashMap<JobId, Tracked>,
}

/// A job that the organisation is named in.
struct Tracked {
    job: Job,
    state: State,
}

enum State {
    /// Not accepted by this organisation; what happened so far.
    Open(Vec<Located>),
    /// A driver runs.
    Accepted(std_mpsc::Sender<Input>),
    /// Accepted in the organisation's name, but not by this node.
    Elsewhere,
}

impl Drop for Tracked {
    fn drop(&mut self) {
        if let State::Accepted(inputs) = &self.state {
            // A driver that has ended needs no word.
            let _ = inputs.send(Input::Stop);
        }
    }
}

impl Node {
    /// Makes sure that positions and facts in the store are of this ledger. Waits for the peer.
    async fn check_ledger(&self, network: &Network) -> Result<(), NodeError> {
        let Some(first) = network.past_blocks(Checkpoint::start()).next().await else { return Ok(()) };
        match self.store.is_known_ledger(&first?.hash)? {
            true => Ok(()),
            false => Err(NodeError::OtherLedger { data_dir: self.config.data_dir.display().to_string() }),
        }
    }

    /// Takes up the jobs that the store knows. Of those that have ended only what is left to do is done: the report of
    /// a finished job, and word of the one that is waited for.
    fn resume(&mut self, awaited: Option<&JobId>) -> Result<(), NodeError> {
        for id in self.store.jobs()? {
            let facts = self.store.facts(&id)?;
            let ending = facts.iter().find_map(|located| match &located.fact {
                Fact::Ended(ending) => Some(ending.clone()),
                _ => None,
            });
            let path = worker::report_path(&self.config, &id);
            let report = path.exists().then_some(path);
            match ending {
                Some(ending) if report.is_some() || ending.outcome != Outcome::Finished => {
                    if awaited == Some(&id) {
                        let _ = self.events.send(Event::Ended { job: id, ending, report });
                    }
                }
                _ => {
                    facts.into_iter().for_each(|located| self.dispatch(located));
                    self.consider(&id);
                }
            }
        }
        Ok(())
    }

    /// Reads a block, keeps what concerns this node, and passes it on.
    fn fold(&mut self, block: &gateway_client::Block) -> Result<(), NodeError> {
        let mut facts = ledger::facts(block, &self.config.chaincode);
        let mut proposed = HashSet::new();
        facts.retain(|located| match &located.fact {
            Fact::Proposed(job) => {
                let takes_part = job.params.party(&self.me).is_some();
                if takes_part {
                    proposed.insert(job.id.clone());
                }
                takes_part
            }
            other => self.jobs.contains_key(other.job()) || proposed.contains(other.job()),
        });
        self.store.append(&facts, Position { next_block: block.number + 1 })?;
        for located in facts {
            let id = located.fact.job().clone();
            let is_proposal = matches!(located.fact, Fact::Proposed(_));
            self.dispatch(located);
            if is_proposal {
                self.consider(&id);
            }
        }
        Ok(())
    }

    fn dispatch(&mut self, located: Located) {
        if let Fact::Proposed(job) = &located.fact {
            let _ = self.events.send(Event::Proposed { job: job.id.clone(), by: job.proposer.clone() });
            self.jobs.insert(job.id.clone(), Tracked { job: job.clone(), state: State::Open(Vec::new()) });
        }
        let Some(tracked) = self.jobs.get_mut(located.fact.job()) else { return };
        let backlog = match &mut tracked.state {
            State::Accepted(inputs) => {
                // A driver that has ended needs no input.
                let _ = inputs.send(Input::Fact(Box::new(located)));
                return;
            }
            State::Open(backlog) => Some(backlog),
            State::Elsewhere => None,
        };
        let path = worker::report_path(&self.config, &tracked.job.id);
        let report = path.exists().then_some(path);
        if let Fact::Ended(ending) = &located.fact {
            let ended =
                Event::Ended { job: tracked.job.id.clone(), ending: ending.clone(), report: report.clone() };
            let _ = self.events.send(ended);
        }
        let Some(backlog) = backlog else { return };
        // What was read before a crash may be read again; a job with a report is over.
        let accepted = report.is_none()
            && matches!(&located.fact, Fact::Accepted(acceptance) if acceptance.msp_id == self.me);
        backlog.push(located);
        if accepted && !is_accepted(&self.config.data_dir, &tracked.job.id) {
            tracing::info!(job = ?tracked.job.id, "accepted by another node of this organisation");
            tracked.state = State::Elsewhere;
        } else if accepted {
            let backlog = std::mem::take(backlog);
            let job = tracked.job.clone();
            let inputs =
                Worker::start(job, &self.me, &self.config, &self.store, &self.contract, &self.events);
            for located in backlog {
                let _ = inputs.send(Input::Fact(Box::new(located)));
            }
            tracked.state = State::Accepted(inputs);
        }
    }

    /// Answers a proposal that the configuration says to accept: accepts it if table and key share fit, else refuses it,
    /// so that the others need not wait.
    fn consider(&self, id: &JobId) {
        let Some(Tracked { job, state: State::Open(facts) }) = self.jobs.get(id) else { return };
        let ended = facts.iter().any(|located| matches!(located.fact, Fact::Ended(_)));
        if ended || !self.config.accept.contains(&id.0) {
            return;
        }
        let (job, config, contract) = (job.clone(), self.config.clone(), self.contract.clone());
        let (me, events) = (self.me.clone(), self.events.clone());
        tokio::spawn(async move {
            let mut answered = answer::accept(&config, &contract, &me, &job).await;
            if let Err(AnswerError::Unfit(fault)) = answered {
                let _ = events.send(Event::Unfit { job: job.id.clone(), reason: fault.to_string() });
                answered = answer::refuse(&config, &contract, &job).await;
            }
            if let Err(e) = answered {
                let _ = events.send(Event::Unanswered { job: job.id, reason: e.to_string() });
            }
        });
    }
}
