//! Speed against num-bigint and against what the processor's multiplier can do, all in one run.
//!
//! `cargo bench -p confab-modexp --bench modexp` prints the table of ratios; with `-- --criterion` Criterion's statistics of
//! the single operations follow. One thread, processor time; each is the least of many rounds, ours and num-bigint's in
//! turn: what a neighbour on the machine disturbed least.

use criterion::Criterion;
use modexp::{Backend, Modulus, Residue, Ring, Secret, floor};
use num_bigint::BigUint;
use rand_core::{Rng, SeedableRng};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;

fn random(bits: usize, seed: u64) -> BigUint {
    let mut bytes = vec![0; bits / 8];
    rand_chacha::ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    let mut x = BigUint::from_bytes_be(&bytes);
    x.set_bit(bits as u64 - 1, true);
    x.set_bit(0, true);
    x
}

/// One size on one backend, with everything that the operations need.
struct Case {
    bits: usize,
    ring: Ring,
    values: Vec<BigUint>,
    residues: Vec<Residue>,
    exponent: BigUint,
    secret: Secret,
}

impl Case {
    fn new(bits: usize, backend: Backend) -> Case {
        let modulus = Modulus::with_backend(&random(bits, 1), backend).expect("an odd modulus");
        let ring = modulus.mod_n2().clone();
        let units = (2..).map(|seed| random(2 * bits, seed) % ring.modulus());
        let values: Vec<BigUint> =
            units.filter(|unit| modexp::gcd(unit, modulus.n()) == 1u32.into()).take(64).collect();
        let residues = ring.residues(&values).expect("below the modulus");
        let exponent = random(bits, 99);
        let secret = Secret::from_biguint(&exponent, bits).expect("it has these bits");
        Case { bits, ring, values, residues, exponent, secret }
    }
}

/// Seconds that this thread has had a core.
fn processor_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Processor seconds of one run: the fewest of several.
struct Timer(f64);

impl Timer {
    fn new() -> Self {
        Timer(f64::INFINITY)
    }

    fn run<T>(&mut self, times: usize, mut operation: impl FnMut() -> T) {
        let start = processor_seconds();
        for _ in 0..times {
            black_box(operation());
        }
        self.0 = self.0.min((processor_seconds() - start) / times as f64);
    }
}

fn line(name: &str, seconds: f64, reference: f64, floor: f64) {
    println!(
        "{name:44} {:10.3} µs  num-bigint {:10.2} µs = {:6.2}×   floor {:9.3} µs = {:5.1} %",
        seconds * 1e6,
        reference * 1e6,
        reference / seconds,
        floor * 1e6,
        100.0 * floor / seconds,
    );
}

fn table(bits: usize, backend: Backend) {
    let case = Case::new(bits, backend);
    let Case { ring, values, residues, exponent, secret, .. } = &case;
    let lanes = &residues[..ring.lanes()];
    let per_second = floor(backend);
    let work = ring.digit_products();
    let (multiplication, squaring) = (work.multiplication / per_second, work.squaring / per_second);
    let windows = bits.div_ceil(5) as f64;

    let kernel = ring.kernel_seconds();
    let [mut pow, mut public, mut theirs_mul, mut theirs_pow] = std::array::from_fn(|_| Timer::new());
    for _ in 0..15 {
        // As many as there are lanes: the shorter a round, the likelier it is undisturbed.
        pow.run(1, || ring.pow_secret(lanes, secret));
        public.run(1, || ring.pow_vartime_all(lanes, exponent));
        theirs_mul.run(20, || &values[0] * &values[1] % ring.modulus());
        theirs_pow.run(1, || values[0].modpow(exponent, ring.modulus()));
    }
    let per_lane = |timer: Timer| timer.0 / lanes.len() as f64;
    let (theirs_mul, theirs_pow) = (theirs_mul.0, theirs_pow.0);
    println!("\nmodulo N², {bits} bits, {backend}, one thread, per residue of a full block");
    line("multiplication", kernel.multiplication, theirs_mul, multiplication);
    line("squaring", kernel.squaring, theirs_mul, squaring);
    let pow_floor = bits as f64 * squaring + windows * multiplication;
    line("power, secret exponent of N's length", per_lane(pow), theirs_pow, pow_floor);
    line("power, public exponent of N's length", per_lane(public), theirs_pow, pow_floor);

    for width in [512, 1024] {
        let base = ring.fixed_base(&residues[0], width);
        let exponents: Vec<BigUint> = (0..lanes.len() as u64).map(|i| random(width, 200 + i)).collect();
        let secrets: Vec<Secret> =
            exponents.iter().map(|e| Secret::from_biguint(e, width).expect("fits")).collect();
        let [mut ours, mut theirs] = std::array::from_fn(|_| Timer::new());
        for _ in 0..15 {
            ours.run(1, || base.pow(&secrets));
            theirs.run(1, || values[0].modpow(&exponents[0], ring.modulus()));
        }
        let floor = base.multiplications() as f64 * multiplication;
        line(&format!("fixed base, {width}-bit secret"), per_lane(ours), theirs.0, floor);
    }
}

