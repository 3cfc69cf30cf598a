//! The retry rules, by the real client over real gRPC against a gateway that answers by script.

#[path = "common/words.rs"]
mod words;

use async_trait::async_trait;
use fabric_protos::common::{ChannelHeader, Envelope, Header, Payload};
use fabric_protos::gateway::*;
use fabric_protos::google::rpc;
use fabric_protos::peer::{
    self, ChaincodeAction, ChaincodeActionPayload, ChaincodeEndorsedAction, ChaincodeHeaderExtension,
    ChaincodeProposalPayload, ProposalResponsePayload, TransactionAction, TxValidationCode,
};
use fabric_protos::prost::Message;
use fabric_protos::prost_types::Any;
use fabric_protos::services::{Gateway as GatewayService, GatewayServer};
use gateway_client::{
    Call, Endpoint, Error, Gateway, Operation, Options, Outcome, Retries, RetryPolicy, Stage, SubmitError,
    SubmitFailure, Submitted, Submitter, UnderWay, User,
};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::codegen::BoxStream;
use tonic::{Code, Request, Response, Status};

/// What the gateway does with one call.
#[derive(Clone, Debug)]
enum Act {
    /// What is right.
    Answer,
    /// Fails with this code and the endpoints' messages.
    Fail(Code, Vec<String>),
    /// Never answers.
    Hang,
    /// The verdict, of a commit status.
    Verdict(TxValidationCode),
    /// Prepares a transaction that calls something else.
    Forge,
}
use Act::*;

#[derive(Default)]
struct Script {
    acts: VecDeque<(Operation, Act)>,
    /// Every call, with its transaction.
    seen: Vec<(Operation, String)>,
    /// Every transaction that was submitted, with the size of its envelope in bytes.
    submitted: Vec<(String, usize)>,
}

/// A gateway that follows its script and fails the test's expectations by answering INTERNAL.
#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Script>>);

impl Scripted {
    async fn act(&self, operation: Operation, transaction_id: &str) -> Result<Act, Status> {
        let act = {
            let mut script = self.0.lock().unwrap();
            script.seen.push((operation, transaction_id.to_owned()));
            match script.acts.pop_front() {
                Some((expected, act)) if expected == operation => act,
                other => return Err(Status::internal(format!("{operation} came where {other:?} was due"))),
            }
        };
        match act {
            Hang => std::future::pending().await,
            Fail(code, details) => Err(status(code, &details)),
            act => Ok(act),
        }
    }
}

fn status(code: Code, messages: &[String]) -> Status {
    let details = messages
        .iter()
        .map(|message| Any {
            type_url: "type.googleapis.com/gateway.ErrorDetail".into(),
            value: ErrorDetail {
                address: "peer0.org2.example.com:7051".into(),
                msp_id: "Org2MSP".into(),
                message: message.clone(),
            }
            .encode_to_vec(),
        })
        .collect();
    let message = "failed to collect enough transaction endorsements, see attached details for more info";
    let status = rpc::Status { code: code as i32, message: message.into(), details };
    Status::with_details(code, message, status.encode_to_vec().into())
}

/// The envelope that endorsers of this proposal prepare.
fn prepare(signed: &peer::SignedProposal, forge: bool) -> Envelope {
    let proposal = peer::Proposal::decode(signed.proposal_bytes.as_slice()).unwrap();
    let header = Header::decode(proposal.header.as_slice()).unwrap();
    let channel = ChannelHeader::decode(header.channel_header.as_slice()).unwrap();
    let extension = ChaincodeHeaderExtension::decode(channel.extension.as_slice()).unwrap();
    let mut payload = ChaincodeProposalPayload::decode(proposal.payload.as_slice()).unwrap();
    payload.transient_map.clear();
    if forge {
        payload.input.truncate(payload.input.len() / 2);
    }
    let action = ChaincodeAction {
        response: Some(peer::Response { status: 200, payload: b"answer".to_vec(), ..Default::default() }),
        chaincode_id: extension.chaincode_id,
        ..Default::default()
    };
    let response = ProposalResponsePayload { extension: action.encode_to_vec(), ..Default::default() };
    let payload = ChaincodeActionPayload {
        chaincode_proposal_payload: payload.encode_to_vec(),
        action: Some(ChaincodeEndorsedAction {
            proposal_response_payload: response.encode_to_vec(),
            endorsements: Vec::new(),
        }),
    };
    let actions =
        vec![TransactionAction { header: header.signature_header.clone(), payload: payload.encode_to_vec() }];
    let data = peer::Transaction { actions }.encode_to_vec();
    Envelope { payload: Payload { header: Some(header), data }.encode_to_vec(), signature: Vec::new() }
}

