use crate::{
    error::{CliError, CliResult},
    program::definition,
};
use clap::Args;
use files::Access;
use gateway_client::{Call, ChannelConfig, Definition, Error, Gateway, ProfileError, User};
use msp::Certificate;
use node::{
    config::Config,
    ledger::{self, QueryError},
};
use records::JobView;
use std::{
    fmt::{Display, Write},
    fs,
    path::{Path, PathBuf},
};

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

fn absolute(path: &Path) -> CliResult<String> {
    let path = path.canonicalize().map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(path.display().to_string())
}

fn configuration(args: &JoinArgs) -> CliResult<String> {
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
    writeln!(toml, "\n# What a job has to have at least for this node to take part: docs/organisations.md.")?;
    writeln!(toml, "# [minimum]\n# key_bits = 2048")?;
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
fn connect(args: &JoinArgs) -> CliResult<Gateway> {
    let user = match (&args.msp_id, &args.cert, &args.key) {
        (Some(msp_id), Some(cert), Some(key)) => Some(User::from_files(msp_id, cert, key)?),
        _ => None,
    };
    Gateway::from_profile(&args.profile, user, node::ledger::options()).map_err(|e| match e {
        Error::Profile(ProfileError::NoIdentity { .. }) => {
            format!("{e}\nname one with --msp-id, --cert and --key").into()
        }
        e => e.into(),
    })
}

pub async fn run(args: JoinArgs) -> CliResult {
    // Before anything is written: what cannot be used leaves nothing behind.
    let gateway = connect(&args)?;
    let path = args.dir.join("node.toml");
    let toml = configuration(&args)?;
    let cannot_make = |e| CliError::environment(format!("cannot make {}: {e}", args.dir.display()));
    fs::create_dir_all(&args.dir).map_err(cannot_make)?;
    // Somebody has added a table to it.
    if fs::read_to_string(&path).is_ok_and(|known| known != toml) {
        return Err(format!("{} exists; move it away, or name another --dir", path.display()).into());
    }
    files::write(&path, toml.as_bytes(), Access::Owner)
        .map_err(|e| CliError::environment(format!("cannot write {}: {e}", path.display())))?;
    let config = Config::load(&path)?;
    let network = gateway.network(&config.channel);
    let own = gateway.user().identity().msp_id();
    let known = network.config().await.map_err(|e| {
        CliError::environment(format!(
            "channel {} cannot be read: {e}\nhas the peer joined it, is it up, and is {own} a member?",
            config.channel
        ))
    })?;
    say!("{}: {own} on channel {}", path.display(), config.channel);
    say!("members      {}", known.msp_ids().join(", "));
    let definition = network.definition(&config.chaincode).await;
    match &definition {
        Ok(Some(Definition { version, sequence, approvals })) => {
            let approved: Vec<&str> =
                approvals.iter().filter(|(_, has)| **has).map(|(msp_id, _)| msp_id.as_str()).collect();
            say!(
                "chaincode    {} {version}, sequence {sequence}, approved by {}",
                config.chaincode,
                approved.join(", ")
            );
        }
        Ok(None) => say!("chaincode    {} is not committed on the channel", config.chaincode),
        // It may be hidden from this identity; whether the contract answers shows what matters.
        Err(e) => tracing::debug!("the chaincode's definition is not known: {e}"),
    }
    if let Some(address) = &args.service {
        package(&args, address, &Place { own, config: &known, definition: definition.ok().flatten() })?;
    }
    match ledger::list::<JobView>(&network.contract(&config.chaincode), Call::new("jobs")).await {
        Err(QueryError::Answer(e)) => {
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

/// Where the contract is to be set up.
struct Place<'a> {
    /// The organisation's MSP identifier.
    own: &'a str,
    config: &'a ChannelConfig,
    /// What is committed already.
    definition: Option<Definition>,
}

/// Writes the package with which the organisation's peer finds the service, and says who has to do what with it.
fn package(args: &JoinArgs, address: &str, place: &Place) -> CliResult {
    let mut definition = launcher::ChaincodeDefinition { name: args.chaincode.clone(), ..definition()? };
    if let Some(committed) = &place.definition {
        definition.version.clone_from(&committed.version);
        definition.sequence = committed.sequence.unsigned_abs();
    }
    let (bytes, id) = launcher::service_package(&definition, address, args.service_tls_ca.as_deref())?;
    let file = args.dir.join(format!("{}.tar.gz", args.chaincode));
    write(&file, &bytes)?;
    let common = format!(
        "{} -C {} -n {} -v {} --sequence {}",
        orderer(args, place)?,
        quoted(&args.channel),
        quoted(&definition.name),
        quoted(&definition.version),
        definition.sequence
    );
    let quoted_id = quoted(&id);
    let port = address.rsplit_once(':').map_or(address, |(_, port)| port);
    let tls = if args.service_tls_ca.is_some() { " --tls-cert CERT.pem --tls-key KEY.pem" } else { "" };
    say!("package      {}", file.display());
    say!("package id   {id}");
    say!("serve        confab chaincode --address :{port} --id {quoted_id}{tls}");
    say!("with Fabric's programs, as an administrator of {}:", place.own);
    say!("install      peer lifecycle chaincode install {}", quoted(&file.display()));
    say!("approve      peer lifecycle chaincode approveformyorg {common} --package-id {quoted_id}");
    let others: Vec<&str> =
        place.config.msp_ids().into_iter().filter(|msp_id| *msp_id != place.own).collect();
    if place.definition.is_some() {
        say!("nothing has to be committed: this version and sequence are");
        return Ok(());
    }
    if !others.is_empty() {
        say!("the other members ({}) do the same, each with a package of its own", others.join(", "));
    }
    say!("then, as an administrator of any one member:");
    say!("commit       peer lifecycle chaincode commit {common}{}", peers(args, place)?);
    Ok(())
}

/// The options of Fabric's commands that name an orderer. Its authorities go into a file.
fn orderer(args: &JoinArgs, place: &Place) -> CliResult<String> {
    let known = place.config.orderers.first().filter(|orderer| !orderer.tls_authorities.is_empty());
    Ok(match known {
        Some(orderer) => {
            let file = authorities(args, "orderer", &orderer.tls_authorities)?;
            format!("-o {} --tls --cafile {}", quoted(&orderer.address), quoted(&file.display()))
        }
        None => "-o ORDERER:PORT --tls --cafile ORDERER-CA.pem".into(),
    })
}

/// The options that name a peer of each member. Their authorities go into files.
fn peers(args: &JoinArgs, place: &Place) -> CliResult<String> {
    let mut options = String::new();
    for member in &place.config.members {
        match member.anchors.first().filter(|_| !member.tls_authorities.is_empty()) {
            Some(anchor) => {
                let file = authorities(args, &member.msp_id, &member.tls_authorities)?;
                let (anchor, file) = (quoted(anchor), quoted(&file.display()));
                write!(options, " --peerAddresses {anchor} --tlsRootCertFiles {file}")?;
            }
            None => {
                let address = quoted(&format_args!("PEER-OF-{}:PORT", member.msp_id));
                let file = quoted(&format_args!("TLS-CA-OF-{}.pem", member.msp_id));
                write!(options, " --peerAddresses {address} --tlsRootCertFiles {file}")?;
            }
        }
    }
    Ok(options)
}

/// Writes certificates of somebody's authorities, as the channel's configuration has them.
fn authorities(args: &JoinArgs, whose: &str, certificates: &[Certificate]) -> CliResult<PathBuf> {
    // Names of others become names of files.
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let file = args.dir.join(format!("tls-ca-{}.pem", whose.chars().map(safe).collect::<String>()));
    let pem: String = certificates.iter().map(Certificate::to_pem).collect();
    write(&file, pem.as_bytes())?;
    Ok(file)
}

/// A word of a command as a shell takes it: some are others' texts.
fn quoted(word: &dyn Display) -> String {
    let word = word.to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/+@[]".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word,
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

fn write(file: &Path, bytes: &[u8]) -> CliResult {
    files::write(file, bytes, Access::Everybody)
        .map_err(|e| CliError::environment(format!("cannot write {}: {e}", file.display())))
}

#[cfg(test)]
mod tests {
    use super::{host_and_port, quoted};

    #[test]
    fn others_texts_are_one_word_of_a_command() {
        for (word, expected) in [
            ("peer0.org1.example.com:7051", "peer0.org1.example.com:7051"),
            ("a; rm b", "'a; rm b'"),
            ("$(a)", "'$(a)'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(&word), expected);
        }
    }

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
