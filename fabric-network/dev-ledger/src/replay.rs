//! Another ledger's blocks, judged here.

use crate::channel::Channel;
use crate::ordering;
use crate::validation::{Checked, adopt, validate};
use crate::{Config, Error, open_channels};
use fabric_protos::common::{BlockHeader, Envelope};
use fabric_protos::peer::TxValidationCode;
use std::sync::Arc;
use tokio::sync::watch;

/// The first channel of a new ledger that takes its blocks from another, such as a real Fabric channel of the same
/// organisations, in place of clients and an orderer. It shows whether both come to the same verdicts, and to the
/// same state when the ledger is served afterwards ([`serve`](crate::serve)).
///
/// Envelopes are taken as an orderer admitted them: the signatures of their creators are not looked at again. Private
/// data is not in blocks; the ledger then has its hashes only.
///
/// Block 0 is this ledger's own configuration, in place of the other's.
pub struct Replay {
    channel: Arc<Channel>,
    last: BlockHeader,
}

impl std::fmt::Debug for Replay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay").field("channel", &self.channel.name).finish_non_exhaustive()
    }
}

impl Replay {
    /// Opens the ledger, which goes on after the last block that is there.
    ///
    /// # Errors
    /// [`Error`]: the configuration, the organisations' files, the database.
    pub fn open(config: &Config) -> Result<Self, Error> {
        let channel = open_channels(config, &watch::Sender::new(false))?.1.swap_remove(0);
        let last = ordering::last_header(&channel)?;
        Ok(Self { channel, last })
    }

    /// Takes over the next block with the verdicts on it: what makes a channel (its configuration, its chaincodes'
    /// definitions), which nobody judges here.
    ///
    /// # Errors
    /// [`Error`]: not one verdict for each envelope; the database.
    pub fn adopt(&mut self, envelopes: &[Envelope], codes: &[TxValidationCode]) -> Result<(), Error> {
        if envelopes.len() != codes.len() {
            return Err(Error::Config(format!("{} envelopes, {} verdicts", envelopes.len(), codes.len())));
        }
        let batch = self.check(envelopes);
        let verdicts = adopt(&self.channel, self.last.number + 1, &batch, codes)?;
        (self.last, _) = ordering::append(&self.channel, self.last.clone(), &batch, verdicts)?;
        Ok(())
    }

    /// Judges the next block, keeps it, and gives the verdict on each envelope.
    ///
    /// # Errors
    /// [`Error`]: the database.
    pub fn judge(&mut self, envelopes: &[Envelope]) -> Result<Vec<TxValidationCode>, Error> {
        let batch = self.check(envelopes);
        let verdicts = validate(&self.channel, self.last.number + 1, &batch)?;
        let codes = verdicts.codes.clone();
        (self.last, _) = ordering::append(&self.channel, self.last.clone(), &batch, verdicts)?;
        Ok(codes)
    }

    fn check(&self, envelopes: &[Envelope]) -> Vec<Checked> {
        envelopes.iter().map(|envelope| Checked::new(&self.channel, envelope)).collect()
    }
}
