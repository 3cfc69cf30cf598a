//! MSPs made by crypto-material, and chains made by hand.

use crypto_material::{Material, NetworkSpec, UserSpec, generate};
use fabric_protos::msp::{FabricMspConfig, SerializedIdentity};
use fabric_protos::prost::Message;
use msp::{Certificate, Error, Identity, KeyKind, Msp, Msps, Policy, Principal, Role, read_folder};
use p256::ecdsa::{Signature, SigningKey, signature::Signer};
use p256::pkcs8::DecodePrivateKey;
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use std::fs;
use std::path::Path;

fn network() -> (tempfile::TempDir, Material, Msps) {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = NetworkSpec::standard(3);
    let attributes = [("level".to_string(), "7".to_string())].into();
    spec.orgs[0].users.push(UserSpec { name: "Auditor".into(), attributes });
    let material = generate(&spec, dir.path()).unwrap();
    let msps = Msps::new(material.orgs().map(|org| Msp::load(org.msp_id(), &org.msp_dir()).unwrap()));
    (dir, material, msps)
}

fn identity(msp_id: &str, certificate: &Path) -> Identity {
    Identity::from_pem(msp_id, &fs::read(certificate).unwrap()).unwrap()
}

fn key(path: &Path) -> SigningKey {
    SigningKey::from_pkcs8_pem(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn roles_follow_node_ous() {
    let (_dir, material, msps) = network();
    let org1 = material.org("Org1").unwrap();
    let orderer = material.org("Orderer").unwrap();
    for (msp_id, certificate, role) in [
        ("Org1MSP", org1.admin().signing_cert(), Role::Admin),
        ("Org1MSP", org1.user("User1").unwrap().signing_cert(), Role::Client),
        ("Org1MSP", org1.node("peer0").unwrap().signing_cert(), Role::Peer),
        ("OrdererMSP", orderer.node("orderer").unwrap().signing_cert(), Role::Orderer),
    ] {
        let identity = identity(msp_id, &certificate);
        assert_eq!(msps.get(msp_id).unwrap().role(&identity).unwrap(), role);
        for other in [Role::Member, Role::Admin, Role::Client, Role::Peer, Role::Orderer] {
            let principal = Principal { msp_id: msp_id.into(), role: other };
            assert_eq!(msps.satisfies(&identity, &principal), other == Role::Member || other == role);
            let elsewhere = Principal { msp_id: "Org2MSP".into(), role: other };
            assert!(!msps.satisfies(&identity, &elsewhere));
        }
    }
}

#[test]
fn strangers_are_refused_and_named() {
    let (_dir, material, msps) = network();
    let org1 = material.org("Org1").unwrap();
    let user = org1.user("User1").unwrap();
    let refused = |identity: Identity, what: &str| {
        let error = msps.validate(&identity).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    };
    refused(identity("Org2MSP", &user.signing_cert()), "no authority");
    refused(identity("NowhereMSP", &user.signing_cert()), "NowhereMSP is unknown");
    refused(identity("Org1MSP", &org1.ca_cert()), "authority's certificate");
    refused(identity("Org1MSP", &user.tls_cert()), "no authority");
    let own = identity("Org1MSP", &user.signing_cert());
    let other = msps.get("Org2MSP").unwrap().validate(&own).unwrap_err();
    assert!(other.to_string().contains("claims MSP Org1MSP"), "{other}");
}

#[test]
fn validity_is_judged_at_the_given_time() {
    let (_dir, material, msps) = network();
    let own = identity("Org1MSP", &material.org("Org1").unwrap().admin().signing_cert());
    let (first, last) = own.certificate().validity();
    msps.validate(&own).unwrap();
    msps.validate_at(&own, first).unwrap();
    for time in [first - 1, last + 1, i64::MIN, i64::MAX] {
        assert!(msps.validate_at(&own, time).unwrap_err().to_string().contains("is valid from"));
    }
}

#[test]
fn attributes_are_read() {
    let (_dir, material, _) = network();
    let org1 = material.org("Org1").unwrap();
    let auditor = identity("Org1MSP", &org1.user("Auditor").unwrap().signing_cert());
    assert_eq!(auditor.certificate().attributes().unwrap()["level"], "7");
    assert!(identity("Org1MSP", &org1.admin().signing_cert()).certificate().attributes().unwrap().is_empty());
}

#[test]
fn signatures_need_the_key_and_a_low_s() {
    let (_dir, material, _) = network();
    let admin = material.org("Org1").unwrap().admin();
    let certificate = identity("Org1MSP", &admin.signing_cert()).certificate().clone();
    let key = key(&admin.signing_key());
    for i in 0..20 {
        let message = format!("message {i}");
        let signature: Signature = key.sign(message.as_bytes());
        let low = signature.normalize_s();
        let high = Signature::from_scalars(low.r(), -low.s()).unwrap();
        let high = high.to_der().as_bytes().to_vec();
        assert_eq!(
            certificate.verify(message.as_bytes(), &high).unwrap_err(),
            Error::Signature("s is above half the order")
        );
        let low = certificate.public_key().unwrap().normalize(&high).unwrap();
        certificate.verify(message.as_bytes(), &low).unwrap();
        assert!(certificate.verify(b"another", &low).is_err());
    }
    assert!(certificate.public_key().unwrap().normalize(b"nonsense").is_err());
}

#[test]
fn serialised_identities_keep_their_bytes() {
    let (_dir, material, _) = network();
    let pem = fs::read(material.org("Org1").unwrap().admin().signing_cert()).unwrap();
    let mut id_bytes = b"# a comment\n".to_vec();
    id_bytes.extend(&pem);
    let wire = SerializedIdentity { mspid: "Org1MSP".into(), id_bytes }.encode_to_vec();
    let identity = Identity::decode(&wire).unwrap();
    assert_eq!(identity.encode(), wire);
    assert_eq!(identity.certificate().to_pem().into_bytes(), pem);
    assert!(Identity::decode(&wire[..wire.len() / 2]).is_err());
    assert!(Identity::decode(&[]).is_err());
}

/// A self-signed certificate of a key that rcgen makes, and the key.
fn own(algorithm: &'static rcgen::SignatureAlgorithm) -> (Certificate, String) {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let made = CertificateParams::default().self_signed(&key).unwrap();
    (Certificate::from_pem(made.pem().as_bytes()).unwrap(), key.serialize_pem())
}

#[test]
fn members_sign_with_every_kind_of_key_that_fabric_takes() {
    for (algorithm, kind) in [
        (&rcgen::PKCS_ECDSA_P256_SHA256, KeyKind::P256),
        (&rcgen::PKCS_ECDSA_P384_SHA384, KeyKind::P384),
        (&rcgen::PKCS_ED25519, KeyKind::Ed25519),
    ] {
        let (certificate, pem) = own(algorithm);
        let key = msp::SigningKey::from_pem(&pem).unwrap();
        assert_eq!(certificate.public_key().unwrap(), key.public_key());
        assert_eq!(key.public_key().kind(), kind);
        for message in [&b""[..], b"message", &[7; 1000]] {
            let signature = key.sign(message).unwrap();
            certificate.verify(message, &signature).unwrap();
            assert_eq!(key.public_key().normalize(&signature).unwrap(), signature);
            assert!(certificate.verify(b"another", &signature).is_err(), "{kind}");
            assert!(own(algorithm).0.verify(message, &signature).is_err(), "{kind}: another key");
            assert!(certificate.verify(message, &signature[1..]).is_err(), "{kind}");
        }
        assert!(certificate.verify(b"message", b"").is_err(), "{kind}");
        assert!(!format!("{key:?}{:?}", key.public_key()).contains(&pem[40..60]));
    }
    let (certificate, _) = own(&rcgen::PKCS_ECDSA_P521_SHA512);
    assert!(certificate.public_key().unwrap_err().to_string().contains("P-384"));
}

/// Fabric asks for the lower s, and for SHA-256, on P-384, too.
#[test]
fn p384_is_used_as_fabric_uses_it() {
    use p384::ecdsa::signature::hazmat::PrehashSigner;
    let (certificate, pem) = own(&rcgen::PKCS_ECDSA_P384_SHA384);
    let secret = p384::ecdsa::SigningKey::from_pkcs8_pem(&pem).unwrap();
    let der = |s: &p384::ecdsa::Signature| s.to_der().as_bytes().to_vec();
    let digest = <sha2::Sha256 as sha2::Digest>::digest(b"message");
    let low: p384::ecdsa::Signature =
        PrehashSigner::<p384::ecdsa::Signature>::sign_prehash(&secret, &digest).unwrap().normalize_s();
    certificate.verify(b"message", &der(&low)).unwrap();
    let high = p384::ecdsa::Signature::from_scalars(low.r(), -low.s()).unwrap();
    let error = certificate.verify(b"message", &der(&high)).unwrap_err();
    assert_eq!(error, Error::Signature("s is above half the order"));
    let sha384: p384::ecdsa::Signature = secret.sign(b"message");
    assert!(certificate.verify(b"message", &der(&sha384.normalize_s())).is_err());
}

/// Own files hold what users put into them.
#[test]
fn only_certificates_are_taken_from_files() {
    let (certificate, key) = own(&rcgen::PKCS_ECDSA_P256_SHA256);
    let (other, _) = own(&rcgen::PKCS_ED25519);
    let (pem, other_pem) = (certificate.to_pem(), other.to_pem());
    let encrypted =
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    for (text, all) in [
        (format!("{pem}{key}"), pem.clone()),
        (format!("{key}{pem}"), pem.clone()),
        (format!("\u{feff}Bag Attributes\n{encrypted}{pem}"), pem.clone()),
        (format!("{pem}{key}{other_pem}").replace('\n', "\r\n"), format!("{pem}{other_pem}")),
    ] {
        assert_eq!(Certificate::find(text.as_bytes()).unwrap(), certificate);
        assert_eq!(msp::bundle(text.as_bytes()).unwrap(), all);
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cert.pem");
    for (text, what) in [
        (key.clone(), "a private key and no certificate"),
        (String::new(), "no certificate in PEM"),
        (pem.replace("CERTIFICATE-----\nMI", "CERTIFICATE-----\nZZ"), "not a usable certificate"),
        (pem[..100].to_owned(), "PEM has no end"),
    ] {
        fs::write(&path, &text).unwrap();
        let error = Certificate::load(&path).unwrap_err().to_string();
        assert!(error.contains("cert.pem") && error.contains(what), "{error}");
        assert!(key.lines().skip(1).all(|line| line.starts_with('-') || !error.contains(line)), "{error}");
    }
    let identity = Identity::new("Org1MSP", certificate);
    fs::write(&path, format!("{pem}{key}")).unwrap();
    assert_eq!(Identity::new("Org1MSP", Certificate::load(&path).unwrap()), identity);
    assert_eq!(Identity::decode(&identity.encode()).unwrap(), identity);
}

/// A folder's configuration goes to everybody on the channel.
#[test]
fn a_key_in_an_msp_folder_stays_there() {
    let (_dir, material, _) = network();
    let org1 = material.org("Org1").unwrap();
    let clean = read_folder("Org1MSP", &org1.msp_dir()).unwrap();
    let key = fs::read_to_string(org1.admin().signing_key()).unwrap();
    let certificate = fs::read_to_string(org1.admin().signing_cert()).unwrap();
    for folder in ["cacerts", "tlscacerts"] {
        for file in fs::read_dir(org1.msp_dir().join(folder)).unwrap() {
            let path = file.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            fs::write(&path, format!("{key}{text}{key}")).unwrap();
        }
    }
    assert_eq!(read_folder("Org1MSP", &org1.msp_dir()).unwrap(), clean);
    for folder in ["admincerts", "intermediatecerts", "tlsintermediatecerts"] {
        let path = org1.msp_dir().join(folder).join("cert.pem");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("{certificate}{key}")).unwrap();
    }
    let config = read_folder("Org1MSP", &org1.msp_dir()).unwrap();
    assert_eq!((config.admins.len(), config.tls_intermediate_certs.len()), (1, 1));
    assert!(!String::from_utf8_lossy(&config.encode_to_vec()).contains("PRIVATE KEY"));
    fs::write(org1.msp_dir().join("admincerts/cert.pem"), key).unwrap();
    let error = read_folder("Org1MSP", &org1.msp_dir()).unwrap_err().to_string();
    assert!(error.contains("admincerts/cert.pem") && error.contains("private key"), "{error}");
}

/// Whoever reads blocks must get past a certificate that no peer would take from a member.
#[test]
fn odd_extensions_are_read_and_make_no_member() {
    let root = authority("root", None);
    let msp = Msp::new(&config(&[&root], &[])).unwrap();
    let with = |extensions: Vec<rcgen::CustomExtension>| {
        let mut params = CertificateParams::default();
        params.custom_extensions = extensions;
        let key = KeyPair::generate().unwrap();
        let made = params.signed_by(&key, &Issuer::from_params(&root.params, &root.key)).unwrap();
        Identity::from_pem("Org", made.pem().as_bytes()).unwrap()
    };
    let extension = |oid: &[u64], content: &[u8], critical: bool| {
        let mut extension = rcgen::CustomExtension::from_oid_content(oid, content.to_vec());
        extension.set_criticality(critical);
        extension
    };
    let unknown = || extension(&[1, 3, 6, 1, 4, 1, 55555, 1], &[5, 0], true);
    let attributes = |json: &str| extension(&[1, 2, 3, 4, 5, 6, 7, 8, 1], json.as_bytes(), false);
    msp.validate(&with(vec![attributes(r#"{"attrs":{"a":"1"}}"#)])).unwrap();
    for (extensions, what) in [
        (vec![unknown()], "critical extension 1.3.6.1.4.1.55555.1 is unknown"),
        (vec![unknown(), unknown()], "repeated"),
        (vec![extension(&[2, 5, 29, 15], b"nonsense", false)], "cannot be read"),
    ] {
        let identity = with(extensions);
        assert_eq!(identity.certificate().public_key_hash().len(), 32);
        let error = msp.validate(&identity).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
    // Attributes matter to chaincodes that ask for them, not to peers.
    let odd = with(vec![attributes("none")]);
    msp.validate(&odd).unwrap();
    assert!(odd.certificate().attributes().unwrap_err().to_string().contains("JSON"));
}

#[test]
fn policies_count_each_signer_once() {
    let (_dir, material, msps) = network();
    let peer = |org: &str| {
        let org = material.org(org).unwrap();
        identity(org.msp_id(), &org.node("peer0").unwrap().signing_cert())
    };
    let (one, two, three) = (peer("Org1"), peer("Org2"), peer("Org3"));
    let holds =
        |policy: &str, signers: &[&Identity]| policy.parse::<Policy>().unwrap().evaluate(signers, &msps);
    let two_of_three = "OutOf(2, 'Org1MSP.peer', 'Org2MSP.peer', 'Org3MSP.member')";
    assert!(holds(two_of_three, &[&one, &three]));
    assert!(!holds(two_of_three, &[&one]));
    assert!(!holds("AND('Org1MSP.peer', 'Org1MSP.member')", &[&one]));
    assert!(holds("and('Org1MSP.peer', OR(\"Org2MSP.admin\", 'Org3MSP.peer'))", &[&three, &one]));
    assert!(!holds("OR('Org1MSP.admin','Org2MSP.client')", &[&one, &two, &three]));
    assert!(!holds("OutOf(2, 'Org1MSP.peer')", &[&one]), "out of reach on purpose");
    assert!(holds("OutOf(0, 'Org1MSP.peer')", &[]));

    use msp::{ImplicitMeta, Rule};
    let ids = ["Org1MSP", "Org2MSP", "Org3MSP"];
    for (rule, enough) in [(Rule::Any, 1), (Rule::Majority, 2), (Rule::All, 3)] {
        let policy = ImplicitMeta::new(rule, Role::Peer, ids);
        assert_eq!(policy.threshold(), enough);
        let signers = [&one, &two, &three];
        for n in 0..=3 {
            assert_eq!(policy.evaluate(&signers[..n], &msps), n >= enough, "{rule:?} with {n}");
        }
    }
    assert_eq!(ImplicitMeta::new(Rule::Majority, Role::Peer, ["a", "b", "c", "d"]).threshold(), 3);
}

#[test]
fn policies_travel_as_fabrics_messages() {
    for text in ["'Org1MSP.peer'", "OutOf(2, 'Org1MSP.peer', 'Org2MSP.peer', OutOf(1, 'Org1MSP.admin'))"] {
        let policy: Policy = text.parse().unwrap();
        let envelope = policy.to_envelope();
        assert_eq!(Policy::decode(&envelope.encode_to_vec()).unwrap(), policy);
    }
    // Each principal is there once.
    let policy: Policy = "AND('Org1MSP.peer', 'Org1MSP.peer', 'Org2MSP.member')".parse().unwrap();
    assert_eq!(policy.to_envelope().identities.len(), 2);
    assert_eq!(policy.organizations(), ["Org1MSP", "Org2MSP"]);

    let mut empty = policy.to_envelope();
    empty.rule = None;
    let mut astray = policy.to_envelope();
    astray.identities.clear();
    let mut newer = policy.to_envelope();
    newer.version = 1;
    for (envelope, what) in [(empty, "no rule"), (astray, "not there"), (newer, "version")] {
        let error = Policy::from_envelope(&envelope).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
    assert!(Policy::decode(&[0xff]).is_err());
}

#[test]
fn policy_texts_are_read_and_written() {
    for text in ["'Org1MSP.peer'", "OutOf(1, 'a.b.member', OutOf(2, 'C-1.client', 'd.orderer'))"] {
        assert_eq!(text.parse::<Policy>().unwrap().to_string(), text);
    }
    let and: Policy = " AND ( 'a.admin' , \"b.peer\" ) ".parse().unwrap();
    assert_eq!(and.to_string(), "OutOf(2, 'a.admin', 'b.peer')");
    for (text, at) in [
        ("", 0),
        ("Nand('a.peer')", 0),
        ("AND('a.peer'", 12),
        ("AND('a.peer') x", 14),
        ("OR('a.king')", 3),
        ("OR('a.peer)", 3),
        ("OR('.peer')", 3),
        ("OutOf('a.peer')", 6),
        ("OutOf(3, 'a.peer')", 0),
        ("OutOf(99999999999999999999999, 'a.peer')", 29),
        ("é", 0),
    ] {
        match text.parse::<Policy>() {
            Err(Error::Policy { at: found, .. }) => assert_eq!(found, at, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    assert!("OR(".repeat(10_000).parse::<Policy>().is_err());
}

/// An authority, or an identity, made by hand.
struct Made {
    params: CertificateParams,
    key: KeyPair,
    pem: String,
}

fn make(name: &str, issuer: Option<&Made>, is_ca: IsCa, usages: &[KeyUsagePurpose]) -> Made {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2040, 1, 1);
    params.serial_number = Some(SerialNumber::from(name.len() as u64));
    params.is_ca = is_ca;
    params.key_usages = usages.to_vec();
    let key = KeyPair::generate().unwrap();
    let certificate = match issuer {
        None => params.self_signed(&key),
        Some(issuer) => params.signed_by(&key, &Issuer::from_params(&issuer.params, &issuer.key)),
    };
    let pem = certificate.unwrap().pem();
    Made { params, key, pem }
}

fn authority(name: &str, issuer: Option<&Made>) -> Made {
    let usages = [KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    make(name, issuer, IsCa::Ca(BasicConstraints::Unconstrained), &usages)
}

fn leaf(name: &str, issuer: &Made) -> Identity {
    let made = make(name, Some(issuer), IsCa::NoCa, &[KeyUsagePurpose::DigitalSignature]);
    Identity::from_pem("Org", made.pem.as_bytes()).unwrap()
}

fn config(roots: &[&Made], intermediates: &[&Made]) -> FabricMspConfig {
    let pems = |all: &[&Made]| all.iter().map(|made| made.pem.clone().into_bytes()).collect();
    FabricMspConfig {
        name: "Org".into(),
        root_certs: pems(roots),
        intermediate_certs: pems(intermediates),
        ..Default::default()
    }
}

#[test]
fn intermediates_lead_to_the_root() {
    let root = authority("root", None);
    let middle = authority("middle", Some(&root));
    let lower = authority("lower", Some(&middle));
    let msp = Msp::new(&config(&[&root], &[&middle, &lower])).unwrap();
    msp.validate(&leaf("good", &lower)).unwrap();
    assert_eq!(msp.role(&leaf("good", &lower)).unwrap(), Role::Member);
    // As in Fabric, who has intermediates below him issues no identities.
    let error = msp.validate(&leaf("too high", &middle)).unwrap_err().to_string();
    assert!(error.contains("intermediates only"), "{error}");

    let msp = Msp::new(&config(&[&root], &[&middle])).unwrap();
    assert!(msp.validate(&leaf("unknown issuer", &lower)).is_err());
    let missing = Msp::new(&config(&[&root], &[&lower])).unwrap_err().to_string();
    assert!(missing.contains("no authority of the organisation issued"), "{missing}");
}

#[test]
fn authorities_need_their_rights() {
    let root = authority("root", None);
    let short =
        make("short", None, IsCa::Ca(BasicConstraints::Constrained(0)), &[KeyUsagePurpose::KeyCertSign]);
    let middle = authority("middle", Some(&short));
    let error = Msp::new(&config(&[&short], &[&middle])).map(|msp| msp.validate(&leaf("deep", &middle)));
    assert!(format!("{error:?}").contains("too many authorities"), "{error:?}");

    let unsigning =
        make("unsigning", None, IsCa::Ca(BasicConstraints::Unconstrained), &[KeyUsagePurpose::CrlSign]);
    let plain = make("plain", None, IsCa::NoCa, &[]);
    for (bad, roots, intermediates) in [
        ("not a self-signed authority", vec![&unsigning], vec![]),
        ("not a self-signed authority", vec![&plain], vec![]),
        ("not a self-signed authority", vec![&middle], vec![]),
        ("no root certificate", vec![], vec![]),
        ("is no authority", vec![&root], vec![&plain]),
    ] {
        let error = Msp::new(&config(&roots, &intermediates)).unwrap_err().to_string();
        assert!(error.contains(bad), "{error}");
    }
    // An issuer of the right name with another key.
    let twin = authority("root", None);
    let error = Msp::new(&config(&[&root], &[])).unwrap().validate(&leaf("forged", &twin)).unwrap_err();
    assert!(error.to_string().contains("no authority"), "{error}");
}

#[test]
fn revoked_certificates_are_refused() {
    let root = authority("root", None);
    let revoke = |signer: &Made, serial: u64| {
        let list = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2024, 1, 1),
            next_update: rcgen::date_time_ymd(2040, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from(serial),
                revocation_time: rcgen::date_time_ymd(2024, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        let issuer = Issuer::from_params(&signer.params, &signer.key);
        list.signed_by(&issuer).unwrap().pem().unwrap().into_bytes()
    };
    let mut with_list = config(&[&root], &[]);
    with_list.revocation_list = vec![revoke(&root, "revoked".len() as u64)];
    let msp = Msp::new(&with_list).unwrap();
    msp.validate(&leaf("good", &root)).unwrap();
    let error = msp.validate(&leaf("revoked", &root)).unwrap_err().to_string();
    assert!(error.contains("has been revoked"), "{error}");

    with_list.revocation_list = vec![revoke(&authority("other", None), 1)];
    assert!(Msp::new(&with_list).is_err());
}

#[test]
fn folders_are_read_with_their_mistakes() {
    let (dir, material, _) = network();
    let org1 = material.org("Org1").unwrap();
    let config = read_folder("Org1MSP", &org1.msp_dir()).unwrap();
    assert_eq!((config.root_certs.len(), config.tls_root_certs.len()), (1, 1));
    let units = config.fabric_node_ous.as_ref().unwrap();
    assert!(units.enable);
    assert_eq!(units.peer_ou_identifier.as_ref().unwrap().certificate, config.root_certs[0]);
    assert!(matches!(Msp::load("X", &dir.path().join("nothing")), Err(Error::Configuration { .. })));

    // A unit vouched for by another authority than the one that issued.
    let mut foreign = config.clone();
    let other = fs::read(material.org("Org2").unwrap().ca_cert()).unwrap();
    foreign.fabric_node_ous.as_mut().unwrap().client_ou_identifier.as_mut().unwrap().certificate = other;
    let user = identity("Org1MSP", &org1.user("User1").unwrap().signing_cert());
    let error = Msp::new(&foreign).unwrap().validate(&user).unwrap_err().to_string();
    assert!(error.contains("vouched for by another"), "{error}");

    // Without NodeOUs a certificate without units is a member, and admins are listed.
    let mut plain = config.clone();
    plain.fabric_node_ous = None;
    plain.admins = vec![fs::read(org1.user("User1").unwrap().signing_cert()).unwrap()];
    assert_eq!(Msp::new(&plain).unwrap().role(&user).unwrap(), Role::Admin);

    fs::write(org1.msp_dir().join("config.yaml"), "NodeOUs: [").unwrap();
    assert!(matches!(Msp::load("Org1MSP", &org1.msp_dir()), Err(Error::Io { .. })));
}

fn sample() -> &'static (Vec<u8>, Vec<u8>) {
    static SAMPLE: std::sync::OnceLock<(Vec<u8>, Vec<u8>)> = std::sync::OnceLock::new();
    SAMPLE.get_or_init(|| {
        let identity = leaf("sample", &authority("root", None));
        (identity.encode(), identity.certificate().der().to_vec())
    })
}

proptest! {
    #[test]
    fn damaged_bytes_never_panic(position in 0usize..1 << 16, byte: u8, cut in 0usize..1 << 16) {
        let (encoded, der) = sample();
        for original in [encoded, der] {
            let mut damaged = original.clone();
            let length = damaged.len();
            damaged[position % length] = byte;
            damaged.truncate(length - cut % 3 * (cut % length) / 3);
            let _ = Identity::decode(&damaged);
            if let Ok(certificate) = msp::Certificate::from_der(&damaged) {
                let _ = certificate.verify(b"m", &damaged);
            }
        }
    }

    #[test]
    fn any_text_is_a_policy_or_an_error(text in r#"([ANDORoutf0-9(), '".]|peer|Org1MSP|AND\('a.peer'|\PC){0,40}"#) {
        if let Ok(policy) = text.parse::<Policy>() {
            prop_assert_eq!(policy.to_string().parse::<Policy>().unwrap(), policy);
        }
    }
}
