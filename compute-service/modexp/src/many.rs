//! Exponentiations with a modulus for each: candidates of key generation, all tested at once.

use crate::backend::Kernel;
use crate::engine::{Accumulator, Engine};
use crate::number::Montgomery;
use crate::ring::{Residue, check};
use crate::{Backend, Error, Secret, scalar, window};
#[cfg(target_arch = "x86_64")]
use crate::{avx2, ifma};
use num_bigint::BigUint;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// baseᵢ^exponentᵢ mod modulusᵢ, public exponents; a vector backend takes a modulus in each lane. Each base must be below
/// its modulus, which is odd and of [`MIN_BITS`](crate::MIN_BITS) to [`MAX_BITS`](crate::MAX_BITS). Variable time.
pub fn pow_mod_many(jobs: &[(&BigUint, &BigUint, &BigUint)]) -> Result<Vec<BigUint>, Error> {
    pow_mod_many_on(Backend::detect(), jobs)
}

/// As [`pow_mod_many`] on a chosen backend, for comparisons.
pub fn pow_mod_many_on(
    backend: Backend,
    jobs: &[(&BigUint, &BigUint, &BigUint)],
) -> Result<Vec<BigUint>, Error> {
    let jobs: Vec<_> =
        jobs.iter().map(|&(base, exponent, modulus)| Job { base, exponent, modulus }).collect();
    run(backend, &jobs)
}

/// baseᵢ^exponentᵢ mod modulusᵢ as [`pow_mod_many`], in constant time for the exponents, which have one common width.
///
/// # Panics
/// If the exponents differ in width.
pub fn pow_mod_many_secret(jobs: &[(&BigUint, &Secret, &BigUint)]) -> Result<Vec<BigUint>, Error> {
    pow_mod_many_secret_on(Backend::detect(), jobs)
}

/// As [`pow_mod_many_secret`] on a chosen backend, for comparisons.
///
/// # Panics
/// If the exponents differ in width.
pub fn pow_mod_many_secret_on(
    backend: Backend,
    jobs: &[(&BigUint, &Secret, &BigUint)],
) -> Result<Vec<BigUint>, Error> {
    assert!(jobs.windows(2).all(|j| j[0].1.width() == j[1].1.width()), "exponents of one width");
    let jobs: Vec<_> =
        jobs.iter().map(|&(base, exponent, modulus)| Job { base, exponent, modulus }).collect();
    run(backend, &jobs)
}

/// base^exponent mod modulus.
struct Job<'a, X> {
    base: &'a BigUint,
    exponent: &'a X,
    modulus: &'a BigUint,
}

/// How a block is raised to exponents of this kind.
trait Exponent: Sync + Sized {
    fn pow<E: Engine>(engine: &E, bases: &[Residue], exponents: &[&Self]) -> Vec<Residue>;
}

impl Exponent for BigUint {
    fn pow<E: Engine>(engine: &E, bases: &[Residue], exponents: &[&Self]) -> Vec<Residue> {
        window::pow_vartime(engine, bases, exponents)
    }
}

impl Exponent for Secret {
    fn pow<E: Engine>(engine: &E, bases: &[Residue], exponents: &[&Self]) -> Vec<Residue> {
        window::pow_secret(engine, bases, exponents)
    }
}

fn run<X: Exponent>(backend: Backend, jobs: &[Job<X>]) -> Result<Vec<BigUint>, Error> {
    let mut kernel = Kernel::Scalar;
    for job in jobs {
        kernel = check(job.modulus, backend)?;
        if job.base >= job.modulus {
            return Err(Error::NotReduced);
        }
    }
    // Lanes need equal digit counts.
    let mut by_count: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (i, job) in jobs.iter().enumerate() {
        by_count.entry(kernel.shape(job.modulus.bits()).digits).or_default().push(i);
    }
    let lanes = kernel.shape(crate::MIN_BITS).lanes;
    let blocks: Vec<&[usize]> = by_count.values().flat_map(|indices| indices.chunks(lanes)).collect();
    let results: Vec<Vec<BigUint>> = blocks
        .par_iter()
        .map(|indices| {
            let jobs: Vec<&Job<X>> = indices.iter().map(|&i| &jobs[i]).collect();
            block(kernel, &jobs)
        })
        .collect();
    let mut out = vec![BigUint::ZERO; jobs.len()];
    for (&i, value) in blocks.iter().copied().flatten().zip(results.into_iter().flatten()) {
        out[i] = value;
    }
    Ok(out)
}

/// One block: as many jobs as there are lanes, or fewer, with moduli of one digit count.
fn block<X: Exponent>(kernel: Kernel, jobs: &[&Job<X>]) -> Vec<BigUint> {
    let shape = kernel.shape(jobs[0].modulus.bits());
    let contexts: Vec<Montgomery> =
        jobs.iter().map(|job| Montgomery::new(job.modulus, 1, shape.radix, shape.digits)).collect();
    let n: Vec<Vec<u64>> = contexts.iter().map(Montgomery::n_digits).collect();
    let one: Vec<Vec<u64>> = contexts.iter().map(|context| context.r_to_the(1)).collect();
    match kernel {
        Kernel::Scalar => pow_block(&scalar::Single::new(&n[0], one[0].clone()), &contexts, jobs),
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx2 => pow_block(&avx2::Single::with_moduli(lanes(&n), lanes(&one)), &contexts, jobs),
        #[cfg(target_arch = "x86_64")]
        Kernel::Ifma => pow_block(&ifma::Single::with_moduli(lanes(&n), lanes(&one)), &contexts, jobs),
    }
}

/// Unused lanes repeat a used one.
#[cfg(target_arch = "x86_64")]
fn lanes<const LANES: usize>(digits: &[Vec<u64>]) -> [&[u64]; LANES] {
    std::array::from_fn(|l| digits[l % digits.len()].as_slice())
}

fn pow_block<E: Engine, X: Exponent>(engine: &E, contexts: &[Montgomery], jobs: &[&Job<X>]) -> Vec<BigUint> {
    let residues = |digits: &dyn Fn(&Montgomery, &BigUint) -> Vec<u64>| -> Vec<Residue> {
        contexts
            .iter()
            .zip(jobs)
            .map(|(context, job)| Residue::from_digits(digits(context, job.base)))
            .collect()
    };
    let mut bases = Accumulator::load(engine, residues(&|context, base| context.digits(base)).iter());
    bases.mul_residues(residues(&|context, _| context.r_to_the(2)).iter());
    let exponents: Vec<&X> = jobs.iter().map(|job| job.exponent).collect();
    let powers = X::pow(engine, &bases.residues(jobs.len()), &exponents);
    let mut out = Accumulator::load(engine, powers.iter());
    out.mul_residues(residues(&|context, _| context.unit()).iter());
    let out = out.residues(jobs.len());
    contexts.iter().zip(&out).map(|(context, x)| context.number(x.digits())).collect()
}
