//! An MSP's folder: `cacerts`, `intermediatecerts`, `admincerts`, `crls`, `tlscacerts`, `config.yaml`.

use crate::pem::{Block, encode};
use crate::{Certificate, Error, load_bundle};
use fabric_protos::msp::{FabricMspConfig, FabricNodeOUs, FabricOuIdentifier};
use serde::Deserialize;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// Reads an MSP's folder into the form in which a channel's configuration has it.
///
/// Signing keys are not read, and of every file only the certificates are taken, encoded again: the configuration is for
/// all members of the channel. A missing subfolder is an empty one, but for `cacerts`.
///
/// # Errors
/// [`Error::Io`] for what cannot be read or holds no certificate, [`Error::Configuration`] for a `config.yaml` that makes no sense.
pub fn read_folder(msp_id: &str, dir: &Path) -> Result<FabricMspConfig, Error> {
    let bad = |what: String| Error::Configuration { msp_id: msp_id.into(), what };
    let read_certificates = |name: &str| read_all(&dir.join(name), certificate);
    let read_bundles = |name: &str| read_all(&dir.join(name), |path| Ok(load_bundle(path)?.into_bytes()));
    let root_certs = read_certificates("cacerts")?;
    if root_certs.is_empty() {
        return Err(bad(format!("no root certificate in {}", dir.join("cacerts").display())));
    }
    let mut config = FabricMspConfig {
        name: msp_id.into(),
        root_certs,
        intermediate_certs: read_certificates("intermediatecerts")?,
        admins: read_certificates("admincerts")?,
        revocation_list: read_all(&dir.join("crls"), revocation_list)?,
        tls_root_certs: read_bundles("tlscacerts")?,
        tls_intermediate_certs: read_bundles("tlsintermediatecerts")?,
        ..Default::default()
    };

    let path = dir.join("config.yaml");
    let yaml = match fs::read_to_string(&path) {
        Ok(yaml) => yaml,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(config),
        Err(e) => return Err(failed(&path, e)),
    };
    let read: File = serde_saphyr::from_str(&yaml).map_err(|e| failed(&path, e))?;
    let unit = |unit: Unit| -> Result<FabricOuIdentifier, Error> {
        let certificate = match unit.certificate.filter(|name| !name.is_empty()) {
            None => Vec::new(),
            Some(name) => certificate(&dir.join(name))?,
        };
        Ok(FabricOuIdentifier { certificate, organizational_unit_identifier: unit.identifier })
    };
    config.organizational_unit_identifiers =
        read.units.unwrap_or_default().into_iter().map(unit).collect::<Result<_, _>>()?;
    if let Some(node_ous) = read.node_ous {
        config.fabric_node_ous = Some(FabricNodeOUs {
            enable: node_ous.enable,
            client_ou_identifier: node_ous.client.map(unit).transpose()?,
            peer_ou_identifier: node_ous.peer.map(unit).transpose()?,
            admin_ou_identifier: node_ous.admin.map(unit).transpose()?,
            orderer_ou_identifier: node_ous.orderer.map(unit).transpose()?,
        });
    }
    Ok(config)
}

/// `config.yaml`.
#[derive(Deserialize)]
struct File {
    #[serde(rename = "OrganizationalUnitIdentifiers")]
    units: Option<Vec<Unit>>,
    #[serde(rename = "NodeOUs")]
    node_ous: Option<NodeUnits>,
}

#[derive(Deserialize)]
struct NodeUnits {
    #[serde(rename = "Enable", default)]
    enable: bool,
    #[serde(rename = "ClientOUIdentifier")]
    client: Option<Unit>,
    #[serde(rename = "PeerOUIdentifier")]
    peer: Option<Unit>,
    #[serde(rename = "AdminOUIdentifier")]
    admin: Option<Unit>,
    #[serde(rename = "OrdererOUIdentifier")]
    orderer: Option<Unit>,
}

#[derive(Deserialize)]
struct Unit {
    #[serde(rename = "Certificate")]
    certificate: Option<String>,
    #[serde(rename = "OrganizationalUnitIdentifier")]
    identifier: String,
}

/// The one certificate of a file: where there are more, Fabric takes the first, too.
fn certificate(path: &Path) -> Result<Vec<u8>, Error> {
    Ok(Certificate::load(path)?.to_pem().into_bytes())
}

/// The revocation list of a file.
fn revocation_list(path: &Path) -> Result<Vec<u8>, Error> {
    let text = fs::read(path).map_err(|e| failed(path, e))?;
    let blocks = Block::all(&text).map_err(|e| failed(path, e))?;
    let Some(list) = blocks.iter().find(|block| block.label == b"X509 CRL") else {
        return Err(failed(path, "no revocation list in PEM (-----BEGIN X509 CRL-----)"));
    };
    Ok(encode("X509 CRL", list.decode().map_err(|e| failed(path, e))?).into_bytes())
}

/// What `read` finds in the files of a folder, in the order of their names, without hidden ones.
fn read_all(dir: &Path, read: impl Fn(&Path) -> Result<Vec<u8>, Error>) -> Result<Vec<Vec<u8>>, Error> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed(dir, e)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| failed(dir, e))?;
        if entry.path().is_file() && !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

fn failed(path: &Path, what: impl ToString) -> Error {
    Error::Io { path: path.into(), what: what.to_string() }
}
