//! This client beside the official Node client, under the same load on one real Fabric network.
//!
//! Both submit writes of 100 bytes, wait for each one's commit status, and take turns: a block of transactions each.
//! What counts is the time of a transaction, and the processor time of the client's process (user and system) for it.
//!
//! ```sh
//! npm ci --prefix gateway-client/benches/compare
//! cargo bench -p confab-gateway-client --bench compare
//! ```
//!
//! It wants Fabric's programs at `FABRIC_HOME` or on the path, and Node. The network, one peer, one orderer and one
//! chaincode service for each of three organisations, runs on the same machine. `COMPARE_TRANSACTIONS` is the number
//! of transactions of each client at each number in flight, 500 unless given.

use gateway_client::{Call, Contract, Gateway, Options, Profile, User};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use shim::{Response, Server, Stub, StubError, Tls};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// Arguments with which this program is something else than the comparison.
const CHAINCODE: &str = "chaincode-service";
const CLIENT: &str = "client";

/// How many transactions of a client are in flight.
const IN_FLIGHT: [usize; 2] = [1, 16];
/// Into how many blocks the transactions of a client are divided.
const BLOCKS: usize = 5;
const VALUE: [u8; 100] = [b'x'; 100];

/// Where the peer is and who calls.
#[derive(Serialize, Deserialize)]
struct Setup {
    profile: PathBuf,
    address: String,
    host: String,
    tls_ca: PathBuf,
    msp_id: String,
    certificate: PathBuf,
    key: PathBuf,
    channel: String,
    chaincode: String,
}

/// A block of transactions.
#[derive(Serialize, Deserialize)]
struct Block {
    transactions: usize,
    in_flight: usize,
    prefix: String,
}

/// What a block took.
#[derive(Default, Serialize, Deserialize)]
struct Took {
    /// Of each transaction.
    latencies_us: Vec<u64>,
    /// Processor time of the client for all of them.
    cpu_us: u64,
}

type Anything = Result<(), Box<dyn Error>>;

#[tokio::main]
async fn main() -> Anything {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some(CHAINCODE) => chaincode().await,
        Some(CLIENT) => client(arguments[1].as_ref()).await,
        _ => compare().await,
    }
}

/// Writes what it is told.
struct Put;

impl shim::Contract for Put {
    fn invoke(&self, stub: &Stub) -> Response {
        let put = || -> Result<(), StubError> { stub.put_state(stub.arg_str(1)?, stub.arg_str(2)?) };
        put().map_or_else(Response::error, |()| Response::ok(""))
    }
}

async fn chaincode() -> Anything {
    let listener = tokio::net::TcpListener::bind(env::var("CHAINCODE_SERVER_ADDRESS")?).await?;
    let read = |name| -> Result<Vec<u8>, Box<dyn Error>> { Ok(fs::read(env::var(name)?)?) };
    let tls = Tls::new(read("CHAINCODE_TLS_CERT")?, read("CHAINCODE_TLS_KEY")?);
    let server = Server::builder(Put).package_id(env::var("CHAINCODE_ID")?).tls(tls);
    Ok(server.serve(listener, std::future::pending()).await?)
}

/// This client's side, line by line as client.mjs.
async fn client(setup: &Path) -> Anything {
    let setup: Setup = serde_json::from_slice(&fs::read(setup)?)?;
    let user = User::from_files(&setup.msp_id, &setup.certificate, &setup.key)?;
    let gateway = Gateway::from_profile(&setup.profile, Some(user), Options::default())?;
    let contract = gateway.network(&setup.channel).contract(&setup.chaincode);
    // The runtime's own threads go on while this one waits.
    for line in std::io::stdin().lines() {
        let took = block(&contract, serde_json::from_str(&line?)?).await?;
        println!("{}", serde_json::to_string(&took)?);
    }
    Ok(())
}

async fn block(contract: &Contract, block: Block) -> Result<Took, Box<dyn Error>> {
    let block = Arc::new(block);
    let next = Arc::new(AtomicUsize::new(0));
    let before = processor_time();
    let workers: Vec<_> = (0..block.in_flight)
        .map(|_| {
            let (contract, block, next) = (contract.clone(), block.clone(), next.clone());
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= block.transactions {
                        return Ok::<_, gateway_client::Error>(latencies);
                    }
                    let call = Call::new("put").arg(format!("{}{n}", block.prefix)).arg(VALUE);
                    let start = Instant::now();
                    contract.submit(call).await?;
                    latencies.push(start.elapsed().as_micros() as u64);
                }
            })
        })
        .collect();
    let mut took = Took::default();
    for worker in workers {
        took.latencies_us.extend(worker.await??);
    }
    took.cpu_us = (processor_time() - before).as_micros() as u64;
    Ok(took)
}

