//! What a channel's members agreed on, as far as a client needs it: who they are, and where their servers are.

use crate::blocks::BlockEventsRequest;
use crate::signed::unusable;
use crate::{Block, Call, CallError, Checkpoint, Error, Failure, Network, Operation};
use fabric_protos::common::{Capabilities, Config, ConfigGroup, OrdererAddresses};
use fabric_protos::lifecycle::{QueryChaincodeDefinitionArgs, QueryChaincodeDefinitionResult};
use fabric_protos::msp::{FabricMspConfig, MspConfig};
use fabric_protos::peer::AnchorPeers;
use fabric_protos::prost::Message;
use msp::Certificate;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// For how long a peer that cannot be reached is asked for the configuration.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// The configuration of a channel.
#[derive(Clone, Debug, Default)]
pub struct ChannelConfig {
    /// The block that sets it.
    pub block: u64,
    /// The organisations that may take part in transactions, in the order of their names.
    pub members: Vec<Member>,
    /// The ordering service, an address each; none on a development ledger.
    pub orderers: Vec<Orderer>,
    /// What every peer of the channel has to be able to do, such as `V3_0`.
    pub capabilities: Vec<String>,
}

/// An organisation of a channel.
#[derive(Clone, Debug, Default)]
pub struct Member {
    /// MSP identifier, such as `Org1MSP`.
    pub msp_id: String,
    /// The authorities of its identities.
    pub authorities: Vec<Certificate>,
    /// The authorities of its TLS certificates.
    pub tls_authorities: Vec<Certificate>,
    /// Where the others find its peers, `HOST:PORT`.
    pub anchors: Vec<String>,
}

/// An address of the ordering service.
#[derive(Clone, Debug)]
pub struct Orderer {
    /// `HOST:PORT`.
    pub address: String,
    /// Who runs it; empty where the configuration does not say.
    pub msp_id: String,
    /// The authorities of its TLS certificate, as far as is known.
    pub tls_authorities: Vec<Certificate>,
}

impl ChannelConfig {
    /// Reads a configuration. An organisation that cannot be read keeps its name; nothing of it is known then.
    pub(crate) fn new(block: u64, config: Config) -> Option<Self> {
        let root = config.channel_group?;
        let application = root.groups.get("Application")?;
        let member = |(name, group): (&String, &ConfigGroup)| Member {
            anchors: value::<AnchorPeers>(group, "AnchorPeers")
                .map(|anchors| anchors.anchor_peers)
                .unwrap_or_default()
                .into_iter()
                .map(|anchor| format!("{}:{}", anchor.host, anchor.port))
                .collect(),
            ..organisation(name, group)
        };
        let capabilities = value::<Capabilities>(&root, "Capabilities").unwrap_or_default();
        Some(Self {
            block,
            members: application.groups.iter().map(member).collect(),
            orderers: orderers(&root),
            capabilities: capabilities.capabilities.into_keys().collect(),
        })
    }

    /// The member with this MSP identifier.
    pub fn member(&self, msp_id: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.msp_id == msp_id)
    }

    /// The MSP identifiers of all members.
    pub fn msp_ids(&self) -> Vec<&str> {
        self.members.iter().map(|member| member.msp_id.as_str()).collect()
    }

    /// Whether peers of 2.5 cannot be in the channel, and hence take everything that those of 3.x take.
    pub fn is_v3(&self) -> bool {
        self.capabilities.iter().any(|name| name.strip_prefix('V').is_some_and(|rest| major(rest) >= 3))
    }
}

