//! Writes the configuration of Fabric's programs: only the keys that they need or whose default does not
//! suit a network on one machine.

use crate::{Error, Generation, Network, Orderer, Organization, network};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fmt::Write, net::IpAddr, path::Path};

/// The private data collections of the chaincode.
pub const COLLECTIONS: &str = "config/collections.json";

/// How frequent pings may be. Gateways send one every 10 s; by default peers and orderers hang up on them for that,
/// with whatever is under way on the connection.
const PING_INTERVAL: &str = "5s";

/// Writes the configuration of orderers and peers under `config`.
pub fn write_all(network: &Network, generation: Generation) -> Result<(), Error> {
    let data = network.path("data");
    files::make_private(&data).map_err(Error::io(&data))?;
    let file = |name: String, content: Value| write(&network.path("config").join(name), &content);
    for orderer in &network.orderers {
        file(format!("{}/orderer.yaml", orderer.name), orderer_yaml(network, orderer))?;
    }
    let collections = serde_json::to_vec_pretty(&network.chaincode.collections);
    let collections = collections.expect("strings and numbers have a JSON form");
    network::write(&network.path(COLLECTIONS), &collections)?;
    for org in &network.orgs {
        file(format!("{}/core.yaml", org.id()), core_yaml(network, org, generation))?;
    }
    crate::package::write_builder(&network.path("config/builder"))
}

/// Writes one configuration file.
pub fn write(path: &Path, content: &Value) -> Result<(), Error> {
    let mut text = String::from("# Written by confab at every start; changes are lost.\n");
    yaml(content, 0, &mut text);
    network::write(path, text.as_bytes())
}

fn orderer_yaml(network: &Network, orderer: &Orderer) -> Value {
    let listens = listen_address(&orderer.address);
    let (host, port) = host_and_port(&listens);
    let data = network.path("data").join(&orderer.name);
    let (cert, key) = (network.path(&orderer.tls.cert), network.path(&orderer.tls.key));
    json!({
        "General": {
            "BootstrapMethod": "none",
            "ListenAddress": host,
            "ListenPort": port,
            "TLS": {
                "Enabled": true,
                "Certificate": cert,
                "PrivateKey": key,
                "RootCAs": [network.path(&orderer.tls.ca)],
            },
            "Cluster": { "ClientCertificate": cert, "ClientPrivateKey": key },
            "LocalMSPDir": network.path(&orderer.identity.msp),
            "LocalMSPID": orderer.msp_id,
            "Keepalive": { "ServerMinInterval": PING_INTERVAL },
        },
        "FileLedger": { "Location": data },
        "Consensus": { "WALDir": data.join("etcdraft/wal"), "SnapDir": data.join("etcdraft/snapshot") },
        "ChannelParticipation": { "Enabled": true, "MaxRequestBodySize": "10 MB" },
        "Admin": {
            "ListenAddress": orderer.admin_address,
            "TLS": {
                "Enabled": true,
                "Certificate": cert,
                "PrivateKey": key,
                "ClientAuthRequired": true,
                "ClientRootCAs": [network.path(&orderer.tls.ca)],
            },
        },
        "Operations": { "ListenAddress": orderer.operations },
        "Metrics": { "Provider": "disabled" },
    })
}

