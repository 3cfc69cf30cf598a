//! Support vector machines trained on data that nobody pools.

mod digest;
pub mod evaluation;
pub mod fixed;
pub mod float;
mod float64;
pub mod generate;
pub mod horizontal;
pub mod metrics;
mod params;
pub mod reference;
pub mod scaling;
mod seed;
pub mod split;
pub mod table;
pub mod vertical;

pub use params::{Hyperparameters, Label};
