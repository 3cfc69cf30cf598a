//! Who a client is, and how it signs.

use crate::validity::{Role, Validity};
use async_trait::async_trait;
use fabric_protos::{msp::SerializedIdentity, prost::Message};
use msp::PublicKey;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::{fmt, fs, io, sync::Arc};
use zeroize::Zeroizing;

/// Signs on behalf of an [`Identity`]. The key may be in this process or elsewhere.
#[async_trait]
pub trait Signer: Send + Sync {
    /// The ECDSA signature of a SHA-256 digest, in DER. Of its two valid values of s the greater one is replaced by
    /// the other before it is sent: Fabric refuses it.
    async fn sign(&self, digest: &[u8; 32]) -> Result<Vec<u8>, SignerError>;

    /// The signature of a message. It is that of its digest, but for Ed25519, which signs messages as they are.
    async fn sign_message(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.sign(&Sha256::digest(message).into()).await
    }
}

/// A signer that failed: a device that was removed, a service that did not answer.
#[derive(Debug, thiserror::Error)]
#[error("cannot sign: {0}")]
pub struct SignerError(#[from] pub Box<dyn std::error::Error + Send + Sync>);

/// A signer whose key, of any kind that Fabric takes, is in this process; it is wiped when it is dropped.
pub struct KeySigner {
    key: msp::SigningKey,
}

impl KeySigner {
    /// A signer with the key of a PEM text, in any of the forms that [`msp::PrivateKey`] reads.
    ///
    /// # Errors
    /// [`IdentityError::Key`] when the text holds no key with which members sign.
    pub fn from_pem(text: impl AsRef<[u8]>) -> Result<Self, IdentityError> {
        match msp::SigningKey::from_pem(text) {
            Ok(key) => Ok(Self { key }),
            Err(msp::Error::Key(why)) => Err(why.into()),
            Err(_) => Err(msp::KeyError::Damaged("it cannot sign").into()),
        }
    }

    /// Whether the certificate of this identity holds this key's public half.
    fn belongs_to(&self, identity: &Identity) -> bool {
        *self.key.public_key() == identity.public_key
    }
}

#[async_trait]
impl Signer for KeySigner {
    async fn sign(&self, digest: &[u8; 32]) -> Result<Vec<u8>, SignerError> {
        self.key.sign_digest(digest).map_err(|e| SignerError(e.into()))
    }

    async fn sign_message(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.key.sign(message).map_err(|e| SignerError(e.into()))
    }
}

impl fmt::Debug for KeySigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySigner(…)")
    }
}

/// A signer that calls a function: a device's driver, a service's client.
pub struct Callback<F> {
    sign: F,
}

impl<F, Signed> Callback<F>
where
    F: Fn([u8; 32]) -> Signed + Send + Sync,
    Signed: Future<Output = Result<Vec<u8>, SignerError>> + Send,
{
    /// A signer that awaits what `sign` makes of a SHA-256 digest: the ECDSA signature in DER. Its s may be the greater
    /// of the two valid values, as devices answer it; it is lowered.
    pub fn new(sign: F) -> Self {
        Self { sign }
    }
}

impl Callback<()> {
    /// As [`Callback::new`], for a function that answers at once. It is called on a thread of the runtime: one that
    /// takes more than a moment belongs into `spawn_blocking`.
    pub fn blocking(sign: impl Fn([u8; 32]) -> Result<Vec<u8>, SignerError> + Send + Sync) -> impl Signer {
        Callback::new(move |digest| std::future::ready(sign(digest)))
    }
}

#[async_trait]
impl<F, Signed> Signer for Callback<F>
where
    F: Fn([u8; 32]) -> Signed + Send + Sync,
    Signed: Future<Output = Result<Vec<u8>, SignerError>> + Send,
{
    async fn sign(&self, digest: &[u8; 32]) -> Result<Vec<u8>, SignerError> {
        (self.sign)(*digest).await
    }
}

impl<F> fmt::Debug for Callback<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callback(…)")
    }
}

/// Of a user whose key is elsewhere: everything has to be signed before it is sent.
struct NoSigner;

