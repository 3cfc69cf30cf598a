use super::*;
use serde_json::{Value, json};

fn load(content: &str) -> Result<Profile, ProfileError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("connection-org1.json");
    fs::write(&path, content).unwrap();
    Profile::load(&path)
}

/// As fabric-samples' test network writes it.
const SAMPLE: &str = r#"{
    "name": "test-network-org1", "version": "1.0.0",
    "client": {"organization": "Org1", "connection": {"timeout": {"peer": {"endorser": "300"}}}},
    "organizations": {"Org1": {"mspid": "Org1MSP", "peers": ["peer0.org1.example.com"],
        "certificateAuthorities": ["ca.org1.example.com"]}},
    "peers": {"peer0.org1.example.com": {"url": "grpcs://localhost:7051",
        "tlsCACerts": {"pem": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"},
        "grpcOptions": {"ssl-target-name-override": "peer0.org1.example.com",
            "hostnameOverride": "peer0.org1.example.com"}}},
    "certificateAuthorities": {"ca.org1.example.com": {"url": "https://localhost:7054",
        "tlsCACerts": {"pem": ["x"]}, "httpOptions": {"verify": false}}}
}"#;

#[test]
fn reads_the_samples_layout() {
    let profile = load(SAMPLE).unwrap();
    assert_eq!(profile.msp_id().unwrap(), "Org1MSP");
    let endpoints = profile.endpoints().unwrap();
    assert_eq!(endpoints.iter().map(|e| e.address.as_str()).collect::<Vec<_>>(), ["localhost:7051"]);
    let tls = endpoints[0].tls.as_ref().unwrap();
    assert_eq!(tls.server_name.as_deref(), Some("peer0.org1.example.com"));
    assert!(tls.ca_pem.starts_with(b"-----BEGIN"));
    let missing = profile.user().unwrap_err().to_string();
    assert!(missing.contains("give a certificate and a key"), "{missing}");
    assert!(profile.client_tls().unwrap().is_none());
}

#[test]
fn reads_several_peers_and_the_clients_own_certificate() {
    let made = rcgen::generate_simple_self_signed(vec!["client".into()]).unwrap();
    let content = serde_json::json!({
        "client": {"organization": "A", "tlsCerts": {"client": {
            "cert": {"pem": made.cert.pem()}, "key": {"pem": made.signing_key.serialize_pem()}}}},
        "organizations": {"A": {"mspid": "AMSP", "peers": ["p2", "p1"]}},
        "peers": {"p1": {"url": "grpc://h:1"}, "p2": {"url": "grpc://h:2"}}
    });
    let profile = load(&content.to_string()).unwrap();
    let addresses: Vec<_> = profile.endpoints().unwrap().into_iter().map(|e| e.address).collect();
    assert_eq!(addresses, ["h:2", "h:1"]);
    assert_eq!(format!("{:?}", profile.client_tls().unwrap()), "Some(ClientTls(…))");
}

#[test]
fn paths_are_relative_to_the_profile() {
    let made = rcgen::generate_simple_self_signed(vec!["admin".into()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("ca.pem"), made.cert.pem()).unwrap();
    fs::write(dir.path().join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(dir.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let path = dir.path().join("connection.json");
    let content = r#"{"organizations": {"A": {"mspid": "AMSP", "peers": ["p"],
            "signedCert": {"path": "cert.pem"}, "adminPrivateKey": {"path": "key.pem"}}},
        "peers": {"p": {"url": "grpcs://h:1", "tlsCACerts": {"path": "ca.pem"}}}}"#;
    fs::write(&path, content).unwrap();
    let profile = Profile::load(&path).unwrap();
    assert_eq!(profile.endpoints().unwrap()[0].tls.as_ref().unwrap().ca_pem, made.cert.pem().as_bytes());
    assert_eq!(profile.user().unwrap().identity().msp_id(), "AMSP");
}

