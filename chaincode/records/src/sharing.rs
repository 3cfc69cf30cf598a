//! Encrypted instances that a provider records for an analyst (chapter 4, 4.6.1 of the book).
//!
//! An analyst publishes a modulus ([`AnalystKey`]), a provider announces a table for it ([`SharedTable`]) and records the
//! table's rows ([`Instance`]), each encrypted under that key. Parties are named by their address, [`address`].

use crate::{
    Bytes, Digest, Fingerprint, KeyHash, MspId, NotHex, ParamsError, VERSION,
    names::as_text,
    params::{check, check_key_bits},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::{borrow::Cow, collections::BTreeSet, fmt, str::FromStr};

/// Most bytes of a row's ciphertexts that lie on the ledger itself; of more, only the digest does.
pub const MAX_INLINE_BYTES: u32 = 8 * 1024;

/// Bits of one value in a plaintext, its sign included; it counts units of 1/[`SCALE`](crate::SCALE).
pub const SHARED_VALUE_BITS: u32 = 64;

/// Most rows in one call, and most entries of one page.
pub const MAX_PAGE: u32 = 256;

/// Most bytes of a page that has more than one entry: half of what a gRPC message may have where nothing else is said.
pub const MAX_PAGE_BYTES: usize = 2 * 1024 * 1024;

/// Most rows of a table, and most columns.
const MAX_ROWS: u32 = 10_000_000;
const MAX_COLUMNS: usize = 4096;

/// The address of a party: a hash of what identifies it in jobs, too ([`Acceptance`](crate::Acceptance)).
pub fn address(msp_id: &MspId, key_hash: &KeyHash) -> Digest {
    Digest::tagged("confab address", &[msp_id.as_str().as_bytes(), key_hash.to_string().as_bytes()])
}

/// What kind of device made the rows: 4 bytes, which the channel's members agree on; 8 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Device(pub [u8; 4]);

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Device {
    type Err = NotHex;

    fn from_str(text: &str) -> Result<Self, NotHex> {
        let mut bytes = [0; 4];
        let lower = text.bytes().all(|b| !b.is_ascii_uppercase());
        match lower && hex::decode_to_slice(text, &mut bytes).is_ok() {
            true => Ok(Self(bytes)),
            false => Err(NotHex(8)),
        }
    }
}

as_text!(Device);

/// The modulus N of an ordinary Paillier key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Modulus {
    /// N, big-endian.
    pub n: Bytes,
    /// Consent to a modulus below 2,048 bits.
    #[serde(default)]
    pub insecure_key_bits: bool,
}

impl Modulus {
    /// What the key is called.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(Digest::tagged("confab analyst key", &[&self.n.0]))
    }

    /// Bits of N.
    pub fn bits(&self) -> u32 {
        self.n.0.len() as u32 * 8
    }

    /// Checks all that can be seen without arithmetic; the party that encrypts checks the rest.
    ///
    /// # Errors
    /// A length that is not agreed to, leading zeros, or an N that is not 1 modulo 4.
    pub fn validate(&self) -> Result<(), ParamsError> {
        check(self.n.0.len() <= 512, "n", "longer than 4,096 bits")?;
        check_key_bits(self.bits(), self.insecure_key_bits)?;
        check(self.n.0[0] >= 0x80, "n", "it begins with a zero bit")?;
        check(
            self.n.0[self.n.0.len() - 1] & 3 == 1,
            "n",
            "not 1 modulo 4: its factors are not both 3 modulo 4",
        )
    }
}

/// A key that an analyst published; it holds the secret part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnalystKey {
    /// Layout version, [`VERSION`].
    pub version: u32,
    /// Address of the analyst; from the certificate, as the MSP identifier.
    pub analyst: Digest,
    /// MSP identifier of the analyst.
    pub msp_id: MspId,
    /// The public key.
    pub modulus: Modulus,
    /// When it was published: the transaction's timestamp in seconds since 1970.
    pub published: u64,
}

