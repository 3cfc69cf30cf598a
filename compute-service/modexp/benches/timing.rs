//! Does the time of a secret exponentiation depend on the exponent? Welch's t-test between two classes of exponents, after
//! dudect (Reparaz, Balasch, Verbauwhede 2017): all zeros against random, all ones against random, measured in random
//! order. |t| above 10 shows a leak beyond doubt and fails; below 4.5 none was found with so many measurements.
//!
//! `cargo bench -p confab-modexp --bench timing`

use modexp::{Backend, FixedBase, Modulus, Residue, Ring, Secret};
use num_bigint::BigUint;
use rand_core::{Rng, SeedableRng};
use std::hint::black_box;
use std::time::Instant;

const BITS: usize = 512;
const MEASUREMENTS: usize = 20_000;

/// Mean and variance as they come (Welford).
#[derive(Default, Clone, Copy)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn push(&mut self, x: f64) {
        self.count += 1.0;
        let delta = x - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (x - self.mean);
    }

    fn variance(&self) -> f64 {
        self.squares / (self.count - 1.0)
    }
}

fn welch(a: Moments, b: Moments) -> f64 {
    (a.mean - b.mean) / (a.variance() / a.count + b.variance() / b.count).sqrt()
}

/// The largest |t| over the whole sample and over the samples below some percentiles, which cut off interruptions.
fn largest_t(samples: &[(bool, f64)]) -> f64 {
    let mut times: Vec<f64> = samples.iter().map(|s| s.1).collect();
    times.sort_by(f64::total_cmp);
    [1.0, 0.95, 0.9, 0.75, 0.5]
        .map(|part| {
            let limit = times[((times.len() - 1) as f64 * part) as usize];
            let mut classes = [Moments::default(); 2];
            for &(class, time) in samples.iter().filter(|s| s.1 <= limit) {
                classes[usize::from(class)].push(time);
            }
            welch(classes[0], classes[1]).abs()
        })
        .into_iter()
        .fold(0.0, f64::max)
}

struct Subject {
    ring: Ring,
    bases: Vec<Residue>,
    table: FixedBase,
}

/// Compares exponents of `width` bits, all of whose bytes are `byte`, with random ones.
fn test(name: &str, byte: u8, width: usize, operation: impl Fn(&Secret)) -> bool {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    let mut samples = Vec::with_capacity(MEASUREMENTS);
    let mut bytes = vec![byte; width / 8];
    let fixed = Secret::from_be_bytes(&bytes, width).expect("it has these bits");
    let name = format!("{name}, {byte:#04x} against random");
    for i in 0..MEASUREMENTS + 500 {
        rng.fill_bytes(&mut bytes);
        let class = rng.next_u32() & 1 == 1;
        // Both classes make and clone alike; only the value differs.
        let random = Secret::from_be_bytes(&bytes, width).expect("it has these bits");
        let secret = if class { random.clone() } else { fixed.clone() };
        let start = Instant::now();
        operation(black_box(&secret));
        let time = start.elapsed().as_nanos() as f64;
        if i >= 500 {
            samples.push((class, time));
        }
    }
    let t = largest_t(&samples);
    let verdict = if t > 10.0 {
        "LEAKS"
    } else if t > 4.5 {
        "suspicious, repeat on a quiet machine"
    } else {
        "no leak found"
    };
    println!("{name:60} |t| = {t:6.2}  {verdict}");
    t <= 10.0
}

fn main() {
    // A modulus without long runs of equal bits, or the digits of 1 would be nearly all zero.
    let mut bytes = [0; BITS / 8];
    rand_chacha::ChaCha8Rng::seed_from_u64(1).fill_bytes(&mut bytes);
    let mut n = BigUint::from_bytes_be(&bytes);
    n.set_bit(0, true);
    n.set_bit(BITS as u64 - 1, true);
    let mut passed = true;
    for backend in Backend::ALL.into_iter().filter(|b| b.is_available()) {
        let ring = Modulus::with_backend(&n, backend).expect("an odd modulus").mod_n2().clone();
        let bases: Vec<Residue> = (3u32..)
            .filter(|i| modexp::gcd(&BigUint::from(*i), &n) == 1u32.into())
            .take(ring.lanes())
            .map(|i| ring.residue(&(BigUint::from(i).pow(500) % ring.modulus())).expect("reduced"))
            .collect();
        let table = ring.fixed_base(&bases[0], BITS);
        let subject = Subject { ring, bases, table };
        for byte in [0, 255] {
            passed &= test(&format!("{backend}: pow_secret"), byte, BITS, |e| {
                black_box(subject.ring.pow_secret(&subject.bases, e));
            });
            passed &= test(&format!("{backend}: pow_secret of one"), byte, BITS, |e| {
                black_box(subject.ring.pow_secret(&subject.bases[..1], e));
            });
            // So wide that it goes by way of powers modulo N, with a division of the exponent.
            passed &= test(&format!("{backend}: pow_secret, wide"), byte, 2 * BITS, |e| {
                black_box(subject.ring.pow_secret(&subject.bases, e));
            });
            passed &= test(&format!("{backend}: multi_pow_secret_packed"), byte, BITS / 4, |e| {
                let exponents = vec![e.clone(); subject.bases.len()];
                let slots = [(&subject.bases[..], &exponents[..]); 3];
                black_box(subject.ring.multi_pow_secret_packed(&slots, BITS / 3, (&subject.bases, &n)));
            });
            passed &= test(&format!("{backend}: multi_pow_secret_matrix"), byte, 24, |e| {
                let rows = vec![vec![e.clone(); subject.bases.len()]; 20];
                black_box(subject.ring.multi_pow_secret_matrix(&subject.bases, &rows).expect("units"));
            });
            passed &= test(&format!("{backend}: FixedBase::pow"), byte, BITS, |e| {
                black_box(subject.table.pow(std::slice::from_ref(e)));
            });
        }
    }
    assert!(passed, "the time of a secret exponentiation depends on the exponent");
}