fn core_yaml(network: &Network, org: &Organization, generation: Generation) -> Value {
    let mut filters = vec!["DefaultAuth", "ExpirationCheck"];
    if generation == Generation::V3 {
        // A 2.5 peer does not know it: there a proposal's timestamp may be anything.
        filters.push("TimeWindowCheck");
    }
    let filters: Vec<_> = filters.into_iter().map(|name| json!({ "name": name })).collect();
    let peer = &org.peer;
    let data = network.path("data").join(org.id());
    json!({
        "peer": {
            "id": peer.host,
            "networkId": "confab",
            "listenAddress": listen_address(&peer.address),
            "address": peer.address,
            // Chaincode is dialled, it never dials; the default port would be the same for all peers.
            "chaincodeListenAddress": "127.0.0.1:0",
            "localMspId": org.msp_id,
            "mspConfigPath": network.path(&peer.identity.msp),
            "fileSystemPath": data,
            "BCCSP": { "Default": "SW", "SW": { "Hash": "SHA2", "Security": 256 } },
            "tls": {
                "enabled": true,
                "cert": { "file": network.path(&peer.tls.cert) },
                "key": { "file": network.path(&peer.tls.key) },
                "rootcert": { "file": network.path(&peer.tls.ca) },
            },
            "keepalive": { "minInterval": PING_INTERVAL },
            // By default an unreachable peer holds an endorsement for 2 minutes. The gateway does not limit its own
            // peer's endorsement; the chaincode's time limit and the client's do.
            "gateway": {
                "enabled": true,
                "endorsementTimeout": format!("{}s", network.endorsement_timeout),
                "broadcastTimeout": "30s",
                "dialTimeout": "3s",
            },
            // Blocks come from the orderer, gossip only tells the organisations of each other's peers; its
            // default intervals of 4 s to 25 s delay the first endorsement by half a minute.
            "gossip": {
                "bootstrap": peer.address,
                "endpoint": peer.address,
                "externalEndpoint": peer.address,
                "useLeaderElection": false,
                "orgLeader": true,
                "membershipTrackerInterval": "1s",
                "pullInterval": "1s",
                "requestStateInfoInterval": "1s",
                "publishStateInfoInterval": "1s",
                "publishCertPeriod": "1s",
                "aliveTimeInterval": "1s",
                "aliveExpirationTimeout": "5s",
                "reconnectInterval": "2s",
                "state": { "enabled": false },
                // Without these a peer waits no time for another one to take its private data; and a peer that
                // lacks some would by default keep its ledger waiting for a minute, of invalid transactions too.
                "pvtData": {
                    "skipPullingInvalidTransactionsDuringCommit": true,
                    "pushAckTimeout": "3s",
                    "pullRetryThreshold": "5s",
                    "transientstoreMaxBlockRetention": 20_000,
                    "btlPullMargin": 10,
                    "reconciliationEnabled": true,
                    "reconcileSleepInterval": "5s",
                },
            },
            // An orderer that was away is found again within a second.
            "deliveryclient": { "blockGossipEnabled": false, "reConnectBackoffThreshold": "1s" },
            "discovery": { "enabled": true },
            "handlers": {
                "authFilters": filters,
                "decorators": [{ "name": "DefaultDecorator" }],
                "endorsers": { "escc": { "name": "DefaultEndorsement" } },
                "validators": { "vscc": { "name": "DefaultValidation" } },
            },
        },
        "chaincode": {
            // The name of a Docker image that is never made; it may not be empty.
            "builder": "none",
            "externalBuilders": [{ "name": "confab", "path": network.path("config/builder") }],
            "installTimeout": "30s",
            "startuptimeout": "10s",
            "executetimeout": format!("{}s", network.execute_timeout()),
            // What a peer of 3.1 offers by default; 2.5 does not know it.
            "runtimeParams": { "useWriteBatch": true, "useGetMultipleKeys": true },
            "system": { "_lifecycle": "enable", "cscc": "enable", "lscc": "enable", "qscc": "enable" },
        },
        "ledger": {
            "state": { "stateDatabase": "goleveldb", "totalQueryLimit": 100_000 },
            "history": { "enableHistoryDatabase": true },
            "snapshots": { "rootDir": data.join("snapshots") },
        },
        "operations": { "listenAddress": peer.operations },
        "metrics": { "provider": "disabled" },
    })
}

/// Where a server listens that is reached at an address: there, or everywhere if that is a name.
fn listen_address(address: &str) -> String {
    let (host, port) = host_and_port(address);
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(_) => address.into(),
        Err(_) => format!("0.0.0.0:{port}"),
    }
}

/// Splits `host:port`; addresses were checked where they came in.
pub fn host_and_port(address: &str) -> (&str, u16) {
    let (host, port) = address.rsplit_once(':').expect("an address has a port");
    (host, port.parse().expect("a port is a number"))
}

/// Writes nested maps as YAML blocks and everything else as JSON, which is YAML too.
fn yaml(value: &Value, depth: usize, out: &mut String) {
    let Value::Object(map) = value else { unreachable!("a configuration is a map") };
    for (key, value) in map {
        let written = match value {
            Value::Object(inner) if !inner.is_empty() => {
                writeln!(out, "{:depth$}{key}:", "").map(|()| yaml(value, depth + 2, out))
            }
            _ => writeln!(out, "{:depth$}{key}: {value}", ""),
        };
        written.expect("a string takes everything");
    }
}

/// Environment of the orderer and the peers.
pub fn environment(folder: &Path) -> BTreeMap<String, String> {
    let mut env = BTreeMap::from([
        ("FABRIC_CFG_PATH".to_owned(), folder.display().to_string()),
        (
            "FABRIC_LOGGING_FORMAT".to_owned(),
            "%{time:2006-01-02T15:04:05.000Z07:00} %{level} %{module}: %{message}".to_owned(),
        ),
    ]);
    if std::env::var_os("FABRIC_LOGGING_SPEC").is_none() {
        env.insert("FABRIC_LOGGING_SPEC".into(), "warning".into());
    }
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_become_blocks_and_strings_are_quoted() {
        let mut text = String::new();
        yaml(&json!({ "a": { "b": "x: \"y\"", "c": [{ "d": 1 }] }, "e": {}, "f": true }), 0, &mut text);
        assert_eq!(text, "a:\n  b: \"x: \\\"y\\\"\"\n  c: [{\"d\":1}]\ne: {}\nf: true\n");
    }
}
