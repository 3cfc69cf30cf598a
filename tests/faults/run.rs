//! One training on a ledger, and what happens to it.

use super::{Case, Fault, Ledger, Protocol};
use crate::fixture::{On, faketime, program, with_clock};
use experiment::Source;
use gateway_client::Checkpoint;
use launcher::{Kind, State};
use node::{facts::LedgerEvent, ledger};
use records::Phase;
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command as Blocking, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};
use tokio::{
    io::AsyncReadExt,
    process::{Child, Command},
    time::timeout,
};

/// Seconds for each record: long enough for these small jobs on a busy machine.
const DEADLINE: u32 = 12;
/// Seconds for answers: the nodes read the ledger from its beginning first, which grows with every run.
const ANSWERS: u32 = 90;
/// Longest time from the fault to the end: deadline, reminders, clocks and ending, on a busy machine.
const LONGEST: Duration = Duration::from_secs(120);
/// Longest time until the phase is reached.
const PATIENCE: Duration = Duration::from_secs(180);
/// Room for a ledger that is not to run out of it by itself, in megabytes.
const ROOM: u32 = 768;

/// A ledger of three organisations on a small disk of its own, where one can be mounted.
pub struct Bench {
    ledger: Ledger,
    disk: Option<Disk>,
    table: PathBuf,
}

/// A file system in memory; gone with this, after the ledger on it.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let size = format!("size={ROOM}m");
        let mounted = Blocking::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(at.to_owned()))
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Leaves no byte free.
    fn fill(&self) {
        let mut file = fs::File::create(self.filler()).unwrap();
        for size in [1 << 20, 1 << 12, 1] {
            let zeros = vec![0; size];
            while file.write_all(&zeros).is_ok() {}
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Blocking::new("umount").arg("-l").arg(&self.0).status();
        let _ = fs::remove_dir_all(self.0.parent().unwrap());
    }
}

impl Bench {
    pub async fn start(on: On) -> Self {
        let mut disk = None;
        let mount = |dir: &Path| disk = Disk::mount(&dir.join("data"));
        let ledger = Ledger::start_with_material(on, 3, mount).await;
        let table = ledger.dir().join("patients.csv");
        Source::generated(&table, 60).unwrap();
        Self { ledger, disk, table }
    }

    /// Runs a training until it fails. How long it took from the fault to its end, and what it said then; none where the
    /// fault cannot be made on this machine.
    pub async fn run(&self, case: &Case) -> Result<Option<(Duration, String)>, String> {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let library = faketime();
        if case.fault == Fault::Clock && library.is_none() {
            eprintln!("SKIPPED: clocks that are wrong: libfaketime is not installed");
            return Ok(None);
        }
        if case.fault == Fault::FullDisk && self.disk.is_none() {
            eprintln!("SKIPPED: disks that are full: no file system can be mounted here");
            return Ok(None);
        }
        let out = self.ledger.dir().join(format!("run-{}", RUNS.fetch_add(1, Ordering::Relaxed)));
        let clock = out.with_extension("clock");
        let mut command = Command::new(program());
        command.args(self.arguments(case.protocol, &out)).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(Stdio::piped()).kill_on_drop(true);
        if let Some(library) = library.filter(|_| case.fault == Fault::Clock) {
            fs::write(&clock, "+0").unwrap();
            with_clock(command.as_std_mut(), library, &clock);
        }
        let height = self.ledger.channel(0).height().await.map_err(|e| e.to_string())?;
        let mut child = command.spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let said = tokio::spawn(async move {
            let mut said = Vec::new();
            let _ = stderr.read_to_end(&mut said).await;
            String::from_utf8_lossy(&said).into_owned()
        });
        let reached = tokio::select! {
            reached = self.reach(case.phase, height) => reached,
            _ = child.wait() => Err(format!("it ended before {}", case.phase)),
        };
        if let Err(reason) = reached {
            let _ = child.kill().await;
            return Err(format!("{reason}: {}", said.await.unwrap()));
        }
        let start = Instant::now();
        self.strike(case.fault, &child, &out, &clock)?;
        let ended = timeout(LONGEST, child.wait()).await;
        let lasted = start.elapsed();
        if ended.is_err() {
            let _ = child.kill().await;
        }
        let said = said.await.unwrap();
        let _ = fs::remove_dir_all(&out);
        let status = ended.map_err(|_| format!("no end after {} s: {said}", LONGEST.as_secs()))?.unwrap();
        let error =
            said.lines().skip_while(|line| !line.starts_with("error: ")).collect::<Vec<_>>().join(" ");
        let causes = case.fault.causes(self.ledger.kind);
        match causes.iter().any(|cause| error.contains(cause)) {
            true if !status.success() => Ok(Some((lasted, error))),
            _ => Err(format!("{status}, none of {causes:?} in: {said}")),
        }
    }

