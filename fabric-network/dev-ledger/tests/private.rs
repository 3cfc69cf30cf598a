//! Private data and policies: who sees what, and who must endorse.

mod common;

use common::{Client, Network, assert_status, details, position};
use dev_ledger::{ChaincodeDefinition, ChannelConfig, Collection, EndorsementPolicy, Policy, Rule};
use fabric_protos::kvrwset::KvrwSet;
use fabric_protos::orderer::SeekInfo;
use fabric_protos::peer::{BlockAndPrivateData, TxValidationCode, deliver_response};
use prost::Message;
use sha2::{Digest, Sha256};
use tonic::{Code, Status};

fn members(orgs: &[u32]) -> Policy {
    let principals: Vec<_> = orgs.iter().map(|org| format!("'Org{org}MSP.member'")).collect();
    format!("OR({})", principals.join(", ")).parse().unwrap()
}

/// Three organisations; `pair` is of the first two, `short` of all for two blocks, and any one endorses.
async fn network() -> Network {
    let mut network = Network::new(3).await;
    let definition = &mut network.config.channels[0].chaincodes[0];
    definition.policy = EndorsementPolicy::ImplicitMeta(Rule::Any);
    let short = Collection { block_to_live: 2, ..Collection::new("short", members(&[1, 2, 3])) };
    definition.collections = vec![Collection::new("pair", members(&[1, 2])), short];
    network
}

