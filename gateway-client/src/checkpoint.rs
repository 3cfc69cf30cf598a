//! Places in the chain, and where readers keep theirs.

use crate::ChaincodeEvent;
use fabric_protos::orderer::{SeekNextCommit, SeekPosition, SeekSpecified, seek_position};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Largest checkpoint file that is read, in bytes.
const MAX_FILE: u64 = 64 << 10;

/// A place in the chain: everything before block `block`, and of that block everything up to and
/// including transaction `transaction_id`, has been dealt with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// The block to begin with.
    pub block: u64,
    /// The last transaction of that block that has been dealt with, if any.
    pub transaction_id: Option<String>,
}

impl Checkpoint {
    /// Before the first block.
    pub fn start() -> Self {
        Self::default()
    }

    /// Before this block.
    pub fn at(block: u64) -> Self {
        Self { block, transaction_id: None }
    }

    /// After this transaction.
    pub fn after(block: u64, transaction_id: impl Into<String>) -> Self {
        Self { block, transaction_id: Some(transaction_id.into()) }
    }
}

/// Where a stream of events begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With the block that is committed next after the peer has the request.
    #[default]
    NextCommit,
    /// At a checkpoint; `Checkpoint::at(n)` for a block number.
    At(Checkpoint),
}

impl From<Checkpoint> for Start {
    fn from(checkpoint: Checkpoint) -> Self {
        Self::At(checkpoint)
    }
}

/// What a checkpointer has: before there is anything, the next block.
impl From<Option<&Checkpoint>> for Start {
    fn from(checkpoint: Option<&Checkpoint>) -> Self {
        checkpoint.map_or(Self::NextCommit, |checkpoint| Self::At(checkpoint.clone()))
    }
}

impl Start {
    pub(crate) fn position(&self) -> SeekPosition {
        let position = match self {
            Self::NextCommit => seek_position::Type::NextCommit(SeekNextCommit {}),
            Self::At(checkpoint) => {
                seek_position::Type::Specified(SeekSpecified { number: checkpoint.block })
            }
        };
        SeekPosition { r#type: Some(position) }
    }

    pub(crate) fn transaction_id(&self) -> Option<&str> {
        match self {
            Self::NextCommit => None,
            Self::At(checkpoint) => checkpoint.transaction_id.as_deref(),
        }
    }
}

/// Where a reader of events keeps its place. Block and transaction are always kept together.
pub trait Checkpointer {
    /// The place that was kept last, if any.
    fn checkpoint(&self) -> Option<&Checkpoint>;

    /// Keeps a place.
    ///
    /// # Errors
    /// What the system says; the place before stays kept.
    fn save(&mut self, checkpoint: Checkpoint) -> io::Result<()>;

    /// A block has been dealt with.
    ///
    /// # Errors
    /// As [`Checkpointer::save`].
    fn checkpoint_block(&mut self, number: u64) -> io::Result<()> {
        self.save(Checkpoint::at(number + 1))
    }

    /// A transaction of a block has been dealt with, and all before it.
    ///
    /// # Errors
    /// As [`Checkpointer::save`].
    fn checkpoint_transaction(&mut self, block: u64, transaction_id: &str) -> io::Result<()> {
        self.save(Checkpoint::after(block, transaction_id))
    }

    /// A chaincode event has been dealt with.
    ///
    /// # Errors
    /// As [`Checkpointer::save`].
    fn checkpoint_chaincode_event(&mut self, event: &ChaincodeEvent) -> io::Result<()> {
        self.save(event.checkpoint())
    }
}

/// Keeps the place as long as the process lives.
#[derive(Clone, Debug, Default)]
pub struct InMemoryCheckpointer {
    checkpoint: Option<Checkpoint>,
}

impl InMemoryCheckpointer {
    /// Without a place.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Checkpointer for InMemoryCheckpointer {
    fn checkpoint(&self) -> Option<&Checkpoint> {
        self.checkpoint.as_ref()
    }

    fn save(&mut self, checkpoint: Checkpoint) -> io::Result<()> {
        self.checkpoint = Some(checkpoint);
        Ok(())
    }
}

/// Keeps the place in a file, in the form of the official Go client's: `{"blockNumber":7,"transactionId":"…"}`.
///
/// A new place is written to a file beside it, synced and renamed, so that a crash leaves the old place or the new
/// one. Saving takes as long as the disk does. One process at a time may use a file.
#[derive(Debug)]
pub struct FileCheckpointer {
    path: PathBuf,
    checkpoint: Option<Checkpoint>,
}

/// What is in the file.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Content {
    block_number: u64,
    transaction_id: String,
}

