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

/// What reductions need of a modulus: its digits, −N⁻¹ modulo 2^52, and the number of digits.
#[derive(Clone, Copy)]
struct Modulus {
    n: In,
    n0: V,
    d: usize,
}

impl Modulus {
    #[inline(always)]
    fn of(moduli: &Moduli) -> Self {
        // SAFETY: a word has the size and alignment of a register.
        let n0 = unsafe { *input(std::slice::from_ref(&moduli.n0)) };
        Modulus { n: input(&moduli.n), n0, d: moduli.digits() }
    }
}

/// Runs the body for r = `from`..`to` ≤ 10, without a loop: in triangles, whose inner loops depend on r, the compiler would
/// keep one, and the sums in memory.
macro_rules! unrolled {
    ($r:ident in $from:expr, $to:expr => $body:expr) => {
        unrolled!(@ $r, $from, $to, $body; 0 1 2 3 4 5 6 7 8 9)
    };
    (@ $r:ident, $from:expr, $to:expr, $body:expr; $($value:literal)*) => {$(
        let $r: usize = $value;
        if ($from..$to).contains(&$r) {
            $body
        }
    )*};
}

/// A block of column sums, and what overflows to the right of it.
///
/// Everything here is always inlined into the functions at the end of this file, which have the instructions: only then
/// do the sums stay in registers. `inline(always)` excludes `target_feature`, hence one condition for all of it:
///
/// SAFETY (every function of this block, and the two after it): AVX-512 IFMA exists, and what its own comment says.
struct Columns<const W: usize> {
    sum: [V; W],
    above: V,
}

