//! A provider's side: encrypts a table's rows under an analyst's key and records them.
//!
//! A command that was killed is given again: all randomness follows from the provider's secret, the table and the rows, so
//! that what is made again is the same, and what is on the ledger already is left alone.

use super::{
    Sharing, SharingError,
    values::{Form, Values},
};
use crate::blobs::Blobs;
use dataset::table::Table;
use gateway_client::Call;
use paillier::{Ciphertext, EncryptionKey, Encryptor, Randomness};
use protocol::JobSecret;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use records::{
    AnalystKey, Bytes, Content, Device, Digest, Fingerprint, MAX_INLINE_BYTES, MAX_RECORD_BYTES, Row,
    SharedClasses, SharedTable, VERSION,
};
use serde::Serialize;
use std::{collections::BTreeMap, ops::Range, sync::Arc};
use tokio::task::JoinSet;
use zeroize::Zeroize;

/// Most rows of one transaction: enough to keep all lanes of the arithmetic busy.
const MAX_BATCH: usize = 64;
/// Transactions under way at once.
const IN_FLIGHT: usize = 4;

/// What a provider shares, and with whom.
pub struct Offer<'a> {
    /// The analyst's key, and what [`checked`](super::checked) made of it.
    pub to: &'a AnalystKey,
    /// The same, for encryption.
    pub key: &'a EncryptionKey,
    /// What made the rows.
    pub device: Device,
    /// Where rows lie that are not to be on the ledger.
    pub blobs: Option<&'a Blobs>,
    /// Whether rows that are small enough for the ledger lie elsewhere, too.
    pub off_ledger: bool,
}

/// What was shared.
#[derive(Clone, Debug, Serialize)]
pub struct Provided {
    /// The table.
    pub table: Digest,
    /// Its analyst.
    pub analyst: Digest,
    /// The analyst's key.
    pub key: Fingerprint,
    /// Rows of the table, all of which are on the ledger now.
    pub rows: u32,
    /// Rows that were there before.
    pub already: u32,
    /// Ciphertexts of a row.
    pub ciphertexts: usize,
    /// Bytes of a row's ciphertexts.
    pub row_bytes: u32,
    /// Whether they lie in the folder and only their digests on the ledger.
    pub off_ledger: bool,
    /// Cells that were rounded to nine decimal places.
    pub rounded: u64,
}

impl Sharing {
    /// Shares a table. `progress` is told how many rows are on the ledger.
    ///
    /// # Errors
    /// A table that cannot be shared, a refusal, or a ledger that does not answer: what was shared by then stays, and the
    /// same call goes on with the rest.
    pub async fn share(
        &self,
        table: &Table,
        offer: &Offer<'_>,
        secret: &JobSecret,
        mut progress: impl FnMut(u32, u32),
    ) -> Result<Provided, SharingError> {
        let values = Arc::new(Values::encode(table).map_err(SharingError::Input)?);
        let frame = self.frame(table, &values, offer, secret)?;
        let id = frame.id();
        let blobs = match (frame.off_ledger, offer.blobs) {
            (false, _) => None,
            (true, Some(blobs)) => Some(blobs.clone()),
            (true, None) => {
                return Err(SharingError::Input(format!(
                    "a row has {} bytes of ciphertexts, and rows of more than {MAX_INLINE_BYTES} do not lie on the ledger: \
                     name a folder for them with --blobs",
                    frame.row_bytes()
                )));
            }
        };
        let json = serde_json::to_vec(&frame).expect("a table holds only strings, integers and arrays");
        self.submit(Call::new("announce").arg(json)).await?;

        let there = self.rows(&frame).await?.into_iter().map(|instance| (instance.row, instance.content));
        let there: BTreeMap<u32, Content> = there.collect();
        let (rows, already) = (frame.rows, there.len() as u32);
        let mut done = already;
        progress(done, rows);
        let maker = Arc::new(RowEncryptor {
            encryptor: Encryptor::new(offer.key, Randomness::Short),
            form: Form::new(&frame, offer.key)?,
            secret: secret.clone(),
            table: id,
            values: values.clone(),
            blobs,
            there,
        });
        let mut under_way: JoinSet<Result<u32, SharingError>> = JoinSet::new();
        for batch in batches(&frame) {
            let maker = maker.clone();
            let made = tokio::task::spawn_blocking(move || maker.make(batch)).await??;
            let Some((count, json)) = made else { continue };
            while under_way.len() >= IN_FLIGHT {
                done += finished(&mut under_way).await?;
                progress(done, rows);
            }
            let (sharing, analyst, provider) = (self.clone(), frame.analyst, frame.provider);
            under_way.spawn(async move {
                let call = Call::new("share").arg(analyst.to_string()).arg(provider.to_string());
                sharing.submit(call.arg(id.to_string()).arg(json)).await?;
                Ok(count)
            });
        }
        while !under_way.is_empty() {
            done += finished(&mut under_way).await?;
            progress(done, rows);
        }
        Ok(Provided {
            table: id,
            analyst: frame.analyst,
            key: frame.key,
            rows,
            already,
            ciphertexts: frame.ciphertexts(),
            row_bytes: frame.row_bytes(),
            off_ledger: frame.off_ledger,
            rounded: values.rounded,
        })
    }

