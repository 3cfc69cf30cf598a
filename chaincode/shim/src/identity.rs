//! Who calls: organisation, certificate, attributes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fabric_protos::msp::SerializedIdentity;
use fabric_protos::prost::Message;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use x509_parser::der_parser::Oid;
use x509_parser::prelude::{FromDer, X509Certificate, X509Name};

/// The certificate extension in which a Fabric CA puts attributes: 1.2.3.4.5.6.7.8.1.
const ATTRIBUTES: [u64; 9] = [1, 2, 3, 4, 5, 6, 7, 8, 1];

/// Subject and issuer fields that an identity's id is made of, in this order; the names and
/// the order are those of Fabric's `cid` library, which leaves out all other fields.
const NAME_FIELDS: [(&[u64], &str); 9] = [
    (&[2, 5, 4, 6], "C"),
    (&[2, 5, 4, 8], "ST"),
    (&[2, 5, 4, 7], "L"),
    (&[2, 5, 4, 9], "STREET"),
    (&[2, 5, 4, 17], "POSTALCODE"),
    (&[2, 5, 4, 10], "O"),
    (&[2, 5, 4, 11], "OU"),
    (&[2, 5, 4, 3], "CN"),
    (&[2, 5, 4, 5], "SERIALNUMBER"),
];

/// Why an identity could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the caller's identity cannot be read: {0}")]
pub struct IdentityError(String);

/// A caller with an X.509 certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    msp_id: String,
    certificate: Vec<u8>,
    public_key_hash: [u8; 32],
    id: String,
    attributes: BTreeMap<String, String>,
}

impl ClientIdentity {
    /// Reads a serialised identity. Nothing about the certificate's validity is checked: in a call the
    /// peer has done so.
    ///
    /// # Errors
    /// [`IdentityError`] where it is not an organisation's name with a PEM certificate.
    pub fn parse(serialized: &[u8]) -> Result<Self, IdentityError> {
        let error = |what: &str| IdentityError(what.into());
        let identity = SerializedIdentity::decode(serialized).map_err(|e| IdentityError(e.to_string()))?;
        let pem = pem::parse(&identity.id_bytes).map_err(|_| error("it is not PEM"))?;
        if pem.tag() != "CERTIFICATE" {
            return Err(error("it is not a certificate"));
        }
        let certificate = pem.into_contents();
        let (rest, parsed) =
            X509Certificate::from_der(&certificate).map_err(|_| error("the certificate is not X.509"))?;
        if !rest.is_empty() {
            return Err(error("bytes follow the certificate"));
        }
        let extension_id = Oid::from(&ATTRIBUTES).map_err(|_| error("the attribute extension"))?;
        let attributes = match parsed.get_extension_unique(&extension_id) {
            Ok(None) => BTreeMap::new(),
            Ok(Some(extension)) => parse_attributes(extension.value)?,
            Err(_) => return Err(error("the attribute extension is there twice")),
        };
        let public_key_hash = Sha256::digest(parsed.public_key().raw).into();
        let id = STANDARD.encode(format!(
            "x509::{}::{}",
            distinguished_name(parsed.subject()),
            distinguished_name(parsed.issuer())
        ));
        Ok(Self { msp_id: identity.mspid, certificate, public_key_hash, id, attributes })
    }

    /// The organisation, by the id of its membership service provider.
    pub fn msp_id(&self) -> &str {
        &self.msp_id
    }

    /// The certificate in DER.
    pub fn certificate_der(&self) -> &[u8] {
        &self.certificate
    }

    /// The certificate in PEM.
    pub fn certificate_pem(&self) -> String {
        let pem = pem::Pem::new("CERTIFICATE", self.certificate.as_slice());
        pem::encode_config(&pem, pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF))
    }

    /// SHA-256 of the certificate's SubjectPublicKeyInfo in DER. It stays when a certificate is
    /// renewed for the same key.
    pub fn public_key_hash(&self) -> [u8; 32] {
        self.public_key_hash
    }

    /// Subject and issuer as one text, unique within the organisation and equal to what `GetID` of
    /// Fabric's `cid` library gives: Base64 of `x509::` subject `::` issuer.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The attribute of this name that the organisation's Fabric CA put into the certificate.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }
}

