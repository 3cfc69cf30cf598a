//! The node's side of the gateway client: connecting, and reading blocks.

use crate::{
    config::Config,
    facts::{Creator, Fact, Located},
};
use gateway_client::{Block, Gateway, KvWrite, Options, TransactionInfo, TxValidationCode, User};
use records::{JobId, key};

/// Connects with the configuration's identity. Nothing is sent yet.
///
/// # Errors
/// A profile, certificate or key that cannot be used.
pub fn connect(config: &Config) -> Result<Gateway, gateway_client::Error> {
    let user = match &config.identity {
        Some(own) => Some(User::from_files(&own.msp_id, &own.certificate, &own.private_key)?),
        None => None,
    };
    Gateway::from_profile(&config.connection_profile, user, Options::default())
}

/// A write under one of the contract's keys of which nothing can be made. Whoever follows the ledger passes over it: a
/// single member must not be able to stop the others with what it leaves in a block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("block {block}, transaction {tx_id}: {reason}")]
pub struct Unreadable {
    /// Number of the block.
    pub block: u64,
    /// Identifier of the transaction.
    pub tx_id: String,
    /// The job that the key names.
    pub job: Option<JobId>,
    /// What is wrong.
    pub reason: String,
}

/// What the valid transactions of a block say about jobs, without what cannot be read.
pub fn facts(block: &Block, chaincode: &str) -> Vec<Located> {
    let readable = |(_, fact): (usize, Result<Located, Unreadable>)| {
        fact.map_err(|e| tracing::warn!(job = ?e.job, "passed over: {e}")).ok()
    };
    readings(block, chaincode).filter_map(readable).collect()
}

/// What the valid transactions of a block say about jobs, and the index of the transaction that says it.
pub fn readings<'a>(
    block: &'a Block,
    chaincode: &'a str,
) -> impl Iterator<Item = (usize, Result<Located, Unreadable>)> + 'a {
    let valid = block
        .transactions
        .iter()
        .enumerate()
        .filter(|(_, transaction)| transaction.validation_code == TxValidationCode::Valid);
    valid.flat_map(move |(index, transaction)| {
        let own =
            transaction.writes.iter().filter(move |write| write.namespace == chaincode && !write.is_delete);
        own.filter_map(move |write| Some((index, read(block.number, transaction, write).transpose()?)))
    })
}

fn read(block: u64, transaction: &TransactionInfo, write: &KvWrite) -> Result<Option<Located>, Unreadable> {
    let tx_id = || transaction.transaction_id.clone();
    let unreadable = |reason: String| Unreadable {
        block,
        tx_id: tx_id(),
        job: key::subject(&write.key).map(|job| JobId(job.into())),
        reason,
    };
    let Some(fact) = Fact::from_write(&write.key, &write.value).map_err(unreadable)? else {
        return Ok(None);
    };
    let creator = Creator {
        msp_id: transaction.creator.msp_id.clone(),
        key_hash: key_hash(&transaction.creator.certificate).map_err(unreadable)?,
    };
    Ok(Some(Located { block, tx_id: tx_id(), creator, bytes: write.value.len() as u64, fact }))
}

/// SHA-256 of a PEM certificate's public key, hexadecimal, as the contract computes it.
///
/// # Errors
/// What is no certificate.
pub fn key_hash(certificate: &[u8]) -> Result<String, String> {
    let certificate = msp::Certificate::from_pem(certificate).map_err(|e| e.to_string())?;
    Ok(hex::encode(certificate.public_key_hash()))
}