#[async_trait]
impl Signer for NoSigner {
    async fn sign(&self, _: &[u8; 32]) -> Result<Vec<u8>, SignerError> {
        Err(SignerError(
            "the user has no signer here: sign the digest elsewhere and give the signature".into(),
        ))
    }
}

/// An organisation's member: MSP identifier and certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    msp_id: String,
    certificate_pem: String,
    public_key: PublicKey,
    validity: Validity,
}

impl Identity {
    /// An identity from a text with its certificate in PEM: the first one there. Whatever else is in the text, such as
    /// the private key, stays behind.
    ///
    /// # Errors
    /// [`IdentityError::MspId`] when it is empty, [`IdentityError::Certificate`] when the text holds no certificate, or
    /// one of a key with which no member signs.
    pub fn new(msp_id: impl Into<String>, certificate_pem: impl AsRef<[u8]>) -> Result<Self, IdentityError> {
        let msp_id = msp_id.into();
        if msp_id.is_empty() {
            return Err(IdentityError::MspId);
        }
        let certificate = msp::Certificate::find(certificate_pem.as_ref())?;
        let public_key = certificate.public_key()?.clone();
        let validity = Validity::new(Role::User, &certificate);
        Ok(Self { msp_id, certificate_pem: certificate.to_pem(), public_key, validity })
    }

    /// MSP identifier, such as `Org1MSP`.
    pub fn msp_id(&self) -> &str {
        &self.msp_id
    }

    /// The certificate in PEM, and nothing else.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// How long the certificate is valid.
    pub fn validity(&self) -> &Validity {
        &self.validity
    }

    /// The identity as it stands in headers: Fabric's `creator`.
    pub(crate) fn serialized(&self) -> Vec<u8> {
        SerializedIdentity { mspid: self.msp_id.clone(), id_bytes: self.certificate_pem.clone().into_bytes() }
            .encode_to_vec()
    }
}

/// An identity with the signer that goes with it.
#[derive(Clone)]
pub struct User {
    pub(crate) identity: Identity,
    pub(crate) signer: Arc<dyn Signer>,
    /// Whether the signer's s is the lower one already.
    signs_low: bool,
}

impl User {
    /// A user whose key is behind a signer of its own.
    pub fn new(identity: Identity, signer: Arc<dyn Signer>) -> Self {
        Self { identity, signer, signs_low: false }
    }

    /// A user whose key is elsewhere: proposals, transactions and requests have to be given their signatures before
    /// they are sent.
    pub fn without_signer(identity: Identity) -> Self {
        Self::new(identity, Arc::new(NoSigner))
    }

    /// A user from the texts of a certificate and a private key.
    ///
    /// # Errors
    /// [`IdentityError`] for unusable texts, or a key that is not the certificate's.
    pub fn from_pem(msp_id: &str, certificate_pem: &str, key_pem: &str) -> Result<Self, IdentityError> {
        let identity = Identity::new(msp_id, certificate_pem)?;
        let signer = KeySigner::from_pem(key_pem)?;
        if !signer.belongs_to(&identity) {
            return Err(IdentityError::Pair);
        }
        Ok(Self { identity, signer: Arc::new(signer), signs_low: true })
    }

    /// A user from the files of a certificate and a private key.
    ///
    /// # Errors
    /// [`IdentityError::File`] names the file that cannot be read, [`IdentityError::In`] the one whose text cannot be
    /// used; else as [`User::from_pem`].
    pub fn from_files(msp_id: &str, certificate: &Path, key: &Path) -> Result<Self, IdentityError> {
        let read = |path: &Path| {
            fs::read(path)
                .map(Zeroizing::new)
                .map_err(|source| IdentityError::File { path: path.to_owned(), source })
        };
        let (certificate_text, key_text) = (read(certificate)?, read(key)?);
        Self::from_texts(msp_id, (certificate, &certificate_text), (key, &key_text))
    }

