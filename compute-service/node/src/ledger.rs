//! The node's side of the gateway client: connecting, and reading blocks.

use crate::{
    config::Config,
    facts::{Creator, Fact, Located},
    run::NodeError,
};
use gateway_client::{Block, Gateway, Options, TxValidationCode, User};

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

/// What the valid transactions of a block say about jobs.
///
/// # Errors
/// A value under one of the contract's keys that cannot be read.
pub fn facts(block: &Block, chaincode: &str) -> Result<Vec<Located>, NodeError> {
    let mut facts = Vec::new();
    for transaction in &block.transactions {
        if transaction.validation_code != TxValidationCode::Valid {
            continue;
        }
        for write in &transaction.writes {
            if write.namespace != chaincode || write.is_delete {
                continue;
            }
            let unreadable = |reason: String| NodeError::Ledger {
                block: block.number,
                tx_id: transaction.transaction_id.clone(),
                reason,
            };
            let Some(fact) = Fact::from_write(&write.key, &write.value).map_err(unreadable)? else {
                continue;
            };
            let creator = Creator {
                msp_id: transaction.creator.msp_id.clone(),
                key_hash: key_hash(&transaction.creator.certificate).map_err(unreadable)?,
            };
            let bytes = write.value.len() as u64;
            facts.push(Located {
                block: block.number,
                tx_id: transaction.transaction_id.clone(),
                creator,
                bytes,
                fact,
            });
        }
    }
    Ok(facts)
}

/// SHA-256 of a PEM certificate's public key, hexadecimal, as the contract computes it.
///
/// # Errors
/// What is no certificate.
pub fn key_hash(certificate: &[u8]) -> Result<String, String> {
    let certificate = msp::Certificate::from_pem(certificate).map_err(|e| e.to_string())?;
    Ok(hex::encode(certificate.public_key_hash()))
}
