//! Measurements of whole jobs, each beside what it is to be compared with.

pub mod keygen;
pub mod ledger;
pub mod rows;

/// The middle of some measurements, the lower one of two.
///
/// # Panics
/// Without any.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) / 2]
}
