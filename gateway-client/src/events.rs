//! The stream of a chaincode's events from one's own peer.

use crate::{CallError, Checkpoint, Error, Network, Operation};
use fabric_protos::gateway::{ChaincodeEventsRequest, ChaincodeEventsResponse, SignedChaincodeEventsRequest};
use fabric_protos::orderer::{SeekPosition, SeekSpecified, seek_position};
use fabric_protos::prost::Message;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tonic::Code;

const AHEAD: usize = 64;
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// An event that a valid transaction set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChaincodeEvent {
    /// The block that holds the transaction.
    pub block_number: u64,
    /// The transaction.
    pub transaction_id: String,
    /// The chaincode.
    pub chaincode: String,
    /// The event's name.
    pub name: String,
    /// The event's content.
    pub payload: Vec<u8>,
}

impl ChaincodeEvent {
    /// The checkpoint from which the stream goes on after this event.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint::after(self.block_number, &self.transaction_id)
    }
}

/// Events in order; the connection is made again when it is lost. Delivery is at least once: a process
/// that restarts sees again what came after its checkpoint. Dropping the stream ends it; an error is its
/// last item.
pub struct EventStream {
    events: mpsc::Receiver<Result<ChaincodeEvent, Error>>,
}

impl EventStream {
    pub(crate) fn open(network: Network, chaincode: String, from: Checkpoint) -> Self {
        let (sender, events) = mpsc::channel(AHEAD);
        tokio::spawn(Follower { network, chaincode, at: from, sender }.run());
        Self { events }
    }

    /// The next event; `None` after an error.
    ///
    /// # Errors
    /// [`Error::Call`] when the peer refuses the reader; [`Error::Signer`].
    pub async fn next(&mut self) -> Option<Result<ChaincodeEvent, Error>> {
        self.events.recv().await
    }
}

impl Stream for EventStream {
    type Item = Result<ChaincodeEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_recv(cx)
    }
}

struct Follower {
    network: Network,
    chaincode: String,
    /// Where the stream goes on.
    at: Checkpoint,
    sender: mpsc::Sender<Result<ChaincodeEvent, Error>>,
}

impl Follower {
    async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        let sender = self.sender.clone();
        loop {
            let before = self.at.clone();
            let end = tokio::select! {
                end = self.follow() => end,
                () = sender.closed() => return,
            };
            if let Err(error) = end {
                // Nobody may be listening any more, which is fine.
                let _ = self.sender.send(Err(error)).await;
                return;
            }
            pause = if self.at != before { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = sender.closed() => return,
            }
        }
    }

    /// Connects once and passes events on. `Ok` when to connect again.
    async fn follow(&mut self) -> Result<(), Error> {
        let gateway = &self.network.gateway;
        let start = seek_position::Type::Specified(SeekSpecified { number: self.at.block });
        let request = ChaincodeEventsRequest {
            channel_id: self.network.channel.clone(),
            chaincode_id: self.chaincode.clone(),
            identity: gateway.creator().to_vec(),
            start_position: Some(SeekPosition { r#type: Some(start) }),
            after_transaction_id: self.at.transaction_id.clone().unwrap_or_default(),
        };
        let signed = gateway.sign(request.encode_to_vec()).await?;
        let request = SignedChaincodeEventsRequest { request: signed.message, signature: signed.signature };
        let mut answers = match gateway.gateway_client().chaincode_events(request).await {
            Ok(answers) => answers.into_inner(),
            Err(status) => return lost(status),
        };
        loop {
            match answers.message().await {
                Ok(Some(answer)) => {
                    if !self.pass_on(answer).await {
                        return Ok(());
                    }
                }
                Ok(None) => return Ok(()),
                Err(status) => return lost(status),
            }
        }
    }

    /// Passes the events of one block on; `false` when nobody listens.
    async fn pass_on(&mut self, answer: ChaincodeEventsResponse) -> bool {
        for event in answer.events {
            let event = ChaincodeEvent {
                block_number: answer.block_number,
                transaction_id: event.tx_id,
                chaincode: event.chaincode_id,
                name: event.event_name,
                payload: event.payload,
            };
            let at = event.checkpoint();
            if self.sender.send(Ok(event)).await.is_err() {
                return false;
            }
            self.at = at;
        }
        true
    }
}

/// Whether to connect again after this status.
fn lost(status: tonic::Status) -> Result<(), Error> {
    match status.code() {
        Code::PermissionDenied | Code::Unauthenticated | Code::InvalidArgument | Code::Unimplemented => {
            Err(CallError::from_status(Operation::Events, "", status).into())
        }
        _ => Ok(()),
    }
}
