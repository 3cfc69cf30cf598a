//! The trees: their layout, their certificates, and whether Fabric's own tools take them.

use crypto_material::{Error, Material, NetworkSpec, NodeSpec, OrgSpec, UserSpec, generate, load};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use x509_parser::prelude::*;

fn files(dir: &Path) -> BTreeSet<PathBuf> {
    fn walk(dir: &Path, found: &mut BTreeSet<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else {
                found.insert(path);
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(dir, &mut found);
    found.into_iter().map(|path| path.strip_prefix(dir).unwrap().to_owned()).collect()
}

/// All bytes of a tree, to see that nothing changed.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    files(dir).into_iter().map(|path| (path.clone(), fs::read(dir.join(path)).unwrap())).collect()
}

/// Parses a PEM certificate and hands it to `check`.
fn with_certificate<T>(path: &Path, check: impl FnOnce(&X509Certificate<'_>) -> T) -> T {
    let bytes = fs::read(path).unwrap();
    let (_, pem) = parse_x509_pem(&bytes).unwrap();
    check(&pem.parse_x509().unwrap())
}

fn signed_by(certificate: &Path, authority: &Path) -> bool {
    with_certificate(authority, |ca| {
        with_certificate(certificate, |leaf| {
            leaf.issuer() == ca.subject() && leaf.verify_signature(Some(ca.public_key())).is_ok()
        })
    })
}

fn standard(n: usize) -> (tempfile::TempDir, Material) {
    let dir = tempfile::tempdir().unwrap();
    let material = generate(&NetworkSpec::standard(n), dir.path()).unwrap();
    (dir, material)
}

#[test]
fn layout_is_that_of_cryptogen() {
    let (dir, _) = standard(1);
    let mut expected = BTreeSet::from([PathBuf::from("network.json")]);
    for (root, domain, node, users) in [
        ("peerOrganizations", "org1.example.com", "peers/peer0", &["Admin", "User1"][..]),
        ("ordererOrganizations", "example.com", "orderers/orderer", &["Admin"][..]),
    ] {
        let org = Path::new(root).join(domain);
        for ca in ["ca", "tlsca"] {
            expected.insert(org.join(format!("{ca}/{ca}.{domain}-cert.pem")));
            expected.insert(org.join(format!("{ca}/priv_sk")));
        }
        let node = (format!("{node}.{domain}"), "server");
        let users = users.iter().map(|user| (format!("users/{user}@{domain}"), "client"));
        for (member, tls) in users.chain([node]) {
            let name = member.rsplit('/').next().unwrap();
            expected.insert(org.join(format!("{member}/msp/signcerts/{name}-cert.pem")));
            expected.insert(org.join(format!("{member}/msp/keystore/priv_sk")));
            for file in ["ca.crt", &format!("{tls}.crt"), &format!("{tls}.key")] {
                expected.insert(org.join(format!("{member}/tls/{file}")));
            }
            for file in [
                format!("cacerts/ca.{domain}-cert.pem"),
                format!("tlscacerts/tlsca.{domain}-cert.pem"),
                "config.yaml".into(),
            ] {
                expected.insert(org.join(format!("{member}/msp/{file}")));
                expected.insert(org.join(format!("msp/{file}")));
            }
        }
    }
    assert_eq!(files(dir.path()), expected);
}

#[test]
fn keys_are_private_pkcs8() {
    let (dir, _) = standard(1);
    let all = files(dir.path());
    let keys =
        all.iter().filter(|path| path.ends_with("priv_sk") || path.extension().is_some_and(|e| e == "key"));
    let mut count = 0;
    for key in keys {
        let path = dir.path().join(key);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", key.display());
        assert!(fs::read_to_string(&path).unwrap().starts_with("-----BEGIN PRIVATE KEY-----"));
        count += 1;
    }
    assert_eq!(count, 14);
}

#[test]
fn chains_and_extensions_hold() {
    let (_dir, material) = standard(2);
    for org in material.orgs() {
        for ca in [org.ca_cert(), org.tls_ca_cert()] {
            assert!(signed_by(&ca, &ca));
            with_certificate(&ca, |ca| {
                assert!(ca.basic_constraints().unwrap().unwrap().value.ca);
                assert!(ca.key_usage().unwrap().unwrap().value.key_cert_sign());
                let has_ski = |e: &X509Extension<'_>| matches!(e.parsed_extension(), ParsedExtension::SubjectKeyIdentifier(id) if id.0.len() == 20);
                assert!(ca.extensions().iter().any(has_ski));
            });
        }
        for node in org.nodes() {
            assert!(signed_by(&node.signing_cert(), &org.ca_cert()));
            assert!(signed_by(&node.tls_cert(), &org.tls_ca_cert()));
            assert!(!signed_by(&node.tls_cert(), &org.ca_cert()), "the authorities are separate");
        }
        for user in org.users() {
            assert!(signed_by(&user.signing_cert(), &org.ca_cert()));
            assert!(signed_by(&user.tls_cert(), &org.tls_ca_cert()));
        }
    }
    let (org1, org2) = (material.org("Org1").unwrap(), material.org("Org2MSP").unwrap());
    assert!(!signed_by(&org1.admin().signing_cert(), &org2.ca_cert()));
}

#[test]
fn roles_are_organisational_units() {
    let (_dir, material) = standard(1);
    let org1 = material.org("Org1").unwrap();
    let orderer = material.org("Orderer").unwrap();
    for (path, role) in [
        (org1.node("peer0").unwrap().signing_cert(), "peer"),
        (org1.admin().signing_cert(), "admin"),
        (org1.user("User1").unwrap().signing_cert(), "client"),
        (orderer.node("orderer.example.com").unwrap().signing_cert(), "orderer"),
    ] {
        with_certificate(&path, |certificate| {
            let units: Vec<_> =
                certificate.subject().iter_organizational_unit().map(|unit| unit.as_str().unwrap()).collect();
            assert_eq!(units, [role]);
            assert!(!certificate.is_ca());
        });
    }
}

#[test]
fn certificates_have_low_s() {
    let (_dir, material) = standard(3);
    for org in material.orgs() {
        let nodes: Vec<_> = org.nodes().flat_map(|n| [n.signing_cert(), n.tls_cert()]).collect();
        for path in nodes.into_iter().chain([org.ca_cert(), org.admin().signing_cert()]) {
            with_certificate(&path, |certificate| {
                let signature = p256::ecdsa::Signature::from_der(&certificate.signature_value.data).unwrap();
                assert_eq!(signature.normalize_s(), signature, "{}", path.display());
            });
        }
    }
}

#[test]
fn names_and_attributes_are_in_the_certificates() {
    let dir = tempfile::tempdir().unwrap();
    let mut org = OrgSpec::peer("Org1", "org1.example.com");
    org.nodes.push(NodeSpec { hostname: "peer1".into(), sans: vec!["peer.test".into(), "10.1.2.3".into()] });
    let attributes = BTreeMap::from([("role".to_string(), "auditor \"x\"".to_string())]);
    org.users.push(UserSpec { name: "Auditor".into(), attributes: attributes.clone() });
    let material = generate(&NetworkSpec { orgs: vec![org] }, dir.path()).unwrap();
    let org = material.org("org1.example.com").unwrap();

    with_certificate(&org.node("peer1").unwrap().tls_cert(), |certificate| {
        let names = &certificate.subject_alternative_name().unwrap().unwrap().value.general_names;
        for name in ["peer1.org1.example.com", "peer1", "localhost", "peer.test"] {
            assert!(names.contains(&GeneralName::DNSName(name)), "{name} in {names:?}");
        }
        for address in [&[127, 0, 0, 1], &[10, 1, 2, 3]] {
            assert!(names.contains(&GeneralName::IPAddress(address)), "{address:?} in {names:?}");
        }
    });
    let extension = |path: &Path| {
        with_certificate(path, |certificate| {
            let found = certificate.extensions().iter().find(|e| e.oid.to_id_string() == "1.2.3.4.5.6.7.8.1");
            found.map(|e| serde_json::from_slice::<serde_json::Value>(e.value).unwrap())
        })
    };
    let auditor = extension(&org.user("Auditor").unwrap().signing_cert());
    assert_eq!(auditor, Some(serde_json::json!({ "attrs": attributes })));
    assert_eq!(extension(&org.user("User1").unwrap().signing_cert()), None);
}

#[test]
fn what_exists_is_kept_and_can_be_extended() {
    let (dir, mut material) = standard(1);
    let before = contents(dir.path());
    generate(&NetworkSpec::standard(1), dir.path()).unwrap();
    assert_eq!(contents(dir.path()), before);

    let mut org1 = OrgSpec::peer("Org1", "org1.example.com");
    org1.nodes.push(NodeSpec::new("peer1"));
    material.extend(org1).unwrap();
    material.extend(OrgSpec::peer("Org2", "org2.example.com")).unwrap();
    let after = contents(dir.path());
    assert!(before.iter().all(|(path, bytes)| path.ends_with("network.json") || after[path] == *bytes));
    let org1 = material.org("Org1").unwrap();
    assert!(signed_by(&org1.node("peer1").unwrap().signing_cert(), &org1.ca_cert()));

    let loaded = load(dir.path()).unwrap();
    assert_eq!(loaded.spec(), material.spec());
    assert_eq!(
        loaded.peer_orgs().map(|org| org.msp_id().to_owned()).collect::<Vec<_>>(),
        ["Org1MSP", "Org2MSP"]
    );
    assert_eq!(loaded.orderer_orgs().count(), 1);
}

#[test]
fn a_missing_file_is_an_error_and_an_interrupted_run_is_not() {
    let (dir, material) = standard(1);
    let org = material.org("Org1").unwrap();
    let key = org.node("peer0").unwrap().signing_key();
    fs::remove_file(&key).unwrap();
    for outcome in [generate(&NetworkSpec::standard(1), dir.path()), load(dir.path())] {
        let error = outcome.unwrap_err();
        assert!(matches!(&error, Error::Incomplete { file, .. } if *file == key), "{error}");
        assert!(error.to_string().contains("remove"), "{error}");
    }

    // As the message says: remove the folder and it is made anew, by the same authority.
    fs::remove_dir_all(org.node("peer0").unwrap().dir()).unwrap();
    let staging = org.dir().join("peers/.peer0.org1.example.com.new");
    fs::create_dir_all(staging.join("msp/keystore")).unwrap();
    fs::write(staging.join("msp/keystore/priv_sk"), "half a k").unwrap();
    generate(&NetworkSpec::standard(1), dir.path()).unwrap();
    assert!(signed_by(&org.node("peer0").unwrap().signing_cert(), &org.ca_cert()));
    assert!(!staging.exists());
}

#[test]
fn bad_specifications_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |change: &dyn Fn(&mut NetworkSpec)| {
        let mut spec = NetworkSpec::standard(2);
        change(&mut spec);
        matches!(generate(&spec, dir.path()), Err(Error::Spec(_)))
    };
    assert!(refused(&|spec| spec.orgs[0].domain = "../escape".into()));
    assert!(refused(&|spec| spec.orgs[0].domain = String::new()));
    assert!(refused(&|spec| spec.orgs[1].msp_id = "Org1MSP".into()));
    assert!(refused(&|spec| spec.orgs[0].users.push(UserSpec::new("Admin"))));
    assert!(refused(&|spec| spec.orgs[0].users.push(UserSpec::new("a/b"))));
    assert!(refused(&|spec| spec.orgs[0].nodes.push(NodeSpec::new("peer0"))));
    assert_eq!(files(dir.path()).len(), 0);

    generate(&NetworkSpec::standard(1), dir.path()).unwrap();
    let mut other = NetworkSpec::standard(1);
    other.orgs[0].msp_id = "Other".into();
    assert!(matches!(generate(&other, dir.path()), Err(Error::Conflict { .. })));
    assert!(matches!(load(&dir.path().join("nothing")), Err(Error::Absent(_))));
}

/// A binary of real Fabric; prints loudly where there is none.
fn fabric(name: &str) -> Option<PathBuf> {
    let home = std::env::var_os("FABRIC_HOME").map(PathBuf::from);
    let homes = home.iter().flat_map(|home| [home.join("bin"), home.clone()]);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        homes.chain(std::env::split_paths(&path)).map(|dir| dir.join(name)).find(|file| file.is_file());
    if found.is_none() {
        eprintln!("SKIPPED: crypto-material against {name}: real Fabric not found; set FABRIC_HOME");
    }
    found
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// configtxgen reads the organisations' MSPs and the consenter's TLS certificate; `peer` and `orderer`
/// load their local MSPs with the signing identities.
#[test]
fn real_fabric_takes_the_material() {
    let (Some(configtxgen), Some(peer)) = (fabric("configtxgen"), fabric("peer")) else {
        return;
    };
    let (dir, material) = standard(2);
    let work = dir.path().join("work");
    fs::create_dir(&work).unwrap();
    fs::write(work.join("configtx.yaml"), configtx(&material)).unwrap();
    let block = work.join("confab.block");
    let configure = |arguments: &[&str]| {
        let mut command = Command::new(&configtxgen);
        run(command
            .env("FABRIC_CFG_PATH", &work)
            .args(["-profile", "Confab", "-channelID", "confab"])
            .args(arguments));
    };
    configure(&["-outputBlock", block.to_str().unwrap()]);
    let block = fs::read(block).unwrap();
    let org2 = material.org("Org2").unwrap();
    let root = fs::read(org2.ca_cert()).unwrap();
    assert!(
        block.windows(root.len()).any(|window| window == root),
        "the block holds Org2's root certificate"
    );

    // Signing a configuration update needs a whole local MSP: the chain, the role and the matching key.
    let update = work.join("update.tx");
    fs::write(
        work.join("core.yaml"),
        "peer:\n  BCCSP:\n    Default: SW\n    SW: {Hash: SHA2, Security: 256}\n",
    )
    .unwrap();
    let org1 = material.org("Org1").unwrap();
    let members = [
        org1.admin().msp_dir(),
        org1.user("User1").unwrap().msp_dir(),
        org1.node("peer0").unwrap().msp_dir(),
    ];
    for msp in members {
        configure(&["-outputCreateChannelTx", update.to_str().unwrap()]);
        let before = fs::metadata(&update).unwrap().len();
        run(Command::new(&peer)
            .env("FABRIC_CFG_PATH", &work)
            .env("CORE_PEER_LOCALMSPID", "Org1MSP")
            .env("CORE_PEER_MSPCONFIGPATH", &msp)
            .args(["channel", "signconfigtx", "-f", update.to_str().unwrap()]));
        assert!(fs::metadata(&update).unwrap().len() > before, "{} signed", msp.display());
    }
}

fn configtx(material: &Material) -> String {
    let organisation = |org: crypto_material::Org| {
        let id = org.msp_id().to_owned();
        let policy =
            |name: &str, role: &str| format!("{name}: {{Type: Signature, Rule: \"OR('{id}.{role}')\"}}");
        let endpoints = if org.name() == "Orderer" { ", OrdererEndpoints: ['localhost:7050']" } else { "" };
        format!(
            "{{Name: {id}, ID: {id}, MSPDir: {}{endpoints}, Policies: {{{}, {}, {}, {}}}}}",
            org.msp_dir().display(),
            policy("Readers", "member"),
            policy("Writers", "member"),
            policy("Admins", "admin"),
            policy("Endorsement", "peer"),
        )
    };
    let implicit = "Policies: {\
        Readers: {Type: ImplicitMeta, Rule: 'ANY Readers'}, \
        Writers: {Type: ImplicitMeta, Rule: 'ANY Writers'}, \
        Admins: {Type: ImplicitMeta, Rule: 'MAJORITY Admins'}, \
        LifecycleEndorsement: {Type: ImplicitMeta, Rule: 'MAJORITY Endorsement'}, \
        Endorsement: {Type: ImplicitMeta, Rule: 'MAJORITY Endorsement'}, \
        BlockValidation: {Type: ImplicitMeta, Rule: 'ANY Writers'}}";
    let peers: Vec<_> = material.peer_orgs().map(organisation).collect();
    let orderers: Vec<_> = material.orderer_orgs().map(organisation).collect();
    let tls = material.org("Orderer").unwrap().node("orderer").unwrap().tls_cert();
    format!(
        "Profiles:
  Confab:
    Consortium: SampleConsortium
    {implicit}
    Capabilities: {{V3_0: true}}
    Orderer:
      OrdererType: etcdraft
      BatchTimeout: 10ms
      BatchSize: {{MaxMessageCount: 10, AbsoluteMaxBytes: 10 MB, PreferredMaxBytes: 2 MB}}
      EtcdRaft:
        Consenters: [{{Host: localhost, Port: 7050, ClientTLSCert: {tls}, ServerTLSCert: {tls}}}]
      Organizations: [{}]
      {implicit}
      Capabilities: {{V2_0: true}}
    Application:
      Organizations: [{}]
      {implicit}
      Capabilities: {{V2_5: true}}
",
        orderers.join(", "),
        peers.join(", "),
        tls = tls.display(),
    )
}
