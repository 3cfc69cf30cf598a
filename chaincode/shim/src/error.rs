//! What can go wrong between a contract and its peer.

use crate::IdentityError;

/// Why a call of the [`Stub`](crate::Stub) failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StubError {
    /// The peer refused the request; the text is the peer's.
    #[error("the peer refused: {0}")]
    Refused(String),
    /// The stream to the peer ended, so the call cannot be completed any more.
    #[error("the stream to the peer ended")]
    Disconnected,
    /// The peer answered something that is not what was asked for.
    #[error("the peer answered out of protocol: {0}")]
    Protocol(String),
    /// A key that Fabric does not allow here.
    #[error("the key {key:?} {reason}")]
    Key {
        /// The key or the part of a composite key.
        key: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Private data without the name of its collection.
    #[error("a collection needs a name")]
    Collection,
    /// A page that could hold nothing, or more than a message can say.
    #[error("a page has a size from 1 to 2,147,483,647")]
    PageSize,
    /// An endorsement policy that is no n-of-n of organisations.
    #[error("the endorsement policy of a key {0}")]
    Policy(&'static str),
    /// A write of nothing, which Fabric would take for a deletion.
    #[error("the value of key {0:?} is empty, which would delete the key")]
    EmptyValue(String),
    /// An event without a name.
    #[error("an event needs a name")]
    EventName,
    /// More than a message may hold.
    #[error("{bytes} bytes are more than a message may hold")]
    TooLarge {
        /// The size of the request.
        bytes: usize,
    },
    /// An argument that ought to be text and is not UTF-8, or is not there.
    #[error("argument {index} is missing or not UTF-8")]
    Argument {
        /// Counted from 0, which is the function's name.
        index: usize,
    },
    /// The caller's identity is not a certificate that can be read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}
