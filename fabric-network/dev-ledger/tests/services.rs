//! A peer's and an orderer's services beside the gateway, on real Fabric and here: system chaincodes, proposals without
//! a channel, ordering, discovery.

mod common;
#[path = "common/fabric.rs"]
mod fabric;

use common::transcript::{Transcript, compare, stranger};
use common::{Client, Network, position};
use fabric::Fabric;
use fabric_protos::common::{
    Block, BlockchainInfo, Capabilities, Config, Envelope, HeaderType, Payload, Status as BlockStatus,
};
use fabric_protos::discovery::*;
use fabric_protos::gossip::GossipMessage;
use fabric_protos::gossip::gossip_message::Content;
use fabric_protos::hash::block_header_hash;
use fabric_protos::msp::SerializedIdentity;
use fabric_protos::orderer::seek_info::{SeekBehavior, SeekContentType};
use fabric_protos::orderer::{SeekInfo, SeekNewest, SeekPosition, seek_position};
use fabric_protos::peer::{
    ChaincodeAction, ChaincodeCall, ChaincodeInterest, ChannelQueryResponse, ProcessedTransaction,
    ProposalResponse, ProposalResponsePayload,
};
use prost::Message;
use tonic::Status;

/// Who asks.
struct Clients {
    one: Client,
    admin: Client,
    two: Client,
    stranger: Client,
}

async fn run(clients: &mut Clients) -> Vec<String> {
    let mut t = Transcript::default();
    chain(&mut t, clients).await;
    channels(&mut t, clients).await;
    refused(&mut t, clients).await;
    ordering(&mut t, clients).await;
    ordered(&mut t, clients).await;
    discovered(&mut t, clients).await;
    t.0
}

/// Asks a system chaincode through the endorser, on the channel or without one.
async fn ask(
    client: &mut Client,
    chaincode: &str,
    args: &[&[u8]],
    channel: &str,
) -> Result<ProposalResponse, Status> {
    let proposed = client.propose_bytes(chaincode, args, |header| header.channel_id = channel.into());
    client.process(&proposed).await
}

/// An answer without what it says, which is for the caller to look at.
fn form(answer: &ProposalResponse) -> String {
    let response = answer.response.clone().unwrap_or_default();
    let payload = ProposalResponsePayload::decode(answer.payload.as_slice()).unwrap();
    let action = ChaincodeAction::decode(payload.extension.as_slice()).unwrap();
    format!(
        "{} {:?}, version {}, endorsed {}, of {:?}, with results of {} bytes, interest {:?}",
        response.status,
        response.message,
        answer.version,
        answer.endorsement.is_some(),
        action.chaincode_id,
        action.results.len(),
        answer.interest
    )
}

