//! Connection profiles, keys and environments in the forms in which Fabric's tools and OpenSSL leave them: all of them are
//! read by the commands, or refused with the file and the reason.

use crate::fixture::{Ledger, On, program};
use crate::harness::{Test, test};
use launcher::Organization;
use p256::{SecretKey, pkcs8::DecodePrivateKey, pkcs8::LineEnding};
use serde_json::{Map, Value, json};
use std::{
    fmt::Write,
    fs,
    io::Read,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

pub const TESTS: &[Test] = &[test!(forms on Dev, Fabric), test!(environments)];

/// What is kept beside the repository: forms that people met with.
fn given() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/cases")
}

fn confab(args: &[&str]) -> (bool, String) {
    let output = Command::new(program()).args(args).stdin(Stdio::null()).output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert!(!said.contains("panicked"), "{said}");
    (output.status.success(), said)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn assert_says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
}

/// The first organisation of a network, which is joined again and again.
struct Joining<'a> {
    ledger: &'a Ledger,
    org: &'a Organization,
    times: usize,
}

impl Joining<'_> {
    fn cert(&self) -> PathBuf {
        self.ledger.network.path(&self.org.user.cert)
    }

    fn key(&self) -> PathBuf {
        self.ledger.network.path(&self.org.user.key)
    }

    fn profile(&self) -> PathBuf {
        self.ledger.network.path(&self.org.profile)
    }

    /// Joins with this profile and, where they are given, certificate and key.
    fn join(&mut self, profile: &Path, own: Option<(&Path, &Path)>) -> (bool, String) {
        self.times += 1;
        let dir = self.ledger.network.dir.join(format!("joined-{}", self.times));
        let mut args = vec!["network", "join", "--profile", text(profile), "--dir", text(&dir)];
        if let Some((cert, key)) = own {
            args.extend(["--msp-id", &self.org.msp_id, "--cert", text(cert), "--key", text(key)]);
        }
        let (success, said) = confab(&args);
        assert_eq!(success, dir.exists(), "what fails leaves nothing behind: {said}");
        (success, said)
    }

    fn joins(&mut self, profile: &Path, own: Option<(&Path, &Path)>) {
        let (success, said) = self.join(profile, own);
        assert!(success, "{} {own:?}: {said}", profile.display());
        assert_says(&said, &["Org1MSP on channel confab", "the job contract answers"]);
    }

    fn refused(&mut self, profile: &Path, own: Option<(&Path, &Path)>) -> String {
        let (success, said) = self.join(profile, own);
        assert!(!success, "{} {own:?}: {said}", profile.display());
        said
    }
}

/// Profiles and keys are read.
async fn forms(on: On) {
    let ledger = Ledger::start(on, 2).await;
    let mut joining = Joining { ledger: &ledger, org: &ledger.network.orgs[0], times: 0 };
    let folder = ledger.network.dir.join("forms");
    let base: Value = serde_json::from_slice(&fs::read(joining.profile()).unwrap()).unwrap();
    write_profiles(&base, &folder.join("own"));
    every_profile_is_read(&mut joining, &folder.join("own"));
    if given().join("profiles.py").exists() {
        let mut python = Command::new("python3");
        python.arg(given().join("profiles.py")).arg(joining.profile()).arg(folder.join("given"));
        match python.status() {
            Ok(status) if status.success() => every_profile_is_read(&mut joining, &folder.join("given")),
            other => eprintln!("SKIPPED: profiles.py needs python3: {other:?}"),
        }
    }
    what_is_wrong_is_named(&mut joining, &base, &folder);

    let keys = folder.join("keys");
    write_keys(&joining, &keys);
    every_key_is_read(&mut joining, &base, &keys);
    if given().join("keys.sh").exists() && has_openssl() {
        let keys = folder.join("given-keys");
        let mut shell = Command::new("sh");
        shell.arg(given().join("keys.sh")).args([joining.cert(), joining.key(), keys.clone()]);
        assert!(shell.status().unwrap().success());
        every_key_is_read(&mut joining, &base, &keys);
    }
    no_key_is_on_the_ledger(&ledger, &keys);
    for (service, reason) in [
        (":9999", "no host"),
        ("localhost", "no port"),
        ("grpcs://localhost:9999", "grpcs:// does not belong"),
    ] {
        let (dir, profile) = (ledger.network.dir.join("service"), joining.profile());
        let args =
            ["network", "join", "--profile", text(&profile), "--dir", text(&dir), "--service", service];
        let (success, said) = confab(&args);
        assert!(!success && !dir.exists(), "{said}");
        assert_says(&said, &[reason, "HOST:PORT"]);
    }
}

