//! Products and Montgomery reductions, column by column: what the scalar and the AVX2 backend have in common.
//!
//! As in the AVX-512 backend, `W` columns are summed at a time and stay in registers, and with four bits to spare nothing
//! needs to be reduced below 2N. No branch and no address depends on digits.

/// A digit, of one residue or of each of some residues side by side, and sums of products of digits.
///
/// All functions are always inlined into ones that have the instructions for them. 3·d products of two digits and a few
/// digits more must fit into a sum, for numbers of up to d digits.
pub(crate) trait Digit: Copy + Default {
    /// A sum of products; zero by default.
    type Sum: Copy + Default;

    /// sum + x·y.
    fn add_product(sum: Self::Sum, x: Self, y: Self) -> Self::Sum;
    /// x + y.
    fn add(x: Self::Sum, y: Self::Sum) -> Self::Sum;
    /// The digit as a sum.
    fn widen(self) -> Self::Sum;
    /// The lowest digit of a sum.
    fn low(sum: Self::Sum) -> Self;
    /// What is above its lowest digit.
    fn high(sum: Self::Sum) -> Self::Sum;
    /// The lowest digit of sum·n0.
    fn quotient(sum: Self::Sum, n0: Self) -> Self;
    /// 2^bits − 1 − self + constant, which may be one bit longer than a digit.
    fn complement_plus(self, constant: Self) -> Self;
    /// The digit and the carry of 2·self + carry.
    fn twice(self, carry: Self) -> (Self, Self);
}

/// Columns in a block; digit counts are multiples of it.
pub(crate) const W: usize = 4;

/// Sums of columns `k..k + W` of a number.
struct Columns<D: Digit>([D::Sum; W]);

impl<D: Digit> Columns<D> {
    #[inline(always)]
    fn add_product(&mut self, c: usize, x: D, y: D) {
        self.0[c] = D::add_product(self.0[c], x, y);
    }

    /// Adds Σ xᵢ·b[i + W − 1 − c] to each column c, where b is a part of a number's digits backwards.
    #[inline(always)]
    fn rows(&mut self, x: &[D], b: &[D]) {
        let [mut s0, mut s1, mut s2, mut s3] = self.0;
        for (&x, b) in x.iter().zip(b.windows(W)) {
            s0 = D::add_product(s0, x, b[3]);
            s1 = D::add_product(s1, x, b[2]);
            s2 = D::add_product(s2, x, b[1]);
            s3 = D::add_product(s3, x, b[0]);
        }
        self.0 = [s0, s1, s2, s3];
    }

    /// Adds all aᵢ·bⱼ with i + j in these columns and i < k, or above the middle with i ≥ k + W − d.
    #[inline(always)]
    fn long_rows<const MAX: usize>(&mut self, a: &[D], b: &Both<D, MAX>, d: usize, k: usize) {
        if k < d {
            self.rows(&a[..k], &b.back[d - W - k..d])
        } else {
            self.rows(&a[k + W - d..d], &b.back[..d])
        }
    }

    /// Adds aᵢ·bⱼ with i + j in these columns and i ≥ k: what [`long_rows`](Self::long_rows) leaves of a column in the
    /// lower half.
    #[inline(always)]
    fn lower_triangle(&mut self, a: &[D], b: &[D], k: usize) {
        let (a, b) = (window(a, k), window(b, 0));
        for r in 0..W {
            for c in r..W {
                self.add_product(c, a[r], b[c - r]);
            }
        }
    }

    /// Adds aᵢ·bⱼ with i + j in these columns and i < k + W − d: the same in the upper half.
    #[inline(always)]
    fn upper_triangle(&mut self, a: &[D], b: &[D], d: usize, k: usize) {
        let (a, b) = (window(a, k - d), window(b, d - W));
        for r in 1..W {
            for c in 0..r {
                self.add_product(c, a[r], b[W - r + c]);
            }
        }
    }

    /// Adds all aᵢ·aⱼ with i < j and i + j in these columns.
    #[inline(always)]
    fn cross_products<const MAX: usize>(&mut self, a: &Both<D, MAX>, d: usize, k: usize) {
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
    fn reduce<const P: usize, const MAX: usize>(
        &mut self,
        out: &mut [D],
        m: &mut [D],
        products: [(&[D], &Both<D, MAX>); P],
        modulus: &Reducer<D, MAX>,
        k: usize,
        mut carry: D::Sum,
    ) -> D::Sum {
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
                self.0[r] = D::add(self.0[r], carry);
                let q = D::quotient(self.0[r], *n0);
                m[k + r] = q;
                for c in r..W {
                    self.add_product(c, q, n[c - r]);
                }
                carry = D::high(self.0[r]);
            }
        } else {
            self.upper_triangle(m, &n.digits, *d, k);
            for (&sum, out) in self.0.iter().zip(&mut out[k - d..]) {
                let sum = D::add(sum, carry);
                *out = D::low(sum);
                carry = D::high(sum);
            }
        }
        carry
    }
}

/// `W` digits from a position on.
#[inline(always)]
fn window<D>(x: &[D], from: usize) -> &[D; W] {
    x[from..].first_chunk().expect("W digits follow each position that is used")
}

/// An odd N of at most MAX digits; R = 2^(bits·digits) ≥ 16N.
#[derive(Debug)]
pub(crate) struct Reducer<D, const MAX: usize> {
    n: Both<D, MAX>,
    /// −N⁻¹ modulo a digit.
    n0: D,
    /// Digits of N.
    d: usize,
}

