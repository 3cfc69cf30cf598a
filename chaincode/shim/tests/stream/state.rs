//! Queries, private data, policies of keys and calls of other chaincodes.

use crate::peer::Peer;
use crate::{GRACE, Running, capabilities};
use fabric_protos::peer::chaincode_message::Type;
use shim::{KeyEndorsementPolicy, Page, Response, RoleType, Stub, StubError, composite_key};

/// The contract's functions for these tests.
pub fn call(stub: &Stub, function: &str) -> Result<Response, StubError> {
    let text = |index| stub.arg_str(index);
    let number = |index| text(index).map(|text| text.parse().unwrap());
    let show = |page: Page| {
        let keys: Vec<_> = page.results.iter().map(|kv| kv.key.replace('\0', "/")).collect();
        format!("{}|{}|{}", keys.join(","), page.fetched_records_count, page.bookmark.replace('\0', "/"))
    };
    Ok(Response::ok(match function {
        "page" => show(stub.get_state_by_range_with_pagination(text(1)?, text(2)?, number(3)?, text(4)?)?),
        "composite page" => {
            let bookmark = text(3)?.replace('/', "\0");
            show(stub.get_state_by_partial_composite_key_with_pagination(
                "t",
                &[text(1)?],
                number(2)?,
                &bookmark,
            )?)
        }
        "history" => {
            let mut changes = Vec::new();
            for change in stub.get_history_for_key(text(1)?)? {
                let change = change?;
                let value = change.value.map(|value| String::from_utf8(value).unwrap());
                assert_eq!(change.timestamp.nanos, 5);
                changes.push(format!("{}={}", change.tx_id, value.as_deref().unwrap_or("deleted")));
            }
            changes.join(",")
        }
        "private fill" => {
            for n in 0..number(2)? {
                stub.put_private_data(text(1)?, &format!("key{n}"), format!("secret {n}"))?;
                stub.put_private_data(text(1)?, &composite_key("t", &[n.to_string()])?, n.to_string())?;
            }
            stub.del_private_data(text(1)?, "key1")?;
            stub.purge_private_data(text(1)?, "key2")?;
            String::new()
        }
        "private" => {
            let collection = text(1)?;
            let shown = |value: Option<Vec<u8>>| value.map_or("-".into(), |v| String::from_utf8(v).unwrap());
            let keys = ["key0", "key1", "key3"];
            let many = stub.get_multiple_private_data(collection, &keys)?;
            let range: Result<Vec<_>, _> = stub.get_private_data_by_range(collection, "", "key4")?.collect();
            let partial: Result<Vec<_>, _> = stub
                .get_private_data_by_partial_composite_key::<&str>(collection, "t", &[])?
                .map(|kv| kv.map(|kv| shown(Some(kv.value))))
                .collect();
            format!(
                "{} {} {}|{}|{}|{}",
                shown(stub.get_private_data(collection, "key0")?),
                shown(stub.get_private_data_hash(collection, "key0")?),
                shown(stub.get_private_data_hash(collection, "key1")?),
                many.into_iter().map(shown).collect::<Vec<_>>().join(","),
                range?.into_iter().map(|kv| kv.key).collect::<Vec<_>>().join(","),
                partial?.join(","),
            )
        }
        "set policies" => {
            let mut policy = KeyEndorsementPolicy::default();
            policy.add_orgs(RoleType::Peer, ["Org1MSP"]);
            stub.put_state("k", "v")?;
            stub.set_state_validation_parameter("k", policy.to_bytes())?;
            policy.add_orgs(RoleType::Member, ["Org2MSP"]);
            stub.set_private_data_validation_parameter("c", "k", policy.to_bytes())?;
            stub.put_private_data("c", "k", "v")?;
            String::new()
        }
        "policies" => {
            let orgs = |policy: Option<Vec<u8>>| {
                let policy = KeyEndorsementPolicy::parse(&policy.unwrap()).unwrap();
                policy.orgs().collect::<Vec<_>>().join("+")
            };
            assert_eq!(stub.get_state_validation_parameter("other")?, None);
            assert_eq!(stub.get_private_data_validation_parameter("d", "k")?, None);
            let public = stub.get_state_validation_parameter("k")?;
            let private = stub.get_private_data_validation_parameter("c", "k")?;
            format!("{} {}", orgs(public), orgs(private))
        }
        "invoke" => {
            stub.put_state("before", "1")?;
            let channel = stub.params().get(1).map(|_| text(2)).transpose()?;
            let answer = stub.invoke_chaincode(text(1)?, &["f", "x"], channel)?;
            stub.put_state("after", "1")?;
            format!("{} {} {}", answer.status, answer.message, String::from_utf8(answer.payload).unwrap())
        }
        "refused" => {
            let collection = |result: Result<(), StubError>| assert_eq!(result, Err(StubError::Collection));
            collection(stub.get_private_data("", "k").map(drop));
            collection(stub.get_multiple_private_data("", &["k"]).map(drop));
            collection(stub.get_private_data_hash("", "k").map(drop));
            collection(stub.put_private_data("", "k", "v"));
            collection(stub.del_private_data("", "k"));
            collection(stub.purge_private_data("", "k"));
            collection(stub.get_private_data_by_range("", "a", "b").map(drop));
            collection(stub.get_private_data_by_partial_composite_key("", "t", &["a"]).map(drop));
            collection(stub.get_private_data_validation_parameter("", "k").map(drop));
            collection(stub.set_private_data_validation_parameter("", "k", vec![1]));
            let key = |result: Result<(), StubError>| assert!(matches!(result, Err(StubError::Key { .. })));
            key(stub.get_private_data("c", "").map(drop));
            key(stub.get_private_data_hash("c", "").map(drop));
            key(stub.put_private_data("c", "", "v"));
            key(stub.purge_private_data("c", ""));
            key(stub.get_history_for_key("").map(drop));
            key(stub.set_state_validation_parameter("", vec![1]));
            key(stub.get_state_validation_parameter("").map(drop));
            key(stub.get_private_data_by_range("c", "\0", "").map(drop));
            // A bookmark that leads out of the range, perhaps to composite keys.
            for bookmark in ["\0t\0", "a", "m", "z"] {
                key(stub.get_state_by_range_with_pagination("b", "m", 1, bookmark).map(drop));
            }
            key(stub.get_state_by_range_with_pagination("", "", 1, "\0t\0").map(drop));
            key(stub
                .get_state_by_partial_composite_key_with_pagination("t", &["a"], 1, "\0t\0b\0")
                .map(drop));
            for size in [0, 1 << 31] {
                let page = stub.get_state_by_range_with_pagination("", "", size, "");
                assert_eq!(page, Err(StubError::PageSize));
            }
            assert_eq!(stub.put_private_data("c", "k", ""), Err(StubError::EmptyValue("k".into())));
            String::new()
        }
        other => panic!("no function {other}"),
    }))
}

