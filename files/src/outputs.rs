//! What a command is going to write, checked before its work begins: rather now than after an hour.

use crate::folder_of;
use rustix::fs::Access as Right;
use std::{
    fs::{self, File, Metadata},
    io::{self, ErrorKind, Write},
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Component, Path, PathBuf},
};

/// Stands for standard output where a file may be named.
pub const STDOUT: &str = "-";

/// Why a command cannot write what it is to write.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// A path that ends in a slash, in `.` or in `..`.
    #[error("{option}: {path} names no file")]
    NoFile {
        /// The option.
        option: String,
        /// The path.
        path: String,
    },
    /// There is a folder in the place of the file.
    #[error("{option}: {path} is a folder; name a file")]
    Folder {
        /// The option.
        option: String,
        /// The path.
        path: String,
    },
    /// There is a file in the place of the folder.
    #[error("{option}: {path} is no folder")]
    NoFolder {
        /// The option.
        option: String,
        /// The path.
        path: String,
    },
    /// The folder in which the file is to lie is not there.
    #[error("{option}: there is no folder {folder}; make it, or name another place")]
    Absent {
        /// The option.
        option: String,
        /// The folder.
        folder: String,
    },
    /// The folder takes no files.
    #[error("{option}: nothing can be written in {folder}: {source}")]
    Refused {
        /// The option.
        option: String,
        /// The folder.
        folder: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file is there already.
    #[error("{option}: {path} exists; name another file, or replace it with --force")]
    Exists {
        /// The option.
        option: String,
        /// The path.
        path: String,
    },
    /// The file is one that the command reads.
    #[error("{option}: {path} is {input}, which this command reads; name another file")]
    Input {
        /// The option.
        option: String,
        /// The path.
        path: String,
        /// The file that is read.
        input: String,
    },
    /// The file would lie in a folder that belongs to a program.
    #[error("{option}: {path} lies in {folder}, where a node keeps its state; name another place")]
    State {
        /// The option.
        option: String,
        /// The path.
        path: String,
        /// The folder.
        folder: String,
    },
    /// Two outputs are one file.
    #[error("{option} and {other} both name {path}")]
    Twice {
        /// One option.
        option: String,
        /// The other.
        other: String,
        /// The path.
        path: String,
    },
}

/// The files that a command reads and will write.
#[derive(Clone, Debug, Default)]
pub struct Outputs {
    replace: bool,
    inputs: Vec<PathBuf>,
    states: Vec<PathBuf>,
    streams: Vec<String>,
    folders: Vec<(String, PathBuf)>,
    files: Vec<(String, PathBuf)>,
}

impl Outputs {
    /// Nothing yet; `replace` says whether files that exist may be replaced.
    pub fn new(replace: bool) -> Self {
        Self { replace, ..Self::default() }
    }

    /// A file that the command reads: it is never written, whatever it is called.
    #[must_use]
    pub fn reads(mut self, path: impl AsRef<Path>) -> Self {
        self.inputs.push(path.as_ref().into());
        self
    }

    /// A folder with the state of a program, in which no output lies.
    #[must_use]
    pub fn keeps(mut self, folder: impl AsRef<Path>) -> Self {
        self.states.push(folder.as_ref().into());
        self
    }

    /// A file that an option names, if it was given; `-` is standard output and no file.
    #[must_use]
    pub fn writes(mut self, option: &str, path: Option<&Path>) -> Self {
        match path {
            Some(path) if path == Path::new(STDOUT) => self.streams.push(option.into()),
            Some(path) => self.files.push((option.into(), path.into())),
            None => {}
        }
        self
    }

    /// A folder that an option names, if it was given, and files that come to lie in it. It is made where it is missing.
    #[must_use]
    pub fn fills(mut self, option: &str, folder: Option<&Path>, names: &[&str]) -> Self {
        if let Some(folder) = folder {
            self.folders.push((option.into(), folder.into()));
            self.files.extend(names.iter().map(|name| (option.into(), folder.join(name))));
        }
        self
    }

    /// Checks that everything can be written: folders are there and writable, no file is an input of the command, none
    /// exists unless it may be replaced, and none is named twice.
    ///
    /// # Errors
    /// The first thing that is wrong, with the option.
    pub fn check(&self) -> Result<(), OutputError> {
        if let [option, other, ..] = &self.streams[..] {
            let (option, other) = (option.clone(), other.clone());
            return Err(OutputError::Twice { option, other, path: "standard output".into() });
        }
        self.folders.iter().try_for_each(|(option, path)| folder(option, path))?;
        self.files.iter().try_for_each(|(option, path)| self.file(option, path))?;
        for (place, (option, path)) in self.files.iter().enumerate() {
            let is_same =
                |(_, other): &&(String, PathBuf)| !is_stream(path) && resolved(other) == resolved(path);
            if let Some((other, _)) = self.files[..place].iter().find(is_same) {
                let (option, other) = (option.clone(), other.clone());
                return Err(OutputError::Twice { option: other, other: option, path: shown(path) });
            }
        }
        Ok(())
    }

