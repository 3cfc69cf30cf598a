//! One suite against both ledgers: a real Fabric network of three organisations on this machine, and the
//! development ledger.
//!
//! Real Fabric is skipped, loudly, where its programs are not found.

#[path = "common/words.rs"]
mod words;

use gateway_client::{
    Block, Call, Checkpoint, Contract, Error, Failure, Gateway, Kind, Network, Options, Outcome, Retries,
    Submitter, Transaction, TxValidationCode,
};
use launcher::ledger::LedgerCommand;
use launcher::{ChaincodeCommand, fabric, ledger};
use shim::{Response, Server, Stub, StubError, Tls};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{env, fs};

const WITHIN: Duration = Duration::from_secs(60);

/// A contract that refuses.
struct KeyValue;

impl KeyValue {
    fn answer(stub: &Stub) -> Result<Response, StubError> {
        let refuse = |code, detail: &str| Ok(Response::error(words::refusal(code, detail)));
        match stub.function()? {
            "get" => Ok(Response::ok(stub.get_state(stub.arg_str(1)?)?.unwrap_or_default())),
            // Key, value and, if there is a third, a key that must be there before.
            "put" => {
                let key = stub.arg_str(1)?;
                if stub.params().len() > 2 && stub.get_state(stub.arg_str(3)?)?.is_none() {
                    return refuse(words::NOT_YET, stub.arg_str(3)?);
                }
                match stub.get_state(key)? {
                    Some(old) if old == stub.params()[1] => return refuse(words::SAME, key),
                    Some(_) => return refuse(words::OTHER, key),
                    None => {}
                }
                stub.put_state(key, stub.params()[1].clone())?;
                stub.set_event("put", key)?;
                Ok(Response::ok(stub.tx_id()))
            }
            // Reads, appends, writes: two at once conflict.
            "append" => {
                let mut value = stub.get_state(stub.arg_str(1)?)?.unwrap_or_default();
                value.extend(&stub.params()[1]);
                stub.put_state(stub.arg_str(1)?, value.clone())?;
                Ok(Response::ok(value))
            }
            // Key, and milliseconds that it takes.
            "slow" => {
                let milliseconds = stub.arg_str(2)?.parse().unwrap_or_default();
                std::thread::sleep(Duration::from_millis(milliseconds));
                stub.put_state(stub.arg_str(1)?, "done")?;
                Ok(Response::ok("done"))
            }
            "reveal" => {
                stub.put_state(stub.arg_str(1)?, "revealed")?;
                Ok(Response::ok(stub.transient().get("secret").cloned().unwrap_or_default()))
            }
            other => refuse(words::BAD_INPUT, other),
        }
    }
}

impl shim::Contract for KeyValue {
    fn invoke(&self, stub: &Stub) -> Response {
        Self::answer(stub).unwrap_or_else(Response::error)
    }
}

/// Not a test: the chaincode service of one organisation, which the launcher starts from this binary.
#[tokio::test]
#[ignore = "the chaincode service of the other tests"]
async fn chaincode_service() {
    let Ok(package_id) = env::var("CHAINCODE_ID") else { return };
    let address = env::var("CHAINCODE_SERVER_ADDRESS").expect("the launcher says where to listen");
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let mut server = Server::builder(KeyValue).package_id(package_id);
    if let (Ok(cert), Ok(key)) = (env::var("CHAINCODE_TLS_CERT"), env::var("CHAINCODE_TLS_KEY")) {
        server = server.tls(Tls::new(fs::read(cert).unwrap(), fs::read(key).unwrap()));
    }
    server.serve(listener, std::future::pending()).await.unwrap();
}

/// Not a test: the development ledger, which the launcher starts from this binary in the network's folder.
#[tokio::test]
#[ignore = "the development ledger of the other tests"]
async fn ledger_service() {
    let Ok(network) = launcher::Network::load(".".as_ref()) else { return };
    let config = launcher::ledger::config(&network).unwrap();
    let _running = dev_ledger::serve(config).await.unwrap();
    std::future::pending::<()>().await;
}

/// A network that is taken down when the test ends, however it ends.
struct Ledger {
    launched: launcher::Network,
    dir: tempfile::TempDir,
}

impl Drop for Ledger {
    fn drop(&mut self) {
        let _ = launcher::down(self.dir.path(), true);
    }
}

