//! The public face: rings, residues and what can be done with them, one by one or in batches.

use crate::backend::Kernel;
use crate::engine::{Accumulator, Engine};
use crate::fixed_base::FixedBase;
use crate::number::{Montgomery, mod_inverse};
use crate::{Backend, Error, MAX_BITS, MIN_BITS, Secret, multi, scalar, window};
#[cfg(target_arch = "x86_64")]
use crate::{avx2, ifma};
use num_bigint::BigUint;
use num_integer::Integer;
use num_traits::Zero;
use rayon::prelude::*;
use std::sync::Arc;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A residue in the internal form of the [`Ring`] that made it: Montgomery digits, not unique.
///
/// Opaque; compare values with [`Ring::value`]. Given to another ring it panics or means another number. Wiped when
/// dropped, because a residue may be a secret (a root, a share of a decryption before it is published).
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Residue(Vec<u64>);

impl Residue {
    pub(crate) fn from_digits(digits: Vec<u64>) -> Self {
        Residue(digits)
    }

    pub(crate) fn digits(&self) -> &[u64] {
        &self.0
    }
}

impl std::fmt::Debug for Residue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Residue(..)")
    }
}

/// An odd modulus N of [`MIN_BITS`] to [`MAX_BITS`] bits, with the contexts for arithmetic modulo N and modulo N².
/// Cheap to clone. It need not be a product of two primes.
#[derive(Clone, Debug)]
pub struct Modulus {
    mod_n: Ring,
    mod_n2: Ring,
}

impl Modulus {
    /// Precomputes the contexts for the backend of this process, [`Backend::detect`].
    pub fn new(n: &BigUint) -> Result<Modulus, Error> {
        Modulus::with_backend(n, Backend::detect())
    }

    /// As [`new`](Self::new) on a chosen backend, for comparisons.
    pub fn with_backend(n: &BigUint, backend: Backend) -> Result<Modulus, Error> {
        let mod_n = Ring::new(n, None, backend)?;
        let mod_n2 = Ring::new(n, Some(&mod_n), backend)?;
        Ok(Modulus { mod_n, mod_n2 })
    }

    /// N.
    pub fn n(&self) -> &BigUint {
        self.mod_n.modulus()
    }

    /// N².
    pub fn n_squared(&self) -> &BigUint {
        self.mod_n2.modulus()
    }

    /// Bits of N.
    pub fn bits(&self) -> u64 {
        self.n().bits()
    }

    /// Arithmetic modulo N.
    pub fn mod_n(&self) -> &Ring {
        &self.mod_n
    }

    /// Arithmetic modulo N².
    pub fn mod_n2(&self) -> &Ring {
        &self.mod_n2
    }
}

/// Arithmetic modulo N or modulo N². Cheap to clone.
///
/// Batches are padded to the width of the backend and spread over rayon's current thread pool.
#[derive(Clone, Debug)]
pub struct Ring(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    backend: Backend,
    pub(crate) montgomery: Montgomery,
    /// R²: a product with it takes a number in.
    entry: Residue,
    /// The digits of 1: a product with it lets a number out.
    exit: Residue,
    arithmetic: Arithmetic,
    /// What is faster for at most `FEW` residues.
    pub(crate) few: Option<Arithmetic>,
    /// Of a ring modulo N², that modulo N: its residues are the low parts of residues here.
    pub(crate) low: Option<Ring>,
}

#[derive(Debug)]
pub(crate) enum Arithmetic {
    ScalarN(Arc<scalar::Single>),
    ScalarN2(Arc<scalar::Dual>),
    #[cfg(target_arch = "x86_64")]
    Avx2N(Arc<avx2::Single>),
    #[cfg(target_arch = "x86_64")]
    Avx2N2(Arc<avx2::Dual>),
    #[cfg(target_arch = "x86_64")]
    IfmaN(Arc<ifma::Single>),
    #[cfg(target_arch = "x86_64")]
    IfmaN2(Arc<ifma::Dual>),
    #[cfg(target_arch = "x86_64")]
    IfmaRow(Arc<ifma::Row>),
}

