use super::{Done, org::definition};
use clap::Args;
use files::Access;
use gateway_client::{Call, Checkpoint, Error, Gateway, Options, ProfileError, User};
use node::{
    config::Config,
    ledger::{self, ListError},
};
use records::JobView;
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// For the first block: a peer that is up has it at hand.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Args)]
pub struct JoinArgs {
    /// The organisation's common connection profile (JSON or YAML).
    #[arg(long)]
    profile: PathBuf,
    /// The channel.
    #[arg(long, default_value = "confab")]
    channel: String,
    /// The name under which the job contract is committed.
    #[arg(long, default_value = "confab")]
    chaincode: String,
    /// The identity's MSP identifier, where the profile has no identity.
    #[arg(long, requires = "cert")]
    msp_id: Option<String>,
    /// Its certificate, PEM.
    #[arg(long, requires_all = ["key", "msp_id"])]
    cert: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, requires = "cert")]
    key: Option<PathBuf>,
    /// The folder in which the node is to live; made when it does not exist.
    #[arg(long)]
    dir: PathBuf,
    /// HOST:PORT at which the organisation's peer is to dial the job contract: writes its package, DIR/confab.tar.gz.
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port)]
    service: Option<String>,
    /// With --service: the authority of the service's TLS certificate, PEM; not encrypted unless given.
    #[arg(long, requires = "service")]
    service_tls_ca: Option<PathBuf>,
}

fn absolute(path: &Path) -> Done<String> {
    let path = path.canonicalize().map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(path.display().to_string())
}

fn configuration(args: &JoinArgs) -> Done<String> {
    // Strings of JSON are strings of TOML.
    let text = |value: &str| serde_json::Value::from(value).to_string();
    let mut toml = String::new();
    writeln!(toml, "data_dir = \"state\"")?;
    writeln!(toml, "connection_profile = {}", text(&absolute(&args.profile)?))?;
    writeln!(toml, "channel = {}", text(&args.channel))?;
    writeln!(toml, "chaincode = {}", text(&args.chaincode))?;
    if let (Some(msp_id), Some(cert), Some(key)) = (&args.msp_id, &args.cert, &args.key) {
        writeln!(toml, "\n[identity]\nmsp_id = {}", text(msp_id))?;
        writeln!(toml, "certificate = {}", text(&absolute(cert)?))?;
        writeln!(toml, "private_key = {}", text(&absolute(key)?))?;
    }
    writeln!(toml, "\n# The organisation's table; without one the node takes part in jobs about keys only.")?;
    writeln!(toml, "# [data]\n# file = \"visits.csv\"\n# id = \"patient\"\n# label = \"diagnosis\"")?;
    Ok(toml)
}

/// An address that a peer can dial.
fn host_and_port(address: &str) -> Result<String, String> {
    let expected =
        |what: &str| Err(format!("{what}; HOST:PORT is expected, as the organisation's peer reaches it"));
    if let Some((scheme, _)) = address.split_once("://") {
        return expected(&format!("{scheme}:// does not belong there"));
    }
    let Some((host, port)) = address.rsplit_once(':') else { return expected("it has no port") };
    let is_ipv6 = host.starts_with('[') && host.ends_with(']');
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    match port.bytes().all(|digit| digit.is_ascii_digit()).then(|| port.parse::<u16>()) {
        Some(Ok(1..)) => {}
        _ => return expected(&format!("{port:?} is no port from 1 to 65535")),
    }
    match host {
        "" => expected("it has no host"),
        _ if is_ipv6 && host[1..host.len() - 1].parse::<std::net::Ipv6Addr>().is_ok() => Ok(address.into()),
        _ if host.chars().all(is_name) => Ok(address.into()),
        _ => expected(&format!("{host:?} is no host")),
    }
}

/// Connects as `node` will.
fn connect(args: &JoinArgs) -> Done<Gateway> {
    let user = match (&args.msp_id, &args.cert, &args.key) {
        (Some(msp_id), Some(cert), Some(key)) => Some(User::from_files(msp_id, cert, key)?),
        _ => None,
    };
    Gateway::from_profile(&args.profile, user, Options::default()).map_err(|e| match e {
        Error::Profile(ProfileError::NoIdentity { .. }) => {
            format!("{e}\nname one with --msp-id, --cert and --key").into()
        }
        e => e.into(),
    })
}

