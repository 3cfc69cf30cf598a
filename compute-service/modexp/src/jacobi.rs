//! The Jacobi symbol, by the binary algorithm on the leading and the lowest word of long numbers (after Lehmer, Stein, and
//! Pornin 2020, "Optimized Binary GCD for Modular Inversion").

use num_bigint::BigUint;

/// The Jacobi symbol (a/n) for an odd n: 1 or −1, or 0 when a and n have a common factor. Variable time.
///
/// # Panics
/// If n is even.
pub fn jacobi(a: &BigUint, n: &BigUint) -> i32 {
    assert!(n.bit(0), "the Jacobi symbol needs an odd modulus");
    let mut b = n.to_u64_digits();
    let mut a = (a % n).to_u64_digits();
    a.resize(b.len(), 0);
    let mut turned = 0;
    while a.iter().any(|&word| word != 0) {
        while a.last() == Some(&0) && b.last() == Some(&0) {
            a.pop();
            b.pop();
        }
        let steps = Steps::decided(&a, &b);
        turned ^= steps.turned;
        if steps.count > 0 {
            steps.apply(&mut a, &mut b);
        } else {
            turned ^= subtract(&mut a, &mut b);
        }
    }
    let is_one = b[0] == 1 && b[1..].iter().all(|&word| word == 0);
    if is_one { 1 - 2 * (turned & 1) as i32 } else { 0 }
}

/// Steps of the binary algorithm on some a and an odd b, done on single words and not yet on the numbers.
///
/// A step is: a ← a/2 if a is even; else a ← a − b, after a swap if a < b. Together they are, with x, y ≥ 0,
///     a′ = (x₀·a − y₀·b)/2^count   and   b′ = (y₁·b − x₁·a)/2^count,
/// or both with the opposite signs after an odd number of swaps.
struct Steps {
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

    /// As many steps as the leading and lowest words decide; none if an odd a is nearly b. Both have equally many words,
    /// not both zero on top.
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

    /// Does the steps, at least one, on the numbers.
    fn apply(&self, a: &mut [u64], b: &mut [u64]) {
        let mut a_lane = Combination::new(self.rows[0], self.swapped);
        let mut b_lane = Combination::new(self.rows[1], !self.swapped);
        let joined = |low: u64, next: u64| low >> self.count | next << (64 - self.count);
        let (mut low_a, mut low_b) = (a_lane.word(a[0], b[0]), b_lane.word(a[0], b[0]));
        for i in 1..a.len() {
            let (next_a, next_b) = (a_lane.word(a[i], b[i]), b_lane.word(a[i], b[i]));
            (a[i - 1], b[i - 1]) = (joined(low_a, next_a), joined(low_b, next_b));
            (low_a, low_b) = (next_a, next_b);
        }
        let last = a.len() - 1;
        (a[last], b[last]) = (joined(low_a, a_lane.word(0, 0)), joined(low_b, b_lane.word(0, 0)));
    }
}

/// ±(x·a − y·b), word by word.
struct Combination {
    row: (u64, u64),
    negative: bool,
    carry: i128,
}

impl Combination {
    fn new(row: (u64, u64), negative: bool) -> Self {
        Combination { row, negative, carry: 0 }
    }

    /// The next word from the next words of a and b.
    #[inline(always)]
    fn word(&mut self, a: u64, b: u64) -> u64 {
        // Below 2^124: x and y are at most 2^60.
        let product = |x: u64, word: u64| (u128::from(x) * u128::from(word)) as i128;
        let difference = product(self.row.0, a) - product(self.row.1, b);
        let sum = self.carry + if self.negative { -difference } else { difference };
        self.carry = sum >> 64;
        sum as u64
    }
}

/// Whether a swap of odd a and b turns the sign: exactly if both are 3 (mod 4).
fn reciprocity(a: u64, b: u64) -> u64 {
    (a & b) >> 1 & 1
}

/// One subtraction of odd numbers, after a swap if a < b. Returns whether the sign turns.
fn subtract(a: &mut [u64], b: &mut [u64]) -> u64 {
    let swap = a.iter().rev().lt(b.iter().rev());
    let turned = if swap { reciprocity(a[0], b[0]) } else { 0 };
    if swap {
        a.swap_with_slice(b);
    }
    let mut borrow = false;
    for (a, &b) in a.iter_mut().zip(b.iter()) {
        let (difference, below) = a.overflowing_sub(b);
        let (difference, at_zero) = difference.overflowing_sub(borrow.into());
        (*a, borrow) = (difference, below | at_zero);
    }
    turned
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// By Euler's criterion for each prime factor.
    fn by_factors(a: u64, factors: &[u64]) -> i32 {
        let symbol = |p: u64| match BigUint::from(a).modpow(&BigUint::from((p - 1) / 2), &BigUint::from(p)) {
            x if x == BigUint::ZERO => 0,
            x if x == BigUint::from(1u32) => 1,
            _ => -1,
        };
        factors.iter().map(|&p| symbol(p)).product()
    }

    #[test]
    fn agrees_with_eulers_criterion() {
        for factors in [&[3u64][..], &[7], &[5, 5], &[3, 5, 7], &[11, 13, 17], &[101, 103], &[65537, 257]] {
            let n: u64 = factors.iter().product();
            for a in 0..2 * n.min(1000) {
                assert_eq!(jacobi(&a.into(), &n.into()), by_factors(a % n, factors), "({a}/{n})");
            }
        }
    }

    /// By divisions of whole numbers.
    fn plain(a: &BigUint, n: &BigUint) -> i32 {
        let (mut a, mut n) = (a % n, n.clone());
        let mut sign = 1;
        while let Some(twos) = a.trailing_zeros() {
            a >>= twos;
            if twos % 2 == 1 && n.bit(1) != n.bit(2) {
                sign = -sign;
            }
            if a.bit(1) && n.bit(1) {
                sign = -sign;
            }
            std::mem::swap(&mut a, &mut n);
            a %= &n;
        }
        if n == BigUint::from(1u32) { sign } else { 0 }
    }

    /// Numbers of any length, with long runs of equal bits, nearly equal ones, and with common factors.
    fn number(bytes: usize) -> impl Strategy<Value = BigUint> {
        let byte = prop_oneof![Just(0u8), Just(0xff), any::<u8>()];
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..=bytes),
            prop::collection::vec(byte, 0..=bytes),
            (0..=bytes, any::<u8>()).prop_map(|(zeros, low)| [vec![1], vec![0; zeros], vec![low]].concat()),
        ]
        .prop_map(|bytes| BigUint::from_bytes_be(&bytes))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 10 } else { 2000 }))]

        #[test]
        fn agrees_with_division(a in number(150), n in number(140), near in 0u32..300, factor in 0u32..20) {
            let n = (n * (2 * factor + 1)) | BigUint::from(1u32);
            prop_assert_eq!(jacobi(&a, &n), plain(&a, &n));
            let close = &n + near;
            prop_assert_eq!(jacobi(&close, &n), plain(&close, &n));
            let close = &n - &n.clone().min(near.into());
            prop_assert_eq!(jacobi(&close, &n), plain(&close, &n));
            let multiple = a * (2 * factor + 1);
            prop_assert_eq!(jacobi(&multiple, &n), plain(&multiple, &n));
        }
    }

    #[test]
    fn modulus_one() {
        assert_eq!(jacobi(&BigUint::ZERO, &1u32.into()), 1);
        assert_eq!(jacobi(&5u32.into(), &1u32.into()), 1);
    }
}
