//! Files with keys under a passphrase.
//!
//! A file that we protect is a block of PEM, `CONFAB PROTECTED KEY`, with the ASN.1 of an encrypted private key (RFC 5958) whose
//! scheme is PBES2 with scrypt and AES-256-GCM; what is encrypted is the file as it was. Encrypted private keys as OpenSSL
//! writes them are read, too.
//!
//! A process has one passphrase, which its program asks for when the first such file is read ([`ask_with`]). It is wiped when the
//! process ends, and never shown.

use pkcs8::{
    EncryptedPrivateKeyInfoRef, LineEnding,
    der::{Encode, SecretDocument, asn1::OctetStringRef, pem::PemLabel},
    pkcs5::{
        self,
        pbes2::{EncryptionScheme, Kdf, Parameters, Salt, ScryptParams},
    },
};
use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};
use zeroize::Zeroizing;

/// A block that we wrote.
const LABEL: &str = "CONFAB PROTECTED KEY";
/// What guessing one passphrase costs: 2^17 · 1 KiB of memory.
const LOG_COST: u32 = 17;
/// What opening a file of somebody else's may cost.
const MOST_COST: u64 = 1 << 20;
const MOST_ITERATIONS: u32 = 10_000_000;
/// No passphrase is longer, in bytes.
pub const MAX_BYTES: usize = 1024;

/// A passphrase; wiped when it is dropped, and never shown.
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// That of a text, without a line end.
    ///
    /// # Errors
    /// [`PassphraseError::Unfit`] for one that is empty or too long.
    pub fn new(text: Zeroizing<String>) -> Result<Self, PassphraseError> {
        let line = text.trim_end_matches(['\r', '\n']);
        match line.len() {
            0 => Err(PassphraseError::Unfit("it is empty")),
            1..=MAX_BYTES => Ok(Self(Zeroizing::new(line.to_owned()))),
            _ => Err(PassphraseError::Unfit("it is longer than 1,024 bytes")),
        }
    }
}

impl PartialEq for Passphrase {
    fn eq(&self, other: &Self) -> bool {
        *self.0 == *other.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

/// Why a passphrase cannot be had, or a file not be opened with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PassphraseError {
    /// None was given.
    #[error(
        "a passphrase is needed: give it with --passphrase-file FILE, in the variable CONFAB_PASSPHRASE, or at a terminal"
    )]
    None,
    /// It cannot be used.
    #[error("the passphrase cannot be used: {0}")]
    Unfit(&'static str),
    /// It could not be read; the place, and what the system said.
    #[error("the passphrase cannot be read: {0}")]
    Read(String),
    /// It does not open the file.
    #[error("the passphrase is wrong, or the file was damaged")]
    Wrong,
    /// The file is encrypted in a way that is not supported, or damaged.
    #[error("it is encrypted in a way that is not read here: {0}")]
    Unsupported(&'static str),
    /// No randomness.
    #[error("the operating system gives no randomness")]
    Randomness,
}

type Ask = dyn Fn() -> Result<Passphrase, PassphraseError> + Send + Sync;

static ASK: OnceLock<Box<Ask>> = OnceLock::new();
static KNOWN: Mutex<Option<Arc<Passphrase>>> = Mutex::new(None);

/// Says how this process gets its passphrase; once, when its program begins.
pub fn ask_with(ask: impl Fn() -> Result<Passphrase, PassphraseError> + Send + Sync + 'static) {
    // A second one comes too late.
    let _ = ASK.set(Box::new(ask));
}

/// The passphrase of this process, which is asked for at the first time.
///
/// # Errors
/// [`PassphraseError::None`], or what else keeps it from being had.
pub fn get() -> Result<Arc<Passphrase>, PassphraseError> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = &*known {
        return Ok(known.clone());
    }
    let passphrase = Arc::new(ASK.get().ok_or(PassphraseError::None)?()?);
    Ok(known.insert(passphrase).clone())
}

/// Whether a file is one that we protected.
pub fn is_protected(file: &[u8]) -> bool {
    file.trim_ascii_start().starts_with(format!("-----BEGIN {LABEL}-----").as_bytes())
}

struct Protected;

impl PemLabel for Protected {
    const PEM_LABEL: &'static str = LABEL;
}

/// Protects a file's content with a passphrase.
///
/// # Errors
/// [`PassphraseError::Randomness`].
pub fn protect(content: &[u8], passphrase: &Passphrase) -> Result<Vec<u8>, PassphraseError> {
    let (mut salt, mut nonce) = ([0; 16], [0; 12]);
    let fill = |bytes: &mut [u8]| aws_lc_rs::rand::fill(bytes).map_err(|_| PassphraseError::Randomness);
    fill(&mut salt)?;
    fill(&mut nonce)?;
    let scrypt = ScryptParams {
        salt: Salt::new(salt).expect("16 bytes are a salt"),
        cost_parameter: 1 << LOG_COST,
        block_size: 8,
        parallelization: 1,
        key_length: None,
    };
    let scheme = Parameters { kdf: Kdf::Scrypt(scrypt), encryption: EncryptionScheme::Aes256Gcm { nonce } };
    let expect = "a file of a key fits";
    // Encrypted in place: no copy of the content is left behind.
    let mut data = Zeroizing::new(Vec::with_capacity(content.len() + 16));
    data.extend_from_slice(content);
    data.extend_from_slice(&[0; 16]);
    let encrypted = scheme.encrypt_in_place(passphrase.0.as_bytes(), &mut data, content.len()).expect(expect);
    let info = pkcs8::EncryptedPrivateKeyInfo {
        encryption_algorithm: pkcs5::EncryptionScheme::from(scheme),
        encrypted_data: OctetStringRef::new(encrypted).expect(expect),
    };
    let der = SecretDocument::try_from(info.to_der().expect(expect)).expect(expect);
    let pem = der.to_pem(Protected::PEM_LABEL, LineEnding::LF).expect(expect);
    Ok(pem.as_bytes().to_vec())
}

