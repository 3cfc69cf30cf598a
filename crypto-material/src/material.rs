//! The tree on the disk: making it, completing it, and the paths in it.

use crate::authority::{Authority, Purpose, write_new};
use crate::{Error, NetworkSpec, NodeSpec, OrgKind, OrgSpec, UserSpec};
use msp::KeyKind;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const SPEC_FILE: &str = "network.json";

/// Makes the material of `spec` under `dir`, or loads what is there and adds what is missing of it.
///
/// Organisations that are already in `dir` stay; those of `spec` must agree with them. An
/// organisation's new nodes and users are issued by its existing authorities.
///
/// # Errors
/// [`Error::Spec`] for unusable names, [`Error::Conflict`] when `dir` belongs to a different
/// specification, [`Error::Incomplete`] when a file of what is there has gone, [`Error::Io`].
pub fn generate(spec: &NetworkSpec, dir: &Path) -> Result<Material, Error> {
    spec.check()?;
    let mut merged = read_spec(dir)?.unwrap_or(NetworkSpec { orgs: Vec::new() });
    for org in &spec.orgs {
        merge(&mut merged, org, dir)?;
    }
    merged.check()?;

    let material = Material { dir: dir.to_owned(), spec: merged };
    for org in material.orgs() {
        org.complete()?;
    }
    material.write_spec()?;
    Ok(material)
}

/// Loads the material that [`generate`] made under `dir`.
///
/// # Errors
/// [`Error::Absent`] when there is none, [`Error::Incomplete`] when a file is missing.
pub fn load(dir: &Path) -> Result<Material, Error> {
    let spec = read_spec(dir)?.ok_or_else(|| Error::Absent(dir.to_owned()))?;
    spec.check()?;
    let material = Material { dir: dir.to_owned(), spec };
    for org in material.orgs() {
        org.check()?;
        for node in org.nodes() {
            node.check()?;
        }
        for user in org.users() {
            user.check()?;
        }
    }
    Ok(material)
}

/// The material of a network: complete when it was made or loaded.
#[derive(Clone, Debug)]
pub struct Material {
    dir: PathBuf,
    spec: NetworkSpec,
}

impl Material {
    /// Adds an organisation, or completes one that is there; see [`generate`].
    ///
    /// # Errors
    /// As [`generate`].
    pub fn extend(&mut self, org: OrgSpec) -> Result<(), Error> {
        *self = generate(&NetworkSpec { orgs: vec![org] }, &self.dir)?;
        Ok(())
    }

    /// The folder that holds everything.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What the material was made for.
    pub fn spec(&self) -> &NetworkSpec {
        &self.spec
    }

    /// Every organisation, in the order of the specification.
    pub fn orgs(&self) -> impl Iterator<Item = Org> + '_ {
        self.spec.orgs.iter().map(|spec| {
            let kind = match spec.kind {
                OrgKind::Peer => "peerOrganizations",
                OrgKind::Orderer => "ordererOrganizations",
            };
            Org { dir: self.dir.join(kind).join(&spec.domain), spec: spec.clone() }
        })
    }

    /// The peer organisations.
    pub fn peer_orgs(&self) -> impl Iterator<Item = Org> + '_ {
        self.orgs().filter(|org| org.spec.kind == OrgKind::Peer)
    }

    /// The orderer organisations.
    pub fn orderer_orgs(&self) -> impl Iterator<Item = Org> + '_ {
        self.orgs().filter(|org| org.spec.kind == OrgKind::Orderer)
    }

    /// The organisation of this name, MSP ID or domain.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn org(&self, name: &str) -> Result<Org, Error> {
        self.orgs()
            .find(|org| [&org.spec.name, &org.spec.msp_id, &org.spec.domain].iter().any(|own| *own == name))
            .ok_or_else(|| Error::Unknown(format!("organisation {name:?}")))
    }

    fn write_spec(&self) -> Result<(), Error> {
        if read_spec(&self.dir)?.as_ref() == Some(&self.spec) {
            return Ok(());
        }
        let json = serde_json::to_vec_pretty(&self.spec).expect("a specification has string keys only");
        place(&self.dir.join(SPEC_FILE), |staging| write_new(staging, &json))
    }
}

/// An organisation's part of the tree.
#[derive(Clone, Debug)]
pub struct Org {
    dir: PathBuf,
    spec: OrgSpec,
}

impl Org {
    /// Its specification: name, MSP ID, domain, nodes and users.
    pub fn spec(&self) -> &OrgSpec {
        &self.spec
    }

    /// Short name, such as `Org1`.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// MSP ID, such as `Org1MSP`.
    pub fn msp_id(&self) -> &str {
        &self.spec.msp_id
    }

