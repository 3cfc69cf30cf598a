//! How many operations a second this machine does, beside num-bigint and beside what its multiplier allows.
//!
//! A rate is measured on a pool of so many threads, in batches that fill them. What it is compared with is measured on
//! the same pool: the textbook's formula in num-bigint, one value a thread at a time; and [`modexp::floor`], the
//! multiply-add throughput of the processor, divided by the digit products that the best known way needs.

use crate::{
    Ciphertext, EncryptionKey, Encryptor, KeyError, KeyShare, Partial, PrivateKey, Proof, ProofContext,
    PublicKey, Randomness, combine, deal, partial_decrypt, random,
};
use modexp::{DigitProducts, Modulus, Secret};
use num_bigint::{BigInt, BigUint};
use rand_core::CryptoRng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::{
    hint::black_box,
    time::{Duration, Instant},
};

/// Members of the threshold key; all of them decrypt together.
const MEMBERS: u32 = 3;
/// Factors of a dot product.
const TERMS: usize = 2048;
/// Bits of the factors of products and of dot products.
const SCALAR_BITS: u32 = 32;
const DOT_BITS: u32 = 16;
/// Window of an exponentiation with a single base.
const WINDOW: f64 = 5.0;

/// One operation at one size on one number of threads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rate {
    /// What is done.
    pub operation: String,
    /// Bits of N.
    pub bits: u64,
    /// Which arithmetic.
    pub backend: String,
    /// Threads of the pool.
    pub threads: usize,
    /// How many a second.
    pub per_second: f64,
    /// Times as many as num-bigint does.
    pub ratio_to_num_bigint: f64,
    /// Share of what the multiplier allows.
    pub ratio_to_floor: f64,
}

/// The keys and inputs of one size, on the backend that this process has chosen.
pub struct Bench {
    bits: u64,
    encryption: EncryptionKey,
    private: PrivateKey,
    factors: (BigUint, BigUint),
    threshold: PublicKey,
    shares: Vec<KeyShare>,
    /// Of the half size, for the costs of arithmetic with the factors.
    half: Modulus,
    encryptors: [Encryptor; 2],
    exponent: Secret,
}

impl Bench {
    /// Makes an ordinary and a threshold key of `bits` bits.
    ///
    /// # Errors
    /// A size that is not supported.
    pub fn new(bits: u64, rng: &mut impl CryptoRng) -> Result<Self, KeyError> {
        let factors = crate::private::factors(bits, rng)?;
        let private = PrivateKey::from_factors(&factors.0, &factors.1)?;
        let encryption = private.public().clone();
        let (threshold, shares) = deal(MEMBERS, MEMBERS, bits, "bench", rng)?;
        let half = Modulus::new(&factors.0).map_err(|_| KeyError::Size(bits))?;
        let encryptors =
            [Randomness::Short, Randomness::Long].map(|randomness| Encryptor::new(&encryption, randomness));
        let exponent = random::secret(rng, bits as usize);
        Ok(Self { bits, encryption, private, factors, threshold, shares, half, encryptors, exponent })
    }

