//! The binary algorithm for common factors on the leading and the lowest word of long numbers (after Stein, Lehmer, and Pornin
//! 2020, "Optimized Binary GCD for Modular Inversion"), for Jacobi symbols and inverses. Variable time.

/// Steps of the binary algorithm on some a and an odd b, decided on single words and not yet done on the numbers.
///
/// A step is: a ← a/2 if a is even; else a ← a − b, after a swap if a < b. Together they are, with x, y ≥ 0,
///     a′ = (x₀·a − y₀·b)/2^count   and   b′ = (y₁·b − x₁·a)/2^count,
/// or both with the opposite signs after an odd number of swaps.
pub(crate) struct Steps {
    count: u32,
    /// (x₀, y₀) and (x₁, y₁); x + y ≤ 2^count.
    rows: [(u64, u64); 2],
    swapped: bool,
    /// The lowest bit tells whether the symbol changed its sign.
    turned: u64,
}

impl Steps {
    /// After so many halvings the lowest bits are still right, of which three are looked at.
    const MOST: u32 = 60;
    /// Twice the error of a leading word: it begins below 1, and a subtraction and the halving after it add at most 1.
    const DOUBT: u64 = 2 * (1 + Self::MOST as u64);

    /// The next steps, as many as one word decides. Both numbers have equally many words, not both zero on top.
    pub(crate) fn next(a: &[u64], b: &[u64]) -> Steps {
        let steps = Self::decided(a, b);
        if steps.count > 0 { steps } else { Self::subtraction(a, b) }
    }

    /// Whether the steps change the sign of the Jacobi symbol (a/b).
    pub(crate) fn turned(&self) -> bool {
        self.turned & 1 == 1
    }

    /// As many steps as the leading and lowest words decide; none if an odd a is nearly b.
    fn decided(a: &[u64], b: &[u64]) -> Steps {
        let last = a.len() - 1;
        let shift = (a[last] | b[last]).leading_zeros();
        let leading = |x: &[u64]| match last.checked_sub(1) {
            Some(next) if shift > 0 => x[last] << shift | x[next] >> (64 - shift),
            _ => x[last] << shift,
        };
        let (mut high_a, mut high_b) = (leading(a), leading(b));
        let (mut low_a, mut low_b) = (a[0], b[0]);
        let (mut row_a, mut row_b) = ((1, 0), (0, 1));
        let (mut count, mut swapped, mut turned) = (0, false, 0);
        loop {
            let halvings = low_a.trailing_zeros().min(Self::MOST - count);
            (low_a, high_a) = (low_a >> halvings, high_a >> halvings);
            row_b = (row_b.0 << halvings, row_b.1 << halvings);
            count += halvings;
            // (2/b) = −1 exactly for b ≡ ±3 (mod 8).
            turned ^= u64::from(halvings) & (low_b >> 1 ^ low_b >> 2);
            if count == Self::MOST || high_a.abs_diff(high_b) < Self::DOUBT {
                return Steps { count, rows: [row_a, row_b], swapped, turned };
            }
            if high_a < high_b {
                turned ^= reciprocity(low_a, low_b);
                swapped = !swapped;
                std::mem::swap(&mut low_a, &mut low_b);
                std::mem::swap(&mut high_a, &mut high_b);
                std::mem::swap(&mut row_a, &mut row_b);
            }
            low_a = low_a.wrapping_sub(low_b);
            high_a -= high_b;
            row_a = (row_a.0 + row_b.0, row_a.1 + row_b.1);
        }
    }

    /// One subtraction of odd numbers that are nearly equal.
    fn subtraction(a: &[u64], b: &[u64]) -> Steps {
        let swapped = a.iter().rev().lt(b.iter().rev());
        let row_b = if swapped { (1, 0) } else { (0, 1) };
        let turned = if swapped { reciprocity(a[0], b[0]) } else { 0 };
        Steps { count: 0, rows: [(1, 1), row_b], swapped, turned }
    }

    /// Does the steps on the numbers.
    pub(crate) fn apply(&self, a: &mut [u64], b: &mut [u64]) {
        let [mut to_a, mut to_b] = self.combinations();
        let (mut low_a, mut low_b) = (to_a.word(a[0], b[0]), to_b.word(a[0], b[0]));
        for i in 1..a.len() {
            let (next_a, next_b) = (to_a.word(a[i], b[i]), to_b.word(a[i], b[i]));
            (a[i - 1], b[i - 1]) = (self.halved(low_a, next_a), self.halved(low_b, next_b));
            (low_a, low_b) = (next_a, next_b);
        }
        let last = a.len() - 1;
        (a[last], b[last]) = (self.halved(low_a, to_a.word(0, 0)), self.halved(low_b, to_b.word(0, 0)));
    }

