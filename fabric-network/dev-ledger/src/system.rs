//! The system chaincode `qscc`: questions about the chain itself.

use crate::channel::{Channel, Peer};
use crate::store::Place;
use fabric_protos::common::{Block, BlockchainInfo, Envelope};
use fabric_protos::hash::block_header_hash;
use fabric_protos::peer::{ProcessedTransaction, Response};
use prost::Message;

/// The chaincode's name.
pub const QSCC: &str = "qscc";

/// Answers a call with these arguments: the function, the channel, and what is asked for.
pub fn query(channel: &Channel, peer: &Peer, args: &[Vec<u8>]) -> Response {
    match answer(channel, peer, args) {
        Ok(payload) => Response { status: 200, message: String::new(), payload },
        Err(message) => Response { status: 500, message, payload: Vec::new() },
    }
}

fn answer(channel: &Channel, peer: &Peer, args: &[Vec<u8>]) -> Result<Vec<u8>, String> {
    let text = |index: usize| args.get(index).map(|arg| String::from_utf8_lossy(arg).into_owned());
    let function = text(0).unwrap_or_default();
    let name = text(1).ok_or_else(|| format!("Incorrect number of arguments, {}", args.len()))?;
    if name != channel.name {
        return Err(format!("Invalid chain ID, {name}"));
    }
    if function == "GetChainInfo" {
        return Ok(info(channel, peer)?.encode_to_vec());
    }
    let asked = text(2).ok_or_else(|| format!("missing 3rd argument for {function}"))?;
    match function.as_str() {
        "GetBlockByNumber" => {
            let number = asked.parse().map_err(|e| format!("Failed to parse block number with error {e}"))?;
            Ok(block(channel, peer, number)?.encode_to_vec())
        }
        "GetBlockByTxID" => {
            let place = place(channel, peer, &asked)?;
            Ok(block(channel, peer, place.block)?.encode_to_vec())
        }
        "GetTransactionByID" => {
            let place = place(channel, peer, &asked)?;
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

fn place(channel: &Channel, peer: &Peer, id: &str) -> Result<Place, String> {
    let found = channel.store.transaction(id).map_err(|e| e.to_string())?;
    let missing =
        || format!("Failed to get transaction with id {id}, error no such transaction ID [{id}] in index");
    found.filter(|place| place.block < peer.height()).ok_or_else(missing)
}