    /// Measures every operation on a pool of `threads` threads, for about `time` each and as long for num-bigint.
    ///
    /// # Panics
    /// When the system gives no threads.
    pub fn run(&self, threads: usize, time: Duration, rng: &mut (impl CryptoRng + Send)) -> Vec<Rate> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.expect("the system has threads");
        pool.install(|| self.rates(threads, time, rng))
    }

    fn rates(&self, threads: usize, time: Duration, rng: &mut impl CryptoRng) -> Vec<Rate> {
        let (key, ring) = (&self.encryption, self.encryption.ring());
        let (n, n2) = (key.n().clone(), key.n_squared().clone());
        let work = ring.digit_products();
        let floor = modexp::floor(ring.backend()) * threads as f64;
        // Whole blocks for every thread.
        let batch = 16 * threads;
        let messages: Vec<BigInt> =
            (0..batch as i64).map(|i| BigInt::from(i * 0x1234_5678 - 77_777)).collect();
        let ciphertexts = self.encryptors[0].encrypt(&messages, rng).expect("small plaintexts");
        let many: Vec<Ciphertext> = ciphertexts.iter().cycle().take(TERMS).cloned().collect();
        let residues: Vec<_> = ciphertexts.iter().map(|c| c.0.clone()).collect();
        let values = ring.values(&residues);
        let value = |i: usize| &values[i % values.len()];
        let exponent = random::number(rng, self.bits as usize);
        let scalar = |i: usize, bits: u32| (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - bits) | 1;
        let scalars: Vec<BigInt> = (0..batch).map(|i| scalar(i, SCALAR_BITS).into()).collect();
        let weights: Vec<BigInt> = (0..TERMS).map(|i| scalar(i, DOT_BITS).into()).collect();

        let mut rates = Vec::new();
        let mut add = |operation: &str, per_second: f64, theirs: f64, products: f64| {
            rates.push(Rate {
                operation: operation.into(),
                bits: self.bits,
                backend: ring.backend().name().into(),
                threads,
                per_second,
                ratio_to_num_bigint: per_second / theirs,
                ratio_to_floor: per_second * products / floor,
            });
        };

        let theirs = singly(threads, time, |i| value(i).modpow(&exponent, &n2));
        let ours = batches(time, batch, || ring.pow_secret(&residues, &self.exponent));
        add("exponentiation", ours, theirs, power(&work, self.bits as f64));

        for encryptor in &self.encryptors {
            let theirs =
                singly(threads, time, |i| (value(i) * &n + 1u32) * value(i + 1).modpow(&n, &n2) % &n2);
            let ours = batches(time, batch, || encryptor.encrypt(&messages, rng));
            let name = format!("encrypt, {}-bit randomness", encryptor.randomness_bits());
            add(&name, ours, theirs, (encryptor.multiplications() + 1) as f64 * work.multiplication);
        }

        let theirs = singly(threads, time, |i| textbook_decryption(&self.factors, value(i)));
        let ours = batches(time, batch, || self.private.decrypt(&ciphertexts));
        let half = self.half.mod_n2().digit_products();
        add("decrypt, ordinary key", ours, theirs, 2.0 * power(&half, self.bits as f64 / 2.0));

        self.threshold_rates(threads, time, rng, &mut add);

        let theirs = singly(threads, time, |i| value(i) * value(i + 1) % &n2);
        let ours = batches(time, TERMS, || key.add_each(&many, black_box(&many)));
        add("add", ours, theirs, work.multiplication);

        let theirs = singly(threads, time, |i| value(i).modpow(scalars[i % batch].magnitude(), &n2));
        let ours = batches(time, batch, || key.scale_each(&ciphertexts, &scalars));
        add("multiply by 32 bits", ours, theirs, power(&work, f64::from(SCALAR_BITS)));

        let theirs = singly(threads, time, |i| {
            value(i).modpow(weights[i % TERMS].magnitude(), &n2) * value(i + 1) % &n2
        });
        let ours = batches(time, TERMS, || key.dot(&many, &weights));
        add("dot product, a term of 16 bits", ours, theirs, pippenger() * work.multiplication);
        rates
    }

    fn threshold_rates(
        &self,
        threads: usize,
        time: Duration,
        rng: &mut impl CryptoRng,
        add: &mut impl FnMut(&str, f64, f64, f64),
    ) {
        let key = &self.threshold;
        let (n, n2) = (key.n(), key.n_squared());
        let work = key.ring().digit_products();
        let batch = 16 * threads;
        let messages: Vec<BigInt> = (0..batch as i64).map(BigInt::from).collect();
        let encryptor = Encryptor::new(key, Randomness::Short);
        let ciphertexts = encryptor.encrypt(&messages, rng).expect("small plaintexts");
        let context = |party: u32| ProofContext::new().bytes(b"bench").int(party.into());
        let contexts: Vec<ProofContext> = (0..MEMBERS).map(context).collect();
        let made: Vec<(Vec<Partial>, Proof)> = self
            .shares
            .iter()
            .zip(&contexts)
            .map(|(share, context)| partial_decrypt(share, &ciphertexts, context, rng))
            .collect();
        let values: Vec<Vec<BigUint>> = made
            .iter()
            .map(|(partials, _)| partials.iter().map(|p| key.ring().value(&p.0)).collect())
            .collect();
        let value = |member: usize, i: usize| &values[member][i % batch];

        let width = self.shares[0].exponent().width();
        let exponent = random::number(rng, width);
        let theirs = singly(threads, time, |i| value(0, i).modpow(&exponent, n2));
        let ours = batches(time, batch, || partial_decrypt(&self.shares[0], &ciphertexts, &contexts[0], rng));
        add("partial decrypt, proof included", ours, theirs, power(&work, width as f64));

        // For three members the exponents 2λ are 36, −36 and 12.
        let theirs = singly(threads, time, |i| {
            let [a, b] = [36u32, 12].map(BigUint::from);
            let inverse = value(1, i).modpow(&a, n2).modinv(n2).unwrap_or_default();
            let product = value(0, i).modpow(&a, n2) * value(2, i).modpow(&b, n2) % n2 * inverse % n2;
            (product - 1u32) / n * key.theta() % n
        });
        let parts: Vec<(u32, &[Partial])> =
            (0..MEMBERS).zip(made.iter().map(|(p, _)| p.as_slice())).collect();
        let ours = batches(time, batch, || combine(key, &parts));
        // Two sides of 5 squarings each, and 8 multiplications with those of the shared inversion.
        add("combine three", ours, theirs, 10.0 * work.squaring + 8.0 * work.multiplication);
    }
}

