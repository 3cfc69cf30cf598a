//! The node itself: follows the blocks, runs a driver for each job, and posts what the drivers make.

use crate::{
    answer::{self, AnswerError},
    config::Config,
    consent,
    deadlines::{Keeper, Quiet},
    directory,
    driver::Input,
    event::Event,
    facts::{LedgerEvent, Positioned},
    handle::{self, Connection, NodeError, NodeHandle, Running, Service, open_store},
    ledger::MembersError,
    poster::RecordSubmitter,
    projections, protected,
    store::{Standing, Store},
    worker::{self, Worker},
};
use gateway_client::{Checkpoint, Network, UnderWay};
use records::{Job, JobId, Outcome};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, mpsc as std_mpsc},
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
    time::{Instant, MissedTickBehavior},
};

/// How often the node looks for jobs on which nothing happens.
const TICK: Duration = Duration::from_millis(500);
/// How often certificates are looked at.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long the node waits before it answers a proposal again: first, and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(15);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// An organisation's node.
pub struct Node {
    connection: Arc<Connection>,
    config: Arc<Config>,
    store: Arc<Store>,
    events: mpsc::UnboundedSender<Event>,
    /// What the blocks say about jobs in which the organisation is named.
    read: projections::Jobs,
    jobs: HashMap<JobId, Tracked>,
    held: Held,
}

impl Node {
    /// Starts a node of this process, on the runtime that this is called on. It opens its data directory, listens on the socket
    /// there, and follows the ledger until the handle is told to shut it down or something keeps it from going on; troubles of
    /// one job end that job only.
    ///
    /// # Errors
    /// A directory that is in use or another organisation's, keys that do not open, a profile or identity that cannot be used.
    pub async fn start(config: Config) -> Result<NodeHandle, NodeError> {
        let connection = Arc::new(Connection::new(&config)?);
        directory::bind(&config.data_dir, connection.me.as_str())?;
        protected::check(&config.data_dir)?;
        let store = Arc::new(open_store(&config).await?);
        directory::remove_unfinished(&config.data_dir)?;
        worker::forget_over(&config, &store)?;
        if store.compact_if_worthwhile()? {
            tracing::info!("the database was written anew, without what was forgotten");
        }
        let socket = handle::listen(&config.data_dir).map_err(|source| NodeError::Socket {
            data_dir: config.data_dir.display().to_string(),
            source,
        })?;
        let (running, on_stop, stopped) = Running::new();
        let (config, running) = (Arc::new(config), Arc::new(running));
        let service = Arc::new(Service::running(config.clone(), connection.clone(), store.clone()));
        let (events, on_event) = mpsc::unbounded_channel();
        let read = projections::Jobs::new(connection.me.clone(), &store)?;
        let (jobs, held) = (HashMap::new(), Held::default());
        let node = Self { connection, config, store, events, read, jobs, held };
        let handle = NodeHandle::here(service.clone(), running.clone());
        tokio::spawn(handle::serve(socket, service.clone(), running.clone()));
        tokio::spawn(async move {
            let data_dir = node.config.data_dir.clone();
            let how = node.follow(on_event, on_stop, &running).await;
            // While the database is locked, the socket is this node's.
            handle::remove(&data_dir);
            service.close();
            stopped.send_replace(Some(how.map_err(Arc::new)));
            running.watchers.stop();
        });
        Ok(handle)
    }

    /// Follows the blocks until the node is to stop.
    async fn follow(
        mut self,
        mut on_event: mpsc::UnboundedReceiver<Event>,
        mut on_stop: watch::Receiver<bool>,
        running: &Running,
    ) -> Result<(), NodeError> {
        let network = self.connection.contract.network().clone();
        let under_way = UnderWay::default();
        self.connection = Arc::new(self.connection.watched(&under_way));
        // What a node has read it goes on from: skipping blocks in the middle would leave holes in its jobs.
        let next_block = match self.store.position()?.next_block {
            0 => self.config.first_block,
            read => read,
        };
        let keeper = Keeper {
            contract: self.connection.contract.clone(),
            under_way,
            data_dir: self.config.data_dir.clone(),
            events: self.events.clone(),
        };
        // Its look at quiet jobs takes as long as the peer; meanwhile the node goes on.
        let (quiet, on_quiet) = mpsc::channel(1);
        tokio::spawn(keeper.run(on_quiet));
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        running.watchers.tell(&Event::Following { block: next_block });
        tokio::select! {
            _ = on_stop.wait_for(|stop| *stop) => return Ok(()),
            checked = self.check_ledger(&network) => checked?,
        }
        let mut blocks = network.blocks(Checkpoint::at(next_block));
        self.resume()?;
        let mut days = tokio::time::interval(DAY);
        loop {
            tokio::select! {
                _ = on_stop.wait_for(|stop| *stop) => return Ok(()),
                Some(event) = on_event.recv() => {
                    running.watchers.tell(&event);
                    match event {
                        Event::Ended { job, .. } => drop(self.jobs.remove(&job)),
                        Event::Stalled { job, .. } => {
                            if let Some(tracked) = self.jobs.get_mut(&job) {
                                tracked.state = State::Stalled;
                            }
                        }
                        _ => {}
                    }
                }
                block = blocks.next() => {
                    let Some(block) = block else { return Ok(()) };
                    self.fold(&block?)?;
                }
                _ = tick.tick() => {
                    if let Ok(room) = quiet.try_reserve() {
                        room.send(self.quiet());
                    }
                }
                _ = days.tick() => drop(tokio::spawn(look_at_certificates(network.clone()))),
                () = tokio::time::sleep_until(self.held.due()), if !self.held.events.is_empty() => self.release(),
            }
        }
    }

