//! A real Fabric network: `confab network up`.

use crate::{
    Binaries, Error, Generation, Kind, Network, Options, ProcessSpec, channel, config, control::Started,
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
    let binaries = Binaries::find_in(options.fabric_home.as_deref())?;
    let generation = binaries.generation()?;

    progress("writing certificates and configuration");
    let (mut network, _lock) = prepare::prepare(options, Kind::Fabric)?;
    let started = start(&mut network, &binaries, generation, progress)?;
    if !network.ready {
        progress("making the channel");
        let (folder, plan) = (network.path("config"), channel::Plan::of(&network));
        let name = (network.channel.as_str(), generation.channel_capability());
        channel::first_block(&binaries, &folder, name, &plan, &network.first_block()).await?;
    }
    join(&mut network, &binaries, &started, progress).await?;
    started.keep();
    Ok(network)
}

/// Writes configuration and description, and starts what does not run.
pub(crate) fn start(
    network: &mut Network,
    binaries: &Binaries,
    generation: Generation,
    progress: &mut (dyn FnMut(&str) + Send),
) -> Result<Started, Error> {
    network.processes.splice(0..0, servers(network, binaries));
    config::write_all(network, generation)?;
    network.save()?;
    let mut started = Started::new(&network.dir);
    started.start_missing(network, progress)?;
    Ok(started)
}

/// Has what was started join the channel, whose first block is there, sets up the chaincode, and returns when every
/// organisation of this machine gets endorsements.
pub(crate) async fn join(
    network: &mut Network,
    binaries: &Binaries,
    started: &Started,
    progress: &mut (dyn FnMut(&str) + Send),
) -> Result<(), Error> {
    wait(network).await?;
    if !network.ready {
        let lifecycle = Lifecycle { binaries, network, orderer: network.ordering()? };
        progress("joining the channel");
        lifecycle.join_orderers().await?;
        lifecycle.join_peers().await?;
        progress("installing the chaincode");
        lifecycle.install().await?;
        let waits = match network.remote.peers.is_empty() {
            true => "",
            false => "; other organisations are waited for",
        };
        progress(&format!("approving the chaincode{waits}"));
        lifecycle.approve().await?;
        progress(&format!("committing the chaincode{waits}"));
        lifecycle.commit().await?;
    }
    // When an organisation of several machines is started again the others may be away.
    if network.remote.peers.is_empty() || !network.ready {
        progress("waiting for endorsements through every organisation");
        ready::endorsing(network, started.any()).await?;
    }
    network.ready = true;
    network.save()
}

/// Orderers and peers as processes.
fn servers(network: &Network, binaries: &Binaries) -> Vec<ProcessSpec> {
    let folder = |name: &str| network.path("config").join(name);
    let server =
        |name: String, program: &Path, args: &[&str], folder: &Path, listens: Vec<String>| ProcessSpec {
            name,
            program: program.to_owned(),
            args: args.iter().map(|&arg| arg.into()).collect(),
            env: config::environment(folder),
            listens,
        };
    let mut servers = Vec::new();
    for orderer in &network.orderers {
        let listens =
            vec![orderer.address.clone(), orderer.operations.clone(), orderer.admin_address.clone()];
        servers.push(server(orderer.name.clone(), &binaries.orderer, &[], &folder(&orderer.name), listens));
    }
    for org in &network.orgs {
        let listens = [Some(&org.peer.address), org.peer.operations.as_ref()].into_iter().flatten().cloned();
        let (name, folder) = (format!("peer-{}", org.id()), folder(&org.id()));
        servers.push(server(name, &binaries.peer, &["node", "start"], &folder, listens.collect()));
    }
    servers
}

/// Waits until every process listens and the orderers and the peers are well.
async fn wait(network: &Network) -> Result<(), Error> {
    for process in &network.processes {
        for address in &process.listens {
            ready::listening(&network.dir, &process.name, address).await?;
        }
    }
    for orderer in &network.orderers {
        ready::healthy(&network.dir, &orderer.name, &orderer.operations).await?;
    }
    for org in &network.orgs {
        if let Some(operations) = &org.peer.operations {
            ready::healthy(&network.dir, &format!("peer-{}", org.id()), operations).await?;
        }
    }
    Ok(())
}
