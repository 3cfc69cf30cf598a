//! When to stop: Ctrl-C, SIGTERM, the end of the terminal, or the end of standard input.

use crate::error::{Blame, CliError, CliResult};
use std::{fs, future::Future, io::Read};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

/// Is done at Ctrl-C or SIGTERM, and when the terminal is closed, unless this process was started with `nohup`.
pub fn requested() -> impl Future<Output = ()> {
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let hangup = if hangup_is_ignored() { None } else { signal(SignalKind::hangup()).ok() };
    async move {
        let hung_up = async move {
            match hangup {
                Some(mut hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        match signals {
            (Ok(mut interrupt), Ok(mut terminate)) => tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hung_up => {}
            },
            _ => std::future::pending().await,
        }
    }
}

/// Whether whoever started this process wants it to outlive the terminal.
fn hangup_is_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // The lowest bit is that of signal 1, SIGHUP.
    ignored.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & 1 == 1))
}

/// Is done when whoever started this process has closed its standard input, or is gone.
pub async fn stdin_closed() {
    let (closed, on_closed) = oneshot::channel();
    // A thread of its own: the runtime would wait for a read that never ends.
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while matches!(std::io::stdin().read(&mut buffer), Ok(count) if count > 0) {}
        let _ = closed.send(());
    });
    let _ = on_closed.await;
}

/// What is said of a run whose nodes and ledger were started for it.
pub const STOPPED: &str = "interrupted; nodes and ledger were stopped";

/// What is said of a network whose start was interrupted.
pub const UNDONE: &str = "interrupted; what had been started was stopped";

/// Does a command's work, unless it is told to stop before: then the work is dropped, and `what` says what became of it.
pub async fn or_interrupted<T, E: Into<CliError>>(
    work: impl Future<Output = Result<T, E>>,
    what: &'static str,
) -> CliResult<T> {
    tokio::select! {
        done = work => done.map_err(Into::into),
        () = requested() => Err(CliError::new(Blame::Interrupt, what)),
    }
}
