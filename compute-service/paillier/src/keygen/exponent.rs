//! From the summands of p and q to shares of the decryption exponent d = Δ·β·φ(N).

use super::pairwise::{Pattern, Product};
use super::shamir::Sharing;
use super::{Group, KeygenError, Message, check};
use crate::key::factorial;
use crate::random;
use crate::threshold::STATISTICAL;
use num_bigint::{BigInt, BigUint};
use num_traits::One;
use rand_core::CryptoRng;

/// A member's R and the sharing in which θ is opened.
pub struct Opening {
    group: Group,
    n: BigUint,
    sharing: Sharing,
    /// Rᵢ.
    multiple: BigUint,
    /// βᵢ.
    beta: BigUint,
}

impl Opening {
    /// βᵢ is uniform modulo N; R hides β·φ(N)/N with 80 bits of slack, also where only one member's is random.
    fn start(group: Group, n: &BigUint, rng: &mut impl CryptoRng) -> Self {
        Self {
            group,
            n: n.clone(),
            sharing: Sharing::above(opening_bits(n, group.parties), group),
            multiple: random::below(rng, &((n * group.parties) << STATISTICAL)),
            beta: random::below(rng, n),
        }
    }

    /// Step 9, pairwise: the product whose summand [`publish`](Self::publish) takes.
    pub fn pairwise(
        group: Group,
        n: &BigUint,
        p: &BigUint,
        q: &BigUint,
        rng: &mut impl CryptoRng,
    ) -> (Self, Product) {
        let opening = Self::start(group, n, rng);
        let (sum, beta) = ([p + q], std::slice::from_ref(&opening.beta));
        let modulus = opening.sharing.modulus();
        let product = Product::new(group, Pattern::All, modulus, (&sum, n.bits() / 2 + 1), (beta, n.bits()));
        (opening, product)
    }

    /// Step 10, pairwise, to be published: the summand of β·φ(N) + N·R = (N+1)·β + N·R − β·(p+q), from that of
    /// β·(p+q). The masks of the product make it uniform modulo N, and N·Rᵢ hides the rest.
    ///
    /// # Errors
    /// Not the summand of one product.
    pub fn publish(&self, summand: &Message) -> Result<Message, KeygenError> {
        let ([summand], m) = (summand.as_slice(), self.sharing.modulus()) else {
            return Err(KeygenError::Parameters("θ comes from one product"));
        };
        let plain = (&self.n + 1u32) * &self.beta + &self.n * &self.multiple;
        Ok(vec![(plain + m - summand % m) % m])
    }

    /// Step 9, to each in private (minority only): shares of βᵢ, of the summand of φ(N) (both of degree t) and of N·Rᵢ
    /// (degree 2t).
    pub fn new(
        group: Group,
        n: &BigUint,
        p: &BigUint,
        q: &BigUint,
        rng: &mut impl CryptoRng,
    ) -> (Self, Vec<Message>) {
        let (opening, t) = (Self::start(group, n, rng), group.collusion_bound());
        let sharing = &opening.sharing;
        let phi = if group.is_first() { n + 1u32 - p - q } else { sharing.modulus() - p - q };
        let mut messages = sharing.share(&[opening.beta.clone(), phi], t, rng);
        for (message, more) in messages.iter_mut().zip(sharing.share(&[n * &opening.multiple], 2 * t, rng)) {
            message.extend(more);
        }
        (opening, messages)
    }

    /// Step 10, to be published (minority only): the share of β·φ(N) + N·R.
    ///
    /// # Errors
    /// A member that sent a wrong number of values, or one out of range.
    pub fn share(&self, received: &[Message]) -> Result<Message, KeygenError> {
        check(received, 3, self.sharing.modulus())?;
        let sum = self.sharing.add(received);
        let product = self.sharing.mul(&sum[..1], &sum[1..2]);
        Ok(self.sharing.add(&[product, sum[2..].to_vec()]))
    }

    /// β·φ(N) + N·R, and the member's summand of β·φ(N): −N·Rᵢ, to which the first adds what was opened.
    ///
    /// # Errors
    /// A member that published a wrong number of values, or one out of range.
    pub fn open(&self, published: &[Message]) -> Result<(BigUint, BigInt), KeygenError> {
        let opened = opened(self.group, &self.n, published)?;
        let mut summand = -BigInt::from(&self.n * &self.multiple);
        if self.group.is_first() {
            summand += BigInt::from(opened.clone());
        }
        Ok((opened, summand))
    }
}

