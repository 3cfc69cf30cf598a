use crate::{
    error::{CliError, CliResult},
    shutdown,
};
use clap::Args;
use contract::JobContract;
use gateway_client::{Role, Standing, Validity};
use msp::Certificate;
use shim::{Environment, Server, listen};
use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Serves the contracts as chaincode.
///
/// The peer dials this service (Chaincode-as-a-Service). It stops at Ctrl-C or SIGTERM, when the calls that run have
/// been answered.
///
/// Options that are not given are taken from the environment, in which an empty variable is as good as none. With
/// CHAINCODE_TLS_DISABLED=true the variables about TLS are not looked at; with false there must be a certificate and a
/// key; where it is not set, there is TLS if these two are there.
#[derive(Args)]
pub struct ChaincodeArgs {
    /// Where to listen, HOST:PORT, or :PORT for every interface [env: CHAINCODE_SERVER_ADDRESS].
    #[arg(long)]
    address: Option<String>,
    /// The package id that the peer gave on installation, LABEL:HASH [env: CHAINCODE_ID].
    #[arg(long)]
    id: Option<String>,
    /// The service's TLS certificate, PEM [env: CHAINCODE_TLS_CERT].
    #[arg(long)]
    tls_cert: Option<PathBuf>,
    /// The key of the TLS certificate, PEM [env: CHAINCODE_TLS_KEY].
    #[arg(long)]
    tls_key: Option<PathBuf>,
    /// The authority whose certificates peers must show, PEM [env: CHAINCODE_CLIENT_CA_CERT].
    #[arg(long)]
    client_ca_cert: Option<PathBuf>,
}

impl ChaincodeArgs {
    /// The options over the environment. Who names a file of TLS on the command line wants TLS.
    fn over(self, environment: Environment) -> Environment {
        let wants_tls = self.tls_cert.is_some() || self.tls_key.is_some() || self.client_ca_cert.is_some();
        Environment {
            address: self.address.or(environment.address),
            package_id: self.id.or(environment.package_id),
            tls_disabled: environment.tls_disabled.filter(|_| !wants_tls),
            tls_cert: self.tls_cert.or(environment.tls_cert),
            tls_key: self.tls_key.or(environment.tls_key),
            client_ca: self.client_ca_cert.or(environment.client_ca),
        }
    }
}

/// No peer takes a certificate that has expired; one that soon will is spoken of.
fn check_validity(path: &Path) -> CliResult {
    let now = SystemTime::now();
    let certificate = Validity::new(Role::Service, &Certificate::load(path)?).in_file(path);
    match (certificate.standing(now), certificate.notice(now)) {
        (Standing::Expired | Standing::NotYet, Some(notice)) => Err(notice.into()),
        (_, Some(notice)) => {
            tracing::warn!("{notice}");
            Ok(())
        }
        _ => Ok(()),
    }
}

pub async fn run(args: ChaincodeArgs) -> CliResult {
    let settings = args.over(Environment::read());
    let address =
        settings.address.as_ref().ok_or("say where to listen: --address or CHAINCODE_SERVER_ADDRESS")?;
    let id = settings.package_id.as_ref().ok_or("say the package id: --id or CHAINCODE_ID")?;
    let mut server = Server::builder(JobContract).package_id(id);
    match settings.tls()? {
        Some(tls) => {
            if let Some(path) = &settings.tls_cert {
                check_validity(path)?;
            }
            server = server.tls(tls);
        }
        None => tracing::info!("connections to the chaincode are not encrypted"),
    }
    let listener = listen(address).await.map_err(|e| match e.kind() {
        std::io::ErrorKind::AddrInUse => CliError::environment(format!(
            "cannot listen on {address}: {e}; is another service running there?"
        )),
        _ => format!("cannot listen on {address}: {e}; HOST:PORT or :PORT is expected").into(),
    })?;
    Ok(server.serve(listener, shutdown::requested()).await?)
}
