//! What was asked of a ledger and what it answered, to be compared with another's.

use super::Client;
use std::fmt::Debug;
use tonic::Status;
use tonic::transport::Endpoint;

/// What was asked and what was answered, without ids, numbers of blocks and addresses.
#[derive(Default)]
pub struct Transcript(pub Vec<String>);

impl Transcript {
    pub fn note(&mut self, what: &str, answer: impl Debug) {
        self.0.push(format!("{what}: {}", scrub(&format!("{answer:?}"))));
    }

    pub fn call<T: Debug>(&mut self, what: &str, answer: Result<T, Status>) {
        match answer {
            Ok(answer) => self.note(what, answer),
            Err(status) => {
                let details = if status.details().is_empty() { Vec::new() } else { super::details(&status) };
                self.note(what, (status.code(), status.message(), details));
            }
        }
    }
}

/// Replaces what differs from run to run: long hexadecimal numbers and the peer's clock.
fn scrub(text: &str) -> String {
    let mut scrubbed = String::new();
    let mut digits = String::new();
    for c in text.chars().chain(['\0']) {
        if c.is_ascii_hexdigit() {
            digits.push(c);
            continue;
        }
        if digits.len() >= 32 {
            scrubbed.push('#')
        } else {
            scrubbed.push_str(&digits)
        }
        digits.clear();
        scrubbed.push(c);
    }
    scrubbed.trim_end_matches('\0').into()
}

/// Somebody of another Org1, on this one's connection.
pub async fn stranger(one: &Client) -> Client {
    let dir = tempfile::tempdir().unwrap();
    let material = crypto_material::generate(&crypto_material::NetworkSpec::standard(1), dir.path()).unwrap();
    let user = material.org("Org1").unwrap().user("User1").unwrap();
    let connection = Endpoint::from_static("http://localhost:1").connect_lazy();
    let mut stranger = Client::new(connection, "Org1MSP", &user.signing_cert(), &user.signing_key());
    stranger.gateway = one.gateway.clone();
    stranger.deliver = one.deliver.clone();
    stranger.endorser = one.endorser.clone();
    stranger.orderer = one.orderer.clone();
    stranger
}

/// Compares what this ledger and real Fabric answered.
pub fn compare(ours: &[String], theirs: &[String]) {
    let different: Vec<_> = ours.iter().zip(theirs).filter(|(ours, theirs)| ours != theirs).collect();
    for (ours, theirs) in &different {
        eprintln!("  ours:   {ours}\n  theirs: {theirs}\n");
    }
    assert!(different.is_empty(), "{} of {} answers differ", different.len(), ours.len());
    assert_eq!(ours.len(), theirs.len());
}
