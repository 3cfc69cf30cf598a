//! The portable backend: one residue at a time, in digits of 60 bits, without secret-dependent branches or addresses.
//!
//! 60 bits, because a column of 2^8 products of such digits fits into 128 bits: one product is a multiplication and two
//! additions, with no third word to carry into. As in the vector backend, `W` columns are summed at a time and stay in
//! registers, and with four bits to spare nothing needs to be reduced below 2N.

use crate::engine::Engine;
use crate::ring::Residue;

/// Bits of a digit.
pub(crate) const RADIX: u32 = 60;
const MASK: u64 = (1 << RADIX) - 1;

/// Columns in a block; digit counts are multiples of it.
const W: usize = 4;

/// Digits of the longest modulus. A column gets at most 3·72 < 2^8 products.
const MAX_DIGITS: usize = digit_count(crate::MAX_BITS);

/// Digits for a modulus of `bits` bits, at least four bits to spare.
pub(crate) const fn digit_count(bits: u64) -> usize {
    ((bits + 4).div_ceil(RADIX as u64) as usize).next_multiple_of(W)
}

/// Sums of columns `k..k + W` of a number.
struct Columns([u128; W]);

impl Columns {
    #[inline(always)]
    fn add_product(&mut self, c: usize, x: u64, y: u64) {
        self.0[c] = self.0[c].wrapping_add(u128::from(x) * u128::from(y));
    }

    /// Adds Σ xᵢ·b[i + W − 1 − c] to each column c, where b is a part of a number's digits backwards.
    #[inline(always)]
    fn rows(&mut self, x: &[u64], b: &[u64]) {
        let [mut s0, mut s1, mut s2, mut s3] = self.0;
        for (&x, b) in x.iter().zip(b.windows(W)) {
            // In this order of the operands the compiler adds to the sums in place.
            let x = u128::from(x);
            s0 = (x * u128::from(b[3])).wrapping_add(s0);
            s1 = (x * u128::from(b[2])).wrapping_add(s1);
            s2 = (x * u128::from(b[1])).wrapping_add(s2);
            s3 = (x * u128::from(b[0])).wrapping_add(s3);
        }
        self.0 = [s0, s1, s2, s3];
    }

    /// Adds all aᵢ·bⱼ with i + j in these columns and i < k, or above the middle with i ≥ k + W − d.
    #[inline(always)]
    fn long_rows(&mut self, a: &[u64], b: &Both, d: usize, k: usize) {
        if k < d {
            self.rows(&a[..k], &b.back[d - W - k..d])
        } else {
            self.rows(&a[k + W - d..d], &b.back[..d])
        }
    }

    /// Adds aᵢ·bⱼ with i + j in these columns and i ≥ k: what [`long_rows`](Self::long_rows) leaves of a column in the
    /// lower half.
    #[inline(always)]
    fn lower_triangle(&mut self, a: &[u64], b: &[u64], k: usize) {
        let (a, b) = (window(a, k), window(b, 0));
        for r in 0..W {
            for c in r..W {
                self.add_product(c, a[r], b[c - r]);
            }
        }
    }

    /// Adds aᵢ·bⱼ with i + j in these columns and i < k + W − d: the same in the upper half.
    #[inline(always)]
    fn upper_triangle(&mut self, a: &[u64], b: &[u64], d: usize, k: usize) {
        let (a, b) = (window(a, k - d), window(b, d - W));
        for r in 1..W {
            for c in 0..r {
                self.add_product(c, a[r], b[W - r + c]);
            }
        }
    }

    /// Adds all aᵢ·aⱼ with i < j and i + j in these columns.
    #[inline(always)]
    fn cross_products(&mut self, a: &Both, d: usize, k: usize) {
        let (a, back, half) = (&a.digits, &a.back, k / 2);
        if k < d {
            self.rows(&a[..half], &back[d - W - k..d]);
        } else if k + W < 2 * d {
            self.upper_triangle(a, a, d, k);
            self.rows(&a[k + W - d..half], &back[..d]);
        } else {
            let a = window(a, d - W);
            self.add_product(0, a[1], a[3]);
            self.add_product(1, a[2], a[3]);
            return;
        }
        let middle = window(a, half);
        for r in 0..W / 2 {
            for c in 2 * r + 1..W {
                self.add_product(c, middle[r], middle[c - r]);
            }
        }
    }

