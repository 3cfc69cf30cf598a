//! What can go wrong, with the transaction's id and Fabric's own codes.

use crate::refusal::{Meaning, Refusal, RefusalRules};
use crate::{BlockDefect, ConnectionFault, IdentityError, ProfileError, SignerError};
use fabric_protos::gateway::ErrorDetail;
use fabric_protos::google::rpc;
use fabric_protos::peer::TxValidationCode;
use fabric_protos::prost::Message;
use std::error::Error as _;
use std::fmt;
use std::time::Duration;

/// Foreign text that is kept in an error is cut to this many bytes.
const MAX_TEXT: usize = 4096;
/// The most endpoints whose details are kept.
const MAX_DETAILS: usize = 64;

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The connection profile cannot be used.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The identity or its key cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The endpoint's address or TLS certificate cannot be used.
    #[error("cannot use the peer's endpoint {address}: {reason}")]
    Endpoint {
        /// The address as given.
        address: String,
        /// What is wrong with it or its certificate.
        reason: String,
    },
    /// An own certificate has expired, or is not valid yet; the text names it with its file and the date.
    #[error("{0}")]
    Validity(String),
    /// The signer failed.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// A call failed or was refused.
    #[error(transparent)]
    Call(#[from] Box<CallError>),
    /// The transaction is in a block, but was found invalid.
    #[error("transaction {transaction_id} is in block {block_number} but invalid: {}{}", code.as_str_name(), invalid_advice(*code))]
    Invalid {
        /// The transaction.
        transaction_id: String,
        /// Fabric's verdict.
        code: TxValidationCode,
        /// The block that holds it.
        block_number: u64,
    },
    /// The peer's answer is not what the protocol says, or not what was asked.
    #[error("the peer's answer to {operation} of transaction {transaction_id} is not usable: {reason}")]
    Answer {
        /// The call.
        operation: Operation,
        /// The transaction, or empty.
        transaction_id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Bytes that somebody kept or sent are not what they should be.
    #[error("not a {what} that can be taken up: {reason}")]
    Bytes {
        /// What they should be.
        what: &'static str,
        /// What is wrong with them.
        reason: String,
    },
    /// The channel's configuration cannot be read from its blocks.
    #[error("block {block} of channel {channel} holds no configuration that can be read")]
    Configuration {
        /// The channel.
        channel: String,
        /// The block in which it should be.
        block: u64,
    },
    /// A block does not follow from its predecessor or contradicts itself; the peer or its disk is at fault.
    #[error("the chain from this peer is broken: {0}; compare with another organisation's peer")]
    Chain(#[from] BlockDefect),
}

impl Error {
    /// The failed call, if it was one.
    pub fn call(&self) -> Option<&CallError> {
        match self {
            Self::Call(call) => Some(call),
            _ => None,
        }
    }

    /// Whether it lasts until somebody changes something here or at the peer: certificates, addresses, profiles.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Profile(_) | Self::Identity(_) | Self::Endpoint { .. } | Self::Validity(_) => true,
            Self::Call(call) => call.fault.is_some(),
            _ => false,
        }
    }

    /// The contract's refusal, if it was one that the application's rules know ([`RefusalRules`]).
    pub fn refusal(&self) -> Option<&Refusal> {
        self.call()?.refusal.as_ref()
    }
}

fn invalid_advice(code: TxValidationCode) -> &'static str {
    use TxValidationCode::*;
    match code {
        MvccReadConflict | PhantomReadConflict => "; another transaction came first: endorse anew",
        EndorsementPolicyFailure => "; too few organisations endorsed it: check the endorsement policy",
        BadCreatorSignature => "; the signature is not the certificate's",
        _ => "",
    }
}

/// The calls of this client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Ask one peer for a result.
    Evaluate,
    /// Collect endorsements.
    Endorse,
    /// Hand over to the orderers.
    Submit,
    /// Wait for the verdict.
    CommitStatus,
    /// Follow the blocks.
    Blocks,
    /// Follow the chaincode events.
    Events,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Evaluate => "evaluate",
            Self::Endorse => "endorse",
            Self::Submit => "submit",
            Self::CommitStatus => "commit status",
            Self::Blocks => "blocks",
            Self::Events => "events",
        })
    }
}

