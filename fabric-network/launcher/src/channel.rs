//! Makes a channel: its first block.

use crate::{
    Binaries, Error, Network,
    config::{self, host_and_port},
    lifecycle::{self, run},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The profile of `configtx.yaml` from which the channel is made.
const PROFILE: &str = "Confab";

/// Who is in a channel. All paths are absolute.
pub struct Plan {
    /// The organisations with peers.
    pub members: Vec<Member>,
    /// The orderers.
    pub consenters: Vec<Consenter>,
}

/// An organisation with its peer.
pub struct Member {
    /// MSP ID.
    pub msp_id: String,
    /// Folder of its public MSP.
    pub msp: PathBuf,
    /// Where its peer is reached, `host:port`.
    pub anchor: String,
}

/// An orderer.
pub struct Consenter {
    /// MSP ID of its organisation.
    pub msp_id: String,
    /// Folder of that organisation's public MSP.
    pub msp: PathBuf,
    /// Where it is reached, `host:port`.
    pub address: String,
    /// Its TLS certificate.
    pub tls_cert: PathBuf,
}

impl Plan {
    /// Of a network on this machine.
    pub fn of(network: &Network) -> Self {
        let members = network.orgs.iter().map(|org| Member {
            msp_id: org.msp_id.clone(),
            msp: network.path(&org.msp),
            anchor: org.peer.address.clone(),
        });
        let consenters = network.orderers.iter().map(|orderer| Consenter {
            msp_id: orderer.msp_id.clone(),
            msp: network.path(&orderer.msp),
            address: orderer.address.clone(),
            tls_cert: network.path(&orderer.tls.cert),
        });
        Self { members: members.collect(), consenters: consenters.collect() }
    }
}

/// Makes the first block of a channel, once. `folder` is for `configtx.yaml`.
pub async fn first_block(
    binaries: &Binaries,
    folder: &Path,
    (channel, capability): (&str, &str),
    plan: &Plan,
    block: &Path,
) -> Result<(), Error> {
    if block.exists() {
        return Ok(());
    }
    config::write(&folder.join("configtx.yaml"), &configtx(plan, capability))?;
    let staging = block.with_extension("new");
    let mut command = lifecycle::command(&binaries.configtxgen, folder, folder);
    command.args(["-profile", PROFILE, "-channelID", channel]);
    command.args(["-outputBlock".as_ref(), staging.as_os_str(), "-configPath".as_ref(), folder.as_os_str()]);
    run("making the channel's first block", command, |output| output.success).await?;
    fs::rename(&staging, block).map_err(Error::io(block))
}

/// The channel, with the organisations' roots and anchor peers in its first block.
fn configtx(plan: &Plan, capability: &str) -> Value {
    let signature = |rule: String| json!({ "Type": "Signature", "Rule": rule });
    let implicit = |rule: &str| json!({ "Type": "ImplicitMeta", "Rule": rule });
    let policies = |msp_id: &str| {
        json!({
            "Readers": signature(format!("OR('{msp_id}.member')")),
            "Writers": signature(format!("OR('{msp_id}.member')")),
            "Admins": signature(format!("OR('{msp_id}.admin')")),
            "Endorsement": signature(format!("OR('{msp_id}.peer')")),
        })
    };
    let group = || {
        json!({
            "Readers": implicit("ANY Readers"),
            "Writers": implicit("ANY Writers"),
            "Admins": implicit("MAJORITY Admins"),
        })
    };
    let with = |mut policies: Value, more: &[(&str, &str)]| {
        for (name, rule) in more {
            policies[name] = implicit(rule);
        }
        policies
    };
    let organization = |org: &Member| {
        let (host, port) = host_and_port(&org.anchor);
        json!({
            "Name": org.msp_id,
            "ID": org.msp_id,
            "MSPDir": org.msp,
            "Policies": policies(&org.msp_id),
            // Without anchor peers no gateway ever learns of another organisation's peer.
            "AnchorPeers": [{ "Host": host, "Port": port }],
        })
    };
    let consenter = |consenter: &Consenter| {
        let (host, port) = host_and_port(&consenter.address);
        json!({
            "Host": host,
            "Port": port,
            "ClientTLSCert": consenter.tls_cert,
            "ServerTLSCert": consenter.tls_cert,
        })
    };
    let consenters: Vec<Value> = plan.consenters.iter().map(consenter).collect();
    let mut ordering_orgs: BTreeMap<&str, (&Path, Vec<&str>)> = BTreeMap::new();
    for consenter in &plan.consenters {
        let org = ordering_orgs.entry(&consenter.msp_id).or_insert((&consenter.msp, Vec::new()));
        org.1.push(&consenter.address);
    }
    let ordering_org = |(msp_id, (msp, endpoints)): (&str, (&Path, Vec<&str>))| {
        json!({
            "Name": msp_id,
            "ID": msp_id,
            "MSPDir": msp,
            "Policies": policies(msp_id),
            "OrdererEndpoints": endpoints,
        })
    };
    let ordering = json!({
        "OrdererType": "etcdraft",
        // A round of one record from every organisation fills a block, which is then cut at once.
        "BatchTimeout": "10ms",
        "BatchSize": {
            "MaxMessageCount": plan.members.len(),
            "AbsoluteMaxBytes": "10 MB",
            "PreferredMaxBytes": "2 MB",
        },
        "EtcdRaft": {
            "Consenters": consenters,
            // A leader is elected after 10 to 20 ticks, also by a lone orderer that was started again.
            "Options": {
                "TickInterval": "100ms",
                "ElectionTick": 10,
                "HeartbeatTick": 1,
                "MaxInflightBlocks": 5,
                "SnapshotIntervalSize": "16 MB",
            },
        },
        "Organizations": ordering_orgs.into_iter().map(ordering_org).collect::<Vec<_>>(),
        "Policies": with(group(), &[("BlockValidation", "ANY Writers")]),
        "Capabilities": { "V2_0": true },
    });
    let majority = "MAJORITY Endorsement";
    let application = json!({
        "Organizations": plan.members.iter().map(organization).collect::<Vec<_>>(),
        "Policies": with(group(), &[("LifecycleEndorsement", majority), ("Endorsement", majority)]),
        // 2.5 and 3.x share this one.
        "Capabilities": { "V2_5": true },
    });
    json!({
        "Profiles": {
            PROFILE: {
                "Policies": group(),
                "Capabilities": { capability: true },
                "Orderer": ordering,
                "Application": application,
            },
        },
    })
}