/// The profile in forms that others write.
fn write_profiles(base: &Value, folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let org = base["client"]["organization"].as_str().unwrap().to_owned();
    let peer = base["organizations"][&org]["peers"][0].as_str().unwrap().to_owned();
    let save = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut profile = base.clone();
        change(&mut profile);
        fs::write(folder.join(name), serde_json::to_vec_pretty(&profile).unwrap()).unwrap();
    };
    save("null-peers.json", &|p| {
        p["organizations"]["OrdererMSP"] =
            json!({ "mspid": "OrdererMSP", "peers": null, "orderers": ["o"], "users": {} });
    });
    save("empty-client-organization.json", &|p| p["client"]["organization"] = "".into());
    save("no-client.json", &|p| drop(p.as_object_mut().unwrap().remove("client")));
    save("null-client.json", &|p| p["client"] = Value::Null);
    save("null-grpc-options.json", &|p| p["peers"][&peer]["grpcOptions"] = Value::Null);
    save("empty-client-tls.json", &|p| {
        p["client"]["tlsCerts"] = json!({ "client": { "cert": { "path": "" }, "key": { "path": "" } } });
    });
    save("empty-lists.json", &|p| {
        for section in ["certificateAuthorities", "orderers", "channels"] {
            p[section] = json!([]);
        }
    });
    save("users.json", &|p| {
        let one = p["organizations"][&org].as_object_mut().unwrap();
        let mut pem = |name: &str| {
            let path = one.remove(name).unwrap()["path"].as_str().unwrap().to_owned();
            json!({ "pem": fs::read_to_string(path).unwrap() })
        };
        let (cert, key) = (pem("signedCert"), pem("adminPrivateKey"));
        one.insert("users".into(), json!({ "admin": { "cert": cert, "key": key } }));
    });
    let json = serde_json::to_vec_pretty(base).unwrap();
    fs::write(folder.join("byte-order-mark.json"), [b"\xef\xbb\xbf", json.as_slice()].concat()).unwrap();
    let mut text = String::new();
    yaml(base.as_object().unwrap(), 0, &mut text);
    fs::write(folder.join("profile.yaml"), &text).unwrap();
    fs::write(folder.join("profile.yml"), format!("\u{feff}---\n{}", text.replace('\n', "\r\n"))).unwrap();
}

/// As tools write YAML: blocks, with literal texts for certificates.
fn yaml(members: &Map<String, Value>, depth: usize, out: &mut String) {
    let pad = "  ".repeat(depth);
    for (name, value) in members {
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                writeln!(out, "{pad}{name}:").unwrap();
                yaml(inner, depth + 1, out);
            }
            Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_string) => {
                writeln!(out, "{pad}{name}:").unwrap();
                items.iter().for_each(|item| writeln!(out, "{pad}- {}", item.as_str().unwrap()).unwrap());
            }
            Value::String(text) if text.contains('\n') => {
                writeln!(out, "{pad}{name}: |").unwrap();
                text.trim_end().lines().for_each(|line| writeln!(out, "{pad}  {line}").unwrap());
            }
            other => writeln!(out, "{pad}{name}: {other}").unwrap(),
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

fn every_profile_is_read(joining: &mut Joining, folder: &Path) {
    let (cert, key) = (joining.cert(), joining.key());
    let files = files(folder);
    assert!(files.len() >= 9, "{files:?}");
    for profile in &files {
        joining.joins(profile, Some((&cert, &key)));
    }
    joining.joins(&folder.join("users.json"), None);
    // The profile's own identity, where it says whose it is.
    joining.joins(&folder.join("byte-order-mark.json"), None);
    // Here it does not: two organisations have peers.
    let said = joining.refused(&folder.join("no-client.json"), None);
    assert_says(&said, &["no-client.json", "client.organization", "Org1MSP"]);
}