/// Runs the same code for whichever engine the ring has, or has for a batch of a given length.
macro_rules! with_engine {
    ($ring:expr, $engine:ident => $body:expr) => {
        $crate::ring::with_engine!(@ $ring.arithmetic(), $engine => $body)
    };
    ($ring:expr, for $count:expr, $engine:ident => $body:expr) => {
        $crate::ring::with_engine!(@ $ring.arithmetic_for($count), $engine => $body)
    };
    (@ $arithmetic:expr, $engine:ident => $body:expr) => {
        match $arithmetic {
            $crate::ring::Arithmetic::ScalarN($engine) => $body,
            $crate::ring::Arithmetic::ScalarN2($engine) => $body,
            #[cfg(target_arch = "x86_64")]
            $crate::ring::Arithmetic::Avx2N($engine) => $body,
            #[cfg(target_arch = "x86_64")]
            $crate::ring::Arithmetic::Avx2N2($engine) => $body,
            #[cfg(target_arch = "x86_64")]
            $crate::ring::Arithmetic::IfmaN($engine) => $body,
            #[cfg(target_arch = "x86_64")]
            $crate::ring::Arithmetic::IfmaN2($engine) => $body,
            #[cfg(target_arch = "x86_64")]
            $crate::ring::Arithmetic::IfmaRow($engine) => $body,
        }
    };
}
pub(crate) use with_engine;

impl Ring {
    /// Modulo N, or modulo N² over the ring modulo N.
    fn new(n: &BigUint, low: Option<&Ring>, backend: Backend) -> Result<Ring, Error> {
        let parts = if low.is_some() { 2 } else { 1 };
        let kernel = check(n, backend)?;
        let shape = kernel.shape(n.bits());
        let montgomery = Montgomery::new(n, parts, shape.radix, shape.digits);
        let (digits, one) = (montgomery.n_digits(), montgomery.r_to_the(1));
        let arithmetic = match (kernel, parts) {
            (Kernel::Scalar, 1) => Arithmetic::ScalarN(Arc::new(scalar::Single::new(&digits, one.clone()))),
            (Kernel::Scalar, _) => {
                let one_minus_r = montgomery.one_minus_r();
                Arithmetic::ScalarN2(Arc::new(scalar::Dual::new(&digits, one.clone(), one_minus_r)))
            }
            #[cfg(target_arch = "x86_64")]
            (Kernel::Avx2, 1) => Arithmetic::Avx2N(Arc::new(avx2::Single::new(&digits, &one))),
            #[cfg(target_arch = "x86_64")]
            (Kernel::Avx2, _) => {
                Arithmetic::Avx2N2(Arc::new(avx2::Dual::new(&digits, &one, &montgomery.one_minus_r())))
            }
            #[cfg(target_arch = "x86_64")]
            (Kernel::Ifma, 1) => Arithmetic::IfmaN(Arc::new(ifma::Single::new(&digits, &one))),
            #[cfg(target_arch = "x86_64")]
            (Kernel::Ifma, _) => {
                Arithmetic::IfmaN2(Arc::new(ifma::Dual::new(&digits, &one, &montgomery.one_minus_r())))
            }
        };
        let few = match &arithmetic {
            #[cfg(target_arch = "x86_64")]
            Arithmetic::IfmaN2(_) => {
                let row = ifma::Row::new(&digits, &one, &montgomery.one_minus_r());
                row.map(|row| Arithmetic::IfmaRow(Arc::new(row)))
            }
            _ => None,
        };
        let (entry, exit) = (Residue(montgomery.r_to_the(2)), Residue(montgomery.unit()));
        Ok(Ring(Arc::new(Inner { backend, montgomery, entry, exit, arithmetic, few, low: low.cloned() })))
    }

    /// The modulus: N or N².
    pub fn modulus(&self) -> &BigUint {
        &self.0.montgomery.modulus
    }

    /// The backend that computes.
    pub fn backend(&self) -> Backend {
        self.0.backend
    }

    /// How many residues the backend computes at once; batches of a multiple of this waste nothing.
    pub fn lanes(&self) -> usize {
        fn lanes<E: Engine>(_: &Arc<E>) -> usize {
            E::LANES
        }
        with_engine!(self, engine => lanes(engine))
    }