    /// A user from the contents of files; errors name those.
    pub(crate) fn from_texts(
        msp_id: &str,
        (certificate_path, certificate): (&Path, &[u8]),
        (key_path, key): (&Path, &[u8]),
    ) -> Result<Self, IdentityError> {
        let text = msp::text::decode(certificate)
            .map_err(|e| IdentityError::Certificate(msp::Error::Certificate(e.to_string())));
        let identity = text.and_then(|text| Identity::new(msp_id, text.as_str()));
        let mut identity = identity.map_err(|e| e.in_file(certificate_path))?;
        identity.validity = identity.validity.in_file(certificate_path);
        let signer = KeySigner::from_pem(key).map_err(|e| e.in_file(key_path))?;
        if !signer.belongs_to(&identity) {
            return Err(IdentityError::Pair.in_file(key_path));
        }
        Ok(Self { identity, signer: Arc::new(signer), signs_low: true })
    }

    /// The user's identity.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The user's signature of a message, as Fabric takes it.
    pub(crate) async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let signature = self.signer.sign_message(message).await?;
        if self.signs_low {
            return Ok(signature);
        }
        self.identity.public_key.normalize(&signature).map_err(|e| SignerError(e.into()))
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("msp_id", &self.identity.msp_id).finish_non_exhaustive()
    }
}

