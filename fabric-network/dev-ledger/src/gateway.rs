//! The gateway service of one organisation's peer.

use crate::channel::{Channel, Peer};
use crate::deliver;
use crate::endorser::{self, Refusal, Unpacked};
use crate::ordering::{self, Refused};
use crate::system::QSCC;
use fabric_protos::common::{Envelope, Payload};
use fabric_protos::gateway::{
    ChaincodeEventsRequest, ChaincodeEventsResponse, CommitStatusRequest, CommitStatusResponse,
    EndorseRequest, EndorseResponse, ErrorDetail, EvaluateRequest, EvaluateResponse,
    SignedChaincodeEventsRequest, SignedCommitStatusRequest, SubmitRequest, SubmitResponse,
};
use fabric_protos::google::rpc;
use fabric_protos::peer::{
    ChaincodeAction, ChaincodeActionPayload, ChaincodeEndorsedAction, ChaincodeEvent,
    ChaincodeProposalPayload, Endorsement, ProposalResponse, ProposalResponsePayload, SignedProposal,
    Transaction, TransactionAction,
};
use fabric_protos::services::{Endorser, Gateway};
use prost::Message;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::BoxStream;
use tonic::{Code, Request, Response, Status};

/// The services that need the peer only: gateway and endorser.
#[derive(Clone)]
pub struct Service {
    pub channel: Arc<Channel>,
    pub peer: Arc<Peer>,
    pub orderer: mpsc::Sender<Envelope>,
    /// Spreads the endorsements over the other organisations.
    pub turn: Arc<AtomicUsize>,
}

/// An endorser's failure: what the gateway makes of it.
struct Failure {
    code: Code,
    message: String,
    /// Whether another peer may do better.
    retry: bool,
}

#[tonic::async_trait]
impl Gateway for Service {
    async fn evaluate(
        &self,
        request: Request<EvaluateRequest>,
    ) -> Result<Response<EvaluateResponse>, Status> {
        let request = request.into_inner();
        let invalid =
            |what: String| Status::invalid_argument(format!("failed to unpack transaction proposal: {what}"));
        let proposal = request
            .proposed_transaction
            .filter(|proposal| !proposal.proposal_bytes.is_empty())
            .ok_or_else(|| invalid("a signed proposal is required".into()))?;
        let unpacked = Unpacked::new(&proposal).map_err(invalid)?;
        let (channel, chaincode) = (&unpacked.channel_header.channel_id, &unpacked.called);
        if channel.is_empty() {
            return Err(invalid("no channel id provided".into()));
        }
        if *channel != self.channel.name {
            let what = format!("could not get last config for channel {channel}");
            return Err(Status::unavailable(format!("failed to get config for channel [{channel}]: {what}")));
        }
        if ![self.channel.chaincode.as_str(), QSCC].contains(&chaincode.as_str()) {
            return Err(no_peers(channel, chaincode));
        }
        // Transient data stays in the gateway's organisation unless the client names others.
        let mut targets = request.target_organizations;
        if targets.is_empty() && !unpacked.payload.transient_map.is_empty() {
            targets.push(self.peer.msp_id.clone());
        }
        let mut peers = vec![&self.peer];
        peers.extend(self.others());
        peers.retain(|peer| targets.is_empty() || targets.contains(&peer.msp_id));

        let mut details = Vec::new();
        let mut code = Code::FailedPrecondition;
        for peer in peers {
            match self.ask(peer, &proposal).await {
                Ok(response) => {
                    let mut result = response.response.unwrap_or_default();
                    if let Some(own) = result_of(&response.payload) {
                        result.payload = own;
                    }
                    return Ok(Response::new(EvaluateResponse { result: Some(result) }));
                }
                Err(failure) => {
                    details.push(detail(peer, &failure.message));
                    if !failure.retry {
                        let what = format!("evaluate call to endorser returned error: {}", failure.message);
                        return Err(with_details(failure.code, what, &details));
                    }
                    code = failure.code;
                }
            }
        }
        if details.is_empty() {
            return Err(no_peers(channel, chaincode));
        }
        Err(with_details(
            code,
            "failed to evaluate transaction, see attached details for more info".into(),
            &details,
        ))
    }