/// The answer of a call that must succeed.
async fn ask(peer: &Peer, tx: &str, args: &[&str]) -> String {
    let response = peer.call(tx, args).await;
    assert_eq!(response.status, 200, "{}", response.message);
    String::from_utf8(response.payload).unwrap()
}

#[tokio::test]
async fn pages_follow_each_other_by_bookmark() {
    let running = Running::start(GRACE, None).await;
    let peer = running.peer().await;
    peer.call("fill", &["fill", "8"]).await;
    peer.call("composite", &["composite"]).await;
    assert_eq!(ask(&peer, "1", &["page", "", "", "3", ""]).await, "key00000,key00001,key00002|3|key00004");
    assert_eq!(
        ask(&peer, "2", &["page", "", "", "3", "key00004"]).await,
        "key00004,key00005,key00006|3|key00007"
    );
    assert_eq!(ask(&peer, "3", &["page", "", "", "3", "key00007"]).await, "key00007|1|");
    assert_eq!(ask(&peer, "4", &["page", "key00004", "key00006", "9", ""]).await, "key00004,key00005|2|");
    assert_eq!(ask(&peer, "5", &["page", "x", "", "9", ""]).await, "|0|");
    assert_eq!(ask(&peer, "6", &["composite page", "a", "1", ""]).await, "/t/a/1/|1|/t/a/2/");
    assert_eq!(ask(&peer, "7", &["composite page", "a", "1", "/t/a/2/"]).await, "/t/a/2/|1|");
    // The peer has closed such a query before it answers.
    assert_eq!(peer.ledger.lock().unwrap().count(Type::QueryStateClose), 0);
}

