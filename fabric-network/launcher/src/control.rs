//! Looks at a network and stops it.

use crate::{Error, Kind, Network, ServiceHealth, State, marks, prepare::Lock, process, ready, services};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{task::JoinSet, time::timeout};

/// What a network does.
#[derive(Clone, Debug)]
pub struct Status {
    /// Its description.
    pub network: Network,
    /// Its processes, in the order in which they are started.
    pub processes: Vec<ProcessStatus>,
    /// Whether a transaction is endorsed through each organisation's peer, in the organisations' order.
    pub peers: Vec<PeerHealth>,
    /// Whether an endorsed transaction gets into a block; none where the orderers are others', nothing was endorsed, or the
    /// chaincode has no probe.
    pub committing: Option<Result<(), String>>,
    /// Whether there is room for more blocks.
    pub room: Result<(), String>,
    /// The chaincode services that a development ledger uses and that are no processes of the network's.
    pub services: Vec<ServiceHealth>,
}

impl Status {
    /// Whether every process runs, every organisation gets endorsements, and blocks are made and kept.
    pub fn is_healthy(&self) -> bool {
        self.processes.iter().all(|process| process.health == Health::Well)
            && self.peers.iter().all(|peer| peer.endorsing.is_ok())
            && !matches!(self.committing, Some(Err(_)))
            && self.room.is_ok()
            && self.services.iter().all(|service| service.health == Health::Well)
    }
}

/// What a process does.
#[derive(Clone, Debug)]
pub struct ProcessStatus {
    /// Its name.
    pub name: String,
    /// Its id, while it exists.
    pub pid: Option<u32>,
    /// What it does.
    pub health: Health,
    /// Where it listens.
    pub listens: Vec<String>,
    /// Its log.
    pub log: PathBuf,
}

/// What a process does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It runs and accepts connections.
    Well,
    /// It runs but does not accept connections; the reason.
    Ill(String),
    /// It is frozen.
    Frozen,
    /// It does not run.
    Ended,
}

/// Whether an organisation's peer endorses.
#[derive(Clone, Debug)]
pub struct PeerHealth {
    /// The organisation's name.
    pub org: String,
    /// Nothing, or why not.
    pub endorsing: Result<(), String>,
}

/// Looks at the network in `dir`: its processes, and whether it endorses. Takes at most some seconds.
///
/// # Errors
/// [`Error::Absent`] when there is none.
pub async fn status(dir: &Path) -> Result<Status, Error> {
    /// For one endorsement, and for one block.
    const PATIENCE: Duration = Duration::from_secs(5);
    let silent = || format!("no answer within {} s", PATIENCE.as_secs());
    let network = Network::load(dir)?;
    let mut processes = Vec::new();
    for spec in &network.processes {
        let (state, pid) = process::state(&network.dir, &spec.name);
        let health = match state {
            State::Running => listens(&spec.listens).await,
            State::Frozen => Health::Frozen,
            State::Ended => Health::Ended,
        };
        let log = process::log_file(&network.dir, &spec.name);
        processes.push(ProcessStatus {
            name: spec.name.clone(),
            pid,
            health,
            listens: spec.listens.clone(),
            log,
        });
    }

    let mut tasks = JoinSet::new();
    for (index, org) in network.orgs.iter().cloned().enumerate() {
        let network = network.clone();
        tasks.spawn(async move {
            let endorsing =
                match timeout(PATIENCE, ready::endorse(&network, &org, ready::Endorsers::Enough)).await {
                    Ok(result) => result.map_err(|e| e.to_string()),
                    Err(_) => Err(silent()),
                };
            (index, org.name, endorsing)
        });
    }
    let mut asked = tasks.join_all().await;
    asked.sort_by_key(|(index, ..)| *index);
    let (mut peers, mut endorsed) = (Vec::new(), None);
    for (_, org, endorsing) in asked {
        let endorsing = endorsing.map(|transaction| {
            endorsed.get_or_insert(transaction);
        });
        peers.push(PeerHealth { org, endorsing });
    }
    let orders_itself = network.kind == Kind::Dev || !network.orderers.is_empty();
    let committing = match endorsed.filter(|_| orders_itself && !network.probe.is_empty()) {
        Some(transaction) => {
            let committed = timeout(PATIENCE, ready::committed(&transaction)).await;
            Some(committed.unwrap_or_else(|_| Err("an endorsed transaction is in no block after 5 s".into())))
        }
        None => None,
    };
    let room = room(&network.dir);
    let services = match network.kind {
        Kind::Dev => services::services(&network).await,
        Kind::Fabric => Vec::new(),
    };
    Ok(Status { network, processes, peers, committing, room, services })
}

