//! Encrypted private keys, with the passphrase of the process; a process of its own, for it has one.

use msp::{
    PrivateKey,
    passphrase::{self, Passphrase},
};
use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};
use zeroize::Zeroizing;

fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys").join(name)).unwrap()
}

#[test]
fn an_encrypted_key_of_openssl_opens_with_the_passphrase_of_the_process() {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    assert!(
        PrivateKey::from_pem(file("encrypted-pkcs8.pem"))
            .unwrap_err()
            .to_string()
            .contains("CONFAB_PASSPHRASE")
    );
    passphrase::ask_with(|| {
        ASKED.fetch_add(1, Ordering::Relaxed);
        Passphrase::new(Zeroizing::new("test\n".into()))
    });
    let plain = PrivateKey::from_pem(file("sec1.pem")).unwrap();
    assert_eq!(ASKED.load(Ordering::Relaxed), 0, "a key without a passphrase asks for none");
    for _ in 0..2 {
        let opened = PrivateKey::from_pem(file("encrypted-pkcs8.pem")).unwrap();
        assert_eq!(opened.pkcs8_der(), plain.pkcs8_der());
    }
    assert_eq!(ASKED.load(Ordering::Relaxed), 1);
    let error = PrivateKey::from_pem(file("encrypted-sec1.pem")).unwrap_err().to_string();
    assert!(error.contains("openssl pkey"), "the older form is not opened: {error}");
}