#[tokio::test]
async fn a_history_tells_every_change_from_the_newest_on() {
    let running = Running::start(GRACE, None).await;
    let peer = running.peer().await;
    for n in 0..150 {
        ask(&peer, &n.to_string(), &["put", "k", &n.to_string()]).await;
    }
    ask(&peer, "composite", &["composite"]).await;
    ask(&peer, "fill", &["fill", "5"]).await;
    let all: Vec<_> = (0..150).rev().map(|n| format!("{n}={n}")).collect();
    assert_eq!(ask(&peer, "1", &["history", "k"]).await, all.join(","));
    assert_eq!(peer.ledger.lock().unwrap().count(Type::QueryStateNext), 1);
    assert_eq!(ask(&peer, "2", &["history", "key00003"]).await, "fill=deleted,fill=value 3");
    assert_eq!(ask(&peer, "3", &["history", "never"]).await, "");
}

#[tokio::test]
async fn private_data_goes_to_its_collection_with_and_without_batches() {
    let running = Running::start(GRACE, None).await;
    for params in [None, capabilities(100, 100)] {
        let peer = Peer::connect(running.channel().await, params.clone()).await;
        ask(&peer, "1", &["private fill", "c", "5"]).await;
        ask(&peer, "2", &["private fill", "d", "3"]).await;
        let expected = "secret 0 hash of secret 0 -|secret 0,-,secret 3|key0,key3|0,1,2,3,4";
        assert_eq!(ask(&peer, "3", &["private", "c"]).await, expected);
        let ledger = peer.ledger.lock().unwrap();
        assert!(ledger.state.is_empty());
        let place = |collection: &str| (collection.to_owned(), "key2".to_owned());
        assert_eq!(ledger.purged, [place("c"), place("d")]);
        let batches = usize::from(params.is_some());
        assert_eq!(ledger.count(Type::WriteBatchState), 2 * batches);
        assert_eq!(ledger.count(Type::PurgePrivateData), 2 * (1 - batches));
        assert_eq!(ledger.count(Type::GetStateMultiple), batches);
    }
}

#[tokio::test]
async fn keys_have_policies_with_and_without_batches() {
    let running = Running::start(GRACE, None).await;
    for params in [None, capabilities(100, 100)] {
        let peer = Peer::connect(running.channel().await, params).await;
        ask(&peer, "1", &["set policies"]).await;
        assert_eq!(ask(&peer, "2", &["policies"]).await, "Org1MSP Org1MSP+Org2MSP");
        let ledger = peer.ledger.lock().unwrap();
        assert_eq!(ledger.state["k"], b"v", "the policy does not take the place of the value");
        assert_eq!(ledger.private.len(), 1);
    }
}

#[tokio::test]
async fn another_chaincode_is_called_after_the_writes_before_it() {
    let running = Running::start(GRACE, None).await;
    for params in [None, capabilities(100, 100)] {
        let peer = Peer::connect(running.channel().await, params).await;
        let answer = ask(&peer, "1", &["invoke", "other"]).await;
        assert_eq!(answer, "404 lost other [[102], [120]] after 1 writes");
        let answer = ask(&peer, "2", &["invoke", "other", "elsewhere"]).await;
        assert_eq!(answer, "404 lost other/elsewhere [[102], [120]] after 1 writes");
        assert_eq!(peer.ledger.lock().unwrap().state.len(), 2, "its failure is not the caller's");
    }
    let peer = running.peer().await;
    for (name, refusal) in [("absent", "no such chaincode"), ("silent", "it said nothing")] {
        let response = peer.call(name, &["invoke", name]).await;
        assert_eq!(response.message, format!("the peer refused: {refusal}"));
    }
}

#[tokio::test]
async fn requests_that_no_peer_would_take_are_not_sent() {
    let running = Running::start(GRACE, None).await;
    for params in [None, capabilities(100, 100)] {
        let peer = Peer::connect(running.channel().await, params).await;
        ask(&peer, "1", &["refused"]).await;
        assert_eq!(peer.ledger.lock().unwrap().seen, [Type::Completed]);
    }
}
