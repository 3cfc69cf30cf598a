//! Nodes of this machine, as child processes, for one job at a time.

use crate::{
    error::{ExperimentError, Result, file_error, input, system},
    participants::Participants,
    progress::Progress,
    runner::Runner,
};
use launcher::{Network, State};
use node::{
    Event,
    jobs::{self, keys::KeyReport},
    proposal::job_params,
};
use records::{JobParams, KeyGeneration, Kind, Outcome, Termination};
use std::{path::Path, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Child,
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};

/// How long after the first node the others may take to stop.
const STRAGGLERS: Duration = Duration::from_secs(60);
/// How long the others may take to say what they know of a job that failed.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// How long a process of the ledger may be gone: somebody may start it again.
const RESTART: Duration = Duration::from_secs(20);

impl Runner<'_> {
    /// Runs a node for every participant until the job has ended.
    ///
    /// # Errors
    /// The cause, where the job does not finish: as soon as a node gives up or dies, the ledger is gone, or something is
    /// wrong that does not pass by itself.
    pub async fn run_job(&self, participants: &Participants, params: &JobParams) -> Result {
        participants.begin_at_the_end().await?;
        let mut nodes = Nodes::start(self.program, participants, params)?;
        let mut view = ProgressView::new(params);
        self.progress.step(&view.begin);
        tokio::select! {
            proposed = participants.propose_saying(params, |wait| self.progress.step(&wait.to_string())) => proposed?,
            stopped = nodes.stopped() => return Err(stopped),
        }
        while let Some((party, event)) = nodes.next().await? {
            let participant = &params.participants[party];
            match event {
                Event::Progress { progress, .. } if party == 0 => view.show(&progress, self.progress),
                Event::Waiting { wait, .. } => {
                    if let Some(cause) = wait.causes.iter().find(|cause| cause.is_hopeless()) {
                        return Err(ExperimentError::Hopeless(cause.clone()));
                    }
                    self.progress.step(&format!("{participant}: {wait}"));
                }
                Event::AcceptFailed { reason, retry_secs: Some(seconds), .. } => self.progress.step(&format!(
                    "{participant} could not answer the proposal, and tries again in {seconds} s: {reason}"
                )),
                Event::AcceptFailed { reason, retry_secs: None, .. } => {
                    return Err(ExperimentError::Unanswered { participant: participant.clone(), reason });
                }
                _ => {}
            }
        }
        nodes.finish().await
    }

    /// Lets the participants negotiate a key; what each of them has of it.
    ///
    /// # Errors
    /// As [`Runner::run_job`].
    pub async fn negotiate(
        &self,
        participants: &Participants,
        generation: KeyGeneration,
    ) -> Result<Vec<KeyReport>> {
        let mut params = job_params(Kind::KeyGeneration(generation), participants.names()).map_err(system)?;
        params.deadlines = Some(participants.deadlines);
        params.validate().map_err(input)?;
        self.run_job(participants, &params).await?;
        participants.reports(&params.id())
    }
}

/// The nodes of a job under way.
struct Nodes<'a> {
    participants: &'a Participants,
    params: &'a JobParams,
    children: Vec<Child>,
    on_event: mpsc::UnboundedReceiver<(usize, Option<Event>)>,
    /// How the job ended, as each of them said.
    endings: Vec<Option<Termination>>,
    /// What was wrong with the input of some.
    unfit: Vec<(usize, String)>,
    /// The one that stopped before its job had ended.
    dead: Option<usize>,
    /// The ledger, where it runs on this machine.
    network: Option<Network>,
    /// Its first process that is gone, and since when.
    gone: Option<(String, Instant)>,
}

