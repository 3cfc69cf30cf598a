//! `confab bench throughput`.

use crate::{
    error::CliResult,
    output::{Steps, is_stdout, outputs, write_json},
    shutdown,
};
use clap::Args;
use contract::JobContract;
use crypto_material::{NetworkSpec, generate};
use dev_ledger::{ChaincodeConfig, Config, EndorsementPolicy, OrgConfig, Rule, Running};
use experiment::bench::median;
use gateway_client::{Call, Contract, Endpoint, Gateway, User};
use serde::Serialize;
use shim::{Server, Tls};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, task::JoinSet};

/// How many transactions a second the development ledger commits.
///
/// Ledger, chaincode services and clients share this process and its cores; between them are TLS and gRPC as ever, and
/// every block is synced to disk. The clients write values under keys of their own with the contract's `probe`, one
/// transaction at a time each, and wait for its commit. Then one client alone, whose times are those of a lone
/// transaction. All of it first with the endorsement of any one of three organisations, then of two.
#[derive(Args)]
pub struct ThroughputArgs {
    /// Clients at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1024))]
    clients: u32,
    /// Bytes of a value.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    bytes: u32,
    /// Seconds of load.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// Transactions of the client that is alone.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    alone: u32,
    /// Where the ledger is, for its disk counts; a temporary folder unless given. It must be empty.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Write the figures as JSON, `-` for standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report {
    version: u32,
    clients: u32,
    bytes: u32,
    cores: usize,
    /// Any one of three organisations endorses.
    one_of_three: Figures,
    /// Two of three organisations endorse.
    two_of_three: Figures,
}

#[derive(Serialize)]
struct Figures {
    /// Transactions committed a second.
    per_second: f64,
    /// Transactions a block, on average.
    per_block: f64,
    /// Milliseconds from proposal to commit under load.
    p50_ms: f64,
    p99_ms: f64,
    /// The same of a transaction that is alone.
    alone_p50_ms: f64,
}

pub async fn run(args: ThroughputArgs) -> CliResult {
    outputs().writes("--json", args.json.as_deref()).check()?;
    let steps = Steps::new();
    let measuring = measure_both(&args, &steps);
    let measured = shutdown::or_interrupted(measuring, "interrupted; the ledger was stopped").await;
    steps.clear();
    let (one_of_three, two_of_three) = measured?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (clients, bytes) = (args.clients, args.bytes);
    let report = Report { version: 1, clients, bytes, cores, one_of_three, two_of_three };
    if !is_stdout(args.json.as_deref()) {
        say!("{clients} clients, values of {bytes} bytes, {cores} cores for all");
        show("1 of 3", &report.one_of_three);
        show("2 of 3", &report.two_of_three);
    }
    args.json.as_deref().map_or(Ok(()), |path| write_json(path, &report))
}

async fn measure_both(args: &ThroughputArgs, steps: &Steps) -> CliResult<(Figures, Figures)> {
    let temporary = tempfile::Builder::new().prefix("confab-").tempdir()?;
    let dir = args.dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    steps.step("one endorsement of three organisations");
    let one_of_three = measure(args, &dir.join("one"), Rule::Any).await?;
    steps.step("two endorsements of three organisations");
    let two_of_three = measure(args, &dir.join("two"), Rule::Majority).await?;
    Ok((one_of_three, two_of_three))
}

fn show(what: &str, figures: &Figures) {
    say!(
        "{what}  {:>7.0} tx/s, {:.1} a block, p50 {:.1} ms, p99 {:.1} ms; alone p50 {:.2} ms",
        figures.per_second,
        figures.per_block,
        figures.p50_ms,
        figures.p99_ms,
        figures.alone_p50_ms
    );
}