    /// Does the steps on numbers below an odd n modulo n. `n0` is −n⁻¹ modulo 2^64.
    pub(crate) fn apply_modulo(&self, u: &mut [u64], v: &mut [u64], n: &[u64], n0: u64) {
        let [to_u, to_v] = self.combinations();
        let new_u = self.modulo(to_u, u, v, n, n0);
        let new_v = self.modulo(to_v, u, v, n, n0);
        u.copy_from_slice(&new_u);
        v.copy_from_slice(&new_v);
    }

    fn modulo(&self, mut to: Combination, u: &[u64], v: &[u64], n: &[u64], n0: u64) -> Vec<u64> {
        // The multiple of n that makes the combination divisible by 2^count.
        to.multiple = to.clone().word(u[0], v[0]).wrapping_mul(n0) & ((1 << self.count) - 1);
        let mut out = Vec::with_capacity(n.len());
        let mut low = to.word_modulo(u[0], v[0], n[0]);
        for i in 1..n.len() {
            let next = to.word_modulo(u[i], v[i], n[i]);
            out.push(self.halved(low, next));
            low = next;
        }
        // Above −n and below 2n: what is above the words is −1, 0 or 1.
        let top = to.carry >> self.count;
        out.push(self.halved(low, to.word(0, 0)));
        if top < 0 {
            let mut carry = false;
            for (out, &n) in out.iter_mut().zip(n) {
                let (sum, above) = out.overflowing_add(n);
                let (sum, at_top) = sum.overflowing_add(carry.into());
                (*out, carry) = (sum, above | at_top);
            }
        } else if top > 0 || out.iter().rev().ge(n.iter().rev()) {
            let mut borrow = false;
            for (out, &n) in out.iter_mut().zip(n) {
                let (difference, below) = out.overflowing_sub(n);
                let (difference, at_zero) = difference.overflowing_sub(borrow.into());
                (*out, borrow) = (difference, below | at_zero);
            }
        }
        out
    }

    fn combinations(&self) -> [Combination; 2] {
        [(self.rows[0], self.swapped), (self.rows[1], !self.swapped)].map(|(row, negative)| Combination {
            row,
            negative,
            multiple: 0,
            carry: 0,
        })
    }

    /// A word of a number divided by 2^count, from that word and the next.
    #[inline(always)]
    fn halved(&self, low: u64, next: u64) -> u64 {
        ((u128::from(next) << 64 | u128::from(low)) >> self.count) as u64
    }
}

/// ±(x·a − y·b) + multiple·n, word by word.
#[derive(Clone)]
struct Combination {
    row: (u64, u64),
    negative: bool,
    multiple: u64,
    carry: i128,
}

impl Combination {
    /// The next word from the next words of a and b.
    #[inline(always)]
    fn word(&mut self, a: u64, b: u64) -> u64 {
        // All below 2^124: the factors are at most 2^60.
        let difference = product(self.row.0, a) - product(self.row.1, b);
        let sum = self.carry + if self.negative { -difference } else { difference };
        self.carry = sum >> 64;
        sum as u64
    }

    /// The next word from the next words of a, b and n.
    #[inline(always)]
    fn word_modulo(&mut self, a: u64, b: u64, n: u64) -> u64 {
        self.carry += product(self.multiple, n);
        self.word(a, b)
    }
}

fn product(x: u64, y: u64) -> i128 {
    (u128::from(x) * u128::from(y)) as i128
}

/// Whether a swap of odd a and b turns the sign: exactly if both are 3 (mod 4).
fn reciprocity(a: u64, b: u64) -> u64 {
    (a & b) >> 1 & 1
}

pub(crate) fn is_zero(words: &[u64]) -> bool {
    words.iter().all(|&word| word == 0)
}

/// Removes the zeros that both have on top.
pub(crate) fn trim(a: &mut Vec<u64>, b: &mut Vec<u64>) {
    while a.last() == Some(&0) && b.last() == Some(&0) {
        a.pop();
        b.pop();
    }
}
