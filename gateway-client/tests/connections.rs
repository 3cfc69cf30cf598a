//! Connections that cannot be made say why, and at once where trying again does not help; certificates whose end is near
//! are spoken of, and those whose end is over are not used.

mod common;

use common::{Authority, Days, LONG, Peer, endpoint, name, user};
use gateway_client::{
    Call, Checkpoint, ClientTls, ConnectionFault, Endpoint, Error, Failure, Gateway, Options, Role, Standing,
    SubmitError, Tls, User,
};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, SystemTime};
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

/// Far longer than what cannot succeed takes, and shorter than it is tried again.
const AT_ONCE: Duration = Duration::from_secs(30);
/// What a person's call has.
const WITHIN: Duration = Duration::from_secs(60);

fn secure(address: SocketAddr, authority: &Authority, name: Option<&str>) -> Endpoint {
    let tls = Tls { ca_pem: authority.pem.clone().into_bytes(), server_name: name.map(String::from) };
    Endpoint { address: address.to_string(), tls: Some(tls) }
}

/// A peer with a certificate for `localhost` that is valid for so long.
fn peer(authority: &Authority, days: Days, clients: Option<&Authority>) -> (SocketAddr, Runtime) {
    let (certificate, key) = authority.issue_for("localhost", days);
    let mut tls = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
    if let Some(clients) = clients {
        tls = tls.client_ca_root(Certificate::from_pem(&clients.pem));
    }
    Peer::new("peer").start(Some(tls))
}

/// What is said of a peer that can never be reached this way, by a call, a submission and a reader of blocks.
async fn fault(endpoint: Endpoint, client_tls: Option<ClientTls>) -> (ConnectionFault, String) {
    let options = Options { client_tls, ..Options::default() };
    let gateway = Gateway::connect(&endpoint, user(), options).unwrap();
    let network = gateway.network("confab");
    let error = timeout(AT_ONCE, name(&gateway)).await.unwrap().unwrap_err();
    let (address, fault) = error.call().unwrap().fault.clone().unwrap_or_else(|| panic!("{error}"));
    assert_eq!(address, endpoint.address);
    assert_eq!(error.call().unwrap().failure(), Failure::Other);

    let submitter = network.contract("cc").submitter();
    let submitted = submitter.submit(Call::new("f"), WITHIN);
    let failure = timeout(AT_ONCE, submitted).await.expect("no retries for what cannot succeed").unwrap_err();
    assert_eq!(failure.retries.total(), 0, "{failure}");
    let SubmitError::Failed(failed) = &failure.error else { panic!("{failure}") };
    assert_eq!(failed.call().unwrap().fault.as_ref().unwrap().1, fault);

    let mut blocks = network.blocks(Checkpoint::start());
    let told = timeout(AT_ONCE, blocks.next()).await.expect("a reader is told").unwrap().unwrap_err();
    assert_eq!(told.call().unwrap().fault.as_ref().unwrap().1, fault);
    (fault, error.to_string())
}

#[tokio::test]
async fn what_is_wrong_with_the_peers_certificate_is_said_at_once() {
    let (authority, other) = (Authority::new(), Authority::of("another authority", LONG));
    let (address, good) = peer(&authority, LONG, None);
    let (found, said) = fault(secure(address, &other, Some("localhost")), None).await;
    assert_eq!(found, ConnectionFault::UnknownIssuer);
    assert!(said.contains(&address.to_string()) && said.contains("tlsCACerts"), "{said}");

    let (found, said) = fault(secure(address, &authority, Some("peer0.example.com")), None).await;
    let ConnectionFault::WrongName { expected, presented } = found else { panic!("{said}") };
    assert_eq!((expected.as_str(), presented), ("peer0.example.com", vec!["localhost".to_string()]));
    assert!(said.contains("for localhost, not for peer0.example.com"), "{said}");
    // The host of the address, where no name is given.
    let (found, said) = fault(secure(address, &authority, None), None).await;
    assert!(matches!(found, ConnectionFault::WrongName { .. }) && said.contains("127.0.0.1"), "{said}");

    let (address, expired) = peer(&authority, (-20, -10), None);
    let (found, said) = fault(secure(address, &authority, Some("localhost")), None).await;
    assert!(matches!(found, ConnectionFault::Expired(Some(_))), "{said}");
    assert!(said.contains("expired on 20") && said.contains("renew"), "{said}");
    let (address, early) = peer(&authority, (10, 20), None);
    let (found, said) = fault(secure(address, &authority, Some("localhost")), None).await;
    assert!(matches!(found, ConnectionFault::NotYetValid(Some(_))), "{said}");
    assert!(said.contains("clock"), "{said}");
    [good, expired, early].into_iter().for_each(Runtime::shutdown_background);
}

