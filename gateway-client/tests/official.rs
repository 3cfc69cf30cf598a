//! What the official Node client serialised is taken up; see `vectors/README.md`.

use base64::{Engine, prelude::BASE64_STANDARD};
use gateway_client::{
    Block, BlockAndPrivateData, BlockEventsRequest, BlockForm, ChaincodeEventsRequest, Commit, Endpoint,
    Error, FilteredBlock, Gateway, Identity, Options, Proposal, Transaction, User,
};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Vector {
    kind: String,
    bytes: String,
    digest: String,
    transaction_id: Option<String>,
    result: Option<String>,
}

fn vectors() -> impl Iterator<Item = (Vector, Vec<u8>)> {
    include_str!("vectors/official.jsonl").lines().map(|line| {
        let vector: Vector = serde_json::from_str(line).unwrap();
        let bytes = BASE64_STANDARD.decode(&vector.bytes).unwrap();
        (vector, bytes)
    })
}

/// A gateway that is never called.
fn gateway() -> Gateway {
    let made = rcgen::generate_simple_self_signed(vec!["client".into()]).unwrap();
    let user = User::without_signer(Identity::new("Org1MSP", made.cert.pem()).unwrap());
    let endpoint = Endpoint { address: "127.0.0.1:1".into(), tls: None };
    Gateway::connect(&endpoint, user, Options::default()).unwrap()
}

/// What was read from bytes: them again, the digest, and what there is to know of a transaction.
struct Read {
    bytes: Vec<u8>,
    digest: [u8; 32],
    transaction_id: Option<String>,
    result: Option<Vec<u8>>,
}

fn read(gateway: &Gateway, kind: &str, bytes: &[u8]) -> Result<Read, Error> {
    let request = |bytes, digest| Read { bytes, digest, transaction_id: None, result: None };
    fn blocks<B: BlockForm>(gateway: &Gateway, bytes: &[u8]) -> Result<(Vec<u8>, [u8; 32]), Error> {
        let read = BlockEventsRequest::<B>::from_bytes(gateway, bytes)?;
        Ok((read.to_bytes(), read.digest()))
    }
    Ok(match kind.trim_start_matches("signed ") {
        "proposal" => {
            let read = Proposal::from_bytes(gateway, bytes)?;
            let transaction_id = Some(read.transaction_id().into());
            Read { transaction_id, ..request(read.to_bytes(), read.digest()) }
        }
        "transaction" => {
            let read = Transaction::from_bytes(gateway, bytes)?;
            let (transaction_id, result) = (Some(read.id().into()), Some(read.result().to_vec()));
            Read { transaction_id, result, ..request(read.to_bytes(), read.digest()) }
        }
        "commit" => {
            let read = Commit::from_bytes(gateway, bytes)?;
            let transaction_id = Some(read.transaction_id().into());
            Read { transaction_id, ..request(read.to_bytes(), read.digest()) }
        }
        "chaincode events request" => {
            let read = ChaincodeEventsRequest::from_bytes(gateway, bytes)?;
            request(read.to_bytes(), read.digest())
        }
        "block events request" => blocks::<Block>(gateway, bytes).map(|(b, d)| request(b, d))?,
        "filtered block events request" => {
            blocks::<FilteredBlock>(gateway, bytes).map(|(b, d)| request(b, d))?
        }
        "block and private data events request" => {
            blocks::<BlockAndPrivateData>(gateway, bytes).map(|(b, d)| request(b, d))?
        }
        other => panic!("{other}"),
    })
}

#[tokio::test]
async fn what_the_official_client_wrote_is_taken_up_and_written_alike() {
    let gateway = gateway();
    for (vector, bytes) in vectors() {
        let found = read(&gateway, &vector.kind, &bytes).unwrap();
        assert_eq!(found.bytes, bytes, "{}", vector.kind);
        assert_eq!(hex::encode(found.digest), vector.digest, "{}", vector.kind);
        assert_eq!(found.transaction_id, vector.transaction_id, "{}", vector.kind);
        assert_eq!(found.result.map(|r| BASE64_STANDARD.encode(r)), vector.result, "{}", vector.kind);
    }
}

/// One that was not signed is not sent; one that was is, and finds no peer.
#[tokio::test]
async fn what_was_signed_is_sent_as_it_is() {
    let gateway = gateway();
    for (vector, bytes) in vectors().filter(|(vector, _)| vector.kind.ends_with("proposal")) {
        let error = Proposal::from_bytes(&gateway, &bytes).unwrap().evaluate().await.unwrap_err();
        match vector.kind.starts_with("signed") {
            true => assert!(error.call().is_some_and(|call| call.connection), "{error}"),
            false => assert!(matches!(error, Error::Signer(_)), "{error}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn damaged_bytes_never_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _guard = runtime.enter();
        let gateway = gateway();
        for (vector, mut bytes) in vectors() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = read(&gateway, &vector.kind, &bytes);
            bytes.truncate(cut.index(bytes.len()));
            let _ = read(&gateway, &vector.kind, &bytes);
        }
    }
}