/// β·φ(N) + N·R from all members' step 10.
///
/// # Errors
/// A member that published a wrong number of values, or one out of range.
pub fn opened(group: Group, n: &BigUint, published: &[Message]) -> Result<BigUint, KeygenError> {
    let bits = opening_bits(n, group.parties);
    let sharing = Sharing::above(bits, group);
    check(published, 1, sharing.modulus())?;
    let opened = sharing.open(published).swap_remove(0);
    match opened.bits() > bits {
        true => Err(KeygenError::Together("the shares of θ do not fit together")),
        false => Ok(opened),
    }
}

/// β·φ(N) + N·R < n·N² + n²·N²·2⁸⁰ has no more bits than this; nor has any summand of d.
pub fn opening_bits(n: &BigUint, parties: u32) -> u64 {
    2 * n.bits() + 2 * u64::from(parties.next_power_of_two().ilog2()) + STATISTICAL + 1
}

/// How a secret's summands become shares over the integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntegerSharing {
    /// Members that get shares.
    pub parties: u32,
    /// How many of them decrypt together.
    pub quorum: u32,
    /// Members that have summands.
    pub dealers: u32,
    /// Bits of the absolute value of a summand.
    pub summand_bits: u64,
}

impl IntegerSharing {
    fn log_parties(&self) -> u64 {
        self.parties.next_power_of_two().ilog2().into()
    }

    /// Bits of a coefficient of the sharing polynomial: it hides the summand, a multiple of Δ, with 80 bits of slack
    /// over what differs between two summands with the same q − 1 shares.
    fn coefficient_bits(&self) -> u64 {
        let delta = factorial(self.parties);
        self.summand_bits + (&delta * &delta).bits() + STATISTICAL
    }

    /// Bits of a share: the sum of what all dealers send.
    pub fn share_bits(&self) -> u64 {
        let dealers = u64::from(self.dealers.next_power_of_two().ilog2());
        self.coefficient_bits() + u64::from(self.quorum - 1) * self.log_parties() + 3 + dealers
    }

    /// To each in private: a share of Δ·summand, positive because the linear coefficient is above all Δ·summand.
    pub fn share(&self, summand: &BigInt, rng: &mut impl CryptoRng) -> Vec<BigUint> {
        debug_assert!(summand.bits() <= self.summand_bits);
        let secret = summand * BigInt::from(factorial(self.parties));
        let bits = self.coefficient_bits();
        let mut coefficients: Vec<BigUint> =
            (1..self.quorum).map(|_| random::number(rng, bits as usize)).collect();
        coefficients[0] += BigUint::one() << bits;
        (1..=self.parties)
            .map(|x| {
                let high = coefficients.iter().rev().fold(BigUint::ZERO, |sum, a| (sum + a) * x);
                (BigInt::from(high) + &secret)
                    .to_biguint()
                    .expect("the linear coefficient outweighs the secret")
            })
            .collect()
    }

    /// A member's share from what all dealers sent it.
    ///
    /// # Errors
    /// A dealer whose number is too long.
    pub fn add(&self, received: &[BigUint]) -> Result<BigUint, KeygenError> {
        let each = self.share_bits() - u64::from(self.dealers.next_power_of_two().ilog2());
        match received.iter().zip(0..).find(|(share, _)| share.bits() > each) {
            Some((_, party)) => Err(KeygenError::Member { party, reason: "a share out of range" }),
            None => Ok(received.iter().sum()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    #[test]
    fn integer_shares_are_positive_and_bounded() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let sharing = IntegerSharing { parties: 5, quorum: 3, dealers: 4, summand_bits: 300 };
        let most: BigInt = (BigInt::one() << 300u32) - 1;
        let sent: Vec<Vec<BigUint>> = [most.clone(), -most.clone(), BigInt::ZERO, -most]
            .iter()
            .map(|d| sharing.share(d, &mut rng))
            .collect();
        for i in 0..5 {
            let received: Vec<BigUint> = sent.iter().map(|s| s[i].clone()).collect();
            let share = sharing.add(&received).unwrap();
            assert!(share.bits() <= sharing.share_bits());
        }
        let mut received = vec![BigUint::ZERO; 4];
        received[2] = BigUint::one() << sharing.share_bits();
        let error = sharing.add(&received).unwrap_err();
        assert_eq!(error, KeygenError::Member { party: 2, reason: "a share out of range" });
    }
}
