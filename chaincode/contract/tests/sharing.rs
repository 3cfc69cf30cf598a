//! The rules of sharing encrypted rows, on a world state in memory.

mod world;

use records::{
    AnalystKey, Bytes, Code, Content, Device, Digest, Fingerprint, Instance, MAX_INLINE_BYTES, Modulus, Page,
    Row, SharedClasses, SharedTable, VERSION, address,
};
use serde_json::{Value, json};
use world::{World, caller};

/// The analyst's and the provider's organisation.
const ANALYST: u32 = 1;
const PROVIDER: u32 = 2;

fn own(org: u32) -> Digest {
    let caller = caller(org, "a");
    address(&caller.msp_id, &caller.key_hash)
}

fn modulus(bits: usize) -> Modulus {
    Modulus { n: Bytes(vec![0x81; bits / 8]), insecure_key_bits: bits < 2048 }
}

fn bytes(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

fn table() -> SharedTable {
    SharedTable {
        version: VERSION,
        provider: own(PROVIDER),
        msp_id: "Org2MSP".parse().unwrap(),
        analyst: own(ANALYST),
        key: modulus(256).fingerprint(),
        key_bits: 256,
        device: Device([0, 0, 0, 7]),
        columns: ["age", "pulse", "weight"].map(String::from).into(),
        classes: Some(SharedClasses { column: "ill".into(), positive: "yes".into(), negative: "no".into() }),
        rows: 5,
        off_ledger: false,
        nonce: Bytes(vec![3; 16]),
    }
}

/// A row of two ciphertexts: four values, three to a ciphertext of 256 bits.
fn row(row: u32, byte: u8) -> Row {
    Row { row, content: Content::Ciphertext(Bytes(vec![byte; 128])) }
}

fn announced() -> (World, Digest) {
    let mut world = World::default();
    world.call(ANALYST, "publish-key", &[&bytes(&modulus(256))]).unwrap();
    let id = world.call(PROVIDER, "announce", &[&bytes(&table())]).unwrap();
    (world, serde_json::from_slice(&id).unwrap())
}

fn share(world: &mut World, org: u32, table: Digest, rows: &[Row]) -> Result<(), (Code, String)> {
    let [analyst, provider, table] = [own(ANALYST), own(PROVIDER), table].map(|d| d.to_string());
    let args: [&[u8]; 4] = [analyst.as_bytes(), provider.as_bytes(), table.as_bytes(), &bytes(&rows)];
    world.try_as(&caller(org, "a"), "share", &args).map(drop).map_err(|r| (r.code, r.detail))
}

fn page(world: &mut World, table: Digest, size: u32, bookmark: &str, form: &str) -> Page<Instance> {
    let [analyst, provider, table] = [own(ANALYST), own(PROVIDER), table].map(|d| d.to_string());
    let size = size.to_string();
    let args = [&analyst, &provider, &table, size.as_str(), bookmark, form].map(str::as_bytes);
    serde_json::from_slice(&world.call(9, "instances", &args).unwrap()).unwrap()
}

#[test]
fn rows_lie_under_keys_of_their_own_and_are_listed_page_by_page() {
    let (mut world, id) = announced();
    assert_eq!(id, table().id());
    share(&mut world, PROVIDER, id, &[row(0, 1), row(1, 2), row(3, 4)]).unwrap();
    share(&mut world, PROVIDER, id, &[row(2, 3)]).unwrap();
    let first = page(&mut world, id, 3, "", "full");
    let second = page(&mut world, id, 3, &first.bookmark, "full");
    assert_eq!(second.bookmark, "");
    let entries: Vec<Instance> = first.entries.into_iter().chain(second.entries).collect();
    let rows = (0..4).map(|i| Instance::new(&table(), id, row(i, i as u8 + 1)));
    assert_eq!(entries, rows.collect::<Vec<_>>());
    assert_eq!((entries[0].provider, entries[0].device), (own(PROVIDER), Device([0, 0, 0, 7])));
    let digests = page(&mut world, id, 256, "", "digests").entries;
    let content = Content::OffLedger { sha256: Digest::of(&[1; 128]), length: 128 };
    assert_eq!((digests.len(), &digests[0].content), (4, &content));

    let tables = |world: &mut World, analyst: Digest, provider: &str| -> Vec<SharedTable> {
        let analyst = analyst.to_string();
        let args = [analyst.as_str(), provider, "10", ""].map(str::as_bytes);
        let page: Page<SharedTable> =
            serde_json::from_slice(&world.call(9, "tables", &args).unwrap()).unwrap();
        page.entries
    };
    assert_eq!(tables(&mut world, own(ANALYST), ""), [table()]);
    assert_eq!(tables(&mut world, own(ANALYST), &own(PROVIDER).to_string()), [table()]);
    assert_eq!(tables(&mut world, own(ANALYST), &own(3).to_string()), []);
    assert_eq!(tables(&mut world, own(PROVIDER), ""), [], "they are the analyst's");
}

#[test]
fn a_row_is_written_once_and_again_is_success() {
    let (mut world, id) = announced();
    assert_eq!(world.call(PROVIDER, "announce", &[&bytes(&table())]), Err(Code::AlreadySame));
    share(&mut world, PROVIDER, id, &[row(0, 1), row(1, 2)]).unwrap();
    let before = world.committed.clone();
    assert_eq!(share(&mut world, PROVIDER, id, &[row(0, 1), row(1, 2)]).unwrap_err().0, Code::AlreadySame);
    let (code, detail) = share(&mut world, PROVIDER, id, &[row(0, 1), row(1, 9), row(2, 3)]).unwrap_err();
    assert!(code == Code::AlreadyDifferent && detail.starts_with("row 1 "), "{detail}");
    assert_eq!(world.committed, before);
    share(&mut world, PROVIDER, id, &[row(1, 2), row(2, 3)]).unwrap();
    assert_eq!(world.committed.len(), before.len() + 1, "what is missing is written");
}

#[test]
fn nobody_posts_in_anothers_name() {
    let (mut world, id) = announced();
    let (code, detail) = share(&mut world, 3, id, &[row(0, 1)]).unwrap_err();
    assert_eq!(code, Code::WrongCaller);
    assert!(detail.contains(&own(PROVIDER).to_string()) && detail.contains(&own(3).to_string()), "{detail}");
    assert_eq!(world.call(3, "announce", &[&bytes(&table())]), Err(Code::WrongCaller));
    let renewed = caller(PROVIDER, "b");
    assert_eq!(world.call_as(&renewed, "announce", &[&bytes(&table())]), Err(Code::WrongCaller));
    let other_name = SharedTable { msp_id: "Org3MSP".parse().unwrap(), ..table() };
    assert_eq!(world.call(PROVIDER, "announce", &[&bytes(&other_name)]), Err(Code::WrongCaller));
}

#[test]
fn a_key_is_published_once_and_checked() {
    let mut world = World::default();
    let publish = |world: &mut World, modulus: &Modulus| {
        let refused = world.try_as(&caller(ANALYST, "a"), "publish-key", &[&bytes(modulus)]);
        refused.map(drop).map_err(|r| (r.code, r.detail))
    };
    let code = |result: Result<(), (Code, String)>| result.unwrap_err().0;
    publish(&mut world, &modulus(2048)).unwrap();
    assert_eq!(code(publish(&mut world, &modulus(2048))), Code::AlreadySame);
    let consent = Modulus { insecure_key_bits: true, ..modulus(2048) };
    assert_eq!(code(publish(&mut world, &consent)), Code::AlreadyDifferent);
    publish(&mut world, &modulus(256)).unwrap();
    let mut even = modulus(2048);
    even.n.0[255] = 0x80;
    let mut three = modulus(2048);
    three.n.0[255] = 0x83;
    let mut short = modulus(2048);
    short.n.0[0] = 1;
    let silent = Modulus { insecure_key_bits: false, ..modulus(256) };
    for wrong in [even, three, short, silent, modulus(8192), modulus(0), modulus(200)] {
        assert_eq!(code(publish(&mut world, &wrong)), Code::BadInput);
    }
    let analyst = own(ANALYST).to_string();
    for args in [vec![], vec![analyst.as_bytes()]] {
        let keys: Page<AnalystKey> =
            serde_json::from_slice(&world.call(9, "analyst-keys", &args).unwrap()).unwrap();
        let keys = keys.entries;
        assert!(keys.len() == 2 && keys.iter().all(|key| key.msp_id == "Org1MSP" && key.published == 1_000));
    }
    let none = world.call(9, "analyst-keys", &[own(PROVIDER).to_string().as_bytes()]).unwrap();
    assert_eq!(none, br#"{"entries":[],"bookmark":""}"#);
}

#[test]
fn tables_and_rows_that_do_not_fit_are_refused() {
    let (mut world, id) = announced();
    let mut announce = |change: fn(&mut SharedTable)| {
        let mut table = SharedTable { nonce: Bytes(vec![4; 16]), ..table() };
        change(&mut table);
        world.call(PROVIDER, "announce", &[&bytes(&table)]).map(drop)
    };
    assert_eq!(announce(|t| t.key_bits = 512), Err(Code::BadInput), "the key has 256");
    assert_eq!(announce(|t| t.key = Fingerprint(Digest::of(b""))), Err(Code::UnknownKey));
    assert_eq!(announce(|t| t.analyst = own(3)), Err(Code::UnknownKey), "it is another analyst's");
    let wrong: [fn(&mut SharedTable); 13] = [
        |t| t.version = 2,
        |t| t.columns.clear(),
        |t| t.columns[0] = String::new(),
        |t| t.columns[0] = "x".repeat(257),
        |t| t.columns[0] = "\u{1b}[2J".into(),
        |t| t.classes.as_mut().unwrap().positive = "yes\n".into(),
        |t| t.columns[0] = "pulse".into(),
        |t| t.columns[0] = "ill".into(),
        |t| t.classes.as_mut().unwrap().negative = "yes".into(),
        |t| t.rows = 0,
        |t| t.rows = u32::MAX,
        |t| t.nonce = Bytes(vec![4; 15]),
        |t| t.columns = (0..3 * MAX_INLINE_BYTES / 64 + 1).map(|i| format!("c{i}")).collect(),
    ];
    for (index, change) in wrong.into_iter().enumerate() {
        assert_eq!(announce(change), Err(Code::BadInput), "{index}");
    }

    let code = |world: &mut World, rows: &[Row]| share(world, PROVIDER, id, rows).unwrap_err().0;
    assert_eq!(code(&mut world, &[]), Code::BadInput);
    assert_eq!(code(&mut world, &[row(5, 1)]), Code::BadInput, "the table has five");
    assert_eq!(code(&mut world, &[row(1, 1), row(0, 1)]), Code::BadInput);
    assert_eq!(code(&mut world, &[row(0, 1), row(0, 1)]), Code::BadInput);
    let short = Row { row: 0, content: Content::Ciphertext(Bytes(vec![1; 127])) };
    assert_eq!(code(&mut world, &[short]), Code::BadInput);
    let elsewhere = Row { row: 0, content: Content::OffLedger { sha256: Digest::of(b""), length: 128 } };
    assert_eq!(code(&mut world, std::slice::from_ref(&elsewhere)), Code::BadInput);
    assert_eq!(share(&mut world, PROVIDER, Digest::of(b"x"), &[row(0, 1)]).unwrap_err().0, Code::NotYet);

    let off_ledger = SharedTable { off_ledger: true, ..table() };
    world.call(PROVIDER, "announce", &[&bytes(&off_ledger)]).unwrap();
    let share =
        |world: &mut World, row: &Row| share(world, PROVIDER, off_ledger.id(), std::slice::from_ref(row));
    share(&mut world, &elsewhere).unwrap();
    assert_eq!(share(&mut world, &row(1, 1)).unwrap_err().0, Code::BadInput);
    let long = Row { row: 1, content: Content::OffLedger { sha256: Digest::of(b""), length: 129 } };
    assert_eq!(share(&mut world, &long).unwrap_err().0, Code::BadInput);
}

#[test]
fn unknown_fields_are_refused() {
    let (mut world, id) = announced();
    let with = |value: Value| {
        let mut value = value;
        value["colour"] = json!("red");
        value
    };
    assert_eq!(
        world.call(ANALYST, "publish-key", &[&bytes(&with(json!(modulus(256))))]),
        Err(Code::BadInput)
    );
    assert_eq!(world.call(PROVIDER, "announce", &[&bytes(&with(json!(table())))]), Err(Code::BadInput));
    let [analyst, provider, id] = [own(ANALYST), own(PROVIDER), id].map(|d| d.to_string());
    let rows = bytes(&[with(json!(row(0, 1)))]);
    let args: [&[u8]; 4] = [analyst.as_bytes(), provider.as_bytes(), id.as_bytes(), &rows];
    assert_eq!(world.call(PROVIDER, "share", &args), Err(Code::BadInput));
}

mod foreign_bytes {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn never_panic(
            function in prop::sample::select(vec!["publish-key", "analyst-keys", "announce", "share", "tables", "instances"]),
            args in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..6),
            own_table in any::<bool>(),
        ) {
            let (mut world, id) = announced();
            let own = [own(ANALYST), own(PROVIDER), id].map(|d| d.to_string());
            let mut args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
            if own_table {
                args.iter_mut().zip(&own).for_each(|(arg, own)| *arg = own.as_bytes());
            }
            let _ = world.call(PROVIDER, function, &args);
        }
    }
}
