//! A chaincode package: an archive with a label, and with the address of the service that runs the chaincode.
//!
//! Packages are foreign: what is read of them is bounded, and nothing of them is executed or unpacked to disk.

use flate2::read::GzDecoder;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::time::Duration;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};
use zeroize::Zeroizing;

/// The largest package.
const MAX_PACKAGE: usize = 8 << 20;
/// How much of a package's content is read, unpacked.
const MAX_UNPACKED: u64 = 32 << 20;
/// The largest description in a package.
const MAX_DESCRIPTION: usize = 256 << 10;
/// How many files a package may have.
const MAX_FILES: usize = 1000;

/// Where a service is, and how to get in.
pub struct Connection {
    /// Host and port.
    pub address: String,
    pub tls: Option<ClientTlsConfig>,
    pub dial_timeout: Option<Duration>,
}

/// A package that can be run.
pub struct Package {
    pub label: String,
    pub connection: Connection,
}

/// `metadata.json`.
#[derive(Deserialize)]
struct Metadata {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    label: String,
}

/// `connection.json`, as Fabric's builder for services reads it.
#[derive(Deserialize)]
struct Description {
    #[serde(default)]
    address: String,
    #[serde(default)]
    dial_timeout: String,
    #[serde(default)]
    tls_required: bool,
    #[serde(default)]
    client_auth_required: bool,
    #[serde(default, deserialize_with = "secret")]
    client_key: Zeroizing<String>,
    #[serde(default)]
    client_cert: String,
    #[serde(default)]
    root_cert: String,
}

fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(deserializer).map(Zeroizing::new)
}

impl Package {
    /// Reads a package.
    ///
    /// # Errors
    /// Why it is none, or cannot be run here.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let parsing = |what: String| format!("could not parse as a chaincode install package: {what}");
        if bytes.len() > MAX_PACKAGE {
            return Err(parsing(format!("{} bytes are more than {MAX_PACKAGE}", bytes.len())));
        }
        let (metadata, code) = outer(bytes).map_err(parsing)?;
        check_label(&metadata.label).map_err(parsing)?;
        let building = |what: String| format!("could not build chaincode: {what}");
        if metadata.kind != "ccaas" {
            return Err(building(format!(
                "a development ledger runs packages of the type \"ccaas\" only, this one's is {:?}: run the chaincode as a service",
                metadata.kind
            )));
        }
        let connection = connection(&code).map_err(|what| building(format!("code.tar.gz: {what}")))?;
        Ok(Self { label: metadata.label, connection })
    }
}

/// The id under which a package is known.
pub fn id(label: &str, bytes: &[u8]) -> String {
    format!("{label}:{}", crate::store::hex(&Sha256::digest(bytes)))
}

/// The description and the code in a package.
fn outer(bytes: &[u8]) -> Result<(Metadata, Vec<u8>), String> {
    let (mut metadata, mut code) = (None, None);
    each_file(bytes, MAX_PACKAGE, |name, content| {
        match name {
            "metadata.json" => {
                let found = serde_json::from_slice::<Metadata>(&content);
                metadata =
                    Some(found.map_err(|e| format!("could not unmarshal metadata.json as json: {e}"))?);
            }
            "code.tar.gz" => code = Some(content),
            // Fabric passes over others, too.
            _ => {}
        }
        Ok(())
    })?;
    let code = code.ok_or("did not find a code package inside the package")?;
    let metadata = metadata.ok_or("did not find any package metadata (missing metadata.json)")?;
    Ok((metadata, code))
}

/// What is said of the service in a package's code.
fn connection(code: &[u8]) -> Result<Connection, String> {
    let mut found = None;
    each_file(code, MAX_DESCRIPTION, |name, content| {
        if name.trim_start_matches("./") == "connection.json" {
            let description = serde_json::from_slice::<Description>(&content);
            found = Some(description.map_err(|e| format!("connection.json: {e}"))?);
        }
        Ok(())
    })?;
    let Description {
        address,
        dial_timeout,
        tls_required,
        client_auth_required,
        client_key,
        client_cert,
        root_cert,
    } = found.ok_or("there is no connection.json")?;
    let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
    if port.is_none_or(|port| port.parse::<u16>().is_err()) {
        return Err(format!("connection.json: the address {address:?} is not HOST:PORT"));
    }
    let mut tls = None;
    if tls_required {
        let root =
            msp::bundle(root_cert.as_bytes()).map_err(|e| format!("connection.json: root_cert: {e}"))?;
        let mut trusting = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(root));
        if client_auth_required {
            let certificate = msp::bundle(client_cert.as_bytes())
                .map_err(|e| format!("connection.json: client_cert: {e}"))?;
            msp::SigningKey::from_pem(&client_key)
                .map_err(|e| format!("connection.json: client_key: {e}"))?;
            trusting = trusting.identity(Identity::from_pem(certificate, client_key.as_bytes()));
        }
        tls = Some(trusting);
    }
    Ok(Connection { address, tls, dial_timeout: duration(&dial_timeout)? })
}

