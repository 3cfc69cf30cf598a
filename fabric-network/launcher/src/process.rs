//! Starts, finds and stops detached processes.
//!
//! A process runs in a process group of its own, so that the terminal's Ctrl-C does not reach it, with its
//! output in `logs/NAME.log`. `run/NAME.pid` holds its id and its start time; a process of the same id that
//! started at another time, or in another boot, is somebody else's and is never touched.

use crate::{Error, Network, ProcessSpec, marks, network, ports};
use rustix::process::{Pid, Signal, WaitOptions};
use std::{
    env,
    ffi::OsString,
    fs,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

/// How long a process may take to end after SIGTERM before it gets SIGKILL.
const GRACE: Duration = Duration::from_secs(5);
/// Between two looks at a process that is to end.
const POLL: Duration = Duration::from_millis(5);

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It runs.
    Running,
    /// It is frozen by SIGSTOP.
    Frozen,
    /// It does not exist.
    Ended,
}

/// A process as the system shows it.
struct Seen {
    /// When it started: the same for no two processes of one id.
    started: String,
    state: State,
}

#[cfg(target_os = "linux")]
fn look(pid: Pid) -> Option<Seen> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The second field, the program's name, is in parentheses and may hold anything.
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let (state, threads, ticks) = (fields.first()?, fields.get(17)?, fields.get(19)?);
    let state = match *state {
        // While other threads are still ending, ports are still taken.
        "Z" | "X" if matches!(*threads, "0" | "1") => State::Ended,
        "T" | "t" => State::Frozen,
        _ => State::Running,
    };
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(Seen { started: format!("{}:{ticks}", boot.trim()), state })
}

#[cfg(not(target_os = "linux"))]
fn look(pid: Pid) -> Option<Seen> {
    let id = pid.as_raw_nonzero().to_string();
    let output = std::process::Command::new("ps").args(["-o", "stat=,lstart=", "-p", &id]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (state, started) = text.trim().split_once(char::is_whitespace)?;
    let state = match state.chars().next()? {
        'Z' => State::Ended,
        'T' => State::Frozen,
        _ => State::Running,
    };
    Some(Seen { started: started.trim().replace(' ', "-"), state })
}

/// A process that is known to be ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ours {
    pid: Pid,
    started: String,
}

impl Ours {
    /// Reads `run/NAME.pid`; none where there is no such file or it names no process of ours.
    fn find(dir: &Path, name: &str) -> Option<Self> {
        let text = fs::read_to_string(pid_file(dir, name)).ok()?;
        let (pid, started) = text.trim().split_once(' ')?;
        let ours = Self { pid: Pid::from_raw(pid.parse().ok()?)?, started: started.into() };
        (ours.state() != State::Ended).then_some(ours)
    }

    /// That of an id which was found among ours.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let pid = Pid::from_raw(pid.try_into().ok()?)?;
        let started = look(pid).filter(|seen| seen.state != State::Ended)?.started;
        Some(Self { pid, started })
    }

    fn state(&self) -> State {
        // A child of this very program stays a zombie until it is waited for.
        let _ = rustix::process::waitpid(Some(self.pid), WaitOptions::NOHANG);
        match look(self.pid) {
            Some(seen) if seen.started == self.started => seen.state,
            _ => State::Ended,
        }
    }

    /// Signals the process; SIGKILL also goes to what it may have started.
    fn signal(&self, signal: Signal) {
        if self.state() != State::Ended {
            // It may end in this very moment, which is no error.
            let _ = match signal {
                Signal::KILL => rustix::process::kill_process_group(self.pid, signal)
                    .or_else(|_| rustix::process::kill_process(self.pid, signal)),
                _ => rustix::process::kill_process(self.pid, signal),
            };
        }
    }

    /// Waits until the process is in the state; false when it has ended instead, or at the deadline.
    fn reaches(&self, state: State, deadline: Instant) -> bool {
        loop {
            let now = self.state();
            if now == state {
                return true;
            }
            if now == State::Ended || Instant::now() >= deadline {
                return false;
            }
            thread::sleep(POLL);
        }
    }
}

