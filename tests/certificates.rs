//! Certificates as authorities issue them: with RSA, for a short time, or for somebody else.

use crate::fixture::{
    Finished, Ledger, On, Size,
    material::{Authorities, Days, LONG, standard},
    program,
};
use crate::harness::{Test, test};
use launcher::{Kind, Organization};
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, PKCS_RSA_SHA384};
use records::Judge;
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

pub const TESTS: &[Test] = &[
    test!(rsa_authorities on Dev, Fabric, Fabric2_5),
    test!(expiry on Dev, Fabric),
    test!(expired_service),
    test!(connections on Dev, Fabric),
];

const SMALL: Size = Size { judge: Judge::Paper, rows: 60, iterations: 2, batch: 4, key_bits: 512 };

/// Whether a command succeeded, and what it said.
fn confab(args: &[&str]) -> (bool, String) {
    let output = Command::new(program()).args(args).stdin(Stdio::null()).output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert!(!said.contains("panicked"), "{said}");
    (output.status.success(), said)
}

fn ok(args: &[&str]) -> String {
    let (success, said) = confab(args);
    assert!(success, "{args:?}: {said}");
    said
}

fn error(args: &[&str]) -> String {
    let (success, said) = confab(args);
    assert!(!success, "{args:?}: {said}");
    said
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn assert_says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
}

/// Members' own keys are on P-256, as Fabric wants them; what issued their certificates, and their servers' keys, are RSA.
async fn rsa_authorities(on: On) {
    let make = |dir: &Path| {
        let material = standard(dir, |_| {});
        for (name, algorithm) in
            [("Org1", &PKCS_RSA_SHA256), ("Org2", &PKCS_RSA_SHA384), ("Orderer", &PKCS_RSA_SHA256)]
        {
            let org = material.org(name).unwrap();
            let authorities = Authorities::renew(&org, algorithm, LONG);
            // An orderer's key may be of any kind, too, but a chaincode's or peer's is what clients and peers dial.
            org.nodes().for_each(|node| authorities.server(&node, algorithm, LONG));
        }
    };
    let ledger = Ledger::start_with_material(on, 3, make).await;
    // The authorities are RSA where it counts: in the channel's configuration, and in connections.
    let config = ledger.channel(0).config().await.unwrap();
    for (msp_id, is_rsa) in [("Org1MSP", true), ("Org2MSP", true), ("Org3MSP", false)] {
        let member = config.member(msp_id).unwrap();
        let authorities = member.authorities.iter().chain(&member.tls_authorities);
        assert!(authorities.clone().count() >= 2);
        // Of a kind with which no member signs.
        authorities.for_each(|authority| assert_eq!(authority.public_key().is_err(), is_rsa, "{msp_id}"));
    }
    let finished = Finished::run(ledger.prepare("rsa", &SMALL), &ledger).await;
    finished.check(&ledger).await;
}

