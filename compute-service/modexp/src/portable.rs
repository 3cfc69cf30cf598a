//! The portable backend: one residue at a time, in 64-bit limbs, without secret-dependent branches or addresses.

use crate::engine::Engine;
use crate::ring::Residue;

/// Montgomery reduction modulo an odd N of `n.len()` limbs, R = 2^(64·limbs), column by column.
#[derive(Debug)]
struct Reducer {
    n: Vec<u64>,
    /// −N⁻¹ modulo 2^64.
    n0: u64,
    /// (1 − R) mod N: see [`Dual`].
    one_minus_r: Vec<u64>,
}

/// A column sum of up to 2^64 products: 192 bits.
#[derive(Clone, Copy, Default)]
struct Column {
    low: u128,
    high: u64,
}

impl Column {
    #[inline(always)]
    fn add(&mut self, x: u128) {
        let (low, carry) = self.low.overflowing_add(x);
        self.low = low;
        self.high += u64::from(carry);
    }

    /// Σ aᵢ·bᵢ₋, the second slice read backwards.
    #[inline(always)]
    fn add_products(&mut self, a: &[u64], b: &[u64]) {
        for (&x, &y) in a.iter().zip(b.iter().rev()) {
            self.add(u128::from(x) * u128::from(y));
        }
    }

    #[inline(always)]
    fn double(&mut self) {
        self.high = self.high << 1 | (self.low >> 127) as u64;
        self.low <<= 1;
    }

    /// Takes the lowest limb off.
    #[inline(always)]
    fn shift(&mut self) -> u64 {
        let limb = self.low as u64;
        self.low = self.low >> 64 | u128::from(self.high) << 64;
        self.high = 0;
        limb
    }
}

/// All aᵢ·bⱼ with i + j = k.
#[inline(always)]
fn column_of(sum: &mut Column, a: &[u64], b: &[u64], k: usize) {
    let limbs = a.len();
    if k < limbs {
        sum.add_products(&a[..=k], &b[..=k]);
    } else {
        sum.add_products(&a[k + 1 - limbs..], &b[k + 1 - limbs..]);
    }
}

impl Reducer {
    fn new(n: Vec<u64>, one_minus_r: Vec<u64>) -> Self {
        let n0 = crate::number::neg_inverse(n[0]);
        Reducer { n, n0, one_minus_r }
    }

    /// Writes (Σ columns)/R mod N to `out`, the quotient digits to `m`, and returns the carry above `out`.
    /// `column(k, sum)` adds column k of the number to be reduced.
    #[inline(always)]
    fn reduce(&self, out: &mut [u64], m: &mut [u64], mut column: impl FnMut(usize, &mut Column)) -> u64 {
        let limbs = self.n.len();
        let mut sum = Column::default();
        for k in 0..limbs {
            column(k, &mut sum);
            sum.add_products(&m[..k], &self.n[1..=k]);
            let q = (sum.low as u64).wrapping_mul(self.n0);
            m[k] = q;
            sum.add(u128::from(q) * u128::from(self.n[0]));
            sum.shift();
        }
        for k in limbs..2 * limbs {
            column(k, &mut sum);
            sum.add_products(&m[k + 1 - limbs..], &self.n[k + 1 - limbs..]);
            out[k - limbs] = sum.shift();
        }
        sum.low as u64
    }

    /// Subtracts N once if x + carry·R ≥ N; returns what is left of the carry and whether N was subtracted.
    #[inline(always)]
    fn subtract_once(&self, x: &mut [u64], carry: u64) -> (u64, u64) {
        let mut borrow = false;
        for (&x, &n) in x.iter().zip(&self.n) {
            borrow = x.borrowing(n, borrow).1;
        }
        // x < N exactly if the subtraction borrows more than there is above.
        let subtract = 1 - (u64::from(borrow) & u64::from(carry == 0));
        let mask = 0u64.wrapping_sub(std::hint::black_box(subtract));
        let mut borrow = false;
        for (x, &n) in x.iter_mut().zip(&self.n) {
            (*x, borrow) = x.borrowing(n & mask, borrow);
        }
        (carry.wrapping_sub(u64::from(borrow)), subtract)
    }
}