impl<'a> Nodes<'a> {
    fn start(program: &Path, participants: &'a Participants, params: &'a JobParams) -> Result<Self> {
        let (events, on_event) = mpsc::unbounded_channel();
        let mut children = Vec::new();
        for party in 0..params.participants.len() {
            let own = participants.configs[party].parent().unwrap_or(Path::new(""));
            let folder = std::path::absolute(own).map_err(file_error(own))?;
            let name = format!("node-{}", params.participants[party]);
            let command = launcher::marks::command(program, &name, &folder);
            let mut node = participants.spawn_node(command, party, &params.id())?;
            let stdout = node.stdout.take().ok_or_else(|| system("a node without standard output"))?;
            let events = events.clone();
            tokio::spawn(async move {
                let mut lines = BufReader::new(stdout).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    if let Ok(event) = serde_json::from_str::<Event>(&line) {
                        let _ = events.send((party, Some(event)));
                    }
                }
                let _ = events.send((party, None));
            });
            children.push(node);
        }
        // A profile that the launcher wrote lies in the folder of its network.
        let network =
            participants.organisations.first().and_then(|(_, profile)| Network::load(profile.parent()?).ok());
        let endings = vec![None; children.len()];
        Ok(Self {
            participants,
            params,
            children,
            on_event,
            endings,
            unfit: Vec::new(),
            dead: None,
            network,
            gone: None,
        })
    }

    /// The next event of the job; none when it has ended for a node.
    async fn next(&mut self) -> Result<Option<(usize, Event)>> {
        loop {
            if let Some(party) = self.dead {
                return Err(self.died(party).await);
            }
            let (party, event) = match timeout(Duration::from_secs(1), self.on_event.recv()).await {
                Ok(Some(event)) => event,
                Ok(None) => {
                    return Err(ExperimentError::Unfinished("the nodes stopped without a word".into()));
                }
                Err(_) => match self.ledger_is_gone() {
                    Some(reason) => return Err(ExperimentError::LedgerGone(reason)),
                    None => continue,
                },
            };
            let Some(event) = event else {
                // Noted before it is looked into, which may be interrupted.
                self.dead = Some(party);
                continue;
            };
            if event.job() != Some(&self.params.id()) {
                continue;
            }
            match event {
                Event::Ended { ending, .. } => {
                    self.endings[party] = Some(ending);
                    return Ok(None);
                }
                Event::Rejected { reason, .. } => self.unfit.push((party, reason)),
                event => return Ok(Some((party, event))),
            }
        }
    }

    /// Why a node stopped, when one does; what comes meanwhile is of no interest.
    async fn stopped(&mut self) -> ExperimentError {
        loop {
            match self.next().await {
                Err(reason) => return reason,
                Ok(Some(_)) => {}
                Ok(None) => {
                    return ExperimentError::Unfinished("it ended before it was proposed".into());
                }
            }
        }
    }

    /// Why a node stopped before its job had ended.
    async fn died(&mut self, party: usize) -> ExperimentError {
        // Its output is closed a moment before it is gone.
        let status = timeout(LAST_WORDS, self.children[party].wait()).await.ok().and_then(Result::ok);
        let log = self.participants.configs[party].with_file_name("node.log");
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        // Only the last error says why; before it there may be warnings.
        let said = text.lines().rev().find_map(|line| line.strip_prefix("error: ")).or(text.lines().last());
        let how = match (said, status) {
            (Some(said), Some(status)) if status.code().is_some() => format!("stopped: {said}"),
            (_, Some(status)) => format!("died: {status}; its log is {}", log.display()),
            (said, _) => format!("stopped: {}", said.unwrap_or("it said nothing")),
        };
        ExperimentError::NodeStopped {
            participant: self.params.participants[party].clone(),
            how,
            status: status.and_then(|status| status.code()),
        }
    }

    /// Whether a process of the ledger on this machine has been gone for too long.
    fn ledger_is_gone(&mut self) -> Option<String> {
        let network = self.network.as_ref()?;
        let is_gone = |name: &&String| network.state(name).is_ok_and(|(state, _)| state == State::Ended);
        let names = || network.processes.iter().map(|process| &process.name);
        // Chaincode services are missed by whoever needs them; of several orderers a majority is enough.
        let (orderers, others): (Vec<_>, Vec<_>) = names()
            .filter(|name| !name.starts_with("chaincode"))
            .partition(|name| name.starts_with("orderer"));
        let gone: Vec<_> = orderers.iter().copied().filter(is_gone).collect();
        let orderer = gone.first().copied().filter(|_| 2 * gone.len() >= orderers.len());
        match others.into_iter().find(is_gone).or(orderer) {
            None => self.gone = None,
            Some(name) => {
                let (known, since) = self.gone.get_or_insert_with(|| (name.clone(), Instant::now()));
                if since.elapsed() > RESTART {
                    let dir = network.dir.display();
                    return Some(format!(
                        "the ledger's process {known} has ended; `confab ledger logs --dir {dir} --process {known}` shows \
                         why"
                    ));
                }
            }
        }
        None
    }

    /// Waits for the nodes that have not stopped, for a while, and says how the job ended.
    async fn finish(mut self) -> Result {
        let is_finished = |endings: &[Option<Termination>]| {
            endings.iter().flatten().all(|ending| ending.outcome == Outcome::Finished)
        };
        let start = Instant::now();
        while self.endings.iter().any(Option::is_none) {
            // Of a job that failed the others know enough.
            let until = start + if is_finished(&self.endings) { STRAGGLERS } else { LAST_WORDS };
            match timeout_at(until, self.on_event.recv()).await {
                Ok(Some((party, Some(Event::Ended { job, ending, .. })))) if job == self.params.id() => {
                    self.endings[party] = Some(ending);
                }
                Ok(Some((party, Some(Event::Rejected { reason, .. })))) => self.unfit.push((party, reason)),
                Ok(Some((party, None))) if self.endings[party].is_none() && is_finished(&self.endings) => {
                    return Err(self.died(party).await);
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
        let failed = self.endings.iter().flatten().find(|ending| ending.outcome != Outcome::Finished);
        if let Some(ending) = failed {
            return Err(match self.unfit.first() {
                // The ledger is not told, but this is all one person's data.
                Some((party, reason)) => ExperimentError::Unfit {
                    participant: self.params.participants[*party].clone(),
                    reason: reason.clone(),
                },
                None => ExperimentError::Ended(ending.clone()),
            });
        }
        if let Some(party) = self.endings.iter().position(Option::is_none) {
            return Err(ExperimentError::NodeHangs {
                participant: self.params.participants[party].clone(),
                seconds: STRAGGLERS.as_secs(),
            });
        }
        for node in &mut self.children {
            // They stop by themselves when the job has ended.
            if timeout(Duration::from_secs(10), node.wait()).await.is_err() {
                node.kill().await.map_err(system)?;
            }
        }
        Ok(())
    }
}

/// What a person sees of a job under way.
struct ProgressView<'a> {
    kind: &'a Kind,
    begin: String,
    /// Number of all records, where it is known beforehand.
    records: Option<u64>,
    step: Option<String>,
}

impl<'a> ProgressView<'a> {
    fn new(params: &'a JobParams) -> Self {
        let (kind, begin) = (&params.kind, jobs::proposing(&params.kind));
        Self { kind, begin, records: jobs::known_records(params), step: None }
    }

    fn show(&mut self, made: &node::driver::Progress, progress: &dyn Progress) {
        if let Some(records) = self.records {
            progress.count(made.phase.as_str(), made.records, records);
        } else if let Some(step) = jobs::step(self.kind, made)
            && self.step.as_ref() != Some(&step)
        {
            progress.step(&step);
            self.step = Some(step);
        }
    }
}
