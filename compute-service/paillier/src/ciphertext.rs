//! Ciphertexts and what can be computed with them without a secret key.

use crate::key::{EncryptionKey, fixed_bytes};
use modexp::{Residue, Secret};
use num_bigint::{BigInt, BigUint, Sign};
use rayon::prelude::*;
use std::fmt;

/// An encrypted integer under one [`EncryptionKey`]; with another key it means nothing.
#[derive(Clone)]
pub struct Ciphertext(pub(crate) Residue);

/// Why bytes are no ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// Not 2·|N| bytes.
    #[error("not of the fixed length")]
    Length,
    /// 0 or 1.
    #[error("0 or 1")]
    Trivial,
    /// Not below N².
    #[error("not below N²")]
    TooLarge,
    /// It has a factor in common with N.
    #[error("not coprime to N")]
    NotUnit,
    /// Its Jacobi symbol is −1: it was not made with the common generator.
    #[error("its Jacobi symbol is −1")]
    Jacobi,
}

/// Bytes at a position of a batch that are no ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ciphertext {index}: {reason}")]
pub struct CiphertextError {
    /// Position in the batch.
    pub index: usize,
    /// What is wrong with it.
    pub reason: Invalid,
}

impl Ciphertext {
    /// Reads a ciphertext from outside: fixed length, 1 < c < N², coprime to N, Jacobi symbol +1.
    ///
    /// # Errors
    /// The first of these that does not hold.
    pub fn from_bytes(key: &EncryptionKey, bytes: &[u8]) -> Result<Self, Invalid> {
        let mut one = Self::from_bytes_batch(key, &[bytes]).map_err(|e| e.reason)?;
        Ok(one.swap_remove(0))
    }

    /// As [`from_bytes`](Self::from_bytes) for many; faster than one by one.
    ///
    /// # Errors
    /// The first that is not valid.
    pub fn from_bytes_batch<B: AsRef<[u8]> + Sync>(
        key: &EncryptionKey,
        batch: &[B],
    ) -> Result<Vec<Self>, CiphertextError> {
        decode(key, batch).map(wrapped)
    }

    /// 2·|N| big-endian bytes.
    pub fn to_bytes(&self, key: &EncryptionKey) -> Vec<u8> {
        encode(key, std::slice::from_ref(&self.0)).swap_remove(0)
    }

    /// As [`to_bytes`](Self::to_bytes) for many; faster than one by one.
    pub fn to_bytes_batch(key: &EncryptionKey, batch: &[Self]) -> Vec<Vec<u8>> {
        encode(key, &residues(batch))
    }
}

impl fmt::Debug for Ciphertext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ciphertext(…)")
    }
}

/// Units modulo N² from outside, other than 1, in their canonical bytes and with Jacobi symbol +1.
pub(crate) fn decode<B: AsRef<[u8]> + Sync>(
    key: &EncryptionKey,
    batch: &[B],
) -> Result<Vec<Residue>, CiphertextError> {
    units(key, &canonical(key, batch)?)
}

/// Units modulo N² from outside, other than 1 and with Jacobi symbol +1.
pub(crate) fn units(key: &EncryptionKey, values: &[BigUint]) -> Result<Vec<Residue>, CiphertextError> {
    for (index, value) in values.iter().enumerate() {
        in_range(key, value).map_err(|reason| CiphertextError { index, reason })?;
    }
    let symbols: Vec<i32> = values.par_iter().map(|value| modexp::jacobi(value, key.n())).collect();
    match symbols.iter().position(|symbol| *symbol != 1) {
        None => Ok(key.ring().residues(values).expect("checked to be below N²")),
        Some(index) if symbols[index] == 0 => Err(CiphertextError { index, reason: Invalid::NotUnit }),
        Some(index) => Err(CiphertextError { index, reason: Invalid::Jacobi }),
    }
}

/// Numbers above 1 and below N² in their canonical bytes; they need not be units.
pub(crate) fn canonical<B: AsRef<[u8]>>(
    key: &EncryptionKey,
    batch: &[B],
) -> Result<Vec<BigUint>, CiphertextError> {
    let one = |bytes: &[u8]| {
        if bytes.len() != key.ciphertext_bytes() {
            return Err(Invalid::Length);
        }
        let value = BigUint::from_bytes_be(bytes);
        in_range(key, &value).map(|()| value)
    };
    batch
        .iter()
        .enumerate()
        .map(|(index, bytes)| one(bytes.as_ref()).map_err(|reason| CiphertextError { index, reason }))
        .collect()
}

