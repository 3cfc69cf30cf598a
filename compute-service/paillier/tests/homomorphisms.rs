//! Every operation on ciphertexts against the same operation on integers, at the edges of the plaintext range.

use modexp::Secret;
use num_bigint::{BigInt, BigUint, Sign};
use paillier::*;
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::sync::LazyLock;

static PRIVATE: LazyLock<PrivateKey> =
    LazyLock::new(|| PrivateKey::generate(256, &mut ChaCha20Rng::seed_from_u64(1)).unwrap());
static ENCRYPTOR: LazyLock<Encryptor> = LazyLock::new(|| Encryptor::new(PRIVATE.public(), Randomness::Short));

fn key() -> &'static EncryptionKey {
    PRIVATE.public()
}

fn half() -> BigInt {
    key().max_plaintext().clone().into()
}

/// The representative in ±(N−1)/2.
fn centred(x: BigInt) -> BigInt {
    let n = BigInt::from(key().n().clone());
    let x = ((x % &n) + &n) % &n;
    if x > half() { x - n } else { x }
}

fn encrypt(m: &[BigInt]) -> Vec<Ciphertext> {
    ENCRYPTOR.encrypt(m, &mut ChaCha20Rng::seed_from_u64(9)).unwrap()
}

fn decrypt(c: &[Ciphertext]) -> Vec<BigInt> {
    PRIVATE.decrypt(c)
}

/// A plaintext: 0, ±1, ±(N−1)/2, one off those, or anything between.
fn plaintext() -> impl Strategy<Value = BigInt> {
    let edges = vec![
        BigInt::ZERO,
        1.into(),
        (-1).into(),
        half(),
        -half(),
        half() - 1,
        BigInt::from(1) - half(),
        half() / 2 + 1,
    ];
    let random =
        prop::array::uniform32(any::<u8>()).prop_map(|b| centred(BigInt::from_bytes_be(Sign::Plus, &b)));
    prop_oneof![prop::sample::select(edges), random, any::<i64>().prop_map(BigInt::from)]
}

/// A factor of any length and sign.
fn factor() -> impl Strategy<Value = BigInt> {
    prop_oneof![plaintext(), (-3i64..4).prop_map(BigInt::from), any::<i16>().prop_map(BigInt::from)]
}

