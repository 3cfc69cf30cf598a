//! A parsed certificate, and signatures by its key.

use crate::Error;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use p256::ecdsa::{Signature, VerifyingKey};
use p256::pkcs8::DecodePublicKey;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use x509_parser::prelude::*;

/// The largest certificate that is looked at, in bytes of DER.
const MAX_LENGTH: usize = 64 * 1024;

/// Fabric CA's attributes: JSON `{"attrs":{name: value}}` without a DER wrapper.
const ATTRIBUTES_OID: &str = "1.2.3.4.5.6.7.8.1";

/// An X.509 certificate with what an MSP needs to know of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    common_name: String,
    organizational_units: Vec<String>,
    /// DER of the names, for comparison.
    pub(crate) subject: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
    pub(crate) serial: Vec<u8>,
    pub(crate) subject_key_id: Option<Vec<u8>>,
    /// Seconds since 1970, both inclusive.
    validity: (i64, i64),
    is_ca: bool,
    /// Whether it may issue certificates, and how many authorities may follow it.
    pub(crate) can_issue: bool,
    pub(crate) path_length: Option<u32>,
    attributes: BTreeMap<String, String>,
    /// None when the key is not on P-256.
    key: Option<VerifyingKey>,
    /// The key's point, uncompressed, in the form that verifies fastest.
    point: Vec<u8>,
    /// SHA-256 of the subject's public key info.
    public_key_hash: [u8; 32],
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Certificate({:?}, units {:?})", self.common_name, self.organizational_units)
    }
}

impl Certificate {
    /// Reads the first PEM block, which must be a certificate.
    ///
    /// # Errors
    /// [`Error::Certificate`] for anything else.
    pub fn from_pem(pem: &[u8]) -> Result<Self, Error> {
        if pem.len() > 2 * MAX_LENGTH {
            return Err(refuse("too long"));
        }
        let (_, block) = parse_x509_pem(pem).map_err(|_| refuse("no PEM"))?;
        if block.label != "CERTIFICATE" {
            return Err(Error::Certificate(format!("PEM of a {:?}", block.label)));
        }
        Self::from_der(&block.contents)
    }

