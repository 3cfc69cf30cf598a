//! The secret factors and noise of the blinded judge (`docs/protocols.md` 2b): their sizes, how they are drawn, and what
//! they leave visible.

use modexp::Secret;
use rand_core::{CryptoRng, Rng};
use std::f64::consts::PI;
use zeroize::Zeroizing;

/// κ: what noise hides of a factor, in bits.
pub const KAPPA: u32 = 32;
/// The smallest L that is accepted without consent to weak blinding.
pub const MIN_RANGE: u32 = 256;

/// Sizes of the blinding of one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blinding {
    /// n, the participants.
    pub parties: u32,
    /// b: |d| < 2^b.
    pub margin_bits: u32,
    /// L: every ρₖ is drawn from that many octaves, an octave being a factor of two.
    pub range: u32,
    /// M: every ρₖ is at least 2^M.
    pub floor: u32,
    /// T: d stands 2^T above the noise that is a multiple of ρ.
    pub lift: u32,
}

/// Why there is no blinding of the wanted strength.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlindingError {
    /// L would be below [`MIN_RANGE`].
    #[error(
        "a key of {key_bits} bits leaves {range} bits of blinding for {parties} participants, less than {MIN_RANGE}; \
         use a longer key, or consent with --weak-blinding"
    )]
    Weak {
        /// Bits of N.
        key_bits: u32,
        /// Number of participants.
        parties: u32,
        /// The L that there is room for.
        range: u32,
    },
    /// There is no room for any blinding.
    #[error(
        "a key of {key_bits} bits is too short for {parties} participants and margins of {margin_bits} bits"
    )]
    None {
        /// Bits of N.
        key_bits: u32,
        /// Number of participants.
        parties: u32,
        /// b.
        margin_bits: u32,
    },
}

impl Blinding {
    /// The largest L with (n+1)·L + n·M + κ + b + ⌈log₂n⌉ + 7 ≤ bits(N), and what follows from it.
    ///
    /// # Errors
    /// An L below [`MIN_RANGE`] without `weak`, or below 1.
    pub fn new(key_bits: u32, parties: u32, margin_bits: u32, weak: bool) -> Result<Self, BlindingError> {
        let log_parties = parties.next_power_of_two().ilog2();
        let floor = margin_bits + KAPPA + 2 + log_parties;
        let taken = parties * floor + KAPPA + margin_bits + log_parties + 7;
        let range = key_bits.saturating_sub(taken) / (parties + 1);
        if range == 0 {
            return Err(BlindingError::None { key_bits, parties, margin_bits });
        }
        if range < MIN_RANGE && !weak {
            return Err(BlindingError::Weak { key_bits, parties, range });
        }
        Ok(Self { parties, margin_bits, range, floor, lift: range + KAPPA + 3 + log_parties })
    }

    /// For one party's factors, where L and M follow from how margins are packed (`docs/protocols.md` 3); there is no chain
    /// and no noise.
    pub fn of_one(margin_bits: u32, floor: u32, range: u32) -> Self {
        Self { parties: 1, margin_bits, range, floor, lift: 0 }
    }

    /// Width in bits of a factor ρₖ.
    pub fn factor_bits(&self) -> usize {
        (self.floor + self.range) as usize
    }

    /// log₂ of the bound on τ_{k,j} for j < n.
    pub fn noise_bits(&self) -> usize {
        (self.floor + self.range + KAPPA) as usize
    }

    /// ⌊2^{T−2}/n⌋, the bound on τ_{k,n}; big-endian.
    pub fn top_noise(&self) -> Vec<u8> {
        let power = self.lift as usize - 2;
        let mut bytes = vec![0; power / 8 + 1];
        bytes[0] = 1 << (power % 8);
        let mut rest = 0;
        for byte in &mut bytes {
            let digit = rest << 8 | u32::from(*byte);
            *byte = (digit / self.parties) as u8;
            rest = digit % self.parties;
        }
        bytes
    }

    /// Bound on the statistical distance between what is seen of two values d, d′ of one sign in one comparison,
    /// where `octaves` = |log₂(|2d+1|/|2d′+1|)|.
    pub fn distance(&self, octaves: f64) -> f64 {
        let noise = f64::from(self.parties) * 2f64.powi(2 - KAPPA as i32);
        (2.0 * (octaves + 1.0) / f64::from(self.range) + noise).min(1.0)
    }

    /// [`Blinding::distance`] for the d that are farthest apart.
    pub fn worst_distance(&self) -> f64 {
        self.distance(f64::from(self.margin_bits + 1))
    }

    /// To within how many octaves (factors of two) |2d+1| stays unknown, at least, after that many comparisons of one d.
    pub fn octaves(&self, visits: u32) -> f64 {
        f64::from(self.range) / (2.0 * PI * f64::from(visits.max(1)).sqrt())
    }
}

/// Draws the secrets of a job.
pub struct Sampler {
    blinding: Blinding,
    /// For octave j, the probability of an octave up to j, in units of 2^−53.
    cumulative: Vec<u64>,
}