    pub(crate) fn arithmetic(&self) -> &Arithmetic {
        &self.0.arithmetic
    }

    pub(crate) fn arithmetic_for(&self, count: usize) -> &Arithmetic {
        match &self.0.few {
            Some(few) if count <= FEW => few,
            _ => &self.0.arithmetic,
        }
    }

    /// Digits of a part, and parts.
    pub(crate) fn shape(&self) -> (usize, usize) {
        (self.0.montgomery.count, self.0.montgomery.parts)
    }

    /// Takes a value below the modulus in. Variable time.
    pub fn residue(&self, value: &BigUint) -> Result<Residue, Error> {
        Ok(self.residues(std::slice::from_ref(value))?.swap_remove(0))
    }

    /// [`residue`](Self::residue) of each value; faster than one by one.
    pub fn residues(&self, values: &[BigUint]) -> Result<Vec<Residue>, Error> {
        if values.iter().any(|value| value >= self.modulus()) {
            return Err(Error::NotReduced);
        }
        let digits: Vec<Residue> = values
            .par_iter()
            .with_min_len(CHEAP)
            .map(|value| Residue(self.0.montgomery.digits(value)))
            .collect();
        Ok(self.mul_all(&digits, &self.0.entry))
    }

    /// The value below the modulus. Variable time.
    pub fn value(&self, residue: &Residue) -> BigUint {
        self.values(std::slice::from_ref(residue)).swap_remove(0)
    }

    /// [`value`](Self::value) of each residue; faster than one by one.
    pub fn values(&self, residues: &[Residue]) -> Vec<BigUint> {
        let digits = self.mul_all(residues, &self.0.exit);
        digits.par_iter().with_min_len(CHEAP).map(|x| self.0.montgomery.number(x.digits())).collect()
    }

    /// aᵢ·b for each i.
    pub fn mul_all(&self, a: &[Residue], b: &Residue) -> Vec<Residue> {
        with_engine!(self, for a.len(), engine => in_blocks(&**engine, a.len(), CHEAP, |from, to| {
            let mut product = Accumulator::load(&**engine, a[from..to].iter());
            product.mul_residues(std::iter::repeat_n(b, to - from));
            product.residues(to - from)
        }))
    }

    /// 1.
    pub fn one(&self) -> Residue {
        with_engine!(self, engine => engine.store(engine.one(), 0))
    }

    /// a·b.
    pub fn mul(&self, a: &Residue, b: &Residue) -> Residue {
        self.mul_pairs(std::slice::from_ref(a), std::slice::from_ref(b)).swap_remove(0)
    }

    /// a².
    pub fn square(&self, a: &Residue) -> Residue {
        self.square_each(std::slice::from_ref(a)).swap_remove(0)
    }

