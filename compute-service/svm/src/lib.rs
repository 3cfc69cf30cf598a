//! Support vector machines trained on data that nobody pools.

mod digest;
pub mod evaluation;
pub mod fixed;
pub mod float;
pub mod horizontal;
mod params;
pub mod reference;
mod seed;
pub mod vertical;

pub use params::Hyperparameters;
