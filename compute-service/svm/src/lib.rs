//! Linear support vector machines, trained on data that stays with its owners.
//!
//! Start with [`vertical::VerticalSvm`], for organisations that hold different columns of the same rows, or with
//! [`horizontal::HorizontalSvm`], for organisations that hold different rows of the same columns. Both are one party's side as a
//! [`protocol::Protocol`]; [`vertical::Prediction`] predicts with a model whose parts stay with the organisations.
//!
//! [`reference`](mod@reference) trains in plaintext, in exact arithmetic and by code of its own. A training with the same parameters and the same schedule
//! of visited rows, under encryption, ends with the same model to the bit; [`float`] is the same in 64-bit floating point, and
//! [`evaluation`] cross-validates.
//!
//! ```
//! use dataset::scaling::{Scaler, Scaling};
//! use dataset::table::{Columns, Table};
//! use dataset::{generate, metrics::Metrics};
//! use svm::{Hyperparameters, reference};
//!
//! let columns = Columns {
//!     label: Some(generate::LABEL.into()),
//!     id: Some(generate::ID.into()),
//!     ..Columns::default()
//! };
//! let table = Table::parse(generate::patients(100, 1).as_bytes(), &columns)?;
//! let rows: Vec<usize> = (0..table.rows.len()).collect();
//! let scaled = Scaler::fit(&table, &rows, Scaling::Std)?.apply(&table, &rows)?;
//! let labels = table.labels()?;
//!
//! let parameters = Hyperparameters {
//!     learning_rate: "0.3".parse()?,
//!     lambda: "0.1".parse()?,
//!     c: Hyperparameters::mean_c(rows.len()),
//! };
//! // Twenty updates by all rows.
//! let schedule = vec![(0..rows.len() as u32).collect(); 20];
//! let model = reference::train(&scaled, &labels, &schedule, &parameters, reference::Variant::default());
//! assert!(Metrics::new(&labels, &model.predict(&scaled)).scores.accuracy > 0.8);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What is computed, and what it reveals, is in `docs/protocols.md`, sections 2 and 3.

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