    fn file(&self, option: &str, path: &Path) -> Result<(), OutputError> {
        let option = option.to_owned();
        let ends = path.as_os_str().as_encoded_bytes().last().copied();
        let named = matches!(path.components().next_back(), Some(Component::Normal(_)));
        let found = fs::metadata(path);
        if found.as_ref().is_ok_and(Metadata::is_dir) {
            return Err(OutputError::Folder { option, path: shown(path) });
        }
        if !named || ends == Some(b'/') {
            return Err(OutputError::NoFile { option, path: shown(path) });
        }
        // What is written into and not replaced: a terminal, a pipe, /dev/null.
        if is_stream(path) {
            return Ok(());
        }
        if let Ok(found) = &found
            && let Some(input) = self.inputs.iter().find(|input| is_file(input, found))
        {
            return Err(OutputError::Input { option, path: shown(path), input: shown(input) });
        }
        let folder = folder_of(path);
        let is_filled = self.folders.iter().any(|(_, filled)| resolved(filled) == resolved(folder));
        match fs::metadata(folder) {
            Err(e) if e.kind() == ErrorKind::NotFound && is_filled => return Ok(()),
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return Err(OutputError::Absent { option, folder: shown(folder) });
            }
            Err(source) => return Err(OutputError::Refused { option, folder: shown(folder), source }),
            Ok(found) if !found.is_dir() => {
                return Err(OutputError::NoFolder { option, path: shown(folder) });
            }
            Ok(_) => writable(&option, folder)?,
        }
        let place = resolved(path);
        if let Some(state) = self.states.iter().find(|state| place.starts_with(resolved(state))) {
            return Err(OutputError::State { option, path: shown(path), folder: shown(state) });
        }
        // A link that leads nowhere is there, too.
        match fs::symlink_metadata(path).is_ok() && !self.replace {
            true => Err(OutputError::Exists { option, path: shown(path) }),
            false => Ok(()),
        }
    }
}

/// Writes an output: into a terminal, a pipe or a device, in the place of what was there where `replace` says so, else
/// where nothing is.
///
/// # Errors
/// [`ErrorKind::AlreadyExists`], or what the system says.
pub fn put(path: &Path, content: &[u8], access: crate::Access, replace: bool) -> io::Result<()> {
    match (is_stream(path), replace) {
        (true, _) => File::options().write(true).truncate(true).open(path)?.write_all(content),
        (false, true) => crate::write(path, content, access),
        (false, false) => crate::create(path, content, access),
    }
}

/// Whether a path leads to something that is written into and has no content to lose: a device, a pipe, or a file that
/// this process was given open (`/dev/stdout`).
fn is_stream(path: &Path) -> bool {
    let is_special = |found: Metadata| {
        let kind = found.file_type();
        kind.is_char_device() || kind.is_fifo() || kind.is_socket()
    };
    if fs::metadata(path).is_ok_and(is_special) {
        return true;
    }
    let is_open = |path: &Path| {
        let folder = fs::canonicalize(folder_of(path)).unwrap_or_default();
        folder.starts_with("/proc") && folder.ends_with("fd")
    };
    is_open(path) || fs::read_link(path).is_ok_and(|target| target.is_absolute() && is_open(&target))
}

fn is_file(path: &Path, found: &Metadata) -> bool {
    fs::metadata(path).is_ok_and(|input| (input.dev(), input.ino()) == (found.dev(), found.ino()))
}

/// One name for one place: the folder's own, as far as it is there.
fn resolved(path: &Path) -> PathBuf {
    if let Ok(folder) = fs::canonicalize(path)
        && folder.is_dir()
    {
        return folder;
    }
    match (path.parent(), path.file_name()) {
        (Some(_), Some(name)) => {
            let folder = folder_of(path);
            fs::canonicalize(folder).unwrap_or_else(|_| resolved(folder)).join(name)
        }
        _ => path.into(),
    }
}

fn folder(option: &str, path: &Path) -> Result<(), OutputError> {
    // The nearest that is there.
    let mut above = path;
    loop {
        match fs::metadata(above) {
            Ok(found) if found.is_dir() => return writable(option, above),
            Ok(_) => return Err(OutputError::NoFolder { option: option.into(), path: shown(above) }),
            Err(e) if e.kind() == ErrorKind::NotFound && fs::symlink_metadata(above).is_err() => {
                above = folder_of(above);
            }
            Err(source) => {
                return Err(OutputError::Refused { option: option.into(), folder: shown(above), source });
            }
        }
    }
}