/// Digit products of an exponentiation with fixed windows.
fn power(work: &DigitProducts, bits: f64) -> f64 {
    bits * work.squaring + (bits / WINDOW).ceil() * work.multiplication
}

/// Multiplications a term of the bucket method with the best window.
fn pippenger() -> f64 {
    let terms = TERMS as f64;
    let windows =
        (1..=12).map(|w| (f64::from(DOT_BITS) / f64::from(w)).ceil() * (terms + 2f64.powi(w)) / terms);
    windows.fold(f64::INFINITY, f64::min)
}

/// The textbook's decryption by Chinese remainders, in num-bigint.
fn textbook_decryption((p, q): &(BigUint, BigUint), c: &BigUint) -> BigUint {
    let part = |p: &BigUint, q: &BigUint| {
        let u = (c % (p * p)).modpow(&(p - 1u32), &(p * p));
        let unscale = (p - q % p).modinv(p).unwrap_or_default();
        (u - 1u32) / p * unscale % p
    };
    let (m_p, m_q) = (part(p, q), part(q, p));
    let difference = (m_q + q - &m_p % q) % q;
    m_p + difference * p.modinv(q).unwrap_or_default() % q * p
}

/// Operations a second of something that does `batch` of them at a time: in the fastest of the repetitions, which other
/// work of the machine has disturbed least. The floor is measured likewise.
fn batches<T>(time: Duration, batch: usize, operation: impl FnMut() -> T) -> f64 {
    batch as f64 / fastest(time, operation)
}

/// Operations a second of something that does one at a time, on every thread of the pool.
fn singly<T>(threads: usize, time: Duration, operation: impl Fn(usize) -> T + Sync) -> f64 {
    let rates = (0..threads).into_par_iter().with_max_len(1).map(|thread| {
        let mut next = thread;
        let mut step = || {
            next += 1;
            operation(next)
        };
        1.0 / fastest(time, &mut step)
    });
    rates.sum()
}

/// Seconds of the fastest repetition within `time`.
fn fastest<T>(time: Duration, mut operation: impl FnMut() -> T) -> f64 {
    let start = Instant::now();
    let mut fastest = f64::INFINITY;
    while start.elapsed() < time {
        let one = Instant::now();
        black_box(operation());
        fastest = fastest.min(one.elapsed().as_secs_f64());
    }
    fastest
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    #[test]
    fn every_operation_has_a_rate_below_the_floor() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let bench = Bench::new(512, &mut rng).unwrap();
        let rates = bench.run(1, Duration::from_millis(20), &mut rng);
        assert_eq!(rates.len(), 9);
        for rate in &rates {
            assert!(rate.per_second > 1.0 && rate.ratio_to_num_bigint > 0.0, "{rate:?}");
            // Another process may slow the measurement of the floor down.
            assert!(rate.ratio_to_floor < 3.0, "{rate:?}");
        }
    }

    #[test]
    fn the_textbooks_decryption_is_ours() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let bench = Bench::new(512, &mut rng).unwrap();
        let c = bench.encryptors[0].encrypt(&[BigInt::from(12_345)], &mut rng).unwrap();
        let value = bench.encryption.ring().value(&c[0].0);
        assert_eq!(textbook_decryption(&bench.factors, &value), BigUint::from(12_345u32));
        assert_eq!(bench.private.decrypt(&c), [BigInt::from(12_345)]);
    }
}
