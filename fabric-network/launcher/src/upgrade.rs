//! A new definition of a network's chaincode: the next sequence, approved by every organisation and committed, by Fabric's
//! own lifecycle, with the services running the present program.

use crate::{
    ChaincodeCommand, ChaincodeDefinition, Error, Network, Organization,
    lifecycle::is_approved,
    prepare::{self, Lock},
    process, ready, services,
};
use fabric_protos::lifecycle::{
    ApproveChaincodeDefinitionForMyOrgArgs, ChaincodeSource, CheckCommitReadinessArgs,
    CheckCommitReadinessResult, CommitChaincodeDefinitionArgs, QueryChaincodeDefinitionArgs,
    QueryChaincodeDefinitionResult, chaincode_source,
};
use fabric_protos::prost::Message;
use gateway_client::{Call, Contract, Gateway, User};
use std::{
    path::Path,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// How long organisations on other machines are waited for.
const OTHERS: Duration = Duration::from_secs(15 * 60);
/// How long a step is tried again that failed for something that may pass.
const PATIENCE: Duration = Duration::from_secs(60);

/// Gives the chaincode its next definition: each organisation's service is started anew with `command`, one after the other,
/// every own organisation approves, and when all have, the definition is committed. A call that was interrupted goes on when
/// it is repeated. Where organisations have their parts on other machines, each makes the call there; they wait for each other
/// for a quarter of an hour.
///
/// `version` is what the definition is called from now on; it may stay as it was.
///
/// # Errors
/// A network that does not run; what the peers refuse.
pub async fn upgrade(
    dir: &Path,
    version: Option<&str>,
    command: &ChaincodeCommand,
    progress: &mut (dyn FnMut(&str) + Send),
) -> Result<Network, Error> {
    let mut network = Network::load(dir)?;
    let _lock = Lock::take(&network.dir)?;
    let names: Vec<String> = network.orgs.iter().map(|org| format!("chaincode-{}", org.id())).collect();
    // A service that an interrupted call left stopped is started below.
    let others = network.processes.iter().filter(|process| !names.contains(&process.name));
    others.map(|process| &process.name).try_for_each(|name| process::expect_alive(&network.dir, name))?;
    let orgs = network.orgs.clone();
    let members = orgs.iter().map(|org| Member::connect(&network, org));
    let members: Vec<Member> = members.collect::<Result<_, _>>()?;
    let current = members[0].committed(&network.chaincode.name).await?;
    let version = version.unwrap_or(&current.version).to_owned();
    // A call that was cut off after others had committed finds its own work done.
    let is_done = current.sequence > network.chaincode.sequence as i64 && current.version == version;
    let sequence = if is_done { current.sequence } else { current.sequence + 1 };
    let named = ChaincodeDefinition { version, sequence: sequence as u64, ..network.chaincode.clone() };
    prepare::check_definition(&named)?;

    for name in &names {
        let Some(spec) = network.processes.iter_mut().find(|process| process.name == *name) else { continue };
        progress(&format!("starting {name} with this program"));
        (spec.program, spec.args) = (command.program.clone(), command.args.clone());
        network.restart(name).await?;
        network.save()?;
        // The next one is not stopped before this one's peer has it again.
        ready::endorsing(&network, false).await?;
    }
    let definition = CheckCommitReadinessArgs {
        sequence,
        name: named.name.clone(),
        version: named.version.clone(),
        endorsement_plugin: current.endorsement_plugin,
        validation_plugin: current.validation_plugin,
        validation_parameter: current.validation_parameter,
        collections: current.collections,
        init_required: current.init_required,
    };
    progress(&format!("approving definition {sequence} of the chaincode"));
    for member in &members {
        member.approve(&definition).await?;
    }
    let alone = network.remote.peers.is_empty();
    let waits = if alone { "" } else { "; other organisations are waited for" };
    progress(&format!("committing definition {sequence} of the chaincode{waits}"));
    members[0].commit(&definition, if alone { PATIENCE } else { OTHERS }).await?;
    network.chaincode = named;
    network.save()?;
    progress("waiting for endorsements through every organisation");
    ready::endorsing(&network, true).await?;
    Ok(network)
}

/// One organisation's administrator before its own peer.
struct Member<'a> {
    org: &'a Organization,
    lifecycle: Contract,
    channel: gateway_client::Network,
}