#[async_trait]
impl GatewayService for Scripted {
    async fn endorse(&self, request: Request<EndorseRequest>) -> Result<Response<EndorseResponse>, Status> {
        let request = request.into_inner();
        let act = self.act(Operation::Endorse, &request.transaction_id).await?;
        let prepared = prepare(&request.proposed_transaction.unwrap(), matches!(act, Forge));
        Ok(Response::new(EndorseResponse { prepared_transaction: Some(prepared) }))
    }

    async fn submit(&self, request: Request<SubmitRequest>) -> Result<Response<SubmitResponse>, Status> {
        let request = request.into_inner();
        let envelope = request.prepared_transaction.unwrap();
        assert!(!envelope.signature.is_empty(), "only signed ones are submitted");
        let submitted = (request.transaction_id.clone(), envelope.encoded_len());
        self.0.lock().unwrap().submitted.push(submitted);
        self.act(Operation::Submit, &request.transaction_id).await?;
        Ok(Response::new(SubmitResponse {}))
    }

    async fn commit_status(
        &self,
        request: Request<SignedCommitStatusRequest>,
    ) -> Result<Response<CommitStatusResponse>, Status> {
        let request = CommitStatusRequest::decode(request.into_inner().request.as_slice()).unwrap();
        let result = match self.act(Operation::CommitStatus, &request.transaction_id).await? {
            Verdict(code) => code,
            _ => TxValidationCode::Valid,
        };
        Ok(Response::new(CommitStatusResponse { result: result as i32, block_number: 7 }))
    }

    async fn evaluate(
        &self,
        request: Request<EvaluateRequest>,
    ) -> Result<Response<EvaluateResponse>, Status> {
        self.act(Operation::Evaluate, &request.into_inner().transaction_id).await?;
        let result = peer::Response { status: 200, payload: b"answer".to_vec(), ..Default::default() };
        Ok(Response::new(EvaluateResponse { result: Some(result) }))
    }

    async fn chaincode_events(
        &self,
        _: Request<SignedChaincodeEventsRequest>,
    ) -> Result<Response<BoxStream<ChaincodeEventsResponse>>, Status> {
        Err(Status::unimplemented("not in any script"))
    }
}

struct Fixture {
    script: Scripted,
    submitter: Submitter,
    under_way: UnderWay,
}

async fn serve(script: Scripted, listener: TcpListener) {
    tonic::transport::Server::builder()
        .add_service(GatewayServer::new(script))
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await
        .unwrap();
}

/// A client of a gateway at this address, which follows the script.
fn client(address: SocketAddr, acts: Vec<(Operation, Act)>) -> Fixture {
    let script = Scripted::default();
    script.0.lock().unwrap().acts = acts.into();
    let made = rcgen::generate_simple_self_signed(vec!["client".into()]).unwrap();
    let user = User::from_pem("Org1MSP", &made.cert.pem(), &made.signing_key.serialize_pem()).unwrap();
    let options = Options {
        endorse: Duration::from_millis(300),
        submit: Duration::from_millis(300),
        ..words::options()
    };
    let endpoint = Endpoint { address: address.to_string(), tls: None };
    let gateway = Gateway::connect(&endpoint, user, options).unwrap();
    let policy = RetryPolicy {
        unknown: Duration::from_millis(500),
        ask: Duration::from_millis(100),
        settle: Duration::from_millis(300),
        watch: Duration::from_millis(20),
        ..RetryPolicy::default()
    };
    let under_way = UnderWay::default();
    let contract = gateway.network("confab").contract("job").watched(&under_way);
    Fixture { script, submitter: contract.submitter().with_policy(policy), under_way }
}