fn pid_file(dir: &Path, name: &str) -> PathBuf {
    dir.join("run").join(format!("{name}.pid"))
}

/// Where a process's output goes.
pub fn log_file(dir: &Path, name: &str) -> PathBuf {
    dir.join("logs").join(format!("{name}.log"))
}

/// What the process does, and its id while it exists.
pub fn state(dir: &Path, name: &str) -> (State, Option<u32>) {
    match Ours::find(dir, name) {
        Some(ours) => (ours.state(), Some(ours.pid.as_raw_nonzero().get().unsigned_abs())),
        None => (State::Ended, None),
    }
}

/// Starts a process that does not run.
///
/// # Errors
/// [`Error::PortInUse`] where it could not listen, [`Error::Io`].
pub fn start(dir: &Path, spec: &ProcessSpec) -> Result<(), Error> {
    for address in &spec.listens {
        if ports::is_taken(address) {
            return Err(Error::PortInUse { address: address.clone(), process: spec.name.clone() });
        }
    }
    let log = log_file(dir, &spec.name);
    files::make_folder(files::folder_of(&log), files::Access::Owner).map_err(Error::io(&log))?;
    let out = files::append(&log).map_err(Error::io(&log))?;
    let err = out.try_clone().map_err(Error::io(&log))?;

    let mut command = marks::command(&spec.program, &spec.name, dir);
    for name in foreign_settings() {
        command.env_remove(name);
    }
    command.args(&spec.args).envs(&spec.env).current_dir(dir).process_group(0);
    command.stdin(Stdio::null()).stdout(out).stderr(err);
    let child = command.spawn().map_err(Error::io(&spec.program))?;
    let pid = Pid::from_child(&child);
    let started = look(pid).map(|seen| seen.started).unwrap_or_default();
    let file = pid_file(dir, &spec.name);
    network::write(&file, format!("{} {started}\n", pid.as_raw_nonzero()).as_bytes()).inspect_err(|_| {
        // Without its file nobody would find it again.
        let _ = rustix::process::kill_process_group(pid, Signal::KILL);
    })
}

/// Settings of Fabric and of chaincode in this program's environment, which would override what we write, and the
/// passphrase of the own keys; only the
/// logging specification is left to the user.
pub fn foreign_settings() -> impl Iterator<Item = OsString> {
    let is_foreign = |name: &OsString| {
        let prefixes =
            ["CORE_", "ORDERER_", "FABRIC_", "CONFIGTX_", "OSNADMIN_", "CHAINCODE_", "CONFAB_PASSPHRASE"];
        name != "FABRIC_LOGGING_SPEC"
            && name.to_str().is_some_and(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
    };
    env::vars_os().map(|(name, _)| name).filter(is_foreign)
}

/// Ends processes: all get SIGTERM at once, and those that are still there after 5 s SIGKILL.
///
/// A frozen one is thawed, so that it can end. Returns how many ran.
pub fn stop<'a>(dir: &Path, names: impl IntoIterator<Item = &'a str>) -> usize {
    stop_with(dir, names, Vec::new())
}

/// Ends all processes of a folder: those of its pid files, and those that are found without.
pub fn stop_all<'a>(dir: &Path, names: impl IntoIterator<Item = &'a str>) -> usize {
    stop_with(dir, names, marks::of_folder(dir))
}

fn stop_with<'a>(dir: &Path, names: impl IntoIterator<Item = &'a str>, mut running: Vec<Ours>) -> usize {
    let names: Vec<_> = names.into_iter().collect();
    for ours in names.iter().filter_map(|name| Ours::find(dir, name)) {
        if !running.contains(&ours) {
            running.push(ours);
        }
    }
    end(&running);
    for name in names {
        // A file that is left would name a process that does not exist, which does no harm.
        let _ = fs::remove_file(pid_file(dir, name));
    }
    running.len()
}

