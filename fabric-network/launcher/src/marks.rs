//! Processes that show in the system's list (`ps`) as `PROGRAM[NAME in FOLDER]`, so that
//! they are found when the program that started them was killed and even their folder is gone.

use crate::process::{Ours, end};
use serde::Serialize;
use std::{
    ffi::OsString,
    io,
    os::unix::{ffi::OsStringExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

/// A process of a network or an experiment of this user.
#[derive(Clone, Debug, Serialize)]
pub struct Marked {
    /// Folder of its network; of a node of an experiment its own.
    pub dir: PathBuf,
    /// Its name there.
    pub name: String,
    /// The program's file name.
    pub program: String,
    /// Its id.
    pub pid: u32,
    /// Whether its folder still is there.
    pub folder_exists: bool,
    #[serde(skip)]
    ours: Ours,
}

/// A command for a process that shows under its name and folder, which is absolute.
pub fn command(program: &Path, name: &str, dir: &Path) -> Command {
    let mut shown = program.file_name().unwrap_or_default().to_owned();
    shown.push(format!("[{name} in "));
    shown.push(dir);
    shown.push("]");
    let mut command = Command::new(program);
    command.arg0(shown);
    command
}

/// Program, name and folder of a process, from its first argument.
fn parse(shown: &[u8]) -> Option<(String, String, PathBuf)> {
    let open = shown.iter().position(|&byte| byte == b'[')?;
    let (program, rest) = (&shown[..open], shown[open + 1..].strip_suffix(b"]")?);
    let space = rest.iter().position(|&byte| byte == b' ')?;
    let (name, dir) = (&rest[..space], rest[space..].strip_prefix(b" in ")?);
    let dir = PathBuf::from(OsString::from_vec(dir.to_vec()));
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    dir.is_absolute().then_some((text(program)?, text(name)?, dir))
}

/// All such processes of this user, by folder.
///
/// # Errors
/// A list of processes that cannot be had.
pub fn list() -> io::Result<Vec<Marked>> {
    let mut found = Vec::new();
    for (pid, shown) in arguments()? {
        if let Some((program, name, dir)) = parse(&shown)
            && let Some(ours) = Ours::of(pid)
        {
            let folder_exists = dir.is_dir();
            found.push(Marked { dir, name, program, pid, folder_exists, ours });
        }
    }
    found.sort_by(|a, b| (&a.dir, &a.name, a.pid).cmp(&(&b.dir, &b.name, b.pid)));
    Ok(found)
}

/// Those of one folder, which may be gone.
pub(crate) fn of_folder(dir: &Path) -> Vec<Ours> {
    let dir = resolved(dir);
    let all = list().unwrap_or_default().into_iter();
    all.filter(|process| process.dir == dir).map(|process| process.ours).collect()
}

/// Stops the processes of one folder, which may be gone; how many there were.
pub(crate) fn stop(dir: &Path) -> usize {
    let running = of_folder(dir);
    end(&running);
    running.len()
}

/// The folder's absolute path without links, as far as it is there.
fn resolved(dir: &Path) -> PathBuf {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    for parent in dir.ancestors() {
        if let (Ok(real), Ok(rest)) = (parent.canonicalize(), dir.strip_prefix(parent)) {
            return real.join(rest);
        }
    }
    dir
}

/// Ids and first arguments of this user's processes.
#[cfg(target_os = "linux")]
fn arguments() -> io::Result<Vec<(u32, Vec<u8>)>> {
    use std::{fs, os::unix::fs::MetadataExt};
    let me = rustix::process::geteuid().as_raw();
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(entry) = entry else { continue };
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // It may end in this very moment.
        if entry.metadata().is_ok_and(|metadata| metadata.uid() == me)
            && let Ok(line) = fs::read(entry.path().join("cmdline"))
        {
            all.push((pid, line.split(|&byte| byte == 0).next().unwrap_or_default().to_vec()));
        }
    }
    Ok(all)
}

/// Ids and first arguments of this user's processes; of others' the folder ends where "] " is first.
#[cfg(not(target_os = "linux"))]
fn arguments() -> io::Result<Vec<(u32, Vec<u8>)>> {
    let me = rustix::process::geteuid().as_raw().to_string();
    let output = Command::new("ps").args(["-U", &me, "-o", "pid=,args="]).output()?;
    let line = |line: &[u8]| {
        let line = line.trim_ascii();
        let space = line.iter().position(|&byte| byte == b' ')?;
        let pid = std::str::from_utf8(&line[..space]).ok()?.parse().ok()?;
        let args = line[space..].trim_ascii();
        let end = args.windows(2).position(|pair| pair == b"] ").map_or(args.len(), |place| place + 1);
        Some((pid, args[..end].to_vec()))
    };
    Ok(output.stdout.split(|&byte| byte == b'\n').filter_map(line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{os::unix::ffi::OsStrExt, process::Child};

    struct Stopped(Child);

    impl Drop for Stopped {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn what_is_no_mark_is_passed_over() {
        let parsed = |text: &str| parse(text.as_bytes());
        let (program, name, dir) = parsed("peer[peer-org1 in /tmp/a [b] in c]").unwrap();
        assert_eq!(
            (program.as_str(), name.as_str(), dir.as_path()),
            ("peer", "peer-org1", Path::new("/tmp/a [b] in c"))
        );
        for odd in
            ["", "confab", "[kworker/0:1]", "a[b in c]", "a[b in /c", "a[b at /c]", "a[b]", "a[ in /c", "]["]
        {
            assert!(parsed(odd).is_none(), "{odd}");
        }
        assert!(parse(b"a\xff[b in /c]").is_none());
        assert_eq!(parse(b"a[b in /\xff]").unwrap().2.as_os_str().as_bytes(), b"/\xff");
    }

    #[test]
    fn a_process_is_found_and_stopped_though_its_folder_is_gone() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().canonicalize().unwrap().join("a folder] of mine");
        std::fs::create_dir(&dir).unwrap();
        let start =
            |name: &str| Stopped(command(Path::new("/bin/sleep"), name, &dir).arg("600").spawn().unwrap());
        let mut children = [start("node-Org1MSP"), start("ledger")];
        let other =
            Stopped(command(Path::new("/bin/sleep"), "ledger", parent.path()).arg("600").spawn().unwrap());
        let found = || list().unwrap().into_iter().filter(|marked| marked.dir == dir).collect::<Vec<_>>();
        let seen: Vec<_> = found().iter().map(|marked| (marked.name.clone(), marked.pid)).collect();
        assert_eq!(
            seen,
            [("ledger".into(), children[1].0.id()), ("node-Org1MSP".into(), children[0].0.id())]
        );
        assert!(found().iter().all(|marked| marked.folder_exists && marked.program == "sleep"));
        std::fs::remove_dir(&dir).unwrap();
        assert!(found().iter().all(|marked| !marked.folder_exists));
        let asked = parent.path().join("x/../a folder] of mine");
        assert_eq!(stop(&asked), 0, "no such folder");
        assert_eq!(crate::down(&dir, false).unwrap(), 2);
        assert!(
            children
                .iter_mut()
                .all(|child| child.0.try_wait().unwrap_or_default().is_some() || found().is_empty())
        );
        assert!(found().is_empty());
        assert!(matches!(crate::down(&dir, false), Err(crate::Error::Absent(_))));
        assert!(list().unwrap().iter().any(|marked| marked.pid == other.0.id()), "another folder's goes on");
    }
}
