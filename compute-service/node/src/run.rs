//! The node itself: follows the blocks, runs a driver for each job, and posts what the drivers make.

use crate::{
    answer::{self, AnswerError},
    config::Config,
    consent,
    deadlines::{Keeper, Quiet},
    directory::{self, Standing},
    driver::{Input, Progress},
    facts::{Fact, Located},
    ledger::{self, MembersError},
    poster::Poster,
    protected::{self, KeyFileError},
    store::{Position, Store, StoreError},
    wait::Wait,
    worker::{self, Worker},
};
use dataset::table::Overview;
use gateway_client::{Checkpoint, Contract, Network, UnderWay};
use records::{Ending, Job, JobId, KeyHash, MspId, NoMspId, Outcome};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    future::Future,
    path::{Path, PathBuf},
    sync::{Arc, mpsc as std_mpsc},
    time::Duration,
};
use tokio::{
    sync::mpsc,
    task::AbortHandle,
    time::{Instant, MissedTickBehavior},
};

/// How often the node looks for jobs on which nothing happens.
const TICK: Duration = Duration::from_millis(500);
/// How long the node waits before it answers a proposal again: first, and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(15);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Why a node stops.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The ledger cannot be reached or answers nonsense.
    #[error(transparent)]
    Gateway(#[from] gateway_client::Error),
    /// The identity's MSP identifier.
    #[error(transparent)]
    Identity(#[from] NoMspId),
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
        by: MspId,
    },
    /// The organisation's table or key share does not fit a job, which was refused or given up for that.
    Unfit {
        /// The job.
        job: JobId,
        /// Why; not for others, for it may speak of the data.
        reason: String,
    },
    /// A job could not be answered.
    Unanswered {
        /// The job.
        job: JobId,
        /// Why.
        reason: String,
        /// After so many seconds the node tries again; nothing where that cannot help before it is started again.
        retry_secs: Option<u64>,
    },
    /// A job was accepted in the organisation's name, but this node cannot take part in it.
    Lost {
        /// The job.
        job: JobId,
        /// What is known of it.
        reason: String,
    },
    /// A job is below the node's minima, and nobody consented to that: the node takes no part in it.
    Weaker {
        /// The job.
        job: JobId,
        /// What is below.
        reason: String,
    },
    /// The node cannot go on with a job; it tries again when it is started again.
    Broken {
        /// The job.
        job: JobId,
        /// Why.
        reason: String,
    },
    /// Nothing has happened on a job for a while.
    Waiting {
        /// The job.
        job: JobId,
        /// Who or what is awaited.
        wait: Wait,
    },
    /// The organisation's table was read for a job.
    Data {
        /// The job.
        job: JobId,
        /// What it holds.
        table: Overview,
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

impl Event {
    /// The job that it is about.
    pub fn job(&self) -> Option<&JobId> {
        match self {
            Self::Following { .. } => None,
            Self::Proposed { job, .. }
            | Self::Unfit { job, .. }
            | Self::Unanswered { job, .. }
            | Self::Lost { job, .. }
            | Self::Broken { job, .. }
            | Self::Weaker { job, .. }
            | Self::Waiting { job, .. }
            | Self::Progress { job, .. }
            | Self::Data { job, .. }
            | Self::Ended { job, .. } => Some(job),
        }
    }
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
    let gateway = ledger::connect(&config)?;
    let me: MspId = gateway.user().identity().msp_id().parse()?;
    let own_key = ledger::key_hash(gateway.user().identity().certificate_pem().as_bytes()).ok();
    directory::bind(&config.data_dir, me.as_str())?;
    protected::check(&config.data_dir)?;
    let store = Arc::new(open(&config)?);
    let network = gateway.network(&config.channel);
    let under_way = UnderWay::default();
    let contract = network.contract(&config.chaincode).watched(&under_way);
    // What a node has read it goes on from: skipping blocks in the middle would leave holes in its jobs.
    let next_block = match store.position()?.next_block {
        0 => config.first_block,
        read => read,
    };
    let (events, mut on_event) = mpsc::unbounded_channel();
    let (config, jobs, held) = (Arc::new(config), HashMap::new(), Held::default());
    let keeper = Keeper {
        contract: contract.clone(),
        under_way,
        data_dir: config.data_dir.clone(),
        events: events.clone(),
        until: until.job.clone(),
    };
    // Its look at quiet jobs takes as long as the peer; meanwhile the node goes on.
    let (quiet, on_quiet) = mpsc::channel(1);
    tokio::spawn(keeper.run(on_quiet));
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut node = Node { me, own_key, config, store, contract, events, jobs, held };
    watch(&Event::Following { block: next_block });
    tokio::pin!(shutdown);
    tokio::select! {
        () = &mut shutdown => return Ok(None),
        checked = node.check_ledger(&network) => checked?,
    }
    let mut blocks = network.blocks(Checkpoint::at(next_block));
    node.resume(until.job.as_ref())?;
    let mut days = tokio::time::interval(DAY);
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
                    Event::Broken { job, reason } | Event::Lost { job, reason } | Event::Weaker { job, reason }
                        if until.job.as_ref() == Some(&job) =>
                    {
                        return Err(NodeError::Broken { job, reason });
                    }
                    Event::Broken { job, .. } => {
                        if let Some(tracked) = node.jobs.get_mut(&job) {
                            tracked.state = State::Broken;
                        }
                    }
                    _ => {}
                }
            }
            block = blocks.next() => {
                let Some(block) = block else { return Ok(None) };
                node.fold(&block?)?;
            }
            _ = tick.tick() => {
                if let Ok(room) = quiet.try_reserve() {
                    room.send(node.quiet());
                }
            }
            _ = days.tick() => drop(tokio::spawn(look_at_certificates(network.clone()))),
            () = tokio::time::sleep_until(node.held.due()), if !node.held.events.is_empty() => node.release(),
        }
    }
}