    /// Adds the given products and reduces (Montgomery): in the lower half makes the quotient digits `m[k..k + W]` that
    /// turn the columns to zero, in the upper half writes `out[k − d..k − d + W]`. Takes
    /// and returns the carry. It is added last, and the newest quotients are used last: until then the processor can work
    /// on these columns while those are on their way.
    #[inline(always)]
    fn reduce<const P: usize>(
        &mut self,
        out: &mut [u64],
        m: &mut [u64],
        products: [(&[u64], &Both); P],
        modulus: &Reducer,
        k: usize,
        mut carry: u128,
    ) -> u128 {
        let Reducer { n, n0, d } = modulus;
        for (a, b) in products {
            self.long_rows(a, b, *d, k);
            if k < *d {
                self.lower_triangle(a, &b.digits, k)
            } else {
                self.upper_triangle(a, &b.digits, *d, k)
            }
        }
        self.long_rows(m, n, *d, k);
        if k < *d {
            let n = window(&n.digits, 0);
            for r in 0..W {
                self.0[r] = self.0[r].wrapping_add(carry);
                let q = (self.0[r] as u64).wrapping_mul(*n0) & MASK;
                m[k + r] = q;
                for c in r..W {
                    self.add_product(c, q, n[c - r]);
                }
                carry = self.0[r] >> RADIX;
            }
        } else {
            self.upper_triangle(m, &n.digits, *d, k);
            for (sum, out) in self.0.iter().zip(&mut out[k - d..]) {
                let sum = sum.wrapping_add(carry);
                *out = sum as u64 & MASK;
                carry = sum >> RADIX;
            }
        }
        carry
    }
}

/// `W` digits from a position on.
#[inline(always)]
fn window(x: &[u64], from: usize) -> &[u64; W] {
    x[from..].first_chunk().expect("W digits follow each position that is used")
}

/// An odd N and −N⁻¹ modulo 2^60; R = 2^(60·digits) ≥ 16N.
#[derive(Debug)]
struct Reducer {
    n: Both,
    n0: u64,
    /// Digits of N.
    d: usize,
}

impl Reducer {
    fn new(n: Vec<u64>) -> Self {
        assert!(n.len().is_multiple_of(W) && n.len() <= MAX_DIGITS);
        let n0 = crate::number::neg_inverse(n[0]) & MASK;
        Reducer { n: Both::of(&n), n0, d: n.len() }
    }

    /// `out` = (Σ aᵢ·bᵢ + init)/R mod N below 2N, and the quotient digits `m`; one or two products, and `init` is optional.
    #[inline(always)]
    fn multiply<const P: usize>(
        &self,
        out: &mut [u64],
        m: &mut [u64],
        products: [(&[u64], &Both); P],
        init: Option<&[u64]>,
    ) {
        let d = self.d;
        let mut carry = 0;
        for k in (0..2 * d).step_by(W) {
            let mut columns = Columns([0; W]);
            if let Some(init) = init.filter(|_| k < d) {
                for (sum, &x) in columns.0.iter_mut().zip(window(init, k)) {
                    *sum += u128::from(x);
                }
            }
            carry = columns.reduce(out, m, products, self, k, carry);
        }
    }

    /// `out` = a²/R mod N below 2N, and the quotient digits `m`.
    #[inline(always)]
    fn square(&self, out: &mut [u64], m: &mut [u64], a: &Both) {
        let d = self.d;
        let mut carry = 0;
        for k in (0..2 * d).step_by(W) {
            let mut columns = Columns([0; W]);
            columns.cross_products(a, d, k);
            for sum in &mut columns.0 {
                *sum <<= 1;
            }
            for c in (0..W).step_by(2) {
                let x = a.digits[(k + c) / 2];
                columns.add_product(c, x, x);
            }
            carry = columns.reduce(out, m, [], self, k, carry);
        }
    }
}

/// A number's digits from the lowest on, and from the highest on: a column pairs the one order with the other, and slices that
/// run the same way need no bounds checks.
#[derive(Debug)]
struct Both {
    digits: [u64; MAX_DIGITS],
    back: [u64; MAX_DIGITS],
}

impl Both {
    #[inline(always)]
    fn of(x: &[u64]) -> Self {
        let mut both = Both { digits: zeros(), back: zeros() };
        both.digits[..x.len()].copy_from_slice(x);
        for (back, &digit) in both.back.iter_mut().zip(x.iter().rev()) {
            *back = digit;
        }
        both
    }
}

fn zeros() -> [u64; MAX_DIGITS] {
    [0; MAX_DIGITS]
}

