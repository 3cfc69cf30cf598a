use records::JobId;
use std::borrow::Cow;

/// What messages, proofs and randomness are bound to, so that those of one are good for no other. Of a job it is the text
/// of its identifier; others that exchange messages give bytes of their own, which no job's identifier is.
pub trait Context {
    /// The bytes.
    fn bytes(&self) -> Cow<'_, [u8]>;
}

impl Context for JobId {
    fn bytes(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.to_string().into_bytes())
    }
}

impl Context for [u8] {
    fn bytes(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self)
    }
}