/// The advice about a missing identity appears where that is what is wrong, and nowhere else.
fn what_is_wrong_is_named(joining: &mut Joining, base: &Value, folder: &Path) {
    const ADVICE: &str = "--msp-id, --cert and --key";
    let org = base["client"]["organization"].as_str().unwrap();
    let peer = base["organizations"][org]["peers"][0].as_str().unwrap();
    let absent = folder.join("absent.pem");
    let own = (joining.cert(), joining.key());
    let write = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut profile = base.clone();
        change(&mut profile);
        let path = folder.join(name);
        fs::write(&path, profile.to_string()).unwrap();
        path
    };
    let nobody = write("nobody.json", &|p| {
        p["organizations"][org].as_object_mut().unwrap().remove("signedCert");
    });
    let no_file =
        write("no-file.json", &|p| p["organizations"][org]["signedCert"]["path"] = text(&absent).into());
    let no_port = write("no-port.json", &|p| p["peers"][peer]["url"] = "grpcs://localhost".into());
    let no_ca = write("no-ca.json", &|p| p["peers"][peer]["tlsCACerts"] = json!({ "path": absent }));
    let half = folder.join("half.json");
    fs::write(&half, &base.to_string()[..200]).unwrap();
    let list = folder.join("list.json");
    fs::write(&list, "[]").unwrap();

    assert_says(&joining.refused(&nobody, None), &["nobody.json", ADVICE]);
    joining.joins(&nobody, Some((&own.0, &own.1)));
    for (profile, parts) in [
        (&no_file, &["absent.pem"][..]),
        (&no_port, &["no-port.json", "has no port"]),
        (&no_ca, &["absent.pem"]),
        (&half, &["half.json", "not JSON"]),
        (&list, &["list.json", "not a connection profile"]),
        (&folder.join("absent.json"), &["absent.json", "No such file"]),
    ] {
        let said = joining.refused(profile, None);
        assert_says(&said, parts);
        assert!(!said.contains(ADVICE), "{said}");
    }
}

fn has_openssl() -> bool {
    let found =
        Command::new("openssl").arg("version").stdout(Stdio::null()).status().is_ok_and(|s| s.success());
    if !found {
        eprintln!("SKIPPED: openssl not found: keys with explicit curves, and encrypted ones");
    }
    found
}

/// The user's key as OpenSSL and others write it.
fn write_keys(joining: &Joining, folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let (cert, key) =
        (fs::read_to_string(joining.cert()).unwrap(), fs::read_to_string(joining.key()).unwrap());
    let sec1 = SecretKey::from_pkcs8_pem(&key).unwrap().to_sec1_pem(LineEnding::LF).unwrap();
    let parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    let save = |name: &str, text: String| fs::write(folder.join(name), text).unwrap();
    save("parameters-first.pem", parameters.to_owned() + &sec1);
    save("certificate-first.pem", cert.clone() + &key);
    save("key-first.pem", key.clone() + &cert);
    save("byte-order-mark.pem", format!("\u{feff}{key}"));
    save("windows.pem", key.replace('\n', "\r\n"));
    if has_openssl() {
        let openssl = |args: &[&str], out: &str| {
            let mut command = Command::new("openssl");
            command.args(args).args(["-in", text(&joining.key()), "-out", text(&folder.join(out))]);
            let output = command.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        openssl(&["ec", "-param_enc", "explicit"], "explicit-curve.pem");
        openssl(&["pkcs8", "-topk8", "-passout", "pass:test"], "encrypted.pem");
    }
}

fn every_key_is_read(joining: &mut Joining, base: &Value, folder: &Path) {
    let (cert, profile) = (joining.cert(), joining.profile());
    for key in files(folder) {
        let name = key.file_name().unwrap().to_str().unwrap();
        // The same file as the key of the client's TLS certificate.
        let mut with_tls = base.clone();
        with_tls["client"]["tlsCerts"] =
            json!({ "client": { "cert": { "path": cert }, "key": { "path": key } } });
        let tls = folder.with_file_name(format!("tls-{name}.json"));
        fs::write(&tls, with_tls.to_string()).unwrap();
        match name {
            "encrypted.pem" => {
                for said in [joining.refused(&profile, Some((&cert, &key))), joining.refused(&tls, None)] {
                    assert_says(&said, &["encrypted.pem", "encrypted with a passphrase"]);
                }
            }
            _ => {
                joining.joins(&profile, Some((&cert, &key)));
                joining.joins(&tls, None);
            }
        }
        if name.ends_with("first.pem") && fs::read_to_string(&key).unwrap().contains("CERTIFICATE") {
            joining.joins(&profile, Some((&key, &key)));
        }
    }
    let said = joining.refused(&profile, Some((&cert, &cert)));
    assert_says(&said, &[text(&cert), "no private key"]);
}

/// Whoever signs with a file that holds both has only the certificate in transactions.
fn no_key_is_on_the_ledger(ledger: &Ledger, keys: &Path) {
    let both = keys.join("certificate-first.pem");
    let dir = ledger.network.dir.join("joined-both");
    let profile = ledger.network.path(&ledger.network.orgs[0].profile);
    let mut join = vec!["network", "join", "--profile", text(&profile), "--dir", text(&dir)];
    join.extend(["--msp-id", "Org1MSP", "--cert", text(&both), "--key", text(&both)]);
    let (success, said) = confab(&join);
    assert!(success, "{said}");
    let config = dir.join("node.toml");
    let (success, said) = confab(&["instances", "key", "--config", text(&config)]);
    assert!(success, "{said}");
    let key = fs::read_to_string(ledger.network.path(&ledger.network.orgs[0].user.key)).unwrap();
    // The first line of any such key is the same.
    let line = key.lines().nth(2).unwrap().as_bytes().to_vec();
    let scalar = SecretKey::from_pkcs8_pem(&key).unwrap().to_bytes().to_vec();
    assert!(line.len() >= 40 && scalar.len() == 32);
    let mut searched = 0;
    search(&ledger.network.path("data"), &[line, scalar], &mut searched);
    assert!(searched > 10_000, "{searched} bytes are no ledger");
}

fn search(folder: &Path, secrets: &[Vec<u8>], searched: &mut usize) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path, secrets, searched);
            continue;
        }
        // A process may have removed it meanwhile.
        let Ok(bytes) = fs::read(&path) else { continue };
        *searched += bytes.len();
        for secret in secrets {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{}", path.display());
        }
    }
}

