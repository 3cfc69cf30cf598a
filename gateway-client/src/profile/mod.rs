//! Connection profiles: the files in which Fabric's tools and samples say how to reach a network.

mod tree;

use crate::{ClientTls, Endpoint, IdentityError, Tls, User};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, fs, io};
use tree::Tree;
use zeroize::Zeroizing;

/// Largest profile that is read, in bytes.
const MAX_BYTES: u64 = 4 << 20;

/// A connection profile such as `connection-org1.json` or `connection-org1.yaml`.
///
/// Only what this client needs is read: the client's organisation, its peers and, where the profile has
/// them, certificates and keys. Relative paths are relative to the profile's folder.
pub struct Profile {
    path: PathBuf,
    content: Tree,
    /// Whose profile it is, where it does not say so itself.
    msp_id: Option<String>,
}

/// An organisation's section.
struct Organization<'a> {
    name: &'a str,
    content: &'a Tree,
}

impl<'a> Organization<'a> {
    fn msp_id(&self) -> Option<&'a str> {
        self.content.get("mspid").text()
    }

    fn has_peers(&self) -> bool {
        !self.content.get("peers").is_empty()
    }
}

/// A text with the file that it is from.
struct Material {
    text: Zeroizing<String>,
    path: PathBuf,
}

impl Profile {
    /// Reads a profile.
    ///
    /// # Errors
    /// [`ProfileError`] when the file cannot be read or is not a profile.
    pub fn load(path: &Path) -> Result<Self, ProfileError> {
        let io = |source| ProfileError::File { path: path.to_owned(), source };
        let wrong = |reason| ProfileError::Content { path: path.to_owned(), reason };
        let size = fs::metadata(path).map_err(io)?.len();
        if size > MAX_BYTES {
            return Err(wrong(format!("{size} bytes are more than a profile has")));
        }
        let bytes = Zeroizing::new(fs::read(path).map_err(io)?);
        let text = msp::text::decode(&bytes).map_err(|e| wrong(e.to_string()))?;
        let content = Tree::parse(&text).map_err(wrong)?;
        if content.get("organizations").is_empty() {
            return Err(wrong("it has no \"organizations\"".into()));
        }
        Ok(Self { path: path.to_owned(), content, msp_id: None })
    }

    /// The profile as a member of this MSP reads it: its organisation is the client's where the profile does not say
    /// which one is.
    pub fn with_msp_id(mut self, msp_id: impl Into<String>) -> Self {
        self.msp_id = Some(msp_id.into());
        self
    }

    /// The MSP identifier of the profile's organisation.
    ///
    /// # Errors
    /// [`ProfileError::Content`] when the profile does not say which organisation is the client's.
    pub fn msp_id(&self) -> Result<&str, ProfileError> {
        let organization = self.organization()?;
        organization
            .msp_id()
            .ok_or_else(|| self.wrong(format!("organisation {} has no mspid", organization.name)))
    }

    /// The organisation's peers, in the profile's order; at least one.
    ///
    /// # Errors
    /// [`ProfileError`] when there is none, or an address or a TLS certificate cannot be used.
    pub fn endpoints(&self) -> Result<Vec<Endpoint>, ProfileError> {
        let organization = self.organization()?;
        let shown = organization.msp_id().unwrap_or(organization.name);
        let names = organization.content.get("peers").texts();
        if names.is_empty() {
            return Err(self.wrong(format!("organisation {shown} has no peers")));
        }
        let peers = self.content.get("peers");
        let (known, unknown): (Vec<&str>, Vec<&str>) =
            names.into_iter().partition(|name| !peers.get(name).is_empty());
        if let (true, Some(name)) = (known.is_empty(), unknown.first()) {
            return Err(self.wrong(format!("peer {name} of {shown} is not under \"peers\"")));
        }
        known.into_iter().map(|name| self.endpoint(name, peers.get(name))).collect()
    }