    /// What is said of a table: the same for the same content, so that sharing it again goes on.
    fn frame(
        &self,
        table: &Table,
        values: &Values,
        offer: &Offer<'_>,
        secret: &JobSecret,
    ) -> Result<SharedTable, SharingError> {
        let classes = table.classes.as_ref().map(|classes| SharedClasses {
            column: classes.column.clone(),
            positive: classes.positive_name(),
            negative: classes.negative_name(),
        });
        let rows = u32::try_from(values.len()).map_err(|_| SharingError::Input("too many rows".into()))?;
        let content = hex::encode(values.digest(0..values.len()));
        let nonce =
            secret.derive(offer.to.analyst.to_string().as_bytes(), &format!("shared table {content}"));
        let mut frame = SharedTable {
            version: VERSION,
            provider: self.address,
            msp_id: self.msp_id.clone(),
            analyst: offer.to.analyst,
            key: offer.to.modulus.fingerprint(),
            key_bits: offer.to.modulus.bits(),
            device: offer.device,
            columns: table.columns.clone(),
            classes,
            rows,
            off_ledger: offer.off_ledger,
            nonce: Bytes(nonce[..16].to_vec()),
        };
        frame.off_ledger |= frame.row_bytes() > MAX_INLINE_BYTES;
        frame.validate().map_err(|e| SharingError::Input(e.to_string()))?;
        Ok(frame)
    }
}

/// Waits for one of the transactions under way; how many rows it recorded.
async fn finished(under_way: &mut JoinSet<Result<u32, SharingError>>) -> Result<u32, SharingError> {
    under_way.join_next().await.map_or(Ok(0), |joined| joined?)
}

/// The rows that are made together, and recorded in one transaction.
fn batches(table: &SharedTable) -> impl Iterator<Item = Range<u32>> + use<> {
    let bytes = if table.off_ledger { 0 } else { table.row_bytes() as usize };
    // Base64 of it, and the row's number with the names of the fields.
    let row_json = bytes.div_ceil(3) * 4 + 160;
    let (rows, size) = (table.rows, (MAX_RECORD_BYTES / row_json).clamp(1, MAX_BATCH) as u32);
    (0..rows.div_ceil(size)).map(move |batch| batch * size..((batch + 1) * size).min(rows))
}

/// Makes a table's records.
struct RowEncryptor {
    encryptor: Encryptor,
    form: Form,
    secret: JobSecret,
    table: Digest,
    values: Arc<Values>,
    blobs: Option<Blobs>,
    /// What is on the ledger, as digests.
    there: BTreeMap<u32, Content>,
}

impl RowEncryptor {
    /// Puts files that are missing into the folder. How many rows of a batch the ledger lacks, and they as the contract takes
    /// them; nothing where it has all.
    fn make(&self, batch: Range<u32>) -> Result<Option<(u32, Vec<u8>)>, SharingError> {
        if batch.clone().all(|row| self.is_there(row)) {
            return Ok(None);
        }
        let ciphertexts = self.encrypt(batch.clone())?;
        let contents: Vec<Content> = match &self.blobs {
            None => ciphertexts.into_iter().map(|bytes| Content::Ciphertext(Bytes(bytes))).collect(),
            Some(blobs) => {
                let lengths = ciphertexts.iter().map(|bytes| bytes.len() as u32);
                let named = blobs.put(&ciphertexts)?.into_iter().zip(lengths);
                named.map(|(sha256, length)| Content::OffLedger { sha256, length }).collect()
            }
        };
        let rows = batch.zip(contents).map(|(row, content)| Row { row, content });
        let missing: Vec<Row> = rows.filter(|row| !self.there.contains_key(&row.row)).collect();
        let json = serde_json::to_vec(&missing).expect("rows hold only strings and integers");
        Ok((!missing.is_empty()).then_some((missing.len() as u32, json)))
    }

