//! Blocks from a peer's Deliver service, in any of its forms.

use crate::forms::{self, BlockForm};
use crate::signed::{Signed, damaged, header, read};
use crate::stream::{End, Sender, Source};
use crate::{
    Block, BlockDefect, CallError, Checkpoint, Error, EventStream, Gateway, Network, Operation, Start,
};
use fabric_protos::common::{ChannelHeader, Envelope, HeaderType, Payload, Status};
use fabric_protos::orderer::{SeekInfo, SeekNewest, SeekPosition, SeekSpecified, seek_info, seek_position};
use fabric_protos::peer::deliver_response;
use fabric_protos::prost::Message;
use std::fmt;
use std::marker::PhantomData;
use tokio_stream::StreamExt;

/// How many blocks wait for a reader that is slow.
const AHEAD: usize = 4;
/// What [`BlockEventsRequest::from_bytes`] reads.
const REQUEST: &str = "block events request";

/// Blocks in order, without gaps, their hash chain checked from the first one on.
pub type BlockStream = EventStream<Block>;

/// A request for blocks. The gateway's user signs it when it is sent; or its bytes go to wherever the key is, and
/// come back with a signature.
pub struct BlockEventsRequest<B> {
    gateway: Gateway,
    channel: String,
    /// The block that is due first, if it is known.
    start: Option<u64>,
    /// The transaction in that block up to which all has been dealt with.
    after: Option<String>,
    /// Whether there is a last block.
    past: bool,
    signed: Signed,
    form: PhantomData<fn() -> B>,
}

impl<B: BlockForm> BlockEventsRequest<B> {
    pub(crate) fn new(network: &Network, start: &Start, past: bool) -> Self {
        let after = start.transaction_id().map(str::to_owned);
        Self::seek(network.gateway.clone(), network.channel.clone(), start.position(), after, past)
    }

    /// A request for the newest block and no other.
    pub(crate) fn newest(network: &Network) -> Self {
        let start = SeekPosition { r#type: Some(seek_position::Type::Newest(SeekNewest {})) };
        Self::seek(network.gateway.clone(), network.channel.clone(), start, None, true)
    }

    fn seek(
        gateway: Gateway,
        channel: String,
        start: SeekPosition,
        after: Option<String>,
        past: bool,
    ) -> Self {
        // Without a nonce, as official clients do it: nobody asks for one.
        let header = header(HeaderType::DeliverSeekInfo, &gateway, &channel, ("", Vec::new()), Vec::new());
        let stop = match past {
            true => seek_position::Type::Newest(SeekNewest {}),
            false => seek_position::Type::Specified(SeekSpecified { number: u64::MAX }),
        };
        let number = specified(&start);
        let seek = SeekInfo {
            start: Some(start),
            stop: Some(SeekPosition { r#type: Some(stop) }),
            behavior: seek_info::SeekBehavior::BlockUntilReady as i32,
            ..Default::default()
        };
        let payload = Payload { header: Some(header), data: seek.encode_to_vec() };
        let signed = Signed::new(payload.encode_to_vec(), Vec::new());
        Self { gateway, channel, start: number, after, past, signed, form: PhantomData }
    }

    /// Takes up what [`BlockEventsRequest::to_bytes`] or an official client wrote.
    ///
    /// # Errors
    /// [`Error::Bytes`] when they are no request for blocks.
    pub fn from_bytes(gateway: &Gateway, bytes: &[u8]) -> Result<Self, Error> {
        let Envelope { payload: message, signature } = read(REQUEST, bytes)?;
        let payload: Payload = read(REQUEST, &message)?;
        let header: ChannelHeader = read(REQUEST, &payload.header.unwrap_or_default().channel_header)?;
        if header.r#type != HeaderType::DeliverSeekInfo as i32 {
            return Err(damaged(REQUEST, "its header is of another kind"));
        }
        let seek: SeekInfo = read(REQUEST, &payload.data)?;
        let number = |position: Option<SeekPosition>| position.as_ref().and_then(specified);
        Ok(Self {
            gateway: gateway.clone(),
            channel: header.channel_id,
            start: number(seek.start),
            after: None,
            past: number(seek.stop) != Some(u64::MAX),
            signed: Signed::new(message, signature),
            form: PhantomData,
        })
    }

    /// The request, with its signature if it has one, as official clients write it. Of a checkpoint it holds the
    /// block only.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.signed.envelope().encode_to_vec()
    }

    /// The SHA-256 digest that is to be signed.
    pub fn digest(&self) -> [u8; 32] {
        self.signed.digest()
    }

    /// With a signature of [`BlockEventsRequest::digest`] that was made elsewhere (see [`Signer`](crate::Signer) for
    /// its form).
    pub fn with_signature(mut self, signature: Vec<u8>) -> Self {
        self.signed.set(signature);
        self
    }

    /// The blocks, over one connection. Call it within a Tokio runtime.
    ///
    /// # Errors
    /// [`Error::Signer`]; what the peer says comes in the stream.
    pub async fn events(self) -> Result<EventStream<B>, Error> {
        self.signed.sign(&self.gateway).await?;
        Ok(EventStream::open(Reader::new(self), false))
    }

    /// The blocks, over as many connections as it takes.
    pub(crate) fn follow(self) -> EventStream<B> {
        EventStream::open(Reader::new(self), true)
    }
}

impl<B> fmt::Debug for BlockEventsRequest<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockEventsRequest").field("channel", &self.channel).finish_non_exhaustive()
    }
}

