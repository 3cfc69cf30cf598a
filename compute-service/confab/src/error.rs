//! How commands end: who is at fault, and the exit status that says so.
//!
//! Every error type of the lower crates says in one place here, by its variants, who is at fault. A text that a command
//! itself makes speaks of what the caller gave, unless [`CliError`] says otherwise.

use crypto_material::Error as MaterialError;
use dataset::{scaling::ScalingError, split::SplitError, table::TableError};
use experiment::{ExperimentError, cost::CostError};
use files::OutputError;
use gateway_client::{
    CallError, Error as GatewayError, Failure, IdentityError, Meaning, ProfileError, SubmitError,
    SubmitFailure,
};
use launcher::Error as LauncherError;
use msp::{KeyError as PrivateKeyError, passphrase::PassphraseError};
use node::{
    ConnectError, NodeError, Origin, RequestError,
    audit::{AuditError, OpenError},
    blobs::BlobError,
    config::ConfigError,
    driver::DriverError,
    instances::SharingError,
    keyring::KeyringError,
    ledger::{MembersError, QueryError},
    model::ModelError,
    protected::KeyFileError,
    store::StoreError,
    verify::VerifyError,
    wait::{Cause, Wait},
};
use paillier::ShareError;
use protocol::Fault;
use records::{ParamsError, Termination};
use shim::{EnvironmentError, ServeError};
use std::{any::Any, error::Error, fmt, io, process::ExitCode, sync::Arc, thread};
use tokio::task::JoinError;

/// Who is at fault when a command fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The caller, whose input is bad.
    Caller,
    /// A participant of a job; the text names it.
    Participant,
    /// The ledger, the disk, a port: what the command needs is not there.
    Environment,
    /// This program.
    Confab,
    /// The command was told to stop.
    Interrupt,
}

impl Blame {
    /// The exit status; `confab --help` lists them.
    pub fn status(self) -> u8 {
        match self {
            Self::Caller => 2,
            Self::Participant => 3,
            Self::Environment => 4,
            Self::Confab => 70,
            Self::Interrupt => 130,
        }
    }
}

/// What `confab --help` says of exit statuses.
pub const EXIT_STATUSES: &str = "\
Exit status:
  0    finished
  2    bad input: an option, a file, a table, a request that the ledger refuses
  3    a job was refused, aborted or expired, or a check failed; the participant is named
  4    the environment: the ledger cannot be reached, the disk is full, a port is in use, Fabric is not installed
  70   a defect of Confab
  130  interrupted";

/// Why a command failed, and who is at fault.
#[derive(Debug)]
pub struct CliError {
    blame: Blame,
    source: Box<dyn Error + Send + Sync>,
}

/// How a command ends.
pub type CliResult<T = ()> = Result<T, CliError>;

impl CliError {
    /// An error of which somebody else is to blame than its type says.
    pub fn new(blame: Blame, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { blame, source: source.into() }
    }

    /// A participant is at fault, whom the text names.
    pub fn participant(text: impl Into<String>) -> Self {
        Self::new(Blame::Participant, text.into())
    }

    /// What the command needs is not there.
    pub fn environment(text: impl Into<String>) -> Self {
        Self::new(Blame::Environment, text.into())
    }

    /// This program is at fault.
    pub fn defect(text: impl Into<String>) -> Self {
        Self::new(Blame::Confab, text.into())
    }

    /// A job that ended without a result.
    pub fn ended(ending: &Termination) -> Self {
        Self::participant(format!("the job was {ending}"))
    }

