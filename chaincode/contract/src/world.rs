use records::{KeyHash, MspId, Refusal};

/// Who calls, from the certificate that signed the proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// MSP identifier.
    pub msp_id: MspId,
    /// Of the certificate's public key.
    pub key_hash: KeyHash,
}

/// Why a call fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContractError {
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
    /// [`ContractError::State`].
    fn get(&mut self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, ContractError>;

    /// The first values, at most so many, of composite keys of a kind whose first attributes are these; also in calls that
    /// write.
    ///
    /// # Errors
    /// [`ContractError::State`].
    fn list(&mut self, kind: &str, attributes: &[&str], most: usize) -> Result<Vec<Vec<u8>>, ContractError>;

    /// A page of these values, in calls that write nothing: at most `size`, from the bookmark on; the first page has an
    /// empty one.
    ///
    /// # Errors
    /// [`ContractError::State`], also for a bookmark outside of the range.
    fn page(
        &mut self,
        kind: &str,
        attributes: &[&str],
        size: u32,
        bookmark: &str,
    ) -> Result<StatePage, ContractError>;

    /// Seconds since 1970 of the transaction, by its submitter's clock.
    fn timestamp(&self) -> u64;

    /// Identifier of the transaction.
    fn transaction_id(&self) -> &str;

    /// An attribute of the caller's certificate (Fabric CA's `attrs`); none where it has no such one, or none that can be read.
    fn attribute(&self, name: &str) -> Option<String>;

    /// What endorsers get and the ledger does not: a field of the proposal's transient map.
    fn transient(&self, name: &str) -> Option<&[u8]>;

    /// Private data of a collection: values of exact keys, in their order.
    ///
    /// # Errors
    /// [`ContractError::State`], also where this peer does not keep the collection.
    fn get_private(
        &mut self,
        collection: &str,
        keys: &[String],
    ) -> Result<Vec<Option<Vec<u8>>>, ContractError>;

    /// Writes private data.
    ///
    /// # Errors
    /// [`ContractError::State`].
    fn put_private(&mut self, collection: &str, key: &str, value: Vec<u8>) -> Result<(), ContractError>;

    /// Deletes a key.
    ///
    /// # Errors
    /// [`ContractError::State`].
    fn delete(&mut self, key: &str) -> Result<(), ContractError>;

    /// Writes a value.
    ///
    /// # Errors
    /// [`ContractError::State`].
    fn put(&mut self, key: &str, value: Vec<u8>) -> Result<(), ContractError>;

    /// Sets the transaction's event.
    ///
    /// # Errors
    /// [`ContractError::State`].
    fn event(&mut self, name: &str, payload: Vec<u8>) -> Result<(), ContractError>;
}
