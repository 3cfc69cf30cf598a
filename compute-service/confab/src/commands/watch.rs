//! Waits for the end of a job, and says for whom or what it waits.

use super::CliResult;
use crate::error::{CliError, of_wait};
use gateway_client::{BlockStream, Checkpoint, Contract, Failure};
use node::{
    NodeHandle, RequestError,
    facts::LedgerEvent,
    jobs::state,
    ledger,
    wait::{self, Cause, SILENCE, Wait},
};
use records::{Deadlines, JobId, JobView, Phase, Slot};
use std::time::Duration;
use tokio::time::{Instant, interval, timeout};

/// How often the own peer is asked while nothing comes from it.
const PROBE: Duration = Duration::from_secs(2);

/// Who owes what, as the ledger shows it: a line for each who is reminded.
pub async fn reminded(contract: &Contract, view: &JobView) -> CliResult<Vec<String>> {
    if view.ending.is_some() || view.acceptances.iter().any(Option::is_none) {
        return Ok(Vec::new());
    }
    let waiting = wait::waiting(contract, &view.job.id)
        .await
        .map_err(|cause| CliError::environment(cause.to_string()))?;
    let since = |slot: &Slot| {
        waiting.reminders.iter().find(|reminder| reminder.slot == *slot).map(|reminder| reminder.time)
    };
    let line = |cause: Cause| match &cause {
        Cause::Record { slot, .. } => {
            Wait { since: since(slot).unwrap_or_else(wait::now), causes: vec![cause] }.to_string()
        }
        _ => cause.to_string(),
    };
    Ok(Cause::on_ledger(view, &waiting.reminders).into_iter().map(line).collect())
}

/// Waits until a job has ended, through restarts of the own peer, and tells every change of its state.
///
/// # Errors
/// What trying again does not cure; and, when nothing happens for longer than the job's deadlines, what it waits for.
pub async fn until_the_end(
    node: &NodeHandle,
    contract: &Contract,
    job: &JobId,
    tell: impl Fn(&str),
) -> CliResult<JobView> {
    let mut away = Away::new(contract, &tell);
    // The blocks from before the first look on: nothing is missed between them.
    let height = away.again(async || Ok(contract.network().height().await?)).await?;
    let view = away.again(async || Ok(node.job(job).await?)).await?;
    tell(&state(&view));
    let is_open = view.acceptances.iter().any(Option::is_none);
    let mut watch = Watch {
        contract,
        blocks: contract.network().blocks(Checkpoint::at(height)),
        last: Instant::now(),
        since: if is_open { view.job.proposed } else { wait::now() },
        view,
        phase: None,
        said: Vec::new(),
        next_block: height,
    };
    watch.run(&mut away, &tell).await?;
    Ok(watch.view)
}

/// The own peer, which may be restarted.
struct Away<'a, T> {
    contract: &'a Contract,
    tell: &'a T,
    since: Option<Instant>,
}

impl<'a, T: Fn(&str)> Away<'a, T> {
    /// How long a peer may be gone before the job's deadlines are known.
    const LONGEST: Duration = Duration::from_secs(600);

    fn new(contract: &'a Contract, tell: &'a T) -> Self {
        Self { contract, tell, since: None }
    }

    /// Asks, again and again while the peer cannot be reached.
    async fn again<A>(&mut self, ask: impl AsyncFn() -> CliResult<A>) -> CliResult<A> {
        loop {
            match ask().await {
                Ok(answer) => {
                    self.is_back(None);
                    return Ok(answer);
                }
                Err(e) if passes(e.cause()) => {
                    self.is_away(&e.to_string());
                    if self.lasts() > Self::LONGEST {
                        return Err(e);
                    }
                    tokio::time::sleep(PROBE).await;
                }
                Err(e) => return Err(e),
            }
        }
    }

    fn is_away(&mut self, reason: &str) {
        if self.since.is_none() {
            self.since = Some(Instant::now());
            (self.tell)(&format!(
                "the own peer at {} does not answer; trying again: {reason}",
                self.address()
            ));
        }
    }

    fn is_back(&mut self, next_block: Option<u64>) {
        if let Some(since) = self.since.take() {
            let from = next_block.map(|number| format!(", going on at block {number}")).unwrap_or_default();
            let seconds = since.elapsed().as_secs();
            (self.tell)(&format!("the own peer at {} answers again after {seconds} s{from}", self.address()));
        }
    }

