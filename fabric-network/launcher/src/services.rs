//! Which chaincode services the peers of a development ledger use now, and whether they are there.

use crate::{Health, Network, Organization, ready};
use fabric_protos::lifecycle::{
    GetInstalledChaincodePackageArgs, GetInstalledChaincodePackageResult,
    QueryApprovedChaincodeDefinitionArgs, QueryApprovedChaincodeDefinitionResult,
    QueryChaincodeDefinitionsArgs, QueryChaincodeDefinitionsResult, chaincode_source::Type,
};
use fabric_protos::prost::Message;
use gateway_client::{Call, Contract, Gateway};
use std::time::Duration;
use tokio::{task::JoinSet, time::timeout};

/// For what one peer says.
const PATIENCE: Duration = Duration::from_secs(5);

/// A chaincode service that an organisation's peer uses, and that no process of the network's is.
#[derive(Clone, Debug)]
pub struct ServiceHealth {
    /// The chaincode.
    pub chaincode: String,
    /// Its version.
    pub version: String,
    /// The organisation's name.
    pub org: String,
    /// Where the service is, as far as that is known.
    pub address: Option<String>,
    /// Whether it accepts connections.
    pub health: Health,
}

/// Asks every organisation's peer which services it uses, beside those that are processes of the network's.
pub async fn services(network: &Network) -> Vec<ServiceHealth> {
    let mut tasks = JoinSet::new();
    for (index, org) in network.orgs.iter().cloned().enumerate() {
        let network = network.clone();
        tasks.spawn(async move {
            let found = timeout(PATIENCE, of(&network, &org)).await;
            // A peer that does not answer is said to get no endorsements; there is nothing to say of its services.
            (index, found.unwrap_or_else(|_| Err("no answer".into())).unwrap_or_default())
        });
    }
    let mut found = tasks.join_all().await;
    found.sort_by_key(|(index, _)| *index);
    found.into_iter().flat_map(|(_, services)| services).collect()
}

async fn of(network: &Network, org: &Organization) -> Result<Vec<ServiceHealth>, String> {
    let options = gateway_client::Options::default();
    let gateway =
        Gateway::from_profile(&network.path(&org.profile), None, options).map_err(|e| e.to_string())?;
    let lifecycle = gateway.network(network.channel.as_str()).contract("_lifecycle");
    let all: QueryChaincodeDefinitionsResult =
        ask(&lifecycle, "QueryChaincodeDefinitions", &QueryChaincodeDefinitionsArgs {}).await?;
    let mut services = Vec::new();
    for definition in all.chaincode_definitions {
        let asked = QueryApprovedChaincodeDefinitionArgs {
            name: definition.name.clone(),
            sequence: definition.sequence,
        };
        let approved: Result<QueryApprovedChaincodeDefinitionResult, _> =
            ask(&lifecycle, "QueryApprovedChaincodeDefinition", &asked).await;
        let source = approved.ok().and_then(|approved| approved.source?.r#type);
        // Who has not approved, or has no package, does not run it.
        let Some(Type::LocalPackage(package)) = source else { continue };
        if package.package_id == org.chaincode.package_id {
            continue;
        }
        let address = address(network, org, &lifecycle, &definition.name, &package.package_id).await;
        let health = match &address {
            Ok(address) => match ready::accepts(address).await {
                Ok(()) => Health::Well,
                Err(reason) => Health::Ill(reason),
            },
            Err(reason) => Health::Ill(reason.clone()),
        };
        services.push(ServiceHealth {
            chaincode: definition.name,
            version: definition.version,
            org: org.name.clone(),
            address: address.ok(),
            health,
        });
    }
    Ok(services)
}

/// Where the service of a package is: as the package says, or else as it was described when the ledger was started.
async fn address(
    network: &Network,
    org: &Organization,
    lifecycle: &Contract,
    chaincode: &str,
    package_id: &str,
) -> Result<String, String> {
    let asked = GetInstalledChaincodePackageArgs { package_id: package_id.into() };
    let package: Result<GetInstalledChaincodePackageResult, _> =
        ask(lifecycle, "GetInstalledChaincodePackage", &asked).await;
    if let Ok(package) = package {
        return dev_ledger::service_address(&package.chaincode_install_package);
    }
    let guest = network.guests.iter().find(|guest| guest.name == chaincode);
    let service = guest.and_then(|guest| guest.service(&org.msp_id));
    service.map(|service| service.address).ok_or_else(|| format!("package {package_id} is not installed"))
}

/// What a peer's `_lifecycle` answers to a question.
pub async fn ask<M: Message + Default>(
    lifecycle: &Contract,
    function: &str,
    argument: &impl Message,
) -> Result<M, String> {
    let call = Call::new(function).arg(argument.encode_to_vec());
    let answer = lifecycle.evaluate(call).await.map_err(|e| e.to_string())?;
    M::decode(answer.as_slice()).map_err(|e| e.to_string())
}
