//! Certificates and keys as organisations have them: files that hold more than they should, and keys of other kinds.

use crate::fixture::{Finished, Ledger, On, Size, material::standard, program, recorder::Recorder, submit};
use crate::harness::{Test, test};
use gateway_client::{Call, ClientTls, Gateway, Options, Outcome, User};
use msp::KeyKind;
use p256::{SecretKey, pkcs8::DecodePrivateKey};
use records::Judge;
use std::{
    collections::HashMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::Command,
};

pub const TESTS: &[Test] = &[test!(keys_stay on Dev, Fabric), test!(key_kinds on Dev, Fabric, Fabric2_5)];

const SMALL: Size = Size { judge: Judge::Paper, rows: 60, iterations: 2, batch: 4, key_bits: 512 };

/// Every certificate file of a network holds the private key, too: of authorities, peers, orderers, services, users.
async fn keys_stay(on: On) {
    let mut keys = Keys::default();
    let put_keys = |dir: &Path| {
        standard(dir, |_| {});
        keys.put_beside_certificates(&dir.join("crypto"));
    };
    let ledger = Ledger::start_with_material(on, 3, put_keys).await;
    // What the search would have to find.
    assert!(keys.found_in(&ledger.dir().join("crypto")).len() > 60);
    assert!(keys.by_start.len() > 60);

    // Profiles with the authority's key beside its certificate, and identities with the key first. What goes to the peers
    // and comes from them is recorded.
    let mut recorders = Vec::new();
    for org in &ledger.network.orgs {
        let path = ledger.network.path(&org.profile);
        let mut profile: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let dirty = fs::read_to_string(ledger.network.path(&org.peer.tls.ca)).unwrap();
        assert!(dirty.contains("PRIVATE KEY"));
        profile["peers"][&org.peer.host]["tlsCACerts"]["pem"] = dirty.into();
        let recorder = Recorder::start(org, ledger.dir()).await;
        profile["peers"][&org.peer.host]["url"] = format!("grpcs://{}", recorder.address).into();
        recorders.push(recorder);
        fs::write(&path, profile.to_string()).unwrap();
    }
    let finished = Finished::run(ledger.prepare("secret", &SMALL), &ledger).await;
    finished.check(&ledger).await;

    let org = &ledger.network.orgs[0];
    let user = &org.user;
    let first = ledger.dir().join("crypto/key-first.pem");
    let text = |path: &Path| fs::read_to_string(ledger.network.path(path)).unwrap();
    fs::write(&first, text(&user.key) + &text(&user.cert)).unwrap();
    let profile = ledger.network.path(&org.profile);
    let own = User::from_files(&org.msp_id, &first, &ledger.network.path(&user.key)).unwrap();
    let tls = ClientTls::from_pem(&text(&org.peer.tls.cert), &text(&org.peer.tls.key)).unwrap();
    let options = Options { client_tls: Some(tls), ..node::ledger::options() };
    let gateway = Gateway::from_profile(&profile, Some(own), options).unwrap();
    let contract = gateway.network(&ledger.network.channel).contract(&ledger.network.chaincode.name);
    let call = || Call::new("probe").arg("key").arg("first");
    let submitted = submit(&contract, call()).await;
    assert!(matches!(submitted.outcome, Outcome::Committed(_)), "{submitted:?}");
    let proposal = contract.propose(call()).unwrap();
    assert_eq!(keys.find(&proposal.to_bytes()), None, "a proposal");

    for (recorder, org) in recorders.iter().zip(&ledger.network.orgs) {
        let recorded = recorder.recorded();
        let creator = msp::Certificate::load(&ledger.network.path(&org.admin.cert)).unwrap().to_pem();
        let has = |part: &[u8]| recorded.windows(part.len()).any(|window| window == part);
        assert!(has(creator.as_bytes()), "what {} says is not recorded", org.msp_id);
        assert_eq!(keys.find(&recorded), None, "between {} and its peer", org.msp_id);
    }
    // The certificate that the client showed in the handshake.
    let shown = msp::Certificate::load(&ledger.network.path(&org.peer.tls.cert)).unwrap();
    let recorded = recorders[0].recorded();
    assert!(recorded.windows(shown.der().len()).any(|window| window == shown.der()));

    // What the command line makes for others.
    let command = |args: &[&str]| {
        let output = Command::new(program()).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        [output.stdout, output.stderr].concat()
    };
    let at = |name: &str| ledger.dir().join(name).display().to_string();
    let service_ca = ledger.network.path(&org.chaincode.tls.ca).display().to_string();
    let mut said = command(&[
        "network",
        "join",
        "--profile",
        &profile.display().to_string(),
        "--dir",
        &at("joined"),
        "--msp-id",
        &org.msp_id,
        "--cert",
        &first.display().to_string(),
        "--key",
        &ledger.network.path(&user.key).display().to_string(),
        "--service",
        "127.0.0.1:9999",
        "--service-tls-ca",
        &service_ca,
    ]);
    said.extend(command(&[
        "org",
        "init",
        "--name",
        "Clinic",
        "--domain",
        "clinic.example.com",
        "--peer",
        "localhost:7051",
        "--orderer",
        "localhost:7050",
        "--dir",
        &at("clinic"),
    ]));
    keys.put_beside_certificates(&ledger.dir().join("clinic/crypto"));
    said.extend(command(&["org", "export", "--dir", &at("clinic"), "--out", &at("clinic.json")]));
    assert_eq!(keys.find(&said), None, "the command's words");

    let found = keys.found_in(ledger.dir());
    // Profiles are the test's own input.
    let is_input = |path: &String| path.contains("/crypto/") || path.contains("/connection-org");
    let elsewhere: Vec<_> = found.into_iter().filter(|path| !is_input(path)).collect();
    assert!(elsewhere.is_empty(), "private keys in {elsewhere:#?}");
}