async fn chain(t: &mut Transcript, clients: &mut Clients) {
    let one = &mut clients.one;
    let written = one.propose(&["blind", "k", "v"]);
    let envelope = one.endorse(&written, &[]).await.unwrap();
    one.submit(&written.id, envelope).await.unwrap();
    one.commit_status(&written.id).await.unwrap();

    for channel in ["confab", ""] {
        let answer = ask(one, "qscc", &[b"GetChainInfo", b"confab"], channel).await.unwrap();
        let info = BlockchainInfo::decode(answer.response.as_ref().unwrap().payload.as_slice()).unwrap();
        t.note(&format!("chain info on {channel:?}"), (form(&answer), info.height > 1));
    }
    let block = |answer: &ProposalResponse| {
        let block = Block::decode(answer.response.as_ref().unwrap().payload.as_slice()).unwrap();
        block.header.unwrap_or_default()
    };
    let first = ask(one, "qscc", &[b"GetBlockByNumber", b"confab", b"0"], "confab").await.unwrap();
    t.note("block 0", (form(&first), block(&first).number));
    let hash = block_header_hash(&block(&first));
    let same = ask(one, "qscc", &[b"GetBlockByHash", b"confab", &hash], "confab").await.unwrap();
    t.note("block by hash", (form(&same), block(&same).number));
    let newest = u64::MAX.to_string();
    let newest =
        ask(one, "qscc", &[b"GetBlockByNumber", b"confab", newest.as_bytes()], "confab").await.unwrap();
    t.note("newest block", (form(&newest), block(&newest).number > 0));
    let id = written.id.as_bytes();
    let of = ask(one, "qscc", &[b"GetBlockByTxID", b"confab", id], "confab").await.unwrap();
    t.note("block of the transaction", (form(&of), block(&of) == block(&newest)));
    let found = ask(one, "qscc", &[b"GetTransactionByID", b"confab", id], "confab").await.unwrap();
    let transaction =
        ProcessedTransaction::decode(found.response.as_ref().unwrap().payload.as_slice()).unwrap();
    t.note("transaction", (form(&found), transaction.validation_code));
    for args in [
        &[&b"GetBlockByNumber"[..], b"confab", b"999999"][..],
        &[b"GetBlockByNumber", b"confab", b"x"],
        &[b"GetBlockByNumber", b"confab", b"-1"],
        &[b"GetBlockByNumber", b"confab", b"99999999999999999999"],
        &[b"GetBlockByNumber", b"confab"],
        &[b"GetBlockByHash", b"confab", b"abc"],
        &[b"GetBlockByTxID", b"confab", b"abc"],
        &[b"GetTransactionByID", b"confab", b"abc"],
        &[b"GetTransactionByID", b"other", b"abc"],
        &[b"GetChainInfo"],
        &[b"Nothing", b"confab"],
        &[],
    ] {
        let answer = ask(one, "qscc", args, "confab").await;
        let args: Vec<_> = args.iter().map(|arg| String::from_utf8_lossy(arg)).collect();
        // Fabric knows no access rule for what it does not know.
        if args.first().is_some_and(|function| function == "Nothing") {
            t.note("unknown function", answer.unwrap().response.unwrap().status);
        } else {
            t.call(&format!("qscc {args:?}"), answer.map(|answer| form(&answer)));
        }
    }
}

async fn channels(t: &mut Transcript, clients: &mut Clients) {
    for channel in ["", "confab"] {
        for (who, client) in [("user", &mut clients.one), ("admin", &mut clients.admin)] {
            let answer = ask(client, "cscc", &[b"GetChannels"], channel).await.unwrap();
            let found = ChannelQueryResponse::decode(answer.response.as_ref().unwrap().payload.as_slice());
            t.note(&format!("channels for {who} on {channel:?}"), (form(&answer), found.unwrap()));
        }
        let answer = ask(&mut clients.one, "cscc", &[b"GetConfigBlock", b"confab"], channel).await.unwrap();
        let block = Block::decode(answer.response.as_ref().unwrap().payload.as_slice()).unwrap();
        t.note(&format!("configuration block on {channel:?}"), (form(&answer), block.header.unwrap().number));
        let answer = ask(&mut clients.one, "cscc", &[b"GetChannelConfig", b"confab"], channel).await.unwrap();
        let config = Config::decode(answer.response.as_ref().unwrap().payload.as_slice()).unwrap();
        t.note(&format!("configuration on {channel:?}"), (form(&answer), described(config)));
    }
    for args in [&[&b"GetChannelConfig"[..], b""][..], &[b"GetConfigBlock"], &[b"GetNothing", b"x"], &[]] {
        let answer = ask(&mut clients.one, "cscc", args, "").await;
        let args: Vec<_> = args.iter().map(|arg| String::from_utf8_lossy(arg)).collect();
        t.call(&format!("cscc {args:?}"), answer.map(|answer| form(&answer)));
    }
    let unknown = ask(&mut clients.one, "cscc", &[b"GetConfigBlock", b"other"], "").await.unwrap();
    t.note("configuration block of another", form(&unknown));
}

