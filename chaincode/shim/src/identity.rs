//! Who calls: organisation, certificate, attributes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use x509_parser::der_parser::Oid;
use x509_parser::prelude::{FromDer, X509Certificate, X509Name};

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
    identity: msp::Identity,
    id: String,
}

impl ClientIdentity {
    /// Reads a serialised identity, as a reader of the blocks meets it later. Nothing about the certificate's
    /// validity is checked: in a call the peer has done so.
    ///
    /// # Errors
    /// [`IdentityError`] where it is not an organisation's name with a PEM certificate, or where the attributes in that
    /// are not as Fabric CA writes them.
    pub fn parse(serialized: &[u8]) -> Result<Self, IdentityError> {
        let error = |e: msp::Error| IdentityError(e.to_string());
        let identity = msp::Identity::decode(serialized).map_err(error)?;
        identity.certificate().attributes().map_err(error)?;
        let (_, parsed) = X509Certificate::from_der(identity.certificate().der())
            .map_err(|e| IdentityError(e.to_string()))?;
        let id = STANDARD.encode(format!(
            "x509::{}::{}",
            distinguished_name(parsed.subject()),
            distinguished_name(parsed.issuer())
        ));
        Ok(Self { identity, id })
    }

    /// The organisation, by the id of its membership service provider.
    pub fn msp_id(&self) -> &str {
        self.identity.msp_id()
    }

    /// The certificate in DER.
    pub fn certificate_der(&self) -> &[u8] {
        self.identity.certificate().der()
    }

    /// The certificate in PEM.
    pub fn certificate_pem(&self) -> String {
        self.identity.certificate().to_pem()
    }

    /// SHA-256 of the certificate's SubjectPublicKeyInfo in DER. It stays when a certificate is
    /// renewed for the same key.
    pub fn public_key_hash(&self) -> [u8; 32] {
        self.identity.certificate().public_key_hash()
    }

    /// Subject and issuer as one text, unique within the organisation and equal to what `GetID` of
    /// Fabric's `cid` library gives: Base64 of `x509::` subject `::` issuer.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The attribute of this name that the organisation's Fabric CA put into the certificate.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.identity.certificate().attributes().ok()?.get(name).map(String::as_str)
    }
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
    use fabric_protos::msp::SerializedIdentity;
    use fabric_protos::prost::Message;

    fn serialized(msp_id: &str, id_bytes: impl Into<Vec<u8>>) -> Vec<u8> {
        SerializedIdentity { mspid: msp_id.into(), id_bytes: id_bytes.into() }.encode_to_vec()
    }

    /// Certificates made by Go's crypto/x509, with what Fabric's `cid` library says of them.
    fn vectors() -> Vec<serde_json::Value> {
        let lines = include_str!("../tests/vectors/identities.jsonl").lines();
        lines.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn certificate(pem: &str) -> Vec<u8> {
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        STANDARD.decode(body).unwrap()
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
            assert_eq!(identity.certificate_der(), certificate(pem));
            let role = (index == 1).then_some("trainer");
            assert_eq!(identity.attribute("role"), role);
            assert_eq!(identity.attribute("other"), None);
        }
    }

    #[test]
    fn what_is_no_identity_is_refused() {
        let pem = vectors()[0]["pem"].as_str().unwrap().to_owned();
        let encode = |label: &str, content: &[u8]| {
            format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(content))
        };
        let key = encode("PRIVATE KEY", &[1, 2, 3]);
        let mut der = certificate(&pem);
        der.push(0);
        let longer = encode("CERTIFICATE", &der);
        let shorter = encode("CERTIFICATE", &der[..der.len() / 2]);
        for bytes in [
            Vec::new(),
            vec![0xff; 20],
            serialized("", pem.clone()),
            serialized("Org1MSP", "\n".repeat(200 << 10) + &pem),
            serialized("Org1MSP", pem.clone() + &"\n".repeat(200 << 10)),
            serialized("Org1MSP", "no pem"),
            serialized("Org1MSP", key),
            serialized("Org1MSP", longer),
            serialized("Org1MSP", shorter),
        ] {
            assert!(ClientIdentity::parse(&bytes).is_err());
        }
    }

    /// Peers judge the first block that Go's decoder finds. Whoever took another one would let a member of an
    /// organisation speak as each of its members, with that one's attributes.
    #[test]
    fn nobody_is_taken_for_somebody_else() {
        let pems: Vec<_> =
            vectors().iter().map(|vector| vector["pem"].as_str().unwrap().to_owned()).collect();
        let own = ClientIdentity::parse(&serialized("Org1MSP", pems[0].as_str())).unwrap();
        let other = pems[1].trim_end();
        for bait in [
            format!("x{other}\n"),
            format!(" {other}\n"),
            format!("{other} x\n"),
            other.replace("-----END", " -----END"),
            other.replacen("MII", "M*I", 1),
            other.replacen('\n', "\nKey: value\n\n", 1),
            other.replace("END CERTIFICATE", "END  CERTIFICATE"),
        ] {
            let found = ClientIdentity::parse(&serialized("Org1MSP", format!("{bait}\n{}", pems[0])));
            assert!(found.is_err(), "{bait}");
        }
        let followed = format!("a comment\n{}{other}\n", pems[0]);
        assert_eq!(ClientIdentity::parse(&serialized("Org1MSP", followed)).unwrap().id(), own.id());
    }
}
