//! What a contract can do with its peer: the shim's example `keys` on a network of three organisations.

use crate::fixture::{
    Ledger, On,
    calls::{Org, call, eventually, keys},
};
use crate::harness::{Test, test};
use fabric_protos::services::ChaincodeClient;
use gateway_client::TxValidationCode;
use launcher::Kind;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::time::Duration;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

pub const TESTS: &[Test] = &[test!(functions on Dev, Fabric)];

async fn ranges_and_tables_are_read_whole_and_by_pages(one: &Org) {
    for key in ["a", "b", "c", "\u{e4}"] {
        one.submit(&["put", key, "1"]).await;
    }
    one.submit(&["fill", "t", "25"]).await;
    let parts = |from: usize, to: usize| (from..to).map(|n| format!("t/{n:05}")).collect::<Vec<_>>();
    // Simple keys and composite ones are never in each other's ranges.
    assert_eq!(one.json(&["range", "", ""]).await, json!(["a", "b", "c", "probe", "\u{e4}"]));
    assert_eq!(one.json(&["range", "b", "probe"]).await, json!(["b", "c"]));
    assert_eq!(one.json(&["first two", "", ""]).await, json!(["a", "b"]));
    assert_eq!(one.json(&["table", "t"]).await, json!(parts(0, 25)));
    assert_eq!(one.json(&["table", "t", "00003"]).await, json!(["t/00003"]), "just the key");
    assert_eq!(one.json(&["table", "t", "0000"]).await, json!([]), "attributes are whole");
    assert_eq!(one.get(&["count", "t"]).await, "25");

    let page =
        |keys: Value, count: usize, mark: &str| json!({ "keys": keys, "count": count, "bookmark": mark });
    assert_eq!(one.json(&["page", "", "", "2", ""]).await, page(json!(["a", "b"]), 2, "c"));
    assert_eq!(one.json(&["page", "", "", "2", "c"]).await, page(json!(["c", "probe"]), 2, "\u{e4}"));
    assert_eq!(one.json(&["page", "", "", "2", "\u{e4}"]).await, page(json!(["\u{e4}"]), 1, ""));
    assert_eq!(one.json(&["page", "", "c", "2", ""]).await, page(json!(["a", "b"]), 2, ""));
    assert_eq!(one.json(&["page", "x", "y", "2", ""]).await, page(json!([]), 0, ""));
    let mut bookmark = String::new();
    for (from, to) in [(0, 10), (10, 20), (20, 25)] {
        let answer = one.json(&["table page", "t", "10", &bookmark]).await;
        assert_eq!(answer["keys"], json!(parts(from, to)));
        assert_eq!(answer["count"], to - from);
        bookmark = answer["bookmark"].as_str().unwrap().into();
    }
    assert!(one.refusal(&["page", "a", "b", "2", "c"]).await.contains("outside of the range"));
}

async fn many_keys_are_written_and_read_at_once(one: &Org) {
    // More than any one batch or request holds.
    one.submit(&["fill", "many", "2500"]).await;
    assert_eq!(one.get(&["count by name", "many", "2501"]).await, "2500");
    assert_eq!(one.get(&["count", "many"]).await, "2500");
    assert_eq!(one.json(&["get many", "a", "nothing", "b"]).await, json!(["1", null, "1"]));
}

async fn a_history_tells_every_change(one: &Org) {
    let written = one.submit(&["put", "h", "1"]).await;
    let appended = one.submit(&["append", "h", "2"]).await;
    let deleted = one.submit(&["delete", "h"]).await;
    let history = one.json(&["history", "h"]).await;
    let changes = history.as_array().unwrap().iter().map(|change| json!([change["tx"], change["value"]]));
    let expected = [json!([deleted, null]), json!([appended, "12"]), json!([written, "1"])];
    assert_eq!(changes.collect::<Vec<_>>(), expected);
    let times: Vec<_> = history.as_array().unwrap().iter().map(|change| change["millis"].as_i64()).collect();
    assert!(times.is_sorted_by(|a, b| a >= b) && times[2] > Some(1_600_000_000_000), "{times:?}");
    assert_eq!(one.json(&["history", "never"]).await, json!([]));
}

