//! Every backend against num-bigint, lane by lane, at the edges of the representation and at random.

use modexp::{
    Backend, Error, FixedBase, Modulus, Residue, Ring, Secret, gcd, pow_mod_many, pow_mod_many_on,
    pow_mod_many_secret, pow_mod_many_secret_on,
};
use num_bigint::BigUint;
use rand_core::{Rng, SeedableRng};

fn backends() -> Vec<Backend> {
    Backend::ALL.into_iter().filter(|b| b.is_available()).collect()
}

struct Random(rand_chacha::ChaCha8Rng);

impl Random {
    fn new(seed: u64) -> Self {
        Random(rand_chacha::ChaCha8Rng::seed_from_u64(seed))
    }

    fn bits(&mut self, bits: usize) -> BigUint {
        let mut bytes = vec![0; bits.div_ceil(8)];
        self.0.fill_bytes(&mut bytes);
        BigUint::from_bytes_be(&bytes) >> (bytes.len() * 8 - bits)
    }

    fn below(&mut self, limit: &BigUint) -> BigUint {
        self.bits(limit.bits() as usize + 64) % limit
    }

    fn modulus(&mut self, bits: u64) -> BigUint {
        let mut n = self.bits(bits as usize);
        n.set_bit(0, true);
        n.set_bit(bits - 1, true);
        n
    }
}

/// Sizes that fill their digits and sizes that just do not. Under Miri, which is slow, one, and few values.
const SIZES: &[u64] = if cfg!(miri) {
    &[128]
} else {
    &[128, 129, 191, 256, 308, 309, 512, 517, 1000, 1024, 1536, 2048, 2049, 3072, 4095, 4096]
};

/// 2^bits − 1, 2^(bits−1) + 1, and random ones.
fn moduli(bits: u64, random: &mut Random) -> Vec<BigUint> {
    let one = BigUint::from(1u32);
    vec![(&one << bits) - 1u32, (&one << (bits - 1)) + 1u32, random.modulus(bits), random.modulus(bits)]
}

/// Values around every border of x₀ + x₁·N, and random ones.
fn values(ring: &Ring, n: &BigUint, random: &mut Random) -> Vec<BigUint> {
    let one = BigUint::from(1u32);
    let m = ring.modulus();
    let mut values: Vec<BigUint> = vec![
        BigUint::ZERO,
        one.clone(),
        BigUint::from(2u32),
        n - 1u32,
        n.clone(),
        n + 1u32,
        n * 2u32,
        n * (n - 1u32),
        m - 1u32,
        m - 2u32,
        m - n,
        m / 2u32,
        (&one << (n.bits() - 1)) - 1u32,
    ];
    values.retain(|v| v < m);
    if cfg!(miri) {
        return values.into_iter().step_by(2).take(3).collect();
    }
    values.extend((0..6).map(|_| random.below(m)));
    values
}

fn for_each_ring(mut check: impl FnMut(&Ring, &BigUint, &mut Random)) {
    let mut random = Random::new(1);
    for &bits in SIZES {
        for n in moduli(bits, &mut random).into_iter().take(if cfg!(miri) { 1 } else { 4 }) {
            for backend in backends() {
                let modulus = Modulus::with_backend(&n, backend).unwrap();
                check(modulus.mod_n(), &n, &mut random);
                check(modulus.mod_n2(), &n, &mut random);
            }
        }
    }
}

fn take_in(ring: &Ring, values: &[BigUint]) -> Vec<Residue> {
    ring.residues(values).unwrap()
}

#[test]
fn values_come_back() {
    for_each_ring(|ring, n, random| {
        let values = values(ring, n, random);
        assert_eq!(ring.values(&take_in(ring, &values)), values);
    });
}