    /// Makes sure that positions and facts in the store are of this ledger. Waits for the peer.
    async fn check_ledger(&self, network: &Network) -> Result<(), NodeError> {
        let Some(first) = network.past_blocks(Checkpoint::start()).next().await else { return Ok(()) };
        match self.store.is_known_ledger(&first?.hash)? {
            true => Ok(()),
            false => Err(NodeError::OtherLedger { data_dir: self.config.data_dir.display().to_string() }),
        }
    }

    /// Takes up the jobs that the store knows. Of those that have ended only what is left to do is done: the report of a
    /// finished job.
    fn resume(&mut self) -> Result<(), NodeError> {
        for id in self.store.jobs()? {
            // A key generation that failed has an ending, too, and its secret is kept for an audit.
            if worker::ending(&self.store, &id)?.is_some_and(|ending| ending.outcome != Outcome::Finished) {
                continue;
            }
            for located in self.store.facts(&id)? {
                self.dispatch(located)?;
            }
            self.consider(&id);
        }
        Ok(())
    }

    /// Reads a block, keeps what concerns this node, and passes it on.
    fn fold(&mut self, block: &gateway_client::Block) -> Result<(), NodeError> {
        projections::follow(&mut [&mut self.read], &self.store, block, &self.config.chaincode)?;
        self.held.saw_block();
        for located in self.read.take() {
            let id = located.fact.job().clone();
            let is_proposal = matches!(located.fact, LedgerEvent::Proposed(_));
            self.dispatch(located)?;
            if is_proposal {
                self.consider(&id);
            }
        }
        Ok(())
    }

