//! The gateway service of one organisation's peer.

use crate::channel::Channel;
use crate::channel::{Channels, Node, Peer};
use crate::deliver;
use crate::endorser::{self, Refusal, Unpacked};
use crate::ordering::{self, Refused};
use crate::plan::{Next, Plan};
use crate::system;
use crate::validation::Checked;
use fabric_protos::common::{Envelope, Payload, Status as BlockStatus};
use fabric_protos::gateway::{
    ChaincodeEventsRequest, ChaincodeEventsResponse, CommitStatusRequest, CommitStatusResponse,
    EndorseRequest, EndorseResponse, ErrorDetail, EvaluateRequest, EvaluateResponse,
    SignedChaincodeEventsRequest, SignedCommitStatusRequest, SubmitRequest, SubmitResponse,
};
use fabric_protos::google::rpc;
use fabric_protos::peer::{
    ChaincodeAction, ChaincodeActionPayload, ChaincodeCall, ChaincodeEndorsedAction, ChaincodeEvent,
    ChaincodeProposalPayload, ProposalResponse, ProposalResponsePayload, SignedProposal, Transaction,
    TransactionAction,
};
use fabric_protos::services::{Endorser, Gateway};
use prost::Message;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::BoxStream;
use tonic::{Code, Request, Response, Status};

/// The services that need the peer only: gateway and endorser.
pub struct Service {
    /// The organisation's peer.
    pub node: Arc<Node>,
    /// All channels of the ledger.
    pub ledger: Arc<Channels>,
    /// The channels on which the organisation is, by name.
    pub channels: Arc<HashMap<String, Joined>>,
    /// Spreads the endorsements over the other organisations.
    pub turn: AtomicUsize,
}

/// One organisation's place on a channel.
#[derive(Clone)]
pub struct Joined {
    pub channel: Arc<Channel>,
    pub peer: Arc<Peer>,
    pub orderer: mpsc::Sender<Checked>,
}

impl Joined {
    /// Has a transaction ordered; an answer comes when it was taken, not when it is in a block.
    pub async fn order(&self, envelope: &Envelope) -> Result<(), Refused> {
        ordering::admit(&self.channel, envelope)?;
        let sent = self.orderer.send(Checked::new(&self.channel, envelope)).await;
        // It ends with the ledger.
        sent.map_err(|_| Refused(BlockStatus::ServiceUnavailable, "the ledger is shutting down".into()))
    }
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
        let Some(joined) = self.channels.get(channel) else {
            let what = format!("could not get last config for channel {channel}");
            return Err(Status::unavailable(format!("failed to get config for channel [{channel}]: {what}")));
        };
        let is_system = system::is_system(chaincode);
        if !is_system && joined.channel.definitions().get(chaincode).is_none() {
            return Err(no_peers(channel, chaincode));
        }
        // Transient data stays in the gateway's organisation unless the client names others.
        let mut targets = request.target_organizations;
        if targets.is_empty() && !unpacked.payload.transient_map.is_empty() {
            targets.push(joined.peer.msp_id().into());
        }
        let mut peers = self.peers(joined);
        peers.retain(|peer| joined.channel.serves(peer, chaincode));
        peers.retain(|peer| targets.is_empty() || targets.iter().any(|target| target == peer.msp_id()));

