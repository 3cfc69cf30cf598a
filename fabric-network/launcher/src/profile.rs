//! Connection profiles: the JSON files from which Fabric's clients learn how to reach a network.

use crate::{Error, Network, Organization, PeerEndpoint, network};
use serde_json::{Map, Value, json};

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
    for org in &network.orgs {
        let mut text =
            serde_json::to_vec_pretty(&profile(network, org, &peers)).expect("JSON has a text form");
        text.push(b'\n');
        network::write(&network.path(&org.profile), &text)?;
    }
    Ok(())
}

fn profile(network: &Network, client: &Organization, peers: &Map<String, Value>) -> Value {
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
        },
        "channels": { network.channel.as_str(): { "peers": members } },
        "organizations": network.peers().into_iter().map(organization).collect::<Map<_, _>>(),
        "peers": peers,
    })
}
