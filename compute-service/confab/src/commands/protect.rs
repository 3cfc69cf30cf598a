//! `confab key protect` and `unprotect`, and where the passphrase comes from.

use super::{CliResult, job::NodeFile};
use clap::Args;
use msp::passphrase::{self, MAX_BYTES, Passphrase, PassphraseError};
use node::protected;
use std::{
    fs::File,
    io::{IsTerminal, Read},
    path::{Path, PathBuf},
    sync::OnceLock,
};
use zeroize::Zeroizing;

#[derive(Args)]
pub struct ProtectArgs {
    /// The configuration of the node, whose key files are meant, and those that it will make.
    #[arg(long, required_unless_present = "file", conflicts_with = "file")]
    config: Option<PathBuf>,
    /// A single key file, such as one that was dealt or exported.
    #[arg(long)]
    file: Option<PathBuf>,
}

/// The variable with the passphrase; it is not handed on to other programs.
const VARIABLE: &str = "CONFAB_PASSPHRASE";

static FILE: OnceLock<PathBuf> = OnceLock::new();

/// Says where the passphrase is to come from when it is needed.
pub fn prepare(file: Option<PathBuf>) {
    if let Some(file) = file {
        // It is called once.
        let _ = FILE.set(file);
    }
    passphrase::ask_with(ask);
}

fn ask() -> Result<Passphrase, PassphraseError> {
    if let Some(file) = FILE.get() {
        return of_file(file);
    }
    match std::env::var(VARIABLE) {
        Ok(text) => return Passphrase::new(Zeroizing::new(text)),
        Err(std::env::VarError::NotUnicode(_)) => return Err(PassphraseError::Unfit("it is not UTF-8")),
        Err(std::env::VarError::NotPresent) => {}
    }
    match std::io::stdin().is_terminal() {
        true => prompt("passphrase of the keys: "),
        false => Err(PassphraseError::None),
    }
}

fn of_file(path: &Path) -> Result<Passphrase, PassphraseError> {
    let unread = |e: std::io::Error| PassphraseError::Read(format!("{}: {e}", path.display()));
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 3));
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES as u64 + 3).read_to_end(&mut bytes))
        .map_err(unread)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| PassphraseError::Unfit("its file is not UTF-8"))?;
    if text.trim_end_matches(['\r', '\n']).contains(['\r', '\n']) {
        return Err(PassphraseError::Unfit("its file has more than one line"));
    }
    Passphrase::new(Zeroizing::new(text.to_owned()))
}

/// Asks at the terminal, without showing what is typed.
fn prompt(question: &str) -> Result<Passphrase, PassphraseError> {
    let typed = rpassword::prompt_password(question).map(Zeroizing::new);
    Passphrase::new(typed.map_err(|e| PassphraseError::Read(e.to_string()))?)
}

/// Has a new passphrase typed again: one that was mistyped would lose the keys.
fn confirm() -> CliResult {
    let given = passphrase::get()?;
    let is_typed = FILE.get().is_none() && std::env::var_os(VARIABLE).is_none();
    match is_typed && prompt("the same again: ")? != *given {
        true => Err("the two differ; nothing was changed".into()),
        false => Ok(()),
    }
}

pub fn protect(args: &ProtectArgs) -> CliResult {
    let changed = match (&args.config, &args.file) {
        (_, Some(file)) => {
            confirm()?;
            protected::protect(std::slice::from_ref(file))?
        }
        (Some(config), None) => {
            let config = NodeFile::from_path(config).load()?;
            if !protected::is_protected(&config.data_dir) {
                confirm()?;
            }
            protected::protect_node(&config)?
        }
        (None, None) => return Err("say what: --config FILE, or --file FILE".into()),
    };
    say!("{changed} key files are protected now");
    if args.config.is_some() {
        tell!(
            "the node asks for the passphrase when it starts, or takes --passphrase-file FILE or {VARIABLE}"
        );
    }
    tell!("without the passphrase they cannot be opened; older copies and backups are as they were");
    Ok(())
}

pub fn unprotect(args: &ProtectArgs) -> CliResult {
    let changed = match (&args.config, &args.file) {
        (_, Some(file)) => protected::unprotect(std::slice::from_ref(file))?,
        (Some(config), None) => protected::unprotect_node(&NodeFile::from_path(config).load()?)?,
        (None, None) => return Err("say what: --config FILE, or --file FILE".into()),
    };
    say!("{changed} key files have no passphrase any more");
    Ok(())
}