fn writable(option: &str, folder: &Path) -> Result<(), OutputError> {
    rustix::fs::access(folder, Right::WRITE_OK | Right::EXEC_OK).map_err(|e| OutputError::Refused {
        option: option.into(),
        folder: shown(folder),
        source: e.into(),
    })
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Access;
    use std::os::unix::fs::symlink;

    fn error(outputs: &Outputs) -> String {
        outputs.check().unwrap_err().to_string()
    }

    #[test]
    fn an_input_is_never_an_output_whatever_it_is_called() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("data.csv"), "x").unwrap();
        symlink("data.csv", at("link.csv")).unwrap();
        fs::hard_link(at("data.csv"), at("other.csv")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        symlink(dir.path(), at("folder/up")).unwrap();
        for name in ["data.csv", "link.csv", "other.csv", "folder/up/data.csv", "folder/../data.csv"] {
            for replace in [false, true] {
                let outputs = Outputs::new(replace).reads(at("data.csv")).writes("--out", Some(&at(name)));
                assert!(error(&outputs).contains("which this command reads"), "{name}");
            }
        }
        // The other way round, too: the input is a link to what is named.
        let outputs = Outputs::new(true).reads(at("link.csv")).writes("--out", Some(&at("data.csv")));
        assert!(error(&outputs).starts_with("--out: "), "{}", error(&outputs));
    }

    #[test]
    fn what_exists_is_replaced_only_where_that_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("old"), "x").unwrap();
        symlink("nowhere", at("dangling")).unwrap();
        for name in ["old", "dangling"] {
            let outputs = |replace| Outputs::new(replace).writes("--json", Some(&at(name)));
            assert!(error(&outputs(false)).contains("--force"), "{name}");
            outputs(true).check().unwrap();
            assert_eq!(
                put(&at(name), b"new", Access::Owner, false).unwrap_err().kind(),
                ErrorKind::AlreadyExists
            );
            put(&at(name), b"new", Access::Owner, true).unwrap();
            assert_eq!(fs::read(at(name)).unwrap(), b"new");
        }
        assert!(!at("nowhere").exists());
        let fills = |replace| Outputs::new(replace).fills("--out", Some(dir.path()), &["model.json", "old"]);
        assert!(error(&fills(false)).contains("old exists"));
        fills(true).check().unwrap();
        for stream in ["/dev/null", "/dev/stdout", "/dev/fd/1"] {
            Outputs::new(false).writes("--json", Some(Path::new(stream))).check().unwrap();
        }
        put(Path::new("/dev/null"), b"x", Access::Everybody, false).unwrap();
    }

    #[test]
    fn a_place_that_cannot_be_is_named_with_its_option() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "x").unwrap();
        let check = |path: PathBuf| error(&Outputs::new(true).writes("--out", Some(&path)));
        assert!(check(at("absent/x")).contains("there is no folder"));
        assert!(check(dir.path().into()).contains("is a folder"));
        assert!(check(at("new/")).contains("names no file"));
        assert!(check(at("file/x")).contains("is no folder"));
        let fills = |path: PathBuf| Outputs::new(false).fills("--out", Some(&path), &["model.json"]);
        fills(at("a/b/c")).writes("--json", Some(&at("a/b/c/report.json"))).check().unwrap();
        assert!(error(&fills(at("file"))).contains("is no folder"));
        assert!(error(&fills(at("file/a"))).starts_with("--out: "));
        let twice = Outputs::new(true).writes("--json", Some(&at("x"))).writes("--html", Some(&at("./x")));
        assert!(error(&twice).starts_with("--json and --html both name"), "{}", error(&twice));
        let dash = Some(Path::new("-"));
        let streams = Outputs::new(false).writes("--json", dash).writes("--out", dash);
        assert_eq!(error(&streams), "--json and --out both name standard output");
        let kept = Outputs::new(true).keeps(at("state")).writes("--out", Some(&at("state/x")));
        fs::create_dir(at("state")).unwrap();
        assert!(error(&kept).contains("keeps its state"));
        // Bare names lie in the folder where one is.
        Outputs::new(true).writes("--out", Some(Path::new("bare-name-of-no-file"))).check().unwrap();
        Outputs::new(true).writes("--out", Some(Path::new("-"))).writes("--json", None).check().unwrap();
    }

    #[test]
    fn a_folder_without_the_right_to_write_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o500)).unwrap();
        // Whoever may do everything may write there, too.
        let is_root = fs::write(dir.path().join("probe"), "").is_ok();
        let outputs = Outputs::new(false).writes("--out", Some(&dir.path().join("x")));
        assert_eq!(outputs.check().is_ok(), is_root);
    }
}