impl Sampler {
    /// The tables for one job.
    pub fn new(blinding: Blinding) -> Self {
        let octaves = f64::from(blinding.range);
        let weights: Vec<f64> =
            (0..blinding.range).map(|j| (PI * (f64::from(j) + 0.5) / octaves).sin().powi(2)).collect();
        let total: f64 = weights.iter().sum();
        let mut sum = 0.0;
        let mut cumulative: Vec<u64> = weights
            .iter()
            .map(|weight| {
                sum += weight;
                (sum / total * (1u64 << 53) as f64) as u64
            })
            .collect();
        *cumulative.last_mut().expect("L is at least 1") = 1 << 53;
        Self { blinding, cumulative }
    }

    /// ρₖ in [2^M, 2^{M+L}): octave by the table, inside the octave with density ∝ 1/ρ, exactly.
    pub fn factor(&self, rng: &mut impl CryptoRng) -> Secret {
        secret(&self.draw_factor(rng), self.blinding.factor_bits())
    }

    /// τ_{k,j} + 2^{M+L+κ} for j < n: uniform below twice the shift.
    pub fn noise(&self, rng: &mut impl CryptoRng) -> Secret {
        let bits = self.blinding.noise_bits() + 1;
        let mut bytes = Zeroizing::new(vec![0; bits.div_ceil(8)]);
        uniform_bits(&mut bytes, bits, rng);
        secret(&bytes, bits)
    }

    /// τ_{k,n} + 2^{M+L+κ}: uniform within ⌊2^{T−2}/n⌋ of the shift.
    pub fn top_noise(&self, rng: &mut impl CryptoRng) -> Secret {
        secret(&self.draw_top_noise(rng), self.blinding.noise_bits() + 1)
    }

    /// As [`factor`](Self::factor), big-endian.
    pub(crate) fn draw_factor(&self, rng: &mut impl CryptoRng) -> Zeroizing<Vec<u8>> {
        let draw = rng.next_u64() >> 11;
        let octave = self.cumulative.partition_point(|&up_to| up_to <= draw);
        let exponent = self.blinding.floor as usize + octave;
        let mut candidate = Zeroizing::new(vec![0; exponent / 8 + 1]);
        let mut point = Zeroizing::new(vec![0; exponent / 8 + 1]);
        loop {
            uniform_bits(&mut candidate, exponent, rng);
            candidate[0] |= 1 << (exponent % 8);
            // A uniform point below ρ lies below 2^exponent with probability 2^exponent/ρ: then ρ is taken.
            loop {
                uniform_bits(&mut point, exponent + 1, rng);
                if point.as_slice() < candidate.as_slice() {
                    break;
                }
            }
            if point[0] >> (exponent % 8) == 0 {
                return candidate;
            }
        }
    }

    fn draw_top_noise(&self, rng: &mut impl CryptoRng) -> Zeroizing<Vec<u8>> {
        let bits = self.blinding.lift as usize - 1;
        let bound = self.blinding.top_noise();
        let mut most = vec![0];
        most.extend(&bound);
        let mut carry = 0;
        for byte in most.iter_mut().rev() {
            let doubled = u16::from(*byte) << 1 | carry;
            (*byte, carry) = (doubled as u8, doubled >> 8);
        }
        let mut draw = Zeroizing::new(vec![0; most.len()]);
        uniform_bits(&mut draw, bits, rng);
        while draw.as_slice() > most.as_slice() {
            uniform_bits(&mut draw, bits, rng);
        }
        // 2^{M+L+κ} − bound + draw, digit by digit from the end.
        let shift = self.blinding.noise_bits();
        let mut sum = Zeroizing::new(vec![0; shift / 8 + 1]);
        sum[0] = 1 << (shift % 8);
        let mut carry = 0i16;
        for (i, byte) in sum.iter_mut().rev().enumerate() {
            let digit = |x: &[u8]| x.iter().rev().nth(i).map_or(0, |&digit| i16::from(digit));
            let digits = i16::from(*byte) - digit(&bound) + digit(&draw) + carry;
            (*byte, carry) = (digits as u8, digits >> 8);
        }
        sum
    }
}

fn secret(bytes: &[u8], width: usize) -> Secret {
    Secret::from_be_bytes(bytes, width).expect("drawn below its width")
}

