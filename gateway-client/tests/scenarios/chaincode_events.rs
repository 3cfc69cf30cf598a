//! Feature: Chaincode event listening.

use crate::ledger::{Ledger, PATIENCE};
use gateway_client::{
    Call, ChaincodeEvent, Checkpoint, Checkpointer, CommitStatus, EventStream, FileCheckpointer,
    InMemoryCheckpointer, Start,
};
use tokio::time::timeout;

async fn listen(ledger: &Ledger, start: Start) -> EventStream<ChaincodeEvent> {
    let request = ledger.network(1).chaincode_events_request("basic", start);
    request.events().await.unwrap()
}

async fn submit(ledger: &Ledger, name: &str, payload: &str) -> CommitStatus {
    ledger.contract("basic").submit(Call::new("event").arg(name).arg(payload)).await.unwrap().1
}

/// The event of the transaction, which has this name and content. None comes before it but those of blocks that were
/// on their way when the stream began.
async fn receive(
    events: &mut EventStream<ChaincodeEvent>,
    status: &CommitStatus,
    name: &str,
    payload: &str,
) -> ChaincodeEvent {
    loop {
        let event = timeout(PATIENCE, events.next()).await.expect("an event in time").unwrap().unwrap();
        if event.block_number < status.block_number {
            continue;
        }
        assert_eq!(event.transaction_id, status.transaction_id);
        assert_eq!((event.name.as_str(), event.payload.as_slice()), (name, payload.as_bytes()));
        return event;
    }
}

pub async fn receive_chaincode_event(ledger: &Ledger) {
    let mut events = listen(ledger, Start::NextCommit).await;
    let status = submit(ledger, "foo", "bar").await;
    let event = receive(&mut events, &status, "foo", "bar").await;
    assert_eq!(event.block_number, status.block_number);
    assert_eq!(event.chaincode, "basic");
}

pub async fn replay_chaincode_event(ledger: &Ledger) {
    let status = submit(ledger, "event", "replay").await;
    let mut events = listen(ledger, Checkpoint::at(status.block_number).into()).await;
    receive(&mut events, &status, "event", "replay").await;
}

pub async fn restart_after_closing_chaincode_event_session(ledger: &Ledger) {
    let mut events = listen(ledger, Start::NextCommit).await;
    let status = submit(ledger, "restart", "one").await;
    receive(&mut events, &status, "restart", "one").await;
    drop(events);
    let mut events = listen(ledger, Start::NextCommit).await;
    let status = submit(ledger, "restart", "two").await;
    receive(&mut events, &status, "restart", "two").await;
}

pub async fn close_does_not_interrupt_other_chaincode_event_listeners(ledger: &Ledger) {
    let mut first = listen(ledger, Start::NextCommit).await;
    let mut second = listen(ledger, Start::NextCommit).await;
    let status = submit(ledger, "close", "before").await;
    receive(&mut first, &status, "close", "before").await;
    receive(&mut second, &status, "close", "before").await;
    drop(first);
    let status = submit(ledger, "close", "after").await;
    receive(&mut second, &status, "close", "after").await;
}

pub async fn checkpoint_of_chaincode_events(ledger: &Ledger) {
    checkpoint(ledger, &mut InMemoryCheckpointer::new()).await;
    let path = ledger.path("chaincode-events");
    checkpoint(ledger, &mut FileCheckpointer::open(&path).unwrap()).await;
    let kept = FileCheckpointer::open(&path).unwrap();
    assert!(kept.checkpoint().unwrap().transaction_id.is_some());
}

async fn checkpoint(ledger: &Ledger, checkpointer: &mut impl Checkpointer) {
    let mut events = listen(ledger, checkpointer.checkpoint().into()).await;
    let status = submit(ledger, "checkpoint", "one").await;
    let event = receive(&mut events, &status, "checkpoint", "one").await;
    checkpointer.checkpoint_chaincode_event(&event).unwrap();
    drop(events);
    let status = submit(ledger, "checkpoint", "two").await;
    let mut events = listen(ledger, checkpointer.checkpoint().into()).await;
    receive(&mut events, &status, "checkpoint", "two").await;
}
