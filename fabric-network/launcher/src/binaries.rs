//! Finds Fabric's programs.

use crate::Error;
use std::{
    env,
    ffi::OsString,
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::Command,
};

/// Fabric's programs on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    /// The peer, which is also the lifecycle's command line.
    pub peer: PathBuf,
    /// The orderer.
    pub orderer: PathBuf,
    /// Makes the channel's first block.
    pub configtxgen: PathBuf,
    /// Has the orderer join the channel.
    pub osnadmin: PathBuf,
}

/// What a release can do, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Generation {
    /// 2.5: the channel has capability V2_0.
    V2,
    /// 3.0 and later: the channel has capability V3_0.
    V3,
}

impl Generation {
    /// The channel capability to set.
    pub fn channel_capability(self) -> &'static str {
        match self {
            Self::V2 => "V2_0",
            Self::V3 => "V3_0",
        }
    }
}

impl Binaries {
    /// Looks in `$FABRIC_HOME/bin`, then `$FABRIC_HOME`, then `PATH`, for each program on its own.
    ///
    /// # Errors
    /// [`Error::Missing`] names the programs that are nowhere and says how to get them.
    pub fn find() -> Result<Self, Error> {
        Self::find_in(None)
    }

    /// As [`Binaries::find`], with another folder than `FABRIC_HOME` where one is given.
    ///
    /// # Errors
    /// As [`Binaries::find`].
    pub fn find_in(home: Option<&Path>) -> Result<Self, Error> {
        let home = home.map(|home| home.as_os_str().to_owned()).or_else(|| env::var_os("FABRIC_HOME"));
        Self::search(home, env::var_os("PATH"))
    }

    fn search(home: Option<OsString>, path: Option<OsString>) -> Result<Self, Error> {
        let mut folders = Vec::new();
        if let Some(home) = home.as_ref().filter(|home| !home.is_empty()) {
            folders.extend([Path::new(home).join("bin"), PathBuf::from(home)]);
        }
        folders.extend(path.iter().flat_map(env::split_paths).filter(|folder| folder.is_absolute()));
        let find =
            |name: &str| folders.iter().map(|folder| folder.join(name)).find(|file| is_executable(file));

        let names = ["peer", "orderer", "configtxgen", "osnadmin"];
        if let [Some(peer), Some(orderer), Some(configtxgen), Some(osnadmin)] = names.map(find) {
            return Ok(Self { peer, orderer, configtxgen, osnadmin });
        }
        let missing: Vec<_> = names.into_iter().filter(|name| find(name).is_none()).collect();
        let place = match home {
            Some(home) => format!("neither under FABRIC_HOME ({}) nor on PATH", home.display()),
            None => "not on PATH, and FABRIC_HOME is not set".into(),
        };
        Err(Error::Missing(format!(
            "Hyperledger Fabric is needed for a real network; {place}: {}.\n\
             Unpack hyperledger-fabric-{}-VERSION.tar.gz (3.1 or 2.5) of \
             https://github.com/hyperledger/fabric/releases into a folder \
             and set FABRIC_HOME to that folder; no Docker is needed.",
            missing.join(", "),
            platform(),
        )))
    }

    /// What all of them can do: the oldest counts. A program that does not say which release it is, such as one that calls
    /// itself `latest`, is looked into.
    ///
    /// # Errors
    /// [`Error::Conflict`] for a release before 2.5, [`Error::Io`] or [`Error::Command`] when a program
    /// cannot be run.
    pub fn generation(&self) -> Result<Generation, Error> {
        let mut oldest = Generation::V3;
        for (program, arg) in
            [(&self.peer, "version"), (&self.orderer, "version"), (&self.configtxgen, "--version")]
        {
            let output = Command::new(program).arg(arg).output().map_err(Error::io(program))?;
            if !output.status.success() {
                let output = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                return Err(Error::Command { what: format!("{} {arg}", program.display()), output });
            }
            let text = String::from_utf8_lossy(&output.stdout);
            let generation = match generation_of(program, &text)? {
                Some(generation) => generation,
                None => probe(program)?,
            };
            oldest = oldest.min(generation);
        }
        Ok(oldest)
    }
}

/// Reads what a program says of its version; nothing where that is no release.
fn generation_of(program: &Path, text: &str) -> Result<Option<Generation>, Error> {
    let version = text.lines().find_map(|line| line.trim().strip_prefix("Version:")).unwrap_or("").trim();
    let mut numbers = version.trim_start_matches('v').split(['.', '-', '+']).map(|n| n.parse::<u32>().ok());
    Ok(match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(2), Some(5..)) => Some(Generation::V2),
        (Some(0..=2), Some(_)) => {
            let what = format!("{} of Fabric {version} is too old: 2.5 or 3.x is needed", program.display());
            return Err(Error::Conflict(what));
        }
        (Some(3..=99), Some(_)) => Some(Generation::V3),
        _ => None,
    })
}

