//! Hashes against those of Fabric's own code (`protoutil`), in `vectors/hashes.jsonl`.

use fabric_protos::common::{BlockData, BlockHeader};
use fabric_protos::hash::{block_data_hash, block_header_der, block_header_hash, transaction_id};

#[test]
fn hashes_are_fabrics() {
    let mut seen = 0;
    for line in include_str!("vectors/hashes.jsonl").lines() {
        let vector: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |field: &str| vector[field].as_str().unwrap();
        let bytes = |field: &str| hex::decode(text(field)).unwrap();
        match text("what") {
            "block_header" => {
                let header = BlockHeader {
                    number: text("number").parse().unwrap(),
                    previous_hash: bytes("previous_hash"),
                    data_hash: bytes("data_hash"),
                };
                assert_eq!(hex::encode(block_header_der(&header)), text("der"), "block {}", header.number);
                assert_eq!(hex::encode(block_header_hash(&header)), text("hash"), "block {}", header.number);
            }
            "block_data" => {
                let data = vector["data"].as_array().unwrap();
                let data = data.iter().map(|d| hex::decode(d.as_str().unwrap()).unwrap()).collect();
                assert_eq!(hex::encode(block_data_hash(&BlockData { data })), text("hash"));
            }
            "transaction_id" => assert_eq!(transaction_id(&bytes("nonce"), &bytes("creator")), text("id")),
            other => panic!("unknown vector {other}"),
        }
        seen += 1;
    }
    assert_eq!(seen, 14);
}
