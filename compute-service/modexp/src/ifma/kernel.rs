//! Products and Montgomery reductions, column by column.
//!
//! Numbers are D digits of 52 bits in 64-bit lanes. A product is computed in blocks of `W` columns that stay in registers
//! while all digit products of those columns are added: `vpmadd52luq` adds the low half of a digit product to its
//! column, `vpmadd52huq` the high half to the next. A lane overflows after 2^12 additions; a column gets at most
//! 2·3·80 + 3 of them.
//!
//! No branch and no address depends on digits.

use super::{MAX_DIGITS, Moduli, RADIX, Word};
use std::arch::x86_64::*;
use std::mem::MaybeUninit;

type V = __m512i;

/// Columns in a block: `WIDE` divides all digit counts but the smallest, which is `NARROW`. Both are even.
pub(super) const WIDE: usize = 10;
pub(super) const NARROW: usize = 6;

/// Digits as the kernel reads and writes them.
type In = *const V;
type Out = *mut V;

/// A block of column sums, and what overflows to the right of it.
struct Columns<const W: usize> {
    sum: [V; W],
    above: V,
}

impl<const W: usize> Columns<W> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn zero() -> Self {
        Columns { sum: [_mm512_setzero_si512(); W], above: _mm512_setzero_si512() }
    }

    /// Adds x·y at column `c` of the block.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn add_product(&mut self, c: usize, x: V, y: V) {
        self.sum[c] = _mm512_madd52lo_epu64(self.sum[c], x, y);
        if c + 1 < W {
            self.sum[c + 1] = _mm512_madd52hi_epu64(self.sum[c + 1], x, y);
        } else {
            self.above = _mm512_madd52hi_epu64(self.above, x, y);
        }
    }

    /// Adds x·b[c] for the columns `first..=last`.
    ///
    /// SAFETY: `b[first..=last]` must be readable.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    unsafe fn row(&mut self, x: V, b: In, first: usize, last: usize) {
        for c in first..=last {
            // SAFETY: the caller's promise.
            let y = unsafe { *b.wrapping_add(c) };
            self.add_product(c, x, y);
        }
    }

    /// Adds x₀·b[c] + x₁·b[c − 1] for all columns: two rows with one load of b.
    ///
    /// SAFETY: `b[-1..W]` must be readable.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    unsafe fn two_rows(&mut self, x0: V, x1: V, b: In) {
        // SAFETY: the caller's promise.
        let mut y = unsafe { *b.wrapping_sub(1) };
        for c in 0..W {
            self.add_product(c, x1, y);
            // SAFETY: the caller's promise.
            y = unsafe { *b.wrapping_add(c) };
            self.add_product(c, x0, y);
        }
    }

    /// Adds aᵢ·bⱼ for i in `from..to` and all j with i + j in columns `k..k + W`.
    ///
    /// SAFETY: `a[from..to]` must be readable, and `b[k − i..k − i + W]` for every such i.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    unsafe fn rows(&mut self, a: In, b: In, k: usize, from: usize, to: usize) {
        let mut i = from;
        // SAFETY: the caller's promise; two rows read from the second row's first digit to the first row's last.
        unsafe {
            while i + 2 <= to {
                self.two_rows(*a.add(i), *a.add(i + 1), b.wrapping_add(k).wrapping_sub(i));
                i += 2;
            }
            if i < to {
                self.row(*a.add(i), b.wrapping_add(k).wrapping_sub(i), 0, W - 1);
            }
        }
    }

    /// Adds all aᵢ·bⱼ with i + j in columns `k..k + W`.
    ///
    /// SAFETY: a and b must have `d` readable digits; W divides d and k, and k < 2d.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    unsafe fn product(&mut self, a: In, b: In, d: usize, k: usize) {
        // SAFETY: all digits are below d: with i ≤ k + r, j = k + c − i runs from r − r = 0; above the middle i
        // starts at k + 1 − d + r, where j = d − 1 at most.
        unsafe {
            if k < d {
                self.rows(a, b, k, 0, k + 1);
                for r in 1..W {
                    self.row(*a.add(k + r), b.wrapping_sub(r), r, W - 1);
                }
            } else {
                for r in 0..W - 1 {
                    self.row(*a.add(k + 1 - d + r), b.wrapping_add(d - 1).wrapping_sub(r), 0, r);
                }
                self.rows(a, b, k, k + W - d, d);
            }
        }
    }

    /// Adds all aᵢ·aⱼ with i < j and i + j in columns `k..k + W`.
    ///
    /// SAFETY: as `product`; W is even.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    unsafe fn cross_products(&mut self, a: In, d: usize, k: usize) {
        let half = k / 2;
        // SAFETY: i < half or i = half + r with columns from 2r + 1 on, so j > i; j < d as in `product`.
        unsafe {
            if k < d {
                self.rows(a, a, k, 0, half);
            } else if k + W < 2 * d {
                for r in 0..W - 1 {
                    self.row(*a.add(k + 1 - d + r), a.wrapping_add(d - 1).wrapping_sub(r), 0, r);
                }
                self.rows(a, a, k, k + W - d, half);
            } else {
                // The last block: i from d + 1 − W on, in columns up to r, and j > i.
                for r in 0..W - 1 {
                    let first = (2 * r + 3).saturating_sub(W);
                    if first <= r {
                        self.row(*a.add(k + 1 - d + r), a.wrapping_add(d - 1).wrapping_sub(r), first, r);
                    }
                }
                return;
            }
            for r in 0..W / 2 {
                self.row(*a.add(half + r), a.wrapping_add(k).wrapping_sub(half + r), 2 * r + 1, W - 1);
            }
        }
    }

    /// Adds the carry of column `c` to the next one.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn carry(&mut self, c: usize) {
        let carry = _mm512_srli_epi64::<RADIX>(self.sum[c]);
        if c + 1 < W {
            self.sum[c + 1] = _mm512_add_epi64(self.sum[c + 1], carry);
        } else {
            self.above = _mm512_add_epi64(self.above, carry);
        }
    }

    /// Montgomery reduction of these columns, `k..k + W` of the number: in the lower half makes the quotient digits
    /// `m[k..k + W]` that turn the columns to zero, in the upper half writes `out[k − d..k − d + W]`.
    ///
    /// SAFETY: `n` must have `d` readable digits, `m` and `out` `d` writable ones, `m` with the digits of the blocks
    /// before; W divides d and k, and k < 2d.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    unsafe fn reduce(&mut self, out: Out, m: Out, n: In, n0: V, d: usize, k: usize) {
        let mask = _mm512_set1_epi64((1 << RADIX) - 1);
        // SAFETY: as in `product`; of m only digits below k, or those just written, are read.
        unsafe {
            if k < d {
                self.rows(m, n, k, 0, k);
                for r in 0..W {
                    let zero = _mm512_setzero_si512();
                    let q = _mm512_and_si512(_mm512_madd52lo_epu64(zero, self.sum[r], n0), mask);
                    *m.add(k + r) = q;
                    self.row(q, n.wrapping_sub(r), r, W - 1);
                    self.carry(r);
                }
            } else {
                self.product(m, n, d, k);
                for r in 0..W {
                    *out.add(k - d + r) = _mm512_and_si512(self.sum[r], mask);
                    self.carry(r);
                }
            }
        }
    }
}

