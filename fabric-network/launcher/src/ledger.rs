//! The development ledger with the organisations' chaincode services: `confab ledger start`.

use crate::{
    Error, Kind, Network, Options, Organization, ProcessSpec, State, control::Started, prepare, process,
    ready,
};
use dev_ledger::{
    ChaincodeConfig, ChaincodeDefinition, ChannelConfig, ClientTls, Collection, Config, OrgConfig, Policy,
};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

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
    let known = network.guests.clone();
    for guest in &options.guests {
        guest.check(&network)?;
        network.guests.retain(|known| known.name != guest.name);
        network.guests.push(guest.clone());
    }
    network.save()?;
    if network.guests != known && process::state(&network.dir, "ledger").0 != State::Ended {
        progress("restarting the ledger, for its chaincodes have changed");
        process::stop(&network.dir, ["ledger"]);
    }

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

/// What the development ledger of a network is made of; the program that [`up`] starts serves it
/// (`dev_ledger::serve`).
///
/// # Errors
/// [`Error::Description`] when a peer's address in `network.json` is none, [`Error::Conflict`] when a
/// collection's policy is none.
pub fn config(network: &Network) -> Result<Config, Error> {
    let guests = |org: &Organization| {
        let services =
            network.guests.iter().filter_map(|guest| Some((guest.name.clone(), guest.service(&org.msp_id)?)));
        services.collect::<Vec<_>>().into_iter()
    };
    let org = |org: &Organization| {
        let listen = org.peer.address.parse().map_err(|e| Error::Description {
            path: network.path("network.json"),
            reason: format!("{}: {e}", org.peer.address),
        })?;
        Ok(OrgConfig {
            msp_id: org.msp_id.clone(),
            listen,
            tls_cert: network.path(&org.peer.tls.cert),
            tls_key: network.path(&org.peer.tls.key),
            signing_cert: network.path(&org.peer.identity.cert),
            signing_key: network.path(&org.peer.identity.key),
            msp_dir: network.path(&org.msp),
            chaincodes: guests(org)
                .chain([(
                    network.chaincode.name.clone(),
                    ChaincodeConfig {
                        address: org.chaincode.address.clone(),
                        tls_root: Some(network.path(&org.chaincode.tls.ca)),
                        client: org.chaincode.client.as_ref().map(|client| ClientTls {
                            cert: network.path(&client.cert),
                            key: network.path(&client.key),
                        }),
                        package_id: org.chaincode.package_id.clone(),
                        package: Some(prepare::package_file(network, org)),
                    },
                )])
                .collect(),
        })
    };
    let orgs = network.orgs.iter().map(org).collect::<Result<_, Error>>()?;
    let definition = ChaincodeDefinition {
        collections: network.chaincode.collections.iter().map(collection).collect::<Result<_, Error>>()?,
        sequence: i64::try_from(network.chaincode.sequence).unwrap_or(i64::MAX),
        ..ChaincodeDefinition::new(&network.chaincode.name, &network.chaincode.version)
    };
    let mut definitions = vec![definition];
    for guest in &network.guests {
        definitions.push(guest.definition()?);
    }
    let channels = vec![ChannelConfig::new(&network.channel, definitions)];
    Ok(Config {
        channels,
        endorsement_timeout: Duration::from_secs(network.endorsement_timeout),
        execute_timeout: Duration::from_secs(network.execute_timeout()),
        ..Config::new(network.path("data"), orgs)
    })
}

/// A collection of a chaincode's definition.
pub(crate) fn collection(collection: &crate::Collection) -> Result<Collection, Error> {
    let members = collection
        .policy
        .parse::<Policy>()
        .map_err(|e| Error::Conflict(format!("collection {}: {e}", collection.name)))?;
    Ok(Collection {
        member_only_read: collection.member_only_read,
        member_only_write: collection.member_only_write,
        block_to_live: collection.block_to_live,
        ..Collection::new(&collection.name, members)
    })
}
