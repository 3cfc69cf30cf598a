//! What a node keeps of the ledger beside its jobs' own state: one follower of blocks with one checkpoint hands every committed
//! change of an object type to the projections that are registered for it.
//!
//! A projection writes into tables of its own, in the transaction that also moves the checkpoint: what was handed to it is
//! handed to it again only where that transaction was lost, too.

use crate::{
    facts::{LedgerEvent, Positioned},
    ledger,
    store::{Position, Store, StoreError},
};
use gateway_client::{Block, KvWrite, TransactionInfo, TxValidationCode};
use records::{JobId, MspId, key};
use redb::WriteTransaction;
use std::collections::HashSet;

/// A write of a valid transaction under a composite key of the contract, or the deletion of such a key.
#[derive(Clone, Copy)]
pub struct Change<'a> {
    /// Number of the block.
    pub block: u64,
    /// The transaction.
    pub transaction: &'a TransactionInfo,
    /// Key and value.
    pub write: &'a KvWrite,
}

/// Keeps something of the ledger.
pub trait Projection: Send {
    /// The object types of the composite keys whose changes it is handed.
    fn object_types(&self) -> &[&'static str];

    /// Takes in the changes of one block, in the order of the ledger.
    ///
    /// # Errors
    /// A failing database. What cannot be read is passed over: a single member must not be able to stop the others.
    fn apply(&mut self, changes: &[Change], write: &WriteTransaction) -> Result<(), StoreError>;
}

/// Hands a block to projections: all their writes and the checkpoint behind it are one transaction.
///
/// # Errors
/// The error of one of them; then nothing is kept of the block.
pub fn follow(
    projections: &mut [&mut dyn Projection],
    store: &Store,
    block: &Block,
    chaincode: &str,
) -> Result<(), StoreError> {
    let valid = block
        .transactions
        .iter()
        .filter(|transaction| transaction.validation_code == TxValidationCode::Valid);
    let changes: Vec<Change> = valid
        .flat_map(|transaction| {
            let own = transaction.writes.iter().filter(|write| write.namespace == chaincode);
            own.map(|write| Change { block: block.number, transaction, write })
        })
        .collect();
    store.commit_block(Position { next_block: block.number + 1 }, |write| {
        for projection in projections {
            let types = projection.object_types();
            let is_its = |change: &&Change| {
                key::object_type(&change.write.key).is_some_and(|object_type| types.contains(&object_type))
            };
            let its: Vec<Change> = changes.iter().filter(is_its).copied().collect();
            if !its.is_empty() {
                projection.apply(&its, write)?;
            }
        }
        Ok(())
    })
}

/// The jobs in which the organisation is named: what is on the ledger about them, until they are over.
pub(crate) struct Jobs {
    me: MspId,
    known: HashSet<JobId>,
    /// What the last blocks said.
    read: Vec<Positioned>,
}

impl Jobs {
    /// Goes on with the jobs that the store knows.
    pub(crate) fn new(me: MspId, store: &Store) -> Result<Self, StoreError> {
        Ok(Self { me, known: store.jobs()?.into_iter().collect(), read: Vec::new() })
    }

    /// What was handed to it since this was asked last.
    pub(crate) fn take(&mut self) -> Vec<Positioned> {
        std::mem::take(&mut self.read)
    }
}

impl Projection for Jobs {
    fn object_types(&self) -> &[&'static str] {
        &[key::JOB, key::ACCEPTANCE, key::RECORD, key::ENDING]
    }

