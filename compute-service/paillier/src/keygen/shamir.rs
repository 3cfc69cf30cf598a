//! Sharing modulo a number that need not be prime: Shamir's, for which it is enough that all differences of points are
//! units, and the additive one of pairwise multiplication.

use super::{Group, Message, Multiplication};
use crate::random;
use num_bigint::BigUint;
use num_integer::Integer;
use num_traits::One;
use rand_core::CryptoRng;

/// Arithmetic modulo m, with the points 1..=n of the members if it is Shamir's.
#[derive(Clone, Debug)]
pub(super) struct Sharing {
    modulus: BigUint,
    /// The factors of the members' shares in the secret: in the value at 0 of a polynomial of degree below n, or ones.
    lagrange: Vec<BigUint>,
}

impl Sharing {
    /// As the group multiplies: Shamir's, or sums.
    pub(super) fn of(group: Group, modulus: BigUint) -> Self {
        match group.multiplication {
            Multiplication::Minority => Self::new(modulus, group.parties),
            Multiplication::Pairwise => {
                Self { modulus, lagrange: vec![BigUint::one(); group.parties as usize] }
            }
        }
    }

    /// Shamir's.
    ///
    /// # Panics
    /// If the modulus has a factor that is not above the number of members.
    fn new(modulus: BigUint, parties: u32) -> Self {
        let lagrange = (1..=parties)
            .map(|i| {
                let (mut above, mut below) = (BigUint::one(), BigUint::one());
                for j in (1..=parties).filter(|j| *j != i) {
                    above = above * j % &modulus;
                    let difference = if j > i { BigUint::from(j - i) } else { &modulus - (i - j) };
                    below = below * difference % &modulus;
                }
                above * below.modinv(&modulus).expect("differences of points are units") % &modulus
            })
            .collect();
        Self { modulus, lagrange }
    }

    /// Modulo the smallest odd number above 2^`bits` without a factor up to the number of members.
    pub(super) fn above(bits: u64, group: Group) -> Self {
        let small = (1..=group.parties).map(BigUint::from).product::<BigUint>();
        let start = (BigUint::one() << bits) + 1u32;
        let modulus = (0u32..).map(|k| &start + 2 * k).find(|m| m.gcd(&small).is_one());
        Self::of(group, modulus.expect("every primorial leaves gaps"))
    }

    pub(super) fn modulus(&self) -> &BigUint {
        &self.modulus
    }

    pub(super) fn parties(&self) -> u32 {
        self.lagrange.len() as u32
    }

    /// Shamir's shares of secrets below the modulus: a message for each member, in which secret k has place k.
    pub(super) fn share(&self, secrets: &[BigUint], degree: u32, rng: &mut impl CryptoRng) -> Vec<Message> {
        let mut messages = vec![Vec::with_capacity(secrets.len()); self.parties() as usize];
        for secret in secrets {
            let coefficients: Vec<BigUint> = (0..degree).map(|_| random::below(rng, &self.modulus)).collect();
            for (message, x) in messages.iter_mut().zip(1u32..) {
                let high = coefficients.iter().rev().fold(BigUint::ZERO, |sum, a| (sum + a) * x);
                message.push((high + secret) % &self.modulus);
            }
        }
        messages
    }

    /// The sum of what all members sent, place by place.
    pub(super) fn add(&self, received: &[Message]) -> Message {
        let mut sum = received[0].clone();
        for message in &received[1..] {
            for (sum, x) in sum.iter_mut().zip(message) {
                *sum += x;
            }
        }
        sum.into_iter().map(|x| x % &self.modulus).collect()
    }

    /// a·b, place by place: shares of degree t give one of degree 2t.
    pub(super) fn mul(&self, a: &[BigUint], b: &[BigUint]) -> Message {
        a.iter().zip(b).map(|(a, b)| a * b % &self.modulus).collect()
    }

    /// A member's share as its summand of the secrets.
    pub(super) fn summand(&self, index: u32, shares: &[BigUint]) -> Message {
        shares.iter().map(|x| x * &self.lagrange[index as usize] % &self.modulus).collect()
    }

    /// The secrets from all members' shares.
    pub(super) fn open(&self, shares: &[Message]) -> Message {
        let summands: Vec<Message> =
            shares.iter().zip(0..).map(|(message, index)| self.summand(index, message)).collect();
        self.add(&summands)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keygen::deliver;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    #[test]
    fn products_are_opened_modulo_a_composite() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        // 7·11·13 is no prime; the differences of five points are units.
        let sharing = Sharing::new(BigUint::from(1001u32), 5);
        let numbers = |x: &[u32]| x.iter().map(|x| BigUint::from(*x)).collect::<Vec<_>>();
        let shared = |x: &[u32], degree: u32, rng: &mut ChaCha20Rng| sharing.share(&numbers(x), degree, rng);
        let (a, b, zero) =
            (shared(&[5, 1000], 2, &mut rng), shared(&[7, 1000], 2, &mut rng), shared(&[0, 0], 4, &mut rng));
        let products: Vec<Message> =
            (0..5).map(|i| sharing.add(&[sharing.mul(&a[i], &b[i]), zero[i].clone()])).collect();
        assert_eq!(sharing.open(&products), numbers(&[35, 1]));
        assert_eq!(sharing.open(&a), numbers(&[5, 1000]));
        let inboxes = deliver(vec![a.clone(), b.clone()]);
        assert_eq!(inboxes[3], [a[3].clone(), b[3].clone()]);
    }

    #[test]
    fn modulus_above_a_power_has_no_small_factor() {
        let sharing = Sharing::above(100, Group::new(64, 0).unwrap());
        assert!(
            sharing.modulus().bits() == 101
                && (2u32..=64).all(|d| !(sharing.modulus() % d).eq(&BigUint::ZERO))
        );
    }
}