/// A client and the gateway that it talks to.
async fn fixture(acts: Vec<(Operation, Act)>) -> Fixture {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let fixture = client(listener.local_addr().unwrap(), acts);
    tokio::spawn(serve(fixture.script.clone(), listener));
    fixture
}

fn call() -> Call {
    Call::new("post").arg("record")
}

const WITHIN: Duration = Duration::from_secs(5);

/// Runs a script to its end and asserts that nothing of it is left.
async fn run(acts: Vec<(Operation, Act)>) -> (Result<Submitted, SubmitFailure>, Fixture) {
    let fixture = fixture(acts).await;
    let submitter = fixture.submitter.clone();
    // On a task of its own, as nodes do it.
    let result = tokio::spawn(async move { submitter.submit(call(), WITHIN).await }).await.unwrap();
    assert_eq!(
        fixture.script.0.lock().unwrap().acts.len(),
        0,
        "the script was followed to its end: {result:?}"
    );
    (result, fixture)
}

fn refuse(code: &str) -> Act {
    let refusal = words::refusal(code, "iv of round 3");
    Fail(Code::Aborted, vec![format!("chaincode response 500, {refusal}")])
}

fn mismatch() -> Act {
    Fail(Code::Aborted, vec!["ProposalResponsePayloads do not match".into()])
}

fn away() -> Act {
    Fail(Code::Unavailable, vec!["connection refused".into()])
}

use Operation::{CommitStatus, Endorse, Submit};

#[tokio::test]
async fn an_undisturbed_submission_makes_three_calls() {
    let (result, fixture) = run(vec![(Endorse, Answer), (Submit, Answer), (CommitStatus, Answer)]).await;
    let done = result.unwrap();
    assert_eq!(done.outcome, Outcome::Committed(b"answer".to_vec()));
    assert_eq!((done.block_number, done.retries), (Some(7), Retries::default()));
    let script = fixture.script.0.lock().unwrap();
    assert_eq!(script.submitted, [(done.transaction_id.clone(), done.bytes)]);
    let seen = &script.seen;
    assert!(seen.iter().all(|(_, id)| *id == done.transaction_id), "one id throughout: {seen:?}");
}

#[tokio::test]
async fn who_sees_the_effect_in_a_block_does_not_ask_for_the_status() {
    let fixture = fixture(vec![(Endorse, Answer), (Submit, Answer)]).await;
    let (sender, seen) = tokio::sync::oneshot::channel();
    sender.send(()).unwrap();
    let done = fixture.submitter.submit_watched(call(), WITHIN, seen).await.unwrap();
    assert_eq!((done.outcome, done.block_number), (Outcome::Seen, None));
    assert_eq!(fixture.script.0.lock().unwrap().acts.len(), 0);
}

#[tokio::test]
async fn who_does_not_see_the_effect_asks_for_the_status() {
    let acts = vec![
        (Endorse, Answer),
        (Submit, Answer),
        (CommitStatus, Verdict(TxValidationCode::MvccReadConflict)),
        (Endorse, refuse(words::SAME)),
    ];
    let fixture = fixture(acts).await;
    let (_sender, seen) = tokio::sync::oneshot::channel();
    let done = fixture.submitter.submit_watched(call(), WITHIN, seen).await.unwrap();
    assert_eq!((done.outcome, done.retries.mvcc), (Outcome::AlreadyThere, 1));
    assert_eq!(fixture.script.0.lock().unwrap().acts.len(), 0);
}