impl<D: Digit, const MAX: usize> Reducer<D, MAX> {
    /// From the digits of N and −N⁻¹ modulo a digit.
    pub(crate) fn new(n: &[D], n0: D) -> Self {
        assert!(n.len().is_multiple_of(W) && n.len() <= MAX);
        Reducer { n: Both::of(n), n0, d: n.len() }
    }

    /// `out` = (Σ aᵢ·bᵢ + init)/R mod N below 2N, and the quotient digits `m`; one or two products, and `init` is optional.
    #[inline(always)]
    fn products<const P: usize>(
        &self,
        out: &mut [D],
        m: &mut [D],
        products: [(&[D], &Both<D, MAX>); P],
        init: Option<&[D]>,
    ) {
        let d = self.d;
        let mut carry = D::Sum::default();
        for k in (0..2 * d).step_by(W) {
            let mut columns = Columns::<D>([D::Sum::default(); W]);
            if let Some(init) = init.filter(|_| k < d) {
                for (sum, &x) in columns.0.iter_mut().zip(window(init, k)) {
                    *sum = D::add(*sum, x.widen());
                }
            }
            carry = columns.reduce(out, m, products, self, k, carry);
        }
    }

    /// `out` = a²/R mod N below 2N, and the quotient digits `m`.
    #[inline(always)]
    fn one_square(&self, out: &mut [D], m: &mut [D], a: &Both<D, MAX>) {
        let d = self.d;
        let mut carry = D::Sum::default();
        for k in (0..2 * d).step_by(W) {
            let mut columns = Columns::<D>([D::Sum::default(); W]);
            columns.cross_products(a, d, k);
            for sum in &mut columns.0 {
                *sum = D::add(*sum, *sum);
            }
            for c in (0..W).step_by(2) {
                let x = a.digits[(k + c) / 2];
                columns.add_product(c, x, x);
            }
            carry = columns.reduce(out, m, [], self, k, carry);
        }
    }

    /// `out` = a·b/R modulo N.
    #[inline(always)]
    pub(crate) fn multiply(&self, out: &mut [D], a: &[D], b: &[D]) {
        self.products(out, &mut zeros::<D, MAX>(), [(a, &Both::of(b))], None);
    }

    /// `out` = a²/R modulo N.
    #[inline(always)]
    pub(crate) fn square(&self, out: &mut [D], a: &[D]) {
        self.one_square(out, &mut zeros::<D, MAX>(), &Both::of(a));
    }

    /// `out` = a·b/R modulo N², of numbers in two parts below 2N. `one_minus_r` is 1 − R mod N.
    ///
    /// From a₀b₀ + m·N = R·c₀ follows ab ≡ R·(c₀ + c₁·N) with c₁ = (a₀b₁ + a₁b₀ − m)/R mod N: five products of half the
    /// size for a multiplication, three and a half for a squaring. Instead of −m, which is negative, the non-negative
    /// (R − 1 − m) + (1 − R mod N) is added.
    #[inline(always)]
    pub(crate) fn multiply_dual(&self, one_minus_r: &[D], out: &mut [D], a: &[D], b: &[D]) {
        let d = self.d;
        let ((a0, a1), (b0, b1), (c0, c1)) = (a.split_at(d), b.split_at(d), out.split_at_mut(d));
        let (b0, b1, mut m, mut m1) = (Both::of(b0), Both::of(b1), zeros::<D, MAX>(), zeros::<D, MAX>());
        self.products(c0, &mut m, [(a0, &b0)], None);
        negate(&mut m, one_minus_r);
        self.products(c1, &mut m1, [(a0, &b1), (a1, &b0)], Some(&m));
    }

    /// `out` = a²/R modulo N², as [`multiply_dual`](Self::multiply_dual).
    #[inline(always)]
    pub(crate) fn square_dual(&self, one_minus_r: &[D], out: &mut [D], a: &[D]) {
        let d = self.d;
        let ((a0, a1), (c0, c1)) = (a.split_at(d), out.split_at_mut(d));
        let a0 = Both::<D, MAX>::of(a0);
        let [mut m, mut m1, mut twice] = [zeros::<D, MAX>(); 3];
        self.one_square(c0, &mut m, &a0);
        negate(&mut m, one_minus_r);
        // a₀b₁ + a₁b₀ = a₀·(2a₁), with the carries of 2a₁ < 4N < R passed on.
        let mut carry = D::default();
        for (twice, &x) in twice.iter_mut().zip(a1) {
            (*twice, carry) = x.twice(carry);
        }
        self.products(c1, &mut m1, [(&twice, &a0)], Some(&m));
    }
}

/// Turns the quotient digits of the low part into what stands for −m in the high part.
#[inline(always)]
fn negate<D: Digit>(m: &mut [D], one_minus_r: &[D]) {
    for (m, &constant) in m.iter_mut().zip(one_minus_r) {
        *m = m.complement_plus(constant);
    }
}

/// A number's digits from the lowest on, and from the highest on: a column pairs the one order with the other, and slices that
/// run the same way need no bounds checks.
#[derive(Debug)]
struct Both<D, const MAX: usize> {
    digits: [D; MAX],
    back: [D; MAX],
}

impl<D: Digit, const MAX: usize> Both<D, MAX> {
    #[inline(always)]
    fn of(x: &[D]) -> Self {
        let mut both = Both { digits: zeros(), back: zeros() };
        both.digits[..x.len()].copy_from_slice(x);
        for (back, &digit) in both.back.iter_mut().zip(x.iter().rev()) {
            *back = digit;
        }
        both
    }
}

#[inline(always)]
fn zeros<D: Digit, const MAX: usize>() -> [D; MAX] {
    [D::default(); MAX]
}