fn pairs() -> impl Strategy<Value = (Vec<BigInt>, Vec<BigInt>)> {
    (0usize..12)
        .prop_flat_map(|n| (prop::collection::vec(plaintext(), n), prop::collection::vec(factor(), n)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn encryption_and_decryption(m in prop::collection::vec(plaintext(), 0..10)) {
        prop_assert_eq!(decrypt(&encrypt(&m)), m);
    }

    #[test]
    fn addition((a, b) in pairs()) {
        let sums: Vec<BigInt> = a.iter().zip(&b).map(|(a, b)| centred(a + b)).collect();
        let (ca, cb) = (encrypt(&a), encrypt(&b.iter().map(|b| centred(b.clone())).collect::<Vec<_>>()));
        prop_assert_eq!(decrypt(&key().add_each(&ca, &cb)), sums.clone());
        for i in 0..a.len() {
            prop_assert_eq!(decrypt(&[key().add(&ca[i], &cb[i])])[0].clone(), sums[i].clone());
            let constant = key().add_constant(&ca[i], &centred(b[i].clone())).unwrap();
            prop_assert_eq!(decrypt(&[constant])[0].clone(), sums[i].clone());
        }
        prop_assert_eq!(decrypt(&[key().sum(&ca)])[0].clone(), centred(a.iter().sum()));
    }

    #[test]
    fn multiplication_by_public_numbers((a, k) in pairs(), all in factor()) {
        let c = encrypt(&a);
        let products: Vec<BigInt> = a.iter().zip(&k).map(|(a, k)| centred(a * k)).collect();
        prop_assert_eq!(decrypt(&key().scale_each(&c, &k)), products.clone());
        prop_assert_eq!(decrypt(&[key().dot(&c, &k)])[0].clone(), centred(products.into_iter().sum()));
        let scaled: Vec<BigInt> = a.iter().map(|a| centred(a * &all)).collect();
        prop_assert_eq!(decrypt(&key().scale(&c, &all)), scaled);
        let negative: Vec<BigInt> = a.iter().map(|a| -a).collect();
        prop_assert_eq!(decrypt(&key().negate_each(&c)), negative);
    }

    #[test]
    fn multiplication_by_secret_numbers(a in plaintext(), k in any::<u128>()) {
        let secrets = [k, 0, 1].map(|k| Secret::from_biguint(&BigUint::from(k), 130).unwrap());
        let c = encrypt(&[a.clone(), a.clone(), a.clone()]);
        let expected = [centred(&a * k), BigInt::ZERO, a];
        prop_assert_eq!(decrypt(&key().scale_each_secret(&c, &secrets)), expected);
    }

    #[test]
    fn sums_of_products_with_secret_numbers(a in plaintext(), b in plaintext(), k in any::<u128>(), l in any::<u128>()) {
        // Excess notation: k stands for k − 2^127.
        let signed = |k: u128| BigInt::from(k) - (BigInt::from(1) << 127);
        let secrets = |k: [u128; 2]| k.map(|k| Secret::from_biguint(&BigUint::from(k), 128).unwrap());
        let (first, second) = (secrets([k, 0]), secrets([l, u128::MAX]));
        let (ca, cb) = (encrypt(&[a.clone(), a.clone()]), encrypt(&[b.clone(), b.clone()]));
        let sum = |k, l| centred(&a * signed(k) + &b * signed(l));
        let expected = [sum(k, l), sum(0, u128::MAX)];
        prop_assert_eq!(decrypt(&key().dot_each_secret(&[(&ca, &first), (&cb, &second)])), expected);
        prop_assert_eq!(decrypt(&key().constants_secret(&first)), [centred(k.into()), BigInt::ZERO]);
    }

    #[test]
    fn packed_products_are_products_that_are_packed(
        a in proptest::collection::vec((any::<i32>(), any::<u16>(), any::<i64>()), 6), count in 1usize..4,
    ) {
        let width = 50;
        let mut rng = ChaCha20Rng::seed_from_u64(9);
        // Three slots of `count` packets, of the six at hand as many as that takes.
        let of = |slot: usize, i: usize| a[(3 * i + slot) % a.len()];
        let m: Vec<BigInt> = (0..count).map(|i| BigInt::from(of(0, i).2)).collect();
        let slots: Vec<(Vec<Ciphertext>, Vec<Secret>)> = (0..3)
            .map(|slot| {
                let plaintexts: Vec<BigInt> = (0..count).map(|i| of(slot, i).0.into()).collect();
                let secret = |i| Secret::from_biguint(&of(slot, i).1.into(), 16).unwrap();
                (encrypt(&plaintexts), (0..count).map(secret).collect())
            })
            .collect();
        let borrowed: Vec<(&[Ciphertext], &[Secret])> = slots.iter().map(|(a, k)| (&a[..], &k[..])).collect();
        let packed = ENCRYPTOR.pack_products_fully(&borrowed, width, &m, &mut rng).unwrap();
        let expected: Vec<BigInt> = (0..count)
            .map(|i| {
                let product = |slot| (BigInt::from(of(slot, i).0) * of(slot, i).1) << (width * slot as u64);
                centred(&m[i] + (0..3).map(product).sum::<BigInt>())
            })
            .collect();
        prop_assert_eq!(decrypt(&packed), expected);
        let error = ENCRYPTOR.pack_products_fully(&borrowed, width, &vec![half() + 1; count], &mut rng);
        prop_assert_eq!(error.unwrap_err(), Overflow { index: 0 });
    }

    #[test]
    fn rerandomisation_changes_the_ciphertext_only(m in plaintext()) {
        let mut rng = ChaCha20Rng::seed_from_u64(4);
        let c = encrypt(std::slice::from_ref(&m));
        for other in [ENCRYPTOR.rerandomise(&c, &mut rng), ENCRYPTOR.rerandomise_fully(&c, &mut rng)] {
            prop_assert_ne!(other[0].to_bytes(key()), c[0].to_bytes(key()));
            prop_assert_eq!(decrypt(&other)[0].clone(), m.clone());
        }
    }
}

#[test]
fn a_plaintext_out_of_range_is_an_error() {
    let mut rng = ChaCha20Rng::seed_from_u64(4);
    for m in [half() + 1, -half() - 1, BigInt::from(key().n().clone())] {
        let pair = [1.into(), m.clone()];
        assert_eq!(ENCRYPTOR.encrypt(&pair, &mut rng).unwrap_err(), Overflow { index: 1 });
        assert_eq!(ENCRYPTOR.encrypt_fully(&pair, &mut rng).unwrap_err(), Overflow { index: 1 });
        assert!(key().constant(&m).is_err());
        assert!(key().add_constant(&encrypt(&[0.into()])[0], &m).is_err());
    }
}

#[test]
fn equal_plaintexts_have_different_ciphertexts() {
    let c = encrypt(&[5.into(), 5.into()]);
    assert_ne!(c[0].to_bytes(key()), c[1].to_bytes(key()));
    let zeros = ENCRYPTOR.zeros(3, &mut ChaCha20Rng::seed_from_u64(5));
    assert_ne!(zeros[0].to_bytes(key()), zeros[1].to_bytes(key()));
    assert_eq!(decrypt(&zeros), vec![BigInt::ZERO; 3]);
}

#[test]
fn every_ciphertext_has_jacobi_symbol_one() {
    // Whatever an operation makes can be read back, which needs the symbol +1; several keys, because a generator of
    // symbol −1 would show in every second ciphertext only.
    for seed in 0..4 {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let private = PrivateKey::generate(256, &mut rng).unwrap();
        let key = private.public();
        let encryptor = Encryptor::new(key, Randomness::Short);
        let m: Vec<BigInt> = (-4..4).map(BigInt::from).collect();
        let c = encryptor.encrypt(&m, &mut rng).unwrap();
        let mut all = encryptor.zeros(8, &mut rng);
        all.extend(encryptor.encrypt_fully(&m, &mut rng).unwrap());
        let twos = vec![Secret::from_biguint(&2u32.into(), 2).unwrap(); c.len()];
        all.extend(encryptor.pack_products_fully(&[(&c, &twos)], 8, &m, &mut rng).unwrap());
        all.extend(encryptor.rerandomise_fully(&c, &mut rng));
        all.extend(key.scale_each(&c, &m[..]).into_iter().take(4));
        all.extend(key.negate_each(&c));
        all.push(key.dot(&c, &m));
        all.push(key.constant(&7.into()).unwrap());
        all.extend(c);
        Ciphertext::from_bytes_batch(key, &Ciphertext::to_bytes_batch(key, &all)).unwrap();
    }
}

#[test]
fn parity_does_not_show_in_the_jacobi_symbol() {
    // What happens without the rule: R of symbol −1 shows the parity of a in R^a·[[0]]. Such an R is no ciphertext.
    let symbol = |c: &Ciphertext| modexp::jacobi(&BigUint::from_bytes_be(&c.to_bytes(key())), key().n());
    let zeros = ENCRYPTOR.zeros(16, &mut ChaCha20Rng::seed_from_u64(6));
    let n2 = key().n_squared();
    let root = (2u32..).map(BigUint::from).find(|x| modexp::jacobi(x, key().n()) == -1).unwrap();
    let r = root.modpow(key().n(), n2);
    for (a, zero) in (0u32..).zip(&zeros) {
        let shown = r.modpow(&a.into(), n2) * BigUint::from_bytes_be(&zero.to_bytes(key())) % n2;
        assert_eq!(modexp::jacobi(&shown, key().n()), if a % 2 == 0 { 1 } else { -1 });
    }
    let bytes = |x: &BigUint| {
        let digits = x.to_bytes_be();
        [vec![0; key().ciphertext_bytes() - digits.len()], digits].concat()
    };
    assert_eq!(Ciphertext::from_bytes(key(), &bytes(&r)).unwrap_err(), Invalid::Jacobi);
    // With it: powers of whatever is a ciphertext have symbol +1, full-range blinding included.
    let ours = ENCRYPTOR.rerandomise_fully(&encrypt(&[1.into()]), &mut ChaCha20Rng::seed_from_u64(7));
    for (a, zero) in (0i32..).zip(&zeros) {
        let power = key().scale(&ours, &a.into()).swap_remove(0);
        assert_eq!(symbol(&key().add(&power, zero)), 1);
    }
}

#[test]
fn no_two_ciphertexts_have_the_same_blinding() {
    // What happens without the rule: two ciphertexts with one blinding have the quotient 1 + (a−b)·N.
    let difference = |a: &Ciphertext, b: &Ciphertext| {
        let minus = key().negate_each(std::slice::from_ref(b)).swap_remove(0);
        let quotient = BigUint::from_bytes_be(&key().add(a, &minus).to_bytes(key()));
        (&quotient % key().n() == BigUint::from(1u32)).then(|| BigInt::from(quotient / key().n()))
    };
    let mut rng = ChaCha20Rng::seed_from_u64(8);
    let zero = ENCRYPTOR.zeros(1, &mut rng).swap_remove(0);
    let [a, b] = [100, 58].map(|m| key().add_constant(&zero, &m.into()).unwrap());
    assert_eq!(difference(&a, &b), Some(42.into()));
    // With it: nothing that one encryptor makes has a blinding in common with anything else.
    let m: Vec<BigInt> = (0..6).map(|i| BigInt::from(i % 2)).collect();
    let mut all = ENCRYPTOR.encrypt(&m, &mut rng).unwrap();
    all.extend(ENCRYPTOR.encrypt(&m, &mut rng).unwrap());
    all.extend(ENCRYPTOR.encrypt_fully(&m, &mut rng).unwrap());
    let (ones, twos) = (vec![key().sum(&[]); 6], vec![Secret::from_biguint(&2u32.into(), 2).unwrap(); 6]);
    for _ in 0..2 {
        all.extend(ENCRYPTOR.pack_products_fully(&[(&ones, &twos)], 8, &m, &mut rng).unwrap());
    }
    all.extend(ENCRYPTOR.zeros(6, &mut rng));
    all.extend(ENCRYPTOR.rerandomise(&all, &mut rng));
    all.extend(ENCRYPTOR.rerandomise_fully(&all[..6], &mut rng));
    for (i, a) in all.iter().enumerate() {
        assert!(all[..i].iter().all(|b| difference(a, b).is_none()));
    }
}

#[test]
fn randomness_is_as_long_as_documented() {
    for (bits, short) in [(256, 512), (512, 512), (768, 768), (1024, 512), (2048, 512), (3072, 512)] {
        assert_eq!((Randomness::Short.bits(bits), Randomness::Long.bits(bits)), (short, 1024));
    }
    let long = Encryptor::new(key(), Randomness::Long);
    assert_eq!(long.randomness_bits(), 1024);
    let c = long.encrypt(&[42.into()], &mut ChaCha20Rng::seed_from_u64(1)).unwrap();
    assert_eq!(decrypt(&c), [BigInt::from(42)]);
}
