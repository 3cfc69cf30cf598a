//! Clients and servers of the services, talking to each other.

use fabric_protos::services::*;
use fabric_protos::{common, gateway, peer};
use tokio::net::TcpListener;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::codegen::BoxStream;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Response, Status, Streaming};

/// Answers with something that tells which method was called with what.
struct Echo;

#[tonic::async_trait]
impl Gateway for Echo {
    async fn endorse(
        &self,
        request: Request<gateway::EndorseRequest>,
    ) -> Result<Response<gateway::EndorseResponse>, Status> {
        let payload = request.into_inner().transaction_id.into_bytes();
        let prepared_transaction = Some(common::Envelope { payload, signature: b"endorse".to_vec() });
        Ok(Response::new(gateway::EndorseResponse { prepared_transaction }))
    }

    async fn submit(
        &self,
        _: Request<gateway::SubmitRequest>,
    ) -> Result<Response<gateway::SubmitResponse>, Status> {
        Err(Status::aborted("submit"))
    }

    async fn commit_status(
        &self,
        _: Request<gateway::SignedCommitStatusRequest>,
    ) -> Result<Response<gateway::CommitStatusResponse>, Status> {
        Ok(Response::new(gateway::CommitStatusResponse { block_number: 7, ..Default::default() }))
    }

    async fn evaluate(
        &self,
        request: Request<gateway::EvaluateRequest>,
    ) -> Result<Response<gateway::EvaluateResponse>, Status> {
        let payload = vec![0; request.into_inner().channel_id.len()];
        let result = Some(peer::Response { status: 200, payload, ..Default::default() });
        Ok(Response::new(gateway::EvaluateResponse { result }))
    }

    async fn chaincode_events(
        &self,
        _: Request<gateway::SignedChaincodeEventsRequest>,
    ) -> Result<Response<BoxStream<gateway::ChaincodeEventsResponse>>, Status> {
        let blocks =
            (0..3).map(|block_number| Ok(gateway::ChaincodeEventsResponse { block_number, events: vec![] }));
        Ok(Response::new(Box::pin(tokio_stream::iter(blocks))))
    }
}

#[tonic::async_trait]
impl Chaincode for Echo {
    async fn connect(
        &self,
        request: Request<Streaming<peer::ChaincodeMessage>>,
    ) -> Result<Response<BoxStream<peer::ChaincodeMessage>>, Status> {
        Ok(Response::new(Box::pin(request.into_inner())))
    }
}

async fn connect() -> Channel {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder()
        .add_service(GatewayServer::new(Echo).max_decoding_message_size(MAX_MESSAGE_SIZE))
        .add_service(ChaincodeServer::new(Echo));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

#[tokio::test]
async fn every_method_reaches_its_own_implementation() {
    let channel = connect().await;
    let mut client = GatewayClient::new(channel.clone());
    let request = gateway::EndorseRequest { transaction_id: "tx".into(), ..Default::default() };
    let envelope = client.endorse(request).await.unwrap().into_inner().prepared_transaction.unwrap();
    assert_eq!((envelope.payload, envelope.signature), (b"tx".to_vec(), b"endorse".to_vec()));
    let refused = client.submit(gateway::SubmitRequest::default()).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::Aborted, "submit"));
    let status = client.commit_status(gateway::SignedCommitStatusRequest::default()).await.unwrap();
    assert_eq!(status.into_inner().block_number, 7);
    let events = client.chaincode_events(gateway::SignedChaincodeEventsRequest::default()).await.unwrap();
    let blocks: Vec<u64> = events.into_inner().map(|event| event.unwrap().block_number).collect().await;
    assert_eq!(blocks, [0, 1, 2]);

    let mut client = ChaincodeClient::new(channel);
    let messages = (0..100).map(|n| peer::ChaincodeMessage { txid: n.to_string(), ..Default::default() });
    let echo = client.connect(tokio_stream::iter(messages)).await.unwrap().into_inner();
    let ids: Vec<String> = echo.map(|message| message.unwrap().txid).collect().await;
    assert_eq!(ids, (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn message_limits_hold_on_both_sides() {
    let channel = connect().await;
    let large = |bytes| gateway::EvaluateRequest { channel_id: "x".repeat(bytes), ..Default::default() };
    let mut client = GatewayClient::new(channel.clone()).max_decoding_message_size(MAX_MESSAGE_SIZE);
    let answer = client.evaluate(large(5 << 20)).await.unwrap().into_inner().result.unwrap();
    assert_eq!(answer.payload.len(), 5 << 20);
    // The default of the receiving side is 4 MiB.
    let refused = GatewayClient::new(channel.clone()).evaluate(large(5 << 20)).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange);
    let mut client = GatewayClient::new(channel).max_encoding_message_size(100);
    let refused = client.evaluate(large(200)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Internal, "{refused}");
}

#[tokio::test]
async fn unknown_methods_are_unimplemented() {
    let mut client = DeliverClient::new(connect().await);
    let refused = client.deliver(tokio_stream::iter([common::Envelope::default()])).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
}

#[test]
fn enumerations_have_fabrics_names() {
    use peer::TxValidationCode;
    assert_eq!(TxValidationCode::MvccReadConflict.as_str_name(), "MVCC_READ_CONFLICT");
    assert_eq!(TxValidationCode::from_str_name("VALID"), Some(TxValidationCode::Valid));
    assert_eq!(TxValidationCode::from_str_name("valid"), None);
    assert_eq!(TxValidationCode::try_from(255), Ok(TxValidationCode::InvalidOtherReason));
    assert!(TxValidationCode::try_from(77).is_err());
}
