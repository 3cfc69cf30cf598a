//! Encryption with short randomness of the one generator (Damgård, Jurik, Nielsen 2010).

use crate::ciphertext::{Ciphertext, residues};
use crate::hash::Transcript;
use crate::key::{EncryptionKey, Overflow};
use crate::random;
use modexp::{FixedBase, Residue, Secret};
use num_bigint::{BigInt, BigUint};
use rand_core::CryptoRng;
use std::fmt;

/// How long the random exponents are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Randomness {
    /// 512 bits; as many as N has where N has between 512 and 1,024.
    #[default]
    Short,
    /// 1,024 bits.
    Long,
}

impl Randomness {
    /// Length in bits for a modulus of `modulus_bits`.
    pub fn bits(self, modulus_bits: u64) -> usize {
        match self {
            Self::Short if modulus_bits < 1024 => (modulus_bits as usize).max(512),
            Self::Short => 512,
            Self::Long => 1024,
        }
    }
}

/// The generator h = −H² mod N, where H is hashed from N, so that no party can choose it. For N = p·q with both factors
/// 3 modulo 4 its Jacobi symbol is +1 and it generates more than the squares.
pub(crate) fn generator(key: &EncryptionKey) -> BigUint {
    let hash = Transcript::new("confab generator").number(key.n());
    let root = hash.expand(key.bytes() + 16) % key.n();
    key.n() - &root * &root % key.n()
}

/// Encrypts under one key, with tables for h_s = h^N made once. Cheap to clone, shared between threads.
#[derive(Clone)]
pub struct Encryptor {
    key: EncryptionKey,
    base: Residue,
    table: FixedBase,
}

impl Encryptor {
    /// Makes the tables, which takes some milliseconds and a few megabytes.
    pub fn new(key: &EncryptionKey, randomness: Randomness) -> Self {
        let ring = key.ring();
        let h = ring.residue(&generator(key)).expect("h is below N");
        let h_s = ring.pow_vartime_all(&[h], key.n()).swap_remove(0);
        let table = ring.fixed_base(&h_s, randomness.bits(key.bits()));
        Self { key: key.clone(), base: h_s, table }
    }

    /// The key.
    pub fn key(&self) -> &EncryptionKey {
        &self.key
    }

    /// h_s.
    pub(crate) fn base(&self) -> &Residue {
        &self.base
    }

    /// Length of the random exponents in bits.
    pub fn randomness_bits(&self) -> usize {
        self.table.exponent_bits()
    }

    /// Multiplications of one blinding h_s^r.
    pub(crate) fn multiplications(&self) -> usize {
        self.table.multiplications()
    }