#[tokio::test]
async fn lagging_peers_are_waited_for() {
    let (result, fixture) = run(vec![
        (Endorse, refuse(words::NOT_YET)),
        (Endorse, mismatch()),
        (Endorse, refuse(words::NOT_YET)),
        (Endorse, away()),
        (Endorse, Answer),
        (Submit, Answer),
        (CommitStatus, Answer),
    ])
    .await;
    let expected = Retries { not_yet: 2, mismatch: 1, unavailable: 1, ..Retries::default() };
    assert_eq!(result.unwrap().retries, expected);
    assert_eq!(fixture.script.0.lock().unwrap().submitted.len(), 1);
}

/// What trying again cannot cure ends at once, whatever time there is.
#[tokio::test]
async fn what_cannot_succeed_fails_at_once() {
    for code in [words::WRONG_TIME, words::OTHER] {
        let failure = run(vec![(Endorse, refuse(code))]).await.0.unwrap_err();
        assert_eq!((failure.refusal().unwrap().code.as_str(), failure.retries.total()), (code, 0));
    }
    let full = || Fail(Code::Unavailable, vec!["block 7: No space left on device (os error 28)".into()]);
    for acts in [vec![(Endorse, full())], vec![(Endorse, Answer), (Submit, full())]] {
        let failure = run(acts).await.0.unwrap_err();
        assert_eq!(failure.retries.total(), 0);
        assert!(failure.to_string().contains("make room"), "{failure}");
    }
}

/// Nodes wait for somebody to make room.
#[tokio::test]
async fn a_full_disk_is_tried_again_where_the_policy_says_so() {
    let full = || Fail(Code::Unavailable, vec!["block 7: No space left on device (os error 28)".into()]);
    let acts = vec![(Endorse, full()), (Endorse, Answer), (Submit, full()), (CommitStatus, Answer)];
    let fixture = fixture(acts).await;
    let policy = RetryPolicy { make_room: Some(Duration::from_millis(20)), ..RetryPolicy::default() };
    let done = fixture.submitter.clone().with_policy(policy).submit(call(), WITHIN).await.unwrap();
    assert_eq!(done.retries.unavailable, 2);
}

