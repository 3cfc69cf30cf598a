//! The development ledger with the organisations' chaincode services: `confab ledger start`.

use crate::{Error, Kind, Network, Options, ProcessSpec, control::Started, prepare, ready};
use std::{collections::BTreeMap, path::PathBuf};

/// How the development ledger is started.
///
/// It reads `network.json` in the network's folder, which is also its working directory, and listens on the
/// address of every organisation's peer with that peer's certificate and key. Its database belongs into the
/// subfolder `data`.
#[derive(Clone, Debug)]
pub struct LedgerCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
}

/// Starts what does not run of a network on the development ledger, makes it first where there is none, and
/// returns when it endorses.
///
/// `progress` is told each step as it begins. When the future fails or is dropped, what it started is
/// stopped again; what ran before goes on.
///
/// # Errors
/// [`Error::Conflict`] when the folder holds another network; [`Error::PortInUse`]; [`Error::Died`] and
/// [`Error::NotReady`] with what the ledger or a chaincode service said.
pub async fn up(
    options: &Options,
    ledger: &LedgerCommand,
    progress: &mut (dyn FnMut(&str) + Send),
) -> Result<Network, Error> {
    progress("writing certificates");
    let (mut network, _lock) = prepare::prepare(options, Kind::Dev)?;
    let process = ProcessSpec {
        name: "ledger".into(),
        program: ledger.program.clone(),
        args: ledger.args.clone(),
        env: BTreeMap::new(),
        listens: network.orgs.iter().map(|org| org.peer.address.clone()).collect(),
    };
    network.processes.insert(0, process);
    network.save()?;

    let mut started = Started::new(&network.dir);
    started.start_missing(&network, progress)?;
    for process in &network.processes {
        for address in &process.listens {
            ready::listening(&network.dir, &process.name, address).await?;
        }
    }
    progress("waiting for endorsements through every organisation");
    ready::endorsing(&network, started.any()).await?;
    network.ready = true;
    network.save()?;
    started.keep();
    Ok(network)
}