    /// Encrypts signed integers. Time does not depend on their values within the range.
    ///
    /// # Errors
    /// The first plaintext beyond ±(N−1)/2.
    pub fn encrypt(
        &self,
        plaintexts: &[BigInt],
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<Ciphertext>, Overflow> {
        let constants = self.constants(plaintexts, rng)?;
        Ok(self.product(&self.blindings(plaintexts.len(), rng), &constants))
    }

    /// As [`encrypt`](Self::encrypt) with full-range randomness, so that also the owner of the factors, who can take roots,
    /// learns nothing of what these ciphertexts are added to: r^N with r uniform among the residues of Jacobi symbol +1.
    /// Takes about ten times as long.
    ///
    /// # Errors
    /// As there.
    pub fn encrypt_fully(
        &self,
        plaintexts: &[BigInt],
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<Ciphertext>, Overflow> {
        let constants = self.constants(plaintexts, rng)?;
        Ok(self.product(&self.full_blindings(plaintexts.len(), rng), &constants))
    }

    /// `[[m + Σₖ aₖ·eₖ·2^(width·k)]]` for each plaintext m, from slots of as many pairs (aₖ, eₖ), with secret eₖ ≥ 0 of one
    /// width in a slot, in constant time and with the randomness of [`encrypt_fully`](Self::encrypt_fully): products with
    /// secrets, packed as by [`Packing::pack`](crate::packing::Packing::pack), that may leave. The products, their shifts and
    /// the randomness share their squarings, so that while the slots fit into N it costs little more than the randomness.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// If there is no slot, lengths differ, or the widths in a slot.
    pub fn pack_products_fully(
        &self,
        slots: &[(&[Ciphertext], &[Secret])],
        width: u64,
        plaintexts: &[BigInt],
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<Ciphertext>, Overflow> {
        let constants = self.constants(plaintexts, rng)?;
        let bases: Vec<Vec<Residue>> = slots.iter().map(|(a, _)| residues(a)).collect();
        let columns: Vec<(&[Residue], &[Secret])> =
            bases.iter().zip(slots).map(|(bases, (_, exponents))| (&bases[..], *exponents)).collect();
        let roots = self.roots(plaintexts.len(), rng);
        let powers = (&roots[..], self.key.n());
        let products = self.key.ring().multi_pow_secret_packed(&columns, width as usize, powers);
        Ok(self.product(&products, &constants))
    }

    /// 1 + m·N for each plaintext: made from two summands of m, each uniform modulo N, because taking in values takes longer
    /// for long ones.
    pub(crate) fn constants(
        &self,
        plaintexts: &[BigInt],
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<Residue>, Overflow> {
        let n = self.key.n();
        let (mut masks, mut rests) = (Vec::new(), Vec::new());
        for (index, m) in plaintexts.iter().enumerate() {
            let mask = random::below(rng, n);
            rests.push((self.key.wrap(m, index)? + n - &mask) % n);
            masks.push(mask);
        }
        Ok(self.key.ring().mul_pairs(&self.key.one_plus(&masks), &self.key.one_plus(&rests)))
    }

    pub(crate) fn product(&self, a: &[Residue], b: &[Residue]) -> Vec<Ciphertext> {
        self.key.ring().mul_pairs(a, b).into_iter().map(Ciphertext).collect()
    }

    /// Fresh encryptions of zero, to be used once each.
    pub fn zeros(&self, count: usize, rng: &mut impl CryptoRng) -> Vec<Ciphertext> {
        self.blindings(count, rng).into_iter().map(Ciphertext).collect()
    }

    /// The same plaintexts in ciphertexts that cannot be linked to the old ones without the factors of N.
    pub fn rerandomise(&self, batch: &[Ciphertext], rng: &mut impl CryptoRng) -> Vec<Ciphertext> {
        self.key.add_each(batch, &self.zeros(batch.len(), rng))
    }

    /// As [`rerandomise`](Self::rerandomise) with the randomness of [`encrypt_fully`](Self::encrypt_fully).
    pub fn rerandomise_fully(&self, batch: &[Ciphertext], rng: &mut impl CryptoRng) -> Vec<Ciphertext> {
        self.product(&residues(batch), &self.full_blindings(batch.len(), rng))
    }

    /// Uniform among the residues modulo N of Jacobi symbol +1.
    fn roots(&self, count: usize, rng: &mut impl CryptoRng) -> Vec<Residue> {
        let n = self.key.n();
        let root = |_| loop {
            let root = random::below(rng, n);
            if modexp::jacobi(&root, n) == 1 {
                return root;
            }
        };
        let roots: Vec<BigUint> = (0..count).map(root).collect();
        self.key.ring().residues(&roots).expect("roots are below N")
    }

    /// r^N of fresh roots r.
    fn full_blindings(&self, count: usize, rng: &mut impl CryptoRng) -> Vec<Residue> {
        self.key.ring().pow_vartime_all(&self.roots(count, rng), self.key.n())
    }

    /// h_s^r of secret r as long as the table is for.
    pub(crate) fn powers(&self, exponents: &[Secret]) -> Vec<Residue> {
        self.table.pow(exponents)
    }

    /// h_s^r of a longer secret.
    pub(crate) fn long_power(&self, exponent: &Secret) -> Residue {
        let base = std::slice::from_ref(&self.base);
        self.key.ring().pow_secret(base, exponent).swap_remove(0)
    }

    fn blindings(&self, count: usize, rng: &mut impl CryptoRng) -> Vec<Residue> {
        let bits = self.randomness_bits();
        let exponents: Vec<Secret> = (0..count).map(|_| random::secret(rng, bits)).collect();
        self.powers(&exponents)
    }
}

impl fmt::Debug for Encryptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encryptor({} bits, randomness of {} bits)", self.key.bits(), self.randomness_bits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PrivateKey;
    use crate::private::factors;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    #[test]
    fn only_full_range_randomness_says_nothing_to_the_owner_of_the_factors() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let is_cube = |x: &BigUint, p: &BigUint| x.modpow(&((p - 1u32) / 3u32), p) == 1u32.into();
        // A key with a factor modulo which h is a cube, and not everything is one.
        let (p, key) = loop {
            let (p, q) = factors(256, &mut rng).unwrap();
            let key = PrivateKey::from_factors(&p, &q).unwrap().public().clone();
            if &p % 3u32 == 1u32.into() && is_cube(&generator(&key), &p) {
                break (p, key);
            }
        };
        let cubes = |batch: &[Ciphertext]| {
            let value = |c: &Ciphertext| BigUint::from_bytes_be(&c.to_bytes(&key)) % &p;
            batch.iter().filter(|c| is_cube(&value(c), &p)).count()
        };
        let encryptor = Encryptor::new(&key, Randomness::Short);
        let m = vec![BigInt::from(5); 40];
        let short = encryptor.encrypt(&m, &mut rng).unwrap();
        assert_eq!(cubes(&short), 40);
        assert_eq!(cubes(&encryptor.rerandomise(&short, &mut rng)), 40);
        let exponents: Vec<Secret> = (0..40).map(|_| random::secret(&mut rng, 60)).collect();
        let slots: [(&[Ciphertext], &[Secret]); 2] = [(&short, &exponents); 2];
        for full in [
            encryptor.encrypt_fully(&m, &mut rng).unwrap(),
            encryptor.rerandomise_fully(&short, &mut rng),
            encryptor.pack_products_fully(&slots, 80, &m, &mut rng).unwrap(),
        ] {
            assert!((1..40).contains(&cubes(&full)), "one in three");
        }
    }
}
