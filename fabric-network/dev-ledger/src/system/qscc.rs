//! The system chaincode `qscc`: questions about the chain itself.

use super::Call;
use crate::channel::{Channel, Peer};
use crate::store::{Place, hex};
use fabric_protos::common::{Block, BlockchainInfo, Envelope};
use fabric_protos::hash::block_header_hash;
use fabric_protos::peer::ProcessedTransaction;
use prost::Message;

/// Answers a call: the function, the channel, and what is asked for.
pub fn query(call: &Call<'_>) -> Result<Vec<u8>, String> {
    if call.args.len() < 2 {
        return Err(format!("Incorrect number of arguments, {}", call.args.len()));
    }
    let (function, name) = (call.text(0), call.text(1));
    if function != "GetChainInfo" && call.args.len() < 3 {
        return Err(format!("missing 3rd argument for {function}"));
    }
    let Some((channel, peer)) = call.channels.joined(&call.node.msp_id, &name) else {
        return Err(format!("Invalid chain ID, {name}"));
    };
    call.may_read(channel).map_err(|e| format!("access denied for [{function}][{name}]: [{e}]"))?;
    let asked = call.text(2);
    match function.as_str() {
        "GetChainInfo" => Ok(info(channel, peer)?.encode_to_vec()),
        "GetBlockByNumber" => {
            let number = number(&asked)?;
            // As for a peer, that stands for the newest.
            let number = if number == u64::MAX { peer.height().saturating_sub(1) } else { number };
            Ok(block(channel, peer, number)?.encode_to_vec())
        }
        "GetBlockByHash" => {
            let hash = call.args.get(2).map(Vec::as_slice).unwrap_or_default();
            Ok(block_by_hash(channel, peer, hash)?.encode_to_vec())
        }
        "GetBlockByTxID" => {
            let place = place(channel, peer, &asked)
                .map_err(|e| format!("Failed to get block for txID {asked}, error {e}"))?;
            Ok(block(channel, peer, place.block)?.encode_to_vec())
        }
        "GetTransactionByID" => {
            let place = place(channel, peer, &asked)
                .map_err(|e| format!("Failed to get transaction with id {asked}, error {e}"))?;
            let data = block(channel, peer, place.block)?.data.unwrap_or_default().data;
            let envelope = data.get(place.index as usize).ok_or("the transaction is not in its block")?;
            let envelope = Envelope::decode(envelope.as_slice()).map_err(|e| e.to_string())?;
            let found = ProcessedTransaction {
                transaction_envelope: Some(envelope),
                validation_code: place.code as i32,
            };
            Ok(found.encode_to_vec())
        }
        _ => Err(format!("Requested function {function} not found.")),
    }
}

/// A number as Fabric reads it, and its words where it is none.
fn number(text: &str) -> Result<u64, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty();
    text.parse().ok().filter(|_| digits).ok_or_else(|| {
        let what = if digits { "value out of range" } else { "invalid syntax" };
        format!("Failed to parse block number with error strconv.ParseUint: parsing {text:?}: {what}")
    })
}

/// Height and hashes as the peer sees them.
fn info(channel: &Channel, peer: &Peer) -> Result<BlockchainInfo, String> {
    let height = peer.height();
    let last = block(channel, peer, height.saturating_sub(1))?.header.unwrap_or_default();
    Ok(BlockchainInfo {
        height,
        current_block_hash: block_header_hash(&last).to_vec(),
        previous_block_hash: last.previous_hash,
        bootstrapping_snapshot_info: None,
    })
}

fn block(channel: &Channel, peer: &Peer, number: u64) -> Result<Block, String> {
    let found = channel.store.block(number).map_err(|e| e.to_string())?;
    let missing =
        || format!("Failed to get block number {number}, error no such block number [{number}] in index");
    found.filter(|_| number < peer.height()).ok_or_else(missing)
}

fn block_by_hash(channel: &Channel, peer: &Peer, hash: &[u8]) -> Result<Block, String> {
    let number = channel.store.number(hash).map_err(|e| e.to_string())?;
    match number.filter(|number| *number < peer.height()) {
        Some(number) => block(channel, peer, number),
        None => Err(format!(
            "Failed to get block hash {}, error no such block hash [{}] in index",
            String::from_utf8_lossy(hash),
            hex(hash)
        )),
    }
}

fn place(channel: &Channel, peer: &Peer, id: &str) -> Result<Place, String> {
    let found = channel.store.transaction(id).map_err(|e| e.to_string())?;
    found
        .filter(|place| place.block < peer.height())
        .ok_or_else(|| format!("no such transaction ID [{id}] in index"))
}