    async fn endorse(&self, request: Request<EndorseRequest>) -> Result<Response<EndorseResponse>, Status> {
        let request = request.into_inner();
        let proposal =
            request.proposed_transaction.filter(|proposal| !proposal.proposal_bytes.is_empty()).ok_or_else(
                || Status::invalid_argument("the proposed transaction must contain a signed proposal"),
            )?;
        let unpacked = Unpacked::new(&proposal).map_err(Status::invalid_argument)?;
        let (channel, chaincode) = (&unpacked.channel_header.channel_id, &unpacked.called);
        if *channel != self.channel.name || *chaincode != self.channel.chaincode {
            let what = format!("No metadata was found for chaincode {chaincode} in channel {channel}");
            return Err(Status::failed_precondition(format!(
                "no combination of peers can be derived which satisfy the endorsement policy: {what}"
            )));
        }
        let endorsed = if request.endorsing_organizations.is_empty() {
            self.endorse_by_policy(proposal).await?
        } else {
            self.endorse_by(proposal, &request.endorsing_organizations).await?
        };
        let prepared_transaction = Some(prepare(unpacked, endorsed));
        Ok(Response::new(EndorseResponse { prepared_transaction }))
    }

    async fn submit(&self, request: Request<SubmitRequest>) -> Result<Response<SubmitResponse>, Status> {
        let request = request.into_inner();
        let envelope = request
            .prepared_transaction
            .ok_or_else(|| Status::invalid_argument("a prepared transaction is required"))?;
        if envelope.signature.is_empty() {
            return Err(Status::invalid_argument("prepared transaction must be signed"));
        }
        if request.channel_id != self.channel.name {
            return Err(Status::failed_precondition(format!("channel '{}' not found", request.channel_id)));
        }
        if let Err(Refused(status, info)) = ordering::admit(&self.channel, &envelope) {
            let status = status.as_str_name();
            let what = format!("received unsuccessful response from orderer: status={status}, info={info}");
            return Err(Status::aborted(what));
        }
        match self.orderer.send(envelope).await {
            Ok(()) => Ok(Response::new(SubmitResponse {})),
            Err(_) => Err(Status::unavailable("no orderers could successfully process transaction")),
        }
    }

    async fn commit_status(
        &self,
        request: Request<SignedCommitStatusRequest>,
    ) -> Result<Response<CommitStatusResponse>, Status> {
        let signed = request.into_inner();
        if signed.request.is_empty() {
            return Err(Status::invalid_argument("a commit status request is required"));
        }
        let request = CommitStatusRequest::decode(signed.request.as_slice())
            .map_err(|e| Status::invalid_argument(format!("invalid status request: {e}")))?;
        for (missing, what) in [
            (request.identity.is_empty(), "no identity provided"),
            (request.channel_id.is_empty(), "no channel ID provided"),
            (request.transaction_id.is_empty(), "transaction ID should not be empty"),
        ] {
            if missing {
                return Err(Status::invalid_argument(what));
            }
        }
        self.check_reader(&request.channel_id, &request.identity, &signed.request, &signed.signature)?;

        let mut heights = self.peer.heights();
        loop {
            let height = *heights.borrow_and_update();
            let place = self.channel.store.transaction(&request.transaction_id).map_err(internal)?;
            if let Some(place) = place.filter(|place| place.block < height) {
                let answer = CommitStatusResponse { result: place.code as i32, block_number: place.block };
                return Ok(Response::new(answer));
            }
            tokio::select! {
                // The peer, which holds the sender, lives as long as the channel.
                _ = heights.changed() => {}
                () = self.channel.stopped() => return Err(Status::unavailable("the ledger is shutting down")),
            }
        }
    }

    async fn chaincode_events(
        &self,
        request: Request<SignedChaincodeEventsRequest>,
    ) -> Result<Response<BoxStream<ChaincodeEventsResponse>>, Status> {
        let signed = request.into_inner();
        if signed.request.is_empty() {
            return Err(Status::invalid_argument("a chaincode events request is required"));
        }
        let request = ChaincodeEventsRequest::decode(signed.request.as_slice())
            .map_err(|e| Status::invalid_argument(format!("invalid chaincode events request: {e}")))?;
        self.check_reader(&request.channel_id, &request.identity, &signed.request, &signed.signature)?;

        let after = request.after_transaction_id;
        let known = self.channel.store.transaction(&after).map_err(internal)?;
        let start = match known.filter(|place| place.block < self.peer.height()) {
            Some(place) => place.block,
            None => deliver::events_start(request.start_position, self.peer.height())?,
        };
        let (sender, events) = mpsc::channel(16);
        let follow = Events {
            service: self.clone(),
            chaincode: request.chaincode_id,
            after: Some(after).filter(|after| !after.is_empty()),
            sender,
        };
        tokio::spawn(follow.run(start));
        Ok(Response::new(Box::pin(ReceiverStream::new(events))))
    }
}

#[tonic::async_trait]
impl Endorser for Service {
    async fn process_proposal(
        &self,
        request: Request<SignedProposal>,
    ) -> Result<Response<ProposalResponse>, Status> {
        match endorser::process(&self.channel, &self.peer, &request.into_inner()).await {
            Ok(response) => Ok(Response::new(response)),
            Err(Refusal::Filtered(what) | Refusal::Invalid(what)) => Err(Status::unknown(what)),
        }
    }
}

