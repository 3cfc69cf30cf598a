//! Sharing encrypted rows on both ledgers: two providers, one analyst, and an organisation that is not meant.

use crate::fixture::{Ledger, On, program, submit};
use crate::harness::{Test, test};
use experiment::Participants;
use gateway_client::{Call, TxValidationCode};
use node::{
    config::Config,
    instances::{AnalystKeys, Sharing, SharingError},
};
use num_bigint::{BigInt, BigUint};
use paillier::{Ciphertext, Encryptor, PrivateKey, Randomness};
use records::{AnalystKey, Bytes, Code, Content, Device, Digest, Instance, Row, SharedTable, VERSION, key};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

pub const TESTS: &[Test] = &[test!(sharing on Dev, Fabric, Fabric2_5)];

const BITS: &str = "256";
const PATIENCE: Duration = Duration::from_secs(60);
/// Organisations by their number.
const CLINIC: usize = 0;
const LAB: usize = 1;
const ANALYST: usize = 2;
const OTHER: usize = 3;

async fn sharing(on: On) {
    let ledger = Ledger::start(on, 4).await;
    let dir = ledger.network.dir.join("tables");
    fs::create_dir_all(&dir).unwrap();
    let parties = Parties { nodes: ledger.participants("sharing", 4), dir };
    let key = a_key_is_published_once(&parties).await;
    let (small, wide) = two_providers_share(&parties);
    the_analyst_gets_the_rows(&parties, &small, &wide);
    others_get_nothing(&parties, &key).await;
    changed_and_missing_files_are_named(&parties, &wide);
    an_interrupted_upload_goes_on(&ledger, &parties).await;
    what_is_no_row_under_the_key_is_named(&ledger, &parties, &key).await;
    nobody_posts_in_anothers_name(&ledger, &parties, &key, &small.id).await;
}

struct Parties {
    nodes: Participants,
    dir: PathBuf,
}

impl Parties {
    fn config(&self, org: usize) -> Config {
        Config::load(&self.nodes.configs[org]).unwrap()
    }

    fn sharing(&self, org: usize) -> Sharing {
        Sharing::connect(&self.config(org)).unwrap()
    }

    fn command(&self, org: usize, args: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.arg("instances").args(args).arg("--config").arg(&self.nodes.configs[org]);
        command.stdin(Stdio::null());
        command
    }

    fn output(&self, org: usize, args: &[&str]) -> Output {
        self.command(org, args).output().unwrap()
    }