impl<'a> Member<'a> {
    fn connect(network: &Network, org: &'a Organization) -> Result<Member<'a>, Error> {
        let failed = |reason| Error::Lasting { what: format!("a connection to {}", org.peer.host), reason };
        let admin =
            User::from_files(&org.msp_id, &network.path(&org.admin.cert), &network.path(&org.admin.key));
        let admin = admin.map_err(|e| failed(e.into()))?;
        let gateway = Gateway::from_profile(&network.path(&org.profile), Some(admin), Default::default());
        let channel = gateway.map_err(failed)?.network(network.channel.as_str());
        Ok(Member { org, lifecycle: channel.contract("_lifecycle"), channel })
    }

    fn failed(&self, what: &str, reason: impl std::fmt::Display) -> Error {
        Error::Command { what: format!("having {} {what}", self.org.msp_id), output: reason.to_string() }
    }

    async fn ask<M: Message + Default>(
        &self,
        what: &str,
        function: &str,
        argument: &impl Message,
    ) -> Result<M, Error> {
        services::ask(&self.lifecycle, function, argument).await.map_err(|e| self.failed(what, e))
    }

    /// The definition that the channel has.
    async fn committed(&self, name: &str) -> Result<QueryChaincodeDefinitionResult, Error> {
        let asked = QueryChaincodeDefinitionArgs { name: name.into() };
        self.ask("say which definition is committed", "QueryChaincodeDefinition", &asked).await
    }

    /// Approves a definition, for the package that the organisation's peer runs. That the organisation has approved it
    /// before is no error.
    async fn approve(&self, definition: &CheckCommitReadinessArgs) -> Result<(), Error> {
        let local = chaincode_source::Local { package_id: self.org.chaincode.package_id.clone() };
        let source = ChaincodeSource { r#type: Some(chaincode_source::Type::LocalPackage(local)) };
        let CheckCommitReadinessArgs {
            sequence,
            name,
            version,
            endorsement_plugin,
            validation_plugin,
            validation_parameter,
            collections,
            init_required,
        } = definition.clone();
        let argument = ApproveChaincodeDefinitionForMyOrgArgs {
            sequence,
            name,
            version,
            endorsement_plugin,
            validation_plugin,
            validation_parameter,
            collections,
            init_required,
            source: Some(source),
        };
        // The approval lies with the own organisation's peers only.
        let call = Call::new("ApproveChaincodeDefinitionForMyOrg").arg(argument.encode_to_vec());
        let call = call.organizations([self.org.msp_id.as_str()]);
        match self.lifecycle.submitter().submit(call, PATIENCE).await {
            Ok(_) => Ok(()),
            Err(e) if is_approved(&e.to_string()) => Ok(()),
            Err(e) => Err(self.failed("approve the definition", e)),
        }
    }

    /// The sequence and version that the channel has, where they are those or later ones.
    async fn is_committed(&self, definition: &CommitChaincodeDefinitionArgs) -> Result<bool, Error> {
        let current = self.committed(&definition.name).await?;
        let (found, wanted) =
            ((current.sequence, &current.version), (definition.sequence, &definition.version));
        match found.0 >= wanted.0 {
            true if found == wanted => Ok(true),
            true => {
                let reason = format!("definition {}, version {}, was committed meanwhile", found.0, found.1);
                Err(self.failed("commit the definition", reason))
            }
            false => Ok(false),
        }
    }

    /// Commits a definition once all members of the channel have approved it, or another organisation has committed it.
    async fn commit(
        &self,
        definition: &CommitChaincodeDefinitionArgs,
        within: Duration,
    ) -> Result<(), Error> {
        let what = "commit the definition";
        let start = Instant::now();
        loop {
            if self.is_committed(definition).await? {
                return Ok(());
            }
            let readiness: Result<CheckCommitReadinessResult, Error> =
                self.ask(what, "CheckCommitReadiness", definition).await;
            let missing: Vec<String> = match readiness {
                Ok(readiness) => {
                    let missing = readiness.approvals.into_iter().filter(|(_, approved)| !approved);
                    missing.map(|(msp_id, _)| msp_id).collect()
                }
                // Somebody has just committed it.
                Err(_) if self.is_committed(definition).await? => return Ok(()),
                Err(error) => return Err(error),
            };
            if missing.is_empty() {
                break;
            }
            if start.elapsed() > within {
                let reason = format!("not approved by {}", missing.join(", "));
                let what = "the definition".into();
                return Err(Error::NotReady { what, seconds: within.as_secs(), reason });
            }
            sleep(Duration::from_millis(500)).await;
        }
        let members = self.channel.config().await.map_err(|e| self.failed(what, e))?;
        let call = Call::new("CommitChaincodeDefinition").arg(definition.encode_to_vec());
        let call = call.organizations(members.msp_ids());
        let Err(e) = self.lifecycle.submitter().submit(call, PATIENCE).await else { return Ok(()) };
        // Another organisation may have been first, and the own peer may not have the block yet.
        for _ in 0..10 {
            if self.is_committed(definition).await? {
                return Ok(());
            }
            sleep(Duration::from_millis(500)).await;
        }
        Err(self.failed(what, e))
    }
}