/// A Go duration of one unit, such as `10s`; none where it is empty.
fn duration(text: &str) -> Result<Option<Duration>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let milliseconds = match unit {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        _ => None,
    };
    let found =
        number.parse::<u64>().ok().zip(milliseconds).and_then(|(number, unit)| number.checked_mul(unit));
    match found {
        Some(milliseconds) => Ok(Some(Duration::from_millis(milliseconds))),
        None => Err(format!("connection.json: dial_timeout {text:?} is no number of ms, s or m")),
    }
}

fn check_label(label: &str) -> Result<(), String> {
    let valid = |c: char| c.is_ascii_alphanumeric() || "_.+-".contains(c);
    if label.starts_with(|c: char| c.is_ascii_alphanumeric())
        && label.chars().all(valid)
        && label.len() <= 128
    {
        return Ok(());
    }
    Err(format!(
        "invalid label '{label}'. Label must be non-empty, can only consist of alphanumerics, symbols from '.+-_', and can only begin with alphanumerics"
    ))
}

/// Hands on the regular files of an archive that are not larger than `limit`.
fn each_file(
    bytes: &[u8],
    limit: usize,
    mut each: impl FnMut(&str, Vec<u8>) -> Result<(), String>,
) -> Result<(), String> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Err("error reading as gzip stream: gzip: invalid header".into());
    }
    let mut archive = tar::Archive::new(GzDecoder::new(bytes).take(MAX_UNPACKED));
    let entries = archive.entries().map_err(|e| format!("error inspecting next tar header: {e}"))?;
    for (count, entry) in entries.enumerate() {
        let entry = entry.map_err(|e| format!("error inspecting next tar header: {e}"))?;
        if count >= MAX_FILES {
            return Err(format!("more than {MAX_FILES} files"));
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            continue;
        }
        if !kind.is_file() {
            return Err(format!("tar entry {name} is not a regular file"));
        }
        let mut content = Vec::new();
        let read = entry.take(limit as u64 + 1).read_to_end(&mut content);
        read.map_err(|e| format!("could not read {name} from tar: {e}"))?;
        if content.len() > limit {
            return Err(format!("{name} is larger than {limit} bytes"));
        }
        each(&name, content)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (name, content) in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, *content).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    fn package(metadata: &str, connection: &str) -> Vec<u8> {
        let code = archive(&[("connection.json", connection.as_bytes())]);
        archive(&[("metadata.json", metadata.as_bytes()), ("code.tar.gz", &code)])
    }

    fn error(bytes: &[u8]) -> String {
        Package::parse(bytes).err().unwrap()
    }

    const METADATA: &str = r#"{"type":"ccaas","label":"basic_1.0"}"#;

    #[test]
    fn packages_of_services_are_read() {
        let found =
            Package::parse(&package(METADATA, r#"{"address":"here:9999","dial_timeout":"10s"}"#)).unwrap();
        assert_eq!(found.label, "basic_1.0");
        assert_eq!(found.connection.address, "here:9999");
        assert_eq!(found.connection.dial_timeout, Some(Duration::from_secs(10)));
        assert!(found.connection.tls.is_none());
        let links = r#"{"address":"here:9999","tls_required":false,"root_cert":"none"}"#;
        assert!(Package::parse(&package(METADATA, links)).is_ok());
    }

    #[test]
    fn what_is_wrong_with_others_is_said() {
        for (bytes, what) in [
            (b"no archive".to_vec(), "gzip: invalid header"),
            (archive(&[("metadata.json", METADATA.as_bytes())]), "did not find a code package"),
            (archive(&[("code.tar.gz", b"")]), "missing metadata.json"),
            (archive(&[("code.tar.gz", b""), ("metadata.json", b"{")]), "could not unmarshal metadata.json"),
            (package(r#"{"type":"ccaas","label":"a b"}"#, "{}"), "invalid label 'a b'"),
            (package(r#"{"type":"golang","label":"a"}"#, "{}"), "\"ccaas\" only, this one's is \"golang\""),
            (package(METADATA, "{"), "connection.json"),
            (package(METADATA, r#"{"address":"here"}"#), "\"here\" is not HOST:PORT"),
            (package(METADATA, r#"{"address":"h:1","dial_timeout":"1h"}"#), "\"1h\" is no number"),
            (package(METADATA, r#"{"address":"h:1","tls_required":true,"root_cert":"x"}"#), "root_cert"),
            (package(METADATA, &format!("{{\"address\":\"{}\"}}", "x".repeat(300_000))), "is larger than"),
        ] {
            let error = error(&bytes);
            assert!(error.contains(what), "{error}");
        }
        let zeros = archive(&[("metadata.json", METADATA.as_bytes()), ("code.tar.gz", &vec![0; 40 << 20])]);
        assert!(zeros.len() < 1 << 20);
        assert!(error(&zeros).contains("is larger than"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(damage in proptest::collection::vec((0..10_000_usize, any::<u8>()), 1..20)) {
            let mut bytes = package(METADATA, r#"{"address":"here:9999"}"#);
            for (at, value) in damage {
                let at = at % bytes.len();
                bytes[at] = value;
            }
            let _ = Package::parse(&bytes);
        }
    }
}