#[test]
fn products_and_squares() {
    for_each_ring(|ring, n, random| {
        let values = values(ring, n, random);
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for x in &values {
            for y in &values {
                a.push(x.clone());
                b.push(y.clone());
            }
        }
        let expected: Vec<BigUint> = a.iter().zip(&b).map(|(x, y)| x * y % ring.modulus()).collect();
        let (a, b) = (take_in(ring, &a), take_in(ring, &b));
        let products = ring.mul_pairs(&a, &b);
        for (i, (got, want)) in ring.values(&products).iter().zip(&expected).enumerate() {
            assert_eq!(got, want, "product {i}, {} bits, {}", n.bits(), ring.backend());
        }
        // Outputs of multiplications as inputs: not reduced further than the backend does itself.
        let squares = ring.square_each(&products);
        for (i, (got, p)) in ring.values(&squares).iter().zip(&expected).enumerate() {
            assert_eq!(*got, p * p % ring.modulus(), "square {i}, {} bits, {}", n.bits(), ring.backend());
        }
        let [.., factor, x] = &products[..] else { unreachable!("there are more values") };
        let (mut x, mut expected) = (x.clone(), expected[expected.len() - 1].clone());
        for _ in 0..if cfg!(miri) { 2 } else { 20 } {
            x = ring.square(&ring.mul(&x, factor));
            expected = (&expected * ring.value(factor)).pow(2) % ring.modulus();
        }
        assert_eq!(ring.value(&x), expected);
    });
}

/// Few residues and many go through different code, and from one to the other.
#[test]
fn few_residues_as_many() {
    for_each_ring(|ring, n, random| {
        let numbers = values(ring, n, random);
        let residues = take_in(ring, &numbers);
        let other: Vec<Residue> = residues.iter().rev().cloned().collect();
        let squares = ring.square_each(&ring.mul_pairs(&residues, &other));
        for (i, expected) in ring.values(&squares).iter().enumerate() {
            let alone = ring.residue(&numbers[i]).unwrap();
            let square = ring.square(&ring.mul(&alone, &other[i]));
            assert_eq!(ring.value(&square), *expected, "{i}, {} bits, {}", n.bits(), ring.backend());
            assert_eq!(ring.value(&squares[i]), *expected);
        }
    });
    let mut random = Random::new(10);
    for bits in [512, 1024, 2048, 3072, 4096] {
        let n = random.modulus(bits);
        for backend in backends() {
            let modulus = Modulus::with_backend(&n, backend).unwrap();
            let ring = modulus.mod_n2();
            let bases: Vec<BigUint> = (0..8).map(|_| random.below(ring.modulus())).collect();
            let residues = take_in(ring, &bases);
            let exponent = random.bits(150);
            let secret = Secret::from_biguint(&exponent, 150).unwrap();
            let expected: Vec<BigUint> = bases.iter().map(|x| x.modpow(&exponent, ring.modulus())).collect();
            for count in [1, 3, 8] {
                let bases = &residues[..count];
                assert_eq!(
                    ring.values(&ring.pow_secret(bases, &secret)),
                    expected[..count],
                    "{bits}, {backend}"
                );
                assert_eq!(ring.values(&ring.pow_vartime_all(bases, &exponent)), expected[..count]);
            }
        }
    }
}

#[test]
fn product_of_any_number() {
    let mut random = Random::new(2);
    let n = random.modulus(256);
    for backend in backends() {
        let modulus = Modulus::with_backend(&n, backend).unwrap();
        for ring in [modulus.mod_n(), modulus.mod_n2()] {
            for count in [0, 1, 2, 3, 7, 8, 9, 16, 31, 100] {
                let values: Vec<BigUint> = (0..count).map(|_| random.below(ring.modulus())).collect();
                let expected = values.iter().fold(BigUint::from(1u32), |p, v| p * v % ring.modulus());
                assert_eq!(ring.value(&ring.product(&take_in(ring, &values))), expected, "{count} factors");
            }
        }
    }
}

#[test]
fn inverses() {
    let mut random = Random::new(3);
    // A product of two primes, so that values without an inverse are known.
    let p = (BigUint::from(1u32) << 127u32) - 1u32;
    let q = (BigUint::from(1u32) << 89u32) - 1u32;
    let n = &p * &q;
    for backend in backends() {
        let modulus = Modulus::with_backend(&n, backend).unwrap();
        for ring in [modulus.mod_n(), modulus.mod_n2()] {
            for count in [0, 1, 2, 3, 5, 8, 9, 17, 40] {
                let mut values = Vec::new();
                while values.len() < count {
                    let v = random.below(ring.modulus());
                    if gcd(&v, &n) == BigUint::from(1u32) {
                        values.push(v);
                    }
                }
                let inverses = ring.invert_batch(&take_in(ring, &values)).unwrap();
                for (v, inverse) in values.iter().zip(ring.values(&inverses)) {
                    assert_eq!(v * inverse % ring.modulus(), BigUint::from(1u32));
                }
                for bad in 0..count {
                    let mut values = values.clone();
                    values[bad] = &p * 12345u32;
                    values[count - 1] = BigUint::ZERO;
                    let error = ring.invert_batch(&take_in(ring, &values)).unwrap_err();
                    assert_eq!(error, Error::NotInvertible { index: bad });
                }
            }
        }
    }
}

