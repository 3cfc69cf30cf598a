//! Discrete Gaussian noise on gradients, and what it promises.
//!
//! Canonne, Kamath and Steinke (2020): an exact sampler, and zero-concentrated differential privacy, in which the
//! iterations add up.

use num_bigint::{BigInt, BigUint};
use num_traits::One;
use paillier::below;
use rand_core::CryptoRng;
use records::{GradientNoise, SCALE};

/// Draws from the discrete Gaussian with σ = numerator/denominator around 0.
pub(super) struct Gaussian {
    /// σ² as a fraction.
    variance: (BigUint, BigUint),
    /// ⌊σ⌋ + 1.
    scale: u64,
}

impl Gaussian {
    /// For the noise of a job, in units of 2^−12.
    pub(super) fn new(noise: &GradientNoise) -> Self {
        let scale = BigUint::from(SCALE as u64);
        let units = |d: records::Decimal| BigUint::from(d.raw().unsigned_abs());
        let numerator = (units(noise.multiplier) * units(noise.norm)) << 12u32;
        let denominator = &scale * &scale;
        let floor: u64 = (&numerator / &denominator).try_into().unwrap_or(u64::MAX - 1);
        Self { variance: (&numerator * &numerator, &denominator * &denominator), scale: floor + 1 }
    }

    /// One draw (Algorithm 3 of the paper): a discrete Laplace number, taken with the right probability.
    pub(super) fn draw(&self, rng: &mut impl CryptoRng) -> i64 {
        let (numerator, denominator) = &self.variance;
        loop {
            let y = self.laplace(rng);
            // exp(−(|y| − σ²/t)²/2σ²)
            let t = BigUint::from(self.scale);
            let distance = BigInt::from(BigUint::from(y.unsigned_abs()) * &t * denominator)
                - BigInt::from(numerator.clone());
            let square = distance.magnitude() * distance.magnitude();
            let below = BigUint::from(2u32) * numerator * denominator * &t * &t;
            if bernoulli_exp(rng, square, below) {
                return y;
            }
        }
    }

    /// Algorithm 2: the discrete Laplace distribution of scale t.
    fn laplace(&self, rng: &mut impl CryptoRng) -> i64 {
        let t = self.scale;
        loop {
            let u = below(rng, &BigUint::from(t));
            if !bernoulli_exp(rng, u.clone(), t.into()) {
                continue;
            }
            let mut v = 0u64;
            while bernoulli_exp(rng, BigUint::one(), BigUint::one()) {
                v += 1;
            }
            let u: u64 = u.try_into().expect("below t");
            let negative = rng.next_u32() & 1 == 1;
            let magnitude = i64::try_from(u128::from(u) + u128::from(t) * u128::from(v)).unwrap_or(i64::MAX);
            if !(negative && magnitude == 0) {
                return if negative { -magnitude } else { magnitude };
            }
        }
    }
}

/// True with probability exp(−numerator/denominator) (Algorithm 1).
fn bernoulli_exp(rng: &mut impl CryptoRng, mut numerator: BigUint, denominator: BigUint) -> bool {
    while numerator > denominator {
        if !bernoulli_exp_below_one(rng, &denominator, &denominator) {
            return false;
        }
        numerator -= &denominator;
    }
    bernoulli_exp_below_one(rng, &numerator, &denominator)
}

fn bernoulli_exp_below_one(rng: &mut impl CryptoRng, numerator: &BigUint, denominator: &BigUint) -> bool {
    let mut k = 1u32;
    while below(rng, &(denominator * k)) < *numerator {
        k += 1;
    }
    k % 2 == 1
}

/// ε of a whole run of so many iterations at the job's δ, for one row of one provider, counting that provider's own noise
/// alone: ρ-zCDP with ρ = T/(2z²), hence ε = ρ + 2·√(ρ·ln(1/δ)) (Bun and Steinke 2016). Neighbouring tables differ in
/// that one has the row and the other has not.
pub fn epsilon(noise: &GradientNoise, iterations: u32) -> f64 {
    let z = noise.multiplier.to_f64();
    let rho = f64::from(iterations) / (2.0 * z * z);
    rho + 2.0 * (rho * (1.0 / noise.delta.to_f64()).ln()).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    #[test]
    fn draws_have_the_variance_that_was_asked_for() {
        let noise = GradientNoise {
            multiplier: "0.003".parse().unwrap(),
            norm: "0.5".parse().unwrap(),
            delta: "0.00001".parse().unwrap(),
        };
        // σ = 0.003·0.5·4096 = 6.144.
        let gaussian = Gaussian::new(&noise);
        let mut rng = ChaCha20Rng::seed_from_u64(5);
        let draws: Vec<f64> = (0..20_000).map(|_| gaussian.draw(&mut rng) as f64).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        assert!(mean.abs() < 0.2, "{mean}");
        assert!((variance.sqrt() - 6.144).abs() < 0.1, "{}", variance.sqrt());
        // Heavier than a normal distribution would be a sign of a wrong rejection: beyond 3σ lie 0.27 %.
        let beyond = draws.iter().filter(|x| x.abs() > 3.0 * 6.144).count();
        assert!((30..=80).contains(&beyond), "{beyond}");
    }

    #[test]
    fn epsilon_follows_from_the_formula() {
        let noise = GradientNoise {
            multiplier: "10".parse().unwrap(),
            norm: "1".parse().unwrap(),
            delta: "0.00001".parse().unwrap(),
        };
        // ρ = 0.5.
        assert!((epsilon(&noise, 100) - (0.5 + 2.0 * (0.5f64 * 100_000f64.ln()).sqrt())).abs() < 1e-12);
    }
}