/// Why an identity or a key cannot be used. Never holds key material.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The MSP identifier is empty.
    #[error("the MSP identifier is empty: name the organisation's MSP, such as Org1MSP")]
    MspId,
    /// The text holds no certificate, or one of a key with which no member signs.
    #[error(transparent)]
    Certificate(#[from] msp::Error),
    /// The text is no private key that can be used.
    #[error(transparent)]
    Key(#[from] msp::KeyError),
    /// The text of a client's TLS certificate is none.
    #[error("not an X.509 certificate in PEM, for TLS")]
    ClientTls,
    /// The key is somebody else's.
    #[error("the private key does not belong to the certificate: give both of the same user")]
    Pair,
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What a file holds cannot be used.
    #[error("{}: {source}", path.display())]
    In {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<IdentityError>,
    },
}

impl IdentityError {
    /// The same, with the name of the file.
    pub(crate) fn in_file(self, path: &Path) -> Self {
        match self {
            // Not what a file says.
            Self::MspId | Self::File { .. } | Self::In { .. } => self,
            source => Self::In { path: path.to_owned(), source: Box::new(source) },
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use p256::SecretKey;
    use p256::ecdsa::signature::{Verifier, hazmat::PrehashSigner};
    use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
    use p256::pkcs8::DecodePublicKey;

    /// A fresh self-signed user for tests.
    pub(crate) fn user(msp_id: &str) -> User {
        let (certificate, key) = certificate_and_key();
        User::from_pem(msp_id, &certificate, &key).expect("rcgen makes P-256 keys")
    }

    /// The same key as its certificate has it, for other libraries to verify with.
    fn verifying_key(identity: &Identity) -> VerifyingKey {
        let pem = x509_parser::pem::parse_x509_pem(identity.certificate_pem().as_bytes()).unwrap().1;
        let certificate = pem.parse_x509().unwrap();
        VerifyingKey::from_public_key_der(certificate.public_key().raw).unwrap()
    }

    fn certificate_and_key() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(vec!["client".into()]).expect("a valid name");
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[tokio::test]
    async fn signatures_verify_and_have_a_low_s() {
        let user = user("Org1MSP");
        let key = verifying_key(&user.identity);
        for i in 0..32u8 {
            let message = [i; 100];
            let signature = Signature::from_der(&user.sign(&message).await.unwrap()).unwrap();
            assert_eq!(signature, signature.normalize_s(), "s is in the lower half");
            key.verify(&message, &signature).unwrap();
            assert!(key.verify(&[i + 1; 100], &signature).is_err());
            let digest = Sha256::digest(message).into();
            let signature = Signature::from_der(&user.signer.sign(&digest).await.unwrap()).unwrap();
            key.verify(&message, &signature).unwrap();
        }
    }

    #[tokio::test]
    async fn callbacks_sign_and_their_s_is_lowered() {
        let (certificate, key) = certificate_and_key();
        let identity = Identity::new("Org1MSP", certificate).unwrap();
        let verifier = verifying_key(&identity);
        let key = Arc::new(SigningKey::from(SecretKey::from_pem(&key).unwrap()));
        // As a device may do it: with the greater s whenever it is its turn.
        let sign = move |digest: [u8; 32]| {
            let signature: Signature = key.sign_prehash(&digest).map_err(|e| SignerError(e.into()))?;
            let (r, s) = signature.normalize_s().split_scalars();
            let high = Signature::from_scalars(r, -s).map_err(|e| SignerError(e.into()))?;
            Ok(high.to_der().as_bytes().to_vec())
        };
        let later = sign.clone();
        let signers: [Arc<dyn Signer>; 2] = [
            Arc::new(Callback::blocking(sign)),
            Arc::new(Callback::new(move |digest| {
                let later = later.clone();
                async move {
                    tokio::task::yield_now().await;
                    later(digest)
                }
            })),
        ];
        for signer in signers {
            let user = User::new(identity.clone(), signer);
            let signature = Signature::from_der(&user.sign(b"message").await.unwrap()).unwrap();
            assert_eq!(signature, signature.normalize_s());
            verifier.verify(b"message", &signature).unwrap();
        }
        let garbage = User::new(identity.clone(), Arc::new(Callback::blocking(|_| Ok(vec![0; 64]))));
        assert!(garbage.sign(b"message").await.unwrap_err().to_string().contains("DER"));
        let nobody = User::without_signer(identity);
        assert!(nobody.signer.sign(&[0; 32]).await.unwrap_err().to_string().contains("elsewhere"));
    }

    #[test]
    fn refuses_what_does_not_belong_together() {
        let (certificate, key) = certificate_and_key();
        let (_, other_key) = certificate_and_key();
        assert!(matches!(User::from_pem("Org1MSP", &certificate, &other_key), Err(IdentityError::Pair)));
        assert!(matches!(User::from_pem("", &certificate, &key), Err(IdentityError::MspId)));
        assert!(matches!(User::from_pem("Org1MSP", &key, &key), Err(IdentityError::Certificate(_))));
        assert!(matches!(User::from_pem("Org1MSP", &certificate, &certificate), Err(IdentityError::Key(_))));
    }

    /// A file with both goes in as either; the key is in nothing that is sent.
    #[test]
    fn a_key_beside_the_certificate_stays_behind() {
        let (certificate, key) = certificate_and_key();
        let clean = User::from_pem("Org1MSP", &certificate, &key).unwrap();
        for text in [format!("{certificate}{key}"), format!("{key}{certificate}")] {
            let identity = Identity::new("Org1MSP", &text).unwrap();
            assert_eq!(identity, clean.identity);
            assert_eq!(identity.serialized(), clean.identity.serialized());
        }
        let error = Identity::new("Org1MSP", &key).unwrap_err().to_string();
        assert!(error.contains("a private key and no certificate"), "{error}");
    }

    #[tokio::test]
    async fn users_sign_with_other_kinds_of_keys() {
        for algorithm in [&rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
            let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
            let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap().pem();
            let user = User::from_pem("Org1MSP", &certificate, &key.serialize_pem()).unwrap();
            let certificate = msp::Certificate::from_pem(certificate.as_bytes()).unwrap();
            certificate.verify(b"message", &user.sign(b"message").await.unwrap()).unwrap();
        }
    }

    #[test]
    fn reads_sec1_keys_too() {
        let (certificate, key) = certificate_and_key();
        let secret = SecretKey::from_pem(&key).unwrap();
        let sec1 = secret.to_sec1_pem(p256::pkcs8::LineEnding::LF).unwrap();
        assert!(sec1.contains("EC PRIVATE KEY"));
        User::from_pem("Org1MSP", &certificate, &sec1).unwrap();
    }

    #[test]
    fn debug_shows_no_key() {
        let (certificate, key) = certificate_and_key();
        let shown = format!(
            "{:?} {:?}",
            User::from_pem("Org1MSP", &certificate, &key).unwrap(),
            KeySigner::from_pem(&key).unwrap()
        );
        assert_eq!(shown, r#"User { msp_id: "Org1MSP", .. } KeySigner(…)"#);
    }
}