#[tokio::test]
async fn certificates_of_clients_that_are_missing_or_refused_are_named() {
    let (authority, clients) = (Authority::new(), Authority::of("clients", LONG));
    let (address, runtime) = peer(&authority, LONG, Some(&clients));
    let endpoint = || secure(address, &authority, Some("localhost"));
    let tls = |(certificate, key): (String, String)| ClientTls::from_pem(&certificate, &key).unwrap();
    let (found, said) = fault(endpoint(), None).await;
    assert_eq!(found, ConnectionFault::CertificateWanted);
    assert!(said.contains("client.tlsCerts.client"), "{said}");
    let (found, said) = fault(endpoint(), Some(tls(authority.issue("client")))).await;
    assert!(matches!(found, ConnectionFault::CertificateRefused(_)), "{said}");
    let options = Options { client_tls: Some(tls(clients.issue("client"))), ..Options::default() };
    assert_eq!(name(&Gateway::connect(&endpoint(), user(), options).unwrap()).await.unwrap(), "peer");
    runtime.shutdown_background();
}

#[tokio::test]
async fn a_port_with_or_without_tls_is_recognised() {
    let authority = Authority::new();
    let (plain, one) = Peer::new("plain").start(None);
    let (found, said) = fault(secure(plain, &authority, Some("localhost")), None).await;
    assert_eq!(found, ConnectionFault::NoTls);
    assert!(said.contains("grpc://"), "{said}");
    assert_eq!(
        name(&Gateway::connect(&endpoint(plain), user(), Options::default()).unwrap()).await.unwrap(),
        "plain"
    );

    let (strict, two) = peer(&authority, LONG, None);
    let (found, said) = fault(endpoint(strict), None).await;
    assert_eq!(found, ConnectionFault::OnlyTls);
    assert!(said.contains("grpcs://"), "{said}");
    one.shutdown_background();
    two.shutdown_background();
}

#[tokio::test]
async fn what_may_pass_is_not_taken_for_hopeless() {
    let authority = Authority::new();
    let nowhere = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let (expired, one) = peer(&authority, (-20, -10), None);
    let (good, two) = peer(&authority, LONG, None);
    let gateway = |addresses: &[SocketAddr]| {
        let endpoints: Vec<_> =
            addresses.iter().map(|address| secure(*address, &authority, Some("localhost"))).collect();
        Gateway::connect_any(&endpoints, user(), Options::default()).unwrap()
    };
    // Another peer has no such trouble.
    assert_eq!(name(&gateway(&[expired, good])).await.unwrap(), "peer");
    // Another one may come back, in whatever order they are tried.
    for addresses in [[expired, nowhere()], [nowhere(), expired]] {
        let gateway = gateway(&addresses);
        for _ in 0..2 {
            let error = name(&gateway).await.unwrap_err();
            assert_eq!(error.call().unwrap().failure(), Failure::Unavailable, "{error}");
        }
    }
    // Something that hangs up without a word may be a peer that is starting.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let rude = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    for endpoint in [secure(rude, &authority, None), endpoint(rude)] {
        let gateway = Gateway::connect(&endpoint, user(), Options::default()).unwrap();
        let error = name(&gateway).await.unwrap_err();
        assert_eq!(error.call().unwrap().failure(), Failure::Unavailable, "{error}");
    }
    one.shutdown_background();
    two.shutdown_background();
}