    /// aᵢ·bᵢ for each i.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn mul_pairs(&self, a: &[Residue], b: &[Residue]) -> Vec<Residue> {
        assert_eq!(a.len(), b.len(), "pairs need equal lengths");
        with_engine!(self, for a.len(), engine => in_blocks(&**engine, a.len(), CHEAP, |from, to| {
            let mut product = Accumulator::load(&**engine, a[from..to].iter());
            product.mul_residues(b[from..to].iter());
            product.residues(to - from)
        }))
    }

    /// aᵢ² for each i.
    pub fn square_each(&self, a: &[Residue]) -> Vec<Residue> {
        with_engine!(self, for a.len(), engine => in_blocks(&**engine, a.len(), CHEAP, |from, to| {
            let mut square = Accumulator::load(&**engine, a[from..to].iter());
            square.square(1);
            square.residues(to - from)
        }))
    }

    /// The product of all; 1 of none.
    pub fn product(&self, factors: &[Residue]) -> Residue {
        let halves = |level: &[Residue]| {
            let (left, right) = level.split_at(level.len() / 2);
            let mut next = self.mul_pairs(left, &right[..left.len()]);
            next.extend_from_slice(&right[left.len()..]);
            next
        };
        match factors {
            [] => self.one(),
            [one] => one.clone(),
            _ => {
                let mut level = halves(factors);
                while level.len() > 1 {
                    level = halves(&level);
                }
                level.swap_remove(0)
            }
        }
    }

    /// The inverse of each, by one inversion and three multiplications for each (Montgomery's trick, as a tree).
    /// Variable time: blind a secret by a random factor first.
    ///
    /// # Errors
    /// [`Error::NotInvertible`] with the first index whose value has a factor in common with N.
    pub fn invert_batch(&self, residues: &[Residue]) -> Result<Vec<Residue>, Error> {
        if residues.is_empty() {
            return Ok(Vec::new());
        }
        // levels[0] are the residues, each further level the products of neighbours; an odd last one moves up.
        let mut levels = vec![residues.to_vec()];
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            let (even, odd) = neighbours(level);
            let mut next = self.mul_pairs(&even[..odd.len()], &odd);
            next.extend_from_slice(&even[odd.len()..]);
            levels.push(next);
        }
        let root = levels.pop().expect("there is at least one level");
        let Some(inverse) = self.invert(&root[0]) else {
            let bad = residues.iter().position(|r| self.invert(r).is_none());
            return Err(Error::NotInvertible {
                index: bad.expect("a product is invertible if its factors are"),
            });
        };
        let mut inverses = vec![inverse];
        while let Some(level) = levels.pop() {
            let (even, odd) = neighbours(&level);
            let pairs = odd.len();
            let left = self.mul_pairs(&inverses[..pairs], &odd);
            let right = self.mul_pairs(&inverses[..pairs], &even[..pairs]);
            let moved_up = inverses.split_off(pairs);
            inverses = left.into_iter().zip(right).flat_map(|(l, r)| [l, r]).chain(moved_up).collect();
        }
        Ok(inverses)
    }

    fn invert(&self, residue: &Residue) -> Option<Residue> {
        let value = self.value(residue);
        let n = &self.0.montgomery.n;
        let inverse = self.residue(&mod_inverse(&value, n).ok()?).expect("an inverse modulo N is below N");
        if self.0.montgomery.parts == 1 {
            return Some(inverse);
        }
        // Modulo N²: y ← y·(2 − x·y), Newton's iteration for 1/x.
        let xy = self.value(&self.mul(residue, &inverse));
        let correction = (self.modulus() + 2u32 - xy) % self.modulus();
        Some(self.mul(&inverse, &self.residue(&correction).expect("reduced")))
    }

    /// 1 + kᵢ·N modulo N² for each i, in constant time.
    ///
    /// # Panics
    /// If this is not a ring modulo N², or an exponent is wider than N.
    pub fn one_plus_multiples(&self, k: &[Secret]) -> Vec<Residue> {
        let Montgomery { n, radix, count, parts, .. } = &self.0.montgomery;
        // Parts are below 2N.
        let fits = |k: &Secret| k.width() as u64 <= n.bits();
        assert!(*parts == 2 && k.iter().all(fits), "multiples of N by no more than N's length");
        let digits: Vec<Residue> = k
            .iter()
            .map(|k| {
                let mut digits = self.0.montgomery.unit();
                for (i, digit) in digits[*count..].iter_mut().enumerate() {
                    *digit = k.bits(*radix as usize * i, *radix as usize);
                }
                Residue(digits)
            })
            .collect();
        self.mul_all(&digits, &self.0.entry)
    }

    /// Each base to its own public power. Variable time; fastest when neighbours have the same exponent.
    ///
    /// # Panics
    /// If there are not as many exponents as bases.
    pub fn pow_vartime(&self, bases: &[Residue], exponents: &[BigUint]) -> Vec<Residue> {
        assert_eq!(bases.len(), exponents.len(), "one exponent for each base");
        with_engine!(self, for bases.len(), engine => in_blocks(&**engine, bases.len(), DEAR, |from, to| {
            window::pow_vartime(&**engine, &bases[from..to], &exponents[from..to].iter().collect::<Vec<_>>())
        }))
    }

    /// Each base to the same public power. Variable time.
    pub fn pow_vartime_all(&self, bases: &[Residue], exponent: &BigUint) -> Vec<Residue> {
        with_engine!(self, for bases.len(), engine => in_blocks(&**engine, bases.len(), DEAR, |from, to| {
            window::pow_vartime(&**engine, &bases[from..to], &vec![exponent; to - from])
        }))
    }

    /// Π baseᵢ^exponentᵢ. Variable time: Straus' or Pippenger's algorithm, whichever is less work.
    ///
    /// # Panics
    /// If there are not as many exponents as bases.
    pub fn multi_pow(&self, bases: &[Residue], exponents: &[BigUint]) -> Residue {
        assert_eq!(bases.len(), exponents.len(), "one exponent for each base");
        let lanes = self.lanes();
        let share = bases.len().div_ceil(rayon::current_num_threads()).next_multiple_of(lanes).max(8 * lanes);
        let parts: Vec<Vec<Residue>> = with_engine!(self, engine => bases
            .par_chunks(share)
            .zip(exponents.par_chunks(share))
            .map(|(bases, exponents)| multi::across_lanes(&**engine, bases, exponents))
            .collect());
        self.product(&parts.concat())
    }

    /// Π rowᵢ^exponentᵢ for each row, all with the same exponents: the encrypted dot product of many rows with one
    /// public vector. Variable time.
    ///
    /// # Panics
    /// If a row has not as many bases as there are exponents.
    pub fn multi_pow_rows<R: AsRef<[Residue]> + Sync>(
        &self,
        rows: &[R],
        exponents: &[BigUint],
    ) -> Vec<Residue> {
        assert!(rows.iter().all(|row| row.as_ref().len() == exponents.len()), "one exponent for each base");
        with_engine!(self, for rows.len(), engine => in_blocks(&**engine, rows.len(), DEAR, |from, to| {
            let rows: Vec<&[Residue]> = rows[from..to].iter().map(AsRef::as_ref).collect();
            multi::rows(&**engine, &rows, exponents)
        }))
    }

    /// Tables for many secret powers of one base, for exponents of up to `exponent_bits` bits. See [`FixedBase`].
    pub fn fixed_base(&self, base: &Residue, exponent_bits: usize) -> FixedBase {
        with_engine!(self, engine => FixedBase::new(engine.clone(), base, exponent_bits))
    }

    /// Whether two residues are the same number. Variable time.
    pub fn equal(&self, a: &Residue, b: &Residue) -> bool {
        a.digits() == b.digits() || self.value(a) == self.value(b)
    }

    /// Whether the residue is 0. Variable time.
    pub fn is_zero(&self, a: &Residue) -> bool {
        self.value(a).is_zero()
    }
}

