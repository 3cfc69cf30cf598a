//! Encrypted instances (chapter 4, 4.6.1 of the book): providers record rows for an analyst, who lists, fetches and
//! decrypts its own.
//!
//! ```text
//! analyst                       ledger                          provider
//! key pair ── publish-key ──► analyst-key ◄── which key? ─────── share
//!                             shared-table ◄─ announce ──────────┤ table's form
//! collect ◄── instances ───── instance, … ◄── share ─────────────┤ rows, or their digests
//!    ▲                                                           ▼
//!    └────────────────────── blobs: a folder that both see ◄─────┘ rows that are too large
//! ```

mod collect;
mod keys;
mod provide;
mod values;

pub use collect::Collected;
pub use keys::{AnalystKeys, checked, provider_secret};
pub use provide::{Offer, Provided};

use crate::{
    blobs::BlobError,
    config::Config,
    ledger::{self, QueryError},
    protected::KeyFileError,
    store::StoreError,
};
use gateway_client::{Call, Contract, SubmitFailure};
use paillier::PrivateKey;
use records::{
    AnalystKey, Digest, Fingerprint, Instance, MAX_PAGE, MspId, Page, SharedTable, VERSION, address,
};
use serde::de::DeserializeOwned;
use std::{io, path::Path, time::Duration};

