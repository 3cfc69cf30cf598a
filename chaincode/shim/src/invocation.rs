//! What a call brings along: arguments, and what the client's proposal says.

use fabric_protos::common::{ChannelHeader, Header, HeaderType, SignatureHeader};
use fabric_protos::peer::{ChaincodeInput, ChaincodeMessage, ChaincodeProposalPayload, Proposal};
use fabric_protos::prost::{DecodeError, Message};
use fabric_protos::prost_types;
use std::collections::BTreeMap;

/// A time by the clock of the client, who chose it: peers since 3.1 refuse one that is more than
/// 15 minutes off, and no others do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Seconds since 1970, UTC.
    pub seconds: i64,
    /// Within the second, below 1,000,000,000.
    pub nanos: u32,
}

impl Timestamp {
    /// None where the nanoseconds are out of range.
    pub(crate) fn new(time: prost_types::Timestamp) -> Option<Self> {
        let nanos = u32::try_from(time.nanos).ok().filter(|&nanos| nanos < 1_000_000_000)?;
        Some(Self { seconds: time.seconds, nanos })
    }

    /// Milliseconds since 1970, as near as an `i64` can come.
    pub fn millis(&self) -> i64 {
        self.seconds.saturating_mul(1000).saturating_add(i64::from(self.nanos / 1_000_000))
    }
}

/// A call, parsed.
pub(crate) struct Invocation {
    pub args: Vec<Vec<u8>>,
    /// The caller as a serialised identity.
    pub creator: Vec<u8>,
    pub transient: BTreeMap<String, Vec<u8>>,
    pub timestamp: Timestamp,
}

/// Why a call could not be parsed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvocationError {
    #[error("the {0} is missing")]
    Missing(&'static str),
    #[error("the {0} cannot be read: {1}")]
    Malformed(&'static str, DecodeError),
    #[error("a header of type {0} has no place in a call")]
    HeaderType(i32),
    #[error("the timestamp is out of range")]
    Timestamp,
}

impl Invocation {
    /// Parses the payload and the proposal of TRANSACTION or INIT.
    pub fn parse(message: &ChaincodeMessage) -> Result<Self, InvocationError> {
        use InvocationError::{HeaderType as WrongType, Missing};

        let input: ChaincodeInput = decode("input", &message.payload)?;
        let signed = message.proposal.as_ref().ok_or(Missing("proposal"))?;
        let proposal: Proposal = decode("proposal", &signed.proposal_bytes)?;
        if proposal.header.is_empty() {
            return Err(Missing("header"));
        }
        let header: Header = decode("header", &proposal.header)?;
        let channel_header: ChannelHeader = decode("channel header", &header.channel_header)?;
        let kind = channel_header.r#type;
        if kind != HeaderType::EndorserTransaction as i32 && kind != HeaderType::Config as i32 {
            return Err(WrongType(kind));
        }
        let signature_header: SignatureHeader = decode("signature header", &header.signature_header)?;
        let payload: ChaincodeProposalPayload = decode("proposal payload", &proposal.payload)?;
        let time = channel_header.timestamp.ok_or(Missing("timestamp"))?;
        Ok(Self {
            args: input.args,
            creator: signature_header.creator,
            transient: payload.transient_map,
            timestamp: Timestamp::new(time).ok_or(InvocationError::Timestamp)?,
        })
    }
}

fn decode<M: Message + Default>(what: &'static str, bytes: &[u8]) -> Result<M, InvocationError> {
    M::decode(bytes).map_err(|e| InvocationError::Malformed(what, e))
}