/// Whether a program knows the capability of 3.x: one that does not stops as soon as it meets it. What is no such program
/// itself, but a script, is taken for the older generation, in whose channels the newer ones are, too.
fn probe(program: &Path) -> Result<Generation, Error> {
    let capability = Generation::V3.channel_capability().as_bytes();
    let mut file = BufReader::with_capacity(1 << 20, File::open(program).map_err(Error::io(program))?);
    let mut window: Vec<u8> = Vec::new();
    loop {
        let read = file.fill_buf().map_err(Error::io(program))?;
        let length = read.len();
        window.extend(read);
        file.consume(length);
        if window.windows(capability.len()).any(|bytes| bytes == capability) {
            return Ok(Generation::V3);
        }
        if length == 0 {
            return Ok(Generation::V2);
        }
        // It may lie across the border.
        window.drain(..window.len().saturating_sub(capability.len() - 1));
    }
}

/// The part of a release's file name that says for which system it is.
fn platform() -> String {
    let system = if env::consts::OS == "macos" { "darwin" } else { env::consts::OS };
    let processor = match env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{system}-{processor}")
}

fn is_executable(file: &Path) -> bool {
    rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok() && file.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    fn place(folder: &Path, name: &str, mode: u32) {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join(name), "").unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn home_comes_before_path_and_each_program_is_looked_for_on_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let (home, path) = (dir.path().join("home"), dir.path().join("path"));
        place(&home.join("bin"), "peer", 0o755);
        place(&home, "orderer", 0o755);
        for name in ["peer", "orderer", "configtxgen", "osnadmin"] {
            place(&path, name, 0o755);
        }
        let found = Binaries::search(Some(home.clone().into()), Some(path.clone().into())).unwrap();
        assert_eq!(found.peer, home.join("bin/peer"));
        assert_eq!(found.orderer, home.join("orderer"));
        assert_eq!(found.configtxgen, path.join("configtxgen"));
    }

    #[test]
    fn the_error_names_exactly_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        place(dir.path(), "peer", 0o755);
        place(dir.path(), "configtxgen", 0o755);
        place(dir.path(), "osnadmin", 0o644);
        let error = Binaries::search(None, Some(dir.path().into())).unwrap_err().to_string();
        assert!(error.contains("FABRIC_HOME is not set: orderer, osnadmin."), "{error}");
        assert!(error.contains("github.com/hyperledger/fabric/releases"), "{error}");
    }

    #[test]
    fn versions_are_told_apart() {
        let read = |version: &str| {
            let text = format!("peer:\n Version: {version}\n Commit SHA: 1\n");
            generation_of(Path::new("peer"), &text)
        };
        for (version, expected) in [
            ("v2.5.16", Some(Generation::V2)),
            ("2.5.0-rc1", Some(Generation::V2)),
            ("2.6", Some(Generation::V2)),
            ("v3.1.5", Some(Generation::V3)),
            ("3.0.0", Some(Generation::V3)),
            ("12.0.1", Some(Generation::V3)),
            // None of these is a release.
            ("latest", None),
            ("v2", None),
            ("2.x", None),
            ("20250101.1", None),
            ("99999999999.1", None),
            ("development build", None),
            ("", None),
        ] {
            assert_eq!(read(version).unwrap(), expected, "{version}");
        }
        for version in ["v2.4.9", "1.4.12", "2.0"] {
            let error = read(version).unwrap_err().to_string();
            assert!(error.contains("peer of Fabric") && error.contains("too old"), "{error}");
        }
    }

    /// A program that answers every question with the same.
    fn program(folder: &Path, name: &str, version: &str, content: &str) -> PathBuf {
        place(folder, name, 0o755);
        let text = format!("#!/bin/sh\necho ' Version: {version}'\nexit 0\n{content}\n");
        fs::write(folder.join(name), text).unwrap();
        folder.join(name)
    }

    #[test]
    fn what_says_no_version_is_looked_into() {
        let dir = tempfile::tempdir().unwrap();
        let padding = "x".repeat((1 << 20) - 48);
        // Wherever it is, and across the border of what is read at once.
        for before in 0..9 {
            let content = format!("{}{}V3_0{padding}", padding, "y".repeat(before));
            let path = program(dir.path(), "peer", "latest", &content);
            assert_eq!(probe(&path).unwrap(), Generation::V3, "{before}");
        }
        let path = program(dir.path(), "peer", "latest", &format!("{padding}V2_0 V3.0 V3_"));
        assert_eq!(probe(&path).unwrap(), Generation::V2);
    }

    #[test]
    fn the_oldest_program_counts() {
        let dir = tempfile::tempdir().unwrap();
        for (peer, orderer, configtxgen, expected) in [
            (("3.1.5", ""), ("3.1.5", ""), ("3.1.5", ""), Generation::V3),
            (("latest", "V3_0"), ("3.1.5", ""), ("latest", "V3_0"), Generation::V3),
            (("latest", "V2_0"), ("3.1.5", ""), ("3.1.5", ""), Generation::V2),
            (("3.1.5", ""), ("latest", ""), ("3.1.5", ""), Generation::V2),
            (("3.1.5", ""), ("3.1.5", ""), ("2.5.9", ""), Generation::V2),
        ] {
            let make = |name: &str, (version, content)| program(dir.path(), name, version, content);
            let binaries = Binaries {
                peer: make("peer", peer),
                orderer: make("orderer", orderer),
                configtxgen: make("configtxgen", configtxgen),
                osnadmin: dir.path().join("osnadmin"),
            };
            assert_eq!(binaries.generation().unwrap(), expected, "{peer:?} {orderer:?} {configtxgen:?}");
        }
    }
}
