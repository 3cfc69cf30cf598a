//! The side of a node: answers what comes over its socket.

use super::{
    Running,
    endpoint::read_line,
    request::{Line, Origin, Request, RequestError},
    service::Service,
};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncWriteExt, BufReader},
    net::{
        UnixListener,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Semaphore, mpsc},
    time::timeout,
};

/// Most connections at a time.
const MAX_CONNECTIONS: usize = 32;
/// Most bytes of a request.
pub(super) const MAX_REQUEST: usize = 1 << 20;
/// How long a client may take to send a request, and to read a line.
const SLOW: Duration = Duration::from_secs(10);
/// What a request may take beside the time for which the ledger is asked again.
pub(super) const MARGIN: Duration = Duration::from_secs(120);

/// Serves until the node stops.
pub(crate) async fn serve(listener: UnixListener, service: Arc<Service>, running: Arc<Running>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = running.has_stopped() => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(e) => {
                // Too many open files, for example.
                tracing::warn!("a connection to the node's socket failed: {e}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (read, write) = stream.into_split();
        let mut client = Client { read: BufReader::new(read), write };
        let permit = room.clone().try_acquire_owned();
        let (service, running) = (service.clone(), running.clone());
        tokio::spawn(async move {
            let served = match permit {
                Ok(_permit) => client.serve(&service, &running).await,
                Err(_) => client.refuse("too many connections at a time").await,
            };
            if let Err(e) = served {
                tracing::debug!("a client of the node's socket: {e}");
            }
        });
    }
}

struct Client {
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
}

impl Client {
    async fn serve(&mut self, service: &Service, running: &Running) -> io::Result<()> {
        loop {
            let mut line = Vec::new();
            match timeout(SLOW, read_line(&mut self.read, &mut line, MAX_REQUEST)).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) | Err(_) => return Ok(()),
                Ok(Err(e)) if e.kind() == io::ErrorKind::InvalidData => {
                    return self.refuse(&e.to_string()).await;
                }
                Ok(Err(e)) => return Err(e),
            }
            let request = match serde_json::from_slice(&line) {
                Ok(request) => request,
                Err(e) => return self.refuse(&format!("no request: {e}")).await,
            };
            match request {
                Request::Watch {} => return self.watch(running).await,
                Request::ShutDown {} => {
                    running.stop();
                    // The client sees the end of the connection when the directory is free.
                    running.has_stopped().await;
                    return Ok(());
                }
                request => self.answer(request, service, running).await?,
            }
        }
    }

    async fn answer(&mut self, request: Request, service: &Service, running: &Running) -> io::Result<()> {
        let (said, mut on_wait) = mpsc::unbounded_channel();
        let say = move |wait: &_| drop(said.send(Clone::clone(wait)));
        let limit = Duration::from_secs(service.config.retry_timeout_secs) + MARGIN;
        let answer = timeout(limit, service.answer(request, &say));
        tokio::pin!(answer);
        let answered = loop {
            tokio::select! {
                answered = &mut answer => break answered,
                Some(wait) = on_wait.recv() => self.send(&Line::Wait(wait)).await?,
                () = running.has_stopped() => return self.refuse("the node stops").await,
            }
        };
        let line = match answered {
            Ok(Ok(response)) => Line::Response(response),
            Ok(Err(e)) => refused(&e),
            Err(_) => {
                let reason = format!("no answer within {} s", limit.as_secs());
                Line::Refused { reason, may_pass: true, origin: Origin::Environment }
            }
        };
        self.send(&line).await
    }

    /// Tells what happens until the node stops or the client is gone.
    async fn watch(&mut self, running: &Running) -> io::Result<()> {
        let mut events = running.watchers.add();
        loop {
            let mut more = Vec::new();
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.send(&Line::Event(Box::new(event))).await?,
                    None => return Ok(()),
                },
                // Nothing is to come from the client but its end.
                _ = read_line(&mut self.read, &mut more, 0) => return Ok(()),
            }
        }
    }

    async fn refuse(&mut self, reason: &str) -> io::Result<()> {
        self.send(&Line::Refused { reason: reason.into(), may_pass: false, origin: Origin::Environment })
            .await
    }

    async fn send(&mut self, line: &Line) -> io::Result<()> {
        let mut json = serde_json::to_vec(line)?;
        json.push(b'\n');
        timeout(SLOW, self.write.write_all(&json)).await?
    }
}

fn refused(error: &RequestError) -> Line {
    Line::Refused { reason: error.to_string(), may_pass: error.may_pass(), origin: error.origin() }
}
