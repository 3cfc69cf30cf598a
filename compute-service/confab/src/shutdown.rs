//! When to stop: Ctrl-C, SIGTERM, or the end of standard input.

use std::{future::Future, io::Read};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

/// Is done at Ctrl-C or SIGTERM.
pub fn requested() -> impl Future<Output = ()> {
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    async move {
        match signals {
            (Ok(mut interrupt), Ok(mut terminate)) => tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            },
            _ => std::future::pending().await,
        }
    }
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