/// Fills a big-endian number with `bits` uniform bits; the rest is zero.
pub(crate) fn uniform_bits(bytes: &mut [u8], bits: usize, rng: &mut impl Rng) {
    rng.fill_bytes(bytes);
    let zeros = 8 * bytes.len() - bits;
    bytes[..zeros / 8].fill(0);
    if !zeros.is_multiple_of(8) {
        bytes[zeros / 8] &= 0xff >> (zeros % 8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use num_bigint::BigUint;
    use num_traits::{One, ToPrimitive};
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    #[test]
    fn sizes_at_2048_bits() {
        let range = |n| Blinding::new(2048, n, 40, false).unwrap().range;
        assert_eq!([2, 3, 4, 5].map(range), [606, 434, 332, 263]);
        let three = Blinding::new(2048, 3, 40, false).unwrap();
        assert_eq!((three.floor, three.lift), (76, 471));
    }

    #[test]
    fn weak_blinding_needs_consent() {
        let error = Blinding::new(2048, 6, 40, false).unwrap_err();
        assert_eq!(error, BlindingError::Weak { key_bits: 2048, parties: 6, range: 214 });
        assert_eq!(Blinding::new(2048, 6, 40, true).unwrap().range, 214);
        assert!(matches!(Blinding::new(512, 64, 40, true), Err(BlindingError::None { .. })));
    }

    /// The largest |value| stays below N/2 and the noise below ρ·2^{T−1}, whatever is drawn.
    #[test]
    fn nothing_wraps_and_noise_never_turns_the_sign() {
        for (bits, n, b) in [(2048, 2, 40), (2048, 5, 40), (512, 3, 42), (512, 5, 40), (4096, 7, 60)] {
            let p = Blinding::new(bits, n, b, true).unwrap();
            let one = BigUint::one();
            let (largest, least) = (&one << p.factor_bits(), &one << p.floor as usize);
            // In units of R⁽ⁿ⁻¹⁾ where ρₙ is least: n members use level n − 1, and all levels below it weigh
            // together less than one of them.
            let low = (&one << p.noise_bits()) * (n + 1);
            let top = BigUint::from_bytes_be(&p.top_noise()) * n;
            assert!(low + &top * &least < &least << (p.lift as usize - 1), "noise at n = {n}");
            let value = (largest.pow(n) << p.lift as usize) * ((&one << (b as usize + 1)) + 1u32);
            assert!(value < &one << (bits as usize - 1), "value at n = {n}");
        }
    }

    #[test]
    fn top_noise_is_a_quotient() {
        for n in [2, 3, 5] {
            let p = Blinding::new(2048, n, 40, false).unwrap();
            let expected = (BigUint::one() << (p.lift as usize - 2)) / n;
            assert_eq!(BigUint::from_bytes_be(&p.top_noise()), expected);
        }
    }

    #[test]
    fn factors_follow_the_density() {
        let p = Blinding { parties: 2, margin_bits: 4, range: 6, floor: 9, lift: 45 };
        let sampler = Sampler::new(p);
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        const DRAWS: usize = 60_000;
        let mut octaves = [0usize; 6];
        let mut lower_halves = [0usize; 6];
        for _ in 0..DRAWS {
            let rho = BigUint::from_bytes_be(&sampler.draw_factor(&mut rng)).to_u64().unwrap();
            let octave = rho.ilog2() as usize;
            assert!((9..15).contains(&octave), "minimum 2^M, maximum 2^(M+L)");
            octaves[octave - 9] += 1;
            lower_halves[octave - 9] += usize::from(rho < 3 << (octave - 1));
        }
        for (j, (&count, &lower)) in octaves.iter().zip(&lower_halves).enumerate() {
            // Σ sin² = L/2; five standard deviations.
            let expected = DRAWS as f64 * (PI * (j as f64 + 0.5) / 6.0).sin().powi(2) / 3.0;
            assert!(
                (count as f64 - expected).abs() < 5.0 * expected.sqrt(),
                "octave {j}: {count}, {expected}"
            );
            // ∫ 1/ρ over the lower half of an octave is log₂ 1.5 of the whole.
            let half = count as f64 * 1.5f64.log2();
            assert!((lower as f64 - half).abs() < 5.0 * (half * 0.42).sqrt(), "inside octave {j}");
        }
    }

    #[test]
    fn noise_fills_its_range() {
        let p = Blinding { parties: 3, margin_bits: 4, range: 2, floor: 3, lift: 9 };
        let sampler = Sampler::new(p);
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        // ⌊2^7/3⌋ = 42: uniform on −42..=42, shifted by 2^{3+2+32}.
        let mut seen = [0usize; 85];
        for _ in 0..8_500 {
            let draw = BigUint::from_bytes_be(&sampler.draw_top_noise(&mut rng)) + 42u32;
            seen[(draw - (BigUint::one() << p.noise_bits())).to_usize().unwrap()] += 1;
        }
        assert!(seen.iter().all(|&count| (50..150).contains(&count)), "{seen:?}");
        assert_eq!(sampler.noise(&mut rng).width(), p.noise_bits() + 1);
        assert_eq!(sampler.top_noise(&mut rng).width(), p.noise_bits() + 1);
    }

    #[test]
    fn the_same_generator_draws_the_same() {
        let sampler = Sampler::new(Blinding::new(2048, 3, 40, false).unwrap());
        let draw = |seed| sampler.draw_factor(&mut ChaCha20Rng::seed_from_u64(seed)).to_vec();
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }

    #[test]
    fn bounds_of_the_report() {
        let p = Blinding::new(2048, 3, 40, false).unwrap();
        assert!((p.octaves(1500) - 1.78).abs() < 0.01);
        assert!((p.distance(0.0) - 2.0 / 434.0).abs() < 1e-6);
        assert!((p.worst_distance() - 84.0 / 434.0).abs() < 1e-6);
    }
}
