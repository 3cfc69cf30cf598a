//! The key with which a peer shows itself to its chaincode service.

use crate::Error;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// A key for one link, PEM.
pub struct LinkKey {
    /// The certificate of an authority that has issued this one certificate and no other, for its key is gone.
    pub ca: String,
    /// The peer's certificate.
    pub cert: String,
    /// Its key.
    pub key: String,
}

impl LinkKey {
    /// A new key for the peer `host`.
    pub fn generate(host: &str) -> Result<Self, Error> {
        Self::issue(host).map_err(|e| Error::Link(e.to_string()))
    }

    fn issue(host: &str) -> Result<Self, rcgen::Error> {
        let params = |name: String| {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            params
        };
        let mut authority = params(format!("chaincode link of {host}"));
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority_key = KeyPair::generate()?;
        let ca = authority.self_signed(&authority_key)?.pem();

        let mut client = params(host.into());
        client.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        let cert = client.signed_by(&key, &Issuer::new(authority, authority_key))?.pem();
        Ok(Self { ca, cert, key: key.serialize_pem() })
    }
}
