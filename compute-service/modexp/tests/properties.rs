//! Laws that hold for all numbers, and bytes of any kind at the borders.

use modexp::{Backend, Error, Modulus, Secret, gcd, jacobi, mod_inverse};
use num_bigint::BigUint;
use proptest::prelude::*;

fn backends() -> impl Iterator<Item = Backend> {
    Backend::ALL.into_iter().filter(|b| b.is_available())
}

/// Numbers up to `bytes` long: any, and such with long runs of zeros or ones, where carries travel.
fn number(bytes: usize) -> impl Strategy<Value = BigUint> {
    let uniform = prop::collection::vec(any::<u8>(), 0..=bytes);
    let runs = prop::collection::vec(prop_oneof![Just(0u8), Just(0xff), any::<u8>()], 0..=bytes);
    prop_oneof![uniform, runs].prop_map(|bytes: Vec<u8>| BigUint::from_bytes_be(&bytes))
}

/// Odd moduli of 128 to 640 bits.
fn modulus() -> impl Strategy<Value = BigUint> {
    (number(64), 127u64..640).prop_map(|(mut n, top)| {
        n.set_bit(0, true);
        n.set_bit(top.max(n.bits() - 1), true);
        n
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// (ab)^e = a^e·b^e, a^(e+f) = a^e·a^f, on every path to a power.
    #[test]
    fn powers_are_homomorphisms(n in modulus(), a in number(170), b in number(170), e in number(20), f in number(20)) {
        for backend in backends() {
            let modulus = Modulus::with_backend(&n, backend).unwrap();
            for ring in [modulus.mod_n(), modulus.mod_n2()] {
                let (a, b) = (&a % ring.modulus(), &b % ring.modulus());
                let bases = ring.residues(&[a.clone(), b.clone()]).unwrap();
                let secret = |e: &BigUint| Secret::from_biguint(e, 168).unwrap();
                let sum = &e + &f;

                let to_e = ring.pow_secret(&bases, &secret(&e));
                prop_assert_eq!(ring.value(&to_e[0]), a.modpow(&e, ring.modulus()));
                let product = ring.mul(&bases[0], &bases[1]);
                let product_to_e = ring.pow_vartime(&[product], std::slice::from_ref(&e));
                prop_assert!(ring.equal(&product_to_e[0], &ring.mul(&to_e[0], &to_e[1])));

                let fixed = ring.fixed_base(&bases[0], 168).pow(&[secret(&e), secret(&f), secret(&sum)]);
                prop_assert!(ring.equal(&fixed[2], &ring.mul(&fixed[0], &fixed[1])));
                prop_assert!(ring.equal(&fixed[0], &to_e[0]));

                let multi = ring.multi_pow(&[bases[0].clone(), bases[0].clone()], &[e.clone(), f.clone()]);
                prop_assert!(ring.equal(&multi, &fixed[2]));
            }
        }
    }

    #[test]
    fn inverses_are_inverses(n in modulus(), values in prop::collection::vec(number(170), 1..20)) {
        for backend in backends() {
            let modulus = Modulus::with_backend(&n, backend).unwrap();
            let ring = modulus.mod_n2();
            let values: Vec<BigUint> = values.iter().map(|v| v % ring.modulus()).collect();
            let one = BigUint::from(1u32);
            let bad = values.iter().position(|v| gcd(v, &n) != one);
            match ring.invert_batch(&ring.residues(&values).unwrap()) {
                Ok(inverses) => {
                    prop_assert_eq!(bad, None);
                    for (v, inverse) in values.iter().zip(ring.values(&inverses)) {
                        prop_assert_eq!(v * inverse % ring.modulus(), one.clone());
                    }
                }
                Err(error) => prop_assert_eq!(Some(error), bad.map(|index| Error::NotInvertible { index })),
            }
        }
    }

    /// (ab/n) = (a/n)(b/n), and (a²/n) is 0 or 1.
    #[test]
    fn jacobi_is_multiplicative(n in modulus(), a in number(90), b in number(90)) {
        prop_assert_eq!(jacobi(&(&a * &b), &n), jacobi(&a, &n) * jacobi(&b, &n));
        prop_assert_eq!(jacobi(&(&a * &a), &n), i32::from(gcd(&a, &n) == BigUint::from(1u32)));
    }

    #[test]
    fn mod_inverse_agrees_with_gcd(n in prop_oneof![modulus(), number(9)], a in number(90)) {
        prop_assume!(n != BigUint::ZERO);
        match mod_inverse(&a, &n) {
            Ok(inverse) => {
                prop_assert_eq!(a * &inverse % &n, BigUint::from(1u32) % &n);
                prop_assert!(inverse < n);
            }
            Err(_) => prop_assert!(gcd(&a, &n) != BigUint::from(1u32)),
        }
    }

    /// A secret takes exactly the numbers below 2^width, from bytes of any length.
    #[test]
    fn secrets_take_what_fits(bytes in prop::collection::vec(any::<u8>(), 0..40), zeros in 0usize..10, width in 0usize..320) {
        let value = BigUint::from_bytes_be(&bytes);
        let padded = [vec![0; zeros], bytes].concat();
        let fits = value.bits() <= width as u64;
        prop_assert_eq!(Secret::from_be_bytes(&padded, width).is_ok(), fits);
        prop_assert_eq!(Secret::from_biguint(&value, width).is_ok(), fits);
    }

    /// Any number is a modulus or refused, any number below it or not is a residue or refused; nothing panics.
    #[test]
    fn borders_refuse(n in number(40), value in number(90)) {
        for backend in backends() {
            match Modulus::with_backend(&n, backend) {
                Err(Error::EvenModulus) => prop_assert!(!n.bit(0)),
                Err(error) => prop_assert_eq!(error, Error::ModulusSize { bits: n.bits() }),
                Ok(modulus) => {
                    prop_assert!(n.bit(0) && n.bits() >= 128);
                    for ring in [modulus.mod_n(), modulus.mod_n2()] {
                        match ring.residue(&value) {
                            Ok(residue) => prop_assert_eq!(ring.value(&residue), value.clone()),
                            Err(error) => {
                                prop_assert!(&value >= ring.modulus());
                                prop_assert_eq!(error, Error::NotReduced);
                            }
                        }
                    }
                }
            }
        }
    }
}
