//! What a node tells those who watch it.

use crate::{driver::Progress, wait::Wait};
use dataset::table::Overview;
use records::{JobId, MspId, Termination};
use serde::{Deserialize, Serialize};
use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

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
    Rejected {
        /// The job.
        job: JobId,
        /// Why; not for others, for it may speak of the data.
        reason: String,
    },
    /// A job could not be answered.
    AcceptFailed {
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
    Stalled {
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
    /// The time that was agreed for a job is over, and the ledger cannot be told so.
    Overdue {
        /// The job.
        job: JobId,
        /// What it waits for.
        reason: String,
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
        ending: Termination,
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
            | Self::Rejected { job, .. }
            | Self::AcceptFailed { job, .. }
            | Self::Lost { job, .. }
            | Self::Stalled { job, .. }
            | Self::Weaker { job, .. }
            | Self::Waiting { job, .. }
            | Self::Overdue { job, .. }
            | Self::Progress { job, .. }
            | Self::Data { job, .. }
            | Self::Ended { job, .. } => Some(job),
        }
    }
}

/// Those who watch a node.
pub(crate) struct Watchers(Mutex<State>);

struct State {
    senders: Vec<UnboundedSender<Event>>,
    /// What happened before anybody watched.
    early: VecDeque<Event>,
    /// Whether anybody watched.
    is_watched: bool,
    has_stopped: bool,
}

impl Watchers {
    /// So many early events are kept.
    const EARLY: usize = 1000;

    pub(crate) fn new() -> Self {
        let (senders, early) = (Vec::new(), VecDeque::new());
        Self(Mutex::new(State { senders, early, is_watched: false, has_stopped: false }))
    }

    /// Events from now on, until the node stops; the first who watches also gets the last thousand before.
    pub(crate) fn add(&self) -> UnboundedReceiver<Event> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (sender, receiver) = mpsc::unbounded_channel();
        state.is_watched = true;
        for event in std::mem::take(&mut state.early) {
            let _ = sender.send(event);
        }
        if !state.has_stopped {
            state.senders.push(sender);
        }
        receiver
    }

    pub(crate) fn tell(&self, event: &Event) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.is_watched {
            if state.early.len() == Self::EARLY {
                state.early.pop_front();
            }
            state.early.push_back(event.clone());
        }
        state.senders.retain(|sender| sender.send(event.clone()).is_ok());
    }

    /// Ends all streams of events.
    pub(crate) fn stop(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.has_stopped = true;
        state.senders.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(event: &Event) -> u64 {
        let Event::Following { block } = event else { panic!("{event:?}") };
        *block
    }

    #[test]
    fn the_first_watcher_misses_nothing() {
        let watchers = Watchers::new();
        for block in 0..1002 {
            watchers.tell(&Event::Following { block });
        }
        let (mut first, mut second) = (watchers.add(), watchers.add());
        watchers.tell(&Event::Following { block: 5000 });
        watchers.stop();
        let mut seen = Vec::new();
        while let Some(event) = first.blocking_recv() {
            seen.push(block(&event));
        }
        assert_eq!((seen.len(), seen[0], seen[1000]), (1001, 2, 5000));
        assert_eq!(second.blocking_recv().as_ref().map(block), Some(5000));
        assert!(second.blocking_recv().is_none() && watchers.add().blocking_recv().is_none());
    }
}