/// The content of a file that we protected.
///
/// # Errors
/// [`PassphraseError::Wrong`], [`PassphraseError::Unsupported`].
pub fn open(file: &[u8], passphrase: &Passphrase) -> Result<Zeroizing<Vec<u8>>, PassphraseError> {
    const DAMAGED: PassphraseError = PassphraseError::Unsupported("the block of PEM is damaged");
    let text = std::str::from_utf8(file.trim_ascii()).map_err(|_| DAMAGED)?;
    let (label, der) = SecretDocument::from_pem(text).map_err(|_| DAMAGED)?;
    match label {
        LABEL => decrypt(der.as_bytes(), passphrase),
        _ => Err(DAMAGED),
    }
}

/// What an encrypted private key in DER holds.
pub(crate) fn decrypt(der: &[u8], passphrase: &Passphrase) -> Result<Zeroizing<Vec<u8>>, PassphraseError> {
    use PassphraseError::{Unsupported, Wrong};
    let info = EncryptedPrivateKeyInfoRef::try_from(der)
        .map_err(|_| Unsupported("no encrypted key that is known"))?;
    let scheme = info.encryption_algorithm.pbes2().ok_or(Unsupported("an older scheme than PBES2"))?;
    let is_bounded = match &scheme.kdf {
        Kdf::Scrypt(scrypt) => {
            let (r, p) = (u64::from(scrypt.block_size), u64::from(scrypt.parallelization));
            let memory = scrypt.cost_parameter.checked_mul(r.max(8) / 8);
            scrypt.cost_parameter.is_power_of_two() && memory.is_some_and(|m| m <= MOST_COST) && p <= 16
        }
        Kdf::Pbkdf2(pbkdf2) => pbkdf2.iteration_count <= MOST_ITERATIONS,
        _ => false,
    };
    if !is_bounded {
        return Err(Unsupported("it would take too much memory or time"));
    }
    let mut data = Zeroizing::new(info.encrypted_data.as_bytes().to_vec());
    let length = match scheme.decrypt_in_place(passphrase.0.as_bytes(), &mut data) {
        Ok(content) => content.len(),
        Err(pkcs5::Error::DecryptFailed) => return Err(Wrong),
        Err(_) => return Err(Unsupported("its cipher")),
    };
    data.truncate(length);
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(Zeroizing::new(text.into())).unwrap()
    }

    static FILE: LazyLock<Vec<u8>> =
        LazyLock::new(|| protect(b"{\"share\":\"secret\"}", &passphrase("correct horse")).unwrap());

    #[test]
    fn a_protected_file_opens_with_its_passphrase_only() {
        assert!(is_protected(&FILE) && !is_protected(b"{\"share\":1}"));
        assert!(!FILE.windows(6).any(|window| window == b"secret"));
        assert_eq!(&**open(&FILE, &passphrase("correct horse\n")).unwrap(), b"{\"share\":\"secret\"}");
        assert_eq!(open(&FILE, &passphrase("correct house")), Err(PassphraseError::Wrong));
        assert_ne!(
            *FILE,
            protect(b"{\"share\":\"secret\"}", &passphrase("correct horse")).unwrap(),
            "salted"
        );
        assert_eq!(format!("{:?}", passphrase("correct horse")), "Passphrase(…)");
        for (text, says) in [("", "empty"), ("\n", "empty"), (&"x".repeat(1025), "longer")] {
            let error = Passphrase::new(Zeroizing::new(text.into())).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    /// What somebody else wrote must not take all memory.
    #[test]
    fn costs_are_bounded() {
        let text = String::from_utf8(FILE.clone()).unwrap();
        let (_, der) = SecretDocument::from_pem(&text).unwrap();
        let cost = [0x02, 0x03, 0x02, 0x00, 0x00];
        let place = der.as_bytes().windows(5).position(|window| window == cost).unwrap();
        let mut dear = der.as_bytes().to_vec();
        dear[place + 2] = 0x40;
        let error = decrypt(&dear, &passphrase("correct horse")).unwrap_err();
        assert_eq!(error, PassphraseError::Unsupported("it would take too much memory or time"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn damaged_files_are_refused(at: prop::sample::Index, byte: u8, bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let passphrase = passphrase("correct horse");
            let mut file = FILE.clone();
            let at = at.index(file.len() - 1);
            if file[at] != byte && !(file[at].is_ascii_whitespace() && byte.is_ascii_whitespace()) {
                file[at] = byte;
                prop_assert!(open(&file, &passphrase).is_err());
            }
            prop_assert!(open(&bytes, &passphrase).is_err() && decrypt(&bytes, &passphrase).is_err());
        }
    }
}
