//! A file without what was forgotten: everything that is left is written to a new one, which takes the old one's place.

use super::{
    ACCEPTED, ENDED, FACTS, META, OPENED, OUTBOX, PINS, Result, SECRETS, Store, StoreError, damage, db,
    opened,
};
use redb::{Key, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, Value, WriteTransaction};
use std::{borrow::Borrow, fs, sync::PoisonError};

/// A file below so many bytes is left as it is.
const SMALL: u64 = 4 << 20;

impl Store {
    /// Bytes of the file, and of what is stored in it.
    ///
    /// # Errors
    /// A failing database.
    pub fn usage(&self) -> Result<(u64, u64)> {
        let file = fs::metadata(&self.path).map_err(self.failed())?.len();
        let guard = self.guard();
        let stored = damage::caught(&self.path, || {
            let write = db(opened(&guard)?.begin_write())?;
            let stored = db(write.stats())?.stored_bytes();
            db(write.abort())?;
            Ok(stored)
        })?;
        Ok((file, stored))
    }

    /// Writes the file anew where it is large and mostly empty; says whether it did.
    ///
    /// # Errors
    /// As [`Store::compact`].
    pub fn compact_if_worthwhile(&self) -> Result<bool> {
        let (file, stored) = self.usage()?;
        let worthwhile = file > SMALL && file / 4 > stored;
        if worthwhile {
            self.compact()?;
        }
        Ok(worthwhile)
    }

    /// Writes the file anew, without the pages of what was forgotten. The old file goes when the new one is whole and on the
    /// disk; what the disk still has of it is the file system's business. Readers and writers wait meanwhile.
    ///
    /// # Errors
    /// A failing database, or the file system's error: the old file stays then.
    pub fn compact(&self) -> Result<()> {
        let mut guard = self.database.write().unwrap_or_else(PoisonError::into_inner);
        let (database, file) = damage::begin(&self.path)?;
        damage::caught(&self.path, || {
            let read = db(opened(&guard)?.begin_read())?;
            let write = db(database.begin_write())?;
            copy(&read, &write, META)?;
            copy(&read, &write, FACTS)?;
            copy(&read, &write, OUTBOX)?;
            copy(&read, &write, SECRETS)?;
            copy(&read, &write, PINS)?;
            copy(&read, &write, OPENED)?;
            copy(&read, &write, ENDED)?;
            copy(&read, &write, ACCEPTED)?;
            db(write.commit())
        })?;
        file.persist(&self.path).map_err(|e| self.failed()(e.error))?;
        files::sync_folder(&self.path).map_err(self.failed())?;
        *guard = Some(database);
        Ok(())
    }

    fn failed(&self) -> impl Fn(std::io::Error) -> StoreError {
        let path = self.path.display().to_string();
        move |source| StoreError::File { path: path.clone(), source }
    }
}

fn copy<K: Key + 'static, V: Value + 'static>(
    from: &ReadTransaction,
    to: &WriteTransaction,
    table: TableDefinition<K, V>,
) -> Result<()>
where
    for<'a> K::SelfType<'a>: Borrow<K::SelfType<'a>>,
    for<'a> V::SelfType<'a>: Borrow<V::SelfType<'a>>,
{
    let mut copied = db(to.open_table(table))?;
    for entry in db(db(from.open_table(table))?.iter())? {
        let (key, value) = db(entry)?;
        db(copied.insert(key.value(), value.value()))?;
    }
    Ok(())
}
