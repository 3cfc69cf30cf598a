use crate::{
    error::{Result, file_error, input, system},
    progress::Progress,
    runner::Runner,
};
use launcher::{ChaincodeCommand, Kind, Network, Options, ledger::LedgerCommand};
use std::{
    fs::{self, File, TryLockError},
    path::Path,
};

/// A network that is stopped again when this is dropped, if it was started here and nobody else uses it meanwhile.
pub struct NetworkGuard<'a> {
    /// The network.
    pub network: Network,
    started: bool,
    /// Locked, shared, by all processes that use the network.
    users: File,
    progress: &'a dyn Progress,
}

impl Drop for NetworkGuard<'_> {
    fn drop(&mut self) {
        if !self.started {
            return;
        }
        let dir = &self.network.dir;
        if let Err(TryLockError::WouldBlock) = self.users.try_lock() {
            let stop = match self.network.kind {
                Kind::Dev => "ledger stop",
                Kind::Fabric => "network down",
            };
            let dir = dir.display();
            self.progress.remark(&format!(
                "another run uses the ledger in {dir}: it is left running; `confab {stop} --dir {dir}` stops it"
            ));
        } else if let Err(e) = launcher::down(dir, false) {
            tracing::error!("stopping the ledger: {e}");
        }
    }
}

/// Makes this process a user of the network in a folder; waits while it is being stopped.
fn use_network(dir: &Path) -> Result<File> {
    let path = dir.join("run/users");
    let users = File::options().create(true).append(true).open(&path);
    users.and_then(|file| file.lock_shared().map(|()| file)).map_err(file_error(&path))
}

impl<'a> Runner<'a> {
    /// The network that runs in a folder, or one that is started there.
    ///
    /// # Errors
    /// Another network in that folder, or one that cannot be started.
    pub async fn borrow_network(&self, kind: Kind, dir: &Path, orgs: usize) -> Result<NetworkGuard<'a>> {
        let progress = self.progress;
        let users = match Network::load(dir) {
            Ok(_) => Some(use_network(dir)?),
            Err(_) => None,
        };
        if let Some(users) = users
            && let Ok(status) = launcher::status(dir).await
            && status.is_healthy()
        {
            let (network, shown) = (status.network, dir.display());
            if network.kind != kind {
                return Err(input(format!("{shown} holds a network of the other kind; name another --dir")));
            }
            if network.orgs.len() < orgs {
                let has = network.orgs.len();
                return Err(input(format!("{shown} has {has} organisations, {orgs} are needed")));
            }
            return Ok(NetworkGuard { network, started: false, users, progress });
        }
        let network = match kind {
            Kind::Dev => start_ledger(self.program, dir, orgs, |options| options, progress).await?,
            Kind::Fabric => {
                let options = Options::new(dir, orgs, chaincode_command(self.program));
                launcher::fabric::up(&options, &mut |step| progress.step(step)).await?
            }
        };
        let users = use_network(dir)?;
        Ok(NetworkGuard { network, started: true, users, progress })
    }
}

/// The chaincode service of the launcher: the `confab` program.
pub fn chaincode_command(program: &Path) -> ChaincodeCommand {
    ChaincodeCommand { program: program.to_path_buf(), args: vec!["chaincode".into()] }
}

/// Starts what is missing of a development ledger.
///
/// # Errors
/// A folder that cannot be made, and those of the launcher.
pub async fn start_ledger(
    program: &Path,
    dir: &Path,
    orgs: usize,
    choose: impl FnOnce(Options) -> Options,
    progress: &dyn Progress,
) -> Result<Network> {
    fs::create_dir_all(dir).map_err(|e| system(format!("cannot make {}: {e}", dir.display())))?;
    let dir = fs::canonicalize(dir).map_err(file_error(dir))?;
    let args = vec!["ledger".into(), "run".into(), "--dir".into(), dir.display().to_string()];
    let launch = LedgerCommand { program: program.to_path_buf(), args };
    let options = choose(Options::new(dir, orgs, chaincode_command(program)));
    Ok(launcher::ledger::up(&options, &launch, &mut |step| progress.step(step)).await?)
}
