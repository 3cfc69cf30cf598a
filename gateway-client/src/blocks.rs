//! The stream of blocks from one's own peer.

use crate::proposal::header;
use crate::{Block, BlockDefect, CallError, Error, Network, Operation};
use fabric_protos::common::{Envelope, HeaderType, Payload, SignatureHeader, Status};
use fabric_protos::orderer::{SeekInfo, SeekNewest, SeekPosition, SeekSpecified, seek_info, seek_position};
use fabric_protos::peer::deliver_response;
use fabric_protos::prost::Message;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt};

/// How many blocks wait for a reader that is slow.
const AHEAD: usize = 4;
/// Pauses between attempts to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A place in the chain: everything before block `block`, and of that block everything up to and
/// including transaction `transaction_id`, has been dealt with.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The block to begin with.
    pub block: u64,
    /// The last transaction of that block that has been dealt with, if any.
    pub transaction_id: Option<String>,
}

impl Checkpoint {
    /// Before the first block.
    pub fn start() -> Self {
        Self::default()
    }

    /// Before this block.
    pub fn at(block: u64) -> Self {
        Self { block, transaction_id: None }
    }

    /// After this transaction.
    pub fn after(block: u64, transaction_id: impl Into<String>) -> Self {
        Self { block, transaction_id: Some(transaction_id.into()) }
    }
}

/// Blocks in order, without gaps, their hash chain checked from the first one on. The connection is made
/// again when it is lost. Dropping the stream ends it; an error is its last item.
pub struct BlockStream {
    blocks: mpsc::Receiver<Result<Block, Error>>,
}

impl BlockStream {
    pub(crate) fn open(network: Network, from: Checkpoint, past: bool) -> Self {
        let (sender, blocks) = mpsc::channel(AHEAD);
        let follower = Follower { network, next: from.block, from, past, previous: None, sender };
        tokio::spawn(follower.run());
        Self { blocks }
    }

    /// The next block; `None` at the end of past blocks and after an error.
    ///
    /// # Errors
    /// [`Error::Chain`] when the peer's chain is broken or is not the checkpoint's, [`Error::Call`] when
    /// the peer refuses the reader, [`Error::Signer`].
    pub async fn next(&mut self) -> Option<Result<Block, Error>> {
        self.blocks.recv().await
    }
}

impl Stream for BlockStream {
    type Item = Result<Block, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.blocks.poll_recv(cx)
    }
}

/// Why a connection ended.
enum End {
    /// Connect again.
    Lost(String),
    /// The past is told, or nobody listens.
    Done,
    /// Connecting again does not help.
    Failed(Error),
}

struct Follower {
    network: Network,
    from: Checkpoint,
    past: bool,
    /// The number of the next block.
    next: u64,
    /// The hash of the last block's header.
    previous: Option<[u8; 32]>,
    sender: mpsc::Sender<Result<Block, Error>>,
}

