//! Statistics of columns over the rows of several organisations, of which nobody shows a row.
//!
//! [`Mean`] is one party's side of a job by which they learn the mean and the standard deviation of each column over all
//! rows, as a [`protocol::Protocol`]; `docs/mean.md` says what it reveals. Each participant adds up its own rows
//! ([`OwnSums`]) and encrypts its sums under a threshold key, with a proof that it knows what it encrypted. The sums of
//! all are decrypted by a quorum: first the number of rows alone, and the rest only where that reaches the minimum.
//! What comes out is exact ([`Totals`]).
//!
//! ```
//! use dataset::table::{Columns, Table};
//! use records::jobs::Mean as Params;
//! use statistics::{OwnSums, Totals};
//!
//! let params = Params {
//!     key: [7; 32].into(),
//!     key_bits: 2048,
//!     insecure_key_bits: false,
//!     quorum: 2,
//!     columns: vec!["pulse".into()],
//!     places: 1,
//!     value_bits: 32,
//!     max_rows: 1_000,
//!     min_rows: 10,
//!     two_participants: false,
//! };
//! let columns = Columns { features: Some(params.columns.clone()), ..Columns::default() };
//! let table = Table::parse(b"pulse\n61.5\n72\n\n80.5\n", &columns).unwrap();
//! let own = OwnSums::of(&params, &table).unwrap();
//! let totals = Totals::of_all(&[own]);
//! assert_eq!(totals.rows, 3);
//! let [pulse] = &totals.columns(&params)[..] else { panic!() };
//! assert_eq!((pulse.mean.as_str(), pulse.deviation.as_str()), ("71.3333333", "9.5175277"));
//! ```

mod decimal;
mod mean;
mod sums;
#[cfg(test)]
mod tests;

pub use mean::{Mean, Private};
pub use sums::{ColumnSummary, OwnSums, Totals, places};