/// `out` = (a·b + a₂·b₂ + init)/R modulo n, and the quotient digits `m`. The second product and `init`, D numbers below
/// 2^54, are optional. For a, b, a₂, b₂ < 2n and n < R/16 the result is below 2n.
///
/// SAFETY: the instructions must exist; all pointers that are used must have `d` digits, `out` and `m` writable and apart
/// from each other and from all others; W divides d.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
unsafe fn multiply<const W: usize>(
    out: Out,
    m: Out,
    (a, b): (In, In),
    second: Option<(In, In)>,
    init: Option<In>,
    n: In,
    n0: V,
    d: usize,
) {
    let mut carry = _mm512_setzero_si512();
    for k in (0..2 * d).step_by(W) {
        let mut columns = Columns::<W>::zero();
        columns.sum[0] = carry;
        // SAFETY: the caller's promise; k + c < d where init is read.
        unsafe {
            if let Some(init) = init
                && k < d
            {
                for c in 0..W {
                    columns.sum[c] = _mm512_add_epi64(columns.sum[c], *init.add(k + c));
                }
            }
            columns.product(a, b, d, k);
            if let Some((a, b)) = second {
                columns.product(a, b, d, k);
            }
            columns.reduce(out, m, n, n0, d, k);
        }
        carry = columns.above;
    }
}