/// What is in a configuration, without the number of orderers and what they are called.
fn described(config: Config) -> Vec<String> {
    let mut root = config.channel_group.unwrap();
    let mut found = Vec::new();
    let capabilities =
        |bytes: &[u8]| Capabilities::decode(bytes).unwrap().capabilities.into_keys().collect::<Vec<_>>();
    let orderer = root.groups.remove("Orderer").unwrap();
    let application = root.groups.remove("Application").unwrap();
    assert!(root.groups.is_empty());
    for (name, group) in [("orderer", &orderer), ("application", &application)] {
        found.push(format!("{name} {:?}", capabilities(&group.values["Capabilities"].value)));
        found.push(format!("{name} {:?}", group.policies.keys().collect::<Vec<_>>()));
        assert!(!group.groups.is_empty());
    }
    for (name, group) in &application.groups {
        let (values, policies): (Vec<_>, Vec<_>) =
            (group.values.keys().collect(), group.policies.keys().collect());
        found.push(format!("{name} {values:?} {policies:?}"));
    }
    for group in orderer.groups.values() {
        let (values, policies): (Vec<_>, Vec<_>) =
            (group.values.keys().collect(), group.policies.keys().collect());
        found.push(format!("orderers of an organisation {values:?} {policies:?}"));
    }
    found.sort();
    found.dedup();
    found
}

async fn refused(t: &mut Transcript, clients: &mut Clients) {
    let (one, two, stranger) = (&mut clients.one, &mut clients.two, &mut clients.stranger);
    // Of the other organisation, at this one's peer.
    let mut other = two.clone();
    other.endorser = one.endorser.clone();
    for (who, client) in [("stranger", &mut *stranger), ("other organisation", &mut other)] {
        for channel in ["", "confab"] {
            let answer = ask(client, "qscc", &[b"GetChainInfo", b"confab"], channel).await;
            t.call(&format!("{who} asks on {channel:?}"), answer.map(|answer| form(&answer)));
        }
    }
    let answer = ask(&mut other, "cscc", &[b"GetChannels"], "confab").await.unwrap().response.unwrap();
    t.note(
        "other organisation asks for channels",
        (answer.status, answer.message.starts_with("access denied for [GetChannels]: ")),
    );
    for chaincode in ["confab", "nothing"] {
        let answer = ask(one, chaincode, &[b"get", b"k"], "").await;
        t.call(&format!("{chaincode} without a channel"), answer);
    }
    type Change = fn(&mut fabric_protos::common::ChannelHeader);
    let changes: [(&str, Change); 3] = [
        ("transaction id", |header| header.tx_id = "00".into()),
        ("epoch", |header| header.epoch = 1),
        ("chaincode", |header| header.extension.clear()),
    ];
    for (what, change) in changes {
        let proposed = one.propose_bytes("cscc", &[b"GetChannels"], |header| {
            header.channel_id.clear();
            change(header);
        });
        t.call(&format!("other {what} without a channel"), one.process(&proposed).await.map(|_| ()));
    }
    let answer = ask(&mut clients.admin, "cscc", &[b"JoinChain", b"no block"], "").await.unwrap();
    t.note("join", answer.response.unwrap().status);
}