#[test]
fn says_what_is_wrong() {
    let table = [
        ("{", "EOF"),
        (r#"{"organizations": {}}"#, "no \"organizations\""),
        (
            r#"{"client": {"organization": "B"}, "organizations": {"A": {"mspid": "M"}, "C": {"mspid": "N"}}}"#,
            "\"B\" of client is unknown: \"organizations\" has A (M), C (N)",
        ),
        (r#"{"organizations": {"A": {"mspid": "M"}}}"#, "has no peers"),
        (r#"{"organizations": {"A": {"mspid": "M", "peers": ["p"]}}}"#, "peer p of M is not under"),
        (
            r#"{"organizations": {"A": {"mspid": "M", "peers": ["p"]}}, "peers": {"p": {"url": "h:1"}}}"#,
            "no scheme",
        ),
        (
            r#"{"organizations": {"A": {"mspid": "M", "peers": ["p"]}}, "peers": {"p": {"url": "grpcs://h:1"}}}"#,
            "no tlsCACerts",
        ),
        (
            r#"{"organizations": {"A": {"mspid": "M", "peers": ["p"]}}, "peers": {"p": {"url": "grpc://h"}}}"#,
            "has no port",
        ),
        (
            r#"{"organizations": {"A": {"mspid": "M", "peers": ["p"]}}, "peers": {"p": {"url": "grpc://h:70000"}}}"#,
            "has no port",
        ),
        (
            r#"{"organizations": {"A": {"mspid": "M", "peers": ["p"]}}, "peers": {"p": {"name": "h:1"}}}"#,
            "peer p has no url",
        ),
        ("[1, 2]", "sections such as"),
        ("just a line", "sections such as"),
        ("a: [1\nb: 2", "neither JSON nor YAML"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "sections such as"),
        (
            r#"{"organizations": {"A": {"mspid": "M", "peers": ["p"]}}, "peers": {"p": {"url": "http://h:1"}}}"#,
            "neither grpcs",
        ),
    ];
    for (content, expected) in table {
        let error = load(content).and_then(|p| p.endpoints().map(drop)).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected:?} in {error}");
    }
}

/// The forms in which [`SAMPLE`] is found: a change, and what it is.
fn forms() -> Vec<(&'static str, Value)> {
    let sample: Value = serde_json::from_str(SAMPLE).unwrap();
    let changed = |change: fn(&mut Value)| {
        let mut profile = sample.clone();
        change(&mut profile);
        profile
    };
    fn peer(profile: &mut Value) -> &mut Value {
        &mut profile["peers"]["peer0.org1.example.com"]
    }
    fn drop_member(profile: &mut Value, name: &str) {
        profile.as_object_mut().unwrap().remove(name);
    }
    vec![
        ("as it is", sample.clone()),
        (
            "an organisation of orderers",
            changed(|p| {
                p["organizations"]["OrdererMSP"] =
                    json!({"mspid": "OrdererMSP", "peers": null, "orderers": ["o"], "users": {}});
                p["client"]["organization"] = json!("");
            }),
        ),
        ("no client", changed(|p| drop_member(p, "client"))),
        ("client is null", changed(|p| p["client"] = Value::Null)),
        ("client is a list", changed(|p| p["client"] = json!([]))),
        ("organisation is null", changed(|p| p["client"]["organization"] = Value::Null)),
        ("organisation by its MSP identifier", changed(|p| p["client"]["organization"] = json!("Org1MSP"))),
        ("organisation in lower case", changed(|p| p["client"]["organization"] = json!("org1"))),
        (
            "null for the other lists",
            changed(|p| {
                p["organizations"]["Org1"]["certificateAuthorities"] = Value::Null;
                p["certificateAuthorities"] = Value::Null;
                p["channels"] = json!({"mychannel": {"peers": null, "orderers": []}});
                p["orderers"] = json!([]);
            }),
        ),
        (
            "empty paths of client TLS",
            changed(|p| {
                p["client"]["tlsCerts"] = json!({"client": {"cert": {"path": ""}, "key": {"path": ""}}});
            }),
        ),
        ("client TLS is null", changed(|p| p["client"]["tlsCerts"] = json!({"client": null}))),
        (
            "client TLS is empty text",
            changed(|p| {
                p["client"]["tlsCerts"] =
                    json!({"systemCertPool": true, "client": {"cert": "", "key": {"pem": ""}}});
            }),
        ),
        (
            "no identity, but its names",
            changed(|p| {
                p["organizations"]["Org1"]["adminPrivateKey"] = json!({"path": ""});
                p["organizations"]["Org1"]["signedCert"] = json!({});
                p["organizations"]["Org1"]["users"] = json!({"admin": {"cert": {"pem": null}}});
            }),
        ),
        (
            "timeouts as numbers",
            changed(|p| {
                p["client"]["connection"] = json!({"timeout": {"peer": {"endorser": 300}, "orderer": 1.5}});
                p["version"] = json!(1.0);
            }),
        ),
        (
            "what other clients need",
            changed(|p| {
                p["x-type"] = json!("hlfv1");
                p["client"]["credentialStore"] = json!({"path": "hfc-key-store"});
                p["entityMatchers"] = json!({"peer": [{"pattern": "(.*)"}]});
                peer(p)["eventUrl"] = json!("grpcs://localhost:7053");
                peer(p)["grpcOptions"]["keep-alive-time"] = json!("0s");
                peer(p)["grpcOptions"]["allow-insecure"] = json!(false);
            }),
        ),
        (
            "scheme in capitals, a slash and blanks",
            changed(|p| {
                peer(p)["url"] = json!(" GRPCS://localhost:7051/ ");
            }),
        ),
        ("no scheme, as the Go SDK writes it", changed(|p| peer(p)["url"] = json!("localhost:7051"))),
        (
            "a list of certificates",
            changed(|p| {
                let pem = peer(p)["tlsCACerts"]["pem"].clone();
                peer(p)["tlsCACerts"] = json!({"pem": [pem], "path": ""});
            }),
        ),
        (
            "a list of sections",
            changed(|p| {
                let one = peer(p)["tlsCACerts"].clone();
                peer(p)["tlsCACerts"] = json!([one, {"pem": ""}]);
            }),
        ),
        (
            "PEM without a section",
            changed(|p| {
                let pem = peer(p)["tlsCACerts"]["pem"].clone();
                peer(p)["tlsCACerts"] = pem;
            }),
        ),
        (
            "line ends that were escaped twice",
            changed(|p| {
                let pem = peer(p)["tlsCACerts"]["pem"].as_str().unwrap().replace('\n', "\\n");
                peer(p)["tlsCACerts"]["pem"] = json!(pem);
            }),
        ),
        (
            "names in other cases",
            changed(|p| {
                let org = p["organizations"]["Org1"].as_object_mut().unwrap();
                let msp_id = org.remove("mspid").unwrap();
                org.insert("mspID".into(), msp_id);
                let peer = peer(p).as_object_mut().unwrap();
                let ca = peer.remove("tlsCACerts").unwrap();
                peer.insert("tlscacerts".into(), ca);
            }),
        ),
        (
            "a peer that is not described",
            changed(|p| {
                p["organizations"]["Org1"]["peers"] =
                    json!(["peer1.org1.example.com", "peer0.org1.example.com"]);
            }),
        ),
    ]
}

#[track_caller]
fn assert_is_the_sample(what: &str, profile: Result<Profile, ProfileError>) {
    let profile = profile.unwrap_or_else(|e| panic!("{what}: {e}")).with_msp_id("Org1MSP");
    let endpoints = profile.endpoints().unwrap_or_else(|e| panic!("{what}: {e}"));
    let [endpoint] = endpoints.as_slice() else { panic!("{what}: {endpoints:?}") };
    assert_eq!(endpoint.address, "localhost:7051", "{what}");
    let tls = endpoint.tls.as_ref().unwrap_or_else(|| panic!("{what}: no TLS"));
    assert_eq!(tls.server_name.as_deref(), Some("peer0.org1.example.com"), "{what}");
    let pem = String::from_utf8(tls.ca_pem.clone()).unwrap();
    let lines: Vec<&str> = pem.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(lines, ["-----BEGIN CERTIFICATE-----", "AAAA", "-----END CERTIFICATE-----"], "{what}");
    assert!(profile.client_tls().unwrap().is_none(), "{what}");
    let missing = profile.user().unwrap_err();
    assert!(matches!(missing, ProfileError::NoIdentity { .. }), "{what}: {missing}");
}

#[test]
fn reads_what_tools_leave() {
    for (what, profile) in forms() {
        let json = serde_json::to_string_pretty(&profile).unwrap();
        assert_is_the_sample(what, load(&json));
        let utf16: Vec<u8> = json.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in [[b"\xef\xbb\xbf", json.as_bytes()].concat(), [&b"\xff\xfe"[..], &utf16].concat()] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("connection-org1.json");
            fs::write(&path, bytes).unwrap();
            assert_is_the_sample(what, Profile::load(&path));
        }
    }
}

/// As `kubectl hlf inspect` and the Go SDK's samples write it: comments, anchors, block texts.
#[test]
fn reads_yaml() {
    let yaml = r#"
# a network
---
name: test-network-org1
version: 1.0.0
client:
  organization: ""   # filled in by whoever uses it
  connection: {timeout: {peer: {endorser: 300}}}
organizations:
  OrdererMSP: {mspid: OrdererMSP, users: {}, peers: [], orderers: [orderer]}
  Org1MSP:
    mspid: Org1MSP
    cryptoPath: /tmp/cryptopath
    users: ~
    peers:
      - peer0.org1.example.com
orderers: []
x-options: &options
  ssl-target-name-override: peer0.org1.example.com
  allow-insecure: no
peers:
  peer0.org1.example.com:
    url: grpcs://localhost:7051
    grpcOptions:
      <<: *options
    tlsCACerts:
      pem: |
        -----BEGIN CERTIFICATE-----
        AAAA
        -----END CERTIFICATE-----
"#;
    assert_is_the_sample("YAML", load(yaml));
    assert_is_the_sample("CRLF", load(&yaml.replace('\n', "\r\n")));
    let almost_json = format!("{} // of Org1", SAMPLE.replace("\"client\":", "client:"));
    assert_is_the_sample("nearly JSON", load(almost_json.split(" //").next().unwrap()));
}

#[test]
fn the_msp_says_which_organisation_where_the_profile_does_not() {
    let two = r#"{"organizations": {"A": {"mspid": "AMSP", "peers": ["a"]}, "B": {"mspid": "BMSP", "peers": ["b"]}},
        "peers": {"a": {"url": "grpc://a:1"}, "b": {"url": "grpc://b:1"}}}"#;
    let unclear = load(two).unwrap().endpoints().unwrap_err().to_string();
    assert!(unclear.contains("A (AMSP), B (BMSP)"), "{unclear}");
    let b = load(two).unwrap().with_msp_id("BMSP");
    assert_eq!(b.endpoints().unwrap()[0].address, "b:1");
    let other = load(two).unwrap().with_msp_id("CMSP").endpoints().unwrap_err().to_string();
    assert!(other.contains("no organisation has mspid CMSP"), "{other}");
}