/// Subtraction and addition with a carry, as the processor has them.
trait Carrying: Sized {
    fn borrowing(self, rhs: Self, borrow: bool) -> (Self, bool);
}

impl Carrying for u64 {
    #[inline(always)]
    fn borrowing(self, rhs: u64, borrow: bool) -> (u64, bool) {
        let (x, b1) = self.overflowing_sub(rhs);
        let (x, b2) = x.overflowing_sub(u64::from(borrow));
        (x, b1 | b2)
    }
}

/// Columns of a²: cross products once, doubled.
#[inline(always)]
fn column_of_square(sum: &mut Column, a: &[u64], k: usize) {
    let first = (k + 1).saturating_sub(a.len());
    // i from `first` on, as long as i < k − i
    let pairs = k.div_ceil(2) - first;
    let mut cross = Column::default();
    cross.add_products(&a[first..first + pairs], &a[k + 1 - first - pairs..=k - first]);
    cross.double();
    if k.is_multiple_of(2) {
        let x = u128::from(a[k / 2]);
        cross.add(x * x);
    }
    sum.add(cross.low);
    sum.high += cross.high;
}

/// Runs `body` with scratch memory of `limbs` words, on the stack: the largest modulus has 64 limbs.
#[inline(always)]
fn with_scratch<T>(limbs: usize, body: impl FnOnce(&mut [u64]) -> T) -> T {
    let mut scratch = [0u64; crate::MAX_BITS as usize / 64];
    body(&mut scratch[..limbs])
}

/// Table access for blocks of one lane.
macro_rules! scalar_blocks {
    () => {
        const LANES: usize = 1;
        type Word = u64;

        fn zero(&self) -> u64 {
            0
        }

        fn one(&self) -> &[u64] {
            &self.one
        }

        fn width(&self) -> usize {
            self.one.len()
        }

        fn load<'a>(&self, out: &mut [u64], mut lanes: impl Iterator<Item = &'a Residue>) {
            match lanes.next() {
                Some(residue) => out.copy_from_slice(residue.digits()),
                None => out.fill(0),
            }
        }

        fn store(&self, block: &[u64], _lane: usize) -> Residue {
            Residue::from_digits(block.to_vec())
        }

        fn select(&self, out: &mut [u64], table: &[u64], index: &[u64]) {
            out.fill(0);
            for (i, block) in (0u64..).zip(table.chunks_exact(out.len())) {
                // All ones where i is the index, computed without a branch.
                let difference = std::hint::black_box(i ^ index[0]);
                let mask = ((difference | difference.wrapping_neg()) >> 63).wrapping_sub(1);
                for (o, &x) in out.iter_mut().zip(block) {
                    *o |= x & mask;
                }
            }
        }

        fn share(&self, entries: &[Residue]) -> Vec<u64> {
            entries.iter().flat_map(|entry| entry.digits()).copied().collect()
        }

        fn select_shared(&self, out: &mut [u64], table: &[u64], _entries: usize, index: &[u64]) {
            self.select(out, table, index);
        }

        fn pick(&self, out: &mut [u64], table: &[u64], index: &[usize]) {
            out.copy_from_slice(&table[index[0] * out.len()..][..out.len()]);
        }

        fn put(&self, table: &mut [u64], index: &[usize], block: &[u64]) {
            table[index[0] * block.len()..][..block.len()].copy_from_slice(block);
        }
    };
}

/// Modulo N: a residue is x·R mod N, below N.
#[derive(Debug)]
pub(crate) struct Single {
    reducer: Reducer,
    one: Vec<u64>,
}