/// What goes wrong with shared instances.
#[derive(Debug, thiserror::Error)]
pub enum SharingError {
    /// What was given does not fit.
    #[error("{0}")]
    Input(String),
    /// The ledger cannot be asked.
    #[error(transparent)]
    Ledger(#[from] gateway_client::Error),
    /// Somebody is no member of the channel.
    #[error(transparent)]
    Members(#[from] ledger::MembersError),
    /// A call was refused or not answered in time.
    #[error(transparent)]
    Submit(#[from] SubmitFailure),
    /// A secret key cannot be read or written.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// Rows elsewhere than on the ledger.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The data directory.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file system refused.
    #[error("{path}: {source}")]
    File {
        /// The file or folder.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// What is encrypted under this key is for somebody else.
    #[error("the secret key {fingerprint} is not in {dir}: what is encrypted under it cannot be read here")]
    NoSecret {
        /// The key.
        fingerprint: Fingerprint,
        /// Where it was looked for.
        dir: String,
    },
    /// A row that is not what its table says.
    #[error("row {row} of table {table}, from {provider}: {reason}")]
    Row {
        /// MSP identifier of the provider.
        provider: MspId,
        /// The table.
        table: Digest,
        /// Index of the row.
        row: u32,
        /// What is wrong with it.
        reason: String,
    },
    /// A task of this program ended before it was done.
    #[error("a defect of this program: {0}")]
    Defect(#[from] tokio::task::JoinError),
    /// An answer of the own peer's that makes no sense.
    #[error("the ledger's answer cannot be used: {0}")]
    Answer(String),
}

impl SharingError {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::File { path: path.display().to_string(), source }
    }
}

/// A party's view of what is shared on a channel, and its way to share.
#[derive(Clone, Debug)]
pub struct Sharing {
    contract: Contract,
    address: Digest,
    msp_id: MspId,
    retry_timeout: Duration,
}

impl Sharing {
    /// In the name of a node's organisation. Nothing is sent yet.
    ///
    /// # Errors
    /// A profile, certificate or key that cannot be used.
    pub fn connect(config: &Config) -> Result<Self, SharingError> {
        let gateway = ledger::connect(config)?;
        let identity = gateway.user().identity();
        let key_hash =
            ledger::key_hash(identity.certificate_pem().as_bytes()).map_err(SharingError::Input)?;
        let msp_id = identity.msp_id().parse::<MspId>().map_err(|e| SharingError::Input(e.to_string()))?;
        let address = address(&msp_id, &key_hash);
        let contract = gateway.network(&config.channel).contract(&config.chaincode);
        Ok(Self { contract, address, msp_id, retry_timeout: Duration::from_secs(config.retry_timeout_secs) })
    }

    /// Checks that an analyst is a member of the channel: nobody else would ever read what is shared with it.
    ///
    /// # Errors
    /// [`SharingError::Members`].
    pub async fn check_member(&self, msp_id: &MspId) -> Result<(), SharingError> {
        Ok(ledger::check_members(self.contract.network(), std::slice::from_ref(msp_id)).await?)
    }

    /// The party's own address.
    pub fn address(&self) -> Digest {
        self.address
    }

    /// Publishes a key of the party's own; again is the same.
    ///
    /// # Errors
    /// A refusal, or a ledger that does not answer.
    pub async fn publish(&self, key: &PrivateKey) -> Result<Fingerprint, SharingError> {
        let modulus = keys::modulus(key.public());
        let json = serde_json::to_vec(&modulus).expect("a modulus is a string");
        self.submit(Call::new("publish-key").arg(json)).await?;
        Ok(modulus.fingerprint())
    }

    /// The keys that analysts have published, each analyst's newest last.
    ///
    /// # Errors
    /// A ledger that does not answer.
    pub async fn analyst_keys(&self) -> Result<Vec<AnalystKey>, SharingError> {
        let mut keys: Vec<AnalystKey> = self.list(Call::new("analyst-keys").arg("")).await?;
        keys.sort_by_key(|key| (key.msp_id.clone(), key.analyst, key.published));
        Ok(keys)
    }

    /// The key under which rows for an analyst are encrypted: its newest, or the one whose fingerprint begins so. The
    /// analyst is named by its MSP identifier or its address, of which the first eight digits or more are enough.
    ///
    /// # Errors
    /// No such analyst or key, or several.
    pub async fn key_of(&self, analyst: &str, fingerprint: Option<&str>) -> Result<AnalystKey, SharingError> {
        let all = self.analyst_keys().await?;
        let of = |key: &&AnalystKey| names(analyst, key.msp_id.as_str(), &key.analyst);
        let keys: Vec<&AnalystKey> = all.iter().filter(of).collect();
        let Some(newest) = keys.last() else {
            let mut known: Vec<String> =
                all.iter().map(|key| format!("{} ({})", key.msp_id, key.analyst)).collect();
            known.dedup();
            let known = if known.is_empty() { "nobody".into() } else { known.join(", ") };
            return Err(SharingError::Input(format!(
                "no analyst `{analyst}` has published a key (`confab instances key`); {known} has"
            )));
        };
        if keys.iter().any(|key| key.analyst != newest.analyst) {
            let mut several: Vec<String> = keys.iter().map(|key| key.analyst.to_string()).collect();
            several.dedup();
            return Err(SharingError::Input(format!("`{analyst}` are several: {}", several.join(", "))));
        }
        let Some(fingerprint) = fingerprint else { return Ok((*newest).clone()) };
        let mut named =
            keys.iter().filter(|key| key.modulus.fingerprint().to_string().starts_with(fingerprint));
        match (named.next(), named.next()) {
            (Some(key), None) => Ok((*key).clone()),
            (None, _) => Err(SharingError::Input(format!("`{analyst}` has published no key {fingerprint}…"))),
            _ => Err(SharingError::Input(format!("several keys begin with {fingerprint}; give more of it"))),
        }
    }

    /// The tables that are shared with an analyst, by all providers or one.
    ///
    /// # Errors
    /// A ledger that does not answer.
    pub async fn tables(
        &self,
        analyst: &Digest,
        provider: Option<&Digest>,
    ) -> Result<Vec<SharedTable>, SharingError> {
        let provider = provider.map_or_else(String::new, Digest::to_string);
        let tables: Vec<SharedTable> =
            self.list(Call::new("tables").arg(analyst.to_string()).arg(provider)).await?;
        for table in &tables {
            table.validate().map_err(|e| SharingError::Answer(format!("table {:?}: {e}", table.id())))?;
        }
        Ok(tables)
    }

    /// The rows of a table that are there, with the digests of their ciphertexts.
    ///
    /// # Errors
    /// As [`tables`](Self::tables).
    pub async fn rows(&self, table: &SharedTable) -> Result<Vec<Instance>, SharingError> {
        let (mut rows, mut pages) = (Vec::new(), Pages::from_table(self, table, "digests"));
        while let Some(page) = pages.next().await? {
            rows.extend(page);
        }
        Ok(rows)
    }

    async fn submit(&self, call: Call) -> Result<(), SharingError> {
        self.contract.submitter().submit(call, self.retry_timeout).await?;
        Ok(())
    }

    /// All pages of a list.
    async fn list<T: DeserializeOwned>(&self, call: Call) -> Result<Vec<T>, SharingError> {
        ledger::list(&self.contract, call).await.map_err(|e| match e {
            QueryError::Gateway(e) => e.into(),
            QueryError::Answer(e) => SharingError::Answer(e.to_string()),
        })
    }

    /// Asks the own peer.
    async fn ask<T: DeserializeOwned>(&self, call: Call) -> Result<T, SharingError> {
        let answer = self.contract.evaluate(call).await?;
        serde_json::from_slice(&answer).map_err(|e| SharingError::Answer(e.to_string()))
    }
}

/// Whether somebody is meant by a name: the MSP identifier, or the beginning of the address.
pub fn names(name: &str, msp_id: &str, address: &Digest) -> bool {
    name == msp_id || (name.len() >= 8 && address.to_string().starts_with(name))
}

/// The rows of a table, page by page.
struct Pages<'a> {
    sharing: &'a Sharing,
    table: &'a SharedTable,
    id: Digest,
    form: &'static str,
    /// None after the last page.
    bookmark: Option<String>,
    /// Rows below this have come.
    next_row: u32,
}

impl<'a> Pages<'a> {
    fn from_table(sharing: &'a Sharing, table: &'a SharedTable, form: &'static str) -> Self {
        Self { sharing, table, id: table.id(), form, bookmark: Some(String::new()), next_row: 0 }
    }

    async fn next(&mut self) -> Result<Option<Vec<Instance>>, SharingError> {
        let Some(bookmark) = self.bookmark.take() else { return Ok(None) };
        let call = Call::new("instances")
            .arg(self.table.analyst.to_string())
            .arg(self.table.provider.to_string())
            .arg(self.id.to_string())
            .arg(MAX_PAGE.to_string())
            .arg(bookmark)
            .arg(self.form);
        let page: Page<Instance> = self.sharing.ask(call).await?;
        for instance in &page.entries {
            let Instance { version, provider, analyst, device, key, table, row, .. } = instance;
            let own = &self.table;
            let same = *version == VERSION
                && (*provider, *analyst, *device, *key) == (own.provider, own.analyst, own.device, own.key)
                && *table == self.id
                && (self.next_row..own.rows).contains(row);
            if !same {
                let id = self.id;
                return Err(SharingError::Answer(format!("row {row} is not the next one of table {id}")));
            }
            self.next_row = row + 1;
        }
        if !page.bookmark.is_empty() && !page.entries.is_empty() {
            self.bookmark = Some(page.bookmark);
        }
        Ok(Some(page.entries))
    }
}