/// The first number of a capability's name.
fn major(name: &str) -> u32 {
    name.split('_').next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

fn organisation(name: &str, group: &ConfigGroup) -> Member {
    let msp = value::<MspConfig>(group, "MSP")
        .and_then(|msp| FabricMspConfig::decode(msp.config.as_slice()).ok())
        .unwrap_or_default();
    let read = |pems: [Vec<Vec<u8>>; 2]| {
        pems.concat().iter().filter_map(|pem| Certificate::from_pem(pem).ok()).collect()
    };
    Member {
        msp_id: if msp.name.is_empty() { name.to_owned() } else { msp.name },
        authorities: read([msp.root_certs, msp.intermediate_certs]),
        tls_authorities: read([msp.tls_root_certs, msp.tls_intermediate_certs]),
        anchors: Vec::new(),
    }
}

/// The addresses that the ordering organisations name or, before 2.0, the channel.
fn orderers(root: &ConfigGroup) -> Vec<Orderer> {
    let ordering = root.groups.get("Orderer").map(|group| &group.groups);
    let named = ordering.into_iter().flatten().flat_map(|(name, group)| {
        let Member { msp_id, tls_authorities, .. } = organisation(name, group);
        let addresses = value::<OrdererAddresses>(group, "Endpoints").unwrap_or_default().addresses;
        addresses.into_iter().map(move |address| Orderer {
            address,
            msp_id: msp_id.clone(),
            tls_authorities: tls_authorities.clone(),
        })
    });
    let named: Vec<_> = named.collect();
    if !named.is_empty() {
        return named;
    }
    let tls_authorities: Vec<_> = ordering
        .into_iter()
        .flatten()
        .flat_map(|(name, group)| organisation(name, group).tls_authorities)
        .collect();
    let addresses = value::<OrdererAddresses>(root, "OrdererAddresses").unwrap_or_default().addresses;
    let of = |address| Orderer { address, msp_id: String::new(), tls_authorities: tls_authorities.clone() };
    addresses.into_iter().map(of).collect()
}

fn value<M: Message + Default>(group: &ConfigGroup, name: &str) -> Option<M> {
    M::decode(group.values.get(name)?.value.as_slice()).ok()
}

/// What the members agreed on for a chaincode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Its version.
    pub version: String,
    /// Counts the definitions of this name, from 1.
    pub sequence: i64,
    /// The members by MSP identifier, and whether they have approved it.
    pub approvals: BTreeMap<String, bool>,
}

impl Network {
    /// What is committed for a chaincode of this name, if anything is; the peer is asked once.
    ///
    /// # Errors
    /// As [`Contract::evaluate`](crate::Contract::evaluate), of the system chaincode `_lifecycle`; [`Error::Answer`].
    pub async fn definition(&self, chaincode: &str) -> Result<Option<Definition>, Error> {
        let query = QueryChaincodeDefinitionArgs { name: chaincode.into() }.encode_to_vec();
        let answer = match self
            .contract("_lifecycle")
            .evaluate(Call::new("QueryChaincodeDefinition").arg(query))
            .await
        {
            Ok(answer) => answer,
            // Fabric's words for a name that is free.
            Err(e) if e.call().is_some_and(|call| call.message.contains("is not defined")) => {
                return Ok(None);
            }
            Err(e) => return Err(e),
        };
        let defined = QueryChaincodeDefinitionResult::decode(answer.as_slice())
            .map_err(|e| unusable(Operation::Evaluate, "", e))?;
        let QueryChaincodeDefinitionResult { version, sequence, approvals, .. } = defined;
        Ok(Some(Definition { version, sequence, approvals }))
    }