#[test]
fn powers() {
    let mut random = Random::new(4);
    for (n_bits, widths) in [
        (128, &[0usize, 1, 5, 64, 130, 193, 321][..]),
        (520, &[65, 300, 900]),
        (1024, &[257]),
        (2048, &[100]),
    ] {
        let n = random.modulus(n_bits);
        for backend in backends() {
            let modulus = Modulus::with_backend(&n, backend).unwrap();
            for ring in [modulus.mod_n(), modulus.mod_n2()] {
                for &width in widths {
                    let values: Vec<BigUint> = values(ring, &n, &mut random).into_iter().take(19).collect();
                    let bases = take_in(ring, &values);
                    let limit = BigUint::from(1u32) << width;
                    let exponents: Vec<BigUint> = (0..values.len())
                        .map(|i| match i % 6 {
                            0 => &limit - 1u32,
                            1 => BigUint::ZERO,
                            2 => BigUint::from(1u32) % &limit,
                            _ => random.below(&limit),
                        })
                        .collect();
                    let secrets: Vec<Secret> =
                        exponents.iter().map(|e| Secret::from_biguint(e, width).unwrap()).collect();
                    let expected: Vec<BigUint> =
                        values.iter().zip(&exponents).map(|(v, e)| v.modpow(e, ring.modulus())).collect();
                    let context = format!("{n_bits} bits, exponents of {width}, {}", ring.backend());
                    assert_eq!(ring.values(&ring.pow_secret_each(&bases, &secrets)), expected, "{context}");
                    assert_eq!(ring.values(&ring.pow_vartime(&bases, &exponents)), expected, "{context}");
                    for (e, secret) in exponents.iter().zip(&secrets).take(4) {
                        let expected: Vec<BigUint> =
                            values.iter().map(|v| v.modpow(e, ring.modulus())).collect();
                        assert_eq!(ring.values(&ring.pow_secret(&bases, secret)), expected, "{context}");
                        assert_eq!(ring.values(&ring.pow_vartime_all(&bases, e)), expected, "{context}");
                    }
                    let table: FixedBase = ring.fixed_base(&bases[13], width);
                    let expected: Vec<BigUint> =
                        exponents.iter().map(|e| values[13].modpow(e, ring.modulus())).collect();
                    assert_eq!(ring.values(&table.pow(&secrets)), expected, "{context}");
                }
            }
        }
    }
}

#[test]
fn multi_powers() {
    let mut random = Random::new(5);
    let n = random.modulus(300);
    for backend in backends() {
        let modulus = Modulus::with_backend(&n, backend).unwrap();
        for ring in [modulus.mod_n(), modulus.mod_n2()] {
            // Few bases with long exponents (Straus) to many with short ones (Pippenger).
            for (count, width) in
                [(0, 10), (1, 300), (3, 128), (9, 128), (20, 1), (70, 16), (600, 12), (2000, 128)]
            {
                let values: Vec<BigUint> = (0..count).map(|_| random.below(ring.modulus())).collect();
                let exponents: Vec<BigUint> = (0..count).map(|_| random.bits(width)).collect();
                let expected = values.iter().zip(&exponents).fold(BigUint::from(1u32), |product, (v, e)| {
                    product * v.modpow(e, ring.modulus()) % ring.modulus()
                });
                let bases = take_in(ring, &values);
                assert_eq!(
                    ring.value(&ring.multi_pow(&bases, &exponents)),
                    expected,
                    "{count} of {width} bits"
                );
                let rows: Vec<&[Residue]> = vec![&bases; 11];
                if count < 600 {
                    for got in ring.values(&ring.multi_pow_rows(&rows, &exponents)) {
                        assert_eq!(got, expected, "rows, {count} of {width} bits");
                    }
                }
            }
        }
    }
}

