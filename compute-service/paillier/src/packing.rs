//! Several signed values in one plaintext.
//!
//! A [`Packing`] divides plaintexts into slots of K + L bits: K for a value with its sign, L for what additions and
//! multiplications by small numbers make of it. The plaintext Σ vᵢ·2^((K+L)·i) is itself a signed integer, and the
//! slots are its balanced digits: what a negative value borrows from its neighbour, unpacking gives back.
//! [`Packed`] keeps count of how much of the room is used: what could run into the next slot is an error before it is
//! computed.

use crate::fixed::FixedPoint;
use crate::{Ciphertext, EncryptionKey, Encryptor};
use num_bigint::{BigInt, BigUint};
use num_traits::{One, Signed};
use rand_core::CryptoRng;

/// How values lie in the plaintexts of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packing {
    value_bits: u32,
    room_bits: u32,
    slots: usize,
}

/// Why values are not packed, computed with, or unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackingError {
    /// A plaintext has no place for a single slot, or a value has no bit besides its sign.
    #[error("slots of {0} bits do not fit into a plaintext, or hold no values")]
    Slots(u64),
    /// A value of K bits or more without its sign.
    #[error("value {index} is too large for its slot")]
    Value {
        /// Position of the value.
        index: usize,
    },
    /// Sums or products that could exceed their slots.
    #[error("the result does not fit into the room of the slots")]
    Room,
    /// Values packed in different ways, or of another number, cannot be added.
    #[error("the values are packed in different ways or are not equally many")]
    Shape,
    /// Not as many plaintexts as hold the values.
    #[error("{found} plaintexts instead of {expected}")]
    Count {
        /// Plaintexts given.
        found: usize,
        /// Plaintexts that hold the values.
        expected: usize,
    },
    /// A plaintext that is larger than its slots together.
    #[error("plaintext {index} is beyond its slots")]
    Plaintext {
        /// Position of the plaintext.
        index: usize,
    },
}

impl Packing {
    /// As many slots as fit into a plaintext of `key`, for values of `value_bits` bits (K, the sign included) and with
    /// `room_bits` (L) more: results may be up to 2^L times as large as values.
    ///
    /// # Errors
    /// Slots that do not fit, or values of less than 2 bits.
    pub fn new(key: &EncryptionKey, value_bits: u32, room_bits: u32) -> Result<Self, PackingError> {
        let width = u64::from(value_bits) + u64::from(room_bits);
        // All slots together are below 2^(bits − 2) ≤ (N−1)/2.
        let slots = if value_bits < 2 { 0 } else { (key.bits() - 1) / width };
        if slots == 0 {
            return Err(PackingError::Slots(width));
        }
        Ok(Self { value_bits, room_bits, slots: slots as usize })
    }

    /// Values in a plaintext.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Bits of a slot, K + L.
    pub fn width(&self) -> u64 {
        u64::from(self.value_bits) + u64::from(self.room_bits)
    }

    /// Plaintexts that hold `count` values.
    pub fn plaintexts(&self, count: usize) -> usize {
        count.div_ceil(self.slots)
    }

    /// Values as plaintexts; slots that are left over hold 0.
    ///
    /// # Errors
    /// |v| ≥ 2^(K−1).
    pub fn pack(&self, values: &[BigInt]) -> Result<Vec<BigInt>, PackingError> {
        match values.iter().position(|v| v.bits() >= self.value_bits.into()) {
            Some(index) => Err(PackingError::Value { index }),
            None => Ok(values
                .chunks(self.slots)
                .map(|chunk| chunk.iter().rev().fold(BigInt::ZERO, |sum, v| (sum << self.width()) + v))
                .collect()),
        }
    }