    /// What a command that must succeed writes as JSON.
    fn ok(&self, org: usize, args: &[&str]) -> Value {
        let output = self.output(org, &[args, &["--json", "-"]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {said}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What a command writes as soon as the organisation's peer has heard of what others did.
    fn until(&self, org: usize, args: &[&str], heard: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let found = self.ok(org, args);
            if heard(&found) {
                return found;
            }
            assert!(start.elapsed() < PATIENCE, "{args:?}: {found}");
        }
    }

    /// The one line of error of a command that must fail.
    fn error(&self, org: usize, args: &[&str]) -> String {
        let output = self.output(org, args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && !said.contains("panicked"), "{args:?}: {said}");
        let mut errors = said.lines().filter(|line| line.starts_with("error: "));
        let error = errors.next().unwrap_or_else(|| panic!("{args:?}: no error in {said}"));
        assert_eq!(errors.next(), None, "{said}");
        error.to_owned()
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.dir.join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }
}

fn assert_says(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in {error:?}");
    }
}

async fn a_key_is_published_once(parties: &Parties) -> AnalystKey {
    let table = parties.file("tiny.csv", "age\n1\n2\n");
    let share = ["share", "--to", "Org3MSP", "--data", &table];
    assert_says(&parties.error(CLINIC, &share), &["no analyst `Org3MSP`", "nobody has"]);
    assert_says(&parties.error(ANALYST, &["key", "--key-bits", BITS]), &["--insecure-key-bits"]);
    let make = ["key", "--key-bits", BITS, "--insecure-key-bits"];
    let keys = parties.ok(ANALYST, &make);
    assert_eq!((keys.as_array().unwrap().len(), &keys[0]["msp_id"]), (1, &Value::from("Org3MSP")));
    assert_eq!(parties.ok(ANALYST, &make), keys, "published once");
    for org in [CLINIC, LAB] {
        parties.until(org, &["analysts"], |found| *found == keys);
    }
    assert_says(&parties.error(CLINIC, &share), &["256 bits", "--insecure-key-bits"]);
    let published = parties.sharing(CLINIC).key_of("Org3MSP", None).await.unwrap();
    assert_eq!(published.analyst.to_string(), keys[0]["address"]);
    assert_eq!(published.analyst, parties.sharing(ANALYST).address());
    published
}

struct Shared {
    id: String,
    /// What the analyst is to get.
    csv: String,
}

/// A clinic's small table, with identifiers, labels and gaps, and a laboratory's with so many columns that it does not lie
/// on the ledger.
fn two_providers_share(parties: &Parties) -> (Shared, Shared) {
    let rows = ["50,?,yes", "-0.125,80.5,no", "1234567.890123456,0,yes", "61,,no", "0.000000001,1e3,no"];
    let text: String = rows.iter().enumerate().map(|(i, row)| format!("p{i},{row}\n")).collect();
    let table = parties.file("clinic.csv", &format!("patient,age,pulse,ill\n{text}"));
    let to = ["share", "--to", "Org3MSP", "--insecure-key-bits"];
    let of =
        ["--data", &table, "--id", "patient", "--label", "ill", "--positive", "yes", "--device", "0000002a"];
    let small = parties.ok(CLINIC, &[&to[..], &of].concat());
    assert_eq!((&small["rows"], &small["already"], &small["ciphertexts"]), (&5.into(), &0.into(), &1.into()));
    assert_eq!((&small["off_ledger"], &small["rounded"]), (&false.into(), &0.into()));
    let again = parties.ok(CLINIC, &[&to[..], &of].concat());
    assert_eq!((&again["table"], &again["already"]), (&small["table"], &5.into()));
    let csv =
        "age,pulse,ill\n50,?,yes\n-0.125,80.5,no\n1234567.890123456,0,yes\n61,?,no\n0.000000001,1000,no\n";
    let small = Shared { id: small["table"].as_str().unwrap().into(), csv: csv.into() };

    let broken = parties.file("broken.csv", "age,pulse\n50,60\n51,fast\n52,61\n");
    assert_says(
        &parties.error(LAB, &[&to[..], &["--data", &broken]].concat()),
        &["line 3", "`pulse`", "number"],
    );
    let large = parties.file("large.csv", "age,pulse\n50,60\n51,1e10\n52,61\n");
    assert_says(
        &parties.error(LAB, &[&to[..], &["--data", &large]].concat()),
        &["line 3", "`pulse`", "large"],
    );

    let names: Vec<String> = (0..400).map(|column| format!("gene{column}")).collect();
    let mut csv = names.join(",") + "\n";
    for row in 0..7 {
        let cells: Vec<String> =
            (0..400).map(|column| (f64::from(row * column) / -8.0).to_string()).collect();
        writeln!(csv, "{}", cells.join(",").replace("-0,", "0,")).unwrap();
    }
    let csv = csv.replace("-0\n", "0\n");
    let table = parties.file("lab.csv", &csv);
    let address = parties.ok(LAB, &["analysts"])[0]["address"].as_str().unwrap()[..10].to_owned();
    let to = ["share", "--to", &address, "--insecure-key-bits", "--data", &table];
    assert_says(&parties.error(LAB, &to), &["8576 bytes", "--blobs"]);
    let wide = parties.ok(LAB, &[&to[..], &["--blobs", &parties.path("blobs")]].concat());
    assert_eq!(
        (&wide["off_ledger"], &wide["rows"], &wide["ciphertexts"]),
        (&true.into(), &7.into(), &134.into())
    );
    assert_eq!(fs::read_dir(parties.path("blobs")).unwrap().count(), 7);
    (small, Shared { id: wide["table"].as_str().unwrap().into(), csv })
}

fn the_analyst_gets_the_rows(parties: &Parties, small: &Shared, wide: &Shared) {
    let present = |listed: &Value| -> u64 {
        listed.as_array().unwrap().iter().map(|table| table["present"].as_u64().unwrap()).sum()
    };
    let listed = parties.until(ANALYST, &["list"], |listed| present(listed) == 12);
    let mut found: Vec<(&str, &str, u64)> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|t| {
            let present = t["present"].as_u64().unwrap();
            (t["msp_id"].as_str().unwrap(), t["table"].as_str().unwrap(), present)
        })
        .collect();
    found.sort_unstable();
    assert_eq!(found, [("Org1MSP", &small.id[..], 5), ("Org2MSP", &wide.id, 7)]);
    let people = parties.output(ANALYST, &["list"]).stdout;
    assert_says(
        &String::from_utf8(people).unwrap(),
        &["columns gene0, gene1,", "gene11 and 388 more", "ill: yes or no"],
    );
    assert_eq!(parties.ok(CLINIC, &["list", "--to", "Org3MSP"]).as_array().unwrap().len(), 1);

