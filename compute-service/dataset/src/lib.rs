//! Tables of instances with labels, for any training: reading them, choosing rows for training and test, scaling columns,
//! measuring how good predictions are, and generating data.
//!
//! Start with [`table::Table`]: it is read from a file as spreadsheets and statistics programs write them.
//! [`scaling::Scaler`] is fitted on some of the rows; [`split`] chooses rows for training, test and folds, and divides columns
//! among parties; [`metrics`] and [`Roc`] compare predictions with labels; [`generate`] makes a table of invented patients.
//!
//! ```
//! use dataset::metrics::Metrics;
//! use dataset::scaling::{Scaler, Scaling};
//! use dataset::table::{Columns, Table};
//!
//! let text = "patient,age,glucose,ill\nP1,61,6.9,1\nP2,44,5.1,0\nP3,57,,1\nP4,39,5.3,0\n";
//! let columns = Columns { label: Some("ill".into()), id: Some("patient".into()), ..Columns::default() };
//! let table = Table::parse(text.as_bytes(), &columns)?;
//! assert_eq!((table.columns.join(" "), table.gaps()), ("age glucose".into(), vec![0, 1]));
//!
//! // Fitted on the first three rows. Their mean takes the place of the gap.
//! let scaled = Scaler::fit(&table, &[0, 1, 2], Scaling::Std)?.apply(&table, &[0, 1, 2, 3])?;
//! assert_eq!(scaled.rows[2][1], 0.0);
//!
//! let labels = table.labels()?;
//! assert_eq!(Metrics::new(&labels, &labels).scores.accuracy, 1.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
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