/// What one endpoint said about a failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerDetail {
    /// Host and port.
    pub address: String,
    /// The organisation that runs it.
    pub msp_id: String,
    /// What it said.
    pub message: String,
}

/// A call that failed.
#[derive(Clone, Debug)]
pub struct CallError {
    /// The call.
    pub operation: Operation,
    /// The transaction; empty for streams.
    pub transaction_id: String,
    /// The gRPC code.
    pub code: tonic::Code,
    /// The gateway's message.
    pub message: String,
    /// What the endpoints behind the gateway said.
    pub details: Vec<PeerDetail>,
    /// Whether the connection failed rather than the peer having answered.
    pub connection: bool,
    /// Where it failed for something that trying again does not cure: the peer's address, and what it is.
    pub fault: Option<(String, ConnectionFault)>,
    /// What the contract said, where the application's rules find a refusal in the messages.
    pub refusal: Option<Refusal>,
}

/// What kind of failure a [`CallError`] is, and hence what may be done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The contract refused.
    Refused(Refusal),
    /// The endorsers answered differently: some of them have not committed what others have.
    Mismatch,
    /// A peer, an orderer or a chaincode service cannot be reached at the moment.
    Unavailable,
    /// No answer in time: whether the call had its effect is not known.
    TimedOut,
    /// A disk on the way is full, which does not pass by itself.
    DiskFull,
    /// A peer finds that the own clock, or its own, is wrong.
    WrongClock,
    /// Anything else; trying again does not help.
    Other,
}

/// How Fabric says that endorsers disagree.
const MISMATCH: &str = "ProposalResponsePayloads do not match";

/// How operating systems and databases say that a disk is full.
const FULL: &[&str] = &["no space left", "disk quota exceeded", "disk is full"];

/// How Fabric says that a client's clock and a peer's are too far apart.
const CLOCK: &[&str] = &["incorrect timestamp", "timewindow", "timestamp is more than"];

/// How Fabric and gRPC say that something cannot be reached at the moment.
const UNAVAILABLE: &[&str] = &[
    "connection refused",
    "connection error",
    "connection reset",
    "error reading from server",
    "code = Unavailable",
    "code = DeadlineExceeded",
    "context deadline exceeded",
    // A gateway renews its connections to other peers while they are used.
    "client connection is closing",
    "timeout expired",
    "chaincode stream terminated",
    "unavailability of peers",
    "no peers available",
    "failed to find any endorsing peers",
    "no peer combination can satisfy",
    "no combination of peers",
    "no orderer nodes available",
];

impl CallError {
    pub(crate) fn from_status(
        operation: Operation,
        transaction_id: &str,
        status: tonic::Status,
    ) -> Box<Self> {
        // Only a status that was made on this side has a source: the connection failed or the time is up.
        let mut sources = std::iter::successors(status.source(), |&error| error.source());
        let connection = status.source().is_some() && !sources.any(|e| e.is::<tonic::TimeoutExpired>());
        Box::new(Self {
            operation,
            transaction_id: transaction_id.to_owned(),
            code: status.code(),
            message: cut(status.message()),
            details: details(status.details()),
            connection,
            fault: None,
            refusal: None,
        })
    }

    pub(crate) fn timed_out(operation: Operation, transaction_id: &str, limit: Duration) -> Box<Self> {
        Box::new(Self {
            operation,
            transaction_id: transaction_id.to_owned(),
            code: tonic::Code::DeadlineExceeded,
            message: format!("no answer within {limit:?}"),
            details: Vec::new(),
            connection: false,
            fault: None,
            refusal: None,
        })
    }

    /// Looks for the contract's refusal.
    ///
    /// Several peers may have refused for several reasons. A reason that will not pass goes before those
    /// that will; that the effect is there goes before that something is missing, for a peer that lacks
    /// what another has committed lags.
    pub(crate) fn find_refusal(&mut self, rules: &dyn RefusalRules) {
        let rank = |refusal: &Refusal| match refusal.meaning {
            Meaning::Final | Meaning::WrongClock => 0,
            Meaning::AlreadyThere => 1,
            Meaning::NotYet => 2,
            Meaning::Unknown => 3,
        };
        self.refusal = self.texts().filter_map(|text| rules.find(text)).min_by_key(rank);
    }