async fn private_data_is_its_members(one: &Org, two: &Org, three: &Org) {
    let members = ["Org1MSP", "Org2MSP"];
    let put = call(&["put private", "pair", "k"]).transient("value", "secret");
    one.submit_by(put, &members).await.unwrap();
    let fill = call(&["fill private", "pair", "t", "12"]);
    one.submit_by(fill, &members).await.unwrap();

    assert_eq!(one.get(&["get private", "pair", "k"]).await, "secret");
    eventually("secret".into(), async || two.ask(&["get private", "pair", "k"]).await.unwrap_or_default())
        .await;
    eventually(json!(["secret", null]), async || two.json(&["get many private", "pair", "k", "no"]).await)
        .await;
    let hash = base64(&Sha256::digest("secret"));
    for org in [one, two, three] {
        let ask = async || org.ask(&["hash private", "pair", "k"]).await.unwrap_or_default();
        eventually(hash.clone(), ask).await;
    }
    let refusal = three.refusal(&["get private", "pair", "k"]).await;
    assert!(refusal.contains("does not have read access permission"), "{refusal}");
    let refusal = one.refusal(&["get private", "none", "k"]).await;
    assert!(refusal.contains("none could not be found"), "{refusal}");

    assert_eq!(one.json(&["range private", "pair", "", ""]).await, json!(["k"]));
    assert_eq!(one.json(&["table private", "pair", "t"]).await.as_array().unwrap().len(), 12);
    assert_eq!(one.json(&["table private", "pair", "t", "1"]).await, json!([]));

    one.submit_by(call(&["delete private", "pair", "k"]), &members).await.unwrap();
    assert!(one.refusal(&["get private", "pair", "k"]).await.contains("no such key"));
    let put = call(&["put private", "pair", "p"]).transient("value", "once");
    one.submit_by(put, &members).await.unwrap();
    one.submit_by(call(&["purge private", "pair", "p"]), &members).await.unwrap();
    assert!(one.refusal(&["get private", "pair", "p"]).await.contains("no such key"));
    assert!(one.refusal(&["hash private", "pair", "p"]).await.contains("no such key"));
}

fn base64(bytes: &[u8]) -> String {
    use base64::prelude::{BASE64_STANDARD, Engine};
    BASE64_STANDARD.encode(bytes)
}

async fn a_keys_own_policy_takes_the_place_of_the_chaincodes(one: &Org, three: &Org) {
    use TxValidationCode::{EndorsementPolicyFailure, Valid};
    let both = ["Org1MSP", "Org2MSP"];
    one.submit(&["put", "guarded", "1"]).await;
    assert_eq!(one.json(&["get policy", "guarded"]).await, Value::Null);
    one.submit(&["set policy", "guarded", "Org3MSP"]).await;
    assert_eq!(one.json(&["get policy", "guarded"]).await, json!(["Org3MSP"]));
    eventually(json!(["Org3MSP"]), async || three.json(&["get policy", "guarded"]).await).await;

    let put = &["put", "guarded", "2"];
    assert_eq!(one.verdict(put, &both).await, EndorsementPolicyFailure, "a majority is not Org3");
    assert_eq!(one.verdict(put, &["Org3MSP"]).await, Valid);
    assert_eq!(one.verdict(&["put", "free", "2"], &["Org3MSP"]).await, EndorsementPolicyFailure);
    // Without names the gateway finds out whom it has to ask.
    assert_eq!(one.verdict(&["put", "guarded", "3"], &[]).await, Valid);
    assert_eq!(one.get(&["get", "guarded"]).await, "3");
    // The policy guards itself too.
    let remove = &["set policy", "guarded"];
    assert_eq!(one.verdict(remove, &both).await, EndorsementPolicyFailure);
    assert_eq!(one.verdict(remove, &["Org3MSP"]).await, Valid);
    assert_eq!(one.json(&["get policy", "guarded"]).await, Value::Null);
    assert_eq!(one.verdict(&["put", "guarded", "4"], &both).await, Valid);

    let put = || call(&["put private", "pair", "guarded"]).transient("value", "1");
    one.submit_by(put(), &both).await.unwrap();
    one.submit_by(call(&["set private policy", "pair", "guarded", "Org2MSP"]), &both).await.unwrap();
    assert_eq!(one.json(&["get private policy", "pair", "guarded"]).await, json!(["Org2MSP"]));
    one.submit_by(put(), &["Org2MSP"]).await.unwrap();
}

