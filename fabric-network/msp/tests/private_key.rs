//! Private keys in the forms in which OpenSSL writes them; how each file was made is in `keys/README.md`.

use msp::{KeyError, PrivateKey, SigningKey};
use p256::SecretKey;
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::pkcs8::DecodePrivateKey;
use proptest::prelude::*;
use std::{fs, path::Path};

fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys").join(name)).unwrap()
}

/// The one key, read by a parser that is not ours.
fn expected() -> SecretKey {
    SecretKey::from_pkcs8_pem(&file("pkcs8.pem")).unwrap()
}

#[track_caller]
fn assert_is_the_key(text: impl AsRef<[u8]>) {
    let read = PrivateKey::from_pem(&text).unwrap();
    assert_eq!(SecretKey::from_pkcs8_der(read.pkcs8_der()).unwrap(), expected());
    let again = PrivateKey::from_pem(read.to_pem().unwrap().as_bytes()).unwrap();
    assert_eq!(again.pkcs8_der(), read.pkcs8_der());
    let signing = SigningKey::from_pem(&text).unwrap();
    let signature = Signature::from_der(&signing.sign(b"message").unwrap()).unwrap();
    VerifyingKey::from(expected().public_key()).verify(b"message", &signature).unwrap();
}

#[test]
fn every_form_of_one_key_is_that_key() {
    for name in [
        "sec1.pem",
        "pkcs8.pem",
        "explicit.pem",
        "explicit-compressed.pem",
        "explicit-pkcs8.pem",
        "no-public-key.pem",
        "parameters-first.pem",
        "bag-attributes.pem",
        "with-text.pem",
    ] {
        println!("{name}");
        assert_is_the_key(file(name));
        assert_is_the_key(file(name).replace('\n', "\r\n"));
        assert_is_the_key([b"\xef\xbb\xbf", file(name).as_bytes()].concat());
        let utf16 = file(name).encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        assert_is_the_key([&b"\xff\xfe"[..], &utf16].concat());
    }
    let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_is_the_key(format!("{certificate}{}", file("sec1.pem")));
    assert_is_the_key(format!("{}{certificate}", file("sec1.pem")));
    assert_is_the_key(file("pkcs8.pem").trim_end());
    assert_is_the_key(file("pkcs8.pem").replace('\n', "\n    "));
}

#[test]
fn other_kinds_are_read_too_but_are_no_p256_keys() {
    for name in ["p384.pem", "p384-explicit.pem", "rsa.pem", "ed25519.pem"] {
        let key = PrivateKey::from_pem(file(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(key.to_pem().unwrap().starts_with("-----BEGIN PRIVATE KEY-----\n"), "{name}");
        rcgen::KeyPair::try_from(key.pkcs8_der()).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    let (named, by_numbers) = (file("p384.pem"), file("p384-explicit.pem"));
    assert_eq!(
        PrivateKey::from_pem(named).unwrap().pkcs8_der(),
        PrivateKey::from_pem(by_numbers).unwrap().pkcs8_der()
    );
    let error = SigningKey::from_pem(file("rsa.pem")).unwrap_err().to_string();
    assert!(error.contains("of another kind"), "{error}");
}

#[test]
fn what_is_no_key_is_called_by_its_name() {
    let message = |text: &[u8]| PrivateKey::from_pem(text).unwrap_err().to_string();
    for name in ["encrypted-pkcs8.pem", "encrypted-sec1.pem"] {
        assert_eq!(PrivateKey::from_pem(file(name)).unwrap_err(), KeyError::Encrypted, "{name}");
        assert!(message(file(name).as_bytes()).contains("openssl pkey"));
    }
    let public = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
    let ssh = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n";
    let wallet = br#"{"credentials": {"privateKey": "x"}}"#;
    let damaged = file("pkcs8.pem").replace("MIGH", "MIGX");
    let cut = file("pkcs8.pem").lines().take(2).collect::<Vec<_>>().join("\n");
    let other_curve = file("secp256k1-explicit.pem");
    for (text, expected) in [
        (&b""[..], "it is empty"),
        (public.as_bytes(), "it holds PUBLIC KEY"),
        (ssh.as_bytes(), "ssh-keygen"),
        (b"\x30\x81\x87\x02\x01\x00", "-inform DER"),
        (wallet, "credentials.privateKey"),
        (b"hello", "no block that begins with"),
        (damaged.as_bytes(), "cannot be read: not PKCS#8"),
        (cut.as_bytes(), "its block has no end"),
        (other_curve.as_bytes(), "neither P-256 nor P-384"),
    ] {
        let said = message(text);
        assert!(said.contains(expected), "{expected:?} in {said:?}");
    }
}

/// A key whose lines were joined is none, and nothing of it is in the error.
#[test]
fn no_text_of_a_key_is_shown() {
    let key = file("pkcs8.pem");
    let secret = key.lines().nth(1).unwrap();
    for joined in [key.replace('\n', ""), key.replace('\n', " "), key.replace('\n', "\\n")] {
        let said = PrivateKey::from_pem(&joined).unwrap_err().to_string();
        assert!(said.contains("lines of their own"), "{said}");
        assert!(!said.contains(&secret[..16]), "{said}");
    }
}

/// With another generator the same public points have other keys (CVE-2020-0601).
#[test]
fn a_known_curve_with_another_generator_is_refused() {
    let der = pem::parse(file("explicit.pem")).unwrap().into_contents();
    let generator = der.windows(3).position(|bytes| bytes == [4, 0x6b, 0x17]).unwrap();
    for at in [generator + 1, generator + 40] {
        let mut other = der.clone();
        other[at] ^= 1;
        let text = pem::encode(&pem::Pem::new("EC PRIVATE KEY", other));
        let error = PrivateKey::from_pem(text).unwrap_err();
        assert!(matches!(error, KeyError::Kind(_)), "{error}");
    }
}

#[test]
fn neither_debug_nor_errors_show_a_key() {
    let key = PrivateKey::from_pem(file("sec1.pem")).unwrap();
    assert_eq!(format!("{key:?}"), "PrivateKey(…)");
    let text = file("pkcs8.pem");
    let secret = text.lines().nth(1).unwrap();
    let bare = PrivateKey::from_pem(secret).unwrap_err();
    assert!(!format!("{bare} {bare:?}").contains(&secret[..8]), "{bare}");
}

proptest! {
    #[test]
    fn no_bytes_panic(
        label in prop::sample::select(vec!["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"]),
        at in 0usize..400,
        byte: u8,
        cut in 0usize..400,
    ) {
        let mut der = pem::parse(file("explicit.pem")).unwrap().into_contents();
        let last = der.len() - 1;
        der[at.min(last)] = byte;
        der.truncate(cut.max(1));
        let _ = PrivateKey::from_pem(pem::encode(&pem::Pem::new(label, der)));
    }
}