pub async fn run(args: JoinArgs) -> Done {
    // Before anything is written: what cannot be used leaves nothing behind.
    let gateway = connect(&args)?;
    let path = args.dir.join("node.toml");
    let toml = configuration(&args)?;
    fs::create_dir_all(&args.dir).map_err(|e| format!("cannot make {}: {e}", args.dir.display()))?;
    // Somebody has added a table to it.
    if fs::read_to_string(&path).is_ok_and(|known| known != toml) {
        return Err(format!("{} exists; move it away, or name another --dir", path.display()).into());
    }
    files::write(&path, toml.as_bytes(), Access::Owner)
        .map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    let config = Config::load(&path)?;
    if let Some(address) = &args.service {
        package(&args, address)?;
    }
    let network = gateway.network(&config.channel);
    let unread = |reason: String| format!("channel {} cannot be read: {reason}", config.channel);
    let mut blocks = network.past_blocks(Checkpoint::start());
    match tokio::time::timeout(PATIENCE, blocks.next()).await {
        Ok(Some(first)) => drop(first.map_err(|e| unread(e.to_string()))?),
        Ok(None) => return Err(unread("it has no block".into()).into()),
        Err(_) => {
            let reason = format!(
                "no block within {} s; has the peer joined it, is it up, and is {} a member?",
                PATIENCE.as_secs(),
                gateway.user().identity().msp_id()
            );
            return Err(unread(reason).into());
        }
    }
    say!("{}: {} on channel {}", path.display(), gateway.user().identity().msp_id(), config.channel);
    match ledger::list::<JobView>(&network.contract(&config.chaincode), Call::new("jobs")).await {
        Err(ListError::Answer(e)) => {
            let name = &config.chaincode;
            return Err(format!("chaincode {name} is another one than the job contract: {e}").into());
        }
        Ok(jobs) => {
            say!("the job contract answers; {} jobs so far", jobs.len());
            say!("start the node: confab node --config {}", path.display());
        }
        Err(e) => {
            say!("chaincode {} does not answer: {e}", config.chaincode);
            say!(
                "every organisation installs its own package (--service) and runs its service; see docs/network.md"
            );
        }
    }
    Ok(())
}

/// Writes the package with which the organisation's peer finds the service, and says what to do with it.
fn package(args: &JoinArgs, address: &str) -> Done {
    let definition = launcher::ChaincodeDefinition { name: args.chaincode.clone(), ..definition()? };
    let (bytes, id) = launcher::service_package(&definition, address, args.service_tls_ca.as_deref())?;
    let file = args.dir.join(format!("{}.tar.gz", args.chaincode));
    files::write(&file, &bytes, Access::Everybody)
        .map_err(|e| format!("cannot write {}: {e}", file.display()))?;
    let orderer = "-o ORDERER:PORT --tls --cafile ORDERER-CA.pem";
    let (name, version, sequence) = (&definition.name, &definition.version, definition.sequence);
    let common = format!("{orderer} -C {} -n {name} -v {version} --sequence {sequence}", args.channel);
    let port = address.rsplit_once(':').map_or(address, |(_, port)| port);
    let tls = if args.service_tls_ca.is_some() { " --tls-cert CERT.pem --tls-key KEY.pem" } else { "" };
    say!("package      {}", file.display());
    say!("package id   {id}");
    say!("serve        confab chaincode --address :{port} --id {id}{tls}");
    say!("install      peer lifecycle chaincode install {}", file.display());
    say!("approve      peer lifecycle chaincode approveformyorg {common} --package-id {id}");
    say!(
        "commit       peer lifecycle chaincode commit {common} --peerAddresses PEER:PORT --tlsRootCertFiles PEER-CA.pem …"
    );
    say!("             (one organisation for all, when all have approved, with a peer of each organisation)");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::host_and_port;

    #[test]
    fn a_service_has_host_and_port() {
        for address in
            ["127.0.0.1:9999", "chaincode.org1.example.com:1", "host_1:65535", "[::1]:9991", "localhost:9999"]
        {
            assert_eq!(host_and_port(address).unwrap(), address);
        }
        for (address, expected) in [
            (":9999", "no host"),
            ("localhost", "no port"),
            ("localhost:", "no port"),
            ("localhost:0", "no port from 1"),
            ("localhost:65536", "no port from 1"),
            ("localhost:+99", "no port from 1"),
            ("localhost:99x", "no port from 1"),
            ("grpcs://localhost:9999", "grpcs://"),
            ("http://localhost:9999", "http://"),
            ("local host:9999", "no host"),
            ("::1:9999", "no host"),
            ("[::x]:9999", "no host"),
            ("user@host:9999", "no host"),
            ("", "no port"),
        ] {
            let said = host_and_port(address).unwrap_err();
            assert!(said.contains(expected) && said.contains("HOST:PORT"), "{address:?}: {said}");
        }
    }
}