/// What of private keys is looked for.
#[derive(Default)]
struct Keys {
    /// Texts and numbers by their first bytes.
    by_start: HashMap<[u8; 8], Vec<Vec<u8>>>,
}

impl Keys {
    /// Puts the nearest private key behind every certificate in a tree.
    fn put_beside_certificates(&mut self, crypto: &Path) {
        let mut files = Vec::new();
        walk(crypto, &mut files);
        let is_key = |path: &Path| path.ends_with("priv_sk") || path.extension().is_some_and(|e| e == "key");
        let keys: Vec<_> = files.iter().filter(|path| is_key(path)).cloned().collect();
        assert!(!keys.is_empty());
        for key in &keys {
            self.learn(&fs::read_to_string(key).unwrap());
        }
        for file in files.iter().filter(|path| !is_key(path)) {
            let text = fs::read_to_string(file).unwrap();
            if text.contains("BEGIN CERTIFICATE") {
                let common = |key: &&PathBuf| {
                    key.components().zip(file.components()).take_while(|(a, b)| a == b).count()
                };
                let nearest = keys.iter().max_by_key(common).unwrap();
                fs::write(file, text + &fs::read_to_string(nearest).unwrap()).unwrap();
            }
        }
    }

    fn learn(&mut self, pem: &str) {
        let secret = SecretKey::from_pkcs8_pem(pem).unwrap();
        // The number, and the digits of PKCS#8 in which it is: those of the public half are everywhere.
        let digits: Vec<&str> = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let (first, second) = (&digits[0].as_bytes()[48..], &digits[1].as_bytes()[..24]);
        for part in [&secret.to_bytes(), first, second].map(<[u8]>::to_vec) {
            let start = part[..8].try_into().unwrap();
            self.by_start.entry(start).or_default().push(part);
        }
    }

    /// Where a key begins in these bytes.
    fn find(&self, bytes: &[u8]) -> Option<usize> {
        let begins = |at: &usize| {
            let start: [u8; 8] = bytes[*at..at + 8].try_into().unwrap();
            let known = self.by_start.get(&start);
            known.is_some_and(|parts| parts.iter().any(|part| bytes[*at..].starts_with(part)))
        };
        (0..bytes.len().saturating_sub(7)).find(begins)
    }

    /// The files of a tree with a key in them, packages unpacked.
    fn found_in(&self, dir: &Path) -> Vec<String> {
        let mut files = Vec::new();
        walk(dir, &mut files);
        let has_key = |path: &&PathBuf| {
            // Sockets and the like, and what goes meanwhile.
            fs::read(path).is_ok_and(|bytes| self.find(&bytes).is_some() || self.is_packed(&bytes))
        };
        files.iter().filter(has_key).map(|path| path.display().to_string()).collect()
    }

    fn is_packed(&self, bytes: &[u8]) -> bool {
        if !bytes.starts_with(&[0x1f, 0x8b]) {
            return false;
        }
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes));
        let Ok(entries) = archive.entries() else { return false };
        entries.flatten().any(|mut entry| {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).is_ok()
                && (self.find(&content).is_some() || self.is_packed(&content))
        })
    }
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(&entry.path(), files),
            Ok(kind) if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
}

/// A peer and clients with P-384 and, but on 2.5, which refuses them, clients with Ed25519.
async fn key_kinds(on: On) {
    let make = |dir: &Path| {
        let material = standard(dir, |spec| {
            let [one, two] =
                ["Org1MSP", "Org2MSP"].map(|id| spec.orgs.iter().position(|org| org.msp_id == id).unwrap());
            spec.orgs[one].node_keys = Some(KeyKind::P384);
            spec.orgs[one].user_keys = Some(KeyKind::P384);
            spec.orgs[two].user_keys = (on != On::Fabric2_5).then_some(KeyKind::Ed25519);
        });
        let kind = |path: PathBuf| msp::Certificate::load(&path).unwrap().public_key().unwrap().kind();
        let org = |name: &str| material.org(name).unwrap();
        assert_eq!(kind(org("Org1").node("peer0").unwrap().signing_cert()), KeyKind::P384);
        assert_eq!(kind(org("Org1").admin().signing_cert()), KeyKind::P384);
        let expected = if on == On::Fabric2_5 { KeyKind::P256 } else { KeyKind::Ed25519 };
        assert_eq!(kind(org("Org2").admin().signing_cert()), expected);
    };
    let ledger = Ledger::start_with_material(on, 3, make).await;
    let finished = Finished::run(ledger.prepare("kinds", &SMALL), &ledger).await;
    // Among other things the observer finds no defect.
    finished.check(&ledger).await;
}