    /// The error itself.
    pub fn cause(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.source
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl<E: Blamed> From<E> for CliError {
    fn from(error: E) -> Self {
        Self { blame: error.blame(), source: Box::new(error) }
    }
}

impl From<String> for CliError {
    fn from(text: String) -> Self {
        Self::new(Blame::Caller, text)
    }
}

impl From<&str> for CliError {
    fn from(text: &str) -> Self {
        Self::new(Blame::Caller, text)
    }
}

/// The exit status of a command that came to an end, or panicked. What went wrong is shown; a panic showed itself.
pub fn exit_status(ended: thread::Result<CliResult>) -> ExitCode {
    ExitCode::from(status(&ended, |error| crate::output::error(error)))
}

fn status(ended: &Result<CliResult, Box<dyn Any + Send>>, show: impl FnOnce(&CliError)) -> u8 {
    match ended {
        Ok(Ok(())) => 0,
        Ok(Err(error)) => {
            show(error);
            error.blame.status()
        }
        Err(_) => Blame::Confab.status(),
    }
}

/// An error of a lower crate, which says who is at fault.
pub trait Blamed: Error + Send + Sync + 'static {
    /// Who is at fault.
    fn blame(&self) -> Blame;
}

/// Errors that are always the same one's fault.
macro_rules! blame {
    ($($blame:ident: $($error:ty),+;)+) => {
        $($(impl Blamed for $error {
            fn blame(&self) -> Blame {
                Blame::$blame
            }
        })+)+
    };
}

blame! {
    Caller: TableError, ScalingError, SplitError, ParamsError, ConfigError, ProfileError, IdentityError, PrivateKeyError,
        msp::Error, EnvironmentError, records::DecimalError, records::NoMspId, paillier::KeyError, std::net::AddrParseError;
    Environment: getrandom::Error;
    Confab: serde_json::Error, JoinError, fmt::Error;
}

impl Blamed for io::Error {
    fn blame(&self) -> Blame {
        of_file(self)
    }
}

impl Blamed for OutputError {
    fn blame(&self) -> Blame {
        match self {
            Self::NoFile { .. }
            | Self::Folder { .. }
            | Self::NoFolder { .. }
            | Self::Absent { .. }
            | Self::Exists { .. }
            | Self::Input { .. }
            | Self::State { .. }
            | Self::Twice { .. } => Blame::Caller,
            Self::Refused { .. } => Blame::Environment,
        }
    }
}

impl Blamed for Fault {
    fn blame(&self) -> Blame {
        match self {
            Self::Input(_) => Blame::Caller,
            Self::Participant { .. } | Self::Disagreement(_) => Blame::Participant,
        }
    }
}

impl Blamed for CallError {
    fn blame(&self) -> Blame {
        match self.failure() {
            Failure::Refused(refusal) => match refusal.meaning {
                Meaning::Final | Meaning::AlreadyThere | Meaning::Unknown => Blame::Caller,
                Meaning::NotYet | Meaning::WrongClock => Blame::Environment,
            },
            Failure::Mismatch
            | Failure::Unavailable
            | Failure::TimedOut
            | Failure::DiskFull
            | Failure::WrongClock
            | Failure::Other => Blame::Environment,
        }
    }
}

impl Blamed for GatewayError {
    fn blame(&self) -> Blame {
        match self {
            Self::Profile(e) => e.blame(),
            Self::Identity(e) => e.blame(),
            Self::Call(e) => e.blame(),
            Self::Endpoint { .. } | Self::Validity(_) | Self::Bytes { .. } => Blame::Caller,
            // The type may get more variants; those that it has are the ledger's or a signing device's.
            _ => Blame::Environment,
        }
    }
}

impl Blamed for SubmitFailure {
    fn blame(&self) -> Blame {
        match &self.error {
            SubmitError::Failed(e) => e.blame(),
            // What did not pass by itself within the time.
            _ => Blame::Environment,
        }
    }
}

impl Blamed for LauncherError {
    fn blame(&self) -> Blame {
        match self {
            Self::Absent(_) | Self::Conflict(_) | Self::UnknownProcess { .. } | Self::Description { .. } => {
                Blame::Caller
            }
            Self::Certificate(e) => e.blame(),
            Self::Material(e) => e.blame(),
            // Programs, ports, processes, files.
            _ => Blame::Environment,
        }
    }
}

impl Blamed for MaterialError {
    fn blame(&self) -> Blame {
        match self {
            Self::Io { .. } => Blame::Environment,
            _ => Blame::Caller,
        }
    }
}

impl Blamed for dev_ledger::Error {
    fn blame(&self) -> Blame {
        match self {
            Self::Config(_) | Self::Msp(_) => Blame::Caller,
            _ => Blame::Environment,
        }
    }
}

impl Blamed for ServeError {
    fn blame(&self) -> Blame {
        match self {
            Self::NoPackageId | Self::Key(_) => Blame::Caller,
            Self::Transport(_) => Blame::Environment,
        }
    }
}

impl Blamed for PassphraseError {
    fn blame(&self) -> Blame {
        match self {
            Self::None | Self::Unfit(_) | Self::Read(_) | Self::Wrong | Self::Unsupported(_) => Blame::Caller,
            Self::Randomness => Blame::Environment,
        }
    }
}

impl Blamed for ShareError {
    fn blame(&self) -> Blame {
        match self {
            Self::File { source, .. } => of_file(source),
            _ => Blame::Caller,
        }
    }
}

impl Blamed for KeyFileError {
    fn blame(&self) -> Blame {
        match self {
            Self::Key { source, .. } => source.blame(),
            Self::Passphrase { source, .. } => source.blame(),
            Self::File { source, .. } => of_file(source),
        }
    }
}

impl Blamed for KeyringError {
    fn blame(&self) -> Blame {
        match self {
            Self::Missing { .. } | Self::Ambiguous(_) | Self::Name { .. } | Self::Other { .. } => {
                Blame::Caller
            }
            Self::File { source, .. } => of_file(source),
            Self::Share(e) => e.blame(),
        }
    }
}

impl Blamed for StoreError {
    fn blame(&self) -> Blame {
        match self {
            Self::Changed(_) | Self::OtherOrganisation { .. } | Self::Opened(_) => Blame::Caller,
            Self::InUse(_)
            | Self::Damaged { .. }
            | Self::Database(_)
            | Self::File { .. }
            | Self::Corrupt(_)
            | Self::NoJob(_) => Blame::Environment,
        }
    }
}

impl Blamed for NodeError {
    fn blame(&self) -> Blame {
        match self {
            Self::Connect(e) => e.blame(),
            Self::Gateway(e) => e.blame(),
            Self::Store(e) => e.blame(),
            Self::Keys(e) => e.blame(),
            Self::OtherLedger { .. } => Blame::Caller,
            Self::Socket { .. } => Blame::Environment,
        }
    }
}

impl Blamed for Arc<NodeError> {
    fn blame(&self) -> Blame {
        (**self).blame()
    }
}

impl Blamed for ConnectError {
    fn blame(&self) -> Blame {
        match self {
            Self::Gateway(e) => e.blame(),
            Self::Identity(e) => e.blame(),
        }
    }
}

impl Blamed for RequestError {
    fn blame(&self) -> Blame {
        match self.origin() {
            Origin::Caller => Blame::Caller,
            Origin::Participant => Blame::Participant,
            Origin::Environment => Blame::Environment,
            Origin::Node => Blame::Confab,
        }
    }
}

impl Blamed for DriverError {
    fn blame(&self) -> Blame {
        match self {
            Self::Store(e) => e.blame(),
            Self::Changed | Self::OtherData => Blame::Caller,
            Self::Untold(_) => Blame::Environment,
            Self::Stopped => Blame::Interrupt,
        }
    }
}

impl Blamed for MembersError {
    fn blame(&self) -> Blame {
        match self {
            Self::Gateway(e) => e.blame(),
            Self::Strangers { .. } => Blame::Caller,
        }
    }
}

impl Blamed for QueryError {
    fn blame(&self) -> Blame {
        match self {
            Self::Gateway(e) => e.blame(),
            Self::Answer(_) => Blame::Environment,
        }
    }
}

impl Blamed for OpenError {
    fn blame(&self) -> Blame {
        match self {
            Self::Store(e) => e.blame(),
            Self::Unknown(_)
            | Self::Kind { .. }
            | Self::Running(_)
            | Self::Finished(_)
            | Self::Forgotten(_) => Blame::Caller,
        }
    }
}

impl Blamed for AuditError {
    fn blame(&self) -> Blame {
        match self {
            Self::Replay(e) => e.blame(),
            Self::Unfit(e) => e.blame(),
            Self::Alive(..) => Blame::Caller,
        }
    }
}

impl Blamed for VerifyError {
    fn blame(&self) -> Blame {
        match self {
            Self::Gateway(e) => e.blame(),
            Self::Unknown(_) => Blame::Caller,
        }
    }
}

impl Blamed for ModelError {
    fn blame(&self) -> Blame {
        match self {
            Self::Read { .. }
            | Self::Parse { .. }
            | Self::None { .. }
            | Self::Incomplete { .. }
            | Self::Rows(_) => Blame::Caller,
        }
    }
}

impl Blamed for BlobError {
    fn blame(&self) -> Blame {
        match self {
            Self::File { .. } => Blame::Environment,
            _ => Blame::Participant,
        }
    }
}

impl Blamed for SharingError {
    fn blame(&self) -> Blame {
        match self {
            Self::Input(_) | Self::NoSecret { .. } => Blame::Caller,
            Self::Ledger(e) => e.blame(),
            Self::Members(e) => e.blame(),
            Self::Submit(e) => e.blame(),
            Self::Key(e) => e.blame(),
            Self::Blob(e) => e.blame(),
            Self::Store(e) => e.blame(),
            Self::File { .. } | Self::Answer(_) => Blame::Environment,
            Self::Row { .. } => Blame::Participant,
            Self::Defect(_) => Blame::Confab,
        }
    }
}

impl Blamed for CostError {
    fn blame(&self) -> Blame {
        match self {
            Self::Gateway(e) => e.blame(),
            Self::Node(e) => e.blame(),
            Self::Store(e) => e.blame(),
            Self::Driver(e) => e.blame(),
            Self::Failed(_) => Blame::Caller,
        }
    }
}

impl Blamed for ExperimentError {
    fn blame(&self) -> Blame {
        match self {
            Self::Input(_) | Self::Unfit { .. } => Blame::Caller,
            Self::File { source, .. } => of_file(source),
            Self::System(_) | Self::LedgerGone(_) => Blame::Environment,
            Self::Network(e) => e.blame(),
            Self::Gateway(e) => e.blame(),
            Self::Propose(e) => e.blame(),
            Self::Hopeless(cause) => of_cause(cause),
            Self::Unanswered { .. } => Blame::Environment,
            Self::NodeStopped { status, .. } => of_node(*status),
            Self::NodeHangs { .. } | Self::Unfinished(_) | Self::Defect(_) => Blame::Confab,
            Self::Ended(_) => Blame::Participant,
            Self::Model(e) => e.blame(),
            Self::Verify(e) => e.blame(),
            Self::Cost(e) => e.blame(),
            Self::Protocol(e) => e.blame(),
        }
    }
}

/// Who is at fault for what is waited for.
pub fn of_wait(wait: &Wait) -> Blame {
    wait.causes.iter().map(of_cause).find(|blame| *blame == Blame::Participant).unwrap_or(Blame::Environment)
}

fn of_cause(cause: &Cause) -> Blame {
    match cause {
        Cause::Answer { .. } | Cause::Record { .. } => Blame::Participant,
        Cause::Work { .. }
        | Cause::Peer { .. }
        | Cause::Endorsers { .. }
        | Cause::Ordering { .. }
        | Cause::FullDisk { .. }
        | Cause::Disk { .. }
        | Cause::Clock { .. }
        | Cause::Process { .. }
        | Cause::Unknown => Blame::Environment,
    }
}

/// A file that is not there was named wrongly; that others cannot be read or written is the system's fault.
fn of_file(error: &io::Error) -> Blame {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists => Blame::Caller,
        _ => Blame::Environment,
    }
}

