//! The deliver service of one organisation's peer: its blocks, whole or filtered.

use crate::channel::{Channel, Peer, in_time_window};
use crate::definition::Signer;
use crate::history;
use crate::store::PrivateSet;
use fabric_protos::common::{
    Block, BlockMetadataIndex, ChannelHeader, Envelope, HeaderType, Payload, SignatureHeader, Status,
};
use fabric_protos::orderer::seek_info::{SeekBehavior, SeekContentType};
use fabric_protos::orderer::{SeekInfo, SeekPosition, seek_position};
use fabric_protos::peer::{
    BlockAndPrivateData, ChaincodeEvent, DeliverResponse, FilteredBlock, FilteredChaincodeAction,
    FilteredTransaction, FilteredTransactionActions, TxValidationCode, deliver_response,
    filtered_transaction,
};
use fabric_protos::rwset::{CollectionPvtReadWriteSet, NsPvtReadWriteSet, TxPvtReadWriteSet};
use fabric_protos::services::Deliver;
use prost::Message;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Streaming};

/// Blocks that may wait to be sent.
const OUTGOING_BLOCKS: usize = 8;

/// The channels on which an organisation is, by name, with its peer on each.
pub type Channels = HashMap<String, (Arc<Channel>, Arc<Peer>)>;

/// The service of one organisation's peer.
pub struct Service {
    pub channels: Arc<Channels>,
    /// Becomes true when the ledger is to end.
    pub stop: watch::Receiver<bool>,
}

#[tonic::async_trait]
impl Deliver for Service {
    async fn deliver(
        &self,
        request: Request<Streaming<Envelope>>,
    ) -> Result<Response<BoxStream<DeliverResponse>>, tonic::Status> {
        Ok(Response::new(Box::pin(self.blocks(request.into_inner()))))
    }