/// Whether the disk of a folder has room for more blocks: orderers and peers stop, and do not go on by themselves, when it is full.
fn room(dir: &Path) -> Result<(), String> {
    const LITTLE: u64 = 128 << 20;
    let Ok(found) = rustix::fs::statvfs(dir) else { return Ok(()) };
    match found.f_bavail.saturating_mul(found.f_frsize) {
        free if free < LITTLE => {
            Err(format!("{} MB are free on the disk of {}; make room", free >> 20, dir.display()))
        }
        _ => Ok(()),
    }
}

async fn listens(addresses: &[String]) -> Health {
    for address in addresses {
        if let Err(reason) = ready::accepts(address).await {
            return Health::Ill(reason);
        }
    }
    Health::Well
}

/// Stops every process of the network in `dir` and returns how many ran; `purge` then removes the network
/// with its data, certificates and logs. Other files in the folder stay. Processes are found even where their folder, or
/// what describes them in it, is gone.
///
/// It blocks for some seconds at most.
///
/// # Errors
/// [`Error::Absent`] when there is no network, [`Error::Busy`], [`Error::Io`] from removing.
pub fn down(dir: &Path, purge: bool) -> Result<usize, Error> {
    let network = match Network::load(dir) {
        Ok(network) => network,
        Err(e) => return Some(marks::stop(dir)).filter(|stopped| *stopped > 0).ok_or(e),
    };
    let lock = Lock::take(&network.dir)?;
    // A process may have a pid file without being described: its description was changed.
    let mut names = process::recorded(&network.dir);
    names.extend(network.processes.iter().map(|process| process.name.clone()));
    names.sort();
    names.dedup();
    let stopped = process::stop_all(&network.dir, names.iter().map(String::as_str));
    if purge {
        for folder in ["config", "data", "crypto", "packages", "remote", "logs", "run"] {
            remove(fs::remove_dir_all(network.path(folder)), &network.path(folder))?;
        }
        let profiles = network.orgs.iter().map(|org| network.path(&org.profile));
        // The description last: until it is gone, purging can be repeated.
        for file in profiles.chain([network.path("network.json")]) {
            remove(fs::remove_file(&file), &file)?;
        }
        // Only if nothing of somebody else's is in it.
        let _ = fs::remove_dir(&network.dir);
    }
    drop(lock);
    Ok(stopped)
}

fn remove(result: io::Result<()>, path: &Path) -> Result<(), Error> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(path)(error)),
        _ => Ok(()),
    }
}

impl Network {
    /// Starts the process `name` if it does not run, and returns when it accepts connections.
    ///
    /// # Errors
    /// [`Error::UnknownProcess`], [`Error::PortInUse`], [`Error::Died`], [`Error::NotReady`].
    pub async fn start(&self, name: &str) -> Result<(), Error> {
        let spec = self.process(name)?;
        if process::state(&self.dir, name).0 == State::Ended {
            process::start(&self.dir, spec)?;
        }
        for address in &spec.listens {
            ready::listening(&self.dir, name, address).await?;
        }
        Ok(())
    }

    /// Stops the process `name`, starts it again and returns when it accepts connections.
    ///
    /// # Errors
    /// As [`Network::start`].
    pub async fn restart(&self, name: &str) -> Result<(), Error> {
        process::stop(&self.dir, [self.process(name)?.name.as_str()]);
        self.start(name).await
    }
}

/// The processes that one call has started; they are stopped when it is dropped before [`Started::keep`].
pub struct Started {
    dir: PathBuf,
    names: Vec<String>,
}

impl Started {
    /// Nothing yet.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), names: Vec::new() }
    }

    /// Starts every process of the network that does not run, and has frozen ones go on.
    pub fn start_missing(
        &mut self,
        network: &Network,
        progress: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), Error> {
        for spec in &network.processes {
            match process::state(&network.dir, &spec.name).0 {
                State::Running => continue,
                State::Frozen => network.thaw(&spec.name)?,
                State::Ended => {
                    progress(&format!("starting {}", spec.name));
                    process::start(&network.dir, spec)?;
                    self.names.push(spec.name.clone());
                }
            }
        }
        Ok(())
    }

    /// Whether anything was started.
    pub fn any(&self) -> bool {
        !self.names.is_empty()
    }

    /// All is well: the processes stay.
    pub fn keep(mut self) {
        self.names.clear();
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        process::stop(&self.dir, self.names.iter().map(String::as_str));
    }
}