    fn lasts(&self) -> Duration {
        self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn address(&self) -> &str {
        self.contract.gateway().address()
    }
}

/// Whether asking again may help.
fn passes(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<RequestError>() {
        return error.may_pass();
    }
    let call = error.downcast_ref::<gateway_client::Error>().and_then(gateway_client::Error::call);
    call.is_some_and(|call| matches!(call.failure(), Failure::Unavailable | Failure::TimedOut))
}

/// A job that is watched.
struct Watch<'a> {
    contract: &'a Contract,
    blocks: BlockStream,
    view: JobView,
    /// When something happened to it last, and the same in seconds since 1970.
    last: Instant,
    since: u64,
    phase: Option<(Phase, u32)>,
    said: Vec<Cause>,
    next_block: u64,
}

impl Watch<'_> {
    async fn run(&mut self, away: &mut Away<'_, impl Fn(&str)>, tell: &impl Fn(&str)) -> CliResult {
        let mut probe = interval(PROBE);
        probe.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while self.view.ending.is_none() {
            tokio::select! {
                block = self.blocks.next() => {
                    let block = block.ok_or_else(|| CliError::environment("the peer's blocks ended"))??;
                    self.next_block = block.number + 1;
                    away.is_back(Some(block.number));
                    let facts = ledger::facts(&block, self.contract.name());
                    let job = self.view.job.id.clone();
                    for located in facts.into_iter().filter(|located| *located.fact.job() == job) {
                        self.record(located.fact, tell);
                    }
                }
                _ = probe.tick() => self.look(away, tell).await?,
            }
        }
        Ok(())
    }

    fn record(&mut self, fact: LedgerEvent, tell: &impl Fn(&str)) {
        (self.last, self.since) = (Instant::now(), wait::now());
        self.said.clear();
        let before = state(&self.view);
        match fact {
            LedgerEvent::Accepted(acceptance) => {
                if let Some(place) = self.view.acceptances.get_mut(acceptance.party as usize) {
                    *place = Some(acceptance);
                }
            }
            LedgerEvent::Ended(ending) => self.view.ending = Some(ending),
            LedgerEvent::Posted(record) => self.phase = Some((record.slot.phase, record.slot.round)),
            LedgerEvent::Proposed(_) => {}
        }
        let now = state(&self.view);
        if now != before {
            tell(&now);
        }
    }

    /// Says what the job waits for, when nothing has come for a while.
    async fn look(&mut self, away: &mut Away<'_, impl Fn(&str)>, tell: &impl Fn(&str)) -> CliResult {
        let quiet = self.last.elapsed();
        if quiet < PROBE {
            return Ok(());
        }
        let asked = timeout(Duration::from_secs(10), wait::waiting(self.contract, &self.view.job.id)).await;
        let no_answer =
            || Cause::Peer { address: away.address().into(), reason: "no answer within 10 s".into() };
        let causes = match asked.unwrap_or_else(|_| Err(no_answer())) {
            Ok(waiting) => {
                away.is_back(Some(self.next_block));
                match Cause::on_ledger(&self.view, &waiting.reminders) {
                    causes if causes.is_empty() => vec![Cause::Unknown],
                    causes => causes,
                }
            }
            Err(cause) => {
                away.is_away(&cause.to_string());
                vec![cause]
            }
        };
        if quiet >= SILENCE && !wait::same(&self.said, &causes) {
            let at =
                self.phase.map(|(phase, round)| format!(" after {phase} round {round}")).unwrap_or_default();
            let wait = Wait { since: self.since, causes: causes.clone() };
            tell(&format!("{wait}{at}"));
            self.said.clone_from(&causes);
        }
        // The nodes end the job by then, where the ledger takes that.
        let Some(deadlines) = self.view.job.params.deadlines else { return Ok(()) };
        let limit = self.limit(&deadlines);
        if quiet > limit {
            let wait = Wait { since: self.since, causes };
            return Err(CliError::new(of_wait(&wait), format!("gave up {wait}")));
        }
        Ok(())
    }

    fn limit(&self, deadlines: &Deadlines) -> Duration {
        let unanswered = self.view.acceptances.iter().any(Option::is_none);
        let limit = if unanswered { deadlines.accept } else { deadlines.step };
        Duration::from_secs(limit.into()) * 5 / 4 + Duration::from_secs(60)
    }
}
