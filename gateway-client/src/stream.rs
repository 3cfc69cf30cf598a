//! Streams of what a peer tells, over one connection or over as many as it takes.

use crate::{CallError, Error, Operation};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tonic::Code;

/// Pauses between attempts to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Events in order. Dropping the stream ends it; an error is its last item, and without one it only ends where it
/// was to end.
pub struct EventStream<T> {
    items: mpsc::Receiver<Result<T, Error>>,
}

impl<T> EventStream<T> {
    /// The next event; `None` at the end that was asked for, and after an error.
    ///
    /// # Errors
    /// [`Error::Chain`] when the peer's chain is broken or is not the checkpoint's, [`Error::Call`] when the peer
    /// refuses the reader or, for a stream over one connection, when that is lost; [`Error::Signer`].
    pub async fn next(&mut self) -> Option<Result<T, Error>> {
        self.items.recv().await
    }
}

impl<T> Stream for EventStream<T> {
    type Item = Result<T, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.items.poll_recv(cx)
    }
}

impl<T: Send + 'static> EventStream<T> {
    /// Reads a source, over one connection or, where `again`, over one after the other.
    pub(crate) fn open(source: impl Source<Item = T>, again: bool) -> Self {
        let (sender, items) = mpsc::channel(source.ahead());
        tokio::spawn(run(source, again, sender));
        Self { items }
    }
}

/// Where a stream's items go.
pub(crate) type Sender<T> = mpsc::Sender<Result<T, Error>>;

/// Something that can be read over a connection, and over another one from where that ended.
pub(crate) trait Source: Send + 'static {
    type Item: Send + 'static;

    /// How many items wait for a reader that is slow.
    fn ahead(&self) -> usize;

    /// How many items were passed on so far.
    fn passed(&self) -> u64;

    /// Whether connecting again is in vain until somebody changes something.
    fn is_hopeless(&self) -> bool;

    /// Connects once and passes items on until the connection ends.
    fn session(&mut self, sender: &Sender<Self::Item>) -> impl Future<Output = End> + Send;
}

/// Why a connection ended.
pub(crate) enum End {
    /// Connecting again may help.
    Lost(Box<CallError>),
    /// What was asked for is told, or nobody listens.
    Done,
    /// Connecting again does not help.
    Failed(Error),
}

impl End {
    /// The peer said something that leaves the connection of no more use.
    pub(crate) fn lost(operation: Operation, reason: impl Into<String>) -> Self {
        Self::Lost(CallError::from_status(operation, "", tonic::Status::unavailable(reason)))
    }

    /// The connection ended with a status.
    pub(crate) fn of(operation: Operation, status: tonic::Status) -> Self {
        let error = CallError::from_status(operation, "", status);
        match error.code {
            Code::PermissionDenied | Code::Unauthenticated | Code::InvalidArgument | Code::Unimplemented => {
                Self::Failed(error.into())
            }
            _ => Self::Lost(error),
        }
    }
}

async fn run<S: Source>(mut source: S, again: bool, sender: Sender<S::Item>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let before = source.passed();
        let end = tokio::select! {
            end = source.session(&sender) => end,
            () = sender.closed() => End::Done,
        };
        let error = match end {
            End::Done => return,
            // Somebody who has read before goes on as soon as it is mended.
            End::Lost(error) if again && !(source.is_hopeless() && source.passed() == 0) => {
                // Once, not at every try.
                match pause == FIRST_PAUSE {
                    true => tracing::warn!(%error, "trying again"),
                    false => tracing::debug!(%error, "trying again"),
                }
                None
            }
            End::Lost(error) => Some(error.into()),
            End::Failed(error) => Some(error),
        };
        if let Some(error) = error {
            // Nobody may be listening any more, which is fine.
            let _ = sender.send(Err(error)).await;
            return;
        }
        pause = if source.passed() > before { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = sender.closed() => return,
        }
    }
}
