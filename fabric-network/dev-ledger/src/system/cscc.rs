//! The system chaincode `cscc`: which channels there are, and how they are configured.

use super::Call;
use crate::genesis;
use fabric_protos::peer::{ChannelInfo, ChannelQueryResponse};
use msp::Role;
use prost::Message;

/// Answers a call: the function, and for most of them the channel.
pub fn query(call: &Call<'_>) -> Result<Vec<u8>, String> {
    let function = call.text(0);
    let takes_none = ["GetChannels", "JoinBySnapshotStatus"].contains(&function.as_str());
    if call.args.is_empty() || (!takes_none && call.args.len() < 2) {
        return Err(format!("Incorrect number of arguments, {}", call.args.len()));
    }
    let name = call.text(1);
    let denied = |what: String| format!("access denied for [{function}][{name}]: {what}");
    match function.as_str() {
        "GetChannels" => {
            call.has_role(Role::Member).map_err(|e| format!("access denied for [{function}]: {e}"))?;
            let channels = call.channels.names(call.node).map(|name| ChannelInfo { channel_id: name.into() });
            Ok(ChannelQueryResponse { channels: channels.collect() }.encode_to_vec())
        }
        "GetConfigBlock" | "GetChannelConfig" => {
            if name.is_empty() {
                return Err("empty channel name provided".into());
            }
            let Some((channel, _)) = call.channels.joined(&call.node.msp_id, &name) else {
                return Err(denied(format!("Failed to get policy manager for channel [{name}]")));
            };
            call.may_read(channel).map_err(denied)?;
            // The first block's configuration is the only one.
            let block = channel.store.block(0).map_err(|e| e.to_string())?.ok_or("block 0 is missing")?;
            match function.as_str() {
                "GetConfigBlock" => Ok(block.encode_to_vec()),
                _ => Ok(genesis::config_of(&block).unwrap_or_default().encode_to_vec()),
            }
        }
        "JoinChain" | "JoinChainBySnapshot" | "JoinBySnapshotStatus" => Err(format!(
            "{function} is not possible on a development ledger: its channels are those of its configuration, and all peers are on them from the start"
        )),
        _ => Err(format!("Requested function {function} not found.")),
    }
}
