//! The system chaincode `_lifecycle`: packages on a peer, approvals of an organisation, definitions of a channel.

use super::Call;
use super::collections;
use crate::channel::Channel;
use crate::definition::{IMPLICIT, LIFECYCLE};
use crate::lifecycle::parameters::{approval, package_id, source};
use crate::lifecycle::stored::{self, NAMESPACES, Record, SOURCES};
use crate::lifecycle::{Parameters, packages::Installed};
use crate::simulation::Simulation;
use fabric_protos::lifecycle::*;
use fabric_protos::peer::Response;
use fabric_protos::queryresult::Kv;
use msp::Role;
use prost::Message;
use std::collections::BTreeMap;

/// Where definitions were before there was this chaincode.
const LEGACY: &str = "lscc";
/// How many results are taken from a query at once.
const PAGE: usize = 100;

/// The state on which a call with a channel runs.
pub struct Run<'a> {
    pub channel: &'a Channel,
    pub simulation: &'a mut Simulation,
}

/// Why there is no answer.
enum Failed {
    /// What is asked for is not there.
    NotFound(String),
    /// The call itself is wrong.
    Refused(String),
    /// The function says why not.
    Function(String),
}

impl From<String> for Failed {
    fn from(what: String) -> Self {
        Self::Function(what)
    }
}

/// Answers a call: the function and its argument, a message.
pub fn invoke(call: &Call<'_>, run: Option<Run<'_>>) -> Response {
    let (status, message) = match answer(call, run) {
        Ok(payload) => return Response { status: 200, message: String::new(), payload },
        Err(Failed::NotFound(what)) => (404, what),
        Err(Failed::Refused(what)) => (500, what),
        Err(Failed::Function(what)) => {
            (500, format!("failed to invoke backing implementation of '{}': {what}", call.text(0)))
        }
    };
    Response { status, message, payload: Vec::new() }
}

fn answer(call: &Call<'_>, run: Option<Run<'_>>) -> Result<Vec<u8>, Failed> {
    let argument = match call.args {
        [] => return Err(Failed::Refused("lifecycle scc must be invoked with arguments".into())),
        [_, argument] => argument.as_slice(),
        other => {
            return Err(Failed::Refused(format!(
                "lifecycle scc operations require exactly two arguments but received {}",
                other.len()
            )));
        }
    };
    let function = call.text(0);
    authorise(call, &function, run.as_ref())?;
    let org = call.node.msp_id.as_str();
    match function.as_str() {
        "InstallChaincode" => install(call, &decode::<InstallChaincodeArgs>(argument)?),
        "QueryInstalledChaincodes" => Ok(installed(call).encode_to_vec()),
        "QueryInstalledChaincode" => {
            let asked: QueryInstalledChaincodeArgs = decode(argument)?;
            let found = installed(call).installed_chaincodes.into_iter();
            let mut found = found.filter(|one| one.package_id == asked.package_id);
            let found = found.next().ok_or_else(|| not_installed(&asked.package_id))?;
            Ok(found.encode_to_vec())
        }
        "GetInstalledChaincodePackage" => {
            let asked: GetInstalledChaincodePackageArgs = decode(argument)?;
            let found = call.node.packages.get(&asked.package_id);
            let found = found.ok_or_else(|| {
                let what = format!("chaincode install package '{}' not found", asked.package_id);
                Failed::Function(format!("could not load cc install package: {what}"))
            })?;
            let answer = GetInstalledChaincodePackageResult { chaincode_install_package: found.bytes()? };
            Ok(answer.encode_to_vec())
        }
        _ => {
            let mut run = run.ok_or_else(|| no_channel(&function))?;
            match function.as_str() {
                "ApproveChaincodeDefinitionForMyOrg" => run.approve(org, decode(argument)?),
                "QueryApprovedChaincodeDefinition" => run.approved(org, &decode(argument)?),
                "QueryApprovedChaincodeDefinitions" => run.all_approved(org),
                "CheckCommitReadiness" => run.readiness(decode(argument)?),
                "CommitChaincodeDefinition" => run.commit(org, decode(argument)?),
                "QueryChaincodeDefinition" => {
                    run.definition(&decode::<QueryChaincodeDefinitionArgs>(argument)?)
                }
                _ => run.definitions(),
            }
        }
    }
}