        let mut details = Vec::new();
        let mut code = Code::FailedPrecondition;
        for peer in peers {
            match ask(&self.ledger, joined, &peer, &proposal).await {
                Ok(response) => {
                    let mut result = response.response.unwrap_or_default();
                    if let Some(own) = result_of(&response.payload) {
                        result.payload = own;
                    }
                    return Ok(Response::new(EvaluateResponse { result: Some(result) }));
                }
                Err(failure) => {
                    details.push(detail(&peer, &failure.message));
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
        let joined = self.channels.get(channel);
        let Some(joined) = joined.filter(|joined| joined.channel.definitions().get(chaincode).is_some())
        else {
            let what = format!("No metadata was found for chaincode {chaincode} in channel {channel}");
            return Err(no_combination(&what));
        };
        let plan = if request.endorsing_organizations.is_empty() {
            let is_transient = !unpacked.payload.transient_map.is_empty();
            self.plan_by_policy(joined, chaincode, &proposal, is_transient).await?
        } else {
            plan_by(joined, chaincode, &request.endorsing_organizations)?
        };
        let endorsed = collect(&self.ledger, joined, proposal, plan).await?;
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
        let Some(joined) = self.channels.get(&request.channel_id) else {
            return Err(Status::failed_precondition(format!("channel '{}' not found", request.channel_id)));
        };
        match joined.order(&envelope).await {
            Ok(()) => Ok(Response::new(SubmitResponse {})),
            Err(Refused(status, info)) => {
                let name = status.as_str_name();
                let what = format!("received unsuccessful response from orderer: status={name}, info={info}");
                Err(match status {
                    BlockStatus::ServiceUnavailable => Status::unavailable(what),
                    _ => Status::aborted(what),
                })
            }
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
        let joined =
            self.reading(&request.channel_id, &request.identity, &signed.request, &signed.signature)?;

        tokio::select! {
            place = joined.peer.place(&joined.channel.store, &request.transaction_id) => {
                let place = place.map_err(internal)?;
                let answer = CommitStatusResponse { result: place.code as i32, block_number: place.block };
                Ok(Response::new(answer))
            }
            () = joined.channel.stopped() => Err(Status::unavailable("the ledger is shutting down")),
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
        let joined =
            self.reading(&request.channel_id, &request.identity, &signed.request, &signed.signature)?;

        let (after, height) = (request.after_transaction_id, joined.peer.height());
        let known = joined.channel.store.transaction(&after).map_err(internal)?;
        let start = match known.filter(|place| place.block < height) {
            Some(place) => place.block,
            None => deliver::events_start(request.start_position, height)?,
        };
        let (sender, events) = mpsc::channel(16);
        let follow = Events {
            channel: joined.channel.clone(),
            peer: joined.peer.clone(),
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
        match endorser::process(&self.ledger, &self.node, &request.into_inner()).await {
            Ok(response) => Ok(Response::new(response)),
            Err(Refusal::Filtered(what) | Refusal::Invalid(what)) => Err(Status::unknown(what)),
        }
    }
}

impl Service {
    /// The peers of a channel, the gateway's own first and the others beginning with another one each time.
    fn peers(&self, joined: &Joined) -> Vec<Arc<Peer>> {
        let all = &joined.channel.peers;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let others = (0..all.len()).map(|i| &all[(turn + i) % all.len()]);
        let others = others.filter(|peer| peer.msp_id() != joined.peer.msp_id());
        std::iter::once(&joined.peer).chain(others).cloned().collect()
    }

    /// The gateway's own organisation first; what it touched tells who else must endorse.
    async fn plan_by_policy(
        &self,
        joined: &Joined,
        chaincode: &str,
        proposal: &SignedProposal,
        is_transient: bool,
    ) -> Result<Plan, Status> {
        let mut peers = self.peers(joined);
        peers.retain(|peer| joined.channel.serves(peer, chaincode));
        let first = match peers.first() {
            Some(first) if first.msp_id() == joined.peer.msp_id() || !is_transient => first.clone(),
            Some(_) => {
                return Err(Status::failed_precondition(
                    "no endorsers found in the gateway's organization; retry specifying endorsing organization(s) to protect transient data",
                ));
            }
            None => return Err(no_combination("no peer combination can satisfy the endorsement policy")),
        };
        let answer = ask(&self.ledger, joined, &first, proposal).await.map_err(|failure| {
            let what = "failed to endorse transaction, see attached details for more info";
            with_details(Code::Aborted, what.into(), &[detail(&first, &failure.message)])
        })?;
        let mut interest = answer.interest.clone().unwrap_or_default();
        if interest.chaincodes.is_empty() {
            // It touched nothing; then the chaincode's own policy counts.
            interest.chaincodes.push(ChaincodeCall { name: chaincode.into(), ..Default::default() });
        }
        let mut plan = Plan::new(&joined.channel.definitions(), interest, peers);
        let possible = match is_transient {
            false => plan.is_possible(),
            true => {
                let others_suffice = plan.is_possible();
                let protected = plan.protect();
                if others_suffice && !plan.is_possible() {
                    return Err(Status::failed_precondition(format!(
                        "requires endorsement from organisation(s) that are not in the distribution policy of the private data collection(s): [{}]; retry specifying trusted endorsing organizations to protect transient data",
                        protected.join(" ")
                    )));
                }
                others_suffice
            }
        };
        if !possible {
            return Err(no_combination("no peer combination can satisfy the endorsement policy"));
        }
        plan.endorsed(&first, answer);
        Ok(plan)
    }

    /// The channel that somebody may read: anybody of its organisations.
    fn reading(
        &self,
        channel: &str,
        identity: &[u8],
        request: &[u8],
        signature: &[u8],
    ) -> Result<&Joined, Status> {
        let Some(joined) = self.channels.get(channel) else {
            return Err(Status::permission_denied(format!("access denied: channel [{channel}] not found")));
        };
        match joined.channel.authenticate(identity, request, signature) {
            Ok(_) => Ok(joined),
            Err(e) => {
                tracing::warn!("request refused: {e}");
                Err(Status::permission_denied(format!("access denied for channel [{channel}]")))
            }
        }
    }
}

/// Exactly the organisations that the client names.
fn plan_by(joined: &Joined, chaincode: &str, targets: &[String]) -> Result<Plan, Status> {
    let peers = joined.channel.peers.iter().filter(|peer| joined.channel.serves(peer, chaincode));
    let named: Vec<_> =
        peers.filter(|peer| targets.iter().any(|target| target == peer.msp_id())).cloned().collect();
    let is_missing = |target: &&String| !named.iter().any(|peer| peer.msp_id() == *target);
    let missing: Vec<_> = targets.iter().filter(is_missing).map(String::as_str).collect();
    if !missing.is_empty() {
        let what = format!("failed to find any endorsing peers for org(s): {}", missing.join(", "));
        return Err(Status::unavailable(what));
    }
    Ok(Plan::of_all(named))
}

/// Collects the endorsements that the plan asks for, several at once; who fails or disagrees is replaced as
/// long as there are others.
async fn collect(
    ledger: &Arc<Channels>,
    joined: &Joined,
    proposal: SignedProposal,
    mut plan: Plan,
) -> Result<ChaincodeEndorsedAction, Status> {
    let mut details = Vec::new();
    let mut asked = JoinSet::new();
    loop {
        let missing = match plan.next() {
            Next::Complete => return Ok(plan.into_action()),
            Next::Ask(missing) => missing,
            // Those who were asked may still say what is wrong.
            Next::Impossible if !asked.is_empty() => Vec::new(),
            Next::Impossible => {
                let what =
                    "failed to collect enough transaction endorsements, see attached details for more info";
                return Err(with_details(Code::Aborted, what.into(), &details));
            }
        };
        for peer in missing {
            plan.ask(&peer);
            let (ledger, joined, proposal) = (ledger.clone(), joined.clone(), proposal.clone());
            asked.spawn(async move {
                let answer = ask(&ledger, &joined, &peer, &proposal).await;
                (peer, answer)
            });
        }
        let Some(Ok((peer, answer))) = asked.join_next().await else {
            return Err(Status::internal("an endorsement was interrupted"));
        };
        let refused = match answer {
            Ok(response) => plan.endorsed(&peer, response),
            Err(failure) => {
                plan.refused(&peer);
                Some(failure.message)
            }
        };
        details.extend(refused.map(|message| detail(&peer, &message)));
    }
}

/// Asks one endorser, for as long as the gateway waits. As on Fabric, that is so long as it takes where it is the
/// gateway's own: then the chaincode's time limit and the client's count.
async fn ask(
    ledger: &Channels,
    joined: &Joined,
    peer: &Peer,
    proposal: &SignedProposal,
) -> Result<ProposalResponse, Failure> {
    let fail = |code, message, retry| Err(Failure { code, message, retry });
    let answer = endorser::process(ledger, &peer.node, proposal);
    let answer = match peer.msp_id() == joined.peer.msp_id() {
        true => Ok(answer.await),
        false => timeout(joined.channel.endorsement_timeout, answer).await,
    };
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
    channel: Arc<Channel>,
    peer: Arc<Peer>,
    chaincode: String,
    /// Nothing up to and with the event of this transaction is sent.
    after: Option<String>,
    sender: mpsc::Sender<Result<ChaincodeEventsResponse, Status>>,
}

impl Events {
    async fn run(mut self, start: u64) {
        let mut number = start;
        let mut heights = self.peer.heights();
        loop {
            tokio::select! {
                // A failure means that the ledger ends.
                reached = heights.wait_for(|height| *height > number) => if reached.is_err() { return },
                () = self.sender.closed() => return,
                () = self.channel.stopped() => return,
            }
            let answer = match self.channel.store.block(number) {
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

fn no_combination(what: &str) -> Status {
    Status::failed_precondition(format!(
        "no combination of peers can be derived which satisfy the endorsement policy: {what}"
    ))
}

fn detail(peer: &Peer, message: &str) -> ErrorDetail {
    let node = &peer.node;
    ErrorDetail { address: node.address.clone(), msp_id: node.msp_id.clone(), message: message.into() }
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