#[test]
fn reads_users() {
    let [one, two] =
        ["one", "two"].map(|name| rcgen::generate_simple_self_signed(vec![name.into()]).unwrap());
    let section = |made: &rcgen::CertifiedKey<rcgen::KeyPair>| json!({"cert": {"pem": made.cert.pem()}, "key": {"pem": made.signing_key.serialize_pem()}});
    let of = |users: Value| {
        let profile = json!({"organizations": {"A": {"mspid": "AMSP", "peers": [], "users": users}}});
        load(&profile.to_string()).unwrap().user()
    };
    let serial = |user: User| user.identity().certificate_pem().to_owned();
    assert_eq!(serial(of(json!({"User1": section(&one)})).unwrap()), one.cert.pem());
    assert_eq!(serial(of(json!({"User1": section(&two), "admin": section(&one)})).unwrap()), one.cert.pem());
    assert_eq!(
        serial(of(json!({"a": section(&one), "b": {"cert": {}, "key": null}})).unwrap()),
        one.cert.pem()
    );
    let unclear = of(json!({"User1": section(&one), "User2": section(&two)})).unwrap_err();
    assert!(matches!(unclear, ProfileError::NoIdentity { .. }), "{unclear}");
    assert!(unclear.to_string().contains("User1, User2"), "{unclear}");
    let mixed =
        json!({"admin": {"cert": {"pem": one.cert.pem()}, "key": {"pem": two.signing_key.serialize_pem()}}});
    let pair = of(mixed).unwrap_err();
    assert!(matches!(pair, ProfileError::Identity { .. }), "{pair}");
}

