//! What a user signs, and what is common to all of it.

use crate::{Error, Gateway, Operation, SignerError};
use fabric_protos::common::{ChannelHeader, Envelope, Header, HeaderType, SignatureHeader};
use fabric_protos::prost::{DecodeError, Message};
use fabric_protos::prost_types::Timestamp;
use sha2::{Digest, Sha256};
use std::sync::OnceLock;
use std::time::SystemTime;

/// Length of the nonce that makes a transaction id unique, in bytes.
const NONCE_BYTES: usize = 24;

/// A message with the user's signature: made elsewhere and given, or made when it is first needed.
#[derive(Clone)]
pub(crate) struct Signed {
    message: Vec<u8>,
    signature: OnceLock<Vec<u8>>,
}

impl Signed {
    /// A message and its signature, empty when there is none yet.
    pub(crate) fn new(message: Vec<u8>, signature: Vec<u8>) -> Self {
        let mut signed = Self { message, signature: OnceLock::new() };
        signed.set(signature);
        signed
    }

    /// Replaces the signature; an empty one takes it away.
    pub(crate) fn set(&mut self, signature: Vec<u8>) {
        self.signature = if signature.is_empty() { OnceLock::new() } else { OnceLock::from(signature) };
    }

    pub(crate) fn message(&self) -> &[u8] {
        &self.message
    }

    /// The signature, empty when there is none yet.
    pub(crate) fn signature(&self) -> &[u8] {
        self.signature.get().map_or(&[], Vec::as_slice)
    }

    /// What the user's key signs.
    pub(crate) fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.message).into()
    }

    /// The signature; the gateway's user makes it when there is none yet.
    pub(crate) async fn sign(&self, gateway: &Gateway) -> Result<&[u8], Error> {
        if let Some(signature) = self.signature.get() {
            return Ok(signature);
        }
        let signature = gateway.user().sign(&self.message).await?;
        Ok(self.signature.get_or_init(|| signature))
    }

    /// As it is sent.
    pub(crate) fn envelope(&self) -> Envelope {
        Envelope { payload: self.message.clone(), signature: self.signature().to_vec() }
    }
}

/// Random bytes that have not been used before.
pub(crate) fn nonce() -> Result<Vec<u8>, Error> {
    let mut nonce = vec![0; NONCE_BYTES];
    getrandom::fill(&mut nonce).map_err(|e| SignerError(e.into()))?;
    Ok(nonce)
}

/// The header of everything that is signed here.
pub(crate) fn header(
    kind: HeaderType,
    gateway: &Gateway,
    channel: &str,
    (transaction_id, nonce): (&str, Vec<u8>),
    extension: Vec<u8>,
) -> Header {
    let channel_header = ChannelHeader {
        r#type: kind as i32,
        timestamp: Some(Timestamp::from(SystemTime::now())),
        channel_id: channel.to_owned(),
        tx_id: transaction_id.to_owned(),
        extension,
        tls_cert_hash: gateway.tls_certificate_hash().to_vec(),
        ..Default::default()
    };
    let signature_header = SignatureHeader { creator: gateway.creator().to_vec(), nonce };
    Header {
        channel_header: channel_header.encode_to_vec(),
        signature_header: signature_header.encode_to_vec(),
    }
}

/// Reads a part of something that was serialised; `what` names the whole.
pub(crate) fn read<M: Message + Default>(what: &'static str, bytes: &[u8]) -> Result<M, Error> {
    M::decode(bytes).map_err(|e: DecodeError| damaged(what, e))
}

/// The error of bytes that are not what they should be.
pub(crate) fn damaged(what: &'static str, reason: impl ToString) -> Error {
    Error::Bytes { what, reason: reason.to_string() }
}

/// The error of an answer that is not usable.
pub(crate) fn unusable(operation: Operation, transaction_id: &str, reason: impl ToString) -> Error {
    Error::Answer { operation, transaction_id: transaction_id.to_owned(), reason: reason.to_string() }
}
