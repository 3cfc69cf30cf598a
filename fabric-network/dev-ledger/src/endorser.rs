//! A peer's answer to a proposal: checks, simulation, endorsement.

use crate::chaincode::{Outcome, Transaction};
use crate::channel::{Channel, Channels, Node, Peer, TIME_WINDOW, in_time_window};
use crate::definition::{LIFECYCLE, Signer};
use crate::simulation::{Setting, Simulation};
use crate::system;
use fabric_protos::common::{ChannelHeader, Header, HeaderType, SignatureHeader};
use fabric_protos::hash::transaction_id;
use fabric_protos::peer::{
    ChaincodeAction, ChaincodeEvent, ChaincodeHeaderExtension, ChaincodeId, ChaincodeInput,
    ChaincodeInterest, ChaincodeInvocationSpec, ChaincodeProposalPayload, Endorsement, Proposal,
    ProposalResponse, ProposalResponsePayload, Response, SignedProposal,
};
use prost::Message;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Statuses from here on are failures; from `ERROR` on they are the chaincode's own errors.
const ERROR_THRESHOLD: i32 = 400;
const ERROR: i32 = 500;

/// A proposal, taken apart.
pub struct Unpacked {
    pub header: Header,
    pub channel_header: ChannelHeader,
    pub signature_header: SignatureHeader,
    /// The chaincode that the call names, by which the gateway looks for endorsers.
    pub called: String,
    pub input: ChaincodeInput,
    pub payload: ChaincodeProposalPayload,
}

impl Unpacked {
    /// Takes a proposal apart without judging it.
    ///
    /// # Errors
    /// Which part cannot be read or is missing.
    pub fn new(proposal: &SignedProposal) -> Result<Self, String> {
        fn part<M: Message + Default>(what: &str, bytes: &[u8]) -> Result<M, String> {
            M::decode(bytes).map_err(|e| format!("error unmarshalling {what}: {e}"))
        }
        let proposal: Proposal = part("Proposal", &proposal.proposal_bytes)?;
        let header: Header = part("Header", &proposal.header)?;
        let channel_header: ChannelHeader = part("ChannelHeader", &header.channel_header)?;
        let signature_header: SignatureHeader = part("SignatureHeader", &header.signature_header)?;
        let payload: ChaincodeProposalPayload = part("ChaincodeProposalPayload", &proposal.payload)?;
        let call: ChaincodeInvocationSpec = part("ChaincodeInvocationSpec", &payload.input)?;
        let spec = call.chaincode_spec.ok_or("chaincode invocation spec did not contain chaincode spec")?;
        let input = spec.input.ok_or("chaincode input did not contain any input")?;
        let called = spec.chaincode_id.unwrap_or_default().name;
        Ok(Self { header, channel_header, signature_header, called, input, payload })
    }

    /// The chaincode that the header names, which is the one that runs.
    fn chaincode(&self) -> Result<String, String> {
        let extension = ChaincodeHeaderExtension::decode(self.channel_header.extension.as_slice())
            .map_err(|e| format!("error unmarshalling ChaincodeHeaderExtension: {e}"))?;
        let name = extension.chaincode_id.ok_or("ChaincodeHeaderExtension.ChaincodeId is nil")?.name;
        if name.is_empty() {
            return Err("ChaincodeHeaderExtension.ChaincodeId.Name is empty".into());
        }
        Ok(name)
    }
}

/// The hash that an endorsement covers: both headers as they came, and the call without transient data.
pub fn proposal_hash(header: &Header, payload_without_transient: &[u8]) -> Vec<u8> {
    let hash = Sha256::new().chain_update(&header.channel_header).chain_update(&header.signature_header);
    hash.chain_update(payload_without_transient).finalize().to_vec()
}

/// Why a proposal was refused before anything ran.
pub enum Refusal {
    /// By the filters in front of the endorser, which look at time and expiry.
    Filtered(String),
    /// The proposal itself is wrong.
    Invalid(String),
}

/// Processes a proposal on one organisation's peer. Whatever goes wrong once it runs is in the response.
pub async fn process(
    channels: &Channels,
    node: &Arc<Node>,
    signed: &SignedProposal,
) -> Result<ProposalResponse, Refusal> {
    let unpacked = Unpacked::new(signed).map_err(Refusal::Invalid)?;
    if !in_time_window(unpacked.channel_header.timestamp.as_ref()) {
        let minutes = TIME_WINDOW.as_secs() / 60;
        let what = format!(
            "request unauthorized due to incorrect timestamp, peer.authentication.timewindow {minutes}m0s"
        );
        return Err(Refusal::Filtered(what));
    }
    let chaincode = unpacked.chaincode().map_err(Refusal::Invalid)?;
    let name = &unpacked.channel_header.channel_id;
    if name.is_empty() {
        return without_channel(channels, node, &chaincode, &unpacked, signed);
    }
    let Some((channel, peer)) = channels.joined(&node.msp_id, name) else {
        return Ok(failure(format!("channel '{name}' not found")));
    };
    let creator = check(channel, peer, &unpacked, signed)?;
    let creator_bytes = unpacked.signature_header.creator.as_slice();
    let call = system::Call { channels, node, signed, creator: creator_bytes, args: &unpacked.input.args };
    if system::is_system(&chaincode) && chaincode != LIFECYCLE {
        let outcome = Simulated { response: call.run(&chaincode), ..Default::default() };
        return Ok(endorse(channel, peer, &unpacked, (chaincode, system::VERSION.into()), outcome));
    }
    let answer = match simulate(channel, peer, (&chaincode, creator), &unpacked, &call).await {
        Ok((version, outcome)) => endorse(channel, peer, &unpacked, (chaincode, version), outcome),
        Err(what) => failure(what),
    };
    Ok(answer)
}