    /// Reads DER, without bytes after it.
    ///
    /// # Errors
    /// [`Error::Certificate`] for what is no certificate, repeats an extension or has a critical
    /// extension that is not understood.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        if der.len() > MAX_LENGTH {
            return Err(refuse("too long"));
        }
        let (rest, parsed) = X509Certificate::from_der(der).map_err(|e| Error::Certificate(e.to_string()))?;
        if !rest.is_empty() {
            return Err(refuse("bytes after the end"));
        }
        parsed.extensions_map().map_err(|_| refuse("an extension is repeated"))?;

        let mut subject_key_id = None;
        let mut attributes = BTreeMap::new();
        for extension in parsed.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => subject_key_id = Some(id.0.to_vec()),
                ParsedExtension::ParseError { .. } => return Err(refuse("an extension cannot be read")),
                // Constraints on names would have to be applied to everything below; nobody's CA has them.
                ParsedExtension::NameConstraints(_) if parsed.is_ca() => {
                    return Err(refuse("name constraints are not supported"));
                }
                ParsedExtension::UnsupportedExtension { .. } if extension.critical => {
                    return Err(Error::Certificate(format!(
                        "critical extension {} is unknown",
                        extension.oid
                    )));
                }
                _ if extension.oid.to_id_string() == ATTRIBUTES_OID => {
                    attributes = read_attributes(extension.value)?
                }
                _ => {}
            }
        }
        let constraints = parsed.basic_constraints().map_err(|_| refuse("basic constraints are repeated"))?;
        let usage = parsed.key_usage().map_err(|_| refuse("key usage is repeated"))?;
        let is_ca = constraints.as_ref().is_some_and(|c| c.value.ca);
        let validity = parsed.validity();
        let text = |value: &AttributeTypeAndValue<'_>| value.as_str().map(String::from).ok();
        let key = VerifyingKey::from_public_key_der(parsed.public_key().raw).ok();
        Ok(Self {
            der: der.to_vec(),
            common_name: parsed.subject().iter_common_name().find_map(text).unwrap_or_default(),
            organizational_units: parsed.subject().iter_organizational_unit().filter_map(text).collect(),
            subject: parsed.subject().as_raw().to_vec(),
            issuer: parsed.issuer().as_raw().to_vec(),
            serial: parsed.raw_serial().to_vec(),
            subject_key_id,
            validity: (validity.not_before.timestamp(), validity.not_after.timestamp()),
            is_ca,
            can_issue: is_ca && usage.is_none_or(|u| u.value.key_cert_sign()),
            path_length: constraints.and_then(|c| c.value.path_len_constraint),
            attributes,
            point: key.map(|key| key.to_sec1_point(false).as_bytes().to_vec()).unwrap_or_default(),
            key,
            public_key_hash: Sha256::digest(parsed.public_key().raw).into(),
        })
    }

    /// SHA-256 of the subject's public key info, as the job contract pins it.
    pub fn public_key_hash(&self) -> [u8; 32] {
        self.public_key_hash
    }

    /// The certificate as it was read, DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The certificate in PEM.
    pub fn to_pem(&self) -> String {
        let config = ::pem::EncodeConfig::new().set_line_ending(::pem::LineEnding::LF);
        ::pem::encode_config(&::pem::Pem::new("CERTIFICATE", self.der.clone()), config)
    }

    /// The subject's first common name; empty when there is none.
    pub fn common_name(&self) -> &str {
        &self.common_name
    }

    /// The subject's organisational units; NodeOUs are among them.
    pub fn organizational_units(&self) -> &[String] {
        &self.organizational_units
    }

    /// Whether it is an authority's.
    pub fn is_ca(&self) -> bool {
        self.is_ca
    }

    /// Fabric CA's attributes.
    pub fn attributes(&self) -> &BTreeMap<String, String> {
        &self.attributes
    }

    /// The P-256 key.
    ///
    /// # Errors
    /// [`Error::Certificate`] when the key is of another kind.
    pub fn public_key(&self) -> Result<&VerifyingKey, Error> {
        self.key.as_ref().ok_or_else(|| refuse("its key is not on P-256"))
    }

    /// First and last second of its validity, since 1970.
    pub fn validity(&self) -> (i64, i64) {
        self.validity
    }

    /// Checks a signature over `message`: DER, SHA-256, s at most half the group's order.
    ///
    /// # Errors
    /// [`Error::Signature`] naming what is wrong, [`Error::Certificate`] when the key is not on P-256.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Error> {
        self.public_key()?;
        let parsed =
            Signature::from_der(signature).map_err(|_| Error::Signature("not an ECDSA signature in DER"))?;
        if parsed.normalize_s() != parsed {
            return Err(Error::Signature("s is above half the order"));
        }
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.point)
            .verify(message, signature)
            .map_err(|_| Error::Signature("it does not fit the message"))
    }

    /// Whether `issuer` issued this certificate: names and signature, with any algorithm that AWS-LC has.
    pub(crate) fn issued_by(&self, issuer: &Self) -> bool {
        if self.issuer != issuer.subject {
            return false;
        }
        let (own, theirs) = (X509Certificate::from_der(&self.der), X509Certificate::from_der(&issuer.der));
        match (own, theirs) {
            (Ok((_, own)), Ok((_, theirs))) => own.verify_signature(Some(theirs.public_key())).is_ok(),
            _ => false,
        }
    }
}

/// The same signature with s at most half the group's order, as Fabric demands it; DER in, DER out.
///
/// # Errors
/// [`Error::Signature`] when it is no ECDSA signature on P-256.
pub fn low_s(signature: &[u8]) -> Result<Vec<u8>, Error> {
    let signature =
        Signature::from_der(signature).map_err(|_| Error::Signature("not an ECDSA signature in DER"))?;
    Ok(signature.normalize_s().to_der().as_bytes().to_vec())
}

fn read_attributes(json: &[u8]) -> Result<BTreeMap<String, String>, Error> {
    #[derive(serde::Deserialize)]
    struct Attributes {
        attrs: BTreeMap<String, String>,
    }
    serde_json::from_slice::<Attributes>(json)
        .map(|attributes| attributes.attrs)
        .map_err(|_| refuse("its attributes are not JSON as Fabric CA writes it"))
}

fn refuse(what: &str) -> Error {
    Error::Certificate(what.into())
}
