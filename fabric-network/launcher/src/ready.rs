//! Waits until something works.

use crate::{Error, Network, Organization, process};
use gateway_client::{Call, Gateway, Transaction};
use std::{
    future::Future,
    path::Path,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

/// How long a process may take to listen, or the network to endorse: generous, for a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries of something that takes no time.
const POLL: Duration = Duration::from_millis(10);
/// For one answer to a health check.
const ANSWER: Duration = Duration::from_secs(2);

/// Repeats `attempt` until it succeeds; gives up after a minute, or when `check` finds why it never will.
pub async fn until<T, F>(
    what: &str,
    poll: Duration,
    check: impl Fn() -> Result<(), Error>,
    mut attempt: impl FnMut() -> F,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, String>>,
{
    let start = Instant::now();
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(reason) if start.elapsed() >= PATIENCE => {
                return Err(Error::NotReady { what: what.into(), seconds: PATIENCE.as_secs(), reason });
            }
            Err(_) => check()?,
        }
        sleep(poll).await;
    }
}

/// Waits until the process `name` accepts connections on `address`.
pub async fn listening(dir: &Path, name: &str, address: &str) -> Result<(), Error> {
    until(name, POLL, || process::expect_alive(dir, name), || accepts(address)).await
}

/// Waits until the process `name` says under `operations` that it is well.
pub async fn healthy(dir: &Path, name: &str, operations: &str) -> Result<(), Error> {
    until(name, POLL, || process::expect_alive(dir, name), || health(operations)).await
}

/// Whether somebody accepts connections on `address`.
pub async fn accepts(address: &str) -> Result<(), String> {
    match timeout(ANSWER, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("{address}: {error}")),
        Err(_) => Err(format!("{address}: no answer")),
    }
}

/// Whether `/healthz` answers that all is well.
pub async fn health(operations: &str) -> Result<(), String> {
    let ask = async {
        let mut stream = TcpStream::connect(operations).await?;
        let request = format!("GET /healthz HTTP/1.0\r\nHost: {operations}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(4096).read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    match timeout(ANSWER, ask).await {
        Ok(Ok(answer)) => {
            let text = String::from_utf8_lossy(&answer);
            let status = text.lines().next().unwrap_or("");
            match status.split(' ').nth(1) {
                Some("200") => Ok(()),
                _ => Err(format!("{operations}: {status}, {}", text.lines().last().unwrap_or(""))),
            }
        }
        Ok(Err(error)) => Err(format!("{operations}: {error}")),
        Err(_) => Err(format!("{operations}: no answer")),
    }
}

/// Waits until the probe is endorsed by all organisations through every organisation's peer; the first
/// organisation's is then committed when `commit` says so.
///
/// Only this shows that the peers know of each other and of the chaincode, and reach its services. A
/// majority would do for the policy, but a peer that knows of no other one has no choice when that fails.
pub async fn endorsing(network: &Network, commit: bool) -> Result<(), Error> {
    let mut tasks = JoinSet::new();
    for (index, org) in network.orgs.iter().enumerate() {
        let (network, org) = (network.clone(), org.clone());
        tasks.spawn(async move {
            let what = format!("endorsement through {}", org.peer.host);
            // Each try costs every peer a simulation.
            const TRY_AGAIN: Duration = Duration::from_millis(50);
            let check = || alive(&network);
            let attempt = || async {
                match endorse(&network, &org, Endorsers::All).await {
                    Err(error) if !error.is_lasting() => Err(error.to_string()),
                    done => Ok(done),
                }
            };
            let transaction = until(&what, TRY_AGAIN, check, attempt)
                .await?
                .map_err(|reason| Error::Lasting { what: what.clone(), reason })?;
            if commit && index == 0 {
                // An orderer that was started again has to elect itself first; the same transaction may be
                // submitted any number of times, it is committed once.
                let what = "the commitment of a transaction";
                until(what, TRY_AGAIN, check, || committed(&transaction)).await?;
            }
            Ok(())
        });
    }
    tasks.join_all().await.into_iter().collect()
}

/// An error when one of the network's processes has ended.
pub fn alive(network: &Network) -> Result<(), Error> {
    network.processes.iter().try_for_each(|process| process::expect_alive(&network.dir, &process.name))
}

/// Who endorses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Endorsers {
    /// Every organisation.
    All,
    /// As many as the policy wants.
    Enough,
}

/// Has the probe endorsed through the organisation's peer.
pub async fn endorse(
    network: &Network,
    org: &Organization,
    by: Endorsers,
) -> Result<Transaction, gateway_client::Error> {
    let profile = network.path(&org.profile);
    let gateway = Gateway::from_profile(&profile, None, gateway_client::Options::default())?;
    let mut words = network.probe.iter();
    // A chaincode that is asked for nothing says so.
    let call = Call::new(words.next().map(String::as_str).unwrap_or_default());
    let mut call = words.fold(call, |call, arg| call.arg(arg.as_str()));
    if by == Endorsers::All {
        call = call.organizations(network.peers().into_iter().map(|peer| peer.msp_id));
    }
    let contract = gateway.network(network.channel.as_str()).contract(network.chaincode.name.as_str());
    contract.propose(call)?.endorse().await
}

/// Has an endorsed transaction committed.
pub async fn committed(transaction: &Transaction) -> Result<(), String> {
    let reason = |error: gateway_client::Error| error.to_string();
    let status = transaction.submit().await.map_err(reason)?.status().await.map_err(reason)?;
    status.into_valid().map(drop).map_err(reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    async fn answering(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 512];
            let _ = stream.read(&mut request).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        address
    }

    #[tokio::test]
    async fn health_is_status_200() {
        let address = answering("HTTP/1.0 200 OK\r\n\r\n{\"status\":\"OK\"}").await;
        assert_eq!(health(&address).await, Ok(()));
        let address = answering("HTTP/1.0 503 Service Unavailable\r\n\r\n{\"status\":\"no disk\"}").await;
        let reason = health(&address).await.unwrap_err();
        assert!(reason.contains("503") && reason.contains("no disk"), "{reason}");
    }

    #[tokio::test]
    async fn waiting_ends_when_it_is_hopeless() {
        let mut tries = 0;
        let check = || Err(Error::NotRunning("peer".into()));
        let result: Result<(), _> = until("peer", POLL, check, || {
            tries += 1;
            async { Err("not yet".into()) }
        })
        .await;
        assert!(matches!(result, Err(Error::NotRunning(_))));
        assert_eq!(tries, 1);
    }
}