/// A profile without an identity, and one that is given beside it.
struct Clinic {
    profile: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Clinic {
    fn config(&self, dir: &Path) -> PathBuf {
        let toml = format!(
            "data_dir = \"state\"\nconnection_profile = {:?}\n[identity]\nmsp_id = \"Org1MSP\"\ncertificate = {:?}\n\
             private_key = {:?}\n",
            self.profile, self.certificate, self.key
        );
        fs::create_dir_all(dir).unwrap();
        fs::write(dir.join("node.toml"), toml).unwrap();
        dir.join("node.toml")
    }
}

/// A child that is stopped when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Certificates' ends that are near are told.
async fn expiry(on: On) {
    const NEAR: [(&str, Days); 3] = [("authority", (-1, 25)), ("peer", (-1, 5)), ("user", (-1, 10))];
    let days = |whose: &str| NEAR.iter().find(|(name, _)| *name == whose).unwrap().1;
    let issued = std::cell::OnceCell::new();
    let make = |dir: &Path| {
        let org = standard(dir, |_| {}).org("Org1").unwrap();
        let authorities = Authorities::renew(&org, &PKCS_ECDSA_P256_SHA256, days("authority"));
        authorities.server(&org.node("peer0").unwrap(), &PKCS_ECDSA_P256_SHA256, days("peer"));
        authorities.identity(&org.admin().signing_cert(), days("user"));
        assert!(issued.set(authorities).is_ok());
    };
    let ledger = Ledger::start_with_material(on, 3, make).await;
    let (network, org) = (&ledger.network, &ledger.network.orgs[0]);
    let authorities = issued.get().unwrap();

    // Each of them, with its place and what is to be done.
    let status = ok(&["network", "status", "--dir", text(&network.dir)]);
    let admin = text(&network.path(&org.admin.cert)).to_owned();
    assert_says(
        &status,
        &["WARN", &admin, "in 10 days", &org.peer.address, "in 5 days", "TLS authority", "in 25 days"],
    );
    assert_eq!(status.matches("in 10 days").count(), 1, "once is enough: {status}");
    let clinic = Clinic {
        profile: network.path(&org.profile),
        certificate: network.path(&org.user.cert),
        key: network.path(&org.user.key),
    };
    let dir = network.dir.join("clinic");
    let config = clinic.config(&dir);
    let watch = ok(&["job", "watch", "--config", text(&config)]);
    assert!(!watch.contains(text(&clinic.certificate)), "the user's own is valid for long: {watch}");
    assert_says(&watch, &["in 5 days", "in 25 days"]);

    // A node tells of the organisation's authority as well.
    let mut node = Command::new(program());
    node.args(["node", "--config", text(&config)]).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut node = Running(node.spawn().unwrap());
    let lines = BufReader::new(node.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    let found = lines.take(50).find(|line| line.contains("organisation's authority"));
    assert_says(&found.expect("the node tells"), &["ca.org1.example.com", "in 25 days", "configuration"]);
    drop(node);

    // What is over, or has not begun, is not even tried.
    for (days, parts) in
        [((-20, -1), ["expired on 20", "issue a new one"]), ((1, 20), ["valid from 20", "clock here"])]
    {
        authorities.identity(&clinic.certificate, days);
        for command in [
            &["job", "watch", "--config", text(&config)][..],
            &["node", "--config", text(&config)],
            &["key", "negotiate", "--config", text(&config), "Org1MSP", "Org2MSP"],
        ] {
            let said = error(command);
            assert_says(&said, &parts);
            assert_says(&said, &["User1@org1.example.com", text(&clinic.certificate)]);
        }
        let elsewhere = network.dir.join("elsewhere");
        let mut join = vec!["network", "join", "--profile", text(&clinic.profile), "--dir", text(&elsewhere)];
        join.extend(["--msp-id", "Org1MSP", "--cert", text(&clinic.certificate), "--key", text(&clinic.key)]);
        assert_says(&error(&join), &parts);
        assert!(!elsewhere.exists());
    }
    // The administrator's, too, with which networks are looked at and started.
    authorities.identity(&network.path(&org.admin.cert), (-20, -1));
    let status = error(&["network", "status", "--dir", text(&network.dir)]);
    assert_says(&status, &["gets no endorsements", "expired on 20", &admin]);
    let up = match on.kind() {
        Kind::Dev => error(&["ledger", "start", "--orgs", "3", "--dir", text(&network.dir)]),
        Kind::Fabric => error(&["network", "up", "--orgs", "3", "--dir", text(&network.dir)]),
    };
    assert_says(&up, &["is not possible", "expired on 20", &admin]);
    assert!(!up.contains("is not ready after"), "{up}");
}

/// A chaincode's service whose certificate no peer takes does not start.
fn expired_service() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let serve = |days: Days| {
        let made = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["chaincode.example.com".to_string()]).unwrap();
        let now = time::OffsetDateTime::now_utc();
        params.not_before = now + time::Duration::days(days.0);
        params.not_after = now + time::Duration::days(days.1) + time::Duration::hours(1);
        fs::write(&cert, params.self_signed(&made).unwrap().pem()).unwrap();
        fs::write(&key, made.serialize_pem()).unwrap();
        let mut service = Command::new(program());
        service.args(["chaincode", "--address", "127.0.0.1:0", "--id", "confab_1.0:0"]);
        service.args(["--tls-cert", text(&cert), "--tls-key", text(&key)]);
        service.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut service = Running(service.spawn().unwrap());
        let mut lines = BufReader::new(service.0.stderr.take().unwrap()).lines().map_while(Result::ok);
        // It goes on where it only warns.
        lines.next().unwrap_or_default()
    };
    assert_says(&serve((-20, -1)), &["error: ", "expired on 20", text(&cert)]);
    assert_says(&serve((1, 20)), &["error: ", "valid from 20", text(&cert)]);
    assert_says(&serve((-1, 7)), &["WARN", "in 7 days", text(&cert)]);
}

/// A profile with a change in its own peer.
fn changed(ledger: &Ledger, name: &str, change: impl FnOnce(&mut Value, &Organization)) -> PathBuf {
    let org = &ledger.network.orgs[0];
    let mut profile: Value =
        serde_json::from_slice(&fs::read(ledger.network.path(&org.profile)).unwrap()).unwrap();
    change(&mut profile, org);
    let dir = ledger.network.dir.join(name);
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("profile.json"), profile.to_string()).unwrap();
    fs::write(dir.join("node.toml"), "data_dir = \"state\"\nconnection_profile = \"profile.json\"\n")
        .unwrap();
    dir.join("node.toml")
}