    /// `count` values, or results, from plaintexts.
    ///
    /// # Errors
    /// Another number of plaintexts than hold the values, or one beyond its slots.
    pub fn unpack(&self, plaintexts: &[BigInt], count: usize) -> Result<Vec<BigInt>, PackingError> {
        let expected = self.plaintexts(count);
        if plaintexts.len() != expected {
            return Err(PackingError::Count { found: plaintexts.len(), expected });
        }
        let width = self.width();
        let half = BigUint::one() << (width - 1);
        let mask = (BigUint::one() << width) - 1u32;
        // Half a slot more in each slot makes balanced digits plain ones.
        let bias = (0..self.slots).fold(BigUint::ZERO, |sum, _| (sum << width) + &half);
        let mut values = Vec::with_capacity(expected * self.slots);
        for (index, plaintext) in plaintexts.iter().enumerate() {
            let digits = (plaintext + BigInt::from(bias.clone()))
                .to_biguint()
                .filter(|digits| digits.bits() <= width * self.slots as u64)
                .ok_or(PackingError::Plaintext { index })?;
            values.extend(
                (0..self.slots as u64).map(|slot| {
                    BigInt::from((&digits >> (slot * width)) & &mask) - BigInt::from(half.clone())
                }),
            );
        }
        values.truncate(count);
        Ok(values)
    }
}

/// Encrypted fixed-point values, several in a ciphertext, with the scale in the type.
#[derive(Clone, Debug)]
pub struct Packed<const SCALE: u32> {
    packing: Packing,
    ciphertexts: Vec<Ciphertext>,
    count: usize,
    /// A slot holds at most this many times the largest value; at most 2^L.
    weight: BigUint,
}

impl<const SCALE: u32> Packed<SCALE> {
    /// Packs and encrypts.
    ///
    /// # Errors
    /// A value that is too large for its slot.
    pub fn encrypt(
        packing: Packing,
        encryptor: &Encryptor,
        values: &[FixedPoint<SCALE>],
        rng: &mut impl CryptoRng,
    ) -> Result<Self, PackingError> {
        let plaintexts = packing.pack(&values.iter().map(|v| v.plaintext()).collect::<Vec<_>>())?;
        let ciphertexts =
            encryptor.encrypt(&plaintexts, rng).map_err(|o| PackingError::Plaintext { index: o.index })?;
        Ok(Self { packing, ciphertexts, count: values.len(), weight: BigUint::one() })
    }

    /// What somebody else has packed in the same way: `count` fresh values.
    ///
    /// # Errors
    /// Another number of ciphertexts than hold the values.
    pub fn from_ciphertexts(
        packing: Packing,
        ciphertexts: Vec<Ciphertext>,
        count: usize,
    ) -> Result<Self, PackingError> {
        let expected = packing.plaintexts(count);
        if ciphertexts.len() != expected {
            return Err(PackingError::Count { found: ciphertexts.len(), expected });
        }
        Ok(Self { packing, ciphertexts, count, weight: BigUint::one() })
    }

    /// The ciphertexts.
    pub fn ciphertexts(&self) -> &[Ciphertext] {
        &self.ciphertexts
    }

    /// Adds value to value.
    ///
    /// # Errors
    /// Values packed in another way, or no room for the sums.
    pub fn add(&self, key: &EncryptionKey, other: &Self) -> Result<Self, PackingError> {
        if (self.packing, self.count) != (other.packing, other.count) {
            return Err(PackingError::Shape);
        }
        let weight = self.weighed(&self.weight + &other.weight)?;
        Ok(Self { ciphertexts: key.add_each(&self.ciphertexts, &other.ciphertexts), weight, ..self.clone() })
    }

    /// Multiplies every value by one public number; the scales add up, which is checked when the program is compiled.
    ///
    /// # Errors
    /// No room for the products.
    pub fn scale<const OTHER: u32, const OUT: u32>(
        &self,
        key: &EncryptionKey,
        factor: FixedPoint<OTHER>,
    ) -> Result<Packed<OUT>, PackingError> {
        const { assert!(SCALE + OTHER == OUT, "the scale of a product is the sum of the scales") };
        let factor = factor.plaintext();
        let weight = self.weighed(&self.weight * factor.magnitude())?;
        let ciphertexts = key.scale(&self.ciphertexts, &factor);
        Ok(Packed { packing: self.packing, ciphertexts, count: self.count, weight })
    }

    fn weighed(&self, weight: BigUint) -> Result<BigUint, PackingError> {
        let most = BigUint::one() << self.packing.room_bits;
        if weight > most { Err(PackingError::Room) } else { Ok(weight) }
    }

