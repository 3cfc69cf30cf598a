//! Support vector machines trained on data that nobody pools.

pub mod fixed;
mod params;
pub mod scaling;
pub mod table;

pub use params::{Hyperparameters, Label};
