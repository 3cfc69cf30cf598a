//! Connection profiles: the JSON files from which Fabric's clients learn how to reach a network.

use crate::{Error, Kind, Network, Organization, PeerEndpoint, network};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// Writes `connection-org1.json` and so on.
///
/// Each lists the peers of all organisations and names its own organisation as the client's. Certificates
/// of TLS authorities are in the file; the administrator's certificate and key are named by absolute
/// paths, for clients differ in what they hold a relative one to be relative to.
pub fn write_all(network: &Network) -> Result<(), Error> {
    let mut peers = Map::new();
    for peer in network.peers() {
        let pem = msp::load_bundle(&network.path(&peer.tls_ca))?;
        let host = &peer.host;
        peers.insert(
            host.clone(),
            json!({
                "url": format!("grpcs://{}", peer.address),
                "tlsCACerts": { "pem": pem },
                "grpcOptions": { "ssl-target-name-override": host, "hostnameOverride": host },
            }),
        );
    }
    let orderers = orderers(network)?;
    for org in &network.orgs {
        let profile = profile(network, org, &peers, &orderers);
        let mut text = serde_json::to_vec_pretty(&profile).expect("JSON has a text form");
        text.push(b'\n');
        network::write(&network.path(&org.profile), &text)?;
    }
    Ok(())
}

/// The orderers by name: those of real Fabric, or every peer of a development ledger, which takes transactions too.
fn orderers(network: &Network) -> Result<Map<String, Value>, Error> {
    let own =
        network.orderers.iter().map(|one| (one.host.clone(), Some(&one.host), &one.address, &one.tls.ca));
    let remote = network.remote.orderers.iter();
    let remote = remote.map(|one| (one.address.clone(), None, &one.address, &one.tls_ca));
    let peers = network.orgs.iter().filter(|_| network.kind == Kind::Dev);
    let peers = peers.map(|org| {
        (format!("orderer.{}", org.domain), Some(&org.peer.host), &org.peer.address, &org.peer.tls.ca)
    });
    let entry = |(name, host, address, ca): (String, Option<&String>, &String, &PathBuf)| {
        let pem = msp::load_bundle(&network.path(ca))?;
        let mut entry = json!({ "url": format!("grpcs://{address}"), "tlsCACerts": { "pem": pem } });
        // Whose certificate is for the address that others use needs no other name.
        if let Some(host) = host {
            entry["grpcOptions"] = json!({ "ssl-target-name-override": host, "hostnameOverride": host });
        }
        Ok((name, entry))
    };
    own.chain(remote).chain(peers).map(entry).collect()
}

fn profile(
    network: &Network,
    client: &Organization,
    peers: &Map<String, Value>,
    orderers: &Map<String, Value>,
) -> Value {
    let organization = |peer: PeerEndpoint| {
        let mut entry = json!({ "mspid": peer.msp_id, "peers": [peer.host] });
        // One's own administrator only: no organisation has another's key.
        if peer.org == client.name {
            entry["adminPrivateKey"] = json!({ "path": network.path(&client.admin.key) });
            entry["signedCert"] = json!({ "path": network.path(&client.admin.cert) });
        }
        (peer.org, entry)
    };
    let roles = json!({
        "endorsingPeer": true,
        "chaincodeQuery": true,
        "ledgerQuery": true,
        "eventSource": true,
    });
    let members: Map<_, _> = peers.keys().map(|host| (host.clone(), roles.clone())).collect();
    json!({
        "name": format!("confab-{}", client.id()),
        "version": "1.0.0",
        "client": {
            "organization": client.name,
            "connection": { "timeout": { "peer": { "endorser": "300" } } },
            // For clients of ours: they wait longer than the gateway does for other peers.
            "x-endorsementTimeout": network.endorsement_timeout,
        },
        "channels": {
            network.channel.as_str(): { "orderers": orderers.keys().collect::<Vec<_>>(), "peers": members },
        },
        "organizations": network.peers().into_iter().map(organization).collect::<Map<_, _>>(),
        "orderers": orderers,
        "peers": peers,
    })
}
