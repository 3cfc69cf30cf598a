//! Private keys in the forms in which files have them.

use crate::{
    passphrase::{self, PassphraseError},
    text,
};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use p256::pkcs8::der::asn1::{AnyRef, BitStringRef, ContextSpecific, Null, OctetStringRef, UintRef};
use p256::pkcs8::der::{
    self, Decode, Encode, EncodeValue, FixedTag, Length, Reader, SecretDocument, SliceReader, Tag, TagNumber,
    Tagged, Writer,
};
use p256::pkcs8::spki::AlgorithmIdentifierRef;
use p256::pkcs8::{LineEnding, ObjectIdentifier, PrivateKeyInfoRef};
use std::fmt;
use zeroize::Zeroizing;

const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const PRIME_FIELD: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.1.1");

/// Tags of the optional parts of an `ECPrivateKey` (RFC 5915).
const PARAMETERS: TagNumber = TagNumber(0);
const PUBLIC_KEY: TagNumber = TagNumber(1);

/// The private key of a PEM file, whatever its kind, in PKCS#8 with named parameters; wiped when it is dropped.
///
/// Fabric CA, cryptogen, OpenSSL and Node's crypto write and read more than the one form: PKCS#8 and the older ones of
/// elliptic curves (SEC1) and RSA (PKCS#1), curves by name or with all their numbers, and files that hold parameters,
/// certificates or a text of OpenSSL's beside the key.
pub struct PrivateKey {
    pkcs8: SecretDocument,
}

impl PrivateKey {
    /// The first private key of a PEM text.
    ///
    /// # Errors
    /// [`KeyError`] for one that is encrypted, damaged or not there.
    pub fn from_pem(pem: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let bytes = pem.as_ref();
        let text = text::decode(bytes).map_err(|_| KeyError::missing(bytes, &[]))?;
        let mut labels = Vec::new();
        for block in blocks(&text) {
            match block.label {
                "ENCRYPTED PRIVATE KEY" => {
                    let contents = block.contents()?;
                    let passphrase = match passphrase::get() {
                        Err(PassphraseError::None) => return Err(KeyError::Encrypted),
                        passphrase => passphrase?,
                    };
                    return Self::from_pkcs8(&passphrase::decrypt(&contents, &passphrase)?);
                }
                "PRIVATE KEY" => return Self::from_pkcs8(&block.contents()?),
                "EC PRIVATE KEY" => return Self::from_sec1(&block.contents()?, None),
                "RSA PRIVATE KEY" => return Self::from_pkcs1(&block.contents()?),
                label => labels.push(label),
            }
        }
        Err(KeyError::missing(bytes, &labels))
    }

    /// PKCS#8 in DER.
    pub fn pkcs8_der(&self) -> &[u8] {
        self.pkcs8.as_bytes()
    }