    async fn deliver_filtered(
        &self,
        request: Request<Streaming<Envelope>>,
    ) -> Result<Response<BoxStream<DeliverResponse>>, tonic::Status> {
        let answers = self.stream(request.into_inner(), |reading, _, block| {
            Ok(deliver_response::Type::FilteredBlock(filter(&reading.channel, &block)))
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn deliver_with_private_data(
        &self,
        request: Request<Streaming<Envelope>>,
    ) -> Result<Response<BoxStream<DeliverResponse>>, tonic::Status> {
        let answers = self.stream(request.into_inner(), |reading, number, block| {
            let private_data_map = private_data(reading, number)?;
            let answer = BlockAndPrivateData { block: Some(block), private_data_map };
            Ok(deliver_response::Type::BlockAndPrivateData(answer))
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

/// Makes an answer of a block.
type Form = fn(&Reading, u64, Block) -> Result<deliver_response::Type, crate::Error>;

impl Service {
    /// Whole blocks.
    pub fn blocks(&self, requests: Streaming<Envelope>) -> Answers {
        self.stream(requests, |_, _, block| Ok(deliver_response::Type::Block(block)))
    }

    fn stream(&self, requests: Streaming<Envelope>, form: Form) -> Answers {
        let (sender, answers) = mpsc::channel(OUTGOING_BLOCKS);
        let session = Session { channels: self.channels.clone(), stop: self.stop.clone(), form, sender };
        tokio::spawn(session.run(requests));
        ReceiverStream::new(answers)
    }
}

/// What a stream answers.
type Answers = ReceiverStream<Result<DeliverResponse, tonic::Status>>;

/// A channel that a client may read.
struct Reading {
    channel: Arc<Channel>,
    peer: Arc<Peer>,
    client: Signer,
}

/// One client's stream.
struct Session {
    channels: Arc<Channels>,
    stop: watch::Receiver<bool>,
    form: Form,
    sender: mpsc::Sender<Result<DeliverResponse, tonic::Status>>,
}

/// The client has gone, or the ledger ends.
struct Gone;

impl Session {
    /// Serves one request after the other; one that fails ends the stream.
    async fn run(self, mut requests: Streaming<Envelope>) {
        let mut stop = self.stop.clone();
        loop {
            let request = tokio::select! {
                request = requests.next() => request,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            let Some(Ok(envelope)) = request else {
                return;
            };
            let Ok(status) = self.serve(&envelope).await else {
                return;
            };
            let sent = self.send(deliver_response::Type::Status(status as i32)).await;
            if sent.is_err() || status != Status::Success {
                return;
            }
        }
    }

    async fn serve(&self, envelope: &Envelope) -> Result<Status, Gone> {
        let (seek, reading) = match self.check(envelope) {
            Ok(checked) => checked,
            Err(status) => return Ok(status),
        };
        let (first, last) = match positions(&seek, reading.peer.height()) {
            Ok(positions) => positions,
            Err(status) => return Ok(status),
        };
        let mut heights = reading.peer.heights();
        for number in first..=last {
            let ready = *heights.borrow_and_update() > number;
            if !ready && seek.behavior == SeekBehavior::FailIfNotReady as i32 {
                return Ok(Status::NotFound);
            }
            tokio::select! {
                reached = heights.wait_for(|height| *height > number) => drop(reached.map_err(|_| Gone)?),
                () = self.sender.closed() => return Err(Gone),
                () = reading.channel.stopped() => return Err(Gone),
            }
            let answer = match reading.channel.store.block(number) {
                Ok(Some(block)) => (self.form)(&reading, number, content(&seek, number, block)),
                Ok(None) => return Ok(Status::InternalServerError),
                Err(e) => Err(e),
            };
            match answer {
                Ok(answer) => self.send(answer).await?,
                Err(e) => {
                    tracing::error!("block {number}: {e}");
                    return Ok(Status::InternalServerError);
                }
            }
        }
        Ok(Status::Success)
    }

    /// What is asked for, when the client may ask for it.
    fn check(&self, envelope: &Envelope) -> Result<(SeekInfo, Reading), Status> {
        let bad = |_| Status::BadRequest;
        let payload = Payload::decode(envelope.payload.as_slice()).map_err(bad)?;
        let header = payload.header.ok_or(Status::BadRequest)?;
        let channel_header = ChannelHeader::decode(header.channel_header.as_slice()).map_err(bad)?;
        let signature_header = SignatureHeader::decode(header.signature_header.as_slice()).map_err(bad)?;
        if !in_time_window(channel_header.timestamp.as_ref()) {
            return Err(Status::BadRequest);
        }
        let Some((channel, peer)) = self.channels.get(&channel_header.channel_id) else {
            return Err(Status::NotFound);
        };
        let seek = SeekInfo::decode(payload.data.as_slice()).map_err(bad)?;
        let client = channel.authenticate(&signature_header.creator, &envelope.payload, &envelope.signature);
        let client = client.map_err(|e| {
            tracing::warn!("deliver request refused: {e}");
            Status::Forbidden
        })?;
        Ok((seek, Reading { channel: channel.clone(), peer: peer.clone(), client: client.signer() }))
    }

    async fn send(&self, answer: deliver_response::Type) -> Result<(), Gone> {
        self.sender.send(Ok(DeliverResponse { r#type: Some(answer) })).await.map_err(|_| Gone)
    }
}

/// The block, or where only that is asked for its header and metadata; a configuration is always given whole.
fn content(seek: &SeekInfo, number: u64, block: Block) -> Block {
    if seek.content_type == SeekContentType::HeaderWithSig as i32 && number > 0 {
        return Block { data: None, ..block };
    }
    block
}

/// The private data of a block that the peer keeps and the client may see, by transaction.
fn private_data(reading: &Reading, number: u64) -> Result<BTreeMap<u64, TxPvtReadWriteSet>, crate::Error> {
    let mut found: BTreeMap<u64, TxPvtReadWriteSet> = BTreeMap::new();
    let definitions = reading.channel.definitions();
    for PrivateSet { tx, namespace, collection: collection_name, rwset } in
        reading.channel.store.private(number)?
    {
        let Ok(members) = definitions.collection(&namespace, &collection_name) else {
            continue;
        };
        if !members.includes(reading.peer.msp_id()) || !members.admits(&reading.client) {
            continue;
        }
        let sets = &mut found.entry(tx).or_default().ns_pvt_rwset;
        if sets.last().is_none_or(|last| last.namespace != namespace) {
            sets.push(NsPvtReadWriteSet { namespace, collection_pvt_rwset: Vec::new() });
        }
        if let Some(last) = sets.last_mut() {
            last.collection_pvt_rwset.push(CollectionPvtReadWriteSet { collection_name, rwset });
        }
    }
    Ok(found)
}

/// The first and the last block that are asked for, of a chain of `height` blocks.
fn positions(seek: &SeekInfo, height: u64) -> Result<(u64, u64), Status> {
    let newest = height.saturating_sub(1);
    let of = |position: &Option<SeekPosition>| {
        position.as_ref().and_then(|p| p.r#type.clone()).ok_or(Status::BadRequest)
    };
    let (start, stop) = (of(&seek.start)?, of(&seek.stop)?);
    let first = match &start {
        seek_position::Type::Oldest(_) => 0,
        seek_position::Type::Newest(_) => newest,
        seek_position::Type::NextCommit(_) => height,
        seek_position::Type::Specified(at) if at.number > height => return Err(Status::NotFound),
        seek_position::Type::Specified(at) => at.number,
    };
    let last = match stop {
        seek_position::Type::Oldest(_) => first,
        seek_position::Type::Newest(_) if start == seek_position::Type::Newest(Default::default()) => first,
        seek_position::Type::Newest(_) => newest,
        seek_position::Type::Specified(at) if at.number < first => return Err(Status::BadRequest),
        seek_position::Type::Specified(at) => at.number,
        // As for a peer, there is no such end.
        seek_position::Type::NextCommit(_) if first == 0 => 0,
        seek_position::Type::NextCommit(_) => u64::MAX,
    };
    Ok((first, last))
}

/// The block from which a stream of events begins.
pub fn events_start(position: Option<SeekPosition>, height: u64) -> Result<u64, tonic::Status> {
    match position.and_then(|position| position.r#type) {
        None | Some(seek_position::Type::NextCommit(_)) => Ok(height),
        Some(seek_position::Type::Specified(at)) => Ok(at.number),
        Some(_) => Err(tonic::Status::invalid_argument("invalid start position type")),
    }
}

/// The events of a block's valid transactions.
pub fn events(block: &Block) -> Vec<ChaincodeEvent> {
    transactions(block)
        .filter(|(_, code, _)| *code == TxValidationCode::Valid)
        .filter_map(|(_, _, event)| event)
        .collect()
}

/// The channel header, verdict and event of every transaction.
fn transactions(
    block: &Block,
) -> impl Iterator<Item = (ChannelHeader, TxValidationCode, Option<ChaincodeEvent>)> {
    let data = block.data.iter().flat_map(|data| &data.data);
    data.enumerate().filter_map(|(index, envelope)| {
        let payload = Payload::decode(Envelope::decode(envelope.as_slice()).ok()?.payload.as_slice()).ok()?;
        let header = ChannelHeader::decode(payload.header?.channel_header.as_slice()).ok()?;
        let event = match header.r#type == HeaderType::EndorserTransaction as i32 {
            true => event(&payload.data),
            false => None,
        };
        Some((header, code(block, index), event))
    })
}

/// The verdict on the transaction of this index.
fn code(block: &Block, index: usize) -> TxValidationCode {
    let verdicts =
        block.metadata.as_ref().and_then(|m| m.metadata.get(BlockMetadataIndex::TransactionsFilter as usize));
    let code = verdicts.and_then(|verdicts| verdicts.get(index)).copied();
    let code = code.and_then(|code| TxValidationCode::try_from(i32::from(code)).ok());
    code.unwrap_or(TxValidationCode::InvalidOtherReason)
}

fn event(transaction: &[u8]) -> Option<ChaincodeEvent> {
    let action = history::action(transaction)?;
    if action.events.is_empty() {
        return None;
    }
    ChaincodeEvent::decode(action.events.as_slice()).ok()
}

fn filter(channel: &Channel, block: &Block) -> FilteredBlock {
    let filtered = transactions(block).map(|(header, code, event)| {
        let event = event.map(|event| ChaincodeEvent { payload: Vec::new(), ..event });
        let chaincode_actions =
            event.map(|event| FilteredChaincodeAction { chaincode_event: Some(event) }).into_iter().collect();
        let actions = FilteredTransactionActions { chaincode_actions };
        FilteredTransaction {
            txid: header.tx_id,
            r#type: header.r#type,
            tx_validation_code: code as i32,
            data: (header.r#type == HeaderType::EndorserTransaction as i32)
                .then_some(filtered_transaction::Data::TransactionActions(actions)),
        }
    });
    FilteredBlock {
        channel_id: channel.name.clone(),
        number: block.header.as_ref().map_or(0, |header| header.number),
        filtered_transactions: filtered.collect(),
    }
}