/// What an installed package is not.
fn not_installed(id: &str) -> Failed {
    Failed::Function(format!("could not find chaincode with package id '{id}'"))
}

/// What concerns a peer or what an organisation thinks is for its administrators, the rest for the channel's members.
fn authorise(call: &Call<'_>, function: &str, run: Option<&Run<'_>>) -> Result<(), Failed> {
    let allowed = match function {
        "InstallChaincode"
        | "QueryInstalledChaincode"
        | "QueryInstalledChaincodes"
        | "GetInstalledChaincodePackage"
        | "ApproveChaincodeDefinitionForMyOrg"
        | "QueryApprovedChaincodeDefinition"
        | "QueryApprovedChaincodeDefinitions" => call.has_role(Role::Admin),
        "CommitChaincodeDefinition"
        | "QueryChaincodeDefinition"
        | "QueryChaincodeDefinitions"
        | "CheckCommitReadiness" => match run {
            Some(run) => call.is_on(run.channel, "Writers"),
            None => call.has_role(Role::Member),
        },
        _ => Err(format!("Unmapped policy for _lifecycle/{function}")),
    };
    allowed
        .map_err(|e| Failed::Refused(format!("Failed to authorize invocation due to failed ACL check: {e}")))
}

fn install(call: &Call<'_>, args: &InstallChaincodeArgs) -> Result<Vec<u8>, Failed> {
    let (package_id, label) = call.node.packages.install(&args.chaincode_install_package)?;
    tracing::info!("{}: installed {package_id}", call.node.msp_id);
    Ok(InstallChaincodeResult { package_id, label }.encode_to_vec())
}

/// The packages of the peer, with the chaincodes of its channels that run from them.
fn installed(call: &Call<'_>) -> QueryInstalledChaincodesResult {
    let describe = |(package_id, installed): (String, std::sync::Arc<Installed>)| {
        let mut references: BTreeMap<String, References> = BTreeMap::new();
        for name in call.channels.names(call.node) {
            let Some((channel, _)) = call.channels.joined(&call.node.msp_id, name) else { continue };
            let definitions = channel.definitions();
            let own =
                definitions.iter().filter(|(_, one)| one.package(&call.node.msp_id) == Some(&package_id));
            let own = own.map(|(name, one)| Reference { name: name.into(), version: one.version.clone() });
            let chaincodes: Vec<_> = own.collect();
            if !chaincodes.is_empty() {
                references.insert(name.into(), References { chaincodes });
            }
        }
        QueryInstalledChaincodeResult { package_id, label: installed.label.clone(), references }
    };
    let installed_chaincodes = call.node.packages.all().into_iter().map(describe).collect();
    QueryInstalledChaincodesResult { installed_chaincodes }
}

