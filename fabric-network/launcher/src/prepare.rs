//! Makes a network's folder, or completes the one that is there.

use crate::{
    Chaincode, ChaincodeCommand, ChaincodeDefinition, Error, Identity, Kind, Network, Options, Orderer,
    Organization, Peer, ProcessSpec, Tls, link::LinkKey, network, package, ports, profile,
};
use crypto_material::{Material, NetworkSpec, Node, NodeSpec, OrgKind, User};
use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    vec,
};

/// Held while a network is started or stopped; one command at a time works on a folder.
pub struct Lock(File);

impl Lock {
    /// Takes the lock of `dir`.
    pub fn take(dir: &Path) -> Result<Self, Error> {
        let path = dir.join("run/lock");
        files::make_folder(&dir.join("run"), files::Access::Owner).map_err(Error::io(&path))?;
        let file = files::append(&path).map_err(Error::io(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(Error::Busy(dir.to_owned())),
            Err(TryLockError::Error(source)) => Err(Error::Io { path, source }),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child that has not yet become another program has it too.
        let _ = self.0.unlock();
    }
}

/// Everything but the processes' own configuration: ports, certificates, packages, connection profiles,
/// and the description with the chaincode services as its processes. It is not saved yet.
pub fn prepare(options: &Options, kind: Kind) -> Result<(Network, Lock), Error> {
    if !(1..=64).contains(&options.orgs) {
        return Err(Error::Conflict(format!("{} organisations: 1 to 64 are possible", options.orgs)));
    }
    if !matches!(options.orderers, 1 | 3) {
        return Err(Error::Conflict(format!("{} orderers: 1 or 3 are possible", options.orderers)));
    }
    if let Some(timeout) = options.endorsement_timeout
        && !(1..=600).contains(&timeout.as_secs())
    {
        return Err(Error::Conflict(format!("{timeout:?} for an endorsement: 1 to 600 s are possible")));
    }
    check_definition(&options.definition)?;
    fs::create_dir_all(&options.dir).map_err(Error::io(&options.dir))?;
    let dir = options.dir.canonicalize().map_err(Error::io(&options.dir))?;
    let lock = Lock::take(&dir)?;

    let crypto = dir.join("crypto");
    let mut network = match Network::load(&dir) {
        Ok(network) => {
            check_same(&network, options, kind)?;
            // It must be complete; what has gone cannot be made again, for it is in the channel.
            crypto_material::load(&crypto)?;
            network
        }
        Err(Error::Absent(_)) => {
            let material =
                crypto_material::generate(&specification(options.orgs, options.orderers), &crypto)?;
            describe(options, kind, &dir, &material)?
        }
        Err(error) => return Err(error),
    };
    network.probe = options.probe.clone();
    if let Some(timeout) = options.endorsement_timeout {
        network.endorsement_timeout = timeout.as_secs();
    }
    make_packages(&mut network)?;
    profile::write_all(&network)?;
    network.processes = network.orgs.iter().map(|org| service(&network, org, &options.chaincode)).collect();
    Ok((network, lock))
}

/// Names become parts of file names and of packages.
pub fn check_definition(definition: &ChaincodeDefinition) -> Result<(), Error> {
    let allowed = |text: &str, marks: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.len() <= 64
            && text.chars().all(|c| c.is_ascii_alphanumeric() || marks.contains(c))
    };
    if !allowed(&definition.name, "-_") || !allowed(&definition.version, "-_.+") || definition.sequence == 0 {
        return Err(Error::Conflict(format!(
            "chaincode {:?}, version {:?}, sequence {}: names are letters, digits, `-` and `_`, versions \
             may also hold `.` and `+`, at most 64 characters; sequences count from 1",
            definition.name, definition.version, definition.sequence
        )));
    }
    Ok(())
}

fn check_same(network: &Network, options: &Options, kind: Kind) -> Result<(), Error> {
    let name = |kind| match kind {
        Kind::Fabric => "real Fabric",
        Kind::Dev => "the development ledger",
    };
    let conflict = |is: String, wanted: String| {
        Err(Error::Conflict(format!(
            "the network in {} is {is}, not {wanted}: use another folder, or remove it with its data first",
            network.dir.display()
        )))
    };
    if network.kind != kind {
        return conflict(name(network.kind).into(), name(kind).into());
    }
    if network.orgs.len() != options.orgs {
        let count = |n: usize| format!("one of {n} organisation{}", if n == 1 { "" } else { "s" });
        return conflict(count(network.orgs.len()), count(options.orgs));
    }
    if kind == Kind::Fabric && network.orderers.len() != options.orderers {
        let count = |n: usize| format!("one with {n} orderer{}", if n == 1 { "" } else { "s" });
        return conflict(count(network.orderers.len()), count(options.orderers));
    }
    // An upgrade has set version and sequence of a network that was ready.
    let (own, wanted) = (&network.chaincode, &options.definition);
    let is_same = match network.ready {
        true => (&own.name, &own.collections) == (&wanted.name, &wanted.collections),
        false => own == wanted,
    };
    if !is_same {
        let is = |c: &ChaincodeDefinition| {
            let collections = c.collections.iter().map(|collection| collection.name.as_str());
            format!(
                "one with chaincode {}, version {}, sequence {}, collections [{}]",
                c.name,
                c.version,
                c.sequence,
                collections.collect::<Vec<_>>().join(", ")
            )
        };
        return conflict(is(&network.chaincode), is(&options.definition));
    }
    Ok(())
}

/// The standard organisations; the chaincode service has a TLS certificate of its own.
fn specification(orgs: usize, orderers: usize) -> NetworkSpec {
    let mut specification = NetworkSpec::standard(orgs);
    for org in &mut specification.orgs {
        match org.kind {
            OrgKind::Peer => org.nodes.push(NodeSpec::new("chaincode")),
            OrgKind::Orderer => {
                org.nodes.extend((2..=orderers).map(|i| NodeSpec::new(&format!("orderer{i}"))));
            }
        }
    }
    specification
}

/// The description of a network with this material, on ports of this machine.
pub fn describe(options: &Options, kind: Kind, dir: &Path, material: &Material) -> Result<Network, Error> {
    let relative = |path: PathBuf| path.strip_prefix(dir).map(Path::to_owned).unwrap_or(path);
    let node_tls = |node: &Node| Tls {
        cert: relative(node.tls_cert()),
        key: relative(node.tls_key()),
        ca: relative(node.tls_ca_cert()),
    };
    let node_identity = |node: &Node| Identity {
        msp: relative(node.msp_dir()),
        cert: relative(node.signing_cert()),
        key: relative(node.signing_key()),
    };
    let user_identity = |user: User| Identity {
        msp: relative(user.msp_dir()),
        cert: relative(user.signing_cert()),
        key: relative(user.signing_key()),
    };
    let real = kind == Kind::Fabric;
    let count = if real { 3 * (options.orderers + options.orgs) } else { 2 * options.orgs };
    let mut addresses = Addresses(ports::choose(count, options.base_port)?.into_iter());

    let mut network = Network::new(dir, kind, options.definition.clone());
    for org in material.peer_orgs() {
        let (peer, chaincode) = (org.node("peer0")?, org.node("chaincode")?);
        network.orgs.push(Organization {
            name: org.name().into(),
            msp_id: org.msp_id().into(),
            domain: org.domain().into(),
            msp: relative(org.msp_dir()),
            peer: Peer {
                host: peer.host().into(),
                address: addresses.next(),
                operations: real.then(|| addresses.next()),
                tls: node_tls(&peer),
                identity: node_identity(&peer),
            },
            chaincode: Chaincode {
                address: addresses.next(),
                package_id: String::new(),
                tls: node_tls(&chaincode),
                client: None,
            },
            admin: user_identity(org.admin()),
            user: user_identity(org.user("User1")?),
            profile: format!("connection-{}.json", org.name().to_lowercase()).into(),
        });
    }
    for org in material.orderer_orgs().filter(|_| real) {
        let admin = org.admin();
        for node in org.nodes() {
            network.orderers.push(Orderer {
                name: node.hostname().into(),
                msp_id: org.msp_id().into(),
                host: node.host().into(),
                address: addresses.next(),
                operations: addresses.next(),
                admin_address: addresses.next(),
                msp: relative(org.msp_dir()),
                tls: node_tls(&node),
                identity: node_identity(&node),
                admin_tls: Tls {
                    cert: relative(admin.tls_cert()),
                    key: relative(admin.tls_key()),
                    ca: relative(admin.tls_ca_cert()),
                },
            });
        }
    }
    Ok(network)
}

/// The chosen ports as addresses, one after the other.
struct Addresses(vec::IntoIter<u16>);

impl Addresses {
    fn next(&mut self) -> String {
        format!("127.0.0.1:{}", self.0.next().expect("as many ports were chosen as there are addresses"))
    }
}

/// Writes the packages that are missing. One that is there stays: its id is what the peers know.
pub fn make_packages(network: &mut Network) -> Result<(), Error> {
    let mut made = Vec::new();
    for org in &network.orgs {
        let path = package_file(network, org);
        let file = |name: &str| PathBuf::from("packages").join(format!("{}-client-{name}.pem", org.id()));
        let client = Tls { cert: file("cert"), key: file("key"), ca: file("ca") };
        if !path.exists() {
            let ca = msp::load_bundle(&network.path(&org.chaincode.tls.ca))?;
            let link = LinkKey::generate(&org.peer.host)?;
            network::write(&network.path(&client.ca), link.ca.as_bytes())?;
            network::write(&network.path(&client.cert), link.cert.as_bytes())?;
            network::write_private(&network.path(&client.key), link.key.as_bytes())?;
            let bytes = package::package(&network.chaincode, &org.chaincode.address, Some(&ca), Some(&link))
                .map_err(Error::io(&path))?;
            network::write_private(&path, &bytes)?;
        }
        let bytes = fs::read(&path).map_err(Error::io(path))?;
        // Networks of earlier versions have none.
        let client = Some(client).filter(|client| network.path(&client.key).exists());
        // The label of a package stays when the definition gets another version.
        let hash = |id: &str| id.rsplit_once(':').map(|(_, hash)| hash.to_owned());
        let (known, id) = (&org.chaincode.package_id, package::package_id(&network.chaincode, &bytes));
        let id = if hash(known) == hash(&id) { known.clone() } else { id };
        made.push((id, client));
    }
    for (org, (id, client)) in network.orgs.iter_mut().zip(made) {
        org.chaincode.package_id = id;
        org.chaincode.client = client;
    }
    Ok(())
}

/// The organisation's chaincode package.
pub fn package_file(network: &Network, org: &Organization) -> PathBuf {
    network.path("packages").join(format!("{}.tar.gz", org.id()))
}

/// The organisation's chaincode service as a process.
pub fn service(network: &Network, org: &Organization, command: &ChaincodeCommand) -> ProcessSpec {
    let file = |path: &PathBuf| network.path(path).display().to_string();
    let mut env = BTreeMap::from([
        ("CHAINCODE_SERVER_ADDRESS".into(), org.chaincode.address.clone()),
        ("CHAINCODE_ID".into(), org.chaincode.package_id.clone()),
        ("CHAINCODE_TLS_CERT".into(), file(&org.chaincode.tls.cert)),
        ("CHAINCODE_TLS_KEY".into(), file(&org.chaincode.tls.key)),
    ]);
    let client = org.chaincode.client.iter();
    env.extend(client.map(|client| ("CHAINCODE_CLIENT_CA_CERT".into(), file(&client.ca))));
    ProcessSpec {
        name: format!("chaincode-{}", org.id()),
        program: command.program.clone(),
        args: command.args.clone(),
        env,
        listens: vec![org.chaincode.address.clone()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn options(dir: &Path, orgs: usize) -> Options {
        Options::new(dir, orgs, ChaincodeCommand { program: "/bin/true".into(), args: Vec::new() })
    }

    #[test]
    fn the_folder_is_made_once_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let (first, lock) = prepare(&options(dir.path(), 2), Kind::Fabric).unwrap();
        first.save().unwrap();
        assert!(matches!(prepare(&options(dir.path(), 2), Kind::Fabric), Err(Error::Busy(_))));
        drop(lock);
        let (second, _lock) = prepare(&options(dir.path(), 2), Kind::Fabric).unwrap();
        assert_eq!(first, second);
        for org in &first.orgs {
            for file in [&org.peer.tls.cert, &org.peer.identity.key, &org.chaincode.tls.key, &org.user.key] {
                assert!(file.is_relative() && first.path(file).exists(), "{}", file.display());
            }
        }
        let processes: Vec<_> = first.processes.iter().map(|process| process.name.as_str()).collect();
        assert_eq!(processes, ["chaincode-org1", "chaincode-org2"]);
        assert_ne!(first.orgs[0].chaincode.package_id, first.orgs[1].chaincode.package_id);
    }

    #[test]
    fn a_peer_shows_its_chaincode_service_a_key_that_only_it_has() {
        let dir = tempfile::tempdir().unwrap();
        let (network, _lock) = prepare(&options(dir.path(), 2), Kind::Fabric).unwrap();
        let authorities = network.orgs.iter().map(|org| {
            let client = org.chaincode.client.as_ref().unwrap();
            for path in [package_file(&network, org), network.path(&client.key)] {
                let mode = fs::metadata(&path).unwrap().permissions().mode();
                assert_eq!(mode & 0o077, 0, "{} holds the key", path.display());
            }
            let path = network.path(&client.ca);
            let process = network.process(&format!("chaincode-{}", org.id())).unwrap();
            assert_eq!(process.env["CHAINCODE_CLIENT_CA_CERT"], path.display().to_string());
            fs::read(path).unwrap()
        });
        let authorities: Vec<_> = authorities.collect();
        assert_ne!(authorities[0], authorities[1]);
    }

    #[test]
    fn a_network_that_was_made_for_something_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (network, lock) = prepare(&options(dir.path(), 2), Kind::Dev).unwrap();
        network.save().unwrap();
        drop(lock);
        let refusal = |options: &Options, kind| match prepare(options, kind) {
            Err(Error::Conflict(text)) => text,
            other => panic!("{:?}", other.map(|(network, _)| network)),
        };
        assert!(refusal(&options(dir.path(), 3), Kind::Dev).contains("one of 2 organisations, not one of 3"));
        assert!(
            refusal(&options(dir.path(), 2), Kind::Fabric).contains("development ledger, not real Fabric")
        );
        let mut other = options(dir.path(), 2);
        other.definition.version = "2.0".into();
        assert!(refusal(&other, Kind::Dev).contains("version 1.0"));
        other.definition.version = "2/0".into();
        assert!(refusal(&other, Kind::Dev).contains("letters"));
        assert!(refusal(&options(dir.path(), 0), Kind::Dev).contains("1 to 64"));
    }
}