/// Table access for blocks of one lane.
macro_rules! scalar_blocks {
    () => {
        const LANES: usize = 1;
        const LANE_WINDOW: usize = 6;
        const SHARED_WINDOW: usize = 5;
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
            let mut masks = [0; 1 << 6];
            for (i, mask) in (0u64..).zip(&mut masks) {
                // All ones where i is the index, else zero. The compiler must not know that it is one of the two: it
                // would make a branch of it, whose prediction shows in the time.
                let difference = i ^ index[0];
                *mask =
                    std::hint::black_box(((difference | difference.wrapping_neg()) >> 63).wrapping_sub(1));
            }
            let width = out.len();
            for (tile, out) in out.as_chunks_mut::<W>().0.iter_mut().enumerate() {
                let mut sum = [0; W];
                for (block, mask) in table.chunks_exact(width).zip(masks) {
                    for (sum, x) in sum.iter_mut().zip(window(block, W * tile)) {
                        *sum |= x & mask;
                    }
                }
                *out = sum;
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

/// Modulo N: a residue is x·R mod N, below 2N.
#[derive(Debug)]
pub(crate) struct Single {
    reducer: Reducer,
    one: Vec<u64>,
}

impl Single {
    /// `one` is R mod N.
    pub(crate) fn new(n: Vec<u64>, one: Vec<u64>) -> Self {
        Single { reducer: Reducer::new(n), one }
    }
}

impl Engine for Single {
    scalar_blocks!();

    fn mul(&self, out: &mut [u64], a: &[u64], b: &[u64]) {
        self.reducer.multiply(out, &mut zeros(), [(a, &Both::of(b))], None);
    }

    fn square(&self, out: &mut [u64], a: &[u64]) {
        self.reducer.square(out, &mut zeros(), &Both::of(a));
    }
}

/// Modulo N²: x·R = x₀ + x₁·N modulo N², both parts below 2N.
///
/// From a₀b₀ + m·N = R·c₀ follows ab ≡ R·(c₀ + c₁·N) with c₁ = (a₀b₁ + a₁b₀ − m)/R mod N: five products of half the
/// size for a multiplication, three and a half for a squaring. Instead of −m, which is negative, the non-negative
/// (R − 1 − m) + (1 − R mod N) is added.
#[derive(Debug)]
pub(crate) struct Dual {
    reducer: Reducer,
    one_minus_r: Vec<u64>,
    one: Vec<u64>,
}

impl Dual {
    /// `one` is R mod N² in two parts, `one_minus_r` is 1 − R mod N.
    pub(crate) fn new(n: Vec<u64>, one: Vec<u64>, one_minus_r: Vec<u64>) -> Self {
        Dual { reducer: Reducer::new(n), one_minus_r, one }
    }

    /// Turns the quotient digits of the low part into what stands for −m in the high part, digits below 2^61.
    #[inline(always)]
    fn negate(&self, m: &mut [u64]) {
        for (m, &constant) in m.iter_mut().zip(&self.one_minus_r) {
            *m = (MASK - *m) + constant;
        }
    }
}

impl Engine for Dual {
    scalar_blocks!();

    fn mul(&self, out: &mut [u64], a: &[u64], b: &[u64]) {
        let d = self.reducer.d;
        let ((a0, a1), (b0, b1), (c0, c1)) = (a.split_at(d), b.split_at(d), out.split_at_mut(d));
        let (b0, b1, mut m, mut m1) = (Both::of(b0), Both::of(b1), zeros(), zeros());
        self.reducer.multiply(c0, &mut m, [(a0, &b0)], None);
        self.negate(&mut m);
        self.reducer.multiply(c1, &mut m1, [(a0, &b1), (a1, &b0)], Some(&m));
    }

    fn square(&self, out: &mut [u64], a: &[u64]) {
        let d = self.reducer.d;
        let ((a0, a1), (c0, c1)) = (a.split_at(d), out.split_at_mut(d));
        let (a0, mut m, mut m1, mut twice) = (Both::of(a0), zeros(), zeros(), zeros());
        self.reducer.square(c0, &mut m, &a0);
        self.negate(&mut m);
        // a₀b₁ + a₁b₀ = a₀·(2a₁), with the carries of 2a₁ < 4N < R passed on.
        let mut carry = 0;
        for (twice, &x) in twice.iter_mut().zip(a1) {
            (*twice, carry) = ((x << 1 | carry) & MASK, x >> (RADIX - 1));
        }
        self.reducer.multiply(c1, &mut m1, [(&twice, &a0)], Some(&m));
    }
}
