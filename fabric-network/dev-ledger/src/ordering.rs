//! Transactions into blocks: when a block closes, and what happens then.

use crate::Error;
use crate::channel::{Channel, Peer};
use crate::definition::LIFECYCLE;
use crate::store::{Place, Write};
use crate::validation::{Checked, Verdicts, validate};
use fabric_protos::common::{
    Block, BlockData, BlockHeader, BlockMetadata, ChannelHeader, Envelope, HeaderType, LastConfig, Metadata,
    OrdererBlockMetadata, Payload, SignatureHeader, Status,
};
use fabric_protos::hash::{block_data_hash, block_header_hash};
use fabric_protos::peer::TxValidationCode;
use prost::Message;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// The largest envelope that is ordered, as Fabric's sample configuration has it.
pub const ABSOLUTE_MAX_BYTES: usize = 10 * 1024 * 1024;
/// A block that would grow beyond this is closed before; a larger transaction is a block of its own.
pub const PREFERRED_MAX_BYTES: usize = 2 * 1024 * 1024;
/// Transactions that may wait to be ordered.
pub const WAITING: usize = 1024;
/// How long to wait before a block that could not be written is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// When a block closes.
#[derive(Clone, Copy, Debug)]
pub struct Batching {
    pub max_message_count: usize,
    pub timeout: Duration,
}

/// Why the orderer refuses an envelope: Fabric's status, and words.
pub struct Refused(pub Status, pub String);

/// Fabric's words where a channel is not there.
pub const NO_CHANNEL: &str = "channel does not exist";

/// Where an envelope belongs.
pub fn channel_header(envelope: &Envelope) -> Result<ChannelHeader, Refused> {
    let refuse =
        |what: &str| Err(Refused(Status::BadRequest, format!("could not determine channel ID: {what}")));
    let Ok(payload) = Payload::decode(envelope.payload.as_slice()) else {
        return refuse("error unmarshalling Payload");
    };
    let Some(header) = payload.header else { return refuse("header not set") };
    match ChannelHeader::decode(header.channel_header.as_slice()) {
        Ok(_) if header.channel_header.is_empty() => refuse("channel header not set"),
        Ok(header) => Ok(header),
        Err(_) => refuse("error unmarshalling channel header: error unmarshalling ChannelHeader"),
    }
}

/// The orderer's checks of an envelope before it is ordered.
pub fn admit(channel: &Channel, envelope: &Envelope) -> Result<(), Refused> {
    let refuse = |status, what: &str| Err(Refused(status, what.into()));
    if let Err(what) = channel.store.accepts() {
        return refuse(Status::ServiceUnavailable, &what);
    }
    let channel_header = channel_header(envelope)?;
    if channel_header.channel_id != channel.name {
        return refuse(Status::BadRequest, NO_CHANNEL);
    }
    match HeaderType::try_from(channel_header.r#type) {
        Ok(HeaderType::Config) => {
            return refuse(Status::BadRequest, "message is of type that cannot be processed directly");
        }
        Ok(HeaderType::OrdererTransaction) => {
            return refuse(Status::BadRequest, "message is of type that is no longer supported");
        }
        Ok(HeaderType::ConfigUpdate) => {
            return refuse(
                Status::NotImplemented,
                "a development ledger's configuration cannot be changed: make another ledger",
            );
        }
        _ => {}
    }
    let size = envelope.payload.len() + envelope.signature.len();
    if size > ABSOLUTE_MAX_BYTES {
        let what =
            format!("message payload is {size} bytes and exceeds maximum allowed {ABSOLUTE_MAX_BYTES} bytes");
        return refuse(Status::BadRequest, &what);
    }
    let header = Payload::decode(envelope.payload.as_slice()).unwrap_or_default().header.unwrap_or_default();
    let creator = SignatureHeader::decode(header.signature_header.as_slice()).unwrap_or_default().creator;
    match channel.authenticate(&creator, &envelope.payload, &envelope.signature) {
        Ok(_) => Ok(()),
        Err(e) => {
            tracing::warn!("envelope refused: {e}");
            refuse(
                Status::Forbidden,
                "implicit policy evaluation failed - 0 sub-policies were satisfied, but this policy requires 1 of the 'Writers' sub-policies to be satisfied: permission denied",
            )
        }
    }
}

/// A block after `previous` (an empty header before the first), with the verdicts in its metadata.
pub fn block(previous: BlockHeader, data: Vec<Vec<u8>>, codes: &[TxValidationCode]) -> Block {
    let is_first = previous == BlockHeader::default();
    let data = BlockData { data };
    let header = BlockHeader {
        number: if is_first { 0 } else { previous.number + 1 },
        previous_hash: if is_first { Vec::new() } else { block_header_hash(&previous).to_vec() },
        data_hash: block_data_hash(&data).to_vec(),
    };
    // In the order of `BlockMetadataIndex`. There is no orderer, hence no signature of one.
    let signed =
        OrdererBlockMetadata { last_config: Some(LastConfig { index: 0 }), consenter_metadata: Vec::new() };
    let signatures = Metadata { value: signed.encode_to_vec(), signatures: Vec::new() };
    let verdicts = codes.iter().map(|code| *code as i32 as u8).collect();
    let metadata = vec![signatures.encode_to_vec(), Vec::new(), verdicts, Vec::new(), Vec::new()];
    Block { header: Some(header), data: Some(data), metadata: Some(BlockMetadata { metadata }) }
}