/// The block number of a position that names one.
fn specified(position: &SeekPosition) -> Option<u64> {
    match position.r#type {
        Some(seek_position::Type::Specified(SeekSpecified { number })) => Some(number),
        _ => None,
    }
}

/// Reads what a request asks for.
struct Reader<B> {
    request: BlockEventsRequest<B>,
    /// The number of the next block, if it is known.
    next: Option<u64>,
    /// The hash of the last block's header, in forms that have it.
    previous: Option<[u8; 32]>,
    passed: u64,
    /// Whether the request has been sent before.
    connected: bool,
}

impl<B: BlockForm> Source for Reader<B> {
    type Item = B;

    fn ahead(&self) -> usize {
        AHEAD
    }

    fn passed(&self) -> u64 {
        self.passed
    }

    async fn session(&mut self, sender: &Sender<B>) -> End {
        if self.connected {
            self.renew();
        }
        self.connected = true;
        let gateway = self.request.gateway.clone();
        if let Err(error) = self.request.signed.sign(&gateway).await {
            return End::Failed(error);
        }
        let (peer, client) = gateway.deliver_client();
        let mut end = self.read(client, sender).await;
        if let End::Lost(error) = &mut end {
            gateway.explain(error, peer);
            gateway.leave(peer);
        }
        end
    }

    fn is_hopeless(&self) -> bool {
        self.request.gateway.is_hopeless()
    }
}

impl<B: BlockForm> Reader<B> {
    fn new(request: BlockEventsRequest<B>) -> Self {
        let next = request.start;
        Self { request, next, previous: None, passed: 0, connected: false }
    }

    /// Makes the request anew, for the next block and with the time of now: peers refuse an old one.
    fn renew(&mut self) {
        let BlockEventsRequest { gateway, channel, after, past, .. } = &mut self.request;
        let start = self.next.map_or(Start::NextCommit, |next| Start::At(Checkpoint::at(next))).position();
        self.request = BlockEventsRequest::seek(gateway.clone(), channel.clone(), start, after.take(), *past);
    }

    async fn read(&mut self, client: forms::Client, sender: &Sender<B>) -> End {
        let lost = |reason: &str| End::lost(Operation::Blocks, reason);
        // The peer takes the end of requests for the end of interest, so the stream of them stays open.
        let requests = tokio_stream::once(self.request.signed.envelope()).chain(tokio_stream::pending());
        let mut answers = match B::open(client, requests).await {
            Ok(answers) => answers.into_inner(),
            Err(status) => return End::of(Operation::Blocks, status),
        };
        loop {
            let answer = match answers.message().await {
                Ok(Some(answer)) => answer.r#type,
                Ok(None) => return lost("the peer ended the stream"),
                Err(status) => return End::of(Operation::Blocks, status),
            };
            let block = match answer {
                Some(deliver_response::Type::Status(status)) => return self.ended(status),
                Some(answer) => B::read(answer),
                None => None,
            };
            let Some(block) = block else {
                return lost("the peer sent something other than what was asked for");
            };
            match block.and_then(|block| self.check(block)) {
                Ok(block) => {
                    if sender.send(Ok(block)).await.is_err() {
                        return End::Done;
                    }
                }
                Err(defect) => return End::Failed(defect.into()),
            }
        }
    }

    fn check(&mut self, mut block: B) -> Result<B, BlockDefect> {
        let number = block.number();
        if let Some(expected) = self.next.filter(|&expected| expected != number) {
            return Err(BlockDefect::Number { number, expected });
        }
        if let Some((previous, own)) = block.hashes() {
            if self.previous.is_some_and(|hash| hash[..] != *previous) {
                return Err(BlockDefect::PreviousHash { number });
            }
            self.previous = Some(own);
        }
        if let Some(id) = self.request.after.take()
            && !block.pass(&id)
        {
            return Err(BlockDefect::Checkpoint { number, transaction_id: id });
        }
        self.next = Some(number + 1);
        self.passed += 1;
        Ok(block)
    }

    /// What the peer's last word means.
    fn ended(&self, status: i32) -> End {
        let name = Status::try_from(status).map_or("UNKNOWN", |s| s.as_str_name());
        let past = self.request.past;
        match Status::try_from(status) {
            Ok(Status::Success) if past => End::Done,
            // Asked again for the rest of the past, of which there is none.
            Ok(Status::BadRequest) if past && self.passed > 0 => End::Done,
            Ok(Status::BadRequest | Status::Forbidden) => {
                let code = match Status::try_from(status) {
                    Ok(Status::Forbidden) => tonic::Code::PermissionDenied,
                    _ => tonic::Code::InvalidArgument,
                };
                let message = format!(
                    "the peer answered {name} to a reader of channel {:?}; see whether the reader may read it, \
                     and whether the clocks agree",
                    self.request.channel
                );
                let status = tonic::Status::new(code, message);
                End::Failed(CallError::from_status(Operation::Blocks, "", status).into())
            }
            // The channel may be joined later; the peer may be shutting down.
            _ => End::lost(Operation::Blocks, format!("the peer answered {name}")),
        }
    }
}