    let (out, blobs) = (parties.path("out"), parties.path("blobs"));
    let without = parties.error(ANALYST, &["fetch", "--out", &out]);
    assert_says(&without, &["--blobs"]);
    let collected = parties.ok(ANALYST, &["fetch", "--out", &out, "--blobs", &blobs]);
    assert_eq!(collected.as_array().unwrap().len(), 2);
    for one in collected.as_array().unwrap() {
        let want = if one["table"] == small.id { small } else { wide };
        assert_eq!(fs::read_to_string(one["file"].as_str().unwrap()).unwrap(), want.csv);
        assert_eq!(one["rows"], one["of"]);
    }
    assert_eq!(fs::read_dir(&out).unwrap().count(), 2);

    // What an earlier fetch left is replaced; anything else is not.
    let file = collected[0]["file"].as_str().unwrap();
    let whole = fs::read_to_string(file).unwrap();
    fs::write(file, whole.replacen(',', ";", 1)).unwrap();
    let again = ["fetch", "--out", &out, "--blobs", &blobs];
    assert_says(&parties.error(ANALYST, &again), &[file, "--force"]);
    parties.ok(ANALYST, &["fetch", "--force", "--out", &out, "--blobs", &blobs]);
    assert_eq!(fs::read_to_string(file).unwrap(), whole);
    fs::write(file, &whole[..whole.len() / 2]).unwrap();
    parties.ok(ANALYST, &again);
    assert_eq!(fs::read_to_string(file).unwrap(), whole);
}

