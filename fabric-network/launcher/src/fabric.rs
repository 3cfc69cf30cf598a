//! A real Fabric network: `confab network up`.

use crate::{
    Binaries, Error, Kind, Network, Options, Orderer, ProcessSpec, config, control::Started,
    lifecycle::Lifecycle, prepare, ready,
};
use std::path::Path;

/// Starts what does not run of a real Fabric network, makes it first where there is none, and returns when
/// it endorses.
///
/// `progress` is told each step as it begins. When the future fails or is dropped, what it started is
/// stopped again; what ran before goes on.
///
/// # Errors
/// [`Error::Missing`] without Fabric's programs; [`Error::Conflict`] when the folder holds another network;
/// [`Error::PortInUse`]; [`Error::Died`], [`Error::Command`] and [`Error::NotReady`] with what Fabric said.
pub async fn up(options: &Options, progress: &mut (dyn FnMut(&str) + Send)) -> Result<Network, Error> {
    let binaries = Binaries::find()?;
    let generation = binaries.generation()?;

    progress("writing certificates and configuration");
    let (mut network, _lock) = prepare::prepare(options, Kind::Fabric)?;
    let orderer = network.orderer.clone().ok_or_else(|| Error::Description {
        path: network.path("network.json"),
        reason: "a real network has an orderer".into(),
    })?;
    network.processes.splice(0..0, servers(&network, &orderer, &binaries));
    config::write_all(&network, &orderer, generation)?;
    network.save()?;

    let mut started = Started::new(&network.dir);
    started.start_missing(&network, progress)?;
    let lifecycle = Lifecycle { binaries: &binaries, network: &network, orderer: &orderer };
    if !network.ready {
        progress("making the channel");
        lifecycle.first_block().await?;
    }
    wait(&network, &orderer).await?;

    if !network.ready {
        progress("joining the channel");
        lifecycle.join_orderer().await?;
        lifecycle.join_peers().await?;
        progress("installing the chaincode");
        lifecycle.install().await?;
        progress("approving the chaincode");
        lifecycle.approve().await?;
        progress("committing the chaincode");
        lifecycle.commit().await?;
    }

    progress("waiting for endorsements through every organisation");
    ready::endorsing(&network, started.any()).await?;
    network.ready = true;
    network.save()?;
    started.keep();
    Ok(network)
}

/// Orderer and peers as processes.
fn servers(network: &Network, orderer: &Orderer, binaries: &Binaries) -> Vec<ProcessSpec> {
    let folder = |name: &str| network.path("config").join(name);
    let server =
        |name: String, program: &Path, args: &[&str], folder: &Path, listens: Vec<String>| ProcessSpec {
            name,
            program: program.to_owned(),
            args: args.iter().map(|&arg| arg.into()).collect(),
            env: config::environment(folder),
            listens,
        };
    let listens = vec![orderer.address.clone(), orderer.operations.clone(), orderer.admin_address.clone()];
    let mut servers = vec![server("orderer".into(), &binaries.orderer, &[], &folder("orderer"), listens)];
    for org in &network.orgs {
        let listens = [Some(&org.peer.address), org.peer.operations.as_ref()].into_iter().flatten().cloned();
        let (name, folder) = (format!("peer-{}", org.id()), folder(&org.id()));
        servers.push(server(name, &binaries.peer, &["node", "start"], &folder, listens.collect()));
    }
    servers
}

/// Waits until every process listens and the orderer and the peers are well.
async fn wait(network: &Network, orderer: &Orderer) -> Result<(), Error> {
    for process in &network.processes {
        for address in &process.listens {
            ready::listening(&network.dir, &process.name, address).await?;
        }
    }
    ready::healthy(&network.dir, "orderer", &orderer.operations).await?;
    for org in &network.orgs {
        if let Some(operations) = &org.peer.operations {
            ready::healthy(&network.dir, &format!("peer-{}", org.id()), operations).await?;
        }
    }
    Ok(())
}