    /// PKCS#8 in PEM: nothing but the key.
    ///
    /// # Errors
    /// None that is expected.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        self.pkcs8.to_pem("PRIVATE KEY", LineEnding::LF).map_err(|_| KeyError::Damaged("too long"))
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        const DAMAGED: KeyError = KeyError::Damaged("not PKCS#8");
        let info = PrivateKeyInfoRef::try_from(der).map_err(|_| DAMAGED)?;
        match info.algorithm.oid {
            EC => Self::from_sec1(info.private_key.as_bytes(), info.algorithm.parameters),
            _ => Ok(Self { pkcs8: SecretDocument::try_from(der).map_err(|_| DAMAGED)? }),
        }
    }

    fn from_pkcs1(der: &[u8]) -> Result<Self, KeyError> {
        let damaged = |_| KeyError::Damaged("not PKCS#1");
        AnyRef::from_der(der).and_then(|any| any.tag().assert_eq(Tag::Sequence)).map_err(damaged)?;
        let algorithm = AlgorithmIdentifierRef { oid: RSA, parameters: Some(Null.into()) };
        let key = OctetStringRef::new(der).map_err(damaged)?;
        let info = PrivateKeyInfoRef::new(algorithm, key);
        Ok(Self { pkcs8: SecretDocument::encode_msg(&info).map_err(damaged)? })
    }

    /// An `ECPrivateKey`, with the parameters that stand outside of it in PKCS#8.
    fn from_sec1(der: &[u8], outside: Option<AnyRef<'_>>) -> Result<Self, KeyError> {
        let damaged = |_| KeyError::Damaged("not an elliptic curve's key");
        let (scalar, inside) = ec_private_key(der).map_err(damaged)?;
        let curve = curve(outside.or(inside).ok_or(KeyError::Damaged("its curve is not named"))?)?;
        let scalar = Zeroizing::new(padded(scalar, &curve));
        // Without the public key, which follows from it: it may be there or not, compressed or not.
        let inner = EcPrivateKey { scalar: OctetStringRef::new(&scalar).map_err(damaged)? };
        let inner = SecretDocument::encode_msg(&inner).map_err(damaged)?;
        let algorithm = AlgorithmIdentifierRef { oid: EC, parameters: Some((&curve).into()) };
        let info = PrivateKeyInfoRef::new(algorithm, OctetStringRef::new(inner.as_bytes()).map_err(damaged)?);
        Ok(Self { pkcs8: SecretDocument::encode_msg(&info).map_err(damaged)? })
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

/// Why a text holds no private key that can be used; never holds any of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A passphrase is needed, and there is no way to ask for one.
    #[error(
        "the private key is encrypted with a passphrase: give that with --passphrase-file FILE or in the variable \
         CONFAB_PASSPHRASE, or write the key without one into a file that only you can read (umask 077; openssl pkey -in \
         ENCRYPTED -out KEY)"
    )]
    Encrypted,
    /// The passphrase does not open it.
    #[error("the private key is encrypted: {0}")]
    Passphrase(#[from] PassphraseError),
    /// The text holds something else.
    #[error("no private key in PEM: {0}")]
    Missing(String),
    /// A block that says it is a private key and is not.
    #[error("the private key cannot be read: {0}")]
    Damaged(&'static str),
    /// A key of another kind than what is wanted.
    #[error("the private key is of another kind: {0}")]
    Kind(&'static str),
}

impl KeyError {
    /// What the text holds instead of a key, and what to do.
    fn missing(bytes: &[u8], labels: &[&str]) -> Self {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(64)]);
        Self::Missing(match labels {
            _ if labels.contains(&"OPENSSH PRIVATE KEY") => {
                "it is in OpenSSH's own form; convert a copy with ssh-keygen -p -m PKCS8 -f COPY".into()
            }
            [] if bytes.is_empty() => "it is empty".into(),
            // A sequence, as all of DER; that of PKCS#12 has version 3 first.
            [] if bytes[0] == 0x30 => {
                "it is binary; convert it with openssl pkey -inform DER -in FILE -out KEY \
                 (PKCS#12: openssl pkcs12 -nodes -nocerts -in FILE -out KEY)"
                    .into()
            }
            [] if text.trim_start().starts_with('{') => {
                "it is JSON; a wallet's identity holds the key as credentials.privateKey".into()
            }
            [] if bytes.windows(11).any(|window| window == b"-----BEGIN ") => {
                "its lines are joined or damaged; -----BEGIN … PRIVATE KEY-----, -----END … PRIVATE KEY----- and the text \
                 between them have to be on lines of their own"
                    .into()
            }
            [] => "it has no block that begins with -----BEGIN … PRIVATE KEY-----".into(),
            _ => format!("it holds {}", labels.join(", ")),
        })
    }
}

/// A block of PEM, not decoded yet.
struct Block<'a> {
    label: &'a str,
    lines: Vec<&'a str>,
    is_complete: bool,
}