/// `out` = a²/R modulo n, and the quotient digits `m`. Bounds as [`multiply`].
///
/// SAFETY: as [`multiply`]; W is even.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
unsafe fn square<const W: usize>(out: Out, m: Out, a: In, n: In, n0: V, d: usize) {
    let zero = _mm512_setzero_si512();
    let (mut carry, mut cross_carry) = (zero, zero);
    for k in (0..2 * d).step_by(W) {
        let mut columns = Columns::<W>::zero();
        columns.sum[0] = cross_carry;
        // SAFETY: the caller's promise; (k + c)/2 < d.
        unsafe {
            columns.cross_products(a, d, k);
            cross_carry = columns.above;
            columns.above = zero;
            for sum in &mut columns.sum {
                *sum = _mm512_add_epi64(*sum, *sum);
            }
            columns.sum[0] = _mm512_add_epi64(columns.sum[0], carry);
            for c in (0..W).step_by(2) {
                let x = *a.add((k + c) / 2);
                columns.add_product(c, x, x);
            }
            columns.reduce(out, m, n, n0, d, k);
        }
        carry = columns.above;
    }
}

/// Scratch digits; what is read has been written before.
struct Scratch(MaybeUninit<[Word; MAX_DIGITS]>);

impl Scratch {
    #[inline]
    fn new() -> Self {
        Scratch(MaybeUninit::uninit())
    }

    fn digits(&mut self) -> Out {
        self.0.as_mut_ptr().cast()
    }
}

/// Slices as the kernel takes them. `Word` has the size and the alignment of a register.
fn input(digits: &[Word]) -> In {
    digits.as_ptr().cast()
}

fn output(digits: &mut [Word]) -> Out {
    digits.as_mut_ptr().cast()
}

/// Picks the block width for a digit count.
macro_rules! with_width {
    ($digits:expr, $function:ident($($argument:expr),*)) => {
        if $digits == NARROW { $function::<NARROW>($($argument),*) } else { $function::<WIDE>($($argument),*) }
    };
}

/// `out` = a·b/R modulo each lane's n.
pub(super) fn multiply_single(moduli: &Moduli, out: &mut [Word], a: &[Word], b: &[Word]) {
    #[target_feature(enable = "avx512f,avx512ifma")]
    unsafe fn run<const W: usize>(moduli: &Moduli, out: &mut [Word], a: &[Word], b: &[Word]) {
        let mut m = Scratch::new();
        let (n, n0) = (input(&moduli.n), input(std::slice::from_ref(&moduli.n0)));
        // SAFETY: lengths were checked by the caller, `out` is borrowed alone, `m` is ours.
        unsafe { multiply::<W>(output(out), m.digits(), (input(a), input(b)), None, None, n, *n0, out.len()) }
    }
    let d = moduli.digits();
    assert!(out.len() == d && a.len() == d && b.len() == d, "residues of another modulus");
    // SAFETY: `Moduli` exist only where the instructions do; W divides d by the check in `Moduli::new`.
    unsafe { with_width!(d, run(moduli, out, a, b)) }
}

/// `out` = a²/R modulo each lane's n.
pub(super) fn square_single(moduli: &Moduli, out: &mut [Word], a: &[Word]) {
    #[target_feature(enable = "avx512f,avx512ifma")]
    unsafe fn run<const W: usize>(moduli: &Moduli, out: &mut [Word], a: &[Word]) {
        let mut m = Scratch::new();
        let (n, n0) = (input(&moduli.n), input(std::slice::from_ref(&moduli.n0)));
        // SAFETY: as in `multiply_single`.
        unsafe { square::<W>(output(out), m.digits(), input(a), n, *n0, out.len()) }
    }
    let d = moduli.digits();
    assert!(out.len() == d && a.len() == d, "residues of another modulus");
    // SAFETY: as in `multiply_single`.
    unsafe { with_width!(d, run(moduli, out, a)) }
}