/// A server that is another one than before is looked at anew.
#[tokio::test]
async fn a_fault_that_was_mended_is_forgotten() {
    let (authority, other) = (Authority::new(), Authority::of("another authority", LONG));
    let (address, runtime) = peer(&other, LONG, None);
    let gateway =
        Gateway::connect(&secure(address, &authority, Some("localhost")), user(), Options::default())
            .unwrap();
    assert!(name(&gateway).await.unwrap_err().call().unwrap().fault.is_some());
    runtime.shutdown_background();
    // Nobody listens until the port is free again.
    let error = loop {
        let error = name(&gateway).await.unwrap_err();
        if error.call().unwrap().fault.is_none() {
            break error;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(error.call().unwrap().failure(), Failure::Unavailable, "{error}");
}

#[tokio::test]
async fn an_own_certificate_that_is_over_is_said_before_anything_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let authority = Authority::new();
    let endpoint = endpoint("127.0.0.1:1".parse().unwrap());
    let connect = |days: Days| {
        let pems = authority.issue_for("User1@org1", days);
        fs::write(&certificate, pems.0).unwrap();
        fs::write(&key, pems.1).unwrap();
        let user = User::from_files("Org1MSP", &certificate, &key).unwrap();
        Gateway::connect(&endpoint, user, Options::default())
    };
    for (days, parts) in [((-20, -1), ["expired on 20", "a new one"]), ((1, 20), ["valid from 20", "clock"])]
    {
        let error = connect(days).unwrap_err();
        let said = error.to_string();
        assert!(matches!(error, Error::Validity(_)), "{said}");
        for part in parts.into_iter().chain(["User1@org1", certificate.to_str().unwrap()]) {
            assert!(said.contains(part), "{part} in {said}");
        }
    }
    connect((-1, 1)).unwrap();
    let client_tls = |days| {
        let (certificate, key) = authority.issue_for("client.example.com", days);
        let client_tls = Some(ClientTls::from_pem(&certificate, &key).unwrap());
        Gateway::connect(&endpoint, user(), Options { client_tls, ..Options::default() })
    };
    let said = client_tls((-20, -1)).unwrap_err().to_string();
    assert!(said.contains("TLS certificate") && said.contains("client.example.com"), "{said}");
    client_tls(LONG).unwrap();
}

#[tokio::test]
async fn all_certificates_that_end_soon_are_known() {
    let authority = Authority::of("tlsca", (-1, 20));
    let (address, runtime) = peer(&authority, (-1, 3), None);
    let user = {
        let (certificate, key) = Authority::new().issue_for("User1@org1", (-1, 10));
        User::from_pem("Org1MSP", &certificate, &key).unwrap()
    };
    let gateway =
        Gateway::connect(&secure(address, &authority, Some("localhost")), user, Options::default()).unwrap();
    let ending = || {
        let now = SystemTime::now();
        let all = gateway.certificates();
        let days = |standing| match standing {
            Standing::Ending { days } => days,
            other => panic!("{other:?}"),
        };
        all.iter().map(|one| (one.role(), days(one.standing(now)))).collect::<Vec<_>>()
    };
    assert_eq!(ending(), [(Role::User, 10), (Role::TlsAuthority, 20)], "nothing was sent yet");
    assert_eq!(name(&gateway).await.unwrap(), "peer");
    assert_eq!(ending(), [(Role::User, 10), (Role::Peer, 3), (Role::TlsAuthority, 20)]);
    let said: Vec<_> =
        gateway.certificates().iter().filter_map(|one| one.notice(SystemTime::now())).collect();
    assert!(said[0].contains("User1@org1") && said[0].contains("in 10 days"), "{said:?}");
    assert!(said[1].contains(&address.to_string()) && said[1].contains("in 3 days"), "{said:?}");
    runtime.shutdown_background();
}
