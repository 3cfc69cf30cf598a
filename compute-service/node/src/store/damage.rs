//! Files that are no database, or a damaged one: an error, never a panic.

use super::{CACHE_BYTES, Result, StoreError};
use redb::{Database, DatabaseError, StorageError, backends::FileBackend};
use std::{
    cell::Cell,
    fs::File,
    io::ErrorKind,
    panic::{self, AssertUnwindSafe},
    path::Path,
    sync::Once,
};

thread_local! {
    /// Whether a panic of this thread is caught and reported as damage.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Runs what reads or writes the database. It panics where it meets with pages that cannot be; whoever sees the error is
/// told what to do about the file, and not of a defect of this program.
pub(super) fn caught<T>(path: &Path, work: impl FnOnce() -> Result<T>) -> Result<T> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !CAUGHT.get() {
                before(info);
            }
        }));
    });
    let outer = CAUGHT.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    CAUGHT.set(outer);
    result.unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("it cannot be read");
        Err(damaged(path, text))
    })
}

pub(super) fn damaged(path: &Path, reason: &str) -> StoreError {
    StoreError::Damaged { path: path.display().to_string(), reason: reason.into() }
}

/// Opens a database after a check of all that is in it, or makes one.
pub(super) fn open(path: &Path) -> Result<Database> {
    let failed = |source| StoreError::File { path: path.display().to_string(), source };
    match std::fs::metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return make(path),
        Err(e) => return Err(failed(e)),
        // One is never made in its place, but beside it.
        Ok(found) if found.len() == 0 => return Err(damaged(path, "it is empty")),
        Ok(_) => {}
    }
    let file = files::open(path).map_err(failed)?;
    caught(path, || backed_by(path, file))
}

/// Makes a database that takes its name when it is whole.
fn make(path: &Path) -> Result<Database> {
    let failed = |source| StoreError::File { path: path.display().to_string(), source };
    let (database, file) = begin(path)?;
    file.persist_noclobber(path).map_err(|e| failed(e.error))?;
    files::sync_folder(path).map_err(failed)?;
    Ok(database)
}

/// An empty database in a file without a name.
pub(super) fn begin(path: &Path) -> Result<(Database, tempfile::NamedTempFile)> {
    let failed = |source| StoreError::File { path: path.display().to_string(), source };
    let file = files::temporary(path).map_err(failed)?;
    let database = backed_by(path, file.reopen().map_err(failed)?)?;
    Ok((database, file))
}

fn backed_by(path: &Path, file: File) -> Result<Database> {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    let opened = FileBackend::new(file).and_then(|backend| builder.create_with_backend(backend));
    opened.map_err(|e| match e {
        DatabaseError::DatabaseAlreadyOpen => StoreError::InUse(path.display().to_string()),
        DatabaseError::Storage(StorageError::Io(source))
            if !matches!(source.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
        {
            StoreError::File { path: path.display().to_string(), source }
        }
        e => damaged(path, &e.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Position, Store};
    use super::*;
    use proptest::prelude::*;
    use records::JobId;
    use std::{fs, sync::LazyLock};

    /// A database with something in every kind of page.
    static WHOLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store.append(&[], Position { next_block: 7 }).unwrap();
        for job in 0..40 {
            let job = JobId::from([job; 32]);
            store.secret(&job).unwrap();
            store.bind_inputs(&job, &[7; 32]).unwrap();
        }
        drop(store);
        fs::read(dir.path().join("node.redb")).unwrap()
    });

    /// Opens and reads all; what is not an error is what was written.
    fn try_all(bytes: &[u8]) -> Result<()> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("node.redb"), bytes).unwrap();
        let store = Store::open(dir.path())?;
        store.position()?;
        store.jobs()?;
        for job in 0..40 {
            let job = JobId::from([job; 32]);
            store.has_secret(&job)?;
            store.facts(&job)?;
            store.bind_inputs(&job, &[7; 32])?;
        }
        Ok(())
    }

    #[test]
    fn what_is_no_database_is_said_with_what_to_do() {
        try_all(&WHOLE).unwrap();
        let garbage: Vec<u8> = (0..WHOLE.len()).map(|i| (i * 31 % 251) as u8).collect();
        let mut version = WHOLE.clone();
        // Bytes of the header that say how the pages are laid out.
        version[64] = 0xfe;
        version[192] = 0xfe;
        let half = &WHOLE[..WHOLE.len() / 2];
        let cases: [&[u8]; 7] = [b"", b"{}", &garbage, &version, half, &WHOLE[..100], &vec![0; WHOLE.len()]];
        for (case, bytes) in cases.iter().enumerate() {
            let error = try_all(bytes).expect_err(&format!("case {case}"));
            assert!(matches!(error, StoreError::Damaged { .. }), "case {case}: {error}");
            assert!(error.to_string().contains("Move it away"), "case {case}: {error}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn damage_never_panics(
            at in any::<prop::sample::Index>(), length in 1usize..5000, byte: u8,
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let mut bytes = WHOLE.clone();
            let at = at.index(bytes.len());
            let end = (at + length).min(bytes.len());
            bytes[at..end].fill(byte);
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            let _ = try_all(&bytes);
        }
    }
}
