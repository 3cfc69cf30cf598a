//! Networks across machines: every organisation makes its own keys and runs its own peer, orderer and chaincode service.
//!
//! ```text
//! each organisation    init ─► export ──┐ org1.json: public
//! one of them                           ├─► create ─► channel.json: public
//! each organisation    start ◄──────────┘
//! ```
//!
//! An organisation's folder is that of a [`Network`] with this one organisation; `status` and `down` work on it.

use crate::{
    Binaries, ChaincodeCommand, ChaincodeDefinition, Error, Kind, Network, Options, OrdererEndpoint,
    PeerEndpoint, Remote,
    channel::{self, Consenter, Member, Plan},
    fabric, network,
    prepare::{self, Lock},
    profile,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use crypto_material::{NetworkSpec, NodeSpec, OrgSpec};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const VERSION: u32 = 1;
/// Of the channel: peers and orderers of 2.5 and of 3.1 have it.
const CAPABILITY: &str = "V2_0";
/// Most bytes of a file that another organisation made.
const MAX_FILE: u64 = 16 << 20;

/// What an organisation is made from.
#[derive(Clone, Debug)]
pub struct OrgOptions {
    /// Its folder; made when it does not exist.
    pub dir: PathBuf,
    /// Short name, such as `Clinic`; the MSP ID is `ClinicMSP`.
    pub name: String,
    /// Domain, such as `clinic.example.com`.
    pub domain: String,
    /// `host:port` at which the other organisations reach its peer.
    pub peer: String,
    /// `host:port` at which they reach its orderer, if it runs one.
    pub orderer: Option<String>,
    /// Name, version and sequence of the chaincode.
    pub definition: ChaincodeDefinition,
}

/// The public part of an organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// The version of this format, 1.
    pub version: u32,
    /// Short name.
    pub name: String,
    /// What its members' certificates are verified with.
    pub msp: PublicMsp,
    /// Its peer.
    pub peer: Endpoint,
    /// Its orderer, if it runs one.
    pub orderer: Option<ExportedOrderer>,
}

/// An organisation's authorities. Roles are NodeOUs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicMsp {
    /// MSP ID.
    pub id: String,
    /// Certificate of the authority that signs identities, PEM.
    pub ca: String,
    /// Certificate of the authority that signs TLS certificates, PEM.
    pub tls_ca: String,
}

/// Where a server is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Host name in its certificate.
    pub host: String,
    /// `host:port`.
    pub address: String,
}

/// An orderer with its organisation, which has an MSP of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedOrderer {
    /// Its organisation's authorities.
    pub msp: PublicMsp,
    /// Where it is reached.
    pub endpoint: Endpoint,
    /// Its TLS certificate, PEM.
    pub tls_cert: String,
}

/// A channel of several organisations: what each of them starts with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// The version of this format, 1.
    pub version: u32,
    /// Its name.
    pub name: String,
    /// Its chaincode.
    pub chaincode: ChaincodeDefinition,
    /// Its organisations.
    pub orgs: Vec<Export>,
    /// Its first block, base64.
    pub first_block: String,
}

fn conflict<T>(reason: impl Into<String>) -> Result<T, Error> {
    Err(Error::Conflict(reason.into()))
}

/// Checks a `host:port` that others are to use; it goes into configuration and certificates.
fn check_address(address: &str) -> Result<&str, Error> {
    let split = address.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0));
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".-".contains(c);
    match split {
        Some((host, _)) if !host.is_empty() && host.len() <= 64 && host.chars().all(allowed) => Ok(host),
        _ => conflict(format!("{address:?} is no address (host:port, a name or an IPv4 address)")),
    }
}

