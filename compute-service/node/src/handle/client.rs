//! The side of a command: asks the node that runs, over its socket.

use super::{
    endpoint::{self, read_line},
    request::{Line, Request, RequestError, Response},
    server::MARGIN,
    service::Say,
};
use crate::{config::Config, event::Event};
use std::{io, path::PathBuf, time::Duration};
use tokio::{
    io::{AsyncWriteExt, BufReader},
    net::UnixStream,
    time::timeout,
};

/// Most bytes of an answer: a list of all jobs, or a report with its model.
const MAX_ANSWER: usize = 256 << 20;

/// A node that runs in another process.
pub(super) struct Client {
    data_dir: PathBuf,
    /// Longest wait for an answer.
    limit: Duration,
}

/// A connection on which something was asked.
pub(super) struct Asked {
    stream: BufReader<UnixStream>,
    line: Vec<u8>,
    data_dir: PathBuf,
}

impl Client {
    /// The node that runs in a configuration's data directory; none where none does.
    pub(super) async fn find(config: &Config) -> Result<Option<Self>, RequestError> {
        let limit = Duration::from_secs(config.retry_timeout_secs) + 2 * MARGIN;
        let client = Self { data_dir: config.data_dir.clone(), limit };
        let found = endpoint::connect(&config.data_dir).await;
        Ok(found.map_err(|e| client.failed(&e))?.map(|_| client))
    }

    fn failed(&self, e: &io::Error) -> RequestError {
        let data_dir = self.data_dir.display().to_string();
        RequestError::Connection { data_dir, reason: e.to_string() }
    }

    async fn send(&self, request: &Request) -> Result<Asked, RequestError> {
        let connected = endpoint::connect(&self.data_dir).await.map_err(|e| self.failed(&e))?;
        let mut stream =
            connected.ok_or_else(|| RequestError::NotRunning(self.data_dir.display().to_string()))?;
        let mut json = serde_json::to_vec(request).expect("a request consists of strings and numbers");
        json.push(b'\n');
        // What was refused before all was read is said in the answer.
        let _ = stream.write_all(&json).await;
        Ok(Asked { stream: BufReader::new(stream), line: Vec::new(), data_dir: self.data_dir.clone() })
    }

    pub(super) async fn ask(&self, request: &Request, say: Say<'_>) -> Result<Response, RequestError> {
        let mut asked = self.send(request).await?;
        let answered = timeout(self.limit, async {
            loop {
                match asked.line().await? {
                    Some(Line::Wait(wait)) => say(&wait),
                    Some(Line::Response(response)) => return Ok(response),
                    Some(Line::Refused { reason, may_pass, origin }) => {
                        return Err(RequestError::Node { reason, may_pass, origin });
                    }
                    Some(Line::Event(_)) => return Err(asked.failed("it answers what was not asked")),
                    None => return Err(asked.failed("it stopped before it answered")),
                }
            }
        });
        answered.await.unwrap_or_else(|_| {
            let e = format!("no answer within {} s", self.limit.as_secs());
            Err(self.failed(&io::Error::other(e)))
        })
    }

    pub(super) async fn watch(&self) -> Result<Asked, RequestError> {
        self.send(&Request::Watch {}).await
    }

    /// Returns when the node has stopped.
    pub(super) async fn shut_down(&self) -> Result<(), RequestError> {
        let mut asked = self.send(&Request::ShutDown {}).await?;
        match asked.line().await? {
            None => Ok(()),
            Some(Line::Refused { reason, may_pass, origin }) => {
                Err(RequestError::Node { reason, may_pass, origin })
            }
            Some(_) => Err(asked.failed("it answers what was not asked")),
        }
    }
}

impl Asked {
    fn failed(&self, reason: impl ToString) -> RequestError {
        let data_dir = self.data_dir.display().to_string();
        RequestError::Connection { data_dir, reason: reason.to_string() }
    }

    /// The next line; none at the end. What came of a line is kept when this is interrupted.
    async fn line(&mut self) -> Result<Option<Line>, RequestError> {
        let is_whole = match read_line(&mut self.stream, &mut self.line, MAX_ANSWER).await {
            Ok(is_whole) => is_whole,
            // It closed the connection while something was on its way to it.
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => false,
            Err(e) => return Err(self.failed(e)),
        };
        if !is_whole {
            return Ok(None);
        }
        let line = std::mem::take(&mut self.line);
        Ok(Some(serde_json::from_slice(&line).map_err(|e| self.failed(e))?))
    }

    pub(super) async fn event(&mut self) -> Option<Event> {
        match self.line().await {
            Ok(Some(Line::Event(event))) => Some(*event),
            Ok(None) => None,
            Ok(Some(_)) => {
                tracing::warn!("{}", self.failed("it answers what was not asked"));
                None
            }
            Err(e) => {
                tracing::warn!("{e}");
                None
            }
        }
    }
}
