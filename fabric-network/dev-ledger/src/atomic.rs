//! The orderer's service on every peer's port: transactions in, blocks out.

use crate::deliver;
use crate::gateway::Joined;
use crate::ordering::{self, Refused};
use fabric_protos::common::{Envelope, Status};
use fabric_protos::orderer::{BroadcastResponse, DeliverResponse, deliver_response};
use fabric_protos::peer;
use fabric_protos::services::AtomicBroadcast;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Streaming};

/// Answers that may wait to be sent.
const OUTGOING_ANSWERS: usize = 64;

/// The service of one organisation's peer.
pub struct Service {
    /// The channels on which the organisation is, by name.
    pub channels: Arc<HashMap<String, Joined>>,
    /// The same blocks, as the peer gives them.
    pub deliver: Arc<deliver::Service>,
    /// Becomes true when the ledger is to end.
    pub stop: watch::Receiver<bool>,
}

#[tonic::async_trait]
impl AtomicBroadcast for Service {
    async fn broadcast(
        &self,
        request: Request<Streaming<Envelope>>,
    ) -> Result<Response<BoxStream<BroadcastResponse>>, tonic::Status> {
        let (sender, answers) = mpsc::channel(OUTGOING_ANSWERS);
        let (channels, stop) = (self.channels.clone(), self.stop.clone());
        tokio::spawn(take(channels, stop, request.into_inner(), sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn deliver(
        &self,
        request: Request<Streaming<Envelope>>,
    ) -> Result<Response<BoxStream<DeliverResponse>>, tonic::Status> {
        let answers = self.deliver.blocks(request.into_inner());
        let answers = answers.filter_map(|answer| match answer {
            Ok(answer) => Some(Ok(DeliverResponse { r#type: Some(orderers(answer)?) })),
            Err(e) => Some(Err(e)),
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

/// The orderer's form of a peer's answer.
fn orderers(answer: peer::DeliverResponse) -> Option<deliver_response::Type> {
    match answer.r#type? {
        peer::deliver_response::Type::Block(block) => Some(deliver_response::Type::Block(block)),
        peer::deliver_response::Type::Status(status) => Some(deliver_response::Type::Status(status)),
        // Nobody asked for another form.
        _ => None,
    }
}

/// Takes one envelope after the other; one that is refused ends the stream.
async fn take(
    channels: Arc<HashMap<String, Joined>>,
    mut stop: watch::Receiver<bool>,
    mut envelopes: Streaming<Envelope>,
    answers: mpsc::Sender<Result<BroadcastResponse, tonic::Status>>,
) {
    loop {
        let envelope = tokio::select! {
            envelope = envelopes.next() => envelope,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let Some(Ok(envelope)) = envelope else { return };
        let (status, info) = match order(&channels, &envelope).await {
            Ok(()) => (Status::Success, String::new()),
            Err(Refused(status, info)) => (status, info),
        };
        let answer = BroadcastResponse { status: status as i32, info };
        if answers.send(Ok(answer)).await.is_err() || status != Status::Success {
            return;
        }
    }
}

async fn order(channels: &HashMap<String, Joined>, envelope: &Envelope) -> Result<(), Refused> {
    let header = ordering::channel_header(envelope)?;
    match channels.get(&header.channel_id) {
        Some(joined) => joined.order(envelope).await,
        None => Err(Refused(Status::BadRequest, ordering::NO_CHANNEL.into())),
    }
}
