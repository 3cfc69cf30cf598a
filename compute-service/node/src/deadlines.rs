//! Keeps the deadlines of the jobs that the organisation is named in, and says what they wait for.
//!
//! A job on which nothing has happened for a while is looked at again and again: who owes a record is reminded on the
//! ledger; when a deadline comes near, the node writes its clock there; when it is over, the node ends the job. What that
//! adds to the ledger is bounded: one reminder of a record, whoever writes it, and of each node a few clocks a deadline.

use crate::{
    event::Event,
    poster::{RecordSubmitter, Standing},
    wait::{self, Cause, SILENCE, Wait},
};
use gateway_client::{Call, Contract, UnderWay};
use records::{Awaited, CLOCK_STEP, Code, Deadlines, Job, JobId, MAX_CLOCK_AGE, MspId, Waiting};
use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};

/// How long a call about deadlines is tried again.
const PATIENCE: Duration = Duration::from_secs(30);
/// After so long what is waited for is said again, though it is the same.
const REPEAT: Duration = Duration::from_secs(300);
/// Seconds between two tries to remind of or to end one job, so that none keeps the node from the others.
const RETRY: u64 = 2;
/// Longest time between two looks at a job.
const LOOK: Duration = Duration::from_secs(5);

/// Whether a moment is past, or so near that clocks are written for it.
fn is_near(end: u64) -> bool {
    wait::now() + MAX_CLOCK_AGE >= end
}

/// A job on which nothing has happened for a while, as the node knows it.
pub(crate) struct Quiet {
    job: JobId,
    /// MSP identifiers of the participants.
    participants: Vec<MspId>,
    party: u32,
    deadlines: Option<Deadlines>,
    /// When the time for answers ends that are missing: seconds since 1970.
    answers_end: Option<u64>,
    /// Who has not answered.
    unanswered: Vec<Cause>,
    /// Whether the organisation has accepted, or its node is about to.
    takes_part: bool,
    /// How long nothing has happened.
    lasts: Duration,
    /// The side of the job that this node runs.
    running: Option<Arc<RecordSubmitter>>,
}

impl Quiet {
    /// The job, if there is anything to be said or done about it.
    pub(crate) fn from_job(
        job: &Job,
        party: u32,
        accepted: &BTreeSet<u32>,
        takes_part: bool,
        lasts: Duration,
        running: Option<Arc<RecordSubmitter>>,
    ) -> Option<Self> {
        let deadlines = job.params.deadlines;
        let is_answered = accepted.len() == job.params.participants.len();
        let end = deadlines.map(|deadlines| job.proposed.saturating_add(deadlines.accept.into()));
        let is_due = match is_answered {
            true => running.is_some() && lasts >= deadlines.as_ref().map_or(SILENCE, wait::grace),
            false => (takes_part && lasts >= SILENCE) || end.is_some_and(is_near),
        };
        is_due.then(|| Self {
            job: job.id.clone(),
            participants: job.params.participants.clone(),
            party,
            deadlines,
            answers_end: end.filter(|_| !is_answered),
            unanswered: wait::unanswered(&job.params, |party| accepted.contains(&party)),
            takes_part,
            lasts,
            running,
        })
    }

    /// When it is to be looked at again.
    fn next(&self) -> Duration {
        if self.answers_end.is_some_and(|end| !is_near(end)) {
            return Duration::from_secs(60);
        }
        let step = self.deadlines.map_or(60, |deadlines| deadlines.step.min(deadlines.accept));
        Duration::from_millis(u64::from(step) * 100).clamp(Duration::from_millis(500), LOOK)
    }

    /// After how long without anything it is looked at.
    fn patience(&self) -> Duration {
        self.deadlines.as_ref().map_or(SILENCE, wait::grace)
    }

    /// How long this node leaves to others what one of them is enough for: nodes wait in the order of their parties.
    fn turn(&self, wait_for: impl Fn(u32) -> bool) -> Duration {
        let before = (0..self.party).filter(|party| !wait_for(*party)).count() as u32;
        (self.patience() / 4).min(Duration::from_secs(3)) * before.min(5)
    }
}

/// What is known of a job that is looked at.
struct Looked {
    next: Instant,
    /// What was said last, and when.
    said: Option<(Vec<Cause>, Instant)>,
    /// When the own clock was first seen to be past the deadline.
    over: Option<Instant>,
    /// When reminding or ending was tried last: seconds since 1970.
    asked: u64,
    /// What kept the own submissions off the ledger, and how many had got there by then: between two tries it is still so.
    stuck: (Vec<Cause>, u64),
    /// Whether it was said that the time is over.
    overdue: bool,
}

/// Looks at quiet jobs.
pub(crate) struct Keeper {
    pub(crate) contract: Contract,
    /// The node's own submissions, those of its jobs aside.
    pub(crate) under_way: UnderWay,
    pub(crate) data_dir: PathBuf,
    pub(crate) events: mpsc::UnboundedSender<Event>,
}

