//! Feature: Private data collections.

use crate::ledger::{Ledger, PATIENCE};
use gateway_client::{BlockAndPrivateData, Call, Checkpoint, CommitStatus, Contract, Error, EventStream};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// A write of the value to collections, separated by commas.
fn write(collections: &str, key: &str, value: &str) -> Call {
    Call::new("WritePrivateData")
        .transient("collection", collections)
        .transient("key", key)
        .transient("value", value)
}

fn read(collection: &str, key: &str, org: &str) -> Call {
    Call::new("ReadPrivateData").arg(collection).arg(key).organizations([org])
}

async fn submit(contract: &Contract, call: Call) -> CommitStatus {
    contract.submit(call).await.unwrap().1
}

/// Reads until the value is there: a peer knows a transaction's verdict a moment before its state does.
async fn reads(contract: &Contract, call: Call, value: &str) {
    let start = Instant::now();
    loop {
        let found = contract.evaluate(call.clone()).await.unwrap();
        if found == value.as_bytes() {
            return;
        }
        assert!(found.is_empty() && start.elapsed() < PATIENCE, "{found:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn fails_to_read(contract: &Contract, call: Call) {
    let error = contract.evaluate(call).await.unwrap_err();
    assert!(matches!(error, Error::Call(_)), "{error}");
}

pub async fn org1_writes_private_data_to_org1collection_and_can_read_it_back(ledger: &Ledger) {
    let contract = ledger.contract("private");
    submit(&contract, write("Org1Collection", "key-101", "value-101").organizations(["Org1MSP"])).await;
    reads(&contract, read("Org1Collection", "key-101", "Org1MSP"), "value-101").await;
}

pub async fn org1_writes_private_data_to_org1collection_but_fails_to_read_it_via_an_org2_peer(
    ledger: &Ledger,
) {
    let contract = ledger.contract("private");
    submit(&contract, write("Org1Collection", "key-102", "value-102").organizations(["Org1MSP"])).await;
    fails_to_read(&contract, read("Org1Collection", "key-102", "Org2MSP")).await;
}

pub async fn org2_can_write_private_data_to_org1collection_but_cannot_read_it_back(ledger: &Ledger) {
    let contract = ledger.contract_of(2, "private");
    submit(&contract, write("Org1Collection", "key-103", "value-103").organizations(["Org1MSP"])).await;
    fails_to_read(&contract, read("Org1Collection", "key-103", "Org1MSP")).await;
}

pub async fn org2_writes_private_data_to_org1collection_and_org1_can_read_it(ledger: &Ledger) {
    let call = write("Org1Collection", "key-104", "value-104").organizations(["Org1MSP"]);
    submit(&ledger.contract_of(2, "private"), call).await;
    reads(&ledger.contract("private"), read("Org1Collection", "key-104", "Org1MSP"), "value-104").await;
}

pub async fn org1_writes_private_data_to_sharedcollection_and_org2_fails_to_read_it(ledger: &Ledger) {
    let call = write("SharedCollection", "key-106", "value-106").organizations(["Org1MSP"]);
    submit(&ledger.contract("private"), call).await;
    fails_to_read(&ledger.contract_of(2, "private"), read("SharedCollection", "key-106", "Org1MSP")).await;
}

pub async fn org2_cannot_write_data_to_sharedcollection(ledger: &Ledger) {
    let call = write("SharedCollection", "key-107", "value-107").organizations(["Org1MSP"]);
    let error = ledger.contract_of(2, "private").submit(call).await.unwrap_err();
    assert!(matches!(error, Error::Call(_)), "{error}");
}

pub async fn org1_writes_private_data_to_sharedcollection_without_specifying_endorsers(ledger: &Ledger) {
    let contract = ledger.contract("private");
    submit(&contract, write("SharedCollection", "key-108", "value-108")).await;
    reads(&contract, read("SharedCollection", "key-108", "Org1MSP"), "value-108").await;
}

/// Organisation 3 must endorse too, which the gateway finds out by itself.
pub async fn org1_writes_private_data_to_sharedcollection_and_org3collection_without_specifying_endorsers(
    ledger: &Ledger,
) {
    let contract = ledger.contract("private");
    submit(&contract, write("SharedCollection,Org3Collection", "key-109", "value-109")).await;
    reads(&contract, read("SharedCollection", "key-109", "Org1MSP"), "value-109").await;
    reads(&contract, read("Org3Collection", "key-109", "Org3MSP"), "value-109").await;
    fails_to_read(&contract, read("Org3Collection", "key-109", "Org1MSP")).await;
}

/// Not in the feature: the blocks bring the data to those who may see them.
pub async fn blocks_bring_private_data_to_members_only(ledger: &Ledger) {
    let call = write("Org1Collection", "key-110", "value-110").organizations(["Org1MSP"]);
    let status = submit(&ledger.contract("private"), call).await;
    let mut own = listen(ledger, 1, &status).await;
    let block = block(&mut own).await;
    let index = block.block.transactions.iter().position(|t| t.transaction_id == status.transaction_id);
    let [found] = block.private_writes.as_slice() else { panic!("{:?}", block.private_writes) };
    assert_eq!((Some(found.transaction), found.collection.as_str()), (index, "Org1Collection"));
    assert_eq!((found.write.namespace.as_str(), found.write.key.as_str()), ("private", "key-110"));
    assert_eq!((found.write.value.as_slice(), found.write.is_delete), (&b"value-110"[..], false));

    let mut others = listen(ledger, 2, &status).await;
    let block = self::block(&mut others).await;
    assert!(block.block.transactions.iter().any(|t| t.transaction_id == status.transaction_id));
    assert!(block.private_writes.is_empty(), "{:?}", block.private_writes);
}

async fn listen(ledger: &Ledger, org: usize, status: &CommitStatus) -> EventStream<BlockAndPrivateData> {
    let from = Checkpoint::at(status.block_number);
    ledger.network(org).block_and_private_data_events_request(from).events().await.unwrap()
}

async fn block(blocks: &mut EventStream<BlockAndPrivateData>) -> BlockAndPrivateData {
    timeout(PATIENCE, blocks.next()).await.expect("a block in time").unwrap().unwrap()
}
