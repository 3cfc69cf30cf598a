//! A parsed certificate, and signatures by its key.

use crate::pem::{Block, encode};
use crate::{Error, PublicKey};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use x509_parser::prelude::*;

/// The largest certificate that is looked at, in bytes of DER.
const MAX_LENGTH: usize = 64 * 1024;
/// The longest PEM of somebody else's certificate.
const MAX_PEM: usize = 2 * MAX_LENGTH;
/// The largest file in which a certificate is looked for: some systems keep all authorities of the web in one.
const MAX_FILE: usize = 4 << 20;

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
    attributes: Result<BTreeMap<String, String>, Error>,
    /// Why it makes no member, no matter who issued it.
    defect: Option<String>,
    /// None when the key is of a kind that Fabric does not take.
    key: Option<PublicKey>,
    /// SHA-256 of the subject's public key info.
    public_key_hash: [u8; 32],
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Certificate({:?}, units {:?})", self.common_name, self.organizational_units)
    }
}

impl Certificate {
    /// Reads the first PEM block, which must be a certificate. It is the reading of certificates that others sent: what
    /// is accepted here Fabric's peers read as the same certificate.
    ///
    /// # Errors
    /// [`Error::Certificate`] for anything else.
    pub fn from_pem(pem: &[u8]) -> Result<Self, Error> {
        if pem.len() > MAX_PEM {
            return Err(refuse("too long"));
        }
        let (block, _) = Block::first(pem).map_err(refuse)?.ok_or_else(|| refuse("no PEM"))?;
        if !block.is_certificate() {
            let label = String::from_utf8_lossy(block.label);
            return Err(Error::Certificate(format!("PEM of a {label:?}")));
        }
        Self::from_der(&block.decode().map_err(refuse)?)
    }

    /// The first certificate in the text of an own file, whatever else is there: keys, parameters, other certificates.
    ///
    /// Use [`to_pem`](Self::to_pem) of it, never the file's text, for what leaves the process.
    ///
    /// # Errors
    /// [`Error::Certificate`] where there is none, or one that cannot be read.
    pub fn find(text: &[u8]) -> Result<Self, Error> {
        Ok(Self::find_all(text)?.swap_remove(0))
    }

    /// All certificates in the text of an own file, in their order; at least one. See [`find`](Self::find).
    ///
    /// # Errors
    /// [`Error::Certificate`] where there is none, or one that cannot be read.
    pub fn find_all(text: &[u8]) -> Result<Vec<Self>, Error> {
        if text.len() > MAX_FILE {
            return Err(refuse("too long"));
        }
        let blocks = Block::all(text).map_err(refuse)?;
        let found = blocks.iter().filter(|block| block.is_certificate());
        let found: Vec<_> =
            found.map(|block| Self::from_der(&block.decode().map_err(refuse)?)).collect::<Result<_, _>>()?;
        match found.is_empty() {
            false => Ok(found),
            true if blocks.iter().any(|block| block.label.ends_with(b"PRIVATE KEY")) => {
                Err(refuse("it holds a private key and no certificate"))
            }
            true => Err(refuse("no certificate in PEM (-----BEGIN CERTIFICATE-----)")),
        }
    }

    /// [`find`](Self::find) in a file.
    ///
    /// # Errors
    /// [`Error::Io`], which names the file.
    pub fn load(path: &Path) -> Result<Self, Error> {
        Ok(Self::load_all(path)?.swap_remove(0))
    }

    /// [`find_all`](Self::find_all) in a file.
    ///
    /// # Errors
    /// [`Error::Io`], which names the file.
    pub fn load_all(path: &Path) -> Result<Vec<Self>, Error> {
        let failed = |what: String| Error::Io { path: path.into(), what };
        let text = fs::read(path).map_err(|e| failed(e.to_string()))?;
        Self::find_all(&text).map_err(|e| failed(e.to_string()))
    }

