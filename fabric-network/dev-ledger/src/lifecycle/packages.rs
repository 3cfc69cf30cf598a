//! The packages that are installed on an organisation's peer, in a folder.

use super::package::{self, Connection, Package};
use crate::Error;
use crate::chaincode::{Link, Timeouts};
use files::Access;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// How many packages a peer has at most.
const MAX_PACKAGES: usize = 1000;

/// A package that is installed.
pub struct Installed {
    pub label: String,
    /// The way to its service.
    pub link: Arc<Link>,
    path: PathBuf,
}

/// The packages of one peer.
pub struct Packages {
    dir: PathBuf,
    timeouts: Timeouts,
    installed: RwLock<BTreeMap<String, Arc<Installed>>>,
    /// Held while one is installed.
    installing: Mutex<()>,
}

impl Packages {
    /// Reads the packages in a folder; there need not be any.
    ///
    /// # Errors
    /// [`Error`]: the folder or a package cannot be read.
    pub fn open(dir: &Path, timeouts: Timeouts) -> Result<Self, Error> {
        let mut installed = BTreeMap::new();
        if dir.exists() {
            for entry in std::fs::read_dir(dir).map_err(|e| Error::file(dir, e))? {
                let path = entry.map_err(|e| Error::file(dir, e))?.path();
                if !path.to_string_lossy().ends_with(".tar.gz") {
                    continue;
                }
                let (id, one) = read(path, &timeouts)?;
                installed.insert(id, one);
            }
        }
        Ok(Self {
            dir: dir.to_owned(),
            timeouts,
            installed: RwLock::new(installed),
            installing: Mutex::default(),
        })
    }

    /// Adds a package that is elsewhere.
    ///
    /// # Errors
    /// [`Error`]: it cannot be read.
    pub fn add(&mut self, path: &Path) -> Result<(), Error> {
        let (id, one) = read(path.to_owned(), &self.timeouts)?;
        self.installed.get_mut().unwrap_or_else(PoisonError::into_inner).insert(id, one);
        Ok(())
    }

    /// Installs a package; gives its id and label.
    ///
    /// # Errors
    /// Why not, in Fabric's words where it has any.
    pub fn install(&self, bytes: &[u8]) -> Result<(String, String), String> {
        let package = Package::parse(bytes)?;
        let id = package::id(&package.label, bytes);
        // Whoever panicked wrote a file that is there or not.
        let _installing = self.installing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.get(&id).is_some() {
            return Err(format!("chaincode already successfully installed (package ID '{id}')"));
        }
        if self.all().len() >= MAX_PACKAGES {
            return Err(format!("could not save cc install package: there are {MAX_PACKAGES} already"));
        }
        let path = self.dir.join(format!("{}.tar.gz", id.replace(':', ".")));
        let saved = files::make_private(&self.dir).and_then(|()| files::write(&path, bytes, Access::Owner));
        saved.map_err(|e| format!("could not save cc install package: {e}"))?;
        let label = package.label.clone();
        let installed = Arc::new(make(package, id.clone(), path, &self.timeouts));
        self.installed.write().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), installed);
        Ok((id, label))
    }

    pub fn get(&self, id: &str) -> Option<Arc<Installed>> {
        self.installed.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Every package by its id.
    pub fn all(&self) -> Vec<(String, Arc<Installed>)> {
        let installed = self.installed.read().unwrap_or_else(PoisonError::into_inner);
        installed.iter().map(|(id, one)| (id.clone(), one.clone())).collect()
    }
}

impl Installed {
    /// The package as it was installed.
    pub fn bytes(&self) -> Result<Vec<u8>, String> {
        std::fs::read(&self.path).map_err(|e| format!("could not load cc install package: {e}"))
    }
}

fn read(path: PathBuf, timeouts: &Timeouts) -> Result<(String, Arc<Installed>), Error> {
    let bytes = std::fs::read(&path).map_err(|e| Error::file(&path, e))?;
    let package = Package::parse(&bytes).map_err(|e| Error::Config(format!("{}: {e}", path.display())))?;
    let id = package::id(&package.label, &bytes);
    let installed = make(package, id.clone(), path, timeouts);
    Ok((id, Arc::new(installed)))
}

fn make(package: Package, id: String, path: PathBuf, timeouts: &Timeouts) -> Installed {
    let Package { label, connection: Connection { address, tls, dial_timeout } } = package;
    let dial = dial_timeout.unwrap_or(timeouts.dial).min(timeouts.dial);
    let link = Link::new(address, id, tls, Timeouts { dial, ..*timeouts });
    Installed { label, link: Arc::new(link), path }
}