impl<const W: usize> Columns<W> {
    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the instruction exists.
        let zero = unsafe { _mm512_setzero_si512() };
        Columns { sum: [zero; W], above: zero }
    }

    /// Adds x to column `c`, or to what is above the last.
    #[inline(always)]
    unsafe fn add(&mut self, c: usize, x: V) {
        let sum = if c < W { &mut self.sum[c] } else { &mut self.above };
        // SAFETY: the instruction exists.
        *sum = unsafe { _mm512_add_epi64(*sum, x) };
    }

    /// Adds x·y at column `c`.
    #[inline(always)]
    unsafe fn add_product(&mut self, c: usize, x: V, y: V) {
        // SAFETY: the instructions exist.
        unsafe {
            self.sum[c] = _mm512_madd52lo_epu64(self.sum[c], x, y);
            if c + 1 < W {
                self.sum[c + 1] = _mm512_madd52hi_epu64(self.sum[c + 1], x, y);
            } else {
                self.above = _mm512_madd52hi_epu64(self.above, x, y);
            }
        }
    }

    /// Adds x·b[c] for the columns `from..to`.
    ///
    /// SAFETY: `b[from..to]` is readable.
    #[inline(always)]
    unsafe fn row(&mut self, x: V, b: In, from: usize, to: usize) {
        for c in from..to {
            // SAFETY: the caller's promise.
            unsafe { self.add_product(c, x, *b.wrapping_add(c)) };
        }
    }

    /// Adds x₀·b[c] + x₁·b[c − 1] for all columns: two rows with one load of b.
    ///
    /// SAFETY: `b[-1..W]` is readable.
    #[inline(always)]
    unsafe fn two_rows(&mut self, x0: V, x1: V, b: In) {
        // SAFETY: the caller's promise.
        unsafe {
            let mut y = *b.wrapping_sub(1);
            for c in 0..W {
                self.add_product(c, x1, y);
                y = *b.wrapping_add(c);
                self.add_product(c, x0, y);
            }
        }
    }

    /// Adds aᵢ·bⱼ for i in `from..to` and all j with i + j in columns `k..k + W`.
    ///
    /// SAFETY: `a[from..to]` is readable, and `b[k − i..k − i + W]` for every such i.
    #[inline(always)]
    unsafe fn rows(&mut self, a: In, b: In, k: usize, from: usize, to: usize) {
        let mut i = from;
        // SAFETY: the caller's promise; two rows read from the second row's first digit to the first row's last.
        unsafe {
            while i + 2 <= to {
                self.two_rows(*a.add(i), *a.add(i + 1), b.wrapping_add(k).wrapping_sub(i));
                i += 2;
            }
            if i < to {
                self.row(*a.add(i), b.wrapping_add(k).wrapping_sub(i), 0, W);
            }
        }
    }

    /// Adds all aᵢ·bⱼ with i + j in columns `k..k + W`.
    ///
    /// SAFETY: a and b have `d` readable digits; W divides d and k, and k < 2d.
    #[inline(always)]
    unsafe fn product(&mut self, a: In, b: In, d: usize, k: usize) {
        // SAFETY: all digits are below d: with i ≤ k + r, j = k + c − i starts at r − r = 0; above the middle i starts
        // at k + 1 − d + r, where j is d − 1 at most.
        unsafe {
            if k < d {
                self.rows(a, b, k, 0, k + 1);
                unrolled!(r in 1, W => self.row(*a.add(k + r), b.wrapping_sub(r), r, W));
            } else {
                let (start, last) = (a.add(k + 1 - d), b.wrapping_add(d - 1));
                unrolled!(r in 0, W - 1 => self.row(*start.add(r), last.wrapping_sub(r), 0, r + 1));
                self.rows(a, b, k, k + W - d, d);
            }
        }
    }

    /// Adds all aᵢ·aⱼ with i < j and i + j in columns `k..k + W`.
    ///
    /// SAFETY: as `product`; W is even.
    #[inline(always)]
    unsafe fn cross_products(&mut self, a: In, d: usize, k: usize) {
        let half = k / 2;
        // SAFETY: i < half or i = half + r with columns from 2r + 1 on, so j > i; j < d as in `product`.
        unsafe {
            if k < d {
                self.rows(a, a, k, 0, half);
            } else if k + W < 2 * d {
                let (start, last) = (a.add(k + 1 - d), a.wrapping_add(d - 1));
                unrolled!(r in 0, W - 1 => self.row(*start.add(r), last.wrapping_sub(r), 0, r + 1));
                self.rows(a, a, k, k + W - d, half);
            } else {
                // The last block: i from d + 1 − W on, in columns up to r, and j > i.
                let (start, last) = (a.add(k + 1 - d), a.wrapping_add(d - 1));
                unrolled!(r in 0, W - 1 => {
                    self.row(*start.add(r), last.wrapping_sub(r), (2 * r + 3).saturating_sub(W), r + 1)
                });
                return;
            }
            let (start, last) = (a.add(half), a.wrapping_add(k).wrapping_sub(half));
            unrolled!(r in 0, W / 2 => self.row(*start.add(r), last.wrapping_sub(r), 2 * r + 1, W));
        }
    }

    /// Montgomery reduction of these columns, `k..k + W` of the number: in the lower half makes the quotient digits
    /// `m[k..k + W]` that turn the columns to zero, in the upper half writes `out[k − d..k − d + W]`.
    ///
    /// SAFETY: `modulus` is alive, `m` and `out` have `d` writable digits, `m` with the digits of the blocks before; W
    /// divides d and k, and k < 2d.
    #[inline(always)]
    unsafe fn reduce(&mut self, out: Out, m: Out, modulus: Modulus, k: usize) {
        let Modulus { n, n0, d } = modulus;
        // SAFETY: as in `product`; of m only digits below k, or those just written, are read.
        unsafe {
            let mask = _mm512_set1_epi64((1 << RADIX) - 1);
            if k < d {
                self.rows(m, n, k, 0, k);
                unrolled!(r in 0, W => {
                    let q = _mm512_madd52lo_epu64(_mm512_setzero_si512(), self.sum[r], n0);
                    let q = _mm512_and_si512(q, mask);
                    *m.add(k + r) = q;
                    self.row(q, n.wrapping_sub(r), r, W);
                    self.add(r + 1, _mm512_srli_epi64::<RADIX>(self.sum[r]));
                });
            } else {
                self.product(m, n, d, k);
                unrolled!(r in 0, W => {
                    *out.add(k - d + r) = _mm512_and_si512(self.sum[r], mask);
                    self.add(r + 1, _mm512_srli_epi64::<RADIX>(self.sum[r]));
                });
            }
        }
    }
}

