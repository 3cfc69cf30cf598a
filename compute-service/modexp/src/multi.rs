//! Multi-exponentiation with public exponents: Straus' interleaved windows and Pippenger's buckets.

use crate::engine::{Accumulator, Blocks, Engine};
use crate::number::bits;
use crate::ring::Residue;
use num_bigint::BigUint;

/// Which algorithm, with windows of how many bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    Straus(usize),
    Pippenger(usize),
}

impl Plan {
    /// Block multiplications, squarings apart: those are the same for all plans.
    fn cost(self, groups: usize, bits: usize) -> usize {
        match self {
            Plan::Straus(w) => groups * ((1 << w) - 2 + bits.div_ceil(w)),
            Plan::Pippenger(w) => bits.div_ceil(w) * (groups + 2 * ((1 << w) - 1)),
        }
    }

    fn best(groups: usize, bits: usize) -> Plan {
        let straus = (1..=6).map(Plan::Straus);
        let pippenger = (2..=12).map(Plan::Pippenger);
        straus.chain(pippenger).min_by_key(|plan| plan.cost(groups, bits)).expect("there are plans")
    }
}

/// The factors of Π baseᵢ^exponentᵢ, one for each lane in use: lane l has the bases l, l + LANES, ….
pub(crate) fn across_lanes<E: Engine>(engine: &E, bases: &[Residue], exponents: &[BigUint]) -> Vec<Residue> {
    let limbs: Vec<Vec<u64>> = exponents.iter().map(BigUint::to_u64_digits).collect();
    let product = Product {
        engine,
        groups: bases.len().div_ceil(E::LANES),
        bits: longest(exponents),
        load: |group: usize, out: &mut [E::Word]| {
            let from = group * E::LANES;
            engine.load(out, bases[from..bases.len().min(from + E::LANES)].iter());
        },
        window: |group: usize, start: usize, w: usize, index: &mut [usize]| {
            for (lane, index) in index.iter_mut().enumerate() {
                *index = limbs.get(group * E::LANES + lane).map_or(0, |limbs| bits(limbs, start, w) as usize);
            }
        },
    };
    product.compute().residues(bases.len().min(E::LANES))
}

/// Π rowᵢ^exponentᵢ for at most `LANES` rows.
pub(crate) fn rows<E: Engine>(engine: &E, rows: &[&[Residue]], exponents: &[BigUint]) -> Vec<Residue> {
    let limbs: Vec<Vec<u64>> = exponents.iter().map(BigUint::to_u64_digits).collect();
    let product = Product {
        engine,
        groups: exponents.len(),
        bits: longest(exponents),
        load: |group: usize, out: &mut [E::Word]| engine.load(out, rows.iter().map(|row| &row[group])),
        window: |group: usize, start: usize, w: usize, index: &mut [usize]| {
            index.fill(bits(&limbs[group], start, w) as usize);
        },
    };
    product.compute().residues(rows.len())
}

fn longest(exponents: &[BigUint]) -> usize {
    exponents.iter().map(BigUint::bits).max().unwrap_or(0) as usize
}

/// One multi-exponentiation in every lane. `load` fetches a group's bases, `window` the lanes' exponent bits from a
/// position on.
struct Product<'e, E, L, W> {
    engine: &'e E,
    groups: usize,
    bits: usize,
    load: L,
    window: W,
}

impl<'e, E: Engine, L: Fn(usize, &mut [E::Word]), W: Fn(usize, usize, usize, &mut [usize])>
    Product<'e, E, L, W>
{
    fn compute(&self) -> Accumulator<'e, E> {
        match Plan::best(self.groups, self.bits) {
            Plan::Straus(w) => self.straus(w),
            Plan::Pippenger(w) => self.pippenger(w),
        }
    }

    /// A table of 2^w powers for each group; the squarings are shared.
    fn straus(&self, w: usize) -> Accumulator<'e, E> {
        let (engine, width) = (self.engine, self.engine.width());
        let tables: Vec<Blocks<E>> = (0..self.groups)
            .map(|group| {
                let mut table = Blocks::new(engine, 1 << w);
                table.get_mut(0).copy_from_slice(engine.one());
                (self.load)(group, table.get_mut(1));
                for i in 2..1 << w {
                    let (below, out) = table.below(i);
                    engine.mul(out, &below[(i - 1) * width..], &below[width..2 * width]);
                }
                table
            })
            .collect();
        let mut result = Accumulator::one(engine);
        let mut index = vec![0; E::LANES];
        let mut factor = Blocks::new(engine, 1);
        for window in (0..self.bits.div_ceil(w)).rev() {
            result.square(w);
            for (group, table) in tables.iter().enumerate() {
                (self.window)(group, window * w, w, &mut index);
                if index.iter().any(|&i| i != 0) {
                    engine.pick(factor.all_mut(), table.all(), &index);
                    result.mul(factor.all());
                }
            }
        }
        result
    }

    /// For each window, the bases go into buckets by their digit; bucket d then counts d times.
    fn pippenger(&self, w: usize) -> Accumulator<'e, E> {
        let engine = self.engine;
        let mut bases = Blocks::new(engine, self.groups);
        for group in 0..self.groups {
            (self.load)(group, bases.get_mut(group));
        }
        let mut result = Accumulator::one(engine);
        let mut index = vec![0; E::LANES];
        let mut buckets = Blocks::new(engine, 1 << w);
        let (mut old, mut new) = (Blocks::new(engine, 1), Blocks::new(engine, 1));
        for window in (0..self.bits.div_ceil(w)).rev() {
            result.square(w);
            for bucket in 0..1 << w {
                buckets.get_mut(bucket).copy_from_slice(engine.one());
            }
            for group in 0..self.groups {
                (self.window)(group, window * w, w, &mut index);
                if index.iter().any(|&i| i != 0) {
                    engine.pick(old.all_mut(), buckets.all(), &index);
                    engine.mul(new.all_mut(), old.all(), bases.get(group));
                    engine.put(buckets.all_mut(), &index, new.all());
                }
            }
            // Π bucket_d^d as the product of all Π_{d ≥ i} bucket_d, i = 2^w − 1 … 1.
            let mut suffix = Accumulator::one(engine);
            for bucket in (1..1 << w).rev() {
                suffix.mul(buckets.get(bucket));
                result.mul(suffix.get());
            }
        }
        result
    }
}
