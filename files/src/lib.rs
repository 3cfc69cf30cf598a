//! How every crate of Confab writes files: whole or not at all, with their mode from the start, and never through a link.
//!
//! A file is made exclusively (`O_EXCL`) under a random name in the folder of its own, brought to the disk, and takes its
//! name last. A file or link that somebody left under either name is never written through: a link is replaced, not
//! followed, and the file that another program has open, or its mode, is not taken over.
//!
//! [`write()`] replaces a file, [`create`] makes one that must not be there, each with an [`Access`]. [`Outputs`] checks what a
//! command is going to write before its work begins.
//!
//! ```
//! use files::Access;
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("key.json");
//! files::create(&path, b"secret", Access::Owner)?;
//! assert!(files::create(&path, b"other", Access::Owner).is_err());
//! files::write(&path, b"new", Access::Owner)?;
//! assert_eq!(std::fs::read(&path)?, b"new");
//! # Ok::<(), std::io::Error>(())
//! ```

mod outputs;

pub use outputs::{OutputError, Outputs, STDOUT, put};

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};
use tempfile::NamedTempFile;

/// The end of the names of files that have not taken their own name yet.
const UNFINISHED: &str = ".unfinished";

/// Who may read a file or folder; only the owner writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Only its owner: mode 0600, of folders 0700.
    Owner,
    /// All users of the machine: mode 0644, of folders 0755, less the process's umask.
    Everybody,
}

impl Access {
    fn file(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::Everybody => 0o644,
        }
    }

    fn folder(self) -> u32 {
        match self {
            Self::Owner => 0o700,
            Self::Everybody => 0o755,
        }
    }
}

/// Writes a file in the place of what was there, whole and on the disk before this returns, or not at all. Folders that are
/// missing are made for the same readers.
///
/// # Errors
/// The system's, and a device, pipe or folder in the place of the file.
pub fn write(path: &Path, content: &[u8], access: Access) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(io::Error::new(ErrorKind::InvalidInput, "is there and no regular file"));
    }
    prepared(path, content, access)?.persist(path).map_err(|e| e.error)?;
    sync_folder(path)
}

/// Writes a file that must not be there yet: whole and on the disk before this returns, or not at all.
///
/// # Errors
/// [`ErrorKind::AlreadyExists`], or what the system says.
pub fn create(path: &Path, content: &[u8], access: Access) -> io::Result<()> {
    // Before any work; what decides is the system, when the file takes its name.
    if fs::symlink_metadata(path).is_ok() {
        return Err(ErrorKind::AlreadyExists.into());
    }
    prepared(path, content, access)?.persist_noclobber(path).map_err(|e| e.error)?;
    sync_folder(path)
}

/// A file for its owner under a random name beside `path`, for content that comes bit by bit; it vanishes unless it is
/// given a name.
///
/// # Errors
/// The system's.
pub fn temporary(path: &Path) -> io::Result<NamedTempFile> {
    unnamed(path, Access::Owner)
}

/// Opens a file for its owner to read and to write, or makes it; a link in its place is not followed. One that others
/// could read is taken from them.
///
/// # Errors
/// The system's.
pub fn open(path: &Path) -> io::Result<File> {
    owned(OpenOptions::new().read(true).write(true).create(true).truncate(false), path)
}

/// As [`open`], to write at the end.
///
/// # Errors
/// The system's.
pub fn append(path: &Path) -> io::Result<File> {
    owned(OpenOptions::new().append(true).create(true), path)
}

/// Makes a folder and those above it that are missing; those that are there stay as they are.
///
/// # Errors
/// The system's.
pub fn make_folder(path: &Path, access: Access) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(access.folder()).create(folder_or_here(path))
}

/// Makes a folder that only its owner may enter, also where it is there and others could.
///
/// # Errors
/// The system's.
pub fn make_private(path: &Path) -> io::Result<()> {
    make_folder(path, Access::Owner)?;
    fs::set_permissions(path, Permissions::from_mode(Access::Owner.folder()))
}