/// Whether 1 < `value` < N².
fn in_range(key: &EncryptionKey, value: &BigUint) -> Result<(), Invalid> {
    match value {
        value if *value <= BigUint::from(1u32) => Err(Invalid::Trivial),
        value if value >= key.n_squared() => Err(Invalid::TooLarge),
        _ => Ok(()),
    }
}

/// Residues in their canonical bytes.
pub(crate) fn encode(key: &EncryptionKey, batch: &[Residue]) -> Vec<Vec<u8>> {
    key.ring().values(batch).iter().map(|value| fixed_bytes(value, key.ciphertext_bytes())).collect()
}

/// Ciphertexts as residues and back: a batch operation works on the residues.
pub(crate) fn residues(batch: &[Ciphertext]) -> Vec<Residue> {
    batch.iter().map(|c| c.0.clone()).collect()
}

fn wrapped(batch: Vec<Residue>) -> Vec<Ciphertext> {
    batch.into_iter().map(Ciphertext).collect()
}

/// Homomorphisms. Plaintexts are added and multiplied modulo N, with representatives in ±(N−1)/2: whoever uses them
/// knows bounds that exclude a wrap.
impl EncryptionKey {
    /// Encrypts without randomness: it can be read without a key. For public constants.
    ///
    /// # Errors
    /// |m| > (N−1)/2.
    pub fn constant(&self, m: &BigInt) -> Result<Ciphertext, crate::Overflow> {
        Ok(Ciphertext(self.one_plus(&[self.wrap(m, 0)?]).swap_remove(0)))
    }

    /// `[[a + b]]`.
    pub fn add(&self, a: &Ciphertext, b: &Ciphertext) -> Ciphertext {
        Ciphertext(self.ring().mul(&a.0, &b.0))
    }