impl Service {
    /// The organisations other than the gateway's, beginning with another one each time.
    fn others(&self) -> impl Iterator<Item = &Arc<Peer>> {
        let all = &self.channel.peers;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        (0..all.len())
            .map(move |i| &all[(turn + i) % all.len()])
            .filter(|peer| peer.msp_id != self.peer.msp_id)
    }

    /// Asks one endorser, for as long as the gateway waits.
    async fn ask(&self, peer: &Peer, proposal: &SignedProposal) -> Result<ProposalResponse, Failure> {
        ask(&self.channel, peer, proposal).await
    }

    /// The gateway's own organisation first, then as many others as the policy needs; who fails or
    /// disagrees with the first is replaced as long as there are others.
    async fn endorse_by_policy(&self, proposal: SignedProposal) -> Result<ChaincodeEndorsedAction, Status> {
        let first = self.ask(&self.peer, &proposal).await.map_err(|failure| {
            let what = "failed to endorse transaction, see attached details for more info";
            with_details(Code::Aborted, what.into(), &[detail(&self.peer, &failure.message)])
        })?;
        let mut others: Vec<_> = self.others().cloned().collect();
        let needed = self.channel.policy.threshold() - 1;
        self.collect(proposal, Some(first), &mut others, needed).await
    }

    /// Exactly the organisations that the client names.
    async fn endorse_by(
        &self,
        proposal: SignedProposal,
        targets: &[String],
    ) -> Result<ChaincodeEndorsedAction, Status> {
        let known = |target: &&String| self.channel.peers.iter().any(|peer| peer.msp_id == **target);
        let missing: Vec<_> = targets.iter().filter(|target| !known(target)).map(String::as_str).collect();
        if !missing.is_empty() {
            let what = format!("failed to find any endorsing peers for org(s): {}", missing.join(", "));
            return Err(Status::unavailable(what));
        }
        let mut peers: Vec<_> =
            self.channel.peers.iter().filter(|peer| targets.contains(&peer.msp_id)).cloned().collect();
        let needed = peers.len();
        self.collect(proposal, None, &mut peers, needed).await
    }

    /// Collects `needed` endorsements of the same payload, several at once.
    async fn collect(
        &self,
        proposal: SignedProposal,
        first: Option<ProposalResponse>,
        peers: &mut Vec<Arc<Peer>>,
        needed: usize,
    ) -> Result<ChaincodeEndorsedAction, Status> {
        let mut payload = first.as_ref().map(|first| first.payload.clone());
        let mut endorsements: Vec<Endorsement> =
            first.and_then(|first| first.endorsement).into_iter().collect();
        let mut details = Vec::new();
        let mut missing = needed;
        let mut asked = JoinSet::new();
        while missing > 0 {
            while asked.len() < missing && !peers.is_empty() {
                let (channel, peer, proposal) = (self.channel.clone(), peers.remove(0), proposal.clone());
                asked.spawn(async move {
                    let answer = ask(&channel, &peer, &proposal).await;
                    (peer, answer)
                });
            }
            let Some(answer) = asked.join_next().await else {
                let what =
                    "failed to collect enough transaction endorsements, see attached details for more info";
                return Err(with_details(Code::Aborted, what.into(), &details));
            };
            let (peer, answer) = answer.map_err(|_| Status::internal("an endorsement was interrupted"))?;
            match answer {
                Err(failure) => details.push(detail(&peer, &failure.message)),
                Ok(response) if payload.as_ref().is_some_and(|payload| *payload != response.payload) => {
                    details.push(detail(&peer, "ProposalResponsePayloads do not match"));
                }
                Ok(response) => {
                    payload = Some(response.payload);
                    endorsements.extend(response.endorsement);
                    missing -= 1;
                }
            }
        }
        Ok(ChaincodeEndorsedAction { proposal_response_payload: payload.unwrap_or_default(), endorsements })
    }

    /// Whether somebody may read the channel: anybody of its organisations.
    fn check_reader(
        &self,
        channel: &str,
        identity: &[u8],
        request: &[u8],
        signature: &[u8],
    ) -> Result<(), Status> {
        if channel != self.channel.name {
            return Err(Status::permission_denied(format!("access denied: channel [{channel}] not found")));
        }
        match self.channel.authenticate(identity, request, signature) {
            Ok(_) => Ok(()),
            Err(e) => {
                tracing::warn!("request refused: {e}");
                Err(Status::permission_denied(format!("access denied for channel [{channel}]")))
            }
        }
    }
}