/// Ends processes, as [`stop`].
pub(crate) fn end(running: &[Ours]) {
    for ours in running {
        ours.signal(Signal::TERM);
        ours.signal(Signal::CONT);
    }
    let deadline = Instant::now() + GRACE;
    for ours in running {
        if !ours.reaches(State::Ended, deadline) {
            ours.signal(Signal::KILL);
            ours.reaches(State::Ended, Instant::now() + GRACE);
        }
    }
}

/// The names of all processes that have a pid file, whatever `network.json` says.
pub fn recorded(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir.join("run")).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".pid")?.to_owned())).collect()
}

/// The last lines of a process's log.
pub fn tail(dir: &Path, name: &str, lines: usize) -> io::Result<String> {
    /// More than this is not read for the last lines.
    const WINDOW: u64 = 256 << 10;
    let mut file = File::open(log_file(dir, name))?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(WINDOW)))?;
    let mut bytes = Vec::new();
    file.take(WINDOW).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<_> = text.lines().collect();
    Ok(all[all.len().saturating_sub(lines)..].join("\n"))
}

/// The last lines before a Go program's stack trace, or before the end.
fn last_words(text: &str) -> String {
    let lines: Vec<_> = text.lines().take_while(|line| !line.starts_with("goroutine ")).collect();
    lines[lines.len().saturating_sub(12)..].join("\n").trim_end().to_owned()
}

/// An [`Error::Died`] when the process does not run.
pub fn expect_alive(dir: &Path, name: &str) -> Result<(), Error> {
    match Ours::find(dir, name) {
        Some(_) => Ok(()),
        None => Err(Error::Died {
            process: name.into(),
            log: log_file(dir, name),
            tail: tail(dir, name, 200).map_or_else(|e| e.to_string(), |text| last_words(&text)),
        }),
    }
}

impl Network {
    /// What the process `name` does, and its id while it exists.
    ///
    /// # Errors
    /// [`Error::UnknownProcess`].
    pub fn state(&self, name: &str) -> Result<(State, Option<u32>), Error> {
        Ok(state(&self.dir, &self.process(name)?.name))
    }

    /// The log of the process `name`.
    ///
    /// # Errors
    /// [`Error::UnknownProcess`].
    pub fn log(&self, name: &str) -> Result<PathBuf, Error> {
        Ok(log_file(&self.dir, &self.process(name)?.name))
    }

    /// The last lines of the log of the process `name`.
    ///
    /// # Errors
    /// [`Error::UnknownProcess`]; [`Error::Io`] when it has not been started yet.
    pub fn tail(&self, name: &str, lines: usize) -> Result<String, Error> {
        let log = self.log(name)?;
        tail(&self.dir, name, lines).map_err(Error::io(log))
    }

    /// Kills the process `name` (SIGKILL) and returns when it is gone.
    ///
    /// # Errors
    /// [`Error::UnknownProcess`], [`Error::NotRunning`].
    pub fn kill(&self, name: &str) -> Result<(), Error> {
        self.send(name, Signal::KILL, State::Ended)
    }

    /// Freezes the process `name` (SIGSTOP): its connections stay, it answers nothing.
    ///
    /// # Errors
    /// [`Error::UnknownProcess`], [`Error::NotRunning`], [`Error::NotReady`] when it does not freeze.
    pub fn freeze(&self, name: &str) -> Result<(), Error> {
        self.send(name, Signal::STOP, State::Frozen)
    }

    /// Has the process `name` go on after [`Network::freeze`].
    ///
    /// # Errors
    /// [`Error::UnknownProcess`], [`Error::NotRunning`].
    pub fn thaw(&self, name: &str) -> Result<(), Error> {
        self.send(name, Signal::CONT, State::Running)
    }