impl Keeper {
    /// Looks at the jobs that come, until nobody sends any more.
    pub(crate) async fn run(self, mut quiet: mpsc::Receiver<Vec<Quiet>>) {
        let mut looked: HashMap<JobId, Looked> = HashMap::new();
        let mut acts = Acts {
            contract: self.contract.clone(),
            clock: Arc::default(),
            done: Arc::default(),
            tried: 0,
            task: None,
        };
        while let Some(jobs) = quiet.recv().await {
            looked.retain(|id, _| jobs.iter().any(|quiet| quiet.job == *id));
            for quiet in jobs {
                let now = Instant::now();
                let looked = looked.entry(quiet.job.clone()).or_insert_with(|| Looked {
                    next: now,
                    said: None,
                    over: None,
                    asked: 0,
                    stuck: (Vec::new(), 0),
                    overdue: false,
                });
                if looked.next <= now {
                    self.look(&quiet, looked, &mut acts).await;
                    looked.next = Instant::now() + quiet.next();
                }
            }
        }
    }

    async fn look(&self, quiet: &Quiet, looked: &mut Looked, acts: &mut Acts) {
        let ledger = wait::waiting(&self.contract, &quiet.job).await;
        let standing = quiet.running.as_ref().map_or(Standing::Following, |poster| poster.standing());
        let done = acts.done.load(Ordering::Relaxed);
        let causes = self.causes(quiet, &ledger, &standing, looked, done);
        // What does not pass is said at once.
        if quiet.takes_part && (quiet.lasts >= SILENCE || causes.iter().any(Cause::is_hopeless)) {
            self.say(quiet, looked, causes.clone());
        }
        let Some(deadlines) = quiet.deadlines else { return };
        if let Ok(waiting) = &ledger {
            acts.act(quiet, &deadlines, waiting, &standing, looked);
        }
        self.say_overdue(quiet, looked, &deadlines, causes, &standing);
    }

    /// Who or what a job waits for.
    fn causes(
        &self,
        quiet: &Quiet,
        ledger: &Result<Waiting, Cause>,
        standing: &Standing,
        looked: &mut Looked,
        done: u64,
    ) -> Vec<Cause> {
        let address = self.contract.gateway().address();
        let own = wait::causes(&self.under_way, address);
        let posts = quiet.running.as_ref().map(|poster| poster.causes()).unwrap_or_default();
        let mut stuck = Vec::new();
        posts.into_iter().chain(own).for_each(|cause| wait::add(&mut stuck, cause));
        match stuck.is_empty() {
            false => looked.stuck = (stuck, done),
            true if looked.stuck.1 < done => looked.stuck.0.clear(),
            true => {}
        }
        let mut causes: Vec<Cause> = wait::little_room(&self.data_dir).into_iter().collect();
        looked.stuck.0.iter().for_each(|cause| wait::add(&mut causes, cause.clone()));
        if let Err(cause) = ledger {
            wait::add(&mut causes, cause.clone());
        }
        // A node that cannot post or remind cannot tell whether others can.
        if !causes.is_empty() {
            return causes;
        }
        if !quiet.unanswered.is_empty() {
            return quiet.unanswered.clone();
        }
        match standing {
            Standing::Working(slot) => vec![Cause::Work { slot: *slot }],
            Standing::Waiting(awaited) if !awaited.is_empty() => {
                let of = |awaited: &Awaited| {
                    let member = quiet.participants.get(awaited.slot.party as usize)?.clone();
                    Some(Cause::Record { member, slot: awaited.slot })
                };
                awaited.iter().filter_map(of).collect()
            }
            Standing::Waiting(_) | Standing::Following => vec![Cause::Unknown],
        }
    }

    fn say(&self, quiet: &Quiet, looked: &mut Looked, causes: Vec<Cause>) {
        let is_new = match &looked.said {
            Some((said, at)) => {
                !wait::same(said, &causes) || (at.elapsed() > REPEAT && quiet.unanswered.is_empty())
            }
            None => true,
        };
        if !is_new {
            return;
        }
        looked.said = Some((causes.clone(), Instant::now()));
        let wait = Wait { since: wait::now().saturating_sub(quiet.lasts.as_secs()), causes };
        let _ = self.events.send(Event::Waiting { job: quiet.job.clone(), wait });
    }

    /// Says once that the time of a job is over, where the ledger cannot be told: who waits for the job need not wait longer.
    fn say_overdue(
        &self,
        quiet: &Quiet,
        looked: &mut Looked,
        deadlines: &Deadlines,
        causes: Vec<Cause>,
        standing: &Standing,
    ) {
        if looked.overdue || matches!(standing, Standing::Working(_)) {
            return;
        }
        let limit = if quiet.unanswered.is_empty() { deadlines.step } else { deadlines.accept };
        // Room for reminder, clocks and ending, where the ledger takes them.
        let limit = Duration::from_secs(limit.into());
        let clocks = Duration::from_secs(3 * CLOCK_STEP);
        let limit = limit * 5 / 4 + 2 * quiet.patience() + limit.min(SILENCE) + clocks;
        if quiet.lasts < limit {
            return;
        }
        looked.overdue = true;
        let since = wait::now().saturating_sub(quiet.lasts.as_secs());
        let reason = format!("gave up {}", Wait { since, causes });
        let _ = self.events.send(Event::Overdue { job: quiet.job.clone(), reason });
    }
}