/// A chaincode service that is stopped when this is dropped.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// What the samples' scripts set, with another port.
fn environment(name: &str, own: &str, port: u16) -> Vec<(String, String)> {
    let text = fs::read_to_string(given().join(name)).unwrap_or_else(|_| own.to_owned());
    let text = text.replace("29991", &port.to_string());
    let id = format!("confab_1.0:{}", "0".repeat(64));
    let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.into(), value.into()));
    let mut variables: Vec<(String, String)> = text.lines().filter_map(pair).collect();
    assert!(variables.len() >= 2, "{name}");
    variables.push(("CHAINCODE_ID".into(), id));
    variables
}

fn serve(variables: &[(String, String)]) -> Service {
    let mut command = Command::new(program());
    command.arg("chaincode").envs(variables.iter().cloned());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    Service(command.spawn().unwrap())
}

/// The first byte that a service says by itself, without TLS.
fn first_byte(service: &mut Service, address: &str) -> Option<u8> {
    let mut stream = loop {
        if let Ok(stream) = TcpStream::connect(address) {
            break stream;
        }
        if let Some(status) = service.0.try_wait().unwrap() {
            let mut said = String::new();
            service.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("{status}: {said}");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut byte = [0];
    stream.read_exact(&mut byte).ok().map(|()| byte[0])
}

/// Chaincode environments are read as the samples do.
fn environments() {
    const ADDRESS: &str = "CHAINCODE_SERVER_ADDRESS=127.0.0.1:29991\n";
    let off = format!(
        "{ADDRESS}CHAINCODE_TLS_DISABLED=true\nCHAINCODE_TLS_KEY=/crypto/key1.pem\n\
         CHAINCODE_TLS_CERT=/crypto/cert1.pem\nCHAINCODE_CLIENT_CA_CERT=/crypto/rootcert1.pem\n"
    );
    let empty = format!(
        "{ADDRESS}CHAINCODE_TLS_DISABLED=true\nCHAINCODE_TLS_KEY=\nCHAINCODE_TLS_CERT=\nCHAINCODE_CLIENT_CA_CERT=\n"
    );
    for (name, own) in [("tls-off.env", &off), ("tls-off-empty.env", &empty)] {
        let port = free_port();
        let mut service = serve(&environment(name, own, port));
        // Settings of HTTP/2 begin with their length.
        assert_eq!(first_byte(&mut service, &format!("127.0.0.1:{port}")), Some(0), "{name}");
    }
    // The same where the files exist.
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let port = free_port();
    let existing = off.replace("/crypto/key1.pem", text(&key)).replace("/crypto/cert1.pem", text(&cert));
    let mut service = serve(&environment("", &existing, port));
    assert_eq!(first_byte(&mut service, &format!("127.0.0.1:{port}")), Some(0));

    let port = free_port();
    let on = format!("{ADDRESS}CHAINCODE_TLS_DISABLED=false\n");
    let mut service = serve(&environment("tls-on-without-key.env", &on, port));
    assert!(!service.0.wait().unwrap().success());
    let mut said = String::new();
    service.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_says(&said, &["CHAINCODE_TLS_DISABLED", "CHAINCODE_TLS_CERT", "CHAINCODE_TLS_KEY"]);
    assert!(TcpStream::connect(format!("127.0.0.1:{port}")).is_err(), "no open port");

    let port = free_port();
    let own = "CHAINCODE_SERVER_ADDRESS=:29991\nCHAINCODE_TLS_DISABLED=true\n";
    let mut service = serve(&environment("every-interface.env", own, port));
    for address in ["127.0.0.1", "127.0.0.2"] {
        assert_eq!(first_byte(&mut service, &format!("{address}:{port}")), Some(0), "{address}");
    }
}