/// User and system time of this process so far.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// A client in a process of its own.
struct Client {
    name: &'static str,
    _process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Client {
    fn start(name: &'static str, program: &Path, arguments: [&Path; 2]) -> Result<Self, Box<dyn Error>> {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().map_err(|e| format!("{}: {e}", program.display()))?;
        let input = process.stdin.take().ok_or("no input")?;
        let output = BufReader::new(process.stdout.take().ok_or("no output")?).lines();
        Ok(Self { name, _process: process, input, output })
    }

    async fn run(&mut self, block: &Block) -> Result<Took, Box<dyn Error>> {
        self.input.write_all(format!("{}\n", serde_json::to_string(block)?).as_bytes()).await?;
        let line = self.output.next_line().await?.ok_or_else(|| format!("{} ended", self.name))?;
        Ok(serde_json::from_str(&line)?)
    }
}

async fn compare() -> Anything {
    let node_side = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/compare");
    if launcher::Binaries::find().is_err() {
        println!("SKIPPED: Fabric's programs are not found; set FABRIC_HOME");
        return Ok(());
    }
    if !node_side.join("node_modules").exists() {
        println!("SKIPPED: the official client is not here; run npm ci --prefix {}", node_side.display());
        return Ok(());
    }
    let transactions: usize = env::var("COMPARE_TRANSACTIONS").map_or(Ok(500), |n| n.parse())?;

    let dir = tempfile::tempdir()?;
    let this = env::current_exe()?;
    let service = launcher::ChaincodeCommand { program: this.clone(), args: vec![CHAINCODE.into()] };
    let mut options = launcher::Options::new(dir.path(), 3, service);
    options.probe = ["put", "probe", "."].map(String::from).to_vec();
    let network = launcher::fabric::up(&options, &mut |step| eprintln!("{step}")).await;
    let compared = match network {
        Ok(network) => clients(&network, &this, &node_side, transactions).await,
        Err(error) => Err(error.into()),
    };
    launcher::down(dir.path(), true)?;
    compared
}

async fn clients(
    network: &launcher::Network,
    this: &Path,
    node_side: &Path,
    transactions: usize,
) -> Anything {
    let org = &network.orgs[0];
    let setup = Setup {
        profile: network.path(&org.profile),
        address: Profile::load(&network.path(&org.profile))?.endpoints()?.remove(0).address,
        host: org.peer.host.clone(),
        tls_ca: network.path(&org.peer.tls.ca),
        msp_id: org.msp_id.clone(),
        certificate: network.path(&org.user.cert),
        key: network.path(&org.user.key),
        channel: network.channel.clone(),
        chaincode: network.chaincode.name.clone(),
    };
    let file = network.path("compare.json");
    fs::write(&file, serde_json::to_vec(&setup)?)?;
    let ours = Client::start("ours", this, [Path::new(CLIENT), &file])?;
    let official = Client::start("official", Path::new("node"), [&node_side.join("client.mjs"), &file])?;
    let mut clients = [official, ours];

    println!("{transactions} writes of 100 bytes by each client, in {BLOCKS} turns:");
    for in_flight in IN_FLIGHT {
        let mut took = [Took::default(), Took::default()];
        // The first turn makes connections and warms up; it does not count.
        for turn in 0..=BLOCKS {
            for (client, took) in clients.iter_mut().zip(&mut took) {
                let prefix = format!("{}-{in_flight}-{turn}-", client.name);
                let transactions = transactions / BLOCKS;
                let part = client.run(&Block { transactions, in_flight, prefix }).await?;
                if turn > 0 {
                    took.latencies_us.extend(part.latencies_us);
                    took.cpu_us += part.cpu_us;
                }
            }
        }
        let mut figures = Vec::new();
        for (client, took) in clients.iter().zip(&mut took) {
            took.latencies_us.sort_unstable();
            let count = took.latencies_us.len();
            let at = |percent: usize| took.latencies_us[(count - 1) * percent / 100] as f64 / 1e3;
            let cpu = took.cpu_us as f64 / count as f64 / 1e3;
            println!(
                "{in_flight:>2} in flight, {:<8}: p50 {:6.2} ms, p90 {:6.2} ms, processor {cpu:.3} ms a transaction",
                client.name,
                at(50),
                at(90),
            );
            figures.push((at(50), cpu));
        }
        let (p50, cpu) = (figures[1].0 / figures[0].0, figures[1].1 / figures[0].1);
        println!("{in_flight:>2} in flight, ours/official: p50 {p50:.2}, processor {cpu:.2}");
    }
    Ok(())
}
