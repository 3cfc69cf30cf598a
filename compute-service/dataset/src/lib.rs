//! Tables of instances with labels, before and beside any training: reading and dividing them, scaling columns, measuring
//! how good classes and scores are, and making tables up.
//!
//! A [`table::Table`] is read from a file in any of the forms that people have; [`scaling::Scaling`] fits its columns on some of the
//! rows; [`split`] deals columns, and rows to training, test and folds; [`metrics`] and [`Roc`] compare predictions with
//! labels.
//!
//! ```
//! use dataset::{Label, metrics::Metrics};
//!
//! let (truth, predicted) = ([Label::Positive, Label::Negative], [Label::Positive, Label::Positive]);
//! assert_eq!(Metrics::new(&truth, &predicted).scores.recall, 1.0);
//! ```

pub mod float64;
pub mod generate;
mod label;
pub mod metrics;
mod roc;
pub mod scaling;
pub mod split;
mod summary;
pub mod table;

pub use label::Label;
pub use roc::{Roc, mean_curve};
pub use summary::{Curve, Spread, Summary, SummaryOfClass};