    /// The message and the details' messages.
    fn texts(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.message.as_str()).chain(self.details.iter().map(|d| d.message.as_str()))
    }

    /// What kind of failure it is.
    pub fn failure(&self) -> Failure {
        if let Some(refusal) = &self.refusal {
            return Failure::Refused(refusal.clone());
        }
        if self.texts().any(|text| text.contains(MISMATCH)) {
            return Failure::Mismatch;
        }
        if self.fault.is_some() {
            return Failure::Other;
        }
        if self.connection {
            return Failure::Unavailable;
        }
        if self.texts().any(is_full_disk) {
            return Failure::DiskFull;
        }
        if self.texts().any(|text| CLOCK.iter().any(|phrase| text.contains(phrase))) {
            return Failure::WrongClock;
        }
        match self.code {
            tonic::Code::DeadlineExceeded | tonic::Code::Cancelled => Failure::TimedOut,
            tonic::Code::Unavailable => Failure::Unavailable,
            // A peer that shuts down closes its notifications: the status is not known, not bad.
            tonic::Code::Aborted if self.operation == Operation::CommitStatus => Failure::Unavailable,
            _ if self.texts().any(is_unavailability) => Failure::Unavailable,
            _ => Failure::Other,
        }
    }
}

fn is_full_disk(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    FULL.iter().any(|phrase| text.contains(phrase))
}

/// Whether Fabric's text speaks of something that will come back. A transaction that could not be
/// executed did not reach the chaincode, unless the chaincode itself said that it failed.
fn is_unavailability(text: &str) -> bool {
    UNAVAILABLE.iter().any(|phrase| text.contains(phrase))
        || text.contains("failed to execute transaction")
            && !text.contains("transaction returned with failure")
}

fn details(bytes: &[u8]) -> Vec<PeerDetail> {
    let Ok(status) = rpc::Status::decode(bytes) else { return Vec::new() };
    status
        .details
        .iter()
        .take(MAX_DETAILS)
        .filter(|any| any.type_url.ends_with("/gateway.ErrorDetail"))
        .filter_map(|any| ErrorDetail::decode(any.value.as_slice()).ok())
        .map(|d| PeerDetail { address: cut(&d.address), msp_id: cut(&d.msp_id), message: cut(&d.message) })
        .collect()
}

/// Foreign text, cut at a character's border.
fn cut(text: &str) -> String {
    let end = (0..=MAX_TEXT.min(text.len())).rev().find(|&i| text.is_char_boundary(i));
    text[..end.unwrap_or(0)].to_owned()
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.operation)?;
        if !self.transaction_id.is_empty() {
            write!(f, " of transaction {}", self.transaction_id)?;
        }
        if let Some(refusal) = &self.refusal {
            // The endorsers' own words are this refusal again.
            write!(f, " was refused by the contract: {} ({})", refusal.detail, refusal.code)?;
            if refusal.meaning == Meaning::WrongClock {
                // Whose clock is off shows by whether all say so.
                let says = |detail: &&PeerDetail| detail.message.contains(&refusal.code);
                let peers: Vec<_> = self.details.iter().filter(says).map(|d| d.address.as_str()).collect();
                if !peers.is_empty() {
                    write!(f, ", says {}", peers.join(", "))?;
                }
                f.write_str("; set the clock of this machine, or of that peer, right")?;
            }
            return Ok(());
        }
        if let Some((address, fault)) = &self.fault {
            return write!(f, " failed: no connection to the peer at {address}: {fault}");
        }
        write!(f, " failed ({:?}): {}", self.code, self.message)?;
        for detail in &self.details {
            write!(f, "; {} of {}: {}", detail.address, detail.msp_id, detail.message)?;
        }
        let advice = match self.failure() {
            Failure::Mismatch => {
                "; a peer lags behind: try again, and if it stays, see whether the contract is deterministic"
            }
            Failure::Unavailable => {
                "; see whether the peer, the chaincode service and the orderer run, then try again"
            }
            Failure::TimedOut => "; its effect is not known: ask for the commit status before trying again",
            Failure::WrongClock => "; set the clock of this machine, or of that peer, right",
            Failure::DiskFull => "; make room on the disk of the peer or orderer that says so",
            Failure::Refused(_) | Failure::Other => match self.code {
                tonic::Code::PermissionDenied | tonic::Code::Unauthenticated => {
                    "; see whether the certificate is of a member of the channel and not expired, and the clock right"
                }
                tonic::Code::FailedPrecondition | tonic::Code::NotFound => {
                    "; see whether the channel is joined and the chaincode committed"
                }
                _ => "",
            },
        };
        f.write_str(advice)
    }
}