/// Encrypted dot products: 10,000 rows packed 60 to a ciphertext, 80 dimensions, 16-bit scalars.
fn dot_product(backend: Backend) {
    let case = Case::new(2048, backend);
    let scalars: Vec<BigUint> = (0..80).map(|i| random(16, 300 + i)).collect();
    let row: Vec<Residue> = (0..80).map(|i| case.residues[i % 64].clone()).collect();
    let rows: Vec<&[Residue]> = vec![&row; 167];
    let mut timer = Timer::new();
    for _ in 0..5 {
        timer.run(1, || case.ring.multi_pow_rows(&rows, &scalars));
    }
    println!("10,000-row dot product, 80 dimensions, {backend}: {:.1} ms", timer.0 * 1e3);
    let many: Vec<Residue> = (0..2000).map(|i| case.residues[i % 64].clone()).collect();
    let weights: Vec<BigUint> = (0..2000).map(|i| random(128, 400 + i)).collect();
    let mut timer = Timer::new();
    for _ in 0..5 {
        timer.run(1, || case.ring.multi_pow(&many, &weights));
    }
    println!("product of 2,000 powers with 128-bit exponents, {backend}: {:.1} ms", timer.0 * 1e3);
}

/// The noise of the blinded comparison: products of secret powers, with shared squarings and one power after the other.
fn secret_products(backend: Backend) {
    let case = Case::new(2048, backend);
    let ring = &case.ring;
    let lanes = ring.lanes();
    for count in [2, 4] {
        let exponents: Vec<Secret> = (0..lanes as u64)
            .map(|i| Secret::from_biguint(&random(544, 500 + i), 544).expect("it has these bits"))
            .collect();
        let columns: Vec<(&[Residue], &[Secret])> =
            case.residues.chunks(lanes).take(count).map(|bases| (bases, &exponents[..])).collect();
        let [mut shared, mut single] = std::array::from_fn(|_| Timer::new());
        for _ in 0..15 {
            shared.run(1, || ring.multi_pow_secret(&columns));
            single.run(1, || {
                let powers = columns.iter().map(|(bases, exponents)| ring.pow_secret_each(bases, exponents));
                powers.reduce(|product, powers| ring.mul_pairs(&product, &powers))
            });
        }
        println!(
            "product of {count} powers with 544-bit secrets, {backend}: {:.0} µs; one by one {:.0} µs",
            shared.0 / lanes as f64 * 1e6,
            single.0 / lanes as f64 * 1e6,
        );
    }
}

/// Training by rows: five blinded margins in a ciphertext, 403 bits apart, with full-range randomness.
fn packed_products(backend: Backend) {
    const SHIFT: usize = 403;
    let case = Case::new(2048, backend);
    let ring = &case.ring;
    let lanes = ring.lanes();
    let n = Modulus::with_backend(&random(2048, 1), backend).expect("odd").n().clone();
    let (roots, bases) = (&case.residues[..lanes], &case.residues[lanes..][..lanes]);
    let exponents: Vec<Secret> = (0..lanes as u64)
        .map(|i| Secret::from_biguint(&random(352, 600 + i), 352).expect("it has these bits"))
        .collect();
    let slots = [(bases, &exponents[..]); 5];
    let shift = BigUint::from(1u32) << SHIFT;
    let [mut together, mut apart] = std::array::from_fn(|_| Timer::new());
    for _ in 0..15 {
        together.run(1, || ring.multi_pow_secret_packed(&slots, SHIFT, (roots, &n)));
        apart.run(1, || {
            let powers: Vec<Vec<Residue>> =
                slots.map(|(bases, exponents)| ring.pow_secret_each(bases, exponents)).into();
            let packed = powers
                .into_iter()
                .rev()
                .reduce(|above, powers| ring.mul_pairs(&ring.pow_vartime_all(&above, &shift), &powers));
            ring.mul_pairs(&packed.expect("five slots"), &ring.pow_vartime_all(roots, &n))
        });
    }
    println!(
        "five 352-bit secret powers packed with r^N, {backend}: {:.0} µs; one after the other {:.0} µs",
        together.0 / lanes as f64 * 1e6,
        apart.0 / lanes as f64 * 1e6,
    );
}

