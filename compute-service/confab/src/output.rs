//! What people and machines see: log, progress, JSON reports.

use crate::commands::Done;
use files::Access;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::{
    fmt,
    io::{self, ErrorKind, IsTerminal, Write},
    path::Path,
    time::Duration,
};
use tracing_subscriber::EnvFilter;

/// Sends the log to standard error: warnings and why connections were refused, or what RUST_LOG says.
pub fn init_log(verbose: bool) {
    // Why a server refuses a connection it tells on the level of details only.
    let default =
        if verbose { "info,tonic::transport::server=debug" } else { "warn,tonic::transport::server=debug" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
}

/// Writes a line to standard output, as `println!` does.
macro_rules! say {
    ($($text:tt)*) => { $crate::output::line(format_args!($($text)*)) };
}

/// Writes a line to standard output. Nothing is wrong when whoever read it has seen enough (`confab … | head`).
pub fn line(text: fmt::Arguments) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// Whether a report goes to standard output, where nothing else may be then.
pub fn is_stdout(path: Option<&Path>) -> bool {
    path == Some(Path::new("-"))
}

/// Writes a report to a file, `-` for standard output.
pub fn write_json(path: &Path, report: &impl Serialize) -> Done {
    let mut json = serde_json::to_vec_pretty(report)?;
    json.push(b'\n');
    write(path, &json)
}

/// Writes a file, `-` for standard output.
pub fn write(path: &Path, bytes: &[u8]) -> Done {
    if is_stdout(Some(path)) {
        return match io::stdout().write_all(bytes) {
            Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(e.into()),
            _ => Ok(()),
        };
    }
    std::fs::write(path, bytes).map_err(|e| format!("cannot write {}: {e}", path.display()).into())
}

/// Writes what is the organisation's own to a file, for its owner's eyes only.
pub fn write_private_json(path: &Path, report: &impl Serialize) -> Done {
    files::write(path, &serde_json::to_vec_pretty(report)?, Access::Owner)
        .map_err(|e| format!("cannot write {}: {e}", path.display()).into())
}

/// Progress on a terminal; lines where standard error is none.
pub struct Steps {
    bar: ProgressBar,
    terminal: bool,
    /// What all steps are part of.
    part: String,
}

impl Steps {
    /// Nothing is shown yet.
    pub fn new() -> Self {
        let terminal = io::stderr().is_terminal();
        let bar = if terminal { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        if terminal {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        Self { bar, terminal, part: String::new() }
    }

    /// Names what the next steps are part of; it is shown before each.
    pub fn part(&mut self, name: &str) {
        self.part = format!("{name}: ");
    }

    /// Says what is going on now.
    pub fn step(&self, what: &str) {
        let what = format!("{}{what}", self.part);
        if self.terminal {
            self.bar.set_style(ProgressStyle::default_spinner());
            self.bar.set_message(what);
        } else {
            eprintln!("{what}");
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
        self.bar.set_message(format!("{}{what}", self.part));
        self.bar.set_position(done);
    }

    /// Takes the line away.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
