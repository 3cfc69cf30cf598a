//! The least that the ledger can cost: clients that write values with `probe`, which neither reads nor checks anything.

use super::{Client, CostError, Round, failed};
use gateway_client::{BlockStream, Call, Checkpoint, TxValidationCode};
use records::{MspId, key};
use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// What has to be there before a client writes its next value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Barrier {
    /// Everybody's values of the round before, in the client's own blocks: what a protocol's rounds need.
    Round,
    /// The commit of the client's own value before.
    Own,
}

/// Writes all rounds, a client for each participant, and returns the time from when all could begin until the slowest
/// was done.
///
/// # Errors
/// A ledger that fails; nothing is tried again.
pub async fn put(rounds: &[Round], clients: &[Client], barrier: Barrier) -> Result<Duration, CostError> {
    let mut run = [0; 8];
    getrandom::fill(&mut run).map_err(failed)?;
    // The first round is not measured: when it is there, every stream runs and all begin together.
    let start = vec![vec![vec![0]]; clients.len()];
    let rounds = Arc::new([std::slice::from_ref(&start), rounds].concat());
    let members: Arc<Vec<MspId>> = Arc::new(clients.iter().map(|client| client.msp_id.clone()).collect());
    let from = clients[0].network.height().await?;
    let writers = clients.iter().enumerate().map(|(party, client)| {
        let writer = Writer {
            client: client.clone(),
            party,
            members: members.clone(),
            run: hex::encode(run),
            rounds: rounds.clone(),
            blocks: client.network.blocks(Checkpoint::at(from)),
            seen: HashSet::new(),
        };
        tokio::spawn(writer.write(barrier))
    });
    let mut times = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        times.push(writer.await.map_err(failed)??);
    }
    let begun = times.iter().map(|(begun, _)| *begun).max();
    let done = times.iter().map(|(_, done)| *done).max();
    Ok(done.zip(begun).map_or(Duration::ZERO, |(done, begun)| done - begun))
}

struct Writer {
    client: Client,
    party: usize,
    members: Arc<Vec<MspId>>,
    /// What tells the keys of two runs apart.
    run: String,
    rounds: Arc<Vec<Round>>,
    blocks: BlockStream,
    seen: HashSet<String>,
}

impl Writer {
    /// When it saw the first round, and when the last.
    async fn write(mut self, barrier: Barrier) -> Result<(Instant, Instant), CostError> {
        let mut begun = None;
        let rounds = self.rounds.clone();
        for (number, round) in rounds.iter().enumerate() {
            let mut posts = JoinSet::new();
            for (chunk, value) in round[self.party].iter().enumerate() {
                let contract = self.client.contract();
                let call = Call::new("probe").arg(self.name(number, chunk)).arg(value.as_slice());
                let wait = barrier == Barrier::Own && number > 0;
                posts.spawn(async move {
                    match wait {
                        true => contract.submit(call).await.map(drop),
                        false => contract.propose(call)?.endorse().await?.submit().await.map(drop),
                    }
                });
            }
            while let Some(posted) = posts.join_next().await {
                posted.map_err(failed)??;
            }
            if barrier == Barrier::Round || number == 0 {
                self.see(number, round).await?;
            }
            begun.get_or_insert_with(Instant::now);
        }
        let done = Instant::now();
        Ok((begun.unwrap_or(done), done))
    }

    fn name(&self, round: usize, chunk: usize) -> String {
        format!("{}-{round}-{chunk}", self.run)
    }

    /// Follows the blocks until all values of a round are there.
    async fn see(&mut self, number: usize, round: &Round) -> Result<(), CostError> {
        let mut missing: HashSet<String> = HashSet::new();
        for (member, chunks) in self.members.iter().zip(round) {
            missing.extend((0..chunks.len()).map(|chunk| key::probe(member, &self.name(number, chunk))));
        }
        missing.retain(|key| !self.seen.contains(key));
        while !missing.is_empty() {
            let block =
                self.blocks.next().await.ok_or_else(|| failed("the stream of blocks has ended"))??;
            for transaction in block.transactions {
                if transaction.validation_code != TxValidationCode::Valid {
                    continue;
                }
                for write in transaction.writes {
                    if !missing.remove(&write.key) {
                        self.seen.insert(write.key);
                    }
                }
            }
        }
        Ok(())
    }
}