    fn arguments(&self, protocol: Protocol, out: &Path) -> Vec<String> {
        let text = |path: &Path| path.display().to_string();
        let (table, dir, out, deadline) =
            (text(&self.table), text(self.ledger.dir()), text(out), DEADLINE.to_string());
        let kind = self.ledger.name();
        let common =
            ["train", "--data", &table, "--label", dataset::generate::LABEL, "--id", dataset::generate::ID];
        let common = common.into_iter().chain(["--ledger", kind, "--dir", &dir, "--out", &out]);
        let answers = ANSWERS.to_string();
        let common = common.chain(["--accept-deadline", &answers, "--step-deadline", &deadline]);
        let common = common.chain(["--key-bits", "512", "--insecure-key-bits", "--weak-blinding"]);
        // So many updates that none is the last before the fault.
        let own: &[&str] = match protocol {
            Protocol::Columns => &["--key", "deal", "--iterations", "400", "--batch", "1"],
            Protocol::Keys => &["--key", "negotiate", "--iterations", "4", "--batch", "2"],
            Protocol::Rows => {
                &["--partition", "rows", "--participants", "2", "--iterations", "400", "--batch", "4"]
            }
        };
        common.chain(own.iter().copied()).map(str::to_owned).collect()
    }

    /// Waits until a record of a phase is in a block.
    async fn reach(&self, phase: Phase, height: u64) -> Result<(), String> {
        let follow = async {
            let mut blocks = self.ledger.channel(0).blocks(Checkpoint::at(height));
            while let Some(block) = blocks.next().await {
                let facts = ledger::facts(&block.unwrap(), &self.ledger.network.chaincode.name);
                let is_due = |fact: &LedgerEvent| matches!(fact, LedgerEvent::Posted(record) if record.slot.phase == phase);
                if facts.iter().any(|located| is_due(&located.fact)) {
                    return;
                }
            }
        };
        timeout(PATIENCE, follow).await.map_err(|_| format!("{phase} was not reached"))
    }

    fn strike(&self, fault: Fault, child: &Child, out: &Path, clock: &Path) -> Result<(), String> {
        let network = &self.ledger.network;
        let orderer = if self.ledger.kind == Kind::Dev { "ledger" } else { "orderer" };
        let done = match fault {
            Fault::KillMember => return signal(child, out, "KILL"),
            Fault::FreezeMember => return signal(child, out, "STOP"),
            Fault::KillOrderer => network.kill(orderer),
            Fault::FreezeOrderer => network.freeze(orderer),
            Fault::KillPeer => network.kill("peer-org2"),
            Fault::FreezePeer => network.freeze("peer-org2"),
            Fault::KillChaincode => (1..=3).try_for_each(|org| network.kill(&format!("chaincode-org{org}"))),
            Fault::FullDisk => {
                self.disk.as_ref().unwrap().fill();
                Ok(())
            }
            Fault::Clock => return fs::write(clock, "+20m").map_err(|e| e.to_string()),
        };
        done.map_err(|e| e.to_string())
    }

    /// Undoes the fault; whether all is well again.
    pub async fn restore(&self) -> bool {
        if let Some(disk) = &self.disk {
            let _ = fs::remove_file(disk.filler());
        }
        let network = &self.ledger.network;
        for process in &network.processes {
            let (state, _) = network.state(&process.name).unwrap();
            let well = match state {
                State::Running => continue,
                State::Frozen => network.thaw(&process.name),
                State::Ended => network.start(&process.name).await,
            };
            if well.is_err() {
                return false;
            }
        }
        let start = Instant::now();
        loop {
            match launcher::status(self.ledger.dir()).await {
                Ok(status) if status.is_healthy() => return true,
                _ if start.elapsed() > Duration::from_secs(60) => return false,
                _ => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }
}

/// Signals the node of the second organisation, a child of the run.
fn signal(child: &Child, out: &Path, signal: &str) -> Result<(), String> {
    let config = out.join("participants/Org2MSP/node.toml").display().to_string();
    let parent = child.id().ok_or("the run has ended")?;
    for entry in fs::read_dir("/proc").map_err(|e| e.to_string())?.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let is_node = command.split(|byte| *byte == 0).any(|part| part == config.as_bytes());
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let ours =
            stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
        if is_node && ours == Some(parent) {
            let done = Blocking::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status();
            return match done.is_ok_and(|status| status.success()) {
                true => Ok(()),
                false => Err(format!("no signal for {pid}")),
            };
        }
    }
    Err(format!("no node with {config} runs"))
}