impl Single {
    /// `one` is R mod N.
    pub(crate) fn new(n: Vec<u64>, one: Vec<u64>) -> Self {
        Single { reducer: Reducer::new(n, Vec::new()), one }
    }

    #[inline(always)]
    fn finish(&self, out: &mut [u64], column: impl FnMut(usize, &mut Column)) {
        with_scratch(out.len(), |m| {
            let carry = self.reducer.reduce(out, m, column);
            self.reducer.subtract_once(out, carry);
        });
    }
}

impl Engine for Single {
    scalar_blocks!();

    fn mul(&self, out: &mut [u64], a: &[u64], b: &[u64]) {
        self.finish(out, |k, sum| column_of(sum, a, b, k));
    }

    fn square(&self, out: &mut [u64], a: &[u64]) {
        self.finish(out, |k, sum| column_of_square(sum, a, k));
    }
}

/// Modulo N²: x·R mod N² = x₀ + x₁·N, with x₀ < N and x₁ ≤ N.
///
/// From a₀b₀ + m·N = R·c₀ follows ab ≡ R·(c₀ + c₁·N) with c₁ = (a₀b₁ + a₁b₀ − m)/R mod N: five products of half the
/// size for a multiplication, three and a half for a squaring. Instead of −m, which is negative, the non-negative
/// (R − 1 − m) + (1 − R mod N) is added. When N is subtracted from c₀, 1 is added to c₁.
#[derive(Debug)]
pub(crate) struct Dual {
    reducer: Reducer,
    one: Vec<u64>,
}

impl Dual {
    /// `one` is R mod N² in two parts, `one_minus_r` is 1 − R mod N.
    pub(crate) fn new(n: Vec<u64>, one: Vec<u64>, one_minus_r: Vec<u64>) -> Self {
        Dual { reducer: Reducer::new(n, one_minus_r), one }
    }

    #[inline(always)]
    fn finish(
        &self,
        out: &mut [u64],
        low: impl FnMut(usize, &mut Column),
        mut high: impl FnMut(usize, &mut Column),
    ) {
        let limbs = self.reducer.n.len();
        let (c0, c1) = out.split_at_mut(limbs);
        with_scratch(limbs, |m| {
            let carry = self.reducer.reduce(c0, m, low);
            let (_, subtracted) = self.reducer.subtract_once(c0, carry);
            with_scratch(limbs, |m1| {
                let constant = &self.reducer.one_minus_r;
                let mut carry = self.reducer.reduce(c1, m1, |k, sum| {
                    if k < limbs {
                        sum.add(u128::from(!m[k]) + u128::from(constant[k]));
                    }
                    high(k, sum);
                });
                let mut add = subtracted;
                for x in c1.iter_mut() {
                    let (sum, overflow) = x.overflowing_add(add);
                    *x = sum;
                    add = u64::from(overflow);
                }
                carry += add;
                // At most 3N: (2(N−1)² + R + N + R·N)/R + 1 with N < R.
                let (carry, _) = self.reducer.subtract_once(c1, carry);
                self.reducer.subtract_once(c1, carry);
            });
        });
    }
}

impl Engine for Dual {
    scalar_blocks!();

    fn mul(&self, out: &mut [u64], a: &[u64], b: &[u64]) {
        let (a0, a1) = a.split_at(a.len() / 2);
        let (b0, b1) = b.split_at(b.len() / 2);
        self.finish(
            out,
            |k, sum| column_of(sum, a0, b0, k),
            |k, sum| {
                column_of(sum, a0, b1, k);
                column_of(sum, a1, b0, k);
            },
        );
    }

    fn square(&self, out: &mut [u64], a: &[u64]) {
        let (a0, a1) = a.split_at(a.len() / 2);
        self.finish(
            out,
            |k, sum| column_of_square(sum, a0, k),
            |k, sum| {
                let mut cross = Column::default();
                column_of(&mut cross, a0, a1, k);
                cross.double();
                sum.add(cross.low);
                sum.high += cross.high;
            },
        );
    }
}
