//! Why a network could not be started, inspected or stopped.

use std::path::PathBuf;

/// Why a network could not be started, inspected or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Programs of Fabric were not found; the text says which, where it looked and how to get them.
    #[error("{0}")]
    Missing(String),
    /// The folder holds no network.
    #[error("there is no network in {}", .0.display())]
    Absent(PathBuf),
    /// The folder holds a network that was made for something else, or the request makes no sense.
    #[error("{0}")]
    Conflict(String),
    /// Ports that the network needs are not free.
    #[error("{0}")]
    Ports(String),
    /// Another command is at work on the same folder.
    #[error("another command is starting or stopping the network in {}", .0.display())]
    Busy(PathBuf),
    /// A port that the network needs belongs to somebody else.
    #[error(
        "{address}, where {process} has to listen, is in use by another program: stop that program, or \
         remove the network with its data and make it again on other ports"
    )]
    PortInUse {
        /// Host and port.
        address: String,
        /// The process that needs it.
        process: String,
    },
    /// A process ended on its own.
    #[error("{process} ended; the last lines of {}:\n{tail}", log.display())]
    Died {
        /// Its name.
        process: String,
        /// Its log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// No process of this name belongs to the network.
    #[error("the network has no process {name:?}; there are {}", known.join(", "))]
    UnknownProcess {
        /// The name.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// The process does not run.
    #[error("{0} does not run")]
    NotRunning(String),
    /// One of Fabric's commands failed.
    #[error("{what} failed: {output}")]
    Command {
        /// What it was to do.
        what: String,
        /// What it said.
        output: String,
    },
    /// Something did not become ready in time.
    #[error("{what} is not ready after {seconds} s: {reason}")]
    NotReady {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
        /// The last thing that was seen.
        reason: String,
    },
    /// Something will not become ready, however long it is waited for.
    #[error("{what} is not possible: {reason}")]
    Lasting {
        /// What was waited for.
        what: String,
        /// What stands against it.
        reason: gateway_client::Error,
    },
    /// A certificate that is to be handed on cannot be read.
    #[error(transparent)]
    Certificate(#[from] msp::Error),
    /// `network.json` cannot be used.
    #[error("{}: {reason}", path.display())]
    Description {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Certificates and keys could not be made or read.
    #[error(transparent)]
    Material(#[from] crypto_material::Error),
    /// The key of a peer for its chaincode service could not be made.
    #[error("the key of a peer for its chaincode service could not be made: {0}")]
    Link(String),
    /// A file or program could not be read, written or run.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or program.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Error {
    /// For `map_err`: an [`Error::Io`] at `path`.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