async fn other_chaincodes_can_be_called(kind: Kind, one: &Org) {
    let refusal = one.refusal(&["call", "nobody", "", "f"]).await;
    assert!(refusal.contains("INVOKE_CHAINCODE failed"), "{refusal}");
    let refusal = one.refusal(&["call", "confab", "", "get", "a"]).await;
    assert!(refusal.contains("INVOKE_CHAINCODE failed"), "it is at work on this transaction: {refusal}");
    if kind == Kind::Fabric {
        // The one chaincode beside ours that lets itself be called; its argument is a message with one field.
        let definition = call(&["call", "_lifecycle", "", "QueryChaincodeDefinition", "\n\u{6}confab"]);
        let definition = one.0.evaluate(definition).await.unwrap();
        assert!(definition.windows(3).any(|part| part == b"1.0"), "{definition:?}");
        let refusal = one.refusal(&["call", "qscc", "", "GetChainInfo", "confab"]).await;
        assert!(refusal.contains("Rejecting invoke of QSCC"), "{refusal}");
    }
}

async fn failures_reach_the_client(one: &Org) {
    assert!(one.refusal(&["get", "nothing"]).await.contains("no such key"));
    assert!(one.refusal(&["fail", "499", "as asked"]).await.contains("as asked"));
    assert!(one.refusal(&["panic"]).await.contains("the contract panicked"));
    assert!(one.refusal(&["table", "t\0"]).await.contains("U+0000"));
}

/// The port knows one peer, by a key that was made for it.
async fn strangers_are_not_let_in(ledger: &Ledger) {
    let org = &ledger.network.orgs[0];
    let read = |path: &std::path::Path| std::fs::read(ledger.network.path(path)).unwrap();
    let trusting = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(&org.chaincode.tls.ca)));
    let own = Identity::from_pem(read(&org.peer.tls.cert), read(&org.peer.tls.key));
    for tls in [trusting.clone(), trusting.identity(own)] {
        let endpoint = Endpoint::from_shared(format!("https://{}", org.chaincode.address)).unwrap();
        let endpoint = endpoint.tls_config(tls).unwrap().timeout(Duration::from_secs(5));
        // In TLS 1.3 the client learns of its rejection with the first call.
        let Ok(channel) = endpoint.connect().await else { continue };
        let mut client = ChaincodeClient::new(channel);
        let call = client.connect(tokio_stream::empty());
        let let_in =
            tokio::time::timeout(Duration::from_secs(5), call).await.is_ok_and(|answer| answer.is_ok());
        assert!(!let_in);
    }
}

async fn functions(on: On) {
    let ledger = Ledger::start_keys(on, keys()).await;
    strangers_are_not_let_in(&ledger).await;
    let [one, two, three] = [1, 2, 3].map(|number| ledger.org(number));
    ranges_and_tables_are_read_whole_and_by_pages(&one).await;
    many_keys_are_written_and_read_at_once(&one).await;
    a_history_tells_every_change(&one).await;
    private_data_is_its_members(&one, &two, &three).await;
    a_keys_own_policy_takes_the_place_of_the_chaincodes(&one, &three).await;
    other_chaincodes_can_be_called(ledger.kind, &one).await;
    failures_reach_the_client(&one).await;
}