impl std::error::Error for CallError {}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use fabric_protos::prost_types::Any;
    use tonic::{Code as Grpc, Status};

    /// A word and its detail behind it.
    #[derive(Debug)]
    struct Words;

    impl RefusalRules for Words {
        fn find(&self, text: &str) -> Option<Refusal> {
            let words = [
                ("NEVER", Meaning::Final),
                ("THERE", Meaning::AlreadyThere),
                ("LATER", Meaning::NotYet),
                ("CLOCK", Meaning::WrongClock),
            ];
            words.into_iter().find_map(|(code, meaning)| {
                let (_, detail) = text.split_once(&format!("{code} "))?;
                Some(Refusal { code: code.into(), detail: detail.into(), meaning })
            })
        }
    }

    /// A status as Fabric's gateway makes it, with one detail per endpoint.
    pub(crate) fn gateway_status(code: Grpc, message: &str, details: &[&str]) -> Status {
        let details = details
            .iter()
            .enumerate()
            .map(|(i, message)| Any {
                type_url: "type.googleapis.com/gateway.ErrorDetail".into(),
                value: ErrorDetail {
                    address: format!("peer0.org{}.example.com:7051", i + 1),
                    msp_id: format!("Org{}MSP", i + 1),
                    message: (*message).into(),
                }
                .encode_to_vec(),
            })
            .collect();
        let status = rpc::Status { code: code as i32, message: message.into(), details };
        Status::with_details(code, message, status.encode_to_vec().into())
    }

    fn failure(operation: Operation, code: Grpc, message: &str, details: &[&str]) -> Failure {
        let mut error = CallError::from_status(operation, "tx", gateway_status(code, message, details));
        error.find_refusal(&Words);
        error.failure()
    }

    #[test]
    fn failures_are_told_apart() {
        use Operation::*;
        let collect = "failed to collect enough transaction endorsements, see attached details for more info";
        let first = "failed to endorse transaction, see attached details for more info";
        let not_yet = "chaincode response 500, LATER iv 3";
        let same = "chaincode response 500, THERE iv 3";
        let wrong = "chaincode response 500, NEVER Org2MSP";
        let refused = |text: &str| Failure::Refused(Words.find(text).unwrap());
        let table = [
            (Endorse, Grpc::Aborted, collect, vec![MISMATCH], Failure::Mismatch),
            (Endorse, Grpc::Aborted, first, vec![not_yet], refused(not_yet)),
            (Endorse, Grpc::Aborted, collect, vec![not_yet, same], refused(same)),
            (Endorse, Grpc::Aborted, collect, vec![MISMATCH, not_yet], refused(not_yet)),
            (Endorse, Grpc::Aborted, collect, vec![same, not_yet, wrong], refused(wrong)),
            (Evaluate, Grpc::Unknown, not_yet, vec![], refused(not_yet)),
            (
                Endorse,
                Grpc::Aborted,
                first,
                vec![
                    "error in simulation: failed to execute transaction ab: could not launch chaincode x: connection refused",
                ],
                Failure::Unavailable,
            ),
            (
                Endorse,
                Grpc::Aborted,
                first,
                vec!["error in simulation: failed to execute transaction ab: error sending"],
                Failure::Unavailable,
            ),
            (
                Endorse,
                Grpc::Aborted,
                first,
                vec![
                    "error in simulation: failed to execute transaction ab: transaction returned with failure: panic",
                ],
                Failure::Other,
            ),
            (
                Endorse,
                Grpc::Aborted,
                collect,
                vec!["rpc error: code = DeadlineExceeded desc = context deadline exceeded"],
                Failure::Unavailable,
            ),
            (
                Endorse,
                Grpc::FailedPrecondition,
                "no peer combination can satisfy the endorsement policy",
                vec![],
                Failure::Unavailable,
            ),
            (Endorse, Grpc::FailedPrecondition, "no such channel", vec![], Failure::Other),
            (
                Endorse,
                Grpc::Unavailable,
                "failed to find any endorsing peers for org(s): Org2MSP",
                vec![],
                Failure::Unavailable,
            ),
            (
                Submit,
                Grpc::Unavailable,
                "no orderers could successfully process transaction",
                vec!["EOF"],
                Failure::Unavailable,
            ),
            (
                Submit,
                Grpc::Aborted,
                "received unsuccessful response from orderer: status=FORBIDDEN, info=",
                vec![],
                Failure::Other,
            ),
            (Submit, Grpc::DeadlineExceeded, "submit timeout expired", vec![], Failure::TimedOut),
            (
                Endorse,
                Grpc::Aborted,
                collect,
                vec!["rpc error: code = Canceled desc = grpc: the client connection is closing"],
                Failure::Unavailable,
            ),
            (
                Endorse,
                Grpc::Aborted,
                first,
                vec!["request unauthorized due to incorrect timestamp, peer.authentication.timewindow 15m0s"],
                Failure::WrongClock,
            ),
            (
                Submit,
                Grpc::Unavailable,
                "block 7: No space left on device (os error 28)",
                vec![],
                Failure::DiskFull,
            ),
            (
                Endorse,
                Grpc::Aborted,
                collect,
                vec!["failed to execute transaction ab: write /data/000012.log: no space left on device"],
                Failure::DiskFull,
            ),
            (
                Evaluate,
                Grpc::Unknown,
                "500, NEVER no space left on device",
                vec![],
                refused("NEVER no space left on device"),
            ),
            (
                CommitStatus,
                Grpc::Aborted,
                "unexpected close of commit notification channel",
                vec![],
                Failure::Unavailable,
            ),
            (Evaluate, Grpc::Unknown, "chaincode response 500, other", vec![], Failure::Other),
        ];
        for (operation, code, message, details, expected) in table {
            assert_eq!(
                failure(operation, code, message, &details),
                expected,
                "{operation} {message} {details:?}"
            );
        }
    }

    #[test]
    fn text_names_transaction_code_and_peers() {
        let status = gateway_status(Grpc::Aborted, "failed to collect", &["mine", MISMATCH]);
        let text = CallError::from_status(Operation::Endorse, "0a1b", status).to_string();
        for part in
            ["endorse of transaction 0a1b", "Aborted", "peer0.org2.example.com:7051 of Org2MSP", "try again"]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    /// Whether one's own clock is off or one peer's shows by who says so.
    #[test]
    fn a_wrong_clock_is_said_to_be_one() {
        let details = ["mine", "chaincode response 500, CLOCK 1201 s off"];
        let status = gateway_status(Grpc::Aborted, "failed to collect", &details);
        let mut error = CallError::from_status(Operation::Endorse, "0a1b", status);
        error.find_refusal(&Words);
        let text = error.to_string();
        for part in ["1201 s off", "says peer0.org2.example.com:7051;", "set the clock"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn foreign_details_are_bounded() {
        let long = "é".repeat(MAX_TEXT);
        let status = gateway_status(Grpc::Aborted, &long, &vec![long.as_str(); MAX_DETAILS + 5]);
        let error = CallError::from_status(Operation::Endorse, "", status);
        assert_eq!(error.details.len(), MAX_DETAILS);
        assert!(error.message.len() <= MAX_TEXT && error.details[0].message.len() <= MAX_TEXT);
        let garbage = Status::with_details(Grpc::Aborted, "", vec![0xff; 99].into());
        assert!(CallError::from_status(Operation::Endorse, "", garbage).details.is_empty());
    }
}
