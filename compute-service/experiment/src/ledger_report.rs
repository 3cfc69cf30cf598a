use gateway_client::Retries;
use node::worker::Traffic;
use serde::{Deserialize, Serialize};

/// The ledger's share.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LedgerReport {
    /// `dev` or `fabric`.
    pub kind: String,
    /// Transactions of all participants for this job.
    pub transactions: u64,
    /// Bytes of their records.
    pub bytes: u64,
    /// What had to be tried again.
    pub retries: Retries,
}

impl LedgerReport {
    /// Of the participants of one job.
    pub(crate) fn new<'a>(kind: &str, traffic: impl Iterator<Item = &'a Traffic>) -> Self {
        let nothing = Self { kind: kind.into(), transactions: 0, bytes: 0, retries: Retries::default() };
        traffic.fold(nothing, |mut sum, traffic| {
            sum.transactions += traffic.transactions;
            sum.bytes += traffic.bytes;
            sum.retries += traffic.retries;
            sum
        })
    }
}