    /// Sends a signal and waits for what it does.
    fn send(&self, name: &str, signal: Signal, state: State) -> Result<(), Error> {
        let name = &self.process(name)?.name;
        let ours = Ours::find(&self.dir, name).ok_or_else(|| Error::NotRunning(name.clone()))?;
        ours.signal(signal);
        match ours.reaches(state, Instant::now() + GRACE) {
            true => Ok(()),
            false if ours.state() == State::Ended => Err(Error::NotRunning(name.clone())),
            false => Err(Error::NotReady {
                what: format!("a signal to {name}"),
                seconds: GRACE.as_secs(),
                reason: format!("it is still {:?}", ours.state()),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChaincodeDefinition, Kind};
    use std::{collections::BTreeMap, process::Command};

    fn network(dir: &Path, script: &str) -> Network {
        let definition = ChaincodeDefinition::new("confab", "1.0");
        let mut network = Network::new(&dir.canonicalize().unwrap(), Kind::Dev, definition);
        network.processes.push(ProcessSpec {
            name: "shell".into(),
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            env: BTreeMap::from([("GREETING".into(), "hello".into())]),
            listens: Vec::new(),
        });
        network
    }

    fn wait_for(what: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !what() {
            assert!(Instant::now() < deadline, "waited for 10 s");
            thread::sleep(POLL);
        }
    }

    #[test]
    fn a_process_is_started_frozen_thawed_and_killed() {
        let dir = tempfile::tempdir().unwrap();
        let network = network(dir.path(), "echo $GREETING; while :; do sleep 0.05; done");
        start(&network.dir, network.process("shell").unwrap()).unwrap();
        wait_for(|| network.tail("shell", 1).unwrap() == "hello");
        assert_eq!(network.state("shell").unwrap().0, State::Running);
        network.freeze("shell").unwrap();
        assert_eq!(network.state("shell").unwrap().0, State::Frozen);
        network.thaw("shell").unwrap();
        assert_eq!(network.state("shell").unwrap().0, State::Running);
        network.kill("shell").unwrap();
        assert_eq!(network.state("shell").unwrap(), (State::Ended, None));
        assert!(matches!(network.kill("shell"), Err(Error::NotRunning(_))));
    }

    #[test]
    fn a_frozen_process_that_ignores_sigterm_is_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let network = network(dir.path(), "trap '' TERM; echo ready; while :; do sleep 0.05; done");
        start(&network.dir, network.process("shell").unwrap()).unwrap();
        wait_for(|| network.tail("shell", 1).unwrap() == "ready");
        network.freeze("shell").unwrap();
        assert_eq!(recorded(&network.dir), ["shell"]);
        assert_eq!(stop(&network.dir, ["shell"]), 1);
        assert_eq!(network.state("shell").unwrap(), (State::Ended, None));
        assert!(recorded(&network.dir).is_empty());
        assert_eq!(stop(&network.dir, ["shell"]), 0);
    }

    #[test]
    fn a_stale_pid_file_never_leads_to_somebody_elses_process() {
        let dir = tempfile::tempdir().unwrap();
        let network = network(dir.path(), "true");
        let mut stranger = Command::new("sleep").arg("60").process_group(0).spawn().unwrap();
        let pid = Pid::from_child(&stranger);
        let started = look(pid).unwrap().started;
        let file = pid_file(&network.dir, "shell");
        network::write(&file, format!("{} {started}0\n", stranger.id()).as_bytes()).unwrap();
        assert!(matches!(network.kill("shell"), Err(Error::NotRunning(_))));
        assert_eq!(stop(&network.dir, ["shell"]), 0);
        assert!(stranger.try_wait().unwrap().is_none(), "the stranger was killed");

        // The same file with the right time does find it, so the test above can fail.
        network::write(&file, format!("{} {started}\n", stranger.id()).as_bytes()).unwrap();
        assert_eq!(stop(&network.dir, ["shell"]), 1);
    }

    #[test]
    fn a_process_that_ends_is_reported_with_its_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let network = network(dir.path(), "echo no such file >&2; exit 1");
        start(&network.dir, network.process("shell").unwrap()).unwrap();
        wait_for(|| expect_alive(&network.dir, "shell").is_err());
        assert_eq!(last_words("1\npanic: 2\n\ngoroutine 1 [running]:\nmain()"), "1\npanic: 2");
        let error = expect_alive(&network.dir, "shell").unwrap_err().to_string();
        assert!(error.contains("shell ended") && error.contains("no such file"), "{error}");
    }
}