    fn dispatch(&mut self, located: Positioned) -> Result<(), NodeError> {
        if let LedgerEvent::Proposed(job) = &located.fact {
            let proposed = Event::Proposed { job: job.id.clone(), by: job.proposer.clone() };
            match self.config.accept.contains(&job.id.to_string()) {
                true => drop(self.events.send(proposed)),
                false => self.held.hold(proposed),
            }
            self.jobs.insert(job.id.clone(), Tracked::new(job.clone()));
        }
        let Some(tracked) = self.jobs.get_mut(located.fact.job()) else { return Ok(()) };
        tracked.record(&located.fact);
        let is_broken = matches!(tracked.state, State::Stalled);
        let backlog = match &mut tracked.state {
            State::Accepted(inputs, _) => {
                // A driver that has ended needs no input.
                let _ = inputs.send(Input::LedgerEvent(Box::new(located)));
                return Ok(());
            }
            State::Open(backlog) => Some(backlog),
            State::Elsewhere | State::Stalled => None,
        };
        let path = worker::report_path(&self.config, &tracked.job.id);
        let report = path.exists().then_some(path);
        // The answer is on the ledger, or wanted no more: no task is to give it again.
        let is_answered = match &located.fact {
            LedgerEvent::Accepted(acceptance) => acceptance.msp_id == self.connection.me,
            LedgerEvent::Ended(_) => true,
            LedgerEvent::Proposed(_) | LedgerEvent::Posted(_) => false,
        };
        if is_answered && let Some(answering) = tracked.answering.take() {
            answering.abort();
        }
        if let LedgerEvent::Ended(ending) = &located.fact {
            let ended =
                Event::Ended { job: tracked.job.id.clone(), ending: ending.clone(), report: report.clone() };
            let _ = self.events.send(ended);
            // No worker does. Of a job that finished without this node, the node makes the report when it is started again.
            if !is_broken || ending.outcome != Outcome::Finished {
                worker::forget(&self.store, &tracked.job, ending)?;
            }
        }
        let Some(backlog) = backlog else { return Ok(()) };
        // What was read before a crash may be read again; a job with a report is over.
        let accepted = match &located.fact {
            LedgerEvent::Accepted(acceptance)
                if acceptance.msp_id == self.connection.me && report.is_none() =>
            {
                Some(self.connection.own_key == Some(acceptance.key_hash))
            }
            _ => None,
        };
        backlog.push(located);
        let Some(with_own_key) = accepted else { return Ok(()) };
        let (dir, job) = (&self.config.data_dir, &tracked.job.id);
        let standing = self.store.standing(job)?;
        if standing != Standing::Ours {
            tracked.state = State::Elsewhere;
            let reason = answer::lost(dir, standing, with_own_key);
            self.held.hold(Event::Lost { job: job.clone(), reason });
            return Ok(());
        }
        let party = tracked
            .job
            .params
            .party(&self.connection.me)
            .expect("only jobs that name this organisation are kept");
        let unmet = consent::unmet(&self.config, &self.store, &tracked.job, party)?;
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
            let (inputs, poster) = Worker::start(
                job,
                &self.connection.me,
                &self.config,
                &self.store,
                &self.connection.contract,
                &self.events,
            );
            for located in backlog {
                let _ = inputs.send(Input::LedgerEvent(Box::new(located)));
            }
            tracked.state = State::Accepted(inputs, poster);
        }
        Ok(())
    }

    /// The jobs on which nothing happens and about which something is to be said or done.
    fn quiet(&self) -> Vec<Quiet> {
        let quiet = |tracked: &Tracked| {
            let job = &tracked.job;
            let party = job.params.party(&self.connection.me).filter(|_| !tracked.has_ended)?;
            let running = match &tracked.state {
                State::Accepted(_, poster) => Some(poster.clone()),
                State::Open(_) | State::Elsewhere | State::Stalled => None,
            };
            let takes_part = running.is_some() || self.config.accept.contains(&job.id.to_string());
            Quiet::from_job(job, party, &tracked.accepted, takes_part, tracked.last.elapsed(), running)
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
        let ended = facts.iter().any(|located| matches!(located.fact, LedgerEvent::Ended(_)));
        if ended || !self.config.accept.contains(&id.to_string()) {
            return;
        }
        let (job, config, connection) = (job.clone(), self.config.clone(), self.connection.clone());
        let (store, events) = (self.store.clone(), self.events.clone());
        let answering = tokio::spawn(async move {
            let mut pause = FIRST_PAUSE;
            loop {
                let Err(e) = answer(&config, &store, &connection, &job, &events).await else { return };
                let retry = e.may_pass().then_some(pause);
                let retry_secs = retry.map(|pause| pause.as_secs());
                let event = match e {
                    AnswerError::Weaker(_) => Event::Weaker { job: job.id.clone(), reason: e.to_string() },
                    e => Event::AcceptFailed { job: job.id.clone(), reason: e.to_string(), retry_secs },
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

/// Warns of certificates that expire soon, that of the organisation's authority included.
async fn look_at_certificates(network: Network) {
    // Where the channel cannot be read now, the others are looked at all the same.
    if let Err(e) = network.config().await {
        tracing::debug!("the channel's configuration is not known: {e}");
    }
    network.gateway().warn_of_ends();
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

    fn record(&mut self, fact: &LedgerEvent) {
        self.last = Instant::now();
        match fact {
            LedgerEvent::Accepted(acceptance) => drop(self.accepted.insert(acceptance.party)),
            LedgerEvent::Ended(_) => self.has_ended = true,
            LedgerEvent::Proposed(_) | LedgerEvent::Posted(_) => {}
        }
    }
}

enum State {
    /// Not accepted by this organisation; what happened so far.
    Open(Vec<Positioned>),
    /// A driver runs.
    Accepted(std_mpsc::Sender<Input>, Arc<RecordSubmitter>),
    /// This node cannot go on with it until it is started again.
    Stalled,
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

/// Accepts a job, or refuses one that the organisation can never take part in.
async fn answer(
    config: &Arc<Config>,
    store: &Store,
    connection: &Connection,
    job: &Job,
    events: &mpsc::UnboundedSender<Event>,
) -> Result<(), AnswerError> {
    match answer::accept(config, store, connection, job, false).await {
        Err(e @ (AnswerError::Unfit(_) | AnswerError::Members(MembersError::Strangers { .. }))) => {
            let _ = events.send(Event::Rejected { job: job.id.clone(), reason: e.to_string() });
            answer::refuse(config, &connection.contract, job).await
        }
        answered => answered,
    }
}
