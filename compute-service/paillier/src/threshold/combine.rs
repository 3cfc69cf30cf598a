//! From a quorum's partial decryptions to plaintexts.

use super::partial::Partial;
use crate::key::PublicKey;
use modexp::Residue;
use num_bigint::{BigInt, BigUint, Sign};
use num_integer::Integer;
use num_traits::One;
use rayon::prelude::*;
use std::collections::BTreeSet;

/// Why partial decryptions give no plaintexts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CombineError {
    /// Fewer members than the quorum.
    #[error("{found} members are fewer than the quorum of {quorum}")]
    TooFew {
        /// How many there are.
        found: usize,
        /// How many are needed.
        quorum: u32,
    },
    /// A member that the key does not have, or one named twice.
    #[error("member {0} is unknown or named twice")]
    Member(u32),
    /// The members decrypted different numbers of ciphertexts.
    #[error("member {0} decrypted another number of ciphertexts than the first")]
    Count(u32),
    /// They do not fit together: a share is wrong, or they belong to different ciphertexts.
    #[error("the partial decryptions of ciphertext {0} do not fit together")]
    Inconsistent(usize),
}

/// The signed plaintexts m = L(Πᵢ sᵢ^(2λᵢ))·(4Δ²θ)⁻¹ mod N from the partial decryptions of a quorum; of more members,
/// the first ones are used. Verify the partial decryptions before.
///
/// # Errors
/// See [`CombineError`].
pub fn combine<P: AsRef<[Partial]>>(
    key: &PublicKey,
    members: &[(u32, P)],
) -> Result<Vec<BigInt>, CombineError> {
    let quorum = key.quorum() as usize;
    let mut seen = BTreeSet::new();
    for (index, partials) in members {
        if *index >= key.parties() || !seen.insert(*index) {
            return Err(CombineError::Member(*index));
        }
        if partials.as_ref().len() != members[0].1.as_ref().len() {
            return Err(CombineError::Count(*index));
        }
    }
    let Some(members) = members.get(..quorum) else {
        return Err(CombineError::TooFew { found: members.len(), quorum: key.quorum() });
    };
    let count = members[0].1.as_ref().len();
    let indices: Vec<u32> = members.iter().map(|(index, _)| *index).collect();
    let lambdas = lagrange(key.delta(), &indices);

    let ring = key.ring();
    let side = |sign: Sign| -> Vec<Residue> {
        let chosen: Vec<usize> = (0..quorum).filter(|&i| lambdas[i].sign() == sign).collect();
        let exponents: Vec<BigUint> = chosen.iter().map(|&i| lambdas[i].magnitude() * 2u32).collect();
        let rows: Vec<Vec<Residue>> = (0..count)
            .map(|j| chosen.iter().map(|&i| members[i].1.as_ref()[j].0.clone()).collect())
            .collect();
        ring.multi_pow_rows(&rows, &exponents)
    };
    let inverses = ring.invert_batch(&side(Sign::Minus)).expect("partial decryptions are units");
    let products = ring.values(&ring.mul_pairs(&side(Sign::Plus), &inverses));
    let n = key.n();
    products
        .into_par_iter()
        .enumerate()
        .map(|(j, product)| {
            let (quotient, rest) = product.div_rem(n);
            if !rest.is_one() {
                return Err(CombineError::Inconsistent(j));
            }
            Ok(key.unwrap(quotient * key.unscale() % n))
        })
        .collect()
}

/// λᵢ = Δ·Π_{j≠i} xⱼ/(xⱼ−xᵢ) for the points x = index + 1: integers with Σ λᵢ·f(xᵢ) = Δ·f(0).
pub(crate) fn lagrange(delta: &BigUint, indices: &[u32]) -> Vec<BigInt> {
    indices
        .iter()
        .map(|i| {
            let others = || indices.iter().filter(|j| *j != i).map(|j| i64::from(*j));
            let numerator: BigInt = others().map(|j| BigInt::from(j + 1)).product();
            let denominator: BigInt = others().map(|j| BigInt::from(j - i64::from(*i))).product();
            BigInt::from(delta.clone()) * numerator / denominator
        })
        .collect()
}
