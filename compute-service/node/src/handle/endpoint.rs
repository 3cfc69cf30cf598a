//! The socket in a node's data directory, `node.sock`: where it lies, and lines of bounded length on it.

use std::{
    fs::File,
    io::{self, ErrorKind},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt},
    net::{UnixListener, UnixStream},
};

const NAME: &str = "node.sock";

/// A folder under a short name: the path of a socket has no more than 108 bytes.
struct Folder {
    path: PathBuf,
    /// It is named by its number while it is open.
    _open: File,
}

impl Folder {
    fn open(path: &Path) -> io::Result<Self> {
        let open = File::open(path)?;
        let path = match cfg!(target_os = "linux") {
            true => format!("/proc/self/fd/{}", open.as_raw_fd()).into(),
            false => path.to_owned(),
        };
        Ok(Self { path, _open: open })
    }
}

/// Listens in a data directory whose database this process has locked; a socket that a killed node left is replaced.
///
/// # Errors
/// The system's.
pub(crate) fn listen(data_dir: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    // In a folder that only its owner may enter until it has its rights.
    let hidden = tempfile::Builder::new().prefix(".socket-").tempdir_in(data_dir)?;
    let listener = UnixListener::bind(Folder::open(hidden.path())?.path.join(NAME))?;
    let made = hidden.path().join(NAME);
    std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(made, data_dir.join(NAME))?;
    Ok(listener)
}

/// Takes the socket away.
pub(crate) fn remove(data_dir: &Path) {
    let _ = std::fs::remove_file(data_dir.join(NAME));
}

/// Connects to the node that runs in a data directory; none where none does.
///
/// # Errors
/// The system's.
pub(crate) async fn connect(data_dir: &Path) -> io::Result<Option<UnixStream>> {
    let connected = async || UnixStream::connect(Folder::open(data_dir)?.path.join(NAME)).await;
    match connected().await {
        Ok(stream) => Ok(Some(stream)),
        // One that a killed node left refuses.
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Whether a node runs in a data directory.
pub(crate) fn is_served(data_dir: &Path) -> bool {
    let connected =
        Folder::open(data_dir).and_then(|dir| std::os::unix::net::UnixStream::connect(dir.path.join(NAME)));
    connected.is_ok()
}

/// Reads the rest of a line, without its end, into `line`, which keeps what came when this is interrupted; `false` at the end
/// of the stream.
///
/// # Errors
/// The system's; a line of more than `limit` bytes.
pub(crate) async fn read_line(
    stream: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
    limit: usize,
) -> io::Result<bool> {
    let room = (limit + 1).saturating_sub(line.len());
    stream.take(room as u64).read_until(b'\n', line).await?;
    match line.pop_if(|byte| *byte == b'\n') {
        Some(_) => Ok(true),
        None if line.len() > limit => {
            Err(io::Error::new(ErrorKind::InvalidData, format!("a line of more than {limit} bytes")))
        }
        // What is left of a line at the end of the stream is none.
        None => Ok(false),
    }
}
