//! Chaincode packages, and the external builder that has a peer use them.

use crate::{ChaincodeDefinition, Error, link::LinkKey};
use flate2::{Compression, GzBuilder};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::{fs, io, os::unix::fs::PermissionsExt, path::Path};

/// Makes the package of a chaincode service that others are to install, and says under which id a peer will know it:
/// where to dial the service, and the file with the authority by which to know it; without one the connection is not
/// encrypted. Of the file only the certificates go into the package.
///
/// # Errors
/// [`Error::Certificate`] where the file holds no certificate.
pub fn service_package(
    definition: &ChaincodeDefinition,
    address: &str,
    tls_ca: Option<&Path>,
) -> Result<(Vec<u8>, String), Error> {
    let tls_ca = tls_ca.map(msp::load_bundle).transpose()?;
    let bytes = package(definition, address, tls_ca.as_deref(), None).map_err(Error::io("the package"))?;
    let id = package_id(definition, &bytes);
    Ok((bytes, id))
}

/// Makes the package of a chaincode service: where to dial it, by which authority to know it, and by which
/// key to be known; without an authority the connection is not encrypted.
///
/// The same input gives the same bytes, and with them the same package id.
pub fn package(
    definition: &ChaincodeDefinition,
    address: &str,
    tls_ca: Option<&str>,
    link: Option<&LinkKey>,
) -> io::Result<Vec<u8>> {
    let mut connection =
        json!({ "address": address, "dial_timeout": "3s", "tls_required": tls_ca.is_some() });
    if let Some(ca) = tls_ca {
        connection["root_cert"] = ca.into();
    }
    if let Some(link) = link {
        connection["client_auth_required"] = true.into();
        connection["client_cert"] = link.cert.as_str().into();
        connection["client_key"] = link.key.as_str().into();
    }
    let metadata = json!({ "type": "ccaas", "label": definition.label() });
    let code = archive(&[("connection.json", connection.to_string().as_bytes())])?;
    archive(&[("metadata.json", metadata.to_string().as_bytes()), ("code.tar.gz", &code)])
}

/// The id under which a peer knows an installed package.
pub fn package_id(definition: &ChaincodeDefinition, package: &[u8]) -> String {
    format!("{}:{}", definition.label(), hex::encode(Sha256::digest(package)))
}

fn archive(files: &[(&str, &[u8])]) -> io::Result<Vec<u8>> {
    let gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
    let mut tar = tar::Builder::new(gzip);
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        tar.append_data(&mut header, name, *content)?;
    }
    tar.into_inner()?.finish()
}

/// What the peer asks first, with the folders of the source and of the metadata: is this package yours?
const DETECT: &str = r#"#!/bin/sh
# Takes packages of the type "ccaas": a chaincode that already runs as a service.
set -eu
grep -q '"type" *: *"ccaas"' "$2/metadata.json"
"#;

/// Then, with source, metadata and output: build it. There is nothing to build.
const BUILD: &str = r#"#!/bin/sh
# Keeps the service's address, and the peer's key for it to itself.
set -eu
umask 077
cp "$1/connection.json" "$3/connection.json"
"#;

/// Last, with the build's output and the folder of the release: what is the peer to know?
const RELEASE: &str = r#"#!/bin/sh
# Tells the peer where to dial the service.
set -eu
umask 077
mkdir -p "$2/chaincode/server"
cp "$1/connection.json" "$2/chaincode/server/connection.json"
"#;

/// Writes the external builder to `dir/bin`.
pub fn write_builder(dir: &Path) -> Result<(), Error> {
    for (name, script) in [("detect", DETECT), ("build", BUILD), ("release", RELEASE)] {
        let path = dir.join("bin").join(name);
        crate::network::write(&path, script.as_bytes())?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(Error::io(&path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeMap, io::Read, process::Command};

    #[test]
    fn of_the_authoritys_file_only_certificates_are_packed() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("ca.pem"), LinkKey::generate("peer0").unwrap());
        fs::write(&file, format!("{}{}", link.key, link.ca)).unwrap();
        let (bytes, id) = service_package(&definition(), "127.0.0.1:9999", Some(&file)).unwrap();
        assert_eq!(id, package_id(&definition(), &bytes));
        let connection: serde_json::Value =
            serde_json::from_slice(&unpack(&unpack(&bytes)["code.tar.gz"])["connection.json"]).unwrap();
        assert_eq!(connection["root_cert"], link.ca.as_str());
        fs::write(&file, &link.key).unwrap();
        let error = service_package(&definition(), "127.0.0.1:9999", Some(&file)).unwrap_err().to_string();
        assert!(error.contains("ca.pem") && error.contains("private key"), "{error}");
    }

    fn definition() -> ChaincodeDefinition {
        ChaincodeDefinition::new("confab", "1.0")
    }

    fn unpack(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes));
        let entry = |entry: io::Result<tar::Entry<_>>| {
            let mut entry: tar::Entry<flate2::read::GzDecoder<&[u8]>> = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (entry.path().unwrap().to_str().unwrap().to_owned(), content)
        };
        archive.entries().unwrap().map(entry).collect()
    }

    #[test]
    fn the_package_holds_the_services_address_and_is_reproducible() {
        let link = LinkKey::generate("peer0").unwrap();
        let bytes = package(&definition(), "127.0.0.1:9999", Some("PEM"), Some(&link)).unwrap();
        assert_eq!(bytes, package(&definition(), "127.0.0.1:9999", Some("PEM"), Some(&link)).unwrap());
        let outer = unpack(&bytes);
        assert_eq!(outer["metadata.json"], br#"{"label":"confab_1.0","type":"ccaas"}"#);
        let connection: serde_json::Value =
            serde_json::from_slice(&unpack(&outer["code.tar.gz"])["connection.json"]).unwrap();
        assert_eq!(connection["address"], "127.0.0.1:9999");
        assert_eq!((&connection["root_cert"], &connection["tls_required"]), (&"PEM".into(), &true.into()));
        assert_eq!(connection["client_auth_required"], true);
        assert_eq!(connection["client_cert"], link.cert.as_str());
        let id = package_id(&definition(), &bytes);
        assert!(id.starts_with("confab_1.0:") && id.len() == "confab_1.0:".len() + 64, "{id}");
    }

    #[test]
    fn the_builder_takes_services_only_and_releases_their_address() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for folder in ["source", "metadata", "output", "release"] {
            fs::create_dir(at(folder)).unwrap();
        }
        write_builder(dir.path()).unwrap();
        let run = |script: &str, args: &[&str]| {
            Command::new(at("bin").join(script))
                .args(args.iter().map(|arg| at(arg)))
                .status()
                .unwrap()
                .success()
        };
        fs::write(at("source/connection.json"), "here").unwrap();
        fs::write(at("metadata/metadata.json"), r#"{"label":"x","type":"golang"}"#).unwrap();
        assert!(!run("detect", &["source", "metadata"]));
        fs::write(at("metadata/metadata.json"), r#"{"label":"x","type":"ccaas"}"#).unwrap();
        assert!(run("detect", &["source", "metadata"]));
        assert!(run("build", &["source", "metadata", "output"]));
        assert!(run("release", &["output", "release"]));
        assert_eq!(fs::read_to_string(at("release/chaincode/server/connection.json")).unwrap(), "here");
    }
}
