//! Makes a channel: its first block.

use crate::{
    Binaries, Error, Network,
    config::{self, host_and_port},
    lifecycle::{self, run},
    network,
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

    /// The same with copies of all certificates in `folder`, and nothing but certificates in them: Fabric's tool puts
    /// whole files into the block.
    fn with_certificates_only(&self, folder: &Path) -> Result<Self, Error> {
        let members = self.members.iter().map(|member| {
            let msp = copy_msp(&member.msp, &folder.join(&member.msp_id))?;
            Ok(Member { msp_id: member.msp_id.clone(), msp, anchor: member.anchor.clone() })
        });
        let consenters = self.consenters.iter().enumerate().map(|(index, consenter)| {
            let tls_cert = folder.join(format!("consenter-{index}.pem"));
            network::write(&tls_cert, msp::load_bundle(&consenter.tls_cert)?.as_bytes())?;
            let msp = copy_msp(&consenter.msp, &folder.join(&consenter.msp_id))?;
            Ok(Consenter {
                msp_id: consenter.msp_id.clone(),
                msp,
                address: consenter.address.clone(),
                tls_cert,
            })
        });
        Ok(Self {
            members: members.collect::<Result<_, Error>>()?,
            consenters: consenters.collect::<Result<_, Error>>()?,
        })
    }
}

/// Copies the certificates of a public MSP, with its rules.
fn copy_msp(from: &Path, to: &Path) -> Result<PathBuf, Error> {
    for name in ["cacerts", "intermediatecerts", "admincerts", "tlscacerts", "tlsintermediatecerts"] {
        let folder = from.join(name);
        if !folder.exists() {
            continue;
        }
        for entry in fs::read_dir(&folder).map_err(Error::io(&folder))? {
            let entry = entry.map_err(Error::io(&folder))?;
            let path = entry.path();
            if !path.is_file() || entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            let copy = to.join(name).join(entry.file_name());
            network::write(&copy, msp::load_bundle(&path)?.as_bytes())?;
        }
    }
    let rules = from.join("config.yaml");
    if rules.exists() {
        network::write(&to.join("config.yaml"), &fs::read(&rules).map_err(Error::io(&rules))?)?;
    }
    Ok(to.to_owned())
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
    let plan = plan.with_certificates_only(&folder.join("public"))?;
    config::write(&folder.join("configtx.yaml"), &configtx(&plan, capability))?;
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