    /// Whether a row is on the ledger, and its file, if it has one, in the folder.
    fn is_there(&self, row: u32) -> bool {
        match (self.there.get(&row), &self.blobs) {
            (None, _) => false,
            (Some(Content::OffLedger { sha256, length }), Some(blobs)) => blobs.get(sha256, *length).is_ok(),
            (Some(_), _) => true,
        }
    }

    /// The ciphertexts of each row of a batch, one after the other. Full-range randomness: the owner of the key can take
    /// roots.
    fn encrypt(&self, batch: Range<u32>) -> Result<Vec<Vec<u8>>, SharingError> {
        let rows = batch.start as usize..batch.end as usize;
        let inputs = hex::encode(self.values.digest(rows.clone()));
        let mut seed =
            self.secret.derive(self.table.to_string().as_bytes(), &format!("rows {batch:?} {inputs}"));
        let mut rng = ChaCha20Rng::from_seed(seed);
        seed.zeroize();
        let plaintexts: Vec<Vec<_>> = rows.map(|row| self.form.pack(self.values.row(row))).collect();
        let each = plaintexts.first().map_or(1, Vec::len);
        let encrypted = self.encryptor.encrypt_fully(&plaintexts.concat(), &mut rng);
        let encrypted = encrypted.map_err(|e| SharingError::Input(e.to_string()))?;
        let bytes = Ciphertext::to_bytes_batch(self.encryptor.key(), &encrypted);
        Ok(bytes.chunks(each).map(<[Vec<u8>]>::concat).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataset::table::Columns;
    use paillier::PrivateKey;
    use records::MAX_PAGE;

    fn frame(columns: usize, rows: u32, key_bits: u32, off_ledger: bool) -> SharedTable {
        let zero = Digest::of(b"");
        SharedTable {
            version: VERSION,
            provider: zero,
            msp_id: "Org1MSP".parse().unwrap(),
            analyst: zero,
            key: Fingerprint(zero),
            key_bits,
            device: Device::default(),
            columns: (0..columns).map(|column| format!("c{column}")).collect(),
            classes: None,
            rows,
            off_ledger,
            nonce: Bytes(vec![0; 16]),
        }
    }

    #[test]
    fn batches_cover_every_row_once_and_fit_a_call() {
        for (columns, rows, key_bits, off_ledger) in [
            (1, 1, 256, false),
            (10, 129, 2048, false),
            (384, 100, 256, false),
            (496, 100, 2048, false),
            (4096, 70, 256, true),
        ] {
            let table = frame(columns, rows, key_bits, off_ledger);
            table.validate().unwrap();
            let mut next = 0;
            for batch in batches(&table) {
                assert_eq!(batch.start, next);
                next = batch.end;
                let content = Content::Ciphertext(Bytes(vec![255; table.row_bytes() as usize]));
                let content = if off_ledger { content.digested() } else { content };
                // Numbers of rows with as many digits as there are.
                let rows: Vec<Row> =
                    batch.map(|row| Row { row: u32::MAX - row, content: content.clone() }).collect();
                assert!(rows.len() <= MAX_PAGE as usize);
                assert!(serde_json::to_vec(&rows).unwrap().len() <= MAX_RECORD_BYTES);
            }
            assert_eq!(next, rows);
        }
    }

    #[test]
    fn what_is_made_again_is_the_same_and_other_rows_have_other_randomness() {
        let key = PrivateKey::generate(256, &mut crate::os_rng()).unwrap();
        let table = frame(2, 9, 256, false);
        let ciphertexts = |secret: u8, name: &str, batch: Range<u32>, change: &str| {
            let text: String =
                (0..9).map(|row| format!("{row},{}\n", if row == 8 { change } else { "5" })).collect();
            let rows = Table::parse(format!("a,b\n{text}").as_bytes(), &Columns::default()).unwrap();
            let maker = RowEncryptor {
                encryptor: Encryptor::new(key.public(), Randomness::Short),
                form: Form::new(&table, key.public()).unwrap(),
                secret: JobSecret::new([secret; 32]),
                table: Digest::of(name.as_bytes()),
                values: Arc::new(Values::encode(&rows).unwrap()),
                blobs: None,
                there: BTreeMap::new(),
            };
            maker.encrypt(batch).unwrap()
        };
        let made = ciphertexts(1, "t", 0..9, "5");
        assert_eq!(ciphertexts(1, "t", 0..9, "5"), made);
        // The first row is the same in all of them.
        for other in [
            ciphertexts(2, "t", 0..9, "5"),
            ciphertexts(1, "u", 0..9, "5"),
            ciphertexts(1, "t", 0..8, "5"),
            ciphertexts(1, "t", 0..9, "6"),
        ] {
            assert!(other.iter().all(|ciphertext| !made.contains(ciphertext)));
        }
    }
}
