//! Blocks and events, lagging peers, and what survives.

mod common;

use common::{Client, Network, database, position};
use fabric_protos::common::{Block, BlockchainInfo, ConfigEnvelope, Envelope, Payload, Status};
use fabric_protos::gateway::{ChaincodeEventsRequest, SignedChaincodeEventsRequest};
use fabric_protos::hash::{block_data_hash, block_header_hash};
use fabric_protos::orderer::seek_info::SeekBehavior;
use fabric_protos::orderer::{SeekInfo, SeekNewest, SeekOldest, SeekPosition, seek_position};
use fabric_protos::peer::{ProcessedTransaction, TxValidationCode, deliver_response};
use prost::Message;
use std::time::{Duration, Instant};
use tokio::time::timeout;
use tonic::Code;

fn newest() -> Option<SeekPosition> {
    Some(SeekPosition { r#type: Some(seek_position::Type::Newest(SeekNewest {})) })
}

fn oldest() -> Option<SeekPosition> {
    Some(SeekPosition { r#type: Some(seek_position::Type::Oldest(SeekOldest {})) })
}

fn seek(start: Option<SeekPosition>, stop: Option<SeekPosition>) -> SeekInfo {
    SeekInfo { start, stop, behavior: SeekBehavior::FailIfNotReady as i32, ..Default::default() }
}

fn number(block: &Block) -> u64 {
    block.header.as_ref().unwrap().number
}

async fn blocks(client: &mut Client, info: SeekInfo) -> (Vec<u64>, Status) {
    let request = client.seek(info, |_| {});
    let (blocks, status) = client.blocks(request).await;
    (blocks.iter().map(number).collect(), status.try_into().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_are_chained_and_judged() {
    let network = Network::new(2).await;
    let ledger = network.serve().await;
    let mut client = network.client(&ledger, 2);
    for i in 0..4 {
        client.transact(&["put", &format!("k{i}"), "v"]).await.unwrap();
    }
    let request = client.seek(seek(oldest(), newest()), |_| {});
    let (blocks, status) = client.blocks(request).await;
    assert_eq!(status, Status::Success as i32);
    assert_eq!(blocks.iter().map(number).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    for pair in blocks.windows(2) {
        let (before, header) = (pair[0].header.as_ref().unwrap(), pair[1].header.as_ref().unwrap());
        assert_eq!(header.previous_hash, block_header_hash(before));
    }
    for block in &blocks {
        let data = block.data.as_ref().unwrap();
        assert_eq!(block.header.as_ref().unwrap().data_hash, block_data_hash(data));
        let metadata = &block.metadata.as_ref().unwrap().metadata;
        assert_eq!(metadata.len(), 5);
        assert_eq!(metadata[2], vec![TxValidationCode::Valid as u8; data.data.len()]);
    }
    // The first block says who is on the channel.
    let envelope = Envelope::decode(blocks[0].data.as_ref().unwrap().data[0].as_slice()).unwrap();
    let payload = Payload::decode(envelope.payload.as_slice()).unwrap();
    let config = ConfigEnvelope::decode(payload.data.as_slice()).unwrap().config.unwrap();
    let application = &config.channel_group.unwrap().groups["Application"];
    assert_eq!(application.groups.keys().collect::<Vec<_>>(), ["Org1MSP", "Org2MSP"]);
    ledger.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seeking_finds_its_place() {
    let network = Network::new(1).await;
    let ledger = network.serve().await;
    let mut client = network.client(&ledger, 1);
    for i in 0..3 {
        client.transact(&["put", &format!("k{i}"), "v"]).await.unwrap();
    }
    for (start, stop, expected, status) in [
        (oldest(), oldest(), vec![0], Status::Success),
        (newest(), newest(), vec![3], Status::Success),
        (position(1), position(2), vec![1, 2], Status::Success),
        (position(2), newest(), vec![2, 3], Status::Success),
        (position(2), position(9), vec![2, 3], Status::NotFound),
        (position(9), position(9), vec![], Status::NotFound),
        (position(2), position(1), vec![], Status::BadRequest),
        (None, newest(), vec![], Status::BadRequest),
    ] {
        assert_eq!(blocks(&mut client, seek(start, stop)).await, (expected, status));
    }
    let denied = |client: &Client, change: &dyn Fn(&mut Envelope)| {
        let mut request = client.seek(seek(oldest(), newest()), |_| {});
        change(&mut request);
        request
    };
    let request = denied(&client, &|request| request.signature[9] ^= 1);
    assert_eq!(client.blocks(request).await, (vec![], Status::Forbidden as i32));
    let request = denied(&client, &|request| request.payload.truncate(3));
    assert_eq!(client.blocks(request).await, (vec![], Status::BadRequest as i32));
    let request = client.seek(seek(oldest(), newest()), |header| header.channel_id = "other".into());
    assert_eq!(client.blocks(request).await, (vec![], Status::NotFound as i32));
    let request = client.seek(seek(oldest(), newest()), |header| header.timestamp = None);
    assert_eq!(client.blocks(request).await, (vec![], Status::BadRequest as i32));
    ledger.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deliver_waits_for_blocks_to_come() {
    let network = Network::new(1).await;
    let ledger = network.serve().await;
    let mut client = network.client(&ledger, 1);
    let wait = SeekInfo { start: position(1), stop: position(u64::MAX), ..Default::default() };
    let request = client.seek(wait, |_| {});
    let mut stream = client.deliver.deliver(tokio_stream::once(request)).await.unwrap().into_inner();
    assert!(timeout(Duration::from_millis(200), stream.message()).await.is_err());
    for expected in 1..4 {
        client.transact(&["put", "k", "v"]).await.unwrap();
        let answer = stream.message().await.unwrap().unwrap().r#type.unwrap();
        let deliver_response::Type::Block(block) = answer else { panic!("{answer:?}") };
        assert_eq!(number(&block), expected);
    }
    // Shutting down ends the stream at once.
    let started = Instant::now();
    ledger.shutdown().await;
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert!(!matches!(stream.message().await, Ok(Some(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn filtered_blocks_have_verdicts_and_event_names() {
    let network = Network::new(1).await;
    let ledger = network.serve().await;
    let mut client = network.client(&ledger, 1);
    client.transact(&["put", "k", "v"]).await.unwrap();
    let request = client.seek(seek(position(0), position(1)), |_| {});
    let mut stream = client.deliver.deliver_filtered(tokio_stream::once(request)).await.unwrap().into_inner();
    let mut filtered = Vec::new();
    while let Some(deliver_response::Type::FilteredBlock(block)) =
        stream.message().await.unwrap().unwrap().r#type
    {
        filtered.push(block);
    }
    assert_eq!((filtered.len(), filtered[1].number, filtered[1].channel_id.as_str()), (2, 1, "confab"));
    assert!(format!("{:?}", filtered[1]).contains("event_name: \"put\", payload: []"), "{:?}", filtered[1]);
    ledger.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chain_answers_questions() {
    let network = Network::new(2).await;
    let ledger = network.serve().await;
    let mut client = network.client(&ledger, 1);
    let proposed = client.propose(&["put", "k", "v"]);
    let envelope = client.endorse(&proposed, &[]).await.unwrap();
    client.submit(&proposed.id, envelope.clone()).await.unwrap();
    client.commit_status(&proposed.id).await.unwrap();

    let info = client.ask(&["GetChainInfo", "confab"]).await.unwrap();
    let info = BlockchainInfo::decode(info.as_slice()).unwrap();
    let block = client.ask(&["GetBlockByNumber", "confab", "1"]).await.unwrap();
    assert_eq!(client.ask(&["GetBlockByTxID", "confab", &proposed.id]).await.unwrap(), block);
    let header = Block::decode(block.as_slice()).unwrap().header.unwrap();
    assert_eq!(info.height, 2);
    assert_eq!(info.current_block_hash, block_header_hash(&header));
    assert_eq!(info.previous_block_hash, header.previous_hash);
    let found = client.ask(&["GetTransactionByID", "confab", &proposed.id]).await.unwrap();
    let found = ProcessedTransaction::decode(found.as_slice()).unwrap();
    assert_eq!((found.transaction_envelope, found.validation_code), (Some(envelope), 0));
    for (call, said) in [
        (&["GetChainInfo", "other"][..], "Invalid chain ID, other"),
        (&["GetBlockByNumber", "confab", "2"][..], "no such block number [2]"),
        (&["GetBlockByNumber", "confab", "x"][..], "Failed to parse block number"),
        (&["GetTransactionByID", "confab", "x"][..], "no such transaction ID [x]"),
        (&["GetTransactionByID", "confab"][..], "missing 3rd argument"),
        (&["Nothing", "confab", "x"][..], "Requested function Nothing not found"),
        (&["GetChainInfo"][..], "Incorrect number of arguments"),
    ] {
        common::assert_status(&client.ask(call).await.unwrap_err(), Code::Unknown, said);
    }
    ledger.shutdown().await;
}

async fn events(
    client: &mut Client,
    after: &str,
) -> tonic::Streaming<fabric_protos::gateway::ChaincodeEventsResponse> {
    let request = ChaincodeEventsRequest {
        channel_id: "confab".into(),
        chaincode_id: "confab".into(),
        identity: client.creator.clone(),
        start_position: position(0),
        after_transaction_id: after.into(),
    };
    let request = request.encode_to_vec();
    let signature = client.sign(&request);
    let request = SignedChaincodeEventsRequest { request, signature };
    client.gateway.chaincode_events(request).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_follow_valid_transactions() {
    let network = Network::new(1).await;
    let ledger = network.serve().await;
    let mut client = network.client(&ledger, 1);
    client.transact(&["put", "a", "v"]).await.unwrap();
    client.transact(&["blind", "b", "v"]).await.unwrap();
    client.transact(&["put", "c", "v"]).await.unwrap();
    let mut all = events(&mut client, "").await;
    let first = all.message().await.unwrap().unwrap();
    assert_eq!((first.block_number, first.events.len()), (1, 1));
    let event = &first.events[0];
    assert_eq!((event.event_name.as_str(), event.payload.as_slice()), ("put", &b"a"[..]));
    assert_eq!(all.message().await.unwrap().unwrap().block_number, 3);
    let mut rest = events(&mut client, &event.tx_id).await;
    assert_eq!(rest.message().await.unwrap().unwrap().block_number, 3);
    client.transact(&["put", "d", "v"]).await.unwrap();
    assert_eq!(rest.message().await.unwrap().unwrap().block_number, 4);
    ledger.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lagging_peer_sees_the_past() {
    let network = Network::new(2).await;
    let ledger = network.serve().await;
    let mut fast = network.client(&ledger, 1);
    let mut slow = network.client(&ledger, 2);
    fast.transact(&["put", "k", "old"]).await.unwrap();
    // Both peers are to have it before the test begins.
    while ledger.height("Org2MSP") != Some(2) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(ledger.delay_commits("Org2MSP", Duration::from_secs(2)));
    assert!(!ledger.delay_commits("Org9MSP", Duration::ZERO));

    let started = Instant::now();
    let proposed = fast.propose(&["put", "k", "new"]);
    let envelope = fast.endorse(&proposed, &[]).await.unwrap();
    fast.submit(&proposed.id, envelope).await.unwrap();
    fast.commit_status(&proposed.id).await.unwrap();
    assert!(started.elapsed() < Duration::from_millis(1500), "{:?}", started.elapsed());
    assert_eq!(fast.evaluate(&["get", "k"]).await.unwrap(), "new");
    assert_eq!(slow.evaluate(&["get", "k"]).await.unwrap(), "old");
    assert_eq!(blocks(&mut slow, seek(newest(), newest())).await.0, [1]);
    // Endorsements of both see different states, as with real peers that lag.
    let late = fast.propose(&["add", "k", "+"]);
    let error = fast.endorse(&late, &[]).await.unwrap_err();
    common::assert_status(&error, Code::Aborted, "failed to collect enough transaction endorsements");
    let said = ("Org2MSP".to_string(), "ProposalResponsePayloads do not match".to_string());
    assert_eq!(common::details(&error), [said]);

    // Its own gateway answers when it has committed itself.
    assert_eq!(slow.commit_status(&proposed.id).await.unwrap(), (TxValidationCode::Valid, 2));
    assert!(started.elapsed() >= Duration::from_secs(2));
    assert_eq!(slow.evaluate(&["get", "k"]).await.unwrap(), "new");
    fast.endorse(&late, &[]).await.unwrap();
    ledger.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_chaincode_service_is_dialled_again() {
    let mut network = Network::new(3).await;
    let ledger = network.serve().await;
    let mut client = network.client(&ledger, 1);
    client.transact(&["put", "k", "v"]).await.unwrap();
    let running = client.propose(&["sleep", "5000"]);
    let mut other = client.clone();
    let running = tokio::spawn(async move { other.evaluate_proposed(running).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let started = Instant::now();
    network.kill_service("Org1MSP").await;
    // The call that ran goes to the next peer, having failed in Fabric's words on this one.
    let error = client.endorse(&client.propose(&["blind", "k", "w"]), &["Org1MSP"]).await.unwrap_err();
    common::assert_status(&error, Code::Aborted, "failed to collect enough");
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    let said = &common::details(&error)[0].1;
    assert!(
        said.contains("chaincode stream terminated") || said.contains("could not launch chaincode"),
        "{said}"
    );
    running.abort();

    // Evaluation falls back on another organisation; the first call after a restart works.
    assert_eq!(client.evaluate(&["get", "k"]).await.unwrap(), "v");
    network.start_service("Org1MSP").await;
    assert_eq!(client.evaluate(&["whose"]).await.unwrap(), "Org1MSP");
    ledger.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_endorsement_is_given_up() {
    let mut network = Network::new(3).await;
    network.config.endorsement_timeout = Duration::from_millis(300);
    let ledger = network.serve().await;
    let mut client = network.client(&ledger, 1);
    // The own peer is waited for, as on Fabric; the others are not.
    let error = client.endorse(&client.propose(&["sleep", "1000"]), &[]).await.unwrap_err();
    common::assert_status(&error, Code::Aborted, "failed to collect enough transaction endorsements");
    assert!(common::details(&error)[0].1.contains("DeadlineExceeded"), "{error:?}");
    ledger.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_survives_a_restart() {
    let mut network = Network::new(2).await;
    let ledger = network.serve().await;
    let address = ledger.address("Org1MSP").unwrap();
    let mut client = network.client(&ledger, 1);
    let proposed = client.propose(&["put", "k", "v"]);
    let envelope = client.endorse(&proposed, &[]).await.unwrap();
    client.submit(&proposed.id, envelope).await.unwrap();
    client.commit_status(&proposed.id).await.unwrap();

    // A second process may not use the folder at the same time, nor the port.
    assert!(dev_ledger::serve(network.config.clone()).await.is_err());
    let mut clash = network.config.clone();
    clash.orgs[0].listen = address;
    let error = dev_ledger::serve(clash).await.unwrap_err().to_string();
    assert!(error.contains("cannot listen on") && error.contains("Org1MSP"), "{error}");
    ledger.shutdown().await;

    let ledger = network.serve().await;
    let mut client = network.client(&ledger, 2);
    assert_eq!(client.evaluate(&["get", "k"]).await.unwrap(), "v");
    assert_eq!(client.commit_status(&proposed.id).await.unwrap(), (TxValidationCode::Valid, 1));
    assert_eq!(client.transact(&["put", "l", "w"]).await.unwrap(), (TxValidationCode::Valid, 2));
    ledger.shutdown().await;

    // The folder belongs to these organisations.
    let other = Network::new(2).await;
    network.config.orgs = other.config.orgs.clone();
    let error = dev_ledger::serve(network.config.clone()).await.unwrap_err().to_string();
    assert!(error.contains("another channel"), "{error}");
    assert!(database(&network).is_file());
}
