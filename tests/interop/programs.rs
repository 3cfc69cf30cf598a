//! Programs on Node with packages from the registry.

use crate::harness::Skipped;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The first release of Node that the packages take.
const NODE: (u32, u32) = (20, 9);

/// A program of a folder of `tests`, with what it needs from the registry, in a folder of the build.
///
/// # Errors
/// Why that is not to be had.
pub fn npm_program(group: &str, name: &str) -> Result<PathBuf, Skipped> {
    let skip = |reason: String| Err(Skipped(format!("{group} {name}: {reason}")));
    if let Err(reason) = node_version() {
        return skip(reason);
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(group).join(name);
    let test = std::env::current_exe().unwrap();
    let target = test.ancestors().nth(3).unwrap().join(group).join(name);
    fs::create_dir_all(&target).unwrap();
    // Until the end of this function, for every test process and thread.
    let lock = File::create(target.join(".lock")).unwrap();
    lock.lock().unwrap();
    for file in fs::read_dir(&source).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), target.join(file.file_name())).unwrap();
    }
    let packages = fs::read(target.join("package-lock.json")).unwrap();
    let installed = target.join(".installed");
    if fs::read(&installed).ok().as_ref() != Some(&packages) {
        let args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"];
        match Command::new("npm").args(args).current_dir(&target).output() {
            Ok(output) if output.status.success() => fs::write(&installed, packages).unwrap(),
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stderr).into_owned();
                let unreachable =
                    ["ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ECONNRESET", "ENETUNREACH"];
                assert!(unreachable.iter().any(|code| text.contains(code)), "npm {args:?}: {text}");
                return skip(format!("the registry cannot be reached: {text}"));
            }
            Err(error) => return skip(format!("npm: {error}")),
        }
    }
    Ok(target)
}

fn node_version() -> Result<(), String> {
    let output = Command::new("node").arg("--version").output().map_err(|e| format!("node: {e}"))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let mut parts = version.trim_start_matches('v').split('.').map(|part| part.parse().unwrap_or(0));
    let found = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if found < NODE { Err(format!("node {version} is older than {}.{}", NODE.0, NODE.1)) } else { Ok(()) }
}
