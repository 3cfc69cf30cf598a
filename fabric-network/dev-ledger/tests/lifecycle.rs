//! Fabric's lifecycle of chaincodes on real Fabric and here: packages, approvals, definitions, and what then endorses.

mod common;
#[path = "common/fabric.rs"]
mod fabric;

use common::transcript::{Transcript, compare, outcome};
use common::{Client, Keys, Network};
use fabric::Fabric;
use fabric_protos::common::Envelope;
use fabric_protos::lifecycle::*;
use fabric_protos::peer::{
    ApplicationPolicy, CollectionConfig, CollectionConfigPackage, CollectionPolicyConfig, ProposalResponse,
    ProposalResponsePayload, StaticCollectionConfig, application_policy, collection_config,
    collection_policy_config,
};
use msp::Policy;
use prost::Message;
use shim::Server;
use std::time::Duration;
use tokio::net::TcpListener;
use tonic::Status;

/// How often something is tried that takes real peers a while.
const TRIES: usize = 200;

const APPROVE: &str = "ApproveChaincodeDefinitionForMyOrg";
const COMMIT: &str = "CommitChaincodeDefinition";

/// An organisation: its administrator, somebody else, and its package.
struct Org {
    admin: Client,
    user: Client,
    msp_id: &'static str,
    package: Vec<u8>,
    package_id: String,
}

/// A package of a service, as `peer lifecycle chaincode package` makes it.
fn package(label: &str, address: &str) -> Vec<u8> {
    let connection = format!("{{\"address\":\"{address}\",\"dial_timeout\":\"10s\",\"tls_required\":false}}");
    let metadata = format!("{{\"type\":\"ccaas\",\"label\":\"{label}\"}}");
    let code = archive(&[("connection.json", connection.as_bytes())]);
    archive(&[("metadata.json", metadata.as_bytes()), ("code.tar.gz", &code)])
}

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, *content).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

/// Calls a function of `_lifecycle` on the channel or without one.
async fn call(
    client: &mut Client,
    channel: &str,
    function: &str,
    argument: &impl Message,
) -> Result<ProposalResponse, Status> {
    let args = [function.as_bytes(), &argument.encode_to_vec()];
    let proposed = client.propose_bytes("_lifecycle", &args, |header| header.channel_id = channel.into());
    client.process(&proposed).await
}

/// What a function answers.
async fn ask<M: Message + Default>(
    client: &mut Client,
    channel: &str,
    function: &str,
    argument: &impl Message,
) -> Result<M, String> {
    let response = call(client, channel, function, argument).await.unwrap().response.unwrap();
    match response.status {
        200 => Ok(M::decode(response.payload.as_slice()).unwrap()),
        status => Err(format!("{status} {}", response.message)),
    }
}

/// Submits a call through the gateway; gives the verdict once both peers have it.
async fn submit(
    client: &mut Client,
    other: &mut Client,
    (function, orgs): (&str, &[&str]),
    argument: &impl Message,
) -> Result<String, Status> {
    let args = [function.as_bytes(), &argument.encode_to_vec()];
    let proposed = client.propose_bytes("_lifecycle", &args, |_| {});
    let envelope = client.endorse(&proposed, orgs).await?;
    client.submit(&proposed.id, envelope).await?;
    other.commit_status(&proposed.id).await?;
    Ok(client.commit_status(&proposed.id).await?.0.as_str_name().into())
}

fn definition(sequence: i64, version: &str) -> CheckCommitReadinessArgs {
    CheckCommitReadinessArgs { sequence, name: "extra".into(), version: version.into(), ..Default::default() }
}

