//! Exponentiations with a modulus for each: candidates of key generation, all tested at once.

use crate::{Error, Modulus, Secret};
use num_bigint::BigUint;
use rayon::prelude::*;

/// baseᵢ^exponentᵢ mod modulusᵢ, public exponents. Each base must be below its modulus. Variable time.
pub fn pow_mod_many(jobs: &[(&BigUint, &BigUint, &BigUint)]) -> Result<Vec<BigUint>, Error> {
    jobs.par_iter()
        .map(|(base, exponent, modulus)| {
            let modulus = Modulus::new(modulus)?;
            let ring = modulus.mod_n();
            let base = ring.residue(base)?;
            Ok(ring.value(&ring.pow_public_all(&[base], exponent)[0]))
        })
        .collect()
}

/// baseᵢ^exponentᵢ mod modulusᵢ in constant time for the exponents, which have one common width. Each base must be
/// below its modulus.
///
/// # Panics
/// If the exponents differ in width.
pub fn pow_mod_many_secret(jobs: &[(&BigUint, &Secret, &BigUint)]) -> Result<Vec<BigUint>, Error> {
    assert!(jobs.windows(2).all(|j| j[0].1.width() == j[1].1.width()), "exponents of one width");
    jobs.par_iter()
        .map(|(base, exponent, modulus)| {
            let modulus = Modulus::new(modulus)?;
            let ring = modulus.mod_n();
            let base = ring.residue(base)?;
            Ok(ring.value(&ring.pow_secret(&[base], exponent)[0]))
        })
        .collect()
}