/// Removes the files that [`write()`] and [`create`] had begun in a folder when their process was killed.
///
/// # Errors
/// The system's; a folder that is not there has none.
pub fn remove_unfinished(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let is_unfinished = entry.file_name().to_str().is_some_and(|name| name.ends_with(UNFINISHED));
        if is_unfinished && entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Brings the names in a file's folder to the disk.
///
/// # Errors
/// The system's.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

/// The folder that a file lies in; the current one for a bare name.
pub fn folder_of(path: &Path) -> &Path {
    folder_or_here(path.parent().unwrap_or(Path::new("")))
}

fn folder_or_here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

fn prepared(path: &Path, content: &[u8], access: Access) -> io::Result<NamedTempFile> {
    let mut file = unnamed(path, access)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn unnamed(path: &Path, access: Access) -> io::Result<NamedTempFile> {
    let folder = folder_of(path);
    make_folder(folder, access)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".").suffix(UNFINISHED).permissions(Permissions::from_mode(access.file()));
    builder.tempfile_in(folder)
}

fn owned(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let mode = Access::Owner.file();
    let no_link = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
    let file = options.mode(mode).custom_flags(no_link).open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(mode))?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_has_its_mode_whatever_lay_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret.json");
        // What an earlier run, or somebody else, may have left under any fixed name beside it.
        for name in ["secret.json", "secret.tmp", "secret.json.new", ".secret.json.new"] {
            fs::write(dir.path().join(name), "old").unwrap();
            fs::set_permissions(dir.path().join(name), Permissions::from_mode(0o666)).unwrap();
        }
        let open_before = File::open(&path).unwrap();
        write(&path, b"new", Access::Owner).unwrap();
        assert_eq!((mode(&path), fs::read(&path).unwrap()), (0o600, b"new".to_vec()));
        assert_eq!(io::read_to_string(open_before).unwrap(), "old", "whoever had it open has the old one");
        write(&path, b"newer", Access::Everybody).unwrap();
        assert_eq!((mode(&path) & 0o600, mode(&path) & 0o133), (0o600, 0));
        assert_eq!(names(dir.path()).len(), 4, "nothing of its own is left: {:?}", names(dir.path()));
    }

    #[test]
    fn links_are_replaced_and_never_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        fs::write(&target, "theirs").unwrap();
        symlink(&target, &link).unwrap();
        assert_eq!(create(&link, b"x", Access::Owner).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert!(open(&link).is_err() && append(&link).is_err());
        write(&link, b"ours", Access::Owner).unwrap();
        assert_eq!(
            (fs::read(&target).unwrap(), fs::read(&link).unwrap()),
            (b"theirs".into(), b"ours".into())
        );
        // One that leads nowhere is there, too.
        let dangling = dir.path().join("dangling");
        symlink(dir.path().join("nowhere"), &dangling).unwrap();
        assert_eq!(create(&dangling, b"x", Access::Owner).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert!(!dir.path().join("nowhere").exists());
    }

    #[test]
    fn what_is_no_file_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        for path in [dir.path(), Path::new("/dev/null")] {
            let error = write(path, b"x", Access::Owner).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{}: {error}", path.display());
        }
    }

    #[test]
    fn what_is_new_never_replaces() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/share.json");
        create(&path, b"1", Access::Owner).unwrap();
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(create(&path, b"2", Access::Owner).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!((fs::read(&path).unwrap(), names(path.parent().unwrap()).len()), (b"1".into(), 1));
    }

    #[test]
    fn opening_takes_a_file_from_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        append(&path).unwrap().write_all(b"a").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o664)).unwrap();
        append(&path).unwrap().write_all(b"b").unwrap();
        assert_eq!((mode(&path), fs::read(&path).unwrap()), (0o600, b"ab".to_vec()));
        make_private(dir.path()).unwrap();
        assert_eq!(mode(dir.path()), 0o700);
    }

    #[test]
    fn what_a_killed_process_began_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let begun = temporary(&dir.path().join("x")).unwrap().keep().unwrap().1;
        assert_eq!(mode(&begun), 0o600);
        write(&dir.path().join("kept"), b"x", Access::Owner).unwrap();
        remove_unfinished(dir.path()).unwrap();
        assert_eq!(names(dir.path()), ["kept"]);
        remove_unfinished(&dir.path().join("none")).unwrap();
        assert_eq!(folder_of(Path::new("bare")), Path::new("."));
    }
}