fn approval(
    definition: &CheckCommitReadinessArgs,
    package_id: &str,
) -> ApproveChaincodeDefinitionForMyOrgArgs {
    let local = chaincode_source::Local { package_id: package_id.into() };
    let definition = definition.clone();
    ApproveChaincodeDefinitionForMyOrgArgs {
        sequence: definition.sequence,
        name: definition.name,
        version: definition.version,
        endorsement_plugin: definition.endorsement_plugin,
        validation_plugin: definition.validation_plugin,
        validation_parameter: definition.validation_parameter,
        collections: definition.collections,
        init_required: definition.init_required,
        source: Some(ChaincodeSource { r#type: Some(chaincode_source::Type::LocalPackage(local)) }),
    }
}

fn collection(name: &str, members: &str, lives: u64) -> CollectionConfig {
    let members = members.parse::<Policy>().unwrap().to_envelope();
    let members = collection_policy_config::Payload::SignaturePolicy(members);
    let config = StaticCollectionConfig {
        name: name.into(),
        member_orgs_policy: Some(CollectionPolicyConfig { payload: Some(members) }),
        maximum_peer_count: 1,
        block_to_live: lives,
        ..Default::default()
    };
    CollectionConfig { payload: Some(collection_config::Payload::StaticCollectionConfig(config)) }
}

fn with_collections(
    definition: CheckCommitReadinessArgs,
    config: Vec<CollectionConfig>,
) -> CheckCommitReadinessArgs {
    CheckCommitReadinessArgs { collections: Some(CollectionConfigPackage { config }), ..definition }
}

async fn run(orgs: &mut [Org; 2], is_2_5: bool) -> Vec<String> {
    let mut t = Transcript::default();
    packages(&mut t, orgs).await;
    refusals(&mut t, orgs).await;
    approvals(&mut t, orgs, is_2_5).await;
    commitment(&mut t, orgs, is_2_5).await;
    called(&mut t, orgs).await;
    redefined(&mut t, orgs, is_2_5).await;
    initialised(&mut t, orgs).await;
    t.0
}

async fn packages(t: &mut Transcript, orgs: &mut [Org; 2]) {
    let user =
        call(&mut orgs[0].user, "", "QueryInstalledChaincodes", &QueryInstalledChaincodesArgs {}).await;
    let refusal = user.unwrap().response.unwrap();
    t.note("installed for a user", (refusal.status, refusal.message.split(':').next().unwrap().to_owned()));
    for (what, bytes) in
        [("garbage", b"no archive".to_vec()), ("no code", archive(&[("metadata.json", b"{}")]))]
    {
        let args = InstallChaincodeArgs { chaincode_install_package: bytes };
        let answer = ask::<InstallChaincodeResult>(&mut orgs[0].admin, "", "InstallChaincode", &args).await;
        t.note(&format!("install {what}"), answer);
    }
    for org in orgs.iter_mut() {
        let args = InstallChaincodeArgs { chaincode_install_package: org.package.clone() };
        let answer: InstallChaincodeResult =
            ask(&mut org.admin, "", "InstallChaincode", &args).await.unwrap();
        t.note("install", (&answer.label, answer.package_id == org.package_id));
        let again = ask::<InstallChaincodeResult>(&mut org.admin, "", "InstallChaincode", &args).await;
        t.note("install again", again);
        let args = QueryInstalledChaincodesArgs {};
        let all: QueryInstalledChaincodesResult =
            ask(&mut org.admin, "", "QueryInstalledChaincodes", &args).await.unwrap();
        let own: Vec<_> =
            all.installed_chaincodes.iter().filter(|one| one.package_id == org.package_id).collect();
        t.note("installed", own);
        let args = GetInstalledChaincodePackageArgs { package_id: org.package_id.clone() };
        let got: GetInstalledChaincodePackageResult =
            ask(&mut org.admin, "", "GetInstalledChaincodePackage", &args).await.unwrap();
        t.note("package", got.chaincode_install_package == org.package);
    }
    let admin = &mut orgs[0].admin;
    let package_id = "extra_1:0123".to_string();
    let args = GetInstalledChaincodePackageArgs { package_id: package_id.clone() };
    let unknown =
        ask::<GetInstalledChaincodePackageResult>(admin, "", "GetInstalledChaincodePackage", &args).await;
    t.note("unknown package", unknown);
    let args = QueryInstalledChaincodeArgs { package_id };
    let unknown = ask::<QueryInstalledChaincodeResult>(admin, "", "QueryInstalledChaincode", &args).await;
    t.note("unknown installed", unknown);
}

async fn refusals(t: &mut Transcript, orgs: &mut [Org; 2]) {
    let admin = &mut orgs[0].admin;
    for args in [&[][..], &[&b"QueryChaincodeDefinitions"[..]], &[b"a", b"b", b"c"], &[b"Nothing", b""]] {
        let proposed = admin.propose_bytes("_lifecycle", args, |_| {});
        t.call(&format!("{} arguments", args.len()), admin.process(&proposed).await.map(|a| a.response));
    }
    let name = QueryChaincodeDefinitionArgs { name: "extra".into() };
    let unknown = call(admin, "confab", "QueryChaincodeDefinition", &name).await;
    t.call("undefined", unknown.map(|answer| (answer.response, answer.endorsement.is_some())));
    let args = QueryApprovedChaincodeDefinitionArgs { name: "extra".into(), sequence: 0 };
    let none = ask::<QueryApprovedChaincodeDefinitionResult>(
        admin,
        "confab",
        "QueryApprovedChaincodeDefinition",
        &args,
    );
    t.note("not approved", none.await);
    let named = |name: &str| CheckCommitReadinessArgs { name: name.into(), ..definition(1, "1") };
    let members = "OR('Org1MSP.member','Org2MSP.member')";
    for (what, definition) in [
        ("no name", named("")),
        ("a name with a blank", named("a b")),
        ("a name that ends with a dash", named("a-")),
        ("a system chaincode", named("qscc")),
        ("a bad version", definition(1, "1/0")),
        ("sequence 0", definition(0, "1")),
        ("sequence 2", definition(2, "1")),
        ("a negative sequence", definition(-1, "1")),
        ("a collection twice", with_collections(definition(1, "1"), vec![collection("c", members, 0); 2])),
        ("an implicit collection", with_collections(definition(1, "1"), vec![collection("_c", members, 0)])),
        (
            "a stranger's collection",
            with_collections(definition(1, "1"), vec![collection("c", "OR('Org9MSP.member')", 0)]),
        ),
        (
            "a collection of all",
            with_collections(
                definition(1, "1"),
                vec![collection("c", "AND('Org1MSP.member','Org2MSP.member')", 0)],
            ),
        ),
    ] {
        let args = approval(&definition, "extra_1:0123");
        let answer = ask::<ApproveChaincodeDefinitionForMyOrgResult>(
            admin,
            "confab",
            "ApproveChaincodeDefinitionForMyOrg",
            &args,
        );
        t.note(&format!("approve {what}"), answer.await);
    }
    for sequence in [0, 2] {
        let args = definition(sequence, "1");
        let answer = ask::<CheckCommitReadinessResult>(admin, "confab", "CheckCommitReadiness", &args).await;
        t.note(&format!("readiness of sequence {sequence}"), answer);
    }
    let args = approval(&definition(1, "1"), "extra_1:0123");
    let user = call(&mut orgs[0].user, "confab", "ApproveChaincodeDefinitionForMyOrg", &args).await.unwrap();
    let refusal = user.response.unwrap();
    t.note("a user approves", (refusal.status, refusal.message.split(':').next().unwrap().to_owned()));
}

async fn approvals(t: &mut Transcript, orgs: &mut [Org; 2], is_2_5: bool) {
    let [one, two] = orgs;
    let definition = definition(1, "1.0");
    let args = approval(&definition, "extra_1:0123");
    let endorsed = call(&mut one.admin, "confab", "ApproveChaincodeDefinitionForMyOrg", &args).await.unwrap();
    t.note("what an approval reads and writes", outcome(&payload(&endorsed)));
    t.note("whom it concerns", endorsed.interest);
    let readiness =
        ask::<CheckCommitReadinessResult>(&mut one.user, "confab", "CheckCommitReadiness", &definition).await;
    t.note("readiness", readiness.map(|ready| without_mismatches(ready, is_2_5)));
    let own = approval(&definition, &one.package_id);
    // The gateway asks whom the definitions' own policy names, and the other organisation's peer refuses.
    let by_all = submit(&mut one.admin, &mut two.user, (APPROVE, &[]), &own).await;
    t.call("approve by whoever is found", by_all);
    let verdict = submit(&mut one.admin, &mut two.user, (APPROVE, &["Org1MSP"]), &own).await;
    t.call("approve", verdict);
    let again = ask::<ApproveChaincodeDefinitionForMyOrgResult>(
        &mut one.admin,
        "confab",
        "ApproveChaincodeDefinitionForMyOrg",
        &own,
    );
    t.note("approve again", again.await);
    for client in [&mut one.user, &mut two.user] {
        let other = CheckCommitReadinessArgs { version: "other".into(), ..definition.clone() };
        for (what, definition) in [("the same", &definition), ("another", &other)] {
            let ready =
                ask::<CheckCommitReadinessResult>(client, "confab", "CheckCommitReadiness", definition).await;
            t.note(&format!("readiness of {what}"), ready.map(|ready| without_mismatches(ready, is_2_5)));
        }
    }
    let args = QueryApprovedChaincodeDefinitionArgs { name: "extra".into(), sequence: 0 };
    for org in [&mut *one, &mut *two] {
        let found = ask::<QueryApprovedChaincodeDefinitionResult>(
            &mut org.admin,
            "confab",
            "QueryApprovedChaincodeDefinition",
            &args,
        );
        t.note(&format!("approved by {}", org.msp_id), found.await);
    }
}

/// 2.5 does not say in what approvals differ.
fn without_mismatches(ready: CheckCommitReadinessResult, is_2_5: bool) -> CheckCommitReadinessResult {
    let mismatches = if is_2_5 { Default::default() } else { ready.mismatches };
    CheckCommitReadinessResult { mismatches, ..ready }
}

fn payload(answer: &ProposalResponse) -> ProposalResponsePayload {
    ProposalResponsePayload::decode(answer.payload.as_slice()).unwrap()
}

async fn commitment(t: &mut Transcript, orgs: &mut [Org; 2], is_2_5: bool) {
    let [one, two] = orgs;
    let definition = definition(1, "1.0");
    let commit = |client: &Client| {
        let mut client = client.clone();
        let definition = definition.clone();
        async move { call(&mut client, "confab", "CommitChaincodeDefinition", &definition).await.unwrap() }
    };
    t.note("commit without agreement", commit(&two.user).await.response);
    let own = approval(&definition, &two.package_id);
    let verdict = submit(&mut two.admin, &mut one.user, (APPROVE, &["Org2MSP"]), &own).await;
    t.call("the other approves", verdict);
    let endorsed = commit(&one.user).await;
    t.note("what a commit reads and writes", outcome(&payload(&endorsed)));
    t.note("whom it concerns", endorsed.interest);
    let verdict = submit(&mut one.user, &mut two.user, (COMMIT, &[]), &definition).await;
    t.call("commit", verdict);
    t.note("commit again", commit(&one.user).await.response);
    let name = QueryChaincodeDefinitionArgs { name: "extra".into() };
    for client in [&mut one.user, &mut two.user] {
        let found =
            ask::<QueryChaincodeDefinitionResult>(client, "confab", "QueryChaincodeDefinition", &name).await;
        t.note("definition", found);
        let args = QueryChaincodeDefinitionsArgs {};
        let mut all: QueryChaincodeDefinitionsResult =
            ask(client, "confab", "QueryChaincodeDefinitions", &args).await.unwrap();
        all.chaincode_definitions.sort_by(|one, other| one.name.cmp(&other.name));
        t.note("definitions", all);
    }
    let args = QueryInstalledChaincodesArgs {};
    let found = eventually(async || {
        let all: QueryInstalledChaincodesResult =
            ask(&mut one.admin, "", "QueryInstalledChaincodes", &args).await.unwrap();
        let own =
            all.installed_chaincodes.into_iter().find(|found| found.package_id == one.package_id).unwrap();
        match own.references.is_empty() {
            true => Err("no references".into()),
            false => Ok(own.references),
        }
    });
    t.note("what runs from the package", found.await);
    let changed =
        approval(&CheckCommitReadinessArgs { init_required: true, ..definition.clone() }, "extra_1:0123");
    let unchanged = approval(&definition, &one.package_id);
    // 2.5 has the same approved once more.
    for (what, args) in
        [("other", changed), ("the same", unchanged)].into_iter().take(2 - usize::from(is_2_5))
    {
        let answer = ask::<ApproveChaincodeDefinitionForMyOrgResult>(
            &mut one.admin,
            "confab",
            "ApproveChaincodeDefinitionForMyOrg",
            &args,
        );
        t.note(&format!("approve {what} for what holds"), answer.await);
    }
}

/// Tries until it works.
async fn eventually<T>(mut attempt: impl AsyncFnMut() -> Result<T, String>) -> T {
    let mut reason = String::new();
    for _ in 0..TRIES {
        match attempt().await {
            Ok(found) => return found,
            Err(e) => reason = e,
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not within {TRIES} tries: {reason}");
}

/// Endorsed as soon as it can be.
async fn endorsed(client: &mut Client, args: &[&str], orgs: &[&str]) -> (String, Envelope) {
    eventually(async || {
        let proposed = client.propose_to("extra", args, |_| {});
        let envelope = client.endorse(&proposed, orgs).await.map_err(|e| format!("{e:?}"))?;
        Ok((proposed.id, envelope))
    })
    .await
}

async fn verdict(client: &mut Client, args: &[&str], orgs: &[&str]) -> String {
    let (id, envelope) = endorsed(client, args, orgs).await;
    client.submit(&id, envelope).await.unwrap();
    client.commit_status(&id).await.unwrap().0.as_str_name().into()
}

async fn called(t: &mut Transcript, orgs: &mut [Org; 2]) {
    let user = &mut orgs[0].user;
    let all = ["Org1MSP", "Org2MSP"];
    t.note("written", verdict(user, &["blind", "k", "v"], &all).await);
    t.note("written by one", verdict(user, &["blind", "k", "w"], &["Org1MSP"]).await);
    let proposed = user.propose_to("extra", &["get", "k"], |_| {});
    t.call("read", user.evaluate_proposed(proposed).await);
    let (_, envelope) = endorsed(user, &["add", "k", "x"], &all).await;
    t.note("read/write set", common::transcript::rwset(&envelope));
    t.note("who endorses", {
        let (_, envelope) = endorsed(user, &["blind", "k", "x"], &[]).await;
        common::transcript::endorsers(&envelope)
    });
}

async fn redefined(t: &mut Transcript, orgs: &mut [Org; 2], is_2_5: bool) {
    let [one, _] = orgs;
    let policy = "OR('Org1MSP.peer','Org2MSP.peer')".parse::<Policy>().unwrap().to_envelope();
    let policy = ApplicationPolicy { r#type: Some(application_policy::Type::SignaturePolicy(policy)) };
    let members = "OR('Org1MSP.member','Org2MSP.member')";
    let definition = with_collections(
        CheckCommitReadinessArgs { validation_parameter: policy.encode_to_vec(), ..definition(2, "2.0") },
        vec![collection("pair", members, 7)],
    );
    // Endorsed under the old definition, ordered after the new one.
    let (late, envelope) = endorsed(&mut one.user, &["blind", "late", "v"], &["Org1MSP", "Org2MSP"]).await;
    for (own, other) in [(0, 1), (1, 0)] {
        let args = approval(&definition, &orgs[own].package_id);
        let (mut admin, msp_id) = (orgs[own].admin.clone(), orgs[own].msp_id);
        let verdict = submit(&mut admin, &mut orgs[other].user, (APPROVE, &[msp_id]), &args).await;
        t.call("approve the second", verdict);
    }
    let [one, two] = orgs;
    t.call("commit the second", submit(&mut one.user, &mut two.user, (COMMIT, &[]), &definition).await);
    one.user.submit(&late, envelope).await.unwrap();
    t.note("endorsed before", one.user.commit_status(&late).await.unwrap().0);
    t.note("written by one", verdict(&mut one.user, &["blind", "k", "2"], &["Org1MSP"]).await);
    t.note("private", verdict(&mut one.user, &["put private", "pair", "k", "secret"], &["Org1MSP"]).await);
    let read = eventually(async || {
        let proposed = two.user.propose_to("extra", &["get private", "pair", "k"], |_| {});
        let found = two.user.evaluate_proposed(proposed).await.map_err(|e| format!("{e:?}"))?;
        if found.is_empty() { Err("nothing".into()) } else { Ok(found) }
    });
    t.note("read by the other", read.await);
    // 2.5 has no such function.
    if !is_2_5 {
        let args = QueryApprovedChaincodeDefinitionsArgs {};
        let mut approved: QueryApprovedChaincodeDefinitionsResult =
            ask(&mut one.admin, "confab", "QueryApprovedChaincodeDefinitions", &args).await.unwrap();
        approved.approved_chaincode_definitions.retain(|one| one.name == "extra");
        approved.approved_chaincode_definitions.sort_by_key(|one| one.sequence);
        t.note("all that was approved", approved);
    }
    for (what, definition) in [
        ("without the collection", CheckCommitReadinessArgs { collections: None, ..definition.clone() }),
        ("with another life", with_collections(definition.clone(), vec![collection("pair", members, 8)])),
    ] {
        let args = approval(&CheckCommitReadinessArgs { sequence: 3, ..definition }, "");
        let answer = ask::<ApproveChaincodeDefinitionForMyOrgResult>(
            &mut one.admin,
            "confab",
            "ApproveChaincodeDefinitionForMyOrg",
            &args,
        );
        t.note(&format!("approve {what}"), answer.await);
    }
}

/// A definition whose chaincode has to be initialised first.
async fn initialised(t: &mut Transcript, orgs: &mut [Org; 2]) {
    let early = orgs[0].user.propose_init("extra", &["blind", "k", "early"]);
    t.call("init that is not asked for", orgs[0].user.process(&early).await.map(|answer| answer.response));
    let members = "OR('Org1MSP.member','Org2MSP.member')";
    let definition = with_collections(
        CheckCommitReadinessArgs { init_required: true, ..definition(3, "3.0") },
        vec![collection("pair", members, 7)],
    );
    for (own, other) in [(0, 1), (1, 0)] {
        let args = approval(&definition, &orgs[own].package_id);
        let (mut admin, msp_id) = (orgs[own].admin.clone(), orgs[own].msp_id);
        let verdict = submit(&mut admin, &mut orgs[other].user, (APPROVE, &[msp_id]), &args).await;
        t.call("approve the third", verdict);
    }
    let [one, two] = orgs;
    let verdict = submit(&mut one.user, &mut two.user, (COMMIT, &[]), &definition).await;
    t.call("commit the third", verdict);
    let user = &mut one.user;
    let uninitialised = user.propose_to("extra", &["get", "k"], |_| {});
    let answer = user.process(&uninitialised).await.map(|answer| answer.response.unwrap());
    // The transaction's id is in the words.
    t.call(
        "before init",
        answer.map(|response| response.message.split_once(": ").map(|(_, rest)| rest.to_owned())),
    );
    let init = eventually(async || {
        let proposed = user.propose_init("extra", &["blind", "k", "new"]);
        let envelope =
            user.endorse(&proposed, &["Org1MSP", "Org2MSP"]).await.map_err(|e| format!("{e:?}"))?;
        Ok((proposed.id, envelope))
    });
    let (id, envelope) = init.await;
    t.note("what an init reads and writes", common::transcript::rwset(&envelope));
    user.submit(&id, envelope).await.unwrap();
    t.note("init", user.commit_status(&id).await.unwrap().0);
    let again = user.propose_init("extra", &["blind", "k", "again"]);
    t.call("init again", user.process(&again).await.map(|answer| answer.response));
    let proposed = user.propose_to("extra", &["get", "k"], |_| {});
    t.call("after init", user.process(&proposed).await.map(|answer| answer.response));
}

/// An organisation with its package, and the service that the package leads to.
async fn org(admin: Client, user: Client, msp_id: &'static str) -> Org {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let package = package("extra_1", &listener.local_addr().unwrap().to_string());
    let hash: String = dev_ledger_hash(&package);
    let package_id = format!("extra_1:{hash}");
    let server = Server::builder(Keys { msp_id: msp_id.into() }).package_id(package_id.clone());
    tokio::spawn(async move { server.serve(listener, std::future::pending()).await.unwrap() });
    Org { admin, user, msp_id, package, package_id }
}

fn dev_ledger_hash(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn on_fabric(is_2_5: bool) -> Vec<String> {
    let fabric = Fabric::up(Vec::new()).await;
    let one = org(fabric.admin(0), fabric.client(0), "Org1MSP").await;
    let two = org(fabric.admin(1), fabric.client(1), "Org2MSP").await;
    run(&mut [one, two], is_2_5).await
}

async fn on_dev_ledger(is_2_5: bool) -> Vec<String> {
    let network = Network::new(2).await;
    let ledger = network.serve().await;
    let one = org(network.admin(&ledger, 1), network.client(&ledger, 1), "Org1MSP").await;
    let two = org(network.admin(&ledger, 2), network.client(&ledger, 2), "Org2MSP").await;
    let mut orgs = [one, two];
    let transcript = run(&mut orgs, is_2_5).await;
    ledger.shutdown().await;

    // All of it is there again after a restart: definition, packages, data.
    let ledger = network.serve().await;
    let mut user = network.client(&ledger, 1);
    let proposed = user.propose_to("extra", &["get", "k"], |_| {});
    assert_eq!(user.evaluate_proposed(proposed).await.unwrap(), "2");
    ledger.shutdown().await;
    transcript
}

#[tokio::test(flavor = "multi_thread")]
async fn real_fabric_defines_alike() {
    let found = launcher::Binaries::find();
    let is_2_5 = found.as_ref().is_ok_and(|found| found.generation().unwrap() == launcher::Generation::V2);
    let ours = on_dev_ledger(is_2_5).await;
    assert!(ours.len() > 60, "{} answers", ours.len());
    if found.is_err() {
        eprintln!("SKIPPED: real_fabric_defines_alike: real Fabric not found; set FABRIC_HOME");
        return;
    }
    compare(&ours, &on_fabric(is_2_5).await);
}
