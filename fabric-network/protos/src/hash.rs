//! Transaction ids and the hashes that chain blocks.

use crate::common::{BlockData, BlockHeader};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// The id of the transaction that `creator` (a serialised identity) makes with this nonce:
/// SHA-256(nonce ‖ creator) in lower-case hex.
pub fn transaction_id(nonce: &[u8], creator: &[u8]) -> String {
    let digest = Sha256::new().chain_update(nonce).chain_update(creator).finalize();
    digest.iter().fold(String::with_capacity(64), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a string never fails");
        hex
    })
}

/// The hash by which the next block refers to this one: SHA-256 of the header's
/// [DER encoding](block_header_der).
pub fn block_header_hash(header: &BlockHeader) -> [u8; 32] {
    Sha256::digest(block_header_der(header)).into()
}

/// The header as orderers hash and sign it: an ASN.1 SEQUENCE of INTEGER number,
/// OCTET STRING previous hash and OCTET STRING data hash, in DER.
pub fn block_header_der(header: &BlockHeader) -> Vec<u8> {
    // A DER integer is signed and minimal: strip leading zeros, then add one if the top bit is set.
    let number = header.number.to_be_bytes();
    let zeros = number.iter().take(7).take_while(|&&byte| byte == 0).count();
    let mut integer = number[zeros..].to_vec();
    if integer[0] & 0x80 != 0 {
        integer.insert(0, 0);
    }
    let mut body = Vec::new();
    push_tlv(&mut body, 0x02, &integer);
    push_tlv(&mut body, 0x04, &header.previous_hash);
    push_tlv(&mut body, 0x04, &header.data_hash);
    let mut der = Vec::new();
    push_tlv(&mut der, 0x30, &body);
    der
}

/// The hash of a block's transactions, which its header carries: SHA-256 of their concatenation.
pub fn block_data_hash(data: &BlockData) -> [u8; 32] {
    let mut hash = Sha256::new();
    for envelope in &data.data {
        hash.update(envelope);
    }
    hash.finalize().into()
}

/// Appends tag, length and value in DER.
fn push_tlv(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    out.push(tag);
    match u8::try_from(value.len()) {
        Ok(length @ 0..=0x7f) => out.push(length),
        _ => {
            let length = value.len().to_be_bytes();
            let zeros = length.iter().take_while(|&&byte| byte == 0).count();
            out.push(0x80 | (length.len() - zeros) as u8);
            out.extend_from_slice(&length[zeros..]);
        }
    }
    out.extend_from_slice(value);
}