/// What a provider says of a table before it records the rows: how to read them, and for whom they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedTable {
    /// Layout version, [`VERSION`].
    pub version: u32,
    /// Address of the provider: the contract compares it with the caller's.
    pub provider: Digest,
    /// MSP identifier of the provider.
    pub msp_id: MspId,
    /// Address of the analyst.
    pub analyst: Digest,
    /// Fingerprint of the analyst's key under which the rows are encrypted.
    pub key: Fingerprint,
    /// Bits of that key.
    pub key_bits: u32,
    /// What made the rows.
    pub device: Device,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The classes, where the rows have labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<SharedClasses>,
    /// Number of rows.
    pub rows: u32,
    /// Whether the ciphertexts lie elsewhere and only their digests on the ledger.
    pub off_ledger: bool,
    /// 16 bytes that tell two tables of one form apart.
    pub nonce: Bytes,
}

/// The label column of a table and its two classes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedClasses {
    /// Its name.
    pub column: String,
    /// The class +1.
    pub positive: String,
    /// The class −1.
    pub negative: String,
}

impl SharedTable {
    /// What the table is called: SHA-256 of all that is said of it.
    pub fn id(&self) -> Digest {
        let json = serde_json::to_vec(self).expect("a table holds only strings, integers and arrays");
        Digest::tagged("confab shared table", &[&json])
    }

    /// Values of a row: the columns', and the label's behind them.
    pub fn values(&self) -> usize {
        self.columns.len() + usize::from(self.classes.is_some())
    }

    /// Values in one ciphertext.
    pub fn slots(&self) -> usize {
        ((self.key_bits - 1) / SHARED_VALUE_BITS) as usize
    }

    /// Ciphertexts of a row.
    pub fn ciphertexts(&self) -> usize {
        self.values().div_ceil(self.slots())
    }

    /// Bytes of one ciphertext: a residue modulo N².
    pub fn ciphertext_bytes(&self) -> usize {
        self.key_bits as usize / 4
    }

    /// Bytes of a row's ciphertexts.
    pub fn row_bytes(&self) -> u32 {
        (self.ciphertexts() * self.ciphertext_bytes()) as u32
    }

    /// Checks sizes and names.
    ///
    /// # Errors
    /// The first field at fault.
    pub fn validate(&self) -> Result<(), ParamsError> {
        check(self.version == VERSION, "version", format!("not {VERSION}"))?;
        check_key_bits(self.key_bits, true)?;
        check((1..=MAX_COLUMNS).contains(&self.columns.len()), "columns", "not 1 to 4,096")?;
        let classes = self.classes.iter().flat_map(|c| [&c.column, &c.positive, &c.negative]);
        // They are shown on terminals and stand in headers.
        let is_name = |name: &String| (1..=256).contains(&name.len()) && !name.contains(char::is_control);
        let named = self.columns.iter().chain(classes).all(is_name);
        check(named, "columns", "a name is empty, longer than 256 bytes, or has control characters")?;
        let label = self.classes.iter().map(|classes| &classes.column);
        let distinct: BTreeSet<&String> = self.columns.iter().chain(label).collect();
        check(distinct.len() == self.values(), "columns", "one is named twice")?;
        let differ = self.classes.as_ref().is_none_or(|classes| classes.positive != classes.negative);
        check(differ, "classes", "they are the same")?;
        check((1..=MAX_ROWS).contains(&self.rows), "rows", "not in 1..=10,000,000")?;
        let fits = self.off_ledger || self.row_bytes() <= MAX_INLINE_BYTES;
        check(
            fits,
            "off_ledger",
            format!("rows of more than {MAX_INLINE_BYTES} bytes do not lie on the ledger"),
        )?;
        check(self.nonce.0.len() == 16, "nonce", "not 16 bytes")
    }

