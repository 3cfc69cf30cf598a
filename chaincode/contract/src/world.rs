use records::Refusal;

/// Who calls, from the certificate that signed the proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// MSP identifier.
    pub msp_id: String,
    /// SHA-256 of the certificate's public key, hexadecimal.
    pub key_hash: String,
}

/// Why a call fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// By the rules.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The peer did not answer, or what it holds cannot be read.
    #[error("world state: {0}")]
    State(String),
}

/// Part of a range of values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatePage {
    /// The values in the order of their keys.
    pub values: Vec<Vec<u8>>,
    /// Where the next page begins; empty after the last.
    pub bookmark: String,
}

/// The ledger as a contract sees it: reads are of the committed state, writes take effect when the transaction
/// commits.
pub trait WorldState {
    /// Values of exact keys, in their order.
    ///
    /// # Errors
    /// [`Failure::State`].
    fn get(&mut self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, Failure>;

    /// The first values, at most so many, of composite keys of a kind whose first attributes are these; also in calls that
    /// write.
    ///
    /// # Errors
    /// [`Failure::State`].
    fn list(&mut self, kind: &str, attributes: &[&str], most: usize) -> Result<Vec<Vec<u8>>, Failure>;

    /// A page of these values, in calls that write nothing: at most `size`, from the bookmark on; the first page has an
    /// empty one.
    ///
    /// # Errors
    /// [`Failure::State`], also for a bookmark outside of the range.
    fn page(
        &mut self,
        kind: &str,
        attributes: &[&str],
        size: u32,
        bookmark: &str,
    ) -> Result<StatePage, Failure>;

    /// Writes a value.
    ///
    /// # Errors
    /// [`Failure::State`].
    fn put(&mut self, key: &str, value: Vec<u8>) -> Result<(), Failure>;

    /// Sets the transaction's event.
    ///
    /// # Errors
    /// [`Failure::State`].
    fn event(&mut self, name: &str, payload: Vec<u8>) -> Result<(), Failure>;
}