/// Makes an organisation's keys and description.
///
/// # Errors
/// [`Error::Conflict`] where the folder holds a network already or an address is none; [`Error::Material`] for names
/// that cannot be used.
pub fn init(options: &OrgOptions) -> Result<Network, Error> {
    let OrgOptions { dir, name, domain, .. } = options;
    fs::create_dir_all(dir).map_err(Error::io(dir))?;
    let dir = dir.canonicalize().map_err(Error::io(dir))?;
    let _lock = Lock::take(&dir)?;
    if dir.join("network.json").exists() {
        return conflict(format!("{} holds an organisation or a network already", dir.display()));
    }
    let mut org = OrgSpec::peer(name, domain);
    org.nodes[0].sans.push(check_address(&options.peer)?.into());
    org.nodes.push(NodeSpec::new("chaincode"));
    let mut orgs = vec![org];
    if let Some(address) = &options.orderer {
        // Identities that order blocks have their own authority.
        let mut org = OrgSpec::orderer(&format!("{name}Orderer"), &format!("orderers.{domain}"));
        org.nodes[0].sans.push(check_address(address)?.into());
        orgs.push(org);
    }
    let material = crypto_material::generate(&NetworkSpec { orgs }, &dir.join("crypto"))?;
    let command = ChaincodeCommand { program: PathBuf::new(), args: Vec::new() };
    let orderers = usize::from(options.orderer.is_some());
    let definition = options.definition.clone();
    let general = Options { orderers, definition, ..Options::new(&dir, 1, command) };
    let mut network = prepare::describe(&general, Kind::Fabric, &dir, &material)?;
    network.orgs[0].peer.address.clone_from(&options.peer);
    if let (Some(orderer), Some(address)) = (network.orderers.first_mut(), &options.orderer) {
        orderer.address.clone_from(address);
    }
    network.probe = general.probe;
    network.save()?;
    Ok(network)
}

/// What others need to know of an organisation that [`init`] made.
///
/// # Errors
/// [`Error::Conflict`] for the folder of a whole network, [`Error::Io`].
pub fn export(network: &Network) -> Result<Export, Error> {
    let [org] = network.orgs.as_slice() else {
        return conflict(format!(
            "{} holds a network of {} organisations",
            network.dir.display(),
            network.orgs.len()
        ));
    };
    let read = |path: PathBuf| msp::load_bundle(&path);
    let msp = |id: &str, msp: &Path, tls_ca: &Path| {
        let folder = network.path(msp).join("cacerts");
        let mut files = fs::read_dir(&folder).map_err(Error::io(&folder))?;
        let Some(Ok(ca)) = files.next() else {
            return conflict(format!("{} has no certificate", folder.display()));
        };
        let (ca, tls_ca) = (read(ca.path())?, read(network.path(tls_ca))?);
        Ok(PublicMsp { id: id.into(), ca, tls_ca })
    };
    let endpoint = |host: &str, address: &str| Endpoint { host: host.into(), address: address.into() };
    let orderer = network.orderers.first().map(|orderer| {
        Ok::<_, Error>(ExportedOrderer {
            msp: msp(&orderer.msp_id, &orderer.msp, &orderer.tls.ca)?,
            endpoint: endpoint(&orderer.host, &orderer.address),
            tls_cert: read(network.path(&orderer.tls.cert))?,
        })
    });
    Ok(Export {
        version: VERSION,
        name: org.name.clone(),
        msp: msp(&org.msp_id, &org.msp, &org.peer.tls.ca)?,
        peer: endpoint(&org.peer.host, &org.peer.address),
        orderer: orderer.transpose()?,
    })
}

/// Reads what another organisation made.
fn read<T: for<'de> Deserialize<'de>>(path: &Path, version: impl Fn(&T) -> u32) -> Result<T, Error> {
    let unusable = |reason: String| Error::Description { path: path.to_owned(), reason };
    let size = fs::metadata(path).map_err(Error::io(path))?.len();
    if size > MAX_FILE {
        return Err(unusable(format!("{size} bytes are too many")));
    }
    let text = fs::read(path).map_err(Error::io(path))?;
    let read: T = serde_json::from_slice(&text).map_err(|e| unusable(e.to_string()))?;
    match version(&read) {
        VERSION => Ok(read),
        other => Err(unusable(format!("format {other} is not {VERSION}, the one that this version reads"))),
    }
}

impl Export {
    /// Reads an organisation's public part.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Description`] for a file of another form.
    pub fn load(path: &Path) -> Result<Self, Error> {
        read(path, |export: &Self| export.version)
    }

    /// All certificates in it, PEM.
    fn certificates(&self) -> impl Iterator<Item = &String> {
        let orderer = self.orderer.iter();
        let msps = [&self.msp].into_iter().chain(orderer.clone().map(|orderer| &orderer.msp));
        msps.flat_map(|msp| [&msp.ca, &msp.tls_ca]).chain(orderer.map(|orderer| &orderer.tls_cert))
    }