    /// Checks that no name holds characters that are not to be read; see [`text`](crate::text). It is not part of
    /// [`validate`](Self::validate), so that older tables stay readable.
    ///
    /// # Errors
    /// The first field with one.
    pub fn check_text(&self) -> Result<(), ParamsError> {
        let plain =
            |field, text: &String| crate::text::check(text).map_err(|reason| ParamsError { field, reason });
        self.columns.iter().try_for_each(|name| plain("columns", name))?;
        let classes = self.classes.iter().flat_map(|c| [&c.column, &c.positive, &c.negative]);
        classes.into_iter().try_for_each(|name| plain("classes", name))
    }
}

/// A row's ciphertexts one after the other, or where they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// Themselves.
    Ciphertext(Bytes),
    /// They lie elsewhere under their digest.
    OffLedger {
        /// SHA-256 of them.
        sha256: Digest,
        /// How many bytes.
        length: u32,
    },
}

impl Content {
    /// Checks form and length.
    ///
    /// # Errors
    /// What is not as the table says.
    pub fn check(&self, table: &SharedTable) -> Result<(), String> {
        let length = match (self, table.off_ledger) {
            (Self::Ciphertext(bytes), false) => bytes.0.len() as u64,
            (Self::OffLedger { length, .. }, true) => u64::from(*length),
            (_, true) => return Err("the table's rows lie elsewhere, not on the ledger".into()),
            (_, false) => return Err("the table's rows lie on the ledger, not elsewhere".into()),
        };
        match length == u64::from(table.row_bytes()) {
            true => Ok(()),
            false => Err(format!("{length} bytes of ciphertexts instead of {}", table.row_bytes())),
        }
    }

    /// The digest and the length, wherever the ciphertexts lie.
    pub fn digested(&self) -> Self {
        match self {
            Self::Ciphertext(bytes) => {
                Self::OffLedger { sha256: Digest::of(&bytes.0), length: bytes.0.len() as u32 }
            }
            elsewhere => elsewhere.clone(),
        }
    }
}

/// A row as a provider hands it in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Its index in the table.
    pub row: u32,
    /// Its ciphertexts.
    pub content: Content,
}

/// A row as it lies on the ledger. All but index and ciphertexts are the contract's, from certificate and table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// Layout version, [`VERSION`].
    pub version: u32,
    /// Address of the provider.
    pub provider: Digest,
    /// Address of the analyst.
    pub analyst: Digest,
    /// What made the row.
    pub device: Device,
    /// Fingerprint of the analyst's key.
    pub key: Fingerprint,
    /// The table.
    pub table: Digest,
    /// Index in the table.
    pub row: u32,
    /// The ciphertexts.
    pub content: Content,
}

impl Instance {
    /// A row of a table.
    pub fn new(table: &SharedTable, id: Digest, row: Row) -> Self {
        let SharedTable { provider, analyst, device, key, .. } = *table;
        Self {
            version: VERSION,
            provider,
            analyst,
            device,
            key,
            table: id,
            row: row.row,
            content: row.content,
        }
    }
}

/// Part of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page<T> {
    /// The entries in the order of their keys.
    pub entries: Vec<T>,
    /// Where the next page begins; empty after the last.
    pub bookmark: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_their_digits() {
        assert_eq!("0000002a".parse(), Ok(Device([0, 0, 0, 42])));
        for wrong in ["", "2a", "0000002A", "0000002g", "0x00002a"] {
            assert_eq!(wrong.parse::<Device>(), Err(NotHex(8)));
        }
    }

    #[test]
    fn an_address_tells_names_and_keys_apart() {
        let [one, other] = ["Org1MSP", "Org2MSP"].map(|name| name.parse().unwrap());
        let [first, second] = [[1; 32], [2; 32]].map(KeyHash::from);
        let addresses: BTreeSet<Digest> =
            [(&one, &first), (&one, &second), (&other, &first)].map(|(name, key)| address(name, key)).into();
        assert_eq!(addresses.len(), 3);
    }
}
