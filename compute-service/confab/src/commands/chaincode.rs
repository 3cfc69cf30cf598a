use super::Done;
use crate::shutdown;
use clap::Args;
use contract::JobContract;
use shim::{Server, Tls};
use std::path::PathBuf;
use tokio::net::TcpListener;

/// Serves the contracts as chaincode.
///
/// The peer dials this service (Chaincode-as-a-Service). It stops at Ctrl-C or SIGTERM, when the calls that run have
/// been answered.
#[derive(Args)]
pub struct ChaincodeArgs {
    /// Where to listen, HOST:PORT.
    #[arg(long, env = "CHAINCODE_SERVER_ADDRESS")]
    address: String,
    /// The package id that the peer gave on installation, LABEL:HASH.
    #[arg(long, env = "CHAINCODE_ID")]
    id: String,
    /// The service's TLS certificate, PEM; without it the connection is not encrypted.
    #[arg(long, env = "CHAINCODE_TLS_CERT", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The key of the TLS certificate, PEM.
    #[arg(long, env = "CHAINCODE_TLS_KEY", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The authority whose certificates peers must show, PEM.
    #[arg(long, env = "CHAINCODE_CLIENT_CA_CERT", requires = "tls_cert")]
    client_ca_cert: Option<PathBuf>,
}

pub async fn run(args: ChaincodeArgs) -> Done {
    let read =
        |path: &PathBuf| std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()));
    let mut server = Server::builder(JobContract).package_id(args.id);
    if let (Some(cert), Some(key)) = (&args.tls_cert, &args.tls_key) {
        let mut tls = Tls::new(msp::load_bundle(cert)?, read(key)?);
        if let Some(ca) = &args.client_ca_cert {
            tls = tls.client_ca(msp::load_bundle(ca)?);
        }
        server = server.tls(tls);
    }
    let listener = TcpListener::bind(&args.address)
        .await
        .map_err(|e| format!("cannot listen on {}: {e}; is another service running there?", args.address))?;
    Ok(server.serve(listener, shutdown::requested()).await?)
}