impl Run<'_> {
    fn public(&mut self, key: &str) -> Result<Vec<u8>, String> {
        self.simulation.get(LIFECYCLE, key)
    }

    /// What an organisation keeps for itself.
    fn own(&mut self, org: &str, key: &str) -> Result<Vec<u8>, String> {
        self.simulation.get_private(LIFECYCLE, &format!("{IMPLICIT}{org}"), key)
    }

    /// What everybody sees of what an organisation keeps for itself.
    fn hash(&mut self, org: &str, key: &str) -> Result<Vec<u8>, String> {
        self.simulation.get_private_hash(LIFECYCLE, &format!("{IMPLICIT}{org}"), key)
    }

    fn orgs(&self) -> Vec<String> {
        self.channel.peers.iter().map(|peer| peer.msp_id().to_owned()).collect()
    }

    /// The sequence of the definition that the channel has; 0 where it has none.
    fn sequence(&mut self, name: &str) -> Result<i64, String> {
        stored::number(NAMESPACES, name, "Sequence", &mut |key| self.public(key))
            .map_err(|e| format!("could not get current sequence: {e}"))
    }

    fn approve(
        &mut self,
        org: &str,
        args: ApproveChaincodeDefinitionForMyOrgArgs,
    ) -> Result<Vec<u8>, Failed> {
        let (name, version, sequence) = (args.name.as_str(), args.version.clone(), args.sequence);
        let passed = args.collections.unwrap_or_default();
        self.validate(name, &version, &passed)
            .map_err(|e| format!("error validating chaincode definition: {e}"))?;
        let package = match args.source.and_then(|source| source.r#type) {
            Some(chaincode_source::Type::LocalPackage(local)) => local.package_id,
            _ => String::new(),
        };
        let mut parameters = Parameters {
            endorsement: ChaincodeEndorsementInfo {
                version,
                init_required: args.init_required,
                endorsement_plugin: args.endorsement_plugin,
            },
            validation: ChaincodeValidationInfo {
                validation_plugin: args.validation_plugin,
                validation_parameter: args.validation_parameter,
            },
            collections: passed,
        };
        let current = self.sequence(name)?;
        if current == sequence && sequence == 0 {
            return Err("requested sequence is 0, but first definable sequence number is 1"
                .to_string()
                .into());
        }
        if sequence < current {
            return Err(format!(
                "currently defined sequence {current} is larger than requested sequence {sequence}"
            )
            .into());
        }
        if sequence > next(current) {
            return Err(format!(
                "requested sequence {sequence} is larger than the next available sequence number {}",
                next(current)
            )
            .into());
        }
        parameters.set_defaults();
        if sequence == current {
            let defined = Parameters::read(name, &mut |key| self.public(key))?;
            defined.compare(&parameters).map_err(|e| format!("attempted to redefine the current committed sequence ({current}) for namespace {name} with different parameters: {e}"))?;
        }
        let key = approval(name, sequence);
        if self.is_same(org, &key, &parameters, &package)? {
            return Err(match sequence == current {
                true => format!("attempted to redefine the current committed sequence ({current}) for namespace {name}"),
                false => format!("attempted to redefine uncommitted sequence ({sequence}) for namespace {name} with unchanged content"),
            }
            .into());
        }
        self.write_own(org, NAMESPACES, &key, &parameters.approved())?;
        self.write_own(org, SOURCES, &key, &source(&package))?;
        Ok(ApproveChaincodeDefinitionForMyOrgResult {}.encode_to_vec())
    }

    /// Whether the organisation has approved this already, with this package.
    fn is_same(
        &mut self,
        org: &str,
        key: &str,
        parameters: &Parameters,
        package: &str,
    ) -> Result<bool, String> {
        if stored::metadata(NAMESPACES, key, &mut |key| self.own(org, key))?.is_none() {
            return Ok(false);
        }
        let known = Parameters::read(key, &mut |key| self.own(org, key))?;
        if known.compare(parameters).is_err() {
            return Ok(false);
        }
        Ok(package_id(key, &mut |key| self.own(org, key))?.as_deref() == Some(package))
    }

    fn write_own<const N: usize>(
        &mut self,
        org: &str,
        under: &str,
        name: &str,
        record: &Record<N>,
    ) -> Result<(), String> {
        let changes = record.changes(under, name, &mut |key| self.own(org, key))?;
        for (key, value) in changes {
            self.simulation.put_private(LIFECYCLE, &format!("{IMPLICIT}{org}"), key, value, false)?;
        }
        Ok(())
    }

    fn approved(
        &mut self,
        org: &str,
        args: &QueryApprovedChaincodeDefinitionArgs,
    ) -> Result<Vec<u8>, Failed> {
        let mut sequence = args.sequence;
        if sequence == 0 {
            // The next one where there is one already, else the one that holds.
            sequence = self.sequence(&args.name)?;
            let later = approval(&args.name, next(sequence));
            if stored::metadata(NAMESPACES, &later, &mut |key| self.own(org, key))?.is_some() {
                sequence = next(sequence);
            }
        }
        let found = self.approval(org, &args.name, sequence)?.ok_or_else(|| {
            format!(
                "could not fetch approved chaincode definition (name: '{}', sequence: '{sequence}') on channel '{}'",
                args.name, self.channel.name
            )
        })?;
        let answer = QueryApprovedChaincodeDefinitionResult {
            sequence,
            version: found.version,
            endorsement_plugin: found.endorsement_plugin,
            validation_plugin: found.validation_plugin,
            validation_parameter: found.validation_parameter,
            collections: found.collections,
            init_required: found.init_required,
            source: found.source,
        };
        Ok(answer.encode_to_vec())
    }

    fn all_approved(&mut self, org: &str) -> Result<Vec<u8>, Failed> {
        let prefix = stored::metadata_key(NAMESPACES, "");
        let mut found = Vec::new();
        for key in self.private_keys(org, &prefix)? {
            let name = key[prefix.len()..].to_owned();
            let parts = name.split_once('#').and_then(|(name, number)| Some((name, number.parse().ok()?)));
            let Some((chaincode, sequence)) = parts else { continue };
            found.extend(self.approval(org, chaincode, sequence)?);
        }
        let answer = QueryApprovedChaincodeDefinitionsResult { approved_chaincode_definitions: found };
        Ok(answer.encode_to_vec())
    }

    fn approval(
        &mut self,
        org: &str,
        name: &str,
        sequence: i64,
    ) -> Result<Option<ApprovedChaincodeDefinition>, String> {
        let key = approval(name, sequence);
        if stored::metadata(NAMESPACES, &key, &mut |key| self.own(org, key))?.is_none() {
            return Ok(None);
        }
        let Parameters { endorsement, validation, collections } =
            Parameters::read(&key, &mut |key| self.own(org, key))?;
        let package = package_id(&key, &mut |key| self.own(org, key))?
            .ok_or_else(|| format!("could not fetch chaincode-source metadata for {key}"))?;
        let source = match package.is_empty() {
            true => chaincode_source::Type::Unavailable(chaincode_source::Unavailable {}),
            false => chaincode_source::Type::LocalPackage(chaincode_source::Local { package_id: package }),
        };
        Ok(Some(ApprovedChaincodeDefinition {
            name: name.into(),
            sequence,
            version: endorsement.version,
            endorsement_plugin: endorsement.endorsement_plugin,
            validation_plugin: validation.validation_plugin,
            validation_parameter: validation.validation_parameter,
            collections: Some(collections),
            init_required: endorsement.init_required,
            source: Some(ChaincodeSource { r#type: Some(source) }),
        }))
    }

    /// The keys of an organisation that begin like this.
    fn private_keys(&mut self, org: &str, prefix: &str) -> Result<Vec<String>, String> {
        let (id, collection) = (self.simulation.next_id(), format!("{IMPLICIT}{org}"));
        let bounds = (prefix, format!("{prefix}{}", char::MAX));
        let page = self.simulation.private_range(&id, LIFECYCLE, &collection, (bounds.0, &bounds.1), PAGE)?;
        self.keys(&id, page)
    }

    /// The keys of a query, from its first page on.
    fn keys(&mut self, id: &str, mut page: crate::simulation::Page) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        loop {
            for result in &page.results {
                found.push(Kv::decode(result.as_slice()).map_err(|e| e.to_string())?.key);
            }
            if !page.more {
                return Ok(found);
            }
            page = self.simulation.next(id, PAGE)?;
        }
    }

    fn readiness(&mut self, args: CheckCommitReadinessArgs) -> Result<Vec<u8>, Failed> {
        let (sequence, name) = (args.sequence, args.name.clone());
        let (approvals, mismatches) = self.check(&name, sequence, &parameters(args))?;
        Ok(CheckCommitReadinessResult { approvals, mismatches }.encode_to_vec())
    }

    /// Who has approved a definition that would be the next, and in what others differ.
    fn check(&mut self, name: &str, sequence: i64, parameters: &Parameters) -> Result<Checked, String> {
        let current = self.sequence(name)?;
        if sequence != next(current) {
            return Err(format!(
                "requested sequence is {sequence}, but new definition must be sequence {}",
                next(current)
            ));
        }
        self.approvals(name, sequence, parameters)
    }

    fn approvals(&mut self, name: &str, sequence: i64, parameters: &Parameters) -> Result<Checked, String> {
        let (mut approvals, mut mismatches) = (BTreeMap::new(), BTreeMap::new());
        let key = approval(name, sequence);
        for org in self.orgs() {
            let items = parameters.approved().differing(NAMESPACES, &key, &mut |key| self.hash(&org, key))?;
            approvals.insert(org.clone(), items.is_empty());
            if !items.is_empty() {
                mismatches.insert(org, Mismatches { items });
            }
        }
        Ok((approvals, mismatches))
    }

    fn commit(&mut self, org: &str, args: CommitChaincodeDefinitionArgs) -> Result<Vec<u8>, Failed> {
        let passed = args.collections.clone().unwrap_or_default();
        self.validate(&args.name, &args.version, &passed)
            .map_err(|e| format!("error validating chaincode definition: {e}"))?;
        let (sequence, name) = (args.sequence, args.name.clone());
        let parameters = parameters(args);
        let (approvals, _) = self.check(&name, sequence, &parameters)?;
        let changes =
            parameters.committed(sequence).changes(NAMESPACES, &name, &mut |key| self.public(key))?;
        for (key, value) in changes {
            self.simulation.put(LIFECYCLE, key, value)?;
        }
        if approvals.get(org) != Some(&true) {
            return Err(format!("chaincode definition not agreed to by this org ({org})").into());
        }
        Ok(CommitChaincodeDefinitionResult {}.encode_to_vec())
    }

    fn definition(&mut self, args: &QueryChaincodeDefinitionArgs) -> Result<Vec<u8>, Failed> {
        let found = self.defined(&args.name)?;
        let (sequence, parameters) =
            found.ok_or_else(|| Failed::NotFound(format!("namespace {} is not defined", args.name)))?;
        let (approvals, _) = self.approvals(&args.name, sequence, &parameters)?;
        let Parameters { endorsement, validation, collections } = parameters;
        let answer = QueryChaincodeDefinitionResult {
            sequence,
            version: endorsement.version,
            endorsement_plugin: endorsement.endorsement_plugin,
            validation_plugin: validation.validation_plugin,
            validation_parameter: validation.validation_parameter,
            collections: Some(collections),
            init_required: endorsement.init_required,
            approvals,
        };
        Ok(answer.encode_to_vec())
    }

    fn definitions(&mut self) -> Result<Vec<u8>, Failed> {
        let prefix = stored::metadata_key(NAMESPACES, "");
        let id = self.simulation.next_id();
        let page = self.simulation.range(&id, LIFECYCLE, &prefix, &format!("{prefix}{}", char::MAX), PAGE)?;
        let mut found = Vec::new();
        for key in self.keys(&id, page)? {
            let name = key[prefix.len()..].to_owned();
            let Some((sequence, parameters)) = self.defined(&name)? else { continue };
            let Parameters { endorsement, validation, collections } = parameters;
            found.push(ChaincodeDefinition {
                name,
                sequence,
                version: endorsement.version,
                endorsement_plugin: endorsement.endorsement_plugin,
                validation_plugin: validation.validation_plugin,
                validation_parameter: validation.validation_parameter,
                collections: Some(collections),
                init_required: endorsement.init_required,
            });
        }
        Ok(QueryChaincodeDefinitionsResult { chaincode_definitions: found }.encode_to_vec())
    }

    fn defined(&mut self, name: &str) -> Result<Option<(i64, Parameters)>, String> {
        if stored::metadata(NAMESPACES, name, &mut |key| self.public(key))?.is_none() {
            return Ok(None);
        }
        Ok(Some((self.sequence(name)?, Parameters::read(name, &mut |key| self.public(key))?)))
    }

    /// Checks the names in a definition, and its collections against those that the channel has.
    fn validate(
        &mut self,
        name: &str,
        version: &str,
        passed: &fabric_protos::peer::CollectionConfigPackage,
    ) -> Result<(), String> {
        collections::check_names(name, version)?;
        collections::check(passed, &self.orgs())?;
        match self.defined(name)? {
            Some((_, parameters)) => collections::check_change(passed, &parameters.collections),
            // Fabric's peers look for a definition of their first releases then, and so depend on that.
            None => self.simulation.get(LEGACY, name).map(drop),
        }
    }
}

/// Who has approved, and in which fields others differ.
type Checked = (BTreeMap<String, bool>, BTreeMap<String, Mismatches>);

fn parameters(args: CheckCommitReadinessArgs) -> Parameters {
    let mut parameters = Parameters {
        endorsement: ChaincodeEndorsementInfo {
            version: args.version,
            init_required: args.init_required,
            endorsement_plugin: args.endorsement_plugin,
        },
        validation: ChaincodeValidationInfo {
            validation_plugin: args.validation_plugin,
            validation_parameter: args.validation_parameter,
        },
        collections: args.collections.unwrap_or_default(),
    };
    parameters.set_defaults();
    parameters
}

/// The sequence after one that somebody may have named.
fn next(sequence: i64) -> i64 {
    sequence.saturating_add(1)
}

fn no_channel(function: &str) -> Failed {
    Failed::Function(format!("{function} needs a channel"))
}

fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, Failed> {
    M::decode(bytes).map_err(|e| Failed::Function(format!("could not decode input arg for {LIFECYCLE}: {e}")))
}