/// The extension holds JSON: `{"attrs": {"name": "value", …}}`.
fn parse_attributes(json: &[u8]) -> Result<BTreeMap<String, String>, IdentityError> {
    let value: serde_json::Value =
        serde_json::from_slice(json).map_err(|e| IdentityError(format!("its attributes: {e}")))?;
    let Some(attributes) = value.get("attrs").and_then(serde_json::Value::as_object) else {
        return Err(IdentityError("its attributes lack \"attrs\"".into()));
    };
    attributes
        .iter()
        .map(|(name, value)| match value.as_str() {
            Some(value) => Ok((name.clone(), value.into())),
            None => Err(IdentityError(format!("its attribute {name:?} is not text"))),
        })
        .collect()
}

/// The name as in RFC 2253: last field first, values of one field joined by `+`.
fn distinguished_name(name: &X509Name<'_>) -> String {
    let mut fields = Vec::new();
    for (oid, text) in NAME_FIELDS {
        let oid = Oid::from(oid).expect("the table holds valid identifiers");
        let mut values: Vec<String> = name
            .iter_attributes()
            .filter(|attribute| *attribute.attr_type() == oid)
            .filter_map(|attribute| attribute.as_str().ok())
            .map(|value| format!("{text}={}", escape(value)))
            .collect();
        // These two are single in `cid`: the last one counts.
        if matches!(text, "CN" | "SERIALNUMBER") && values.len() > 1 {
            values.drain(..values.len() - 1);
        }
        if !values.is_empty() {
            fields.push(values.join("+"));
        }
    }
    fields.reverse();
    fields.join(",")
}

fn escape(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut escaped = String::with_capacity(value.len());
    for (index, c) in value.chars().enumerate() {
        let at_edge = (index == 0 && matches!(c, ' ' | '#')) || (index == last && c == ' ');
        if at_edge || matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serialized(msp_id: &str, id_bytes: impl Into<Vec<u8>>) -> Vec<u8> {
        SerializedIdentity { mspid: msp_id.into(), id_bytes: id_bytes.into() }.encode_to_vec()
    }

    /// Certificates made by Go's crypto/x509, with what Fabric's `cid` library says of them.
    fn vectors() -> Vec<serde_json::Value> {
        let lines = include_str!("../tests/vectors/identities.jsonl").lines();
        lines.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn identities_are_read_as_fabric_reads_them() {
        let vectors = vectors();
        assert_eq!(vectors.len(), 3);
        for (index, vector) in vectors.iter().enumerate() {
            let pem = vector["pem"].as_str().unwrap();
            let identity = ClientIdentity::parse(&serialized("Org1MSP", pem)).unwrap();
            assert_eq!(identity.msp_id(), "Org1MSP");
            assert_eq!(identity.id(), vector["id"].as_str().unwrap());
            assert_eq!(hex::encode(identity.public_key_hash()), vector["public_key_hash"].as_str().unwrap());
            assert_eq!(identity.certificate_pem(), pem);
            assert_eq!(identity.certificate_der(), pem::parse(pem).unwrap().contents());
            let role = (index == 1).then_some("trainer");
            assert_eq!(identity.attribute("role"), role);
            assert_eq!(identity.attribute("other"), None);
        }
    }

    #[test]
    fn what_is_no_identity_is_refused() {
        let pem = vectors()[0]["pem"].as_str().unwrap().to_owned();
        let key = pem::encode(&pem::Pem::new("PRIVATE KEY", [1, 2, 3]));
        let mut der = pem::parse(&pem).unwrap().into_contents();
        der.push(0);
        let longer = pem::encode(&pem::Pem::new("CERTIFICATE", der.as_slice()));
        let shorter = pem::encode(&pem::Pem::new("CERTIFICATE", &der[..der.len() / 2]));
        for bytes in [
            Vec::new(),
            vec![0xff; 20],
            serialized("Org1MSP", "no pem"),
            serialized("Org1MSP", key),
            serialized("Org1MSP", longer),
            serialized("Org1MSP", shorter),
        ] {
            assert!(ClientIdentity::parse(&bytes).is_err());
        }
    }

    #[test]
    fn attributes_must_be_a_map_of_texts() {
        let attributes = parse_attributes(br#"{"attrs":{"a":"1","b":""}}"#).unwrap();
        assert_eq!(attributes["a"], "1");
        for bad in ["", "{}", r#"{"attrs":[]}"#, r#"{"attrs":{"a":1}}"#] {
            assert!(parse_attributes(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
