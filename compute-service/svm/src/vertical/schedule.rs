//! Which instances an iteration visits.

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

/// Draws instances 0..m for `iterations` batches of `batch`, uniformly and independently, from the joint seed.
///
/// ```
/// let schedule = svm::vertical::schedule(&[7; 32], 100, 3, 4);
/// assert_eq!(schedule.len(), 3);
/// assert!(schedule.concat().iter().all(|&instance| instance < 100));
/// ```
///
/// # Panics
/// Where there are no instances.
pub fn schedule(seed: &[u8; 32], instances: u32, iterations: u32, batch: u32) -> Vec<Vec<u32>> {
    assert!(instances > 0, "instances to choose from");
    let mut rng = ChaCha20Rng::from_seed(*seed);
    // Draws from the last, incomplete multiple of m are refused, or small numbers would come more often.
    let zone = u32::MAX - (u32::MAX % instances + 1) % instances;
    let mut draw = || {
        loop {
            let number = rng.next_u32();
            if number <= zone {
                return number % instances;
            }
        }
    };
    (0..iterations).map(|_| (0..batch).map(|_| draw()).collect()).collect()
}

/// The paper's rule: the sum of all participants' random positive integers (RPI) modulo m names the next instance.
pub(super) fn named_by(rpis: &[u64], instances: u32) -> Vec<u32> {
    rpis.iter().map(|sum| (sum % u64::from(instances)) as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instance_comes_equally_often() {
        let mut counts = [0u32; 7];
        for instance in schedule(&[1; 32], 7, 700, 100).concat() {
            counts[instance as usize] += 1;
        }
        assert!(counts.iter().all(|&c| (9_500..10_500).contains(&c)), "{counts:?}");
    }

    #[test]
    fn longer_schedules_continue_shorter_ones() {
        let long = schedule(&[2; 32], 683, 20, 3);
        assert_eq!(schedule(&[2; 32], 683, 10, 3), long[..10]);
        assert_ne!(schedule(&[3; 32], 683, 10, 3), long[..10]);
    }

    #[test]
    fn rpi_sums_wrap_around() {
        assert_eq!(named_by(&[0, 682, 683, 2_000], 683), [0, 682, 0, 634]);
    }
}