async fn ordering(t: &mut Transcript, clients: &mut Clients) {
    let (one, stranger) = (&mut clients.one, &mut clients.stranger);
    let written = one.propose(&["blind", "ordered", "v"]);
    let envelope = one.endorse(&written, &[]).await.unwrap();
    t.note("broadcast", one.broadcast(envelope.clone()).await);
    t.note("verdict", one.commit_status(&written.id).await.unwrap().0);
    t.note("broadcast again", one.broadcast(envelope.clone()).await);

    let next = one.propose(&["blind", "ordered", "w"]);
    let envelope = one.endorse(&next, &[]).await.unwrap();
    let mut forged = envelope.clone();
    forged.signature = stranger.sign(&forged.payload);
    let (status, info) = one.broadcast(forged).await;
    t.note("broadcast forged", (status, info.contains("permission denied")));
    let changed = |client: &Client, change: &dyn Fn(&mut fabric_protos::common::ChannelHeader)| {
        let mut payload = Payload::decode(envelope.payload.as_slice()).unwrap();
        let header = payload.header.as_mut().unwrap();
        let mut channel =
            fabric_protos::common::ChannelHeader::decode(header.channel_header.as_slice()).unwrap();
        change(&mut channel);
        header.channel_header = channel.encode_to_vec();
        let payload = payload.encode_to_vec();
        Envelope { signature: client.sign(&payload), payload }
    };
    for kind in [HeaderType::Config, HeaderType::OrdererTransaction] {
        let envelope = changed(one, &|header| header.r#type = kind as i32);
        let (status, info) = one.broadcast(envelope).await;
        // 2.5 has other words for what an orderer used to make.
        t.note(&format!("broadcast {}", kind.as_str_name()), (status, !info.is_empty()));
    }
    let envelope = changed(one, &|header| header.channel_id = "other".into());
    t.note("broadcast to another channel", one.broadcast(envelope).await.0);
    for (what, payload) in [
        ("nothing", vec![]),
        ("no payload", vec![1]),
        ("no header", Payload { header: None, data: vec![1] }.encode_to_vec()),
    ] {
        let signature = one.sign(&payload);
        let (status, info) = one.broadcast(Envelope { payload, signature }).await;
        t.note(&format!("broadcast {what}"), (status, info.starts_with("could not determine channel ID: ")));
    }
}

async fn ordered(t: &mut Transcript, clients: &mut Clients) {
    let (one, stranger) = (&mut clients.one, &mut clients.stranger);
    let newest = || Some(SeekPosition { r#type: Some(seek_position::Type::Newest(SeekNewest {})) });
    let seek = |start, stop| SeekInfo {
        start,
        stop,
        behavior: SeekBehavior::FailIfNotReady as i32,
        ..Default::default()
    };
    let answer = |(blocks, status): (Vec<Block>, i32)| {
        let with_data =
            blocks.iter().filter(|block| block.data.as_ref().is_some_and(|data| !data.data.is_empty()));
        (blocks.len(), with_data.count(), BlockStatus::try_from(status).unwrap())
    };
    for (what, info) in [
        ("newest", seek(newest(), newest())),
        ("the first two", seek(position(0), position(1))),
        ("backwards", seek(position(2), position(1))),
        ("future", seek(position(1 << 40), position(1 << 40))),
        ("no start", seek(None, newest())),
        (
            "headers",
            SeekInfo { content_type: SeekContentType::HeaderWithSig as i32, ..seek(newest(), newest()) },
        ),
    ] {
        let request = one.seek(info, |_| {});
        let (blocks, with_data, status) = answer(one.ordered_blocks(request).await);
        // 2.5 gives whole blocks where only headers are asked for.
        let with_data = if what == "headers" { 0 } else { with_data };
        t.note(&format!("orderer's blocks: {what}"), (blocks, with_data, status));
    }
    let request = one.seek(seek(newest(), newest()), |header| header.channel_id = "other".into());
    t.note("orderer's blocks of another channel", answer(one.ordered_blocks(request).await));
    let request = one.seek(seek(newest(), newest()), |header| header.timestamp = None);
    t.note("orderer's blocks without time", answer(one.ordered_blocks(request).await));
    let request = stranger.seek(seek(newest(), newest()), |_| {});
    t.note("orderer's blocks for a stranger", answer(stranger.ordered_blocks(request).await));
    // What is ordered is what the peer has.
    let request = one.seek(seek(position(1), position(1)), |_| {});
    let ordered = one.ordered_blocks(request.clone()).await.0.remove(0);
    t.note(
        "same block",
        (ordered.header == one.blocks(request).await.0.remove(0).header, ordered.data.is_some()),
    );
}

/// Answers to questions about a channel.
async fn discover(
    client: &mut Client,
    channel: &str,
    questions: Vec<query::Query>,
    change: impl FnOnce(&mut Request),
) -> Result<Vec<query_result::Result>, Status> {
    let authentication =
        AuthInfo { client_identity: client.creator.clone(), client_tls_cert_hash: client.tls_hash.clone() };
    let queries = questions.into_iter().map(|query| Query { channel: channel.into(), query: Some(query) });
    let mut request = Request { authentication: Some(authentication), queries: queries.collect() };
    change(&mut request);
    let payload = request.encode_to_vec();
    let signature = client.sign(&payload);
    let answer = client.discovery.discover(SignedRequest { payload, signature }).await?.into_inner();
    Ok(answer.results.into_iter().map(|result| result.result.unwrap()).collect())
}

/// A peer in words, without what differs from run to run.
fn in_words(peer: &fabric_protos::discovery::Peer) -> String {
    let msp_id = SerializedIdentity::decode(peer.identity.as_slice()).unwrap().mspid;
    let content = |envelope: &fabric_protos::gossip::Envelope| {
        let message = GossipMessage::decode(envelope.payload.as_slice()).unwrap();
        (message.tag, message.content.unwrap())
    };
    let (tag, alive) = content(peer.membership_info.as_ref().unwrap());
    let Content::AliveMsg(alive) = alive else { panic!("{alive:?}") };
    let member = alive.membership.unwrap();
    let mut found =
        format!("{msp_id} tag {tag}, port {}, id of {}", member.endpoint.contains(':'), member.pki_id.len());
    if let Some(envelope) = &peer.state_info {
        let (tag, state) = content(envelope);
        let Content::StateInfo(state) = state else { panic!("{state:?}") };
        let properties = state.properties.unwrap();
        let mut chaincodes: Vec<_> =
            properties.chaincodes.iter().map(|one| (&one.name, &one.version)).collect();
        chaincodes.sort();
        assert_eq!(state.pki_id, member.pki_id);
        found += &format!(
            ", state tag {tag}, height {}, left {}, mac of {}, {chaincodes:?}",
            properties.ledger_height > 1,
            properties.left_channel,
            state.channel_mac.len()
        );
    }
    found
}

fn peers(found: &PeerMembershipResult) -> Vec<(String, Vec<String>)> {
    let each = found.peers_by_org.iter().filter(|(org, _)| *org != "OrdererMSP");
    each.map(|(org, peers)| (org.clone(), peers.peers.iter().map(in_words).collect())).collect()
}

/// Layouts with organisations in place of groups, whose names say nothing.
fn layouts(found: &EndorsementDescriptor) -> Vec<Vec<(String, u32)>> {
    let org = |group: &String| {
        let peer = &found.endorsers_by_groups[group].peers[0];
        SerializedIdentity::decode(peer.identity.as_slice()).unwrap().mspid
    };
    let layout = |layout: &Layout| {
        let mut each: Vec<_> = layout.quantities_by_group.iter().map(|(group, n)| (org(group), *n)).collect();
        each.sort();
        each
    };
    let mut layouts: Vec<_> = found.layouts.iter().map(layout).collect();
    layouts.sort();
    layouts
}

async fn discovered(t: &mut Transcript, clients: &mut Clients) {
    let peer_query = || query::Query::PeerQuery(PeerMembershipQuery::default());
    let config_query = || query::Query::ConfigQuery(ConfigQuery {});
    let local = || query::Query::LocalPeers(LocalPeerQuery {});
    let of = |calls: &[(&str, &[&str])]| {
        let call = |(name, collections): &(&str, &[&str])| ChaincodeCall {
            name: name.to_string(),
            collection_names: collections.iter().map(ToString::to_string).collect(),
            ..Default::default()
        };
        let interest = ChaincodeInterest { chaincodes: calls.iter().map(call).collect() };
        query::Query::CcQuery(ChaincodeQuery { interests: vec![interest] })
    };
    let one = &mut clients.one;
    let answers = discover(one, "confab", vec![config_query(), peer_query(), of(&[("confab", &[])])], |_| {});
    for answer in answers.await.unwrap() {
        match answer {
            query_result::Result::ConfigResult(config) => {
                let msps: Vec<_> = config.msps.keys().filter(|id| *id != "OrdererMSP").cloned().collect();
                let endpoints = config.orderers.values().flat_map(|found| &found.endpoint);
                let reached = endpoints.filter(|endpoint| !endpoint.host.is_empty() && endpoint.port > 0);
                t.note(
                    "configuration",
                    (msps, reached.count() > 0, config.msps["Org1MSP"].tls_root_certs.len()),
                );
            }
            query_result::Result::Members(members) => t.note("peers", peers(&members)),
            query_result::Result::CcQueryRes(found) => {
                t.note("endorsers", (&found.content[0].chaincode, layouts(&found.content[0])));
                let each = found.content[0].endorsers_by_groups.values().flat_map(|peers| &peers.peers);
                let mut each: Vec<_> = each.map(in_words).collect();
                each.sort();
                t.note("endorsers in words", each);
            }
            query_result::Result::Error(error) => panic!("{error:?}"),
        }
    }
    for (what, question) in [
        ("own collection", of(&[("confab", &["_implicit_org_Org1MSP"])])),
        ("unknown chaincode", of(&[("nothing", &[])])),
        ("unknown collection", of(&[("confab", &["nothing"])])),
        ("no chaincode", of(&[])),
        ("no name", of(&[("", &[])])),
        ("no interest", query::Query::CcQuery(ChaincodeQuery::default())),
        ("local peers", local()),
    ] {
        let answer = discover(one, "confab", vec![question], |_| {}).await.unwrap().remove(0);
        match answer {
            query_result::Result::CcQueryRes(found) => t.note(what, layouts(&found.content[0])),
            // What follows is a text of Go's for whatever was asked.
            query_result::Result::Error(error) => {
                t.note(what, error.content.split(" for ").next().unwrap().to_owned());
            }
            other => panic!("{other:?}"),
        }
    }
    for (who, client) in [("user", &mut clients.one), ("admin", &mut clients.admin)] {
        for (what, question) in [("peers", local()), ("configuration", config_query())] {
            let answer = discover(client, "", vec![question], |_| {}).await.unwrap().remove(0);
            match answer {
                query_result::Result::Members(found) => {
                    t.note(&format!("local {what} for {who}"), peers(&found))
                }
                query_result::Result::Error(error) => t.note(&format!("local {what} for {who}"), error),
                other => panic!("{other:?}"),
            }
        }
    }
    let one = &mut clients.one;
    t.note("another channel", discover(one, "other", vec![peer_query()], |_| {}).await.unwrap());
    t.call(
        "nobody asks",
        discover(one, "confab", vec![peer_query()], |request| request.authentication = None).await,
    );
    let nameless = |request: &mut Request| request.authentication.as_mut().unwrap().client_identity.clear();
    t.call("nameless", discover(one, "confab", vec![peer_query()], nameless).await);
    t.note("stranger", discover(&mut clients.stranger, "confab", vec![peer_query()], |_| {}).await.unwrap());
}

async fn on_fabric() -> Vec<String> {
    let fabric = Fabric::up(Vec::new()).await;
    let one = fabric.client(0);
    let stranger = stranger(&one).await;
    run(&mut Clients { one, admin: fabric.admin(0), two: fabric.client(1), stranger }).await
}

async fn on_dev_ledger() -> Vec<String> {
    let network = Network::new(2).await;
    let ledger = network.serve().await;
    let one = network.client(&ledger, 1);
    let stranger = stranger(&one).await;
    let admin = network.admin(&ledger, 1);
    let transcript = run(&mut Clients { one, admin, two: network.client(&ledger, 2), stranger }).await;
    ledger.shutdown().await;
    transcript
}

#[tokio::test(flavor = "multi_thread")]
async fn real_fabric_serves_alike() {
    let ours = on_dev_ledger().await;
    assert!(ours.len() > 60, "{} answers", ours.len());
    if launcher::Binaries::find().is_err() {
        eprintln!("SKIPPED: real_fabric_serves_alike: real Fabric not found; set FABRIC_HOME");
        return;
    }
    compare(&ours, &on_fabric().await);
}