/// How often certificates are looked at.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Warns of certificates that expire soon, that of the organisation's authority included.
async fn look_at_certificates(network: Network) {
    // Where the channel cannot be read now, the others are looked at all the same.
    if let Err(e) = network.config().await {
        tracing::debug!("the channel's configuration is not known: {e}");
    }
    network.gateway().warn_of_ends();
}

/// Opens a node's database, and forgets the jobs that are over: their nodes were killed before they could, or were older.
///
/// # Errors
/// A database that is in use or damaged, or the file system's error.
pub fn open(config: &Config) -> Result<Store, NodeError> {
    directory::remove_unfinished(&config.data_dir)?;
    let mut store = Store::open(&config.data_dir)?;
    for id in store.jobs()? {
        let (mut job, mut ending) = (None, None);
        for located in store.facts(&id)? {
            match located.fact {
                Fact::Proposed(proposed) => job = Some(proposed),
                Fact::Ended(ended) => ending = Some(ended),
                Fact::Accepted(_) | Fact::Posted(_) => {}
            }
        }
        if let (Some(job), Some(ending)) = (job, ending)
            && worker::is_over(config, &job, &ending)
        {
            worker::forget(config, &store, &job, &ending)?;
        }
    }
    if store.compact_if_worthwhile()? {
        tracing::info!("the database was written anew, without what was forgotten");
    }
    Ok(store)
}

/// Events about jobs of which more may be in the next blocks: a node that reads the ledger from its beginning invites to no
/// job that ended long ago.
#[derive(Default)]
struct Held {
    events: Vec<Event>,
    /// When the first was held back, and when the last block came.
    since: Option<(Instant, Instant)>,
}

impl Held {
    /// After so long without a block the ledger has been read, as far as it goes now.
    const QUIET: Duration = Duration::from_millis(500);
    /// Nobody waits longer, however much is going on.
    const LONGEST: Duration = Duration::from_secs(5);

    fn hold(&mut self, event: Event) {
        let now = Instant::now();
        self.since.get_or_insert((now, now));
        self.events.push(event);
    }

    fn saw_block(&mut self) {
        if let Some((_, last)) = &mut self.since {
            *last = Instant::now();
        }
    }

    fn due(&self) -> Instant {
        let (first, last) = self.since.unwrap_or_else(|| (Instant::now(), Instant::now()));
        (last + Self::QUIET).min(first + Self::LONGEST)
    }
}

struct Node {
    me: MspId,
    /// Of the public key with which it signs.
    own_key: Option<KeyHash>,
    config: Arc<Config>,
    store: Arc<Store>,
    contract: Contract,
    events: mpsc::UnboundedSender<Event>,
    jobs: HashMap<JobId, Tracked>,
    held: Held,
}

/// A job that the organisation is named in.
struct Tracked {
    job: Job,
    state: State,
    /// The parties that have accepted it.
    accepted: BTreeSet<u32>,
    /// When this node learned something of it last.
    last: Instant,
    has_ended: bool,
    /// The task that answers it, where the configuration says to accept it.
    answering: Option<AbortHandle>,
}

impl Tracked {
    fn new(job: Job) -> Self {
        let (state, accepted) = (State::Open(Vec::new()), BTreeSet::new());
        Self { job, state, accepted, last: Instant::now(), has_ended: false, answering: None }
    }