/// A question to the peer itself, about no channel in particular. The answer cannot be endorsed.
fn without_channel(
    channels: &Channels,
    node: &Arc<Node>,
    chaincode: &str,
    unpacked: &Unpacked,
    signed: &SignedProposal,
) -> Result<ProposalResponse, Refusal> {
    let invalid = |what: String| Err(Refusal::Invalid(format!("error validating proposal: {what}")));
    if let Err(what) = check_headers(unpacked) {
        return invalid(what);
    }
    let creator = unpacked.signature_header.creator.as_slice();
    if node.member(creator).is_err() {
        return invalid("access denied: channel [] creator org unknown, creator is malformed".into());
    }
    if let Err(e) = node.authenticate(creator, &signed.proposal_bytes, &signed.signature) {
        tracing::warn!("proposal refused: {e}");
        return invalid(format!("access denied: channel [] creator org [{}]", node.msp_id));
    }
    if !system::is_system(chaincode) {
        return Ok(failure(format!(
            "make sure the chaincode {chaincode} has been successfully defined on channel  and try again: could not get channel config for channel ''"
        )));
    }
    let call = system::Call { channels, node, signed, creator, args: &unpacked.input.args };
    let response = call.run(chaincode);
    // Of a failure there is a payload, which tells it from one of the peer.
    let payload = match response.status >= ERROR {
        true => {
            payload(unpacked, (chaincode.into(), system::VERSION.into()), &response, Vec::new(), Vec::new())
        }
        false => Vec::new(),
    };
    Ok(ProposalResponse { response: Some(response), payload, ..Default::default() })
}

