//! The socket of a node whose peer does not answer: nothing here needs a ledger.

use super::*;
use crate::{config::Config, run};
use records::JobId;
use std::{
    fs,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

/// Nothing here takes so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A configuration whose peer is a port where nobody listens.
fn config(dir: &Path) -> Config {
    let own = |file: &str| dir.join(file).display().to_string();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    fs::write(own("cert.pem"), certificate.pem()).unwrap();
    fs::write(own("key.pem"), key.serialize_pem()).unwrap();
    let profile = serde_json::json!({
        "name": "test", "version": "1.0.0",
        "client": {"organization": "Org1"},
        "organizations": {"Org1": {"mspid": "Org1MSP", "peers": ["peer"]}},
        "peers": {"peer": {"url": "grpcs://127.0.0.1:9", "tlsCACerts": {"pem": certificate.pem()}}},
    });
    fs::write(own("profile.json"), profile.to_string()).unwrap();
    let text = "data_dir = \"state\"\nconnection_profile = \"profile.json\"\npatience_secs = 1\n\
                [identity]\nmsp_id = \"Org1MSP\"\ncertificate = \"cert.pem\"\nprivate_key = \"key.pem\"\n";
    fs::write(own("node.toml"), text).unwrap();
    Config::load(&dir.join("node.toml")).unwrap()
}

/// Longer than the 108 bytes that the path of a socket may have.
fn long_folder(dir: &Path) -> PathBuf {
    let long = dir.join("d".repeat(100)).join("e".repeat(100));
    fs::create_dir_all(&long).unwrap();
    long
}

async fn send(stream: &mut UnixStream, bytes: &[u8]) -> String {
    // It may be closed before all was read.
    let _ = stream.write_all(bytes).await;
    let mut answer = String::new();
    let _ = timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("the connection is closed");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn operations() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&long_folder(dir.path()));
    let socket = config.data_dir.join("node.sock");
    // What a killed node left.
    fs::create_dir_all(&config.data_dir).unwrap();
    std::env::set_current_dir(&config.data_dir).unwrap();
    drop(std::os::unix::net::UnixListener::bind("node.sock").unwrap());
    let none = NodeHandle::open(config.clone()).await.unwrap();
    assert!(!none.is_running());
    assert!(matches!(none.shut_down().await, Err(RequestError::NotRunning(_))));

    let node = run::Node::start(config.clone()).await.unwrap();
    let found = fs::symlink_metadata(&socket).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&config.data_dir).unwrap().permissions().mode() & 0o777, 0o700);
    let left = fs::read_dir(&config.data_dir).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().starts_with(".socket")));

    // Two clients at a time, one of which watches.
    let [one, two] =
        [NodeHandle::open(config.clone()).await.unwrap(), NodeHandle::open(config.clone()).await.unwrap()];
    assert!(one.is_running() && two.is_running());
    let job = JobId::from([0xaa; 32]);
    let mut events = one.watch().await.unwrap();
    assert!(matches!(timeout(PATIENCE, events.next()).await.unwrap(), Some(Event::Following { block: 0 })));
    assert_eq!(two.ended(&job).await.unwrap(), None);
    assert_eq!(node.ended(&job).await.unwrap(), None);
    assert!(two.compact().await.unwrap().after > 0);
    let unknown = two.open_secret(&job).await.unwrap_err().to_string();
    assert_eq!(unknown, node.open_secret(&job).await.unwrap_err().to_string());
    assert!(unknown.contains("knows no job"), "{unknown}");
    // The peer is away: that may pass, here and there.
    let [here, there] = [node.jobs().await.unwrap_err(), two.jobs().await.unwrap_err()];
    assert!(here.may_pass() && there.may_pass(), "{here}; {there}");
    // They differ in the transaction's identifier.
    let [here, there] = [here, there].map(|e| e.to_string().split_once("failed").unwrap().1.to_owned());
    assert_eq!(here, there);

    // A second node is not started, and the first is none the worse.
    let second = run::Node::start(config.clone()).await.unwrap_err().to_string();
    assert!(second.contains("in use by another node"), "{second}");

    // It stops while somebody watches.
    two.shut_down().await.unwrap();
    assert!(timeout(PATIENCE, events.next()).await.unwrap().is_none());
    assert!(node.stopped().await.is_ok());
    assert!(!socket.exists());
    assert!(!NodeHandle::open(config.clone()).await.unwrap().is_running());
    // The directory is free, though there are handles still.
    let again = run::Node::start(config).await.unwrap();
    again.shut_down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_clients() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let node = run::Node::start(config.clone()).await.unwrap();
    let connect = async || endpoint::connect(&config.data_dir).await.unwrap().expect("a node listens");
    for garbage in [
        &b"\n"[..],
        b"{\n",
        b"\xff\xfe\x00\n",
        b"{\"request\":\"no-such\"}\n",
        b"{\"request\":\"jobs\",\"more\":1}\n",
        b"{\"request\":\"ended\",\"job\":7}\n",
    ] {
        let answer = send(&mut connect().await, garbage).await;
        assert!(answer.starts_with("{\"refused\":"), "{answer}");
    }
    let nested = [&vec![b'['; 200_000][..], b"\n"].concat();
    assert!(send(&mut connect().await, &nested).await.starts_with("{\"refused\":"));
    // A line that is too long is not waited for.
    let mut stream = connect().await;
    let long = vec![b'x'; server::MAX_REQUEST + 2];
    let answer = send(&mut stream, &long).await;
    assert!(answer.is_empty() || answer.contains("a line of more than"), "{answer}");
    // Half a line and an end is no request.
    let mut stream = connect().await;
    stream.write_all(b"{\"request\":").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(send(&mut stream, b"").await, "");
    // More connections than there is room for.
    let mut held = Vec::new();
    for _ in 0..32 {
        held.push(connect().await);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let answer = send(&mut connect().await, b"{\"request\":\"keys\"}\n").await;
    assert!(answer.is_empty() || answer.contains("too many connections"), "{answer}");
    drop(held);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let other = NodeHandle::open(config.clone()).await.unwrap();
    assert_eq!(other.ended(&JobId::from([0xbb; 32])).await.unwrap(), None);
    node.shut_down().await.unwrap();
    assert!(matches!(
        other.ended(&JobId::from([0xbb; 32])).await,
        Err(RequestError::NotRunning(_) | RequestError::Connection { .. })
    ));
}