    /// Names and addresses become file names, rules and configuration.
    fn check(&self) -> Result<(), Error> {
        let named = |text: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
            text.starts_with(|c: char| c.is_ascii_alphanumeric())
                && text.len() <= 64
                && text.chars().all(allowed)
        };
        let orderer = self.orderer.iter();
        let msps = [&self.msp].into_iter().chain(orderer.clone().map(|o| &o.msp));
        let endpoints = [&self.peer].into_iter().chain(orderer.map(|o| &o.endpoint));
        let mut names = vec![&self.name];
        names.extend(msps.map(|msp| &msp.id));
        for endpoint in endpoints {
            check_address(&endpoint.address)?;
            names.push(&endpoint.host);
        }
        for pem in self.certificates() {
            // A key beside a certificate would go to everybody on the channel.
            if !msp::bundle(pem.as_bytes()).is_ok_and(|certificates| certificates == *pem) {
                return conflict(format!(
                    "the description of {} holds something else than certificates in PEM: export it again with this \
                     version",
                    self.name
                ));
            }
        }
        match names.into_iter().find(|name| !named(name)) {
            Some(name) => {
                conflict(format!("{name:?} is no name (letters, digits, `.`, `-`, `_`; at most 64)"))
            }
            None => Ok(()),
        }
    }
}

impl PublicMsp {
    /// Writes the MSP's folder.
    fn write(&self, folder: &Path) -> Result<PathBuf, Error> {
        let mut config = String::from("NodeOUs:\n  Enable: true\n");
        for (role, unit) in
            [("Client", "client"), ("Peer", "peer"), ("Admin", "admin"), ("Orderer", "orderer")]
        {
            config += &format!(
                "  {role}OUIdentifier:\n    Certificate: cacerts/ca.pem\n    OrganizationalUnitIdentifier: {unit}\n"
            );
        }
        network::write(&folder.join("cacerts/ca.pem"), self.ca.as_bytes())?;
        network::write(&folder.join("tlscacerts/ca.pem"), self.tls_ca.as_bytes())?;
        network::write(&folder.join("config.yaml"), config.as_bytes())?;
        Ok(folder.to_owned())
    }
}

/// Makes a channel of these organisations. It is the work of one of them; what comes out is public.
///
/// # Errors
/// [`Error::Conflict`] for organisations that cannot be together, or without an orderer; [`Error::Missing`] and
/// [`Error::Command`] from Fabric's programs.
pub async fn create(
    name: &str,
    definition: &ChaincodeDefinition,
    orgs: &[Export],
    fabric_home: Option<&Path>,
) -> Result<Channel, Error> {
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || name.len() > 249 || !name.chars().all(lower) {
        return conflict(format!("{name:?} is no channel's name (lower case letters, digits, `-`, `.`)"));
    }
    prepare::check_definition(definition)?;
    let mut seen = BTreeSet::new();
    for org in orgs {
        org.check()?;
        let orderer = org.orderer.iter();
        let unique =
            [org.name.to_lowercase(), org.msp.id.clone(), org.peer.address.clone(), org.peer.host.clone()];
        let more = orderer.flat_map(|o| [o.msp.id.clone(), o.endpoint.address.clone()]);
        if let Some(twice) = unique.into_iter().chain(more).find(|name| !seen.insert(name.clone())) {
            return conflict(format!("two of the organisations have {twice:?}"));
        }
    }
    let binaries = Binaries::find_in(fabric_home)?;
    let temporary = tempfile::tempdir().map_err(Error::io("a temporary folder"))?;
    let mut plan = Plan { members: Vec::new(), consenters: Vec::new() };
    for org in orgs {
        let folder = |msp: &PublicMsp| temporary.path().join(&msp.id);
        let msp = org.msp.write(&folder(&org.msp))?;
        plan.members.push(Member { msp_id: org.msp.id.clone(), msp, anchor: org.peer.address.clone() });
        if let Some(orderer) = &org.orderer {
            let tls_cert = temporary.path().join(format!("{}.pem", orderer.msp.id));
            network::write(&tls_cert, orderer.tls_cert.as_bytes())?;
            plan.consenters.push(Consenter {
                msp_id: orderer.msp.id.clone(),
                msp: orderer.msp.write(&folder(&orderer.msp))?,
                address: orderer.endpoint.address.clone(),
                tls_cert,
            });
        }
    }
    if plan.consenters.is_empty() {
        return conflict("none of the organisations runs an orderer: `confab org init --orderer HOST:PORT`");
    }
    let block = temporary.path().join("first.block");
    channel::first_block(&binaries, temporary.path(), (name, CAPABILITY), &plan, &block).await?;
    let bytes = fs::read(&block).map_err(Error::io(block))?;
    Ok(Channel {
        version: VERSION,
        name: name.into(),
        chaincode: definition.clone(),
        orgs: orgs.to_vec(),
        first_block: STANDARD.encode(bytes),
    })
}