/// The ledger shows others that tables are shared, and with whom; no row.
async fn others_get_nothing(parties: &Parties, key: &AnalystKey) {
    assert_eq!(parties.ok(OTHER, &["list"]), Value::Array(Vec::new()));
    assert_says(&parties.error(OTHER, &["fetch", "--out", &parties.path("stolen")]), &["no such table"]);
    let other = parties.sharing(OTHER);
    let keys = AnalystKeys::open(&parties.config(OTHER));
    parties.ok(OTHER, &["key", "--key-bits", BITS, "--insecure-key-bits"]);
    let tables = async {
        loop {
            let tables = other.tables(&key.analyst, None).await.unwrap();
            if tables.len() >= 2 {
                return tables;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let tables = tokio::time::timeout(PATIENCE, tables).await.expect("both tables are seen");
    for table in tables {
        let place = parties.path("stolen");
        let stolen = other.collect(&table, &keys, None, (Path::new(&place), false), |_, _| {}).await;
        assert!(matches!(stolen, Err(SharingError::NoSecret { .. })), "{stolen:?}");
    }
    assert!(!parties.dir.join("stolen").exists());
}

fn changed_and_missing_files_are_named(parties: &Parties, wide: &Shared) {
    let (out, blobs) = (parties.path("out-2"), parties.path("blobs"));
    let fetch = ["fetch", "--out", &out, "--blobs", &blobs, "--table", &wide.id[..16]];
    let blob = fs::read_dir(&blobs).unwrap().next().unwrap().unwrap().path();
    let name = blob.file_name().unwrap().to_str().unwrap().to_owned();
    let good = fs::read(&blob).unwrap();
    let mut changed = good.clone();
    changed[100] ^= 1;
    for (content, says) in [(changed, "was changed"), (good[1..].to_vec(), "8575 bytes")] {
        fs::write(&blob, content).unwrap();
        assert_says(&parties.error(ANALYST, &fetch), &["row ", "Org2MSP", &wide.id, &name, says]);
    }
    let share = ["share", "--to", "Org3MSP", "--insecure-key-bits", "--blobs", &blobs, "--data"];
    let again = || parties.ok(LAB, &[&share[..], &[&parties.path("lab.csv")]].concat());
    assert_eq!(again()["already"], 7);
    assert_eq!(fs::read(&blob).unwrap(), good, "the provider's command makes it again");
    fs::remove_file(&blob).unwrap();
    assert_says(&parties.error(ANALYST, &fetch), &[&name, "is missing"]);
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0, "nothing is written of such a table");
    again();
    assert_eq!(parties.ok(ANALYST, &fetch)[0]["rows"], 7);
}

/// Every row's record with its writes, from the blocks.
async fn written(ledger: &Ledger, table: &str) -> BTreeMap<u32, Instance> {
    let mut rows = BTreeMap::new();
    for block in ledger.blocks(0).await {
        let valid = block.transactions.iter().filter(|t| t.validation_code == TxValidationCode::Valid);
        for write in valid.flat_map(|t| &t.writes).filter(|w| key::object_type(&w.key) == Some(key::INSTANCE))
        {
            let instance: Instance = serde_json::from_slice(&write.value).unwrap();
            if instance.table.to_string() == table {
                assert_eq!(rows.insert(instance.row, instance), None, "a row was written twice");
            }
        }
    }
    rows
}

async fn an_interrupted_upload_goes_on(ledger: &Ledger, parties: &Parties) {
    const ROWS: u32 = 8000;
    let mut csv = String::from("a,b\n");
    for row in 0..ROWS {
        writeln!(csv, "{row},-{row}.5").unwrap();
    }
    let table = parties.file("long.csv", &csv);
    let args = ["share", "--to", "Org3MSP", "--insecure-key-bits", "--data", &table];
    let mut child =
        parties.command(CLINIC, &args).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let (clinic, analyst) = (parties.sharing(CLINIC), parties.sharing(ANALYST).address());
    let frame = 'found: loop {
        for frame in clinic.tables(&analyst, Some(&clinic.address())).await.unwrap() {
            if frame.rows == ROWS && !clinic.rows(&frame).await.unwrap().is_empty() {
                break 'found frame;
            }
        }
        assert_eq!(child.try_wait().unwrap(), None, "it ended before a row was there");
    };
    child.kill().unwrap();
    child.wait().unwrap();
    let id = frame.id().to_string();
    let part = written(ledger, &id).await;
    assert!(!part.is_empty() && part.len() < ROWS as usize, "{} rows when it was killed", part.len());

    let provided = parties.ok(CLINIC, &args);
    assert_eq!((&provided["table"], &provided["rows"]), (&Value::from(&*id), &ROWS.into()));
    let all = written(ledger, &id).await;
    assert_eq!(all.len(), ROWS as usize);
    assert!(part.iter().all(|(row, instance)| all[row] == *instance));
    assert_eq!(parties.ok(CLINIC, &args)["already"], ROWS);
    assert_eq!(written(ledger, &id).await, all);

    let fetch = ["fetch", "--out", &parties.path("out"), "--table", &id];
    let fetched = parties.until(ANALYST, &fetch, |fetched| fetched[0]["rows"] == ROWS);
    assert_eq!(fs::read_to_string(fetched[0]["file"].as_str().unwrap()).unwrap(), csv);
}

/// A table of one column and one row of the clinic's, whose content it makes itself.
async fn forge(ledger: &Ledger, parties: &Parties, key: &AnalystKey, content: Vec<u8>) -> SharedTable {
    let table = SharedTable {
        version: VERSION,
        provider: parties.sharing(CLINIC).address(),
        msp_id: "Org1MSP".parse().unwrap(),
        analyst: key.analyst,
        key: key.modulus.fingerprint(),
        key_bits: key.modulus.bits(),
        device: Device::default(),
        columns: vec!["age".into()],
        classes: None,
        rows: 1,
        off_ledger: false,
        nonce: Bytes(Digest::of(&content).bytes()[..16].to_vec()),
    };
    let contract = ledger.contract(CLINIC);
    submit(&contract, Call::new("announce").arg(serde_json::to_vec(&table).unwrap())).await;
    submit(&contract, share(&table, Content::Ciphertext(Bytes(content)))).await;
    table
}

fn share(table: &SharedTable, content: Content) -> Call {
    Call::new("share")
        .arg(table.analyst.to_string())
        .arg(table.provider.to_string())
        .arg(table.id().to_string())
        .arg(serde_json::to_vec(&[Row { row: 0, content }]).unwrap())
}

async fn what_is_no_row_under_the_key_is_named(ledger: &Ledger, parties: &Parties, key: &AnalystKey) {
    let mut rng = node::os_rng();
    let n = BigUint::from_bytes_be(&key.modulus.n.0);
    let own = Encryptor::new(&paillier::EncryptionKey::new(&n).unwrap(), Randomness::Short);
    // Of two keys of a length every other ciphertext of the one has the form of the other's.
    let foreign = loop {
        let other = PrivateKey::generate(256, &mut rng).unwrap();
        let encryptor = Encryptor::new(other.public(), Randomness::Short);
        let bytes = encryptor.encrypt(&[BigInt::from(7)], &mut rng).unwrap()[0].to_bytes(other.public());
        if Ciphertext::from_bytes(own.key(), &bytes).is_ok() {
            break bytes;
        }
    };
    let beyond = BigInt::from(3) << 100u32;
    let behind = own.encrypt(&[beyond], &mut rng).unwrap()[0].to_bytes(own.key());
    // What has a factor in common with N: the analyst's file knows one.
    let file = fs::read_dir(parties.config(ANALYST).data_dir.join("analyst-keys")).unwrap().next().unwrap();
    let secret: Value = serde_json::from_slice(&fs::read(file.unwrap().path()).unwrap()).unwrap();
    let p: Bytes = serde_json::from_value(secret["p"].clone()).unwrap();
    let not_unit = [vec![0; 64 - p.0.len()], p.0].concat();
    for (content, says) in [
        (foreign, "no row under the key"),
        (behind, "behind its last value"),
        (not_unit, "not coprime to N"),
        (vec![0; 64], "0 or 1"),
        (vec![0xff; 64], "not below N²"),
    ] {
        let table = forge(ledger, parties, key, content).await;
        let id = table.id().to_string();
        let present = |listed: &Value| {
            listed.as_array().unwrap().iter().any(|table| table["table"] == id && table["present"] == 1)
        };
        parties.until(ANALYST, &["list"], present);
        let error = parties.error(ANALYST, &["fetch", "--out", &parties.path("forged"), "--table", &id]);
        assert_says(&error, &["row 0", &id, "Org1MSP", &key.modulus.fingerprint().to_string(), says]);
    }
    assert_eq!(fs::read_dir(parties.path("forged")).unwrap().count(), 0);
}

async fn nobody_posts_in_anothers_name(ledger: &Ledger, parties: &Parties, key: &AnalystKey, id: &str) {
    let clinic = parties.sharing(CLINIC);
    let tables = clinic.tables(&key.analyst, Some(&clinic.address())).await.unwrap();
    let table = tables.iter().find(|table| table.id().to_string() == id).unwrap();
    let content = Content::Ciphertext(Bytes(vec![1; table.row_bytes() as usize]));
    let announce = Call::new("announce").arg(serde_json::to_vec(table).unwrap());
    for call in [share(table, content.clone()), announce] {
        let failure = ledger.contract(OTHER).propose(call).unwrap().endorse().await.unwrap_err();
        let refusal = failure.refusal().unwrap_or_else(|| panic!("{failure}"));
        assert_eq!(refusal.code, Code::WrongCaller.as_str());
        let other = parties.sharing(OTHER).address();
        assert_says(&refusal.detail, &[&clinic.address().to_string(), &other.to_string()]);
    }
    // Nor does the owner change a row.
    let failure =
        ledger.contract(CLINIC).propose(share(table, content)).unwrap().endorse().await.unwrap_err();
    assert_eq!(failure.refusal().unwrap().code, Code::AlreadyDifferent.as_str());
}