    /// Domain, such as `org1.example.com`.
    pub fn domain(&self) -> &str {
        &self.spec.domain
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The folder of its public MSP: root certificates and NodeOUs (`MSPDir` of configtx.yaml).
    pub fn msp_dir(&self) -> PathBuf {
        self.dir.join("msp")
    }

    /// Certificate of the authority that signs identities.
    pub fn ca_cert(&self) -> PathBuf {
        self.dir.join("ca").join(format!("{}-cert.pem", self.ca_name()))
    }

    /// Certificate of the authority that signs TLS certificates: the root to trust when dialling.
    pub fn tls_ca_cert(&self) -> PathBuf {
        self.dir.join("tlsca").join(format!("{}-cert.pem", self.tls_ca_name()))
    }

    /// Its peers or orderers.
    pub fn nodes(&self) -> impl Iterator<Item = Node> + '_ {
        let folder = match self.spec.kind {
            OrgKind::Peer => "peers",
            OrgKind::Orderer => "orderers",
        };
        self.spec.nodes.iter().map(move |spec| {
            let host = format!("{}.{}", spec.hostname, self.spec.domain);
            Node { dir: self.dir.join(folder).join(&host), org: self.clone(), host, spec: spec.clone() }
        })
    }

    /// The node of this short (`peer0`) or full host name.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn node(&self, name: &str) -> Result<Node, Error> {
        self.nodes()
            .find(|node| node.host == name || node.spec.hostname == name)
            .ok_or_else(|| Error::Unknown(format!("node {name:?} of {}", self.spec.name)))
    }

    /// Its users, `Admin` first.
    pub fn users(&self) -> impl Iterator<Item = User> + '_ {
        let admin = UserSpec::new("Admin");
        [admin].into_iter().chain(self.spec.users.iter().cloned()).map(|spec| {
            let id = format!("{}@{}", spec.name, self.spec.domain);
            User { dir: self.dir.join("users").join(&id), org: self.clone(), id, spec }
        })
    }

    /// The user of this short (`User1`) or full (`User1@org1.example.com`) name.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn user(&self, name: &str) -> Result<User, Error> {
        self.users()
            .find(|user| user.id == name || user.spec.name == name)
            .ok_or_else(|| Error::Unknown(format!("user {name:?} of {}", self.spec.name)))
    }

    /// Its administrator.
    pub fn admin(&self) -> User {
        self.users().next().expect("the administrator is always the first user")
    }

    fn ca_name(&self) -> String {
        format!("ca.{}", self.spec.domain)
    }

    fn tls_ca_name(&self) -> String {
        format!("tlsca.{}", self.spec.domain)
    }

    /// Makes what is missing, in whole folders, and checks what is there.
    fn complete(&self) -> Result<(), Error> {
        if !self.dir.exists() {
            return place(&self.dir, |staging| {
                let staged = Self { dir: staging.to_owned(), spec: self.spec.clone() };
                let (ca, tls_ca) = (self.ca_name(), self.tls_ca_name());
                let ca = Authority::create(&staging.join("ca"), &ca, &self.spec.domain)?;
                let tls_ca = Authority::create(&staging.join("tlsca"), &tls_ca, &self.spec.domain)?;
                staged.write_roots(&staged.msp_dir(), &ca.certificate, &tls_ca.certificate)?;
                for node in staged.nodes() {
                    node.create(&node.dir, &ca, &tls_ca)?;
                }
                for user in staged.users() {
                    user.create(&user.dir, &ca, &tls_ca)?;
                }
                Ok(())
            });
        }

        self.check()?;
        let authorities = || -> Result<_, Error> {
            let ca = Authority::open(&self.dir.join("ca"), &self.ca_name())?;
            Ok((ca, Authority::open(&self.dir.join("tlsca"), &self.tls_ca_name())?))
        };
        for node in self.nodes() {
            if node.dir.exists() {
                node.check()?;
            } else {
                let (ca, tls_ca) = authorities()?;
                place(&node.dir, |staging| node.create(staging, &ca, &tls_ca))?;
            }
        }
        for user in self.users() {
            if user.dir.exists() {
                user.check()?;
            } else {
                let (ca, tls_ca) = authorities()?;
                place(&user.dir, |staging| user.create(staging, &ca, &tls_ca))?;
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Error> {
        let own = ["ca", "tlsca"].map(|folder| self.dir.join(folder).join("priv_sk"));
        let files = own.into_iter().chain([self.ca_cert(), self.tls_ca_cert()]);
        check_files(files.chain(self.roots(&self.msp_dir())), &self.dir)
    }

    /// The files of an MSP folder that are the same everywhere in the organisation.
    fn roots(&self, msp: &Path) -> [PathBuf; 3] {
        [
            msp.join("cacerts").join(format!("{}-cert.pem", self.ca_name())),
            msp.join("tlscacerts").join(format!("{}-cert.pem", self.tls_ca_name())),
            msp.join("config.yaml"),
        ]
    }

    fn write_roots(&self, msp: &Path, ca: &str, tls_ca: &str) -> Result<(), Error> {
        let mut config = String::from("NodeOUs:\n    Enable: true\n");
        for (role, unit) in
            [("Client", "client"), ("Peer", "peer"), ("Admin", "admin"), ("Orderer", "orderer")]
        {
            config += &format!(
                "    {role}OUIdentifier:\n        Certificate: cacerts/{}-cert.pem\n        OrganizationalUnitIdentifier: {unit}\n",
                self.ca_name()
            );
        }
        let [ca_path, tls_ca_path, config_path] = self.roots(msp);
        write_new(&ca_path, ca.as_bytes())?;
        write_new(&tls_ca_path, tls_ca.as_bytes())?;
        write_new(&config_path, config.as_bytes())
    }

    /// Issues the two certificates of a node or user and writes its folders `msp` and `tls`.
    fn create_member(
        &self,
        dir: &Path,
        id: &str,
        identity: Purpose<'_>,
        (tls_name, names): (&str, Vec<String>),
        (ca, tls_ca): (&Authority, &Authority),
    ) -> Result<(), Error> {
        let msp = dir.join("msp");
        self.write_roots(&msp, &ca.certificate, &tls_ca.certificate)?;
        for folder in ["signcerts", "keystore"] {
            let path = msp.join(folder);
            fs::create_dir_all(&path).map_err(Error::io(&path))?;
        }
        ca.issue(id, identity, &signing_cert(dir, id), &signing_key(dir))?;

        let tls = dir.join("tls");
        write_new(&tls.join("ca.crt"), tls_ca.certificate.as_bytes())?;
        let (certificate, key) = (tls.join(format!("{tls_name}.crt")), tls.join(format!("{tls_name}.key")));
        tls_ca.issue(id, Purpose::Tls { names }, &certificate, &key)
    }
}

/// A peer's or orderer's folder.
#[derive(Clone, Debug)]
pub struct Node {
    dir: PathBuf,
    org: Org,
    host: String,
    spec: NodeSpec,
}

impl Node {
    /// Full host name, such as `peer0.org1.example.com`; the name to expect in its TLS certificate.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Host name without the domain, such as `peer0`.
    pub fn hostname(&self) -> &str {
        &self.spec.hostname
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its local MSP folder (`CORE_PEER_MSPCONFIGPATH`, `ORDERER_GENERAL_LOCALMSPDIR`).
    pub fn msp_dir(&self) -> PathBuf {
        self.dir.join("msp")
    }

    /// Its signing certificate, PEM.
    pub fn signing_cert(&self) -> PathBuf {
        signing_cert(&self.dir, &self.host)
    }

    /// Its signing key, PKCS#8 PEM.
    pub fn signing_key(&self) -> PathBuf {
        signing_key(&self.dir)
    }

    /// Its TLS certificate, for server and client, PEM.
    pub fn tls_cert(&self) -> PathBuf {
        self.dir.join("tls/server.crt")
    }

    /// Key of its TLS certificate, PKCS#8 PEM.
    pub fn tls_key(&self) -> PathBuf {
        self.dir.join("tls/server.key")
    }

    /// The TLS authority of its organisation, PEM.
    pub fn tls_ca_cert(&self) -> PathBuf {
        self.dir.join("tls/ca.crt")
    }

    fn create(&self, dir: &Path, ca: &Authority, tls_ca: &Authority) -> Result<(), Error> {
        let role = match self.org.spec.kind {
            OrgKind::Peer => "peer",
            OrgKind::Orderer => "orderer",
        };
        let fixed = [&self.host, &self.spec.hostname, "localhost", "127.0.0.1", "::1"];
        let names = fixed.into_iter().map(String::from).chain(self.spec.sans.iter().cloned()).collect();
        let key = self.org.spec.node_keys.unwrap_or(KeyKind::P256);
        let identity = Purpose::Identity { role, attributes: &BTreeMap::new(), key };
        self.org.create_member(dir, &self.host, identity, ("server", names), (ca, tls_ca))
    }

    fn check(&self) -> Result<(), Error> {
        let own =
            [self.signing_cert(), self.signing_key(), self.tls_cert(), self.tls_key(), self.tls_ca_cert()];
        check_files(own.into_iter().chain(self.org.roots(&self.msp_dir())), &self.dir)
    }
}

/// A user's folder.
#[derive(Clone, Debug)]
pub struct User {
    dir: PathBuf,
    org: Org,
    id: String,
    spec: UserSpec,
}

impl User {
    /// Full name, such as `User1@org1.example.com`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its MSP folder.
    pub fn msp_dir(&self) -> PathBuf {
        self.dir.join("msp")
    }

    /// Its signing certificate, PEM.
    pub fn signing_cert(&self) -> PathBuf {
        signing_cert(&self.dir, &self.id)
    }

    /// Its signing key, PKCS#8 PEM.
    pub fn signing_key(&self) -> PathBuf {
        signing_key(&self.dir)
    }

    /// Its TLS client certificate, PEM.
    pub fn tls_cert(&self) -> PathBuf {
        self.dir.join("tls/client.crt")
    }

    /// Key of its TLS client certificate, PKCS#8 PEM.
    pub fn tls_key(&self) -> PathBuf {
        self.dir.join("tls/client.key")
    }

    /// The TLS authority of its organisation, PEM.
    pub fn tls_ca_cert(&self) -> PathBuf {
        self.dir.join("tls/ca.crt")
    }

    fn create(&self, dir: &Path, ca: &Authority, tls_ca: &Authority) -> Result<(), Error> {
        let role = if self.spec.name == "Admin" { "admin" } else { "client" };
        let key = self.org.spec.user_keys.unwrap_or(KeyKind::P256);
        let identity = Purpose::Identity { role, attributes: &self.spec.attributes, key };
        self.org.create_member(dir, &self.id, identity, ("client", Vec::new()), (ca, tls_ca))
    }

    fn check(&self) -> Result<(), Error> {
        let own =
            [self.signing_cert(), self.signing_key(), self.tls_cert(), self.tls_key(), self.tls_ca_cert()];
        check_files(own.into_iter().chain(self.org.roots(&self.msp_dir())), &self.dir)
    }
}

fn signing_cert(dir: &Path, id: &str) -> PathBuf {
    dir.join("msp/signcerts").join(format!("{id}-cert.pem"))
}

fn signing_key(dir: &Path) -> PathBuf {
    dir.join("msp/keystore/priv_sk")
}

fn check_files(files: impl Iterator<Item = PathBuf>, remove: &Path) -> Result<(), Error> {
    for file in files {
        match fs::metadata(&file) {
            Ok(found) if found.is_file() && found.len() > 0 => {}
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Error::io(&file)(e)),
            _ => {
                return Err(Error::Incomplete { file, remove: remove.to_owned() });
            }
        }
    }
    Ok(())
}

/// Has `make` write to a path beside `path`, which then takes its name: all of it or nothing.
fn place(path: &Path, make: impl FnOnce(&Path) -> Result<(), Error>) -> Result<(), Error> {
    let (folder, name) = (path.parent().unwrap_or(Path::new(".")), path.file_name().unwrap_or_default());
    let staging = folder.join(format!(".{}.new", name.to_string_lossy()));
    // What an interrupted run left behind; nobody has used its keys.
    match fs::symlink_metadata(&staging) {
        Ok(left) if left.is_dir() => fs::remove_dir_all(&staging).map_err(Error::io(&staging))?,
        Ok(_) => fs::remove_file(&staging).map_err(Error::io(&staging))?,
        Err(_) => fs::create_dir_all(folder).map_err(Error::io(folder))?,
    }
    make(&staging)?;
    fs::rename(&staging, path).map_err(Error::io(path))
}

fn read_spec(dir: &Path) -> Result<Option<NetworkSpec>, Error> {
    let path = dir.join(SPEC_FILE);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(&path)(e)),
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|e| Error::io(&path)(io::Error::new(io::ErrorKind::InvalidData, e)))
}

/// Adds `org` to `known`, which is what `dir` already holds.
fn merge(known: &mut NetworkSpec, org: &OrgSpec, dir: &Path) -> Result<(), Error> {
    let conflict = |what: String| Err(Error::Conflict { dir: dir.to_owned(), what });
    let Some(found) = known.orgs.iter_mut().find(|known| known.domain == org.domain) else {
        known.orgs.push(org.clone());
        return Ok(());
    };
    if (&found.name, &found.msp_id, found.kind) != (&org.name, &org.msp_id, org.kind) {
        return conflict(format!("{} is {} with MSP ID {}", org.domain, found.name, found.msp_id));
    }
    for node in &org.nodes {
        match found.nodes.iter().find(|known| known.hostname == node.hostname) {
            None => found.nodes.push(node.clone()),
            Some(known) if known != node => {
                return conflict(format!("{}.{} has other alternative names", node.hostname, org.domain));
            }
            Some(_) => {}
        }
    }
    for user in &org.users {
        match found.users.iter().find(|known| known.name == user.name) {
            None => found.users.push(user.clone()),
            Some(known) if known != user => {
                return conflict(format!("{}@{} has other attributes", user.name, org.domain));
            }
            Some(_) => {}
        }
    }
    Ok(())
}