    fn endpoint(&self, name: &str, peer: &Tree) -> Result<Endpoint, ProfileError> {
        let url = peer.get("url").text().ok_or_else(|| self.wrong(format!("peer {name} has no url")))?;
        let authorities = peer.get("tlsCACerts");
        let (scheme, address) = match url.split_once("://") {
            Some((scheme, address)) => (scheme.to_ascii_lowercase(), address),
            // As the Go SDK reads it.
            None if !authorities.is_empty() => ("grpcs".into(), url),
            None => {
                return Err(
                    self.wrong(format!("url {url:?} of peer {name} has no scheme (grpcs://host:port)"))
                );
            }
        };
        let address = address.trim_end_matches('/');
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none_or(|port| port == 0) {
            return Err(self.wrong(format!("url {url:?} of peer {name} has no port (grpcs://host:port)")));
        }
        let tls = match scheme.as_str() {
            "grpc" => None,
            "grpcs" => {
                let ca = self.read_all(authorities)?;
                let ca =
                    ca.ok_or_else(|| self.wrong(format!("peer {name} is grpcs but has no tlsCACerts")))?;
                if !ca.text.contains("-----BEGIN CERTIFICATE-----") {
                    let reason = format!("tlsCACerts of peer {name}: no certificate in PEM");
                    return Err(ProfileError::Content { path: ca.path, reason });
                }
                let options = peer.get("grpcOptions");
                let names = ["ssl-target-name-override", "hostnameOverride"];
                let server_name = names.iter().find_map(|name| options.get(name).text());
                Some(Tls { ca_pem: ca.text.as_bytes().to_vec(), server_name: server_name.map(str::to_owned) })
            }
            other => {
                return Err(self.wrong(format!("scheme {other:?} of peer {name} is neither grpcs nor grpc")));
            }
        };
        Ok(Endpoint { address: address.to_owned(), tls })
    }

    /// The identity that the profile has for its organisation: the administrator's (`signedCert` and
    /// `adminPrivateKey`), else that of `users`, of several the one that is called `admin`.
    ///
    /// # Errors
    /// [`ProfileError::NoIdentity`] when there is none, or it is not clear which; else when it cannot be used.
    pub fn user(&self) -> Result<User, ProfileError> {
        let organization = self.organization()?;
        let msp_id = self.msp_id()?;
        let none = |reason: String| ProfileError::NoIdentity { path: self.path.clone(), reason };
        let own = (organization.content.get("signedCert"), organization.content.get("adminPrivateKey"));
        let users = || organization.content.get("users").members().map(|(name, user)| (name, pair(user)));
        let users: Vec<(&str, (&Tree, &Tree))> = users().filter(|(_, pair)| is_given(pair)).collect();
        let (certificate, key) = match users.as_slice() {
            _ if is_given(&own) => own,
            [] => {
                return Err(none(format!(
                    "organisation {msp_id} has neither signedCert and adminPrivateKey nor users with cert and key: \
                     give a certificate and a key"
                )));
            }
            [(_, user)] => *user,
            several => {
                let admin = several.iter().find(|(name, _)| name.eq_ignore_ascii_case("admin"));
                let names: Vec<&str> = several.iter().map(|(name, _)| *name).collect();
                let unclear = || {
                    none(format!(
                        "organisation {msp_id} has several users ({}): give the certificate and the key of one",
                        names.join(", ")
                    ))
                };
                admin.ok_or_else(unclear)?.1
            }
        };
        let certificate = self.read(certificate)?.ok_or_else(|| none("signedCert is empty".into()))?;
        let key = self.read(key)?.ok_or_else(|| none("adminPrivateKey is empty".into()))?;
        let texts = (certificate.text.as_bytes(), key.text.as_bytes());
        User::from_texts(msp_id, (&certificate.path, texts.0), (&key.path, texts.1))
            .map_err(|source| self.identity(source))
    }

    /// The client's certificate and key for connections, where the profile has them (`client.tlsCerts.client`).
    ///
    /// # Errors
    /// [`ProfileError`] when they cannot be used.
    pub fn client_tls(&self) -> Result<Option<ClientTls>, ProfileError> {
        let own = self.content.at(&["client", "tlsCerts", "client"]);
        match (self.read(own.get("cert"))?, self.read(own.get("key"))?) {
            (Some(cert), Some(key)) => {
                ClientTls::from_texts((&cert.path, &cert.text), (&key.path, &key.text))
                    .map(Some)
                    .map_err(|source| self.identity(source))
            }
            (None, None) => Ok(None),
            (cert, _) => {
                let missing = if cert.is_some() { "key" } else { "cert" };
                Err(self.wrong(format!("client.tlsCerts.client has no {missing}")))
            }
        }
    }

    /// How long the peers wait for each other's endorsements, where the profile says so (`client.x-endorsementTimeout`, in
    /// seconds).
    pub fn endorsement_timeout(&self) -> Option<Duration> {
        let seconds = self.content.at(&["client", "x-endorsementTimeout"]).text()?.parse::<u64>().ok()?;
        (1..=600).contains(&seconds).then(|| Duration::from_secs(seconds))
    }

