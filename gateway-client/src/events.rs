//! A chaincode's events from the gateway service.

use crate::signed::{Signed, damaged, read};
use crate::stream::{End, Sender, Source};
use crate::{Checkpoint, Error, EventStream, Gateway, Network, Operation, Start};
use fabric_protos::gateway::{self, ChaincodeEventsResponse, SignedChaincodeEventsRequest};
use fabric_protos::prost::Message;
use std::fmt;

/// How many events wait for a reader that is slow.
const AHEAD: usize = 64;
/// What [`ChaincodeEventsRequest::from_bytes`] reads.
const REQUEST: &str = "chaincode events request";

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

/// A request for a chaincode's events. The gateway's user signs it when it is sent; or its bytes go to wherever the
/// key is, and come back with a signature.
///
/// Delivery is at least once: a process that restarts sees again what came after its checkpoint.
pub struct ChaincodeEventsRequest {
    gateway: Gateway,
    channel: String,
    chaincode: String,
    signed: Signed,
}

impl ChaincodeEventsRequest {
    pub(crate) fn new(network: &Network, chaincode: &str, start: &Start) -> Self {
        let request = gateway::ChaincodeEventsRequest {
            channel_id: network.channel.clone(),
            chaincode_id: chaincode.to_owned(),
            identity: network.gateway.creator().to_vec(),
            start_position: Some(start.position()),
            after_transaction_id: start.transaction_id().unwrap_or_default().to_owned(),
        };
        let signed = Signed::new(request.encode_to_vec(), Vec::new());
        let (channel, chaincode) = (request.channel_id, request.chaincode_id);
        Self { gateway: network.gateway.clone(), channel, chaincode, signed }
    }

    /// Takes up what [`ChaincodeEventsRequest::to_bytes`] or an official client wrote.
    ///
    /// # Errors
    /// [`Error::Bytes`] when they are no request for a chaincode's events.
    pub fn from_bytes(gateway: &Gateway, bytes: &[u8]) -> Result<Self, Error> {
        let SignedChaincodeEventsRequest { request: message, signature } = read(REQUEST, bytes)?;
        let request: gateway::ChaincodeEventsRequest = read(REQUEST, &message)?;
        if request.chaincode_id.is_empty() {
            return Err(damaged(REQUEST, "it names no chaincode"));
        }
        Ok(Self {
            gateway: gateway.clone(),
            channel: request.channel_id,
            chaincode: request.chaincode_id,
            signed: Signed::new(message, signature),
        })
    }

    /// The request, with its signature if it has one, as official clients write it.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.request().encode_to_vec()
    }

    /// The SHA-256 digest that is to be signed.
    pub fn digest(&self) -> [u8; 32] {
        self.signed.digest()
    }

    /// With a signature of [`ChaincodeEventsRequest::digest`] that was made elsewhere (see
    /// [`Signer`](crate::Signer) for its form).
    pub fn with_signature(mut self, signature: Vec<u8>) -> Self {
        self.signed.set(signature);
        self
    }

    /// The events, over one connection. Call it within a Tokio runtime.
    ///
    /// # Errors
    /// [`Error::Signer`]; what the peer says comes in the stream.
    pub async fn events(self) -> Result<EventStream<ChaincodeEvent>, Error> {
        self.signed.sign(&self.gateway).await?;
        Ok(EventStream::open(Reader { request: self, last: None, passed: 0 }, false))
    }

    /// The events, over as many connections as it takes.
    pub(crate) fn follow(self) -> EventStream<ChaincodeEvent> {
        EventStream::open(Reader { request: self, last: None, passed: 0 }, true)
    }

    fn request(&self) -> SignedChaincodeEventsRequest {
        SignedChaincodeEventsRequest {
            request: self.signed.message().to_vec(),
            signature: self.signed.signature().to_vec(),
        }
    }
}

impl fmt::Debug for ChaincodeEventsRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChaincodeEventsRequest")
            .field("channel", &self.channel)
            .field("chaincode", &self.chaincode)
            .finish_non_exhaustive()
    }
}

/// Reads what a request asks for.
struct Reader {
    request: ChaincodeEventsRequest,
    /// The last event that was passed on.
    last: Option<Checkpoint>,
    passed: u64,
}

impl Source for Reader {
    type Item = ChaincodeEvent;

    fn ahead(&self) -> usize {
        AHEAD
    }

    fn passed(&self) -> u64 {
        self.passed
    }

    async fn session(&mut self, sender: &Sender<ChaincodeEvent>) -> End {
        let gateway = self.request.gateway.clone();
        if let Some(last) = self.last.take() {
            let network = Network { gateway: gateway.clone(), channel: self.request.channel.clone() };
            self.request = ChaincodeEventsRequest::new(&network, &self.request.chaincode, &last.into());
        }
        if let Err(error) = self.request.signed.sign(&gateway).await {
            return End::Failed(error);
        }
        let (peer, client) = gateway.gateway_client();
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

impl Reader {
    async fn read(&mut self, mut client: crate::gateway::Client, sender: &Sender<ChaincodeEvent>) -> End {
        let mut answers = match client.chaincode_events(self.request.request()).await {
            Ok(answers) => answers.into_inner(),
            Err(status) => return End::of(Operation::Events, status),
        };
        loop {
            match answers.message().await {
                Ok(Some(answer)) => {
                    if !self.pass_on(answer, sender).await {
                        return End::Done;
                    }
                }
                Ok(None) => return End::lost(Operation::Events, "the peer ended the stream"),
                Err(status) => return End::of(Operation::Events, status),
            }
        }
    }

    /// Passes the events of one block on; `false` when the receiver is gone.
    async fn pass_on(&mut self, answer: ChaincodeEventsResponse, sender: &Sender<ChaincodeEvent>) -> bool {
        for event in answer.events {
            let event = ChaincodeEvent {
                block_number: answer.block_number,
                transaction_id: event.tx_id,
                chaincode: event.chaincode_id,
                name: event.event_name,
                payload: event.payload,
            };
            let at = event.checkpoint();
            if sender.send(Ok(event)).await.is_err() {
                return false;
            }
            self.last = Some(at);
            self.passed += 1;
        }
        true
    }
}