/// The blocks of a text, among whatever else it says.
fn blocks(text: &str) -> Vec<Block<'_>> {
    const BOUNDARY: &str = "-----";
    const MAX_LABEL_BYTES: usize = 40;
    let label = |line: &'_ str, what: &str| -> Option<(usize, usize)> {
        let inner = line.strip_prefix(BOUNDARY)?.strip_prefix(what)?.strip_suffix(BOUNDARY)?;
        // Labels are shown. Where a whole key is on one line, what is between the first and the last boundary is none.
        let is_label = |c: u8| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b' ';
        if inner.len() > MAX_LABEL_BYTES || !inner.bytes().all(is_label) {
            return None;
        }
        let start = BOUNDARY.len() + what.len();
        Some((start, start + inner.len()))
    };
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut is_inside = false;
    for line in text.lines().map(str::trim) {
        if let Some((from, to)) = label(line, "BEGIN ") {
            blocks.push(Block { label: &line[from..to], lines: Vec::new(), is_complete: false });
            is_inside = true;
        } else if let Some(block) = blocks.last_mut().filter(|_| is_inside) {
            match label(line, "END ") {
                Some((from, to)) => {
                    block.is_complete = line[from..to] == *block.label;
                    is_inside = false;
                }
                None => block.lines.push(line),
            }
        }
    }
    blocks
}

impl Block<'_> {
    fn contents(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        if !self.is_complete {
            return Err(KeyError::Damaged("its block has no end"));
        }
        // Headers of OpenSSL's older form come first and end with an empty line.
        if self.lines.iter().any(|line| line.starts_with("Proc-Type:") && line.contains("ENCRYPTED")) {
            return Err(KeyError::Encrypted);
        }
        let lines = || self.lines.iter().filter(|line| !line.contains(':'));
        let mut text = Zeroizing::new(String::with_capacity(lines().map(|line| line.len()).sum()));
        lines().for_each(|line| text.push_str(line));
        let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
        BASE64_STANDARD.decode_vec(&*text, &mut bytes).map_err(|_| KeyError::Damaged("not Base64"))?;
        Ok(bytes)
    }
}

/// An `ECPrivateKey` without parameters and public key.
struct EcPrivateKey<'a> {
    scalar: &'a OctetStringRef,
}

impl EncodeValue for EcPrivateKey<'_> {
    fn value_len(&self) -> der::Result<Length> {
        1u8.encoded_len()? + self.scalar.encoded_len()?
    }

    fn encode_value(&self, writer: &mut impl Writer) -> der::Result<()> {
        1u8.encode(writer)?;
        self.scalar.encode(writer)
    }
}

impl FixedTag for EcPrivateKey<'_> {
    const TAG: Tag = Tag::Sequence;
}

/// The secret number of an `ECPrivateKey`, and its parameters.
fn ec_private_key(der: &[u8]) -> der::Result<(&[u8], Option<AnyRef<'_>>)> {
    let mut reader = SliceReader::new(der)?;
    let parts = reader.sequence(|reader| {
        let version = u8::decode(reader)?;
        if version != 1 {
            return Err(Tag::Integer.value_error().into());
        }
        let scalar = <&OctetStringRef>::decode(reader)?.as_bytes();
        let parameters = ContextSpecific::<AnyRef<'_>>::decode_explicit(reader, PARAMETERS)?;
        let _public = ContextSpecific::<BitStringRef<'_>>::decode_explicit(reader, PUBLIC_KEY)?;
        Ok::<_, der::Error>((scalar, parameters.map(|parameters| parameters.value)))
    })?;
    reader.finish()?;
    Ok(parts)
}

/// A secret number in as many bytes as the curve's field has; some write it without its leading zeros, or with one more.
fn padded(scalar: &[u8], curve: &ObjectIdentifier) -> Vec<u8> {
    let Some(known) = CURVES.iter().find(|known| known.name == *curve) else { return scalar.to_vec() };
    let size = known.numbers[0].len() / 2;
    let significant = &scalar[scalar.iter().take_while(|&&byte| byte == 0).count()..];
    let mut padded = vec![0; size.max(significant.len())];
    let start = padded.len() - significant.len();
    padded[start..].copy_from_slice(significant);
    padded
}