impl FileCheckpointer {
    /// Reads the place in the file; there is none when there is no file.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::InvalidData`] for a file that holds something else.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { path, checkpoint: None });
            }
            Err(error) => return Err(error),
        };
        let mut text = Vec::new();
        file.take(MAX_FILE).read_to_end(&mut text)?;
        let content: Content = serde_json::from_slice(&text).map_err(|e| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{} is no checkpoint: {e}", path.display()))
        })?;
        let checkpoint = Checkpoint {
            block: content.block_number,
            transaction_id: Some(content.transaction_id).filter(|id| !id.is_empty()),
        };
        // As the official client writes it before there is a place.
        let checkpoint = Some(checkpoint).filter(|checkpoint| *checkpoint != Checkpoint::start());
        Ok(Self { path, checkpoint })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Checkpointer for FileCheckpointer {
    fn checkpoint(&self) -> Option<&Checkpoint> {
        self.checkpoint.as_ref()
    }

    fn save(&mut self, checkpoint: Checkpoint) -> io::Result<()> {
        let content = Content {
            block_number: checkpoint.block,
            transaction_id: checkpoint.transaction_id.clone().unwrap_or_default(),
        };
        files::write(&self.path, &serde_json::to_vec(&content)?, files::Access::Owner)?;
        self.checkpoint = Some(checkpoint);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn keep_and_read(checkpointer: &mut impl Checkpointer) {
        assert_eq!(Start::from(checkpointer.checkpoint()), Start::NextCommit);
        checkpointer.checkpoint_block(4).unwrap();
        assert_eq!(checkpointer.checkpoint(), Some(&Checkpoint::at(5)));
        checkpointer.checkpoint_transaction(5, "tx").unwrap();
        assert_eq!(Start::from(checkpointer.checkpoint()), Start::At(Checkpoint::after(5, "tx")));
        let event = ChaincodeEvent {
            block_number: 6,
            transaction_id: "other".into(),
            chaincode: "cc".into(),
            name: "name".into(),
            payload: Vec::new(),
        };
        checkpointer.checkpoint_chaincode_event(&event).unwrap();
        assert_eq!(checkpointer.checkpoint(), Some(&Checkpoint::after(6, "other")));
        checkpointer.checkpoint_block(6).unwrap();
        assert_eq!(checkpointer.checkpoint(), Some(&Checkpoint::at(7)), "no transaction of another block");
    }

    #[test]
    fn checkpointers_keep_block_and_transaction_together() {
        keep_and_read(&mut InMemoryCheckpointer::new());
        let dir = tempfile::tempdir().unwrap();
        let mut file = FileCheckpointer::open(dir.path().join("checkpoint")).unwrap();
        keep_and_read(&mut file);
        assert_eq!(FileCheckpointer::open(file.path()).unwrap().checkpoint(), Some(&Checkpoint::at(7)));
    }

    #[test]
    fn files_are_those_of_the_official_client() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoint");
        fs::write(&path, br#"{"blockNumber":7,"transactionId":"ab"}"#).unwrap();
        let mut checkpointer = FileCheckpointer::open(&path).unwrap();
        assert_eq!(checkpointer.checkpoint(), Some(&Checkpoint::after(7, "ab")));
        checkpointer.checkpoint_block(7).unwrap();
        assert_eq!(fs::read(&path).unwrap(), br#"{"blockNumber":8,"transactionId":""}"#);
        fs::write(&path, br#"{"blockNumber":0,"transactionId":""}"#).unwrap();
        assert_eq!(FileCheckpointer::open(&path).unwrap().checkpoint(), None);
    }

    #[test]
    fn what_is_no_checkpoint_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoint");
        for text in ["", "{", "[]", r#"{"blockNumber":-1,"transactionId":""}"#, r#"{"blockNumber":1}"#] {
            fs::write(&path, text).unwrap();
            let error = FileCheckpointer::open(&path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{text}: {error}");
        }
    }

    /// A crash while a place is written leaves a file beside it; what cannot be written leaves the old place.
    #[test]
    fn an_interrupted_save_leaves_the_old_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoint");
        let mut checkpointer = FileCheckpointer::open(&path).unwrap();
        checkpointer.checkpoint_block(1).unwrap();
        let begun = files::temporary(&path).unwrap();
        fs::write(begun.path(), br#"{"blockNu"#).unwrap();
        assert_eq!(FileCheckpointer::open(&path).unwrap().checkpoint(), Some(&Checkpoint::at(2)));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        checkpointer.checkpoint_block(2).unwrap_err();
        assert_eq!(checkpointer.checkpoint(), Some(&Checkpoint::at(2)));
    }
}