/// Who was at fault when a node of this machine ended with a status; none where a signal ended it.
fn of_node(status: Option<i32>) -> Blame {
    [Blame::Caller, Blame::Participant, Blame::Confab]
        .into_iter()
        .find(|blame| status == Some(blame.status().into()))
        .unwrap_or(Blame::Environment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic;

    fn of(ended: CliResult) -> u8 {
        status(&Ok(ended), |_| {})
    }

    #[test]
    fn statuses_say_who_is_at_fault() {
        assert_eq!(of(Ok(())), 0);
        assert_eq!(of(Err("say what".into())), 2);
        assert_eq!(of(Err(Fault::Input("a cell".into()).into())), 2);
        assert_eq!(of(Err(CliError::participant("Org2MSP refused"))), 3);
        assert_eq!(of(Err(io::Error::from(io::ErrorKind::StorageFull).into())), 4);
        assert_eq!(of(Err(ExperimentError::Defect("it differs".into()).into())), 70);
        assert_eq!(of(Err(CliError::new(Blame::Interrupt, "interrupted"))), 130);
    }

    #[test]
    fn a_panic_is_a_defect() {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(|_| {}));
        let panicked = panic::catch_unwind(|| -> CliResult { panic!("of a test") });
        panic::set_hook(hook);
        assert_eq!(status(&panicked, |_| panic!("it showed itself")), 70);
    }

    #[tokio::test]
    async fn a_task_that_panics_is_a_defect() {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(|_| {}));
        let ended = tokio::spawn(async { panic!("of a test") }).await;
        panic::set_hook(hook);
        assert_eq!(of(ended.map_err(CliError::from)), 70);
    }

    #[test]
    fn a_nodes_status_says_who_was_at_fault() {
        let blame = |status: i32| of_node(Some(status));
        assert_eq!(
            [2, 3, 4, 70].map(blame),
            [Blame::Caller, Blame::Participant, Blame::Environment, Blame::Confab]
        );
        assert_eq!([Some(101), None].map(of_node), [Blame::Environment; 2]);
    }
}