/// Whoever looks sees what a submission waits for, until it has ended.
#[tokio::test]
async fn the_stage_of_a_submission_shows() {
    let acts =
        vec![(Endorse, away()), (Endorse, Hang), (Endorse, Answer), (Submit, away()), (CommitStatus, Hang)];
    let fixture = fixture(acts).await;
    let under_way = &fixture.under_way;
    assert!(under_way.stages().is_empty());
    let submitter = fixture.submitter.clone();
    let submission = tokio::spawn(async move { submitter.submit(call(), WITHIN).await });
    let stage = async |expected: fn(&Stage) -> bool| {
        let start = Instant::now();
        loop {
            if under_way.stages().iter().any(|(_, stage)| expected(stage)) {
                return;
            }
            assert!(start.elapsed() < WITHIN, "{:?}", under_way.stages());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    stage(|stage| matches!(stage, Stage::NotEndorsed(e) if e.operation == Endorse)).await;
    stage(|stage| matches!(stage, Stage::Ordering { last: Some(e), .. } if e.operation == Submit)).await;
    submission.abort();
    let _ = submission.await;
    assert!(under_way.stages().is_empty());
}

#[tokio::test]
async fn the_same_record_is_success() {
    let (result, _) = run(vec![(Endorse, refuse(words::NOT_YET)), (Endorse, refuse(words::SAME))]).await;
    let done = result.unwrap();
    assert_eq!((done.outcome, done.block_number, done.retries.not_yet), (Outcome::AlreadyThere, None, 1));
}

#[tokio::test]
async fn other_refusals_are_errors_at_once() {
    for code in [words::OTHER, words::BAD_INPUT] {
        let (result, _) = run(vec![(Endorse, refuse(code))]).await;
        let failure = result.unwrap_err();
        assert!(matches!(failure.error, SubmitError::Failed(_)), "{failure}");
        assert_eq!(failure.refusal().unwrap().code, code);
    }
}

#[tokio::test]
async fn what_is_unknown_is_lag_only_for_a_while() {
    let mut acts = vec![(Endorse, refuse(words::UNKNOWN)); 2];
    acts.extend([(Endorse, Answer), (Submit, Answer), (CommitStatus, Answer)]);
    assert_eq!(run(acts).await.0.unwrap().retries.not_yet, 2);

    let fixture = fixture(vec![(Endorse, refuse(words::UNKNOWN)); 100]).await;
    let start = Instant::now();
    let failure = fixture.submitter.submit(call(), WITHIN).await.unwrap_err();
    assert!(start.elapsed() < WITHIN / 2, "it gave up before the deadline");
    assert!(failure.to_string().contains(words::UNKNOWN), "{failure}");
}

#[tokio::test]
async fn a_lost_submission_is_asked_for_then_repeated_then_endorsed_anew() {
    let (result, fixture) = run(vec![
        (Endorse, Answer),
        (Submit, Hang),
        (CommitStatus, Hang),
        (Submit, Answer),
        (CommitStatus, Hang),
        (Submit, away()),
        (CommitStatus, Hang),
        // Submitted three times without a trace.
        (Endorse, Answer),
        (Submit, Answer),
        (CommitStatus, Answer),
    ])
    .await;
    let done = result.unwrap();
    assert_eq!(done.retries, Retries { unavailable: 2, resubmitted: 2, ..Retries::default() });
    let script = fixture.script.0.lock().unwrap();
    let seen = &script.seen;
    assert!(seen[..7].iter().all(|(_, id)| *id == seen[0].1), "the same envelope: {seen:?}");
    assert!(
        seen[7..].iter().all(|(_, id)| *id == done.transaction_id && *id != seen[0].1),
        "a new one: {seen:?}"
    );
    assert_eq!(script.submitted.len(), 4);
}

#[tokio::test]
async fn a_submission_that_arrived_is_not_repeated() {
    let (result, _) = run(vec![(Endorse, Answer), (Submit, Hang), (CommitStatus, Answer)]).await;
    assert_eq!(result.unwrap().retries, Retries { unavailable: 1, ..Retries::default() });
}

#[tokio::test]
async fn a_status_that_cannot_be_had_is_asked_for_again() {
    let (result, _) = run(vec![
        (Endorse, Answer),
        (Submit, Answer),
        (CommitStatus, away()),
        (CommitStatus, Fail(Code::Aborted, vec![])),
        (CommitStatus, Answer),
    ])
    .await;
    assert_eq!(result.unwrap().retries, Retries { unavailable: 2, ..Retries::default() });
}

#[tokio::test]
async fn a_conflict_is_endorsed_anew() {
    let (result, fixture) = run(vec![
        (Endorse, Answer),
        (Submit, Answer),
        (CommitStatus, Verdict(TxValidationCode::MvccReadConflict)),
        (Endorse, refuse(words::SAME)),
    ])
    .await;
    let done = result.unwrap();
    assert_eq!((done.outcome, done.retries.mvcc), (Outcome::AlreadyThere, 1));
    assert_ne!(fixture.script.0.lock().unwrap().seen[0].1, done.transaction_id);
}

#[tokio::test]
async fn an_invalid_transaction_is_an_error_with_fabrics_code() {
    let code = TxValidationCode::EndorsementPolicyFailure;
    let (result, fixture) =
        run(vec![(Endorse, Answer), (Submit, Answer), (CommitStatus, Verdict(code))]).await;
    let text = result.as_ref().unwrap_err().to_string();
    let SubmitError::Failed(Error::Invalid { transaction_id, code: found, block_number }) =
        result.unwrap_err().error
    else {
        panic!("{text}")
    };
    assert_eq!((found, block_number), (code, 7));
    assert_eq!(transaction_id, fixture.script.0.lock().unwrap().seen[0].1);
    assert!(
        text.contains("ENDORSEMENT_POLICY_FAILURE") && text.contains("check the endorsement policy"),
        "{text}"
    );
}

#[tokio::test]
async fn a_refusal_of_the_orderers_is_an_error() {
    let (result, _) = run(vec![(Endorse, Answer), (Submit, Fail(Code::Aborted, vec![]))]).await;
    let SubmitError::Failed(error) = result.unwrap_err().error else { panic!() };
    assert_eq!(error.call().unwrap().operation, Submit);
}

#[tokio::test]
async fn nothing_but_what_was_proposed_is_signed() {
    let (result, fixture) = run(vec![(Endorse, Forge)]).await;
    let text = result.unwrap_err().to_string();
    assert!(text.contains("other than was proposed") || text.contains("decode"), "{text}");
    assert!(fixture.script.0.lock().unwrap().submitted.is_empty());
}

#[tokio::test]
async fn the_deadline_ends_it_and_says_what_lasted() {
    let fixture = fixture(vec![(Endorse, refuse(words::NOT_YET)); 1000]).await;
    let start = Instant::now();
    let within = Duration::from_millis(400);
    let failure = fixture.submitter.submit(call(), within).await.unwrap_err();
    assert!(start.elapsed() < within * 2, "{:?}", start.elapsed());
    assert!(failure.retries.not_yet >= 5, "{failure}");
    assert_eq!(failure.refusal().unwrap().code, words::NOT_YET);
    let text = failure.to_string();
    assert!(text.contains("400ms") && text.contains("NOT_YET") && text.contains("iv of round 3"), "{text}");
}

#[tokio::test]
async fn a_peer_that_restarts_is_waited_for() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let acts = vec![(Endorse, Answer), (Submit, Answer), (CommitStatus, Hang)];
    let fixture = client(address, acts);
    // A runtime of its own dies with all its connections, like a process.
    let start = |script: Scripted| {
        let peer =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        peer.spawn(async move { serve(script, TcpListener::bind(address).await.unwrap()).await });
        peer
    };
    let submitter = fixture.submitter.clone();
    let submission = tokio::spawn(async move { submitter.submit(call(), WITHIN).await });
    // It does not run yet; then it is killed while it keeps the client waiting for the verdict.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let peer = start(fixture.script.clone());
    while fixture.script.0.lock().unwrap().seen.len() < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    peer.shutdown_background();
    tokio::time::sleep(Duration::from_millis(200)).await;
    fixture.script.0.lock().unwrap().acts.push_back((CommitStatus, Answer));
    let peer = start(fixture.script.clone());
    let done = submission.await.unwrap().unwrap();
    assert_eq!(done.block_number, Some(7));
    assert!(done.retries.unavailable >= 2 && done.retries.resubmitted == 0, "{:?}", done.retries);
    peer.shutdown_background();
}

/// Many endorsers with long reasons: the answer's trailers are larger than HTTP/2 clients allow by default.
#[tokio::test]
async fn long_reasons_of_many_endorsers_arrive() {
    let refusal = words::refusal(words::BAD_INPUT, &"x".repeat(10_000));
    let messages = vec![format!("chaincode response 500, {refusal}"); 50];
    let fixture = fixture(vec![(Operation::Endorse, Fail(Code::Aborted, messages))]).await;
    let failure = fixture.submitter.submit(Call::new("post"), Duration::from_secs(1)).await.unwrap_err();
    let SubmitError::Failed(error) = failure.error else { panic!("{failure}") };
    assert_eq!(error.refusal().map(|refusal| refusal.code.as_str()), Some(words::BAD_INPUT));
    assert_eq!(error.call().unwrap().details.len(), 50);
}