    /// The organisation of the section `client`, else that of the MSP, else the only one, or the only one with peers.
    fn organization(&self) -> Result<Organization<'_>, ProfileError> {
        let all = || {
            let members = self.content.get("organizations").members();
            members.map(|(name, content)| Organization { name, content })
        };
        let of_msp = |msp_id: &str| {
            let own = |org: &Organization<'_>| org.msp_id() == Some(msp_id);
            all().find(|org| own(org) && org.has_peers()).or_else(|| all().find(own))
        };
        let named = self.content.at(&["client", "organization"]).text();
        if let Some(name) = named {
            let is_it = |org: &Organization<'_>| org.name == name;
            let alike = |org: &Organization<'_>| org.name.eq_ignore_ascii_case(name);
            let found = all().find(is_it).or_else(|| of_msp(name)).or_else(|| all().find(alike));
            if let Some(organization) = found {
                return Ok(organization);
            }
        }
        if let Some(organization) = self.msp_id.as_deref().and_then(of_msp) {
            return Ok(organization);
        }
        let names = || {
            let names = all().map(|org| match org.msp_id() {
                Some(msp_id) if msp_id != org.name => format!("{} ({msp_id})", org.name),
                _ => org.name.to_owned(),
            });
            names.collect::<Vec<_>>().join(", ")
        };
        let known = || format!("\"organizations\" has {}", names());
        if let Some(name) = named {
            return Err(self.wrong(format!("organisation {name:?} of client is unknown: {}", known())));
        }
        if let Some(msp_id) = &self.msp_id {
            return Err(self.wrong(format!("no organisation has mspid {msp_id}: {}", known())));
        }
        let with_peers = || all().filter(Organization::has_peers);
        match (all().count(), with_peers().count()) {
            (1, _) => Ok(all().next().expect("there is one")),
            (_, 1) => Ok(with_peers().next().expect("there is one")),
            _ => Err(self
                .wrong(format!("client.organization does not say which organisation is yours: {}", known()))),
        }
    }

    /// A certificate or key: PEM in the profile, or a file.
    fn read(&self, material: &Tree) -> Result<Option<Material>, ProfileError> {
        let here = |text: String| Material { text: Zeroizing::new(text), path: self.path.clone() };
        if let Some(text) = material.text() {
            // Not a section with `pem` or `path`, but what would be in it.
            return match text.contains("-----BEGIN") {
                true => Ok(Some(here(unescaped(text)))),
                false => self.read_file(text).map(Some),
            };
        }
        let pem = material.get("pem").texts();
        if !pem.is_empty() {
            let texts = pem.into_iter().map(|text| Zeroizing::new(unescaped(text)));
            let joined = texts.fold(String::new(), |all, text| all + &text + "\n");
            return Ok(Some(here(joined)));
        }
        material.get("path").text().map(|path| self.read_file(path)).transpose()
    }

    /// Several of them.
    fn read_all(&self, material: &Tree) -> Result<Option<Material>, ProfileError> {
        let Tree::List(items) = material else { return self.read(material) };
        let mut all: Option<Material> = None;
        for item in items {
            let Some(next) = self.read(item)? else { continue };
            match &mut all {
                Some(all) => all.text.push_str(&next.text),
                None => all = Some(next),
            }
        }
        Ok(all)
    }

    fn read_file(&self, path: &str) -> Result<Material, ProfileError> {
        let path = self.path.parent().unwrap_or(Path::new("")).join(path);
        let failed = |source| ProfileError::File { path: path.clone(), source };
        let bytes = Zeroizing::new(fs::read(&path).map_err(failed)?);
        let text = msp::text::decode(&bytes)
            .map_err(|e| ProfileError::Content { path: path.clone(), reason: e.to_string() })?;
        Ok(Material { text, path })
    }

    fn identity(&self, source: IdentityError) -> ProfileError {
        ProfileError::Identity { path: self.path.clone(), source }
    }

    fn wrong(&self, reason: String) -> ProfileError {
        ProfileError::Content { path: self.path.clone(), reason }
    }
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Certificate and key of an entry of `users`.
fn pair(user: &Tree) -> (&Tree, &Tree) {
    (user.get("cert"), user.get("key"))
}

fn is_given((certificate, key): &(&Tree, &Tree)) -> bool {
    !certificate.is_empty() && !key.is_empty()
}

/// PEM whose line ends a tool escaped once too often.
fn unescaped(text: &str) -> String {
    match text.contains('\n') {
        true => text.to_owned(),
        false => text.replace("\\r", "").replace("\\n", "\n"),
    }
}

/// Why a connection profile cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// The profile, or a file that it names, cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The profile, or a file that it names, lacks something or is not what it should be.
    #[error("connection profile {}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The profile has no identity, or several.
    #[error("connection profile {}: {reason}", path.display())]
    NoIdentity {
        /// The profile.
        path: PathBuf,
        /// What is missing or unclear.
        reason: String,
    },
    /// The profile's certificate or key cannot be used.
    #[error("connection profile {}: {source}", path.display())]
    Identity {
        /// The profile.
        path: PathBuf,
        /// What is wrong.
        source: IdentityError,
    },
}

#[cfg(test)]
mod tests;