/// Asks one endorser, for as long as the gateway waits.
async fn ask(channel: &Channel, peer: &Peer, proposal: &SignedProposal) -> Result<ProposalResponse, Failure> {
    let fail = |code, message, retry| Err(Failure { code, message, retry });
    let answer = timeout(channel.endorsement_timeout, endorser::process(channel, peer, proposal)).await;
    let response = match answer {
        Err(_) => {
            let what = "rpc error: code = DeadlineExceeded desc = context deadline exceeded";
            return fail(Code::Unavailable, what.into(), true);
        }
        Ok(Err(Refusal::Filtered(what))) => return fail(Code::Unavailable, what, true),
        Ok(Err(Refusal::Invalid(what))) => return fail(Code::FailedPrecondition, what, false),
        Ok(Ok(response)) => response,
    };
    let result = response.response.clone().unwrap_or_default();
    if (200..400).contains(&result.status) {
        return Ok(response);
    }
    if response.payload.is_empty() && result.status == 500 {
        // Without a payload the peer speaks, not the chaincode.
        return fail(Code::Aborted, result.message, true);
    }
    fail(Code::Unknown, format!("chaincode response {}, {}", result.status, result.message), false)
}

/// The transaction that the client signs.
fn prepare(unpacked: Unpacked, endorsed: ChaincodeEndorsedAction) -> Envelope {
    let call = ChaincodeProposalPayload { input: unpacked.payload.input, transient_map: Default::default() };
    let payload =
        ChaincodeActionPayload { chaincode_proposal_payload: call.encode_to_vec(), action: Some(endorsed) };
    let action = TransactionAction {
        header: unpacked.header.signature_header.clone(),
        payload: payload.encode_to_vec(),
    };
    let data = Transaction { actions: vec![action] }.encode_to_vec();
    let payload = Payload { header: Some(unpacked.header), data };
    Envelope { payload: payload.encode_to_vec(), signature: Vec::new() }
}

/// The result in an endorsed payload, which the response itself need not repeat.
fn result_of(payload: &[u8]) -> Option<Vec<u8>> {
    let payload = ProposalResponsePayload::decode(payload).ok()?;
    let action = ChaincodeAction::decode(payload.extension.as_slice()).ok()?;
    Some(action.response?.payload)
}

/// A stream of one chaincode's events.
struct Events {
    service: Service,
    chaincode: String,
    /// Nothing up to and with the event of this transaction is sent.
    after: Option<String>,
    sender: mpsc::Sender<Result<ChaincodeEventsResponse, Status>>,
}

impl Events {
    async fn run(mut self, start: u64) {
        let mut number = start;
        let mut heights = self.service.peer.heights();
        loop {
            tokio::select! {
                // A failure means that the ledger ends.
                reached = heights.wait_for(|height| *height > number) => if reached.is_err() { return },
                () = self.sender.closed() => return,
                () = self.service.channel.stopped() => return,
            }
            let answer = match self.service.channel.store.block(number) {
                Ok(block) => self.matching(number, deliver::events(&block.unwrap_or_default())).map(Ok),
                Err(e) => Some(Err(Status::aborted(e.to_string()))),
            };
            if let Some(answer) = answer
                && self.sender.send(answer).await.is_err()
            {
                return;
            }
            number += 1;
        }
    }

    fn matching(
        &mut self,
        block_number: u64,
        events: Vec<ChaincodeEvent>,
    ) -> Option<ChaincodeEventsResponse> {
        let mut matching = Vec::new();
        for event in events {
            match &self.after {
                Some(after) if event.tx_id == *after => self.after = None,
                Some(_) => {}
                None if event.chaincode_id == self.chaincode => matching.push(event),
                None => {}
            }
        }
        (!matching.is_empty()).then_some(ChaincodeEventsResponse { events: matching, block_number })
    }
}

fn no_peers(channel: &str, chaincode: &str) -> Status {
    let what = format!("no peers available to evaluate chaincode {chaincode} in channel {channel}");
    Status::failed_precondition(what)
}

fn detail(peer: &Peer, message: &str) -> ErrorDetail {
    ErrorDetail { address: peer.address.clone(), msp_id: peer.msp_id.clone(), message: message.into() }
}

/// A status with details as Fabric's gateway attaches them.
fn with_details(code: Code, message: String, details: &[ErrorDetail]) -> Status {
    let pack = |detail: &ErrorDetail| prost_types::Any {
        type_url: "type.googleapis.com/gateway.ErrorDetail".into(),
        value: detail.encode_to_vec(),
    };
    let details = details.iter().map(pack).collect();
    let status = rpc::Status { code: code as i32, message: message.clone(), details };
    Status::with_details(code, message, status.encode_to_vec().into())
}

fn internal(error: crate::Error) -> Status {
    Status::internal(error.to_string())
}