/// `out` = (a·b + a₂·b₂ + init)/R modulo n, and the quotient digits `m`. The second product and `init`, D numbers below
/// 2^54, are optional. For a, b, a₂, b₂ < 2n and n < R/16 the result is below 2n.
///
/// SAFETY: all pointers have `d` digits, `out` and `m` writable and apart from each other and from all others; W divides
/// d.
#[inline(always)]
unsafe fn multiply<const W: usize>(
    out: Out,
    m: Out,
    (a, b): (In, In),
    second: Option<(In, In)>,
    init: Option<In>,
    modulus: Modulus,
) {
    let d = modulus.d;
    // SAFETY: the caller's promise; k + c < d where init is read.
    unsafe {
        let mut carry = _mm512_setzero_si512();
        for k in (0..2 * d).step_by(W) {
            let mut columns = Columns::<W>::zero();
            columns.sum[0] = carry;
            if let Some(init) = init.filter(|_| k < d) {
                for c in 0..W {
                    columns.add(c, *init.add(k + c));
                }
            }
            columns.product(a, b, d, k);
            if let Some((a, b)) = second {
                columns.product(a, b, d, k);
            }
            columns.reduce(out, m, modulus, k);
            carry = columns.above;
        }
    }
}

/// `out` = a²/R modulo n, and the quotient digits `m`. Bounds as [`multiply`].
///
/// SAFETY: as [`multiply`]; W is even.
#[inline(always)]
unsafe fn square<const W: usize>(out: Out, m: Out, a: In, modulus: Modulus) {
    let d = modulus.d;
    // SAFETY: the caller's promise; (k + c)/2 < d.
    unsafe {
        let zero = _mm512_setzero_si512();
        let (mut carry, mut cross_carry) = (zero, zero);
        for k in (0..2 * d).step_by(W) {
            let mut columns = Columns::<W>::zero();
            columns.sum[0] = cross_carry;
            columns.cross_products(a, d, k);
            cross_carry = std::mem::replace(&mut columns.above, zero);
            for c in 0..W {
                columns.add(c, columns.sum[c]);
            }
            columns.add(0, carry);
            for c in (0..W).step_by(2) {
                let x = *a.add((k + c) / 2);
                columns.add_product(c, x, x);
            }
            columns.reduce(out, m, modulus, k);
            carry = columns.above;
        }
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
        let modulus = Modulus::of(moduli);
        // SAFETY: lengths were checked by the caller, `out` is borrowed alone, `m` is ours.
        unsafe { multiply::<W>(output(out), m.digits(), (input(a), input(b)), None, None, modulus) }
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
        let modulus = Modulus::of(moduli);
        // SAFETY: as in `multiply_single`.
        unsafe { square::<W>(output(out), m.digits(), input(a), modulus) }
    }
    let d = moduli.digits();
    assert!(out.len() == d && a.len() == d, "residues of another modulus");
    // SAFETY: as in `multiply_single`.
    unsafe { with_width!(d, run(moduli, out, a)) }
}

/// (R − 1 − m) + (1 − R mod N), digit by digit: what stands for −m·R⁰ in the high part. Digits below 2^53.
///
/// SAFETY: `d` digits of `m` are readable, `d` of `init` writable, and `d` ≤ `one_minus_r.len()`.
#[inline(always)]
unsafe fn minus_quotient(init: Out, m: In, one_minus_r: &[Word], d: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        let mask = _mm512_set1_epi64((1 << RADIX) - 1);
        for i in 0..d {
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
        let modulus = Modulus::of(moduli);
        // SAFETY: lengths were checked by the caller, so all parts have d digits; `out` is borrowed alone, the
        // scratch is ours.
        unsafe {
            let (a1, b1) = (a.add(d), b.add(d));
            multiply::<W>(out, m.digits(), (a, b), None, None, modulus);
            minus_quotient(init.digits(), m.digits(), one_minus_r, d);
            let init = Some(init.digits().cast_const());
            multiply::<W>(out.add(d), m.digits(), (a, b1), Some((a1, b)), init, modulus);
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
        let modulus = Modulus::of(moduli);
        let mask = _mm512_set1_epi64((1 << RADIX) - 1);
        // SAFETY: as in `multiply_dual`; `twice` has room for d digits.
        unsafe {
            square::<W>(out, m.digits(), a, modulus);
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
            multiply::<W>(out.add(d), m.digits(), (a, twice.digits()), None, init, modulus);
        }
    }
    let d = moduli.digits();
    assert!(out.len() == 2 * d && a.len() == 2 * d, "residues of another modulus");
    assert!(one_minus_r.len() == d);
    // SAFETY: as in `multiply_single`.
    unsafe { with_width!(d, run(moduli, one_minus_r, out, a)) }
}
