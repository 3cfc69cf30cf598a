//! Identities as they travel: an organisation's name and a certificate.

use crate::{Certificate, Error};
use fabric_protos::msp::SerializedIdentity;
use fabric_protos::prost::Message;

/// Somebody's claim to be of an organisation; an [`Msp`](crate::Msp) decides whether it is true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    msp_id: String,
    /// As it came, for a transaction's id is a hash over it.
    pem: Vec<u8>,
    certificate: Certificate,
}

impl Identity {
    /// An own identity. Others get the certificate as it is encoded here, not the file that it came from.
    pub fn new(msp_id: &str, certificate: Certificate) -> Self {
        Self { msp_id: msp_id.into(), pem: certificate.to_pem().into_bytes(), certificate }
    }

    /// Somebody else's identity from its two parts, which are kept as they came.
    ///
    /// # Errors
    /// [`Error::Certificate`] when `pem` holds no usable certificate.
    pub fn from_pem(msp_id: &str, pem: &[u8]) -> Result<Self, Error> {
        Ok(Self { msp_id: msp_id.into(), pem: pem.to_vec(), certificate: Certificate::from_pem(pem)? })
    }

    /// Reads a serialised identity, such as a signature header's creator.
    ///
    /// # Errors
    /// [`Error::Identity`] when the bytes are none, [`Error::Certificate`] for the certificate in them.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let identity = SerializedIdentity::decode(bytes).map_err(|e| Error::Identity(e.to_string()))?;
        if identity.mspid.is_empty() {
            return Err(Error::Identity("it names no MSP".into()));
        }
        Self::from_pem(&identity.mspid, &identity.id_bytes)
    }

    /// The serialised identity, with the bytes of the certificate that it was made from.
    pub fn encode(&self) -> Vec<u8> {
        SerializedIdentity { mspid: self.msp_id.clone(), id_bytes: self.pem.clone() }.encode_to_vec()
    }

    /// The organisation that it claims.
    pub fn msp_id(&self) -> &str {
        &self.msp_id
    }

    /// The certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }
}
