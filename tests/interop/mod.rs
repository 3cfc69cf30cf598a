//! Foreign software on both sides: the official Node client drives our chaincode, and our client drives a chaincode
//! in the official Node SDK. Skipped where Node or what it needs from the registry is not to be had.

pub mod programs;

use crate::fixture::{
    Ledger, On,
    calls::{Org, call, eventually, keys},
};
use crate::harness::{Outcome, Test, test};
use gateway_client::{Checkpoint, TxValidationCode};
use launcher::ChaincodeCommand;
use programs::npm_program;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

pub const TESTS: &[Test] = &[test!(official_client on Dev, Fabric), test!(official_chaincode on Dev, Fabric)];

/// For all scenarios together.
const PATIENCE: Duration = Duration::from_secs(300);

/// Where a program is that `PATH` leads to.
fn on_path(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file()).unwrap()
}

/// The official client drives our chaincode.
async fn official_client(on: On) -> Outcome {
    let client = npm_program("interop", "client")?;
    let ledger = Ledger::start_keys(on, keys()).await;
    let mut node = tokio::process::Command::new("node");
    node.arg("scenarios.mjs").arg(&ledger.network.dir).current_dir(client).kill_on_drop(true);
    let Output { stdout, stderr, .. } = tokio::time::timeout(PATIENCE, node.output()).await.unwrap().unwrap();
    let stdout = String::from_utf8(stdout).unwrap();
    let lines: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines {
        eprintln!("{:6} ms  {}", line["milliseconds"], line["scenario"]);
    }
    let failed = lines.iter().filter_map(|line| {
        let error = line["error"].as_str()?;
        Some(format!("{on:?}: {}: {error}\n", line["scenario"]))
    });
    let failed: String = failed.collect();
    assert!(failed.is_empty(), "{failed}");
    assert!(lines.len() > 25, "{} scenarios: {}", lines.len(), String::from_utf8_lossy(&stderr));
    Ok(())
}

/// Our client drives a chaincode in the official SDK.
async fn official_chaincode(on: On) -> Outcome {
    let folder = npm_program("interop", "chaincode")?;
    let serve = folder.join("serve.js").display().to_string();
    let chaincode = ChaincodeCommand { program: on_path("node"), args: vec![serve] };
    let ledger = Ledger::start_keys(on, chaincode).await;
    let [one, two, three] = [1, 2, 3].map(|number| ledger.org(number));
    keys_are_written_and_read(&one).await;
    events_and_errors_reach_the_client(&ledger, &one).await;
    private_data_is_its_members(&one, &two, &three).await;
    a_key_has_its_own_policy(&one).await;
    Ok(())
}

async fn keys_are_written_and_read(one: &Org) {
    let written = one.submit(&["put", "k", "1"]).await;
    let appended = one.submit(&["append", "k", "2"]).await;
    assert_eq!(one.get(&["get", "k"]).await, "12");
    assert_eq!(one.json(&["history", "k"]).await, json!([[appended, "12"], [written, "1"]]));
    one.submit(&["delete", "k"]).await;
    assert!(one.refusal(&["get", "k"]).await.contains("no such key: k"));
    // More than a page of the stream holds.
    one.submit(&["fill", "t", "120"]).await;
    let table: Vec<_> = (0..120).map(|n| format!("t/{n:05}")).collect();
    assert_eq!(one.json(&["table", "t"]).await, json!(table));
    for key in ["a", "b", "c"] {
        one.submit(&["put", key, key]).await;
    }
    assert_eq!(one.json(&["range", "a", "c"]).await, json!(["a", "b"]));
    let page = |keys: Value, count, bookmark| json!({ "keys": keys, "count": count, "bookmark": bookmark });
    assert_eq!(one.json(&["page", "a", "d", "2", ""]).await, page(json!(["a", "b"]), 2, "c"));
    assert_eq!(one.json(&["page", "a", "d", "2", "c"]).await, page(json!(["c"]), 1, ""));
}

async fn events_and_errors_reach_the_client(ledger: &Ledger, one: &Org) {
    let refusal = one.refusal(&["fail", "as asked"]).await;
    assert!(refusal.contains("as asked"), "{refusal}");
    let submitted = one.submit_by(call(&["fail", "as asked"]), &[]).await;
    assert!(format!("{:?}", submitted.unwrap_err()).contains("as asked"));
    assert!(one.refusal(&["no such function"]).await.contains("does not exist"));
    let answer = one.0.evaluate(call(&["who"]).transient("secret", "four")).await.unwrap();
    assert_eq!(String::from_utf8(answer).unwrap(), "Org1MSP with 4 secret bytes");

    let put = one.submit(&["put", "event", "1"]).await;
    let mut events = ledger.channel(1).chaincode_events(&ledger.network.chaincode.name, Checkpoint::start());
    let event = loop {
        let event = tokio::time::timeout(PATIENCE, events.next()).await.unwrap().unwrap().unwrap();
        if event.transaction_id == put {
            break event;
        }
    };
    assert_eq!((event.name.as_str(), event.payload.as_slice()), ("put", b"event".as_slice()));
}

async fn private_data_is_its_members(one: &Org, two: &Org, three: &Org) {
    let members = ["Org1MSP", "Org2MSP"];
    let put = call(&["putPrivate", "pair", "k"]).transient("value", "secret");
    one.submit_by(put, &members).await.unwrap();
    assert_eq!(one.get(&["getPrivate", "pair", "k"]).await, "secret");
    eventually("secret".into(), async || two.ask(&["getPrivate", "pair", "k"]).await.unwrap_or_default())
        .await;
    let hash = one.get(&["hashPrivate", "pair", "k"]).await;
    assert_eq!(hash, "K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=");
    eventually(hash, async || three.ask(&["hashPrivate", "pair", "k"]).await.unwrap_or_default()).await;
    let refusal = three.refusal(&["getPrivate", "pair", "k"]).await;
    assert!(refusal.contains("does not have read access permission"), "{refusal}");
    one.submit_by(call(&["purgePrivate", "pair", "k"]), &members).await.unwrap();
    assert!(one.refusal(&["getPrivate", "pair", "k"]).await.contains("no such key"));
}

async fn a_key_has_its_own_policy(one: &Org) {
    one.submit(&["put", "guarded", "1"]).await;
    one.submit(&["setPolicy", "guarded", "Org1MSP"]).await;
    let put = &["put", "guarded", "2"];
    assert_eq!(one.verdict(put, &["Org1MSP"]).await, TxValidationCode::Valid);
    assert_eq!(one.verdict(put, &["Org2MSP", "Org3MSP"]).await, TxValidationCode::EndorsementPolicyFailure);
}
