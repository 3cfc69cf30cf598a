//! Seconds of encrypt, decrypt, add and multiply with two published crates, tab-separated, a crate a line.
//! Compiled by compare.py in a project of its own.

use std::time::Instant;

const SCALAR: u32 = 0x9e37_79b1;

/// Seconds of one call: of the fastest repetition within half a second.
fn fastest<T>(mut operation: impl FnMut() -> T) -> f64 {
    let (start, mut best) = (Instant::now(), f64::INFINITY);
    while start.elapsed().as_secs_f64() < 0.5 {
        let begin = Instant::now();
        std::hint::black_box(operation());
        best = best.min(begin.elapsed().as_secs_f64());
    }
    best
}

fn show(name: &str, seconds: [f64; 4]) {
    println!("{name}\t{}", seconds.map(|s| s.to_string()).join("\t"));
}

fn fast(bits: u32) {
    use fast_paillier::backend::Integer;
    let mut rng = rand_core::OsRng;
    let prime = |rng: &mut rand_core::OsRng| Integer::generate_safe_prime(rng, bits / 2);
    let key = fast_paillier::DecryptionKey::from_primes(prime(&mut rng), prime(&mut rng)).expect("primes");
    let public = key.encryption_key().clone();
    let (plain, scalar) = (Integer::from(1_234_567), Integer::from(SCALAR));
    let (a, _) = public.encrypt_with_random(&mut rng, &plain).expect("small");
    let (b, _) = public.encrypt_with_random(&mut rng, &plain).expect("small");
    show(
        "fast-paillier",
        [
            fastest(|| public.encrypt_with_random(&mut rng, &plain)),
            fastest(|| key.decrypt(&a)),
            fastest(|| public.oadd(&a, &b)),
            fastest(|| public.omul(&scalar, &a)),
        ],
    );
}

fn kzen(bits: u32) {
    use kzen_paillier::{
        Add, BigInt, Decrypt, Encrypt, KeyGeneration, Mul, Paillier, RawCiphertext, RawPlaintext,
    };
    let (public, private) = Paillier::keypair_with_modulus_size(bits as usize).keys();
    let plain = || RawPlaintext::from(BigInt::from(1_234_567));
    let encrypt = || -> RawCiphertext { Paillier::encrypt(&public, plain()) };
    let (a, b) = (encrypt(), encrypt());
    show(
        "kzen-paillier",
        [
            fastest(encrypt),
            fastest(|| -> RawPlaintext { Paillier::decrypt(&private, &a) }),
            fastest(|| -> RawCiphertext { Paillier::add(&public, a.clone(), b.clone()) }),
            fastest(|| -> RawCiphertext {
                Paillier::mul(&public, a.clone(), RawPlaintext::from(BigInt::from(SCALAR)))
            }),
        ],
    );
}

fn main() {
    let bits = std::env::args().nth(1).and_then(|bits| bits.parse().ok()).unwrap_or(2048);
    fast(bits);
    kzen(bits);
}