/// Orders transactions until nobody can send any more.
///
/// While a block is written the next transactions gather, and share the next block and its one write to disk.
pub async fn run(channel: Arc<Channel>, batching: Batching, mut incoming: mpsc::Receiver<Checked>) {
    let peers: Vec<_> = channel.peers.iter().map(follower).collect();
    let mut last = match last_header(&channel) {
        Ok(last) => last,
        Err(e) => return tracing::error!("no further blocks: {e}"),
    };
    let mut next = None;
    while let Some(batch) = cut(batching, &mut incoming, &mut next).await {
        let Some((header, places)) = write(&channel, last, batch).await else {
            return;
        };
        let places: Arc<[_]> = places.into();
        for peer in &peers {
            // The followers live as long as this task.
            let _ = peer.send((header.number + 1, places.clone(), Instant::now()));
        }
        last = header;
    }
}

/// The transactions of the next block; `next` is the one that did not fit.
async fn cut(
    batching: Batching,
    incoming: &mut mpsc::Receiver<Checked>,
    next: &mut Option<Checked>,
) -> Option<Vec<Checked>> {
    let first = match next.take() {
        Some(first) => first,
        None => incoming.recv().await?,
    };
    let mut size = first.envelope.len();
    let mut batch = vec![first];
    let deadline = Instant::now() + batching.timeout;
    while batch.len() < batching.max_message_count && size < PREFERRED_MAX_BYTES {
        let checked = match incoming.try_recv() {
            Ok(checked) => checked,
            Err(_) if batching.timeout.is_zero() => break,
            Err(_) => match timeout_at(deadline, incoming.recv()).await {
                Ok(Some(checked)) => checked,
                Ok(None) | Err(_) => break,
            },
        };
        if size + checked.envelope.len() > PREFERRED_MAX_BYTES {
            *next = Some(checked);
            break;
        }
        size += checked.envelope.len();
        batch.push(checked);
    }
    Some(batch)
}

/// Makes a block of the batch and writes it, as often as it takes: once taken, a transaction is not dropped
/// because there is no room for it now. Nothing where no block can be written any more.
async fn write(
    channel: &Arc<Channel>,
    last: BlockHeader,
    batch: Vec<Checked>,
) -> Option<(BlockHeader, Vec<(String, Place)>)> {
    let batch = Arc::new(batch);
    loop {
        let (committing, last, batch) = (channel.clone(), last.clone(), batch.clone());
        let written = tokio::task::spawn_blocking(move || commit(&committing, last, &batch)).await;
        match written {
            Ok(Ok(written)) => return Some(written),
            Ok(Err(e)) => tracing::error!("a block cannot be written now: {e}"),
            Err(e) => {
                tracing::error!("no further blocks: {e}");
                return None;
            }
        }
        tokio::select! {
            () = sleep(RETRY) => {}
            () = channel.stopped() => return None,
        }
    }
}

/// Brings the store back after a failed write, when there is room again.
pub async fn tend(channel: Arc<Channel>) {
    loop {
        tokio::select! {
            () = sleep(RETRY) => {}
            () = channel.stopped() => return,
        }
        if !channel.store.is_broken() {
            continue;
        }
        let store = channel.store.clone();
        match tokio::task::spawn_blocking(move || store.reopen()).await {
            Ok(Ok(())) => tracing::info!(channel = channel.name, "the database is open again"),
            Ok(Err(e)) => tracing::error!("{e}"),
            Err(e) => tracing::error!("the database cannot be opened: {e}"),
        }
    }
}

/// The header of the newest block; there is always the configuration's.
pub fn last_header(channel: &Channel) -> Result<BlockHeader, Error> {
    let number = channel.store.height()?.saturating_sub(1);
    let header = channel.store.block(number)?.and_then(|block| block.header);
    header.ok_or_else(|| Error::Store(format!("block {number} is missing")))
}

/// Validates a batch on the state after block `last` and makes the next block durable. Gives its header, and
/// where its transactions are.
fn commit(
    channel: &Channel,
    last: BlockHeader,
    batch: &[Checked],
) -> Result<(BlockHeader, Vec<(String, Place)>), Error> {
    append(channel, last.clone(), batch, validate(channel, last.number + 1, batch)?)
}

/// Makes the block after `last` durable, with these verdicts. Gives its header, and where its transactions are.
pub fn append(
    channel: &Channel,
    last: BlockHeader,
    batch: &[Checked],
    verdicts: Verdicts,
) -> Result<(BlockHeader, Vec<(String, Place)>), Error> {
    let data = batch.iter().map(|checked| checked.envelope.clone()).collect();
    let block = block(last, data, &verdicts.codes);
    channel.store.commit(&block, &verdicts.changes)?;
    let of_definitions = |write: &Write| write.namespace.split("$$").next() == Some(LIFECYCLE);
    if verdicts.changes.writes.iter().any(of_definitions) {
        // The block is written whatever becomes of this.
        channel.reload().unwrap_or_else(|e| tracing::error!("the definitions of chaincodes: {e}"));
    }
    Ok((block.header.unwrap_or_default(), verdicts.changes.places))
}

/// A block that was written: how many there are now, where its transactions are, and when that was.
type Written = (u64, Arc<[(String, Place)]>, Instant);

/// The task that has a peer see new blocks, late where it is to lag.
fn follower(peer: &Arc<Peer>) -> mpsc::UnboundedSender<Written> {
    let (sender, mut blocks) = mpsc::unbounded_channel::<Written>();
    let peer = peer.clone();
    tokio::spawn(async move {
        while let Some((height, places, committed)) = blocks.recv().await {
            sleep_until(committed + peer.delay()).await;
            peer.advance(height, &places);
        }
    });
    sender
}
