//! The same key in new shares, for the same members or others.
//!
//! A quorum of the old members shares its summands λⱼ·sⱼ of Δ·d again. The modulus, and with it every ciphertext,
//! stays; θ and the verification keys change, so that old and new shares do not combine. A quorum of *old* shares still
//! opens old data together: what was given away cannot be taken back.

use super::exponent::IntegerSharing;
use super::{KeygenError, assembly, bound_of};
use crate::key::{KeyError, PublicKey, factorial};
use crate::threshold::{KeyShare, lagrange};
use num_bigint::{BigInt, BigUint};
use rand_core::CryptoRng;

/// What old and new members agree on.
#[derive(Clone, Debug)]
pub struct Refresh {
    key: PublicKey,
    /// The old members who deal, a quorum.
    dealers: Vec<u32>,
    sharing: IntegerSharing,
}

impl Refresh {
    /// New shares for `parties` members, `quorum` of whom decrypt together, from the old members `dealers`, whose shares
    /// have `share_bits` bits.
    ///
    /// # Errors
    /// Dealers that are no quorum of different members, or a quorum outside 2..=n.
    pub fn new(
        key: &PublicKey,
        share_bits: usize,
        dealers: &[u32],
        parties: u32,
        quorum: u32,
    ) -> Result<Self, KeygenError> {
        let mut sorted = dealers.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        if sorted.len() != key.quorum() as usize || dealers.len() != sorted.len() {
            return Err(KeygenError::Parameters("the dealers must be exactly a quorum of the old members"));
        }
        if sorted.iter().any(|d| *d >= key.parties()) {
            return Err(KeygenError::Parameters("a dealer is no member of the old key"));
        }
        if parties > crate::key::MAX_PARTIES || !(2..=parties).contains(&quorum) {
            return Err(KeygenError::Parameters("a quorum of the new members must be in 2..=n, n up to 64"));
        }
        // |λⱼ| ≤ Δ·n^(q−1).
        let log = u64::from(key.parties().next_power_of_two().ilog2());
        let lambda_bits = key.delta().bits() + u64::from(key.quorum() - 1) * log;
        let summand_bits = share_bits as u64 + lambda_bits;
        let sharing = IntegerSharing { parties, quorum, dealers: sorted.len() as u32, summand_bits };
        Ok(Self { key: key.clone(), dealers: sorted, sharing })
    }

    /// How the new shares are made.
    pub fn sharing(&self) -> IntegerSharing {
        self.sharing
    }

    /// Step 1, of a dealer, to each new member in private.
    ///
    /// # Errors
    /// A share of another key, or of a member that does not deal.
    pub fn deal(&self, share: &KeyShare, rng: &mut impl CryptoRng) -> Result<Vec<BigUint>, KeygenError> {
        let place = self.dealers.iter().position(|d| *d == share.index());
        let (Some(place), true) = (place, *share.key() == self.key) else {
            return Err(KeygenError::Parameters("the share does not deal in this refresh"));
        };
        let lambda = &lagrange(self.key.delta(), &self.dealers)[place];
        Ok(self.sharing.share(&(lambda * BigInt::from(share.value())), rng))
    }

    /// The new key from all members' published verification keys.
    ///
    /// # Errors
    /// A verification key that is none, and what [`PublicKey`] says.
    pub fn public_key(&self, verification: &[&[u8]]) -> Result<PublicKey, KeyError> {
        // The new value at 0 is Δ'·Δ times the old one.
        let n = self.key.n();
        let theta = self.key.theta() * self.key.delta() * factorial(self.sharing.parties) % n;
        let bound = bound_of(&self.key, self.sharing.parties);
        assembly::public_key(&self.key, self.sharing.quorum, bound, theta, verification)
    }
}