/// A key in a place where none is expected, in a text that cannot be read.
#[test]
fn errors_never_quote_the_profile() {
    let key = rcgen::generate_simple_self_signed(vec!["a".into()]).unwrap().signing_key.serialize_pem();
    let secret = &key.lines().nth(1).unwrap()[10..40];
    let text = json!(key).to_string();
    for content in [
        format!(r#"{{"organizations": {{"A": {{"adminPrivateKey": {text}, }} "#),
        format!("organizations:\n  A:\n    key: {text}\n   bad: [\n"),
        format!(r#"{{"organizations": {text}}}"#),
        format!(
            r#"{{"organizations": {{"A": {{"mspid": "M", "signedCert": {text}, "adminPrivateKey": {text}}}}}}}"#
        ),
    ] {
        let error = load(&content).and_then(|profile| profile.user().map(drop)).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(secret), "{error}");
    }
}

#[test]
fn errors_name_the_file_at_fault() {
    let made = rcgen::generate_simple_self_signed(vec!["a".into()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("connection.json");
    fs::write(dir.path().join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(
        dir.path().join("locked.pem"),
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    )
    .unwrap();
    fs::write(dir.path().join("empty.pem"), "").unwrap();
    let own = |cert: &str, key: &str| {
        let pair = json!({"cert": {"path": cert}, "key": {"path": key}});
        let content = json!({"client": {"tlsCerts": {"client": pair}}, "organizations": {"A": {
            "mspid": "AMSP", "peers": ["p"], "users": {"u": pair}}},
            "peers": {"p": {"url": "grpcs://h:1", "tlsCACerts": {"path": "empty.pem"}}}});
        fs::write(&path, content.to_string()).unwrap();
        let profile = Profile::load(&path).unwrap();
        [
            profile.user().unwrap_err().to_string(),
            profile.client_tls().unwrap_err().to_string(),
            profile.endpoints().unwrap_err().to_string(),
        ]
    };
    let [user, tls, ca] = own("cert.pem", "locked.pem");
    for text in [&user, &tls] {
        assert!(text.contains("locked.pem") && text.contains("encrypted"), "{text}");
    }
    assert!(ca.contains("empty.pem"), "{ca}");
    for text in &own("missing.pem", "locked.pem")[..2] {
        assert!(text.contains("missing.pem"), "{text}");
    }
    for text in &own("empty.pem", "locked.pem")[..2] {
        assert!(text.contains("empty.pem"), "{text}");
    }
}