    /// `[[aᵢ + bᵢ]]` for each i.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn add_each(&self, a: &[Ciphertext], b: &[Ciphertext]) -> Vec<Ciphertext> {
        wrapped(self.ring().mul_pairs(&residues(a), &residues(b)))
    }

    /// `[[Σ aᵢ]]`; of none it is an encryption of 0 without randomness.
    pub fn sum(&self, all: &[Ciphertext]) -> Ciphertext {
        Ciphertext(self.ring().product(&residues(all)))
    }

    /// `[[a + m]]` for a public m.
    ///
    /// # Errors
    /// |m| > (N−1)/2.
    pub fn add_constant(&self, a: &Ciphertext, m: &BigInt) -> Result<Ciphertext, crate::Overflow> {
        Ok(self.add(a, &self.constant(m)?))
    }

    /// `[[−aᵢ]]` for each i.
    pub fn negate_each(&self, a: &[Ciphertext]) -> Vec<Ciphertext> {
        wrapped(self.ring().invert_batch(&residues(a)).expect("a ciphertext is a unit"))
    }

    /// `[[aᵢ·k]]` for each i, all with one public k. Variable time.
    pub fn scale(&self, a: &[Ciphertext], k: &BigInt) -> Vec<Ciphertext> {
        let powers = wrapped(self.ring().pow_vartime_all(&residues(a), k.magnitude()));
        if k.sign() == Sign::Minus { self.negate_each(&powers) } else { powers }
    }

    /// `[[aᵢ·kᵢ]]` for each i with public kᵢ. Variable time.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn scale_each(&self, a: &[Ciphertext], k: &[BigInt]) -> Vec<Ciphertext> {
        let magnitudes: Vec<BigUint> = k.iter().map(|k| k.magnitude().clone()).collect();
        let mut powers = self.ring().pow_vartime(&residues(a), &magnitudes);
        let negative: Vec<usize> = (0..k.len()).filter(|&i| k[i].sign() == Sign::Minus).collect();
        let to_invert: Vec<Residue> = negative.iter().map(|&i| powers[i].clone()).collect();
        let inverses = self.ring().invert_batch(&to_invert).expect("a ciphertext is a unit");
        for (i, inverse) in negative.into_iter().zip(inverses) {
            powers[i] = inverse;
        }
        wrapped(powers)
    }

    /// `[[aᵢ·kᵢ]]` for each i with secret kᵢ ≥ 0 of one public width, in constant time. The results still show kᵢ to
    /// anyone who knows aᵢ's randomness: add zeros of [`crate::Encryptor::zeros`] to them before they leave.
    ///
    /// # Panics
    /// If the lengths or the widths differ.
    pub fn scale_each_secret(&self, a: &[Ciphertext], k: &[Secret]) -> Vec<Ciphertext> {
        wrapped(self.ring().pow_secret_each(&residues(a), k))
    }

    /// `[[Σ aᵢ·(kᵢ − 2^(w−1))]]` for each position of the columns (a, k), with secret kᵢ of one width w, in constant time:
    /// one exponentiation for each position, however many columns. As with
    /// [`scale_each_secret`](Self::scale_each_secret), add zeros before the results leave.
    ///
    /// # Panics
    /// If there is no column, or lengths or widths differ.
    pub fn dot_each_secret(&self, columns: &[(&[Ciphertext], &[Secret])]) -> Vec<Ciphertext> {
        let bases: Vec<Vec<Residue>> = columns.iter().map(|(a, _)| residues(a)).collect();
        let columns: Vec<(&[Residue], &[Secret])> =
            bases.iter().zip(columns).map(|(bases, (_, k))| (&bases[..], *k)).collect();
        wrapped(self.ring().multi_pow_secret_signed(&columns).expect("a ciphertext is a unit"))
    }

    /// `[[Σⱼ aⱼ·(kᵢⱼ − 2^(w−1))]]` for each row kᵢ of secrets of one width w, in constant time: many dot products with the
    /// same encrypted vector (eq. 4.15). As with [`scale_each_secret`](Self::scale_each_secret), add zeros before the
    /// results leave.
    ///
    /// # Panics
    /// If a row has not as many secrets as there are ciphertexts, or widths differ, or there is no ciphertext.
    pub fn dot_rows_secret<R: AsRef<[Secret]> + Sync>(
        &self,
        a: &[Ciphertext],
        rows: &[R],
    ) -> Vec<Ciphertext> {
        wrapped(self.ring().multi_pow_secret_matrix(&residues(a), rows).expect("a ciphertext is a unit"))
    }

    /// `[[Σᵢ aᵢ·2^(width·i)]]` of each group: what [`Packing::pack`](crate::packing::Packing::pack) makes of the plaintexts.
    pub fn pack_each(&self, groups: &[&[Ciphertext]], width: u64) -> Vec<Ciphertext> {
        let shift = BigUint::from(1u32) << width;
        let mut packed: Vec<Residue> = vec![self.ring().one(); groups.len()];
        for slot in (0..groups.iter().map(|group| group.len()).max().unwrap_or(0)).rev() {
            let one = self.ring().one();
            let next =
                groups.iter().map(|group| group.get(slot).map_or_else(|| one.clone(), |c| c.0.clone()));
            let next: Vec<Residue> = next.collect();
            packed = self.ring().mul_pairs(&self.ring().pow_vartime_all(&packed, &shift), &next);
        }
        wrapped(packed)
    }

    /// `[[kᵢ]]` without randomness for each i, of secret kᵢ ≥ 0 no wider than N, in constant time. They are as secret as
    /// their plaintexts: add zeros before they leave.
    ///
    /// # Panics
    /// If a k is wider than N.
    pub fn constants_secret(&self, k: &[Secret]) -> Vec<Ciphertext> {
        wrapped(self.ring().one_plus_multiples(k))
    }

    /// `[[Σ aᵢ·kᵢ]]` with public kᵢ, by one multi-exponentiation. Variable time.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn dot(&self, a: &[Ciphertext], k: &[BigInt]) -> Ciphertext {
        assert_eq!(a.len(), k.len(), "one factor for each ciphertext");
        let side = |sign: Sign| {
            let (bases, exponents): (Vec<Residue>, Vec<BigUint>) = a
                .iter()
                .zip(k)
                .filter(|(_, k)| k.sign() == sign)
                .map(|(a, k)| (a.0.clone(), k.magnitude().clone()))
                .unzip();
            (!bases.is_empty()).then(|| self.ring().multi_pow(&bases, &exponents))
        };
        let plus = side(Sign::Plus).unwrap_or_else(|| self.ring().one());
        match side(Sign::Minus) {
            None => Ciphertext(plus),
            Some(minus) => {
                let minus =
                    self.ring().invert_batch(&[minus]).expect("a ciphertext is a unit").swap_remove(0);
                Ciphertext(self.ring().mul(&plus, &minus))
            }
        }
    }
}
