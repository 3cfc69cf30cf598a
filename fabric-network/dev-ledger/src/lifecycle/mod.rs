//! Definitions and packages of chaincodes, in the forms in which Fabric keeps them.
//!
//! A definition is in the state of the namespace `_lifecycle`, a key for each field; an organisation's approval of one
//! is in its own implicit collection there, with the package that its peer runs.

pub mod package;
pub mod packages;
pub mod parameters;
pub mod stored;

pub use parameters::Parameters;
