//! A small network, for trying the launcher:
//!
//! ```text
//! cargo run -p launcher --example network -- up DIR 3        real Fabric
//! cargo run -p launcher --example network -- start DIR 3     the development ledger
//! cargo run -p launcher --example network -- status DIR
//! cargo run -p launcher --example network -- down DIR [--purge]
//! ```
//!
//! The program is its own chaincode: `chaincode` serves a contract that puts and gets keys; and its own
//! development ledger: `ledger DIR` serves it.

use launcher::{ChaincodeCommand, Health, Network, Options, fabric, ledger};
use shim::{Contract, Response, Server, Stub, Tls};
use std::{
    env,
    error::Error,
    path::{Path, PathBuf},
    time::Instant,
};
use tokio::{net::TcpListener, signal::unix};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["up", dir, orgs] => up(dir.into(), orgs.parse()?, true).await,
        ["start", dir, orgs] => up(dir.into(), orgs.parse()?, false).await,
        ["status", dir] => status(dir.as_ref()).await,
        ["down", dir] => down(dir.as_ref(), false),
        ["down", dir, "--purge"] => down(dir.as_ref(), true),
        ["chaincode"] => chaincode().await,
        ["ledger", dir] => serve_ledger(dir.as_ref()).await,
        _ => Err("up DIR ORGS | start DIR ORGS | status DIR | down DIR [--purge]".into()),
    }
}

async fn up(dir: PathBuf, orgs: usize, real: bool) -> Result<(), Box<dyn Error>> {
    let program = env::current_exe()?;
    let chaincode = ChaincodeCommand { program: program.clone(), args: vec!["chaincode".into()] };
    // The ledger's working directory is the network's folder.
    let ledger = ledger::LedgerCommand { program, args: vec!["ledger".into(), ".".into()] };
    let options = Options::new(dir, orgs, chaincode);
    let clock = Instant::now();
    let mut progress = |step: &str| println!("{:6.2} s  {step}", clock.elapsed().as_secs_f64());
    let start = async {
        match real {
            true => fabric::up(&options, &mut progress).await,
            false => ledger::up(&options, &ledger, &mut progress).await,
        }
    };
    let result = tokio::select! {
        result = start => result,
        // Dropping the other future stops what it has started.
        _ = tokio::signal::ctrl_c() => return Err("interrupted".into()),
    };
    let network = result?;
    progress("ready");
    for org in &network.orgs {
        println!("{}: peer {}, {}", org.name, org.peer.address, network.path(&org.profile).display());
    }
    Ok(())
}

async fn status(dir: &Path) -> Result<(), Box<dyn Error>> {
    let status = launcher::status(dir).await?;
    for process in &status.processes {
        let pid = process.pid.map_or("-".into(), |pid| pid.to_string());
        let health = match &process.health {
            Health::Well => "well",
            Health::Ill(reason) => reason,
            Health::Frozen => "frozen",
            Health::Ended => "ended",
        };
        println!("{:16} {pid:8} {health:8} {}", process.name, process.listens.join(" "));
    }
    for peer in &status.peers {
        println!("{}: {:?}", peer.org, peer.endorsing);
    }
    match status.is_healthy() {
        true => Ok(()),
        false => Err("the network is not healthy".into()),
    }
}

fn down(dir: &Path, purge: bool) -> Result<(), Box<dyn Error>> {
    println!("{} stopped", launcher::down(dir, purge)?);
    Ok(())
}

/// `put KEY VALUE`, `get KEY`, and the launcher's `probe`.
struct Keys;

impl Contract for Keys {
    fn invoke(&self, stub: &Stub) -> Response {
        let call = || match stub.function()? {
            "put" => stub.put_state(stub.arg_str(1)?, stub.arg_str(2)?).map(|()| Vec::new()),
            "probe" => stub.put_state(stub.creator()?.id(), "probed").map(|()| Vec::new()),
            _ => stub.get_state(stub.arg_str(1)?).map(Option::unwrap_or_default),
        };
        call().map_or_else(Response::error, Response::ok)
    }
}

async fn chaincode() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(env::var("CHAINCODE_SERVER_ADDRESS")?).await?;
    let file = |name| Ok::<_, Box<dyn Error>>(std::fs::read(env::var(name)?)?);
    let tls = Tls::new(file("CHAINCODE_TLS_CERT")?, file("CHAINCODE_TLS_KEY")?);
    let server = Server::builder(Keys).package_id(env::var("CHAINCODE_ID")?).tls(tls);
    Ok(server.serve(listener, terminated()?).await?)
}

async fn serve_ledger(dir: &Path) -> Result<(), Box<dyn Error>> {
    let network = Network::load(dir)?;
    let terminated = terminated()?;
    let running = dev_ledger::serve(launcher::ledger::config(&network)?).await?;
    terminated.await;
    running.shutdown().await;
    Ok(())
}

fn terminated() -> Result<impl Future<Output = ()>, Box<dyn Error>> {
    let mut terminate = unix::signal(unix::SignalKind::terminate())?;
    Ok(async move { terminate.recv().await.unwrap_or_default() })
}
