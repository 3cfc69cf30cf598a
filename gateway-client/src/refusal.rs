//! What a contract means by refusing a call: the application knows its contract's words, and gives rules for them.

use std::fmt;

/// A contract's refusal, read from the text in which a gateway wraps a failed response of a chaincode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The contract's word for it.
    pub code: String,
    /// For people: what is refused and why.
    pub detail: String,
    /// What follows from it for the caller.
    pub meaning: Meaning,
}

/// What a refusal says about another try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It would be refused again.
    Final,
    /// What the call was to bring about is there: success for a caller that repeats a submission.
    AlreadyThere,
    /// Something that has to come before is not committed on this peer: it lags.
    NotYet,
    /// What the call is about is not on this peer. It may lag, or there is no such thing; see
    /// [`RetryPolicy::unknown`](crate::RetryPolicy::unknown).
    Unknown,
    /// The transaction's timestamp and the peer's clock are too far apart.
    WrongClock,
}

/// How to read a contract's refusals; an application gives its own in [`Options`](crate::Options).
pub trait RefusalRules: fmt::Debug + Send + Sync {
    /// Finds a refusal in a text of a gateway or a peer.
    fn find(&self, text: &str) -> Option<Refusal>;
}

/// For contracts that say nothing about another try: no text is a refusal, and a failed response of a chaincode is an
/// error at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoRefusals;

impl RefusalRules for NoRefusals {
    fn find(&self, _: &str) -> Option<Refusal> {
        None
    }
}