/// The checks of the headers by themselves.
fn check_headers(unpacked: &Unpacked) -> Result<(), String> {
    let (header, signature_header) = (&unpacked.channel_header, &unpacked.signature_header);
    if ![HeaderType::EndorserTransaction as i32, HeaderType::Config as i32].contains(&header.r#type) {
        return Err(format!("invalid header type {}", header.r#type));
    }
    if header.epoch != 0 {
        return Err("epoch is non-zero".into());
    }
    if signature_header.nonce.is_empty() {
        return Err("nonce is empty".into());
    }
    if signature_header.creator.is_empty() {
        return Err("creator is empty".into());
    }
    let expected = transaction_id(&signature_header.nonce, &signature_header.creator);
    if header.tx_id != expected {
        return Err(format!("incorrectly computed txid '{}' -- expected '{expected}'", header.tx_id));
    }
    Ok(())
}

/// The checks of creator, signature and transaction id.
fn check(
    channel: &Channel,
    peer: &Peer,
    unpacked: &Unpacked,
    signed: &SignedProposal,
) -> Result<Signer, Refusal> {
    let invalid = |what: String| Err(Refusal::Invalid(format!("error validating proposal: {what}")));
    if let Err(what) = check_headers(unpacked) {
        return invalid(what);
    }
    let (header, signature_header) = (&unpacked.channel_header, &unpacked.signature_header);
    let Ok(creator) = channel.identity(&signature_header.creator) else {
        let what = "creator org unknown, creator is malformed";
        return invalid(format!("access denied: channel [{}] {what}", channel.name));
    };
    if let Err(e) = channel.authenticate(&signature_header.creator, &signed.proposal_bytes, &signed.signature)
    {
        tracing::warn!("proposal refused: {e}");
        return invalid(format!(
            "access denied: channel [{}] creator org [{}]",
            channel.name,
            creator.identity.msp_id()
        ));
    }
    match channel.store.transaction(&header.tx_id) {
        Ok(Some(place)) if place.block < peer.height() => {
            let creator: String = signature_header.creator.iter().map(|byte| format!("{byte:02x}")).collect();
            let what = format!("duplicate transaction found [{}]. Creator [{creator}]", header.tx_id);
            Err(Refusal::Invalid(what))
        }
        Ok(_) => Ok(creator.signer()),
        Err(e) => Err(Refusal::Invalid(e.to_string())),
    }
}

/// What a run leaves.
#[derive(Default)]
struct Simulated {
    response: Response,
    event: Option<ChaincodeEvent>,
    /// The set of reads and writes in Fabric's wire format.
    results: Vec<u8>,
    /// None where no state was touched.
    interest: Option<ChaincodeInterest>,
}

/// Runs the chaincode on the peer's state; gives its version too.
async fn simulate(
    channel: &Arc<Channel>,
    peer: &Peer,
    (name, creator): (&str, Signer),
    unpacked: &Unpacked,
    call: &system::Call<'_>,
) -> Result<(String, Simulated), String> {
    let definitions = channel.definitions();
    let Some(definition) = definitions.get(name) else {
        return Err(format!(
            "make sure the chaincode {name} has been successfully defined on channel {} and try again: chaincode {name} not found",
            channel.name
        ));
    };
    if !channel.serves(peer, name) {
        return Err(format!(
            "make sure the chaincode {name} has been successfully defined on channel {} and try again: {}",
            channel.name,
            channel.no_service(&peer.node, name)
        ));
    }
    let snapshot = channel.store.snapshot(peer.height()).map_err(|e| e.to_string())?;
    let tx_id = unpacked.channel_header.tx_id.as_str();
    let setting = Setting {
        definitions: definitions.clone(),
        msp_id: peer.msp_id().into(),
        creator,
        tx_id: tx_id.into(),
    };
    let simulation = Simulation::new(name, setting, snapshot).map_err(|e| e.to_string())?;
    let proposal = call.signed;
    let mut transaction = Transaction { node: &peer.node, channel, tx_id, proposal, simulation };
    let in_simulation = |e: String| format!("error in simulation: {e}");
    let outcome = match name == LIFECYCLE {
        true => {
            let run = system::Run { channel, simulation: &mut transaction.simulation };
            Outcome { response: system::lifecycle(call, Some(run)), event: None }
        }
        false => transaction.invoke(name, unpacked.input.clone()).await.map_err(in_simulation)?,
    };
    let results = transaction.simulation.into_results();
    if !results.private.is_empty() {
        let (store, id) = (channel.store.clone(), tx_id.to_owned());
        let keep = move || store.keep_private(&id, results.height, &results.private);
        let kept = tokio::task::spawn_blocking(keep).await.map_err(|e| in_simulation(e.to_string()))?;
        kept.map_err(|e| in_simulation(e.to_string()))?;
    }
    let simulated = Simulated {
        response: outcome.response,
        event: outcome.event,
        results: results.public,
        interest: Some(results.interest),
    };
    Ok((definition.version.clone(), simulated))
}

/// Signs the outcome, unless it is a failure.
fn endorse(
    channel: &Channel,
    peer: &Peer,
    unpacked: &Unpacked,
    (name, version): (String, String),
    simulated: Simulated,
) -> ProposalResponse {
    let Simulated { response, event, results, interest } = simulated;
    // Of a failed call nothing but the response remains.
    let event = event.filter(|_| response.status < ERROR_THRESHOLD).map(|mut event| {
        event.chaincode_id.clone_from(&name);
        event.tx_id.clone_from(&unpacked.channel_header.tx_id);
        event.encode_to_vec()
    });
    let payload = payload(unpacked, (name, version), &response, results, event.unwrap_or_default());
    if response.status >= ERROR {
        return ProposalResponse { response: Some(response), payload, interest, ..Default::default() };
    }
    if response.status >= ERROR_THRESHOLD {
        return ProposalResponse { response: Some(response), ..Default::default() };
    }
    let endorser = peer.node.identity().to_vec();
    let signature = match channel.endorse(peer, &[payload.as_slice(), &endorser].concat()) {
        Ok(signature) => signature,
        Err(e) => return failure(e.to_string()),
    };
    ProposalResponse {
        version: 1,
        response: Some(response),
        payload,
        endorsement: Some(Endorsement { endorser, signature }),
        interest,
        ..Default::default()
    }
}

/// What an endorsement signs.
fn payload(
    unpacked: &Unpacked,
    (name, version): (String, String),
    response: &Response,
    results: Vec<u8>,
    events: Vec<u8>,
) -> Vec<u8> {
    let chaincode_id = Some(ChaincodeId { name, version, path: String::new() });
    let action = ChaincodeAction { results, events, response: Some(response.clone()), chaincode_id };
    let input = unpacked.payload.input.clone();
    let call_only = ChaincodeProposalPayload { input, transient_map: Default::default() };
    let payload = ProposalResponsePayload {
        proposal_hash: proposal_hash(&unpacked.header, &call_only.encode_to_vec()),
        extension: action.encode_to_vec(),
    };
    payload.encode_to_vec()
}

/// What the peer itself answers when it could not run a proposal.
fn failure(message: String) -> ProposalResponse {
    let response = Response { status: ERROR, message, payload: Vec::new() };
    ProposalResponse { response: Some(response), ..Default::default() }
}