async fn measure(args: &ThroughputArgs, dir: &Path, rule: Rule) -> CliResult<Figures> {
    let ledger = start(dir, rule).await?;
    let client = |n: u32| ledger.contract(n as usize % ledger.gateways.len());
    let value = vec![b'x'; args.bytes as usize];
    // Until connections are made and streams registered.
    for n in 0..6 {
        transact(&client(n), format!("warm-{n}"), &value).await?;
    }

    let height = ledger.height();
    let until = Instant::now() + Duration::from_secs(args.seconds.into());
    let mut running = JoinSet::new();
    for n in 0..args.clients {
        let (contract, value) = (client(n), value.clone());
        running.spawn(async move {
            let mut times = Vec::new();
            for i in 0.. {
                let started = Instant::now();
                if started >= until {
                    break;
                }
                transact(&contract, format!("{n}-{i}"), &value).await?;
                times.push(started.elapsed().as_secs_f64() * 1e3);
            }
            Ok::<_, gateway_client::Error>(times)
        });
    }
    let started = Instant::now();
    let mut times = Vec::new();
    while let Some(ended) = running.join_next().await {
        times.extend(ended??);
    }
    let seconds = started.elapsed().as_secs_f64();
    let blocks = ledger.height() - height;

    let mut alone = Vec::new();
    for i in 0..args.alone {
        let started = Instant::now();
        transact(&client(0), format!("alone-{i}"), &value).await?;
        alone.push(started.elapsed().as_secs_f64() * 1e3);
    }
    ledger.running.shutdown().await;
    times.sort_by(f64::total_cmp);
    Ok(Figures {
        per_second: times.len() as f64 / seconds,
        per_block: times.len() as f64 / blocks.max(1) as f64,
        p99_ms: times.get(times.len() * 99 / 100).copied().unwrap_or_default(),
        p50_ms: median(times),
        alone_p50_ms: median(alone),
    })
}

/// One transaction to its commit.
async fn transact(contract: &Contract, name: String, value: &[u8]) -> Result<(), gateway_client::Error> {
    contract.submit(Call::new("probe").arg(name).arg(value)).await.map(drop)
}

struct Ledger {
    running: Running,
    gateways: Vec<Gateway>,
}

impl Ledger {
    fn contract(&self, gateway: usize) -> Contract {
        self.gateways[gateway].network("confab").contract("confab")
    }

    fn height(&self) -> u64 {
        self.running
            .addresses()
            .first()
            .and_then(|(msp_id, _)| self.running.height(msp_id))
            .unwrap_or_default()
    }
}

/// Three organisations with a chaincode service each.
async fn start(dir: &Path, rule: Rule) -> CliResult<Ledger> {
    const PACKAGE: &str = "confab_1.0:throughput";
    std::fs::create_dir_all(dir)?;
    let material = generate(&NetworkSpec::standard(3), &dir.join("crypto"))?;
    let mut orgs = Vec::new();
    for org in material.peer_orgs() {
        let peer = org.node("peer0")?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let service = ChaincodeConfig {
            address: format!("localhost:{}", listener.local_addr()?.port()),
            tls_root: Some(org.tls_ca_cert()),
            client: None,
            package_id: PACKAGE.into(),
            package: None,
        };
        let tls = Tls::new(std::fs::read(peer.tls_cert())?, std::fs::read(peer.tls_key())?);
        let server = Server::builder(JobContract).package_id(PACKAGE).tls(tls);
        tokio::spawn(server.serve(listener, std::future::pending()));
        orgs.push(OrgConfig {
            msp_id: org.msp_id().into(),
            listen: "127.0.0.1:0".parse()?,
            tls_cert: peer.tls_cert(),
            tls_key: peer.tls_key(),
            signing_cert: peer.signing_cert(),
            signing_key: peer.signing_key(),
            msp_dir: org.msp_dir(),
            chaincodes: [("confab".to_string(), service)].into(),
        });
    }
    let mut config = Config::new(dir.join("ledger"), orgs);
    config.channels[0].chaincodes[0].policy = EndorsementPolicy::ImplicitMeta(rule);
    let running = dev_ledger::serve(config).await?;
    let mut gateways = Vec::new();
    for (org, (_, address)) in material.peer_orgs().zip(running.addresses()) {
        let user = org.user("User1")?;
        let user = User::from_files(org.msp_id(), &user.signing_cert(), &user.signing_key())?;
        let tls = gateway_client::Tls { ca_pem: std::fs::read(org.tls_ca_cert())?, server_name: None };
        let endpoint = Endpoint { address: format!("localhost:{}", address.port()), tls: Some(tls) };
        gateways.push(Gateway::connect(&endpoint, user, node::ledger::options())?);
    }
    Ok(Ledger { running, gateways })
}
