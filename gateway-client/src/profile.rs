//! Connection profiles: the JSON files in which Fabric's tools and samples say how to reach a network.

use crate::{ClientTls, Endpoint, IdentityError, Tls, User};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// Largest profile that is read, in bytes.
const MAX_BYTES: u64 = 4 << 20;

/// A connection profile such as `connection-org1.json`.
///
/// Only what this client needs is read: the client's organisation, its peers and, where the profile has
/// them, the organisation's certificate and key. Relative paths are relative to the profile's folder.
pub struct Profile {
    path: PathBuf,
    content: Content,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    #[serde(default)]
    client: Client,
    organizations: BTreeMap<String, Organization>,
    #[serde(default)]
    peers: BTreeMap<String, Peer>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Client {
    organization: Option<String>,
    tls_certs: Option<TlsCerts>,
}

#[derive(Deserialize)]
struct TlsCerts {
    client: Option<KeyPair>,
}

#[derive(Deserialize)]
struct KeyPair {
    cert: Material,
    key: Material,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Organization {
    mspid: String,
    #[serde(default)]
    peers: Vec<String>,
    admin_private_key: Option<Material>,
    signed_cert: Option<Material>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Peer {
    url: String,
    #[serde(rename = "tlsCACerts")]
    tls_ca_certs: Option<Material>,
    #[serde(default)]
    grpc_options: GrpcOptions,
}

#[derive(Default, Deserialize)]
struct GrpcOptions {
    #[serde(rename = "ssl-target-name-override")]
    ssl_target_name_override: Option<String>,
    #[serde(rename = "hostnameOverride")]
    hostname_override: Option<String>,
}

/// PEM text in the profile, or a file that holds it.
#[derive(Deserialize)]
struct Material {
    pem: Option<OneOrMany>,
    path: Option<PathBuf>,
}

/// May be a private key, hence wiped.
#[derive(Deserialize, ZeroizeOnDrop)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Profile {
    /// Reads a profile.
    ///
    /// # Errors
    /// [`ProfileError`] when the file cannot be read or is not a profile.
    pub fn load(path: &Path) -> Result<Self, ProfileError> {
        let io = |source| ProfileError::File { path: path.to_owned(), source };
        let size = fs::metadata(path).map_err(io)?.len();
        if size > MAX_BYTES {
            return Err(ProfileError::Content {
                path: path.to_owned(),
                reason: format!("{size} bytes are more than a profile has"),
            });
        }
        let text = Zeroizing::new(fs::read(path).map_err(io)?);
        let content: Content = serde_json::from_slice(&text)
            .map_err(|e| ProfileError::Content { path: path.to_owned(), reason: e.to_string() })?;
        Ok(Self { path: path.to_owned(), content })
    }

    /// The MSP identifier of the profile's organisation.
    ///
    /// # Errors
    /// [`ProfileError::Content`] when the profile does not say which organisation is the client's.
    pub fn msp_id(&self) -> Result<&str, ProfileError> {
        Ok(&self.organization()?.mspid)
    }

    /// The organisation's peers, in the profile's order; at least one.
    ///
    /// # Errors
    /// [`ProfileError`] when there is none, or an address or a TLS certificate cannot be used.
    pub fn endpoints(&self) -> Result<Vec<Endpoint>, ProfileError> {
        let organization = self.organization()?;
        if organization.peers.is_empty() {
            return Err(self.wrong(format!("organisation {} has no peers", organization.mspid)));
        }
        organization.peers.iter().map(|name| self.endpoint(organization, name)).collect()
    }

    fn endpoint(&self, organization: &Organization, name: &str) -> Result<Endpoint, ProfileError> {
        let peer = self.content.peers.get(name).ok_or_else(|| {
            self.wrong(format!("peer {name} of {} is not under \"peers\"", organization.mspid))
        })?;
        let Some((scheme, address)) = peer.url.split_once("://") else {
            return Err(
                self.wrong(format!("url {:?} of peer {name} has no scheme (grpcs://host:port)", peer.url))
            );
        };
        let tls = match scheme {
            "grpc" => None,
            "grpcs" => {
                let material = peer
                    .tls_ca_certs
                    .as_ref()
                    .ok_or_else(|| self.wrong(format!("peer {name} is grpcs but has no tlsCACerts")))?;
                let options = &peer.grpc_options;
                Some(Tls {
                    ca_pem: self.read(material)?.as_bytes().to_vec(),
                    server_name: options
                        .ssl_target_name_override
                        .clone()
                        .or_else(|| options.hostname_override.clone()),
                })
            }
            other => {
                return Err(self.wrong(format!("scheme {other:?} of peer {name} is neither grpcs nor grpc")));
            }
        };
        Ok(Endpoint { address: address.trim_end_matches('/').to_owned(), tls })
    }

    /// The identity of the organisation's administrator, where the profile has one
    /// (`adminPrivateKey` and `signedCert`).
    ///
    /// # Errors
    /// [`ProfileError`] when the profile has none or it cannot be used.
    pub fn user(&self) -> Result<User, ProfileError> {
        let organization = self.organization()?;
        let (Some(certificate), Some(key)) = (&organization.signed_cert, &organization.admin_private_key)
        else {
            return Err(self.wrong(format!(
                "organisation {} has no signedCert and adminPrivateKey: give a certificate and a key",
                organization.mspid
            )));
        };
        User::from_pem(&organization.mspid, &self.read(certificate)?, &self.read(key)?)
            .map_err(|source| ProfileError::Identity { path: self.path.clone(), source })
    }

    /// The client's certificate and key for connections, where the profile has them (`client.tlsCerts.client`).
    ///
    /// # Errors
    /// [`ProfileError`] when they cannot be used.
    pub fn client_tls(&self) -> Result<Option<ClientTls>, ProfileError> {
        let Some(own) = self.content.client.tls_certs.as_ref().and_then(|certs| certs.client.as_ref()) else {
            return Ok(None);
        };
        ClientTls::from_pem(&self.read(&own.cert)?, &self.read(&own.key)?)
            .map(Some)
            .map_err(|source| ProfileError::Identity { path: self.path.clone(), source })
    }

    /// The organisation of the section `client`, or the only one.
    fn organization(&self) -> Result<&Organization, ProfileError> {
        let organizations = &self.content.organizations;
        match (&self.content.client.organization, organizations.len()) {
            (Some(name), _) => organizations
                .get(name)
                .ok_or_else(|| self.wrong(format!("organisation {name:?} is not under \"organizations\""))),
            (None, 1) => Ok(organizations.values().next().expect("there is exactly one")),
            (None, n) => {
                Err(self.wrong(format!("client.organization is missing and there are {n} organizations")))
            }
        }
    }

    fn read(&self, material: &Material) -> Result<Zeroizing<String>, ProfileError> {
        match material {
            Material { pem: Some(OneOrMany::One(text)), .. } => Ok(Zeroizing::new(text.clone())),
            Material { pem: Some(OneOrMany::Many(texts)), .. } => Ok(Zeroizing::new(texts.join("\n"))),
            Material { path: Some(path), .. } => {
                let path = self.path.parent().unwrap_or(Path::new("")).join(path);
                fs::read_to_string(&path)
                    .map(Zeroizing::new)
                    .map_err(|source| ProfileError::File { path, source })
            }
            _ => Err(self.wrong("certificate or key with neither pem nor path".into())),
        }
    }

    fn wrong(&self, reason: String) -> ProfileError {
        ProfileError::Content { path: self.path.clone(), reason }
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
    /// The profile lacks something or is not one.
    #[error("connection profile {}: {reason}", path.display())]
    Content {
        /// The profile.
        path: PathBuf,
        /// What is wrong.
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
mod tests {
    use super::*;

    fn load(content: &str) -> Result<Profile, ProfileError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("connection-org1.json");
        fs::write(&path, content).unwrap();
        Profile::load(&path)
    }

    /// As fabric-samples' test network writes it.
    const SAMPLE: &str = r#"{
        "name": "test-network-org1", "version": "1.0.0",
        "client": {"organization": "Org1", "connection": {"timeout": {"peer": {"endorser": "300"}}}},
        "organizations": {"Org1": {"mspid": "Org1MSP", "peers": ["peer0.org1.example.com"],
            "certificateAuthorities": ["ca.org1.example.com"]}},
        "peers": {"peer0.org1.example.com": {"url": "grpcs://localhost:7051",
            "tlsCACerts": {"pem": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"},
            "grpcOptions": {"ssl-target-name-override": "peer0.org1.example.com",
                "hostnameOverride": "peer0.org1.example.com"}}},
        "certificateAuthorities": {"ca.org1.example.com": {"url": "https://localhost:7054",
            "tlsCACerts": {"pem": ["x"]}, "httpOptions": {"verify": false}}}
    }"#;

    #[test]
    fn reads_the_samples_layout() {
        let profile = load(SAMPLE).unwrap();
        assert_eq!(profile.msp_id().unwrap(), "Org1MSP");
        let endpoints = profile.endpoints().unwrap();
        assert_eq!(endpoints.iter().map(|e| e.address.as_str()).collect::<Vec<_>>(), ["localhost:7051"]);
        let tls = endpoints[0].tls.as_ref().unwrap();
        assert_eq!(tls.server_name.as_deref(), Some("peer0.org1.example.com"));
        assert!(tls.ca_pem.starts_with(b"-----BEGIN"));
        let missing = profile.user().unwrap_err().to_string();
        assert!(missing.contains("give a certificate and a key"), "{missing}");
        assert!(profile.client_tls().unwrap().is_none());
    }

    #[test]
    fn reads_several_peers_and_the_clients_own_certificate() {
        let made = rcgen::generate_simple_self_signed(vec!["client".into()]).unwrap();
        let content = serde_json::json!({
            "client": {"organization": "A", "tlsCerts": {"client": {
                "cert": {"pem": made.cert.pem()}, "key": {"pem": made.signing_key.serialize_pem()}}}},
            "organizations": {"A": {"mspid": "AMSP", "peers": ["p2", "p1"]}},
            "peers": {"p1": {"url": "grpc://h:1"}, "p2": {"url": "grpc://h:2"}}
        });
        let profile = load(&content.to_string()).unwrap();
        let addresses: Vec<_> = profile.endpoints().unwrap().into_iter().map(|e| e.address).collect();
        assert_eq!(addresses, ["h:2", "h:1"]);
        assert_eq!(format!("{:?}", profile.client_tls().unwrap()), "Some(ClientTls(…))");
    }

    #[test]
    fn paths_are_relative_to_the_profile() {
        let made = rcgen::generate_simple_self_signed(vec!["admin".into()]).unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ca.pem"), "the CA").unwrap();
        fs::write(dir.path().join("cert.pem"), made.cert.pem()).unwrap();
        fs::write(dir.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let path = dir.path().join("connection.json");
        let content = r#"{"organizations": {"A": {"mspid": "AMSP", "peers": ["p"],
                "signedCert": {"path": "cert.pem"}, "adminPrivateKey": {"path": "key.pem"}}},
            "peers": {"p": {"url": "grpcs://h:1", "tlsCACerts": {"path": "ca.pem"}}}}"#;
        fs::write(&path, content).unwrap();
        let profile = Profile::load(&path).unwrap();
        assert_eq!(profile.endpoints().unwrap()[0].tls.as_ref().unwrap().ca_pem, b"the CA");
        assert_eq!(profile.user().unwrap().identity().msp_id(), "AMSP");
    }

    #[test]
    fn says_what_is_wrong() {
        let table = [
            ("{", "EOF"),
            (r#"{"organizations": {}}"#, "0 organizations"),
            (r#"{"client": {"organization": "B"}, "organizations": {}}"#, "\"B\" is not under"),
            (r#"{"organizations": {"A": {"mspid": "M"}}}"#, "has no peers"),
            (r#"{"organizations": {"A": {"mspid": "M", "peers": ["p"]}}}"#, "peer p of M is not under"),
            (
                r#"{"organizations": {"A": {"mspid": "M", "peers": ["p"]}}, "peers": {"p": {"url": "h:1"}}}"#,
                "no scheme",
            ),
            (
                r#"{"organizations": {"A": {"mspid": "M", "peers": ["p"]}}, "peers": {"p": {"url": "grpcs://h:1"}}}"#,
                "no tlsCACerts",
            ),
            (
                r#"{"organizations": {"A": {"mspid": "M", "peers": ["p"]}}, "peers": {"p": {"url": "http://h:1"}}}"#,
                "neither grpcs",
            ),
        ];
        for (content, expected) in table {
            let error = load(content).and_then(|p| p.endpoints().map(drop)).unwrap_err().to_string();
            assert!(error.contains(expected), "{expected:?} in {error}");
        }
    }
}