#[test]
fn secret_multi_powers() {
    let mut random = Random::new(8);
    let cases: &[(u64, &[usize])] = if cfg!(miri) {
        &[(128, &[6, 3])]
    } else {
        &[
            (128, &[64usize]),
            (300, &[0, 0]),
            (300, &[100, 100, 100]),
            (520, &[0, 7, 200, 61]),
            (1024, &[90, 200]),
        ]
    };
    for &(n_bits, widths) in cases {
        let n = random.modulus(n_bits);
        for backend in backends() {
            let modulus = Modulus::with_backend(&n, backend).unwrap();
            for ring in [modulus.mod_n(), modulus.mod_n2()] {
                for count in if cfg!(miri) { [0, 1, 1, 5] } else { [0, 1, 8, 11] } {
                    let mut expected = vec![BigUint::from(1u32); count];
                    let columns: Vec<(Vec<Residue>, Vec<Secret>)> = widths
                        .iter()
                        .map(|&width| {
                            let bases: Vec<BigUint> =
                                (0..count).map(|_| random.below(ring.modulus())).collect();
                            let exponents: Vec<BigUint> = (0..count)
                                .map(|i| match i % 5 {
                                    0 => (BigUint::from(1u32) << width) - 1u32,
                                    1 => BigUint::ZERO,
                                    _ => random.bits(width),
                                })
                                .collect();
                            for ((product, base), e) in expected.iter_mut().zip(&bases).zip(&exponents) {
                                *product = &*product * base.modpow(e, ring.modulus()) % ring.modulus();
                            }
                            let secret = |e| Secret::from_biguint(e, width).unwrap();
                            (take_in(ring, &bases), exponents.iter().map(secret).collect())
                        })
                        .collect();
                    let columns: Vec<(&[Residue], &[Secret])> =
                        columns.iter().map(|(bases, exponents)| (&bases[..], &exponents[..])).collect();
                    let context = format!("{count} products, widths {widths:?}, {n_bits} bits, {backend}");
                    assert_eq!(ring.values(&ring.multi_pow_secret(&columns)), expected, "{context}");
                }
            }
        }
    }
}

#[test]
fn signed_multi_powers_and_multiples_of_n() {
    let mut random = Random::new(9);
    for (n_bits, width, columns) in [(128, 1usize, 1), (300, 31, 2), (300, 100, 3), (520, 203, 2)] {
        let n = random.modulus(n_bits);
        let shift = BigUint::from(1u32) << (width - 1);
        let secret = |e: &BigUint| Secret::from_biguint(e, width).unwrap();
        for backend in backends() {
            let modulus = Modulus::with_backend(&n, backend).unwrap();
            let ring = modulus.mod_n2();
            for count in [1, 11] {
                // As many bases as exponents, units all of them.
                let mut numbers = |_| -> (Vec<BigUint>, Vec<BigUint>) {
                    let unit = |_| loop {
                        let base = random.below(ring.modulus());
                        if gcd(&base, &n) == BigUint::from(1u32) {
                            return base;
                        }
                    };
                    let bases = (0..count).map(unit).collect();
                    let least_and_most = [BigUint::ZERO, (&shift << 1u32) - 1u32];
                    let random_ones = (0..count).map(|_| random.bits(width));
                    (bases, least_and_most.into_iter().chain(random_ones).take(count).collect())
                };
                let numbers: Vec<_> = (0..columns).map(&mut numbers).collect();
                let mut expected = vec![BigUint::from(1u32); count];
                for (bases, exponents) in &numbers {
                    for ((product, base), e) in expected.iter_mut().zip(bases).zip(exponents) {
                        let (base, e) = match *e >= shift {
                            true => (base.clone(), e - &shift),
                            false => (base.modinv(ring.modulus()).unwrap(), &shift - e),
                        };
                        *product = &*product * base.modpow(&e, ring.modulus()) % ring.modulus();
                    }
                }
                let taken: Vec<(Vec<Residue>, Vec<Secret>)> = numbers
                    .iter()
                    .map(|(bases, exponents)| (take_in(ring, bases), exponents.iter().map(secret).collect()))
                    .collect();
                let columns: Vec<(&[Residue], &[Secret])> =
                    taken.iter().map(|(bases, exponents)| (&bases[..], &exponents[..])).collect();
                let got = ring.values(&ring.multi_pow_secret_signed(&columns).unwrap());
                assert_eq!(got, expected, "{count} products, {columns:?}, {n_bits} bits, {backend}");

                let multiples: Vec<BigUint> = numbers[0].1.iter().map(|k| k * &n + 1u32).collect();
                assert_eq!(ring.values(&ring.one_plus_multiples(&taken[0].1)), multiples, "{backend}");
            }
            let longest = (BigUint::from(1u32) << n.bits()) - 1u32;
            let multiple =
                ring.one_plus_multiples(&[Secret::from_biguint(&longest, n.bits() as usize).unwrap()]);
            assert_eq!(ring.value(&multiple[0]), (longest * &n + 1u32) % ring.modulus(), "{backend}");
            let zero = ring.residue(&BigUint::ZERO).unwrap();
            let error =
                ring.multi_pow_secret_signed(&[(&[ring.one(), zero], &[secret(&shift), secret(&shift)])]);
            assert_eq!(error.unwrap_err(), Error::NotInvertible { index: 1 });
        }
    }
}

