//! Feature: Block event listening.

use crate::ledger::{Ledger, PATIENCE};
use gateway_client::{
    Block, BlockAndPrivateData, BlockForm, Call, Checkpoint, Checkpointer, CommitStatus, EventStream,
    FileCheckpointer, FilteredBlock, InMemoryCheckpointer, Network, Start,
};
use tokio::time::timeout;

/// A form of block, as the scenarios look at it.
trait Listen: BlockForm + Send + Sized + 'static {
    async fn listen(network: &Network, start: Start) -> EventStream<Self>;
    fn transactions(&self) -> Vec<&str>;
}

impl Listen for Block {
    async fn listen(network: &Network, start: Start) -> EventStream<Self> {
        network.block_events_request(start).events().await.unwrap()
    }

    fn transactions(&self) -> Vec<&str> {
        self.transactions.iter().map(|t| t.transaction_id.as_str()).collect()
    }
}

impl Listen for FilteredBlock {
    async fn listen(network: &Network, start: Start) -> EventStream<Self> {
        network.filtered_block_events_request(start).events().await.unwrap()
    }

    fn transactions(&self) -> Vec<&str> {
        self.transactions.iter().map(|t| t.transaction_id.as_str()).collect()
    }
}

impl Listen for BlockAndPrivateData {
    async fn listen(network: &Network, start: Start) -> EventStream<Self> {
        network.block_and_private_data_events_request(start).events().await.unwrap()
    }

    fn transactions(&self) -> Vec<&str> {
        self.block.transactions()
    }
}

async fn listen<B: Listen>(ledger: &Ledger, start: impl Into<Start>) -> EventStream<B> {
    B::listen(&ledger.network(1), start.into()).await
}

async fn submit(ledger: &Ledger) -> CommitStatus {
    ledger.contract("basic").submit(Call::new("echo").arg("echo")).await.unwrap().1
}

/// The block with the transaction. None comes before it but those that were on their way when the stream began.
async fn receive<B: Listen>(blocks: &mut EventStream<B>, status: &CommitStatus) -> B {
    loop {
        let block = timeout(PATIENCE, blocks.next()).await.expect("a block in time").unwrap().unwrap();
        if block.number() < status.block_number {
            continue;
        }
        assert_eq!(block.number(), status.block_number);
        assert!(block.transactions().contains(&status.transaction_id.as_str()));
        return block;
    }
}

async fn receives<B: Listen>(ledger: &Ledger) {
    let mut blocks = listen::<B>(ledger, Start::NextCommit).await;
    let status = submit(ledger).await;
    receive(&mut blocks, &status).await;
}

pub async fn receive_block_event(ledger: &Ledger) {
    receives::<Block>(ledger).await;
}

pub async fn receive_filtered_block_event(ledger: &Ledger) {
    receives::<FilteredBlock>(ledger).await;
}

pub async fn receive_block_and_private_data_event(ledger: &Ledger) {
    receives::<BlockAndPrivateData>(ledger).await;
}

async fn replays<B: Listen>(ledger: &Ledger) {
    let status = submit(ledger).await;
    let mut blocks = listen::<B>(ledger, Checkpoint::at(status.block_number)).await;
    receive(&mut blocks, &status).await;
}

pub async fn replay_block_event(ledger: &Ledger) {
    replays::<Block>(ledger).await;
}

pub async fn replay_filtered_block_event(ledger: &Ledger) {
    replays::<FilteredBlock>(ledger).await;
}

pub async fn replay_block_and_private_data_event(ledger: &Ledger) {
    replays::<BlockAndPrivateData>(ledger).await;
}

async fn restarts<B: Listen>(ledger: &Ledger) {
    receives::<B>(ledger).await;
    receives::<B>(ledger).await;
}

pub async fn restart_after_closing_block_event_session(ledger: &Ledger) {
    restarts::<Block>(ledger).await;
}

pub async fn restart_after_closing_filtered_block_event_session(ledger: &Ledger) {
    restarts::<FilteredBlock>(ledger).await;
}

pub async fn restart_after_closing_block_and_private_data_event_session(ledger: &Ledger) {
    restarts::<BlockAndPrivateData>(ledger).await;
}

async fn is_not_interrupted<B: Listen>(ledger: &Ledger) {
    let mut first = listen::<B>(ledger, Start::NextCommit).await;
    let mut second = listen::<B>(ledger, Start::NextCommit).await;
    let status = submit(ledger).await;
    receive(&mut first, &status).await;
    receive(&mut second, &status).await;
    drop(first);
    let status = submit(ledger).await;
    receive(&mut second, &status).await;
}

pub async fn close_does_not_interrupt_other_block_event_listeners(ledger: &Ledger) {
    is_not_interrupted::<Block>(ledger).await;
}

pub async fn close_does_not_interrupt_other_filtered_block_event_listeners(ledger: &Ledger) {
    is_not_interrupted::<FilteredBlock>(ledger).await;
}

pub async fn close_does_not_interrupt_other_block_and_private_data_event_listeners(ledger: &Ledger) {
    is_not_interrupted::<BlockAndPrivateData>(ledger).await;
}

async fn checkpoints<B: Listen>(ledger: &Ledger, name: &str) {
    checkpoint::<B>(ledger, &mut InMemoryCheckpointer::new()).await;
    checkpoint::<B>(ledger, &mut FileCheckpointer::open(ledger.path(name)).unwrap()).await;
}

async fn checkpoint<B: Listen>(ledger: &Ledger, checkpointer: &mut impl Checkpointer) {
    let mut blocks = listen::<B>(ledger, checkpointer.checkpoint()).await;
    let status = submit(ledger).await;
    let block = receive(&mut blocks, &status).await;
    checkpointer.checkpoint_block(block.number()).unwrap();
    drop(blocks);
    let status = submit(ledger).await;
    let mut blocks = listen::<B>(ledger, checkpointer.checkpoint()).await;
    receive(&mut blocks, &status).await;
}

pub async fn checkpoint_of_block_events(ledger: &Ledger) {
    checkpoints::<Block>(ledger, "blocks").await;
}

pub async fn checkpoint_of_filtered_block_events(ledger: &Ledger) {
    checkpoints::<FilteredBlock>(ledger, "filtered-blocks").await;
}

pub async fn checkpoint_of_block_and_private_data_events(ledger: &Ledger) {
    checkpoints::<BlockAndPrivateData>(ledger, "blocks-and-private-data").await;
}