/// What is done about deadlines; one thing at a time.
struct Acts {
    contract: Contract,
    /// What the own clock on the ledger says at least: seconds since 1970.
    clock: Arc<Mutex<u64>>,
    /// When writing the clock was tried last: seconds since 1970.
    tried: u64,
    /// How many of its submissions got onto the ledger.
    done: Arc<AtomicU64>,
    task: Option<JoinHandle<()>>,
}

impl Acts {
    fn act(
        &mut self,
        quiet: &Quiet,
        deadlines: &Deadlines,
        waiting: &Waiting,
        standing: &Standing,
        looked: &mut Looked,
    ) {
        if self.task.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let reminded =
            |slot: &records::Slot| waiting.reminders.iter().any(|reminder| reminder.slot.party == slot.party);
        let (end, limit) = match quiet.answers_end {
            Some(end) => (Some(end), deadlines.accept),
            None => {
                let first = waiting.reminders.iter().map(|reminder| reminder.time).min();
                (first.map(|time| time.saturating_add(deadlines.step.into())), deadlines.step)
            }
        };
        let now = wait::now();
        let written = *self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        // Clocks are written in the last quarter of an hour, so that no single one decides. After the end one clock is enough
        // for a while.
        let window = MAX_CLOCK_AGE.min(limit.into());
        let is_due = end.is_some_and(|end| match (now >= end, written >= end) {
            (true, false) => true,
            (true, true) => written + MAX_CLOCK_AGE / 3 <= now,
            (false, _) => now + window >= end && written + (window / 3).max(CLOCK_STEP) <= now,
        });
        if is_due && self.tried + CLOCK_STEP <= now {
            self.tried = now;
            let clock = self.clock.clone();
            return self.submit(Call::new("clock"), "the clock", move |done| {
                // The contract may have kept one that another process of this member wrote up to so long before.
                if done {
                    *clock.lock().unwrap_or_else(PoisonError::into_inner) = now - CLOCK_STEP;
                }
            });
        }
        match end {
            Some(end) if now >= end => {
                let over = *looked.over.get_or_insert_with(Instant::now);
                // A participant that could not post because the ledger was away can do so first.
                let is_silent = |party: u32| {
                    waiting.reminders.iter().any(|reminder| reminder.slot.party == party)
                        || quiet.participants.get(party as usize).is_some_and(|name| {
                            quiet.unanswered.contains(&Cause::Answer { member: name.clone() })
                        })
                };
                if over.elapsed() >= quiet.patience() / 2 + quiet.turn(is_silent)
                    && looked.asked + RETRY <= now
                {
                    looked.asked = now;
                    return self.submit(
                        Call::new("expire").arg(quiet.job.to_string()),
                        "ending the job",
                        |_| {},
                    );
                }
            }
            _ => looked.over = None,
        }
        if let Standing::Waiting(awaited) = standing
            && quiet.unanswered.is_empty()
        {
            let awaited: Vec<&Awaited> = awaited.iter().filter(|awaited| !reminded(&awaited.slot)).collect();
            let silent = |party: u32| awaited.iter().any(|awaited| awaited.slot.party == party);
            if !awaited.is_empty()
                && quiet.lasts >= quiet.patience() + quiet.turn(silent)
                && looked.asked + RETRY <= now
            {
                looked.asked = now;
                let list = serde_json::to_vec(&awaited).expect("slots are words and numbers");
                self.submit(Call::new("remind").arg(quiet.job.to_string()).arg(list), "reminding", |_| {});
            }
        }
    }

    /// Submits a call in the background. Refusals are the rule: others were first, or it is not time yet.
    fn submit(&mut self, call: Call, what: &'static str, then: impl FnOnce(bool) + Send + 'static) {
        let (submitter, count) = (self.contract.submitter(), self.done.clone());
        self.task = Some(tokio::spawn(async move {
            let done = match submitter.submit(call, PATIENCE).await {
                Ok(_) => {
                    count.fetch_add(1, Ordering::Relaxed);
                    true
                }
                Err(failure) => {
                    let usual = [Code::AlreadySame, Code::NotOverdue, Code::NotYet, Code::Ended];
                    match failure.refusal() {
                        Some(refusal) if usual.iter().any(|code| refusal.code == code.as_str()) => {
                            tracing::debug!("{what}: {failure}")
                        }
                        _ => tracing::warn!("{what}: {failure}"),
                    }
                    false
                }
            };
            then(done);
        }));
    }
}
