//! Times Paillier in other people's Rust crates and prints seconds as JSON: `compare-crates [BITS]`. See ../README.md.

use fast_paillier::backend::Integer;
use kzen_paillier::{Add, Decrypt, Encrypt, KeyGeneration, Mul, Paillier, RawCiphertext, RawPlaintext};
use rand_core::OsRng;
use serde_json::{Value, json};
use std::hint::black_box;
use std::time::{Duration, Instant};

const SCALAR: u32 = 0x9E37_79B1; // 32 bits, the one of compare.py

fn main() {
    let bits = std::env::args().nth(1).map_or(2048, |bits| bits.parse().expect("a number of bits"));
    let (public, private) = Paillier::keypair_with_modulus_size(bits).keys();
    let (p, q) = (private.p.to_string(), private.q.to_string());
    let results = json!({
        "fast-paillier 0.3.2 (GMP)": fast_paillier(&p, &q),
        "kzen-paillier 0.4.3 (GMP)": kzen_paillier(&public, &private),
    });
    println!("{results}");
}

fn fast_paillier(p: &str, q: &str) -> Value {
    let prime = |digits| Integer::from_str_radix(digits, 10).expect("decimal");
    let private = fast_paillier::DecryptionKey::from_primes(prime(p), prime(q)).expect("two primes");
    let public = private.encryption_key();
    let (plain, scalar) = (Integer::from(1_234_567u32), Integer::from(SCALAR));
    let encrypt = || public.encrypt_with_random(&mut OsRng, &plain).expect("in range").0;
    let (a, b) = (encrypt(), encrypt());
    assert_eq!(
        private.decrypt(&public.oadd(&a, &b).expect("valid")).expect("valid"),
        Integer::from(2_469_134u32)
    );
    json!({
        "encrypt": fastest(1, encrypt),
        "decrypt": fastest(1, || private.decrypt(&a)),
        "add": fastest(100, || public.oadd(&a, &b)),
        "multiply": fastest(10, || public.omul(&scalar, &a)),
    })
}

fn kzen_paillier(public: &kzen_paillier::EncryptionKey, private: &kzen_paillier::DecryptionKey) -> Value {
    type Plain = RawPlaintext<'static>;
    type Cipher = RawCiphertext<'static>;
    let number = |value: u32| Plain::from(kzen_paillier::BigInt::from(value));
    // The crate takes its operands by value or borrowed inside; borrowed is the faster.
    fn plain(value: &Plain) -> RawPlaintext<'_> {
        RawPlaintext::from(value.0.as_ref())
    }
    fn cipher(value: &Cipher) -> RawCiphertext<'_> {
        RawCiphertext(std::borrow::Cow::Borrowed(value.0.as_ref()))
    }
    let (one, scalar) = (number(1_234_567), number(SCALAR));
    let encrypt = || -> Cipher { Paillier::encrypt(public, plain(&one)) };
    let (a, b) = (encrypt(), encrypt());
    let add = || -> Cipher { Paillier::add(public, cipher(&a), cipher(&b)) };
    let decrypt = |c: &Cipher| -> Plain { Paillier::decrypt(private, cipher(c)) };
    assert_eq!(decrypt(&add()), number(2_469_134));
    json!({
        "encrypt": fastest(1, encrypt),
        "decrypt": fastest(1, || decrypt(&a)),
        "add": fastest(100, add),
        "multiply": fastest(10, || -> Cipher { Paillier::mul(public, cipher(&a), plain(&scalar)) }),
    })
}

/// Seconds of one call: of the fastest repetition within half a second.
fn fastest<T>(calls: u32, operation: impl Fn() -> T) -> f64 {
    let (mut best, start) = (f64::INFINITY, Instant::now());
    while start.elapsed() < Duration::from_millis(500) {
        let begin = Instant::now();
        for _ in 0..calls {
            black_box(operation());
        }
        best = best.min(begin.elapsed().as_secs_f64() / f64::from(calls));
    }
    best
}