impl Channel {
    /// Reads a channel.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Description`] for a file of another form.
    pub fn load(path: &Path) -> Result<Self, Error> {
        read(path, |channel: &Self| channel.version)
    }
}

/// Starts what does not run of an organisation, has it join the channel and approve the chaincode, and returns when the
/// organisation gets endorsements. The first time it waits up to a quarter of an hour for the other organisations.
///
/// # Errors
/// [`Error::Absent`] without [`init`]; [`Error::Conflict`] where the channel was made with something else than the
/// organisation's present [`export`], or it has joined another one; else as [`crate::fabric::up`].
pub async fn start(
    dir: &Path,
    channel: &Channel,
    chaincode: &ChaincodeCommand,
    fabric_home: Option<&Path>,
    progress: &mut (dyn FnMut(&str) + Send),
) -> Result<Network, Error> {
    let binaries = Binaries::find_in(fabric_home)?;
    let generation = binaries.generation()?;
    let mut network = Network::load(dir)?;
    let _lock = Lock::take(&network.dir)?;
    let own = export(&network)?;
    channel.orgs.iter().try_for_each(Export::check)?;
    if !channel.orgs.contains(&own) {
        return conflict(format!(
            "the channel was made without {}, or with other keys or addresses of it: export it and create the \
             channel again",
            own.msp.id
        ));
    }
    network.channel.clone_from(&channel.name);
    // Of a network that was ready an upgrade may have changed it.
    if !network.ready {
        network.chaincode.clone_from(&channel.chaincode);
    }
    prepare::check_definition(&network.chaincode)?;
    let block = STANDARD.decode(&channel.first_block).map_err(|_| Error::Conflict("no block".into()))?;
    let file = network.first_block();
    if fs::read(&file).is_ok_and(|known| known != block) {
        return conflict(format!("{} has joined another channel of this name", own.msp.id));
    }
    network::write(&file, &block)?;
    network.remote = remote(&network, channel, &own)?;
    prepare::make_packages(&mut network)?;
    profile::write_all(&network)?;
    network.processes = network.orgs.iter().map(|org| prepare::service(&network, org, chaincode)).collect();
    let started = fabric::start(&mut network, &binaries, generation, progress)?;
    fabric::join(&mut network, &binaries, &started, progress).await?;
    started.keep();
    Ok(network)
}

/// The other organisations' servers, with their TLS roots in the folder `remote`.
fn remote(network: &Network, channel: &Channel, own: &Export) -> Result<Remote, Error> {
    let mut remote = Remote::default();
    for org in channel.orgs.iter().filter(|org| *org != own) {
        let root = |msp: &PublicMsp| {
            let file = Path::new("remote").join(format!("{}.pem", msp.id));
            network::write(&network.path(&file), msp.tls_ca.as_bytes()).map(|()| file)
        };
        remote.peers.push(PeerEndpoint {
            org: org.name.clone(),
            msp_id: org.msp.id.clone(),
            host: org.peer.host.clone(),
            address: org.peer.address.clone(),
            tls_ca: root(&org.msp)?,
        });
        if let Some(orderer) = &org.orderer {
            let address = orderer.endpoint.address.clone();
            remote.orderers.push(OrdererEndpoint { address, tls_ca: root(&orderer.msp)? });
        }
    }
    Ok(remote)
}