    fn note(&mut self, fact: &Fact) {
        self.last = Instant::now();
        match fact {
            Fact::Accepted(acceptance) => drop(self.accepted.insert(acceptance.party)),
            Fact::Ended(_) => self.has_ended = true,
            Fact::Proposed(_) | Fact::Posted(_) => {}
        }
    }
}

enum State {
    /// Not accepted by this organisation; what happened so far.
    Open(Vec<Located>),
    /// A driver runs.
    Accepted(std_mpsc::Sender<Input>, Arc<Poster>),
    /// This node cannot go on with it until it is started again.
    Broken,
    /// Accepted in the organisation's name, but this node takes no part.
    Elsewhere,
}

impl Drop for Tracked {
    fn drop(&mut self) {
        if let Some(answering) = &self.answering {
            answering.abort();
        }
        if let State::Accepted(inputs, _) = &self.state {
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
            match ending {
                // Of a key generation that came to nothing the secret is kept.
                Some(ending) if ending.outcome != Outcome::Finished => {
                    if awaited == Some(&id) {
                        let _ = self.events.send(Event::Ended { job: id, ending, report: None });
                    }
                }
                _ => {
                    for located in facts {
                        self.dispatch(located)?;
                    }
                    self.consider(&id);
                }
            }
        }
        if let Some(id) = awaited
            && let Some(ended) = self.store.ended(id)?
        {
            let path = worker::report_path(&self.config, id);
            let report = path.exists().then_some(path);
            let _ = self.events.send(Event::Ended { job: id.clone(), ending: ended.ending, report });
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
        self.held.saw_block();
        for located in facts {
            let id = located.fact.job().clone();
            let is_proposal = matches!(located.fact, Fact::Proposed(_));
            self.dispatch(located)?;
            if is_proposal {
                self.consider(&id);
            }
        }
        Ok(())
    }

    fn dispatch(&mut self, located: Located) -> Result<(), NodeError> {
        if let Fact::Proposed(job) = &located.fact {
            let proposed = Event::Proposed { job: job.id.clone(), by: job.proposer.clone() };
            match self.config.accept.contains(&job.id.to_string()) {
                true => drop(self.events.send(proposed)),
                false => self.held.hold(proposed),
            }
            self.jobs.insert(job.id.clone(), Tracked::new(job.clone()));
        }
        let Some(tracked) = self.jobs.get_mut(located.fact.job()) else { return Ok(()) };
        tracked.note(&located.fact);
        let is_broken = matches!(tracked.state, State::Broken);
        let backlog = match &mut tracked.state {
            State::Accepted(inputs, _) => {
                // A driver that has ended needs no input.
                let _ = inputs.send(Input::Fact(Box::new(located)));
                return Ok(());
            }
            State::Open(backlog) => Some(backlog),
            State::Elsewhere | State::Broken => None,
        };
        let path = worker::report_path(&self.config, &tracked.job.id);
        let report = path.exists().then_some(path);
        // The answer is on the ledger, or wanted no more: no task is to give it again.
        let is_answered = match &located.fact {
            Fact::Accepted(acceptance) => acceptance.msp_id == self.me,
            Fact::Ended(_) => true,
            Fact::Proposed(_) | Fact::Posted(_) => false,
        };
        if is_answered && let Some(answering) = tracked.answering.take() {
            answering.abort();
        }
        if let Fact::Ended(ending) = &located.fact {
            let ended =
                Event::Ended { job: tracked.job.id.clone(), ending: ending.clone(), report: report.clone() };
            let _ = self.events.send(ended);
            // No worker does. Of a job that finished without this node, the node makes the report when it is started again.
            if !is_broken || ending.outcome != Outcome::Finished {
                worker::forget(&self.config, &self.store, &tracked.job, ending)?;
            }
        }
        let Some(backlog) = backlog else { return Ok(()) };
        // What was read before a crash may be read again; a job with a report is over.
        let accepted = match &located.fact {
            Fact::Accepted(acceptance) if acceptance.msp_id == self.me && report.is_none() => {
                Some(self.own_key == Some(acceptance.key_hash))
            }
            _ => None,
        };
        backlog.push(located);
        let Some(with_own_key) = accepted else { return Ok(()) };
        let (dir, job) = (&self.config.data_dir, &tracked.job.id);
        let standing = directory::standing(dir, &self.store, job)?;
        if standing != Standing::Ours {
            tracked.state = State::Elsewhere;
            let reason = lost(dir, standing, with_own_key);
            self.held.hold(Event::Lost { job: job.clone(), reason });
            return Ok(());
        }
        let party =
            tracked.job.params.party(&self.me).expect("only jobs that name this organisation are kept");
        let unmet = consent::unmet(&self.config, &tracked.job, party)?;
        if !unmet.is_empty() {
            let reason = format!(
                "it was accepted in this organisation's name though it is below [minimum]: {}. Accept it with \
                 --accept-weaker and start the node again, or end it",
                consent::listed(&unmet)
            );
            self.held.hold(Event::Weaker { job: job.clone(), reason });
            tracked.state = State::Elsewhere;
        } else {
            let backlog = std::mem::take(backlog);
            let job = tracked.job.clone();
            let (inputs, poster) =
                Worker::start(job, &self.me, &self.config, &self.store, &self.contract, &self.events);
            for located in backlog {
                let _ = inputs.send(Input::Fact(Box::new(located)));
            }
            tracked.state = State::Accepted(inputs, poster);
        }
        Ok(())
    }

    /// The jobs on which nothing happens and about which something is to be said or done.
    fn quiet(&self) -> Vec<Quiet> {
        let quiet = |tracked: &Tracked| {
            let job = &tracked.job;
            let party = job.params.party(&self.me).filter(|_| !tracked.has_ended)?;
            let running = match &tracked.state {
                State::Accepted(inputs, poster) => Some((inputs.clone(), poster.clone())),
                State::Open(_) | State::Elsewhere | State::Broken => None,
            };
            let takes_part = running.is_some() || self.config.accept.contains(&job.id.to_string());
            Quiet::of(job, party, &tracked.accepted, takes_part, tracked.last.elapsed(), running)
        };
        self.jobs.values().filter_map(quiet).collect()
    }

    /// Tells what was held back and still holds.
    fn release(&mut self) {
        for event in std::mem::take(&mut self.held).events {
            let state = |job: &JobId| self.jobs.get(job).map(|tracked| &tracked.state);
            let holds = match &event {
                Event::Proposed { job, .. } => matches!(state(job), Some(State::Open(_))),
                Event::Lost { job, .. } | Event::Weaker { job, .. } => {
                    matches!(state(job), Some(State::Elsewhere))
                }
                _ => true,
            };
            if holds {
                let _ = self.events.send(event);
            }
        }
    }

    /// Answers a proposal that the configuration says to accept: accepts it if table and key share fit, else refuses it,
    /// so that the others need not wait.
    fn consider(&mut self, id: &JobId) {
        let Some(tracked) = self.jobs.get_mut(id) else { return };
        let Tracked { job, state: State::Open(facts), .. } = &*tracked else { return };
        let ended = facts.iter().any(|located| matches!(located.fact, Fact::Ended(_)));
        if ended || !self.config.accept.contains(&id.to_string()) {
            return;
        }
        let (job, config, contract) = (job.clone(), self.config.clone(), self.contract.clone());
        let (me, events) = (self.me.clone(), self.events.clone());
        let answering = tokio::spawn(async move {
            let mut pause = FIRST_PAUSE;
            loop {
                let Err(e) = answer(&config, &contract, &me, &job, &events).await else { return };
                let retry = e.may_pass().then_some(pause);
                let retry_secs = retry.map(|pause| pause.as_secs());
                let event = match e {
                    AnswerError::Weaker(_) => Event::Weaker { job: job.id.clone(), reason: e.to_string() },
                    e => Event::Unanswered { job: job.id.clone(), reason: e.to_string(), retry_secs },
                };
                let _ = events.send(event);
                if retry.is_none() {
                    return;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        });
        tracked.answering = Some(answering.abort_handle());
    }
}

/// Accepts a job, or refuses one that the organisation can never take part in.
async fn answer(
    config: &Arc<Config>,
    contract: &Contract,
    me: &MspId,
    job: &Job,
    events: &mpsc::UnboundedSender<Event>,
) -> Result<(), AnswerError> {
    match answer::accept(config, contract, me, job, false).await {
        Err(e @ (AnswerError::Unfit(_) | AnswerError::Members(MembersError::Strangers { .. }))) => {
            let _ = events.send(Event::Unfit { job: job.id.clone(), reason: e.to_string() });
            answer::refuse(config, contract, job).await
        }
        answered => answered,
    }
}

/// Why a node takes no part in a job that was accepted in its organisation's name.
fn lost(data_dir: &Path, standing: Standing, with_own_key: bool) -> String {
    let dir = data_dir.display();
    let why = match (standing, with_own_key) {
        (Standing::Lost, _) => format!(
            "what this node had made for it is gone from {dir}: with what it would make now it would contradict its own \
             records on the ledger"
        ),
        (_, true) => format!(
            "it was accepted with this organisation's key, but {dir} knows nothing of it: its state was lost, or another \
             node with the same key takes part"
        ),
        (_, false) => {
            return "it was accepted by another node of this organisation, with another key; this one takes no part".into();
        }
    };
    format!("{why}. Restore the directory and start the node again; where it is lost, end the job")
}