/// Connections that cannot be made say why.
async fn connections(on: On) {
    let mut days: Option<Authorities> = None;
    let make = |dir: &Path| {
        let org = standard(dir, |_| {}).org("Org1").unwrap();
        days = Some(Authorities::renew(&org, &PKCS_ECDSA_P256_SHA256, LONG));
    };
    let ledger = Ledger::start_with_material(on, 3, make).await;
    let network = &ledger.network;
    let address = network.orgs[0].peer.address.clone();
    let said = |config: &Path| {
        // A question, a submission and a reader of blocks.
        let text = text(config);
        let params = network.dir.join("params.json");
        fs::write(&params, ok(&["job", "template", "Org1MSP", "Org2MSP", "--instances", "30"])).unwrap();
        let watch = error(&["job", "watch", "--config", text]);
        assert_says(&watch, &["no connection to the peer at", &address]);
        let propose = error(&["job", "propose", "--config", text, "--params", params.to_str().unwrap()]);
        let node = error(&["node", "--config", text]);
        let cause = watch.split_once(&address).unwrap().1.trim();
        for other in [propose, node] {
            assert_says(&other, &[cause]);
            assert!(!other.contains("retries"), "{other}");
        }
        watch
    };
    let other_ca = fs::read_to_string(network.path(&network.orgs[1].peer.tls.ca)).unwrap();
    let config = changed(&ledger, "issuer", |profile, org| {
        profile["peers"][&org.peer.host]["tlsCACerts"]["pem"] = other_ca.into();
    });
    assert_says(&said(&config), &["not of the authority", "tlsCACerts"]);
    let config = changed(&ledger, "name", |profile, org| {
        profile["peers"][&org.peer.host]["grpcOptions"] =
            json!({ "ssl-target-name-override": "peer9.example.com" });
    });
    assert_says(&said(&config), &["for peer0.org1.example.com", "not for peer9.example.com"]);
    let config = changed(&ledger, "plain", |profile, org| {
        profile["peers"][&org.peer.host]["url"] = format!("grpc://{}", org.peer.address).into();
    });
    assert_says(&said(&config), &["speaks TLS only", "grpcs://"]);

    // A peer with a certificate whose time is over, or that asks for one. Its process has to be started again with it.
    let process = if on == On::Dev { "ledger" } else { "peer-org1" };
    let authorities = days.unwrap();
    let org = crypto_material::load(&network.dir.join("crypto")).unwrap().org("Org1").unwrap();
    let peer = org.node("peer0").unwrap();
    authorities.server(&peer, &PKCS_ECDSA_P256_SHA256, (-20, -1));
    network.restart(process).await.unwrap();
    let config = changed(&ledger, "expired", |_, _| {});
    assert_says(&said(&config), &["its TLS certificate expired on 20", "renew"]);
    authorities.server(&peer, &PKCS_ECDSA_P256_SHA256, LONG);
    if on == On::Dev {
        network.restart(process).await.unwrap();
        ok(&["job", "watch", "--config", text(&config)]);
        return;
    }
    let mut strict = network.clone();
    let spec = strict.processes.iter_mut().find(|spec| spec.name == process).unwrap();
    spec.env.insert("CORE_PEER_TLS_CLIENTAUTHREQUIRED".into(), "true".into());
    spec.env.insert("CORE_PEER_TLS_CLIENTROOTCAS_FILES".into(), text(&org.tls_ca_cert()).into());
    strict.restart(process).await.unwrap();
    assert_says(&said(&config), &["wants a TLS certificate", "client.tlsCerts.client"]);
    let with = |name: &str, certificate: &Path, key: &Path| {
        changed(&ledger, name, |profile, _| {
            profile["client"]["tlsCerts"] =
                json!({ "client": { "cert": { "path": certificate }, "key": { "path": key } } });
        })
    };
    let foreign = rcgen::generate_simple_self_signed(vec!["client".into()]).unwrap();
    let (certificate, key) = (network.dir.join("foreign.pem"), network.dir.join("foreign-key.pem"));
    fs::write(&certificate, foreign.cert.pem()).unwrap();
    fs::write(&key, foreign.signing_key.serialize_pem()).unwrap();
    assert_says(&said(&with("stranger", &certificate, &key)), &["refuses the client's TLS certificate"]);
    let user = org.user("User1").unwrap();
    ok(&["job", "watch", "--config", text(&with("member", &user.tls_cert(), &user.tls_key()))]);
}
