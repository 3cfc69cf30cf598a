//! Data files that must stay true: textbook encryptions made by an independent program, and yesterday's key shares.

mod common;

use common::padded;
use num_bigint::{BigInt, BigUint};
use paillier::*;
use serde_json::Value;
use std::str::FromStr;

/// (1 + m·N)·r^N mod N², with nothing of this crate.
fn textbook(n: &BigUint, m: &BigInt, r: &BigUint) -> BigUint {
    let (n, n2) = (BigInt::from(n.clone()), n * n);
    let square = BigInt::from(n2.clone());
    let linear: BigInt = ((m * &n + 1) % &square + &square) % &square;
    linear.to_biguint().expect("reduced") * r.modpow(&n.to_biguint().expect("positive"), &n2) % n2
}

fn number<T: FromStr>(line: &Value, field: &str) -> T {
    let text = line[field].as_str().unwrap_or_else(|| panic!("{field} is missing in {line}"));
    text.parse().unwrap_or_else(|_| panic!("{field} is no number in {line}"))
}

#[test]
fn textbook_encryptions_decrypt() {
    let mut decrypted = 0;
    for line in include_str!("vectors/ordinary.jsonl").lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let (p, q): (BigUint, BigUint) = (number(&line, "p"), number(&line, "q"));
        let (m, r, c): (BigInt, BigUint, BigUint) =
            (number(&line, "m"), number(&line, "r"), number(&line, "c"));
        assert_eq!(textbook(&(&p * &q), &m, &r), c);
        // The first line, n = 293·433 of Paillier's own size, is below what keys may have.
        let Ok(private) = PrivateKey::from_factors(&p, &q) else {
            assert!((&p * &q).bits() < 128);
            assert_eq!(c, BigUint::from(935906717u32));
            continue;
        };
        let key = private.public();
        let ciphertext = Ciphertext::from_bytes(key, &padded(&c, key.ciphertext_bytes())).unwrap();
        assert_eq!(private.decrypt(&[ciphertext]), [m]);
        decrypted += 1;
    }
    assert_eq!(decrypted, 18);
}

/// Each line: shares of some members in their file format, ciphertexts in hexadecimal, and the plaintexts.
#[test]
fn key_shares_of_version_1_stay_readable() {
    for line in include_str!("vectors/threshold.jsonl").lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let list = |field: &str| line[field].as_array().unwrap().clone();
        let shares: Vec<KeyShare> = list("shares")
            .iter()
            .map(|share| KeyShare::from_json(share.to_string().as_bytes()).unwrap())
            .collect();
        let key = shares[0].key();
        let number = |c: &Value| BigUint::parse_bytes(c.as_str().unwrap().as_bytes(), 16).unwrap();
        let bytes: Vec<Vec<u8>> =
            list("ciphertexts").iter().map(|c| padded(&number(c), key.ciphertext_bytes())).collect();
        let ciphertexts = Ciphertext::from_bytes_batch(key, &bytes).unwrap();
        let plaintexts: Vec<BigInt> =
            list("plaintexts").iter().map(|m| m.as_str().unwrap().parse().unwrap()).collect();
        assert_eq!(common::open(&shares.iter().collect::<Vec<_>>(), &ciphertexts), plaintexts);
    }
}
