//! What people and machines see: log, progress, JSON reports.
//!
//! All of it goes through here, because others wrote parts of it: names, reasons, file names, messages of peers. Lines
//! are shown with [`Escaped`], so that nothing acts on the terminal and one line stays one line.

use crate::error::{Blamed, CliError, CliResult};
use experiment::Progress;
use files::{Access, Outputs, STDOUT};
use indicatif::{ProgressBar, ProgressStyle};
use records::text::{self, Escaped};
use serde::Serialize;
use std::{
    fmt,
    io::{self, ErrorKind, IsTerminal, Write},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tracing_subscriber::EnvFilter;

/// Sends the log to standard error: warnings and why connections were refused, or what RUST_LOG says.
pub fn init_log(verbose: bool) {
    // Why a server refuses a connection it tells on the level of details only.
    let default =
        if verbose { "info,tonic::transport::server=debug" } else { "warn,tonic::transport::server=debug" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    // Without colours: every escape sequence that is left is somebody else's.
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Log(io::stderr()))
        .with_ansi(false)
        .with_target(false)
        .init();
}

/// Takes the log's lines, each in one piece.
struct Log<W>(W);

impl<W: Write> Write for Log<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let escaped = Escaped(text.trim_end_matches('\n'));
        writeln!(self.0, "{escaped}").map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Writes a line to standard output, as `println!` does.
macro_rules! say {
    ($($text:tt)*) => { $crate::output::line(format_args!($($text)*)) };
}

/// Writes a line to standard error, as `eprintln!` does.
macro_rules! tell {
    ($($text:tt)*) => { $crate::output::remark(format_args!($($text)*)) };
}

/// Writes a line to standard output. Nothing is wrong when whoever read it has seen enough (`confab … | head`).
pub fn line(text: fmt::Arguments) {
    let _ = writeln!(io::stdout().lock(), "{}", Escaped(&text.to_string()));
}

/// Writes a line to standard error.
pub fn remark(text: fmt::Arguments) {
    let _ = writeln!(io::stderr().lock(), "{}", Escaped(&text.to_string()));
}

/// Writes why a command failed. An error may have several lines; those after the first are indented, so that no line of
/// somebody else's passes for one of ours.
pub fn error(error: &dyn fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "error: {}", lines(&error.to_string()));
}

fn lines(text: &str) -> String {
    let lines = text.lines().map(|line| Escaped(line).to_string());
    lines.collect::<Vec<_>>().join("\n       ")
}

/// Whether files that exist are replaced: what --force says.
static REPLACE: AtomicBool = AtomicBool::new(false);

/// Lets commands replace files that exist.
pub fn replace_files(replace: bool) {
    REPLACE.store(replace, Ordering::Relaxed);
}

/// Whether files that exist are replaced.
pub fn replaces() -> bool {
    REPLACE.load(Ordering::Relaxed)
}

/// What a command reads and will write, to be checked before its work.
pub fn outputs() -> Outputs {
    Outputs::new(replaces())
}

/// Whether a report goes to standard output, where nothing else may be then.
pub fn is_stdout(path: Option<&Path>) -> bool {
    path == Some(Path::new(STDOUT))
}

/// Writes a report to a file, `-` for standard output.
pub fn write_json(path: &Path, report: &impl Serialize) -> CliResult {
    write(path, pretty(report)?.as_bytes())
}

/// JSON for people and machines, with a line end.
pub fn pretty(report: &impl Serialize) -> serde_json::Result<String> {
    Ok(text::escape_json(&serde_json::to_string_pretty(report)?) + "\n")
}

/// Writes a file, `-` for standard output.
pub fn write(path: &Path, bytes: &[u8]) -> CliResult {
    if is_stdout(Some(path)) {
        let shown = match (io::stdout().is_terminal(), std::str::from_utf8(bytes)) {
            (true, Ok(text)) => {
                text.split_inclusive('\n').map(on_a_terminal).collect::<String>().into_bytes()
            }
            _ => bytes.to_vec(),
        };
        return match io::stdout().write_all(&shown) {
            Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(e.into()),
            _ => Ok(()),
        };
    }
    put(path, bytes, Access::Everybody)
}

/// Writes a file with the rights of its readers, where nothing is or --force was given.
pub fn put(path: &Path, bytes: &[u8], access: Access) -> CliResult {
    files::put(path, bytes, access, replaces())
        .map_err(|e| CliError::new(e.blame(), format!("cannot write {}: {e}", path.display())))
}

/// Writes what is the organisation's own to a file, for its owner's eyes only.
pub fn write_private_json(path: &Path, report: &impl Serialize) -> CliResult {
    put(path, &serde_json::to_vec_pretty(report)?, Access::Owner)
}

/// A line of a file, whose tabs stay.
fn on_a_terminal(line: &str) -> String {
    let (text, end) = line.strip_suffix('\n').map_or((line, ""), |text| (text, "\n"));
    let cells = text.split('\t').map(|cell| Escaped(cell).to_string());
    cells.collect::<Vec<_>>().join("\t") + end
}

/// Progress on a terminal; lines where standard error is none.
pub struct Steps {
    bar: ProgressBar,
    terminal: bool,
}

impl Steps {
    /// Nothing is shown yet.
    pub fn new() -> Self {
        let terminal = io::stderr().is_terminal();
        let bar = if terminal { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        if terminal {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        Self { bar, terminal }
    }

    /// Says what is going on now.
    pub fn step(&self, what: &str) {
        if self.terminal {
            self.bar.set_style(ProgressStyle::default_spinner());
            self.bar.set_message(Escaped(what).to_string());
        } else {
            tell!("{what}");
        }
    }

    /// Shows how many of how many are done.
    pub fn count(&self, what: &str, done: u64, of: u64) {
        if !self.terminal {
            return;
        }
        if self.bar.length() != Some(of) {
            self.bar.set_length(of);
            let style = ProgressStyle::with_template("{msg:14} [{bar:40}] {pos}/{len} {elapsed}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            self.bar.set_style(style.progress_chars("=> "));
        }
        self.bar.set_message(Escaped(what).to_string());
        self.bar.set_position(done);
    }

    /// Takes the line away.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Steps {
    fn step(&self, what: &str) {
        self.step(what);
    }

    fn count(&self, what: &str, done: u64, of: u64) {
        self.count(what, done, of);
    }

    fn remark(&self, text: &str) {
        tell!("{text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}[2J\u{202e}\nok\u{9b}1m";

    #[test]
    fn a_log_line_stays_one_and_acts_on_nothing() {
        let mut written = Vec::new();
        let mut log = Log(&mut written);
        log.write_all(format!("WARN {HOSTILE}\n").as_bytes()).unwrap();
        let written = String::from_utf8(written).unwrap();
        assert_eq!(written, "WARN a\\u{1b}[2J\\u{202e}\\nok\\u{9b}1m\n");
    }

    #[test]
    fn an_error_shows_where_its_own_text_begins() {
        assert_eq!(lines("no peer:\nerror: \u{1b}[1m"), "no peer:\n       error: \\u{1b}[1m");
        assert_eq!(on_a_terminal("a\tb\u{7}\n"), "a\tb\\u{7}\n");
    }
}
