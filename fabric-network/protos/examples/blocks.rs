//! Reads blocks, checks their hashes and prints their transactions. The blocks are files of `peer channel fetch`, in
//! their order; without any, two blocks are made and read.
//!
//! ```text
//! cargo run -p fabric-protos --example blocks [FILE…]
//! ```

use fabric_protos::common::{
    Block, BlockData, BlockHeader, ChannelHeader, Envelope, Header, HeaderType, Payload,
};
use fabric_protos::hash::{block_data_hash, block_header_hash};
use fabric_protos::prost::Message;
use std::{env, error::Error, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let mut blocks = env::args().skip(1).map(fs::read).collect::<Result<Vec<_>, _>>()?;
    if blocks.is_empty() {
        blocks = sample();
    }
    let mut before: Option<BlockHeader> = None;
    for bytes in &blocks {
        let block = Block::decode(bytes.as_slice())?;
        let (header, data) =
            (block.header.ok_or("a block without a header")?, block.data.unwrap_or_default());
        if header.data_hash != block_data_hash(&data) {
            return Err(
                format!("block {}: the transactions are not those of the header", header.number).into()
            );
        }
        if let Some(before) = &before
            && before.number + 1 == header.number
            && header.previous_hash != block_header_hash(before)
        {
            return Err(format!("block {} does not follow block {}", header.number, before.number).into());
        }
        println!("block {} with {} transactions", header.number, data.data.len());
        for envelope in &data.data {
            print(envelope)?;
        }
        before = Some(header);
    }
    Ok(())
}

fn print(envelope: &[u8]) -> Result<(), Box<dyn Error>> {
    let payload = Payload::decode(Envelope::decode(envelope)?.payload.as_slice())?;
    let header = payload.header.ok_or("a transaction without a header")?;
    let channel = ChannelHeader::decode(header.channel_header.as_slice())?;
    let kind = HeaderType::try_from(channel.r#type).map_or_else(|_| "?".into(), |kind| format!("{kind:?}"));
    println!("  {kind} {:?} on channel {:?}", channel.tx_id, channel.channel_id);
    Ok(())
}

fn sample() -> Vec<Vec<u8>> {
    let mut previous_hash = Vec::new();
    let mut blocks = Vec::new();
    for (number, kind, tx_id) in [(0, HeaderType::Config, ""), (1, HeaderType::EndorserTransaction, "1f00")] {
        let channel = ChannelHeader {
            r#type: kind.into(),
            channel_id: "trade".into(),
            tx_id: tx_id.into(),
            ..Default::default()
        };
        let header = Header { channel_header: channel.encode_to_vec(), signature_header: Vec::new() };
        let payload = Payload { header: Some(header), data: Vec::new() };
        let envelope = Envelope { payload: payload.encode_to_vec(), signature: Vec::new() };
        let data = BlockData { data: vec![envelope.encode_to_vec()] };
        let header = BlockHeader { number, previous_hash, data_hash: block_data_hash(&data).into() };
        previous_hash = block_header_hash(&header).into();
        blocks.push(Block { header: Some(header), data: Some(data), metadata: None }.encode_to_vec());
    }
    blocks
}
