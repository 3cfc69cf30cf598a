//! A server's settings where Fabric's samples have them: in the environment.

use crate::Tls;
use std::path::PathBuf;
use std::{fmt, fs, io};
use tokio::net::TcpListener;

/// What the environment says. As in the samples' files, a variable that is empty says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// `CHAINCODE_SERVER_ADDRESS`: where to listen, `HOST:PORT`, or `:PORT` for every interface.
    pub address: Option<String>,
    /// `CHAINCODE_ID`: the id that the peer gave the package on installation.
    pub package_id: Option<String>,
    /// `CHAINCODE_TLS_DISABLED`: if true, the other variables about TLS are not looked at; if false, there must be a
    /// certificate and a key. Unset, there is TLS where these two are.
    pub tls_disabled: Option<String>,
    /// `CHAINCODE_TLS_CERT`: the file of the server's certificate.
    pub tls_cert: Option<PathBuf>,
    /// `CHAINCODE_TLS_KEY`: the file of its key.
    pub tls_key: Option<PathBuf>,
    /// `CHAINCODE_CLIENT_CA_CERT`: the file of the authority whose certificates peers must show.
    pub client_ca: Option<PathBuf>,
}

impl Environment {
    /// Reads the variables of this process.
    pub fn read() -> Self {
        Self::from(|name| std::env::var(name).ok())
    }