#[test]
fn packed_multi_powers() {
    let mut random = Random::new(13);
    for (n_bits, widths) in [(128, &[21usize][..]), (300, &[31, 40]), (520, &[90, 90, 7]), (256, &[63; 4])] {
        let n = random.modulus(n_bits);
        // Powers that overlap, touch, and leave gaps.
        for shift in [widths[0].div_ceil(3), widths[0], 2 * widths[0] + 1] {
            for (count, backend) in
                [1, 5, 6, 8, 17].into_iter().flat_map(|c| backends().into_iter().map(move |b| (c, b)))
            {
                let modulus = Modulus::with_backend(&n, backend).unwrap();
                let ring = modulus.mod_n2();
                let mut numbers =
                    || -> Vec<BigUint> { (0..count).map(|_| random.below(ring.modulus())).collect() };
                let roots = numbers();
                let bases: Vec<Vec<BigUint>> = widths.iter().map(|_| numbers()).collect();
                let exponents: Vec<Vec<BigUint>> = widths
                    .iter()
                    .map(|&width| {
                        let least_and_most = [BigUint::ZERO, (BigUint::from(1u32) << width) - 1u32];
                        let random_ones = (0..count).map(|_| random.bits(width));
                        least_and_most.into_iter().chain(random_ones).take(count).collect()
                    })
                    .collect();
                let power = |base: &BigUint, e: &BigUint| base.modpow(e, ring.modulus());
                let expected: Vec<BigUint> = (0..count)
                    .map(|i| {
                        (0..widths.len()).fold(power(&roots[i], &n), |product, k| {
                            product * power(&bases[k][i], &(&exponents[k][i] << (shift * k))) % ring.modulus()
                        })
                    })
                    .collect();
                let taken: Vec<(Vec<Residue>, Vec<Secret>)> = bases
                    .iter()
                    .zip(&exponents)
                    .zip(widths)
                    .map(|((bases, exponents), &width)| {
                        let secret = |e| Secret::from_biguint(e, width).unwrap();
                        (take_in(ring, bases), exponents.iter().map(secret).collect())
                    })
                    .collect();
                let columns: Vec<(&[Residue], &[Secret])> =
                    taken.iter().map(|(bases, exponents)| (&bases[..], &exponents[..])).collect();
                let got = ring.multi_pow_secret_packed(&columns, shift, (&take_in(ring, &roots), &n));
                assert_eq!(
                    ring.values(&got),
                    expected,
                    "{count}, {widths:?} at {shift}, {n_bits} bits, {backend}"
                );
            }
        }
    }
}