impl Follower {
    async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let before = self.next;
            let sender = self.sender.clone();
            let end = tokio::select! {
                end = self.follow() => end,
                () = sender.closed() => End::Done,
            };
            match end {
                End::Done => return,
                End::Failed(error) => {
                    // Nobody may be listening any more, which is fine.
                    let _ = self.sender.send(Err(error)).await;
                    return;
                }
                End::Lost(reason) => {
                    let (peer, next) = (self.network.gateway.address(), self.next);
                    // Once, not at every try.
                    match pause == FIRST_PAUSE {
                        true => tracing::warn!(peer, next, "the blocks do not come, trying again: {reason}"),
                        false => tracing::debug!(peer, next, "the blocks do not come: {reason}"),
                    }
                }
            }
            pause = if self.next > before { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.sender.closed() => return,
            }
        }
    }

    /// Connects once and passes blocks on until the connection ends.
    async fn follow(&mut self) -> End {
        let seek = match self.seek().await {
            Ok(seek) => seek,
            Err(error) => return End::Failed(error),
        };
        // The peer takes the end of requests for the end of interest, so the stream of them stays open.
        let requests = tokio_stream::once(seek).chain(tokio_stream::pending());
        let mut answers = match self.network.gateway.deliver_client().deliver(requests).await {
            Ok(answers) => answers.into_inner(),
            Err(status) => return End::Lost(status.message().into()),
        };
        loop {
            let answer = match answers.message().await {
                Ok(Some(answer)) => answer,
                Ok(None) => return End::Lost("the peer ended the stream".into()),
                Err(status) => return End::Lost(status.message().into()),
            };
            let block = match answer.r#type {
                Some(deliver_response::Type::Block(block)) => block,
                Some(deliver_response::Type::Status(status)) => return self.ended(status),
                _ => return End::Lost("the peer sent something other than a block".into()),
            };
            match self.check(block) {
                Ok(block) => {
                    if self.sender.send(Ok(block)).await.is_err() {
                        return End::Done;
                    }
                }
                Err(defect) => return End::Failed(defect.into()),
            }
        }
    }

    fn check(&mut self, block: fabric_protos::common::Block) -> Result<Block, BlockDefect> {
        let mut block = Block::parse(block)?;
        let number = block.number;
        if number != self.next {
            return Err(BlockDefect::Number { number, expected: self.next });
        }
        if self.previous.is_some_and(|hash| hash[..] != block.previous_hash) {
            return Err(BlockDefect::PreviousHash { number });
        }
        if let Some(id) = self.from.transaction_id.as_deref().filter(|_| number == self.from.block) {
            let at = block.transactions.iter().position(|t| t.transaction_id == id);
            block.seen =
                at.ok_or_else(|| BlockDefect::Checkpoint { number, transaction_id: id.to_owned() })? + 1;
        }
        self.previous = Some(block.hash);
        self.next += 1;
        Ok(block)
    }

    /// What the peer's last word means.
    fn ended(&self, status: i32) -> End {
        let name = Status::try_from(status).map_or("UNKNOWN", |s| s.as_str_name());
        match Status::try_from(status) {
            Ok(Status::Success) if self.past => End::Done,
            // Asked again for the rest of the past, of which there is none.
            Ok(Status::BadRequest) if self.past && self.next > self.from.block => End::Done,
            Ok(Status::BadRequest | Status::Forbidden) => {
                let code = match Status::try_from(status) {
                    Ok(Status::Forbidden) => tonic::Code::PermissionDenied,
                    _ => tonic::Code::InvalidArgument,
                };
                let message = format!(
                    "the peer answered {name} to a reader of channel {:?}; see whether the reader may read it, \
                     and whether the clocks agree",
                    self.network.channel
                );
                let status = tonic::Status::new(code, message);
                End::Failed(CallError::from_status(Operation::Blocks, "", status).into())
            }
            // The channel may be joined later; the peer may be shutting down.
            _ => End::Lost(format!("the peer answered {name}")),
        }
    }

    /// The signed request for the blocks from the next one on.
    async fn seek(&self) -> Result<Envelope, Error> {
        let gateway = &self.network.gateway;
        let mut nonce = [0; 24];
        getrandom::fill(&mut nonce).map_err(|e| crate::SignerError(e.into()))?;
        let signature_header = SignatureHeader { creator: gateway.creator().to_vec(), nonce: nonce.to_vec() };
        let header =
            header(HeaderType::DeliverSeekInfo, &self.network.channel, "", Vec::new(), signature_header);
        let stop = if self.past {
            seek_position::Type::Newest(SeekNewest {})
        } else {
            seek_position::Type::Specified(SeekSpecified { number: u64::MAX })
        };
        let start = seek_position::Type::Specified(SeekSpecified { number: self.next });
        let seek = SeekInfo {
            start: Some(SeekPosition { r#type: Some(start) }),
            stop: Some(SeekPosition { r#type: Some(stop) }),
            behavior: seek_info::SeekBehavior::BlockUntilReady as i32,
            ..Default::default()
        };
        let payload = Payload { header: Some(header), data: seek.encode_to_vec() };
        let signed = gateway.sign(payload.encode_to_vec()).await?;
        Ok(Envelope { payload: signed.message, signature: signed.signature })
    }
}