/// Training by rows: margins (as many bases as columns, a product for each row) and gradients (the other way round),
/// with 18-bit exponents. The floor is three windows a power and nothing else.
fn matrices(backend: Backend) {
    let case = Case::new(2048, backend);
    let ring = &case.ring;
    let multiplication = ring.digit_products().multiplication / floor(backend);
    println!("products of powers with 18-bit secrets, 2,048 bits, {backend}");
    for columns in [11, 101] {
        for (what, bases, rows) in [("margins", columns, 1000), ("gradient", 1000, columns)] {
            let residues: Vec<Residue> = (0..bases).map(|i| case.residues[i % 64].clone()).collect();
            let exponents: Vec<Vec<Secret>> = (0..rows)
                .map(|row| {
                    (0..bases)
                        .map(|base| {
                            let exponent = random(24, (row * bases + base) as u64) >> 6u32;
                            Secret::from_biguint(&exponent, 18).expect("it has these bits")
                        })
                        .collect()
                })
                .collect();
            let mut timer = Timer::new();
            for _ in 0..3 {
                timer.run(1, || ring.multi_pow_secret_matrix(&residues, &exponents).expect("units"));
            }
            let floor = (3 * bases * rows) as f64 * multiplication;
            println!(
                "{what:9} 1,000 rows, {columns:3} columns {:8.1} ms  floor {:8.1} ms = {:5.1} %",
                timer.0 * 1e3,
                floor * 1e3,
                100.0 * floor / timer.0
            );
        }
    }
}

/// The ways in and out, and the symbols: what protocols do beside exponentiations.
fn borders(backend: Backend) {
    let case = Case::new(2048, backend);
    let Case { ring, values, residues, .. } = &case;
    let modulus = Modulus::with_backend(&random(2048, 1), backend).expect("odd");
    let [mut make, mut enter, mut leave, mut mul, mut invert, mut jacobi] =
        std::array::from_fn(|_| Timer::new());
    for _ in 0..15 {
        make.run(1, || Modulus::with_backend(modulus.n(), backend));
        enter.run(1, || ring.residues(values));
        leave.run(1, || ring.values(residues));
        mul.run(1, || ring.mul_pairs(residues, residues));
        invert.run(1, || ring.invert_batch(residues).expect("units"));
        jacobi.run(1, || modexp::jacobi(&values[0], modulus.n()));
    }
    println!("\n2,048 bits, {backend}: one value of 64");
    for (name, timer, count) in [
        ("Modulus::new", make, 1.0),
        ("residues", enter, 64.0),
        ("values", leave, 64.0),
        ("mul_pairs", mul, 64.0),
        ("invert_batch", invert, 64.0),
        ("jacobi", jacobi, 1.0),
    ] {
        println!("{name:44} {:10.3} µs", timer.0 / count * 1e6);
    }
}

fn criterion(backend: Backend) {
    let mut criterion = Criterion::default().sample_size(20);
    for bits in [1024, 2048, 3072] {
        let case = Case::new(bits, backend);
        let mut group = criterion.benchmark_group(format!("mod N², {} bits, {backend}", case.bits));
        group.bench_function("8 × pow_secret", |b| {
            b.iter(|| case.ring.pow_secret(&case.residues[..8], &case.secret))
        });
        group.bench_function("64 × mul_pairs", |b| {
            b.iter(|| case.ring.mul_pairs(&case.residues, &case.residues))
        });
        group.finish();
    }
}

fn main() {
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread pool");
    one.install(|| {
        for backend in Backend::ALL.into_iter().filter(|b| b.is_available()) {
            println!("{backend}: {:.2} digit products a nanosecond at most", floor(backend) / 1e9);
            for bits in [1024, 2048, 3072] {
                table(bits, backend);
            }
            borders(backend);
            dot_product(backend);
            secret_products(backend);
            packed_products(backend);
            matrices(backend);
            if std::env::args().any(|a| a == "--criterion") {
                criterion(backend);
            }
        }
    });
}