/// A curve that keys may have all the numbers of.
struct Curve {
    name: ObjectIdentifier,
    /// Hexadecimal: p, a, b, the generator's x and y, and its order.
    numbers: [&'static str; 6],
}

/// From SEC 2, version 2, sections 2.4.2 and 2.5.1.
const CURVES: [Curve; 2] = [
    Curve {
        name: ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"),
        numbers: [
            "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
            "ffffffff00000001000000000000000000000000fffffffffffffffffffffffc",
            "5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b",
            "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
            "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
            "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
        ],
    },
    Curve {
        name: ObjectIdentifier::new_unwrap("1.3.132.0.34"),
        numbers: [
            "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffff",
            "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000fffffffc",
            "b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef",
            "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7",
            "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f",
            "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
        ],
    },
];

/// The name of a curve that is named or given by all its numbers.
fn curve(parameters: AnyRef<'_>) -> Result<ObjectIdentifier, KeyError> {
    if let Ok(name) = ObjectIdentifier::try_from(parameters) {
        return Ok(name);
    }
    let numbers = explicit_curve(parameters).map_err(|_| KeyError::Damaged("its curve cannot be read"))?;
    CURVES
        .iter()
        .find(|curve| curve.numbers == numbers.each_ref().map(String::as_str))
        .map(|curve| curve.name)
        .ok_or(KeyError::Kind("its curve, given by numbers instead of a name, is neither P-256 nor P-384"))
}

/// `ECParameters` (SEC 1, section C.2) of a curve over a prime field, in the order of [`Curve::numbers`]. All of them
/// count: a known curve with another generator gives other people keys to the same public points.
fn explicit_curve(parameters: AnyRef<'_>) -> der::Result<[String; 6]> {
    parameters.sequence(|reader| {
        let _version = u8::decode(reader)?;
        let p = reader.sequence(|reader| {
            match ObjectIdentifier::decode(reader)? {
                PRIME_FIELD => {}
                _ => return Err(Tag::ObjectIdentifier.value_error().into()),
            }
            Ok::<_, der::Error>(UintRef::decode(reader)?.as_bytes())
        })?;
        let (a, b) = reader.sequence(|reader| {
            let a = <&OctetStringRef>::decode(reader)?.as_bytes();
            let b = <&OctetStringRef>::decode(reader)?.as_bytes();
            let _seed = Option::<BitStringRef<'_>>::decode(reader)?;
            Ok::<_, der::Error>((a, b))
        })?;
        let generator = <&OctetStringRef>::decode(reader)?.as_bytes();
        let order = UintRef::decode(reader)?.as_bytes();
        let _cofactor = Option::<UintRef<'_>>::decode(reader)?;
        let (x, y) = coordinates(generator).ok_or_else(|| Tag::OctetString.value_error())?;
        Ok::<_, der::Error>([hex(p), hex(a), hex(b), hex(x), y, hex(order)])
    })
}

/// The coordinates of a generator. Of a compressed one only y's parity is there: that of a known curve is taken where it
/// fits.
fn coordinates(point: &[u8]) -> Option<(&[u8], String)> {
    match point {
        [4, xy @ ..] if xy.len() % 2 == 0 => {
            let (x, y) = xy.split_at(xy.len() / 2);
            Some((x, hex(y)))
        }
        [sign @ (2 | 3), x @ ..] => {
            let [_, _, _, _, y, _] =
                CURVES.iter().map(|curve| curve.numbers).find(|known| known[3] == hex(x))?;
            let is_odd = u8::from_str_radix(&y[y.len() - 2..], 16).is_ok_and(|last| last % 2 == 1);
            (is_odd == (*sign == 3)).then(|| (x, y.to_owned()))
        }
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