    /// The values from the decrypted plaintexts.
    ///
    /// # Errors
    /// Plaintexts that cannot come from these ciphertexts, or values beyond what [`FixedPoint`] holds.
    pub fn read(&self, plaintexts: &[BigInt]) -> Result<Vec<FixedPoint<SCALE>>, PackingError> {
        let most = (BigInt::one() << (self.packing.value_bits - 1)) - 1;
        let most = most * BigInt::from(self.weight.clone());
        let values = self.packing.unpack(plaintexts, self.count)?;
        let read = |(index, value): (usize, &BigInt)| match FixedPoint::from_plaintext(value) {
            Ok(read) if value.abs() <= most => Ok(read),
            _ => Err(PackingError::Value { index }),
        };
        values.iter().enumerate().map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PrivateKey, Randomness};
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use std::sync::LazyLock;

    static PRIVATE: LazyLock<PrivateKey> =
        LazyLock::new(|| PrivateKey::generate(256, &mut ChaCha20Rng::seed_from_u64(1)).unwrap());
    static ENCRYPTOR: LazyLock<Encryptor> =
        LazyLock::new(|| Encryptor::new(PRIVATE.public(), Randomness::Short));

    fn key() -> &'static EncryptionKey {
        PRIVATE.public()
    }

    fn packing(value_bits: u32, room_bits: u32) -> Packing {
        Packing::new(key(), value_bits, room_bits).unwrap()
    }

    fn encrypt<const SCALE: u32>(packing: Packing, values: &[FixedPoint<SCALE>]) -> Packed<SCALE> {
        Packed::encrypt(packing, &ENCRYPTOR, values, &mut ChaCha20Rng::seed_from_u64(2)).unwrap()
    }

    fn read<const SCALE: u32>(packed: &Packed<SCALE>) -> Vec<i128> {
        let plaintexts = PRIVATE.decrypt(packed.ciphertexts());
        packed.read(&plaintexts).unwrap().iter().map(|x| x.units()).collect()
    }

    /// Values of `bits` bits with their sign: 0, ±1, the largest and least, and any.
    fn value(bits: u32) -> impl Strategy<Value = i128> {
        let most = (1i128 << (bits - 1)) - 1;
        prop_oneof![prop::sample::select(vec![0, 1.min(most), -(1.min(most)), most, -most]), -most..=most]
    }

    /// Sizes of slots, values, and a second list of as many.
    fn lists() -> impl Strategy<Value = (u32, u32, Vec<i128>, Vec<i128>)> {
        (2u32..60, 1u32..60, 0usize..20).prop_flat_map(|(k, l, n)| {
            (Just(k), Just(l), prop::collection::vec(value(k), n), prop::collection::vec(value(k), n))
        })
    }

    fn fixed<const SCALE: u32>(values: &[i128]) -> Vec<FixedPoint<SCALE>> {
        values.iter().map(|v| FixedPoint::from_units(*v)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn packing_and_unpacking((k, l, values, _) in lists()) {
            let packing = packing(k, l);
            let values: Vec<BigInt> = values.into_iter().map(BigInt::from).collect();
            let plaintexts = packing.pack(&values).unwrap();
            prop_assert_eq!(plaintexts.len(), values.len().div_ceil(packing.slots()));
            prop_assert!(plaintexts.iter().all(|m| m.magnitude() <= key().max_plaintext()));
            prop_assert_eq!(packing.unpack(&plaintexts, values.len()).unwrap(), values);
        }

        #[test]
        fn operations_keep_slots_apart((k, l, a, b) in lists(), share in 0u32..=100) {
            let packing = packing(k, l);
            let (x, y) = (encrypt(packing, &fixed::<3>(&a)), encrypt(packing, &fixed::<3>(&b)));
            // factor·x + y uses the room up to the last bit where share is 100.
            let factor = ((1i128 << l) - 1) * i128::from(share) / 100;
            for factor in [factor, -factor] {
                let product: Packed<5> = x.scale::<2, 5>(key(), FixedPoint::from_units(factor)).unwrap();
                let y: Packed<5> = y.scale::<2, 5>(key(), FixedPoint::from_units(1)).unwrap();
                let expected: Vec<i128> = a.iter().zip(&b).map(|(a, b)| a * factor + b).collect();
                prop_assert_eq!(read(&product.add(key(), &y).unwrap()), expected);
            }
        }

        #[test]
        fn foreign_plaintexts_never_panic(
            (k, l) in (2u32..200, 0u32..200),
            m: i128,
            shift in 0u32..300,
            count in 0usize..9,
        ) {
            let Ok(packing) = Packing::new(key(), k, l) else { return Ok(()) };
            if let Ok(values) = packing.unpack(&[BigInt::from(m) << shift], count) {
                prop_assert_eq!(values.len(), count);
            }
        }
    }

    #[test]
    fn slots_fill_the_plaintext_and_no_more() {
        // 255 bits of a 256-bit modulus: the largest values everywhere are still a plaintext.
        for (k, l, slots) in [(40, 11, 5), (40, 12, 4), (200, 55, 1), (2, 0, 127)] {
            let packing = packing(k, l);
            assert_eq!((packing.slots(), packing.width()), (slots, u64::from(k + l)));
            let most: BigInt = (BigInt::one() << (packing.width() - 1)) - 1;
            for v in [most.clone(), -most] {
                let all = vec![v; slots];
                let plaintext = all.iter().fold(BigInt::ZERO, |sum, v| (sum << packing.width()) + v);
                assert!(plaintext.magnitude() <= key().max_plaintext());
                assert_eq!(packing.unpack(&[plaintext], slots).unwrap(), all);
            }
        }
        for (k, l) in [(1, 8), (0, 0), (200, 56), (u32::MAX, u32::MAX)] {
            let width = u64::from(k) + u64::from(l);
            assert_eq!(Packing::new(key(), k, l), Err(PackingError::Slots(width)));
        }
    }

    #[test]
    fn overflow_is_an_error() {
        let packing = packing(8, 2);
        for v in [128i32, -128, i32::MAX] {
            let values = [BigInt::from(127), BigInt::from(v)];
            assert_eq!(packing.pack(&values), Err(PackingError::Value { index: 1 }));
        }
        let x = encrypt(packing, &fixed::<0>(&[127, -127, 5]));
        let twice = x.add(key(), &x).unwrap();
        let four = twice.add(key(), &twice).unwrap();
        assert_eq!(read(&four), [508, -508, 20]);
        assert_eq!(four.add(key(), &x).unwrap_err(), PackingError::Room);
        for factor in [3, -3, 1 << 60, i128::MIN] {
            let error = twice.scale::<0, 0>(key(), FixedPoint::from_units(factor)).unwrap_err();
            assert_eq!(error, PackingError::Room);
        }
        // Nothing is left of values that were multiplied by 0, and all the room is free again.
        let none = four.scale::<0, 0>(key(), FixedPoint::from_units(0)).unwrap();
        assert_eq!(read(&none.add(key(), &four).unwrap()), [508, -508, 20]);
    }

    #[test]
    fn what_does_not_belong_together_is_an_error() {
        let (one, other) = (packing(8, 2), packing(8, 3));
        let x = encrypt(one, &fixed::<0>(&[1, 2]));
        for y in [encrypt(other, &fixed::<0>(&[1, 2])), encrypt(one, &fixed::<0>(&[1]))] {
            assert_eq!(x.add(key(), &y).unwrap_err(), PackingError::Shape);
        }
        let count = PackingError::Count { found: 0, expected: 1 };
        assert_eq!(Packed::<0>::from_ciphertexts(one, vec![], 2).unwrap_err(), count);
        assert_eq!(x.read(&[]).unwrap_err(), count);
        assert_eq!(one.unpack(&[], 1).unwrap_err(), count);
        let beyond = BigInt::one() << (one.width() * one.slots() as u64 - 1);
        assert_eq!(one.unpack(&[0.into(), beyond], 26).unwrap_err(), PackingError::Plaintext { index: 1 });
        // More than the weight allows cannot come from the ciphertexts.
        assert_eq!(x.read(&[BigInt::from(128)]).unwrap_err(), PackingError::Value { index: 0 });
        let again = Packed::<0>::from_ciphertexts(one, x.ciphertexts().to_vec(), 2).unwrap();
        assert_eq!(read(&again), [1, 2]);
    }
}