#[test]
fn a_matrix_of_secret_exponents() {
    let mut random = Random::new(12);
    let shapes = [
        (256, 20, 70, 3),
        (1024, 5, 3, 17),
        (300, 33, 9, 9),
        (256, 1, 1, 1),
        (256, 18, 3, 130),
        (128, 21, 200, 41),
        (128, 18, 300, 3),
    ];
    for (n_bits, width, bases, rows) in shapes {
        let n = random.modulus(n_bits);
        let n2 = &n * &n;
        let numbers: Vec<BigUint> = (0..bases)
            .map(|_| {
                loop {
                    let base = random.below(&n2);
                    if gcd(&base, &n) == BigUint::from(1u32) {
                        return base;
                    }
                }
            })
            .collect();
        let shift = BigUint::from(1u32) << (width - 1);
        let mut exponents: Vec<Vec<BigUint>> =
            (0..rows).map(|_| (0..bases).map(|_| random.bits(width)).collect()).collect();
        (exponents[0][0], exponents[rows - 1][bases - 1]) = (BigUint::ZERO, (&shift << 1u32) - 1u32);
        let inverses: Vec<BigUint> = numbers.iter().map(|base| base.modinv(&n2).unwrap()).collect();
        let power = |j: usize, e: &BigUint| match *e >= shift {
            true => numbers[j].modpow(&(e - &shift), &n2),
            false => inverses[j].modpow(&(&shift - e), &n2),
        };
        let product = |row: &Vec<BigUint>| {
            row.iter().enumerate().fold(BigUint::from(1u32), |product, (j, e)| product * power(j, e) % &n2)
        };
        let expected: Vec<BigUint> = exponents.iter().map(product).collect();
        let secrets: Vec<Vec<Secret>> = exponents
            .iter()
            .map(|row| row.iter().map(|e| Secret::from_biguint(e, width).unwrap()).collect())
            .collect();
        for backend in backends() {
            let modulus = Modulus::with_backend(&n, backend).unwrap();
            let ring = modulus.mod_n2();
            let got = ring.multi_pow_secret_matrix(&take_in(ring, &numbers), &secrets).unwrap();
            assert_eq!(ring.values(&got), expected, "{rows} rows of {bases}, {n_bits} bits, {backend}");
            let zero = ring.residue(&BigUint::ZERO).unwrap();
            let refused = ring.multi_pow_secret_matrix(&vec![zero; bases], &secrets);
            assert!(matches!(refused, Err(Error::NotInvertible { .. })));
            assert!(ring.multi_pow_secret_matrix(&[], &[] as &[Vec<Secret>]).unwrap().is_empty());
        }
    }
}

#[test]
fn a_modulus_for_each() {
    let mut random = Random::new(6);
    let jobs: Vec<(BigUint, BigUint, BigUint)> =
        [128u64, 1024, 256, 1024, 1000, 131, 2048, 512, 1025, 300, 1024, 1023, 1001, 1024, 1020, 1024, 1024]
            .into_iter()
            .map(|bits| {
                let n = random.modulus(bits);
                (random.below(&n), random.bits(200), n)
            })
            .collect();
    let expected: Vec<BigUint> = jobs.iter().map(|(b, e, n)| b.modpow(e, n)).collect();
    let public: Vec<_> = jobs.iter().map(|(b, e, n)| (b, e, n)).collect();
    let secrets: Vec<Secret> = jobs.iter().map(|(_, e, _)| Secret::from_biguint(e, 220).unwrap()).collect();
    let secret: Vec<_> = jobs.iter().zip(&secrets).map(|((b, _, n), e)| (b, e, n)).collect();
    for backend in backends() {
        assert_eq!(pow_mod_many_on(backend, &public).unwrap(), expected, "{backend}");
        assert_eq!(pow_mod_many_secret_on(backend, &secret).unwrap(), expected, "{backend}");
    }
    let (base, exponent, modulus) = public[0];
    assert_eq!(pow_mod_many(&[(modulus, exponent, modulus)]).unwrap_err(), Error::NotReduced);
    assert_eq!(pow_mod_many(&[(base, exponent, &(modulus - 1u32))]).unwrap_err(), Error::EvenModulus);
    assert_eq!(pow_mod_many_secret(&[]).unwrap(), Vec::<BigUint>::new());
}

#[test]
fn refusals() {
    let mut random = Random::new(7);
    let n = random.modulus(256);
    assert_eq!(Modulus::new(&(&n - 1u32)).unwrap_err(), Error::EvenModulus);
    assert_eq!(Modulus::new(&random.modulus(127)).unwrap_err(), Error::ModulusSize { bits: 127 });
    assert_eq!(Modulus::new(&random.modulus(4097)).unwrap_err(), Error::ModulusSize { bits: 4097 });
    let modulus = Modulus::new(&n).unwrap();
    assert_eq!(modulus.mod_n().residue(&n).unwrap_err(), Error::NotReduced);
    assert_eq!(modulus.mod_n2().residue(modulus.n_squared()).unwrap_err(), Error::NotReduced);
}