/// What carries the backend out, if it and the modulus are acceptable.
pub(crate) fn check(n: &BigUint, backend: Backend) -> Result<Kernel, Error> {
    if n.is_even() {
        return Err(Error::EvenModulus);
    }
    if !(MIN_BITS..=MAX_BITS).contains(&n.bits()) {
        return Err(Error::ModulusSize { bits: n.bits() });
    }
    backend.kernel().ok_or(Error::NoSuchBackend(backend.name()))
}

/// Elements at even and at odd positions.
fn neighbours(level: &[Residue]) -> (Vec<Residue>, Vec<Residue>) {
    (level.iter().step_by(2).cloned().collect(), level.iter().skip(1).step_by(2).cloned().collect())
}

/// Up to how many residues are faster one by one, each in a row of digits, than side by side in eight lanes.
pub(crate) const FEW: usize = 5;

/// Blocks that a thread takes at once: of single multiplications, and of exponentiations.
const CHEAP: usize = 32;
pub(crate) const DEAR: usize = 1;

/// Splits `count` items into blocks of the engine's width and computes `block(from, to)` for each, in parallel.
pub(crate) fn in_blocks<E: Engine>(
    _: &E,
    count: usize,
    grain: usize,
    block: impl Fn(usize, usize) -> Vec<Residue> + Sync,
) -> Vec<Residue> {
    if count <= E::LANES {
        return if count == 0 { Vec::new() } else { block(0, count) };
    }
    (0..count.div_ceil(E::LANES))
        .into_par_iter()
        .with_min_len(grain)
        .flat_map_iter(|i| block(i * E::LANES, count.min((i + 1) * E::LANES)))
        .collect()
}