async fn verdict(client: &mut Client, args: &[&str], orgs: &[&str]) -> Result<TxValidationCode, Status> {
    let proposed = client.propose(args);
    let envelope = client.endorse(&proposed, orgs).await?;
    client.submit(&proposed.id, envelope).await?;
    Ok(client.commit_status(&proposed.id).await?.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn members_see_what_others_know_by_hash() {
    let network = network().await;
    let ledger = network.serve().await;
    let [mut one, mut two, mut three] = [1, 2, 3].map(|org| network.client(&ledger, org));
    one.transact(&["put private", "pair", "k", "secret"]).await.unwrap();
    assert_eq!(one.evaluate(&["get private", "pair", "k"]).await.unwrap(), "secret");
    assert_eq!(two.evaluate(&["get private", "pair", "k"]).await.unwrap(), "secret");
    assert_eq!(two.evaluate(&["private keys", "pair", "", ""]).await.unwrap(), "k");

    // Whoever is no member reads the hash, and nothing else.
    let hash: String = Sha256::digest("secret").iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(three.evaluate(&["private hash", "pair", "k"]).await.unwrap(), hash);
    for call in [&["get private", "pair", "k"][..], &["private keys", "pair", "", ""]] {
        let error = three.evaluate(call).await.unwrap_err();
        assert!(details(&error)[0].1.contains("does not have read access permission"), "{error:?}");
    }
    let error = three.transact(&["put private", "pair", "k", "other"]).await.unwrap_err();
    assert!(details(&error)[0].1.contains("does not have write access permission"), "{error:?}");
    let error = one.evaluate(&["get private", "none", "k"]).await.unwrap_err();
    assert!(details(&error)[0].1.contains("collection confab/confab/none could not be found"), "{error:?}");
    // A member's client at a peer that has only hashes.
    let mut astray = one.clone();
    astray.gateway = three.gateway.clone();
    let error =
        astray.endorse(&astray.propose(&["get private", "pair", "k"]), &["Org3MSP"]).await.unwrap_err();
    assert!(
        details(&error)[0].1.contains("private data matching public hash version is not available"),
        "{error:?}"
    );

    // No block has the value.
    let file = std::fs::read(common::database(&network)).unwrap();
    assert!(file.windows(6).any(|bytes| bytes == b"secret"), "the members' copy");
    for number in 0..ledger.height("Org3MSP").unwrap() {
        let block = three.ask(&["GetBlockByNumber", "confab", &number.to_string()]).await.unwrap();
        assert!(!block.windows(6).any(|bytes| bytes == b"secret"), "block {number}");
    }
    ledger.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn private_reads_are_checked_and_survive_a_restart() {
    let network = network().await;
    let ledger = network.serve().await;
    let mut one = network.client(&ledger, 1);
    one.transact(&["put private", "pair", "k", "a"]).await.unwrap();
    let late = one.propose(&["add private", "pair", "k", "b"]);
    let envelope = one.endorse(&late, &[]).await.unwrap();
    one.transact(&["add private", "pair", "k", "c"]).await.unwrap();
    one.submit(&late.id, envelope).await.unwrap();
    assert_eq!(one.commit_status(&late.id).await.unwrap().0, TxValidationCode::MvccReadConflict);

    // Endorsed before, submitted after a restart: the private data waited on the disk.
    let waiting = one.propose(&["add private", "pair", "k", "d"]);
    let envelope = one.endorse(&waiting, &[]).await.unwrap();
    ledger.shutdown().await;
    let ledger = network.serve().await;
    let mut one = network.client(&ledger, 1);
    one.submit(&waiting.id, envelope).await.unwrap();
    assert_eq!(one.commit_status(&waiting.id).await.unwrap().0, TxValidationCode::Valid);
    assert_eq!(one.evaluate(&["get private", "pair", "k"]).await.unwrap(), "acd");
    ledger.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn purged_and_expired_data_is_gone() {
    let network = network().await;
    let ledger = network.serve().await;
    let [mut one, mut two] = [1, 2].map(|org| network.client(&ledger, org));
    for value in ["first", "second"] {
        one.transact(&["put private", "pair", "k", value]).await.unwrap();
    }
    one.transact(&["put private", "pair", "l", "other"]).await.unwrap();
    one.transact(&["purge private", "pair", "k"]).await.unwrap();
    assert_eq!(one.evaluate(&["get private", "pair", "k"]).await.unwrap(), "");
    assert_eq!(one.evaluate(&["private hash", "pair", "k"]).await.unwrap(), "");
    assert_eq!(two.evaluate(&["private keys", "pair", "", ""]).await.unwrap(), "l");
    // Nor do the blocks come with it any more.
    let all = with_private_data(&mut one, 1, 4).await;
    assert!(!format!("{all:?}").contains(&format!("{:?}", b"second")), "{all:?}");
    assert_eq!(private_writes(&all[2]), [("l".to_string(), b"other".to_vec())]);

    one.transact(&["put private", "short", "k", "v"]).await.unwrap();
    for i in 0..2 {
        assert_eq!(one.evaluate(&["get private", "short", "k"]).await.unwrap(), "v", "after {i} blocks");
        one.transact(&["blind", "k", "v"]).await.unwrap();
    }
    one.transact(&["blind", "k", "v"]).await.unwrap();
    assert_eq!(one.evaluate(&["get private", "short", "k"]).await.unwrap(), "");
    assert_eq!(one.evaluate(&["private hash", "short", "k"]).await.unwrap(), "");
    assert_eq!(one.evaluate(&["private keys", "short", "", ""]).await.unwrap(), "");
    assert_eq!(private_writes(&with_private_data(&mut one, 5, 5).await[0]), []);
    ledger.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_of_a_private_key_ends_with_its_data() {
    let network = network().await;
    let ledger = network.serve().await;
    let mut one = network.client(&ledger, 1);
    let put = ["put private", "short", "k", "v"];
    one.transact(&put).await.unwrap();
    one.transact(&["private policy", "short", "k", "Org2MSP"]).await.unwrap();
    let refused = verdict(&mut one, &put, &["Org1MSP"]).await.unwrap();
    assert_eq!(refused, TxValidationCode::EndorsementPolicyFailure);
    for _ in 0..2 {
        one.transact(&["blind", "k", "v"]).await.unwrap();
    }
    let policy_of = ["steps", "private-policy-of short k"];
    assert_eq!(one.evaluate(&policy_of).await.unwrap(), "");
    // Nor does it come back with the next value.
    for _ in 0..2 {
        assert_eq!(verdict(&mut one, &put, &["Org1MSP"]).await.unwrap(), TxValidationCode::Valid);
        assert_eq!(one.evaluate(&policy_of).await.unwrap(), "");
    }
    ledger.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_come_with_the_private_data_of_members() {
    let network = network().await;
    let ledger = network.serve().await;
    let [mut one, mut three] = [1, 3].map(|org| network.client(&ledger, org));
    one.transact(&["put private", "pair", "k", "v"]).await.unwrap();
    let own = with_private_data(&mut one, 1, 1).await;
    assert_eq!(private_writes(&own[0]), [("k".to_string(), b"v".to_vec())]);
    let others = with_private_data(&mut three, 1, 1).await;
    assert_eq!((private_writes(&others[0]), &others[0].block), (vec![], &own[0].block));
    ledger.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_may_have_a_policy_of_its_own() {
    let network = network().await;
    let ledger = network.serve().await;
    let mut one = network.client(&ledger, 1);
    one.transact(&["blind", "k", "0"]).await.unwrap();
    one.transact(&["policy", "k", "Org2MSP", "Org3MSP"]).await.unwrap();
    assert!(!one.evaluate(&["policy of", "k"]).await.unwrap().is_empty());
    // One is enough for other keys, and not for this one; the gateway finds out by itself.
    assert_eq!(verdict(&mut one, &["blind", "l", "1"], &["Org1MSP"]).await.unwrap(), TxValidationCode::Valid);
    for (orgs, expected) in [
        (&["Org1MSP"][..], TxValidationCode::EndorsementPolicyFailure),
        (&["Org1MSP", "Org2MSP"], TxValidationCode::EndorsementPolicyFailure),
        (&["Org2MSP", "Org3MSP"], TxValidationCode::Valid),
        (&[], TxValidationCode::Valid),
    ] {
        assert_eq!(verdict(&mut one, &["blind", "k", "1"], orgs).await.unwrap(), expected, "{orgs:?}");
    }
    // The policy guards itself, and stays with the key when the value changes.
    let changed = verdict(&mut one, &["policy", "k", "Org1MSP"], &["Org1MSP"]).await.unwrap();
    assert_eq!(changed, TxValidationCode::EndorsementPolicyFailure);
    one.transact(&["del", "k"]).await.unwrap();
    assert_eq!(verdict(&mut one, &["blind", "k", "2"], &["Org1MSP"]).await.unwrap(), TxValidationCode::Valid);

    one.transact(&["put private", "pair", "k", "v"]).await.unwrap();
    one.transact(&["private policy", "pair", "k", "Org2MSP"]).await.unwrap();
    assert_eq!(one.evaluate(&["get private", "pair", "k"]).await.unwrap(), "v");
    let refused = verdict(&mut one, &["put private", "pair", "k", "w"], &["Org1MSP"]).await.unwrap();
    assert_eq!(refused, TxValidationCode::EndorsementPolicyFailure);
    assert_eq!(
        verdict(&mut one, &["put private", "pair", "k", "w"], &[]).await.unwrap(),
        TxValidationCode::Valid
    );
    ledger.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signature_policies_decide_who_is_asked() {
    let mut network = Network::new(3).await;
    let policy = "OutOf(2, 'Org2MSP.peer', 'Org3MSP.peer')".parse().unwrap();
    network.config.channels[0].chaincodes[0].policy = EndorsementPolicy::Signature(policy);
    let ledger = network.serve().await;
    let mut one = network.client(&ledger, 1);
    assert_eq!(one.transact(&["put", "k", "v"]).await.unwrap().0, TxValidationCode::Valid);
    let verdict = verdict(&mut one, &["put", "k", "w"], &["Org1MSP", "Org2MSP"]).await.unwrap();
    assert_eq!(verdict, TxValidationCode::EndorsementPolicyFailure);
    network.config.orgs[2].chaincodes.clear();
    ledger.shutdown().await;

    let ledger = network.serve().await;
    let mut one = network.client(&ledger, 1);
    let error = one.transact(&["put", "k", "w"]).await.unwrap_err();
    assert_status(&error, Code::FailedPrecondition, "no combination of peers can be derived");
    ledger.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_are_ledgers_of_their_own() {
    let mut network = Network::new(2).await;
    let mut second = ChannelConfig::new("second", vec![ChaincodeDefinition::new("confab", "2.0")]);
    second.orgs = vec!["Org1MSP".into()];
    network.config.channels.push(second);
    let ledger = network.serve().await;
    let [mut one, two] = [1, 2].map(|org| network.client(&ledger, org));
    let on_second = |header: &mut fabric_protos::common::ChannelHeader| header.channel_id = "second".into();
    one.transact(&["put", "k", "first"]).await.unwrap();
    let proposed = one.propose_as(&["put", "k", "second"], on_second);
    let envelope = one.endorse(&proposed, &[]).await.unwrap();
    one.submit_on("second", &proposed.id, envelope).await.unwrap();
    assert_eq!(one.commit_status_on("second", &proposed.id).await.unwrap(), (TxValidationCode::Valid, 1));
    assert_eq!(one.evaluate(&["get", "k"]).await.unwrap(), "first");
    let read = one.propose_as(&["get", "k"], on_second);
    assert_eq!(one.evaluate_proposed(read.clone()).await.unwrap(), "second");
    // The other organisation is not on it.
    let mut stranger = one.clone();
    stranger.gateway = two.gateway.clone();
    let error = stranger.evaluate_proposed(read).await.unwrap_err();
    assert_status(&error, Code::Unavailable, "failed to get config for channel [second]");
    ledger.shutdown().await;

    let ledger = network.serve().await;
    let mut one = network.client(&ledger, 1);
    let read = one.propose_as(&["get", "k"], on_second);
    assert_eq!(one.evaluate_proposed(read).await.unwrap(), "second");
    ledger.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chaincodes_call_each_other() {
    let mut network = Network::new(2).await;
    network.config.channels[0].chaincodes.push(ChaincodeDefinition::new("other", "1.0"));
    let other = network.extra_service().await;
    for org in &mut network.config.orgs {
        org.chaincodes.insert("other".into(), other[&org.msp_id].clone());
    }
    let ledger = network.serve().await;
    let mut one = network.client(&ledger, 1);
    one.transact(&["put", "k", "mine"]).await.unwrap();
    assert_eq!(
        one.transact(&["call", "other", "put", "k", "theirs"]).await.unwrap().0,
        TxValidationCode::Valid
    );
    assert_eq!(one.evaluate(&["get", "k"]).await.unwrap(), "mine");
    assert_eq!(one.evaluate(&["call", "other", "get", "k"]).await.unwrap(), "200 theirs");
    for (call, said) in [
        (&["call", "nobody", "get", "k"][..], "chaincode nobody not found"),
        (&["call", "confab", "get", "k"], "exists"),
    ] {
        let error = one.evaluate(call).await.unwrap_err();
        assert!(details(&error)[0].1.contains(said), "{error:?}");
    }
    ledger.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_and_pages_are_told() {
    let network = Network::new(1).await;
    let ledger = network.serve().await;
    let mut one = network.client(&ledger, 1);
    for call in [&["blind", "k", "1"][..], &["blind", "k", "2"], &["policy", "k", "Org1MSP"], &["del", "k"]] {
        one.transact(call).await.unwrap();
    }
    assert_eq!(one.evaluate(&["history", "k"]).await.unwrap(), "deleted,2,1");
    assert_eq!(one.evaluate(&["history", "none"]).await.unwrap(), "");
    one.transact(&["put", "p1", "v", "p2", "v", "p3", "v"]).await.unwrap();
    assert_eq!(one.evaluate(&["page", "p", "q", "2", ""]).await.unwrap(), "p1,p2 then \"p3\"");
    assert_eq!(one.evaluate(&["page", "p", "q", "2", "p3"]).await.unwrap(), "p3 then \"\"");
    ledger.shutdown().await;
}

/// Blocks `first` to `last` with the private data that the client may see.
async fn with_private_data(client: &mut Client, first: u64, last: u64) -> Vec<BlockAndPrivateData> {
    let seek = SeekInfo { start: position(first), stop: position(last), ..Default::default() };
    let request = tokio_stream::once(client.seek(seek, |_| {}));
    let mut answers = client.deliver.deliver_with_private_data(request).await.unwrap().into_inner();
    let mut found = Vec::new();
    while let Some(deliver_response::Type::BlockAndPrivateData(block)) =
        answers.message().await.unwrap().unwrap().r#type
    {
        found.push(block);
    }
    found
}

/// The keys and values that come with a block.
fn private_writes(block: &BlockAndPrivateData) -> Vec<(String, Vec<u8>)> {
    let sets = block.private_data_map.values().flat_map(|set| &set.ns_pvt_rwset);
    let sets = sets.flat_map(|set| &set.collection_pvt_rwset);
    let writes = sets.flat_map(|set| KvrwSet::decode(set.rwset.as_slice()).unwrap().writes);
    writes.map(|write| (write.key, write.value)).collect()
}
