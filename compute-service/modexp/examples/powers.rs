//! Raises a batch of numbers to a secret power modulo N², once each way, and compares results and time with num-bigint:
//!
//! ```text
//! cargo run --release -p confab-modexp --example powers
//! ```

use modexp::{Modulus, Secret};
use num_bigint::BigUint;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use std::time::Instant;

const BITS: usize = 2048;
const BATCH: usize = 64;

fn main() -> Result<(), modexp::Error> {
    // A seed that everybody knows is good enough for figures, and for nothing else.
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut number = |bits: usize| {
        let mut bytes = vec![0; bits / 8];
        rng.fill_bytes(&mut bytes);
        BigUint::from_bytes_be(&bytes)
    };
    let mut n = number(BITS);
    n.set_bit(0, true);
    n.set_bit(BITS as u64 - 1, true);
    let modulus = Modulus::new(&n)?;
    let ring = modulus.mod_n2();

    let values: Vec<BigUint> = (0..BATCH).map(|_| number(2 * BITS) % ring.modulus()).collect();
    let exponent = number(BITS);
    let secret = Secret::from_biguint(&exponent, BITS)?;
    let bases = ring.residues(&values)?;

    let clock = Instant::now();
    let powers = ring.values(&ring.pow_secret(&bases, &secret));
    report("pow_secret, constant time", clock, BATCH);

    let clock = Instant::now();
    let expected: Vec<BigUint> = values.iter().map(|value| value.modpow(&exponent, ring.modulus())).collect();
    report("num-bigint, variable time", clock, BATCH);
    assert_eq!(powers, expected);

    // Many powers of one base: its squarings are made once.
    let table = ring.fixed_base(&bases[0], 512);
    let exponents: Vec<BigUint> = (0..BATCH).map(|_| number(512)).collect();
    let secrets = exponents.iter().map(|e| Secret::from_biguint(e, 512)).collect::<Result<Vec<_>, _>>()?;
    let clock = Instant::now();
    let powers = ring.values(&table.pow(&secrets));
    report("FixedBase, secrets of 512 bits", clock, BATCH);
    assert_eq!(powers[0], values[0].modpow(&exponents[0], ring.modulus()));

    println!("backend {}, N of {} bits, powers modulo N²", ring.backend(), modulus.bits());
    Ok(())
}

fn report(what: &str, clock: Instant, count: usize) {
    println!("{what:32} {:8.3} ms each", clock.elapsed().as_secs_f64() * 1000.0 / count as f64);
}