    fn from(variable: impl Fn(&str) -> Option<String>) -> Self {
        let given = |name: &str| {
            let value = variable(name)?;
            Some(value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        Self {
            address: given("CHAINCODE_SERVER_ADDRESS"),
            package_id: given("CHAINCODE_ID"),
            tls_disabled: given("CHAINCODE_TLS_DISABLED"),
            tls_cert: given("CHAINCODE_TLS_CERT").map(PathBuf::from),
            tls_key: given("CHAINCODE_TLS_KEY").map(PathBuf::from),
            client_ca: given("CHAINCODE_CLIENT_CA_CERT").map(PathBuf::from),
        }
    }

    /// How connections are protected; `None` where they are not.
    ///
    /// # Errors
    /// [`EnvironmentError`] where that is not clear, or a file cannot be read. In doubt the port stays closed.
    pub fn tls(&self) -> Result<Option<Tls>, EnvironmentError> {
        let disabled = match self.tls_disabled.as_deref() {
            None => None,
            // What Go's strconv.ParseBool takes, with which the samples read it.
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Some(true),
            Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Some(false),
            Some(other) => return Err(EnvironmentError::NotABool(other.into())),
        };
        let read = |path: &PathBuf| {
            fs::read(path).map_err(|source| EnvironmentError::Key { path: path.clone(), source })
        };
        match (disabled, &self.tls_cert, &self.tls_key) {
            (Some(true), ..) => Ok(None),
            (_, Some(cert), Some(key)) => {
                let pem = read(key)?;
                msp::PrivateKey::from_pem(&pem)
                    .map_err(|source| EnvironmentError::NoKey { path: key.clone(), source })?;
                let mut tls = Tls::new(msp::load_bundle(cert)?, pem);
                if let Some(ca) = &self.client_ca {
                    tls = tls.client_ca(msp::load_bundle(ca)?);
                }
                Ok(Some(tls))
            }
            (Some(false), None, None) => Err(EnvironmentError::Missing("neither certificate nor key")),
            (_, None, Some(_)) => Err(EnvironmentError::Missing("no certificate")),
            (_, Some(_), None) => Err(EnvironmentError::Missing("no key")),
            (None, None, None) if self.client_ca.is_some() => {
                Err(EnvironmentError::Missing("an authority for clients, but neither certificate nor key"))
            }
            (None, None, None) => Ok(None),
        }
    }
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// `CHAINCODE_TLS_DISABLED` is something else than a truth value.
    #[error("CHAINCODE_TLS_DISABLED is {0:?}: say true or false")]
    NotABool(String),
    /// There is to be TLS, but not what it needs.
    #[error(
        "TLS for the chaincode's port: there is {0}; name both files (CHAINCODE_TLS_CERT, CHAINCODE_TLS_KEY), or set \
         CHAINCODE_TLS_DISABLED=true for connections that are not encrypted"
    )]
    Missing(&'static str),
    /// A file holds no certificates; the error names it.
    #[error(transparent)]
    Certificate(#[from] msp::Error),
    /// The key's file holds no key that can be used.
    #[error("{}: {source}", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: msp::KeyError,
    },
    /// The key's file cannot be read.
    #[error("cannot read the TLS key, {}: {source}", path.display())]
    Key {
        /// Where it should be.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Listens where peers are to dial: at `HOST:PORT`, or on every interface at `:PORT`, as Go has it.
///
/// # Errors
/// What the system says: an address that is none, is taken or is another machine's.
pub async fn listen(address: &(impl AsRef<str> + fmt::Debug + ?Sized)) -> io::Result<TcpListener> {
    let address = address.as_ref();
    match address.strip_prefix(':') {
        None => TcpListener::bind(address).await,
        Some(port) => match TcpListener::bind(format!("[::]:{port}")).await {
            Err(e) if e.kind() != io::ErrorKind::AddrInUse && e.kind() != io::ErrorKind::InvalidInput => {
                TcpListener::bind(format!("0.0.0.0:{port}")).await
            }
            bound => bound,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const ID: &str = "confab_1.0:0000000000000000000000000000000000000000000000000000000000000000";

    /// As a shell sources the samples' files of variables.
    fn environment(lines: &[&str]) -> Environment {
        Environment::from(|name| {
            let value = |line: &&str| line.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
            lines.iter().rev().find_map(value)
        })
    }

    /// A certificate and its key in files.
    fn files(dir: &Path) -> [String; 2] {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
        fs::write(&cert, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        [cert, key].map(|path| path.display().to_string())
    }

    #[test]
    fn tls_is_what_the_samples_variables_say() {
        let dir = tempfile::tempdir().unwrap();
        let [cert, key] = files(dir.path());
        let (cert, key) = (format!("CHAINCODE_TLS_CERT={cert}"), format!("CHAINCODE_TLS_KEY={key}"));
        let ca = cert.replace("TLS_CERT", "CLIENT_CA_CERT");
        let (no_cert, no_key) =
            ("CHAINCODE_TLS_CERT=/crypto/cert1.pem", "CHAINCODE_TLS_KEY=/crypto/key1.pem");
        let off = ["true", "TRUE", "True", "1", "t", " true\r"];
        for value in off {
            let disabled = format!("CHAINCODE_TLS_DISABLED={value}");
            for others in [
                vec![],
                vec!["CHAINCODE_TLS_KEY=", "CHAINCODE_TLS_CERT=", "CHAINCODE_CLIENT_CA_CERT="],
                vec![no_cert, no_key, "CHAINCODE_CLIENT_CA_CERT=/crypto/rootcert1.pem"],
                vec![&cert, &key, &ca],
                vec![no_cert],
            ] {
                let lines: Vec<&str> = others.into_iter().chain([disabled.as_str()]).collect();
                assert!(environment(&lines).tls().unwrap().is_none(), "{lines:?}");
            }
        }
        let on =
            ["CHAINCODE_TLS_DISABLED=false", "CHAINCODE_TLS_DISABLED=0", "CHAINCODE_TLS_DISABLED=", "X=1"];
        for said in on {
            let tls = environment(&[said, &cert, &key]).tls().unwrap().unwrap();
            assert_eq!(format!("{tls:?}"), "Tls { mutual: false, .. }", "{said}");
            let tls = environment(&[said, &cert, &key, "CHAINCODE_CLIENT_CA_CERT="]).tls().unwrap().unwrap();
            assert_eq!(format!("{tls:?}"), "Tls { mutual: false, .. }", "{said}");
            let tls = environment(&[said, &cert, &key, &ca]).tls().unwrap().unwrap();
            assert_eq!(format!("{tls:?}"), "Tls { mutual: true, .. }", "{said}");
        }
        for unset in [&[][..], &["CHAINCODE_TLS_DISABLED="], &["CHAINCODE_TLS_KEY=", "CHAINCODE_TLS_CERT="]] {
            assert!(environment(unset).tls().unwrap().is_none(), "{unset:?}");
        }
    }

    #[test]
    fn in_doubt_the_port_stays_closed() {
        let dir = tempfile::tempdir().unwrap();
        let [cert, key] = files(dir.path());
        let (cert, key) = (format!("CHAINCODE_TLS_CERT={cert}"), format!("CHAINCODE_TLS_KEY={key}"));
        let off = "CHAINCODE_TLS_DISABLED=false";
        for (lines, expected) in [
            (vec![off], "neither certificate nor key"),
            (vec![off, "CHAINCODE_TLS_CERT=", "CHAINCODE_TLS_KEY="], "neither certificate nor key"),
            (vec![off, &cert], "no key"),
            (vec![off, &key], "no certificate"),
            (vec![&cert], "no key"),
            (vec!["CHAINCODE_CLIENT_CA_CERT=/ca.pem"], "authority for clients"),
            (vec!["CHAINCODE_TLS_DISABLED=yes"], "\"yes\""),
            (vec!["CHAINCODE_TLS_DISABLED=tRUE", &cert, &key], "true or false"),
            (vec![off, &cert, "CHAINCODE_TLS_KEY=/crypto/key1.pem"], "TLS key, /crypto/key1.pem"),
            (vec![&cert, &key, "CHAINCODE_CLIENT_CA_CERT=/crypto/ca.pem"], "/crypto/ca.pem"),
        ] {
            let said = environment(&lines).tls().unwrap_err().to_string();
            assert!(said.contains(expected), "{lines:?}: {expected:?} in {said:?}");
        }
    }

    #[test]
    fn address_and_id_are_read() {
        let id = format!("CHAINCODE_ID={ID}");
        let read = environment(&["CHAINCODE_SERVER_ADDRESS=:29991", &id]);
        assert_eq!((read.address.as_deref(), read.package_id.as_deref()), (Some(":29991"), Some(ID)));
        assert_eq!(environment(&["CHAINCODE_SERVER_ADDRESS=", "CHAINCODE_ID= "]), Environment::default());
    }

    #[tokio::test]
    async fn a_port_alone_is_on_every_interface() {
        let listener = listen(":0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert!(address.ip().is_unspecified(), "{address}");
        let port = address.port();
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let taken = listen(&format!(":{port}")).await.unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        assert!(listen("127.0.0.1:0").await.unwrap().local_addr().unwrap().ip().is_loopback());
        for wrong in ["", ":", "29991", ":port", ":99999"] {
            assert!(listen(wrong).await.is_err(), "{wrong:?}");
        }
    }
}