    /// Reads DER, without bytes after it.
    ///
    /// What Fabric's peers would not take from a member, such as a critical extension that nobody understands, is
    /// accepted here and refused by [`Msp`](crate::Msp).
    ///
    /// # Errors
    /// [`Error::Certificate`] for what is no certificate.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        if der.len() > MAX_LENGTH {
            return Err(refuse("too long"));
        }
        let (rest, parsed) = X509Certificate::from_der(der).map_err(|e| Error::Certificate(e.to_string()))?;
        if !rest.is_empty() {
            return Err(refuse("bytes after the end"));
        }
        let validity = parsed.validity();
        let text = |value: &AttributeTypeAndValue<'_>| value.as_str().map(String::from).ok();
        let mut certificate = Self {
            der: der.to_vec(),
            common_name: parsed.subject().iter_common_name().find_map(text).unwrap_or_default(),
            organizational_units: parsed.subject().iter_organizational_unit().filter_map(text).collect(),
            subject: parsed.subject().as_raw().to_vec(),
            issuer: parsed.issuer().as_raw().to_vec(),
            serial: parsed.raw_serial().to_vec(),
            subject_key_id: None,
            validity: (validity.not_before.timestamp(), validity.not_after.timestamp()),
            is_ca: false,
            can_issue: false,
            path_length: None,
            attributes: Ok(BTreeMap::new()),
            defect: None,
            key: PublicKey::from_info(parsed.public_key()),
            public_key_hash: Sha256::digest(parsed.public_key().raw).into(),
        };
        certificate.defect = certificate.read_extensions(&parsed).err();
        Ok(certificate)
    }

    /// What the extensions say; the error is the [`defect`](Self::defect).
    fn read_extensions(&mut self, parsed: &X509Certificate<'_>) -> Result<(), String> {
        let attributes = parsed.extensions().iter().filter(|e| e.oid.to_id_string() == ATTRIBUTES_OID);
        match attributes.collect::<Vec<_>>()[..] {
            [] => {}
            [extension] => self.attributes = read_attributes(extension.value),
            _ => self.attributes = Err(refuse("the attribute extension is there twice")),
        }
        parsed.extensions_map().map_err(|_| "an extension is repeated")?;
        let constraints = parsed.basic_constraints().map_err(|_| "its basic constraints cannot be read")?;
        let usage = parsed.key_usage().map_err(|_| "its key usage cannot be read")?;
        self.is_ca = constraints.as_ref().is_some_and(|c| c.value.ca);
        self.can_issue = self.is_ca && usage.is_none_or(|u| u.value.key_cert_sign());
        self.path_length = constraints.and_then(|c| c.value.path_len_constraint);
        for extension in parsed.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => self.subject_key_id = Some(id.0.to_vec()),
                ParsedExtension::ParseError { .. } => {
                    return Err(format!("extension {} cannot be read", extension.oid));
                }
                // Constraints on names would have to be applied to everything below; nobody's CA has them.
                ParsedExtension::NameConstraints(_) if self.is_ca => {
                    return Err("name constraints are not supported".into());
                }
                ParsedExtension::UnsupportedExtension { .. } if extension.critical => {
                    return Err(format!("critical extension {} is unknown", extension.oid));
                }
                _ => {}
            }
        }
        Ok(())
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
        encode("CERTIFICATE", self.der.clone())
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
    ///
    /// # Errors
    /// [`Error::Certificate`] when they are not as Fabric CA writes them: JSON, every value a text.
    pub fn attributes(&self) -> Result<&BTreeMap<String, String>, Error> {
        self.attributes.as_ref().map_err(Error::clone)
    }

    /// The key.
    ///
    /// # Errors
    /// [`Error::Certificate`] when it is of a kind with which no member signs.
    pub fn public_key(&self) -> Result<&PublicKey, Error> {
        self.key.as_ref().ok_or_else(|| refuse("its key is neither ECDSA P-256, P-384 nor Ed25519"))
    }

    /// Why Fabric takes it from no member, whoever issued it: an extension that is critical and unknown, repeated or
    /// not readable.
    pub(crate) fn defect(&self) -> Option<&str> {
        self.defect.as_deref()
    }

    /// First and last second of its validity, since 1970.
    pub fn validity(&self) -> (i64, i64) {
        self.validity
    }

    /// Checks a signature over `message`, see [`PublicKey::verify`].
    ///
    /// # Errors
    /// [`Error::Signature`] naming what is wrong, [`Error::Certificate`] when keys of this kind do not sign.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Error> {
        self.public_key()?.verify(message, signature)
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

/// All certificates in the text of an own file, in PEM: what may leave the process of it.
///
/// # Errors
/// As [`Certificate::find_all`].
pub fn bundle(text: &[u8]) -> Result<String, Error> {
    Ok(Certificate::find_all(text)?.iter().map(Certificate::to_pem).collect())
}

/// [`bundle`] of a file.
///
/// # Errors
/// [`Error::Io`], which names the file.
pub fn load_bundle(path: &Path) -> Result<String, Error> {
    Ok(Certificate::load_all(path)?.iter().map(Certificate::to_pem).collect())
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
