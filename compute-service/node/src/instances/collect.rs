//! An analyst's side: fetches the rows of a table, checks and decrypts them, and writes them as CSV.

use super::{
    Pages, Sharing, SharingError,
    keys::AnalystKeys,
    values::{Form, Opened},
};
use crate::blobs::Blobs;
use dataset::Label;
use paillier::{Ciphertext, PrivateKey};
use records::{Content, Digest, Instance, MspId, SharedTable};
use serde::Serialize;
use std::{
    fs::File,
    io::{BufRead, BufReader, ErrorKind, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

/// A table that was fetched.
#[derive(Clone, Debug, Serialize)]
pub struct Collected {
    /// The table.
    pub table: Digest,
    /// MSP identifier of its provider.
    pub msp_id: MspId,
    /// Address of its provider.
    pub provider: Digest,
    /// What made the rows.
    pub device: String,
    /// The CSV file, mode 0600.
    pub file: PathBuf,
    /// Rows in it.
    pub rows: u32,
    /// Rows of the table; those that are not in the file are not on the ledger yet.
    pub of: u32,
}

impl Sharing {
    /// Fetches a table of the analyst's own into a CSV file in a folder, in the place of one that is there only where that is
    /// said: the columns by their names, the label's last, `?`
    /// for a gap. `progress` is told how many rows have come.
    ///
    /// # Errors
    /// A key that is not here, or the first row that is not what its table says: nothing is written then.
    pub async fn collect(
        &self,
        table: &SharedTable,
        keys: &AnalystKeys,
        blobs: Option<&Blobs>,
        (dir, replace): (&Path, bool),
        mut progress: impl FnMut(u32, u32),
    ) -> Result<Collected, SharingError> {
        let key = keys.find(&table.key)?;
        if key.public().bits() != u64::from(table.key_bits) {
            return Err(SharingError::Answer(format!(
                "the table says that its key has {} bits",
                table.key_bits
            )));
        }
        let id = table.id();
        let form = Form::new(table, key.public())?;
        let reader = Arc::new(Reader { table: table.clone(), id, key, form, blobs: blobs.cloned() });
        let path = dir.join(name(table, &id));
        let there = || {
            let reason = "exists and is not the beginning of this table; replace it with --force";
            SharingError::Input(format!("{} {reason}", path.display()))
        };
        let file = files::temporary(&path).map_err(SharingError::file(dir))?;
        let mut writer = csv::Writer::from_writer(file);
        let label = table.classes.as_ref().map(|classes| &classes.column);
        let written = |e: csv::Error| SharingError::Input(format!("writing {}: {e}", dir.display()));
        writer.write_record(table.columns.iter().chain(label)).map_err(written)?;
        let (mut pages, mut rows) = (Pages::from_table(self, table, "full"), 0);
        while let Some(page) = pages.next().await? {
            let reader = reader.clone();
            for row in tokio::task::spawn_blocking(move || reader.read(page)).await?? {
                writer.write_record(cells(table, &row)).map_err(written)?;
                rows += 1;
            }
            progress(rows, table.rows);
        }
        let file = writer.into_inner().map_err(|e| SharingError::file(dir)(e.into_error()))?;
        file.as_file().sync_all().map_err(SharingError::file(dir))?;
        let replace = replace || begins(file.path(), &path).map_err(SharingError::file(&path))?;
        match replace {
            true => file.persist(&path),
            false => file.persist_noclobber(&path),
        }
        .map_err(|e| match e.error.kind() {
            ErrorKind::AlreadyExists => there(),
            _ => SharingError::file(&path)(e.error),
        })?;
        files::sync_folder(&path).map_err(SharingError::file(dir))?;
        Ok(Collected {
            table: id,
            msp_id: table.msp_id.clone(),
            provider: table.provider,
            device: table.device.to_string(),
            file: path,
            rows,
            of: table.rows,
        })
    }
}

/// Whether `path` is a file with the first bytes of `whole`: what an earlier fetch of the table left, which the whole replaces.
fn begins(whole: &Path, path: &Path) -> std::io::Result<bool> {
    match path.symlink_metadata() {
        Ok(there) if there.is_file() && there.len() <= whole.metadata()?.len() => {}
        _ => return Ok(false),
    }
    let (mut whole, mut part) = (BufReader::new(File::open(whole)?), BufReader::new(File::open(path)?));
    loop {
        let read = part.fill_buf()?;
        if read.is_empty() {
            return Ok(true);
        }
        let mut same = vec![0; read.len()];
        whole.read_exact(&mut same)?;
        if same != read {
            return Ok(false);
        }
        let length = read.len();
        part.consume(length);
    }
}

/// The file of a table.
fn name(table: &SharedTable, id: &Digest) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' };
    let provider: String = table.msp_id.as_str().chars().take(64).map(plain).collect();
    format!("{provider}-{}.csv", &id.to_string()[..12])
}

fn cells(table: &SharedTable, row: &Opened) -> Vec<String> {
    let values = row.values.iter().map(|value| value.map_or_else(|| "?".into(), |value| value.to_string()));
    let label = row.label.zip(table.classes.as_ref()).map(|(label, classes)| match label {
        Label::Positive => classes.positive.clone(),
        Label::Negative => classes.negative.clone(),
    });
    values.chain(label).collect()
}

/// Reads a table's records.
struct Reader {
    table: SharedTable,
    id: Digest,
    key: PrivateKey,
    form: Form,
    blobs: Option<Blobs>,
}

impl Reader {
    fn wrong(&self, row: u32, reason: impl Into<String>) -> SharingError {
        SharingError::Row { provider: self.table.msp_id.clone(), table: self.id, row, reason: reason.into() }
    }

    fn read(&self, page: Vec<Instance>) -> Result<Vec<Opened>, SharingError> {
        let (each, size) = (self.table.ciphertexts(), self.table.ciphertext_bytes());
        let mut bytes = Vec::with_capacity(page.len() * each);
        for instance in &page {
            let content = self.bytes(instance)?;
            bytes.extend(content.chunks(size).map(<[u8]>::to_vec));
        }
        let ciphertexts = Ciphertext::from_bytes_batch(self.key.public(), &bytes).map_err(|e| {
            let reason = format!("no ciphertext under the key {}: {}", self.table.key, e.reason);
            self.wrong(page[e.index / each].row, reason)
        })?;
        let plaintexts = self.key.decrypt(&ciphertexts);
        let rows = page.iter().zip(plaintexts.chunks(each));
        rows.map(|(instance, plaintexts)| {
            self.form.unpack(plaintexts).map_err(|e| {
                let reason = format!("no row under the key {}: {e}", self.table.key);
                self.wrong(instance.row, reason)
            })
        })
        .collect()
    }

    /// A row's ciphertexts, as many bytes as the table says.
    fn bytes(&self, instance: &Instance) -> Result<Vec<u8>, SharingError> {
        instance.content.check(&self.table).map_err(|e| self.wrong(instance.row, e))?;
        match (&instance.content, &self.blobs) {
            (Content::Ciphertext(bytes), _) => Ok(bytes.0.clone()),
            (Content::OffLedger { sha256, length }, Some(blobs)) => {
                blobs.get(sha256, *length).map_err(|e| self.wrong(instance.row, e.to_string()))
            }
            (Content::OffLedger { .. }, None) => {
                Err(SharingError::Input("rows lie in the provider's folder: name it with --blobs".into()))
            }
        }
    }
}