/// (R − 1 − m) + (1 − R mod N), digit by digit: what stands for −m·R⁰ in the high part. Digits below 2^53.
///
/// SAFETY: `d` digits of `m` are readable, `d` of `init` writable, and `d` ≤ `one_minus_r.len()`.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
unsafe fn minus_quotient(init: Out, m: In, one_minus_r: &[Word], d: usize) {
    let mask = _mm512_set1_epi64((1 << RADIX) - 1);
    for i in 0..d {
        // SAFETY: the caller's promise.
        unsafe {
            let complement = _mm512_sub_epi64(mask, *m.add(i));
            *init.add(i) = _mm512_add_epi64(complement, *input(one_minus_r).add(i));
        }
    }
}

/// `out` = a·b/R modulo N² on pairs of parts; see [`Dual`](super::Dual).
pub(super) fn multiply_dual(moduli: &Moduli, one_minus_r: &[Word], out: &mut [Word], a: &[Word], b: &[Word]) {
    #[target_feature(enable = "avx512f,avx512ifma")]
    unsafe fn run<const W: usize>(
        moduli: &Moduli,
        one_minus_r: &[Word],
        out: &mut [Word],
        a: &[Word],
        b: &[Word],
    ) {
        let d = moduli.digits();
        let (mut m, mut init) = (Scratch::new(), Scratch::new());
        let (a, b, out) = (input(a), input(b), output(out));
        let n = input(&moduli.n);
        // SAFETY: lengths were checked by the caller, so all parts have d digits; `out` is borrowed alone, the
        // scratch is ours.
        unsafe {
            let n0 = *input(std::slice::from_ref(&moduli.n0));
            let (a1, b1) = (a.add(d), b.add(d));
            multiply::<W>(out, m.digits(), (a, b), None, None, n, n0, d);
            minus_quotient(init.digits(), m.digits(), one_minus_r, d);
            let init = Some(init.digits().cast_const());
            multiply::<W>(out.add(d), m.digits(), (a, b1), Some((a1, b)), init, n, n0, d);
        }
    }
    let d = moduli.digits();
    assert!(out.len() == 2 * d && a.len() == 2 * d && b.len() == 2 * d, "residues of another modulus");
    assert!(one_minus_r.len() == d);
    // SAFETY: as in `multiply_single`.
    unsafe { with_width!(d, run(moduli, one_minus_r, out, a, b)) }
}

/// `out` = a²/R modulo N² on pairs of parts; see [`Dual`](super::Dual).
pub(super) fn square_dual(moduli: &Moduli, one_minus_r: &[Word], out: &mut [Word], a: &[Word]) {
    #[target_feature(enable = "avx512f,avx512ifma")]
    unsafe fn run<const W: usize>(moduli: &Moduli, one_minus_r: &[Word], out: &mut [Word], a: &[Word]) {
        let d = moduli.digits();
        let (mut m, mut init, mut twice) = (Scratch::new(), Scratch::new(), Scratch::new());
        let (a, out) = (input(a), output(out));
        let n = input(&moduli.n);
        let mask = _mm512_set1_epi64((1 << RADIX) - 1);
        // SAFETY: as in `multiply_dual`; `twice` has room for d digits.
        unsafe {
            let n0 = *input(std::slice::from_ref(&moduli.n0));
            square::<W>(out, m.digits(), a, n, n0, d);
            minus_quotient(init.digits(), m.digits(), one_minus_r, d);
            // a₀b₁ + a₁b₀ = a₀·(2a₁), with the carries of 2a₁ < 4N < R passed on.
            let mut carry = _mm512_setzero_si512();
            for i in 0..d {
                let x = *a.add(d + i);
                let sum = _mm512_add_epi64(_mm512_add_epi64(x, x), carry);
                *twice.digits().add(i) = _mm512_and_si512(sum, mask);
                carry = _mm512_srli_epi64::<RADIX>(sum);
            }
            let init = Some(init.digits().cast_const());
            multiply::<W>(out.add(d), m.digits(), (a, twice.digits()), None, init, n, n0, d);
        }
    }
    let d = moduli.digits();
    assert!(out.len() == 2 * d && a.len() == 2 * d, "residues of another modulus");
    assert!(one_minus_r.len() == d);
    // SAFETY: as in `multiply_single`.
    unsafe { with_width!(d, run(moduli, one_minus_r, out, a)) }
}