    fn apply(&mut self, changes: &[Change], write: &WriteTransaction) -> Result<(), StoreError> {
        let mut read = Vec::new();
        for change in changes.iter().filter(|change| !change.write.is_delete) {
            let located = match ledger::reading(change.block, change.transaction, change.write) {
                Ok(Some(located)) => located,
                Ok(None) => continue,
                Err(e) => {
                    tracing::warn!(job = ?e.job, "passed over: {e}");
                    continue;
                }
            };
            match &located.fact {
                LedgerEvent::Proposed(job) if job.params.party(&self.me).is_none() => continue,
                LedgerEvent::Proposed(job) => drop(self.known.insert(job.id.clone())),
                other if !self.known.contains(other.job()) => continue,
                // Nothing comes behind it.
                LedgerEvent::Ended(ending) => drop(self.known.remove(&ending.job)),
                LedgerEvent::Accepted(_) | LedgerEvent::Posted(_) => {}
            }
            read.push(located);
        }
        Store::add_facts(write, &read)?;
        self.read.append(&mut read);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::tests::{block, certificate, ending, envelope, job};
    use redb::{ReadableTable, TableDefinition};

    const ENDINGS: TableDefinition<&str, u64> = TableDefinition::new("test-endings");

    /// Counts the endings of all jobs, in a table of its own; fails when it is told to.
    struct Endings {
        fails: bool,
    }

    impl Projection for Endings {
        fn object_types(&self) -> &[&'static str] {
            &[key::ENDING]
        }

        fn apply(&mut self, changes: &[Change], write: &WriteTransaction) -> Result<(), StoreError> {
            let mut table = write.open_table(ENDINGS).map_err(|e| StoreError::Database(e.into()))?;
            for change in changes {
                assert_eq!(key::object_type(&change.write.key), Some(key::ENDING));
                let before = table
                    .get("all")
                    .map_err(|e| StoreError::Database(e.into()))?
                    .map_or(0, |all| all.value());
                table.insert("all", before + 1).map_err(|e| StoreError::Database(e.into()))?;
            }
            match self.fails {
                true => Err(StoreError::Database(redb::Error::DatabaseClosed)),
                false => Ok(()),
            }
        }
    }

    fn counted(store: &Store) -> u64 {
        let mut all = 0;
        store
            .commit_block(store.position().unwrap(), |write| {
                let table = write.open_table(ENDINGS).map_err(|e| StoreError::Database(e.into()))?;
                all = table
                    .get("all")
                    .map_err(|e| StoreError::Database(e.into()))?
                    .map_or(0, |all| all.value());
                Ok(())
            })
            .unwrap();
        all
    }

    /// Two projections see what is theirs, and one checkpoint moves with both or with none.
    #[test]
    fn one_checkpoint() {
        let (job, own, other) = (job(), certificate(), JobId::from([0xbb; 32]));
        let proposal = serde_json::to_vec(&job).unwrap();
        let block = block(vec![
            envelope("t1", own.as_bytes(), &key::job(&job.id), &proposal),
            envelope("t2", own.as_bytes(), &key::ending(&other), &ending(&other)),
            envelope("t3", own.as_bytes(), &key::ending(&job.id), &ending(&job.id)),
            envelope("t4", own.as_bytes(), "\0stranger\0", b"{"),
        ]);
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut jobs = Jobs::new("Org1MSP".parse().unwrap(), &store).unwrap();
        let mut endings = Endings { fails: true };
        follow(&mut [&mut jobs, &mut endings], &store, &block, "confab").unwrap_err();
        assert_eq!((store.position().unwrap().next_block, counted(&store)), (0, 0));
        assert!(store.facts(&job.id).unwrap().is_empty());

        let mut jobs = Jobs::new("Org1MSP".parse().unwrap(), &store).unwrap();
        endings.fails = false;
        follow(&mut [&mut jobs, &mut endings], &store, &block, "another").unwrap();
        assert!(jobs.take().is_empty());
        follow(&mut [&mut jobs, &mut endings], &store, &block, "confab").unwrap();
        assert_eq!((store.position().unwrap().next_block, counted(&store)), (8, 2));
        let read: Vec<String> = jobs.take().into_iter().map(|located| located.tx_id).collect();
        assert_eq!(read, ["t1", "t3"], "the other job does not name the organisation");
        assert_eq!(store.facts(&job.id).unwrap().len(), 2);
        assert!(jobs.take().is_empty());
    }
}