    /// The channel's configuration as of the newest block of one's own peer. A peer that cannot be reached is tried
    /// again for some seconds; the configuration is read once for each of its blocks.
    ///
    /// # Errors
    /// [`Error::Call`] when the peer cannot be reached, has not joined the channel or refuses the reader;
    /// [`Error::Configuration`] when its blocks hold none that can be read.
    pub async fn config(&self) -> Result<Arc<ChannelConfig>, Error> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let error = match self.config_once(deadline).await {
                Ok(config) => return Ok(config),
                Err(error) => error,
            };
            let passes = error.call().is_some_and(|call| {
                matches!(call.failure(), Failure::Unavailable | Failure::TimedOut | Failure::Mismatch)
            });
            if !passes || Instant::now() + PAUSE >= deadline {
                return Err(error);
            }
            sleep(PAUSE).await;
        }
    }

    async fn config_once(&self, deadline: Instant) -> Result<Arc<ChannelConfig>, Error> {
        let newest = self.one(BlockEventsRequest::newest(self), deadline).await?;
        if let Some(known) =
            self.gateway.known_config(&self.channel).filter(|known| known.block == newest.last_config)
        {
            return Ok(known);
        }
        let number = newest.last_config;
        let block = match number == newest.number {
            true => newest,
            false => {
                self.one(BlockEventsRequest::new(self, &Checkpoint::at(number).into(), true), deadline)
                    .await?
            }
        };
        let config = block.config().and_then(|config| ChannelConfig::new(number, config));
        let config = Arc::new(
            config.ok_or_else(|| Error::Configuration { channel: self.channel.clone(), block: number })?,
        );
        self.gateway.keep_config(&self.channel, config.clone());
        Ok(config)
    }

    /// The first block that a request brings.
    async fn one(&self, request: BlockEventsRequest<Block>, deadline: Instant) -> Result<Block, Error> {
        let mut blocks = request.events().await?;
        let late = || CallError::timed_out(Operation::Blocks, "", PATIENCE);
        match timeout_at(deadline, blocks.next()).await {
            Ok(Some(block)) => block,
            Ok(None) => Err(CallError::from_status(
                Operation::Blocks,
                "",
                tonic::Status::unavailable("the peer sent no block"),
            )
            .into()),
            Err(_) => Err(late().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fabric_protos::common::{Capability, ConfigValue};
    use fabric_protos::peer::AnchorPeer;

    fn valued(values: &[(&str, Vec<u8>)]) -> ConfigGroup {
        let value = |(name, value): &(&str, Vec<u8>)| {
            (name.to_string(), ConfigValue { value: value.clone(), ..Default::default() })
        };
        ConfigGroup { values: values.iter().map(value).collect(), ..Default::default() }
    }

    fn msp(name: &str, authority: &str) -> Vec<u8> {
        let roots = vec![authority.as_bytes().to_vec(), b"garbage".to_vec()];
        let config = FabricMspConfig {
            name: name.into(),
            root_certs: roots.clone(),
            tls_root_certs: roots,
            ..Default::default()
        };
        MspConfig { r#type: 0, config: config.encode_to_vec() }.encode_to_vec()
    }

    fn capabilities(names: &[&str]) -> Vec<u8> {
        let capabilities = names.iter().map(|name| (name.to_string(), Capability {})).collect();
        Capabilities { capabilities }.encode_to_vec()
    }

    fn config(root: ConfigGroup) -> Config {
        Config { sequence: 3, channel_group: Some(root) }
    }

    #[test]
    fn members_and_servers_are_read() {
        let authority = rcgen::generate_simple_self_signed(vec!["ca".into()]).unwrap().cert.pem();
        let anchors = AnchorPeers { anchor_peers: vec![AnchorPeer { host: "peer0".into(), port: 7051 }] };
        let mut application = ConfigGroup::default();
        // The group's name need not be the MSP's.
        let first = valued(&[("MSP", msp("Org1MSP", &authority)), ("AnchorPeers", anchors.encode_to_vec())]);
        application.groups.insert("Org1".into(), first);
        application.groups.insert("Org2MSP".into(), valued(&[("MSP", vec![0xff; 9])]));
        let endpoints = OrdererAddresses { addresses: vec!["o1:7050".into(), "o2:7050".into()] };
        let mut ordering = ConfigGroup::default();
        let one = valued(&[("MSP", msp("OrdererMSP", &authority)), ("Endpoints", endpoints.encode_to_vec())]);
        ordering.groups.insert("OrdererOrg".into(), one);
        let mut root = valued(&[("Capabilities", capabilities(&["V2_0"]))]);
        root.groups.insert("Application".into(), application);
        root.groups.insert("Orderer".into(), ordering);

        let read = ChannelConfig::new(7, config(root.clone())).unwrap();
        assert_eq!((read.block, read.is_v3()), (7, false));
        assert_eq!(read.msp_ids(), ["Org1MSP", "Org2MSP"], "a name is left of what cannot be read");
        let first = read.member("Org1MSP").unwrap();
        assert_eq!((first.authorities.len(), first.tls_authorities.len()), (1, 1));
        assert_eq!(first.anchors, ["peer0:7051"]);
        let addresses: Vec<_> =
            read.orderers.iter().map(|o| (o.address.as_str(), o.msp_id.as_str())).collect();
        assert_eq!(addresses, [("o1:7050", "OrdererMSP"), ("o2:7050", "OrdererMSP")]);

        for (names, is_v3) in [
            (vec!["V3_0"], true),
            (vec!["V2_0", "V3_1"], true),
            (vec!["V12_0"], true),
            (vec!["V2_5", "latest", "V", "3_0", ""], false),
            (vec![], false),
        ] {
            let mut root = root.clone();
            root.values.extend(valued(&[("Capabilities", capabilities(&names))]).values);
            assert_eq!(ChannelConfig::new(0, config(root)).unwrap().is_v3(), is_v3, "{names:?}");
        }
        root.groups.remove("Application");
        assert!(ChannelConfig::new(0, config(root)).is_none());
    }
}