impl Ledger {
    async fn start(kind: launcher::Kind) -> Option<Self> {
        Self::start_with(kind, None).await
    }

    async fn start_with(kind: launcher::Kind, endorsement_timeout: Option<Duration>) -> Option<Self> {
        if kind == launcher::Kind::Fabric
            && let Err(error) = launcher::Binaries::find()
        {
            eprintln!("SKIPPED: gateway-client: real Fabric not found; set FABRIC_HOME ({error})");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let program = env::current_exe().unwrap();
        let args = |name: &str| [name, "--exact", "--ignored", "--nocapture"].map(String::from).to_vec();
        let chaincode = ChaincodeCommand { program: program.clone(), args: args("chaincode_service") };
        let mut options = launcher::Options::new(dir.path(), 3, chaincode);
        options.endorsement_timeout = endorsement_timeout;
        options.probe = ["append", "probe", "."].map(String::from).to_vec();
        let progress = &mut |step: &str| eprintln!("{step}");
        let launched = match kind {
            launcher::Kind::Fabric => fabric::up(&options, progress).await,
            launcher::Kind::Dev => {
                let command = LedgerCommand { program, args: args("ledger_service") };
                ledger::up(&options, &command, progress).await
            }
        };
        Some(Self { launched: launched.unwrap(), dir })
    }

    /// Organisation 1, 2 or 3's own view.
    fn network(&self, org: usize) -> Network {
        let profile = self.launched.path(&self.launched.orgs[org - 1].profile);
        network(&profile, &self.launched.channel)
    }

    fn contract(&self, org: usize) -> Contract {
        self.network(org).contract(&self.launched.chaincode.name)
    }
}

fn network(profile: &Path, channel: &str) -> Network {
    Gateway::from_profile(profile, None, words::options()).unwrap().network(channel)
}

fn put(key: &str, value: &str) -> Call {
    Call::new("put").arg(key).arg(value)
}

fn submitter(contract: &Contract) -> Submitter {
    contract.submitter()
}

#[tokio::test(flavor = "multi_thread")]
async fn real_fabric() {
    let Some(ledger) = Ledger::start(launcher::Kind::Fabric).await else { return };
    suite(&ledger).await;
    for process in ["chaincode-org1", "peer-org1", "orderer"] {
        a_killed_process_is_waited_for(&ledger, process).await;
    }
    a_frozen_peer_is_waited_for(&ledger, "peer-org1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn development_ledger() {
    let ledger = Ledger::start(launcher::Kind::Dev).await.unwrap();
    suite(&ledger).await;
    for process in ["chaincode-org1", "ledger"] {
        a_killed_process_is_waited_for(&ledger, process).await;
    }
    a_frozen_peer_is_waited_for(&ledger, "ledger").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn real_fabric_waits_for_endorsements_as_long_as_is_said() {
    peers_wait_as_long_as_is_said(launcher::Kind::Fabric).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_development_ledger_waits_for_endorsements_as_long_as_is_said() {
    peers_wait_as_long_as_is_said(launcher::Kind::Dev).await;
}

/// Longer than a gateway waits for another peer, and shorter than the client for the gateway.
const SLOW: &str = "4500";

fn slow(key: &str, by: &str) -> Call {
    Call::new("slow").arg(key).arg(SLOW).organizations([by])
}

/// The gateway's own peer takes the time that it takes; the others have three seconds.
async fn a_slow_endorsement_of_the_own_peer_is_waited_for(ledger: &Ledger) {
    let contract = ledger.contract(1);
    let patient = Options { evaluate: Duration::from_secs(30), ..Options::default() };
    let profile = ledger.launched.path(&ledger.launched.orgs[0].profile);
    let network = Gateway::from_profile(&profile, None, patient).unwrap().network(&ledger.launched.channel);
    let evaluated = network.contract(contract.name()).evaluate(slow("slow", "Org1MSP")).await;
    assert_eq!(evaluated.unwrap(), b"done");
    let own = contract.propose(slow("slow", "Org1MSP")).unwrap().endorse().await.unwrap();
    assert_eq!(own.result(), b"done");
    let error = contract.propose(slow("slow", "Org2MSP")).unwrap().endorse().await.unwrap_err();
    assert_eq!(error.call().unwrap().failure(), Failure::Unavailable, "{error}");
    assert!(error.to_string().contains("DeadlineExceeded"), "{error}");
}

async fn peers_wait_as_long_as_is_said(kind: launcher::Kind) {
    let Some(ledger) = Ledger::start_with(kind, Some(Duration::from_secs(20))).await else { return };
    let contract = ledger.contract(1);
    contract.propose(slow("slow", "Org2MSP")).unwrap().endorse().await.unwrap();
    // The client waits for as many as the gateway may have to ask, one after the other.
    let (answer, _) = contract.submit(Call::new("slow").arg("slower").arg("9000")).await.unwrap();
    assert_eq!(answer, b"done");
}

async fn suite(ledger: &Ledger) {
    put_and_read(ledger).await;
    a_slow_endorsement_of_the_own_peer_is_waited_for(ledger).await;
    refusals_are_typed(ledger).await;
    transient_data_stays_off_the_ledger(ledger).await;
    lag_is_waited_for(ledger).await;
    conflicts_are_endorsed_anew(ledger).await;
    a_kept_transaction_commits_once(ledger).await;
    blocks_verify_and_resume(ledger).await;
    events_resume(ledger).await;
    messages_of_megabytes_pass(ledger).await;
    latency(ledger).await;
}

async fn put_and_read(ledger: &Ledger) {
    let contract = ledger.contract(1);
    let (answer, status) = contract.submit(put("a", "1")).await.unwrap();
    assert_eq!(answer, status.transaction_id.as_bytes(), "the chaincode answered the transaction's id");
    assert_eq!(status.code, TxValidationCode::Valid);
    let tries = read_until(&contract, "a", b"1").await;
    eprintln!("read one's own write at try {tries}");
    // Asked again, by whoever knows the id.
    let again = ledger.network(1).commit(&status.transaction_id).status().await.unwrap();
    assert_eq!(again, status);
    assert!(ledger.network(1).height().await.unwrap() > status.block_number);
}

/// Reads until the value is there: a peer knows a transaction's verdict a moment before its state does.
async fn read_until(contract: &Contract, key: &str, value: &[u8]) -> usize {
    let start = Instant::now();
    let mut tries = 1;
    while contract.evaluate(Call::new("get").arg(key)).await.unwrap() != value {
        assert!(start.elapsed() < WITHIN, "{key} is still not there");
        tokio::time::sleep(Duration::from_millis(5)).await;
        tries += 1;
    }
    tries
}

async fn refusals_are_typed(ledger: &Ledger) {
    let contract = ledger.contract(1);
    let code = |error: Error| error.refusal().unwrap_or_else(|| panic!("{error}")).code.clone();
    assert_eq!(code(contract.submit(put("a", "1")).await.unwrap_err()), words::SAME);
    assert_eq!(code(contract.submit(put("a", "2")).await.unwrap_err()), words::OTHER);
    assert_eq!(code(contract.evaluate(Call::new("nonsense")).await.unwrap_err()), words::BAD_INPUT);
    let error = contract.submit(Call::new("nonsense").organizations(["Org2MSP"])).await.unwrap_err();
    let call = error.call().unwrap();
    assert_eq!((call.details.len(), call.details[0].msp_id.as_str()), (1, "Org2MSP"), "{error}");
    assert_eq!(call.transaction_id.len(), 64);

    let again = submitter(&contract).submit(put("a", "1"), WITHIN).await.unwrap();
    assert_eq!((again.outcome, again.retries), (Outcome::AlreadyThere, Retries::default()));
    let failure = submitter(&contract).submit(put("a", "2"), WITHIN).await.unwrap_err();
    assert!(failure.to_string().contains(words::OTHER), "{failure}");

    let nobody = ledger.network(1).contract("nobody").evaluate(Call::new("get")).await.unwrap_err();
    assert_eq!(nobody.call().unwrap().failure(), Failure::Unavailable, "not installed here: {nobody}");
}

async fn transient_data_stays_off_the_ledger(ledger: &Ledger) {
    let call = Call::new("reveal").arg("t").transient("secret", "off the record");
    let (answer, status) =
        ledger.contract(1).submit(call.organizations(["Org1MSP", "Org2MSP"])).await.unwrap();
    assert_eq!(answer, b"off the record", "endorsers saw it");
    let block = ledger.network(1).blocks(Checkpoint::at(status.block_number)).next().await.unwrap().unwrap();
    let found = block.transactions.iter().find(|t| t.transaction_id == status.transaction_id).unwrap();
    assert_eq!(found.args, [b"reveal".to_vec(), b"t".to_vec()]);
    let endorsers: BTreeSet<_> = found.endorsers.iter().map(|e| e.msp_id.as_str()).collect();
    assert_eq!(endorsers, ["Org1MSP", "Org2MSP"].into(), "those that were named");
}

/// Every organisation posts a round as soon as it has posted the one before, each needing what another
/// posted: the slower ones are waited for.
async fn lag_is_waited_for(ledger: &Ledger) {
    let rounds = 5;
    let posts = (1..=3).map(|org| {
        let submitter = submitter(&ledger.contract(org));
        tokio::spawn(async move {
            let mut retries = Retries::default();
            for round in 0..rounds {
                let call = put(&format!("r{round}-{org}"), "x");
                let call = match round {
                    0 => call,
                    _ => call.arg(format!("r{}-{}", round - 1, org % 3 + 1)),
                };
                retries += submitter.submit(call, WITHIN).await.unwrap().retries;
            }
            retries
        })
    });
    let posts: Vec<_> = posts.collect();
    let mut retries = Retries::default();
    for post in posts {
        retries += post.await.unwrap();
    }
    eprintln!("{rounds} rounds of 3 without waiting for each other: {retries:?}");

    // And where the wait is certain.
    let late = submitter(&ledger.contract(2));
    let late = tokio::spawn(async move { late.submit(put("late", "x").arg("early"), WITHIN).await.unwrap() });
    tokio::time::sleep(Duration::from_millis(300)).await;
    submitter(&ledger.contract(3)).submit(put("early", "x"), WITHIN).await.unwrap();
    let late = late.await.unwrap();
    assert!(late.retries.not_yet >= 3, "{:?}", late.retries);
}

async fn conflicts_are_endorsed_anew(ledger: &Ledger) {
    const EACH: usize = 4;
    let appends = (1..=3).map(|org| {
        let submitter = submitter(&ledger.contract(org));
        tokio::spawn(async move {
            let call = Call::new("append").arg("word").arg(org.to_string());
            let mut retries = Retries::default();
            for _ in 0..EACH {
                retries += submitter.submit(call.clone(), WITHIN).await.unwrap().retries;
            }
            retries
        })
    });
    let appends: Vec<_> = appends.collect();
    let mut retries = Retries::default();
    for append in appends {
        retries += append.await.unwrap();
    }
    eprintln!("{EACH} appends by each of three at once: {retries:?}");
    let start = Instant::now();
    loop {
        let mut word = ledger.contract(1).evaluate(Call::new("get").arg("word")).await.unwrap();
        word.sort();
        if word == [[b'1'; EACH], [b'2'; EACH], [b'3'; EACH]].concat() {
            break;
        }
        assert!(start.elapsed() < WITHIN, "each exactly as often as it was submitted, not {word:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(retries.mvcc + retries.mismatch > 0, "they did conflict");
}

/// A process that died after it kept the signed transaction, before or after it submitted it.
async fn a_kept_transaction_commits_once(ledger: &Ledger) {
    let network = ledger.network(1);
    let transaction = ledger.contract(1).propose(put("kept", "x")).unwrap().endorse().await.unwrap();
    let before = transaction.submit().await.unwrap().status().await.unwrap();
    let kept = transaction.to_bytes();

    // The same transaction again is in the chain twice but counts once.
    let again = Transaction::from_bytes(network.gateway(), &kept).unwrap();
    assert_eq!((again.id(), again.result()), (transaction.id(), transaction.result()));
    let after = again.submit().await.unwrap().status().await.unwrap();
    assert_eq!(after, before);
    assert_eq!(after.code, TxValidationCode::Valid);
}

async fn blocks_verify_and_resume(ledger: &Ledger) {
    let all = past(&ledger.network(1), Checkpoint::start()).await;
    assert_eq!(all[0].transactions[0].kind, Kind::Config);
    let (mut calls, mut invalid) = (0, 0);
    for block in &all {
        assert_eq!(block.number, all[block.number as usize].number);
        for transaction in &block.transactions {
            assert_eq!(transaction.defect, None);
            assert_eq!(transaction.channel, ledger.launched.channel);
            if transaction.kind == Kind::Chaincode {
                calls += 1;
                transaction.verify_signature().unwrap();
                transaction.verify_endorsements().unwrap();
            }
            invalid += usize::from(!transaction.is_valid());
        }
    }
    eprintln!("{} blocks, {calls} calls, {invalid} other or invalid transactions verified", all.len());
    let written: Vec<_> = all
        .iter()
        .flat_map(|block| &block.transactions)
        .filter(|transaction| transaction.is_valid())
        .filter(|transaction| {
            transaction.writes.iter().any(|w| w.key == "a" && w.value == b"1" && !w.is_delete)
        })
        .collect();
    let [written] = written.as_slice() else { panic!("{} transactions wrote it", written.len()) };
    assert_eq!((written.function(), written.creator.msp_id.as_str()), (Some("put"), "Org1MSP"));
    assert!(written.endorsers.len() >= 2);
    assert_eq!(
        written.event.as_ref().map(|e| (e.name.as_str(), e.payload.as_slice())),
        Some(("put", &b"a"[..]))
    );

    // The other organisations' peers have the same chain; a checkpoint goes on where it stands.
    let last = all.last().unwrap();
    let middle = &all[all.len() / 2];
    let id = &middle.transactions[0].transaction_id;
    for org in 2..=3 {
        let mut blocks = ledger.network(org).blocks(Checkpoint::after(middle.number, id));
        let mut block = blocks.next().await.unwrap().unwrap();
        assert_eq!((block.hash, block.seen), (middle.hash, 1));
        while block.number < last.number {
            block = blocks.next().await.unwrap().unwrap();
        }
        assert_eq!(block.hash, last.hash);
    }
    let nowhere = ledger.network(1).blocks(Checkpoint::after(middle.number, "nowhere")).next().await;
    assert!(matches!(nowhere, Some(Err(Error::Chain(_)))), "{nowhere:?}");
}

async fn past(network: &Network, from: Checkpoint) -> Vec<Block> {
    let mut stream = network.past_blocks(from);
    let mut blocks = Vec::new();
    while let Some(block) = stream.next().await {
        blocks.push(block.unwrap());
    }
    blocks
}

async fn events_resume(ledger: &Ledger) {
    let chaincode = &ledger.launched.chaincode.name;
    let network = ledger.network(2);
    let mut events = network.chaincode_events(chaincode, Checkpoint::start());
    let first = events.next().await.unwrap().unwrap();
    assert_eq!((first.name.as_str(), first.payload.as_slice()), ("put", &b"a"[..]));
    let second = events.next().await.unwrap().unwrap();
    drop(events);
    let mut resumed = network.chaincode_events(chaincode, first.checkpoint());
    assert_eq!(resumed.next().await.unwrap().unwrap(), second);
}

/// Arguments and write set together exceed gRPC's usual limit of 4 MiB.
async fn messages_of_megabytes_pass(ledger: &Ledger) {
    let value = "x".repeat(3 << 20);
    let (_, status) = ledger.contract(1).submit(put("large", &value)).await.unwrap();
    let block = ledger.network(2).blocks(Checkpoint::at(status.block_number)).next().await.unwrap().unwrap();
    let found = block.transactions.iter().find(|t| t.transaction_id == status.transaction_id).unwrap();
    assert!(found.bytes > 2 * value.len());
    assert_eq!(found.writes.iter().find(|w| w.key == "large").unwrap().value, value.as_bytes());
    let read = ledger.contract(1).evaluate(Call::new("get").arg("large")).await.unwrap();
    assert_eq!(read.len(), value.len());
}

/// What one transaction takes, one client at a time and three at once; printed, with a bound that only
/// catches a client that waits for something needlessly.
async fn latency(ledger: &Ledger) {
    const CALLS: usize = 40;
    let contract = ledger.contract(1);
    contract.evaluate(Call::new("get").arg("a")).await.unwrap();
    let mut evaluate = Vec::new();
    for _ in 0..CALLS {
        let start = Instant::now();
        contract.evaluate(Call::new("get").arg("a")).await.unwrap();
        evaluate.push(start.elapsed());
    }
    let alone = puts(contract, "alone".into(), CALLS).await;
    let start = Instant::now();
    let clients: Vec<_> =
        (1..=3).map(|org| tokio::spawn(puts(ledger.contract(org), format!("org{org}"), CALLS))).collect();
    let mut together = (Vec::new(), Retries::default());
    for client in clients {
        let (times, retries) = client.await.unwrap();
        together.0.extend(times);
        together.1 += retries;
    }
    let rate = (3 * CALLS) as f64 / start.elapsed().as_secs_f64();
    eprintln!("evaluate: {}", summary(&mut evaluate));
    eprintln!("submit, one client: {} {:?}", summary(&mut alone.0.clone()), alone.1);
    eprintln!("submit, three clients: {} {rate:.0} tx/s {:?}", summary(&mut together.0), together.1);
    assert!(evaluate[CALLS / 2] < Duration::from_millis(500));
}

async fn puts(contract: Contract, name: String, n: usize) -> (Vec<Duration>, Retries) {
    let submitter = submitter(&contract);
    let value = "x".repeat(600);
    let (mut times, mut retries) = (Vec::new(), Retries::default());
    // The first one makes the connection.
    for i in 0..=n {
        let start = Instant::now();
        let done = submitter.submit(put(&format!("{name}-{i}"), &value), WITHIN).await.unwrap();
        if i > 0 {
            times.push(start.elapsed());
        }
        retries += done.retries;
    }
    (times, retries)
}

/// Sorts and describes.
fn summary(times: &mut [Duration]) -> String {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    format!("median {:.1} ms, 90 % {:.1} ms, longest {:.1} ms", at(50), at(90), at(100))
}

/// A part of organisation 1's network is killed while organisation 1 submits and follows the blocks.
async fn a_killed_process_is_waited_for(ledger: &Ledger, process: &str) {
    let mut blocks = ledger.network(1).blocks(Checkpoint::start());
    let last = format!("{process}-last");
    let key = last.clone();
    let followed = tokio::spawn(async move {
        while let Some(block) = blocks.next().await {
            let block = block.unwrap();
            if block.transactions.iter().any(|t| t.is_valid() && t.writes.iter().any(|w| w.key == key)) {
                return block.number;
            }
        }
        panic!("the stream ended");
    });
    let (stop, start) = (|| ledger.launched.kill(process), ledger.launched.start(process));
    let retries = disturbed(ledger, process, stop, async { start.await.unwrap() }).await;
    assert!(retries.unavailable > 0, "{process} was missed: {retries:?}");

    let end = submitter(&ledger.contract(1)).submit(put(&last, "x"), WITHIN).await.unwrap();
    let number = tokio::time::timeout(WITHIN, followed).await.unwrap().unwrap();
    assert_eq!(Some(number), end.block_number, "the reader was there through all of it");
}

async fn a_frozen_peer_is_waited_for(ledger: &Ledger, process: &str) {
    let stop = || ledger.launched.freeze(process);
    disturbed(ledger, "frozen", stop, async { ledger.launched.thaw(process).unwrap() }).await;
}

/// Submits one record after the other, stops something meanwhile for two seconds, and goes on until five
/// more have been committed afterwards.
async fn disturbed(
    ledger: &Ledger,
    name: &str,
    stop: impl FnOnce() -> Result<(), launcher::Error>,
    start: impl Future<Output = ()>,
) -> Retries {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1000);
    let submitter = submitter(&ledger.contract(1));
    let prefix = name.to_owned();
    let writer = tokio::spawn(async move {
        for i in 0.. {
            let done = submitter.submit(put(&format!("{prefix}-{i}"), "x"), WITHIN).await.unwrap();
            if sender.send(done).await.is_err() {
                return;
            }
        }
    });
    let mut done = vec![receiver.recv().await.expect("the writer goes on")];
    stop().unwrap();
    let stopped = Instant::now();
    tokio::time::sleep(Duration::from_secs(2)).await;
    start.await;
    while let Ok(before) = receiver.try_recv() {
        done.push(before);
    }
    for _ in 0..5 {
        done.push(receiver.recv().await.expect("the writer goes on"));
    }
    let mut retries = Retries::default();
    done.iter().for_each(|d| retries += d.retries);
    eprintln!("{name}: {} records in {:.1?}, {retries:?}", done.len(), stopped.elapsed());
    drop(receiver);
    writer.await.unwrap();
    retries
}
