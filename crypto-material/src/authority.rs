//! Keys and certificates: a certification authority and what it issues.

use crate::Error;
use files::Access;
use msp::KeyKind;
use p256::ecdsa::{Signature, SigningKey, signature::Signer};
use p256::elliptic_curve::Generate;
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey, LineEnding};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, PublicKeyData, SerialNumber, SignatureAlgorithm,
};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

/// The OID under which Fabric CA keeps attributes; its value is plain JSON without a DER wrapper.
const ATTRIBUTES_OID: &[u64] = &[1, 2, 3, 4, 5, 6, 7, 8, 1];

/// An ECDSA P-256 key that signs as rcgen wants it and with the low s that Fabric wants.
pub struct Key {
    secret: SigningKey,
    /// The uncompressed point.
    public: Vec<u8>,
}

impl Key {
    fn generate() -> Result<Self, String> {
        let secret = SigningKey::try_generate_from_rng(&mut getrandom::SysRng)
            .map_err(|e| format!("no randomness from the system: {e}"))?;
        Ok(Self::new(secret))
    }

    fn new(secret: SigningKey) -> Self {
        let public = secret.verifying_key().to_sec1_point(false).as_bytes().to_vec();
        Self { secret, public }
    }

    fn read(path: &Path) -> Result<Self, Error> {
        let pem = fs::read_to_string(path).map_err(Error::io(path))?;
        let secret = SigningKey::from_pkcs8_pem(&pem).map_err(|e| Error::Certificate {
            path: path.into(),
            what: format!("no P-256 key in PKCS#8: {e}"),
        })?;
        Ok(Self::new(secret))
    }

    fn write(&self, path: &Path) -> Result<(), Error> {
        let pem = self
            .secret
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|e| Error::Certificate { path: path.into(), what: e.to_string() })?;
        files::create(path, pem.as_bytes(), Access::Owner).map_err(Error::io(path))
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature: Signature = self.secret.sign(message);
        Ok(signature.normalize_s().to_der().as_bytes().to_vec())
    }
}

/// What a certificate is for; it decides the subject and the usages.
pub enum Purpose<'a> {
    /// An identity with a NodeOU role: `peer`, `orderer`, `admin` or `client`.
    Identity { role: &'a str, attributes: &'a BTreeMap<String, String>, key: KeyKind },
    /// TLS, as server and as client, under the given names and addresses.
    Tls { names: Vec<String> },
}

/// A certification authority.
pub struct Authority {
    issuer: Issuer<'static, Key>,
    /// Its own certificate, PEM.
    pub certificate: String,
}

impl Authority {
    /// Makes the authority `name` of the organisation `domain` and keeps it in `folder`.
    pub fn create(folder: &Path, name: &str, domain: &str) -> Result<Self, Error> {
        let key = Key::generate().map_err(failed(folder))?;
        let mut params = params(name).map_err(failed(folder))?;
        params.distinguished_name.push(DnType::OrganizationName, domain);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
        ];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.self_signed(&key).map_err(|e| failed(folder)(e.to_string()))?.pem();
        write_new(&folder.join(format!("{name}-cert.pem")), certificate.as_bytes())?;
        key.write(&folder.join("priv_sk"))?;
        Self::new(folder, certificate, key)
    }

    /// Reads the authority `name` from `folder`.
    pub fn open(folder: &Path, name: &str) -> Result<Self, Error> {
        let path = folder.join(format!("{name}-cert.pem"));
        let certificate = msp::Certificate::load(&path).map_err(|e| failed(&path)(e.to_string()))?.to_pem();
        Self::new(&path, certificate, Key::read(&folder.join("priv_sk"))?)
    }

    fn new(path: &Path, certificate: String, key: Key) -> Result<Self, Error> {
        let issuer = Issuer::from_ca_cert_pem(&certificate, key).map_err(|e| failed(path)(e.to_string()))?;
        Ok(Self { issuer, certificate })
    }

    /// Makes a key and a certificate for `name`.
    pub fn issue(
        &self,
        name: &str,
        purpose: Purpose<'_>,
        certificate: &Path,
        key: &Path,
    ) -> Result<(), Error> {
        let mut kind = KeyKind::P256;
        let mut params = params(name).map_err(failed(certificate))?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        match purpose {
            Purpose::Identity { role, attributes, key } => {
                kind = key;
                params.distinguished_name.push(DnType::OrganizationalUnitName, role);
                params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
                if !attributes.is_empty() {
                    let json = serde_json::json!({ "attrs": attributes }).to_string();
                    params
                        .custom_extensions
                        .push(CustomExtension::from_oid_content(ATTRIBUTES_OID, json.into_bytes()));
                }
            }
            Purpose::Tls { names } => {
                params.subject_alt_names = CertificateParams::new(names)
                    .map_err(|e| failed(certificate)(e.to_string()))?
                    .subject_alt_names;
                params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
                params.extended_key_usages =
                    vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
            }
        }
        let algorithm = match kind {
            KeyKind::P256 => {
                let pair = Key::generate().map_err(failed(key))?;
                self.sign(params, &pair, certificate)?;
                return pair.write(key);
            }
            KeyKind::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            KeyKind::Ed25519 => &rcgen::PKCS_ED25519,
        };
        let pair = rcgen::KeyPair::generate_for(algorithm).map_err(|e| failed(key)(e.to_string()))?;
        self.sign(params, &pair, certificate)?;
        let pem = Zeroizing::new(pair.serialize_pem());
        files::create(key, pem.as_bytes(), Access::Owner).map_err(Error::io(key))
    }

    fn sign(
        &self,
        params: CertificateParams,
        key: &impl PublicKeyData,
        certificate: &Path,
    ) -> Result<(), Error> {
        let signed = params.signed_by(key, &self.issuer).map_err(|e| failed(certificate)(e.to_string()))?;
        write_new(certificate, signed.pem().as_bytes())
    }
}

/// What every certificate has: the subject, ten years from five minutes ago, a random serial number.
fn params(common_name: &str) -> Result<CertificateParams, String> {
    let mut serial = [0; 16];
    getrandom::fill(&mut serial).map_err(|e| format!("no randomness from the system: {e}"))?;
    serial[0] &= 0x7f; // a positive integer of at most 16 bytes
    let not_before =
        OffsetDateTime::now_utc().replace_nanosecond(0).expect("zero is a nanosecond") - Duration::minutes(5);

    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CountryName, "DE");
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.not_before = not_before;
    params.not_after = not_before + Duration::days(3650);
    Ok(params)
}

fn failed(path: &Path) -> impl Fn(String) -> Error {
    let path = path.to_owned();
    move |what| Error::Certificate { path: path.clone(), what }
}

/// Writes a file that must not exist yet; all users of the machine may read it.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    files::create(path, bytes, Access::Everybody).map_err(Error::io(path))
}
